//! The shape that most entries have: an operation of a connection's, named or by handle, answered
//! with a code.
//!
//! An entry by name gives how the name is read, so one that takes lengths and one that takes
//! strings differ in nothing else. Rejected: the name as it was read, which would go through memory
//! on its way into the guard.

use super::args;
use super::errors::brama_result_t;
use super::guard;
use super::handles::{brama_connection_t, brama_t};
use crate::manager::Brama;
use crate::manager::connection::Connection;
use crate::values::error::Error;
use crate::values::key::Key;

/// An operation on the connection that a manager knows by this name.
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

/// An operation on the connection of a handle.
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
