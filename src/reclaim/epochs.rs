//! Pins as epochs, where the kernel grants no barrier.
//!
//! The epochs are crossbeam's (K. Fraser, *Practical lock-freedom*, 2004): a pin is a
//! store and a full barrier, some 6 ns, on any system.
//!
//! The collector is not crossbeam's default one, because of `fork`: a thread that was
//! pinned in the parent and does not exist in the child would stop all reclamation
//! there. So a child begins with a new collector, and the thread that forked begins with
//! a new participant. What the old ones had still to free is leaked.

use std::cell::{Cell, UnsafeCell};
use std::mem::ManuallyDrop;

use crossbeam_epoch::{Collector, Guard, LocalHandle};

use crate::sys::hot_tls::AtThreadEnd;
use crate::sys::publish_once::PublishOnce;

/// Made by the first pin of the process. Never freed.
static COLLECTOR: PublishOnce<Collector> = PublishOnce::new();

// Two variables: `HERE` has no destructor, so an access need not check whether it was
// destroyed already.
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
/// The `SAFETY` comments of this file rest on two facts. Each cell is reached only through
/// `HERE`, so by one thread; and no reference to its content lives while it is written.
struct Here {
    /// Written by this thread, never while it is borrowed: by the first pin, at the thread's
    /// end, and after a fork.
    participant: UnsafeCell<Option<ManuallyDrop<LocalHandle>>>,
    /// crossbeam's guard, while the thread is pinned. Written only by the outermost `enter` and
    /// `leave`, and after a fork. It keeps alive what it needs of the participant.
    guard: UnsafeCell<Option<ManuallyDrop<Guard>>>,
    /// The number of nested pins.
    depth: Cell<usize>,
}

/// Drops this thread's participant, at the thread's end.
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
            // Pinning may destroy retired objects, and their destruction may pin and unpin.
            let guard = here.pin();
            // SAFETY: this thread's own cell. The depth is 0, so `with_guard` borrows nothing,
            // and the cell is empty: what pinned and unpinned meanwhile has taken its own out.
            unsafe { *here.guard.get() = Some(ManuallyDrop::new(guard)) };
        }
        here.depth.set(here.depth.get() + 1);
    });
}

/// Unpins the thread, if this is the outermost pin.
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
        // A thread that is about to end registers again at each pin.
        if AtThreadEnd::will_run(&FAREWELL) {
            // SAFETY: this thread's own cell. `pin` borrowed it only to find it empty, and that
            // borrow has ended.
            unsafe { *self.participant.get() = Some(ManuallyDrop::new(participant)) };
        }
        guard
    }
}

/// Calls `work` with crossbeam's guard. The thread is pinned.
fn with_guard(work: impl FnOnce(&Guard)) {
    HERE.with(|here| {
        // SAFETY: this thread's own cell. The thread is pinned, so `enter` and `leave` inside
        // of `work` only count: the guard stays where it is.
        let guard = unsafe { &*here.guard.get() };
        work(guard.as_ref().expect("pinned"));
    });
}

/// Runs `destroy` on the object once no thread that is pinned now is pinned any more.
///
/// # Safety
///
/// The thread is pinned, and the object is unreachable for threads that pin from now on.
/// `destroy` may be called with it once, on any thread and at any later time.
#[cold]
#[inline(never)]
pub(super) unsafe fn retire<T>(object: *mut T, destroy: unsafe fn(*mut T)) {
    // SAFETY: this function's # Safety: the object is unreachable for threads that pin later,
    // and `destroy` may be called with it once, on any thread.
    with_guard(|guard| unsafe { guard.defer_unchecked(move || destroy(object)) });
}

/// Hands what this thread has retired to the collector. The thread is pinned.
#[cold]
#[inline(never)]
pub(super) fn flush() {
    with_guard(|guard| guard.flush());
}

/// In the child of a fork: leaves the parent's epochs behind. Allocates and
/// frees nothing.
pub(super) fn begin_again() {
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
