//! Saved circuits that wait for a registration: [`waiting`](crate::manager::waiting), alone and in
//! an [`engine`](crate::manager::engine).
//!
//! No party runs in a model's main thread, which loom explores incompletely.

use loom::sync::Arc;
use loom::thread;

use super::engine::{check, engine};
use crate::manager::waiting::{Entry, Waiting};
use crate::values::saved::{Save, Saved, Stands, Totals, Writer};
use crate::values::state::State;

/// A save of open circuits of these names.
fn save(names: &[&str]) -> Vec<u8> {
    let mut writer = Writer::new(1);
    for name in names {
        writer.add(&Saved {
            key: (*name).into(),
            stands: Stands::Open {
                left: None,
                given: None,
            },
            trips: 1,
            cause: None,
            reason: None,
            last_failure_reason: None,
            failures: 0,
            totals: Totals::default(),
        });
    }
    writer.finish()
}

fn entries(names: &[&str]) -> Vec<std::sync::Arc<Entry>> {
    let data = save(names);
    let save = Save::parse(&data).expect("just saved");
    let entries = save
        .circuits()
        .map(|(_, bytes)| Entry::new(bytes, 1).into());
    entries.collect()
}

/// Mutations: `waiting-without-a-fence`, `a-registration-that-does-not-ask`,
/// `a-restore-that-waits-only`.
#[test]
fn a_restore_and_a_registration_do_not_miss_each_other() {
    check(|| {
        let engine = engine();
        let restoring = thread::spawn({
            let engine = engine.clone();
            move || engine.restore(&save(&["db"]))
        });
        let registering = thread::spawn({
            let engine = engine.clone();
            move || engine.register("db".into(), None)
        });
        assert_eq!(restoring.join().unwrap(), Ok(1));
        let record = registering.join().unwrap().expect("a new name");
        assert_eq!(record.state(&engine.context), State::Open);
        assert!(!engine.has_waiting());
        engine.context.attention.take_all().for_each(drop);
    });
}

/// A thread that registers and a thread that restores have found each other, and both try to take
/// the entry.
///
/// Mutation: `taking-what-waits-by-a-store`.
#[test]
fn what_waits_is_taken_once() {
    check(|| {
        let waiting = Arc::new(Waiting::new());
        let all = entries(&["db"]);
        waiting.add(&all);
        let by_name = thread::spawn({
            let waiting = waiting.clone();
            move || waiting.take_by_name("db".into()).is_some()
        });
        let itself = thread::spawn({
            let waiting = waiting.clone();
            move || waiting.take(&all[0])
        });
        let taken = [by_name.join().unwrap(), itself.join().unwrap()];
        assert_ne!(taken[0], taken[1]);
        assert!(!waiting.has_any());
    });
}

/// One thread takes the last entry, and frees the list, while another thread adds an entry.
///
/// Mutation: `counting-what-waits-too-late`.
#[test]
fn what_comes_while_the_last_is_taken_waits() {
    check(|| {
        let waiting = Arc::new(Waiting::new());
        waiting.add(&entries(&["a"]));
        let adding = thread::spawn({
            let waiting = waiting.clone();
            move || waiting.add(&entries(&["b"]))
        });
        let taking = thread::spawn({
            let waiting = waiting.clone();
            move || waiting.take_by_name("a".into()).is_some()
        });
        assert!(taking.join().unwrap());
        adding.join().unwrap();
        assert!(waiting.has_any());
        assert!(waiting.take_by_name("b".into()).is_some());
        assert!(!waiting.has_any());
        assert!(waiting.take_by_name("a".into()).is_none());
    });
}

/// An entry is replaced by a later one of the same name while a thread takes an entry of that name.
/// Afterwards at most the later one waits.
#[test]
fn what_is_replaced_while_it_is_taken_is_not_taken_again() {
    check(|| {
        let waiting = Arc::new(Waiting::new());
        waiting.add(&entries(&["db"]));
        let taking = thread::spawn({
            let waiting = waiting.clone();
            move || waiting.take_by_name("db".into()).is_some()
        });
        let adding = thread::spawn({
            let waiting = waiting.clone();
            move || waiting.add(&entries(&["db"]))
        });
        let is_taken = taking.join().unwrap();
        adding.join().unwrap();
        // The later entry waits, unless the other thread has taken it.
        assert!(waiting.take_by_name("db".into()).is_some() || is_taken);
        assert!(waiting.take_by_name("db".into()).is_none());
        assert!(!waiting.has_any());
    });
}
