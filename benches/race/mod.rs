//! Contestants side by side.
//!
//! Criterion runs contestants one after the other, so a slow second of a shared machine
//! hits only one of them. Here they run in short laps and take turns, in an order that
//! rotates. The result is the median of the laps. A lap in which a thread waited for a
//! core, or whose core was not quiet, is run again. Benches that use Criterion give it
//! the same closures, for its statistics and its comparison with the last run.
//!
//! A free argument is a filter, as with Criterion:
//! `cargo bench -p brama-bench --bench hot_path -- by_name`. With `BRAMA_BENCH_QUICK=1` there are
//! few laps, no waiting for a quiet core, and no Criterion. So a minute shows that a bench works.

// Each bench compiles it again and needs a part of it.
#![allow(dead_code, unused_imports)]

pub mod cores;
mod crew;
pub mod machine;
mod pace;
pub mod results;

use std::env;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, Scope};
use std::time::Duration;

use criterion::Criterion;
use serde_json::{Value, json};

pub use cores::stay_on;
pub use crew::{Crew, Gate};
use crew::{Lap, Ran, Together, Work, disturbance, waited_for_a_core};

/// How often a disturbed lap is run again, at most. And how many repetitions a contestant
/// may have for each of its laps on average, so that a race also ends on a busy machine.
const RETRIES: usize = 8;
const RETRIES_PER_LAP: usize = 3;

static QUICK: AtomicBool = AtomicBool::new(false);

/// Makes this run a quick one, which only shows that everything works.
pub fn be_quick() {
    QUICK.store(true, Ordering::Relaxed);
}

/// Whether this is a quick run, which only shows that everything works.
pub fn quick() -> bool {
    QUICK.load(Ordering::Relaxed) || env::var_os("BRAMA_BENCH_QUICK").is_some()
}

/// A value on cache lines of its own.
#[repr(align(128))]
pub struct Apart<T>(pub T);

pub struct Race<'a> {
    name: String,
    laps: usize,
    length: Duration,
    contestants: Vec<Contestant<'a>>,
}

struct Contestant<'a> {
    name: String,
    threads: usize,
    run: Run<'a>,
}

