//! Saving a circuit, and restoring it: a transition by hand to the saved state.
//!
//! A restored circuit gets a new generation in every case, so permits that are out become stale. It
//! also gets a stamp, so a later restore of the same data leaves it alone.
//!
//! | from | to | |
//! |---|---|---|
//! | closed | closed | one exchange |
//! | any state | open, half-open | one exchange; then the saved failures are parked, unless the state has changed again |
//! | another state | closed | closed as by a reset; then as from closed, unless the state has changed again |
//!
//! So a thread that loses an exchange has changed nothing that counts. A failure that is reported
//! between the two steps of a restore counts as reported before it.
//!
//! **Totals** are raised to the saved ones, and stay if they are higher. So they never go down, and
//! a restore into the process that saved counts nothing twice. Successes and rejections are added
//! to the shared cell. The evidence of the rates is made of sums of these cells. So it begins again
//! after the addition, with the sums that include it.
//!
//! **The time** that is left of an opening runs by the wall clock: the monotonic clocks of two
//! machines, or of one machine before and after a restart, have nothing in common. A wall clock
//! that was set back prolongs no opening.
//!
//! Rejected: parking the saved failures before the exchange. All threads that leave *closed* park
//! the tally of its word, and rely on that. Setting the totals: readers may have seen higher ones.
//! A field for restored totals: each of a million circuits would need it.

use std::time::Duration;

use super::last_opening::Opening;
use super::parked::Seen;
use super::transition::Change;
use super::{Happening, Record, Refusal, Status};
use crate::circuit::context::Context;
use crate::sys::atomic::{Ordering, fence, fence_after_rmw};
use crate::values::cause::Cause;
use crate::values::event::{Occurrence, Report};
use crate::values::evidence::Counted;
use crate::values::key::Key;
use crate::values::mode::Mode;
use crate::values::saved::{Saved, Stands, Totals, Writer};
use crate::values::settings::Settings;
use crate::values::state::{self, Closing, NEVER, State, Word};
use crate::values::tally::Tally;

impl Record {
    /// Adds the circuit to a save that was begun at `begun`, in monotonic ms, unless it was
    /// removed.
    pub(crate) fn save(&self, context: &Context, begun: u64, writer: &mut Writer) {
        let Some((status, word)) = self.status_and_word(context) else {
            return;
        };
        let ms = |length: Duration| u64::try_from(length.as_millis()).unwrap_or(u64::MAX);
        // What the circuit would be if it were enabled.
        let is_disabled = status.mode == Mode::Disabled;
        let is_reset = is_disabled && !self.is_held_by_hand(word);
        let state = match is_disabled && !is_reset {
            true => word.state(),
            false => status.state,
        };
        let stands = match (state, word.deadline()) {
            (State::Open, Some(NEVER)) => Stands::Open {
                left: None,
                given: None,
            },
            (State::Open, Some(deadline)) => {
                let left = deadline.saturating_sub(begun);
                // The status of a disabled circuit does not have it.
                let lasting = self.lasting(word).or(status.expiry.map(ms));
                let given = lasting.unwrap_or(left).min(NEVER - 1);
                Stands::Open {
                    left: Some(left),
                    // It may have opened since the save was begun.
                    given: Some(given.max(left)),
                }
            }
            (State::HalfOpen, _) => Stands::HalfOpen,
            _ => Stands::Closed,
        };
        writer.add(&Saved {
            key: Key::new(status.scope.as_deref(), &status.identifier),
            stands,
            trips: match is_reset {
                true => 0,
                false => status.trips.min(u8::MAX.into()) as u8,
            },
            cause: status.cause,
            reason: status.reason.as_deref(),
            last_failure_reason: status.last_failure_reason.as_deref(),
            failures: match status.settings.window.is_some() || is_reset {
                true => 0,
                false => status.failure_count,
            },
            totals: Totals {
                successes: status.total_successes,
                failures: status.total_failures,
                rejections: status.total_rejections,
                ignored: u32::try_from(status.total_ignored).unwrap_or(u32::MAX),
            },
        });
    }

    /// A status, and the word that it is of. None if the connection was removed.
    fn status_and_word(&self, context: &Context) -> Option<(Status, Word)> {
        loop {
            let word = self.word_now();
            let status = self.status(context)?;
            // The word of a closed circuit need not stay the same: its count may change all the
            // time.
            if self.word_now() == word || word.tally().is_some() && status.state == State::Closed {
                return Some((status, word));
            }
        }
    }

