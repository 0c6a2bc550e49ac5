//! Disabled circuits, and how they are enabled again.

use super::*;

#[test]
fn a_disabled_circuit_is_closed_and_lets_every_call_pass() {
    for is_held in [false, true] {
        let (_brama, clock, db) = opened_then(Mode::Disabled);
        if is_held {
            db.open_circuit(None, OpenFor::Never).expect("registered");
        }
        for _ in 0..3 {
            assert!(db.available());
            assert_eq!(db.state(), State::Closed);
            let status = status(&db);
            assert_eq!((status.state, status.mode), (State::Closed, Mode::Disabled));
            assert_eq!(
                (status.retry_after, status.expiry),
                (None, Some(ms(60_000)))
            );
            let permit = db.acquire().expect("every call passes");
            assert!(!permit.is_probe());
            permit.success().expect("never stale");
            assert_eq!(db.call(|| Ok::<_, ()>(7)), Ok(7));
            clock.advance(ms(30_000));
        }
        assert_eq!(status(&db).total_rejections, 0);
    }
}

#[test]
fn a_disabled_circuits_state_is_closed_in_counts_and_snapshots() {
    let (brama, _clock, db) = opened_then(Mode::Disabled);
    let counts = brama.state_counts();
    assert_eq!((counts.closed, counts.open), (1, 0));
    assert_eq!(brama.snapshot()[0].state, State::Closed);
    assert_eq!(brama.state("db"), State::Closed);
    assert!(brama.available("db"));
    assert!(brama.acquire("db").is_ok());
    turn(&db, Mode::Shadow);
    assert_eq!(brama.state_counts().closed, 1, "it was reset");
}

#[test]
fn reports_to_a_disabled_circuit_change_totals_only_and_are_never_stale() {
    let (brama, _clock) = manager_with(|b| b.max_attempts(2).mode(Mode::Disabled));
    let db = circuit(&brama);
    let old = db.acquire().expect("closed");
    for n in 0..9 {
        assert_eq!(db.failure(None), Ok(0), "none counts");
        assert_eq!(db.failure_for("HTTP 429", ms(9_000)), Ok(0), "{n}");
        db.success().expect("registered");
    }
    db.open_circuit(None, None).expect("registered");
    db.close_circuit().expect("registered");
    old.failure("late").expect("never stale");
    let permit = db.acquire().expect("closed");
    permit.failure("timeout").expect("never stale");
    db.half_open_circuit().expect("registered");
    db.acquire()
        .expect("passes")
        .failure(None)
        .expect("never stale");
    db.acquire().expect("passes").ignore().expect("never stale");
    db.acquire().expect("passes").ignore().expect("never stale");
    drop(db.acquire().expect("passes"));
    let status = status(&db);
    assert_eq!((status.total_failures, status.total_successes), (21, 9));
    assert_eq!((status.total_ignored, status.failure_count), (3, 0));
    assert_eq!((status.state, status.trips), (State::Closed, 1));
    assert_eq!(status.last_failure_reason.as_deref(), Some("timeout"));
    assert!(status.last_failure_time.is_some() && status.last_success_time.is_some());
}

#[test]
fn a_probes_report_frees_its_place_when_the_circuit_was_disabled_meanwhile() {
    for outcome in [Outcome::Success, Outcome::Failure, Outcome::Ignored] {
        let (brama, _clock) = manager_with(|b| b.half_open_max_calls(2));
        let db = circuit(&brama);
        db.half_open_circuit().expect("registered");
        let probe = db.acquire().expect("half-open");
        assert!(probe.is_probe());
        turn(&db, Mode::Disabled);
        assert_eq!(status(&db).probes_out, 1);
        match outcome {
            Outcome::Success => probe.success(),
            Outcome::Failure => probe.failure(None).map(drop),
            _ => probe.ignore(),
        }
        .expect("never stale");
        assert_eq!(status(&db).probes_out, 0, "{outcome:?}");
        assert_eq!(db.state(), State::Closed);
    }
}

#[test]
fn nothing_expires_while_a_circuit_is_disabled() {
    let (brama, clock, db) = opened_then(Mode::Disabled);
    let queue = brama
        .subscribe_queue(EventFilter::new(), 1_024)
        .expect("there");
    clock.advance(ms(90_000));
    brama.poll();
    assert!(db.available());
    assert!(db.acquire().is_ok());
    assert_eq!(db.state(), State::Closed);
    brama.poll();
    assert_eq!(told(&queue), []);
}

