//! The free slots that a thread keeps for itself.
//!
//! Two free lists, linked through the slots: one from which slots are taken and to which
//! they are given, of at most a batch, and a spare one of a whole batch. With one list alone
//! a thread that takes and gives around its limit would move a batch each time. With two,
//! a thread takes or gives as many slots as a batch has between two moves.
//!
//! The thread-local magazine has no destructor, so an access need not check whether it was
//! destroyed already. A second thread-local has one, which closes the magazine when the
//! thread ends. A closed magazine has no room: what is given by destructors that run later
//! goes to the stack at once.
//!
//! Each type that lives in slots has a depot and such variables of its own, which
//! [`slots_for`] makes: how large a slot is follows from the type.

use std::cell::Cell;
use std::ptr::{self, NonNull};

use super::chunks::Chunks;
use super::free_stack::Stack;
use super::{ALIGNMENT, WORD};
use crate::sys::prefetch;

/// How many slots are moved together.
pub(super) const BATCH: u32 = 64;

/// A type that lives in slots. Implemented by [`slots_for`].
pub(crate) trait Resident: Sized + 'static {
    /// What lies in the cold part of its slots.
    type Cold: 'static;
    fn depot() -> &'static Depot<Self, Self::Cold>;
    /// Calls `work` with the current thread's magazine.
    fn with_magazine<R>(work: impl FnOnce(&Magazine) -> R) -> R;
    /// Has the magazine closed when the thread ends. Returns false if the thread is ending
    /// already.
    fn will_close() -> bool;
}

/// Gives a type slots with a hot part for itself and a cold part for the other type.
macro_rules! slots_for {
    ($hot:ty, $cold:ty) => {
        const _: () = {
            use $crate::structures::slab::{Depot, Magazine, Resident, close_magazine};
            use $crate::sys::hot_tls::AtThreadEnd;

            static DEPOT: Depot<$hot, $cold> = Depot::new();

            thread_local! {
                static HERE: Magazine = const { Magazine::new() };
                static FAREWELL: AtThreadEnd =
                    const { AtThreadEnd::new(close_magazine::<$hot>) };
            }

            impl Resident for $hot {
                type Cold = $cold;

                #[inline(always)]
                fn depot() -> &'static Depot<$hot, $cold> {
                    &DEPOT
                }

                #[inline(always)]
                fn with_magazine<R>(work: impl FnOnce(&Magazine) -> R) -> R {
                    HERE.with(work)
                }

                fn will_close() -> bool {
                    AtThreadEnd::will_run(&FAREWELL)
                }
            }
        };
    };
}

pub(crate) use slots_for;

/// Closes the current thread's magazine, at the thread's end.
pub(crate) fn close_magazine<Hot: Resident>() {
    Hot::with_magazine(|magazine| magazine.close(Hot::depot()));
}

#[inline]
pub(super) fn take<Hot: Resident>() -> (NonNull<Hot>, u16) {
    let free = Hot::with_magazine(|magazine| {
        magazine
            .take()
            .unwrap_or_else(|| take_slowly::<Hot>(magazine))
    });
    // SAFETY: taken from this thread's magazine or the depot, so no other thread uses the slot;
    // `give` or `fresh_batch` has written a `Free` there.
    let away = unsafe { (*free.as_ptr()).away };
    (free.cast(), away)
}

/// Prefetches the lines of the slot that [`take`] would return. Does nothing if the magazine is
/// empty.
#[inline(always)]
pub(super) fn expect_take<Hot: Resident>() {
    Hot::with_magazine(|magazine| {
        let first = magazine.first.get();
        if first.is_null() {
            return;
        }
        for line in 1..size_of::<Hot>().div_ceil(ALIGNMENT) {
            prefetch::to_write(first.wrapping_byte_add(line * ALIGNMENT));
        }
        // SAFETY: what is in the magazine is this thread's. (This load fetches the first line.)
        let away = unsafe { (*first).away };
        prefetch::to_write(first.wrapping_byte_add(WORD * usize::from(away)));
    });
}

/// # Safety
///
/// What [`super::give`] asks.
#[inline]
pub(super) unsafe fn give<Hot: Resident>(hot: NonNull<Hot>, away: u16) {
    let free = hot.cast::<Free>();
    // SAFETY: `super::give`'s # Safety: the contents were dropped and are not used any more, and
    // this is the slot's hot part, which has room for a `Free` (`Chunk::FITS`).
    unsafe { free.write(Free::new(ptr::null_mut(), away)) };
    Hot::with_magazine(|magazine| {
        // SAFETY: one of the slab's slots that no other code uses: `super::give`'s # Safety.
        if !unsafe { magazine.give(free) } {
            give_slowly::<Hot>(magazine, free);
        }
    });
}

#[cold]
#[inline(never)]
fn take_slowly<Hot: Resident>(magazine: &Magazine) -> NonNull<Free> {
    open::<Hot>(magazine);
    magazine.refill(Hot::depot())
}

#[cold]
#[inline(never)]
fn give_slowly<Hot: Resident>(magazine: &Magazine, free: NonNull<Free>) {
    open::<Hot>(magazine);
    // SAFETY: `give` has just filled it.
    unsafe { magazine.overflow(free, Hot::depot()) };
}

/// Opens the thread's magazine, unless the thread is ending and would not close it any more.
fn open<Hot: Resident>(magazine: &Magazine) {
    if Hot::will_close() {
        magazine.open();
    }
}

/// A free slot, in its hot part.
#[repr(C)]
pub(super) struct Free {
    /// The next one of its list, or null.
    next: *mut Free,
    /// The length of the list, in the first slot of a batch on the stack.
    len: u32,
    /// The distance to the cold part in words.
    away: u16,
}

