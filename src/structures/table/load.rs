//! How full an array is, which decides when it is replaced.
//!
//! A name that comes and goes in the slot it had before changes only that slot and the number
//! of tombstones. A shared number would be the one word that all threads write. So each thread
//! counts tombstones for itself, in cells like those of the
//! [striped counter](crate::structures::striped_counter).

use crate::structures::striped_counter::block::{Block, Line, Row};
use crate::sys::atomic::{AtomicUsize, Ordering};

/// Counts of this array alone: its successor starts from what it copied. All on cache lines of
/// their own, since readers share the line of the array's other fields.
pub(super) struct Counts {
    /// Tombstones, counted by each thread in a cell of its own.
    dead: Block<[Line<Row<Tombstones>>; LINES]>,
    shared: Line<Shared>,
}

/// The counts that all threads write.
struct Shared {
    /// Slots that are not empty: live ones and tombstones. Counted after the slot
    /// changed, so it lags behind by at most one for each inserting thread.
    used: AtomicUsize,
    /// The tombstones of threads that have no cell.
    dead: Tombstones,
}

/// A count of tombstones. It may be negative (wrapped). The sum of all counts may for a moment
/// be negative too, or exceed `used`.
struct Tombstones {
    count: AtomicUsize,
    /// The number of removals counted here. Approximate if several threads count here.
    turns: AtomicUsize,
}

/// The number of lines with cells in an array. Few: all are read whenever the counts are.
const LINES: usize = if cfg!(test) { 2 } else { 8 };

/// A thread checks once in so many removals whether an array has become sparse.
const TURN: usize = 16;

impl Counts {
    pub(super) fn new(used: usize) -> Self {
        Counts {
            dead: Block::new(std::array::from_fn(|_| Line(Row::new(Tombstones::none)))),
            shared: Line(Shared {
                used: AtomicUsize::new(used),
                dead: Tombstones::none(),
            }),
        }
    }

    /// Counts an entry in an empty slot. Returns how many slots are used now.
    pub(super) fn count_use(&self) -> usize {
        self.shared.0.used.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Counts an entry in the place of a tombstone.
    pub(super) fn count_reuse(&self) {
        self.count(usize::MAX);
    }

    /// Counts an entry that became a tombstone. Returns whether the thread should check now
    /// if the array has become sparse.
    pub(super) fn count_removal(&self) -> bool {
        let cell = self.count(1);
        let turns = cell.turns.load(Ordering::Relaxed).wrapping_add(1);
        cell.turns.store(turns, Ordering::Relaxed);
        turns.is_multiple_of(TURN)
    }

    /// Adds `more` (wrapped, if negative) where this thread counts, and returns that count.
    #[inline]
    fn count(&self, more: usize) -> &Tombstones {
        // ORDERING: Relaxed: the counts order nothing (see `read`). A cell has one writer at a
        // time, which `thread_index` ensures.
        match self.dead.own() {
            Some(own) => {
                let count = own.count.load(Ordering::Relaxed).wrapping_add(more);
                own.count.store(count, Ordering::Relaxed);
                own
            }
            None => {
                let shared = &self.shared.0.dead;
                shared.count.fetch_add(more, Ordering::Relaxed);
                shared
            }
        }
    }

    /// The numbers of used slots and of tombstones.
    pub(super) fn read(&self) -> (usize, usize) {
        // ORDERING: Relaxed. The counts order nothing. They only decide when to rebuild,
        // and are exact for a thread that has synchronised with all writers.
        let shared = &self.shared.0;
        let cells = self.dead.cells().chain([&shared.dead]);
        let dead = cells.fold(0_usize, |sum, cell| {
            sum.wrapping_add(cell.count.load(Ordering::Relaxed))
        });
        let dead = dead.cast_signed().max(0).cast_unsigned();
        (shared.used.load(Ordering::Relaxed), dead)
    }
}

impl Tombstones {
    fn none() -> Self {
        Tombstones {
            count: AtomicUsize::new(0),
            turns: AtomicUsize::new(0),
        }
    }
}
