//! The cause and the reason of an opening, and the reasons of failures.

use crate::common::{fail, manager, manager_with, ms};
use brama::{
    Brama, Cause, Connection, ConnectionOptions, Error, EventFilter, EventType, Outcome, State,
    Status,
};

/// A closed circuit that has room for reasons. A report takes such room from a reserve of the
/// process, which other tests may empty at the same time.
fn circuit(brama: &Brama) -> Connection {
    let db = super::semantics::circuit(brama);
    // Many probes take the room at once, and keep it. By default there is one.
    for probes in [1_000, 1] {
        let options = ConnectionOptions::new().half_open_max_calls(probes);
        db.configure(options).expect("valid");
    }
    db
}

fn status(connection: &Connection) -> Status {
    connection.status().expect("registered")
}

fn why(connection: &Connection) -> (Option<Cause>, Option<String>) {
    let status = status(connection);
    (status.cause, status.reason)
}

fn because(cause: Cause, reason: &str) -> (Option<Cause>, Option<String>) {
    (Some(cause), Some(reason.to_owned()))
}

/// A closed circuit of a manager with a window.
fn with_a_window() -> (Brama, Connection) {
    let (brama, _clock) = manager_with(|b| b.max_attempts(2).window(ms(1_000)));
    let db = circuit(&brama);
    (brama, db)
}

#[test]
fn a_circuit_that_never_opened_has_no_cause() {
    let (brama, _clock) = manager();
    let db = circuit(&brama);
    db.failure("timeout").expect("registered");
    assert_eq!(why(&db), (None, None));
    let last = status(&db).last_failure_reason;
    assert_eq!(last.as_deref(), Some("timeout"));
}

#[test]
fn each_way_to_open_has_its_cause_and_its_reason() {
    let (brama, clock) = manager();
    let db = circuit(&brama);
    fail(&db, 4);
    db.failure("connection refused").expect("registered");
    assert_eq!(why(&db), because(Cause::Consecutive, "connection refused"));
    clock.advance(ms(60_000));
    let probe = db.acquire().expect("half-open");
    probe.failure("still refused").expect("timely");
    assert_eq!(why(&db), because(Cause::Probe, "still refused"));
    clock.advance(ms(60_000));
    db.failure_for("HTTP 503", ms(5)).expect("registered");
    assert_eq!(why(&db), because(Cause::RetryAfter, "HTTP 503"));
    db.open_circuit("maintenance", None).expect("registered");
    assert_eq!(why(&db), because(Cause::Manual, "maintenance"));
    let (_brama, windowed) = with_a_window();
    windowed.failure("a").expect("registered");
    windowed.failure("b").expect("registered");
    assert_eq!(why(&windowed), because(Cause::Window, "b"));
}

#[test]
fn cause_and_reason_stay_when_the_circuit_has_closed() {
    let (brama, clock) = manager();
    let db = circuit(&brama);
    fail(&db, 4);
    db.failure("timeout").expect("registered");
    clock.advance(ms(60_000));
    assert_eq!(why(&db), because(Cause::Consecutive, "timeout"));
    db.acquire().expect("half-open").success().expect("timely");
    assert_eq!(why(&db), because(Cause::Consecutive, "timeout"));
}

#[test]
fn an_opening_without_a_reason_shows_none_of_an_earlier_one() {
    let (brama, _clock) = manager();
    let db = circuit(&brama);
    db.open_circuit("maintenance", None).expect("registered");
    db.close_circuit().expect("registered");
    fail(&db, 5);
    assert_eq!(why(&db), (Some(Cause::Consecutive), None));
    let last = status(&db).last_failure_reason;
    assert_eq!(last, None, "a hand's reason is no failure's");
}

