//! Settings: what may be given, what is allowed, which level wins.
//!
//! A setting can be given on three levels, and the nearest wins: the
//! connection's own, the manager's global one, the default. What is stored is
//! only what was given ([`Overrides`], every field optional); the effective
//! [`Settings`] are resolved from the levels whenever a decision needs them. A
//! connection that did not set a field therefore follows the global one live,
//! and there is no copy to bring up to date when that changes. Resolving is a
//! dozen selects, and only failures and openings need it: a healthy circuit
//! reads no settings at all.
//!
//! One level is one immutable object behind one pointer, so that all fields of
//! one `configure` call take effect together. Each setting is defined once, in [`table`].
//!
//! Validation checks each value alone, and `max_expiry` against `initial_expiry` as they would be
//! in effect, for the strategy that uses it. Only a level that has a `max_expiry` of its own can
//! contradict itself. An inherited `max_expiry` is raised to a connection's longer expiry, and to a
//! global one that is raised later. No caller is there to receive an error at that moment, and a
//! circuit must not stay open for less than its own expiry. [`rates`] says what the settings of
//! rates mean together, and [`recovery`] what those of probes mean.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::sys::clock::millis_up;
use crate::values::error::Error;

mod builders;
mod range;
mod rates;
mod recovery;
mod table;

pub use builders::{Config, ConnectionOptions};
pub(crate) use builders::{Global, Housekeeping, housekeeping_setters};
pub(crate) use table::{
    answered, example, getter, holders, setter, setters, setting_table, stored,
};

/// `max_attempts` that no count reaches.
pub(crate) const UNLIMITED: u32 = u32::MAX;

/// The most failures a sliding window counts exactly (8 bytes of memory each).
///
/// ```
/// let most = brama::Brama::builder()
///     .window(std::time::Duration::from_secs(60))
///     .max_attempts(brama::MAX_WINDOW_ATTEMPTS);
/// assert!(most.build().is_ok());
/// ```
pub const MAX_WINDOW_ATTEMPTS: u32 = 65_536;

/// The most probes a half-open circuit can have at once (8 bytes of memory each).
///
/// ```
/// let more = brama::Brama::builder().half_open_max_calls(brama::MAX_HALF_OPEN_CALLS + 1);
/// assert!(more.build().is_err());
/// ```
pub const MAX_HALF_OPEN_CALLS: u32 = 65_535;

/// User strings attached to a connection.
///
/// ```
/// # let brama = brama::Brama::builder().background(false).build()?;
/// let options = brama::ConnectionOptions::new().metadata([("team", "billing")]);
/// let db = brama.register("db", options)?;
/// assert_eq!(db.status()?.metadata["team"], "billing");
/// # Ok::<(), brama::Error>(())
/// ```
pub type Metadata = BTreeMap<String, String>;

/// How the time that a circuit stays open grows while a dependency stays down.
///
/// ```
/// let options = brama::ConnectionOptions::new()
///     .expiry_strategy(brama::ExpiryStrategy::Progressive)
///     .initial_expiry(std::time::Duration::from_secs(1));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum ExpiryStrategy {
    /// Every opening lasts `expiry`.
    #[default]
    Fixed,
    /// The n-th opening in a row lasts
    /// `min(max_expiry, initial_expiry × backoff_factor^(n-1))`.
    Progressive,
}

/// What a call says of one setting.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) enum Given<T> {
    /// Nothing: it stays as it is.
    #[default]
    Keep,
    /// It follows the level below.
    Inherit,
    Value(T),
}

impl<T> Given<T> {
    fn or(self, older: Self) -> Self {
        match self {
            Given::Keep => older,
            given => given,
        }
    }

    fn applied_to(self, stored: Option<T>) -> Option<T> {
        match self {
            Given::Keep => stored,
            Given::Inherit => None,
            Given::Value(value) => Some(value),
        }
    }

    pub(crate) fn is_given(&self) -> bool {
        !matches!(self, Given::Keep)
    }
}

