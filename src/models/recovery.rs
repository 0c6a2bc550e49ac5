//! The recovery of a half-open circuit: probes that decide by a rate, and the ramp (`recovery` in
//! [`record`](crate::circuit::record)).

use std::collections::HashSet;
use std::hash::Hash;
use std::time::Duration;

use loom::sync::Arc;
use loom::thread;

use super::circuit::{Circuit, circuit_heard_by, explore_with, half_open, one_of, open};
use crate::circuit::context::Context;
use crate::circuit::event_sink::{EventSink, Notice};
use crate::circuit::record::{Record, Refusal};
use crate::sys::atomic::{AtomicUsize, Ordering};
use crate::values::event::{EventMask, EventType};
use crate::values::key::Key;
use crate::values::settings::ConnectionOptions;
use crate::values::state::State;

/// How long a ramp lasts, in ms.
const RAMP: u64 = 1_000;

/// A ramp that admits every call. An opening lasts longer than the ramp.
fn ramp(options: ConnectionOptions) -> ConnectionOptions {
    options
        .expiry(Duration::from_millis(60 * RAMP))
        .ramp(Duration::from_millis(RAMP))
        .ramp_start(1.0)
}

/// The circuit has opened once, a probe has succeeded, and a call of the ramp is under way.
pub(super) fn ramping(circuit: &Circuit) {
    open(circuit);
    half_open(circuit);
    let probe = circuit.acquire().expect("a place");
    circuit.succeed(Some(probe)).expect("timely");
    *circuit.ticket.lock().unwrap() = circuit.acquire().ok();
    assert!(circuit.record.word_now().is_ramp());
}

/// [`ramping`], and a call of the ramp has failed.
fn ramping_with_one_failure(circuit: &Circuit) {
    ramping(circuit);
    assert_eq!(fail(circuit), Ok(1));
}

/// A call of the ramp fails.
pub(super) fn fail(circuit: &Circuit) -> Result<u32, Refusal> {
    let ticket = *circuit.ticket.lock().unwrap();
    circuit.fail(ticket)
}

fn succeed(circuit: &Circuit) -> Result<(), Refusal> {
    let ticket = *circuit.ticket.lock().unwrap();
    circuit.succeed(ticket)
}

/// The driver ends the ramp by its clock, which is ahead of the other party's.
pub(super) fn end(circuit: &Circuit) {
    circuit.record.expire(&circuit.context, RAMP + 2);
}

type Seen = (State, u32, u32);

/// [`explore_with`] the settings of [`ramp`], and at most three preemptions.
fn explore_ramp<A, B, T>(
    prepare: fn(&Circuit),
    first: fn(&Circuit) -> A,
    second: fn(&Circuit) -> B,
    finally: fn(&Circuit, A, B) -> T,
) -> HashSet<T>
where
    A: 'static,
    B: 'static,
    T: Eq + Hash + Clone + Send + 'static,
{
    explore_with(ramp, 3, prepare, first, second, finally)
}

/// A failure counts in the ramp, which forgets it at its end, or in the closed circuit after it.
///
/// Mutation: `a-failure-while-half-open-by-a-store`. The store brings the ramp back.
#[test]
fn a_failure_beside_the_end_of_a_ramp_counts_once() {
    const EXPECTED: [Seen; 2] = [(State::Closed, 0, 0), (State::Closed, 1, 0)];
    let seen = explore_ramp(ramping, end, fail, |circuit, (), count| {
        assert_eq!(count, Ok(1));
        one_of(&EXPECTED, circuit.seen())
    });
    assert_eq!(seen, EXPECTED.into());
}

/// Mutation: `a-report-while-half-open-by-a-store`. The store brings the ramp back.
#[test]
fn a_success_beside_the_end_of_a_ramp_leaves_it_closed() {
    let prepare = ramping_with_one_failure;
    explore_ramp(prepare, end, succeed, |circuit, (), answer| {
        assert_eq!(answer, Ok(()));
        assert_eq!(circuit.seen(), (State::Closed, 0, 0));
    });
}

