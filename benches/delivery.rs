//! What delivery costs the dispatcher: `cargo bench -p brama-bench --bench delivery`.
//!
//! The manager has no background thread. The bench polls, so it is the dispatcher, and it times
//! only the polls, not the reports before or the drains after. One part delivers one event at a
//! time: to queues on which no thread sleeps, to queues whose descriptors are made readable, and
//! to queues on each of which a thread sleeps. The other part delivers a batch to queues. Its
//! floor is the time to make things of an event's size and push them one by one behind a lock.

mod race;

use std::collections::VecDeque;
use std::hint::black_box;
use std::os::fd::RawFd;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use brama::{Brama, Connection, EventFilter, EventQueue, EventType};
use race::{Race, stay_on};

/// More than is ever reported before a poll.
const ROOM: usize = 1_024;
const BATCH: u64 = 256;
const MOST: usize = 64;

struct Listened {
    brama: Brama,
    queues: Vec<EventQueue>,
    connection: Connection,
}

impl Listened {
    fn new(queues: usize) -> Self {
        let brama = Brama::builder().background(false).build().unwrap();
        let filter = || EventFilter::new().types([EventType::Success]);
        let queues = (0..queues).map(|_| brama.subscribe_queue(filter(), ROOM));
        Listened {
            queues: queues.collect::<Result<_, _>>().unwrap(),
            connection: brama.register("db", None).unwrap(),
            brama,
        }
    }

    /// The same, with a descriptor for each queue.
    fn with_descriptors(queues: usize) -> Self {
        let listened = Self::new(queues);
        for queue in &listened.queues {
            queue.as_raw_fd().expect("descriptors are left");
        }
        listened
    }

    /// Returns the time of a poll that delivers so many events.
    fn deliver(&self, events: u64) -> Duration {
        for _ in 0..events {
            self.connection.success().expect("registered");
        }
        let start = Instant::now();
        self.brama.poll();
        start.elapsed()
    }

    /// Returns the time of so many deliveries, in batches. The queues are drained after each batch.
    fn in_batches(&self, events: u64, batch: u64) -> Duration {
        let mut elapsed = Duration::ZERO;
        let mut left = events;
        while left > 0 {
            let next = left.min(batch);
            elapsed += self.deliver(next);
            self.drain();
            left -= next;
        }
        elapsed
    }

    /// Returns the time of so many deliveries, one event at a time, into queues
    /// where other events wait. The queues are drained when they are half full.
    fn one_by_one(&self, events: u64) -> Duration {
        let mut elapsed = Duration::ZERO;
        for event in 0..events {
            if event % (ROOM as u64 / 2) == 0 {
                self.drain();
                self.deliver(1);
            }
            elapsed += self.deliver(1);
        }
        self.drain();
        elapsed
    }

    fn drain(&self) {
        for queue in &self.queues {
            drop(black_box(queue.drain(ROOM)));
        }
    }
}

/// Returns the time of so many deliveries to sleeping threads, one on the descriptor of each
/// queue. They take no events, since a thread that takes also polls. The bench drains the queues.
fn to_sleepers(listened: &Listened, events: u64) -> Duration {
    let round = &AtomicU64::new(0);
    let woken = &AtomicU64::new(0);
    let nap = Duration::from_micros(50);
    let count = listened.queues.len() as u64;
    thread::scope(|scope| {
        for queue in &listened.queues {
            scope.spawn(move || {
                stay_on(1);
                let descriptor = queue.as_raw_fd().expect("descriptors are left");
                for now in 0..events {
                    while !readable(descriptor) {}
                    woken.fetch_add(1, Ordering::Release);
                    while round.load(Ordering::Acquire) == now {
                        thread::sleep(nap);
                    }
                }
            });
        }
        let mut elapsed = Duration::ZERO;
        for now in 0..events {
            // Until all of them sleep.
            thread::sleep(Duration::from_millis(1));
            elapsed += listened.deliver(1);
            while woken.load(Ordering::Acquire) < (now + 1) * count {
                thread::sleep(nap);
            }
            listened.drain();
            round.store(now + 1, Ordering::Release);
        }
        elapsed
    })
}

fn readable(descriptor: RawFd) -> bool {
    let mut wait = libc::pollfd {
        fd: descriptor,
        events: libc::POLLIN,
        revents: 0,
    };
    // SAFETY: one valid `pollfd`.
    unsafe { libc::poll(&mut wait, 1, 1_000) == 1 }
}

/// As many bytes as an event has, with what it shares.
type Made = Box<[u64; 24]>;

/// Returns the time to make so many things of an event's size, and
/// to push them one by one behind a lock that no other thread wants.
fn bare_pushes(queue: &Mutex<VecDeque<Made>>, events: u64) -> Duration {
    let mut elapsed = Duration::ZERO;
    let mut left = events;
    while left > 0 {
        let next = left.min(BATCH);
        let start = Instant::now();
        for turn in 0..next {
            let made = Box::new(black_box([turn; 24]));
            queue.lock().expect("no panic").push_back(made);
        }
        elapsed += start.elapsed();
        queue.lock().expect("no panic").clear();
        left -= next;
    }
    elapsed
}

fn main() {
    let some = [1, 8, MOST].map(Listened::new);
    let [one, _, many] = &some;
    let described = &Listened::with_descriptors(MOST);
    let length = Duration::from_millis(2);
    let mut race = Race::new("one event to queues").laps(31, length);
    for listened in &some {
        let name = listened.queues.len().to_string();
        race = race.custom(&name, |events| listened.one_by_one(events));
    }
    race.custom("64, a readable descriptor each", |events| {
        described.one_by_one(events)
    })
    .custom("64, a descriptor each", |events| {
        described.in_batches(events, 1)
    })
    .run();
    Race::new("one event to sleepers")
        .laps(5, length)
        .custom("64 threads, one to a descriptor", |events| {
            to_sleepers(described, events)
        })
        .run();
    let queue = Mutex::new(VecDeque::new());
    Race::new("a batch of 256, for each event")
        .laps(31, length)
        .custom("floor: made and pushed behind a lock", |events| {
            bare_pushes(&queue, events)
        })
        .custom("to 1 queue", |events| one.in_batches(events, BATCH))
        .custom("to 64 queues", |events| many.in_batches(events, BATCH))
        .run();
    let lost = |listened: &Listened| listened.brama.event_counts().dropped;
    let all = some.iter().chain([described]);
    assert_eq!(all.map(lost).sum::<u64>(), 0, "ring and queues have room");
}
