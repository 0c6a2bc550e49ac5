//! The outcomes of the last N reports: how many of them failed, and how many were slow?
//!
//! A ring of N slots. Each report takes the next position and writes its outcome into that
//! position's slot, over the outcome of N reports ago. Three kinds of word:
//!
//! - The **head** says which position is next and of which evidence. One exchange takes a
//!   position. The number of reports that count follows from it: N once the ring is full, and
//!   the next position before that.
//! - A **slot** says which position its outcome is of: the lap, and the *epoch*, a number that is
//!   another one whenever the evidence begins again. Slots are not emptied then: the outcome of
//!   another epoch adds nothing.
//! - The **sums** say how many outcomes in the slots of an epoch are failures, and how many slow.
//!
//! So a report makes two shared writes, and a third if it changes the sums.
//!
//! # Why no outcome is lost or counted twice
//!
//! Slots change by compare-and-exchange only. The thread whose exchange succeeds adds to the sums
//! what the new outcome adds, less what the old one added. Whatever the order, these changes add
//! up to what is in the slots.
//!
//! A reporter may be stopped after it took a position. It delays no other thread:
//!
//! - *It writes in time*: no later report has its slot. It writes over what is there.
//! - *It was overtaken*: a report a lap later has taken the slot and written into it. The late
//!   outcome is no longer among the last N, and is dropped. If the later report has not written
//!   yet, it writes over the late outcome, and takes it out of the sums.
//! - *The evidence has begun again*: the outcome is dropped.
//!
//! Before it writes, a report looks at the slots before its own, back to the nearest one that is
//! filled. It *closes* those whose reports are stopped: it takes out what an earlier lap has left
//! there, and no outcome of an earlier lap can come in. So a position without outcome counts as a
//! call, and as no failure. A filled slot has none before it to close, because its report has
//! looked first.
//!
//! A thread must know whether what it finds in a slot or in the sums is older or newer than what it
//! brings. It does not compare epochs or laps for that: numbers that wrap have no order. What is
//! exactly one lap older is so for certain. Otherwise the head decides. It is read after the
//! slot or the sums: who wrote something newer there had changed the head before.
//!
//! # What is promised
//!
//! - Once reporters are quiescent, failures and slow calls are exactly those of the last
//!   min(N, reports since the evidence began) reports, in the order of their positions.
//! - A report that fails or is slow reads the counts after it has changed the sums: of reports at
//!   the same time, the last one to change the sums sees the changes and positions of all.
//! - If some are stopped after they took a position, and the newest report has written, counts
//!   are exact with those that are stopped as good ones.
//! - Beyond that, each thread that is stopped inside of [`LastCalls::report`] makes the sums differ
//!   by at most one outcome. A thread that a fork leaves behind there does so in the child until
//!   the evidence begins again.
//! - A report takes no lock and allocates nothing. It tries an exchange again only if another
//!   thread's has succeeded.
//! - A report of an older generation than the ring's counts nowhere. "Older" is up to half a
//!   round of generations, so [`LastCalls::restart`] or a report must come at least every 4 095
//!   generations; otherwise reports count nowhere until the other half of the round. So the circuit
//!   restarts it after each change of state.
//!
//! # Where numbers wrap
//!
//! What is compared is compared for equality, so a wrap can do harm only to a thread that is
//! stopped for exactly a round. Positions repeat after 2³² to 2³³ reports, which take minutes. To be
//! taken for current, a report has to be stopped for a multiple of that, give or take N. Epochs
//! repeat after 131 071 beginnings. Either a thread is stopped for exactly that many. Or a slot
//! keeps its outcome as long, because no evidence in between reaches it, and the report that would
//! write over it in the first lap is stopped until the second.
//!
//! # What was rejected
//!
//! - *Counting in the slots when a report asks*: N loads for each failure.
//! - *Sums in the head*: one exchange fewer, and 51 bits for three numbers up to 100 000, which
//!   leaves none for laps and epochs.
//! - *Emptying the slots at a restart*: N writes, in the midst of reports.
//! - *A position by `fetch_add`*: the restart would need the same word, so it needs an exchange.
//! - *A lock*: a reporter that is stopped inside stops all others.

#![allow(dead_code)]

use crate::sys::atomic::{AtomicU64, Ordering};
use crate::values::generation::Generation;

pub(crate) use words::Outcome;
use words::{Change, Entry, Epoch, Head, Place, Shape, Sums};

mod words;

/// The outcomes of the last N reports of one circuit.
///
/// | field | who writes | who reads | ordering |
/// |---|---|---|---|
/// | `head` | each report; a restart | the same; what is not one lap old | relaxed: slots and sums order it |
/// | `slots` | their report; a later one that closes them | the same | Release, Acquire |
/// | `sums` | a report that changes them; the first of an epoch | each report, `counts` | Release, Acquire |
#[derive(Debug)]
pub(crate) struct LastCalls {
    head: Line,
    sums: Line,
    shape: Shape,
    slots: Box<[AtomicU64]>,
}

