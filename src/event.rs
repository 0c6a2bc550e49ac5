//! Events as values: their types, in which order they follow from what happened,
//! what they carry, and who wants them.
//!
//! A reporter does not make events. It makes one notice of what happened,
//! and only if somebody wants one of the events that follow from it; which those
//! are, in which order, is [`Cause::events`]. The dispatcher makes the events.
//! So all events of one happening take one place in the ring, and either all of
//! them arrive or none.
//!
//! The types fall in two classes. Those that change a state are *kept*: a
//! subscriber gets each at least once, whatever the load. The others (`success`,
//! `failure`, `probe`, `call_rejected`) are *droppable*, and every drop is counted.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::config::Metadata;
use crate::key::{Key, KeyBuf};
use crate::state::State;

/// What an event is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(i32)]
#[non_exhaustive]
pub enum EventType {
    /// The circuit's state changed.
    StateChange = 1,
    /// A connection was registered.
    Registration = 2,
    /// A failure was reported. Droppable.
    Failure = 3,
    /// A success was reported. Droppable.
    Success = 4,
    /// An opening reached its end.
    Expiry = 5,
    /// A connection was removed for inactivity.
    Cleanup = 6,
    /// The circuit opened, or an open one was given another deadline.
    CircuitOpened = 7,
    /// The circuit closed.
    CircuitClosed = 8,
    /// The circuit was reset.
    CircuitReset = 9,
    /// A connection was registered.
    ConnectionRegistered = 10,
    /// A connection was unregistered.
    ConnectionUnregistered = 11,
    /// The circuit admits probes.
    CircuitHalfOpened = 12,
    /// A connection is gone, unregistered or cleaned up.
    ConnectionRemoved = 13,
    /// A call was not admitted. Droppable.
    CallRejected = 14,
    /// A probe was admitted. Droppable.
    Probe = 15,
}

use EventType::*;

impl EventType {
    /// All types.
    pub const ALL: [EventType; 15] = [
        StateChange,
        Registration,
        Failure,
        Success,
        Expiry,
        Cleanup,
        CircuitOpened,
        CircuitClosed,
        CircuitReset,
        ConnectionRegistered,
        ConnectionUnregistered,
        CircuitHalfOpened,
        ConnectionRemoved,
        CallRejected,
        Probe,
    ];

    /// The type's name, such as `"state_change"`.
    pub fn as_str(self) -> &'static str {
        match self {
            StateChange => "state_change",
            Registration => "registration",
            Failure => "failure",
            Success => "success",
            Expiry => "expiry",
            Cleanup => "cleanup",
            CircuitOpened => "circuit_opened",
            CircuitClosed => "circuit_closed",
            CircuitReset => "circuit_reset",
            ConnectionRegistered => "connection_registered",
            ConnectionUnregistered => "connection_unregistered",
            CircuitHalfOpened => "circuit_half_opened",
            ConnectionRemoved => "connection_removed",
            CallRejected => "call_rejected",
            Probe => "probe",
        }
    }

    /// The type of this name.
    pub fn from_name(name: &str) -> Option<EventType> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == name)
    }

    /// Whether it may be dropped (and counted) under overload. All others are
    /// delivered at least once.
    pub fn is_droppable(self) -> bool {
        EventMask::DROPPABLE.contains(self)
    }
}

impl fmt::Display for EventType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A set of event types.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(crate) struct EventMask(pub(crate) u16);

impl EventMask {
    pub(crate) const ALL: EventMask = EventMask(0xfffe);
    pub(crate) const NONE: EventMask = EventMask(0);
    pub(crate) const DROPPABLE: EventMask = EventMask(
        Self::of(Success).0 | Self::of(Failure).0 | Self::of(Probe).0 | Self::of(CallRejected).0,
    );

    pub(crate) const fn of(kind: EventType) -> EventMask {
        EventMask(1 << kind as u16)
    }

    pub(crate) fn contains(self, kind: EventType) -> bool {
        self.meets(Self::of(kind))
    }

    #[inline]
    pub(crate) const fn meets(self, other: EventMask) -> bool {
        self.0 & other.0 != 0
    }

    pub(crate) fn and(self, other: EventMask) -> EventMask {
        EventMask(self.0 & other.0)
    }

    pub(crate) fn without(self, other: EventMask) -> EventMask {
        EventMask(self.0 & !other.0)
    }

    pub(crate) fn or(self, other: EventMask) -> EventMask {
        EventMask(self.0 | other.0)
    }

    pub(crate) fn len(self) -> u64 {
        self.0.count_ones().into()
    }
}

