//! What comes with a report beyond its outcome.

use std::ffi::c_char;
use std::mem::size_of;
use std::ptr;

use super::args::{self, Extensible, TERMINATED, init, read_or_blank};
use super::types::brama_pair_t;
use crate::error::Error;
use crate::event::{Report, TEXT_BYTES, valid_beginning};

/// What a report says beyond its outcome, for the `_with` functions. It goes into the
/// events; everything is copied by the call.
///
/// Text never costs a report. What is too long is cut at a character's boundary, and the
/// event has BRAMA_EVENT_TRUNCATED: a reason, and each value of the metadata, at 1 KiB. Of
/// the metadata at most 64 pairs and 8 KiB are kept, keys and values together: pairs are
/// taken in the order of their keys, and one that does not fit any more, or has a key of
/// more than 1 KiB, is left out. What is no UTF-8 becomes U+FFFD. A pair without key or
/// value is left out, and so is all metadata if the array is NULL or larger than memory.
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
    /// Bytes of the reason, which may contain anything; BRAMA_TERMINATED (default): it ends
    /// with a NUL.
    pub reason_length: usize,
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
        reason_length: TERMINATED,
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
            let report = reason(given.reason, given.reason_length);
            let report = with_metadata(report, given.metadata, given.metadata_count);
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

/// A report that is only a reason of this length, NULL for none. Whatever its bytes are, it
/// counts.
///
/// # Safety
///
/// See [`args`].
pub(super) unsafe fn reason<'a>(reason: *const c_char, length: usize) -> Report<'a> {
    // SAFETY: the caller's promise.
    let Some(bytes) = (unsafe { args::bytes(reason, length) }) else {
        return Report::NONE;
    };
    let (reason, is_altered) = valid_beginning(bytes);
    Report {
        reason: Some(reason),
        is_altered,
        ..Report::NONE
    }
}

/// A report with metadata, NULL and 0 for none.
///
/// # Safety
///
/// See [`args`].
unsafe fn with_metadata(
    report: Report<'_>,
    first: *const brama_pair_t,
    count: usize,
) -> Report<'_> {
    if first.is_null() && count == 0 {
        return report;
    }
    // SAFETY: the caller's promise.
    let Ok(pairs) = (unsafe { args::array("metadata", first, count) }) else {
        return Report {
            is_altered: true,
            ..report
        };
    };
    let mut is_altered = report.is_altered;
    let mut text = |text: *const c_char| {
        // SAFETY: the caller's promise.
        let given = unsafe { args::bytes(text, TERMINATED) };
        let valid = given.map(|bytes| {
            let (text, is_other) = valid_beginning(bytes);
            // A key that is too long is left out as it is, and not merged with another one.
            (text, is_other, bytes.len())
        });
        is_altered |= valid.as_ref().is_none_or(|(_, is_other, _)| *is_other);
        valid
    };
    let pairs: Vec<_> = pairs
        .iter()
        .filter_map(|pair| {
            let (key, value) = (text(pair.key), text(pair.value));
            let (key, _, length) = key?;
            (length <= TEXT_BYTES).then_some((key, value?.0))
        })
        .collect();
    let report = report.metadata(pairs);
    Report {
        is_altered: report.is_altered | is_altered,
        ..report
    }
}