#[test]
fn a_hand_that_prolongs_an_opening_answers_for_it() {
    let (brama, _clock) = manager();
    let db = circuit(&brama);
    db.failure_for("HTTP 429", ms(50)).expect("registered");
    db.open_circuit("maintenance", ms(9_000))
        .expect("registered");
    assert_eq!(why(&db), because(Cause::Manual, "maintenance"));
    assert_eq!(status(&db).trips, 1, "no new opening");
}

#[test]
fn a_long_reason_is_kept_in_part_and_a_nul_is_none() {
    let (brama, _clock) = manager();
    let db = circuit(&brama);
    let long = "€".repeat(100);
    db.failure_for(long.as_str(), ms(50)).expect("registered");
    let kept = status(&db).reason.expect("given");
    assert_eq!(kept, "€".repeat(85), "255 of 256 bytes");
    db.failure("a\0b").expect("registered");
    let last = status(&db).last_failure_reason;
    assert_eq!(last.as_deref(), Some("a\u{fffd}b"));
    db.failure("\0".repeat(256).as_str()).expect("registered");
    let last = status(&db).last_failure_reason.expect("given");
    assert_eq!(last, "\u{fffd}".repeat(85), "255 of 256 bytes");
}

#[test]
fn an_empty_reason_is_none_and_leaves_that_of_the_failure_before() {
    let (brama, _clock) = manager();
    let db = circuit(&brama);
    db.failure("timeout").expect("registered");
    db.failure("").expect("registered");
    let last = status(&db).last_failure_reason;
    assert_eq!(last.as_deref(), Some("timeout"));
    db.open_circuit("", None).expect("registered");
    assert_eq!(why(&db), (Some(Cause::Manual), None));
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

#[test]
fn a_reason_that_finds_no_memory_ready_is_kept_the_next_time() {
    let (brama, _clock) = manager();
    let many: Vec<_> = (0..200)
        .map(|n| brama.register(format!("db{n}").as_str(), None))
        .collect::<Result<_, _>>()
        .expect("new names");
    for db in &many {
        db.failure("timeout").expect("registered");
    }
    let last = |db: &Connection| status(db).last_failure_reason;
    assert!(
        many.iter().any(|db| last(db).is_none()),
        "more than a reserve"
    );
    for _ in 0..10 {
        brama.poll();
        for db in &many {
            db.failure("timeout").expect("registered");
        }
    }
    for db in &many {
        assert_eq!(last(db).as_deref(), Some("timeout"));
    }
}

#[test]
fn a_rejection_says_the_cause_and_the_name_and_refers_to_nothing() {
    let (brama, clock) = manager();
    let key = ("billing", "db");
    let db = brama.register(key, None).expect("a new name");
    let long = brama
        .register("x".repeat(41).as_str(), None)
        .expect("a new name");
    let rejected = |connection: &Connection| match connection.acquire() {
        Err(Error::Rejected(rejected)) => rejected,
        other => panic!("{other:?}"),
    };
    fail(&db, 4);
    db.failure("timeout").expect("registered");
    long.open_circuit("maintenance", None).expect("registered");
    let Err(Error::Rejected(by_name)) = brama.acquire(key) else {
        panic!("open");
    };
    assert_eq!(rejected(&db), by_name);
    assert_ne!(rejected(&db), rejected(&long));
    assert_eq!(by_name.cause(), Some(Cause::Consecutive));
    assert_eq!(db.why().as_deref(), Some("timeout"));
    assert_eq!(long.why().as_deref(), Some("maintenance"));
    let beginning = rejected(&long);
    brama.unregister(key).expect("registered");
    assert_eq!(db.why(), None, "it is gone");
    drop((db, brama));
    clock.advance(ms(1));
    assert_eq!(
        (by_name.identifier(), by_name.scope()),
        (key.1, Some(key.0))
    );
    assert_eq!(
        by_name.to_string(),
        "rejected: the circuit of \"db\" in scope \"billing\" is open (consecutive), retry after 60s"
    );
    let shown = format!("the circuit of \"{}…\" is open (manual)", "x".repeat(40));
    assert!(beginning.to_string().contains(&shown), "{beginning}");
}

/// The reasons in the failure events of these calls.
fn heard(call: impl FnOnce(&Connection)) -> Vec<Option<String>> {
    let (brama, _clock) = manager();
    let filter = EventFilter::new().types([EventType::Failure]);
    let events = brama.subscribe_queue(filter, 8).expect("valid");
    call(&circuit(&brama));
    brama.poll();
    let reason = |event: &brama::Event| event.reason().map(str::to_owned);
    events.drain(8).iter().map(reason).collect()
}

#[test]
fn a_guarded_call_reports_the_text_of_its_error_to_subscribers() {
    let reasons = heard(|db| {
        let _ = db.call(|| Err::<(), _>("refused"));
        let text = String::from("reset by peer");
        let _ = db.call(|| Err::<(), &str>(&text));
        let _ = db.call(|| Err::<(), _>(std::io::Error::other("no route")));
        let boxed = || Err::<(), Box<dyn std::error::Error + Send + Sync>>("in a box".into());
        let _ = db.call(boxed);
    });
    let expected = ["refused", "reset by peer", "no route", "in a box"];
    assert_eq!(reasons, expected.map(|text| Some(text.to_owned())));
    let unknown = heard(|db| drop(db.call(|| Err::<(), _>(()))));
    assert_eq!(unknown, [None], "nothing is asked of its type");
}

#[test]
fn no_text_is_made_of_a_failure_that_only_counts() {
    let (brama, _clock) = manager();
    let db = circuit(&brama);
    for _ in 0..2 {
        let _ = db.call(|| Err::<(), _>("refused"));
    }
    let status = db.status().expect("registered");
    assert_eq!(
        (status.failure_count, status.last_failure_reason),
        (2, None)
    );
}

/// Mutation: `an-opening-without-the-text-of-its-error`.
#[test]
fn an_opening_has_the_text_of_its_error_without_a_subscriber() {
    let (brama, clock) = manager_with(|b| b.max_attempts(2).expiry(ms(300)));
    let db = circuit(&brama);
    let reasons = || {
        let status = db.status().expect("registered");
        let reason = status.reason.expect("it has opened");
        (
            reason,
            status.last_failure_reason.expect("the same failure"),
        )
    };
    let pair = |text: &str| (text.to_owned(), text.to_owned());
    let _ = db.call(|| Err::<(), _>("refused"));
    let _ = db.call(|| Err::<(), _>("reset"));
    assert_eq!(reasons(), pair("reset"));
    clock.advance(ms(300));
    let _ = brama.call("db", || Err::<(), _>("no route"));
    assert_eq!(reasons(), pair("no route"), "a probe, by name");
}

#[test]
fn a_classifier_may_give_the_reason() {
    let (brama, _clock) = manager();
    let db = circuit(&brama);
    let busy = |result: &Result<u16, ()>| match result {
        Ok(503) => Outcome::Failure.because("busy"),
        _ => Outcome::Success.into(),
    };
    assert_eq!(db.call_classified(busy, || Ok(503)), Ok(503));
    assert_eq!(brama.call_classified("db", busy, || Ok(503)), Ok(503));
    let status = db.status().expect("registered");
    assert_eq!(status.last_failure_reason.as_deref(), Some("busy"));
    assert_eq!(status.failure_count, 2);
}

/// The counts of the rule that opened the circuit last: calls, failures, slow calls.
fn evidence(connection: &Connection) -> (Option<u64>, Option<u64>, Option<u64>) {
    let status = status(connection);
    (
        status.opened_calls,
        status.opened_failures,
        status.opened_slow,
    )
}

fn explained(connection: &Connection) -> String {
    match connection.acquire() {
        Err(Error::Rejected(rejected)) => connection.explain(&rejected),
        other => panic!("{other:?}"),
    }
}

/// Mutation: `an-opening-without-its-evidence`.
#[test]
fn what_a_rule_had_counted_is_in_the_message_and_stays_when_the_circuit_has_closed() {
    let (brama, clock) = manager();
    let options = ConnectionOptions::new()
        .max_attempts(3)
        .failure_rate(0.5)
        .slow_call_rate(0.5)
        .slow_call_duration(ms(100))
        .minimum_calls(4)
        .expiry(ms(5_000));
    let db = brama.register("db", options).expect("a new name");
    assert_eq!(evidence(&db), (None, None, None));
    let recover = || {
        clock.advance(ms(5_000));
        db.success().expect("registered");
        assert_eq!(db.state(), State::Closed);
    };

    fail(&db, 2);
    db.failure("timeout").expect("registered");
    let said = "(consecutive, 3 failures in a row: timeout), retry after 5s";
    assert!(explained(&db).ends_with(said), "{}", explained(&db));
    db.failure("late").expect("registered");
    assert_eq!(evidence(&db), (None, Some(3), None), "while it is open");
    recover();
    assert_eq!(evidence(&db), (None, Some(3), None));

    for _ in 0..2 {
        db.success().expect("registered");
        fail(&db, 1);
    }
    assert!(explained(&db).contains("(failure_rate, 2 of 4 calls failed), "));
    recover();
    fail(&db, 1);
    assert_eq!(evidence(&db), (Some(4), Some(2), Some(0)));
    db.reset_circuit().expect("registered");
    assert_eq!(evidence(&db), (Some(4), Some(2), Some(0)), "it stays so");

    for _ in 0..2 {
        db.success().expect("registered");
        db.success_in(ms(100)).expect("registered");
    }
    assert!(explained(&db).contains("(slow_call_rate, 2 of 4 calls were slow), "));
    assert_eq!(evidence(&db), (Some(4), Some(0), Some(2)));
    clock.advance(ms(5_000));
    db.failure("still slow").expect("registered");
    assert_eq!(evidence(&db), (None, None, None), "a probe opened it");
    assert!(explained(&db).contains("(probe: still slow), "));
    db.reset_circuit().expect("registered");
    fail(&db, 3);
    db.open_circuit("by hand", None).expect("registered");
    assert_eq!(evidence(&db), (None, None, None), "a hand prolonged it");

    let options = ConnectionOptions::new().max_attempts(1).window(ms(1_000));
    let windowed = brama.register("windowed", options).expect("a new name");
    fail(&windowed, 1);
    assert!(explained(&windowed).contains("(window, 1 failure within the window), "));
}

#[test]
fn a_rejection_is_not_explained_by_an_opening_for_another_cause() {
    let (brama, _clock) = manager();
    let db = circuit(&brama);
    fail(&db, 5);
    let Err(Error::Rejected(rejected)) = db.acquire() else {
        panic!("open");
    };
    assert_ne!(db.explain(&rejected), rejected.to_string());
    db.open_circuit("maintenance", None).expect("registered");
    assert_eq!(db.explain(&rejected), rejected.to_string());
    brama.unregister("db").expect("registered");
    assert_eq!(db.explain(&rejected), rejected.to_string());
}

/// Mutation: `evidence-that-goes-with-its-window`.
#[test]
fn another_window_leaves_what_opened_the_circuit() {
    let (brama, _clock) = manager();
    let options = ConnectionOptions::new().failure_rate(0.5).minimum_calls(2);
    let db = brama.register("db", options).expect("a new name");
    fail(&db, 2);
    let other = ConnectionOptions::new().rate_calls(10);
    db.configure(other).expect("valid");
    assert_eq!(evidence(&db), (Some(2), Some(2), Some(0)));
    assert_eq!(status(&db).window_calls, Some(2));
    db.close_circuit().expect("registered");
    assert_eq!(evidence(&db), (Some(2), Some(2), Some(0)));
    assert_eq!(status(&db).window_calls, Some(0));
}
