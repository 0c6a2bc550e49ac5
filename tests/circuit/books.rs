//! Who is registered, settings that change at run time, what the books
//! say, and the removal of what is not used. Time is a manual clock, but in one test.

use crate::common::{START, fail, manager, manager_with, ms};
use brama::{Config, ConnectionOptions, Error, ExpiryStrategy, OpenFor, Settings, State};

fn settings(brama: &brama::Brama, name: &str) -> Settings {
    brama.status(name).expect("registered").settings
}

// ---- 1.3 names ----

#[test]
fn an_unknown_name_is_unavailable_and_not_found() {
    let (brama, _clock) = manager();
    let missing = |error: Error| matches!(error, Error::NotFound(key) if key.identifier == "db");
    assert!(!brama.available("db"));
    assert_eq!(brama.state("db"), State::Unknown);
    assert!(missing(brama.acquire("db").expect_err("unknown")));
    assert!(missing(brama.success("db").expect_err("unknown")));
    assert!(missing(brama.failure("db", None).expect_err("unknown")));
    assert!(missing(brama.status("db").expect_err("unknown")));
    assert!(missing(brama.close_circuit("db").expect_err("unknown")));
    assert!(missing(brama.unregister("db").expect_err("unknown")));
    assert!(brama.snapshot().is_empty());
}

#[test]
fn auto_register_makes_a_connection_at_its_first_use() {
    let (brama, _clock) = manager_with(|b| b.auto_register(true).max_attempts(1));
    assert_eq!(brama.state("db"), State::Unknown, "looking is no use");
    assert!(brama.available("db"));
    assert_eq!(brama.failure(("billing", "db"), None), Ok(1));
    assert_eq!(brama.state(("billing", "db")), State::Open);
    assert_eq!(brama.snapshot().len(), 2);
}

#[test]
fn auto_register_can_be_turned_on_and_off_at_any_time() {
    let (brama, _clock) = manager();
    for turn in 0..3 {
        let [unknown, new] = [format!("unknown_{turn}"), format!("new_{turn}")];
        assert!(!brama.available(&unknown));
        brama
            .configure(Config::new().auto_register(true))
            .expect("valid");
        assert!(brama.available(&new));
        assert_eq!(brama.failure(&unknown, None), Ok(1));
        brama
            .configure(Config::new().auto_register(false))
            .expect("valid");
        let refused = brama.success("another");
        assert!(matches!(refused, Err(Error::NotFound(_))), "{refused:?}");
    }
    assert_eq!(brama.snapshot().len(), 6);
}

#[test]
fn registering_twice_leaves_the_first_as_it_is() {
    let (brama, _clock) = manager();
    let db = brama.register("db", None).expect("a new name");
    fail(&db, 3);
    let options = ConnectionOptions::new().max_attempts(1);
    let again = brama.register("db", options.clone());
    assert!(matches!(again, Err(Error::AlreadyRegistered(_))));
    let same = brama.get_or_register("db", options).expect("found");
    assert_eq!(same.status().expect("registered").failure_count, 3);
    let attempts = db.status().expect("registered").settings.max_attempts();
    assert_eq!(attempts, Some(5));
}

// ---- 1.7 configuration ----

#[test]
fn the_defaults_are_the_documented_ones() {
    let (brama, _clock) = manager();
    brama.register("db", None).expect("a new name");
    let settings = settings(&brama, "db");
    assert_eq!(settings.max_attempts(), Some(5));
    assert_eq!(settings.expiry(), ms(60_000));
    assert_eq!(settings.expiry_strategy(), ExpiryStrategy::Fixed);
    assert_eq!(settings.initial_expiry(), ms(60_000));
    assert_eq!(settings.max_expiry(), ms(600_000));
    assert_eq!(settings.backoff_factor(), 2.0);
    assert_eq!(settings.jitter(), 0.0);
    assert_eq!(settings.window(), None);
    assert_eq!(settings.half_open_max_calls(), 1);
    assert_eq!(settings.half_open_successes(), 1);
    assert_eq!(settings.probe_timeout(), None);
}

#[test]
fn the_nearest_level_wins() {
    let (brama, _clock) = manager_with(|b| b.max_attempts(7).expiry(ms(500)));
    let own = ConnectionOptions::new().max_attempts(2);
    brama.register("own", own).expect("a new name");
    brama.register("global", None).expect("a new name");
    assert_eq!(settings(&brama, "own").max_attempts(), Some(2));
    assert_eq!(settings(&brama, "own").expiry(), ms(500));
    assert_eq!(settings(&brama, "global").max_attempts(), Some(7));
}

#[test]
fn a_connection_follows_the_global_settings_it_did_not_set() {
    let (brama, _clock) = manager();
    let own = ConnectionOptions::new().expiry(ms(100));
    let db = brama.register("db", own).expect("a new name");
    fail(&db, 2);
    let change = Config::new().max_attempts(3).expiry(ms(9)).jitter(0.25);
    brama.configure(change).expect("valid");
    let now = settings(&brama, "db");
    assert_eq!((now.max_attempts(), now.expiry()), (Some(3), ms(100)));
    assert_eq!(now.jitter(), 0.25);
    fail(&db, 1);
    assert_eq!(db.state(), State::Open, "the new limit is in force");
}

