//! The outcomes of the last N reports: how many of them failed, and how many were slow?
//!
//! A ring of N slots. Each report takes the next position, and with it the slot of the report N
//! before. The *evidence* is the outcomes that count; it begins again in a newer generation of the
//! circuit, or at a restart. There are three kinds of word:
//!
//! - The **head** says which position is next and of which evidence. One exchange takes a
//!   position. The number of reports that count follows from the head: N once the ring is full,
//!   and the next position before that.
//! - A **slot** holds the last outcome there that was not good (failed, slow, or both), with its
//!   lap and its *epoch*, a number that changes whenever the evidence begins again. Or it says
//!   that this outcome has been taken out. Slots are not emptied when the evidence begins again:
//!   an outcome of another epoch adds nothing.
//! - The **sums** say how many entries in the slots of an epoch are failures, and how many slow.
//!
//! A good outcome looks like one that has not been written. So a good report that finds nothing
//! to take out of its slot makes one shared write, to the head. Any other report makes two or
//! three.
//!
//! # Why no outcome is lost or counted twice
//!
//! Slots change by compare-and-exchange only. The thread whose exchange succeeds changes the sums
//! by what the new entry adds, less what the old one added. Whatever the order, these changes add
//! up to what is in the slots.
//!
//! A reporter may be stopped after it took a position. It delays no other thread:
//!
//! - *It goes on in time*: no later report has its slot. It writes over what is there.
//! - *A report a lap later has the slot, or the evidence has begun again*: the late outcome is
//!   no longer among the last N, and is dropped.
//! - *That happens while it writes*: it reads the head again after it has written, and takes
//!   its own entry out. The later report, if it is good, writes nothing, and may have read the
//!   slot before the late one wrote. Both reports execute a fence between their write (the later
//!   one to the head) and their read, so one of them sees the other's. If both do, one exchange
//!   succeeds.
//!
//! Until the stopped reporter goes on, the outcome of N reports before is still in its slot. The
//! next report takes that outcome out: each report checks the slot before its own. So a position
//! without outcome counts as a call, and as no failure.
//!
//! A thread must know whether what it finds in a slot or in the sums is older or newer than what it
//! brings. It does not compare epochs or laps for that: numbers that wrap have no order. The head
//! decides. A thread reads the head after the slot or the sums. Any thread that wrote something
//! newer there had changed the head before.
//!
//! # What is promised
//!
//! - Once reporters are quiescent, failures and slow calls are exactly those of the last
//!   min(N, reports since the evidence began) reports, in the order of their positions.
//! - A report that fails or is slow reads the counts after it has changed the sums. Of reports at
//!   the same time, the last one to change the sums sees the changes and positions of all.
//! - If a report is stopped after it took a position, and the next one is not, the counts are
//!   those with a good outcome in its place.
//! - Beyond that, each thread that is stopped inside of [`LastCalls::report`] makes the sums differ
//!   by at most two outcomes, of its slot and of the one before. A thread that a fork leaves behind
//!   there does so in the child until the evidence begins again.
//! - A report takes no lock and allocates nothing. It tries an exchange again only if another
//!   thread's has succeeded.
//! - A report of an older generation than the ring's counts nowhere. "Older" is up to half a
//!   round of generations. So a report, a restart or a [`LastCalls::follow`] must come at least
//!   every 4 095 generations; otherwise reports count nowhere until the other half of the round.
//!   The circuit calls `follow` after each closing.
//!
//! # Where numbers wrap
//!
//! Numbers are compared only for equality, so a wrap can do harm only to a thread that is stopped
//! for exactly a round. Positions repeat after 2³² to 2³³ reports, which take minutes. To be taken
//! for current, a report has to be stopped for a multiple of that, give or take N. Epochs repeat
//! after 131 071 beginnings. Harm needs one of two cases. A thread is stopped for exactly that
//! many. Or a slot keeps its outcome for as many, and the report that would take it out in the
//! first lap is still under way in the second.
//!
//! # What was rejected
//!
//! - *Counting in the slots when a report asks*: N loads for each failure.
//! - *Sums in the head*: one exchange fewer, and 51 bits for three numbers up to 100 000, which
//!   leaves none for laps and epochs.
//! - *Writing good outcomes, too*: a second shared write for each. A late outcome would then see
//!   from the slot that it is late, which would only spare a second look at the head after a
//!   failure.
//! - *Emptying the slots at a restart*: N writes, while reports go on.
//! - *A position by addition*: a late report of an older generation would take a position of the
//!   newer evidence. It could not give the position back: the report whose slot it took may have
//!   seen that, and have dropped its outcome.
//! - *A lock*: a reporter that is stopped while it holds the lock stops all others.

use crate::sys::atomic::{AtomicU64, Ordering, fence_after_rmw};
use crate::values::generation::Generation;
use crate::values::rates::{Counts, Outcome};

use words::{Change, Entry, Epoch, Head, Position, Shape, Sums};

mod words;