impl Free {
    pub(super) fn new(next: *mut Free, away: u16) -> Self {
        Free { next, len: 0, away }
    }
}

/// A list of slots that belongs to one thread.
pub(super) struct Batch {
    pub(super) first: NonNull<Free>,
    pub(super) len: u32,
}

/// What all threads share of one kind of slots.
pub(crate) struct Depot<Hot, Cold> {
    stack: Stack,
    chunks: Chunks<Hot, Cold>,
}

impl<Hot, Cold> Depot<Hot, Cold> {
    pub(crate) const fn new() -> Self {
        Depot {
            stack: Stack::new(),
            chunks: Chunks::new(),
        }
    }

    fn push(&self, batch: Batch) {
        let first = batch.first.as_ptr();
        // SAFETY: `push` owns the batch; its first slot came from `fresh_batch` with the distance
        // that its `Free` holds.
        let number = unsafe {
            (*first).len = batch.len;
            self.chunks.number(batch.first, (*first).away)
        };
        self.stack.push(number, &self.chunks);
    }

    /// A batch from the stack or, if the stack is empty, a fresh one.
    fn pop(&self) -> Batch {
        let Some(number) = self.stack.pop(&self.chunks) else {
            return self.chunks.fresh_batch();
        };
        let first = self.chunks.hot(number);
        // SAFETY: popped, so it is this thread's, and `push` has written it.
        let len = unsafe { (*first.as_ptr()).len };
        Batch { first, len }
    }
}

/// A thread's two free lists.
pub(crate) struct Magazine {
    /// The list that is used.
    first: Cell<*mut Free>,
    /// The length of the list that is used.
    len: Cell<u32>,
    /// The limit of `len`: [`BATCH`] while the magazine is open. 0 otherwise, and then both
    /// lists are empty.
    room: Cell<u32>,
    /// The spare list: null or a list of [`BATCH`].
    spare: Cell<*mut Free>,
}

impl Magazine {
    pub(crate) const fn new() -> Self {
        Magazine {
            first: Cell::new(ptr::null_mut()),
            len: Cell::new(0),
            room: Cell::new(0),
            spare: Cell::new(ptr::null_mut()),
        }
    }

    /// Takes a slot. Returns `None` if the list is empty; then the caller continues with
    /// [`Magazine::refill`].
    #[inline]
    pub(super) fn take(&self) -> Option<NonNull<Free>> {
        let first = NonNull::new(self.first.get())?;
        // SAFETY: what is in the magazine is this thread's.
        self.first.set(unsafe { (*first.as_ptr()).next });
        self.len.set(self.len.get() - 1);
        Some(first)
    }

    /// Gives a slot. Returns false if there is no room; then the caller continues with
    /// [`Magazine::overflow`].
    ///
    /// # Safety
    ///
    /// It is a slot of the slab, and this thread's alone.
    #[inline]
    pub(super) unsafe fn give(&self, free: NonNull<Free>) -> bool {
        let has_room = self.len.get() < self.room.get();
        if has_room {
            // SAFETY: this function's # Safety: the slot is this thread's alone.
            unsafe { (*free.as_ptr()).next = self.first.get() };
            self.first.set(free.as_ptr());
            self.len.set(self.len.get() + 1);
        }
        has_room
    }

    pub(super) fn open(&self) {
        self.room.set(BATCH);
    }

    /// Takes a slot when the list is empty, and fills the list.
    pub(super) fn refill<Hot, Cold>(&self, depot: &Depot<Hot, Cold>) -> NonNull<Free> {
        let batch = match NonNull::new(self.spare.replace(ptr::null_mut())) {
            Some(first) => Batch { first, len: BATCH },
            None => depot.pop(),
        };
        // SAFETY: the batch is this thread's.
        let rest = unsafe { (*batch.first.as_ptr()).next };
        if self.room.get() > 0 {
            self.first.set(rest);
            self.len.set(batch.len - 1);
        } else if let Some(first) = NonNull::new(rest) {
            let len = batch.len - 1;
            depot.push(Batch { first, len });
        }
        batch.first
    }

    /// Gives a slot when the list is full, and empties the list.
    ///
    /// # Safety
    ///
    /// What [`Magazine::give`] asks.
    pub(super) unsafe fn overflow<Hot, Cold>(&self, free: NonNull<Free>, depot: &Depot<Hot, Cold>) {
        // SAFETY: this function's # Safety: the slot is this thread's alone.
        unsafe { (*free.as_ptr()).next = ptr::null_mut() };
        if self.room.get() == 0 {
            let first = free;
            return depot.push(Batch { first, len: 1 });
        }
        let full = self.first.replace(free.as_ptr());
        if self.len.replace(1) == BATCH {
            let before = self.spare.replace(full);
            if let Some(first) = NonNull::new(before) {
                depot.push(Batch { first, len: BATCH });
            }
        }
    }

    /// Pushes all slots onto the stack. What is given from now on goes there at once.
    pub(super) fn close<Hot, Cold>(&self, depot: &Depot<Hot, Cold>) {
        self.room.set(0);
        let len = self.len.replace(0);
        for (list, len) in [(&self.first, len), (&self.spare, BATCH)] {
            if let Some(first) = NonNull::new(list.replace(ptr::null_mut())) {
                depot.push(Batch { first, len });
            }
        }
    }
}

#[cfg(test)]
impl<Hot, Cold> Depot<Hot, Cold> {
    pub(super) fn chunks(&self) -> &Chunks<Hot, Cold> {
        &self.chunks
    }

    /// Two counts, of which one changes with every batch that a thread gets.
    pub(super) fn moved(&self) -> (u32, u32) {
        (self.chunks.numbers(), self.stack.pops())
    }
}

#[cfg(test)]
impl Free {
    pub(super) fn away(&self) -> u16 {
        self.away
    }
}
