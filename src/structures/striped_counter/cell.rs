//! A cell: the counts of one thread, or of all that have none.
//!
//! The same three words serve two regimes. In a [`Cell`] one thread at a time
//! counts, so a load and a store make an increment, about a nanosecond with
//! everything around it; other threads only read. In a [`Shared`] any thread
//! counts, and every increment is a read-modify-write.
//!
//! The time is written only when it changes, at most once for each tick of the coarse
//! clock or each millisecond, and kept as the clock tells it. A reader takes the latest
//! time of all cells, and the sum of the rest. Whether it has changed, a success learns from the
//! clock, or while calls are frequent from a [word](crate::sys::tick_word) that is much faster to
//! read. That branch, which each cell takes so seldom, is
//! also where other parts of a record keep what goes by time: `turn`.
//!
//! The counts are `Relaxed`. They publish nothing but themselves, and
//! what makes them exact (that a cell's writers follow one another) is
//! established where indexes change hands, in [`thread_index`](super::thread_index).

use super::Sums;
use crate::sys::atomic::{
    AtomicU64,
    Ordering::{Acquire, Relaxed, Release},
    shipped,
};
use crate::sys::clock::Tick;

/// Counts written by one thread at a time. All zeroes is a valid, empty cell.
#[repr(C)]
pub(crate) struct Cell {
    successes: AtomicU64,
    rejected: AtomicU64,
    /// The time of the last success as a [`Tick`]'s word, 0 for none. Only grows.
    last_success: AtomicU64,
}

/// Counts that any thread may write.
#[repr(C)]
pub(crate) struct Shared {
    cell: Cell,
    failures: AtomicU64,
}

/// After so many successes, or failures, a thread looks at the clock. A word that no ticker changes
/// any more hides fewer of them.
const LOOK: u64 = 64;

shipped! {
    const _: () = assert!(size_of::<Cell>() == 24 && size_of::<Shared>() == 32);
    const _: () = assert!(align_of::<Cell>() <= 8);
}

impl Cell {
    pub(crate) fn new() -> Self {
        Cell {
            successes: AtomicU64::new(0),
            rejected: AtomicU64::new(0),
            last_success: AtomicU64::new(0),
        }
    }

    /// For the owner only, as is the next. The first success of a tick calls `turn` before it is
    /// counted.
    #[inline(always)]
    pub(crate) fn success(&self, now: Tick, turn: impl FnOnce()) {
        if self.is_before(now) {
            turn();
        }
        increment(&self.successes);
    }

    /// Counts a success, the one of this number. Before that, unless a
    /// [`TickWord`](crate::sys::tick_word::TickWord) says that time has not moved since the last
    /// one, `look` looks at the clock.
    #[inline(always)]
    pub(crate) fn success_in_tick(&self, word: u64, look: impl FnOnce(u64)) {
        let count = self.successes.load(Relaxed).wrapping_add(1);
        if self.last_success.load(Relaxed) < word || is_look(count) {
            look(count);
        }
        self.successes.store(count, Relaxed);
    }

    /// Whether the first success of this tick is still to come.
    #[inline(always)]
    pub(crate) fn is_before(&self, now: Tick) -> bool {
        self.last_success.load(Relaxed) < now.to_word()
    }

    #[inline]
    pub(crate) fn rejected(&self) {
        increment(&self.rejected);
    }

    /// For `turn` of a cell with one owner: the tick is that of its last success.
    pub(crate) fn begin_tick(&self, now: Tick) {
        self.last_success.store(now.to_word(), Relaxed);
    }

    /// For any thread, as is the next.
    pub(crate) fn successes(&self) -> u64 {
        self.successes.load(Relaxed)
    }

    /// All that was counted here: for any thread.
    pub(super) fn reports(&self) -> u64 {
        let rejected = self.rejected.load(Relaxed);
        self.successes().wrapping_add(rejected)
    }

    pub(super) fn add_to(&self, sums: &mut Sums) {
        sums.successes = sums.successes.wrapping_add(self.successes.load(Relaxed));
        sums.rejected = sums.rejected.wrapping_add(self.rejected.load(Relaxed));
        let last = Tick::from_word(self.last_success.load(Relaxed));
        sums.last_success_ms = sums.last_success_ms.max(last.map(Tick::ms));
    }
}

impl Shared {
    pub(crate) fn new() -> Self {
        Shared {
            cell: Cell::new(),
            failures: AtomicU64::new(0),
        }
    }

    /// A thread that finds the tick in place finds what another one's `turn` has done.
    #[cold]
    pub(super) fn success(&self, now: Tick, turn: impl FnOnce()) {
        let now = now.to_word();
        // ORDERING: Acquire, partner of the Release below.
        if self.cell.last_success.load(Acquire) < now {
            turn();
            self.cell.last_success.fetch_max(now, Release);
        }
        self.cell.successes.fetch_add(1, Relaxed);
    }

    #[cold]
    pub(super) fn rejected(&self) {
        self.cell.rejected.fetch_add(1, Relaxed);
    }

    #[cold]
    pub(super) fn failed(&self) {
        self.failures.fetch_add(1, Relaxed);
    }

    /// Adds to one of the counts so much that `sum`, of all cells, becomes `total`.
    #[cold]
    pub(super) fn raise(
        &self,
        total: u64,
        sum: impl Fn() -> u64,
        count: impl Fn(&Shared) -> &AtomicU64,
    ) {
        let count = count(self);
        loop {
            // First: another thread that raises the same count meanwhile fails the exchange.
            let here = count.load(Acquire);
            let more = total.saturating_sub(sum());
            let raised = here.wrapping_add(more);
            // ORDERING: Release, partner of the Acquire above: who finds the higher count finds
            // it in the sum, too.
            let done = more == 0
                || count
                    .compare_exchange(here, raised, Release, Relaxed)
                    .is_ok();
            if done {
                return;
            }
        }
    }

    /// To be read, not to be counted in.
    pub(super) fn cell(&self) -> &Cell {
        &self.cell
    }

    pub(super) fn successes(&self) -> &AtomicU64 {
        &self.cell.successes
    }

    pub(super) fn rejections(&self) -> &AtomicU64 {
        &self.cell.rejected
    }

    pub(super) fn failures(&self) -> &AtomicU64 {
        &self.failures
    }
}

#[cfg(test)]
impl Shared {
    /// What this cell alone holds.
    pub(crate) fn sum(&self) -> Sums {
        let mut sums = Sums::default();
        self.cell.add_to(&mut sums);
        sums.failures = self.failures.load(Relaxed);
        sums
    }
}

#[inline]
fn increment(count: &AtomicU64) {
    count.store(count.load(Relaxed).wrapping_add(1), Relaxed);
}

/// Whether a thread looks at the clock with its `count`th success or failure, whatever the tick word
/// says.
#[inline(always)]
pub(crate) fn is_look(count: u64) -> bool {
    count.is_multiple_of(LOOK)
}
