//! Cells for several threads, each written by one of them.
//!
//! Cells lie on pairs of cache lines, several on each: processors prefetch neighbours in pairs.
//! Below, a *line* is such a pair. A thread owns at most one cell of a block, on its home line:
//! that of its [index](thread_index) modulo the number of lines. The owner of a line's first cell
//! is written in the block's head, which all threads read and which is rarely written. So a thread
//! that is the first on its line finds its cell without reading the line. The owners of the further
//! cells are written beside them: a thread that reads there shares the line in any case.
//!
//! A thread whose neighbours report at the same time waits for them: the line moves from core to
//! core. Beside idle threads it is as fast as alone. The owner of a further cell finds out whether
//! its neighbours are busy ([`Tenant::is_crowded`]), and has the block replaced by a larger one.
//!
//! The block's user decides what a cell contains: a record's totals, or how many tombstones a table
//! has.

use super::{Stripe, thread_index};
use crate::sys::atomic::{AtomicU16, AtomicU32, Ordering, modelled, shipped};

/// The cells.
pub(crate) struct Block<L: Lines> {
    /// A power of two of them, at most `MAX_LINES`.
    lines: L,
    /// `firsts[i]` is the index that owns the first cell of `lines[i]`, or `FREE`; only that
    /// index's thread counts there. Like all owners, it never changes again.
    firsts: [AtomicU16; MAX_LINES],
}

/// A value on cache lines of its own.
#[repr(align(128))]
pub(crate) struct Line<T>(pub(crate) T);

/// The cells of a line.
pub(crate) struct Row<C> {
    cells: [C; TENANTS],
    /// The indexes that own the cells after the first one, or `FREE`.
    owners: [AtomicU16; TENANTS - 1],
    /// The number of reports of the others on the line at the owner's last check, for each of
    /// `owners`. Written by that owner alone.
    seen: [AtomicU32; TENANTS - 1],
}

impl<C> Row<C> {
    pub(crate) fn new(cell: fn() -> C) -> Self {
        Row {
            cells: std::array::from_fn(|_| cell()),
            owners: std::array::from_fn(|_| AtomicU16::new(thread_index::FREE)),
            seen: std::array::from_fn(|_| AtomicU32::new(0)),
        }
    }
}

/// A thread's cell on its home line.
pub(super) struct Tenant<'a, C> {
    row: &'a Row<C>,
    /// The number of the cell.
    which: usize,
}

impl<'a, C> Tenant<'a, C> {
    pub(super) fn cell(&self) -> &'a C {
        &self.row.cells[self.which]
    }
}

impl Tenant<'_, Stripe> {
    /// Whether it is time for [`Tenant::is_crowded`].
    pub(super) fn is_due(&self) -> bool {
        self.cell().reports().is_multiple_of(TURN)
    }

    /// Whether others on the line have reported since the last call. Always false for the first
    /// cell. Only the cell's owner may call it.
    pub(super) fn is_crowded(&self) -> bool {
        let Some(further) = self.which.checked_sub(1) else {
            return false;
        };
        let others = self.row.cells.iter().enumerate();
        let others = others.filter(|(which, _)| *which != self.which);
        let reports = others.fold(0, |sum: u32, (_, cell)| {
            sum.wrapping_add(cell.reports() as u32)
        });
        // Relaxed: only a hint.
        let seen = &self.row.seen[further];
        let more = reports.wrapping_sub(seen.load(Ordering::Relaxed));
        seen.store(reports, Ordering::Relaxed);
        // What they reported before this thread's first report does not count.
        self.cell().reports() != 0 && more >= CROWD
    }
}

/// The storage of the lines: a box if their number is known only at run time, otherwise an array
/// inside the block.
pub(crate) trait Lines {
    type Cell;
    fn lines(&self) -> &[Line<Row<Self::Cell>>];
}

impl<C> Lines for Box<[Line<Row<C>>]> {
    type Cell = C;

    #[inline(always)]
    fn lines(&self) -> &[Line<Row<C>>] {
        self
    }
}

impl<C, const N: usize> Lines for [Line<Row<C>>; N] {
    type Cell = C;

    #[inline(always)]
    fn lines(&self) -> &[Line<Row<C>>] {
        self
    }
}

impl<L: Lines> Block<L> {
    pub(crate) fn new(lines: L) -> Self {
        let many = lines.lines().len();
        debug_assert!(many.is_power_of_two() && many <= MAX_LINES);
        #[cfg(test)]
        LIVE.with(|live| live.set(live.get() + 1));
        Block {
            lines,
            firsts: std::array::from_fn(|_| AtomicU16::new(thread_index::FREE)),
        }
    }

