//! Sections: what a reader holds is not destroyed, and everything is in the end.
//!
//! | mutation | caught by |
//! |---|---|
//! | `entering-without-a-barrier`, `collecting-without-a-barrier`, `a-bag-that-does-not-wait`, `leaving-a-section-relaxed` | `what_a_reader_holds_is_not_destroyed` |
//! | `leaving-slowly-relaxed` | `what_a_reader_holds_that_has_to_seal_is_not_destroyed` |
//! | `entering-relaxed` | `the_end_of_a_section_is_seen_through_the_next` |
//! | `putting-bags-back-relaxed` | `bags_change_hands` |
//! | `giving-a-reader-back-relaxed`, `taking-a-reader-relaxed` | `a_reader_changes_hands` |
//!
//! `Awaited::is_over` without the comparison of sections does no harm to readers, only to
//! memory, and no model says so; it is in the unit tests.

use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::thread;

use crate::reclaim::grace::{Domain, Reader};
use crate::sys::atomic::{AtomicPtr, AtomicU32, Ordering};

/// Something to look at while it is there.
struct Object {
    alive: UnsafeCell<bool>,
    /// How often it was destroyed.
    destroyed: AtomicU32,
}

// SAFETY: loom checks.
unsafe impl Sync for Object {}
// SAFETY: numbers, which any thread may have; loom checks the order of their uses.
unsafe impl Send for Object {}

/// A link to an object that one thread takes away.
struct Place {
    link: AtomicPtr<Object>,
    object: Arc<Object>,
    domain: &'static Domain,
}

impl Place {
    fn new() -> Arc<Self> {
        Self::within(Box::leak(Box::new(Domain::new())))
    }

    fn within(domain: &'static Domain) -> Arc<Self> {
        let object = Arc::new(Object {
            alive: UnsafeCell::new(true),
            destroyed: AtomicU32::new(0),
        });
        Arc::new(Place {
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
        // SAFETY: null, or an object that outlives the model; what is in it, loom checks.
        if let Some(object) = unsafe { self.link.load(Ordering::Acquire).as_ref() } {
            // SAFETY: it outlives the model; loom finds a read that meets the destruction.
            assert!(object.alive.with(|alive| unsafe { *alive }));
        }
    }

    fn take_away(&self, reader: &Reader) {
        reader.enter();
        let object = self.link.swap(std::ptr::null_mut(), Ordering::Relaxed);
        // SAFETY: unlinked, by this thread alone.
        unsafe { reader.retire(object.cast(), destroy) };
        reader.seal_soon();
        reader.leave();
    }

    /// Once all are outside.
    fn is_destroyed_in_the_end(&self) {
        self.domain.take_reader().seal();
        assert_eq!(self.object.destroyed.load(Ordering::Relaxed), 1);
    }
}

unsafe fn destroy(object: *mut ()) {
    // SAFETY: it outlives the model.
    let object = unsafe { &*object.cast::<Object>() };
    // SAFETY: loom checks.
    object.alive.with_mut(|alive| unsafe { *alive = false });
    object.destroyed.fetch_add(1, Ordering::Relaxed);
}

fn check(preemptions: usize, model: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.check(model);
}

/// One thread reads, the other takes away.
fn side_by_side(reads: fn(&Place, &Reader), takes: fn(&Place, &Reader)) {
    check(3, move || {
        let place = Place::new();
        let [mine, other] = [(); 2].map(|()| place.domain.take_reader());
        let reading = thread::spawn({
            let place = place.clone();
            move || reads(&place, other)
        });
        takes(&place, mine);
        reading.join().unwrap();
        place.is_destroyed_in_the_end();
    });
}

#[test]
fn what_a_reader_holds_is_not_destroyed() {
    side_by_side(Place::read, Place::take_away);
}

#[test]
fn what_a_reader_holds_that_has_to_seal_is_not_destroyed() {
    let seals = |place: &Place, reader: &Reader| {
        reader.enter();
        place.follow();
        reader.seal_soon();
        reader.leave();
    };
    side_by_side(seals, take_away_and_look_again);
}

#[test]
fn the_end_of_a_section_is_seen_through_the_next() {
    let enters_again = |place: &Place, reader: &Reader| {
        place.read(reader);
        reader.enter();
        reader.leave();
    };
    side_by_side(enters_again, take_away_and_look_again);
}

/// The bag may have to wait at first.
fn take_away_and_look_again(place: &Place, reader: &Reader) {
    place.take_away(reader);
    reader.seal();
}

#[test]
fn bags_change_hands() {
    check(2, || {
        let domain: &'static Domain = Box::leak(Box::new(Domain::new()));
        let places = [Place::within(domain), Place::within(domain)];
        let [mine, other] = [(); 2].map(|()| domain.take_reader());
        // Inside, so that the bags have to wait.
        let outside = domain.take_reader();
        outside.enter();
        let sealing = thread::spawn({
            let place = places[0].clone();
            move || place.take_away(other)
        });
        places[1].take_away(mine);
        outside.leave();
        mine.seal();
        sealing.join().unwrap();
        for place in &places {
            place.is_destroyed_in_the_end();
        }
    });
}

#[test]
fn a_reader_changes_hands() {
    check(3, || {
        let place = Place::new();
        let first = place.domain.take_reader();
        let ending = thread::spawn({
            let place = place.clone();
            move || {
                place.take_away(first);
                place.domain.give_back(first);
            }
        });
        let next = place.domain.take_reader();
        // Before a barrier could hide what is missing.
        next.seal();
        place.read(next);
        place.domain.give_back(next);
        ending.join().unwrap();
        place.is_destroyed_in_the_end();
    });
}
