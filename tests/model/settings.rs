//! Settings of the reference model: what was given, what is in effect.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use brama::{Config, ConnectionOptions, ExpiryStrategy, Settings};

/// What one call gives. A zero, or a number outside its range, is invalid.
#[derive(Clone, Default, PartialEq)]
pub struct Given {
    /// `Some(None)`: unlimited.
    pub max_attempts: Option<Option<u32>>,
    pub expiry: Option<u64>,
    pub progressive: Option<bool>,
    pub initial_expiry: Option<u64>,
    pub max_expiry: Option<u64>,
    pub backoff_factor: Option<f64>,
    pub jitter: Option<f64>,
    pub window: Option<Option<u64>>,
    pub success_clears_window: Option<bool>,
    pub half_open_max_calls: Option<u32>,
    pub half_open_successes: Option<u32>,
    pub probe_timeout: Option<Option<u64>>,
    pub cancelled_after: Option<Option<u64>>,
    /// Only for a connection.
    pub metadata: Option<BTreeMap<String, String>>,
    /// Only for the manager, as the two below.
    pub cleanup_interval: Option<u64>,
    pub inactive_threshold: Option<Option<u64>>,
    pub auto_register: Option<bool>,
}

impl Given {
    pub fn updated_by(&self, newer: &Given) -> Given {
        let newer = newer.clone();
        Given {
            max_attempts: newer.max_attempts.or(self.max_attempts),
            expiry: newer.expiry.or(self.expiry),
            progressive: newer.progressive.or(self.progressive),
            initial_expiry: newer.initial_expiry.or(self.initial_expiry),
            max_expiry: newer.max_expiry.or(self.max_expiry),
            backoff_factor: newer.backoff_factor.or(self.backoff_factor),
            jitter: newer.jitter.or(self.jitter),
            window: newer.window.or(self.window),
            success_clears_window: newer.success_clears_window.or(self.success_clears_window),
            half_open_max_calls: newer.half_open_max_calls.or(self.half_open_max_calls),
            half_open_successes: newer.half_open_successes.or(self.half_open_successes),
            probe_timeout: newer.probe_timeout.or(self.probe_timeout),
            cancelled_after: newer.cancelled_after.or(self.cancelled_after),
            metadata: newer.metadata.or(self.metadata.clone()),
            cleanup_interval: newer.cleanup_interval.or(self.cleanup_interval),
            inactive_threshold: newer.inactive_threshold.or(self.inactive_threshold),
            auto_register: newer.auto_register.or(self.auto_register),
        }
    }

    /// The field that makes a call with these settings invalid: the level has `level` without it,
    /// and the level below has `below`.
    pub fn flaw_over(&self, level: &Given, below: &Given) -> Option<&'static str> {
        let outside = |factor: f64| !(factor.is_finite() && factor >= 1.0);
        let flaws = [
            ("max_attempts", self.max_attempts == Some(Some(0))),
            ("expiry", self.expiry == Some(0)),
            ("initial_expiry", self.initial_expiry == Some(0)),
            ("max_expiry", self.max_expiry == Some(0)),
            ("window", self.window == Some(Some(0))),
            ("probe_timeout", self.probe_timeout == Some(Some(0))),
            ("cancelled_after", self.cancelled_after == Some(Some(0))),
            (
                "half_open_successes",
                self.half_open_successes
                    .is_some_and(|successes| successes == 0 || successes > 65_535),
            ),
            (
                "half_open_max_calls",
                self.half_open_max_calls
                    .is_some_and(|calls| calls == 0 || calls > 65_535),
            ),
            ("backoff_factor", self.backoff_factor.is_some_and(outside)),
            (
                "jitter",
                self.jitter.is_some_and(|j| !(0.0..=1.0).contains(&j)),
            ),
            ("cleanup_interval", self.cleanup_interval == Some(0)),
            (
                "inactive_threshold",
                self.inactive_threshold == Some(Some(0)),
            ),
            ("max_expiry", self.contradicts(level, below)),
        ];
        flaws
            .into_iter()
            .find_map(|(name, flawed)| flawed.then_some(name))
    }

    /// It has to do with a progressive expiry, and the maximum of this level would be under the
    /// initial one.
    fn contradicts(&self, level: &Given, below: &Given) -> bool {
        let names_one = self.expiry.is_some()
            || self.initial_expiry.is_some()
            || self.max_expiry.is_some()
            || self.progressive.is_some();
        let level = level.updated_by(self);
        let all = below.updated_by(&level);
        let initial = all.initial_expiry.or(all.expiry).unwrap_or(60_000);
        names_one
            && all.progressive == Some(true)
            && level.max_expiry.is_some_and(|max| max < initial)
    }

    pub fn as_options(&self) -> ConnectionOptions {
        let mut out = ConnectionOptions::new();
        if let Some(metadata) = &self.metadata {
            out = out.metadata(metadata.clone());
        }
        shared(out, self)
    }

    pub fn as_config(&self) -> Config {
        let mut out = Config::new();
        if let Some(interval) = self.cleanup_interval {
            out = out.cleanup_interval(ms(interval));
        }
        if let Some(threshold) = self.inactive_threshold {
            out = out.inactive_threshold(threshold.map(ms));
        }
        if let Some(on) = self.auto_register {
            out = out.auto_register(on);
        }
        shared(out, self)
    }
}