enum Run<'a> {
    Laps(Box<Work<'a>>),
    /// Does something so many times, and returns how long that took.
    Custom(Box<dyn Fn(u64) -> Duration + Sync + 'a>),
}

/// The result of a contestant.
#[derive(Clone, Debug)]
pub struct Timed {
    pub name: String,
    pub threads: usize,
    /// The quartiles of the laps' times for a turn, in ns.
    pub low: f64,
    pub ns: f64,
    pub high: f64,
    pub laps: usize,
    /// How many of the laps stayed disturbed.
    pub disturbed: usize,
}

#[derive(Default)]
struct Score {
    iterations: u64,
    /// The number of the next turn.
    next: u64,
    /// How many more laps may be run again.
    retries: usize,
    samples: Vec<f64>,
    disturbed: usize,
}

impl<'a> Race<'a> {
    pub fn new(name: impl Into<String>) -> Self {
        Race {
            name: name.into(),
            laps: 61,
            length: Duration::from_millis(2),
            contestants: Vec::new(),
        }
    }

    /// Sets the number and length of laps: longer ones for
    /// operations on more memory than the caches hold.
    pub fn laps(mut self, laps: usize, length: Duration) -> Self {
        (self.laps, self.length) = (laps, length);
        self
    }

    /// Adds a contestant in the general form: `make` returns the operation of thread `who`.
    pub fn made<T, F: FnMut(u64) -> T>(
        mut self,
        name: &str,
        threads: usize,
        make: impl Fn(usize) -> F + Sync + 'a,
    ) -> Self {
        let work = move |who: usize, lap: &Lap| -> Ran { lap.repeat(make(who)) };
        self.contestants.push(Contestant {
            name: name.to_owned(),
            threads,
            run: Run::Laps(Box::new(work)),
        });
        self
    }

    /// Adds a contestant with one thread. `operation` gets the number of the turn.
    pub fn one<T>(self, name: &str, operation: impl Fn(u64) -> T + Sync + Copy + 'a) -> Self {
        self.made(name, 1, move |_| operation)
    }

    /// Adds a contestant with one thread, and with two on the same
    /// object. The time is that of a turn, as one thread sees it.
    pub fn both<T>(self, name: &str, operation: impl Fn(u64) -> T + Sync + Copy + 'a) -> Self {
        self.made(name, 1, move |_| operation)
            .made(name, 2, move |_| operation)
    }

    /// Adds a contestant with one thread, with two on the
    /// same circuit, and with two that have a circuit each.
    pub fn circuits<C: Sync, T>(
        self,
        name: &str,
        circuits: &'a [Apart<C>; 2],
        operation: impl Fn(&C) -> T + Sync + Copy + 'a,
    ) -> Self {
        let [first, _] = circuits;
        self.both(name, move |_| operation(&first.0)).made(
            &format!("{name}{EACH}"),
            2,
            move |who| {
                let Apart(own) = &circuits[who];
                move |_| operation(own)
            },
        )
    }

    pub fn custom(mut self, name: &str, run: impl Fn(u64) -> Duration + Sync + 'a) -> Self {
        self.contestants.push(Contestant {
            name: name.to_owned(),
            threads: 1,
            run: Run::Custom(Box::new(run)),
        });
        self
    }

    /// Runs all contestants, and prints and keeps the results.
    pub fn run(self) {
        self.run_after(|_, _| {});
    }

    /// The same as [`Race::run`], after Criterion has measured all contestants.
    pub fn run_with(self, criterion: &mut Criterion) {
        if quick() {
            return self.run();
        }
        let name = self.name.clone();
        let mut group = criterion.benchmark_group(name);
        self.run_after(|contestant, run| {
            let name = format!("{}, {}", contestant.name, threads(contestant.threads));
            group.bench_function(name, |bencher| {
                bencher.iter_custom(|iterations| {
                    Duration::from_nanos((run(iterations) * iterations as f64) as u64)
                });
            });
        });
    }

    fn run_after(mut self, before: impl FnMut(&Contestant, &dyn Fn(u64) -> f64)) {
        let (filter, measuring) = arguments();
        self.contestants.retain(|contestant| {
            let id = format!("{}/{}", self.name, contestant.name);
            filter.as_ref().is_none_or(|part| id.contains(part))
        });
        if !measuring {
            return self.once();
        }
        let name = self.name.clone();
        let results = self.measure(before);
        if !results.is_empty() {
            let rows: Vec<_> = results.iter().map(Timed::row).collect();
            results::keep(&name, &rows);
        }
    }

    /// Runs each contestant for one turn, to show that it works.
    pub fn once(self) {
        thread::scope(|scope| {
            let crew = self.crew(scope);
            for one in &self.contestants {
                one.lap(&crew, 0..1);
            }
        });
    }

    /// Runs all contestants, prints and returns the results, and keeps none.
    pub fn measured(self) -> Vec<Timed> {
        self.measure(|_, _| {})
    }

    /// Runs all contestants, after `before` has run for each. Prints and returns the results.
    fn measure(self, mut before: impl FnMut(&Contestant, &dyn Fn(u64) -> f64)) -> Vec<Timed> {
        let all = &self.contestants;
        let laps = if quick() {
            self.laps.div_ceil(12).max(3)
        } else {
            self.laps
        };
        let mut scores: Vec<Score> = all.iter().map(|_| Score::default()).collect();
        thread::scope(|scope| {
            let crew = self.crew(scope);
            for (one, score) in all.iter().zip(&mut scores) {
                before(one, &|iterations| one.lap(&crew, 0..iterations).ns);
                score.iterations = one.calibrate(&crew, self.length);
                score.retries = if quick() { 0 } else { laps * RETRIES_PER_LAP };
            }
            for lap in 0..laps {
                for place in 0..all.len() {
                    let next = (place + lap) % all.len();
                    scores[next].lap(&all[next], &crew);
                }
            }
        });
        let results = all.iter().zip(scores).map(|(one, score)| score.of(one));
        let results: Vec<Timed> = results.collect();
        self.print(laps, &results);
        results
    }

    fn crew<'scope, 'c: 'scope>(&self, scope: &'scope Scope<'scope, '_>) -> Crew<'c> {
        let most = self.contestants.iter().map(|one| one.threads).max();
        // One thread for each core, to measure how quiet all of them are.
        Crew::new(scope, most.unwrap_or(0).max(cores::count()))
    }

    fn print(&self, laps: usize, results: &[Timed]) {
        let Some(first) = results.first() else {
            return;
        };
        println!("{}, medians of {laps} laps:", self.name);
        for result in results {
            let name = format!("{}, {}", result.name, threads(result.threads));
            let note = match result.disturbed {
                0 => String::new(),
                laps => format!("  ({laps} laps disturbed)"),
            };
            let (ns, ratio) = (result.ns, result.ns / first.ns);
            println!("  {name:<52} {ns:>9.2} ns  × {ratio:.2}{note}");
        }
        println!();
    }
}

