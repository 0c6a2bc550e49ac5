//! The words of a ring of outcomes, and how they change. Pure: no atomics, no threads.
//!
//! | word | bits 63 to 0 |
//! |---|---|
//! | head | epoch 17, generation 13, full 1, lap and index 33 |
//! | slot | epoch 17, lap 33 at most, 12 unused, failed 1, slow 1 |
//! | sums | epoch 17, 1 unused, failures 23, slow 23 |
//!
//! The head's lowest 33 bits hold the index in as many bits as the ring needs, and the lap above
//! it: 31 bits in a ring of 4 slots, 16 in one of 100 000.

use crate::values::generation::Generation;
use crate::values::rates::Outcome;

const EPOCH_BITS: u32 = 17;
const EPOCH_SHIFT: u32 = 64 - EPOCH_BITS;
const EPOCH_MASK: u64 = (1 << EPOCH_BITS) - 1;

const POSITION_BITS: u32 = 33;
const FULL: u64 = 1 << POSITION_BITS;
const GENERATION_SHIFT: u32 = POSITION_BITS + 1;
const _: () = assert!(GENERATION_SHIFT + Generation::BITS == EPOCH_SHIFT);

const LAP_SHIFT: u32 = 14;
const _: () = assert!(LAP_SHIFT + POSITION_BITS == EPOCH_SHIFT);
const FAILED: u64 = 1 << 1;
const SLOW: u64 = 1 << 0;

/// Signed, so that a subtraction may come before the addition that it takes back.
const SUM_BITS: u32 = 23;
const SUM_MASK: u64 = (1 << SUM_BITS) - 1;
const _: () = assert!(2 * SUM_BITS < EPOCH_SHIFT);
/// The largest ring. With more slots, and a change under way in each, the sums could overflow.
pub(super) const MOST: u32 = 1 << 17;
const _: () = assert!((MOST as u64) < 1 << (SUM_BITS - 2));

/// A number of the evidence, which changes whenever the evidence begins again. Epochs have no
/// order, and are only compared with the head's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Epoch(u64);

impl Epoch {
    /// The epoch of new slots, sums and heads, before the first beginning.
    pub(super) const NONE: Epoch = Epoch(0);

    fn next(self) -> Epoch {
        match (self.0 + 1) & EPOCH_MASK {
            0 => Epoch(1),
            number => Epoch(number),
        }
    }

    fn of(bits: u64) -> Epoch {
        Epoch(bits >> EPOCH_SHIFT)
    }

    fn bits(self) -> u64 {
        self.0 << EPOCH_SHIFT
    }
}

/// How many slots a ring has, and how its positions are packed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shape {
    slots: u32,
    index_bits: u32,
}

/// A position within its epoch: which slot, and in which lap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Position {
    pub(super) index: u32,
    lap: u64,
}

impl Shape {
    pub(super) fn new(slots: u32) -> Shape {
        assert!((1..=MOST).contains(&slots));
        let index_bits = u32::BITS - (slots - 1).leading_zeros();
        Shape { slots, index_bits }
    }

    #[cfg(test)]
    pub(super) fn slots(self) -> u32 {
        self.slots
    }

    fn lap_after(self, lap: u64) -> u64 {
        (lap + 1) & self.last_lap()
    }

    fn last_lap(self) -> u64 {
        (1 << (POSITION_BITS - self.index_bits)) - 1
    }

    fn position_of(self, bits: u64) -> Position {
        let bits = bits & (FULL - 1);
        Position {
            index: (bits & ((1 << self.index_bits) - 1)) as u32,
            lap: bits >> self.index_bits,
        }
    }

    /// The position before, which is in the lap before if this is a lap's first.
    pub(super) fn before(self, position: Position) -> Position {
        match position.index.checked_sub(1) {
            Some(index) => Position { index, ..position },
            None => Position {
                index: self.slots - 1,
                lap: position.lap.wrapping_sub(1) & self.last_lap(),
            },
        }
    }
}

/// Which position comes next, of which evidence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head(u64);

impl Head {
    pub(super) fn from_bits(bits: u64) -> Head {
        Head(bits)
    }

    pub(super) fn bits(self) -> u64 {
        self.0
    }

    pub(super) fn epoch(self) -> Epoch {
        Epoch::of(self.0)
    }

    fn generation(self) -> Generation {
        Generation::from_bits(self.0 >> GENERATION_SHIFT)
    }

    /// Whether a position has been taken for every slot in this epoch.
    pub(super) fn is_full(self) -> bool {
        self.0 & FULL != 0
    }

    /// The position that the next report takes.
    pub(super) fn next(self, shape: Shape) -> Position {
        shape.position_of(self.0)
    }

    /// The head of new evidence, in which no position is taken yet.
    pub(super) fn begun(self, generation: Generation) -> Head {
        Head(self.epoch().next().bits() | generation.bits() << GENERATION_SHIFT)
    }

    /// The head with the next position taken.
    pub(super) fn taken(self, shape: Shape) -> Head {
        let next = self.next(shape);
        if next.index + 1 < shape.slots {
            return Head(self.0 + 1);
        }
        let lap = shape.lap_after(next.lap) << shape.index_bits;
        Head(self.0 & !(FULL - 1) | FULL | lap)
    }