/// Only what is given.
impl fmt::Debug for Given {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("Given");
        macro_rules! given {
            ($($field:ident)*) => {
                $(if let Some(value) = &self.$field {
                    out.field(stringify!($field), value);
                })*
            };
        }
        given!(max_attempts expiry progressive initial_expiry max_expiry backoff_factor jitter
            window success_clears_window half_open_max_calls half_open_successes probe_timeout cancelled_after metadata
            cleanup_interval inactive_threshold auto_register);
        out.finish()
    }
}

pub fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// The setters that both levels have.
trait Setters: Sized {
    fn give(self, given: &Given) -> Self;
}

macro_rules! setters {
    ($level:ty) => {
        impl Setters for $level {
            fn give(mut self, given: &Given) -> Self {
                match given.max_attempts {
                    Some(Some(attempts)) => self = self.max_attempts(attempts),
                    Some(None) => self = self.unlimited_attempts(),
                    None => {}
                }
                if let Some(progressive) = given.progressive {
                    self = self.expiry_strategy(if progressive {
                        ExpiryStrategy::Progressive
                    } else {
                        ExpiryStrategy::Fixed
                    });
                }
                if let Some(expiry) = given.expiry {
                    self = self.expiry(ms(expiry));
                }
                if let Some(expiry) = given.initial_expiry {
                    self = self.initial_expiry(ms(expiry));
                }
                if let Some(expiry) = given.max_expiry {
                    self = self.max_expiry(ms(expiry));
                }
                if let Some(factor) = given.backoff_factor {
                    self = self.backoff_factor(factor);
                }
                if let Some(jitter) = given.jitter {
                    self = self.jitter(jitter);
                }
                if let Some(window) = given.window {
                    self = self.window(window.map(ms));
                }
                if let Some(on) = given.success_clears_window {
                    self = self.success_clears_window(on);
                }
                if let Some(calls) = given.half_open_max_calls {
                    self = self.half_open_max_calls(calls);
                }
                if let Some(successes) = given.half_open_successes {
                    self = self.half_open_successes(successes);
                }
                if let Some(timeout) = given.probe_timeout {
                    self = self.probe_timeout(timeout.map(ms));
                }
                if let Some(limit) = given.cancelled_after {
                    self = self.cancelled_after(limit.map(ms));
                }
                self
            }
        }
    };
}

setters!(ConnectionOptions);
setters!(Config);

fn shared<T: Setters>(level: T, given: &Given) -> T {
    level.give(given)
}

/// Settings in effect.
#[derive(Clone, Debug, PartialEq)]
pub struct Effective {
    pub max_attempts: Option<u32>,
    pub expiry: u64,
    pub progressive: bool,
    pub initial_expiry: u64,
    pub max_expiry: u64,
    pub backoff_factor: f64,
    pub jitter: f64,
    pub window: Option<u64>,
    pub success_clears_window: bool,
    pub half_open_max_calls: u32,
    pub half_open_successes: u32,
    pub probe_timeout: Option<u64>,
    pub cancelled_after: Option<u64>,
}

impl Effective {
    /// The connection's own over the global ones over the defaults.
    pub fn of(own: &Given, global: &Given) -> Effective {
        let all = global.updated_by(own);
        let expiry = all.expiry.unwrap_or(60_000);
        let initial_expiry = all.initial_expiry.unwrap_or(expiry);
        Effective {
            max_attempts: all.max_attempts.unwrap_or(Some(5)),
            expiry,
            progressive: all.progressive.unwrap_or(false),
            initial_expiry,
            // Two levels that contradict one another: the larger is the cap.
            max_expiry: all
                .max_expiry
                .unwrap_or(10 * initial_expiry)
                .max(initial_expiry),
            backoff_factor: all.backoff_factor.unwrap_or(2.0),
            jitter: all.jitter.unwrap_or(0.0),
            window: all.window.unwrap_or(None),
            success_clears_window: all.success_clears_window.unwrap_or(true),
            half_open_max_calls: all.half_open_max_calls.unwrap_or(1),
            half_open_successes: all.half_open_successes.unwrap_or(1),
            probe_timeout: all.probe_timeout.unwrap_or(None),
            cancelled_after: all.cancelled_after.unwrap_or(None),
        }
    }

    pub fn shown(settings: &Settings) -> Effective {
        let in_ms = |duration: Duration| duration.as_millis() as u64;
        Effective {
            max_attempts: settings.max_attempts(),
            expiry: in_ms(settings.expiry()),
            progressive: settings.expiry_strategy() == ExpiryStrategy::Progressive,
            initial_expiry: in_ms(settings.initial_expiry()),
            max_expiry: in_ms(settings.max_expiry()),
            backoff_factor: settings.backoff_factor(),
            jitter: settings.jitter(),
            window: settings.window().map(in_ms),
            success_clears_window: settings.success_clears_window(),
            half_open_max_calls: settings.half_open_max_calls(),
            half_open_successes: settings.half_open_successes(),
            probe_timeout: settings.probe_timeout().map(in_ms),
            cancelled_after: settings.cancelled_after().map(in_ms),
        }
    }

    /// How long the `trips`-th opening lasts; rounded up, never early.
    pub fn expiry_at(&self, trips: u32) -> u64 {
        if !self.progressive {
            return self.expiry;
        }
        let n = trips.max(1) - 1;
        let exact = self.initial_expiry as f64 * self.backoff_factor.powf(f64::from(n));
        // 10 × 1.1 is 11, not 11.000000000000002.
        let whole = (exact * (1.0 - 1e-9)).ceil();
        whole.min(self.max_expiry as f64) as u64
    }
}
