//! A failure: where it counts, and when it opens the circuit.
//!
//! | the circuit is | a failure |
//! |---|---|
//! | closed | takes the next place in the tally, or opens the circuit |
//! | open | takes the next place in the parked tally; one with a permit is stale |
//! | half-open | opens the circuit again; where a rate of the probes decides, and in a ramp, it may be counted only |
//!
//! A failure with a wait (`failure_for`) opens a closed or half-open circuit at once, for that
//! long. While the circuit is open, it counts in the totals only. So does every failure while the
//! circuit is disabled, and a failure with a permit for totals only.

use std::time::Duration;

use super::super::mode::IS_DISABLED;
use super::super::notify::UNKNOWN;
use super::super::rates::{RateReport, Rates};
use super::super::transition::Change;
use super::super::{Begun, Happening, Record, Refusal, Ticket};
use super::counting::Failure;
use super::{ProbeSlot, check};
use crate::circuit::context::Context;
use crate::sys::fork;
use crate::values::cause::Cause;
use crate::values::event::{EventMask, EventType, Occurrence, Report};
use crate::values::expiry;
use crate::values::state::{OpenedBy, State, Word};
use crate::values::trip_rule;

const FAILED: EventMask = EventMask::of(EventType::Failure);

impl Record {
    /// Counts a failure and returns how many count now: in a row, or inside the
    /// window if there is one.
    pub(crate) fn failure(
        &self,
        context: &Context,
        ticket: Option<Ticket>,
        report: &Report<'_>,
    ) -> Result<u32, Refusal> {
        let begun = match ticket {
            Some(ticket) => self.try_failure_with_permit(context, ticket, report.reason),
            None => self.try_failure_without_permit(context, report.reason),
        };
        match begun {
            Begun::Done(count) => Ok(count),
            begun => self.finish_failure(context, ticket, report, begun),
        }
    }

    /// Counts a failure if no subscriber wants it and it does not open the circuit. If this
    /// returns anything but [`Begun::Done`], continue with [`Record::finish_failure`].
    #[inline]
    pub(crate) fn try_failure_with_permit(
        &self,
        context: &Context,
        ticket: Ticket,
        reason: Option<&str>,
    ) -> Begun {
        self.try_failure_at(context, ticket.place_to_pass(), reason)
    }

    #[inline(never)]
    fn try_failure_at(&self, context: &Context, place: u64, reason: Option<&str>) -> Begun {
        let again = || self.try_failure_again(context, Some(place), reason);
        self.try_failure(context, reason, |word| word.is_closed_at(place), again)
    }

    /// [`Record::try_failure_with_permit`] for a report without a permit.
    #[inline(never)]
    pub(crate) fn try_failure_without_permit(
        &self,
        context: &Context,
        reason: Option<&str>,
    ) -> Begun {
        let again = || self.try_failure_again(context, None, reason);
        self.try_failure(context, reason, |_| true, again)
    }

    /// Once more, after the limit of the present settings is learned.
    #[cold]
    #[inline(never)]
    fn try_failure_again(
        &self,
        context: &Context,
        place: Option<u64>,
        reason: Option<&str>,
    ) -> Begun {
        self.limit(context);
        match place {
            Some(place) => self.try_failure_at(context, place, reason),
            None => self.try_failure_without_permit(context, reason),
        }
    }

    #[inline(always)]
    fn try_failure(
        &self,
        context: &Context,
        reason: Option<&str>,
        is_meant: impl FnOnce(Word) -> bool,
        again: impl FnOnce() -> Begun,
    ) -> Begun {
        if self.has_flag(FAILED.or(UNKNOWN).0 | IS_DISABLED) {
            return Begun::Not;
        }
        let word = self.word_now();
        // After the word, as in `retry_failure`.
        let Some(limit) = self.known_limit(context) else {
            return again();
        };
        let Some((after, count)) = word.with_failure_below(limit) else {
            return Begun::Not;
        };
        if !is_meant(word) {
            return Begun::Not;
        }
        self.total_failure_in_tick(context, reason);
        match self.swap(word, after) {
            true => Begun::Done(count),
            false => Begun::Totalled,
        }
    }

    /// Counts in the word, as [`Record::try_failure`] does, a failure that is in the totals. Tries
    /// again if another thread was faster. `None` if the failure has to take the long way.
    pub(crate) fn retry_failure(&self, context: &Context, ticket: Option<Ticket>) -> Option<u32> {
        let mut word = self.word_now();
        loop {
            // The limit is read after the word: once a failure has obeyed new settings, all
            // failures after it do.
            let (after, count) = word.with_failure_below(self.limit(context))?;
            check(ticket, word).ok()?;
            match self.exchange(word, after) {
                Ok(()) => return Some(count),
                Err(current) => word = current,
            }
        }
    }

