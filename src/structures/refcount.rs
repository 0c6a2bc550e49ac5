//! A count of references, for objects that carry their own.
//!
//! The holder of the last reference need not write the count when it gives the reference
//! back. A new reference is only ever made from an existing one, so a count of one, seen by
//! the holder of that reference, cannot change. The last reference to a record is mostly
//! the table's, so giving it back costs one load.

use crate::sys::atomic::{AtomicU32, Ordering, fence};

/// The number of references to one object.
pub(crate) struct RefCount(AtomicU32);

/// A count that only a leak of references reaches.
const LEAK: u32 = 1 << 31;

impl RefCount {
    /// A count of `count` references, all of them the caller's.
    pub(crate) fn new(count: u32) -> Self {
        RefCount(AtomicU32::new(count))
    }

    /// Makes one more reference. The caller has one, or knows of one that is not given back
    /// meanwhile.
    #[inline]
    pub(crate) fn share(&self) {
        // Relaxed: a reference is made from one that is known to exist.
        if self.0.fetch_add(1, Ordering::Relaxed) >= LEAK {
            // The count must not wrap to zero.
            std::process::abort();
        }
    }

    /// The number of references. Uses through references that were given back come before what
    /// the caller does next.
    pub(crate) fn count(&self) -> u32 {
        // ORDERING: Acquire, partner of the Release in `give_back`.
        self.0.load(Ordering::Acquire)
    }

    /// Gives a reference back. Returns true if it was the last. Then all uses through the
    /// others come before what the caller does next.
    #[must_use]
    pub(crate) fn give_back(&self) -> bool {
        // ORDERING: Acquire, here and in the fence, pairs with the Release below:
        // uses through a reference come before its return, and its return comes
        // before the destruction.
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
