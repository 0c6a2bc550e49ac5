//! Saves beside modes, initial states and ramps.

use brama::{Config, ConnectionOptions, InitialState, Mode, OpenFor, State};

use super::restored::{moved, registered, status};
use crate::common::{fail, manager, manager_with, ms};

#[test]
fn what_was_saved_takes_the_place_of_the_state_that_a_circuit_begins_in() {
    let (old, _clock) = manager();
    fail(&registered(&old), 5);
    for waits in [true, false] {
        let (new, clock) = manager();
        clock.advance(ms(10));
        let options = ConnectionOptions::new().initial_state(InitialState::HeldOpen);
        if waits {
            moved(&old, &new);
        }
        let db = new.register("db", options).expect("a new name");
        if !waits {
            assert_eq!(moved(&old, &new), 1, "it has not changed since");
        }
        let now = status(&db);
        assert_eq!((now.state, now.trips), (State::Open, 1), "{waits}");
        assert_eq!(now.expiry, Some(ms(60_000)));
    }
}

#[test]
fn a_disabled_circuit_is_saved_as_what_it_would_be_if_it_were_enabled() {
    let saved = |by_hand| {
        let (old, _clock) = manager();
        let db = registered(&old);
        match by_hand {
            true => db
                .open_circuit("maintenance", OpenFor::Never)
                .expect("registered"),
            false => fail(&db, 5),
        }
        old.configure(Config::new().mode(Mode::Disabled))
            .expect("valid");
        assert_eq!(db.state(), State::Closed);
        let (new, _clock) = manager();
        let db = registered(&new);
        assert_eq!(moved(&old, &new), 1);
        db.state()
    };
    assert_eq!((saved(true), saved(false)), (State::Open, State::Closed));
}

#[test]
fn a_disabled_circuits_opening_is_saved_with_how_long_it_was_given() {
    for length in [7, 90_000] {
        let (old, clock) = manager_with(|builder| builder.mode(Mode::Disabled));
        let db = registered(&old);
        db.open_circuit(None, ms(length)).expect("registered");
        clock.advance(ms(2));
        let (new, its_clock) = manager();
        its_clock.advance(ms(2));
        let db = registered(&new);
        assert_eq!(moved(&old, &new), 1);
        let now = status(&db);
        assert_eq!(now.state, State::Open);
        assert_eq!(
            (now.expiry, now.retry_after),
            (Some(ms(length)), Some(ms(length - 2)))
        );
    }
}

#[test]
fn a_disabled_circuit_is_saved_without_what_a_reset_forgets() {
    for failures in [3, 5] {
        let (old, _clock) = manager();
        let db = registered(&old);
        fail(&db, failures);
        db.configure(ConnectionOptions::new().mode(Mode::Disabled))
            .expect("valid");
        let (new, _clock) = manager();
        let db = registered(&new);
        assert_eq!(moved(&old, &new), 1);
        let now = status(&db);
        assert_eq!((now.state, now.trips), (State::Closed, 0), "{failures}");
        assert_eq!(
            (now.failure_count, now.total_failures),
            (0, failures.into())
        );
    }
}

#[test]
fn a_restored_opening_takes_effect_when_the_circuit_is_enabled() {
    for by_hand in [true, false] {
        let (old, _clock) = manager();
        let db = registered(&old);
        match by_hand {
            true => db.open_circuit(None, OpenFor::Never).expect("registered"),
            false => fail(&db, 5),
        }
        let (new, _clock) = manager_with(|builder| builder.mode(Mode::Disabled));
        let db = registered(&new);
        assert_eq!(moved(&old, &new), 1);
        assert_eq!(db.state(), State::Closed);
        new.configure(Config::new().mode(Mode::Normal))
            .expect("valid");
        assert_eq!(db.state(), State::Open, "a restore is a transition by hand");
    }
}

#[test]
fn a_ramp_comes_back_probing() {
    let (old, _clock) = manager_with(|builder| builder.ramp(ms(1_000)));
    let db = registered(&old);
    db.half_open_circuit().expect("registered");
    db.acquire().expect("a probe").success().expect("in time");
    assert!(status(&db).ramp_share.is_some());
    let (new, _clock) = manager();
    let db = registered(&new);
    assert_eq!(moved(&old, &new), 1);
    assert_eq!(
        (db.state(), status(&db).ramp_share),
        (State::HalfOpen, None)
    );
    assert!(db.acquire().expect("a place").is_probe());
}

#[test]
fn a_restore_ends_a_ramp() {
    let (new, _clock) = manager_with(|builder| builder.ramp(ms(1_000)));
    let db = registered(&new);
    db.half_open_circuit().expect("registered");
    db.acquire().expect("a probe").success().expect("in time");
    let permit = (0..1_000).find_map(|_| db.acquire().ok()).expect("a share");
    let (late, its_clock) = manager();
    its_clock.advance(ms(10));
    registered(&late);
    assert_eq!(moved(&late, &new), 1);
    assert_eq!(db.state(), State::Closed);
    assert_eq!(permit.failure(None), Err(brama::Error::Stale));
    assert!(db.acquire().is_ok());
}
