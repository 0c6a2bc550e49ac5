//! How work reaches a sleeping driver without a lock.
//!
//! The driver sleeps until the next moment it knows of. Somebody who leaves
//! work that is due earlier rings; somebody whose work can wait until then says
//! nothing, so that a storm of openings costs no system calls.
//!
//! It is Dekker's handshake: the driver announces until when it sleeps and then
//! looks for work once more; the other side leaves work and then looks whether
//! the driver sleeps. With a sequentially consistent fence between the two steps
//! on both sides, at least one of them sees the other.

use std::thread::Thread;

use arc_swap::ArcSwapOption;

use crate::sync::{AtomicU64, Ordering, fence};

/// Nobody sleeps: the driver is at work, or there is none.
const AWAKE: u64 = 0;

/// The driver's bell.
#[derive(Debug)]
pub(crate) struct Bell {
    /// Until when, in monotonic ms, the driver sleeps; [`AWAKE`] otherwise.
    asleep_until: AtomicU64,
    sleeper: ArcSwapOption<Thread>,
}

impl Bell {
    pub(crate) fn new() -> Self {
        Bell {
            asleep_until: AtomicU64::new(AWAKE),
            sleeper: ArcSwapOption::empty(),
        }
    }

    /// Says whom to wake, before the first sleep.
    pub(crate) fn hang(&self, thread: Thread) {
        self.sleeper.store(Some(std::sync::Arc::new(thread)));
    }

    /// There is work that must be done at `moment`. Called after it was left.
    pub(crate) fn ring(&self, moment: u64) {
        if self.is_asleep_past(moment) {
            self.wake();
        }
    }

    pub(crate) fn is_asleep_past(&self, moment: u64) -> bool {
        // ORDERING: SeqCst, partner of the fence in `lie_down`.
        fence(Ordering::SeqCst);
        self.asleep_until.load(Ordering::Relaxed) > moment
    }

    pub(crate) fn wake(&self) {
        if let Some(thread) = self.sleeper.load().as_deref() {
            thread.unpark();
        }
    }

    /// Announces a sleep until `moment`. The driver must look for work once more
    /// before it parks, and call [`Bell::get_up`] afterwards.
    pub(crate) fn lie_down(&self, moment: u64) {
        self.asleep_until.store(moment, Ordering::Relaxed);
        // ORDERING: SeqCst, partner of the fence in `ring`.
        fence(Ordering::SeqCst);
    }

    pub(crate) fn get_up(&self) {
        self.asleep_until.store(AWAKE, Ordering::Relaxed);
    }
}
