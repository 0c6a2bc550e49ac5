//! The places for probes in a half-open circuit, each with a lease.
//!
//! A probe is admitted by taking a slot. It frees the slot when it reports, and
//! loses it when its lease ends, so that a caller who never comes back cannot
//! wedge the circuit. Every slot has a lease of its own: with several probes at
//! once, one lost probe gives its place back on time however busy the others
//! are. That is why the places are an array beside the state word and not a
//! counter inside it; that a circuit is half-open at all, and in which
//! generation, is the word's alone.
//!
//! ```text
//!  63 … 51      50 … 40   39 … 0
//! ┌────────────┬─────────┬──────────────────────────────────┐
//! │ generation │ serial  │ end of the lease, ms; 0: free    │
//! └────────────┴─────────┴──────────────────────────────────┘
//! ```
//!
//! A slot is free if it says so, if its lease has ended, or if it belongs to
//! an earlier generation: nothing has to be cleared when a circuit leaves
//! half-open. One of a later generation is not free: who finds it has missed a
//! change of state and must look at the word again. The serial goes on by one with
//! each taking and with each report, so that a permit that is reported a second time
//! is told so, and does not free its successor's slot. A report holds its slot until
//! it has taken effect: nobody else is admitted in between.
//!
//! The first slot is inline, the default needs no other. More are allocated when
//! settings ask for them, never while a call is admitted, in blocks that are
//! added and never moved, so that a slot keeps its number.

use std::ptr;

use crate::state::{Generation, LAST_MOMENT};
use crate::sync::{AtomicPtr, AtomicU64, Ordering};

/// The slots of one circuit.
#[derive(Debug)]
pub(crate) struct Probes {
    first: AtomicU64,
    more: AtomicPtr<Block>,
}

#[derive(Debug)]
struct Block {
    slots: Box<[AtomicU64]>,
    next: AtomicPtr<Block>,
}

/// A taken slot, as its permit carries it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Lease {
    pub(crate) slot: u32,
    /// Never 0: a lease has an end.
    pub(crate) stamp: u64,
}

const SERIAL_SHIFT: u32 = 40;
const SERIAL_MASK: u64 = 0x7ff;
const GENERATION_SHIFT: u32 = 51;
const END_MASK: u64 = (1 << SERIAL_SHIFT) - 1;

impl Lease {
    /// The generation it was taken in.
    pub(crate) fn generation(self) -> Generation {
        Generation::from_bits(self.stamp >> GENERATION_SHIFT)
    }

    /// When the slot is lost, in monotonic ms.
    pub(crate) fn end(self) -> u64 {
        self.stamp & END_MASK
    }
}

/// What a taker reads in a slot.
fn is_free(stamp: u64, generation: Generation, now: u64) -> bool {
    stamp & END_MASK <= now || generation.follows(Generation::from_bits(stamp >> GENERATION_SHIFT))
}

fn taken(previous: u64, generation: Generation, end: u64) -> u64 {
    let serial = with_next_serial(previous) & SERIAL_MASK << SERIAL_SHIFT;
    generation.bits() << GENERATION_SHIFT | serial | end.clamp(1, LAST_MOMENT)
}

fn with_next_serial(stamp: u64) -> u64 {
    let serial = (stamp >> SERIAL_SHIFT).wrapping_add(1) & SERIAL_MASK;
    stamp & !(SERIAL_MASK << SERIAL_SHIFT) | serial << SERIAL_SHIFT
}

impl Probes {
    /// How many probes at once need no more room.
    pub(crate) const AT_HAND: u32 = 1;

    pub(crate) fn new() -> Self {
        Probes {
            first: AtomicU64::new(0),
            more: AtomicPtr::new(ptr::null_mut()),
        }
    }

    /// Makes room for `probes` at once. Allocates; called when settings are given.
    pub(crate) fn reserve(&self, probes: u32) {
        let mut missing = probes.saturating_sub(Self::AT_HAND) as usize;
        let mut link = &self.more;
        while missing > 0 {
            let next = link.load(Ordering::Acquire);
            // SAFETY: blocks live as long as `self`.
            if let Some(block) = unsafe { next.as_ref() } {
                missing = missing.saturating_sub(block.slots.len());
                link = &block.next;
                continue;
            }
            let block = Box::into_raw(Box::new(Block {
                slots: (0..missing).map(|_| AtomicU64::new(0)).collect(),
                next: AtomicPtr::new(ptr::null_mut()),
            }));
            // ORDERING: Release publishes the block to the Acquire loads of links.
            if link
                .compare_exchange(next, block, Ordering::Release, Ordering::Relaxed)
                .is_err()
            {
                // SAFETY: `block` was never shared.
                drop(unsafe { Box::from_raw(block) });
            }
        }
    }

