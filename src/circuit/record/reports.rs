//! Reports: success, failure, ignored, cancelled.
//!
//! Like an admission, a report has a short way, which does one exchange at most (`try_…`), and a
//! long one. What a failure does depends on the state that it finds:
//!
//! | the circuit is | a failure |
//! |---|---|
//! | closed | takes the next place in the tally, or opens the circuit |
//! | open | takes the next place in the parked tally; a permit's is stale |
//! | half-open | opens the circuit again |
//!
//! One with a wait (`failure_for`) opens a closed circuit at once, for so long, and is in the
//! totals only while the circuit is open.

use std::time::Duration;

use super::failure::Failure;
use super::parked::Seen;
use super::transition::Change;
use super::{Begun, Happening, Record, Refusal, Ticket};
use crate::circuit::context::Context;
use crate::circuit::probe_slots::Claim;
use crate::reclaim::Guard;
use crate::sys::atomic::Ordering;
use crate::values::event::{EventMask, EventType, Occurrence, Report};
use crate::values::expiry;
use crate::values::state::{Closing, OpenedBy, State, Word};
use crate::values::trip_rule;

const SUCCEEDED: EventMask = EventMask::of(EventType::Success);
const FAILED: EventMask = EventMask::of(EventType::Failure);

impl Record {
    /// Counts a success that changes nothing but the totals. False for all others, which
    /// [`Record::success`] has to count. What a healthy call costs is this
    /// and [`Record::try_pass`], so it is inlined into the caller's code. A ticket
    /// that owns something always goes the other way.
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
        // The cell first, so that the cell alone has to outlast the clock's call.
        match self.totals().own() {
            Some(cell) => {
                cell.success(context.clock.tick());
                true
            }
            None => self.success_of_new_thread(context),
        }
    }

    #[cold]
    #[inline(never)]
    fn success_of_new_thread(&self, context: &Context) -> bool {
        self.count_success(context);
        true
    }

    /// Counts a success, and returns when it was.
    #[inline]
    fn count_success(&self, context: &Context) -> u64 {
        let now = context.clock.tick();
        if !self.totals().success(now) {
            context.want_cells();
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
        let change = self
            .settling(ticket, || self.apply_success(context, ticket, now))
            .inspect_err(|refusal| self.notify_stale(context, *refusal, happening))?;
        self.after(context, change, happening);
        Ok(())
    }

    fn apply_success(
        &self,
        context: &Context,
        ticket: Option<Ticket>,
        now: u64,
    ) -> Result<Change, Refusal> {
        loop {
            let seen = self.look(context, now)?;
            let word = seen.word;
            check(ticket, word)?;
            let (after, done) = match word.state() {
                State::Closed => self.success_while_closed(context, word),
                State::HalfOpen => match self.success_while_half_open(context, seen) {
                    Some(change) => return Ok(change),
                    None => continue,
                },
                _ => (word, self.success_while_open(context, seen)),
            };
            if done {
                return Ok(Change {
                    before: word,
                    after,
                });
            }
        }
    }

    /// It clears the tally, unless the settings keep it, and sees the dependency healthy: the next
    /// opening is the first.
    fn success_while_closed(&self, context: &Context, word: Word) -> (Word, bool) {
        let after = match self.keeps_failures(context) {
            true => word.without_trips(),
            false => word.zeroed(),
        };
        (after, after == word || self.swap(word, after))
    }

    /// It clears the parked tally, unless the settings keep it. Without a permit: a permit's report
    /// is stale.
    fn success_while_open(&self, context: &Context, seen: Seen) -> bool {
        let tally = seen.parked.tally(seen.word);
        tally.is_empty()
            || self.keeps_failures(context)
            || self.park(seen, seen.parked.with(seen.word, tally.cleared()))
    }

    /// `None` if another thread was faster.
    fn success_while_half_open(&self, context: &Context, seen: Seen) -> Option<Change> {
        let before = seen.word;
        let after = before.with_success();
        if after.successes() >= Some(self.settings(context).half_open_successes) {
            return self.shut(context, seen, Closing::Forgetting);
        }
        self.swap(before, after).then_some(Change { before, after })
    }

    /// Counts a failure and returns how many count now: in a row, or inside the
    /// window if there is one.
    pub(crate) fn failure(
        &self,
        context: &Context,
        ticket: Option<Ticket>,
        report: &Report<'_>,
    ) -> Result<u32, Refusal> {
        let begun = match ticket {
            Some(ticket) => self.try_failure_with_permit(context, ticket),
            None => self.try_failure_without_permit(context),
        };
        self.finish_failure(context, ticket, report, begun)
    }

    /// Counts a failure if no subscriber wants it and it does not open the circuit. If this
    /// returns anything but [`Begun::Done`], continue with [`Record::finish_failure`].
    #[inline]
    pub(crate) fn try_failure_with_permit(&self, context: &Context, ticket: Ticket) -> Begun {
        self.try_failure_at(context, ticket.without_possessions().place)
    }

    #[inline(never)]
    fn try_failure_at(&self, context: &Context, place: u64) -> Begun {
        // The place of a probe's ticket is of no closed word.
        self.try_failure(context, |word| word.is_closed_at(place))
    }

    /// [`Record::try_failure_with_permit`] for a report without a permit.
    #[inline(never)]
    pub(crate) fn try_failure_without_permit(&self, context: &Context) -> Begun {
        self.try_failure(context, |_| true)
    }

    #[inline(always)]
    fn try_failure(&self, context: &Context, is_meant: impl Fn(Word) -> bool) -> Begun {
        if self.wants(FAILED) {
            return Begun::Not;
        }
        let word = self.word_now();
        let Some((after, count)) = word.with_failure_below(self.limit(context)) else {
            return Begun::Not;
        };
        if !is_meant(word) {
            return Begun::Not;
        }
        let now = context.clock.now();
        self.total_failure(now);
        match self.swap(word, after) {
            true => Begun::Done(count.into()),
            false => Begun::Totalled(now),
        }
    }

    /// What [`Record::try_failure`] does, as often as other threads are faster.
    fn retry_failure(&self, context: &Context, ticket: Option<Ticket>) -> Option<u32> {
        let limit = self.limit(context);
        let mut word = self.word_now();
        loop {
            let (after, count) = word.with_failure_below(limit)?;
            check(ticket, word).ok()?;
            match self.exchange(word, after) {
                Ok(()) => return Some(count),
                Err(current) => word = current,
            }
        }
    }

    /// A failure's place in the totals, before that in the word: no thread sees more
    /// failures in a row than failures.
    #[inline]
    fn total_failure(&self, now: u64) {
        self.failures.fetch_add(1, Ordering::Relaxed);
        // Load first: a storm of failures falls into one millisecond.
        if self.last_failure.load(Ordering::Relaxed) <= now {
            self.last_failure.fetch_max(now + 1, Ordering::Relaxed);
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
            Begun::Done(count) => return Ok(count as u32),
            Begun::Totalled(now) => match self.retry_failure(context, ticket) {
                Some(count) => return Ok(count),
                None => now,
            },
            Begun::Not if self.is_retired() => return Err(Refusal::Gone),
            Begun::Not => {
                let now = context.clock.now();
                self.total_failure(now);
                now
            }
        };
        self.count_failure(context, ticket, report, now, None)
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
        let now = context.clock.now();
        self.total_failure(now);
        self.count_failure(context, ticket, report, now, Some(wait))
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
    ) -> Result<u32, Refusal> {
        let settings = self.settings(context);
        loop {
            let seen = self.look(context, happening.now)?;
            let word = seen.word;
            check(ticket, word)?;
            let tally = seen.parked.tally(word);
            let failure = Failure::new(self, context, &settings, tally);
            let happening = Happening {
                failures: Some(failure.count),
                ..happening
            };
            let opens = match word.state() {
                State::Closed => {
                    happening.wait.is_some()
                        || trip_rule::asks_for_opening(&settings, failure.evidence())
                }
                State::HalfOpen => true,
                _ if happening.wait.is_some() => {
                    return Ok(self.failure_in_totals(context, word, failure.count - 1, happening));
                }
                _ => false,
            };
            if opens {
                let opening = match happening.wait {
                    Some(ms) => self.opening_for(context, context.roll_jitter(&settings, ms)),
                    None => self.opening(context, &settings, word.next_trips()),
                };
                let after = word.opened(OpenedBy::Failure, opening.deadline());
                let parked = seen.parked.with(word, failure.before);
                if self.leave_with(seen, parked, after) {
                    failure.write(self, context);
                    let change = Change {
                        before: word,
                        after,
                    };
                    self.after_opening(context, change, happening, opening);
                    return Ok(failure.count);
                }
                continue;
            }
            let next = failure.before.plus_failure();
            let (after, done) = match word.tally() {
                Some(_) => {
                    let after = word.with_tally(next);
                    (after, self.swap(word, after))
                }
                None => (word, self.park(seen, seen.parked.with(word, next))),
            };
            if done {
                failure.write(self, context);
                let change = Change {
                    before: word,
                    after,
                };
                self.after(context, change, happening);
                return Ok(failure.count);
            }
        }
    }

    /// A failure that counts nowhere else. Returns `count`, how many count without it.
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

    /// Gives a probe's slot back: neither success nor failure.
    pub(crate) fn ignored(&self, context: &Context, ticket: Ticket) -> Result<(), Refusal> {
        if self.is_retired() {
            return Err(Refusal::Gone);
        }
        // Relaxed, and not past its end: a count of its own.
        let count = |ignored: u32| ignored.checked_add(1);
        let _ = self
            .ignored
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, count);
        let now = context.clock.now();
        self.touch(now);
        self.settling(Some(ticket), || {
            check(Some(ticket), self.look(context, now)?.word)
        })
    }

    /// The report of a call whose caller gave it up: ignored, or a failure if the settings say so
    /// of calls that lasted as long.
    pub(crate) fn cancelled(&self, context: &Context, ticket: Ticket) -> Result<(), Refusal> {
        match self.is_overdue(context, ticket) {
            true => self
                .failure(context, Some(ticket), &"cancelled".into())
                .map(drop),
            false => self.ignored(context, ticket),
        }
    }

    /// Whether a call that is given up now has lasted so long that it counts as a failure.
    pub(crate) fn is_overdue(&self, context: &Context, ticket: Ticket) -> bool {
        // The start is known only where a setting asked for it.
        let Some(elapsed) = ticket.elapsed(|| context.clock.micros()) else {
            return false;
        };
        let limit = self.settings(context).cancelled_after();
        limit.is_some_and(|limit| elapsed >= limit)
    }

    /// Runs a report. A probe's slot is the report's alone from before until
    /// after: it can be reported once, and no other call takes the slot before
    /// the report has had its effect, unless the lease ends.
    fn settling<T>(
        &self,
        ticket: Option<Ticket>,
        report: impl FnOnce() -> Result<T, Refusal>,
    ) -> Result<T, Refusal> {
        let Some(lease) = ticket.and_then(Ticket::lease) else {
            return report();
        };
        match self.probes().claim(lease) {
            Claim::Held(lease) => {
                let answer = report();
                self.probes().free(lease);
                answer
            }
            // The probe is late, and not lost: it counts if the circuit is still half-open.
            Claim::Late => report(),
            Claim::Reported => Err(Refusal::Stale),
        }
    }
}

fn check(ticket: Option<Ticket>, word: Word) -> Result<(), Refusal> {
    let Some(ticket) = ticket else {
        return Ok(());
    };
    // The state as well, since generations come round.
    let is_its_state = match ticket.is_probe() {
        true => word.successes().is_some(),
        false => word.tally().is_some(),
    };
    match ticket.generation() == word.generation() && is_its_state {
        true => Ok(()),
        false => Err(Refusal::Stale),
    }
}
