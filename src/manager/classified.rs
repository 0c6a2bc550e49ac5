//! The outcome of a guarded call and its reason, from a classifier or from the result itself.
//!
//! A failure's reason goes to the subscribers, to the status of the connection, and into the
//! messages of rejections. A classifier gives one if it likes. Plain guarded calls take the text of
//! the error, which has to be made first. So they make none for a failure that only counts in a row
//! and that no subscriber wants.
//!
//! The error is of the caller's type, of which nothing is asked. So its text is known where its type
//! is, by identity, as for [rejections](rejection): texts, boxed errors, and the standard library's
//! [`io::Error`] and [`fmt::Error`]. Rejected: a bound on the error's type, which would exclude
//! types that are in use, `()` among them.

use std::borrow::Cow;
use std::error::Error;
use std::fmt::{self, Display, Write as _};
use std::io;

use crate::manager::permit::Outcome;
use crate::manager::rejection;

/// An [`Outcome`], and the reason of a failure.
///
/// It has no wait: a guarded call cannot report that the dependency asks to be left alone. Use
/// [`Connection::acquire`](crate::Connection::acquire) and
/// [`Permit::failure_for`](crate::Permit::failure_for) for that.
///
/// ```
/// # use brama::{Brama, Outcome};
/// # fn main() -> Result<(), brama::Error> {
/// # let brama = Brama::builder().build()?;
/// # let search = brama.register("search", None)?;
/// let answer = search.call_classified(
///     |status: &Result<u16, std::io::Error>| match status {
///         Ok(429 | 500..) => Outcome::Failure.because("overloaded"),
///         Ok(_) => Outcome::Success.into(),
///         Err(error) => Outcome::Failure.because(error.to_string()),
///     },
///     || Ok(503),
/// );
/// assert_eq!(answer.ok(), Some(503));
/// assert_eq!(search.status()?.last_failure_reason.as_deref(), Some("overloaded"));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Classified {
    pub(crate) outcome: Outcome,
    pub(crate) reason: Option<Reason>,
}

impl Outcome {
    /// With the reason of a failure. Other outcomes have none, and lose it. Bounded as
    /// [`Report::reason`](crate::Report::reason) is.
    ///
    /// ```
    /// let overloaded = brama::Outcome::Failure.because("HTTP 503");
    /// assert_ne!(overloaded, brama::Outcome::Failure.into());
    /// ```
    pub fn because(self, reason: impl Into<Cow<'static, str>>) -> Classified {
        Classified {
            outcome: self,
            reason: Some(reason.into()),
        }
    }
}

impl From<Outcome> for Classified {
    #[inline(always)]
    fn from(outcome: Outcome) -> Self {
        Classified {
            outcome,
            reason: None,
        }
    }
}

pub(crate) type Reason = Cow<'static, str>;

/// Decides about the result of a guarded call.
pub(crate) trait Classify<T, E>: Sized {
    /// The outcome, and a failure's reason if it costs nothing to know it.
    fn classify(self, result: &Result<T, E>) -> (Outcome, Option<Reason>);

    /// The reason of a failure that has none yet.
    fn describe(_: &Result<T, E>) -> Option<Reason> {
        None
    }
}

/// Classifies the results of plain guarded calls.
pub(crate) struct ByResult;

impl<T, E> Classify<T, E> for ByResult {
    #[inline(always)]
    fn classify(self, result: &Result<T, E>) -> (Outcome, Option<Reason>) {
        (outcome_of(result), None)
    }

    fn describe(result: &Result<T, E>) -> Option<Reason> {
        text_of(result.as_ref().err()?).map(Cow::Owned)
    }
}

/// A classifier that answers an outcome.
pub(crate) struct By<C>(pub(crate) C);

impl<T, E, C: FnOnce(&Result<T, E>) -> Outcome> Classify<T, E> for By<C> {
    #[inline(always)]
    fn classify(self, result: &Result<T, E>) -> (Outcome, Option<Reason>) {
        (self.0(result), None)
    }
}

/// A classifier that may give a reason.
pub(crate) struct WithReason<C>(pub(crate) C);

impl<T, E, C: FnOnce(&Result<T, E>) -> Classified> Classify<T, E> for WithReason<C> {
    #[inline(always)]
    fn classify(self, result: &Result<T, E>) -> (Outcome, Option<Reason>) {
        let Classified { outcome, reason } = self.0(result);
        (outcome, reason)
    }
}

/// The usual meaning of a result. A rejection by another circuit says nothing about this one.
#[inline]
fn outcome_of<T, E>(result: &Result<T, E>) -> Outcome {
    match result {
        Ok(_) => Outcome::Success,
        Err(error) if rejection::is_rejection(error) => Outcome::Ignored,
        Err(_) => Outcome::Failure,
    }
}

/// The text of an error of a known type.
fn text_of<E>(error: &E) -> Option<String> {
    let id = rejection::id_of::<E>();
    let mut found = None;
    macro_rules! known {
        ($($known:ty),+ $(,)?) => {
            $(found = found.or_else(|| rejection::ask_as::<E, $known, _>(id, error, text));)+
        };
    }
    known![
        String,
        &'static str,
        Box<str>,
        Cow<'static, str>,
        io::Error,
        fmt::Error,
        Box<dyn Error>,
        Box<dyn Error + Send>,
        Box<dyn Error + Send + Sync>,
    ];
    found
}

/// As much of an error's text as it manages to write.
fn text(error: &impl Display) -> String {
    let mut text = String::new();
    // An error here is one of the error's own `Display`.
    let _ = write!(text, "{error}");
    text
}
