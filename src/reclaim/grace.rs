//! Sections: while a thread reads, what it may have found is not freed. An object is
//! destroyed after a grace period, when all sections that may have found it are over.
//!
//! Every thread has a [`Reader`], with a word that it alone writes: how many sections the
//! thread has left, and whether it is inside one. Entering is one store, leaving is another.
//! There is no read-modify-write and no barrier on this side; the collector executes the
//! barrier ([`membarrier`]).
//!
//! The thread that unlinks an object [retires](ReaderState::retire) it into its reader's bag.
//! A full bag is **sealed** when its thread is outside of all sections:
//!
//! 1. The thread executes a [heavy](membarrier::heavy) barrier. A reader that enters a section
//!    after it no longer finds the objects; a reader that was inside one before is seen in step 2.
//! 2. It writes down the sections that are under way now: the bag **awaits** them.
//! 3. When each of them is over, the objects are destroyed.
//!
//! Nearly always no reader is inside in step 2, and the objects are destroyed at once. The
//! other bags lie in a common stack, the latest in front. The thread that seals the next bag
//! looks at them again, until it has met [`LOOKS`] that still have to wait. So a section that
//! lasts costs the threads that retire no more than that. The stack is only ever emptied as a
//! whole and filled when it is empty, so it has no ABA problem.
//!
//! # What is promised
//!
//! - Entering and leaving are wait-free, except for the sealing of a full bag. Retiring and
//!   sealing are lock-free as far as the allocator and the kernel are.
//! - What is retired is destroyed after all sections that began before it was unlinked
//!   are left.
//! - A thread that stops calling the library keeps at most [`BAG`] objects to itself; when it
//!   ends, none. (A thread whose first pin is in the destructor of a `pthread_key` runs no
//!   destructor of this module any more: its reader and that bag are leaked.)
//! - A reader that never leaves its section holds back what is retired after it entered, and
//!   the bags that awaited that section already.
//! - If the kernel refuses a barrier that it granted before (a process can forbid itself
//!   system calls), what is retired from then on is leaked. Nothing is destroyed too early.
//!
//! # What was rejected
//!
//! - *Epochs* (a global number, advanced when all readers have seen it): a grace period
//!   is two or three advances, and all threads write the same word to get one. Here each
//!   bag lists the sections that it waits for, as in RCU (M. Desnoyers et al.,
//!   *User-level implementations of read-copy update*, 2012).
//! - *Hazard pointers*: a store for each pointer that is followed, and readers that
//!   have to load each pointer twice.
//! - *Counting references of what is looked up*: two writes to a cache line that all share.

use std::ptr;

use super::membarrier;
use crate::sys::atomic::{AtomicPtr, AtomicU64, Ordering, UnsafeCell, modelled, shipped};
use crate::sys::leaked_registry::{Leaked, LeakedRegistry};

#[cfg(all(test, target_os = "linux"))]
mod tests;

/// How many objects a bag holds before it is sealed.
#[cfg(not(test))]
pub(super) const BAG: usize = 128;
#[cfg(test)]
pub(super) const BAG: usize = 2;

/// Sealing a bag ends its look at the other bags after so many that still have to wait.
const LOOKS: usize = 4;

/// Mask of the low bits of a reader's word: the number of nested sections.
const DEPTH: u64 = 0x7fff;
/// Flag in a reader's word: the bag is to be sealed when the reader is outside.
const DUE: u64 = 0x8000;
/// The unit of the high bits of a reader's word: one section that is over.
const OVER: u64 = 0x1_0000;

/// All readers, and the bags that wait for some of them.
pub(crate) struct Domain {
    readers: LeakedRegistry<ReaderState>,
    sealed: AtomicPtr<Bag>,
}

/// One thread's part. On cache lines of its own, since its thread writes it all the time. Never
/// freed, and used again by another thread.
pub(crate) type Reader = Leaked<ReaderState>;

/// The contents of a [`Reader`].
pub(crate) struct ReaderState {
    /// Sections that are over, DUE, DEPTH. Only its thread writes it.
    section: AtomicU64,
    /// Only its thread touches it.
    bag: UnsafeCell<Option<Box<Bag>>>,
    domain: &'static Domain,
}

// SAFETY: `section` is an atomic, and `domain` does not change. `bag` is used only by the thread
// that `Domain::take_reader` gave the reader to, until `give_back`; the registry hands it over
// with Acquire and Release.
unsafe impl Sync for ReaderState {}

/// A retired object, and the function that destroys it.
struct Retired {
    object: *mut (),
    destroy: unsafe fn(*mut ()),
}

/// A batch of retired objects.
struct Bag {
    /// Accessed only by the thread that has the bag. (A cell, so that models check that.)
    objects: UnsafeCell<Vec<Retired>>,
    /// The sections that have to be over. `None` until the bag is sealed by a barrier.
    awaited: Option<Vec<Awaited>>,
    /// The next one in its chain.
    next: *mut Bag,
    /// The last one of the chain, if this is the first.
    last: *mut Bag,
}

