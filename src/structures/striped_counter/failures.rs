//! The failures that one thread has counted.
//!
//! A failure has to exchange a word that all threads share. A read-modify-write of a total beside
//! it would cost as much again, on a second line that all of them write. So each thread counts its
//! failures in a count of its own, as it does its successes.
//!
//! The count has 32 bits: a record has no room for more. It never decreases, so neither do a
//! reader's sums. When it is *full*, the thread uses the shared count from then on. Rejected:
//! moving a full count to the shared one. A reader between the two steps would find its failures
//! twice, or not at all.

use crate::sys::atomic::{AtomicU32, Ordering::Relaxed};

/// Failures counted by one thread at a time. All zeroes is a valid, empty count.
#[repr(transparent)]
pub(crate) struct Failures(AtomicU32);

impl Failures {
    pub(crate) fn new() -> Self {
        Failures(AtomicU32::new(0))
    }

    /// Counts one more failure, and returns the count. Returns `None` if the count is full. Only
    /// the owner may call it.
    #[inline(always)]
    pub(super) fn try_add(&self) -> Option<u32> {
        let more = self.0.load(Relaxed).checked_add(1)?;
        self.0.store(more, Relaxed);
        Some(more)
    }

    pub(super) fn get(&self) -> u64 {
        self.0.load(Relaxed).into()
    }
}

#[cfg(test)]
impl Failures {
    /// Sets the count, as if so many failures had been counted.
    pub(crate) fn set(&self, failures: u32) {
        self.0.store(failures, Relaxed);
    }
}
