//! [`Connection`]: a handle, resolved once. Its operations need no hash, no look-up
//! and no pin.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::circuit::record::{OpenFor, Record, RecordRef, Refusal, Status, Ticket};
use crate::manager::engine::Engine;
use crate::manager::permit::Permit;
use crate::manager::trace::Trace;
use crate::values::error::{Error, Rejected};
use crate::values::event::Report;
use crate::values::key::KeyBuf;
use crate::values::settings::ConnectionOptions;
use crate::values::state::State;

mod guarded;
#[cfg(feature = "capi")]
mod raw_permit;

#[cfg(feature = "capi")]
pub(crate) use raw_permit::token_of_pass;

/// A handle of a connection, which needs no look-up. Keep one for a hot path.
///
/// Cheap to clone, usable from any thread. It stays safe to use after the
/// connection was unregistered or cleaned up ([`Error::NotFound`]) and after the
/// manager was shut down ([`Error::ShutDown`]); it then admits nothing.
///
/// ```
/// # let brama = brama::Brama::builder().background(false).build()?;
/// let db = brama.register("db", None)?;
/// let same = db.clone();
/// std::thread::spawn(move || same.success()).join().expect("no panic")?;
/// assert_eq!(db.status()?.total_successes, 1);
/// # Ok::<(), brama::Error>(())
/// ```
#[derive(Clone)]
pub struct Connection {
    engine: Arc<Engine>,
    record: RecordRef,
}

impl Connection {
    pub(crate) fn new(engine: Arc<Engine>, record: RecordRef) -> Self {
        Connection { engine, record }
    }

    /// The connection's name.
    ///
    /// ```
    /// # let brama = brama::Brama::builder().background(false).build()?;
    /// # let db = brama.register("db", None)?;
    /// assert_eq!(db.key().identifier, "db");
    /// # Ok::<(), brama::Error>(())
    /// ```
    pub fn key(&self) -> KeyBuf {
        self.record.key().to_buf()
    }

    /// Whether the circuit lets calls pass now: true if it is closed or half-open, or if its
    /// [mode](crate::Mode) rejects nothing. A pure question: it takes no permit, so it is true of a
    /// half-open circuit even if all probes are out. Closed, it is one load.
    ///
    /// ```
    /// # let brama = brama::Brama::builder().background(false).build()?;
    /// # let db = brama.register("db", None)?;
    /// assert!(db.available());
    /// db.open_circuit("upgrade", None)?;
    /// assert!(!db.available());
    /// # Ok::<(), brama::Error>(())
    /// ```
    #[inline]
    pub fn available(&self) -> bool {
        self.record.available(&self.engine.context)
    }

