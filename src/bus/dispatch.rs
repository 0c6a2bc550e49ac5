//! The dispatcher: takes notices, makes events of them, and offers each to the
//! subscribers it is for.
//!
//! One thread at a time dispatches, usually the driver's, otherwise one that
//! polls. A callback may call anything, so a thread that is dispatching and is
//! asked to dispatch again does nothing: it is at it.
//!
//! A callback may also `fork`. When it returns in the child, what is left of the
//! round is the parent's, and the child's own events wait in another ring.

use std::cell::Cell;
use std::collections::HashSet;
use std::ptr;
use std::sync::Arc;

use super::{Bus, Notice};
use crate::env::Env;
use crate::event::{Event, EventMask, EventType, Facts};
use crate::fork;
use crate::record::{Record, RecordRef};
use crate::state::State;
use crate::sync::Ordering;

thread_local! {
    /// What this thread is dispatching, innermost first.
    static AT_WORK: Cell<*const AtWork> = const { Cell::new(ptr::null()) };
}

/// A dispatch under way. Callbacks may dispatch for other managers.
struct AtWork {
    bus: *const Bus,
    outer: *const AtWork,
    incarnation: u32,
}

/// Whether a callback of the innermost round has forked, and this is the child.
fn is_the_parents() -> bool {
    // SAFETY: null, or on the stack of this thread, of a call further out.
    let work = unsafe { AT_WORK.get().as_ref() };
    work.is_some_and(|work| work.incarnation != fork::incarnation())
}

/// The order in which events that were missed are told.
const MISSED: [EventType; 11] = [
    EventType::Registration,
    EventType::ConnectionRegistered,
    EventType::Expiry,
    EventType::StateChange,
    EventType::CircuitOpened,
    EventType::CircuitHalfOpened,
    EventType::CircuitClosed,
    EventType::CircuitReset,
    EventType::Cleanup,
    EventType::ConnectionUnregistered,
    EventType::ConnectionRemoved,
];

impl Bus {
    /// Whether this thread is inside a callback or a filter of this manager's.
    pub(crate) fn is_dispatching_here(&self) -> bool {
        let mut at = AT_WORK.get();
        // SAFETY: each is on the stack of this thread, of a call further out.
        while let Some(work) = unsafe { at.as_ref() } {
            if ptr::eq(work.bus, self) {
                return true;
            }
            at = work.outer;
        }
        false
    }

    /// Delivers what waits in the ring, at most one ring full, and then what
    /// `late` connections have missed. Nothing if this thread is at it already.
    ///
    /// Neither if another thread is at it and this one is inside a callback of
    /// another manager: the two could be waiting for each other.
    pub(crate) fn dispatch(
        &self,
        env: &Env,
        late: impl FnOnce() -> Vec<RecordRef>,
        alive: &dyn Fn() -> HashSet<u64>,
    ) {
        if self.is_dispatching_here() {
            return;
        }
        let _one_at_a_time = if AT_WORK.get().is_null() {
            self.dispatching.lock()
        } else {
            match self.dispatching.try_lock() {
                Some(held) => held,
                None => return env.bell.wake(),
            }
        };
        let work = AtWork {
            bus: self,
            outer: AT_WORK.get(),
            incarnation: fork::incarnation(),
        };
        AT_WORK.set(&work);
        self.full_since.store(0, Ordering::Relaxed);
        let ring = &*self.ring;
        ring.drain(ring.capacity(), |notice| self.deliver(env, &notice));
        if !is_the_parents() {
            for record in late() {
                self.deliver_missed(env, &record);
            }
        }
        for subscriber in self.subscribers.load_full().iter() {
            if !is_the_parents() {
                subscriber.flush(self, alive);
            }
        }
        AT_WORK.set(work.outer);
    }

    fn deliver(&self, env: &Env, notice: &Notice) {
        if is_the_parents() {
            return;
        }
        let Notice {
            record,
            wanted,
            facts,
            ..
        } = notice;
        self.published.fetch_add(wanted.len(), Ordering::Relaxed);
        if notice.cause.is_removal() {
            // What it missed has to be told now: the table has it no more.
            self.deliver_missed(env, record);
        }
        let kinds = notice.cause.events(notice.moved);
        self.offer(env, record, kinds, *wanted, facts, false);
    }

    fn deliver_missed(&self, env: &Env, record: &Record) {
        if is_the_parents() {
            return;
        }
        let missed = record.take_missed();
        if missed != EventMask::NONE {
            let facts = record.facts_now(env);
            self.offer(env, record, &MISSED, missed, &facts, true);
        }
    }

    /// Makes events of those `kinds` that are `wanted`, and offers them.
    fn offer(
        &self,
        env: &Env,
        record: &Record,
        kinds: &[EventType],
        wanted: EventMask,
        facts: &Facts,
        late: bool,
    ) {
        record.note_told(facts.after);
        let name = Arc::new(record.key().to_buf());
        let newest = env.last_id();
        let unix_ms = env.clock.unix_ms(facts.time);
        // Not a guard: a callback may subscribe, which swaps the list.
        let subscribers = self.subscribers.load_full();
        for (place, kind) in (0..).zip(kinds) {
            if !wanted.contains(*kind) {
                continue;
            }
            let event = Event {
                kind: *kind,
                name: name.clone(),
                id: record.id(),
                unix_ms,
                late,
                facts: Facts {
                    sequence: facts.sequence + place,
                    before: match kind {
                        EventType::Registration | EventType::ConnectionRegistered => State::Unknown,
                        _ => facts.before,
                    },
                    ..facts.clone()
                },
            };
            for subscriber in subscribers.iter() {
                if subscriber.filter.interest_in(name.as_key()).contains(*kind) && !is_the_parents()
                {
                    subscriber.offer(self, &event, newest);
                }
            }
        }
    }
}

impl Event {
    /// Takes over from an earlier event of the same type and connection that was
    /// not delivered.
    pub(crate) fn stand_for(&mut self, earlier: &Event) {
        self.late = true;
        if self.facts.before != State::Unknown {
            self.facts.before = earlier.facts.before;
        }
    }
}
