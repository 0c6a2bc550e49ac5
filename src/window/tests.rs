use super::*;
use crate::sync::AtomicU64 as Plain;
use std::collections::VecDeque;
use std::thread;

use crate::key::scramble;

fn window(reserved: u32) -> Window {
    let window = Window::new();
    window.reserve(reserved);
    window
}

#[test]
fn nothing_is_counted_before_there_is_room() {
    let window = Window::new();
    assert_eq!(window.record(100, || 1), None);
    assert_eq!(window.count(100, || 1), 0);
    window.clear();
}

#[test]
fn a_failure_leaves_the_window_exactly_at_its_end() {
    let window = window(5);
    assert_eq!(window.record(100, || 1_000), Some(1));
    assert_eq!(window.record(100, || 1_099), Some(2));
    assert_eq!(window.record(100, || 1_100), Some(2));
    assert_eq!(window.count(100, || 1_198), 2);
    assert_eq!(window.count(100, || 1_199), 1);
    assert_eq!(window.count(100, || 1_200), 0);
}

#[test]
fn a_success_clears_it() {
    let window = window(5);
    window.record(100, || 1);
    window.record(100, || 1);
    window.clear();
    assert_eq!(window.count(100, || 1), 0);
    assert_eq!(window.record(100, || 2), Some(1));
}

#[test]
fn growing_loses_nothing() {
    let window = window(4);
    for i in 1..=4 {
        assert_eq!(window.record(100, || 10), Some(i));
    }
    window.reserve(64);
    assert_eq!(window.count(100, || 10), 4);
    assert_eq!(window.record(100, || 60), Some(5));
    assert_eq!(window.record(100, || 110), Some(2));
    window.clear();
    assert_eq!(window.count(100, || 110), 0);
}

#[test]
fn it_agrees_with_a_queue_of_times_over_many_rounds() {
    for span in [1, 7, 50, u64::MAX] {
        let window = window(64);
        let mut naive = VecDeque::new();
        let mut now = 5;
        for step in 0..20_000_u64 {
            let dice = scramble(step ^ span);
            match dice % 16 {
                0 => {
                    window.clear();
                    naive.clear();
                }
                1..=4 => now += dice >> 60,
                _ => {
                    naive.push_back(now);
                    naive.retain(|time| now - time < span);
                    let expected = naive.len().min(64) as u32;
                    assert_eq!(window.record(span, || now), Some(expected), "step {step}");
                }
            }
            naive.retain(|time| now - time < span);
            let expected = naive.len().min(64) as u32;
            assert_eq!(window.count(span, || now), expected, "step {step}");
        }
    }
}

#[test]
fn positions_wrap_around_unnoticed() {
    for reserved in [4, 512, 65_536] {
        let window = window(reserved);
        let ring = window.newest().expect("reserved");
        let start = u32::MAX - 2 * reserved + 1;
        let ends = Ends { next: start, start };
        ring.ends.store(ends.pack(), Ordering::Relaxed);
        for (index, slot) in ring.slots.iter().enumerate() {
            let before = (start - reserved) / reserved * reserved + index as u32;
            slot.store(Lap::of(before, reserved).stamp(1), Ordering::Relaxed);
        }
        for i in 0..4 * reserved {
            let expected = (i + 1).min(reserved);
            assert_eq!(
                window.record(u64::MAX, || 9),
                Some(expected),
                "{reserved}/{i}"
            );
        }
    }
}

#[test]
fn two_billion_failures_without_a_success_do_not_wrap_into_none() {
    let window = window(4);
    let ring = window.newest().expect("reserved");
    ring.ends.store(
        Ends {
            next: LONGEST,
            start: 0,
        }
        .pack(),
        Ordering::Relaxed,
    );
    window.record(100, || 1);
    let ends = Ends::unpack(ring.ends.load(Ordering::Relaxed));
    assert_eq!(ends.next.wrapping_sub(ends.start), 4);
}

#[test]
fn simultaneous_failures_get_every_count_exactly_once() {
    const THREADS: u32 = 4;
    const EACH: u32 = 5_000;
    let window = window(THREADS * EACH);
    let clock = Plain::new(1);
    let mut counts: Vec<u32> = thread::scope(|scope| {
        let reporters: Vec<_> = (0..THREADS)
            .map(|_| {
                scope.spawn(|| {
                    let now = || clock.fetch_add(1, Ordering::Relaxed);
                    (0..EACH)
                        .map(|_| window.record(u64::MAX, now).expect("reserved"))
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
    assert_eq!(window.count(u64::MAX, || 1 << 30), THREADS * EACH);
}

#[test]
fn times_never_decrease_along_the_ring() {
    let window = window(4_096);
    let clock = Plain::new(1);
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..1_000 {
                    window.record(10, || clock.fetch_add(1, Ordering::Relaxed));
                }
            });
        }
    });
    let ring = window.newest().expect("reserved");
    let times: Vec<u64> = (0..4_000)
        .map(|position| match ring.time_at(position) {
            Slot::Filled(time) => time,
            _ => panic!("position {position} is not filled"),
        })
        .collect();
    assert!(times.is_sorted());
}
