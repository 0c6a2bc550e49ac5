//! The tally: the failures that a circuit counts, as a value of 40 bits.
//!
//! ```text
//!   39      38 … 17              16 … 0
//! ┌───────┬────────────────────┬───────────────────────────┐
//! │ timed │ position, or digit │ failures in a row, or digit│
//! └───────┴────────────────────┴───────────────────────────┘
//! ```
//!
//! A *plain* tally is a number of failures in a row. A *timed* one also says where the times of
//! these failures are: at the `count` positions before `position` in the circuit's ring
//! of failure times ([`sliding_window`](crate::structures::sliding_window)). A failure takes the
//! next position by the same exchange that counts it. A success takes none and sets the count to
//! zero. So one exchange decides in which order failures, successes and changes of state come, for
//! the count and for the window alike.
//!
//! Positions only move on, and a timed tally stays timed. So a tally that a thread read a while ago
//! is never mistaken for the present one. (Positions wrap after 2²² failures. A thread would have
//! to be stopped between two instructions for exactly as many failures, or a multiple, with the
//! same count in a row.)
//!
//! The low field is zero exactly if no failure is counted, in both forms: this is the test of
//! every healthy success. A plain number therefore is written in two digits, of base 2¹⁷ − 1,
//! and its low digit is 1 to 2¹⁷ − 1.
//!
//! Rejected: a window with a word of its own. A failure would be counted in one word and
//! the state changed in another. Between the two a success, a reset or another failure
//! can come, and the window then holds a failure that belongs to no present state.

use std::fmt;

use crate::values::settings::MAX_WINDOW_ATTEMPTS;

const LOW_BITS: u32 = 17;
const POSITION_BITS: u32 = 22;
const TIMED: u64 = 1 << (LOW_BITS + POSITION_BITS);
const BASE: u64 = LOW_MASK;
const LOW_MASK: u64 = (1 << LOW_BITS) - 1;
const POSITION_MASK: u64 = (1 << POSITION_BITS) - 1;

const _: () = assert!(
    (MAX_WINDOW_ATTEMPTS as u64) < LOW_MASK,
    "a full window differs from a saturated count"
);
const _: () = assert!(BASE << POSITION_BITS > u32::MAX as u64, "every count fits");

/// The failures that count, at one moment.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tally(u64);

/// A position in a ring of failure times, modulo 2²².
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Position(u32);

/// What a timed tally says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Timed {
    /// The position that the next failure takes.
    pub(crate) next: Position,
    /// The times of so many failures are at the positions before it.
    pub(crate) count: u32,
}

impl Tally {
    pub(crate) const BITS: u32 = LOW_BITS + POSITION_BITS + 1;
    /// Zero exactly if no failure counts.
    pub(crate) const COUNTED: u64 = LOW_MASK;
    /// A plain count of no failures.
    pub(crate) const NONE: Tally = Tally(0);
    /// The most failures in a row that a timed tally can count. The bits of a plain tally of at
    /// most so many are the number itself.
    pub(crate) const SMALL: u32 = LOW_MASK as u32;

    /// From the low bits; the others are ignored.
    pub(crate) fn from_bits(bits: u64) -> Self {
        Tally(bits & (TIMED | (TIMED - 1)))
    }

    pub(crate) fn bits(self) -> u64 {
        self.0
    }

    /// So many failures in a row, without times.
    pub(crate) fn plain(count: u32) -> Self {
        match u64::from(count).checked_sub(1) {
            None => Tally::NONE,
            Some(more) => Tally((more / BASE) << LOW_BITS | (more % BASE + 1)),
        }
    }

    /// So many failures in a row, with their times at the positions before `next`.
    fn timed_at(next: Position, count: u32) -> Self {
        Tally(TIMED | u64::from(next.0) << LOW_BITS | u64::from(count.min(Tally::SMALL)))
    }

    /// No failure counts, and the next one takes this position.
    pub(crate) fn empty_at(next: Position) -> Self {
        Tally::timed_at(next, 0)
    }

    pub(crate) fn is_empty(self) -> bool {
        self.0 & Self::COUNTED == 0
    }

    /// Failures in a row. A timed tally says no more than [`Tally::SMALL`].
    pub(crate) fn in_a_row(self) -> u32 {
        let low = self.0 & LOW_MASK;
        match self.timed() {
            Some(timed) => timed.count,
            // `Tally::plain` wrote both digits of a `u32`, so this fits.
            None => u32::try_from((self.0 >> LOW_BITS) * BASE + low).unwrap_or(u32::MAX),
        }
    }

