//! The pass word: admission without a call of this library.
//!
//! A host where calling a C function is expensive, such as an interpreter, spends most of a guarded
//! call on `brama_connection_acquire` and its two results. With the pass word it reads one number
//! in memory instead. The number holds the generation, so a permit can be made of it. All calls
//! that read the same number share that permit. What is left is one function call with one pointer,
//! for the report, which is as exact as with a permit that was acquired.
//!
//! The number is the upper half of the state word. It is below 2^29 if the circuit lets calls pass,
//! and interpreters have fast paths for such numbers. The count of failures does not change it.
//! Rejected: the whole word, which is more expensive and changes with that count; a copy of the
//! number beside the word, which could contradict it; passing the number with the report, which
//! takes one argument more.

use super::args::{self, handle, place};
use super::errors::brama_result_t;
use super::guard;
use super::handles::brama_connection_t;
use super::permit::brama_permit_t;
use crate::circuit::record::Token;
use crate::manager::connection::token_of_pass;
use crate::values::error::Error;
use crate::values::state::Word;

/// A call may pass if the number that it read from the pass word (brama_connection_pass_word) is
/// smaller than this.
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
///     brama_connection_acquire: it admits the call, or says why not
///
/// The number stands for a permit: a report on it is stale once the state in which it was read is
/// gone. It need not be reported. The report counts as activity of the connection; reading the
/// number does not.
///
/// If the number is below the limit, the circuit is closed. If it is not, ask
/// brama_connection_available. Nothing else about the number has a fixed meaning. Never write to
/// it. The pointer is valid as long as the handle is held. After the connection was unregistered,
/// the number lets no call pass.
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
/// brama_connection_acquire would have given when the number was read. It serves every call that
/// passed by that number, and is reported once for each of them. So keep the permit as long as the
/// number stays the same: a guarded call is then one read and brama_permit_success_at.
///
/// Errors: BRAMA_ERR_INVALID_ARGUMENT, also for a number that lets no call pass; *permit is then
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
