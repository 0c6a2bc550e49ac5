//! A long storm, and afterwards a comparison of two logs: what surely happened,
//! as the threads that did it noted it, and the events that each subscriber got.
//! The ring is small, the callback is slow, the queue has room for one event,
//! threads are stopped at random instructions, and subscribers come and go.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use crate::common::alone;
use crate::common::events::all;
use crate::common::preempt::{self, Preempted};
use crate::common::random::Random;
use brama::{Brama, Connection, Event, EventType, OpenFor, State};

/// How many operations each of three threads does.
const ROUNDS: u64 = 40_000;

/// The events that a subscriber got, in order.
#[derive(Clone, Default)]
struct Heard(Arc<Mutex<Vec<Event>>>);

impl Heard {
    fn note(&self, events: &[Event]) {
        self.0.lock().expect("no panic").extend_from_slice(events);
    }

    fn by_name(&self) -> HashMap<String, Vec<Event>> {
        let mut by_name: HashMap<_, Vec<_>> = HashMap::new();
        for event in self.0.lock().expect("no panic").iter() {
            let events = by_name.entry(event.connection().to_owned()).or_default();
            events.push(event.clone());
        }
        by_name
    }
}

/// What surely happened to one connection. No two connections ever have the same name.
struct Done {
    name: String,
    removed: bool,
}

/// Registers connections, operates on them and on those
/// of other threads, and removes most of its own again.
fn work(brama: &Brama, worker: u64, shared: &Mutex<Vec<Connection>>, rounds: u64) -> Vec<Done> {
    let mut random = Random::new(worker);
    let mut log = Vec::new();
    let mut mine: Vec<(usize, Connection)> = Vec::new();
    for round in 0..rounds {
        if random.below(8) == 0 {
            thread::yield_now();
        }
        match random.below(8) {
            0 | 1 => {
                let name = format!("{worker}-{round}");
                let db = brama.register(&name, None).expect("a new name");
                if random.below(4) == 0 {
                    let mut shared = shared.lock().expect("no panic");
                    let place = random.below(16) as usize;
                    match shared.get_mut(place) {
                        Some(shared) => *shared = db.clone(),
                        None => shared.push(db.clone()),
                    }
                }
                mine.push((log.len(), db));
                let removed = false;
                log.push(Done { name, removed });
            }
            2 if mine.len() > 3 => {
                let place = random.below(mine.len() as u64) as usize;
                let (number, _) = mine.swap_remove(place);
                let done = &mut log[number];
                brama.unregister(&done.name).expect("registered");
                done.removed = true;
            }
            choice => {
                let others = shared.lock().expect("no panic");
                let other = others.get(random.below(16) as usize).cloned();
                drop(others);
                let own = mine.last().map(|(_, db)| db.clone());
                let Some(db) = (if choice < 5 { own } else { other }) else {
                    continue;
                };
                // The connection may have been removed.
                let _ = match random.below(6) {
                    0 => db.open_circuit("storm", OpenFor::Never),
                    1 => db.half_open_circuit(),
                    2 => db.close_circuit(),
                    3 => db.reset_circuit(),
                    4 => db.success(),
                    _ => db.failure("timeout").map(|_| ()),
                };
            }
        }
        // Bounds the number of connections that stay.
        if mine.len() > 20 {
            let (number, _) = mine.swap_remove(0);
            let done = &mut log[number];
            brama.unregister(&done.name).expect("registered");
            done.removed = true;
        }
    }
    log
}

/// Checks the events that one subscriber got, and returns of how many connections it
/// got none. `from_the_beginning`: it has subscribed before the first registration.
fn check(who: &str, heard: &Heard, log: &[Done], brama: &Brama, from_the_beginning: bool) -> u64 {
    use EventType::{
        ConnectionRegistered, ConnectionRemoved, ConnectionUnregistered, Registration,
    };
    let by_name = heard.by_name();
    let mut unheard = 0;
    for Done { name, removed } in log {
        let Some(events) = by_name.get(name) else {
            assert!(
                *removed || !from_the_beginning,
                "{who} never heard of {name}, which is there"
            );
            unheard += 1;
            continue;
        };
        let story = || {
            let line = |event: &Event| {
                let late = if event.is_coalesced() { "~" } else { "" };
                let kind = event.event_type();
                format!("{} {late}{kind} {}", event.sequence(), event.new_state())
            };
            let lines: Vec<_> = events.iter().map(line).collect();
            format!("{who} of {name}: {}", lines.join("; "))
        };
        let place = |kind| {
            let mut places = (0..events.len()).filter(|n| events[*n].event_type() == kind);
            let place = places.next();
            assert!(places.next().is_none(), "{kind} twice: {}", story());
            place
        };
        let grow = events
            .windows(2)
            .all(|two| two[0].sequence() < two[1].sequence());
        assert!(grow, "numbers go back: {}", story());
        let came = [place(Registration), place(ConnectionRegistered)];
        let went = [place(ConnectionUnregistered), place(ConnectionRemoved)];
        if from_the_beginning || came != [None, None] {
            assert_eq!(came, [Some(0), Some(1)], "not first: {}", story());
        }
        let last = events.last().expect("some");
        if *removed {
            let told = went.map(|place| place.is_some());
            let wanted = came != [None, None];
            assert!(!wanted || told == [true, true], "not its end: {}", story());
            let end = went[1].unwrap_or(usize::MAX);
            let mut after = events.iter().skip(end);
            assert!(
                after.all(|event| event.new_state() == State::Unknown),
                "alive after its end: {}",
                story()
            );
        } else {
            assert_eq!(went, [None, None], "it is there: {}", story());
            let state = brama.state(name.as_str());
            assert_eq!(last.new_state(), state, "{}", story());
            let mut changes = events
                .iter()
                .filter(|event| event.event_type() == EventType::StateChange);
            let changed = changes.next_back().map(Event::new_state);
            if from_the_beginning && (changed.is_some() || state != State::Closed) {
                assert_eq!(changed, Some(state), "{}", story());
            }
        }
    }
    unheard
}

