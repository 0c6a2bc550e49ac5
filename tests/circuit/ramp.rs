//! The ramp: after the probes have succeeded, a growing share of the calls passes.

use super::recovery::{admitted, half_open, sample, status};
use crate::common::events::{kinds, queue_of};
use crate::common::{fail, ms};
use brama::{
    Brama, Builder, Cause, Connection, Error, ManualClock, OpenFor, Permit, RejectionKind, Setting,
    State,
};

/// One probe, then a ramp of a second from a tenth.
fn ramp(builder: Builder) -> Builder {
    builder.expiry(ms(100)).ramp(ms(1_000))
}

/// A circuit at the beginning of its ramp.
fn ramping(settings: impl FnOnce(Builder) -> Builder) -> (Brama, ManualClock, Connection) {
    let (brama, clock, db) = half_open(settings);
    db.acquire().expect("a probe").success().expect("in time");
    assert_eq!(db.state(), State::HalfOpen);
    (brama, clock, db)
}

/// A call that the ramp admits.
fn admit(connection: &Connection) -> Permit<'_> {
    let permit = (0..1_000).find_map(|_| connection.acquire().ok());
    permit.expect("a share of the calls is admitted")
}

#[test]
fn a_ramp_admits_a_growing_share_and_ends_by_time() {
    let (_brama, clock, db) = ramping(ramp);
    for (at, share) in [(0, 0.1), (100, 0.1), (300, 0.3), (800, 0.8), (999, 0.999)] {
        clock.set_at(&db, at);
        let passed = admitted(&db, 1_000).len() as f64 / 1_000.0;
        assert!((passed - share).abs() < 0.01, "{passed} of {share}");
        let found = status(&db).ramp_share.expect("a ramp");
        assert!((found - share).abs() < 1e-9, "{found}");
        assert!(status(&db).state == State::HalfOpen && status(&db).trips == 1);
    }
    clock.set_at(&db, 1_000);
    let closed = status(&db);
    assert_eq!(
        (closed.state, closed.trips, closed.ramp_share),
        (State::Closed, 0, None)
    );
}

/// Moves the clock to `at` ms after the circuit became half-open. In these tests the ramp begins
/// then, too.
trait At {
    fn set_at(&self, connection: &Connection, at: u64);
}

impl At for ManualClock {
    fn set_at(&self, connection: &Connection, at: u64) {
        let passed = status(connection).time_in_state;
        self.advance(ms(at) - passed);
    }
}

#[test]
fn a_rejection_says_recovering_and_how_long_at_most_a_second() {
    for (length, hint) in [(300, 300), (9_000, 1_000)] {
        let (_brama, _clock, db) = ramping(|builder| ramp(builder).ramp(ms(length)));
        let refused = (0..1_000).find_map(|_| db.acquire().err());
        let Some(Error::Rejected(rejected)) = refused else {
            panic!("all were admitted");
        };
        assert_eq!(rejected.kind, RejectionKind::Recovering);
        assert_eq!(rejected.retry_after, Some(ms(hint)));
        assert!(rejected.to_string().contains("is recovering"), "{rejected}");
        assert!(status(&db).total_rejections > 0);
    }
}

#[test]
fn the_end_of_a_ramp_is_delivered_like_that_of_an_opening() {
    let (brama, clock, db) = half_open(ramp);
    // The driver has no deadline while the circuit probes.
    brama.poll();
    db.acquire().expect("a probe").success().expect("in time");
    let events = queue_of(&brama, 64);
    let began = status(&db).last_state_change.expect("half-open");
    clock.advance(ms(999));
    brama.poll();
    assert_eq!(kinds(&events.drain(64)), [""; 0], "nothing has changed");
    // The driver comes late.
    clock.advance(ms(500));
    brama.poll();
    let told = events.drain(64);
    assert_eq!(kinds(&told), ["state_change", "circuit_closed"]);
    for event in &told {
        assert_eq!(
            (event.previous_state(), event.new_state()),
            (State::HalfOpen, State::Closed)
        );
        assert_eq!(event.timestamp(), began + 1_000, "when it was due");
    }
    assert_eq!(status(&db).last_state_change, Some(began + 1_000));
}

#[test]
fn the_begin_of_a_ramp_is_no_change_of_state() {
    let (brama, clock, db) = half_open(ramp);
    let before = status(&db);
    let events = queue_of(&brama, 64);
    clock.advance(ms(7));
    db.acquire().expect("a probe").success().expect("in time");
    brama.poll();
    assert_eq!(kinds(&events.drain(64)), ["probe", "success"]);
    clock.advance(ms(9));
    let after = status(&db);
    assert_eq!(after.time_in_state, ms(16));
    assert_eq!(after.last_state_change, before.last_state_change);
    assert_eq!(
        (after.state, after.cause),
        (State::HalfOpen, Some(Cause::Manual))
    );
}

