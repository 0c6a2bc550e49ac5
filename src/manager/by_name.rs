//! What a manager does with one connection that is given by its key: each operation looks it up.
//! [`Connection`](crate::Connection) has the same operations without a look-up.

use std::future::Future;
use std::time::Duration;

use super::Brama;
use crate::circuit::record::{OpenFor, Record, RecordRef, Refusal, Status};
use crate::manager::call::{self, Admitted};
use crate::manager::classified::{By, ByResult, Classified, Classify, WithReason};
use crate::manager::engine::Engine;
use crate::manager::permit::{Outcome, Permit};
use crate::manager::trace;
use crate::values::error::{CallError, Error};
use crate::values::event::Report;
use crate::values::key::Key;
use crate::values::state::State;

/// A guarded call by name that was let in.
enum Entered<'a> {
    /// By a closed circuit.
    Passing(Permit<'a>),
    /// Otherwise. The record is held as long as the call lasts: calls inside of it may ask whether
    /// they are of the same circuit.
    Held(RecordRef, Admitted),
}

impl Brama {
    /// Whether a call would be admitted now. False for an unknown name.
    ///
    /// ```
    /// # let brama = brama::Brama::builder().auto_register(true).build()?;
    /// assert!(brama.available("db"));
    /// # Ok::<(), brama::Error>(())
    /// ```
    #[inline]
    pub fn available<'k>(&self, key: impl Into<Key<'k>>) -> bool {
        self.engine().available(key.into())
    }

    /// Asks for admission; see [`Connection::acquire`](crate::Connection::acquire). The permit
    /// holds no reference to the connection: its report looks that up again, without the name.
    ///
    /// ```
    /// # let brama = brama::Brama::builder().auto_register(true).build()?;
    /// brama.acquire("db")?.success()?;
    /// # Ok::<(), brama::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::Rejected`], [`Error::NotFound`], [`Error::InvalidArgument`],
    /// [`Error::ShutDown`].
    pub fn acquire<'k>(&self, key: impl Into<Key<'k>>) -> Result<Permit<'_>, Error> {
        let (engine, key) = (self.engine(), key.into());
        if !std::thread::panicking()
            && let Some((trace, ticket)) = engine.try_pass(key)
        {
            return Ok(Permit::traced(engine, trace, ticket));
        }
        self.acquire_unless_closed(key)
    }

    #[inline(never)]
    fn acquire_unless_closed(&self, key: Key<'_>) -> Result<Permit<'_>, Error> {
        let engine = self.engine();
        engine.with_hash(key, |record, hash, guard| {
            let ticket = record.acquire_for_permit(&engine.context).ticket()?;
            let trace = trace::leave(&engine.context, record, hash, guard)?;
            Ok(Permit::traced(engine, trace, ticket))
        })
    }

    /// Reports a success; see [`Connection::success`](crate::Connection::success).
    ///
    /// ```
    /// # let brama = brama::Brama::builder().auto_register(true).build()?;
    /// brama.success("db")?;
    /// # Ok::<(), brama::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`], [`Error::InvalidArgument`], [`Error::ShutDown`].
    pub fn success<'k>(&self, key: impl Into<Key<'k>>) -> Result<(), Error> {
        let engine = self.engine();
        engine.with(key.into(), |record, guard| {
            record.success_by_name(&engine.context, None, &Report::NONE, guard)
        })
    }

    /// [`Brama::success`] with metadata for its events.
    ///
    /// ```
    /// # let brama = brama::Brama::builder().auto_register(true).build()?;
    /// brama.success_with("db", brama::Report::new().metadata([("host", "db-3")]))?;
    /// # Ok::<(), brama::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`], [`Error::InvalidArgument`], [`Error::ShutDown`].
    pub fn success_with<'k, 'r>(
        &self,
        key: impl Into<Key<'k>>,
        report: impl Into<Report<'r>>,
    ) -> Result<(), Error> {
        let (engine, report) = (self.engine(), report.into());
        engine.with(key.into(), |record, _| {
            let _held = record.hold();
            record.success(&engine.context, None, &report)
        })
    }

    /// Reports a failure and returns how many count now; see [`Connection::failure`](crate::Connection::failure).
    ///
    /// ```
    /// # let brama = brama::Brama::builder().auto_register(true).build()?;
    /// assert_eq!(brama.failure("db", "timeout")?, 1);
    /// # Ok::<(), brama::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`], [`Error::InvalidArgument`], [`Error::ShutDown`].
    pub fn failure<'k, 'r>(
        &self,
        key: impl Into<Key<'k>>,
        report: impl Into<Report<'r>>,
    ) -> Result<u32, Error> {
        let (engine, report) = (self.engine(), report.into());
        engine.with(key.into(), |record, _| {
            record.failure(&engine.context, None, &report)
        })
    }

    /// Reports a failure with which the dependency has said how long it wants to be left alone;
    /// see [`Connection::failure_for`](crate::Connection::failure_for).
    ///
    /// ```
    /// # let brama = brama::Brama::builder().auto_register(true).build()?;
    /// brama.failure_for("search", "HTTP 429", std::time::Duration::from_secs(30))?;
    /// # Ok::<(), brama::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`Brama::failure`].
    pub fn failure_for<'k, 'r>(
        &self,
        key: impl Into<Key<'k>>,
        report: impl Into<Report<'r>>,
        wait: Duration,
    ) -> Result<u32, Error> {
        let (engine, report) = (self.engine(), report.into());
        engine.with(key.into(), |record, _| {
            record.failure_for(&engine.context, None, &report, wait)
        })
    }

    /// Reports a success of a call that has lasted so long; see
    /// [`Connection::success_in`](crate::Connection::success_in).
    ///
    /// ```
    /// # let brama = brama::Brama::builder().auto_register(true).build()?;
    /// brama.success_in("db", std::time::Duration::from_millis(40))?;
    /// # Ok::<(), brama::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`Brama::success`].
    pub fn success_in<'k>(&self, key: impl Into<Key<'k>>, duration: Duration) -> Result<(), Error> {
        self.success_with(key, Report::NONE.lasting(duration))
    }

    /// Reports a failure of a call that has lasted so long; see
    /// [`Connection::failure_in`](crate::Connection::failure_in).
    ///
    /// ```
    /// # let brama = brama::Brama::builder().auto_register(true).build()?;
    /// brama.failure_in("db", std::time::Duration::from_secs(30), "timeout")?;
    /// # Ok::<(), brama::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`Brama::failure`].
    pub fn failure_in<'k, 'r>(
        &self,
        key: impl Into<Key<'k>>,
        duration: Duration,
        report: impl Into<Report<'r>>,
    ) -> Result<u32, Error> {
        self.failure(key, report.into().lasting(duration))
    }

    /// Runs `f` if the circuit admits it; see [`Connection::call`](crate::Connection::call).
    ///
    /// For error types that are not text, boxed, io or fmt errors no reason is kept: use
    /// [`Brama::call_classified`].
    ///
    /// ```
    /// # let brama = brama::Brama::builder().auto_register(true).build()?;
    /// assert_eq!(brama.call("db", || Ok::<_, String>(42)), Ok(42));
    /// # Ok::<(), brama::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`CallError::Inner`] is what `f` returned; otherwise `f` did not run.
    pub fn call<'k, T, E>(
        &'k self,
        key: impl Into<Key<'k>>,
        f: impl FnOnce() -> Result<T, E>,
    ) -> Result<T, CallError<E>> {
        self.call_by(key.into(), ByResult, f)
    }

    /// [`Brama::call`] in which `classify` says what a result means.
    ///
    /// [`Connection::call_with`](crate::Connection::call_with) has an example.
    ///
    /// # Errors
    ///
    /// As [`Brama::call`].
    pub fn call_with<'k, T, E>(
        &'k self,
        key: impl Into<Key<'k>>,
        classify: impl FnOnce(&Result<T, E>) -> Outcome,
        f: impl FnOnce() -> Result<T, E>,
    ) -> Result<T, CallError<E>> {
        self.call_by(key.into(), By(classify), f)
    }

    /// [`Brama::call_with`] whose classifier may give the reason of a failure: see [`Classified`].
    ///
    /// [`Connection::call_classified`](crate::Connection::call_classified) has an example.
    ///
    /// # Errors
    ///
    /// As [`Brama::call`].
    pub fn call_classified<'k, T, E>(
        &'k self,
        key: impl Into<Key<'k>>,
        classify: impl FnOnce(&Result<T, E>) -> Classified,
        f: impl FnOnce() -> Result<T, E>,
    ) -> Result<T, CallError<E>> {
        self.call_by(key.into(), WithReason(classify), f)
    }

    #[inline(always)]
    fn call_by<T, E>(
        &self,
        key: Key<'_>,
        classifier: impl Classify<T, E>,
        f: impl FnOnce() -> Result<T, E>,
    ) -> Result<T, CallError<E>> {
        if let Some(permit) = self.pass(key) {
            return call::conclude(permit, classifier, |outcome| outcome, f());
        }
        match self.enter(key)? {
            Entered::Passing(permit) => call::conclude(permit, classifier, |outcome| outcome, f()),
            Entered::Held(record, admitted) => {
                let entry = admitted.entry(self.engine(), &record);
                call::run_entry(self.engine(), &record, entry, classifier, f)
            }
        }
    }

    /// [`Brama::call`] for a future; see [`Connection::call_async`](crate::Connection::call_async).
    ///
    /// [`Connection::call_async`](crate::Connection::call_async) has an example.
    ///
    /// # Errors
    ///
    /// As [`Brama::call`].
    pub async fn call_async<'k, T, E, F>(
        &'k self,
        key: impl Into<Key<'k>>,
        f: impl FnOnce() -> F,
    ) -> Result<T, CallError<E>>
    where
        F: Future<Output = Result<T, E>>,
    {
        self.call_async_by(key.into(), ByResult, f).await
    }

    /// [`Brama::call_with`] for a future.
    ///
    /// [`Connection::call_async_with`](crate::Connection::call_async_with) has an example.
    ///
    /// # Errors
    ///
    /// As [`Brama::call`].
    pub async fn call_async_with<'k, T, E, F>(
        &'k self,
        key: impl Into<Key<'k>>,
        classify: impl FnOnce(&Result<T, E>) -> Outcome,
        f: impl FnOnce() -> F,
    ) -> Result<T, CallError<E>>
    where
        F: Future<Output = Result<T, E>>,
    {
        self.call_async_by(key.into(), By(classify), f).await
    }

    /// [`Brama::call_classified`] for a future.
    ///
    /// [`Connection::call_async_classified`](crate::Connection::call_async_classified) has an example.
    ///
    /// # Errors
    ///
    /// As [`Brama::call`].
    pub async fn call_async_classified<'k, T, E, F>(
        &'k self,
        key: impl Into<Key<'k>>,
        classify: impl FnOnce(&Result<T, E>) -> Classified,
        f: impl FnOnce() -> F,
    ) -> Result<T, CallError<E>>
    where
        F: Future<Output = Result<T, E>>,
    {
        self.call_async_by(key.into(), WithReason(classify), f)
            .await
    }

    async fn call_async_by<T, E, F>(
        &self,
        key: Key<'_>,
        classifier: impl Classify<T, E>,
        f: impl FnOnce() -> F,
    ) -> Result<T, CallError<E>>
    where
        F: Future<Output = Result<T, E>>,
    {
        match self.enter(key)? {
            Entered::Passing(permit) => {
                call::conclude(permit, classifier, |outcome| outcome, f().await)
            }
            Entered::Held(record, admitted) => {
                let entry = admitted.entry(self.engine(), &record);
                call::run_entry_async(self.engine(), &record, entry, classifier, f).await
            }
        }
    }

    /// Lets a guarded call into a closed circuit that is not watched.
    fn pass(&self, key: Key<'_>) -> Option<Permit<'_>> {
        let engine = self.engine();
        let (trace, ticket) = engine.try_pass(key)?;
        Some(Permit::traced(engine, trace, ticket))
    }

    /// Lets a guarded call in.
    fn enter(&self, key: Key<'_>) -> Result<Entered<'_>, Error> {
        let engine = self.engine();
        engine.with_hash(key, |record, hash, guard| {
            if let Some(ticket) = record.pass(&engine.context) {
                let trace = trace::leave(&engine.context, record, hash, guard)?;
                return Ok(Entered::Passing(Permit::traced(engine, trace, ticket)));
            }
            if let Some(refused) = record.try_reject_open(&engine.context) {
                return Err(Refusal::Rejected(refused));
            }
            let held = record.hold();
            let admitted = call::admit_unless_closed(engine, record)?;
            // A closed circuit leaves this mark, and a question may have closed this one before.
            record.mark_visited();
            Ok(Entered::Held(held, admitted))
        })
    }

    /// Everything that is known of a connection. Registers nothing.
    ///
    /// ```
    /// # let brama = brama::Brama::builder().auto_register(true).build()?;
    /// brama.success("db")?;
    /// assert_eq!(brama.status("db")?.total_successes, 1);
    /// # Ok::<(), brama::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`], [`Error::InvalidArgument`], [`Error::ShutDown`].
    pub fn status<'k>(&self, key: impl Into<Key<'k>>) -> Result<Status, Error> {
        let engine = self.engine();
        engine.look_up(key.into(), |record| record.status(&engine.context))
    }

    /// The state as of now; [`State::Unknown`] for a name that is not registered.
    /// Registers nothing.
    ///
    /// ```
    /// # let brama = brama::Brama::builder().auto_register(true).build()?;
    /// assert_eq!(brama.state("unheard of"), brama::State::Unknown);
    /// # Ok::<(), brama::Error>(())
    /// ```
    pub fn state<'k>(&self, key: impl Into<Key<'k>>) -> State {
        let engine = self.engine();
        engine
            .look_up(key.into(), |record| Some(record.state(&engine.context)))
            .unwrap_or(State::Unknown)
    }

    /// Opens a circuit by hand, in place of any opening; see
    /// [`Connection::open_circuit`](crate::Connection::open_circuit).
    ///
    /// ```
    /// # let brama = brama::Brama::builder().auto_register(true).build()?;
    /// brama.open_circuit("db", "upgrade", None)?;
    /// # Ok::<(), brama::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`], [`Error::InvalidArgument`], [`Error::ShutDown`].
    pub fn open_circuit<'k, 'r>(
        &self,
        key: impl Into<Key<'k>>,
        report: impl Into<Report<'r>>,
        how_long: impl Into<OpenFor>,
    ) -> Result<(), Error> {
        let (report, how_long) = (report.into(), how_long.into());
        how_long.validate()?;
        self.control(key.into(), |record, engine| {
            record.open(&engine.context, &report, how_long)
        })
    }

    /// Closes a circuit by hand; see [`Connection::close_circuit`](crate::Connection::close_circuit).
    ///
    /// ```
    /// # let brama = brama::Brama::builder().auto_register(true).build()?;
    /// brama.close_circuit("db")?;
    /// # Ok::<(), brama::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`], [`Error::InvalidArgument`], [`Error::ShutDown`].
    pub fn close_circuit<'k>(&self, key: impl Into<Key<'k>>) -> Result<(), Error> {
        self.control(key.into(), |record, engine| record.close(&engine.context))
    }

    /// Lets probes through now; see [`Connection::half_open_circuit`](crate::Connection::half_open_circuit).
    ///
    /// ```
    /// # let brama = brama::Brama::builder().auto_register(true).build()?;
    /// brama.half_open_circuit("db")?;
    /// # Ok::<(), brama::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`], [`Error::InvalidArgument`], [`Error::ShutDown`].
    pub fn half_open_circuit<'k>(&self, key: impl Into<Key<'k>>) -> Result<(), Error> {
        self.control(key.into(), |record, engine| {
            record.half_open(&engine.context)
        })
    }

    /// Closes a circuit and forgets its count; see [`Connection::reset_circuit`](crate::Connection::reset_circuit).
    ///
    /// ```
    /// # let brama = brama::Brama::builder().auto_register(true).build()?;
    /// brama.reset_circuit("db")?;
    /// # Ok::<(), brama::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`], [`Error::InvalidArgument`], [`Error::ShutDown`].
    pub fn reset_circuit<'k>(&self, key: impl Into<Key<'k>>) -> Result<(), Error> {
        self.control(key.into(), |record, engine| record.reset(&engine.context))
    }

    fn control(
        &self,
        key: Key<'_>,
        operation: impl Fn(&Record, &Engine) -> Result<(), Refusal>,
    ) -> Result<(), Error> {
        let engine = self.engine();
        engine.with(key, |record, _| {
            let _held = record.hold();
            operation(record, engine)
        })
    }
}
