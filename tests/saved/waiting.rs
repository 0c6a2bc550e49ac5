//! A saved circuit whose name is not registered waits for the registration.

use std::sync::Barrier;
use std::thread;

use brama::{Brama, State};

use super::restored::{moved, registered, status};
use crate::common::{fail, manager, manager_with, ms};

/// A manager whose one circuit is open for 60 s.
fn open() -> Brama {
    let (old, _) = manager();
    registered(&old)
        .open_circuit("down", ms(60_000))
        .expect("registered");
    old
}

#[test]
fn it_is_applied_when_the_name_is_registered_and_once() {
    let (new, clock) = manager();
    assert_eq!(moved(&open(), &new), 1);
    assert_eq!(new.state("db"), State::Unknown, "it registers nothing");
    assert!(new.snapshot().is_empty());
    clock.advance(ms(20_000));
    let db = new.register("db", None).expect("a new name");
    let now = status(&db);
    assert_eq!(now.state, State::Open);
    assert_eq!(
        now.retry_after,
        Some(ms(40_000)),
        "less what has passed until now"
    );
    assert_eq!(now.reason.as_deref(), Some("down"));
    new.unregister("db").expect("registered");
    let again = new.register("db", None).expect("a new name");
    assert_eq!(again.state(), State::Closed);
}

#[test]
fn every_way_to_register_finds_it() {
    let data = open().save();
    let (new, _clock) = manager();
    new.restore(&data).expect("it was just saved");
    let db = new.get_or_register("db", None).expect("a valid name");
    assert_eq!(db.state(), State::Open);
    let first_uses: [fn(&Brama) -> bool; 4] = [
        |brama| brama.available("db"),
        |brama| brama.acquire("db").is_ok(),
        |brama| brama.connection("db").expect("a valid name").available(),
        |brama| {
            brama.success("db").expect("a valid name");
            brama.state("db") != State::Open
        },
    ];
    for (how, is_admitted) in first_uses.iter().enumerate() {
        let (new, _clock) = manager_with(|builder| builder.auto_register(true));
        new.restore(&data).expect("it was just saved");
        assert!(!is_admitted(&new), "first use {how}");
    }
}

/// Mutation: `what-waits-that-is-not-replaced`.
#[test]
fn a_later_restore_takes_the_place_of_what_waits_for_the_same_name() {
    let (first, _) = manager();
    let (second, _) = manager();
    for name in ["a", "b", "c"] {
        first.register(name, None).expect("a new name");
        first.open_circuit(name, "first", None).expect("registered");
    }
    for name in ["b", "d"] {
        second.register(name, None).expect("a new name");
        second
            .open_circuit(name, "second", None)
            .expect("registered");
    }
    let (new, _clock) = manager();
    assert_eq!(moved(&first, &new), 3);
    assert_eq!(moved(&second, &new), 2);
    for (name, reason) in [
        ("a", "first"),
        ("b", "second"),
        ("c", "first"),
        ("d", "second"),
    ] {
        let circuit = new.register(name, None).expect("a new name");
        assert_eq!(status(&circuit).reason.as_deref(), Some(reason));
        new.unregister(name).expect("registered");
        let again = new.register(name, None).expect("a new name");
        assert_eq!(
            again.state(),
            State::Closed,
            "nothing waits for {name} any more"
        );
    }
}

#[test]
fn what_is_registered_and_what_is_not_are_restored_from_one_save() {
    let (old, _) = manager();
    for number in 0..100 {
        let name = format!("db-{number}");
        fail(
            &old.register(name.as_str(), None).expect("a new name"),
            number % 7,
        );
    }
    let (new, _clock) = manager();
    for number in (0..100).step_by(3) {
        let name = format!("db-{number}");
        new.register(name.as_str(), None).expect("a new name");
    }
    assert_eq!(moved(&old, &new), 100);
    for number in 0..100 {
        let name = format!("db-{number}");
        let db = new
            .get_or_register(name.as_str(), None)
            .expect("a valid name");
        assert_eq!(status(&db).failure_count, number % 7);
        assert_eq!(db.state() == State::Open, number % 7 >= 5);
    }
}

#[test]
fn of_threads_that_register_and_restore_at_once_none_misses_the_other() {
    let data = open().save();
    for _ in 0..300 {
        let (new, _clock) = manager();
        let start = Barrier::new(2);
        let (state, count) = thread::scope(|scope| {
            let restoring = scope.spawn(|| {
                start.wait();
                new.restore(&data)
            });
            let registering = scope.spawn(|| {
                start.wait();
                new.register("db", None).expect("a new name")
            });
            let count = restoring.join().expect("no panic");
            (registering.join().expect("no panic").state(), count)
        });
        assert_eq!((state, count), (State::Open, Ok(1)));
    }
}
