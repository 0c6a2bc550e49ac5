//! The mode in effect for a connection, and what belongs to a change of it.
//!
//! The settings say which mode is wanted. Two of the record's flags say which one is in effect.
//! They lie on the line of the word, so that no report and no rejection reads the settings for it:
//!
//! | `DISABLED` | `SHADOW` | the circuit |
//! |---|---|---|
//! | 0 | 0 | is normal |
//! | 0 | 1 | is a shadow |
//! | 1 | 0 | is disabled |
//! | 1 | 1 | is disabled, and a thread that changes the mode is about to reset it |
//!
//! A thread that changes settings brings the flags up to date ([`Record::adopt_mode`]): it reads
//! the version, the settings and the flags, exchanges the flags, and begins again if the version
//! has gone on. The thread whose exchange succeeds reports the new mode.
//!
//! **Leaving disabled resets the circuit.** First the flags say that a reset is under way (the
//! fourth row), then the word is reset, then the flags say which mode follows. So no thread finds
//! the circuit in its next mode with a word from before the reset. A thread that finds the fourth
//! row takes all steps that are left, so no thread waits for a stopped one. It reads the word
//! before it checks the flags again, so it never resets a word from after the reset.
//!
//! **A state set by hand** survives that. An open word counts as set by hand if the note beside it
//! ([`last_opening`](super::last_opening)) names a manual control or a restore. The note is written
//! after the exchange of the word. While the note is missing, the word itself shows an opening by a
//! failure; any other opening counts as one by hand. That is wrong only for the opening by a slow
//! success whose thread was stopped since before the circuit was disabled. A manual control that
//! moves the deadline of an open word leaves no trace in the word. So its thread checks the flags
//! after it has written the note. If the mode was left meanwhile, that thread takes the steps that
//! are left, and opens the circuit again in a new generation. A thread that is about to reset the
//! circuit then finds another word. A half-open word itself says whether a manual control made it
//! while the circuit was disabled.
//!
//! **The driver** forgets the deadline of a disabled circuit when that is due. So the thread that
//! ends *disabled* leaves the record for the driver once more.
//!
//! A call that overlaps with the end of *disabled*, and has read the word before the reset and the
//! flags after it, may be rejected by the opening that the reset ends.
//!
//! Rejected: the mode in the word, since the payloads of some states leave no bit for it. A reset
//! after the exchange of the flags, since calls in the mode that follows would find the word from
//! before.

use super::rare::Rare;
use super::{Happening, Record, Ticket};
use crate::circuit::context::Context;
use crate::sys::atomic::{Ordering, fence};
use crate::values::event::{Later, Marks, Occurrence, Report, TEXT_BYTES, beginning};
use crate::values::mode::Mode;
use crate::values::state::{State, Word};

const DISABLED: u32 = 1 << 18;
const SHADOW: u32 = 1 << 20;
/// Disabled, and about to be reset.
const LEAVING: u32 = DISABLED | SHADOW;

/// In a record's flags: one of them is set unless the mode is normal.
pub(super) const MODES: u32 = DISABLED | SHADOW;
/// In a record's flags: the circuit is disabled.
pub(super) const IS_DISABLED: u32 = DISABLED;

/// The flags of a record that is made in this mode.
pub(super) fn flags_of(mode: Mode) -> u32 {
    match mode {
        Mode::Normal => 0,
        Mode::Disabled => DISABLED,
        Mode::Shadow => SHADOW,
    }
}

const _: () = assert!(Marks::OF_MODE as u32 == MODES >> DISABLED.trailing_zeros());

/// What an event says of the mode in effect by these flags.
#[inline]
pub(super) fn marks_of(flags: u32) -> Marks {
    Marks::of_mode(flags >> DISABLED.trailing_zeros())
}

impl Record {
    /// The mode in effect.
    pub(super) fn mode(&self) -> Mode {
        self.marks().mode()
    }

    /// What an event says of the mode in effect.
    pub(super) fn marks(&self) -> Marks {
        marks_of(self.flags.load(Ordering::Relaxed))
    }

