//! The slots for probes of a half-open circuit, each with a lease.
//!
//! A probe is admitted by taking a slot. It frees the slot when it reports, and
//! loses it when its lease ends, so that a caller who never comes back cannot
//! wedge the circuit. Every slot has a lease of its own: with several probes at
//! once, one lost probe gives its slot back on time however busy the others
//! are. That is why the slots are an array beside the state word and not a
//! counter inside it. That a circuit is half-open at all, and in which
//! generation, is the word's alone.
//!
//! ```text
//!  63 … 51      50 … 40   39 … 0
//! ┌────────────┬─────────┬──────────────────────────────────┐
//! │ generation │ serial  │ end of the lease, ms; 0: free    │
//! └────────────┴─────────┴──────────────────────────────────┘
//! ```
//!
//! A slot is taken only by a lease of the word's present generation that has not ended.
//! Nothing has to be cleared when a circuit leaves half-open. A thread that missed a change of
//! state could take a slot from the state that it does not know of; so who takes the slot of
//! another generation looks at the word once more, after it has read the slot.
//!
//! Generations wrap. A lease that was given 8192 changes ago, to a probe that never reported,
//! would seem to be of the present one. So whoever makes a circuit half-open first frees the
//! slots of the generation that is to come ([`Probes::forget`]).
//!
//! The serial goes on by one with each taking and with each report, so that a permit that is
//! reported a second time is refused, and does not free its successor's slot. A report
//! holds its slot until it has taken effect: another call is admitted only then, or when the
//! lease has ended.
//!
//! The first slot is inline, the default needs no other. More are allocated when
//! settings ask for them, never while a call is admitted, in blocks that are
//! added and never moved, so that a slot keeps its number.

use std::ptr;

use crate::state::{Generation, LAST_MOMENT};
use crate::sync::{AtomicPtr, AtomicU64, Ordering};

/// The slots of one circuit.
#[derive(Clone, Copy)]
pub(crate) struct Probes<'a> {
    first: &'a AtomicU64,
    more: Option<&'a MoreProbes>,
}

/// The slots beyond the first.
#[derive(Debug)]
pub(crate) struct MoreProbes {
    blocks: AtomicPtr<Block>,
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

/// Why there is no slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoSlot {
    /// All are taken; the first of them is free again at this moment at the latest.
    Until(u64),
    /// The word has changed.
    Changed,
}

/// What a report finds of its probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Claim {
    /// The slot is the report's, to be freed by [`Probes::free`].
    Held(Lease),
    /// The lease ended and another probe took the slot. The report frees nothing.
    Late,
    /// This permit was reported before.
    Reported,
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

    #[cfg(feature = "capi")]
    pub(crate) fn has_end(self) -> bool {
        self.stamp & END_MASK != 0
    }
}

fn generation(stamp: u64) -> Generation {
    Generation::from_bits(stamp >> GENERATION_SHIFT)
}

/// Whether a slot is taken by a probe of this generation.
fn is_taken(stamp: u64, present: Generation, now: u64) -> bool {
    stamp & END_MASK > now && generation(stamp) == present
}

fn taken(previous: u64, generation: Generation, end: u64) -> u64 {
    let serial = with_next_serial(previous) & SERIAL_MASK << SERIAL_SHIFT;
    generation.bits() << GENERATION_SHIFT | serial | end.clamp(1, LAST_MOMENT)
}

fn with_next_serial(stamp: u64) -> u64 {
    let serial = (stamp >> SERIAL_SHIFT).wrapping_add(1) & SERIAL_MASK;
    stamp & !(SERIAL_MASK << SERIAL_SHIFT) | serial << SERIAL_SHIFT
}

impl<'a> Probes<'a> {
    /// How many probes at once need no allocation.
    pub(crate) const INLINE: u32 = 1;

    pub(crate) fn new(first: &'a AtomicU64, more: Option<&'a MoreProbes>) -> Self {
        Probes { first, more }
    }

