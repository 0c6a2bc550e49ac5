//! The settings of probes, and what they mean together.
//!
//! Probes decide by a number of successes (`half_open_successes`) or by a rate of failures
//! (`half_open_failure_rate`), never by both. As with the windows of [`rates`](super::rates), the
//! nearest level that names one of them decides, a level holds at most one, and only a call that
//! gives both is refused. `half_open_failure_rate: None` is a value: this level goes by successes,
//! whatever the level below says. It goes together with a `half_open_successes`.

use super::{Changes, Given, Overrides, Settings};
use crate::values::error::Error;

impl Changes {
    fn gives_successes(&self) -> bool {
        matches!(self.half_open_successes, Given::Value(_))
    }

    fn gives_probe_rate(&self) -> bool {
        matches!(self.half_open_failure_rate, Given::Value(Some(_)))
    }

    /// These changes, which are `newer` on top of `older`. Of the two settings, one that `newer`
    /// gives takes the place of the other one in `older`.
    pub(super) fn with_probes_of(mut self, older: &Changes, newer: &Changes) -> Changes {
        if newer.gives_successes() && older.gives_probe_rate() && !newer.gives_probe_rate() {
            self.half_open_failure_rate = newer.half_open_failure_rate;
        }
        if newer.gives_probe_rate() && older.gives_successes() && !newer.gives_successes() {
            self.half_open_successes = newer.half_open_successes;
        }
        self
    }

    pub(super) fn validate_probes(&self) -> Result<(), Error> {
        match (self.half_open_failure_rate, self.half_open_successes) {
            (Given::Value(Some(rate)), Given::Value(_)) => {
                let allowed = "cannot be given together with `half_open_successes`";
                Err(Error::config("half_open_failure_rate", rate, allowed))
            }
            _ => Ok(()),
        }
    }

    /// Whether they give a `half_open_successes` that is not in effect because a rate decides.
    pub(super) fn has_idle_successes_in(&self, effective: &Settings) -> bool {
        self.gives_successes() && effective.half_open_failure_rate.is_some()
    }
}

impl Overrides {
    /// This level after `changes` were applied. Of the two settings it keeps the one that they
    /// give.
    pub(super) fn with_probes_of_changes(mut self, changes: &Changes) -> Overrides {
        if changes.gives_probe_rate() {
            self.half_open_successes = None;
        } else if changes.gives_successes() && self.half_open_failure_rate.flatten().is_some() {
            self.half_open_failure_rate = None;
        }
        self
    }
}

impl Settings {
    /// These settings, resolved one by one, after the rule of probes is applied.
    pub(super) fn with_probes_of(mut self, connection: &Overrides) -> Settings {
        if connection.half_open_successes.is_some() {
            // The connection has no rate of its own beside it.
            self.half_open_failure_rate = None;
        }
        self
    }
}
