//! Blocks of memory for reports, which must not allocate.
//!
//! A few blocks always lie ready. A report takes one by a `swap`. [`Stock::refill`], called where
//! time does not matter (registration, the driver's turn), replaces those taken. A report that
//! finds none does without and has the driver woken; a later one tries again. A stock that was
//! found empty is filled with twice as many blocks the next time: a process in which hundreds of
//! connections need one has some for all of them after a few turns. Of blocks that are large and
//! seldom needed, none lie ready until one is asked for.
//!
//! The slots are exchanged whole, null for a block and back, so there is
//! nothing like a list's ABA problem.

use std::ptr;

use crate::sys::atomic::{AtomicPtr, Ordering, modelled, shipped};

/// Up to `SLOTS` blocks, ready to be taken.
pub(crate) struct Reserve<T, const SLOTS: usize> {
    /// Each null or a block that the slot owns.
    slots: [AtomicPtr<T>; SLOTS],
}

impl<T, const SLOTS: usize> Reserve<T, SLOTS> {
    /// Takes a block, if there is one.
    pub(crate) fn take(&self) -> Option<Box<T>> {
        self.slots.iter().find_map(|slot| {
            // An empty slot is only read, so all cores may keep the cache line
            // of an empty reserve.
            if slot.load(Ordering::Relaxed).is_null() {
                return None;
            }
            // ORDERING: Acquire pairs with the Release in `give_back`.
            let block = slot.swap(ptr::null_mut(), Ordering::Acquire);
            // SAFETY: `give_back` leaked each pointer in a slot from a box, and the swap made it
            // this thread's alone.
            (!block.is_null()).then(|| unsafe { Box::from_raw(block) })
        })
    }

    /// Returns a block that was not used. Frees it if all slots were filled meanwhile.
    pub(crate) fn give_back(&self, block: Box<T>) {
        let block = Box::into_raw(block);
        for slot in &self.slots {
            // ORDERING: Release pairs with the Acquire in `take`.
            let put = slot.load(Ordering::Relaxed).is_null()
                && slot
                    .compare_exchange(ptr::null_mut(), block, Ordering::Release, Ordering::Relaxed)
                    .is_ok();
            if put {
                return;
            }
        }
        // SAFETY: leaked above, and no slot took it.
        drop(unsafe { Box::from_raw(block) });
    }

    /// Fills the empty ones of the first `count` slots. Allocates, so a report must
    /// not call it. Costs a few loads when nothing is missing.
    pub(crate) fn refill(&self, count: usize, make: fn() -> Box<T>) {
        for slot in self.slots.iter().take(count) {
            if slot.load(Ordering::Relaxed).is_null() {
                self.give_back(make());
            }
        }
    }
}

impl<T, const SLOTS: usize> Drop for Reserve<T, SLOTS> {
    fn drop(&mut self) {
        while self.take().is_some() {}
    }
}

