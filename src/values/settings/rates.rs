//! The settings of rates, and what they mean together and beside the counts of failures.
//!
//! A rate counts the reports within a time (`rate_window`) or the last ones (`rate_calls`), never
//! both. The nearest level that names one of them decides. So a connection with a `rate_window`
//! counts in time under a manager with `rate_calls`, and the other way round. For that a level
//! holds at most one: what a call gives takes the place of the other one. Only a call that gives
//! both is refused, since neither is nearer. `rate_calls: None` is a value, as a `window: None` is:
//! this level counts in time, whatever the level below says. It goes together with a `rate_window`.
//!
//! A call is refused if its level would contradict itself, since its caller can receive the error:
//!
//! - A level with a `minimum_calls` above its own `rate_calls`. Between levels the minimum is
//!   lowered instead: `rate_calls` of the manager may change later, when no caller of the
//!   connection's settings is there to receive an error.
//! - A connection with a `slow_call_rate` and no `slow_call_duration` in effect: that rate can
//!   never open the circuit. A manager's rate is accepted alone, because each connection may say
//!   what is slow for its dependency. A duration alone is accepted, too: it only measures.
//!
//! A `failure_rate` takes the place of the default `max_attempts`. A `max_attempts` that was given
//! on any level stays in effect. So does the default one if a `window` was given, since the user
//! asked for that rule, too. A `window: None` asks for no rule.

use super::{Changes, Given, Overrides, Settings, UNLIMITED};
use crate::values::error::Error;

impl Changes {
    /// Whether they can change what a rate counts, or whether there is one.
    pub(crate) fn concern_rates(&self) -> bool {
        self.failure_rate.is_given()
            || self.rate_window.is_given()
            || self.rate_calls.is_given()
            || self.slow_call_duration.is_given()
            || self.slow_call_rate.is_given()
    }

    fn gives_rate_window(&self) -> bool {
        matches!(self.rate_window, Given::Value(_))
    }

    fn gives_rate_calls(&self) -> bool {
        matches!(self.rate_calls, Given::Value(Some(_)))
    }

    /// These changes, which are `newer` on top of `older`. Of the two windows, one that `newer`
    /// gives takes the place of the other one in `older`.
    pub(super) fn with_window_of(mut self, older: &Changes, newer: &Changes) -> Changes {
        if newer.gives_rate_window() && older.gives_rate_calls() && !newer.gives_rate_calls() {
            self.rate_calls = newer.rate_calls;
        }
        if newer.gives_rate_calls() && older.gives_rate_window() && !newer.gives_rate_window() {
            self.rate_window = newer.rate_window;
        }
        self
    }

    /// Checks the given rates together. `level` is their level with these changes applied.
    pub(super) fn validate_rates(&self, level: &Overrides) -> Result<(), Error> {
        if let (Given::Value(_), Given::Value(Some(calls))) = (self.rate_window, self.rate_calls) {
            let allowed = "cannot be given together with `rate_window`";
            return Err(Error::config("rate_calls", calls, allowed));
        }
        if let (Some(minimum), Some(Some(calls))) = (level.minimum_calls, level.rate_calls)
            && minimum > calls
        {
            let allowed = format!("must be at most `rate_calls` ({calls})");
            return Err(Error::config("minimum_calls", minimum, allowed));
        }
        Ok(())
    }

    /// Checks that a connection which has a rate of slow calls of its own knows what is slow.
    pub(super) fn validate_slow_calls(
        &self,
        level: &Overrides,
        below: &Overrides,
    ) -> Result<(), Error> {
        let names_one = self.slow_call_rate.is_given() || self.slow_call_duration.is_given();
        let duration = level.slow_call_duration.or(below.slow_call_duration);
        match (level.slow_call_rate, duration) {
            (Some(Some(rate)), None | Some(None)) if names_one => {
                let allowed = "needs a `slow_call_duration` in effect";
                Err(Error::config("slow_call_rate", rate, allowed))
            }
            _ => Ok(()),
        }
    }

    /// Whether they give a `rate_window` that is not in effect because the rates count calls.
    pub(super) fn has_idle_window_in(&self, effective: &Settings) -> bool {
        self.gives_rate_window() && effective.rate_calls.is_some()
    }
}

impl Overrides {
    /// This level after `changes` were applied. Of the two windows it keeps the one that they give.
    pub(super) fn with_window_of_changes(mut self, changes: &Changes) -> Overrides {
        if changes.gives_rate_calls() {
            self.rate_window = None;
        } else if changes.gives_rate_window() && self.rate_calls.flatten().is_some() {
            self.rate_calls = None;
        }
        self
    }

    /// Whether this level asks for a number of failures that open the circuit.
    fn counts_failures(&self) -> bool {
        self.max_attempts.is_some() || self.window.flatten().is_some()
    }
}

impl Settings {
    /// These settings, resolved one by one, after the rules of rates are applied.
    pub(super) fn with_rates_of(mut self, connection: &Overrides, global: &Overrides) -> Settings {
        if connection.rate_window.is_some() {
            // The connection has no calls of its own beside it.
            self.rate_calls = None;
        }
        if let Some(calls) = self.rate_calls {
            self.minimum_calls = self.minimum_calls.min(calls);
        }
        let counts_failures = connection.counts_failures() || global.counts_failures();
        if self.failure_rate.is_some() && !counts_failures {
            self.max_attempts = UNLIMITED;
        }
        self
    }

    /// Whether a rate is in effect that can open the circuit.
    pub(crate) fn has_rate(&self) -> bool {
        self.failure_rate.is_some() || self.has_slow_call_rate()
    }

    /// A rate of slow calls where no call is slow opens nothing.
    fn has_slow_call_rate(&self) -> bool {
        self.slow_call_rate.is_some() && self.slow_call_duration.is_some()
    }
}
