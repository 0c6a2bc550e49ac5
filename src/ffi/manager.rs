//! Managers.

use std::ptr;
use std::time::Duration;

use super::args;
use super::config::brama_config_t;
use super::errors::brama_result_t;
use super::guard;
use super::handles::brama_t;
use super::words_of_c::in_c;
use crate::manager;

/// Makes a manager. A NULL config stands for the defaults. Errors: a setting that is out of its
/// range, or no memory for event_capacity. If the system refuses to start a background thread, that
/// is no error here: brama_event_counts says whether one is running.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn brama_new(config: *const brama_config_t) -> *mut brama_t {
    guard::value(ptr::null_mut(), || {
        // SAFETY: `config` is NULL or a config: the rule for pointers in `args`.
        let brama = unsafe { brama_config_t::builder(config) }?
            .build()
            .map_err(in_c)?;
        Ok(Box::into_raw(Box::new(brama_t { brama })))
    })
}

/// Returns the process-wide default manager, for which NULL stands. Its first use makes it, with
/// the default settings. Never NULL. brama_free does not free it.
#[unsafe(no_mangle)]
pub extern "C" fn brama_default() -> *mut brama_t {
    guard::value(ptr::null_mut(), || {
        Ok(ptr::from_ref(crate::default()).cast_mut().cast())
    })
}

/// Shuts a manager down (brama_shutdown) and frees it; does nothing for the default manager.
/// Handles, subscriptions and queues stay valid until they are given back; permits by name do not.
/// It waits as long as the callbacks take: call brama_shutdown_within first where that may be too
/// long. May be called from a callback: callbacks for events already queued still run afterwards,
/// and must not use the pointer.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn brama_free(manager: *mut brama_t) {
    guard::value((), || {
        let is_default = manager::default_if_made()
            .is_some_and(|default| ptr::eq(default, manager.cast_const().cast()));
        if !manager.is_null() && !is_default {
            // SAFETY: from `brama_new`, and not freed yet: the rule for pointers in `args`. So the
            // callbacks that the shutdown runs may still use it.
            unsafe { args::kept_manager(manager) }.shutdown();
            // SAFETY: from `brama_new`, which made it with a box; the header asks for one
            // `brama_free`, the last use.
            drop(unsafe { Box::from_raw(manager) });
        }
        Ok(())
    });
}

/// Shuts a manager down: all connections are removed, any later operation on them returns
/// BRAMA_ERR_SHUT_DOWN, the events that wait are delivered, all subscriptions end, and the
/// background thread is joined. Further calls do nothing. The default manager stays shut down for
/// the rest of the process.
///
/// It waits as long as the callbacks take; brama_shutdown_within has a limit. Called from a
/// callback, predicate or brama_destroy_fn, of this manager or any other, it waits for nothing and
/// returns at once. The background thread, or the thread that runs the callback, does the rest
/// after the callback has returned.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn brama_shutdown(manager: *mut brama_t) -> brama_result_t {
    guard::result(|| {
        // SAFETY: `manager` is NULL or a manager: the rule for pointers in `args`.
        unsafe { args::kept_manager(manager) }.shutdown();
        Ok(())
    })
}

/// Shuts a manager down as brama_shutdown does, within timeout_ms (BRAMA_NEVER: without a limit).
/// If left is not NULL, *left becomes the number of events that were not delivered: 0 if all were.
///
/// When the time is over, events that wait are not delivered any more. A callback under way may
/// still be running when this function returns; the thread that runs it then calls its destroy
/// function. Later calls of brama_shutdown, brama_free and brama_unsubscribe do not wait for it. An
/// event is left if it was not offered to every subscriber, or if its last callback has not
/// returned. An event in batches that were not delivered counts once for each batch.
///
/// Without a background thread the callbacks run on the calling thread, which checks the time
/// between two of them. Called from a callback it returns at once, as brama_shutdown does, and
/// *left is the number of happenings that wait.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn brama_shutdown_within(
    manager: *mut brama_t,
    timeout_ms: u64,
    left: *mut u64,
) -> brama_result_t {
    guard::result(|| {
        // SAFETY: `manager` is NULL or a manager: the rule for pointers in `args`.
        let brama = unsafe { args::kept_manager(manager) };
        let events = brama.shutdown_within(Duration::from_millis(timeout_ms));
        // SAFETY: `left` is NULL or a place: the rule for pointers in `args`.
        unsafe { args::put(left, events) };
        Ok(())
    })
}

/// Does what is due: expiries, cleanup, delivery of events. Needed without a background thread,
/// harmless with one. Runs callbacks on the calling thread. Called from a callback of the same
/// manager it does nothing. Never fails.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn brama_poll(manager: *mut brama_t) -> brama_result_t {
    guard::result(|| {
        // SAFETY: `manager` is NULL or a manager: the rule for pointers in `args`.
        unsafe { args::kept_manager(manager) }.poll();
        Ok(())
    })
}
