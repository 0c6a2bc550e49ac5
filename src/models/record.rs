//! The state word and the loop around it: [`record`](crate::record).

use std::collections::HashSet;
use std::time::Duration;

use super::circuit::{Circuit, explore, explore_with, half_open, nothing, open};
use crate::config::ConnectionOptions;
use crate::event::{EventMask, EventType};
use crate::record::Refusal;
use crate::state::State;

/// Mutation: `Record::exchange` as load, compare, store.
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

/// Mutation: `seen_at` that tells of an expiry although its exchange failed.
#[test]
fn an_expiry_happens_once() {
    let seen = explore(
        |circuit| {
            open(circuit);
            circuit.clock.advance(Duration::from_millis(100));
        },
        |circuit| circuit.record.state(&circuit.env),
        |circuit| circuit.record.state(&circuit.env),
        |circuit, one, two| {
            // Closed, open, half-open: two changes, and no third.
            let ticket = circuit.acquire().expect("a probe");
            (one, two, ticket.generation().bits())
        },
    );
    assert_eq!(seen, [(State::HalfOpen, State::HalfOpen, 2)].into());
}

/// Mutation: `Probes::take` as a load and a store.
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

/// Mutation: no `check` of the ticket inside the loops of `apply_success` and `apply_failure`.
#[test]
fn a_late_report_changes_nothing() {
    // A probe reports its failure while somebody resets the circuit.
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
        // In time, and undone by the reset.
        ((true, true), (State::Closed, 0, 0)),
        // Too late.
        ((true, false), (State::Closed, 0, 0)),
        // Admitted after the reset.
        ((false, true), (State::Closed, 1, 0)),
    ];
    assert_eq!(seen, expected.into());
}

/// Mutation: `Probes::take` that does not look at the word again before it takes the slot of
/// another generation.
#[test]
fn who_missed_a_change_takes_no_place() {
    // One party asks for a probe while the other one fails the circuit, asks
    // for probes again and takes the only place. That place must stay its own.
    let seen = explore(
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
    for outcome in &seen {
        assert!(
            matches!(
                outcome,
                (Some(true), State::Closed) | (None, State::HalfOpen)
            ),
            "{seen:?}"
        );
    }
    assert!(seen.contains(&(Some(true), State::Closed)));
}

/// Two were allowed until now, one from now on: the failure after the change opens
/// the circuit, whatever another one is just learning.
///
/// Mutation: `limit` that reads the version after the settings.
#[test]
fn a_failure_after_a_change_of_settings_obeys_it() {
    let forget = |circuit: &Circuit| circuit.env.next_version();
    let seen = explore(
        forget,
        |circuit| {
            circuit.configure(&ConnectionOptions::new().max_attempts(1));
            let _ = circuit.fail(None);
            circuit.record.state(&circuit.env)
        },
        |circuit| circuit.fail(None),
        |_, state, _| state,
    );
    assert_eq!(seen, HashSet::from([State::Open]));
}

/// Whoever removes a connection finds what was missed of it, or whoever marked that finds
/// it removed.
///
/// Mutation: a load in `is_retired_by_now`.
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

/// A failure whose permit is of a state that is gone is in no window; every other one is.
///
/// Mutation: `apply_failure` that writes the time before the exchange.
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
        // In time, whichever closed state it was.
        ((false, Some(1)), closed(1)),
        // Admitted before, reported after.
        ((false, None), closed(0)),
        ((true, None), closed(0)),
        // A failed probe opens, and is closed by hand.
        ((true, Some(1)), (State::Closed, 1, 1)),
    ];
    assert_eq!(seen, expected.into());
}

/// Time goes on, and then the open circuit gets another 100 ms.
fn open_later(circuit: &Circuit) {
    circuit.clock.advance(Duration::from_millis(50));
    open(circuit);
}

/// A thread that read the clock before the time went on does not add that time to the wait.
///
/// Mutation: `a-wait-from-an-old-reading`.
#[test]
fn a_rejection_tells_no_longer_a_wait_than_the_opening_was_given() {
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
fn a_status_tells_no_longer_a_wait_than_the_opening_was_given() {
    let seen = explore(
        open,
        open_later,
        |circuit| {
            let status = circuit.record.status(&circuit.env);
            let wait = status.expect("registered").retry_after;
            wait.map(|wait| wait.as_millis())
        },
        |_, (), wait| wait,
    );
    assert_eq!(seen, [50, 100, 101].map(Some).into());
}

/// One thread opens the circuit; another one makes it half-open and asks when it was opened.
///
/// Mutations: `a-stamp-that-forgets-its-opening`, `an-opening-without-a-stamp-left-alone`.
#[test]
fn an_opening_has_one_time_from_the_moment_at_which_it_is_seen() {
    fn opened(circuit: &Circuit) -> (u32, u64) {
        circuit.record.trips_and_opening(&circuit.env)
    }
    let seen = explore_with(
        |options| options,
        2,
        |circuit| circuit.clock.advance(Duration::from_millis(5)),
        open,
        |circuit| {
            circuit.clock.advance(Duration::from_millis(5));
            circuit.record.half_open(&circuit.env).expect("registered");
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
