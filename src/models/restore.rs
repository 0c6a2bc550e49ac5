//! A circuit that is restored beside reports and control by hand: `restore` in
//! [`record`](crate::circuit::record).

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use super::circuit::{
    Circuit, explore, explore_with, half_open, nothing, one_failure, one_of, open_with_one_failure,
    probing,
};
use crate::circuit::record::{Profile, Refusal};
use crate::sys::atomic::{Ordering, fence};
use crate::values::saved::{Saved, Stands, Totals};
use crate::values::settings::{ConnectionOptions, Overrides};
use crate::values::state::State;

/// A save with seven failures in a row and three trips.
fn saved(stands: Stands) -> Saved<'static> {
    Saved {
        key: "db".into(),
        stands,
        trips: 3,
        cause: None,
        reason: None,
        last_failure_reason: None,
        failures: 7,
        totals: Totals::default(),
    }
}

const CLOSED: Stands = Stands::Closed;
const HALF_OPEN: Stands = Stands::HalfOpen;
const OPEN: Stands = Stands::Open {
    left: Some(100),
    given: Some(100),
};

/// Restores a save that was made before the parties began.
fn restore(circuit: &Circuit, saved: &Saved<'_>) -> bool {
    let written = circuit.context.clock.unix_ms(0);
    let restored = circuit.record.restore(&circuit.context, saved, written);
    restored.expect("registered")
}

/// Advances the clock, so that later changes are later than the save.
fn later(circuit: &Circuit) {
    circuit.clock.advance(Duration::from_millis(1));
}

fn one_failure_before(circuit: &Circuit) {
    one_failure(circuit);
    later(circuit);
}

fn fail(circuit: &Circuit) {
    circuit.fail(None).expect("counted");
}

type Seen = (bool, (State, u32, u32));

/// The second failure opens the circuit. If the circuit is being restored, that failure may come
/// before the saved failures.
///
/// Mutations: `restoring-by-a-store`, which loses the opening, and
/// `a-restore-that-does-not-ask-again`, which takes it back.
#[test]
fn a_restore_comes_before_the_failure_that_opens_or_not_at_all() {
    let parties: [(fn(&Circuit) -> bool, &[Seen]); 3] = [
        (
            |circuit| {
                restore(
                    circuit,
                    &Saved {
                        failures: 0,
                        ..saved(CLOSED)
                    },
                )
            },
            &[(true, (State::Closed, 1, 3)), (false, (State::Open, 2, 1))],
        ),
        (
            |circuit| restore(circuit, &saved(OPEN)),
            &[
                (true, (State::Open, 8, 3)),
                (true, (State::Open, 7, 3)),
                (false, (State::Open, 2, 1)),
            ],
        ),
        (
            |circuit| restore(circuit, &saved(HALF_OPEN)),
            &[
                (true, (State::Open, 8, 4)),
                (true, (State::Open, 2, 4)),
                (false, (State::Open, 2, 1)),
            ],
        ),
    ];
    for (party, expected) in parties {
        let outcomes = explore(one_failure_before, party, fail, |circuit, restored, ()| {
            (restored, circuit.seen())
        });
        assert_eq!(outcomes, HashSet::from_iter(expected.iter().copied()));
    }
}

/// An open circuit keeps its failures in the parked word. A failure that is reported after the
/// restore opens the half-open circuit. The saved failures must not be parked in that new opening.
///
/// Mutation: `parking-beside-another-opening`.
#[test]
fn a_failure_beside_the_restore_of_an_open_circuit_counts_before_or_after_it() {
    let outcomes = explore(
        open_with_one_failure,
        |circuit| restore(circuit, &saved(HALF_OPEN)),
        fail,
        |circuit, restored, ()| {
            assert!(restored);
            let allowed = [
                // The failure was reported to the open circuit.
                (State::HalfOpen, 7, 3),
                // The failure was reported to the half-open circuit.
                (State::Open, 8, 4),
                // It was, and the saved failures came too late.
                (State::Open, 2, 4),
            ];
            one_of(&allowed, circuit.seen())
        },
    );
    assert_eq!(outcomes.len(), 3, "{outcomes:?}");
}

