//! The use gate: once it is closed, its content is not in use, and is dropped.
//!
//! | mutation | caught by |
//! |---|---|
//! | `closing-a-gate-without-waiting`, `leaving-a-gate-by-a-store`, `shut-before-its-content-is-dropped` | `closed_it_is_not_in_use_and_gone` |
//! | `entering-a-gate-relaxed`, `leaving-a-gate-relaxed` | `one_after_the_other_uses_it` |
//! | `closing-a-gate-by-a-store` | `two_close_at_once` |

use loom::sync::Arc;
use loom::thread;

use crate::structures::use_gate::UseGate;
use crate::sys::atomic::{AtomicU32, Ordering, UnsafeCell};

/// Plain memory that the content refers to, and the number of drops of the content.
struct Outside {
    used: UnsafeCell<u32>,
    gone: AtomicU32,
}

// SAFETY: the gate orders the uses of `used`; loom checks.
unsafe impl Sync for Outside {}
// SAFETY: two numbers, which any thread may have.
unsafe impl Send for Outside {}

struct Content(Arc<Outside>);

impl Content {
    fn touch(&self) {
        // SAFETY: called inside the gate, or by the drop of the content; loom checks.
        self.0.used.with_mut(|used| unsafe { *used += 1 });
    }
}

impl Drop for Content {
    fn drop(&mut self) {
        self.touch();
        self.0.gone.fetch_add(1, Ordering::Relaxed);
    }
}

fn gate() -> (Arc<UseGate<Content>>, Arc<Outside>) {
    let outside = Arc::new(Outside {
        used: UnsafeCell::new(0),
        gone: AtomicU32::new(0),
    });
    (Arc::new(UseGate::new(Content(outside.clone()))), outside)
}

#[test]
fn closed_it_is_not_in_use_and_gone() {
    loom::model(|| {
        let (gate, outside) = gate();
        let user = thread::spawn({
            let gate = gate.clone();
            move || gate.enter(|content| content.touch()).is_some()
        });
        let closer = thread::spawn({
            let (gate, outside) = (gate.clone(), outside.clone());
            move || {
                gate.close(true);
                assert_eq!(outside.gone.load(Ordering::Relaxed), 1);
                // SAFETY: the gate is closed, so no other thread uses the memory; loom checks.
                outside.used.with_mut(|used| unsafe { *used += 1 });
            }
        });
        user.join().unwrap();
        closer.join().unwrap();
        assert!(gate.enter(|content| content.touch()).is_none());
    });
}

#[test]
fn one_after_the_other_uses_it() {
    loom::model(|| {
        let (gate, _outside) = gate();
        let users: Vec<_> = (0..2)
            .map(|_| {
                let gate = gate.clone();
                thread::spawn(move || gate.enter(|content| content.touch()).is_some())
            })
            .collect();
        let entered = users
            .into_iter()
            .filter(|_| true)
            .map(|user| user.join().unwrap());
        assert!(entered.fold(false, |any, one| any | one));
        gate.close(true);
    });
}

#[test]
fn two_close_at_once() {
    loom::model(|| {
        let (gate, outside) = gate();
        let closers: Vec<_> = (0..2)
            .map(|_| {
                let (gate, outside) = (gate.clone(), outside.clone());
                thread::spawn(move || {
                    gate.close(true);
                    assert_eq!(outside.gone.load(Ordering::Relaxed), 1);
                })
            })
            .collect();
        for closer in closers {
            closer.join().unwrap();
        }
    });
}
