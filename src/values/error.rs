//! Errors, with messages that a person can act on.
//!
//! Every error that a caller caused names the argument or setting, the value that was given, and
//! what is allowed. Only errors that need text allocate: they box it. A rejection is returned on a
//! hot path, so it is a plain value. It copies the beginning of the connection's name, and for that
//! the enum is wide. A call that is admitted writes none of it.
//!
//! The box is a [`Details`], which is freed out of line and by value. With a plain `Box`, dropping
//! a result that might hold an error would take the result's address. The result would then live in
//! memory even on paths where there is no error.

use std::fmt;
use std::mem::ManuallyDrop;
use std::ops::Deref;
use std::time::Duration;

use crate::values::key::{Key, KeyBuf};

mod rejected;

#[cfg(feature = "capi")]
pub(crate) use rejected::Explained;
pub use rejected::{Rejected, RejectionKind};

/// Why an operation did not do what it was asked.
///
/// ```
/// # use brama::Error;
/// # let brama = brama::Brama::builder().background(false).build()?;
/// match brama.acquire("db") {
///     Ok(permit) => permit.success()?,
///     Err(Error::Rejected(rejected)) => println!("again in {:?}", rejected.retry_after),
///     Err(Error::NotFound(name)) => println!("{name} is not registered"),
///     Err(error) => println!("{error}"),
/// }
/// # Ok::<(), brama::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// A name or another argument is outside its allowed range.
    InvalidArgument(Details<Invalid>),
    /// A setting is outside its allowed range; nothing was changed.
    InvalidConfig(Details<Invalid>),
    /// No connection of this name is registered (any more). The identifier is empty if a permit
    /// reports this that was acquired by name or is owned: such a permit keeps no name.
    NotFound(Details<KeyBuf>),
    /// A connection of this name is registered already, and was left untouched.
    AlreadyRegistered(Details<KeyBuf>),
    /// The circuit does not admit the call.
    Rejected(Rejected),
    /// The state in which the permit was given is gone. The report was counted in the totals and
    /// changed nothing else.
    Stale,
    /// The manager was shut down.
    ShutDown,
    /// The system refused to start the manager's background thread, for the reason with this number
    /// (`errno`). The callback would never run, so nothing was subscribed. Try again when there are
    /// threads to spare, subscribe with a queue, or make the manager
    /// [without a thread](crate::Builder::background) and poll.
    NoThread(i32),
    /// There is no memory for the events of a manager: so many bytes were asked for. Give a
    /// smaller [`event_capacity`](crate::Builder::event_capacity).
    OutOfMemory(usize),
}

/// A boxed part of an error. It dereferences to its content.
///
/// ```
/// let refused = brama::Brama::builder().jitter(2.0).build();
/// let Err(brama::Error::InvalidConfig(details)) = refused else { panic!() };
/// assert_eq!(details.name, "jitter");
/// ```
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
///
/// ```
/// let refused = brama::Brama::builder().jitter(2.0).build();
/// let Err(brama::Error::InvalidConfig(invalid)) = refused else { panic!() };
/// assert_eq!((&*invalid.value, &*invalid.allowed), ("2", "must be 0.0 to 1.0"));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invalid {
    /// The argument or setting.
    pub name: &'static str,
    /// What was given, as text.
    pub value: String,
    /// What is allowed.
    pub allowed: String,
}

/// Why a guarded call has no result.
///
/// ```
/// # use brama::CallError;
/// # let brama = brama::Brama::builder().background(false).build()?;
/// # let db = brama.register("db", None)?;
/// match db.call(|| "42".parse::<u32>()) {
///     Ok(number) => println!("{number}"),
///     Err(CallError::Inner(error)) => println!("failed: {error}"),
///     Err(error) => println!("not tried: {error}"),
/// }
/// # Ok::<(), brama::Error>(())
/// ```
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

impl<E> CallError<E> {
    /// Whether the circuit did not admit the call.
    ///
    /// ```
    /// # let brama = brama::Brama::builder().background(false).build()?;
    /// # let db = brama.register("db", None)?;
    /// db.open_circuit("upgrade", None)?;
    /// assert!(db.call(|| Ok::<_, String>(42)).unwrap_err().is_rejected());
    /// # Ok::<(), brama::Error>(())
    /// ```
    pub fn is_rejected(&self) -> bool {
        matches!(self, CallError::Rejected(_))
    }

    /// How long to wait before asking again, if the call was rejected, and not by a circuit that
    /// is held open: [`Rejected::retry_after`].
    ///
    /// ```
    /// # let brama = brama::Brama::builder().background(false).build()?;
    /// # let db = brama.register("db", None)?;
    /// db.open_circuit("upgrade", None)?;
    /// let error = db.call(|| Ok::<_, String>(42)).unwrap_err();
    /// assert!(error.retry_after().is_some());
    /// # Ok::<(), brama::Error>(())
    /// ```
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            CallError::Rejected(rejected) => rejected.retry_after,
            _ => None,
        }
    }

    /// The error of the function, if it ran.
    ///
    /// ```
    /// # let brama = brama::Brama::builder().background(false).build()?;
    /// # let db = brama.register("db", None)?;
    /// let error = db.call(|| Err::<u32, _>("HTTP 503")).unwrap_err();
    /// assert_eq!(error.into_inner(), Some("HTTP 503"));
    /// # Ok::<(), brama::Error>(())
    /// ```
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
