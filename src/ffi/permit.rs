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

use super::args::{self, handle, invalid, is_plain, key, place};
use super::errors::{BRAMA_OK, brama_result_t};
use super::guard::{self, Failure};
use super::handles::{brama_connection_t, brama_t};
use super::report::{self, brama_report_t};
use super::types::BRAMA_NEVER;
use crate::error::Error;
use crate::event::Report;
use crate::manager::{Admission, Brama};
use crate::record::Begun;

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

impl brama_permit_t {
    pub(super) fn of_handle(connection: *const brama_connection_t, token: u64) -> Self {
        brama_permit_t {
            opaque: [connection.expose_provenance() as u64, token, 0, 0],
        }
    }
}

const BY_NAME: u64 = 1;
const _: () = assert!(align_of::<brama_t>() > 1 && align_of::<brama_connection_t>() > 1);

/// Asks for admission, and gives a permit into *permit: if the circuit is closed, or
/// half-open with a probe's place free.
///
/// BRAMA_ERR_REJECTED: do not call; the rejection is counted. If retry_after_ms is not
/// NULL, it gets how long until asking again can make a difference (0 if admitted;
/// BRAMA_NEVER if the circuit is held open until it is closed by hand), and *permit is
/// zero.
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
    // SAFETY: NULL, or a handle that is held.
    if let Some(handle) = unsafe { connection.as_ref() }
        && !permit.is_null()
        && let Some(token) = handle.connection.pass_token()
    {
        // SAFETY: a place for a permit, and one for a number or NULL. Nothing in it
        // panics, so it needs no guard.
        unsafe {
            grant(permit, connection, token);
            if !retry_after_ms.is_null() {
                retry_after_ms.write(0);
            }
        }
        return BRAMA_OK;
    }
    // SAFETY: as above.
    unsafe { acquire_unless_closed(connection, permit, retry_after_ms) }
}

/// # Safety
///
/// As [`brama_connection_acquire`].
#[inline(never)]
unsafe fn acquire_unless_closed(
    connection: *const brama_connection_t,
    permit: *mut brama_permit_t,
    retry_after_ms: *mut u64,
) -> brama_result_t {
    // SAFETY: the caller's promise.
    if let Some(handle) = unsafe { connection.as_ref() }
        && !permit.is_null()
        && let Some(refused) = handle.connection.try_reject()
    {
        // SAFETY: as above. Nothing in it panics, so it needs no guard.
        unsafe {
            refuse(
                permit,
                retry_after_ms,
                refused.wait().unwrap_or(BRAMA_NEVER),
            )
        };
        return guard::rejected(refused);
    }
    // SAFETY: as above.
    unsafe { acquire_guarded(connection, permit, retry_after_ms) }
}

/// # Safety
///
/// `permit` is a place, `retry_after_ms` may be NULL.
#[inline]
unsafe fn refuse(permit: *mut brama_permit_t, retry_after_ms: *mut u64, wait: u64) {
    // SAFETY: the caller's promise.
    unsafe {
        permit.write(brama_permit_t { opaque: [0; 4] });
        if !retry_after_ms.is_null() {
            retry_after_ms.write(wait);
        }
    }
}

/// # Safety
///
/// As [`brama_connection_acquire`].
#[inline(never)]
unsafe fn acquire_guarded(
    connection: *const brama_connection_t,
    permit: *mut brama_permit_t,
    retry_after_ms: *mut u64,
) -> brama_result_t {
    guard::result(|| {
        place("permit", permit)?;
        // SAFETY: the caller's promise.
        unsafe {
            let admitted = handle(connection).and_then(|handle| handle.connection.acquire_token());
            let admitted = admitted.map(|token| grant(permit, connection, token));
            answer(admitted, permit, retry_after_ms)
        }
    })
}

/// Fills in the two words that a permit from a handle has. In one store where that can
/// be: a caller that copies both words with one load then need not wait until two
/// stores have reached the cache, which takes longer than the whole call.
///
/// # Safety
///
/// `permit` is a place for one.
#[inline]
unsafe fn grant(permit: *mut brama_permit_t, connection: *const brama_connection_t, token: u64) {
    let owner = connection.expose_provenance() as u64;
    #[cfg(target_arch = "x86_64")]
    // SAFETY: the caller's promise; every such processor has these instructions.
    unsafe {
        use std::arch::x86_64::{_mm_set_epi64x, _mm_storeu_si128};
        let words = _mm_set_epi64x(token.cast_signed(), owner.cast_signed());
        _mm_storeu_si128(permit.cast(), words);
    }
    #[cfg(not(target_arch = "x86_64"))]
    // SAFETY: the caller's promise.
    unsafe {
        permit.cast::<[u64; 2]>().write([owner, token]);
    }
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
        Err(Error::Rejected(rejected)) => {
            let wait = rejected.retry_after;
            wait.map_or(BRAMA_NEVER, |wait| wait.as_millis() as u64)
        }
        _ => 0,
    };
    // SAFETY: the caller's promise.
    unsafe {
        if admitted.is_err() {
            refuse(permit, retry_after_ms, wait);
        } else if !retry_after_ms.is_null() {
            retry_after_ms.write(0);
        }
    }
    Ok(admitted?)
}

