//! The threads that run contestants.
//!
//! They live as long as a race, each on a core of its own. So a library sets its state of a thread
//! up once, as in a server. Each thread waits for its core to be quiet, for a limited time, and
//! then at a gate for the others. The first thread that is done stops the others, so all threads
//! run during all the time that is measured. A lap was disturbed if a thread waited for a core
//! (`/proc/thread-self/schedstat`), or if its core was slow then ([pace](super::pace)).

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

/// What a contestant does on one thread. Gets the number of the thread, and the lap.
pub type Work<'a> = dyn Fn(usize, &Lap) -> Ran + Sync + 'a;

/// The state of one lap, shared by its threads.
pub struct Lap {
    gate: Gate,
    stop: AtomicBool,
    /// The number of the first turn, which follows the last turn of the lap before.
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
    /// The pace of its core before or after the lap, whichever is worse.
    pace: f64,
}

/// What all threads of a lap did.
pub struct Together {
    /// The time of a turn, as one thread sees it.
    pub ns: f64,
    /// The disturbance of the most disturbed thread. Up to 1 a lap counts as undisturbed.
    pub disturbance: f64,
}

/// The share of a lap for which a thread may wait for a core.
const WAITED: f64 = 0.03;

/// The disturbance of a thread that waited so long for a core, at this pace.
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

    /// Times turns until all are done, or another thread has done all of its own. Before
    /// that, some turns that are not timed bring the contestant's memory into the caches.
    #[inline(never)]
    pub fn repeat<T>(&self, mut operation: impl FnMut(u64) -> T) -> Ran {
        // The flag is read once in so many turns, so rarely that it costs nothing.
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

    /// Runs no turn, and only measures the pace of the core.
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

/// How long this thread has been ready to run and
/// waited for a core. Zero if the system does not say.
pub fn waited_for_a_core() -> Duration {
    let text = fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanos = text.split(' ').nth(1).and_then(|nanos| nanos.parse().ok());
    Duration::from_nanos(nanos.unwrap_or(0))
}

/// A barrier that threads pass at the same time.
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
