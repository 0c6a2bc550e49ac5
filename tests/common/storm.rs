//! Storms: rounds of random operations on threads that are stopped at random instructions.
//!
//! A round has several stages. In each stage all threads carry out a few operations at the same
//! time. Between two stages the threads meet by spinning, which is quick. After the last stage they
//! wait at a barrier, and the main thread checks the answers.
//!
//! `BRAMA_STORM_SECONDS` says how long a storm lasts. `BRAMA_STORM_SEED` repeats the operations and
//! the stops of a storm that has failed, as far as the system's scheduler allows.

use std::fmt::Debug;
use std::panic::{self, AssertUnwindSafe};
use std::process::abort;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Barrier, Mutex, PoisonError, mpsc};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::preempt::Preempted;

/// A storm that makes no progress for this long counts as hanging.
const PATIENCE: Duration = Duration::from_secs(120);

fn environment(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    let number = text.parse();
    Some(number.unwrap_or_else(|_| panic!("{name} must be a whole number, not {text:?}")))
}

/// Runs `tempest` with one seed after the other, for as long as `BRAMA_STORM_SECONDS` says, or else
/// for `seconds`. `tempest` returns how many rounds it had, or what is wrong.
pub fn storm(what: &str, seconds: u64, tempest: impl Fn(u64) -> Result<u64, String>) {
    let length = Duration::from_secs(environment("BRAMA_STORM_SECONDS").unwrap_or(seconds));
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH);
    let by_clock = || since_1970.map_or(1, |time| time.as_nanos() as u64 >> 10);
    let first = environment("BRAMA_STORM_SEED").unwrap_or_else(by_clock);
    let (alive, watch) = mpsc::channel();
    let name = what.to_owned();
    let watchdog = thread::spawn(move || {
        let mut current = first;
        loop {
            match watch.recv_timeout(PATIENCE) {
                Ok(seed) => current = seed,
                Err(mpsc::RecvTimeoutError::Disconnected) => return,
                Err(mpsc::RecvTimeoutError::Timeout) => {
                    eprintln!("{name}: hangs, BRAMA_STORM_SEED={current}");
                    abort();
                }
            }
        }
    });
    let (begin, mut rounds, mut seed) = (Instant::now(), 0, first);
    while begin.elapsed() < length {
        alive.send(seed).expect("the watchdog watches");
        let found = panic::catch_unwind(AssertUnwindSafe(|| tempest(seed)));
        match found {
            Ok(Ok(more)) => rounds += more,
            Ok(Err(wrong)) => panic!("{what}: BRAMA_STORM_SEED={seed}\n{wrong}"),
            Err(panic) => {
                eprintln!("{what}: BRAMA_STORM_SEED={seed}");
                panic::resume_unwind(panic);
            }
        }
        seed = seed.wrapping_add(1);
    }
    drop(alive);
    watchdog.join().expect("the watchdog ends");
    eprintln!(
        "{what}: {rounds} rounds, seeds {first} to {}",
        seed.wrapping_sub(1)
    );
}

/// One operation of one thread, and its answer.
#[derive(Clone, Debug)]
pub struct Call<O, A> {
    pub op: O,
    pub answer: A,
    /// Times of one clock for all threads, which advances at each reading. A call that ended before
    /// another one began came before it.
    pub began: u64,
    pub ended: u64,
}

/// The operations of each round, and the check of their answers.
pub trait Rounds {
    type Op: Clone + Debug + Send;
    type Answer: Clone + Debug + Send;

    /// The stages of the next round: what each thread does in each. `None` ends the storm.
    fn next(&mut self) -> Option<Vec<Vec<Vec<Self::Op>>>>;

    /// Checks a round, while no thread runs operations.
    fn check(&mut self, calls: Vec<Vec<Call<Self::Op, Self::Answer>>>) -> Result<(), String>;
}

struct Seat<O, A> {
    /// The thread's operations in each stage. `None` ends the thread.
    todo: Option<Vec<Vec<O>>>,
    done: Vec<Call<O, A>>,
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Plays rounds on `threads` threads. `hands` is called on each thread, and returns a closure that
/// carries out the thread's operations. Returns how many rounds there were, or what is wrong.
pub fn play<R: Rounds, H: FnMut(&R::Op) -> R::Answer>(
    rounds: &mut R,
    threads: usize,
    seed: u64,
    hands: impl Fn(usize) -> H + Sync,
) -> Result<u64, String> {
    let [begin, end] = [(); 2].map(|()| Barrier::new(threads + 1));
    let (clock, arrived) = (AtomicU64::new(0), AtomicUsize::new(0));
    let seats: Vec<Mutex<Seat<R::Op, R::Answer>>> = (0..threads)
        .map(|_| {
            let (todo, done) = (None, Vec::new());
            Mutex::new(Seat { todo, done })
        })
        .collect();
    let work = |number: usize| {
        let preempted = Preempted::here(seed.wrapping_add(number as u64));
        let mut hands = hands(number);
        let mut meetings = 0;
        loop {
            begin.wait();
            let Some(todo) = lock(&seats[number]).todo.take() else {
                return;
            };
            let mut done = Vec::with_capacity(todo.iter().map(Vec::len).sum());
            for stage in todo {
                meetings += threads;
                arrived.fetch_add(1, Ordering::SeqCst);
                preempted.soon();
                while arrived.load(Ordering::SeqCst) < meetings {
                    thread::yield_now();
                }
                for op in stage {
                    let began = clock.fetch_add(1, Ordering::SeqCst);
                    let answer = hands(&op);
                    let ended = clock.fetch_add(1, Ordering::SeqCst);
                    done.push(Call {
                        op,
                        answer,
                        began,
                        ended,
                    });
                }
            }
            lock(&seats[number]).done = done;
            end.wait();
        }
    };
    thread::scope(|scope| {
        for number in 0..threads {
            let work = &work;
            scope.spawn(move || {
                // The other threads wait for this one, so a panic would leave them waiting for
                // ever.
                if panic::catch_unwind(AssertUnwindSafe(|| work(number))).is_err() {
                    abort();
                }
            });
        }
        let mut count = 0;
        let wrong = loop {
            let stages = rounds.next();
            let is_over = stages.is_none();
            for stage in stages.into_iter().flatten() {
                for (seat, part) in seats.iter().zip(stage) {
                    lock(seat).todo.get_or_insert_default().push(part);
                }
            }
            begin.wait();
            if is_over {
                break None;
            }
            end.wait();
            let calls = seats
                .iter()
                .map(|seat| std::mem::take(&mut lock(seat).done));
            count += 1;
            if let Err(wrong) = rounds.check(calls.collect()) {
                // The seats are empty, so the threads end.
                begin.wait();
                break Some(wrong);
            }
        };
        match wrong {
            None => Ok(count),
            Some(wrong) => Err(format!("round {count}: {wrong}")),
        }
    })
}
