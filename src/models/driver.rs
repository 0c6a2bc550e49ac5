//! The driver's sleep: [`driver`](crate::driver). What a sleeper and a ringer alone do is in
//! [`inbox`](super::inbox).
//!
//! Mutations: `moving-work-without-a-ring`, `sleeping-without-a-second-look`,
//! `looking-into-the-inbox-only`.

use std::time::Duration;

use loom::sync::Arc;
use loom::thread;

use crate::clock::{Clock, ManualClock};
use crate::config::{Config, Global};
use crate::engine::Engine;
use crate::event::Report;
use crate::record::OpenFor;

/// A reporter leaves an opening and is stopped before it rings. Another thread moves it into the
/// plan, while the driver lies down until a later moment.
#[test]
fn the_driver_does_not_sleep_over_what_another_thread_moves_into_the_plan() {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(2);
    builder.check(|| {
        let config = Config::new().inactive_threshold(None);
        let global = Global::default().updated_by(&config).expect("valid");
        let clock = Clock::Manual(ManualClock::new());
        let engine = Arc::new(Engine::new(clock, global, 2, None));
        let record = engine.register("db".into(), None).expect("a new name");
        let for_a_while = OpenFor::Custom(Duration::from_millis(5));
        let opened = record.open(&engine.env, &Report::NONE, for_a_while);
        opened.expect("registered");
        engine.env.attention.take_all().for_each(drop);
        engine.env.bell.get_up();
        let leaves = thread::spawn({
            let engine = engine.clone();
            move || engine.env.attention.leave(&record, || record.share())
        });
        let moves = thread::spawn({
            let engine = engine.clone();
            move || {
                engine.with_plan(|plan| {
                    plan.take_in(&engine, 0);
                    plan.due() == 5
                })
            }
        });
        let sleeps = thread::spawn({
            let engine = engine.clone();
            move || engine.lies_down_until(1_000)
        });
        leaves.join().unwrap();
        let (is_moved, is_asleep) = (moves.join().unwrap(), sleeps.join().unwrap());
        assert!(
            !is_moved || !is_asleep || engine.env.bell.was_woken(),
            "it sleeps over its work"
        );
    });
}
