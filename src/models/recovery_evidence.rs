//! The evidence of the rates in a ramp. It begins with the ramp, and goes on in the closed circuit
//! after it.

use std::time::Duration;

use super::circuit::{Circuit, explore_with, half_open, one_of, open};
use super::recovery::{end, fail, ramping};
use crate::values::cause::Cause;
use crate::values::settings::ConnectionOptions;
use crate::values::state::State;

/// [`both_of_two`], within two seconds.
fn in_time(options: ConnectionOptions) -> ConnectionOptions {
    both_of_two(options).rate_window(Duration::from_secs(2))
}

/// [`both_of_two`], among the last calls.
fn of_the_last(options: ConnectionOptions) -> ConnectionOptions {
    both_of_two(options).rate_calls(10)
}

/// The circuit opens when both of two calls fail. A ramp admits every call.
fn both_of_two(options: ConnectionOptions) -> ConnectionOptions {
    options
        .unlimited_attempts()
        .failure_rate(1.0)
        .minimum_calls(2)
        .expiry(Duration::from_secs(60))
        .ramp(Duration::from_secs(1))
        .ramp_start(1.0)
}

const BOTH: [fn(ConnectionOptions) -> ConnectionOptions; 2] = [in_time, of_the_last];

/// The state, the cause of the last opening, and the number of calls that count.
fn seen(circuit: &Circuit) -> (State, Option<Cause>, Option<u64>) {
    let status = circuit.record.status(&circuit.context);
    let status = status.expect("registered");
    (status.state, status.cause, status.window_calls)
}

/// A failure has counted in the ramp.
fn failed_in_ramp(circuit: &Circuit) {
    ramping(circuit);
    assert_eq!(fail(circuit), Ok(1));
}

/// Two failures in a row open the circuit in a ramp. After the ramp, the rate of both opens it.
///
/// Mutations: `a-ramp-whose-evidence-ends-with-it`, `the-end-of-a-ramp-that-begins-evidence`.
#[test]
fn what_failed_in_a_ramp_is_evidence_after_it() {
    for settings in BOTH {
        let outcomes = explore_with(
            settings,
            2,
            failed_in_ramp,
            end,
            fail,
            |circuit, (), count| {
                assert!(count.is_ok());
                let (state, cause, calls) = seen(circuit);
                assert_eq!((state, calls), (State::Open, Some(2)));
                one_of(&[Some(Cause::Consecutive), Some(Cause::FailureRate)], cause)
            },
        );
        assert_eq!(outcomes.len(), 2);
    }
}

/// One failure has counted before the circuit opened, and a probe is under way.
fn probing(circuit: &Circuit) {
    circuit.fail(None).expect("counted");
    open(circuit);
    half_open(circuit);
    *circuit.ticket.lock().unwrap() = circuit.acquire().ok();
}

fn begin(circuit: &Circuit) {
    let ticket = *circuit.ticket.lock().unwrap();
    circuit.succeed(ticket).expect("timely");
}

/// A call beside the probe's report. Returns whether it was admitted.
fn call(circuit: &Circuit) -> bool {
    let Ok(ticket) = circuit.acquire() else {
        return false;
    };
    circuit.succeed(Some(ticket)).expect("timely");
    true
}

/// Mutations: `a-ramp-that-begins-no-evidence`, `a-ramp-whose-sums-are-read-after-the-exchange`.
/// The evidence may then begin only with the next failure, or after the call.
#[test]
fn a_call_that_a_ramp_admits_is_in_its_evidence() {
    for settings in BOTH {
        let outcomes = explore_with(settings, 2, probing, begin, call, |circuit, (), called| {
            let (state, _, calls) = seen(circuit);
            assert_eq!((state, calls), (State::HalfOpen, Some(called.into())));
            called
        });
        assert_eq!(outcomes.len(), 2);
    }
}

/// After the reset at most one failure counts, so the circuit stays closed.
///
/// Mutation: `a-hand-that-leaves-the-evidence-of-a-ramp`.
#[test]
fn a_reset_in_a_ramp_begins_the_evidence_again() {
    // Adding up the counts in time takes many steps.
    for (settings, preemptions) in [(BOTH[0], 1), (BOTH[1], 2)] {
        let outcomes = explore_with(
            settings,
            preemptions,
            failed_in_ramp,
            Circuit::reset,
            |circuit| circuit.fail(None),
            |circuit, (), count| {
                assert!(count.is_ok());
                let (state, _, calls) = seen(circuit);
                assert_eq!(state, State::Closed);
                one_of(&[Some(0), Some(1)], calls)
            },
        );
        assert_eq!(outcomes.len(), 2);
    }
}

fn lengthen(circuit: &Circuit) {
    let window = Duration::from_secs(3);
    circuit.configure(&ConnectionOptions::new().rate_window(window));
}

fn count_more(circuit: &Circuit) {
    circuit.configure(&ConnectionOptions::new().rate_calls(11));
}

/// Two failures count: one in the ramp, and one after it.
fn fails_in_the_ramp_and_after_it(circuit: &Circuit) {
    let permit = circuit.acquire().expect("all are admitted");
    assert_eq!(circuit.fail(Some(permit)), Ok(1));
    end(circuit);
    assert_eq!(circuit.fail(None), Ok(1));
    opened_by_two(circuit);
}

fn opened_by_two(circuit: &Circuit) {
    let opened = (State::Open, Some(Cause::FailureRate), Some(2));
    assert_eq!(seen(circuit), opened);
}

/// Mutations: `beginning-a-ramp-without-a-second-look`, `a-baseline-replaced-relaxed`. The new
/// block then keeps the evidence of the half-open circuit.
#[test]
fn a_ramp_that_begins_beside_a_new_window_has_evidence() {
    explore_with(in_time, 2, probing, begin, lengthen, |circuit, (), ()| {
        fails_in_the_ramp_and_after_it(circuit);
    });
}

/// Mutation: `a-ramp-whose-evidence-ends-with-it`.
#[test]
fn a_ramp_that_begins_beside_a_new_number_of_calls_has_evidence() {
    explore_with(
        of_the_last,
        2,
        probing,
        begin,
        count_more,
        |circuit, (), ()| fails_in_the_ramp_and_after_it(circuit),
    );
}

/// Reports after the end of the ramp are the evidence of the new block.
///
/// Mutation: `a-new-block-of-the-generation-of-the-ramp`.
#[test]
fn a_new_window_beside_the_end_of_a_ramp_goes_on() {
    for (settings, change) in [
        (in_time as fn(_) -> _, lengthen as fn(&Circuit)),
        (of_the_last, count_more),
    ] {
        explore_with(
            settings,
            2,
            failed_in_ramp,
            end,
            change,
            |circuit, (), ()| {
                for count in 1..=2 {
                    assert_eq!(circuit.fail(None), Ok(count));
                }
                opened_by_two(circuit);
            },
        );
    }
}