impl Timed {
    /// The row of the results file.
    pub fn row(&self) -> Value {
        json!({
            "name": self.name, "threads": self.threads, "ns": self.ns,
            "low": self.low, "high": self.high, "laps": self.laps, "disturbed": self.disturbed,
        })
    }
}

/// The end of the name of a contestant whose threads share nothing.
pub const EACH: &str = ", a circuit each";

fn threads(count: usize) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} thread{plural}")
}

impl Contestant<'_> {
    fn lap<'c>(&'c self, crew: &Crew<'c>, turns: Range<u64>) -> Together {
        match &self.run {
            Run::Laps(work) => crew.run(self.threads, &**work, turns),
            Run::Custom(run) => {
                let count = turns.end - turns.start;
                // The contestant may have threads on any core, so all cores have to be quiet.
                let before = crew.run(cores::count(), &|_, lap| lap.repeat(|_| ()), 0..0);
                let waited = waited_for_a_core();
                let elapsed = run(count);
                let waited = waited_for_a_core().saturating_sub(waited);
                let after = crew.run(cores::count(), &|_, lap| lap.look(), 0..0);
                let own = disturbance(waited, elapsed, 1.0);
                Together {
                    ns: elapsed.as_nanos() as f64 / count as f64,
                    disturbance: own.max(before.disturbance).max(after.disturbance),
                }
            }
        }
    }

    /// Returns how many turns fill a lap. Also warms the contestant up.
    fn calibrate<'c>(&'c self, crew: &Crew<'c>, length: Duration) -> u64 {
        let length = length.as_nanos() as f64;
        let mut iterations = 64;
        loop {
            let ns = self.lap(crew, 0..iterations).ns.max(0.01);
            if ns * iterations as f64 > length / 4.0 {
                return ((length / ns) as u64).clamp(16, 100_000_000);
            }
            iterations *= 4;
        }
    }
}

impl Score {
    fn lap<'c>(&mut self, one: &'c Contestant<'_>, crew: &Crew<'c>) {
        let mut lap = || {
            let first = self.next;
            self.next += self.iterations;
            one.lap(crew, first..self.next)
        };
        let mut best = lap();
        // If there are more threads than cores, threads wait for a core in any case.
        let avoidable = one.threads <= cores::count();
        for _ in 0..RETRIES.min(self.retries) {
            if best.disturbance <= 1.0 || !avoidable {
                break;
            }
            self.retries -= 1;
            let again = lap();
            if again.disturbance < best.disturbance {
                best = again;
            }
        }
        self.disturbed += usize::from(best.disturbance > 1.0 && avoidable);
        self.samples.push(best.ns);
    }

    fn of(mut self, one: &Contestant<'_>) -> Timed {
        self.samples.sort_by(f64::total_cmp);
        let last = self.samples.len() - 1;
        let [low, ns, high] = [last / 4, last / 2, last * 3 / 4].map(|place| self.samples[place]);
        Timed {
            name: one.name.clone(),
            threads: one.threads,
            low,
            ns,
            high,
            laps: self.samples.len(),
            disturbed: self.disturbed,
        }
    }
}

/// The filter, and whether to measure. Cargo passes `--bench` if
/// so. Otherwise everything runs once, to show that it works.
pub fn arguments() -> (Option<String>, bool) {
    let mut arguments = env::args().skip(1);
    let measuring = env::args().any(|argument| argument == "--bench");
    (arguments.find(|text| !text.starts_with('-')), measuring)
}

/// Criterion with short measurements, since the results that are kept come from the race.
pub fn criterion() -> Criterion {
    Criterion::default()
        .warm_up_time(Duration::from_millis(50))
        .measurement_time(Duration::from_millis(200))
        .sample_size(10)
        .configure_from_args()
}
