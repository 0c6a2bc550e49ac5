//! The two figures of a run, and what is computed from them.
//!
//! **A**, failing calls let through: calls to the degraded service, begun in a degraded phase, that
//! were admitted and failed. **B**, healthy calls not served: calls that would have succeeded,
//! begun at any time, that were refused or found no free caller. Both count wrong decisions, and
//! their sum is what a breaker gets wrong. It is compared with the *best guess*: what a breaker
//! gets wrong that knows the error rate at once, and then lets through all calls or none.

use crate::load::Call;
use crate::scenarios::{Condition, Lengths, SECOND, Scenario};

/// The figures of one run, in calls.
#[derive(Clone, Copy, Default)]
pub struct Figures {
    /// A.
    pub failed: u64,
    /// The part of B that began in degraded phases.
    unserved_within: u64,
    unserved_outside: u64,
}

impl Figures {
    /// Counts a call that was refused, or found no free caller.
    pub fn not_served(&mut self, call: &Call, is_degraded: bool) {
        let count = match is_degraded {
            true => &mut self.unserved_within,
            false => &mut self.unserved_outside,
        };
        *count += u64::from(call.is_healthy);
    }

    /// B.
    fn unserved(&self) -> u64 {
        self.unserved_within + self.unserved_outside
    }
}

/// Mean, least and most of a figure over all seeds.
#[derive(Clone, Copy)]
pub struct Spread {
    pub mean: f64,
    pub least: u64,
    pub most: u64,
}

impl Spread {
    fn of(runs: &[Figures], figure: impl Fn(&Figures) -> u64) -> Self {
        let values = || runs.iter().map(&figure);
        Spread {
            mean: values().sum::<u64>() as f64 / runs.len() as f64,
            least: values().min().unwrap_or(0),
            most: values().max().unwrap_or(0),
        }
    }
}

/// A breaker in a scenario, over all seeds.
#[derive(Clone, Copy)]
pub struct Outcome {
    pub a: Spread,
    pub b: Spread,
    /// The part of B outside of degraded phases.
    pub outside: Spread,
    pub sum: Spread,
}

impl Outcome {
    pub fn of(runs: &[Figures]) -> Self {
        Outcome {
            a: Spread::of(runs, |run| run.failed),
            b: Spread::of(runs, Figures::unserved),
            outside: Spread::of(runs, |run| run.unserved_outside),
            sum: Spread::of(runs, |run| run.failed + run.unserved()),
        }
    }
}

/// The mean A + B of the best guess. `None` if something
/// other than an error rate is wrong in the scenario.
pub fn best_guess(scenario: &Scenario, lengths: Lengths, seeds: u64) -> Option<f64> {
    if !scenario.is_of_errors() {
        return None;
    }
    let wrong = (1..=seeds).flat_map(|seed| {
        scenario.lasting(lengths, seed).into_iter().map(|phase| {
            let rate = match phase.condition {
                Condition::Errors(rate) => rate.min(1.0 - rate),
                _ => 0.0,
            };
            rate * phase.length as f64 * scenario.calls_per_second as f64 / SECOND as f64
        })
    });
    Some(wrong.sum::<f64>() / seeds as f64)
}
