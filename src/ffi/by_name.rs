//! Registering, and the calls by name.

use std::ffi::c_char;
use std::sync::Arc;

use super::args::{self, clear, key, key_of_lengths, place};
use super::config::brama_options_t;
use super::entry::by_name;
use super::errors::{BRAMA_OK, brama_result_t};
use super::guard;
use super::handles::{brama_connection_t, brama_t};
use super::name::Name;
use super::report::{self, brama_report_t};
use super::strings::TERMINATED;
use super::types::{self, BRAMA_STATE_UNKNOWN, brama_state_t};
use super::words_of_c::in_c;
use crate::manager::Brama;
use crate::manager::connection::Connection;
use crate::values::error::Error;
use crate::values::key::Key;
use crate::values::settings::ConnectionOptions;

/// Registers a connection, closed.
///
/// NULL options: the manager's settings in everything. If out is not NULL, *out becomes a handle,
/// or NULL on error.
///
/// Errors: BRAMA_ERR_INVALID_ARGUMENT, BRAMA_ERR_INVALID_CONFIG, BRAMA_ERR_ALREADY_REGISTERED
/// (the existing connection is left as it is), BRAMA_ERR_SHUT_DOWN.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn brama_register(
    manager: *mut brama_t,
    identifier: *const c_char,
    scope: *const c_char,
    options: *const brama_options_t,
    out: *mut *mut brama_connection_t,
) -> brama_result_t {
    // SAFETY: `manager` is NULL or a manager; the names are NULL or strings; the options
    // are NULL or options; `out` is NULL or a place: the rule for pointers in `args`.
    unsafe {
        let key = || key(identifier, scope);
        registered(manager, key, options, out, Brama::register)
    }
}

/// brama_register for hosts whose strings have lengths. The strings need no NUL at their end:
/// identifier_length and scope_length are the numbers of their bytes, or BRAMA_TERMINATED for a
/// string that ends with a NUL. Other lengths above PTRDIFF_MAX are refused with
/// BRAMA_ERR_INVALID_ARGUMENT. The length of a NULL scope is ignored.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn brama_register_n(
    manager: *mut brama_t,
    identifier: *const c_char,
    identifier_length: usize,
    scope: *const c_char,
    scope_length: usize,
    options: *const brama_options_t,
    out: *mut *mut brama_connection_t,
) -> brama_result_t {
    // SAFETY: `manager` is NULL or a manager; the names are NULL or texts of their lengths;
    // the options are NULL or options; `out` is NULL or a place: the rule for pointers in
    // `args`.
    unsafe {
        let key = || key_of_lengths(identifier, identifier_length, scope, scope_length);
        registered(manager, key, options, out, Brama::register)
    }
}

/// Registers a connection as brama_register does. If it is registered already, its settings stay
/// as they are, and *out becomes a handle of it. If options give other settings than it has, a
/// BRAMA_EVENT_NOTICE says so: once for each connection, when there is a subscriber. Errors as
/// brama_register, without BRAMA_ERR_ALREADY_REGISTERED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn brama_get_or_register(
    manager: *mut brama_t,
    identifier: *const c_char,
    scope: *const c_char,
    options: *const brama_options_t,
    out: *mut *mut brama_connection_t,
) -> brama_result_t {
    // SAFETY: `manager` is NULL or a manager; the names are NULL or strings; the options
    // are NULL or options; `out` is NULL or a place: the rule for pointers in `args`.
    unsafe {
        let key = || key(identifier, scope);
        registered(manager, key, options, out, Brama::get_or_register)
    }
}

/// brama_get_or_register with a name of these lengths; see brama_register_n.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn brama_get_or_register_n(
    manager: *mut brama_t,
    identifier: *const c_char,
    identifier_length: usize,
    scope: *const c_char,
    scope_length: usize,
    options: *const brama_options_t,
    out: *mut *mut brama_connection_t,
) -> brama_result_t {
    // SAFETY: `manager` is NULL or a manager; the names are NULL or texts of their lengths;
    // the options are NULL or options; `out` is NULL or a place: the rule for pointers in
    // `args`.
    unsafe {
        let key = || key_of_lengths(identifier, identifier_length, scope, scope_length);
        registered(manager, key, options, out, Brama::get_or_register)
    }
}

/// Removes a connection. Existing handles return BRAMA_ERR_NOT_FOUND from now on; you still have
/// to release them.
///
/// Errors: BRAMA_ERR_NOT_FOUND, BRAMA_ERR_INVALID_ARGUMENT, BRAMA_ERR_SHUT_DOWN.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn brama_unregister(
    manager: *mut brama_t,
    identifier: *const c_char,
    scope: *const c_char,
) -> brama_result_t {
    // SAFETY: `manager` is NULL or a manager; the names are NULL or strings: the rule for
    // pointers in `args`.
    unsafe { by_name(manager, || key(identifier, scope), Brama::unregister) }
}

