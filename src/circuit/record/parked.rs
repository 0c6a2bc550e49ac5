//! The tally of a circuit that is not closed: parked beside the word.
//!
//! ```text
//!    63        62 … 50     49 … 40   39 … 0
//! ┌────────┬────────────┬─────────┬────────┐
//! │ sealed │ generation │ serial  │ tally  │
//! └────────┴────────────┴─────────┴────────┘
//! ```
//!
//! Two words cannot change in one step. So the parked word is only a part of the answer, and one
//! pure function of both words, [`Parked::tally`], says which failures count:
//!
//! | the word | the failures that count |
//! |---|---|
//! | closed | its own tally; what is parked means nothing |
//! | opened by a failure | the parked ones and that failure, if what is parked is of an earlier generation; otherwise the parked ones |
//! | probing, with a success that cleared them | none |
//! | a ramp | none, or the failure that was reported last |
//! | closing, and forgetting | none |
//! | otherwise | the parked ones |
//!
//! A thread that changes the state first rewrites what is parked so that **this answer stays the
//! same**, and then exchanges the word. To leave *closed* it parks the word's tally
//! ([`Parked::with`]). To leave another state it writes out what the table adds
//! ([`Parked::settled`]).
//!
//! A circuit is *closed* in two steps. The exchange of the word for a *closing* one decides. From
//! then on no thread takes the count of the open state: a thread that finds the word *closing*
//! finishes it. A reporter that still sees the open word may change what is parked at the same
//! time. So the thread that finishes the closing *seals* what is parked, which makes that
//! reporter's exchange fail, and only then moves the tally into the word. No thread waits for one
//! that is stopped between the steps, and every failure is counted once, before the closing or
//! after it.
//!
//! A circuit becomes *half-open* by the exchange of the word alone. A reporter that still sees the
//! open word may change what is parked afterwards, and changes nothing else. Its report counts as
//! earlier than the change, as long as no thread has read the count of the half-open circuit. So
//! the first thread that reads this count *takes over* what is parked: it writes the word's
//! generation there, which makes the exchange of such a reporter fail ([`Parked::taken_over`]).
//!
//! Every thread reads the parked word before the state word and once more after it, so that both
//! are of one moment. It writes the parked word by an exchange with the value that it read. So a
//! write that succeeds was decided from a state word at least as new as what it replaces. Each
//! write increments the serial, so that an equal value is not mistaken for an untouched one. (The
//! serial wraps after 1024 writes, which would have to fall between two instructions of another
//! thread.)
//!
//! Rejected: closing by one exchange of the word, after a mark in what is parked. A thread that
//! helps to finish that cannot be distinguished from one that closes the circuit a second time.
//! Adding the failure that opens the circuit after the exchange: a closing, and a success after it,
//! can come in between, and the failure is lost. A count of references, or a lock, for the threads
//! that change both words: a thread that is stopped would hold it.

use super::Record;
use crate::sys::atomic::Ordering;
use crate::values::generation::Generation;
use crate::values::state::{Closing, Word};
use crate::values::tally::Tally;

const TALLY_MASK: u64 = (1 << Tally::BITS) - 1;
const SERIAL_SHIFT: u32 = Tally::BITS;
const SERIAL_MASK: u64 = 0x3ff;
const GENERATION_SHIFT: u32 = SERIAL_SHIFT + 10;
const SEALED: u64 = 1 << (GENERATION_SHIFT + Generation::BITS);

const _: () = assert!(SEALED == 1 << 63);

/// The parked word, as read at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Parked(u64);

/// Both words, as they were read.
#[derive(Clone, Copy)]
pub(super) struct Seen {
    /// Read first.
    pub(super) parked: Parked,
    pub(super) word: Word,
}

impl Parked {
    pub(super) const NEW: Parked = Parked(0);

    fn stored(self) -> Tally {
        Tally::from_bits(self.0 & TALLY_MASK)
    }

