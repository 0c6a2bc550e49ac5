//! What subscribers hear of a connection: the reporter's side. The dispatcher's side is in
//! [`delivered`](super::delivered), the way between them in [`bus`](crate::events::bus).
//!
//! **Filtered at the source.** The low bits of a record's flags, its *interest*, are the union of
//! what all subscribers want of this connection. The threads that subscribe keep it up to date. A
//! reporter loads it, on a line that it reads anyway, and is done if no subscriber wants
//! the event. A record that is registered while there is no subscriber learns its interest
//! with its first report.
//!
//! **The registration is delivered once, and first.** Other threads can find a connection
//! in the table before the thread that registers it has reported that, and their reports may
//! reach the dispatcher earlier. So the highest bits of the flags are a token, and the
//! thread that takes the token decides:
//!
//! | token | means | taken by |
//! |---|---|---|
//! | [`NEW`] | nothing is decided | the thread that registers, if there is a subscriber (it leaves [`OWED`] if one wants the registration); the dispatcher, which then delivers the registration before anything else; the first subscriber, which has found the connection in the table |
//! | [`OWED`] | the notice waits in the ring, or its bit is set, or one of the two is about to happen | the dispatcher, with the notice or before the first other event |
//! | neither | the registration was delivered, or no subscriber needs to hear of it | |
//!
//! Every step is a read-modify-write of one word, so there is one taker. A connection that
//! is registered while there is no subscriber stays `NEW` and pays nothing.
//!
//! **What was missed.** A reporter that finds the ring full sets the bit of a kept event in
//! `touched_and_missed`, and leaves the record where the dispatcher finds it (see
//! [`bus`](crate::events::bus)). Both sides touch the bits by read-modify-writes, so no bit is lost
//! between them.

use super::mode::marks_of;
use super::timestamps::Stamp;
use super::{Happening, MISSED_SHIFT, Record, Refusal, TOUCHED};
use crate::circuit::context::Context;
use crate::circuit::event_sink::{EventSink, Notice};
use crate::sys::atomic::{Ordering, fence, fence_after_rmw};
use crate::values::event::{EventMask, EventType, Facts, Later, Occurrence, Report, Text};
use crate::values::state::{State, Word};

/// In the flags: the interest is not learned yet, ask the subscribers. Other threads find a record
/// as soon as it is in the table, and what they do to it must be reported.
pub(super) const UNKNOWN: EventMask = EventMask(1);
/// In the flags: see the top of the file.
const NEW: u32 = 1 << 31;
const OWED: u32 = 1 << 30;
const TOKEN: u32 = NEW | OWED;

/// The interest, and whether it is learned.
const INTEREST: u32 = EventMask::ALL.0 | UNKNOWN.0;

const _: () = assert!(EventMask::ALL.0 & (TOKEN | UNKNOWN.0) == 0);
const _: () = assert!(super::OTHER_FLAGS & (TOKEN | INTEREST) == 0);

/// The flags that a new record begins with, of those of this file.
pub(super) const AT_BIRTH: u32 = NEW | UNKNOWN.0;

/// The events that tell of a registration.
pub(crate) const REGISTRATION: EventMask = EventMask(
    EventMask::of(EventType::Registration).0 | EventMask::of(EventType::ConnectionRegistered).0,
);

/// What the dispatcher finds of a registration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Registration {
    /// There is nothing to deliver.
    Settled,
    /// The dispatcher delivers it by itself: no thread will report it.
    New,
    /// The dispatcher delivers it for its notice, or for the mark of a missed one.
    Owed,
}

impl Record {
    /// Whether a subscriber may want one of these.
    #[inline]
    pub(crate) fn wants(&self, events: EventMask) -> bool {
        self.has_flag(events.0 | UNKNOWN.0)
    }

    /// Whether one of these flags is set.
    #[inline]
    pub(super) fn has_flag(&self, flags: u32) -> bool {
        self.flags_now() & flags != 0
    }

    #[inline]
    fn flags_now(&self) -> u32 {
        // Relaxed: a subscriber cannot know whether a report came before.
        self.flags.load(Ordering::Relaxed)
    }

