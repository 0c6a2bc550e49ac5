//! The slots for probes of a half-open circuit, each with a lease.
//!
//! A probe is admitted by taking a slot. It frees the slot when it reports, and loses it when its
//! lease ends, so that a caller that never reports cannot block the circuit. Every slot has a lease
//! of its own: with several probes at once, one lost probe gives its slot back on time however busy
//! the others are. That is why the slots are an array beside the state word and not a counter
//! inside it. Only the word says whether a circuit is half-open, and in which generation.
//!
//! ```text
//!  63 … 51      50 … 45   44        43 … 40   39 … 0
//! ┌────────────┬─────────┬─────────┬─────────┬──────────────────────────────────┐
//! │ generation │ serial  │ claimed │ lost    │ end of the lease, ms; 0: free    │
//! └────────────┴─────────┴─────────┴─────────┴──────────────────────────────────┘
//! ```
//!
//! A slot is taken only while its lease is of the word's present generation and has not ended. So
//! nothing has to be cleared when a circuit leaves half-open. A thread that missed a change of
//! state could take a slot from a later state. So a thread that takes the slot of another
//! generation reads the word once more, after it has read the slot.
//!
//! Generations wrap. A lease that was given 8192 changes ago, to a probe that never reported,
//! would seem to be of the present one. So the thread that makes a circuit half-open first
//! frees the slots of the generation that is to come ([`Probes::forget`]).
//!
//! A report *claims* its slot, and holds it until it has taken effect: another call is admitted
//! only then, or when the lease has ended. Each taking increments the serial, so a report frees no
//! successor's slot.
//!
//! # A sample
//!
//! Where a rate of failures decides, the slots are a sample: so many probes in all. There a report
//! *spends* its slot instead of freeing it ([`Probes::spend`]), so the taken slots are the probes
//! that are out and the reports together, and no count has to agree with the word. In its
//! generation, a spent slot looks taken for ever. The thread that takes a slot says whether the
//! slots are a sample. If they are not, which may be a new setting, a spent slot is free.
//!
//! # A probe that is late, and a permit that is reported twice
//!
//! Both find that another probe has the slot. A late report counts; a second report must not. (A
//! Rust permit is moved into its report. A C permit is a value that may be copied.) So the call
//! that takes a slot notes how the lease before ended: lost, or claimed by a report. The slot
//! remembers this of the last four leases, one bit each. A report whose lease is among them gets an
//! exact answer. A report of an earlier lease counts as late: a slow dependency must be able to
//! close its circuit, however many probes it was too slow for.
//!
//! Rejected: a list of lost leases, which a caller that never reports would make grow. The answer
//! *reported* for earlier leases, which are late in every program that reports once.
//!
//! The first slot is inline, and the default settings need no other. More are allocated when
//! settings ask for them, never while a call is admitted, in blocks that are added and never moved,
//! so that a slot keeps its number.

use std::iter;

use crate::sys::atomic::{AtomicU64, Ordering};
use crate::sys::clock::LAST_MOMENT;
use crate::sys::publish_once::PublishOnce;
use crate::values::generation::Generation;

/// The slots of one circuit.
#[derive(Clone, Copy)]
pub(crate) struct Probes<'a> {
    first: &'a AtomicU64,
    more: Option<&'a MoreProbes>,
}

/// The slots beyond the first.
#[derive(Debug)]
pub(crate) struct MoreProbes {
    blocks: PublishOnce<ProbeBlock>,
}

#[derive(Debug)]
struct ProbeBlock {
    slots: Box<[AtomicU64]>,
    next: PublishOnce<ProbeBlock>,
}

/// A taken slot, as its permit carries it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Lease {
    pub(crate) slot: u32,
    /// Never 0: a lease has an end.
    pub(crate) stamp: u64,
}

/// The slots that calls may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Capacity {
    pub(crate) limit: u32,
    /// The slots are a sample: a spent one counts as taken.
    pub(crate) are_a_sample: bool,
}

impl Capacity {
    /// A limit of so many probes at once.
    #[cfg(test)]
    pub(crate) fn at_once(limit: u32) -> Self {
        Capacity {
            limit,
            are_a_sample: false,
        }
    }

    fn has_taken(self, stamp: u64, present: Generation, now: u64) -> bool {
        is_taken(stamp, present, now) && (self.are_a_sample || !is_spent(stamp))
    }
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
    /// The lease ended and another probe took the slot. The report frees nothing. Also the
    /// answer if more than [`REMEMBERED`] other probes had the slot since.
    Late,
    /// This permit was reported before.
    Reported,
}