    /// Restores the circuit to what was saved at `written`, in Unix ms. Returns false if it has
    /// changed its state since then, and was left alone.
    pub(crate) fn restore(
        &self,
        context: &Context,
        saved: &Saved<'_>,
        written: u64,
    ) -> Result<bool, Refusal> {
        let now = context.clock.now();
        let (change, opening) = loop {
            // Read before the word, as in `half_open`.
            let is_disabled = self.is_disabled();
            let seen = self.look(context, now)?;
            if self.has_changed_since(context, seen.word, written) {
                return Ok(false);
            }
            let restored = match saved.stands {
                Stands::Closed => {
                    let change = self.restore_closed(context, seen, saved, now);
                    change.map(|change| (change, None))
                }
                Stands::HalfOpen => {
                    let after = seen.word.restored_half_open(saved.trips.into());
                    let after = match is_disabled {
                        true => after.held_half_open(),
                        false => after,
                    };
                    let change = self.restore_left(context, seen, saved, after);
                    change.map(|change| (change, None))
                }
                Stands::Open { left, given } => {
                    let passed = self.passed_since(context, written);
                    let cause = saved.cause.unwrap_or(Cause::Manual);
                    let opening = Opening {
                        is_restored: true,
                        ..self.opening_for(context, given.unwrap_or(u64::MAX), cause)
                    };
                    let deadline = match left.map(|left| left.saturating_sub(passed)) {
                        None => NEVER,
                        // It is due for every clock from now on, even for one that lags.
                        Some(0) => now,
                        Some(left) => state::deadline(opening.at, left),
                    };
                    let after = seen.word.restored_open(saved.trips.into(), deadline);
                    let change = self.restore_left(context, seen, saved, after);
                    change.map(|change| (change, Some(opening)))
                }
            };
            if let Some(restored) = restored {
                break restored;
            }
        };
        self.touch(now);
        self.after_restore(context, saved, change, opening);
        // After the events: an opening whose time is over ends here.
        self.restore_totals(context, saved.totals);
        Ok(true)
    }

    /// Whether the circuit has changed its state since `written`, in Unix ms. A registration is no
    /// change, in whichever state the circuit is born.
    fn has_changed_since(&self, context: &Context, word: Word, written: u64) -> bool {
        let last = self.stamp_of(context, word);
        let at = || context.clock.unix_ms(last.time.saturating_sub(1));
        !last.kind.is_registration() && at() > written
    }

    fn passed_since(&self, context: &Context, written: u64) -> u64 {
        let now = context.clock.unix_ms(context.clock.now_exact());
        now.saturating_sub(written)
    }

    /// Restores the circuit to `after`, which is open or half-open. `None` if another thread was
    /// faster.
    fn restore_left(
        &self,
        context: &Context,
        seen: Seen,
        saved: &Saved<'_>,
        after: Word,
    ) -> Option<Change> {
        let before = seen.word;
        if !self.leave(seen, after) {
            return None;
        }
        self.park_restored(context, after, saved);
        // The block of the last calls must not fall half a round of generations behind.
        self.end_evidence(after);
        Some(Change { before, after })
    }

    /// Parks the saved failures beside a word that was restored, while it is in that generation.
    fn park_restored(&self, context: &Context, after: Word, saved: &Saved<'_>) {
        let settings = self.settings(context);
        loop {
            let seen = self.seen();
            let word = seen.word;
            let is_mine = word.generation() == after.generation() && !word.is_retired();
            let tally = self.restored_tally(seen.parked.tally(word), &settings, saved);
            if !is_mine || self.park(seen, seen.parked.with(word, tally)) {
                return;
            }
        }
    }

    /// Restores the circuit to closed. `None` if another thread was faster.
    fn restore_closed(
        &self,
        context: &Context,
        seen: Seen,
        saved: &Saved<'_>,
        now: u64,
    ) -> Option<Change> {
        let before = seen.word;
        if let Some(tally) = before.tally() {
            return self.restore_tally(context, before, tally, saved);
        }
        let closed = self.shut(context, seen, Closing::Forgetting)?;
        let is_mine = |word: Word| word.generation() == closed.after.generation();
        // A thread that changes the state from now on comes after the restore.
        while let Ok(Seen { word, .. }) = self.look(context, now)
            && is_mine(word)
            && let Some(tally) = word.tally()
        {
            if let Some(Change { after, .. }) = self.restore_tally(context, word, tally, saved) {
                return Some(Change { before, after });
            }
        }
        Some(closed)
    }

    /// Restores the count of a closed circuit, in a new generation. `None` if another thread was
    /// faster.
    fn restore_tally(
        &self,
        context: &Context,
        before: Word,
        tally: Tally,
        saved: &Saved<'_>,
    ) -> Option<Change> {
        let version = context.version();
        let settings = self.settings(context);
        let tally = self.restored_tally(tally, &settings, saved);
        let after = before.restored_closed(saved.trips.into(), tally, settings.is_watched());
        if !self.swap(before, after) {
            return None;
        }
        // ORDERING: SeqCst, partner of the fence in `Engine::configure`: either the walk there
        // finds this word, or this thread the new version.
        fence_after_rmw();
        if context.version() != version {
            self.watch(context);
        }
        Some(Change { before, after })
    }

