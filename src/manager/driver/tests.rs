//! Who wakes the driver, and how often.

use std::sync::Arc;
use std::time::Duration;

use crate::circuit::context::Context;
use crate::circuit::record::{OpenFor, RecordRef, Registrant};
use crate::events::bus::Bus;
use crate::events::bus::Notices;
use crate::events::subscriber::{Sink, Subscriber};
use crate::events::subscriber_queue::SubscriberQueue;
use crate::manager::engine::Engine;
use crate::sys::atomic::{AtomicU32, Ordering};
use crate::sys::clock::Clock;
use crate::sys::manual_clock::ManualClock;
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
        let mut newcomer = Registrant::new(&context, "db".into());
        newcomer.with(&context, None).expect("valid");
        let [record, _] = RecordRef::new(&context, &mut newcomer);
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
