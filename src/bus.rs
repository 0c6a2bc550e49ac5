//! The way from those who report to those who want to know.
//!
//! ```text
//! reporter ──▶ ring ──▶ dispatcher ──▶ callbacks
//!    │ full                 ▲    └───▶ mailboxes ──▶ hosts that drain
//!    ▼                      │
//!  a bit in the record ─────┘
//! ```
//!
//! A reporter that somebody listens to puts one [`Notice`] into the ring and goes
//! on. If the ring is full, or too many others are faster, droppable events are dropped
//! and counted. Kept ones leave a bit each in the record: memory is bounded by the number
//! of connections, whatever the number of events. The dispatcher later makes one *late*
//! event for each bit, with the state that then holds.
//!
//! Filtering happens twice: by type, identifier and scope before the reporter does
//! anything (see `record::tell`), by everything before delivery.
//!
//! # What is promised
//!
//! Whatever the capacities, the timing and the stalls, each subscriber finds that
//!
//! 1. every kept event arrives, or one of its type and connection that says what holds
//!    later arrives for it;
//! 2. what it hears of a registration is ordered: the registration first, and numbers
//!    that grow; of two events the later one tells the later state;
//! 3. if it hears of a registration, it hears of its removal. The exception of both 1 and
//!    3 is the connection that leaves no event at all, see "What is forgotten".
//!
//! # Who writes and reads what
//!
//! | | written by | read by |
//! |---|---|---|
//! | the ring | reporters push | the dispatcher pops |
//! | `Record::missed`, one bit for each type | reporters set bits | the dispatcher takes them all |
//! | `Env::attention`, the driver's inbox | reporters leave records that have missed events | the driver's plan takes them, for the dispatcher |
//! | [`Bus::unlisted`] | reporters, for records that are not to be kept | the dispatcher, which then searches the table |
//! | [`Bus::full_since`] | the first reporter that finds the ring full; the dispatcher zeroes it | reporters |
//! | `Record::told` | the dispatcher; who forgets the connection | both |
//! | the token in `Record::interest` | who registers; the dispatcher | both |
//!
//! One thread at a time is the dispatcher: whoever holds [`Bus::dispatching`].
//!
//! # A round
//!
//! The dispatcher works in rounds. A round
//!
//! 1. takes the bits of all records that have missed events, and with them the facts that
//!    hold now;
//! 2. notes the ring's tail, and tells what waits before it;
//! 3. tells the late events of step 1;
//! 4. ends the batches.
//!
//! A notice that was pushed before a bit of the same record was set lies before the tail
//! of step 2, since the bit was seen in step 1. So it is told before the late event. One
//! that is pushed after step 1 tells of something later, and is told in this round or
//! the next. A removal ends what there is to find of a record in the table, so when a
//! removal's notice is told, what the record has missed is told right before it.
//!
//! Three things may come out of order all the same: a notice of a thread that was
//! stopped between its change and its push, a notice that hides in the ring behind one
//! that is not published yet, and a bit that was set while a round was under way. No
//! order of the ring can help there, because it is not the order of the changes. So the
//! dispatcher compares each notice with what it has told of the connection
//! (`record::told`): one that is outdated is told as a late event, with what holds now.
//! And it tells a registration before anything else of the connection, even if its own
//! notice comes last (`record::tell`).
//!
//! Numbers are given by the dispatcher when it tells an event. They need no more than
//! that to grow.
//!
//! Promise 3 has one more enemy: a subscriber that comes late. It may be offered a
//! registration that was told for the sake of another one, while nobody wanted to hear of
//! the removal. So a subscriber is offered nothing before all records know what it wants,
//! and the dispatcher that has told a registration looks whether the connection is gone
//! and nobody is going to tell (`record::told`). A shutdown tells of no removal.
//!
//! # What is forgotten
//!
//! Records that wait in the inbox are kept alive by it. Connections that come and go
//! while the dispatcher does not get to run would fill it. So a connection that was
//! registered since the ring ran full is not left there: the dispatcher finds it in the
//! table, if it still is there. If it is removed before, it leaves no event at all,
//! unless a subscriber has heard of it. That is decided by one exchange of `told`,
//! between the thread that removes and a dispatcher that is about to tell; so subscribers
//! hear of the connection and of its end, or of neither.
//!
//! # In the child of a `fork`
//!
//! The subscribers are the same, and the ring is a new one: what waited in the old one is
//! the parent's to deliver.
//!
//! # What was rejected
//!
//! - *Subscribers that run on the reporting thread*: a slow one would slow down the calls
//!   it watches. *A queue for each subscriber at the reporter*: its cost would grow with
//!   them. *An unbounded queue.*
//! - *Numbers given by the reporter*: a thread takes its number before or after it
//!   changes the word, and another one's change can come between. Numbers made of the
//!   generation order the changes, but then the order of delivery is another one, and
//!   within a generation a counter must have room for a billion reports.
//! - *A reporter that marks all events of a record as missed until the dispatcher has
//!   taken its bits*: that keeps the order of one record, and tells everything late that
//!   comes in between, though there is room.
//! - *A mark for each notice in the ring, so that its connection is not forgotten*: a
//!   count in the record that has to be taken back when the push fails. Forgetting the
//!   connection and its notices together is as true, and needs no count.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Instant;

