//! Events under load: what holds for any number of producers, slow
//! subscribers and small rings. The memory that events take is in `memory`.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use crate::common::counting::bytes_alive;
use crate::common::events::{all, assert_exact};
use crate::common::random::Random;
use crate::common::{alone, ms, wait_until};
use brama::{Brama, Event, EventQueue, EventType, OpenFor, State};

/// For each connection, the state in the event with the largest sequence number.
#[derive(Clone, Default)]
struct Latest(Arc<Mutex<HashMap<String, (u64, State)>>>);

impl Latest {
    fn note(&self, event: &Event) {
        let mut latest = self.0.lock().expect("no panic");
        let entry = latest.entry(event.connection().to_owned());
        let entry = entry.or_insert((0, State::Unknown));
        // With equal numbers neither event would be the latest.
        assert_ne!(event.sequence(), entry.0, "{event:?}");
        if event.sequence() > entry.0 {
            *entry = (event.sequence(), event.new_state());
        }
    }

    fn of(&self, name: &str) -> Option<State> {
        let latest = self.0.lock().expect("no panic");
        latest.get(name).map(|(_, state)| *state)
    }
}

/// Two producers, half a million operations each: reports, and some changes of state.
fn storm(brama: &Brama, names: &[String]) {
    thread::scope(|scope| {
        for seed in 1..=2_u64 {
            scope.spawn(move || {
                let handles: Vec<_> = names
                    .iter()
                    .map(|name| brama.connection(name).expect("registered"))
                    .collect();
                let mut random = Random::new(seed);
                for _ in 0..500_000 {
                    let db = &handles[random.below(handles.len() as u64) as usize];
                    match random.below(64) {
                        0 => db.open_circuit("storm", OpenFor::Never).expect("there"),
                        1 => db.half_open_circuit().expect("there"),
                        2 => db.reset_circuit().expect("there"),
                        3 => drop(db.acquire()),
                        n if n % 2 == 0 => db.success().expect("there"),
                        _ => drop(db.failure("timeout").expect("there")),
                    }
                }
            });
        }
    });
}

/// One slow subscriber that wants all events, and a ring of eight.
fn million_reports(subscribe: impl FnOnce(&Brama, Latest) -> Box<dyn FnMut()>, slack: isize) {
    let _alone = alone();
    let brama = Brama::builder().event_capacity(8).build().expect("valid");
    let latest = Latest::default();
    let mut settle = subscribe(&brama, latest.clone());
    let names: Vec<_> = (0..20).map(|n| format!("db{n}")).collect();
    for name in &names {
        brama.register(name, None).expect("a new name");
    }
    storm(&brama, &names[..2]);
    let before = bytes_alive();
    storm(&brama, &names);
    let grown = bytes_alive() - before;
    assert!(grown < slack, "{grown} bytes");
    brama.poll();
    brama.poll();
    settle();
    assert_exact(brama.event_counts());
    assert!(brama.event_counts().dropped > 0);
    assert!(brama.event_counts().published > 1_000_000);
    for name in &names {
        assert_eq!(latest.of(name), Some(brama.state(name)), "{name}");
    }
}

#[test]
fn a_million_reports_and_a_slow_callback() {
    million_reports(
        |brama, latest| {
            let slow = move |event: &Event| {
                latest.note(event);
                thread::sleep(std::time::Duration::from_micros(200));
            };
            let subscription = brama.subscribe(all(), slow).expect("running");
            Box::new(move || assert!(!format!("{subscription:?}").is_empty()))
        },
        300_000,
    );
}

#[test]
fn a_million_reports_and_a_queue_that_is_never_drained() {
    million_reports(
        |brama, latest| {
            let queue = brama.subscribe_queue(all(), 16).expect("valid");
            Box::new(move || {
                let told = queue.drain(usize::MAX);
                assert!(told.len() <= 16 + 20 * 11, "{}", told.len());
                told.iter().for_each(|event| latest.note(event));
            })
        },
        300_000,
    );
}

/// Several kinds of subscribers at once. Each gets
/// an event with the final state of each connection.
#[test]
fn every_subscriber_receives_every_final_state() {
    let _alone = alone();
    for round in 0..10 {
        let brama = Brama::builder().event_capacity(8).build().expect("valid");
        let seen: [Latest; 5] = Default::default();
        let [each, batched, drained, late, changes] = seen.clone();
        let _each = brama.subscribe(all(), move |event| each.note(event));
        let _batched = brama.subscribe_batched(all(), 7, move |events| {
            events.iter().for_each(|event| batched.note(event));
        });
        let _panics = brama.subscribe(all().types([EventType::Registration]), |_| panic!("no"));
        let types = [EventType::StateChange, EventType::Registration];
        let _changes = brama.subscribe(all().types(types), move |event| changes.note(event));
        let busy = brama.subscribe_queue(all(), 5).expect("valid");
        let lazy = brama.subscribe_queue(all(), 5).expect("valid");
        let names: Vec<_> = (0..9).map(|n| format!("db{n}")).collect();
        for name in &names {
            brama.register(name, None).expect("a new name");
        }
        let stop = AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    busy.drain(3).iter().for_each(|event| drained.note(event));
                }
            });
            thread::scope(|scope| {
                for producer in 0..2 {
                    let (brama, names) = (&brama, &names);
                    scope.spawn(move || {
                        for n in 0..2_000 {
                            let name = &names[(n * (producer + 1)) % names.len()];
                            match (n + round) % 3 {
                                0 => brama.open_circuit(name, None, OpenFor::Never),
                                1 => brama.half_open_circuit(name),
                                _ => brama.close_circuit(name),
                            }
                            .expect("registered");
                        }
                    });
                }
            });
            brama.poll();
            brama.poll();
            stop.store(true, Ordering::Relaxed);
        });
        busy.drain(usize::MAX)
            .iter()
            .for_each(|event| drained.note(event));
        lazy.drain(usize::MAX)
            .iter()
            .for_each(|event| late.note(event));
        for (n, latest) in seen.iter().enumerate() {
            for name in &names {
                assert_eq!(latest.of(name), Some(brama.state(name)), "{n} {name}");
            }
        }
    }
}

