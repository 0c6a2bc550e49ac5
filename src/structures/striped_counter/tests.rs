//! The counter with real threads: exact totals in every situation that sends a
//! report to another kind of cell.

mod crowds;

use std::sync::Barrier;
use std::thread;

use super::block::live_blocks;
use super::*;
use crate::structures::reserve::Reserve;

fn filled<const N: usize>(reserve: &Reserve<Cells, N>) -> usize {
    reserve.filled().into_iter().filter(|&full| full).count()
}

fn sums(successes: u64, rejected: u64, last_success_ms: Option<u64>) -> Sums {
    Sums {
        successes,
        rejected,
        failures: 0,
        last_success_ms,
    }
}

fn at(ms: u64) -> Tick {
    Tick::from_ms(ms)
}

#[test]
fn one_thread_needs_only_the_primary() {
    let record = Counter::new();
    assert_eq!(record.totals().sum(), sums(0, 0, None));
    record.totals().success(at(0), |_| {});
    assert_eq!(record.totals().sum(), sums(1, 0, Some(0)));
    record.totals().success(at(7), |_| {});
    record.totals().success(at(5), |_| {});
    record.totals().rejected();
    assert_eq!(record.totals().sum(), sums(3, 1, Some(7)));
    assert_eq!(record.shared.sum(), Sums::default());
    assert!(record.stripes.newest().is_none());
}

#[test]
fn eight_threads_on_one_record() {
    const EACH: u64 = 100_000;
    refill();
    let record = Counter::new();
    thread::scope(|scope| {
        for t in 0..8 {
            let totals = record.totals();
            scope.spawn(move || {
                for i in 0..EACH {
                    totals.success(at(t * EACH + i), |_| {});
                    if i % 4 == 0 {
                        totals.rejected();
                    }
                }
            });
        }
        let mut before = Sums::default();
        for _ in 0..1_000 {
            let now = record.totals().sum();
            assert!(now.successes >= before.successes && now.rejected >= before.rejected);
            assert!(now.last_success_ms >= before.last_success_ms);
            before = now;
        }
    });
    let expected = sums(8 * EACH, 2 * EACH, Some(8 * EACH - 1));
    assert_eq!(record.totals().sum(), expected);
}

#[test]
fn short_lived_threads_hand_their_cells_on() {
    refill();
    let record = Counter::new();
    for round in 0..200 {
        thread::scope(|scope| {
            for _ in 0..4 {
                scope
                    .spawn(|| (0..50).for_each(|_| _ = record.totals().success(at(round), |_| {})));
            }
        });
    }
    assert_eq!(record.totals().sum(), sums(200 * 4 * 50, 0, Some(199)));
}

#[test]
fn short_lived_threads_that_overlap_on_one_pool() {
    const THREADS: u64 = 8;
    let (pool, reserve, record) = (Pool::<1>::new(), Reserve::<Cells, 1>::new(), Counter::new());
    reserve.refill(usize::MAX, fresh_cells);
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                for i in 0..20_000 {
                    let index = pool.claim().expect("8 threads, 64 indexes");
                    record.totals().success_as(index, &reserve, i);
                    record.totals().rejected_as(index, &reserve);
                    pool.release(index);
                }
            });
        }
    });
    let expected = sums(THREADS * 20_000, THREADS * 20_000, Some(19_999));
    assert_eq!(record.totals().sum(), expected);
}

#[test]
fn an_empty_reserve_sends_reports_to_the_shared_cell() {
    const THREADS: u16 = 4;
    let (reserve, record) = (Reserve::<Cells, 1>::new(), Counter::new());
    record.totals().success_as(1, &reserve, 1);
    thread::scope(|scope| {
        for index in 2..=THREADS {
            let (totals, reserve) = (record.totals(), &reserve);
            scope.spawn(move || (0..10_000).for_each(|i| totals.success_as(index, reserve, i)));
        }
    });
    assert!(record.stripes.newest().is_none());
    assert_eq!(record.shared.sum(), sums(30_000, 0, Some(9_999)));
    assert_eq!(record.totals().sum(), sums(30_001, 0, Some(9_999)));

    reserve.refill(usize::MAX, fresh_cells);
    record.totals().success_as(2, &reserve, 1);
    assert!(record.stripes.newest().is_some());
    assert_eq!(record.shared.sum().successes, 30_000);
    assert_eq!(record.totals().sum().successes, 30_002);
}

