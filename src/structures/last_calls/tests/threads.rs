//! Two threads, whose reports are known by their positions.

use std::sync::Barrier;
use std::thread;

use super::*;
use crate::values::key::scramble;

/// What a thread knows of its reports: epoch, lap, index, and outcome, in an order.
type Log = Vec<((u64, u64, u32), Outcome)>;

/// Reports and restarts, and returns what was reported.
fn work(ring: &LastCalls, seed: u64, reports: u64, restarts: bool) -> Log {
    let mut log = Log::new();
    for number in 0..reports {
        let random = scramble(seed + number);
        if restarts && random.is_multiple_of(1_000) {
            ring.restart(generation(1));
        }
        let claim = ring.begin();
        let outcome = outcome(if random & 0xf0 < 0x80 { random } else { 0 });
        let counts = ring.settle(claim, outcome);
        assert!(counts.calls <= ring.shape.slots());
        assert!(counts.failures <= counts.calls && counts.slow <= counts.calls);
        log.push((claim.order(), outcome));
    }
    log
}

fn stress(many: u32, reports: u64, restarts: bool) {
    let ring = LastCalls::new(many);
    let together = Barrier::new(2);
    let mut log = thread::scope(|scope| {
        let reporters = [1, 2].map(|thread| {
            let (ring, together) = (&ring, &together);
            scope.spawn(move || {
                together.wait();
                work(ring, thread << 32, reports, restarts)
            })
        });
        let logs = reporters.map(|reporter| reporter.join().expect("a log"));
        logs.concat()
    });
    log.sort_by_key(|&(order, _)| order);
    assert!(
        log.windows(2).all(|two| two[0].0 != two[1].0),
        "one position twice"
    );
    // The epoch may have begun after the last report.
    let last = ring.read_head().epoch;
    let log: Vec<_> = log
        .iter()
        .filter(|(order, _)| order.0 == last.number())
        .collect();
    let first = log.len().saturating_sub(many as usize);
    assert_eq!(
        ring.now(),
        counts_of(log[first..].iter().map(|(_, outcome)| outcome))
    );
}

#[test]
fn two_threads_lose_nothing() {
    for many in [1, 2, 3, 10, 64, 1_000] {
        stress(many, 30_000, false);
    }
}

#[test]
fn two_threads_that_restart_lose_nothing() {
    for many in [1, 2, 3, 10, 64, 1_000] {
        stress(many, 30_000, true);
    }
}
