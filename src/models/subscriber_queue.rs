//! The threads that wait for a queue: [`subscriber_queue`](crate::events::subscriber_queue). A thread
//! that sleeps for ever is a deadlock, which loom finds.

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

/// Has one event delivered to a queue.
fn deliver(queue: &std::sync::Arc<SubscriberQueue>) {
    let clock = Clock::Manual(ManualClock::new());
    let bus = std::sync::Arc::new(Bus::new(Notices::new(2)));
    let context = Context::new(clock, Global::default(), bus.clone(), None);
    let filter = EventFilter::new().types([EventType::StateChange]);
    // Closed by who looks on: the end of the subscription would wake all.
    let sink = Sink::SubscriberQueue(queue.clone());
    let subscriber = std::sync::Arc::new(Subscriber::new(1, filter, sink));
    subscriber.begin();
    drop(bus.add(subscriber.clone()).0);
    let mut newcomer = Registrant::new(&context, "db".into());
    newcomer.with(&context, None).expect("valid");
    let [record, _]: [RecordRef; 2] = RecordRef::new(&context, &mut newcomer);
    record.half_open(&context).expect("registered");
    let _ = bus.dispatch(&context, Vec::new, &Default::default);
    std::mem::forget(subscriber);
}

/// One takes an event, and one only looks: the wake for the event may go to the one that looks.
///
/// Mutations: `looking-without-passing-on`, `posting-without-a-wake`.
#[test]
fn who_looks_and_who_takes_both_wake() {
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
        deliver(&queue);
        assert!(takes.join().unwrap());
        // The one that looks may have found nothing, and sleep on.
        queue.close();
        looks.join().unwrap();
    });
}