/// The probe's success closes the circuit. A probe that was admitted before the restore is stale
/// after it, even if the state stays the same.
///
/// Mutation: `a-restore-in-the-same-generation`.
#[test]
fn a_probe_beside_a_restore_counts_before_it_or_is_stale() {
    let outcomes = explore(
        |circuit| {
            probing(circuit);
            later(circuit);
        },
        |circuit| restore(circuit, &saved(HALF_OPEN)),
        |circuit| {
            let ticket = *circuit.ticket.lock().unwrap();
            circuit.succeed(ticket) == Err(Refusal::Stale)
        },
        |circuit, restored, is_stale| (restored, is_stale, circuit.seen()),
    );
    let expected = [
        (true, true, (State::HalfOpen, 7, 3)),
        (false, false, (State::Closed, 0, 0)),
    ];
    assert_eq!(outcomes, HashSet::from(expected));
}

/// Two changes of settings, and one look afterwards. The second change takes the first one back, so
/// the circuit is already as the settings say.
fn settings_come_and_go(circuit: &Circuit) {
    let before = circuit.record.profile();
    let patient = ConnectionOptions::new().cancelled_after(Duration::from_millis(50));
    let own = before.as_deref().cloned().unwrap_or_default();
    let overrides = patient.applied_to(&own.overrides, &Overrides::NONE);
    let watched = Arc::new(Profile {
        overrides: overrides.expect("valid"),
        ..own.clone()
    });
    let both = [(before, watched.clone()), (Some(watched), Arc::new(own))];
    for (current, next) in both {
        assert!(circuit.record.replace_profile(&current, next));
        circuit.context.next_version();
    }
    fence(Ordering::SeqCst);
    circuit.record.watch(&circuit.context);
}

/// Mutation: `restoring-without-a-second-look-at-the-settings`.
#[test]
fn a_restored_circuit_is_watched_as_the_settings_say() {
    explore(
        nothing,
        settings_come_and_go,
        |circuit| restore(circuit, &saved(CLOSED)),
        |circuit, (), _| assert!(!circuit.record.word_now().is_watched()),
    );
}

/// The circuit opens when both of two calls fail.
fn all_of_two(options: ConnectionOptions) -> ConnectionOptions {
    options
        .unlimited_attempts()
        .failure_rate(1.0)
        .minimum_calls(2)
        .rate_window(Duration::from_secs(2))
}

/// The thread that closes the circuit reads the sums of the cells, where the totals are restored.
///
/// Mutation: `totals-restored-without-a-second-look`.
#[test]
fn totals_that_are_restored_beside_a_closing_are_in_no_rate() {
    explore_with(
        all_of_two,
        2,
        nothing,
        |circuit| {
            let totals = Totals {
                successes: 5,
                ..Totals::default()
            };
            restore(
                circuit,
                &Saved {
                    totals,
                    ..saved(OPEN)
                },
            )
        },
        Circuit::close,
        |circuit, _, ()| {
            circuit.close();
            let status = circuit.record.status(&circuit.context).expect("registered");
            assert_eq!((status.total_successes, status.window_calls), (5, Some(0)));
        },
    );
}

/// A thousand successes are restored beside the success that begins a ramp.
///
/// Mutation: `restored-totals-beside-the-begin-of-a-ramp`.
#[test]
fn totals_that_are_restored_beside_the_begin_of_a_ramp_are_in_no_rate() {
    explore_with(
        |options| {
            let ramp = options.ramp(Duration::from_secs(1));
            ramp.failure_rate(0.5).minimum_calls(2)
        },
        2,
        |circuit| half_open(circuit),
        |circuit| {
            let totals = Totals {
                successes: 1_000,
                ..Totals::default()
            };
            let saved = Saved {
                totals,
                ..saved(HALF_OPEN)
            };
            restore(circuit, &saved)
        },
        |circuit| circuit.succeed(None).expect("counted"),
        |circuit, _, ()| {
            if circuit.record.word_now().is_ramp() {
                let status = circuit.record.status(&circuit.context);
                one_of(&[Some(0)], status.expect("registered").window_calls);
            }
        },
    );
}
