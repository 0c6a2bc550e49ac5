//! Threads that share their home lines: idle ones, busy ones, and more than there are cells.

use std::sync::Barrier;
use std::thread;

use super::super::block::{MAX_LINES, TENANTS, at_once};
use super::super::*;
use crate::structures::reserve::Stock;
use crate::sys::atomic::AtomicBool;

/// Blocks of all sizes.
const ALL: Maker = Maker {
    sizes: stripes::SIZES,
};

/// A record whose primary cell has its owner, and so has the first cell of line 1.
fn record() -> Counter {
    let record = Counter::new();
    record.totals().rejected_as(2, &ALL);
    record.totals().rejected_as(1, &ALL);
    record
}

/// The lines of the newest block.
fn lines(record: &Counter) -> usize {
    record.stripes.newest().expect("attached").many()
}

/// The indexes of threads whose home line in the smallest block is line 1.
fn neighbours() -> impl Iterator<Item = u16> {
    (0..).map(|k| 1 + k * at_once() as u16)
}

#[test]
fn threads_that_come_after_others_that_are_idle_have_cells() {
    let record = record();
    let threads = (TENANTS * at_once()) as u16;
    for index in (1..=threads).filter(|index| *index != 2) {
        (0..5_000).for_each(|i| record.totals().success_as(index, &ALL, i));
    }
    assert_eq!(record.shared.sum(), Sums::default());
    assert_eq!(lines(&record), at_once(), "no larger block for them");
    let sums = record.totals().sum();
    assert_eq!(
        (sums.successes, sums.rejected),
        (5_000 * u64::from(threads - 1), 2)
    );
}

#[test]
fn an_owner_that_comes_back_goes_on_in_its_cell() {
    let record = record();
    let mut neighbours = neighbours();
    let (first, second) = (
        neighbours.next().expect("endless"),
        neighbours.next().expect("endless"),
    );
    record.totals().rejected_as(second, &ALL);
    for _ in 0..3 {
        record.totals().rejected_as(first, &ALL);
    }
    let cells = record.stripes.newest().expect("attached").cells();
    let mut counts: Vec<u64> = cells
        .map(Stripe::reports)
        .filter(|count| *count != 0)
        .collect();
    counts.sort_unstable();
    assert_eq!(counts, [1, 4]);
}

/// Has the threads report in turns, often enough to notice a crowd.
fn crowd(threads: &[u16], mut report: impl FnMut(u16)) {
    for _ in 0..10_000 {
        threads.iter().for_each(|index| report(*index));
    }
}

/// Whether each thread has the first cell of its home line.
fn have_lines(record: &Counter, threads: &[u16]) -> bool {
    let newest = record.stripes.newest().expect("attached");
    threads.iter().all(|index| newest.first(*index).is_some())
}

#[test]
fn busy_threads_of_a_line_get_lines_of_their_own() {
    let threads: Vec<u16> = neighbours().take(TENANTS).collect();
    let record = record();
    crowd(&threads, |index| record.totals().success_as(index, &ALL, 1));
    assert!(have_lines(&record, &threads));
    assert_eq!(record.totals().sum().successes, 10_000 * TENANTS as u64);
    assert_eq!(record.shared.sum(), Sums::default());
}

#[test]
fn rejections_make_a_crowd_as_well() {
    let threads: Vec<u16> = neighbours().take(2).collect();
    let record = record();
    crowd(&threads, |index| record.totals().rejected_as(index, &ALL));
    assert!(have_lines(&record, &threads));
    assert_eq!(record.totals().sum().rejected, 20_002);
}

#[test]
fn more_threads_than_a_line_has_cells_for_get_a_larger_block() {
    let threads: Vec<u16> = neighbours().take(TENANTS + 1).collect();
    let record = record();
    for index in &threads {
        record.totals().rejected_as(*index, &ALL);
    }
    assert_eq!(record.shared.sum(), Sums::default());
    assert!(lines(&record) > at_once());
}

#[test]
fn blocks_grow_up_to_their_limit_and_the_shared_cell_takes_the_rest() {
    // All have the same home line in the largest block.
    let threads: Vec<u16> = (0..=TENANTS as u16)
        .map(|k| 1 + k * MAX_LINES as u16)
        .collect();
    let record = record();
    crowd(&threads, |index| record.totals().rejected_as(index, &ALL));
    assert_eq!(lines(&record), MAX_LINES);
    assert!(record.stripes.all().count() <= stripes::SIZES);
    assert_eq!(
        record.totals().sum().rejected,
        10_000 * threads.len() as u64 + 2
    );
    let shared = record.shared.sum().rejected;
    assert!((9_900..=10_000).contains(&shared), "{shared}");
}

#[test]
fn without_a_larger_block_a_crowd_counts_where_it_is() {
    let smallest = Maker { sizes: 1 };
    let threads: Vec<u16> = neighbours().take(2).collect();
    let record = record();
    crowd(&threads, |index| {
        record.totals().rejected_as(index, &smallest)
    });
    assert_eq!(lines(&record), at_once());
    assert_eq!(record.shared.sum(), Sums::default());
    crowd(&threads, |index| record.totals().rejected_as(index, &ALL));
    assert!(have_lines(&record, &threads), "as soon as there is one");
    assert_eq!(record.totals().sum().rejected, 40_002);
}

#[test]
fn large_blocks_lie_ready_only_after_one_was_asked_for() {
    static RARE: Stock<u8> = Stock::on_demand(|| Box::new(0));
    RARE.refill();
    assert!(RARE.take().is_none());
    assert!(RARE.wants_refill());
    RARE.refill();
    assert!(RARE.take().is_some());
    RARE.refill();
    assert!(RARE.take().is_some(), "that one is made up for");
}

/// At least two of so many threads have the same home line, whichever indexes they have.
#[test]
fn a_process_makes_larger_blocks_for_its_crowds() {
    const EACH: u64 = 3_000;
    let record = Counter::new();
    let threads = 2 * at_once() + 1;
    let barrier = Barrier::new(threads + 1);
    let mut rounds = 0;
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    barrier.wait();
                    if is_over.load(Ordering::Relaxed) {
                        return;
                    }
                    (0..EACH).for_each(|_| _ = record.totals().rejected());
                    barrier.wait();
                }
            });
        }
        while rounds < 30 && record.stripes.all().count() < 2 {
            barrier.wait();
            barrier.wait();
            refill();
            rounds += 1;
        }
        is_over.store(true, Ordering::Relaxed);
        barrier.wait();
    });
    assert!(lines(&record) > at_once());
    let reports = rounds * EACH * threads as u64;
    assert_eq!(record.totals().sum().rejected, reports);
}

/// Threads report, and sleep in turns, on lines that they share.
#[test]
fn no_count_is_lost_where_threads_sleep_in_turns() {
    const THREADS: u64 = 12;
    const ROUNDS: u64 = 30;
    const EACH: u64 = 3_000;
    let (record, barrier) = (record(), Barrier::new(THREADS as usize));
    thread::scope(|scope| {
        for (number, index) in (0..THREADS).zip(neighbours()) {
            let (totals, barrier) = (record.totals(), &barrier);
            scope.spawn(move || {
                for round in 0..ROUNDS {
                    barrier.wait();
                    if (round + number) % 3 != 0 {
                        (0..EACH).for_each(|_| totals.success_as(index, &ALL, round));
                    }
                }
            });
        }
    });
    let sums = record.totals().sum();
    assert_eq!(sums.successes, THREADS * ROUNDS * EACH * 2 / 3);
    assert_eq!(sums.last_success_ms, Some(ROUNDS - 1));
}
