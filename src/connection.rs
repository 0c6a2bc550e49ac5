//! Handles and permits: how a call passes the gate and reports back.
//!
//! A [`Connection`] is resolved once; its operations need no hash, no look-up and
//! no epoch. A [`Permit`] borrows what it was acquired from, so that acquiring
//! and reporting touch no count of references; one that must outlive that comes
//! from `acquire_owned`. A permit acquired by name keeps nothing alive: it
//! remembers where its record was, and looks it up again to report.
//!
//! A permit reports once. Dropped without a report it is ignored, or a failure if
//! the thread is panicking, so an early return and a panic both do what one means.

use std::fmt;
use std::future::Future;
use std::sync::Arc;

use crate::config::ConnectionOptions;
use crate::engine::Engine;
use crate::error::{CallError, Error};
use crate::event::Report;
use crate::key::{Key, KeyBuf};
use crate::reclaim;
use crate::record::{OpenFor, Record, RecordRef, Refusal, Status, Ticket};
use crate::state::State;

/// What became of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// The dependency is fine.
    Success,
    /// The dependency failed.
    Failure,
    /// It says nothing about the dependency: a cancelled caller, a refused input.
    Ignored,
}

/// A connection, resolved: what one keeps for a hot path.
///
/// Cheap to clone, usable from any thread. It stays safe to use after the
/// connection was unregistered or cleaned up ([`Error::NotFound`]) and after the
/// manager was shut down ([`Error::ShutDown`]); it then admits nothing.
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
    pub fn key(&self) -> KeyBuf {
        self.record.key().to_buf()
    }

    /// Whether a call would be admitted now: true if closed or half-open. A pure
    /// question: it takes no permit. Closed, it is one load.
    #[inline]
    pub fn available(&self) -> bool {
        self.record.available(&self.engine.env)
    }

    /// Asks for admission.
    ///
    /// # Errors
    ///
    /// [`Error::Rejected`] if the circuit is open, or half-open with all probes
    /// out; [`Error::NotFound`], [`Error::ShutDown`].
    #[inline]
    pub fn acquire(&self) -> Result<Permit<'_>, Error> {
        match self.record.acquire(&self.engine.env) {
            Ok(ticket) => Ok(Permit::new(Holder::Handle(self), ticket)),
            Err(refusal) => Err(self.error(refusal)),
        }
    }

    /// [`Connection::acquire`] with a permit that borrows nothing and may be sent
    /// anywhere.
    pub fn acquire_owned(&self) -> Result<Permit<'static>, Error> {
        match self.record.acquire(&self.engine.env) {
            Ok(ticket) => Ok(Permit::new(Holder::Owned(self.clone()), ticket)),
            Err(refusal) => Err(self.error(refusal)),
        }
    }

    /// Reports a success without a permit (ask, call, report). While half-open it
    /// counts like a probe's.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`], [`Error::ShutDown`].
    #[inline]
    pub fn success(&self) -> Result<(), Error> {
        self.record
            .success(&self.engine.env, None, &Report::NONE)
            .map_err(|refusal| self.error(refusal))
    }

    /// [`Connection::success`] with metadata for its events.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`], [`Error::ShutDown`].
    pub fn success_with<'r>(&self, report: impl Into<Report<'r>>) -> Result<(), Error> {
        self.record
            .success(&self.engine.env, None, &report.into())
            .map_err(|refusal| self.error(refusal))
    }

    /// Reports a failure without a permit, and returns how many count now: in a
    /// row, or inside the window if there is one. While half-open it counts like
    /// a probe's.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`], [`Error::ShutDown`].
    pub fn failure<'r>(&self, report: impl Into<Report<'r>>) -> Result<u32, Error> {
        self.record
            .failure(&self.engine.env, None, &report.into())
            .map_err(|refusal| self.error(refusal))
    }

    /// Runs `f` if the circuit admits it, and reports `Ok` as success, `Err` as
    /// failure and a panic as failure. Nothing is locked or pinned meanwhile.
    ///
    /// # Errors
    ///
    /// [`CallError::Inner`] is what `f` returned; otherwise `f` did not run.
    pub fn call<T, E>(&self, f: impl FnOnce() -> Result<T, E>) -> Result<T, CallError<E>> {
        self.call_with(by_result, f)
    }

    /// [`Connection::call`] in which `classify` says what a result means.
    ///
    /// ```
    /// # use brama::{Brama, Outcome};
    /// # fn main() -> Result<(), brama::Error> {
    /// # let brama = Brama::builder().build()?;
    /// # let search = brama.register("search", None)?;
    /// // A 404 is an answer, not a failing dependency.
    /// let found = search.call_with(
    ///     |result: &Result<u16, String>| match result {
    ///         Ok(200..500) => Outcome::Success,
    ///         _ => Outcome::Failure,
    ///     },
    ///     || Ok(404),
    /// );
    /// assert_eq!(found, Ok(404));
    /// assert_eq!(search.status()?.total_successes, 1);
    /// # Ok(())
    /// # }
    /// ```
    pub fn call_with<T, E>(
        &self,
        classify: impl FnOnce(&Result<T, E>) -> Outcome,
        f: impl FnOnce() -> Result<T, E>,
    ) -> Result<T, CallError<E>> {
        run(self.acquire()?, classify, f)
    }

    /// [`Connection::call`] for a future. Dropped before it is done, it is
    /// ignored: a cancelled caller is no failing dependency.
    pub async fn call_async<T, E, F>(&self, f: impl FnOnce() -> F) -> Result<T, CallError<E>>
    where
        F: Future<Output = Result<T, E>>,
    {
        self.call_async_with(by_result, f).await
    }

    /// [`Connection::call_with`] for a future.
    pub async fn call_async_with<T, E, F>(
        &self,
        classify: impl FnOnce(&Result<T, E>) -> Outcome,
        f: impl FnOnce() -> F,
    ) -> Result<T, CallError<E>>
    where
        F: Future<Output = Result<T, E>>,
    {
        run_async(self.acquire()?, classify, f).await
    }

    /// Everything that is known of the connection.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`], [`Error::ShutDown`].
    pub fn status(&self) -> Result<Status, Error> {
        self.record
            .status(&self.engine.env)
            .ok_or_else(|| self.error(Refusal::Gone))
    }

    /// The state as of now; [`State::Unknown`] if it is not registered any more.
    pub fn state(&self) -> State {
        self.record.state(&self.engine.env)
    }

    /// Opens the circuit, or moves the deadline of an open one.
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
        self.control(|record, engine| record.open(&engine.env, &report, how_long))
    }

    /// Closes the circuit. The count of failures stays: one more may open it again.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`], [`Error::ShutDown`].
    pub fn close_circuit(&self) -> Result<(), Error> {
        self.control(|record, engine| record.close(&engine.env))
    }

    /// Lets probes through now.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`], [`Error::ShutDown`].
    pub fn half_open_circuit(&self) -> Result<(), Error> {
        self.control(|record, engine| record.half_open(&engine.env))
    }

    /// Closes the circuit and forgets the count, the window and the trips. The
    /// totals stay.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`], [`Error::ShutDown`].
    pub fn reset_circuit(&self) -> Result<(), Error> {
        self.control(|record, engine| record.reset(&engine.env))
    }

    /// Changes the settings that `options` gives, all at once. Counts, deadlines
    /// and permits survive.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidConfig`]: nothing was changed. [`Error::NotFound`],
    /// [`Error::ShutDown`].
    pub fn configure(&self, options: ConnectionOptions) -> Result<(), Error> {
        self.engine.configure_record(&self.record, &options)
    }

    fn control(
        &self,
        operation: impl FnOnce(&Record, &Engine) -> Result<(), Refusal>,
    ) -> Result<(), Error> {
        operation(&self.record, &self.engine).map_err(|refusal| self.error(refusal))
    }

    #[inline]
    fn error(&self, refusal: Refusal) -> Error {
        match refusal {
            Refusal::Rejected(rejected) => Error::Rejected(rejected),
            refusal => self.engine.error(refusal, self.record.key()),
        }
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

impl OpenFor {
    pub(crate) fn validate(self) -> Result<(), Error> {
        match self {
            OpenFor::Custom(length) if crate::config::given_ms(length) == 0 => Err(
                Error::argument("expiry", &format!("{length:?}"), "must be at least 1 ms"),
            ),
            _ => Ok(()),
        }
    }
}

/// An admission, to be reported once, from any thread.
///
/// Dropped, it is [ignored](Permit::ignore), or a failure if the thread is
/// panicking. A report that comes when the state of the admission is gone, or
/// after a probe's lease has ended, counts in the totals only and answers
/// [`Error::Stale`].
#[must_use = "dropping a permit reports it as ignored"]
pub struct Permit<'a> {
    /// None once reported.
    admission: Option<(Holder<'a>, Ticket)>,
}

enum Holder<'a> {
    Handle(&'a Connection),
    Owned(Connection),
    Name(Named<'a>),
}

/// A record by where it was found. It may be gone, and another one may live at
/// its address; the id tells.
struct Named<'a> {
    engine: &'a Engine,
    hash: u64,
    address: usize,
    id: u64,
    key: Key<'a>,
}

impl<'a> Permit<'a> {
    fn new(holder: Holder<'a>, ticket: Ticket) -> Self {
        Permit {
            admission: Some((holder, ticket)),
        }
    }

    pub(crate) fn by_name(
        engine: &'a Engine,
        key: Key<'a>,
        record: &Record,
        ticket: Ticket,
    ) -> Self {
        let named = Named {
            engine,
            hash: record.hash(),
            address: std::ptr::from_ref(record).addr(),
            id: record.id(),
            key,
        };
        Permit::new(Holder::Name(named), ticket)
    }

    /// Reports a success.
    ///
    /// # Errors
    ///
    /// [`Error::Stale`], [`Error::NotFound`], [`Error::ShutDown`].
    #[inline]
    pub fn success(mut self) -> Result<(), Error> {
        self.settle(|record, engine, ticket| {
            record.success(&engine.env, Some(ticket), &Report::NONE)
        })
    }

    /// [`Permit::success`] with metadata for its events.
    ///
    /// # Errors
    ///
    /// [`Error::Stale`], [`Error::NotFound`], [`Error::ShutDown`].
    pub fn success_with<'r>(mut self, report: impl Into<Report<'r>>) -> Result<(), Error> {
        let report = report.into();
        self.settle(|record, engine, ticket| record.success(&engine.env, Some(ticket), &report))
    }

    /// Reports a failure, and returns how many count now.
    ///
    /// # Errors
    ///
    /// [`Error::Stale`], [`Error::NotFound`], [`Error::ShutDown`].
    pub fn failure<'r>(mut self, report: impl Into<Report<'r>>) -> Result<u32, Error> {
        let report = report.into();
        self.settle(|record, engine, ticket| record.failure(&engine.env, Some(ticket), &report))
    }

    /// Gives the permit back: neither success nor failure.
    ///
    /// # Errors
    ///
    /// [`Error::Stale`], [`Error::NotFound`], [`Error::ShutDown`].
    pub fn ignore(mut self) -> Result<(), Error> {
        self.settle(|record, engine, ticket| record.ignored(&engine.env, ticket))
    }

    /// Reports any outcome.
    ///
    /// # Errors
    ///
    /// [`Error::Stale`], [`Error::NotFound`], [`Error::ShutDown`].
    pub fn report<'r>(self, outcome: Outcome, report: impl Into<Report<'r>>) -> Result<(), Error> {
        match outcome {
            Outcome::Success => self.success_with(report),
            Outcome::Failure => self.failure(report).map(drop),
            Outcome::Ignored => self.ignore(),
        }
    }

    #[inline]
    fn settle<T>(
        &mut self,
        report: impl FnOnce(&Record, &Engine, &Ticket) -> Result<T, Refusal>,
    ) -> Result<T, Error> {
        let Some((holder, ticket)) = self.admission.take() else {
            return Err(Error::Stale);
        };
        match &holder {
            Holder::Handle(connection) => report(&connection.record, &connection.engine, &ticket)
                .map_err(|refusal| connection.error(refusal)),
            Holder::Owned(connection) => report(&connection.record, &connection.engine, &ticket)
                .map_err(|refusal| connection.error(refusal)),
            Holder::Name(named) => {
                let guard = reclaim::pin();
                let address = std::ptr::without_provenance(named.address);
                named
                    .engine
                    .table
                    .get_ptr(named.hash, address, &guard)
                    .filter(|record| record.id() == named.id)
                    .ok_or(Refusal::Gone)
                    .and_then(|record| report(record, named.engine, &ticket))
                    .map_err(|refusal| named.engine.error(refusal, named.key))
            }
        }
    }
}

