//! Circuits of the model that are saved and restored.

use super::Circuit;
use crate::admission::Mode;
use crate::effective::Effective;

/// A saved circuit, and the time of the save.
#[derive(Clone, Debug)]
pub struct Saved {
    circuit: Circuit,
    in_a_row: u32,
    at: u64,
}

impl Circuit {
    pub fn save(&self, settings: &Effective, now: u64) -> Saved {
        let mut circuit = self.clone();
        if self.is_disabled() && !self.is_held() {
            // Enabling the circuit would reset it.
            circuit.mode = Mode::Closed;
            circuit.forget_all();
        }
        Saved {
            in_a_row: match settings.window {
                Some(_) => 0,
                None => circuit.in_a_row,
            },
            circuit,
            at: now,
        }
    }

    /// Restores the circuit. Returns false, and changes nothing, if its state has changed since the
    /// save.
    pub fn restore(&mut self, saved: &Saved, now: u64) -> bool {
        if self.changed_at.is_some_and(|at| at > saved.at) {
            return false;
        }
        let then = &saved.circuit;
        self.active_at = now;
        self.forget_failures();
        if !self.had_window {
            self.in_a_row = saved.in_a_row;
        }
        self.trips = then.trips;
        (self.cause, self.reason) = (then.cause, then.reason);
        // The counts of the opening are not saved.
        self.opened = (None, None);
        self.last_failure_reason = then.last_failure_reason.or(self.last_failure_reason);
        self.successes = self.successes.max(then.successes);
        self.failures = self.failures.max(then.failures);
        self.rejections = self.rejections.max(then.rejections);
        self.ignored = self.ignored.max(then.ignored);
        self.evidence.forget_opening();
        match then.mode {
            Mode::Closed => self.close_now(now),
            Mode::HalfOpen(_) | Mode::Ramp { .. } => {
                self.half_open(now);
                self.is_held_half_open = self.is_disabled();
            }
            Mode::Open { until, lasting } => {
                let until = until.map(|until| until.max(now));
                self.change(Mode::Open { until, lasting }, now);
                self.opened_at = Some(now);
                self.is_restored = true;
            }
        }
        // An opening whose time is over is due at once.
        self.catch_up(now);
        true
    }
}
