//! Queues of events, drained by the host.

use std::ffi::c_int;
use std::mem::size_of;
use std::ptr;
use std::sync::Arc;
use std::time::Duration;

use super::args::{clear, given, judge_step, place};
use super::errors::brama_result_t;
use super::event::{brama_event_t, room_for, translate};
use super::guard::{self, Failure};
use super::handles::{brama_queue_t, brama_t};
use super::subscribe::{brama_filter_t, subscriber};
use super::text::Shelf;
use crate::values::error::Error;

/// A queue, for a call that may run the host's functions: one of them may free it.
///
/// # Safety
///
/// NULL, or a queue that is not freed before its reference is taken here.
unsafe fn kept(queue: *mut brama_queue_t) -> Result<Arc<brama_queue_t>, Error> {
    place("queue", queue)?;
    // SAFETY: from `Arc::into_raw` in `brama_queue_new`, and not freed yet.
    unsafe {
        Arc::increment_strong_count(queue.cast_const());
        Ok(Arc::from_raw(queue.cast_const()))
    }
}

/// Makes a queue of every event that filter lets pass, into *out, to be freed by the
/// caller with brama_queue_free; NULL on error. Up to capacity events wait in order;
/// the introduction says what happens when it is full.
///
/// A NULL filter lets everything pass. Errors: BRAMA_ERR_INVALID_CONFIG if capacity is not 1 to
/// 16777216, BRAMA_ERR_INVALID_ARGUMENT, BRAMA_ERR_SHUT_DOWN.
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

/// Takes up to capacity events out of the queue, in order, into an array, and says in
/// *count how many. Returns at once, also with none.
///
/// event_size is sizeof(brama_event_t): the step from one element to the next. The
/// strings of the events belong to the queue and are valid until it is drained again or
/// freed, so one thread at a time drains a queue. In a manager without a background
/// thread this also does what brama_poll does.
///
/// No pointer may be NULL, except events if capacity is 0. Errors:
/// BRAMA_ERR_INVALID_ARGUMENT. Works after brama_queue_close and brama_shutdown.
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
        judge_step::<brama_event_t>("event_size", event_size)?;
        if capacity > 0 {
            place("events", events)?;
        }
        let drained = queue.queue.drain(capacity);
        if Arc::strong_count(&queue) == 1 {
            // Freed by a callback meanwhile, and with it the strings.
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

/// Waits until an event can be drained, at most timeout_ms (BRAMA_NEVER: for ever), and
/// says whether one can; another thread may take it first. False also, at once, when
/// the queue is closed and nothing waits, and for NULL. In a manager without a
/// background thread this also does what brama_poll does. Inside a callback of the manager
/// nothing arrives meanwhile: do not wait for ever there. Any number of threads, except
/// in destructors that run because a thread ends: there it may answer false at once.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn brama_queue_wait(queue: *mut brama_queue_t, timeout_ms: u64) -> bool {
    guard::value(false, || {
        // SAFETY: `queue` is NULL or a queue: the rule for pointers in `args`.
        let queue = unsafe { kept(queue) }?;
        Ok(queue.queue.wait(Duration::from_millis(timeout_ms)))
    })
}

/// Gives into *fd a file descriptor that is readable while events wait, and for ever
/// once the queue is closed: for epoll, libuv, asyncio. It belongs to the queue and is
/// closed with it: do not read from it, do not close it, drain the queue instead.
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

/// Ends the queue's subscription: nothing more comes, and waiting threads are woken. What waits
/// can still be drained. Further calls do nothing. NULL: BRAMA_ERR_INVALID_ARGUMENT.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn brama_queue_close(queue: *mut brama_queue_t) -> brama_result_t {
    guard::result(|| {
        // SAFETY: `queue` is NULL or a queue: the rule for pointers in `args`.
        unsafe { kept(queue) }?.queue.close();
        Ok(())
    })
}

/// Whether nothing more will come: the queue was closed, its subscription ended, or its manager
/// shut down. Events may still wait. True for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn brama_queue_is_closed(queue: *const brama_queue_t) -> bool {
    guard::value(true, || {
        // SAFETY: `queue` is NULL or a queue: the rule for pointers in `args`.
        Ok(unsafe { given("queue", queue) }?.queue.is_closed())
    })
}

/// Closes a queue and frees it, with its descriptor and the strings of its events. NULL
/// is fine. No other thread may be using the queue: close it first, and join who waits.
/// May be called inside a callback, also one that runs because the queue is drained:
/// that call then gives no events.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn brama_queue_free(queue: *mut brama_queue_t) {
    guard::value((), || {
        if !queue.is_null() {
            // SAFETY: from `brama_queue_new`, and given back once.
            drop(unsafe { Arc::from_raw(queue.cast_const()) });
        }
        Ok(())
    });
}