    /// Takes a slot until `end`, if fewer than `limit` are taken. `is_present` says whether the
    /// word still is of this generation.
    pub(crate) fn take(
        self,
        present: Generation,
        limit: u32,
        now: u64,
        end: u64,
        is_present: impl Fn() -> bool,
    ) -> Result<Lease, NoSlot> {
        if self.len() > limit as usize {
            return self.take_below_limit(present, limit, now, end, is_present);
        }
        let mut earliest = u64::MAX;
        for (number, slot) in (0..limit).zip(self.slots()) {
            // ORDERING: Acquire, so that the word is read after the slot.
            let mut seen = slot.load(Ordering::Acquire);
            while !is_taken(seen, present, now) {
                if generation(seen) != present && !is_present() {
                    return Err(NoSlot::Changed);
                }
                let stamp = taken(seen, present, end);
                // ORDERING: AcqRel, partner of itself and of `replace`: the slot
                // passes from one probe to the next with all that went before.
                match slot.compare_exchange(seen, stamp, Ordering::AcqRel, Ordering::Acquire) {
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
        Err(NoSlot::Until(earliest))
    }

    /// [`Probes::take`] after the limit was lowered: probes beyond it are still
    /// out, and count. Takers go for the same slot, the first that is free, so
    /// that of two who find one free the second fails and counts again.
    #[cold]
    fn take_below_limit(
        self,
        present: Generation,
        limit: u32,
        now: u64,
        end: u64,
        is_present: impl Fn() -> bool,
    ) -> Result<Lease, NoSlot> {
        loop {
            let (mut busy, mut earliest, mut free) = (0, u64::MAX, None);
            for (number, slot) in (0..).zip(self.slots()) {
                // ORDERING: Acquire, so that the word is read after all slots.
                let seen = slot.load(Ordering::Acquire);
                if is_taken(seen, present, now) {
                    busy += 1;
                    earliest = earliest.min(seen & END_MASK);
                } else if free.is_none() {
                    free = Some((number, slot, seen));
                }
            }
            let Some((number, slot, seen)) = free.filter(|_| busy < limit) else {
                return Err(NoSlot::Until(earliest));
            };
            if !is_present() {
                return Err(NoSlot::Changed);
            }
            let stamp = taken(seen, present, end);
            // ORDERING: AcqRel, as in `take`.
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

    /// Frees the slots that bear the generation which the circuit is about to enter: they are of
    /// 8192 changes ago. `is_present` says whether the circuit still is about to.
    pub(crate) fn forget(self, next: Generation, is_present: impl Fn() -> bool) {
        for slot in self.slots() {
            // ORDERING: Acquire, so that the word is read after the slot. If it is unchanged,
            // what was read is not of the generation that comes.
            let seen = slot.load(Ordering::Acquire);
            if seen & END_MASK != 0 && generation(seen) == next && is_present() {
                // A failure means that a probe of the new generation has the slot.
                let free = seen & !END_MASK;
                let _ = slot.compare_exchange(seen, free, Ordering::AcqRel, Ordering::Relaxed);
            }
        }
    }

    /// Makes the lease the reporter's alone: a second report of the same permit
    /// is refused, while the slot stays taken until [`Probes::free`].
    pub(crate) fn claim(self, lease: Lease) -> Claim {
        let claimed = with_next_serial(lease.stamp);
        match self.replace(lease, claimed) {
            Ok(()) => Claim::Held(Lease {
                stamp: claimed,
                ..lease
            }),
            // Being reported, or reported and free. A later probe's lease has a later end.
            Err(seen) if seen == claimed || seen == claimed & !END_MASK => Claim::Reported,
            Err(_) => Claim::Late,
        }
    }

    /// Gives a slot back.
    pub(crate) fn free(self, lease: Lease) {
        // A failure means that the lease ended and the slot was taken again.
        let _ = self.replace(lease, lease.stamp & !END_MASK);
    }

    /// The latest end of a lease of this generation that has not ended, if there is one.
    pub(crate) fn last_end(self, present: Generation, now: u64) -> Option<u64> {
        self.slots()
            .map(|slot| slot.load(Ordering::Relaxed))
            .filter(|stamp| is_taken(*stamp, present, now))
            .map(|stamp| stamp & END_MASK)
            .max()
    }

    /// Puts `stamp` into the lease's slot, or says what is there instead: 0 if there is no such
    /// slot.
    fn replace(self, lease: Lease, stamp: u64) -> Result<(), u64> {
        let slot = self.slots().nth(lease.slot as usize).ok_or(0_u64)?;
        // ORDERING: AcqRel, partner of itself and of `take`.
        slot.compare_exchange(lease.stamp, stamp, Ordering::AcqRel, Ordering::Relaxed)
            .map(drop)
    }

    fn len(self) -> usize {
        let more = self.more.into_iter().flat_map(MoreProbes::blocks);
        1 + more.map(|block| block.slots.len()).sum::<usize>()
    }

    fn slots(self) -> impl Iterator<Item = &'a AtomicU64> {
        let more = self.more.into_iter().flat_map(MoreProbes::blocks);
        std::iter::once(self.first).chain(more.flat_map(|block| block.slots.iter()))
    }
}

impl MoreProbes {
    pub(crate) fn new() -> Self {
        MoreProbes {
            blocks: AtomicPtr::new(ptr::null_mut()),
        }
    }

    /// Allocates slots until there are `probes`, the inline ones included. For those who change
    /// settings.
    pub(crate) fn reserve(&self, probes: u32) {
        let mut missing = probes.saturating_sub(Probes::INLINE) as usize;
        let mut link = &self.blocks;
        while missing > 0 {
            let next = link.load(Ordering::Acquire);
            // SAFETY: null, or a block of ours, which live as long as `self`.
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
                // SAFETY: the exchange failed, so `block` was never shared.
                drop(unsafe { Box::from_raw(block) });
            }
        }
    }

    fn blocks(&self) -> impl Iterator<Item = &Block> {
        let mut link = &self.blocks;
        std::iter::from_fn(move || {
            // SAFETY: null, or a block that lives as long as `self`. Acquire pairs with the
            // Release in `reserve`.
            let block = unsafe { link.load(Ordering::Acquire).as_ref() }?;
            link = &block.next;
            Some(block)
        })
    }
}

impl Drop for MoreProbes {
    fn drop(&mut self) {
        let mut block = self.blocks.load(Ordering::Relaxed);
        while !block.is_null() {
            // SAFETY: each block was leaked from a box by `reserve` and is linked exactly
            // once; `&mut self` shows that it is not shared any more.
            block = unsafe { Box::from_raw(block) }.next.load(Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::Word;

    struct Slots(AtomicU64, MoreProbes);

    impl Slots {
        fn new(probes: u32) -> Self {
            let more = MoreProbes::new();
            more.reserve(probes);
            Slots(AtomicU64::new(0), more)
        }

        fn all(&self) -> Probes<'_> {
            Probes::new(&self.0, Some(&self.1))
        }

        fn take(&self, of: Generation, limit: u32, now: u64, end: u64) -> Result<Lease, NoSlot> {
            self.all().take(of, limit, now, end, || true)
        }

        fn hold(&self, lease: Lease) -> Option<Lease> {
            match self.all().claim(lease) {
                Claim::Held(lease) => Some(lease),
                _ => None,
            }
        }
    }

    fn until(moment: u64) -> Result<Lease, NoSlot> {
        Err(NoSlot::Until(moment))
    }

    fn generations() -> [Generation; 2] {
        let one = Word::NEW.generation();
        [one, one.next()]
    }

    #[test]
    fn slots_are_taken_up_to_the_limit_and_freed_by_reports() {
        let [generation, _] = generations();
        let slots = Slots::new(3);
        let first = slots.take(generation, 2, 10, 110).expect("free");
        let second = slots.take(generation, 2, 20, 120).expect("free");
        assert_eq!(slots.take(generation, 2, 30, 130), until(110));
        assert!(slots.take(generation, 3, 30, 130).is_ok(), "a higher limit");
        let reporting = slots.hold(second).expect("held");
        assert_eq!(slots.all().claim(second), Claim::Reported, "only once");
        let early = slots.take(generation, 3, 40, 140);
        assert_eq!(early, until(110), "not before it is done");
        slots.all().free(reporting);
        assert_eq!(slots.all().claim(second), Claim::Reported, "still");
        assert!(slots.take(generation, 3, 40, 140).is_ok());
        assert!(slots.hold(first).is_some());
    }

    #[test]
    fn probes_beyond_a_lowered_limit_count_until_they_report() {
        let [generation, _] = generations();
        let slots = Slots::new(3);
        let [first, second, third] =
            [110, 120, 130].map(|end| slots.take(generation, 3, 10, end).expect("free"));
        slots.all().free(first);
        assert_eq!(slots.take(generation, 2, 20, 140), until(120));
        slots.all().free(second);
        assert!(slots.take(generation, 2, 30, 140).is_ok());
        assert_eq!(slots.take(generation, 2, 30, 140), until(130));
        slots.all().free(third);
        assert!(slots.take(generation, 2, 30, 140).is_ok());
    }

    #[test]
    fn each_slot_has_a_lease_of_its_own() {
        let [generation, _] = generations();
        let slots = Slots::new(2);
        let lost = slots.take(generation, 2, 0, 100).expect("free");
        let busy = slots.take(generation, 2, 50, 150).expect("free");
        assert_eq!(slots.take(generation, 2, 99, 199), until(100));
        let next = slots.take(generation, 2, 100, 200).expect("the lost one's");
        assert_eq!(slots.all().claim(lost), Claim::Late);
        assert_eq!(slots.take(generation, 2, 149, 249), until(150));
        assert!(slots.hold(next).is_some() && slots.hold(busy).is_some());
    }

    #[test]
    fn a_report_after_the_lease_holds_the_slot_until_another_probe_takes_it() {
        let [generation, _] = generations();
        let slots = Slots::new(1);
        let lease = slots.take(generation, 1, 0, 100).expect("free");
        let reporting = slots.hold(lease).expect("nobody else has it");
        let next = slots.take(generation, 1, 100, 200).expect("it has ended");
        slots.all().free(reporting);
        assert_eq!(slots.take(generation, 1, 150, 250), until(200));
        assert!(slots.hold(next).is_some());
    }

    #[test]
    fn a_new_generation_starts_with_all_slots_free() {
        let [one, two] = generations();
        let slots = Slots::new(1);
        slots.take(one, 1, 0, LAST_MOMENT).expect("free");
        assert!(slots.take(two, 1, 0, 100).is_ok());
    }

    #[test]
    fn who_missed_a_change_of_state_takes_nothing_from_the_new_one() {
        let [one, two] = generations();
        let slots = Slots::new(1);
        let current = slots.take(two, 1, 0, 100).expect("free");
        let late = slots.all().take(one, 1, 0, 200, || false);
        assert_eq!(late, Err(NoSlot::Changed));
        assert!(slots.hold(current).is_some());
    }

    #[test]
    fn a_lease_of_a_whole_round_of_generations_ago_is_forgotten() {
        let [one, _] = generations();
        let slots = Slots::new(1);
        let lost = slots.take(one, 1, 0, LAST_MOMENT).expect("free");
        slots.all().forget(one.next(), || true);
        assert_eq!(slots.take(one, 1, 9, 99), until(LAST_MOMENT), "another's");
        slots.all().forget(one, || false);
        assert_eq!(slots.take(one, 1, 9, 99), until(LAST_MOMENT), "not now");
        slots.all().forget(one, || true);
        assert!(slots.take(one, 1, 9, 99).is_ok());
        assert_eq!(slots.all().claim(lost), Claim::Late);
    }

    #[test]
    fn a_limit_above_the_number_of_slots_uses_all_there_are() {
        let [generation, _] = generations();
        let slots = Slots::new(1);
        assert!(slots.take(generation, 9, 0, 100).is_ok());
        assert_eq!(slots.take(generation, 9, 0, 100), until(100));
    }
}
