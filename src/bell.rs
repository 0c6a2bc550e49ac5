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
//!
//! A driver that does not exist counts as one that sleeps for ever: a thread that has work
//! for it starts it. So it is at the beginning, and in the child of a `fork`. So it is also
//! after the end: then a ring answers that no driver comes any more.

use std::sync::Arc;
use std::thread::Thread;

use arc_swap::ArcSwapOption;

use crate::per_process::Renew;
use crate::sync::{AtomicU32, AtomicU64, Ordering, fence};

/// Nobody sleeps: the driver is at work, or there shall be none.
const AWAKE: u64 = 0;
/// There is no driver, and there should be one.
const ABSENT: u64 = u64::MAX;

/// Starts the driver, unless somebody has.
pub(crate) type Starter = Arc<dyn Fn() + Send + Sync>;

/// The driver's bell.
pub(crate) struct Bell {
    /// Until when, in monotonic ms, the driver sleeps; [`AWAKE`] or [`ABSENT`].
    asleep_until: AtomicU64,
    /// 1: the driver was woken since it last got up. The wake itself may have gone to
    /// a callback that slept.
    woken: AtomicU32,
    /// 1: no driver comes any more.
    ended: AtomicU32,
    sleeper: ArcSwapOption<Thread>,
    /// None: the manager has no driver.
    starter: Option<Starter>,
}

impl Bell {
    pub(crate) fn new(starter: Option<Starter>) -> Self {
        let asleep_until = if starter.is_some() { ABSENT } else { AWAKE };
        Bell {
            asleep_until: AtomicU64::new(asleep_until),
            woken: AtomicU32::new(0),
            ended: AtomicU32::new(0),
            sleeper: ArcSwapOption::empty(),
            starter,
        }
    }

    /// Says whom to wake, before the first sleep.
    pub(crate) fn hang(&self, thread: Thread) {
        self.sleeper.store(Some(Arc::new(thread)));
    }

    /// There is work that must be done at `moment`. Called after it was left. True if
    /// no driver comes any more.
    pub(crate) fn ring(&self, moment: u64) -> bool {
        self.is_asleep_past(moment) && {
            self.wake();
            self.ended.load(Ordering::Relaxed) == 1
        }
    }

    pub(crate) fn is_asleep_past(&self, moment: u64) -> bool {
        // ORDERING: SeqCst, partner of the fence in `lie_down`.
        fence(Ordering::SeqCst);
        self.asleep_until.load(Ordering::Relaxed) > moment
    }

    pub(crate) fn wake(&self) {
        // ORDERING: Release, partner of the Acquire in `was_woken`. Whoever uses up
        // the wake below sees this, too.
        self.woken.store(1, Ordering::Release);
        if let Some(thread) = self.sleeper.load_full() {
            thread.unpark();
        } else if let Some(start) = &self.starter {
            start();
        }
    }

    /// Whether the driver was woken since it last got up. Asked right before it parks:
    /// a wake that comes later is not lost.
    pub(crate) fn was_woken(&self) -> bool {
        // ORDERING: Acquire: who is told so sees why.
        self.woken.swap(0, Ordering::Acquire) == 1
    }

    /// Whether there is a driver, or will be if there is work for one.
    pub(crate) fn has_driver(&self) -> bool {
        self.starter.is_some()
    }

    /// Starts the driver if it is missing.
    pub(crate) fn attend(&self) {
        if self.asleep_until.load(Ordering::Relaxed) == ABSENT {
            self.wake();
        }
    }

    /// Announces a sleep until `moment`. The driver must look for work once more
    /// before it parks, and call [`Bell::get_up`] afterwards.
    pub(crate) fn lie_down(&self, moment: u64) {
        self.asleep_until
            .store(moment.min(ABSENT - 1), Ordering::Relaxed);
        // ORDERING: SeqCst, partner of the fence in `ring`.
        fence(Ordering::SeqCst);
    }

    /// All that the driver was woken for until now is looked at after this.
    pub(crate) fn get_up(&self) {
        let is_over = self.ended.load(Ordering::Relaxed) == 1;
        let until = if is_over { ABSENT } else { AWAKE };
        self.asleep_until.store(until, Ordering::Relaxed);
        self.was_woken();
    }

    /// No driver comes any more. The caller looks for work once more afterwards.
    pub(crate) fn end(&self) {
        self.ended.store(1, Ordering::Relaxed);
        self.asleep_until.store(ABSENT, Ordering::Relaxed);
        // ORDERING: SeqCst, partner of the fence in `is_asleep_past`.
        fence(Ordering::SeqCst);
    }

    /// The driver could not be started.
    pub(crate) fn leave(&self) {
        self.asleep_until.store(ABSENT, Ordering::Relaxed);
    }
}

impl Renew for Bell {
    fn renew(&self) -> Self {
        Bell::new(self.starter.clone())
    }
}
