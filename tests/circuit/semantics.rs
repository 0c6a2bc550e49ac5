//! What each operation does in each state, and how long an opening lasts, one behaviour per test.
//! Permits are in `permits`, windows in `window`, waits that a dependency asks for in
//! `retry_after`, and mistakes of other circuit breakers in `traps`. Time is a manual clock
//! throughout.

use crate::common::{START, fail, manager, manager_with, ms};
use brama::{Brama, Connection, Error, ExpiryStrategy, OpenFor, State};

/// A closed circuit with the manager's settings.
pub(super) fn circuit(brama: &Brama) -> Connection {
    brama.register("db", None).expect("a new name")
}

fn count(connection: &Connection) -> u32 {
    connection.status().expect("registered").failure_count
}

fn trips(connection: &Connection) -> u32 {
    connection.status().expect("registered").trips
}

/// How long the opening that has just begun will last.
fn lasting(connection: &Connection) -> u64 {
    let wait = connection.status().expect("registered").retry_after;
    u64::try_from(wait.expect("open, not for ever").as_millis()).expect("fits")
}

pub(super) fn retry_after(connection: &Connection) -> Option<u64> {
    match connection.acquire() {
        Err(Error::Rejected(rejected)) => rejected
            .retry_after
            .map(|wait| u64::try_from(wait.as_millis()).expect("fits")),
        other => panic!("expected a rejection, got {other:?}"),
    }
}

// ---- closed ----

#[test]
fn a_registered_connection_is_closed_and_admits_everybody() {
    let (brama, _clock) = manager();
    let db = circuit(&brama);
    assert_eq!(db.state(), State::Closed);
    assert!(db.available());
    let permits: Vec<_> = (0..100).map(|_| db.acquire().expect("closed")).collect();
    for permit in permits {
        permit.success().expect("timely");
    }
    assert_eq!(db.status().expect("registered").total_successes, 100);
}

#[test]
fn five_failures_in_a_row_open_however_far_apart() {
    let (brama, clock) = manager();
    let db = circuit(&brama);
    for n in 1..=4 {
        assert_eq!(db.failure("timeout"), Ok(n));
        assert_eq!(db.state(), State::Closed);
        clock.advance(ms(3_600_000));
    }
    assert_eq!(db.failure("timeout"), Ok(5));
    assert_eq!(db.state(), State::Open);
    assert_eq!(trips(&db), 1);
}

#[test]
fn a_success_between_failures_starts_the_count_over() {
    let (brama, _clock) = manager();
    let db = circuit(&brama);
    fail(&db, 4);
    db.success().expect("registered");
    assert_eq!(count(&db), 0);
    fail(&db, 4);
    assert_eq!(db.state(), State::Closed);
    fail(&db, 1);
    assert_eq!(db.state(), State::Open);
}

#[test]
fn unlimited_attempts_never_open_by_themselves() {
    let (brama, _clock) = manager_with(|b| b.unlimited_attempts());
    let db = circuit(&brama);
    fail(&db, 10_000);
    assert_eq!((db.state(), count(&db)), (State::Closed, 10_000));
    db.open_circuit("by hand", None).expect("registered");
    assert_eq!(db.state(), State::Open);
}

// ---- open ----

#[test]
fn an_open_circuit_rejects_and_says_for_how_long() {
    let (brama, clock) = manager();
    let db = circuit(&brama);
    fail(&db, 5);
    assert!(!db.available());
    assert_eq!(retry_after(&db), Some(60_000));
    clock.advance(ms(59_999));
    assert!(!db.available());
    assert_eq!(retry_after(&db), Some(1));
    assert_eq!(db.status().expect("registered").total_rejections, 2);
}

#[test]
fn reports_while_open_count_but_neither_close_nor_prolong() {
    let (brama, clock) = manager();
    let db = circuit(&brama);
    fail(&db, 5);
    clock.advance(ms(10_000));
    assert_eq!(db.failure(None), Ok(6));
    assert_eq!((retry_after(&db), trips(&db)), (Some(50_000), 1));
    db.success().expect("counted");
    assert_eq!((db.state(), count(&db)), (State::Open, 0));
    assert_eq!((retry_after(&db), trips(&db)), (Some(50_000), 1));
    let status = db.status().expect("registered");
    assert_eq!((status.total_successes, status.total_failures), (1, 6));
    assert_eq!(status.opened_at, Some(START));
}

#[test]
fn an_expiry_is_due_exactly_on_time_for_the_first_reader() {
    type Look = fn(&Connection) -> bool;
    let looks: [(&str, Look); 5] = [
        ("available", |db| db.available()),
        ("state", |db| db.state() == State::HalfOpen),
        ("acquire", |db| db.acquire().is_ok()),
        ("success", |db| {
            db.success().is_ok() && db.state() == State::Closed
        }),
        ("status", |db| {
            db.status()
                .is_ok_and(|status| status.state == State::HalfOpen)
        }),
    ];
    for (name, look) in looks {
        let (brama, clock) = manager();
        let db = circuit(&brama);
        fail(&db, 5);
        clock.advance(ms(59_999));
        assert_eq!(db.state(), State::Open, "{name}: a millisecond early");
        clock.advance(ms(1));
        assert!(look(&db), "{name}");
    }
}