/// The outcomes of the last N reports of one circuit.
///
/// | field | written by | read by | ordering |
/// |---|---|---|---|
/// | `head` | each report; a restart | the same | a fence after it |
/// | `slots` | their reports, the next ones | the same | a fence, Acquire |
/// | `sums` | a report that changes them; the first of an epoch | each report, `counts` | a fence, Acquire |
#[derive(Debug)]
pub(crate) struct LastCalls {
    head: Line,
    sums: Line,
    shape: Shape,
    slots: Box<[AtomicU64]>,
}

/// A word on cache lines of its own, even for processors that fetch two at a time.
#[derive(Debug)]
#[repr(align(128))]
struct Line(AtomicU64);

/// A position that a report has taken, and not filled yet.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Claim {
    epoch: Epoch,
    position: Position,
    /// Whether the slot had a position before, in the same epoch.
    again: bool,
    /// How many reports count, including this one.
    calls: u32,
}

impl Claim {
    /// What an entry that this report finds in its slot has added to the sums.
    fn addition_before(self, entry: Entry) -> Change {
        if self.again {
            entry.addition(self.epoch)
        } else {
            // In the first lap it is of another epoch, even if its number is this one's.
            Change::NONE
        }
    }
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

    /// Adds a report that belongs to this generation, and returns the counts with it. The first
    /// report of a newer generation begins the evidence again. A report of an older generation
    /// counts nowhere, and zeros are returned.
    pub(crate) fn report(&self, generation: Generation, outcome: Outcome) -> Counts {
        match self.claim(generation) {
            Some(claim) => self.settle(claim, outcome),
            None => Counts::default(),
        }
    }

    /// The counts of this generation. Zeros if the evidence is of another one.
    pub(crate) fn counts(&self, generation: Generation) -> Counts {
        self.counts_if(|head| head.is_of(generation))
    }

    /// Begins the evidence again, if `generation` is the ring's or a newer one. Otherwise does
    /// nothing.
    pub(crate) fn restart(&self, generation: Generation) {
        self.begin_unless(generation, |head| head.calls(self.shape) == 0);
    }

    /// Begins the evidence of a newer generation, unless a report has done so. Called by the thread
    /// that closes the circuit, so that no later generation is taken for an older one.
    pub(crate) fn follow(&self, generation: Generation) {
        self.begin_unless(generation, |_| true);
    }

    /// Begins the evidence again if `generation` is newer, or if it is the ring's and `may_stay`
    /// returns false for the head.
    fn begin_unless(&self, generation: Generation, may_stay: impl Fn(Head) -> bool) {
        let mut seen = self.head.0.load(Ordering::Relaxed);
        loop {
            let head = Head::from_bits(seen);
            let stays = head.is_of(generation) && may_stay(head);
            if stays || head.is_after(generation) {
                return;
            }
            let begun = head.begun(generation);
            match self.exchange_head(seen, begun) {
                Ok(()) => return self.change_sums(begun.epoch(), Change::NONE),
                Err(current) => seen = current,
            }
        }
    }

