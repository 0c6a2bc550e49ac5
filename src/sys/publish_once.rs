//! A pointer that is set once: null, then a box, for as long as its owner lives.
//!
//! Of several threads that set it at once one wins, and the others free theirs. No
//! lock is held, which a fork could leave held.

use std::ptr;

use crate::sys::atomic::{AtomicPtr, Ordering, modelled, shipped};

/// A value that is allocated when it is first needed, and freed with its owner.
#[derive(Debug)]
pub(crate) struct PublishOnce<T>(AtomicPtr<T>);

shipped! {
    impl<T> PublishOnce<T> {
        pub(crate) const fn new() -> Self {
            PublishOnce(AtomicPtr::new(ptr::null_mut()))
        }
    }
}

modelled! {
    impl<T> PublishOnce<T> {
        pub(crate) fn new() -> Self {
            PublishOnce(AtomicPtr::new(ptr::null_mut()))
        }
    }
}

impl<T> PublishOnce<T> {
    /// The value, if it was made.
    #[inline]
    pub(crate) fn get(&self) -> Option<&T> {
        // ORDERING: Acquire, partner of the Release in `get_or_make`: the value is written before
        // its address is.
        let value = self.0.load(Ordering::Acquire);
        // SAFETY: null, or a box that `get_or_make` leaked. Only our drop frees it, which the
        // borrow of `self` keeps away.
        unsafe { value.as_ref() }
    }

    /// The value, made by this thread or by another one that was faster. Allocates.
    pub(crate) fn get_or_make(&self, make: impl FnOnce() -> T) -> &T {
        if let Some(value) = self.get() {
            return value;
        }
        let fresh = Box::into_raw(Box::new(make()));
        // ORDERING: Release, partner of the Acquire in `get`; Acquire for the value that
        // another thread has published meanwhile.
        let set =
            self.0
                .compare_exchange(ptr::null_mut(), fresh, Ordering::Release, Ordering::Acquire);
        match set {
            // SAFETY: leaked above and just published; only our drop frees it, and `self` is
            // borrowed.
            Ok(_) => unsafe { &*fresh },
            Err(other) => {
                // SAFETY: the exchange failed, so `fresh` was never shared.
                drop(unsafe { Box::from_raw(fresh) });
                // SAFETY: not null, since the exchange expected null; another `get_or_make`
                // leaked it, and only our drop frees it, which the borrow of `self` keeps away.
                unsafe { &*other }
            }
        }
    }
}

impl<T> Drop for PublishOnce<T> {
    fn drop(&mut self) {
        let value = self.0.load(Ordering::Relaxed);
        if !value.is_null() {
            // SAFETY: leaked by `get_or_make`, once; `&mut self` shows that it is not shared.
            drop(unsafe { Box::from_raw(value) });
        }
    }
}

// SAFETY: it owns a `T`, and hands out `&T` to every thread that has `&self`.
unsafe impl<T: Send + Sync> Send for PublishOnce<T> {}
// SAFETY: sharing it gives `&T` to several threads (`T: Sync`), and `get_or_make` may make the
// `T` that another thread drops (`T: Send`).
unsafe impl<T: Send + Sync> Sync for PublishOnce<T> {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_threads_get_the_same_value() {
        let value = PublishOnce::new();
        assert_eq!(value.get(), None);
        let seen: Vec<usize> = std::thread::scope(|scope| {
            let makers: Vec<_> = (0..8)
                .map(|number| {
                    let value = &value;
                    scope.spawn(move || *value.get_or_make(|| number))
                })
                .collect();
            makers
                .into_iter()
                .map(|maker| maker.join().expect("no panic"))
                .collect()
        });
        assert!(seen.iter().all(|other| *other == seen[0]), "{seen:?}");
        assert_eq!(value.get(), Some(&seen[0]));
    }
}