#[test]
fn leaving_disabled_resets() {
    for next in [Mode::Normal, Mode::Shadow] {
        for by in [0, 1, 2] {
            let (brama, clock, db) = opened_then(Mode::Disabled);
            let queue = brama
                .subscribe_queue(EventFilter::new(), 1_024)
                .expect("there");
            clock.advance(ms(by * 40_000));
            db.failure(None).expect("registered");
            brama.poll();
            told(&queue);
            turn(&db, next);
            let status = status(&db);
            assert_eq!((status.state, status.mode), (State::Closed, next));
            assert_eq!((status.failure_count, status.trips), (0, 0));
            assert_eq!(status.total_failures, 6, "totals stay");
            brama.poll();
            let events = all_of(&queue);
            let kinds: Vec<_> = events.iter().map(|e| e.event_type().as_str()).collect();
            assert_eq!(kinds, ["state_change", "circuit_reset", "notice"]);
            assert!(!events.iter().any(Event::is_deferred), "no hand did");
            assert_eq!(events[2].mode(), next);
            assert_eq!(events[1].new_state(), State::Closed);
        }
    }
}

#[test]
fn leaving_disabled_resets_a_closed_circuit_too() {
    let (brama, _clock) = manager();
    let db = circuit(&brama);
    db.open_circuit(None, None).expect("registered");
    db.close_circuit().expect("registered");
    fail(&db, 3);
    let permit = db.acquire().expect("closed");
    turn(&db, Mode::Disabled);
    let before = status(&db);
    assert_eq!((before.failure_count, before.trips), (3, 1), "they wait");
    turn(&db, Mode::Normal);
    let after = status(&db);
    assert_eq!((after.failure_count, after.trips), (0, 0));
    permit.success().expect("its permits stay good");
}

#[test]
fn a_probe_from_before_is_stale_when_the_mode_has_returned() {
    let (brama, _clock) = manager();
    let db = circuit(&brama);
    db.half_open_circuit().expect("registered");
    let probe = db.acquire().expect("half-open");
    turn(&db, Mode::Disabled);
    turn(&db, Mode::Normal);
    assert_eq!(db.state(), State::Closed);
    assert_eq!(probe.failure(None), Err(Error::Stale));
}

#[test]
fn what_a_hand_holds_open_stays_when_a_circuit_is_enabled() {
    let long_ago = |db: &Connection| db.open_circuit("maintenance", ms(50_000)).map(drop);
    let for_ever = |db: &Connection| db.open_circuit("maintenance", OpenFor::Never).map(drop);
    for (is_before, hold) in [(true, &long_ago as &dyn Fn(&_) -> _), (true, &for_ever)]
        .into_iter()
        .flat_map(|(_, hold)| [(true, hold), (false, hold)])
    {
        for has_opened in [false, true] {
            let (brama, clock) = manager();
            let db = circuit(&brama);
            if has_opened {
                fail(&db, 5);
            }
            if is_before {
                hold(&db).expect("registered");
            }
            turn(&db, Mode::Disabled);
            if !is_before {
                hold(&db).expect("registered");
            }
            clock.advance(ms(1_000));
            assert!(db.available());
            turn(&db, Mode::Normal);
            assert_eq!(db.state(), State::Open);
            assert!(!db.available());
            let status = status(&db);
            assert_eq!(status.cause, Some(Cause::Manual));
            assert_eq!(status.reason.as_deref(), Some("maintenance"));
            let rejected = db.acquire().expect_err("held open");
            assert!(matches!(rejected, Error::Rejected(_)));
            brama.poll();
        }
    }
}

/// The driver forgets a deadline that passes while the circuit is disabled.
#[test]
fn a_deadline_that_passed_meanwhile_is_due_when_a_circuit_is_enabled() {
    for waited in [10, 100] {
        let (brama, clock) = manager();
        let db = circuit(&brama);
        db.open_circuit(None, ms(50)).expect("registered");
        let queue = brama
            .subscribe_queue(EventFilter::new(), 1_024)
            .expect("there");
        turn(&db, Mode::Disabled);
        brama.poll();
        clock.advance(ms(waited));
        brama.poll();
        turn(&db, Mode::Normal);
        brama.poll();
        clock.advance(ms(50));
        told(&queue);
        if waited < 50 {
            assert!(db.available(), "{waited}");
        }
        turn(&db, Mode::Normal);
        brama.poll();
        assert_eq!(db.state(), State::HalfOpen);
    }
}

