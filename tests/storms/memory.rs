//! The memory that events take while a subscriber stalls. It is bounded by the capacities
//! and by the number of connections, however many come and go and whatever they report.

use std::sync::mpsc;

use crate::common::counting::bytes_alive;
use crate::common::events::{all, assert_exact, queue_of};
use crate::common::{alone, manager_with};
use brama::{Brama, Event, OpenFor, Report};

/// By how many bytes memory grows while 100 000 names are registered, used and
/// unregistered, with the only subscriber's callback stalled on the driver's thread.
fn growth_before_a_stalled_callback(opening: OpenFor) -> isize {
    let brama = Brama::builder().event_capacity(8).build().expect("valid");
    let (release, released) = mpsc::channel::<()>();
    let (entered, has_entered) = mpsc::channel();
    let mut stalled = false;
    let _subscription = brama
        .subscribe(all(), move |_| {
            if !std::mem::replace(&mut stalled, true) {
                let _ = entered.send(());
                let _ = released.recv();
            }
        })
        .expect("running");
    brama.register("db", None).expect("a new name");
    has_entered.recv().expect("it runs");
    let churn = |from: u32, to: u32| {
        for n in from..to {
            let name = format!("passing{n}");
            let db = brama.register(&name, None).expect("a new name");
            db.open_circuit(None, opening).expect("registered");
            db.failure("timeout").expect("registered");
            brama.unregister(&name).expect("registered");
        }
    };
    churn(0, 20_000);
    let before = bytes_alive();
    churn(20_000, 120_000);
    let grown = bytes_alive() - before;
    release.send(()).expect("it waits");
    brama.poll();
    brama.poll();
    assert_exact(brama.event_counts());
    grown
}

#[test]
fn passing_names_before_a_stalled_subscriber_leave_memory_flat() {
    let _alone = alone();
    let grown = growth_before_a_stalled_callback(OpenFor::Never);
    assert!(grown < 2_000_000, "{grown} bytes");
}

#[test]
fn passing_names_that_open_before_a_stalled_subscriber_leave_memory_flat() {
    let _alone = alone();
    let grown = growth_before_a_stalled_callback(OpenFor::Configured);
    assert!(grown < 2_000_000, "{grown} bytes");
}

#[test]
fn passing_names_before_a_full_queue_leave_memory_flat() {
    let _alone = alone();
    let (brama, _clock) = manager_with(|b| b.event_capacity(64));
    let queue = brama.subscribe_queue(all(), 16).expect("valid");
    let churn = |from: u32, to: u32| {
        for n in from..to {
            let name = format!("passing{n}");
            brama.register(&name, None).expect("a new name");
            brama.unregister(&name).expect("registered");
            brama.poll();
        }
    };
    churn(0, 10_000);
    let before = bytes_alive();
    churn(10_000, 60_000);
    let grown = bytes_alive() - before;
    assert!(grown < 1_000_000, "{grown} bytes");
    assert_exact(brama.event_counts());
    assert!(queue.drain(usize::MAX).len() <= 20);
}

/// A queue of 1 024 events must not keep whole reasons of 1 MB.
#[test]
fn a_stalled_queue_takes_bounded_memory_whatever_reasons_and_metadata_hold() {
    let _alone = alone();
    let page = "x".repeat(1 << 20);
    let (brama, _clock) = manager_with(|b| b.unlimited_attempts());
    let db = brama.register("db", None).expect("a new name");
    let queue = queue_of(&brama, 1_024);
    let report = |round: u32| {
        // Also metadata whose text is short and whose buffer is large.
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
