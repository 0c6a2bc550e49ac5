//! Mistakes that other circuit breakers made, one test each: this library makes none of them. Those
//! about several threads are in `storms`, and those about memory in `scale`.

use crate::common::{fail, manager, manager_with, ms};
use brama::{CallError, ConnectionOptions, Error, ExpiryStrategy, OpenFor, Outcome, State};

/// resilience4j #544, #903, #935; opossum #388.
#[test]
fn a_probe_that_never_reports_does_not_wedge_half_open() {
    let (brama, clock) = manager_with(|b| b.expiry(ms(1_000)).half_open_max_calls(3));
    let db = brama.register("db", None).expect("a new name");
    fail(&db, 5);
    clock.advance(ms(1_000));
    for _round in 0..10 {
        let lost: Vec<_> = (0..3).map(|_| db.acquire().expect("a place")).collect();
        assert!(matches!(db.acquire(), Err(Error::Rejected(_))));
        std::mem::forget(lost);
        clock.advance(ms(1_000));
    }
    db.acquire().expect("a place").success().expect("timely");
    assert_eq!(db.state(), State::Closed);
}

/// tower-resilience #382, Polly #216.
#[test]
fn half_open_does_not_let_everybody_in_before_the_first_has_reported() {
    let (brama, clock) = manager_with(|b| b.expiry(ms(10)).half_open_max_calls(2));
    let db = brama.register("db", None).expect("a new name");
    fail(&db, 5);
    clock.advance(ms(10));
    let admitted: Vec<_> = (0..100).filter_map(|_| db.acquire().ok()).collect();
    assert_eq!(admitted.len(), 2);
    assert_eq!(db.status().expect("registered").total_rejections, 98);
}

/// Polly #217, opossum #381.
#[test]
fn a_late_success_from_before_the_trip_closes_nothing() {
    let (brama, clock) = manager();
    let db = brama.register("db", None).expect("a new name");
    let while_open = db.acquire().expect("closed");
    let while_half_open = db.acquire().expect("closed");
    fail(&db, 5);
    assert_eq!(while_open.success(), Err(Error::Stale));
    assert_eq!(db.state(), State::Open);
    clock.advance(ms(60_000));
    assert_eq!(db.state(), State::HalfOpen);
    assert_eq!(while_half_open.success(), Err(Error::Stale));
    let status = db.status().expect("registered");
    assert_eq!((status.state, status.failure_count), (State::HalfOpen, 5));
    assert_eq!(status.total_successes, 2, "stale reports are counted");
}

/// Polly #217, the other way round.
#[test]
fn a_late_failure_from_before_the_recovery_opens_nothing() {
    let (brama, clock) = manager_with(|b| b.max_attempts(1));
    let db = brama.register("db", None).expect("a new name");
    let late = db.acquire().expect("closed");
    let later = db.acquire().expect("closed");
    fail(&db, 1);
    clock.advance(ms(60_000));
    assert_eq!(db.state(), State::HalfOpen);
    assert_eq!(late.failure(None), Err(Error::Stale));
    assert_eq!(db.state(), State::HalfOpen);
    db.success().expect("registered");
    assert_eq!(later.failure(None), Err(Error::Stale));
    let status = db.status().expect("registered");
    assert_eq!((status.state, status.failure_count), (State::Closed, 0));
    assert_eq!(status.total_failures, 3, "stale reports are counted");
}

#[test]
fn a_late_report_does_not_reach_a_connection_registered_again() {
    let (brama, _clock) = manager_with(|b| b.max_attempts(1));
    let first = brama.register("db", None).expect("a new name");
    let acquire = || {
        [
            brama.acquire("db").expect("closed"),
            first.acquire_owned().expect("closed"),
        ]
    };
    let (failing, succeeding, ignored, dropped) = (acquire(), acquire(), acquire(), acquire());
    brama.unregister("db").expect("registered");
    let anew = brama.register("db", None).expect("free again");
    for permit in failing {
        assert!(matches!(permit.failure(None), Err(Error::NotFound(_))));
    }
    for permit in succeeding {
        assert!(matches!(permit.success(), Err(Error::NotFound(_))));
    }
    for permit in ignored {
        assert!(matches!(permit.ignore(), Err(Error::NotFound(_))));
    }
    drop(dropped);
    let status = anew.status().expect("registered");
    let totals = (
        status.total_successes,
        status.total_failures,
        status.total_ignored,
    );
    assert_eq!((status.state, totals), (State::Closed, (0, 0, 0)));
}

