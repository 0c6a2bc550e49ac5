use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::circuit::record::{RecordRef, Registrant};
use crate::events::bus::Bus;
use crate::events::subscriber::Sink;
use crate::events::subscriber_queue::SubscriberQueue;
use crate::sys::clock::Clock;
use crate::sys::manual_clock::ManualClock;
use crate::values::event::{Event, EventFilter, EventType, Facts, Occurrence};
use crate::values::settings::Global;

/// A reporter is stopped between its reading of the clock and its push.
#[test]
fn an_event_that_comes_late_has_the_time_of_the_one_before() {
    let clock = ManualClock::new();
    let bus = std::sync::Arc::new(Bus::new(Notices::new(16)));
    let context = Context::new(
        Clock::Manual(clock.clone()),
        Global::default(),
        bus.clone(),
        None,
    );
    let queue = Arc::new(SubscriberQueue::new(8));
    let filter = EventFilter::new().types([EventType::Success, EventType::StateChange]);
    let subscriber = Subscriber::new(1, filter, Sink::SubscriberQueue(queue.clone()));
    subscriber.begin();
    drop(bus.add(Arc::new(subscriber)).0);
    let [one, two] = ["one", "two"].map(|name| {
        let mut registrant = Registrant::new(&context, name.into());
        registrant.with(&context, None).expect("valid");
        let [record, _] = RecordRef::new(&context, &mut registrant);
        record
    });
    clock.advance(Duration::from_millis(100));
    let success_at = |record: &RecordRef, time: u64| {
        let notice = Notice {
            record: record.share(),
            occurrence: Occurrence::Success,
            moved: false,
            wanted: EventMask::of(EventType::Success),
            facts: Facts {
                before: crate::values::state::State::Closed,
                ..record.facts_of_registration(time)
            },
        };
        bus.publish(&context, notice);
    };
    success_at(&one, 100);
    success_at(&one, 83);
    success_at(&two, 83);
    one.half_open(&context).expect("registered");
    clock.advance(Duration::from_millis(1));
    success_at(&one, 101);
    let dispatched = bus.dispatch(&context, Vec::new, &HashSet::new);
    assert_eq!(dispatched, Dispatched::Done);
    let told = |event: Event| {
        let time = event.timestamp() - context.clock.unix_ms(0);
        (event.name().as_key().identifier().to_owned(), time)
    };
    let told: Vec<_> = std::iter::from_fn(|| queue.take()).map(told).collect();
    let told: Vec<_> = told.iter().map(|(name, time)| (&**name, *time)).collect();
    assert_eq!(
        told,
        [
            ("one", 100),
            ("one", 100),
            ("two", 83),
            ("one", 100),
            ("one", 101)
        ]
    );
}

/// A reporter is stopped between its change of state and its notice, until the connection has come
/// and gone while a queue was full.
#[test]
fn a_queue_that_forgot_a_connection_receives_no_straggler() {
    let bus = Arc::new(Bus::new(Notices::new(16)));
    let clock = Clock::Manual(ManualClock::new());
    let context = Context::new(clock, Global::default(), bus.clone(), None);
    let queue = Arc::new(SubscriberQueue::new(1));
    let filter = EventFilter::new();
    let subscriber = Subscriber::new(1, filter, Sink::SubscriberQueue(queue.clone()));
    subscriber.begin();
    drop(bus.add(Arc::new(subscriber)).0);
    let register = |name: &str| {
        let mut registrant = Registrant::new(&context, name.into());
        registrant.with(&context, None).expect("valid");
        let [record, _] = RecordRef::new(&context, &mut registrant);
        record.notify_registration(&context);
        record
    };
    let dispatch = || {
        let dispatched = bus.dispatch(&context, Vec::new, &HashSet::new);
        assert_eq!(dispatched, Dispatched::Done);
    };
    let _fills_it = register("stays");
    dispatch();
    let passing = register("passing");
    assert!(passing.retire());
    passing.notify_removal(&context, &*bus, Occurrence::Unregistered);
    dispatch();
    let drained: Vec<_> = std::iter::from_fn(|| queue.take()).collect();
    assert!(drained.iter().all(|event| event.connection() == "stays"));
    bus.publish(
        &context,
        Notice {
            record: passing.share(),
            occurrence: Occurrence::Expiry,
            moved: true,
            wanted: EventMask::of(EventType::StateChange),
            facts: passing.facts_of_registration(0),
        },
    );
    dispatch();
    let heard = queue.take().map(|event| event.connection().to_owned());
    assert_eq!(heard, None, "the host never heard of it");
}
