//! Why the circuit opened last, and why calls fail: in words, and in numbers.
//!
//! | what | where |
//! |---|---|
//! | the reason of the last opening, and what was counted then | a [`TextCell`], tagged with what [`last_opening`] says of it |
//! | the reason of the last failure that had one | another [`TextCell`], without a label |
//!
//! The label begins with the opening's *entry*, the word that has its cause and length. The thread
//! that opens writes the entry first, and then the reason, unless the entry is another opening's by
//! then. A reader takes the reason only if its label begins with the entry that it has read. So the
//! reason of another opening is never shown: an opening whose reason is not written, or was left
//! out, has none. The numbers are the rest of the label.
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
use crate::values::error::Explained;
use crate::values::error::Rejected;
use crate::values::event::{self, Report};
use crate::values::evidence::{Counted, Evidence};
use crate::values::rates::Counts;
use crate::values::state::Word;

pub(super) struct Reasons {
    opening: TextCell<{ 1 + Counted::WORDS }>,
    failure: TextCell<0>,
}

/// What is known of the last opening.
pub(super) struct Why {
    entry: Entry,
    pub(super) cause: Option<Cause>,
    pub(super) reason: Option<String>,
    counted: Counted,
}

impl Why {
    /// What the rule that opened the circuit had counted.
    pub(super) fn evidence(&self) -> Option<Evidence> {
        self.counted.evidence(self.cause?)
    }

    /// What counted for the rates when the circuit opened, if this word is that opening, or the
    /// half-open state after it.
    pub(super) fn rates_at(&self, word: Word) -> Option<Counts> {
        if word.evidence_generation().is_some() {
            return None;
        }
        let [opened, now] = [self.entry.generation(), word.generation()];
        let is_since = now == opened || now.previous() == opened;
        is_since.then_some(self.counted.rates).flatten()
    }
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
    /// Keeps the reason of a failure. An empty reason is none. Most failures of an outage have the
    /// same reason. That costs a comparison, which is quick unless the reason is very short or
    /// long.
    #[inline(never)]
    pub(super) fn note_failure_reason(&self, context: &Context, reason: &str) {
        match self.reasons() {
            Some(reasons) if reason.len() >= 4 && reasons.failure.has(reason) => {}
            _ => self.keep_failure_reason(context, reason),
        }
    }

    #[inline(never)]
    fn keep_failure_reason(&self, context: &Context, reason: &str) {
        let kept = text_cell::kept(reason);
        if !kept.is_empty()
            && let Some(reasons) = self.try_reasons(context)
            && !reasons.failure.has(kept)
            && let Some(claim) = reasons.failure.claim()
        {
            claim.write([], kept);
        }
    }

    /// Keeps the reason of the opening that this thread has written as `entry`, and what was
    /// counted. If it has neither, keeps that.
    pub(super) fn note_opening_reason(
        &self,
        context: &Context,
        entry: Entry,
        report: &Report<'_>,
        counted: Counted,
    ) {
        let reasons = match report.reason.is_none() && counted.is_none() {
            true => self.reasons(),
            false => self.try_reasons(context),
        };
        if let Some(reasons) = reasons
            && let Some(claim) = reasons.opening.claim()
            // A later opening may have written its own entry meanwhile.
            && self.entry() == entry
        {
            let mut label = [entry.label(); 1 + Counted::WORDS];
            label[1..].copy_from_slice(&counted.words());
            claim.write(label, report.reason.unwrap_or_default());
        }
    }

    /// What is known of the last opening, for a thread that has read this word.
    pub(super) fn why(&self, word: Word) -> Why {
        let (entry, cause) = self.entry_and_cause(word);
        let written = cause.and_then(|_| {
            let ([label, counted @ ..], reason) = self.reasons()?.opening.read()?;
            (label == entry.label()).then(|| (shown(reason), Counted::from_words(counted)))
        });
        let (reason, counted) = written.unwrap_or_default();
        Why {
            entry,
            cause,
            reason,
            counted,
        }
    }

    /// The reason of the last opening.
    pub(crate) fn opening_reason(&self) -> Option<String> {
        let word = self.word_now();
        (!word.is_retired())
            .then(|| self.why(word).reason)
            .flatten()
    }

    /// A rejection, with all that is known of the opening.
    #[cfg(feature = "capi")]
    pub(crate) fn explain(&self, refused: Refused) -> Explained {
        let word = self.word_now();
        let why = self.why(word);
        let opened = why.entry.read_with(word);
        Explained {
            rejected: refused.rejected(self.name.beginning(), opened),
            evidence: why.evidence(),
            reason: why.reason,
        }
    }

    /// The message of a rejection by this circuit, with what is known of the opening.
    pub(crate) fn message(&self, rejected: &Rejected) -> String {
        let word = self.word_now();
        let why = (!word.is_retired()).then(|| self.why(word));
        match why.filter(|why| why.cause == rejected.cause()) {
            Some(why) => rejected
                .because(why.evidence(), why.reason.as_deref())
                .to_string(),
            None => rejected.to_string(),
        }
    }

    /// The reason of the last failure that had one.
    pub(super) fn last_failure_reason(&self) -> Option<String> {
        let ([], reason) = self.reasons()?.failure.read()?;
        shown(reason)
    }
}

/// The reason as events show it: without NUL, since C's strings have none. The character that
/// replaces a NUL is longer, so the text may have to be cut. An empty reason is none.
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
        let mut registrant = Registrant::new(&context, "db".into());
        registrant.with(&context, None).expect("valid");
        let [record, _] = RecordRef::new(&context, &mut registrant);
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
        record.note_opening_reason(&context, first, &"first".into(), Counted::default());
        assert_eq!(record.opening_reason().as_deref(), Some("second"));
    }
}