/// Reports two failures in a row. Returns their counts, and whether the ramp was still on after the
/// first one.
fn fail_twice(circuit: &Circuit) -> (u32, bool, u32) {
    let one = fail(circuit).expect("timely");
    let is_ramp = circuit.record.word_now().is_ramp();
    (one, is_ramp, fail(circuit).expect("timely"))
}

/// Two failures in a row open the circuit in the ramp and, by its settings, after the ramp. One
/// failure before the end and one after it do not.
///
/// Mutation: `a-ramp-that-hands-its-failures-on`.
#[test]
fn failures_on_both_sides_of_the_end_of_a_ramp_are_not_two_in_a_row() {
    let seen = explore_with(ramp, 2, ramping, end, fail_twice, |circuit, (), counts| {
        let (one, is_ramp, two) = counts;
        assert_eq!(one, 1);
        let seen = (two, circuit.seen());
        match is_ramp {
            true => one_of(
                &[(2, (State::Open, 2, 2)), (1, (State::Closed, 1, 0))],
                seen,
            ),
            false => one_of(
                &[(1, (State::Closed, 1, 0)), (2, (State::Open, 2, 1))],
                seen,
            ),
        }
    });
    assert_eq!(seen.len(), 3);
}

/// Mutation: `a-failure-while-half-open-by-a-store`. Neither failure sees the other one.
#[test]
fn two_failures_in_a_ramp_open_once() {
    explore_ramp(ramping, fail, fail, |circuit, one, other| {
        let counts = (one.expect("timely"), other.expect("timely"));
        one_of(&[(1, 2), (2, 1)], counts);
        assert_eq!(circuit.seen(), (State::Open, 2, 2));
    });
}

/// A caller and the driver find the ramp over. The caller then opens the circuit.
///
/// Mutation: `ending-a-ramp-by-a-store`. The second end then closes the circuit that has opened.
#[test]
fn a_ramp_that_two_threads_find_over_ends_once() {
    let seen = explore_with(
        ramp,
        2,
        over,
        end,
        |circuit| {
            let ticket = circuit.acquire().expect("it is closed");
            open(circuit);
            ticket.generation().bits()
        },
        |circuit, (), generation| (generation, circuit.seen()),
    );
    // To open, half-open, the ramp and closed: four changes, and no fifth.
    assert_eq!(seen, [(4, (State::Open, 0, 1))].into());
}

/// [`ramping`], and the ramp is over.
fn over(circuit: &Circuit) {
    ramping(circuit);
    circuit.clock.advance(Duration::from_millis(RAMP + 2));
}

/// A sink that counts the events of a closing.
struct Closings(AtomicUsize);

impl EventSink for Closings {
    fn has_audience(&self) -> bool {
        true
    }

    fn interest_in(&self, _key: Key<'_>) -> EventMask {
        EventMask::of(EventType::CircuitClosed)
    }

    fn publish(&self, _context: &Context, _notice: Notice) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    fn settle(&self, _context: &Context, _record: &Record) {}

    fn count_left(&self) {}
}

/// Mutation: `publishing-the-end-of-a-ramp-despite-a-failed-exchange`.
#[test]
fn the_end_of_a_ramp_is_reported_once() {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(2);
    builder.check(|| {
        let closings = std::sync::Arc::new(Closings(AtomicUsize::new(0)));
        let circuit = Arc::new(circuit_heard_by(closings.clone(), ramp));
        over(&circuit);
        let parties = [(); 2].map(|()| {
            let circuit = circuit.clone();
            thread::spawn(move || circuit.record.state(&circuit.context))
        });
        for party in parties {
            assert_eq!(party.join().unwrap(), State::Closed);
        }
        assert_eq!(circuit.seen(), (State::Closed, 0, 0));
        assert_eq!(closings.0.load(Ordering::Relaxed), 1);
    });
}

