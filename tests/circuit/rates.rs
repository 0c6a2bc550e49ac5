//! Rates over a time: which calls count, since when, and when a rate opens a circuit.

use super::semantics::circuit;
use crate::common::{fail, manager_with, ms};
use brama::{
    Brama, Builder, Cause, Config, Connection, ConnectionOptions, EventFilter, EventType,
    ManualClock, Setting, State,
};

/// A manager whose circuits open at half of at least ten calls within ten seconds.
fn manager() -> (Brama, ManualClock) {
    manager_with(half)
}

fn half(builder: Builder) -> Builder {
    builder
        .failure_rate(0.5)
        .minimum_calls(10)
        .rate_window(ms(10_000))
}

fn succeed(connection: &Connection, times: usize) {
    for _ in 0..times {
        connection.success().expect("registered");
    }
}

/// The numbers of calls, failures and slow calls that count.
fn counts(connection: &Connection) -> Option<(u64, u64, u64)> {
    let status = connection.status().expect("registered");
    Some((
        status.window_calls?,
        status.window_failures?,
        status.window_slow?,
    ))
}

fn cause(connection: &Connection) -> Option<Cause> {
    connection.status().expect("registered").cause
}

#[test]
fn half_of_at_least_ten_calls_opens() {
    let (brama, _clock) = manager();
    let db = circuit(&brama);
    succeed(&db, 5);
    fail(&db, 4);
    assert_eq!((db.state(), counts(&db)), (State::Closed, Some((9, 4, 0))));
    fail(&db, 1);
    assert_eq!(
        (db.state(), cause(&db)),
        (State::Open, Some(Cause::FailureRate))
    );
    assert_eq!(counts(&db), Some((10, 5, 0)), "what opened it");
}

#[test]
fn fewer_calls_than_the_minimum_never_open() {
    let (brama, clock) = manager();
    let db = circuit(&brama);
    for _ in 0..100 {
        fail(&db, 9);
        clock.advance(ms(10_000));
    }
    assert_eq!(db.state(), State::Closed);
    let settings = db.status().expect("registered").settings;
    assert_eq!(settings.max_attempts(), None, "a rate switches it off");
}

#[test]
fn a_fast_success_opens_nothing_and_the_next_failure_does() {
    let (brama, _clock) = manager();
    let db = circuit(&brama);
    fail(&db, 9);
    succeed(&db, 1);
    assert_eq!(db.state(), State::Closed, "nine of ten failed");
    fail(&db, 1);
    assert_eq!(db.state(), State::Open);
}

#[test]
fn a_rate_is_reached_as_people_write_it() {
    let (brama, _clock) = manager_with(|b| b.failure_rate(0.1).minimum_calls(30));
    let db = circuit(&brama);
    succeed(&db, 27);
    fail(&db, 2);
    assert_eq!(db.state(), State::Closed);
    fail(&db, 1);
    assert_eq!(db.state(), State::Open, "3 of 30 are 0.1");
}

#[test]
fn reports_leave_the_window_a_bucket_at_a_time() {
    let (brama, clock) = manager();
    let db = circuit(&brama);
    for _ in 0..10 {
        succeed(&db, 1);
        clock.advance(ms(1_000));
    }
    // The first second is outside.
    assert_eq!(counts(&db), Some((9, 0, 0)));
    clock.advance(ms(999));
    assert_eq!(counts(&db), Some((9, 0, 0)));
    clock.advance(ms(1));
    assert_eq!(counts(&db), Some((8, 0, 0)));
    fail(&db, 7);
    assert_eq!((db.state(), counts(&db)), (State::Closed, Some((15, 7, 0))));
    fail(&db, 1);
    assert_eq!(db.state(), State::Open, "8 of 16");
}

#[test]
fn a_circuit_that_was_idle_begins_with_nothing() {
    let (brama, clock) = manager();
    let db = circuit(&brama);
    for days in [0, 1, 19, 20, 365, 3_650] {
        clock.advance(ms(days * 86_400_000 + 10_000));
        assert_eq!(counts(&db), Some((0, 0, 0)), "after {days} days");
        succeed(&db, 2);
        fail(&db, 1);
        assert_eq!(counts(&db), Some((3, 1, 0)), "after {days} days");
    }
}

#[test]
fn evidence_is_what_was_reported_since_the_circuit_closed() {
    let (brama, clock) = manager();
    let db = circuit(&brama);
    succeed(&db, 5);
    fail(&db, 5);
    assert_eq!(db.state(), State::Open);
    // These failures have no permit. They count in the totals, and for the open circuit.
    fail(&db, 5);
    clock.advance(ms(60_000));
    db.acquire()
        .expect("probing")
        .success()
        .expect("registered");
    assert_eq!((db.state(), counts(&db)), (State::Closed, Some((0, 0, 0))));
    fail(&db, 4);
    succeed(&db, 5);
    assert_eq!(counts(&db), Some((9, 4, 0)));
    fail(&db, 1);
    assert_eq!(db.state(), State::Open);

    db.close_circuit().expect("registered");
    assert_eq!(counts(&db), Some((0, 0, 0)), "closed by hand");
    fail(&db, 9);
    db.reset_circuit().expect("registered");
    assert_eq!(counts(&db), Some((0, 0, 0)), "reset");
    fail(&db, 9);
    assert_eq!(db.state(), State::Closed);
}

