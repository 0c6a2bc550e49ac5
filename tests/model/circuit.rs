//! One circuit of the reference model.

// Also where this file is included by its path.
#[path = "circuit/saved.rs"]
mod saved;

use std::collections::VecDeque;

use brama::KeyBuf;

use crate::effective::Effective;
use crate::evidence::{Counts, Evidence};
use crate::settings::Given;
use crate::trace::Length;
use crate::view::{Answer, View};
pub use saved::Saved;

#[path = "modes.rs"]
mod modes;

#[derive(Clone, Debug)]
pub enum Mode {
    Closed,
    /// `until: None`: until somebody closes it.
    Open {
        until: Option<u64>,
        lasting: Option<u64>,
    },
    HalfOpen {
        leases: Vec<Lease>,
        successes: u32,
    },
}

#[derive(Clone, Debug)]
pub struct Lease {
    id: u64,
    pub ends: u64,
}

/// What a permit remembers of its circuit.
#[derive(Clone, Copy, Debug)]
pub struct Admission {
    pub period: u64,
    /// None if the circuit was closed.
    pub lease: Option<u64>,
    /// The state did not admit it: its report is in the totals only.
    is_for_totals: bool,
    /// When it was given, where a setting asks for that.
    started: Option<u64>,
}

#[derive(Clone, Debug)]
pub struct Circuit {
    /// Tells a connection from an earlier one of the same name.
    pub id: u64,
    pub own: Given,
    pub mode: Mode,
    acting: brama::Mode,
    /// A hand made it half-open while it was disabled.
    is_held_half_open: bool,
    /// Counts the changes of state.
    period: u64,
    in_a_row: u32,
    pub failure_times: VecDeque<u64>,
    /// Failures have times from the first window on, also while there is none.
    had_window: bool,
    evidence: Evidence,
    /// What was counted when a report opened it last: failures by themselves, and for the rates.
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
}

impl Circuit {
    pub fn new(id: u64, own: Given, now: u64) -> Circuit {
        Circuit {
            id,
            own,
            mode: Mode::Closed,
            acting: brama::Mode::Normal,
            is_held_half_open: false,
            period: 0,
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
        }
    }

    /// These settings are in effect from now on.
    pub fn settle_for(&mut self, settings: &Effective, now: u64) {
        self.had_window |= settings.window.is_some();
        self.evidence.fit(settings.shape());
        self.adopt(settings.mode, now);
    }

    /// Moments at which what counts for a rate changes.
    pub fn evidence_edges(&self, now: u64) -> Vec<u64> {
        self.evidence.edges(now)
    }

    /// What time alone has done until now.
    pub fn catch_up(&mut self, now: u64) {
        match &mut self.mode {
            Mode::Open {
                until: Some(until), ..
            } if *until <= now && self.acting != brama::Mode::Disabled => {
                let then = *until;
                self.half_open(then);
                self.active_at = self.active_at.max(then);
            }
            Mode::HalfOpen { leases, .. } => leases.retain(|lease| now < lease.ends),
            _ => {}
        }
    }

    /// A state that lasts by itself, however long no call comes.
    pub fn is_busy(&self) -> bool {
        match &self.mode {
            Mode::Closed => false,
            Mode::Open { .. } => true,
            Mode::HalfOpen { leases, .. } => !leases.is_empty(),
        }
    }

    fn change(&mut self, mode: Mode, now: u64) {
        if matches!(mode, Mode::Closed) {
            self.evidence.forget_opening();
        }
        self.mode = mode;
        self.period += 1;
        self.changed_at = Some(now);
    }

    /// `by_report`: what counted then is kept, if the circuit was closed.
    fn open(&mut self, now: u64, lasting: Option<u64>, by_report: bool) {
        if by_report && matches!(self.mode, Mode::Closed) {
            self.evidence.note_opening(now, self.period);
        } else {
            self.evidence.forget_opening();
        }
        let until = lasting.map(|lasting| now + lasting);
        self.change(Mode::Open { until, lasting }, now);
        self.opened_at = Some(now);
    }

    fn trip(&mut self) {
        self.trips = (self.trips + 1).min(255);
    }