#[test]
fn subscribing_and_unsubscribing_on_two_threads_while_events_flow() {
    let _alone = alone();
    let brama = Brama::builder().event_capacity(64).build().expect("valid");
    let db = brama.register("db", None).expect("a new name");
    let steady = Arc::new(AtomicU64::new(0));
    let count = steady.clone();
    let resets = all().types([EventType::CircuitReset]);
    let _steady = brama.subscribe(resets, move |_| {
        count.fetch_add(1, Ordering::Relaxed);
    });
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                db.failure("timeout").expect("registered");
                db.reset_circuit().expect("registered");
                brama.register("passing", None).expect("a new name");
                brama.unregister("passing").expect("registered");
            }
        });
        let storms: Vec<_> = (0..2)
            .map(|_| {
                scope.spawn(|| {
                    for n in 0..2_000 {
                        let held = Arc::new(AtomicU32::new(0));
                        let (over, seen) = (Arc::new(AtomicBool::new(false)), held.clone());
                        let ended = over.clone();
                        let subscription = brama
                            .subscribe(all(), move |_| {
                                assert!(!ended.load(Ordering::SeqCst), "after the end");
                                seen.fetch_add(1, Ordering::Relaxed);
                            })
                            .expect("running");
                        let queue = brama.subscribe_queue(all(), 4).expect("valid");
                        if n % 8 == 0 {
                            let heard = || held.load(Ordering::Relaxed) > 0;
                            wait_until("it is heard", heard);
                        }
                        subscription.unsubscribe();
                        over.store(true, Ordering::SeqCst);
                        assert_eq!(Arc::strong_count(&held), 1, "its data is gone");
                        drop(queue);
                    }
                })
            })
            .collect();
        for storm in storms {
            storm.join().expect("no panic");
        }
        stop.store(true, Ordering::Relaxed);
    });
    brama.poll();
    assert_eq!(brama.event_counts().panics, 0);
    assert!(steady.load(Ordering::Relaxed) > 0, "the others were served");
}

/// A handle, a pattern and the callback itself unsubscribe at once.
#[test]
fn whoever_returns_from_unsubscribing_finds_the_callback_gone() {
    let _alone = alone();
    let brama = Brama::builder().build().expect("valid");
    let db = brama.register("db", None).expect("a new name");
    for round in 0..500 {
        let held = Arc::new(());
        let (data, manager) = (held.clone(), brama.clone());
        let subscription = brama
            .subscribe(all().connection("db"), move |_| {
                let _held = &data;
                if round % 3 == 0 {
                    manager.unsubscribe(&all());
                }
            })
            .expect("running");
        for _ in 0..round % 7 {
            db.success().expect("registered");
        }
        thread::scope(|scope| {
            scope.spawn(|| {
                brama.unsubscribe(&all());
                if round % 3 != 0 {
                    assert_eq!(Arc::strong_count(&held), 1, "by pattern, {round}");
                }
            });
            subscription.unsubscribe();
            assert_eq!(Arc::strong_count(&held), 1, "by handle, {round}");
        });
    }
}

#[test]
fn managers_that_end_while_events_flow_deliver_and_let_go() {
    let _alone = alone();
    for round in 0..200 {
        let brama = Brama::builder()
            .event_capacity(8)
            .background(round % 2 == 0)
            .build()
            .expect("valid");
        let db = brama.register("db", None).expect("a new name");
        let held = Arc::new(());
        let data = held.clone();
        let own = brama.subscribe(all(), move |_| drop(data.clone()));
        own.expect("running").detach();
        let queue: EventQueue = brama.subscribe_queue(all(), 4).expect("valid");
        db.failure("timeout").expect("registered");
        thread::scope(|scope| {
            scope.spawn(|| while db.failure("timeout").is_ok() {});
            scope.spawn(|| while queue.next_timeout(ms(1)).is_some() || !queue.is_closed() {});
            scope.spawn(|| {
                if round % 4 < 2 {
                    thread::yield_now();
                }
                brama.shutdown();
                assert_eq!(Arc::strong_count(&held), 1, "{round}");
            });
        });
        let counts = brama.event_counts();
        assert!(counts.published > 0 && queue.is_closed(), "{counts:?}");
    }
}
