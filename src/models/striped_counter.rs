//! The protocols of the counter: which thread may write a cell, how an index changes hands, how a
//! block is attached, and what a reader sees meanwhile.
//!
//! No party runs in a model's main thread, which loom explores incompletely. Each model says which
//! mutation of the code it catches.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use loom::thread;

use crate::structures::reserve::Reserve;
use crate::structures::striped_counter::block::live_blocks;
use crate::structures::striped_counter::{
    Cell, Cells, Failures, Maker, Owner, Pool, Shared, Stripes, Totals, fresh_cells,
};

struct Record<const SPARE: usize> {
    primary: Cell,
    failures: Failures,
    owner: Owner,
    stripes: Stripes,
    shared: Shared,
    reserve: Reserve<Cells, SPARE>,
}

impl<const SPARE: usize> Record<SPARE> {
    fn new() -> Arc<Self> {
        Arc::new(Record {
            primary: Cell::new(),
            failures: Failures::new(),
            owner: Owner::new(),
            stripes: Stripes::new(),
            shared: Shared::new(),
            reserve: Reserve::new(),
        })
    }

    fn totals(&self) -> Totals<'_> {
        Totals {
            primary: &self.primary,
            failures: &self.failures,
            owner: &self.owner,
            stripes: &self.stripes,
            shared: &self.shared,
        }
    }

    fn success(&self, index: u16, now_ms: u64) {
        self.totals().success_as(index, &self.reserve, now_ms);
    }

    fn rejected(&self, index: u16) {
        self.totals().rejected_as(index, &self.reserve);
    }
}

/// Blocks of all sizes.
const ALL: Maker = Maker { sizes: 2 };

/// Runs `model`, and returns the set of all its executions' outcomes.
fn outcomes<T: Ord + Send + 'static>(
    preemptions: Option<usize>,
    model: impl Fn() -> T + Send + Sync + 'static,
) -> BTreeSet<T> {
    let seen = Arc::new(Mutex::new(BTreeSet::new()));
    let sink = seen.clone();
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = preemptions;
    builder.check(move || {
        let outcome = model();
        sink.lock().unwrap().insert(outcome);
    });
    std::mem::take(&mut *seen.lock().unwrap())
}

fn join<T>(parties: impl IntoIterator<Item = thread::JoinHandle<T>>) -> Vec<T> {
    parties.into_iter().map(|p| p.join().unwrap()).collect()
}

/// Two threads report to a new record while the reserve is empty. One thread gets the primary cell,
/// and the other counts in the shared one.
///
/// Mutation: `owning-by-a-store`.
/// Both threads then count in the primary cell, and one success is lost.
#[test]
fn the_primary_has_one_owner() {
    let seen = outcomes(None, || {
        let record = Record::<0>::new();
        join([1, 2].map(|index| {
            let record = record.clone();
            thread::spawn(move || record.success(index, index.into()))
        }));
        let sums = record.totals().sum();
        assert_eq!((sums.successes, sums.last_success_ms), (2, Some(2)));
        record.owner.index()
    });
    assert_eq!(seen, BTreeSet::from([1, 2]));
}

/// Two threads without a cell count in the shared one.
///
/// Mutations: `counting-by-a-store` loses a success, `the-last-time-by-a-store` the later time.
#[test]
fn the_shared_cell_has_many_writers() {
    outcomes(None, || {
        let record = Record::<0>::new();
        record.rejected(9);
        join([1, 2].map(|index| {
            let record = record.clone();
            thread::spawn(move || record.success(index, index.into()))
        }));
        let sums = record.totals().sum();
        assert_eq!((sums.successes, sums.last_success_ms), (2, Some(2)));
    });
}

/// Two threads without a stripe count their failures in the shared one.
///
/// Mutation: `shared-failures-by-a-store`.
#[test]
fn failures_without_a_place_are_all_counted() {
    outcomes(None, || {
        let record = Record::<0>::new();
        record.rejected(9);
        join([1, 2].map(|index| {
            let record = record.clone();
            thread::spawn(move || record.totals().failed_as(index, &record.reserve))
        }));
        assert_eq!(record.totals().sum().failures, 2);
    });
}