    fn generation(self) -> Generation {
        Generation::from_bits(self.0 >> GENERATION_SHIFT)
    }

    pub(super) fn bits(self) -> u64 {
        self.0
    }

    /// The failures that count, beside this word.
    pub(super) fn tally(self, word: Word) -> Tally {
        if let Some(tally) = word.tally() {
            return tally;
        }
        if word.is_opened_by_failure() && self.generation() != word.generation() {
            return self.stored().plus_failure();
        }
        if let Some(failures) = word.failures_in_ramp() {
            // Once it is of the ramp's generation, a failure of the ramp may be written out.
            let mine = match self.generation() == word.generation() {
                true => self.stored(),
                false => self.stored().cleared(),
            };
            return match failures > 0 {
                true if mine.is_empty() => mine.plus_failure(),
                true => mine,
                false => mine.cleared(),
            };
        }
        match word.has_cleared() || word.is_closing().is_some_and(Closing::forgets) {
            true => self.stored().cleared(),
            false => self.stored(),
        }
    }

    /// The next parked word, with `tally`, which is all that counts beside `word`, written out. For
    /// a word that leaves *closed*, and for an open one that stays open while its count changes.
    pub(super) fn with(self, word: Word, tally: Tally) -> Parked {
        self.next(word.generation(), tally)
    }

    /// The parked word with all that counts written out, for a word that leaves another state;
    /// unchanged if nothing has to be written out.
    pub(super) fn settled(self, word: Word) -> Parked {
        let tally = self.tally(word);
        let by_failure = word.is_opened_by_failure() && self.generation() != word.generation();
        if tally == self.stored() && !by_failure {
            return self;
        }
        self.next(word.generation(), tally)
    }

    /// The parked word, taken over by `word` if that is half-open; unchanged if it was taken over
    /// before.
    fn taken_over(self, word: Word) -> Parked {
        if !word.is_half_open() || self.generation() == word.generation() {
            return self;
        }
        let tally = match word.is_ramp() {
            true => self.stored().cleared(),
            false => self.stored(),
        };
        self.next(word.generation(), tally)
    }

    /// The parked word, sealed for a closing `word`: no other thread writes it until the word is
    /// closed.
    pub(super) fn sealed(self, word: Word) -> Parked {
        debug_assert!(word.is_closing().is_some());
        if self.0 & SEALED != 0 && self.generation() == word.generation() {
            return self;
        }
        Parked(self.next(word.generation(), self.stored()).0 | SEALED)
    }

    fn next(self, generation: Generation, tally: Tally) -> Parked {
        let serial = (self.0 >> SERIAL_SHIFT).wrapping_add(1) & SERIAL_MASK;
        Parked(generation.bits() << GENERATION_SHIFT | serial << SERIAL_SHIFT | tally.bits())
    }
}

impl Record {
    /// Both words as they were at one moment. What is parked beside a half-open word is taken
    /// over.
    pub(super) fn seen(&self) -> Seen {
        // ORDERING: Acquire, partner of the Release in `park`, and so that the word is read
        // between both reads: a parked word is never read together with a state word that is
        // older than the one it was decided from, nor with one that came after what
        // has replaced it. A report that finds nothing to change relies on that.
        let mut bits = self.cold().parked.load(Ordering::Acquire);
        loop {
            let word = self.word_now();
            let again = self.cold().parked.load(Ordering::Acquire);
            if again != bits {
                bits = again;
                continue;
            }
            let seen = Seen {
                parked: Parked(bits),
                word,
            };
            let taken_over = seen.parked.taken_over(word);
            if taken_over == seen.parked {
                return seen;
            }
            // Whether it succeeds or another thread was faster: what is parked is read again.
            self.park(seen, taken_over);
            // ORDERING: Acquire, partner of the Release in `park`, which may have been another
            // thread's; and the word is read after it, in the next round.
            bits = self.cold().parked.load(Ordering::Acquire);
        }
    }

