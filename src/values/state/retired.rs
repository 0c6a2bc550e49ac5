//! The state word of a connection that was removed: final.
//!
//! It keeps the generation, and in its payload the mode (3 bits) and the failures in a row (32)
//! that it had before. Tickets have the same mode. The bits in the place of the trips distinguish
//! the two.

use super::{MODE_SHIFT, PAYLOAD_BITS, RETIRED, State, Word};

const COUNT_BITS: u32 = 32;

/// Stands in the place of a retired word's trips. As a ticket's kind it would mean that the ticket
/// owns an engine and no record. No ticket does.
const RETIRED_KIND: u64 = 1 << (MODE_SHIFT - 3);

impl Word {
    #[inline]
    pub(crate) fn is_retired(self) -> bool {
        self.mode() == RETIRED
    }

    /// The state and the failures in a row before the removal. `None` if the connection is not
    /// removed.
    pub(crate) fn before_removal(self) -> Option<(State, u32)> {
        self.is_retired().then(|| {
            let mode = self.payload() >> COUNT_BITS;
            (Word(mode << MODE_SHIFT).state(), self.payload() as u32)
        })
    }

    /// The connection is removed; `failures` were counted in a row. Final.
    #[must_use]
    #[inline]
    pub(crate) fn retired(self, failures: u32) -> Word {
        let mode = self.mode() << COUNT_BITS;
        Word(
            RETIRED << MODE_SHIFT
                | RETIRED_KIND
                | self.generation().bits() << PAYLOAD_BITS
                | mode
                | u64::from(failures),
        )
    }
}
