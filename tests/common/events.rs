//! Helpers that several tests of events share.

use brama::{Brama, Event, EventCounts, EventFilter, EventQueue};

/// A filter that lets everything pass.
pub fn all() -> EventFilter {
    EventFilter::new()
}

/// A queue that gets every event.
pub fn queue_of(brama: &Brama, capacity: usize) -> EventQueue {
    brama.subscribe_queue(all(), capacity).expect("valid")
}

/// Asserts that every event was delivered, dropped or merged. For a manager with one subscriber
/// that wants every event.
pub fn assert_exact(counts: EventCounts) {
    let told = counts.delivered + counts.dropped + counts.coalesced;
    assert_eq!(counts.published, told, "{counts:?}");
}

pub fn kinds(events: &[Event]) -> Vec<&'static str> {
    let kinds = events.iter().map(|event| event.event_type().as_str());
    kinds.collect()
}
