//! The dispatcher: takes notices, and makes events of them for the [outbox](super::outbox).
//! [`bus`](super) describes the order of its work.
//!
//! One thread at a time dispatches: usually the driver's, otherwise one that polls. A callback may
//! call anything, and so make its thread dispatch again. That inner call does nothing, since the
//! outer one goes on.
//!
//! A callback may also `fork`. When it returns in the child, what is left of the
//! round is the parent's, and the child's own events wait in another ring.

use std::cell::Cell;
use std::collections::HashSet;
use std::collections::btree_map::{BTreeMap, Entry};
use std::ptr;
use std::sync::Arc;

use super::outbox::Outbox;
use super::{Bus, Notice};
use crate::circuit::context::Context;
use crate::circuit::event_sink::EventSink;
use crate::circuit::record::{REGISTRATION, Record, RecordRef, Registration};
use crate::structures::use_gate;
use crate::sys::atomic::Ordering;
use crate::sys::fork;
use crate::sys::fork_lock::Held;
use crate::values::event::{Event, EventMask, EventType, Facts, Happening, Occurrence};

thread_local! {
    /// What this thread is dispatching, innermost first.
    static AT_WORK: Cell<*const AtWork> = const { Cell::new(ptr::null()) };
}

/// A dispatch under way, on the stack of its thread. Callbacks may dispatch for other
/// managers.
struct AtWork {
    bus: *const Bus,
    outer: *const AtWork,
    incarnation: u32,
}

impl Drop for AtWork {
    fn drop(&mut self) {
        // Runs however the dispatch ends: nothing may point to it any more.
        AT_WORK.set(self.outer);
    }
}

/// Whether this thread is inside a callback or a filter of some manager, or inside the
/// destructor of one. Such code never waits for other threads of this library: those
/// might be waiting for it.
pub(crate) fn is_inside_user_code() -> bool {
    !AT_WORK.get().is_null() || use_gate::is_finishing_here()
}

/// Whether a callback of the innermost round has forked, and this is the child.
pub(super) fn is_the_parents() -> bool {
    // SAFETY: null, or on the stack of this thread, of a call further out: the drop of `AtWork`
    // takes its address out of AT_WORK, even if the dispatch unwinds.
    let work = unsafe { AT_WORK.get().as_ref() };
    work.is_some_and(|work| work.incarnation != fork::incarnation())
}

/// What became of a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub(crate) enum Dispatched {
    /// It was done.
    Done,
    /// Another thread is the dispatcher and this one must not wait, or this one is the
    /// dispatcher and is inside a callback.
    Elsewhere,
}

/// The order in which missed events are delivered. The registration comes before all of
/// them.
const MISSED: [EventType; 10] = [
    EventType::Expiry,
    EventType::StateChange,
    EventType::CircuitOpened,
    EventType::CircuitHalfOpened,
    EventType::CircuitClosed,
    EventType::CircuitReset,
    EventType::Notice,
    EventType::Cleanup,
    EventType::ConnectionUnregistered,
    EventType::ConnectionRemoved,
];

/// What a record had missed when a round began.
struct Late {
    record: RecordRef,
    missed: EventMask,
    facts: Facts,
}

/// The events of one happening, to be delivered one after the other.
struct Delivery<'k> {
    /// All of them, in this order.
    kinds: &'k [EventType],
    /// Those that a subscriber wanted.
    wanted: EventMask,
    facts: Facts,
    late: bool,
    /// A removal among them is the last event of the connection.
    may_end: bool,
}

impl Delivery<'_> {
    fn registration(record: &Record, wanted: EventMask, time: u64) -> Self {
        Delivery {
            kinds: Occurrence::Registered.events(true),
            wanted,
            facts: record.facts_of_registration(time),
            late: false,
            may_end: false,
        }
    }
}

/// One round of the dispatcher.
struct Round<'a> {
    bus: &'a Bus,
    context: &'a Context,
    /// By the numbers of the connections, so in the order of their registrations.
    late: BTreeMap<u64, Late>,
    outbox: Outbox<'a>,
}

impl Bus {
    /// Whether this thread is inside a callback or a filter of this manager's.
    pub(crate) fn is_dispatching_here(&self) -> bool {
        let mut at = AT_WORK.get();
        // SAFETY: AT_WORK and each `outer` are null, or on the stack of this thread, of a call
        // further out: the drop of `AtWork` takes its address out of the list.
        while let Some(work) = unsafe { at.as_ref() } {
            if ptr::eq(work.bus, self) {
                return true;
            }
            at = work.outer;
        }
        false
    }

