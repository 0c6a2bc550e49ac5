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
///
/// Text never costs a report. What is too long is cut at a character's boundary, and the
/// event has BRAMA_EVENT_TRUNCATED: a reason, and each value of the metadata, at 1 KiB. Of
/// the metadata at most 64 pairs and 8 KiB are kept, keys and values together: pairs are
/// taken in the order of their keys, and one that does not fit any more, or has a key of
/// more than 1 KiB, is left out.
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
    /// If not NULL, and a failure was counted, gets how many failures count now: in a
    /// row, or inside the window if there is one.
    pub failure_count: *mut u32,
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
        failure_count: ptr::null_mut(),
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
        Ok(unsafe { Self::given_with_place(report) }?.0)
    }

    /// [`given`](Self::given) for a failure, with where its count goes.
    ///
    /// # Safety
    ///
    /// See [`args`].
    pub(super) unsafe fn given_with_place<'a>(
        report: *const Self,
    ) -> Result<(Report<'a>, CountPlace), Error> {
        // SAFETY: the caller's promise.
        unsafe {
            let given = read_or_blank("report", report)?;
            let report = Report::from(args::text("reason", given.reason)?);
            let report = match pairs(given.metadata, given.metadata_count)? {
                Some(pairs) => report.metadata(pairs),
                None => report,
            };
            Ok((report, CountPlace(given.failure_count)))
        }
    }
}

/// Where a caller wants the count of failures, or nowhere.
pub(super) struct CountPlace(*mut u32);

impl CountPlace {
    /// # Safety
    ///
    /// The caller's place is still there.
    pub(super) unsafe fn put(self, failures: u32) {
        if !self.0.is_null() {
            // SAFETY: the caller's promise.
            unsafe { self.0.write(failures) };
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