    /// How many reports have a position that counts.
    pub(super) fn calls(self, shape: Shape) -> u32 {
        if self.is_full() {
            shape.slots
        } else {
            self.next(shape).index
        }
    }

    /// Whether the evidence is of this generation.
    pub(super) fn is_of(self, generation: Generation) -> bool {
        self.generation() == generation && self.epoch() != Epoch::NONE
    }

    /// Whether the evidence is of a newer generation than this one.
    pub(super) fn is_after(self, generation: Generation) -> bool {
        self.epoch() != Epoch::NONE
            && self.generation() != generation
            && !generation.follows(self.generation())
    }

    /// Whether the epoch is still this one, and no later position has the slot of `position`, whose
    /// position is taken.
    pub(super) fn leaves(self, epoch: Epoch, position: Position, shape: Shape) -> bool {
        let next = self.next(shape);
        self.epoch() == epoch
            && (next.lap == position.lap
                || next.lap == shape.lap_after(position.lap) && next.index <= position.index)
    }
}

/// The contents of a slot: the last outcome there that was not good, or that it was taken out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry(u64);

impl Entry {
    pub(super) fn new(epoch: Epoch, position: Position, outcome: Outcome) -> Entry {
        Entry(
            epoch.bits()
                | position.lap << LAP_SHIFT
                | if outcome.failed { FAILED } else { 0 }
                | if outcome.slow { SLOW } else { 0 },
        )
    }

    pub(super) fn from_bits(bits: u64) -> Entry {
        Entry(bits)
    }

    pub(super) fn bits(self) -> u64 {
        self.0
    }

    /// Whether it adds to the sums of an epoch.
    pub(super) fn counts_in(self, epoch: Epoch) -> bool {
        self.0 & (FAILED | SLOW) != 0 && Epoch::of(self.0) == epoch
    }

    /// Whether it is of the lap of this position, whose slot it is in.
    pub(super) fn is_of_lap(self, position: Position) -> bool {
        (self.0 & ((1 << EPOCH_SHIFT) - 1)) >> LAP_SHIFT == position.lap
    }

    /// This entry, taken out. No other entry ever has these bits in its slot.
    pub(super) fn taken_out(self) -> Entry {
        Entry(self.0 & !(FAILED | SLOW))
    }

    /// What it adds to the sums of an epoch.
    pub(super) fn addition(self, epoch: Epoch) -> Change {
        if Epoch::of(self.0) != epoch {
            return Change::NONE;
        }
        Change {
            failures: i32::from(self.0 & FAILED != 0),
            slow: i32::from(self.0 & SLOW != 0),
        }
    }
}

/// A change of the sums.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Change {
    failures: i32,
    slow: i32,
}

impl Change {
    pub(super) const NONE: Change = Change {
        failures: 0,
        slow: 0,
    };

    pub(super) fn minus(self, other: Change) -> Change {
        Change {
            failures: self.failures - other.failures,
            slow: self.slow - other.slow,
        }
    }
}

/// The failures and slow calls in the slots of an epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sums {
    pub(super) epoch: Epoch,
    failures: i32,
    slow: i32,
}

impl Sums {
    pub(super) fn none(epoch: Epoch) -> Sums {
        Sums {
            epoch,
            failures: 0,
            slow: 0,
        }
    }

    pub(super) fn from_bits(bits: u64) -> Sums {
        let signed = |field: u64| {
            let unused = u64::BITS - SUM_BITS;
            ((field << unused) as i64 >> unused) as i32
        };
        Sums {
            epoch: Epoch::of(bits),
            failures: signed(bits >> SUM_BITS),
            slow: signed(bits),
        }
    }

    pub(super) fn bits(self) -> u64 {
        let field = |sum: i32| sum as u64 & SUM_MASK;
        self.epoch.bits() | field(self.failures) << SUM_BITS | field(self.slow)
    }

    pub(super) fn plus(self, change: Change) -> Sums {
        Sums {
            failures: self.failures + change.failures,
            slow: self.slow + change.slow,
            ..self
        }
    }

    /// Both sums, clamped to 0 to `calls`: a change under way may leave one outside.
    pub(super) fn within(self, calls: u32) -> (u32, u32) {
        let clamped = |sum: i32| (sum.max(0) as u32).min(calls);
        (clamped(self.failures), clamped(self.slow))
    }
}

/// Methods for tests.
#[cfg(test)]
mod looks {
    use super::*;

    impl Epoch {
        pub(in super::super) fn number(self) -> u64 {
            self.0
        }
    }

    impl Position {
        pub(in super::super) fn lap(self) -> u64 {
            self.lap
        }
    }

    impl Head {
        /// A full head at the beginning of the lap that comes `laps` laps before lap 0.
        pub(in super::super) fn before_the_wrap(self, laps: u64, shape: Shape) -> Head {
            let lap = (shape.last_lap() + 1 - laps) << shape.index_bits;
            Head(self.0 & !(FULL - 1) | FULL | lap)
        }
    }
}
