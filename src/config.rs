//! Settings: what may be given, what is allowed, which level wins.
//!
//! A setting can be given on three levels, and the nearest wins: the
//! connection's own, the manager's global one, the default. What is stored is
//! only what was given ([`Overrides`], every field optional); the effective
//! [`Settings`] are resolved from the levels whenever a decision needs them. A
//! connection that did not set a field therefore follows the global one live,
//! and there is no copy to bring up to date when that changes. Resolving is a
//! dozen selects, and only failures and openings need it: a healthy circuit
//! reads no settings at all.
//!
//! One level is one immutable object behind one pointer, so that all fields of
//! one `configure` call take effect together.
//!
//! Validation judges each value alone, and `max_expiry` against
//! `initial_expiry` as they would be in effect. Two levels that were each valid
//! can contradict one another later (a global `initial_expiry` raised above a
//! connection's `max_expiry`): then the larger of the two is the cap. Nobody is
//! there to receive an error at that moment, and a circuit must not stay open
//! for less than it was told.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::clock::millis_up;
use crate::error::Error;

/// `max_attempts` that no count reaches.
pub(crate) const UNLIMITED: u32 = u32::MAX;

/// The most failures a sliding window counts exactly (8 bytes of memory each).
pub const MAX_WINDOW_ATTEMPTS: u32 = 65_536;

/// The most probes a half-open circuit can have at once (8 bytes of memory each).
pub const MAX_HALF_OPEN_CALLS: u32 = 65_535;

/// User strings attached to a connection.
pub type Metadata = BTreeMap<String, String>;

/// How the time that a circuit stays open grows while a dependency stays down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum ExpiryStrategy {
    /// Every opening lasts `expiry`.
    #[default]
    Fixed,
    /// The n-th opening in a row lasts
    /// `min(max_expiry, initial_expiry × backoff_factor^(n-1))`.
    Progressive,
}

/// One level's settings: those that were given.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Overrides {
    pub(crate) max_attempts: Option<u32>,
    pub(crate) expiry_ms: Option<u64>,
    pub(crate) expiry_strategy: Option<ExpiryStrategy>,
    pub(crate) initial_expiry_ms: Option<u64>,
    pub(crate) max_expiry_ms: Option<u64>,
    pub(crate) backoff_factor: Option<f64>,
    pub(crate) jitter: Option<f64>,
    /// `Some(None)`: explicitly without a window.
    pub(crate) window_ms: Option<Option<u64>>,
    pub(crate) half_open_max_calls: Option<u32>,
    pub(crate) half_open_successes: Option<u32>,
    /// `Some(None)`: explicitly the current expiry.
    pub(crate) probe_timeout_ms: Option<Option<u64>>,
}

impl Overrides {
    /// These settings, changed by those that `newer` gives.
    pub(crate) fn updated_by(&self, newer: &Overrides) -> Overrides {
        Overrides {
            max_attempts: newer.max_attempts.or(self.max_attempts),
            expiry_ms: newer.expiry_ms.or(self.expiry_ms),
            expiry_strategy: newer.expiry_strategy.or(self.expiry_strategy),
            initial_expiry_ms: newer.initial_expiry_ms.or(self.initial_expiry_ms),
            max_expiry_ms: newer.max_expiry_ms.or(self.max_expiry_ms),
            backoff_factor: newer.backoff_factor.or(self.backoff_factor),
            jitter: newer.jitter.or(self.jitter),
            window_ms: newer.window_ms.or(self.window_ms),
            half_open_max_calls: newer.half_open_max_calls.or(self.half_open_max_calls),
            half_open_successes: newer.half_open_successes.or(self.half_open_successes),
            probe_timeout_ms: newer.probe_timeout_ms.or(self.probe_timeout_ms),
        }
    }

