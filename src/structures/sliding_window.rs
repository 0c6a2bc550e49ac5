//! The times of failures: how many of a tally happened within the last `span` ms?
//!
//! A ring of times. Which failures count, and in which order, is not decided here: each failure
//! takes its position by the exchange that counts it, and the [`tally`](crate::values::tally) says
//! which positions count. This file gives every position a time.
//!
//! - The failing reporter writes its time after it took the position. It may be stopped in between.
//!   A thread that counts meanwhile does not wait: it writes a time into each empty slot before it
//!   counts. It reads that time after it saw the position, so the time lies within that failure's
//!   report.
//! - Times never decrease along the ring, so "younger than `span`" is a suffix, found by
//!   bisection.
//! - A failure of age `span` is outside, one of age `span − 1` inside.
//! - The failures before the first ring have no time. They keep the count in a row right and are in
//!   no window. From then on every failure has a time, even while the settings name no window. The
//!   settings may name one again, and a failure without a time among the others would take the
//!   place of one that counts.
//!
//! A ring has at least as many slots as failures open the circuit, so the decision is exact.
//! Beyond that the oldest are overwritten, and the count stops at the number of slots.
//!
//! Nothing is allocated while failures are counted: [`Window::reserve`] allocates when settings
//! are given. A larger ring is put in front of the smaller one, and takes times over from it
//! when they are asked for. A slot of the smaller ring that is still empty is closed first
//! (*moved*), so that a reporter that knows only the smaller ring looks for the newest.
//!
//! Rejected: buckets (an error of one bucket's width in both directions); a queue of times behind
//! a lock; a list of nodes (an allocation for each failure).

use std::ptr;

use crate::sys::atomic::{AtomicPtr, AtomicU64, Ordering};
use crate::values::tally::{Position, Timed};

/// The times of one circuit's failures. Empty until [`Window::reserve`].
#[derive(Debug)]
pub(crate) struct Window {
    /// The largest ring, null before the first `reserve`. Rings are only ever added, and freed
    /// with the window. Not a [`PublishOnce`](crate::sys::publish_once::PublishOnce), since each
    /// ring takes the place of the one before.
    newest: AtomicPtr<Ring>,
}

#[derive(Debug)]
struct Ring {
    /// `lap (24) | ms (40)`.
    slots: Box<[AtomicU64]>,
    /// The ring that was the newest before this one. Written before this one is shared.
    older: *mut Ring,
}

/// The error of a ring that takes no time for a position, because there is a newer ring.
struct Moved;

const TIME_BITS: u32 = 40;
const TIME_MASK: u64 = (1 << TIME_BITS) - 1;
/// In place of a time: the newer ring has the time of this position.
const MOVED: u64 = TIME_MASK;
/// In place of a time: the time is not known.
const UNKNOWN: u64 = TIME_MASK - 1;
/// The latest time that a slot holds. Later ones are written as this one.
const LATEST: u64 = TIME_MASK - 2;
const LAP_SHIFT: u32 = TIME_BITS;

/// The number of slots of the smallest ring. So many failures are counted exactly even if fewer
/// open the circuit.
const SMALLEST: usize = if cfg!(test) { 4 } else { 256 };

impl Window {
    pub(crate) fn new() -> Self {
        Window {
            newest: AtomicPtr::new(ptr::null_mut()),
        }
    }

