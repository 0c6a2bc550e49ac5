//! Circuits that are saved or restored while their mode is disabled.

use brama::{Brama, Cause, Connection, ConnectionOptions, Mode, OpenFor, State};

use super::restored::{moved, registered, status};
use crate::common::events::queue_of;
use crate::common::{fail, manager, manager_with, ms};

fn turn(brama: &Brama, mode: Mode) {
    let options = ConnectionOptions::new().mode(mode);
    registered(brama).configure(options).expect("registered");
}

/// Managers whose circuit is not closed, each in another way, with the state of the circuit.
fn unhealthy() -> Vec<(Brama, State)> {
    let open = |how: fn(&Connection)| {
        let (brama, _clock) = manager_with(|builder| builder.slow_call_duration(ms(10)));
        how(&registered(&brama));
        (brama, State::Open)
    };
    let mut all = vec![
        open(|db| fail(db, 5)),
        open(|db| drop(db.failure_for("HTTP 503", ms(5_000)))),
        open(|db| {
            db.half_open_circuit().expect("registered");
            fail(db, 1);
        }),
        open(|db| db.open_circuit(None, OpenFor::Never).expect("registered")),
    ];
    let (brama, _clock) = manager();
    registered(&brama).half_open_circuit().expect("registered");
    all.push((brama, State::HalfOpen));
    all
}

/// Mutation: `what-is-restored-while-disabled`.
#[test]
fn what_is_restored_while_disabled_takes_effect_when_the_circuit_is_enabled() {
    for (old, state) in unhealthy() {
        let (new, _clock) = manager();
        turn(&new, Mode::Disabled);
        let queue = queue_of(&new, 100);
        assert_eq!(moved(&old, &new), 1);
        assert_eq!(registered(&new).state(), State::Closed);
        new.poll();
        let events = queue.drain(100);
        assert_eq!(events.len(), 2);
        for event in events {
            assert!(
                event.is_deferred() && event.new_state() == state,
                "{event:?}"
            );
        }
        let before = status(&registered(&old));
        turn(&new, Mode::Normal);
        let after = status(&registered(&new));
        assert_eq!((after.state, after.cause), (state, before.cause));
        assert_eq!(after.trips, before.trips);
    }
}

#[test]
fn what_was_restored_before_is_held_over_disabled() {
    let (old, _clock) = manager();
    fail(&registered(&old), 5);
    let (new, _clock) = manager();
    registered(&new);
    assert_eq!(moved(&old, &new), 1);
    for mode in [Mode::Disabled, Mode::Shadow, Mode::Disabled, Mode::Normal] {
        turn(&new, mode);
    }
    let restored = status(&registered(&new));
    assert_eq!(restored.state, State::Open);
    assert_eq!(restored.cause, Some(Cause::Consecutive));
}

/// A control by hand of a disabled circuit, and the state that it leads to.
type Hand = (fn(&Connection), State);

#[test]
fn what_a_hand_holds_while_disabled_is_saved() {
    let (old, _clock) = manager();
    let ways: [Hand; 4] = [
        (
            |db| db.open_circuit(None, ms(7_000)).expect("there"),
            State::Open,
        ),
        (|db| db.half_open_circuit().expect("there"), State::HalfOpen),
        (
            |db| db.open_circuit(None, OpenFor::Never).expect("there"),
            State::Open,
        ),
        (|db| db.close_circuit().expect("there"), State::Closed),
    ];
    turn(&old, Mode::Disabled);
    for (hand, state) in ways {
        hand(&registered(&old));
        let (new, _clock) = manager();
        assert_eq!(moved(&old, &new), 1);
        let restored = status(&registered(&new));
        assert_eq!(restored.state, state);
        if state == State::Open {
            assert_eq!(restored.cause, Some(Cause::Manual));
            assert!(restored.expiry.is_none_or(|lasts| lasts == ms(7_000)));
        }
    }
}

#[test]
fn what_leaving_disabled_would_reset_is_saved_closed() {
    let (old, _clock) = manager();
    fail(&registered(&old), 5);
    turn(&old, Mode::Disabled);
    let (new, _clock) = manager();
    assert_eq!(moved(&old, &new), 1);
    assert_eq!(registered(&new).state(), State::Closed);
}