    #[inline(never)]
    pub(crate) fn finish_failure(
        &self,
        context: &Context,
        ticket: Option<Ticket>,
        report: &Report<'_>,
        begun: Begun,
    ) -> Result<u32, Refusal> {
        let now = match begun {
            Begun::Done(count) => return Ok(count),
            Begun::Totalled => match self.retry_failure(context, ticket) {
                Some(count) => return Ok(count),
                None => self.stamp_failure(context),
            },
            Begun::Not if self.is_retired() => return Err(Refusal::Gone),
            Begun::Not => self.total_failure(context, report.reason),
        };
        self.count_failure(context, ticket, report, now.ms(), None)
    }

    /// Counts a failure with which the dependency has asked to be left alone for `wait`: opens the
    /// circuit for so long, whatever its rules say.
    pub(crate) fn failure_for(
        &self,
        context: &Context,
        ticket: Option<Ticket>,
        report: &Report<'_>,
        wait: Duration,
    ) -> Result<u32, Refusal> {
        let Some(wait) = expiry::wait_ms(wait) else {
            return self.failure(context, ticket, report);
        };
        if self.is_retired() {
            return Err(Refusal::Gone);
        }
        let now = self.total_failure(context, report.reason);
        self.count_failure(context, ticket, report, now.ms(), Some(wait))
    }

    /// Counts a failure that is in the totals.
    fn count_failure(
        &self,
        context: &Context,
        ticket: Option<Ticket>,
        report: &Report<'_>,
        now: u64,
        wait: Option<u64>,
    ) -> Result<u32, Refusal> {
        let happening = Happening {
            report,
            wait,
            ..Happening::new(Occurrence::Failure, now)
        };
        self.settling(ticket, || self.apply_failure(context, ticket, happening))
            .inspect_err(|refusal| self.notify_stale(context, *refusal, happening))
    }

    fn apply_failure(
        &self,
        context: &Context,
        ticket: Option<Ticket>,
        happening: Happening<'_>,
    ) -> Result<ProbeSlot<u32>, Refusal> {
        let mut rate_report = RateReport::failure();
        let mut is_behind = fork::incarnation() != 0;
        loop {
            let seen = self.look(context, happening.now)?;
            let word = seen.word;
            // Read after the words: once a failure has obeyed new settings, all failures after it
            // do.
            let settings = self.settings(context);
            if self.is_for_totals(ticket) {
                let tally = seen.parked.tally(word);
                let count = Failure::new(self, context, &settings, tally).count - 1;
                let count = self.failure_in_totals(context, word, count, happening);
                return Ok(ProbeSlot::Released(count));
            }
            check(ticket, word)?;
            let rates = self.rates();
            let rates = rates.as_deref();
            // The thread that changed the settings may not exist in this process.
            if is_behind && rates.map(Rates::shape) != settings.rate_shape() {
                is_behind = false;
                self.follow_settings(context);
                continue;
            }
            if let Some(rates) = rates {
                let is_slow = || self.is_slow(context, &settings, ticket, happening.report);
                rate_report.count(rates, word, happening.now, is_slow);
            }
            let tally = seen.parked.tally(word);
            let failure = Failure::new(self, context, &settings, tally);
            let is_first = word.failures_in_ramp() == Some(0);
            if is_first && tally.timed().is_none() && failure.before.timed().is_some() {
                // The word of a ramp says only that a call failed. The failure's position in the
                // window is in the parked word.
                self.park(seen, seen.parked.with(word, failure.before));
                continue;
            }
            let happening = Happening {
                failures: Some(failure.count),
                ..happening
            };
            let cause = match (word.state(), happening.wait) {
                (State::Closed | State::HalfOpen, Some(_)) => Some(Cause::RetryAfter),
                (State::Closed, None) => trip_rule::rule_that_fires(&settings, failure.evidence())
                    .or_else(|| rates?.rule_that_fires(self, context, &settings, word)),
                (State::HalfOpen, None) => self.cause_while_half_open(&settings, word, || {
                    rates?.rule_that_fires(self, context, &settings, word)
                }),
                (_, Some(_)) => {
                    let count = self.failure_in_totals(context, word, failure.count - 1, happening);
                    return Ok(ProbeSlot::Released(count));
                }
                (_, None) => None,
            };
            if let Some(cause) = cause {
                let opening = match happening.wait {
                    Some(ms) => {
                        self.opening_for(context, context.roll_jitter(&settings, ms), cause)
                    }
                    None => self.opening(context, &settings, word.next_trips(), cause),
                };
                let after = word.opened(OpenedBy::Failure, opening.deadline());
                let parked = seen.parked.with(word, failure.before);
                if self.leave_with(seen, parked, after) {
                    failure.write(self, context);
                    let change = Change {
                        before: word,
                        after,
                    };
                    let happening = Happening {
                        counts: self.rate_counts(context, change.before),
                        ..happening
                    };
                    self.after_opening(context, change, happening, opening);
                    return Ok(ProbeSlot::Released(failure.count));
                }
                continue;
            }
            let next = failure.before.plus_failure();
            let after = match word.state() {
                State::Closed => word.with_tally(next),
                State::HalfOpen if word.is_ramp() => word.with_report_in_ramp(true),
                State::HalfOpen => word.with_probe_failure(),
                _ => word,
            };
            let done = match word.is_open() {
                true => self.park(seen, seen.parked.with(word, next)),
                false => self.swap(word, after),
            };
            if done {
                // A failed probe that does not open is not in the tally.
                if word.successes().is_none() {
                    failure.write(self, context);
                }
                let change = Change {
                    before: word,
                    after,
                };
                self.after(context, change, happening);
                return Ok(ProbeSlot::after(ticket, || settings, failure.count));
            }
        }
    }

