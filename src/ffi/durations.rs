//! Reports with a duration.

use std::ffi::c_char;
use std::time::Duration;

use super::args::key;
use super::entry::{by_handle, by_name};
use super::errors::brama_result_t;
use super::guard;
use super::handles::{brama_connection_t, brama_t};
use super::permit::brama_permit_t;
use super::permit_words::Granted;
use super::report::{self, brama_report_t};
use crate::values::event::Report;

/// Reports a success of a call that lasted duration_ms, as the reporter measured it; otherwise as
/// brama_success_with. Where slow_call_duration_ms is set, the call is slow if duration_ms is at
/// least as long.
///
/// Some numbers are refused with BRAMA_ERR_INVALID_ARGUMENT, and nothing is reported: those above
/// INT64_MAX, such as a negative difference, and BRAMA_NOT_GIVEN_U32 and BRAMA_INHERIT_U32.
///
/// Errors: BRAMA_ERR_NOT_FOUND, BRAMA_ERR_INVALID_ARGUMENT, BRAMA_ERR_SHUT_DOWN.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn brama_success_in(
    manager: *mut brama_t,
    identifier: *const c_char,
    scope: *const c_char,
    report: *const brama_report_t,
    duration_ms: u64,
) -> brama_result_t {
    // SAFETY: `manager` is NULL or a manager; the names are NULL or strings; `report` is
    // NULL or a report: the rule for pointers in `args`.
    unsafe {
        by_name(
            manager,
            || key(identifier, scope),
            |brama, key| {
                let (report, duration) = (
                    brama_report_t::given(report)?,
                    report::duration(duration_ms)?,
                );
                brama.success_with(key, Report::from(&report).lasting(duration))
            },
        )
    }
}

/// Reports a failure of a call that lasted duration_ms; otherwise as brama_failure_with. A slow
/// failure counts as a failure and as a slow call. duration_ms and errors as in brama_success_in.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn brama_failure_in(
    manager: *mut brama_t,
    identifier: *const c_char,
    scope: *const c_char,
    report: *const brama_report_t,
    duration_ms: u64,
) -> brama_result_t {
    // SAFETY: `manager` is NULL or a manager; the names are NULL or strings; `report` is
    // NULL or a report: the rule for pointers in `args`.
    unsafe {
        by_name(
            manager,
            || key(identifier, scope),
            |brama, key| {
                let (report, count) = brama_report_t::given_with_place(report)?;
                let report = Report::from(&report).lasting(report::duration(duration_ms)?);
                count.put(brama.failure(key, report)?);
                Ok(())
            },
        )
    }
}

/// brama_success_in on a handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn brama_connection_success_in(
    connection: *const brama_connection_t,
    report: *const brama_report_t,
    duration_ms: u64,
) -> brama_result_t {
    // SAFETY: `connection` is NULL or a handle; `report` is NULL or a report: the rule for
    // pointers in `args`.
    unsafe {
        by_handle(connection, |connection| {
            let (report, duration) = (
                brama_report_t::given(report)?,
                report::duration(duration_ms)?,
            );
            connection.success_with(Report::from(&report).lasting(duration))
        })
    }
}

/// brama_failure_in on a handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn brama_connection_failure_in(
    connection: *const brama_connection_t,
    report: *const brama_report_t,
    duration_ms: u64,
) -> brama_result_t {
    // SAFETY: `connection` is NULL or a handle; `report` is NULL or a report: the rule for
    // pointers in `args`.
    unsafe {
        by_handle(connection, |connection| {
            let (report, count) = brama_report_t::given_with_place(report)?;
            let report = Report::from(&report).lasting(report::duration(duration_ms)?);
            count.put(connection.failure(report)?);
            Ok(())
        })
    }
}

/// Reports that the admitted call succeeded, and that it lasted duration_ms, which replaces what
/// the library measured. report and duration_ms as in brama_success_in. Errors as
/// brama_permit_success. If duration_ms is refused (BRAMA_ERR_INVALID_ARGUMENT), nothing was
/// reported, and the permit can still be.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn brama_permit_success_in(
    permit: brama_permit_t,
    report: *const brama_report_t,
    duration_ms: u64,
) -> brama_result_t {
    // SAFETY: `permit` is this function's own copy of a permit; `report` is NULL or a report:
    // the rule for pointers in `args`.
    unsafe { brama_permit_success_in_at(&raw const permit, report, duration_ms) }
}

/// brama_permit_success_in with the permit by pointer; see brama_permit_success_at.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn brama_permit_success_in_at(
    permit: *const brama_permit_t,
    report: *const brama_report_t,
    duration_ms: u64,
) -> brama_result_t {
    guard::result(|| {
        // SAFETY: `permit` is NULL or a permit, whose handle or manager is still there;
        // `report` is NULL or a report: the rule for pointers in `args`.
        unsafe {
            let report = brama_report_t::given(report)?;
            let granted = Granted::to(permit)?;
            granted.success(&Report::from(&report).lasting(report::duration(duration_ms)?))
        }
    })
}

/// Reports that the admitted call failed, and that it lasted duration_ms, which replaces what the
/// library measured. report and duration_ms as in brama_failure_in, errors as in
/// brama_permit_success_in.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn brama_permit_failure_in(
    permit: brama_permit_t,
    report: *const brama_report_t,
    duration_ms: u64,
) -> brama_result_t {
    // SAFETY: `permit` is this function's own copy of a permit; `report` is NULL or a report:
    // the rule for pointers in `args`.
    unsafe { brama_permit_failure_in_at(&raw const permit, report, duration_ms) }
}

/// brama_permit_failure_in with the permit by pointer; see brama_permit_success_at.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn brama_permit_failure_in_at(
    permit: *const brama_permit_t,
    report: *const brama_report_t,
    duration_ms: u64,
) -> brama_result_t {
    guard::result(|| {
        // SAFETY: `permit` is NULL or a permit, whose handle or manager is still there;
        // `report` is NULL or a report: the rule for pointers in `args`.
        unsafe {
            let (report, count) = brama_report_t::given_with_place(report)?;
            let granted = Granted::to(permit)?;
            let report = Report::from(&report).lasting(report::duration(duration_ms)?);
            count.put(granted.failure(&report, Duration::ZERO)?);
        }
        Ok(())
    })
}