#[test]
fn the_driver_finds_a_deadline_again_when_a_circuit_is_enabled() {
    let (brama, clock) = manager();
    let db = circuit(&brama);
    let queue = brama
        .subscribe_queue(EventFilter::new(), 1_024)
        .expect("there");
    turn(&db, Mode::Disabled);
    db.open_circuit(None, ms(50)).expect("registered");
    brama.poll();
    turn(&db, Mode::Normal);
    brama.poll();
    told(&queue);
    clock.advance(ms(50));
    // No call asks for the state, so the driver reports the expiry.
    brama.poll();
    let kinds: Vec<_> = told(&queue).into_iter().map(|(kind, _)| kind).collect();
    assert_eq!(kinds, ["expiry", "state_change", "circuit_half_opened"]);
}

#[test]
fn what_a_hand_made_half_open_meanwhile_stays_so_and_admits_probes() {
    for was_probing in [false, true] {
        let (brama, _clock) = manager();
        let db = circuit(&brama);
        if was_probing {
            db.half_open_circuit().expect("registered");
        }
        turn(&db, Mode::Disabled);
        db.half_open_circuit().expect("registered");
        assert_eq!(db.state(), State::Closed);
        assert!(!db.acquire().expect("passes").is_probe());
        turn(&db, Mode::Normal);
        assert_eq!(db.state(), State::HalfOpen);
        let probe = db.acquire().expect("half-open");
        assert!(probe.is_probe());
        assert!(db.acquire().is_err(), "one probe");
        probe.success().expect("timely");
        assert_eq!(db.state(), State::Closed);
    }
}

#[test]
fn a_half_open_circuit_that_no_hand_made_meanwhile_is_reset() {
    let (brama, _clock) = manager();
    let db = circuit(&brama);
    db.half_open_circuit().expect("registered");
    turn(&db, Mode::Disabled);
    turn(&db, Mode::Normal);
    assert_eq!(db.state(), State::Closed);
}

#[test]
fn a_hand_that_closes_or_resets_meanwhile_lets_go() {
    for lets_go in [Connection::close_circuit, Connection::reset_circuit] {
        let (brama, _clock) = manager();
        let db = circuit(&brama);
        db.open_circuit(None, OpenFor::Never).expect("registered");
        turn(&db, Mode::Disabled);
        lets_go(&db).expect("registered");
        turn(&db, Mode::Normal);
        assert_eq!(db.state(), State::Closed);
        assert!(db.available());
    }
}

#[test]
fn control_by_hand_of_a_disabled_circuit_says_that_it_takes_effect_later() {
    let (brama, _clock) = manager();
    let db = circuit(&brama);
    turn(&db, Mode::Disabled);
    let queue = brama
        .subscribe_queue(EventFilter::new(), 1_024)
        .expect("there");
    let later = "takes effect when the circuit is enabled again";
    db.open_circuit("maintenance", None).expect("registered");
    db.half_open_circuit().expect("registered");
    db.close_circuit().expect("registered");
    db.reset_circuit().expect("registered");
    brama.poll();
    let events = all_of(&queue);
    let kinds: Vec<_> = events.iter().map(|e| e.event_type().as_str()).collect();
    let moved = "state_change";
    assert_eq!(
        kinds,
        [
            moved,
            "circuit_opened",
            moved,
            "circuit_half_opened",
            moved,
            "circuit_closed",
            "circuit_reset"
        ]
    );
    for event in &events {
        assert!(event.is_deferred(), "{event:?}");
        assert!(event.reason().expect("says so").ends_with(later));
        assert_eq!(event.mode(), Mode::Disabled);
    }
    assert_eq!(
        events[1].reason(),
        Some(format!("maintenance; {later}").as_str())
    );
    turn(&db, Mode::Normal);
    db.open_circuit("maintenance", None).expect("registered");
    brama.poll();
    let now: Vec<_> = all_of(&queue);
    assert!(now.iter().all(|event| !event.is_deferred()));
    assert_eq!(now.last().and_then(Event::reason), Some("maintenance"));
}

