//! The dispatcher: takes notices, makes events of them, and offers each to the
//! subscribers it is for. The order of its work is the subject of [`bus`](super).
//!
//! One thread at a time dispatches, usually the driver's, otherwise one that
//! polls. A callback may call anything, so a thread that is dispatching and is
//! asked to dispatch again does nothing: it is at it.
//!
//! A callback may also `fork`. When it returns in the child, what is left of the
//! round is the parent's, and the child's own events wait in another ring.

use std::cell::Cell;
use std::collections::{BTreeMap, HashSet};
use std::ptr;
use std::sync::Arc;

use super::{Bus, Notice};
use crate::env::Env;
use crate::event::{Cause, Event, EventMask, EventType, Facts};
use crate::fork;
use crate::gate;
use crate::lock::Held;
use crate::record::{REGISTRATION, Record, RecordRef, Registration};
use crate::sync::Ordering;

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
        // However the dispatch ends: nothing may point to it any more.
        AT_WORK.set(self.outer);
    }
}

/// Whether this thread is inside a callback or a filter of some manager, or inside the
/// destructor of one. Such code never waits for other threads of this library: those
/// might be waiting for it.
pub(crate) fn is_inside_user_code() -> bool {
    !AT_WORK.get().is_null() || gate::is_finishing_here()
}

/// Whether a callback of the innermost round has forked, and this is the child.
fn is_the_parents() -> bool {
    // SAFETY: null, or on the stack of this thread, of a call further out: the drop of
    // `AtWork` takes away what points to it.
    let work = unsafe { AT_WORK.get().as_ref() };
    work.is_some_and(|work| work.incarnation != fork::incarnation())
}

/// What became of a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub(crate) enum Dispatched {
    /// It was done.
    Done,
    /// This thread is inside a callback of the same manager.
    Nested,
    /// Another thread is at it, and this one must not wait.
    Busy,
}

/// The order in which events that were missed are told. The registration comes before
/// all of them.
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

/// One round of the dispatcher.
struct Round<'a> {
    bus: &'a Bus,
    env: &'a Env,
    /// By the numbers of the connections, so in the order of their registrations.
    late: BTreeMap<u64, Late>,
}

impl Bus {
    /// Whether this thread is inside a callback or a filter of this manager's.
    pub(crate) fn is_dispatching_here(&self) -> bool {
        let mut at = AT_WORK.get();
        // SAFETY: as in `is_the_parents`, for each of them.
        while let Some(work) = unsafe { at.as_ref() } {
            if ptr::eq(work.bus, self) {
                return true;
            }
            at = work.outer;
        }
        false
    }

