//! Helpers that several test programs share: a manager on a manual clock, a loop that waits with a
//! deadline, locks for tests that must run alone, and an allocator that counts.
#![allow(dead_code, reason = "each program uses its part")]

pub mod counting;
pub mod events;
#[cfg(target_os = "linux")]
pub mod explain;
#[cfg(target_os = "linux")]
pub mod forks;
#[cfg(target_os = "linux")]
pub mod preempt;
pub mod random;
#[cfg(target_os = "linux")]
pub mod storm;
pub mod threads;

use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use brama::{Brama, Builder, Connection, ManualClock};

/// Unix ms at which every manual clock of these tests starts.
pub const START: u64 = 1_000_000;

pub fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// A manager with `settings`, without a background thread, on a manual clock.
pub fn manager_with(settings: impl FnOnce(Builder) -> Builder) -> (Brama, ManualClock) {
    let clock = ManualClock::starting_at(START);
    let builder = Brama::builder().clock(clock.clone()).background(false);
    (settings(builder).build().expect("valid settings"), clock)
}

/// A manager with default settings, without a background thread, on a manual clock.
pub fn manager() -> (Brama, ManualClock) {
    manager_with(|builder| builder)
}

/// Reports `times` failures.
pub fn fail(connection: &Connection, times: u32) {
    for _ in 0..times {
        connection.failure(None).expect("registered");
    }
}

/// The tests of one program run at once, each on a thread of its own.
static PROGRAM: RwLock<()> = RwLock::new(());

/// A guard for a test that looks at the whole process: its memory, its threads, or its processor
/// time. While the guard lives, no other test that calls [`alone`] or [`in_company`] runs.
pub fn alone() -> RwLockWriteGuard<'static, ()> {
    PROGRAM.write().unwrap_or_else(PoisonError::into_inner)
}

/// A guard for a test that may run beside others. While it lives, no test that calls [`alone`]
/// runs.
pub fn in_company() -> RwLockReadGuard<'static, ()> {
    PROGRAM.read().unwrap_or_else(PoisonError::into_inner)
}

/// Waits until `done`. Panics with `what` after a minute.
pub fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !done() {
        assert!(Instant::now() < deadline, "waited a minute until {what}");
        thread::sleep(ms(1));
    }
}

/// Runs `work`. Panics if it does not end within two minutes.
pub fn in_time(what: &str, work: impl FnOnce() + Send + 'static) {
    let (done, is_done) = mpsc::channel();
    let worker = thread::spawn(move || {
        work();
        let _ = done.send(());
    });
    match is_done.recv_timeout(Duration::from_secs(120)) {
        Err(mpsc::RecvTimeoutError::Timeout) => panic!("{what}: it hangs"),
        // If `work` panics, the channel closes without a message.
        _ => worker.join().expect("no panic"),
    }
}
