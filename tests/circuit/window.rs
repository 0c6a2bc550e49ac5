//! Failures within a window of time: which failures are inside, what clears them, and failures that
//! stay between successes.

use super::semantics::circuit;
use crate::common::{fail, manager_with, ms};
use brama::{Connection, ConnectionOptions, Setting, State};

fn count(connection: &Connection) -> u32 {
    connection.status().expect("registered").failure_count
}

#[test]
fn a_failure_of_exactly_the_windows_age_is_outside() {
    let (brama, clock) = manager_with(|b| b.max_attempts(3).window(ms(1_000)));
    let db = circuit(&brama);
    assert_eq!(db.failure(None), Ok(1));
    clock.advance(ms(999));
    assert_eq!(db.failure(None), Ok(2));
    clock.advance(ms(1));
    assert_eq!(db.failure(None), Ok(2), "the first one is 1 000 ms old");
    assert_eq!(db.state(), State::Closed);
    clock.advance(ms(998));
    assert_eq!(db.failure(None), Ok(3), "the second one is 999 ms old");
    assert_eq!(db.state(), State::Open);
}

#[test]
fn a_success_clears_the_window() {
    let (brama, _clock) = manager_with(|b| b.max_attempts(3).window(ms(1_000)));
    let db = circuit(&brama);
    fail(&db, 2);
    db.success().expect("registered");
    assert_eq!((db.failure(None), count(&db)), (Ok(1), 1));
}

#[test]
fn failures_between_successes_open_a_circuit_that_counts_in_time() {
    let (brama, clock) = manager_with(|b| {
        b.max_attempts(3)
            .window(ms(1_000))
            .success_clears_window(false)
    });
    let db = circuit(&brama);
    for count in 1..=2 {
        assert_eq!(db.failure(None), Ok(count));
        db.acquire()
            .expect("admitted")
            .success()
            .expect("registered");
        db.success().expect("registered");
        clock.advance(ms(500));
    }
    // The first failure is 1 000 ms old, and thus outside.
    assert_eq!(db.failure(None), Ok(2));
    assert_eq!(db.status().expect("registered").failure_count, 2);
    assert_eq!(db.failure(None), Ok(3));
    assert_eq!(db.state(), State::Open);
}

#[test]
fn a_recovery_and_a_reset_clear_what_a_circuit_counts_in_time() {
    let (brama, clock) = manager_with(|b| {
        b.max_attempts(2)
            .window(ms(600_000))
            .success_clears_window(false)
    });
    let db = circuit(&brama);
    let fail = || db.failure(None).expect("registered");
    assert_eq!((fail(), fail()), (1, 2));
    clock.advance(ms(60_000));
    db.acquire()
        .expect("admitted")
        .success()
        .expect("registered");
    assert_eq!(db.state(), State::Closed);
    assert_eq!(fail(), 1, "recovered");
    db.reset_circuit().expect("registered");
    assert_eq!(fail(), 1, "reset");
}

#[test]
fn a_probes_success_that_is_no_recovery_yet_leaves_what_a_circuit_counts_in_time() {
    let (brama, _clock) = manager_with(|b| {
        b.max_attempts(4)
            .window(ms(600_000))
            .success_clears_window(false)
            .half_open_successes(2)
    });
    let db = circuit(&brama);
    fail(&db, 2);
    db.half_open_circuit().expect("registered");
    db.acquire().expect("half-open").success().expect("timely");
    assert_eq!(count(&db), 2);
    db.close_circuit().expect("registered");
    assert_eq!(db.failure(None), Ok(3), "closed by hand");
    db.half_open_circuit().expect("registered");
    for _ in 0..2 {
        db.acquire().expect("half-open").success().expect("timely");
    }
    assert_eq!(db.state(), State::Closed);
    assert_eq!(db.failure(None), Ok(1), "recovered");
}

#[test]
fn a_success_clears_failures_again_once_it_is_set_to() {
    let (brama, _clock) = manager_with(|b| b.window(ms(1_000)).success_clears_window(false));
    let db = circuit(&brama);
    let fails_after_a_success = || {
        db.success().expect("registered");
        db.failure(None).expect("registered")
    };
    assert_eq!((fails_after_a_success(), fails_after_a_success()), (1, 2));
    db.configure(ConnectionOptions::new().success_clears_window(true))
        .expect("registered");
    assert_eq!(fails_after_a_success(), 1);
    db.configure(ConnectionOptions::new().inherit(Setting::SuccessClearsWindow))
        .expect("registered");
    assert_eq!(fails_after_a_success(), 2);
    db.configure(ConnectionOptions::new().window(None))
        .expect("registered");
    assert_eq!(
        fails_after_a_success(),
        1,
        "without a window it always does"
    );
}

#[test]
fn the_next_opening_after_a_success_is_the_first_also_when_failures_stay() {
    let (brama, _clock) = manager_with(|b| b.window(ms(1_000)).success_clears_window(false));
    let db = circuit(&brama);
    db.open_circuit("by hand", None).expect("registered");
    db.close_circuit().expect("registered");
    db.failure(None).expect("registered");
    db.success().expect("registered");
    assert_eq!(db.status().expect("registered").trips, 0);
    assert_eq!(db.status().expect("registered").failure_count, 1);
}

#[test]
fn the_status_counts_the_window_as_of_now() {
    let (brama, clock) = manager_with(|b| b.max_attempts(9).window(ms(100)));
    let db = circuit(&brama);
    fail(&db, 3);
    clock.advance(ms(50));
    fail(&db, 2);
    assert_eq!(count(&db), 5);
    clock.advance(ms(50));
    assert_eq!(count(&db), 2);
    clock.advance(ms(50));
    assert_eq!(count(&db), 0);
}

#[test]
fn the_window_counts_every_failure_inside_it_also_beyond_what_opens() {
    let (brama, _clock) = manager_with(|b| b.max_attempts(3).window(ms(60_000)));
    let db = circuit(&brama);
    for n in 1..=30 {
        assert_eq!(db.failure(None), Ok(n));
    }
}
