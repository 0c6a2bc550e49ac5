//! Totals that scale: how often, and when last, without a shared write.
//!
//! A connection counts every success and every rejection. On a healthy circuit
//! that count is the only thing a call would write, so it decides what the
//! guarded call costs: one `fetch_add` is as expensive as the whole call may
//! be, and on a line that two cores write it is many times more expensive.
//!
//! So a total is spread over cells, and every [`Cell`] has one thread that
//! writes it, with plain loads and stores. The exact total is the sum over the
//! cells, taken when a reader asks. A report goes to
//!
//! 1. the **primary** cell, inside the record, if this thread was the first to
//!    report there: most connections never need more;
//! 2. a cell of the **block**, attached once, when a second thread turns up;
//! 3. the **shared** cell, by read-modify-writes, if there is neither: the
//!    process's [reserve](crate::structures::reserve) was empty, the block's cells are taken, or the thread has no
//!    index. Slower, and exactly as exact.
//!
//! "This thread" is its [`thread_index`]: small, dense, and used by one live thread at a
//! time. An owner is written down once and never erased, so a thread needs no
//! farewell: the next one with its index inherits its cells.
//!
//! # What lies on which line
//!
//! Every thread that reports reads [`Owner`], often [`Stripes`], and, next to them,
//! whatever the record keeps that is mostly read. Owners live there, not in the
//! cells they own: to learn that a cell is another thread's, a thread must not read a
//! line that the other one keeps writing. The primary cell belongs on a line that no
//! other thread's report touches; [`Shared`] belongs on neither. This is why the
//! four are separate and the record places them.
//!
//! # What is promised
//!
//! - No count is lost or made twice: once reporters are quiescent (joined, say),
//!   [`Totals::sum`] is the number of calls, modulo 2⁶⁴.
//! - A sum taken meanwhile sees each cell at some moment of its own. One
//!   reader's sums never decrease. They are not an instant's snapshot.
//! - A report takes no lock and allocates nothing. The single exception is
//!   outside our reach: the first report of a *thread* registers a destructor
//!   for its index, for which the system may take a few bytes and a lock.
//! - After `fork`, the child's one thread keeps its index and its cells; the
//!   indexes of the threads that are gone stay taken there.
//!
//! A report interrupted by a signal handler that itself reports can lose a
//! count, as any load and store would: do not report from signal handlers.
//!
//! # What was rejected
//!
//! - *A striped `fetch_add`*: no contention, yet an RMW in every report.
//! - *A table of cells per thread*, found by connection: allocates and hashes in
//!   the report, and a reader must walk all threads.
//! - *`std::thread::ThreadId` as owner*: never reused, so every short-lived
//!   thread would use up a cell for good.
//! - *Cells per processor with restartable sequences*: Linux only.
//! - *A block in every record*: most of a kilobyte for connections that one
//!   thread uses.

pub(crate) mod block;
mod cell;
#[cfg(test)]
mod tests;
mod thread_index;

use block::{Block, Line};
pub(crate) use cell::{Cell, Shared, is_look};

use crate::structures::reserve::Stock;
use crate::sys::atomic::{AtomicU16, Ordering, shipped};
use crate::sys::clock::Tick;
use crate::sys::publish_once::PublishOnce;

#[cfg(test)]
pub(crate) use thread_index::Pool;

/// Who owns a record's primary cell: the first thread to report, 0 until then.
/// Never changes afterwards; embed it on a line that is mostly read.
pub(crate) struct Owner(AtomicU16);

impl Owner {
    /// No thread has reported yet.
    pub(crate) fn new() -> Self {
        Owner(AtomicU16::new(thread_index::FREE))
    }

    #[inline]
    fn is(&self, index: u16) -> bool {
        // ORDERING: Relaxed, here and wherever owners are read. The one value
        // that matters, our own index, was written by this thread or by one
        // whose release of the index we acquired with it.
        self.0.load(Ordering::Relaxed) == index
    }
}

/// A record's cells for threads beyond its first.
pub(crate) type Cells = Block<Box<[Line<Cell>]>>;

/// Where a record's further cells are. Written at most once in its life; embed it on
/// a line that is mostly read.
pub(crate) struct Stripes {
    /// None until a second thread reports while the reserve has a block.
    block: PublishOnce<Cells>,
}

shipped! {
    #[cfg(target_pointer_width = "64")]
    const _: () = assert!(size_of::<Owner>() == 2 && size_of::<Stripes>() == 8);
}