    /// The current thread's cell, claimed if need be, which only this thread writes. `None` if its
    /// home line has no free cell, or if the thread has no index.
    #[inline]
    pub(crate) fn own(&self) -> Option<&L::Cell> {
        self.first(thread_index::current())
            .or_else(|| self.own_otherwise())
    }

    #[cold]
    #[inline(never)]
    fn own_otherwise(&self) -> Option<&L::Cell> {
        Some(self.claim(thread_index::claim_current()?)?.cell())
    }

    /// The home line of `index`.
    #[inline(always)]
    fn home(&self, index: u16) -> usize {
        usize::from(index) & (self.lines.lines().len() - 1)
    }

    /// The cell of `index`. Returns `None` unless it is the first one of its line.
    #[inline(always)]
    pub(super) fn first(&self, index: u16) -> Option<&L::Cell> {
        let home = self.home(index);
        let owner = self.firsts.get(home)?.load(Ordering::Relaxed);
        let line = self.lines.lines().get(home)?;
        (owner == index).then_some(&line.0.cells[0])
    }

    /// The cell of `index`. Returns `None` unless it is a further one.
    pub(super) fn further(&self, index: u16) -> Option<Tenant<'_, L::Cell>> {
        let row = &self.lines.lines()[self.home(index)].0;
        let is_own = |owner: &AtomicU16| owner.load(Ordering::Relaxed) == index;
        let which = 1 + row.owners.iter().position(is_own)?;
        Some(Tenant { row, which })
    }

    /// Finds the cell of `index`, or claims one for it. Returns `None` if all cells of the home
    /// line are taken. No owner is ever erased, so an index finds its own cell before a free one.
    pub(super) fn claim(&self, index: u16) -> Option<Tenant<'_, L::Cell>> {
        let home = self.home(index);
        let row = &self.lines.lines()[home].0;
        let mut owners = std::iter::once(&self.firsts[home]).chain(&row.owners);
        let which = owners.position(|owner| thread_index::claim_cell(owner, index))?;
        Some(Tenant { row, which })
    }

    /// All cells, owned or not.
    pub(crate) fn cells(&self) -> impl Iterator<Item = &L::Cell> {
        self.column(0, 1)
    }

    /// The cells of every `apart`th line, from `line` on.
    pub(super) fn column(&self, line: usize, apart: usize) -> impl Iterator<Item = &L::Cell> {
        let lines = self.lines.lines().iter().skip(line).step_by(apart);
        lines.flat_map(|line| &line.0.cells)
    }

    /// The line of a cell, if it is one of this block.
    pub(super) fn line_of(&self, is_it: impl Fn(&L::Cell) -> bool) -> Option<usize> {
        let mut lines = self.lines.lines().iter();
        lines.position(|line| line.0.cells.iter().any(&is_it))
    }

    /// The number of lines.
    pub(super) fn many(&self) -> usize {
        self.lines.lines().len()
    }
}

shipped! {
    pub(super) const MAX_LINES: usize = 128;

    /// How many threads can have cells on a line.
    pub(super) const TENANTS: usize = 3;

    /// The owner of a further cell checks once in so many reports whether the line is crowded.
    const TURN: u64 = 1_024;

    /// The number of reports of others between two checks that makes a line crowded.
    const CROWD: u32 = 64;

    const _: () = assert!(size_of::<Line<Row<Stripe>>>() == 128);
    const _: () = assert!(size_of::<super::Cells>() == 384);

    /// How many threads can run at once, as a number of lines, 4 to 64. The system is asked only
    /// once.
    pub(super) fn at_once() -> usize {
        // A race and not a lock, which might be held across a fork.
        static LINES: once_cell::race::OnceNonZeroUsize =
            once_cell::race::OnceNonZeroUsize::new();
        let ask = || std::thread::available_parallelism().unwrap_or(std::num::NonZeroUsize::MIN);
        LINES.get_or_init(ask).get().clamp(4, MAX_LINES / 2).next_power_of_two()
    }
}

modelled! {
    pub(super) const MAX_LINES: usize = 4;
    pub(super) const TENANTS: usize = 2;
    const TURN: u64 = 2;
    const CROWD: u32 = 1;

    pub(super) fn at_once() -> usize {
        MAX_LINES / 2
    }
}

#[cfg(test)]
thread_local! {
    /// Blocks made less blocks freed, by this thread. (Under loom all threads of a
    /// model are one thread of the system.)
    static LIVE: std::cell::Cell<isize> = const { std::cell::Cell::new(0) };
}

#[cfg(test)]
pub(crate) fn live_blocks() -> isize {
    LIVE.with(std::cell::Cell::get)
}

#[cfg(test)]
impl<L: Lines> Drop for Block<L> {
    fn drop(&mut self) {
        // A thread that ends may free a table's block after this variable was destroyed.
        let _ = LIVE.try_with(|live| live.set(live.get() - 1));
    }
}