/// gobreaker #37, #119; pybreaker #3, recloser: no lock is held during the call.
#[test]
fn the_guarded_call_may_use_the_library_as_it_likes() {
    let (brama, _clock) = manager();
    let db = brama.register("db", None).expect("a new name");
    let nested = brama.call("db", || {
        db.call(|| {
            brama.configure(brama::Config::new().max_attempts(7))?;
            db.reset_circuit()?;
            brama.unregister("db")?;
            brama.register("db", None)?;
            brama.snapshot();
            brama.poll();
            Ok::<_, Error>(())
        })
        .map_err(|error| error.to_string())
    });
    assert_eq!(nested, Ok(()));
    assert_eq!(
        brama
            .status("db")
            .expect("registered again")
            .total_successes,
        0
    );
}

/// resilience4j #299, #2181.
#[test]
fn reconfiguring_loses_no_statistics_no_deadline_and_no_permit() {
    let (brama, clock) = manager();
    let db = brama.register("db", None).expect("a new name");
    let permit = db.acquire().expect("closed");
    db.success().expect("registered");
    fail(&db, 3);
    let options = ConnectionOptions::new().max_attempts(4).expiry(ms(5));
    db.configure(options).expect("valid");
    let status = db.status().expect("registered");
    assert_eq!((status.failure_count, status.total_successes), (3, 1));
    assert_eq!(permit.failure(None), Ok(4));
    assert_eq!(db.state(), State::Open);

    db.open_circuit(None, ms(1_000)).expect("registered");
    db.configure(ConnectionOptions::new().expiry(ms(1)))
        .expect("valid");
    clock.advance(ms(999));
    assert_eq!(db.state(), State::Open, "the deadline stays");
    clock.advance(ms(1));
    assert_eq!(db.state(), State::HalfOpen);
}

/// resilience4j #650, Hystrix #1794.
#[test]
fn a_retired_breaker_leaves_nothing_behind() {
    let (brama, _clock) = manager();
    brama.register("db", None).expect("a new name");
    brama.failure("db", None).expect("registered");
    brama.unregister("db").expect("registered");
    assert!(brama.snapshot().is_empty());
    assert_eq!(brama.state_counts(), Default::default());
    let anew = brama.register("db", None).expect("free again");
    assert_eq!(anew.status().expect("registered").total_failures, 0);
}

/// resilience4j #682.
#[test]
fn a_cancelled_caller_is_not_a_failing_dependency() {
    let (brama, _clock) = manager_with(|b| b.max_attempts(1));
    let db = brama.register("db", None).expect("a new name");
    drop(db.acquire().expect("closed"));
    drop(db.call_async(std::future::pending::<Result<(), ()>>));
    let mut waiting = Box::pin(db.call_async(std::future::pending::<Result<(), ()>>));
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    assert!(waiting.as_mut().poll(&mut context).is_pending());
    drop(waiting);
    let status = db.status().expect("registered");
    assert_eq!((status.state, status.total_failures), (State::Closed, 0));
}

#[test]
fn a_cancelled_probe_gives_its_place_back() {
    let (brama, _clock) = manager();
    let db = brama.register("db", None).expect("a new name");
    db.half_open_circuit().expect("registered");
    let mut probe = Box::pin(db.call_async(std::future::pending::<Result<(), ()>>));
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    assert!(probe.as_mut().poll(&mut context).is_pending());
    assert!(db.acquire().is_err());
    drop(probe);
    drop(db.acquire().expect("free again"));
    let ignored = db.call_with(|_| Outcome::Ignored, || Err::<(), _>("bad input"));
    assert_eq!(ignored, Err(CallError::Inner("bad input")));
    assert_eq!(db.state(), State::HalfOpen);
    db.acquire().expect("free again").success().expect("timely");
}