    /// Whether a subscriber wants this type of event.
    pub(crate) fn is_wanted(&self, sink: &dyn EventSink, kind: EventType) -> bool {
        if !self.has_learned_interest() {
            self.learn_interest(sink);
        }
        self.interest().contains(kind)
    }

    /// What the subscribers want of this connection, as far as it is learned.
    pub(crate) fn interest(&self) -> EventMask {
        EventMask(self.flags_now() & EventMask::ALL.0)
    }

    fn has_learned_interest(&self) -> bool {
        self.flags_now() & UNKNOWN.0 == 0
    }

    /// Learns what the subscribers want of this connection, unless that is learned already. The
    /// record is in the table by now, where subscribers look for it.
    #[cold]
    pub(crate) fn learn_interest(&self, sink: &dyn EventSink) {
        // ORDERING: SeqCst, partner of the fence in `Engine::subscribe`: either the thread that
        // subscribes finds this record in the table, or this thread the subscriber.
        fence(Ordering::SeqCst);
        let mut known = self.flags_now();
        while known & UNKNOWN.0 != 0 {
            let wanted = sink.interest_in(self.key());
            // Fails if a thread that has changed the subscribers since knows better.
            match self.flags.compare_exchange(
                known,
                known & !INTEREST | wanted.0,
                Ordering::Relaxed,
                Ordering::Relaxed,
            ) {
                Ok(_) => return,
                Err(now) => known = now,
            }
        }
    }

    /// Adds what a new subscriber wants. The caller holds the lock of the subscribers,
    /// who are all asked if the record has not learned yet what they want. `is_first`:
    /// before this subscriber there was none, so the record that it has found was
    /// registered before it came.
    pub(crate) fn add_interest(&self, mask: EventMask, is_first: bool, sink: &dyn EventSink) {
        let wanted = match self.has_learned_interest() {
            true => self.interest().or(mask),
            false => sink.interest_in(self.key()),
        };
        self.change_interest(wanted, if is_first { NEW } else { 0 });
    }

    /// Sets what the subscribers want. The caller holds their lock, so from now on only
    /// other holders change it.
    pub(crate) fn set_interest(&self, mask: EventMask) {
        self.change_interest(mask, 0);
    }

