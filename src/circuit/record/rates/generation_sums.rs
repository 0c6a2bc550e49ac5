//! Sums of reports that belong to one generation of a circuit: where its evidence begins.
//!
//! Three words, each `generation | sum`, which are written one after the other without a lock. A
//! reader takes them only if all three are of the generation that it asks for. If several threads
//! write for one generation at once, the greater of each sum stays.
//!
//! A writer may be stopped between two words when the evidence begins again in the same generation.
//! So the slow calls are written first and read last, and the successes are written last and read
//! first. A reader that finds words of two beginnings then finds more successes since, not fewer,
//! and a lower rate.
//!
//! A thread that was stopped before it wrote leaves what belongs to the circuit's present
//! generation alone. Sums are kept modulo 2^51.
//!
//! Rejected: a sequence lock, whose writer could be stopped for good in between, in a process that
//! forks.

use crate::sys::atomic::{AtomicU64, Ordering};
use crate::values::generation::Generation;
use crate::values::rates::Sums;

const SUM_BITS: u32 = u64::BITS - Generation::BITS;
const SUM_MASK: u64 = (1 << SUM_BITS) - 1;

/// Sums, and the generation that they belong to: slow calls, failures, successes.
pub(super) struct GenerationSums([AtomicU64; 3]);

impl GenerationSums {
    pub(super) fn new(generation: Generation, sums: Sums) -> Self {
        GenerationSums(words(generation, sums).map(AtomicU64::new))
    }

    /// The sums of this generation; `None` if those of another are kept.
    pub(super) fn of(&self, generation: Generation) -> Option<Sums> {
        let [slow, failures, successes] = &self.0;
        let read = |word: &AtomicU64| {
            // ORDERING: Acquire, partner of the Release in `write`: the words that are read
            // afterwards are no older than this one.
            let bits = word.load(Ordering::Acquire);
            (generation_of(bits) == generation).then_some(bits & SUM_MASK)
        };
        Some(Sums {
            successes: read(successes)?,
            failures: read(failures)?,
            slow: read(slow)?,
        })
    }

    /// Writes the sums of a generation, unless greater ones of the same are kept, or those of the
    /// generation that the circuit has now.
    pub(super) fn write(&self, generation: Generation, sums: Sums, now: impl Fn() -> Generation) {
        for (word, mine) in self.0.iter().zip(words(generation, sums)) {
            let replace = |bits: u64| {
                let theirs = generation_of(bits);
                let is_outdated = match theirs == generation {
                    true => is_less(bits, mine),
                    false => theirs != now(),
                };
                is_outdated.then_some(mine)
            };
            // ORDERING: Release, partner of the Acquire in `of`: the words before are written.
            // Acquire partner of the Release here: `now` knows the generation that is found.
            let _ = word.fetch_update(Ordering::Release, Ordering::Acquire, replace);
        }
    }
}

fn words(generation: Generation, sums: Sums) -> [u64; 3] {
    [sums.slow, sums.failures, sums.successes]
        .map(|sum| generation.bits() << SUM_BITS | sum & SUM_MASK)
}

fn generation_of(bits: u64) -> Generation {
    Generation::from_bits(bits >> SUM_BITS)
}

/// Of two sums that only grow, modulo 2^51, whether the first came first.
fn is_less(one: u64, other: u64) -> bool {
    difference(other, one) > 0
}

/// How much greater `one` is; 0 if it is not.
fn difference(one: u64, other: u64) -> u64 {
    let difference = one.wrapping_sub(other) << Generation::BITS;
    difference.cast_signed().max(0).cast_unsigned() >> Generation::BITS
}

impl Sums {
    /// What was reported after `before` was taken.
    pub(super) fn since(self, before: Sums) -> Sums {
        Sums {
            successes: difference(self.successes, before.successes),
            failures: difference(self.failures, before.failures),
            slow: difference(self.slow, before.slow),
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    fn generation(number: u64) -> Generation {
        Generation::from_bits(number)
    }

    fn sums(successes: u64, failures: u64, slow: u64) -> Sums {
        Sums {
            successes,
            failures,
            slow,
        }
    }

    #[test]
    fn sums_are_of_the_generation_that_was_written_last() {
        let kept = GenerationSums::new(generation(8_190), sums(1, 2, 3));
        assert_eq!(kept.of(generation(8_190)), Some(sums(1, 2, 3)));
        assert_eq!(kept.of(generation(8_191)), None);
        kept.write(generation(1), sums(0, 4, u64::MAX), || generation(1));
        assert_eq!(kept.of(generation(8_190)), None);
        assert_eq!(kept.of(generation(1)), Some(sums(0, 4, SUM_MASK)));
    }

    #[test]
    fn a_writer_that_was_stopped_leaves_a_later_generation_alone() {
        let kept = GenerationSums::new(generation(3), sums(7, 7, 7));
        kept.write(generation(2), sums(9, 9, 9), || generation(3));
        assert_eq!(kept.of(generation(3)), Some(sums(7, 7, 7)));
    }

    #[test]
    fn evidence_begins_again_in_the_same_generation_and_never_earlier() {
        let kept = GenerationSums::new(generation(3), sums(7, 7, SUM_MASK));
        kept.write(generation(3), sums(6, 8, 2), || generation(3));
        assert_eq!(kept.of(generation(3)), Some(sums(7, 8, 2)));
    }

    #[test]
    fn differences_stand_sums_that_come_round_and_successes_that_are_taken_back() {
        let before = sums(5, SUM_MASK - 1, 0);
        assert_eq!(sums(4, 2, 9).since(before), sums(0, 4, 9));
    }
}
