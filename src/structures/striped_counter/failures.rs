//! The failures that one thread has counted.
//!
//! A failure has to exchange a word that all threads share. A read-modify-write of a total beside
//! it would cost as much again, on a second line that all of them write. So each thread counts its
//! failures in a place of its own, as it does its successes.
//!
//! The place has 32 bits: a record has no room for more. It never goes back, so a reader's sums
//! never decrease. When it is *full*, the thread counts in the shared place from then on. Rejected:
//! to carry what is full over to the shared place. A reader between the two steps would find it
//! twice, or not at all.

use crate::sys::atomic::{AtomicU32, Ordering::Relaxed};

/// Failures counted by one thread at a time. Zero is valid, and none.
#[repr(transparent)]
pub(crate) struct Failures(AtomicU32);

impl Failures {
    pub(crate) fn new() -> Self {
        Failures(AtomicU32::new(0))
    }

    /// Counts one more, for the owner only. False if it is full.
    #[inline(always)]
    pub(super) fn add(&self) -> bool {
        let Some(more) = self.0.load(Relaxed).checked_add(1) else {
            return false;
        };
        self.0.store(more, Relaxed);
        true
    }

    pub(super) fn get(&self) -> u64 {
        self.0.load(Relaxed).into()
    }
}

#[cfg(test)]
impl Failures {
    /// As if so many had been counted.
    pub(crate) fn set(&self, failures: u32) {
        self.0.store(failures, Relaxed);
    }
}