#[test]
fn a_configure_call_changes_only_what_it_names() {
    let (brama, _clock) = manager();
    let options = ConnectionOptions::new()
        .max_attempts(2)
        .half_open_max_calls(4)
        .metadata([("team", "billing")]);
    let db = brama.register("db", options).expect("a new name");
    db.configure(ConnectionOptions::new().jitter(0.5))
        .expect("valid");
    brama
        .configure_connection("db", ConnectionOptions::new().expiry(ms(10)))
        .expect("valid");
    let status = db.status().expect("registered");
    assert_eq!(status.settings.max_attempts(), Some(2));
    assert_eq!(status.settings.half_open_max_calls(), 4);
    assert_eq!(status.settings.jitter(), 0.5);
    assert_eq!(status.settings.expiry(), ms(10));
    assert_eq!(status.metadata["team"], "billing");
    db.configure(ConnectionOptions::new().metadata([("tier", "1")]))
        .expect("valid");
    let metadata = db.status().expect("registered").metadata;
    assert_eq!(
        metadata.into_iter().collect::<Vec<_>>(),
        [("tier".into(), "1".into())]
    );
}

#[test]
fn an_invalid_call_changes_nothing_at_all() {
    let (brama, _clock) = manager();
    let db = brama.register("db", None).expect("a new name");
    let before = db.status().expect("registered");
    let half_good = ConnectionOptions::new()
        .max_attempts(2)
        .metadata([("a", "b")])
        .jitter(2.0);
    assert!(matches!(
        db.configure(half_good),
        Err(Error::InvalidConfig(_))
    ));
    let half_good = Config::new().max_attempts(2).backoff_factor(0.5);
    assert!(matches!(
        brama.configure(half_good),
        Err(Error::InvalidConfig(_))
    ));
    assert_eq!(db.status().expect("registered"), before);
}

#[test]
fn a_larger_number_of_probes_is_in_force_at_once() {
    let (brama, _clock) = manager();
    let db = brama.register("db", None).expect("a new name");
    db.half_open_circuit().expect("registered");
    let first = db.acquire().expect("the one place");
    assert!(db.acquire().is_err());
    db.configure(ConnectionOptions::new().half_open_max_calls(3))
        .expect("valid");
    let _more = [db.acquire().expect("second"), db.acquire().expect("third")];
    assert!(db.acquire().is_err());
    first.success().expect("its permit survived");
}

#[test]
fn a_longer_window_finds_the_failures_that_are_inside_it_now() {
    let (brama, clock) = manager_with(|b| b.max_attempts(9).window(ms(100)));
    let db = brama.register("db", None).expect("a new name");
    fail(&db, 2);
    clock.advance(ms(150));
    assert_eq!(db.failure(None), Ok(1));
    db.configure(ConnectionOptions::new().window(ms(1_000)))
        .expect("valid");
    assert_eq!(db.failure(None), Ok(4));
    db.configure(ConnectionOptions::new().max_attempts(1_000))
        .expect("valid, and needs more room");
    assert_eq!(db.failure(None), Ok(5));
    db.configure(ConnectionOptions::new().window(None))
        .expect("valid");
    assert_eq!(db.failure(None), Ok(6), "in a row now");
}

// ---- 1.8 monitoring ----

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

