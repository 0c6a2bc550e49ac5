//! How work reaches a sleeping driver without a lock.
//!
//! The driver sleeps until its next timer. A thread that leaves work that is due
//! earlier wakes it. A thread whose work can wait until then does not, so that a
//! storm of openings costs no system calls.
//!
//! It is Dekker's handshake: the driver announces until when it sleeps and then
//! looks for work once more; the other side leaves work and then looks whether
//! the driver sleeps. With a sequentially consistent fence between the two steps
//! on both sides, at least one of them sees the other.
//!
//! A driver that does not exist counts as one that sleeps for ever: a thread that has work
//! for it starts it. This holds before the first start, and in the child of a `fork`. After
//! the end, no thread is started: a wake returns that no driver comes any more.
//!
//! Work that may come late, and is not worth starting a thread, does without the handshake
//! ([`Waker::rouse`]).

use std::sync::Arc;
use std::thread::Thread;

use arc_swap::ArcSwapOption;

use crate::sys::atomic::{AtomicU32, AtomicU64, Ordering, fence};
use crate::sys::per_process::Renew;

/// No driver sleeps: it is at work, or the manager has none.
const AWAKE: u64 = 0;
/// There is no driver yet, and a thread that has work for it starts it.
const ABSENT: u64 = u64::MAX - 1;
/// There will be no driver any more. Final.
const ENDED: u64 = u64::MAX;

/// Starts the driver, unless another thread has.
pub(crate) type Starter = Arc<dyn Fn() + Send + Sync>;

/// The driver's waker.
pub(crate) struct Waker {
    /// Until when, in monotonic ms, the driver sleeps; [`AWAKE`], [`ABSENT`] or [`ENDED`].
    asleep_until: AtomicU64,
    /// 1: the driver was woken since it last got up. Needed because a callback that parks
    /// the thread may have used up the wake itself.
    woken: AtomicU32,
    sleeper: ArcSwapOption<Thread>,
    /// `None` if the manager has no driver.
    starter: Option<Starter>,
}

impl Waker {
    pub(crate) fn new(starter: Option<Starter>) -> Self {
        let asleep_until = if starter.is_some() { ABSENT } else { AWAKE };
        Waker {
            asleep_until: AtomicU64::new(asleep_until),
            woken: AtomicU32::new(0),
            sleeper: ArcSwapOption::empty(),
            starter,
        }
    }

    /// Sets the thread to wake. Called before its first sleep.
    pub(crate) fn hang(&self, thread: Thread) {
        self.sleeper.store(Some(Arc::new(thread)));
    }

    /// Wakes or starts the driver if it would sleep past `moment`, when work is due. Called
    /// after the work was left. Returns true if no driver comes any more.
    pub(crate) fn wake_by(&self, moment: u64) -> bool {
        // ORDERING: SeqCst, partner of the fences in `lie_down` and `end`.
        fence(Ordering::SeqCst);
        let until = self.asleep_until.load(Ordering::Relaxed);
        if until > moment {
            self.wake();
        }
        until == ENDED
    }

    /// Wakes the driver, or starts it if there is none.
    pub(crate) fn wake(&self) {
        // ORDERING: Release, partner of the Acquire in `was_woken`. A thread that uses up the
        // wake below sees this, too.
        self.woken.store(1, Ordering::Release);
        if let Some(thread) = self.sleeper.load_full() {
            thread.unpark();
        } else if let Some(start) = &self.starter {
            start();
        }
    }

    /// Wakes the driver if there is one. Does not start it.
    pub(crate) fn rouse(&self) {
        if let Some(thread) = self.sleeper.load_full() {
            // ORDERING: Release, partner of the Acquire in `was_woken`.
            self.woken.store(1, Ordering::Release);
            thread.unpark();
        }
    }

    /// Whether the driver was woken since it last got up. Called right before it parks:
    /// a wake that comes later ends the park.
    pub(crate) fn was_woken(&self) -> bool {
        // ORDERING: Acquire, partner of the Release in `wake`: what the driver is woken for is
        // visible.
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
    /// before it parks, and call [`Waker::get_up`] afterwards.
    pub(crate) fn lie_down(&self, moment: u64) {
        self.change(moment.min(ABSENT - 1));
        // ORDERING: SeqCst, partner of the fence in `wake_by`: either `wake_by` finds the sleep
        // announced, or the driver's next look finds the work.
        fence(Ordering::SeqCst);
    }

    /// Ends the sleep and forgets earlier wakes. The driver looks for work after this.
    pub(crate) fn get_up(&self) {
        self.change(AWAKE);
        self.was_woken();
    }

    /// Says that no driver comes any more. The caller looks for work once more afterwards.
    pub(crate) fn end(&self) {
        // ORDERING: AcqRel, partner of itself in `change`: each change comes before the next.
        self.asleep_until.swap(ENDED, Ordering::AcqRel);
        // ORDERING: SeqCst, partner of the fence in `wake_by`: either `wake_by` finds the end, or
        // the caller's next look finds the work.
        fence(Ordering::SeqCst);
    }

    /// Says that the driver could not be started.
    pub(crate) fn leave(&self) {
        self.change(ABSENT);
    }

    /// Sets until when the driver sleeps, except after the end. A read-modify-write, since
    /// another thread may call [`end`](Waker::end) at the same time.
    fn change(&self, until: u64) {
        // ORDERING: AcqRel, partner of the swap in `end`: each change comes before the next.
        let change = |before| (before != ENDED).then_some(until);
        let _ = self
            .asleep_until
            .fetch_update(Ordering::AcqRel, Ordering::Relaxed, change);
    }
}

impl Renew for Waker {
    fn renew(&self) -> Self {
        Waker::new(self.starter.clone())
    }
}
