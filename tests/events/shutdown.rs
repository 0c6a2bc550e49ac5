//! Shutting down within a time: what is delivered, what is left, and what the shutdown
//! waits for. Stuck callbacks wait for a message of the test, so no test depends on timing.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use crate::common::events::{all, assert_exact};
use crate::common::{fail, manager, manager_with, ms, wait_until};
use brama::{Brama, Connection, Error, Event, EventFilter, EventType, Subscription};

/// Longer than any test waits.
const LONG: Duration = Duration::from_secs(3_600);

fn successes() -> EventFilter {
    EventFilter::new().types([EventType::Success])
}

/// A manager with a driver whose callback is stuck with the first event.
struct Stuck {
    brama: Brama,
    db: Connection,
    subscription: Subscription,
    calls: Arc<AtomicU32>,
    go_on: mpsc::Sender<()>,
}

impl Stuck {
    fn new(capacity: usize) -> Self {
        let brama = Brama::builder().event_capacity(capacity).build();
        let brama = brama.expect("valid");
        let (entered, has_entered) = mpsc::channel();
        let (go_on, may_go_on) = mpsc::channel::<()>();
        let calls = Arc::new(AtomicU32::new(0));
        let count = calls.clone();
        let subscription = brama.subscribe(all().connection("db"), move |_| {
            count.fetch_add(1, Ordering::SeqCst);
            let _ = entered.send(());
            let _ = may_go_on.recv();
        });
        let subscription = subscription.expect("running");
        let db = brama.register("db", None).expect("a new name");
        has_entered.recv().expect("it runs");
        Stuck {
            brama,
            db,
            subscription,
            calls,
            go_on,
        }
    }
}

#[test]
fn what_can_be_delivered_is_and_nothing_is_left() {
    for background in [true, false] {
        let brama = Brama::builder().background(background).build();
        let brama = brama.expect("valid");
        let heard = Arc::new(AtomicU32::new(0));
        let count = heard.clone();
        let _subscription = brama.subscribe(all(), move |_| {
            count.fetch_add(1, Ordering::SeqCst);
        });
        let db = brama.register("db", None).expect("a new name");
        fail(&db, 4);
        assert_eq!(brama.shutdown_within(LONG), 0);
        assert_eq!(heard.load(Ordering::SeqCst), 6);
        assert_eq!(Arc::strong_count(&heard), 1, "the subscription has ended");
        assert_eq!(db.success(), Err(Error::ShutDown));
        assert!(!brama.event_counts().background_running);
        assert_eq!(brama.shutdown_within(LONG), 0, "and once more");
        assert_exact(brama.event_counts());
    }
}

#[test]
fn a_callback_that_does_not_return_is_not_waited_for() {
    let stuck = Stuck::new(1_024);
    let begin = Instant::now();
    fail(&stuck.db, 3);
    // The registration's two events, of which the first is in the callback.
    assert_eq!(stuck.brama.shutdown_within(ms(30)), 2 + 3);
    assert!(begin.elapsed() >= ms(30), "it was given its time");
    assert_eq!(stuck.db.success(), Err(Error::ShutDown));

    // No shutdown waits any more, whatever comes.
    stuck.brama.shutdown();
    assert_eq!(stuck.brama.shutdown_within(LONG), 2 + 3, "as it was");
    stuck.subscription.unsubscribe();
    stuck.brama.unsubscribe(&all());
    let counts = stuck.brama.event_counts();
    drop(stuck.brama);
    assert!(
        counts.background_running,
        "its thread is inside the callback"
    );
    assert_eq!(Arc::strong_count(&stuck.calls), 2, "which has its data");

    stuck.go_on.send(()).expect("it waits");
    wait_until("the callback is gone", || {
        Arc::strong_count(&stuck.calls) == 1
    });
    assert_eq!(
        stuck.calls.load(Ordering::SeqCst),
        1,
        "and not called again"
    );
}

#[test]
fn what_found_no_room_is_left_too() {
    let stuck = Stuck::new(2);
    // Two fill the ring.
    fail(&stuck.db, 2);
    stuck.db.half_open_circuit().expect("registered");
    let late = stuck.brama.register("late", None).expect("a new name");
    drop(late);
    let left = stuck.brama.shutdown_within(ms(1));
    // Two events of the registration, two failures, two events
    // of the change. No subscriber wants those of `late`.
    assert_eq!(left, 6);
    drop(stuck.go_on);
    wait_until("its thread is gone", || {
        !stuck.brama.event_counts().background_running
    });
    assert_exact(stuck.brama.event_counts());
    let counts = stuck.brama.event_counts();
    assert_eq!(counts.delivered, 1);
    assert_eq!(counts.dropped, 5, "all others are counted as dropped");
}

