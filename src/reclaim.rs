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
//! The collector is our own and not crossbeam's default one, because of `fork`: a
//! thread that was pinned in the parent and does not exist in the child would stop
//! all reclamation there. So a child begins with a new collector, and the thread
//! that forked with a new participant; what the old ones had still to free is left
//! alone. No pin is held by the forking thread itself, by the first rule.
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
#[inline]
pub(crate) fn pin() -> Guard {
    Guard {
        #[cfg(not(all(loom, test)))]
        inner: participant::pin(),
    }
}

#[cfg(not(all(loom, test)))]
pub(crate) use participant::begin_anew;

#[cfg(not(all(loom, test)))]
mod participant {
    use std::cell::UnsafeCell;
    use std::mem::ManuallyDrop;
    use std::ptr;

    use crossbeam_epoch::{Collector, Guard, LocalHandle};

    use crate::sync::{AtomicPtr, Ordering};

    /// Null until the first pin of the process. Never freed.
    static COLLECTOR: AtomicPtr<Collector> = AtomicPtr::new(ptr::null_mut());

    // Two, because a variable without a destructor is read without asking whether
    // it is still there.
    thread_local! {
        /// This thread's participant. Changed by this thread, never while it is
        /// borrowed: only by its first pin, at its end, and after a fork.
        static HERE: UnsafeCell<Option<ManuallyDrop<LocalHandle>>> =
            const { UnsafeCell::new(None) };
        static FAREWELL: Farewell = const { Farewell };
    }

    /// Gives the participant up when the thread ends.
    struct Farewell;

    impl Drop for Farewell {
        fn drop(&mut self) {
            // Taken out first: what the drop frees may pin.
            // SAFETY: see `HERE`.
            let handle = HERE.with(|here| unsafe { (*here.get()).take() });
            if let Some(handle) = handle {
                drop(ManuallyDrop::into_inner(handle));
            }
        }
    }

    #[inline]
    pub(super) fn pin() -> Guard {
        // SAFETY: see `HERE`.
        HERE.with(|here| match unsafe { &*here.get() } {
            Some(handle) => handle.pin(),
            None => pin_first(),
        })
    }

    #[cold]
    #[inline(never)]
    fn pin_first() -> Guard {
        let handle = collector().register();
        let guard = handle.pin();
        // A thread that is about to end does without: the guard keeps what it needs.
        if FAREWELL.try_with(|_| ()).is_ok() {
            // SAFETY: see `HERE`.
            HERE.with(|here| unsafe { *here.get() = Some(ManuallyDrop::new(handle)) });
        }
        guard
    }

    fn collector() -> &'static Collector {
        // ORDERING: Acquire, partner of the Release below.
        let mut collector = COLLECTOR.load(Ordering::Acquire);
        if collector.is_null() {
            // A race, not a lock: that could be held across a fork.
            let fresh = Box::into_raw(Box::new(Collector::new()));
            let made = COLLECTOR.compare_exchange(
                ptr::null_mut(),
                fresh,
                Ordering::Release,
                Ordering::Acquire,
            );
            collector = match made {
                Ok(_) => fresh,
                Err(other) => {
                    // SAFETY: it was never shared.
                    drop(unsafe { Box::from_raw(fresh) });
                    other
                }
            };
        }
        // SAFETY: made by this function and never freed.
        unsafe { &*collector }
    }

    /// In the child of a fork: leaves the parent's epochs behind. Allocates and
    /// frees nothing.
    pub(crate) fn begin_anew() {
        COLLECTOR.store(ptr::null_mut(), Ordering::Relaxed);
        // SAFETY: see `HERE`. What is overwritten has no destructor.
        HERE.with(|here| unsafe { *here.get() = None });
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