    /// Each given value alone.
    pub(crate) fn validate(&self) -> Result<(), Error> {
        at_least_one("max_attempts", self.max_attempts)?;
        duration("expiry", self.expiry_ms)?;
        duration("initial_expiry", self.initial_expiry_ms)?;
        duration("max_expiry", self.max_expiry_ms)?;
        duration("window", self.window_ms.flatten())?;
        duration("probe_timeout", self.probe_timeout_ms.flatten())?;
        at_least_one("half_open_successes", self.half_open_successes)?;
        if let Some(calls) = self.half_open_max_calls
            && !(1..=MAX_HALF_OPEN_CALLS).contains(&calls)
        {
            let allowed = format!("must be 1 to {MAX_HALF_OPEN_CALLS}");
            return Err(Error::config("half_open_max_calls", calls, allowed));
        }
        if let Some(factor) = self.backoff_factor
            && !(factor.is_finite() && factor >= 1.0)
        {
            let allowed = "must be finite and at least 1.0";
            return Err(Error::config("backoff_factor", factor, allowed));
        }
        if let Some(jitter) = self.jitter
            && !(0.0..=1.0).contains(&jitter)
        {
            return Err(Error::config("jitter", jitter, "must be 0.0 to 1.0"));
        }
        Ok(())
    }

    /// The given values together, as they take effect over `global`
    /// (the level below; empty for the global level itself).
    pub(crate) fn validate_over(&self, global: &Overrides) -> Result<(), Error> {
        let merged = global.updated_by(self);
        let names_expiry = self.max_expiry_ms.is_some()
            || self.initial_expiry_ms.is_some()
            || self.expiry_ms.is_some();
        let initial = merged.initial();
        if let Some(max) = merged.max_expiry_ms
            && names_expiry
            && max < initial
        {
            let allowed = format!("must be at least initial_expiry ({initial} ms)");
            return Err(Error::config("max_expiry", format!("{max} ms"), allowed));
        }
        let names_window = self.max_attempts.is_some() || self.window_ms.is_some();
        if let (Some(Some(_)), Some(attempts)) = (merged.window_ms, merged.max_attempts)
            && names_window
            && attempts > MAX_WINDOW_ATTEMPTS
            && attempts != UNLIMITED
        {
            let allowed = format!("with a window, at most {MAX_WINDOW_ATTEMPTS} or unlimited");
            return Err(Error::config("max_attempts", attempts, allowed));
        }
        Ok(())
    }

    fn initial(&self) -> u64 {
        self.initial_expiry_ms
            .or(self.expiry_ms)
            .unwrap_or(Settings::DEFAULT.expiry_ms)
    }

    /// What is in effect for a connection with these settings of its own.
    pub(crate) fn resolve(connection: Option<&Overrides>, global: &Overrides) -> Settings {
        let own = connection.unwrap_or(&Overrides::NONE);
        let default = &Settings::DEFAULT;
        let expiry_ms = own
            .expiry_ms
            .or(global.expiry_ms)
            .unwrap_or(default.expiry_ms);
        let initial_expiry_ms = own
            .initial_expiry_ms
            .or(global.initial_expiry_ms)
            .unwrap_or(expiry_ms);
        let max_expiry_ms = own
            .max_expiry_ms
            .or(global.max_expiry_ms)
            .unwrap_or(initial_expiry_ms.saturating_mul(10))
            .max(initial_expiry_ms);
        let window_ms = own
            .window_ms
            .or(global.window_ms)
            .unwrap_or(default.window_ms);
        let mut max_attempts = own
            .max_attempts
            .or(global.max_attempts)
            .unwrap_or(default.max_attempts);
        if window_ms.is_some() && max_attempts != UNLIMITED {
            max_attempts = max_attempts.min(MAX_WINDOW_ATTEMPTS);
        }
        Settings {
            max_attempts,
            expiry_ms,
            expiry_strategy: own
                .expiry_strategy
                .or(global.expiry_strategy)
                .unwrap_or(default.expiry_strategy),
            initial_expiry_ms,
            max_expiry_ms,
            backoff_factor: own
                .backoff_factor
                .or(global.backoff_factor)
                .unwrap_or(default.backoff_factor),
            jitter: own.jitter.or(global.jitter).unwrap_or(default.jitter),
            window_ms,
            half_open_max_calls: own
                .half_open_max_calls
                .or(global.half_open_max_calls)
                .unwrap_or(default.half_open_max_calls),
            half_open_successes: own
                .half_open_successes
                .or(global.half_open_successes)
                .unwrap_or(default.half_open_successes),
            probe_timeout_ms: own
                .probe_timeout_ms
                .or(global.probe_timeout_ms)
                .unwrap_or(default.probe_timeout_ms),
        }
    }

