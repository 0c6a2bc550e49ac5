//! The reason of an opening, which is written after the word and the cause: `why` in
//! [`record`](crate::circuit::record).

use super::circuit::{Circuit, explore, explore_with, one_of};
use crate::circuit::record::OpenFor;
use crate::values::cause::Cause;
use crate::values::state::State;

type Seen = (State, Option<Cause>, Option<String>, Option<u64>);

fn open_by_hand(circuit: &Circuit) {
    let context = &circuit.context;
    let opened = circuit
        .record
        .open(context, &"hand".into(), OpenFor::Configured);
    opened.expect("registered");
}

/// The circuit was opened and closed by hand, and the next failure opens it.
fn after_an_opening_by_hand(circuit: &Circuit) {
    circuit.record.make_reasons();
    open_by_hand(circuit);
    circuit.close();
    fail(circuit);
}

fn fail(circuit: &Circuit) {
    let failed = circuit
        .record
        .failure(&circuit.context, None, &"timeout".into());
    failed.expect("registered");
}

fn seen(circuit: &Circuit) -> Seen {
    let status = circuit.record.status(&circuit.context);
    let status = status.expect("registered");
    let failures = status.opened_failures;
    (status.state, status.cause, status.reason, failures)
}

fn because(state: State, cause: Cause, reason: Option<&str>) -> Seen {
    // The rule that opened the circuit has counted two failures. They are written with the reason.
    let failures = (cause == Cause::Consecutive && reason.is_some()).then_some(2);
    (state, Some(cause), reason.map(str::to_owned), failures)
}

/// Mutation: `a-reason-of-an-earlier-opening`.
#[test]
fn a_reason_is_that_of_its_own_opening_or_none() {
    let found = explore_with(
        |options| options,
        2,
        after_an_opening_by_hand,
        fail,
        seen,
        |circuit, (), found| {
            assert_eq!(
                seen(circuit),
                because(State::Open, Cause::Consecutive, Some("timeout"))
            );
            let allowed = [
                because(State::Closed, Cause::Manual, Some("hand")),
                // The reader came while the reason was being written.
                because(State::Closed, Cause::Manual, None),
                (State::Open, None, None, None),
                because(State::Open, Cause::Consecutive, None),
                because(State::Open, Cause::Consecutive, Some("timeout")),
            ];
            one_of(&allowed, found)
        },
    );
    assert_eq!(found.len(), 5, "{found:?}");
}

/// A thread that has opened the circuit may be stopped before it writes the reason.
#[test]
fn a_reason_that_is_written_late_is_not_shown_for_a_later_opening() {
    explore(
        after_an_opening_by_hand,
        fail,
        |circuit| {
            let is_open = circuit.record.state(&circuit.context) == State::Open;
            if is_open {
                circuit.close();
                open_by_hand(circuit);
                circuit.close();
            }
            is_open
        },
        |circuit, (), is_second| {
            let allowed = match is_second {
                true => [
                    because(State::Closed, Cause::Manual, Some("hand")),
                    because(State::Closed, Cause::Manual, None),
                ],
                false => [
                    because(State::Open, Cause::Consecutive, Some("timeout")),
                    because(State::Open, Cause::Consecutive, Some("timeout")),
                ],
            };
            one_of(&allowed, seen(circuit))
        },
    );
}
