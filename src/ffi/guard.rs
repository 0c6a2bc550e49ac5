//! The guard of every entry: no panic leaves it, and a failure becomes a code, which is remembered
//! with its message for the thread.
//!
//! The message is made when the caller asks for it, so that a rejected call allocates nothing.

use std::any::Any;
use std::cell::RefCell;
use std::ffi::{CStr, CString, c_char};
use std::fmt;
use std::io;
use std::panic::{self, AssertUnwindSafe};
use std::ptr;
use std::sync::{Arc, Weak};
use std::thread;

use super::errors::*;
use super::text;
use crate::circuit::record::Refused;
use crate::manager::engine::Engine;
use crate::sys::hot_tls::words;
use crate::values::cause::Cause;
use crate::values::error::{Error, Explained};
use crate::values::name_beginning::NameBeginning;
use crate::values::opened::Opened;

/// Why an entry does not do what it was asked.
pub(super) enum Failure {
    Error(Error),
    Rejected(Box<Explained>),
    /// A rejection that [`rejected`] has remembered.
    Remembered,
    System(io::Error),
    /// The thread is ending, so its thread-local storage is gone.
    ThreadEnds,
    Panic(Box<str>),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Failure::Error(error)
    }
}

impl Failure {
    fn code(&self) -> brama_result_t {
        match self {
            Failure::Error(error) => match error {
                Error::InvalidArgument(_) => BRAMA_ERR_INVALID_ARGUMENT,
                Error::InvalidConfig(_) => BRAMA_ERR_INVALID_CONFIG,
                Error::NotFound(_) => BRAMA_ERR_NOT_FOUND,
                Error::AlreadyRegistered(_) => BRAMA_ERR_ALREADY_REGISTERED,
                Error::Rejected(_) => BRAMA_ERR_REJECTED,
                Error::Stale => BRAMA_ERR_STALE,
                Error::ShutDown => BRAMA_ERR_SHUT_DOWN,
                Error::NoThread(_) => BRAMA_ERR_UNSUPPORTED,
                Error::OutOfMemory(_) => BRAMA_ERR_OUT_OF_MEMORY,
            },
            Failure::Rejected(..) | Failure::Remembered => BRAMA_ERR_REJECTED,
            Failure::System(error) => system_code(error),
            Failure::ThreadEnds => BRAMA_ERR_UNSUPPORTED,
            Failure::Panic(_) => BRAMA_ERR_PANIC,
        }
    }
}

fn system_code(error: &io::Error) -> brama_result_t {
    match error.raw_os_error() {
        Some(libc::ENOMEM | libc::ENOBUFS) => BRAMA_ERR_OUT_OF_MEMORY,
        Some(libc::EMFILE | libc::ENFILE | libc::EAGAIN) => BRAMA_ERR_LIMIT,
        None if error.kind() == io::ErrorKind::OutOfMemory => BRAMA_ERR_OUT_OF_MEMORY,
        _ => BRAMA_ERR_UNSUPPORTED,
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Error(error) => error.fmt(f),
            Failure::Rejected(explained) => explained.fmt(f),
            Failure::Remembered => f.write_str("rejected"),
            Failure::System(error) => write!(f, "operating system error: {error}"),
            Failure::ThreadEnds => {
                f.write_str("called while the thread is exiting: its thread-local storage is gone")
            }
            Failure::Panic(message) => write!(f, "internal error: {message}"),
        }
    }
}

/// A thread's last failure.
struct Last {
    code: brama_result_t,
    /// The failure, until its message is made.
    failure: Option<Failure>,
    message: Option<CString>,
    /// The cause of the opening, if the failure is a rejection.
    cause: Option<Cause>,
    /// The reason of the opening, if the failure is a rejection.
    reason: Option<CString>,
    /// The engine of the circuit that has rejected a call last. The reference keeps the engine's
    /// address from being used again, so that [`rejected`] need only compare it.
    engine: Weak<Engine>,
}

thread_local! {
    static LAST: RefCell<Last> = const {
        RefCell::new(Last {
            code: BRAMA_OK,
            failure: None,
            message: None,
            cause: None,
            reason: None,
            engine: Weak::new(),
        })
    };
}

/// Replaces the thread's pending rejection, and returns the previous one. A pending rejection is
/// later than the failure in `LAST`. It has a place of its own, since it is the one failure of a
/// hot path.
fn replace_rejection(rejection: Option<Refused>) -> Option<Refused> {
    let word = rejection.map_or(0, Refused::to_word);
    words(|words| Refused::from_word(words.rejection.replace(word)))
}