/// As `"a:b"` without a scope, and `"b"` in scope `"a"`.
#[test]
fn keys_that_read_the_same_when_joined_are_different_connections() {
    let (brama, _clock) = manager();
    let keys = [
        (None, "a:b"),
        (Some("a"), "b"),
        (Some("a:"), "b"),
        (Some("a"), ":b"),
        (None, "ab"),
        (Some("b"), "a"),
        (None, "b"),
        (None, "a"),
    ];
    for key in keys {
        brama.register(key, None).expect("a new name");
    }
    for (times, key) in keys.into_iter().enumerate() {
        for _ in 0..times {
            brama.success(key).expect("registered");
        }
    }
    for (times, key) in keys.into_iter().enumerate() {
        let status = brama.status(key).expect("registered");
        assert_eq!(status.total_successes, times as u64, "{key:?}");
        assert_eq!((status.scope.as_deref(), &*status.identifier), key);
    }
}

#[test]
fn a_connection_never_used_counts_from_its_registration() {
    let (brama, clock) = manager_with(|b| b.inactive_threshold(ms(60_000)));
    clock.advance(ms(1_000_000));
    brama.register("fresh", None).expect("a new name");
    brama.poll();
    assert_eq!(brama.state("fresh"), State::Closed);
    clock.advance(ms(59_999));
    brama.poll();
    assert_eq!(brama.state("fresh"), State::Closed);
}

#[test]
fn backoff_does_not_overflow_after_any_number_of_trips() {
    for factor in [1.5, 2.0, 1e308] {
        let (brama, clock) = manager_with(|b| {
            b.expiry_strategy(ExpiryStrategy::Progressive)
                .initial_expiry(ms(10))
                .max_expiry(ms(1_000))
                .backoff_factor(factor)
        });
        let db = brama.register("db", None).expect("a new name");
        let mut last = 0;
        for trip in 1..=300_u32 {
            fail(&db, if trip == 1 { 5 } else { 1 });
            let status = db.status().expect("registered");
            assert_eq!(status.trips, trip.min(255));
            let wait = status.retry_after.expect("open").as_millis();
            assert!(wait >= last && wait <= 1_000, "{factor}: {last}, {wait}");
            last = wait;
            clock.advance(ms(1_000));
            assert_eq!(db.state(), State::HalfOpen);
        }
        assert_eq!(last, 1_000);
    }
}

#[test]
fn a_custom_expiry_is_for_one_opening_and_does_not_change_the_settings() {
    let (brama, clock) = manager();
    let db = brama.register("db", None).expect("a new name");
    for how_long in [OpenFor::Custom(ms(7)), OpenFor::Never] {
        db.open_circuit("maintenance", how_long)
            .expect("registered");
        let status = db.status().expect("registered");
        assert_eq!(status.settings.expiry(), ms(60_000));
        db.reset_circuit().expect("registered");
    }
    fail(&db, 5);
    clock.advance(ms(59_999));
    assert_eq!(db.state(), State::Open);
}

#[test]
fn failures_while_open_do_not_prolong_the_outage() {
    let (brama, clock) = manager();
    let db = brama.register("db", None).expect("a new name");
    fail(&db, 5);
    for _ in 0..59 {
        clock.advance(ms(1_000));
        fail(&db, 100);
    }
    clock.advance(ms(999));
    assert_eq!(db.state(), State::Open);
    clock.advance(ms(1));
    assert_eq!(db.state(), State::HalfOpen);
    assert_eq!(db.status().expect("registered").trips, 1);
}

/// sentinel-golang #408: an opening is never seen without its deadline.
#[test]
fn whoever_sees_an_opening_sees_its_deadline() {
    let (brama, clock) = manager_with(|b| b.max_attempts(1).expiry(ms(1_000)));
    let db = brama.register("db", None).expect("a new name");
    clock.advance(ms(5_000));
    std::thread::scope(|scope| {
        let looking = scope.spawn(|| {
            let mut seen = 0;
            while seen < 1_000 {
                match db.acquire() {
                    Err(Error::Rejected(rejected)) => {
                        assert_eq!(rejected.retry_after, Some(ms(1_000)));
                        seen += 1;
                    }
                    Err(other) => panic!("{other}"),
                    Ok(permit) => drop(permit),
                }
            }
        });
        while !looking.is_finished() {
            fail(&db, 1);
            std::thread::yield_now();
            db.reset_circuit().expect("registered");
        }
        looking.join().expect("no panic");
    });
}
