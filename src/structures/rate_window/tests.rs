//! The window beside a log of all reports.

use std::thread;

use super::marks::{BUCKETS, SLOTS};
use super::*;
use crate::structures::reserve::Reserve;
use crate::structures::striped_counter::{Cells, Counter, Maker, Store, fresh_cells};
use crate::sys::clock::LAST_MOMENT;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Success,
    SlowSuccess,
    Late,
    Failure,
    SlowFailure,
}

/// Each report's moment in ms, and its kind.
type Log = Vec<(u64, Kind)>;

/// What the log says of the window that ends at `now`: whole buckets, the last one up to now.
fn expected(log: &Log, span: u64, now: u64) -> Sums {
    let bucket = |ms: u64| ms * BUCKETS / span;
    let first = bucket(now).saturating_sub(BUCKETS - 1);
    let mut sums = Sums::default();
    for (_, kind) in log.iter().filter(|(at, _)| bucket(*at) >= first) {
        match kind {
            Kind::Success => sums.successes += 1,
            Kind::SlowSuccess => {
                sums.successes += 1;
                sums.slow += 1;
            }
            Kind::Late => {}
            Kind::Failure => sums.failures += 1,
            Kind::SlowFailure => {
                sums.failures += 1;
                sums.slow += 1;
            }
        }
    }
    sums
}

struct Reporter<'a, S> {
    window: &'a RateWindow,
    totals: Totals<'a>,
    store: &'a S,
}

impl<S: Store> Reporter<'_, S> {
    fn report(&self, index: u16, now: u64, kind: Kind) {
        let (window, totals) = (self.window, self.totals);
        if matches!(kind, Kind::Success | Kind::SlowSuccess | Kind::Late) {
            let turn = |cell: &Cell| window.turn(totals, cell, now);
            totals.success_as_turning(index, self.store, now, turn);
        }
        match kind {
            Kind::Success => {}
            Kind::SlowSuccess => window.was_slow(now),
            Kind::Late => window.was_late(now),
            Kind::Failure => window.failed(now),
            Kind::SlowFailure => {
                window.failed(now);
                window.was_slow(now);
            }
        }
    }
}

/// A random number generator with a fixed seed.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }
}

fn kind(numbers: &mut Numbers) -> Kind {
    match numbers.below(10) {
        0 => Kind::SlowSuccess,
        1 => Kind::Late,
        2 | 3 => Kind::Failure,
        4 => Kind::SlowFailure,
        _ => Kind::Success,
    }
}

/// Pauses of all lengths, reports in cells of several threads and in the shared one, and windows
/// whose buckets are no whole ms.
#[test]
fn a_window_counts_the_reports_of_its_buckets() {
    let reserve = Reserve::<Cells, 1>::new();
    for (seed, span) in [(1, 1_000), (2, 1_007), (3, 9_999), (4, 3_600_000)] {
        reserve.refill(usize::MAX, fresh_cells);
        let threads: Vec<u16> = (1..600).collect();
        compare_with_log(seed, span, &threads, &reserve);
    }
}

/// Threads that share lines, and get larger blocks meanwhile.
#[test]
fn a_window_counts_the_reports_of_crowds() {
    let store = Maker { sizes: 4 };
    for (seed, span) in [(5, 1_000), (6, 9_999)] {
        let threads: Vec<u16> = (0..6).map(|k| 1 + 64 * k).collect();
        let blocks = compare_with_log(seed, span, &threads, &store);
        assert!(blocks > 1, "{blocks}");
    }
}

/// Returns how many blocks of cells there are in the end.
fn compare_with_log(seed: u64, span: u64, threads: &[u16], store: &impl Store) -> usize {
    let mut numbers = Numbers(seed << 32 | 0x7f4a_7c15);
    let record = Counter::new();
    let mut now = numbers.below(1 << 39);
    for index in threads {
        record.totals().success_as(*index, store, now);
    }
    let window = RateWindow::new(span, record.totals(), now);
    let reporter = Reporter {
        window: &window,
        totals: record.totals(),
        store,
    };
    let mut log = Log::new();
    for _ in 0..20_000 {
        now += match numbers.below(20) {
            0 => span / 10 + numbers.below(span / 5),
            1 => numbers.below(3 * span),
            2..5 => numbers.below(1 + span / 50),
            _ => 0,
        };
        let kind = kind(&mut numbers);
        let index = threads[numbers.below(threads.len() as u64) as usize];
        reporter.report(index, now, kind);
        log.push((now, kind));
        let recent = log.partition_point(|(at, _)| at + 2 * span < now);
        log.drain(..recent);
        let found = window.within(record.totals(), || now);
        assert_eq!(found, Some(expected(&log, span, now)), "of {span} at {now}");
    }
    record.stripes.all().count()
}

