//! One circuit of the reference model.

// With paths, since another crate includes this file by its path.
#[path = "modes.rs"]
mod modes;
#[path = "circuit/saved.rs"]
mod saved;
#[path = "circuit/shown.rs"]
mod shown;

use std::collections::VecDeque;

use crate::admission::{Admission, Mode};
use crate::effective::Effective;
use crate::evidence::{Counts, Evidence};
use crate::probing::{Probing, Verdict};
use crate::settings::Given;
use crate::trace::Length;
use crate::view::{Answer, Rejection};
pub use saved::Saved;

#[derive(Clone, Debug)]
pub struct Circuit {
    /// Distinguishes a connection from an earlier one of the same name.
    pub id: u64,
    pub own: Given,
    pub mode: Mode,
    acting: brama::Mode,
    /// The circuit was made half-open by hand while it was disabled.
    is_held_half_open: bool,
    /// A restore has opened the circuit, which counts as an opening by hand.
    is_restored: bool,
    /// Counts the changes of state. The begin of a ramp counts as well.
    period: u64,
    /// Counts the beginnings of evidence. The end of a ramp begins none.
    era: u64,
    in_a_row: u32,
    pub failure_times: VecDeque<u64>,
    /// There was a window at some time. From then on failures have times, even without a window.
    had_window: bool,
    evidence: Evidence,
    /// The counts when a report opened the circuit last: of failures alone, and for the rates.
    opened: (Option<u64>, Option<Counts>),
    trips: u32,
    cause: Option<&'static str>,
    reason: Option<&'static str>,
    last_failure_reason: Option<&'static str>,
    successes: u64,
    failures: u64,
    rejections: u64,
    would_reject: u64,
    ignored: u64,
    registered_at: u64,
    last_success: Option<u64>,
    last_failure: Option<u64>,
    opened_at: Option<u64>,
    changed_at: Option<u64>,
    pub active_at: u64,
    /// A call was admitted since the last cleanup. The next cleanup counts that as activity.
    pub is_visited: bool,
}

impl Circuit {
    pub fn new(id: u64, own: Given, now: u64) -> Circuit {
        Circuit {
            id,
            own,
            mode: Mode::Closed,
            acting: brama::Mode::Normal,
            is_held_half_open: false,
            is_restored: false,
            period: 0,
            era: 0,
            in_a_row: 0,
            failure_times: VecDeque::new(),
            had_window: false,
            evidence: Evidence::default(),
            opened: (None, None),
            trips: 0,
            cause: None,
            reason: None,
            last_failure_reason: None,
            successes: 0,
            failures: 0,
            rejections: 0,
            would_reject: 0,
            ignored: 0,
            registered_at: now,
            last_success: None,
            last_failure: None,
            opened_at: None,
            changed_at: None,
            active_at: now,
            is_visited: false,
        }
    }

    /// Brings the circuit up to date with `settings`, which are in effect from now on.
    pub fn settle_for(&mut self, settings: &Effective, now: u64) {
        self.had_window |= settings.window.is_some();
        self.evidence.fit(settings.shape());
        self.adopt(settings.mode, now);
    }

    /// The times at which the counts of a rate change.
    pub fn evidence_edges(&self, now: u64) -> Vec<u64> {
        self.evidence.edges(now)
    }

    /// Makes the changes that time alone has caused until now.
    pub fn catch_up(&mut self, now: u64) {
        if self.is_disabled() {
            return;
        }
        match &self.mode {
            Mode::Open {
                until: Some(until), ..
            } if *until <= now => {
                let then = *until;
                self.half_open(then);
                self.active_at = self.active_at.max(then);
            }
            Mode::Ramp { until } if *until <= now => {
                let then = *until;
                self.trips = 0;
                self.forget_failures();
                let era = self.era;
                self.change(Mode::Closed, then);
                self.era = era;
                self.active_at = self.active_at.max(then);
            }
            _ => {}
        }
    }

