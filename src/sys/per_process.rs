//! A value that every process has for itself.
//!
//! After a `fork` the child's copy of the parent's value may be half written, or held by a thread
//! that is gone. The first thread of the child that uses it makes a new one and exchanges a
//! pointer. If several do so at once, one wins and the others drop theirs, so no thread waits. The
//! old value is left alone for ever. Nothing in it can be trusted enough to free it, and the thread
//! that forked may still be using it, if it forked inside a callback.
//!
//! A use costs two loads and a comparison more than the value itself.

use std::ops::Deref;

use crate::sys::atomic::{AtomicPtr, Ordering, modelled};
use crate::sys::fork;

/// How the child of a fork makes a value of its own.
pub(crate) trait Renew {
    /// A new value in the place of `self`, which may be half changed: only fields that never change
    /// may be read. Several threads may call it at once.
    fn renew(&self) -> Self;
}

/// The value of this process; see the top of the file.
pub(crate) struct PerProcess<T: Renew> {
    /// Never null; owned.
    current: AtomicPtr<Of<T>>,
}

/// A value and the process it belongs to.
struct Of<T> {
    incarnation: u32,
    value: T,
}

impl<T> Of<T> {
    fn leak(value: T) -> *mut Self {
        let incarnation = fork::incarnation();
        Box::into_raw(Box::new(Of { incarnation, value }))
    }
}

impl<T: Renew> PerProcess<T> {
    pub(crate) fn new(value: T) -> Self {
        fork::watch();
        PerProcess {
            current: AtomicPtr::new(Of::leak(value)),
        }
    }

    #[cold]
    fn renew(&self, old: &Of<T>) -> &T {
        let fresh = Of::leak(old.value.renew());
        let old = std::ptr::from_ref(old).cast_mut();
        // ORDERING: Release publishes the value to the Acquire loads; Acquire for the
        // winner's.
        let current =
            self.current
                .compare_exchange(old, fresh, Ordering::Release, Ordering::Acquire);
        let current = match current {
            Ok(_) => fresh,
            Err(current) => {
                // SAFETY: it came from a box in `Of::leak`, and the failed exchange did not
                // share it.
                drop(unsafe { Box::from_raw(fresh) });
                current
            }
        };
        // SAFETY: `fresh`, or what another thread of this process has made in its place. Either is
        // of this process, so only the drop of `self` frees it.
        unsafe { &(*current).value }
    }
}

modelled! {
    impl<T: Renew> PerProcess<T> {
        /// One as the child of a fork finds it.
        pub(crate) fn inherited(value: T) -> Self {
            let inherited = Of::leak(value);
            // SAFETY: from a box, and not shared yet.
            unsafe { (*inherited).incarnation = u32::MAX };
            PerProcess {
                current: AtomicPtr::new(inherited),
            }
        }
    }
}

impl<T: Renew> Deref for PerProcess<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // ORDERING: Acquire, partner of the Release in `renew`.
        // SAFETY: it came from a box. One of this process is freed with `self`, those
        // of others never.
        let current = unsafe { &*self.current.load(Ordering::Acquire) };
        if current.incarnation == fork::incarnation() {
            &current.value
        } else {
            self.renew(current)
        }
    }
}

impl<T: Renew> Drop for PerProcess<T> {
    fn drop(&mut self) {
        let current = self.current.load(Ordering::Relaxed);
        // SAFETY: never null, from a box in `Of::leak`; `&mut self` says that no other thread
        // shares it.
        if unsafe { (*current).incarnation } == fork::incarnation() {
            // SAFETY: from a box in `Of::leak`, not shared any more, and of this process: `renew`
            // leaves those of other processes to them, and this one is not freed twice.
            drop(unsafe { Box::from_raw(current) });
        }
    }
}

// SAFETY: it owns the `T` that `current` points to and hands out `&T` to every thread that
// shares it.
unsafe impl<T: Renew + Send + Sync> Send for PerProcess<T> {}
// SAFETY: sharing it gives `&T` to several threads (`T: Sync`), and `renew` may make and drop a
// `T` on any of them (`T: Send`).
unsafe impl<T: Renew + Send + Sync> Sync for PerProcess<T> {}
