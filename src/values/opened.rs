//! Why a circuit is open, or was: what is noted of its last opening, beside a word.
//!
//! A rejection copies both, and the cause is found in them when a caller asks. The other bits of
//! the note are the business of `record/last_opening.rs`, which also says who writes it.

use crate::values::cause::Cause;
use crate::values::generation::Generation;
use crate::values::state::{NEVER, Word};

/// Where the cause stands in a note of an opening. Below it is its length.
pub(crate) const CAUSE_SHIFT: u32 = NEVER.count_ones();
/// Where its generation stands.
pub(crate) const GENERATION_SHIFT: u32 = u64::BITS - Generation::BITS;

/// The note of the last opening, and a word that the same thread has read before it.
#[derive(Clone, Copy)]
pub(crate) struct Opened {
    pub(crate) entry: u64,
    pub(crate) word: Word,
}

impl Opened {
    /// Of no circuit.
    #[cfg(any(test, feature = "capi"))]
    pub(crate) const NONE: Opened = Opened {
        entry: 0,
        word: Word::NEW,
    };

    /// Why the circuit opened last. `None` if it never did, or if the thread that opened it has not
    /// written that yet.
    pub(crate) fn cause(self) -> Option<Cause> {
        let generation = Generation::from_bits(self.entry >> GENERATION_SHIFT);
        match self.word.deadline() {
            Some(_) if generation != self.word.generation() => None,
            _ => cause(self.entry),
        }
    }
}

/// The cause that a note says.
pub(crate) fn cause(entry: u64) -> Option<Cause> {
    Cause::from_bits(entry >> CAUSE_SHIFT & ((1 << Cause::BITS) - 1))
}
