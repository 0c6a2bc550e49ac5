//! Why a circuit is open, or was: the note of its last opening, together with a state word.
//!
//! A rejection copies both, and the cause is decoded when a caller asks for it.
//! `record/last_opening.rs` describes the other bits of the note, and says which thread writes it.

use crate::values::cause::Cause;
use crate::values::generation::Generation;
use crate::values::state::{NEVER, Word};

/// The first bit of the cause in a note. The bits below it are the length of the opening.
pub(crate) const CAUSE_SHIFT: u32 = NEVER.count_ones();
/// The first bit of the generation in a note.
pub(crate) const GENERATION_SHIFT: u32 = u64::BITS - Generation::BITS;

/// The note of the last opening, and a word that the same thread has read before it.
#[derive(Clone, Copy)]
pub(crate) struct Opened {
    pub(crate) entry: u64,
    pub(crate) word: Word,
}

impl Opened {
    /// The note and the word of no circuit.
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

/// The cause in a note; `None` if the note has none.
pub(crate) fn cause(entry: u64) -> Option<Cause> {
    Cause::from_bits(entry >> CAUSE_SHIFT & ((1 << Cause::BITS) - 1))
}