impl Drop for Permit<'_> {
    #[inline]
    fn drop(&mut self) {
        if self.admission.is_some() {
            self.settle_unreported();
        }
    }
}

impl Permit<'_> {
    #[cold]
    fn settle_unreported(&mut self) {
        // Nobody is left to hear of an error.
        let _ = if std::thread::panicking() {
            self.settle(|record, engine, ticket| {
                record.failure(&engine.env, Some(ticket), &"panic".into())
            })
            .map(drop)
        } else {
            self.settle(|record, engine, ticket| record.ignored(&engine.env, ticket))
        };
    }
}

impl fmt::Debug for Permit<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ticket = self.admission.as_ref().map(|(_, ticket)| ticket);
        f.debug_struct("Permit").field("ticket", &ticket).finish()
    }
}

/// The usual meaning of a result.
pub(crate) fn by_result<T, E>(result: &Result<T, E>) -> Outcome {
    match result {
        Ok(_) => Outcome::Success,
        Err(_) => Outcome::Failure,
    }
}

pub(crate) fn run<T, E>(
    permit: Permit<'_>,
    classify: impl FnOnce(&Result<T, E>) -> Outcome,
    f: impl FnOnce() -> Result<T, E>,
) -> Result<T, CallError<E>> {
    conclude(permit, classify, f())
}

pub(crate) async fn run_async<T, E, F>(
    permit: Permit<'_>,
    classify: impl FnOnce(&Result<T, E>) -> Outcome,
    f: impl FnOnce() -> F,
) -> Result<T, CallError<E>>
where
    F: Future<Output = Result<T, E>>,
{
    conclude(permit, classify, f().await)
}

fn conclude<T, E>(
    permit: Permit<'_>,
    classify: impl FnOnce(&Result<T, E>) -> Outcome,
    result: Result<T, E>,
) -> Result<T, CallError<E>> {
    let outcome = classify(&result);
    // A stale report has done what it could; the caller wants the result.
    let _ = permit.report(outcome, Report::NONE);
    result.map_err(CallError::Inner)
}
