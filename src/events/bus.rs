//! The way of an event from the reporter to the subscribers.
//!
//! ```text
//! reporter ──▶ ring ──▶ dispatcher ──▶ callbacks
//!    │ full                 ▲    └───▶ queues ──▶ hosts that drain
//!    ▼                      │
//!  a bit in the record ─────┘
//! ```
//!
//! A reporter pushes one [`Notice`] into the ring, if a subscriber wants one of the events
//! that follow from it, and goes on. If the ring is full, or other reporters are faster too
//! often, droppable events are dropped and counted. Kept events set a bit each in the
//! record: memory is bounded by the number of connections, whatever the number of events.
//! The dispatcher later makes one *late* event for each bit, with the state that then
//! holds.
//!
//! Events are filtered twice: by type, identifier and scope before the reporter does
//! anything (see `record::notify`), by the whole filter before delivery.
//!
//! # Promises
//!
//! Whatever the capacities, the timing and the stalls, for each subscriber:
//!
//! 1. Every kept event arrives, or a later event of the same type and connection arrives
//!    for it and has the state that then holds. In a queue that wants removals, the
//!    removal stands for what comes even later.
//! 2. The events of one connection arrive in order: the registration first, and sequence
//!    numbers that grow. Of two events the later one has the later state.
//! 3. A subscriber that hears of a registration hears of the removal.
//!
//! One exception to 1 and 3: a connection that leaves no event at all, see "Forgotten
//! connections".
//!
//! # Who writes and reads what
//!
//! | | written by | read by |
//! |---|---|---|
//! | the ring | reporters push | the dispatcher pops |
//! | `Record::missed`, one bit for each type | reporters set bits | the dispatcher takes all of them |
//! | `Context::attention`, the stack for the driver | reporters leave records that have missed events | the driver's plan takes them, for the dispatcher |
//! | [`Bus::unlisted`] | reporters, for records that must not wait on that stack | the dispatcher, which then searches the table |
//! | [`Bus::full_since`] | the first reporter that finds the ring full; the dispatcher zeroes it | reporters |
//! | `Record::delivered` | the dispatcher; the thread that removes the connection; threads that configure | all of them |
//! | the token in `Record::flags` | the thread that registers; the dispatcher | both |
//!
//! One thread at a time is the dispatcher: the one that holds [`Bus::dispatching`].
//!
//! # A round
//!
//! The dispatcher works in rounds. A round
//!
//! 1. takes the bits of all records that have missed events, and reads the facts that hold
//!    for each of them now;
//! 2. reads the ring's tail, and delivers the notices before it;
//! 3. delivers the late events of step 1;
//! 4. hands over what the [outbox] still keeps for queues, and ends the batches.
//!
//! If a reporter pushed a notice before it set a bit of the same record, the notice lies
//! before the tail of step 2, because the bit was seen in step 1. So the notice is delivered
//! before the late event. A notice that is pushed after step 1 is about something later, and
//! is delivered in this round or the next. The table no longer leads to a removed record. So
//! when the dispatcher delivers a removal, it delivers first what the record has missed.
//!
//! Three things can still come out of order: the notice of a thread that was stopped between its
//! change and its push; a notice in the ring behind one that is not published yet; and a bit that
//! was set during the round. The order of the ring cannot help, because it is not the order of the
//! changes. So the dispatcher compares each notice with what it has delivered of the connection
//! (`record::delivered`). In place of an outdated one it makes a late event with what holds now. It
//! delivers a registration before anything else of the connection, even if the registration's own
//! notice comes last (`record::notify`).
//!
//! The dispatcher numbers the events as it delivers them. So the numbers grow.
//!
//! A subscriber that comes late could break promise 3, too. The ring may hold a registration that
//! an earlier subscriber wanted, while no subscriber wanted the removal. So a subscriber is offered
//! nothing before all records have learned what it wants. And when the dispatcher has delivered a
//! registration, it checks whether the connection is removed and no thread is going to report that
//! (`record::delivered`). A shutdown reports no removals.
//!
//! # Forgotten connections
//!
//! The stack for the driver keeps the records alive that wait on it. Connections that come and go
//! while the dispatcher is stalled would fill it. So a connection that was registered since the
//! ring ran full is not left there: if it still exists, the dispatcher finds it in the table. If it
//! is removed before that, it leaves no event at all, unless a subscriber has heard of it. One
//! exchange of `Record::delivered` decides that, between the thread that removes and a dispatcher
//! that is about to deliver. So subscribers hear of the connection and of its end, or of neither.
//!
//! # In the child of a `fork`
//!
//! The subscribers are the same, and the ring is a new one: the parent delivers what waits
//! in the old one.
//!
//! # What was rejected
//!
//! - *Subscribers that run on the reporting thread*: a slow one would slow down the calls
//!   it watches. *A queue for each subscriber at the reporter*: its cost would grow with
//!   them. *An unbounded queue.*
//! - *Sequence numbers from the reporter*: a thread takes its number before or after it
//!   changes the word, and another thread's change can come between. Numbers made of the
//!   generation follow the changes, but then they do not follow the order of delivery; and
//!   within a generation their counter must have room for billions of reports.
//! - *A reporter that marks all events of a record as missed until the dispatcher has
//!   taken its bits*: that keeps the order of one record, and makes every event late that
//!   comes in between, though there is room for it.
//! - *A count of a connection's notices in the ring, so that it is not forgotten*: a push
//!   that fails has to take its count back. Forgetting the connection together with its
//!   notices is equally correct, and needs no count.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Instant;

