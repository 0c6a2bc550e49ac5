//! The sliding window.
//!
//! Mutations these models catch:
//!
//! - `record` that claims with a load and a store: all three.
//! - `fill` that fills only its own slot: `simultaneous_failures_count_once_each`.
//! - `start_at` that stores instead of comparing: `a_clear_falls_between_two_failures`.
//!
//! `settle` compares before it writes so that who counts with a time and who reads
//! it agree; a store there would still leave the times in order.

use std::collections::BTreeSet;
use std::sync::Mutex;

use loom::sync::Arc;
use loom::thread;

use crate::sync::{AtomicU64, Ordering};
use crate::window::Window;

struct Shared {
    window: Window,
    clock: AtomicU64,
}

impl Shared {
    fn new() -> Arc<Shared> {
        let window = Window::new();
        window.reserve(4);
        Arc::new(Shared {
            window,
            clock: AtomicU64::new(1),
        })
    }

    fn fail(&self, span: u64) -> u32 {
        let now = || self.clock.fetch_add(1, Ordering::Relaxed);
        self.window.record(span, now).expect("reserved")
    }
}

fn check(preemptions: usize, model: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.check(model);
}

#[test]
fn simultaneous_failures_count_once_each() {
    check(3, || {
        let shared = Shared::new();
        let failures: Vec<_> = (0..2)
            .map(|_| {
                let shared = shared.clone();
                thread::spawn(move || shared.fail(u64::MAX))
            })
            .collect();
        let counts: BTreeSet<u32> = failures.into_iter().map(|f| f.join().unwrap()).collect();
        assert_eq!(counts, [1, 2].into());
        assert_eq!(shared.window.count(u64::MAX, || 100), 2);
    });
}

#[test]
fn times_agree_whoever_fills_the_slot() {
    check(2, || {
        let shared = Shared::new();
        let failures: Vec<_> = (0..2)
            .map(|_| {
                let shared = shared.clone();
                thread::spawn(move || shared.fail(u64::MAX))
            })
            .collect();
        let reader = thread::spawn({
            let shared = shared.clone();
            move || {
                let now = || shared.clock.load(Ordering::Relaxed);
                shared.window.count(u64::MAX, now)
            }
        });
        for failure in failures {
            failure.join().unwrap();
        }
        assert!(reader.join().unwrap() <= 2);
        // As seen later, the younger a span, the fewer failures it holds.
        let end = shared.clock.load(Ordering::Relaxed);
        let counts: Vec<u32> = (1..=end)
            .map(|span| shared.window.count(span, || end))
            .collect();
        assert!(counts.is_sorted(), "{counts:?}");
        assert_eq!(counts.last(), Some(&2));
    });
}

#[test]
fn a_clear_falls_between_two_failures() {
    let outcomes = std::sync::Arc::new(Mutex::new(BTreeSet::new()));
    let seen = outcomes.clone();
    check(3, move || {
        let shared = Shared::new();
        let failing = thread::spawn({
            let shared = shared.clone();
            move || (shared.fail(u64::MAX), shared.fail(u64::MAX))
        });
        let clearing = thread::spawn({
            let shared = shared.clone();
            move || shared.window.clear()
        });
        let counts = failing.join().unwrap();
        clearing.join().unwrap();
        let left = shared.window.count(u64::MAX, || 100);
        // No position was lost: the next failure gets one of its own.
        shared.window.record(1, || 200);
        assert_eq!(shared.window.count(1, || 200), 1);
        seen.lock().unwrap().insert((counts, left));
    });
    let expected = [((1, 2), 2), ((1, 1), 1), ((1, 2), 0)];
    assert_eq!(*outcomes.lock().unwrap(), expected.into());
}
