//! The one façade for epoch-based reclamation.
//!
//! A reader [`pin`]s before it loads a shared pointer; a writer that unlinks an
//! object hands its destruction to [`Guard::defer`], which runs it once every
//! thread that was pinned at that moment has unpinned. The epochs themselves
//! are crossbeam's (K. Fraser, *Practical lock-freedom*, 2004).
//!
//! Two rules keep the rest of the crate honest:
//!
//! - no pin is held while user code runs or a thread sleeps, since one pinned
//!   thread stops all reclamation;
//! - a deferred destructor runs on any thread at any later time, so it must
//!   only free memory: no callbacks, no locks.
//!
//! Under loom nothing is reclaimed at all. The models explore the protocols;
//! that memory is freed neither early nor twice is the business of the stress
//! tests under AddressSanitizer.

/// Proof that the current thread is pinned.
pub(crate) struct Guard {
    #[cfg(not(all(loom, test)))]
    inner: crossbeam_epoch::Guard,
}

/// Pins the current thread: nothing deferred from now on runs before the
/// guard is dropped. About 10 ns, and nestable. The first pin of a thread
/// allocates that thread's participant record.
pub(crate) fn pin() -> Guard {
    Guard {
        #[cfg(not(all(loom, test)))]
        inner: crossbeam_epoch::pin(),
    }
}

impl Guard {
    /// Runs `destroy` once no thread pinned now is pinned any more.
    ///
    /// # Safety
    ///
    /// `destroy` may run on any thread, at any later time: what it captures
    /// must be valid and safe to use there until then. The object it destroys
    /// must already be unreachable for threads that pin from now on.
    pub(crate) unsafe fn defer<F: FnOnce()>(&self, destroy: F) {
        #[cfg(not(all(loom, test)))]
        // SAFETY: the caller promises what `defer_unchecked` asks for.
        unsafe {
            self.inner.defer_unchecked(destroy);
        }
        #[cfg(all(loom, test))]
        std::mem::forget(destroy);
    }

    /// Pushes this thread's deferred work out of its private bag, so that any
    /// thread may run it. Called after rare, large retirements.
    pub(crate) fn flush(&self) {
        #[cfg(not(all(loom, test)))]
        self.inner.flush();
    }
}
