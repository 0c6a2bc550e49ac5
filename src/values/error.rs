//! What can go wrong, said so that a person can act on it.
//!
//! Every error that a caller caused names the argument or field, the value that
//! was given, and what is allowed. Only errors that need text allocate: they box it. The rejected
//! call of an open circuit returns an error on a hot path, so a rejection is a plain value. It
//! copies the beginning of the connection's name, which is what the enum is wide for; a call that is
//! admitted writes none of that.
//!
//! The box is a [`Details`], which is freed out of line and by value. With a plain
//! `Box` every result that might hold an error would have its address taken, to
//! drop it, and so would live in memory on paths where there is no error at all.

use std::fmt;
use std::mem::ManuallyDrop;
use std::ops::Deref;
use std::time::Duration;

use crate::values::cause::Cause;
use crate::values::evidence::Evidence;
use crate::values::key::{Key, KeyBuf};
use crate::values::name_beginning::NameBeginning;
use crate::values::opened::Opened;

/// Why an operation did not do what it was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// A name or another argument is outside its allowed range.
    InvalidArgument(Details<Invalid>),
    /// A setting is outside its allowed range; nothing was changed.
    InvalidConfig(Details<Invalid>),
    /// No connection of this name is registered (any more). Without a name, which is an empty
    /// identifier: it is the answer to a permit by name or an owned one, which keeps none.
    NotFound(Details<KeyBuf>),
    /// A connection of this name is registered already, and was left untouched.
    AlreadyRegistered(Details<KeyBuf>),
    /// The circuit does not admit the call.
    Rejected(Rejected),
    /// The permit's state is gone: the report was counted in the totals and
    /// changed nothing else.
    Stale,
    /// The manager was shut down.
    ShutDown,
    /// The manager is to have a background thread, and the system refuses to start one,
    /// for the reason with this number (`errno`): the callback would never run. Nothing
    /// was subscribed. Try again when there are threads to spare, subscribe with a queue,
    /// or make the manager [without a thread](crate::Builder::background) and poll.
    NoThread(i32),
    /// There is no memory for the events of a manager: so many bytes were asked for. Give a
    /// smaller [`event_capacity`](crate::Builder::event_capacity).
    OutOfMemory(usize),
}

/// A boxed part of an error. Reads like what is in it.
pub struct Details<T>(ManuallyDrop<Box<T>>);

impl<T> Details<T> {
    pub(crate) fn new(content: T) -> Self {
        Details(ManuallyDrop::new(Box::new(content)))
    }
}

impl<T> Deref for Details<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T> Drop for Details<T> {
    #[inline]
    fn drop(&mut self) {
        #[cold]
        #[inline(never)]
        fn free<T>(content: Box<T>) {
            drop(content);
        }
        // SAFETY: taken once, since this is the drop.
        free(unsafe { ManuallyDrop::take(&mut self.0) });
    }
}

impl<T: Clone> Clone for Details<T> {
    fn clone(&self) -> Self {
        Details(self.0.clone())
    }
}

impl<T: PartialEq> PartialEq for Details<T> {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl<T: Eq> Eq for Details<T> {}

impl<T: fmt::Debug> fmt::Debug for Details<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<T: fmt::Display> fmt::Display for Details<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

/// A value that was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invalid {
    /// The argument or setting.
    pub name: &'static str,
    /// What was given, as text.
    pub value: String,
    /// What is allowed.
    pub allowed: String,
}

/// A call that the circuit did not admit.
#[derive(Clone, Copy)]
#[non_exhaustive]
pub struct Rejected {
    /// How long to wait before asking again.
    ///
    /// Of an open circuit it is a promise: a caller that waits so long is admitted, unless
    /// other callers take the probes. It is at most what the opening was given, plus 1 ms. Of a
    /// half-open circuit it is a hint, 1 ms to 1 s: the time until the lease of the first probe
    /// ends, or until the ramp does. `None`: the circuit is held open by hand.
    pub retry_after: Option<Duration>,
    /// Why the call was not admitted.
    pub kind: RejectionKind,
    name: NameBeginning,
    opened: Opened,
}

impl Rejected {
    #[inline(always)]
    pub(crate) fn new(
        kind: RejectionKind,
        retry_after: Option<Duration>,
        name: NameBeginning,
        opened: Opened,
    ) -> Self {
        Rejected {
            retry_after,
            kind,
            name,
            opened,
        }
    }

    /// By no connection's circuit.
    #[cfg(test)]
    pub(crate) fn unnamed(kind: RejectionKind, retry_after: Option<Duration>) -> Self {
        Rejected::new(kind, retry_after, NameBeginning::EMPTY, Opened::NONE)
    }

