//! The threads that wait for a queue: [`subscriber_queue`](crate::events::subscriber_queue). A
//! thread that sleeps for ever is a deadlock, which loom finds.

use std::time::Duration;

use loom::thread;

use crate::circuit::context::Context;
use crate::circuit::record::{RecordRef, Registrant};
use crate::events::bus::Bus;
use crate::events::bus::Notices;
use crate::events::subscriber::{Sink, Subscriber};
use crate::events::subscriber_queue::SubscriberQueue;
use crate::sys::clock::Clock;
use crate::sys::manual_clock::ManualClock;
use crate::values::event::{EventFilter, EventType};
use crate::values::settings::Global;

/// A dispatcher, and a connection whose events go to one queue.
struct Delivery {
    context: Context,
    bus: std::sync::Arc<Bus>,
    record: RecordRef,
    subscriber: std::sync::Arc<Subscriber>,
}

impl Delivery {
    fn to(queue: &std::sync::Arc<SubscriberQueue>) -> Self {
        let clock = Clock::Manual(ManualClock::new());
        let bus = std::sync::Arc::new(Bus::new(Notices::new(2)));
        let context = Context::new(clock, Global::default(), bus.clone(), None);
        let filter = EventFilter::new().types([EventType::StateChange]);
        let sink = Sink::SubscriberQueue(queue.clone());
        let subscriber = std::sync::Arc::new(Subscriber::new(1, filter, sink));
        subscriber.begin();
        drop(bus.add(subscriber.clone()).0);
        let mut registrant = Registrant::new(&context, "db".into());
        registrant.with(&context, None).expect("valid");
        let [record, _]: [RecordRef; 2] = RecordRef::new(&context, &mut registrant);
        Delivery {
            context,
            bus,
            record,
            subscriber,
        }
    }

    /// Delivers one event, or two in one burst.
    fn run(&self, events: u32) {
        self.record.half_open(&self.context).expect("registered");
        if events == 2 {
            self.record.reset(&self.context).expect("registered");
        }
        let _ = self
            .bus
            .dispatch(&self.context, Vec::new, &Default::default);
    }
}

/// Delivers one event to a queue, or two in one burst.
fn deliver(queue: &std::sync::Arc<SubscriberQueue>, events: u32) {
    let delivery = Delivery::to(queue);
    delivery.run(events);
    // Keeps the subscription, whose end would wake all threads. The model closes the queue itself.
    std::mem::forget(delivery.subscriber.clone());
}

/// One thread takes an event, and another one only looks. The wake for the event may go to the
/// thread that looks.
///
/// Mutations: `looking-without-passing-on`, `posting-without-a-wake`.
#[test]
fn a_waiting_and_a_taking_thread_both_wake() {
    loom::model(|| {
        let queue = std::sync::Arc::new(SubscriberQueue::new(8));
        let looks = thread::spawn({
            let queue = queue.clone();
            move || queue.wait_for_any(Duration::MAX)
        });
        let takes = thread::spawn({
            let queue = queue.clone();
            move || queue.wait(Duration::MAX).is_some()
        });
        deliver(&queue, 1);
        assert!(takes.join().unwrap());
        // The thread that looks may have found nothing, and may still sleep.
        queue.close();
        looks.join().unwrap();
    });
}

/// The dispatcher wakes one thread for a burst of two events. The thread that takes the first event
/// wakes the other thread.
///
/// Mutations: `taking-without-passing-on`, `sleeping-uncounted`.
#[test]
fn a_lot_wakes_as_many_as_it_has_events() {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(2);
    builder.check(|| {
        let queue = std::sync::Arc::new(SubscriberQueue::new(8));
        let takers = [(); 2].map(|()| {
            let queue = queue.clone();
            thread::spawn(move || queue.wait(Duration::MAX).is_some())
        });
        let dispatcher = thread::spawn({
            let queue = queue.clone();
            move || deliver(&queue, 2)
        });
        for taker in takers {
            assert!(taker.join().unwrap());
        }
        dispatcher.join().unwrap();
        assert!(!queue.has_any());
    });
}

/// A queue gets no more events once its subscription has ended. The queue itself sees to that,
/// since it is not behind the use gate.
///
/// Mutation: `posting-to-a-closed-queue`.
#[test]
fn an_ended_subscription_gets_nothing_more() {
    loom::model(|| {
        let queue = std::sync::Arc::new(SubscriberQueue::new(8));
        let delivery = loom::sync::Arc::new(Delivery::to(&queue));
        let dispatcher = thread::spawn({
            let delivery = delivery.clone();
            move || delivery.run(1)
        });
        let ends = thread::spawn({
            let (queue, delivery) = (queue.clone(), delivery.clone());
            move || {
                delivery.subscriber.close(true);
                queue.drain(8);
            }
        });
        ends.join().unwrap();
        dispatcher.join().unwrap();
        assert!(!queue.has_any());
    });
}
