//! Totals that scale: the numbers of reports and the time of the last success, without a shared
//! write.
//!
//! A connection counts every success and every rejection. On a healthy circuit
//! that count is the only thing a call would write, so it decides what the
//! guarded call costs: one `fetch_add` is as expensive as the whole call may
//! be, and on a line that two cores write it is many times more expensive.
//!
//! So a total is spread over cells, and every [`Cell`] has one thread that
//! writes it, with plain loads and stores. The exact total is the sum over the
//! cells, taken when a reader asks. Beside each cell are the [`Failures`] of its thread. A report
//! goes to
//!
//! 1. the **primary** cell, inside the record, if this thread was the first to
//!    report there: most connections never need more;
//! 2. a cell on its home line in the newest [block](stripes); the record gets its first block when
//!    a second thread reports;
//! 3. the **shared** cell, by read-modify-writes, if there is neither: the process's
//!    [reserve](crate::structures::reserve) was empty, the cells of the line are taken and there is
//!    no larger block, or the thread has no index. Slower, and as exact.
//!
//! A thread is known by its [`thread_index`]: small, dense, and used by one live thread at a
//! time. The owner of a cell is written once and never erased. So a thread that ends need not
//! give its cells back: the next thread with its index inherits them.
//!
//! # Owners that are idle, and crowds
//!
//! A cell cannot be taken from its owner. The owner may have been stopped between the load and the
//! store of an increment, for any time, and its store would erase what the next owner has counted.
//! A way to tell a stopped owner from an idle one would cost every report some instructions.
//!
//! A cell with its failures has 32 bytes, so cells are cheap. What is scarce are lines, and only
//! for threads that report at the same time. So a line has several cells, and threads whose home it
//! is own one each. A thread whose neighbours are idle has the line for itself. An owner that
//! reports again goes on in its own cell.
//!
//! If two threads of a line are busy at the same time, the owner of the later cell notices: from
//! time to time it checks how much its neighbours have reported since the last check. Then the
//! record gets a block with four times the lines, until each busy thread has a line of its own. The
//! threads claim cells in the new block when they next report. What they have counted stays in the
//! old block, and so do the cells of idle threads. Cells and lines are never given back while the
//! record lives, so they need no protocol.
//!
//! | busy threads of a process | on a circuit that all of them use |
//! |---|---|
//! | one for each processor | a line each |
//! | up to 128 | a line each, after some thousand reports |
//! | up to 384 | a cell each, up to three on a line |
//! | more | those beyond use the shared cell |
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
//! - A report takes no lock and allocates nothing, with one exception: the first
//!   report of a *thread* registers a destructor for its index, for which the
//!   system may allocate a few bytes and take a lock.
//! - After `fork`, the child's one thread keeps its index and its cells. The indexes of the
//!   threads that do not exist in the child stay taken there, and their cells are idle.
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
//! - *Taking a cell from an owner that seems idle*, after a flag that the owner would clear, a
//!   `membarrier`, or a time to wait: none of them is safe if the owner was stopped for longer.
//! - *Marking where each report begins and ends*, so that an owner is known to be outside: two
//!   more stores for each report of each thread.
//! - *Looking for a free line* when the home line is crowded: needs no larger block, but from then
//!   on every report has to search as far.

pub(crate) mod block;
mod cell;
mod failures;
#[cfg(test)]
mod for_tests;
mod stripes;
#[cfg(test)]
mod tests;
mod thread_index;

pub(crate) use cell::{Cell, Shared, is_look};
pub(crate) use failures::Failures;
use stripes::Process;
pub(crate) use stripes::Store;
pub(crate) use stripes::{Cells, Stripes, refill, refill_smallest, stocks};

use crate::sys::atomic::{AtomicU16, Ordering, shipped};
use crate::sys::clock::Tick;

#[cfg(test)]
pub(crate) use {
    for_tests::Counter,
    stripes::{Maker, fresh_cells},
    thread_index::Pool,
};

/// The index that owns a record's primary cell: that of the first thread to report, 0 until
/// then. Never changes afterwards; embed it on a line that is mostly read.
pub(crate) struct Owner(AtomicU16);

impl Owner {
    /// No owner: no thread has reported yet.
    pub(crate) fn new() -> Self {
        Owner(AtomicU16::new(thread_index::FREE))
    }

    #[inline]
    fn is(&self, index: u16) -> bool {
        // ORDERING: Relaxed, here and wherever owners are read. The one value
        // that matters, this thread's index, was written by this thread or by an
        // earlier one with the index. `Pool::claim` acquired that one's writes.
        self.0.load(Ordering::Relaxed) == index
    }
}

shipped! {
    const _: () = assert!(size_of::<Owner>() == 2);
}

