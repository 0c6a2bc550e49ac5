//! The last step of a delivery: a happening becomes events, and each goes to the subscribers
//! that want it.
//!
//! **Bursts.** What a queue costs is mostly its lock and the wake of its host, not the event. So
//! events for plain queues are kept until there are [`BURST`] of them, or until the round has no
//! more. Each queue gets its share of them under one lock and with one wake. A burst goes to one
//! audience: the queues, with the types that each wants of the connection. Most subscribers name no
//! connection, so connections mostly share their audience. The first event for another audience
//! ends the burst.
//!
//! **User code comes after.** A callback may take as long as it likes, and may report, unsubscribe
//! or fork. So the burst is handed over before any of it runs. Then no queue waits for the callbacks
//! of its own events or of later ones, and a child of a fork finds no burst of the parent's.
//!
//! **The audience is fixed when an event is made**, not when its burst is handed over. The dispatcher
//! checks after a registration whether a subscriber has to hear of the removal. That check has to
//! come after the check of which subscribers are ready (`record::delivered`).
//!
//! Events that are kept are *in hand*, as an event is while its callbacks run (`bus::end`).
//!
//! Rejected: *a list of events for each subscriber*, which allocates for each; *one audience for
//! each event of a burst*, which costs each queue a look at every event's.

use std::mem;
use std::sync::Arc;

use arc_swap::{ArcSwap, Cache};

use super::Bus;
use super::dispatch::is_the_parents;
use crate::circuit::context::Context;
use crate::circuit::record::Record;
use crate::events::subscriber::Subscriber;
use crate::events::subscriber_queue::PostedCounts;
use crate::sys::atomic::Ordering;
use crate::values::event::{Event, EventMask};
use crate::values::key::KeyBuf;

/// So many events are kept at most: a few µs of the dispatcher's time, less than a host takes to
/// wake up.
const BURST: usize = 32;

type Subscribers = Arc<Vec<Arc<Subscriber>>>;

/// What one of the subscribers wants of a connection.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Listener {
    place: usize,
    wanted: EventMask,
}

/// The subscribers that want to hear of a connection.
#[derive(Default, PartialEq, Eq)]
struct Audience {
    queues: Vec<Listener>,
    /// All other subscribers: those with user code.
    others: Vec<Listener>,
}

/// The outbox of one round.
pub(super) struct Outbox<'a> {
    bus: &'a Bus,
    context: &'a Context,
    subscribers: Cache<&'a ArcSwap<Vec<Arc<Subscriber>>>, Subscribers>,
    /// The list that the audience is part of.
    listed: Subscribers,
    /// The number and the name of the connection of the last delivery.
    addressed: Option<(u64, Arc<KeyBuf>)>,
    /// Whether all subscribers of the list were ready when the audience was made.
    all_ready: bool,
    audience: Audience,
    /// Memory for the next audience.
    spare: Audience,
    burst: Vec<Event>,
    /// The types of the events in the burst.
    kinds: EventMask,
    /// Events that are made, and in hand until the burst is handed over.
    kept: u64,
    /// Events that left the ring and are not counted as published yet.
    published: u64,
}

impl Audience {
    fn clear(&mut self) {
        self.queues.clear();
        self.others.clear();
    }

    /// Finds the subscribers that want something of the connection. Returns whether all are ready.
    fn find(&mut self, subscribers: &[Arc<Subscriber>], name: &KeyBuf) -> bool {
        self.clear();
        let mut all_ready = true;
        for (place, subscriber) in subscribers.iter().enumerate() {
            let is_ready = subscriber.is_ready();
            all_ready &= is_ready;
            let wanted = subscriber.filter.interest_in(name.as_key());
            if is_ready && wanted != EventMask::NONE {
                let list = match subscriber.is_plain() {
                    true => &mut self.queues,
                    false => &mut self.others,
                };
                list.push(Listener { place, wanted });
            }
        }
        all_ready
    }
}

impl<'a> Outbox<'a> {
    pub(super) fn new(bus: &'a Bus, context: &'a Context) -> Self {
        let mut subscribers = Cache::new(&bus.subscribers);
        let listed = subscribers.load().clone();
        Outbox {
            bus,
            context,
            subscribers,
            listed,
            addressed: None,
            all_ready: false,
            audience: Audience::default(),
            spare: Audience::default(),
            burst: Vec::new(),
            kinds: EventMask::NONE,
            kept: 0,
            published: 0,
        }
    }

    /// Finds the audience of the events that come next, and returns the connection's name. Called
    /// once for all events of a delivery: a subscriber that becomes ready in between gets the next
    /// one.
    pub(super) fn address(&mut self, record: &Record) -> Arc<KeyBuf> {
        // Not a guard: a callback may subscribe, which swaps the list. The list of this moment has
        // every subscriber whose wish the reporter knew. A subscriber is listed before any record
        // knows what it wants, and the notice of a reporter that knew has come since, through the
        // ring or as a bit.
        let listed = self.subscribers.load();
        let is_same_list = Arc::ptr_eq(listed, &self.listed);
        let id = record.id();
        let known = self.addressed.take_if(|(known, _)| *known == id);
        let is_known = known.is_some();
        let (_, name) = self.addressed.insert(match known {
            Some(known) => known,
            None => (id, Arc::new(record.key().to_buf())),
        });
        if is_known && is_same_list && self.all_ready {
            return name.clone();
        }
        self.all_ready = self.spare.find(listed, name);
        let (name, listed) = (name.clone(), listed.clone());
        if !is_same_list || self.spare != self.audience {
            self.hand_over();
            self.listed = listed;
            mem::swap(&mut self.spare, &mut self.audience);
        }
        name
    }

    /// Sends an event to the audience. The caller has taken it in hand.
    pub(super) fn send(&mut self, event: Event) {
        if is_the_parents() {
            return;
        }
        let kind = event.kind;
        let wants = |listener: &&Listener| listener.wanted.contains(kind);
        let for_queues = self.audience.queues.iter().any(|one| wants(&one));
        if for_queues {
            self.kinds = self.kinds.or(EventMask::of(kind));
        }
        if !self.audience.others.iter().any(|one| wants(&one)) {
            self.kept += 1;
            if for_queues {
                self.burst.push(event);
            }
            if self.burst.len() >= BURST {
                self.hand_over();
            }
            return;
        }
        if for_queues {
            self.burst.push(event.clone());
        }
        self.hand_over();
        let newest = self.context.last_id();
        for listener in self.audience.others.iter().filter(wants) {
            if !is_the_parents() {
                self.listed[listener.place].offer(self.bus, &event, newest);
            }
        }
        self.bus.let_go(1);
    }

    pub(super) fn count_published(&mut self, events: EventMask) {
        self.published += events.len();
    }

    /// Hands the burst over to the queues, and brings the counts up to date.
    pub(super) fn hand_over(&mut self) {
        if !self.burst.is_empty() {
            self.post();
        }
        if self.kept != 0 {
            self.bus.let_go(mem::take(&mut self.kept));
        }
        if self.published != 0 {
            let published = mem::take(&mut self.published);
            self.bus.published.fetch_add(published, Ordering::Relaxed);
        }
    }

    fn post(&mut self) {
        let newest = self.context.last_id();
        let mut counts = PostedCounts::default();
        for listener in &self.audience.queues {
            if listener.wanted.meets(self.kinds) {
                let wanted = self.burst.iter();
                let wanted = wanted.filter(|event| listener.wanted.contains(event.kind));
                counts.add(self.listed[listener.place].post(wanted, newest));
            }
        }
        self.bus.count(counts);
        self.burst.clear();
        self.kinds = EventMask::NONE;
    }
}
