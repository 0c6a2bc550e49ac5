//! How long an event takes to its subscriber: `cargo bench -p brama-bench --bench latency`.
//!
//! The time from just before a failure is reported until the subscriber has its event. The
//! subscriber is a callback, a thread in `next_timeout`, or a thread that waits for the
//! queue's file descriptor, as event loops do. There is one event at a time, with pauses, so
//! all threads sleep when it comes. The floors are the costs of waking a thread without brama:
//! by a channel of the standard library, and by an `eventfd`. The contestants take turns.

mod race;

use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use brama::{Brama, Connection, EventFilter, EventQueue, EventType};
use race::results;
use serde_json::{Value, json};

const SAMPLES: usize = 8_000;

/// The pause between two events, in which all threads go to sleep.
const PAUSE: Duration = Duration::from_micros(100);

/// How long a receiver waits before it looks whether the bench is over.
const PATIENCE: Duration = Duration::from_millis(100);

/// When the receiver got the event.
struct Arrival {
    begin: Instant,
    /// Nanoseconds since `begin`; zero before it arrived.
    at: AtomicU64,
}

impl Arrival {
    fn now(&self) {
        let nanos = self.begin.elapsed().as_nanos() as u64;
        self.at.store(nanos, Ordering::Release);
    }
}

/// A way to send an event to a receiver, which notes when it arrives.
struct Contestant {
    name: &'static str,
    arrival: Arc<Arrival>,
    tell: Box<dyn Fn()>,
    samples: Vec<Duration>,
}

impl Contestant {
    fn new(name: &'static str, arrival: &Arc<Arrival>, tell: impl Fn() + 'static) -> Self {
        Contestant {
            name,
            arrival: arrival.clone(),
            tell: Box::new(tell),
            samples: Vec::new(),
        }
    }

    fn turn(&mut self) {
        let arrival = &self.arrival;
        arrival.at.store(0, Ordering::Release);
        let told = arrival.begin.elapsed();
        (self.tell)();
        let arrived = loop {
            match arrival.at.load(Ordering::Acquire) {
                0 => thread::sleep(Duration::from_micros(10)),
                nanos => break Duration::from_nanos(nanos),
            }
        };
        self.samples.push(arrived.saturating_sub(told));
        thread::sleep(PAUSE);
    }

    fn row(&mut self) -> Value {
        self.samples.sort();
        let last = self.samples.len() - 1;
        let micros = |share: f64| {
            let place = (last as f64 * share).round() as usize;
            self.samples[place].as_nanos() as f64 / 1e3
        };
        json!({
            "name": self.name, "samples": self.samples.len(),
            "p50": micros(0.5), "p90": micros(0.9), "p99": micros(0.99),
            "p99.9": micros(0.999), "max": micros(1.0),
        })
    }
}

fn manager() -> (Brama, Connection) {
    let brama = Brama::builder().unlimited_attempts().build().unwrap();
    let connection = brama.register("db", None).unwrap();
    (brama, connection)
}

fn failures() -> EventFilter {
    EventFilter::new().types([EventType::Failure])
}

fn report(connection: Connection) -> impl Fn() {
    move || {
        connection.failure("timeout").expect("registered");
    }
}

fn callback(arrival: &Arc<Arrival>) -> (Brama, Contestant) {
    let (brama, connection) = manager();
    let hears = arrival.clone();
    let subscription = brama.subscribe(failures(), move |_| hears.now());
    subscription.unwrap().detach();
    let contestant = Contestant::new("brama, callback", arrival, report(connection));
    (brama, contestant)
}

/// `hear` waits for an event on a thread of its own, again and again.
fn queue(
    name: &'static str,
    arrival: &Arc<Arrival>,
    hear: impl Fn(&EventQueue) -> bool + Send + 'static,
) -> (Brama, Contestant) {
    let (brama, connection) = manager();
    let queue = brama.subscribe_queue(failures(), 64).unwrap();
    let hears = arrival.clone();
    thread::spawn(move || {
        while !queue.is_closed() {
            if hear(&queue) {
                hears.now();
            }
        }
    });
    let contestant = Contestant::new(name, arrival, report(connection));
    (brama, contestant)
}

