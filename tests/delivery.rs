//! How events travel: to callbacks, in batches, to queues that the host drains;
//! what becomes of them when the ring or a queue is full; and what a callback may
//! do (design, 1.10). Nothing runs in the background unless a test says so.

mod common;

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;

use brama::{
    Brama, Event, EventCounts, EventFilter, EventQueue, EventType, ManualClock, State, Subscription,
};
use common::{fail, manager, manager_with, ms, wait_until};

fn all() -> EventFilter {
    EventFilter::new()
}

fn queue_of(brama: &Brama, capacity: usize) -> EventQueue {
    brama.subscribe_queue(all(), capacity).expect("valid")
}

/// Nobody else's events: what one subscriber that wants everything was owed.
fn assert_exact(counts: EventCounts) {
    let EventCounts {
        published,
        delivered,
        dropped,
        coalesced,
        ..
    } = counts;
    assert_eq!(published, delivered + dropped + coalesced, "{counts:?}");
}

fn kinds(events: &[Event]) -> Vec<&'static str> {
    events
        .iter()
        .map(|event| event.event_type().as_str())
        .collect()
}

/// Runs `work` with a deadline: what deadlocks fails.
fn in_time(work: impl FnOnce() + Send + 'static) {
    let (done, is_done) = mpsc::channel();
    let worker = thread::spawn(move || {
        work();
        let _ = done.send(());
    });
    match is_done.recv_timeout(ms(30_000)) {
        Err(mpsc::RecvTimeoutError::Timeout) => panic!("it hangs"),
        _ => worker.join().expect("no panic"),
    }
}

// ---- ways to deliver ----

#[test]
fn a_callback_hears_on_the_polling_thread_in_order_and_never_on_the_reporting_one() {
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
    thread::scope(|scope| {
        let waiter = scope.spawn(|| {
            let first = queue.next_timeout(ms(60_000)).expect("it comes");
            assert_eq!(first.event_type(), EventType::Registration);
            assert!(queue.next_timeout(ms(60_000)).is_some());
            assert!(!queue.is_closed());
            queue.next_timeout(std::time::Duration::MAX)
        });
        thread::sleep(ms(20));
        brama.register("db", None).expect("a new name");
        thread::sleep(ms(20));
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
    // Asked for only now, when two wait already.
    assert!(is_readable(&queue, 0));
    assert_eq!(queue.drain(1).len(), 1);
    assert!(is_readable(&queue, 0));
    assert_eq!(queue.drain(9).len(), 1);
    assert!(!is_readable(&queue, 0));
    for round in 0..100 {
        fail(&db, 1);
        assert!(!is_readable(&queue, 0), "nobody has polled");
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
    let (mut heard, reports) = (0, 2_000);
    thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..reports {
                db.reset_circuit().expect("registered");
                thread::yield_now();
            }
            brama.unregister("db").expect("registered");
        });
        while heard == 0 || brama.state("db") != State::Unknown {
            if is_readable(&queue, 100) {
                heard += queue.drain(7).len();
            }
        }
        // The last word comes too.
        wait_until("the removal is heard of", || {
            assert!(is_readable(&queue, 10_000), "nothing after {heard}");
            let told = queue.drain(7);
            let removed = EventType::ConnectionRemoved;
            told.iter().any(|event| event.event_type() == removed)
        });
    });
}

/// Found while reading: only what waited in order was looked at.
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

/// Found while reading: those forgotten had been counted as delivered.
#[test]
fn a_connection_that_comes_and_goes_while_the_queue_is_full_leaves_nothing_but_counts() {
    let (brama, _clock) = manager();
    let queue = queue_of(&brama, 2);
    brama.register("known", None).expect("a new name");
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

/// Found while reading: what the host had taken after the queue ran full did not
/// count as heard of.
#[test]
fn the_removal_of_a_connection_that_the_host_has_heard_of_is_kept() {
    let (brama, _clock) = manager();
    let queue = queue_of(&brama, 2);
    let filler = brama.register("filler", None).expect("a new name");
    brama.register("db", None).expect("a new name");
    assert_eq!(queue.drain(9).len(), 4, "db's from aside");
    filler.open_circuit(None, None).expect("registered");
    brama.unregister("db").expect("registered");
    let told = queue.drain(9);
    assert_exact(brama.event_counts());
    let removed = told.last().expect("it is told");
    assert_eq!(removed.event_type(), EventType::ConnectionRemoved);
    assert_eq!(removed.connection(), "db");
}

// ---- a full ring ----

/// A ring of two places, full: nothing of what comes next finds room.
fn full_ring() -> (Brama, ManualClock, EventQueue, brama::Connection) {
    let (brama, clock) = manager_with(|b| b.event_capacity(2));
    let queue = queue_of(&brama, 1_000);
    let db = brama.register("db", None).expect("a new name");
    db.success().expect("registered");
    (brama, clock, queue, db)
}

/// All that the queue gets to hear, by and by. Numbers grow.
fn heard(brama: &Brama, queue: &EventQueue) -> Vec<Event> {
    let mut told: Vec<Event> = Vec::new();
    for _ in 0..5 {
        told.extend(queue.drain(usize::MAX));
    }
    assert_exact(brama.event_counts());
    told
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
fn a_full_ring_drops_reports_and_tells_changes_late() {
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
    // And the ring goes on.
    db.close_circuit().expect("registered");
    assert_eq!(
        kinds(&heard(&brama, &queue)),
        ["state_change", "circuit_closed"]
    );
}

/// Found while reading: late events took more numbers than were set aside.
#[test]
fn the_numbers_of_late_events_are_nobody_else_s() {
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

/// Found while reading.
#[test]
fn a_registration_told_late_comes_from_unknown_too() {
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

/// Found while reading: its registration was looked for in the table only, and
/// neither told nor counted.
#[test]
fn a_newcomer_removed_when_there_is_room_again_leaves_no_gap() {
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
    // The first that finds no room is remembered, those after it are searched for.
    brama.register("first", None).expect("a new name");
    brama.register("late", None).expect("a new name");
    let told = heard(&brama, &queue);
    let late: Vec<_> = told
        .iter()
        .filter(|event| event.connection() == "late")
        .map(|event| event.event_type().as_str())
        .collect();
    let expected = [
        "registration",
        "connection_registered",
        "connection_unregistered",
        "connection_removed",
    ];
    assert_eq!(late, expected);
}

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

/// Found while reading: the panic went through the dispatcher.
#[test]
fn captured_data_that_panics_when_dropped_is_contained() {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("as expected");
        }
    }
    in_time(|| {
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
    in_time(|| {
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
    in_time(|| {
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
        in_time(move || {
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

/// Found while reading: only the innermost manager at work was remembered.
#[test]
fn managers_may_call_each_other_from_their_callbacks() {
    in_time(|| {
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
fn a_callback_that_shuts_down_ends_it_all_and_what_waits_is_delivered() {
    for background in [false, true] {
        in_time(move || {
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
            // Most found no room in the ring.
            for name in (0..10).map(|n| n.to_string()).chain(["db".into()]) {
                let of = told.iter().filter(|event| event.connection() == name);
                assert_eq!(of.count(), 2, "{name}");
            }
            brama.shutdown();
        });
    }
}

/// Found while reading: newcomers were looked for in the table, which a shutdown
/// empties.
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

/// The removal is nobody's business, the change before it was.
#[test]
fn what_a_removed_newcomer_missed_is_counted_when_nobody_wants_its_removal() {
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