/// Runs an entry that answers with a code.
#[inline]
pub(super) fn result(entry: impl FnOnce() -> Result<(), Failure>) -> brama_result_t {
    contained(|| match entry() {
        Ok(()) => BRAMA_OK,
        Err(failure) => remember(failure),
    })
    .unwrap_or_else(remember_panic)
}

/// Runs an entry that answers with a value, or `otherwise`.
#[inline]
pub(super) fn value<T>(otherwise: T, entry: impl FnOnce() -> Result<T, Failure>) -> T {
    let answer = contained(|| match entry() {
        Ok(value) => Some(value),
        Err(failure) => {
            remember(failure);
            None
        }
    });
    match answer {
        Ok(answer) => answer.unwrap_or(otherwise),
        Err(payload) => {
            remember_panic(payload);
            otherwise
        }
    }
}

/// Catches panics. Its result goes through memory, so it has to be small: `entry` remembers a
/// failure itself.
#[inline]
fn contained<T>(entry: impl FnOnce() -> T) -> thread::Result<T> {
    // Unwind safe: an entry shares with the outside only structures of the library, and a panic
    // leaves each of them consistent.
    panic::catch_unwind(AssertUnwindSafe(entry))
}

/// Remembers a panic for the thread and returns its code.
#[cold]
#[inline(never)]
fn remember_panic(payload: Box<dyn Any + Send>) -> brama_result_t {
    let message = payload
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    remember(Failure::Panic(message.unwrap_or("panic").into()))
}

/// Remembers a failure for the thread and returns its code.
fn remember(failure: Failure) -> brama_result_t {
    match failure {
        Failure::Remembered => BRAMA_ERR_REJECTED,
        failure => remember_in_full(failure),
    }
}

/// Remembers a rejection for the thread and returns its code. Of the connection only the engine and
/// the hash of the name are remembered: the rest is looked up when the caller asks for the message.
#[inline(always)]
pub(super) fn rejected(refused: Refused, (engine, hash): (&Arc<Engine>, u64)) -> brama_result_t {
    let address = Arc::as_ptr(engine).cast();
    let is_known = words(|words| {
        words.rejection.set(refused.to_word());
        words.rejecter.set(hash);
        words.engine.get() == address
    });
    if !is_known {
        remember_engine(engine);
    }
    BRAMA_ERR_REJECTED
}

#[cold]
#[inline(never)]
fn remember_engine(engine: &Arc<Engine>) {
    // A thread that is ending explains no rejection.
    let _ = LAST.try_with(|last| {
        last.borrow_mut().engine = Arc::downgrade(engine);
        words(|words| words.engine.set(Arc::as_ptr(engine).cast()));
    });
}

/// The failure for an error that may be a rejection by this connection; remembers it if it is one.
pub(super) fn refused(error: Error, by: (&Arc<Engine>, u64)) -> Failure {
    match error {
        Error::Rejected(rejection) => {
            rejected(rejection.into(), by);
            Failure::Remembered
        }
        error => error.into(),
    }
}

#[cold]
#[inline(never)]
fn remember_in_full(failure: Failure) -> brama_result_t {
    let code = failure.code();
    replace_rejection(None);
    // Fails in a thread that is ending: its thread-local storage is gone.
    let _ = LAST.try_with(|last| {
        let mut last = last.borrow_mut();
        last.take(code, failure);
    });
    code
}

impl Last {
    fn take(&mut self, code: brama_result_t, failure: Failure) {
        let (cause, reason) = match &failure {
            Failure::Rejected(explained) => {
                (explained.rejected.cause(), explained.reason.as_deref())
            }
            Failure::Error(Error::Rejected(rejected)) => (rejected.cause(), None),
            _ => (None, None),
        };
        self.cause = cause;
        self.reason = reason.map(text::to_c);
        self.code = code;
        self.failure = Some(failure);
    }
}

/// Looks up the details of a rejection, if that is the last failure; otherwise does nothing.
fn explain() {
    let Some(refused) = replace_rejection(None) else {
        return;
    };
    let hash = words(|words| words.rejecter.get());
    // Dropped outside of `try_with`: the drop of the last reference to an engine runs the host's
    // code.
    let Ok(engine) = LAST.try_with(|last| last.borrow().engine.upgrade()) else {
        return;
    };
    let explained = engine
        .as_ref()
        .and_then(|engine| engine.explain(hash, refused));
    let unknown = || refused.rejected(NameBeginning::EMPTY, Opened::NONE).into();
    let explained = explained.unwrap_or_else(unknown);
    let _ = LAST.try_with(|last| {
        let failure = Failure::Rejected(Box::new(explained));
        last.borrow_mut().take(BRAMA_ERR_REJECTED, failure);
    });
}

