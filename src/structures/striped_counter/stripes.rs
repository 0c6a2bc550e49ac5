//! The blocks of a record, each larger than the one before.
//!
//! A report finds the newest one, and its thread counts there. The older ones stay as they are,
//! with what was counted in them, and are freed with the record. So a thread that was stopped in
//! the middle of its report goes on in the cell that it had found, which is still its own, and no
//! count has to be moved. A thread that is idle when the block is replaced takes no cell in the
//! next one.
//!
//! A block has four times the lines of the one before, up to [`MAX_LINES`]: all together they are
//! less than twice as large as the newest one.
//!
//! No report allocates: blocks lie ready, or are made by the driver after a report found none
//! ([`Stock`]). Until then a thread counts as before.

use std::ptr;

use super::Stripe;
use super::block::{self, Block, Line, MAX_LINES, Row};
use crate::structures::reserve::Stock;
use crate::sys::atomic::{AtomicPtr, Ordering, shipped};

/// Where a record's further cells are. Embed it on a line that is mostly read.
pub(crate) struct Stripes {
    /// The newest block; null until a second thread reports while the reserve has one.
    newest: AtomicPtr<Cells>,
}

shipped! {
    #[cfg(target_pointer_width = "64")]
    const _: () = assert!(size_of::<Stripes>() == 8);
}

/// A record's cells for threads beyond its first.
#[repr(align(128))]
pub(crate) struct Cells {
    block: Block<Box<[Line<Row<Stripe>>]>>,
    /// The number of the block's size, from 0.
    size: usize,
    /// The block before, or null. Written before this block is published.
    older: AtomicPtr<Cells>,
}

impl Stripes {
    /// No block yet.
    pub(crate) fn new() -> Self {
        Stripes {
            newest: AtomicPtr::new(ptr::null_mut()),
        }
    }

    /// The newest block, where threads count, if there is one.
    #[inline]
    pub(crate) fn newest(&self) -> Option<&Cells> {
        // ORDERING: Acquire, partner of the Release in `grow`: a block is written before its
        // address is.
        let newest = self.newest.load(Ordering::Acquire);
        // SAFETY: null, or a block that `grow` leaked from a box. Only the drop of `Stripes` frees
        // it, which the borrow of `self` excludes.
        unsafe { newest.as_ref() }
    }

    /// All blocks, the newest one first.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Cells> {
        std::iter::successors(self.newest(), |cells| cells.older())
    }

    /// Gives the record a block that is larger than `seen`, the newest one that the caller knows.
    /// If another thread has done so meanwhile, returns that block. `None` if the store has none,
    /// or if `seen` has the largest size.
    pub(super) fn grow(&self, seen: Option<&Cells>, store: &impl Store) -> Option<&Cells> {
        let size = match seen {
            Some(seen) if seen.block.many() == MAX_LINES => return None,
            Some(seen) => seen.size + 1,
            None => 0,
        };
        // ORDERING: Acquire, as in `newest`.
        let newest = self.newest.load(Ordering::Acquire);
        if newest.cast_const() != seen.map_or(ptr::null(), ptr::from_ref) {
            // SAFETY: null, or a block that `grow` leaked from a box; the borrow of `self` excludes
            // the drop that frees it.
            return unsafe { newest.as_ref() };
        }
        let fresh = store.take(size)?;
        fresh.older.store(newest, Ordering::Relaxed);
        let fresh = Box::into_raw(fresh);
        // ORDERING: Release, partner of the Acquire in `newest`; Acquire for the block that another
        // thread has published meanwhile.
        let set = self
            .newest
            .compare_exchange(newest, fresh, Ordering::Release, Ordering::Acquire);
        match set {
            // SAFETY: leaked above and just published; the borrow of `self` excludes the drop that
            // frees it.
            Ok(_) => Some(unsafe { &*fresh }),
            Err(other) => {
                // SAFETY: the exchange failed, so `fresh` was never shared.
                let fresh = unsafe { Box::from_raw(fresh) };
                fresh.older.store(ptr::null_mut(), Ordering::Relaxed);
                store.give_back(fresh);
                // SAFETY: null, or a block that `grow` leaked from a box; the borrow of `self`
                // excludes the drop that frees it.
                unsafe { other.as_ref() }
            }
        }
    }
}