    /// Delivers what waits, at most one ring full, and what the records that `late` returns have
    /// missed. Does nothing if this thread is dispatching already.
    ///
    /// Does nothing either if another thread dispatches and this one must not wait for it. Inside
    /// user code the two could be waiting for each other, and a shutdown may be limited in time.
    /// The driver is woken then, and looks again.
    pub(crate) fn dispatch(
        &self,
        context: &Context,
        late: impl FnOnce() -> Vec<RecordRef>,
        alive: &dyn Fn() -> HashSet<u64>,
    ) -> Dispatched {
        if self.is_dispatching_here() {
            return Dispatched::Elsewhere;
        }
        let Some(_one_at_a_time) = self.become_dispatcher() else {
            context.waker.wake();
            return Dispatched::Elsewhere;
        };
        let work = AtWork {
            bus: self,
            outer: AT_WORK.get(),
            incarnation: fork::incarnation(),
        };
        AT_WORK.set(&work);
        self.full_since.store(0, Ordering::Relaxed);
        self.in_hand.store(0, Ordering::Relaxed);
        let mut round = Round::begin(self, context, late());
        round.deliver_ring();
        round.deliver_late();
        round.outbox.hand_over();
        for subscriber in self.subscribers.load_full().iter() {
            if !is_the_parents() {
                subscriber.flush(self, alive);
            }
        }
        Dispatched::Done
    }

    fn become_dispatcher(&self) -> Option<Held<'_, ()>> {
        if is_inside_user_code() {
            return self.dispatching.try_lock();
        }
        match self.deadline() {
            Some(deadline) => self.dispatching.lock_before(deadline),
            None => Some(self.dispatching.lock()),
        }
    }
}

impl<'a> Round<'a> {
    fn begin(bus: &'a Bus, context: &'a Context, records: Vec<RecordRef>) -> Self {
        let mut round = Round {
            bus,
            context,
            late: BTreeMap::new(),
            outbox: Outbox::new(bus, context),
        };
        for record in records {
            round.note_late(record);
        }
        round
    }

    /// Notes what a record has missed. Something of it may be noted already: a record can be found
    /// on the stack and in the table, and can miss more during the round.
    fn note_late(&mut self, record: RecordRef) {
        let missed = record.take_missed();
        if missed == EventMask::NONE {
            return;
        }
        let facts = record.facts_now(self.context);
        match self.late.entry(record.id()) {
            Entry::Vacant(vacant) => {
                vacant.insert(Late {
                    record,
                    missed,
                    facts,
                });
                self.bus.take_in_hand(missed);
            }
            Entry::Occupied(mut occupied) => {
                let late = occupied.get_mut();
                let again = late.missed.and(missed);
                late.missed = late.missed.or(missed);
                late.facts = facts;
                self.bus.count_undelivered(again);
                self.bus.take_in_hand(missed.without(again));
            }
        }
    }

    fn deliver_ring(&mut self) {
        let ring = &*self.bus.ring;
        // Up to this tail only: a callback that reports must not keep the round from ending.
        let tail = ring.tail();
        while !is_the_parents()
            && let Some(notice) = ring.pop_before(tail)
        {
            self.bus.take_in_hand(notice.wanted);
            self.deliver_notice(notice);
        }
    }

    fn deliver_late(&mut self) {
        while !is_the_parents()
            && let Some((_, late)) = self.late.pop_first()
        {
            self.deliver_one_late(late);
        }
    }

    fn deliver_notice(&mut self, notice: Notice) {
        let Notice {
            record,
            occurrence,
            moved,
            wanted,
            facts,
        } = notice;
        self.outbox.count_published(wanted);
        if occurrence.is_removal() {
            // What it missed is delivered now: the table does not lead to it any more.
            self.note_late(record.clone());
            if let Some(late) = self.late.remove(&record.id()) {
                self.deliver_one_late(late);
            }
        }
        let delivery = Delivery {
            kinds: occurrence.events(moved),
            wanted,
            facts,
            late: false,
            may_end: true,
        };
        match occurrence {
            Occurrence::Registered => self.deliver_registration(&record, delivery),
            _ => self.deliver(&record, delivery),
        }
    }

    fn deliver_one_late(&mut self, late: Late) {
        let Late {
            record,
            missed,
            facts,
        } = late;
        let registration = missed.and(REGISTRATION);
        if registration != EventMask::NONE {
            let mut delivery = Delivery::registration(&record, registration, facts.time);
            delivery.late = true;
            self.deliver_registration(&record, delivery);
        }
        let others = missed.without(REGISTRATION);
        if others != EventMask::NONE {
            let delivery = Delivery {
                kinds: &MISSED,
                wanted: others,
                facts,
                late: true,
                may_end: true,
            };
            self.deliver(&record, delivery);
        }
    }

