//! The window of the rates: how a bucket begins, and how reports are counted meanwhile.
//!
//! A window has two buckets here. No party runs in a model's main thread, which loom explores
//! incompletely.

use loom::sync::Arc;
use loom::thread;

use crate::structures::rate_window::RateWindow;
use crate::structures::reserve::Reserve;
use crate::structures::striped_counter::{Cell, Cells, Counter, Maker};

/// The length of the window, in ms. A bucket has half of it.
const SPAN: u64 = 2_000;

struct Model {
    counter: Counter,
    reserve: Reserve<Cells, 0>,
    window: RateWindow,
}

impl Model {
    /// A window that begins at time 0.
    fn new() -> Arc<Self> {
        let counter = Counter::new();
        let window = RateWindow::new(SPAN, counter.totals(), 0);
        Arc::new(Model {
            counter,
            reserve: Reserve::new(),
            window,
        })
    }

    /// A success by the thread with this index. The first thread has a cell of its own, and all
    /// others share one.
    fn succeed(&self, index: u16, now: u64) {
        let totals = self.counter.totals();
        let turn = |cell: &Cell| self.window.turn(totals, cell, now);
        totals.success_as_turning(index, &self.reserve, now, turn);
    }

    /// The successes and failures in the window at `now`.
    fn within(&self, now: u64) -> (u64, u64) {
        let sums = self.window.within(self.counter.totals(), || now);
        let sums = sums.expect("the clock stands");
        (sums.successes, sums.failures)
    }
}

fn explore(model: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(model);
}

fn spawn<T: 'static>(
    model: &Arc<Model>,
    party: impl FnOnce(&Model) -> T + 'static,
) -> thread::JoinHandle<T> {
    let model = model.clone();
    thread::spawn(move || party(&model))
}

fn join<T>(parties: impl IntoIterator<Item = thread::JoinHandle<T>>) {
    for party in parties {
        party.join().unwrap();
    }
}

/// Mutation: `beginning-a-bucket-by-a-store`. The slower thread's mark then counts the failure of
/// the faster one as earlier, so that it is in no bucket.
#[test]
fn two_failures_that_begin_a_bucket_are_both_in_it() {
    explore(|| {
        let model = Model::new();
        let parties = [(); 2].map(|()| spawn(&model, |model| model.window.failed(1_000)));
        join(parties);
        assert_eq!(model.within(1_000), (0, 2));
        assert_eq!(model.within(2_000), (0, 2), "the bucket before");
        assert_eq!(model.within(3_000), (0, 0));
    });
}

/// Mutations: `beginning-over-a-later-bucket`, `beginning-a-bucket-once`. A thread that was stopped
/// a lap ago then overwrites the present bucket's mark, or prevents it from being written.
#[test]
fn a_failure_of_a_lap_ago_leaves_the_bucket_of_now() {
    explore(|| {
        let model = Model::new();
        let late = spawn(&model, |model| model.window.failed(1_000));
        let timely = spawn(&model, |model| model.window.failed(5_000));
        late.join().unwrap();
        timely.join().unwrap();
        let (_, failures) = model.within(5_000);
        // The failure of a lap ago may have been counted in the present bucket.
        assert!((1..=2).contains(&failures), "{failures}");
    });
}

/// Mutation: `marking-after-the-count`. The first success of a bucket is then counted before the
/// bucket's mark.
#[test]
fn the_first_success_of_a_bucket_is_in_it() {
    explore(|| {
        let model = Model::new();
        let owner = spawn(&model, |model| model.succeed(1, 1_000));
        let other = spawn(&model, |model| model.succeed(2, 1_000));
        owner.join().unwrap();
        other.join().unwrap();
        assert_eq!(model.within(1_000), (2, 0));
        assert_eq!(model.within(2_000), (2, 0));
    });
}

/// Mutations: `a-mark-published-relaxed`, `a-mark-read-relaxed`. The reader then finds a count
/// below its mark, and their difference wraps to an immense number.
#[test]
fn no_thread_finds_a_mark_that_is_ahead_of_its_count() {
    explore(|| {
        let model = Model::new();
        let owner = spawn(&model, |model| {
            model.succeed(1, 0);
            model.succeed(1, 2_000);
        });
        let reader = spawn(&model, |model| model.within(2_000));
        owner.join().unwrap();
        let (successes, _) = reader.join().unwrap();
        assert!(successes <= 1, "{successes}");
        assert_eq!(model.within(2_000), (1, 0));
    });
}

/// Mutation: `sums-beside-a-late-success-once`. The baseline is then read between the two steps of
/// the stale success, in the wrong order, and one success too many counts after it.
#[test]
fn a_stale_success_adds_no_call_to_the_evidence_that_begins_beside_it() {
    explore(|| {
        let model = Model::new();
        let stale = spawn(&model, |model| {
            model.succeed(1, 0);
            model.window.was_late(0);
        });
        let beginning = spawn(&model, |model| model.window.sums(model.counter.totals()));
        stale.join().unwrap();
        let baseline = beginning.join().unwrap();
        let counted = model.window.counted(model.counter.totals(), || 0);
        let in_all = counted.expect("the clock stands").in_all;
        let since = in_all.successes.wrapping_sub(baseline.successes);
        assert!([0, u64::MAX].contains(&since), "{since}");
    });
}

/// Mutation: `a-shared-tick-before-its-mark`. A thread that finds the tick then counts its success
/// before the count for the mark is read, so that the success is in no bucket.
#[test]
fn threads_without_cells_share_the_marks_of_a_bucket() {
    explore(|| {
        let model = Model::new();
        // Thread 1 takes the only cell that has one owner.
        model.succeed(1, 0);
        let parties = [2, 3].map(|index| spawn(&model, move |model| model.succeed(index, 1_000)));
        join(parties);
        assert_eq!(model.within(1_000), (3, 0));
        assert_eq!(model.within(2_000), (2, 0));
    });
}

/// One thread of a line moves to a larger block, where its lane is the same.
///
/// Mutation: `a-mark-of-one-cell`. What was counted before in the same lane is then in the bucket.
#[test]
fn threads_of_a_line_share_the_marks_of_a_bucket() {
    const ALL: Maker = Maker { sizes: 2 };
    fn succeed(model: &Model, index: u16, now: u64) {
        let totals = model.counter.totals();
        let turn = |cell: &Cell| model.window.turn(totals, cell, now);
        totals.success_as_turning(index, &ALL, now, turn);
    }
    explore(|| {
        let model = Model::new();
        for index in [2, 1, 3, 3, 1] {
            succeed(&model, index, 0);
        }
        let parties = [1, 3].map(|index| spawn(&model, move |model| succeed(model, index, 1_000)));
        join(parties);
        assert_eq!(model.counter.stripes.all().count(), 2);
        assert_eq!(model.within(1_000), (7, 0));
        assert_eq!(model.within(2_000), (2, 0), "the bucket before");
        assert_eq!(model.within(3_000), (0, 0));
    });
}