/// A linked list of bags, owned by the thread that has the first. Null: empty.
struct Chain(*mut Bag);

/// A section that was under way.
struct Awaited {
    reader: &'static Reader,
    section: u64,
}

impl Awaited {
    fn is_over(&self) -> bool {
        let now = self.reader.read();
        now & DEPTH == 0 || now / OVER != self.section / OVER
    }
}

impl Bag {
    fn new() -> Box<Self> {
        Box::new(Bag {
            objects: UnsafeCell::new(Vec::with_capacity(BAG)),
            awaited: None,
            next: ptr::null_mut(),
            last: ptr::null_mut(),
        })
    }

    /// Whether the bag is sealed and all sections that it awaits are over.
    fn is_free_to_go(&mut self) -> bool {
        self.awaited.as_mut().is_some_and(|awaited| {
            awaited.retain(|section| !section.is_over());
            awaited.is_empty()
        })
    }

    fn objects<R>(&mut self, work: impl FnOnce(&mut Vec<Retired>) -> R) -> R {
        self.objects.with_mut(|objects| {
            // SAFETY: `self` is borrowed exclusively.
            work(unsafe { &mut *objects })
        })
    }

    fn destroy(&mut self) {
        self.objects(|objects| {
            for retired in objects.drain(..) {
                // SAFETY: the # Safety of `ReaderState::retire`: no reader that enters later finds
                // the object, and `destroy` may be called once. `is_free_to_go` has found that the
                // sections before that are over.
                unsafe { (retired.destroy)(retired.object) };
            }
        });
    }
}

impl ReaderState {
    /// Enters a section. Sections may be nested.
    #[inline]
    pub(crate) fn enter(&self) {
        let section = self.section.load(Ordering::Relaxed);
        debug_assert!(section & DEPTH < DEPTH);
        // ORDERING: Release, partner of the Acquire in `read`: a thread that finds this section
        // has seen the end of the one before.
        self.section.store(section + 1, Ordering::Release);
        membarrier::light();
    }

    /// Leaves a section. Seals the bag if it is due and this was the outermost section.
    #[inline]
    pub(crate) fn leave(&self) {
        let section = self.section.load(Ordering::Relaxed) - 1;
        if section & (DEPTH | DUE) == 0 {
            // ORDERING: Release, partner of the Acquire in `read`: reads inside the section come
            // before the destruction of what they looked at.
            self.section.store(section + OVER, Ordering::Release);
        } else {
            self.leave_slowly(section);
        }
    }

    #[cold]
    fn leave_slowly(&self, section: u64) {
        if section & DEPTH != 0 {
            // ORDERING: Release, partner of the Acquire in `read`, here and in `seal_soon`: a
            // collector that finds any word of this section has seen the end of the one before.
            return self.section.store(section, Ordering::Release);
        }
        // ORDERING: Release, partner of the Acquire in `read`: reads inside the section come
        // before the destruction of what they looked at.
        self.section
            .store((section & !DUE) + OVER, Ordering::Release);
        self.seal();
    }

    fn read(&self) -> u64 {
        // ORDERING: Acquire, partner of the Releases in `enter` and `leave`.
        self.section.load(Ordering::Acquire)
    }

    /// Has the bag sealed when the section is left.
    pub(crate) fn seal_soon(&self) {
        let section = self.section.load(Ordering::Relaxed);
        // ORDERING: Release, partner of the Acquire in `read`: the word is still one of this
        // section (see `leave_slowly`).
        self.section.store(section | DUE, Ordering::Release);
    }

    /// Destroys an object when all sections that may have found it are over.
    ///
    /// # Safety
    ///
    /// The caller is this reader's thread and inside a section. No reader that enters a
    /// section from now on finds the object. `destroy` may be called with it once, on any
    /// thread and at any later time; it must not panic.
    pub(crate) unsafe fn retire(&self, object: *mut (), destroy: unsafe fn(*mut ())) {
        let count = self.bag.with_mut(|bag| {
            // SAFETY: only this thread touches the bag, and nothing here comes back to it.
            let bag = unsafe { &mut *bag }.get_or_insert_with(Bag::new);
            bag.objects(|objects| {
                objects.push(Retired { object, destroy });
                objects.len()
            })
        });
        if count >= BAG {
            self.seal_soon();
        }
    }

    /// Seals the bag and frees what can be freed. Called outside of all sections.
    #[cold]
    pub(crate) fn seal(&self) {
        // Taken out first: what is destroyed may enter sections and retire.
        // SAFETY: only the thread that has taken the reader touches the bag, and `take` ends the
        // access before anything is destroyed.
        let bag = self.bag.with_mut(|bag| unsafe { (*bag).take() });
        let empty = self.domain.collect(bag);
        self.bag.with_mut(|bag| {
            // SAFETY: only the thread that has taken the reader touches the bag. `collect` has
            // returned, so what it destroyed does not retire into the bag any more.
            let bag = unsafe { &mut *bag };
            if bag.is_none() {
                *bag = empty;
            }
        });
    }
}