/// By the system's clocks: the coarse one, which most changes read, lags behind the exact one that
/// openings read.
#[test]
fn one_change_has_one_stamp_and_stamps_never_run_backwards() {
    let brama = brama::Brama::builder().build().expect("valid");
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

// ---- 1.9 cleanup ----

/// Lets `ms` pass as a driver would see it: a turn each second.
fn pass(brama: &brama::Brama, clock: &brama::ManualClock, seconds: u64) {
    for _ in 0..seconds {
        clock.advance(ms(1_000));
        brama.poll();
    }
}

/// A service that is quiet over a weekend does not find its circuit gone.
#[test]
fn what_somebody_holds_is_not_removed_and_what_is_only_named_is() {
    let idle = |b: brama::Builder| b.inactive_threshold(ms(60_000)).cleanup_interval(ms(5_000));
    let (brama, clock) = manager_with(idle);
    let held = brama.register("held", None).expect("a new name");
    let other = held.clone();
    brama.register("borrowed", None).expect("a new name");
    let permit = brama.acquire("borrowed").expect("closed");
    brama.register("idle", None).expect("a new name");
    brama.register("busy", None).expect("a new name");
    for _ in 0..80 {
        pass(&brama, &clock, 1);
        brama.success("busy").expect("registered");
    }
    assert_eq!(brama.state("idle"), State::Unknown);
    assert!(brama.register("idle", None).is_ok(), "the name is free");
    assert_eq!(brama.state("busy"), State::Closed);
    drop(held);
    assert!(
        other.call(|| Ok::<_, ()>(())).is_ok(),
        "one handle is enough"
    );
    permit.success().expect("it kept its connection");
    drop(other);
    pass(&brama, &clock, 80);
    assert_eq!(brama.state("held"), State::Unknown);
    assert_eq!(brama.state("borrowed"), State::Unknown);
}

#[test]
fn every_kind_of_activity_keeps_a_connection() {
    type Act = fn(&brama::Brama) -> bool;
    let acts: [(&str, Act); 8] = [
        ("success", |brama| brama.success("db").is_ok()),
        ("failure", |brama| brama.failure("db", None).is_ok()),
        ("admission", |brama| brama.acquire("db").is_ok()),
        ("ignored", |brama| {
            brama
                .acquire("db")
                .is_ok_and(|permit| permit.ignore().is_ok())
        }),
        ("half-open", |brama| brama.half_open_circuit("db").is_ok()),
        ("close", |brama| brama.close_circuit("db").is_ok()),
        ("reset", |brama| brama.reset_circuit("db").is_ok()),
        ("configure", |brama| {
            let same = ConnectionOptions::new();
            brama.configure_connection("db", same).is_ok()
        }),
    ];
    for (name, act) in acts {
        let (brama, clock) =
            manager_with(|b| b.inactive_threshold(ms(30_000)).cleanup_interval(ms(1_000)));
        brama.register("db", None).expect("a new name");
        pass(&brama, &clock, 29);
        assert!(act(&brama), "{name}");
        pass(&brama, &clock, 28);
        assert_ne!(brama.state("db"), State::Unknown, "{name}");
        pass(&brama, &clock, 4);
        assert_eq!(brama.state("db"), State::Unknown, "{name}");
    }
}

/// An opening that lasts longer than the threshold is not forgotten, and a dependency that is
/// down is not called again because of it.
#[test]
fn an_opening_lasts_as_long_as_it_was_given() {
    let (brama, clock) = manager_with(|b| {
        b.inactive_threshold(ms(30_000))
            .cleanup_interval(ms(1_000))
            .expiry(ms(120_000))
    });
    brama.register("db", None).expect("a new name");
    for _ in 0..5 {
        brama.failure("db", None).expect("registered");
    }
    pass(&brama, &clock, 119);
    assert_eq!(brama.state("db"), State::Open);
    assert!(brama.acquire("db").is_err());
    // The expiry is a transition, and thus activity.
    pass(&brama, &clock, 29);
    assert_eq!(brama.state("db"), State::HalfOpen);
    pass(&brama, &clock, 3);
    assert_eq!(brama.state("db"), State::Unknown);
}

#[test]
fn a_probe_that_is_out_keeps_its_connection_until_its_lease_ends() {
    let (brama, clock) = manager_with(|b| {
        b.inactive_threshold(ms(30_000))
            .cleanup_interval(ms(1_000))
            .probe_timeout(ms(90_000))
    });
    let db = brama.register("db", None).expect("a new name");
    db.half_open_circuit().expect("registered");
    // Its caller is gone, and never reports.
    std::mem::forget(db.acquire().expect("a probe"));
    drop(db);
    pass(&brama, &clock, 89);
    assert_eq!(brama.state("db"), State::HalfOpen);
    pass(&brama, &clock, 3);
    assert_eq!(brama.state("db"), State::Unknown);
}

#[test]
fn looking_is_no_activity_and_never_is_never() {
    let (brama, clock) = manager_with(|b| b.inactive_threshold(ms(30_000)));
    brama.register("db", None).expect("a new name");
    for _ in 0..41 {
        pass(&brama, &clock, 1);
        let _ = (brama.available("db"), brama.state("db"));
        let _ = (brama.status("db"), brama.snapshot());
    }
    assert_eq!(brama.state("db"), State::Unknown);

    let (brama, clock) = manager_with(|b| b.inactive_threshold(None));
    brama.register("db", None).expect("a new name");
    clock.advance(ms(1 << 39));
    brama.poll();
    assert_eq!(brama.state("db"), State::Closed);
}

#[test]
fn the_threshold_and_the_interval_can_change_at_run_time() {
    let (brama, clock) = manager_with(|b| b.inactive_threshold(None));
    brama.register("db", None).expect("a new name");
    pass(&brama, &clock, 20);
    let change = Config::new()
        .inactive_threshold(ms(10_000))
        .cleanup_interval(ms(1_000));
    brama.configure(change).expect("valid");
    brama.poll();
    assert_eq!(brama.state("db"), State::Unknown);
}

#[test]
fn an_old_success_does_not_keep_a_connection_at_the_first_sweep() {
    let (brama, clock) = manager_with(|b| b.inactive_threshold(ms(30_000)));
    brama.register("db", None).expect("a new name");
    brama.success("db").expect("registered");
    clock.advance(ms(3_600_000));
    brama.poll();
    assert_eq!(brama.state("db"), State::Unknown);
}

#[test]
fn maintenance_for_ever_does_not_end_because_nobody_calls() {
    let (brama, clock) = manager_with(|b| b.auto_register(true));
    brama.success("db").expect("registered");
    brama
        .open_circuit("db", "maintenance", OpenFor::Never)
        .expect("registered");
    for _ in 0..3 {
        clock.advance(ms(86_400_000));
        brama.poll();
    }
    assert!(!brama.available("db"));
}
