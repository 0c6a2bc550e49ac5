//! The overflow path: a kept event that finds the ring full is still delivered. What subscribers
//! hear of registrations and removals is in [`lifetimes`](super::lifetimes).
//!
//! | mutation | caught by |
//! |---|---|
//! | `missing-by-a-store`, `taking-what-was-missed-by-a-store` | `two_changes_without_room_are_delivered` |
//! | `noting-a-record-again` | `a_record_that_is_found_twice_loses_nothing` |
//! | `outdated-notices-as-they-are` | `two_changes_with_room_are_delivered` |
//! | `leaving-before-the-mark` | `a_change_that_found_no_room_is_delivered` |
//! | `unlisted-before-the-mark`, `taking-unlisted-by-a-store` | `a_change_of_a_late_registration_is_delivered` |
//! | `born-without-interest`, `interest-known-before-it-is-learned` | `a_change_before_the_interest_is_learned_is_delivered` |
//! | `learning-without-a-fence` | `a_change_after_a_subscription_is_delivered` |
//! | `changing-without-a-fence` | `a_change_that_a_subscriber_does_not_see_yet_is_delivered` |
//! | `interest-learned-on-top` | `interest_that_is_learned_late_is_not_stale` |

use std::time::Duration;

use loom::sync::Arc;
use loom::sync::atomic::{AtomicU32, Ordering};
use loom::thread;

use crate::circuit::context::Context;
use crate::circuit::event_sink::EventSink;
use crate::circuit::record::{OpenFor, RecordRef, Registrant};
use crate::events::bus::Bus;
use crate::events::bus::Dispatched;
use crate::events::bus::Notices;
use crate::events::subscriber::{Sink, Subscriber};
use crate::events::subscriber_queue::SubscriberQueue;
use crate::sys::atomic::{fence, fence_after_rmw};
use crate::sys::clock::Clock;
use crate::sys::manual_clock::ManualClock;
use crate::values::event::{Event, EventFilter, EventMask, EventType, Report};
use crate::values::settings::Global;
use crate::values::state::State;

fn record_of(context: &Context, name: &str) -> RecordRef {
    let mut registrant = Registrant::new(context, name.into());
    registrant.with(context, None).expect("valid");
    let [record, _] = RecordRef::new(context, &mut registrant);
    record
}

struct Shared {
    context: Context,
    bus: std::sync::Arc<Bus>,
    record: RecordRef,
    queue: std::sync::Arc<SubscriberQueue>,
}

impl Shared {
    /// A full ring of two, and a subscriber to changes of state.
    fn new(is_late: bool) -> Self {
        Self::without_room(is_late, &[EventType::StateChange])
    }

    /// A full ring of two, and a subscriber to the types in `wanted`.
    fn without_room(is_late: bool, wanted: &[EventType]) -> Self {
        let mut shared = Self::heard(wanted);
        let filler = record_of(&shared.context, "filler");
        filler.learn_interest(&*shared.bus);
        // Two events fill the ring; the third finds it full and records that.
        for _ in 0..if is_late { 3 } else { 2 } {
            filler.half_open(&shared.context).expect("registered");
            filler.reset(&shared.context).expect("registered");
        }
        if is_late {
            shared.record = record_of(&shared.context, "late");
        }
        shared.record.learn_interest(&*shared.bus);
        shared
    }

    /// An empty ring, and a record that does not know yet which events subscribers want.
    fn just_registered() -> Self {
        Self::heard(&[EventType::StateChange])
    }

    /// [`Shared::just_registered`], with a subscriber to the types in `wanted`.
    fn heard(wanted: &[EventType]) -> Self {
        let bus = std::sync::Arc::new(Bus::new(Notices::new(2)));
        let context = Context::new(
            Clock::Manual(ManualClock::new()),
            Global::default(),
            bus.clone(),
            None,
        );
        let queue = std::sync::Arc::new(SubscriberQueue::new(8));
        let filter = EventFilter::new().types(wanted.iter().copied());
        let subscriber = Subscriber::new(1, filter, Sink::SubscriberQueue(queue.clone()));
        subscriber.begin();
        drop(bus.add(std::sync::Arc::new(subscriber)).0);
        let record = record_of(&context, "db");
        Shared {
            context,
            bus,
            record,
            queue,
        }
    }

    /// An empty ring, and no subscriber.
    fn unheard() -> Self {
        let bus = std::sync::Arc::new(Bus::new(Notices::new(2)));
        let context = Context::new(
            Clock::Manual(ManualClock::new()),
            Global::default(),
            bus.clone(),
            None,
        );
        Shared {
            record: record_of(&context, "db"),
            queue: std::sync::Arc::new(SubscriberQueue::new(8)),
            context,
            bus,
        }
    }