    /// Whether a cleanup must not remove the connection because of its state.
    pub fn is_busy(&self, now: u64) -> bool {
        match &self.mode {
            Mode::Closed => false,
            Mode::Open { .. } | Mode::Ramp { .. } => true,
            Mode::HalfOpen(probing) => probing.ends(now).next().is_some(),
        }
    }

    fn change(&mut self, mode: Mode, now: u64) {
        if matches!(mode, Mode::Closed) {
            self.evidence.forget_opening();
        }
        self.mode = mode;
        self.period += 1;
        self.era += 1;
        self.changed_at = Some(now);
    }

    /// Opens the circuit. `by_report`: keeps the counts of the rates, if the circuit was closed or
    /// in a ramp.
    fn open(&mut self, now: u64, lasting: Option<u64>, by_report: bool) {
        if by_report && matches!(self.mode, Mode::Closed | Mode::Ramp { .. }) {
            self.evidence.note_opening(now, self.era);
        } else {
            self.evidence.forget_opening();
        }
        let until = lasting.map(|lasting| now + lasting);
        self.change(Mode::Open { until, lasting }, now);
        self.opened_at = Some(now);
        self.is_restored = false;
    }

    fn trip(&mut self) {
        self.trips = (self.trips + 1).min(255);
    }

    fn half_open(&mut self, now: u64) {
        self.is_held_half_open = false;
        self.change(Mode::HalfOpen(Probing::default()), now);
    }

    fn forget_failures(&mut self) {
        self.in_a_row = 0;
        self.failure_times.clear();
    }

    fn count(&self, settings: &Effective, now: u64) -> u32 {
        match settings.window {
            None => self.in_a_row,
            Some(window) => self
                .failure_times
                .iter()
                .filter(|then| now - **then < window)
                .count() as u32,
        }
    }

    /// The probes have succeeded: earlier failures do not count any more.
    fn recover(&mut self, settings: &Effective, now: u64) {
        self.forget_failures();
        match settings.ramp {
            None => {
                self.trips = 0;
                self.change(Mode::Closed, now);
            }
            Some(ramp) => {
                // Rounded up to an even number of ms. The state does not change.
                let until = (now + ramp).next_multiple_of(2);
                self.mode = Mode::Ramp { until };
                self.period += 1;
                self.era += 1;
            }
        }
    }

    /// Whether a report still belongs to the present state. A probe whose lease has ended still
    /// counts.
    fn is_timely(&self, permit: Option<&Admission>) -> bool {
        permit.is_none_or(|permit| {
            let is_directly_after = permit.period + 1 == self.period;
            let is_closed = matches!(self.mode, Mode::Closed);
            permit.period == self.period || permit.of_ramp && is_directly_after && is_closed
        })
    }

    pub fn success(
        &mut self,
        settings: &Effective,
        now: u64,
        permit: Option<&Admission>,
        given: Option<u64>,
    ) -> Answer {
        self.successes += 1;
        self.last_success = Some(now);
        self.active_at = now;
        if self.in_totals_only(settings, now, permit).is_some() {
            return Answer::Done;
        }
        if !self.is_timely(permit) {
            return Answer::Stale;
        }
        let slow = settings.is_slow(lasted(now, permit, given));
        let mut clears = settings.window.is_none() || settings.success_clears_window;
        let mut rule = None;
        match &mut self.mode {
            Mode::Closed | Mode::Ramp { .. } => {
                if let Mode::Closed = self.mode {
                    self.trips = 0;
                } else {
                    clears = true;
                }
                self.evidence.report(now, self.era, false, slow);
                if slow {
                    rule = self.evidence.fire(now, self.era, settings);
                }
            }
            Mode::Open { .. } => {}
            Mode::HalfOpen(probing) => {
                let failed = slow && settings.counts_slow_probes();
                let probe = permit.and_then(|permit| permit.lease);
                clears &= !failed;
                self.is_held_half_open &= failed;
                match probing.report(settings, probe, failed) {
                    Verdict::Undecided => {}
                    Verdict::Open => rule = Some("probe"),
                    Verdict::Recovered if failed => {}
                    Verdict::Recovered => self.recover(settings, now),
                }
            }
        }
        if clears {
            self.forget_failures();
        }
        if rule.is_some() {
            (self.cause, self.reason) = (rule, None);
            self.opened = (None, self.evidence.counts(now, self.era));
            self.trip();
            self.open(now, Some(settings.expiry_at(self.trips)), true);
        }
        Answer::Done
    }

