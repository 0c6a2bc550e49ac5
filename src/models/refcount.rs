//! Reference counts: an object is destroyed once, after its last use.

use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::thread;

use crate::structures::refcount::RefCount;

struct Object {
    references: RefCount,
    /// Read by every holder, and written by the thread that destroys the object.
    content: UnsafeCell<u32>,
}

// SAFETY: the content is written only by the thread that gives the last reference back; loom
// checks.
unsafe impl Sync for Object {}
// SAFETY: numbers, which any thread may have.
unsafe impl Send for Object {}

impl Object {
    fn look(&self) {
        self.content.with(|content| {
            // SAFETY: the caller has a reference, so no thread destroys the object yet.
            let content = unsafe { *content };
            assert_eq!(content, 0);
        });
    }

    /// Returns whether this call destroyed the object.
    fn give_back(&self) -> bool {
        let last = self.references.give_back();
        if last {
            // SAFETY: `give_back` returned true: there is no other reference.
            self.content.with_mut(|content| unsafe { *content += 1 });
        }
        last
    }
}

/// One of two holders makes a third reference. All three are given back.
///
/// Mutations: `giving-back-read-relaxed`, `giving-back-without-a-fence`, `giving-back-relaxed` (the
/// destruction overlaps with a look), `two-references-taken-for-the-last`.
#[test]
fn the_last_one_destroys_after_all_have_looked() {
    loom::model(|| {
        let object = Arc::new(Object {
            references: RefCount::new(2),
            content: UnsafeCell::new(0),
        });
        let one = {
            let object = object.clone();
            thread::spawn(move || {
                object.references.share();
                object.look();
                let first = object.give_back();
                object.look();
                usize::from(first) + usize::from(object.give_back())
            })
        };
        let other = {
            let object = object.clone();
            thread::spawn(move || {
                object.look();
                usize::from(object.give_back())
            })
        };
        assert_eq!(one.join().unwrap() + other.join().unwrap(), 1);
    });
}

/// Two holders on threads of their own each make a further reference, and give both back.
///
/// Mutation: `giving-back-by-a-store`.
#[test]
fn a_reference_outlives_the_one_that_it_was_made_from() {
    loom::model(|| {
        let object = Arc::new(Object {
            references: RefCount::new(2),
            content: UnsafeCell::new(0),
        });
        let parties = [(); 2].map(|()| {
            let object = object.clone();
            thread::spawn(move || {
                object.references.share();
                let early = usize::from(object.give_back());
                object.look();
                early + usize::from(object.give_back())
            })
        });
        let destroyed: usize = parties.into_iter().map(|party| party.join().unwrap()).sum();
        assert_eq!(destroyed, 1);
    });
}
