//! Queues of events, which the host drains.

use std::ffi::c_int;
use std::mem::size_of;
use std::ptr;
use std::sync::Arc;
use std::time::Duration;

use super::args::{clear, given, place, validate_step};
use super::errors::brama_result_t;
use super::event::{brama_event_t, room_for, translate};
use super::guard::{self, Failure};
use super::handles::{brama_queue_t, brama_t};
use super::subscribe::{brama_filter_t, subscriber};
use super::text::Shelf;
use crate::values::error::Error;

/// A reference to a queue, for a call that may run the host's functions: one of them may free the
/// queue. An error for NULL.
///
/// # Safety
///
/// NULL, or a queue that is not freed before this function returns.
unsafe fn kept(queue: *mut brama_queue_t) -> Result<Arc<brama_queue_t>, Error> {
    place("queue", queue)?;
    // SAFETY: not NULL, as `place` found, so from `Arc::into_raw` in `brama_queue_new`, and not
    // freed yet: this function's # Safety.
    unsafe {
        Arc::increment_strong_count(queue.cast_const());
        Ok(Arc::from_raw(queue.cast_const()))
    }
}

/// Makes a queue of every event that filter lets pass: *out becomes the queue, or NULL on error. Up
/// to capacity events wait in order; the introduction (EVENTS) says what happens when the queue is
/// full. A NULL filter lets everything pass.
///
/// Errors: BRAMA_ERR_INVALID_CONFIG if capacity is not 1 to 16777216, BRAMA_ERR_INVALID_ARGUMENT,
/// BRAMA_ERR_SHUT_DOWN.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn brama_queue_new(
    manager: *mut brama_t,
    filter: *const brama_filter_t,
    capacity: usize,
    out: *mut *mut brama_queue_t,
) -> brama_result_t {
    guard::result(|| {
        // SAFETY: `manager` is NULL or a manager; `filter` is NULL or a filter; `out` is NULL or
        // a place: the rule for pointers in `args`.
        let (brama, filter) = unsafe {
            clear(out);
            subscriber(manager, filter)
        };
        let out = place("out", out)?;
        let queue = brama.subscribe_queue(filter?, capacity)?;
        let drained = Shelf::new();
        let queue = Arc::into_raw(Arc::new(brama_queue_t { queue, drained }));
        // SAFETY: not NULL, so a place for a pointer: the rule for pointers in `args`.
        unsafe { out.write(queue.cast_mut()) };
        Ok(())
    })
}

/// Takes up to capacity events out of the queue, in order, into the array events; *count becomes
/// their number. Returns at once, even if there are none.
///
/// event_size is sizeof(brama_event_t): the step from one element to the next. The strings of the
/// events belong to the queue and are valid until it is drained again or freed. So only one thread
/// at a time may drain a queue. In a manager without a background thread this also does what
/// brama_poll does.
///
/// events may be NULL if capacity is 0. Works after brama_queue_close and brama_shutdown. Errors:
/// BRAMA_ERR_INVALID_ARGUMENT.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn brama_queue_drain(
    queue: *mut brama_queue_t,
    events: *mut brama_event_t,
    event_size: usize,
    capacity: usize,
    count: *mut usize,
) -> brama_result_t {
    guard::result(|| {
        let count = place("count", count)?;
        // SAFETY: not NULL, so a place for a number: the rule for pointers in `args`.
        unsafe { count.write(0) };
        // SAFETY: `queue` is NULL or a queue: the rule for pointers in `args`.
        let queue = unsafe { kept(queue) }?;
        validate_step::<brama_event_t>("event_size", event_size)?;
        if capacity > 0 {
            place("events", events)?;
        }
        let drained = queue.queue.drain(capacity);
        if Arc::strong_count(&queue) == 1 {
            // A callback has freed the queue meanwhile, and with it the strings.
            return Ok(());
        }
        let mut texts = queue.drained.take();
        texts.begin(room_for(&drained));
        for (number, event) in drained.iter().enumerate() {
            let size = event_size.min(size_of::<brama_event_t>());
            let event = brama_event_t {
                size,
                ..translate(event, &mut texts)
            };
            // SAFETY: `events` is not NULL, so it has room for `capacity` events, `event_size`
            // bytes apart, by the rule for pointers in `args`; no more than that were drained.
            unsafe {
                let to = events.cast::<u8>().add(number * event_size);
                ptr::copy_nonoverlapping(ptr::from_ref(&event).cast(), to, size);
            }
        }
        // SAFETY: not NULL, so a place for a number: the rule for pointers in `args`.
        unsafe { count.write(drained.len()) };
        queue.drained.put(texts);
        Ok(())
    })
}

