//! Sliding windows: how many failures happened within the last `window` ms?
//!
//! A ring of failure times. A failure claims the next position with one RMW and
//! then fills the slot of that position with its time. Exact, also under
//! concurrency, in this sense:
//!
//! - The claim is the moment at which a failure counts. Claims and clears are
//!   one word, [`Ring::ends`], so every claim knows precisely which failures
//!   came before it and since which position they count.
//! - Times never decrease along the ring, so that "younger than `window`" is a
//!   suffix, found by bisection. A failure that finds the claim before it not
//!   yet filled fills it itself, with a time read after it saw the claim: a time
//!   at which that other report was still under way. Nobody waits for a
//!   preempted peer.
//! - A failure of age `window` is outside, one of age `window − 1` inside.
//!
//! A ring holds at least `max_attempts` times; the opening decision needs no
//! more. Beyond that the oldest are overwritten and the count saturates at the
//! capacity, which is far above what opens the circuit.
//!
//! Nothing is allocated here while failures are counted: [`Window::reserve`]
//! makes room when settings are given. Growing puts a larger ring in front of
//! the old one, whose failures go on counting until they age out.
//!
//! Rejected: buckets (an error of one bucket width in both directions, and a
//! failure that is inside the window must not be missed); a queue of times
//! behind a lock; a list of nodes (an allocation for each failure).

use std::ptr;

use crate::sync::{AtomicPtr, AtomicU64, Ordering};

/// Failures within a time span; empty and unallocated until [`Window::reserve`].
#[derive(Debug)]
pub(crate) struct Window {
    /// The newest ring, null before the first `reserve`. Rings are only ever
    /// added, and freed with the window.
    newest: AtomicPtr<Ring>,
}

#[derive(Debug)]
struct Ring {
    /// Two positions, both counting up and wrapping: `next` (high half), the
    /// position of the next failure, and `start` (low half), the first that
    /// counts. `next - start` is never more than 2^31.
    ends: AtomicU64,
    /// `lap << 40 | ms`. The lap says for which round of the ring the slot is
    /// filled: `position / slots.len() + 1`, cut to at most 24 bits, and to as
    /// many as make it wrap where the position does.
    slots: Box<[AtomicU64]>,
    /// The ring in use before this one.
    older: *mut Ring,
}

const TIME_BITS: u32 = 40;
const TIME_MASK: u64 = (1 << TIME_BITS) - 1;
/// How far `next` may run from `start` before `start` follows.
const LONGEST: u32 = 1 << 31;

/// The smallest ring: what is counted exactly beyond what opens the circuit.
const SMALLEST: usize = if cfg!(test) { 4 } else { 256 };

impl Window {
    pub(crate) fn new() -> Self {
        Window {
            newest: AtomicPtr::new(ptr::null_mut()),
        }
    }

    /// Makes room for `failures` exact times. Allocates, so it is called when
    /// settings are given, never when failures are counted.
    pub(crate) fn reserve(&self, failures: u32) {
        let needed = (failures as usize).max(SMALLEST).next_power_of_two();
        let mut newest = self.newest.load(Ordering::Acquire);
        loop {
            // SAFETY: rings live as long as the window.
            if let Some(ring) = unsafe { newest.as_ref() }
                && ring.slots.len() >= needed
            {
                return;
            }
            let ring = Box::into_raw(Box::new(Ring {
                ends: AtomicU64::new(0),
                slots: (0..needed).map(|_| AtomicU64::new(0)).collect(),
                older: newest,
            }));
            // ORDERING: Release publishes the ring's fields to the Acquire loads
            // of `newest`.
            match self
                .newest
                .compare_exchange(newest, ring, Ordering::AcqRel, Ordering::Acquire)
            {
                Ok(_) => return,
                Err(current) => {
                    // SAFETY: `ring` was never shared.
                    drop(unsafe { Box::from_raw(ring) });
                    newest = current;
                }
            }
        }
    }

    /// Counts a failure that happens now, and returns how many are inside the
    /// window with it. `None` if nothing was reserved. `now` is asked for the
    /// time, possibly several times.
    pub(crate) fn record(&self, window: u64, now: impl Fn() -> u64) -> Option<u32> {
        let newest = self.newest()?;
        let (count, time) = newest.record(window, &now);
        Some(newest.older().fold(count, |count, ring| {
            count.saturating_add(ring.count_at(window, time, &now))
        }))
    }

