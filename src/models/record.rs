//! The state word and the loop around it: [`record`](crate::record) with
//! [`probes`](crate::probes).
//!
//! Mutations these models catch (each made by hand, each failing as named):
//!
//! - `Record::swap` as load, compare, store: `the_last_failure_opens_once`,
//!   `a_success_and_the_last_failure_agree`, `a_late_report_changes_nothing`.
//! - `apply` that reports `Write` as done although the swap failed:
//!   `the_last_failure_opens_once`.
//! - No `check` of the ticket's generation inside the loop:
//!   `a_late_report_changes_nothing`.
//! - `Probes::take` as a load and a store: `one_probe_at_a_time`.
//! - `is_free` for every other generation, not only for earlier ones:
//!   `who_missed_a_change_takes_no_place`.
//! - `Record::close` that takes the count before it knows that it closes:
//!   `closing_by_hand_keeps_the_count`.
//! - `add_to_streak` that does not look at the word afterwards, or with Relaxed
//!   orderings: `a_failure_beside_the_word_is_not_lost`.
//! - `close` that does not put back what it did not need:
//!   `closing_by_hand_keeps_the_count`.
//! - `limit` that takes the version after the settings, or `next_version` before
//!   them: `a_failure_after_a_change_of_settings_obeys_it`.

use std::collections::HashSet;
use std::hash::Hash;
use std::sync::Mutex;
use std::time::Duration;

use loom::sync::Arc;
use loom::thread;

use crate::clock::{Clock, ManualClock};
use crate::config::{Config, ConnectionOptions};
use crate::env::Env;
use crate::event::{EventMask, EventType, Report};
use crate::record::{Newcomer, OpenFor, Profile, RecordRef, Refusal, Ticket};
use crate::state::State;

struct Circuit {
    env: Env,
    record: RecordRef,
    clock: ManualClock,
}

/// A circuit that opens at the second failure, for 100 ms.
fn circuit() -> Circuit {
    let clock = ManualClock::new();
    let env = Env::new(Clock::Manual(clock.clone()), Config::new(), 2, None);
    let options = ConnectionOptions::new()
        .max_attempts(2)
        .expiry(Duration::from_millis(100));
    let mut newcomer = Newcomer::new(&env, "db".into());
    newcomer.with(&env, Some(options)).expect("valid");
    let [record, _] = RecordRef::new(&env, &mut newcomer);
    // Nobody wants to hear of it: reports take the shortest way.
    record.learn_interest(&env.bus);
    Circuit { env, record, clock }
}

impl Circuit {
    fn fail(&self, ticket: Option<Ticket>) -> Result<u32, Refusal> {
        self.record.failure(&self.env, ticket, &Report::NONE)
    }

    fn succeed(&self, ticket: Option<Ticket>) -> Result<(), Refusal> {
        self.record.success(&self.env, ticket, &Report::NONE)
    }

    fn acquire(&self) -> Result<Ticket, Refusal> {
        self.record.acquire(&self.env)
    }

    /// State, failure count, trips.
    fn seen(&self) -> (State, u32, u32) {
        let status = self.record.status(&self.env).expect("registered");
        (status.state, status.failure_count, status.trips)
    }
}

impl Drop for Circuit {
    fn drop(&mut self) {
        // Records in the inbox refer to atomics of this execution.
        self.env.attention.take_all().for_each(drop);
    }
}

type Outcomes<T> = std::sync::Arc<Mutex<HashSet<T>>>;

/// Runs both parties on a circuit in all interleavings, and returns the set of
/// what `finally` saw.
fn explore<A, B, T>(
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
    let outcomes = Outcomes::default();
    let seen = outcomes.clone();
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(move || {
        let circuit = Arc::new(circuit());
        prepare(&circuit);
        let one = thread::spawn({
            let circuit = circuit.clone();
            move || first(&circuit)
        });
        let two = thread::spawn({
            let circuit = circuit.clone();
            move || second(&circuit)
        });
        let (one, two) = (one.join().unwrap(), two.join().unwrap());
        seen.lock().unwrap().insert(finally(&circuit, one, two));
    });
    outcomes.lock().unwrap().clone()
}

fn nothing(_: &Circuit) {}

fn one_failure(circuit: &Circuit) {
    circuit.fail(None).expect("counted");
}

fn half_open(circuit: &Circuit) {
    circuit.record.half_open(&circuit.env).expect("registered");
}

fn open(circuit: &Circuit) {
    let by_hand = circuit
        .record
        .open(&circuit.env, &Report::NONE, OpenFor::Configured);
    by_hand.expect("registered");
}

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
fn a_success_and_the_last_failure_agree() {
    let seen = explore(
        one_failure,
        |circuit| circuit.succeed(None).unwrap(),
        |circuit| circuit.fail(None).unwrap(),
        |circuit, (), count| (count, circuit.seen()),
    );
    // The success before the failure, or after it; a success after the opening
    // may or may not come in time to find the count beside the word.
    assert!(seen.contains(&(1, (State::Closed, 1, 0))), "{seen:?}");
    assert!(seen.contains(&(2, (State::Open, 0, 1))), "{seen:?}");
    for (count, (state, _, trips)) in &seen {
        let opened = *state == State::Open;
        assert_eq!((*count == 2, *trips == 1), (opened, opened), "{seen:?}");
    }
}

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

#[test]
fn a_late_report_changes_nothing() {
    // A probe reports its failure while somebody resets the circuit.
    let seen = explore(
        half_open,
        |circuit| {
            let ticket = circuit.acquire().expect("a place, or closed");
            (ticket.lease().is_some(), circuit.fail(Some(ticket)).is_ok())
        },
        |circuit| circuit.record.reset(&circuit.env).expect("registered"),
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

#[test]
fn closing_by_hand_keeps_the_count() {
    let seen = explore(
        |circuit| {
            one_failure(circuit);
            open(circuit);
        },
        |circuit| circuit.record.close(&circuit.env).expect("registered"),
        |circuit| circuit.record.close(&circuit.env).expect("registered"),
        |circuit, (), ()| circuit.seen(),
    );
    assert!(seen.contains(&(State::Closed, 1, 1)), "{seen:?}");
    assert_eq!(seen.len(), 1, "{seen:?}");
}

#[test]
fn a_failure_beside_the_word_is_not_lost() {
    let seen = explore(
        |circuit| {
            one_failure(circuit);
            open(circuit);
        },
        |circuit| circuit.record.close(&circuit.env).expect("registered"),
        |circuit| circuit.fail(None).expect("counted"),
        |circuit, (), count| (count, circuit.seen()),
    );
    // Before the closing, which keeps the count; or after it, which makes it the
    // second in a row and opens the circuit. A failure that comes while the count
    // is carried may answer without it.
    let before = (2, (State::Closed, 2, 1));
    let meanwhile = (1, (State::Closed, 2, 1));
    let after = (2, (State::Open, 2, 2));
    assert_eq!(seen, [before, meanwhile, after].into());
}

/// Two were allowed until now, one from now on: the failure after the change opens
/// the circuit, whatever another one is just learning.
#[test]
fn a_failure_after_a_change_of_settings_obeys_it() {
    let forget = |circuit: &Circuit| circuit.env.next_version();
    let seen = explore(
        forget,
        |circuit| {
            let options = ConnectionOptions::new().max_attempts(1);
            let profile = Profile {
                overrides: options.overrides,
                ..Profile::default()
            };
            let current = circuit.record.profile();
            assert!(circuit.record.replace_profile(&current, profile.into()));
            circuit.env.next_version();
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
