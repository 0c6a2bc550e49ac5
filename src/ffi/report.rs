//! The part of a report beside its outcome: reason, metadata, wait, duration.

use std::borrow::Cow;
use std::ffi::c_char;
use std::mem::size_of;
use std::ptr;
use std::sync::Arc;
use std::time::Duration;

use super::args::{self, Extensible, init, put, read_or_blank};
use super::handles::brama_connection_t;
use super::sentinels::{self, Field};
use super::strings::{self, TERMINATED};
use super::types::brama_pair_t;
use crate::circuit::record::Begun;
use crate::values::error::Error;
use crate::values::event::{Report, TEXT_BYTES, valid_beginning};
use crate::values::settings::Metadata;

/// The part of a report beside its outcome: a reason and metadata, which go into the events.
///
/// Text never costs a report. The library keeps the following bounds; where it cuts or leaves
/// something out, the event has BRAMA_EVENT_TRUNCATED.
///
/// A reason, and each value of the metadata, is cut at 1 KiB, at a character's boundary. Bytes that
/// are no UTF-8 become U+FFFD. At most 64 pairs and 8 KiB of metadata are kept, keys and values
/// together. Pairs are taken in the order of their keys. A pair is left out if it does not fit any
/// more, if its key has more than 1 KiB, or if its key or value is NULL. All metadata is left out
/// if the array is NULL or larger than memory, and so is a reason longer than PTRDIFF_MAX.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct brama_report_t {
    /// Bytes of this struct; set by brama_report_init.
    pub size: usize,
    /// The reason, UTF-8. NULL: none. Up to 38 bytes are kept without allocating.
    pub reason: *const c_char,
    /// User-supplied strings. NULL: none.
    pub metadata: *const brama_pair_t,
    /// How many pairs metadata has.
    pub metadata_count: usize,
    /// If not NULL, and a failure was counted, *failure_count becomes the number of failures that
    /// count now: in a row, or inside the window if there is one.
    pub failure_count: *mut u32,
    /// Bytes of the reason; BRAMA_TERMINATED (default): it ends with a NUL. 0: the reason is empty.
    /// A designated initialiser that leaves this field out makes it 0: begin with
    /// BRAMA_REPORT_INIT instead.
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

/// A report from C with valid texts. A text that had to be altered is owned, the others are
/// borrowed.
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
    /// The report that a caller gives; an empty one for NULL.
    ///
    /// # Safety
    ///
    /// The rule for pointers in [`args`].
    pub(super) unsafe fn given<'a>(report: *const Self) -> Result<Valid<'a>, Error> {
        // SAFETY: `report` is NULL or a report: this function's # Safety.
        Ok(unsafe { Self::given_with_place(report) }?.0)
    }

    /// [`given`](Self::given) for a failure, with the place for its count.
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

/// A caller's place for the count of failures, or NULL.
pub(super) struct CountPlace(*mut u32);

impl CountPlace {
    /// Writes the count to the caller's place; does nothing for NULL.
    ///
    /// # Safety
    ///
    /// NULL, or a place for a number that is still there.
    pub(super) unsafe fn put(self, failures: u32) {
        // SAFETY: NULL, or a place for a number, which is still there: this function's # Safety.
        unsafe { put(self.0, failures) };
    }
}

/// Begins to report a failure whose reason ends with a NUL and is ASCII; does nothing for others,
/// which have to be validated. Not inlined, so that a failure without a reason does not pay for
/// this.
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

/// A report with only a reason of this length; an empty one for NULL. Never fails: bytes that are
/// no UTF-8 are replaced.
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

/// The time for which a dependency has asked to be left alone. A date in the past may give a
/// negative number.
pub(super) fn wait(wait_ms: u64) -> Result<Duration, Error> {
    length("wait_ms", wait_ms)
}

/// How long a call lasted.
pub(super) fn duration(duration_ms: u64) -> Result<Duration, Error> {
    length("duration_ms", duration_ms)
}

fn length(name: &'static str, ms: u64) -> Result<Duration, Error> {
    match sentinels::length(ms.found()) {
        Some(ms) => Ok(Duration::from_millis(ms)),
        None => Err(args::invalid(
            name,
            ms.name(),
            "must be a number of ms up to INT64_MAX",
        )),
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

    /// A valid copy of a pair; `None` if it has to be left out. A key that is too long is left out
    /// rather than cut: it might then equal another key.
    fn valid<'p>(&mut self, pair: &brama_pair_t) -> Option<(Cow<'p, str>, Cow<'p, str>)> {
        let mut text = |text: *const c_char, longest: usize| {
            // SAFETY: not NULL, so a string: the rule for pointers in `args`, which
            // `put_metadata`'s # Safety asks for.
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
