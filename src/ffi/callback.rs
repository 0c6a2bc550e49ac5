//! The host's functions: the data they are given, and the yes or no they answer.

use std::ffi::c_void;

use super::types::brama_destroy_fn;

/// User data, and what is to be done with it when it is not needed any more.
pub(super) struct UserData {
    data: *mut c_void,
    destroy: brama_destroy_fn,
}

// SAFETY: the header says on which threads the functions that get it are called.
unsafe impl Send for UserData {}
// SAFETY: the pointer is only handed to the host's functions, and the header says on which
// threads they are called.
unsafe impl Sync for UserData {}

/// What a host's function answers that is declared as a `bool` in C.
///
/// A host that is not written in C may leave any number in the byte, and another one than 0 and 1
/// would be undefined behaviour in a `bool` of Rust. So it is a number here: C hands both back
/// alike. Only what the host answers can be wrong: no argument and no field of a struct is a bool.
#[repr(transparent)]
pub struct HostBool(u8);

impl HostBool {
    pub(super) fn is_true(&self) -> bool {
        self.0 != 0
    }
}

impl UserData {
    pub(super) fn new(data: *mut c_void, destroy: brama_destroy_fn) -> Self {
        UserData { data, destroy }
    }

    pub(super) fn get(&self) -> *mut c_void {
        self.data
    }
}

impl Drop for UserData {
    fn drop(&mut self) {
        if let Some(destroy) = self.destroy {
            // SAFETY: the host's own function on the host's own data, once.
            unsafe { destroy(self.data) };
        }
    }
}
