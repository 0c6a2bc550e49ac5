//! Bursts: several events that the dispatcher gives to a queue at a time. And what may
//! come between them: wakes, callbacks, and subscribers that come and go during a round.

use std::sync::{Arc, Mutex, mpsc};

use crate::common::events::{all, assert_exact, kinds, queue_of};
use crate::common::{fail, manager, ms};
use brama::{Brama, Event, EventFilter, EventQueue, EventType};

fn successes() -> EventFilter {
    EventFilter::new().types([EventType::Success])
}

/// How often the descriptor was made readable since it was last read. Reads it.
#[cfg(target_os = "linux")]
fn wakes(queue: &EventQueue) -> u64 {
    let descriptor = queue.as_raw_fd().expect("a descriptor");
    let mut count = 0_u64;
    // SAFETY: the call writes eight bytes at most, and `count` has eight.
    match unsafe { libc::read(descriptor, (&raw mut count).cast(), 8) } {
        8 => count,
        _ => 0,
    }
}

/// The host is woken once, whether events wait in order or were put aside.
///
/// Mutation: `a-wake-for-each-event`.
#[cfg(target_os = "linux")]
#[test]
fn a_descriptor_that_is_readable_is_not_made_readable_again() {
    // A queue with room for one event puts all others aside.
    for capacity in [1, 4, 1_000] {
        let (brama, _clock) = manager();
        let queue = queue_of(&brama, capacity);
        assert_eq!(wakes(&queue), 0);
        let db = brama.register("db", None).expect("a new name");
        brama.poll();
        for _ in 0..3 {
            fail(&db, 100);
            db.reset_circuit().expect("registered");
            brama.poll();
        }
        assert_eq!(wakes(&queue), 1, "{capacity}");
        // The next event comes to an empty queue.
        queue.drain(usize::MAX);
        fail(&db, 1);
        brama.poll();
        assert_eq!(wakes(&queue), 1, "{capacity}");
    }
}

/// The dispatcher makes one wake for a burst. Each thread that takes an event wakes the next thread.
///
/// Mutation: `taking-without-passing-on`.
#[test]
fn events_of_one_lot_wake_as_many_as_there_are() {
    use crate::common::threads::asleep;

    for background in [true, false] {
        let brama = Brama::builder().background(background).build().unwrap();
        let db = brama.register("db", None).unwrap();
        // Holds the dispatcher until all events have happened, so that they come in one burst.
        let (release, released) = mpsc::channel::<()>();
        let held = EventFilter::new().types([EventType::CircuitReset]);
        let _holds = brama.subscribe(held, move |_| {
            let _ = released.recv();
        });
        let queue = Arc::new(brama.subscribe_queue(successes(), 100).unwrap());
        let takers = [(); 8].map(|()| {
            let queue = queue.clone();
            asleep(move || queue.next_timeout(ms(60_000)))
        });
        if background {
            db.reset_circuit().unwrap();
        }
        for _ in 0..8 {
            db.success().unwrap();
        }
        drop(release);
        let taken = takers.map(|taker| taker.recv_timeout(ms(60_000)).expect("it wakes"));
        assert!(taken.iter().all(Option::is_some));
    }
}

#[test]
fn more_than_a_lot_comes_whole_and_in_order() {
    let (brama, _clock) = manager();
    let everything = queue_of(&brama, 10_000);
    let one = EventFilter::new().connection("one");
    let one = brama.subscribe_queue(one, 10_000).expect("valid");
    let of_type = brama.subscribe_queue(successes(), 10_000).expect("valid");
    let connections = ["one", "two"].map(|name| brama.register(name, None).expect("a new name"));
    for turn in 0..200 {
        let connection = &connections[turn / 3 % 2];
        match turn % 7 {
            0 => connection.reset_circuit().expect("registered"),
            _ => connection.success().expect("registered"),
        }
    }
    brama.poll();
    let [everything, one, of_type] = [everything, one, of_type].map(|queue| queue.drain(9_999));
    assert_eq!(everything.len(), 2 * 2 + 200);
    let sequences = |events: &[Event]| -> Vec<_> { events.iter().map(Event::sequence).collect() };
    let expected = |wanted: &dyn Fn(&&Event) -> bool| -> Vec<_> {
        let events = everything.iter().filter(wanted);
        events.map(Event::sequence).collect()
    };
    assert!(sequences(&everything).is_sorted_by(|one, next| one < next));
    assert_eq!(
        sequences(&one),
        expected(&|event| event.connection() == "one")
    );
    assert_eq!(
        sequences(&of_type),
        expected(&|event| event.event_type() == EventType::Success)
    );
    assert_eq!(
        brama.event_counts().delivered as usize,
        everything.len() + one.len() + of_type.len()
    );
}

