//! The status of a circuit of the reference model.

use brama::KeyBuf;

use super::Circuit;
use crate::admission::Mode;
use crate::effective::Effective;
use crate::view::View;

impl Circuit {
    pub fn view(&self, key: KeyBuf, settings: Effective, now: u64, epoch: u64) -> View {
        let unix = |moment: Option<u64>| moment.map(|ms| epoch + ms);
        let reports = self.successes + self.failures;
        let counts = match self.mode {
            _ if self.is_disabled() => None,
            Mode::Closed | Mode::Ramp { .. } => self.evidence.counts(now, self.era),
            _ => self.evidence.at_opening(),
        };
        let by_rate = matches!(self.cause, Some("failure_rate" | "slow_call_rate"));
        let rate = self.opened.1.filter(|_| by_rate);
        View {
            key,
            state: self.state(),
            mode: self.acting.as_str(),
            would_reject: self.would_reject,
            probes_out: self.probes_out(now),
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
            ramp_share: match self.mode {
                Mode::Ramp { until } if !self.is_disabled() => {
                    Some(settings.ramp_share(until - now))
                }
                _ => None,
            },
            cause: self.cause,
            reason: self.reason.map(str::to_owned),
            last_failure_reason: self.last_failure_reason.map(str::to_owned),
            metadata: self.own.metadata.clone().unwrap_or_default(),
            settings,
        }
    }
}
