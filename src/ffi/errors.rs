//! Errors, as a code and in words.

use std::ffi::{CStr, c_char};

use super::guard;

/// What a function returns: BRAMA_OK, or one of the negative BRAMA_ERR_ values.
pub type brama_result_t = i32;

/// Done.
pub const BRAMA_OK: brama_result_t = 0;
/// An argument is NULL, not UTF-8, or out of its range. Nothing was done.
pub const BRAMA_ERR_INVALID_ARGUMENT: brama_result_t = -1;
/// No connection of this name is registered (any more).
pub const BRAMA_ERR_NOT_FOUND: brama_result_t = -2;
/// A connection of this name is registered already, and was left as it is.
pub const BRAMA_ERR_ALREADY_REGISTERED: brama_result_t = -3;
/// The circuit does not admit the call.
pub const BRAMA_ERR_REJECTED: brama_result_t = -4;
/// The state that the permit was given in is gone: the report was counted in the totals and changed
/// nothing else. This is normal and may be ignored.
pub const BRAMA_ERR_STALE: brama_result_t = -5;
/// A setting is out of its range. Nothing was changed.
pub const BRAMA_ERR_INVALID_CONFIG: brama_result_t = -6;
/// The manager was shut down.
pub const BRAMA_ERR_SHUT_DOWN: brama_result_t = -7;
/// A defect of the library was met. It is contained: other calls still work.
pub const BRAMA_ERR_PANIC: brama_result_t = -8;
/// The operating system does not support, or refuses, what this function needs.
pub const BRAMA_ERR_UNSUPPORTED: brama_result_t = -9;
/// There is no memory for something of a size that the caller chose, or for what the operating
/// system has to make. If the process runs out of memory in any other place, it is aborted.
pub const BRAMA_ERR_OUT_OF_MEMORY: brama_result_t = -10;
/// A limit of the process or the system is reached, such as that of open files.
pub const BRAMA_ERR_LIMIT: brama_result_t = -11;

/// Returns what a result code means in general: a short English text without details, even for
/// numbers that are no code. Never NULL, valid for ever.
#[unsafe(no_mangle)]
pub extern "C" fn brama_strerror(result: brama_result_t) -> *const c_char {
    let text: &CStr = match result {
        BRAMA_OK => c"success",
        BRAMA_ERR_INVALID_ARGUMENT => c"invalid argument",
        BRAMA_ERR_NOT_FOUND => c"no such connection is registered",
        BRAMA_ERR_ALREADY_REGISTERED => c"the connection is already registered",
        BRAMA_ERR_REJECTED => c"the circuit does not admit the call",
        BRAMA_ERR_STALE => c"stale permit: the report counts in the totals only",
        BRAMA_ERR_INVALID_CONFIG => c"a setting is out of range",
        BRAMA_ERR_SHUT_DOWN => c"the manager was shut down",
        BRAMA_ERR_PANIC => c"internal error",
        BRAMA_ERR_UNSUPPORTED => c"not supported by this system",
        BRAMA_ERR_OUT_OF_MEMORY => c"out of memory",
        BRAMA_ERR_LIMIT => c"a limit of the process or the system is reached",
        _ => c"unknown result code",
    };
    text.as_ptr()
}

/// Returns the code of this thread's last call that failed: one of the BRAMA_ERR_ values, or
/// BRAMA_OK if none has failed. Calls that succeed leave it as it is. It is of use after functions
/// that return a pointer or a bool.
#[unsafe(no_mangle)]
pub extern "C" fn brama_last_error_code() -> brama_result_t {
    guard::last_code()
}

/// Returns what was wrong in this thread's last call that failed: the argument, its value and what
/// is allowed, such as
///
///   invalid setting `jitter` = 1.5: must be 0.0 to 1.0
///
/// Of a rejection it says the connection's name, up to 40 bytes of it, the cause of the opening,
/// what the rule had counted, and the reason:
///
///   rejected: the circuit of "db" is open (failure_rate, 12 of 20 calls failed: timeout),
///   retry after 5s
///
/// The library looks these four up in the first call of brama_last_error_message,
/// brama_last_error_cause or brama_last_error_reason after the rejection, so they are as of that
/// call. Later calls return the same, until another call fails. The wait is as of the rejection. If
/// the connection was removed before that first call, the message has none of the four.
///
/// Never NULL; "" if no call of this thread has failed. Calls that succeed leave it as it is. Valid
/// until the next call of this thread that fails, or until the thread ends.
#[unsafe(no_mangle)]
pub extern "C" fn brama_last_error_message() -> *const c_char {
    guard::last_message()
}
