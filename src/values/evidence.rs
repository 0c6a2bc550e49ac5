//! What a circuit's rule had counted when it opened the circuit.
//!
//! Two rules count failures, two count calls. [`Counted`] is what was counted for all of them, as a
//! record keeps it; [`Evidence`] is the part that belongs to the rule that fired, in numbers and in
//! words. An opening by hand, by a probe or by request has none.

use std::fmt;

use crate::values::cause::Cause;
use crate::values::rates::Counts;

/// What was counted when a circuit opened, the last report included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counted {
    /// Failures in a row or inside the window, if they opened it.
    failures: Option<u64>,
    /// For the rates, if the circuit has some.
    pub(crate) rates: Option<Counts>,
}

/// How many bits of a number are kept. Models count little, and fewer words are faster to explore.
const BITS: u32 = if cfg!(loom) { 16 } else { u64::BITS };
/// Stands for no number.
const NONE: u64 = u64::MAX >> (u64::BITS - BITS);

/// Where a number is: in which word, from which bit on.
fn place(index: usize) -> (usize, u32) {
    let bit = index as u32 * BITS;
    ((bit / u64::BITS) as usize, bit % u64::BITS)
}

impl Counted {
    /// How many words it takes.
    pub(crate) const WORDS: usize = (4 * BITS / u64::BITS) as usize;

    pub(crate) fn new(cause: Cause, failures: Option<u32>, rates: Option<Counts>) -> Self {
        let counts_failures = matches!(cause, Cause::Consecutive | Cause::Window);
        Counted {
            failures: failures.filter(|_| counts_failures).map(u64::from),
            rates,
        }
    }

    pub(crate) fn is_none(self) -> bool {
        self == Counted::default()
    }

    pub(crate) fn words(self) -> [u64; Self::WORDS] {
        let failures = self.failures.unwrap_or(NONE);
        let numbers = match self.rates {
            Some(rates) => [failures, rates.calls, rates.failures, rates.slow],
            None => [failures, NONE, NONE, NONE],
        };
        let mut words = [0; Self::WORDS];
        for (index, number) in numbers.iter().enumerate() {
            let (word, bit) = place(index);
            words[word] |= (number & NONE) << bit;
        }
        words
    }

    pub(crate) fn from_words(words: [u64; Self::WORDS]) -> Self {
        let [failures, calls, failed, slow] = std::array::from_fn(|index| {
            let (word, bit) = place(index);
            words[word] >> bit & NONE
        });
        Counted {
            failures: (failures != NONE).then_some(failures),
            rates: (calls != NONE).then_some(Counts {
                calls,
                failures: failed,
                slow,
            }),
        }
    }

    /// What the rule that is the cause had counted.
    pub(crate) fn evidence(self, cause: Cause) -> Option<Evidence> {
        match cause {
            Cause::Consecutive => self.failures.map(Evidence::InARow),
            Cause::Window => self.failures.map(Evidence::InWindow),
            Cause::FailureRate => self.rates.map(Evidence::Failed),
            Cause::SlowCallRate => self.rates.map(Evidence::Slow),
            Cause::RetryAfter | Cause::Probe | Cause::Manual => None,
        }
    }
}

/// What the rule that opened a circuit had counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Evidence {
    InARow(u64),
    InWindow(u64),
    Failed(Counts),
    Slow(Counts),
}

impl Evidence {
    pub(crate) fn failures(self) -> u64 {
        match self {
            Evidence::InARow(failures) | Evidence::InWindow(failures) => failures,
            Evidence::Failed(counts) | Evidence::Slow(counts) => counts.failures,
        }
    }

    /// For the rates.
    pub(crate) fn counts(self) -> Option<Counts> {
        match self {
            Evidence::InARow(_) | Evidence::InWindow(_) => None,
            Evidence::Failed(counts) | Evidence::Slow(counts) => Some(counts),
        }
    }
}

impl fmt::Display for Evidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plural = |number: u64| if number == 1 { "" } else { "s" };
        match *self {
            Evidence::InARow(failures) => {
                write!(f, "{failures} failure{} in a row", plural(failures))
            }
            Evidence::InWindow(failures) => {
                write!(
                    f,
                    "{failures} failure{} within the window",
                    plural(failures)
                )
            }
            Evidence::Failed(Counts {
                calls, failures, ..
            }) => {
                write!(f, "{failures} of {calls} call{} failed", plural(calls))
            }
            Evidence::Slow(Counts { calls, slow, .. }) => {
                let were = if calls == 1 { "was" } else { "were" };
                write!(f, "{slow} of {calls} call{} {were} slow", plural(calls))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COUNTS: Counts = Counts {
        calls: 20,
        failures: 12,
        slow: 3,
    };

    #[test]
    fn evidence_is_what_the_rule_counts_that_fired() {
        let said = |cause| {
            let counted = Counted::new(cause, Some(5), Some(COUNTS));
            let kept = Counted::from_words(counted.words());
            assert_eq!(kept, counted);
            kept.evidence(cause).map(|evidence| evidence.to_string())
        };
        assert_eq!(
            said(Cause::Consecutive).as_deref(),
            Some("5 failures in a row")
        );
        assert_eq!(
            said(Cause::Window).as_deref(),
            Some("5 failures within the window")
        );
        assert_eq!(
            said(Cause::FailureRate).as_deref(),
            Some("12 of 20 calls failed")
        );
        assert_eq!(
            said(Cause::SlowCallRate).as_deref(),
            Some("3 of 20 calls were slow")
        );
        for cause in [Cause::RetryAfter, Cause::Probe, Cause::Manual] {
            assert_eq!(said(cause), None);
        }
    }

    #[test]
    fn what_was_not_counted_is_kept_as_none() {
        for cause in [Cause::Consecutive, Cause::FailureRate, Cause::Manual] {
            let none = Counted::new(cause, None, None);
            assert!(none.is_none());
            assert_eq!(Counted::from_words(none.words()), none);
            assert_eq!(none.evidence(cause), None);
        }
        let by_hand = Counted::new(Cause::Manual, Some(5), None);
        assert!(by_hand.is_none(), "failures did not open it");
    }

    #[test]
    fn one_is_one() {
        let one = Counts {
            calls: 1,
            failures: 1,
            slow: 1,
        };
        let said = |evidence: Evidence| evidence.to_string();
        assert_eq!(said(Evidence::InARow(1)), "1 failure in a row");
        assert_eq!(said(Evidence::Failed(one)), "1 of 1 call failed");
        assert_eq!(said(Evidence::Slow(one)), "1 of 1 call was slow");
    }
}
