//! A clock that stands still, and random numbers that are always the same.
//!
//! Under valgrind everything is slower, by a factor that varies, and an operation may
//! depend on whether a millisecond has passed. The length of a look-up's probe depends
//! on the random keys of the hash. So these two functions replace those of the C library
//! in this program, and all counts are the same in every run. This clock takes fewer
//! instructions than the real one, whose instructions are not brama's in any case.

use std::ffi::{c_int, c_uint, c_void};
use std::slice;

/// # Safety
///
/// `time` is valid for a write, as the C library's function requires.
#[unsafe(no_mangle)]
unsafe extern "C" fn clock_gettime(_: libc::clockid_t, time: *mut libc::timespec) -> c_int {
    let now = libc::timespec {
        tv_sec: 1_000,
        tv_nsec: 500_000_000,
    };
    // SAFETY: `time` is valid for a write (see `# Safety`).
    unsafe { time.write(now) };
    0
}

/// # Safety
///
/// `buffer` is valid for `length` bytes of writes, as the C library's function requires.
#[unsafe(no_mangle)]
unsafe extern "C" fn getrandom(buffer: *mut c_void, length: usize, _: c_uint) -> isize {
    // SAFETY: `buffer` is valid for `length` bytes (see `# Safety`). The slice is only written.
    let bytes = unsafe { slice::from_raw_parts_mut(buffer.cast::<u8>(), length) };
    for (place, byte) in bytes.iter_mut().enumerate() {
        *byte = (place as u8).wrapping_mul(97).wrapping_add(31);
    }
    length.cast_signed()
}
