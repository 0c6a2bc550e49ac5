use super::*;

mod model;
#[cfg(all(target_os = "linux", not(loom), not(miri)))]
mod storm;
mod threads;

const GOOD: Outcome = outcome(0);
const FAILED: Outcome = outcome(1);
const SLOW: Outcome = outcome(2);
const BOTH: Outcome = outcome(3);

const fn outcome(bits: u64) -> Outcome {
    Outcome {
        failed: bits & 1 != 0,
        slow: bits & 2 != 0,
    }
}

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

fn counts_of<'a>(outcomes: impl IntoIterator<Item = &'a Outcome>) -> Counts {
    let mut counts = Counts::default();
    for outcome in outcomes {
        counts.calls += 1;
        counts.failures += u64::from(outcome.failed);
        counts.slow += u64::from(outcome.slow);
    }
    counts
}

impl LastCalls {
    /// Reports in generation 1. Returns the last report's counts.
    fn reports<const MANY: usize>(&self, outcomes: [Outcome; MANY]) -> Counts {
        let counts = outcomes.map(|outcome| self.report(generation(1), outcome));
        *counts.last().expect("a report")
    }

    fn now(&self) -> Counts {
        self.counts(generation(1))
    }

    fn begin(&self) -> Claim {
        self.claim(generation(1)).expect("current")
    }
}

impl Claim {
    /// Epoch, lap and index: greater than those of each earlier claim, until numbers wrap.
    pub(crate) fn order(self) -> (u64, u64, u32) {
        (
            self.epoch.number(),
            self.position.lap(),
            self.position.index,
        )
    }
}

#[test]
fn nothing_counts_before_the_first_report() {
    let ring = LastCalls::new(3);
    assert_eq!(ring.counts(generation(0)), Counts::default());
    assert_eq!(ring.now(), Counts::default());
}

#[test]
fn the_last_reports_count() {
    let ring = LastCalls::new(3);
    assert_eq!(ring.reports([FAILED]), counts(1, 1, 0));
    assert_eq!(ring.reports([SLOW]), counts(2, 1, 1));
    assert_eq!(ring.reports([BOTH]), counts(3, 2, 2));
    assert_eq!(ring.reports([GOOD]), counts(3, 1, 2));
    assert_eq!(ring.reports([GOOD]), counts(3, 1, 1));
    assert_eq!(ring.reports([GOOD]), counts(3, 0, 0));
    assert_eq!(ring.now(), counts(3, 0, 0));
}

/// A failure in place of a failure, a slow call in place of a failure.
#[test]
fn an_outcome_takes_the_place_of_another_one() {
    let ring = LastCalls::new(1);
    for outcomes in [
        [FAILED, FAILED],
        [FAILED, SLOW],
        [SLOW, BOTH],
        [BOTH, FAILED],
    ] {
        assert_eq!(ring.reports(outcomes), counts_of(&outcomes[1..]));
        assert_eq!(ring.now(), counts_of(&outcomes[1..]));
    }
}

#[test]
fn the_largest_ring_counts_exactly() {
    let ring = LastCalls::new(MOST_CALLS);
    let most = u64::from(MOST_CALLS);
    for number in 0..most {
        assert_eq!(
            ring.reports([BOTH]),
            counts(number + 1, number + 1, number + 1)
        );
    }
    assert_eq!(ring.reports([BOTH]), counts(most, most, most));
    let left = most - 1;
    assert_eq!(ring.reports([GOOD]), counts(most, left, left));
}

/// The largest ring that settings can ask for.
const MOST_CALLS: u32 = 100_000;

#[test]
fn a_newer_generation_begins_again() {
    let ring = LastCalls::new(3);
    ring.reports([FAILED, FAILED, FAILED, BOTH]);
    assert_eq!(ring.report(generation(4), GOOD), counts(1, 0, 0));
    assert_eq!(ring.now(), Counts::default());
    assert_eq!(ring.report(generation(4), FAILED), counts(2, 1, 0));
    assert_eq!(ring.report(generation(4), GOOD), counts(3, 1, 0));
    assert_eq!(ring.report(generation(4), GOOD), counts(3, 1, 0));
    assert_eq!(ring.report(generation(4), GOOD), counts(3, 0, 0));
}