impl Stripes {
    /// None yet.
    pub(crate) fn new() -> Self {
        Stripes {
            block: PublishOnce::new(),
        }
    }

    #[inline]
    fn block(&self) -> Option<&Cells> {
        self.block.get()
    }

    /// Gives the record a block from `store`, or the one it meanwhile got.
    /// `None` if the store is empty.
    fn attach(&self, store: &impl Store) -> Option<&Cells> {
        let attached = self.block.publish(store.take()?);
        Some(attached.unwrap_or_else(|(theirs, fresh)| {
            store.give_back(fresh);
            theirs
        }))
    }
}

/// Blocks for the records of the process that a second thread reports on: a cell for each thread
/// that can run at once.
pub(crate) static BLOCKS: Stock<Cells> = Stock::new(fresh_cells);

pub(crate) fn fresh_cells() -> Box<Cells> {
    let cells = (0..block::at_once()).map(|_| Line(Cell::new()));
    Box::new(Block::new(cells.collect()))
}

/// Where blocks come from: the process's reserve, or one that a test made.
pub(crate) trait Store {
    fn take(&self) -> Option<Box<Cells>>;
    fn give_back(&self, block: Box<Cells>);
}

struct Process;

impl Store for Process {
    fn take(&self) -> Option<Box<Cells>> {
        BLOCKS.take()
    }

    fn give_back(&self, block: Box<Cells>) {
        BLOCKS.give_back(block);
    }
}

#[cfg(test)]
impl<const N: usize> Store for crate::structures::reserve::Reserve<Cells, N> {
    fn take(&self) -> Option<Box<Cells>> {
        self.take()
    }

    fn give_back(&self, block: Box<Cells>) {
        self.give_back(block);
    }
}

/// The totals of one record, seen together.
#[derive(Clone, Copy)]
pub(crate) struct Totals<'a> {
    /// The first thread's cell: on a line no other thread's report touches.
    pub(crate) primary: &'a Cell,
    /// On a line that is mostly read, as is the next.
    pub(crate) owner: &'a Owner,
    pub(crate) stripes: &'a Stripes,
    /// On neither of those lines.
    pub(crate) shared: &'a Shared,
}

/// What [`Totals::sum`] found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sums {
    pub(crate) successes: u64,
    pub(crate) rejected: u64,
    /// The latest time given to [`Totals::success`].
    pub(crate) last_success_ms: Option<u64>,
}

impl<'a> Totals<'a> {
    /// Counts a success at `now`. The time says when it was active. The first success of a tick in
    /// a cell calls `turn` with the cell, before it is counted. False if the thread has no cell of
    /// its own, so that it was slow.
    #[inline]
    pub(crate) fn success(self, now: Tick, turn: impl FnOnce(&Cell)) -> bool {
        let cell = self.cell();
        self.add_success(cell, now, turn);
        cell.is_some()
    }

    /// Counts a rejection, which is no activity. False if the thread has no cell.
    #[inline]
    pub(crate) fn rejected(self) -> bool {
        let cell = self.cell();
        self.add_rejected(cell);
        cell.is_some()
    }

    /// The totals: exact once reporters are quiescent, never above the truth
    /// before that, and never less than this reader saw before.
    pub(crate) fn sum(self) -> Sums {
        let mut sums = Sums::default();
        self.each(|cell| cell.add_to(&mut sums));
        sums
    }

    /// Makes the totals as high as this, unless they are higher: totals that were kept elsewhere.
    /// What other threads report meanwhile is counted on top.
    pub(crate) fn raise(self, successes: u64, rejected: u64) {
        self.shared
            .raise(successes, || self.sum().successes, |cell| &cell.successes);
        self.shared
            .raise(rejected, || self.sum().rejected, |cell| &cell.rejected);
    }

    /// Shows all cells, in the order of their places.
    pub(crate) fn each(self, mut visit: impl FnMut(&Cell)) {
        visit(self.primary);
        visit(self.shared.cell());
        for cell in self.stripes.block().into_iter().flat_map(Block::cells) {
            visit(cell);
        }
    }

    /// How many places there are for cells, with and without a block.
    pub(crate) fn places() -> usize {
        2 + block::at_once()
    }

