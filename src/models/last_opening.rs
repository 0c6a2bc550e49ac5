//! The note of the last opening, by threads that may be stopped before they write it:
//! `last_opening` in [`record`](crate::circuit::record).

use std::time::Duration;

use super::circuit::{Circuit, explore, half_open, open};
use crate::circuit::record::{OpenFor, Refusal};
use crate::values::cause::Cause;
use crate::values::event::Report;
use crate::values::state::State;

fn fail(circuit: &Circuit) {
    circuit.fail(None).map(drop).expect("closed");
}

fn open_for(circuit: &Circuit, ms: u64) {
    let how_long = OpenFor::Custom(Duration::from_millis(ms));
    let opened = circuit
        .record
        .open(&circuit.context, &Report::NONE, how_long);
    opened.expect("registered");
}

fn close(circuit: &Circuit) {
    circuit.record.close(&circuit.context).expect("registered");
}

fn state_and_cause(circuit: &Circuit) -> (State, Option<Cause>) {
    let status = circuit.record.status(&circuit.context);
    let status = status.expect("registered");
    (status.state, status.cause)
}

/// The circuit was opened and closed by hand, and the next failure opens it.
fn after_an_opening_by_hand(circuit: &Circuit) {
    open(circuit);
    close(circuit);
    fail(circuit);
}

/// A circuit that failures have opened never shows the cause of its earlier opening by hand, even
/// within the same millisecond.
///
/// Mutations: `the-cause-of-another-opening`, `a-cause-written-relaxed`, `a-cause-read-relaxed`.
#[test]
fn a_cause_is_that_of_its_own_opening_or_none() {
    let seen = explore(
        after_an_opening_by_hand,
        fail,
        state_and_cause,
        |_, (), seen| seen,
    );
    let expected = [
        (State::Closed, Some(Cause::Manual)),
        (State::Open, None),
        (State::Open, Some(Cause::Consecutive)),
    ];
    assert_eq!(seen, expected.into());
}

/// A circuit whose opening has ended does not show the cause of the opening before.
///
/// Mutation: `an-opening-that-ends-unwritten`.
#[test]
fn a_cause_that_is_not_written_yet_is_not_that_of_an_earlier_opening() {
    let seen = explore(
        after_an_opening_by_hand,
        fail,
        |circuit| {
            if circuit.record.state(&circuit.context) == State::Open {
                half_open(circuit);
            }
            state_and_cause(circuit)
        },
        |circuit, (), seen| (seen, state_and_cause(circuit).1),
    );
    let last = Some(Cause::Consecutive);
    let expected = [
        ((State::Closed, Some(Cause::Manual)), last),
        ((State::Open, None), last),
        ((State::Open, last), last),
        ((State::HalfOpen, None), last),
        ((State::HalfOpen, last), last),
    ];
    assert_eq!(seen, expected.into());
}

#[test]
fn of_two_hands_that_prolong_the_last_one_is_written() {
    let seen = explore(
        open,
        |circuit| open_for(circuit, 500),
        |circuit| open_for(circuit, 700),
        |circuit, (), ()| {
            let status = circuit.record.status(&circuit.context);
            let status = status.expect("registered");
            let length = status.expiry.map(|length| length.as_millis());
            assert_eq!(length, status.retry_after.map(|wait| wait.as_millis()));
            (status.cause, length)
        },
    );
    let hand = Some(Cause::Manual);
    assert_eq!(seen, [(hand, Some(500)), (hand, Some(700))].into());
}

/// Mutation: `a-length-of-a-later-deadline-overwritten`.
#[test]
fn a_hand_that_prolongs_an_opening_stays_its_cause() {
    let seen = explore(
        fail,
        fail,
        |circuit| open_for(circuit, 700),
        |circuit, (), ()| {
            let while_open = state_and_cause(circuit);
            close(circuit);
            (while_open, state_and_cause(circuit).1)
        },
    );
    let hand = Some(Cause::Manual);
    assert_eq!(seen, [((State::Open, hand), hand)].into());
}

/// Mutation: `a-length-written-by-a-store`.
#[test]
fn an_opening_that_is_written_late_leaves_a_later_one() {
    let seen = explore(
        fail,
        fail,
        |circuit| {
            let is_open = circuit.record.state(&circuit.context) == State::Open;
            if is_open {
                close(circuit);
                open(circuit);
                close(circuit);
            }
            is_open
        },
        |circuit, (), is_second| (is_second, state_and_cause(circuit)),
    );
    let expected = [
        (true, (State::Closed, Some(Cause::Manual))),
        (false, (State::Open, Some(Cause::Consecutive))),
    ];
    assert_eq!(seen, expected.into());
}

/// A noted length is used only for its own opening and its own deadline, even if the low bits of
/// two deadlines agree. Otherwise a rejection would promise too short a wait.
///
/// Mutations: `the-cause-of-another-opening`, `a-deadline-moved-without-a-note`.
#[test]
fn no_length_is_taken_for_that_of_another_deadline() {
    let wait = |circuit: &Circuit| match circuit.acquire() {
        Err(Refusal::Rejected(refused)) => refused.wait(),
        _ => None,
    };
    let reopened = explore(
        |circuit| {
            open_for(circuit, 100);
            close(circuit);
            fail(circuit);
        },
        |circuit| open_for(circuit, 100 + 256),
        wait,
        |_, (), wait| wait,
    );
    assert_eq!(reopened, [None, Some(356)].into());
    let moved = explore(
        |circuit| open_for(circuit, 100),
        |circuit| open_for(circuit, 100 + 256),
        wait,
        |_, (), wait| wait,
    );
    assert_eq!(moved, [100, 356].map(Some).into());
}
