//! What happens when nobody calls: expiries and cleanup by the background thread
//! or by `poll`, on the machine's clock and on a manual one.
//!
//! Looking at a circuit lets its expiry happen, so a test that wants to know
//! whether the driver was there first looks once, late, and reads in the status
//! when the change was. Only what real time is the point of uses it.

mod common;

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use brama::{Brama, Config, ConnectionOptions, Error, ManualClock, State};
use common::{START, manager_with, ms, wait_until};

/// One test at a time: they count threads and measure time.
fn alone() -> MutexGuard<'static, ()> {
    static ONE: Mutex<()> = Mutex::new(());
    ONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Expiries of 1 to 200 ms in no order.
fn expiries(count: u64) -> impl Iterator<Item = u64> {
    (0..count)
        .map(|n| n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40)
        .map(|n| n % 200 + 1)
}

// ---- real time ----

#[test]
fn without_traffic_expiries_happen_on_time_and_never_early() {
    let _alone = alone();
    let brama = Brama::builder().build().expect("valid");
    let circuits: Vec<_> = expiries(300)
        .enumerate()
        .map(|(n, expiry)| {
            let options = ConnectionOptions::new().expiry(ms(expiry)).max_attempts(1);
            let db = brama
                .register(&format!("{n}"), options)
                .expect("a new name");
            db.failure(None).expect("registered");
            (db, expiry)
        })
        .collect();
    // Long enough to tell a driver that is late from one that never comes.
    std::thread::sleep(ms(2_500));
    let mut worst = 0;
    for (db, expiry) in circuits {
        let status = db.status().expect("registered");
        assert_eq!(status.state, State::HalfOpen);
        let opened = status.opened_at.expect("it was open");
        let lasted = status.last_state_change.expect("two changes") - opened;
        assert!(lasted >= expiry, "{lasted} ms of {expiry}");
        worst = worst.max(lasted.saturating_sub(expiry));
    }
    println!("at most {worst} ms late");
    assert!(worst < 1_000, "{worst} ms late");
}

#[test]
fn with_traffic_no_expiry_is_early_by_the_precise_clock() {
    let _alone = alone();
    for background in [false, true] {
        let brama = Brama::builder()
            .background(background)
            .build()
            .expect("valid");
        let mut waiting: Vec<_> = expiries(200)
            .enumerate()
            .map(|(n, expiry)| {
                let options = ConnectionOptions::new().expiry(ms(expiry)).max_attempts(1);
                let db = brama
                    .register(&format!("{n}"), options)
                    .expect("a new name");
                let begin = Instant::now();
                match n % 3 {
                    0 => db.open_circuit(None, ms(expiry)).expect("registered"),
                    1 => db.open_circuit(None, None).expect("registered"),
                    _ => drop(db.failure(None).expect("registered")),
                }
                (db, begin, ms(expiry))
            })
            .collect();
        wait_until("all have expired", || {
            waiting.retain(|(db, begin, expiry)| {
                if db.state() == State::Open {
                    return true;
                }
                let elapsed = begin.elapsed();
                assert!(elapsed >= *expiry, "{elapsed:?} of {expiry:?}");
                false
            });
            waiting.is_empty()
        });
    }
}

#[test]
fn two_times_of_one_moment_in_one_status_are_equal() {
    let _alone = alone();
    let brama = Brama::builder().background(false).build().expect("valid");
    let db = brama.register("db", None).expect("a new name");
    db.open_circuit(None, ms(60_000)).expect("registered");
    for _ in 0..200_000 {
        let status = db.status().expect("registered");
        assert_eq!(status.opened_at, status.last_state_change);
    }
}