    /// The failures that count after a restore, in place of `present`. A window comes back empty:
    /// the times of its failures are not saved.
    fn restored_tally(&self, present: Tally, settings: &Settings, saved: &Saved<'_>) -> Tally {
        match settings.window.is_some() || self.window().is_some() {
            true => present.cleared(),
            false => Tally::plain(saved.failures),
        }
    }

    /// What the thread that has won a restore does after it.
    fn after_restore(
        &self,
        context: &Context,
        saved: &Saved<'_>,
        change: Change,
        opening: Option<Opening>,
    ) {
        if saved.reason.is_some() || saved.last_failure_reason.is_some() {
            // A restore may allocate the block where reasons are kept.
            self.rare();
        }
        if let Some(reason) = saved.last_failure_reason {
            self.note_failure_reason(context, reason);
        }
        let reason = saved.reason.map_or(Report::NONE, Report::from);
        // The stamp is written even if the state stays the same.
        if let Some(opening) = opening {
            self.note_change(context, change, opening.at);
            let happening = Happening {
                report: &reason,
                ..self.deferrable(Occurrence::OpenedByHand, opening.at)
            };
            self.after_opening(context, change, happening, opening);
            return;
        }
        let now = context.clock.now();
        self.note_change(context, change, now);
        let entry = self.note_restored(change, saved.cause);
        self.note_opening_reason(context, entry, &reason, Counted::default());
        let occurrence = match saved.stands {
            Stands::HalfOpen => Occurrence::HalfOpenedByHand,
            Stands::Closed | Stands::Open { .. } => Occurrence::ClosedByHand,
        };
        self.after(context, change, self.deferrable(occurrence, now));
    }

    /// Raises the totals of a restored circuit to the saved ones, which count in no rate.
    fn restore_totals(&self, context: &Context, totals: Totals) {
        self.totals()
            .raise(totals.successes, totals.rejections, totals.failures);
        self.ignored.fetch_max(totals.ignored, Ordering::Relaxed);
        // ORDERING: SeqCst, partner of the fence in `before_evidence`: a thread that closes the
        // circuit and is not found here, in either of its steps, finds the totals in its sums. So
        // does one that makes it half-open.
        fence(Ordering::SeqCst);
        loop {
            let word = self.word_at(context, context.clock.now());
            if word.evidence_generation().is_some() {
                return self.begin_evidence(&self.before_evidence(), word);
            }
            // A thread that is about to begin a ramp may have added up before this. Then its
            // exchange fails, and it adds up again.
            match word.with_totals_raised() {
                Some(raised) if !self.swap(word, raised) => {}
                _ => return,
            }
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::circuit::record::{RecordRef, Registrant};
    use crate::sys::clock::Clock;
    use crate::sys::manual_clock::ManualClock;
    use crate::values::settings::ConnectionOptions;

    /// Half-open, one success before its ramp.
    fn half_open() -> (Context, RecordRef) {
        let context = Context::alone(Clock::Manual(ManualClock::new()));
        let options = ConnectionOptions::new()
            .ramp(Duration::from_secs(1))
            .failure_rate(0.5)
            .minimum_calls(10);
        let mut registrant = Registrant::new(&context, "db".into());
        registrant.with(&context, Some(options)).expect("valid");
        let [record, _] = RecordRef::new(&context, &mut registrant);
        record.half_open(&context).expect("there");
        (context, record)
    }

    const SUCCESSES: Totals = Totals {
        successes: 1_000,
        failures: 0,
        rejections: 0,
        ignored: 0,
    };

    /// The thread that reports the last success that is needed is stopped before it begins the
    /// ramp, and has added up what came before that.
    #[test]
    fn a_ramp_does_not_begin_with_sums_that_lack_restored_totals() {
        let (context, record) = half_open();
        let stopped = record.seen();
        let _sums = record.before_evidence();
        record.restore_totals(&context, SUCCESSES);
        assert!(!record.leave(stopped, stopped.word.ramping(1_000)));
    }

    /// The thread that has restored a half-open circuit is stopped before it restores the totals,
    /// and a probe begins the ramp meanwhile.
    ///
    /// Mutation: `restored-totals-in-a-ramp`.
    #[test]
    fn restored_totals_are_in_no_rate_of_a_ramp() {
        let (context, record) = half_open();
        let succeed = || {
            let reported = record.success(&context, None, &Report::NONE);
            reported.expect("there");
        };
        succeed();
        assert!(record.word_now().is_ramp());
        record.restore_totals(&context, SUCCESSES);
        let counted = || record.status(&context).expect("there").window_calls;
        assert_eq!(counted(), Some(0));
        succeed();
        assert_eq!(counted(), Some(1));
    }
}
