//! Two packed words beside the state word: when it changed, and for how long it
//! was opened. Each carries a few bits of what it belongs to, so that a reader can
//! tell whether it goes with the word it saw.

use crate::state::{self, Generation, NEVER};

/// The moment of an opening and its length.
#[derive(Clone, Copy)]
pub(super) struct Opening {
    pub(super) at: u64,
    pub(super) lasting: u64,
}

/// A change of state: its time, as stored, and what it led to. The first one is
/// the registration, which is no change.
#[derive(Clone, Copy)]
pub(super) struct Stamp {
    pub(super) time: u64,
    pub(super) generation: Generation,
    pub(super) is_registration: bool,
}

const REGISTRATION_BIT: u32 = u64::BITS - 1;

impl Stamp {
    pub(super) fn pack(self) -> u64 {
        u64::from(self.is_registration) << REGISTRATION_BIT
            | self.time << Generation::BITS
            | self.generation.bits()
    }

    pub(super) fn unpack(bits: u64) -> Self {
        Stamp {
            time: (bits & !(1 << REGISTRATION_BIT)) >> Generation::BITS,
            generation: Generation::from_bits(bits),
            is_registration: bits >> REGISTRATION_BIT != 0,
        }
    }
}

impl Opening {
    pub(super) fn deadline(&self) -> u64 {
        state::deadline(self.at, self.lasting)
    }

    pub(super) fn pack(&self) -> u64 {
        self.deadline() << NEVER.count_ones() | self.lasting.min(NEVER)
    }
}