/// Looks a connection up: *out becomes a handle of it, or NULL on error. With the manager's
/// auto_register an unknown name is registered.
///
/// Errors: BRAMA_ERR_NOT_FOUND, BRAMA_ERR_INVALID_ARGUMENT, BRAMA_ERR_SHUT_DOWN.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn brama_connection_get(
    manager: *mut brama_t,
    identifier: *const c_char,
    scope: *const c_char,
    out: *mut *mut brama_connection_t,
) -> brama_result_t {
    // SAFETY: `manager` is NULL or a manager; the names are NULL or strings; `out` is NULL
    // or a place: the rule for pointers in `args`.
    unsafe { found(manager, || key(identifier, scope), out) }
}

/// brama_connection_get with a name of these lengths; see brama_register_n.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn brama_connection_get_n(
    manager: *mut brama_t,
    identifier: *const c_char,
    identifier_length: usize,
    scope: *const c_char,
    scope_length: usize,
    out: *mut *mut brama_connection_t,
) -> brama_result_t {
    // SAFETY: `manager` is NULL or a manager; the names are NULL or texts of their lengths;
    // `out` is NULL or a place: the rule for pointers in `args`.
    unsafe {
        let key = || key_of_lengths(identifier, identifier_length, scope, scope_length);
        found(manager, key, out)
    }
}

/// Returns whether the circuit lets calls pass now: true if it is closed or half-open, or if its
/// mode rejects nothing. This takes no permit, so it is true of a half-open circuit even if all
/// probes are out. If it is false, brama_last_error_message says why: the circuit is open, no
/// connection of this name is registered, the manager was shut down, or an argument is invalid.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn brama_available(
    manager: *mut brama_t,
    identifier: *const c_char,
    scope: *const c_char,
) -> bool {
    // SAFETY: `manager` is NULL or a manager; the names are NULL or strings: the rule for
    // pointers in `args`.
    unsafe { available(manager, Name::terminated(identifier, scope)) }
}

/// brama_available with a name of these lengths; see brama_register_n.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn brama_available_n(
    manager: *mut brama_t,
    identifier: *const c_char,
    identifier_length: usize,
    scope: *const c_char,
    scope_length: usize,
) -> bool {
    let name = Name::of_lengths(identifier, identifier_length, scope, scope_length);
    // SAFETY: `manager` is NULL or a manager; the names are NULL or texts of their lengths:
    // the rule for pointers in `args`.
    unsafe { available(manager, name) }
}

/// The short way of brama_available, for a closed circuit; otherwise [`available_guarded`].
///
/// # Safety
///
/// `manager` is NULL or a manager; the names are NULL or texts of their lengths.
#[inline(always)]
unsafe fn available(manager: *mut brama_t, name: Name) -> bool {
    // SAFETY: `manager` is NULL or a manager; the names are NULL or texts: this function's # Safety.
    let (brama, key) = unsafe { (args::manager(manager), name.plain()) };
    // `passes_freely` cannot panic, so it needs no guard.
    if key.is_some_and(|key| brama.passes_freely(key)) {
        return true;
    }
    // SAFETY: `manager` is NULL or a manager; the names are NULL or texts: this function's # Safety.
    unsafe { available_guarded(manager, name) }
}

/// # Safety
///
/// As of [`available`].
#[inline(never)]
unsafe fn available_guarded(manager: *mut brama_t, name: Name) -> bool {
    guard::value(false, || {
        // SAFETY: `manager` is NULL or a manager; the names are NULL or texts: this function's
        // # Safety.
        let (manager, key) = unsafe { (args::manager(manager), name.key()?) };
        if manager.available(key) {
            return Ok(true);
        }
        match manager.why_unavailable(key) {
            Some(error) => Err(guard::refused(error, manager.trace(key))),
            None => Ok(true),
        }
    })
}

/// Returns the state as of now. BRAMA_STATE_UNKNOWN if no connection of this name is registered,
/// the manager was shut down, or an argument is invalid: brama_last_error_message says which of
/// these. Never registers a connection.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn brama_state(
    manager: *mut brama_t,
    identifier: *const c_char,
    scope: *const c_char,
) -> brama_state_t {
    guard::value(BRAMA_STATE_UNKNOWN, || {
        // SAFETY: `manager` is NULL or a manager; the names are NULL or strings: the rule for
        // pointers in `args`.
        let (manager, key) = unsafe { (args::manager(manager), key(identifier, scope)?) };
        Ok(types::state(manager.known_state(key)?))
    })
}

