//! What a call costs: `cargo bench -p brama-bench --bench hot_path`.
//!
//! Every group compares the operation with its floors (what the operation
//! cannot do without) and with other breakers. All are set so that the circuit
//! stays in its state. Two threads share one circuit, or have a circuit each.

mod peers;
mod race;

use std::cell::Cell;
use std::fmt::Error as Failed;
use std::hint::black_box;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use ahash::RandomState;
use brama::{Brama, Connection, ConnectionOptions};
use circuit_breaker::CircuitBreaker as Simple;
use criterion::{Criterion, criterion_group, criterion_main};
use failsafe::CircuitBreaker as _;
use peers::breakers::{LONG, Plain, call_service, failsafe, recloser, tower, tower_of_rate};
use peers::maps;
use peers::names::Names;
use race::{Apart, Race, criterion};
use recloser::Recloser;

const NAMES: usize = 1_000;

/// A manager of a thousand connections that never open.
fn closed() -> Brama {
    let brama = Brama::builder().unlimited_attempts().build().unwrap();
    for name in Names::of(0..NAMES).iter() {
        brama.register(name, None).unwrap();
    }
    brama
}

/// Two of its connections.
fn connections(brama: &Brama) -> [Apart<Connection>; 2] {
    let names = Names::of([0, NAMES / 2]);
    [0, 1].map(|turn| Apart(brama.connection(names.at(turn)).unwrap()))
}

fn two<C>(make: impl Fn() -> C) -> [Apart<C>; 2] {
    [Apart(make()), Apart(make())]
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

fn succeed() -> Result<(), Failed> {
    black_box(Ok(()))
}

/// Fails, except each thousandth call of a thread. A circuit that only failed would be one that no
/// settings leave closed: the number of failures in a row has an end.
fn fail() -> Result<(), Failed> {
    thread_local! {
        static CALLS: Cell<u32> = const { Cell::new(0) };
    }
    let calls = CALLS.get();
    CALLS.set(calls.wrapping_add(1));
    black_box(match calls % 1_024 {
        0 => Ok(()),
        _ => Err(Failed),
    })
}

fn available(criterion: &mut Criterion) {
    let brama = closed();
    let connections = connections(&brama);
    let (failsafe, plain) = (
        two(|| failsafe(u32::MAX)),
        two(|| Plain::new(u32::MAX, LONG)),
    );
    let word = AtomicU64::new(0);
    Race::new("available")
        .both("floor: atomic load", |_| {
            black_box(&word).load(Ordering::Acquire)
        })
        .circuits("brama, available", &connections, |connection| {
            black_box(connection).available()
        })
        .circuits("failsafe", &failsafe, |breaker| breaker.is_call_permitted())
        .circuits("a plain mutex", &plain, |breaker| breaker.available())
        .run_with(criterion);
}

/// The other breakers of a guarded call, two circuits of each.
struct Peers<F> {
    recloser: [Apart<Recloser>; 2],
    failsafe: [Apart<F>; 2],
    simple: [Apart<Simple>; 2],
    plain: [Apart<Plain>; 2],
}

fn peers(
    recloser: impl Fn() -> Recloser,
    failures: u32,
) -> Peers<impl failsafe::CircuitBreaker + Sync> {
    Peers {
        recloser: two(recloser),
        failsafe: two(|| failsafe(failures)),
        simple: two(|| Simple::new(failures, LONG)),
        plain: two(|| Plain::new(failures, LONG)),
    }
}

impl<F: failsafe::CircuitBreaker + Sync> Peers<F> {
    fn race<'a>(
        &'a self,
        race: Race<'a>,
        answer: impl Fn() -> Result<(), Failed> + Copy + Sync + 'a,
    ) -> Race<'a> {
        race.circuits("recloser", &self.recloser, move |breaker| {
            black_box(breaker).call(answer).is_ok()
        })
        .circuits("failsafe", &self.failsafe, move |breaker| {
            black_box(breaker).call(answer).is_ok()
        })
        .circuits("circuit_breaker", &self.simple, move |breaker| {
            black_box(breaker).execute(answer).is_ok()
        })
        .circuits("a plain mutex", &self.plain, move |breaker| {
            black_box(breaker).call(answer).is_ok()
        })
    }

    /// Opens all circuits by three failures, and asserts that they reject.
    fn open(&self) {
        for who in [0, 1] {
            for _ in 0..3 {
                let _ = self.recloser[who].0.call(|| Err::<(), _>(Failed));
                let _ = self.failsafe[who].0.call(|| Err::<(), _>(Failed));
                let _ = self.simple[who].0.execute(|| Err::<(), _>(Failed));
                let _ = self.plain[who].0.call(|| Err::<(), _>(Failed));
            }
            assert!(self.recloser[who].0.call(|| Ok::<_, Failed>(())).is_err());
            assert!(self.failsafe[who].0.call(|| Ok::<_, Failed>(())).is_err());
            assert!(self.simple[who].0.execute(|| Ok::<_, Failed>(())).is_err());
            assert!(self.plain[who].0.call(|| Ok::<_, Failed>(())).is_err());
        }
    }
}