    /// Takes the next position for a report of this generation. Returns `None` if newer evidence
    /// has begun. [`report`](Self::report) in two steps, for tests that stop a report in between.
    pub(crate) fn claim(&self, generation: Generation) -> Option<Claim> {
        let mut seen = self.head.0.load(Ordering::Relaxed);
        loop {
            let mut head = Head::from_bits(seen);
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
                    // ORDERING: partner of the fence in `write`, and of the Acquire in `read` and
                    // `read_sums`: a thread that finds what this report writes there finds its
                    // position in the head.
                    fence_after_rmw();
                    if begins {
                        self.change_sums(head.epoch(), Change::NONE);
                    }
                    return Some(Claim {
                        epoch: head.epoch(),
                        position: head.next(self.shape),
                        again: head.is_full(),
                        calls: taken.calls(self.shape),
                    });
                }
                Err(current) => seen = current,
            }
        }
    }

    /// Writes the outcome of a position, and returns the counts with it.
    pub(crate) fn settle(&self, claim: Claim, outcome: Outcome) -> Counts {
        if claim.again {
            self.close_before(claim);
        }
        let change = if outcome.is_good() {
            self.clear(claim)
        } else {
            self.write(claim, outcome)
        };
        if change != Change::NONE {
            self.change_sums(claim.epoch, change);
        }
        if outcome.is_good() {
            return self.counts_of(claim.epoch, claim.calls, self.read_sums());
        }
        // Read again, with the positions of all reports whose changes are in the sums: the last
        // report to change them misses none.
        self.counts_if(|head| head.epoch() == claim.epoch)
    }

    /// Takes the outcome of an earlier lap out of the slot before, if its report has not done so
    /// yet.
    fn close_before(&self, claim: Claim) {
        let position = self.shape.before(claim.position);
        let slot = self.slot(position);
        let mut seen = read(slot);
        while seen.counts_in(claim.epoch)
            && !seen.is_of_lap(position)
            && self.is_last(claim.epoch, position)
        {
            match exchange(slot, seen, seen.taken_out()) {
                Ok(()) => {
                    let change = Change::NONE.minus(seen.addition(claim.epoch));
                    return self.change_sums(claim.epoch, change);
                }
                Err(current) => seen = current,
            }
        }
    }

    /// Takes the outcome of an earlier lap out of the slot of a good report. Returns how that
    /// changes the sums.
    fn clear(&self, claim: Claim) -> Change {
        let slot = self.slot(claim.position);
        let mut seen = read(slot);
        while seen.counts_in(claim.epoch) && self.is_last(claim.epoch, claim.position) {
            match exchange(slot, seen, seen.taken_out()) {
                Ok(()) => return Change::NONE.minus(claim.addition_before(seen)),
                Err(current) => seen = current,
            }
        }
        Change::NONE
    }

    /// Writes the outcome of a report that is not good into its slot, unless a later report has the
    /// slot. Returns how that changes the sums.
    fn write(&self, claim: Claim, outcome: Outcome) -> Change {
        let slot = self.slot(claim.position);
        let entry = Entry::new(claim.epoch, claim.position, outcome);
        let mut seen = read(slot);
        loop {
            if !self.is_last(claim.epoch, claim.position) {
                return Change::NONE;
            }
            match exchange(slot, seen, entry) {
                Ok(()) => break,
                Err(current) => seen = current,
            }
        }
        let before = claim.addition_before(seen);
        // ORDERING: partner of the fence in `claim`: either this thread finds the position of a
        // later report of this slot, or that report finds the entry.
        fence_after_rmw();
        if !self.is_last(claim.epoch, claim.position)
            && exchange(slot, entry, entry.taken_out()).is_ok()
        {
            return Change::NONE.minus(before);
        }
        entry.addition(claim.epoch).minus(before)
    }

    /// Whether no later position has the slot of this one. If so, an entry that was read in the
    /// slot before this call is older.
    fn is_last(&self, epoch: Epoch, position: Position) -> bool {
        self.read_head().leaves(epoch, position, self.shape)
    }

    fn slot(&self, position: Position) -> &AtomicU64 {
        &self.slots[position.index as usize]
    }

    /// Adds a change to the sums of an epoch, replacing those of another one. Does nothing if the
    /// epoch is over.
    fn change_sums(&self, epoch: Epoch, change: Change) {
        let mut seen = self.read_sums();
        loop {
            let sums = if seen.epoch == epoch {
                seen
            } else if self.read_head().epoch() == epoch {
                Sums::none(epoch)
            } else {
                return;
            };
            let next = sums.plus(change);
            if next == seen {
                return;
            }
            // ORDERING: Relaxed on success: the fence in `claim` releases the position of a thread
            // that brings more than zeros. Acquire on failure, as in `read_sums`.
            match self.sums.0.compare_exchange_weak(
                seen.bits(),
                next.bits(),
                Ordering::Relaxed,
                Ordering::Acquire,
            ) {
                Ok(_) => return,
                Err(current) => seen = Sums::from_bits(current),
            }
        }
    }

    fn counts_if(&self, counts: impl Fn(Head) -> bool) -> Counts {
        // The sums first: the head then includes the positions of all reports that they count.
        let sums = self.read_sums();
        let head = self.read_head();
        if counts(head) {
            self.counts_of(head.epoch(), head.calls(self.shape), sums)
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
            calls: calls.into(),
            failures: failures.into(),
            slow: slow.into(),
        }
    }

    fn read_sums(&self) -> Sums {
        // ORDERING: Acquire, partner of the fence in `claim`: what is read in the head afterwards
        // is no older than the positions of the reports that changed the sums.
        Sums::from_bits(self.sums.0.load(Ordering::Acquire))
    }

    fn read_head(&self) -> Head {
        // ORDERING: Relaxed. The calling thread has acquired the slot or the sums that the head
        // decides about, or only needs a number.
        Head::from_bits(self.head.0.load(Ordering::Relaxed))
    }

    /// Replaces the head if it is still the one that was seen. Otherwise returns the current head
    /// as the error.
    fn exchange_head(&self, seen: u64, next: Head) -> Result<(), u64> {
        // ORDERING: Relaxed. The fence in `claim` comes after it.
        self.head
            .0
            .compare_exchange_weak(seen, next.bits(), Ordering::Relaxed, Ordering::Relaxed)
            .map(drop)
    }
}

fn read(slot: &AtomicU64) -> Entry {
    // ORDERING: Acquire, partner of the fence in `claim`: what is read in the head afterwards is no
    // older than the position of the entry.
    Entry::from_bits(slot.load(Ordering::Acquire))
}

/// Replaces the entry if it is still the one that was seen. Otherwise returns the current entry as
/// the error.
fn exchange(slot: &AtomicU64, seen: Entry, next: Entry) -> Result<(), Entry> {
    // ORDERING: Relaxed on success: the fence in `claim` releases the position of the entry.
    // Acquire on failure, as in `read`.
    slot.compare_exchange(
        seen.bits(),
        next.bits(),
        Ordering::Relaxed,
        Ordering::Acquire,
    )
    .map(drop)
    .map_err(Entry::from_bits)
}

#[cfg(test)]
mod tests;
