//! What a `fork` leaves behind, and how the child notices.
//!
//! In the child only the thread that forked lives on. The other threads of the
//! parent are gone, whatever they were doing: what they held stays held,
//! what they were writing stays half written, what they were about to do is not
//! done. Nothing can be asked of them, and nothing they held can be trusted.
//!
//! So the child does not repair anything: it starts over, by three means:
//!
//! - **The incarnation** counts the forks that lie between this process and the
//!   first one. What one process must not share with another lives in a
//!   [`PerProcess`](crate::sys::per_process::PerProcess), which compares the incarnation
//!   and renews itself: the ring, the driver's stack, waker and plan, queues.
//! - **Tokens**: every thread has a number that no other ever had, even across forks. A
//!   [`ForkLock`](crate::sys::fork_lock::ForkLock) and a
//!   [`UseGate`](crate::structures::use_gate::UseGate) record the thread that holds them. So a
//!   child can distinguish a thread that is gone from the one that forked inside a callback and is
//!   still there.
//! - **The handler** below, which runs in the child before `fork` returns there. It
//!   stores a few words and gives queues descriptors of their own. It allocates
//!   nothing and takes no lock, so a child that only calls `exec` pays next to
//!   nothing.
//!
//! The child cannot renew the locks that the standard library has for the whole process, so code
//! that runs in a child does not take them. The standard library takes one when a thread begins or
//! ends, so the driver is a [thread of the system's](crate::sys::thread). It has others for the
//! environment, for the standard streams and for what is set up once. So none of these is used, and
//! what is found out once is kept by a race. The library's mutexes and condition variables lie in
//! what is renewed, or in a `ForkLock` or `UseGate`. What else is used of `std` (parking, handles
//! of threads, seeds of hashing, clocks, the number of cores) has no such lock. The allocator and
//! the C library put theirs right at a fork. There is one exception: a callback that panics takes a
//! lock of `std`'s, because the panic hook prints.
//!
//! Lock-free structures that are whole after every single store are carried over as they are: state
//! words, totals, windows, places of probes, the table (a thread that meets an unfinished rebuild
//! does all of it). Lists of subscribers and settings are swapped whole. What a record has derived
//! from the settings is brought up to date by the first turn of the child's plan, which visits all
//! records. What the parent's threads had still to free is left alone.
//!
//! # What was rejected
//!
//! - *Locking everything before the fork* and unlocking it on both sides, as memory
//!   allocators do: a callback may run for as long as it likes, and may be what the
//!   forking thread waits for. It would also carry events over that the parent
//!   delivers anyway.
//! - *Repairing everything in the handler*: it would have to know all managers, and
//!   rings of any size would be written again for children that only call `exec`.
//! - *Asking for the process id*: a system call each time.

use crate::sys::atomic::{modelled, shipped};

shipped! {
    use std::ptr;

    use crate::sys::atomic::{self, AtomicPtr, AtomicU32, AtomicUsize, Ordering};

    static INCARNATION: AtomicU32 = AtomicU32::new(0);
    /// The token of the thread that forked last. Of the threads with tokens below [`FLOOR`] only
    /// this one is alive.
    static SURVIVOR: AtomicUsize = AtomicUsize::new(0);
    /// The smallest token given in this process.
    static FLOOR: AtomicUsize = AtomicUsize::new(0);
    /// 1 once the handler is registered.
    static WATCHED: AtomicU32 = AtomicU32::new(0);
    /// What the handler calls: functions of the type `fn()`, or null.
    static CALLED: [AtomicPtr<()>; 4] = [const { AtomicPtr::new(ptr::null_mut()) }; 4];

    // ORDERING: Relaxed throughout. The handler writes while the child has one thread. That thread
    // starts the others, directly or through threads that it started.

    /// How many forks lie between this process and the first.
    #[inline]
    pub(crate) fn incarnation() -> u32 {
        INCARNATION.load(Ordering::Relaxed)
    }

    /// Whether the thread with this token was left behind in another process.
    pub(crate) fn is_gone(token: usize) -> bool {
        token < FLOOR.load(Ordering::Relaxed) && token != SURVIVOR.load(Ordering::Relaxed)
    }

    /// Registers the handler, unless that is done: forks are noticed from now on.
    pub(crate) fn watch() {
        // ORDERING: Acquire, partner of the Release of another thread below: its handler is
        // registered.
        //
        // Two threads may both register it: a handler that runs twice does no harm. A thread that
        // waited for the other one could wait for ever in a child.
        if WATCHED.load(Ordering::Acquire) == 0 && register(in_child) {
            WATCHED.store(1, Ordering::Release);
        }
    }

    /// Makes the handler call this function, which makes system calls and stores a few words: it
    /// may neither allocate nor take a lock. There is room for as many functions as [`CALLED`] has
    /// places.
    pub(crate) fn on_child(function: fn()) {
        let function = function as *mut ();
        let is_there = CALLED.iter().any(|place| {
            let known = place.load(Ordering::Relaxed);
            known == function
                || known.is_null()
                    && match place.compare_exchange(
                        known,
                        function,
                        Ordering::Relaxed,
                        Ordering::Relaxed,
                    ) {
                        Ok(_) => true,
                        Err(other) => other == function,
                    }
        });
        debug_assert!(is_there, "there is a place for it");
        watch();
    }

    /// Whether the handler is run in the child of every fork from now on.
    #[cfg(unix)]
    fn register(handler: unsafe extern "C" fn()) -> bool {
        // SAFETY: `in_child` needs nothing but what `on_child` asks of the functions that it
        // calls. It stays mapped: it is part of the program, or of the C library, which
        // `bindings/c/build.rs` links so that it is never unloaded where the linker can do
        // that.
        unsafe { libc::pthread_atfork(None, None, Some(handler)) == 0 }
    }

    /// Where there are no forks there is nothing to notice.
    #[cfg(not(unix))]
    fn register(_handler: unsafe extern "C" fn()) -> bool {
        true
    }

    unsafe extern "C" fn in_child() {
        INCARNATION.fetch_add(1, Ordering::Relaxed);
        SURVIVOR.store(atomic::thread_token(), Ordering::Relaxed);
        FLOOR.store(atomic::next_token(), Ordering::Relaxed);
        for place in &CALLED {
            let called = place.load(Ordering::Relaxed);
            if !called.is_null() {
                // SAFETY: `on_child` stores nothing but functions of this type.
                let called = unsafe { std::mem::transmute::<*mut (), fn()>(called) };
                called();
            }
        }
    }
}

modelled! {
    pub(crate) fn incarnation() -> u32 {
        0
    }

    pub(crate) fn is_gone(_token: usize) -> bool {
        false
    }

    /// Models do not fork.
    pub(crate) fn watch() {}

    pub(crate) fn on_child(_function: fn()) {}
}
