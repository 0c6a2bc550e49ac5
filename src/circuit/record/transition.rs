//! Changing the word: the loop around the pure functions of [`state`](mod@crate::values::state).
//!
//! Every thread reads both words ([`Record::look`]), decides, and exchanges ([`Record::leave`],
//! [`Record::shut`], [`Record::swap`]). If another thread was faster, nothing has happened, and the
//! caller reads again. The thread whose exchange succeeds calls [`Record::after`], which writes the
//! times and publishes.

use super::last_opening::{Entry, Opening};
use super::parked::{Parked, Seen};
use super::{Happening, Record, Refusal};
use crate::circuit::context::Context;
use crate::sys::atomic::{Ordering, fence, fence_after_rmw};
use crate::values::cause::Cause;
use crate::values::event::Occurrence;
use crate::values::evidence::Counted;
use crate::values::settings::Settings;
use crate::values::state::{Closing, NEVER, Word};

/// The word before and after a change.
#[derive(Clone, Copy)]
pub(super) struct Change {
    pub(super) before: Word,
    pub(super) after: Word,
}

impl Change {
    /// No change.
    pub(super) fn none(word: Word) -> Self {
        Change {
            before: word,
            after: word,
        }
    }
}

/// What a thread reads the words for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Asking {
    /// To use the connection, which keeps it registered.
    Use,
    Question,
}

impl Record {
    /// The word as of `now`: an expiry that is due has happened, a closing is finished, and no
    /// cleanup is about to remove the connection.
    #[inline]
    pub(super) fn word_at(&self, context: &Context, now: u64) -> Word {
        let word = self.word_now();
        if word.is_due(now) || word.is_closing().is_some() || word.is_departing() {
            return self.seen_at(context, now).word;
        }
        word
    }

    /// [`Record::word_at`] for a question. That is no activity, so it leaves the mark of a cleanup.
    pub(super) fn word_asked_at(&self, context: &Context, now: u64) -> Word {
        let word = self.word_now();
        if word.is_due(now) || word.is_closing().is_some() {
            return self.seen_by(context, now, Asking::Question).word;
        }
        word
    }

    /// Both words as of `now`: an expiry that is due has happened unless the circuit is disabled, a
    /// closing is finished, and no cleanup is about to remove the connection.
    pub(super) fn seen_at(&self, context: &Context, now: u64) -> Seen {
        self.seen_by(context, now, Asking::Use)
    }

    /// [`Record::seen_at`] for a question.
    pub(super) fn seen_asked_at(&self, context: &Context, now: u64) -> Seen {
        self.seen_by(context, now, Asking::Question)
    }

    fn seen_by(&self, context: &Context, now: u64, asking: Asking) -> Seen {
        loop {
            let seen = self.seen();
            let word = seen.word;
            if word.is_closing().is_some() {
                self.finish_closing(context);
                continue;
            }
            if word.is_departing() && asking == Asking::Use {
                self.stay(context);
                continue;
            }
            if !word.is_due(now) || self.is_disabled() {
                return seen;
            }
            if let Some(end) = word.ramp_end() {
                self.end_ramp(context, seen, end);
                continue;
            }
            let next = word.probing();
            if !self.leave(seen, next) {
                continue;
            }
            // It happened when it was due, whichever thread sees it first.
            let deadline = word.deadline();
            let happening = Happening {
                ended: Some(word),
                ..Happening::new(Occurrence::Expiry, deadline.unwrap_or(now))
            };
            let change = Change {
                before: word,
                after: next,
            };
            self.after(context, change, happening);
        }
    }

    /// [`Record::seen_at`], unless the connection was removed.
    pub(super) fn look(&self, context: &Context, now: u64) -> Result<Seen, Refusal> {
        let seen = self.seen_at(context, now);
        match seen.word.is_retired() {
            true => Err(Refusal::Gone),
            false => Ok(seen),
        }
    }

    /// Swaps the word. False if it has changed since it was read.
    pub(super) fn swap(&self, before: Word, after: Word) -> bool {
        self.exchange(before, after).is_ok()
    }

    #[inline]
    pub(super) fn exchange(&self, before: Word, after: Word) -> Result<(), Word> {
        // ORDERING: AcqRel, partner of itself, of `word_now` and of `is_retired_by_now`: what
        // led to a state is visible to a thread that finds it. A removal by `retire` is such an
        // exchange.
        self.word
            .compare_exchange(
                before.bits(),
                after.bits(),
                Ordering::AcqRel,
                Ordering::Acquire,
            )
            .map(drop)
            .map_err(Word::from_bits)
    }

    /// Leaves a state for one that is not closed; what counts is parked first. Returns false if
    /// another thread changed something meanwhile.
    pub(super) fn leave(&self, seen: Seen, next: Word) -> bool {
        let parked = match seen.word.tally() {
            Some(tally) => seen.parked.with(seen.word, tally),
            None => seen.parked.settled(seen.word),
        };
        self.leave_with(seen, parked, next)
    }

    /// [`Record::leave`] that parks another form of the same tally.
    pub(super) fn leave_with(&self, seen: Seen, parked: Parked, next: Word) -> bool {
        self.note_end_of(seen.word);
        if !self.park(seen, parked) {
            return false;
        }
        if next.successes().is_some() {
            let is_present = || self.word_now() == seen.word;
            self.probes().forget(next.generation(), is_present);
        }
        self.swap(seen.word, next)
    }

