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

use std::cell::{Cell, UnsafeCell};
use std::mem::ManuallyDrop;

use crossbeam_epoch::{Collector, Guard, LocalHandle};

use crate::sys::hot_tls::AtThreadEnd;
use crate::sys::publish_once::PublishOnce;

/// Made by the first pin of the process. Never freed.
static COLLECTOR: PublishOnce<Collector> = PublishOnce::new();

// Two variables, because one without a destructor is read without asking whether it is
// still there.
thread_local! {
    static HERE: Here = const {
        Here {
            participant: UnsafeCell::new(None),
            guard: UnsafeCell::new(None),
            depth: Cell::new(0),
        }
    };
    static FAREWELL: AtThreadEnd = const { AtThreadEnd::new(give_participant_up) };
}

/// This thread's part.
///
/// The `SAFETY` comments of this file name one of two facts. Each cell is reached only through
/// `HERE`, so by one thread; and no reference to its content lives while it is written.
struct Here {
    /// Changed by this thread, never while it is borrowed: only by its first pin, at its
    /// end, and after a fork.
    participant: UnsafeCell<Option<ManuallyDrop<LocalHandle>>>,
    /// While the thread is pinned; and changed only where it was not or will not be. It
    /// keeps what it needs of the participant.
    guard: UnsafeCell<Option<ManuallyDrop<Guard>>>,
    /// How many pins there are, inside each other.
    depth: Cell<usize>,
}

/// At the thread's end.
fn give_participant_up() {
    // Taken out first: what the drop frees may pin.
    // SAFETY: this thread's own cell. `take` moves the participant out before anything runs
    // that could come back to it, and `Here::pin` holds no borrow here.
    let participant = HERE.with(|here| unsafe { (*here.participant.get()).take() });
    drop(participant.map(ManuallyDrop::into_inner));
}

/// Pins the thread until the [`leave`] that belongs to it.
#[cold]
#[inline(never)]
pub(super) fn enter() {
    HERE.with(|here| {
        if here.depth.get() == 0 {
            // To pin may free something, which pins and unpins.
            let guard = here.pin();
            // SAFETY: this thread's own cell. The depth is 0, so `with_guard` borrows nothing,
            // and the cell is empty: what pinned and unpinned meanwhile has taken its own out.
            unsafe { *here.guard.get() = Some(ManuallyDrop::new(guard)) };
        }
        here.depth.set(here.depth.get() + 1);
    });
}

#[cold]
#[inline(never)]
pub(super) fn leave() {
    HERE.with(|here| {
        // Nothing to leave, if the thread has forked inside and this is the child.
        here.depth.set(here.depth.get().saturating_sub(1));
        if here.depth.get() == 0 {
            // Taken out first: what the drop frees may pin.
            // SAFETY: this thread's own cell, whose borrow has ended: the depth is 0, so no
            // `with_guard` is under way, and `take` moves the guard out before it is dropped.
            let guard = unsafe { (*here.guard.get()).take() };
            drop(guard.map(ManuallyDrop::into_inner));
        }
    });
}

impl Here {
    fn pin(&self) -> Guard {
        // SAFETY: this thread's own cell. It is written by `pin_first` while it is empty, by
        // `give_participant_up`, which runs when no pin is under way, and after a fork.
        match unsafe { &*self.participant.get() } {
            Some(participant) => participant.pin(),
            None => self.pin_first(),
        }
    }

    #[cold]
    fn pin_first(&self) -> Guard {
        let participant = COLLECTOR.get_or_make(Collector::new).register();
        let guard = participant.pin();
        // A thread that is about to end does without.
        if AtThreadEnd::will_run(&FAREWELL) {
            // SAFETY: this thread's own cell. `pin` borrowed it only to find it empty, and that
            // borrow has ended.
            unsafe { *self.participant.get() = Some(ManuallyDrop::new(participant)) };
        }
        guard
    }
}

/// The thread is pinned.
fn with_guard(work: impl FnOnce(&Guard)) {
    HERE.with(|here| {
        // SAFETY: this thread's own cell. The thread is pinned, so `enter` and `leave` inside
        // of `work` only count: the guard stays where it is.
        let guard = unsafe { &*here.guard.get() };
        work(guard.as_ref().expect("pinned"));
    });
}

/// # Safety
///
/// The thread is pinned, and the object unreachable for threads that pin from now on.
/// `destroy` may be called with it once, on any thread and at any later time.
#[cold]
#[inline(never)]
pub(super) unsafe fn retire<T>(object: *mut T, destroy: unsafe fn(*mut T)) {
    // SAFETY: this function's # Safety: the object is unreachable for threads that pin later,
    // and `destroy` may be called with it once, on any thread.
    with_guard(|guard| unsafe { guard.defer_unchecked(move || destroy(object)) });
}

/// The thread is pinned.
#[cold]
#[inline(never)]
pub(super) fn flush() {
    with_guard(|guard| guard.flush());
}

/// In the child of a fork: leaves the parent's epochs behind. Allocates and
/// frees nothing.
pub(super) fn begin_anew() {
    COLLECTOR.forget();
    HERE.with(|here| {
        here.depth.set(0);
        // SAFETY: this thread's own cells. The fork did not happen inside of a borrow: no user
        // code runs there. What is overwritten has no destructor (`ManuallyDrop`).
        unsafe {
            *here.participant.get() = None;
            *here.guard.get() = None;
        }
    });
}
