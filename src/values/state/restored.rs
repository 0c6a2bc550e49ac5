//! Words of restored circuits: a transition from any state to any other, with trips of its own.
//!
//! Each has a generation of its own, even where the state stays the same. So permits that are out
//! are stale, as after a change by hand.

use super::{CLOSED, OPEN, PROBING, Word};
use crate::values::state::NEVER;
use crate::values::tally::Tally;

impl Word {
    /// Closed, with this tally.
    #[must_use]
    pub(crate) fn restored_closed(self, trips: u32, tally: Tally, watched: bool) -> Word {
        debug_assert!(self.tally().is_some(), "another state closes first");
        self.moved(CLOSED, trips, tally.bits()).watched(watched)
    }

    /// Open until `deadline`. A tally must have been parked.
    #[must_use]
    pub(crate) fn restored_open(self, trips: u32, deadline: u64) -> Word {
        self.moved(OPEN, trips, deadline.min(NEVER))
    }

    /// Half-open, with no success. A tally must have been parked.
    #[must_use]
    pub(crate) fn restored_half_open(self, trips: u32) -> Word {
        self.moved(PROBING, trips, 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::values::state::{OpenedBy, State};

    #[test]
    fn a_restored_word_has_a_generation_of_its_own_and_the_trips_that_were_saved() {
        let closed = Word::NEW.with_tally(Tally::plain(3));
        let open = closed.opened(OpenedBy::Failure, 70);
        for before in [closed, closed.watched(true), open, open.probing()] {
            let restored = before.restored_open(255, 90);
            assert_eq!((restored.state(), restored.trips()), (State::Open, 255));
            assert_eq!(restored.deadline(), Some(90));
            assert!(!restored.is_opened_by_failure(), "nothing is to be added");
            assert_eq!(restored.generation(), before.generation().next());
            let restored = before.restored_half_open(7);
            assert_eq!((restored.successes(), restored.trips()), (Some(0), 7));
            assert_eq!(restored.generation(), before.generation().next());
        }
        for watched in [false, true] {
            let restored = closed.restored_closed(2, Tally::plain(4), watched);
            assert_eq!((restored.state(), restored.trips()), (State::Closed, 2));
            assert_eq!(restored.tally().map(Tally::in_a_row), Some(4));
            assert_eq!(restored.is_watched(), watched);
            assert_eq!(restored.generation(), closed.generation().next());
        }
        assert_eq!(open.restored_open(1, u64::MAX).deadline(), Some(NEVER));
    }
}