    pub(super) fn is_disabled(&self) -> bool {
        self.has_flag(DISABLED)
    }

    /// Whether every call passes, whatever the word says.
    #[cfg(feature = "capi")]
    pub(super) fn lets_all_pass(&self) -> bool {
        self.has_flag(MODES)
    }

    /// Whether a report changes the totals only.
    pub(super) fn is_for_totals(&self, ticket: Option<Ticket>) -> bool {
        ticket.is_some_and(Ticket::is_for_totals) || self.is_disabled()
    }

    /// What `look` finds, and the mode in which it was found: the flags were the same before and
    /// after it. So no word from before a reset is taken for one of the mode that follows.
    pub(super) fn in_one_mode<T>(&self, look: impl Fn() -> T) -> (Mode, T) {
        // ORDERING: Acquire, here and below, partner of the AcqRel in `step_to`: a thread that
        // finds a mode finds the word that its reset has left. The word is read between both.
        let mut before = self.flags.load(Ordering::Acquire);
        loop {
            let found = look();
            let after = self.flags.load(Ordering::Acquire);
            if marks_of(before).mode() == marks_of(after).mode() {
                return (marks_of(before).mode(), found);
            }
            before = after;
        }
    }

    /// Admits a call that the word does not let pass: what it reports is in the totals only.
    pub(super) fn pass_for_totals(&self, context: &Context) -> Ticket {
        Ticket::for_totals().starting(&context.clock, self.timing(context))
    }

    /// Admits a call that this word rejects, if the circuit is a shadow. Returns `None` otherwise.
    pub(super) fn pass_in_spite_of(
        &self,
        context: &Context,
        word: Word,
        now: u64,
    ) -> Option<Ticket> {
        match self.mode() {
            Mode::Normal | Mode::Disabled => return None,
            Mode::Shadow => {
                self.touch(now);
                if let Some(rare) = self.cold().rare.get() {
                    rare.would_reject.fetch_add(1, Ordering::Relaxed);
                }
                self.notify_unmoved(context, word, Happening::new(Occurrence::Rejected, now));
            }
        }
        Some(self.pass_for_totals(context))
    }

    /// How many calls passed in shadow mode that would have been rejected.
    pub(super) fn would_reject(&self) -> u64 {
        let rare = self.cold().rare.get();
        rare.map_or(0, |rare: &Rare| rare.would_reject.load(Ordering::Relaxed))
    }

    /// Brings the mode up to date with the settings. What belongs to the change is done when this
    /// returns. Allocates.
    pub(crate) fn adopt_mode(&self, context: &Context) {
        loop {
            let version = context.version();
            let wanted = self.settings(context).mode;
            let done = self.step_to(context, wanted);
            // ORDERING: SeqCst, partner of the fence in `Engine::configure`: either the walk
            // there finds these flags, or this thread the new version.
            fence(Ordering::SeqCst);
            if done && context.version() == version {
                return;
            }
        }
    }

    /// Takes one step on the way to this mode. Returns whether the mode is in effect.
    fn step_to(&self, context: &Context, wanted: Mode) -> bool {
        // ORDERING: Acquire, partner of the AcqRel below: a thread that finds that a reset is under
        // way finds what led to it.
        let before = self.flags.load(Ordering::Acquire) & MODES;
        let after = flags_of(wanted);
        if before == after {
            return true;
        }
        if wanted == Mode::Shadow {
            // Shadow mode counts there, and a call must not allocate.
            self.rare();
        }
        if wanted == Mode::Disabled {
            // An expiry that is due happens first: from now on nothing expires.
            self.word_asked_at(context, context.clock.now_exact());
        }
        let next = match before {
            DISABLED => LEAVING,
            LEAVING => {
                self.reset_on_leaving(context);
                after
            }
            _ => after,
        };
        let change = |flags: u32| (flags & MODES == before).then_some(flags & !MODES | next);
        // ORDERING: AcqRel, partner of itself and of the load above: the reset comes before the
        // mode that follows it.
        let changed = self
            .flags
            .fetch_update(Ordering::AcqRel, Ordering::Relaxed, change);
        if changed.is_err() || next == LEAVING {
            return false;
        }
        if before == LEAVING {
            self.plan_again(context);
        }
        self.notify_of_mode(context, wanted);
        true
    }

