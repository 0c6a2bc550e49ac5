//! Contestants side by side.
//!
//! Criterion runs one contestant after the other, so on a shared machine a slow
//! second is one contestant's bad luck. Here each of them is also run in short
//! slices that take turns, in an order that rotates, and what is printed is the
//! median of its slices and the ratio of the medians. Criterion sees the same
//! closures: for its statistics, its comparison with the last run, its filter
//! (`cargo bench --bench hot_path -- by_name`), and as the warm-up.

// Each bench compiles it anew and needs a part of it.
#![allow(dead_code)]

use std::hint::{black_box, spin_loop};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use criterion::Criterion;

/// How often each contestant gets its turn.
const ROUNDS: usize = 61;

/// How long a turn takes, about.
const SLICE: Duration = Duration::from_millis(2);

/// How often two threads try to run at the same time.
const RETRIES: usize = 20;

/// Does something so many times and says how long it took.
type Run<'a> = Box<dyn FnMut(u64) -> Duration + 'a>;

pub struct Race<'a> {
    name: &'static str,
    contestants: Vec<Contestant<'a>>,
}

struct Contestant<'a> {
    name: String,
    run: Run<'a>,
    iterations: u64,
    samples: Vec<f64>,
}

impl<'a> Race<'a> {
    pub fn new(name: &'static str) -> Self {
        Race {
            name,
            contestants: Vec::new(),
        }
    }

    /// One thread: `operation` gets the number of its turn.
    pub fn one<T>(self, name: &str, operation: impl Fn(u64) -> T + 'a) -> Self {
        self.custom(name, move |iterations| repeat(iterations, &operation))
    }

    /// Two threads on the same thing. The time is that of a call as a thread
    /// sees it, not the time per call of both together.
    pub fn two<T>(self, name: &str, operation: impl Fn(u64) -> T + Sync + 'a) -> Self {
        self.custom(name, move |iterations| {
            let mut turn = together(iterations, &operation);
            for _ in 0..RETRIES {
                if turn.overlapped {
                    break;
                }
                turn = together(iterations, &operation);
            }
            turn.mean
        })
    }

    /// With one thread, and with two on the same thing.
    pub fn both<T>(self, name: &str, operation: impl Fn(u64) -> T + Sync + Clone + 'a) -> Self {
        self.one(&format!("{name}, 1 thread"), operation.clone())
            .two(&format!("{name}, 2 threads"), operation)
    }

    pub fn custom(mut self, name: &str, run: impl FnMut(u64) -> Duration + 'a) -> Self {
        self.contestants.push(Contestant {
            name: name.to_owned(),
            run: Box::new(run),
            iterations: 0,
            samples: Vec::new(),
        });
        self
    }

    /// Runs all, and prints what came of it.
    pub fn run(mut self, criterion: &mut Criterion) {
        let mut group = criterion.benchmark_group(self.name);
        for contestant in &mut self.contestants {
            let name = contestant.name.clone();
            group.bench_function(&name, |bencher| {
                bencher.iter_custom(|iterations| contestant.warm_up(iterations));
            });
        }
        group.finish();
        // Criterion runs nothing that its filter excludes, and everything once
        // if it is only asked to test.
        self.contestants
            .retain(|contestant| contestant.iterations > 1);
        for round in 0..ROUNDS {
            let count = self.contestants.len();
            for place in 0..count {
                self.contestants[(place + round) % count].take_turn();
            }
        }
        self.print();
    }

    fn print(&mut self) {
        let Some(first) = self.contestants.first_mut().map(Contestant::median) else {
            return;
        };
        println!("{}, medians of {ROUNDS} turns:", self.name);
        for contestant in &mut self.contestants {
            let median = contestant.median();
            let name = &contestant.name;
            println!("  {name:<44} {median:>9.2} ns  × {:.2}", median / first);
        }
        println!();
    }
}

impl Contestant<'_> {
    fn warm_up(&mut self, iterations: u64) -> Duration {
        let elapsed = (self.run)(iterations);
        if iterations > 1 {
            let fitting = SLICE.as_secs_f64() / elapsed.as_secs_f64().max(1e-9);
            self.iterations = ((iterations as f64 * fitting) as u64).clamp(64, 100_000_000);
        }
        elapsed
    }

    fn take_turn(&mut self) {
        let elapsed = (self.run)(self.iterations);
        self.samples
            .push(elapsed.as_secs_f64() * 1e9 / self.iterations as f64);
    }

    fn median(&mut self) -> f64 {
        self.samples.sort_by(f64::total_cmp);
        self.samples[self.samples.len() / 2]
    }
}

/// Times so many calls in a row.
#[inline(never)]
fn repeat<T>(iterations: u64, operation: &impl Fn(u64) -> T) -> Duration {
    let start = Instant::now();
    for turn in 0..iterations {
        black_box(operation(turn));
    }
    start.elapsed()
}

/// How two threads fared that did the same.
struct Together {
    mean: Duration,
    /// Whether they ran at the same time, but for a fifth of it. If not, one of
    /// them had to wait for a core, and the time says nothing.
    overlapped: bool,
}

fn together<T>(iterations: u64, operation: &(impl Fn(u64) -> T + Sync)) -> Together {
    let gate = &Gate::new(2);
    let [one, other] = thread::scope(|scope| {
        [0, 1]
            .map(|core| {
                scope.spawn(move || {
                    stay_on(core);
                    gate.pass();
                    let start = Instant::now();
                    (start, start + repeat(iterations, operation))
                })
            })
            .map(|worker| worker.join().expect("no contestant panics"))
    });
    let lasted = |(start, end): (Instant, Instant)| end - start;
    let both = one
        .1
        .min(other.1)
        .saturating_duration_since(one.0.max(other.0));
    Together {
        mean: (lasted(one) + lasted(other)) / 2,
        overlapped: both > lasted(one).max(lasted(other)).mul_f64(0.8),
    }
}

/// Keeps the thread on one core. Left alone, two new threads often share one for
/// as long as a turn takes, and never meet.
pub fn stay_on(core: usize) {
    #[cfg(target_os = "linux")]
    // SAFETY: a set of processors is plain bits, for which zeroes are valid, and
    // `set` outlives the call. If the core does not exist, nothing happens.
    unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        libc::CPU_SET(core, &mut set);
        libc::sched_setaffinity(0, size_of_val(&set), &set);
    }
    #[cfg(not(target_os = "linux"))]
    let _ = core;
}

/// Lets threads go together.
pub struct Gate(AtomicUsize);

impl Gate {
    pub fn new(threads: usize) -> Self {
        Gate(AtomicUsize::new(threads))
    }

    pub fn pass(&self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
        let mut spins = 0_u32;
        while self.0.load(Ordering::Acquire) > 0 {
            spins += 1;
            if spins.is_multiple_of(1_024) {
                thread::yield_now();
            }
            spin_loop();
        }
    }
}

/// Criterion, brief: what is printed at the end comes from the race.
pub fn criterion() -> Criterion {
    Criterion::default()
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_millis(600))
        .sample_size(20)
        .configure_from_args()
}
