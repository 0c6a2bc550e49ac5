//! What comes with a report, and how it is kept.
//!
//! **Bounded.** Events wait in rings and queues whose capacity is a number of events.
//! That bounds memory only if an event is bounded, too. So a reason is cut at 1 KiB, and
//! metadata is limited as a whole: see [`Report`].
//!
//! **Valid.** Events reach C programs, so their text has no NUL: U+FFFD stands for it. Text from C
//! need not be UTF-8: see [`valid_beginning`].
//!
//! A report is never refused for its text; the event says that something was cut or
//! replaced ([`Event::is_truncated`]).
//!
//! [`Event::is_truncated`]: crate::Event::is_truncated

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use crate::values::settings::Metadata;

/// Bytes of a reason, of a key, and of a value that are kept.
pub(crate) const TEXT_BYTES: usize = 1_024;
/// Pairs of metadata that are kept.
const PAIRS: usize = 64;
/// Bytes of metadata that are kept, keys and values together.
const METADATA_BYTES: usize = 8_192;

/// A report's reason: inline if it is short.
#[derive(Clone, Debug)]
pub(crate) enum Text {
    None,
    Short(u8, [u8; Text::SHORT]),
    Long(Arc<str>),
}

impl Text {
    /// Bytes that need no allocation.
    pub(crate) const SHORT: usize = 38;

    /// The text, cut to what an event keeps.
    pub(crate) fn new(text: Option<&str>) -> Self {
        match text {
            None => Text::None,
            Some(text) => match valid(text) {
                Cow::Borrowed(text) if text.len() <= Self::SHORT => {
                    let mut bytes = [0; Self::SHORT];
                    bytes[..text.len()].copy_from_slice(text.as_bytes());
                    Text::Short(text.len() as u8, bytes)
                }
                text => Text::Long(text.into()),
            },
        }
    }

    pub(crate) fn get(&self) -> Option<&str> {
        match self {
            Text::None => None,
            Text::Short(length, bytes) => {
                let bytes = &bytes[..usize::from(*length)];
                Some(std::str::from_utf8(bytes).expect("copied from a str"))
            }
            Text::Long(text) => Some(text),
        }
    }
}

/// The whole characters in the first `most` bytes of a text.
pub(crate) fn beginning(text: &str, most: usize) -> &str {
    let mut end = text.len().min(most);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// What an event keeps of a text: its beginning, with U+FFFD in place of NUL.
fn valid(text: &str) -> Cow<'_, str> {
    let kept = beginning(text, TEXT_BYTES);
    match kept.contains(NUL) {
        false => Cow::Borrowed(kept),
        true => {
            let mut replaced = kept.replace(NUL, REPLACEMENT);
            replaced.truncate(beginning(&replaced, TEXT_BYTES).len());
            Cow::Owned(replaced)
        }
    }
}

const NUL: char = '\0';
const REPLACEMENT: &str = "\u{fffd}";

/// What an event keeps of a text of any bytes, with U+FFFD in place of NUL and of what is not
/// UTF-8; and whether that differs from what was given.
#[cfg(feature = "capi")]
pub(crate) fn valid_beginning(bytes: &[u8]) -> (Cow<'_, str>, bool) {
    // So much more than is kept that no character of the kept part is cut.
    let read = &bytes[..bytes.len().min(TEXT_BYTES + 4)];
    let text = match std::str::from_utf8(read) {
        Ok(text) => text,
        // What the limit cut off is no fault of the text.
        Err(error) if error.error_len().is_none() && read.len() < bytes.len() => {
            let text = std::str::from_utf8(&read[..error.valid_up_to()]);
            text.expect("valid up to there")
        }
        Err(_) => {
            let text = String::from_utf8_lossy(read);
            return (Cow::Owned(valid(&text).into_owned()), true);
        }
    };
    let kept = valid(text);
    let is_altered = bytes.len() > TEXT_BYTES || matches!(kept, Cow::Owned(_));
    (kept, is_altered)
}

