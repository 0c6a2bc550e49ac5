//! What a user fills in: [`ConnectionOptions`] for one connection, [`Config`]
//! for a manager.
//!
//! Setters cannot fail: each writes one optional field. The values are validated together, by the
//! call that uses them and can return an error.

use super::{Changes, Metadata, Overrides, range, setters, setting_table};
use crate::values::error::Error;
use crate::values::mode::InitialState;

/// Settings of one connection. A field that is not given follows the manager's.
///
/// ```
/// use std::time::Duration;
/// use brama::{ConnectionOptions, ExpiryStrategy};
///
/// let options = ConnectionOptions::new()
///     .max_attempts(3)
///     .expiry_strategy(ExpiryStrategy::Progressive)
///     .initial_expiry(Duration::from_secs(1))
///     .max_expiry(Duration::from_secs(30))
///     .metadata([("team", "billing")]);
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
#[must_use]
pub struct ConnectionOptions {
    pub(crate) changes: Changes,
    pub(crate) metadata: Option<Metadata>,
    pub(crate) initial_state: Option<InitialState>,
}

impl ConnectionOptions {
    /// Settings of which none is given.
    ///
    /// ```
    /// let options = brama::ConnectionOptions::new();
    /// ```
    pub fn new() -> Self {
        Self::default()
    }

    setting_table!(setters);

    /// The state in which the circuit begins. For a registration only: configuring an existing
    /// connection with it is an error, and it has no effect where `get_or_register` finds one.
    /// Default [`InitialState::Closed`].
    ///
    /// ```
    /// use brama::{Brama, ConnectionOptions, InitialState, State};
    ///
    /// # fn main() -> Result<(), brama::Error> {
    /// let brama = Brama::builder().build()?;
    /// let options = ConnectionOptions::new().initial_state(InitialState::HeldOpen);
    /// let db = brama.register("db", options)?;
    /// assert_eq!(db.state(), State::Open);
    /// # Ok(())
    /// # }
    /// ```
    pub fn initial_state(mut self, state: InitialState) -> Self {
        self.initial_state = Some(state);
        self
    }

    /// An error if the options have what only a registration accepts.
    pub(crate) fn validate_for_existing(&self) -> Result<(), Error> {
        match self.initial_state {
            None => Ok(()),
            Some(state) => Err(Error::config(
                InitialState::NAME,
                format!("{state:?}"),
                "given at registration only",
            )),
        }
    }

    /// The connection's metadata, as a whole: it replaces what was there.
    ///
    /// ```
    /// let options = brama::ConnectionOptions::new().metadata([("team", "billing")]);
    /// ```
    pub fn metadata<K: Into<String>, V: Into<String>>(
        mut self,
        pairs: impl IntoIterator<Item = (K, V)>,
    ) -> Self {
        self.metadata = Some(
            pairs
                .into_iter()
                .map(|(key, value)| (key.into(), value.into()))
                .collect(),
        );
        self
    }
}

/// Global settings of a manager. A `configure` call changes the fields that are
/// given and no other. The setters of settings that a connection may have, too, are those of
/// [`ConnectionOptions`], whose examples show that type.
///
/// ```
/// # let brama = brama::Brama::builder().background(false).build()?;
/// brama.configure(brama::Config::new().max_attempts(3).auto_register(true))?;
/// # Ok::<(), brama::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
#[must_use]
pub struct Config {
    pub(crate) changes: Changes,
    pub(crate) housekeeping: Housekeeping,
}

/// The global settings of a manager.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Global {
    pub(crate) overrides: Overrides,
    pub(crate) housekeeping: Housekeeping,
}

/// The settings that only a manager has, as far as they were given.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Housekeeping {
    pub(crate) cleanup_interval_ms: Option<u64>,
    /// `Some(None)`: never.
    pub(crate) inactive_threshold_ms: Option<Option<u64>>,
    pub(crate) auto_register: Option<bool>,
}

/// Default time between two cleanups.
const CLEANUP_INTERVAL_MS: u64 = 10_000;
/// Default inactivity after which a connection is removed.
const INACTIVE_THRESHOLD_MS: u64 = 86_400_000;