/// A storm with three subscribers that want all events
/// from the beginning, and some that come later.
fn marathon(background: bool, capacity: usize, rounds: u64) {
    let _alone = alone();
    let stops_before = preempt::stops();
    let brama = Brama::builder()
        .event_capacity(capacity)
        .background(background)
        .inactive_threshold(None)
        .build()
        .expect("valid");
    let [by_callback, in_batches, queued] = [(); 3].map(|()| Heard::default());
    let (slow, calls) = (by_callback.clone(), AtomicU64::new(0));
    let _callback = brama.subscribe(all(), move |event| {
        slow.note(std::slice::from_ref(event));
        if calls.fetch_add(1, Ordering::Relaxed).is_multiple_of(16) {
            thread::sleep(Duration::from_micros(50));
        }
    });
    let batch = in_batches.clone();
    let _batches = brama.subscribe_batched(all(), 3, move |events| batch.note(events));
    let queue = brama.subscribe_queue(all(), 1).expect("valid");
    let shared = Mutex::new(Vec::new());
    let over = AtomicBool::new(false);
    let (mut log, mut later) = (Vec::new(), Vec::new());
    thread::scope(|scope| {
        let workers: Vec<_> = (1..=3)
            .map(|worker| {
                let (brama, shared) = (&brama, &shared);
                scope.spawn(move || {
                    let _stopped = Preempted::here(worker);
                    work(brama, worker, shared, rounds)
                })
            })
            .collect();
        scope.spawn(|| {
            let _stopped = Preempted::here(77);
            while !over.load(Ordering::Relaxed) {
                queued.note(&queue.drain(2));
                if background {
                    thread::yield_now();
                } else {
                    brama.poll();
                }
            }
        });
        // They come one after the other. A few stay, and the others end
        // at once. One in four wants only registrations, and no removals.
        let subscribers = scope.spawn(|| {
            let _stopped = Preempted::here(99);
            let mut stay = Vec::new();
            let mut round = 0_u64;
            while !over.load(Ordering::Relaxed) {
                round += 1;
                let heard = Heard::default();
                let write = heard.clone();
                let filter = match round % 4 {
                    0 => all().types([EventType::Registration]),
                    _ => all(),
                };
                let subscription = brama.subscribe(filter, move |event| {
                    write.note(std::slice::from_ref(event));
                });
                let subscription = subscription.expect("running");
                if round % 8 == 1 && stay.len() < 6 {
                    stay.push((subscription, heard));
                }
            }
            stay
        });
        for worker in workers {
            log.extend(worker.join().expect("no panic"));
        }
        over.store(true, Ordering::Relaxed);
        later.extend(subscribers.join().expect("no panic"));
    });
    for _ in 0..4 {
        brama.poll();
    }
    queued.note(&queue.drain(usize::MAX));
    let stops = preempt::stops() - stops_before;
    assert!(stops > 100, "no thread was stopped");
    let unheard = [
        check("the callback", &by_callback, &log, &brama, true),
        check("the batch", &in_batches, &log, &brama, true),
        check("the queue", &queued, &log, &brama, true),
    ];
    for (_, heard) in &later {
        check("a late subscriber", heard, &log, &brama, false);
    }
    let heard = by_callback.0.lock().expect("no panic").len();
    println!(
        "{} connections, {unheard:?} unheard, {heard} events, {stops} stops, {:?}",
        log.len(),
        brama.event_counts()
    );
    assert_eq!(brama.event_counts().panics, 0);
    assert_eq!(unheard[0], unheard[1], "the same thread delivers to both");
}

/// With the smallest ring, subscribers get no event of nearly all connections.
/// With larger ones they get events of most, and late and ordinary events mix.
const CAPACITIES: [usize; 3] = [2, 16, 128];

#[test]
fn what_surely_happened_is_received_by_every_subscriber() {
    for capacity in CAPACITIES {
        marathon(true, capacity, ROUNDS);
    }
}

/// Without a driver, test threads dispatch, so the
/// dispatcher is stopped at random instructions, too.
#[test]
fn what_surely_happened_is_received_though_the_dispatcher_is_stopped() {
    for capacity in CAPACITIES {
        marathon(false, capacity, ROUNDS);
    }
}