/// Each thread uses a clone of the service, as is usual for services. An open circuit makes a
/// second thread sleep for a millisecond, which needs a runtime. That case is not measured.
fn add_tower<'a>(
    race: Race<'a>,
    failures: usize,
    answer: impl Fn() -> Result<(), Failed> + Copy + Sync + 'a,
) -> Race<'a> {
    let opens = failures == 1;
    let circuits = two(|| tower(failures));
    for Apart(circuit) in circuits.iter().filter(|_| opens) {
        let mut service = circuit.clone();
        let _ = call_service(&mut service, Err(Failed));
        assert!(call_service(&mut service, Ok(())).is_err());
    }
    let [shared, too, each] = [(); 3].map(|()| {
        let services = circuits.each_ref().map(|Apart(circuit)| circuit.clone());
        move |who: usize| {
            let mut service = services[who].clone();
            move |_| call_service(&mut service, answer()).is_ok()
        }
    });
    let race = race.made("tower-resilience", 1, shared);
    let race = race.made(&format!("tower-resilience{}", race::EACH), 2, each);
    if opens {
        race
    } else {
        race.made("tower-resilience", 2, move |_| too(0))
    }
}

fn success(criterion: &mut Criterion) {
    let brama = closed();
    let connections = connections(&brama);
    let peers = peers(recloser, u32::MAX);
    let word = AtomicU64::new(0);
    let race = Race::new("success")
        .circuits("brama, acquire + success", &connections, |connection| {
            black_box(connection).acquire().unwrap().success().is_ok()
        })
        .circuits("brama, call", &connections, |connection| {
            let answer = || black_box(Ok::<_, Failed>(()));
            black_box(connection).call(answer).is_ok()
        })
        .both("floor: fetch_add", |_| {
            black_box(&word).fetch_add(1, Ordering::Relaxed)
        })
        .both("floor: coarse clock", |_| coarse_clock())
        .one("floor: Instant::now", |_| Instant::now());
    add_tower(peers.race(race, succeed), usize::MAX, succeed).run_with(criterion);
}

/// A guarded call of a circuit with rates, beside breakers
/// that open by a rate of the last hundred calls.
fn rates(criterion: &mut Criterion) {
    let of = |options: fn(ConnectionOptions) -> ConnectionOptions| {
        let brama = Brama::builder().unlimited_attempts().build().unwrap();
        let circuits = ["a", "b"].map(|name| {
            let connection = brama.register(name, options(ConnectionOptions::new()));
            Apart(connection.unwrap())
        });
        (brama, circuits)
    };
    let (_brama, without) = of(|options| options);
    let (_brama, rate) = of(|options| options.failure_rate(0.5));
    let (_brama, last) = of(|options| options.failure_rate(0.5).rate_calls(100));
    let (_brama, slow) = of(|options| options.slow_call_duration(LONG).slow_call_rate(0.5));
    let recloser = two(recloser);
    let mut race = Race::new("rates");
    for (name, circuits) in [
        ("brama, without a rate", &without),
        ("brama, a failure rate", &rate),
        ("brama, of the last 100", &last),
        ("brama, slow calls", &slow),
    ] {
        race = race.circuits(name, circuits, |connection| {
            let answer = || black_box(Ok::<_, Failed>(()));
            black_box(connection).call(answer).is_ok()
        });
    }
    let race = race.circuits("recloser, of the last 100", &recloser, |breaker| {
        let answer = || black_box(Ok::<_, Failed>(()));
        black_box(breaker).call(answer).is_ok()
    });
    let circuits = two(tower_of_rate);
    let services = |which: fn(usize) -> usize| {
        let services = circuits.each_ref().map(|Apart(circuit)| circuit.clone());
        move |who: usize| {
            let mut service = services[which(who)].clone();
            move |_| call_service(&mut service, black_box(Ok(()))).is_ok()
        }
    };
    let name = "tower-resilience, of the last 100";
    race.made(name, 1, services(|_| 0))
        .made(name, 2, services(|_| 0))
        .made(&format!("{name}{}", race::EACH), 2, services(|who| who))
        .run_with(criterion);
}

