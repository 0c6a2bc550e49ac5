//! Permits: plain structs.
//!
//! [`super::permit_words`] has the meaning of their words, [`super::permit_report`] the reports.

use std::ffi::c_char;

use super::args::{self, handle, place, put};
use super::errors::{BRAMA_OK, brama_result_t};
use super::guard;
use super::handles::{brama_connection_t, brama_t};
use super::name::Name;
use super::permit_words::{Granted, OWNER, grant, grant_by_name, token_in, word};
use super::types::{BRAMA_NEVER, BRAMA_NONE};
use crate::values::error::Error;

/// An admission, to be reported once, on any thread. It is a plain value that may be copied and
/// needs no free. A permit that is never reported costs nothing; if it is a probe, its place is
/// free again after probe_timeout_ms. Report a permit from a handle while the handle is held, and
/// one by name before its manager is freed. A permit of zeroes (BRAMA_PERMIT_INIT) is refused.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct brama_permit_t {
    /// Opaque; do not read or write.
    pub opaque: [u64; 6],
}

/// Asks for admission. If the circuit is closed, or half-open with a probe's place free, *permit
/// becomes a permit. A ramp (ramp_ms) admits a share of the calls, drawn by lot.
///
/// BRAMA_ERR_REJECTED: do not call. The rejection is counted. On every error *permit becomes zero,
/// if permit is not NULL.
///
/// If retry_after_ms is not NULL, *retry_after_ms says in how many ms to ask again:
///
///   open             a promise: after that time the call is admitted, unless other callers have
///                    taken the probes
///   half-open        a hint, 1 to 1000: all probes are out, or a ramp did not draw the call
///   held open        BRAMA_NEVER: until it is closed by hand
///   admitted         0
///   another error    BRAMA_NONE
///
/// Other errors: BRAMA_ERR_NOT_FOUND, BRAMA_ERR_INVALID_ARGUMENT, BRAMA_ERR_SHUT_DOWN.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn brama_acquire(
    manager: *mut brama_t,
    identifier: *const c_char,
    scope: *const c_char,
    permit: *mut brama_permit_t,
    retry_after_ms: *mut u64,
) -> brama_result_t {
    // SAFETY: `manager` is NULL or a manager; the names are NULL or strings; `permit` is
    // NULL or a place; `retry_after_ms` too: the rule for pointers in `args`.
    unsafe {
        let name = Name::terminated(identifier, scope);
        acquire(manager, name, permit, retry_after_ms)
    }
}

/// brama_acquire with a name of these lengths; see brama_register_n.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn brama_acquire_n(
    manager: *mut brama_t,
    identifier: *const c_char,
    identifier_length: usize,
    scope: *const c_char,
    scope_length: usize,
    permit: *mut brama_permit_t,
    retry_after_ms: *mut u64,
) -> brama_result_t {
    // SAFETY: `manager` is NULL or a manager; the names are NULL or texts of their lengths;
    // `permit` is NULL or a place; `retry_after_ms` too: the rule for pointers in `args`.
    unsafe {
        let name = Name::of_lengths(identifier, identifier_length, scope, scope_length);
        acquire(manager, name, permit, retry_after_ms)
    }
}

/// The short way of brama_acquire, for a healthy circuit; otherwise [`acquire_by_name_guarded`].
///
/// # Safety
///
/// `manager` is NULL or a manager; the names are NULL or texts of their lengths; `permit` and
/// `retry_after_ms` are NULL or places.
#[inline(always)]
unsafe fn acquire(
    manager: *mut brama_t,
    name: Name,
    permit: *mut brama_permit_t,
    retry_after_ms: *mut u64,
) -> brama_result_t {
    // SAFETY: `manager` is NULL or a manager; the names are NULL or texts: this function's # Safety.
    let (brama, key) = unsafe { (args::manager(manager), name.plain()) };
    if !permit.is_null()
        && let Some(key) = key
        && let Some((trace, mark)) = brama.try_admit(key)
    {
        // SAFETY: `permit` is not NULL, so a place; `retry_after_ms` is NULL or one: this
        // function's # Safety. Nothing in it panics, so it needs no guard.
        unsafe {
            grant_by_name(permit, brama, trace, mark);
            put(retry_after_ms, 0);
        }
        return BRAMA_OK;
    }
    // SAFETY: `manager` is NULL or a manager; the names are NULL or texts; the places are NULL or
    // places: this function's # Safety.
    unsafe { acquire_by_name_guarded(manager, name, permit, retry_after_ms) }
}

