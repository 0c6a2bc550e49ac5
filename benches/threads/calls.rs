//! Operations on circuits: all threads on one, or each on its own.

use std::fmt::Error as Failed;
use std::hint::black_box;
use std::sync::atomic::{AtomicU64, Ordering};

use brama::{Brama, Connection, OpenFor};
use circuit_breaker::CircuitBreaker as Simple;
use failsafe::CircuitBreaker as _;
use recloser::Recloser;

use crate::peers::breakers::{LONG, Plain, call_service, failsafe, recloser, tower};
use crate::race::{Apart, Race, Timed};

pub struct Operation {
    pub name: &'static str,
    /// Measures it with each number of threads, on one circuit or on a circuit each.
    pub run: fn(Race<'_>, &[usize], bool) -> Vec<Timed>,
}

pub const ALL: [Operation; 4] = [
    Operation {
        name: "available",
        run: available,
    },
    Operation {
        name: "guarded call that succeeds",
        run: |race, counts, each| guarded(race, counts, each, Ok(())),
    },
    Operation {
        name: "guarded call that fails",
        run: |race, counts, each| guarded(race, counts, each, Err(Failed)),
    },
    Operation {
        name: "rejected call",
        run: rejected,
    },
];

/// Makes one for each thread.
fn all<C>(counts: &[usize], make: impl Fn(usize) -> C) -> Vec<Apart<C>> {
    let most = counts.iter().copied().max().unwrap_or(1);
    (0..most).map(|who| Apart(make(who))).collect()
}

fn connections(brama: &Brama, counts: &[usize]) -> Vec<Apart<Connection>> {
    all(counts, |who| {
        let name = format!("db_{who}");
        brama.register(&*name, None).expect("a new name")
    })
}

/// Adds a contestant with each number of threads.
fn add<'a, C: Sync, T>(
    mut race: Race<'a>,
    name: &str,
    (counts, each): (&[usize], bool),
    circuits: &'a [Apart<C>],
    operation: impl Fn(&C) -> T + Sync + Copy + 'a,
) -> Race<'a> {
    for count in counts {
        race = race.made(name, *count, move |who| {
            let Apart(circuit) = &circuits[if each { who } else { 0 }];
            move |_| operation(circuit)
        });
    }
    race
}

fn available(race: Race<'_>, counts: &[usize], each: bool) -> Vec<Timed> {
    let brama = Brama::builder().build().expect("valid");
    let connections = connections(&brama, counts);
    let failsafe = all(counts, |_| failsafe(u32::MAX));
    let plain = all(counts, |_| Plain::new(u32::MAX, LONG));
    let words = all(counts, |_| AtomicU64::new(0));
    let how = (counts, each);
    let race = add(race, "brama", how, &connections, |db| {
        black_box(db).available()
    });
    let race = add(race, "failsafe", how, &failsafe, |one| {
        one.is_call_permitted()
    });
    let race = add(race, "a plain mutex", how, &plain, |one| one.available());
    add(race, "floor: atomic load", how, &words, |word| {
        black_box(word).load(Ordering::Acquire)
    })
    .measured()
}

/// The other breakers of a call, one circuit for each thread.
struct Peers<F, S> {
    recloser: Vec<Apart<Recloser>>,
    failsafe: Vec<Apart<F>>,
    simple: Vec<Apart<Simple>>,
    plain: Vec<Apart<Plain>>,
    tower: Vec<Apart<S>>,
}

macro_rules! peers {
    ($counts:expr, $failures:expr, $recloser:expr) => {
        Peers {
            recloser: all($counts, |_| $recloser),
            failsafe: all($counts, |_| failsafe($failures)),
            simple: all($counts, |_| Simple::new($failures, LONG)),
            plain: all($counts, |_| Plain::new($failures, LONG)),
            tower: all($counts, |_| tower($failures as usize)),
        }
    };
}

type Answer = Result<(), Failed>;

impl<F, S> Peers<F, S>
where
    F: failsafe::CircuitBreaker + Sync,
    S: tower::Service<Answer, Response = ()> + Clone + Sync,
{
    fn race<'a>(&'a self, race: Race<'a>, how: (&[usize], bool), answer: Answer) -> Race<'a> {
        let call = move || black_box(answer);
        let race = add(race, "recloser", how, &self.recloser, move |one| {
            black_box(one).call(call).is_ok()
        });
        let race = add(race, "failsafe", how, &self.failsafe, move |one| {
            black_box(one).call(call).is_ok()
        });
        let race = add(race, "circuit_breaker", how, &self.simple, move |one| {
            black_box(one).execute(call).is_ok()
        });
        add(race, "a plain mutex", how, &self.plain, move |one| {
            black_box(one).call(call).is_ok()
        })
    }

    /// Each thread uses a clone of the service, as is usual for services.
    fn tower<'a>(&'a self, mut race: Race<'a>, how: (&[usize], bool), answer: Answer) -> Race<'a> {
        let (counts, each) = how;
        for count in counts {
            race = race.made("tower-resilience", *count, move |who| {
                let mut service = self.tower[if each { who } else { 0 }].0.clone();
                move |_| call_service(&mut service, black_box(answer)).is_ok()
            });
        }
        race
    }

    /// Opens all circuits by failures, and asserts that they reject.
    fn open(&self) {
        let fails = || Err::<(), _>(Failed);
        let succeeds = || Ok::<_, Failed>(());
        for who in 0..self.plain.len() {
            for _ in 0..3 {
                let _ = self.recloser[who].0.call(fails);
                let _ = self.failsafe[who].0.call(fails);
                let _ = self.simple[who].0.execute(fails);
                let _ = self.plain[who].0.call(fails);
            }
            assert!(self.recloser[who].0.call(succeeds).is_err());
            assert!(self.failsafe[who].0.call(succeeds).is_err());
            assert!(self.simple[who].0.execute(succeeds).is_err());
            assert!(self.plain[who].0.call(succeeds).is_err());
        }
    }
}

fn guarded(race: Race<'_>, counts: &[usize], each: bool, answer: Answer) -> Vec<Timed> {
    let brama = Brama::builder()
        .unlimited_attempts()
        .build()
        .expect("valid");
    let connections = connections(&brama, counts);
    let peers = peers!(counts, u32::MAX, recloser());
    let how = (counts, each);
    let race = add(race, "brama", how, &connections, move |db| {
        black_box(db).call(move || black_box(answer)).is_ok()
    });
    let race = peers.race(race, how, answer);
    peers.tower(race, how, answer).measured()
}

/// Without tower-resilience: its open circuit makes a second thread sleep, which needs a runtime.
fn rejected(race: Race<'_>, counts: &[usize], each: bool) -> Vec<Timed> {
    let brama = Brama::builder().build().expect("valid");
    let connections = connections(&brama, counts);
    for Apart(db) in &connections {
        db.open_circuit("outage", OpenFor::Never)
            .expect("registered");
    }
    let sensitive = || {
        let recloser = Recloser::custom().error_rate(0.1).closed_len(1);
        recloser.open_wait(LONG).build()
    };
    let peers = peers!(counts, 1_u32, sensitive());
    peers.open();
    let how = (counts, each);
    let race = add(race, "brama", how, &connections, |db| {
        black_box(db)
            .call(|| black_box(Ok::<_, Failed>(())))
            .is_err()
    });
    peers.race(race, how, Ok(())).measured()
}
