//! No operation of a running system allocates: `available`, admission,
//! report, rejection, probe. That holds by handle and by name, while circuits
//! open, half-open and close, with a window, on one thread, on another, and
//! on two that share a circuit. Registration and configuration may allocate.
//!
//! The allocator counts the allocations of the thread under test, inside
//! `allocations_of`. A thread's first calls may allocate. The first report and the first
//! look-up may register a thread-exit handler with the system, and the thread with the
//! epochs. The first failure may register the thread as a reader of the settings.

use std::hint::black_box;
use std::sync::Barrier;
use std::thread;

use crate::common::counting::allocations_of;
use crate::common::events::all;
use crate::common::{alone, manager, manager_with, ms};
use brama::{Brama, Connection, ConnectionOptions, Error, EventFilter, ManualClock, OpenFor};

#[test]
fn the_counter_counts() {
    let _alone = alone();
    // Without `black_box` the optimiser would remove the allocation.
    assert_eq!(allocations_of(|| drop(black_box(Box::new(1_u8)))), 1);
    assert_eq!(allocations_of(|| ()), 0);
}

/// The first calls of a thread, which may allocate.
fn first_calls(brama: &Brama, name: &str) {
    brama.failure(name, None).expect("registered");
    brama.success(name).expect("registered");
    // Reads the settings, as an opening does.
    brama.status(name).expect("registered");
}

/// Everything that a caller does by handle, through all states and back to *closed*.
fn a_life_by_handle(db: &Connection, clock: &ManualClock) {
    for _ in 0..100 {
        assert!(db.available());
        db.acquire().expect("closed").success().expect("timely");
        db.success().expect("registered");
        db.acquire().expect("closed").ignore().expect("timely");
        drop(db.acquire_owned().expect("closed"));
        let _ = db.call(|| Ok::<_, ()>(()));
    }
    let admitted_before = db.acquire().expect("closed");
    for _ in 0..4 {
        db.failure("timeout").expect("registered");
    }
    let last = db.acquire().expect("closed");
    last.failure("a reason that is longer than a short one would be")
        .expect("timely");
    assert!(!db.available());
    for _ in 0..100 {
        assert!(matches!(db.acquire(), Err(Error::Rejected(_))));
        db.failure(None).expect("counted");
        assert!(db.call(|| Ok::<_, ()>(())).is_err());
    }
    assert_eq!(admitted_before.success(), Err(Error::Stale));
    clock.advance(ms(60_000));
    let probe = db.acquire().expect("half-open");
    assert!(matches!(db.acquire(), Err(Error::Rejected(_))));
    probe.failure("still down").expect("timely");
    clock.advance(ms(60_000));
    db.acquire().expect("half-open").ignore().expect("timely");
    db.acquire().expect("half-open").success().expect("timely");
    assert!(db.available());
}

/// The same, by name.
fn a_life_by_name(brama: &Brama, clock: &ManualClock) {
    let db = ("billing", "db");
    for _ in 0..300 {
        assert!(brama.available(db));
        brama
            .acquire(db)
            .expect("closed")
            .success()
            .expect("timely");
        brama.success(db).expect("registered");
        drop(brama.acquire(db).expect("closed"));
        let _ = brama.call(db, || Ok::<_, ()>(()));
    }
    for _ in 0..4 {
        brama.failure(db, "timeout").expect("registered");
    }
    brama
        .acquire(db)
        .expect("closed")
        .failure("timeout")
        .expect("timely");
    for _ in 0..300 {
        assert!(!brama.available(db));
        assert!(matches!(brama.acquire(db), Err(Error::Rejected(_))));
    }
    clock.advance(ms(60_000));
    let probe = brama.acquire(db).expect("half-open");
    assert!(matches!(brama.acquire(db), Err(Error::Rejected(_))));
    probe.failure("still down").expect("timely");
    clock.advance(ms(60_000));
    brama
        .acquire(db)
        .expect("half-open")
        .success()
        .expect("timely");
    assert!(brama.available(db));
}

#[test]
fn a_whole_life_by_handle_allocates_nothing() {
    let _alone = alone();
    let (brama, clock) = manager();
    let db = brama.register("db", None).expect("a new name");
    db.success().expect("the thread's first call");
    assert_eq!(allocations_of(|| a_life_by_handle(&db, &clock)), 0);
}

