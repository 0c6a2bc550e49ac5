//! What events cost the reporter: `cargo bench -p brama-bench --bench events`.
//!
//! The ring is private to the crate, so this bench compiles its source again.

mod race;

/// The crate's own files, as they are.
#[allow(dead_code, unused_imports, unused_macros)]
#[path = "../src/structures"]
mod structures {
    pub(crate) mod ring;
}
#[allow(dead_code, unused_imports, unused_macros)]
#[path = "../src/sys"]
mod sys {
    pub(crate) mod atomic;
}

use std::hint::black_box;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use brama::{Brama, Connection, EventFilter, EventType};
use concurrent_queue::ConcurrentQueue;
use criterion::{Criterion, criterion_group, criterion_main};
use crossbeam_queue::ArrayQueue;
use race::{Gate, Race, criterion, stay_on};
use structures::ring::Ring;
use thingbuf::ThingBuf;

const CAPACITY: usize = 1_024;

/// 64 bytes, the size that the targets name.
type Element = [u64; 8];

trait Queue: Sync {
    fn push(&self, element: Element) -> Result<(), Element>;
    fn pop(&self) -> Option<Element>;
}

impl Queue for Ring<Element> {
    #[inline]
    fn push(&self, element: Element) -> Result<(), Element> {
        Ring::push(self, element)
    }

    #[inline]
    fn pop(&self) -> Option<Element> {
        Ring::pop(self)
    }
}

impl Queue for ArrayQueue<Element> {
    #[inline]
    fn push(&self, element: Element) -> Result<(), Element> {
        ArrayQueue::push(self, element)
    }

    #[inline]
    fn pop(&self) -> Option<Element> {
        ArrayQueue::pop(self)
    }
}

impl Queue for ThingBuf<Element> {
    #[inline]
    fn push(&self, element: Element) -> Result<(), Element> {
        ThingBuf::push(self, element).map_err(thingbuf::Full::into_inner)
    }

    #[inline]
    fn pop(&self) -> Option<Element> {
        ThingBuf::pop(self)
    }
}

impl Queue for ConcurrentQueue<Element> {
    #[inline]
    fn push(&self, element: Element) -> Result<(), Element> {
        ConcurrentQueue::push(self, element).map_err(concurrent_queue::PushError::into_inner)
    }

    #[inline]
    fn pop(&self) -> Option<Element> {
        ConcurrentQueue::pop(self).ok()
    }
}

/// A push and a pop by the same thread.
fn to_and_fro(queue: &impl Queue, turn: u64) -> Option<Element> {
    let pushed = queue.push(black_box([turn; 8]));
    debug_assert!(pushed.is_ok());
    queue.pop()
}

/// Returns the time of the pushes alone, into a queue that has room.
fn push_only(queue: &impl Queue, iterations: u64) -> Duration {
    let mut elapsed = Duration::ZERO;
    let mut left = iterations;
    while left > 0 {
        let batch = left.min(CAPACITY as u64);
        let start = Instant::now();
        for turn in 0..batch {
            let _ = black_box(queue.push(black_box([turn; 8])));
        }
        elapsed += start.elapsed();
        while queue.pop().is_some() {}
        left -= batch;
    }
    elapsed
}

/// Returns the time until one consumer has everything. Each producer
/// is on a core of its own, and tries again while the queue is full.
fn through(producers: u64, queue: &impl Queue, iterations: u64) -> Duration {
    let each = iterations.div_ceil(producers);
    let gate = &Gate::new(producers as usize + 1);
    thread::scope(|scope| {
        for producer in 0..producers as usize {
            scope.spawn(move || {
                stay_on(producer);
                gate.pass();
                for turn in 0..each {
                    let mut element = [turn; 8];
                    while let Err(refused) = queue.push(element) {
                        element = refused;
                        thread::yield_now();
                    }
                }
            });
        }
        let consumer = scope.spawn(move || {
            gate.pass();
            let start = Instant::now();
            let mut sum = 0;
            for _ in 0..each * producers {
                let element = loop {
                    match queue.pop() {
                        Some(element) => break element,
                        None => thread::yield_now(),
                    }
                };
                sum += element[7];
            }
            assert_eq!(sum, producers * (each * (each - 1) / 2));
            start.elapsed()
        });
        consumer.join().expect("everything arrives")
    })
}

