//! Those who want to know: a filter, and a way to deliver.
//!
//! A subscriber is used by the dispatcher alone, inside its [`Gate`]; whoever
//! unsubscribes it closes the gate. User code, callback and filter, runs inside
//! `catch_unwind`: a panic is counted and reaches nobody else.

use std::mem;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Arc;

use crate::bus::Bus;
use crate::event::{Event, EventFilter};
use crate::gate::Gate;
use crate::mailbox::{Mailbox, Posted};
use crate::sync::Ordering;

pub(crate) type Callback = Box<dyn FnMut(&Event) + Send>;
pub(crate) type BatchCallback = Box<dyn FnMut(&[Event]) + Send>;

pub(crate) struct Subscriber {
    pub(crate) id: u64,
    pub(crate) filter: EventFilter,
    sink: Gate<Sink>,
}

/// How events reach the subscriber.
pub(crate) enum Sink {
    Each(Callback),
    Batches {
        callback: BatchCallback,
        /// Waiting for the rest of the batch, or the end of the round.
        batch: Vec<Event>,
        most: usize,
    },
    Mailbox(Arc<Mailbox>),
}

impl Subscriber {
    pub(crate) fn new(id: u64, filter: EventFilter, sink: Sink) -> Self {
        Subscriber {
            id,
            filter,
            sink: Gate::new(sink),
        }
    }

    /// Offers an event whose type, identifier and scope are wanted.
    pub(crate) fn offer(&self, bus: &Bus, event: &Event) {
        self.sink.enter(|sink| {
            if let Some(custom) = &self.filter.custom {
                let wanted = contained(bus, || custom(event));
                if wanted != Some(true) {
                    return;
                }
            }
            sink.deliver(bus, event);
        });
    }

    /// The end of a round: nothing more comes for now.
    pub(crate) fn flush(&self, bus: &Bus) {
        self.sink.enter(|sink| sink.flush(bus));
    }

    /// No delivery from now on. With `wait`, also none under way when it returns.
    pub(crate) fn close(&self, wait: bool) {
        self.sink.close(wait);
    }
}

impl Sink {
    fn deliver(&mut self, bus: &Bus, event: &Event) {
        match self {
            Sink::Each(callback) => {
                bus.delivered.fetch_add(1, Ordering::Relaxed);
                contained(bus, || callback(event));
            }
            Sink::Batches { batch, most, .. } => {
                batch.push(event.clone());
                if batch.len() >= *most {
                    self.flush(bus);
                }
            }
            Sink::Mailbox(mailbox) => match mailbox.post(event) {
                Posted::Delivered => {
                    bus.delivered.fetch_add(1, Ordering::Relaxed);
                }
                Posted::Dropped => {
                    bus.dropped.fetch_add(1, Ordering::Relaxed);
                }
                Posted::Coalesced => {
                    bus.coalesced.fetch_add(1, Ordering::Relaxed);
                }
                Posted::Forgotten(events) => {
                    bus.delivered.fetch_sub(events, Ordering::Relaxed);
                    bus.coalesced.fetch_add(events + 1, Ordering::Relaxed);
                }
            },
        }
    }

    fn flush(&mut self, bus: &Bus) {
        if let Sink::Batches {
            callback, batch, ..
        } = self
            && !batch.is_empty()
        {
            bus.delivered
                .fetch_add(batch.len() as u64, Ordering::Relaxed);
            contained(bus, || callback(batch));
            batch.clear();
        }
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        if let Sink::Mailbox(mailbox) = self {
            mailbox.close();
        }
    }
}

/// Runs user code; a panic is counted, and says so where panics are reported.
fn contained<R>(bus: &Bus, user: impl FnOnce() -> R) -> Option<R> {
    match panic::catch_unwind(AssertUnwindSafe(user)) {
        Ok(answer) => Some(answer),
        Err(payload) => {
            bus.panics.fetch_add(1, Ordering::Relaxed);
            // The payload is the user's too.
            if let Err(panic) = panic::catch_unwind(AssertUnwindSafe(|| drop(payload))) {
                mem::forget(panic);
            }
            None
        }
    }
}