    /// Replaces the interest, and takes those other flags.
    fn change_interest(&self, wanted: EventMask, taken: u32) {
        // An exchange, as the one in `learn_interest`: they come one after the other.
        let change = |flags: u32| Some(flags & !(INTEREST | taken) | wanted.0);
        let _ = self
            .flags
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, change);
    }

    /// Takes the token if nothing is decided, and leaves [`OWED`] if a notice follows. Returns
    /// whether it took the token.
    fn claim_registration(&self, will_tell: bool) -> bool {
        let claim = |flags: u32| {
            let next = flags & !TOKEN | if will_tell { OWED } else { 0 };
            (flags & NEW != 0).then_some(next)
        };
        // ORDERING: Relaxed, here and below: it is one word, and the facts are in the notice
        // or read from the record as it then is.
        self.flags
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, claim)
            .is_ok()
    }

    /// Takes the token, for the dispatcher. Unless this returns [`Registration::Settled`], the
    /// registration has to be delivered now.
    pub(crate) fn take_registration(&self) -> Registration {
        // Load first: most were delivered long ago.
        if self.flags_now() & TOKEN == 0 {
            return Registration::Settled;
        }
        let before = self.flags.fetch_and(!TOKEN, Ordering::Relaxed);
        match (before & NEW != 0, before & OWED != 0) {
            (true, _) => Registration::New,
            (_, true) => Registration::Owed,
            _ => Registration::Settled,
        }
    }

    /// Reports the registration, if a subscriber wants it. For the thread that registers,
    /// if there is a subscriber.
    #[cold]
    #[inline(never)]
    pub(crate) fn notify_registration(&self, context: &Context) {
        self.learn_interest(&*context.sink);
        let wanted = self.interest().and(REGISTRATION);
        if !self.claim_registration(wanted != EventMask::NONE) || wanted == EventMask::NONE {
            return;
        }
        let facts = self.facts_of_registration(context.clock.now());
        self.publish(context, Occurrence::Registered, true, wanted, facts);
        context.call_dispatcher();
    }

    /// Reports the removal of the connection, if there is a subscriber. `sink` is that of the
    /// context, by its own type, so that asking it is one load.
    #[inline]
    pub(crate) fn notify_removal(
        &self,
        context: &Context,
        sink: &impl EventSink,
        occurrence: Occurrence,
    ) {
        // ORDERING: SeqCst, partner of the last fence in `Engine::subscribe` (either that
        // thread finds the connection removed, or this one the subscriber), and of the fence in
        // `take_removal`. A removal was an exchange.
        fence_after_rmw();
        if sink.has_audience() && self.wants(occurrence.mask(true)) || self.has_missed() {
            self.notify_removal_now(context, occurrence);
        }
    }

    #[inline(never)]
    fn notify_removal_now(&self, context: &Context, occurrence: Occurrence) {
        let word = self.word_now();
        let before = word
            .before_removal()
            .map_or(word.state(), |(state, _)| state);
        let happening = Happening::new(occurrence, context.clock.now());
        self.notify(context, before, State::Unknown, word, happening);
    }

    /// Reports something that the user of the connection should know.
    pub(crate) fn notify_of_text(&self, context: &Context, text: &str) {
        let now = context.clock.now();
        let word = self.word_at(context, now);
        let report = Report::from(text);
        let happening = Happening {
            report: &report,
            ..Happening::new(Occurrence::Noticed, now)
        };
        self.notify_unmoved(context, word, happening);
    }

    /// Reports something that happened in a state and did not change it.
    pub(super) fn notify_unmoved(&self, context: &Context, word: Word, happening: Happening<'_>) {
        self.notify(context, word.state(), word.state(), word, happening);
    }

    /// Notifies subscribers of a report that is stale, for it is a report all the same. Does
    /// nothing if the report was refused for another reason.
    #[cold]
    pub(super) fn notify_stale(
        &self,
        context: &Context,
        refusal: Refusal,
        happening: Happening<'_>,
    ) {
        if refusal == Refusal::Stale {
            self.notify_unmoved(context, self.word_now(), happening);
        }
    }

    fn notify(
        &self,
        context: &Context,
        before: State,
        after: State,
        word: Word,
        happening: Happening<'_>,
    ) {
        if self.notify_without_waking(context, before, after, word, happening) {
            context.call_dispatcher();
        }
    }

    /// Sends a notice of what happened, if a subscriber wants it. The caller has to wake
    /// the dispatcher if this returns true.
    pub(super) fn notify_without_waking(
        &self,
        context: &Context,
        before: State,
        after: State,
        word: Word,
        happening: Happening<'_>,
    ) -> bool {
        if happening.later == Later::Unsaid {
            return self.notify_of_later(context, before, after, word, happening);
        }
        let occurrence = happening.occurrence;
        let moved = before != after;
        if moved {
            // ORDERING: SeqCst, partner of the last fence in `Engine::subscribe`: either that
            // thread finds the new state, or this one the subscriber. A change of state was an
            // exchange.
            fence_after_rmw();
        }
        let mut interest = self.flags_now();
        if interest & UNKNOWN.0 != 0 {
            self.learn_interest(&*context.sink);
            interest = self.flags_now();
        }
        let mut wanted = EventMask(interest).and(occurrence.mask(moved));
        if occurrence.is_removal() {
            if wanted != EventMask::NONE && !self.claim_removal() {
                wanted = wanted.without(EventMask::of(EventType::ConnectionRemoved));
            }
            if wanted == EventMask::NONE && self.has_missed() {
                context.sink.settle(context, self);
            }
        }
        if wanted == EventMask::NONE {
            return false;
        }
        let (lasting, opened_by) = happening.opening_in(self, word);
        let facts = Facts {
            time: match moved {
                true => happening.now,
                false => self.not_before_the_change(happening.now),
            },
            before,
            after,
            marks: marks_of(interest)
                .altered(happening.report.is_altered())
                .taking_effect(happening.later),
            generation: word.generation(),
            failures: happening.failures.unwrap_or_else(|| self.count(word)),
            expiry: match happening.ended {
                Some(ended) => self.lasting(ended),
                None if occurrence.is_removal() && before == State::Open => self.last_lasting(),
                None => lasting,
            }
            .unwrap_or(u64::MAX),
            opened_by,
            counts: happening.counts,
            reason: Text::new(happening.report.reason),
            metadata: happening.report.metadata.clone(),
        };
        self.publish(context, occurrence, moved, wanted, facts);
        true
    }

    fn publish(
        &self,
        context: &Context,
        occurrence: Occurrence,
        moved: bool,
        wanted: EventMask,
        facts: Facts,
    ) {
        let notice = Notice {
            record: self.share(),
            occurrence,
            moved,
            wanted,
            facts,
        };
        context.sink.publish(context, notice);
    }

    /// The failures in a row that count beside this word.
    #[inline]
    pub(super) fn count(&self, word: Word) -> u32 {
        match word.tally() {
            Some(tally) => tally.in_a_row(),
            None => self.count_unless_closed(word),
        }
    }

    #[cold]
    #[inline(never)]
    fn count_unless_closed(&self, word: Word) -> u32 {
        match word.before_removal() {
            Some((_, failures)) => failures,
            None => self.seen().parked.tally(word).in_a_row(),
        }
    }

    /// `now`, or the time of the last change of state if that is later: the clock of `now` may lag
    /// behind that of the change.
    pub(super) fn not_before_the_change(&self, now: u64) -> u64 {
        let change = Stamp::unpack(self.changed_at.load(Ordering::Relaxed));
        now.max(change.time.saturating_sub(1))
    }

    /// Marks events as missed; returns those that were marked before.
    pub(crate) fn miss(&self, events: EventMask) -> EventMask {
        // ORDERING: AcqRel, partner of `take_missed`: the thread that takes the mark sees
        // the change that it stands for.
        let marks = u64::from(events.0) << MISSED_SHIFT;
        missed(self.touched_and_missed.fetch_or(marks, Ordering::AcqRel))
    }

    pub(crate) fn take_missed(&self) -> EventMask {
        // ORDERING: AcqRel, partner of `miss`: the changes that the marks stand for are
        // visible, and what was read before comes before later marks.
        missed(self.touched_and_missed.fetch_and(TOUCHED, Ordering::AcqRel))
    }

    /// Whether events are marked as missed.
    pub(crate) fn has_missed(&self) -> bool {
        // Relaxed: the thread that has removed the record finds the mark, or the thread that
        // marks finds it removed, see `is_retired_by_now`.
        self.touched_and_missed.load(Ordering::Relaxed) > TOUCHED
    }
}

