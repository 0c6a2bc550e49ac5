//! Random numbers that are the same in every run and on every machine.
//!
//! Each purpose has a generator of its own. So a purpose that draws more
//! often does not change the numbers of another one. The algorithm is named,
//! since the generators of `rand` itself may change with its version.

use rand::SeedableRng;
use rand_xoshiro::Xoshiro256PlusPlus;

pub type Chance = Xoshiro256PlusPlus;

/// What the numbers are for.
#[derive(Clone, Copy)]
pub enum Purpose {
    Lengths,
    SlowEndpoints,
    Calls,
    /// Semian's adaptive breaker refuses at random, each circuit for itself.
    Refusals(usize),
}

pub fn of(seed: u64, purpose: Purpose) -> Chance {
    let stream = match purpose {
        Purpose::Lengths => 0,
        Purpose::SlowEndpoints => 1,
        Purpose::Calls => 2,
        Purpose::Refusals(circuit) => 3 + circuit as u64,
    };
    Chance::seed_from_u64(seed << 32 | stream)
}
