//! Registrations beside changes that concern all connections:
//! [`engine`](crate::manager::engine).
//!
//! No party runs in a model's main thread, which loom explores incompletely.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::time::Duration;

use loom::sync::Arc;
use loom::thread;

use crate::circuit::record::{RecordRef, Ticket};
use crate::events::bus::Notices;
use crate::manager::engine::Engine;
use crate::manager::permit::Permit;
use crate::manager::trace::Trace;
use crate::sys::clock::Clock;
use crate::sys::manual_clock::ManualClock;
use crate::values::error::Error;
use crate::values::mode::Mode;
use crate::values::settings::{Config, Global};
use crate::values::state::Word;

pub(super) fn engine() -> Arc<Engine> {
    let clock = Clock::Manual(ManualClock::new());
    Arc::new(Engine::new(clock, Global::default(), Notices::new(2), None))
}

pub(super) fn check(model: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(2);
    builder.check(model);
}

/// Mutations: `registering-without-a-second-look-at-the-shutdown`, `registering-without-a-fence`,
/// `shutting-down-without-a-fence`.
#[test]
fn a_registration_and_a_shutdown_do_not_miss_each_other() {
    check(|| {
        let engine = engine();
        let shutting = thread::spawn({
            let engine = engine.clone();
            move || engine.shut_down()
        });
        let registering = thread::spawn(move || engine.register("db".into(), None));
        shutting.join().unwrap();
        if let Ok(record) = registering.join().unwrap() {
            assert!(record.is_retired(), "left behind by the shutdown");
        }
    });
}

/// Mutation: `registering-without-a-second-look-at-the-settings`.
#[test]
fn a_registration_and_a_change_of_settings_do_not_miss_each_other() {
    check(|| {
        let engine = engine();
        let configuring = thread::spawn({
            let engine = engine.clone();
            move || {
                let patient = Config::new().cancelled_after(Duration::from_millis(50));
                engine.configure(&patient).expect("valid");
            }
        });
        let registering = thread::spawn(move || engine.register("db".into(), None));
        configuring.join().unwrap();
        let record = registering.join().unwrap().expect("a new name");
        assert!(record.word_now().is_watched(), "it knows the new settings");
    });
}

/// Mutation: `registering-without-a-second-look-at-the-mode`.
#[test]
fn a_registration_and_a_change_of_the_mode_do_not_miss_each_other() {
    check(|| {
        let engine = engine();
        let configuring = thread::spawn({
            let engine = engine.clone();
            move || {
                let shadow = Config::new().mode(Mode::Shadow);
                engine.configure(&shadow).expect("valid");
            }
        });
        let registering = thread::spawn({
            let engine = engine.clone();
            move || engine.register("db".into(), None)
        });
        configuring.join().unwrap();
        let record = registering.join().unwrap().expect("a new name");
        let status = record.status(&engine.context).expect("registered");
        assert_eq!(status.mode, Mode::Shadow, "it knows the new mode");
    });
}

/// A permit of the first registration of a name is reported while the name is unregistered and
/// registered again. Both registrations begin in the same state, so only the registration's number
/// distinguishes them.
///
/// Mutation: `a-trace-without-its-number`.
#[test]
fn a_report_by_a_trace_reaches_its_own_registration_or_none() {
    let all = std::sync::Arc::new(Mutex::new(BTreeSet::new()));
    let seen = all.clone();
    check(move || {
        let engine = engine();
        let first = engine.register("db".into(), None).expect("a new name");
        let trace = Trace::of(&first);
        let replacing = thread::spawn({
            let engine = engine.clone();
            move || {
                engine.unregister("db".into()).expect("registered");
                engine.register("db".into(), None).expect("free again")
            }
        });
        let reporting = thread::spawn({
            let engine = engine.clone();
            move || Permit::traced(&engine, trace, Ticket::to_pass_at(Word::NEW.mark())).success()
        });
        let second = replacing.join().unwrap();
        let answer = reporting.join().unwrap();
        let successes =
            |record: &RecordRef| record.status(&engine.context).map(|it| it.total_successes);
        assert_eq!(successes(&second), Some(0), "it is not its own");
        assert!(matches!(answer, Ok(()) | Err(Error::NotFound(_))));
        seen.lock().unwrap().insert(answer.is_ok());
    });
    assert_eq!(*all.lock().unwrap(), [false, true].into());
}