    pub fn failure(
        &mut self,
        settings: &Effective,
        now: u64,
        permit: Option<&Admission>,
        wait: Option<u64>,
        given: Option<u64>,
        reason: Option<&'static str>,
    ) -> Answer {
        self.failures += 1;
        self.last_failure_reason = reason.or(self.last_failure_reason);
        self.last_failure = Some(now);
        self.active_at = now;
        if let Some(answer) = self.in_totals_only(settings, now, permit) {
            return answer;
        }
        if !self.is_timely(permit) {
            return Answer::Stale;
        }
        if wait.is_none() || !matches!(self.mode, Mode::Open { .. }) {
            self.in_a_row += 1;
            if self.had_window {
                self.failure_times.push_back(now);
            }
        }
        let count = self.count(settings, now);
        let slow = settings.is_slow(lasted(now, permit, given));
        if matches!(self.mode, Mode::Closed | Mode::Ramp { .. }) {
            self.evidence.report(now, self.era, true, slow);
        }
        let rule = match &mut self.mode {
            Mode::Open { .. } => None,
            _ if wait.is_some() => Some("retry_after"),
            Mode::Closed => {
                let reaches = settings.max_attempts.is_some_and(|max| count >= max);
                match (reaches, settings.window) {
                    (true, Some(_)) => Some("window"),
                    (true, None) => Some("consecutive"),
                    (false, _) => self.evidence.fire(now, self.era, settings),
                }
            }
            Mode::Ramp { .. } => {
                let limit = settings.max_attempts.unwrap_or(2).min(2);
                match self.in_a_row >= limit {
                    true => Some("consecutive"),
                    false => self.evidence.fire(now, self.era, settings),
                }
            }
            Mode::HalfOpen(probing) => {
                let probe = permit.and_then(|permit| permit.lease);
                match probing.report(settings, probe, true) {
                    Verdict::Open => Some("probe"),
                    Verdict::Undecided | Verdict::Recovered => {
                        // A failed probe that does not open the circuit is not counted.
                        self.in_a_row -= 1;
                        if self.had_window {
                            self.failure_times.pop_back();
                        }
                        None
                    }
                }
            }
        };
        if rule.is_some() {
            self.cause = rule;
            self.reason = reason;
            self.opened = (Some(count.into()), self.evidence.counts(now, self.era));
            self.trip();
            let lasting = wait.unwrap_or_else(|| settings.expiry_at(self.trips));
            self.open(now, Some(lasting), true);
        }
        match settings.window {
            Some(_) => Answer::CountInWindow(count),
            None => Answer::Count(count),
        }
    }

    pub fn ignored(&mut self, now: u64, permit: &Admission) -> Answer {
        self.ignored += 1;
        self.active_at = now;
        if permit.is_for_totals || self.is_disabled() {
            self.free_place(permit);
            return Answer::Done;
        }
        if !self.is_timely(Some(permit)) {
            return Answer::Stale;
        }
        self.free_place(permit);
        Answer::Done
    }

    /// A call that its caller gave up.
    pub fn cancelled(&mut self, settings: &Effective, now: u64, permit: &Admission) -> Answer {
        match (permit.started, settings.cancelled_after) {
            (Some(started), Some(limit)) if now - started >= limit => {
                self.failure(settings, now, Some(permit), None, None, Some("cancelled"))
            }
            _ => self.ignored(now, permit),
        }
    }

