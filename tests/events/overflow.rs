//! What happens to events when the ring or a queue is full: each is delivered, delivered
//! late, or counted as dropped or coalesced. Managers have no background thread.

use std::sync::atomic::{AtomicU32, Ordering};

use crate::common::events::{all, assert_exact, kinds, queue_of};
use crate::common::{fail, manager, manager_with, ms};
use brama::{Brama, Event, EventQueue, EventType, ManualClock, State};

// ---- full queues ----

#[test]
fn a_full_queue_drops_what_may_be_dropped_and_keeps_the_last_of_each_type() {
    let (brama, _clock) = manager();
    let queue = queue_of(&brama, 2);
    let (a, b) = (
        brama.register("a", None).expect("a new name"),
        brama.register("b", None).expect("a new name"),
    );
    for _ in 0..100 {
        a.failure("timeout").expect("registered");
        a.open_circuit("first", ms(100)).expect("registered");
        a.reset_circuit().expect("registered");
        a.open_circuit("last", ms(200)).expect("registered");
        brama.poll();
    }
    b.half_open_circuit().expect("registered");
    let told = queue.drain(usize::MAX);
    assert_exact(brama.event_counts());
    let lines: Vec<_> = told
        .iter()
        .map(|event| {
            let reason = event.reason().unwrap_or_default();
            let late = event.is_coalesced();
            (
                event.connection(),
                event.event_type().as_str(),
                reason,
                late,
            )
        })
        .collect();
    let of = |name| lines.iter().filter(move |line| line.0 == name);
    let expected = [
        ("a", "registration", "", false),
        ("a", "connection_registered", "", false),
        ("a", "circuit_reset", "", true),
        ("a", "state_change", "last", true),
        ("a", "circuit_opened", "last", true),
    ];
    assert!(of("a").eq(&expected), "{lines:?}");
    assert_eq!(of("b").count(), 4);
    let change = &told[told.len() - 2..][0];
    assert_eq!(change.event_type(), EventType::StateChange);
    assert_eq!(brama.event_counts().dropped, 100);
}

/// Events that the queue forgets must not count as delivered.
#[test]
fn a_connection_that_comes_and_goes_while_the_queue_is_full_leaves_nothing_but_counts() {
    let (brama, _clock) = manager();
    let queue = queue_of(&brama, 2);
    brama.register("known", None).expect("a new name");
    brama.poll();
    for _ in 0..10 {
        let passing = brama.register("passing", None).expect("a new name");
        fail(&passing, 9);
        passing.reset_circuit().expect("registered");
        brama.unregister("passing").expect("registered");
        brama.poll();
    }
    assert_exact(brama.event_counts());
    assert_eq!(queue.drain(usize::MAX).len(), 2);
    assert_eq!(brama.event_counts().delivered, 2);
}

/// The host hears of `db` by events that were put aside. That counts, too.
#[test]
fn the_removal_of_a_connection_that_the_host_knows_is_kept() {
    let (brama, _clock) = manager();
    let queue = queue_of(&brama, 2);
    let filler = brama.register("filler", None).expect("a new name");
    brama.register("db", None).expect("a new name");
    assert_eq!(queue.drain(9).len(), 4, "db's from aside");
    filler.open_circuit(None, None).expect("registered");
    brama.unregister("db").expect("registered");
    let told = queue.drain(9);
    assert_exact(brama.event_counts());
    let removed = told.last().expect("it is delivered");
    assert_eq!(removed.event_type(), EventType::ConnectionRemoved);
    assert_eq!(removed.connection(), "db");
}

// ---- a full ring ----

/// A manager whose ring has two slots, both in use: the next events find no room.
fn full_ring() -> (Brama, ManualClock, EventQueue, brama::Connection) {
    let (brama, clock) = manager_with(|b| b.event_capacity(2));
    let queue = queue_of(&brama, 1_000);
    let db = brama.register("db", None).expect("a new name");
    db.success().expect("registered");
    (brama, clock, queue, db)
}

/// All events that the queue gets, in several drains.
fn heard(brama: &Brama, queue: &EventQueue) -> Vec<Event> {
    let mut told: Vec<Event> = Vec::new();
    for _ in 0..5 {
        told.extend(queue.drain(usize::MAX));
    }
    assert_exact(brama.event_counts());
    told
}

/// All events of one connection that the queue gets.
fn heard_of(name: &str, brama: &Brama, queue: &EventQueue) -> Vec<Event> {
    let all = heard(brama, queue).into_iter();
    all.filter(|event| event.connection() == name).collect()
}

fn assert_numbers_grow(told: &[Event]) {
    let line = |event: &Event| (event.sequence(), event.event_type(), event.new_state());
    let numbers: Vec<_> = told.iter().map(line).collect();
    assert!(
        numbers.windows(2).all(|two| two[0].0 < two[1].0),
        "{numbers:?}"
    );
}

#[test]
fn a_full_ring_drops_reports_and_delivers_changes_late() {
    let (brama, _clock, queue, db) = full_ring();
    for _ in 0..100 {
        fail(&db, 5);
        db.reset_circuit().expect("registered");
        db.open_circuit("lost", ms(70)).expect("registered");
    }
    let told = heard(&brama, &queue);
    let expected = [
        "registration",
        "connection_registered",
        "success",
        "state_change",
        "circuit_opened",
        "circuit_reset",
    ];
    assert_eq!(kinds(&told), expected);
    assert!(told[3..].iter().all(Event::is_coalesced));
    assert_eq!(told[3].new_state(), State::Open);
    assert_eq!(told[3].previous_state(), State::Closed);
    assert_eq!(told[4].expiry(), Some(ms(70)));
    assert_eq!(brama.event_counts().dropped, 500);
    assert_numbers_grow(&told);
    // The ring works on.
    db.close_circuit().expect("registered");
    assert_eq!(
        kinds(&heard(&brama, &queue)),
        ["state_change", "circuit_closed"]
    );
}

