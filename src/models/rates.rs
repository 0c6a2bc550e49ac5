//! The evidence of the rates: which reports count beside a change of the state, and which report
//! opens.

use std::time::Duration;

use super::circuit::{Circuit, explore_with, half_open, nothing, one_failure, one_of};
use crate::values::cause::Cause;
use crate::values::settings::ConnectionOptions;
use crate::values::state::State;

/// The circuit opens when both of two calls fail, within two seconds.
fn all_of_two(options: ConnectionOptions) -> ConnectionOptions {
    options
        .unlimited_attempts()
        .failure_rate(1.0)
        .minimum_calls(2)
        .rate_window(Duration::from_secs(2))
}

/// [`all_of_two`], over the last calls instead of a time.
fn all_of_the_last(options: ConnectionOptions) -> ConnectionOptions {
    options
        .unlimited_attempts()
        .failure_rate(1.0)
        .minimum_calls(2)
        .rate_calls(10)
}

/// The state, the cause of the last opening, and the number of calls that count.
fn seen(circuit: &Circuit) -> (State, Option<Cause>, Option<u64>) {
    let status = circuit.record.status(&circuit.context);
    let status = status.expect("registered");
    (status.state, status.cause, status.window_calls)
}

fn fail(circuit: &Circuit) -> bool {
    circuit.fail(None).is_ok()
}

/// Mutation: `asking-before-counting`. Each of the two failures then misses the other one.
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

/// A call beside the recovery. Returns whether it was admitted.
fn call(circuit: &Circuit) -> bool {
    let Ok(ticket) = circuit.acquire() else {
        return false;
    };
    circuit.succeed(Some(ticket)).expect("timely");
    true
}

/// Mutation: `sums-read-after-the-exchange`. The evidence may then begin after the call.
#[test]
fn a_call_that_a_recovered_circuit_admits_is_in_its_evidence() {
    let outcomes = explore_with(
        all_of_two,
        2,
        recovering,
        recover,
        call,
        |circuit, _, called| {
            let (state, _, calls) = seen(circuit);
            assert_eq!((state, calls), (State::Closed, Some(called.into())));
            called
        },
    );
    assert_eq!(outcomes.len(), 2);
}

fn lengthen(circuit: &Circuit, seconds: u64) {
    let window = Duration::from_secs(seconds);
    circuit.configure(&ConnectionOptions::new().rate_window(window));
}

/// Mutations: `a-block-whose-evidence-begins-once`, `a-new-block-without-a-fence`. A reset that
/// comes after the new block is made and before it is put in place then begins the evidence of the
/// old block only.
#[test]
fn after_a_reset_beside_a_new_window_nothing_counts() {
    explore_with(
        all_of_two,
        2,
        nothing,
        |circuit| lengthen(circuit, 3),
        |circuit| {
            circuit.succeed(None).expect("registered");
            circuit.reset();
        },
        |circuit, (), ()| assert_eq!(seen(circuit).2, Some(0)),
    );
}

/// Mutation: `a-shape-without-a-second-look`. The block of the older settings then stays, and no
/// rule is evaluated any more.
#[test]
fn of_two_changes_of_the_window_the_block_of_the_later_one_stays() {
    let outcomes = explore_with(
        all_of_two,
        2,
        nothing,
        |circuit| lengthen(circuit, 3),
        |circuit| lengthen(circuit, 4),
        |circuit, (), ()| {
            assert!(fail(circuit) && fail(circuit));
            assert_eq!(seen(circuit).0, State::Open);
            circuit.record.settings(&circuit.context).rate_window
        },
    );
    assert_eq!(outcomes, [3_000, 4_000].into());
}

fn succeed(circuit: &Circuit) {
    circuit.succeed(None).expect("counted");
}

fn reset(circuit: &Circuit) -> bool {
    circuit.reset();
    true
}

/// Two of four calls have failed.
fn half_failed(circuit: &Circuit) {
    for _ in 0..2 {
        one_failure(circuit);
        succeed(circuit);
    }
}

/// Mutation: `successes-written-first`. A reader then combines the successes of the new baseline
/// with the failures of the old one, and all calls seem to have failed.
#[test]
fn a_failure_beside_a_reset_finds_one_beginning() {
    explore_with(all_of_two, 2, half_failed, reset, fail, |circuit, _, _| {
        assert_eq!(seen(circuit).0, State::Closed);
    });
}

/// A success between two failures.
fn fail_around_a_success(circuit: &Circuit) -> bool {
    let is_counted = fail(circuit);
    succeed(circuit);
    is_counted && fail(circuit)
}

/// Mutation: `a-beginning-that-loads-its-failures`. The baseline then has the success but not the
/// failure before it, and both calls since then seem to have failed.
#[test]
fn calls_beside_a_reset_are_not_split_by_their_outcomes() {
    let calls = fail_around_a_success;
    explore_with(all_of_two, 2, half_failed, reset, calls, |circuit, _, _| {
        assert_eq!(seen(circuit).0, State::Closed);
    });
}

/// A failure is in the window, but the evidence has begun after it.
fn failed_before(circuit: &Circuit) {
    one_failure(circuit);
    circuit.reset();
}

/// A failure between two successes, which leaves the word as it was.
fn fail_between_successes(circuit: &Circuit) -> bool {
    succeed(circuit);
    let is_counted = fail(circuit);
    succeed(circuit);
    is_counted
}

/// Mutation: `sums-of-another-moment`. The counts in the window are then from before the other
/// calls, and the counts since the baseline from after them. So both of two calls seem to have
/// failed.
#[test]
fn window_and_beginning_are_of_one_moment() {
    let calls = fail_between_successes;
    explore_with(
        all_of_two,
        2,
        failed_before,
        fail,
        calls,
        |circuit, _, _| {
            assert_eq!(seen(circuit).0, State::Closed);
        },
    );
}

/// One of two calls has failed in a ramp. A second failure among three calls would open the
/// circuit.
fn failed_in_a_ramp(circuit: &Circuit) {
    half_open(circuit);
    succeed(circuit);
    one_failure(circuit);
    succeed(circuit);
    assert!(circuit.record.word_now().is_ramp());
}

/// The circuit opens when two of three calls fail, within two seconds.
fn most_of_three(options: ConnectionOptions) -> ConnectionOptions {
    all_of_two(options)
        .ramp(Duration::from_secs(1))
        .failure_rate(0.6)
        .minimum_calls(3)
}

/// [`most_of_three`], over the last calls instead of a time.
fn most_of_the_last(options: ConnectionOptions) -> ConnectionOptions {
    all_of_the_last(options)
        .ramp(Duration::from_secs(1))
        .failure_rate(0.6)
        .minimum_calls(3)
}

/// Mutation: `evidence-that-outlasts-a-closed-ramp`. The evidence of a ramp has the generation of
/// the closed circuit after it. It must end before that generation begins, or else the failure
/// opens the circuit.
#[test]
fn a_failure_beside_a_hand_that_ends_a_ramp_finds_no_evidence_of_it() {
    for settings in [most_of_three, most_of_the_last] {
        explore_with(
            settings,
            2,
            failed_in_a_ramp,
            reset,
            fail,
            |circuit, _, _| {
                let (state, _, calls) = seen(circuit);
                assert_eq!(state, State::Closed);
                one_of(&[Some(0), Some(1)], calls)
            },
        );
    }
}
