//! Mistakes of a careless caller: names and settings outside their range, handles and permits that
//! outlive their connection or manager, panics, cancelled futures, and shutting down in every
//! order. Each gets a clear answer, and nothing crashes.
//!
//! Rust callers cannot pass names that are not UTF-8, since such bytes cannot be a `&str`. The C
//! interface checks for them.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use crate::common::{fail, manager, manager_with, ms};
use brama::{
    Brama, Builder, CallError, Config, Connection, ConnectionOptions, Error, ExpiryStrategy, Key,
    OpenFor, Outcome, Permit, State,
};

// ---- names ----

/// Calls every operation that takes a name. Returns the error of each.
fn all_by_name(brama: &Brama, key: Key<'_>) -> Vec<(&'static str, Error)> {
    let err = |name, answer: Result<(), Error>| (name, answer.expect_err(name));
    let call = brama.call(key, || -> Result<(), ()> { panic!("must not run") });
    let Err(CallError::Unusable(unusable)) = call else {
        panic!("{call:?}");
    };
    vec![
        err("register", brama.register(key, None).map(drop)),
        err(
            "get_or_register",
            brama.get_or_register(key, None).map(drop),
        ),
        err("unregister", brama.unregister(key)),
        err("connection", brama.connection(key).map(drop)),
        err("acquire", brama.acquire(key).map(drop)),
        err("success", brama.success(key)),
        err("failure", brama.failure(key, "reason").map(drop)),
        ("call", unusable),
        err("status", brama.status(key).map(drop)),
        err("open", brama.open_circuit(key, None, None)),
        err("close", brama.close_circuit(key)),
        err("half-open", brama.half_open_circuit(key)),
        err("reset", brama.reset_circuit(key)),
        err(
            "configure",
            brama.configure_connection(key, ConnectionOptions::new()),
        ),
    ]
}

#[test]
fn bad_names_are_refused_by_every_operation_with_the_argument_and_the_rule() {
    let long = "x".repeat(1_025);
    for auto_register in [false, true] {
        let (brama, _clock) = manager_with(|b| b.auto_register(auto_register));
        // After the first registration, the settings are resolved.
        brama.register("good", None).expect("valid");
        for bad in ["", &long, "nul\0inside", "\0"] {
            for (argument, key) in [
                ("identifier", Key::from(bad)),
                ("scope", (bad, "db").into()),
            ] {
                for (operation, error) in all_by_name(&brama, key) {
                    let Error::InvalidArgument(invalid) = &error else {
                        panic!("{operation}: {error}");
                    };
                    assert_eq!(invalid.name, argument, "{operation}");
                    assert!(error.to_string().contains("1 to 1024 bytes"), "{error}");
                    assert!(error.to_string().len() < 400, "{operation}");
                }
                assert!(!brama.available(key));
                assert_eq!(brama.state(key), State::Unknown);
            }
        }
        assert_eq!(brama.snapshot().len(), 1);
    }
}

#[test]
fn names_of_the_greatest_length_and_of_any_script_are_kept_whole() {
    let (brama, _clock) = manager();
    let long = "ä".repeat(512);
    for key in [
        Key::from(&long),
        Key::from((&*long, &*long)),
        Key::from("日本"),
        Key::from(("\n", "\u{1f980} ")),
        Key::from(" "),
    ] {
        let connection = brama.register(key, None).expect("valid");
        assert_eq!(connection.key().as_key(), key);
        let status = brama.status(key).expect("registered");
        assert_eq!(status.identifier, key.identifier());
        assert_eq!(status.scope.as_deref(), key.scope());
    }
    assert_eq!(brama.snapshot().len(), 5);
}

#[test]
fn an_empty_scope_is_not_the_absence_of_a_scope() {
    let (brama, _clock) = manager();
    brama.register("db", None).expect("valid");
    assert!(!brama.available(("", "db")));
    assert!(matches!(
        brama.success(("", "db")),
        Err(Error::InvalidArgument(_))
    ));
}

// ---- settings ----
/// An invalid value of a setting, in all three types that have its setter.
pub(super) struct Bad {
    pub(super) field: &'static str,
    pub(super) options: ConnectionOptions,
    pub(super) config: Config,
    pub(super) builder: Builder,
}

macro_rules! bad {
    ($($field:literal: $setter:ident($value:expr)),* $(,)?) => {
        vec![$(Bad {
            field: $field,
            options: ConnectionOptions::new().$setter($value),
            config: Config::new().$setter($value),
            builder: Brama::builder().$setter($value),
        }),*]
    };
}

pub(super) use bad;

fn is_about(error: &Error, field: &str) -> bool {
    matches!(error, Error::InvalidConfig(invalid) if invalid.name == field)
        && error.to_string().contains(field)
}