fn ring(criterion: &mut Criterion) {
    let queues = (
        &Ring::<Element>::new(CAPACITY),
        &ArrayQueue::<Element>::new(CAPACITY),
        &ThingBuf::<Element>::new(CAPACITY),
        &ConcurrentQueue::<Element>::bounded(CAPACITY),
    );
    Race::new("ring, push")
        .custom("brama", |n| push_only(queues.0, n))
        .custom("crossbeam ArrayQueue", |n| push_only(queues.1, n))
        .custom("thingbuf", |n| push_only(queues.2, n))
        .custom("concurrent-queue", |n| push_only(queues.3, n))
        .run_with(criterion);
    Race::new("ring, push + pop")
        .one("brama", |turn| to_and_fro(queues.0, turn))
        .one("crossbeam ArrayQueue", |turn| to_and_fro(queues.1, turn))
        .one("thingbuf", |turn| to_and_fro(queues.2, turn))
        .one("concurrent-queue", |turn| to_and_fro(queues.3, turn))
        .run_with(criterion);
    Race::new("ring, 2 producers 1 consumer")
        .custom("brama", |n| through(2, queues.0, n))
        .custom("crossbeam ArrayQueue", |n| through(2, queues.1, n))
        .custom("thingbuf", |n| through(2, queues.2, n))
        .custom("concurrent-queue", |n| through(2, queues.3, n))
        .run_with(criterion);
}

/// A manager with a subscriber for each filter, and its connection `db`.
fn manager(filters: impl IntoIterator<Item = EventFilter>) -> (Brama, Connection) {
    let brama = Brama::builder().build().unwrap();
    for filter in filters {
        brama.subscribe(filter, |_| {}).unwrap().detach();
    }
    let connection = brama.register("db", None).unwrap();
    (brama, connection)
}

/// A success without subscribers, with subscribers that
/// do not want it, and with a subscriber that does.
fn report(criterion: &mut Criterion) {
    let (_silent, unwatched) = manager([]);
    let (_typed, other_type) = manager([EventFilter::new()
        .connection("db")
        .types([EventType::StateChange])]);
    let (_named, others) =
        manager((0..10).map(|i| EventFilter::new().connection(format!("db_{i}"))));
    let (listening, drained) = manager([]);
    let (dropping, full) = manager([]);
    // This queue lives as long as its manager, and is never drained.
    let _full = dropping
        .subscribe_queue(EventFilter::new().types([EventType::Success]), 16)
        .unwrap();
    let queue = listening
        .subscribe_queue(EventFilter::new().types([EventType::Success]), 1 << 16)
        .unwrap();
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                queue.next_timeout(Duration::from_millis(10));
                black_box(queue.drain(1 << 12));
            }
        });
        let call =
            |connection: &Connection| black_box(connection).acquire().unwrap().success().is_ok();
        Race::new("report, success")
            .one("no subscriber", |_| black_box(&unwatched).success().is_ok())
            .one("one wants another type", |_| {
                black_box(&other_type).success().is_ok()
            })
            .one("ten want other connections", |_| {
                black_box(&others).success().is_ok()
            })
            .run_with(criterion);
        Race::new("report, acquire + success")
            .one("no subscriber", |_| call(&unwatched))
            .one("one wants another type", |_| call(&other_type))
            .one("ten want other connections", |_| call(&others))
            .run_with(criterion);
        Race::new("report, to subscribers")
            .one("no subscriber", |_| call(&unwatched))
            .one("a queue drained by another thread", |_| call(&drained))
            .one("a queue that stays full", |_| call(&full))
            .run_with(criterion);
        done.store(true, Ordering::Relaxed);
    });
    for (what, brama) in [("drained", &listening), ("full", &dropping)] {
        println!(
            "events of the queue that is {what}: {:?}",
            brama.event_counts()
        );
    }
}

criterion_group! {
    name = benches;
    config = criterion();
    targets = ring, report
}
criterion_main!(benches);
