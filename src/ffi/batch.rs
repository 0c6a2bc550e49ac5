//! Many handles in one call, for hosts to which a call of a foreign function is dear.

use std::ffi::c_char;
use std::mem::size_of;

use super::args::{array, handle, invalid, place};
use super::errors::{BRAMA_OK, brama_result_t};
use super::guard;
use super::handles::brama_connection_t;
use super::report;
use super::types::{BRAMA_OUTCOME_FAILURE, BRAMA_OUTCOME_SUCCESS, brama_outcome_t};
use crate::error::Error;

/// One report of brama_report_many.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct brama_report_item_t {
    /// Which connection; not NULL.
    pub connection: *const brama_connection_t,
    /// Why it failed, UTF-8. NULL: not said. Not looked at for a success.
    pub reason: *const c_char,
    /// BRAMA_OUTCOME_SUCCESS or BRAMA_OUTCOME_FAILURE.
    pub outcome: brama_outcome_t,
    /// Filled in by the call: what brama_connection_success or brama_connection_failure
    /// would have answered.
    pub result: brama_result_t,
}

/// brama_connection_available for count handles: the answers go into an array of as
/// many. Where a handle is NULL the answer is false, and BRAMA_ERR_INVALID_ARGUMENT is
/// returned when all others have been answered; as it is, with nothing answered, if an
/// array is NULL and count is not 0. Any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn brama_available_many(
    connections: *const *const brama_connection_t,
    count: usize,
    answers: *mut bool,
) -> brama_result_t {
    guard::result(|| {
        // SAFETY: the caller's promise.
        let connections = unsafe { array("connections", connections, count) }?;
        if count > 0 {
            place("answers", answers)?;
        }
        let mut missing = None;
        for (number, connection) in connections.iter().enumerate() {
            // SAFETY: as above.
            let handle = unsafe { connection.as_ref() };
            let answer = handle.is_some_and(|handle| handle.connection.available());
            if handle.is_none() {
                missing = missing.or(Some(number));
            }
            // SAFETY: as above.
            unsafe { answers.add(number).write(answer) };
        }
        match missing {
            Some(number) => {
                let value = format!("NULL at {number}");
                Err(invalid("connections", value, "must not be NULL").into())
            }
            None => Ok(()),
        }
    })
}

/// Reports for count connections, in order; each item gets its own result. Every item
/// is tried; the answer is BRAMA_OK, or the first result that is not. item_size is
/// sizeof(brama_report_item_t): the step from one item to the next. If items is NULL
/// and count is not 0, or item_size is too small, nothing is done:
/// BRAMA_ERR_INVALID_ARGUMENT. Any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn brama_report_many(
    items: *mut brama_report_item_t,
    item_size: usize,
    count: usize,
) -> brama_result_t {
    let mut first = BRAMA_OK;
    let done = guard::result(|| {
        if item_size < size_of::<brama_report_item_t>()
            || !item_size.is_multiple_of(size_of::<usize>())
        {
            let allowed = "must be sizeof(brama_report_item_t)";
            return Err(invalid("item_size", item_size, allowed).into());
        }
        if count > 0 {
            place("items", items)?;
        }
        for number in 0..count {
            // SAFETY: the caller's promise. No reference: `result` need not be a number
            // yet.
            let result = unsafe {
                let item = items.byte_add(number * item_size);
                let (connection, reason) = ((*item).connection, (*item).reason);
                let outcome = (*item).outcome;
                let result = guard::result(|| Ok(report(connection, outcome, reason)?));
                (*item).result = result;
                result
            };
            if first == BRAMA_OK {
                first = result;
            }
        }
        Ok(())
    });
    if done == BRAMA_OK { first } else { done }
}

/// # Safety
///
/// See [`super::args`].
unsafe fn report(
    connection: *const brama_connection_t,
    outcome: brama_outcome_t,
    reason: *const c_char,
) -> Result<(), Error> {
    // SAFETY: the caller's promise.
    let connection = &unsafe { handle(connection) }?.connection;
    match outcome {
        BRAMA_OUTCOME_SUCCESS => connection.success(),
        BRAMA_OUTCOME_FAILURE => {
            // SAFETY: as above.
            let report = unsafe { report::reason(reason) };
            connection.failure(report).map(drop)
        }
        other => {
            let allowed = "must be BRAMA_OUTCOME_SUCCESS or BRAMA_OUTCOME_FAILURE";
            Err(invalid("outcome", other, allowed))
        }
    }
}