    /// Where the times are, if there are some.
    pub(crate) fn timed(self) -> Option<Timed> {
        (self.0 & TIMED != 0).then_some(Timed {
            next: Position((self.0 >> LOW_BITS & POSITION_MASK) as u32),
            count: (self.0 & LOW_MASK) as u32,
        })
    }

    /// The tally with one failure more. If it is timed, the failure takes the position `next`.
    #[must_use]
    pub(crate) fn plus_failure(self) -> Self {
        match self.timed() {
            Some(timed) => Tally::timed_at(timed.next.plus(1), timed.count + 1),
            None => Tally::plain(self.in_a_row().saturating_add(1)),
        }
    }

    /// The tally with no failure.
    #[must_use]
    pub(crate) fn cleared(self) -> Self {
        match self.timed() {
            Some(timed) => Tally::empty_at(timed.next),
            None => Tally::NONE,
        }
    }

    /// A timed tally with the same failures, whose next failure takes the position `next`. The
    /// failures so far have no times. A tally that is timed already is returned as it is.
    #[must_use]
    pub(crate) fn timed_from(self, next: Position) -> Self {
        match self.timed() {
            Some(_) => self,
            None => Tally::timed_at(next, self.in_a_row()),
        }
    }
}

impl Position {
    pub(crate) const ZERO: Position = Position(0);
    /// How many positions there are.
    pub(crate) const MANY: u32 = 1 << POSITION_BITS;

    pub(crate) fn from_bits(bits: u32) -> Self {
        Position(bits & (Self::MANY - 1))
    }

    pub(crate) fn bits(self) -> u32 {
        self.0
    }

    #[must_use]
    pub(crate) fn plus(self, failures: u32) -> Self {
        Position::from_bits(self.0.wrapping_add(failures))
    }

    #[must_use]
    pub(crate) fn minus(self, failures: u32) -> Self {
        Position::from_bits(self.0.wrapping_sub(failures))
    }
}

impl fmt::Debug for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.timed() {
            Some(timed) => write!(f, "{} timed before {}", timed.count, timed.next.0),
            None => write!(f, "{}", self.in_a_row()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plain_tally_counts_as_far_as_32_bits_go() {
        for count in [0, 1, 2, 131_070, 131_071, 131_072, 131_073, u32::MAX - 1] {
            let tally = Tally::plain(count);
            assert_eq!(tally.in_a_row(), count);
            assert_eq!(tally.plus_failure().in_a_row(), count + 1);
            assert_eq!(tally.is_empty(), count == 0, "{count}");
            assert_eq!(tally.timed(), None);
        }
        let most = Tally::plain(u32::MAX);
        assert_eq!(most.plus_failure(), most);
    }

    #[test]
    fn a_small_plain_tally_is_the_number_itself() {
        for count in [0, 1, 5, Tally::SMALL] {
            assert_eq!(Tally::plain(count).bits(), u64::from(count));
        }
        assert_ne!(
            Tally::plain(Tally::SMALL + 1).bits(),
            u64::from(Tally::SMALL + 1)
        );
    }

    #[test]
    fn a_failure_takes_a_position_and_a_success_takes_none() {
        let two = Tally::empty_at(Position(7)).plus_failure().plus_failure();
        let next = Position(9);
        assert_eq!(two.timed(), Some(Timed { next, count: 2 }));
        assert_eq!(two.in_a_row(), 2);
        let none = two.cleared();
        assert!(none.is_empty());
        assert_eq!(none.timed(), Some(Timed { next, count: 0 }));
        assert_ne!(none, Tally::empty_at(Position(7)), "it is not as before");
    }

    #[test]
    fn positions_wrap_and_counts_do_not() {
        let last = Position::ZERO.minus(1);
        assert_eq!(last.plus(1), Position::ZERO);
        let tally = Tally::empty_at(last).plus_failure();
        assert_eq!(tally.timed().map(|timed| timed.next), Some(Position::ZERO));
        let full = Tally::timed_at(last, u32::MAX);
        assert_eq!(full.plus_failure().in_a_row(), Tally::SMALL);
        assert_eq!(
            full.plus_failure().timed().map(|t| t.next),
            Some(Position::ZERO)
        );
    }

    #[test]
    fn the_count_survives_when_times_begin() {
        let timed = Tally::plain(3).timed_from(Position(5));
        let next = Position(5);
        assert_eq!(timed.timed(), Some(Timed { next, count: 3 }));
        assert_eq!(timed.timed_from(Position(99)), timed, "they have begun");
    }
}