#[test]
fn a_restart_begins_again_in_the_same_generation() {
    let ring = LastCalls::new(3);
    ring.reports([FAILED, BOTH, SLOW, BOTH]);
    ring.restart(generation(1));
    assert_eq!(ring.now(), Counts::default());
    assert_eq!(ring.reports([GOOD]), counts(1, 0, 0));
    ring.restart(generation(5));
    assert_eq!(ring.now(), Counts::default());
    assert_eq!(ring.report(generation(5), SLOW), counts(1, 0, 1));
}

#[test]
fn a_generation_that_is_followed_keeps_its_reports() {
    let ring = LastCalls::new(3);
    ring.reports([FAILED]);
    ring.follow(generation(1));
    assert_eq!(ring.now(), counts(1, 1, 0));
    ring.follow(generation(4));
    assert_eq!(ring.now(), Counts::default());
    ring.follow(generation(1));
    assert_eq!(ring.report(generation(4), SLOW), counts(1, 0, 1));
}

/// Each generation is newer than the one before, and so is the last one, which comes more than
/// half a round of generations after the first.
#[test]
fn generations_without_reports_may_go_round() {
    let ring = LastCalls::new(3);
    ring.reports([FAILED]);
    for number in 1..6_000 {
        ring.follow(generation(number));
    }
    assert_eq!(ring.report(generation(6_000), SLOW), counts(1, 0, 1));
}

#[test]
fn an_older_generation_changes_nothing() {
    let ring = LastCalls::new(3);
    ring.report(generation(5), FAILED);
    assert_eq!(ring.report(generation(4), FAILED), Counts::default());
    ring.restart(generation(4));
    assert_eq!(ring.counts(generation(4)), Counts::default());
    assert_eq!(ring.counts(generation(5)), counts(1, 1, 0));
}

#[test]
fn generations_wrap() {
    let ring = LastCalls::new(3);
    let last = generation(Generation::MASK);
    ring.report(last, FAILED);
    assert_eq!(ring.report(last.next(), SLOW), counts(1, 0, 1));
    assert_eq!(ring.report(last, FAILED), Counts::default());
    ring.restart(last);
    assert_eq!(ring.counts(last.next()), counts(1, 0, 1));
}

#[test]
fn a_stopped_report_counts_as_a_call_and_no_failure() {
    let ring = LastCalls::new(3);
    ring.reports([BOTH, GOOD, GOOD]);
    let stopped = ring.begin();
    assert_eq!(
        ring.reports([GOOD]),
        counts(3, 0, 0),
        "as if it had gone well"
    );
    assert_eq!(ring.settle(stopped, SLOW), counts(3, 0, 1));
    assert_eq!(ring.reports([GOOD]), counts(3, 0, 1));
    assert_eq!(ring.reports([GOOD]), counts(3, 0, 0));
}

/// Provided that the next report goes on, whatever the slots hold.
#[test]
fn each_stopped_report_counts_as_no_failure() {
    let ring = LastCalls::new(6);
    ring.reports([BOTH; 6]);
    let first = ring.begin();
    assert_eq!(ring.reports([FAILED]), counts(6, 5, 4));
    let second = ring.begin();
    assert_eq!(ring.reports([GOOD]), counts(6, 3, 2));
    for claim in [second, first] {
        ring.settle(claim, BOTH);
    }
    assert_eq!(ring.now(), counts(6, 5, 4));
}

#[test]
fn an_overtaken_report_is_dropped() {
    let ring = LastCalls::new(2);
    let stopped = ring.begin();
    assert_eq!(ring.reports([GOOD, SLOW]), counts(2, 0, 1));
    assert_eq!(ring.settle(stopped, FAILED), counts(2, 0, 1));
    assert_eq!(ring.reports([GOOD]), counts(2, 0, 1));
    assert_eq!(ring.reports([GOOD]), counts(2, 0, 0));
}

/// The late report is overtaken by one that is stopped too, and writes first.
#[test]
fn a_report_takes_back_the_late_outcome_it_overtook() {
    let ring = LastCalls::new(2);
    let late = ring.begin();
    ring.reports([GOOD]);
    let stopped = ring.begin();
    ring.settle(late, FAILED);
    assert_eq!(ring.settle(stopped, SLOW), counts(2, 0, 1));
}

/// The newer outcomes are in the overtaken report's slot and in the one before.
#[test]
fn an_overtaken_report_leaves_newer_outcomes_where_they_are() {
    let ring = LastCalls::new(2);
    ring.reports([GOOD; 2]);
    let stopped = [(); 2].map(|()| ring.begin());
    assert_eq!(ring.reports([FAILED, SLOW]), counts(2, 1, 1));
    for claim in stopped {
        assert_eq!(ring.settle(claim, GOOD), counts(2, 1, 1));
    }
    assert_eq!(ring.reports([GOOD; 2]), counts(2, 0, 0));
}

