//! Circuits in shadow mode, which reject nothing.

use std::future::Future;

use super::*;

#[test]
fn a_shadow_opens_and_lets_the_calls_pass_that_it_would_reject() {
    let (_brama, clock, db) = opened_then(Mode::Shadow);
    assert_eq!(db.state(), State::Open);
    assert!(db.available());
    for n in 1..=3 {
        let permit = db.acquire().expect("a shadow rejects nothing");
        assert!(!permit.is_probe());
        permit.failure(None).expect("never stale");
        let status = status(&db);
        assert_eq!((status.would_reject, status.total_rejections), (n, 0));
        assert_eq!((status.mode, status.total_failures), (Mode::Shadow, 5 + n));
        assert_eq!((status.failure_count, status.trips), (5, 1), "totals only");
    }
    clock.advance(ms(60_000));
    assert_eq!(db.state(), State::HalfOpen, "time goes on");
    let probe = db.acquire().expect("half-open");
    assert!(probe.is_probe());
    let beside = db.acquire().expect("a shadow rejects nothing");
    assert_eq!((status(&db).would_reject, status(&db).probes_out), (4, 1));
    probe.success().expect("timely");
    assert_eq!(db.state(), State::Closed);
    beside.failure(None).expect("never stale");
    assert_eq!(status(&db).failure_count, 0);
    fail(&db, 5);
    assert_eq!(db.state(), State::Open, "reports count as ever");
}

#[test]
fn what_a_shadow_let_pass_is_never_stale_and_counts_in_no_rate() {
    let rules = |b: brama::Builder| b.failure_rate(0.5).minimum_calls(10).mode(Mode::Shadow);
    let (brama, _clock) = manager_with(rules);
    let db = circuit(&brama);
    db.open_circuit(None, None).expect("registered");
    let permits: Vec<_> = (0..20).map(|_| db.acquire().expect("passes")).collect();
    db.close_circuit().expect("registered");
    for (n, permit) in permits.into_iter().enumerate() {
        match n % 5 {
            0 => permit.success().expect("never stale"),
            1 => permit.ignore().expect("never stale"),
            2 | 3 => drop(permit),
            _ => drop(permit.failure(None).expect("never stale")),
        }
    }
    let status = status(&db);
    assert_eq!((status.total_successes, status.total_failures), (4, 4));
    assert_eq!((status.total_ignored, status.window_calls), (12, Some(0)));
    assert_eq!((status.state, status.failure_count), (State::Closed, 0));
}

#[test]
fn a_panic_in_a_call_that_a_shadow_let_pass_is_a_failure_in_the_totals() {
    let (_brama, _clock, db) = opened_then(Mode::Shadow);
    let caught = std::panic::catch_unwind(|| {
        let _permit = db.acquire().expect("passes");
        panic!("in the call");
    });
    assert!(caught.is_err());
    let caught = std::panic::catch_unwind(|| db.call(|| -> Result<(), ()> { panic!("again") }));
    assert!(caught.is_err());
    assert_eq!(
        (status(&db).total_failures, status(&db).failure_count),
        (7, 5)
    );
}

#[test]
fn permits_by_name_and_owned_ones_of_a_shadow_count_in_totals_only() {
    let (brama, _clock, db) = opened_then(Mode::Shadow);
    brama
        .acquire("db")
        .expect("passes")
        .success()
        .expect("there");
    let owned = db.acquire_owned().expect("passes");
    drop(db);
    owned.failure("late").expect("never stale");
    let by_name = brama.acquire("db").expect("passes");
    by_name.failure(None).expect("never stale");
    let status = brama.status("db").expect("registered");
    assert_eq!((status.total_successes, status.total_failures), (1, 7));
    assert_eq!((status.would_reject, status.state), (3, State::Open));
}

#[test]
fn the_call_of_a_shadow_that_would_be_rejected_runs_and_so_do_nested_ones() {
    let (_brama, clock, db) = opened_then(Mode::Shadow);
    let nested = || db.call(|| db.call(|| Err::<(), _>("down")).map_err(|_| "inner"));
    assert!(nested().is_err());
    assert_eq!(
        (status(&db).total_failures, status(&db).would_reject),
        (7, 2)
    );
    clock.advance(ms(60_000));
    let rode = db.call(|| db.call(|| Ok::<_, ()>(())).map_err(drop));
    assert!(rode.is_ok(), "within a probe the inner one rides");
    assert_eq!(db.state(), State::Closed);
    assert_eq!(status(&db).would_reject, 2);
}

#[test]
fn a_future_of_a_shadow_that_is_given_up_counts_as_cancelled_in_the_totals() {
    let rules = |b: brama::Builder| b.cancelled_after(ms(10)).mode(Mode::Shadow);
    let (brama, clock) = manager_with(rules);
    let db = circuit(&brama);
    db.open_circuit(None, None).expect("registered");
    for (waits, totals) in [(9, (0, 1)), (10, (1, 1))] {
        let mut call = Box::pin(db.call_async(std::future::pending::<Result<(), ()>>));
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        assert!(call.as_mut().poll(&mut context).is_pending());
        clock.advance(ms(waits));
        drop(call);
        assert_eq!(
            (status(&db).total_failures, status(&db).total_ignored),
            totals
        );
    }
}

#[test]
fn all_events_of_a_shadow_say_so() {
    let (brama, clock) = manager_with(|b| b.mode(Mode::Shadow));
    let queue = brama
        .subscribe_queue(EventFilter::new(), 1_024)
        .expect("there");
    let db = circuit(&brama);
    fail(&db, 5);
    db.acquire().expect("passes").success().expect("there");
    clock.advance(ms(60_000));
    db.acquire().expect("half-open").success().expect("timely");
    brama.poll();
    let events = all_of(&queue);
    let kinds: Vec<_> = events.iter().map(|e| e.event_type().as_str()).collect();
    for kind in [
        "connection_registered",
        "circuit_opened",
        "call_rejected",
        "probe",
        "circuit_closed",
    ] {
        assert!(kinds.contains(&kind), "{kind} of {kinds:?}");
    }
    for event in &events {
        assert!(
            event.is_shadow() && event.mode() == Mode::Shadow,
            "{event:?}"
        );
    }
    turn(&db, Mode::Normal);
    fail(&db, 1);
    brama.poll();
    assert!(!all_of(&queue).iter().any(Event::is_shadow));
}

#[test]
fn a_shadow_that_becomes_normal_rejects_at_once() {
    let (_brama, _clock, db) = opened_then(Mode::Shadow);
    assert!(db.acquire().is_ok());
    turn(&db, Mode::Normal);
    assert_eq!(db.state(), State::Open, "nothing is reset");
    assert!(!db.available());
    assert!(db.acquire().is_err());
    assert_eq!(
        (status(&db).would_reject, status(&db).total_rejections),
        (1, 1)
    );
}

/// A thread that owns a counter of the record rejects by the fast path.
///
/// Mutation: `rejecting-in-shadow`.
#[test]
fn a_thread_that_has_counted_rejects_no_call_either() {
    for mode in [Mode::Shadow, Mode::Disabled] {
        let (brama, _clock) = manager();
        let db = circuit(&brama);
        db.success().expect("registered");
        fail(&db, 5);
        for _ in 0..2 {
            assert!(db.acquire().is_err());
        }
        turn(&db, mode);
        for _ in 0..2 {
            assert!(db.acquire().is_ok(), "{mode}");
        }
        assert_eq!(status(&db).total_rejections, 2);
    }
}
