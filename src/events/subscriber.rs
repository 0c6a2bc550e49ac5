//! Subscribers: each has a filter, and a way to deliver.
//!
//! Only the dispatcher uses a subscriber, inside its [`UseGate`]. The thread that unsubscribes it
//! closes the use gate. User code, callback and filter, runs inside `catch_unwind`: a panic is
//! counted and goes no further.
//!
//! A *plain* queue, one without a filter function, has no user code before it. It gets its events
//! by the burst ([`Subscriber::post`]), and not through the use gate. The queue is closed under its
//! own lock, and takes nothing once it is closed.

use std::collections::HashSet;
use std::mem;
use std::panic::{self, AssertUnwindSafe, RefUnwindSafe, UnwindSafe};
use std::sync::Arc;

use crate::events::bus::Bus;
use crate::events::subscriber_queue::{PostedCounts, SubscriberQueue};
use crate::structures::use_gate::UseGate;
use crate::sys::atomic::{AtomicU32, AtomicU64, Ordering};
use crate::sys::fork;
use crate::values::event::{Custom, Event, EventFilter, EventMask, EventType};

pub(crate) type Callback = Box<dyn FnMut(&Event) + Send>;
pub(crate) type BatchCallback = Box<dyn FnMut(&[Event]) + Send>;

pub(crate) struct Subscriber {
    pub(crate) id: u64,
    /// Without its custom function, which is user code and lies in the receiver.
    pub(crate) filter: EventFilter,
    receiver: UseGate<Receiver>,
    /// The queue of the sink, if the sink is one: to post to it, and to close it if the use gate
    /// does not drop its content.
    queue: Option<Arc<SubscriberQueue>>,
    /// It has a queue and no filter function.
    is_plain: bool,
    /// 1: its queue is to be sorted out at the end of the round. Only the dispatcher writes it.
    crowded: AtomicU32,
    /// 1 once all records know what it wants. Before that it might hear of a registration and not
    /// of the removal.
    ready: AtomicU32,
    /// How many events wait in its batch.
    in_batch: AtomicU64,
}

/// What only the dispatcher touches, and what is dropped at the end of the subscription.
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
    /// The events of this process. Those that waited at a fork are the parent's to deliver. Here
    /// they may be half changed, so they are leaked.
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

    /// Events are offered from now on, since all records know what it wants.
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

    /// Discards what waits in its batch. If its callback is running, returns how many events that
    /// has; otherwise 0.
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

    /// Delivers these events, all of them wanted, to a plain queue. `newest` is the id of the
    /// connection that was registered last.
    pub(crate) fn post<'e>(
        &self,
        events: impl Iterator<Item = &'e Event>,
        newest: u64,
    ) -> PostedCounts {
        let Some(queue) = &self.queue else {
            return PostedCounts::default();
        };
        let ends = self.hears_of_removals();
        let mut stragglers = 0;
        let events = events.filter(|event| {
            let comes = !(event.is_straggler && ends);
            stragglers += u64::from(!comes);
            comes
        });
        let (mut counts, is_crowded) = queue.post(events, newest);
        counts.coalesced += stragglers;
        if is_crowded && !ends {
            self.crowded.store(1, Ordering::Relaxed);
        }
        counts
    }

    /// Offers an event to a subscriber that is not a plain queue. The event's type, identifier and
    /// scope are wanted.
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

    /// Ends a round: hands over the batch, or sorts out a crowded queue. `alive` returns the
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

    /// Whether it is offered each connection's removal. If so, its queue need not be sorted out,
    /// and it gets nothing after a removal. A queue that was full when a connection came and went
    /// has forgotten the connection, and could not recognise a straggler.
    fn hears_of_removals(&self) -> bool {
        let types = self.filter.types.unwrap_or(EventMask::ALL);
        types.contains(EventType::ConnectionRemoved)
    }

    /// Ends delivery. With `wait`, no delivery is under way any more when it returns.
    pub(crate) fn close(&self, wait: bool) {
        // The drop of the content closes the queue. If the use gate leaves the content alone, this
        // does, so that threads that wait on the queue learn of the end.
        if self.receiver.close(wait)
            && let Some(queue) = &self.queue
        {
            queue.close();
        }
    }
}

impl Sink {
    /// Delivers to a callback. Does nothing for a queue.
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
            // The child of a callback that forked does not touch the parent's events.
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

/// Runs user code. Returns `None` if it panics, which is counted.
fn contained<R>(bus: &Bus, user: impl FnOnce() -> R) -> Option<R> {
    match panic::catch_unwind(AssertUnwindSafe(user)) {
        Ok(answer) => Some(answer),
        Err(payload) => {
            bus.panics.fetch_add(1, Ordering::Relaxed);
            // The drop of the payload is user code, too.
            if let Err(panic) = panic::catch_unwind(AssertUnwindSafe(|| drop(payload))) {
                mem::forget(panic);
            }
            None
        }
    }
}