#[test]
fn a_report_that_a_restart_overtook_is_dropped() {
    let ring = LastCalls::new(2);
    ring.reports([GOOD, GOOD]);
    let stopped = ring.begin();
    ring.restart(generation(1));
    assert_eq!(ring.settle(stopped, FAILED), Counts::default());
    assert_eq!(ring.now(), Counts::default());
    assert_eq!(ring.reports([GOOD, GOOD]), counts(2, 0, 0));

    let stopped = ring.begin();
    assert_eq!(ring.report(generation(2), SLOW), counts(1, 0, 1));
    assert_eq!(ring.settle(stopped, FAILED), Counts::default());
    assert_eq!(ring.counts(generation(2)), counts(1, 0, 1));
}

impl LastCalls {
    /// A ring as after so many reports that lap 0 begins again, all of them failed and slow.
    fn after_all_laps() -> LastCalls {
        let ring = LastCalls::new(3);
        ring.reports([BOTH; 3]);
        for laps in [2, 1] {
            let head = ring.read_head().before_the_wrap(laps, ring.shape);
            ring.head.0.store(head.bits(), Ordering::Relaxed);
            ring.reports([BOTH; 3]);
        }
        ring
    }
}

#[test]
fn laps_wrap() {
    let ring = LastCalls::after_all_laps();
    assert_eq!(ring.now(), counts(3, 3, 3));
    for outcomes in [[GOOD, FAILED, SLOW], [SLOW, GOOD, GOOD], [GOOD; 3]] {
        assert_eq!(ring.reports(outcomes), counts_of(&outcomes));
    }
}

#[test]
fn a_report_is_dropped_that_was_stopped_where_laps_wrap() {
    let ring = LastCalls::after_all_laps();
    let stopped = ring.begin();
    assert_eq!(ring.reports([GOOD; 2]), counts(3, 0, 0));
    assert_eq!(ring.reports([SLOW; 3]), counts(3, 0, 3));
    assert_eq!(ring.settle(stopped, FAILED), counts(3, 0, 3));
}

/// Calls `begin`, which begins the evidence, until the epoch has the first number again.
fn until_the_first_epoch_again(ring: &LastCalls, begin: impl Fn(u32)) {
    let first = ring.read_head().epoch();
    for number in 1.. {
        begin(number);
        let epoch = ring.read_head().epoch();
        assert_ne!(epoch, Epoch::NONE);
        if epoch == first {
            assert_eq!(number, (1 << 17) - 1);
            return;
        }
    }
}

/// The slots keep outcomes of an epoch of the same number.
#[test]
fn outcomes_of_an_epoch_with_the_same_number_do_not_count() {
    let ring = LastCalls::new(4);
    ring.reports([BOTH; 4]);
    until_the_first_epoch_again(&ring, |_| {
        // Leaves the last two slots as they are.
        ring.reports([SLOW, FAILED]);
        ring.restart(generation(1));
    });
    for number in 1..=4 {
        assert_eq!(ring.reports([GOOD]), counts(number, 0, 0));
    }
    assert_eq!(ring.reports([FAILED; 4]), counts(4, 4, 0));
}

#[test]
fn sums_of_an_epoch_with_the_same_number_do_not_count() {
    let ring = LastCalls::new(4);
    ring.reports([BOTH; 4]);
    until_the_first_epoch_again(&ring, |_| {
        ring.restart(generation(1));
        ring.reports([GOOD]);
    });
    assert_eq!(ring.reports([GOOD]), counts(2, 0, 0));

    let ring = LastCalls::new(4);
    ring.report(generation(0), BOTH);
    until_the_first_epoch_again(&ring, |number| {
        ring.report(generation(number.into()), GOOD);
    });
    let last = generation((1 << 17) - 1);
    assert_eq!(ring.report(last, GOOD), counts(2, 0, 0));
}

#[test]
fn what_has_not_begun_is_not_begun_again() {
    let ring = LastCalls::new(3);
    ring.restart(generation(1));
    let epoch = ring.read_head().epoch();
    ring.restart(generation(1));
    assert_eq!(ring.read_head().epoch(), epoch);
}
