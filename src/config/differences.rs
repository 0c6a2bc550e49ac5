//! Which settings were given to a connection that has others.

use super::{Overrides, Settings};

impl Overrides {
    /// The names of those of these settings that are not in effect.
    pub(crate) fn not_in(&self, effective: &Settings) -> Vec<&'static str> {
        // All fields, so that none can be forgotten.
        let Overrides {
            max_attempts,
            expiry_ms,
            expiry_strategy,
            initial_expiry_ms,
            max_expiry_ms,
            backoff_factor,
            jitter,
            window_ms,
            half_open_max_calls,
            half_open_successes,
            probe_timeout_ms,
        } = *self;
        fn differs<T: PartialEq>(given: Option<T>, effective: T) -> bool {
            given.is_some_and(|given| given != effective)
        }
        let all = [
            (
                "max_attempts",
                differs(max_attempts, effective.max_attempts),
            ),
            ("expiry", differs(expiry_ms, effective.expiry_ms)),
            (
                "expiry_strategy",
                differs(expiry_strategy, effective.expiry_strategy),
            ),
            (
                "initial_expiry",
                differs(initial_expiry_ms, effective.initial_expiry_ms),
            ),
            (
                "max_expiry",
                differs(max_expiry_ms, effective.max_expiry_ms),
            ),
            (
                "backoff_factor",
                differs(backoff_factor, effective.backoff_factor),
            ),
            ("jitter", differs(jitter, effective.jitter)),
            ("window", differs(window_ms, effective.window_ms)),
            (
                "half_open_max_calls",
                differs(half_open_max_calls, effective.half_open_max_calls),
            ),
            (
                "half_open_successes",
                differs(half_open_successes, effective.half_open_successes),
            ),
            (
                "probe_timeout",
                differs(probe_timeout_ms, effective.probe_timeout_ms),
            ),
        ];
        let named = all.into_iter().filter(|(_, differs)| *differs);
        named.map(|(name, _)| name).collect()
    }
}