/// Where one thread counts on one record: a cell of a block, for threads beyond the first.
pub(crate) struct Stripe {
    cell: Cell,
    failures: Failures,
}

impl Stripe {
    fn new() -> Self {
        Stripe {
            cell: Cell::new(),
            failures: Failures::new(),
        }
    }

    /// The number of reports counted here. Any thread may call it.
    fn reports(&self) -> u64 {
        self.cell.reports().wrapping_add(self.failures.get())
    }

    fn own(&self) -> Own<'_> {
        Own {
            cell: &self.cell,
            failures: &self.failures,
        }
    }
}

/// Where the current thread counts.
#[derive(Clone, Copy)]
struct Own<'a> {
    cell: &'a Cell,
    failures: &'a Failures,
}

/// The totals of one record, seen together.
#[derive(Clone, Copy)]
pub(crate) struct Totals<'a> {
    /// The first thread's cell: on a line no other thread's report touches.
    pub(crate) primary: &'a Cell,
    /// The first thread's failures, on the same line as its cell.
    pub(crate) failures: &'a Failures,
    /// On a line that is mostly read.
    pub(crate) owner: &'a Owner,
    /// On a line that is mostly read.
    pub(crate) stripes: &'a Stripes,
    /// On neither of those lines.
    pub(crate) shared: &'a Shared,
}

/// What [`Totals::sum`] found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sums {
    pub(crate) successes: u64,
    pub(crate) rejected: u64,
    pub(crate) failures: u64,
    /// The latest time given to [`Totals::success`].
    pub(crate) last_success_ms: Option<u64>,
}

impl<'a> Totals<'a> {
    /// Counts a success at `now`, which is an activity. The first success of a tick in a cell calls
    /// `turn` with the cell, before the success is counted. Returns false if the thread asked for a
    /// block; the [`stocks`] may then have had none.
    #[inline]
    pub(crate) fn success(self, now: Tick, turn: impl FnOnce(&Cell)) -> bool {
        let (own, is_served) = self.settled();
        self.add_success(own.map(|own| own.cell), now, turn);
        is_served
    }

    /// Counts a rejection, which is no activity. Returns the same as [`Totals::success`].
    #[inline]
    pub(crate) fn rejected(self) -> bool {
        let (own, is_served) = self.settled();
        self.add_rejected(own.map(|own| own.cell));
        is_served
    }

    /// Counts a failure, which is an activity. The caller notes its time. Returns the same as
    /// [`Totals::success`].
    #[inline]
    pub(crate) fn failed(self) -> bool {
        self.try_failed_in_own().is_some() || self.failed_elsewhere()
    }

    /// Counts a failure where the current thread counts, and returns how many that thread has
    /// counted. Returns `None`, without counting, if that is not easily found or is full.
    #[inline(always)]
    pub(crate) fn try_failed_in_own(self) -> Option<u32> {
        self.own_failures()?.try_add()
    }

    fn failed_elsewhere(self) -> bool {
        let (own, is_served) = self.settle();
        self.add_failure(own.map(|own| own.failures));
        is_served
    }

    fn add_failure(self, failures: Option<&Failures>) {
        if failures.and_then(Failures::try_add).is_none() {
            self.shared.failed();
        }
    }

    /// The totals: exact once reporters are quiescent. Before that they are never too
    /// high, and never less than this reader saw before.
    pub(crate) fn sum(self) -> Sums {
        let mut sums = Sums::default();
        self.each(|cell| cell.add_to(&mut sums));
        sums.failures = self.sum_of_failures();
        sums
    }

    fn sum_of_failures(self) -> u64 {
        let more = self.stripes_of_blocks().map(|stripe| stripe.failures.get());
        let shared = self.shared.failures().load(Ordering::Relaxed);
        [shared, self.failures.get()]
            .into_iter()
            .chain(more)
            .fold(0, u64::wrapping_add)
    }

    /// Raises the totals to these, which were kept elsewhere, unless they are higher already. What
    /// other threads report meanwhile is counted on top.
    pub(crate) fn raise(self, successes: u64, rejected: u64, failures: u64) {
        self.shared
            .raise(successes, || self.sum().successes, Shared::successes);
        self.shared
            .raise(rejected, || self.sum().rejected, Shared::rejections);
        self.shared
            .raise(failures, || self.sum_of_failures(), Shared::failures);
    }

    fn each(self, mut visit: impl FnMut(&Cell)) {
        visit(self.primary);
        visit(self.shared.cell());
        self.stripes_of_blocks()
            .for_each(|stripe| visit(&stripe.cell));
    }