/// Reports a success without a permit (ask, call, report). While the circuit is half-open it counts
/// like a probe's.
///
/// Errors: BRAMA_ERR_NOT_FOUND, BRAMA_ERR_INVALID_ARGUMENT, BRAMA_ERR_SHUT_DOWN.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn brama_success(
    manager: *mut brama_t,
    identifier: *const c_char,
    scope: *const c_char,
) -> brama_result_t {
    // SAFETY: `manager` is NULL or a manager; the names are NULL or strings: the rule for
    // pointers in `args`.
    unsafe { success(manager, Name::terminated(identifier, scope)) }
}

/// brama_success with a report. A NULL report adds nothing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn brama_success_with(
    manager: *mut brama_t,
    identifier: *const c_char,
    scope: *const c_char,
    report: *const brama_report_t,
) -> brama_result_t {
    // SAFETY: `manager` is NULL or a manager; the names are NULL or strings; `report` is
    // NULL or a report: the rule for pointers in `args`.
    unsafe {
        by_name(
            manager,
            || key(identifier, scope),
            |brama, key| brama.success_with(key, &brama_report_t::given(report)?),
        )
    }
}

/// Reports a failure without a permit. While the circuit is half-open it counts like a probe's. The
/// reason goes into the events; NULL: none. brama_failure_with also gives the number of failures
/// that count now.
///
/// Errors: BRAMA_ERR_NOT_FOUND, BRAMA_ERR_INVALID_ARGUMENT, BRAMA_ERR_SHUT_DOWN.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn brama_failure(
    manager: *mut brama_t,
    identifier: *const c_char,
    scope: *const c_char,
    reason: *const c_char,
) -> brama_result_t {
    // SAFETY: `manager` is NULL or a manager; the names are NULL or strings; `reason` is
    // NULL or a string: the rule for pointers in `args`.
    unsafe { failure(manager, || key(identifier, scope), reason, TERMINATED) }
}

/// brama_success with a name of these lengths; see brama_register_n.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn brama_success_n(
    manager: *mut brama_t,
    identifier: *const c_char,
    identifier_length: usize,
    scope: *const c_char,
    scope_length: usize,
) -> brama_result_t {
    let name = Name::of_lengths(identifier, identifier_length, scope, scope_length);
    // SAFETY: `manager` is NULL or a manager; the names are NULL or texts of their lengths:
    // the rule for pointers in `args`.
    unsafe { success(manager, name) }
}

/// The short way of brama_success, which changes nothing but the totals; otherwise
/// [`success_guarded`].
///
/// # Safety
///
/// `manager` is NULL or a manager; the names are NULL or texts of their lengths.
#[inline(always)]
unsafe fn success(manager: *mut brama_t, name: Name) -> brama_result_t {
    // SAFETY: `manager` is NULL or a manager; the names are NULL or texts: this function's # Safety.
    let (brama, key) = unsafe { (args::manager(manager), name.plain()) };
    // `try_success` cannot panic, so it needs no guard.
    if key.is_some_and(|key| brama.try_success(key)) {
        return BRAMA_OK;
    }
    // SAFETY: `manager` is NULL or a manager; the names are NULL or texts: this function's # Safety.
    unsafe { success_guarded(manager, name) }
}

/// # Safety
///
/// As of [`success`].
#[inline(never)]
unsafe fn success_guarded(manager: *mut brama_t, name: Name) -> brama_result_t {
    // SAFETY: `manager` is NULL or a manager; the names are NULL or texts: this function's # Safety.
    unsafe { by_name(manager, || name.key(), Brama::success) }
}

/// brama_failure with a name and a reason of these lengths: the name as in brama_register_n, the
/// reason as in brama_report_t.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn brama_failure_n(
    manager: *mut brama_t,
    identifier: *const c_char,
    identifier_length: usize,
    scope: *const c_char,
    scope_length: usize,
    reason: *const c_char,
    reason_length: usize,
) -> brama_result_t {
    // SAFETY: `manager` is NULL or a manager; the names are NULL or texts of their lengths;
    // `reason` is NULL or text of its length: the rule for pointers in `args`.
    unsafe {
        let key = || key_of_lengths(identifier, identifier_length, scope, scope_length);
        failure(manager, key, reason, reason_length)
    }
}

/// brama_failure with a report. A NULL report adds nothing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn brama_failure_with(
    manager: *mut brama_t,
    identifier: *const c_char,
    scope: *const c_char,
    report: *const brama_report_t,
) -> brama_result_t {
    // SAFETY: `manager` is NULL or a manager; the names are NULL or strings; `report` is
    // NULL or a report: the rule for pointers in `args`.
    unsafe {
        by_name(
            manager,
            || key(identifier, scope),
            |brama, key| {
                let (report, count) = brama_report_t::given_with_place(report)?;
                count.put(brama.failure(key, &report)?);
                Ok(())
            },
        )
    }
}

