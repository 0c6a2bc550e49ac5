//! A callback may call everything. Tests that could deadlock have a deadline.
//! Callbacks of two managers that end each other are in `between_managers`.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Barrier, Mutex, mpsc};
use std::thread;

use crate::common::events::{all, queue_of};
use crate::common::{fail, in_time, manager, manager_with, ms, wait_until};
use brama::{Brama, Config, EventFilter, EventQueue, EventType, Subscription};

// ---- what a callback may do ----

#[test]
fn a_callback_that_panics_is_counted_and_the_others_are_served() {
    let (brama, _clock) = manager();
    let _bad = brama
        .subscribe(all(), |_| panic!("as expected"))
        .expect("running");
    let queue = queue_of(&brama, 100);
    let db = brama.register("db", None).expect("a new name");
    fail(&db, 5);
    assert_eq!(queue.drain(100).len(), 9);
    assert_eq!(brama.event_counts().panics, 9);
}

/// Such a panic must not unwind through the dispatcher.
#[test]
fn captured_data_that_panics_when_dropped_is_contained() {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("as expected");
        }
    }
    in_time("the callback", || {
        let (brama, _clock) = manager();
        let (bomb, manager) = (Bomb, brama.clone());
        let bad = brama.subscribe(all().connection("db"), move |_| {
            let _held = &bomb;
            manager.unsubscribe(&all().connection("db"));
        });
        let queue = queue_of(&brama, 100);
        brama.register("db", None).expect("a new name");
        assert_eq!(queue.drain(100).len(), 2);
        drop(bad);
        let _bad = brama
            .subscribe(all(), |_| std::panic::panic_any(Bomb))
            .expect("running");
        brama.success("db").expect("registered");
        assert_eq!(queue.drain(100).len(), 1);
    });
}

#[test]
fn a_callback_may_unsubscribe_itself_and_subscribe_others() {
    in_time("the callback", || {
        let (brama, _clock) = manager();
        let own: Arc<Mutex<Option<Subscription>>> = Arc::default();
        let others: Arc<Mutex<Vec<EventQueue>>> = Arc::default();
        let seen = Arc::new(AtomicU32::new(0));
        let (handle, list, manager) = (own.clone(), others.clone(), brama.clone());
        let count = seen.clone();
        let subscription = brama.subscribe(all(), move |_| {
            count.fetch_add(1, Ordering::Relaxed);
            list.lock().expect("no panic").push(queue_of(&manager, 9));
            drop(handle.lock().expect("no panic").take());
        });
        *own.lock().expect("no panic") = Some(subscription.expect("running"));
        let db = brama.register("db", None).expect("a new name");
        fail(&db, 3);
        brama.poll();
        assert_eq!(seen.load(Ordering::Relaxed), 1, "itself, at the first");
        assert_eq!(Arc::strong_count(&seen), 1, "and its data is gone");
        fail(&db, 1);
        let mut others = others.lock().expect("no panic");
        assert!(!others.pop().expect("one").drain(9).is_empty());
    });
}

#[test]
fn a_callback_that_reports_to_its_own_connection_does_not_keep_poll_from_ending() {
    in_time("the callback", || {
        let (brama, _clock) = manager_with(|b| b.unlimited_attempts().event_capacity(8));
        let db = brama.register("db", None).expect("a new name");
        let (own, seen) = (db.clone(), Arc::new(AtomicU32::new(0)));
        let count = seen.clone();
        let manager = brama.clone();
        let failures = all().types([EventType::Failure]);
        let _subscription = brama.subscribe(failures, move |_| {
            count.fetch_add(1, Ordering::Relaxed);
            own.failure("again").expect("registered");
            manager.poll();
        });
        fail(&db, 1);
        for round in 1..=3 {
            brama.poll();
            assert!(seen.load(Ordering::Relaxed) <= 8 * round);
        }
        assert!(seen.load(Ordering::Relaxed) >= 3);
    });
}

#[test]
fn a_callback_may_call_everything() {
    for background in [false, true] {
        in_time("the callback", move || {
            let brama = Brama::builder().background(background).build();
            let brama = brama.expect("valid");
            let (manager, done) = (brama.clone(), Arc::new(AtomicU32::new(0)));
            let count = done.clone();
            let queue = queue_of(&brama, 100);
            let _subscription = brama.subscribe(all().connection("db"), move |_| {
                manager.register("own", None).expect("a new name");
                manager.snapshot();
                manager.configure(brama::Config::new()).expect("valid");
                manager.open_circuit("own", None, None).expect("registered");
                assert!(manager.acquire("own").is_err());
                manager.reset_circuit("own").expect("registered");
                manager.poll();
                queue.drain(3);
                queue.next_timeout(ms(0));
                manager.unregister("own").expect("registered");
                drop(manager.subscribe(all(), |_| ()));
                count.fetch_add(1, Ordering::Relaxed);
            });
            brama.register("db", None).expect("a new name");
            brama.poll();
            wait_until("both have come", || done.load(Ordering::Relaxed) == 2);
            assert_eq!(brama.event_counts().panics, 0);
        });
    }
}