shipped! {
    impl Domain {
        pub(super) const fn new() -> Self {
            Domain {
                readers: LeakedRegistry::new(),
                sealed: AtomicPtr::new(ptr::null_mut()),
            }
        }

        /// In the child of a fork: forgets the readers, some of which may never leave,
        /// and the bags, which may await them.
        pub(crate) fn begin_again(&self) {
            self.readers.forget_all();
            self.sealed.store(ptr::null_mut(), Ordering::Relaxed);
        }
    }
}

modelled! {
    impl Domain {
        pub(crate) fn new() -> Self {
            Domain {
                readers: LeakedRegistry::new(),
                sealed: AtomicPtr::new(ptr::null_mut()),
            }
        }
    }
}

impl Domain {
    /// A reader for a thread that has none.
    pub(crate) fn take_reader(&'static self) -> &'static Reader {
        self.readers.take(|| ReaderState {
            section: AtomicU64::new(0),
            bag: UnsafeCell::new(None),
            domain: self,
        })
    }

    /// Takes a reader back from a thread that ends, outside of all sections.
    pub(crate) fn give_back(&self, reader: &Reader) {
        reader.seal();
        reader.give_back();
    }

    /// The sections that are under way.
    fn under_way(&self) -> Vec<Awaited> {
        let all = self.readers.iter().map(|reader| (reader, reader.read()));
        all.filter(|(_, section)| section & DEPTH != 0)
            .map(|(reader, section)| Awaited { reader, section })
            .collect()
    }

    /// Whether bags wait.
    pub(crate) fn has_sealed(&self) -> bool {
        !self.sealed.load(Ordering::Relaxed).is_null()
    }

    /// Frees what can be freed of this bag and of the sealed ones. Returns an empty bag to be
    /// used again, if there is one.
    fn collect(&self, mine: Option<Box<Bag>>) -> Option<Box<Bag>> {
        let mut bags = self.take_sealed();
        if let Some(bag) = mine {
            bags.put(bag);
        }
        let mut empty = None;
        let mut waiting = Chain::EMPTY;
        let mut looks = 0;
        // One barrier serves all that was unlinked before it.
        let mut passed = None;
        while looks < LOOKS
            && let Some(mut bag) = bags.take()
        {
            if !bag.objects(|objects| objects.is_empty()) {
                if bag.awaited.is_none() && *passed.get_or_insert_with(membarrier::heavy) {
                    bag.awaited = Some(self.under_way());
                }
                if !bag.is_free_to_go() {
                    waiting.put(bag);
                    looks += 1;
                    continue;
                }
                bag.destroy();
                bag.awaited = None;
            }
            empty = Some(bag);
        }
        self.put_back(waiting.and(bags));
        empty
    }

    fn take_sealed(&self) -> Chain {
        let mut first = ptr::null_mut();
        if self.has_sealed() {
            // ORDERING: Acquire, partner of the Release in `put_back`.
            first = self.sealed.swap(ptr::null_mut(), Ordering::Acquire);
        }
        Chain(first)
    }

    fn put_back(&self, mut bags: Chain) {
        while !bags.0.is_null() {
            // ORDERING: Release, partner of the Acquire in `take_sealed`.
            let put = self.sealed.compare_exchange(
                ptr::null_mut(),
                bags.0,
                Ordering::Release,
                Ordering::Relaxed,
            );
            if put.is_ok() {
                return;
            }
            // Another thread has put bags there meanwhile.
            bags = self.take_sealed().and(bags);
        }
    }
}

impl Chain {
    const EMPTY: Self = Chain(ptr::null_mut());

    /// Puts a bag in front.
    fn put(&mut self, bag: Box<Bag>) {
        let bag = Box::into_raw(bag);
        // SAFETY: from a box; its links mean nothing as long as it is in no chain.
        unsafe {
            (*bag).next = ptr::null_mut();
            (*bag).last = bag;
        }
        *self = Chain(bag).and(Chain(self.0));
    }

    /// Takes the first bag, if there is one.
    fn take(&mut self) -> Option<Box<Bag>> {
        if self.0.is_null() {
            return None;
        }
        // SAFETY: a chain owns its bags, each of which `put` or `collect` made from a box.
        let bag = unsafe { Box::from_raw(self.0) };
        self.0 = bag.next;
        if !self.0.is_null() {
            // SAFETY: the next bag is in the same chain, which is owned as a whole.
            unsafe { (*self.0).last = bag.last };
        }
        Some(bag)
    }

    /// This chain with the other behind it.
    fn and(self, other: Self) -> Self {
        if self.0.is_null() || other.0.is_null() {
            return if self.0.is_null() { other } else { self };
        }
        // SAFETY: both are owned and not empty; the first bag knows the last.
        unsafe {
            (*(*self.0).last).next = other.0;
            (*self.0).last = (*other.0).last;
        }
        self
    }
}
