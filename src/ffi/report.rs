//! What comes with a report beyond its outcome.

use std::borrow::Cow;
use std::ffi::c_char;
use std::mem::size_of;
use std::ptr;
use std::sync::Arc;
use std::time::Duration;

use super::args::{self, Extensible, init, put, read_or_blank};
use super::handles::brama_connection_t;
use super::sentinels::{Field, Found};
use super::strings::{self, TERMINATED};
use super::types::brama_pair_t;
use crate::circuit::record::Begun;
use crate::values::error::Error;
use crate::values::event::{Report, TEXT_BYTES, valid_beginning};
use crate::values::settings::Metadata;

/// What a report says beyond its outcome, for the `_with` functions. It goes into the
/// events; everything is copied by the call.
///
/// Text never costs a report. What is too long is cut at a character's boundary, and the
/// event has BRAMA_EVENT_TRUNCATED: a reason, and each value of the metadata, at 1 KiB. Of
/// the metadata at most 64 pairs and 8 KiB are kept, keys and values together: pairs are
/// taken in the order of their keys, and one that does not fit any more, or has a key of
/// more than 1 KiB, is left out. What is no UTF-8 becomes U+FFFD. A pair without key or
/// value is left out, and so is all metadata if the array is NULL or larger than memory. So is a
/// reason whose length is more than PTRDIFF_MAX.
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
    /// with a NUL. 0: the reason is empty. A designated initialiser that leaves this field out
    /// makes it 0: begin with BRAMA_REPORT_INIT instead.
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

/// Sets every field to "not given".
#[unsafe(no_mangle)]
pub unsafe extern "C" fn brama_report_init(report: *mut brama_report_t) {
    // SAFETY: NULL, or room for the struct.
    unsafe { init(report) }
}

/// A report of C's, whose texts were made valid: what was replaced is its own.
#[derive(Default)]
pub(super) struct Valid<'a> {
    reason: Option<Cow<'a, str>>,
    metadata: Option<Arc<Metadata>>,
    is_altered: bool,
}

impl<'r> From<&'r Valid<'_>> for Report<'r> {
    fn from(valid: &'r Valid<'_>) -> Self {
        Report {
            reason: valid.reason.as_deref(),
            metadata: valid.metadata.clone(),
            is_altered: valid.is_altered,
            duration: None,
        }
    }
}

impl brama_report_t {
    /// What a caller means by a report, NULL for an empty one.
    ///
    /// # Safety
    ///
    /// The rule for pointers in [`args`].
    pub(super) unsafe fn given<'a>(report: *const Self) -> Result<Valid<'a>, Error> {
        // SAFETY: `report` is NULL or a report: this function's # Safety.
        Ok(unsafe { Self::given_with_place(report) }?.0)
    }

    /// [`given`](Self::given) for a failure, with where its count goes.
    ///
    /// # Safety
    ///
    /// The rule for pointers in [`args`].
    pub(super) unsafe fn given_with_place<'a>(
        report: *const Self,
    ) -> Result<(Valid<'a>, CountPlace), Error> {
        // SAFETY: `report` is NULL or a report: this function's # Safety.
        unsafe {
            let given = read_or_blank("report", report)?;
            let mut report = reason(given.reason, given.reason_length);
            report.put_metadata(given.metadata, given.metadata_count);
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
        // SAFETY: NULL, or a place for a number, which is still there: this function's # Safety.
        unsafe { put(self.0, failures) };
    }
}

/// Begins to report a failure whose reason is ASCII; of another one there is more to find out. Apart,
/// so that a failure without a reason makes no report.
///
/// # Safety
///
/// The reason is text of this length.
#[inline(never)]
pub(super) unsafe fn begin(
    handle: &brama_connection_t,
    place: Option<u64>,
    reason: *const c_char,
    length: usize,
) -> Begun {
    // SAFETY: text of this length: this function's # Safety.
    match unsafe { strings::bytes(reason, length) } {
        Some((bytes, true)) => {
            // SAFETY: ASCII is UTF-8.
            let reason = unsafe { str::from_utf8_unchecked(bytes) };
            handle.connection.begin_failure(place, Some(reason))
        }
        _ => Begun::Not,
    }
}

/// A report that is only a reason of this length, NULL for none. Whatever its bytes are, it
/// counts.
///
/// # Safety
///
/// The rule for pointers in [`args`].
pub(super) unsafe fn reason<'a>(reason: *const c_char, length: usize) -> Valid<'a> {
    if reason.is_null() {
        return Valid::default();
    }
    // SAFETY: not NULL, so text of this length: this function's # Safety.
    let bytes = unsafe { strings::bytes(reason, length) };
    let (reason, is_altered) = bytes.map(|(bytes, _)| valid_beginning(bytes)).unzip();
    Valid {
        reason,
        is_altered: is_altered.unwrap_or(true),
        metadata: None,
    }
}

/// How long a dependency wants to be left alone. A program that asks for less than nothing, as
/// one that was given a date in the past may, has a number of the upper half.
pub(super) fn wait(wait_ms: u64) -> Result<Duration, Error> {
    length("wait_ms", wait_ms)
}

/// How long a call has lasted. A program that takes a later time from an earlier one has a number
/// of the upper half.
pub(super) fn duration(duration_ms: u64) -> Result<Duration, Error> {
    length("duration_ms", duration_ms)
}

fn length(name: &'static str, ms: u64) -> Result<Duration, Error> {
    const MOST: u64 = i64::MAX as u64;
    match ms.found() {
        Found::Number(ms @ ..=MOST) => Ok(Duration::from_millis(ms)),
        _ => {
            let allowed = "must be a number of ms, at most INT64_MAX";
            Err(args::invalid(name, ms.name(), allowed))
        }
    }
}

impl Valid<'_> {
    /// Adds metadata, NULL and 0 for none.
    ///
    /// # Safety
    ///
    /// The rule for pointers in [`args`].
    unsafe fn put_metadata(&mut self, first: *const brama_pair_t, count: usize) {
        if first.is_null() && count == 0 {
            return;
        }
        // SAFETY: `first` is NULL or `count` pairs: this function's # Safety.
        let Ok(pairs) = (unsafe { args::array("metadata", first, count) }) else {
            self.is_altered = true;
            return;
        };
        let pairs: Vec<_> = pairs.iter().filter_map(|pair| self.valid(pair)).collect();
        let report = Report::new().metadata(pairs);
        self.is_altered |= report.is_altered;
        self.metadata = report.metadata;
    }

    /// A pair that can be kept. A key that is too long is left out whole, not merged with
    /// another one of the same beginning.
    fn valid<'p>(&mut self, pair: &brama_pair_t) -> Option<(Cow<'p, str>, Cow<'p, str>)> {
        let mut text = |text: *const c_char, longest: usize| {
            // SAFETY: not NULL, so a string, as both texts of a pair: `put_metadata`'s # Safety.
            let given = (!text.is_null()).then(|| unsafe { strings::bytes(text, TERMINATED) });
            let bytes = given.flatten().map(|(bytes, _)| bytes);
            let fitting = bytes.filter(|bytes| bytes.len() <= longest);
            let (valid, is_altered) = fitting.map(valid_beginning).unzip();
            self.is_altered |= is_altered.unwrap_or(true);
            valid
        };
        let (key, value) = (text(pair.key, TEXT_BYTES), text(pair.value, usize::MAX));
        Some((key?, value?))
    }
}
