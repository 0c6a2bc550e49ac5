//! Where a circuit sends what happened to it.
//!
//! A circuit does not know subscribers, queues or threads that deliver. It makes a [`Notice`], and
//! asks an [`EventSink`] what subscribers want. The manager supplies the sink that delivers
//! ([`bus`](crate::events::bus)). So circuits can be read, and modelled, without that sink.
//!
//! Rejected: a type parameter on everything that a circuit touches. The sink is called only if a
//! subscriber wants an event, or may want it. There a virtual call costs less than what follows it.

use crate::circuit::context::Context;
use crate::circuit::record::{Record, RecordRef};
use crate::values::event::{EventMask, Facts, Occurrence};
use crate::values::key::Key;

/// What happened, on its way to the dispatcher.
pub(crate) struct Notice {
    pub(crate) record: RecordRef,
    pub(crate) occurrence: Occurrence,
    /// Whether the state changed.
    pub(crate) moved: bool,
    /// The events that subscribers wanted when it happened.
    pub(crate) wanted: EventMask,
    pub(crate) facts: Facts,
}

/// What takes the notices of all circuits of a manager. No method waits or runs user code.
pub(crate) trait EventSink: Send + Sync {
    /// Whether there may be a subscriber.
    fn has_audience(&self) -> bool;

    /// What all subscribers together want of this connection.
    fn interest_in(&self, key: Key<'_>) -> EventMask;

    /// Takes a notice, or marks its events as missed. The caller wakes the dispatcher.
    fn publish(&self, context: &Context, notice: Notice);

    /// Counts the events that a removed connection has missed and of which no subscriber will
    /// hear.
    fn settle(&self, context: &Context, record: &Record);

    /// Counts waiting notices as left over: after the manager has shut down, no dispatcher comes.
    fn count_left(&self);
}

/// A sink without subscribers.
#[cfg(test)]
pub(crate) struct Nowhere;

#[cfg(test)]
impl EventSink for Nowhere {
    fn has_audience(&self) -> bool {
        false
    }

    fn interest_in(&self, _key: Key<'_>) -> EventMask {
        EventMask::NONE
    }

    fn publish(&self, _env: &Context, _notice: Notice) {}

    fn settle(&self, _env: &Context, _record: &Record) {}

    fn count_left(&self) {}
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    /// The documentation says what a place in the ring takes.
    #[test]
    fn a_notice_takes_no_more_than_two_lines() {
        assert!(size_of::<Notice>() <= 128);
    }
}
