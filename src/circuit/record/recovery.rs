//! The recovery of a half-open circuit: what its probes report, and the ramp.
//!
//! Pure functions ([`recovery`](crate::values::recovery)) decide what the reports mean, and which
//! share of the calls a ramp admits. Here they are applied, each by one exchange of the word.
//!
//! A **ramp** begins with the report that would have closed the circuit. Its word has a generation
//! of its own, and no event reports it. It ends like an opening: the first thread that looks at the
//! word when it is due, a caller's or the driver, closes the circuit by an exchange. The event has
//! the time at which the ramp was due.
//!
//! The **evidence** of the rates begins with the ramp and goes on in the closed circuit after it.
//! So it is kept under the generation of the closed circuit ([`Word::evidence_generation`]), and
//! the exchange that ends the ramp leaves it alone. Permits of the ramp count in both. A manual
//! control that closes the circuit instead skips that generation: the evidence begins again, and
//! the permits are stale.
//!
//! Rejected: the same generation for both. A thread that was stopped with the word of the ramp
//! would not notice that the circuit has closed.

use super::parked::Seen;
use super::rates::RateReport;
use super::transition::Change;
use super::{Happening, Record, Refused, Ticket};
use crate::circuit::context::Context;
use crate::sys::draw;
use crate::values::cause::Cause;
use crate::values::event::Occurrence;
use crate::values::recovery::Verdict;
use crate::values::settings::Settings;
use crate::values::state::{self, Closing, Word};
use crate::values::trip_rule;

/// What a success has done to a half-open circuit.
pub(super) enum Progress {
    Made(Change),
    /// The circuit has to open: the success was slow, or the reports before it suffice.
    Opens {
        healthy: Word,
        cause: Cause,
    },
    /// Another thread was faster.
    Lost,
}

impl Record {
    /// Why a failure opens this half-open circuit, if it does.
    pub(super) fn cause_while_half_open(
        &self,
        settings: &Settings,
        word: Word,
        rate: impl FnOnce() -> Option<Cause>,
    ) -> Option<Cause> {
        match word.failures_in_ramp() {
            Some(failures) => trip_rule::rule_in_ramp(settings, failures + 1).or_else(rate),
            None => verdict(settings, word.with_probe_failure()).opens(),
        }
    }

    /// Counts a success; `is_slow` says whether it took too long.
    pub(super) fn success_while_half_open(
        &self,
        context: &Context,
        seen: Seen,
        rate_report: &mut RateReport,
        now: u64,
        is_slow: impl Fn(&Settings) -> bool,
    ) -> Progress {
        let word = seen.word;
        let settings = self.settings(context);
        if word.is_ramp() {
            let healthy = word.with_report_in_ramp(false);
            if let Some(rates) = self.rates()
                && rate_report.count(&rates, word, now, || is_slow(&settings))
                && let Some(cause) = rates.rule_that_fires(self, context, &settings, word)
            {
                return Progress::Opens { healthy, cause };
            }
            let tally = seen.parked.tally(word);
            let takes_no_place = healthy == word || tally.timed().is_none();
            // This success clears a failure that has a position in the window. No later failure may
            // get the same position.
            if !takes_no_place && !self.park(seen, seen.parked.with(word, tally.cleared())) {
                return Progress::Lost;
            }
            return self.moved(word, healthy);
        }
        if settings.counts_slow_probes() && is_slow(&settings) {
            let after = word.with_probe_failure();
            return match verdict(&settings, after).opens() {
                Some(cause) => Progress::Opens {
                    healthy: word,
                    cause,
                },
                None => self.moved(word, after),
            };
        }
        let after = word.with_success(!self.keeps_failures(context));
        match (verdict(&settings, after), settings.ramp) {
            // Only if a setting has made the sample smaller since the last report.
            (Verdict::Open, _) => Progress::Opens {
                healthy: after,
                cause: Cause::Probe,
            },
            (Verdict::Recovered, Some(ramp)) => self.begin_ramp(context, seen, ramp),
            (Verdict::Recovered, None) => self
                .shut(context, seen, Closing::Forgetting)
                .map_or(Progress::Lost, Progress::Made),
            _ => self.moved(word, after),
        }
    }

    fn moved(&self, before: Word, after: Word) -> Progress {
        match before == after || self.swap(before, after) {
            true => Progress::Made(Change { before, after }),
            false => Progress::Lost,
        }
    }

    /// Begins the ramp: the probes have succeeded. Failures before them no longer count.
    fn begin_ramp(&self, context: &Context, seen: Seen, ramp: u64) -> Progress {
        let before = seen.word;
        let after = before.ramping(state::deadline(context.clock.now_upper(), ramp));
        let beginning = self.before_evidence();
        if !self.leave(seen, after) {
            return Progress::Lost;
        }
        self.begin_evidence(&beginning, after);
        self.begin_evidence_of_new_block(&beginning, after);
        Progress::Made(Change { before, after })
    }

