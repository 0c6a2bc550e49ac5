//! What a restore brings back, and in which state.

use brama::{Brama, Cause, Connection, ConnectionOptions, Error, OpenFor, State, Status};

use crate::common::{fail, manager, manager_with, ms};

pub fn status(connection: &Connection) -> Status {
    connection.status().expect("registered")
}

pub fn registered(brama: &Brama) -> Connection {
    brama.get_or_register("db", None).expect("a valid name")
}

/// Restores the circuits of one manager in another.
pub fn moved(from: &Brama, to: &Brama) -> usize {
    to.restore(&from.save()).expect("it was just saved")
}

#[test]
fn an_opening_goes_on_where_it_was() {
    let (old, clock) = manager();
    let db = registered(&old);
    fail(&db, 4);
    db.failure("connection refused").expect("registered");
    clock.advance(ms(10_000));
    let data = old.save();
    clock.advance(ms(20_000));
    let (new, later) = manager();
    later.advance(ms(30_000));
    let db = registered(&new);
    assert_eq!(new.restore(&data), Ok(1));
    let now = status(&db);
    assert_eq!(now.state, State::Open);
    assert_eq!(now.retry_after, Some(ms(30_000)));
    assert_eq!(now.expiry, Some(ms(60_000)), "the length that it was given");
    assert_eq!(now.trips, 1);
    assert_eq!(now.failure_count, 5);
    assert_eq!(now.cause, Some(Cause::Consecutive));
    assert_eq!(now.reason.as_deref(), Some("connection refused"));
    assert_eq!(
        now.last_failure_reason.as_deref(),
        Some("connection refused")
    );
    assert_eq!(now.total_failures, 5);
    assert_eq!(now.opened_at, Some(later.unix_ms()), "a transition by hand");
    assert_eq!(now.last_state_change, Some(later.unix_ms()));
    let rejected = db.acquire().expect_err("open");
    assert!(matches!(rejected, Error::Rejected(rejected)
        if rejected.retry_after == Some(ms(30_000)) && rejected.cause() == Some(Cause::Consecutive)));
    later.advance(ms(29_999));
    assert_eq!(db.state(), State::Open);
    later.advance(ms(1));
    assert_eq!(db.state(), State::HalfOpen);
}

#[test]
fn an_opening_that_is_over_is_due_at_once() {
    let (old, clock) = manager();
    registered(&old)
        .open_circuit("maintenance", ms(5_000))
        .expect("registered");
    let data = old.save();
    for passed in [5_000, 5_001, 1_000_000_000] {
        let (new, later) = manager();
        later.advance(ms(passed));
        let db = registered(&new);
        assert_eq!(new.restore(&data), Ok(1));
        assert_eq!(db.state(), State::HalfOpen, "after {passed} ms");
        assert_eq!(status(&db).reason.as_deref(), Some("maintenance"));
    }
    drop(clock);
}

#[test]
fn a_wall_clock_that_was_set_back_prolongs_nothing() {
    let (old, clock) = manager();
    clock.advance(ms(1_000_000));
    registered(&old)
        .open_circuit(None, ms(5_000))
        .expect("registered");
    let data = old.save();
    let (new, _earlier) = manager();
    let db = registered(&new);
    assert_eq!(new.restore(&data), Ok(1));
    assert_eq!(status(&db).retry_after, Some(ms(5_000)));
}

#[test]
fn a_restored_opening_has_no_jitter_on_top() {
    let (old, _) = manager();
    registered(&old)
        .open_circuit(None, ms(5_000))
        .expect("registered");
    for _ in 0..20 {
        let (new, _clock) = manager_with(|builder| builder.jitter(1.0));
        let db = registered(&new);
        assert_eq!(moved(&old, &new), 1);
        assert_eq!(status(&db).retry_after, Some(ms(5_000)));
    }
}

