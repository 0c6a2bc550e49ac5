//! Sections as epochs, where the kernel has no barrier for them.
//!
//! The epochs are crossbeam's (K. Fraser, *Practical lock-freedom*, 2004): a pin is a
//! store and a full barrier, some 6 ns, on any system.
//!
//! The collector is our own and not crossbeam's default one, because of `fork`: a
//! thread that was pinned in the parent and does not exist in the child would stop
//! all reclamation there. So a child begins with a new collector, and the thread
//! that forked with a new participant; what the old ones had still to free is left
//! alone.

use std::cell::UnsafeCell;
use std::mem::ManuallyDrop;
use std::ptr;

use crossbeam_epoch::{Collector, Guard, LocalHandle};

use crate::sync::{AtomicPtr, Ordering};

/// Null until the first pin of the process. Never freed.
static COLLECTOR: AtomicPtr<Collector> = AtomicPtr::new(ptr::null_mut());

// Two, because a variable without a destructor is read without asking whether
// it is still there.
thread_local! {
    /// This thread's participant. Changed by this thread, never while it is
    /// borrowed: only by its first pin, at its end, and after a fork.
    static HERE: UnsafeCell<Option<ManuallyDrop<LocalHandle>>> =
        const { UnsafeCell::new(None) };
    static FAREWELL: Farewell = const { Farewell };
}

/// Gives the participant up when the thread ends.
struct Farewell;

impl Drop for Farewell {
    fn drop(&mut self) {
        // Taken out first: what the drop frees may pin.
        // SAFETY: see `HERE`.
        let handle = HERE.with(|here| unsafe { (*here.get()).take() });
        if let Some(handle) = handle {
            drop(ManuallyDrop::into_inner(handle));
        }
    }
}

pub(super) fn pin() -> Guard {
    // SAFETY: see `HERE`.
    HERE.with(|here| match unsafe { &*here.get() } {
        Some(handle) => handle.pin(),
        None => pin_first(),
    })
}

#[cold]
fn pin_first() -> Guard {
    let handle = collector().register();
    let guard = handle.pin();
    // A thread that is about to end does without: the guard keeps what it needs.
    if FAREWELL.try_with(|_| ()).is_ok() {
        // SAFETY: see `HERE`.
        HERE.with(|here| unsafe { *here.get() = Some(ManuallyDrop::new(handle)) });
    }
    guard
}

fn collector() -> &'static Collector {
    // ORDERING: Acquire, partner of the Release below.
    let mut collector = COLLECTOR.load(Ordering::Acquire);
    if collector.is_null() {
        // A race, not a lock: that could be held across a fork.
        let fresh = Box::into_raw(Box::new(Collector::new()));
        let made = COLLECTOR.compare_exchange(
            ptr::null_mut(),
            fresh,
            Ordering::Release,
            Ordering::Acquire,
        );
        collector = match made {
            Ok(_) => fresh,
            Err(other) => {
                // SAFETY: it was never shared.
                drop(unsafe { Box::from_raw(fresh) });
                other
            }
        };
    }
    // SAFETY: made by this function and never freed.
    unsafe { &*collector }
}

/// In the child of a fork: leaves the parent's epochs behind. Allocates and
/// frees nothing.
pub(super) fn begin_anew() {
    COLLECTOR.store(ptr::null_mut(), Ordering::Relaxed);
    // SAFETY: see `HERE`. What is overwritten has no destructor.
    HERE.with(|here| unsafe { *here.get() = None });
}
