//! Why a circuit opened.

use std::fmt;

/// What opened a circuit: a rule, a request of the dependency, or a call by hand.
///
/// ```
/// # let brama = brama::Brama::builder().background(false).build()?;
/// # let db = brama.register("db", None)?;
/// db.open_circuit("upgrade", None)?;
/// assert_eq!(db.status()?.cause, Some(brama::Cause::Manual));
/// # Ok::<(), brama::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Cause {
    /// As many failures in a row as [`max_attempts`](crate::ConnectionOptions::max_attempts).
    Consecutive = 1,
    /// As many within the [`window`](crate::ConnectionOptions::window).
    Window = 2,
    /// As large a share of failures as the
    /// [`failure_rate`](crate::ConnectionOptions::failure_rate).
    FailureRate = 3,
    /// As large a share of slow calls as the
    /// [`slow_call_rate`](crate::ConnectionOptions::slow_call_rate).
    SlowCallRate = 4,
    /// The dependency asked to be left alone: [`failure_for`](crate::Connection::failure_for).
    RetryAfter = 5,
    /// A probe failed.
    Probe = 6,
    /// By hand: [`open_circuit`](crate::Connection::open_circuit).
    Manual = 7,
}

impl Cause {
    /// How many bits a cause takes.
    pub(crate) const BITS: u32 = 3;

    /// The cause with this number. `None` for 0, and for numbers that no cause has.
    pub(crate) fn from_bits(bits: u64) -> Option<Self> {
        match bits {
            1 => Some(Cause::Consecutive),
            2 => Some(Cause::Window),
            3 => Some(Cause::FailureRate),
            4 => Some(Cause::SlowCallRate),
            5 => Some(Cause::RetryAfter),
            6 => Some(Cause::Probe),
            7 => Some(Cause::Manual),
            _ => None,
        }
    }

    /// Its name: `consecutive`, `window`, `failure_rate`, `slow_call_rate`, `retry_after`, `probe`
    /// or `manual`.
    ///
    /// ```
    /// assert_eq!(brama::Cause::SlowCallRate.as_str(), "slow_call_rate");
    /// ```
    pub fn as_str(self) -> &'static str {
        match self {
            Cause::Consecutive => "consecutive",
            Cause::Window => "window",
            Cause::FailureRate => "failure_rate",
            Cause::SlowCallRate => "slow_call_rate",
            Cause::RetryAfter => "retry_after",
            Cause::Probe => "probe",
            Cause::Manual => "manual",
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_fits_into_its_bits() {
        for bits in 0..1 << Cause::BITS {
            let cause = Cause::from_bits(bits);
            assert_eq!(cause.map_or(bits, |cause| cause as u64), bits);
        }
        assert_eq!(Cause::from_bits(0), None, "a circuit that never opened");
    }
}