    /// Delivers a registration, unless that was done before another event of its connection.
    fn deliver_registration(&mut self, record: &Record, registration: Delivery<'_>) {
        if !record.begin_delivery() {
            self.forget(registration.wanted);
        } else if record.take_registration() == Registration::Settled {
            self.bus.let_go(registration.wanted.len());
        } else {
            self.offer_registration(record, registration);
        }
    }

    /// Delivers what happened, or what holds now if that is outdated.
    fn deliver(&mut self, record: &Record, mut delivery: Delivery<'_>) {
        if !record.begin_delivery() {
            return self.forget(delivery.wanted);
        }
        self.deliver_registration_first(record, delivery.facts.time);
        if record.is_outdated(&delivery.facts) {
            delivery.facts = record.facts_now(self.context);
            delivery.late = true;
        }
        if delivery.late {
            // The state that was delivered last, which may be more than one change ago.
            delivery.facts.before = record.delivered_state();
        }
        self.offer(record, delivery);
    }

    /// Delivers the registration if that was not done, before another event of this time.
    fn deliver_registration_first(&mut self, record: &Record, time: u64) {
        let registration = record.take_registration();
        if registration == Registration::Settled {
            return;
        }
        let wanted = record.interest().and(REGISTRATION);
        self.bus.take_in_hand(wanted);
        if registration == Registration::New {
            self.outbox.count_published(wanted);
        }
        self.offer_registration(record, Delivery::registration(record, wanted, time));
    }

    /// Offers the registration, and the removal if no thread reports it.
    fn offer_registration(&mut self, record: &Record, registration: Delivery<'_>) {
        self.offer(record, registration);
        if self.bus.closing.load(Ordering::Relaxed) == 0 && record.take_removal() {
            let removed = EventMask::of(EventType::ConnectionRemoved);
            let wanted = self.bus.interest_in(record.key()).and(removed);
            self.bus.take_in_hand(wanted);
            self.outbox.count_published(wanted);
            let removal = Delivery {
                kinds: &[EventType::ConnectionRemoved],
                wanted,
                facts: record.facts_now(self.context),
                late: true,
                // The thread that removes the connection may yet report why.
                may_end: false,
            };
            self.offer(record, removal);
        }
    }

    /// Makes the events, and offers them.
    fn offer(&mut self, record: &Record, delivery: Delivery<'_>) {
        let Delivery { mut facts, .. } = delivery;
        facts.time = record.time_to_deliver(self.context, facts.time);
        record.note_delivered(&facts);
        let (bus, before) = (self.bus, facts.before);
        // The events share it. The last one takes it, without a clone.
        let mut happening = Some(Arc::new(Happening {
            name: self.outbox.address(record),
            id: record.id(),
            unix_ms: self.context.clock.unix_ms(facts.time),
            facts,
        }));
        let kinds = delivery.kinds.iter().copied();
        let kinds = kinds.filter(|kind| delivery.wanted.contains(*kind));
        let mut kinds = kinds.peekable();
        while let Some(kind) = kinds.next() {
            if bus.is_out_of_time() {
                self.leave(EventMask::of(kind));
                continue;
            }
            let is_last = delivery.may_end && kind.is_of_removal() && kinds.peek().is_none();
            let is_straggler = record.has_concluded();
            if is_last {
                record.conclude();
            }
            let happening = match kinds.peek() {
                Some(_) => happening.clone(),
                None => happening.take(),
            };
            let Some(happening) = happening else {
                break;
            };
            self.outbox.send(Event {
                kind,
                before,
                late: delivery.late,
                is_last,
                is_straggler,
                sequence: bus.next_sequence(),
                happening,
            });
        }
    }

    fn forget(&self, events: EventMask) {
        self.bus.count_undelivered(events);
        self.bus.let_go(events.len());
    }

    /// Counts events as left, since the time is over.
    fn leave(&self, events: EventMask) {
        self.bus.count_left(events.len());
        self.bus.let_go(events.len());
    }
}

impl Bus {
    // What follows is for the dispatcher. No other thread writes these, and one dispatcher hands
    // them to the next with the lock: a load and a store are enough.

    /// The number of the next event.
    fn next_sequence(&self) -> u64 {
        let next = self.sequence.load(Ordering::Relaxed) + 1;
        self.sequence.store(next, Ordering::Relaxed);
        next
    }

    fn take_in_hand(&self, events: EventMask) {
        let in_hand = self.in_hand.load(Ordering::Relaxed);
        self.in_hand
            .store(in_hand + events.len(), Ordering::Relaxed);
    }

    pub(super) fn let_go(&self, events: u64) {
        // The child of a fork has counted none of the parent's.
        if !is_the_parents() {
            let in_hand = self.in_hand.load(Ordering::Relaxed);
            self.in_hand.store(in_hand - events, Ordering::Relaxed);
        }
    }
}