shipped! {
    use crate::sys::fork;
    use crate::sys::atomic::{AtomicU32, AtomicUsize};

    const SLOTS: usize = 64;

    /// A process's reserve of one kind of block, and the demand for it.
    pub(crate) struct Stock<T> {
        reserve: Reserve<T, SLOTS>,
        /// How many blocks lie ready after a refill.
        ready: AtomicUsize,
        /// State of the reserve: [`MET`] (nothing to do), [`TAKEN`] (blocks were taken),
        /// [`UNMET`] (found empty), or [`CALLED_FOR`] plus n (found empty; the driver of fork
        /// incarnation n has been woken). A parent's driver does nothing for the child.
        /// Relaxed throughout: a hint, which may be late. It does not say for ever that there
        /// is nothing to do: the thread that finds the reserve empty writes last.
        demand: AtomicU32,
        make: fn() -> Box<T>,
    }

    const MET: u32 = 0;
    const TAKEN: u32 = 1;
    const UNMET: u32 = 2;
    const CALLED_FOR: u32 = 3;

    impl<T> Stock<T> {
        /// Empty until the first refill.
        pub(crate) const fn new(make: fn() -> Box<T>) -> Self {
            Stock {
                reserve: Reserve::new(),
                ready: AtomicUsize::new(8),
                demand: AtomicU32::new(TAKEN),
                make,
            }
        }

        /// Empty until a refill after it was first asked for a block.
        pub(crate) const fn on_demand(make: fn() -> Box<T>) -> Self {
            Stock {
                reserve: Reserve::new(),
                ready: AtomicUsize::new(0),
                demand: AtomicU32::new(MET),
                make,
            }
        }

        /// Takes a block, if there is one.
        pub(crate) fn take(&self) -> Option<Box<T>> {
            // No thread searches a reserve that was found empty.
            let demand = self.demand.load(Ordering::Relaxed);
            if demand >= UNMET {
                return None;
            }
            let block = self.reserve.take();
            if block.is_none() {
                self.demand.store(UNMET, Ordering::Relaxed);
            } else if demand == MET {
                self.demand.store(TAKEN, Ordering::Relaxed);
            }
            block
        }

        /// Sets the demand as [`Stock::take`] does when it finds nothing.
        #[cfg(test)]
        pub(crate) fn say_empty(&self) {
            self.demand.store(UNMET, Ordering::Relaxed);
        }

        pub(crate) fn give_back(&self, block: Box<T>) {
            self.reserve.give_back(block);
        }

        /// Whether the caller has to wake the driver, which calls [`Stock::refill`]. True for
        /// one of the threads that ask while the reserve is known to be empty.
        pub(crate) fn wants_refill(&self) -> bool {
            let demand = self.demand.load(Ordering::Relaxed);
            let called_for = CALLED_FOR + fork::incarnation();
            demand >= UNMET
                && demand != called_for
                && self
                    .demand
                    .compare_exchange(demand, called_for, Ordering::Relaxed, Ordering::Relaxed)
                    .is_ok()
        }

        /// Replaces the blocks that were taken.
        #[inline]
        pub(crate) fn refill(&self) {
            if self.demand.load(Ordering::Relaxed) != MET {
                self.fill();
            }
        }

        #[cold]
        fn fill(&self) {
            // Before the work: blocks taken meanwhile are left to the next refill.
            let demand = self.demand.swap(MET, Ordering::Relaxed);
            let mut ready = self.ready.load(Ordering::Relaxed);
            if demand >= UNMET {
                ready = (2 * ready).clamp(1, SLOTS);
                self.ready.store(ready, Ordering::Relaxed);
            }
            self.reserve.refill(ready, self.make);
        }
    }

    impl<T, const SLOTS: usize> Reserve<T, SLOTS> {
        /// Empty until the first refill.
        pub(crate) const fn new() -> Self {
            Reserve { slots: [const { AtomicPtr::new(ptr::null_mut()) }; SLOTS] }
        }
    }
}

modelled! {
    /// Models bring their own reserve; other files' models do without blocks.
    pub(crate) struct Stock<T>(std::marker::PhantomData<fn() -> T>);

    impl<T> Stock<T> {
        pub(crate) const fn new(_make: fn() -> Box<T>) -> Self {
            Stock(std::marker::PhantomData)
        }

        pub(crate) const fn on_demand(make: fn() -> Box<T>) -> Self {
            Stock::new(make)
        }

        pub(crate) fn take(&self) -> Option<Box<T>> {
            None
        }

        pub(crate) fn give_back(&self, _block: Box<T>) {}

        #[cfg(test)]
        pub(crate) fn say_empty(&self) {}

        pub(crate) fn wants_refill(&self) -> bool {
            false
        }

        pub(crate) fn refill(&self) {}
    }

    impl<T, const SLOTS: usize> Reserve<T, SLOTS> {
        pub(crate) fn new() -> Self {
            Reserve { slots: std::array::from_fn(|_| AtomicPtr::new(ptr::null_mut())) }
        }
    }
}

#[cfg(test)]
impl<T, const SLOTS: usize> Reserve<T, SLOTS> {
    /// Which slots hold a block.
    pub(crate) fn filled(&self) -> Vec<bool> {
        let filled = |slot: &AtomicPtr<T>| !slot.load(Ordering::Relaxed).is_null();
        self.slots.iter().map(filled).collect()
    }
}
