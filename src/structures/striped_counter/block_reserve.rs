//! Blocks of cells, and the reserve they are taken from.
//!
//! A record that a second thread reports on needs cells for more threads, and
//! finds that out in the middle of a report, where nothing may be allocated. So
//! a few blocks always lie ready. A report takes one by a `swap`; [`refill`],
//! called where time does not matter (registration, the driver's turn), makes
//! up for those taken. A report that finds none counts in the shared cell, has
//! the driver woken, and a later one tries again. A reserve that was found empty
//! is filled with twice as many blocks the next time: a process with hundreds of
//! connections under several threads has cells for all of them after a few turns.
//!
//! The slots are exchanged whole, null for a block and back, so there is
//! nothing like a list's ABA problem.
//!
//! A block has a cell for each thread that can run at once.
//!
//! [`refill`]: Reserve::refill

use std::ptr;

use super::Cells;
use super::block::{self, Block, Line};
use super::cell::Cell;
use crate::sys::atomic::{AtomicPtr, Ordering, modelled, shipped};

/// Up to `SLOTS` blocks, ready to be taken.
pub(crate) struct Reserve<const SLOTS: usize> {
    /// Each null or a block that the slot owns.
    slots: [AtomicPtr<Cells>; SLOTS],
}

impl<const SLOTS: usize> Reserve<SLOTS> {
    /// Takes a block, if there is one. Its cells are unowned and empty.
    pub(super) fn take(&self) -> Option<Box<Cells>> {
        self.slots.iter().find_map(|slot| {
            // An empty slot is only read, so an empty reserve stays a line that
            // all cores may keep.
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

    /// Returns a block whose cells no thread ever owned. Frees it if all slots
    /// were filled meanwhile.
    pub(super) fn give_back(&self, block: Box<Cells>) {
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

    /// Fills the empty ones of the first `count` slots. Allocates: not for the
    /// path of a report. Costs a few loads when nothing is missing.
    pub(crate) fn refill(&self, count: usize) {
        for slot in self.slots.iter().take(count) {
            if slot.load(Ordering::Relaxed).is_null() {
                self.give_back(allocate());
            }
        }
    }
}

fn allocate() -> Box<Cells> {
    let cells = (0..block::at_once()).map(|_| Line(Cell::new()));
    Box::new(Block::new(cells.collect()))
}

impl<const SLOTS: usize> Drop for Reserve<SLOTS> {
    fn drop(&mut self) {
        while self.take().is_some() {}
    }
}

shipped! {
    use crate::sys::fork;
    use crate::sys::atomic::{AtomicU32, AtomicUsize};

    const SLOTS: usize = 64;

    /// The process's reserve.
    static RESERVE: Reserve<SLOTS> = Reserve::new();

    /// How many blocks lie ready after a refill.
    static READY: AtomicUsize = AtomicUsize::new(8);

    /// What the next refill finds: nothing to do, blocks that were taken, or an empty
    /// reserve, and then whether the driver has been woken for it, in which incarnation: the
    /// driver of the parent of a fork does nothing for the child. Relaxed throughout: a
    /// hint, which may be late but never says that there is nothing to do for ever, since
    /// who finds the reserve empty writes last.
    static DEMAND: AtomicU32 = AtomicU32::new(TAKEN);
    const MET: u32 = 0;
    const TAKEN: u32 = 1;
    const UNMET: u32 = 2;
    const CALLED_FOR: u32 = 3;

    /// A block of the process's reserve.
    pub(super) fn take() -> Option<Box<Cells>> {
        // Once it is known to be empty, no thread searches it.
        let demand = DEMAND.load(Ordering::Relaxed);
        if demand >= UNMET {
            return None;
        }
        let block = RESERVE.take();
        if block.is_none() {
            DEMAND.store(UNMET, Ordering::Relaxed);
        } else if demand == MET {
            DEMAND.store(TAKEN, Ordering::Relaxed);
        }
        block
    }

    /// What [`take`] says when it finds nothing.
    #[cfg(test)]
    pub(super) fn say_empty() {
        DEMAND.store(UNMET, Ordering::Relaxed);
    }

    pub(super) fn give_back(block: Box<Cells>) {
        RESERVE.give_back(block);
    }

    /// Whether the caller has to see to it that the driver calls [`refill`] soon:
    /// true for one of those that found the reserve empty.
    pub(crate) fn wants_refill() -> bool {
        let demand = DEMAND.load(Ordering::Relaxed);
        let called_for = CALLED_FOR + fork::incarnation();
        demand >= UNMET
            && demand != called_for
            && DEMAND
                .compare_exchange(demand, called_for, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok()
    }

    /// Fills the process's reserve.
    #[inline]
    pub(crate) fn refill() {
        if DEMAND.load(Ordering::Relaxed) != MET {
            fill();
        }
    }

    #[cold]
    fn fill() {
        // Before the work: what is taken meanwhile is for the next one.
        let demand = DEMAND.swap(MET, Ordering::Relaxed);
        let mut ready = READY.load(Ordering::Relaxed);
        if demand >= UNMET {
            ready = (2 * ready).min(SLOTS);
            READY.store(ready, Ordering::Relaxed);
        }
        RESERVE.refill(ready);
    }

    impl<const SLOTS: usize> Reserve<SLOTS> {
        /// Empty until the first refill.
        pub(crate) const fn new() -> Self {
            Reserve { slots: [const { AtomicPtr::new(ptr::null_mut()) }; SLOTS] }
        }
    }
}

modelled! {
    #[cfg(test)]
    pub(super) fn say_empty() {}

    /// Models bring their own reserve; other files' models do without blocks.
    pub(super) fn take() -> Option<Box<Cells>> {
        None
    }

    pub(super) fn give_back(_: Box<Cells>) {}

    pub(crate) fn wants_refill() -> bool {
        false
    }

    pub(crate) fn refill() {}

    impl<const SLOTS: usize> Reserve<SLOTS> {
        pub(crate) fn new() -> Self {
            Reserve { slots: std::array::from_fn(|_| AtomicPtr::new(ptr::null_mut())) }
        }
    }
}

#[cfg(test)]
impl<const SLOTS: usize> Reserve<SLOTS> {
    /// Which slots hold a block.
    pub(crate) fn filled(&self) -> Vec<bool> {
        let filled = |slot: &AtomicPtr<Cells>| !slot.load(Ordering::Relaxed).is_null();
        self.slots.iter().map(filled).collect()
    }
}
