//! [`Brama`]: a manager of connections.
//!
//! Everything by name is here: a look-up, then the same operation that a handle
//! has. What a manager owns beside its engine is the driver's thread; the last
//! clone that is dropped shuts it down, and so does [`Brama::shutdown`].

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use once_cell::race::OnceBox;

use crate::circuit::record::{OpenFor, Record, RecordRef, Refusal, Status};
use crate::manager::builder::Builder;
use crate::manager::call::Admitted;
use crate::manager::connection::Connection;
use crate::manager::engine::Engine;
use crate::manager::permit::{Outcome, Permit};
use crate::values::error::{CallError, Error};
use crate::values::event::Report;
use crate::values::key::Key;
use crate::values::settings::{Config, ConnectionOptions};
use crate::values::state::State;

pub(crate) mod builder;
pub(crate) mod call;
pub(crate) mod connection;
pub(crate) mod driver;
pub(crate) mod engine;
pub(crate) mod permit;
#[cfg(feature = "capi")]
mod raw_permit;
mod rejection;
mod subscribe;
pub(crate) mod subscription;
#[cfg(feature = "capi")]
pub(crate) use raw_permit::Admission;

/// A manager: registers connections, decides which calls may pass, keeps the books.
///
/// Cheap to clone; all clones are the same manager, usable from any thread.
/// Managers are independent of each other. When the last clone is dropped, the
/// manager is [shut down](Brama::shutdown); handles stay safe to use.
///
/// Operations that take a key look it up: a hash, a pin and a probe. A hot
/// path keeps a [`Connection`] instead.
#[derive(Clone)]
pub struct Brama {
    shared: Arc<ShutdownOnDrop>,
}

/// What the clones share.
struct ShutdownOnDrop {
    engine: Arc<Engine>,
}

/// Made by a race, not under a lock, which a fork could leave held: of several
/// threads that make it at once, the others throw theirs away.
static DEFAULT: OnceBox<Brama> = OnceBox::new();

/// The process-wide manager, made with the default settings on first use.
pub fn default() -> &'static Brama {
    DEFAULT.get_or_init(|| {
        let brama = Brama::builder().build();
        Box::new(brama.expect("the default settings are valid"))
    })
}

/// The process-wide manager, if it was ever used.
#[cfg(feature = "capi")]
pub(crate) fn default_if_made() -> Option<&'static Brama> {
    DEFAULT.get()
}

impl Brama {
    pub(crate) fn new(engine: Arc<Engine>) -> Self {
        Brama {
            shared: Arc::new(ShutdownOnDrop { engine }),
        }
    }

    /// Begins a manager.
    pub fn builder() -> Builder {
        Builder::new()
    }

