//! Reports on permits.
//!
//! Each report has two entries: with the permit by value, for programs, and by pointer, for hosts
//! that cannot pass a struct or for which that is expensive. Both run the same function: a permit
//! that is passed by value lies in memory, and the entry passes its address on.

use std::ffi::c_char;
use std::time::Duration;

use super::args;
use super::errors::{BRAMA_OK, brama_result_t};
use super::guard::{self, Failure};
use super::permit::brama_permit_t;
use super::permit_words::{Granted, healthy, healthy_by_name};
use super::report::{self, brama_report_t};
use super::strings::TERMINATED;
use crate::circuit::record::{Begun, Token};
use crate::values::event::Report;

/// Reports that the admitted call succeeded.
///
/// BRAMA_ERR_STALE: the state in which the permit was given is gone, or this is the second report
/// of a probe. The report is counted in the totals and changes nothing else. A probe that reports
/// after its probe_timeout_ms, in the same half-open state, counts. The second report of a probe is
/// recognised until more than 4 other probes have had its place; after that it counts like a late
/// one. A permit of a closed circuit that is reported twice counts twice.
///
/// BRAMA_ERR_NOT_FOUND: the connection is not registered any more. Other errors:
/// BRAMA_ERR_INVALID_ARGUMENT for a permit of zeroes, BRAMA_ERR_SHUT_DOWN.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn brama_permit_success(permit: brama_permit_t) -> brama_result_t {
    // SAFETY: `permit` is this function's own copy of a permit: the rule for pointers in `args`.
    unsafe { success(&raw const permit) }
}

/// brama_permit_success with the permit by pointer, for hosts that cannot pass a struct or for
/// which that is expensive. The permit is not changed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn brama_permit_success_at(permit: *const brama_permit_t) -> brama_result_t {
    if permit.is_null() {
        return no_permit();
    }
    // SAFETY: not NULL, so a permit: the rule for pointers in `args`.
    unsafe { success(permit) }
}

/// The short way of a success, which changes nothing but the totals; otherwise
/// [`success_that_matters`].
///
/// # Safety
///
/// A permit. Only its first two words need be initialised if the second says so.
#[inline(always)]
unsafe fn success(permit: *const brama_permit_t) -> brama_result_t {
    // SAFETY: `permit` is a permit: this function's # Safety. Nothing in it panics, so it needs
    // no guard.
    unsafe {
        let is_counted = match healthy(permit) {
            Some((handle, mark)) => handle.connection.try_success_of(mark),
            None => match healthy_by_name(permit) {
                Some((brama, trace, mark)) => brama.try_success_of(trace, mark),
                None => false,
            },
        };
        match is_counted {
            true => BRAMA_OK,
            false => success_that_matters(permit),
        }
    }
}

/// # Safety
///
/// A permit.
#[inline(never)]
unsafe fn success_that_matters(permit: *const brama_permit_t) -> brama_result_t {
    guard::result(|| {
        // SAFETY: `permit` is a permit: this function's # Safety.
        unsafe { Granted::to(permit)?.success(&Report::NONE) }
    })
}

/// brama_permit_success with a report. A NULL report adds nothing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn brama_permit_success_with(
    permit: brama_permit_t,
    report: *const brama_report_t,
) -> brama_result_t {
    // SAFETY: `permit` is this function's own copy of a permit; `report` is NULL or a report:
    // the rule for pointers in `args`.
    unsafe { brama_permit_success_with_at(&raw const permit, report) }
}

/// brama_permit_success_with with the permit by pointer; see brama_permit_success_at.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn brama_permit_success_with_at(
    permit: *const brama_permit_t,
    report: *const brama_report_t,
) -> brama_result_t {
    guard::result(|| {
        // SAFETY: `permit` is NULL or a permit, whose handle or manager is still there;
        // `report` is NULL or a report: the rule for pointers in `args`.
        unsafe {
            let report = brama_report_t::given(report)?;
            Granted::to(permit)?.success(&Report::from(&report))
        }
    })
}

