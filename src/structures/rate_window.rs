//! How many calls were reported, failed and were slow within the last stretch of time.
//!
//! A healthy call does not write to memory that another thread's call reads. Successes are counted
//! in cells of one thread each in any case ([`striped_counter`](super::striped_counter)). For each
//! lane of cells there is a small ring of [`Marks`]: the count of the lane when each bucket of
//! time began. A cell's owner writes the mark before its first success in a bucket, in the branch
//! that it takes anyway when the clock's tick has changed. Threads have the same lane if their
//! cells lie on the same line, or would, if there were no larger block than the first. So there are
//! as many lanes as threads can run at once, and cells that are added later need no marks.
//! What was counted in a lane within the window is its count less the least mark inside of it. The
//! thread that asks, which has just reported something bad, adds up the lanes.
//!
//! Failures and slow calls are rare. Each of the two is one count that all threads write, with
//! marks of its own. A third one, `late`, has the successes that are in the cells
//! and must not be in a rate: a permit's success is counted before it is known to be stale.
//!
//! # What is promised
//!
//! - With the window's length T in [`BUCKETS`](marks::BUCKETS) buckets, the counts are those of a
//!   stretch that ends now and is at least T less a bucket and at most T long. All three are of the
//!   same stretch, by the coarse clock.
//! - The total of each count is read together with the part in the window, at one moment. So they
//!   fit together even if the thread is stopped between two counts.
//! - Once reporters are quiescent, no report in that stretch is missing, and none is in it twice.
//!   Meanwhile, of each thread at most the report that is under way is missing, or is counted
//!   as of a later moment than it was given.
//! - A report takes no lock and allocates nothing.
//!
//! A thread that asks and is stopped for longer than a bucket may miss marks that were overwritten
//! since. So it compares the clock before and after ([`RateWindow::counted`]), and asks again.
//!
//! A thread that begins a bucket may not see the last reports of other threads in its lane, if
//! they were made at the same moment. They count as reports of the new bucket.
//!
//! Rejected: marks for each cell, which would be most of the memory of a circuit that many threads
//! use; a ring of counts that all threads add to, which is a shared write for each call; sums
//! that decay, which are of no definite stretch of time; a log of calls.

mod marks;
#[cfg(all(test, not(loom)))]
mod tests;

use marks::{Bucket, Buckets, Marks};

use super::striped_counter::block::Line;
use super::striped_counter::{Cell, Totals};
use crate::sys::atomic::{AtomicU64, Ordering};
use crate::values::rates::Sums;

/// The window of one connection, of one length.
pub(crate) struct RateWindow {
    buckets: Buckets,
    /// The marks of the successes in each lane.
    lanes: Box<[Line<Marks>]>,
    failures: Line<Count>,
    slow: Line<Count>,
    late: Line<Count>,
}

/// What was counted up to one moment.
#[derive(Clone, Copy)]
pub(crate) struct Counted<T = Sums> {
    pub(crate) within: T,
    /// All since the window was made. The successes before that are included.
    pub(crate) in_all: T,
}

/// A count that any thread may write, and its marks.
struct Count {
    count: AtomicU64,
    marks: Marks,
}

impl RateWindow {
    /// A window of `span` ms that begins at `now`: what the cells have counted before is outside.
    /// Allocates.
    pub(crate) fn new(span: u64, totals: Totals<'_>, now: u64) -> Self {
        let buckets = Buckets::of(span);
        let here = buckets.at(now);
        // The cells of a block that is added later begin at zero, so these marks stay right.
        let begun = |lane| {
            let marks = Marks::new();
            marks.begin(buckets, here, || totals.successes_in(lane));
            Line(marks)
        };
        RateWindow {
            buckets,
            lanes: (0..Totals::lanes()).map(begun).collect(),
            failures: Line(Count::new()),
            slow: Line(Count::new()),
            late: Line(Count::new()),
        }
    }

    /// Writes the mark of the bucket of `now`, if the lane has none. Called by a cell's owner
    /// before it counts a success that is the first of its tick. For the shared cell, any thread
    /// calls it.
    pub(crate) fn turn(&self, totals: Totals<'_>, cell: &Cell, now: u64) {
        let lane = totals.lane(cell);
        let here = self.buckets.at(now);
        self.lanes[lane]
            .0
            .begin(self.buckets, here, || totals.successes_in(lane));
    }

    /// Counts a failure at `now`.
    pub(crate) fn failed(&self, now: u64) {
        self.failures.0.add(self.buckets, now);
    }

    /// Counts a call that was slow. It has been counted as a failure or as a success before.
    pub(crate) fn was_slow(&self, now: u64) {
        self.slow.0.add(self.buckets, now);
    }

    /// Excludes a success that was counted in a cell and belongs to no rate.
    pub(crate) fn was_late(&self, now: u64) {
        self.late.0.add(self.buckets, now);
    }

