//! Why the circuit opened last: the cause stands beside the opening's length, in `lasting`.
//!
//! The thread that opens writes it after its exchange has won. Who reads in between finds the
//! cause of an earlier opening; the low bits of the deadline say so.

use super::Record;
use super::timestamps::Opening;
use crate::sys::atomic::Ordering;
use crate::values::cause::Cause;
use crate::values::state::Word;

impl Record {
    /// Why the circuit opened last, for a thread that has read this word. `None` if it never did,
    /// or if the thread that has opened it has not written the cause yet.
    pub(super) fn cause_of(&self, word: Word) -> Option<Cause> {
        // ORDERING: Acquire, partner of the Release in `after_opening`: a thread that finds the
        // cause of an opening, and reads the word once more, finds the opening.
        let lasting = self.lasting.load(Ordering::Acquire);
        match word.deadline() {
            Some(deadline) if !Opening::is_of(lasting, deadline) => None,
            _ => Opening::cause_in(lasting),
        }
    }

    /// Why the circuit is open, if it is in this word.
    pub(super) fn opened_by(&self, word: Word) -> Option<Cause> {
        word.deadline().and_then(|_| self.cause_of(word))
    }
}