/// Two threads claim an index of one pool and release it. If they overlap, their indexes differ.
/// Otherwise the second thread has the index of the first, and goes on in its cell.
///
/// Mutations: `giving-an-index-back-relaxed`, `taking-an-index-relaxed`. The second thread may then
/// read an outdated count from the cell.
#[test]
fn an_index_hands_its_cells_over() {
    let seen = outcomes(None, || {
        let record = Record::<0>::new();
        let pool = Arc::new(Pool::<1>::new());
        let mut indexes = join([1, 2].map(|now_ms| {
            let (record, pool) = (record.clone(), pool.clone());
            thread::spawn(move || {
                let index = pool.claim().expect("64 indexes");
                record.success(index, now_ms);
                pool.release(index);
                index
            })
        }));
        let sums = record.totals().sum();
        assert_eq!((sums.successes, sums.last_success_ms), (2, Some(2)));
        indexes.sort_unstable();
        indexes
    });
    assert_eq!(seen, BTreeSet::from([vec![1, 1], vec![1, 2]]));
}

/// Two threads report two failures each to a new record, and the reserve has a block.
///
/// Mutation: `a-failure-in-the-stripe-of-another`. Both then count in one stripe, and a failure is
/// lost.
#[test]
fn failures_have_a_place_for_each_thread() {
    outcomes(Some(3), || {
        let record = Record::<1>::new();
        record.reserve.refill(usize::MAX, fresh_cells);
        join([1, 2].map(|index| {
            let record = record.clone();
            thread::spawn(move || {
                record.totals().failed_as(index, &record.reserve);
                record.totals().failed_as(index, &record.reserve);
            })
        }));
        assert_eq!(record.totals().sum().failures, 4);
        assert_eq!(record.shared.sum().failures, 0);
    });
}

/// An index changes hands while a third party changes another bit of the same word.
///
/// Mutation: `giving-an-index-back-by-a-store`.
/// The index of the third party then becomes free while it is in use.
#[test]
fn a_hand_over_survives_its_neighbours() {
    let seen = outcomes(Some(3), || {
        let record = Record::<0>::new();
        let pool = Arc::new(Pool::<1>::new());
        let mut indexes = join([(); 3].map(|()| {
            let (record, pool) = (record.clone(), pool.clone());
            thread::spawn(move || {
                let index = pool.claim().expect("64 indexes");
                record.rejected(index);
                pool.release(index);
                index
            })
        }));
        assert_eq!(record.totals().sum().rejected, 3);
        indexes.sort_unstable();
        indexes
    });
    assert!(seen.contains(&vec![1, 1, 1]) && seen.contains(&vec![1, 1, 2]));
    assert!(seen.contains(&vec![1, 2, 3]));
}

/// Two threads with the same home line find the primary cell taken, and each takes a block of the
/// reserve. One block is attached, and the other one goes back. Each thread gets a cell of its own.
///
/// Mutation: `attaching-by-a-store` (a count is lost with the block that was overwritten).
#[test]
fn one_block_is_attached() {
    let seen = outcomes(None, || {
        let record = Record::<2>::new();
        record.reserve.refill(usize::MAX, fresh_cells);
        record.rejected(9);
        join([1, 3].map(|index| {
            let record = record.clone();
            thread::spawn(move || record.rejected(index))
        }));
        assert_eq!(record.totals().sum().rejected, 3);
        assert_eq!(record.shared.sum().rejected, 0);
        assert_eq!(live_blocks(), 2);
        let spare = record.reserve.filled();
        drop(record);
        assert_eq!(live_blocks(), 0);
        spare
    });
    // In the second outcome, the thread with the first block of the reserve has lost the race.
    let expected = [vec![false, true], vec![true, false]];
    assert_eq!(seen, BTreeSet::from(expected));
}

/// Three threads have the same home line. Two own its cells and count there, while the third finds
/// the line full and replaces the block. Each of the two may be stopped in the middle of a report
/// to its cell of the old block.
///
/// Mutations: `a-larger-block-without-those-before` (what was counted in a block is lost with it),
/// `the-cell-of-any-owner` (two threads count in one cell).
#[test]
fn a_block_is_replaced_while_its_owners_report() {
    let seen = outcomes(Some(2), || {
        let record = Record::<0>::new();
        for index in [2, 1, 3] {
            record.totals().rejected_as(index, &ALL);
        }
        join([1, 3, 5].map(|index| {
            let record = record.clone();
            thread::spawn(move || record.totals().rejected_as(index, &ALL))
        }));
        assert_eq!(record.totals().sum().rejected, 6);
        assert_eq!(record.shared.sum().rejected, 0);
        let blocks = live_blocks();
        assert_eq!(blocks, record.stripes.all().count() as isize);
        drop(record);
        assert_eq!(live_blocks(), 0);
        blocks
    });
    assert_eq!(seen, BTreeSet::from([2]));
}

