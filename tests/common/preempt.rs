//! Stops threads at random instructions.
//!
//! Each thread has a timer, which sends it a signal after a random time. The handler stops the
//! thread: it yields the processor, spins, or sleeps, for up to a hundred microseconds, and rarely
//! for some milliseconds. Then it sets the timer again. So a thread may be stopped between any two
//! instructions, thousands of times a second. This finds in seconds the interleavings that plain
//! load finds once in days.
//!
//! A thread that blocks the signal, as the library's own threads do, is not stopped.
//!
//! The handler is async-signal-safe: it uses thread-local atomics without destructors, and calls
//! only `sched_yield`, `nanosleep` and `timer_settime`. It preserves `errno`.

use std::hint::spin_loop;
use std::marker::PhantomData;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::{mem, ptr};

/// A guard: while it lives, the thread that made it is stopped again and again.
pub struct Preempted {
    timer: libc::timer_t,
    /// Not `Send`: the timer and the thread-local words are those of the thread that made it.
    here: PhantomData<*const ()>,
}

/// The first timer of a process is a null pointer, so null does not say that there is none.
const NO_TIMER: usize = usize::MAX;

thread_local! {
    static TIMER: AtomicUsize = const { AtomicUsize::new(NO_TIMER) };
    static RANDOM: AtomicU64 = const { AtomicU64::new(1) };
}

static STOPS: AtomicU64 = AtomicU64::new(0);

/// How often threads of this process have been stopped.
pub fn stops() -> u64 {
    STOPS.load(Ordering::Relaxed)
}

fn signal() -> libc::c_int {
    libc::SIGRTMIN() + 4
}

/// A random number from 0 to below `bound`.
fn random(bound: u64) -> u64 {
    RANDOM.with(|random| {
        // Xorshift. A signal between the load and the store makes a number come twice.
        let mut x = random.load(Ordering::Relaxed);
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        random.store(x, Ordering::Relaxed);
        (x >> 11) % bound
    })
}

fn nanoseconds(count: u64) -> libc::timespec {
    libc::timespec {
        tv_sec: 0,
        tv_nsec: count as libc::c_long,
    }
}

/// Sets the timer to expire once, after so many nanoseconds.
fn arm(timer: libc::timer_t, after: u64) {
    let once = libc::itimerspec {
        it_interval: nanoseconds(0),
        // Zero would disarm it.
        it_value: nanoseconds(after.max(1)),
    };
    // SAFETY: `once` is valid for the call. A deleted timer only makes the call return an error.
    unsafe { libc::timer_settime(timer, 0, &once, ptr::null_mut()) };
}

fn sleep(at_most: u64) {
    let time = nanoseconds(random(at_most));
    // SAFETY: `time` is valid, and less than a second.
    unsafe { libc::nanosleep(&time, ptr::null_mut()) };
}

extern "C" fn stop(_: libc::c_int) {
    // SAFETY: `__errno_location` returns the valid address of this thread's `errno`.
    let errno = unsafe { *libc::__errno_location() };
    STOPS.fetch_add(1, Ordering::Relaxed);
    match random(256) {
        0 => sleep(4_000_000),
        1..=63 => sleep(100_000),
        64..=127 => (0..random(300)).for_each(|_| spin_loop()),
        128..=159 => (0..random(2_000)).for_each(|_| spin_loop()),
        _ => {
            // SAFETY: `sched_yield` has no arguments and no preconditions.
            unsafe { libc::sched_yield() };
        }
    }
    let timer = TIMER.with(|timer| timer.load(Ordering::Relaxed));
    if timer != NO_TIMER {
        arm(ptr::without_provenance_mut(timer), random(100_000));
    }
    // SAFETY: `__errno_location` returns the valid address of this thread's `errno`.
    unsafe { *libc::__errno_location() = errno };
}

impl Preempted {
    /// Stops this thread from now on. Equal seeds choose equal times and stops.
    pub fn here(seed: u64) -> Self {
        // SAFETY: all zeroes are a valid action and a valid event.
        let (mut action, mut event): (libc::sigaction, libc::sigevent) =
            unsafe { (mem::zeroed(), mem::zeroed()) };
        action.sa_sigaction = stop as *const () as libc::sighandler_t;
        action.sa_flags = libc::SA_RESTART;
        event.sigev_notify = libc::SIGEV_THREAD_ID;
        event.sigev_signo = signal();
        let mut timer = ptr::null_mut();
        // SAFETY: `stop` is a handler of this type, which calls only what is safe in one. The
        // action, the event and the place for the timer are valid for the calls.
        unsafe {
            event.sigev_notify_thread_id = libc::gettid();
            let set = libc::sigaction(signal(), &action, ptr::null_mut());
            assert_eq!(set, 0, "a signal can have a handler");
            let made = libc::timer_create(libc::CLOCK_MONOTONIC, &mut event, &mut timer);
            assert_eq!(made, 0, "a timer can be made");
            // Without the default slack, which makes sleeps 50 µs longer.
            libc::prctl(libc::PR_SET_TIMERSLACK, 1_usize);
        }
        let seed = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        RANDOM.with(|random| random.store(seed, Ordering::Relaxed));
        TIMER.with(|slot| slot.store(timer.addr(), Ordering::Relaxed));
        let preempted = Preempted {
            timer,
            here: PhantomData,
        };
        preempted.soon();
        preempted
    }

    /// Makes the next stop come within twelve microseconds. Called right before the operations
    /// under test.
    pub fn soon(&self) {
        arm(self.timer, random(12_000));
    }
}

impl Drop for Preempted {
    fn drop(&mut self) {
        // A signal that is still pending then finds no timer.
        TIMER.with(|timer| timer.store(NO_TIMER, Ordering::Relaxed));
        // SAFETY: `here` made the timer, and this drop alone deletes it. 0 means the default slack.
        unsafe {
            libc::timer_delete(self.timer);
            libc::prctl(libc::PR_SET_TIMERSLACK, 0_usize);
        }
    }
}
