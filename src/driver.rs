//! The driver: what has to happen when nobody calls.
//!
//! Correctness never waits for it. An expiry that is due is due for whoever
//! looks first; the driver looks first where there is no traffic, so that the
//! events come on time, and it removes connections that nobody uses.
//!
//! Openings arrive in an inbox and go into a heap of moments. An entry names
//! its record by number and does not keep it alive; what is planned for that number
//! says which of its entries is in force. A deadline that moved later is noticed
//! when its old moment comes, an earlier one gets an entry of its own. So a turn
//! costs what is due in it, however many circuits are open, and however often
//! they were opened in between.
//!
//! Rejected: a scan of all connections (a million of them, every few
//! milliseconds); a timer wheel, which is worth its slots when most timers are
//! cancelled, while openings mostly run to their end.
//!
//! In the child of a `fork` the driver does not exist; whoever has work for it starts
//! another. Its plan is made anew from the table. One that forked itself, inside a
//! callback, goes on in the child, unless another has been started there meanwhile.
//!
//! The cleanup walks the table in small steps, each under a pin of its own.

mod planned;

use std::cell::Cell;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::thread::{self, Thread};
use std::time::Duration;
use std::{mem, ptr};

use crate::bell::Starter;
use crate::clock::Clock;
use crate::counter;
use crate::engine::Engine;
use crate::event::Cause;
use crate::fork;
use crate::per_process::Renew;
use crate::reclaim::{self, Guard};
use crate::record::{Record, RecordRef};
use crate::table::Cursor;
use crate::thread::Running;
use planned::Planned;

/// Slots that a cleanup looks at before it lets go of its pin.
const CLEANUP_STEP: usize = 1_024;

/// How often the last round is tried.
const GOODBYES: usize = 100;
/// How long a queue that drives itself sleeps at most.
const NAP: Duration = Duration::from_millis(20);
/// So many moments are not worth sorting out.
const ROOMY: usize = 1_024;

/// What the driver has planned.
#[derive(Debug)]
pub(crate) struct Plan {
    moments: BinaryHeap<Reverse<Moment>>,
    planned: Planned,
    /// How many moments there may be before those that no record has planned any
    /// more are sorted out.
    crowded: usize,
    last_cleanup: u64,
    /// Where the cleanup under way goes on.
    cleanup: Option<Cursor>,
    /// Records that have missed events.
    late: Vec<RecordRef>,
    /// The table holds circuits that are planned nowhere.
    is_inherited: bool,
}

