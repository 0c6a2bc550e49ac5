//! Numbers for registrations, so that events tell apart connections that had the same
//! name one after the other.
//!
//! A counter would do, but it would be the one word that all threads that register have
//! to write. So a thread takes [`BLOCK`] numbers at once and gives them out by itself.
//! What the numbers promise is what they are needed for:
//!
//! - no number comes twice in a manager;
//! - whatever is registered after [`Ids::last`] was asked has a larger number than it said,
//!   but for what threads had left of a block by then: at most `BLOCK - 1` for each.
//!
//! A thread keeps one block. If it registers with several managers in turn, the rest of
//! the block is given up each time, and so are numbers of threads that end: there are
//! enough.

use crate::sync::{AtomicU64, Ordering, modelled, shipped};

/// How many numbers a thread takes at once.
pub(crate) const BLOCK: u64 = 64;

/// The numbers of one manager. On lines of its own: what stands beside it is read by
/// every call.
#[repr(align(128))]
pub(crate) struct Ids {
    /// The first number of the next block.
    next: AtomicU64,
    /// No other manager of the process had it.
    #[cfg_attr(all(loom, test), allow(dead_code))]
    manager: u64,
}

impl Ids {
    /// The largest number that may have been given out.
    pub(crate) fn last(&self) -> u64 {
        self.next.load(Ordering::Relaxed) - 1
    }

    /// A block, by its first number.
    #[cfg_attr(not(all(loom, test)), cold)]
    fn take_block(&self) -> u64 {
        self.next.fetch_add(BLOCK, Ordering::Relaxed)
    }
}

shipped! {
    use std::cell::Cell;

    static MANAGERS: AtomicU64 = AtomicU64::new(1);

    /// What a thread has left of a block.
    #[derive(Clone, Copy)]
    struct Rest {
        /// 0: of none.
        manager: u64,
        next: u64,
        end: u64,
    }

    // Without a destructor, so it is there to the thread's very end.
    thread_local! {
        static REST: Cell<Rest> = const { Cell::new(Rest { manager: 0, next: 0, end: 0 }) };
    }

    impl Ids {
        /// They begin with 1.
        pub(crate) fn new() -> Self {
            Ids {
                next: AtomicU64::new(1),
                manager: MANAGERS.fetch_add(1, Ordering::Relaxed),
            }
        }

        /// A number that was not given out before.
        #[inline]
        pub(crate) fn next(&self) -> u64 {
            REST.with(|here| {
                let mut rest = here.get();
                if rest.manager != self.manager || rest.next == rest.end {
                    let next = self.take_block();
                    rest = Rest { manager: self.manager, next, end: next + BLOCK };
                }
                let id = rest.next;
                here.set(Rest { next: id + 1, ..rest });
                id
            })
        }
    }
}

modelled! {
    impl Ids {
        pub(crate) fn new() -> Self {
            Ids {
                next: AtomicU64::new(1),
                manager: 0,
            }
        }

        /// All threads of a model are one thread of the system.
        pub(crate) fn next(&self) -> u64 {
            self.take_block()
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::thread;

    use super::*;

    #[test]
    fn no_number_comes_twice_and_managers_have_their_own() {
        let managers = [Ids::new(), Ids::new()];
        let mut seen = [HashSet::new(), HashSet::new()];
        let take = |turns: u64| {
            let take_one = |turn| {
                // In turn, and for long.
                let which = (turn / 3 % 2) as usize;
                (which, managers[which].next())
            };
            (0..turns).map(take_one).collect::<Vec<_>>()
        };
        let taken = thread::scope(|scope| {
            let threads = [(); 3].map(|()| scope.spawn(|| take(1_000)));
            threads.map(|thread| thread.join().unwrap())
        });
        for (which, id) in taken.into_iter().flatten().chain(take(1_000)) {
            assert!(seen[which].insert(id), "manager {which}, number {id}");
            assert!(id <= managers[which].last());
        }
        assert_eq!(seen[0].iter().min(), Some(&1));
    }

    #[test]
    fn what_comes_later_is_larger_but_for_the_rest_of_a_block() {
        let ids = Ids::new();
        assert_eq!(ids.last(), 0);
        ids.next();
        let last = ids.last();
        let later: Vec<u64> = (0..2 * BLOCK).map(|_| ids.next()).collect();
        assert_eq!(
            later.iter().filter(|&&id| id <= last).count() as u64,
            BLOCK - 1
        );
    }
}