    /// Subscribes as the engine does. `finds` returns whether the table has the record.
    fn subscribe(&self, finds: impl FnOnce() -> bool) {
        let filter = EventFilter::new().types([EventType::StateChange]);
        let interest = filter.interest_in(self.record.key());
        let sink = Sink::SubscriberQueue(self.queue.clone());
        let subscriber = std::sync::Arc::new(Subscriber::new(1, filter, sink));
        let (changing, is_first) = self.bus.add(subscriber.clone());
        fence(crate::sys::atomic::Ordering::SeqCst);
        if finds() {
            self.record.add_interest(interest, is_first, &*self.bus);
        }
        subscriber.begin();
        drop(changing);
        fence(crate::sys::atomic::Ordering::SeqCst);
    }

    fn change(&self, to: State) {
        let record = &self.record;
        let done = match to {
            State::Open => {
                let for_a_while = OpenFor::Custom(Duration::from_millis(5));
                record.open(&self.context, &Report::NONE, for_a_while)
            }
            State::HalfOpen => record.half_open(&self.context),
            _ => record.reset(&self.context),
        };
        done.expect("registered");
    }

    /// One turn of the driver.
    fn round(&self) {
        self.round_with(&[]);
    }

    /// [`Shared::round`], with records that the driver has already found on the stack.
    fn round_with(&self, found: &[RecordRef]) {
        let late = || {
            let waiting = self.context.attention.take_all();
            let mut late: Vec<_> = waiting.filter(|record| record.has_missed()).collect();
            if self.bus.take_unlisted() && self.record.has_missed() {
                late.push(self.record.share());
            }
            late.extend_from_slice(found);
            late
        };
        let dispatched = self.bus.dispatch(&self.context, late, &Default::default);
        assert_eq!(dispatched, Dispatched::Done);
    }

    /// The latest state that was delivered to the subscriber.
    fn told(&self) -> Option<State> {
        let name = self.record.key().to_buf();
        let events = self.queue.drain(64);
        assert!(events.is_sorted_by(|one, next| one.sequence() < next.sequence()));
        let of_record = events
            .iter()
            .filter(|event| event.connection() == name.identifier);
        of_record.last().map(Event::new_state)
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.context.attention.take_all().for_each(drop);
    }
}

fn check(
    preemptions: usize,
    changes: &'static [State],
    begin: impl Fn() -> Shared + Sync + Send + 'static,
) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.max_branches = 10_000;
    builder.check(move || {
        let shared = Arc::new(begin());
        let mut parties: Vec<_> = changes
            .iter()
            .map(|to| {
                let shared = shared.clone();
                thread::spawn(move || shared.change(*to))
            })
            .collect();
        parties.push(thread::spawn({
            let shared = shared.clone();
            move || shared.round()
        }));
        for party in parties {
            party.join().unwrap();
        }
        shared.round();
        assert_eq!(shared.told(), Some(shared.record.state(&shared.context)));
    });
}

// The change is no opening: an opening always leaves the record on the stack, for its expiry.
#[test]
fn a_change_that_found_no_room_is_delivered() {
    check(2, &[State::HalfOpen], || Shared::new(false));
}

#[test]
fn two_changes_without_room_are_delivered() {
    check(1, &[State::Open, State::HalfOpen], || Shared::new(false));
}

#[test]
fn two_changes_with_room_are_delivered() {
    check(2, &[State::Open, State::HalfOpen], || {
        let shared = Shared::just_registered();
        shared.record.learn_interest(&*shared.bus);
        shared
    });
}

#[test]
fn a_change_of_a_late_registration_is_delivered() {
    check(2, &[State::HalfOpen], || Shared::new(true));
}

/// Two threads find that an opening is over.
///
/// Mutation: `expiring-despite-a-failed-exchange`.
#[test]
fn an_expiry_that_two_threads_see_is_delivered_once() {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(2);
    builder.check(|| {
        let shared = Arc::new(Shared::heard(&[EventType::Expiry]));
        shared.change(State::Open);
        let Clock::Manual(clock) = &shared.context.clock else {
            unreachable!("models keep to a manual clock");
        };
        clock.advance(Duration::from_millis(5));
        let parties = [(); 2].map(|()| {
            let shared = shared.clone();
            thread::spawn(move || shared.record.state(&shared.context))
        });
        for party in parties {
            assert_eq!(party.join().unwrap(), State::HalfOpen);
        }
        shared.round();
        assert_eq!(shared.queue.drain(64).len(), 1);
    });
}