    /// The number of a cell of this record, below [`Totals::places`]: for what is kept beside it.
    pub(crate) fn place(self, cell: &Cell) -> usize {
        let mut place = 0;
        let mut found = None;
        self.each(|other| {
            if std::ptr::eq(other, cell) {
                found = Some(place);
            }
            place += 1;
        });
        found.expect("a cell of this record")
    }

    /// Whether it is the cell that several threads write.
    pub(crate) fn is_shared(self, cell: &Cell) -> bool {
        std::ptr::eq(self.shared.cell(), cell)
    }

    #[inline]
    fn add_success(self, cell: Option<&Cell>, now: Tick, turn: impl FnOnce(&Cell)) {
        match cell {
            Some(cell) => cell.success(now, || {
                turn(cell);
                cell.begin_tick(now);
            }),
            None => self.shared.success(now, || turn(self.shared.cell())),
        }
    }

    #[inline]
    fn add_rejected(self, cell: Option<&Cell>) {
        match cell {
            Some(cell) => cell.rejected(),
            None => self.shared.rejected(),
        }
    }

    /// The current thread's cell, if it is easily found: the primary one, or the one
    /// of the block where its probe begins.
    #[inline(always)]
    pub(crate) fn own(self) -> Option<&'a Cell> {
        let index = thread_index::current();
        if self.owner.is(index) {
            return Some(self.primary);
        }
        unlikely();
        self.stripes.block()?.first(index)
    }

    /// The current thread's cell, claimed if need be.
    #[inline]
    fn cell(self) -> Option<&'a Cell> {
        self.own()
            .or_else(|| settle(self.primary, self.owner, self.stripes, self.shared))
    }

    /// Finds or claims a cell for `index`; `None` means the shared one.
    fn settle_as(self, index: u16, store: &impl Store) -> Option<&'a Cell> {
        if thread_index::claim_cell(&self.owner.0, index) {
            return Some(self.primary);
        }
        let block = self.stripes.block();
        block.or_else(|| self.stripes.attach(store))?.claim(index)
    }
}

/// Tells the compiler which way the code goes on without a jump.
#[cold]
#[inline(always)]
fn unlikely() {}

/// Claims a cell for the current thread. Given its parts, since the whole would go
/// through memory.
#[cold]
#[inline(never)]
fn settle<'a>(
    primary: &'a Cell,
    owner: &'a Owner,
    stripes: &'a Stripes,
    shared: &'a Shared,
) -> Option<&'a Cell> {
    let totals = Totals {
        primary,
        owner,
        stripes,
        shared,
    };
    totals.settle_as(thread_index::claim_current()?, &Process)
}

#[cfg(test)]
impl Owner {
    pub(crate) fn index(&self) -> u16 {
        self.0.load(Ordering::Relaxed)
    }
}

/// The four parts, side by side: for tests, where nothing else lies between them.
#[cfg(test)]
pub(crate) struct Counter {
    pub(crate) primary: Cell,
    pub(crate) owner: Owner,
    pub(crate) stripes: Stripes,
    pub(crate) shared: Shared,
}

#[cfg(test)]
impl Counter {
    pub(crate) fn new() -> Self {
        Counter {
            primary: Cell::new(),
            owner: Owner::new(),
            stripes: Stripes::new(),
            shared: Shared::new(),
        }
    }

    pub(crate) fn totals(&self) -> Totals<'_> {
        Totals {
            primary: &self.primary,
            owner: &self.owner,
            stripes: &self.stripes,
            shared: &self.shared,
        }
    }
}

/// The same reports by a thread index and a reserve of the test's choosing.
#[cfg(test)]
impl<'a> Totals<'a> {
    pub(crate) fn success_as(self, index: u16, store: &impl Store, now_ms: u64) {
        self.success_as_turning(index, store, now_ms, |_| {});
    }

    pub(crate) fn success_as_turning(
        self,
        index: u16,
        store: &impl Store,
        now_ms: u64,
        turn: impl FnOnce(&Cell),
    ) {
        self.add_success(self.cell_as(index, store), Tick::from_ms(now_ms), turn);
    }

    pub(crate) fn rejected_as(self, index: u16, store: &impl Store) {
        self.add_rejected(self.cell_as(index, store));
    }

    fn cell_as(self, index: u16, store: &impl Store) -> Option<&'a Cell> {
        let own = self.stripes.block().and_then(|block| block.first(index));
        match self.owner.is(index) {
            true => Some(self.primary),
            false => own.or_else(|| self.settle_as(index, store)),
        }
    }
}
