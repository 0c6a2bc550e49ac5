//! Permits: plain structs, passed by value.
//!
//! Four words, of which a permit from a handle uses two:
//!
//! ```text
//! from a handle   handle       token  –     –
//! by name         manager | 1  token  hash  registration
//! refused         0            0      –     –
//! ```
//!
//! The first word tells them apart; what it points to is aligned, so that its lowest
//! bit is free. By name the permit owns nothing: the report looks up the registration
//! anew. Rejected: a reference to the record (a copy of a permit that is reported twice
//! would free it twice); a fifth word for a probe's whole lease.

use std::ffi::c_char;
use std::mem::align_of;

use super::args::{self, handle, invalid, key, place};
use super::errors::brama_result_t;
use super::guard::{self, Failure};
use super::handles::{brama_connection_t, brama_t};
use super::report::{self, brama_report_t};
use super::types::BRAMA_NEVER;
use crate::error::Error;
use crate::event::Report;
use crate::manager::{Admission, Brama};

/// An admission, to be reported once, on any thread. A plain value: it may be copied
/// and needs no free, and one that is never reported is forgotten (a probe's place is
/// free again after probe_timeout_ms). A permit from a handle is reported while the
/// handle is held, one by name while its manager is not freed. A permit of zeroes is
/// refused.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct brama_permit_t {
    /// The library's.
    pub opaque: [u64; 4],
}

const BY_NAME: u64 = 1;
const _: () = assert!(align_of::<brama_t>() > 1 && align_of::<brama_connection_t>() > 1);

/// Asks for admission, and gives a permit into *permit: if the circuit is closed, or
/// half-open with a probe's place free.
///
/// BRAMA_ERR_REJECTED: do not call. If retry_after_ms is not NULL, it gets how long
/// until asking again can make a difference (0 if admitted; BRAMA_NEVER if the circuit
/// is held open until it is closed by hand), and *permit is zero.
///
/// A NULL manager is the default one, a NULL scope is none, permit must not be NULL.
/// Other errors: BRAMA_ERR_NOT_FOUND, BRAMA_ERR_INVALID_ARGUMENT, BRAMA_ERR_SHUT_DOWN.
/// Any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn brama_acquire(
    manager: *mut brama_t,
    identifier: *const c_char,
    scope: *const c_char,
    permit: *mut brama_permit_t,
    retry_after_ms: *mut u64,
) -> brama_result_t {
    guard::result(|| {
        place("permit", permit)?;
        // SAFETY: the caller's promise.
        unsafe {
            let brama = args::manager(manager);
            let admitted = key(identifier, scope).and_then(|key| brama.admit(key));
            let admitted = admitted.map(|Admission { hash, id, token }| {
                let manager = match manager.is_null() {
                    true => super::manager::brama_default(),
                    false => manager,
                };
                let owner = manager.expose_provenance() as u64 | BY_NAME;
                permit.write(brama_permit_t {
                    opaque: [owner, token, hash, id],
                });
            });
            answer(admitted, permit, retry_after_ms)
        }
    })
}

/// brama_acquire on a handle, which must not be NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn brama_connection_acquire(
    connection: *const brama_connection_t,
    permit: *mut brama_permit_t,
    retry_after_ms: *mut u64,
) -> brama_result_t {
    guard::result(|| {
        place("permit", permit)?;
        // SAFETY: the caller's promise.
        unsafe {
            let admitted = handle(connection).and_then(|handle| handle.connection.acquire_token());
            let admitted = admitted.map(|token| {
                let words = permit.cast::<u64>();
                words.write(connection.expose_provenance() as u64);
                words.add(1).write(token);
            });
            answer(admitted, permit, retry_after_ms)
        }
    })
}

/// # Safety
///
/// `permit` is a place, `retry_after_ms` may be NULL.
#[inline]
unsafe fn answer(
    admitted: Result<(), Error>,
    permit: *mut brama_permit_t,
    retry_after_ms: *mut u64,
) -> Result<(), Failure> {
    let wait = match &admitted {
        Ok(()) => 0,
        Err(Error::Rejected(rejected)) => {
            let wait = rejected.retry_after;
            wait.map_or(BRAMA_NEVER, |wait| wait.as_millis() as u64)
        }
        Err(_) => 0,
    };
    // SAFETY: the caller's promise.
    unsafe {
        if admitted.is_err() {
            permit.write(brama_permit_t { opaque: [0; 4] });
        }
        if !retry_after_ms.is_null() {
            retry_after_ms.write(wait);
        }
    }
    Ok(admitted?)
}

