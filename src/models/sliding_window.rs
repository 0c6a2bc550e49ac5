//! The times of failures: [`sliding_window`](crate::structures::sliding_window) with
//! [`tally`](crate::values::tally).
//!
//! `Shared::tally` stands for the state word: a failure takes its position by an exchange of the
//! tally, as `Record::apply_failure` does. No party runs in a model's main thread, which loom
//! explores incompletely.

use std::collections::BTreeSet;
use std::sync::Mutex;

use loom::sync::Arc;
use loom::thread;

use crate::structures::sliding_window::Window;
use crate::sys::atomic::{AtomicU64, Ordering};
use crate::values::tally::{Position, Tally};

struct Shared {
    window: Window,
    tally: AtomicU64,
    clock: AtomicU64,
}

impl Shared {
    fn new() -> Arc<Shared> {
        let window = Window::new();
        window.reserve(4, Position::ZERO);
        Arc::new(Shared {
            window,
            tally: AtomicU64::new(Tally::empty_at(Position::ZERO).bits()),
            clock: AtomicU64::new(1),
        })
    }

    fn tally(&self) -> Tally {
        Tally::from_bits(self.tally.load(Ordering::Acquire))
    }

    fn exchange(&self, before: Tally, after: Tally) -> bool {
        self.tally
            .compare_exchange(
                before.bits(),
                after.bits(),
                Ordering::AcqRel,
                Ordering::Relaxed,
            )
            .is_ok()
    }

    fn now(&self) -> u64 {
        self.clock.fetch_add(1, Ordering::Relaxed)
    }

    /// Reports a failure. Returns how many failures are within `span`, this one included.
    fn fail(&self, span: u64) -> u32 {
        loop {
            let tally = self.tally();
            let before = tally.timed().expect("timed");
            let time = self.now();
            let count = self.window.count(before, span, time, || self.now()) + 1;
            if self.exchange(tally, tally.plus_failure()) {
                self.window.write(before, time, || self.now());
                return count;
            }
        }
    }

    /// A failure that is counted, but is stopped before it writes its time.
    fn begin_failure(&self) {
        let tally = self.tally();
        assert!(self.exchange(tally, tally.plus_failure()));
    }

    /// A failure that cannot open the circuit.
    fn fail_without_counting(&self) {
        loop {
            let tally = self.tally();
            let time = self.now();
            if self.exchange(tally, tally.plus_failure()) {
                let before = tally.timed().expect("timed");
                return self.window.write(before, time, || self.now());
            }
        }
    }

    /// Asserts that all failures have times. A failure without a time would get a late one here.
    fn assert_all_have_times(&self) {
        assert!(self.clock.load(Ordering::Relaxed) < 500);
        self.clock.store(501, Ordering::Relaxed);
        assert_eq!(self.count(400, 900), 0, "a time was lost");
    }

    fn succeed(&self) {
        loop {
            let tally = self.tally();
            if self.exchange(tally, tally.cleared()) {
                return;
            }
        }
    }

    fn count(&self, span: u64, time: u64) -> u32 {
        let timed = self.tally().timed().expect("timed");
        self.window.count(timed, span, time, || self.now())
    }
}

fn check(preemptions: usize, model: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.check(model);
}

fn failing(shared: &Arc<Shared>) -> thread::JoinHandle<u32> {
    let shared = shared.clone();
    thread::spawn(move || shared.fail(u64::MAX))
}

#[test]
fn simultaneous_failures_count_once_each() {
    check(3, || {
        let shared = Shared::new();
        let failures = [(); 2].map(|()| failing(&shared));
        let counts: BTreeSet<u32> = failures.into_iter().map(|f| f.join().unwrap()).collect();
        assert_eq!(counts, [1, 2].into());
        assert_eq!(shared.count(u64::MAX, 100), 2);
    });
}

/// A thread that reads a tally finds a time for each of its failures.
///
/// Mutations: `filling-the-last-slot-only`, `a-slot-filled-relaxed`, `a-slot-read-relaxed`.
#[test]
fn a_count_includes_a_failure_whose_thread_was_stopped_before_its_time() {
    check(2, || {
        let shared = Shared::new();
        shared.begin_failure();
        shared.begin_failure();
        let failure = failing(&shared);
        let counting = thread::spawn({
            let shared = shared.clone();
            move || {
                let timed = shared.tally().timed().expect("timed");
                let count = shared.window.count(timed, u64::MAX, 50, || shared.now());
                assert_eq!(count, timed.count);
            }
        });
        assert_eq!(failure.join().unwrap(), 3);
        counting.join().unwrap();
        shared.assert_all_have_times();
    });
}

/// A thread that reads a tally finds a time for each of its failures, and the times are in order.
#[test]
fn a_count_includes_a_failure_that_is_still_writing_its_time() {
    check(2, || {
        let shared = Shared::new();
        let failures = [(); 2].map(|()| failing(&shared));
        let counting = thread::spawn({
            let shared = shared.clone();
            move || {
                let timed = shared.tally().timed().expect("timed");
                let count = shared.window.count(timed, u64::MAX, 50, || shared.now());
                assert_eq!(count, timed.count);
            }
        });
        for failure in failures {
            failure.join().unwrap();
        }
        counting.join().unwrap();
        // A shorter span holds no more failures than a longer one.
        let end = shared.clock.load(Ordering::Relaxed);
        let counts: Vec<u32> = (1..=end).map(|span| shared.count(span, end)).collect();
        assert!(counts.is_sorted(), "{counts:?}");
        assert_eq!(counts.last(), Some(&2));
    });
}