    /// The ramp of this word is over: the circuit is closed, unless another thread was faster.
    pub(super) fn end_ramp(&self, context: &Context, seen: Seen, end: u64) {
        if let Some(change) = self.shut(context, seen, Closing::AfterRamp) {
            self.after(context, change, Happening::new(Occurrence::RampEnded, end));
        }
    }

    /// Admits a share of the calls in the ramp of this word, which ends at `end`.
    pub(super) fn draw_in_ramp(
        &self,
        context: &Context,
        word: Word,
        end: u64,
        now: u64,
    ) -> Result<Ticket, Refused> {
        let settings = self.settings(context);
        let left = end.saturating_sub(now);
        match draw::draw() < settings.ramp_share(left) {
            true => Ok(Ticket::of_ramp(word).starting(&context.clock, settings.timing())),
            false => Err(Refused::recovering(left)),
        }
    }

    /// The share of the calls that are admitted at `now`, if this is a ramp.
    pub(super) fn ramp_share(&self, settings: &Settings, word: Word, now: u64) -> Option<f64> {
        let end = word.ramp_end()?;
        Some(settings.ramp_share(end.saturating_sub(now)))
    }
}

/// What the reports of this probing word mean.
fn verdict(settings: &Settings, word: Word) -> Verdict {
    let successes = word.successes().unwrap_or_default();
    let failures = word.probe_failures().unwrap_or_default();
    settings.verdict(successes, failures)
}

impl Verdict {
    fn opens(self) -> Option<Cause> {
        (self == Verdict::Open).then_some(Cause::Probe)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::time::Duration;

    use super::Progress;
    use crate::circuit::context::Context;
    use crate::circuit::record::{Profile, Record, RecordRef, Registrant};
    use crate::sys::clock::Clock;
    use crate::sys::manual_clock::ManualClock;
    use crate::values::event::Report;
    use crate::values::mode::Mode;
    use crate::values::settings::{ConnectionOptions, Overrides};
    use crate::values::state::State;

    fn half_open(options: ConnectionOptions) -> (Context, RecordRef) {
        let context = Context::alone(Clock::Manual(ManualClock::new()));
        let mut registrant = Registrant::new(&context, "db".into());
        registrant.with(&context, Some(options)).expect("valid");
        let [record, _] = RecordRef::new(&context, &mut registrant);
        record.half_open(&context).expect("there");
        (context, record)
    }

    fn succeed(context: &Context, record: &Record) {
        let reported = record.success(context, None, &Report::NONE);
        reported.expect("there");
    }

    fn fail(context: &Context, record: &Record) {
        let reported = record.failure(context, None, &Report::NONE);
        reported.expect("there");
    }

    /// The evidence of a ramp has the generation of the closed circuit after it, and does not go on
    /// if that is closed by hand.
    #[test]
    fn a_hand_that_ends_a_ramp_ends_its_evidence() {
        let options = ConnectionOptions::new()
            .ramp(Duration::from_secs(1))
            .failure_rate(0.5)
            .minimum_calls(10);
        for options in [options.clone().rate_calls(10), options] {
            for closes in [Record::close, Record::reset] {
                let (context, record) = half_open(options.clone());
                succeed(&context, &record);
                let counted = || record.status(&context).expect("there").window_calls;
                for _ in 0..3 {
                    fail(&context, &record);
                    succeed(&context, &record);
                }
                assert_eq!(record.word_now().state(), State::HalfOpen);
                assert_eq!(counted(), Some(6));
                closes(&record, &context).expect("there");
                assert_eq!(counted(), Some(0));
                for _ in 0..4 {
                    fail(&context, &record);
                }
                assert_eq!(record.word_now().state(), State::Closed);
            }
        }
    }

    fn enter(context: &Context, record: &Record, mode: Mode) {
        let options = ConnectionOptions::new().mode(mode);
        let current = record.profile();
        let before = current.as_deref().cloned().unwrap_or_default();
        let overrides = options.applied_to(&before.overrides, &Overrides::NONE);
        let next = Profile {
            overrides: overrides.expect("valid"),
            ..before
        };
        assert!(record.replace_profile(&current, next.into()));
        context.next_version();
        record.follow_settings(context);
    }

    /// The circuit is held half-open by hand. A reporter that has found it enabled is stopped. It
    /// begins the ramp when the circuit is about to be enabled again, after the thread that enables
    /// it has found it held. Then the driver forgets the end of the ramp.
    ///
    /// Mutation: `the-end-of-a-ramp-that-is-not-planned`.
    #[test]
    fn the_end_of_a_ramp_that_begins_beside_that_of_disabled_is_planned() {
        let ramp = ConnectionOptions::new().ramp(Duration::from_secs(1));
        let (context, record) = half_open(ramp);
        enter(&context, &record, Mode::Disabled);
        record.half_open(&context).expect("there");
        let stopped = record.seen();
        let begun = record.begin_ramp(&context, stopped, 1_000);
        assert!(matches!(begun, Progress::Made(_)));
        assert_eq!(record.expire(&context, 0), None, "it is disabled");
        record.plan_again(&context);
        let planned: Vec<_> = context.attention.take_all().collect();
        assert_eq!(planned.len(), 1);
    }
}
