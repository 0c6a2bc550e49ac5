//! What a call pays: `cargo bench --bench hot_path`.
//!
//! Every group puts the operation beside its floors (what it cannot do without)
//! and beside other breakers, all set so that the circuit stays as it is. "2
//! threads" share one circuit, and the time is that of a call as one of them
//! sees it.

mod race;

use std::fmt::Error as Failed;
use std::hint::black_box;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use brama::{Brama, Connection, ConnectionOptions, OpenFor};
use circuit_breaker::CircuitBreaker as Simple;
use criterion::{Criterion, criterion_group, criterion_main};
use failsafe::{CircuitBreaker as _, Config as Failsafe, backoff, failure_policy};
use race::{Race, criterion};
use recloser::Recloser;

/// So long that nothing expires meanwhile.
const LONG: Duration = Duration::from_secs(86_400);

const NAMES: usize = 1_000;

/// The manager, and a connection among a thousand others.
fn closed() -> (Brama, Connection) {
    let brama = Brama::builder().unlimited_attempts().build().unwrap();
    for name in names() {
        brama.register(parts(&name), None).unwrap();
    }
    let connection = brama.connection(parts(&names()[0])).unwrap();
    (brama, connection)
}

fn names() -> Vec<(String, String)> {
    (0..NAMES)
        .map(|i| (format!("team_{}", i % 7), format!("service_{i:04}")))
        .collect()
}

fn parts((scope, identifier): &(String, String)) -> (&str, &str) {
    (scope, identifier)
}

/// A rate that is never reached: always closed.
fn recloser() -> Recloser {
    Recloser::custom().error_rate(2.0).build()
}

fn failsafe(failures: u32) -> impl failsafe::CircuitBreaker + Sync {
    let policy = failure_policy::consecutive_failures(failures, backoff::constant(LONG));
    Failsafe::new().failure_policy(policy).build()
}

fn coarse_clock() -> i64 {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: `time` is a valid place for the result.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC_COARSE, &mut time) };
    time.tv_sec * 1_000 + time.tv_nsec / 1_000_000
}

fn available(criterion: &mut Criterion) {
    let (brama, connection) = closed();
    let connection = &connection;
    let word = AtomicU64::new(0);
    let word = &word;
    let failsafe = &failsafe(u32::MAX);
    Race::new("available")
        .both("floor: atomic load", move |_| {
            black_box(word).load(Ordering::Acquire)
        })
        .both("brama, handle", move |_| black_box(connection).available())
        .both("failsafe", move |_| failsafe.is_call_permitted())
        .run(criterion);
    drop(brama);
}

fn success(criterion: &mut Criterion) {
    let (_brama, connection) = closed();
    let (connection, recloser, failsafe) = (&connection, &recloser(), &failsafe(u32::MAX));
    let simple = &Simple::new(u32::MAX, LONG);
    let word = &AtomicU64::new(0);
    Race::new("success")
        .both("brama, acquire + success", move |_| {
            black_box(connection).acquire().unwrap().success()
        })
        .both("brama, call", move |_| {
            black_box(connection).call(|| Ok::<_, Failed>(()))
        })
        .both("floor: fetch_add", move |_| {
            black_box(word).fetch_add(1, Ordering::Relaxed)
        })
        .both("floor: coarse clock", |_| coarse_clock())
        .one("floor: Instant::now", |_| Instant::now())
        .both("recloser", move |_| {
            black_box(recloser).call(|| Ok::<_, Failed>(()))
        })
        .both("failsafe", move |_| {
            black_box(failsafe).call(|| Ok::<_, Failed>(()))
        })
        .both("circuit_breaker", move |_| {
            black_box(simple).execute(|| Ok::<_, Failed>(()))
        })
        .run(criterion);
}

fn failure(criterion: &mut Criterion) {
    let (_brama, connection) = closed();
    let (connection, recloser, failsafe) = (&connection, &recloser(), &failsafe(u32::MAX));
    let simple = &Simple::new(u32::MAX, LONG);
    Race::new("failure")
        .both("brama, acquire + failure", move |_| {
            black_box(connection).acquire().unwrap().failure("timeout")
        })
        .both("recloser", move |_| {
            black_box(recloser).call(|| Err::<(), _>(Failed))
        })
        .both("failsafe", move |_| {
            black_box(failsafe).call(|| Err::<(), _>(Failed))
        })
        .both("circuit_breaker", move |_| {
            black_box(simple).execute(|| Err::<(), _>(Failed)).is_ok()
        })
        .run(criterion);
}

fn rejected(criterion: &mut Criterion) {
    let brama = Brama::builder().build().unwrap();
    let open = |name, how_long: OpenFor| {
        let connection = brama.register(name, ConnectionOptions::new()).unwrap();
        connection.open_circuit("outage", how_long).unwrap();
        connection
    };
    let (timed, held) = (open("a", LONG.into()), open("b", OpenFor::Never));
    let recloser = Recloser::custom()
        .error_rate(0.1)
        .closed_len(1)
        .open_wait(LONG)
        .build();
    let failsafe = failsafe(1);
    let simple = Simple::new(1, LONG);
    for _ in 0..3 {
        let _ = recloser.call(|| Err::<(), _>(Failed));
        let _ = failsafe.call(|| Err::<(), _>(Failed));
        let _ = simple.execute(|| Err::<(), _>(Failed));
    }
    assert!(recloser.call(|| Ok::<_, Failed>(())).is_err());
    assert!(failsafe.call(|| Ok::<_, Failed>(())).is_err());
    assert!(simple.execute(|| Ok::<_, Failed>(())).is_err());
    let (timed, held, recloser, failsafe, simple) = (&timed, &held, &recloser, &failsafe, &simple);
    Race::new("rejected")
        .both("brama, acquire", move |_| {
            black_box(timed).acquire().is_err()
        })
        .both("brama, acquire, held open", move |_| {
            black_box(held).acquire().is_err()
        })
        .both("brama, available", move |_| black_box(timed).available())
        .both("recloser", move |_| {
            black_box(recloser).call(|| Ok::<_, Failed>(())).is_err()
        })
        .both("failsafe", move |_| {
            black_box(failsafe).call(|| Ok::<_, Failed>(())).is_err()
        })
        .both("circuit_breaker", move |_| {
            black_box(simple).execute(|| Ok::<_, Failed>(())).is_err()
        })
        .run(criterion);
}

/// A thousand names (scope and identifier), one after the other; the threads of
/// "2 threads" go through the same names.
fn by_name(criterion: &mut Criterion) {
    let (brama, connection) = closed();
    let (brama, connection) = (&brama, &connection);
    let names = names();
    let name = |turn: u64| parts(&names[turn as usize % NAMES]);
    let name = &name;
    Race::new("by_name")
        .both("available", move |turn| brama.available(name(turn)))
        .both("acquire + success", move |turn| {
            brama.acquire(name(turn)).unwrap().success()
        })
        .both("acquire + failure", move |turn| {
            brama.acquire(name(turn)).unwrap().failure("timeout")
        })
        .both("success", move |turn| brama.success(name(turn)))
        .one("floor: epoch pin", |_| {
            drop(black_box(crossbeam_epoch::pin()));
        })
        .one("handle, acquire + success", move |_| {
            black_box(connection).acquire().unwrap().success()
        })
        .run(criterion);
}

criterion_group! {
    name = benches;
    config = criterion();
    targets = available, success, failure, rejected, by_name
}
criterion_main!(benches);
