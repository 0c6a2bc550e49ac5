//! A value behind one pointer, which may be replaced while threads read it.
//!
//! A reader pins itself, loads the pointer, and reads: no shared write. The thread that replaces
//! the value hands the old one to [`reclaim`], which drops it when no pinned thread can have it any
//! more. Rejected: [`arc_swap`], whose load and drop are two read-modify-writes, 12 ns of a report
//! of 40. It serves the settings and profiles, where readers may keep what they load.

use std::ops::Deref;
use std::ptr::{self, NonNull};

use crate::reclaim::{self, Guard};
use crate::sys::atomic::{AtomicPtr, Ordering};

/// A pointer to the current value. At first there is none.
pub(crate) struct Replaceable<T>(AtomicPtr<T>);

/// A loaded value, which lives at least as long as this.
pub(crate) struct Loaded<T> {
    value: NonNull<T>,
    /// Keeps the value.
    guard: Guard,
}

impl<T: Send + Sync> Replaceable<T> {
    pub(crate) fn new() -> Self {
        Replaceable(AtomicPtr::new(ptr::null_mut()))
    }

    pub(crate) fn load(&self) -> Option<Loaded<T>> {
        let guard = reclaim::pin();
        // ORDERING: Acquire, partner of the Release in `replace`: the value is complete.
        let value = NonNull::new(self.0.load(Ordering::Acquire))?;
        Some(Loaded { value, guard })
    }

    /// Puts `next` in the place of `current`, if `current` is still there. Otherwise drops `next`
    /// and returns false.
    pub(crate) fn replace(&self, current: Option<&Loaded<T>>, next: Option<Box<T>>) -> bool {
        let guard = reclaim::pin();
        let old = current.map_or(ptr::null_mut(), |loaded| loaded.value.as_ptr());
        let new = next.map_or(ptr::null_mut(), Box::into_raw);
        // ORDERING: Release, partner of the Acquire in `load`. `old` needs no Acquire: the caller
        // has loaded it.
        let has_replaced = self
            .0
            .compare_exchange(old, new, Ordering::Release, Ordering::Relaxed)
            .is_ok();
        let unused = if has_replaced { old } else { new };
        if !unused.is_null() && has_replaced {
            // SAFETY: it came from a box, and this thread's exchange took it off the pointer, where
            // no thread finds it from now on.
            unsafe { guard.retire(unused, destroy) };
            // Flushed, since a full bag of such values may be a hundred megabytes.
            guard.flush();
        } else if !unused.is_null() {
            // SAFETY: it came from a box, above, and was never shared.
            drop(unsafe { Box::from_raw(unused) });
        }
        has_replaced
    }
}

/// # Safety
///
/// It came from a box, and no thread uses it any more.
unsafe fn destroy<T>(value: *mut T) {
    // SAFETY: this function's # Safety.
    drop(unsafe { Box::from_raw(value) });
}

impl<T> Deref for Loaded<T> {
    type Target = T;

    fn deref(&self) -> &T {
        let _ = &self.guard;
        // SAFETY: it was loaded while this thread was pinned by `guard`, which is not dropped yet.
        // A thread that has replaced it since has only retired it (`replace`).
        unsafe { self.value.as_ref() }
    }
}

impl<T> Drop for Replaceable<T> {
    fn drop(&mut self) {
        // Relaxed: no other thread has it any more.
        let value = self.0.load(Ordering::Relaxed);
        if !value.is_null() {
            // SAFETY: it came from a box (`replace`), and `&mut self` says that no thread uses it.
            drop(unsafe { Box::from_raw(value) });
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn readers_find_whole_values_while_they_are_replaced() {
        let shared = Replaceable::<[u64; 4]>::new();
        assert!(shared.load().is_none());
        assert!(shared.replace(None, Some(Box::new([0; 4]))));
        thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    for _ in 0..20_000 {
                        let value = shared.load().expect("never taken");
                        assert!(value.iter().all(|part| *part == value[0]));
                    }
                });
            }
            for number in 1..2_000 {
                let current = shared.load();
                assert!(shared.replace(current.as_ref(), Some(Box::new([number; 4]))));
            }
        });
        assert_eq!(shared.load().expect("never taken")[3], 1_999);
    }

    #[test]
    fn a_value_is_replaced_only_if_it_is_the_one_that_was_seen() {
        let shared = Replaceable::new();
        assert!(shared.replace(None, Some(Box::new(1))));
        assert!(!shared.replace(None, Some(Box::new(2))));
        let seen = shared.load();
        assert!(shared.replace(seen.as_ref(), None));
        assert!(!shared.replace(seen.as_ref(), Some(Box::new(3))));
        assert_eq!(seen.as_deref(), Some(&1), "it stays as long as it is held");
        assert!(shared.load().is_none());
    }
}