fn missed(touched_and_missed: u64) -> EventMask {
    EventMask((touched_and_missed >> MISSED_SHIFT) as u32)
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::circuit::record::{RecordRef, Registrant};
    use crate::sys::clock::Clock;
    use crate::sys::manual_clock::ManualClock;

    /// Mutation: `a-touch-that-forgets-what-was-missed`.
    #[test]
    fn what_was_missed_and_the_last_touch_leave_each_other_alone() {
        let context = Context::alone(Clock::Manual(ManualClock::new()));
        let mut registrant = Registrant::new(&context, "db".into());
        registrant.with(&context, None).expect("valid");
        let [record, _] = RecordRef::new(&context, &mut registrant);
        let [first, second] = [EventType::CircuitOpened, EventType::Cleanup].map(EventMask::of);
        assert!(!record.has_missed());
        assert_eq!(record.miss(first), EventMask::NONE);
        record.touch(70);
        assert_eq!(record.miss(second), first);
        assert_eq!(record.last_activity(100), 70);
        record.touch(60);
        assert_eq!(record.last_activity(100), 70, "it was later");
        assert!(record.has_missed());
        assert_eq!(record.take_missed(), first.or(second));
        assert!(!record.has_missed());
        assert_eq!(record.last_activity(100), 70);
    }
}
