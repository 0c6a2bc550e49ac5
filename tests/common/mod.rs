//! What several test programs share: a manager on a manual clock, a loop that
//! waits with a deadline, and an allocator that counts.
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

use std::time::{Duration, Instant};

use brama::{Brama, Builder, Connection, ManualClock};

/// Unix ms at which every manual clock of these tests starts.
pub const START: u64 = 1_000_000;

pub fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// A manager without a thread whose time stands still, made with `settings`.
pub fn manager_with(settings: impl FnOnce(Builder) -> Builder) -> (Brama, ManualClock) {
    let clock = ManualClock::starting_at(START);
    let builder = Brama::builder().clock(clock.clone()).background(false);
    (settings(builder).build().expect("valid settings"), clock)
}

/// A manager without a thread whose time stands still, all defaults.
pub fn manager() -> (Brama, ManualClock) {
    manager_with(|builder| builder)
}

/// Reports `times` failures.
pub fn fail(connection: &Connection, times: u32) {
    for _ in 0..times {
        connection.failure(None).expect("registered");
    }
}

/// Waits until `done`, generously; says what it waited for if that never comes.
pub fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !done() {
        assert!(Instant::now() < deadline, "waited a minute until {what}");
        std::thread::sleep(ms(1));
    }
}