#[test]
fn a_failure_when_the_expiry_is_due_is_a_failed_probe() {
    let (brama, clock) = manager();
    let db = circuit(&brama);
    fail(&db, 5);
    clock.advance(ms(60_000));
    fail(&db, 1);
    assert_eq!((db.state(), trips(&db)), (State::Open, 2));
    assert_eq!(retry_after(&db), Some(60_000));
}

// ---- half-open ----

#[test]
fn half_open_is_available_to_all_but_admits_one_probe() {
    let (brama, _clock) = manager();
    let db = circuit(&brama);
    db.half_open_circuit().expect("registered");
    for _ in 0..10 {
        assert!(db.available(), "a question takes no permit");
    }
    let probe = db.acquire().expect("the first");
    assert!(matches!(db.acquire(), Err(Error::Rejected(_))));
    assert!(db.available(), "available asks for the state only");
    probe.success().expect("timely");
    assert_eq!(db.state(), State::Closed);
}

#[test]
fn a_success_while_half_open_closes_and_forgets_count_and_trips() {
    let (brama, clock) = manager();
    let db = circuit(&brama);
    fail(&db, 5);
    clock.advance(ms(60_000));
    assert_eq!((count(&db), trips(&db)), (5, 1));
    db.success().expect("registered");
    assert_eq!(db.state(), State::Closed);
    assert_eq!((count(&db), trips(&db)), (0, 0));
}

#[test]
fn several_successes_close_if_the_settings_ask_for_them() {
    let (brama, _clock) = manager_with(|b| b.half_open_successes(3));
    let db = circuit(&brama);
    fail(&db, 2);
    db.half_open_circuit().expect("registered");
    assert_eq!(count(&db), 2);
    for _ in 0..2 {
        let probe = db.acquire().expect("one at a time");
        probe.success().expect("timely");
        assert_eq!((db.state(), count(&db)), (State::HalfOpen, 0));
    }
    db.success().expect("a report without a permit counts too");
    assert_eq!(db.state(), State::Closed);
}

#[test]
fn successes_of_an_earlier_half_open_do_not_count_again() {
    let (brama, clock) = manager_with(|b| b.half_open_successes(2).expiry(ms(10)));
    let db = circuit(&brama);
    db.half_open_circuit().expect("registered");
    db.success().expect("registered");
    fail(&db, 1);
    clock.advance(ms(10));
    db.success().expect("registered");
    assert_eq!(db.state(), State::HalfOpen);
}

#[test]
fn a_failure_while_half_open_opens_again_with_a_new_deadline() {
    let (brama, clock) = manager();
    let db = circuit(&brama);
    fail(&db, 5);
    clock.advance(ms(70_000));
    let probe = db.acquire().expect("half-open");
    assert_eq!(probe.failure("still down"), Ok(6));
    assert_eq!((db.state(), trips(&db)), (State::Open, 2));
    assert_eq!(retry_after(&db), Some(60_000));
    let opened_at = db.status().expect("registered").opened_at;
    assert_eq!(opened_at, Some(START + 70_000));
}

#[test]
fn a_probe_that_panics_opens_the_circuit_again() {
    let (brama, _clock) = manager();
    let db = circuit(&brama);
    db.half_open_circuit().expect("registered");
    let probe = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        db.call(|| -> Result<(), ()> { panic!("expected by this test") })
    }));
    assert!(probe.is_err());
    assert_eq!(db.state(), State::Open);
}

// ---- by hand ----

#[test]
fn opening_by_hand_is_an_opening_and_opening_again_only_moves_the_deadline() {
    let (brama, clock) = manager();
    let db = circuit(&brama);
    db.open_circuit("maintenance", None).expect("registered");
    assert_eq!((lasting(&db), trips(&db)), (60_000, 1));
    clock.advance(ms(40_000));
    db.open_circuit("longer", None).expect("registered");
    assert_eq!((lasting(&db), trips(&db)), (60_000, 1));
    db.half_open_circuit().expect("registered");
    db.open_circuit("anew", None).expect("registered");
    assert_eq!((lasting(&db), trips(&db)), (60_000, 2));
}

#[test]
fn an_opening_for_ever_ends_only_by_hand() {
    let (brama, clock) = manager_with(|b| b.inactive_threshold(None));
    let db = circuit(&brama);
    db.open_circuit("maintenance", OpenFor::Never)
        .expect("registered");
    clock.advance(ms(1 << 39));
    brama.poll();
    assert_eq!((db.state(), retry_after(&db)), (State::Open, None));
    assert_eq!(db.status().expect("registered").expiry, None);
    db.close_circuit().expect("registered");
    assert!(db.available());
}

