//! Read sections: no object is destroyed while a reader uses it, and every retired object is
//! destroyed in the end.
//!
//! | mutation | caught by |
//! |---|---|
//! | `entering-without-a-barrier`, `collecting-without-a-barrier`, `a-bag-that-does-not-wait`, `leaving-a-section-relaxed` | `what_a_reader_holds_is_not_destroyed` |
//! | `leaving-slowly-relaxed` | `what_a_reader_holds_that_has_to_seal_is_not_destroyed` |
//! | `entering-relaxed` | `the_end_of_a_section_is_seen_through_the_next` |
//! | `putting-bags-back-relaxed` | `bags_change_hands` |
//! | `giving-a-reader-back-relaxed`, `taking-a-reader-relaxed` | `a_reader_changes_hands` |
//!
//! If `Awaited::is_over` did not compare sections, memory would be freed late. No reader would
//! notice, so no model fails. A unit test covers it.

use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::thread;

use crate::reclaim::grace::{Domain, Reader};
use crate::sys::atomic::{AtomicPtr, AtomicU32, Ordering};

/// An object that readers use until it is destroyed.
struct Object {
    alive: UnsafeCell<bool>,
    /// How often it was destroyed.
    destroyed: AtomicU32,
}

// SAFETY: loom checks the order of all uses of the cell.
unsafe impl Sync for Object {}
// SAFETY: numbers, which any thread may have; loom checks the order of their uses.
unsafe impl Send for Object {}

/// A link to an object. One thread unlinks and retires the object.
struct Link {
    link: AtomicPtr<Object>,
    object: Arc<Object>,
    domain: &'static Domain,
}

impl Link {
    fn new() -> Arc<Self> {
        Self::within(Box::leak(Box::new(Domain::new())))
    }

    fn within(domain: &'static Domain) -> Arc<Self> {
        let object = Arc::new(Object {
            alive: UnsafeCell::new(true),
            destroyed: AtomicU32::new(0),
        });
        Arc::new(Link {
            link: AtomicPtr::new((&raw const *object).cast_mut()),
            object,
            domain,
        })
    }

    /// Follows the link inside a section.
    fn read(&self, reader: &Reader) {
        reader.enter();
        self.follow();
        reader.leave();
    }

    fn follow(&self) {
        // SAFETY: null, or the object of `self.object`, which outlives this call.
        if let Some(object) = unsafe { self.link.load(Ordering::Acquire).as_ref() } {
            // SAFETY: a shared read; loom fails the model if it overlaps with `destroy`.
            assert!(object.alive.with(|alive| unsafe { *alive }));
        }
    }

    fn take_away(&self, reader: &Reader) {
        reader.enter();
        let object = self.link.swap(std::ptr::null_mut(), Ordering::Relaxed);
        // SAFETY: the swap has unlinked it, and no other thread retires it.
        unsafe { reader.retire(object.cast(), destroy) };
        reader.seal_soon();
        reader.leave();
    }

    /// Asserts that the object is destroyed once all readers are outside.
    fn is_destroyed_in_the_end(&self) {
        self.domain.take_reader().seal();
        assert_eq!(self.object.destroyed.load(Ordering::Relaxed), 1);
    }
}

unsafe fn destroy(object: *mut ()) {
    // SAFETY: `Link::object` keeps it alive.
    let object = unsafe { &*object.cast::<Object>() };
    // SAFETY: loom fails the model if this overlaps with a read.
    object.alive.with_mut(|alive| unsafe { *alive = false });
    object.destroyed.fetch_add(1, Ordering::Relaxed);
}

fn check(preemptions: usize, model: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.check(model);
}

/// One thread reads, and the other one unlinks the object.
fn side_by_side(reads: fn(&Link, &Reader), takes: fn(&Link, &Reader)) {
    check(3, move || {
        let link = Link::new();
        let [mine, other] = [(); 2].map(|()| link.domain.take_reader());
        let reading = thread::spawn({
            let link = link.clone();
            move || reads(&link, other)
        });
        takes(&link, mine);
        reading.join().unwrap();
        link.is_destroyed_in_the_end();
    });
}

#[test]
fn what_a_reader_holds_is_not_destroyed() {
    side_by_side(Link::read, Link::take_away);
}

#[test]
fn what_a_reader_holds_that_has_to_seal_is_not_destroyed() {
    let seals = |link: &Link, reader: &Reader| {
        reader.enter();
        link.follow();
        reader.seal_soon();
        reader.leave();
    };
    side_by_side(seals, take_away_and_look_again);
}

#[test]
fn the_end_of_a_section_is_seen_through_the_next() {
    let enters_again = |link: &Link, reader: &Reader| {
        link.read(reader);
        reader.enter();
        reader.leave();
    };
    side_by_side(enters_again, take_away_and_look_again);
}

/// Seals again, since the bag may have to wait at first.
fn take_away_and_look_again(link: &Link, reader: &Reader) {
    link.take_away(reader);
    reader.seal();
}

#[test]
fn bags_change_hands() {
    check(2, || {
        let domain: &'static Domain = Box::leak(Box::new(Domain::new()));
        let links = [Link::within(domain), Link::within(domain)];
        let [mine, other] = [(); 2].map(|()| domain.take_reader());
        // Inside a section, so that the bags have to wait.
        let outside = domain.take_reader();
        outside.enter();
        let sealing = thread::spawn({
            let link = links[0].clone();
            move || link.take_away(other)
        });
        links[1].take_away(mine);
        outside.leave();
        mine.seal();
        sealing.join().unwrap();
        for link in &links {
            link.is_destroyed_in_the_end();
        }
    });
}

#[test]
fn a_reader_changes_hands() {
    check(3, || {
        let link = Link::new();
        let first = link.domain.take_reader();
        let ending = thread::spawn({
            let link = link.clone();
            move || {
                link.take_away(first);
                link.domain.give_back(first);
            }
        });
        let next = link.domain.take_reader();
        // First, since a barrier could hide a missing Acquire.
        next.seal();
        link.read(next);
        link.domain.give_back(next);
        ending.join().unwrap();
        link.is_destroyed_in_the_end();
    });
}