#[test]
fn a_circuit_that_was_held_open_is_held_open() {
    let (old, _) = manager();
    registered(&old)
        .open_circuit("by order", OpenFor::Never)
        .expect("registered");
    let (new, later) = manager();
    later.advance(ms(1_000_000_000));
    let db = registered(&new);
    assert_eq!(moved(&old, &new), 1);
    let now = status(&db);
    assert_eq!(
        (now.state, now.retry_after, now.expiry),
        (State::Open, None, None)
    );
    assert_eq!(now.cause, Some(Cause::Manual));
    assert_eq!(now.reason.as_deref(), Some("by order"));
}

#[test]
fn a_half_open_circuit_comes_back_with_no_success_and_no_probe_out() {
    let settings = || {
        ConnectionOptions::new()
            .half_open_max_calls(2)
            .half_open_successes(2)
    };
    let (old, _) = manager();
    let db = old.register("db", settings()).expect("a new name");
    fail(&db, 5);
    db.half_open_circuit().expect("registered");
    db.success().expect("registered");
    let _probe = db.acquire().expect("half-open");
    let (new, _clock) = manager();
    let db = new.register("db", settings()).expect("a new name");
    assert_eq!(moved(&old, &new), 1);
    let now = status(&db);
    assert_eq!((now.state, now.trips), (State::HalfOpen, 1));
    assert_eq!(now.cause, Some(Cause::Consecutive));
    let probes = [
        db.acquire().expect("the first"),
        db.acquire().expect("the second"),
    ];
    assert!(db.acquire().is_err(), "both are out");
    for probe in probes {
        assert_eq!(db.state(), State::HalfOpen);
        probe.success().expect("timely");
    }
    assert_eq!(db.state(), State::Closed);
}

#[test]
fn the_backoff_goes_on() {
    let settings = || {
        ConnectionOptions::new()
            .max_attempts(1)
            .expiry_strategy(brama::ExpiryStrategy::Progressive)
            .initial_expiry(ms(1_000))
    };
    let (old, clock) = manager();
    let db = old.register("db", settings()).expect("a new name");
    fail(&db, 1);
    clock.advance(ms(1_000));
    fail(&db, 1);
    clock.advance(ms(2_000));
    assert_eq!((db.state(), status(&db).trips), (State::HalfOpen, 2));
    let (new, later) = manager();
    later.advance(ms(3_000));
    let db = new.register("db", settings()).expect("a new name");
    assert_eq!(moved(&old, &new), 1);
    fail(&db, 1);
    assert_eq!(status(&db).retry_after, Some(ms(4_000)));
}

#[test]
fn failures_in_a_row_go_on() {
    let (old, _) = manager();
    fail(&registered(&old), 3);
    let (new, _clock) = manager();
    let db = registered(&new);
    assert_eq!(moved(&old, &new), 1);
    assert_eq!(status(&db).failure_count, 3);
    fail(&db, 1);
    assert_eq!(db.state(), State::Closed);
    fail(&db, 1);
    assert_eq!(db.state(), State::Open);
}

/// Mutation: `a-restore-that-keeps-the-failures`.
#[test]
fn failures_become_the_saved_ones_whatever_the_state_was() {
    let (old, _) = manager();
    let [two, three, four] = [2, 3, 4].map(|failures| {
        let db = old
            .register(format!("{failures}").as_str(), None)
            .expect("a new name");
        fail(&db, failures);
        db
    });
    three.open_circuit(None, None).expect("registered");
    four.half_open_circuit().expect("registered");
    let data = old.save();
    drop(two);
    let prepare: [fn(&Connection); 4] = [
        |_| {},
        |db| fail(db, 1),
        |db| {
            fail(db, 1);
            db.open_circuit(None, ms(7)).expect("registered");
        },
        |db| {
            fail(db, 1);
            db.half_open_circuit().expect("registered");
        },
    ];
    for (how, prepare) in prepare.iter().enumerate() {
        let (new, _clock) = manager();
        for name in ["2", "3", "4"] {
            prepare(&new.register(name, None).expect("a new name"));
        }
        assert_eq!(new.restore(&data), Ok(3));
        let seen: Vec<_> = new
            .snapshot()
            .into_iter()
            .map(|status| (status.state, status.failure_count, status.trips))
            .collect();
        let expected = [
            (State::Closed, 2, 0),
            (State::Open, 3, 1),
            (State::HalfOpen, 4, 0),
        ];
        assert_eq!(seen, expected, "from {how}");
        let closed = new.connection("3").expect("registered");
        closed.close_circuit().expect("registered");
        assert_eq!(status(&closed).failure_count, 3, "from {how}");
    }
}

