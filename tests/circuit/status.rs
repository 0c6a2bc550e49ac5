//! Status, snapshots and counts. Time is a manual clock, except in one test.

use crate::common::{START, fail, manager, ms};
use brama::{Brama, ConnectionOptions, OpenFor, State};

#[test]
fn before_the_first_report_there_is_no_rate_and_no_time() {
    let (brama, clock) = manager();
    let options = ConnectionOptions::new().metadata([("k", "v")]);
    brama.register(("s", "db"), options).expect("a new name");
    clock.advance(ms(50));
    let status = brama.status(("s", "db")).expect("registered");
    assert_eq!(
        (&*status.identifier, status.scope.as_deref()),
        ("db", Some("s"))
    );
    assert_eq!(
        (status.state, status.failure_count, status.trips),
        (State::Closed, 0, 0)
    );
    assert_eq!((status.total_successes, status.total_failures), (0, 0));
    assert_eq!(status.total_rejections, 0);
    assert_eq!(status.success_rate, None);
    assert_eq!(
        (status.last_success_time, status.last_failure_time),
        (None, None)
    );
    assert_eq!((status.opened_at, status.last_state_change), (None, None));
    assert_eq!(status.time_in_state, ms(50), "since its registration");
    assert_eq!(
        (status.retry_after, status.expiry),
        (None, Some(ms(60_000)))
    );
    assert_eq!(status.metadata["k"], "v");
}

#[test]
fn the_books_of_an_outage() {
    let (brama, clock) = manager();
    let db = brama.register("db", None).expect("a new name");
    for _ in 0..3 {
        db.success().expect("registered");
    }
    clock.advance(ms(1_000));
    fail(&db, 5);
    clock.advance(ms(500));
    for _ in 0..4 {
        assert!(db.acquire().is_err());
    }
    let status = db.status().expect("registered");
    assert_eq!(
        (status.state, status.failure_count, status.trips),
        (State::Open, 5, 1)
    );
    assert_eq!((status.total_successes, status.total_failures), (3, 5));
    assert_eq!(status.total_rejections, 4);
    assert_eq!(status.success_rate, Some(0.375));
    assert_eq!(status.last_success_time, Some(START));
    assert_eq!(status.last_failure_time, Some(START + 1_000));
    assert_eq!(status.opened_at, Some(START + 1_000));
    assert_eq!(status.last_state_change, Some(START + 1_000));
    assert_eq!(status.time_in_state, ms(500));
    assert_eq!(status.expiry, Some(ms(60_000)));
    assert_eq!(status.retry_after, Some(ms(59_500)));

    clock.advance(ms(59_500 + 250));
    let status = db.status().expect("registered");
    assert_eq!((status.state, status.retry_after), (State::HalfOpen, None));
    assert_eq!(status.opened_at, Some(START + 1_000), "the last opening");
    db.success().expect("registered");
    clock.advance(ms(10));
    let status = db.status().expect("registered");
    assert_eq!((status.state, status.trips), (State::Closed, 0));
    assert_eq!(status.last_state_change, Some(START + 61_250));
    assert_eq!(status.time_in_state, ms(10));
}

/// Uses the system's clocks. Most changes read the coarse clock, which lags behind the exact clock
/// that openings read.
#[test]
fn one_change_has_one_stamp_and_stamps_never_run_backwards() {
    let brama = Brama::builder().build().expect("valid");
    let db = brama.register("db", None).expect("a new name");
    let filter = brama::EventFilter::new().types([
        brama::EventType::StateChange,
        brama::EventType::CircuitOpened,
        brama::EventType::CircuitClosed,
    ]);
    let queue = brama.subscribe_queue(filter, 10_000).expect("valid");
    let mut last = 0;
    for round in 0..1_000 {
        let changes: [fn(&brama::Connection); 2] = [
            |db| db.open_circuit(None, None).expect("registered"),
            |db| db.close_circuit().expect("registered"),
        ];
        for change in changes {
            change(&db);
            let status = db.status().expect("registered");
            let stamp = status.last_state_change.expect("it changed");
            assert!(stamp >= last, "round {round}: {last}, then {stamp}");
            if status.state == State::Open {
                assert_eq!(status.opened_at, Some(stamp), "round {round}");
            }
            let events: Vec<_> = (0..2)
                .map(|_| {
                    queue
                        .next_timeout(ms(60_000))
                        .expect("both are kept events")
                })
                .collect();
            let told: Vec<_> = events.iter().map(|event| event.timestamp()).collect();
            assert_eq!(told, [stamp, stamp], "round {round}: {events:?}");
            last = stamp;
        }
    }
}

#[test]
fn the_current_expiry_is_that_of_this_opening() {
    let (brama, _clock) = manager();
    let db = brama.register("db", None).expect("a new name");
    db.open_circuit(None, ms(1_234)).expect("registered");
    assert_eq!(db.status().expect("registered").expiry, Some(ms(1_234)));
    db.open_circuit(None, OpenFor::Never).expect("registered");
    let status = db.status().expect("registered");
    assert_eq!((status.expiry, status.retry_after), (None, None));
}

#[test]
fn the_snapshot_is_ordered_and_can_be_asked_by_scope() {
    let (brama, _clock) = manager();
    for key in [
        (Some("b"), "x"),
        (None, "z"),
        (Some("a"), "y"),
        (Some("a"), "x"),
    ] {
        brama.register(key, None).expect("a new name");
    }
    let names = |statuses: Vec<brama::Status>| {
        let name = |s: brama::Status| format!("{}/{}", s.scope.unwrap_or_default(), s.identifier);
        statuses.into_iter().map(name).collect::<Vec<_>>()
    };
    assert_eq!(names(brama.snapshot()), ["/z", "a/x", "a/y", "b/x"]);
    assert_eq!(names(brama.snapshot_of_scope("a")), ["a/x", "a/y"]);
    assert_eq!(names(brama.snapshot_of_scope(None)), ["/z"]);
    assert!(brama.snapshot_of_scope("c").is_empty());
}

#[test]
fn states_are_counted_as_of_now_and_reset_all_closes_them() {
    let (brama, clock) = manager();
    for n in 0..9 {
        let db = brama.register(&format!("{n}"), None).expect("a new name");
        match n % 3 {
            0 => fail(&db, 4),
            1 => db.open_circuit(None, OpenFor::Never).expect("registered"),
            _ => fail(&db, 5),
        }
    }
    clock.advance(ms(60_000));
    let counts = brama.state_counts();
    assert_eq!((counts.closed, counts.open, counts.half_open), (3, 3, 3));
    brama.reset_all();
    assert_eq!(brama.state_counts().closed, 9);
    for status in brama.snapshot() {
        assert_eq!((status.failure_count, status.trips), (0, 0));
    }
}