impl Housekeeping {
    pub(crate) fn updated_by(&self, newer: &Housekeeping) -> Housekeeping {
        Housekeeping {
            cleanup_interval_ms: newer.cleanup_interval_ms.or(self.cleanup_interval_ms),
            inactive_threshold_ms: newer.inactive_threshold_ms.or(self.inactive_threshold_ms),
            auto_register: newer.auto_register.or(self.auto_register),
        }
    }

    pub(crate) fn validate(&self) -> Result<(), Error> {
        range::optional_time("cleanup_interval", self.cleanup_interval_ms)?;
        range::optional_time("inactive_threshold", self.inactive_threshold_ms.flatten())
    }

    pub(crate) fn cleanup_interval(&self) -> u64 {
        self.cleanup_interval_ms.unwrap_or(CLEANUP_INTERVAL_MS)
    }

    pub(crate) fn inactive_threshold(&self) -> Option<u64> {
        self.inactive_threshold_ms
            .unwrap_or(Some(INACTIVE_THRESHOLD_MS))
    }

    pub(crate) fn auto_register(&self) -> bool {
        self.auto_register.unwrap_or(false)
    }
}

/// The setters of [`Housekeeping`].
macro_rules! housekeeping_setters {
    () => {
        /// How often inactive connections are looked for. At least 1 ms.
        /// Default 10 s.
        ///
        /// ```
        /// let config = brama::Config::new().cleanup_interval(std::time::Duration::from_secs(60));
        /// ```
        pub fn cleanup_interval(mut self, interval: std::time::Duration) -> Self {
            self.housekeeping.cleanup_interval_ms =
                Some(crate::values::settings::given_ms(interval));
            self
        }

        /// A connection without activity for this long is removed, unless a handle or a permit
        /// of it is held, its circuit is open, or a probe is out. `None`: never. At least 1 ms.
        /// Default 24 h. The last success is known
        /// [within ticks of the coarse clock](crate::docs::performance#the-tick).
        ///
        /// ```
        /// let never = brama::Config::new().inactive_threshold(None);
        /// ```
        pub fn inactive_threshold(
            mut self,
            threshold: impl Into<Option<std::time::Duration>>,
        ) -> Self {
            let threshold = threshold.into().map(crate::values::settings::given_ms);
            self.housekeeping.inactive_threshold_ms = Some(threshold);
            self
        }

        /// Whether an unknown name is registered, with the global settings, by
        /// its first use. Default false.
        ///
        /// ```
        /// # let brama = brama::Brama::builder().background(false).build()?;
        /// brama.configure(brama::Config::new().auto_register(true))?;
        /// assert!(brama.available("unheard of"));
        /// # Ok::<(), brama::Error>(())
        /// ```
        pub fn auto_register(mut self, on: bool) -> Self {
            self.housekeeping.auto_register = Some(on);
            self
        }
    };
}
pub(crate) use housekeeping_setters;

impl Config {
    /// Settings of which none is given.
    ///
    /// ```
    /// let config = brama::Config::new();
    /// ```
    pub fn new() -> Self {
        Self::default()
    }

    setting_table!(setters);
    housekeeping_setters!();
}

impl Global {
    /// These settings, changed by what `config` gives; an error if `config` is not valid.
    pub(crate) fn updated_by(&self, config: &Config) -> Result<Global, Error> {
        config.changes.validate()?;
        config.housekeeping.validate()?;
        let overrides = self.overrides.updated_by(&config.changes);
        config.changes.validate_in(&overrides, &Overrides::NONE)?;
        Ok(Global {
            overrides,
            housekeeping: self.housekeeping.updated_by(&config.housekeeping),
        })
    }
}

impl ConnectionOptions {
    /// A connection's own settings after these options are applied; an error if they are not valid.
    pub(crate) fn applied_to(
        &self,
        own: &Overrides,
        global: &Overrides,
    ) -> Result<Overrides, Error> {
        self.changes.validate()?;
        let overrides = own.updated_by(&self.changes);
        self.changes.validate_in(&overrides, global)?;
        self.changes.validate_slow_calls(&overrides, global)?;
        Ok(overrides)
    }
}