    /// Why the circuit opened last. `None` if the thread that opened it had not written that yet.
    ///
    /// The reason of the opening, and what its rule had counted, are not copied at each rejection:
    /// [`Connection::why`](crate::Connection::why) reads the reason, and
    /// [`Connection::explain`](crate::Connection::explain) makes a message with both.
    pub fn cause(&self) -> Option<Cause> {
        self.opened.cause()
    }

    /// The connection's identifier, or its beginning: identifier and scope together are cut at 40
    /// bytes, the scope first.
    pub fn identifier(&self) -> &str {
        self.name.identifier()
    }

    /// The connection's scope, if it has one, or its beginning, as of
    /// [`Rejected::identifier`].
    pub fn scope(&self) -> Option<&str> {
        self.name.scope()
    }

    /// Its message, with what the rule that opened the circuit had counted, and the reason of the
    /// opening, if there are such.
    pub(crate) fn because<'a>(
        &'a self,
        evidence: Option<Evidence>,
        reason: Option<&'a str>,
    ) -> impl fmt::Display + 'a {
        Because {
            rejected: self,
            evidence,
            reason,
        }
    }
}

impl PartialEq for Rejected {
    fn eq(&self, other: &Self) -> bool {
        self.kind == other.kind
            && self.retry_after == other.retry_after
            && self.name == other.name
            && self.cause() == other.cause()
    }
}

impl Eq for Rejected {}

impl fmt::Debug for Rejected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rejected")
            .field("retry_after", &self.retry_after)
            .field("kind", &self.kind)
            .field("identifier", &self.identifier())
            .field("scope", &self.scope())
            .field("cause", &self.cause())
            .finish()
    }
}

/// A rejection, and what the circuit knows of its last opening.
#[cfg(feature = "capi")]
#[derive(Clone)]
pub(crate) struct Explained {
    pub(crate) rejected: Rejected,
    pub(crate) evidence: Option<Evidence>,
    pub(crate) reason: Option<String>,
}

#[cfg(feature = "capi")]
impl From<Rejected> for Explained {
    /// Nothing is known.
    fn from(rejected: Rejected) -> Self {
        Explained {
            rejected,
            evidence: None,
            reason: None,
        }
    }
}

#[cfg(feature = "capi")]
impl fmt::Display for Explained {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Explained {
            rejected,
            evidence,
            reason,
        } = self;
        rejected.because(*evidence, reason.as_deref()).fmt(f)
    }
}

/// What a rejection says.
struct Because<'a> {
    rejected: &'a Rejected,
    evidence: Option<Evidence>,
    reason: Option<&'a str>,
}

impl fmt::Display for Because<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Rejected { kind, name, .. } = self.rejected;
        f.write_str(match kind {
            RejectionKind::Open | RejectionKind::HeldOpen | RejectionKind::Recovering => {
                "rejected: the circuit"
            }
            RejectionKind::ProbesOut => "rejected: all probes",
        })?;
        if !name.identifier().is_empty() {
            write!(f, " of {name}")?;
        }
        f.write_str(match kind {
            RejectionKind::Open => " is open",
            RejectionKind::HeldOpen => " is held open until it is closed by hand",
            RejectionKind::ProbesOut => " are out",
            RejectionKind::Recovering => " is recovering",
        })?;
        if let Some(cause) = self.rejected.cause() {
            write!(f, " ({cause}")?;
            if let Some(evidence) = self.evidence {
                write!(f, ", {evidence}")?;
            }
            if let Some(reason) = self.reason {
                write!(f, ": {reason}")?;
            }
            f.write_str(")")?;
        }
        match self.rejected.retry_after {
            Some(wait) => write!(f, ", retry after {wait:?}"),
            None => Ok(()),
        }
    }
}

/// Why a call is not admitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RejectionKind {
    /// The circuit is open until its expiry.
    Open = 0,
    /// The circuit was opened by hand without an expiry.
    HeldOpen = 1,
    /// The circuit is half-open, and all probes are out.
    ProbesOut = 2,
    /// The circuit is half-open, and its [ramp](crate::ConnectionOptions::ramp) admits a share of
    /// the calls.
    Recovering = 3,
}

/// Why a guarded call has no result.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CallError<E> {
    /// The circuit did not admit the call; the function was not run.
    Rejected(Rejected),
    /// The function ran and returned this error.
    Inner(E),
    /// The connection could not be used (unknown name, shut-down manager); the
    /// function was not run.
    Unusable(Error),
}

impl Error {
    pub(crate) fn argument(name: &'static str, value: &str, allowed: &str) -> Self {
        Error::InvalidArgument(Details::new(Invalid::new(name, shorten(value), allowed)))
    }

    /// [`Error::argument`] with a value that is no text.
    pub(crate) fn argument_value(
        name: &'static str,
        value: impl fmt::Display,
        allowed: impl Into<String>,
    ) -> Self {
        Error::InvalidArgument(Details::new(Invalid::new(name, value.to_string(), allowed)))
    }

