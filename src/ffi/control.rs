//! Control of circuits by hand.

use std::ffi::c_char;
use std::time::Duration;

use super::args::{self, key};
use super::entry::{by_handle, by_name};
use super::errors::brama_result_t;
use super::guard;
use super::handles::{brama_connection_t, brama_t};
use super::report::{self, brama_report_t};
use super::sentinels::{Field, Found, length};
use super::strings::TERMINATED;
use super::words_of_c::in_c;
use crate::circuit::record::OpenFor;
use crate::manager::Brama;
use crate::manager::connection::Connection;
use crate::values::error::Error;

/// Opens a circuit, or moves the deadline of an open one.
///
/// expiry_ms is how long it stays open this time, 1 to INT64_MAX. BRAMA_NOT_GIVEN_U64: as long as
/// its settings say, backoff and jitter included. BRAMA_NEVER: until it is closed or reset. The
/// reason goes into the events; NULL: none.
///
/// Errors: BRAMA_ERR_NOT_FOUND, BRAMA_ERR_INVALID_ARGUMENT, BRAMA_ERR_SHUT_DOWN.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn brama_open_circuit(
    manager: *mut brama_t,
    identifier: *const c_char,
    scope: *const c_char,
    reason: *const c_char,
    expiry_ms: u64,
) -> brama_result_t {
    // SAFETY: `manager` is NULL or a manager; the names are NULL or strings; `reason` is
    // NULL or a string: the rule for pointers in `args`.
    unsafe {
        by_name(
            manager,
            || key(identifier, scope),
            |brama, key| {
                let report = report::reason(reason, TERMINATED);
                brama
                    .open_circuit(key, &report, how_long(expiry_ms)?)
                    .map_err(in_c)
            },
        )
    }
}

/// brama_open_circuit with a report. A NULL report adds nothing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn brama_open_circuit_with(
    manager: *mut brama_t,
    identifier: *const c_char,
    scope: *const c_char,
    report: *const brama_report_t,
    expiry_ms: u64,
) -> brama_result_t {
    // SAFETY: `manager` is NULL or a manager; the names are NULL or strings; `report` is
    // NULL or a report: the rule for pointers in `args`.
    unsafe {
        by_name(
            manager,
            || key(identifier, scope),
            |brama, key| {
                let report = brama_report_t::given(report)?;
                brama
                    .open_circuit(key, &report, how_long(expiry_ms)?)
                    .map_err(in_c)
            },
        )
    }
}

/// Closes a circuit. Its count of failures stays, so one more failure may open it again.
///
/// Errors: BRAMA_ERR_NOT_FOUND, BRAMA_ERR_INVALID_ARGUMENT, BRAMA_ERR_SHUT_DOWN.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn brama_close_circuit(
    manager: *mut brama_t,
    identifier: *const c_char,
    scope: *const c_char,
) -> brama_result_t {
    // SAFETY: `manager` is NULL or a manager; the names are NULL or strings: the rule for
    // pointers in `args`.
    unsafe { by_name(manager, || key(identifier, scope), Brama::close_circuit) }
}

/// Makes a circuit half-open: probes are admitted now. Does nothing if it is half-open already.
/// Arguments and errors as brama_close_circuit.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn brama_half_open_circuit(
    manager: *mut brama_t,
    identifier: *const c_char,
    scope: *const c_char,
) -> brama_result_t {
    // SAFETY: `manager` is NULL or a manager; the names are NULL or strings: the rule for
    // pointers in `args`.
    unsafe { by_name(manager, || key(identifier, scope), Brama::half_open_circuit) }
}

/// Closes a circuit, and sets its failure_count, its window and its trips to zero. The totals stay,
/// and so do the time and the cause of the last opening. Arguments and errors as
/// brama_close_circuit.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn brama_reset_circuit(
    manager: *mut brama_t,
    identifier: *const c_char,
    scope: *const c_char,
) -> brama_result_t {
    // SAFETY: `manager` is NULL or a manager; the names are NULL or strings: the rule for
    // pointers in `args`.
    unsafe { by_name(manager, || key(identifier, scope), Brama::reset_circuit) }
}

/// Resets every circuit of a manager, as brama_reset_circuit. Never fails.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn brama_reset_all(manager: *mut brama_t) -> brama_result_t {
    guard::result(|| {
        // SAFETY: `manager` is NULL or a manager: the rule for pointers in `args`.
        unsafe { args::manager(manager) }.reset_all();
        Ok(())
    })
}

/// brama_open_circuit on a handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn brama_connection_open_circuit(
    connection: *const brama_connection_t,
    reason: *const c_char,
    expiry_ms: u64,
) -> brama_result_t {
    // SAFETY: `connection` is NULL or a handle; `reason` is NULL or a string: the rule for
    // pointers in `args`.
    unsafe {
        by_handle(connection, |connection| {
            let report = report::reason(reason, TERMINATED);
            connection
                .open_circuit(&report, how_long(expiry_ms)?)
                .map_err(in_c)
        })
    }
}

/// brama_open_circuit_with on a handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn brama_connection_open_circuit_with(
    connection: *const brama_connection_t,
    report: *const brama_report_t,
    expiry_ms: u64,
) -> brama_result_t {
    // SAFETY: `connection` is NULL or a handle; `report` is NULL or a report: the rule for
    // pointers in `args`.
    unsafe {
        by_handle(connection, |connection| {
            let report = brama_report_t::given(report)?;
            connection
                .open_circuit(&report, how_long(expiry_ms)?)
                .map_err(in_c)
        })
    }
}

/// brama_close_circuit on a handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn brama_connection_close_circuit(
    connection: *const brama_connection_t,
) -> brama_result_t {
    // SAFETY: `connection` is NULL or a handle: the rule for pointers in `args`.
    unsafe { by_handle(connection, Connection::close_circuit) }
}

/// brama_half_open_circuit on a handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn brama_connection_half_open_circuit(
    connection: *const brama_connection_t,
) -> brama_result_t {
    // SAFETY: `connection` is NULL or a handle: the rule for pointers in `args`.
    unsafe { by_handle(connection, Connection::half_open_circuit) }
}

/// brama_reset_circuit on a handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn brama_connection_reset_circuit(
    connection: *const brama_connection_t,
) -> brama_result_t {
    // SAFETY: `connection` is NULL or a handle: the rule for pointers in `args`.
    unsafe { by_handle(connection, Connection::reset_circuit) }
}

fn how_long(expiry_ms: u64) -> Result<OpenFor, Error> {
    match expiry_ms.found() {
        Found::NotGiven => Ok(OpenFor::Configured),
        Found::Endless => Ok(OpenFor::Never),
        found => match length(found) {
            Some(ms) => Ok(OpenFor::Custom(Duration::from_millis(ms))),
            None => {
                let allowed =
                    "must be a number of ms up to INT64_MAX, BRAMA_NEVER or BRAMA_NOT_GIVEN_U64";
                Err(args::invalid("expiry_ms", expiry_ms.name(), allowed))
            }
        },
    }
}
