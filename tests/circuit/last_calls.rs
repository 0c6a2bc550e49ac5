//! Rates over a fixed number of last calls.

use super::semantics::circuit;
use crate::common::{fail, manager_with, ms};
use brama::{Brama, Cause, Config, Connection, ConnectionOptions, ManualClock, Setting, State};
use std::collections::VecDeque;

/// A manager whose circuits open when half of the last ten calls, and of at least four, have
/// failed.
fn manager() -> (Brama, ManualClock) {
    manager_with(|b| b.failure_rate(0.5).rate_calls(10).minimum_calls(4))
}

fn succeed(connection: &Connection, times: usize) {
    for _ in 0..times {
        connection.success().expect("registered");
    }
}

/// The numbers of calls and of failures that count.
fn counts(connection: &Connection) -> (Option<u64>, Option<u64>) {
    let status = connection.status().expect("registered");
    (status.window_calls, status.window_failures)
}

#[test]
fn only_the_last_calls_count_however_old_they_are() {
    let (brama, clock) = manager();
    let db = circuit(&brama);
    fail(&db, 3);
    succeed(&db, 7);
    assert_eq!(counts(&db), (Some(10), Some(3)));
    clock.advance(ms(86_400_000));
    succeed(&db, 1);
    assert_eq!(
        counts(&db),
        (Some(10), Some(2)),
        "the first failure is the eleventh"
    );
    fail(&db, 1);
    assert_eq!(counts(&db), (Some(10), Some(2)), "one in, one out");
    succeed(&db, 5);
    fail(&db, 4);
    assert_eq!(counts(&db), (Some(10), Some(5)));
    let status = db.status().expect("registered");
    assert_eq!(
        (status.state, status.cause),
        (State::Open, Some(Cause::FailureRate))
    );
}

#[test]
fn the_last_calls_are_those_of_the_state() {
    let (brama, clock) = manager();
    let db = circuit(&brama);
    let late = db.acquire().expect("closed");
    fail(&db, 4);
    assert_eq!((db.state(), counts(&db)), (State::Open, (Some(4), Some(4))));
    fail(&db, 3);
    clock.advance(ms(60_000));
    db.acquire().expect("half-open").success().expect("timely");
    assert_eq!(
        (db.state(), counts(&db)),
        (State::Closed, (Some(0), Some(0)))
    );
    assert_eq!(late.success(), Err(brama::Error::Stale));
    fail(&db, 3);
    assert_eq!(counts(&db), (Some(3), Some(3)));
    db.reset_circuit().expect("registered");
    fail(&db, 3);
    assert_eq!(
        (db.state(), counts(&db)),
        (State::Closed, (Some(3), Some(3)))
    );
    fail(&db, 1);
    assert_eq!(db.state(), State::Open);
}

#[test]
fn slow_calls_count_among_the_last_ones() {
    let (brama, _clock) = manager_with(|b| {
        b.slow_call_duration(ms(100))
            .slow_call_rate(0.3)
            .rate_calls(10)
            .minimum_calls(10)
    });
    let db = circuit(&brama);
    for _ in 0..3 {
        db.success_in(ms(100)).expect("registered");
    }
    succeed(&db, 7);
    assert_eq!(db.state(), State::Closed, "a fast success opens nothing");
    db.success_in(ms(100)).expect("registered");
    assert_eq!(db.state(), State::Open, "three of ten");
}

#[test]
fn a_circuit_counts_in_time_and_calls_as_the_settings_say_at_run_time() {
    let (brama, _clock) = manager();
    let db = circuit(&brama);
    fail(&db, 3);
    brama
        .configure(Config::new().rate_window(ms(5_000)))
        .expect("valid");
    assert_eq!(counts(&db), (Some(0), Some(0)));
    succeed(&db, 20);
    assert_eq!(counts(&db), (Some(20), Some(0)));
    db.configure(ConnectionOptions::new().rate_calls(10))
        .expect("valid");
    succeed(&db, 20);
    assert_eq!(counts(&db), (Some(10), Some(0)));
    db.configure(ConnectionOptions::new().inherit(Setting::RateCalls))
        .expect("valid");
    assert_eq!(counts(&db), (Some(0), Some(0)));
}

/// Compares random reports with a list of the last ones.
#[test]
fn what_counts_is_what_a_list_of_the_last_calls_says() {
    let (brama, _clock) = manager_with(|b| b.failure_rate(1.0).rate_calls(37).minimum_calls(37));
    let db = circuit(&brama);
    let mut last = VecDeque::new();
    let mut number = 1_u64;
    for _ in 0..5_000 {
        number = number
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        let failed = number >> 33 & 3 == 0;
        match failed {
            true => fail(&db, 1),
            false => succeed(&db, 1),
        }
        last.push_back(failed);
        if last.len() > 37 {
            last.pop_front();
        }
        let failures = last.iter().filter(|failed| **failed).count();
        assert_eq!(
            counts(&db),
            (Some(last.len() as u64), Some(failures as u64))
        );
    }
}

#[test]
fn reports_of_all_threads_take_their_places() {
    let (brama, _clock) = manager_with(|b| b.failure_rate(1.0).rate_calls(1_000));
    let db = circuit(&brama);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for call in 0..5_000 {
                    let permit = db.acquire().expect("closed");
                    let answer = match call % 2 {
                        0 => permit.failure(None).map(drop),
                        _ => permit.success(),
                    };
                    answer.expect("timely");
                }
            });
        }
    });
    assert_eq!(counts(&db).0, Some(1_000));
    succeed(&db, 1_000);
    assert_eq!(counts(&db), (Some(1_000), Some(0)));
    fail(&db, 300);
    assert_eq!(counts(&db), (Some(1_000), Some(300)));
}
