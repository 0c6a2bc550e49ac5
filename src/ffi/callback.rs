//! The host's functions: their user data, and the bool that some of them return.

use std::ffi::c_void;

use super::types::brama_destroy_fn;

/// User data, and the host's function that is called with it when the library needs it no more.
pub(super) struct UserData {
    data: *mut c_void,
    destroy: brama_destroy_fn,
}

// SAFETY: the library only hands the pointer to the host's functions. The host allows that on other
// threads: the header says so (CALLBACKS, and brama_subscribe of `destroy`).
unsafe impl Send for UserData {}
// SAFETY: the library only copies the pointer, and never follows it. For the calls with it, see
// `Send` above.
unsafe impl Sync for UserData {}

/// The return value of a host's function that is declared as `bool` in C.
///
/// A host that is not written in C may leave any number in the byte, and a number other than 0 and
/// 1 would be undefined behaviour in a `bool` of Rust. So it is a number here, which C returns in
/// the same way. Nothing else that comes from the host is a bool: no argument and no field.
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
            // SAFETY: the host gave this function with this data (`UserData::new`), and the drop
            // calls it once.
            unsafe { destroy(self.data) };
        }
    }
}
