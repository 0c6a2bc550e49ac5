//! State words that were set by hand: at registration, or while the mode was disabled.

use super::half_open::HELD;
use super::{NEVER, OPEN, PROBING, Word};

impl Word {
    /// The word of a circuit that is open from the beginning, and has no trips.
    #[must_use]
    pub(crate) fn born_open(deadline: u64) -> Word {
        Word::NEW.moved(OPEN, 0, deadline)
    }

    /// The open circuit in a new generation. It is no new opening. An exchange that expects the
    /// earlier word fails.
    #[must_use]
    pub(crate) fn reopened(self, deadline: u64) -> Word {
        debug_assert!(self.deadline().is_some());
        self.moved(OPEN, self.trips(), deadline.min(NEVER))
    }

    /// Half-open and held by hand: it admits probes as soon as the circuit is enabled, and enabling
    /// does not close it.
    #[must_use]
    pub(crate) fn held_half_open(self) -> Word {
        match self.successes() {
            Some(_) => Word(self.0 | HELD),
            None => self.moved(PROBING, self.trips(), HELD),
        }
    }

    /// Whether it was made half-open by hand while the mode was disabled.
    pub(crate) fn is_held_half_open(self) -> bool {
        self.successes().is_some() && self.0 & HELD != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::values::state::State;

    #[test]
    fn a_circuit_that_is_born_open_has_never_been_closed_before_it_has_trips() {
        let word = Word::born_open(NEVER);
        assert_eq!((word.state(), word.trips()), (State::Open, 0));
        assert_eq!(word.deadline(), Some(NEVER));
        assert!(word.generation().follows(Word::NEW.generation()));
        assert!(!word.is_opened_by_failure());
    }

    #[test]
    fn a_half_open_word_says_that_a_hand_holds_it_until_a_success() {
        let open = Word::born_open(7);
        let held = open.held_half_open();
        assert!(held.is_held_half_open() && !held.has_cleared());
        assert_eq!(held.successes(), Some(0));
        assert_eq!(held.generation(), open.probing().generation());
        let by_expiry = open.probing();
        assert!(!by_expiry.is_held_half_open());
        assert_eq!(by_expiry.held_half_open(), held, "no other state");
        assert!(!held.with_success(true).is_held_half_open());
        assert!(held.departing().is_held_half_open());
    }
}
