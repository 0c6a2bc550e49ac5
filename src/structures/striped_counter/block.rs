//! Cells for several threads, each written by one of them.
//!
//! Each cell is on its own pair of cache lines: neighbours are prefetched in pairs. Who owns
//! which is written in the block's head, where all look and hardly anyone writes, and not in
//! the cells. A thread begins at its [index](thread_index) modulo the number of cells and
//! probes on from there; after sixteen misses it does without, so that a crowd of threads pays
//! a bounded price.
//!
//! What is in a cell is for the block's user to say: a record's totals, or how many
//! tombstones a table has.

use super::thread_index;
use crate::sys::atomic::{AtomicU16, Ordering, modelled, shipped};

/// How many owners a thread looks at before it gives up.
const PROBES: usize = 16;

/// The cells.
#[repr(align(128))]
pub(crate) struct Block<L: Lines> {
    /// A power of two of them, at most `MAX_CELLS`.
    cells: L,
    /// `owners[i]` is the index that owns `cells[i]`, or `FREE`; only that
    /// index's thread counts there. Never changes back, so a probe meets its own
    /// cell before it meets a free one.
    owners: [AtomicU16; MAX_CELLS],
}

/// A cell that shares its cache lines with nothing.
#[repr(align(128))]
pub(crate) struct Line<C>(pub(crate) C);

/// Where the cells lie: in a box if their number is found out at run time, or else inside of
/// the block.
pub(crate) trait Lines {
    type Cell;
    fn lines(&self) -> &[Line<Self::Cell>];
}

impl<C> Lines for Box<[Line<C>]> {
    type Cell = C;

    #[inline(always)]
    fn lines(&self) -> &[Line<C>] {
        self
    }
}

impl<C, const N: usize> Lines for [Line<C>; N] {
    type Cell = C;

    #[inline(always)]
    fn lines(&self) -> &[Line<C>] {
        self
    }
}

impl<L: Lines> Block<L> {
    pub(crate) fn new(cells: L) -> Self {
        let many = cells.lines().len();
        debug_assert!(many.is_power_of_two() && many <= MAX_CELLS);
        #[cfg(test)]
        LIVE.with(|live| live.set(live.get() + 1));
        Block {
            cells,
            owners: std::array::from_fn(|_| AtomicU16::new(thread_index::FREE)),
        }
    }

    /// The current thread's cell, claimed if need be. Its owner is the only one who writes it.
    #[inline]
    pub(crate) fn own(&self) -> Option<&L::Cell> {
        self.first(thread_index::current())
            .or_else(|| self.own_otherwise())
    }

    #[cold]
    #[inline(never)]
    fn own_otherwise(&self) -> Option<&L::Cell> {
        self.claim(thread_index::claim_current()?)
    }

    /// The cell of `index`, if it is the one where its probe begins.
    #[inline(always)]
    pub(super) fn first(&self, index: u16) -> Option<&L::Cell> {
        let place = usize::from(index) & (self.cells.lines().len() - 1);
        let owner = self.owners.get(place)?.load(Ordering::Relaxed);
        let line = self.cells.lines().get(place)?;
        (owner == index).then_some(&line.0)
    }

    /// Finds the cell of `index`, or claims one for it.
    pub(super) fn claim(&self, index: u16) -> Option<&L::Cell> {
        let mask = self.cells.lines().len() - 1;
        (0..self.cells.lines().len().min(PROBES))
            .map(|step| (usize::from(index) + step) & mask)
            .find(|&place| thread_index::claim_cell(&self.owners[place], index))
            .map(|place| &self.cells.lines()[place].0)
    }

    /// All cells, owned or not.
    pub(crate) fn cells(&self) -> impl Iterator<Item = &L::Cell> {
        self.cells.lines().iter().map(|line| &line.0)
    }
}

shipped! {
    const MAX_CELLS: usize = 64;

    const _: () = assert!(size_of::<Line<super::Cell>>() == 128);
    const _: () = assert!(size_of::<super::Cells>() == 256);

    /// How many threads can run at once, as a number of cells, 4 to 64. Asked of the system only
    /// once.
    pub(super) fn at_once() -> usize {
        // Racy rather than blocking: a lock might be held across a fork.
        static CELLS: once_cell::race::OnceNonZeroUsize =
            once_cell::race::OnceNonZeroUsize::new();
        let ask = || std::thread::available_parallelism().unwrap_or(std::num::NonZeroUsize::MIN);
        CELLS.get_or_init(ask).get().clamp(4, MAX_CELLS).next_power_of_two()
    }
}

modelled! {
    const MAX_CELLS: usize = 2;

    pub(super) fn at_once() -> usize {
        MAX_CELLS
    }
}

#[cfg(test)]
thread_local! {
    /// Blocks made minus blocks freed, by this thread. (Under loom all threads
    /// of a model are one thread of the system.)
    static LIVE: std::cell::Cell<isize> = const { std::cell::Cell::new(0) };
}

#[cfg(test)]
pub(crate) fn live_blocks() -> isize {
    LIVE.with(std::cell::Cell::get)
}

#[cfg(test)]
impl<L: Lines> Drop for Block<L> {
    fn drop(&mut self) {
        // A thread that ends may free a table's block after this variable.
        let _ = LIVE.try_with(|live| live.set(live.get() - 1));
    }
}
