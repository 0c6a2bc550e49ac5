//! Changes of the mode beside reports, control by hand, expiries and each other: `mode` in
//! [`record`](crate::circuit::record).

use super::circuit::{Circuit, explore_with, nothing, one_failure, one_of};
use crate::circuit::record::{OpenFor, Refusal};
use crate::values::cause::Cause;
use crate::values::event::Report;
use crate::values::mode::Mode;
use crate::values::settings::ConnectionOptions;
use crate::values::state::State;

fn turn(circuit: &Circuit, mode: Mode) {
    circuit.configure(&ConnectionOptions::new().mode(mode));
}

fn enable(circuit: &Circuit) {
    turn(circuit, Mode::Normal);
}

fn disable(circuit: &Circuit) {
    turn(circuit, Mode::Disabled);
}

fn disabled_with_a_failure(circuit: &Circuit) {
    one_failure(circuit);
    disable(circuit);
}

/// The circuit was opened by failures, and then disabled.
fn disabled_while_open(circuit: &Circuit) {
    one_failure(circuit);
    one_failure(circuit);
    disable(circuit);
}

fn open_for(circuit: &Circuit, how_long: OpenFor) {
    let opened = circuit
        .record
        .open(&circuit.context, &Report::NONE, how_long);
    opened.expect("registered");
}

fn hold_open(circuit: &Circuit) {
    open_for(circuit, OpenFor::Never);
}

fn state(circuit: &Circuit) -> State {
    circuit.record.state(&circuit.context)
}

fn cause(circuit: &Circuit) -> Option<Cause> {
    let status = circuit.record.status(&circuit.context);
    status.expect("registered").cause
}

fn same(options: ConnectionOptions) -> ConnectionOptions {
    options
}

/// The failure from before and the reported one would together open the circuit.
///
/// Mutation: `a-mode-that-returns-before-the-reset`.
#[test]
fn a_report_beside_the_end_of_disabled_finds_nothing_from_before() {
    let seen = explore_with(
        same,
        2,
        disabled_with_a_failure,
        enable,
        |circuit| circuit.fail(None).expect("registered"),
        |circuit, (), counted| {
            let (state, failures, trips) = circuit.seen();
            assert_eq!((state, trips), (State::Closed, 0));
            assert_eq!(cause(circuit), None, "it never opened");
            one_of(&[(1, 0), (1, 1), (0, 0)], (counted, failures))
        },
    );
    assert!(seen.contains(&(1, 1)), "the report came after it");
}

/// The reset ends the opening. If its expiry happened first, the circuit would be seen half-open.
///
/// Mutation: `a-mode-that-returns-before-the-reset`.
#[test]
fn no_expiry_happens_beside_the_end_of_disabled() {
    explore_with(
        same,
        2,
        |circuit| {
            disabled_while_open(circuit);
            circuit
                .clock
                .advance(std::time::Duration::from_millis(1_000));
        },
        enable,
        |circuit| {
            let now = circuit.context.clock.now_exact();
            let next = circuit.record.expire(&circuit.context, now);
            (next, state(circuit))
        },
        |circuit, (), found| {
            assert_eq!(found, (None, State::Closed));
            assert_eq!(circuit.seen(), (State::Closed, 0, 0));
        },
    );
}

#[test]
fn an_opening_by_hand_beside_the_end_of_disabled_stays() {
    explore_with(same, 3, disable, enable, hold_open, |circuit, (), ()| {
        assert_eq!(state(circuit), State::Open);
        assert_eq!(cause(circuit), Some(Cause::Manual));
    });
}

/// A failure is noted as the cause of the opening until the manual opening has written its own
/// note.
///
/// Mutation: `a-hand-that-does-not-look-again`.
#[test]
fn a_new_deadline_by_hand_beside_the_end_of_disabled_stays() {
    explore_with(
        same,
        2,
        disabled_while_open,
        enable,
        hold_open,
        |circuit, (), ()| {
            assert_eq!(state(circuit), State::Open);
            assert_eq!(cause(circuit), Some(Cause::Manual));
        },
    );
}

