//! What the driver has planned: expiries, cleanup, and whose events are late.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::mem;

use super::planned::Planned;
use crate::circuit::record::{Record, RecordRef, rare};
use crate::manager::engine::Engine;
use crate::reclaim::{self, Guard};
use crate::structures::striped_counter;
use crate::structures::table::Cursor;
use crate::sys::atomic::Mutex;
use crate::sys::per_process::Renew;

/// Slots that a cleanup looks at before it lets go of its pin.
const CLEANUP_STEP: usize = 1_024;
/// Below so many moments, stale ones are not sorted out.
const ROOMY: usize = 1_024;

/// What the driver has planned.
#[derive(Debug)]
pub(crate) struct Plan {
    moments: BinaryHeap<Reverse<Moment>>,
    planned: Planned,
    /// The number of moments at which those that are no longer in force are sorted out.
    crowded: usize,
    last_cleanup: u64,
    /// When the next cleanup is.
    next_cleanup: u64,
    /// Where the cleanup under way continues.
    cleanup: Option<Cursor>,
    /// Records that have missed events.
    pub(super) late: Vec<RecordRef>,
    /// The plan is that of a fresh child of a fork: the table holds circuits without a timer.
    is_inherited: bool,
}

/// A timer: when to look at which record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Moment {
    at: u64,
    hash: u64,
    id: u64,
}

impl Moment {
    fn find<'g>(&self, engine: &Engine, guard: &'g Guard) -> Option<&'g Record> {
        engine
            .table
            .find(self.hash, guard, |record| record.id() == self.id)
    }
}

impl Plan {
    pub(crate) fn new(now: u64) -> Self {
        Plan {
            moments: BinaryHeap::new(),
            planned: Planned::default(),
            crowded: ROOMY,
            last_cleanup: now,
            next_cleanup: 0,
            cleanup: None,
            late: Vec::new(),
            is_inherited: false,
        }
    }

    /// Lets the expiries happen that are due.
    pub(super) fn turn(&mut self, engine: &Engine) {
        let now = engine.context.clock.now_exact();
        self.take_in(engine, now);
        self.expire_due(engine, now);
        striped_counter::refill();
        rare::refill();
        reclaim::tidy();
    }

    /// The next moment at which something is due, events apart.
    pub(super) fn next(&self) -> u64 {
        let next_expiry = self
            .moments
            .peek()
            .map_or(u64::MAX, |Reverse(next)| next.at);
        next_expiry.min(self.next_cleanup)
    }

    /// When the driver has to look at the plan: 0 for now.
    pub(crate) fn due(&self) -> u64 {
        match self.late.is_empty() && !self.is_inherited {
            true => self.next(),
            false => 0,
        }
    }

    /// Empties the stack into the plan.
    pub(crate) fn take_in(&mut self, engine: &Engine, now: u64) {
        if mem::take(&mut self.is_inherited) {
            self.take_stock(engine, now);
        }
        for record in engine.context.attention.take_all() {
            self.look_at(engine, &record, now);
            if record.has_missed() {
                self.late.push(record);
            }
        }
        self.sort_out(engine);
    }

    /// Plans what the parent of this process had planned. If a thread of the parent was changing
    /// settings, or registering a connection, at the fork, it has not reached all records. So this
    /// function applies the settings, too.
    #[cold]
    fn take_stock(&mut self, engine: &Engine, now: u64) {
        self.last_cleanup = now;
        engine.for_each(|record| {
            engine.context.attention.erase_other_mark(record);
            record.follow_settings(&engine.context);
            self.look_at(engine, record, now);
            if record.has_missed() {
                self.late.push(record.share());
            }
        });
    }

    /// Whether a cleanup has begun and not ended.
    pub(super) fn is_cleaning(&self) -> bool {
        self.cleanup.is_some()
    }

    /// Lets an expiry happen if it is due; otherwise plans it.
    fn look_at(&mut self, engine: &Engine, record: &Record, now: u64) {
        let Some(at) = record.expire(&engine.context, now) else {
            return;
        };
        let id = record.id();
        if self.planned.plan(id, at) {
            let hash = record.hash();
            self.moments.push(Reverse(Moment { at, hash, id }));
        }
    }

    fn expire_due(&mut self, engine: &Engine, now: u64) {
        while let Some(&Reverse(moment)) = self.moments.peek()
            && moment.at <= now
        {
            self.moments.pop();
            if !self.planned.take(moment.id, moment.at) {
                continue;
            }
            let guard = reclaim::pin();
            if let Some(record) = moment.find(engine, &guard) {
                self.look_at(engine, record, now);
            }
        }
    }

    /// Forgets the moments of removed connections and of openings that were moved
    /// to an earlier one, whenever their number has doubled.
    fn sort_out(&mut self, engine: &Engine) {
        if self.moments.len() < self.crowded {
            return;
        }
        let planned = &mut self.planned;
        self.moments.retain(|Reverse(moment)| {
            let is_there = || moment.find(engine, &reclaim::pin()).is_some();
            planned.is(moment.id, moment.at) && (is_there() || !planned.take(moment.id, moment.at))
        });
        self.crowded = ROOMY.max(2 * self.moments.len());
    }

    /// One step, if a cleanup is due or under way. Returns whether it removed something.
    pub(super) fn step_cleanup(&mut self, engine: &Engine) -> bool {
        let now = engine.context.clock.now_exact();
        let housekeeping = engine.context.global.load().housekeeping;
        let interval = housekeeping.cleanup_interval();
        self.next_cleanup = self.last_cleanup.saturating_add(interval);
        let Some(threshold) = housekeeping.inactive_threshold() else {
            self.cleanup = None;
            self.next_cleanup = u64::MAX;
            return false;
        };
        let cursor = match self.cleanup {
            Some(cursor) => cursor,
            None if now < self.next_cleanup => return false,
            None => {
                self.last_cleanup = now;
                Cursor::default()
            }
        };
        let guard = reclaim::pin();
        let mut departing = Vec::new();
        self.cleanup = engine.table.walk(cursor, CLEANUP_STEP, &guard, |record| {
            if let Some(departure) = record.begin_departure(&engine.context, now, threshold) {
                departing.push((record, departure));
            }
        });
        let removed = engine.finish_departures(&departing, now, &guard);
        if removed {
            guard.flush();
        }
        self.next_cleanup = match self.cleanup {
            Some(_) => now,
            None => {
                engine.table.shrink(&guard);
                self.last_cleanup.saturating_add(interval)
            }
        };
        removed
    }
}

/// The plan of this process.
pub(crate) struct Planning(pub(crate) Mutex<Plan>);

impl Renew for Planning {
    fn renew(&self) -> Self {
        Planning(Mutex::new(Plan {
            is_inherited: true,
            ..Plan::new(0)
        }))
    }
}
