//! Stops threads at random instructions, for some microseconds.
//!
//! A timer of the thread's own sends it a signal, whose handler gives the processor away,
//! sleeps or spins, and sets the timer again. So a thread is stopped between any two
//! instructions, many thousand times a second: what plain load meets once in days, this
//! meets in seconds. Threads that block the signal, as those of the library do, are left
//! alone.

use std::cell::Cell;
use std::mem;
use std::ptr;
use std::sync::atomic::{AtomicU64, Ordering};

/// While this lives, the thread that made it is stopped again and again.
pub struct Preempted {
    timer: libc::timer_t,
}

thread_local! {
    // Without destructors, so that a handler may use them at any time. The first timer of
    // a process is a null pointer, so it does not say whether there is one.
    static TIMER: Cell<Option<libc::timer_t>> = const { Cell::new(None) };
    static RANDOM: Cell<u64> = const { Cell::new(0) };
}

static STOPS: AtomicU64 = AtomicU64::new(0);

/// How often threads have been stopped.
pub fn stops() -> u64 {
    STOPS.load(Ordering::Relaxed)
}

fn signal() -> libc::c_int {
    libc::SIGRTMIN() + 4
}

fn random() -> u64 {
    // Xorshift.
    let mut x = RANDOM.get();
    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    RANDOM.set(x);
    x
}

/// Lets the timer go off once, in 2 to 100 µs.
fn arm(timer: libc::timer_t) {
    let nothing = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    let once = libc::itimerspec {
        it_interval: nothing,
        it_value: libc::timespec {
            tv_sec: 0,
            tv_nsec: 2_000 + (random() % 98_000).cast_signed(),
        },
    };
    // SAFETY: a timer of this thread; one that was deleted meanwhile is an error, no more.
    unsafe { libc::timer_settime(timer, 0, &once, ptr::null_mut()) };
}

extern "C" fn stop(_: libc::c_int) {
    // SAFETY: this thread's; what is interrupted may be about to read it.
    let errno = unsafe { *libc::__errno_location() };
    STOPS.fetch_add(1, Ordering::Relaxed);
    match random() % 4 {
        0 => {
            // SAFETY: no arguments.
            unsafe { libc::sched_yield() };
        }
        1 => {
            let nap = libc::timespec {
                tv_sec: 0,
                tv_nsec: (random() % 20_000).cast_signed(),
            };
            // SAFETY: a valid time.
            unsafe { libc::nanosleep(&nap, ptr::null_mut()) };
        }
        2 => (0..random() % 200).for_each(|_| std::hint::spin_loop()),
        _ => (0..random() % 10_000).for_each(|_| std::hint::spin_loop()),
    }
    if let Some(timer) = TIMER.get() {
        arm(timer);
    }
    // SAFETY: as above.
    unsafe { *libc::__errno_location() = errno };
}

impl Preempted {
    /// Stops this thread from now on. Equal seeds stop threads alike.
    pub fn here(seed: u64) -> Self {
        // SAFETY: a handler that calls only what is safe in one, and a timer for this
        // thread.
        unsafe {
            let mut action: libc::sigaction = mem::zeroed();
            action.sa_sigaction = stop as *const () as libc::sighandler_t;
            action.sa_flags = libc::SA_RESTART;
            assert_eq!(libc::sigaction(signal(), &action, ptr::null_mut()), 0);
            let mut event: libc::sigevent = mem::zeroed();
            event.sigev_notify = libc::SIGEV_THREAD_ID;
            event.sigev_signo = signal();
            event.sigev_notify_thread_id = libc::gettid();
            let mut timer = ptr::null_mut();
            let made = libc::timer_create(libc::CLOCK_MONOTONIC, &mut event, &mut timer);
            assert_eq!(made, 0, "a timer can be made");
            RANDOM.set(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
            TIMER.set(Some(timer));
            arm(timer);
            Preempted { timer }
        }
    }
}

impl Drop for Preempted {
    fn drop(&mut self) {
        TIMER.set(None);
        // SAFETY: made by `here`. A signal that is under way finds no timer.
        unsafe { libc::timer_delete(self.timer) };
    }
}
