//! An intrusive inbox: many threads leave items, one at a time takes them all.
//!
//! A Treiber stack (R. K. Treiber, 1986) that is only ever emptied as a whole,
//! so the ABA problem does not arise. The link lives in the item: leaving one
//! allocates nothing, and an item is in the inbox at most once however often it
//! is left. That makes memory bounded by the number of items.
//!
//! What the taker may rely on: it marks an item as taken *before* it looks at
//! it, so whoever changed the item and found it already waiting knows that it
//! will be looked at after the change. Both sides touch the mark with an RMW;
//! with a plain load on either, a change could fall between the taker's look and
//! its mark.
//!
//! The mark names the inbox. In the child of a `fork`, which has a new one, an item
//! may still bear the mark of the old one, and is left all the same.

use std::marker::PhantomData;
use std::ptr::{self, NonNull};

use crate::fork;
use crate::per_process::Renew;
use crate::sync::{AtomicPtr, AtomicU32, Ordering};

/// What an item carries to be left in an [`Inbox`].
#[derive(Debug)]
pub(crate) struct Link<T> {
    next: AtomicPtr<T>,
    /// The mark of the inbox in which the item waits, or 0.
    waiting: AtomicU32,
}

impl<T> Link<T> {
    pub(crate) fn new() -> Self {
        Link {
            next: AtomicPtr::new(ptr::null_mut()),
            waiting: AtomicU32::new(0),
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

/// The inbox. Leaving is lock-free; so is taking.
#[derive(Debug)]
pub(crate) struct Inbox<T: Linked> {
    head: AtomicPtr<T>,
    /// Never 0.
    mark: u32,
    owns: PhantomData<T>,
}

impl<T: Linked> Inbox<T> {
    pub(crate) fn new() -> Self {
        Inbox {
            head: AtomicPtr::new(ptr::null_mut()),
            mark: fork::incarnation().wrapping_add(1).max(1),
            owns: PhantomData,
        }
    }

    /// Leaves `item`, unless it waits already. `reference` makes the inbox's own
    /// reference and is called only if one is needed.
    pub(crate) fn leave(&self, item: &T, reference: impl FnOnce() -> T::Ref) {
        // ORDERING: AcqRel, partner of the swap in `take_all`: either this swap
        // comes first, and the taker sees all that was done to the item before
        // it; or it comes later, reads 0, and the item is left once more.
        if item.link().waiting.swap(self.mark, Ordering::AcqRel) == self.mark {
            return;
        }
        let raw = T::into_raw(reference());
        let mut head = self.head.load(Ordering::Relaxed);
        loop {
            item.link().next.store(head, Ordering::Relaxed);
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

    /// Takes all that waits, latest first.
    pub(crate) fn take_all(&self) -> impl Iterator<Item = T::Ref> + use<'_, T> {
        // ORDERING: Acquire sees the links of all items in the chain: each was
        // published by a Release CAS on `head`, and the later ones continue its
        // release sequence.
        let mut next = self.head.swap(ptr::null_mut(), Ordering::Acquire);
        std::iter::from_fn(move || {
            let item = NonNull::new(next)?;
            // SAFETY: the chain holds one reference of each item, taken here.
            let reference = unsafe { T::from_raw(item) };
            // SAFETY: `reference` keeps it alive.
            let link = unsafe { item.as_ref() }.link();
            next = link.next.load(Ordering::Relaxed);
            // ORDERING: AcqRel, see `leave`. `next` is read before: from here on
            // the item may be left again.
            link.waiting.swap(0, Ordering::AcqRel);
            Some(reference)
        })
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.head.load(Ordering::Relaxed).is_null()
    }
}

impl<T: Linked> Drop for Inbox<T> {
    fn drop(&mut self) {
        self.take_all().for_each(drop);
    }
}

impl<T: Linked> Renew for Inbox<T> {
    fn renew(&self) -> Self {
        Inbox::new()
    }
}

// SAFETY: the inbox hands references from thread to thread, so they must be
// sendable, and the items they share usable from several threads.
unsafe impl<T: Linked + Send + Sync> Send for Inbox<T> where T::Ref: Send {}
// SAFETY: as above.
unsafe impl<T: Linked + Send + Sync> Sync for Inbox<T> where T::Ref: Send {}
