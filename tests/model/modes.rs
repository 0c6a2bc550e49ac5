//! What the mode of a circuit of the reference model changes.

use brama::{Mode as Acting, State};

use super::{Admission, Circuit, Mode};
use crate::effective::Effective;
use crate::view::Answer;

impl Circuit {
    /// This mode is in effect from now on.
    pub(super) fn adopt(&mut self, acting: Acting, now: u64) {
        let was_disabled = self.is_disabled();
        self.acting = acting;
        if !was_disabled || self.is_disabled() {
            return;
        }
        let is_held = match self.mode {
            Mode::Closed => false,
            Mode::Open { .. } => self.cause == Some("manual"),
            Mode::HalfOpen { .. } => self.is_held_half_open,
        };
        match is_held {
            // Its time may be over.
            true => self.catch_up(now),
            false => {
                if !matches!(self.mode, Mode::Closed) {
                    self.active_at = now;
                    self.change(Mode::Closed, now);
                }
                self.forget_all();
            }
        }
    }

    pub(super) fn is_disabled(&self) -> bool {
        self.acting == Acting::Disabled
    }

    pub fn is_available(&self) -> bool {
        self.acting != Acting::Normal || self.state() != State::Open
    }

    /// The state that is shown.
    pub fn state(&self) -> State {
        match self.mode {
            _ if self.is_disabled() => State::Closed,
            Mode::Closed => State::Closed,
            Mode::Open { .. } => State::Open,
            Mode::HalfOpen { .. } => State::HalfOpen,
        }
    }

    /// A report that is in the totals, if it belongs nowhere else. It gives a probe's slot back.
    pub(super) fn in_totals_only(
        &mut self,
        settings: &Effective,
        now: u64,
        permit: Option<&Admission>,
    ) -> Option<Answer> {
        let is_for_totals = permit.is_some_and(|permit| permit.is_for_totals);
        if !is_for_totals && !self.is_disabled() {
            return None;
        }
        self.settle(permit);
        let count = self.count(settings, now);
        Some(match settings.window {
            Some(_) => Answer::CountInWindow(count),
            None => Answer::Count(count),
        })
    }

    /// A call that is admitted although the state would not do that.
    pub(super) fn admit_for_totals(&self, settings: &Effective, now: u64) -> Admission {
        Admission {
            period: self.period,
            lease: None,
            is_for_totals: true,
            started: settings.measures().then_some(now),
        }
    }

    /// A rejection, or in a shadow a call that passes.
    pub(super) fn reject(
        &mut self,
        settings: &Effective,
        now: u64,
        wait: Option<u64>,
    ) -> Result<Admission, Option<u64>> {
        if self.acting == Acting::Shadow {
            self.would_reject += 1;
            self.active_at = now;
            return Ok(self.admit_for_totals(settings, now));
        }
        self.rejections += 1;
        Err(wait)
    }

    pub(super) fn probes_out(&self) -> u32 {
        match &self.mode {
            Mode::HalfOpen { leases, .. } => leases.len() as u32,
            _ => 0,
        }
    }
}
