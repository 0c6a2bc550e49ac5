//! Circuits that begin open.

use brama::InitialState;

use super::*;

#[test]
fn a_circuit_may_begin_open() {
    let (brama, clock) = manager();
    let queue = brama
        .subscribe_queue(EventFilter::new(), 1_024)
        .expect("there");
    for (name, state) in [
        ("timed", InitialState::Open(ms(50))),
        ("held", InitialState::HeldOpen),
    ] {
        let options = ConnectionOptions::new().initial_state(state).window(ms(9));
        let db = brama.register(name, options).expect("a new name");
        assert!(!db.available());
        assert!(db.acquire().is_err());
        let status = status(&db);
        assert_eq!((status.state, status.trips), (State::Open, 0));
        assert_eq!((status.cause, status.reason), (Some(Cause::Manual), None));
        assert_eq!(status.failure_count, 0);
        assert!(status.opened_at.is_some() && status.last_state_change.is_some());
        assert_eq!(status.opened_at, status.last_state_change);
        let lasts = (name == "timed").then_some(ms(50));
        assert_eq!((status.expiry, status.retry_after), (lasts, lasts));
        brama.poll();
        let events = all_of(&queue);
        let kinds: Vec<_> = events.iter().map(|e| e.event_type().as_str()).collect();
        assert_eq!(
            kinds[..4],
            [
                "registration",
                "connection_registered",
                "state_change",
                "circuit_opened"
            ]
        );
        assert_eq!(events[1].new_state(), State::Closed);
        assert_eq!(
            (events[3].previous_state(), events[3].new_state()),
            (State::Closed, State::Open)
        );
        assert_eq!(
            (events[3].cause(), events[3].expiry()),
            (Some(Cause::Manual), lasts)
        );
    }
    clock.advance(ms(50));
    brama.poll();
    let kinds: Vec<_> = told(&queue).into_iter().map(|(kind, _)| kind).collect();
    assert_eq!(kinds, ["expiry", "state_change", "circuit_half_opened"]);
    assert_eq!(brama.state("timed"), State::HalfOpen);
    assert_eq!(brama.state("held"), State::Open);
    brama.success("timed").expect("registered");
    fail(&brama.connection("timed").expect("there"), 5);
    assert_eq!(brama.status("timed").expect("there").trips, 1, "its first");
}

#[test]
fn an_initial_state_is_for_a_registration_only() {
    let (brama, _clock) = manager_with(|b| b.auto_register(true));
    let db = circuit(&brama);
    for state in [InitialState::Closed, InitialState::HeldOpen] {
        let options = ConnectionOptions::new()
            .initial_state(state)
            .max_attempts(9);
        for refused in [
            db.configure(options.clone()),
            brama.configure_connection("db", options.clone()),
            brama.configure_connection("unknown", options),
        ] {
            let text = refused.expect_err("registered").to_string();
            assert!(text.contains("initial_state"), "{text}");
        }
    }
    assert_eq!(
        status(&db).settings.max_attempts(),
        Some(5),
        "nothing changed"
    );
    assert_eq!(brama.snapshot().len(), 1);
    let open = ConnectionOptions::new().initial_state(InitialState::HeldOpen);
    let found = brama.get_or_register("db", open.clone()).expect("there");
    assert_eq!(found.state(), State::Closed, "it exists");
    let made = brama.get_or_register("new", open).expect("made");
    assert_eq!(made.state(), State::Open);
    let short = InitialState::Open(std::time::Duration::from_micros(999));
    let short = ConnectionOptions::new().initial_state(short);
    let refused = brama.register("short", short).expect_err("less than 1 ms");
    assert!(refused.to_string().contains("initial_state"), "{refused}");
}

#[test]
fn a_disabled_circuit_that_is_born_open_stays_so_when_it_is_enabled() {
    let (brama, _clock) = manager_with(|b| b.mode(Mode::Disabled));
    let queue = brama
        .subscribe_queue(EventFilter::new(), 1_024)
        .expect("there");
    let options = ConnectionOptions::new().initial_state(InitialState::HeldOpen);
    let db = brama.register("db", options).expect("a new name");
    assert!(db.available() && db.acquire().is_ok());
    brama.poll();
    assert!(all_of(&queue).last().expect("told").is_deferred());
    turn(&db, Mode::Normal);
    assert_eq!(db.state(), State::Open);
}