#[test]
fn closing_by_hand_keeps_the_failure_count() {
    let (brama, _clock) = manager();
    let db = circuit(&brama);
    fail(&db, 5);
    db.close_circuit().expect("registered");
    assert_eq!((db.state(), count(&db)), (State::Closed, 5));
    fail(&db, 1);
    assert_eq!(db.state(), State::Open, "one more is too many");
    db.half_open_circuit().expect("registered");
    db.close_circuit().expect("registered");
    assert_eq!((db.state(), count(&db)), (State::Closed, 6));
    db.close_circuit().expect("no harm");
    assert_eq!(count(&db), 6);
}

#[test]
fn half_opening_by_hand_works_from_closed_and_from_open() {
    let (brama, _clock) = manager();
    let db = circuit(&brama);
    db.half_open_circuit().expect("registered");
    assert_eq!(db.state(), State::HalfOpen);
    db.open_circuit(None, OpenFor::Never).expect("registered");
    db.half_open_circuit().expect("registered");
    assert_eq!(db.state(), State::HalfOpen);
    let probe = db.acquire().expect("the first");
    db.half_open_circuit().expect("changes nothing");
    assert!(matches!(db.acquire(), Err(Error::Rejected(_))));
    probe.success().expect("still timely");
}

#[test]
fn a_reset_closes_and_zeroes_but_keeps_the_totals() {
    for bring in [State::Closed, State::Open, State::HalfOpen] {
        let (brama, _clock) = manager_with(|b| b.max_attempts(3).window(ms(1_000)));
        let db = circuit(&brama);
        fail(&db, 2);
        match bring {
            State::Open => fail(&db, 1),
            State::HalfOpen => db.half_open_circuit().expect("registered"),
            _ => {}
        }
        let failures = db.status().expect("registered").total_failures;
        db.reset_circuit().expect("registered");
        let status = db.status().expect("registered");
        assert_eq!(status.state, State::Closed, "from {bring}");
        assert_eq!((status.failure_count, status.trips), (0, 0), "from {bring}");
        assert_eq!(status.total_failures, failures, "from {bring}");
    }
}

#[test]
fn a_reset_of_a_closed_circuit_keeps_its_permits_valid() {
    let (brama, _clock) = manager();
    let db = circuit(&brama);
    let permit = db.acquire().expect("closed");
    db.reset_circuit().expect("registered");
    assert_eq!(permit.failure(None), Ok(1));
}

// ---- how long an opening lasts ----

#[test]
fn progressive_expiries_grow_to_the_cap_and_start_over_after_a_recovery() {
    let (brama, clock) = manager_with(|b| {
        b.expiry_strategy(ExpiryStrategy::Progressive)
            .initial_expiry(ms(5_000))
            .max_expiry(ms(30_000))
    });
    let db = circuit(&brama);
    for (n, expected) in (1..).zip([5_000, 10_000, 20_000, 30_000, 30_000]) {
        fail(&db, if n == 1 { 5 } else { 1 });
        assert_eq!((lasting(&db), trips(&db)), (expected, n));
        clock.advance(ms(expected));
        assert_eq!(db.state(), State::HalfOpen);
    }
    db.success().expect("registered");
    fail(&db, 5);
    assert_eq!(lasting(&db), 5_000);
}

#[test]
fn openings_by_hand_take_part_in_the_progression_and_re_arming_does_not() {
    let (brama, _clock) = manager_with(|b| {
        b.expiry(ms(1_000))
            .expiry_strategy(ExpiryStrategy::Progressive)
    });
    let db = circuit(&brama);
    for expected in [1_000, 2_000, 4_000] {
        db.open_circuit(None, None).expect("registered");
        assert_eq!(lasting(&db), expected);
        db.open_circuit("re-armed", None).expect("registered");
        assert_eq!(lasting(&db), expected);
        db.half_open_circuit().expect("registered");
    }
    db.reset_circuit().expect("registered");
    db.open_circuit(None, None).expect("registered");
    assert_eq!(lasting(&db), 1_000);
}

#[test]
fn jitter_prolongs_within_its_bound_and_spreads() {
    let (brama, _clock) = manager_with(|b| b.expiry(ms(1_000)).jitter(0.5));
    let mut seen = std::collections::BTreeSet::new();
    for n in 0..200 {
        let db = brama.register(&format!("db{n}"), None).expect("a new name");
        fail(&db, 5);
        assert!((1_000..1_500).contains(&lasting(&db)), "{}", lasting(&db));
        seen.insert(lasting(&db));
    }
    assert!(seen.len() > 50, "{} different expiries", seen.len());
}
