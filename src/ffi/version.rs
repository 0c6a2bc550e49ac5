//! The version of the library.

use std::ffi::{CStr, c_char};

/// "major.minor.patch".
const VERSION: &CStr = {
    let text = concat!(env!("CARGO_PKG_VERSION"), "\0");
    match CStr::from_bytes_with_nul(text.as_bytes()) {
        Ok(text) => text,
        Err(_) => panic!("the version has no NUL"),
    }
};

/// Returns the version of the library that is loaded, such as "0.1.0". That of the header is
/// BRAMA_VERSION_STRING. Never NULL, valid for ever.
#[unsafe(no_mangle)]
pub extern "C" fn brama_version() -> *const c_char {
    VERSION.as_ptr()
}

/// Returns the version of the binary interface of the library that is loaded: the minor version
/// before 1.0, and major * 1000 from then on. A program works with the library if this equals the
/// header's BRAMA_ABI_VERSION.
#[unsafe(no_mangle)]
pub extern "C" fn brama_abi_version() -> u32 {
    ABI_VERSION
}

const ABI_VERSION: u32 = {
    let major = number(env!("CARGO_PKG_VERSION_MAJOR"));
    match major {
        0 => number(env!("CARGO_PKG_VERSION_MINOR")),
        major => major * 1_000,
    }
};

const fn number(text: &str) -> u32 {
    match u32::from_str_radix(text, 10) {
        Ok(number) => number,
        Err(_) => panic!("a version is made of numbers"),
    }
}
