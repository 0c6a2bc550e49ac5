//! A count of references, for objects that carry their own.
//!
//! Whoever gives a reference back while no other is left need not write the count: a
//! reference is only ever made from one that is there, so a count of one, seen by the
//! holder of that one, stays. Most records are given back for the last time by the
//! table, and so with a load.

use crate::sync::{AtomicU32, Ordering, fence};

/// `count (31) | claimed (1)`.
pub(crate) struct References(AtomicU32);

/// A flag beside the count: the object was claimed.
const CLAIMED: u32 = 1;
/// One reference.
const ONE: u32 = 2;
/// So many references are a leak.
const LEAK: u32 = 1 << 31;

impl References {
    /// So many references, all of them the caller's.
    pub(crate) fn new(count: u32) -> Self {
        References(AtomicU32::new(count * ONE))
    }

    /// One more. The caller has one, or knows of one that is not given back meanwhile. False if
    /// the object was [claimed](References::claim): then a caller that wants it for longer
    /// than a moment has to give it back.
    #[inline]
    pub(crate) fn share(&self) -> bool {
        // Relaxed: a reference is made from one that is known to exist.
        let before = self.0.fetch_add(ONE, Ordering::Relaxed);
        before & (CLAIMED | LEAK) == 0 || References::shared_oddly(before)
    }

    #[cold]
    #[inline(never)]
    fn shared_oddly(before: u32) -> bool {
        if before & LEAK != 0 {
            // The count must not come round to zero.
            std::process::abort();
        }
        before & CLAIMED == 0
    }

    /// Claims the object, if so many references are all there are. The caller knows that these are
    /// not given back meanwhile.
    pub(crate) fn claim(&self, references: u32) -> bool {
        // ORDERING: Relaxed: it decides only who gets a reference from now on.
        self.0
            .compare_exchange(
                references * ONE,
                (references * ONE) | CLAIMED,
                Ordering::Relaxed,
                Ordering::Relaxed,
            )
            .is_ok()
    }

    /// Gives one back. True: it was the last, and all uses through the others come
    /// before what the caller does next.
    #[must_use]
    pub(crate) fn give_back(&self) -> bool {
        // ORDERING: Acquire, here and in the fence, pairs with the Releases below:
        // uses through a reference come before its return, and that before the
        // destruction.
        if self.0.load(Ordering::Acquire) < 2 * ONE {
            return true;
        }
        let last = self.0.fetch_sub(ONE, Ordering::Release) < 2 * ONE;
        if last {
            fence(Ordering::Acquire);
        }
        last
    }
}
