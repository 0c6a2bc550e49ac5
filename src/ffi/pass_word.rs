//! Calls that are let pass without a call of this library's.
//!
//! A host where calling a C function is expensive, an interpreter say, spends most of a guarded
//! call on `brama_connection_acquire` and its two results. Here it reads one number in
//! memory instead. The number holds the generation, so that a permit can be made of it: the
//! same for all calls that read the same number. What is left is one call with one pointer,
//! and the report is as exact as with a permit that was acquired.
//!
//! The number is the upper half of the state word, which is below 2^29 if the circuit
//! lets calls pass: interpreters have fast paths for such numbers. And it does not change
//! with the count of failures. Rejected: the whole word, which is more expensive and does; a number
//! kept beside the word, which would be a second truth; handing the number over with the
//! report, which is one argument more.

use super::args::{self, handle, place};
use super::errors::brama_result_t;
use super::guard;
use super::handles::brama_connection_t;
use super::permit::brama_permit_t;
use crate::circuit::record::Token;
use crate::manager::connection::token_of_pass;
use crate::values::error::Error;
use crate::values::state::Word;

/// A number read by way of brama_connection_pass_word that is smaller lets calls pass.
pub const BRAMA_PASS_LIMIT: u32 = 0x20000000;

const _: () = assert!(Word::NOT_FREE >> 32 == (u32::MAX - BRAMA_PASS_LIMIT + 1) as u64);

/// Returns a pointer to the connection's pass word, for hosts where calling a C function is
/// expensive (interpreters). Read it in one piece, before the guarded call:
///
///   uint32_t pass = __atomic_load_n(word, __ATOMIC_ACQUIRE);
///   if (pass < BRAMA_PASS_LIMIT)
///     call, then report on the permit that brama_connection_pass_permit makes of
///     the number
///   else
///     brama_connection_acquire: it admits, or tells why not
///
/// What was read is as good as a permit: it is worth nothing once the state it was
/// read in is gone. It need not be reported. It counts as activity of the connection
/// when it is reported, not when it is read.
///
/// A number below the limit also says that the circuit is closed; one that is not says that
/// brama_connection_available has to be asked. All else about the number may change its
/// meaning. Never write to it. Valid as long as the handle is held, also after the connection
/// was unregistered (then it lets nothing pass). NULL for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn brama_connection_pass_word(
    connection: *const brama_connection_t,
) -> *const u32 {
    guard::value(std::ptr::null(), || {
        // SAFETY: `connection` is NULL or a handle: the rule for pointers in `args`.
        let word = unsafe { handle(connection) }?.connection.state_word();
        let upper_half = usize::from(cfg!(target_endian = "little"));
        Ok(word.cast::<u32>().wrapping_add(upper_half))
    })
}

/// Makes a permit of a number that lets calls pass, into *permit: the one that
/// brama_connection_acquire would have given when the number was read. It serves every
/// call that was let pass by that number, and is reported once for each of them: keep it
/// and compare numbers, and a guarded call is one read and brama_permit_success_at.
///
/// Errors: BRAMA_ERR_INVALID_ARGUMENT, even if the number lets nothing pass; *permit is then
/// zero.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn brama_connection_pass_permit(
    connection: *const brama_connection_t,
    pass: u32,
    permit: *mut brama_permit_t,
) -> brama_result_t {
    guard::result(|| {
        place("permit", permit)?;
        // SAFETY: `connection` is NULL or a handle: the rule for pointers in `args`.
        let made = unsafe { handle(connection) }.and_then(|_| token(pass));
        // SAFETY: not NULL, so a place for a permit: the rule for pointers in `args`.
        unsafe {
            permit.write(match made {
                Ok(token) => brama_permit_t::of_handle(connection, token),
                Err(_) => brama_permit_t::NONE,
            });
        }
        Ok(made.map(drop)?)
    })
}

#[inline]
fn token(pass: u32) -> Result<Token, Error> {
    token_of_pass(pass).ok_or_else(|| {
        let allowed = "must have been read by way of brama_connection_pass_word, \
                       and be less than BRAMA_PASS_LIMIT";
        args::invalid("pass", pass, allowed)
    })
}