    /// An admission, or else the kind of the rejection and the time after which to ask again.
    /// `drawn`: whether a ramp that admits a share of the calls has drawn this one.
    pub fn acquire(
        &mut self,
        settings: &Effective,
        now: u64,
        next_id: u64,
        drawn: bool,
    ) -> Result<Admission, (Rejection, Option<u64>)> {
        let period = self.period;
        let length = settings
            .probe_timeout
            .unwrap_or(settings.expiry_at(self.trips).max(1_000));
        if self.is_disabled() && !matches!(self.mode, Mode::Closed) {
            return Ok(self.admit_for_totals(settings, now));
        }
        let admission = Admission {
            period,
            lease: None,
            of_ramp: matches!(self.mode, Mode::Ramp { .. }),
            is_for_totals: false,
            started: settings.measures().then_some(now),
        };
        let refused = match &mut self.mode {
            Mode::Closed => return Ok(admission),
            Mode::HalfOpen(probing) => {
                self.active_at = now;
                match probing.take(settings, now, now + length, next_id) {
                    Ok(()) => {
                        let lease = Some(next_id);
                        return Ok(Admission { lease, ..admission });
                    }
                    Err(first) => {
                        let hint = first.map(|wait| wait.clamp(1, 1_000));
                        (Rejection::ProbesOut, hint)
                    }
                }
            }
            Mode::Ramp { until } => {
                let left = *until - now;
                if drawn || settings.ramp_share(left) >= 1.0 {
                    return Ok(admission);
                }
                (Rejection::Recovering, Some(left.clamp(1, 1_000)))
            }
            Mode::Open { until: None, .. } => (Rejection::HeldOpen, None),
            Mode::Open { until, .. } => (Rejection::Open, until.map(|until| until - now)),
        };
        self.reject(settings, now, refused)
    }

    pub fn open_by_hand(
        &mut self,
        settings: &Effective,
        now: u64,
        length: Length,
        reason: Option<&'static str>,
    ) {
        self.active_at = now;
        (self.cause, self.reason) = (Some("manual"), reason);
        let already = matches!(self.mode, Mode::Open { .. });
        if !already {
            self.trip();
        }
        let new_lasting = match length {
            Length::Configured => Some(settings.expiry_at(self.trips)),
            Length::Custom(ms) => Some(ms),
            Length::Never => None,
        };
        match &mut self.mode {
            Mode::Open { until, lasting } => {
                *lasting = new_lasting;
                *until = new_lasting.map(|ms| now + ms);
                self.evidence.forget_opening();
            }
            _ => self.open(now, new_lasting, false),
        }
    }

    pub fn close_by_hand(&mut self, now: u64) {
        self.active_at = now;
        if !matches!(self.mode, Mode::Closed) {
            self.close_now(now);
        }
    }

    /// Closes the circuit at once, not by the end of a ramp: permits of a ramp become stale.
    fn close_now(&mut self, now: u64) {
        self.period += u64::from(matches!(self.mode, Mode::Ramp { .. }));
        self.change(Mode::Closed, now);
    }

    pub fn half_open_by_hand(&mut self, now: u64) {
        self.active_at = now;
        match self.mode {
            Mode::HalfOpen(_) => {}
            // A ramp of a disabled circuit would be closed when it is enabled. So this call ends
            // it.
            Mode::Ramp { .. } if !self.is_disabled() => {}
            _ => self.half_open(now),
        }
        self.is_held_half_open |= self.is_disabled();
    }

    pub fn reset(&mut self, now: u64) {
        self.close_by_hand(now);
        self.forget_all();
    }

    fn forget_all(&mut self) {
        self.forget_failures();
        self.evidence.forget();
        self.trips = 0;
    }
}

/// How long a call has lasted, if that is known. A given duration overrides the measured one.
fn lasted(now: u64, permit: Option<&Admission>, given: Option<u64>) -> Option<u64> {
    given.or_else(|| permit?.lasted(now))
}
