//! A cleanup beside threads that use the connection:
//! [`departure`](crate::circuit::record::Departure).

use std::time::Duration;

use super::circuit::{Circuit, explore, half_open, one_failure, open};
use crate::circuit::record::{OpenFor, Refusal};
use crate::manager::trace;
use crate::reclaim;
use crate::values::event::Report;
use crate::values::settings::ConnectionOptions;
use crate::values::state::State;

/// The inactive threshold of the cleanup, in ms.
const LONG: u64 = 10;

fn idle(circuit: &Circuit) {
    circuit.clock.advance(Duration::from_millis(LONG));
}

/// Returns whether the cleanup removed the connection.
fn clean_up(circuit: &Circuit) -> bool {
    let (context, record) = (&circuit.context, &circuit.record);
    let guard = reclaim::pin();
    let now = context.clock.now();
    match record.begin_departure(context, now, LONG) {
        Some(departure) => guard.meet_all() && record.depart(context, now, &departure),
        None => false,
    }
}

/// Runs a cleanup beside `operation`, which returns whether it found the connection. Exactly one of
/// the two wins.
fn one_of_two_wins(operation: fn(&Circuit) -> bool) {
    let seen = explore(idle, clean_up, operation, |circuit, is_removed, is_done| {
        assert_eq!(is_removed, circuit.record.is_retired());
        (is_removed, is_done)
    });
    assert_eq!(seen, [(true, false), (false, true)].into());
}

/// A monitor that queries a connection all the time does not keep it registered.
///
/// Mutation: `a-question-that-keeps-the-connection`.
#[test]
fn a_question_does_not_keep_a_connection_from_its_cleanup() {
    let seen = explore(
        idle,
        clean_up,
        |circuit| {
            let (context, record) = (&circuit.context, &circuit.record);
            record.available(context);
            record.state(context);
            assert!(
                record
                    .status(context)
                    .is_none_or(|status| status.trips == 0)
            );
        },
        |_, is_removed, ()| is_removed,
    );
    assert_eq!(seen, [true].into());
}

/// Mutations: `departing-without-counting-references`, `departing-without-a-barrier`,
/// `holding-without-a-fence`, `holding-without-a-look-at-the-word`.
#[test]
fn a_cleanup_removes_no_connection_of_which_a_handle_was_given_out() {
    let seen = explore(
        idle,
        clean_up,
        |circuit| circuit.record.hold_if_there(&circuit.context),
        |_, is_removed, handle| (is_removed, handle.is_some()),
    );
    assert_eq!(seen, [(true, false), (false, true)].into());
}

/// Mutation: `departing-from-any-word`.
#[test]
fn a_cleanup_removes_no_circuit_that_was_just_opened_by_hand() {
    one_of_two_wins(|circuit| {
        let (context, record) = (&circuit.context, &circuit.record);
        match record.open(context, &Report::NONE, OpenFor::Never) {
            Ok(()) => {
                assert_eq!(record.state(context), State::Open);
                true
            }
            Err(_) => false,
        }
    });
}

/// Mutation: `departing-from-any-word`.
#[test]
fn a_cleanup_loses_no_failure_by_name() {
    one_of_two_wins(|circuit| {
        let answer = circuit.fail(None);
        assert!(matches!(answer, Ok(1) | Err(Refusal::Gone)));
        answer.is_ok()
    });
}

/// Mutations: `departing-without-asking-again`, `departing-without-a-barrier`,
/// `a-success-by-name-without-a-barrier`, `a-success-by-name-without-a-second-look`.
#[test]
fn a_cleanup_loses_no_success_by_name() {
    one_of_two_wins(|circuit| {
        let guard = reclaim::pin();
        let (context, record) = (&circuit.context, &circuit.record);
        record
            .success_by_name(context, None, &Report::NONE, &guard)
            .is_ok()
    });
}

/// A permit by name holds no reference. It leaves only a mark.
///
/// Mutations: `an-admission-by-name-without-a-mark`, `an-admission-by-name-without-a-second-look`.
#[test]
fn a_cleanup_loses_no_admission_by_name() {
    one_of_two_wins(|circuit| {
        let guard = reclaim::pin();
        let (context, record) = (&circuit.context, &circuit.record);
        let is_admitted = record.acquire(context).is_ok();
        is_admitted && trace::leave(context, record, record.hash(), &guard).is_ok()
    });
}

/// Closing a circuit that is closed already changes nothing. It only touches the record, and takes
/// a reference that it gives back.
///
/// Mutations: `departing-without-asking-again`, `asking-again-before-counting-references`.
#[test]
fn a_cleanup_loses_no_control_by_name_that_changes_nothing() {
    one_of_two_wins(|circuit| {
        let _held = circuit.record.hold();
        circuit.record.close(&circuit.context).is_ok()
    });
}

/// Mutation: `departing-without-counting-references`.
#[test]
fn a_cleanup_removes_no_half_open_circuit_whose_probe_is_out() {
    let seen = explore(
        |circuit| {
            half_open(circuit);
            idle(circuit);
        },
        clean_up,
        |circuit| {
            let held = circuit.record.hold();
            (circuit.acquire().is_ok(), held)
        },
        |_, is_removed, (is_admitted, _)| (is_removed, is_admitted),
    );
    assert_eq!(seen, [(true, false), (false, true)].into());
}

/// The failures count as before, whichever thread takes the mark away.
///
/// Mutation: `staying-without-what-counts`.
#[test]
fn a_connection_that_stays_is_as_it_was() {
    let seen = explore(
        |circuit| {
            one_failure(circuit);
            idle(circuit);
        },
        clean_up,
        |circuit| circuit.record.hold_if_there(&circuit.context),
        |circuit, is_removed, handle| {
            assert_ne!(is_removed, handle.is_some());
            (!is_removed).then(|| circuit.seen())
        },
    );
    assert_eq!(seen, [None, Some((State::Closed, 1, 0))].into());
}

/// A cleanup has set its mark and never goes on, as in the child of a fork.
fn marked(circuit: &Circuit) {
    idle(circuit);
    let now = circuit.context.clock.now();
    let departure = circuit.record.begin_departure(&circuit.context, now, LONG);
    assert!(departure.is_some());
}

/// Mutations: `staying-without-a-second-look-at-the-settings`, `staying-without-a-fence`.
#[test]
fn a_connection_that_stays_beside_a_change_of_settings_is_watched() {
    let seen = explore(
        marked,
        |circuit| circuit.record.hold_if_there(&circuit.context).is_some(),
        |circuit| {
            let patient = Duration::from_millis(50);
            circuit.configure(&ConnectionOptions::new().cancelled_after(patient));
        },
        |circuit, is_held, ()| (circuit.record.word_now().is_watched(), is_held),
    );
    assert_eq!(seen, [(true, true)].into());
}

/// Mutation: `looking-over-a-mark`.
#[test]
fn no_thread_waits_for_a_cleanup_that_was_stopped_for_good() {
    let seen = explore(
        marked,
        |circuit| circuit.record.hold_if_there(&circuit.context).is_some(),
        open,
        |circuit, is_held, ()| (is_held, circuit.seen().0),
    );
    assert_eq!(seen, [(true, State::Open)].into());
}
