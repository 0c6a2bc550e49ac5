//! Controls by hand: open, close, half-open, reset, remove.

use std::time::Duration;

use super::transition::Change;
use super::{Happening, Record, Refusal};
use crate::circuit::context::Context;
use crate::values::cause::Cause;
use crate::values::error::Error;
use crate::values::event::{Later, Occurrence, Report};
use crate::values::settings;
use crate::values::state::{Closing, OpenedBy, State, Word};
use crate::values::tally::Tally;

/// For how long a circuit is opened by hand. Each of them opens it.
///
/// A `Duration` converts to `Custom`, and `None` to `Configured`. So `None` does not mean "no end"
/// here: that is `Never`.
///
/// ```
/// # use brama::OpenFor;
/// # use std::time::Duration;
/// # let brama = brama::Brama::builder().background(false).build()?;
/// # let db = brama.register("db", None)?;
/// db.open_circuit("upgrade", OpenFor::Custom(Duration::from_secs(60)))?;
/// db.open_circuit("upgrade", Duration::from_secs(60))?; // The same.
/// db.open_circuit("until further notice", OpenFor::Never)?;
/// # Ok::<(), brama::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum OpenFor {
    /// As long as the settings say, backoff and jitter included.
    #[default]
    Configured,
    /// This long, for this one opening. At least 1 ms.
    Custom(Duration),
    /// Without an end: until it is closed, reset or half-opened by hand. It opens the circuit, and
    /// the opening never ends by itself.
    Never,
}

impl From<Duration> for OpenFor {
    fn from(duration: Duration) -> Self {
        OpenFor::Custom(duration)
    }
}

/// `None`: as configured.
impl From<Option<Duration>> for OpenFor {
    fn from(duration: Option<Duration>) -> Self {
        duration.map_or(OpenFor::Configured, OpenFor::Custom)
    }
}

impl OpenFor {
    pub(crate) fn validate(self) -> Result<(), Error> {
        match self {
            OpenFor::Custom(length) if settings::given_ms(length) == 0 => Err(Error::argument(
                "expiry",
                &format!("{length:?}"),
                "must be at least 1 ms",
            )),
            _ => Ok(()),
        }
    }
}

impl Record {
    pub(crate) fn open(
        &self,
        context: &Context,
        report: &Report<'_>,
        how_long: OpenFor,
    ) -> Result<(), Refusal> {
        let now = self.touch_now(context);
        let settings = self.settings(context);
        let happening = Happening {
            report,
            ..self.deferrable(Occurrence::OpenedByHand, now)
        };
        let mut is_again = false;
        loop {
            let is_disabled = self.is_disabled();
            let seen = self.look(context, now)?;
            let before = seen.word;
            let is_open = before.state() == State::Open;
            let trips = match is_open {
                true => before.trips(),
                false => before.next_trips(),
            };
            let opening = match how_long {
                OpenFor::Configured => self.opening(context, &settings, trips, Cause::Manual),
                OpenFor::Custom(length) => {
                    self.opening_for(context, settings::given_ms(length), Cause::Manual)
                }
                OpenFor::Never => self.opening_for(context, u64::MAX, Cause::Manual),
            };
            let (after, done) = match is_open {
                true if is_again => {
                    let after = before.reopened(opening.deadline());
                    (after, self.leave(seen, after))
                }
                true => {
                    self.note_move_of(before, opening.deadline());
                    let after = before.rearmed(opening.deadline());
                    (after, self.swap(before, after))
                }
                false => {
                    let after = before.opened(OpenedBy::Other, opening.deadline());
                    (after, self.leave(seen, after))
                }
            };
            if done {
                self.after_opening(context, Change { before, after }, happening, opening);
                if is_open && is_disabled && self.is_left_since() {
                    // Waits for no other thread.
                    self.adopt_mode(context);
                    is_again = true;
                    continue;
                }
                return Ok(());
            }
        }
    }

    pub(crate) fn close(&self, context: &Context) -> Result<(), Refusal> {
        let now = self.touch_now(context);
        let happening = self.deferrable(Occurrence::ClosedByHand, now);
        let change = loop {
            let seen = self.look(context, now)?;
            if seen.word.tally().is_some() {
                break Change::none(seen.word);
            }
            if let Some(change) = self.shut(context, seen, Closing::Keeping) {
                break change;
            }
        };
        self.after(context, change, happening);
        Ok(())
    }

    pub(crate) fn half_open(&self, context: &Context) -> Result<(), Refusal> {
        let now = self.touch_now(context);
        let happening = self.deferrable(Occurrence::HalfOpenedByHand, now);
        let change = loop {
            let is_disabled = self.is_disabled();
            let seen = self.look(context, now)?;
            let before = seen.word;
            // A ramp is half-open, too. If the circuit is disabled, the ramp ends and the state is
            // held.
            if before.is_half_open() && !(before.is_ramp() && is_disabled) {
                let held = before.held_half_open();
                if !is_disabled || before == held || self.swap(before, held) {
                    break Change::none(before);
                }
                continue;
            }
            let after = match is_disabled {
                true => before.held_half_open(),
                false => before.probing(),
            };
            if self.leave(seen, after) {
                let change = Change { before, after };
                if before.is_ramp() {
                    // The state stays half-open, and the end of the ramp is a change all the same.
                    self.note_change(context, change, now);
                    self.end_evidence(after);
                }
                break change;
            }
        };
        self.after(context, change, happening);
        Ok(())
    }

    pub(crate) fn reset(&self, context: &Context) -> Result<(), Refusal> {
        let now = self.touch_now(context);
        let happening = self.deferrable(Occurrence::Reset, now);
        self.reset_if(context, happening, |_| true)
    }

    /// Resets the circuit, if `may_reset` says so of the word that is found.
    pub(super) fn reset_if(
        &self,
        context: &Context,
        happening: Happening<'_>,
        may_reset: impl Fn(Word) -> bool,
    ) -> Result<(), Refusal> {
        let change = loop {
            let seen = self.look(context, happening.now)?;
            let before = seen.word;
            if !may_reset(before) {
                return Ok(());
            }
            if before.tally().is_none() {
                if let Some(change) = self.shut(context, seen, Closing::Forgetting) {
                    break change;
                }
                continue;
            }
            let after = before.zeroed();
            let beginning = self.before_evidence();
            if after == before || self.swap(before, after) {
                self.begin_evidence_again(beginning, after);
                break Change { before, after };
            }
        };
        self.after(context, change, happening);
        Ok(())
    }

    /// What a manual control does. It takes effect later if the circuit is disabled.
    pub(super) fn deferrable(&self, occurrence: Occurrence, now: u64) -> Happening<'static> {
        Happening {
            later: Later::of(self.is_disabled()),
            ..Happening::new(occurrence, now)
        }
    }

    /// Marks the connection as removed. Returns true only in the thread whose exchange did it.
    #[inline]
    pub(crate) fn retire(&self) -> bool {
        let word = self.word_now();
        word.is_spotless() && self.swap(word, word.retired(0)) || self.retire_with_failures()
    }

    #[inline(never)]
    fn retire_with_failures(&self) -> bool {
        let mut word = self.word_now();
        while !word.is_retired() {
            let failures = self.count(word);
            let last = match word.is_closing() {
                Some(_) => word.closed(Tally::NONE, false),
                None => word,
            };
            match self.exchange(word, last.retired(failures)) {
                Ok(()) => return true,
                Err(current) => word = current,
            }
        }
        false
    }
}
