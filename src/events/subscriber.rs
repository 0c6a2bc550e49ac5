//! Those who want to know: a filter, and a way to deliver.
//!
//! A subscriber is used by the dispatcher alone, inside its [`UseGate`]; the thread
//! that unsubscribes it closes the use gate. User code, callback and filter, runs inside
//! `catch_unwind`: a panic is counted and goes no further.
//!
//! A *plain* queue, one without a filter function, has no user code before it. It gets its
//! events by the lot ([`Subscriber::post`]), and not through the use gate: the queue has a lock
//! and is closed under it, so once it is closed it takes nothing.

use std::collections::HashSet;
use std::mem;
use std::panic::{self, AssertUnwindSafe, RefUnwindSafe, UnwindSafe};
use std::sync::Arc;

use crate::events::bus::Bus;
use crate::events::subscriber_queue::{SubscriberQueue, Tally};
use crate::structures::use_gate::UseGate;
use crate::sys::atomic::{AtomicU32, AtomicU64, Ordering};
use crate::sys::fork;
use crate::values::event::{Custom, Event, EventFilter, EventMask, EventType};

pub(crate) type Callback = Box<dyn FnMut(&Event) + Send>;
pub(crate) type BatchCallback = Box<dyn FnMut(&[Event]) + Send>;

pub(crate) struct Subscriber {
    pub(crate) id: u64,
    /// Without its custom function: that is user code, and the receiver's.
    pub(crate) filter: EventFilter,
    receiver: UseGate<Receiver>,
    /// That of the sink, if it is one: to post to it, and to close it where the use gate's content
    /// is left alone.
    queue: Option<Arc<SubscriberQueue>>,
    /// It has a queue and no filter function.
    is_plain: bool,
    /// 1: its queue is to be sorted out at the end of the round. The dispatcher's.
    crowded: AtomicU32,
    /// 1 once all records know what it wants. Before, it might hear of a registration and
    /// not of the removal.
    ready: AtomicU32,
    /// How many events wait in its batch.
    in_batch: AtomicU64,
}

/// What only the dispatcher touches, and what is dropped when it is over.
struct Receiver {
    custom: Option<Arc<Custom>>,
    sink: Sink,
}

/// How events reach the subscriber.
pub(crate) enum Sink {
    Each(Callback),
    Batches {
        callback: BatchCallback,
        batch: Batch,
        most: usize,
    },
    SubscriberQueue(Arc<SubscriberQueue>),
}

/// Events that wait for the rest of their batch, or the end of the round.
#[derive(Default)]
pub(crate) struct Batch {
    events: Vec<Event>,
    incarnation: u32,
}

impl Batch {
    /// Those of this process. What waited at a fork is the parent's to deliver, and
    /// may be broken here.
    fn events(&mut self) -> &mut Vec<Event> {
        let incarnation = fork::incarnation();
        if self.incarnation != incarnation {
            self.incarnation = incarnation;
            mem::forget(mem::take(&mut self.events));
        }
        &mut self.events
    }
}

// A callback that panics is contained: it leaves the subscriber whole.
impl UnwindSafe for Subscriber {}
impl RefUnwindSafe for Subscriber {}

impl Subscriber {
    pub(crate) fn new(id: u64, mut filter: EventFilter, sink: Sink) -> Self {
        let custom = filter.custom.take();
        let queue = match &sink {
            Sink::SubscriberQueue(queue) => Some(queue.clone()),
            _ => None,
        };
        Subscriber {
            id,
            filter,
            is_plain: queue.is_some() && custom.is_none(),
            crowded: AtomicU32::new(0),
            receiver: UseGate::new(Receiver { custom, sink }),
            queue,
            ready: AtomicU32::new(0),
            in_batch: AtomicU64::new(0),
        }
    }

    /// All records know what it wants: events are offered from now on.
    pub(crate) fn begin(&self) {
        // ORDERING: Release, partner of the Acquire in `is_ready`: the dispatcher that
        // offers it an event sees the interest that it has added.
        self.ready.store(1, Ordering::Release);
    }

    pub(crate) fn is_ready(&self) -> bool {
        // ORDERING: Acquire, partner of the Release in `begin`: the interest that it has added is
        // visible.
        self.ready.load(Ordering::Acquire) == 1
    }

    /// The end: what waits in its batch is not handed over any more. Returns how many
    /// events its callback has, if that is running.
    pub(crate) fn discard_batch(&self, bus: &Bus) -> u64 {
        let discard = |receiver: &mut Receiver| {
            if let Sink::Batches { batch, .. } = &mut receiver.sink {
                bus.count_left(mem::take(batch.events()).len() as u64);
            }
        };
        match self.receiver.enter(discard) {
            Some(()) => 0,
            None => self.in_batch.load(Ordering::Relaxed),
        }
    }