/// The cause of the opening, if the thread's last failure is a rejection.
pub(super) fn last_cause() -> Option<Cause> {
    explain();
    LAST.try_with(|last| last.borrow().cause).ok().flatten()
}

/// The reason of the opening, if the thread's last failure is a rejection; otherwise NULL.
pub(super) fn last_reason() -> *const c_char {
    explain();
    LAST.try_with(|last| {
        last.borrow()
            .reason
            .as_deref()
            .map_or(ptr::null(), CStr::as_ptr)
    })
    .unwrap_or(ptr::null())
}

/// The message of the thread's last failure.
pub(super) fn last_message() -> *const c_char {
    explain();
    LAST.try_with(|last| {
        let mut last = last.borrow_mut();
        if let Some(failure) = last.failure.take() {
            last.message = Some(text::to_c(&failure.to_string()));
        }
        last.message.as_deref().unwrap_or(c"").as_ptr()
    })
    .unwrap_or(c"".as_ptr())
}

/// The code of the thread's last failure.
pub(super) fn last_code() -> brama_result_t {
    if words(|words| words.rejection.get()) != 0 {
        return BRAMA_ERR_REJECTED;
    }
    LAST.try_with(|last| last.borrow().code)
        .unwrap_or(BRAMA_ERR_UNSUPPORTED)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::values::error::{Rejected, RejectionKind};
    use std::time::Duration;

    fn message() -> String {
        // SAFETY: `last_message` returns a string that is valid until this thread's next failure.
        let message = unsafe { CStr::from_ptr(last_message()) };
        message.to_str().expect("UTF-8").to_owned()
    }

    #[test]
    fn a_panic_becomes_a_code_and_its_message_is_kept() {
        assert_eq!((message().as_str(), last_code()), ("", BRAMA_OK));
        assert_eq!(result(|| panic!("no {}", "way")), BRAMA_ERR_PANIC);
        assert_eq!(message(), "internal error: no way");
        assert_eq!(value(7, || panic!("static")), 7);
        assert_eq!(message(), "internal error: static");
        assert_eq!(result(|| Ok(())), BRAMA_OK);
        assert_eq!(message(), "internal error: static", "success leaves it");
    }

    #[test]
    fn the_last_failure_is_reported_whatever_it_was() {
        let rejected = || Error::Rejected(Rejected::unnamed(RejectionKind::HeldOpen, None));
        let refuse = |error: Error| result(|| Err(error.into()));
        assert_eq!(refuse(Error::Stale), BRAMA_ERR_STALE);
        assert_eq!(refuse(rejected()), BRAMA_ERR_REJECTED);
        assert!(message().contains("held open"), "{}", message());
        for ms in [0, 1, 1_500] {
            let retry_after = Some(Duration::from_millis(ms));
            let kind = RejectionKind::ProbesOut;
            let rejected = Rejected::unnamed(kind, retry_after);
            assert_eq!(refuse(Error::Rejected(rejected)), BRAMA_ERR_REJECTED);
            assert_eq!(message(), rejected.to_string());
        }
        assert_eq!(refuse(rejected()), BRAMA_ERR_REJECTED);
        assert_eq!(last_code(), BRAMA_ERR_REJECTED);
        assert_eq!(refuse(Error::ShutDown), BRAMA_ERR_SHUT_DOWN);
        assert_eq!(message(), "the manager was shut down");
        assert_eq!(message(), "the manager was shut down", "asked twice");
        assert_eq!(last_code(), BRAMA_ERR_SHUT_DOWN);
        assert_eq!(refuse(rejected()), BRAMA_ERR_REJECTED);
        message();
        assert_eq!(last_code(), BRAMA_ERR_REJECTED, "in words, too");
    }

    #[test]
    fn what_the_system_refuses_has_its_code() {
        let refused = io::Error::from(io::ErrorKind::Unsupported);
        assert_eq!(
            result(|| Err(Failure::System(refused))),
            BRAMA_ERR_UNSUPPORTED
        );
        let memory = io::Error::from(io::ErrorKind::OutOfMemory);
        assert_eq!(
            result(|| Err(Failure::System(memory))),
            BRAMA_ERR_OUT_OF_MEMORY
        );
        assert!(message().contains("out of memory"), "{}", message());
        for (errno, code) in [
            (libc::ENOMEM, BRAMA_ERR_OUT_OF_MEMORY),
            (libc::EMFILE, BRAMA_ERR_LIMIT),
            (libc::ENFILE, BRAMA_ERR_LIMIT),
            (libc::ENOSYS, BRAMA_ERR_UNSUPPORTED),
        ] {
            let refused = io::Error::from_raw_os_error(errno);
            assert_eq!(result(|| Err(Failure::System(refused))), code);
            assert!(message().starts_with("operating system error: "));
        }
    }
}
