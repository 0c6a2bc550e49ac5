//! Who wakes the driver, and how often.

use std::sync::Arc;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use crate::circuit::context::Context;
use crate::circuit::record::{OpenFor, RecordRef, Registrant};
use crate::events::bus::Bus;
use crate::events::bus::Notices;
use crate::events::subscriber::{Sink, Subscriber};
use crate::events::subscriber_queue::SubscriberQueue;
use crate::manager::driver::{end, start, starter};
use crate::manager::engine::Engine;
use crate::sys::atomic::{AtomicU32, Ordering};
use crate::sys::clock::Clock;
use crate::sys::manual_clock::ManualClock;
use crate::sys::tick_word::{NOTED, Ticks};
use crate::values::event::{EventFilter, EventType, Report};
use crate::values::settings::{Config, Global};

/// A record, and a driver that is always absent: each attempt to wake it is counted.
struct Counted {
    context: Context,
    record: RecordRef,
    wakes: Arc<AtomicU32>,
}

fn global(config: Config) -> Global {
    Global::default().updated_by(&config).expect("valid")
}

impl Counted {
    fn new(wanted: Option<EventType>) -> Self {
        let wakes = Arc::new(AtomicU32::new(0));
        let count = wakes.clone();
        let starter = Arc::new(move || {
            count.fetch_add(1, Ordering::Relaxed);
        });
        let clock = Clock::Manual(ManualClock::new());
        let global = global(Config::new().max_attempts(1));
        let bus = std::sync::Arc::new(Bus::new(Notices::new(8)));
        let context = Context::new(clock, global, bus.clone(), Some(starter));
        if let Some(kind) = wanted {
            let sink = Sink::SubscriberQueue(Arc::new(SubscriberQueue::new(8)));
            let filter = EventFilter::new().types([kind]);
            let subscriber = Arc::new(Subscriber::new(1, filter, sink));
            subscriber.begin();
            drop(bus.add(subscriber).0);
        }
        let mut registrant = Registrant::new(&context, "db".into());
        registrant.with(&context, None).expect("valid");
        let [record, _] = RecordRef::new(&context, &mut registrant);
        Counted {
            context,
            record,
            wakes,
        }
    }

    fn wakes_of(&self, work: impl FnOnce(&Context, &RecordRef)) -> u32 {
        let before = self.wakes.load(Ordering::Relaxed);
        work(&self.context, &self.record);
        self.wakes.load(Ordering::Relaxed) - before
    }
}

/// It woke the driver for the notice and again for the deadline.
#[test]
fn an_opening_rings_once() {
    let wanted = [
        None,
        Some(EventType::StateChange),
        Some(EventType::CircuitOpened),
        Some(EventType::Failure),
    ];
    for wanted in wanted {
        let counted = Counted::new(wanted);
        let by_failure = |context: &Context, record: &RecordRef| {
            record.failure(context, None, &Report::NONE).expect("there");
        };
        assert_eq!(counted.wakes_of(by_failure), 1, "{wanted:?}");
        let by_hand = |context: &Context, record: &RecordRef| {
            let for_a_while = OpenFor::Custom(Duration::from_secs(5));
            record
                .open(context, &Report::NONE, for_a_while)
                .expect("there");
        };
        assert_eq!(counted.wakes_of(by_hand), 1, "{wanted:?}");
        let for_ever = |context: &Context, record: &RecordRef| {
            record
                .open(context, &Report::NONE, OpenFor::Never)
                .expect("there");
        };
        let rung = u32::from(wanted == Some(EventType::CircuitOpened));
        assert_eq!(counted.wakes_of(for_ever), rung, "{wanted:?}");
    }
}

/// A reporter has left work and is stopped before it wakes the driver. Another thread that takes
/// the work from the stack meanwhile wakes the driver, which sleeps for longer.
#[test]
fn a_thread_that_moves_work_into_the_plan_wakes_the_driver() {
    type Move = fn(&Engine);
    let moves: [Move; 3] = [
        |engine| engine.with_plan(|plan| plan.take_in(engine, 0)),
        |engine| {
            engine.do_all_due();
        },
        |engine| engine.unregister("other".into()).expect("registered"),
    ];
    for moves in moves {
        let global = global(Config::new().inactive_threshold(None));
        let engine = Engine::new(
            Clock::Manual(ManualClock::new()),
            global,
            Notices::new(8),
            None,
        );
        engine.register("other".into(), None).expect("a new name");
        let record = engine.register("db".into(), None).expect("a new name");
        assert_eq!(engine.do_all_due(), u64::MAX, "nothing to do");
        let for_a_while = OpenFor::Custom(Duration::from_millis(5));
        record
            .open(&engine.context, &Report::NONE, for_a_while)
            .expect("there");
        // The driver has not seen it: it was left after it lay down.
        let left: Vec<_> = engine.context.attention.take_all().collect();
        engine.context.waker.get_up();
        engine.context.waker.lie_down(1_000);
        assert!(!engine.context.waker.was_woken());
        left.iter()
            .for_each(|record| engine.context.attention.leave(record, || record.share()));
        moves(&engine);
        assert!(engine.context.waker.was_woken(), "it sleeps on");
    }
}