/// Two threads find their line full and crowded, and each brings a larger block. One of the blocks
/// goes back.
///
/// Mutation: `attaching-by-a-store`, here as well.
#[test]
fn of_two_larger_blocks_one_is_attached() {
    outcomes(None, || {
        let record = Record::<0>::new();
        for index in [2, 1, 3, 3, 1] {
            record.totals().rejected_as(index, &ALL);
        }
        join([3, 5].map(|index| {
            let record = record.clone();
            thread::spawn(move || record.totals().rejected_as(index, &ALL))
        }));
        assert_eq!(record.totals().sum().rejected, 7);
        assert_eq!(record.shared.sum().rejected, 0);
        assert_eq!(live_blocks(), 2);
        drop(record);
        assert_eq!(live_blocks(), 0);
    });
}

/// A thread moves to a larger block while a reader sums twice.
///
/// Mutation: `a-larger-block-published-before-those-before` (for a moment the sum leaves the older
/// blocks out).
#[test]
fn sums_only_grow_with_the_blocks() {
    let seen = outcomes(Some(3), || {
        let record = Record::<0>::new();
        for index in [2, 1, 3, 1] {
            record.totals().rejected_as(index, &ALL);
        }
        let reporter = {
            let record = record.clone();
            thread::spawn(move || {
                record.totals().rejected_as(3, &ALL);
                record.totals().rejected_as(3, &ALL);
            })
        };
        let reader = {
            let record = record.clone();
            thread::spawn(move || {
                let first = record.totals().sum().rejected;
                (first, record.totals().sum().rejected)
            })
        };
        reporter.join().unwrap();
        let (first, second) = reader.join().unwrap();
        assert_eq!(record.totals().sum().rejected, 6);
        assert_eq!(live_blocks(), 2);
        assert!(4 <= first && first <= second && second <= 6);
        (first, second)
    });
    assert!(seen.contains(&(4, 4)) && seen.contains(&(4, 6)));
}

/// One thread takes a block of the reserve while two others refill it. No block is lost, leaked or
/// freed twice, and a block arrives with its content.
///
/// Mutation: `giving-a-block-back-by-a-store` (one of the two that refill overwrites the other's
/// block).
#[test]
fn a_reserve_is_refilled_while_it_is_used() {
    outcomes(Some(3), || {
        let record = Record::<1>::new();
        record.rejected(9);
        let refill = |record: Arc<Record<1>>| {
            thread::spawn(move || record.reserve.refill(usize::MAX, fresh_cells))
        };
        let report = |record: Arc<Record<1>>| thread::spawn(move || record.rejected(1));
        join([
            refill(record.clone()),
            refill(record.clone()),
            report(record.clone()),
        ]);
        assert_eq!(record.totals().sum().rejected, 2);
        drop(record);
        assert_eq!(live_blocks(), 0);
    });
}

/// A reader sums while two threads report. One of them also refills the reserve, so a block may be
/// made and attached meanwhile. Sums never decrease, and never exceed the final one.
///
/// Mutation: `attaching-relaxed` (the block is seen before its content).
#[test]
fn sums_only_grow() {
    let seen = outcomes(Some(3), || {
        let record = Record::<1>::new();
        let reporters = [1, 2].map(|index| {
            let record = record.clone();
            thread::spawn(move || {
                if index == 1 {
                    record.reserve.refill(usize::MAX, fresh_cells);
                }
                record.rejected(index);
            })
        });
        let reader = {
            let record = record.clone();
            thread::spawn(move || {
                let first = record.totals().sum().rejected;
                (first, record.totals().sum().rejected)
            })
        };
        join(reporters);
        let (first, second) = reader.join().unwrap();
        assert_eq!(record.totals().sum().rejected, 2);
        assert!(first <= second && second <= 2);
        (first, second)
    });
    let expected = [(0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2)];
    assert_eq!(seen, BTreeSet::from(expected));
}

/// Two threads restore totals, and a third one counts a success.
///
/// Mutation: `raising-by-an-addition`.
#[test]
fn totals_that_are_raised_twice_are_raised_once() {
    let seen = outcomes(Some(3), || {
        let record = Record::<0>::new();
        record.success(1, 1);
        let mut parties = Vec::from([4, 5].map(|total| {
            let record = record.clone();
            thread::spawn(move || record.totals().raise(total, 0, 0))
        }));
        let counting = record.clone();
        parties.push(thread::spawn(move || counting.success(1, 1)));
        join(parties);
        record.totals().sum().successes
    });
    assert_eq!(seen, BTreeSet::from([5, 6]));
}
