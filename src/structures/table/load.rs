//! How full an array is: what steers its replacement.
//!
//! Names that come and go in the places they had before change nothing else that all
//! threads share, so their tombstones are counted by each thread for itself, in the cells of
//! the [striped counter](crate::structures::striped_counter).

use crate::structures::striped_counter::block::{Block, Line, Row};
use crate::sys::atomic::{AtomicUsize, Ordering};

/// Counts of this array alone: its successor starts from what it copied. All on lines of their
/// own, since readers share the line of the array's other fields.
pub(super) struct Counts {
    /// Tombstones, counted by each thread in a cell of its own.
    dead: Block<[Line<Row<Tombstones>>; LINES]>,
    shared: Line<Shared>,
}

/// What all threads write.
struct Shared {
    /// Slots that are not empty: live ones and tombstones. Counted after the
    /// fact, so it lags behind by at most one for each inserting thread.
    used: AtomicUsize,
    /// The tombstones of threads that have no cell.
    dead: Tombstones,
}

/// A count of tombstones. It may be negative (wrapped), and so may the sum of all for a moment,
/// or exceed `used`.
struct Tombstones {
    count: AtomicUsize,
    /// How often a thread has asked whether it is its turn; roughly, if several do.
    turns: AtomicUsize,
}

/// On how many lines an array has cells. Few: all are read whenever the counts are.
const LINES: usize = if cfg!(test) { 2 } else { 8 };

/// A thread looks whether an array has become sparse once in so many removals.
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

    /// An entry came into an empty slot. Returns how many slots are used now.
    pub(super) fn count_use(&self) -> usize {
        self.shared.0.used.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// An entry came in the place of a tombstone.
    pub(super) fn count_reuse(&self) {
        self.count(usize::MAX);
    }

    /// An entry became a tombstone. Whether it is the thread's turn to see if the array
    /// has become sparse.
    pub(super) fn count_removal(&self) -> bool {
        let cell = self.count(1);
        let turns = cell.turns.load(Ordering::Relaxed).wrapping_add(1);
        cell.turns.store(turns, Ordering::Relaxed);
        turns.is_multiple_of(TURN)
    }

    /// Counts so many tombstones more (or less, wrapped), where this thread counts.
    #[inline]
    fn count(&self, more: usize) -> &Tombstones {
        // ORDERING: Relaxed, counts order nothing (see `read`). A cell has one writer at a time,
        // which `thread_index` sees to.
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

    /// Used slots and tombstones.
    pub(super) fn read(&self) -> (usize, usize) {
        // ORDERING: Relaxed. The counts order nothing; they steer rebuilds and
        // are exact for a thread that has synchronised with all writers anyway.
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
