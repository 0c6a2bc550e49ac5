//! The driver: does what has to happen without a call.
//!
//! Correctness never waits for it. The first thread that looks at an expiry that is due makes it
//! happen. Where there is no traffic that is the driver, so that the events come on time. It also
//! removes connections that are not used.
//!
//! Openings arrive on a stack (`Context::attention`) and go into a heap of timers (`Moment`). A
//! timer names its record by number and does not keep it alive. `Planned` says which timer of a
//! record is in force. If a deadline moves later, the driver finds that when the old timer fires;
//! if it moves earlier, it gets another timer. So a turn costs what is due in it, however many
//! circuits are open, and however often they were opened in between.
//!
//! **No wake is lost.** A reporter leaves work on the stack and wakes the driver. Another
//! thread than the driver may move the work into the plan: one that polls, or one that
//! unregisters while the driver is inside a callback. So the driver announces until when it
//! sleeps, and then looks for work again: first on the stack, then in the plan. A thread
//! that moves work holds the plan's lock meanwhile, so the driver finds the work in one of
//! the two. And each thread that has held that lock wakes the driver for the earliest moment
//! in the plan ([`Engine::with_plan`]). So a reporter that is stopped before it wakes the
//! driver delays nothing.
//!
//! **The tick.** While calls are frequent, the driver of one manager records for the calls of all
//! managers that time has moved, as long as it sleeps ([`tick_word`](crate::sys::tick_word)). It
//! stops that before it does any work, which may take long.
//!
//! **The end.** A shutdown waits until the driver has delivered what waits, or until its
//! time is over. Called from user code (a callback, a filter, or the destructor of one, of
//! any manager) it does not wait, and the driver or a polling thread does the rest.
//! Otherwise two managers whose callbacks end each other would wait for each other.
//!
//! Rejected: a scan of all connections (a million of them, every few
//! milliseconds); a timer wheel, which is worth its slots when most timers are
//! cancelled, while openings mostly run to their end.
//!
//! In the child of a `fork` the driver does not exist. The first thread that has work for it
//! starts another one, whose plan is made from the table. A driver that forked itself,
//! inside a callback, goes on in the child, unless another one was started there meanwhile.
//! If the system starts no thread, the manager works without one: queues are filled by the
//! threads that take from them, and `poll` and `shutdown` do all that a driver would.
//!
//! The cleanup walks the table in small steps, each under a pin of its own.

mod driver_thread;
mod plan;
mod planned;

use std::collections::HashSet;
use std::sync::{PoisonError, TryLockError};
use std::time::{Duration, Instant};
use std::{mem, thread};

use crate::events::bus::{Dispatched, is_inside_user_code};
use crate::events::subscriber_queue::SubscriberQueue;
use crate::manager::engine::Engine;
use crate::sys::atomic::{MutexGuard, Ordering, fence};

pub(crate) use driver_thread::{DriverThread, end, start, starter};
pub(crate) use plan::{Plan, Planning};

/// How often the last round is tried at once, and then how long with pauses: a reporter
/// may have been stopped while it was sending.
const GOODBYES: usize = 100;
const LONG_GOODBYE: Duration = Duration::from_secs(1);
const PAUSE: Duration = Duration::from_millis(1);
/// How long a queue that drives itself sleeps at most.
const NAP: Duration = Duration::from_millis(20);

impl Engine {
    /// Runs `work` on the plan. This and [`Engine::try_with_plan`] are the only ways to it,
    /// so that a thread that moves work into the plan wakes a driver that sleeps for longer.
    pub(crate) fn with_plan<T>(&self, work: impl FnOnce(&mut Plan) -> T) -> T {
        let plan = self.plan.0.lock();
        self.work_on(plan.unwrap_or_else(PoisonError::into_inner), work)
    }

    /// Runs `work` on the plan, unless another thread does so.
    pub(crate) fn try_with_plan(&self, work: impl FnOnce(&mut Plan)) {
        match self.plan.0.try_lock() {
            Ok(plan) => self.work_on(plan, work),
            Err(TryLockError::Poisoned(plan)) => self.work_on(plan.into_inner(), work),
            Err(TryLockError::WouldBlock) => {}
        }
    }

    fn work_on<T>(&self, mut plan: MutexGuard<'_, Plan>, work: impl FnOnce(&mut Plan) -> T) -> T {
        let answer = work(&mut plan);
        let due = plan.due();
        drop(plan);
        self.context.waker.wake_by(due);
        answer
    }

