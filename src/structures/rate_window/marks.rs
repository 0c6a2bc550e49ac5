//! The value of a count when each bucket of time began.
//!
//! Time is cut into buckets, [`BUCKETS`] to a window. A count that only grows has a ring of marks,
//! a word for each bucket: `lap | count`. The lap says which of the buckets that share the word is
//! meant. Shorter buckets have more laps in the life of a machine and fewer calls each. So the
//! length of the window decides where the word is divided, and no lap ever repeats. A word that was
//! never written is all ones, which is no lap.
//!
//! A mark is written before the first report of its bucket is counted, by an exchange. The exchange
//! compares with the word that was read before the count, and leaves a later lap alone. So a thread
//! that is stopped in between writes a mark that was right when it read the count, or reads both
//! again. It may read the count after other threads have begun the next bucket, and the mark then
//! includes their reports. So a reader takes the least mark of the window, not the oldest: a report
//! of a thread that was stopped counts as a later one, and no report of another thread is lost.
//!
//! There are two words more than the window has buckets: one for a reader whose clock is a tick
//! behind the writers', and one so that the oldest bucket is not overwritten at the same moment.

use crate::sys::atomic::{AtomicU64, Ordering, modelled, shipped};
use crate::sys::clock::LAST_MOMENT;

shipped! {
    /// How many buckets a window has.
    pub(super) const BUCKETS: u64 = 10;
}

modelled! {
    pub(super) const BUCKETS: u64 = 2;
}

pub(super) const SLOTS: u64 = BUCKETS + 2;

/// How time is cut into buckets, and how marks are divided.
#[derive(Clone, Copy)]
pub(super) struct Buckets {
    /// The length of the window in ms.
    span: u64,
    /// The number of a mark's low bits, which hold the count.
    pub(super) count_bits: u32,
}

/// A stretch of time, by its number.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Bucket(u64);

impl Buckets {
    pub(super) fn of(span: u64) -> Self {
        let span = span.clamp(BUCKETS, LAST_MOMENT);
        let last_lap = LAST_MOMENT * BUCKETS / span / SLOTS;
        // One more than needed, so that all ones are no lap.
        let lap_bits = u64::BITS - (last_lap + 1).leading_zeros();
        Buckets {
            span,
            count_bits: u64::BITS - lap_bits,
        }
    }

    /// The length of the window in ms.
    pub(super) fn span(self) -> u64 {
        self.span
    }

    /// The bucket of a moment.
    pub(super) fn at(self, ms: u64) -> Bucket {
        Bucket(ms.min(LAST_MOMENT) * BUCKETS / self.span)
    }

    fn mark(self, bucket: Bucket, count: u64) -> u64 {
        bucket.lap() << self.count_bits | count & self.count_mask()
    }

    fn lap(self, mark: u64) -> u64 {
        mark >> self.count_bits
    }

    fn count_mask(self) -> u64 {
        (1 << self.count_bits) - 1
    }

    /// The lap of a word that was never written.
    pub(super) fn no_lap(self) -> u64 {
        self.lap(UNWRITTEN)
    }
}

impl Bucket {
    pub(super) fn lap(self) -> u64 {
        self.0 / SLOTS
    }

    pub(super) fn number(self) -> u64 {
        self.0
    }

    /// Whether this one comes later than the one after `other`.
    pub(super) fn is_past_next(self, other: Bucket) -> bool {
        self.0 > other.0 + 1
    }
}

const UNWRITTEN: u64 = u64::MAX;

/// The marks of one count.
pub(super) struct Marks([AtomicU64; SLOTS as usize]);

impl Marks {
    pub(super) fn new() -> Self {
        Marks(std::array::from_fn(|_| AtomicU64::new(UNWRITTEN)))
    }

    fn slot(&self, bucket: Bucket) -> &AtomicU64 {
        &self.0[(bucket.0 % SLOTS) as usize]
    }

    /// Writes the mark of a bucket, if it has none: the value that `count` returns.
    pub(super) fn begin(&self, buckets: Buckets, bucket: Bucket, count: impl Fn() -> u64) {
        let begin = |before: u64| {
            let lap = buckets.lap(before);
            let is_older = lap == buckets.no_lap() || lap < bucket.lap();
            is_older.then(|| buckets.mark(bucket, count()))
        };
        // ORDERING: Release, partner of the Acquire in `since`. Acquire, partner of this Release: a
        // count that is read after a mark is no smaller than that mark's.
        let _ = self
            .slot(bucket)
            .fetch_update(Ordering::Release, Ordering::Acquire, begin);
    }

    /// How much was counted in the window whose last bucket is `last`: the count less the least of
    /// the window's marks. That is the oldest mark, except after a delay: a thread that was stopped
    /// when it knew its bucket marks it after others have marked later ones and counted there.
    /// `count` is called once, after the marks are read.
    pub(super) fn since(&self, buckets: Buckets, last: Bucket, count: impl FnOnce() -> u64) -> u64 {
        let first = last.0.saturating_sub(BUCKETS - 1);
        // One bucket more: reporters may have begun it, if this thread's clock is behind.
        let mut found = [0; BUCKETS as usize + 1];
        let mut many = 0;
        for bucket in (first..=last.0 + 1).map(Bucket) {
            // ORDERING: Acquire, partner of the Release in `begin`.
            let mark = self.slot(bucket).load(Ordering::Acquire);
            if buckets.lap(mark) == bucket.lap() {
                found[many] = mark;
                many += 1;
            }
        }
        // After the marks, so that it is no smaller than any of them.
        let count = count();
        let since = |mark: &u64| count.wrapping_sub(*mark) & buckets.count_mask();
        found[..many].iter().map(since).max().unwrap_or_default()
    }
}
