//! Handles.

use std::ffi::c_char;
use std::ptr;
use std::sync::Arc;

use super::args::{handle, null};
use super::entry::by_handle;
use super::errors::{BRAMA_OK, brama_result_t};
use super::guard;
use super::handles::brama_connection_t;
use super::report::{self, brama_report_t};
use super::strings::TERMINATED;
use super::types::{self, BRAMA_STATE_UNKNOWN, brama_state_t};
use crate::circuit::record::Begun;
use crate::values::event::Report;

/// Takes one more reference to a handle, and returns the same pointer.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn brama_connection_retain(
    connection: *const brama_connection_t,
) -> *mut brama_connection_t {
    if !connection.is_null() {
        // SAFETY: from `Arc::into_raw` in `hand_out`, and the caller holds a reference: the rule
        // for pointers in `args`.
        unsafe { Arc::increment_strong_count(connection) };
    }
    connection.cast_mut()
}

/// Gives a reference to a handle back; with the last one the handle is freed. The connection
/// stays registered.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn brama_connection_release(connection: *mut brama_connection_t) {
    guard::value((), || {
        if !connection.is_null() {
            // SAFETY: from `Arc::into_raw` in `hand_out`, and the caller gives back a reference of
            // its own: OWNERSHIP in the header.
            unsafe { Arc::decrement_strong_count(connection.cast_const()) };
        }
        Ok(())
    });
}

/// Returns the connection's identifier, which is valid as long as the handle is held.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn brama_connection_identifier(
    connection: *const brama_connection_t,
) -> *const c_char {
    guard::value(ptr::null(), || {
        // SAFETY: `connection` is NULL or a handle: the rule for pointers in `args`.
        Ok(unsafe { handle(connection) }?.identifier.as_ptr())
    })
}

/// Returns the connection's scope, which is valid as long as the handle is held; NULL if it has
/// none.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn brama_connection_scope(
    connection: *const brama_connection_t,
) -> *const c_char {
    guard::value(ptr::null(), || {
        // SAFETY: `connection` is NULL or a handle: the rule for pointers in `args`.
        let scope = unsafe { handle(connection) }?.scope.as_deref();
        Ok(scope.map_or(ptr::null(), |scope| scope.as_ptr()))
    })
}

/// brama_available on a handle.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn brama_connection_available(connection: *const brama_connection_t) -> bool {
    // SAFETY: NULL, or a handle that is held: the rule for pointers in `args`.
    let handle = unsafe { connection.as_ref() };
    // One load, which cannot panic, so it needs no guard.
    if handle.is_some_and(|handle| handle.connection.passes_freely()) {
        return true;
    }
    available_unless_closed(handle)
}

#[inline(never)]
fn available_unless_closed(handle: Option<&brama_connection_t>) -> bool {
    // The way of every question during an outage. Nothing in it panics, so it needs no guard.
    if let Some(handle) = handle
        && let Some(refused) = handle.connection.refusal_while_open()
    {
        guard::rejected(refused, handle.trace());
        return false;
    }
    available_guarded(handle)
}

#[cold]
#[inline(never)]
fn available_guarded(handle: Option<&brama_connection_t>) -> bool {
    guard::value(false, || {
        let handle = handle.ok_or_else(|| null("connection"))?;
        if handle.connection.available() {
            return Ok(true);
        }
        let why = handle.connection.why_unavailable();
        why.map_or(Ok(true), |error| Err(guard::refused(error, handle.trace())))
    })
}

/// brama_state on a handle. BRAMA_STATE_UNKNOWN for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn brama_connection_state(
    connection: *const brama_connection_t,
) -> brama_state_t {
    guard::value(BRAMA_STATE_UNKNOWN, || {
        // SAFETY: `connection` is NULL or a handle: the rule for pointers in `args`.
        let connection = &unsafe { handle(connection) }?.connection;
        match types::state(connection.state()) {
            BRAMA_STATE_UNKNOWN => Err(connection.gone().into()),
            state => Ok(state),
        }
    })
}

/// brama_success on a handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn brama_connection_success(
    connection: *const brama_connection_t,
) -> brama_result_t {
    // SAFETY: NULL, or a handle that is held: the rule for pointers in `args`.
    let handle = unsafe { connection.as_ref() };
    // Nothing in it panics, so it needs no guard.
    if handle.is_some_and(|handle| handle.connection.try_success()) {
        return BRAMA_OK;
    }
    success_that_matters(handle)
}

