//! How long the last opening was to last, and why it was: one word, `lasting`.
//!
//! | bits | |
//! |---|---|
//! | 0 to 39 | its length in ms; all ones: without an end, or not known |
//! | 40 to 42 | its cause; 0: not known |
//! | 43 | it was restored, which is by hand, whatever its cause |
//! | 44 to 50 | low bits of its deadline, which a hand may move |
//! | 51 to 63 | its generation |
//!
//! The thread that opens writes the word after its exchange has won. It may be stopped in between,
//! for so long that the circuit has closed, or opened again. So
//!
//! - a reader compares the generation, and for the length also the deadline, with the state that
//!   it has read;
//! - a writer compares, too, and leaves what belongs to a later opening or a later deadline;
//! - a thread that ends an opening of which nothing is written yet writes first that nothing is
//!   known of it. So no reader takes what is left of an earlier opening for the last one.
//!
//! A generation comes round after 8 192 changes. Two deadlines of one opening may have the same
//! low bits: before a hand moves the deadline, it makes the old ones differ from the new.
//!
//! Rejected: writing before the exchange. A thread that then loses it would leave an opening that
//! never was.

use super::transition::Change;
use super::{Happening, Record};
use crate::circuit::context::Context;
use crate::sys::atomic::Ordering;
use crate::values::cause::Cause;
use crate::values::generation::Generation;
use crate::values::opened::{self, CAUSE_SHIFT, GENERATION_SHIFT, Opened};
use crate::values::state::{self, NEVER, Word};

/// The moment of an opening, its length, and why it is.
#[derive(Clone, Copy)]
pub(super) struct Opening {
    pub(super) at: u64,
    pub(super) lasting: u64,
    pub(super) cause: Cause,
    /// It is by hand, and the cause that of an earlier one.
    pub(super) is_restored: bool,
}

impl Opening {
    pub(super) fn deadline(&self) -> u64 {
        state::deadline(self.at, self.lasting)
    }
}

/// What is written of the last opening.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Entry(u64);

/// It was restored.
const RESTORED: u64 = 1 << (CAUSE_SHIFT + Cause::BITS);
const DEADLINE_SHIFT: u32 = CAUSE_SHIFT + Cause::BITS + 1;
/// The low bits of a deadline that are kept.
const DEADLINE: u64 = (1 << (GENERATION_SHIFT - DEADLINE_SHIFT)) - 1;

impl Entry {
    fn new(word: Word, cause: u64, ms: u64) -> Self {
        let deadline = word.deadline().unwrap_or(0) & DEADLINE;
        let generation = word.generation().bits() << GENERATION_SHIFT;
        Entry(generation | deadline << DEADLINE_SHIFT | cause << CAUSE_SHIFT | ms)
    }

    /// Of the opening that this open word is.
    pub(super) fn of(word: Word, opening: Opening) -> Self {
        let restored = if opening.is_restored { RESTORED } else { 0 };
        let entry = Entry::new(word, opening.cause as u64, opening.lasting.min(NEVER));
        Entry(entry.0 | restored)
    }

    /// Nothing is known of the opening that this open word is.
    fn unknown(word: Word) -> Self {
        Entry::new(word, 0, NEVER)
    }

    /// What is written beside it belongs to this entry.
    pub(super) fn tag(self) -> u64 {
        self.0
    }

    /// With the word that the same thread has read before.
    #[inline(always)]
    pub(super) fn read_with(self, word: Word) -> Opened {
        Opened {
            entry: self.0,
            word,
        }
    }

    pub(super) fn generation(self) -> Generation {
        Generation::from_bits(self.0 >> GENERATION_SHIFT)
    }

    fn cause(self) -> Option<Cause> {
        opened::cause(self.0)
    }

    fn ms(self) -> Option<u64> {
        let ms = self.0 & NEVER;
        (ms != NEVER).then_some(ms)
    }

    fn has_deadline(self, deadline: u64) -> bool {
        self.0 >> DEADLINE_SHIFT & DEADLINE == deadline & DEADLINE
    }

    /// Whether it belongs to the opening that this word is, and to its deadline.
    fn is_of(self, word: Word) -> bool {
        let deadline = word.deadline();
        self.generation() == word.generation()
            && deadline.is_some_and(|deadline| self.has_deadline(deadline))
    }

    /// With another deadline than this one.
    fn without(self, deadline: u64) -> Self {
        match self.has_deadline(deadline) {
            true => Entry(self.0 ^ 1 << DEADLINE_SHIFT),
            false => self,
        }
    }

    /// Whether this is written later than an entry of the opening or the deadline that `change`
    /// made; `now` is the word as of now.
    fn is_later(self, change: Change, now: Word) -> bool {
        let mine = change.after.generation();
        let theirs = self.generation();
        if theirs != mine {
            return theirs.follows(mine) && !theirs.follows(now.generation());
        }
        match change.before.generation() == mine {
            // A hand has moved the deadline since.
            false => self.cause().is_some(),
            true => now.generation() == mine && now.deadline() != change.after.deadline(),
        }
    }
}