    /// Replaces what is parked, if it still is what was seen. True, too, if there is nothing to
    /// replace.
    pub(super) fn park(&self, seen: Seen, next: Parked) -> bool {
        if next == seen.parked {
            return true;
        }
        // ORDERING: Release, partner of the Acquire in `seen`: a thread that finds this finds the
        // state word that it was decided from, or a later one. AcqRel, since the count of a failure
        // also publishes the window that the failure's time goes to.
        self.cold()
            .parked
            .compare_exchange(
                seen.parked.bits(),
                next.bits(),
                Ordering::AcqRel,
                Ordering::Relaxed,
            )
            .is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::values::state::OpenedBy;
    use crate::values::tally::Position;

    fn closed(failures: u32) -> Word {
        Word::NEW.with_tally(Tally::plain(failures))
    }

    fn failures(parked: Parked, word: Word) -> u32 {
        parked.tally(word).in_a_row()
    }

    #[test]
    fn a_failure_that_opens_counts_once_before_and_after_it_is_written_out() {
        let word = closed(4);
        let parked = Parked::NEW.with(word, word.tally().expect("closed"));
        let open = word.opened(OpenedBy::Failure, 100);
        assert_eq!(failures(parked, open), 5);
        let settled = parked.settled(open);
        assert_ne!(settled, parked);
        assert_eq!(failures(settled, open), 5);
        assert_eq!(settled.settled(open), settled, "only once");
        assert_eq!(failures(settled, open.probing()), 5);
    }

    #[test]
    fn an_opening_by_hand_is_no_failure() {
        let word = closed(2);
        let parked = Parked::NEW.with(word, word.tally().expect("closed"));
        let open = word.opened(OpenedBy::Other, 100);
        assert_eq!(failures(parked, open), 2);
        assert_eq!(parked.settled(open), parked);
    }

    #[test]
    fn a_failed_probe_adds_itself_to_what_is_parked() {
        let word = closed(4);
        let parked = Parked::NEW.with(word, word.tally().expect("closed"));
        let open = word.opened(OpenedBy::Failure, 100);
        let parked = parked.settled(open);
        let again = open.probing().opened(OpenedBy::Failure, 200);
        assert_eq!(failures(parked, again), 6);
    }

    #[test]
    fn a_successful_probe_voids_what_is_parked() {
        let word = closed(4);
        let parked = Parked::NEW.with(word, word.tally().expect("closed"));
        let probing = word
            .opened(OpenedBy::Other, 100)
            .probing()
            .with_success(true);
        assert_eq!(failures(parked, probing), 0);
        let settled = parked.settled(probing);
        assert_eq!(failures(settled, probing.opened(OpenedBy::Other, 1)), 0);
    }

    #[test]
    fn a_successful_probe_that_clears_nothing_leaves_what_is_parked() {
        let word = closed(4);
        let parked = Parked::NEW.with(word, word.tally().expect("closed"));
        let probing = word.opened(OpenedBy::Other, 100).probing();
        let once = probing.with_success(false);
        assert_eq!(failures(parked, once), 4);
        assert_eq!(failures(parked, once.with_success(false)), 4);
        let cleared = once.with_success(true);
        assert_eq!(failures(parked, cleared), 0);
        assert_eq!(failures(parked, cleared.with_success(false)), 0, "for good");
        let recovered = once.closing(Closing::Forgetting);
        assert_eq!(failures(parked.settled(once), recovered), 0);
    }

    #[test]
    fn a_closing_takes_all_that_is_parked_or_nothing() {
        let word = closed(3);
        let parked = Parked::NEW.with(word, word.tally().expect("closed"));
        let open = word.opened(OpenedBy::Failure, 100);
        let settled = parked.settled(open);
        let closing = open.closing(Closing::Keeping);
        assert_eq!(failures(settled, closing), 4);
        // A failure that has seen the open word.
        let late = settled.with(open, settled.tally(open).plus_failure());
        assert_eq!(failures(late, closing), 5);
        let sealed = late.sealed(closing);
        assert_ne!(sealed, late, "an exchange by another thread fails");
        assert_eq!(sealed.sealed(closing), sealed);
        assert_eq!(failures(sealed, closing), 5);
        assert_eq!(failures(sealed, open.closing(Closing::Forgetting)), 0);
    }

    #[test]
    fn a_half_open_circuit_takes_over_once() {
        let word = closed(2);
        let parked = Parked::NEW.with(word, word.tally().expect("closed"));
        let open = word.opened(OpenedBy::Other, 100);
        assert_eq!(parked.taken_over(open), parked, "it is not half-open");
        let probing = open.probing();
        let taken_over = parked.taken_over(probing);
        assert_ne!(taken_over, parked);
        assert_eq!(failures(taken_over, probing), 2);
        assert_eq!(taken_over.taken_over(probing), taken_over);
        let opened = probing.opened(OpenedBy::Failure, 100);
        assert_eq!(
            failures(taken_over, opened),
            3,
            "it is of an earlier generation"
        );
    }

    #[test]
    fn a_seal_is_of_one_closing() {
        let closing = closed(3).probing().closing(Closing::Keeping);
        let sealed = Parked::NEW.sealed(closing);
        let again = closing.closed(Tally::NONE, false).probing();
        assert_ne!(sealed.sealed(again.closing(Closing::Keeping)), sealed);
    }

    /// What a thread writes before it exchanges the word of a ramp, and what counts then.
    #[test]
    fn what_counts_beside_a_ramp_stays_the_same() {
        let timed = Tally::empty_at(Position::ZERO)
            .plus_failure()
            .plus_failure();
        for before in [Tally::NONE, Tally::plain(4), timed] {
            let word = Word::NEW.with_tally(before);
            let parked = Parked::NEW.with(word, before);
            let open = word.opened(OpenedBy::Failure, 100);
            let probing = open.probing();
            let parked = parked.settled(open).taken_over(probing);
            for (probing, failed) in [
                (probing, false),
                (probing, true),
                (probing.with_success(true), true),
                (probing.with_success(false), true),
            ] {
                let parked = parked.settled(probing);
                let ramp = probing.ramping(100).with_report_in_ramp(failed);
                let count = u32::from(failed);
                assert_eq!(failures(parked, ramp), count);
                let parked = parked.taken_over(ramp);
                assert_eq!(failures(parked, ramp), count, "taken over");
                let settled = parked.settled(ramp);
                assert_eq!(failures(settled, ramp), count, "settled");
                assert_eq!(settled.settled(ramp), settled, "only once");
                let by_hand = ramp.opened(OpenedBy::Other, 200);
                assert_eq!(failures(settled, by_hand), count);
                assert_eq!(failures(settled, ramp.closing(Closing::Keeping)), count);
                for closing in [Closing::Forgetting, Closing::AfterRamp] {
                    let closing = ramp.closing(closing);
                    assert_eq!(failures(settled.sealed(closing), closing), 0);
                }
                let parked = parked.with(ramp, parked.tally(ramp));
                let by_failure = ramp.opened(OpenedBy::Failure, 200);
                assert_eq!(failures(parked, by_failure), count + 1);
            }
        }
    }

    #[test]
    fn positions_go_on_while_the_tally_is_parked() {
        let word = Word::NEW.with_tally(Tally::empty_at(Position::ZERO).plus_failure());
        let parked = Parked::NEW.with(word, word.tally().expect("closed"));
        let open = word.opened(OpenedBy::Failure, 100);
        let tally = parked.tally(open);
        assert_eq!(tally.timed().expect("timed").next, Position::ZERO.plus(2));
        let more = parked.with(open, tally.plus_failure());
        assert_eq!(failures(more, open), 3);
    }
}
