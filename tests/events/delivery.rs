//! Delivery of events: to callbacks, in batches, and to queues that the host
//! drains. Full rings and queues are in `overflow`, what a callback may do
//! in `callbacks`. Managers have no background thread unless a test says so.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;

use crate::common::events::{all, assert_exact, kinds, queue_of};
use crate::common::{fail, manager, ms};
use brama::{Brama, Event, EventQueue, EventType, ManualClock, State};

// ---- ways to deliver ----

#[test]
fn a_callback_runs_on_the_polling_thread_in_order_and_never_on_the_reporting_one() {
    let (brama, _clock) = manager();
    let heard = Arc::new(Mutex::new(Vec::new()));
    let write = heard.clone();
    let _subscription = brama
        .subscribe(all(), move |event| {
            let here = thread::current().id();
            write
                .lock()
                .expect("no panic")
                .push((here, event.sequence()));
        })
        .expect("running");
    let db = brama.register("db", None).expect("a new name");
    fail(&db, 7);
    assert!(heard.lock().expect("no panic").is_empty());
    let poller = thread::scope(|scope| {
        let poll = || {
            brama.poll();
            thread::current().id()
        };
        scope.spawn(poll).join().expect("no panic")
    });
    let heard = heard.lock().expect("no panic");
    assert_eq!(heard.len(), 2 + 7 + 2);
    assert!(heard.iter().all(|(thread, _)| *thread == poller));
    assert!(heard.is_sorted_by_key(|(_, sequence)| sequence));
}

#[test]
fn with_a_driver_events_come_by_themselves_and_so_does_an_expiry() {
    let clock = ManualClock::new();
    let brama = Brama::builder()
        .clock(clock.clone())
        .build()
        .expect("valid");
    let (send, heard) = mpsc::channel();
    let _subscription = brama
        .subscribe(all(), move |event| {
            let _ = send.send((thread::current().id(), event.event_type()));
        })
        .expect("running");
    let db = brama.register("db", None).expect("a new name");
    db.open_circuit(None, ms(5)).expect("registered");
    clock.advance(ms(5));
    let mut kinds = Vec::new();
    while kinds.len() < 7 {
        let (on, kind) = heard.recv_timeout(ms(60_000)).expect("it comes");
        assert_ne!(on, thread::current().id());
        kinds.push(kind.as_str());
    }
    assert_eq!(kinds[2..5], ["state_change", "circuit_opened", "expiry"]);
}

#[test]
fn batches_are_as_large_as_allowed_and_the_round_s_end_flushes_the_rest() {
    let (brama, _clock) = manager();
    let db = brama.register("db", None).expect("a new name");
    for (most, expected) in [(1, vec![1; 10]), (4, vec![4, 4, 2]), (100, vec![10])] {
        let batches = Arc::new(Mutex::new(Vec::new()));
        let write = batches.clone();
        let _subscription = brama
            .subscribe_batched(all(), most, move |events| {
                let numbers: Vec<_> = events.iter().map(Event::sequence).collect();
                write.lock().expect("no panic").push(numbers);
            })
            .expect("valid");
        for _ in 0..10 {
            db.success().expect("registered");
        }
        brama.poll();
        brama.poll();
        let batches = batches.lock().expect("no panic");
        let sizes: Vec<_> = batches.iter().map(Vec::len).collect();
        assert_eq!(sizes, expected);
        assert!(batches.concat().is_sorted());
    }
    assert_exact(brama.event_counts());
}

#[test]
fn a_batch_callback_that_panics_has_had_its_events() {
    let (brama, _clock) = manager();
    let seen = Arc::new(AtomicU32::new(0));
    let count = seen.clone();
    let _subscription = brama
        .subscribe_batched(all(), 3, move |events| {
            count.fetch_add(events.len() as u32, Ordering::Relaxed);
            panic!("as expected");
        })
        .expect("valid");
    let db = brama.register("db", None).expect("a new name");
    fail(&db, 3);
    brama.poll();
    assert_eq!(seen.load(Ordering::Relaxed), 5);
    assert_eq!(brama.event_counts().panics, 2);
}

#[test]
fn a_queue_without_a_driver_pumps_itself() {
    let (brama, clock) = manager();
    let queue = queue_of(&brama, 100);
    assert!(queue.try_next().is_none());
    let db = brama.register("db", None).expect("a new name");
    assert!(queue.try_next().is_some());
    assert_eq!(kinds(&queue.drain(9)), ["connection_registered"]);
    db.open_circuit(None, ms(5)).expect("registered");
    let next = queue.next_timeout(ms(0)).expect("waits");
    assert_eq!(next.event_type(), EventType::StateChange);
    assert_eq!(queue.drain(0).len(), 0);
    clock.advance(ms(5));
    let told = queue.drain(usize::MAX);
    let expected = [
        "circuit_opened",
        "expiry",
        "state_change",
        "circuit_half_opened",
    ];
    assert_eq!(kinds(&told), expected);
    assert!(queue.next_timeout(ms(1)).is_none());
    assert_exact(brama.event_counts());
}

#[test]
fn next_timeout_wakes_for_an_event_and_for_the_end() {
    let brama = Brama::builder().build().expect("valid");
    let queue = queue_of(&brama, 100);
    let (tell, told) = mpsc::channel();
    thread::scope(|scope| {
        let queue = &queue;
        let waiter = scope.spawn(move || {
            let first = queue.next_timeout(ms(60_000)).expect("it comes");
            assert_eq!(first.event_type(), EventType::Registration);
            assert!(queue.next_timeout(ms(60_000)).is_some());
            assert!(!queue.is_closed());
            tell.send(()).expect("it is heard");
            queue.next_timeout(std::time::Duration::MAX)
        });
        brama.register("db", None).expect("a new name");
        told.recv().expect("both have come");
        brama.shutdown();
        assert!(waiter.join().expect("no panic").is_none());
    });
    assert!(queue.is_closed());
}

