//! A list of nodes that are never freed, only used again.
//!
//! Some threads have to look at what all others keep: a collector at every reader's section, the
//! child of a `fork` at every descriptor. They must be able to do so whatever those others are
//! doing, and without a lock, which a fork could leave held. So what they look at is leaked: a
//! reference to it is good for ever, and the list only grows. It is hardly longer than the largest
//! number of nodes that were in use at once. One more is added only if a thread that takes a node
//! passes one just before that is given back.
//!
//! A user [takes](LeakedRegistry::take) a node that is free, or adds one, and
//! [gives it back](Leaked::give_back). Two exchanges carry the protocol:
//!
//! - A free node is taken by the exchange of a flag in it. The next user finds its value as the
//!   last one left it.
//! - A new node is put in front of the list by the exchange of the list's first pointer. Nodes
//!   are never taken out, so there is no ABA problem, and links do not change.
//!
//! A search for a free node passes those in use, one line each. That is for what a thread or a
//! queue does once, and not for what a call does.
//!
//! Rejected: a stack of free nodes, which the ABA problem would need a counter for; nodes that
//! are freed when their thread ends, which a collector may be reading then.

use std::cell::Cell;
use std::ops::Deref;
use std::panic::RefUnwindSafe;
use std::ptr;

use crate::sys::atomic::{AtomicPtr, AtomicU32, Ordering, modelled, shipped};

/// The list.
pub(crate) struct LeakedRegistry<T: 'static> {
    /// The latest node, or null.
    first: AtomicPtr<Leaked<T>>,
}

/// A node. On lines of its own: its user may write it all the time.
#[derive(Debug)]
#[repr(C, align(128))]
pub(crate) struct Leaked<T: 'static> {
    /// First, so that it has the address of the node.
    value: T,
    /// 1 while it is in use.
    taken: AtomicU32,
    /// The one added before it, or null. Not written any more once the node is shared.
    next: Cell<*const Leaked<T>>,
}

// SAFETY: threads that share a node read `next`, which `take` wrote before it shared the node;
// `taken` is an atomic, and of the value they get a `&T` (`T: Sync`). No node is ever dropped.
unsafe impl<T: Sync> Sync for Leaked<T> {}

/// `next` does not change once a node is shared, so an unwinding leaves nothing half done in it.
impl<T: RefUnwindSafe> RefUnwindSafe for Leaked<T> {}

shipped! {
    impl<T> LeakedRegistry<T> {
        pub(crate) const fn new() -> Self {
            LeakedRegistry {
                first: AtomicPtr::new(ptr::null_mut()),
            }
        }

        /// In the child of a fork: leaves all nodes behind, even those in use.
        pub(crate) fn forget_all(&self) {
            self.first.store(ptr::null_mut(), Ordering::Relaxed);
        }
    }
}

modelled! {
    impl<T> LeakedRegistry<T> {
        pub(crate) fn new() -> Self {
            LeakedRegistry {
                first: AtomicPtr::new(ptr::null_mut()),
            }
        }
    }
}

impl<T: Sync> LeakedRegistry<T> {
    /// A node for the caller alone, until it is given back: a free one, with the value that its
    /// last user left, or a new one.
    pub(crate) fn take(&self, make: impl FnOnce() -> T) -> &'static Leaked<T> {
        self.iter()
            .find(|node| node.try_take())
            .unwrap_or_else(|| self.add(make()))
    }

    fn add(&self, value: T) -> &'static Leaked<T> {
        let node: &'static Leaked<T> = Box::leak(Box::new(Leaked {
            value,
            taken: AtomicU32::new(1),
            next: Cell::new(ptr::null()),
        }));
        let mut first = self.first.load(Ordering::Relaxed);
        loop {
            node.next.set(first);
            // ORDERING: Release, partner of the Acquire in `iter`: the node is written.
            match self.first.compare_exchange(
                first,
                ptr::from_ref(node).cast_mut(),
                Ordering::Release,
                Ordering::Relaxed,
            ) {
                Ok(_) => return node,
                Err(now) => first = now,
            }
        }
    }

    /// All nodes that were added before this call, and were not forgotten.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &'static Leaked<T>> + use<T> {
        // ORDERING: Acquire, partner of the Release in `add`. It is good for the nodes behind
        // the first too: each was put there by an exchange, so the release sequence of an
        // earlier one goes on through the later ones.
        let mut next = self.first.load(Ordering::Acquire).cast_const();
        std::iter::from_fn(move || {
            // SAFETY: null, or a node that `add` leaked; nodes are never freed.
            let node = unsafe { next.as_ref() }?;
            next = node.next.get();
            Some(node)
        })
    }
}

impl<T> Leaked<T> {
    fn try_take(&self) -> bool {
        // ORDERING: Acquire, partner of the Release in `give_back`: the value is as the last
        // user left it.
        self.taken.load(Ordering::Relaxed) == 0
            && self
                .taken
                .compare_exchange(0, 1, Ordering::Acquire, Ordering::Relaxed)
                .is_ok()
    }

    /// Makes the node free. The caller of the `take` that returned it calls this once, and does not
    /// touch the value afterwards.
    pub(crate) fn give_back(&self) {
        // ORDERING: Release, partner of the Acquire in `try_take`.
        self.taken.store(0, Ordering::Release);
    }
}

impl<T> Deref for Leaked<T> {
    type Target = T;

    #[inline(always)]
    fn deref(&self) -> &T {
        &self.value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_given_back_is_taken_again_and_all_are_listed() {
        let registry = LeakedRegistry::new();
        let [one, two] = [1, 2].map(|number| registry.take(|| number));
        assert_eq!((**one, **two), (1, 2));
        one.give_back();
        let again = registry.take(|| 3);
        assert!(ptr::eq(one, again), "a new one");
        let three = registry.take(|| 3);
        assert_eq!(**three, 3);
        let numbers: Vec<i32> = registry.iter().map(|node| **node).collect();
        assert_eq!(numbers, [3, 2, 1]);
    }
}
