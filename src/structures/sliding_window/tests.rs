use super::*;
use crate::sys::atomic::AtomicU64 as Plain;
use std::collections::VecDeque;
use std::thread;

use crate::values::key::scramble;
use crate::values::tally::Tally;

/// A window with the tally that a circuit has.
struct Circuit {
    tally: Plain,
    window: Window,
}

impl Circuit {
    fn new(reserved: u32) -> Self {
        Circuit::starting_at(reserved, Position::ZERO)
    }

    fn starting_at(reserved: u32, next: Position) -> Self {
        let window = Window::new();
        window.reserve(reserved, next);
        let tally = Plain::new(Tally::empty_at(next).bits());
        Circuit { tally, window }
    }

    fn tally(&self) -> Timed {
        let bits = self.tally.load(Ordering::Acquire);
        Tally::from_bits(bits).timed().expect("timed")
    }

    /// Reports a failure. Returns how many failures are inside with this one.
    fn fail(&self, span: u64, clock: impl Fn() -> u64) -> u32 {
        loop {
            let bits = self.tally.load(Ordering::Acquire);
            let before = Tally::from_bits(bits);
            let timed = before.timed().expect("timed");
            let time = clock();
            let count = self.window.count(timed, span, time, &clock);
            let next = before.plus_failure().bits();
            if self
                .tally
                .compare_exchange(bits, next, Ordering::AcqRel, Ordering::Relaxed)
                .is_ok()
            {
                self.window.write(timed, time, &clock);
                return count + 1;
            }
        }
    }

    fn count(&self, span: u64, now: u64) -> u32 {
        self.window.count(self.tally(), span, now, || now)
    }

    fn clear(&self) {
        let clear = |bits| Some(Tally::from_bits(bits).cleared().bits());
        let cleared = self
            .tally
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, clear);
        assert!(cleared.is_ok());
    }
}

#[test]
fn nothing_is_counted_before_there_is_a_ring() {
    let window = Window::new();
    assert!(!window.is_reserved());
    let tally = Tally::empty_at(Position::ZERO).plus_failure();
    assert_eq!(window.count(tally.timed().expect("timed"), 100, 1, || 1), 0);
}

#[test]
fn a_failure_leaves_the_window_exactly_at_its_end() {
    let circuit = Circuit::new(5);
    assert_eq!(circuit.fail(100, || 1_000), 1);
    assert_eq!(circuit.fail(100, || 1_099), 2);
    assert_eq!(circuit.fail(100, || 1_100), 2);
    assert_eq!(circuit.count(100, 1_198), 2);
    assert_eq!(circuit.count(100, 1_199), 1);
    assert_eq!(circuit.count(100, 1_200), 0);
}

#[test]
fn a_success_clears_it() {
    let circuit = Circuit::new(5);
    circuit.fail(100, || 1);
    circuit.fail(100, || 1);
    circuit.clear();
    assert_eq!(circuit.count(100, 1), 0);
    assert_eq!(circuit.fail(100, || 2), 1);
}

#[test]
fn growing_loses_nothing() {
    let circuit = Circuit::new(4);
    for i in 1..=4 {
        assert_eq!(circuit.fail(100, || 10), i);
    }
    circuit.window.reserve(64, circuit.tally().next);
    assert_eq!(circuit.count(100, 10), 4);
    assert_eq!(circuit.fail(100, || 60), 5);
    assert_eq!(circuit.fail(100, || 110), 2);
    circuit.window.reserve(256, circuit.tally().next);
    assert_eq!(circuit.count(100, 110), 2);
    circuit.clear();
    assert_eq!(circuit.count(100, 110), 0);
}

/// The failure has taken its position, knows only the smaller ring, and has not written its time.
#[test]
fn a_failure_that_grew_old_in_the_smaller_ring_writes_into_the_larger() {
    let circuit = Circuit::new(4);
    circuit.fail(100, || 10);
    let before = circuit.tally();
    let next = Tally::from_bits(circuit.tally.load(Ordering::Relaxed)).plus_failure();
    circuit.tally.store(next.bits(), Ordering::Relaxed);
    let smaller = circuit.window.newest().expect("a ring");
    circuit.window.reserve(64, circuit.tally().next);
    assert_eq!(circuit.count(100, 50), 2, "it is counted as of now");
    assert!(smaller.write(before, 20, &|| 20).is_err());
    circuit.window.write(before, 20, || 20);
    assert_eq!(circuit.count(100, 149), 1, "and keeps that time");
    assert_eq!(circuit.count(100, 150), 0);
}