/// A thread has to remember all managers whose callbacks it runs, not only the innermost one.
#[test]
fn managers_may_call_each_other_from_their_callbacks() {
    in_time("the callback", || {
        let (outer, _clock) = manager();
        let (inner, _clock) = manager();
        let both = (outer.clone(), inner.clone());
        let _outer = outer.subscribe(all(), move |_| both.1.poll());
        let both = (outer.clone(), inner.clone());
        let _inner = inner.subscribe(all(), move |_| {
            both.0.poll();
            both.0.unsubscribe(&all());
            both.1.unsubscribe(&all());
        });
        inner.register("db", None).expect("a new name");
        outer.register("db", None).expect("a new name");
        outer.poll();
    });
}

#[test]
fn two_managers_that_poll_each_other_from_their_own_threads_do_not_wait_for_each_other() {
    in_time("the callback", || {
        let [one, two] = [0, 1].map(|_| Brama::builder().build().expect("valid"));
        let both = Arc::new(Barrier::new(2));
        let subscribe = |own: &Brama, other: &Brama| {
            let (other, mut both) = (other.clone(), Some(both.clone()));
            own.subscribe(all(), move |_| {
                // At their first event, both callbacks are
                // running before either polls the other manager.
                if let Some(both) = both.take() {
                    both.wait();
                }
                other.poll();
            })
            .expect("running")
        };
        let subscriptions = [subscribe(&one, &two), subscribe(&two, &one)];
        thread::scope(|scope| {
            for brama in [&one, &two] {
                scope.spawn(move || {
                    let db = brama.register("db", None).expect("a new name");
                    for _ in 0..5_000 {
                        db.success().expect("registered");
                    }
                });
            }
        });
        // Each has delivered at least one event.
        while [&one, &two]
            .map(|brama| brama.event_counts().delivered)
            .contains(&0)
        {
            thread::yield_now();
        }
        drop(subscriptions);
    });
}

/// The closure holds its own subscription. The thread that ends the subscription drops both.
#[test]
fn a_callback_that_holds_its_own_subscription_can_be_ended_from_outside() {
    in_time("the callback", || {
        let (brama, _clock) = manager();
        let own = Arc::new(Mutex::new(None::<Subscription>));
        let held = own.clone();
        let subscription = brama
            .subscribe(all(), move |_| {
                drop(held.lock());
            })
            .expect("running");
        *own.lock().expect("no panic") = Some(subscription);
        drop(own);
        brama.unsubscribe(&EventFilter::new());
        let queue = queue_of(&brama, 10);
        brama.register("db", None).expect("a new name");
        assert_eq!(queue.drain(10).len(), 2);
    });
}

#[test]
fn a_callback_that_shuts_down_ends_it_all_and_what_waits_is_delivered() {
    for background in [false, true] {
        in_time("the callback", move || {
            let brama = Brama::builder().background(background).event_capacity(2);
            let brama = brama.build().expect("valid");
            let queue = queue_of(&brama, 1_000);
            let manager = brama.clone();
            let _subscription = brama.subscribe(all().connection("db"), move |_| {
                for n in 0..10 {
                    let _ = manager.register(&format!("{n}"), None);
                }
                manager.shutdown();
                assert!(manager.success("db").is_err());
            });
            brama.register("db", None).expect("a new name");
            brama.poll();
            wait_until("it is closed", || queue.is_closed());
            let told = queue.drain(100);
            // Most of the events found the ring full.
            for name in (0..10).map(|n| n.to_string()).chain(["db".into()]) {
                let of = told.iter().filter(|event| event.connection() == name);
                assert_eq!(of.count(), 2, "{name}");
            }
            brama.shutdown();
        });
    }
}

#[test]
fn a_callback_that_parks_its_thread_keeps_no_work_from_the_driver() {
    let settings = Config::new().inactive_threshold(None);
    let brama = Brama::builder().config(settings).build().unwrap();
    let db = brama.register("db", None).unwrap();
    let (entered, has_entered) = mpsc::channel();
    let (leave, may_leave) = mpsc::channel::<()>();
    let _subscription = brama
        .subscribe(EventFilter::new().types([EventType::Success]), move |_| {
            entered.send(()).unwrap();
            while may_leave.try_recv().is_err() {
                thread::park_timeout(ms(1));
            }
            thread::park_timeout(ms(1));
        })
        .unwrap();
    db.success().unwrap();
    drop(db);
    has_entered.recv().unwrap();
    let settings = Config::new().cleanup_interval(ms(1));
    let settings = settings.inactive_threshold(ms(1));
    brama.configure(settings).unwrap();
    leave.send(()).unwrap();
    wait_until("the new settings are heeded", || {
        brama.status("db").is_err()
    });
}
