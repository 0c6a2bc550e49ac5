//! Notices: if `get_or_register` gives other settings than the connection has, one event says so.

use crate::common::events::{kinds, queue_of};
use crate::common::{START, manager, manager_with, ms};
use brama::{Brama, Config, ConnectionOptions, Event, EventFilter, EventQueue, EventType};

fn notices(brama: &Brama) -> EventQueue {
    let filter = EventFilter::new().types([EventType::Notice]);
    brama.subscribe_queue(filter, 100).expect("valid")
}

/// An opening whose time is over ends before the notice, even if no call has come since.
#[test]
fn a_notice_comes_after_the_expiry_that_is_due() {
    let (brama, clock) = manager();
    let db = brama.register("db", None).expect("a new name");
    db.open_circuit(None, ms(100)).expect("registered");
    clock.advance(ms(150));
    let queue = queue_of(&brama, 100);
    let others = ConnectionOptions::new().max_attempts(9);
    brama.get_or_register("db", others).expect("there");
    let told = queue.drain(100);
    let expected = ["expiry", "state_change", "circuit_half_opened", "notice"];
    assert_eq!(kinds(&told), expected);
    let times: Vec<_> = told.iter().map(Event::timestamp).collect();
    assert_eq!(times, [100, 100, 100, 150].map(|after| START + after));
}

#[test]
fn other_settings_for_a_connection_that_is_there_are_noticed_once() {
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
        // These are the defaults, which the connection has.
        ConnectionOptions::new().half_open_max_calls(1).window(None),
    ];
    for options in same {
        brama.get_or_register("db", options).expect("there");
    }
    assert_eq!(kinds(&queue.drain(100)), [""; 0], "nothing to notice");

    clock.advance(ms(5));
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
    assert_eq!(told[0].timestamp(), START + 5);
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
fn a_notice_waits_for_the_first_subscriber() {
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
fn a_notice_that_finds_the_ring_full_is_delivered_late() {
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

/// With `rate_calls`, settings still show a `rate_window`, but the rate counts
/// calls. So a given `rate_window` has no effect, even if it is the one shown.
#[test]
fn a_rate_window_that_rate_calls_take_the_place_of_is_noticed() {
    let (brama, _clock) = manager_with(|b| b.rate_calls(100));
    let queue = notices(&brama);
    brama.register("db", None).expect("a new name");
    let same = ConnectionOptions::new().rate_calls(100);
    brama.get_or_register("db", same).expect("there");
    assert_eq!(queue.drain(100).len(), 0);
    let shown = brama.status("db").expect("there").settings.rate_window();
    let idle = ConnectionOptions::new().rate_window(shown);
    brama.get_or_register("db", idle).expect("there");
    let [notice] = &queue.drain(100)[..] else {
        panic!("one notice");
    };
    let text = notice.reason().expect("a text");
    assert!(text.contains("has: rate_window; "), "{text}");
}