#[test]
fn a_whole_life_by_name_allocates_nothing() {
    let _alone = alone();
    let (brama, clock) = manager();
    brama.register(("billing", "db"), None).expect("a new name");
    brama
        .success(("billing", "db"))
        .expect("the thread's first call");
    assert_eq!(allocations_of(|| a_life_by_name(&brama, &clock)), 0);
}

#[test]
fn with_a_window_too() {
    let _alone = alone();
    for attempts in [5, 1_000] {
        let (brama, clock) = manager_with(|b| b.window(ms(1_000)));
        let db = brama.register("db", None).expect("a new name");
        db.success().expect("the thread's first call");
        assert_eq!(allocations_of(|| a_life_by_handle(&db, &clock)), 0);
        let options = ConnectionOptions::new().max_attempts(attempts);
        db.configure(options).expect("valid");
        let allocations = allocations_of(|| {
            for _ in 1..attempts {
                db.failure("timeout").expect("registered");
                assert!(db.available());
            }
            db.failure("timeout").expect("registered");
            assert!(!db.available());
        });
        assert_eq!(allocations, 0, "{attempts}");
    }
}

#[test]
fn with_a_window_that_was_configured_globally_afterwards_too() {
    let _alone = alone();
    let (brama, clock) = manager();
    let db = brama.register("db", None).expect("a new name");
    db.success().expect("the thread's first call");
    brama
        .configure(
            brama::Config::new()
                .window(ms(1_000))
                .half_open_max_calls(8),
        )
        .expect("valid");
    let allocations = allocations_of(|| {
        for _ in 0..5 {
            db.failure("timeout").expect("registered");
        }
        clock.advance(ms(60_000));
        let probes = [(); 8].map(|()| db.acquire().expect("eight places"));
        assert!(db.acquire().is_err());
        drop(probes);
    });
    assert_eq!(allocations, 0);
}

#[test]
fn control_by_hand_allocates_nothing_either() {
    let _alone = alone();
    let (brama, _clock) = manager();
    let db = brama.register("db", None).expect("a new name");
    db.success().expect("the thread's first call");
    let allocations = allocations_of(|| {
        for _ in 0..100 {
            db.open_circuit("maintenance", ms(5)).expect("registered");
            db.half_open_circuit().expect("registered");
            db.close_circuit().expect("registered");
            brama.reset_circuit("db").expect("registered");
        }
    });
    assert_eq!(allocations, 0);
}

#[test]
fn on_a_second_thread_too() {
    let _alone = alone();
    let (brama, clock) = manager();
    let db = brama.register("db", None).expect("a new name");
    brama.register(("billing", "db"), None).expect("a new name");
    db.success().expect("the first thread's cell");
    brama.success(("billing", "db")).expect("likewise");
    let allocations = thread::scope(|scope| {
        let second = scope.spawn(|| {
            first_calls(&brama, "db");
            allocations_of(|| {
                a_life_by_handle(&db, &clock);
                a_life_by_name(&brama, &clock);
            })
        });
        second.join().expect("no panic")
    });
    assert_eq!(allocations, 0);
}

/// There are more circuits than the process's reserve has blocks of counters.
/// Circuits that get no block count all the same, and no thread allocates.
#[test]
fn on_two_threads_that_share_many_circuits_too() {
    let _alone = alone();
    const CIRCUITS: usize = 30;
    let (brama, _clock) = manager_with(|b| b.unlimited_attempts());
    brama.register("warm", None).expect("a new name");
    let shared: Vec<_> = (0..CIRCUITS)
        .map(|n| brama.register(&format!("db{n}"), None).expect("a new name"))
        .collect();
    let names: Vec<_> = (0..CIRCUITS).map(|n| format!("db{n}")).collect();
    let together = Barrier::new(2);
    let work = || {
        first_calls(&brama, "warm");
        together.wait();
        allocations_of(|| {
            for _ in 0..300 {
                for (db, name) in shared.iter().zip(&names) {
                    db.acquire().expect("closed").success().expect("timely");
                    brama
                        .acquire(name)
                        .expect("closed")
                        .success()
                        .expect("timely");
                    db.failure("timeout").expect("registered");
                    drop(db.acquire().expect("closed"));
                }
            }
        })
    };
    let (one, two) = thread::scope(|scope| {
        let (one, two) = (scope.spawn(work), scope.spawn(work));
        (one.join().expect("no panic"), two.join().expect("no panic"))
    });
    assert_eq!((one, two), (0, 0));
    for db in &shared {
        let status = db.status().expect("registered");
        assert_eq!(
            (status.total_successes, status.total_failures),
            (1_200, 600)
        );
    }
}

