//! A clock that stands still, and random numbers that are always the same.
//!
//! Under valgrind everything is slow, by how much varies, and what an operation does
//! may depend on whether a millisecond has passed; how far a look-up has to go
//! depends on the hash's secrets. These two take the place of the C library's in this
//! program, and with them all counts are the same in every run. The clock costs less
//! than the real one: its instructions are not brama's.

use std::ffi::{c_int, c_uint, c_void};
use std::slice;

/// # Safety
///
/// As the C library's: `time` is a valid place for the result.
#[unsafe(no_mangle)]
unsafe extern "C" fn clock_gettime(_: libc::clockid_t, time: *mut libc::timespec) -> c_int {
    let now = libc::timespec {
        tv_sec: 1_000,
        tv_nsec: 500_000_000,
    };
    // SAFETY: the caller's promise.
    unsafe { time.write(now) };
    0
}

/// # Safety
///
/// As the C library's: `buffer` has room for `length` bytes.
#[unsafe(no_mangle)]
unsafe extern "C" fn getrandom(buffer: *mut c_void, length: usize, _: c_uint) -> isize {
    // SAFETY: the caller's promise; bytes need not be initialised to be written.
    let bytes = unsafe { slice::from_raw_parts_mut(buffer.cast::<u8>(), length) };
    for (place, byte) in bytes.iter_mut().enumerate() {
        *byte = (place as u8).wrapping_mul(97).wrapping_add(31);
    }
    length.cast_signed()
}
