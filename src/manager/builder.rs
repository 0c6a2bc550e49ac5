//! [`Builder`]: makes a manager.
//!
//! What was given is validated once, in [`Builder::build`]. [`Brama::configure`] can change the
//! settings later, but not the clock, the thread and the capacity of the ring.

use std::sync::Arc;

use crate::events::bus::Notices;
use crate::manager::Brama;
use crate::manager::driver;
use crate::manager::engine::Engine;
use crate::structures::ring;
use crate::sys::clock::Clock;
use crate::sys::manual_clock::ManualClock;
use crate::values::error::Error;
use crate::values::settings::{
    Changes, Config, Global, Housekeeping, housekeeping_setters, setters, setting_table,
};

const EVENT_CAPACITY: usize = 1_024;

/// Makes a manager. Every setter may be left out. The setters of settings are those of
/// [`ConnectionOptions`](crate::ConnectionOptions), whose examples show that type.
///
/// ```
/// use std::time::Duration;
/// # fn main() -> Result<(), brama::Error> {
/// let brama = brama::Brama::builder()
///     .max_attempts(3)
///     .expiry(Duration::from_secs(10))
///     .inactive_threshold(None)
///     .build()?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct Builder {
    changes: Changes,
    housekeeping: Housekeeping,
    clock: Clock,
    background: bool,
    event_capacity: usize,
}

impl Builder {
    pub(crate) fn new() -> Self {
        Builder {
            changes: Changes::NONE,
            housekeeping: Housekeeping::default(),
            clock: Clock::system(),
            background: true,
            event_capacity: EVENT_CAPACITY,
        }
    }

    setting_table!(setters);
    housekeeping_setters!();

    /// Several settings of the manager at once. Those that `config` gives replace earlier ones.
    ///
    /// ```
    /// let config = brama::Config::new().max_attempts(3);
    /// let brama = brama::Brama::builder().config(config).build()?;
    /// # Ok::<(), brama::Error>(())
    /// ```
    pub fn config(mut self, config: Config) -> Self {
        self.changes = self.changes.and(&config.changes);
        self.housekeeping = self.housekeeping.updated_by(&config.housekeeping);
        self
    }

    /// The clock that the manager reads instead of the machine's.
    ///
    /// ```
    /// let clock = brama::ManualClock::new();
    /// let brama = brama::Brama::builder().clock(clock.clone()).build()?;
    /// # Ok::<(), brama::Error>(())
    /// ```
    pub fn clock(mut self, clock: ManualClock) -> Self {
        self.clock = Clock::Manual(clock);
        self
    }

    /// Whether a background thread does what falls due without a call: expiries without
    /// traffic, and cleanup. Default true. Without it, call
    /// [`Brama::poll`] now and then.
    ///
    /// ```
    /// let brama = brama::Brama::builder().background(false).build()?;
    /// assert!(!brama.event_counts().background_running);
    /// # Ok::<(), brama::Error>(())
    /// ```
    pub fn background(mut self, on: bool) -> Self {
        self.background = on;
        self
    }

    /// How many happenings can wait for the dispatcher. 1 to 16 777 216, rounded up to a power of
    /// two, at least 2; each place takes some 128 bytes. Default 1 024. The chapter
    /// [events](crate::docs::events#what-arrives) says what happens when it is full.
    ///
    /// ```
    /// let brama = brama::Brama::builder().event_capacity(65_536).build()?;
    /// # Ok::<(), brama::Error>(())
    /// ```
    pub fn event_capacity(mut self, happenings: usize) -> Self {
        self.event_capacity = happenings;
        self
    }

    /// Makes the manager. If the system refuses to start the background thread, the manager works
    /// without one and tries again when there is work for it. Meanwhile
    /// [`background_running`](crate::EventCounts::background_running) is false and
    /// [`Brama::subscribe`] returns an error.
    ///
    /// ```
    /// let refused = brama::Brama::builder().jitter(2.0).build().unwrap_err();
    /// assert_eq!(refused.to_string(), "invalid setting `jitter` = 2: must be 0.0 to 1.0");
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::InvalidConfig`] if a setting is out of range; [`Error::OutOfMemory`] if there is
    /// no memory for so many events.
    pub fn build(self) -> Result<Brama, Error> {
        let config = Global::default().updated_by(&Config {
            changes: self.changes,
            housekeeping: self.housekeeping,
        })?;
        capacity("event_capacity", self.event_capacity)?;
        let notices = Notices::try_new(self.event_capacity).map_err(Error::OutOfMemory)?;
        let engine = Arc::new_cyclic(|engine| {
            let starter = self.background.then(|| driver::starter(engine.clone()));
            Engine::new(self.clock, config, notices, starter)
        });
        if self.background {
            driver::start(&engine);
        }
        Ok(Brama::new(engine))
    }
}

/// Validates the capacity of a ring, a queue or a batch.
pub(crate) fn capacity(field: &'static str, value: usize) -> Result<(), Error> {
    if (1..=ring::MAX_CAPACITY).contains(&value) {
        return Ok(());
    }
    let allowed = format!("must be 1 to {}", ring::MAX_CAPACITY);
    Err(Error::config(field, value, allowed))
}
