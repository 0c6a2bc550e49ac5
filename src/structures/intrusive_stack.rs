//! An intrusive stack: many threads leave items, one at a time takes them all.
//!
//! A Treiber stack (R. K. Treiber, 1986) that is only ever emptied as a whole,
//! so the ABA problem does not arise. The link lies in the item: leaving one
//! allocates nothing, and an item is on the stack at most once however often it
//! is left. So memory is bounded by the number of items.
//!
//! The link also says whether the item waits, and on which stack: the low bits of
//! the pointer, free because items are aligned, hold the stack's *mark*. The link of the
//! chain's last item holds only the mark. In the child of a `fork`, which has a new stack,
//! an item may still have the mark of the old one. Such an item counts as not waiting, and
//! may be left. The marks repeat after a few generations of forks, so each child
//! [erases](IntrusiveStack::erase_other_mark) the other marks that it finds.
//!
//! The taker removes an item's mark *before* it looks at the item. So a thread that changed
//! the item and found it waiting knows that the taker will look at it after the change. Both
//! sides access the mark with an RMW: with a plain load on either side, a change could fall
//! between the taker's look and the removal of the mark.

use std::marker::PhantomData;
use std::ptr::{self, NonNull};

use crate::sys::atomic::{AtomicPtr, Ordering};
use crate::sys::fork;
use crate::sys::per_process::Renew;

/// What an item carries to be left in an [`IntrusiveStack`].
#[derive(Debug)]
pub(crate) struct Link<T> {
    /// The address of the next item, or null, with the mark of the stack on which the item
    /// waits. Without a stack's mark, the item does not wait there.
    next: AtomicPtr<T>,
}

impl<T> Link<T> {
    pub(crate) fn new() -> Self {
        Link {
            next: AtomicPtr::new(ptr::null_mut()),
        }
    }
}

/// An item with a link, shared by reference count.
///
/// # Safety
///
/// `link` always returns the same link. A pointer from `into_raw` stays valid
/// until `from_raw` takes it back.
pub(crate) unsafe trait Linked: Sized {
    /// One counted reference.
    type Ref;
    fn link(&self) -> &Link<Self>;
    fn into_raw(reference: Self::Ref) -> NonNull<Self>;
    /// # Safety
    ///
    /// `pointer` came from `into_raw` and is taken back once.
    unsafe fn from_raw(pointer: NonNull<Self>) -> Self::Ref;
}

/// The stack. Leaving is lock-free; so is taking.
#[derive(Debug)]
pub(crate) struct IntrusiveStack<T: Linked> {
    /// The latest item, without a mark; null if nothing waits.
    head: AtomicPtr<T>,
    /// Not 0, and less than the alignment of `T`.
    mark: usize,
    owns: PhantomData<T>,
}

impl<T: Linked> IntrusiveStack<T> {
    pub(crate) fn new() -> Self {
        let marks = const {
            assert!(align_of::<T>() >= 8);
            align_of::<T>() - 1
        };
        IntrusiveStack {
            head: AtomicPtr::new(ptr::null_mut()),
            mark: 1 + fork::incarnation() as usize % marks,
            owns: PhantomData,
        }
    }

    fn waits_here(&self, link: *mut T) -> bool {
        link.addr() & (align_of::<T>() - 1) == self.mark
    }

    fn marked(&self, next: *mut T) -> *mut T {
        next.map_addr(|address| address | self.mark)
    }

    /// Leaves `item`, unless it waits already. `reference` makes the stack's own
    /// reference and is called only if one is needed.
    pub(crate) fn leave(&self, item: &T, reference: impl FnOnce() -> T::Ref) {
        // ORDERING: AcqRel, partner of the swap in `take_all`: either this exchange comes
        // first, and the taker sees all that was done to the item before it; or it comes
        // later, finds no mark, and the item is left once more. The exchange writes a link
        // even if it does not change: a load could return a value from before the swap.
        let keep_or_mark = |next: *mut T| {
            Some(if self.waits_here(next) {
                next
            } else {
                self.marked(ptr::null_mut())
            })
        };
        let before =
            item.link()
                .next
                .fetch_update(Ordering::AcqRel, Ordering::Acquire, keep_or_mark);
        if before.is_ok_and(|next| self.waits_here(next)) {
            return;
        }
        let raw = T::into_raw(reference());
        let mut head = self.head.load(Ordering::Relaxed);
        loop {
            // ORDERING: AcqRel, an RMW and not a store, partner of the swap in
            // `take_all`: a thread that has meanwhile found the item waiting made one more
            // change that the taker must see.
            item.link().next.swap(self.marked(head), Ordering::AcqRel);
            // ORDERING: Release publishes `next`; partner of the Acquire swap in
            // `take_all`.
            match self.head.compare_exchange(
                head,
                raw.as_ptr(),
                Ordering::Release,
                Ordering::Relaxed,
            ) {
                Ok(_) => return,
                Err(current) => head = current,
            }
        }
    }

    /// Takes all items that wait, the latest first.
    pub(crate) fn take_all(&self) -> impl Iterator<Item = T::Ref> + use<'_, T> {
        // ORDERING: Acquire sees the links of all items in the chain: each was
        // published by a Release CAS on `head`, and the later ones continue its
        // release sequence.
        let mut next = self.head.swap(ptr::null_mut(), Ordering::Acquire);
        std::iter::from_fn(move || {
            let item = NonNull::new(next)?;
            // SAFETY: `leave` put the pointer from `into_raw` into the chain, and the swap
            // above made the chain this thread's: each reference is taken once.
            let reference = unsafe { T::from_raw(item) };
            // SAFETY: `reference` keeps it alive.
            let link = unsafe { item.as_ref() }.link();
            // ORDERING: AcqRel, partner of the exchanges of the link in `leave`: changes made
            // to the item before they found its mark are visible. From here on the item may be
            // left again.
            next = link.next.swap(ptr::null_mut(), Ordering::AcqRel);
            next = next.map_addr(|address| address & !(align_of::<T>() - 1));
            Some(reference)
        })
    }

    /// Removes an item's mark if it is that of a parent's stack.
    pub(crate) fn erase_other_mark(&self, item: &T) {
        let link = &item.link().next;
        let next = link.load(Ordering::Relaxed);
        if !next.is_null() && !self.waits_here(next) {
            // ORDERING: Relaxed: a link that is null and one with another mark mean the
            // same to this stack.
            let _ =
                link.compare_exchange(next, ptr::null_mut(), Ordering::Relaxed, Ordering::Relaxed);
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.head.load(Ordering::Relaxed).is_null()
    }
}

impl<T: Linked> Drop for IntrusiveStack<T> {
    fn drop(&mut self) {
        self.take_all().for_each(drop);
    }
}

impl<T: Linked> Renew for IntrusiveStack<T> {
    fn renew(&self) -> Self {
        IntrusiveStack::new()
    }
}

// SAFETY: the stack hands references from thread to thread, so they must be
// sendable, and the items they share usable from several threads.
unsafe impl<T: Linked + Send + Sync> Send for IntrusiveStack<T> where T::Ref: Send {}
// SAFETY: a shared stack gives out references by value, from `take_all`, and takes them in
// `leave`: `T::Ref` is `Send`, and the items are `Send` and `Sync`.
unsafe impl<T: Linked + Send + Sync> Sync for IntrusiveStack<T> where T::Ref: Send {}
