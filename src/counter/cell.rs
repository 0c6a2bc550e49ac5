//! A cell: the counts of one thread, or of all that have none.
//!
//! The same four words serve two regimes. In a [`Cell`] one thread at a time
//! counts, so a load and a store make an increment, about a nanosecond with
//! everything around it; other threads only read. In a [`Shared`] any thread
//! counts, and every increment is a read-modify-write.
//!
//! Words are written only when they change: the time at most once a
//! millisecond, the mark once after each time it was taken. A reader takes the
//! latest time of all cells, and the sum of the rest.
//!
//! Everything here is `Relaxed`. The counts publish nothing but themselves, and
//! what makes them exact (that a cell's writers follow one another) is
//! established where indexes change hands, in [`index`](super::index).

use super::Sums;
use crate::sync::{AtomicU32, AtomicU64, Ordering::Relaxed, shipped};

/// Counts written by one thread at a time. All zeroes is a valid, empty cell.
#[repr(C)]
pub(crate) struct Cell {
    successes: AtomicU64,
    rejected: AtomicU64,
    /// Time of the last success plus one, so that 0 can mean "none". Only grows.
    last_success: AtomicU64,
    /// 1 if a call was admitted since the mark was last taken. Set by the owner,
    /// cleared by readers: the only word that both write.
    mark: AtomicU32,
}

/// Counts that any thread may write.
#[repr(transparent)]
pub(crate) struct Shared(Cell);

shipped! {
    const _: () = assert!(size_of::<Cell>() == 32 && size_of::<Shared>() == 32);
    const _: () = assert!(align_of::<Cell>() <= 8);
}

impl Cell {
    pub(crate) fn new() -> Self {
        Cell {
            successes: AtomicU64::new(0),
            rejected: AtomicU64::new(0),
            last_success: AtomicU64::new(0),
            mark: AtomicU32::new(0),
        }
    }

    /// For the owner only, as are the next two.
    #[inline]
    pub(super) fn success(&self, now_ms: u64) {
        increment(&self.successes);
        let stamp = stamp(now_ms);
        if self.last_success.load(Relaxed) < stamp {
            self.last_success.store(stamp, Relaxed);
        }
    }

    #[inline]
    pub(super) fn rejected(&self) {
        increment(&self.rejected);
    }

    #[inline]
    pub(super) fn touch(&self) {
        if self.mark.load(Relaxed) == 0 {
            self.mark.store(1, Relaxed);
        }
    }

    /// For any thread.
    pub(super) fn take_mark(&self) -> bool {
        // The swap, not the load, decides: a mark set in between is taken too,
        // and of two takers one gets it.
        self.mark.load(Relaxed) != 0 && self.mark.swap(0, Relaxed) != 0
    }

    /// For any thread.
    pub(super) fn add_to(&self, sums: &mut Sums) {
        sums.successes = sums.successes.wrapping_add(self.successes.load(Relaxed));
        sums.rejected = sums.rejected.wrapping_add(self.rejected.load(Relaxed));
        let last = self.last_success.load(Relaxed).checked_sub(1);
        sums.last_success_ms = sums.last_success_ms.max(last);
    }
}

impl Shared {
    pub(crate) fn new() -> Self {
        Shared(Cell::new())
    }

    #[cold]
    pub(super) fn success(&self, now_ms: u64) {
        self.0.successes.fetch_add(1, Relaxed);
        let stamp = stamp(now_ms);
        if self.0.last_success.load(Relaxed) < stamp {
            self.0.last_success.fetch_max(stamp, Relaxed);
        }
    }

    #[cold]
    pub(super) fn rejected(&self) {
        self.0.rejected.fetch_add(1, Relaxed);
    }

    #[inline]
    pub(super) fn touch(&self) {
        self.0.touch(); // a store of the same value by many loses nothing
    }

    /// To be read, not to be counted in.
    pub(super) fn cell(&self) -> &Cell {
        &self.0
    }
}

#[cfg(test)]
impl Shared {
    /// What this cell alone holds.
    pub(crate) fn sum(&self) -> Sums {
        let mut sums = Sums::default();
        self.0.add_to(&mut sums);
        sums
    }
}

#[inline]
fn increment(count: &AtomicU64) {
    count.store(count.load(Relaxed).wrapping_add(1), Relaxed);
}

#[inline]
fn stamp(now_ms: u64) -> u64 {
    now_ms.saturating_add(1)
}
