//! Rejections: the error of a call that the circuit did not admit.
//!
//! A rejection is made on a hot path, so it is a plain value that owns nothing. It copies the
//! beginning of the connection's name. The other facts of the opening are read only when a caller
//! asks for a message.

use std::fmt;
use std::time::Duration;

use crate::values::cause::Cause;
use crate::values::evidence::Evidence;
use crate::values::name_beginning::NameBeginning;
use crate::values::opened::Opened;

/// A call that the circuit did not admit.
///
/// ```
/// # let brama = brama::Brama::builder().background(false).build()?;
/// # let db = brama.register("db", None)?;
/// db.open_circuit("upgrade", None)?;
/// let Err(brama::Error::Rejected(rejected)) = db.acquire() else { panic!() };
/// assert_eq!(rejected.kind, brama::RejectionKind::Open);
/// println!("{rejected}"); // … the circuit of "db" is open (manual), retry after …
/// # Ok::<(), brama::Error>(())
/// ```
#[derive(Clone, Copy)]
#[non_exhaustive]
pub struct Rejected {
    /// How long to wait before asking again.
    ///
    /// While the circuit is open, it is a promise: a caller that waits this long is admitted,
    /// unless other callers take the probes. It is at most the length of the opening plus 1 ms.
    /// While the circuit is half-open, it is a hint of 1 ms to 1 s: the time until the lease of the
    /// first probe ends, or until the ramp does. `None`: the circuit is held open by hand.
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

    /// A rejection without a connection's name.
    #[cfg(test)]
    pub(crate) fn unnamed(kind: RejectionKind, retry_after: Option<Duration>) -> Self {
        Rejected::new(kind, retry_after, NameBeginning::EMPTY, Opened::NONE)
    }

    /// Why the circuit opened last. `None` if the thread that opened it had not written that yet.
    ///
    /// The reason of the opening, and what its rule had counted, are not copied at each rejection:
    /// [`Connection::why`](crate::Connection::why) reads the reason, and
    /// [`Connection::explain`](crate::Connection::explain) makes a message with both.
    ///
    /// ```
    /// # let brama = brama::Brama::builder().background(false).build()?;
    /// # let db = brama.register("db", None)?;
    /// db.open_circuit("upgrade", None)?;
    /// let Err(brama::Error::Rejected(rejected)) = db.acquire() else { panic!() };
    /// assert_eq!(rejected.cause(), Some(brama::Cause::Manual));
    /// # Ok::<(), brama::Error>(())
    /// ```
    pub fn cause(&self) -> Option<Cause> {
        self.opened.cause()
    }

    /// The connection's identifier, or its beginning: identifier and scope together are cut at 40
    /// bytes, the scope first.
    ///
    /// ```
    /// # let brama = brama::Brama::builder().background(false).build()?;
    /// # let db = brama.register("db", None)?;
    /// db.open_circuit("upgrade", None)?;
    /// let Err(brama::Error::Rejected(rejected)) = db.acquire() else { panic!() };
    /// assert_eq!(rejected.identifier(), "db");
    /// # Ok::<(), brama::Error>(())
    /// ```
    pub fn identifier(&self) -> &str {
        self.name.identifier()
    }

    /// The connection's scope, if it has one. It may be cut: see [`Rejected::identifier`].
    ///
    /// ```
    /// # let brama = brama::Brama::builder().background(false).build()?;
    /// # let db = brama.register("db", None)?;
    /// db.open_circuit("upgrade", None)?;
    /// let Err(brama::Error::Rejected(rejected)) = db.acquire() else { panic!() };
    /// assert_eq!(rejected.scope(), None);
    /// # Ok::<(), brama::Error>(())
    /// ```
    pub fn scope(&self) -> Option<&str> {
        self.name.scope()
    }

    /// Its message. It includes what the rule that opened the circuit had counted, and the reason
    /// of the opening, if these are given.
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
    /// A rejection without evidence or a reason.
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

/// The message of a rejection.
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
///
/// ```
/// # let brama = brama::Brama::builder().background(false).build()?;
/// # let db = brama.register("db", None)?;
/// db.open_circuit("upgrade", brama::OpenFor::Never)?;
/// let Err(brama::Error::Rejected(rejected)) = db.acquire() else { panic!() };
/// assert_eq!(rejected.kind, brama::RejectionKind::HeldOpen);
/// # Ok::<(), brama::Error>(())
/// ```
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

impl fmt::Display for Rejected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.because(None, None).fmt(f)
    }
}

impl std::error::Error for Rejected {}