/// An engine with a word of its own, by the machine's clock.
fn ticking(background: bool) -> Arc<Engine> {
    let global = global(Config::new().max_attempts(u32::MAX));
    let engine = Arc::new_cyclic(|engine| {
        let starter = background.then(|| starter(engine.clone()));
        let mut made = Engine::new(Clock::system(), global, Notices::new(8), starter);
        made.context.ticks = Ticks::of_a_test();
        made
    });
    if background {
        start(&engine);
    }
    engine
}

/// Reports so many successes that a ticker pays, again and again, until something has come about.
fn succeed_until(engine: &Engine, is_done: impl Fn() -> bool) {
    let (begin, context) = (Instant::now(), &engine.context);
    while !is_done() {
        assert!(begin.elapsed() < Duration::from_secs(60), "it never comes");
        let now = context.clock.tick();
        (1..=64).for_each(|notes| context.look_at_ticks(now, notes * NOTED));
        thread::yield_now();
    }
}

/// Waits until the word is off.
fn await_rest(engine: &Engine) {
    let begin = Instant::now();
    while engine.context.ticks.is_on() {
        assert!(begin.elapsed() < Duration::from_secs(60), "it stays on");
        thread::yield_now();
    }
}

/// Mutation: `ticking-for-an-idle-process`.
#[test]
fn a_driver_ticks_while_calls_are_frequent_and_sleeps_while_they_are_not() {
    let engine = ticking(true);
    let ticks = &engine.context.ticks;
    succeed_until(&engine, || ticks.is_on());
    await_rest(&engine);
    end(&engine, None);
}

/// It would keep the word from the driver, which runs it, and successes would be taken for
/// those of before.
///
/// Mutation: `a-ticker-that-stays-on-while-the-driver-works`.
#[test]
fn a_slow_callback_does_not_starve_a_ticker() {
    let engine = ticking(true);
    let (seen, answers) = mpsc::channel();
    let ticks = engine.context.ticks;
    let sink = Sink::Each(Box::new(move |_| {
        seen.send(ticks.is_on()).unwrap_or_default()
    }));
    let filter = EventFilter::new().types([EventType::Failure]);
    engine.subscribe(filter, sink).expect("there is a driver");
    let record = engine.register("db".into(), None).expect("a new name");
    for _ in 0..8 {
        succeed_until(&engine, || ticks.is_on() || ticks.starvations() > 0);
        let failure = record.failure(&engine.context, None, &Report::NONE);
        failure.expect("there");
        assert_eq!(answers.recv(), Ok(false), "on while a callback runs");
    }
    end(&engine, None);
}

#[test]
fn without_a_driver_nothing_ticks() {
    let engine = ticking(false);
    let begin = Instant::now();
    succeed_until(&engine, || begin.elapsed() > Duration::from_millis(50));
    assert!(!engine.driver.is_running() && !engine.context.ticks.is_on());
    let now = engine.context.clock.tick();
    assert!(
        engine.context.ticks.begin(|| now).is_none(),
        "it asks no other driver"
    );
}

/// The thread that shuts down is stopped before it removes the connection.
///
/// Mutation: `a-goodbye-before-the-connections-are-removed`.
#[test]
fn no_subscription_ends_while_a_report_can_still_be_made() {
    let clock = Clock::Manual(ManualClock::new());
    let engine = Engine::new(clock, Global::default(), Notices::new(8), None);
    let queue = Arc::new(SubscriberQueue::new(8));
    let filter = EventFilter::new().types([EventType::Success]);
    let sink = Sink::SubscriberQueue(queue.clone());
    engine.subscribe(filter, sink).expect("not shut");
    let db = engine.register("db".into(), None).expect("a new name");
    engine.begin_shutdown();
    engine.do_all_due();
    db.success(&engine.context, None, &Report::NONE)
        .expect("not removed");
    engine.do_all_due();
    assert!(queue.take().is_some());
    assert_eq!(end(&engine, None), 0);
    let report = db.success(&engine.context, None, &Report::NONE);
    assert!(report.is_err() && queue.is_closed());
}
