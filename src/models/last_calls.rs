//! The outcomes of the last reports: [`last_calls`](crate::structures::last_calls).
//!
//! No party runs in a model's main thread, which loom explores incompletely.

use std::collections::BTreeSet;
use std::sync::Mutex;

use loom::sync::Arc;
use loom::thread::{self, JoinHandle};

use crate::structures::last_calls::LastCalls;
use crate::values::generation::Generation;
use crate::values::rates::{Counts, Outcome};

const GOOD: Outcome = Outcome {
    failed: false,
    slow: false,
};
const FAILED: Outcome = Outcome {
    failed: true,
    slow: false,
};
const SLOW: Outcome = Outcome {
    failed: false,
    slow: true,
};

fn generation(number: u64) -> Generation {
    Generation::from_bits(number)
}

fn counts(calls: u64, failures: u64, slow: u64) -> Counts {
    Counts {
        calls,
        failures,
        slow,
    }
}

fn check(preemptions: usize, model: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.check(model);
}

/// Spawns a thread that runs `act` on the ring.
fn party<R: 'static>(
    ring: &Arc<LastCalls>,
    act: impl FnOnce(&LastCalls) -> R + 'static,
) -> JoinHandle<R> {
    let ring = ring.clone();
    thread::spawn(move || act(&ring))
}

/// Spawns a thread that makes these reports of generation 1, one after the other.
fn reporter<const MANY: usize>(
    ring: &Arc<LastCalls>,
    outcomes: [Outcome; MANY],
) -> JoinHandle<[Counts; MANY]> {
    party(ring, move |ring| {
        outcomes.map(|outcome| ring.report(generation(1), outcome))
    })
}

/// A ring of `many` slots, after these reports of generation 1.
fn ring<const MANY: usize>(many: u32, outcomes: [Outcome; MANY]) -> Arc<LastCalls> {
    let ring = LastCalls::new(many);
    for outcome in outcomes {
        ring.report(generation(1), outcome);
    }
    Arc::new(ring)
}

/// Two reporters claim and settle in separate steps. In the end the outcomes of the last positions
/// count.
#[test]
fn the_last_positions_count() {
    let ends = std::sync::Arc::new(Mutex::new(BTreeSet::new()));
    let seen = ends.clone();
    check(3, move || {
        let ring = ring(2, [FAILED, SLOW]);
        let reporters = [[FAILED, GOOD], [GOOD, SLOW]].map(|outcomes| {
            party(&ring, move |ring| {
                outcomes.map(|outcome| {
                    let claim = ring.claim(generation(1)).expect("current");
                    ring.settle(claim, outcome);
                    (claim.order(), outcome)
                })
            })
        });
        let mut log = reporters.map(|reporter| reporter.join().unwrap()).concat();
        log.sort_by_key(|&(order, _)| order);
        let last = || log[2..].iter().map(|&(_, outcome)| outcome);
        let failures = last().filter(|outcome| outcome.failed).count() as u64;
        let slow = last().filter(|outcome| outcome.slow).count() as u64;
        assert_eq!(ring.counts(generation(1)), counts(2, failures, slow));
        seen.lock().unwrap().insert((failures, slow));
    });
    assert_eq!(*ends.lock().unwrap(), [(0, 1), (1, 0)].into());
}

/// Of two reporters that fail at once, the one that changes the sums last sees both failures and
/// both calls. Otherwise two failures that together should open the circuit might not.
///
/// Mutations: `a-position-stored-without-comparing`, `last-calls-sums-stored-without-comparing`,
/// `calls-of-the-position`, `last-calls-sums-read-relaxed`.
#[test]
fn the_last_of_two_failures_sees_both() {
    check(3, || {
        let ring = ring(4, []);
        let reporters = [(); 2].map(|()| reporter(&ring, [FAILED]));
        let seen = reporters.map(|reporter| reporter.join().unwrap()[0]);
        assert!(seen.contains(&counts(2, 2, 0)), "{seen:?}");
        assert_eq!(ring.counts(generation(1)), counts(2, 2, 0));
    });
}

/// Two reporters overwrite outcomes in the same slot.
///
/// Mutation: `an-outcome-stored-without-comparing`.
#[test]
fn outcomes_that_take_each_others_place_are_counted_once() {
    check(3, || {
        let ring = ring(1, [FAILED]);
        let failing = reporter(&ring, [FAILED]);
        let slow = reporter(&ring, [SLOW]);
        failing.join().unwrap();
        slow.join().unwrap();
        let now = ring.counts(generation(1));
        assert!([counts(1, 1, 0), counts(1, 0, 1)].contains(&now), "{now:?}");
        ring.report(generation(1), GOOD);
        assert_eq!(ring.counts(generation(1)), counts(1, 0, 0));
    });
}

/// A failure is stopped before it writes. A good report takes the same slot, and finds nothing to
/// take out. So the failure itself must notice that it was overtaken.
///
/// Mutations: `a-claim-without-its-fence`, `an-entry-without-its-fence`,
/// `an-entry-that-stays-when-overtaken`.
#[test]
fn a_failure_that_is_overtaken_while_it_writes_takes_its_entry_out() {
    check(3, || {
        let ring = ring(1, []);
        let claim = ring.claim(generation(1)).expect("current");
        let failing = party(&ring, move |ring| ring.settle(claim, FAILED));
        let good = reporter(&ring, [GOOD]);
        failing.join().unwrap();
        good.join().unwrap();
        assert_eq!(ring.counts(generation(1)), counts(1, 0, 0));
    });
}