    /// Takes a slot until `end`, if fewer than `limit` are taken. Otherwise: the
    /// moment at which the first of them is free again at the latest.
    pub(crate) fn take(
        &self,
        generation: Generation,
        limit: u32,
        now: u64,
        end: u64,
    ) -> Result<Lease, u64> {
        if self.room() > limit as usize {
            return self.take_of_more(generation, limit, now, end);
        }
        let mut earliest = u64::MAX;
        for (number, slot) in (0..limit).zip(self.slots()) {
            let mut seen = slot.load(Ordering::Relaxed);
            while is_free(seen, generation, now) {
                let stamp = taken(seen, generation, end);
                // ORDERING: AcqRel, partner of itself and of `replace`: the slot
                // passes from one probe to the next with all that went before.
                match slot.compare_exchange(seen, stamp, Ordering::AcqRel, Ordering::Relaxed) {
                    Ok(_) => {
                        return Ok(Lease {
                            slot: number,
                            stamp,
                        });
                    }
                    Err(current) => seen = current,
                }
            }
            earliest = earliest.min(seen & END_MASK);
        }
        Err(earliest)
    }

    /// [`Probes::take`] after the limit was lowered: probes beyond it are still
    /// out, and count. Takers go for the same slot, the first that is free, so
    /// that of two who find room for one the second fails and counts anew.
    #[cold]
    fn take_of_more(
        &self,
        generation: Generation,
        limit: u32,
        now: u64,
        end: u64,
    ) -> Result<Lease, u64> {
        loop {
            let (mut busy, mut earliest, mut free) = (0, u64::MAX, None);
            for (number, slot) in (0..).zip(self.slots()) {
                let seen = slot.load(Ordering::Acquire);
                if !is_free(seen, generation, now) {
                    busy += 1;
                    earliest = earliest.min(seen & END_MASK);
                } else if free.is_none() {
                    free = Some((number, slot, seen));
                }
            }
            let Some((number, slot, seen)) = free.filter(|_| busy < limit) else {
                return Err(earliest);
            };
            let stamp = taken(seen, generation, end);
            // ORDERING: as in `take`.
            if slot
                .compare_exchange(seen, stamp, Ordering::AcqRel, Ordering::Relaxed)
                .is_ok()
            {
                return Ok(Lease {
                    slot: number,
                    stamp,
                });
            }
        }
    }

    /// Makes the lease the reporter's alone: a second report of the same permit
    /// is refused, while the slot stays taken until [`Probes::free`]. None if it
    /// was lost, or is being reported or has been.
    pub(crate) fn claim(&self, lease: Lease, now: u64) -> Option<Lease> {
        if now >= lease.end() {
            return None;
        }
        let claimed = Lease {
            stamp: with_next_serial(lease.stamp),
            ..lease
        };
        self.replace(lease, claimed.stamp).then_some(claimed)
    }

    /// Gives a slot back.
    pub(crate) fn free(&self, lease: Lease) {
        self.replace(lease, lease.stamp & !END_MASK);
    }

    /// What a slot says now, if there is one of this number.
    #[cfg(feature = "capi")]
    pub(crate) fn stamp(&self, slot: u32) -> Option<u64> {
        let slot = self.slots().nth(slot as usize)?;
        Some(slot.load(Ordering::Relaxed))
    }

    fn replace(&self, lease: Lease, stamp: u64) -> bool {
        self.slots().nth(lease.slot as usize).is_some_and(|slot| {
            slot.compare_exchange(lease.stamp, stamp, Ordering::AcqRel, Ordering::Relaxed)
                .is_ok()
        })
    }

    /// How many slots there are.
    fn room(&self) -> usize {
        1 + self.blocks().map(|block| block.slots.len()).sum::<usize>()
    }

    fn slots(&self) -> impl Iterator<Item = &AtomicU64> {
        std::iter::once(&self.first).chain(self.blocks().flat_map(|block| block.slots.iter()))
    }