#[test]
fn a_probe_that_is_still_out_is_late_for_a_ramp() {
    let (_brama, _clock, db) = half_open(|builder| ramp(builder).half_open_max_calls(2));
    let late = db.acquire().expect("a probe");
    db.acquire().expect("another").success().expect("in time");
    assert_eq!(late.failure(None), Err(Error::Stale));
    assert_eq!(db.state(), State::HalfOpen);
    assert!(!admit(&db).is_probe());
}

#[test]
fn two_failures_in_a_row_open_a_ramp_again_whatever_the_settings() {
    for unlimited in [false, true] {
        let settings = |builder: Builder| match unlimited {
            true => ramp(builder).unlimited_attempts(),
            false => ramp(builder).max_attempts(9),
        };
        let (_brama, _clock, db) = ramping(settings);
        let report = |fails: bool| match fails {
            true => admit(&db).failure("down").map(drop),
            false => admit(&db).success(),
        };
        for fails in [true, false, true, false] {
            report(fails).expect("in time");
            assert_eq!(db.state(), State::HalfOpen);
        }
        report(true).expect("in time");
        assert_eq!(status(&db).failure_count, 1);
        report(true).expect("in time");
        let opened = status(&db);
        assert_eq!(
            (opened.state, opened.cause),
            (State::Open, Some(Cause::Consecutive))
        );
        assert_eq!(
            (opened.trips, opened.failure_count),
            (2, 2),
            "backoff goes on"
        );
        assert_eq!(opened.reason.as_deref(), Some("down"));
    }
    let (_brama, _clock, db) = ramping(|builder| ramp(builder).max_attempts(1));
    admit(&db).failure(None).expect("in time");
    assert_eq!(db.state(), State::Open, "the settings ask for one");
}

#[test]
fn what_failed_in_a_ramp_is_in_no_window_after_it() {
    let settings = |builder: Builder| {
        ramp(builder)
            .max_attempts(3)
            .window(ms(10_000))
            .success_clears_window(false)
    };
    let (_brama, clock, db) = ramping(settings);
    for _ in 0..3 {
        admit(&db).failure(None).expect("in time");
        admit(&db).success().expect("in time");
    }
    clock.advance(ms(1_000));
    assert_eq!((db.state(), status(&db).failure_count), (State::Closed, 0));
    fail(&db, 2);
    assert_eq!((db.state(), status(&db).failure_count), (State::Closed, 2));
    fail(&db, 1);
    assert_eq!(status(&db).cause, Some(Cause::Window));

    let (_brama, _clock, db) = ramping(settings);
    admit(&db).failure(None).expect("in time");
    admit(&db).failure(None).expect("in time");
    assert_eq!(status(&db).cause, Some(Cause::Consecutive));
    assert_eq!(status(&db).failure_count, 2);
}

#[test]
fn a_permit_of_a_ramp_counts_in_the_closed_circuit_directly_after_it() {
    let (_brama, clock, db) = ramping(|builder| ramp(builder).max_attempts(2));
    let permits: Vec<_> = (0..3).map(|_| admit(&db)).collect();
    clock.advance(ms(1_000));
    let [one, two, three] = permits.try_into().expect("three");
    assert_eq!(one.failure(None), Ok(1));
    assert_eq!(db.state(), State::Closed);
    assert_eq!(two.failure(None), Ok(2));
    assert_eq!(db.state(), State::Open);
    db.reset_circuit().expect("registered");
    assert_eq!(three.success(), Err(Error::Stale), "that is over");
}

#[test]
fn a_rate_opens_a_ramp_by_what_was_reported_in_it() {
    for by_calls in [false, true] {
        let settings = |builder: Builder| {
            let builder = ramp(builder).failure_rate(0.4).minimum_calls(10);
            match by_calls {
                true => builder.rate_calls(10),
                false => builder,
            }
        };
        let (_brama, _clock, db) = ramping(settings);
        for _ in 0..3 {
            admit(&db).success().expect("in time");
            admit(&db).success().expect("in time");
            admit(&db).failure(None).expect("in time");
        }
        let counted = status(&db);
        assert_eq!(counted.state, State::HalfOpen);
        assert_eq!(
            (counted.window_calls, counted.window_failures),
            (Some(9), Some(3))
        );
        admit(&db).success().expect("in time");
        if by_calls {
            admit(&db).success().expect("in time");
        }
        admit(&db).failure(None).expect("in time");
        let opened = status(&db);
        assert_eq!(
            (opened.state, opened.cause),
            match by_calls {
                // Four of the last ten calls failed.
                true => (State::Open, Some(Cause::FailureRate)),
                false => (State::HalfOpen, Some(Cause::Manual)),
            }
        );
    }
}

