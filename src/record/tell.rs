//! What others hear of a connection.
//!
//! **Filtered at the source.** `interest` is the union of what all subscribers
//! want of this connection, kept up to date by those who subscribe. A reporter
//! loads it, on a line that it reads anyway, and is done if nobody wants to know. A
//! record that is registered while nobody listens learns it with its first report.
//!
//! **Order.** An event's sequence number is `epoch << 32 | rest`. The epoch counts
//! changes of state: it is the word's generation, continued beyond its 13 bits. So
//! a number made from a later state is larger, whichever thread was faster to tell
//! it, and the event with the largest number tells the state that holds. Within an
//! epoch the change itself comes first, then everything else as it is told; the
//! registration has the smallest number of all, the removal the largest. A
//! plain counter would not do: a thread takes its number before or after it changes
//! the word, and in both cases another one's change can come between.
//!
//! **What was missed.** A kept event that finds the ring full leaves a bit in
//! `missed`, and the record in the driver's inbox. Both sides touch the bits by
//! RMW, so no bit is lost between the driver's look and a reporter's mark. `told`
//! remembers the last state that the dispatcher told of, so that an event that
//! stands for several can say from where to where.

use super::{Happening, Record, Refusal, Stamp};
use crate::bus::{Bus, Notice};
use crate::env::Env;
use crate::event::{Cause, EventMask, EventType, Facts, Text};
use crate::state::{Generation, State, Word};
use crate::sync::{Ordering, fence, fence_after_rmw};

/// In `interest`: not learned yet, ask the subscribers. A record is found by others
/// from the moment it is in the table, and what they do to it must be told.
pub(super) const UNKNOWN: EventMask = EventMask(1);

/// In `told`: one notice of this connection that was sent. Below it, the state
/// last told.
const ANNOUNCED: u16 = 0x100;

/// Sequence numbers within an epoch that belong to the change itself.
const FOR_THE_CHANGE: u64 = 4;
/// Those of the registration, in the epoch before the first change.
const FIRST: u64 = 1;
/// Those for what is told in between; they wrap.
const TICKS: u32 = 0x7fff_ffff;
/// Those of a removed connection, for what it missed and for the removal itself.
const LAST_MISSED: u64 = 0xffff_fff0;
const LAST: u64 = 0xffff_fffc;

impl Record {
    /// Whether somebody may want one of these.
    #[inline]
    pub(crate) fn wants(&self, events: EventMask) -> bool {
        self.has_flag(events.or(UNKNOWN).bits())
    }

    #[inline]
    pub(crate) fn interest(&self) -> EventMask {
        // Relaxed: a subscriber cannot tell whether a report came before.
        EventMask(self.flags.load(Ordering::Relaxed) as u16)
    }

    /// Whether one of these flags is set.
    #[inline]
    pub(super) fn has_flag(&self, flags: u32) -> bool {
        self.flags.load(Ordering::Relaxed) & flags != 0
    }

    /// Learns what the subscribers want, once it is where they look for it, unless that
    /// is learned already.
    #[cold]
    pub(crate) fn learn_interest(&self, bus: &Bus) {
        // ORDERING: SeqCst, partner of the fence in `Engine::subscribe`: either that one
        // finds this record in the table, or this thread the subscriber.
        fence(Ordering::SeqCst);
        let mut known = self.interest();
        while known.meets(UNKNOWN) {
            let wanted = bus.interest_in(self.key());
            // Declined if a thread that has changed the subscribers since knows better.
            match self.exchange_interest(|now| (now == known).then_some(wanted)) {
                Ok(_) => return,
                Err(now) => known = now,
            }
        }
    }

    /// Somebody more wants this. For whoever holds the lock of the subscribers, who are
    /// all asked if the record has not learned yet what they want.
    pub(crate) fn add_interest(&self, mask: EventMask, bus: &Bus) {
        let known = self.interest();
        self.set_interest(if known.meets(UNKNOWN) {
            bus.interest_in(self.key())
        } else {
            known.or(mask)
        });
    }