    /// How many failures are inside the window now.
    pub(crate) fn count(&self, window: u64, now: impl Fn() -> u64) -> u32 {
        let time = now();
        self.rings().fold(0, |count, ring| {
            count.saturating_add(ring.count_at(window, time, &now))
        })
    }

    /// Forgets all failures counted so far.
    pub(crate) fn clear(&self) {
        for ring in self.rings() {
            ring.clear();
        }
    }

    fn newest(&self) -> Option<&Ring> {
        // SAFETY: rings live as long as the window, and Acquire pairs with the
        // Release in `reserve`.
        unsafe { self.newest.load(Ordering::Acquire).as_ref() }
    }

    fn rings(&self) -> impl Iterator<Item = &Ring> {
        self.newest()
            .into_iter()
            .flat_map(|ring| std::iter::once(ring).chain(ring.older()))
    }
}

impl Drop for Window {
    fn drop(&mut self) {
        let mut ring = self.newest.load(Ordering::Relaxed);
        while !ring.is_null() {
            // SAFETY: each ring was leaked from a box by `reserve` and is linked
            // exactly once; the window is no longer shared.
            ring = unsafe { Box::from_raw(ring) }.older;
        }
    }
}

// SAFETY: `older` is written before the ring is shared and never changes; what
// it points to is a `Ring` that lives as long as the window.
unsafe impl Send for Window {}
// SAFETY: as above.
unsafe impl Sync for Window {}

/// Both halves of [`Ring::ends`].
#[derive(Clone, Copy)]
struct Ends {
    next: u32,
    start: u32,
}

impl Ends {
    fn unpack(bits: u64) -> Self {
        Ends {
            next: (bits >> 32) as u32,
            start: bits as u32,
        }
    }

    fn pack(self) -> u64 {
        u64::from(self.next) << 32 | u64::from(self.start)
    }
}

/// One claimed position, in the high half of [`Ring::ends`].
const ONE: u64 = 1 << 32;

impl Ring {
    fn older(&self) -> impl Iterator<Item = &Ring> {
        let mut next = self.older;
        std::iter::from_fn(move || {
            // SAFETY: older rings live as long as this one.
            let ring = unsafe { next.as_ref() }?;
            next = ring.older;
            Some(ring)
        })
    }

    fn record(&self, window: u64, now: &impl Fn() -> u64) -> (u32, u64) {
        let mut time = now();
        // ORDERING: Acquire keeps the clock from being read for somebody else's
        // claim before this one is made (`fill`); Release for symmetry. The slots
        // carry all other ordering. The high half wraps out of the word, not into
        // the low half.
        let ends = Ends::unpack(self.ends.fetch_add(ONE, Ordering::AcqRel));
        let position = ends.next;
        let first = self.first_kept(ends.start, position.wrapping_add(1));
        if position.wrapping_sub(ends.start) >= LONGEST {
            self.shorten();
        }
        self.fill(first, position, &mut time, now);
        let count = self.younger(first, position.wrapping_add(1), window, time);
        (count, time)
    }

    fn count_at(&self, window: u64, time: u64, now: &impl Fn() -> u64) -> u32 {
        let ends = Ends::unpack(self.ends.load(Ordering::Acquire));
        let first = self.first_kept(ends.start, ends.next);
        if first == ends.next {
            return 0;
        }
        self.fill(first, ends.next.wrapping_sub(1), &mut now(), now);
        self.younger(first, ends.next, window, time)
    }

    fn clear(&self) {
        self.start_at(|ends| ends.next);
    }

    /// Keeps two billion failures without one success from wrapping `next`
    /// around to `start`.
    #[cold]
    fn shorten(&self) {
        self.start_at(|ends| self.first_kept(ends.start, ends.next));
    }

