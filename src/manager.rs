//! [`Brama`]: a manager of connections.
//!
//! Operations on one connection by its key are in [`by_name`]. What a manager owns beside its
//! engine is the driver's thread; the last clone that is dropped shuts it down, and so does
//! [`Brama::shutdown`].

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use once_cell::race::OnceBox;

use crate::circuit::record::{Refusal, Status};
use crate::manager::builder::Builder;
use crate::manager::connection::Connection;
use crate::manager::engine::Engine;
use crate::values::error::Error;
use crate::values::key::Key;
use crate::values::settings::{Config, ConnectionOptions};
use crate::values::state::State;

pub(crate) mod builder;
mod by_name;
pub(crate) mod call;
pub(crate) mod classified;
pub(crate) mod connection;
pub(crate) mod driver;
pub(crate) mod engine;
pub(crate) mod permit;
#[cfg(feature = "capi")]
mod raw_permit;
mod rejection;
mod save;
mod subscribe;
pub(crate) mod subscription;
pub(crate) mod trace;
pub(crate) mod waiting;
#[cfg(feature = "capi")]
pub(crate) use raw_permit::Admission;

/// A manager: registers connections, decides which calls may pass, and keeps their totals.
///
/// Cheap to clone; all clones are the same manager, usable from any thread.
/// Managers are independent of each other. When the last clone is dropped, the
/// manager is [shut down](Brama::shutdown); handles stay safe to use.
///
/// Operations that take a key look it up: a hash, a pin and a probe. A hot
/// path keeps a [`Connection`] instead.
///
/// ```
/// let brama = brama::Brama::builder().max_attempts(3).build()?;
/// brama.register("db", None)?;
/// let same = brama.clone();
/// assert!(same.available("db"));
/// # Ok::<(), brama::Error>(())
/// ```
#[derive(Clone)]
pub struct Brama {
    shared: Arc<ShutdownOnDrop>,
}

/// What the clones share.
struct ShutdownOnDrop {
    engine: Arc<Engine>,
}

/// Made without a lock, which a fork could leave held: if several threads make it at once, one
/// publishes its manager and the others drop theirs.
static DEFAULT: OnceBox<Brama> = OnceBox::new();