#[test]
fn a_circuit_that_a_hand_makes_half_open_beside_the_end_of_disabled_stays_so() {
    explore_with(
        same,
        2,
        disabled_while_open,
        enable,
        |circuit| circuit.record.half_open(&circuit.context).is_ok(),
        |circuit, (), _| assert_eq!(state(circuit), State::HalfOpen),
    );
}

/// The driver forgets the deadline of a disabled circuit.
///
/// Mutation: `a-deadline-planned-before-the-mode-returns`.
#[test]
fn the_driver_finds_the_deadline_of_a_circuit_that_is_enabled() {
    explore_with(
        same,
        2,
        disable,
        enable,
        |circuit| {
            open_for(
                circuit,
                OpenFor::Custom(std::time::Duration::from_millis(9)),
            );
            look(circuit)
        },
        |circuit, (), is_planned| assert!(is_planned || look(circuit)),
    );
}

/// One turn of the driver. Returns true if it has planned the deadline.
fn look(circuit: &Circuit) -> bool {
    let now = circuit.context.clock.now_exact();
    let records = circuit.context.attention.take_all();
    records.fold(false, |planned, record| {
        record.expire(&circuit.context, now).is_some() || planned
    })
}

/// Either thread may be stopped before its reset.
///
/// Mutation: `a-reset-that-comes-after-the-mode`.
#[test]
fn of_two_threads_that_enable_a_circuit_none_resets_what_comes_after() {
    explore_with(
        same,
        2,
        disabled_with_a_failure,
        enable,
        |circuit| {
            enable(circuit);
            hold_open(circuit);
            circuit.record.half_open(&circuit.context).expect("there");
        },
        |circuit, (), ()| assert_eq!(state(circuit), State::HalfOpen),
    );
}

/// Mutation: `a-mode-adopted-once`.
#[test]
fn of_two_changes_of_the_mode_the_last_one_is_in_effect() {
    let seen = explore_with(same, 3, nothing, disable, enable, |circuit, (), ()| {
        let status = circuit.record.status(&circuit.context);
        let status = status.expect("registered");
        assert_eq!(status.mode, status.settings.mode());
        status.mode as u8
    });
    assert_eq!(seen.len(), 2);
}

#[test]
fn a_call_beside_the_end_of_shadow_passes_or_is_rejected() {
    let seen = explore_with(
        same,
        2,
        |circuit| {
            turn(circuit, Mode::Shadow);
            one_failure(circuit);
            one_failure(circuit);
        },
        enable,
        |circuit| match circuit.acquire() {
            Ok(ticket) => {
                assert!(!ticket.is_probe());
                circuit.fail(Some(ticket)).expect("never stale");
                true
            }
            Err(refusal) => {
                assert!(matches!(refusal, Refusal::Rejected(_)));
                false
            }
        },
        |circuit, (), passed| {
            let status = circuit.record.status(&circuit.context);
            let status = status.expect("registered");
            assert_eq!(status.would_reject + status.total_rejections, 1);
            assert_eq!(status.would_reject == 1, passed);
            assert_eq!(circuit.seen(), (State::Open, 2, 1), "totals only");
            passed
        },
    );
    assert_eq!(seen.len(), 2);
}

/// Mutation: `a-permit-for-totals-that-is-checked`.
#[test]
fn a_report_for_totals_only_beside_a_closing_counts_nowhere_else() {
    explore_with(
        same,
        2,
        |circuit| {
            turn(circuit, Mode::Shadow);
            one_failure(circuit);
            hold_open(circuit);
            *circuit.ticket.lock().unwrap() = circuit.acquire().ok();
        },
        Circuit::close,
        |circuit| {
            let ticket = *circuit.ticket.lock().unwrap();
            assert!(circuit.fail(ticket).is_ok(), "never stale");
        },
        |circuit, (), ()| assert_eq!(circuit.seen(), (State::Closed, 1, 1)),
    );
}