    fn is_leaving(&self) -> bool {
        self.flags.load(Ordering::Relaxed) & MODES == LEAVING
    }

    /// Resets the circuit, unless its state was set by hand, or another thread has reset it.
    fn reset_on_leaving(&self, context: &Context) {
        // ORDERING: SeqCst, partner of the fence in `is_left_since`: either this thread finds the
        // note of a manual control, or that control's thread finds that the mode is left.
        fence(Ordering::SeqCst);
        let now = context.clock.now();
        let may_reset = |word| self.is_leaving() && !self.is_held_by_hand(word);
        let happening = Happening::new(Occurrence::Reset, now);
        // A removed connection has nothing to reset.
        let _ = self.reset_if(context, happening, may_reset);
    }

    /// Whether *disabled* was left, perhaps before the note was written. For a thread that has
    /// moved the deadline of a disabled open circuit by hand, after it has written its note.
    pub(super) fn is_left_since(&self) -> bool {
        // ORDERING: SeqCst, partner of the fence in `reset_on_leaving`.
        fence(Ordering::SeqCst);
        self.flags.load(Ordering::Relaxed) & MODES != DISABLED
    }

    /// Whether this state, which is not closed, was set by hand.
    pub(super) fn is_held_by_hand(&self, word: Word) -> bool {
        match word.deadline() {
            Some(_) => self.is_open_by_hand(word),
            None => word.is_held_half_open(),
        }
    }

    /// Leaves the record for the driver again, which has forgotten the deadline, or will.
    pub(super) fn plan_again(&self, context: &Context) {
        // ORDERING: SeqCst, partner of the fence in `is_disabled_for_driver`: either this thread
        // finds the deadline that a manual control has set, or that of a ramp which a late report
        // has begun, or the driver that was woken for it finds these flags.
        fence(Ordering::SeqCst);
        if let Some(due) = self.word_now().due_at() {
            context.attention.leave(self, || self.share());
            context.waker.wake_by(self.wanted_at(due));
        }
    }

    /// Whether the driver may forget the deadline. The thread that ends *disabled* plans it again
    /// ([`Record::plan_again`]).
    pub(super) fn is_disabled_for_driver(&self) -> bool {
        if !self.is_disabled() {
            return false;
        }
        // ORDERING: SeqCst, partner of the fence in `plan_again`.
        fence(Ordering::SeqCst);
        self.is_disabled()
    }

    fn notify_of_mode(&self, context: &Context, mode: Mode) {
        let text = match mode {
            Mode::Normal => "the mode is normal",
            Mode::Disabled => "the mode is disabled: every call passes",
            Mode::Shadow => "the mode is shadow: no call is rejected",
        };
        let now = context.clock.now();
        let report = Report::from(text);
        let happening = Happening {
            report: &report,
            ..Happening::new(Occurrence::Noticed, now)
        };
        self.notify_unmoved(context, self.word_asked_at(context, now), happening);
    }
}

/// What an event says of a manual control that takes effect later.
const LATER: &str = "takes effect when the circuit is enabled again";

impl Record {
    /// [`Record::notify_without_waking`] of a manual control, with a reason that says that it takes
    /// effect later.
    #[cold]
    #[inline(never)]
    pub(super) fn notify_of_later(
        &self,
        context: &Context,
        before: State,
        after: State,
        word: Word,
        happening: Happening<'_>,
    ) -> bool {
        let most = TEXT_BYTES - LATER.len() - 2;
        let reason = match happening.report.reason {
            Some(reason) => format!("{}; {LATER}", beginning(reason, most)),
            None => LATER.to_owned(),
        };
        let report = Report {
            reason: Some(&reason),
            is_altered: happening.report.is_altered(),
            ..happening.report.clone()
        };
        let happening = Happening {
            report: &report,
            later: Later::Said,
            ..happening
        };
        self.notify_without_waking(context, before, after, word, happening)
    }
}