pub(super) fn are_refused_wherever_they_are_given(all: Vec<Bad>) {
    let (brama, _clock) = manager();
    let db = brama.register("db", None).expect("valid");
    let before = db.status().expect("registered").settings;
    for bad in all {
        for answer in [
            db.configure(bad.options.clone()),
            brama.register("new", bad.options).map(drop),
            brama.configure(bad.config),
            bad.builder.build().map(drop),
        ] {
            let error = answer.expect_err(bad.field);
            assert!(is_about(&error, bad.field), "{error}");
        }
    }
    assert_eq!(brama.state("new"), State::Unknown);
    assert_eq!(db.status().expect("registered").settings, before);
}

#[test]
fn settings_out_of_range_are_refused_wherever_they_are_given() {
    let tiny = Duration::from_nanos(999_999);
    are_refused_wherever_they_are_given(bad![
        "max_attempts": max_attempts(0),
        "expiry": expiry(Duration::ZERO),
        "expiry": expiry(tiny),
        "initial_expiry": initial_expiry(Duration::ZERO),
        "max_expiry": max_expiry(Duration::ZERO),
        "cancelled_after": cancelled_after(tiny),
        "backoff_factor": backoff_factor(f64::NAN),
        "backoff_factor": backoff_factor(f64::INFINITY),
        "backoff_factor": backoff_factor(f64::NEG_INFINITY),
        "backoff_factor": backoff_factor(-2.0),
        "backoff_factor": backoff_factor(0.0),
        "backoff_factor": backoff_factor(0.999_999),
        "jitter": jitter(f64::NAN),
        "jitter": jitter(f64::INFINITY),
        "jitter": jitter(-0.1),
        "jitter": jitter(1.000_001),
        "window": window(Duration::ZERO),
        "window": window(tiny),
        "half_open_max_calls": half_open_max_calls(0),
        "half_open_max_calls": half_open_max_calls(65_536),
        "half_open_max_calls": half_open_max_calls(u32::MAX),
        "half_open_successes": half_open_successes(0),
        "probe_timeout": probe_timeout(Duration::ZERO),
    ]);
    let (brama, _clock) = manager();
    let config = Config::new;
    for (field, config) in [
        ("cleanup_interval", config().cleanup_interval(tiny)),
        ("inactive_threshold", config().inactive_threshold(tiny)),
    ] {
        let error = brama.configure(config).expect_err(field);
        assert!(is_about(&error, field), "{error}");
    }
}

/// The cap matters only with the progressive strategy, and only on the level that gives it.
#[test]
fn a_maximum_below_the_initial_expiry_is_refused_where_it_is_heeded() {
    let (brama, _clock) = manager_with(|b| b.max_expiry(ms(100_000)));
    let progressive = ConnectionOptions::new().expiry_strategy(ExpiryStrategy::Progressive);
    let both = progressive.clone().initial_expiry(ms(10)).max_expiry(ms(9));
    let error = brama.register("db", both).expect_err("max < initial");
    assert!(is_about(&error, "max_expiry"), "{error}");
    assert!(error.to_string().contains("10 ms"), "{error}");
    let equal = progressive
        .clone()
        .initial_expiry(ms(10))
        .max_expiry(ms(10));
    brama.register("equal", equal).expect("equal is allowed");
    let fixed = ConnectionOptions::new().expiry(ms(10)).max_expiry(ms(9));
    brama.register("fixed", fixed).expect("nothing heeds it");

    let longer = progressive.expiry(ms(100_001));
    let db = brama
        .register("db", longer)
        .expect("it raises the inherited cap");
    for _ in 0..2 {
        db.open_circuit(None, None).expect("registered");
        let status = db.status().expect("registered");
        assert_eq!(status.expiry, Some(ms(100_001)));
        db.half_open_circuit().expect("registered");
    }
}

#[test]
fn a_window_with_too_many_attempts_is_refused() {
    let (brama, _clock) = manager();
    let options = ConnectionOptions::new().window(ms(10));
    let error = brama
        .register("db", options.clone().max_attempts(65_537))
        .expect_err("more than a window counts");
    assert!(is_about(&error, "max_attempts"), "{error}");
    brama
        .register("db", options.unlimited_attempts())
        .expect("allowed");
}

#[test]
fn a_huge_factor_stays_at_the_cap_from_the_second_trip_on() {
    let (brama, clock) = manager_with(|b| {
        b.expiry_strategy(ExpiryStrategy::Progressive)
            .initial_expiry(ms(1))
            .max_expiry(ms(50))
            .backoff_factor(1e308)
    });
    let db = brama.register("db", None).expect("valid");
    for trip in 1..=300 {
        db.open_circuit(None, None).expect("registered");
        let status = db.status().expect("registered");
        let expected = ms(if trip == 1 { 1 } else { 50 });
        assert_eq!(
            (status.retry_after, status.trips),
            (Some(expected), trip.min(255))
        );
        clock.advance(expected);
    }
}