    /// Failures and slow calls within the window that ends at `now`.
    pub(crate) fn bad(&self, now: u64) -> (u64, u64) {
        let here = self.buckets.at(now);
        let [failures, slow] =
            [&self.failures, &self.slow].map(|bad| bad.0.within(self.buckets, here));
        (failures, slow)
    }

    /// What is within the window that ends now, and what was counted in all. `None` if this thread
    /// was stopped for longer than a bucket in each of several tries.
    pub(crate) fn counted(&self, totals: Totals<'_>, clock: impl Fn() -> u64) -> Option<Counted> {
        const TRIES: usize = 4;
        let mut here = self.buckets.at(clock());
        for _ in 0..TRIES {
            let counted = self.counted_at(totals, here);
            let now = self.buckets.at(clock());
            if !now.is_past_next(here) {
                return Some(counted);
            }
            here = now;
        }
        None
    }

    /// What is within the window, of [`RateWindow::counted`].
    #[cfg(test)]
    pub(crate) fn within(&self, totals: Totals<'_>, clock: impl Fn() -> u64) -> Option<Sums> {
        Some(self.counted(totals, clock)?.within)
    }

    fn counted_at(&self, totals: Totals<'_>, here: Bucket) -> Counted {
        // A reporter counts a failure, or a success in its cell, before it calls `was_slow` or
        // `was_late`. This reads in the opposite order, and successes last: a report that comes
        // meanwhile makes the rates lower, not higher.
        let slow = self.slow.0.counted(self.buckets, here);
        let failures = self.failures.0.counted(self.buckets, here);
        let late = self.late.0.counted(self.buckets, here);
        let (mut within, mut in_all) = (0_u64, 0_u64);
        for (lane, Line(marks)) in self.lanes.iter().enumerate() {
            within += marks.since(self.buckets, here, || {
                let count = totals.successes_in(lane);
                in_all = in_all.wrapping_add(count);
                count
            });
        }
        Counted {
            within: Sums {
                successes: within.saturating_sub(late.within),
                failures: failures.within,
                slow: slow.within,
            },
            in_all: Sums {
                successes: in_all.wrapping_sub(late.in_all),
                failures: failures.in_all,
                slow: slow.in_all,
            },
        }
    }

    /// All that was counted since the window was made, and the successes before: the starting point
    /// of counts from now on. Read in the opposite order of [`RateWindow::counted`]. So a report
    /// that comes meanwhile makes those rates lower, not higher, however long this thread is
    /// stopped.
    ///
    /// A success that is counted after the successes were read, and excluded before `late` is,
    /// would be missing in the difference, and would count as one more call from now on. So this
    /// reads again if `late` has changed. If that happens each time, as many successes too many
    /// count as were excluded during the last try.
    pub(crate) fn sums(&self, totals: Totals<'_>) -> Sums {
        const TRIES: usize = 8;
        let mut late = self.late.0.latest();
        for last in (0..TRIES).rev() {
            let successes = totals.sum().successes;
            let [failures, slow] = [&self.failures, &self.slow].map(|count| count.0.latest());
            let before = std::mem::replace(&mut late, self.late.0.latest());
            if late == before || last == 0 {
                return Sums {
                    successes: successes.wrapping_sub(late),
                    failures,
                    slow,
                };
            }
        }
        unreachable!("the last try returns")
    }

    /// Whether `now` is so much later than `before` that marks may have been overwritten since.
    pub(crate) fn is_stale(&self, before: u64, now: u64) -> bool {
        self.buckets.at(now).is_past_next(self.buckets.at(before))
    }

    /// Its length in ms.
    pub(crate) fn span(&self) -> u64 {
        self.buckets.span()
    }

    /// The number of the bucket of `now`, to be compared with others.
    pub(crate) fn bucket(&self, now: u64) -> u64 {
        self.buckets.at(now).number()
    }
}

impl Count {
    fn new() -> Self {
        Count {
            count: AtomicU64::new(0),
            marks: Marks::new(),
        }
    }

    fn count(&self) -> u64 {
        // ORDERING: Acquire, partner of the Release in `add`: a thread that finds a slow call finds
        // it among the failures or in its cell.
        self.count.load(Ordering::Acquire)
    }

    /// The latest count.
    fn latest(&self) -> u64 {
        // ORDERING: Acquire, as in `count`. A write that changes nothing, because it reads the
        // latest value. A load could return a count from before a success that this thread read.
        self.count.fetch_add(0, Ordering::Acquire)
    }

    fn add(&self, buckets: Buckets, now: u64) {
        self.marks.begin(buckets, buckets.at(now), || self.count());
        // ORDERING: Release, partner of the Acquire in `count`.
        self.count.fetch_add(1, Ordering::Release);
    }

    fn within(&self, buckets: Buckets, here: Bucket) -> u64 {
        self.counted(buckets, here).within
    }

    fn counted(&self, buckets: Buckets, here: Bucket) -> Counted<u64> {
        let mut in_all = 0;
        let within = self.marks.since(buckets, here, || {
            in_all = self.count();
            in_all
        });
        Counted { within, in_all }
    }
}