fn channel(arrival: &Arc<Arrival>) -> Contestant {
    let (sender, receiver) = mpsc::channel();
    let hears = arrival.clone();
    thread::spawn(move || receiver.iter().for_each(|()| hears.now()));
    let tell = move || sender.send(()).expect("the receiver lives");
    Contestant::new("floor: std::sync::mpsc", arrival, tell)
}

fn eventfd(arrival: &Arc<Arrival>) -> Contestant {
    // SAFETY: the call takes no pointers. It returns a new descriptor, or an error.
    let raw = unsafe { libc::eventfd(0, libc::EFD_NONBLOCK) };
    assert!(raw >= 0, "{}", std::io::Error::last_os_error());
    // SAFETY: `eventfd` has just made the descriptor, and nothing else owns it.
    let descriptor = Arc::new(unsafe { OwnedFd::from_raw_fd(raw) });
    let (hears, theirs) = (arrival.clone(), Arc::downgrade(&descriptor));
    thread::spawn(move || {
        while let Some(descriptor) = theirs.upgrade() {
            let raw = descriptor.as_raw_fd();
            let mut count = 0_u64;
            // SAFETY: the call writes eight bytes at most, and `count` has eight.
            if readable(raw) && unsafe { libc::read(raw, (&raw mut count).cast(), 8) } == 8 {
                hears.now();
            }
        }
    });
    let tell = move || {
        let one = 1_u64;
        // SAFETY: the call reads eight bytes, and `one` has eight.
        let written = unsafe { libc::write(descriptor.as_raw_fd(), (&raw const one).cast(), 8) };
        assert_eq!(written, 8);
    };
    Contestant::new("floor: eventfd + poll", arrival, tell)
}

fn readable(descriptor: RawFd) -> bool {
    let mut wait = libc::pollfd {
        fd: descriptor,
        events: libc::POLLIN,
        revents: 0,
    };
    // SAFETY: one valid `pollfd`.
    unsafe { libc::poll(&mut wait, 1, PATIENCE.as_millis() as i32) == 1 }
}

fn main() {
    let (filter, measuring) = race::arguments();
    if filter.is_some_and(|part| !"latency".contains(&part)) {
        return;
    }
    let arrival = &Arc::new(Arrival {
        begin: Instant::now(),
        at: AtomicU64::new(0),
    });
    let (_one, callback) = callback(arrival);
    let (_two, blocking) = queue("brama, queue, next_timeout", arrival, |queue| {
        queue.next_timeout(PATIENCE).is_some()
    });
    let (_three, polling) = queue("brama, queue, poll of its descriptor", arrival, |queue| {
        readable(queue.as_raw_fd().expect("descriptors are left")) && queue.try_next().is_some()
    });
    let mut all = [
        callback,
        blocking,
        polling,
        channel(arrival),
        eventfd(arrival),
    ];
    let samples = match measuring {
        true if race::quick() => SAMPLES / 20,
        true => SAMPLES,
        false => 10,
    };
    for turn in 0..samples {
        let count = all.len();
        (0..count).for_each(|place| all[(place + turn) % count].turn());
    }
    println!("latency in µs, of {} each:", all[0].samples.len());
    let rows: Vec<Value> = all.iter_mut().map(Contestant::row).collect();
    for row in &rows {
        let name = row["name"].as_str().unwrap_or_default();
        print!("  {name:<40}");
        for share in ["p50", "p90", "p99", "p99.9", "max"] {
            print!(" {share} {:>8.1}", row[share].as_f64().unwrap_or_default());
        }
        println!();
    }
    println!();
    if measuring {
        results::keep("latency", &rows);
    }
}