/// What comes with a report: a reason, metadata.
///
/// Wherever a report is taken, a plain `&str` is a reason, and `None` is nothing.
/// A reason of up to 38 bytes is kept without allocating.
///
/// A report is never refused for its text. What is too long is cut at a character's boundary, and
/// the event [says so](crate::Event::is_truncated): a reason, and each value of the metadata, at 1
/// KiB. Of the metadata at most 64 pairs and 8 KiB are kept, keys and values together. Pairs are
/// taken in the order of their keys. One that does not fit any more, or has a key of more than 1
/// KiB, is left out. A NUL becomes U+FFFD.
///
/// ```
/// # use brama::{Brama, Report};
/// # fn main() -> Result<(), brama::Error> {
/// # let brama = Brama::builder().build()?;
/// # let db = brama.register("db", None)?;
/// db.failure("timeout")?;
/// db.failure(None)?;
/// db.failure(Report::new().reason("timeout").metadata([("host", "db-3")]))?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct Report<'r> {
    pub(crate) reason: Option<&'r str>,
    pub(crate) metadata: Option<Arc<Metadata>>,
    /// The metadata, or the reason before it is cut, is not what the reporter gave.
    pub(crate) is_altered: bool,
    /// How long the call has lasted, if its reporter has said so.
    pub(crate) duration: Option<Duration>,
}

impl<'r> Report<'r> {
    pub(crate) const NONE: Report<'static> = Report {
        reason: None,
        metadata: None,
        is_altered: false,
        duration: None,
    };

    /// A report with nothing in it.
    ///
    /// ```
    /// let nothing = brama::Report::new();
    /// ```
    pub fn new() -> Self {
        Self::default()
    }

    /// The reason, in words.
    ///
    /// ```
    /// let report = brama::Report::new().reason("timeout");
    /// ```
    pub fn reason(mut self, reason: &'r str) -> Self {
        self.reason = Some(reason);
        self
    }

    /// User strings that the events of this report carry. [`Report`] says how many.
    ///
    /// ```
    /// let report = brama::Report::new().metadata([("host", "db-3"), ("query", "7")]);
    /// ```
    pub fn metadata<K: Into<String>, V: Into<String>>(
        mut self,
        pairs: impl IntoIterator<Item = (K, V)>,
    ) -> Self {
        let pairs = pairs.into_iter();
        let pairs = pairs.map(|(key, value)| (key.into(), value.into()));
        let (kept, is_altered) = within_bounds(pairs.collect());
        self.metadata = Some(Arc::new(kept));
        self.is_altered |= is_altered;
        self
    }

    /// This report, of a call that has lasted so long.
    pub(crate) fn lasting(self, duration: Duration) -> Self {
        Report {
            duration: Some(duration),
            ..self
        }
    }

    /// Whether the events of this report carry less or something else than was given.
    pub(crate) fn is_altered(&self) -> bool {
        self.is_altered
            || self
                .reason
                .is_some_and(|reason| reason.len() > TEXT_BYTES || reason.contains(NUL))
    }
}

/// As much of the metadata as is kept, and whether that is less than all. What is kept
/// has no capacity to spare: a user's string may have a megabyte of it.
fn within_bounds(given: Metadata) -> (Metadata, bool) {
    let mut kept = Metadata::new();
    let (mut left, mut is_altered) = (METADATA_BYTES, false);
    for (mut key, mut value) in given {
        for text in [&mut key, &mut value] {
            if text.contains(NUL) {
                *text = text.replace(NUL, REPLACEMENT);
                is_altered = true;
            }
        }
        let cut = beginning(&value, TEXT_BYTES).len();
        let bytes = key.len() + cut;
        if key.len() > TEXT_BYTES || bytes > left || kept.len() == PAIRS {
            is_altered = true;
            continue;
        }
        is_altered |= cut < value.len();
        value.truncate(cut);
        value.shrink_to_fit();
        key.shrink_to_fit();
        left -= bytes;
        kept.insert(key, value);
    }
    (kept, is_altered)
}

impl<'r> From<&'r str> for Report<'r> {
    fn from(reason: &'r str) -> Self {
        Report::new().reason(reason)
    }
}

impl<'r> From<Option<&'r str>> for Report<'r> {
    fn from(reason: Option<&'r str>) -> Self {
        Report {
            reason,
            ..Report::new()
        }
    }
}

impl<'r> From<&'r String> for Report<'r> {
    fn from(reason: &'r String) -> Self {
        Report::new().reason(reason)
    }
}
