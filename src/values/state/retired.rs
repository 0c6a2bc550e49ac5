//! The state word of a connection that was removed: final.
//!
//! It keeps the generation, and in its payload the mode (3 bits) and the failures in a row (32) that
//! it had before. Its mode is that of tickets, so the place of the trips distinguishes the two.

use super::{MODE_SHIFT, PAYLOAD_BITS, RETIRED, State, Word};

const COUNT_BITS: u32 = 32;

/// In the place of a retired word's trips. As a ticket's kind: it owns an engine and no record,
/// which none does.
const RETIRED_KIND: u64 = 1 << (MODE_SHIFT - 3);

impl Word {
    #[inline]
    pub(crate) fn is_retired(self) -> bool {
        self.mode() == RETIRED
    }

    /// Of a removed connection: the state and the failures in a row before.
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
