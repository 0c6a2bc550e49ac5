//! The durations of calls: those that a reporter gives, and those that are measured because a
//! setting needs them.

use std::future::pending;
use std::task::{Context, Waker};
use std::time::{Duration, Instant};

use super::semantics::circuit;
use crate::common::{manager, manager_with, ms};
use brama::{
    Brama, Cause, Config, Connection, ConnectionOptions, Error, ManualClock, Permit, Setting, State,
};

fn failures(db: &Connection) -> u64 {
    db.status().expect("registered").total_failures
}

#[test]
fn a_report_with_a_duration_is_one_without_it_besides() {
    let (brama, _clock) = manager_with(|b| b.max_attempts(4));
    let db = circuit(&brama);
    assert_eq!(brama.failure_in("db", ms(30_000), "timeout"), Ok(1));
    assert_eq!(db.failure_in(Duration::MAX, None), Ok(2));
    let permit = db.acquire().expect("closed");
    assert_eq!(permit.failure_in(Duration::ZERO, "refused"), Ok(3));
    db.success_in(ms(1)).expect("registered");
    assert_eq!(db.status().expect("registered").failure_count, 0);
    brama.success_in("db", Duration::MAX).expect("registered");
    let permit = brama.acquire("db").expect("closed");
    assert_eq!(permit.success_in(ms(1)), Ok(()));
    let status = db.status().expect("registered");
    assert_eq!((status.total_successes, status.total_failures), (3, 3));

    let late = [db.acquire().expect("closed"), db.acquire().expect("closed")];
    db.open_circuit(None, ms(1)).expect("registered");
    let [success, failure] = late;
    assert_eq!(success.success_in(ms(1)), Err(Error::Stale));
    assert_eq!(failure.failure_in(ms(1), None), Err(Error::Stale));
    db.half_open_circuit().expect("registered");
    let probe = db.acquire().expect("half-open");
    probe.success_in(ms(1)).expect("in time");
    assert_eq!(db.state(), State::Closed);
    brama.unregister("db").expect("registered");
    let gone = |answer: Result<(), Error>| matches!(answer, Err(Error::NotFound(_)));
    assert!(gone(db.success_in(ms(1))));
    assert!(gone(brama.success_in("db", ms(1))));
    assert!(gone(db.failure_in(ms(1), None).map(drop)));
    assert!(gone(brama.failure_in("db", ms(1), None).map(drop)));
}

/// A way to make a call that is given up after `wait`.
type Way = fn(&Brama, &Connection, &dyn Fn());

fn give_up(permit: Result<Permit<'_>, Error>, wait: &dyn Fn()) {
    let permit = permit.expect("closed");
    wait();
    drop(permit);
}

/// Polls a future once, waits, and drops it.
fn abandon<T>(future: impl Future<Output = T>, wait: &dyn Fn()) {
    let mut future = Box::pin(future);
    let mut context = Context::from_waker(Waker::noop());
    assert!(future.as_mut().poll(&mut context).is_pending());
    wait();
}

/// Every way to make a guarded call that can be given up.
const WAYS: [Way; 5] = [
    |_, db, wait| give_up(db.acquire(), wait),
    |_, db, wait| give_up(db.acquire_owned(), wait),
    |brama, _, wait| give_up(brama.acquire("db"), wait),
    |_, db, wait| abandon(db.call_async(pending::<Result<(), ()>>), wait),
    |brama, _, wait| abandon(brama.call_async("db", pending::<Result<(), ()>>), wait),
];

fn slow_from(limit: u64) -> ConnectionOptions {
    ConnectionOptions::new().slow_call_duration(ms(limit))
}