#[test]
fn the_longest_expiries_mean_for_ever_and_do_not_overflow() {
    let longest = ms(u64::MAX);
    for strategy in [ExpiryStrategy::Fixed, ExpiryStrategy::Progressive] {
        let (brama, clock) = manager_with(|b| {
            b.expiry(longest)
                .jitter(1.0)
                .expiry_strategy(strategy)
                .inactive_threshold(None)
        });
        clock.advance(ms(1_000));
        let db = brama.register("db", None).expect("valid");
        for _ in 0..3 {
            db.open_circuit(None, None).expect("registered");
            clock.advance(ms(1 << 30));
            brama.poll();
            assert_eq!(db.state(), State::Open);
            db.open_circuit(None, Duration::MAX).expect("registered");
            assert_eq!(db.state(), State::Open);
            db.half_open_circuit().expect("registered");
            drop(db.acquire().expect("a probe with an endless lease"));
        }
    }
    let (brama, _clock) = manager_with(|b| b.window(longest).probe_timeout(longest));
    let db = brama.register("db", None).expect("valid");
    fail(&db, 5);
    assert_eq!(db.state(), State::Open);
}

#[test]
fn a_custom_expiry_below_a_millisecond_is_refused_and_changes_nothing() {
    let (brama, _clock) = manager();
    let db = brama.register("db", None).expect("valid");
    for how_long in [Duration::ZERO, Duration::from_micros(999)] {
        let error = db.open_circuit(None, how_long).expect_err("too short");
        assert!(matches!(&error, Error::InvalidArgument(invalid) if invalid.name == "expiry"));
        assert!(brama.open_circuit("db", None, how_long).is_err());
    }
    assert_eq!(db.state(), State::Closed);
}

#[test]
fn reasons_and_metadata_of_any_size_are_no_problem() {
    let (brama, _clock) = manager();
    let huge = "\0é".repeat(1 << 19);
    let options = ConnectionOptions::new().metadata([(huge.as_str(), huge.as_str()), ("", "")]);
    let db = brama.register("db", options).expect("valid");
    assert_eq!(db.failure(huge.as_str()), Ok(1));
    assert_eq!(db.failure(""), Ok(2));
    db.open_circuit(huge.as_str(), None).expect("registered");
    assert_eq!(db.status().expect("registered").metadata[&huge], huge);
}

// ---- handles of removed connections and of ended managers ----

/// Calls every operation of a handle, and asserts that each returns an error that is `gone`.
fn all_by_handle(handle: &Connection, gone: fn(&Error) -> bool) {
    assert!(!handle.available());
    assert_eq!(handle.state(), State::Unknown);
    let call = handle.call(|| -> Result<(), ()> { panic!("must not run") });
    assert!(matches!(call, Err(CallError::Unusable(error)) if gone(&error)));
    let answers = [
        ("acquire", handle.acquire().map(drop)),
        ("acquire_owned", handle.acquire_owned().map(drop)),
        ("success", handle.success()),
        ("failure", handle.failure("reason").map(drop)),
        ("status", handle.status().map(drop)),
        ("open", handle.open_circuit(None, OpenFor::Never)),
        ("close", handle.close_circuit()),
        ("half-open", handle.half_open_circuit()),
        ("reset", handle.reset_circuit()),
        (
            "configure",
            handle.configure(ConnectionOptions::new().jitter(0.1)),
        ),
    ];
    for (operation, answer) in answers {
        let error = answer.expect_err(operation);
        assert!(gone(&error), "{operation}: {error}");
    }
    assert_eq!(handle.key().identifier, "db");
    assert!(format!("{handle:?}").contains("db"));
}

fn not_found(error: &Error) -> bool {
    matches!(error, Error::NotFound(_))
}

fn shut_down(error: &Error) -> bool {
    *error == Error::ShutDown
}

