//! A count of references, for objects that carry their own.
//!
//! The holder of the last reference need not write the count when it gives that one
//! back: a reference is only ever made from one that is there, so a count of one, seen by
//! the holder of that one, stays. Most records are given back for the last time by the
//! table, and so with a load.

use crate::sys::atomic::{AtomicU32, Ordering, fence};

pub(crate) struct RefCount(AtomicU32);

/// So many references are a leak.
const LEAK: u32 = 1 << 31;

impl RefCount {
    /// So many references, all of them the caller's.
    pub(crate) fn new(count: u32) -> Self {
        RefCount(AtomicU32::new(count))
    }

    /// One more. The caller has one, or knows of one that is not given back meanwhile.
    #[inline]
    pub(crate) fn share(&self) {
        // Relaxed: a reference is made from one that is known to exist.
        if self.0.fetch_add(1, Ordering::Relaxed) >= LEAK {
            // The count must not come round to zero.
            std::process::abort();
        }
    }

    /// How many there are. Uses through those that were given back come before what the caller
    /// does next.
    pub(crate) fn count(&self) -> u32 {
        // ORDERING: Acquire, partner of the Release in `give_back`.
        self.0.load(Ordering::Acquire)
    }

    /// Gives one back. True: it was the last, and all uses through the others come
    /// before what the caller does next.
    #[must_use]
    pub(crate) fn give_back(&self) -> bool {
        // ORDERING: Acquire, here and in the fence, pairs with the Releases below:
        // uses through a reference come before its return, and that before the
        // destruction.
        if self.0.load(Ordering::Acquire) < 2 {
            return true;
        }
        let last = self.0.fetch_sub(1, Ordering::Release) < 2;
        if last {
            fence(Ordering::Acquire);
        }
        last
    }
}