/// Reports that the admitted call succeeded.
///
/// BRAMA_ERR_STALE: the state that the permit was given in is gone, or the probe's
/// time was over, or it has reported before; the report is counted in the totals and
/// changes nothing else. BRAMA_ERR_NOT_FOUND: the connection is not registered any
/// more. Also BRAMA_ERR_INVALID_ARGUMENT for a permit of zeroes, BRAMA_ERR_SHUT_DOWN.
/// Any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn brama_permit_success(permit: brama_permit_t) -> brama_result_t {
    guard::result(|| {
        // SAFETY: the caller's promise.
        unsafe { Granted::to(&permit)?.success(&Report::NONE) }
    })
}

/// brama_permit_success with more to tell; a NULL report tells nothing more.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn brama_permit_success_with(
    permit: brama_permit_t,
    report: *const brama_report_t,
) -> brama_result_t {
    guard::result(|| {
        // SAFETY: the caller's promise.
        unsafe {
            let report = brama_report_t::given(report)?;
            Granted::to(&permit)?.success(&report)
        }
    })
}

/// Reports that the admitted call failed. The reason goes into the events; NULL: none;
/// what is not UTF-8 is refused. Errors as brama_permit_success. Any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn brama_permit_failure(
    permit: brama_permit_t,
    reason: *const c_char,
) -> brama_result_t {
    guard::result(|| {
        // SAFETY: the caller's promise.
        unsafe {
            let report = report::reason(reason)?;
            Granted::to(&permit)?.failure(&report)
        }
    })
}

/// brama_permit_failure with more to tell; a NULL report tells nothing more.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn brama_permit_failure_with(
    permit: brama_permit_t,
    report: *const brama_report_t,
) -> brama_result_t {
    guard::result(|| {
        // SAFETY: the caller's promise.
        unsafe {
            let report = brama_report_t::given(report)?;
            Granted::to(&permit)?.failure(&report)
        }
    })
}

/// Gives the permit back, neither success nor failure: a cancelled caller is no
/// failing dependency. Errors as brama_permit_success. Any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn brama_permit_ignore(permit: brama_permit_t) -> brama_result_t {
    guard::result(|| {
        // SAFETY: the caller's promise.
        unsafe { Granted::to(&permit)?.ignored() }
    })
}

/// What a permit's words say.
enum Granted<'a> {
    ByHandle(&'a brama_connection_t, u64),
    ByName(&'a Brama, Admission),
}

impl<'a> Granted<'a> {
    /// # Safety
    ///
    /// Zero, or the words of a permit whose handle or manager is still there.
    #[inline]
    unsafe fn to(permit: &brama_permit_t) -> Result<Self, Error> {
        let [owner, token, ..] = permit.opaque;
        let address = (owner & !BY_NAME) as usize;
        if address == 0 {
            let allowed = "must have been given by brama_acquire or brama_connection_acquire";
            return Err(invalid("permit", "zero", allowed));
        }
        // SAFETY: the caller's promise.
        unsafe {
            if owner & BY_NAME == 0 {
                let handle = std::ptr::with_exposed_provenance::<brama_connection_t>(address);
                return Ok(Granted::ByHandle(&*handle, token));
            }
            let manager = std::ptr::with_exposed_provenance::<brama_t>(address);
            let [_, _, hash, id] = permit.opaque;
            Ok(Granted::ByName(
                &(*manager).brama,
                Admission { hash, id, token },
            ))
        }
    }

    #[inline]
    fn success(self, report: &Report<'_>) -> Result<(), Failure> {
        match self {
            Granted::ByHandle(handle, token) if handle.connection.succeed_at_once_of(token) => {
                Ok(())
            }
            Granted::ByHandle(handle, token) => Ok(handle.connection.success_of(token, report)?),
            Granted::ByName(brama, admission) => found(brama.success_of(admission, report)),
        }
    }

    fn failure(self, report: &Report<'_>) -> Result<(), Failure> {
        match self {
            Granted::ByHandle(handle, token) => Ok(handle.connection.failure_of(token, report)?),
            Granted::ByName(brama, admission) => found(brama.failure_of(admission, report)),
        }
    }

    fn ignored(self) -> Result<(), Failure> {
        match self {
            Granted::ByHandle(handle, token) => Ok(handle.connection.ignored_of(token)?),
            Granted::ByName(brama, admission) => found(brama.ignored_of(admission)),
        }
    }
}

fn found(answer: Option<Result<(), Error>>) -> Result<(), Failure> {
    Ok(answer.ok_or(Failure::PermitGone)??)
}