/// When to look at which record.
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
            cleanup: None,
            late: Vec::new(),
            is_inherited: false,
        }
    }

    /// Lets the expiries happen that are due.
    pub(crate) fn turn(&mut self, engine: &Engine) {
        let now = engine.env.clock.now_exact();
        self.take_in(engine, now);
        self.expire_due(engine, now);
        counter::reserve::refill();
        reclaim::tidy();
    }

    /// When the next expiry is due.
    fn next_expiry(&self) -> u64 {
        let next = self.moments.peek();
        next.map_or(u64::MAX, |Reverse(next)| next.at)
    }

    /// Empties the inbox into the plan.
    pub(crate) fn take_in(&mut self, engine: &Engine, now: u64) {
        if mem::take(&mut self.is_inherited) {
            self.take_stock(engine, now);
        }
        for record in engine.env.attention.take_all() {
            self.look_at(engine, &record, now);
            if record.has_missed() {
                self.late.push(record);
            }
        }
        self.sort_out(engine);
    }

    /// Plans what the parent of this process had planned.
    #[cold]
    fn take_stock(&mut self, engine: &Engine, now: u64) {
        self.last_cleanup = now;
        engine.for_each(|record| {
            engine.env.attention.erase_other_mark(record);
            self.look_at(engine, record, now);
            if record.has_missed() {
                self.late.push(record.share());
            }
        });
    }

    /// Whether a cleanup has begun and not ended.
    pub(crate) fn is_cleaning(&self) -> bool {
        self.cleanup.is_some()
    }

    /// Lets an expiry happen, or plans it.
    fn look_at(&mut self, engine: &Engine, record: &Record, now: u64) {
        let Some(at) = record.expire(&engine.env, now) else {
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

    /// One step, if a cleanup is due or under way. Returns whether it removed something, and when
    /// the next step is due.
    fn step_cleanup(&mut self, engine: &Engine) -> (bool, u64) {
        let now = engine.env.clock.now_exact();
        let housekeeping = engine.env.global.load().housekeeping;
        let next = self
            .last_cleanup
            .saturating_add(housekeeping.cleanup_interval());
        let Some(threshold) = housekeeping.inactive_threshold() else {
            self.cleanup = None;
            return (false, u64::MAX);
        };
        let cursor = match self.cleanup {
            Some(cursor) => cursor,
            None if now < next => return (false, next),
            None => {
                self.last_cleanup = now;
                Cursor::default()
            }
        };
        let guard = reclaim::pin();
        let mut removed = false;
        self.cleanup = engine.table.walk(cursor, CLEANUP_STEP, &guard, |record| {
            let idle = now.saturating_sub(record.last_activity(now));
            if idle >= threshold
                && !record.is_busy(&engine.env, now)
                && record.claim_unheld()
                && engine.remove(record, &guard)
            {
                removed = true;
                record.tell_of_life(&engine.env, Cause::CleanedUp);
            }
        });
        if removed {
            guard.flush();
        }
        if self.cleanup.is_none() {
            engine.table.shrink(&guard);
        }
        let next = match self.cleanup {
            Some(_) => now,
            None => self
                .last_cleanup
                .saturating_add(housekeeping.cleanup_interval()),
        };
        (removed, next)
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

/// Who is the driver, in this process.
pub(crate) struct Post(Mutex<Holder>);

enum Holder {
    Nobody,
    Thread(Running),
    /// The driver of the parent process, which forked inside a callback.
    Survivor,
}

impl Post {
    pub(crate) fn new() -> Self {
        Post(Mutex::new(Holder::Nobody))
    }

    fn lock(&self) -> MutexGuard<'_, Holder> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Renew for Post {
    fn renew(&self) -> Self {
        Post::new()
    }
}

impl Engine {
    /// [`Engine::do_all_due`], and the sleeper is told.
    pub(crate) fn poll(&self) {
        self.do_all_due();
        // The driver may have planned to sleep until a moment that this thread has
        // taken out of the inbox in the meantime.
        self.env.bell.wake();
    }

    /// Everything that is due now: expiries, a whole cleanup, events. Returns the
    /// next moment at which something will be. Inside a callback of this manager
    /// nothing: the thread is at it.
    pub(crate) fn do_all_due(&self) -> u64 {
        if self.env.bus.is_dispatching_here() {
            return 0;
        }
        // One turn delivers all that waits; what callbacks cause meanwhile may
        // wait for the next, or they could keep this from ending.
        let mut next = self.turn();
        while self.plan().is_cleaning() {
            next = self.turn();
        }
        if self.is_shut() {
            self.say_goodbye();
        }
        next
    }

    /// After the shutdown: delivers what waits, and ends all subscriptions.
    pub(crate) fn say_goodbye(&self) {
        // A reporter that is stopped in the midst of sending hides those after it;
        // it is given some time.
        for _ in 0..GOODBYES {
            self.turn();
            if self.is_idle() {
                break;
            }
            thread::yield_now();
        }
        self.unsubscribe(|_| true);
    }

    /// What a queue without a driver does while it waits: all that is due, then
    /// sleep until something is, at most for `longest`.
    pub(crate) fn poll_and_sleep(&self, longest: Duration, found: impl Fn() -> bool) {
        self.env.bell.hang(thread::current());
        // Without a wake: the sleeper is this thread.
        let next = self.do_all_due();
        self.env.bell.lie_down(next);
        if !found() && self.is_idle() && !self.is_shut() {
            let now = self.env.clock.now_exact();
            let due = Duration::from_millis(next.saturating_sub(now));
            // Another thread may be waiting too, and be the one that is woken.
            thread::park_timeout(longest.min(due).min(NAP));
        }
        self.env.bell.get_up();
    }

    /// Whether nothing waits for the driver.
    fn is_idle(&self) -> bool {
        self.env.attention.is_empty() && self.env.bus.is_idle() && self.plan().late.is_empty()
    }

    /// One turn; returns when the next is due.
    fn turn(&self) -> u64 {
        self.plan().turn(self);
        // Before a cleanup: a notice on its way holds its record, as a handle does.
        self.deliver();
        let (removed, next_cleanup) = self.plan().step_cleanup(self);
        if removed {
            self.deliver();
        }
        self.plan().next_expiry().min(next_cleanup)
    }

    /// Hands everything out that waits.
    fn deliver(&self) {
        let late = || {
            let mut late = mem::take(&mut self.plan().late);
            if self.env.bus.take_unlisted() {
                self.for_each(|record| {
                    if record.has_missed() {
                        late.push(record.share());
                    }
                });
            }
            late
        };
        let alive = || {
            let mut ids = HashSet::new();
            self.for_each(|record| {
                ids.insert(record.id());
            });
            ids
        };
        self.env.bus.dispatch(&self.env, late, &alive);
    }
}

/// What the bell starts the driver with.
pub(crate) fn starter(engine: Weak<Engine>) -> Starter {
    Arc::new(move || {
        if let Some(engine) = engine.upgrade() {
            start(&engine);
        }
    })
}

/// Starts the thread, unless there is one in this process or the engine is shut. If
/// the system has no thread to give, whoever rings next tries again.
pub(crate) fn start(engine: &Arc<Engine>) {
    // Who holds it is starting the thread, or joining it.
    let Ok(mut holder) = engine.driver.0.try_lock() else {
        return;
    };
    if engine.is_shut() || !matches!(*holder, Holder::Nobody) {
        return;
    }
    // Before there is a driver that could lie down.
    engine.env.bell.get_up();
    let thread = Running::start(c"brama-driver", {
        let engine = engine.clone();
        move || drive(&engine)
    });
    match thread {
        Ok(thread) => *holder = Holder::Thread(thread),
        Err(_) => engine.env.bell.leave(),
    }
}

thread_local! {
    /// Which engine this thread drives. Unlike the standard library's handle of the
    /// thread it can be asked for while the thread ends.
    static DRIVEN: Cell<*const Engine> = const { Cell::new(ptr::null()) };
}

/// The life of the driver. It ends when the engine is shut.
fn drive(engine: &Engine) {
    DRIVEN.set(engine);
    let me = thread::current();
    let mut incarnation = fork::incarnation();
    take_up(engine, &me);
    while !engine.is_shut() {
        let next = engine.turn();
        if incarnation != fork::incarnation() {
            // A callback has forked, and this is the child.
            incarnation = fork::incarnation();
            let mut holder = engine.driver.lock();
            if !matches!(*holder, Holder::Nobody) {
                return;
            }
            *holder = Holder::Survivor;
            drop(holder);
            engine.env.bell.get_up();
            take_up(engine, &me);
            continue;
        }
        sleep_until(engine, next);
    }
    if let Clock::Manual(clock) = &engine.env.clock {
        clock.forget(&me);
    }
    engine.say_goodbye();
}

/// Says whom to wake.
fn take_up(engine: &Engine, me: &Thread) {
    engine.env.bell.hang(me.clone());
    if let Clock::Manual(clock) = &engine.env.clock {
        clock.wake_on_advance(me.clone());
    }
}

/// Waits until the driver of a shut engine has ended.
pub(crate) fn join(engine: &Engine) {
    // Held while joining: whoever shuts down too returns when it is done.
    let mut holder = engine.driver.lock();
    if let Holder::Thread(thread) = mem::replace(&mut *holder, Holder::Nobody)
        && !ptr::eq(DRIVEN.get(), engine)
    {
        thread.join();
    }
}

fn sleep_until(engine: &Engine, moment: u64) {
    let env = &engine.env;
    env.bell.lie_down(moment);
    let now = env.clock.now_exact();
    if engine.is_idle() && !engine.is_shut() && now < moment && !env.bell.was_woken() {
        match env.clock {
            Clock::System(_) => thread::park_timeout(Duration::from_millis(moment - now)),
            // It moves only when told to, and wakes us then.
            Clock::Manual(_) => thread::park(),
        }
    }
    env.bell.get_up();
}
