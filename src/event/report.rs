//! What comes with a report, and how it is kept.

use std::sync::Arc;

use crate::config::Metadata;

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

    pub(crate) fn new(text: Option<&str>) -> Self {
        match text {
            None => Text::None,
            Some(text) if text.len() <= Self::SHORT => {
                let mut bytes = [0; Self::SHORT];
                bytes[..text.len()].copy_from_slice(text.as_bytes());
                Text::Short(text.len() as u8, bytes)
            }
            Some(text) => Text::Long(text.into()),
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

/// What comes with a report: a reason, metadata.
///
/// Wherever a report is taken, a plain `&str` is a reason, and `None` is nothing.
/// A reason of up to 38 bytes is kept without allocating.
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
}

impl<'r> Report<'r> {
    pub(crate) const NONE: Report<'static> = Report {
        reason: None,
        metadata: None,
    };

    /// Nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Why, in words.
    pub fn reason(mut self, reason: &'r str) -> Self {
        self.reason = Some(reason);
        self
    }

    /// User strings that the events of this report carry.
    pub fn metadata<K: Into<String>, V: Into<String>>(
        mut self,
        pairs: impl IntoIterator<Item = (K, V)>,
    ) -> Self {
        let pairs = pairs.into_iter();
        let pairs = pairs.map(|(key, value)| (key.into(), value.into()));
        self.metadata = Some(Arc::new(pairs.collect()));
        self
    }
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
            metadata: None,
        }
    }
}

impl<'r> From<&'r String> for Report<'r> {
    fn from(reason: &'r String) -> Self {
        Report::new().reason(reason)
    }
}
