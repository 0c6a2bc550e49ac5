//! Settings of the reference model, as calls give them.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use brama::{Config, ConnectionOptions, ExpiryStrategy};

/// The settings that one call gives. They may be invalid, as zero or outside their range.
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
    pub mode: Option<brama::Mode>,
    pub half_open_max_calls: Option<u32>,
    pub half_open_successes: Option<u32>,
    pub probe_timeout: Option<Option<u64>>,
    pub cancelled_after: Option<Option<u64>>,
    pub failure_rate: Option<Option<f64>>,
    pub rate_window: Option<u64>,
    pub rate_calls: Option<Option<u32>>,
    pub minimum_calls: Option<u32>,
    pub slow_call_duration: Option<Option<u64>>,
    pub slow_call_rate: Option<Option<f64>>,
    pub half_open_failure_rate: Option<Option<f64>>,
    pub ramp: Option<Option<u64>>,
    pub ramp_start: Option<f64>,
    /// For connections only.
    pub metadata: Option<BTreeMap<String, String>>,
    /// For the manager only, as are the two fields below.
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
            mode: newer.mode.or(self.mode),
            half_open_max_calls: newer.half_open_max_calls.or(self.half_open_max_calls),
            // A level keeps only the last given of the two.
            half_open_successes: match newer.half_open_failure_rate {
                Some(Some(_)) => newer.half_open_successes,
                _ => newer.half_open_successes.or(self.half_open_successes),
            },
            half_open_failure_rate: match (newer.half_open_successes, self.half_open_failure_rate) {
                (Some(_), Some(Some(_))) => newer.half_open_failure_rate,
                (_, older) => newer.half_open_failure_rate.or(older),
            },
            ramp: newer.ramp.or(self.ramp),
            ramp_start: newer.ramp_start.or(self.ramp_start),
            probe_timeout: newer.probe_timeout.or(self.probe_timeout),
            cancelled_after: newer.cancelled_after.or(self.cancelled_after),
            failure_rate: newer.failure_rate.or(self.failure_rate),
            // A level keeps only the last given of the two windows.
            rate_window: match newer.rate_calls {
                Some(Some(_)) => newer.rate_window,
                _ => newer.rate_window.or(self.rate_window),
            },
            rate_calls: match (newer.rate_window, self.rate_calls) {
                (Some(_), Some(Some(_))) => newer.rate_calls,
                (_, older) => newer.rate_calls.or(older),
            },
            minimum_calls: newer.minimum_calls.or(self.minimum_calls),
            slow_call_duration: newer.slow_call_duration.or(self.slow_call_duration),
            slow_call_rate: newer.slow_call_rate.or(self.slow_call_rate),
            metadata: newer.metadata.or(self.metadata.clone()),
            cleanup_interval: newer.cleanup_interval.or(self.cleanup_interval),
            inactive_threshold: newer.inactive_threshold.or(self.inactive_threshold),
            auto_register: newer.auto_register.or(self.auto_register),
        }
    }

    /// The field that makes a call with these settings invalid, if there is one. The call changes a
    /// level with the settings `level`, above one with the settings `below`.
    pub fn flaw_over(&self, level: &Given, below: &Given) -> Option<&'static str> {
        let outside = |factor: f64| !(factor.is_finite() && factor >= 1.0);
        let no_rate =
            |rate: Option<f64>| rate.is_some_and(|rate| rate.is_nan() || rate <= 0.0 || rate > 1.0);
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
            ("failure_rate", self.failure_rate.is_some_and(no_rate)),
            (
                "rate_window",
                self.rate_window
                    .is_some_and(|ms| !(1_000..=3_600_000).contains(&ms)),
            ),
            (
                "rate_calls",
                self.rate_calls
                    .flatten()
                    .is_some_and(|calls| !(10..=100_000).contains(&calls)),
            ),
            ("minimum_calls", self.minimum_calls == Some(0)),
            (
                "slow_call_duration",
                self.slow_call_duration == Some(Some(0)),
            ),
            ("slow_call_rate", self.slow_call_rate.is_some_and(no_rate)),
            (
                "half_open_failure_rate",
                self.half_open_failure_rate.is_some_and(no_rate),
            ),
            ("ramp", self.ramp == Some(Some(0))),
            (
                "ramp_start",
                self.ramp_start.is_some_and(|share| no_rate(Some(share))),
            ),
            ("cleanup_interval", self.cleanup_interval == Some(0)),
            (
                "inactive_threshold",
                self.inactive_threshold == Some(Some(0)),
            ),
            ("max_expiry", self.contradicts(level, below)),
            (
                "half_open_failure_rate",
                self.half_open_failure_rate.flatten().is_some()
                    && self.half_open_successes.is_some(),
            ),
            (
                "rate_calls",
                self.rate_window.is_some() && self.rate_calls.flatten().is_some(),
            ),
            (
                "minimum_calls",
                level.updated_by(self).has_minimum_above_calls(),
            ),
        ];
        flaws
            .into_iter()
            .find_map(|(name, flawed)| flawed.then_some(name))
    }

    fn has_minimum_above_calls(&self) -> bool {
        match (self.minimum_calls, self.rate_calls) {
            (Some(minimum), Some(Some(calls))) => minimum > calls,
            _ => false,
        }
    }

    /// [`Given::flaw_over`] for a connection. Its own rate of slow calls needs a duration that says
    /// which calls are slow.
    pub fn flaw_of_connection(&self, own: &Given, global: &Given) -> Option<&'static str> {
        let names_one = self.slow_call_rate.is_some() || self.slow_call_duration.is_some();
        let level = own.updated_by(self);
        let duration = level.slow_call_duration.or(global.slow_call_duration);
        let waits = level.slow_call_rate.flatten().is_some() && duration.flatten().is_none();
        let flaw = self.flaw_over(own, global);
        flaw.or((names_one && waits).then_some("slow_call_rate"))
    }

    /// Whether the call concerns a progressive expiry, and the maximum of its level would be below
    /// the initial expiry.
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

/// Shows only the settings that are given.
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
            window success_clears_window mode half_open_max_calls half_open_successes probe_timeout
            cancelled_after failure_rate rate_window rate_calls minimum_calls slow_call_duration
            slow_call_rate half_open_failure_rate ramp ramp_start metadata
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
                if let Some(mode) = given.mode {
                    self = self.mode(mode);
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
                if let Some(rate) = given.failure_rate {
                    self = self.failure_rate(rate);
                }
                if let Some(window) = given.rate_window {
                    self = self.rate_window(ms(window));
                }
                if let Some(calls) = given.rate_calls {
                    self = self.rate_calls(calls);
                }
                if let Some(calls) = given.minimum_calls {
                    self = self.minimum_calls(calls);
                }
                if let Some(duration) = given.slow_call_duration {
                    self = self.slow_call_duration(duration.map(ms));
                }
                if let Some(rate) = given.slow_call_rate {
                    self = self.slow_call_rate(rate);
                }
                if let Some(rate) = given.half_open_failure_rate {
                    self = self.half_open_failure_rate(rate);
                }
                if let Some(ramp) = given.ramp {
                    self = self.ramp(ramp.map(ms));
                }
                if let Some(share) = given.ramp_start {
                    self = self.ramp_start(share);
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