    /// Delivers what waits, at most one ring full, and what the records that `late` names
    /// have missed. Nothing if this thread is at it already.
    ///
    /// Neither if another thread is at it and this one is inside user code: the two could
    /// be waiting for each other. The other one ends its round soon, and looks again.
    pub(crate) fn dispatch(
        &self,
        env: &Env,
        late: impl FnOnce() -> Vec<RecordRef>,
        alive: &dyn Fn() -> HashSet<u64>,
    ) -> Dispatched {
        if self.is_dispatching_here() {
            return Dispatched::Nested;
        }
        let Some(_one_at_a_time) = self.become_dispatcher() else {
            env.bell.wake();
            return Dispatched::Busy;
        };
        let work = AtWork {
            bus: self,
            outer: AT_WORK.get(),
            incarnation: fork::incarnation(),
        };
        AT_WORK.set(&work);
        self.full_since.store(0, Ordering::Relaxed);
        self.in_hand.store(0, Ordering::Relaxed);
        let mut round = Round::begin(self, env, late());
        round.tell_ring();
        round.tell_late();
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
    fn begin(bus: &'a Bus, env: &'a Env, records: Vec<RecordRef>) -> Self {
        let mut round = Round {
            bus,
            env,
            late: BTreeMap::new(),
        };
        for record in records {
            let missed = record.take_missed();
            if missed != EventMask::NONE {
                let facts = record.facts_now(env);
                round.take_in_hand(missed);
                let late = Late {
                    record,
                    missed,
                    facts,
                };
                round.late.insert(late.record.id(), late);
            }
        }
        round
    }

    fn tell_ring(&mut self) {
        let ring = &*self.bus.ring;
        // A callback that reports must not keep this from ending.
        let tail = ring.tail();
        while !is_the_parents()
            && let Some(notice) = ring.pop_before(tail)
        {
            self.take_in_hand(notice.wanted);
            self.tell_notice(&notice);
        }
    }

    fn tell_late(&mut self) {
        while !is_the_parents()
            && let Some((_, late)) = self.late.pop_first()
        {
            self.tell_one_late(late);
        }
    }

    fn tell_notice(&mut self, notice: &Notice) {
        let Notice {
            record,
            cause,
            moved,
            wanted,
            facts,
        } = notice;
        self.bus
            .published
            .fetch_add(wanted.len(), Ordering::Relaxed);
        if cause.is_removal() {
            // What it missed has to be told now: nobody will find it in the table.
            if let Some(late) = self.late.remove(&record.id()) {
                self.tell_one_late(late);
            }
            let missed = record.take_missed();
            if missed != EventMask::NONE {
                self.take_in_hand(missed);
                let facts = record.facts_now(self.env);
                let record = record.clone();
                self.tell_one_late(Late {
                    record,
                    missed,
                    facts,
                });
            }
        }
        if *cause == Cause::Registered {
            self.tell_registration(record, *wanted, facts, false);
        } else {
            let kinds = cause.events(*moved);
            self.tell(record, kinds, *wanted, facts.clone(), false);
        }
    }

    fn tell_one_late(&mut self, late: Late) {
        let Late {
            record,
            missed,
            facts,
        } = late;
        let registration = missed.and(REGISTRATION);
        if registration != EventMask::NONE {
            let facts = record.facts_of_registration(facts.time);
            self.tell_registration(&record, registration, &facts, true);
        }
        let others = missed.without(REGISTRATION);
        if others != EventMask::NONE {
            self.tell(&record, &MISSED, others, facts, true);
        }
    }

    /// Tells a registration, unless that was done before something else of its connection.
    fn tell_registration(&mut self, record: &Record, wanted: EventMask, facts: &Facts, late: bool) {
        if !record.begin_telling() {
            self.forget(wanted);
        } else if record.take_registration() == Registration::Settled {
            self.let_go(wanted);
        } else {
            self.offer_registration(record, wanted, facts, late);
        }
    }

    fn offer_registration(
        &mut self,
        record: &Record,
        wanted: EventMask,
        facts: &Facts,
        late: bool,
    ) {
        self.offer(record, Cause::Registered.events(true), wanted, facts, late);
        if self.bus.closing.load(Ordering::Relaxed) == 0 && record.take_removal() {
            let removed = EventMask::of(EventType::ConnectionRemoved);
            let wanted = self.bus.interest_in(record.key()).and(removed);
            self.take_in_hand(wanted);
            self.bus
                .published
                .fetch_add(wanted.len(), Ordering::Relaxed);
            let facts = record.facts_now(self.env);
            self.offer(
                record,
                &[EventType::ConnectionRemoved],
                wanted,
                &facts,
                true,
            );
        }
    }

    /// Tells what happened, or what holds now if that is outdated.
    fn tell(
        &mut self,
        record: &Record,
        kinds: &[EventType],
        wanted: EventMask,
        mut facts: Facts,
        mut late: bool,
    ) {
        if !record.begin_telling() {
            return self.forget(wanted);
        }
        self.tell_registration_first(record, facts.time);
        if record.is_outdated(&facts) {
            facts = record.facts_now(self.env);
            late = true;
        }
        if late {
            // From what was told last, which may be more than one change ago.
            facts.before = record.told_state();
        }
        self.offer(record, kinds, wanted, &facts, late);
    }

    /// Something else of this connection is about to be told, and its registration is
    /// not. The time is that of the other thing, at the latest.
    fn tell_registration_first(&mut self, record: &Record, time: u64) {
        let registration = record.take_registration();
        if registration == Registration::Settled {
            return;
        }
        let wanted = record.interest().and(REGISTRATION);
        self.take_in_hand(wanted);
        if registration == Registration::New {
            self.bus
                .published
                .fetch_add(wanted.len(), Ordering::Relaxed);
        }
        let facts = record.facts_of_registration(time);
        self.offer_registration(record, wanted, &facts, false);
    }

    /// Makes events of those `kinds` that are `wanted`, and offers them.
    fn offer(
        &mut self,
        record: &Record,
        kinds: &[EventType],
        wanted: EventMask,
        facts: &Facts,
        late: bool,
    ) {
        record.note_told(facts);
        let bus = self.bus;
        let name = Arc::new(record.key().to_buf());
        let newest = self.env.last_id();
        let unix_ms = self.env.clock.wall().unix_ms(facts.time);
        // Not a guard: a callback may subscribe, which swaps the list.
        let subscribers = bus.subscribers.load_full();
        for kind in kinds {
            if !wanted.contains(*kind) {
                continue;
            }
            if bus.is_out_of_time() {
                self.leave(EventMask::of(*kind));
                continue;
            }
            let event = Event {
                kind: *kind,
                name: name.clone(),
                id: record.id(),
                sequence: bus.next_sequence(),
                unix_ms,
                late,
                facts: facts.clone(),
            };
            for subscriber in subscribers.iter() {
                let is_wanted = || subscriber.filter.interest_in(name.as_key()).contains(*kind);
                if subscriber.is_ready() && is_wanted() && !is_the_parents() {
                    subscriber.offer(bus, &event, newest);
                }
            }
            self.let_go(EventMask::of(*kind));
        }
    }

    fn take_in_hand(&self, events: EventMask) {
        self.bus.in_hand.fetch_add(events.len(), Ordering::Relaxed);
    }

    fn let_go(&self, events: EventMask) {
        // The child of a fork has counted none of the parent's.
        if !is_the_parents() {
            self.bus.in_hand.fetch_sub(events.len(), Ordering::Relaxed);
        }
    }

    fn forget(&self, events: EventMask) {
        self.bus.count_forgotten(events);
        self.let_go(events);
    }

    /// The time is over.
    fn leave(&self, events: EventMask) {
        self.bus.count_left(events.len());
        self.let_go(events);
    }
}

impl Bus {
    /// The number of the next event. One thread at a time tells.
    fn next_sequence(&self) -> u64 {
        self.sequence.fetch_add(1, Ordering::Relaxed) + 1
    }
}