#[test]
fn a_full_block_sends_reports_to_the_shared_cell() {
    let (reserve, record) = (Reserve::<Cells, 1>::new(), Counter::new());
    reserve.refill(usize::MAX, fresh_cells);
    for _ in 0..2 {
        (1..=1_000).for_each(|index| record.totals().rejected_as(index, &reserve));
    }
    let cells = record.stripes.newest().expect("attached").cells().count() as u64;
    assert_eq!(record.shared.sum().rejected, 2 * (1_000 - 1 - cells));
    assert_eq!(record.totals().sum().rejected, 2_000);
}

/// Mutation: `a-failure-in-the-stripe-of-another`.
#[test]
fn each_thread_counts_its_failures_in_its_own_stripe() {
    refill();
    let record = Counter::new();
    let failures = |times: u64| (0..times).for_each(|_| _ = record.totals().failed());
    failures(3);
    thread::scope(|scope| {
        scope.spawn(|| failures(4));
    });
    assert_eq!(record.failures.get(), 3);
    assert_eq!(record.shared.sum(), Sums::default());
    assert_eq!(record.totals().sum().failures, 7);
    assert_eq!(record.totals().sum().successes, 0);
}

/// Mutation: `a-full-count-that-begins-again`.
#[test]
fn a_full_count_sends_failures_to_the_shared_one() {
    let (reserve, record) = (Reserve::<Cells, 1>::new(), Counter::new());
    let failures = |times: u64| (0..times).for_each(|_| record.totals().failed_as(1, &reserve));
    failures(1);
    record.failures.set(u32::MAX - 2);
    let mut before = record.totals().sum().failures;
    for _ in 0..5 {
        failures(1);
        let now = record.totals().sum().failures;
        assert_eq!(now, before + 1);
        before = now;
    }
    assert_eq!(record.shared.sum().failures, 3);
}

#[test]
fn failures_of_threads_without_a_stripe_are_shared() {
    let (reserve, record) = (Reserve::<Cells, 1>::new(), Counter::new());
    for index in [1, 2, 3, 1] {
        record.totals().failed_as(index, &reserve);
    }
    assert_eq!(record.shared.sum().failures, 2);
    assert_eq!(record.totals().sum().failures, 4);
}

/// Mutation: `failures-raised-over-the-shared-ones`.
#[test]
fn raised_failures_include_those_of_all_stripes() {
    let (reserve, record) = (Reserve::<Cells, 1>::new(), Counter::new());
    for index in [1, 1, 1, 2] {
        record.totals().failed_as(index, &reserve);
    }
    for (to, expected) in [(3, 4), (9, 9), (8, 9)] {
        record.totals().raise(0, 0, to);
        assert_eq!(record.totals().sum().failures, expected);
    }
}

#[test]
fn failures_of_many_threads_are_all_counted() {
    const EACH: u64 = 50_000;
    refill();
    let record = Counter::new();
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| (0..EACH).for_each(|_| _ = record.totals().failed()));
        }
        let mut before = 0;
        for _ in 0..1_000 {
            let now = record.totals().sum().failures;
            assert!(now >= before);
            before = now;
        }
    });
    assert_eq!(record.totals().sum().failures, 8 * EACH);
}

#[test]
fn threads_with_the_same_home_line_get_different_cells() {
    let (reserve, record) = (Reserve::<Cells, 1>::new(), Counter::new());
    reserve.refill(usize::MAX, fresh_cells);
    for index in [9, 64, 128, 192, 128, 64] {
        record.totals().rejected_as(index, &reserve);
    }
    let cells = record.stripes.newest().expect("attached").cells();
    let mut counts: Vec<u64> = cells
        .map(|stripe| {
            let mut sums = Sums::default();
            stripe.cell.add_to(&mut sums);
            sums.rejected
        })
        .filter(|&count| count != 0)
        .collect();
    counts.sort_unstable();
    assert_eq!(counts, [1, 2, 2]);
    assert_eq!(record.shared.sum().rejected, 0);
}