/// Two probes at once. One success begins the ramp.
fn two_probes(options: ConnectionOptions) -> ConnectionOptions {
    ramp(options).half_open_max_calls(2)
}

/// Returns whether the call was a probe, and whether its report counted.
fn probe_succeeds(circuit: &Circuit) -> (bool, bool) {
    let probe = circuit.acquire().expect("a place, or the ramp");
    (probe.is_probe(), circuit.succeed(Some(probe)).is_ok())
}

/// One success begins the ramp. A probe that is still out then is stale. A call that comes later is
/// one of the ramp.
///
/// Mutation: `beginning-a-ramp-despite-a-failed-exchange`.
#[test]
fn of_two_probes_that_succeed_at_once_one_begins_the_ramp() {
    let seen = explore_with(
        two_probes,
        3,
        half_open,
        probe_succeeds,
        probe_succeeds,
        |circuit, one, other| {
            let word = circuit.record.word_now();
            assert!(word.is_ramp());
            // To half-open, and to the ramp.
            assert_eq!(word.generation().bits(), 2);
            one_of(&EXPECTED, (one.min(other), one.max(other)))
        },
    );
    const BEGAN: (bool, bool) = (true, true);
    const EXPECTED: [((bool, bool), (bool, bool)); 2] =
        [((true, false), BEGAN), ((false, true), BEGAN)];
    assert_eq!(seen, EXPECTED.into());
}

/// A closing by hand keeps the failures and the trips.
///
/// Mutation: `a-hand-that-ends-a-ramp-as-time-does`.
#[test]
fn a_closing_by_hand_beside_the_end_of_a_ramp_closes_once() {
    const EXPECTED: [Seen; 2] = [(State::Closed, 0, 0), (State::Closed, 1, 1)];
    let prepare = ramping_with_one_failure;
    let seen = explore_ramp(prepare, end, Circuit::close, |circuit, (), ()| {
        one_of(&EXPECTED, circuit.seen())
    });
    assert_eq!(seen, EXPECTED.into());
}

/// The first of the two opens the circuit.
///
/// Mutation: `a-tally-without-the-failure-of-a-ramp`.
#[test]
fn the_second_failure_of_a_ramp_and_an_opening_by_hand_agree() {
    explore_ramp(
        ramping_with_one_failure,
        open,
        |circuit| circuit.fail(None),
        |circuit, (), count| {
            assert_eq!(count, Ok(2));
            assert_eq!(circuit.seen(), (State::Open, 2, 2));
        },
    );
}

/// Half-opening by hand leaves a ramp as it is, and sends a closed circuit back to probes.
///
/// Mutation: `a-hand-that-turns-a-ramp-into-probes`.
#[test]
fn half_open_by_hand_beside_the_end_of_a_ramp_leaves_the_ramp() {
    const EXPECTED: [Seen; 2] = [(State::Closed, 0, 0), (State::HalfOpen, 0, 0)];
    let seen = explore_ramp(ramping, end, half_open, |circuit, (), ()| {
        one_of(&EXPECTED, circuit.seen())
    });
    assert_eq!(seen, EXPECTED.into());
}

/// The failure comes before the reset, which forgets it. Or it comes after the reset, which has
/// made its permit stale.
///
/// Mutation: `a-hand-that-leaves-the-evidence-of-a-ramp`. The ramp's permits then stay valid, too.
#[test]
fn a_reset_of_a_ramp_makes_its_permits_stale() {
    let seen = explore_ramp(ramping, Circuit::reset, fail, |circuit, (), answer| {
        assert_eq!(circuit.seen(), (State::Closed, 0, 0));
        one_of(&[Ok(1), Err(Refusal::Stale)], answer).is_ok()
    });
    assert_eq!(seen, [false, true].into());
}

fn retire(circuit: &Circuit) -> bool {
    circuit.record.retire()
}

