//! The goals for the recommended settings, and whether they are reached.
//!
//! "Semian" is the better of its two breakers with own circuits, as in its experiments,
//! figure by figure. "Fewer of both, in all nine" is no goal, since it is impossible.
//! During an outage at an error rate below 100 % no breaker can tell which call will
//! fail, so fewer failing calls cost more healthy ones. A breaker can win both figures
//! only outside of the outage, by the choice of the phase, and at a rate of 100 %.

use crate::breakers::Row;
use crate::figures::{Outcome, Spread};
use crate::scenarios::{Lengths, Scenario};
use crate::study::Study;

/// A goal for several scenarios.
pub struct Goal {
    pub what: &'static str,
    /// The verdicts for published and for varied lengths.
    pub verdicts: [Verdict; 2],
}

#[derive(Default)]
pub struct Verdict {
    pub scenarios: usize,
    pub misses: Vec<Miss>,
}

pub struct Miss {
    pub scenario: &'static str,
    pub reached: f64,
    pub limit: f64,
}

type Figure = fn(&Outcome) -> Spread;

const A: Figure = |outcome| outcome.a;
const B: Figure = |outcome| outcome.b;
const SUM: Figure = |outcome| outcome.sum;

/// Whether a breaker can be better in both figures in this scenario.
fn is_to_be_won(scenario: &Scenario) -> bool {
    [
        "spike 100 %",
        "spikes 20/60/100 %",
        "one of many",
        "slow query",
    ]
    .contains(&scenario.name)
}

/// Whether the error rate is so low that no call should be refused.
fn is_no_outage(scenario: &Scenario) -> bool {
    ["near target", "gradual increase", "oscillating"].contains(&scenario.name)
}

fn is_of_fifths(scenario: &Scenario) -> bool {
    ["spike 20 %", "sustained 20 %"].contains(&scenario.name)
}

/// Returns the figure that is reached in one scenario, and its limit.
type Question<'q> = &'q dyn Fn(&dyn Fn(Row) -> Outcome) -> (f64, f64);

pub fn all(study: &Study) -> Vec<Goal> {
    let goal = |what, scenarios: fn(&Scenario) -> bool, question: Question| Goal {
        what,
        verdicts: Lengths::ALL.map(|lengths| {
            let mut verdict = Verdict::default();
            for (number, scenario) in study.scenarios().filter(|(_, one)| scenarios(one)) {
                let (reached, limit) = question(&|row| *study.outcome(lengths, number, row));
                verdict.scenarios += 1;
                if reached > limit {
                    verdict.misses.push(Miss {
                        scenario: scenario.name,
                        reached,
                        limit,
                    });
                }
            }
            verdict
        }),
    };
    let shared = Row::BRAMA_SHARED;
    let semian = |of: &dyn Fn(Row) -> Outcome, figure: Figure| {
        let rows = [Row::CLASSIC_OWN, Row::ADAPTIVE_OWN].map(|row| figure(&of(row)).mean);
        rows[0].min(rows[1])
    };
    vec![
        goal("shared: A at most 80 % of semian's", is_to_be_won, &|of| {
            (A(&of(shared)).mean, 0.8 * semian(of, A))
        }),
        goal("shared: B at most 80 % of semian's", is_to_be_won, &|of| {
            (B(&of(shared)).mean, 0.8 * semian(of, B))
        }),
        goal(
            "shared: A below semian's adaptive breaker, shared",
            is_to_be_won,
            &|of| (A(&of(shared)).mean, A(&of(Row::ADAPTIVE_SHARED)).mean),
        ),
        goal(
            "shared: B below semian's adaptive breaker, shared",
            is_to_be_won,
            &|of| (B(&of(shared)).mean, B(&of(Row::ADAPTIVE_SHARED)).mean),
        ),
        goal(
            "shared: no healthy call refused, with any seed",
            is_no_outage,
            &|of| (B(&of(shared)).most as f64, 0.0),
        ),
        goal(
            "shared: A + B at most 60 % of semian's",
            is_of_fifths,
            &|of| (SUM(&of(shared)).mean, 0.6 * semian(of, SUM)),
        ),
        goal(
            "shared: A + B within 2 % of no breaker",
            is_of_fifths,
            &|of| (SUM(&of(shared)).mean, 1.02 * SUM(&of(Row::NONE)).mean),
        ),
        goal("shared: A + B never above semian's", |_| true, &|of| {
            (SUM(&of(shared)).mean, semian(of, SUM))
        }),
        goal(
            "shared: A + B at most two thirds of semian's",
            |scenario| !is_no_outage(scenario),
            &|of| (SUM(&of(shared)).mean, 2.0 / 3.0 * semian(of, SUM)),
        ),
        goal(
            "own: A + B never above semian's",
            Scenario::is_of_errors,
            &|of| (SUM(&of(Row::BRAMA_OWN)).mean, semian(of, SUM)),
        ),
    ]
}