use arc_swap::ArcSwap;

use crate::env::Env;
use crate::event::{Cause, EventMask, Facts};
use crate::key::Key;
use crate::lock::{Held, Lock};
use crate::per_process::{PerProcess, Renew};
use crate::record::RecordRef;
use crate::ring::Ring;
use crate::subscriber::Subscriber;
use crate::sync::{AtomicU32, AtomicU64, AtomicUsize, Ordering};

mod dispatch;
mod end;
mod overflow;

pub(crate) use dispatch::{Dispatched, is_inside_user_code};

/// What happened, on its way to the dispatcher.
pub(crate) struct Notice {
    pub(crate) record: RecordRef,
    pub(crate) cause: Cause,
    /// Whether the state changed.
    pub(crate) moved: bool,
    /// The events that somebody wanted when it happened.
    pub(crate) wanted: EventMask,
    pub(crate) facts: Facts,
}

/// How many events went which way, since the manager was made.
///
/// Counted when an event leaves the ring or fails to enter it, so quiescent (after
/// [`Brama::poll`](crate::Brama::poll), say) it is exact.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct EventCounts {
    /// Events that somebody wanted when they happened. Each was offered to the
    /// subscribers, or dropped, or coalesced.
    pub published: u64,
    /// Deliveries: an event that three subscribers got counts three times.
    pub delivered: u64,
    /// Droppable events that found the ring full, and those that found a
    /// subscriber's queue full (once for each such subscriber); and all events that were
    /// left when the time of a [shutdown](crate::Brama::shutdown_within) was over.
    pub dropped: u64,
    /// Kept events that were told by a later one of the same type and connection,
    /// or that nobody needs to hear of because the connection came and went.
    pub coalesced: u64,
    /// Callbacks and filters that panicked.
    pub panics: u64,
    /// Whether the background thread runs in this process. False if the manager was
    /// [made without](crate::Builder::background), if the system has no thread to give,
    /// in the child of a [fork](crate#forks) until the manager is used, and after the
    /// shutdown. While it is false, events are delivered and expiries are told when
    /// somebody calls [`Brama::poll`](crate::Brama::poll) or takes from a queue.
    pub background_running: bool,
}

