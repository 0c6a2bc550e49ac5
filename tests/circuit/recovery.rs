//! Probes that decide by a rate.

use super::semantics::circuit;
use crate::common::{fail, manager_with, ms};
use brama::{
    Brama, Builder, Cause, Connection, ConnectionOptions, Error, ManualClock, OpenFor, Permit,
    RejectionKind, State, Status,
};

pub(super) fn status(connection: &Connection) -> Status {
    connection.status().expect("registered")
}

/// A half-open circuit of a manager with `settings`.
pub(super) fn half_open(
    settings: impl FnOnce(Builder) -> Builder,
) -> (Brama, ManualClock, Connection) {
    let (brama, clock) = manager_with(settings);
    let db = circuit(&brama);
    db.open_circuit(None, OpenFor::Configured)
        .expect("registered");
    clock.advance(status(&db).retry_after.expect("open for a time"));
    assert_eq!(db.state(), State::HalfOpen);
    (brama, clock, db)
}

/// Settings for a sample of four probes. The circuit opens if half of them fail.
pub(super) fn sample(builder: Builder) -> Builder {
    builder
        .half_open_max_calls(4)
        .half_open_failure_rate(0.5)
        .expiry(ms(100))
        .probe_timeout(ms(50_000))
}

pub(super) fn admitted(connection: &Connection, calls: usize) -> Vec<Permit<'_>> {
    (0..calls)
        .filter_map(|_| connection.acquire().ok())
        .collect()
}

fn kind_of(refused: Result<Permit<'_>, Error>) -> RejectionKind {
    match refused {
        Err(Error::Rejected(rejected)) => rejected.kind,
        other => panic!("not rejected: {other:?}"),
    }
}

#[test]
fn probes_open_the_circuit_as_soon_as_enough_have_failed() {
    let (_brama, _clock, db) = half_open(sample);
    let mut probes = admitted(&db, 4).into_iter();
    assert!(probes.all(|probe| probe.is_probe()));
    let mut probes = admitted(&db, 4).into_iter();
    probes
        .next()
        .expect("given back")
        .failure(None)
        .expect("in time");
    assert_eq!(db.state(), State::HalfOpen, "one of four");
    probes
        .next()
        .expect("a place")
        .failure(None)
        .expect("in time");
    assert_eq!(
        db.state(),
        State::Open,
        "two of four, whatever the others say"
    );
    assert_eq!(status(&db).cause, Some(Cause::Probe));
    assert_eq!(probes.next().expect("a place").success(), Err(Error::Stale));
}

#[test]
fn probes_close_the_circuit_as_soon_as_the_rest_cannot_open_it() {
    let (_brama, _clock, db) = half_open(sample);
    let mut probes = admitted(&db, 4).into_iter();
    probes
        .next()
        .expect("a place")
        .failure(None)
        .expect("in time");
    for state in [State::HalfOpen, State::HalfOpen, State::Closed] {
        probes.next().expect("a place").success().expect("in time");
        assert_eq!(db.state(), state);
    }
    assert_eq!(status(&db).trips, 0);
}

#[test]
fn so_many_probes_are_admitted_in_all() {
    let (_brama, _clock, db) = half_open(sample);
    for _ in 0..2 {
        db.acquire().expect("a place").success().expect("in time");
    }
    let out = admitted(&db, 9);
    assert_eq!(out.len(), 2, "two have reported");
    assert_eq!(kind_of(db.acquire()), RejectionKind::ProbesOut);
    drop(out);
    assert_eq!(db.state(), State::HalfOpen);
    assert_eq!(admitted(&db, 9).len(), 2, "these reported nothing");
}

#[test]
fn a_probe_that_has_reported_is_out_no_more() {
    let (_brama, _clock, db) = half_open(sample);
    let mut probes = admitted(&db, 3);
    for out in (0..3).rev() {
        let probe = probes.pop().expect("admitted");
        match out {
            0 => probe.ignore(),
            1 => probe.failure(None).map(drop),
            _ => probe.success(),
        }
        .expect("in time");
        assert_eq!((status(&db).probes_out, db.state()), (out, State::HalfOpen));
    }
}

