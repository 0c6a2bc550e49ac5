//! Why a circuit opened.

use super::semantics::circuit;
use crate::common::{fail, manager, manager_with, ms};
use brama::{Cause, Connection, EventFilter, EventType};

fn cause(connection: &Connection) -> Option<Cause> {
    connection.status().expect("registered").cause
}

#[test]
fn a_circuit_that_never_opened_has_no_cause() {
    let (brama, _clock) = manager();
    let db = circuit(&brama);
    fail(&db, 4);
    assert_eq!(cause(&db), None);
}

#[test]
fn each_way_to_open_has_its_cause() {
    let (brama, clock) = manager();
    let db = circuit(&brama);
    fail(&db, 5);
    assert_eq!(cause(&db), Some(Cause::Consecutive));
    clock.advance(ms(60_000));
    let probe = db.acquire().expect("half-open");
    probe.failure("still refused").expect("timely");
    assert_eq!(cause(&db), Some(Cause::Probe));
    clock.advance(ms(60_000));
    db.failure_for("HTTP 503", ms(5)).expect("registered");
    assert_eq!(cause(&db), Some(Cause::RetryAfter));
    let (brama, _clock) = manager_with(|b| b.max_attempts(2).window(ms(1_000)));
    let windowed = circuit(&brama);
    fail(&windowed, 2);
    assert_eq!(cause(&windowed), Some(Cause::Window));
    windowed.reset_circuit().expect("registered");
    windowed.open_circuit("maintenance", None).expect("there");
    assert_eq!(cause(&windowed), Some(Cause::Manual));
}

#[test]
fn the_cause_stays_when_the_circuit_has_closed() {
    let (brama, clock) = manager();
    let db = circuit(&brama);
    fail(&db, 5);
    clock.advance(ms(60_000));
    assert_eq!(cause(&db), Some(Cause::Consecutive), "half-open");
    db.acquire().expect("half-open").success().expect("timely");
    assert_eq!(cause(&db), Some(Cause::Consecutive), "closed");
}

#[test]
fn a_hand_that_prolongs_an_opening_answers_for_it() {
    let (brama, _clock) = manager();
    let db = circuit(&brama);
    db.failure_for("HTTP 429", ms(50)).expect("registered");
    db.open_circuit("maintenance", ms(9_000)).expect("there");
    let status = db.status().expect("registered");
    assert_eq!(status.cause, Some(Cause::Manual));
    assert_eq!(status.trips, 1, "no new opening");
}

#[test]
fn events_of_an_open_circuit_have_its_cause() {
    let (brama, clock) = manager();
    let filter = EventFilter::new().types([
        EventType::CircuitOpened,
        EventType::CallRejected,
        EventType::CircuitHalfOpened,
    ]);
    let events = brama.subscribe_queue(filter, 8).expect("valid");
    let db = circuit(&brama);
    db.failure_for("HTTP 429", ms(50)).expect("registered");
    assert!(db.acquire().is_err());
    clock.advance(ms(50));
    brama.poll();
    let causes: Vec<_> = events.drain(8).iter().map(|event| event.cause()).collect();
    let opened = Some(Cause::RetryAfter);
    assert_eq!(causes, [opened, opened, None]);
}
