//! The modes of a circuit of the reference model.

use brama::{Mode as Acting, State};

use super::Circuit;
use crate::admission::{Admission, Mode};
use crate::effective::Effective;
use crate::view::{Answer, Rejection};

impl Circuit {
    /// Puts a mode into effect.
    pub(super) fn adopt(&mut self, acting: Acting, now: u64) {
        let was_disabled = self.is_disabled();
        self.acting = acting;
        if !was_disabled || self.is_disabled() {
            return;
        }
        match self.is_held() {
            // The time of the opening may be over.
            true => self.catch_up(now),
            false => {
                if !matches!(self.mode, Mode::Closed) {
                    self.active_at = now;
                    self.close_now(now);
                }
                self.forget_all();
            }
        }
    }

    /// Whether the circuit is held by hand, and so stays as it is when it is enabled.
    pub(super) fn is_held(&self) -> bool {
        match self.mode {
            Mode::Closed | Mode::Ramp { .. } => false,
            Mode::Open { .. } => self.cause == Some("manual") || self.is_restored,
            Mode::HalfOpen(_) => self.is_held_half_open,
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
            Mode::HalfOpen(_) | Mode::Ramp { .. } => State::HalfOpen,
        }
    }

    /// The answer to a report that counts in the totals only. Returns `None` if the report counts
    /// elsewhere, too. Otherwise frees the place of a probe.
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
        permit.inspect(|permit| self.free_place(permit));
        let count = self.count(settings, now);
        Some(match settings.window {
            Some(_) => Answer::CountInWindow(count),
            None => Answer::Count(count),
        })
    }

    pub(super) fn free_place(&mut self, permit: &Admission) {
        if let Mode::HalfOpen(probing) = &mut self.mode {
            probing.free(permit.lease);
        }
    }

    /// An admission that the state would not give. Its report counts in the totals only.
    pub(super) fn admit_for_totals(&self, settings: &Effective, now: u64) -> Admission {
        Admission {
            period: self.period,
            lease: None,
            of_ramp: false,
            is_for_totals: true,
            started: settings.measures().then_some(now),
        }
    }

    /// Rejects a call. In shadow mode it lets the call pass.
    pub(super) fn reject(
        &mut self,
        settings: &Effective,
        now: u64,
        refused: (Rejection, Option<u64>),
    ) -> Result<Admission, (Rejection, Option<u64>)> {
        if self.acting == Acting::Shadow {
            self.would_reject += 1;
            self.active_at = now;
            return Ok(self.admit_for_totals(settings, now));
        }
        self.rejections += 1;
        Err(refused)
    }

    /// Whether a ramp draws without a visible effect, since the circuit is a shadow.
    pub fn draws_in_a_shadow(&self) -> bool {
        self.acting == Acting::Shadow && matches!(self.mode, Mode::Ramp { .. })
    }

    pub(super) fn probes_out(&self, now: u64) -> u32 {
        match &self.mode {
            Mode::HalfOpen(probing) => probing.ends(now).count() as u32,
            _ => 0,
        }
    }
}