/// On cache lines of its own, also for processors that fetch two at a time.
#[derive(Debug)]
#[repr(align(128))]
struct Line(AtomicU64);

/// How many of the last reports count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) calls: u32,
    pub(crate) failures: u32,
    pub(crate) slow: u32,
}

/// A position that a report has taken, and not filled yet.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Claim {
    epoch: Epoch,
    place: Place,
    /// The slot had a position before, in the same epoch.
    again: bool,
    /// How many reports count with this one.
    calls: u32,
}

impl LastCalls {
    /// Allocates the ring: 8 bytes for each of `n` reports, 1 to 131 072.
    pub(crate) fn new(n: u32) -> Self {
        let shape = Shape::new(n);
        LastCalls {
            head: Line(AtomicU64::new(0)),
            sums: Line(AtomicU64::new(0)),
            shape,
            slots: (0..n).map(|_| AtomicU64::new(0)).collect(),
        }
    }

    /// Adds a report that belongs to this generation, and returns what counts with it. The first
    /// one of a newer generation begins the evidence again. One of an older generation counts
    /// nowhere, and returns zeros.
    pub(crate) fn report(&self, generation: Generation, outcome: Outcome) -> Counts {
        match self.claim(generation) {
            Some(claim) => self.settle(claim, outcome),
            None => Counts::default(),
        }
    }

    /// What counts now for this generation: zeros unless the evidence is of it.
    pub(crate) fn counts(&self, generation: Generation) -> Counts {
        self.counts_if(|head| head.is_of(generation))
    }

    /// Begins the evidence again, in the ring's generation or a newer one. Does nothing in an older
    /// one.
    pub(crate) fn restart(&self, generation: Generation) {
        let mut seen = self.head.0.load(Ordering::Relaxed);
        loop {
            let head = self.head_of(seen);
            let is_new = head.is_of(generation) && head.calls(self.shape) == 0;
            if is_new || head.is_after(generation) {
                return;
            }
            let begun = head.begun(generation);
            match self.exchange_head(seen, begun) {
                Ok(()) => return self.change_sums(begun.epoch, Change::NONE),
                Err(current) => seen = current,
            }
        }
    }

    /// Takes the next position for a report of this generation. Returns `None` if newer evidence
    /// has begun. [`report`](Self::report) in two steps, for tests that stop a report in between.
    pub(crate) fn claim(&self, generation: Generation) -> Option<Claim> {
        let mut seen = self.head.0.load(Ordering::Relaxed);
        loop {
            let mut head = self.head_of(seen);
            let begins = !head.is_of(generation);
            if begins {
                if head.is_after(generation) {
                    return None;
                }
                head = head.begun(generation);
            }
            let taken = head.taken(self.shape);
            match self.exchange_head(seen, taken) {
                Ok(()) => {
                    if begins {
                        self.change_sums(head.epoch, Change::NONE);
                    }
                    return Some(Claim {
                        epoch: head.epoch,
                        place: head.next,
                        again: head.full,
                        calls: taken.calls(self.shape),
                    });
                }
                Err(current) => seen = current,
            }
        }
    }

    /// Writes the outcome of a position, and returns what counts with it.
    pub(crate) fn settle(&self, claim: Claim, outcome: Outcome) -> Counts {
        if claim.again {
            self.close_before(claim);
        }
        let change = self.fill(claim, outcome);
        if change != Change::NONE {
            self.change_sums(claim.epoch, change);
        }
        if outcome.failed || outcome.slow {
            // With the positions of all whose changes are in the sums, so that the last report to
            // change them misses none.
            return self.counts_if(|head| head.epoch == claim.epoch);
        }
        self.counts_of(claim.epoch, claim.calls, self.read_sums())
    }

    /// Closes the slots before this one whose reports have not written yet, back to the nearest
    /// one that is filled.
    fn close_before(&self, claim: Claim) {
        let mut place = claim.place;
        for _ in 1..self.shape.slots() {
            place = self.shape.before(place);
            if !self.close(claim.epoch, place) {
                return;
            }
        }
    }

    /// Takes the outcome of an earlier lap out of the slot of a place, and lets none in. Returns
    /// false if the slot is filled.
    fn close(&self, epoch: Epoch, place: Place) -> bool {
        let slot = &self.slots[place.index as usize];
        let closed = Entry::lap_before(epoch, place, self.shape);
        let mut seen = read(slot);
        while seen != closed {
            if seen.is_of(epoch, place) || !self.is_older(seen, epoch, place) {
                return false;
            }
            match exchange(slot, seen, closed) {
                Ok(()) => {
                    let taken_out = Change::NONE.minus(seen.addition_in(epoch));
                    self.change_sums(epoch, taken_out);
                    return true;
                }
                Err(current) => seen = current,
            }
        }
        true
    }

