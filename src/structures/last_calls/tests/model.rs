//! Against a model: the list of the last outcomes, one thread.

use std::collections::VecDeque;

use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::RngSeed;

use super::*;

/// The last outcomes of one generation.
struct Model {
    many: usize,
    generation: u64,
    outcomes: VecDeque<Outcome>,
}

impl Model {
    fn report(&mut self, generation: u64, outcome: Outcome) -> Counts {
        if generation < self.generation {
            return Counts::default();
        }
        if generation > self.generation {
            self.restart(generation);
        }
        self.outcomes.push_back(outcome);
        if self.outcomes.len() > self.many {
            self.outcomes.pop_front();
        }
        self.counts(generation)
    }

    fn restart(&mut self, generation: u64) {
        if generation >= self.generation {
            self.generation = generation;
            self.outcomes.clear();
        }
    }

    fn counts(&self, generation: u64) -> Counts {
        if generation == self.generation {
            counts_of(&self.outcomes)
        } else {
            Counts::default()
        }
    }
}

/// An operation in a generation that is so much newer than the newest (older, if negative).
#[derive(Clone, Copy, Debug)]
enum Step {
    Report(i64, Outcome),
    Restart(i64),
    Counts(i64),
}

fn outcomes() -> impl Strategy<Value = Outcome> {
    select(vec![GOOD, GOOD, GOOD, FAILED, FAILED, SLOW, BOTH])
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        40 => outcomes().prop_map(|outcome| Step::Report(0, outcome)),
        1 => (1_i64..40, outcomes()).prop_map(|(newer, outcome)| Step::Report(newer, outcome)),
        1 => (-40_i64..0, outcomes()).prop_map(|(older, outcome)| Step::Report(older, outcome)),
        1 => (-3_i64..2).prop_map(Step::Restart),
        1 => (-2_i64..2).prop_map(Step::Counts),
    ];
    prop::collection::vec(step, 1..200)
}

/// The configuration that the environment asks for, or `cases` fixed cases.
fn config(cases: u32) -> ProptestConfig {
    let mut config = ProptestConfig {
        failure_persistence: None,
        max_shrink_iters: 20_000,
        ..ProptestConfig::default()
    };
    if std::env::var_os("PROPTEST_CASES").is_none() {
        config.cases = cases;
        config.rng_seed = RngSeed::Fixed(11);
    }
    config
}

/// A step of a report; other reports may come between its two steps.
#[derive(Clone, Copy, Debug)]
enum Part {
    Claim,
    /// Settles a report under way, by its number.
    Settle(usize, Outcome),
    Restart,
}

fn parts() -> impl Strategy<Value = Vec<Part>> {
    let part = prop_oneof![
        20 => Just(Part::Claim),
        20 => (0..6_usize, outcomes()).prop_map(|(which, outcome)| Part::Settle(which, outcome)),
        1 => Just(Part::Restart),
    ];
    prop::collection::vec(part, 1..200)
}

proptest! {
    #![proptest_config(config(2_000))]

    #[test]
    fn every_count_is_that_of_the_model(many in 1..20_u32, begin in 0..9_000_u64, steps in steps()) {
        let ring = LastCalls::new(many);
        // Far from 0, so that older generations have a number.
        let begin = begin + 10_000;
        let mut model = Model { many: many as usize, generation: begin, outcomes: VecDeque::new() };
        ring.restart(generation(begin));
        for step in steps {
            let newest = model.generation as i64;
            let of = |by: i64| (newest + by) as u64;
            match step {
                Step::Report(by, outcome) => prop_assert_eq!(
                    ring.report(generation(of(by)), outcome),
                    model.report(of(by), outcome)
                ),
                Step::Restart(by) => {
                    ring.restart(generation(of(by)));
                    model.restart(of(by));
                }
                Step::Counts(by) => prop_assert_eq!(
                    ring.counts(generation(of(by))),
                    model.counts(of(by))
                ),
            }
        }
        prop_assert_eq!(ring.counts(generation(model.generation)), model.counts(model.generation));
    }

    #[test]
    fn late_outcomes_are_counted_once_and_in_order(many in 1..9_usize, parts in parts()) {
        let ring = LastCalls::new(many as u32);
        ring.restart(generation(1));
        // The outcomes by position, since the evidence began.
        let mut taken: Vec<Option<Outcome>> = Vec::new();
        let mut under_way: VecDeque<(Claim, usize, bool)> = VecDeque::new();
        let settle = |claim: (Claim, usize, bool), outcome, taken: &mut Vec<Option<Outcome>>| {
            ring.settle(claim.0, outcome);
            if claim.2 {
                taken[claim.1] = Some(outcome);
            }
        };
        for part in parts {
            match part {
                Part::Claim => {
                    under_way.push_back((ring.begin(), taken.len(), true));
                    taken.push(None);
                }
                Part::Settle(which, outcome) => {
                    if let Some(claim) = under_way.remove(which) {
                        settle(claim, outcome, &mut taken);
                    }
                }
                Part::Restart => {
                    ring.restart(generation(1));
                    if !taken.is_empty() {
                        taken.clear();
                        under_way.iter_mut().for_each(|claim| claim.2 = false);
                    }
                }
            }
            let first = taken.len().saturating_sub(many);
            let last = &taken[first..];
            let exact = Counts { calls: last.len() as u64, ..counts_of(last.iter().flatten()) };
            let now = ring.now();
            prop_assert_eq!(now.calls, exact.calls);
            let next_is_settled = |at: usize| last.get(at + 1).is_some_and(Option::is_some);
            if (0..last.len()).all(|at| last[at].is_some() || next_is_settled(at)) {
                prop_assert_eq!(now, exact, "of those under way none counts");
            } else {
                let most = last.iter().filter(|outcome| outcome.is_none()).count() as u64;
                prop_assert!(now.failures.abs_diff(exact.failures) <= most);
                prop_assert!(now.slow.abs_diff(exact.slow) <= most);
            }
        }
        for claim in under_way {
            settle(claim, FAILED, &mut taken);
        }
        let first = taken.len().saturating_sub(many);
        prop_assert_eq!(ring.now(), counts_of(taken[first..].iter().flatten()));
    }
}