#[test]
fn dropping_frees_every_block() {
    assert_eq!(live_blocks(), 0);
    let reserve = Reserve::<Cells, 8>::new();
    reserve.refill(8, fresh_cells);
    reserve.refill(8, fresh_cells);
    assert_eq!((live_blocks(), filled(&reserve)), (8, 8));
    for _ in 0..5 {
        let record = Counter::new();
        record.totals().rejected_as(1, &reserve);
        record.totals().rejected_as(2, &reserve);
        assert!(record.stripes.newest().is_some());
    }
    assert_eq!((live_blocks(), filled(&reserve)), (3, 3));
    let spare = reserve.take().expect("three are left");
    reserve.refill(usize::MAX, fresh_cells);
    reserve.give_back(spare);
    assert_eq!((live_blocks(), filled(&reserve)), (8, 8));
    drop(reserve);
    assert_eq!(live_blocks(), 0);
}

#[test]
fn indexes_are_bounded_and_the_lowest_is_reused() {
    let pool = Pool::<2>::new();
    for expected in 1..=128 {
        assert_eq!(pool.claim(), Some(expected));
    }
    assert_eq!(pool.claim(), None);
    pool.release(65);
    pool.release(64);
    assert_eq!(
        [pool.claim(), pool.claim(), pool.claim()],
        [Some(64), Some(65), None]
    );
}

#[test]
fn live_threads_have_different_indexes() {
    let barrier = Barrier::new(16);
    let mut owners: Vec<u16> = thread::scope(|scope| {
        let report = || {
            let record = Counter::new();
            record.totals().rejected();
            barrier.wait();
            record.owner.index()
        };
        let threads: Vec<_> = (0..16).map(|_| scope.spawn(report)).collect();
        threads.into_iter().map(|t| t.join().unwrap()).collect()
    });
    owners.sort_unstable();
    owners.dedup();
    assert_eq!(owners.len(), 16);
    assert!(owners.iter().all(|&owner| (1..=4096).contains(&owner)));
}

#[test]
fn a_destructor_that_reports_after_the_index_is_gone_is_counted() {
    use std::cell::OnceCell;
    use std::sync::Arc;

    struct Late(Arc<Counter>);
    impl Drop for Late {
        fn drop(&mut self) {
            self.0.totals().success(at(2), |_| {});
        }
    }
    thread_local! {
        static EARLIER: OnceCell<Late> = const { OnceCell::new() };
        static LATER: OnceCell<Late> = const { OnceCell::new() };
    }

    let record = Arc::new(Counter::new());
    let theirs = record.clone();
    thread::spawn(move || {
        // One destructor runs before that of the lease and one after it, in either order.
        assert!(EARLIER.with(|late| late.set(Late(theirs.clone())).is_ok()));
        theirs.totals().success(at(1), |_| {});
        assert!(LATER.with(|late| late.set(Late(theirs.clone())).is_ok()));
    })
    .join()
    .unwrap();
    assert_eq!(record.totals().sum(), sums(3, 0, Some(2)));
    assert_eq!(record.shared.sum().successes, 1);
}

#[test]
fn the_latest_time_there_is_does_not_wrap() {
    let record = Counter::new();
    record.totals().success(at(u64::MAX), |_| {});
    let last = record.totals().sum().last_success_ms;
    assert!(last > Some(1 << 43), "{last:?}");
}

#[test]
fn threads_that_share_hundreds_of_records_soon_have_cells_in_all() {
    let records: Vec<Counter> = (0..500).map(|_| Counter::new()).collect();
    let report = |expected: u64| {
        for record in &records {
            record.totals().success(at(expected), |_| {});
        }
    };
    report(0);
    let mut refills = 0;
    while records
        .iter()
        .any(|record| record.stripes.newest().is_none())
    {
        thread::scope(|scope| {
            scope.spawn(|| report(refills));
        });
        stocks().for_each(|stock| _ = stock.wants_refill());
        refill();
        refills += 1;
        assert!(refills < 200, "the reserve does not grow with demand");
    }
    for record in &records {
        assert_eq!(record.totals().sum().successes, 1 + refills);
    }
}

#[test]
fn a_reserve_that_was_found_empty_just_before_it_was_filled_is_filled_again() {
    let smallest = stocks().next().expect("sizes");
    smallest.refill();
    // As if a thread that found it empty wrote that only now.
    smallest.say_empty();
    // Other tests take from it too, so a single try may fail.
    let is_filled = || {
        smallest.refill();
        smallest.take().is_some()
    };
    assert!((0..1_000).any(|_| is_filled()));
}