    fn blocks(&self) -> impl Iterator<Item = &Block> {
        let mut link = &self.more;
        std::iter::from_fn(move || {
            // SAFETY: blocks live as long as `self`, and Acquire pairs with the
            // Release in `reserve`.
            let block = unsafe { link.load(Ordering::Acquire).as_ref() }?;
            link = &block.next;
            Some(block)
        })
    }
}

impl Drop for Probes {
    fn drop(&mut self) {
        let mut block = self.more.load(Ordering::Relaxed);
        while !block.is_null() {
            // SAFETY: each block was leaked from a box by `reserve` and is
            // linked exactly once; `self` is no longer shared.
            block = unsafe { Box::from_raw(block) }.next.load(Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::Word;

    fn generations() -> [Generation; 2] {
        let one = Word::NEW.half_opened_by_hand().expect("half-opens");
        let two = one.reset().expect("closes");
        [one.generation(), two.generation()]
    }

    #[test]
    fn slots_are_taken_up_to_the_limit_and_freed_by_reports() {
        let [generation, _] = generations();
        let probes = Probes::new();
        probes.reserve(3);
        let first = probes.take(generation, 2, 10, 110).expect("free");
        let second = probes.take(generation, 2, 20, 120).expect("free");
        assert_eq!(probes.take(generation, 2, 30, 130), Err(110));
        assert!(
            probes.take(generation, 3, 30, 130).is_ok(),
            "a higher limit"
        );
        let reporting = probes.claim(second, 40).expect("held");
        assert_eq!(probes.claim(second, 40), None, "only once");
        assert_eq!(
            probes.take(generation, 3, 40, 140),
            Err(110),
            "not before it is done"
        );
        probes.free(reporting);
        assert!(probes.take(generation, 3, 40, 140).is_ok());
        assert!(probes.claim(first, 40).is_some());
    }

    #[test]
    fn probes_beyond_a_lowered_limit_count_until_they_report() {
        let [generation, _] = generations();
        let probes = Probes::new();
        probes.reserve(3);
        let [first, second, third] =
            [110, 120, 130].map(|end| probes.take(generation, 3, 10, end).expect("free"));
        probes.free(first);
        assert_eq!(probes.take(generation, 2, 20, 140), Err(120));
        probes.free(second);
        assert!(probes.take(generation, 2, 30, 140).is_ok());
        assert_eq!(probes.take(generation, 2, 30, 140), Err(130));
        probes.free(third);
        assert!(probes.take(generation, 2, 30, 140).is_ok());
    }

    #[test]
    fn each_slot_has_a_lease_of_its_own() {
        let [generation, _] = generations();
        let probes = Probes::new();
        probes.reserve(2);
        let lost = probes.take(generation, 2, 0, 100).expect("free");
        let busy = probes.take(generation, 2, 50, 150).expect("free");
        assert_eq!(probes.take(generation, 2, 99, 199), Err(100));
        let next = probes
            .take(generation, 2, 100, 200)
            .expect("the lost one's");
        assert_eq!(probes.claim(lost, 100), None, "it belongs to somebody else");
        assert_eq!(probes.take(generation, 2, 149, 249), Err(150));
        assert!(probes.claim(next, 149).is_some() && probes.claim(busy, 149).is_some());
    }

    #[test]
    fn a_report_after_the_lease_is_no_report_of_a_probe() {
        let [generation, _] = generations();
        let probes = Probes::new();
        let lease = probes.take(generation, 1, 0, 100).expect("free");
        assert_eq!(probes.claim(lease, 100), None);
        assert!(probes.take(generation, 1, 100, 200).is_ok());
    }

    #[test]
    fn a_new_generation_starts_with_all_slots_free() {
        let [one, two] = generations();
        let probes = Probes::new();
        probes.take(one, 1, 0, LAST_MOMENT).expect("free");
        assert!(probes.take(two, 1, 0, 100).is_ok());
    }

    #[test]
    fn who_missed_a_change_of_state_takes_nothing_from_the_new_one() {
        let [one, two] = generations();
        let probes = Probes::new();
        let current = probes.take(two, 1, 0, 100).expect("free");
        assert_eq!(probes.take(one, 1, 0, 200), Err(100));
        assert!(probes.claim(current, 50).is_some());
    }

    #[test]
    fn a_limit_above_the_room_uses_the_room() {
        let [generation, _] = generations();
        let probes = Probes::new();
        assert!(probes.take(generation, 9, 0, 100).is_ok());
        assert_eq!(probes.take(generation, 9, 0, 100), Err(100));
    }
}
