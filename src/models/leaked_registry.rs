//! Nodes that are reused: [`leaked_registry`](crate::sys::leaked_registry).
//!
//! A user keeps plain memory in a node here. So loom detects a second user at the same time, and a
//! later user that does not see what the first has left. The readers of [`grace`](super::grace)
//! change hands in the same way, with more around it.

use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::thread;

use crate::sys::leaked_registry::{Leaked, LeakedRegistry};

/// `uses` is written by the user of a node. `content` may be read by all threads.
struct Value {
    uses: UnsafeCell<u32>,
    content: UnsafeCell<u32>,
}

// SAFETY: `content` is written before a node is shared, and `uses` only by the node's user; loom
// checks both.
unsafe impl Sync for Value {}

impl Value {
    fn make() -> Self {
        let value = Value {
            uses: UnsafeCell::new(0),
            content: UnsafeCell::new(0),
        };
        // SAFETY: `value` is not shared yet.
        value.content.with_mut(|content| unsafe { *content = 1 });
        value
    }

    /// Counts a use. Returns how often the node was used before.
    fn use_it(&self) -> u32 {
        // SAFETY: the caller has taken the node; loom detects a second user.
        self.uses.with_mut(|uses| unsafe {
            *uses += 1;
            *uses - 1
        })
    }

    fn look(&self) {
        // SAFETY: `make` alone writes the content, before the node is shared; loom checks.
        assert_eq!(self.content.with(|content| unsafe { *content }), 1);
    }
}

fn registry() -> Arc<LeakedRegistry<Value>> {
    Arc::new(LeakedRegistry::new())
}

fn take(registry: &LeakedRegistry<Value>) -> &'static Leaked<Value> {
    registry.take(Value::make)
}

/// Mutations: `taking-a-node-by-a-store`, `giving-a-node-back-relaxed`,
/// `taking-a-node-relaxed`.
#[test]
fn a_node_has_one_user_at_a_time() {
    loom::model(|| {
        let registry = registry();
        take(&registry).give_back();
        let parties = [(); 2].map(|()| {
            let registry = registry.clone();
            thread::spawn(move || {
                let node = take(&registry);
                let before = node.use_it();
                node.give_back();
                before
            })
        });
        let before = parties.map(|party| party.join().unwrap());
        let nodes = registry.iter().count();
        match nodes {
            1 => assert!(matches!(before, [0, 1] | [1, 0])),
            2 => assert_eq!(before, [0, 0]),
            _ => panic!("{nodes} nodes for two users"),
        }
    });
}

/// Mutations: `adding-a-node-relaxed`, `adding-a-node-by-a-store`.
#[test]
fn nodes_that_are_added_at_once_are_all_listed() {
    loom::model(|| {
        let registry = registry();
        let parties = [(); 2].map(|()| {
            let registry = registry.clone();
            thread::spawn(move || {
                take(&registry).use_it();
                registry.iter().for_each(|node| node.look());
            })
        });
        for party in parties {
            party.join().unwrap();
        }
        assert_eq!(registry.iter().count(), 2);
    });
}
