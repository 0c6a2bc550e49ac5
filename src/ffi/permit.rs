//! Permits: plain structs.
//!
//! What their words are: [`super::permit_words`]. What is reported on a permit:
//! [`super::permit_report`].

use std::ffi::c_char;

use super::args::{self, handle, place, put};
use super::errors::{BRAMA_OK, brama_result_t};
use super::guard;
use super::handles::{brama_connection_t, brama_t};
use super::name::Name;
use super::permit_words::{Granted, OWNER, grant, grant_by_name, token_in, word};
use super::types::{BRAMA_NEVER, BRAMA_NONE};
use crate::values::error::Error;

/// An admission, to be reported once, on any thread. A plain value: it may be copied
/// and needs no free, and one that is never reported is forgotten (a probe's place is
/// free again after probe_timeout_ms). A permit from a handle is reported while the
/// handle is held, one by name while its manager is not freed. A permit of zeroes
/// (BRAMA_PERMIT_INIT) is refused.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct brama_permit_t {
    /// Opaque; do not read or write.
    pub opaque: [u64; 6],
}

/// Asks for admission, and gives a permit into *permit: if the circuit is closed, or half-open
/// with a probe's place free. A ramp (ramp_ms) admits a share of the calls, drawn by lot.
///
/// BRAMA_ERR_REJECTED: do not call; the rejection is counted, and *permit is zero. If
/// retry_after_ms is not NULL, it gets a time. Of an open circuit it is a promise: who waits so
/// long is admitted unless other callers take the probes. Of a half-open one, whose probes are all
/// out or which is in a ramp, it is a hint, 1 to 1000. It is BRAMA_NEVER if the circuit is held
/// open until it is closed by hand. It gets 0 if the call is admitted, and BRAMA_NONE with any
/// other error.
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
        // SAFETY: a place for a permit, and one for a number or NULL. Nothing in it panics, so it
        // needs no guard.
        unsafe {
            grant_by_name(permit, brama, trace, mark);
            put(retry_after_ms, 0);
        }
        return BRAMA_OK;
    }
    // SAFETY: as of this function: its # Safety asks for the same.
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
    // SAFETY: NULL, or a handle that is held.
    if let Some(handle) = unsafe { connection.as_ref() }
        && !permit.is_null()
        && let Some(mark) = handle.connection.pass_mark()
    {
        // SAFETY: a place for a permit, and one for a number or NULL. Nothing in it
        // panics, so it needs no guard.
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

/// Whether the call is a probe: the circuit is half-open, and the call tests the dependency. A
/// client may shorten its time-out then. False for a call that a ramp admitted, which is not a
/// test, and for a permit of zeroes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn brama_permit_is_probe(permit: brama_permit_t) -> bool {
    // SAFETY: this function's own copy of a permit, whose handle or manager is still there: the
    // rule for pointers in `args`.
    unsafe { brama_permit_is_probe_at(&raw const permit) }
}

/// brama_permit_is_probe with the permit by pointer. False for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn brama_permit_is_probe_at(permit: *const brama_permit_t) -> bool {
    if permit.is_null() {
        return false;
    }
    // SAFETY: not NULL, so a permit: the rule for pointers in `args`.
    let (owner, token) = unsafe { (word(permit, OWNER), token_in(permit)) };
    owner != 0 && token.is_probe()
}

/// Whether a half-open circuit gave the permit: a probe's, or that of a call in a ramp. Only on
/// such a call another one may ride (brama_permit_covers), so a host that remembers which calls
/// are under way need remember no others. False for a permit of zeroes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn brama_permit_is_half_open(permit: brama_permit_t) -> bool {
    // SAFETY: this function's own copy of a permit, whose handle or manager is still there: the
    // rule for pointers in `args`.
    unsafe { brama_permit_is_half_open_at(&raw const permit) }
}

/// brama_permit_is_half_open with the permit by pointer. False for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn brama_permit_is_half_open_at(permit: *const brama_permit_t) -> bool {
    if permit.is_null() {
        return false;
    }
    // SAFETY: not NULL, so a permit: the rule for pointers in `args`.
    let (owner, token) = unsafe { (word(permit, OWNER), token_in(permit)) };
    owner != 0 && token.is_of_half_open()
}

/// Whether a guarded call of a connection may ride on the call that this permit was given
/// to. Ask it for a call that is made inside the other one, and not of a permit that was reported.
/// True while the circuit is half-open and the permit is that of a probe of the same circuit, in
/// the same half-open state, or in a ramp that of a call of the same ramp.
///
/// A call that rides needs no permit and reports nothing: the outer call reports for both.
/// Without that a probe whose work makes a call of its own circuit would be rejected by it,
/// and the circuit would never close. In a ramp a call that was admitted could fail because a
/// call inside of it is not. One call at a time rides on a permit, and a call that
/// rides can be ridden on. If the outer call has nothing to report itself and the inner one
/// failed, it reports a failure. brama.hpp does all this.
///
/// False for a NULL connection and for a permit of zeroes (then brama_last_error_message
/// tells).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn brama_permit_covers(
    permit: brama_permit_t,
    connection: *const brama_connection_t,
) -> bool {
    // SAFETY: a permit, this function's own copy; `connection` is NULL or a handle: the rule
    // for pointers in `args`.
    unsafe { brama_permit_covers_at(&raw const permit, connection) }
}

/// brama_permit_covers with the permit by pointer. False for NULL.
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
