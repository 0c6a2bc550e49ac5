//! What comes with a report beyond its outcome.

use std::ffi::c_char;
use std::mem::size_of;
use std::ptr;

use super::args::{self, Extensible, init, pairs, read_or_blank};
use super::types::brama_pair_t;
use crate::error::Error;
use crate::event::Report;

/// What a report says beyond its outcome, for the `_with` functions. It goes into the
/// events; everything is copied by the call.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct brama_report_t {
    /// Bytes of this struct; set by brama_report_init.
    pub size: usize,
    /// Why, UTF-8. NULL: not said. Up to 38 bytes are kept without allocating.
    pub reason: *const c_char,
    /// Strings of the caller's. NULL: none.
    pub metadata: *const brama_pair_t,
    /// How many pairs metadata has.
    pub metadata_count: usize,
}

// SAFETY: numbers and pointers after the size.
unsafe impl Extensible for brama_report_t {
    const NAME: &'static str = "brama_report_t";
    const INIT: &'static str = "brama_report_init";
    const FIRST_SIZE: usize = size_of::<Self>();
    const BLANK: Self = brama_report_t {
        size: size_of::<Self>(),
        reason: ptr::null(),
        metadata: ptr::null(),
        metadata_count: 0,
    };
}

/// Sets every field to "not given". NULL is fine: nothing happens. Any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn brama_report_init(report: *mut brama_report_t) {
    // SAFETY: NULL, or room for the struct.
    unsafe { init(report) }
}

impl brama_report_t {
    /// What a caller means by a report, NULL for an empty one.
    ///
    /// # Safety
    ///
    /// See [`args`].
    pub(super) unsafe fn given<'a>(report: *const Self) -> Result<Report<'a>, Error> {
        // SAFETY: the caller's promise.
        unsafe {
            let given = read_or_blank("report", report)?;
            let report = Report::from(args::text("reason", given.reason)?);
            Ok(match pairs(given.metadata, given.metadata_count)? {
                Some(pairs) => report.metadata(pairs),
                None => report,
            })
        }
    }
}

/// A report that is only a reason, NULL for none.
///
/// # Safety
///
/// See [`args`].
pub(super) unsafe fn reason<'a>(reason: *const c_char) -> Result<Report<'a>, Error> {
    // SAFETY: the caller's promise.
    Ok(unsafe { args::text("reason", reason) }?.into())
}
