//! What events say in words: notices, and the bounds of what reporters give. Memory is
//! counted for the whole process, so those that count run alone.

mod common;

use std::sync::{Mutex, MutexGuard, PoisonError};

use brama::{Brama, Config, ConnectionOptions, Event, EventFilter, EventQueue, EventType, Report};
use common::counting::{Counting, bytes_alive};
use common::events::{kinds, queue_of};
use common::{manager, manager_with};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn alone() -> MutexGuard<'static, ()> {
    static ONE: Mutex<()> = Mutex::new(());
    ONE.lock().unwrap_or_else(PoisonError::into_inner)
}

// ---- the bounds ----

/// The failure that a report makes.
fn failure(report: Report<'_>) -> Event {
    let (brama, _clock) = manager();
    let db = brama.register("db", None).expect("a new name");
    let queue = queue_of(&brama, 10);
    db.failure(report).expect("it counts");
    assert_eq!(db.status().expect("registered").total_failures, 1);
    queue.try_next().expect("it is delivered")
}

#[test]
fn a_reason_is_cut_at_a_kibibyte_and_at_a_character() {
    let _alone = alone();
    for (letter, kept) in [("x", 1_024), ("ü", 512), ("€", 341), ("🦀", 256)] {
        let whole = letter.repeat(kept);
        let event = failure(Report::new().reason(&whole));
        assert_eq!(event.reason(), Some(&*whole));
        assert!(!event.is_truncated(), "{letter}: it fits");
        let longer = letter.repeat(kept + 1);
        let event = failure(Report::new().reason(&longer));
        assert_eq!(event.reason(), Some(&*whole));
        assert!(event.is_truncated(), "{letter}: it is cut");
    }
    let shifted = "x".to_owned() + &"ü".repeat(600);
    let event = failure(Report::from(&shifted));
    assert_eq!(event.reason().map(str::len), Some(1_023));
}

#[test]
fn metadata_is_bounded_as_a_whole() {
    let _alone = alone();
    let kept = |pairs: Vec<(String, String)>| {
        let event = failure(Report::new().metadata(pairs));
        let metadata = event.metadata().expect("given").clone();
        (metadata, event.is_truncated())
    };
    let numbered = |count: usize, length: usize| {
        let pair = |n| (format!("{n:04}"), "v".repeat(length));
        (0..count).map(pair).collect::<Vec<_>>()
    };

    let (metadata, cut) = kept(numbered(64, 124));
    assert_eq!((metadata.len(), cut), (64, false), "8 KiB in all");

    let (metadata, cut) = kept(numbered(65, 1));
    assert_eq!((metadata.len(), cut), (64, true));
    assert!(!metadata.contains_key("0064"), "the last one is left out");

    let (metadata, cut) = kept(numbered(1, 1_025));
    assert_eq!((metadata["0000"].len(), cut), (1_024, true));

    let (metadata, cut) = kept(numbered(9, 1_024));
    let bytes: usize = metadata.iter().map(|(k, v)| k.len() + v.len()).sum();
    assert_eq!((metadata.len(), bytes, cut), (7, 7 * 1_028, true));

    let (metadata, cut) = kept(vec![
        ("k".repeat(1_025), "lost".into()),
        ("short".into(), "kept".into()),
    ]);
    assert_eq!((metadata.len(), cut), (1, true));
    assert_eq!(metadata["short"], "kept");
}

/// 3 000 reasons of 1 MB took 980 MB in a queue of 1 024.
#[test]
fn a_stalled_queue_takes_bounded_memory_whatever_reasons_and_metadata_hold() {
    let _alone = alone();
    let page = "x".repeat(1 << 20);
    let (brama, _clock) = manager_with(|b| b.unlimited_attempts());
    let db = brama.register("db", None).expect("a new name");
    let queue = queue_of(&brama, 1_024);
    let report = |round: u32| {
        // A string that is short and has a large capacity, too.
        let mut roomy = String::with_capacity(1 << 20);
        roomy.push_str("short");
        let pairs = [("page", page.clone()), ("roomy", roomy)];
        let pairs = pairs.into_iter().chain([("round", round.to_string())]);
        db.failure(Report::new().reason(&page).metadata(pairs))
            .expect("it counts");
    };
    let before = bytes_alive();
    for round in 0..3_000 {
        report(round);
        brama.poll();
    }
    let grown = bytes_alive() - before;
    assert!(grown < 4 << 20, "{grown} bytes");
    let told = queue.drain(usize::MAX);
    assert_eq!(told.len(), 1_024);
    assert!(told.iter().all(Event::is_truncated));
    assert_eq!(told[0].metadata().expect("given")["roomy"], "short");
}

// ---- notices ----