/// Mutation: `a-success-that-goes-back`.
#[test]
fn a_success_falls_between_two_failures() {
    let outcomes = std::sync::Arc::new(Mutex::new(BTreeSet::new()));
    let seen = outcomes.clone();
    check(3, move || {
        let shared = Shared::new();
        let failing = thread::spawn({
            let shared = shared.clone();
            move || {
                let first = shared.fail(u64::MAX);
                let between = shared.now();
                ((first, shared.fail(u64::MAX)), between)
            }
        });
        let succeeding = thread::spawn({
            let shared = shared.clone();
            move || shared.succeed()
        });
        let (counts, between) = failing.join().unwrap();
        succeeding.join().unwrap();
        let left = shared.count(u64::MAX, 100);
        let young = shared.count(100 - between, 100);
        assert_eq!(young, left.min(1), "the last one has its own time");
        seen.lock().unwrap().insert((counts, left));
    });
    let expected = [((1, 2), 2), ((1, 1), 1), ((1, 2), 0)];
    assert_eq!(*outcomes.lock().unwrap(), expected.into());
}

/// A thread that counts writes a time for a failure that is under way. That time is later than the
/// one that the failure has read, and it stays.
///
/// Mutation: `a-time-stored-without-comparing`.
#[test]
fn a_failure_has_one_time_whichever_thread_writes_it() {
    check(3, || {
        let shared = Shared::new();
        // Counts failures whose time is later than `begin`, the time at which the failure begins.
        let later = move |shared: &Shared, begin: u64| shared.count(100 - begin, 100);
        let begin = shared.clock.load(Ordering::Relaxed);
        let failing = thread::spawn({
            let shared = shared.clone();
            move || shared.fail_without_counting()
        });
        let counting = thread::spawn({
            let shared = shared.clone();
            move || later(&shared, begin)
        });
        failing.join().unwrap();
        let counted = counting.join().unwrap();
        assert!(counted <= later(&shared, begin), "it has another time now");
    });
}

/// A larger ring is published while a failure is about to write its time into the smaller one. All
/// threads then find the same time in the larger ring.
///
/// Mutation: `a-larger-ring-that-does-not-ask`.
#[test]
fn no_time_is_lost_while_the_ring_grows() {
    check(3, || {
        let shared = Shared::new();
        shared.fail(u64::MAX);
        let early = shared.clock.load(Ordering::Relaxed);
        let failure = failing(&shared);
        let growing = thread::spawn({
            let shared = shared.clone();
            move || {
                let next = shared.tally().timed().expect("timed").next;
                shared.window.reserve(8, next);
                shared.count(u64::MAX, 100)
            }
        });
        assert_eq!(failure.join().unwrap(), 2);
        let counted = growing.join().unwrap();
        assert!((1..=2).contains(&counted));
        // The first failure has kept its time, the second has got a later one.
        assert_eq!(
            shared.count(100 - early + 1, 100),
            1,
            "younger than the first"
        );
        assert_eq!(shared.count(u64::MAX, 100), 2);
    });
}

/// Another failure was stopped before it wrote its time, and the larger ring has taken its slot
/// over.
///
/// Mutation: `writing-into-the-smaller-ring`.
#[test]
fn a_failure_beside_a_ring_that_grows_keeps_its_time() {
    check(3, || {
        let shared = Shared::new();
        shared.begin_failure();
        let growing = thread::spawn({
            let shared = shared.clone();
            move || {
                let timed = shared.tally().timed().expect("timed");
                shared.window.reserve(8, timed.next);
                shared.window.count(timed, u64::MAX, 100, || shared.now())
            }
        });
        let failing = thread::spawn({
            let shared = shared.clone();
            move || shared.fail_without_counting()
        });
        failing.join().unwrap();
        growing.join().unwrap();
        shared.assert_all_have_times();
    });
}

/// The time that one thread reads in the smaller ring is the time that others read in the larger
/// one.
///
/// Mutation: `giving-up-a-slot-that-stays-empty`.
#[test]
fn a_time_is_the_same_in_both_rings() {
    let spans = || 95..=100;
    check(3, move || {
        let shared = Shared::new();
        shared.begin_failure();
        let counting = thread::spawn({
            let shared = shared.clone();
            move || {
                spans()
                    .map(|span| shared.count(span, 100))
                    .collect::<Vec<_>>()
            }
        });
        let growing = thread::spawn({
            let shared = shared.clone();
            move || {
                shared
                    .window
                    .reserve(8, shared.tally().timed().expect("timed").next);
                shared.count(u64::MAX, 100)
            }
        });
        let counts = counting.join().unwrap();
        assert_eq!(growing.join().unwrap(), 1);
        let later: Vec<_> = spans().map(|span| shared.count(span, 100)).collect();
        assert_eq!(counts, later);
    });
}

/// Two threads publish a larger ring each, and one of them then reports a failure.
///
/// Mutation: `a-ring-stored-without-comparing`.
#[test]
fn two_rings_that_come_at_once_lose_no_time() {
    check(2, || {
        let shared = Shared::new();
        let grow = |shared: &Shared, capacity| {
            let next = shared.tally().timed().expect("timed").next;
            shared.window.reserve(capacity, next);
        };
        let failing = thread::spawn({
            let shared = shared.clone();
            move || {
                grow(&shared, 8);
                shared.fail(u64::MAX);
            }
        });
        let growing = thread::spawn({
            let shared = shared.clone();
            move || grow(&shared, 16)
        });
        failing.join().unwrap();
        growing.join().unwrap();
        shared.assert_all_have_times();
    });
}