    /// Asks for admission.
    ///
    /// ```
    /// # let brama = brama::Brama::builder().background(false).build()?;
    /// # let db = brama.register("db", None)?;
    /// let permit = db.acquire()?;
    /// permit.success()?;
    /// # Ok::<(), brama::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::Rejected`] if the circuit is open, if it is half-open and all probes are out, or if
    /// a [ramp](crate::ConnectionOptions::ramp) does not draw the call; [`Error::NotFound`],
    /// [`Error::ShutDown`].
    #[inline(always)]
    pub fn acquire(&self) -> Result<Permit<'_>, Error> {
        let word = self.record.word_now();
        let ticket = if word.is_spotless() {
            Some(Ticket::at_spotless(word))
        } else if word.is_open() {
            if let Some(refused) = self.record.try_reject(&self.engine.context, word) {
                return Err(Error::Rejected(self.record.rejected(word, refused)));
            }
            None
        } else {
            Record::try_pass_by(word)
        };
        if let Some(ticket) = ticket
            && !std::thread::panicking()
        {
            return Ok(Permit::lent(&self.engine, &self.record, ticket));
        }
        match self
            .record
            .acquire_for_permit(&self.engine.context)
            .ticket()
        {
            Ok(ticket) => Ok(Permit::lent(&self.engine, &self.record, ticket)),
            Err(refusal) => Err(self.error(refusal)),
        }
    }

    /// [`Connection::acquire`] with a permit that borrows nothing and may be sent
    /// anywhere. It keeps neither the connection, as a handle does, nor the manager.
    ///
    /// ```
    /// # let brama = brama::Brama::builder().background(false).build()?;
    /// # let db = brama.register("db", None)?;
    /// let permit = db.acquire_owned()?;
    /// std::thread::spawn(move || permit.success()).join().expect("no panic")?;
    /// # Ok::<(), brama::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`Connection::acquire`].
    pub fn acquire_owned(&self) -> Result<Permit<'static>, Error> {
        match self
            .record
            .acquire_for_permit(&self.engine.context)
            .ticket()
        {
            Ok(ticket) => {
                // The permit may outlast this handle, by which the connection is held now.
                self.record.mark_visited();
                let trace = Trace::of(&self.record);
                Ok(Permit::owned(self.engine.clone(), trace, ticket))
            }
            Err(refusal) => Err(self.error(refusal)),
        }
    }

    /// Reports a success without a permit (ask, call, report). While half-open it
    /// counts like a probe's.
    ///
    /// ```
    /// # let brama = brama::Brama::builder().background(false).build()?;
    /// # let db = brama.register("db", None)?;
    /// db.success()?;
    /// assert_eq!(db.status()?.total_successes, 1);
    /// # Ok::<(), brama::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`], [`Error::ShutDown`].
    #[inline]
    pub fn success(&self) -> Result<(), Error> {
        match self.record.try_success_without_permit(&self.engine.context) {
            true => Ok(()),
            false => self.finish_success(),
        }
    }

    #[cold]
    #[inline(never)]
    fn finish_success(&self) -> Result<(), Error> {
        self.success_with(Report::NONE)
    }

    /// [`Connection::success`] with metadata for its events.
    ///
    /// ```
    /// # let brama = brama::Brama::builder().background(false).build()?;
    /// # let db = brama.register("db", None)?;
    /// db.success_with(brama::Report::new().metadata([("host", "db-3")]))?;
    /// # Ok::<(), brama::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`], [`Error::ShutDown`].
    pub fn success_with<'r>(&self, report: impl Into<Report<'r>>) -> Result<(), Error> {
        self.record
            .success(&self.engine.context, None, &report.into())
            .map_err(|refusal| self.error(refusal))
    }

    /// Reports a failure without a permit, and returns how many count now: in a
    /// row, or inside the window if there is one. While half-open it counts like
    /// a probe's.
    ///
    /// ```
    /// # let brama = brama::Brama::builder().background(false).build()?;
    /// # let db = brama.register("db", None)?;
    /// assert_eq!(db.failure("timeout")?, 1);
    /// assert_eq!(db.failure("no route")?, 2);
    /// # Ok::<(), brama::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`], [`Error::ShutDown`].
    pub fn failure<'r>(&self, report: impl Into<Report<'r>>) -> Result<u32, Error> {
        self.record
            .failure(&self.engine.context, None, &report.into())
            .map_err(|refusal| self.error(refusal))
    }

    /// Reports a failure with which the dependency has said how long it wants to be left alone,
    /// as HTTP does with `Retry-After`, and returns how many failures count now. The circuit
    /// opens at once for `wait`, prolonged by the [jitter](crate::ConnectionOptions::jitter),
    /// whatever its rules say. A wait below 1 ms is none: the failure is an
    /// ordinary one. At most 24 h, before jitter; a longer one is cut.
    ///
    /// While the circuit is open already, the wait changes nothing: the failure is in the totals,
    /// is the last failure, and has its event, but the count of failures is not raised.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use brama::{Brama, State};
    /// # fn main() -> Result<(), brama::Error> {
    /// # let brama = Brama::builder().build()?;
    /// let search = brama.register("search", None)?;
    /// search.failure_for("HTTP 429", Duration::from_secs(30))?;
    /// assert_eq!(search.state(), State::Open);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`], [`Error::ShutDown`].
    pub fn failure_for<'r>(
        &self,
        report: impl Into<Report<'r>>,
        wait: Duration,
    ) -> Result<u32, Error> {
        self.record
            .failure_for(&self.engine.context, None, &report.into(), wait)
            .map_err(|refusal| self.error(refusal))
    }

    /// [`Connection::success`] of a call that has lasted so long, as its reporter knows. Where the
    /// setting `slow_call_duration` asks for durations, this one is compared with it.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # let brama = brama::Brama::builder().background(false).build()?;
    /// # let db = brama.register("db", None)?;
    /// db.success_in(Duration::from_millis(40))?;
    /// # Ok::<(), brama::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`], [`Error::ShutDown`].
    pub fn success_in(&self, duration: Duration) -> Result<(), Error> {
        self.success_with(Report::NONE.lasting(duration))
    }

    /// [`Connection::failure`] of a call that has lasted so long, as its reporter knows. A slow
    /// failure is a failure, and counts as a slow call, too.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use brama::Brama;
    /// # fn main() -> Result<(), brama::Error> {
    /// # let brama = Brama::builder().build()?;
    /// let search = brama.register("search", None)?;
    /// assert_eq!(search.failure_in(Duration::from_secs(30), "timeout")?, 1);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`], [`Error::ShutDown`].
    pub fn failure_in<'r>(
        &self,
        duration: Duration,
        report: impl Into<Report<'r>>,
    ) -> Result<u32, Error> {
        self.failure(report.into().lasting(duration))
    }

    /// Everything that is known of the connection.
    ///
    /// ```
    /// # let brama = brama::Brama::builder().background(false).build()?;
    /// # let db = brama.register("db", None)?;
    /// db.failure("timeout")?;
    /// let status = db.status()?;
    /// assert_eq!((status.failure_count, status.total_failures), (1, 1));
    /// # Ok::<(), brama::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`], [`Error::ShutDown`].
    pub fn status(&self) -> Result<Status, Error> {
        self.record
            .status(&self.engine.context)
            .ok_or_else(|| self.error(Refusal::Gone))
    }

    /// The state as of now; [`State::Unknown`] if it is not registered any more.
    ///
    /// ```
    /// # let brama = brama::Brama::builder().background(false).build()?;
    /// # let db = brama.register("db", None)?;
    /// assert_eq!(db.state(), brama::State::Closed);
    /// # Ok::<(), brama::Error>(())
    /// ```
    pub fn state(&self) -> State {
        self.record.state(&self.engine.context)
    }

    /// Opens the circuit. In an open circuit the new opening replaces the present one, whatever
    /// opened it, a hold by hand without an end included: its deadline, even if the new one is
    /// earlier, its cause, which becomes manual, and its reason. Code that opens circuits on its own
    /// account looks at the state and the cause first: see
    /// [an example](crate::docs::processes#passing-openings-on).
    ///
    /// ```
    /// # use std::time::Duration;
    /// # let brama = brama::Brama::builder().background(false).build()?;
    /// # let db = brama.register("db", None)?;
    /// db.open_circuit("upgrade", Duration::from_secs(60))?;
    /// assert!(!db.available());
    /// # Ok::<(), brama::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::InvalidArgument`] for a custom expiry below 1 ms,
    /// [`Error::NotFound`], [`Error::ShutDown`].
    pub fn open_circuit<'r>(
        &self,
        report: impl Into<Report<'r>>,
        how_long: impl Into<OpenFor>,
    ) -> Result<(), Error> {
        let (report, how_long) = (report.into(), how_long.into());
        how_long.validate()?;
        self.control(|record, engine| record.open(&engine.context, &report, how_long))
    }

    /// Closes the circuit. The count of failures stays: one more may open it again.
    ///
    /// ```
    /// # let brama = brama::Brama::builder().background(false).build()?;
    /// # let db = brama.register("db", None)?;
    /// db.open_circuit("upgrade", brama::OpenFor::Never)?;
    /// db.close_circuit()?;
    /// assert!(db.available());
    /// # Ok::<(), brama::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`], [`Error::ShutDown`].
    pub fn close_circuit(&self) -> Result<(), Error> {
        self.control(|record, engine| record.close(&engine.context))
    }

    /// Lets probes through now; does nothing while half-open.
    ///
    /// ```
    /// # let brama = brama::Brama::builder().background(false).build()?;
    /// # let db = brama.register("db", None)?;
    /// db.half_open_circuit()?;
    /// assert!(db.acquire()?.is_probe());
    /// # Ok::<(), brama::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`], [`Error::ShutDown`].
    pub fn half_open_circuit(&self) -> Result<(), Error> {
        self.control(|record, engine| record.half_open(&engine.context))
    }

    /// Closes the circuit and forgets the count, the window and the trips. The
    /// totals stay.
    ///
    /// ```
    /// # let brama = brama::Brama::builder().background(false).build()?;
    /// # let db = brama.register("db", None)?;
    /// db.failure("timeout")?;
    /// db.reset_circuit()?;
    /// assert_eq!(db.status()?.failure_count, 0);
    /// # Ok::<(), brama::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`], [`Error::ShutDown`].
    pub fn reset_circuit(&self) -> Result<(), Error> {
        self.control(|record, engine| record.reset(&engine.context))
    }

    /// Changes the settings that `options` gives, all at once. Counts, deadlines
    /// and permits survive.
    ///
    /// ```
    /// # let brama = brama::Brama::builder().background(false).build()?;
    /// # let db = brama.register("db", None)?;
    /// db.configure(brama::ConnectionOptions::new().max_attempts(2))?;
    /// assert_eq!(db.status()?.settings.max_attempts(), Some(2));
    /// # Ok::<(), brama::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::InvalidConfig`]: nothing was changed. [`Error::NotFound`],
    /// [`Error::ShutDown`].
    pub fn configure(&self, options: ConnectionOptions) -> Result<(), Error> {
        self.engine.configure_record(&self.record, &options)
    }

    /// The reason of the last opening: the text of the failure that opened the circuit, or of the
    /// hand that did, as [`Status::reason`]. To explain a rejection, which says only the
    /// [cause](crate::Rejected::cause). Allocates the text, so ask when the answer is wanted.
    ///
    /// `None` if the circuit never opened, or if there was no reason. Also `None` if the connection
    /// is removed, or its manager was shut down.
    ///
    /// ```
    /// # let brama = brama::Brama::builder().background(false).build()?;
    /// # let db = brama.register("db", None)?;
    /// db.open_circuit("upgrade", None)?;
    /// assert_eq!(db.why().as_deref(), Some("upgrade"));
    /// # Ok::<(), brama::Error>(())
    /// ```
    pub fn why(&self) -> Option<String> {
        self.record.opening_reason()
    }

    /// The message of a rejection by this connection: as its `Display`, with what the rule that
    /// opened the circuit had counted and the reason of the opening.
    ///
    /// ```
    /// # use brama::Brama;
    /// # fn main() -> Result<(), brama::Error> {
    /// # let brama = Brama::builder().build()?;
    /// let db = brama.register("db", None)?;
    /// for _ in 0..5 {
    ///     db.failure("timeout")?;
    /// }
    /// let rejected = db.acquire().expect_err("open");
    /// # let brama::Error::Rejected(rejected) = rejected else { unreachable!() };
    /// let message = db.explain(&rejected);
    /// assert!(message.contains("(consecutive, 5 failures in a row: timeout)"));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// If the circuit has opened for another cause since, or is not registered any more, the message
    /// is the rejection's own.
    pub fn explain(&self, rejected: &Rejected) -> String {
        self.record.message(rejected)
    }

    fn control(
        &self,
        operation: impl FnOnce(&Record, &Engine) -> Result<(), Refusal>,
    ) -> Result<(), Error> {
        operation(&self.record, &self.engine).map_err(|refusal| self.error(refusal))
    }

    #[cold]
    #[inline(never)]
    fn error(&self, refusal: Refusal) -> Error {
        self.engine.error(refusal, &self.record)
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("key", &self.key())
            .field("state", &self.state())
            .finish()
    }
}
