//! The settings in effect of the reference model.

use std::time::Duration;

use brama::{ExpiryStrategy, Settings};

use crate::evidence::Shape;
use crate::settings::Given;

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
    pub mode: brama::Mode,
    pub half_open_max_calls: u32,
    pub half_open_successes: u32,
    pub probe_timeout: Option<u64>,
    pub cancelled_after: Option<u64>,
    pub failure_rate: Option<f64>,
    pub rate_window: u64,
    pub rate_calls: Option<u32>,
    pub minimum_calls: u32,
    pub slow_call_duration: Option<u64>,
    pub slow_call_rate: Option<f64>,
    pub half_open_failure_rate: Option<f64>,
    pub ramp: Option<u64>,
    pub ramp_start: f64,
}

impl Effective {
    /// The settings of a connection with `own` settings: these override the global ones, which
    /// override the defaults.
    pub fn of(own: &Given, global: &Given) -> Effective {
        let all = global.updated_by(own);
        let expiry = all.expiry.unwrap_or(60_000);
        let initial_expiry = all.initial_expiry.unwrap_or(expiry);
        let rate_calls = match own.rate_window {
            Some(_) => None,
            None => own.rate_calls.or(global.rate_calls).flatten(),
        };
        let failure_rate = all.failure_rate.flatten();
        // A window keeps the default number of failures.
        let counts =
            |level: &Given| level.max_attempts.is_some() || level.window.flatten().is_some();
        let attempts = match failure_rate.is_some() && !counts(own) && !counts(global) {
            true => None,
            false => Some(5),
        };
        Effective {
            max_attempts: all.max_attempts.unwrap_or(attempts),
            expiry,
            progressive: all.progressive.unwrap_or(false),
            initial_expiry,
            // If two levels contradict each other, the larger value is the cap.
            max_expiry: all
                .max_expiry
                .unwrap_or(10 * initial_expiry)
                .max(initial_expiry),
            backoff_factor: all.backoff_factor.unwrap_or(2.0),
            jitter: all.jitter.unwrap_or(0.0),
            window: all.window.unwrap_or(None),
            success_clears_window: all.success_clears_window.unwrap_or(true),
            mode: all.mode.unwrap_or_default(),
            half_open_max_calls: all.half_open_max_calls.unwrap_or(1),
            half_open_successes: own
                .half_open_successes
                .or(global.half_open_successes)
                .unwrap_or(1),
            probe_timeout: all.probe_timeout.unwrap_or(None),
            cancelled_after: all.cancelled_after.unwrap_or(None),
            failure_rate,
            rate_window: own.rate_window.or(global.rate_window).unwrap_or(10_000),
            rate_calls,
            minimum_calls: all
                .minimum_calls
                .unwrap_or(20)
                .min(rate_calls.unwrap_or(u32::MAX)),
            slow_call_duration: all.slow_call_duration.flatten(),
            slow_call_rate: all.slow_call_rate.flatten(),
            half_open_failure_rate: match own.half_open_successes {
                Some(_) => None,
                None => own
                    .half_open_failure_rate
                    .or(global.half_open_failure_rate)
                    .flatten(),
            },
            ramp: all.ramp.flatten(),
            ramp_start: all.ramp_start.unwrap_or(0.1),
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
            mode: settings.mode(),
            half_open_max_calls: settings.half_open_max_calls(),
            half_open_successes: settings.half_open_successes(),
            probe_timeout: settings.probe_timeout().map(in_ms),
            cancelled_after: settings.cancelled_after().map(in_ms),
            failure_rate: settings.failure_rate(),
            rate_window: in_ms(settings.rate_window()),
            rate_calls: settings.rate_calls(),
            minimum_calls: settings.minimum_calls(),
            slow_call_duration: settings.slow_call_duration().map(in_ms),
            slow_call_rate: settings.slow_call_rate(),
            half_open_failure_rate: settings.half_open_failure_rate(),
            ramp: settings.ramp().map(in_ms),
            ramp_start: settings.ramp_start(),
        }
    }

    /// The rate of slow calls that opens the circuit, if calls can be slow.
    pub fn rate_of_slow(&self) -> Option<f64> {
        self.slow_call_duration.and(self.slow_call_rate)
    }

    /// Whether a probe that succeeds slowly counts as failed.
    pub fn counts_slow_probes(&self) -> bool {
        self.half_open_failure_rate.is_some() && self.rate_of_slow().is_some()
    }

    /// The share of the calls that a ramp admits `left` ms before its end.
    pub fn ramp_share(&self, left: u64) -> f64 {
        match self.ramp {
            Some(ramp) => self.ramp_start.max(1.0 - left as f64 / ramp as f64),
            // The ramp setting was taken back meanwhile.
            None => 1.0,
        }
    }

    /// The window of the rates, if there are rates.
    pub fn shape(&self) -> Option<Shape> {
        self.failure_rate.or(self.rate_of_slow())?;
        Some(match self.rate_calls {
            Some(calls) => Shape::Calls(calls as usize),
            None => Shape::Time(self.rate_window),
        })
    }

    /// Whether calls are measured.
    pub fn measures(&self) -> bool {
        self.cancelled_after.is_some() || self.slow_call_duration.is_some()
    }

    /// Whether a call of this duration is slow. False if the duration is not known.
    pub fn is_slow(&self, lasted: Option<u64>) -> bool {
        match (lasted, self.slow_call_duration) {
            (Some(lasted), Some(limit)) => lasted >= limit,
            _ => false,
        }
    }

    /// How long the `trips`-th opening lasts, rounded up.
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