impl Drop for Stripes {
    fn drop(&mut self) {
        // Relaxed: `&mut self` shows that all users have synchronised with this thread.
        let mut next = self.newest.load(Ordering::Relaxed);
        while !next.is_null() {
            // SAFETY: leaked by `grow`, which published each block once, with the one before;
            // `&mut self` shows that no thread uses it any more.
            let cells = unsafe { Box::from_raw(next) };
            next = cells.older.load(Ordering::Relaxed);
        }
    }
}

impl std::ops::Deref for Cells {
    type Target = Block<Box<[Line<Row<Stripe>>]>>;

    #[inline(always)]
    fn deref(&self) -> &Self::Target {
        &self.block
    }
}

impl Cells {
    fn new(size: usize) -> Self {
        // Four times as many as in the size before.
        let lines = (block::at_once() << (2 * size)).min(MAX_LINES);
        let lines = (0..lines).map(|_| Line(Row::new(Stripe::new)));
        Cells {
            block: Block::new(lines.collect()),
            size,
            older: AtomicPtr::new(ptr::null_mut()),
        }
    }

    fn older(&self) -> Option<&Cells> {
        // Relaxed: written before this block was published.
        let older = self.older.load(Ordering::Relaxed);
        // SAFETY: null, or what `grow` has replaced by this block. The two are freed together, and
        // the record's blocks outlast the borrow of one of them.
        unsafe { older.as_ref() }
    }
}

/// How many sizes there are at most.
pub(super) const SIZES: usize = 4;

/// Blocks for the records of the process that several threads report on, by size. Only blocks of
/// the smallest size lie ready before one is asked for.
static BLOCKS: [Stock<Cells>; SIZES] = [
    Stock::new(cells_of_size::<0>),
    Stock::on_demand(cells_of_size::<1>),
    Stock::on_demand(cells_of_size::<2>),
    Stock::on_demand(cells_of_size::<3>),
];

pub(super) fn cells_of_size<const SIZE: usize>() -> Box<Cells> {
    Box::new(Cells::new(SIZE))
}

/// A block of the smallest size, for a second thread on a record.
#[cfg(test)]
pub(crate) fn fresh_cells() -> Box<Cells> {
    cells_of_size::<0>()
}

/// Replaces the blocks that were taken. Allocates.
pub(crate) fn refill() {
    BLOCKS.iter().for_each(Stock::refill);
}

/// [`refill`] for the smallest size only, which records need most.
pub(crate) fn refill_smallest() {
    BLOCKS[0].refill();
}

/// The reserves that blocks come from.
pub(crate) fn stocks() -> impl Iterator<Item = &'static Stock<Cells>> {
    BLOCKS.iter()
}

/// A source of blocks: the process's reserves, or one that a test made.
pub(crate) trait Store {
    fn take(&self, size: usize) -> Option<Box<Cells>>;
    fn give_back(&self, cells: Box<Cells>);
}

pub(super) struct Process;

impl Store for Process {
    fn take(&self, size: usize) -> Option<Box<Cells>> {
        BLOCKS.get(size)?.take()
    }

    fn give_back(&self, cells: Box<Cells>) {
        BLOCKS[cells.size].give_back(cells);
    }
}

/// A store of the smallest blocks only.
#[cfg(test)]
impl<const N: usize> Store for crate::structures::reserve::Reserve<Cells, N> {
    fn take(&self, size: usize) -> Option<Box<Cells>> {
        match size {
            0 => self.take(),
            _ => None,
        }
    }

    fn give_back(&self, cells: Box<Cells>) {
        self.give_back(cells);
    }
}

/// A store that makes blocks when asked, of the first `sizes` sizes.
#[cfg(test)]
pub(crate) struct Maker {
    pub(crate) sizes: usize,
}

#[cfg(test)]
impl Store for Maker {
    fn take(&self, size: usize) -> Option<Box<Cells>> {
        (size < self.sizes).then(|| Box::new(Cells::new(size)))
    }

    fn give_back(&self, _cells: Box<Cells>) {}
}