/// Reports that the admitted call succeeded.
///
/// BRAMA_ERR_STALE: the state that the permit was given in is gone, or it is a probe's
/// that has reported before; the report is counted in the totals and changes nothing else.
/// A probe's second report is recognised as long as no more than 4 other probes had its
/// place since; after that it counts as one that comes after probe_timeout_ms, which counts
/// while the circuit is half-open. A permit of a closed circuit that reports twice counts
/// twice. BRAMA_ERR_NOT_FOUND: the connection is not registered any more. Also
/// BRAMA_ERR_INVALID_ARGUMENT for a permit of zeroes, BRAMA_ERR_SHUT_DOWN. Any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn brama_permit_success(permit: brama_permit_t) -> brama_result_t {
    let [owner, token, hash, id] = permit.opaque;
    // SAFETY: the caller's promise. Nothing in it panics, so it needs no guard.
    if let Some(handle) = unsafe { handle_of(owner) }
        && handle.connection.try_success_of(token)
    {
        return BRAMA_OK;
    }
    // SAFETY: as above.
    unsafe { success_that_matters(owner, token, hash, id) }
}

/// # Safety
///
/// As [`brama_permit_success`].
#[inline(never)]
unsafe fn success_that_matters(owner: u64, token: u64, hash: u64, id: u64) -> brama_result_t {
    let permit = brama_permit_t {
        opaque: [owner, token, hash, id],
    };
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
    let [owner, token, hash, id] = permit.opaque;
    // SAFETY: the caller's promise.
    let (handle, is_plain) = unsafe { (handle_of(owner), is_plain(reason)) };
    let begun = match handle {
        // Nothing in it panics, so it needs no guard.
        Some(handle) if is_plain => handle.connection.begin_failure(Some(token)),
        _ => Begun::Not,
    };
    match begun {
        Begun::Done(_) => BRAMA_OK,
        // SAFETY: as above.
        _ => unsafe { failure_that_matters(owner, token, hash, id, reason, begun) },
    }
}

/// # Safety
///
/// As [`brama_permit_failure`].
#[inline(never)]
unsafe fn failure_that_matters(
    owner: u64,
    token: u64,
    hash: u64,
    id: u64,
    reason: *const c_char,
    begun: Begun,
) -> brama_result_t {
    let permit = brama_permit_t {
        opaque: [owner, token, hash, id],
    };
    guard::result(|| {
        // SAFETY: the caller's promise.
        unsafe {
            let report = report::reason(reason)?;
            match Granted::to(&permit)? {
                Granted::ByHandle(handle, token) => {
                    let handle = &handle.connection;
                    handle.go_on_with_failure(Some(token), &report, begun)?
                }
                granted => granted.failure(&report)?,
            }
        };
        Ok(())
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
            let (report, count) = brama_report_t::given_with_place(report)?;
            count.put(Granted::to(&permit)?.failure(&report)?);
        }
        Ok(())
    })
}

/// Gives the permit back, neither success nor failure: a cancelled caller is no
/// failing dependency. Nothing is counted. Errors as brama_permit_success. Any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn brama_permit_ignore(permit: brama_permit_t) -> brama_result_t {
    guard::result(|| {
        // SAFETY: the caller's promise.
        unsafe { Granted::to(&permit)?.ignored() }
    })
}

/// The handle that a permit is from, if it is from one.
///
/// # Safety
///
/// The first word of a permit whose handle is still there, if it is from one.
#[inline]
unsafe fn handle_of<'a>(owner: u64) -> Option<&'a brama_connection_t> {
    if owner & BY_NAME != 0 {
        return None;
    }
    let handle = std::ptr::with_exposed_provenance::<brama_connection_t>(owner as usize);
    // SAFETY: zero, or the caller's promise.
    unsafe { handle.as_ref() }
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
        let [owner, token, hash, id] = permit.opaque;
        // SAFETY: the caller's promise.
        if let Some(handle) = unsafe { handle_of(owner) } {
            return Ok(Granted::ByHandle(handle, token));
        }
        let address = (owner & !BY_NAME) as usize;
        let manager = std::ptr::with_exposed_provenance::<brama_t>(address);
        // SAFETY: zero, or the caller's promise.
        match unsafe { manager.as_ref() } {
            Some(manager) => {
                let admission = Admission { hash, id, token };
                Ok(Granted::ByName(&manager.brama, admission))
            }
            None => {
                let allowed = "must have been given by brama_acquire or brama_connection_acquire";
                Err(invalid("permit", "zero", allowed))
            }
        }
    }

    #[inline]
    fn success(self, report: &Report<'_>) -> Result<(), Failure> {
        match self {
            Granted::ByHandle(handle, token) if handle.connection.try_success_of(token) => Ok(()),
            Granted::ByHandle(handle, token) => Ok(handle.connection.success_of(token, report)?),
            Granted::ByName(brama, admission) => found(brama.success_of(admission, report)),
        }
    }

    fn failure(self, report: &Report<'_>) -> Result<u32, Failure> {
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

fn found<T>(answer: Option<Result<T, Error>>) -> Result<T, Failure> {
    Ok(answer.ok_or(Failure::PermitGone)??)
}
