//! The state word and the loop around it: [`record`](crate::circuit::record).

use std::collections::HashSet;
use std::time::Duration;

use super::circuit::{Circuit, explore, explore_with, half_open, nothing, one_of, open, probing};
use crate::circuit::record::{OpenFor, Refusal};
use crate::values::event::{EventMask, EventType, Report};
use crate::values::settings::ConnectionOptions;
use crate::values::state::State;

/// Mutation: `exchanging-the-word-by-a-store`.
#[test]
fn the_last_failure_opens_once() {
    let seen = explore(
        nothing,
        |circuit| circuit.fail(None).unwrap(),
        |circuit| circuit.fail(None).unwrap(),
        |circuit, one, two| {
            (
                one.min(two),
                one.max(two),
                circuit.seen().0,
                circuit.seen().2,
            )
        },
    );
    assert_eq!(seen, [(1, 2, State::Open, 1)].into());
}

#[test]
fn an_expiry_happens_once() {
    let seen = explore(
        |circuit| {
            open(circuit);
            circuit.clock.advance(Duration::from_millis(100));
        },
        |circuit| circuit.record.state(&circuit.context),
        |circuit| circuit.record.state(&circuit.context),
        |circuit, one, two| {
            // From closed to open, and to half-open: two changes, and no third.
            let ticket = circuit.acquire().expect("a probe");
            (one, two, ticket.generation().bits())
        },
    );
    assert_eq!(seen, [(State::HalfOpen, State::HalfOpen, 2)].into());
}

/// Mutation: `taking-a-slot-by-a-store`.
#[test]
fn one_probe_at_a_time() {
    let seen = explore(
        half_open,
        |circuit| circuit.acquire().is_ok(),
        |circuit| circuit.acquire().is_ok(),
        |_, one, two| (one, two),
    );
    assert_eq!(seen, [(false, true), (true, false)].into());
}

/// Mutation: `a-late-failure-that-counts`.
#[test]
fn a_late_report_changes_nothing() {
    // A probe reports its failure while another thread resets the circuit.
    let seen = explore(
        half_open,
        |circuit| {
            let ticket = circuit.acquire().expect("a place, or closed");
            (ticket.lease().is_some(), circuit.fail(Some(ticket)).is_ok())
        },
        Circuit::reset,
        |circuit, report, ()| (report, circuit.seen()),
    );
    let expected = [
        // The report is in time, and the reset undoes it.
        ((true, true), (State::Closed, 0, 0)),
        // The report is too late.
        ((true, false), (State::Closed, 0, 0)),
        // The call is admitted after the reset.
        ((false, true), (State::Closed, 1, 0)),
    ];
    assert_eq!(seen, expected.into());
}

/// The model of [`probe_slots`](super::probe_slots) again, with the real state word.
#[test]
fn a_thread_that_missed_a_change_takes_no_probe_slot() {
    // One party asks for a probe. Meanwhile the other one fails, makes the circuit half-open again
    // and takes the only slot, which must stay its own.
    let seen = explore_with(
        |options| options,
        2,
        half_open,
        |circuit| circuit.acquire().is_ok(),
        |circuit| {
            circuit.fail(None).expect("counted");
            half_open(circuit);
            let ticket = circuit.acquire().ok()?;
            Some(circuit.succeed(Some(ticket)).is_ok())
        },
        |circuit, _, probe| (probe, circuit.seen().0),
    );
    let expected = [(Some(true), State::Closed), (None, State::HalfOpen)];
    assert_eq!(seen, expected.into());
}

/// A change lowers the limit from two failures to one. A failure after the change opens the
/// circuit, even if a failure beside the change has noted the limit.
///
/// Mutation: `a-limit-older-than-its-version`.
#[test]
fn a_failure_after_a_change_of_settings_obeys_it() {
    let forget = |circuit: &Circuit| circuit.context.next_version();
    let seen = explore(
        forget,
        |circuit| circuit.configure(&ConnectionOptions::new().max_attempts(1)),
        |circuit| circuit.fail(None),
        |circuit, (), _| {
            circuit.record.reset(&circuit.context).unwrap();
            let _ = circuit.fail(None);
            one_of(&[State::Open], circuit.record.state(&circuit.context))
        },
    );
    assert_eq!(seen, HashSet::from([State::Open]));
}