#[test]
fn what_was_reported_to_a_disabled_circuit_is_in_no_rate_afterwards() {
    for calls in [None, Some(20)] {
        let (brama, _clock) = manager_with(|b| {
            let b = b.failure_rate(0.5).minimum_calls(10);
            match calls {
                Some(calls) => b.rate_calls(calls),
                None => b,
            }
        });
        let db = circuit(&brama);
        turn(&db, Mode::Disabled);
        for _ in 0..9 {
            db.success().expect("registered");
            db.acquire().expect("passes").success().expect("timely");
            db.failure(None).expect("registered");
        }
        assert_eq!(status(&db).window_calls, None, "none while it is disabled");
        turn(&db, Mode::Normal);
        assert_eq!(status(&db).window_calls, Some(0), "{calls:?}");
        fail(&db, 9);
        assert_eq!(db.state(), State::Closed, "nine reports count");
        fail(&db, 1);
        assert_eq!(db.state(), State::Open);
    }
}

/// Mutation: `disabling-what-is-due`.
#[test]
fn an_expiry_that_was_due_before_happens_before_a_circuit_is_disabled() {
    let (brama, clock) = manager();
    let db = circuit(&brama);
    let queue = brama.subscribe_queue(EventFilter::new(), 1_024);
    let queue = queue.expect("there");
    db.open_circuit(None, ms(50)).expect("registered");
    brama.poll();
    told(&queue);
    clock.advance(ms(50));
    turn(&db, Mode::Disabled);
    brama.poll();
    let kinds: Vec<_> = told(&queue).into_iter().map(|(kind, _)| kind).collect();
    let half_opened = ["expiry", "state_change", "circuit_half_opened"];
    assert_eq!(kinds[..3], half_opened);
    assert_eq!(kinds[3], "notice");
}

/// A circuit that has begun a ramp of a second and was then given `mode`, and a permit of that
/// ramp.
fn ramping_then(mode: Mode) -> (Brama, ManualClock, Connection, Permit<'static>) {
    let (brama, clock) = manager_with(|b| b.ramp(ms(1_000)).ramp_start(0.5));
    let db = circuit(&brama);
    db.half_open_circuit().expect("registered");
    db.success().expect("registered");
    let permit = (0..1_000).find_map(|_| db.acquire_owned().ok());
    assert_eq!(status(&db).ramp_share, Some(0.5));
    turn(&db, mode);
    (brama, clock, db, permit.expect("a share passes"))
}

#[test]
fn a_disabled_circuit_shows_no_ramp_and_lets_every_call_pass() {
    let (_brama, clock, db, permit) = ramping_then(Mode::Disabled);
    permit.failure(None).expect("never stale");
    for _ in 0..3 {
        let shown = status(&db);
        assert_eq!((shown.state, shown.ramp_share), (State::Closed, None));
        assert_eq!(shown.failure_count, 0);
        assert!((0..50).all(|_| db.acquire().is_ok()));
        clock.advance(ms(700));
    }
}

#[test]
fn enabling_a_circuit_ends_its_ramp() {
    for passed in [0, 700, 1_400] {
        let (_brama, clock, db, permit) = ramping_then(Mode::Disabled);
        clock.advance(ms(passed));
        turn(&db, Mode::Normal);
        let shown = status(&db);
        assert_eq!((shown.state, shown.trips), (State::Closed, 0));
        assert_eq!(shown.time_in_state, ms(0), "{passed}");
        assert_eq!(permit.failure(None), Err(Error::Stale));
    }
}

#[test]
fn a_hand_holds_half_open_what_ramps_up_meanwhile() {
    let (_brama, clock, db, permit) = ramping_then(Mode::Disabled);
    clock.advance(ms(300));
    db.half_open_circuit().expect("registered");
    clock.advance(ms(5_000));
    assert_eq!(status(&db).time_in_state, ms(5_000), "since the hand");
    turn(&db, Mode::Normal);
    let shown = status(&db);
    assert_eq!((shown.state, shown.ramp_share), (State::HalfOpen, None));
    assert_eq!(permit.failure(None), Err(Error::Stale));
    assert!(db.acquire().expect("a place").is_probe());
}
