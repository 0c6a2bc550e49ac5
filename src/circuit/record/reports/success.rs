//! A success: what it counts, and what it clears.
//!
//! | the circuit is | a success |
//! |---|---|
//! | closed | clears the tally, unless the settings keep it; the next opening is the first |
//! | open | clears the parked tally, unless the settings keep it; a permit's is stale |
//! | half-open | clears the parked tally, unless the settings keep it; the last one that is needed closes the circuit or begins its ramp, and clears it |
//!
//! While the circuit is disabled, and with a permit for totals only, it changes the totals only.

use super::super::mode::IS_DISABLED;
use super::super::notify::UNKNOWN;
use super::super::parked::Seen;
use super::super::rates::RateReport;
use super::super::recovery::Progress;
use super::super::transition::Change;
use super::super::{Happening, Record, Refusal, Ticket};
use super::duration::lasted;
use super::{ProbeSlot, check};
use crate::circuit::context::Context;
use crate::reclaim::Guard;
use crate::structures::striped_counter::{self, Cell, is_look};
use crate::sys::clock::Tick;
use crate::values::cause::Cause;
use crate::values::event::{EventMask, EventType, Occurrence, Report};
use crate::values::settings::Settings;
use crate::values::state::{OpenedBy, State, Word};

const SUCCEEDED: EventMask = EventMask::of(EventType::Success);

impl Record {
    /// Counts a success that changes nothing but the totals. False for all others, which
    /// [`Record::success`] has to count. What a healthy call costs is this
    /// and [`Record::try_pass`], so it is inlined into the caller's code. A traced
    /// ticket always goes the other way.
    #[inline(always)]
    pub(crate) fn try_success_with_permit(&self, context: &Context, ticket: Ticket) -> bool {
        self.word_now().is_spotless_at(ticket.place) && self.try_success(context)
    }

    /// [`Record::try_success_with_permit`] for a report without a permit.
    #[inline(always)]
    pub(crate) fn try_success_without_permit(&self, context: &Context) -> bool {
        self.word_now().is_spotless() && self.try_success(context)
    }

    /// Counts a success for a caller without a reference.
    #[inline(always)]
    pub(crate) fn success_by_name(
        &self,
        context: &Context,
        ticket: Option<Ticket>,
        report: &Report<'_>,
        guard: &Guard,
    ) -> Result<(), Refusal> {
        // No subscriber wants to hear of it then, nor of what the report says.
        let is_counted = match ticket {
            Some(ticket) => self.try_success_with_permit(context, ticket),
            None => self.try_success_without_permit(context),
        };
        match is_counted {
            true if self.stays(context, guard) => Ok(()),
            true => Err(Refusal::Gone),
            false => {
                let _held = self.hold();
                self.success(context, ticket, report)
            }
        }
    }

    #[inline(always)]
    fn try_success(&self, context: &Context) -> bool {
        if self.wants(SUCCEEDED) {
            return false;
        }
        self.count_good(context);
        true
    }

    /// Counts a success of which no more is asked than its place in the totals and its time.
    #[inline(always)]
    fn count_good(&self, context: &Context) {
        match self.totals().own() {
            Some(cell) => cell.success_in_tick(context.ticks.word(), |count| {
                let now = context.clock.tick();
                if cell.is_before(now) || is_look(count) {
                    self.look_at_time(context, cell, now, count);
                }
            }),
            None => self.success_of_new_thread(context),
        }
    }

    /// Before a cell counts the success of this number: the first of a tick, or one with which it
    /// looks whether the ticker comes.
    #[cold]
    #[inline(never)]
    fn look_at_time(&self, context: &Context, cell: &Cell, now: Tick, count: u64) {
        if cell.is_before(now) {
            self.begin_bucket(cell, now);
            cell.begin_tick(now);
        }
        if is_look(count) {
            context.look_at_ticks(now, count);
        }
    }

    #[cold]
    #[inline(never)]
    fn success_of_new_thread(&self, context: &Context) {
        self.count_success(context);
    }

    /// Counts a success, and returns when it was.
    #[inline]
    fn count_success(&self, context: &Context) -> u64 {
        let now = context.clock.tick();
        if !self
            .totals()
            .success(now, |cell| self.begin_bucket(cell, now))
        {
            striped_counter::stocks().for_each(|stock| context.want(stock));
        }
        now.ms()
    }

    /// Counts a success.
    pub(crate) fn success(
        &self,
        context: &Context,
        ticket: Option<Ticket>,
        report: &Report<'_>,
    ) -> Result<(), Refusal> {
        if self.try_success_watched(context, ticket, report) {
            return Ok(());
        }
        if self.is_retired() {
            return Err(Refusal::Gone);
        }
        let now = self.count_success(context);
        let happening = Happening {
            report,
            ..Happening::new(Occurrence::Success, now)
        };
        let word = self.word_now();
        if word.is_spotless() && check(ticket, word).is_ok() {
            self.notify_unmoved(context, word, happening);
            return Ok(());
        }
        self.settling(ticket, || self.apply_success(context, ticket, happening))
            .inspect_err(|refusal| {
                self.take_back(now);
                self.notify_stale(context, *refusal, happening);
            })
    }

