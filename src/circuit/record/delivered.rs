//! What has been delivered of a connection: the dispatcher's side, one word, `delivered`.
//!
//! | bits | |
//! |---|---|
//! | 0 to 12 | the generation of the state that was delivered last |
//! | 13, 14 | that state; 0 before the first delivery, which counts as closed |
//! | [`HEARD`] | an event of this connection was offered to the subscribers |
//! | [`FORGOTTEN`] | no event of this connection will ever be offered |
//! | [`GONE`] | an event has said that the connection is gone |
//! | [`WARNED`] | a notice has named settings that do not apply |
//! | [`COMING`] | the thread that removes the connection reports the removal |
//! | [`ENDED`] | the dispatcher has delivered the removal by itself |
//! | [`CONCLUDED`] | the event that is the connection's last was offered |
//! | 22 to 31 | a part of the time of the last event |
//!
//! The dispatcher writes all of it except `FORGOTTEN`, `WARNED` and `COMING`.
//!
//! `HEARD` and `FORGOTTEN` exclude each other. The dispatcher sets `HEARD` before it offers the
//! first event. A thread that removes the connection sets `FORGOTTEN` if the ring is full.
//! Whichever of the two threads comes second finds the bit of the first. So if a connection came
//! and went while the ring was full, subscribers hear of its registration and of its removal, or of
//! neither.
//!
//! `COMING` and `ENDED` exclude each other likewise. A removal that no subscriber wants is
//! not reported. But the registration may still wait in the ring, and a subscriber that
//! wants both may have come when it is delivered. So after a registration the dispatcher
//! checks whether the connection is removed and `COMING` is not set. Then it delivers the
//! removal itself.
//!
//! # Outdated notices
//!
//! Notices can reach the dispatcher in another order than the changes that they report: the system
//! may stop a thread between the two for as long as it likes. The dispatcher compares generations:
//! each change of state gives a circuit a new one. (Generations wrap, so a notice that is more than
//! 4 096 changes late can pass for a current one.) A notice is *outdated* if a later state was
//! delivered, or if the latest state was. Instead of an outdated notice the dispatcher delivers
//! what holds now. So the last event of a connection is always true: either it has the latest
//! state, or the notice of the latest change, or its missed bit, is still to come.
//!
//! # Times that never run backwards
//!
//! A reporter may also be stopped after it has read the clock and before it pushes its notice. Then
//! a later event is delivered first. So the dispatcher remembers the time of the last event of a
//! connection, and gives no event an earlier one. It keeps the low 34 bits of that time, 10 here
//! and 24 in the [cold part](super::cold_fields): a record has no room for a whole word. The full
//! time is the latest one, up to now, that has these bits. That is exact for 198 days.
//!
//! Rejected: one last time for all connections of a manager. An expiry is stamped with its
//! deadline, which may be hours before the events of other connections.

use super::Record;
use super::cold_fields::ColdFields;
use crate::circuit::context::Context;
use crate::sys::atomic::{Ordering, fence};
use crate::values::event::{Facts, Text};
use crate::values::generation::Generation;
use crate::values::state::{State, Word};

const GENERATION: u32 = (1 << Generation::BITS) - 1;
const STATE_SHIFT: u32 = Generation::BITS;
const STATE: u32 = 3 << STATE_SHIFT;
const HEARD: u32 = 1 << 15;
const FORGOTTEN: u32 = 1 << 16;
const GONE: u32 = 1 << 17;
const WARNED: u32 = 1 << 18;
const COMING: u32 = 1 << 19;
const ENDED: u32 = 1 << 20;
const CONCLUDED: u32 = 1 << 21;
const TIME_SHIFT: u32 = 22;

/// How many bits of the time of the last event are kept.
const TIME_BITS: u32 = ColdFields::EVENT_TIME_BITS + u32::BITS - TIME_SHIFT;
/// No event is this many ms later than the coarse clock. More than that clock lags.
const AHEAD: u64 = 1_000;

impl Record {
    // ORDERING: Relaxed throughout, read-modify-writes of one word. What belongs to them is handed
    // over by the lock that dispatching threads take, or by the ring.

