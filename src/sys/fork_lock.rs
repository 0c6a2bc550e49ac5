//! A lock that records which thread holds it, so that a `fork` cannot leave it held for ever.
//!
//! In the child of a fork a lock that another thread held is taken over, and what it guards is
//! [renewed](Renew): that thread may have been half way through a change. A lock that the forking
//! thread itself holds stays held until that thread lets go of it: it may have forked inside a
//! callback.
//!
//! Threads wait for the lock in a [`WaitRoom`], which every process has for itself.
//!
//! For locks that are never held while user code runs, a mutex in a
//! [`PerProcess`] does as well.

use std::marker::PhantomData;
use std::mem;
use std::ops::{Deref, DerefMut};
use std::sync::PoisonError;
use std::time::Instant;

use crate::sys::atomic::{self, AtomicUsize, Condvar, Mutex, Ordering, UnsafeCell};
use crate::sys::fork;
use crate::sys::per_process::{PerProcess, Renew};

/// A flag of the word: a thread waits. The rest of the word is the holder's token, shifted.
const AWAITED: usize = 1;
const TOKEN_SHIFT: u32 = 1;
const FREE: usize = 0;

pub(crate) struct ForkLock<T> {
    word: AtomicUsize,
    content: UnsafeCell<T>,
    room: WaitRoom,
}

/// The lock is held until this is dropped.
pub(crate) struct Held<'a, T> {
    lock: &'a ForkLock<T>,
    /// Keeps it on this thread, whose token is in the word.
    here: PhantomData<*const ()>,
}

impl<T: Renew> ForkLock<T> {
    pub(crate) fn new(content: T) -> Self {
        ForkLock {
            word: AtomicUsize::new(FREE),
            content: UnsafeCell::new(content),
            room: WaitRoom::new(),
        }
    }

    pub(crate) fn lock(&self) -> Held<'_, T> {
        loop {
            if let Some(held) = self.try_lock() {
                return held;
            }
            self.room.wait_until(|| self.is_worth_a_try());
        }
    }

    /// [`ForkLock::lock`]. Returns `None` if the lock is still held at the deadline.
    pub(crate) fn lock_before(&self, deadline: Instant) -> Option<Held<'_, T>> {
        loop {
            if let Some(held) = self.try_lock() {
                return Some(held);
            }
            if !self.room.wait_before(deadline, || self.is_worth_a_try()) {
                return None;
            }
        }
    }

    /// Whether [`ForkLock::try_lock`] is worth a try: a thread asks this before it sleeps. If not,
    /// the lock is marked as awaited, so that its holder wakes the threads that wait.
    fn is_worth_a_try(&self) -> bool {
        let word = self.word.load(Ordering::Relaxed);
        let mark = || {
            let marked = word | AWAITED;
            self.word
                .compare_exchange(word, marked, Ordering::Relaxed, Ordering::Relaxed)
        };
        // If the mark fails, the word has changed meanwhile: it is worth another try.
        Self::may_take(word) || word & AWAITED == 0 && mark().is_err()
    }

    /// Takes the lock. Returns `None` if a thread holds it, or takes it at the same moment.
    pub(crate) fn try_lock(&self) -> Option<Held<'_, T>> {
        let mine = atomic::thread_token() << TOKEN_SHIFT;
        let word = self.word.load(Ordering::Relaxed);
        if !Self::may_take(word) {
            return None;
        }
        // ORDERING: Acquire, partner of the Release in the drop of `Held`.
        self.word
            .compare_exchange(word, mine, Ordering::Acquire, Ordering::Relaxed)
            .ok()?;
        if word != FREE {
            self.content.with_mut(|content| {
                // SAFETY: the exchange above made this thread the holder, and the one before is
                // gone (`may_take`).
                let content = unsafe { &mut *content };
                let fresh = content.renew();
                mem::forget(mem::replace(content, fresh));
            });
        }
        Some(Held {
            lock: self,
            here: PhantomData,
        })
    }

    fn may_take(word: usize) -> bool {
        word == FREE || fork::is_gone(word >> TOKEN_SHIFT)
    }
}

impl<T> Held<'_, T> {
    fn content(&self) -> *mut T {
        self.lock.content.with_mut(|content| content)
    }
}

impl<T> Deref for Held<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: `try_lock` made this thread the holder until `self` is dropped, and `self` is
        // borrowed as long as the content.
        unsafe { &*self.content() }
    }
}

impl<T> DerefMut for Held<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: `try_lock` made this thread the holder until `self` is dropped, and `self` is
        // borrowed exclusively as long as the content.
        unsafe { &mut *self.content() }
    }
}

impl<T> Drop for Held<'_, T> {
    fn drop(&mut self) {
        // ORDERING: Release, partner of the Acquire in `try_lock`.
        if self.lock.word.swap(FREE, Ordering::Release) & AWAITED != 0 {
            self.lock.room.wake_all();
        }
    }
}

// SAFETY: one thread at a time reaches the content: the one whose `Held` it is (`try_lock`). The
// content passes from thread to thread with Acquire and Release, so `T: Send` is enough.
unsafe impl<T: Send> Sync for ForkLock<T> {}
// SAFETY: a lock that is moved has no `Held`, which borrows it; the content is `Send`.
unsafe impl<T: Send> Send for ForkLock<T> {}

impl Renew for () {
    fn renew(&self) {}
}

/// Where threads of this process wait for something to become true.
pub(crate) struct WaitRoom(PerProcess<Seats>);

struct Seats {
    waiting: Mutex<()>,
    changed: Condvar,
}

impl WaitRoom {
    pub(crate) fn new() -> Self {
        WaitRoom(PerProcess::new(Seats::new()))
    }

    /// Waits until `done` returns true. It is called at once and at every wake.
    pub(crate) fn wait_until(&self, mut done: impl FnMut() -> bool) {
        let seats = &*self.0;
        let mut guard = seats.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        while !done() {
            guard = seats
                .changed
                .wait(guard)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// [`WaitRoom::wait_until`], at most until `deadline`. Returns whether it is done.
    pub(crate) fn wait_before(&self, deadline: Instant, mut done: impl FnMut() -> bool) -> bool {
        let seats = &*self.0;
        let mut guard = seats.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        while !done() {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            let woken = seats.changed.wait_timeout(guard, left);
            guard = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }

    /// Wakes all threads that wait, since what they wait for may have become true.
    pub(crate) fn wake_all(&self) {
        let seats = &*self.0;
        // A thread that waits has the mutex from its call of `done` until it sleeps. So this wake
        // cannot come in between.
        drop(seats.waiting.lock().unwrap_or_else(PoisonError::into_inner));
        seats.changed.notify_all();
    }
}

impl Seats {
    fn new() -> Self {
        Seats {
            waiting: Mutex::new(()),
            changed: Condvar::new(),
        }
    }
}

impl Renew for Seats {
    fn renew(&self) -> Self {
        Seats::new()
    }
}