/// Waits until an event can be drained, at most timeout_ms (BRAMA_NEVER: for ever), and returns
/// whether one can; another thread may take it first. Returns false at once if the queue is closed
/// and nothing waits. In a manager without a background thread this also does what brama_poll does.
/// Any number of threads may wait. Inside a callback of the manager nothing arrives meanwhile: do
/// not wait for ever there. In a destructor that runs because a thread ends, it may return false at
/// once.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn brama_queue_wait(queue: *mut brama_queue_t, timeout_ms: u64) -> bool {
    guard::value(false, || {
        // SAFETY: `queue` is NULL or a queue: the rule for pointers in `args`.
        let queue = unsafe { kept(queue) }?;
        Ok(queue.queue.wait(Duration::from_millis(timeout_ms)))
    })
}

/// Gives a file descriptor for poll, epoll, libuv or asyncio, in *fd. It is readable while events
/// wait, and for ever once the queue is closed. It belongs to the queue, and brama_queue_free closes
/// it. Do not read from it and do not close it: drain the queue.
///
/// Without a background thread an event makes it readable only when brama_poll delivers the event,
/// or another queue of the manager does in brama_queue_drain or brama_queue_wait. Call brama_poll
/// from a timer.
///
/// Errors: BRAMA_ERR_INVALID_ARGUMENT; BRAMA_ERR_LIMIT if too many files are open,
/// BRAMA_ERR_OUT_OF_MEMORY, or BRAMA_ERR_UNSUPPORTED if the system has no such descriptor.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn brama_queue_fd(
    queue: *mut brama_queue_t,
    fd: *mut c_int,
) -> brama_result_t {
    guard::result(|| {
        let fd = place("fd", fd)?;
        // SAFETY: `queue` is NULL or a queue: the rule for pointers in `args`.
        let queue = unsafe { given("queue", queue) }?;
        let descriptor = descriptor(queue)?;
        // SAFETY: not NULL, so a place for a descriptor: the rule for pointers in `args`.
        unsafe { fd.write(descriptor) };
        Ok(())
    })
}

#[cfg(unix)]
fn descriptor(queue: &brama_queue_t) -> Result<c_int, Failure> {
    queue.queue.as_raw_fd().map_err(Failure::System)
}

#[cfg(not(unix))]
fn descriptor(_: &brama_queue_t) -> Result<c_int, Failure> {
    Err(Failure::System(std::io::ErrorKind::Unsupported.into()))
}

/// Ends the queue's subscription: no more events come, and waiting threads are woken. Events that
/// wait can still be drained. Further calls do nothing. Errors: BRAMA_ERR_INVALID_ARGUMENT.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn brama_queue_close(queue: *mut brama_queue_t) -> brama_result_t {
    guard::result(|| {
        // SAFETY: `queue` is NULL or a queue: the rule for pointers in `args`.
        unsafe { kept(queue) }?.queue.close();
        Ok(())
    })
}

/// Returns whether no more events will come: the queue was closed, its subscription was ended, or
/// its manager was shut down. Events may still wait. To get all of them, ask this before the last
/// drain: after a true answer no event is added, so a drain that follows and finds none is the
/// last. True for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn brama_queue_is_closed(queue: *const brama_queue_t) -> bool {
    guard::value(true, || {
        // SAFETY: `queue` is NULL or a queue: the rule for pointers in `args`.
        Ok(unsafe { given("queue", queue) }?.queue.is_closed())
    })
}

/// Closes a queue and frees it, with its descriptor and the strings of its events. No other thread
/// may be using the queue: close it first, and join the threads that wait for it. May be called
/// from a callback, even from one that a brama_queue_drain of this queue runs: that call then gives
/// no events.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn brama_queue_free(queue: *mut brama_queue_t) {
    guard::value((), || {
        if !queue.is_null() {
            // SAFETY: from `Arc::into_raw` in `brama_queue_new`, and given back once: OWNERSHIP in
            // the header.
            drop(unsafe { Arc::from_raw(queue.cast_const()) });
        }
        Ok(())
    });
}