const END_BITS: u32 = 40;
const END_MASK: u64 = (1 << END_BITS) - 1;
/// For how many leases a slot remembers how they ended: a set bit for a lost one, the latest lease
/// lowest.
const REMEMBERED: u64 = 4;
const LOST_MASK: u64 = ((1 << REMEMBERED) - 1) << END_BITS;
const CLAIMED: u64 = 1 << (SERIAL_SHIFT - 1);
/// A spent slot has this in place of the end of a lease, which is no later than the last moment.
const SPENT: u64 = CLAIMED | END_MASK;
const SERIAL_SHIFT: u32 = 45;
const SERIAL_MASK: u64 = (1 << (GENERATION_SHIFT - SERIAL_SHIFT)) - 1;
const GENERATION_SHIFT: u32 = 51;

const _: () = {
    assert!(
        LOST_MASK | END_MASK == CLAIMED - 1,
        "the fields fill the word"
    );
    assert!(
        LAST_MOMENT < END_MASK,
        "no lease ends when a spent slot seems to"
    );
};

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

/// Whether a report of this generation has the slot for good.
fn is_spent(stamp: u64) -> bool {
    stamp & (CLAIMED | END_MASK) == SPENT
}

fn serial(stamp: u64) -> u64 {
    stamp >> SERIAL_SHIFT & SERIAL_MASK
}

fn taken(previous: u64, present: Generation, end: u64) -> u64 {
    let serial = (serial(previous) + 1) & SERIAL_MASK;
    let history = match generation(previous) == present {
        true => (previous & LOST_MASK) << 1 & LOST_MASK | u64::from(is_lost(previous)) << END_BITS,
        // Its leases are of a state that is gone.
        false => 0,
    };
    present.bits() << GENERATION_SHIFT
        | serial << SERIAL_SHIFT
        | history
        | end.clamp(1, LAST_MOMENT)
}

/// Whether the last lease of a slot that is not taken has ended without a report.
fn is_lost(stamp: u64) -> bool {
    stamp & CLAIMED == 0 && stamp & END_MASK != 0
}

/// What a report of `lease` finds, if the slot holds the stamp `seen` instead.
fn overtaken(lease: u64, seen: u64) -> Claim {
    if generation(lease) != generation(seen) {
        return Claim::Late;
    }
    let since = serial(seen).wrapping_sub(serial(lease)) & SERIAL_MASK;
    let lost = (seen & LOST_MASK) >> END_BITS;
    match since {
        // Being reported, or reported and free or spent.
        0 if seen & END_MASK == 0 || seen & END_MASK == lease & END_MASK || is_spent(seen) => {
            Claim::Reported
        }
        1..=REMEMBERED if lost >> (since - 1) & 1 == 0 => Claim::Reported,
        _ => Claim::Late,
    }
}

impl<'a> Probes<'a> {
    /// How many probes at once need no allocation.
    pub(crate) const INLINE: u32 = 1;

    pub(crate) fn new(first: &'a AtomicU64, more: Option<&'a MoreProbes>) -> Self {
        Probes { first, more }
    }