/// Without a background thread, the shutdown looks at the clock between two callbacks.
#[test]
fn without_a_thread_it_stops_between_two_callbacks() {
    let (brama, _clock) = manager();
    let db = brama.register("db", None).expect("a new name");
    let heard = Arc::new(AtomicU32::new(0));
    let count = heard.clone();
    let begin = Instant::now();
    let _subscription = brama.subscribe(successes(), move |_| {
        if count.fetch_add(1, Ordering::SeqCst) == 1 {
            wait_until("the time is over", || begin.elapsed() >= ms(50));
        }
    });
    for _ in 0..7 {
        db.success().expect("registered");
    }
    let left = brama.shutdown_within(ms(50).saturating_sub(begin.elapsed()));
    assert_eq!(left + u64::from(heard.load(Ordering::SeqCst)), 7);
    assert!(heard.load(Ordering::SeqCst) <= 2);
    assert_exact(brama.event_counts());
}

#[test]
fn batches_that_are_not_handed_over_are_left() {
    let (brama, _clock) = manager_with(|b| b);
    let db = brama.register("db", None).expect("a new name");
    let _batches = brama
        .subscribe_batched(successes(), 100, |events: &[Event]| {
            panic!("{} events after the time", events.len())
        })
        .expect("valid");
    for _ in 0..5 {
        db.success().expect("registered");
    }
    assert_eq!(brama.shutdown_within(Duration::ZERO), 5);
    assert_eq!(brama.event_counts().panics, 0);
    assert_exact(brama.event_counts());
}

/// The events in a batch count as left, even if the dispatcher is stuck in another callback.
#[test]
fn a_batch_behind_a_stuck_callback_is_left() {
    let brama = Brama::builder().build().expect("valid");
    let db = brama.register("db", None).expect("a new name");
    let batches = brama.subscribe_batched(successes(), 100, |_| ());
    let (entered, has_entered) = mpsc::channel();
    let (go_on, may_go_on) = mpsc::channel::<()>();
    let stuck = brama.subscribe(successes(), move |_| {
        let _ = entered.send(());
        let _ = may_go_on.recv();
    });
    db.success().expect("registered");
    has_entered.recv().expect("it runs");
    // The event in the stuck callback, and the one in the batch.
    assert_eq!(brama.shutdown_within(ms(1)), 2);
    drop(go_on);
    drop((batches, stuck));
}

#[test]
fn inside_a_callback_it_returns_at_once_and_the_time_holds_for_the_rest() {
    let brama = Brama::builder().build().expect("valid");
    let db = brama.register("db", None).expect("a new name");
    let (entered, has_entered) = mpsc::channel();
    let (go_on, may_go_on) = mpsc::channel::<()>();
    let (tell, told) = mpsc::channel();
    let manager = brama.clone();
    let calls = Arc::new(AtomicU32::new(0));
    let count = calls.clone();
    let subscription = brama.subscribe(successes(), move |_| {
        count.fetch_add(1, Ordering::SeqCst);
        let _ = entered.send(());
        let _ = may_go_on.recv();
        let _ = tell.send(manager.shutdown_within(Duration::ZERO));
    });
    for _ in 0..4 {
        db.success().expect("registered");
    }
    has_entered.recv().expect("it runs");
    for _ in 0..4 {
        db.success().expect("registered");
    }
    go_on.send(()).expect("it waits");
    let waiting = told.recv().expect("it returns");
    assert!((4..8).contains(&waiting), "{waiting} happenings wait");
    wait_until("its thread is gone", || {
        !brama.event_counts().background_running
    });
    assert_eq!(calls.load(Ordering::SeqCst), 1, "the time is over");
    assert_exact(brama.event_counts());
    assert_eq!(brama.event_counts().dropped, 7);
    drop(subscription);
}

/// A shutdown empties the table, so the dispatcher must not rely on it
/// to find connections that have missed events. Half-openings show
/// that. An opened circuit is found on the driver's stack in any case.
#[test]
fn a_shutdown_delivers_what_late_registrations_have_missed() {
    let (brama, _clock) = manager_with(|b| b.event_capacity(2));
    let queue = crate::common::events::queue_of(&brama, 100);
    let db = brama.register("db", None).expect("a new name");
    db.success().expect("registered");
    for n in 0..10 {
        let late = brama.register(&format!("{n}"), None).expect("a new name");
        late.half_open_circuit().expect("registered");
    }
    assert_eq!(brama.shutdown_within(LONG), 0);
    // The registration's two events, and two events of the change.
    assert_eq!(queue.drain(100).len(), 3 + 10 * 4);
    assert_exact(brama.event_counts());
}

/// A reporter may still be sending after the last round.
/// Its event must be delivered or counted as dropped.
#[test]
fn reporters_that_are_under_way_at_the_shutdown_are_delivered_or_counted() {
    for _ in 0..200 {
        let brama = Brama::builder().event_capacity(64).build().expect("valid");
        let queue = brama.subscribe_queue(all(), 1 << 20).expect("valid");
        let db = brama.register("db", None).expect("a new name");
        let reported = AtomicU32::new(0);
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    while db.success().is_ok() {
                        reported.fetch_add(1, Ordering::Relaxed);
                    }
                });
            }
            wait_until("they report", || reported.load(Ordering::Relaxed) > 50);
            brama.shutdown();
        });
        let counts = brama.event_counts();
        assert_eq!(counts.delivered, queue.drain(usize::MAX).len() as u64);
        let sent = counts.delivered + counts.dropped;
        assert!(sent >= u64::from(reported.into_inner()), "{counts:?}");
    }
}