/// # Safety
///
/// As of [`acquire`].
#[inline(never)]
unsafe fn acquire_by_name_guarded(
    manager: *mut brama_t,
    name: Name,
    permit: *mut brama_permit_t,
    retry_after_ms: *mut u64,
) -> brama_result_t {
    guard::result(|| {
        // SAFETY: `manager` is NULL or a manager: this function's # Safety.
        let brama = unsafe { args::manager(manager) };
        // SAFETY: the names are NULL or texts: this function's # Safety.
        let key = place("permit", permit).and_then(|_| unsafe { name.key() });
        let admitted = key
            .clone()
            .and_then(|key| brama.admit(key))
            .map(|admission| {
                let manager = match manager.is_null() {
                    true => super::manager::brama_default(),
                    false => manager,
                };
                // SAFETY: not NULL, as `place` found, so a place: this function's # Safety.
                unsafe { permit.write(brama_permit_t::by_name(manager, admission)) };
            });
        // SAFETY: `permit` is NULL or a place; `retry_after_ms` too: this function's # Safety.
        let answered = unsafe { answer(admitted, permit, retry_after_ms) };
        answered.map_err(|error| match key {
            Ok(key) => guard::refused(error, brama.trace(key)),
            Err(_) => error.into(),
        })
    })
}

/// brama_acquire on a handle.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn brama_connection_acquire(
    connection: *const brama_connection_t,
    permit: *mut brama_permit_t,
    retry_after_ms: *mut u64,
) -> brama_result_t {
    // SAFETY: NULL, or a handle that is held: the rule for pointers in `args`.
    if let Some(handle) = unsafe { connection.as_ref() }
        && !permit.is_null()
        && let Some(mark) = handle.connection.pass_mark()
    {
        // SAFETY: `permit` is not NULL, so a place; `retry_after_ms` is NULL or one: the rule for
        // pointers in `args`. Nothing in it panics, so it needs no guard.
        unsafe {
            grant(permit, connection, mark);
            put(retry_after_ms, 0);
        }
        return BRAMA_OK;
    }
    // SAFETY: `connection` is NULL or a handle; `permit` is NULL or a place; `retry_after_ms`
    // too: the rule for pointers in `args`.
    unsafe { acquire_unless_closed(connection, permit, retry_after_ms) }
}

/// Rejects a call at once if the circuit is open and no subscriber wants the event; otherwise
/// [`acquire_guarded`].
///
/// # Safety
///
/// `connection` is NULL or a handle that is held; `permit` and `retry_after_ms` are NULL or
/// places.
#[inline(never)]
unsafe fn acquire_unless_closed(
    connection: *const brama_connection_t,
    permit: *mut brama_permit_t,
    retry_after_ms: *mut u64,
) -> brama_result_t {
    // SAFETY: `connection` is NULL or a handle: this function's # Safety.
    if let Some(handle) = unsafe { connection.as_ref() }
        && !permit.is_null()
        && let Some(refused) = handle.connection.try_reject()
    {
        // SAFETY: `permit` is not NULL, so a place; `retry_after_ms` is NULL or one: this
        // function's # Safety. Nothing in it panics, so it needs no guard.
        unsafe {
            permit.write(brama_permit_t::NONE);
            put(retry_after_ms, refused.wait().unwrap_or(BRAMA_NEVER));
        }
        return guard::rejected(refused, handle.trace());
    }
    // SAFETY: `connection` is NULL or a handle; `permit` is NULL or a place; `retry_after_ms`
    // too: this function's # Safety.
    unsafe { acquire_guarded(connection, permit, retry_after_ms) }
}

/// # Safety
///
/// `connection` is NULL or a handle that is held; `permit` and `retry_after_ms` are NULL or
/// places.
#[inline(never)]
unsafe fn acquire_guarded(
    connection: *const brama_connection_t,
    permit: *mut brama_permit_t,
    retry_after_ms: *mut u64,
) -> brama_result_t {
    guard::result(|| {
        // SAFETY: `connection` is NULL or a handle: this function's # Safety.
        let handle = place("permit", permit).and_then(|_| unsafe { handle(connection) });
        let admitted = handle
            .clone()
            .and_then(|handle| handle.connection.acquire_token());
        let admitted = admitted.map(|token| {
            // SAFETY: not NULL, as `place` found, so a place: this function's # Safety.
            unsafe { permit.write(brama_permit_t::of_handle(connection, token)) };
        });
        // SAFETY: `permit` is NULL or a place; `retry_after_ms` too: this function's # Safety.
        let answered = unsafe { answer(admitted, permit, retry_after_ms) };
        answered.map_err(|error| match handle {
            Ok(handle) => guard::refused(error, handle.trace()),
            Err(_) => error.into(),
        })
    })
}