#[test]
fn a_stale_report_is_in_the_totals_and_in_no_rate() {
    let (brama, _clock) = manager();
    let db = circuit(&brama);
    let permits: Vec<_> = (0..8).map(|_| db.acquire().expect("closed")).collect();
    db.open_circuit(None, None).expect("registered");
    db.close_circuit().expect("registered");
    for (place, permit) in permits.into_iter().enumerate() {
        let answer = match place % 2 {
            0 => permit.success(),
            _ => permit.failure(None).map(drop),
        };
        assert_eq!(answer, Err(brama::Error::Stale));
    }
    let status = db.status().expect("registered");
    assert_eq!((status.total_successes, status.total_failures), (4, 4));
    assert_eq!(counts(&db), Some((0, 0, 0)));
}

#[test]
fn another_window_begins_with_nothing_and_the_circuit_stays_as_it_is() {
    let (brama, _clock) = manager();
    let db = circuit(&brama);
    succeed(&db, 5);
    fail(&db, 4);
    let longer = ConnectionOptions::new().rate_window(ms(20_000));
    db.configure(longer.clone()).expect("valid");
    assert_eq!(counts(&db), Some((0, 0, 0)));
    let status = db.status().expect("registered");
    assert_eq!((status.total_successes, status.total_failures), (5, 4));
    fail(&db, 2);
    db.configure(longer.minimum_calls(11)).expect("valid");
    assert_eq!(counts(&db), Some((2, 2, 0)), "it has the same shape");
}

#[test]
fn a_rate_that_is_given_at_run_time_counts_from_then_on() {
    let (brama, _clock) = manager_with(|b| b);
    let db = circuit(&brama);
    succeed(&db, 20);
    assert_eq!(counts(&db), None);
    let rate = Config::new().failure_rate(0.5).minimum_calls(10);
    brama.configure(rate).expect("valid");
    // The clock still shows the time of the successes before.
    succeed(&db, 3);
    fail(&db, 6);
    assert_eq!((db.state(), counts(&db)), (State::Closed, Some((9, 6, 0))));
    fail(&db, 1);
    assert_eq!(db.state(), State::Open);
    db.close_circuit().expect("registered");
    db.configure(ConnectionOptions::new().failure_rate(None))
        .expect("valid");
    assert_eq!(counts(&db), None);
    db.configure(ConnectionOptions::new().inherit(Setting::FailureRate))
        .expect("valid");
    assert_eq!(counts(&db), Some((0, 0, 0)));
}

#[test]
fn the_first_rule_that_fires_opens() {
    let (brama, _clock) = manager_with(|b| half(b).max_attempts(3));
    let [row, rate] = ["row", "rate"].map(|name| brama.register(name, None).expect("new"));
    fail(&row, 3);
    assert_eq!(
        (row.state(), cause(&row)),
        (State::Open, Some(Cause::Consecutive))
    );
    for _ in 0..4 {
        fail(&rate, 1);
        succeed(&rate, 1);
    }
    fail(&rate, 1);
    assert_eq!(rate.state(), State::Closed, "5 of 9");
    fail(&rate, 1);
    assert_eq!(
        (rate.state(), cause(&rate)),
        (State::Open, Some(Cause::FailureRate))
    );
}

#[test]
fn an_opening_says_what_counted() {
    let (brama, _clock) = manager();
    let db = circuit(&brama);
    let filter = EventFilter::new().types([EventType::CircuitOpened]);
    let events = brama.subscribe_queue(filter, 8).expect("valid");
    succeed(&db, 5);
    fail(&db, 5);
    brama.poll();
    let events = events.drain(8);
    let opened = events.first().expect("it opened");
    assert_eq!(opened.cause(), Some(Cause::FailureRate));
    let told = (
        opened.window_calls(),
        opened.window_failures(),
        opened.window_slow(),
    );
    assert_eq!(told, (Some(10), Some(5), Some(0)));
}

#[test]
fn reports_of_all_threads_count_once() {
    const EACH: u64 = 2_000;
    let (brama, _clock) = manager_with(|b| b.failure_rate(1.0).rate_window(ms(60_000)));
    let db = circuit(&brama);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for call in 0..EACH {
                    let permit = db.acquire().expect("closed");
                    let answer = match call % 5 {
                        0 => permit.failure(None).map(drop),
                        _ => permit.success(),
                    };
                    answer.expect("in time");
                }
            });
        }
    });
    assert_eq!(counts(&db), Some((4 * EACH, 4 * EACH / 5, 0)));
}

/// The block for the settings in effect has to stay, not the block of the slower thread.
#[test]
fn a_rule_is_asked_whichever_thread_changes_the_window_last() {
    let (brama, _clock) = manager();
    let db = circuit(&brama);
    for _ in 0..200 {
        std::thread::scope(|scope| {
            for seconds in [3, 4] {
                let window = ConnectionOptions::new().rate_window(ms(seconds * 1_000));
                let db = &db;
                scope.spawn(move || db.configure(window).expect("valid"));
            }
        });
        fail(&db, 10);
        assert_eq!(db.state(), State::Open);
        db.close_circuit().expect("registered");
    }
}