    fn start_at(&self, start: impl Fn(Ends) -> u32) {
        let _ = self
            .ends
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |bits| {
                let ends = Ends::unpack(bits);
                let start = start(ends);
                (start != ends.start).then(|| Ends { start, ..ends }.pack())
            });
    }

    /// The first position of `start..next` that is not overwritten yet.
    fn first_kept(&self, start: u32, next: u32) -> u32 {
        let length = next.wrapping_sub(start).min(self.slots.len() as u32);
        next.wrapping_sub(length)
    }

    /// Fills every unfilled slot of `first..=last`, in order, each with a time
    /// no less than the one before. `time` is raised to what ends up in `last`.
    fn fill(&self, first: u32, last: u32, time: &mut u64, now: &impl Fn() -> u64) {
        // Back to the nearest filled slot; in a quiet ring that is the first look.
        let mut position = last;
        let mut floor = 0;
        loop {
            match self.time_at(position) {
                Slot::Filled(filled) if position == last => {
                    *time = filled;
                    return;
                }
                Slot::Filled(filled) => {
                    floor = filled;
                    position = position.wrapping_add(1);
                    break;
                }
                Slot::Overwritten => {
                    if position == last {
                        return;
                    }
                    position = position.wrapping_add(1);
                    break;
                }
                Slot::Claimed if position == first => break,
                Slot::Claimed => position = position.wrapping_sub(1),
            }
        }
        while position != last.wrapping_add(1) {
            // Another report's claim gets a time read after the claim was seen,
            // so that it lies within that report; one's own was read before.
            let candidate = if position == last { *time } else { now() };
            floor = self.settle(position, candidate.max(floor));
            position = position.wrapping_add(1);
        }
        *time = floor.max(*time);
    }

    /// Puts `time` into the slot of `position` unless it is filled already, and
    /// returns the time that stands there.
    fn settle(&self, position: u32, time: u64) -> u64 {
        let (slot, lap) = self.slot(position);
        let mut seen = slot.load(Ordering::Acquire);
        loop {
            match lap.classify(seen) {
                Slot::Filled(filled) => return filled,
                // A whole round has passed: this failure is among the oldest,
                // and no longer remembered.
                Slot::Overwritten => return time,
                Slot::Claimed => {}
            }
            // ORDERING: Release, so that the claim of a later position carries
            // this slot along (`record`); Acquire for the same reason.
            match slot.compare_exchange(seen, lap.stamp(time), Ordering::AcqRel, Ordering::Acquire)
            {
                Ok(_) => return time,
                Err(current) => seen = current,
            }
        }
    }

    /// How many of `first..end`, whose times never decrease, are younger than
    /// `window` at `time`.
    fn younger(&self, first: u32, end: u32, window: u64, time: u64) -> u32 {
        let length = end.wrapping_sub(first);
        let (mut low, mut high) = (0, length);
        while low < high {
            let middle = low + (high - low) / 2;
            let inside = match self.time_at(first.wrapping_add(middle)) {
                Slot::Filled(filled) => filled.saturating_add(window) > time,
                Slot::Claimed | Slot::Overwritten => false,
            };
            if inside {
                high = middle;
            } else {
                low = middle + 1;
            }
        }
        length - low
    }

    fn time_at(&self, position: u32) -> Slot {
        let (slot, lap) = self.slot(position);
        lap.classify(slot.load(Ordering::Acquire))
    }

    fn slot(&self, position: u32) -> (&AtomicU64, Lap) {
        let index = position as usize & (self.slots.len() - 1);
        (
            &self.slots[index],
            Lap::of(position, self.slots.len() as u32),
        )
    }
}

/// Which round of the ring a position belongs to.
#[derive(Clone, Copy)]
struct Lap {
    number: u64,
    mask: u64,
}

enum Slot {
    /// The position is claimed, its time not yet written.
    Claimed,
    Filled(u64),
    /// The slot belongs to a later round.
    Overwritten,
}

impl Lap {
    fn of(position: u32, slots: u32) -> Lap {
        let mask = u64::from(u32::MAX / slots) & (u64::MAX >> TIME_BITS);
        Lap {
            number: (u64::from(position / slots) + 1) & mask,
            mask,
        }
    }

    fn stamp(self, time: u64) -> u64 {
        self.number << TIME_BITS | time.min(TIME_MASK)
    }

    fn classify(self, bits: u64) -> Slot {
        let behind = self.number.wrapping_sub(bits >> TIME_BITS) & self.mask;
        if behind == 0 {
            Slot::Filled(bits & TIME_MASK)
        } else if behind <= self.mask / 2 {
            Slot::Claimed
        } else {
            Slot::Overwritten
        }
    }
}

#[cfg(test)]
mod tests;