    const NONE: Overrides = Overrides {
        max_attempts: None,
        expiry_ms: None,
        expiry_strategy: None,
        initial_expiry_ms: None,
        max_expiry_ms: None,
        backoff_factor: None,
        jitter: None,
        window_ms: None,
        half_open_max_calls: None,
        half_open_successes: None,
        probe_timeout_ms: None,
    };
}

fn at_least_one(field: &'static str, value: Option<u32>) -> Result<(), Error> {
    match value {
        Some(0) => Err(Error::config(field, 0, "must be at least 1")),
        _ => Ok(()),
    }
}

pub(crate) fn duration(field: &'static str, ms: Option<u64>) -> Result<(), Error> {
    match ms {
        Some(0) => Err(Error::config(
            field,
            "less than 1 ms",
            "must be at least 1 ms",
        )),
        _ => Ok(()),
    }
}

/// Milliseconds of a duration that a user gave: rounded up, so that nothing is
/// shorter than asked for, but below one millisecond 0, which validation refuses.
pub(crate) fn given_ms(duration: Duration) -> u64 {
    if duration < Duration::from_millis(1) {
        0
    } else {
        millis_up(duration)
    }
}

/// The settings in effect for one connection: its own over the global ones over
/// the defaults.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Settings {
    pub(crate) max_attempts: u32,
    pub(crate) expiry_ms: u64,
    pub(crate) expiry_strategy: ExpiryStrategy,
    pub(crate) initial_expiry_ms: u64,
    pub(crate) max_expiry_ms: u64,
    pub(crate) backoff_factor: f64,
    pub(crate) jitter: f64,
    pub(crate) window_ms: Option<u64>,
    pub(crate) half_open_max_calls: u32,
    pub(crate) half_open_successes: u32,
    pub(crate) probe_timeout_ms: Option<u64>,
}

impl Settings {
    pub(crate) const DEFAULT: Settings = Settings {
        max_attempts: 5,
        expiry_ms: 60_000,
        expiry_strategy: ExpiryStrategy::Fixed,
        initial_expiry_ms: 60_000,
        max_expiry_ms: 600_000,
        backoff_factor: 2.0,
        jitter: 0.0,
        window_ms: None,
        half_open_max_calls: 1,
        half_open_successes: 1,
        probe_timeout_ms: None,
    };

    /// Failures that open the circuit; `None`: it never opens by itself.
    pub fn max_attempts(&self) -> Option<u32> {
        (self.max_attempts != UNLIMITED).then_some(self.max_attempts)
    }

    /// How long an opening lasts under [`ExpiryStrategy::Fixed`].
    pub fn expiry(&self) -> Duration {
        Duration::from_millis(self.expiry_ms)
    }

    /// How the expiry grows.
    pub fn expiry_strategy(&self) -> ExpiryStrategy {
        self.expiry_strategy
    }

    /// The first expiry under [`ExpiryStrategy::Progressive`].
    pub fn initial_expiry(&self) -> Duration {
        Duration::from_millis(self.initial_expiry_ms)
    }

    /// The longest expiry under [`ExpiryStrategy::Progressive`].
    pub fn max_expiry(&self) -> Duration {
        Duration::from_millis(self.max_expiry_ms)
    }

    /// The factor of [`ExpiryStrategy::Progressive`].
    pub fn backoff_factor(&self) -> f64 {
        self.backoff_factor
    }

    /// By what part of itself an expiry may be prolonged at random.
    pub fn jitter(&self) -> f64 {
        self.jitter
    }

    /// The sliding window in which failures count; `None`: failures in a row do.
    pub fn window(&self) -> Option<Duration> {
        self.window_ms.map(Duration::from_millis)
    }

    /// Probes admitted at once while half-open.
    pub fn half_open_max_calls(&self) -> u32 {
        self.half_open_max_calls
    }

    /// Successes that close a half-open circuit.
    pub fn half_open_successes(&self) -> u32 {
        self.half_open_successes
    }

    /// A probe's lease; `None`: the current expiry.
    pub fn probe_timeout(&self) -> Option<Duration> {
        self.probe_timeout_ms.map(Duration::from_millis)
    }
}

mod differences;
mod options;
pub use options::{Config, ConnectionOptions};
pub(crate) use options::{Housekeeping, housekeeping_setters, settings_setters};

#[cfg(test)]
mod tests;