impl<T> From<Option<T>> for Given<T> {
    fn from(value: Option<T>) -> Self {
        value.map_or(Given::Keep, Given::Value)
    }
}

setting_table!(holders);

impl Changes {
    /// Whether they can make a connection allocate.
    pub(crate) fn concern_room(&self) -> bool {
        self.window.is_given()
            || self.max_attempts.is_given()
            || self.half_open_max_calls.is_given()
            || self.concern_rates()
    }

    /// Whether they can make circuits watched, or not watched.
    pub(crate) fn concern_starts(&self) -> bool {
        self.cancelled_after.is_given() || self.concern_rates()
    }

    /// Whether anything that a record keeps depends on them.
    pub(crate) fn concern_records(&self) -> bool {
        self.concern_room() || self.concern_starts() || self.mode.is_given()
    }

    /// Checks the given values together, as they take effect. `level` is their level with these
    /// changes applied, `below` the level below it.
    pub(crate) fn validate_in(&self, level: &Overrides, below: &Overrides) -> Result<(), Error> {
        let merged = level.over(below);
        let names_expiry = self.max_expiry.is_given()
            || self.initial_expiry.is_given()
            || self.expiry.is_given()
            || self.expiry_strategy.is_given();
        let initial = merged
            .initial_expiry
            .or(merged.expiry)
            .unwrap_or(Settings::DEFAULT.expiry);
        if let Some(max) = level.max_expiry
            && merged.expiry_strategy == Some(ExpiryStrategy::Progressive)
            && names_expiry
            && max < initial
        {
            let allowed = format!("must be at least initial_expiry ({initial} ms)");
            return Err(Error::config("max_expiry", format!("{max} ms"), allowed));
        }
        let names_window = self.max_attempts.is_given() || self.window.is_given();
        if let (Some(Some(_)), Some(attempts)) = (merged.window, merged.max_attempts)
            && names_window
            && attempts > MAX_WINDOW_ATTEMPTS
            && attempts != UNLIMITED
        {
            let allowed = format!("with a window, at most {MAX_WINDOW_ATTEMPTS} or unlimited");
            return Err(Error::config("max_attempts", attempts, allowed));
        }
        self.validate_probes()?;
        self.validate_rates(level)
    }
}

impl Overrides {
    /// What is in effect for a connection with these settings of its own.
    pub(crate) fn resolve(connection: Option<&Overrides>, global: &Overrides) -> Settings {
        let own = connection.unwrap_or(&Overrides::NONE);
        let mut settings = Overrides::or_default(own, global);
        let initial = own.initial_expiry.or(global.initial_expiry);
        settings.initial_expiry = initial.unwrap_or(settings.expiry);
        let max = own.max_expiry.or(global.max_expiry);
        // A host may give it back, and no host gives more ms.
        let tenfold = settings.initial_expiry.saturating_mul(10);
        let tenfold = tenfold.min(i64::MAX.cast_unsigned());
        settings.max_expiry = max.unwrap_or(tenfold).max(settings.initial_expiry);
        settings = settings.with_rates_of(own, global).with_probes_of(own);
        if settings.window.is_some() && settings.max_attempts != UNLIMITED {
            settings.max_attempts = settings.max_attempts.min(MAX_WINDOW_ATTEMPTS);
        }
        settings
    }
}

impl Settings {
    /// Whether a success does not clear the failures that count.
    pub(crate) fn keeps_failures(&self) -> bool {
        self.window.is_some() && !self.success_clears_window
    }

    /// Whether calls need the time of their start, or reports a place among the last ones.
    pub(crate) fn is_watched(&self) -> bool {
        self.cancelled_after.is_some()
            || self.slow_call_duration.is_some()
            || (self.rate_calls.is_some() && self.has_rate())
    }
}

/// The milliseconds of a given duration, rounded up, so that nothing is shorter than asked for.
/// Returns 0 for less than one millisecond, which validation refuses.
pub(crate) fn given_ms(duration: Duration) -> u64 {
    if duration < Duration::from_millis(1) {
        0
    } else {
        millis_up(duration)
    }
}

#[cfg(test)]
mod tests;