/// The driver finds a record on the stack twice, and the record misses another event in between.
#[test]
fn a_record_that_is_found_twice_loses_nothing() {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(2);
    builder.max_branches = 10_000;
    builder.check(|| {
        let wanted = [EventType::CircuitHalfOpened, EventType::CircuitReset];
        let shared = Arc::new(Shared::without_room(false, &wanted));
        shared.change(State::HalfOpen);
        let changes = thread::spawn({
            let shared = shared.clone();
            move || shared.change(State::Closed)
        });
        let dispatches = thread::spawn({
            let shared = shared.clone();
            move || shared.round_with(&[shared.record.share(), shared.record.share()])
        });
        changes.join().unwrap();
        dispatches.join().unwrap();
        shared.round();
        let events = shared.queue.drain(64);
        let heard = events
            .iter()
            .filter(|event| event.registration() == shared.record.id())
            .map(Event::event_type);
        let heard: std::collections::BTreeSet<_> = heard.collect();
        assert_eq!(heard, wanted.into());
    });
}

#[test]
fn a_change_before_the_interest_is_learned_is_delivered() {
    // Both orders: loom leaves out some executions in which the party that was spawned first comes
    // later.
    [false, true]
        .into_iter()
        .for_each(a_change_beside_a_reporter_that_learns);
}

fn a_change_beside_a_reporter_that_learns(changes_last: bool) {
    loom::model(move || {
        let shared = Arc::new(Shared::just_registered());
        let parties = [changes_last, !changes_last].map(|learns| {
            let shared = shared.clone();
            thread::spawn(move || match learns {
                true => shared.record.learn_interest(&*shared.bus),
                false => shared.change(State::Open),
            })
        });
        for party in parties {
            party.join().unwrap();
        }
        shared.round();
        assert_eq!(shared.told(), Some(State::Open));
    });
}

/// One thread registers a connection, another one subscribes, and a third one reports. A
/// subscriber that then changes the state receives that change.
#[test]
fn a_change_after_a_subscription_is_delivered() {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(2);
    builder.check(|| {
        let shared = Arc::new(Shared::unheard());
        // 1: the record can be found.
        let table = Arc::new(AtomicU32::new(0));
        let party = |work: fn(&Shared, &AtomicU32) -> bool| {
            let (shared, table) = (shared.clone(), table.clone());
            thread::spawn(move || work(&shared, &table))
        };
        let registers = party(|shared, table| {
            table.swap(1, Ordering::AcqRel);
            fence_after_rmw();
            if shared.bus.has_audience() {
                shared.record.learn_interest(&*shared.bus);
            }
            false
        });
        let subscribes = party(|shared, table| {
            shared.subscribe(|| table.load(Ordering::Acquire) == 1);
            let changes = table.load(Ordering::Acquire) == 1;
            if changes {
                shared.change(State::HalfOpen);
            }
            changes
        });
        let reports = party(|shared, table| {
            if table.load(Ordering::Acquire) == 1 {
                shared.record.learn_interest(&*shared.bus);
            }
            false
        });
        registers.join().unwrap();
        reports.join().unwrap();
        let changes = subscribes.join().unwrap();
        shared.round();
        assert_eq!(shared.told(), changes.then_some(State::HalfOpen));
    });
}

/// A subscriber that still sees the old state receives the change.
#[test]
fn a_change_that_a_subscriber_does_not_see_yet_is_delivered() {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(2);
    builder.check(|| {
        let shared = Arc::new(Shared::unheard());
        // There is no subscriber yet, so the record knows that no event is wanted.
        shared.record.learn_interest(&*shared.bus);
        let subscribes = thread::spawn({
            let shared = shared.clone();
            move || {
                shared.subscribe(|| true);
                shared.record.state(&shared.context)
            }
        });
        let changes = thread::spawn({
            let shared = shared.clone();
            move || shared.change(State::HalfOpen)
        });
        changes.join().unwrap();
        let seen = subscribes.join().unwrap();
        shared.round();
        if seen == State::Closed {
            assert_eq!(shared.told(), Some(State::HalfOpen));
        }
    });
}

/// The first report learns the interest while another thread unsubscribes. In the end the interest
/// is that of the subscribers that are left.
#[test]
fn interest_that_is_learned_late_is_not_stale() {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(|| {
        let shared = Arc::new(Shared::just_registered());
        let learns = thread::spawn({
            let shared = shared.clone();
            move || shared.record.learn_interest(&*shared.bus)
        });
        let unsubscribes = thread::spawn({
            let shared = shared.clone();
            move || {
                let bus = &*shared.bus;
                let _changing = bus.remove(&bus.find(|_| true));
                let interest = bus.interest_in(shared.record.key());
                shared.record.set_interest(interest);
            }
        });
        learns.join().unwrap();
        unsubscribes.join().unwrap();
        assert_eq!(shared.record.interest(), EventMask::NONE);
    });
}
