//! What a user fills in: [`ConnectionOptions`] for one connection, [`Config`]
//! for a manager.
//!
//! Setters cannot fail and keep no history: they write one optional field. What
//! was given is judged when it is used, as a whole, where an error has somebody
//! to go to. The setters are the same for every holder of settings (also the
//! builder), so they are written once, as a macro.

use super::{Metadata, Overrides, duration};
use crate::error::Error;

/// The setters that every holder of settings shares.
macro_rules! settings_setters {
    () => {
        /// Failures that open the circuit: in a row, or within the window if
        /// there is one. At least 1; with a window at most 65 536. Default 5.
        pub fn max_attempts(mut self, attempts: u32) -> Self {
            self.overrides.max_attempts = Some(attempts);
            self
        }

        /// The circuit never opens by itself.
        pub fn unlimited_attempts(mut self) -> Self {
            self.overrides.max_attempts = Some(crate::config::UNLIMITED);
            self
        }

        /// How long an opening lasts. At least 1 ms; fractions of a millisecond
        /// round up. Default 60 s.
        pub fn expiry(mut self, expiry: std::time::Duration) -> Self {
            self.overrides.expiry_ms = Some(crate::config::given_ms(expiry));
            self
        }

        /// How the expiry grows while the dependency stays down. Default fixed.
        pub fn expiry_strategy(mut self, strategy: crate::config::ExpiryStrategy) -> Self {
            self.overrides.expiry_strategy = Some(strategy);
            self
        }

        /// The first expiry of the progressive strategy. At least 1 ms. Default:
        /// the expiry.
        pub fn initial_expiry(mut self, expiry: std::time::Duration) -> Self {
            self.overrides.initial_expiry_ms = Some(crate::config::given_ms(expiry));
            self
        }

        /// The longest expiry of the progressive strategy. At least the initial
        /// one. Default: ten times the initial one.
        pub fn max_expiry(mut self, expiry: std::time::Duration) -> Self {
            self.overrides.max_expiry_ms = Some(crate::config::given_ms(expiry));
            self
        }

        /// The factor of the progressive strategy. Finite, at least 1.0. Default 2.0.
        pub fn backoff_factor(mut self, factor: f64) -> Self {
            self.overrides.backoff_factor = Some(factor);
            self
        }

        /// Prolongs every automatic expiry by a random part of up to `jitter`
        /// times itself, so that a fleet does not probe in step. 0.0 to 1.0.
        /// Default 0.
        pub fn jitter(mut self, jitter: f64) -> Self {
            self.overrides.jitter = Some(jitter);
            self
        }

        /// Failures count if they happened less than this long ago. `None`:
        /// failures in a row count, however old. At least 1 ms. Default none.
        pub fn window(mut self, window: impl Into<Option<std::time::Duration>>) -> Self {
            self.overrides.window_ms = Some(window.into().map(crate::config::given_ms));
            self
        }

        /// Probes admitted at once while half-open. 1 to 65 535. Default 1.
        pub fn half_open_max_calls(mut self, calls: u32) -> Self {
            self.overrides.half_open_max_calls = Some(calls);
            self
        }

        /// Successes that close a half-open circuit. At least 1. Default 1.
        pub fn half_open_successes(mut self, successes: u32) -> Self {
            self.overrides.half_open_successes = Some(successes);
            self
        }

        /// How long a probe may take before it loses its slot. `None`: as long
        /// as the current expiry. At least 1 ms. Default none.
        pub fn probe_timeout(mut self, timeout: impl Into<Option<std::time::Duration>>) -> Self {
            self.overrides.probe_timeout_ms = Some(timeout.into().map(crate::config::given_ms));
            self
        }
    };
}
pub(crate) use settings_setters;

/// Settings of one connection. A field that is not given follows the manager's.
///
/// ```
/// use std::time::Duration;
/// use brama::{ConnectionOptions, ExpiryStrategy};
///
/// let options = ConnectionOptions::new()
///     .max_attempts(3)
///     .expiry_strategy(ExpiryStrategy::Progressive)
///     .initial_expiry(Duration::from_secs(1))
///     .max_expiry(Duration::from_secs(30))
///     .metadata([("team", "billing")]);
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
#[must_use]
pub struct ConnectionOptions {
    pub(crate) overrides: Overrides,
    pub(crate) metadata: Option<Metadata>,
}

