//! Two threads, whose reports are known by their positions.

use std::sync::Barrier;
use std::thread;

use super::*;
use crate::values::key::scramble;

/// A thread's reports: epoch, lap and index, by which they are sorted, and outcome.
type Log = Vec<((u64, u64, u32), Outcome)>;

/// What a thread does besides reporting in one step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Beside {
    Nothing,
    /// Begins the evidence again, once in a thousand reports.
    Restarts,
    /// Writes one outcome in eight some reports later.
    WritesLate,
}

/// Reports and restarts, and returns what was reported.
fn work(ring: &LastCalls, seed: u64, reports: u64, beside: Beside) -> Log {
    let mut log = Log::new();
    let mut late = Vec::new();
    for number in 0..reports {
        let random = scramble(seed + number);
        if beside == Beside::Restarts && random.is_multiple_of(1_000) {
            ring.restart(generation(1));
        }
        let claim = ring.begin();
        let outcome = outcome(if random & 0xf0 < 0x80 { random } else { 0 });
        log.push((claim.order(), outcome));
        if beside == Beside::WritesLate && random & 0xf00 < 0x200 {
            late.push((claim, outcome));
            if late.len() <= 2 {
                continue;
            }
        } else {
            let counts = ring.settle(claim, outcome);
            assert!(counts.calls <= ring.shape.slots().into());
        }
        if random & 0xf000 < 0x4000 {
            late.drain(..).for_each(|(claim, outcome)| {
                ring.settle(claim, outcome);
            });
        }
    }
    for (claim, outcome) in late {
        ring.settle(claim, outcome);
    }
    log
}

fn stress(many: u32, reports: u64, beside: Beside) {
    let ring = LastCalls::new(many);
    let together = Barrier::new(2);
    let mut log = thread::scope(|scope| {
        let reporters = [1, 2].map(|thread| {
            let (ring, together) = (&ring, &together);
            scope.spawn(move || {
                together.wait();
                work(ring, thread << 32, reports, beside)
            })
        });
        let logs = reporters.map(|reporter| reporter.join().expect("a log"));
        logs.concat()
    });
    log.sort_by_key(|&(order, _)| order);
    let once = log.windows(2).all(|two| two[0].0 != two[1].0);
    assert!(once, "one position twice");
    // The epoch may have begun after the last report.
    let last = ring.read_head().epoch().number();
    log.retain(|(order, _)| order.0 == last);
    let first = log.len().saturating_sub(many as usize);
    let exact = counts_of(log[first..].iter().map(|(_, outcome)| outcome));
    assert_eq!(ring.now(), exact, "{many} calls, {beside:?}");
}

#[test]
fn two_threads_lose_nothing() {
    for many in [1, 2, 3, 10, 64, 1_000] {
        stress(many, 30_000, Beside::Nothing);
    }
}

#[test]
fn two_threads_that_restart_lose_nothing() {
    for many in [1, 2, 3, 10, 64, 1_000] {
        stress(many, 30_000, Beside::Restarts);
    }
}

#[test]
fn two_threads_that_write_late_lose_nothing() {
    for many in [1, 2, 3, 10, 64, 1_000] {
        stress(many, 30_000, Beside::WritesLate);
    }
}
