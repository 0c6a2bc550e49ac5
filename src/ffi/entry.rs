//! The shape of most entries: an operation on one connection, by name or by handle, that returns a
//! code.
//!
//! An entry by name passes a function that reads the name. So an entry that takes lengths and one
//! that takes strings differ in that function only. Rejected: passing the name itself, which would
//! go through memory on its way into the guard.

use super::args;
use super::errors::brama_result_t;
use super::guard;
use super::handles::{brama_connection_t, brama_t};
use crate::manager::Brama;
use crate::manager::connection::Connection;
use crate::values::error::Error;
use crate::values::key::Key;

/// Runs an operation on a manager and the name that `key` reads, under the guard.
///
/// # Safety
///
/// `manager` is NULL or a manager: the rule for pointers in [`args`].
#[inline]
pub(super) unsafe fn by_name<'k>(
    manager: *mut brama_t,
    key: impl FnOnce() -> Result<Key<'k>, Error>,
    operation: impl FnOnce(&Brama, Key<'k>) -> Result<(), Error>,
) -> brama_result_t {
    guard::result(|| {
        // SAFETY: `manager` is NULL or a manager: this function's # Safety.
        Ok(operation(unsafe { args::manager(manager) }, key()?)?)
    })
}

/// Runs an operation on the connection of a handle, under the guard.
///
/// # Safety
///
/// `connection` is NULL or a handle: the rule for pointers in [`args`].
#[inline]
pub(super) unsafe fn by_handle(
    connection: *const brama_connection_t,
    operation: impl FnOnce(&Connection) -> Result<(), Error>,
) -> brama_result_t {
    guard::result(|| {
        // SAFETY: `connection` is NULL or a handle: this function's # Safety.
        let handle = unsafe { args::handle(connection) }?;
        Ok(operation(&handle.connection)?)
    })
}