    fn half_open(&mut self, now: u64) {
        let (leases, successes) = (Vec::new(), 0);
        self.is_held_half_open = false;
        self.change(Mode::HalfOpen { leases, successes }, now);
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

    /// Whether this report still belongs to the present state; gives a probe's
    /// slot back.
    fn settle(&mut self, permit: Option<&Admission>) -> bool {
        let Some(permit) = permit else { return true };
        if permit.period != self.period {
            return false;
        }
        match (&mut self.mode, permit.lease) {
            (Mode::HalfOpen { leases, .. }, Some(id)) => {
                // A probe whose lease has ended counts all the same.
                leases.retain(|lease| lease.id != id);
                true
            }
            _ => true,
        }
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
        if !self.settle(permit) {
            return Answer::Stale;
        }
        let mut clears = settings.window.is_none() || settings.success_clears_window;
        let mut rule = None;
        match &mut self.mode {
            Mode::Closed => {
                self.trips = 0;
                let slow = settings.is_slow(lasted(now, permit, given));
                self.evidence.report(now, self.period, false, slow);
                if slow {
                    rule = self.evidence.fire(now, self.period, settings);
                }
            }
            Mode::Open { .. } => {}
            Mode::HalfOpen { successes, .. } => {
                *successes += 1;
                self.is_held_half_open = false;
                if *successes >= settings.half_open_successes {
                    self.trips = 0;
                    self.change(Mode::Closed, now);
                    clears = true;
                }
            }
        }
        if clears {
            self.forget_failures();
        }
        if rule.is_some() {
            (self.cause, self.reason) = (rule, None);
            self.opened = (None, self.evidence.counts(now, self.period));
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
        if !self.settle(permit) {
            return Answer::Stale;
        }
        if wait.is_none() || !matches!(self.mode, Mode::Open { .. }) {
            self.in_a_row += 1;
            if self.had_window {
                self.failure_times.push_back(now);
            }
        }
        let count = self.count(settings, now);
        let rule = match self.mode {
            Mode::Closed => {
                let slow = settings.is_slow(lasted(now, permit, given));
                self.evidence.report(now, self.period, true, slow);
                let reaches = settings.max_attempts.is_some_and(|max| count >= max);
                match (wait, reaches, settings.window) {
                    (Some(_), ..) => Some("retry_after"),
                    (_, true, Some(_)) => Some("window"),
                    (_, true, None) => Some("consecutive"),
                    (_, false, _) => self.evidence.fire(now, self.period, settings),
                }
            }
            Mode::HalfOpen { .. } => wait.map(|_| "retry_after").or(Some("probe")),
            Mode::Open { .. } => None,
        };
        if rule.is_some() {
            self.cause = rule;
            self.reason = reason;
            self.opened = (Some(count.into()), self.evidence.counts(now, self.period));
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
        let is_current = self.settle(Some(permit));
        if is_current || permit.is_for_totals || self.is_disabled() {
            Answer::Done
        } else {
            Answer::Stale
        }
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

    /// An admission, or after how long to ask again.
    pub fn acquire(
        &mut self,
        settings: &Effective,
        now: u64,
        next_id: u64,
    ) -> Result<Admission, Option<u64>> {
        let period = self.period;
        let length = settings
            .probe_timeout
            .unwrap_or(settings.expiry_at(self.trips).max(1_000));
        let started = settings.measures().then_some(now);
        if self.is_disabled() && !matches!(self.mode, Mode::Closed) {
            return Ok(self.admit_for_totals(settings, now));
        }
        match &mut self.mode {
            Mode::Closed => Ok(Admission {
                period,
                lease: None,
                is_for_totals: false,
                started,
            }),
            Mode::HalfOpen { leases, .. }
                if leases.len() < settings.half_open_max_calls as usize =>
            {
                leases.push(Lease {
                    id: next_id,
                    ends: now + length,
                });
                self.active_at = now;
                Ok(Admission {
                    period,
                    lease: Some(next_id),
                    is_for_totals: false,
                    started,
                })
            }
            Mode::HalfOpen { leases, .. } => {
                self.active_at = now;
                let first = leases.iter().map(|lease| lease.ends - now).min();
                self.reject(settings, now, first.map(|wait| wait.clamp(1, 1_000)))
            }
            Mode::Open { until, .. } => {
                let wait = until.map(|until| until - now);
                self.reject(settings, now, wait)
            }
        }
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
            self.change(Mode::Closed, now);
        }
    }

    pub fn half_open_by_hand(&mut self, now: u64) {
        self.active_at = now;
        if !matches!(self.mode, Mode::HalfOpen { .. }) {
            self.half_open(now);
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

    pub fn view(&self, key: KeyBuf, settings: Effective, now: u64, epoch: u64) -> View {
        let unix = |moment: Option<u64>| moment.map(|ms| epoch + ms);
        let reports = self.successes + self.failures;
        let counts = match self.mode {
            _ if self.is_disabled() => None,
            Mode::Closed => self.evidence.counts(now, self.period),
            _ => self.evidence.at_opening(),
        };
        let by_rate = matches!(self.cause, Some("failure_rate" | "slow_call_rate"));
        let rate = self.opened.1.filter(|_| by_rate);
        View {
            key,
            state: self.state(),
            mode: self.acting.as_str(),
            would_reject: self.would_reject,
            probes_out: self.probes_out(),
            failure_count: self.count(&settings, now),
            window_calls: counts.map(|counts| counts.calls),
            window_failures: counts.map(|counts| counts.failures),
            window_slow: counts.map(|counts| counts.slow),
            opened_calls: rate.map(|counts| counts.calls),
            opened_failures: match self.cause {
                Some("consecutive" | "window") => self.opened.0,
                _ => rate.map(|counts| counts.failures),
            },
            opened_slow: rate.map(|counts| counts.slow),
            total_successes: self.successes,
            total_failures: self.failures,
            total_rejections: self.rejections,
            total_ignored: self.ignored,
            success_rate: (reports > 0).then(|| self.successes as f64 / reports as f64),
            last_success_time: unix(self.last_success),
            last_failure_time: unix(self.last_failure),
            opened_at: unix(self.opened_at),
            last_state_change: unix(self.changed_at),
            time_in_state: now - self.changed_at.unwrap_or(self.registered_at),
            expiry: match self.mode {
                Mode::Open { lasting, .. } if !self.is_disabled() => lasting,
                _ => Some(settings.expiry_at(self.trips)),
            },
            retry_after: match self.mode {
                Mode::Open { until, .. } if !self.is_disabled() => until.map(|until| until - now),
                _ => None,
            },
            trips: self.trips,
            cause: self.cause,
            reason: self.reason.map(str::to_owned),
            last_failure_reason: self.last_failure_reason.map(str::to_owned),
            metadata: self.own.metadata.clone().unwrap_or_default(),
            settings,
        }
    }
}

/// How long a call has lasted, if that is known: what is given goes before what was measured.
fn lasted(now: u64, permit: Option<&Admission>, given: Option<u64>) -> Option<u64> {
    given.or(permit
        .and_then(|permit| permit.started)
        .map(|started| now - started))
}
