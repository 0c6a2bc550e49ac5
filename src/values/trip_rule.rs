//! The rules that count failures: when they open a circuit. The rules of rates are in
//! [`rates`](crate::values::rates), those of probes in [`recovery`](crate::values::recovery).
//!
//! Pure functions of the settings and of the evidence. A further rule of this kind adds its
//! evidence to [`FailureCounts`] and its clause to [`rule_that_fires`].

use crate::values::cause::Cause;
use crate::values::settings::{Settings, UNLIMITED};

/// What is known when a failure has just been counted, that failure included.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FailureCounts {
    /// Failures in a row.
    pub(crate) in_a_row: u32,
    /// Failures inside the sliding window, where there is one.
    pub(crate) in_window: Option<u32>,
}

/// How many failures in a row open the circuit. `None` if a window or a rate is in effect.
pub(crate) fn limit(settings: &Settings) -> Option<u32> {
    let counts_in_a_row = settings.window.is_none() && settings.rate_shape().is_none();
    counts_in_a_row.then_some(settings.max_attempts)
}

/// The rule that opens the circuit, if one does.
pub(crate) fn rule_that_fires(settings: &Settings, evidence: FailureCounts) -> Option<Cause> {
    let (failures, rule) = match evidence.in_window {
        Some(in_window) => (in_window, Cause::Window),
        None => (evidence.in_a_row, Cause::Consecutive),
    };
    let fires = settings.max_attempts != UNLIMITED && failures >= settings.max_attempts;
    fires.then_some(rule)
}

/// The rule that opens the circuit in a ramp, if failures in a row do. Two suffice even if the
/// settings ask for more, since the dependency has just been down.
pub(crate) fn rule_in_ramp(settings: &Settings, in_a_row: u32) -> Option<Cause> {
    (in_a_row >= settings.max_attempts.min(2)).then_some(Cause::Consecutive)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn opens(max_attempts: u32, in_a_row: u32, in_window: Option<u32>) -> bool {
        let settings = Settings {
            max_attempts,
            ..Settings::DEFAULT
        };
        let evidence = FailureCounts {
            in_a_row,
            in_window,
        };
        let rule = match in_window {
            Some(_) => Cause::Window,
            None => Cause::Consecutive,
        };
        let fires = rule_that_fires(&settings, evidence);
        assert!(fires.is_none_or(|fires| fires == rule));
        fires.is_some()
    }

    #[test]
    fn failures_in_a_row_count_without_a_window() {
        assert!(!opens(5, 4, None));
        assert!(opens(5, 5, None));
        assert!(opens(1, 1, None));
    }

    #[test]
    fn with_a_window_only_failures_inside_it_count() {
        assert!(!opens(5, 100, Some(4)));
        assert!(opens(5, 5, Some(5)));
    }

    #[test]
    fn the_limit_is_where_failures_in_a_row_open() {
        for max_attempts in [1, 2, 5, UNLIMITED] {
            let settings = Settings {
                max_attempts,
                ..Settings::DEFAULT
            };
            let limit = limit(&settings).expect("no window");
            assert_eq!(opens(max_attempts, limit, None), limit != UNLIMITED);
            assert!(!opens(max_attempts, limit - 1, None));
        }
    }

    #[test]
    fn unlimited_never_opens() {
        assert!(!opens(UNLIMITED, u32::MAX, None));
        assert!(!opens(UNLIMITED, u32::MAX, Some(u32::MAX)));
    }
}
