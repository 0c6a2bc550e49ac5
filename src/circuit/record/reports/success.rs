//! A success: what it counts, and what it clears.
//!
//! | the circuit is | a success |
//! |---|---|
//! | closed | clears the tally, unless the settings keep it; the next opening is the first |
//! | open | clears the parked tally, unless the settings keep it; a permit's is stale |
//! | half-open | clears the parked tally, unless the settings keep it; the last one that is needed closes the circuit, and clears it |

use super::super::parked::Seen;
use super::super::transition::Change;
use super::super::{Happening, Record, Refusal, Ticket};
use super::check;
use crate::circuit::context::Context;
use crate::reclaim::Guard;
use crate::structures::striped_counter;
use crate::values::event::{EventMask, EventType, Occurrence, Report};
use crate::values::state::{Closing, State, Word};

const SUCCEEDED: EventMask = EventMask::of(EventType::Success);

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
            context.want(&striped_counter::BLOCKS);
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
        let after = before.with_success(!self.keeps_failures(context));
        if after.successes() >= Some(self.settings(context).half_open_successes) {
            return self.shut(context, seen, Closing::Forgetting);
        }
        self.swap(before, after).then_some(Change { before, after })
    }
}