/// The failure after the change comes while another failure is just noting the limit.
#[test]
fn a_failure_after_a_change_of_settings_obeys_it_beside_another() {
    let forget = |circuit: &Circuit| circuit.context.next_version();
    let seen = explore(
        forget,
        |circuit| {
            circuit.configure(&ConnectionOptions::new().max_attempts(1));
            let _ = circuit.fail(None);
            circuit.record.state(&circuit.context)
        },
        |circuit| circuit.fail(None),
        |_, state, _| one_of(&[State::Open], state),
    );
    assert_eq!(seen, HashSet::from([State::Open]));
}

/// The thread that removes a connection finds its missed event, or the thread that marked the event
/// finds the connection removed.
///
/// Mutation: `asking-for-a-removal-by-a-load`.
#[test]
fn a_removal_and_a_missed_event_do_not_miss_each_other() {
    let seen = explore(
        nothing,
        |circuit| {
            circuit.record.miss(EventMask::of(EventType::StateChange));
            circuit.record.is_retired_by_now()
        },
        |circuit| circuit.record.retire() && circuit.record.has_missed(),
        |_, is_gone, has_missed| (is_gone, has_missed),
    );
    let all = [(true, false), (false, true), (true, true)];
    assert_eq!(seen, HashSet::from(all));
}

/// The only probe is out, and its failure opens the circuit. So no slot is free at any moment.
///
/// Mutation: `probing-without-a-second-look`.
#[test]
fn a_request_while_the_only_probe_fails_is_rejected() {
    let seen = explore(
        probing,
        |circuit| circuit.acquire().is_ok(),
        |circuit| {
            let ticket = *circuit.ticket.lock().unwrap();
            circuit.fail(ticket).is_ok()
        },
        |_, is_admitted, is_counted| (is_admitted, is_counted),
    );
    assert_eq!(seen, [(false, true)].into());
}

/// A failure with a permit of an earlier state is in no window. Every other failure is in one.
#[test]
fn a_stale_failure_is_in_no_window_and_every_other_one_is() {
    let seen = explore_with(
        |options| options.window(Duration::from_secs(60)).max_attempts(9),
        2,
        nothing,
        |circuit| {
            let ticket = circuit.acquire().expect("closed or half-open");
            (ticket.is_probe(), circuit.fail(Some(ticket)).ok())
        },
        |circuit| {
            half_open(circuit);
            circuit.close();
        },
        |circuit, report, ()| (report, circuit.seen()),
    );
    let closed = |failures| (State::Closed, failures, 0);
    let expected = [
        // The report is in time, in the first or in the second closed state.
        ((false, Some(1)), closed(1)),
        // Admitted before, reported after.
        ((false, None), closed(0)),
        ((true, None), closed(0)),
        // A failed probe opens the circuit, which is then closed by hand.
        ((true, Some(1)), (State::Closed, 1, 1)),
    ];
    assert_eq!(seen, expected.into());
}

/// A failure that is refused writes no time. So the next failure, much later, has its own time.
///
/// Mutation: `a-time-written-before-its-failure-counts`.
#[test]
fn a_stale_failure_leaves_no_time_behind() {
    let seen = explore_with(
        |options| options.window(Duration::from_secs(60)).max_attempts(9),
        1,
        |circuit| *circuit.ticket.lock().unwrap() = circuit.acquire().ok(),
        |circuit| {
            let ticket = *circuit.ticket.lock().unwrap();
            circuit.fail(ticket).is_ok()
        },
        |circuit| {
            half_open(circuit);
            circuit.close();
            circuit.clock.advance(Duration::from_secs(50));
            circuit.fail(None).expect("counted");
        },
        |circuit, is_counted, ()| {
            circuit.clock.advance(Duration::from_secs(20));
            // The last failure counts, and the other one only if its time was read late.
            let count = circuit.seen().1;
            assert!(count == 1 || count == 2 && is_counted, "{count}");
            is_counted
        },
    );
    assert_eq!(seen, [false, true].into());
}

/// After 50 ms, the open circuit gets another 100 ms.
fn open_later(circuit: &Circuit) {
    circuit.clock.advance(Duration::from_millis(50));
    open(circuit);
}