    /// Whether it is delivered to by [`Subscriber::post`], without user code.
    pub(crate) fn is_plain(&self) -> bool {
        self.is_plain
    }

    /// Delivers these events, all of them wanted, to a plain queue. `newest`: the id of the
    /// connection that was registered last.
    pub(crate) fn post<'e>(&self, events: impl Iterator<Item = &'e Event>, newest: u64) -> Tally {
        let Some(queue) = &self.queue else {
            return Tally::default();
        };
        let ends = self.hears_of_removals();
        let mut stragglers = 0;
        let events = events.filter(|event| {
            let comes = !(event.is_straggler && ends);
            stragglers += u64::from(!comes);
            comes
        });
        let (mut tally, is_crowded) = queue.post(events, newest);
        tally.coalesced += stragglers;
        if is_crowded && !ends {
            self.crowded.store(1, Ordering::Relaxed);
        }
        tally
    }

    /// Offers an event whose type, identifier and scope are wanted to any other subscriber than a
    /// plain queue.
    pub(crate) fn offer(&self, bus: &Bus, event: &Event, newest: u64) {
        self.receiver.enter(|receiver| {
            let wanted = match &receiver.custom {
                Some(custom) => contained(bus, || custom(event)).unwrap_or(false),
                None => true,
            };
            match &mut receiver.sink {
                Sink::SubscriberQueue(_) if wanted => {
                    bus.count(self.post(std::iter::once(event), newest));
                }
                Sink::SubscriberQueue(queue) if event.is_last => {
                    bus.take_back(queue.forget(event.registration()));
                }
                sink if wanted => {
                    sink.deliver(bus, event);
                    self.note_batch(sink);
                }
                _ => {}
            }
        });
    }

    fn note_batch(&self, sink: &mut Sink) {
        if let Sink::Batches { batch, .. } = sink {
            let waiting = batch.events().len() as u64;
            self.in_batch.store(waiting, Ordering::Relaxed);
        }
    }

    /// The end of a round: nothing more comes for now. `alive` names the
    /// connections that are registered.
    pub(crate) fn flush(&self, bus: &Bus, alive: &dyn Fn() -> HashSet<u64>) {
        let is_crowded = self.crowded.load(Ordering::Relaxed) == 1;
        if !is_crowded && self.in_batch.load(Ordering::Relaxed) == 0 {
            return;
        }
        self.receiver.enter(|receiver| match &mut receiver.sink {
            Sink::SubscriberQueue(queue) => {
                self.crowded.store(0, Ordering::Relaxed);
                bus.take_back(queue.sort_out(&alive()));
            }
            sink => {
                sink.flush(bus);
                self.note_batch(sink);
            }
        });
    }

    /// Whether it is offered each connection's removal, and so need not ask which are
    /// there. Nothing comes after a removal: a queue that was full when a connection came and
    /// went has forgotten it, and would not know what a straggler is about.
    fn hears_of_removals(&self) -> bool {
        let types = self.filter.types.unwrap_or(EventMask::ALL);
        types.contains(EventType::ConnectionRemoved)
    }

    /// No delivery from now on. With `wait`, also none under way when it returns.
    pub(crate) fn close(&self, wait: bool) {
        // The drop of the content closes the queue. Where there is no drop, those who wait
        // would never learn of the end.
        if self.receiver.close(wait)
            && let Some(queue) = &self.queue
        {
            queue.close();
        }
    }
}

impl Sink {
    /// Delivers to what is no queue.
    fn deliver(&mut self, bus: &Bus, event: &Event) {
        match self {
            Sink::Each(callback) => {
                bus.delivered.fetch_add(1, Ordering::Relaxed);
                contained(bus, || callback(event));
            }
            Sink::Batches { batch, most, .. } => {
                let events = batch.events();
                events.push(event.clone());
                if events.len() >= *most {
                    self.flush(bus);
                }
            }
            Sink::SubscriberQueue(_) => {}
        }
    }

    fn flush(&mut self, bus: &Bus) {
        if let Sink::Batches {
            callback, batch, ..
        } = self
            && let events = batch.events()
            && !events.is_empty()
        {
            if bus.is_out_of_time() {
                // The last round discards them.
                return;
            }
            bus.delivered
                .fetch_add(events.len() as u64, Ordering::Relaxed);
            contained(bus, || callback(events));
            // Not those that were there when the callback forked.
            batch.events().clear();
        }
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        if let Sink::SubscriberQueue(queue) = self {
            queue.close();
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
