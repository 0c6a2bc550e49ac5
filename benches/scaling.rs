//! How costs grow: `cargo bench -p brama-bench --bench scaling`.
//!
//! The cost of a guarded call with the number of threads (on one circuit, and with a
//! circuit each), of a look-up with the number of connections, and of a report with
//! the number of subscribers. `BRAMA_BENCH_10M=1` adds ten million connections, which
//! take several gigabytes and a minute. How often a call writes memory that another
//! thread's call uses is counted by the bench `instructions`.

mod peers;
mod race;

use std::env;
use std::hint::black_box;
use std::time::{Duration, Instant};

use brama::{Brama, Connection, EventFilter, EventQueue, EventType};
use peers::names::Names;
use race::Race;

/// The capacity of the ring, and of each queue.
const ROOM: usize = 1_024;

fn main() {
    with_threads();
    with_connections();
    with_subscribers();
}

fn call(connection: &Connection) -> bool {
    connection
        .acquire()
        .is_ok_and(|permit| permit.success().is_ok())
}

/// If there are more threads than cores, threads take turns. Then the best that a library
/// can do is that a thread's time grows only by as much as its share of a core shrinks.
fn with_threads() {
    const COUNTS: [usize; 4] = [1, 2, 4, 8];
    let brama = Brama::builder().build().unwrap();
    let connections: Vec<Connection> = (0..8)
        .map(|number| brama.register(&*format!("db_{number}"), None).unwrap())
        .collect();
    let connections = &connections;
    let mut race = Race::new("threads").laps(15, Duration::from_millis(10));
    for count in COUNTS {
        race = race
            .made("one circuit", count, |_| |_| call(&connections[0]))
            .made("a circuit each", count, |who| {
                let own = &connections[who];
                move |_| call(own)
            });
    }
    race.run();
}

fn with_connections() {
    let mut sizes = vec![1, 10, 100, 1_000, 10_000, 100_000, 1_000_000];
    if env::var_os("BRAMA_BENCH_10M").is_some() {
        sizes.push(10_000_000);
    }
    let managers: Vec<(usize, Brama, Names)> = sizes
        .iter()
        .map(|&size| {
            let brama = Brama::builder().build().unwrap();
            for name in Names::of(0..size).iter() {
                brama.register(name, None).unwrap();
            }
            (
                size,
                brama,
                Names::random(size, size.clamp(1 << 14, 1 << 20)),
            )
        })
        .collect();
    let mut race = Race::new("connections").laps(15, Duration::from_millis(10));
    for (size, brama, names) in &managers {
        race = race.one(&size.to_string(), |turn| brama.available(names.at(turn)));
    }
    race.run();
}

/// The costs of a report for its thread, and of delivery for the dispatcher,
/// while subscribers want another type, other connections, or this event.
/// Reports wait in the ring, which is emptied often enough that none is dropped.
fn with_subscribers() {
    const COUNTS: [usize; 5] = [0, 1, 4, 16, 64];
    let success = || EventFilter::new().types([EventType::Success]);
    let groups: [(&str, &dyn Fn(usize) -> EventFilter); 3] = [
        ("of another type", &|_| {
            EventFilter::new().types([EventType::StateChange])
        }),
        ("of other connections", &|number| {
            success().connection(format!("db_{number}"))
        }),
        ("of this event", &|_| success()),
    ];
    for (group, filter) in groups {
        let managers = COUNTS.map(|count| Listened::new(count, filter));
        // Few laps, since each lap of either race does the work of both.
        let length = Duration::from_millis(1);
        let mut race = Race::new(format!("subscribers {group}, a report")).laps(15, length);
        for listened in &managers {
            let name = listened.queues.len().to_string();
            race = race.custom(&name, |reports| listened.time(reports).0);
        }
        race.run();
        let mut race =
            Race::new(format!("subscribers {group}, delivery of a report")).laps(15, length);
        for listened in &managers {
            let name = listened.queues.len().to_string();
            race = race.custom(&name, |reports| listened.time(reports).1);
        }
        race.run();
    }
}

struct Listened {
    brama: Brama,
    queues: Vec<EventQueue>,
    connection: Connection,
}

impl Listened {
    fn new(count: usize, filter: &dyn Fn(usize) -> EventFilter) -> Self {
        let brama = Brama::builder().background(false).build().unwrap();
        let queues = (0..count).map(|number| brama.subscribe_queue(filter(number), ROOM));
        Listened {
            queues: queues.collect::<Result<_, _>>().unwrap(),
            connection: brama.register("db", None).unwrap(),
            brama,
        }
    }

    /// Makes so many reports. Returns how long they took, and how long delivery to the queues took.
    fn time(&self, reports: u64) -> (Duration, Duration) {
        let (mut reporting, mut delivering) = (Duration::ZERO, Duration::ZERO);
        let mut left = reports;
        while left > 0 {
            let batch = left.min(ROOM as u64 / 2);
            let start = Instant::now();
            for _ in 0..batch {
                black_box(call(&self.connection));
            }
            reporting += start.elapsed();
            let start = Instant::now();
            self.brama.poll();
            delivering += start.elapsed();
            self.queues.iter().for_each(|queue| drop(queue.drain(ROOM)));
            left -= batch;
        }
        let dropped = self.brama.event_counts().dropped;
        assert_eq!(dropped, 0, "the ring and the queues have room");
        (reporting, delivering)
    }
}