#[test]
fn failures_before_the_window_count_in_a_row_and_in_no_window() {
    let circuit = Circuit::new(4);
    let before = Tally::plain(3).timed_from(Position::ZERO);
    circuit.tally.store(before.bits(), Ordering::Relaxed);
    assert_eq!(circuit.count(u64::MAX, 5), 0);
    assert_eq!(circuit.fail(u64::MAX, || 5), 1);
    assert_eq!(circuit.tally().count, 4);
    circuit.window.reserve(64, circuit.tally().next);
    assert_eq!(circuit.fail(u64::MAX, || 5), 2);
}

#[test]
fn it_agrees_with_a_queue_of_times_over_many_rounds() {
    for span in [1, 7, 50, u64::MAX] {
        let circuit = Circuit::new(64);
        let mut naive = VecDeque::new();
        let mut now = 5;
        for step in 0..20_000_u64 {
            let dice = scramble(step ^ span);
            match dice % 16 {
                0 => {
                    circuit.clear();
                    naive.clear();
                }
                1..=4 => now += dice >> 60,
                _ => {
                    naive.push_back(now);
                    naive.retain(|time| now - time < span);
                    // The failure itself needs no slot to be counted.
                    let expected = naive.len().min(65) as u32;
                    assert_eq!(circuit.fail(span, || now), expected, "step {step}");
                }
            }
            naive.retain(|time| now - time < span);
            let expected = naive.len().min(64) as u32;
            assert_eq!(circuit.count(span, now), expected, "step {step}");
        }
    }
}

#[test]
fn positions_wrap_around_unnoticed() {
    for reserved in [4, 512, 65_536] {
        let circuit = Circuit::starting_at(reserved, Position::ZERO.minus(2 * reserved - 1));
        for i in 0..4 * reserved {
            let expected = (i + 1).min(reserved + 1);
            assert_eq!(circuit.fail(u64::MAX, || 9), expected, "{reserved}/{i}");
        }
    }
}

#[test]
fn simultaneous_failures_get_every_count_exactly_once() {
    const THREADS: u32 = 4;
    const EACH: u32 = 5_000;
    let circuit = Circuit::new(THREADS * EACH);
    let clock = Plain::new(1);
    let mut counts: Vec<u32> = thread::scope(|scope| {
        let reporters: Vec<_> = (0..THREADS)
            .map(|_| {
                scope.spawn(|| {
                    let now = || clock.fetch_add(1, Ordering::Relaxed);
                    (0..EACH)
                        .map(|_| circuit.fail(u64::MAX, now))
                        .collect::<Vec<_>>()
                })
            })
            .collect();
        reporters
            .into_iter()
            .flat_map(|reporter| reporter.join().expect("no panic"))
            .collect()
    });
    counts.sort_unstable();
    assert_eq!(counts, (1..=THREADS * EACH).collect::<Vec<_>>());
    assert_eq!(circuit.count(u64::MAX, 1 << 30), THREADS * EACH);
}

#[test]
fn times_never_decrease_along_the_ring_also_while_it_grows() {
    let circuit = Circuit::new(4);
    let clock = Plain::new(1);
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..1_000 {
                    circuit.fail(10, || clock.fetch_add(1, Ordering::Relaxed));
                }
            });
        }
        for slots in (3..=12).map(|bits| 1 << bits) {
            thread::yield_now();
            circuit.window.reserve(slots, circuit.tally().next);
        }
    });
    let ring = circuit.window.newest().expect("reserved");
    assert_eq!(ring.slots.len(), 4_096);
    let times: Vec<u64> = (0..4_000)
        .map(|position| match ring.known(Position::ZERO.plus(position)) {
            Ok(Slot::Filled(stamp)) => stamp.floor(),
            _ => panic!("position {position} is not filled"),
        })
        .collect();
    assert!(times.is_sorted());
}