    /// Allocates a ring for `failures` exact times, if there is none as large. `next` is the
    /// position that the next failure takes. Called where settings change.
    pub(crate) fn reserve(&self, failures: u32, next: Position) {
        let needed = (failures as usize).max(SMALLEST).next_power_of_two();
        // ORDERING: Acquire, partner of the Release in the exchange below: a ring's fields are
        // written.
        let mut newest = self.newest.load(Ordering::Acquire);
        loop {
            // SAFETY: null, or a ring of this window, all of which live as long as the window.
            if let Some(ring) = unsafe { newest.as_ref() }
                && ring.slots.len() >= needed
            {
                return;
            }
            let ring = Box::into_raw(Box::new(Ring::new(needed, next, newest)));
            // ORDERING: AcqRel: Release publishes the ring's fields to the Acquire loads of
            // `newest`; Acquire for the ring that another thread has put there meanwhile.
            match self
                .newest
                .compare_exchange(newest, ring, Ordering::AcqRel, Ordering::Acquire)
            {
                Ok(_) => return,
                Err(current) => {
                    // SAFETY: the exchange failed, so `ring` was never shared.
                    drop(unsafe { Box::from_raw(ring) });
                    newest = current;
                }
            }
        }
    }

    /// Whether failures can have times.
    pub(crate) fn is_reserved(&self) -> bool {
        // ORDERING: Acquire, partner of the Release in `reserve`: a caller that finds a ring
        // may use it.
        !self.newest.load(Ordering::Acquire).is_null()
    }

    /// How many failures of this tally are younger than `span` at `time`, which was read after
    /// the tally. `clock` gives a time to failures that have not written theirs yet.
    pub(crate) fn count(&self, tally: Timed, span: u64, time: u64, clock: impl Fn() -> u64) -> u32 {
        loop {
            let Some(ring) = self.newest() else {
                return 0;
            };
            if let Ok(count) = ring.count(tally, span, time, &clock) {
                return count;
            }
        }
    }

    /// Writes the time of the failure that has just taken the position after those of `before`.
    /// Keeps the time that a thread that counts has written there meanwhile.
    pub(crate) fn write(&self, before: Timed, time: u64, clock: impl Fn() -> u64) {
        while let Some(ring) = self.newest()
            && ring.write(before, time, &clock).is_err()
        {}
    }

    fn newest(&self) -> Option<&Ring> {
        // ORDERING: Acquire, partner of the Release in `reserve`: the ring's fields are
        // written.
        // SAFETY: null, or a ring that `reserve` leaked. Only the window's drop frees it, which
        // the borrow of `self` keeps away.
        unsafe { self.newest.load(Ordering::Acquire).as_ref() }
    }
}

impl Drop for Window {
    fn drop(&mut self) {
        let mut ring = self.newest.load(Ordering::Relaxed);
        while !ring.is_null() {
            // SAFETY: each ring was leaked from a box by `reserve` and is linked exactly once;
            // `&mut self` shows that the window is not shared any more.
            ring = unsafe { Box::from_raw(ring) }.older;
        }
    }
}

// SAFETY: a ring owns atomics, and `older`, which is written before the ring is shared
// (`Ring::new`) and points to a ring that lives as long as the window.
unsafe impl Send for Window {}
// SAFETY: shared access reaches atomics, and `slots` and `older` of a ring, which do not change
// after `Ring::new`.
unsafe impl Sync for Window {}

/// What a slot says of a position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Slot {
    /// Nothing yet. A reporter may have taken the position.
    Empty,
    Filled(Stamp),
    /// The newer ring has the time of this position.
    Moved,
    /// The slot belongs to a later lap: this ring no longer has the failure's time.
    Overwritten,
}

/// What is known of the time of a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stamp {
    /// Nothing: the failure came before the first ring, or before all times that a ring still has.
    /// Only the oldest of the failures in a row can have no time.
    Unknown,
    /// The time in ms.
    At(u64),
}

impl Stamp {
    fn bits(self) -> u64 {
        match self {
            Stamp::Unknown => UNKNOWN,
            Stamp::At(ms) => ms.min(LATEST),
        }
    }

    fn from_bits(bits: u64) -> Self {
        match bits & TIME_MASK {
            UNKNOWN => Stamp::Unknown,
            ms => Stamp::At(ms),
        }
    }

    /// The least time that a failure after this one may have.
    fn floor(self) -> u64 {
        match self {
            Stamp::Unknown => 0,
            Stamp::At(ms) => ms,
        }
    }