#[test]
fn an_earlier_deadline_wakes_a_driver_that_sleeps_until_a_later_one() {
    let _alone = alone();
    let brama = Brama::builder()
        .inactive_threshold(None)
        .build()
        .expect("valid");
    let late = brama.register("late", None).expect("a new name");
    late.open_circuit(None, ms(600_000)).expect("registered");
    std::thread::sleep(ms(50));
    let soon = brama.register("soon", None).expect("a new name");
    soon.open_circuit(None, ms(600_000)).expect("registered");
    std::thread::sleep(ms(50));
    soon.open_circuit("re-armed", ms(20)).expect("registered");
    std::thread::sleep(ms(1_500));
    let status = soon.status().expect("registered");
    assert_eq!(status.state, State::HalfOpen);
    let since = status.time_in_state;
    assert!(since > ms(400), "only {since:?} ago: the driver slept on");
    assert_eq!(late.state(), State::Open);
}

// ---- a manual clock with the driver ----

#[test]
fn advancing_a_manual_clock_wakes_the_driver() {
    let _alone = alone();
    let clock = ManualClock::starting_at(START);
    let brama = Brama::builder()
        .clock(clock.clone())
        .inactive_threshold(ms(1_000))
        .cleanup_interval(ms(100))
        .build()
        .expect("valid");
    for round in 1..=20 {
        let db = brama.register("db", None).expect("a new name");
        let begin = clock.unix_ms();
        db.open_circuit(None, ms(500)).expect("registered");
        clock.advance(ms(500));
        db.success()
            .expect("if nobody was there: half-open, then closed");
        // Idle from here on, and nobody's; the driver alone can remove it.
        drop(db);
        wait_until("the driver has removed it", || {
            clock.advance(ms(100));
            brama.state("db") == State::Unknown
        });
        assert!(clock.unix_ms() >= begin + 1_500, "round {round}");
    }
}

#[test]
fn the_driver_does_an_expiry_at_the_manual_moment_it_is_due() {
    let _alone = alone();
    let clock = ManualClock::starting_at(START);
    let brama = Brama::builder()
        .clock(clock.clone())
        .inactive_threshold(ms(100))
        .cleanup_interval(ms(100))
        .build()
        .expect("valid");
    let db = brama.register("db", None).expect("a new name");
    brama.register("idle", None).expect("a new name");
    clock.advance(ms(50));
    db.open_circuit(None, ms(50)).expect("registered");
    clock.advance(ms(50));
    // A turn expires what is due before it cleans up. So when the idle one is
    // gone the circuit has been seen to, and nobody else has looked at it.
    wait_until("the idle one is removed", || {
        brama.state("idle") == State::Unknown
    });
    clock.advance(ms(49));
    let status = db.status().expect("its expiry was activity");
    assert_eq!(status.state, State::HalfOpen);
    assert_eq!(status.last_state_change, Some(START + 100));
}

// ---- without a thread ----

#[test]
fn without_a_thread_poll_does_what_is_due_and_no_more() {
    let _alone = alone();
    let (brama, clock) = manager_with(|b| b);
    let circuits: Vec<_> = (1..=100)
        .map(|n| {
            let db = brama.register(&format!("{n}"), None).expect("a new name");
            db.open_circuit(None, ms(n)).expect("registered");
            (n, db)
        })
        .collect();
    for _ in 0..100 {
        clock.advance(ms(1));
        brama.poll();
    }
    clock.advance(ms(5_000));
    for (n, db) in circuits {
        let changed = db.status().expect("registered").last_state_change;
        assert_eq!(changed, Some(START + n));
    }
}

#[test]
fn poll_finds_deadlines_that_moved_and_openings_that_ended_early() {
    let _alone = alone();
    let (brama, clock) = manager_with(|b| b);
    let open = |name: &str, expiry| {
        let db = brama.register(name, None).expect("a new name");
        db.open_circuit(None, ms(expiry)).expect("registered");
        brama.poll();
        db
    };
    let (later, earlier, closed, gone) = (
        open("later", 100),
        open("earlier", 100),
        open("closed", 100),
        open("gone", 100),
    );
    later.open_circuit(None, ms(150)).expect("registered");
    earlier.open_circuit(None, ms(50)).expect("registered");
    closed.close_circuit().expect("registered");
    brama.unregister("gone").expect("registered");
    for _ in 0..200 {
        clock.advance(ms(1));
        brama.poll();
    }
    clock.advance(ms(1_000));
    let changed = |db: &brama::Connection| db.status().expect("registered").last_state_change;
    assert_eq!(changed(&later), Some(START + 150));
    assert_eq!(changed(&earlier), Some(START + 50));
    assert_eq!(
        (closed.state(), changed(&closed)),
        (State::Closed, Some(START))
    );
    assert!(gone.status().is_err());
}