    /// Reports a failure that counts in the totals only. Returns `count`, how many count without
    /// it.
    fn failure_in_totals(
        &self,
        context: &Context,
        word: Word,
        count: u32,
        happening: Happening<'_>,
    ) -> u32 {
        let happening = Happening {
            failures: Some(count),
            ..happening
        };
        self.notify_unmoved(context, word, happening);
        count
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::circuit::record::{Profile, RecordRef, Registrant};
    use crate::sys::clock::Clock;
    use crate::sys::manual_clock::ManualClock;
    use crate::values::settings::{ConnectionOptions, Overrides};

    const SUCCEEDED: EventMask = EventMask::of(EventType::Success);

    fn circuit() -> (Context, RecordRef) {
        let context = Context::alone(Clock::Manual(ManualClock::new()));
        let mut registrant = Registrant::new(&context, "db".into());
        registrant.with(&context, None).expect("valid");
        let [record, _] = RecordRef::new(&context, &mut registrant);
        (context, record)
    }

    /// Mutations: `a-first-failure-without-interest`, `a-failure-without-an-event`.
    #[test]
    fn a_failure_takes_the_long_way_if_a_subscriber_may_want_it() {
        let (context, record) = circuit();
        let begin = || record.try_failure_without_permit(&context, None);
        assert!(matches!(begin(), Begun::Not), "it is not known yet");
        record.learn_interest(&*context.sink);
        assert!(matches!(begin(), Begun::Done(1)));
        record.set_interest(FAILED);
        assert!(matches!(begin(), Begun::Not));
        record.set_interest(SUCCEEDED);
        assert!(matches!(begin(), Begun::Done(2)));
    }

    /// Mutation: `a-limit-of-any-version`.
    #[test]
    fn a_failure_obeys_the_settings_of_the_present_version() {
        let (context, record) = circuit();
        record.learn_interest(&*context.sink);
        let begin = || record.try_failure_without_permit(&context, None);
        assert!(matches!(begin(), Begun::Done(1)));
        let options = ConnectionOptions::new().max_attempts(2);
        let none = &Overrides::NONE;
        let own = Profile {
            overrides: options.applied_to(none, none).expect("valid"),
            ..Profile::default()
        };
        assert!(record.replace_profile(&None, Arc::new(own)));
        context.next_version();
        assert!(matches!(begin(), Begun::Not), "it opens");
    }

    /// What a permit owns makes no difference to the short way.
    ///
    /// Mutations: `a-late-failure-on-the-short-way`, `a-probe-taken-for-a-pass`.
    #[test]
    fn a_failure_takes_the_short_way_with_permits_of_this_closed_state_only() {
        let (context, record) = circuit();
        record.learn_interest(&*context.sink);
        let begin = |ticket| record.try_failure_with_permit(&context, ticket, None);
        let ticket = record.acquire(&context).expect("closed");
        let tickets = [ticket, ticket.traced(), ticket.owned()];
        for (ticket, count) in tickets.into_iter().zip(1..) {
            assert!(matches!(begin(ticket), Begun::Done(done) if done == count));
        }
        let (_, other) = circuit();
        other.half_open(&context).expect("registered");
        let probe = other.acquire(&context).expect("the first");
        for ticket in [probe, Ticket::for_totals()] {
            for ticket in [ticket, ticket.traced(), ticket.owned()] {
                assert!(matches!(begin(ticket), Begun::Not));
            }
        }
        record.half_open(&context).expect("registered");
        record.close(&context).expect("registered");
        for ticket in tickets {
            assert!(matches!(begin(ticket), Begun::Not));
        }
        assert_eq!(record.totals().sum().failures, 3);
    }
}
