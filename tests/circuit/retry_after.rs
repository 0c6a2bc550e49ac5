//! Failures with a wait: the dependency says how long it wants no calls.

use std::time::Duration;

use super::semantics::circuit;
use crate::common::{manager, manager_with, ms};
use brama::{Connection, Error, EventFilter, EventType, State};

fn lasts(connection: &Connection) -> Duration {
    let status = connection.status().expect("registered");
    status.expiry.expect("open for a time")
}

#[test]
fn a_wait_opens_the_circuit_at_once_and_for_so_long() {
    let (brama, clock) = manager_with(|b| b.unlimited_attempts());
    let db = circuit(&brama);
    assert_eq!(db.failure_for("HTTP 429", ms(1_500)), Ok(1));
    let status = db.status().expect("registered");
    assert_eq!((status.state, status.trips), (State::Open, 1));
    assert_eq!(status.expiry, Some(ms(1_500)));
    assert_eq!(status.retry_after, Some(ms(1_500)));
    clock.advance(ms(1_499));
    assert!(!db.available());
    clock.advance(ms(1));
    assert!(db.available());
}

#[test]
fn a_probes_wait_is_how_long_the_circuit_opens_again() {
    let (brama, clock) = manager();
    let db = circuit(&brama);
    db.failure_for(None, ms(10)).expect("registered");
    clock.advance(ms(10));
    let probe = db.acquire().expect("half-open");
    assert_eq!(probe.failure_for("HTTP 503", ms(7)), Ok(2));
    assert_eq!(lasts(&db), ms(7));
    assert_eq!(db.status().expect("registered").trips, 2);
}

#[test]
fn a_wait_prolongs_no_opening_and_counts_in_the_totals_only() {
    let (brama, clock) = manager();
    let db = circuit(&brama);
    let stale = db.acquire().expect("closed");
    db.failure_for(None, ms(100)).expect("registered");
    clock.advance(ms(40));
    assert_eq!(db.failure_for(None, ms(60_000)), Ok(1));
    assert_eq!(stale.failure_for(None, ms(60_000)), Err(Error::Stale));
    let status = db.status().expect("registered");
    assert_eq!(status.retry_after, Some(ms(60)));
    assert_eq!((status.failure_count, status.total_failures), (1, 3));
}

#[test]
fn a_wait_below_a_millisecond_is_none_and_one_above_a_day_is_a_day() {
    let (brama, _clock) = manager();
    let db = circuit(&brama);
    assert_eq!(db.failure_for(None, Duration::from_micros(999)), Ok(1));
    assert_eq!(db.state(), State::Closed);
    assert_eq!(db.failure_for(None, Duration::MAX), Ok(2));
    assert_eq!(lasts(&db), Duration::from_secs(86_400));
}

#[test]
fn jitter_prolongs_a_wait() {
    let (brama, _clock) = manager_with(|b| b.jitter(0.5));
    for n in 0..50 {
        let db = brama.register(format!("db{n}").as_str(), None);
        let db = db.expect("a new name");
        db.failure_for(None, ms(1_000)).expect("registered");
        assert!((ms(1_000)..ms(1_500)).contains(&lasts(&db)));
    }
    let lengths = brama.snapshot().into_iter().filter_map(|one| one.expiry);
    let different: std::collections::HashSet<_> = lengths.collect();
    assert!(different.len() > 1, "a fleet does not come back in step");
}

#[test]
fn a_wait_by_name_says_why_and_for_how_long() {
    let (brama, _clock) = manager();
    let filter = EventFilter::new().types([EventType::CircuitOpened]);
    let events = brama.subscribe_queue(filter, 8).expect("valid");
    circuit(&brama);
    assert_eq!(brama.failure_for("db", "HTTP 429", ms(250)), Ok(1));
    brama.poll();
    let opened = events.try_next().expect("it opened");
    assert_eq!(opened.reason(), Some("HTTP 429"));
    assert_eq!(opened.expiry(), Some(ms(250)));
    let unknown = brama.failure_for("unknown", None, ms(250));
    assert!(matches!(unknown, Err(Error::NotFound(_))));
}
