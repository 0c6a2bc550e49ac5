//! The driver's thread: its start, its loop and forks inside of it, its end.

use std::cell::Cell;
use std::ptr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use crate::circuit::context::Context;
use crate::events::bus::is_inside_user_code;
use crate::manager::engine::Engine;
use crate::structures::waker::Starter;
use crate::sys::atomic::{AtomicU32, Ordering};
use crate::sys::clock::Clock;
use crate::sys::fork;
use crate::sys::fork_lock::WaitRoom;
use crate::sys::per_process::Renew;
use crate::sys::thread::Running;

/// After the system has refused to start a thread, how long none is tried again.
const PATIENCE: Duration = Duration::from_millis(100);

/// The post of the driver, in this process.
pub(crate) struct DriverThread {
    /// Held to start the driver, and to join it.
    holder: Mutex<Holder>,
    /// 1 while there is a driver.
    running: AtomicU32,
    /// Threads that shut down wait here until there is no driver.
    room: WaitRoom,
}

enum Holder {
    Vacant,
    /// The system refused to start a thread: when, and with which error number.
    Refused(Instant, i32),
    Thread(Running),
    /// The driver of the parent process, which forked inside a callback.
    Survivor,
}

impl Holder {
    fn is_there(&self) -> bool {
        matches!(self, Holder::Thread(_) | Holder::Survivor)
    }
}