#[test]
fn after_a_shutdown_what_waits_can_still_be_taken() {
    for background in [false, true] {
        let brama = Brama::builder()
            .background(background)
            .build()
            .expect("valid");
        let queue = queue_of(&brama, 3);
        let db = brama.register("db", None).expect("a new name");
        fail(&db, 5);
        brama.shutdown();
        brama.shutdown();
        assert!(queue.is_closed());
        drop(brama);
        let told = queue.drain(100);
        assert_eq!(told.len(), 5);
        let last = told.last().expect("five");
        assert_eq!(last.new_state(), State::Open);
        assert!(queue.try_next().is_none());
        assert!(queue.next_timeout(ms(60_000)).is_none(), "at once");
    }
}

/// Whether the queue's descriptor is readable now.
#[cfg(unix)]
fn is_readable(queue: &EventQueue, timeout: i32) -> bool {
    let mut poll = libc::pollfd {
        fd: queue.as_raw_fd().expect("a descriptor"),
        events: libc::POLLIN,
        revents: 0,
    };
    // SAFETY: one valid entry.
    let ready = unsafe { libc::poll(&mut poll, 1, timeout) };
    ready == 1 && poll.revents & libc::POLLIN != 0
}

#[cfg(unix)]
#[test]
fn the_descriptor_is_readable_exactly_while_events_wait() {
    let (brama, _clock) = manager();
    let queue = queue_of(&brama, 4);
    let db = brama.register("db", None).expect("a new name");
    brama.poll();
    // The descriptor is made only now, when two events wait already.
    assert!(is_readable(&queue, 0));
    assert_eq!(queue.drain(1).len(), 1);
    assert!(is_readable(&queue, 0));
    assert_eq!(queue.drain(9).len(), 1);
    assert!(!is_readable(&queue, 0));
    for round in 0..100 {
        fail(&db, 1);
        assert!(!is_readable(&queue, 0), "no thread has polled");
        brama.poll();
        assert!(is_readable(&queue, 0), "{round}");
        while queue.try_next().is_some() {}
        assert!(!is_readable(&queue, 0), "{round}");
    }
    fail(&db, 1);
    brama.shutdown();
    assert_eq!(queue.drain(9).len(), 1);
    assert!(is_readable(&queue, 0), "for ever");
}

#[cfg(unix)]
#[test]
fn the_descriptor_wakes_a_sleeping_host() {
    let brama = Brama::builder().build().expect("valid");
    let queue = queue_of(&brama, 16);
    assert!(!is_readable(&queue, 0));
    let db = brama.register("db", None).expect("a new name");
    thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..2_000 {
                db.reset_circuit().expect("registered");
                thread::yield_now();
            }
            brama.unregister("db").expect("registered");
        });
        let (mut heard, mut removed) = (0, false);
        while !removed {
            assert!(is_readable(&queue, 10_000), "nothing after {heard}");
            let told = queue.drain(7);
            heard += told.len();
            removed = kinds(&told).contains(&"connection_removed");
        }
    });
}

/// Events that were put aside make the descriptor readable, too.
#[cfg(unix)]
#[test]
fn the_descriptor_is_readable_while_only_events_put_aside_wait() {
    let (brama, _clock) = manager();
    let queue = queue_of(&brama, 2);
    let db = brama.register("db", None).expect("a new name");
    db.reset_circuit().expect("registered");
    assert_eq!(queue.drain(2).len(), 2);
    assert!(is_readable(&queue, 0), "the reset waits");
    assert_eq!(kinds(&queue.drain(9)), ["circuit_reset"]);
    assert!(!is_readable(&queue, 0));
}

#[test]
fn events_of_connections_that_are_gone_when_they_are_taken_are_whole() {
    let (brama, _clock) = manager();
    let queue = brama.subscribe_queue(all(), 100_000).expect("valid");
    for n in 0..200 {
        let name = format!("connection {n}");
        let db = brama.register(("scope", &*name), None).expect("a new name");
        db.failure("a reason that is much longer than thirty-eight bytes")
            .expect("registered");
        drop(db);
        brama.unregister(("scope", &*name)).expect("registered");
    }
    brama.poll();
    drop(brama);
    let told = queue.drain(usize::MAX);
    drop(queue);
    assert_eq!(told.len(), 1_000);
    for (n, event) in told.iter().enumerate() {
        assert_eq!(event.connection(), format!("connection {}", n / 5));
        assert_eq!(event.scope(), Some("scope"));
        assert_eq!(event.reason().is_some(), n % 5 == 2);
    }
}

#[test]
fn a_name_that_is_registered_again_by_whatever_thread_has_a_larger_number() {
    let brama = Brama::builder().background(false).build().expect("valid");
    let filter = all().connection("db");
    let queue = brama.subscribe_queue(filter, 10_000).expect("valid");
    for _ in 0..100 {
        for names in [["db", "a"], ["b", "db"]] {
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    for name in names {
                        brama.register(name, None).expect("a new name");
                        brama.unregister(name).expect("registered");
                    }
                });
            });
        }
    }
    brama.poll();
    let numbers: Vec<u64> = queue
        .drain(10_000)
        .iter()
        .map(Event::registration)
        .collect();
    assert!(numbers.is_sorted());
    let mut different = numbers.clone();
    different.dedup();
    assert_eq!((numbers.len(), different.len()), (800, 200));
}