/// Mutation: `user-code-before-the-burst`.
#[test]
fn a_queue_does_not_wait_for_a_callback() {
    let (brama, _clock) = manager();
    let queue = Arc::new(Mutex::new(None::<EventQueue>));
    let (theirs, seen) = (queue.clone(), Arc::new(Mutex::new(Vec::new())));
    let sees = seen.clone();
    let _first = brama.subscribe(successes(), move |_| {
        let queue = theirs.lock().expect("no panic");
        let waiting = queue.as_ref().expect("it is there").drain(100).len();
        sees.lock().expect("no panic").push(waiting);
    });
    *queue.lock().expect("no panic") = Some(queue_of(&brama, 100));
    let db = brama.register("db", None).expect("a new name");
    for _ in 0..2 {
        db.reset_circuit().expect("registered");
        db.success().expect("registered");
    }
    brama.poll();
    // At the first success: the registration's two events, the reset,
    // and the success. At the second: the reset and the success.
    assert_eq!(*seen.lock().expect("no panic"), [4, 2]);
}

#[test]
fn a_queue_that_a_callback_ends_gets_what_came_before() {
    let (brama, _clock) = manager();
    let queue = Arc::new(queue_of(&brama, 100));
    let theirs = queue.clone();
    let mut left = 2;
    let _ends = brama.subscribe(successes(), move |_| {
        left -= 1;
        if left == 0 {
            theirs.close();
        }
    });
    let db = brama.register("db", None).expect("a new name");
    for _ in 0..5 {
        db.success().expect("registered");
    }
    brama.poll();
    let heard = queue.drain(100);
    assert_eq!(kinds(&heard[2..]), ["success"; 2]);
}

#[test]
fn a_queue_that_a_callback_makes_receives_the_next_event() {
    let (brama, _clock) = manager();
    let made = Arc::new(Mutex::new(Vec::new()));
    let (makes, theirs) = (made.clone(), brama.clone());
    let _makes = brama.subscribe(successes(), move |_| {
        let queue = theirs.subscribe_queue(successes(), 100).expect("valid");
        makes.lock().expect("no panic").push(queue);
    });
    let db = brama.register("db", None).expect("a new name");
    for _ in 0..4 {
        db.success().expect("registered");
    }
    brama.poll();
    let made = made.lock().expect("no panic");
    let heard: Vec<_> = made.iter().map(|queue| queue.drain(100).len()).collect();
    assert_eq!(heard, [3, 2, 1, 0]);
}

/// A burst counts as many events as it has.
#[test]
fn a_lot_that_does_not_fit_is_counted_exactly() {
    let (brama, _clock) = manager();
    let queue = brama.subscribe_queue(all(), 10).expect("valid");
    let db = brama.register("db", None).expect("a new name");
    for _ in 0..20 {
        db.success().expect("registered");
        db.reset_circuit().expect("registered");
    }
    brama.poll();
    let counts = brama.event_counts();
    assert_exact(counts);
    // The registration's two events and eight more wait.
    // The last of the other resets stands for all of them.
    assert_eq!((counts.dropped, counts.coalesced), (16, 15));
    let heard = queue.drain(100);
    assert_eq!(heard.len(), 11);
    assert!(heard[10].is_coalesced());
}
