//! The generation of a circuit: a number that goes on by one whenever its state changes.
//!
//! A permit keeps the generation in which it was given. A report is late if the circuit has another
//! generation by then. A generation has 13 bits in the word and wraps after 8192 changes. So only
//! two that are less than half a round apart have an order.

/// A generation. Two are equal if the state did not change in between.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Generation(u16);

impl Generation {
    pub(crate) const BITS: u32 = 13;
    pub(crate) const MASK: u64 = (1 << Self::BITS) - 1;

    pub(crate) fn bits(self) -> u64 {
        u64::from(self.0)
    }

    /// From the low bits; the others are ignored.
    pub(crate) fn from_bits(bits: u64) -> Self {
        Generation((bits & Self::MASK) as u16)
    }

    /// The one after this.
    pub(crate) fn next(self) -> Self {
        Generation::from_bits(self.bits() + 1)
    }

    /// The one before this.
    pub(crate) fn previous(self) -> Self {
        Generation::from_bits(self.bits().wrapping_sub(1))
    }

    /// How many generations it is after `other`, modulo a round.
    pub(crate) fn since(self, other: Generation) -> u64 {
        self.bits().wrapping_sub(other.bits()) & Self::MASK
    }

    /// Whether it came later than `other`, by at most half a round.
    pub(crate) fn follows(self, other: Generation) -> bool {
        (1..=Self::MASK / 2).contains(&self.since(other))
    }
}