/// A mark of the same bucket of another lap is a mark of another time, however many laps ago.
#[test]
fn a_mark_is_never_taken_for_that_of_another_lap() {
    for span in [1_000, 10_000, 3_600_000] {
        let buckets = Buckets::of(span);
        let last = buckets.at(LAST_MOMENT);
        assert!(last.lap() < buckets.no_lap());
        let width = span / BUCKETS;
        // The count of a window does not wrap, with up to one call for each 3 ns.
        assert!(
            1_u128 << buckets.count_bits > u128::from(span) * 1_000_000 / 3,
            "{span}"
        );
        let marks = Marks::new();
        for lap in [0, 1, 5, 1 << 20] {
            let now = buckets.at((lap * SLOTS + 3) * width);
            assert_eq!(marks.since(buckets, now, || 90), 0, "{span}, lap {lap}");
            marks.begin(buckets, now, || 40);
            assert_eq!(marks.since(buckets, now, || 90), 50);
        }
    }
}

#[test]
fn a_stopped_thread_leaves_the_mark_of_a_later_lap_alone() {
    let buckets = Buckets::of(1_000);
    let marks = Marks::new();
    let (early, late) = (buckets.at(300), buckets.at(300 + 1_200));
    marks.begin(buckets, late, || 7);
    marks.begin(buckets, early, || 2);
    assert_eq!(marks.since(buckets, late, || 9), 2);
}

/// The stopped thread read the clock, and others reported in the next bucket before it went on.
#[test]
fn a_stopped_thread_takes_no_report_of_a_later_bucket_out() {
    let record = Counter::new();
    let window = RateWindow::new(1_000, record.totals(), 0);
    for _ in 0..10 {
        window.failed(400);
    }
    window.failed(399);
    assert_eq!(window.bad(400).0, 11);
    assert_eq!(
        window.bad(1_299).0,
        11,
        "the stopped one counts as a later one"
    );
    assert_eq!(window.bad(1_399).0, 11);
    assert_eq!(window.bad(1_400).0, 0);
}

/// What is counted in one number must not be missing in another one.
#[test]
fn a_reader_in_the_bucket_before_counts_what_has_its_first_report_in_the_next_one() {
    let record = Counter::new();
    let window = RateWindow::new(1_000, record.totals(), 0);
    window.was_slow(1_100);
    window.failed(1_200);
    window.was_slow(1_200);
    assert_eq!(window.bad(1_199), (1, 2));
}

#[test]
fn no_report_of_threads_that_run_at_once_is_missing_afterwards() {
    const EACH: u64 = 50_000;
    let (record, reserve) = (Counter::new(), Reserve::<Cells, 1>::new());
    reserve.refill(usize::MAX, fresh_cells);
    let window = RateWindow::new(10_000, record.totals(), 0);
    thread::scope(|scope| {
        for index in 1..=4 {
            let reporter = Reporter {
                window: &window,
                totals: record.totals(),
                store: &reserve,
            };
            scope.spawn(move || {
                for i in 0..EACH {
                    // All threads report at the same times, and buckets begin meanwhile.
                    let now = i * 9_000 / EACH;
                    let kind = match i % 4 {
                        0 => Kind::SlowFailure,
                        1 => Kind::Late,
                        _ => Kind::Success,
                    };
                    reporter.report(index, now, kind);
                }
            });
        }
        for _ in 0..1_000 {
            let sums = window
                .within(record.totals(), || 9_000)
                .expect("not stopped");
            assert!(sums.failures <= EACH && sums.slow <= EACH);
        }
    });
    let sums = Sums {
        successes: 2 * EACH,
        failures: EACH,
        slow: EACH,
    };
    assert_eq!(window.within(record.totals(), || 9_000), Some(sums));
    assert_eq!(window.sums(record.totals()), sums);
}