/// Mutation: `a-failure-while-half-open-by-a-store`. The store brings the connection back.
#[test]
fn a_removal_beside_a_failure_of_a_ramp_is_final() {
    let seen = explore_ramp(ramping, retire, fail, |circuit, removed, answer| {
        assert!(removed);
        assert!(circuit.record.is_retired());
        one_of(&[Ok(1), Err(Refusal::Gone)], answer).is_ok()
    });
    assert_eq!(seen, [false, true].into());
}

/// Mutation: `ending-a-ramp-by-a-store`. The store brings the connection back.
#[test]
fn a_removal_beside_the_end_of_a_ramp_is_final() {
    explore_ramp(ramping, retire, end, |circuit, removed, ()| {
        assert!(removed);
        assert!(circuit.record.is_retired());
        assert_eq!(circuit.record.state(&circuit.context), State::Unknown);
    });
}

/// Two of three probes that fail open the circuit.
fn two_of_three(options: ConnectionOptions) -> ConnectionOptions {
    options.half_open_max_calls(3).half_open_failure_rate(0.5)
}

/// The circuit is half-open, and one of three probes has succeeded.
fn one_of_three(circuit: &Circuit) {
    open(circuit);
    half_open(circuit);
    let probe = circuit.acquire().expect("a place");
    circuit.succeed(Some(probe)).expect("timely");
}

/// Returns whether the call was admitted as a probe, and whether its report counted.
fn probe(circuit: &Circuit, succeeds: bool) -> (bool, bool) {
    let Ok(ticket) = circuit.acquire() else {
        return (false, false);
    };
    let is_timely = match succeeds {
        true => circuit.succeed(Some(ticket)).is_ok(),
        false => circuit.fail(Some(ticket)).is_ok(),
    };
    (ticket.is_probe(), is_timely)
}

/// The success and the one before it close the circuit. The failure counts in the sample, or in the
/// closed circuit, or is late.
///
/// Mutation: `a-failure-while-half-open-by-a-store`. The store takes the success back.
#[test]
fn one_report_decides_a_sample() {
    explore_with(
        two_of_three,
        2,
        one_of_three,
        |circuit| probe(circuit, true),
        |circuit| probe(circuit, false),
        |circuit, one, _| {
            assert_eq!(one, (true, true));
            let (state, failures, trips) = circuit.seen();
            one_of(&[(State::Closed, 0), (State::Closed, 1)], (state, failures));
            assert_eq!(trips, 0);
        },
    );
}

/// Mutation: `a-report-while-half-open-by-a-store`. A success is then lost, and the sample stays
/// undecided with no slot left.
#[test]
fn of_two_reports_at_once_the_sample_has_both() {
    explore_with(
        |options| options.half_open_max_calls(2).half_open_failure_rate(0.5),
        2,
        |circuit| {
            open(circuit);
            half_open(circuit);
        },
        |circuit| probe(circuit, true),
        |circuit| probe(circuit, true),
        |circuit, one, other| {
            assert_eq!((one, other), ((true, true), (true, true)));
            assert_eq!(circuit.seen(), (State::Closed, 0, 0));
        },
    );
}

/// Two calls: the first one fails, and the second one succeeds. Returns how many were probes.
fn fail_and_succeed(circuit: &Circuit) -> usize {
    let calls = [false, true].map(|succeeds| probe(circuit, succeeds).0);
    calls.into_iter().filter(|is_probe| *is_probe).count()
}

/// A sample of two probes, both of which have to fail. One probe has failed or is out.
///
/// Mutation: `a-spent-place-that-is-free`. A third call is then admitted as a probe.
#[test]
fn no_more_calls_than_the_sample_are_admitted_to_probe() {
    explore_with(
        |options| options.half_open_max_calls(2).half_open_failure_rate(1.0),
        2,
        half_open,
        fail_and_succeed,
        |circuit| usize::from(circuit.acquire().is_ok_and(|ticket| ticket.is_probe())),
        |_, one, other| {
            let admitted = one + other;
            assert!(admitted <= 2, "{admitted}");
        },
    );
}