    pub(crate) fn config(
        name: &'static str,
        value: impl fmt::Display,
        allowed: impl Into<String>,
    ) -> Self {
        Error::InvalidConfig(Details::new(Invalid::new(name, value.to_string(), allowed)))
    }

    #[cold]
    pub(crate) fn not_found(key: Key<'_>) -> Self {
        Error::NotFound(Details::new(key.to_buf()))
    }

    /// A permit's connection is not registered any more, and the permit does not know the name.
    #[cold]
    pub(crate) fn permit_gone() -> Self {
        Error::not_found(Key::new(None, ""))
    }

    #[cold]
    pub(crate) fn already_registered(key: Key<'_>) -> Self {
        Error::AlreadyRegistered(Details::new(key.to_buf()))
    }
}

impl Invalid {
    fn new(name: &'static str, value: String, allowed: impl Into<String>) -> Self {
        Invalid {
            name,
            value,
            allowed: allowed.into(),
        }
    }
}

/// The first 64 characters of a value, printable: a refused name may be a megabyte.
fn shorten(value: &str) -> String {
    let mut text: String = value
        .chars()
        .take(64)
        .flat_map(char::escape_debug)
        .collect();
    if value.chars().nth(64).is_some() {
        text.push_str(&format!("… ({} bytes)", value.len()));
    }
    format!("\"{text}\"")
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::InvalidArgument(invalid) => write!(f, "invalid argument {invalid}"),
            Error::InvalidConfig(invalid) => write!(f, "invalid setting {invalid}"),
            Error::NotFound(key) if key.identifier.is_empty() => {
                f.write_str("the permit's connection is not registered any more")
            }
            Error::NotFound(key) => write!(f, "no connection {key} is registered"),
            Error::AlreadyRegistered(key) => write!(f, "connection {key} is already registered"),
            Error::Rejected(rejected) => rejected.fmt(f),
            Error::Stale => f.write_str(
                "stale permit: the state it was given in is gone, the report counts in the totals only",
            ),
            Error::ShutDown => f.write_str("the manager was shut down"),
            Error::OutOfMemory(bytes) => write!(
                f,
                "out of memory: {bytes} bytes for `event_capacity`; give a smaller one"
            ),
            Error::NoThread(reason) => {
                let reason = std::io::Error::from_raw_os_error(*reason);
                write!(
                    f,
                    "the system starts no background thread, so callbacks would never run: {reason}"
                )
            }
        }
    }
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` = {}: {}", self.name, self.value, self.allowed)
    }
}

impl fmt::Display for Rejected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.because(None, None).fmt(f)
    }
}

impl<E> CallError<E> {
    /// Whether the circuit did not admit the call.
    pub fn is_rejected(&self) -> bool {
        matches!(self, CallError::Rejected(_))
    }

    /// How long to wait before asking again, if the call was rejected, and not by a circuit that
    /// is held open: [`Rejected::retry_after`].
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            CallError::Rejected(rejected) => rejected.retry_after,
            _ => None,
        }
    }

    /// The error of the function, if it ran.
    pub fn into_inner(self) -> Option<E> {
        match self {
            CallError::Inner(error) => Some(error),
            _ => None,
        }
    }
}

impl<E: fmt::Display> fmt::Display for CallError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CallError::Rejected(_) => f.write_str("the call was not admitted"),
            CallError::Inner(_) => f.write_str("the call failed"),
            CallError::Unusable(_) => f.write_str("the call was not made"),
        }
    }
}

impl std::error::Error for Error {}
impl std::error::Error for Rejected {}

impl<E: std::error::Error + 'static> std::error::Error for CallError<E> {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            CallError::Inner(error) => Some(error),
            CallError::Rejected(rejected) => Some(rejected),
            CallError::Unusable(error) => Some(error),
        }
    }
}

const _: () = assert!(size_of::<Error>() <= 88);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_name_the_argument_the_value_and_the_rule() {
        let error = Error::config("max_attempts", 0, "must be at least 1");
        assert_eq!(
            error.to_string(),
            "invalid setting `max_attempts` = 0: must be at least 1"
        );
        let error = Error::not_found(Key::from(("billing", "db")));
        assert_eq!(
            error.to_string(),
            "no connection \"db\" in scope \"billing\" is registered"
        );
    }

    #[test]
    fn a_refused_megabyte_is_not_repeated_in_full() {
        let text = Error::argument("identifier", &"x".repeat(1 << 20), "at most 1024 bytes");
        assert!(text.to_string().len() < 200, "{text}");
        let text = Error::argument("identifier", "a\0b", "without NUL").to_string();
        assert!(text.contains("a\\0b"), "{text}");
    }
}
