//! Why the circuit opened last, and why calls fail: in words.
//!
//! | what | where |
//! |---|---|
//! | the reason of the last opening | a [`TextCell`], tagged with what [`last_opening`] says of it |
//! | the reason of the last failure that had one | another one |
//!
//! The tag is the word in which cause and length of the opening stand. The thread that opens writes
//! that first, and then the reason, unless the word is another opening's by then. A reader takes the
//! reason only if its tag is the word that it has read. So the reason of another opening is never
//! shown: an opening whose reason is not written, or was left out, has none.
//!
//! [`last_opening`]: super::last_opening

use super::Record;
#[cfg(feature = "capi")]
use super::Refused;
use super::last_opening::Entry;
use crate::circuit::context::Context;
use crate::structures::text_cell::{self, TextCell};
use crate::values::cause::Cause;
#[cfg(feature = "capi")]
use crate::values::error::Rejected;
use crate::values::event::{self, Report};
use crate::values::state::Word;

pub(super) struct Reasons {
    opening: TextCell,
    failure: TextCell,
}

impl Reasons {
    pub(super) fn new() -> Self {
        Reasons {
            opening: TextCell::new(),
            failure: TextCell::new(),
        }
    }
}

impl Record {
    /// Keeps the reason of a failure, if it has one. An empty one is none.
    #[inline]
    pub(super) fn note_failure_reason(&self, context: &Context, report: &Report<'_>) {
        if let Some(reason) = report.reason
            && !reason.is_empty()
            && !self.has_failure_reason(reason)
        {
            self.keep_failure_reason(context, reason);
        }
    }

    /// Whether the last failure had this reason. Apart from the rest, so that the failures of an
    /// outage, most of which have the same, keep nothing on the stack.
    #[inline(never)]
    fn has_failure_reason(&self, reason: &str) -> bool {
        let reasons = self.reasons();
        reasons.is_some_and(|reasons| reasons.failure.has(reason))
    }

    #[inline(never)]
    fn keep_failure_reason(&self, context: &Context, reason: &str) {
        if let Some(reasons) = self.try_reasons(context)
            && let Some(claim) = reasons.failure.claim()
        {
            claim.write(0, reason);
        }
    }

    /// Keeps the reason of the opening that this thread has written as `entry`, or that it has
    /// none.
    pub(super) fn note_opening_reason(&self, context: &Context, entry: Entry, report: &Report<'_>) {
        let reasons = match report.reason {
            Some(_) => self.try_reasons(context),
            None => self.reasons(),
        };
        if let Some(reasons) = reasons
            && let Some(claim) = reasons.opening.claim()
            // A later opening may have written its own meanwhile.
            && self.entry() == entry
        {
            claim.write(entry.tag(), report.reason.unwrap_or_default());
        }
    }

    /// The cause and the reason of the last opening, for a thread that has read this word.
    pub(super) fn why(&self, word: Word) -> (Option<Cause>, Option<String>) {
        let (entry, cause) = self.entry_and_cause(word);
        let reason = cause.and_then(|_| {
            let (tag, reason) = self.reasons()?.opening.read()?;
            (tag == entry.tag()).then_some(reason).and_then(shown)
        });
        (cause, reason)
    }

    /// The reason of the last opening.
    pub(crate) fn opening_reason(&self) -> Option<String> {
        let word = self.word_now();
        (!word.is_retired()).then(|| self.why(word).1).flatten()
    }

    /// A rejection in full, and the reason of the opening.
    #[cfg(feature = "capi")]
    pub(crate) fn explain(&self, refused: Refused) -> (Rejected, Option<String>) {
        let word = self.word_now();
        (self.rejected(word, refused), self.why(word).1)
    }

    /// The reason of the last failure that had one.
    pub(super) fn last_failure_reason(&self) -> Option<String> {
        let (_, reason) = self.reasons()?.failure.read()?;
        shown(reason)
    }
}

/// As events show it: C's strings have no NUL. What takes its place is longer. An empty reason is
/// none.
fn shown(mut reason: String) -> Option<String> {
    if reason.contains('\0') {
        reason = reason.replace('\0', "\u{fffd}");
        let kept = event::beginning(&reason, text_cell::MOST).len();
        reason.truncate(kept);
    }
    (!reason.is_empty()).then_some(reason)
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::circuit::record::{OpenFor, RecordRef, Registrant};
    use crate::sys::clock::Clock;
    use crate::sys::manual_clock::ManualClock;

    fn circuit() -> (Context, RecordRef) {
        let context = Context::alone(Clock::Manual(ManualClock::new()));
        let mut newcomer = Registrant::new(&context, "db".into());
        newcomer.with(&context, None).expect("valid");
        let [record, _] = RecordRef::new(&context, &mut newcomer);
        record.make_reasons();
        (context, record)
    }

    fn open(context: &Context, record: &Record, reason: &str) {
        let opened = record.open(context, &reason.into(), OpenFor::Configured);
        opened.expect("registered");
    }

    /// Mutation: `a-reason-of-another-opening`.
    #[test]
    fn an_opening_whose_reason_was_left_out_has_none_of_an_earlier_one() {
        let (context, record) = circuit();
        open(&context, &record, "first");
        record.close(&context).expect("registered");
        let reasons = record.reasons().expect("made");
        let another_writer = reasons.opening.claim();
        assert!(another_writer.is_some());
        open(&context, &record, "second");
        drop(another_writer);
        assert_eq!(record.opening_reason(), None);
        open(&context, &record, "third");
        assert_eq!(record.opening_reason().as_deref(), Some("third"));
    }

    /// Mutation: `a-late-reason-that-replaces-a-later-one`.
    #[test]
    fn a_reason_that_is_written_late_leaves_that_of_a_later_opening() {
        let (context, record) = circuit();
        open(&context, &record, "first");
        let first = record.entry();
        record.close(&context).expect("registered");
        open(&context, &record, "second");
        record.note_opening_reason(&context, first, &"first".into());
        assert_eq!(record.opening_reason().as_deref(), Some("second"));
    }
}
