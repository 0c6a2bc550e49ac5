//! A gate around a content that one thread at a time may use, and that any thread may close.
//!
//! It keeps the promise of unsubscribing: once [`UseGate::close`] has returned after
//! waiting, the content is not in use and never will be again, and it has been dropped,
//! so what it refers to may be freed. The user never waits for the closer. The closer
//! waits for a use under way, unless it is called from inside that use.
//!
//! ```text
//! open ──enter──▶ busy ──leave──▶ open
//!   │               │
//! close           close
//!   ▼               ▼
//! shut ◀──leave── busy + closing      (the thread that shuts it drops the content)
//! ```
//!
//! No lock is held while the content is used. Closers that wait do so in a
//! [`WaitRoom`].
//!
//! The state also holds a token of the thread that is inside, or is dropping the
//! content. In the child of a `fork` that thread may not exist. Then the next user
//! enters as if the gate were open, and finds the content as the other thread left
//! it. A closer shuts such a gate without dropping the content, which may be half
//! dropped already.

use std::cell::Cell;
use std::mem::{self, ManuallyDrop};
use std::panic::{self, AssertUnwindSafe};

use crate::sys::atomic::{self, AtomicUsize, Ordering, UnsafeCell};
use crate::sys::fork;
use crate::sys::fork_lock::WaitRoom;

const OPEN: usize = 0;
const BUSY: usize = 1;
const CLOSING: usize = 2;
/// Closed, no thread inside.
const SHUT: usize = 4;
/// The token of the thread that made it busy begins here.
const TOKEN_SHIFT: u32 = 3;

pub(crate) struct UseGate<T> {
    state: AtomicUsize,
    /// Used by the thread that made the state busy, and taken by the one that
    /// shuts it.
    content: UnsafeCell<Option<ManuallyDrop<T>>>,
    /// Closers wait here for the state to be shut.
    room: WaitRoom,
}

// SAFETY: one thread at a time reaches the content: the one that made the state busy (`enter`) or
// shuts it (`close`, `finish`). It gets it with Acquire and leaves it with Release (`Visit`).
unsafe impl<T: Send> Sync for UseGate<T> {}
// SAFETY: the content is a `T`, which is `Send`; no other part belongs to a thread for longer than
// `enter` or `close` lasts.
unsafe impl<T: Send> Send for UseGate<T> {}

fn busy() -> usize {
    atomic::thread_token() << TOKEN_SHIFT | BUSY
}

thread_local! {
    /// The number of contents that this thread is dropping, one inside the other.
    static FINISHING: Cell<u32> = const { Cell::new(0) };
}

/// Whether this thread is dropping the content of a gate, and others may be waiting for that.
pub(crate) fn is_finishing_here() -> bool {
    FINISHING.get() > 0
}

/// Whether the thread that made the gate busy was left behind by a fork.
fn is_abandoned(state: usize) -> bool {
    state & BUSY != 0 && fork::is_gone(state >> TOKEN_SHIFT)
}

impl<T> UseGate<T> {
    pub(crate) fn new(content: T) -> Self {
        UseGate {
            state: AtomicUsize::new(OPEN),
            content: UnsafeCell::new(Some(ManuallyDrop::new(content))),
            room: WaitRoom::new(),
        }
    }

    /// Lets `operation` use the content. Returns `None` if the gate is closed or busy.
    pub(crate) fn enter<R>(&self, operation: impl FnOnce(&mut T) -> R) -> Option<R> {
        let busy = busy();
        // ORDERING: Acquire, partner of the Release by which the last user left.
        let mut entered =
            self.state
                .compare_exchange(OPEN, busy, Ordering::Acquire, Ordering::Relaxed);
        if let Err(state) = entered
            && state & CLOSING == 0
            && is_abandoned(state)
        {
            // ORDERING: Acquire without a partner: the user is gone, and `fork` has copied what
            // it wrote.
            entered =
                self.state
                    .compare_exchange(state, busy, Ordering::Acquire, Ordering::Relaxed);
        }
        entered.ok()?;
        // Leaves even if `operation` unwinds; otherwise closers would wait for ever.
        let _leaves = Visit { gate: self, busy };
        self.content.with_mut(|content| {
            // SAFETY: this thread's exchange has made the state busy, and no other thread
            // touches the content until `_leaves` is dropped.
            unsafe { (*content).as_mut() }.map(|content| operation(content))
        })
    }