#[test]
fn cleanup_in_small_steps_removes_at_the_threshold() {
    let _alone = alone();
    let (brama, clock) = manager_with(|b| b.inactive_threshold(ms(1_000)).cleanup_interval(ms(10)));
    for n in 0..5_000 {
        brama.register(&format!("{n}"), None).expect("a new name");
    }
    for step in 1..=110_u64 {
        clock.advance(ms(10));
        if step == 50 {
            for n in 0..100 {
                brama.success(&format!("{n}")).expect("registered");
            }
        }
        brama.poll();
        let expected = if step < 100 { 5_000 } else { 100 };
        assert_eq!(brama.state_counts().closed, expected, "after {step} steps");
    }
    for _ in 111..=151 {
        clock.advance(ms(10));
        brama.poll();
    }
    assert_eq!(brama.state_counts().closed, 0);
}

// ---- the thread ----

/// The driver threads of this process.
#[cfg(target_os = "linux")]
fn drivers() -> usize {
    std::fs::read_dir("/proc/self/task")
        .expect("linux")
        .flatten()
        .filter_map(|task| std::fs::read_to_string(task.path().join("comm")).ok())
        .filter(|name| name.trim() == "brama-driver")
        .count()
}

#[cfg(target_os = "linux")]
#[test]
fn shutdown_and_the_last_drop_join_the_thread() {
    let _alone = alone();
    // A thread that has been joined may stay listed for a moment.
    wait_until("earlier tests' drivers are gone", || drivers() == 0);
    let managers: Vec<_> = (0..10)
        .map(|_| Brama::builder().build().expect("valid"))
        .collect();
    let without = Brama::builder().background(false).build().expect("valid");
    wait_until("all have named themselves", || drivers() == 10);
    let handles: Vec<_> = managers
        .iter()
        .map(|brama| brama.register("db", None).expect("a new name"))
        .collect();
    managers[0].shutdown();
    managers[1].clone().shutdown();
    wait_until("two are gone", || drivers() == 8);
    drop(managers);
    wait_until("all are gone", || drivers() == 0);
    assert!(
        handles
            .iter()
            .all(|db| db.success() == Err(Error::ShutDown))
    );
    drop(without);
}

#[test]
fn a_shutdown_does_not_wait_for_the_driver_s_next_moment() {
    let _alone = alone();
    let begin = Instant::now();
    for background_clock in [None, Some(ManualClock::new())] {
        let mut builder = Brama::builder().cleanup_interval(Duration::from_secs(3_600));
        if let Some(clock) = background_clock {
            builder = builder.clock(clock);
        }
        let brama = builder.build().expect("valid");
        let db = brama.register("db", None).expect("a new name");
        db.open_circuit(None, Duration::from_secs(3_600))
            .expect("registered");
        std::thread::sleep(ms(20));
        brama.shutdown();
    }
    assert!(begin.elapsed() < Duration::from_secs(30));
}

#[test]
fn a_new_cleanup_interval_is_noticed_by_a_sleeping_driver() {
    let _alone = alone();
    let clock = ManualClock::starting_at(START);
    let brama = Brama::builder()
        .clock(clock.clone())
        .inactive_threshold(None)
        .build()
        .expect("valid");
    brama.register("db", None).expect("a new name");
    clock.advance(ms(60_000));
    let change = Config::new()
        .inactive_threshold(ms(1_000))
        .cleanup_interval(ms(1_000));
    brama.configure(change).expect("valid");
    wait_until("it is removed", || brama.state("db") == State::Unknown);
}