/// The process-wide manager, made with the default settings on first use.
///
/// ```
/// let db = brama::default().get_or_register("db", None)?;
/// assert!(db.available());
/// # Ok::<(), brama::Error>(())
/// ```
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
    #[cfg(feature = "capi")]
    pub(crate) fn engine_arc(&self) -> &Arc<Engine> {
        &self.shared.engine
    }

    pub(crate) fn new(engine: Arc<Engine>) -> Self {
        Brama {
            shared: Arc::new(ShutdownOnDrop { engine }),
        }
    }

    /// A builder for a manager.
    ///
    /// ```
    /// let brama = brama::Brama::builder().build()?;
    /// # Ok::<(), brama::Error>(())
    /// ```
    pub fn builder() -> Builder {
        Builder::new()
    }

    /// Registers a connection, closed, and returns its handle. With `None` for the options, it
    /// follows the manager's settings in everything.
    ///
    /// ```
    /// # let brama = brama::Brama::builder().background(false).build()?;
    /// let db = brama.register("db", brama::ConnectionOptions::new().max_attempts(3))?;
    /// assert!(brama.register("db", None).is_err());
    /// # Ok::<(), brama::Error>(())
    /// ```
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

    /// Returns the connection of this name, and registers it if it was not registered. The options
    /// matter only in that case. If the connection existed and has other settings than the options
    /// give, it keeps its own, and an event of type [`Notice`](crate::EventType::Notice) says so:
    /// once for each connection, when there is a subscriber.
    ///
    /// ```
    /// # let brama = brama::Brama::builder().background(false).build()?;
    /// let db = brama.get_or_register(("billing", "db"), None)?;
    /// let same = brama.get_or_register(("billing", "db"), None)?;
    /// assert_eq!(db.key(), same.key());
    /// # Ok::<(), brama::Error>(())
    /// ```
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

    /// Removes a connection. Its handles return [`Error::NotFound`] from now on.
    ///
    /// ```
    /// # let brama = brama::Brama::builder().background(false).build()?;
    /// # let db = brama.register("db", None)?;
    /// brama.unregister("db")?;
    /// assert!(matches!(db.success(), Err(brama::Error::NotFound(_))));
    /// # Ok::<(), brama::Error>(())
    /// ```
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
    /// ```
    /// # let brama = brama::Brama::builder().background(false).build()?;
    /// # let db = brama.register("db", None)?;
    /// let same = brama.connection("db")?;
    /// assert!(brama.connection("unheard of").is_err());
    /// # Ok::<(), brama::Error>(())
    /// ```
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

    /// Changes the manager's settings that `config` gives, all at once. Connections that did not
    /// set them follow at their next decision.
    ///
    /// ```
    /// # let brama = brama::Brama::builder().background(false).build()?;
    /// # let db = brama.register("db", None)?;
    /// brama.configure(brama::Config::new().max_attempts(9))?;
    /// assert_eq!(db.status()?.settings.max_attempts(), Some(9));
    /// # Ok::<(), brama::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::InvalidConfig`]: nothing was changed. [`Error::ShutDown`].
    pub fn configure(&self, config: Config) -> Result<(), Error> {
        self.engine().configure(&config)
    }

    /// Changes the settings of one connection; see [`Connection::configure`].
    ///
    /// ```
    /// # let brama = brama::Brama::builder().background(false).build()?;
    /// # let db = brama.register("db", None)?;
    /// brama.configure_connection("db", brama::ConnectionOptions::new().jitter(0.1))?;
    /// # Ok::<(), brama::Error>(())
    /// ```
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
    ///
    /// ```
    /// # let brama = brama::Brama::builder().background(false).build()?;
    /// # let db = brama.register("db", None)?;
    /// for status in brama.snapshot() {
    ///     println!("{}: {}", status.identifier, status.state);
    /// }
    /// # Ok::<(), brama::Error>(())
    /// ```
    pub fn snapshot(&self) -> Vec<Status> {
        self.engine().snapshot(|_| true)
    }

    /// The status of every connection in `scope`; `None`: of those without one.
    ///
    /// ```
    /// # let brama = brama::Brama::builder().background(false).build()?;
    /// brama.register(("billing", "db"), None)?;
    /// assert_eq!(brama.snapshot_of_scope("billing").len(), 1);
    /// assert!(brama.snapshot_of_scope(None).is_empty());
    /// # Ok::<(), brama::Error>(())
    /// ```
    pub fn snapshot_of_scope<'s>(&self, scope: impl Into<Option<&'s str>>) -> Vec<Status> {
        let scope = scope.into();
        self.engine().snapshot(|key| key.scope() == scope)
    }

    /// How many connections are in each state.
    ///
    /// ```
    /// # let brama = brama::Brama::builder().background(false).build()?;
    /// # let db = brama.register("db", None)?;
    /// db.open_circuit("upgrade", None)?;
    /// assert_eq!(brama.state_counts().open, 1);
    /// # Ok::<(), brama::Error>(())
    /// ```
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
    ///
    /// ```
    /// # let brama = brama::Brama::builder().background(false).build()?;
    /// # let db = brama.register("db", None)?;
    /// db.open_circuit("upgrade", None)?;
    /// brama.reset_all();
    /// assert!(db.available());
    /// # Ok::<(), brama::Error>(())
    /// ```
    pub fn reset_all(&self) {
        let engine = self.engine();
        engine.for_each(|record| {
            // Removed meanwhile: nothing to reset.
            let _ = record.reset(&engine.context);
        });
    }

    /// Does what is due: expiries, cleanup, delivery of events. Needed without a background
    /// thread, harmless with one.
    ///
    /// ```
    /// let brama = brama::Brama::builder().background(false).build()?;
    /// brama.poll(); // Now and then: in an event loop, say.
    /// # Ok::<(), brama::Error>(())
    /// ```
    pub fn poll(&self) {
        self.engine().do_all_due();
    }

    /// Shuts the manager down: no call is admitted any more, every operation returns
    /// [`Error::ShutDown`], the events that wait are delivered, all subscriptions end, and the
    /// background thread is joined. Further calls do nothing.
    ///
    /// It waits for as long as the callbacks take; [`Brama::shutdown_within`] has a limit. Called
    /// inside user code (a callback, a filter or the destructor of one, of this manager or any
    /// other) it waits for nothing and returns at once. The background thread, or the thread that
    /// runs the callback, does the rest after the callback has returned. The drop of the last clone
    /// is a shutdown, too.
    ///
    /// If the process ends without a shutdown, events that wait are not delivered: the system ends
    /// the background thread wherever it is.
    ///
    /// ```
    /// # let brama = brama::Brama::builder().background(false).build()?;
    /// # let db = brama.register("db", None)?;
    /// brama.shutdown();
    /// assert!(matches!(db.success(), Err(brama::Error::ShutDown)));
    /// # Ok::<(), brama::Error>(())
    /// ```
    pub fn shutdown(&self) {
        driver::end(&self.shared.engine, None);
    }

    /// [`Brama::shutdown`] that takes no longer than `time`, and returns how many events
    /// were left: 0 if every one was delivered.
    ///
    /// When the time is over, events that wait are not delivered any more. A callback under way may
    /// still be running when this function returns; its thread then drops it. Later shutdowns, and
    /// drops of subscriptions, do not wait for it. The events that are left in the ring count as
    /// [dropped](crate::EventCounts::dropped).
    ///
    /// An event counts as left if it was not offered to every subscriber, or if its last callback
    /// has not returned. An event in batches that were not delivered counts once for each batch.
    /// Without a background thread the callbacks run on this thread, which checks the time between
    /// two of them. Inside user code it returns at once, as `shutdown` does, with the number of
    /// happenings that wait.
    ///
    /// ```
    /// # let brama = brama::Brama::builder().background(false).build()?;
    /// let left = brama.shutdown_within(std::time::Duration::from_secs(2));
    /// assert_eq!(left, 0);
    /// # Ok::<(), brama::Error>(())
    /// ```
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
///
/// ```
/// # let brama = brama::Brama::builder().background(false).build()?;
/// # let db = brama.register("db", None)?;
/// let counts = brama.state_counts();
/// assert_eq!((counts.closed, counts.open, counts.half_open), (1, 0, 0));
/// # Ok::<(), brama::Error>(())
/// ```
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
