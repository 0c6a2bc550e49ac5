//! A value of which every process has its own: [`per_process`](crate::sys::per_process).
//!
//! Models do not fork. Instead, the value is marked as inherited from another process.

use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::thread;

use crate::sys::per_process::{PerProcess, Renew};

/// Plain memory that is written when the value is made.
struct Value(UnsafeCell<u32>);

// SAFETY: the content is written before the value is shared; loom checks.
unsafe impl Sync for Value {}
// SAFETY: a `u32`, which any thread may have.
unsafe impl Send for Value {}

impl Renew for Value {
    fn renew(&self) -> Self {
        let value = Value(UnsafeCell::new(0));
        // SAFETY: `value` is not shared yet.
        value.0.with_mut(|content| unsafe { *content = 1 });
        value
    }
}

/// The address of the value that the thread uses.
fn use_it(place: &PerProcess<Value>) -> usize {
    let value: &Value = place;
    // SAFETY: `renew` alone writes the content, before the value is shared; loom checks.
    assert_eq!(value.0.with(|content| unsafe { *content }), 1);
    std::ptr::from_ref(value).addr()
}

/// Mutations: `renewing-by-a-store`, `renewing-relaxed`, `losing-a-renewal-relaxed`.
#[test]
fn all_threads_of_a_child_get_one_value() {
    loom::model(|| {
        let inherited = Value(UnsafeCell::new(0));
        let place = Arc::new(PerProcess::inherited(inherited));
        let parties = [(); 2].map(|()| {
            let place = place.clone();
            thread::spawn(move || (use_it(&place), use_it(&place)))
        });
        let [one, two] = parties.map(|party| party.join().unwrap());
        assert_eq!(one.0, one.1);
        assert_eq!(one, two);
    });
}
