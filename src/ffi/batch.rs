//! Many handles in one call, for hosts where calling a C function is expensive.

use std::ffi::c_char;
use std::mem::size_of;
use std::ptr;

use super::args::{
    Extensible, array, handle, init, invalid, place, read_within, validate_extent, validate_step,
};
use super::errors::{BRAMA_OK, brama_result_t};
use super::guard;
use super::handles::brama_connection_t;
use super::report;
use super::strings::TERMINATED;
use super::types::{BRAMA_OUTCOME_FAILURE, BRAMA_OUTCOME_SUCCESS, brama_outcome_t};
use crate::values::error::Error;

/// One report of brama_report_many.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct brama_report_item_t {
    /// Bytes of this struct; set by brama_report_item_init.
    pub size: usize,
    /// Which connection; not NULL.
    pub connection: *const brama_connection_t,
    /// Why it failed, UTF-8. NULL: not said. Ignored for a success.
    pub reason: *const c_char,
    /// Bytes of the reason; BRAMA_TERMINATED (default): it ends with a NUL. 0: it is empty.
    pub reason_length: usize,
    /// BRAMA_OUTCOME_SUCCESS or BRAMA_OUTCOME_FAILURE.
    pub outcome: brama_outcome_t,
    /// Filled in by the call: what brama_connection_success or brama_connection_failure
    /// would have returned.
    pub result: brama_result_t,
}

// SAFETY: numbers and pointers after the size.
unsafe impl Extensible for brama_report_item_t {
    const NAME: &'static str = "brama_report_item_t";
    const INIT: &'static str = "brama_report_item_init";
    const FIRST_SIZE: usize = size_of::<Self>();
    const BLANK: Self = brama_report_item_t {
        size: size_of::<Self>(),
        connection: ptr::null(),
        reason: ptr::null(),
        reason_length: TERMINATED,
        outcome: 0,
        result: BRAMA_OK,
    };
}

/// Sets every field to "not given".
#[unsafe(no_mangle)]
pub unsafe extern "C" fn brama_report_item_init(item: *mut brama_report_item_t) {
    // SAFETY: NULL, or room for the struct.
    unsafe { init(item) }
}

/// brama_connection_available for count handles: writes count answers into the array answers. A
/// NULL handle yields false, and the call returns BRAMA_ERR_INVALID_ARGUMENT after it has answered
/// for the others. If an array is NULL and count is not 0, nothing is written and
/// BRAMA_ERR_INVALID_ARGUMENT is returned.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn brama_available_many(
    connections: *const *const brama_connection_t,
    count: usize,
    answers: *mut bool,
) -> brama_result_t {
    guard::result(|| {
        // SAFETY: `connections` is NULL or `count` pointers: the rule for pointers in `args`.
        let connections = unsafe { array("connections", connections, count) }?;
        if count > 0 {
            place("answers", answers)?;
        }
        let mut missing = None;
        for (number, connection) in connections.iter().enumerate() {
            // SAFETY: `connection` is NULL or a handle, as each of the array's: the rule for
            // pointers in `args`.
            let handle = unsafe { connection.as_ref() };
            let answer = handle.is_some_and(|handle| handle.connection.available());
            if handle.is_none() {
                missing = missing.or(Some(number));
            }
            // SAFETY: `answers` is not NULL, so it has room for `count` answers, by the rule
            // for pointers in `args`; `number` is below `count`.
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

/// Reports for count connections, in order. Every item is tried and gets its own result. Returns
/// BRAMA_OK, or the first result that is not. item_size is sizeof(brama_report_item_t): the step
/// from one item to the next. Initialise each item with brama_report_item_init; one whose size is
/// wrong gets BRAMA_ERR_INVALID_ARGUMENT. If items is NULL and count is not 0, or item_size is too
/// small, nothing is reported and BRAMA_ERR_INVALID_ARGUMENT is returned.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn brama_report_many(
    items: *mut brama_report_item_t,
    item_size: usize,
    count: usize,
) -> brama_result_t {
    let mut first = BRAMA_OK;
    let done = guard::result(|| {
        validate_step::<brama_report_item_t>("item_size", item_size)?;
        validate_extent("items", items, item_size, count)?;
        for number in 0..count {
            // SAFETY: `items` is not NULL, so it is `count` items, `item_size` bytes apart, by
            // the rule for pointers in `args`; `number` is below `count`.
            let result = unsafe {
                let item = items.byte_add(number * item_size);
                let result = guard::result(|| Ok(report(item, item_size)?));
                (&raw mut (*item).result).write(result);
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

/// Reports one item.
///
/// # Safety
///
/// The rule for pointers in [`super::args`].
unsafe fn report(item: *const brama_report_item_t, item_size: usize) -> Result<(), Error> {
    // SAFETY: `item` is an item as long as its size says, unless that is more than its place in
    // the array, which is `item_size` long: this function's # Safety.
    let item = unsafe { read_within("items", item, item_size) }?;
    // SAFETY: the item's handle is NULL or a handle: this function's # Safety.
    let connection = &unsafe { handle(item.connection) }?.connection;
    match item.outcome {
        BRAMA_OUTCOME_SUCCESS => connection.success(),
        BRAMA_OUTCOME_FAILURE => {
            // SAFETY: the item's reason is NULL or text of its length: this function's # Safety.
            let report = unsafe { report::reason(item.reason, item.reason_length) };
            connection.failure(&report).map(drop)
        }
        other => {
            let allowed = "must be BRAMA_OUTCOME_SUCCESS or BRAMA_OUTCOME_FAILURE";
            Err(invalid("outcome", other, allowed))
        }
    }
}