    /// What the subscribers want, said by whoever holds their lock: so it is learned, and
    /// only by others who do that it changes.
    pub(crate) fn set_interest(&self, mask: EventMask) {
        // An exchange, as the one in `learn_interest`: they come one after the other.
        let _ = self.exchange_interest(|_| Some(mask));
    }

    /// Replaces the interest, and leaves the other flags.
    fn exchange_interest(
        &self,
        next: impl Fn(EventMask) -> Option<EventMask>,
    ) -> Result<EventMask, EventMask> {
        const MASK: u32 = 0xffff;
        let interest = |flags: u32| EventMask((flags & MASK) as u16);
        let replace = |flags| next(interest(flags)).map(|next| flags & !MASK | next.bits());
        self.flags
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, replace)
            .map(interest)
            .map_err(interest)
    }

    /// The registration or removal of the connection.
    #[inline]
    pub(crate) fn tell_of_life(&self, env: &Env, cause: Cause) {
        // ORDERING: partner of the last fence in `Engine::subscribe`: whoever has
        // subscribed, and looks, finds the connection as it is now, or is found here. A
        // removal was an exchange, and so was a registration.
        fence_after_rmw();
        if env.bus.has_audience() && self.wants(cause.mask(true)) || self.has_missed() {
            self.tell_of_life_now(env, cause);
        }
    }

    #[inline(never)]
    fn tell_of_life_now(&self, env: &Env, cause: Cause) {
        let word = self.word_now();
        let (before, after) = match word.before_removal() {
            Some((state, _)) if cause.is_removal() => (state, State::Unknown),
            _ => (State::Unknown, State::Closed),
        };
        let now = env.clock.now();
        self.tell(env, before, after, word, Happening::new(cause, now));
    }

    /// Something that happened in a state and changed nothing.
    pub(super) fn tell_unmoved(&self, env: &Env, word: Word, happening: Happening<'_>) {
        self.tell(env, word.state(), word.state(), word, happening);
    }

    /// A report that came too late is a report all the same.
    #[cold]
    pub(super) fn tell_stale(&self, env: &Env, refusal: Refusal, happening: Happening<'_>) {
        if refusal == Refusal::Stale {
            self.tell_unmoved(env, self.word_now(), happening);
        }
    }

    pub(super) fn tell(
        &self,
        env: &Env,
        before: State,
        after: State,
        word: Word,
        happening: Happening<'_>,
    ) {
        let cause = happening.cause;
        let moved = before != after;
        if moved {
            // ORDERING: as in `tell_of_life`. A change of state was an exchange.
            fence_after_rmw();
        }
        if self.interest().meets(UNKNOWN) {
            self.learn_interest(&env.bus);
        }
        let wanted = self.interest().and(cause.mask(moved));
        // The epoch goes on with every change, told or not.
        let epoch = self.epoch(word.generation());
        if wanted == EventMask::NONE {
            if cause.is_removal() && self.has_missed() {
                env.bus.settle(env, self);
            }
            return;
        }
        let facts = Facts {
            time: match moved {
                true => happening.now,
                false => self.not_before_the_change(happening.now),
            },
            sequence: if cause.is_removal() {
                epoch << 32 | LAST
            } else if cause.is_life() {
                FIRST
            } else if moved {
                epoch << 32
            } else {
                self.sequence(epoch, 2)
            },
            before,
            after,
            failures: happening.failures.unwrap_or_else(|| self.count(word)),
            expiry: match happening.deadline.or(word.deadline()) {
                Some(deadline) => self.lasting(deadline),
                None if cause.is_removal() && before == State::Open => self.last_lasting(),
                None => None,
            }
            .unwrap_or(u64::MAX),
            reason: Text::new(happening.report.reason),
            metadata: happening.report.metadata.clone(),
        };
        let notice = Notice {
            record: self.share(),
            cause,
            moved,
            wanted,
            facts,
        };
        env.bus.publish(env, self, notice);
    }

    /// The facts that hold now, for events that stand for missed ones.
    pub(crate) fn facts_now(&self, env: &Env) -> Facts {
        let word = self.word_now();
        let epoch = self.epoch(word.generation());
        Facts {
            time: env.clock.now(),
            sequence: if word.is_retired() {
                epoch << 32 | LAST_MISSED
            } else {
                self.sequence(epoch, EventType::ALL.len() as u32 + 1)
            },
            before: self.told_state(),
            after: word.state(),
            failures: self.count(word),
            expiry: word
                .deadline()
                .and_then(|deadline| self.lasting(deadline))
                .unwrap_or(u64::MAX),
            reason: Text::None,
            metadata: None,
        }
    }

    /// Failures in a row.
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

    /// `now`, or the last change of state if the clock that was read lags behind its.
    fn not_before_the_change(&self, now: u64) -> u64 {
        let change = Stamp::unpack(self.changed_at.load(Ordering::Relaxed));
        now.max(change.time.saturating_sub(1))
    }

    /// The number of changes that led to `generation`, which is the latest one
    /// or one of the last few thousand.
    fn epoch(&self, generation: Generation) -> u64 {
        let mut known = self.epoch.load(Ordering::Relaxed);
        loop {
            let last = Generation::from_bits(u64::from(known));
            if !generation.follows(last) {
                let before = last.since(generation) as u32;
                return u64::from(known.wrapping_sub(before));
            }
            let next = known.wrapping_add(generation.since(last) as u32);
            match self
                .epoch
                .compare_exchange(known, next, Ordering::Relaxed, Ordering::Relaxed)
            {
                Ok(_) => return u64::from(next),
                Err(current) => known = current,
            }
        }
    }

    /// The first of as many numbers within `epoch`, none of them the change's.
    fn sequence(&self, epoch: u64, numbers: u32) -> u64 {
        let tick = self.ticks.fetch_add(numbers, Ordering::Relaxed);
        epoch << 32 | (FOR_THE_CHANGE + u64::from(tick & TICKS))
    }

    /// A notice is about to be sent. True if that was noted, to be taken back by
    /// [`Record::unannounce`] if the notice finds no room.
    pub(crate) fn announce(&self) -> bool {
        // After so many there is no doubt.
        let note = |told: u16| (told < 64 * ANNOUNCED).then_some(told + ANNOUNCED);
        self.told
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, note)
            .is_ok()
    }

    pub(crate) fn unannounce(&self) {
        self.told.fetch_sub(ANNOUNCED, Ordering::Relaxed);
    }

    pub(crate) fn is_announced(&self) -> bool {
        self.told.load(Ordering::Relaxed) >= ANNOUNCED
    }

    /// The dispatcher is about to tell of this state.
    pub(crate) fn note_told(&self, state: State) {
        let tell = |told: u16| Some(told & !(ANNOUNCED - 1) | state as u16);
        let _ = self
            .told
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, tell);
    }

    fn told_state(&self) -> State {
        match self.told.load(Ordering::Relaxed) & (ANNOUNCED - 1) {
            2 => State::Open,
            3 => State::HalfOpen,
            // Every connection begins closed.
            _ => State::Closed,
        }
    }

    /// Marks events as missed; returns those that were marked before.
    pub(crate) fn miss(&self, events: EventMask) -> EventMask {
        // ORDERING: AcqRel, partner of `take_missed`: who takes the mark sees
        // the change it stands for.
        EventMask(self.missed.fetch_or(events.0, Ordering::AcqRel))
    }

    pub(crate) fn take_missed(&self) -> EventMask {
        // ORDERING: AcqRel, see `miss`.
        EventMask(self.missed.swap(0, Ordering::AcqRel))
    }

    /// Whether events are marked as missed.
    pub(crate) fn has_missed(&self) -> bool {
        // Relaxed: whoever has removed the record need not miss a mark, see
        // `is_retired_by_now`.
        self.missed.load(Ordering::Relaxed) != 0
    }
}