impl ConnectionOptions {
    /// Nothing given.
    pub fn new() -> Self {
        Self::default()
    }

    settings_setters!();

    /// The connection's metadata, as a whole: it replaces what was there.
    pub fn metadata<K: Into<String>, V: Into<String>>(
        mut self,
        pairs: impl IntoIterator<Item = (K, V)>,
    ) -> Self {
        self.metadata = Some(
            pairs
                .into_iter()
                .map(|(key, value)| (key.into(), value.into()))
                .collect(),
        );
        self
    }
}

/// Global settings of a manager. A `configure` call changes the fields that are
/// given and no other.
#[derive(Clone, Debug, Default, PartialEq)]
#[must_use]
pub struct Config {
    pub(crate) overrides: Overrides,
    pub(crate) housekeeping: Housekeeping,
}

/// The settings that only a manager has, as far as they were given.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Housekeeping {
    pub(crate) cleanup_interval_ms: Option<u64>,
    /// `Some(None)`: never.
    pub(crate) inactive_threshold_ms: Option<Option<u64>>,
    pub(crate) auto_register: Option<bool>,
}

/// Default time between two cleanups.
const CLEANUP_INTERVAL_MS: u64 = 10_000;
/// Default inactivity after which a connection is removed.
const INACTIVE_THRESHOLD_MS: u64 = 86_400_000;

impl Housekeeping {
    pub(crate) fn updated_by(&self, newer: &Housekeeping) -> Housekeeping {
        Housekeeping {
            cleanup_interval_ms: newer.cleanup_interval_ms.or(self.cleanup_interval_ms),
            inactive_threshold_ms: newer.inactive_threshold_ms.or(self.inactive_threshold_ms),
            auto_register: newer.auto_register.or(self.auto_register),
        }
    }

    pub(crate) fn validate(&self) -> Result<(), Error> {
        duration("cleanup_interval", self.cleanup_interval_ms)?;
        duration("inactive_threshold", self.inactive_threshold_ms.flatten())
    }

    pub(crate) fn cleanup_interval(&self) -> u64 {
        self.cleanup_interval_ms.unwrap_or(CLEANUP_INTERVAL_MS)
    }

    pub(crate) fn inactive_threshold(&self) -> Option<u64> {
        self.inactive_threshold_ms
            .unwrap_or(Some(INACTIVE_THRESHOLD_MS))
    }

    pub(crate) fn auto_register(&self) -> bool {
        self.auto_register.unwrap_or(false)
    }
}

/// The setters of [`Housekeeping`].
macro_rules! housekeeping_setters {
    () => {
        /// How often inactive connections are looked for. At least 1 ms.
        /// Default 10 s.
        pub fn cleanup_interval(mut self, interval: std::time::Duration) -> Self {
            self.housekeeping.cleanup_interval_ms = Some(crate::config::given_ms(interval));
            self
        }

        /// A connection without activity for this long is removed. `None`:
        /// never. At least 1 ms. Default 24 h.
        pub fn inactive_threshold(
            mut self,
            threshold: impl Into<Option<std::time::Duration>>,
        ) -> Self {
            let threshold = threshold.into().map(crate::config::given_ms);
            self.housekeeping.inactive_threshold_ms = Some(threshold);
            self
        }

        /// Whether an unknown name is registered, with the global settings, by
        /// its first use. Default false.
        pub fn auto_register(mut self, on: bool) -> Self {
            self.housekeeping.auto_register = Some(on);
            self
        }
    };
}
pub(crate) use housekeeping_setters;

impl Config {
    /// Nothing given.
    pub fn new() -> Self {
        Self::default()
    }

    settings_setters!();
    housekeeping_setters!();

    /// This level, changed by what `newer` gives; or what is wrong with that.
    pub(crate) fn updated_by(&self, newer: &Config) -> Result<Config, Error> {
        newer.overrides.validate()?;
        newer.housekeeping.validate()?;
        newer.overrides.validate_over(&self.overrides)?;
        Ok(Config {
            overrides: self.overrides.updated_by(&newer.overrides),
            housekeeping: self.housekeeping.updated_by(&newer.housekeeping),
        })
    }
}