/// A call that begins while calls are measured knows its start, whichever setting asks for it.
#[test]
fn the_next_call_is_measured_once_a_setting_asks_for_it() {
    let overdue = || ConnectionOptions::new().cancelled_after(ms(500));
    let asks: [fn(&Brama, &Connection); 5] = [
        |_, db| db.configure(slow_from(50)).expect("valid"),
        |_, db| db.configure(slow_from(5_000)).expect("valid"),
        |brama, _| {
            let config = Config::new().slow_call_duration(ms(50));
            brama.configure(config).expect("valid");
        },
        |brama, _| {
            let config = Config::new().cancelled_after(ms(60_000));
            brama.configure(config).expect("valid");
        },
        |_, db| {
            let patient = ConnectionOptions::new().cancelled_after(ms(60_000));
            db.configure(patient).expect("valid");
        },
    ];
    for is_probe in [false, true] {
        for ask in asks {
            for way in WAYS {
                let (brama, clock) = manager_with(|b| b.unlimited_attempts());
                let db = circuit(&brama);
                let begin = || {
                    if is_probe {
                        db.half_open_circuit().expect("registered");
                    }
                };
                begin();
                way(&brama, &db, &|| {
                    clock.advance(ms(500));
                    db.configure(overdue()).expect("valid");
                });
                assert_eq!(failures(&db), 0, "it began before");
                let never = ConnectionOptions::new().inherit(Setting::CancelledAfter);
                db.configure(never).expect("valid");

                ask(&brama, &db);
                begin();
                way(&brama, &db, &|| {
                    clock.advance(ms(500));
                    db.configure(overdue()).expect("valid");
                });
                assert_eq!(failures(&db), 1);
            }
        }
    }
}

#[test]
fn a_connection_is_born_with_the_measure_of_its_settings() {
    for (own, everyones) in [(Some(50), None), (None, Some(50)), (Some(50), Some(5_000))] {
        let (brama, clock) = manager_with(|b| match everyones {
            Some(limit) => b.slow_call_duration(ms(limit)),
            None => b,
        });
        let db = brama.register("db", own.map(slow_from)).expect("new");
        give_up(db.acquire(), &|| {
            clock.advance(ms(500));
            let overdue = ConnectionOptions::new().cancelled_after(ms(500));
            db.configure(overdue).expect("valid");
        });
        assert_eq!(failures(&db), 1);
    }
}

/// A way to make a call that lasts as long as `wait` takes, and succeeds or fails.
type Call = fn(&Brama, &Connection, bool, &dyn Fn());

fn outcome(succeeds: bool) -> Result<(), &'static str> {
    match succeeds {
        true => Ok(()),
        false => Err("down"),
    }
}

fn reported(permit: Result<Permit<'_>, Error>, succeeds: bool, wait: &dyn Fn()) {
    let permit = permit.expect("closed");
    wait();
    match succeeds {
        true => permit.success().expect("timely"),
        false => drop(permit.failure("down").expect("timely")),
    }
}

/// Polls a future once, and asserts that it is ready.
fn complete<T>(future: impl Future<Output = T>) {
    let mut future = Box::pin(future);
    let mut context = Context::from_waker(Waker::noop());
    assert!(future.as_mut().poll(&mut context).is_ready());
}

/// Every way to make a guarded call.
const CALLS: [Call; 7] = [
    |_, db, succeeds, wait| reported(db.acquire(), succeeds, wait),
    |_, db, succeeds, wait| reported(db.acquire_owned(), succeeds, wait),
    |brama, _, succeeds, wait| reported(brama.acquire("db"), succeeds, wait),
    |_, db, succeeds, wait| {
        let call = || {
            wait();
            outcome(succeeds)
        };
        assert_eq!(db.call(call).is_ok(), succeeds);
    },
    |brama, _, succeeds, wait| {
        let call = || {
            wait();
            outcome(succeeds)
        };
        assert_eq!(brama.call("db", call).is_ok(), succeeds);
    },
    |_, db, succeeds, wait| {
        complete(db.call_async(|| async {
            wait();
            outcome(succeeds)
        }));
    },
    |brama, _, succeeds, wait| {
        complete(brama.call_async("db", || async {
            wait();
            outcome(succeeds)
        }));
    },
];

