//! Calls that are let pass without a call of this library's.
//!
//! A host whose foreign calls are dear, an interpreter say, spends most of a guarded
//! call on `brama_connection_acquire` and its two results. Here it reads one number in
//! memory instead, and hands it back with the report: the number holds the generation,
//! so the report is as exact as a permit's.
//!
//! The number is the upper half of the state word, which is below 2^29 if the circuit
//! lets calls pass: interpreters have fast paths for such numbers, and hand them to
//! foreign functions without being told their type. Rejected: the whole word, which is
//! dearer in all three ways; and a number kept beside the word, which would be a second
//! truth.

use super::args::{self, handle, place};
use super::connection::BRAMA_STATE_WORD_MASK;
use super::errors::{BRAMA_OK, brama_result_t};
use super::guard;
use super::handles::brama_connection_t;
use super::permit::brama_permit_t;
use crate::connection::token_of_pass;
use crate::error::Error;
use crate::event::Report;

/// A number read by way of brama_connection_pass_word that is smaller lets calls pass.
pub const BRAMA_PASS_LIMIT: u32 = 0x20000000;

const _: () = assert!(BRAMA_STATE_WORD_MASK >> 32 == (u32::MAX - BRAMA_PASS_LIMIT + 1) as u64);

/// Where a number is that lets calls pass, for hosts to which a call of a foreign
/// function is dear. Read it in one piece, before the guarded call:
///
///     uint32_t pass = __atomic_load_n(word, __ATOMIC_ACQUIRE);
///     if (pass < BRAMA_PASS_LIMIT)
///         call, then brama_connection_pass_success(connection, pass), or after a
///         failure brama_connection_pass_permit and brama_permit_failure
///     else
///         brama_connection_acquire: it admits, or tells why not
///
/// What was read is as good as a permit: it is worth nothing once the state it was
/// read in is gone. It needs not be reported. It counts as activity of the connection
/// when it is reported, not when it is read.
///
/// All else about the number may change its meaning. Never write to it. Valid as long
/// as the handle is held. NULL for NULL. Any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn brama_connection_pass_word(
    connection: *const brama_connection_t,
) -> *const u32 {
    guard::value(std::ptr::null(), || {
        // SAFETY: the caller's promise.
        let word = unsafe { handle(connection) }?.connection.state_word();
        let upper_half = usize::from(cfg!(target_endian = "little"));
        Ok(word.cast::<u32>().wrapping_add(upper_half))
    })
}

/// Reports that a call succeeded that was let pass by this number.
///
/// BRAMA_ERR_STALE: the state that the number was read in is gone; the report is
/// counted in the totals and changes nothing else. Other errors:
/// BRAMA_ERR_INVALID_ARGUMENT if connection is NULL or the number lets nothing pass,
/// BRAMA_ERR_NOT_FOUND, BRAMA_ERR_SHUT_DOWN. Any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn brama_connection_pass_success(
    connection: *const brama_connection_t,
    pass: u32,
) -> brama_result_t {
    // SAFETY: NULL, or a handle that is held. Nothing in it panics, so it needs no guard.
    if let Some(handle) = unsafe { connection.as_ref() }
        && let Some(token) = token_of_pass(pass)
        && handle.connection.succeed_at_once_of(token)
    {
        return BRAMA_OK;
    }
    // SAFETY: as above.
    unsafe { success_that_matters(connection, pass) }
}

/// # Safety
///
/// As [`brama_connection_pass_success`].
#[cold]
#[inline(never)]
unsafe fn success_that_matters(connection: *const brama_connection_t, pass: u32) -> brama_result_t {
    guard::result(|| {
        // SAFETY: the caller's promise.
        let connection = &unsafe { handle(connection) }?.connection;
        connection.success_of(token(pass)?, &Report::NONE)?;
        Ok(())
    })
}

/// Makes a permit of a number that lets calls pass, into *permit: to report what
/// brama_connection_pass_success cannot tell. It is the permit that
/// brama_connection_acquire would have given when the number was read.
///
/// Neither pointer may be NULL. Errors: BRAMA_ERR_INVALID_ARGUMENT, also if the number
/// lets nothing pass; *permit is then zero. Any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn brama_connection_pass_permit(
    connection: *const brama_connection_t,
    pass: u32,
    permit: *mut brama_permit_t,
) -> brama_result_t {
    guard::result(|| {
        place("permit", permit)?;
        // SAFETY: the caller's promise, here and below.
        let made = unsafe { handle(connection) }.and_then(|_| token(pass));
        unsafe {
            permit.write(match made {
                Ok(token) => brama_permit_t::of_handle(connection, token),
                Err(_) => brama_permit_t { opaque: [0; 4] },
            });
        }
        Ok(made.map(drop)?)
    })
}

#[inline]
fn token(pass: u32) -> Result<u64, Error> {
    token_of_pass(pass).ok_or_else(|| {
        args::invalid("pass", pass, "must have been read where brama_connection_pass_word says, and be less than BRAMA_PASS_LIMIT")
    })
}
