//! Saves of disabled circuits and of ramps.

use brama::{ConnectionOptions, Mode, State};

use super::restored::{moved, registered, status};
use crate::common::{fail, manager, manager_with, ms};

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