    /// Takes a slot until `end`, if fewer than the limit are taken. `is_present` says whether the
    /// word still is of this generation.
    pub(crate) fn take(
        self,
        present: Generation,
        capacity: Capacity,
        now: u64,
        end: u64,
        is_present: impl Fn() -> bool,
    ) -> Result<Lease, NoSlot> {
        let limit = capacity.limit;
        if self.len() > limit as usize {
            return self.take_below_limit(present, capacity, now, end, is_present);
        }
        let is_taken = |seen| capacity.has_taken(seen, present, now);
        let mut earliest = u64::MAX;
        for (number, slot) in (0..limit).zip(self.slots()) {
            // ORDERING: Acquire, partner of the AcqRel exchanges of slots in this file; and the
            // word (`is_present`) is read after the slot.
            let mut seen = slot.load(Ordering::Acquire);
            while !is_taken(seen) {
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

    /// [`Probes::take`] after the limit was lowered: probes beyond it are still out, and count. All
    /// takers try the same slot, the first that is free. So if two threads find one free, the
    /// second fails and counts again.
    #[cold]
    fn take_below_limit(
        self,
        present: Generation,
        capacity: Capacity,
        now: u64,
        end: u64,
        is_present: impl Fn() -> bool,
    ) -> Result<Lease, NoSlot> {
        loop {
            let (mut busy, mut earliest, mut free) = (0, u64::MAX, None);
            for (number, slot) in (0..).zip(self.slots()) {
                // ORDERING: Acquire, partner of the AcqRel exchanges of slots in this file; and
                // the word (`is_present`) is read after all slots.
                let seen = slot.load(Ordering::Acquire);
                if capacity.has_taken(seen, present, now) {
                    busy += 1;
                    earliest = earliest.min(seen & END_MASK);
                } else if free.is_none() {
                    free = Some((number, slot, seen));
                }
            }
            let Some((number, slot, seen)) = free.filter(|_| busy < capacity.limit) else {
                return Err(NoSlot::Until(earliest));
            };
            if !is_present() {
                return Err(NoSlot::Changed);
            }
            let stamp = taken(seen, present, end);
            // ORDERING: AcqRel, partner of itself, `take` and `replace`: the slot passes from one
            // probe to the next with all that went before.
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
            // ORDERING: Acquire, partner of the AcqRel exchanges of slots in this file; and the
            // word (`is_present`) is read after the slot. If the word is unchanged, what was
            // read is not of the generation that comes. The exchange below is AcqRel like the
            // others.
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
        let claimed = lease.stamp | CLAIMED;
        match self.replace(lease, claimed) {
            Ok(()) => Claim::Held(Lease {
                stamp: claimed,
                ..lease
            }),
            Err(seen) => overtaken(lease.stamp, seen),
        }
    }

    /// Gives a slot back.
    pub(crate) fn free(self, lease: Lease) {
        // A failure means that the lease ended and the slot was taken again.
        let _ = self.replace(lease, lease.stamp & !END_MASK);
    }

    /// Takes a reported probe's slot from the sample for good.
    pub(crate) fn spend(self, lease: Lease) {
        // A failure means that the lease ended and the slot was taken again.
        let _ = self.replace(lease, lease.stamp | SPENT);
    }

    /// The latest end of a lease of this generation that has not ended, if there is one.
    pub(crate) fn last_end(self, present: Generation, now: u64) -> Option<u64> {
        self.running(present, now).max()
    }

    /// How many probes of this generation are out.
    pub(crate) fn out(self, present: Generation, now: u64) -> u32 {
        self.running(present, now).count() as u32
    }

    /// The ends of the leases of this generation that have not ended. A spent slot has none.
    fn running(self, present: Generation, now: u64) -> impl Iterator<Item = u64> {
        self.slots()
            .map(|slot| slot.load(Ordering::Relaxed))
            .filter(move |stamp| is_taken(*stamp, present, now) && !is_spent(*stamp))
            .map(|stamp| stamp & END_MASK)
    }

    /// Puts `stamp` into the lease's slot, or says what is there instead: 0 if there is no such
    /// slot.
    fn replace(self, lease: Lease, stamp: u64) -> Result<(), u64> {
        let slot = self.slots().nth(lease.slot as usize).ok_or(0_u64)?;
        // ORDERING: AcqRel, partner of itself and of the exchange in `take`: the slot passes on
        // with all that was done before the report.
        slot.compare_exchange(lease.stamp, stamp, Ordering::AcqRel, Ordering::Relaxed)
            .map(drop)
    }

    fn len(self) -> usize {
        let more = self.more.into_iter().flat_map(MoreProbes::blocks);
        1 + more.map(|block| block.slots.len()).sum::<usize>()
    }

    fn slots(self) -> impl Iterator<Item = &'a AtomicU64> {
        let more = self.more.into_iter().flat_map(MoreProbes::blocks);
        iter::once(self.first).chain(more.flat_map(|block| block.slots.iter()))
    }
}

impl MoreProbes {
    pub(crate) fn new() -> Self {
        MoreProbes {
            blocks: PublishOnce::new(),
        }
    }

    /// Allocates slots until there are `probes`, the inline ones included. For threads that change
    /// settings.
    pub(crate) fn reserve(&self, probes: u32) {
        let mut missing = probes.saturating_sub(Probes::INLINE) as usize;
        let mut link = &self.blocks;
        while missing > 0 {
            let block = link.get_or_make(|| ProbeBlock {
                slots: (0..missing).map(|_| AtomicU64::new(0)).collect(),
                next: PublishOnce::new(),
            });
            missing = missing.saturating_sub(block.slots.len());
            link = &block.next;
        }
    }

    fn blocks(&self) -> impl Iterator<Item = &ProbeBlock> {
        iter::successors(self.blocks.get(), |block| block.next.get())
    }
}

impl Drop for MoreProbes {
    fn drop(&mut self) {
        // One after the other: a drop inside a drop for each of many blocks takes stack.
        let mut block = self.blocks.take();
        while let Some(mut dropped) = block {
            block = dropped.next.take();
        }
    }
}

#[cfg(test)]
mod tests;
