//! The shared library, built by cargo, and loaded as a host of another language loads it.

use std::ffi::{CStr, CString, c_char, c_void};
use std::mem::transmute_copy;
use std::process::Command;

pub type Text = *const c_char;

/// `brama_t *`.
#[repr(transparent)]
#[derive(Clone, Copy)]
pub struct Manager(pub *mut c_void);

/// `brama_connection_t *`.
#[repr(transparent)]
#[derive(Clone, Copy)]
pub struct Handle(pub *mut c_void);

// SAFETY: the header lets any thread use a manager (`brama_t`).
unsafe impl Sync for Manager {}
// SAFETY: as for Sync: the header ties a manager to no thread.
unsafe impl Send for Manager {}
// SAFETY: the header lets any thread use a handle (`brama_connection_t`).
unsafe impl Sync for Handle {}
// SAFETY: as for Sync: the header ties a handle to no thread.
unsafe impl Send for Handle {}

/// `brama_permit_t`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Permit([u64; 6]);

/// A loaded library.
#[derive(Clone, Copy)]
pub struct Loaded(*mut c_void);

impl Loaded {
    pub fn from(path: &str) -> Self {
        let path = CString::new(path).expect("a path has no NUL");
        // SAFETY: the library has no constructors that
        // could break this program, and is never unloaded.
        let library = unsafe { libc::dlopen(path.as_ptr(), libc::RTLD_NOW) };
        assert!(!library.is_null(), "{path:?} can be loaded");
        Loaded(library)
    }

    /// A function of the header, as a pointer to a function of its signature.
    pub fn find<F: Copy>(self, name: &CStr) -> F {
        // SAFETY: `from` got the handle from `dlopen`, and the library is never unloaded.
        let found = unsafe { libc::dlsym(self.0, name.as_ptr()) };
        assert!(!found.is_null(), "{name:?} is exported");
        const { assert!(size_of::<F>() == size_of::<*mut c_void>()) };
        // SAFETY: `F` is a pointer to a function, as large as `found`. The
        // caller names a function of the header whose signature it is.
        unsafe { transmute_copy(&found) }
    }
}

/// Builds the library, unless it is built already, and returns its path.
pub fn build() -> String {
    let output = Command::new(env!("CARGO"))
        .args([
            "build",
            "--release",
            "-p",
            "brama-capi",
            "--message-format=json",
        ])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo runs");
    let messages = String::from_utf8(output.stdout).expect("UTF-8");
    messages
        .split('"')
        .find(|word| word.ends_with("/libbrama.so") || word.ends_with("/libbrama.dylib"))
        .unwrap_or_else(|| panic!("{}", String::from_utf8_lossy(&output.stderr)))
        .to_owned()
}