impl DriverThread {
    pub(crate) fn new() -> Self {
        DriverThread {
            holder: Mutex::new(Holder::Vacant),
            running: AtomicU32::new(0),
            room: WaitRoom::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Holder> {
        self.holder.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether there is a driver in this process.
    pub(crate) fn is_running(&self) -> bool {
        // ORDERING: Acquire, partner of the Release in `leave`: a thread that finds the driver
        // gone finds what the driver did.
        self.running.load(Ordering::Acquire) == 1
    }

    /// The error number with which the system has refused to start a driver; `None` if it has not.
    /// Waits if a driver is being started.
    pub(crate) fn refusal(&self) -> Option<i32> {
        match *self.lock() {
            Holder::Refused(_, reason) => Some(reason),
            _ => None,
        }
    }

    fn take_up(&self) {
        self.running.store(1, Ordering::Relaxed);
    }

    fn leave(&self) {
        // ORDERING: Release, partner of the Acquire in `is_running`.
        self.running.store(0, Ordering::Release);
        self.room.wake_all();
    }

    /// Waits until there is no driver, at most until `deadline`. Returns whether there is
    /// none.
    fn await_none(&self, deadline: Option<Instant>) -> bool {
        // A thread that holds this is starting a driver, and has done so afterwards.
        drop(self.lock());
        let is_over = || !self.is_running();
        match deadline {
            Some(deadline) => self.room.wait_before(deadline, is_over),
            None => {
                self.room.wait_until(is_over);
                true
            }
        }
    }

    /// Joins the thread, which has done its work. Returns when it has ended, even if another
    /// thread joins it.
    fn join(&self) {
        let mut holder = self.lock();
        if let Holder::Thread(_) = *holder
            && let Holder::Thread(thread) = std::mem::replace(&mut *holder, Holder::Vacant)
        {
            thread.join();
        }
    }
}

impl Renew for DriverThread {
    fn renew(&self) -> Self {
        DriverThread::new()
    }
}

/// The function by which the waker starts the driver.
pub(crate) fn starter(engine: Weak<Engine>) -> Starter {
    Arc::new(move || {
        if let Some(engine) = engine.upgrade() {
            start(&engine);
        }
    })
}

/// Starts the thread, unless there is one in this process or the engine is shut. If
/// the system refuses, a later wake tries again.
pub(crate) fn start(engine: &Arc<Engine>) {
    let post = &*engine.driver;
    // Another thread is starting the driver, or joining it.
    let Ok(mut holder) = post.holder.try_lock() else {
        return;
    };
    if engine.is_shut() || holder.is_there() {
        return;
    }
    if let Holder::Refused(then, _) = *holder
        && then.elapsed() < PATIENCE
    {
        return;
    }
    post.take_up();
    // Before there is a driver that could lie down.
    engine.context.waker.get_up();
    let thread = Running::start(c"brama-driver", {
        let engine = engine.clone();
        move || drive(&engine)
    });
    match thread {
        Ok(thread) => *holder = Holder::Thread(thread),
        Err(error) => {
            let reason = error.raw_os_error().unwrap_or_default();
            *holder = Holder::Refused(Instant::now(), reason);
            engine.context.waker.leave();
            post.leave();
        }
    }
}

thread_local! {
    /// Which engine this thread drives. Unlike the standard library's handle of the
    /// thread it can be asked for while the thread ends.
    static DRIVEN: Cell<*const Engine> = const { Cell::new(ptr::null()) };
}

/// Leaves the driver's post on drop, however the thread ends.
struct Life<'a> {
    engine: &'a Engine,
    incarnation: u32,
}

impl Drop for Life<'_> {
    fn drop(&mut self) {
        // In the child of a fork, this is the driver only if it has taken up the post.
        if self.incarnation == fork::incarnation() {
            self.engine.driver.leave();
        }
    }
}

/// The life of the driver. It ends when a shutdown has removed all connections.
fn drive(engine: &Engine) {
    DRIVEN.set(engine);
    let me = thread::current();
    let mut life = Life {
        engine,
        incarnation: fork::incarnation(),
    };
    take_up(engine, &me);
    while !engine.is_emptied() {
        let next = engine.turn();
        if life.incarnation != fork::incarnation() {
            // A callback has forked, and this is the child.
            let post = &*engine.driver;
            let mut holder = post.lock();
            if holder.is_there() {
                return;
            }
            *holder = Holder::Survivor;
            post.take_up();
            drop(holder);
            life.incarnation = fork::incarnation();
            engine.context.waker.get_up();
            take_up(engine, &me);
            continue;
        }
        sleep_until(engine, next);
    }
    if let Clock::Manual(clock) = &engine.context.clock {
        clock.forget(&me);
    }
    engine.say_goodbye();
}

/// Tells the waker, and a manual clock, which thread to wake.
fn take_up(engine: &Engine, me: &Thread) {
    engine.context.waker.hang(me.clone());
    if let Clock::Manual(clock) = &engine.context.clock {
        clock.wake_on_advance(me.clone());
    }
}

fn sleep_until(engine: &Engine, moment: u64) {
    let context = &engine.context;
    let may_sleep = engine.lies_down_until(moment);
    let now = context.clock.now_exact();
    if may_sleep && now < moment && !context.waker.was_woken() {
        match context.clock {
            Clock::System(_) => sleep_or_tick(context, moment, now),
            // It moves only when advanced, and wakes us then.
            Clock::Manual(_) => thread::park(),
        }
    }
    context.waker.get_up();
}

/// Sleeps until `moment`, or until it is woken. Meanwhile it is the ticker, if one is wanted. It
/// stops being that before it has work.
fn sleep_or_tick(context: &Context, moment: u64, now: u64) {
    let clock = &context.clock;
    let Some(mut ticker) = context.ticks.begin(|| clock.tick()) else {
        thread::park_timeout(Duration::from_millis(moment - now));
        return;
    };
    while let now = clock.now_exact()
        && now < moment
        && !context.waker.was_woken()
        && ticker.tick(|| clock.tick())
    {
        let due = Duration::from_millis(moment - now);
        thread::park_timeout(clock.until_next_tick().min(due));
    }
    ticker.end(|| clock.tick());
}

/// Ends the engine: refuses everything, delivers what waits, within `time` if there is one, and
/// ends all subscriptions. Returns how many events were left.
///
/// Inside user code it returns at once, and the driver or a polling thread does the rest.
pub(crate) fn end(engine: &Engine, time: Option<Duration>) -> u64 {
    let bus = &engine.bus;
    if let Some(time) = time {
        bus.set_limit(time);
    }
    engine.shut_down();
    let is_driver = ptr::eq(DRIVEN.get(), engine);
    if is_inside_user_code() || is_driver {
        if !engine.driver.is_running() && !bus.is_dispatching_here() {
            engine.say_goodbye();
        }
        return bus.waiting();
    }
    if engine.driver.await_none(bus.deadline()) {
        engine.driver.join();
        engine.say_goodbye();
    } else {
        engine.give_up();
    }
    bus.left()
}