impl FromIterator<EventType> for EventMask {
    fn from_iter<I: IntoIterator<Item = EventType>>(kinds: I) -> Self {
        kinds
            .into_iter()
            .fold(Self::NONE, |mask, kind| mask.or(Self::of(kind)))
    }
}

/// What happened to a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    Registered,
    Unregistered,
    CleanedUp,
    Success,
    Failure,
    Expiry,
    OpenedByHand,
    ClosedByHand,
    HalfOpenedByHand,
    Reset,
    Rejected,
    Probed,
}

impl Cause {
    /// The events that follow, in this order. `moved`: the state changed.
    pub(crate) fn events(self, moved: bool) -> &'static [EventType] {
        match (self, moved) {
            (Cause::Registered, _) => &[Registration, ConnectionRegistered],
            (Cause::Unregistered, _) => &[ConnectionUnregistered, ConnectionRemoved],
            (Cause::CleanedUp, _) => &[Cleanup, ConnectionRemoved],
            (Cause::Success, false) => &[Success],
            (Cause::Success, true) => &[Success, StateChange, CircuitClosed],
            (Cause::Failure, false) => &[Failure],
            (Cause::Failure, true) => &[Failure, StateChange, CircuitOpened],
            (Cause::Expiry, _) => &[Expiry, StateChange, CircuitHalfOpened],
            (Cause::OpenedByHand, false) => &[CircuitOpened],
            (Cause::OpenedByHand, true) => &[StateChange, CircuitOpened],
            (Cause::ClosedByHand, false) => &[CircuitClosed],
            (Cause::ClosedByHand, true) => &[StateChange, CircuitClosed],
            (Cause::HalfOpenedByHand, false) => &[CircuitHalfOpened],
            (Cause::HalfOpenedByHand, true) => &[StateChange, CircuitHalfOpened],
            (Cause::Reset, false) => &[CircuitReset],
            (Cause::Reset, true) => &[StateChange, CircuitReset],
            (Cause::Rejected, _) => &[CallRejected],
            (Cause::Probed, _) => &[Probe],
        }
    }

    /// The same as a set.
    pub(crate) fn mask(self, moved: bool) -> EventMask {
        self.events(moved).iter().copied().collect()
    }

    /// Whether the connection itself came or went.
    pub(crate) fn is_life(self) -> bool {
        self.is_removal() || self == Cause::Registered
    }

    pub(crate) fn is_removal(self) -> bool {
        matches!(self, Cause::Unregistered | Cause::CleanedUp)
    }
}

/// A report's reason: inline if it is short.
#[derive(Clone, Debug)]
pub(crate) enum Text {
    None,
    Short(u8, [u8; Text::SHORT]),
    Long(Arc<str>),
}

impl Text {
    /// Bytes that need no allocation.
    pub(crate) const SHORT: usize = 38;

    pub(crate) fn new(text: Option<&str>) -> Self {
        match text {
            None => Text::None,
            Some(text) if text.len() <= Self::SHORT => {
                let mut bytes = [0; Self::SHORT];
                bytes[..text.len()].copy_from_slice(text.as_bytes());
                Text::Short(text.len() as u8, bytes)
            }
            Some(text) => Text::Long(text.into()),
        }
    }

    pub(crate) fn get(&self) -> Option<&str> {
        match self {
            Text::None => None,
            Text::Short(length, bytes) => {
                let bytes = &bytes[..usize::from(*length)];
                Some(std::str::from_utf8(bytes).expect("copied from a str"))
            }
            Text::Long(text) => Some(text),
        }
    }
}

/// What comes with a report: a reason, metadata.
///
/// Wherever a report is taken, a plain `&str` is a reason, and `None` is nothing.
/// A reason of up to 38 bytes is kept without allocating.
///
/// ```
/// # use brama::{Brama, Report};
/// # fn main() -> Result<(), brama::Error> {
/// # let brama = Brama::builder().build()?;
/// # let db = brama.register("db", None)?;
/// db.failure("timeout")?;
/// db.failure(None)?;
/// db.failure(Report::new().reason("timeout").metadata([("host", "db-3")]))?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct Report<'r> {
    pub(crate) reason: Option<&'r str>,
    pub(crate) metadata: Option<Arc<Metadata>>,
}

impl<'r> Report<'r> {
    pub(crate) const NONE: Report<'static> = Report {
        reason: None,
        metadata: None,
    };

    /// Nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Why, in words.
    pub fn reason(mut self, reason: &'r str) -> Self {
        self.reason = Some(reason);
        self
    }

    /// User strings that the events of this report carry.
    pub fn metadata<K: Into<String>, V: Into<String>>(
        mut self,
        pairs: impl IntoIterator<Item = (K, V)>,
    ) -> Self {
        let pairs = pairs.into_iter();
        let pairs = pairs.map(|(key, value)| (key.into(), value.into()));
        self.metadata = Some(Arc::new(pairs.collect()));
        self
    }
}