    /// Closes the gate for ever. With `wait`, returns when no other thread is
    /// inside any more. Returns true if this call has shut the gate and left the
    /// content alone, because a thread that is gone was using it at a fork.
    pub(crate) fn close(&self, wait: bool) -> bool {
        let mine = busy() | CLOSING;
        let swap = |state, next| {
            // ORDERING: Acquire, partner of the Release in the drop of `Visit`: what the last
            // user did to the content is visible. The load below and the failed exchange read
            // what `shut` or `Visit` has stored.
            self.state
                .compare_exchange(state, next, Ordering::Acquire, Ordering::Acquire)
        };
        let mut state = self.state.load(Ordering::Acquire);
        while state & SHUT == 0 {
            let abandoned = is_abandoned(state);
            let changed = if state == OPEN || abandoned {
                swap(state, mine)
            } else if state & CLOSING == 0 {
                swap(state, state | CLOSING)
            } else {
                break;
            };
            match changed {
                Ok(OPEN) => {
                    self.finish();
                    return false;
                }
                Ok(_) if abandoned => {
                    self.shut();
                    return true;
                }
                Ok(_) => break,
                Err(current) => state = current,
            }
        }
        if wait && state & SHUT == 0 && state >> TOKEN_SHIFT != mine >> TOKEN_SHIFT {
            // ORDERING: Acquire, partner of the Release in `shut`: the content is dropped.
            self.room
                .wait_until(|| self.state.load(Ordering::Acquire) & SHUT != 0);
        }
        false
    }

    /// Drops the content and wakes the closers that wait. Called by the one thread that
    /// found the gate open when it closed it, or closing when it left.
    fn finish(&self) {
        let content = self.content.with_mut(|content| {
            // SAFETY: the state has CLOSING set and is this thread's: it found the gate open in
            // `close`, or closing in the drop of `Visit`. No other thread enters any more.
            unsafe { (*content).take() }
        });
        // The content is user-supplied: its drop may panic, and a closer may be waiting
        // for it to end.
        let content = content.map(ManuallyDrop::into_inner);
        FINISHING.set(FINISHING.get() + 1);
        if let Err(panic) = panic::catch_unwind(AssertUnwindSafe(|| drop(content))) {
            mem::forget(panic);
        }
        FINISHING.set(FINISHING.get() - 1);
        self.shut();
    }

    fn shut(&self) {
        // ORDERING: Release, partner of the Acquires in `close`: the content is dropped.
        self.state.fetch_or(SHUT, Ordering::Release);
        self.room.wake_all();
    }
}

/// The thread that is inside of a gate, until it leaves.
struct Visit<'a, T> {
    gate: &'a UseGate<T>,
    busy: usize,
}

impl<T> Drop for Visit<'_, T> {
    fn drop(&mut self) {
        // ORDERING: Release, partner of the Acquires in `enter` and `close`: what was done to the
        // content inside is visible to the next user.
        let left =
            self.gate
                .state
                .compare_exchange(self.busy, OPEN, Ordering::Release, Ordering::Relaxed);
        if left.is_err() {
            self.gate.finish();
        }
    }
}

impl<T> Drop for UseGate<T> {
    fn drop(&mut self) {
        // A gate that is shut already has dropped its content, or left it alone after a fork.
        self.close(false);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn closed_no_thread_enters_and_the_content_is_gone() {
        let content = std::sync::Arc::new(());
        let gate = UseGate::new(content.clone());
        assert_eq!(gate.enter(|_| 1), Some(1));
        gate.close(true);
        gate.close(true);
        assert_eq!(gate.enter(|_| 1), None);
        assert_eq!(std::sync::Arc::strong_count(&content), 1);
    }

    #[test]
    fn a_content_that_closes_its_own_gate_when_dropped_does_not_wait_for_itself() {
        struct Closes(std::sync::Weak<UseGate<Closes>>);
        impl Drop for Closes {
            fn drop(&mut self) {
                if let Some(gate) = self.0.upgrade() {
                    gate.close(true);
                }
            }
        }
        let gate = std::sync::Arc::new_cyclic(|gate| UseGate::new(Closes(gate.clone())));
        gate.close(true);
        assert_eq!(gate.enter(|_| ()), None);
    }

    #[test]
    fn closed_from_inside_it_shuts_when_the_user_leaves() {
        let content = std::sync::Arc::new(());
        let gate = UseGate::new(content.clone());
        gate.enter(|_| {
            gate.close(false);
            assert_eq!(gate.enter(|_| ()), None, "one at a time");
            assert_eq!(std::sync::Arc::strong_count(&content), 2);
        });
        assert_eq!(std::sync::Arc::strong_count(&content), 1);
        gate.close(true);
    }
}