#[test]
fn what_a_rate_counts_in_a_ramp_goes_on_to_count() {
    for by_calls in [false, true] {
        let settings = |builder: Builder| {
            let builder = ramp(builder).failure_rate(0.5).minimum_calls(10);
            match by_calls {
                true => builder.rate_calls(10),
                false => builder,
            }
        };
        let (_brama, clock, db) = ramping(settings);
        for _ in 0..4 {
            admit(&db).failure(None).expect("in time");
            admit(&db).success().expect("in time");
        }
        clock.advance(ms(1_000));
        assert_eq!(db.state(), State::Closed);
        let counted = status(&db);
        assert_eq!(
            (counted.window_calls, counted.window_failures),
            (Some(8), Some(4))
        );
        db.success().expect("registered");
        assert_eq!(db.state(), State::Closed);
        fail(&db, 1);
        assert_eq!(
            status(&db).cause,
            Some(Cause::FailureRate),
            "5 of 10, {by_calls}"
        );
    }
}

#[test]
fn a_reset_in_a_ramp_closes_it_and_its_evidence_begins_again() {
    let (_brama, _clock, db) = ramping(|builder| ramp(builder).failure_rate(0.5).minimum_calls(2));
    admit(&db).failure(None).expect("in time");
    db.reset_circuit().expect("registered");
    let closed = status(&db);
    assert_eq!(
        (closed.state, closed.window_calls),
        (State::Closed, Some(0))
    );
    fail(&db, 1);
    assert_eq!(db.state(), State::Closed);
}

#[test]
fn hands_control_a_ramp() {
    let (brama, clock, db) = ramping(ramp);
    let events = queue_of(&brama, 64);
    db.half_open_circuit().expect("registered");
    assert!(status(&db).ramp_share.is_some(), "it goes on");
    db.close_circuit().expect("registered");
    assert_eq!(
        (db.state(), status(&db).trips),
        (State::Closed, 1),
        "by hand"
    );
    brama.poll();
    let told = kinds(&events.drain(64));
    assert_eq!(
        told,
        ["circuit_half_opened", "state_change", "circuit_closed"]
    );

    let (_brama, _clock, db) = ramping(ramp);
    db.open_circuit(None, OpenFor::Never).expect("registered");
    clock.advance(ms(5_000));
    assert_eq!((db.state(), status(&db).trips), (State::Open, 2));
}

#[test]
fn a_failure_with_a_wait_opens_a_ramp() {
    let (_brama, _clock, db) = ramping(ramp);
    let wait = ms(7_000);
    admit(&db).failure_for("HTTP 429", wait).expect("in time");
    let opened = status(&db);
    assert_eq!(
        (opened.cause, opened.retry_after),
        (Some(Cause::RetryAfter), Some(wait))
    );
}

#[test]
fn a_ramp_follows_a_sample_of_probes_too() {
    let (_brama, clock, db) = half_open(|builder| sample(builder).ramp(ms(10)));
    for _ in 0..3 {
        db.acquire().expect("a place").success().expect("in time");
    }
    assert!(status(&db).ramp_share.is_some());
    clock.advance(ms(10));
    assert_eq!(db.state(), State::Closed);
}

#[test]
fn a_ramp_whose_setting_is_taken_back_admits_every_call_until_its_end() {
    let (brama, clock, db) = ramping(ramp);
    let config = brama::Config::new().inherit(Setting::Ramp);
    brama.configure(config).expect("valid");
    assert_eq!(admitted(&db, 50).len(), 50);
    assert_eq!(status(&db).ramp_share, Some(1.0));
    clock.advance(ms(1_000));
    assert_eq!(db.state(), State::Closed);
}

#[test]
fn a_ramp_from_the_whole_admits_every_call() {
    let (_brama, _clock, db) = ramping(|builder| ramp(builder).ramp_start(1.0));
    assert_eq!(admitted(&db, 50).len(), 50);
}

#[test]
fn an_inner_call_rides_on_a_call_that_a_ramp_has_admitted() {
    let (_brama, _clock, db) = ramping(|builder| ramp(builder).ramp_start(0.001));
    let before = status(&db);
    let answer = (0..100_000).find_map(|_| {
        let outer = db.call(|| {
            // Nearly all of these calls would be refused if they did not ride on the outer call.
            let inner = (0..20).all(|_| db.call(|| Ok::<_, &str>(())).is_ok());
            Ok::<_, &str>(inner)
        });
        outer.ok()
    });
    assert_eq!(answer, Some(true));
    let after = status(&db);
    assert_eq!(
        after.total_successes,
        before.total_successes + 1,
        "they report nothing"
    );
}

#[test]
fn a_cleanup_leaves_a_connection_whose_circuit_ramps_up() {
    let (brama, clock, db) = ramping(|builder| {
        ramp(builder)
            .ramp(ms(60_000))
            .inactive_threshold(ms(10))
            .cleanup_interval(ms(10))
    });
    drop(db);
    clock.advance(ms(30_000));
    brama.poll();
    assert_eq!(brama.state("db"), State::HalfOpen);
    clock.advance(ms(30_000));
    brama.poll();
    assert_eq!(brama.state("db"), State::Closed);
    clock.advance(ms(30_000));
    brama.poll();
    assert_eq!(brama.state("db"), State::Unknown);
}
