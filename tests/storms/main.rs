//! Storms: several threads use one circuit, one manager, or its subscribers at
//! once. What the tests check holds for every interleaving, so no test needs luck
//! to pass. How often a race happens depends on the machine. It happens more
//! often if threads are stopped at random instructions (`preempted`, `marathon`).
//!
//! Tests that count the memory of the process, or how often its threads were stopped, run alone.

#[path = "../common/mod.rs"]
mod common;

mod circuit;
mod events;
mod manager;
// Only Linux has timers that send a signal to one thread.
#[cfg(target_os = "linux")]
mod marathon;
mod memory;
#[cfg(target_os = "linux")]
mod preempted;

use std::sync::Barrier;
use std::thread;

use common::counting::Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const THREADS: usize = 4;

/// Runs `work` on several threads at once, and returns what each returned.
fn on_threads<T: Send>(work: impl Fn(usize) -> T + Sync) -> Vec<T> {
    let together = Barrier::new(THREADS);
    thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|n| {
                let (together, work) = (&together, &work);
                scope.spawn(move || {
                    together.wait();
                    work(n)
                })
            })
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().expect("no panic"))
            .collect()
    })
}