/// Reports that the admitted call failed. The reason goes into the events; NULL: none. Errors
/// as brama_permit_success.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn brama_permit_failure(
    permit: brama_permit_t,
    reason: *const c_char,
) -> brama_result_t {
    // SAFETY: `permit` is this function's own copy of a permit; `reason` is NULL or a string:
    // the rule for pointers in `args`.
    unsafe { failure(&raw const permit, reason, TERMINATED) }
}

/// brama_permit_failure with the permit by pointer; see brama_permit_success_at.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn brama_permit_failure_at(
    permit: *const brama_permit_t,
    reason: *const c_char,
) -> brama_result_t {
    // SAFETY: `permit` is NULL or a permit, whose handle or manager is still there; `reason` is
    // NULL or a string: the rule for pointers in `args`.
    unsafe { brama_permit_failure_n(permit, reason, TERMINATED) }
}

/// brama_permit_failure_at with a reason of this length, as in brama_report_t.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn brama_permit_failure_n(
    permit: *const brama_permit_t,
    reason: *const c_char,
    reason_length: usize,
) -> brama_result_t {
    if permit.is_null() {
        return no_permit();
    }
    // SAFETY: not NULL, so a permit; `reason` is NULL or text of its length: the rule for
    // pointers in `args`.
    unsafe { failure(permit, reason, reason_length) }
}

/// # Safety
///
/// A permit, as in [`success`], and a reason of this length.
#[inline(always)]
unsafe fn failure(
    permit: *const brama_permit_t,
    reason: *const c_char,
    length: usize,
) -> brama_result_t {
    // SAFETY: `permit` is a permit, and the reason is of this length: this function's # Safety.
    // Nothing in it panics, so it needs no guard.
    unsafe {
        let begun = match healthy(permit) {
            Some((handle, mark)) if reason.is_null() => {
                handle.connection.begin_failure(Some(mark), None)
            }
            Some((handle, mark)) => report::begin(handle, Some(mark), reason, length),
            None => Begun::Not,
        };
        match begun {
            Begun::Done(_) => BRAMA_OK,
            _ => failure_that_matters(permit, reason, length, begun),
        }
    }
}

/// # Safety
///
/// A permit, and a reason of this length.
#[inline(never)]
unsafe fn failure_that_matters(
    permit: *const brama_permit_t,
    reason: *const c_char,
    length: usize,
    begun: Begun,
) -> brama_result_t {
    guard::result(|| {
        // SAFETY: `permit` is a permit; the reason is of this length: this function's # Safety.
        unsafe {
            let report = report::reason(reason, length);
            match Granted::to(permit)? {
                Granted::ByHandle(handle, token) => {
                    let handle = &handle.connection;
                    handle.go_on_with_failure(Some(token), &Report::from(&report), begun)?
                }
                granted => granted.failure(&Report::from(&report), Duration::ZERO)?,
            }
        };
        Ok(())
    })
}

/// brama_permit_failure with a report. A NULL report adds nothing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn brama_permit_failure_with(
    permit: brama_permit_t,
    report: *const brama_report_t,
) -> brama_result_t {
    // SAFETY: `permit` is this function's own copy of a permit; `report` is NULL or a report:
    // the rule for pointers in `args`.
    unsafe { brama_permit_failure_with_at(&raw const permit, report) }
}

/// brama_permit_failure_with with the permit by pointer; see brama_permit_success_at.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn brama_permit_failure_with_at(
    permit: *const brama_permit_t,
    report: *const brama_report_t,
) -> brama_result_t {
    // SAFETY: `permit` is NULL or a permit, whose handle or manager is still there; `report` is
    // NULL or a report: the rule for pointers in `args`.
    unsafe { brama_permit_failure_for_at(permit, report, 0) }
}

/// Reports that the admitted call failed, and for how long the dependency has asked to be left
/// alone; report and wait_ms as in brama_failure_for. If the permit is stale, or the circuit is
/// open, the wait changes nothing. Errors as brama_permit_success. If wait_ms is refused
/// (BRAMA_ERR_INVALID_ARGUMENT), nothing was reported, and the permit can still be.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn brama_permit_failure_for(
    permit: brama_permit_t,
    report: *const brama_report_t,
    wait_ms: u64,
) -> brama_result_t {
    // SAFETY: `permit` is this function's own copy of a permit; `report` is NULL or a report:
    // the rule for pointers in `args`.
    unsafe { brama_permit_failure_for_at(&raw const permit, report, wait_ms) }
}

