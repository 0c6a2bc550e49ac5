//! The threads that run contestants.
//!
//! They live as long as a race, each on a core of its own, so that what a library
//! sets up for a thread is set up once, as in a server. They start through a gate;
//! whoever is done first stops the others, so all of them are under way all the
//! time that is measured. Before that each waits, not for ever, until its core is
//! quiet. Whether a lap was disturbed is shown by what the system says about waiting for a
//! core (`/proc/thread-self/schedstat`), and by the [pace](super::pace) that the core has
//! then.

use std::fs;
use std::hint::{black_box, spin_loop};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{self, Scope};
use std::time::{Duration, Instant};

use super::cores::stay_on;
use super::pace::{QUIET, await_quiet, pace};

/// What a contestant does on one thread: given who it is, and until when.
pub type Work<'a> = dyn Fn(usize, &Lap) -> Ran + Sync + 'a;

/// One lap, as its threads share it.
pub struct Lap {
    gate: Gate,
    stop: AtomicBool,
    /// The number of the first turn: laps go on where the last one ended.
    first: u64,
    iterations: u64,
}

/// What a thread did in a lap.
#[derive(Clone, Copy)]
pub struct Ran {
    turns: u64,
    elapsed: Duration,
    /// How long it waited for a core.
    waited: Duration,
    /// How its core was before and after: the worse.
    pace: f64,
}

/// What all threads of a lap did.
pub struct Together {
    /// The time of a turn, as a thread sees it.
    pub ns: f64,
    /// How disturbed the worst thread was; up to 1 is as good as not at all.
    pub disturbance: f64,
}

/// The share of a lap that a thread may be without a core.
const WAITED: f64 = 0.03;

/// How disturbed a thread is that was so long without a core, at this pace.
pub fn disturbance(waited: Duration, elapsed: Duration, pace: f64) -> f64 {
    let waited = waited.as_nanos() as f64 / elapsed.as_nanos().max(1) as f64;
    (waited / WAITED).max((pace - 1.0) / (QUIET - 1.0))
}

impl Lap {
    fn new(threads: usize, first: u64, iterations: u64) -> Self {
        Lap {
            gate: Gate::new(threads),
            stop: AtomicBool::new(false),
            first,
            iterations,
        }
    }

    /// Times turns until all are done, or another thread has done all of its own;
    /// after some that are not timed, since somebody else was in the caches.
    #[inline(never)]
    pub fn repeat<T>(&self, mut operation: impl FnMut(u64) -> T) -> Ran {
        // So seldom that looking at the flag costs nothing.
        let chunk = (self.iterations / 64).max(1);
        let first = self.first + self.iterations / 8;
        for turn in self.first..first {
            black_box(operation(turn));
        }
        let before = await_quiet();
        self.gate.pass();
        let waited = waited_for_a_core();
        let start = Instant::now();
        let mut turns = 0;
        while turns < self.iterations && !self.stop.load(Ordering::Relaxed) {
            let end = (turns + chunk).min(self.iterations);
            for turn in turns..end {
                black_box(operation(first + turn));
            }
            turns = end;
        }
        let elapsed = start.elapsed();
        self.stop.store(true, Ordering::Relaxed);
        let waited = waited_for_a_core().saturating_sub(waited);
        Ran {
            turns,
            elapsed,
            waited,
            pace: before.max(pace()),
        }
    }

    /// Only looks how quiet the core is, at once.
    pub fn look(&self) -> Ran {
        Ran {
            turns: 0,
            elapsed: Duration::ZERO,
            waited: Duration::ZERO,
            pace: pace(),
        }
    }
}

struct Job<'a> {
    work: &'a Work<'a>,
    lap: Arc<Lap>,
    answer: Sender<Ran>,
}

/// Threads that wait for laps.
pub struct Crew<'a> {
    members: Vec<Sender<Job<'a>>>,
}

impl<'a> Crew<'a> {
    pub fn new<'scope>(scope: &'scope Scope<'scope, '_>, threads: usize) -> Self
    where
        'a: 'scope,
    {
        let members = (0..threads).map(|who| {
            let (sender, jobs): (Sender<Job<'a>>, Receiver<Job<'a>>) = channel();
            scope.spawn(move || {
                stay_on(who);
                for job in jobs {
                    let ran = (job.work)(who, &job.lap);
                    job.answer.send(ran).expect("somebody waits for it");
                }
            });
            sender
        });
        Crew {
            members: members.collect(),
        }
    }

    pub fn run(&self, threads: usize, work: &'a Work<'a>, turns: Range<u64>) -> Together {
        let lap = Lap::new(threads, turns.start, turns.end - turns.start);
        let lap = Arc::new(lap);
        let (answer, answers) = channel();
        for member in &self.members[..threads] {
            let job = Job {
                work,
                lap: lap.clone(),
                answer: answer.clone(),
            };
            member.send(job).expect("the thread lives");
        }
        drop(answer);
        let ran: Vec<Ran> = answers.iter().collect();
        assert_eq!(ran.len(), threads, "a contestant panicked");
        let nanos = |ran: &Ran| ran.elapsed.as_nanos().max(1) as f64;
        let rate: f64 = ran.iter().map(|ran| ran.turns as f64 / nanos(ran)).sum();
        let disturbance = ran
            .iter()
            .map(|ran| disturbance(ran.waited, ran.elapsed, ran.pace))
            .fold(0.0, f64::max);
        Together {
            ns: threads as f64 / rate,
            disturbance,
        }
    }
}

/// How long this thread has been ready to run and without a core; zero where the
/// system does not say.
pub fn waited_for_a_core() -> Duration {
    let text = fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanos = text.split(' ').nth(1).and_then(|nanos| nanos.parse().ok());
    Duration::from_nanos(nanos.unwrap_or(0))
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