/// A thread that read the clock before those 50 ms does not add them to the wait.
///
/// Mutation: `a-wait-from-an-old-reading`.
#[test]
fn a_rejection_gives_no_longer_wait_than_the_opening_was_given() {
    let seen = explore(
        open,
        open_later,
        |circuit| match circuit.acquire() {
            Err(Refusal::Rejected(refused)) => refused.wait(),
            _ => None,
        },
        |_, (), wait| wait,
    );
    assert_eq!(seen, [50, 100, 101].map(Some).into());
}

/// Mutation: `a-wait-from-an-old-reading`.
#[test]
fn a_status_gives_no_longer_wait_than_the_opening_was_given() {
    let seen = explore(
        open,
        open_later,
        |circuit| {
            let status = circuit.record.status(&circuit.context);
            let wait = status.expect("registered").retry_after;
            wait.map(|wait| wait.as_millis())
        },
        |_, (), wait| wait,
    );
    assert_eq!(seen, [50, 100, 101].map(Some).into());
}

/// One party opens the circuit, and leaves it for the driver because of the deadline. Meanwhile the
/// other party misses an event, leaves the circuit for the driver as well, and then acts as the
/// driver that it has woken.
///
/// Mutations: `ringing-for-the-deadline-only`,
/// `asking-for-missed-events-without-a-fence`.
#[test]
fn a_missed_event_is_not_left_to_a_driver_that_sleeps() {
    const LATE: u64 = 1_000;
    let seen = explore(
        |circuit| circuit.context.waker.lie_down(LATE),
        |circuit| {
            let long = OpenFor::Custom(Duration::from_millis(5 * LATE));
            let opened = circuit.record.open(&circuit.context, &Report::NONE, long);
            opened.expect("registered");
        },
        |circuit| {
            let (context, record) = (&circuit.context, &circuit.record);
            record.miss(EventMask::of(EventType::StateChange));
            context.attention.leave(record, || record.share());
            context.waker.wake_by(0);
            let look = || {
                context
                    .attention
                    .take_all()
                    .any(|record| record.has_missed())
            };
            let is_woken = context.waker.was_woken();
            context.waker.get_up();
            let has_found = is_woken && look();
            context.waker.lie_down(LATE);
            has_found || look()
        },
        |circuit, (), has_found| has_found || circuit.context.waker.was_woken(),
    );
    assert_eq!(seen, HashSet::from([true]));
}

/// One thread opens the circuit. Another one makes it half-open and reads the time of the opening.
///
/// Mutations: `a-stamp-that-forgets-its-opening`, `an-opening-without-a-stamp-left-alone`.
#[test]
fn an_opening_has_one_time_from_the_moment_at_which_it_is_seen() {
    fn opened(circuit: &Circuit) -> (u32, u64) {
        circuit.record.trips_and_opening(&circuit.context)
    }
    let seen = explore_with(
        |options| options,
        2,
        |circuit| circuit.clock.advance(Duration::from_millis(5)),
        open,
        |circuit| {
            circuit.clock.advance(Duration::from_millis(5));
            circuit
                .record
                .half_open(&circuit.context)
                .expect("registered");
            opened(circuit)
        },
        |circuit, (), (trips, time)| {
            let (_, last) = opened(circuit);
            (trips, time != 0, last == time)
        },
    );
    // The opening came first, or last.
    assert_eq!(seen, [(1, true, true), (0, false, false)].into());
}

/// A failure after one that obeyed new settings obeys them, too, however often its exchange fails.
///
/// Mutations: `settings-read-before-the-words`, `a-limit-read-once`.
#[test]
fn a_failure_after_one_that_obeyed_new_settings_obeys_them() {
    three_failures_open_at_a_limit_of_three(3, |options| options.max_attempts(5));
    three_failures_open_at_a_limit_of_three(2, |options| {
        options.max_attempts(5).window(Duration::from_secs(60))
    });
}

fn three_failures_open_at_a_limit_of_three(
    preemptions: usize,
    settings: fn(ConnectionOptions) -> ConnectionOptions,
) {
    let seen = explore_with(
        settings,
        preemptions,
        nothing,
        |circuit| circuit.fail(None).unwrap(),
        |circuit| {
            let before = circuit.fail(None).unwrap();
            circuit.configure(&ConnectionOptions::new().max_attempts(3));
            (before, circuit.fail(None).unwrap())
        },
        |circuit, one, two| (one, two, circuit.seen().0),
    );
    let opened = seen.iter().all(|(.., state)| *state == State::Open);
    assert!(opened, "three failures: {seen:?}");
}