    /// Closes the circuit. Returns `None` if another thread changed something meanwhile.
    pub(super) fn shut(&self, context: &Context, seen: Seen, closing: Closing) -> Option<Change> {
        let (before, parked) = (seen.word, seen.parked.settled(seen.word));
        let word = before.closing(closing);
        self.note_end_of(before);
        if !self.park(seen, parked) || !self.swap(before, word) {
            return None;
        }
        // If another thread finishes the closing, this tally lacks failures that were parked last.
        let finished = self.finish_closing(context);
        let after = finished.unwrap_or_else(|| word.closed(parked.tally(word), false));
        Some(Change { before, after })
    }

    /// Moves the tally of a circuit that is closing into the word. `None` if another thread has
    /// done so.
    pub(super) fn finish_closing(&self, context: &Context) -> Option<Word> {
        loop {
            let seen = self.seen();
            let word = seen.word;
            word.is_closing()?;
            let parked = seen.parked.sealed(word);
            if !self.park(seen, parked) {
                continue;
            }
            let version = context.version();
            let watched = self.settings(context).is_watched();
            let closed = word.closed(parked.tally(word), watched);
            // The evidence of a ramp goes on in the closed circuit after it.
            let begins = word.is_closing() != Some(Closing::AfterRamp);
            let beginning = begins.then(|| self.before_evidence());
            if !self.swap(word, closed) {
                return None;
            }
            // ORDERING: SeqCst, partner of the fence in `Engine::configure`: either the walk
            // there finds this closed word, or this thread the new version.
            fence_after_rmw();
            if let Some(beginning) = &beginning {
                self.begin_evidence(beginning, closed);
            }
            if context.version() != version {
                self.watch(context);
                // The rates may have got another block, whose evidence is of the generation before.
                if begins {
                    self.begin_evidence(&self.before_evidence(), closed);
                }
            }
            return Some(closed);
        }
    }

    /// Makes a closed circuit watched if the settings in effect ask for it, or not watched. The
    /// permits that are out stay good.
    pub(crate) fn watch(&self, context: &Context) {
        loop {
            let version = context.version();
            let watched = self.settings(context).is_watched();
            let word = self.word_now();
            let done = match word.tally() {
                Some(_) if !word.is_departing() && word.is_watched() != watched => {
                    self.swap(word, word.watched(watched))
                }
                // Otherwise the thread that closes the circuit, or keeps it, sees to it.
                _ => true,
            };
            // ORDERING: SeqCst, partner of the fence in `Engine::configure`: either the walk
            // there finds this word, or this thread the new version.
            fence_after_rmw();
            if done && context.version() == version {
                return;
            }
        }
    }

    pub(super) fn opening(
        &self,
        context: &Context,
        settings: &Settings,
        trips: u32,
        cause: Cause,
    ) -> Opening {
        self.opening_for(context, context.roll_expiry(settings, trips), cause)
    }

    /// An opening that begins now.
    pub(super) fn opening_for(&self, context: &Context, lasting: u64, cause: Cause) -> Opening {
        let at = context.clock.now_upper();
        self.note_opening(at);
        Opening {
            at,
            lasting,
            cause,
            is_restored: false,
        }
    }

    /// Does what follows an opening or a new deadline, in the thread whose exchange made it.
    pub(super) fn after_opening(
        &self,
        context: &Context,
        change: Change,
        happening: Happening<'_>,
        opening: Opening,
    ) {
        self.note_made(change, opening);
        let entry = Entry::of(change.after, opening);
        let counted = Counted::new(opening.cause, happening.failures, happening.counts);
        self.note_opening_reason(context, entry, happening.report, counted);
        let happening = Happening {
            now: opening.at,
            opening: Some(opening),
            ..happening
        };
        let has_notified = self.after_quietly(context, change, happening);
        // Of a restored opening, part of the time has passed already.
        self.expect_driver(context, change.after.deadline_of_open(), has_notified);
    }

    /// Has the driver come at this deadline, and the dispatcher at once if `has_notified`, for the
    /// notice of the change.
    pub(super) fn expect_driver(&self, context: &Context, deadline: u64, has_notified: bool) {
        if deadline != NEVER {
            context.attention.leave(self, || self.share());
        }
        // Once, for the notice and for the deadline.
        if has_notified {
            context.call_dispatcher();
        } else if deadline != NEVER {
            context.waker.wake_by(self.wanted_at(deadline));
        }
    }

    /// When the driver has to look at the record, which this thread has left for it because of
    /// `deadline`. Another thread may have set an earlier deadline, or missed an event, while this
    /// thread was half way through leaving the record. The driver that the other thread woke then
    /// found nothing, so this thread has to wake it again.
    pub(crate) fn wanted_at(&self, deadline: u64) -> u64 {
        // ORDERING: SeqCst, partner of the fence in `Waker::wake_by`: either the driver that
        // the other thread has woken finds the record left, or this thread finds what that one
        // has done.
        fence(Ordering::SeqCst);
        match self.has_missed() {
            true => 0,
            false => deadline.min(self.word_now().due_at().unwrap_or(deadline)),
        }
    }

    /// Does what follows a change, in the thread whose exchange made it, or a report without a
    /// change.
    pub(super) fn after(&self, context: &Context, change: Change, happening: Happening<'_>) {
        if self.after_quietly(context, change, happening) {
            context.call_dispatcher();
        }
    }

    /// [`Record::after`], except that the caller has to wake the dispatcher if this
    /// returns true.
    pub(super) fn after_quietly(
        &self,
        context: &Context,
        change: Change,
        mut happening: Happening<'_>,
    ) -> bool {
        let Change { before, after } = change;
        if before.state() != after.state() {
            happening.now = self.note_change(context, change, happening.now);
            if after.evidence_generation().is_none() {
                self.end_evidence(after);
            }
        }
        self.notify_without_waking(context, before.state(), after.state(), after, happening)
    }
}