/// brama_permit_failure_for with the permit by pointer; see brama_permit_success_at.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn brama_permit_failure_for_at(
    permit: *const brama_permit_t,
    report: *const brama_report_t,
    wait_ms: u64,
) -> brama_result_t {
    guard::result(|| {
        // SAFETY: `permit` is NULL or a permit, whose handle or manager is still there;
        // `report` is NULL or a report: the rule for pointers in `args`.
        unsafe {
            let (report, count) = brama_report_t::given_with_place(report)?;
            let (granted, wait) = (Granted::to(permit)?, report::wait(wait_ms)?);
            count.put(granted.failure(&Report::from(&report), wait)?);
        }
        Ok(())
    })
}

/// Gives the permit back without a success or a failure, since the call said nothing about the
/// dependency. The permit counts as ignored. Errors as brama_permit_success.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn brama_permit_ignore(permit: brama_permit_t) -> brama_result_t {
    // SAFETY: `permit` is this function's own copy of a permit: the rule for pointers in `args`.
    unsafe { brama_permit_ignore_at(&raw const permit) }
}

/// brama_permit_ignore with the permit by pointer; see brama_permit_success_at.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn brama_permit_ignore_at(permit: *const brama_permit_t) -> brama_result_t {
    guard::result(|| {
        // SAFETY: `permit` is NULL or a permit, whose handle or manager is still there: the
        // rule for pointers in `args`.
        unsafe { Granted::to(permit)?.ignored() }
    })
}

/// Reports that the caller has given the call up, for example at a time-out of its own. The call is
/// ignored, as by brama_permit_ignore, since a cancelled caller is no failing dependency. If
/// cancelled_after_ms is set and the call lasted at least so long, it is a failure. Errors as
/// brama_permit_success.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn brama_permit_cancelled(permit: brama_permit_t) -> brama_result_t {
    // SAFETY: `permit` is this function's own copy of a permit: the rule for pointers in `args`.
    unsafe { brama_permit_cancelled_at(&raw const permit) }
}

/// brama_permit_cancelled with the permit by pointer; see brama_permit_success_at.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn brama_permit_cancelled_at(
    permit: *const brama_permit_t,
) -> brama_result_t {
    guard::result(|| {
        // SAFETY: `permit` is NULL or a permit, whose handle or manager is still there: the
        // rule for pointers in `args`.
        unsafe { Granted::to(permit)?.cancelled() }
    })
}

#[cold]
#[inline(never)]
fn no_permit() -> brama_result_t {
    guard::result(|| Err(args::null("permit").into()))
}

impl Granted<'_> {
    #[inline]
    pub(super) fn success(self, report: &Report<'_>) -> Result<(), Failure> {
        match self {
            Granted::ByHandle(handle, Token { place, .. })
                if handle.connection.try_success_of(place) =>
            {
                Ok(())
            }
            Granted::ByHandle(handle, token) => Ok(handle.connection.success_of(token, report)?),
            Granted::ByName(brama, admission) => Ok(brama.success_of(admission, report)?),
        }
    }

    pub(super) fn failure(self, report: &Report<'_>, wait: Duration) -> Result<u32, Failure> {
        match self {
            Granted::ByHandle(handle, token) => {
                Ok(handle.connection.failure_of(token, report, wait)?)
            }
            Granted::ByName(brama, admission) => Ok(brama.failure_of(admission, report, wait)?),
        }
    }

    fn cancelled(self) -> Result<(), Failure> {
        match self {
            Granted::ByHandle(handle, token) => Ok(handle.connection.cancelled_of(token)?),
            Granted::ByName(brama, admission) => Ok(brama.cancelled_of(admission)?),
        }
    }

    fn ignored(self) -> Result<(), Failure> {
        match self {
            Granted::ByHandle(handle, token) => Ok(handle.connection.ignored_of(token)?),
            Granted::ByName(brama, admission) => Ok(brama.ignored_of(admission)?),
        }
    }
}
