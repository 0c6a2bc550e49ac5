//! Two packed words beside the state word: when the state changed last, and, in the cold part, when
//! the circuit opened last before that. The first carries the generation that it belongs to, so
//! that a reader can tell whether it goes with the word it saw.
//!
//! # One change, one stamp
//!
//! The thread that changes the word writes the stamp afterwards, and may be stopped in between. So
//! any thread that needs the stamp of the present word writes it if it is missing
//! ([`Record::stamp_of`]), and the first thread that writes decides the time. The times of one
//! connection never go back, although the coarse clock lags behind the exact one of openings: the
//! generations decide which change is later.
//!
//! **The last opening.** While the stamp is that of an opening, it says when the circuit opened.
//! The thread that replaces such a stamp first copies its time to the cold part. So a reader finds
//! the time in one place or the other. The thread that ends an opening which has no stamp yet gives
//! it one first. If two threads were stopped, the stamp may be that of a later change already; then
//! the thread that opened writes the time to the cold part itself.
//!
//! A thread that was stopped for more than 4 096 changes has a generation that seems to come after
//! the last one. That generation also seems to come after the word's, which no real change's does:
//! so such a thread writes no stamp.
//!
//! Rejected: the time of the opening as a word of its own, written before the stamp. Of two threads
//! that write the same stamp, the later one would leave its own time in that word.

use super::Record;
use super::transition::Change;
use crate::circuit::context::Context;
use crate::sys::atomic::{Ordering, modelled};
use crate::values::generation::Generation;
use crate::values::state::{NEVER, Word};

/// A change of state: its time, as stored, and what it led to. The first one is
/// the registration, which is no change.
#[derive(Clone, Copy)]
pub(super) struct Stamp {
    pub(super) time: u64,
    pub(super) generation: Generation,
    pub(super) kind: Kind,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Registration,
    /// A registration that has opened the circuit.
    OpenRegistration,
    Opening,
    Other,
}

impl Kind {
    fn is_opening(self) -> bool {
        matches!(self, Kind::Opening | Kind::OpenRegistration)
    }

    /// Whether the state has not changed since the registration.
    pub(super) fn is_registration(self) -> bool {
        matches!(self, Kind::Registration | Kind::OpenRegistration)
    }
}

const REGISTRATION: u64 = 1 << 63;
const OPENING: u64 = 1 << 62;

impl Stamp {
    pub(super) fn pack(self) -> u64 {
        let kind = match self.kind {
            Kind::Registration => REGISTRATION,
            Kind::OpenRegistration => REGISTRATION | OPENING,
            Kind::Opening => OPENING,
            Kind::Other => 0,
        };
        kind | self.time << Generation::BITS | self.generation.bits()
    }

    pub(super) fn unpack(bits: u64) -> Self {
        Stamp {
            time: (bits & !(REGISTRATION | OPENING)) >> Generation::BITS,
            generation: Generation::from_bits(bits),
            kind: match (bits & REGISTRATION, bits & OPENING) {
                (0, 0) => Kind::Other,
                (0, _) => Kind::Opening,
                (_, 0) => Kind::Registration,
                _ => Kind::OpenRegistration,
            },
        }
    }
}

impl Record {
    /// Writes down when the change of state was, unless that is written already, and returns the
    /// moment that stands for it from now on, in its stamp and in its events.
    pub(super) fn note_change(&self, context: &Context, change: Change, now: u64) -> u64 {
        let Change { before, after } = change;
        if let Some(deadline) = before.deadline()
            && before.generation() != after.generation()
            && before.generation().follows(self.last_stamp().generation)
        {
            // No later than the end of the opening, which may have been long ago.
            self.note(before, context.clock.now_upper().min(deadline));
        }
        self.note(after, now)
    }

    /// The stamp of a word that was just read, or a later one.
    pub(super) fn stamp_of(&self, context: &Context, word: Word) -> Stamp {
        let last = self.last_stamp();
        if !word.state_generation().follows(last.generation) {
            return last;
        }
        let now = context.clock.now_upper();
        self.note(word, now.min(word.deadline().unwrap_or(NEVER)));
        self.last_stamp()
    }

    /// When the circuit was opened last, as stored, for a thread that has read the stamp.
    pub(super) fn last_opening(&self, stamp: Stamp) -> u64 {
        let kept = self.cold().opened();
        match stamp.kind.is_opening() {
            true => kept.max(stamp.time),
            false => kept,
        }
    }

    fn last_stamp(&self) -> Stamp {
        // ORDERING: Acquire, partner of the Release in `note`: with a stamp come the opening
        // that was kept before it, and a word of its generation or a later one.
        Stamp::unpack(self.changed_at.load(Ordering::Acquire))
    }

    fn note(&self, word: Word, now: u64) -> u64 {
        let generation = word.state_generation();
        let kind = match word.deadline() {
            Some(_) => Kind::Opening,
            None => Kind::Other,
        };
        let mut last = self.last_stamp();
        loop {
            if generation == last.generation {
                return last.time.saturating_sub(1);
            }
            let is_present = !generation.follows(self.word_now().generation());
            if !generation.follows(last.generation) || !is_present {
                let mut time = last.time.min(now + 1);
                if kind.is_opening() {
                    time = self.cold().keep_opening(time).min(last.time);
                }
                return time.saturating_sub(1);
            }
            if last.kind.is_opening() {
                self.cold().keep_opening(last.time);
            }
            let stamp = Stamp {
                time: last.time.max(now + 1),
                generation,
                kind,
            };
            // ORDERING: Release, partner of the Acquire in `last_stamp`, and here.
            match self.changed_at.compare_exchange(
                last.pack(),
                stamp.pack(),
                Ordering::Release,
                Ordering::Acquire,
            ) {
                Ok(_) => return stamp.time - 1,
                Err(current) => last = Stamp::unpack(current),
            }
        }
    }
}

modelled! {
    impl Record {
        /// The trips and the last opening that `status` would return. The rest of it takes models
        /// too long.
        pub(crate) fn trips_and_opening(&self, context: &Context) -> (u32, u64) {
            let word = self.word_now();
            let opening = self.last_opening(self.stamp_of(context, word));
            match self.word_now() == word {
                true => (word.trips(), opening),
                false => self.trips_and_opening(context),
            }
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests;
