//! A pointer that is set once: null, then a box, for as long as its owner lives.
//!
//! If several threads set it at once, one wins, and the others get their boxes back. No lock is
//! held, which a fork could leave held.
//!
//! A list that is only added to at its end is a chain of these: each node has one for the next.
//! What is replaced, like the newest of several rings, is not published once, and has an exchange
//! of its own.

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

        /// In the child of a fork: leaves the parent's value alone for ever.
        pub(crate) fn forget(&self) {
            self.0.store(ptr::null_mut(), Ordering::Relaxed);
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
        // ORDERING: Acquire, partner of the Release in `publish`: the value is written before
        // its address is.
        let value = self.0.load(Ordering::Acquire);
        // SAFETY: null, or a box that `publish` leaked. Only our drop or `take` frees it, which the
        // borrow of `self` keeps away.
        unsafe { value.as_ref() }
    }

    /// The value, made by this thread or by another one that was faster. Allocates.
    pub(crate) fn get_or_make(&self, make: impl FnOnce() -> T) -> &T {
        if let Some(value) = self.get() {
            return value;
        }
        match self.publish(Box::new(make())) {
            Ok(mine) => mine,
            Err((theirs, _)) => theirs,
        }
    }

    /// Publishes this value. If there is one already, the error is that value, and the box.
    pub(crate) fn publish(&self, value: Box<T>) -> Result<&T, (&T, Box<T>)> {
        let fresh = Box::into_raw(value);
        // ORDERING: Release, partner of the Acquire in `get`; Acquire for the value that
        // another thread has published meanwhile.
        let set =
            self.0
                .compare_exchange(ptr::null_mut(), fresh, Ordering::Release, Ordering::Acquire);
        match set {
            // SAFETY: leaked above and just published; only our drop frees it, and `self` is
            // borrowed.
            Ok(_) => Ok(unsafe { &*fresh }),
            Err(other) => {
                // SAFETY: the exchange failed, so `fresh` was never shared.
                let fresh = unsafe { Box::from_raw(fresh) };
                // SAFETY: not null, since the exchange expected null; another `publish`
                // leaked it, and only our drop frees it, which the borrow of `self` keeps away.
                Err((unsafe { &*other }, fresh))
            }
        }
    }

    /// Takes the value out.
    pub(crate) fn take(&mut self) -> Option<Box<T>> {
        // Relaxed: `&mut self` shows that the users have synchronised with this.
        let value = self.0.load(Ordering::Relaxed);
        if value.is_null() {
            return None;
        }
        self.0.store(ptr::null_mut(), Ordering::Relaxed);
        // SAFETY: leaked by `publish`, once, and taken out above; `&mut self` shows that it is
        // not shared.
        Some(unsafe { Box::from_raw(value) })
    }
}

impl<T> Drop for PublishOnce<T> {
    fn drop(&mut self) {
        drop(self.take());
    }
}

// SAFETY: it owns a `T`, and hands out `&T` to every thread that has `&self`.
unsafe impl<T: Send + Sync> Send for PublishOnce<T> {}
// SAFETY: sharing it gives `&T` to several threads (`T: Sync`), and `publish` may bring a
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
