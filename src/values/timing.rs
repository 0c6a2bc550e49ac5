//! How long calls last: by which clock a circuit measures it, and when that is too long.
//!
//! A call is measured from its admission to its report, if a setting asks for it. A limit below 100
//! ms needs the exact clock, with the start rounded up and the end down, so that no call is taken
//! for longer than it was. From 100 ms on the coarse clock will do, which is less expensive: its
//! error, a tick, is small beside the limit.

use std::time::Duration;

use crate::values::settings::Settings;

/// A limit below so many ms needs the exact clock.
const EXACT_BELOW: u64 = 100;

/// How a circuit measures its calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Timing {
    /// Not at all.
    None,
    /// By the coarse clock, within a tick.
    Coarse,
    /// By the exact clock, and never longer than they are.
    Exact,
}

impl Settings {
    /// How calls are measured.
    pub(crate) fn timing(&self) -> Timing {
        let limits = [self.slow_call_duration, self.cancelled_after];
        match limits.into_iter().flatten().min() {
            None => Timing::None,
            Some(..EXACT_BELOW) => Timing::Exact,
            Some(_) => Timing::Coarse,
        }
    }

    /// Whether a call that has lasted so long is slow.
    pub(crate) fn is_slow(&self, lasted: Duration) -> bool {
        reaches(lasted, self.slow_call_duration)
    }

    /// Whether a call that is given up after so long counts as a failure.
    pub(crate) fn is_overdue(&self, lasted: Duration) -> bool {
        reaches(lasted, self.cancelled_after)
    }
}

/// Whether this reaches a limit in ms. False without a limit.
fn reaches(lasted: Duration, limit: Option<u64>) -> bool {
    limit.is_some_and(|limit| lasted >= Duration::from_millis(limit))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(slow_call_duration: Option<u64>, cancelled_after: Option<u64>) -> Settings {
        Settings {
            slow_call_duration,
            cancelled_after,
            ..Settings::DEFAULT
        }
    }

    #[test]
    fn a_call_is_too_long_from_its_limit_on() {
        let limit = Duration::from_millis(50);
        let short = limit - Duration::from_nanos(1);
        let [never, slow, overdue] = [(None, None), (Some(50), None), (None, Some(50))]
            .map(|(slow, cancelled)| with(slow, cancelled));
        assert!(!never.is_slow(Duration::MAX) && !never.is_overdue(Duration::MAX));
        assert!(slow.is_slow(limit) && !slow.is_slow(short));
        assert!(overdue.is_overdue(limit) && !overdue.is_overdue(short));
        assert!(!slow.is_overdue(Duration::MAX) && !overdue.is_slow(Duration::MAX));
    }

    #[test]
    fn the_smallest_limit_says_which_clock_measures() {
        assert_eq!(with(None, None).timing(), Timing::None);
        for (limit, timing) in [
            (1, Timing::Exact),
            (99, Timing::Exact),
            (100, Timing::Coarse),
        ] {
            assert_eq!(with(Some(limit), None).timing(), timing);
            assert_eq!(with(None, Some(limit)).timing(), timing);
            assert_eq!(with(Some(limit), Some(60_000)).timing(), timing);
            assert_eq!(with(Some(60_000), Some(limit)).timing(), timing);
        }
    }
}
