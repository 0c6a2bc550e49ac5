use super::*;
use std::sync::Arc;

use crate::values::event::{EventType, Facts, Happening, Marks, Text};
use crate::values::generation::Generation;
use crate::values::key::Key;
use crate::values::state::State;

fn event(id: u64, kind: EventType, sequence: u64) -> Event {
    let facts = Facts {
        time: 0,
        before: State::Closed,
        after: State::Open,
        marks: Marks::of_mode(0),
        generation: Generation::from_bits(1),
        opened_by: None,
        counts: None,
        failures: 0,
        expiry: u64::MAX,
        reason: Text::None,
        metadata: None,
    };
    Event {
        kind,
        before: facts.before,
        late: false,
        is_last: kind == EventType::ConnectionRemoved,
        is_straggler: false,
        sequence,
        happening: Arc::new(Happening {
            name: Arc::new(Key::from("db").to_buf()),
            id,
            unix_ms: 0,
            facts,
        }),
    }
}

/// Posts an event whose connection is the newest.
fn post(queue: &SubscriberQueue, event: Event) -> PostedCounts {
    let newest = event.registration();
    queue.post(std::iter::once(&event), newest).0
}

/// The counts of one event that ends like this.
fn one(posted: Posted) -> PostedCounts {
    let mut counts = PostedCounts::default();
    counts.count(posted);
    counts
}

fn numbers(events: &[Event]) -> Vec<u64> {
    events.iter().map(Event::sequence).collect()
}

#[test]
fn events_come_out_in_order() {
    let queue = SubscriberQueue::new(3);
    for number in 0..3 {
        assert_eq!(
            post(&queue, event(1, EventType::Success, number)),
            one(Posted::Delivered)
        );
    }
    assert_eq!(numbers(&queue.drain(2)), [0, 1]);
    assert_eq!(queue.take().map(|event| event.sequence()), Some(2));
    assert!(queue.take().is_none());
}

#[test]
fn full_it_drops_what_may_be_dropped_and_keeps_the_latest_of_the_rest() {
    let queue = SubscriberQueue::new(2);
    for number in 0..2 {
        post(&queue, event(1, EventType::Failure, number));
    }
    assert_eq!(
        post(&queue, event(1, EventType::Failure, 2)),
        one(Posted::Dropped)
    );
    assert_eq!(
        post(&queue, event(1, EventType::StateChange, 3)),
        one(Posted::Delivered)
    );
    for number in 4..1_000 {
        let posted = post(&queue, event(1, EventType::StateChange, number));
        assert_eq!(posted, one(Posted::Coalesced));
    }
    let events = queue.drain(10);
    assert_eq!(numbers(&events), [0, 1, 999]);
    assert!(events[2].is_coalesced() && !events[1].is_coalesced());
    assert_eq!(
        post(&queue, event(1, EventType::Failure, 1_000)),
        one(Posted::Delivered)
    );
}

#[test]
fn a_connection_that_came_and_went_while_it_was_full_leaves_nothing() {
    let queue = SubscriberQueue::new(1);
    post(&queue, event(7, EventType::Registration, 0));
    for id in 8..10_000 {
        post(&queue, event(id, EventType::Registration, 0));
        post(&queue, event(id, EventType::ConnectionRegistered, 1));
        let posted = post(&queue, event(id, EventType::ConnectionRemoved, 3));
        assert_eq!(posted, one(Posted::Forgotten(2)));
    }
    assert_eq!(
        post(&queue, event(7, EventType::ConnectionRemoved, 5)),
        one(Posted::Delivered)
    );
    let events = queue.drain(100);
    assert_eq!(numbers(&events), [0, 5]);
}

#[test]
fn a_connection_delivered_late_is_not_forgotten_when_it_goes() {
    let queue = SubscriberQueue::new(1);
    post(&queue, event(1, EventType::Registration, 0));
    post(&queue, event(2, EventType::Registration, 1));
    assert_eq!(numbers(&queue.drain(9)), [0, 1]);
    post(&queue, event(1, EventType::StateChange, 2));
    let posted = post(&queue, event(2, EventType::ConnectionRemoved, 3));
    assert_eq!(posted, one(Posted::Delivered));
    assert_eq!(numbers(&queue.drain(9)), [2, 3]);
}

#[cfg(unix)]
#[test]
fn the_descriptor_is_readable_while_anything_waits() {
    let readable = |fd| {
        let mut poll = libc::pollfd {
            fd,
            events: libc::POLLIN,
            revents: 0,
        };
        // SAFETY: one valid pollfd.
        unsafe { libc::poll(&mut poll, 1, 0) == 1 }
    };
    let queue = SubscriberQueue::new(2);
    post(&queue, event(1, EventType::Success, 0));
    let fd = queue.descriptor().expect("a descriptor");
    assert!(readable(fd), "made late, it knows of what waits");
    queue.take();
    assert!(!readable(fd));
    for number in 0..5 {
        post(&queue, event(1, EventType::StateChange, number));
    }
    assert!(readable(fd));
    queue.drain(2);
    assert!(readable(fd), "one was put aside");
    queue.drain(2);
    assert!(!readable(fd));
    queue.close();
    assert!(readable(fd), "closed, it stays readable");
    queue.take();
    assert!(readable(fd));
}

#[test]
fn a_waiting_host_is_woken_by_an_event_and_by_the_end() {
    let queue = SubscriberQueue::new(2);
    std::thread::scope(|scope| {
        let host = scope.spawn(|| {
            let first = queue.wait(Duration::MAX);
            (first.is_some(), queue.wait(Duration::MAX).is_some())
        });
        post(&queue, event(1, EventType::Success, 0));
        while !queue.local.lock().waiting.is_empty() {
            std::thread::yield_now();
        }
        queue.close();
        assert_eq!(host.join().expect("no panic"), (true, false));
    });
    assert!(queue.wait(Duration::ZERO).is_none());
}
