//! An allocator that counts: the bytes alive in the process, and the allocations
//! of the current thread. It can stop a thread at one of them. To be installed with
//! `#[global_allocator]`.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::atomic::{AtomicBool, AtomicIsize, Ordering};
use std::thread;

/// The system's allocator, counted.
pub struct Counting;

static ALIVE: AtomicIsize = AtomicIsize::new(0);

thread_local! {
    // Neither needs a destructor, so reading them allocates nothing.
    static ARMED: Cell<bool> = const { Cell::new(false) };
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
    // Allocations until it is stopped; 0: it is not.
    static UNTIL_STOP: Cell<u64> = const { Cell::new(0) };
}

/// A thread stands still at an allocation, or is to go on.
static STOPPED: AtomicBool = AtomicBool::new(false);

/// Runs `work` on a thread of its own that stands still at its `number`-th allocation, from 1 on,
/// while `meanwhile` runs here. False if `work` ended before that. For one test at a time.
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

/// How often `work` allocated, on this thread.
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

// SAFETY: every request is passed on to the system's allocator as it is.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size().cast_signed());
        // SAFETY: the caller keeps `alloc`'s contract.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        ALIVE.fetch_sub(layout.size().cast_signed(), Ordering::Relaxed);
        // SAFETY: `pointer` came from `System` with this layout.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size().cast_signed());
        // SAFETY: the caller keeps `alloc_zeroed`'s contract.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        count(new_size.cast_signed() - layout.size().cast_signed());
        // SAFETY: `pointer` came from `System` with this layout.
        unsafe { System.realloc(pointer, layout, new_size) }
    }
}