    /// Registers a connection, closed, and returns its handle. `None` for the
    /// options follows the global settings in everything.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidArgument`] and [`Error::InvalidConfig`] name what is out of
    /// range; [`Error::AlreadyRegistered`] leaves the existing connection as it
    /// is; [`Error::ShutDown`].
    pub fn register<'k>(
        &self,
        key: impl Into<Key<'k>>,
        options: impl Into<Option<ConnectionOptions>>,
    ) -> Result<Connection, Error> {
        let record = self.engine().register(key.into(), options.into())?;
        Ok(Connection::new(self.shared.engine.clone(), record))
    }

    /// The connection of this name, registered now if it was not. The options
    /// matter only in that case. If the connection was there and has other settings than
    /// the options give, it keeps them, and an event of type
    /// [`Notice`](crate::EventType::Notice) says so: once for each connection, when
    /// there is a subscriber.
    ///
    /// # Errors
    ///
    /// As [`Brama::register`], without `AlreadyRegistered`.
    pub fn get_or_register<'k>(
        &self,
        key: impl Into<Key<'k>>,
        options: impl Into<Option<ConnectionOptions>>,
    ) -> Result<Connection, Error> {
        let options = options.into().unwrap_or_default();
        let record = self.engine().get_or_register(key.into(), &options)?;
        Ok(Connection::new(self.shared.engine.clone(), record))
    }

    /// Removes a connection. Its handles answer [`Error::NotFound`] from now on.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`], [`Error::InvalidArgument`], [`Error::ShutDown`].
    pub fn unregister<'k>(&self, key: impl Into<Key<'k>>) -> Result<(), Error> {
        self.engine().unregister(key.into())
    }

    /// A handle of a registered connection. With `auto_register` an unknown name
    /// is registered.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`], [`Error::InvalidArgument`], [`Error::ShutDown`].
    pub fn connection<'k>(&self, key: impl Into<Key<'k>>) -> Result<Connection, Error> {
        let record = self.engine().with(key.into(), |record, _| {
            let engine = self.engine();
            record.hold_if_there(&engine.context).ok_or(Refusal::Gone)
        })?;
        Ok(Connection::new(self.shared.engine.clone(), record))
    }

    /// Whether a call would be admitted now. False for an unknown name.
    #[inline]
    pub fn available<'k>(&self, key: impl Into<Key<'k>>) -> bool {
        self.engine().available(key.into())
    }

    /// Asks for admission; see [`Connection::acquire`]. The permit keeps what it
    /// needs of the connection, also if that is removed.
    ///
    /// # Errors
    ///
    /// [`Error::Rejected`], [`Error::NotFound`], [`Error::InvalidArgument`],
    /// [`Error::ShutDown`].
    pub fn acquire<'k>(&self, key: impl Into<Key<'k>>) -> Result<Permit<'_>, Error> {
        let (engine, key) = (self.engine(), key.into());
        engine.with(key, |record, _| {
            let held = record.hold();
            let ticket = match record.try_pass() {
                Some(ticket) if !std::thread::panicking() => ticket,
                _ => record.acquire_for_permit(&engine.context).ticket()?,
            };
            Ok(Permit::by_name(engine, held, ticket))
        })
    }

    /// Reports a success; see [`Connection::success`].
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

    /// Reports a failure and returns how many count now; see [`Connection::failure`].
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

    /// Runs `f` if the circuit admits it; see [`Connection::call`].
    ///
    /// # Errors
    ///
    /// [`CallError::Inner`] is what `f` returned; otherwise `f` did not run.
    pub fn call<'k, T, E>(
        &'k self,
        key: impl Into<Key<'k>>,
        f: impl FnOnce() -> Result<T, E>,
    ) -> Result<T, CallError<E>> {
        self.call_with(key, call::by_result, f)
    }

    /// [`Brama::call`] in which `classify` says what a result means.
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
        let (record, admitted) = self.enter(key.into())?;
        let entry = admitted.entry(self.engine(), &record);
        call::run_entry(self.engine(), &record, entry, classify, f)
    }

    /// [`Brama::call`] for a future; see [`Connection::call_async`].
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
        self.call_async_with(key, call::by_result, f).await
    }

    /// [`Brama::call_with`] for a future.
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
        let (record, admitted) = self.enter(key.into())?;
        let entry = admitted.entry(self.engine(), &record);
        call::run_entry_async(self.engine(), &record, entry, classify, f).await
    }

    /// Lets a guarded call in. The record is held as long as the call lasts.
    fn enter(&self, key: Key<'_>) -> Result<(RecordRef, Admitted), Error> {
        let engine = self.engine();
        engine.with(key, |record, _| {
            let held = record.hold();
            call::admit(engine, record).map(|admitted| (held, admitted))
        })
    }

    /// Everything that is known of a connection. Registers nothing.
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
    pub fn state<'k>(&self, key: impl Into<Key<'k>>) -> State {
        let engine = self.engine();
        engine
            .look_up(key.into(), |record| Some(record.state(&engine.context)))
            .unwrap_or(State::Unknown)
    }

    /// Opens a circuit by hand; see [`Connection::open_circuit`].
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

    /// Closes a circuit by hand; see [`Connection::close_circuit`].
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`], [`Error::InvalidArgument`], [`Error::ShutDown`].
    pub fn close_circuit<'k>(&self, key: impl Into<Key<'k>>) -> Result<(), Error> {
        self.control(key.into(), |record, engine| record.close(&engine.context))
    }

    /// Lets probes through now; see [`Connection::half_open_circuit`].
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`], [`Error::InvalidArgument`], [`Error::ShutDown`].
    pub fn half_open_circuit<'k>(&self, key: impl Into<Key<'k>>) -> Result<(), Error> {
        self.control(key.into(), |record, engine| {
            record.half_open(&engine.context)
        })
    }

    /// Closes a circuit and forgets its count; see [`Connection::reset_circuit`].
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

    /// Changes the global settings that `config` gives, all at once. Connections
    /// that did not set them follow at their next decision.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidConfig`]: nothing was changed. [`Error::ShutDown`].
    pub fn configure(&self, config: Config) -> Result<(), Error> {
        self.engine().configure(&config)
    }

    /// Changes the settings of one connection; see [`Connection::configure`].
    ///
    /// # Errors
    ///
    /// [`Error::InvalidConfig`]: nothing was changed. [`Error::NotFound`],
    /// [`Error::InvalidArgument`], [`Error::ShutDown`].
    pub fn configure_connection<'k>(
        &self,
        key: impl Into<Key<'k>>,
        options: ConnectionOptions,
    ) -> Result<(), Error> {
        self.engine().configure_by_name(key.into(), &options)
    }

    /// The status of every connection, ordered by scope and identifier. Each is
    /// consistent with itself; together they are not one instant.
    pub fn snapshot(&self) -> Vec<Status> {
        self.engine().snapshot(|_| true)
    }

    /// The status of every connection in `scope`; `None`: of those without one.
    pub fn snapshot_of_scope<'s>(&self, scope: impl Into<Option<&'s str>>) -> Vec<Status> {
        let scope = scope.into();
        self.engine().snapshot(|key| key.scope() == scope)
    }

    /// How many connections are in each state.
    pub fn state_counts(&self) -> StateCounts {
        let engine = self.engine();
        let mut counts = StateCounts::default();
        engine.for_each(|record| match record.state(&engine.context) {
            State::Closed => counts.closed += 1,
            State::Open => counts.open += 1,
            State::HalfOpen => counts.half_open += 1,
            State::Unknown => {}
        });
        counts
    }

    /// Resets every circuit; see [`Connection::reset_circuit`].
    pub fn reset_all(&self) {
        let engine = self.engine();
        engine.for_each(|record| {
            // Removed meanwhile: nothing to reset.
            let _ = record.reset(&engine.context);
        });
    }

    /// Does what is due: expiries, cleanup, delivery of events. Needed without a background
    /// thread, harmless with one.
    pub fn poll(&self) {
        self.engine().do_all_due();
    }

    /// Shuts the manager down: no call is admitted any more, every operation
    /// answers [`Error::ShutDown`], the events that wait are delivered, all subscriptions
    /// end, and the background thread is joined. Further calls do nothing.
    ///
    /// It waits for as long as the callbacks take; [`Brama::shutdown_within`] does not.
    /// Inside user code (a callback, a filter or the destructor of one, of this manager
    /// or any other) it waits for nothing: it returns at once, and the rest is done by
    /// the background thread, or by the thread that runs the callback, when that has
    /// returned. The drop of the last clone is a shutdown, too.
    ///
    /// Not called before the process ends, it leaves undelivered what waits: the system
    /// ends the background thread wherever it is.
    pub fn shutdown(&self) {
        driver::end(&self.shared.engine, None);
    }

    /// [`Brama::shutdown`] that takes no longer than `time`, and returns how many events
    /// were left: 0 if every one was delivered.
    ///
    /// When the time is over, what waits is not delivered any more, a callback under way
    /// is left alone, and no subscription waits for one. Such a callback may still be
    /// running when this returns, and is dropped by its thread when it returns. Later
    /// shutdowns and drops do not wait either. The events that are left count as
    /// [dropped](crate::EventCounts::dropped).
    ///
    /// An event counts as left if it was not offered to every subscriber, or its last
    /// callback has not returned; those in batches that were not handed over count once
    /// for each batch. Without a background thread the callbacks run on this thread, and
    /// the time is looked at between two of them. Inside user code it returns at once,
    /// as `shutdown` does, with the number of happenings that wait.
    pub fn shutdown_within(&self, time: Duration) -> u64 {
        driver::end(&self.shared.engine, Some(time))
    }

    #[cfg(feature = "metrics")]
    pub(crate) fn shared_engine(&self) -> &Arc<Engine> {
        &self.shared.engine
    }

    fn engine(&self) -> &Engine {
        &self.shared.engine
    }
}

/// How many connections are in each state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct StateCounts {
    /// Healthy.
    pub closed: usize,
    /// Failing.
    pub open: usize,
    /// Probing.
    pub half_open: usize,
}

impl Drop for ShutdownOnDrop {
    fn drop(&mut self) {
        driver::end(&self.engine, None);
    }
}

impl fmt::Debug for Brama {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Brama")
            .field("connections", &self.engine().table.len())
            .finish()
    }
}