/// A manager whose circuits open at one call of `limit` ms.
fn opens_by(limit: u64) -> (Brama, ManualClock) {
    manager_with(|b| {
        b.unlimited_attempts()
            .slow_call_duration(ms(limit))
            .slow_call_rate(1.0)
            .minimum_calls(1)
    })
}

#[test]
fn every_call_is_measured() {
    for limit in [7, 700] {
        for call in CALLS {
            for succeeds in [true, false] {
                let (brama, clock) = opens_by(limit);
                let db = circuit(&brama);
                call(&brama, &db, succeeds, &|| clock.advance(ms(limit - 1)));
                assert_eq!(db.state(), State::Closed);
                db.reset_circuit().expect("registered");
                call(&brama, &db, succeeds, &|| clock.advance(ms(limit)));
                let status = db.status().expect("registered");
                assert_eq!(status.cause, Some(Cause::SlowCallRate));
                assert_eq!(status.state, State::Open);
            }
        }
    }
}

#[test]
fn a_given_duration_goes_before_the_measured_one() {
    type Report = fn(&Brama, &Connection, Duration, &dyn Fn());
    let reports: [Report; 8] = [
        |brama, _, duration, _| brama.success_in("db", duration).expect("registered"),
        |brama, _, duration, _| drop(brama.failure_in("db", duration, None)),
        |_, db, duration, _| db.success_in(duration).expect("registered"),
        |_, db, duration, _| drop(db.failure_in(duration, "down")),
        |_, db, duration, wait| {
            let permit = db.acquire().expect("closed");
            wait();
            permit.success_in(duration).expect("timely");
        },
        |_, db, duration, wait| {
            let permit = db.acquire().expect("closed");
            wait();
            permit.failure_in(duration, "down").expect("timely");
        },
        |brama, _, duration, wait| {
            let permit = brama.acquire("db").expect("closed");
            wait();
            permit.success_in(duration).expect("timely");
        },
        |brama, _, duration, wait| {
            let permit = brama.acquire("db").expect("closed");
            wait();
            permit.failure_in(duration, None).expect("timely");
        },
    ];
    for report in reports {
        let (brama, clock) = opens_by(50);
        let db = circuit(&brama);
        let fast = ms(50) - Duration::from_nanos(1);
        report(&brama, &db, fast, &|| clock.advance(ms(60_000)));
        assert_eq!(db.state(), State::Closed);
        db.reset_circuit().expect("registered");
        report(&brama, &db, ms(50), &|| {});
        assert_eq!(db.state(), State::Open);
    }
}

/// The settings in effect when a circuit closes decide whether its calls are measured.
#[test]
fn a_circuit_that_recovers_is_measured_if_a_setting_has_asked_meanwhile() {
    let (brama, clock) = manager();
    let db = circuit(&brama);
    db.open_circuit(None, ms(10)).expect("registered");
    db.configure(slow_from(50)).expect("valid");
    clock.advance(ms(10));
    let probe = db.acquire().expect("half-open");
    probe.success().expect("in time");
    give_up(db.acquire(), &|| {
        clock.advance(ms(500));
        let overdue = ConnectionOptions::new().cancelled_after(ms(500));
        db.configure(overdue).expect("valid");
    });
    assert_eq!(failures(&db), 1);
}

/// Uses the machine's clocks. The coarse one may advance by some ms during a call.
#[test]
fn a_call_that_was_given_up_at_once_was_not_long() {
    let limit = ms(1);
    for is_probe in [false, true] {
        let builder = Brama::builder().background(false);
        let brama = builder.cancelled_after(limit).build().expect("valid");
        let db = circuit(&brama);
        if is_probe {
            db.half_open_circuit().expect("registered");
        }
        let end = Instant::now() + ms(30);
        while Instant::now() < end {
            let before = Instant::now();
            drop(db.acquire().expect("admitted"));
            if before.elapsed() >= limit {
                break; // The thread was stopped.
            }
            assert_eq!(failures(&db), 0);
        }
    }
}