    /// Counts a success of a watched circuit that no subscriber wants, and that changes nothing but
    /// the totals and the rates. False for all others.
    fn try_success_watched(
        &self,
        context: &Context,
        ticket: Option<Ticket>,
        report: &Report<'_>,
    ) -> bool {
        let word = self.word_now();
        if !word.is_watched_and_clean()
            || self.has_flag(SUCCEEDED.or(UNKNOWN).0 | IS_DISABLED)
            || check(ticket, word).is_err()
        {
            return false;
        }
        let Some(rates) = self.rates() else {
            self.count_good(context);
            return true;
        };
        let is_measured = report.duration.is_some() || ticket.is_some_and(Ticket::has_start);
        if is_measured
            && let timing = self.timing(context)
            && let Some(lasted) = lasted(context, timing, ticket, report.duration)
            && !rates.is_fast(lasted)
        {
            return false;
        }
        self.count_good(context);
        rates.count_good(word);
        true
    }

    fn apply_success(
        &self,
        context: &Context,
        ticket: Option<Ticket>,
        happening: Happening<'_>,
    ) -> Result<ProbeSlot<()>, Refusal> {
        let mut rate_report = RateReport::success();
        let change = loop {
            let seen = self.look(context, happening.now)?;
            let word = seen.word;
            if self.is_for_totals(ticket) {
                self.take_back(happening.now);
                self.notify_unmoved(context, word, happening);
                return Ok(ProbeSlot::Released(()));
            }
            check(ticket, word)?;
            let (after, done) = match word.state() {
                State::Closed => {
                    let after = self.seen_healthy(context, word);
                    // Only then can it be slow, or count among the last calls.
                    if word.is_watched()
                        && let Some(rates) = self.rates()
                    {
                        let settings = self.settings(context);
                        let is_slow = || self.is_slow(context, &settings, ticket, happening.report);
                        if rate_report.count(&rates, word, happening.now, is_slow)
                            && let Some(cause) =
                                rates.rule_that_fires(self, context, &settings, word)
                        {
                            if self.open_slowly(context, seen, after, cause, happening) {
                                return Ok(ProbeSlot::Released(()));
                            }
                            continue;
                        }
                    }
                    (after, after == word || self.swap(word, after))
                }
                State::HalfOpen => {
                    let is_slow = |settings: &Settings| {
                        self.is_slow(context, settings, ticket, happening.report)
                    };
                    let now = happening.now;
                    let report = &mut rate_report;
                    match self.success_while_half_open(context, seen, report, now, is_slow) {
                        Progress::Made(change) => break change,
                        Progress::Opens { healthy, cause } => {
                            if self.open_slowly(context, seen, healthy, cause, happening) {
                                return Ok(ProbeSlot::Released(()));
                            }
                            continue;
                        }
                        Progress::Lost => continue,
                    }
                }
                _ => (word, self.success_while_open(context, seen)),
            };
            if done {
                break Change {
                    before: word,
                    after,
                };
            }
        };
        match change.after.ramp_end() {
            Some(end) if !change.before.is_ramp() => {
                let has_notified = self.after_quietly(context, change, happening);
                self.expect_driver(context, end, has_notified);
            }
            _ => self.after(context, change, happening),
        }
        Ok(ProbeSlot::after(ticket, || self.settings(context), ()))
    }

    /// A slow success opens the circuit. It counts as a success first: `healthy` is the word after
    /// that. False if another thread was faster.
    #[cold]
    fn open_slowly(
        &self,
        context: &Context,
        seen: Seen,
        healthy: Word,
        cause: Cause,
        happening: Happening<'_>,
    ) -> bool {
        let settings = self.settings(context);
        let opening = self.opening(context, &settings, healthy.next_trips(), cause);
        let after = healthy.opened(OpenedBy::Other, opening.deadline());
        let tally = match seen.word.is_ramp() {
            // With the place in the window of the failure that it clears.
            true => seen.parked.tally(seen.word).cleared(),
            false => seen.parked.tally(healthy),
        };
        let parked = seen.parked.with(seen.word, tally);
        if !self.leave_with(seen, parked, after) {
            return false;
        }
        let change = Change {
            before: seen.word,
            after,
        };
        let happening = Happening {
            occurrence: Occurrence::SlowSuccess,
            counts: self.rate_counts(context, change.before),
            ..happening
        };
        self.after_opening(context, change, happening, opening);
        true
    }

    /// A closed word after a success. It clears the tally, unless the settings keep it, and sees
    /// the dependency healthy: the next opening is the first.
    fn seen_healthy(&self, context: &Context, word: Word) -> Word {
        match self.keeps_failures(context) {
            true => word.without_trips(),
            false => word.zeroed(),
        }
    }

    /// It clears the parked tally, unless the settings keep it. Without a permit: a permit's report
    /// is stale.
    fn success_while_open(&self, context: &Context, seen: Seen) -> bool {
        let tally = seen.parked.tally(seen.word);
        tally.is_empty()
            || self.keeps_failures(context)
            || self.park(seen, seen.parked.with(seen.word, tally.cleared()))
    }
}
