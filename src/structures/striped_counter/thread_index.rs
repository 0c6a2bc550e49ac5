//! Thread indexes: small numbers, each used by one live thread at a time.
//!
//! A cell has one writer because its owner is an index and an index has one
//! user. A thread takes the lowest free index when it first reports and gives
//! it back when it ends. Low and dense matters: threads with neighbouring
//! indexes start at different cells of a block, and a pool that replaces its
//! threads goes on with the cells the old ones claimed.
//!
//! The indexes in use are set bits in a few words. Taking one is a `fetch_or`,
//! giving it back a `fetch_and`, and both are lock-free.
//!
//! # The hand-over
//!
//! The next thread with an index continues in the same cells with plain loads
//! and stores, so it must see every store of its predecessor, or it would go on
//! from an older count and erase the difference. Giving back is a Release and
//! taking an Acquire on the same word. Between the two, other bits of that word
//! may change; each change is a read-modify-write, so the release sequence is
//! unbroken and the Acquire still meets the Release.
//!
//! # Threads without an index
//!
//! There are 4096 indexes. A thread that finds none left never gets one. Neither
//! does a thread that reports during its own destruction, after it gave its index
//! back. Such threads count in the shared cell. If they shared an index instead,
//! counts would be lost.

use crate::sys::atomic::{AtomicU16, AtomicU64, Ordering, modelled, shipped};

/// What an owner field holds while no thread owns the cell; never an index.
pub(super) const FREE: u16 = 0;

/// Indexes `1..=64 * WORDS`, free or taken.
pub(crate) struct Pool<const WORDS: usize> {
    /// Bit `b` of word `w` is set while index `64 * w + b + 1` is taken. Only
    /// changed by read-modify-writes.
    words: [AtomicU64; WORDS],
}

impl<const WORDS: usize> Pool<WORDS> {
    /// Takes the lowest index that is free. `None` if all are taken.
    pub(crate) fn claim(&self) -> Option<u16> {
        for (place, word) in self.words.iter().enumerate() {
            let mut taken = word.load(Ordering::Relaxed);
            while taken != u64::MAX {
                let bit = taken.trailing_ones();
                // ORDERING: Acquire pairs with the Release in `release`.
                taken = word.fetch_or(1 << bit, Ordering::Acquire);
                if taken & (1 << bit) == 0 {
                    return Some((64 * place) as u16 + bit as u16 + 1);
                }
            }
        }
        None
    }

    /// Gives back an index that `claim` returned. The caller no longer reports
    /// under it.
    pub(crate) fn release(&self, index: u16) {
        let place = usize::from(index - 1);
        // ORDERING: Release pairs with the Acquire in `claim`: all that was
        // stored under the index comes before it is free.
        self.words[place / 64].fetch_and(!(1 << (place % 64)), Ordering::Release);
    }
}

/// Makes `index` the owner of a cell, unless another index is. Returns whether
/// `index` owns the cell now. An owner never changes.
pub(super) fn claim_cell(owner: &AtomicU16, index: u16) -> bool {
    let seen = owner.load(Ordering::Relaxed);
    if seen != FREE {
        return seen == index;
    }
    // ORDERING: Relaxed: a cell that had no owner has no history to acquire.
    match owner.compare_exchange(FREE, index, Ordering::Relaxed, Ordering::Relaxed) {
        Ok(_) => true,
        Err(seen) => seen == index,
    }
}

shipped! {
    use crate::sys::hot_tls::{NO_INDEX, words};

    /// In place of an index: this thread has not asked for one. Owns nothing.
    const UNASKED: u16 = NO_INDEX;

    /// In place of an index: this thread has none and will get none. Owns nothing.
    const REFUSED: u16 = NO_INDEX - 1;

    const WORDS: usize = 64;
    const _: () = assert!(64 * WORDS < REFUSED as usize);

    static POOL: Pool<WORDS> = Pool::new();

    thread_local! {
        static INDEX_LEASE: IndexLease = const { IndexLease(std::cell::Cell::new(None)) };
    }

    /// Gives the index back when the thread ends.
    struct IndexLease(std::cell::Cell<Option<u16>>);

    impl Drop for IndexLease {
        fn drop(&mut self) {
            if let Some(index) = self.0.take() {
                // Destructors that run after this one may still report.
                set_current(REFUSED);
                POOL.release(index);
            }
        }
    }

    impl<const WORDS: usize> Pool<WORDS> {
        /// A pool of which all indexes are free.
        pub(crate) const fn new() -> Self {
            Pool { words: [const { AtomicU64::new(0) }; WORDS] }
        }
    }

    /// The current thread's index, or a value that owns nothing.
    #[inline]
    pub(super) fn current() -> u16 {
        words(|words| words.index.get())
    }

    fn set_current(index: u16) {
        words(|words| words.index.set(index));
    }

    /// The current thread's index; takes one if the thread has not asked before. `None` if it got
    /// none, or has given it back.
    pub(super) fn claim_current() -> Option<u16> {
        match current() {
            REFUSED => None,
            UNASKED => {
                // The lease first: it must be there to give the index back.
                let index = INDEX_LEASE.try_with(|lease| {
                    let index = POOL.claim();
                    lease.0.set(index);
                    index
                });
                let index = index.ok().flatten();
                set_current(index.unwrap_or(REFUSED));
                index
            }
            index => Some(index),
        }
    }
}

modelled! {
    impl<const WORDS: usize> Pool<WORDS> {
        pub(crate) fn new() -> Self {
            Pool { words: std::array::from_fn(|_| AtomicU64::new(0)) }
        }
    }

    /// Every thread of a model has an index of its own, and keeps it.
    pub(super) fn current() -> u16 {
        crate::sys::atomic::model_thread() + 1
    }

    pub(super) fn claim_current() -> Option<u16> {
        Some(current())
    }
}