    fn is_inside(self, span: u64, time: u64) -> bool {
        matches!(self, Stamp::At(ms) if ms.saturating_add(span) > time)
    }
}

impl Ring {
    fn new(slots: usize, next: Position, older: *mut Ring) -> Ring {
        let many = slots as u32;
        // The slots of a first ring belong to the failures before `next`, without times. Those of
        // a later ring belong to a lap before: positions that the older ring has are empty here.
        let round = if older.is_null() { many } else { 2 * many };
        let first = next.minus(round);
        let mut content: Vec<_> = (0..many).map(|_| AtomicU64::new(0)).collect();
        for number in 0..many {
            let position = first.plus(number);
            let index = (position.bits() & (many - 1)) as usize;
            let lap = Lap::of(position, many);
            content[index] = AtomicU64::new(lap.bits() | UNKNOWN);
        }
        Ring {
            slots: content.into(),
            older,
        }
    }

    fn older(&self) -> Option<&Ring> {
        // SAFETY: null, or a ring that `reserve` linked here and that only the window's drop
        // frees; this ring is borrowed from the window.
        unsafe { self.older.as_ref() }
    }

    fn count(
        &self,
        tally: Timed,
        span: u64,
        time: u64,
        clock: &impl Fn() -> u64,
    ) -> Result<u32, Moved> {
        let Some(first) = self.first_of(tally) else {
            return Ok(0);
        };
        self.fill(first, tally.next.minus(1), clock)?;
        let mut low = 0;
        let mut high = self.length(tally);
        let length = high;
        while low < high {
            let middle = low + (high - low) / 2;
            match self.read(first.plus(middle)) {
                Slot::Filled(stamp) if stamp.is_inside(span, time) => high = middle,
                _ => low = middle + 1,
            }
        }
        Ok(length - low)
    }

    fn write(&self, before: Timed, time: u64, clock: &impl Fn() -> u64) -> Result<(), Moved> {
        if let Some(first) = self.first_of(before) {
            self.fill(first, before.next.minus(1), clock)?;
        }
        let floor = match before.count {
            0 => 0,
            _ => self.floor(before.next.minus(1)),
        };
        let ms = time.max(floor);
        self.settle(before.next, Stamp::At(ms)).map(drop)
    }

    /// The first position that counts and is not overwritten.
    fn first_of(&self, tally: Timed) -> Option<Position> {
        (tally.count > 0).then(|| tally.next.minus(self.length(tally)))
    }

    fn length(&self, tally: Timed) -> u32 {
        tally.count.min(self.slots.len() as u32)
    }

    /// Fills every empty slot of `first..=last`, in order, each with a time no less than the
    /// one before.
    fn fill(&self, first: Position, last: Position, clock: &impl Fn() -> u64) -> Result<(), Moved> {
        // Back to the nearest slot of this ring that is not empty, nearly always the last one.
        // The slots before it are filled.
        let mut position = last;
        while self.read(position) == Slot::Empty {
            if position == first {
                break;
            }
            position = position.minus(1);
        }
        let mut floor = 0;
        loop {
            floor = match self.known(position)? {
                Slot::Filled(stamp) => stamp.floor(),
                // The failure's report is still under way, so the present is within it.
                Slot::Empty => {
                    let ms = clock().max(floor);
                    self.settle(position, Stamp::At(ms))?
                }
                Slot::Moved | Slot::Overwritten => floor,
            };
            if position == last {
                return Ok(());
            }
            position = position.plus(1);
        }
    }

    /// The time in the slot of a position, or 0 if the slot has none.
    fn floor(&self, position: Position) -> u64 {
        match self.read(position) {
            Slot::Filled(stamp) => stamp.floor(),
            _ => 0,
        }
    }