fn failure(criterion: &mut Criterion) {
    let brama = closed();
    let connections = connections(&brama);
    let peers = peers(recloser, u32::MAX);
    let race = Race::new("failure")
        .circuits("brama, acquire + failure", &connections, |connection| {
            let permit = black_box(connection).acquire().unwrap();
            match fail() {
                Ok(()) => permit.success().is_ok(),
                Err(Failed) => permit.failure("timeout").is_ok(),
            }
        })
        .circuits("brama, call", &connections, |connection| {
            black_box(connection).call(fail).is_ok()
        });
    add_tower(peers.race(race, fail), usize::MAX, fail).run_with(criterion);
}

fn rejected(criterion: &mut Criterion) {
    let brama = Brama::builder().build().unwrap();
    let open = ["a", "b"].map(|name| {
        let connection = brama.register(name, ConnectionOptions::new()).unwrap();
        connection.open_circuit("outage", LONG).unwrap();
        Apart(connection)
    });
    let sensitive = || {
        let recloser = Recloser::custom().error_rate(0.1).closed_len(1);
        recloser.open_wait(LONG).build()
    };
    let peers = peers(sensitive, 1);
    peers.open();
    let race = Race::new("rejected")
        .circuits("brama, acquire", &open, |connection| {
            black_box(connection).acquire().is_err()
        })
        .circuits("brama, call", &open, |connection| {
            let answer = || black_box(Ok::<_, Failed>(()));
            black_box(connection).call(answer).is_err()
        })
        .circuits("brama, available", &open, |connection| {
            black_box(connection).available()
        });
    add_tower(peers.race(race, succeed), 1, succeed).run_with(criterion);
}

/// A thousand names (scope and identifier) in random order. Two threads go
/// through the same names at a distance, or through one half of them each.
fn by_name(criterion: &mut Criterion) {
    let brama = closed();
    let brama = &brama;
    let all = Names::random(NAMES, 16 * NAMES);
    let half = |which: usize| (0..16 * 1_024).map(move |i| which + 2 * (i * 7 % (NAMES / 2)));
    let halves = [Names::of(half(0)), Names::of(half(1))];
    let random = RandomState::new();
    fn operations<'a>(
        race: Race<'a>,
        brama: &'a Brama,
        kind: &str,
        threads: usize,
        names: impl Fn(usize) -> (&'a Names, u64) + Sync + Copy + 'a,
    ) -> Race<'a> {
        race.made(&format!("brama, available{kind}"), threads, move |who| {
            let (names, from) = names(who);
            move |turn| brama.available(names.at(from + turn))
        })
        .made(&format!("brama, success{kind}"), threads, move |who| {
            let (names, from) = names(who);
            move |turn| brama.success(names.at(from + turn)).is_ok()
        })
        .made(
            &format!("brama, acquire + success{kind}"),
            threads,
            move |who| {
                let (names, from) = names(who);
                move |turn| {
                    brama
                        .acquire(names.at(from + turn))
                        .unwrap()
                        .success()
                        .is_ok()
                }
            },
        )
        .made(
            &format!("brama, acquire + failure{kind}"),
            threads,
            move |who| {
                let (names, from) = names(who);
                move |turn| {
                    let permit = brama.acquire(names.at(from + turn)).unwrap();
                    permit.failure("timeout").is_ok()
                }
            },
        )
        .made(&format!("brama, call{kind}"), threads, move |who| {
            let (names, from) = names(who);
            move |turn| {
                let answer = || black_box(Ok::<_, Failed>(()));
                brama.call(names.at(from + turn), answer).is_ok()
            }
        })
    }
    let shared = |who| (&all, who as u64 * 4_321);
    let race = Race::new("by name");
    let race = operations(race, brama, "", 1, shared);
    let race = operations(race, brama, "", 2, shared);
    let race = operations(race, brama, race::EACH, 2, |who| (&halves[who], 0));
    race.both("floor: epoch pin", |_| {
        drop(black_box(crossbeam_epoch::pin()))
    })
    .both("floor: reading and hashing the name", |turn| {
        maps::hash(&random, all.at(turn))
    })
    .run_with(criterion);
}

criterion_group! {
    name = benches;
    config = criterion();
    targets = available, success, rates, failure, rejected, by_name
}
criterion_main!(benches);
