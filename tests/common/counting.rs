//! An allocator that counts the live bytes of the process, and the allocations of the current
//! thread. It can stop a thread at one of its allocations. Install it with `#[global_allocator]`.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::atomic::{AtomicBool, AtomicIsize, Ordering};
use std::thread;

/// The system's allocator, with counts.
pub struct Counting;

static ALIVE: AtomicIsize = AtomicIsize::new(0);

thread_local! {
    // Neither needs a destructor, so reading them allocates nothing.
    static ARMED: Cell<bool> = const { Cell::new(false) };
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
    // Allocations until the thread is stopped; 0: it is not to be stopped.
    static UNTIL_STOP: Cell<u64> = const { Cell::new(0) };
}

/// True while a thread stands still at an allocation.
static STOPPED: AtomicBool = AtomicBool::new(false);

/// Runs `work` on a new thread, which stands still at its `number`-th allocation (counted from 1)
/// while `meanwhile` runs on this thread. Returns false if `work` ended before that allocation.
/// Only one test at a time may call this.
pub fn stopped_at(number: u64, work: impl FnOnce() + Send, meanwhile: impl FnOnce()) -> bool {
    thread::scope(|scope| {
        let working = scope.spawn(|| {
            UNTIL_STOP.set(number);
            work();
            UNTIL_STOP.set(0);
        });
        while !STOPPED.load(Ordering::Acquire) {
            if working.is_finished() {
                return false;
            }
            thread::yield_now();
        }
        let _goes_on = GoesOn;
        meanwhile();
        true
    })
}

/// Lets the thread go on, even if `meanwhile` has panicked.
struct GoesOn;

impl Drop for GoesOn {
    fn drop(&mut self) {
        STOPPED.store(false, Ordering::Release);
    }
}

fn stop_if_due() {
    let left = UNTIL_STOP.get();
    UNTIL_STOP.set(left.saturating_sub(1));
    if left == 1 {
        STOPPED.store(true, Ordering::Release);
        while STOPPED.load(Ordering::Acquire) {
            thread::yield_now();
        }
    }
}

/// Bytes allocated and not freed, by the whole process.
pub fn bytes_alive() -> isize {
    ALIVE.load(Ordering::Relaxed)
}

/// Runs `work`, and returns how often it allocated on this thread.
pub fn allocations_of(work: impl FnOnce()) -> u64 {
    ALLOCATIONS.set(0);
    ARMED.set(true);
    work();
    ARMED.set(false);
    ALLOCATIONS.get()
}

fn count(bytes: isize) {
    ALIVE.fetch_add(bytes, Ordering::Relaxed);
    if ARMED.get() {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
    }
    stop_if_due();
}

// SAFETY: every request is passed unchanged to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size().cast_signed());
        // SAFETY: the contract of `GlobalAlloc::alloc`: `layout` has a non-zero size.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        ALIVE.fetch_sub(layout.size().cast_signed(), Ordering::Relaxed);
        // SAFETY: the contract of `dealloc`: an allocation of this allocator, so of `System`, with
        // this layout.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size().cast_signed());
        // SAFETY: the contract of `GlobalAlloc::alloc_zeroed`: `layout` has a non-zero size.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        count(new_size.cast_signed() - layout.size().cast_signed());
        // SAFETY: the contract of `realloc`: an allocation of this allocator, so of `System`, with
        // this layout, and a valid new size.
        unsafe { System.realloc(pointer, layout, new_size) }
    }
}
