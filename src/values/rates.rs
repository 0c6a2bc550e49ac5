//! Rates: what they are made of, and when they open a circuit.
//!
//! Everything here is a value: what was counted comes in, and the rule that fires goes out.

use crate::values::cause::Cause;
use crate::values::settings::Settings;

/// Reports, as they are counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sums {
    pub(crate) successes: u64,
    pub(crate) failures: u64,
    /// Of both.
    pub(crate) slow: u64,
}

/// Reports that count, for the rules.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) calls: u64,
    pub(crate) failures: u64,
    pub(crate) slow: u64,
}

/// What a report says of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) failed: bool,
    pub(crate) slow: bool,
}

impl Outcome {
    pub(crate) const GOOD: Outcome = Outcome {
        failed: false,
        slow: false,
    };

    /// Neither failed nor slow.
    pub(crate) fn is_good(self) -> bool {
        !self.failed && !self.slow
    }
}

/// What the rates are taken over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// So many ms.
    Time(u64),
    /// So many reports.
    Calls(u32),
}

impl Sums {
    /// The lesser of each sum. Both arguments count the reports since some moment, up to now. So
    /// the result counts those since the later of the two moments.
    pub(crate) fn at_most(self, other: Sums) -> Sums {
        Sums {
            successes: self.successes.min(other.successes),
            failures: self.failures.min(other.failures),
            slow: self.slow.min(other.slow),
        }
    }

    pub(crate) fn counts(self) -> Counts {
        Counts {
            calls: self.successes + self.failures,
            failures: self.failures,
            slow: self.slow,
        }
    }
}

impl Settings {
    /// What the rates are taken over. `None` if no rule asks for a rate.
    pub(crate) fn rate_shape(&self) -> Option<Shape> {
        self.has_rate().then_some(match self.rate_calls {
            Some(calls) => Shape::Calls(calls),
            None => Shape::Time(self.rate_window),
        })
    }

    /// The rate of slow calls that opens, if calls can be slow.
    fn slow_rate(&self) -> Option<f64> {
        self.slow_call_duration.and(self.slow_call_rate)
    }

    /// The rule that opens the circuit, if a rate does.
    pub(crate) fn rate_that_fires(&self, counts: Counts) -> Option<Cause> {
        if counts.calls < u64::from(self.minimum_calls) {
            return None;
        }
        // A quotient of two whole numbers is rounded once, to the number that a person writes for
        // it: 3 of 30 reach 0.1.
        let reaches = |count: u64, rate: Option<f64>| {
            rate.is_some_and(|rate| count as f64 / counts.calls as f64 >= rate)
        };
        if reaches(counts.failures, self.failure_rate) {
            return Some(Cause::FailureRate);
        }
        reaches(counts.slow, self.slow_rate()).then_some(Cause::SlowCallRate)
    }

    /// Whether so many bad reports can reach a rate if there are at least `calls`.
    pub(crate) fn can_reach_a_rate(&self, failures: u64, slow: u64, calls: u64) -> bool {
        let calls = calls.max(self.minimum_calls.into());
        self.rate_that_fires(Counts {
            calls,
            failures,
            slow,
        })
        .is_some()
    }
}
