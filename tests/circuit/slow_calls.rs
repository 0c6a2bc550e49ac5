//! Slow calls: which calls are slow, how they count, and how many open a circuit.

use super::semantics::circuit;
use crate::common::{fail, manager_with, ms};
use brama::{Brama, Cause, Config, Connection, EventFilter, EventType, ManualClock, State, Status};

/// A manager whose circuits open when half of at least four calls last 100 ms or longer.
fn manager() -> (Brama, ManualClock) {
    manager_with(|b| {
        b.slow_call_duration(ms(100))
            .slow_call_rate(0.5)
            .minimum_calls(4)
    })
}

fn status(connection: &Connection) -> Status {
    connection.status().expect("registered")
}

/// Reports successes with these durations in ms.
fn calls(connection: &Connection, lengths: &[u64]) {
    for length in lengths {
        connection.success_in(ms(*length)).expect("registered");
    }
}

#[test]
fn half_of_at_least_four_slow_calls_open_also_if_they_succeed() {
    let (brama, _clock) = manager();
    let db = circuit(&brama);
    calls(&db, &[99, 0, 100]);
    assert_eq!(db.state(), State::Closed);
    calls(&db, &[100]);
    let status = status(&db);
    assert_eq!(
        (status.state, status.cause),
        (State::Open, Some(Cause::SlowCallRate))
    );
    let counts = (
        status.window_calls,
        status.window_failures,
        status.window_slow,
    );
    assert_eq!(counts, (Some(4), Some(0), Some(2)));
    assert_eq!((status.trips, status.failure_count), (1, 0));
}

#[test]
fn slow_failures_are_slow_calls() {
    let (brama, _clock) = manager();
    let db = circuit(&brama);
    calls(&db, &[1, 1]);
    db.failure_in(ms(100), None).expect("registered");
    assert_eq!(db.state(), State::Closed);
    db.failure_in(ms(250), "timeout").expect("registered");
    assert_eq!(
        (db.state(), status(&db).cause),
        (State::Open, Some(Cause::SlowCallRate))
    );
}

#[test]
fn a_permit_measures_its_call() {
    let (brama, clock) = manager();
    let db = circuit(&brama);
    for length in [5, 100, 99, 300] {
        let permit = db.acquire().expect("closed");
        clock.advance(ms(length));
        permit.success().expect("timely");
    }
    assert_eq!(db.state(), State::Open);
}

#[test]
fn a_slow_success_clears_failures_before_it_opens() {
    let (brama, _clock) = manager();
    let db = circuit(&brama);
    fail(&db, 2);
    assert_eq!(status(&db).failure_count, 2);
    calls(&db, &[100]);
    assert_eq!(status(&db).failure_count, 0, "it is a success");
    fail(&db, 2);
    calls(&db, &[100, 100, 100]);
    let status = status(&db);
    assert_eq!((status.state, status.failure_count), (State::Open, 0));
}

#[test]
fn the_opening_is_delivered_after_the_success() {
    let (brama, _clock) = manager();
    let filter = EventFilter::new().types([
        EventType::Success,
        EventType::StateChange,
        EventType::CircuitOpened,
        EventType::CircuitClosed,
    ]);
    let events = brama.subscribe_queue(filter, 16).expect("valid");
    let db = circuit(&brama);
    calls(&db, &[100; 4]);
    brama.poll();
    let told: Vec<_> = events
        .drain(16)
        .iter()
        .map(|event| (event.event_type(), event.cause(), event.window_slow()))
        .collect();
    let slow = Some(Cause::SlowCallRate);
    assert_eq!(told[..3], [(EventType::Success, None, None); 3]);
    assert_eq!(
        told[3..],
        [
            (EventType::Success, slow, Some(4)),
            (EventType::StateChange, slow, Some(4)),
            (EventType::CircuitOpened, slow, Some(4)),
        ]
    );
}

#[test]
fn a_report_without_a_duration_is_not_slow() {
    let (brama, _clock) = manager();
    let db = circuit(&brama);
    for _ in 0..10 {
        db.success().expect("registered");
    }
    fail(&db, 1);
    assert_eq!(status(&db).window_slow, Some(0));
    assert_eq!(status(&db).window_calls, Some(11));
}

#[test]
fn calls_are_measured_as_soon_as_a_setting_asks_for_it() {
    let (brama, clock) = manager_with(|b| b);
    let db = circuit(&brama);
    let slow = Config::new()
        .slow_call_duration(ms(100))
        .slow_call_rate(0.5)
        .minimum_calls(3);
    let before = db.acquire().expect("closed");
    brama.configure(slow).expect("valid");
    let permits = [(); 2].map(|()| db.acquire().expect("closed"));
    clock.advance(ms(100));
    before.success().expect("timely");
    assert_eq!(status(&db).window_slow, Some(0), "its start is not known");
    for permit in permits {
        permit.success().expect("timely");
    }
    assert_eq!(db.state(), State::Open);
}

#[test]
fn a_slow_probe_closes_the_circuit() {
    let (brama, clock) = manager();
    let db = circuit(&brama);
    calls(&db, &[100; 4]);
    clock.advance(ms(60_000));
    let probe = db.acquire().expect("half-open");
    clock.advance(ms(100));
    probe.success().expect("timely");
    let status = status(&db);
    assert_eq!(
        (status.state, status.window_calls),
        (State::Closed, Some(0))
    );
}
