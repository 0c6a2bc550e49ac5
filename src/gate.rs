//! A gate around something that one thread at a time may use, and anybody close.
//!
//! It makes the promise of unsubscribing: once [`Gate::close`] has returned, the
//! thing is not in use and never will be again, and it has been dropped, so what
//! it refers to may be freed. The user never waits for the closer; the closer
//! waits for a use under way, unless it is called from inside that use.
//!
//! ```text
//! open ──enter──▶ busy ──leave──▶ open
//!   │               │
//! close           close
//!   ▼               ▼
//! shut ◀──leave── busy + closing        (whoever brings it to shut drops the thing)
//! ```
//!
//! No lock is held while the thing is used. The mutex and the condition variable
//! are for closers that wait.

use std::mem;
use std::panic::{self, AssertUnwindSafe};
use std::sync::PoisonError;

use crate::sync::{self, AtomicU32, AtomicUsize, Condvar, Mutex, Ordering, UnsafeCell};

const OPEN: u32 = 0;
const BUSY: u32 = 1;
const CLOSING: u32 = 2;
/// Closed, nobody inside.
const SHUT: u32 = 4;

pub(crate) struct Gate<T> {
    state: AtomicU32,
    /// Used by the thread that made the state busy, and taken by the one that
    /// shuts it.
    content: UnsafeCell<Option<T>>,
    /// The thread that is dropping the content, whose destructor may close again.
    finisher: AtomicUsize,
    /// Closers wait here for the state to be shut.
    waiting: Mutex<()>,
    shut: Condvar,
}

// SAFETY: the state lets one thread at a time reach the content, and hands it
// over with Release and Acquire.
unsafe impl<T: Send> Sync for Gate<T> {}
// SAFETY: as above.
unsafe impl<T: Send> Send for Gate<T> {}

impl<T> Gate<T> {
    pub(crate) fn new(content: T) -> Self {
        Gate {
            state: AtomicU32::new(OPEN),
            content: UnsafeCell::new(Some(content)),
            finisher: AtomicUsize::new(0),
            waiting: Mutex::new(()),
            shut: Condvar::new(),
        }
    }

    /// Lets `operation` use the content, unless the gate is closed or busy.
    /// `operation` must not unwind.
    pub(crate) fn enter<R>(&self, operation: impl FnOnce(&mut T) -> R) -> Option<R> {
        // ORDERING: Acquire, partner of the Release by which the last user left.
        self.state
            .compare_exchange(OPEN, BUSY, Ordering::Acquire, Ordering::Relaxed)
            .ok()?;
        let answer = self.content.with_mut(|content| {
            // SAFETY: the state is busy by this thread's hand.
            unsafe { (*content).as_mut() }.map(operation)
        });
        // ORDERING: Release, partner of the Acquire in `enter` and in `close`.
        let left = self
            .state
            .compare_exchange(BUSY, OPEN, Ordering::Release, Ordering::Relaxed);
        if left.is_err() {
            self.finish();
        }
        answer
    }

    /// Closes the gate for ever. With `wait`, returns when nobody is inside any
    /// more; pass false from inside.
    pub(crate) fn close(&self, wait: bool) {
        // ORDERING: Acquire sees what the last user did to the content.
        let before = self.state.fetch_or(CLOSING, Ordering::Acquire);
        if before == OPEN {
            self.finish();
        } else if wait && self.finisher.load(Ordering::Relaxed) != sync::thread_token() {
            let mut guard = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            while self.state.load(Ordering::Acquire) & SHUT == 0 {
                guard = self
                    .shut
                    .wait(guard)
                    .unwrap_or_else(PoisonError::into_inner);
            }
        }
    }

    /// Drops the content and tells the waiting. For the one thread that found
    /// the gate open when it closed it, or closing when it left.
    fn finish(&self) {
        self.finisher.store(sync::thread_token(), Ordering::Relaxed);
        // SAFETY: nobody can enter any more, and nobody is inside but this thread.
        let content = self
            .content
            .with_mut(|content| unsafe { (*content).take() });
        // The user's: what it holds may panic when dropped, and somebody may be
        // waiting for this to end.
        if let Err(panic) = panic::catch_unwind(AssertUnwindSafe(|| drop(content))) {
            mem::forget(panic);
        }
        let guard = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        // ORDERING: Release, partner of the Acquire in `close`.
        self.state.fetch_or(SHUT, Ordering::Release);
        drop(guard);
        self.shut.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn closed_nobody_enters_and_the_content_is_gone() {
        let content = std::sync::Arc::new(());
        let gate = Gate::new(content.clone());
        assert_eq!(gate.enter(|_| 1), Some(1));
        gate.close(true);
        gate.close(true);
        assert_eq!(gate.enter(|_| 1), None);
        assert_eq!(std::sync::Arc::strong_count(&content), 1);
    }

    #[test]
    fn a_content_that_closes_its_own_gate_when_dropped_does_not_wait_for_itself() {
        struct Closes(std::sync::Weak<Gate<Closes>>);
        impl Drop for Closes {
            fn drop(&mut self) {
                if let Some(gate) = self.0.upgrade() {
                    gate.close(true);
                }
            }
        }
        let gate = std::sync::Arc::new_cyclic(|gate| Gate::new(Closes(gate.clone())));
        gate.close(true);
        assert_eq!(gate.enter(|_| ()), None);
    }

    #[test]
    fn closed_from_inside_it_shuts_when_the_user_leaves() {
        let content = std::sync::Arc::new(());
        let gate = Gate::new(content.clone());
        gate.enter(|_| {
            gate.close(false);
            assert_eq!(gate.enter(|_| ()), None, "one at a time");
            assert_eq!(std::sync::Arc::strong_count(&content), 2);
        });
        assert_eq!(std::sync::Arc::strong_count(&content), 1);
        gate.close(true);
    }
}
