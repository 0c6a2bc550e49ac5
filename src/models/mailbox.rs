//! Those who wait for a queue: [`mailbox`](crate::mailbox). A thread that sleeps for ever is a
//! deadlock, which loom finds.

use std::time::Duration;

use loom::thread;

use crate::bus::Bus;
use crate::bus::Notices;
use crate::clock::{Clock, ManualClock};
use crate::config::Global;
use crate::env::Env;
use crate::event::{EventFilter, EventType};
use crate::mailbox::Mailbox;
use crate::record::{Newcomer, RecordRef};
use crate::subscriber::{Sink, Subscriber};

/// Has one event delivered to a mailbox.
fn deliver(mailbox: &std::sync::Arc<Mailbox>) {
    let clock = Clock::Manual(ManualClock::new());
    let bus = std::sync::Arc::new(Bus::new(Notices::new(2)));
    let env = Env::new(clock, Global::default(), bus.clone(), None);
    let filter = EventFilter::new().types([EventType::StateChange]);
    // Closed by who looks on: the end of the subscription would wake all.
    let sink = Sink::Mailbox(mailbox.clone());
    let subscriber = std::sync::Arc::new(Subscriber::new(1, filter, sink));
    subscriber.begin();
    drop(bus.add(subscriber.clone()).0);
    let mut newcomer = Newcomer::new(&env, "db".into());
    newcomer.with(&env, None).expect("valid");
    let [record, _]: [RecordRef; 2] = RecordRef::new(&env, &mut newcomer);
    record.half_open(&env).expect("registered");
    let _ = bus.dispatch(&env, Vec::new, &Default::default);
    std::mem::forget(subscriber);
}

/// One takes an event, and one only looks: the wake for the event may go to the one that looks.
///
/// Mutations: `looking-without-passing-on`, `posting-without-a-wake`.
#[test]
fn who_looks_and_who_takes_both_wake() {
    loom::model(|| {
        let mailbox = std::sync::Arc::new(Mailbox::new(8));
        let looks = thread::spawn({
            let mailbox = mailbox.clone();
            move || mailbox.wait_for_any(Duration::MAX)
        });
        let takes = thread::spawn({
            let mailbox = mailbox.clone();
            move || mailbox.wait(Duration::MAX).is_some()
        });
        deliver(&mailbox);
        assert!(takes.join().unwrap());
        // The one that looks may have found nothing, and sleep on.
        mailbox.close();
        looks.join().unwrap();
    });
}
