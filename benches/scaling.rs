//! What grows with what: `cargo bench --bench scaling`.
//!
//! The cost of a guarded call with the number of threads (on one circuit, and with a
//! circuit each), of a look-up with the number of connections, and of a report with
//! the number of subscribers. `BRAMA_BENCH_10M=1` adds ten million connections, which
//! take several gigabytes and a minute. How often a call writes memory that another
//! thread's call uses is counted by the bench `instructions`.

mod peers;
mod race;

use std::env;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use brama::{Brama, Connection, EventFilter, EventQueue, EventType};
use peers::names::Names;
use race::Race;

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

/// With more threads than cores they take turns: what can be asked of a library then
/// is that the time of each grows by no more than the share of a core it gets.
fn with_threads() {
    const COUNTS: [usize; 4] = [1, 2, 4, 8];
    let brama = Brama::builder().build().unwrap();
    let connections: Vec<Connection> = (0..8)
        .map(|number| brama.register(&*format!("db_{number}"), None).unwrap())
        .collect();
    let connections = &connections;
    let mut race = Race::new("threads").laps(31, Duration::from_millis(20));
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
    let mut race = Race::new("connections").laps(31, Duration::from_millis(5));
    for (size, brama, names) in &managers {
        race = race.one(&size.to_string(), |turn| brama.available(names.at(turn)));
    }
    race.run();
}

/// Subscribers that want another type, other connections, and this very event.
fn with_subscribers() {
    const COUNTS: [usize; 5] = [0, 1, 4, 16, 64];
    let success = || EventFilter::new().types([EventType::Success]);
    let made = |filter: &dyn Fn(usize) -> EventFilter| {
        COUNTS.map(|count| {
            let brama = Brama::builder().build().unwrap();
            let queues: Vec<EventQueue> = (0..count)
                .map(|number| brama.subscribe_queue(filter(number), 1 << 12).unwrap())
                .collect();
            let connection = brama.register("db", None).unwrap();
            (brama, queues, connection, count)
        })
    };
    let other_type = made(&|_| EventFilter::new().types([EventType::StateChange]));
    let other_name = made(&|number| success().connection(format!("db_{number}")));
    let wanted = made(&|_| success());
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                for (_, queues, _, _) in &wanted {
                    for queue in queues {
                        queue.drain(1 << 12);
                    }
                }
                thread::sleep(Duration::from_micros(200));
            }
        });
        for (name, managers) in [
            ("subscribers, of another type", &other_type),
            ("subscribers, of other connections", &other_name),
            ("subscribers, of this event", &wanted),
        ] {
            let mut race = Race::new(name).laps(31, Duration::from_millis(2));
            for (_, _, connection, count) in managers {
                race = race.one(&count.to_string(), move |_| call(connection));
            }
            race.run();
        }
        done.store(true, Ordering::Relaxed);
    });
}
