//! The window of the rates: a slow call is counted twice, as a call and as slow.
//!
//! A reader that finds only the slow one computes a rate that is too high. No party runs in a
//! model's main thread, which loom explores incompletely.

use loom::sync::Arc;
use loom::thread;

use crate::structures::rate_window::RateWindow;
use crate::structures::striped_counter::Counter;

/// Mutations: `calls-read-before-those-that-were-slow`, `a-slow-call-counted-relaxed`.
#[test]
fn no_thread_finds_more_slow_calls_than_calls() {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(|| {
        let record = Counter::new();
        let window = RateWindow::new(2_000, record.totals(), 0);
        // Begins the bucket beforehand: its begin would publish the failure, too.
        window.failed(0);
        window.was_slow(0);
        let shared = Arc::new((record, window));
        let reporter = shared.clone();
        let reporter = thread::spawn(move || {
            reporter.1.failed(0);
            reporter.1.was_slow(0);
        });
        let reader = shared.clone();
        let reader = thread::spawn(move || {
            let (record, window) = &*reader;
            let sums = window.within(record.totals(), || 0);
            sums.expect("the clock stands")
        });
        reporter.join().unwrap();
        let sums = reader.join().unwrap();
        assert!(sums.slow <= sums.failures, "{sums:?}");
    });
}
