//! Which events a subscriber wants.

use std::fmt;
use std::sync::Arc;

use super::{Event, EventMask, EventType};
use crate::values::key::Key;

/// Which events a subscriber wants. What is not named is not filtered: an empty
/// filter lets everything pass.
///
/// ```
/// use brama::{EventFilter, EventType};
///
/// let openings = EventFilter::new()
///     .types([EventType::CircuitOpened])
///     .scope("billing")
///     .custom(|event| event.failure_count() >= 10);
/// ```
#[derive(Clone, Default)]
#[must_use]
pub struct EventFilter {
    pub(crate) types: Option<EventMask>,
    pub(crate) connection: Option<String>,
    /// `Some(None)`: only connections without a scope.
    pub(crate) scope: Option<Option<String>>,
    pub(crate) custom: Option<Arc<Custom>>,
}

pub(crate) type Custom = dyn Fn(&Event) -> bool + Send + Sync;

impl EventFilter {
    /// A filter that lets every event pass.
    ///
    /// ```
    /// let everything = brama::EventFilter::new();
    /// ```
    pub fn new() -> Self {
        Self::default()
    }

    /// Only events of these types.
    ///
    /// ```
    /// let changes = brama::EventFilter::new().types([brama::EventType::StateChange]);
    /// ```
    pub fn types(mut self, types: impl IntoIterator<Item = EventType>) -> Self {
        self.types = Some(types.into_iter().collect());
        self
    }

    /// Only connections with this identifier, in any scope unless one is named.
    ///
    /// ```
    /// let of_db = brama::EventFilter::new().connection("db");
    /// ```
    pub fn connection(mut self, identifier: impl Into<String>) -> Self {
        self.connection = Some(identifier.into());
        self
    }

    /// Only connections of this scope; `None`: only those without one.
    ///
    /// ```
    /// let of_billing = brama::EventFilter::new().scope("billing");
    /// let without_scope = brama::EventFilter::new().scope(None);
    /// ```
    pub fn scope<'s>(mut self, scope: impl Into<Option<&'s str>>) -> Self {
        self.scope = Some(scope.into().map(str::to_owned));
        self
    }

    /// Only events for which `wanted` returns true. It runs where the events are delivered, never
    /// as a part of a report. If it panics, the event is not delivered, and the panic is counted.
    ///
    /// ```
    /// let long = brama::EventFilter::new().custom(|event| event.failure_count() >= 10);
    /// ```
    pub fn custom(mut self, wanted: impl Fn(&Event) -> bool + Send + Sync + 'static) -> Self {
        self.custom = Some(Arc::new(wanted));
        self
    }

    /// The types wanted of this connection.
    pub(crate) fn interest_in(&self, key: Key<'_>) -> EventMask {
        let connection = self.connection.as_deref();
        let scope = self.scope.as_ref().map(Option::as_deref);
        if connection.is_some_and(|wanted| wanted != key.identifier())
            || scope.is_some_and(|wanted| wanted != key.scope())
        {
            return EventMask::NONE;
        }
        self.types.unwrap_or(EventMask::ALL)
    }

    /// Whether a subscription with this filter falls under `pattern`: it agrees
    /// with every part that the pattern names, and its types are among those of
    /// the pattern. Custom functions are not compared.
    pub(crate) fn falls_under(&self, pattern: &EventFilter) -> bool {
        let types = |filter: &EventFilter| filter.types.unwrap_or(EventMask::ALL);
        (pattern.connection.is_none() || pattern.connection == self.connection)
            && (pattern.scope.is_none() || pattern.scope == self.scope)
            && types(self).without(types(pattern)) == EventMask::NONE
    }
}

impl fmt::Debug for EventFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventFilter")
            .field("types", &self.types)
            .field("connection", &self.connection)
            .field("scope", &self.scope)
            .field("custom", &self.custom.is_some())
            .finish()
    }
}