    /// Does everything that is due now: expiries, a whole cleanup, events. Returns the next moment
    /// at which something will be due. Inside a callback of this manager it does nothing and
    /// returns 0: this thread is dispatching already.
    pub(crate) fn do_all_due(&self) -> u64 {
        if self.bus.is_dispatching_here() {
            return 0;
        }
        // One turn delivers all that waits; what callbacks cause meanwhile may
        // wait for the next, or they could keep this from ending.
        let mut next = self.turn();
        while self.with_plan(|plan| plan.is_cleaning()) {
            next = self.turn();
        }
        // ORDERING: SeqCst, partner of the fence in `shut_down`: either this thread, which was
        // the dispatcher, finds the flag, or the thread that shuts down finds no dispatcher.
        fence(Ordering::SeqCst);
        if self.is_emptied() {
            self.say_goodbye();
        }
        next
    }

    /// Delivers what waits after the shutdown, as long as there is time, and ends all
    /// subscriptions. Returns at once inside user code if another thread is the dispatcher: that
    /// thread then does it.
    pub(crate) fn say_goodbye(&self) {
        let begin = Instant::now();
        for round in 0.. {
            let (_, dispatched) = self.turn_once();
            if dispatched != Dispatched::Done && is_inside_user_code() {
                return;
            }
            if self.is_idle() || self.bus.is_out_of_time() {
                break;
            }
            if round < GOODBYES {
                thread::yield_now();
            } else if begin.elapsed() < LONG_GOODBYE {
                thread::sleep(PAUSE);
            } else {
                break;
            }
        }
        self.give_up();
    }

    /// Counts what was not delivered, and ends all subscriptions.
    fn give_up(&self) {
        let late = self.with_plan(|plan| {
            plan.take_in(self, self.context.clock.now_exact());
            mem::take(&mut plan.late)
        });
        // A reporter that sends a notice from now on takes it away again.
        self.context.waker.end();
        self.bus.discard(late);
        self.unsubscribe(|_| true);
    }

    /// Sleeps until something is due or left, at most for `longest`: for a thread that waits
    /// for a queue that no driver fills. One thread at a time is woken, comes
    /// back and does what a driver would. The others sleep until it has filled their queue.
    pub(crate) fn pump_and_sleep(&self, longest: Duration, queue: &SubscriberQueue) {
        let nap = longest.min(NAP);
        let pump = self.pumping.try_lock();
        // The waker of a driver that cannot be started is not this thread's.
        if pump.is_none() || self.has_driver() {
            queue.await_any(nap);
            return;
        }
        self.context.waker.hang(thread::current());
        let next = self.do_all_due();
        if self.lies_down_until(next) && !queue.has_any() {
            let now = self.context.clock.now_exact();
            let due = Duration::from_millis(next.saturating_sub(now));
            thread::park_timeout(nap.min(due));
        }
        self.context.waker.get_up();
    }

    /// Whether nothing waits for the driver.
    fn is_idle(&self) -> bool {
        self.is_idle_until(1)
    }

    /// Announces a sleep, and looks for work again. False if there is work, or if a shutdown has
    /// removed all connections.
    pub(crate) fn lies_down_until(&self, moment: u64) -> bool {
        self.context.waker.lie_down(moment);
        self.is_idle_until(moment) && !self.is_emptied()
    }

    /// Whether nothing waits for the driver, nor will before this moment.
    fn is_idle_until(&self, moment: u64) -> bool {
        // The stack first: what another thread takes out of it meanwhile is then found in
        // the plan.
        self.context.attention.is_empty() && self.bus.is_idle() && {
            self.with_plan(|plan| plan.due()) >= moment
        }
    }

    /// One turn; returns when the next is due.
    fn turn(&self) -> u64 {
        self.turn_once().0
    }

    fn turn_once(&self) -> (u64, Dispatched) {
        self.with_plan(|plan| plan.turn(self));
        // Before a cleanup: a notice on its way holds its record, as a handle does.
        let dispatched = self.dispatch();
        let has_removed = self.with_plan(|plan| plan.step_cleanup(self));
        let dispatched = match has_removed {
            true => self.dispatch(),
            false => dispatched,
        };
        (self.with_plan(|plan| plan.next()), dispatched)
    }

    /// Delivers all that waits.
    fn dispatch(&self) -> Dispatched {
        let late = || {
            let mut late = self.with_plan(|plan| mem::take(&mut plan.late));
            if self.bus.take_unlisted() {
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
        self.bus.dispatch(&self.context, late, &alive)
    }
}

#[cfg(all(test, not(loom)))]
mod tests;
