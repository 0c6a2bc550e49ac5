//! Closing a circuit, which changes two words: the state word and the parked word (`parked` in
//! [`record`](crate::circuit::record)).

use std::time::Duration;

use super::circuit::{
    Circuit, explore, half_open, nothing, one_failure, one_of, open, open_with_one_failure,
};
use crate::values::settings::ConnectionOptions;
use crate::values::state::State;

/// Mutation: `closing-by-hand-that-forgets`.
#[test]
fn closing_by_hand_keeps_the_count() {
    let seen = explore(
        open_with_one_failure,
        Circuit::close,
        Circuit::close,
        |circuit, (), ()| circuit.seen(),
    );
    assert_eq!(seen, [(State::Closed, 1, 1)].into());
}

/// A failure of an open circuit comes before the closing, which keeps its count. Or it comes after
/// the closing, and opens the circuit again.
///
/// Mutations: `a-failure-while-open-that-stores`, `a-word-read-before-what-is-parked`,
/// `closing-despite-a-failed-seal`, `closing-without-a-seal`, `parking-by-a-store`,
/// `parking-relaxed`, `what-is-parked-read-relaxed`.
#[test]
fn a_failure_beside_a_closing_is_not_lost() {
    let seen = explore(
        open_with_one_failure,
        Circuit::close,
        |circuit| circuit.fail(None).expect("counted"),
        |circuit, (), count| (count, circuit.seen()),
    );
    let before = (2, (State::Closed, 2, 1));
    let after = (2, (State::Open, 2, 2));
    assert_eq!(seen, [before, after].into());
}

/// The failure that opens is counted whether the closing comes before it or after it.
///
/// Mutations: `a-tally-without-the-failure-that-opened`, `closing-without-what-has-to-be-added`.
#[test]
fn the_failure_that_opens_is_not_lost_in_a_closing() {
    let seen = explore(
        one_failure,
        Circuit::close,
        |circuit| circuit.fail(None).expect("counted"),
        |circuit, (), count| (count, circuit.seen()),
    );
    let before = (2, (State::Closed, 2, 1));
    let after = (2, (State::Open, 2, 1));
    assert_eq!(seen, [before, after].into());
}

/// Mutation: `a-success-that-keeps-the-count`.
#[test]
fn a_success_and_the_last_failure_agree() {
    let seen = explore(
        one_failure,
        |circuit| circuit.succeed(None).expect("counted"),
        |circuit| circuit.fail(None).expect("counted"),
        |circuit, (), count| (count, circuit.seen()),
    );
    // The success came before the failure, or after the opening, and cleared the count.
    let before = (1, (State::Closed, 1, 0));
    let after = (2, (State::Open, 0, 1));
    assert_eq!(seen, [before, after].into());
}

/// Mutation: `a-success-while-open-that-stores`.
#[test]
fn a_success_and_a_failure_of_an_open_circuit_agree() {
    let seen = explore(
        open_with_one_failure,
        |circuit| circuit.succeed(None).expect("counted"),
        |circuit| circuit.fail(None).expect("counted"),
        |circuit, (), count| (count, circuit.seen()),
    );
    let before = (1, (State::Open, 1, 1));
    let after = (2, (State::Open, 0, 1));
    assert_eq!(seen, [before, after].into());
}

/// A success that should clear the count does so, before or after the closing.
///
/// Mutation: `a-success-while-open-that-forgets-nothing`.
#[test]
fn no_failure_is_left_that_a_success_should_have_cleared() {
    let seen = explore(
        open_with_one_failure,
        Circuit::close,
        |circuit| circuit.succeed(None).expect("counted"),
        |circuit, (), ()| circuit.seen(),
    );
    let before = (State::Closed, 0, 1);
    // A success of a closed circuit clears the trips: the next opening is the first again.
    let after = (State::Closed, 0, 0);
    assert_eq!(seen, [before, after].into());
}