pub(crate) struct Bus {
    ring: PerProcess<Ring<Notice>>,
    pub(crate) subscribers: ArcSwap<Vec<Arc<Subscriber>>>,
    /// 0 only if there is none, so that a registration need not look at them.
    audience: AtomicUsize,
    /// Held by whoever adds or removes subscribers.
    changing: Lock<()>,
    /// Held by whoever dispatches, so that one thread at a time does.
    dispatching: Lock<()>,
    /// The number of the next connection when the ring ran full, since the
    /// dispatcher last began a round; 0: it did not.
    full_since: AtomicU64,
    /// 1: some connection in the table has missed events and is not in the inbox.
    unlisted: AtomicU32,
    /// 1 from the beginning of the shutdown: connections end without being told of.
    closing: AtomicU32,
    /// The number of the last event that was told.
    sequence: AtomicU64,
    ids: AtomicU64,
    /// When the bus was made: `limit` counts from here.
    born: Instant,
    /// Until when events are delivered, in microseconds: `u64::MAX`, unless a shutdown
    /// has limited it.
    limit: AtomicU64,
    /// Events that the dispatcher has taken and not told yet.
    in_hand: AtomicU64,
    /// Events that were not told because the time was over.
    left: AtomicU64,
    /// Events in batches whose callback had not returned then.
    in_callbacks: AtomicU64,
    pub(crate) published: AtomicU64,
    pub(crate) delivered: AtomicU64,
    pub(crate) dropped: AtomicU64,
    pub(crate) coalesced: AtomicU64,
    pub(crate) panics: AtomicU64,
}

impl Bus {
    pub(crate) fn new(capacity: usize) -> Self {
        Bus {
            ring: PerProcess::new(Ring::new(capacity)),
            subscribers: ArcSwap::default(),
            audience: AtomicUsize::new(0),
            changing: Lock::new(()),
            dispatching: Lock::new(()),
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

    /// Sends a notice on its way. Never waits. The caller rings for the dispatcher.
    pub(crate) fn publish(&self, env: &Env, notice: Notice) {
        if let Err(notice) = self.ring.push(notice) {
            self.overflow(env, &notice);
        }
    }

    /// Whether the dispatcher has nothing to do.
    pub(crate) fn is_idle(&self) -> bool {
        self.ring.len() == 0 && self.unlisted.load(Ordering::Relaxed) == 0
    }

    pub(crate) fn next_id(&self) -> u64 {
        self.ids.fetch_add(1, Ordering::Relaxed)
    }

    /// Whether anybody may be listening.
    #[inline]
    pub(crate) fn has_audience(&self) -> bool {
        // Relaxed, as for the interest of a record: set before the list, and zeroed after.
        self.audience.load(Ordering::Relaxed) != 0
    }

    /// What all subscribers together want of this connection.
    pub(crate) fn interest_in(&self, key: Key<'_>) -> EventMask {
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

    /// The manager is shutting down.
    pub(crate) fn begin_closing(&self) {
        self.closing.store(1, Ordering::Relaxed);
    }

    /// Adds a subscriber, and says whether it is the only one. The records learn of it
    /// next, by the caller, who holds on to the guard until then, and who then lets the
    /// subscriber [begin](Subscriber::begin).
    pub(crate) fn add(&self, subscriber: Arc<Subscriber>) -> (Held<'_, ()>, bool) {
        let guard = self.changing.lock();
        let mut subscribers = Vec::clone(&self.subscribers.load());
        subscribers.push(subscriber);
        let audience = subscribers.len();
        self.audience.store(audience, Ordering::Relaxed);
        self.subscribers.store(Arc::new(subscribers));
        (guard, audience == 1)
    }

    /// Those that `which` names.
    pub(crate) fn find(&self, which: impl Fn(&Subscriber) -> bool) -> Vec<Arc<Subscriber>> {
        let subscribers = self.subscribers.load();
        let named = subscribers.iter().filter(|subscriber| which(subscriber));
        named.cloned().collect()
    }

    /// Removes these, if they are there. The records learn of it next, as with
    /// [`Bus::add`].
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

    /// So many events that were counted as delivered will not be.
    pub(crate) fn take_back(&self, events: u64) {
        self.delivered.fetch_sub(events, Ordering::Relaxed);
        self.coalesced.fetch_add(events, Ordering::Relaxed);
    }

    /// So many events of these types are not told: the connection was forgotten.
    fn count_forgotten(&self, events: EventMask) {
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

impl<T> Renew for Ring<T> {
    fn renew(&self) -> Self {
        Ring::new(self.capacity())
    }
}