/// Writes a permit of zeroes if the call is not admitted, and the wait.
///
/// # Safety
///
/// `permit` and `retry_after_ms` are NULL or places.
#[inline]
unsafe fn answer(
    admitted: Result<(), Error>,
    permit: *mut brama_permit_t,
    retry_after_ms: *mut u64,
) -> Result<(), Error> {
    let wait = match &admitted {
        Ok(()) => 0,
        Err(Error::Rejected(rejected)) => {
            let wait = rejected.retry_after;
            wait.map_or(BRAMA_NEVER, |wait| wait.as_millis() as u64)
        }
        Err(_) => BRAMA_NONE,
    };
    // SAFETY: `permit` is NULL or a place; `retry_after_ms` too: this function's # Safety.
    unsafe {
        if admitted.is_err() {
            put(permit, brama_permit_t::NONE);
        }
        put(retry_after_ms, wait);
    }
    admitted
}

/// Returns whether the call is a probe: the circuit is half-open, and the call tests the
/// dependency. A client may shorten its time-out then. False for a call that a ramp admitted, which
/// is no test, and for a permit of zeroes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn brama_permit_is_probe(permit: brama_permit_t) -> bool {
    // SAFETY: this function's own copy of a permit, whose handle or manager is still there: the
    // rule for pointers in `args`.
    unsafe { brama_permit_is_probe_at(&raw const permit) }
}

/// brama_permit_is_probe with the permit by pointer.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn brama_permit_is_probe_at(permit: *const brama_permit_t) -> bool {
    if permit.is_null() {
        return false;
    }
    // SAFETY: not NULL, so a permit: the rule for pointers in `args`.
    let (owner, token) = unsafe { (word(permit, OWNER), token_in(permit)) };
    owner != 0 && token.is_probe()
}

/// Returns whether a half-open circuit gave the permit: to a probe, or to a call in a ramp. Another
/// call may ride only on such a call (brama_permit_covers). So a host that remembers the calls
/// under way need remember no others. False for a permit of zeroes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn brama_permit_is_half_open(permit: brama_permit_t) -> bool {
    // SAFETY: this function's own copy of a permit, whose handle or manager is still there: the
    // rule for pointers in `args`.
    unsafe { brama_permit_is_half_open_at(&raw const permit) }
}

/// brama_permit_is_half_open with the permit by pointer.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn brama_permit_is_half_open_at(permit: *const brama_permit_t) -> bool {
    if permit.is_null() {
        return false;
    }
    // SAFETY: not NULL, so a permit: the rule for pointers in `args`.
    let (owner, token) = unsafe { (word(permit, OWNER), token_in(permit)) };
    owner != 0 && token.is_of_half_open()
}

/// Returns whether a guarded call of this connection may ride on the call that has this permit. Ask
/// for a call that is made inside the other one, before the permit is reported. True if the circuit
/// is half-open and gave the permit in the same half-open state: to a probe, or to a call in the
/// same ramp.
///
/// A call that rides needs no permit and reports nothing: the outer call reports for both. Without
/// that, a call that a probe makes of its own circuit would be rejected, and the circuit would
/// never close. In a ramp, a call that was admitted could fail because a call inside of it was not.
/// One call at a time may ride on a permit, and another one may ride on the call that rides. If the
/// outer call is ignored and the inner one failed, the outer call reports a failure. brama.hpp does
/// all this.
///
/// A permit of zeroes is an error: false.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn brama_permit_covers(
    permit: brama_permit_t,
    connection: *const brama_connection_t,
) -> bool {
    // SAFETY: a permit, this function's own copy; `connection` is NULL or a handle: the rule
    // for pointers in `args`.
    unsafe { brama_permit_covers_at(&raw const permit, connection) }
}

/// brama_permit_covers with the permit by pointer.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn brama_permit_covers_at(
    permit: *const brama_permit_t,
    connection: *const brama_connection_t,
) -> bool {
    guard::value(false, || {
        // SAFETY: `connection` is NULL or a handle; `permit` is NULL or a permit, whose handle
        // or manager is still there: the rule for pointers in `args`.
        let (connection, granted) = unsafe { (handle(connection)?, Granted::to(permit)?) };
        let connection = &connection.connection;
        Ok(match granted {
            Granted::ByHandle(outer, token) => connection.is_covered_by(&outer.connection, token),
            Granted::ByName(brama, admission) => connection.is_covered_by_name(brama, admission),
        })
    })
}