#[test]
fn a_report_without_a_permit_counts_among_the_probes() {
    let (_brama, _clock, db) = half_open(sample);
    fail(&db, 1);
    assert_eq!(db.state(), State::HalfOpen);
    fail(&db, 1);
    assert_eq!(db.state(), State::Open);
}

#[test]
fn a_probe_that_is_late_counts_in_the_sample() {
    let (_brama, clock, db) = half_open(|builder| sample(builder).probe_timeout(ms(10)));
    let late = admitted(&db, 2);
    clock.advance(ms(10));
    let out = admitted(&db, 9);
    assert_eq!(out.len(), 4, "the leases have ended");
    for probe in late {
        probe.failure(None).expect("late, and not lost");
    }
    assert_eq!(db.state(), State::Open);
}

#[test]
fn a_slow_success_is_a_failed_probe_where_slow_calls_count() {
    let settings = |builder: Builder| {
        sample(builder)
            .slow_call_duration(ms(20))
            .slow_call_rate(0.9)
    };
    let (_brama, _clock, db) = half_open(settings);
    let report = |lasted| {
        let probe = db.acquire().expect("a place");
        probe.success_in(ms(lasted)).expect("in time");
    };
    report(20);
    report(19);
    assert_eq!(db.state(), State::HalfOpen);
    report(21);
    let opened = status(&db);
    assert_eq!(
        (opened.state, opened.cause),
        (State::Open, Some(Cause::Probe))
    );
    assert_eq!((opened.total_successes, opened.total_failures), (3, 0));
}

#[test]
fn a_sample_that_is_made_smaller_is_decided_by_the_next_report() {
    let (_brama, _clock, db) = half_open(|builder| sample(builder).half_open_max_calls(9));
    for _ in 0..3 {
        db.acquire()
            .expect("a place")
            .failure(None)
            .expect("in time");
    }
    let smaller = ConnectionOptions::new().half_open_max_calls(2);
    db.configure(smaller.half_open_failure_rate(1.0))
        .expect("valid");
    let probe = db.acquire().expect("one more decides");
    probe.success().expect("in time");
    assert_eq!(db.state(), State::Open, "three of two have failed");
}

#[test]
fn a_rate_that_is_taken_back_leaves_no_place_taken() {
    let (_brama, _clock, db) = half_open(sample);
    for _ in 0..2 {
        db.acquire().expect("a place").success().expect("in time");
    }
    let by_successes = ConnectionOptions::new().half_open_successes(3);
    db.configure(by_successes).expect("valid");
    assert_eq!(status(&db).settings.half_open_failure_rate(), None);
    assert_eq!(admitted(&db, 9).len(), 4);
    db.acquire().expect("a place").success().expect("in time");
    assert_eq!(db.state(), State::Closed, "two successes had counted");
}

#[test]
fn of_successes_and_a_rate_the_nearest_level_that_names_one_decides() {
    let (brama, _clock) = manager_with(|builder| builder.half_open_failure_rate(0.5));
    let of = |options| {
        let one = brama.register("one", Some(options)).expect("a new name");
        let settings = status(&one).settings;
        brama.unregister("one").expect("registered");
        (
            settings.half_open_failure_rate(),
            settings.half_open_successes(),
        )
    };
    let options = ConnectionOptions::new;
    assert_eq!(of(options()), (Some(0.5), 1));
    assert_eq!(of(options().half_open_successes(3)), (None, 3));
    assert_eq!(of(options().half_open_failure_rate(0.25)), (Some(0.25), 1));
    assert_eq!(of(options().half_open_failure_rate(None)), (None, 1));
    let both = options().half_open_failure_rate(0.5).half_open_successes(2);
    let refused = brama
        .register("both", Some(both))
        .expect_err("neither is nearer");
    let says =
        "`half_open_failure_rate` = 0.5: cannot be given together with `half_open_successes`";
    assert!(refused.to_string().contains(says), "{refused}");
    // On one level the later call decides.
    let db = circuit(&brama);
    db.configure(options().half_open_successes(2))
        .expect("valid");
    db.configure(options().half_open_failure_rate(0.1))
        .expect("valid");
    let settings = status(&db).settings;
    assert_eq!(
        (
            settings.half_open_failure_rate(),
            settings.half_open_successes()
        ),
        (Some(0.1), 1)
    );
}