    /// Writes an outcome into its slot, unless a later report or other evidence has it. Returns how
    /// that changes the sums.
    fn fill(&self, claim: Claim, outcome: Outcome) -> Change {
        let slot = &self.slots[claim.place.index as usize];
        let entry = Entry::new(claim.epoch, claim.place, outcome);
        let mut seen = read(slot);
        while self.is_older(seen, claim.epoch, claim.place) {
            match exchange(slot, seen, entry) {
                Ok(()) if claim.again => {
                    return entry.addition().minus(seen.addition_in(claim.epoch));
                }
                // In the first lap, what is there is of another epoch, also if its number is
                // this one's.
                Ok(()) => return entry.addition(),
                Err(current) => seen = current,
            }
        }
        Change::NONE
    }

    /// Whether what was read in the slot of a place is older than what belongs there.
    fn is_older(&self, seen: Entry, epoch: Epoch, place: Place) -> bool {
        seen.is_lap_before(epoch, place, self.shape)
            || self.read_head().leaves(epoch, place, self.shape)
    }

    /// Adds to the sums of an epoch, unless it is over. Those of another one make way.
    fn change_sums(&self, epoch: Epoch, change: Change) {
        let mut seen = self.read_sums();
        loop {
            let sums = if seen.epoch == epoch {
                seen
            } else if self.read_head().epoch == epoch {
                Sums::none(epoch)
            } else {
                return;
            };
            let next = sums.plus(change);
            if next == seen {
                return;
            }
            // ORDERING: Release, partner of the Acquire in `read_sums`: a thread that finds these
            // sums finds this thread's position in the head. Acquire on failure for the same.
            match self.sums.0.compare_exchange_weak(
                seen.bits(),
                next.bits(),
                Ordering::Release,
                Ordering::Acquire,
            ) {
                Ok(_) => return,
                Err(current) => seen = Sums::from_bits(current),
            }
        }
    }

    fn counts_if(&self, counts: impl Fn(Head) -> bool) -> Counts {
        // The sums first: the head then has the positions of all that they count.
        let sums = self.read_sums();
        let head = self.read_head();
        if counts(head) {
            self.counts_of(head.epoch, head.calls(self.shape), sums)
        } else {
            Counts::default()
        }
    }

    fn counts_of(&self, epoch: Epoch, calls: u32, sums: Sums) -> Counts {
        let sums = if sums.epoch == epoch {
            sums
        } else {
            Sums::none(epoch)
        };
        let (failures, slow) = sums.within(calls);
        Counts {
            calls,
            failures,
            slow,
        }
    }

    fn read_sums(&self) -> Sums {
        // ORDERING: Acquire, partner of the Release in `change_sums`: what is read in the head
        // afterwards is no older than the positions of those who changed the sums.
        Sums::from_bits(self.sums.0.load(Ordering::Acquire))
    }

    fn read_head(&self) -> Head {
        // ORDERING: Relaxed. A thread that reads it has acquired the slot or the sums that it
        // decides about, or wants no more than a number.
        self.head_of(self.head.0.load(Ordering::Relaxed))
    }

    fn head_of(&self, bits: u64) -> Head {
        Head::from_bits(bits, self.shape)
    }

    /// Returns the current head if it is no longer the one that was seen.
    fn exchange_head(&self, seen: u64, next: Head) -> Result<(), u64> {
        // ORDERING: Relaxed. Nothing is published by it: the exchanges in the slot and in the sums
        // come after it, and release it.
        self.head
            .0
            .compare_exchange_weak(
                seen,
                next.bits(self.shape),
                Ordering::Relaxed,
                Ordering::Relaxed,
            )
            .map(drop)
    }
}

fn read(slot: &AtomicU64) -> Entry {
    // ORDERING: Acquire, partner of the Release in `exchange`: what is read in the head
    // afterwards is no older than the position of the outcome.
    Entry::from_bits(slot.load(Ordering::Acquire))
}

/// Returns what is in the slot if it is no longer what was seen.
fn exchange(slot: &AtomicU64, seen: Entry, next: Entry) -> Result<(), Entry> {
    // ORDERING: Release, partner of the Acquire in `read` and of this one's on failure: a thread
    // that finds the outcome finds its position in the head.
    slot.compare_exchange(
        seen.bits(),
        next.bits(),
        Ordering::Release,
        Ordering::Acquire,
    )
    .map(drop)
    .map_err(Entry::from_bits)
}

#[cfg(test)]
mod tests;