#[cold]
#[inline(never)]
fn success_that_matters(handle: Option<&brama_connection_t>) -> brama_result_t {
    guard::result(|| {
        let handle = handle.ok_or_else(|| null("connection"))?;
        handle.connection.success()?;
        Ok(())
    })
}

/// brama_success_with on a handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn brama_connection_success_with(
    connection: *const brama_connection_t,
    report: *const brama_report_t,
) -> brama_result_t {
    // SAFETY: `connection` is NULL or a handle; `report` is NULL or a report: the rule for
    // pointers in `args`.
    unsafe {
        by_handle(connection, |connection| {
            connection.success_with(&brama_report_t::given(report)?)
        })
    }
}

/// brama_failure on a handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn brama_connection_failure(
    connection: *const brama_connection_t,
    reason: *const c_char,
) -> brama_result_t {
    // SAFETY: `connection` is NULL or a handle; `reason` is NULL or a string: the rule for
    // pointers in `args`.
    unsafe { failure(connection, reason, TERMINATED) }
}

/// brama_connection_failure with a reason of this length, as in brama_report_t.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn brama_connection_failure_n(
    connection: *const brama_connection_t,
    reason: *const c_char,
    reason_length: usize,
) -> brama_result_t {
    // SAFETY: `connection` is NULL or a handle; `reason` is NULL or text of its length: the
    // rule for pointers in `args`.
    unsafe { failure(connection, reason, reason_length) }
}

/// # Safety
///
/// `connection` is NULL or a handle that is held; `reason` is NULL or text of this length.
#[inline(always)]
unsafe fn failure(
    connection: *const brama_connection_t,
    reason: *const c_char,
    length: usize,
) -> brama_result_t {
    // SAFETY: NULL, or a handle that is held: this function's # Safety.
    let handle = unsafe { connection.as_ref() };
    // Nothing in it panics, so it needs no guard.
    let begun = match handle {
        Some(handle) if reason.is_null() => handle.connection.begin_failure(None, None),
        // SAFETY: `reason` is not NULL, so text of this length: this function's # Safety.
        Some(handle) => unsafe { report::begin(handle, None, reason, length) },
        None => Begun::Not,
    };
    match begun {
        Begun::Done(_) => BRAMA_OK,
        // SAFETY: `reason` is NULL or text of this length: this function's # Safety.
        _ => unsafe { failure_that_matters(handle, reason, length, begun) },
    }
}

/// What is left of a failure by handle that the short way has not done.
///
/// # Safety
///
/// The reason is NULL or text of this length.
#[inline(never)]
unsafe fn failure_that_matters(
    handle: Option<&brama_connection_t>,
    text: *const c_char,
    length: usize,
    begun: Begun,
) -> brama_result_t {
    guard::result(|| {
        let handle = handle.ok_or_else(|| null("connection"))?;
        // SAFETY: the reason is NULL or text of this length: this function's # Safety.
        let report = unsafe { report::reason(text, length) };
        handle
            .connection
            .go_on_with_failure(None, &Report::from(&report), begun)?;
        Ok(())
    })
}

/// brama_failure_with on a handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn brama_connection_failure_with(
    connection: *const brama_connection_t,
    report: *const brama_report_t,
) -> brama_result_t {
    // SAFETY: `connection` is NULL or a handle; `report` is NULL or a report: the rule for
    // pointers in `args`.
    unsafe {
        by_handle(connection, |connection| {
            let (report, count) = brama_report_t::given_with_place(report)?;
            count.put(connection.failure(&report)?);
            Ok(())
        })
    }
}

/// brama_failure_for on a handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn brama_connection_failure_for(
    connection: *const brama_connection_t,
    report: *const brama_report_t,
    wait_ms: u64,
) -> brama_result_t {
    // SAFETY: `connection` is NULL or a handle; `report` is NULL or a report: the rule for
    // pointers in `args`.
    unsafe {
        by_handle(connection, |connection| {
            let (report, count) = brama_report_t::given_with_place(report)?;
            count.put(connection.failure_for(&report, report::wait(wait_ms)?)?);
            Ok(())
        })
    }
}
