//! Functions of the host's, with the data they are given.

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