/// A failure is stopped before it writes, and a slow call takes the same slot. Each of the two may
/// write first.
///
/// Mutation: `an-entry-taken-out-that-was-replaced`.
#[test]
fn a_late_entry_that_another_one_replaced_is_subtracted_once() {
    check(3, || {
        let ring = ring(1, []);
        let claim = ring.claim(generation(1)).expect("current");
        let late = party(&ring, move |ring| ring.settle(claim, FAILED));
        let slow = reporter(&ring, [SLOW]);
        late.join().unwrap();
        slow.join().unwrap();
        assert_eq!(ring.counts(generation(1)), counts(1, 0, 1));
        ring.report(generation(1), FAILED);
        assert_eq!(ring.counts(generation(1)), counts(1, 1, 0));
    });
}

/// A failure is stopped before it writes, and another report takes its slot.
///
/// Mutations: `a-slot-of-outcomes-read-relaxed`, `a-slot-of-outcomes-exchanged-relaxed`.
#[test]
fn a_failure_that_was_overtaken_is_dropped() {
    check(3, || {
        let ring = ring(2, []);
        let claim = ring.claim(generation(1)).expect("current");
        let late = party(&ring, move |ring| ring.settle(claim, FAILED));
        let others = reporter(&ring, [GOOD, SLOW]);
        late.join().unwrap();
        others.join().unwrap();
        assert_eq!(ring.counts(generation(1)), counts(2, 0, 1));
        // The later outcome is in its slot, and the next lap takes it out.
        let left = [(); 2].map(|()| ring.report(generation(1), GOOD));
        assert_eq!(left[1], counts(2, 0, 0));
    });
}

/// A report replaces the failure of the lap before in its slot. The next report, which finds that
/// slot unwritten, takes the same failure out.
#[test]
fn what_two_take_out_leaves_the_sums_once() {
    check(3, || {
        let ring = ring(2, [FAILED, FAILED]);
        let claim = ring.claim(generation(1)).expect("current");
        let slow = party(&ring, move |ring| ring.settle(claim, SLOW));
        let next = reporter(&ring, [GOOD]);
        slow.join().unwrap();
        next.join().unwrap();
        assert_eq!(ring.counts(generation(1)), counts(2, 0, 1));
    });
}

#[test]
fn a_report_beside_a_restart_counts_before_or_after() {
    let outcomes = std::sync::Arc::new(Mutex::new(BTreeSet::new()));
    let seen = outcomes.clone();
    check(3, move || {
        let ring = ring(2, [SLOW]);
        let failing = reporter(&ring, [FAILED]);
        let restart = party(&ring, |ring| ring.restart(generation(1)));
        let [counted] = failing.join().unwrap();
        restart.join().unwrap();
        let now = ring.counts(generation(1));
        match now.calls {
            0 => assert_eq!(now, counts(0, 0, 0)),
            _ => {
                assert_eq!(now, counts(1, 1, 0));
                assert_eq!(counted, now);
            }
        }
        seen.lock().unwrap().insert(now.calls);
        // Outcomes of generation 1 are left in the slots, and do not count.
        for calls in 1..=3 {
            let now = ring.report(generation(2), SLOW);
            assert_eq!(now, counts(calls.min(2), 0, calls.min(2)));
        }
    });
    assert_eq!(*outcomes.lock().unwrap(), [0, 1].into());
}

/// A report is stopped before it writes, and a newer generation begins.
///
/// Mutations: `sums-of-an-older-epoch-that-come-back`, `an-outcome-of-an-older-epoch`,
/// `last-calls-sums-exchanged-relaxed`.
#[test]
fn a_stopped_report_leaves_a_newer_generation_alone() {
    check(3, || {
        let ring = ring(2, []);
        let claim = ring.claim(generation(1)).expect("current");
        let late = party(&ring, move |ring| ring.settle(claim, SLOW));
        let newer = party(&ring, |ring| {
            let first = ring.report(generation(4), FAILED);
            assert_eq!(first, counts(1, 1, 0));
            ring.report(generation(4), GOOD)
        });
        late.join().unwrap();
        assert_eq!(newer.join().unwrap(), counts(2, 1, 0));
        assert_eq!(ring.counts(generation(4)), counts(2, 1, 0));
        assert_eq!(ring.counts(generation(1)), Counts::default());
        ring.report(generation(4), GOOD);
        assert_eq!(ring.counts(generation(4)), counts(2, 0, 0));
    });
}

/// Two reporters begin a generation that neither the ring nor the sums have yet.
#[test]
fn a_generation_begins_once() {
    check(3, || {
        let ring = ring(3, [SLOW, SLOW, SLOW]);
        let reporters = [(); 2].map(|()| party(&ring, |ring| ring.report(generation(2), FAILED)));
        let seen = reporters.map(|reporter| reporter.join().unwrap());
        assert!(seen.contains(&counts(2, 2, 0)), "{seen:?}");
        assert_eq!(ring.counts(generation(2)), counts(2, 2, 0));
    });
}

/// A reader reads after the head has gone on to a new generation, and before the sums have.
///
/// Mutation: `sums-of-another-epoch-that-count`.
#[test]
fn a_reader_sees_no_other_generations_sums() {
    check(3, || {
        let ring = ring(2, [SLOW]);
        let newer = party(&ring, |ring| {
            ring.report(generation(2), FAILED);
            ring.report(generation(2), FAILED);
        });
        let reader = party(&ring, |ring| {
            assert_eq!(ring.counts(generation(2)).slow, 0);
            assert_eq!(ring.counts(generation(1)).failures, 0);
        });
        newer.join().unwrap();
        reader.join().unwrap();
    });
}