    /// Begins to offer events of this connection. Returns false if none may be offered, because the
    /// connection was forgotten.
    pub(crate) fn begin_delivery(&self) -> bool {
        if self.delivered.load(Ordering::Relaxed) & HEARD != 0 {
            return true;
        }
        let begin = |bits: u32| (bits & FORGOTTEN == 0).then_some(bits | HEARD);
        self.delivered
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, begin)
            .is_ok()
    }

    /// Forgets a removed connection for which the ring has no room: no event of it will be offered.
    /// Returns false if one was offered already.
    pub(crate) fn forget(&self) -> bool {
        let forget = |bits: u32| (bits & HEARD == 0).then_some(bits | FORGOTTEN);
        self.delivered
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, forget)
            .is_ok()
    }

    /// Claims the report of the removal, for the thread that removes. False if the
    /// dispatcher has delivered it by itself.
    pub(super) fn claim_removal(&self) -> bool {
        self.claim(COMING, ENDED)
    }

    /// Whether the dispatcher, which has delivered the registration, has to deliver the removal as
    /// well. Returns true once.
    pub(crate) fn take_removal(&self) -> bool {
        // ORDERING: SeqCst, partner of the fence in `notify_removal`: either the removing thread
        // comes later, and finds the interest of all subscribers that the registration was offered
        // to, or this thread finds the connection removed.
        fence(Ordering::SeqCst);
        self.is_retired() && self.claim(ENDED, COMING)
    }

    fn claim(&self, mine: u32, others: u32) -> bool {
        let claim = |bits: u32| (bits & (mine | others) == 0).then_some(bits | mine);
        self.delivered
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, claim)
            .is_ok()
    }

    /// Notes the state that is about to be delivered.
    pub(crate) fn note_delivered(&self, facts: &Facts) {
        let generation = facts.generation.bits() as u32;
        let state = (facts.after as u32) << STATE_SHIFT;
        let note = |bits: u32| {
            let gone = if facts.after == State::Unknown {
                GONE
            } else {
                0
            };
            Some(bits & !(GENERATION | STATE) | generation | state | gone)
        };
        let _ = self
            .delivered
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, note);
    }

    /// The time of an event that is about to be delivered and happened at `time`: not before
    /// the last one.
    pub(crate) fn time_to_deliver(&self, context: &Context, time: u64) -> u64 {
        let here = u64::from(self.delivered.load(Ordering::Relaxed) >> TIME_SHIFT);
        let known = here << ColdFields::EVENT_TIME_BITS | self.cold().event_time();
        let limit = context.clock.now().max(time) + AHEAD;
        let ago = limit.wrapping_sub(known) & ((1 << TIME_BITS) - 1);
        // Before the first event it is 0, or a multiple of 2^34.
        let last = limit.saturating_sub(ago);
        if time <= last {
            return last;
        }
        self.cold().set_event_time(time);
        let here = (time >> ColdFields::EVENT_TIME_BITS) as u32;
        if u64::from(here) != known >> ColdFields::EVENT_TIME_BITS {
            let note = |bits: u32| Some(bits & ((1 << TIME_SHIFT) - 1) | here << TIME_SHIFT);
            let _ = self
                .delivered
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, note);
        }
        time
    }

    /// The state that was delivered last.
    pub(crate) fn delivered_state(&self) -> State {
        let bits = self.delivered.load(Ordering::Relaxed);
        match (bits & STATE) >> STATE_SHIFT {
            _ if bits & GONE != 0 => State::Unknown,
            2 => State::Open,
            3 => State::HalfOpen,
            // Every connection begins closed.
            _ => State::Closed,
        }
    }

    /// Whether these facts are outdated: a later state was delivered, or the latest.
    pub(crate) fn is_outdated(&self, facts: &Facts) -> bool {
        if facts.after == State::Unknown {
            return false;
        }
        let bits = self.delivered.load(Ordering::Relaxed);
        if bits & GONE != 0 {
            return true;
        }
        let last = Generation::from_bits(u64::from(bits));
        if facts.generation == last {
            return facts.after != self.delivered_state();
        }
        let word = self.word_now();
        let is_current = facts.generation == word.generation()
            && (word.is_retired() || facts.after == word.state());
        !is_current && (word.generation() == last || last.follows(facts.generation))
    }

    /// The facts that hold now, for an event that replaces outdated or missed ones.
    pub(crate) fn facts_now(&self, context: &Context) -> Facts {
        let word = self.word_now();
        let change = self.stamp_of(context, word);
        let (expiry, opened_by) = self.opening_of(word);
        Facts {
            time: context.clock.now().max(change.time.saturating_sub(1)),
            before: self.delivered_state(),
            after: if word.is_retired() {
                State::Unknown
            } else {
                word.state()
            },
            generation: word.generation(),
            marks: self.marks(),
            failures: self.count(word),
            expiry: expiry.unwrap_or(u64::MAX),
            opened_by,
            counts: None,
            reason: Text::None,
            metadata: None,
        }
    }

    /// The facts of a registration.
    pub(crate) fn facts_of_registration(&self, time: u64) -> Facts {
        Facts {
            time,
            before: State::Unknown,
            after: State::Closed,
            generation: Word::NEW.generation(),
            marks: self.marks(),
            failures: 0,
            expiry: u64::MAX,
            opened_by: None,
            counts: None,
            reason: Text::None,
            metadata: None,
        }
    }

    /// Whether the last event of the connection was offered. A notice that comes now is late.
    pub(crate) fn has_concluded(&self) -> bool {
        self.delivered.load(Ordering::Relaxed) & CONCLUDED != 0
    }

    /// Notes that the last event of the connection is offered.
    pub(crate) fn conclude(&self) {
        self.delivered.fetch_or(CONCLUDED, Ordering::Relaxed);
    }

    /// Whether a notice has named settings that do not apply.
    pub(crate) fn has_warned(&self) -> bool {
        self.delivered.load(Ordering::Relaxed) & WARNED != 0
    }

    /// Notes that a notice names settings that do not apply. Returns true once.
    pub(crate) fn begin_warning(&self) -> bool {
        self.delivered.fetch_or(WARNED, Ordering::Relaxed) & WARNED == 0
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::circuit::record::{RecordRef, Registrant};
    use crate::sys::clock::Clock;
    use crate::sys::manual_clock::ManualClock;
    use std::time::Duration;

    /// A record whose state has changed this many times since it was registered.
    fn record_after(changes: u32) -> (Context, RecordRef) {
        let context = Context::alone(Clock::Manual(ManualClock::new()));
        let mut registrant = Registrant::new(&context, "db".into());
        registrant.with(&context, None).expect("valid");
        let [record, _] = RecordRef::new(&context, &mut registrant);
        for n in 0..changes {
            let changed = match n % 2 {
                0 => record.half_open(&context),
                _ => record.reset(&context),
            };
            changed.expect("there");
        }
        (context, record)
    }

    /// The facts of the `n`-th change.
    fn facts(record: &Record, n: u64) -> Facts {
        Facts {
            after: match n % 2 {
                0 => State::Closed,
                _ => State::HalfOpen,
            },
            generation: Generation::from_bits(n),
            ..record.facts_of_registration(0)
        }
    }

    #[test]
    fn a_notice_of_an_earlier_state_than_was_delivered_is_outdated() {
        let (_env, record) = record_after(4);
        assert!(
            !record.is_outdated(&facts(&record, 1)),
            "nothing is delivered"
        );
        record.note_delivered(&facts(&record, 2));
        assert!(record.is_outdated(&facts(&record, 1)));
        for n in [2, 3, 4] {
            assert!(!record.is_outdated(&facts(&record, n)), "{n}");
        }
    }

    /// So late that its generation seems to come after the latest one.
    #[test]
    fn any_other_notice_is_outdated_once_the_latest_state_was_delivered() {
        let (_env, record) = record_after(5_000);
        record.note_delivered(&facts(&record, 4_999));
        assert!(
            !record.is_outdated(&facts(&record, 1)),
            "the last one comes yet"
        );
        record.note_delivered(&facts(&record, 5_000));
        assert!(record.is_outdated(&facts(&record, 1)));
        assert!(!record.is_outdated(&facts(&record, 5_000)));
    }

    #[test]
    fn no_event_is_delivered_with_an_earlier_time_than_the_one_before() {
        let (context, record) = record_after(0);
        let Clock::Manual(clock) = &context.clock else {
            unreachable!("made with a manual clock")
        };
        let mut last = 0;
        // A day, a year, and some steps at which bits of the time come round.
        for step in [0, 1, 5, 1 << 24, 86_400_000, (1 << 35) - 1_001, 7, 3 << 33] {
            clock.advance(Duration::from_millis(step));
            last += step;
            assert_eq!(record.time_to_deliver(&context, last), last, "{step}");
            for earlier in [1, 17, 3_600_000] {
                let time = last.saturating_sub(earlier);
                assert_eq!(
                    record.time_to_deliver(&context, time),
                    last,
                    "{step} {earlier}"
                );
            }
        }
        assert!(
            !record.is_outdated(&facts(&record, 0)),
            "the rest is as it was"
        );
    }

    #[test]
    fn all_notices_are_outdated_once_the_connection_is_said_to_be_gone() {
        let (context, record) = record_after(1);
        assert!(record.retire());
        assert!(
            !record.is_outdated(&facts(&record, 1)),
            "the last of its life"
        );
        let gone = record.facts_now(&context);
        assert_eq!(gone.after, State::Unknown);
        record.note_delivered(&gone);
        assert!(record.is_outdated(&facts(&record, 1)));
        assert!(!record.is_outdated(&gone));
        assert_eq!(record.delivered_state(), State::Unknown);
    }
}