use arc_swap::ArcSwap;

use crate::circuit::context::Context;
use crate::circuit::event_sink::{EventSink, Notice};
use crate::circuit::record::Record;
use crate::events::subscriber::Subscriber;
use crate::events::subscriber_queue::PostedCounts;
use crate::structures::ring::Ring;
use crate::sys::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};
use crate::sys::fork_lock::{ForkLock, Held};
use crate::sys::per_process::{PerProcess, Renew};
use crate::values::event::EventMask;
use crate::values::key::Key;

mod dispatch;
mod end;
mod outbox;
mod overflow;

pub(crate) use dispatch::{Dispatched, is_inside_user_code};

/// Where notices wait for the dispatcher.
pub(crate) type Notices = Ring<Notice>;

/// How many events went which way, since the manager was made.
///
/// An event is counted when it leaves the ring or fails to enter it. So the counts are exact while
/// no event is on its way, after [`Brama::poll`](crate::Brama::poll) for example.
///
/// ```
/// # let brama = brama::Brama::builder().background(false).build()?;
/// let counts = brama.event_counts();
/// println!("{} delivered, {} dropped", counts.delivered, counts.dropped);
/// # Ok::<(), brama::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct EventCounts {
    /// Events that a subscriber wanted when they happened. Each was offered to the
    /// subscribers, or dropped, or coalesced.
    pub published: u64,
    /// Deliveries: an event that three subscribers got counts three times.
    pub delivered: u64,
    /// Droppable events that found the ring full, and those that found a
    /// subscriber's queue full (once for each such subscriber); and all events that were
    /// left when the time of a [shutdown](crate::Brama::shutdown_within) was over.
    pub dropped: u64,
    /// Kept events for which a later one of the same type and connection was delivered, and those
    /// of connections that came and went before a subscriber heard of them.
    pub coalesced: u64,
    /// Callbacks and filters that panicked.
    pub panics: u64,
    /// Whether the background thread runs in this process. False if the manager was
    /// [made without](crate::Builder::background), if the system has no thread to give, in the
    /// child of a [fork](crate::docs::threads#forks) until the manager is used, and after the
    /// shutdown. While it is false, events and expiries are delivered by
    /// [`Brama::poll`](crate::Brama::poll) and by taking from a queue.
    pub background_running: bool,
}

pub(crate) struct Bus {
    ring: PerProcess<Notices>,
    pub(crate) subscribers: ArcSwap<Vec<Arc<Subscriber>>>,
    /// The number of subscribers: while it is 0 a registration need not load their list.
    audience: AtomicUsize,
    /// Held by the thread that adds or removes subscribers.
    changing: ForkLock<()>,
    /// Held by the dispatcher.
    dispatching: ForkLock<()>,
    /// 0 if the ring has not run full since the dispatcher last began a round. Otherwise the number
    /// of the next connection when it did.
    full_since: AtomicU64,
    /// 1: some connection in the table has missed events and is not on the stack.
    unlisted: AtomicU32,
    /// 1 from the beginning of the shutdown: removals are not reported any more.
    closing: AtomicU32,
    /// The number of the last event.
    sequence: AtomicU64,
    ids: AtomicU64,
    /// When the bus was made. `limit` counts from this moment.
    born: Instant,
    /// Until when events are delivered, in microseconds: `u64::MAX`, unless a shutdown
    /// has limited it.
    limit: AtomicU64,
    /// Events that the dispatcher has taken and not delivered yet.
    in_hand: AtomicU64,
    /// Events that were not delivered because the time was over.
    left: AtomicU64,
    /// Events in batches whose callback had not returned when the time was over.
    in_callbacks: AtomicU64,
    pub(crate) published: AtomicU64,
    pub(crate) delivered: AtomicU64,
    pub(crate) dropped: AtomicU64,
    pub(crate) coalesced: AtomicU64,
    pub(crate) panics: AtomicU64,
}

impl Bus {
    pub(crate) fn new(notices: Notices) -> Self {
        Bus {
            ring: PerProcess::new(notices),
            subscribers: ArcSwap::default(),
            audience: AtomicUsize::new(0),
            changing: ForkLock::new(()),
            dispatching: ForkLock::new(()),
            full_since: AtomicU64::new(0),
            unlisted: AtomicU32::new(0),
            closing: AtomicU32::new(0),
            sequence: AtomicU64::new(0),
            ids: AtomicU64::new(1),
            born: Instant::now(),
            limit: AtomicU64::new(u64::MAX),
            in_hand: AtomicU64::new(0),
            left: AtomicU64::new(0),
            in_callbacks: AtomicU64::new(0),
            published: AtomicU64::new(0),
            delivered: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
            coalesced: AtomicU64::new(0),
            panics: AtomicU64::new(0),
        }
    }