#[test]
fn a_window_comes_back_empty() {
    let (old, clock) = manager_with(|builder| builder.window(ms(1_000)));
    let db = registered(&old);
    fail(&db, 3);
    clock.advance(ms(10));
    for has_window in [true, false] {
        let (new, _clock) = manager_with(|builder| match has_window {
            true => builder.window(ms(1_000)),
            false => builder,
        });
        let db = registered(&new);
        fail(&db, 2);
        assert_eq!(moved(&old, &new), 1);
        assert_eq!(status(&db).failure_count, 0);
        fail(&db, 4);
        assert_eq!(db.state(), State::Closed);
        fail(&db, 1);
        assert_eq!(db.state(), State::Open);
    }
    let (plain, _clock) = manager();
    fail(&registered(&plain), 3);
    let (new, _clock) = manager_with(|builder| builder.window(ms(1_000)));
    let db = registered(&new);
    assert_eq!(moved(&plain, &new), 1);
    assert_eq!(status(&db).failure_count, 0, "their times are not known");
}

/// Mutation: `totals-that-were-restored-in-a-rate`.
#[test]
fn totals_come_back_and_are_in_no_rate() {
    let settings = || ConnectionOptions::new().failure_rate(0.5).minimum_calls(10);
    let (old, _) = manager();
    let db = old.register("db", settings()).expect("a new name");
    for _ in 0..100 {
        db.success().expect("registered");
    }
    for _ in 0..7 {
        db.acquire().expect("closed").ignore().expect("timely");
    }
    fail(&db, 20);
    db.open_circuit(None, None).expect("registered");
    for _ in 0..3 {
        db.acquire().expect_err("open");
    }
    db.close_circuit().expect("registered");
    let data = old.save();
    for calls in [None, Some(10)] {
        let settings = match calls {
            None => settings(),
            Some(calls) => settings().rate_calls(calls),
        };
        let (new, _clock) = manager();
        let db = new.register("db", settings).expect("a new name");
        db.success().expect("registered");
        assert_eq!(new.restore(&data), Ok(1));
        let now = status(&db);
        assert_eq!((now.total_successes, now.total_failures), (100, 20));
        assert_eq!((now.total_rejections, now.total_ignored), (3, 7));
        assert_eq!(now.success_rate, Some(100.0 / 120.0));
        assert_eq!((now.window_calls, now.window_failures), (Some(0), Some(0)));
        for _ in 0..5 {
            db.success().expect("registered");
        }
        fail(&db, 4);
        assert_eq!(status(&db).window_calls, Some(9));
        assert_eq!(db.state(), State::Closed);
        fail(&db, 1);
        assert_eq!(db.state(), State::Open, "half of ten, and not of 130");
        assert_eq!(status(&db).total_successes, 105);
    }
}

#[test]
fn totals_are_in_no_rate_after_an_opening_either() {
    let settings = || ConnectionOptions::new().failure_rate(0.5).minimum_calls(10);
    let (old, _) = manager();
    let db = old.register("db", settings()).expect("a new name");
    for _ in 0..100 {
        db.success().expect("registered");
    }
    db.open_circuit(None, None).expect("registered");
    let (new, _clock) = manager();
    let db = new.register("db", settings()).expect("a new name");
    assert_eq!(moved(&old, &new), 1);
    db.close_circuit().expect("registered");
    assert_eq!(status(&db).window_calls, Some(0));
    fail(&db, 10);
    assert_eq!(db.state(), State::Open);
}

#[test]
fn totals_never_go_down_and_are_not_counted_twice() {
    let (brama, _clock) = manager();
    let db = registered(&brama);
    let report = || {
        db.success().expect("registered");
        fail(&db, 1);
        db.acquire().expect("closed").ignore().expect("timely");
    };
    report();
    let data = brama.save();
    report();
    assert_eq!(brama.restore(&data), Ok(1));
    let now = status(&db);
    assert_eq!(
        (now.total_successes, now.total_failures, now.total_ignored),
        (2, 2, 2)
    );
}

