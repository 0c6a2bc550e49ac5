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
//! and counted. Kept ones leave a bit each in the record, and the record in the driver's
//! inbox: memory is bounded by the number of connections, whatever the number of events.
//! The dispatcher later makes one event for each bit, with the state that then holds.
//!
//! Connections that come and go while the dispatcher does not get to run would
//! still fill the inbox. So one that was registered since the ring ran full is not
//! left there: the dispatcher finds it in the table, if it still is. One that was
//! registered and removed in between, and of which nobody has heard, leaves no
//! event at all.
//!
//! Filtering happens twice: by type, identifier and scope before the reporter does
//! anything ([`Record::interest`]), by everything before delivery.
//!
//! In the child of a `fork` the subscribers are the same, and the ring is a new one:
//! what waited in the old one is the parent's to deliver.
//!
//! Rejected: subscribers that run on the reporting thread (a slow one would slow
//! down the calls it watches); a queue for each subscriber at the reporter (its
//! cost would grow with them); an unbounded queue.

use std::collections::HashSet;
use std::sync::Arc;

use arc_swap::ArcSwap;

use crate::env::Env;
use crate::event::{Cause, EventMask, Facts};
use crate::key::Key;
use crate::lock::{Held, Lock};
use crate::per_process::{PerProcess, Renew};
use crate::record::{Record, RecordRef};
use crate::ring::Ring;
use crate::subscriber::Subscriber;
use crate::sync::{AtomicU32, AtomicU64, AtomicUsize, Ordering};

mod dispatch;

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
    /// subscriber's queue full (once for each such subscriber).
    pub dropped: u64,
    /// Kept events that were told by a later one of the same type and connection,
    /// or that nobody needs to hear of because the connection came and went.
    pub coalesced: u64,
    /// Callbacks and filters that panicked.
    pub panics: u64,
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
    ids: AtomicU64,
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
            ids: AtomicU64::new(1),
            published: AtomicU64::new(0),
            delivered: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
            coalesced: AtomicU64::new(0),
            panics: AtomicU64::new(0),
        }
    }

    /// Sends a notice on its way. Never waits.
    pub(crate) fn publish(&self, env: &Env, record: &Record, notice: Notice) {
        // Before, so that nobody takes the connection for unheard of while its
        // first notice waits.
        let announced = record.announce();
        if let Err(notice) = self.ring.push(notice) {
            if announced {
                record.unannounce();
            }
            self.overflow(env, &notice);
        }
        env.bell.ring(0);
    }

    #[cold]
    fn overflow(&self, env: &Env, notice: &Notice) {
        let record = &notice.record;
        let dropped = notice.wanted.and(EventMask::DROPPABLE);
        let kept = notice.wanted.without(EventMask::DROPPABLE);
        self.published
            .fetch_add(notice.wanted.len(), Ordering::Relaxed);
        self.dropped.fetch_add(dropped.len(), Ordering::Relaxed);
        if kept == EventMask::NONE {
            return;
        }
        let next = env.last_id() + 1;
        let full_since = self
            .full_since
            .compare_exchange(0, next, Ordering::Relaxed, Ordering::Relaxed)
            .map_or_else(|since| since, |_| next);
        let newcomer = record.id() >= full_since;
        let before = record.miss(kept);
        self.coalesced
            .fetch_add(before.and(kept).len(), Ordering::Relaxed);
        if !newcomer {
            env.attention.leave(record, || record.share());
        } else if record.is_retired_by_now() {
            self.settle(env, record);
        } else {
            // ORDERING: AcqRel, partner of the swap in `take_unlisted`.
            self.unlisted.swap(1, Ordering::AcqRel);
        }
    }

    /// Sees to what a removed connection missed, which nobody will find in the
    /// table: it is told if the connection was ever told of.
    #[cold]
    pub(crate) fn settle(&self, env: &Env, record: &Record) {
        if record.is_announced() {
            env.attention.leave(record, || record.share());
            env.bell.ring(0);
        } else {
            let forgotten = record.take_missed();
            self.coalesced.fetch_add(forgotten.len(), Ordering::Relaxed);
        }
    }

    /// Whether the table has to be searched for connections that missed events.
    pub(crate) fn take_unlisted(&self) -> bool {
        // ORDERING: AcqRel, partner of the swap in `overflow`: who takes the flag
        // sees the bits of those who set it.
        self.unlisted.swap(0, Ordering::AcqRel) == 1
    }

    /// Whether the dispatcher has anything to do.
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

    /// Adds a subscriber. The records learn of it next, by the caller, who holds
    /// on to the guard until then.
    pub(crate) fn add(&self, subscriber: Arc<Subscriber>) -> Held<'_, ()> {
        let guard = self.changing.lock();
        let mut subscribers = Vec::clone(&self.subscribers.load());
        subscribers.push(subscriber);
        self.audience.store(subscribers.len(), Ordering::Relaxed);
        self.subscribers.store(Arc::new(subscribers));
        guard
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

    pub(crate) fn counts(&self) -> EventCounts {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        EventCounts {
            published: read(&self.published),
            delivered: read(&self.delivered),
            dropped: read(&self.dropped),
            coalesced: read(&self.coalesced),
            panics: read(&self.panics),
        }
    }
}

impl<T> Renew for Ring<T> {
    fn renew(&self) -> Self {
        Ring::new(self.capacity())
    }
}