    /// Whether the dispatcher has nothing to do.
    pub(crate) fn is_idle(&self) -> bool {
        self.ring.len() == 0 && self.unlisted.load(Ordering::Relaxed) == 0
    }

    pub(crate) fn next_id(&self) -> u64 {
        self.ids.fetch_add(1, Ordering::Relaxed)
    }

    /// Begins the shutdown: removals are not reported any more.
    pub(crate) fn begin_closing(&self) {
        self.closing.store(1, Ordering::Relaxed);
    }

    /// Adds a subscriber, and returns whether it is the only one. The caller then makes the records
    /// learn of it, and lets the subscriber [begin](Subscriber::begin). It keeps the guard until
    /// the records have learned.
    pub(crate) fn add(&self, subscriber: Arc<Subscriber>) -> (Held<'_, ()>, bool) {
        let guard = self.changing.lock();
        let mut subscribers = Vec::clone(&self.subscribers.load());
        subscribers.push(subscriber);
        let audience = subscribers.len();
        self.audience.store(audience, Ordering::Relaxed);
        self.subscribers.store(Arc::new(subscribers));
        (guard, audience == 1)
    }

    /// The subscribers for which `which` returns true.
    pub(crate) fn find(&self, which: impl Fn(&Subscriber) -> bool) -> Vec<Arc<Subscriber>> {
        let subscribers = self.subscribers.load();
        let named = subscribers.iter().filter(|subscriber| which(subscriber));
        named.cloned().collect()
    }

    /// Removes these subscribers, if they are there. The caller then makes the records learn of it,
    /// as after [`Bus::add`].
    pub(crate) fn remove(&self, gone: &[Arc<Subscriber>]) -> Held<'_, ()> {
        let ids: HashSet<_> = gone.iter().map(|subscriber| subscriber.id).collect();
        let guard = self.changing.lock();
        let subscribers = self.subscribers.load();
        let left = subscribers
            .iter()
            .filter(|subscriber| !ids.contains(&subscriber.id));
        let left: Vec<_> = left.cloned().collect();
        let audience = left.len();
        self.subscribers.store(Arc::new(left));
        self.audience.store(audience, Ordering::Relaxed);
        guard
    }

    /// Counts what became of events that were posted to queues.
    pub(crate) fn count(&self, counts: PostedCounts) {
        for (counter, events) in [
            (&self.delivered, counts.delivered),
            (&self.dropped, counts.dropped),
            (&self.coalesced, counts.coalesced),
        ] {
            if events != 0 {
                counter.fetch_add(events, Ordering::Relaxed);
            }
        }
        if counts.taken_back != 0 {
            self.take_back(counts.taken_back);
        }
    }

    /// Counts events as coalesced that were counted as delivered.
    pub(crate) fn take_back(&self, events: u64) {
        self.delivered.fetch_sub(events, Ordering::Relaxed);
        self.coalesced.fetch_add(events, Ordering::Relaxed);
    }

    /// Counts events that are not delivered: their connection was forgotten, or another event
    /// stands for them.
    fn count_undelivered(&self, events: EventMask) {
        let dropped = events.and(EventMask::DROPPABLE);
        let kept = events.without(EventMask::DROPPABLE);
        self.dropped.fetch_add(dropped.len(), Ordering::Relaxed);
        self.coalesced.fetch_add(kept.len(), Ordering::Relaxed);
    }

    pub(crate) fn counts(&self, background_running: bool) -> EventCounts {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        EventCounts {
            published: read(&self.published),
            delivered: read(&self.delivered),
            dropped: read(&self.dropped),
            coalesced: read(&self.coalesced),
            panics: read(&self.panics),
            background_running,
        }
    }
}

impl EventSink for Bus {
    #[inline]
    fn has_audience(&self) -> bool {
        // Relaxed, as for the interest of a record. It is set before the list is stored, and
        // lowered after.
        self.audience.load(Ordering::Relaxed) != 0
    }

    fn interest_in(&self, key: Key<'_>) -> EventMask {
        if !self.has_audience() {
            return EventMask::NONE;
        }
        self.subscribers
            .load()
            .iter()
            .fold(EventMask::NONE, |mask, subscriber| {
                mask.or(subscriber.filter.interest_in(key))
            })
    }

    fn publish(&self, context: &Context, notice: Notice) {
        if let Err(notice) = self.ring.push(notice) {
            self.overflow(context, &notice);
        }
    }

    #[cold]
    fn settle(&self, context: &Context, record: &Record) {
        self.settle_removed(context, record);
    }

    #[cold]
    fn count_left(&self) {
        self.discard(Vec::new());
    }
}

impl<T> Renew for Ring<T> {
    fn renew(&self) -> Self {
        Ring::new(self.capacity())
    }
}

#[cfg(all(test, not(loom)))]
mod tests;