/// Mutation: `a-reset-that-keeps-the-count`.
#[test]
fn a_failure_beside_a_reset_is_forgotten_or_the_first() {
    let seen = explore(
        open_with_one_failure,
        Circuit::reset,
        |circuit| circuit.fail(None).expect("counted"),
        |circuit, (), count| one_of(&EXPECTED, (count, circuit.seen())),
    );
    // The failure came before the reset, or after it.
    const EXPECTED: [(u32, (State, u32, u32)); 2] =
        [(2, (State::Closed, 0, 0)), (1, (State::Closed, 1, 0))];
    assert_eq!(seen, EXPECTED.into());
}

/// Mutation: `closing-despite-a-failed-exchange`.
#[test]
fn a_recovery_and_a_failure_agree() {
    let seen = explore(
        |circuit| {
            open_with_one_failure(circuit);
            half_open(circuit);
        },
        |circuit| circuit.succeed(None).expect("counted"),
        |circuit| circuit.fail(None).expect("counted"),
        |circuit, (), count| (count, circuit.seen()),
    );
    let before = (1, (State::Closed, 1, 0));
    let after = (2, (State::Open, 0, 2));
    assert_eq!(seen, [before, after].into());
}

/// Mutation: `probing-that-voids-what-is-parked`.
#[test]
fn a_failure_beside_the_end_of_an_opening_counts_in_one_of_both_states() {
    let seen = explore(
        open_with_one_failure,
        half_open,
        |circuit| circuit.fail(None).expect("counted"),
        |circuit, (), count| (count, circuit.seen()),
    );
    let while_open = (2, (State::HalfOpen, 2, 1));
    let while_half_open = (2, (State::Open, 2, 2));
    assert_eq!(seen, [while_open, while_half_open].into());
}

/// A failure that misses the end of the open state counts in the half-open state, and opens the
/// circuit. It does not change a count of the half-open circuit that another thread has read.
///
/// Mutation: `half-open-without-taking-over`.
#[test]
fn a_failure_of_an_open_circuit_is_not_counted_later() {
    let seen = explore(
        open_with_one_failure,
        |circuit| {
            half_open(circuit);
            circuit.seen()
        },
        |circuit| circuit.fail(None).expect("counted"),
        |circuit, half_open, count| one_of(&EXPECTED, (count, half_open, circuit.seen())),
    );
    type Seen = (State, u32, u32);
    const ONE: Seen = (State::HalfOpen, 1, 1);
    const TWO: Seen = (State::HalfOpen, 2, 1);
    const OPENED: Seen = (State::Open, 2, 2);
    const EXPECTED: [(u32, Seen, Seen); 3] = [(2, TWO, TWO), (2, ONE, OPENED), (2, OPENED, OPENED)];
    assert_eq!(seen, EXPECTED.into());
}

/// Mutation: `half-open-without-taking-over`.
#[test]
fn a_success_of_an_open_circuit_clears_nothing_later() {
    let seen = explore(
        open_with_one_failure,
        |circuit| {
            half_open(circuit);
            circuit.seen()
        },
        |circuit| circuit.succeed(None).expect("counted"),
        |circuit, half_open, ()| (half_open, circuit.seen()),
    );
    let (one, none) = ((State::HalfOpen, 1, 1), (State::HalfOpen, 0, 1));
    let closed = (State::Closed, 0, 0);
    let expected = [(none, none), (one, closed), (closed, closed)];
    assert_eq!(seen, expected.into());
}

/// As in `a_failure_beside_the_end_of_an_opening_counts_in_one_of_both_states`, but a failure has
/// opened the circuit. That failure has to be written out when the opening ends.
///
/// Mutations: `leaving-without-writing-out`, `leaving-despite-a-failed-parking`.
#[test]
fn the_failure_that_opened_counts_after_the_opening() {
    let seen = explore(
        |circuit| {
            one_failure(circuit);
            one_failure(circuit);
        },
        half_open,
        |circuit| circuit.fail(None).expect("counted"),
        |circuit, (), count| (count, circuit.seen()),
    );
    let while_open = (3, (State::HalfOpen, 3, 1));
    let while_half_open = (3, (State::Open, 3, 2));
    assert_eq!(seen, [while_open, while_half_open].into());
}

