//! A pointer that is set once: [`publish_once`](crate::sys::publish_once).

use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::thread;

use crate::sys::atomic::AtomicU32;
use crate::sys::atomic::Ordering;
use crate::sys::publish_once::PublishOnce;

/// Plain memory that is written when the value is made, and the number of the value.
struct Value {
    content: UnsafeCell<u32>,
    number: u32,
    destroyed: Arc<AtomicU32>,
}

// SAFETY: the content is written before the value is shared; loom checks.
unsafe impl Sync for Value {}
// SAFETY: a number and a count, which any thread may have.
unsafe impl Send for Value {}

impl Value {
    fn make(number: u32, destroyed: &Arc<AtomicU32>) -> Self {
        let value = Value {
            content: UnsafeCell::new(0),
            number,
            destroyed: destroyed.clone(),
        };
        // SAFETY: `value` is not shared yet.
        value.content.with_mut(|content| unsafe { *content = 1 });
        value
    }

    fn number(&self) -> u32 {
        // SAFETY: `make` alone writes the content, before the value is shared; loom checks.
        assert_eq!(self.content.with(|content| unsafe { *content }), 1);
        self.number
    }
}

impl Drop for Value {
    fn drop(&mut self) {
        self.destroyed.fetch_add(1, Ordering::Relaxed);
    }
}

/// Mutations: `publishing-by-a-store`, `losing-to-a-value-relaxed`.
#[test]
fn all_threads_get_one_value() {
    loom::model(|| {
        let destroyed = Arc::new(AtomicU32::new(0));
        let place = Arc::new(PublishOnce::new());
        let parties = [1, 2].map(|number| {
            let (place, destroyed) = (place.clone(), destroyed.clone());
            thread::spawn(move || {
                let make = || Value::make(number, &destroyed);
                let mine = place.get_or_make(make).number();
                assert_eq!(place.get().map(Value::number), Some(mine));
                mine
            })
        });
        let [one, two] = parties.map(|party| party.join().unwrap());
        assert_eq!(one, two);
        drop(place);
        let destroyed = destroyed.load(Ordering::Relaxed);
        assert!((1..=2).contains(&destroyed), "each value once");
    });
}

/// Mutations: `publishing-relaxed`, `reading-a-value-relaxed`.
#[test]
fn a_value_comes_with_its_content() {
    loom::model(|| {
        let destroyed = Arc::new(AtomicU32::new(0));
        let place = Arc::new(PublishOnce::new());
        let making = thread::spawn({
            let place = place.clone();
            move || {
                place.get_or_make(|| Value::make(1, &destroyed));
            }
        });
        let looking = thread::spawn(move || place.get().map(Value::number));
        making.join().unwrap();
        let seen = looking.join().unwrap();
        assert!(matches!(seen, None | Some(1)));
    });
}
