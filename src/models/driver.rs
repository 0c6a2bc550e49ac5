//! The driver's sleep: [`driver`](crate::manager::driver). The protocol between the thread that
//! sleeps and the one that wakes it is in [`intrusive_stack`](super::intrusive_stack).
//!
//! Mutations: `moving-work-without-a-ring`, `sleeping-without-a-second-look`,
//! `looking-into-the-inbox-only`.

use std::time::Duration;

use loom::sync::Arc;
use loom::thread;

use crate::circuit::record::{OpenFor, RecordRef};
use crate::events::bus::Notices;
use crate::manager::engine::Engine;
use crate::sys::clock::Clock;
use crate::sys::manual_clock::ManualClock;
use crate::values::event::Report;
use crate::values::settings::{Config, Global};

/// What a party does: leave, move or sleep.
type Party = fn(&Engine, &RecordRef) -> bool;

/// Leaves a record whose circuit has opened, and is stopped before it wakes the driver.
fn leaves(engine: &Engine, record: &RecordRef) -> bool {
    engine.context.attention.leave(record, || record.share());
    true
}

/// Moves the records that were left into the plan. Returns whether the plan has something to do.
fn moves(engine: &Engine, _: &RecordRef) -> bool {
    engine.with_plan(|plan| {
        plan.take_in(engine, 0);
        plan.due() != u64::MAX
    })
}

/// The driver lies down. Returns whether it sleeps.
fn sleeps(engine: &Engine, _: &RecordRef) -> bool {
    engine.lies_down_until(1_000)
}

/// A reporter leaves a record whose circuit has opened, and is stopped before it wakes the driver.
/// Another thread moves the record into the plan, while the driver lies down until a later time.
#[test]
fn the_driver_does_not_sleep_over_what_another_thread_moves_into_the_plan() {
    // The party that is spawned first runs first, and loom misses some of the executions in which
    // it comes later.
    explore([(0, leaves), (1, moves), (2, sleeps)]);
    explore([(2, sleeps), (0, leaves), (1, moves)]);
}

fn explore(parties: [(usize, Party); 3]) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(2);
    builder.check(move || {
        let config = Config::new().inactive_threshold(None);
        let global = Global::default().updated_by(&config).expect("valid");
        let clock = Clock::Manual(ManualClock::new());
        let engine = Arc::new(Engine::new(clock, global, Notices::new(2), None));
        let record = engine.register("db".into(), None).expect("a new name");
        assert_eq!(engine.do_all_due(), u64::MAX, "nothing to do");
        let for_a_while = OpenFor::Custom(Duration::from_millis(5));
        let opened = record.open(&engine.context, &Report::NONE, for_a_while);
        opened.expect("registered");
        engine.context.attention.take_all().for_each(drop);
        engine.context.waker.get_up();
        let running = parties.map(|(place, party)| {
            let (engine, record) = (engine.clone(), record.share());
            (place, thread::spawn(move || party(&engine, &record)))
        });
        let mut answers = [false; 3];
        for (place, party) in running {
            answers[place] = party.join().unwrap();
        }
        let [_, is_moved, is_asleep] = answers;
        let is_woken = engine.context.waker.was_woken();
        assert!(!is_moved || !is_asleep || is_woken, "it sleeps over work");
        engine.context.attention.take_all().for_each(drop);
    });
}