/// The thread that subscribes writes into each record what the subscriber
/// wants. So the first report after a subscription allocates nothing for that.
#[test]
fn after_a_subscription_to_another_connection_too() {
    let _alone = alone();
    let (brama, _) = manager();
    let db = brama.register("db", None).expect("a new name");
    brama.register("other", None).expect("a new name");
    let filter = EventFilter::new().connection("other");
    let _queue = brama.subscribe_queue(filter, 10).expect("valid");
    thread::spawn(move || {
        assert!(db.available());
        assert_eq!(allocations_of(|| db.success().expect("registered")), 0);
    })
    .join()
    .expect("nothing panics");
}

/// A thread that pins an epoch frees what earlier removals have left. That allocates nothing.
#[test]
fn after_a_churn_of_registrations_too() {
    let _alone = alone();
    let (brama, _clock) = manager();
    brama.register("db", None).expect("a new name");
    for n in 0..20_000 {
        let name = format!("passing{n}");
        brama.register(&name, None).expect("a new name");
        brama.unregister(&name).expect("registered");
    }
    let allocations = allocations_of(|| {
        for _ in 0..100_000 {
            assert!(brama.available("db"));
        }
    });
    assert_eq!(allocations, 0);
}

/// As the guide says, only a reason that does not fit into the
/// notice allocates, and only if a subscriber wants the event.
#[test]
fn a_long_reason_allocates_once_if_a_subscriber_wants_it() {
    let _alone = alone();
    let (brama, _clock) = manager_with(|b| b.unlimited_attempts());
    let db = brama.register("db", None).expect("a new name");
    let (short, long) = ("x".repeat(38), "x".repeat(39));
    let page = "x".repeat(1 << 20);
    first_calls(&brama, "db");
    let fail = |reason: &str| {
        db.failure(reason).expect("registered");
    };
    let allocations = |reason: &str| allocations_of(|| fail(reason));
    for reason in [&short, &long, &page] {
        assert_eq!(allocations(reason), 0, "no subscriber");
    }
    let other = EventFilter::new().types([brama::EventType::Success]);
    let _other = brama.subscribe_queue(other, 8).expect("valid");
    assert_eq!(allocations(&page), 0, "it is not wanted");
    let failures = EventFilter::new().types([brama::EventType::Failure]);
    let _queue = brama.subscribe_queue(failures, 8).expect("valid");
    assert_eq!(allocations(&short), 0);
    assert_eq!(allocations(&long), 1);
    assert_eq!(allocations(&page), 1);
}

#[test]
fn an_interested_subscriber_costs_the_reporter_no_allocation() {
    let _alone = alone();
    for background in [false, true] {
        let clock = ManualClock::new();
        let brama = Brama::builder()
            .clock(clock.clone())
            .background(background)
            .event_capacity(64)
            .build()
            .expect("valid");
        let _callback = brama.subscribe(all(), |_| ()).expect("running");
        let _queue = brama.subscribe_queue(all(), 16).expect("valid");
        let options = ConnectionOptions::new().max_attempts(3).expiry(ms(10));
        let db = brama.register("db", options).expect("a new name");
        first_calls(&brama, "db");
        let reason = "x".repeat(38);
        let allocations = allocations_of(|| {
            for _ in 0..1_000 {
                db.success().expect("registered");
                brama.success("db").expect("registered");
                for _ in 0..3 {
                    db.failure(&reason).expect("registered");
                }
                assert!(db.acquire().is_err());
                clock.advance(ms(10));
                let probe = db.acquire().expect("half-open");
                probe.success().expect("timely");
                db.open_circuit(&reason, OpenFor::Never).expect("there");
                brama.reset_circuit("db").expect("registered");
            }
        });
        assert_eq!(allocations, 0, "with a driver: {background}");
        assert!(brama.event_counts().dropped > 0, "the ring was full, too");
    }
}
