//! How full an array is: what steers its replacement.
//!
//! Names that come and go in the places they had before change nothing else that all
//! threads share, so their tombstones are counted by each thread for itself.

use crate::sys::atomic::{self, AtomicUsize, Ordering};

/// Counts of this array alone: its successor starts from what it copied.
/// A line of their own, since readers share the line of the other fields.
#[repr(align(128))]
pub(super) struct Counts {
    /// Slots that are not empty: live ones and tombstones. Counted after the
    /// fact, so it lags behind by at most one for each inserting thread.
    pub(super) used: AtomicUsize,
    /// Tombstones, counted by each thread in a place of its own. A place may be negative
    /// (wrapped), and so may their sum for a moment, or exceed `used`.
    dead: [Place; PLACES],
}

/// A count of tombstones. The first thread that counts here owns the place, and counts
/// with plain loads and stores; those that come too late share a count beside its own.
#[repr(align(128))]
struct Place {
    /// A thread's token; 0: no thread owns it yet. No token comes twice, so what is owned stays so.
    owner: AtomicUsize,
    /// The owner's count.
    own: AtomicUsize,
    /// That of the others.
    others: AtomicUsize,
    /// How often a thread has asked whether it is its turn; roughly, if several do.
    turns: AtomicUsize,
}

const PLACES: usize = if cfg!(test) { 2 } else { 8 };

/// A thread looks whether an array has become sparse once in so many removals.
const TURN: usize = 16;

impl Counts {
    pub(super) fn new(used: usize) -> Self {
        Counts {
            used: AtomicUsize::new(used),
            dead: std::array::from_fn(|_| Place::new()),
        }
    }

    /// An entry came in the place of a tombstone.
    pub(super) fn count_reuse(&self) {
        self.count(usize::MAX);
    }

    /// An entry became a tombstone. Whether it is the thread's turn to see if the array
    /// has become sparse.
    pub(super) fn count_removal(&self) -> bool {
        let place = self.count(1);
        let turns = place.turns.load(Ordering::Relaxed).wrapping_add(1);
        place.turns.store(turns, Ordering::Relaxed);
        turns.is_multiple_of(TURN)
    }

    /// Counts so many tombstones more (or less, wrapped), where this thread counts.
    fn count(&self, more: usize) -> &Place {
        let token = atomic::thread_token();
        let place = &self.dead[token % PLACES];
        // ORDERING: Relaxed, counts order nothing (see `read`).
        if place.belongs_to(token) {
            let count = place.own.load(Ordering::Relaxed).wrapping_add(more);
            place.own.store(count, Ordering::Relaxed);
        } else {
            place.others.fetch_add(more, Ordering::Relaxed);
        }
        place
    }

    /// Used slots and tombstones.
    pub(super) fn read(&self) -> (usize, usize) {
        // ORDERING: Relaxed. The counts order nothing; they steer rebuilds and
        // are exact for a thread that has synchronised with all writers anyway.
        let counts = self
            .dead
            .iter()
            .flat_map(|place| [&place.own, &place.others]);
        let dead = counts.fold(0_usize, |sum, count| {
            sum.wrapping_add(count.load(Ordering::Relaxed))
        });
        let dead = dead.cast_signed().max(0).cast_unsigned();
        (self.used.load(Ordering::Relaxed), dead)
    }
}

impl Place {
    fn new() -> Self {
        Place {
            owner: AtomicUsize::new(0),
            own: AtomicUsize::new(0),
            others: AtomicUsize::new(0),
            turns: AtomicUsize::new(0),
        }
    }

    /// Whether the thread of this token owns it. If no thread did, this one does from now on.
    fn belongs_to(&self, token: usize) -> bool {
        // ORDERING: Relaxed. The one value that matters, our own token, was written by
        // this thread, and a place that had no owner has no history to acquire.
        match self.owner.load(Ordering::Relaxed) {
            0 => self
                .owner
                .compare_exchange(0, token, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok(),
            owner => owner == token,
        }
    }
}
