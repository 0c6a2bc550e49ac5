//! The evidence of the rates: what counts beside a change of the state, and who opens.

use std::collections::HashSet;
use std::time::Duration;

use super::circuit::{Circuit, explore_with, half_open, nothing, one_failure, one_of};
use crate::values::cause::Cause;
use crate::values::settings::ConnectionOptions;
use crate::values::state::State;

/// Both of two calls have to fail.
fn all_of_two(options: ConnectionOptions) -> ConnectionOptions {
    options
        .unlimited_attempts()
        .failure_rate(1.0)
        .minimum_calls(2)
        .rate_window(Duration::from_secs(2))
}

/// The same of the last calls.
fn all_of_the_last(options: ConnectionOptions) -> ConnectionOptions {
    options
        .unlimited_attempts()
        .failure_rate(1.0)
        .minimum_calls(2)
        .rate_calls(10)
}

/// The state, why it opened last, and the calls that count.
fn seen(circuit: &Circuit) -> (State, Option<Cause>, Option<u64>) {
    let status = circuit.record.status(&circuit.context);
    let status = status.expect("registered");
    (status.state, status.cause, status.window_calls)
}

fn fail(circuit: &Circuit) -> bool {
    circuit.fail(None).is_ok()
}

/// Mutation: `asking-before-counting`. Each of the two failures misses the other one.
#[test]
fn the_last_of_two_failures_that_reach_a_rate_opens() {
    for settings in [all_of_two, all_of_the_last] {
        explore_with(settings, 3, nothing, fail, fail, |circuit, one, other| {
            assert!(one && other);
            let (state, cause, calls) = seen(circuit);
            assert_eq!((state, cause), (State::Open, Some(Cause::FailureRate)));
            one_of(&[Some(2), None], calls)
        });
    }
}

/// One failure has counted before the circuit opened, and a probe is under way.
fn recovering(circuit: &Circuit) {
    one_failure(circuit);
    half_open(circuit);
    *circuit.ticket.lock().unwrap() = circuit.acquire().ok();
}

fn recover(circuit: &Circuit) -> bool {
    let ticket = *circuit.ticket.lock().unwrap();
    circuit.succeed(ticket).is_ok()
}

/// Mutations: `a-baseline-of-another-generation`, `a-baseline-read-after-the-exchange`. The failure
/// before the recovery counts with the one after it, or the one after it in no rate.
#[test]
fn a_failure_beside_a_recovery_counts_in_one_state() {
    let outcomes = explore_with(all_of_two, 2, recovering, recover, fail, |circuit, _, _| {
        let (state, cause, calls) = seen(circuit);
        let outcome = one_of(
            &[
                // Before the recovery.
                (State::Open, Some(Cause::Probe), calls),
                // After it.
                (State::Closed, None, Some(1)),
                // After it, and before the baseline was written.
                (State::Closed, None, Some(0)),
            ],
            (state, cause, calls),
        );
        if state == State::Closed {
            fail(circuit);
            let opens = calls == Some(1);
            assert_eq!(seen(circuit).0 == State::Open, opens);
        }
        (outcome.0, outcome.2)
    });
    assert!(outcomes.contains(&(State::Closed, Some(1))));
}

/// Mutation: `a-shape-without-a-second-look`. The block of the settings that are over stays, and no
/// rule is asked any more.
#[test]
fn of_two_changes_of_the_window_the_block_of_the_later_one_stays() {
    fn configure(circuit: &Circuit, seconds: u64) {
        let window = Duration::from_secs(seconds);
        circuit.configure(&ConnectionOptions::new().rate_window(window));
    }
    let outcomes: HashSet<_> = explore_with(
        all_of_two,
        2,
        nothing,
        |circuit| configure(circuit, 3),
        |circuit| configure(circuit, 4),
        |circuit, (), ()| {
            assert!(fail(circuit) && fail(circuit));
            assert_eq!(seen(circuit).0, State::Open);
            let settings = circuit.record.settings(&circuit.context);
            settings.rate_window
        },
    );
    assert_eq!(outcomes, HashSet::from([3_000, 4_000]));
}