impl Record {
    pub(super) fn entry(&self) -> Entry {
        // ORDERING: Acquire, partner of the Release in `write_entry`: a thread that finds an opening
        // here, and reads the word once more, finds it there.
        Entry(self.lasting.load(Ordering::Acquire))
    }

    /// False if another thread has written something else meanwhile.
    fn write_entry(&self, before: Entry, after: Entry) -> bool {
        // ORDERING: Release, partner of the Acquire in `entry`: the word was exchanged before.
        self.lasting
            .compare_exchange(before.0, after.0, Ordering::Release, Ordering::Relaxed)
            .is_ok()
    }

    /// Writes down an opening or a new deadline that this thread has made, unless a later one is.
    pub(super) fn note_made(&self, change: Change, opening: Opening) {
        loop {
            let entry = self.entry();
            if entry.is_later(change, self.word_now())
                || self.write_entry(entry, Entry::of(change.after, opening))
            {
                return;
            }
        }
    }

    /// Writes down why a circuit opened last that was restored and is not open, unless a later
    /// opening is written down.
    pub(super) fn note_restored(&self, change: Change, cause: Option<Cause>) -> Entry {
        let restored = Entry::new(change.after, cause.map_or(0, |cause| cause as u64), NEVER);
        loop {
            let entry = self.entry();
            if entry.is_later(change, self.word_now()) || self.write_entry(entry, restored) {
                return restored;
            }
        }
    }

    /// Before this open word ends: if nothing is written of its opening, nothing is known of it.
    pub(super) fn note_end_of(&self, word: Word) {
        if word.deadline().is_none() {
            return;
        }
        loop {
            let entry = self.entry();
            // One that follows it is later: then the word has ended already.
            if entry.generation() == word.generation()
                || self.word_now() != word
                || self.write_entry(entry, Entry::unknown(word))
            {
                return;
            }
        }
    }

    /// Before a hand gives this open word another deadline: what is written is not of that one.
    pub(super) fn note_move_of(&self, word: Word, deadline: u64) {
        let entry = self.entry();
        if entry.generation() == word.generation() {
            // If it fails, what another thread has written is of no deadline to come.
            self.write_entry(entry, entry.without(deadline));
        }
    }

    /// Why the circuit opened last, for a thread that has read this word, and where that stands.
    /// `None` if it never did, or if the thread that opened it has not written that yet.
    pub(super) fn entry_and_cause(&self, word: Word) -> (Entry, Option<Cause>) {
        let entry = self.entry();
        (entry, entry.read_with(word).cause())
    }

    /// Whether a hand has made this open word. What is not written down yet is taken for a hand's,
    /// unless a failure has opened the circuit.
    pub(super) fn is_open_by_hand(&self, word: Word) -> bool {
        match self.entry_and_cause(word) {
            (entry, Some(cause)) => cause == Cause::Manual || entry.0 & RESTORED != 0,
            (_, None) => !word.is_opened_by_failure(),
        }
    }

    /// How long the opening that this word is was to last: `None` if that is not written down
    /// yet, or for ever.
    pub(super) fn lasting(&self, word: Word) -> Option<u64> {
        let entry = self.entry();
        entry.is_of(word).then(|| entry.ms()).flatten()
    }

    /// The time until the deadline of this open word, in ms, for a thread that read the clock at
    /// `now` and the word afterwards. The opening may have begun in between. So it is at most what
    /// the opening was given, plus 1: the clock that openings read is rounded up.
    pub(super) fn wait(&self, context: &Context, word: Word, now: u64) -> u64 {
        let deadline = word.deadline().unwrap_or(0);
        match self.lasting(word) {
            Some(given) => deadline.saturating_sub(now).min(given + 1),
            // It is not written down yet, or ends by hand only. A moment after the word was read
            // is no earlier than the opening.
            None => deadline.saturating_sub(context.clock.now_exact()),
        }
    }

    /// How long the last opening was to last. For a removed connection, whose word has no deadline
    /// any more.
    pub(super) fn last_lasting(&self) -> Option<u64> {
        self.entry().ms()
    }
}

impl Happening<'_> {
    /// How long the opening lasts, and why it is, if the circuit is open after this in `word`.
    pub(super) fn opening_in(&self, record: &Record, word: Word) -> (Option<u64>, Option<Cause>) {
        match self.opening {
            Some(opening) => {
                let lasting = (opening.lasting < NEVER).then_some(opening.lasting);
                (lasting, Some(opening.cause))
            }
            None => record.opening_of(word),
        }
    }
}

impl Record {
    /// How long the opening that this word is lasts, and why it is, as far as that is known.
    pub(super) fn opening_of(&self, word: Word) -> (Option<u64>, Option<Cause>) {
        match word.deadline() {
            Some(_) => (self.lasting(word), self.entry_and_cause(word).1),
            None => (None, None),
        }
    }
}