#[test]
fn settings_and_metadata_are_not_saved() {
    let (old, _) = manager();
    let options = ConnectionOptions::new()
        .max_attempts(1)
        .metadata([("team", "a")]);
    fail(&old.register("db", options).expect("a new name"), 1);
    let (new, _clock) = manager();
    let db = registered(&new);
    assert_eq!(moved(&old, &new), 1);
    let now = status(&db);
    assert_eq!(now.state, State::Open);
    assert_eq!(now.settings.max_attempts(), Some(5));
    assert!(now.metadata.is_empty());
}

/// Mutation: `a-restore-in-the-same-generation`.
#[test]
fn permits_that_are_out_are_stale_whatever_comes_back() {
    let (old, _) = manager();
    let db = registered(&old);
    for prepare in [
        |_: &Connection| {},
        |db: &Connection| db.half_open_circuit().expect("registered"),
        |db: &Connection| db.open_circuit(None, None).expect("registered"),
    ] {
        prepare(&db);
        for prepare in [
            |_: &Connection| {},
            |db: &Connection| db.half_open_circuit().expect("registered"),
        ] {
            let (new, _clock) = manager();
            let db = registered(&new);
            prepare(&db);
            let permit = db.acquire().expect("not open");
            assert_eq!(moved(&old, &new), 1);
            let before = status(&db);
            assert_eq!(permit.failure(None), Err(Error::Stale));
            let after = status(&db);
            assert_eq!(after.state, before.state);
            assert_eq!(after.failure_count, before.failure_count);
            assert_eq!(after.total_failures, before.total_failures + 1);
        }
    }
}

#[test]
fn names_and_scopes_do_not_meet() {
    let (old, _) = manager();
    for key in [("a", "b:c"), ("a:b", "c")] {
        old.register(key, None).expect("a new name");
    }
    old.register("a:b:c", None).expect("a new name");
    old.open_circuit(("a:b", "c"), None, None)
        .expect("registered");
    let long = "ä".repeat(512);
    old.register((long.as_str(), long.as_str()), None)
        .expect("the longest");
    let data = old.save();
    assert_eq!(data, old.save(), "one state has one form");
    let (new, _clock) = manager();
    assert_eq!(new.restore(&data), Ok(4));
    for key in [("a", "b:c"), ("a:b", "c"), (long.as_str(), long.as_str())] {
        let state = new.register(key, None).expect("a new name").state();
        assert_eq!(state == State::Open, key == ("a:b", "c"));
    }
    assert_eq!(
        new.register("a:b:c", None).expect("a new name").state(),
        State::Closed
    );
}

#[test]
fn a_save_without_circuits_restores_none() {
    let (old, _) = manager();
    let (new, _clock) = manager();
    let db = registered(&new);
    fail(&db, 2);
    assert_eq!(moved(&old, &new), 0);
    assert_eq!(status(&db).failure_count, 2);
}

#[test]
fn after_the_end_nothing_is_saved_and_nothing_restored() {
    let (brama, _clock) = manager();
    registered(&brama);
    let data = brama.save();
    brama.shutdown();
    assert_eq!(brama.restore(&data), Err(Error::ShutDown));
    let (new, _clock) = manager();
    assert_eq!(moved(&brama, &new), 0);
}

/// Uses the machine's clocks, which differ a little. An opening that was just made does not count
/// as changed since the save.
#[test]
fn the_machines_clocks_agree() {
    let brama = Brama::builder().background(false).build().expect("valid");
    let db = registered(&brama);
    for _ in 0..200 {
        db.open_circuit(None, ms(60_000)).expect("registered");
        assert_eq!(moved(&brama, &brama), 1);
        let left = status(&db).retry_after.expect("open");
        assert!(left > ms(50_000) && left <= ms(60_001), "{left:?}");
        db.close_circuit().expect("registered");
    }
}