type Bring = (&'static str, fn(&Connection));

/// Ways to bring a circuit into each state before its connection is removed.
const STATES: [Bring; 3] = [
    ("closed", |_| {}),
    ("open", |db| {
        db.open_circuit(None, ms(5)).expect("registered")
    }),
    ("half-open", |db| {
        db.half_open_circuit().expect("registered")
    }),
];

/// Acquires permits of all kinds in the present state, and reports them in all ways after `end`.
fn outlive(brama: &Brama, db: &Connection, end: impl FnOnce(), gone: fn(&Error) -> bool) {
    let calls = ConnectionOptions::new().half_open_max_calls(12);
    db.configure(calls).expect("valid");
    let kinds = || {
        [
            db.acquire().ok(),
            db.acquire_owned().ok(),
            brama.acquire("db").ok(),
        ]
    };
    let mut permits: Vec<Permit<'_>> = (0..4).flat_map(|_| kinds()).flatten().collect();
    end();
    drop(permits.drain(..permits.len().min(3)));
    let outcomes = [Outcome::Success, Outcome::Failure, Outcome::Ignored];
    for (n, permit) in permits.into_iter().enumerate() {
        let error = permit
            .report(outcomes[n / 3], None)
            .expect_err("it is gone");
        assert!(gone(&error), "{n}: {error}");
    }
    all_by_handle(db, gone);
}

#[test]
fn handles_and_permits_after_unregister_answer_not_found() {
    for (_, bring) in STATES {
        let (brama, _clock) = manager();
        let db = brama.register("db", None).expect("a new name");
        bring(&db);
        let end = || brama.unregister("db").expect("registered");
        outlive(&brama, &db, end, not_found);
        assert!(not_found(&brama.unregister("db").expect_err("gone")));
        brama.register("db", None).expect("the name is free");
        all_by_handle(&db, not_found);
    }
}

#[test]
fn handles_and_permits_after_a_shutdown_answer_so() {
    for (_, bring) in STATES {
        for background in [false, true] {
            let brama = Brama::builder()
                .background(background)
                .build()
                .expect("valid");
            let db = brama.register("db", None).expect("a new name");
            bring(&db);
            outlive(&brama, &db, || brama.shutdown(), shut_down);
            for (operation, error) in all_by_name(&brama, "db".into()) {
                assert!(shut_down(&error), "{operation}: {error}");
            }
            let config = brama.configure(Config::new().jitter(0.5));
            assert_eq!(config, Err(Error::ShutDown));
            assert!(brama.snapshot().is_empty() && !brama.available("db"));
            brama.reset_all();
            brama.poll();
            brama.shutdown();
            brama.shutdown();
        }
    }
}

#[test]
fn handles_and_permits_outlive_the_last_clone_of_their_manager() {
    for (_, bring) in STATES {
        let brama = Brama::builder().build().expect("valid");
        let db = brama.clone().register("db", None).expect("a new name");
        assert!(db.available(), "a dropped clone shuts nothing down");
        bring(&db);
        let (owned, borrowed) = (db.acquire_owned().ok(), db.acquire().ok());
        drop(brama);
        for permit in [owned, borrowed].into_iter().flatten() {
            assert_eq!(permit.success(), Err(Error::ShutDown));
        }
        all_by_handle(&db, shut_down);
        all_by_handle(&db.clone(), shut_down);
    }
}

// ---- panics ----
#[test]
fn a_panic_inside_a_call_is_a_failure_and_goes_on_to_the_caller() {
    let (brama, _clock) = manager_with(|b| b.max_attempts(2));
    let db = brama.register("db", None).expect("a new name");
    let by_handle = catch_unwind(AssertUnwindSafe(|| {
        db.call(|| -> Result<(), ()> { panic!("expected by this test") })
    }));
    let by_name = catch_unwind(AssertUnwindSafe(|| {
        brama.call("db", || -> Result<(), ()> {
            panic!("expected by this test")
        })
    }));
    assert!(by_handle.is_err() && by_name.is_err());
    let status = db.status().expect("registered");
    assert_eq!((status.state, status.total_failures), (State::Open, 2));
}

#[test]
fn a_panic_in_the_classifier_or_with_a_permit_in_hand_is_a_failure() {
    let (brama, _clock) = manager();
    let db = brama.register("db", None).expect("a new name");
    let classifier = catch_unwind(AssertUnwindSafe(|| {
        db.call_with(|_| panic!("expected by this test"), || Ok::<_, ()>(()))
    }));
    let holding = catch_unwind(AssertUnwindSafe(|| {
        let _permit = brama.acquire("db").expect("closed");
        panic!("expected by this test");
    }));
    assert!(classifier.is_err() && holding.is_err());
    assert_eq!(db.status().expect("registered").total_failures, 2);
}

fn poll_once<F: Future>(future: std::pin::Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

#[test]
fn a_future_that_panics_is_a_failure_and_one_that_is_dropped_is_none() {
    let (brama, _clock) = manager();
    let db = brama.register("db", None).expect("a new name");
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        let future = db.call_async(|| async { panic!("expected by this test") });
        let _: Poll<Result<(), CallError<()>>> = poll_once(Box::pin(future).as_mut());
    }));
    assert!(panicked.is_err());
    let mut waiting = Box::pin(brama.call_async("db", std::future::pending::<Result<(), ()>>));
    assert!(poll_once(waiting.as_mut()).is_pending());
    drop(waiting);
    let done = Box::pin(db.call_async(|| async { Ok::<_, ()>(7) }));
    assert_eq!(poll_once({ done }.as_mut()), Poll::Ready(Ok(7)));
    let status = db.status().expect("registered");
    assert_eq!((status.total_successes, status.total_failures), (1, 1));
}