fn notices(brama: &Brama) -> EventQueue {
    let filter = EventFilter::new().types([EventType::Notice]);
    brama.subscribe_queue(filter, 100).expect("valid")
}

/// An opening whose time is over has ended before the notice, although no call has come since.
#[test]
fn a_notice_comes_after_the_expiry_that_is_due() {
    let _alone = alone();
    let (brama, clock) = manager();
    let db = brama.register("db", None).expect("a new name");
    db.open_circuit(None, common::ms(100)).expect("registered");
    clock.advance(common::ms(150));
    let queue = queue_of(&brama, 100);
    let others = ConnectionOptions::new().max_attempts(9);
    brama.get_or_register("db", others).expect("there");
    let told = queue.drain(100);
    let expected = ["expiry", "state_change", "circuit_half_opened", "notice"];
    assert_eq!(kinds(&told), expected);
    let times: Vec<_> = told.iter().map(Event::timestamp).collect();
    assert_eq!(times, [100, 100, 100, 150].map(|ms| common::START + ms));
}

#[test]
fn other_settings_for_a_connection_that_is_there_are_noticed_once() {
    let _alone = alone();
    let (brama, clock) = manager();
    let queue = queue_of(&brama, 100);
    let first = ConnectionOptions::new()
        .max_attempts(3)
        .metadata([("team", "a")]);
    brama.get_or_register("db", first.clone()).expect("valid");
    queue.drain(100);

    let same = [
        ConnectionOptions::new(),
        first.clone(),
        ConnectionOptions::new().max_attempts(3),
        // What the connection has by default.
        ConnectionOptions::new().half_open_max_calls(1).window(None),
    ];
    for options in same {
        brama.get_or_register("db", options).expect("there");
    }
    assert_eq!(kinds(&queue.drain(100)), [""; 0], "nothing to notice");

    clock.advance(common::ms(5));
    let others = first.clone().max_attempts(4).jitter(0.5);
    let others = others.metadata([("team", "b")]);
    let db = brama.get_or_register("db", others.clone()).expect("there");
    assert_eq!(db.status().expect("there").settings.max_attempts(), Some(3));
    let told = queue.drain(100);
    assert_eq!(kinds(&told), ["notice"]);
    let reason = told[0].reason().expect("it says what");
    assert!(
        reason.contains("max_attempts, jitter, metadata"),
        "{reason}"
    );
    assert_eq!(told[0].connection(), "db");
    assert_eq!(told[0].timestamp(), common::START + 5);
    assert_eq!(told[0].previous_state(), told[0].new_state());

    brama.get_or_register("db", others.clone()).expect("there");
    let third = ConnectionOptions::new().max_attempts(7);
    brama.get_or_register("db", third).expect("there");
    assert_eq!(kinds(&queue.drain(100)), [""; 0], "once for each name");

    brama.unregister("db").expect("there");
    brama.get_or_register("db", first).expect("valid");
    brama.get_or_register("db", others).expect("there");
    let told = queue.drain(100);
    assert_eq!(kinds(&told).last(), Some(&"notice"), "another registration");
}

#[test]
fn a_notice_waits_until_somebody_listens() {
    let _alone = alone();
    let (brama, _clock) = manager();
    brama.register("db", None).expect("a new name");
    let others = || ConnectionOptions::new().max_attempts(9);
    brama.get_or_register("db", others()).expect("there");
    let queue = notices(&brama);
    assert!(queue.try_next().is_none());
    brama.get_or_register("db", others()).expect("there");
    assert!(queue.try_next().is_some());
}

#[test]
fn a_setting_that_came_later_makes_the_first_ones_others() {
    let _alone = alone();
    let (brama, _clock) = manager();
    let queue = notices(&brama);
    let given = || ConnectionOptions::new().max_attempts(5);
    brama.get_or_register("db", given()).expect("valid");
    brama
        .configure(Config::new().max_attempts(8))
        .expect("valid");
    brama.get_or_register("db", given()).expect("there");
    assert!(queue.try_next().is_none(), "its own 5 holds");
    let own = ConnectionOptions::new().max_attempts(6);
    brama.configure_connection("db", own).expect("valid");
    brama.get_or_register("db", given()).expect("there");
    assert!(queue.try_next().is_some());
}

/// A notice is a kept event.
#[test]
fn a_notice_that_finds_the_ring_full_is_told_late() {
    let _alone = alone();
    let (brama, _clock) = manager_with(|b| b.event_capacity(2));
    let queue = queue_of(&brama, 100);
    let db = brama.register("db", None).expect("a new name");
    db.success().expect("there");
    let others = ConnectionOptions::new().max_attempts(9);
    brama.get_or_register("db", others).expect("there");
    let told = queue.drain(100);
    assert_eq!(kinds(&told).last(), Some(&"notice"));
    assert!(told.last().is_some_and(Event::is_coalesced));
}
