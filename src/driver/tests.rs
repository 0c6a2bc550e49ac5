//! Who wakes the driver, and how often.

use std::sync::Arc;
use std::time::Duration;

use crate::bus::Bus;
use crate::bus::Notices;
use crate::clock::{Clock, ManualClock};
use crate::config::{Config, Global};
use crate::engine::Engine;
use crate::env::Env;
use crate::event::{EventFilter, EventType, Report};
use crate::mailbox::Mailbox;
use crate::record::{Newcomer, OpenFor, RecordRef};
use crate::subscriber::{Sink, Subscriber};
use crate::sync::{AtomicU32, Ordering};

/// A record, and a driver that is always absent: each attempt to wake it is counted.
struct Counted {
    env: Env,
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
        let env = Env::new(clock, global, bus.clone(), Some(starter));
        if let Some(kind) = wanted {
            let sink = Sink::Mailbox(Arc::new(Mailbox::new(8)));
            let filter = EventFilter::new().types([kind]);
            let subscriber = Arc::new(Subscriber::new(1, filter, sink));
            subscriber.begin();
            drop(bus.add(subscriber).0);
        }
        let mut newcomer = Newcomer::new(&env, "db".into());
        newcomer.with(&env, None).expect("valid");
        let [record, _] = RecordRef::new(&env, &mut newcomer);
        Counted { env, record, wakes }
    }

    fn wakes_of(&self, work: impl FnOnce(&Env, &RecordRef)) -> u32 {
        let before = self.wakes.load(Ordering::Relaxed);
        work(&self.env, &self.record);
        self.wakes.load(Ordering::Relaxed) - before
    }
}

/// It rang for the notice and again for the deadline.
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
        let by_failure = |env: &Env, record: &RecordRef| {
            record.failure(env, None, &Report::NONE).expect("there");
        };
        assert_eq!(counted.wakes_of(by_failure), 1, "{wanted:?}");
        let by_hand = |env: &Env, record: &RecordRef| {
            let for_a_while = OpenFor::Custom(Duration::from_secs(5));
            record.open(env, &Report::NONE, for_a_while).expect("there");
        };
        assert_eq!(counted.wakes_of(by_hand), 1, "{wanted:?}");
        let for_ever = |env: &Env, record: &RecordRef| {
            record
                .open(env, &Report::NONE, OpenFor::Never)
                .expect("there");
        };
        let rung = u32::from(wanted == Some(EventType::CircuitOpened));
        assert_eq!(counted.wakes_of(for_ever), rung, "{wanted:?}");
    }
}

/// A reporter has left work and is stopped before it rings. Another thread that takes the
/// work out of the inbox meanwhile wakes the driver, which sleeps for longer.
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
            .open(&engine.env, &Report::NONE, for_a_while)
            .expect("there");
        // The driver has not seen it: it was left after it lay down.
        let left: Vec<_> = engine.env.attention.take_all().collect();
        engine.env.bell.get_up();
        engine.env.bell.lie_down(1_000);
        assert!(!engine.env.bell.was_woken());
        left.iter()
            .for_each(|record| engine.env.attention.leave(record, || record.share()));
        moves(&engine);
        assert!(engine.env.bell.was_woken(), "it sleeps on");
    }
}
