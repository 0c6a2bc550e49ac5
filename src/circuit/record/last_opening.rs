//! The length and the cause of the last opening: one word, `lasting`.
//!
//! | bits | |
//! |---|---|
//! | 0 to 39 | its length in ms; all ones: without an end, or not known |
//! | 40 to 42 | its cause; 0: not known |
//! | 43 | it was restored, which counts as by hand, whatever its cause |
//! | 44 to 50 | low bits of its deadline, which a manual control may move |
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
//! Generations wrap after 8 192 changes. Two deadlines of one opening may have the same low bits.
//! So a manual control, before it moves the deadline, makes the old bits differ from the new.
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

/// The moment, the length and the cause of an opening.
#[derive(Clone, Copy)]
pub(super) struct Opening {
    pub(super) at: u64,
    pub(super) lasting: u64,
    pub(super) cause: Cause,
    /// The opening was restored, which counts as by hand. `cause` is that of the saved opening.
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

    /// The entry of the opening that made this open word.
    pub(super) fn of(word: Word, opening: Opening) -> Self {
        let restored = if opening.is_restored { RESTORED } else { 0 };
        let entry = Entry::new(word, opening.cause as u64, opening.lasting.min(NEVER));
        Entry(entry.0 | restored)
    }

    /// The entry of this open word if nothing is known of its opening.
    fn unknown(word: Word) -> Self {
        Entry::new(word, 0, NEVER)
    }

    /// The label of a text that belongs to this entry.
    pub(super) fn label(self) -> u64 {
        self.0
    }

    /// The entry, with the word that the same thread has read before it.
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

    /// Whether the entry belongs to the opening of this word, and to its deadline.
    fn is_of(self, word: Word) -> bool {
        let deadline = word.deadline();
        self.generation() == word.generation()
            && deadline.is_some_and(|deadline| self.has_deadline(deadline))
    }

    /// The entry, with other bits of a deadline than those of `deadline`.
    fn without(self, deadline: u64) -> Self {
        match self.has_deadline(deadline) {
            true => Entry(self.0 ^ 1 << DEADLINE_SHIFT),
            false => self,
        }
    }

    /// Whether this entry is of a later opening or deadline than `change` has made; `now` is the
    /// present word.
    fn is_later(self, change: Change, now: Word) -> bool {
        let mine = change.after.generation();
        let theirs = self.generation();
        if theirs != mine {
            return theirs.follows(mine) && !theirs.follows(now.generation());
        }
        match change.before.generation() == mine {
            // The deadline was moved by hand since.
            false => self.cause().is_some(),
            true => now.generation() == mine && now.deadline() != change.after.deadline(),
        }
    }
}

impl Record {
    pub(super) fn entry(&self) -> Entry {
        // ORDERING: Acquire, partner of the Release in `write_entry`: a thread that finds an
        // opening here, and reads the word once more, finds it there.
        Entry(self.lasting.load(Ordering::Acquire))
    }

    /// Replaces the entry. Returns false if another thread has replaced it meanwhile.
    fn write_entry(&self, before: Entry, after: Entry) -> bool {
        // ORDERING: Release, partner of the Acquire in `entry`: the word was exchanged before.
        self.lasting
            .compare_exchange(before.0, after.0, Ordering::Release, Ordering::Relaxed)
            .is_ok()
    }

    /// Writes down an opening or a new deadline that this thread has made, unless a later one is
    /// written down.
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

    /// Writes down why a restored circuit that is not open opened last, unless a later opening is
    /// written down.
    pub(super) fn note_restored(&self, change: Change, cause: Option<Cause>) -> Entry {
        let restored = Entry::new(change.after, cause.map_or(0, |cause| cause as u64), NEVER);
        loop {
            let entry = self.entry();
            if entry.is_later(change, self.word_now()) || self.write_entry(entry, restored) {
                return restored;
            }
        }
    }

    /// Before this open word ends, writes down that nothing is known of its opening, unless the
    /// opening is written down.
    pub(super) fn note_end_of(&self, word: Word) {
        if word.deadline().is_none() {
            return;
        }
        loop {
            let entry = self.entry();
            // If the entry is of a later opening, the word has ended already.
            if entry.generation() == word.generation()
                || self.word_now() != word
                || self.write_entry(entry, Entry::unknown(word))
            {
                return;
            }
        }
    }

    /// Makes the entry differ from `deadline`, before a manual control gives this open word that
    /// deadline.
    pub(super) fn note_move_of(&self, word: Word, deadline: u64) {
        let entry = self.entry();
        if entry.generation() == word.generation() {
            // If this fails, another thread has written an entry, and not of a deadline to come.
            self.write_entry(entry, entry.without(deadline));
        }
    }

    /// The entry and the cause of the last opening, for a thread that has read this word. No cause
    /// if the circuit never opened, or if the thread that opened it has not written the entry yet.
    pub(super) fn entry_and_cause(&self, word: Word) -> (Entry, Option<Cause>) {
        let entry = self.entry();
        (entry, entry.read_with(word).cause())
    }

    /// Whether this open word was made by hand. An opening that is not written down yet counts as
    /// by hand, unless a failure has opened the circuit.
    pub(super) fn is_open_by_hand(&self, word: Word) -> bool {
        match self.entry_and_cause(word) {
            (entry, Some(cause)) => cause == Cause::Manual || entry.0 & RESTORED != 0,
            (_, None) => !word.is_opened_by_failure(),
        }
    }

    /// The length of this word's opening. `None` if it is not written down yet, or has no end.
    pub(super) fn lasting(&self, word: Word) -> Option<u64> {
        let entry = self.entry();
        entry.is_of(word).then(|| entry.ms()).flatten()
    }

    /// The time until the deadline of this open word, in ms, for a thread that read the clock at
    /// `now` and the word afterwards. The opening may have begun in between. So the result is at
    /// most the opening's length plus 1: the clock that openings read is rounded up.
    pub(super) fn wait(&self, context: &Context, word: Word, now: u64) -> u64 {
        let deadline = word.deadline().unwrap_or(0);
        match self.lasting(word) {
            Some(given) => deadline.saturating_sub(now).min(given + 1),
            // The length is not written down yet, or the opening has no end. A clock that is read
            // after the word shows no moment before the opening.
            None => deadline.saturating_sub(context.clock.now_exact()),
        }
    }

    /// The length of the last opening. For a removed connection, whose word has no deadline any
    /// more.
    pub(super) fn last_lasting(&self) -> Option<u64> {
        self.entry().ms()
    }
}

impl Happening<'_> {
    /// The length and the cause of the opening, if the circuit is open in `word`, which this has
    /// led to.
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
    /// The length and the cause of this word's opening, as far as they are known.
    pub(super) fn opening_of(&self, word: Word) -> (Option<u64>, Option<Cause>) {
        match word.deadline() {
            Some(_) => (self.lasting(word), self.entry_and_cause(word).1),
            None => (None, None),
        }
    }
}