/// Reports a failure together with the time for which the dependency has asked to be left alone
/// (HTTP: Retry-After). A closed or half-open circuit opens at once for wait_ms, prolonged by the
/// jitter, whatever its rules say. If the circuit is open already, the wait changes nothing. The
/// failure then is in the totals, is the last failure, and has its event, but failure_count is not
/// raised. A NULL report adds nothing.
///
/// wait_ms is at most 24 h (86400000), before jitter; a longer wait is cut. 0 is no wait: the
/// failure is an ordinary one, as by brama_failure_with. Some numbers are refused with
/// BRAMA_ERR_INVALID_ARGUMENT, and nothing is reported: those above INT64_MAX, such as a negative
/// difference, and BRAMA_NOT_GIVEN_U32 and BRAMA_INHERIT_U32.
///
/// Errors: BRAMA_ERR_NOT_FOUND, BRAMA_ERR_INVALID_ARGUMENT, BRAMA_ERR_SHUT_DOWN.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn brama_failure_for(
    manager: *mut brama_t,
    identifier: *const c_char,
    scope: *const c_char,
    report: *const brama_report_t,
    wait_ms: u64,
) -> brama_result_t {
    // SAFETY: `manager` is NULL or a manager; the names are NULL or strings; `report` is
    // NULL or a report: the rule for pointers in `args`.
    unsafe {
        by_name(
            manager,
            || key(identifier, scope),
            |brama, key| {
                let (report, count) = brama_report_t::given_with_place(report)?;
                count.put(brama.failure_for(key, &report, report::wait(wait_ms)?)?);
                Ok(())
            },
        )
    }
}

/// # Safety
///
/// `manager` is NULL or a manager; `reason` is NULL or text of this length.
#[inline]
unsafe fn failure<'k>(
    manager: *mut brama_t,
    key: impl FnOnce() -> Result<Key<'k>, Error>,
    reason: *const c_char,
    length: usize,
) -> brama_result_t {
    // SAFETY: `manager` is NULL or a manager; `reason` is NULL or text of this length: this
    // function's # Safety.
    unsafe {
        by_name(manager, key, |brama, key| {
            let report = report::reason(reason, length);
            brama.failure(key, &report).map(drop)
        })
    }
}

/// Registers a connection by `register`, and writes a handle to `out` if that is not NULL.
///
/// # Safety
///
/// `manager` is NULL or a manager; the options are NULL or options; `out` is NULL or a place.
unsafe fn registered<'k>(
    manager: *mut brama_t,
    key: impl FnOnce() -> Result<Key<'k>, Error>,
    options: *const brama_options_t,
    out: *mut *mut brama_connection_t,
    register: impl FnOnce(&Brama, Key<'k>, ConnectionOptions) -> Result<Connection, Error>,
) -> brama_result_t {
    // SAFETY: `manager` is NULL or a manager; the options are NULL or options; `out` is NULL or
    // a place: this function's # Safety.
    unsafe {
        clear(out);
        by_name(manager, key, |brama, key| {
            let options = brama_options_t::given(options)?;
            hand_out(register(brama, key, options).map_err(in_c)?, out);
            Ok(())
        })
    }
}

/// Looks a connection up, and writes a handle to `out`; an error if that is NULL.
///
/// # Safety
///
/// `manager` is NULL or a manager; `out` is NULL or a place.
unsafe fn found<'k>(
    manager: *mut brama_t,
    key: impl FnOnce() -> Result<Key<'k>, Error>,
    out: *mut *mut brama_connection_t,
) -> brama_result_t {
    // SAFETY: `manager` is NULL or a manager; `out` is NULL or a place: this function's # Safety.
    unsafe {
        clear(out);
        let key = || place("out", out).and_then(|_| key());
        by_name(manager, key, |brama, key| {
            hand_out(brama.connection(key)?, out);
            Ok(())
        })
    }
}

/// Writes a new handle to `out`; does nothing for NULL.
///
/// # Safety
///
/// `out` is NULL or a place for a pointer.
unsafe fn hand_out(connection: Connection, out: *mut *mut brama_connection_t) {
    if !out.is_null() {
        let handle = Arc::new(brama_connection_t::new(connection));
        // SAFETY: not NULL, so a place for a pointer: this function's # Safety.
        unsafe { out.write(Arc::into_raw(handle).cast_mut()) };
    }
}
