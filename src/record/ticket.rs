//! What calls are given, and carry from one step to the next: tickets, waits, and
//! failures half way.
//!
//! All are plain words. What is compared or answered in the hot paths fits into a
//! register or two; an error that a person reads is made of it where somebody wants one.

use std::time::Duration;

use super::Ticket;
use crate::clock;
use crate::error::Rejected;
use crate::probes::Lease;
use crate::state::{Generation, NEVER, Word};

/// In a ticket's `place`, where no closed word has anything: so a ticket that owns
/// something takes no short way before it is [told apart](Ticket::without_possessions).
const OWNS_RECORD: u64 = Word::UNUSED & Word::UNUSED.wrapping_neg();
const OWNS_ENGINE: u64 = OWNS_RECORD << 1;
const OWNING: u64 = OWNS_RECORD | OWNS_ENGINE;
const _: () = assert!(OWNING & !Word::UNUSED == 0 && OWNING > u32::MAX as u64);

impl Ticket {
    #[inline]
    pub(super) fn to_pass(word: Word) -> Self {
        Ticket {
            place: word.mark(),
            stamp: 0,
        }
    }

    /// As if given to pass by a word with this mark.
    #[cfg(feature = "capi")]
    #[inline]
    pub(crate) fn to_pass_at(mark: u64) -> Self {
        Ticket::to_pass(Word::from_bits(mark))
    }

    pub(crate) fn of_lease(lease: Lease) -> Self {
        Ticket {
            place: Word::IMPOSSIBLE | lease.generation().in_word() | u64::from(lease.slot),
            stamp: lease.stamp,
        }
    }

    pub(crate) fn generation(self) -> Generation {
        Word::from_bits(self.place).generation()
    }

    /// The mark of the word that a ticket to pass was given by.
    #[cfg(feature = "capi")]
    #[inline]
    pub(crate) fn mark(self) -> u64 {
        Word::from_bits(self.place).mark()
    }

    pub(crate) fn lease(self) -> Option<Lease> {
        (self.stamp != 0).then_some(Lease {
            slot: self.place as u32,
            stamp: self.stamp,
        })
    }

    /// The ticket of a permit that owns a reference to its record.
    #[inline]
    pub(crate) fn with_record(self) -> Self {
        let place = self.place | OWNS_RECORD;
        Ticket { place, ..self }
    }

    /// The ticket of a permit that owns a reference to its engine.
    #[inline]
    pub(crate) fn with_engine(self) -> Self {
        let place = self.place | OWNS_ENGINE;
        Ticket { place, ..self }
    }

    #[inline]
    pub(crate) fn owns_something(self) -> bool {
        self.place & OWNING != 0
    }

    /// What there is to report, without what is owned.
    #[inline]
    pub(crate) fn without_possessions(self) -> Self {
        let place = self.place & !OWNING;
        Ticket { place, ..self }
    }

    #[inline]
    pub(crate) fn owns_record(self) -> bool {
        self.place & OWNS_RECORD != 0
    }

    #[inline]
    pub(crate) fn owns_engine(self) -> bool {
        self.place & OWNS_ENGINE != 0
    }
}

/// How long until asking again can make a difference, in ms; [`NEVER`]: it cannot.
#[derive(Clone, Copy)]
pub(crate) struct Wait(u64);

/// A wait or none, in one word: a store, where an `Option` would be two.
#[cfg(feature = "capi")]
#[derive(Clone, Copy)]
pub(crate) struct MaybeWait(u64);

#[cfg(feature = "capi")]
impl MaybeWait {
    pub(crate) const NONE: MaybeWait = MaybeWait(0);

    pub(crate) fn get(self) -> Option<Wait> {
        self.0.checked_sub(1).map(Wait)
    }

    /// For a word that is 0 where there is no wait.
    pub(crate) fn to_word(self) -> u64 {
        self.0
    }

    /// From [`MaybeWait::to_word`].
    pub(crate) fn from_word(word: u64) -> Self {
        MaybeWait(word)
    }
}

#[cfg(feature = "capi")]
impl From<Wait> for MaybeWait {
    #[inline]
    fn from(wait: Wait) -> Self {
        MaybeWait(wait.0 + 1)
    }
}

impl Wait {
    pub(super) fn until(moment: u64, now: u64) -> Self {
        Wait(if moment == NEVER {
            NEVER
        } else {
            moment.saturating_sub(now)
        })
    }

    #[inline]
    pub(crate) fn ms(self) -> Option<u64> {
        (self.0 != NEVER).then_some(self.0)
    }
}

impl From<Rejected> for Wait {
    fn from(rejected: Rejected) -> Self {
        let wait = rejected.retry_after.map(clock::millis);
        Wait(wait.map_or(NEVER, |wait| wait.min(NEVER)))
    }
}

impl From<Wait> for Rejected {
    #[inline]
    fn from(wait: Wait) -> Self {
        Rejected {
            retry_after: wait.ms().map(Duration::from_millis),
        }
    }
}

/// How far a failure has come.
#[derive(Clone, Copy)]
pub(crate) enum Begun {
    Not,
    /// Into the totals, at this time.
    Totalled(u64),
    /// All the way: so many count now.
    Done(u64),
}