/// Late events must take no more sequence numbers than are set aside for them.
#[test]
fn the_numbers_of_late_events_are_unique() {
    let (brama, _clock, queue, db) = full_ring();
    db.half_open_circuit().expect("registered");
    let mut told = heard(&brama, &queue);
    db.acquire().expect("half-open").ignore().expect("timely");
    brama.unregister("db").expect("registered");
    told.extend(heard(&brama, &queue));
    assert_numbers_grow(&told);
    let last = told.iter().max_by_key(|event| event.sequence());
    assert_eq!(last.expect("some").new_state(), State::Unknown);
}

/// The registration's previous state is always `unknown`, even if its event is late.
#[test]
fn a_registration_delivered_late_comes_from_unknown_too() {
    let (brama, _clock, queue, _db) = full_ring();
    brama.register("late", None).expect("a new name");
    let told = heard(&brama, &queue);
    let late: Vec<_> = told.iter().filter(|e| e.connection() == "late").collect();
    assert_eq!(late.len(), 2);
    for event in late {
        assert_eq!(event.previous_state(), State::Unknown, "{event:?}");
        assert_eq!(event.new_state(), State::Closed);
    }
}

/// The removal takes `late` out of the table. The dispatcher
/// must deliver or count its registration all the same.
#[test]
fn a_late_registration_removed_when_there_is_room_again_leaves_no_gap() {
    let (brama, _clock) = manager_with(|b| b.event_capacity(2));
    let manager = brama.clone();
    let queue = queue_of(&brama, 1_000);
    let heard_once = AtomicU32::new(0);
    let only_the_first = all().custom(move |event| {
        let first = event.connection() == "db" && heard_once.fetch_add(1, Ordering::Relaxed) == 0;
        if first {
            manager.unregister("late").expect("registered");
        }
        false
    });
    let _helper = brama.subscribe(only_the_first, |_| ()).expect("running");
    let db = brama.register("db", None).expect("a new name");
    db.success().expect("registered");
    // The bus remembers the first connection that finds no room, and searches for the later ones.
    brama.register("first", None).expect("a new name");
    brama.register("late", None).expect("a new name");
    let late = heard_of("late", &brama, &queue);
    let expected = [
        "registration",
        "connection_registered",
        "connection_unregistered",
        "connection_removed",
    ];
    assert_eq!(kinds(&late), expected);
}

/// The connection misses events after the round has begun, and leaves the table before
/// the next round. So only its removal leads the dispatcher to what it has missed.
#[test]
fn what_a_late_registration_has_missed_comes_with_its_removal() {
    let (brama, _clock) = manager_with(|b| b.event_capacity(2));
    let db = brama.register("db", None).expect("a new name");
    let queue = queue_of(&brama, 1_000);
    let (manager, own) = (brama.clone(), db.clone());
    let successes = AtomicU32::new(0);
    let acts = all().connection("db").custom(move |_| {
        match successes.fetch_add(1, Ordering::Relaxed) {
            0 => {
                // The ring is full again. The bus remembers
                // the first connection that finds no room.
                own.success().expect("registered");
                manager.register("first", None).expect("a new name");
                let late = manager.register("late", None).expect("a new name");
                late.half_open_circuit().expect("registered");
            }
            // There is room for one.
            1 => manager.unregister("late").expect("registered"),
            _ => {}
        }
        false
    });
    let _acts = brama.subscribe(acts, |_| ()).expect("running");
    db.success().expect("registered");
    db.success().expect("registered");
    let late = heard_of("late", &brama, &queue);
    let expected = [
        "registration",
        "connection_registered",
        "state_change",
        "circuit_half_opened",
        "connection_unregistered",
        "connection_removed",
    ];
    assert_eq!(kinds(&late), expected);
    assert_numbers_grow(&late);
}

/// A shutdown empties the table, so the dispatcher must not rely on it to find new connections.
#[test]
fn a_shutdown_delivers_what_found_no_room_in_the_ring() {
    let (brama, _clock, queue, _db) = full_ring();
    for n in 0..10 {
        let late = brama.register(&format!("{n}"), None).expect("a new name");
        late.open_circuit(None, None).expect("registered");
    }
    brama.shutdown();
    assert_exact(brama.event_counts());
    assert_eq!(queue.drain(100).len(), 3 + 10 * 4);
}

/// No subscriber wants the removal, but one wants the change before it.
#[test]
fn missed_events_of_a_removed_late_registration_are_counted_without_a_subscriber() {
    let (brama, _clock) = manager_with(|b| b.event_capacity(2));
    let changes = all().types([EventType::StateChange]);
    let queue = brama.subscribe_queue(changes, 100).expect("valid");
    for n in 0..10 {
        let name = format!("{n}");
        let db = brama.register(&name, None).expect("a new name");
        db.open_circuit(None, None).expect("registered");
        if n > 3 {
            brama.unregister(&name).expect("registered");
        }
    }
    let told = queue.drain(100);
    assert!((4..=5).contains(&told.len()), "{told:?}");
    assert_exact(brama.event_counts());
}