impl<'r> From<&'r str> for Report<'r> {
    fn from(reason: &'r str) -> Self {
        Report::new().reason(reason)
    }
}

impl<'r> From<Option<&'r str>> for Report<'r> {
    fn from(reason: Option<&'r str>) -> Self {
        Report {
            reason,
            metadata: None,
        }
    }
}

impl<'r> From<&'r String> for Report<'r> {
    fn from(reason: &'r String) -> Self {
        Report::new().reason(reason)
    }
}

/// The fields of an event but its type and connection.
#[derive(Clone, Debug)]
pub(crate) struct Facts {
    /// Monotonic ms.
    pub(crate) time: u64,
    /// See [`Event::sequence`]; of the first event of the happening.
    pub(crate) sequence: u64,
    pub(crate) before: State,
    pub(crate) after: State,
    pub(crate) failures: u32,
    /// Of the opening, in ms; `u64::MAX` if it has none.
    pub(crate) expiry: u64,
    pub(crate) reason: Text,
    pub(crate) metadata: Option<Arc<Metadata>>,
}

/// One thing that happened to one connection.
///
/// An event owns all that it shows: it may be kept, cloned and sent anywhere, and
/// outlives its connection and its manager.
#[derive(Clone, Debug)]
pub struct Event {
    pub(crate) kind: EventType,
    pub(crate) name: Arc<KeyBuf>,
    /// Distinguishes connections that had the same name one after the other.
    pub(crate) id: u64,
    pub(crate) unix_ms: u64,
    pub(crate) late: bool,
    pub(crate) facts: Facts,
}

impl Event {
    /// What it is about.
    pub fn event_type(&self) -> EventType {
        self.kind
    }

    /// When it happened, in Unix ms, to a few ms: of two events of a connection the
    /// later one may have the smaller time. [`Event::sequence`] orders them.
    pub fn timestamp(&self) -> u64 {
        self.unix_ms
    }

    /// Orders the events of one connection: of two, the one with the larger
    /// number tells the later state. Numbers grow, but not by ones, and say
    /// nothing across connections.
    pub fn sequence(&self) -> u64 {
        self.facts.sequence
    }

    /// The connection's identifier.
    pub fn connection(&self) -> &str {
        &self.name.identifier
    }

    /// The connection's scope, if it has one.
    pub fn scope(&self) -> Option<&str> {
        self.name.scope.as_deref()
    }

    /// The state before; [`State::Unknown`] for a registration.
    pub fn previous_state(&self) -> State {
        self.facts.before
    }

    /// The state after; [`State::Unknown`] for a removal.
    pub fn new_state(&self) -> State {
        self.facts.after
    }

    /// Why, as the reporter said.
    pub fn reason(&self) -> Option<&str> {
        self.facts.reason.get()
    }

    /// Failures in a row, or inside the window, when it happened.
    pub fn failure_count(&self) -> u32 {
        self.facts.failures
    }

    /// How long the opening lasts; none if the circuit is not open, or stays
    /// open until it is closed by hand.
    pub fn expiry(&self) -> Option<Duration> {
        (self.facts.expiry != u64::MAX).then(|| Duration::from_millis(self.facts.expiry))
    }

    /// The metadata that came with the report.
    pub fn metadata(&self) -> Option<&Metadata> {
        self.facts.metadata.as_deref()
    }

    /// Whether it stands for one or more events of its type and connection that
    /// found no room. Such an event tells the state that held when it was made,
    /// which may be later than the change it is named after; its reason and
    /// metadata may be missing.
    pub fn is_coalesced(&self) -> bool {
        self.late
    }
}

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
    /// Everything.
    pub fn new() -> Self {
        Self::default()
    }

    /// Only events of these types.
    pub fn types(mut self, types: impl IntoIterator<Item = EventType>) -> Self {
        self.types = Some(types.into_iter().collect());
        self
    }

    /// Only connections with this identifier, in any scope unless one is named.
    pub fn connection(mut self, identifier: impl Into<String>) -> Self {
        self.connection = Some(identifier.into());
        self
    }

    /// Only connections of this scope; `None`: only those without one.
    pub fn scope<'s>(mut self, scope: impl Into<Option<&'s str>>) -> Self {
        self.scope = Some(scope.into().map(str::to_owned));
        self
    }

    /// Only events for which `wanted` says so. It runs where the events are
    /// delivered from, never on a reporting thread; if it panics, the event is
    /// not delivered, and the panic is counted.
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

#[cfg(test)]
mod tests;