    fn stripes_of_blocks(self) -> impl Iterator<Item = &'a Stripe> {
        self.stripes.all().flat_map(|cells| cells.cells())
    }

    /// The number of lanes, for data that is kept beside the cells. A cell of a block shares its
    /// lane with those that are a multiple of the smallest block's lines away, in every block.
    pub(crate) fn lanes() -> usize {
        Self::BLOCKS + block::at_once()
    }

    /// The first lane of cells in blocks, after the primary and the shared one.
    const BLOCKS: usize = 2;

    /// The lane of a cell of this record.
    pub(crate) fn lane(self, cell: &Cell) -> usize {
        let is_it = |other: &Cell| std::ptr::eq(other, cell);
        if let Some(lane) = [self.primary, self.shared.cell()]
            .into_iter()
            .position(is_it)
        {
            return lane;
        }
        let is_it = |other: &Stripe| std::ptr::eq(&other.cell, cell);
        let line = self.stripes.all().find_map(|cells| cells.line_of(is_it));
        Self::BLOCKS + line.expect("a cell of this record") % block::at_once()
    }

    /// How many successes were counted in a lane.
    pub(crate) fn successes_in(self, lane: usize) -> u64 {
        let Some(line) = lane.checked_sub(Self::BLOCKS) else {
            return [self.primary, self.shared.cell()][lane].successes();
        };
        let cells = self.stripes.all();
        let cells = cells.flat_map(|cells| cells.column(line, block::at_once()));
        cells.fold(0, |sum: u64, stripe| {
            sum.wrapping_add(stripe.cell.successes())
        })
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

    /// The current thread's cell, if it is easily found: the primary one, or the first one of its
    /// home line.
    #[inline(always)]
    pub(crate) fn own(self) -> Option<&'a Cell> {
        let index = thread_index::current();
        if self.owner.is(index) {
            return Some(self.primary);
        }
        unlikely();
        Some(&self.stripes.newest()?.first(index)?.cell)
    }

    /// Where the current thread counts its failures, if that is easily found, as for
    /// [`Totals::own`].
    #[inline(always)]
    fn own_failures(self) -> Option<&'a Failures> {
        let index = thread_index::current();
        if self.owner.is(index) {
            return Some(self.failures);
        }
        unlikely();
        Some(&self.stripes.newest()?.first(index)?.failures)
    }

    /// Where the first thread counts.
    fn primary(self) -> Own<'a> {
        Own {
            cell: self.primary,
            failures: self.failures,
        }
    }

    /// Where the current thread counts, claimed if need be; `None` means the shared cell. Also
    /// whether no block was asked for.
    #[inline]
    fn settled(self) -> (Option<Own<'a>>, bool) {
        let index = thread_index::current();
        if self.owner.is(index) {
            return (Some(self.primary()), true);
        }
        match self.stripes.newest().and_then(|cells| cells.first(index)) {
            Some(stripe) => (Some(stripe.own()), true),
            None => self.settle(),
        }
    }

    fn settle(self) -> (Option<Own<'a>>, bool) {
        settle(
            self.primary,
            self.failures,
            self.owner,
            self.stripes,
            self.shared,
        )
    }

    /// [`Totals::settled`] for a thread whose cell is not easily found.
    fn settle_as(self, index: u16, store: &impl Store) -> (Option<Own<'a>>, bool) {
        let newest = self.stripes.newest();
        if let Some(own) = newest.and_then(|cells| cells.further(index))
            && !own.is_due()
        {
            return (Some(own.cell().own()), true);
        }
        if thread_index::claim_cell(&self.owner.0, index) {
            return (Some(self.primary()), true);
        }
        let own = newest.and_then(|cells| cells.claim(index));
        if let Some(own) = &own
            && !own.is_crowded()
        {
            return (Some(own.cell().own()), true);
        }
        let larger = self.stripes.grow(newest, store);
        let there = larger.and_then(|cells| cells.claim(index));
        (there.or(own).map(|own| own.cell().own()), false)
    }
}

/// Marks a branch as unlikely, so that the compiler lays out the other one without a jump.
#[cold]
#[inline(always)]
fn unlikely() {}

/// Claims a cell for the current thread. Takes the parts of [`Totals`] one by one, since the
/// struct would be passed through memory.
#[cold]
#[inline(never)]
fn settle<'a>(
    primary: &'a Cell,
    failures: &'a Failures,
    owner: &'a Owner,
    stripes: &'a Stripes,
    shared: &'a Shared,
) -> (Option<Own<'a>>, bool) {
    let totals = Totals {
        primary,
        failures,
        owner,
        stripes,
        shared,
    };
    match thread_index::claim_current() {
        Some(index) => totals.settle_as(index, &Process),
        None => (None, true),
    }
}

#[cfg(test)]
impl Owner {
    pub(crate) fn index(&self) -> u16 {
        self.0.load(Ordering::Relaxed)
    }
}
