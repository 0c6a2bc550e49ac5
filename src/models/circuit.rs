//! One circuit, and two parties that do something to it at once.

use std::collections::HashSet;
use std::fmt::Debug;
use std::hash::Hash;
use std::sync::Mutex;
use std::time::Duration;

use crate::circuit::context::Context;
use crate::circuit::event_sink::{EventSink, Nowhere};
use crate::circuit::record::{OpenFor, Profile, RecordRef, Refusal, Registrant, Ticket};
use crate::sys::atomic::{Ordering, fence};
use crate::sys::clock::Clock;
use crate::sys::manual_clock::ManualClock;
use crate::values::event::Report;
use crate::values::settings::{ConnectionOptions, Global, Overrides};
use crate::values::state::State;
use loom::sync::Arc;
use loom::thread;

pub(super) struct Circuit {
    pub(super) context: Context,
    pub(super) record: RecordRef,
    pub(super) clock: ManualClock,
    /// The ticket of a call that is under way.
    pub(super) ticket: Mutex<Option<Ticket>>,
}

/// A circuit that opens at the second failure, for 100 ms, with further settings from `more`.
fn circuit(more: fn(ConnectionOptions) -> ConnectionOptions) -> Circuit {
    // No subscriber wants its events, so reports take the fast path.
    circuit_heard_by(std::sync::Arc::new(Nowhere), more)
}

/// [`circuit`], with `sink` for its events.
pub(super) fn circuit_heard_by(
    sink: std::sync::Arc<dyn EventSink>,
    more: fn(ConnectionOptions) -> ConnectionOptions,
) -> Circuit {
    let clock = ManualClock::new();
    let context = Context::new(Clock::Manual(clock.clone()), Global::default(), sink, None);
    let options = ConnectionOptions::new()
        .max_attempts(2)
        .expiry(Duration::from_millis(100));
    let mut registrant = Registrant::new(&context, "db".into());
    registrant
        .with(&context, Some(more(options)))
        .expect("valid");
    let [record, _] = RecordRef::new(&context, &mut registrant);
    record.learn_interest(&*context.sink);
    Circuit {
        context,
        record,
        clock,
        ticket: Mutex::default(),
    }
}

impl Circuit {
    pub(super) fn fail(&self, ticket: Option<Ticket>) -> Result<u32, Refusal> {
        self.record.failure(&self.context, ticket, &Report::NONE)
    }

    pub(super) fn succeed(&self, ticket: Option<Ticket>) -> Result<(), Refusal> {
        self.record.success(&self.context, ticket, &Report::NONE)
    }

    pub(super) fn acquire(&self) -> Result<Ticket, Refusal> {
        self.record.acquire(&self.context)
    }

    pub(super) fn close(&self) {
        self.record.close(&self.context).expect("registered");
    }

    pub(super) fn reset(&self) {
        self.record.reset(&self.context).expect("registered");
    }

    /// Gives the circuit `options`, as `Engine::configure_record` does.
    pub(super) fn configure(&self, options: &ConnectionOptions) {
        loop {
            let current = self.record.profile();
            let before = current.as_deref().cloned().unwrap_or_default();
            let overrides = options.applied_to(&before.overrides, &Overrides::NONE);
            let next = Profile {
                overrides: overrides.expect("valid"),
                ..before
            };
            if self.record.replace_profile(&current, next.into()) {
                break;
            }
        }
        self.context.next_version();
        fence(Ordering::SeqCst);
        self.record.fit_rates(&self.context);
        self.record.watch(&self.context);
        if options.changes.mode.is_given() {
            self.record.adopt_mode(&self.context);
        }
    }

    /// State, failure count, trips.
    pub(super) fn seen(&self) -> (State, u32, u32) {
        let status = self.record.status(&self.context).expect("registered");
        (status.state, status.failure_count, status.trips)
    }
}

impl Drop for Circuit {
    fn drop(&mut self) {
        // Records on the stack refer to atomics of this execution.
        self.context.attention.take_all().for_each(drop);
    }
}

type Outcomes<T> = std::sync::Arc<Mutex<HashSet<T>>>;

/// Runs both parties on a circuit in all interleavings, and returns the set of all results of
/// `finally`.
pub(super) fn explore<A, B, T>(
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
    explore_with(|options| options, 3, prepare, first, second, finally)
}

/// [`explore`] with further settings, and with a bound on the preemptions.
pub(super) fn explore_with<A, B, T>(
    settings: fn(ConnectionOptions) -> ConnectionOptions,
    preemptions: usize,
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
    // The party that is spawned first runs first, and loom misses some of the executions in which
    // it comes later. Neither runs in the model's main thread, which loom explores incompletely.
    for is_swapped in [false, true] {
        let seen = outcomes.clone();
        let mut builder = loom::model::Builder::new();
        builder.preemption_bound = Some(preemptions);
        // Two changes of settings at once take many.
        builder.max_branches = 4_000;
        builder.check(move || {
            let circuit = Arc::new(circuit(settings));
            prepare(&circuit);
            let one = || {
                let circuit = circuit.clone();
                thread::spawn(move || first(&circuit))
            };
            let two = || {
                let circuit = circuit.clone();
                thread::spawn(move || second(&circuit))
            };
            let (one, two) = if is_swapped {
                let two = two();
                (one(), two)
            } else {
                (one(), two())
            };
            let (one, two) = (one.join().unwrap(), two.join().unwrap());
            seen.lock().unwrap().insert(finally(&circuit, one, two));
        });
    }
    outcomes.lock().unwrap().clone()
}

/// Asserts that an outcome is one of `allowed`, and returns it. Called in each execution, so that a
/// broken model fails at once.
pub(super) fn one_of<T: PartialEq + Debug>(allowed: &[T], seen: T) -> T {
    assert!(allowed.contains(&seen), "{seen:?}");
    seen
}

pub(super) fn nothing(_: &Circuit) {}

pub(super) fn one_failure(circuit: &Circuit) {
    circuit.fail(None).expect("counted");
}

pub(super) fn half_open(circuit: &Circuit) {
    circuit
        .record
        .half_open(&circuit.context)
        .expect("registered");
}

/// Half-open, and the only probe is out.
pub(super) fn probing(circuit: &Circuit) {
    half_open(circuit);
    *circuit.ticket.lock().unwrap() = circuit.acquire().ok();
}

pub(super) fn open(circuit: &Circuit) {
    let by_hand = circuit
        .record
        .open(&circuit.context, &Report::NONE, OpenFor::Configured);
    by_hand.expect("registered");
}

/// One failure, and then opened by hand.
pub(super) fn open_with_one_failure(circuit: &Circuit) {
    one_failure(circuit);
    open(circuit);
}