    /// Puts a stamp into the slot of a position unless it has one, and returns the slot's time.
    fn settle(&self, position: Position, stamp: Stamp) -> Result<u64, Moved> {
        loop {
            match self.known(position)? {
                Slot::Filled(known) => return Ok(known.floor()),
                Slot::Overwritten | Slot::Moved => return Ok(stamp.floor()),
                Slot::Empty if self.fill_slot(position, stamp) => return Ok(stamp.floor()),
                Slot::Empty => {}
            }
        }
    }

    /// What this ring or an older one says of a position. If the answer is `Empty`, no older ring
    /// takes a time for this position any more.
    fn known(&self, position: Position) -> Result<Slot, Moved> {
        loop {
            let slot = self.read(position);
            return match (slot, self.older()) {
                (Slot::Moved, _) => Err(Moved),
                (Slot::Empty, Some(older)) => match older.give_up(position) {
                    None => Ok(Slot::Empty),
                    Some(stamp) if self.fill_slot(position, stamp) => Ok(Slot::Filled(stamp)),
                    Some(_) => continue,
                },
                (slot, _) => Ok(slot),
            };
        }
    }

    /// The time that this ring or an older one has of a position. `None` if they have none; then
    /// this ring takes none from now on.
    fn give_up(&self, position: Position) -> Option<Stamp> {
        loop {
            match self.read(position) {
                Slot::Filled(stamp) => return Some(stamp),
                Slot::Moved => return None,
                // Older than all that this ring remembers, and so than what opened the circuit
                // when this ring was the newest.
                Slot::Overwritten => return Some(Stamp::Unknown),
                Slot::Empty => {}
            }
            if let Some(stamp) = self.older().and_then(|older| older.give_up(position)) {
                return Some(stamp);
            }
            if self.exchange(position, MOVED) {
                return None;
            }
        }
    }

    /// Puts a stamp into an empty slot. Returns false if it was not empty any more.
    fn fill_slot(&self, position: Position, stamp: Stamp) -> bool {
        self.exchange(position, stamp.bits())
    }

    /// Writes `content` into an empty slot. Returns false if it was not empty any more.
    fn exchange(&self, position: Position, content: u64) -> bool {
        let (slot, lap) = self.slot(position);
        let seen = slot.load(Ordering::Relaxed);
        // ORDERING: Release, partner of the Acquire in `read`: a reader that finds this slot
        // filled finds those before it filled. The load is Relaxed: an empty slot, which the
        // exchange replaces, says nothing of other slots.
        lap.classify(seen) == Slot::Empty
            && slot
                .compare_exchange(
                    seen,
                    lap.bits() | content,
                    Ordering::Release,
                    Ordering::Relaxed,
                )
                .is_ok()
    }

    fn read(&self, position: Position) -> Slot {
        let (slot, lap) = self.slot(position);
        // ORDERING: Acquire, partner of the Release in `exchange`: slots before a filled one
        // are visible.
        lap.classify(slot.load(Ordering::Acquire))
    }

    fn slot(&self, position: Position) -> (&AtomicU64, Lap) {
        let many = self.slots.len() as u32;
        let index = (position.bits() & (many - 1)) as usize;
        (&self.slots[index], Lap::of(position, many))
    }
}

/// The lap of the ring that a position belongs to. It wraps where positions do.
#[derive(Clone, Copy)]
struct Lap {
    number: u64,
    mask: u64,
}

impl Lap {
    fn of(position: Position, slots: u32) -> Lap {
        Lap {
            number: u64::from(position.bits() / slots),
            mask: u64::from(Position::MANY / slots - 1),
        }
    }

    fn bits(self) -> u64 {
        self.number << LAP_SHIFT
    }

    fn classify(self, bits: u64) -> Slot {
        let behind = self.number.wrapping_sub(bits >> LAP_SHIFT) & self.mask;
        if behind == 0 {
            match bits & TIME_MASK {
                MOVED => Slot::Moved,
                _ => Slot::Filled(Stamp::from_bits(bits)),
            }
        } else if behind <= self.mask / 2 {
            Slot::Empty
        } else {
            Slot::Overwritten
        }
    }
}

#[cfg(test)]
mod tests;