/// Mutation: `looking-without-a-second-look`.
#[test]
fn a_success_beside_an_opening_clears_the_count() {
    let seen = explore(
        one_failure,
        open,
        |circuit| circuit.succeed(None).expect("counted"),
        |circuit, (), ()| circuit.seen(),
    );
    assert_eq!(seen, [(State::Open, 0, 1)].into());
}

/// Mutation: `looking-without-a-second-look`.
#[test]
fn a_reader_sees_both_words_of_one_moment() {
    let seen = explore(
        one_failure,
        |circuit| circuit.fail(None).expect("counted"),
        Circuit::seen,
        |_, _, seen| seen,
    );
    assert_eq!(seen, [(State::Closed, 1, 0), (State::Open, 2, 1)].into());
}

/// One party has read the parked word, and parks its tally. Meanwhile the other party has cleared
/// the count and is about to change the state, or has changed it.
///
/// Mutations: `parked-without-a-serial`, `leaving-despite-a-failed-parking`.
#[test]
fn a_success_before_a_change_of_state_is_not_undone() {
    explore(
        one_failure,
        half_open,
        |circuit| {
            circuit.succeed(None).expect("counted");
            half_open(circuit);
        },
        |circuit, (), ()| assert_eq!(circuit.seen(), (State::HalfOpen, 0, 0)),
    );
}

/// Mutation: `leaving-by-a-store`.
#[test]
fn a_failing_probe_and_an_opening_by_hand_agree() {
    let seen = explore(
        |circuit| {
            open_with_one_failure(circuit);
            half_open(circuit);
        },
        open,
        |circuit| circuit.fail(None).expect("counted"),
        |circuit, (), count| one_of(&[EXPECTED], (count, circuit.seen())),
    );
    // The first of the two opens. The failure counts while half-open or while open.
    const EXPECTED: (u32, (State, u32, u32)) = (2, (State::Open, 2, 2));
    assert_eq!(seen, [EXPECTED].into());
}

/// Of two changes of one state, one party closes the circuit, and the other makes it half-open.
///
/// Mutation: `closing-finished-by-a-store`.
#[test]
fn a_closing_is_finished_only_in_its_state() {
    let seen = explore(
        open_with_one_failure,
        Circuit::close,
        |circuit| {
            half_open(circuit);
            circuit.fail(None).expect("counted")
        },
        |circuit, (), count| one_of(&EXPECTED, (count, circuit.seen())),
    );
    const EXPECTED: [(u32, (State, u32, u32)); 2] = [
        // Closed, half-open, and opened by the failure. Or half-open, closed, and opened by the
        // second failure in a row.
        (2, (State::Open, 2, 2)),
        // Half-open, opened, closed.
        (2, (State::Closed, 2, 2)),
    ];
    assert_eq!(seen, EXPECTED.into());
}

/// One thread gives settings that need the start of each call, while another one closes the circuit
/// by hand. In the end the circuit is watched, whichever comes first.
///
/// Mutations: `closing-without-a-second-look-at-the-settings`, `closing-without-a-fence`.
#[test]
fn a_circuit_that_closes_beside_a_change_of_settings_is_watched() {
    let seen = explore(
        open,
        Circuit::close,
        |circuit| {
            let patient = Duration::from_millis(50);
            circuit.configure(&ConnectionOptions::new().cancelled_after(patient));
        },
        |circuit, (), ()| (circuit.record.word_now().is_watched(), circuit.seen().0),
    );
    assert_eq!(seen, [(true, State::Closed)].into());
}

/// The last of two changes of settings decides whether the circuit is watched.
///
/// Mutation: `watching-without-a-second-look`.
#[test]
fn a_circuit_is_watched_as_the_last_of_two_changes_of_settings_says() {
    let seen = explore(
        nothing,
        |circuit| {
            let patient = Duration::from_millis(50);
            circuit.configure(&ConnectionOptions::new().cancelled_after(patient));
        },
        |circuit| circuit.configure(&ConnectionOptions::new().cancelled_after(None)),
        |circuit, (), ()| {
            let settings = circuit.record.settings(&circuit.context);
            (
                settings.is_watched(),
                circuit.record.word_now().is_watched(),
            )
        },
    );
    assert_eq!(seen, [(false, false), (true, true)].into());
}
