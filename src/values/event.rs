//! Events as values: their types, the order in which they follow from what happened, what they
//! carry, and the filters of subscribers.
//!
//! A reporter does not make events. It makes one notice of what happened, and only if a subscriber
//! wants one of the events that follow from it. [`Occurrence::events`] lists these events, in their
//! order. The dispatcher makes them. So all events of one happening take one slot of the ring, and
//! either all of them enter it or none.
//!
//! The types fall in two classes. `success`, `failure`, `probe` and `call_rejected` are
//! *droppable*, and every drop is counted. All others are *kept*: whatever the load, a subscriber
//! gets each of them, or a later one of the same type and connection that stands for it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::values::cause::Cause;
use crate::values::generation::Generation;
use crate::values::key::KeyBuf;
use crate::values::mode::Mode;
use crate::values::rates::Counts;
use crate::values::settings::Metadata;
use crate::values::state::State;

mod filter;
mod marks;
mod report;

pub(crate) use filter::Custom;
pub use filter::EventFilter;
pub(crate) use marks::{Later, Marks};
pub use report::Report;
#[cfg(feature = "capi")]
pub(crate) use report::valid_beginning;
pub(crate) use report::{TEXT_BYTES, Text, beginning};

/// What an event is about.
///
/// ```
/// use brama::EventType;
/// assert_eq!(EventType::from_name("circuit_opened"), Some(EventType::CircuitOpened));
/// assert_eq!(EventType::CircuitOpened.as_str(), "circuit_opened");
/// let droppable = EventType::ALL.iter().filter(|kind| kind.is_droppable());
/// assert_eq!(droppable.count(), 4);
/// ```
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
    /// Something that the user of the connection should know, and that is no change of its state: a
    /// change of its [mode](crate::Mode), or settings that `get_or_register` was given and that the
    /// connection does not have. [`Event::reason`] says it.
    Notice = 16,
}

use EventType::*;

impl EventType {
    /// All types.
    pub const ALL: [EventType; 16] = [
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
        Notice,
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
            Notice => "notice",
        }
    }

    /// The type of this name.
    pub fn from_name(name: &str) -> Option<EventType> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == name)
    }

    /// Whether it reports that the connection is gone.
    pub(crate) fn is_of_removal(self) -> bool {
        matches!(self, Cleanup | ConnectionUnregistered | ConnectionRemoved)
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

/// A set of event types: the bit of a type is its number. Bit 0, and those from
/// [`EventMask::FIRST_UNUSED`] on, stand for no type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(crate) struct EventMask(pub(crate) u32);

impl EventMask {
    pub(crate) const FIRST_UNUSED: u32 = EventType::ALL.len() as u32 + 1;
    pub(crate) const ALL: EventMask = EventMask((1 << Self::FIRST_UNUSED) - 2);
    pub(crate) const NONE: EventMask = EventMask(0);
    pub(crate) const DROPPABLE: EventMask = EventMask(
        Self::of(Success).0 | Self::of(Failure).0 | Self::of(Probe).0 | Self::of(CallRejected).0,
    );

    pub(crate) const fn of(kind: EventType) -> EventMask {
        EventMask(1 << kind as u32)
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

    pub(crate) const fn or(self, other: EventMask) -> EventMask {
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
pub(crate) enum Occurrence {
    Registered,
    Unregistered,
    CleanedUp,
    Success,
    Failure,
    /// A success that opens the circuit, since too many calls were slow.
    SlowSuccess,
    Expiry,
    /// A ramp has ended, and the circuit is closed.
    RampEnded,
    OpenedByHand,
    ClosedByHand,
    HalfOpenedByHand,
    Reset,
    Rejected,
    Probed,
    /// A notice. The report's reason says of what.
    Noticed,
}

impl Occurrence {
    /// The events that follow, in this order. `moved`: the state changed.
    pub(crate) fn events(self, moved: bool) -> &'static [EventType] {
        match (self, moved) {
            (Occurrence::Registered, _) => &[Registration, ConnectionRegistered],
            (Occurrence::Unregistered, _) => &[ConnectionUnregistered, ConnectionRemoved],
            (Occurrence::CleanedUp, _) => &[Cleanup, ConnectionRemoved],
            (Occurrence::Success, false) => &[Success],
            (Occurrence::Success, true) => &[Success, StateChange, CircuitClosed],
            (Occurrence::Failure, false) => &[Failure],
            (Occurrence::Failure, true) => &[Failure, StateChange, CircuitOpened],
            (Occurrence::SlowSuccess, _) => &[Success, StateChange, CircuitOpened],
            (Occurrence::Expiry, _) => &[Expiry, StateChange, CircuitHalfOpened],
            (Occurrence::RampEnded, _) => &[StateChange, CircuitClosed],
            (Occurrence::OpenedByHand, false) => &[CircuitOpened],
            (Occurrence::OpenedByHand, true) => &[StateChange, CircuitOpened],
            (Occurrence::ClosedByHand, false) => &[CircuitClosed],
            (Occurrence::ClosedByHand, true) => &[StateChange, CircuitClosed],
            (Occurrence::HalfOpenedByHand, false) => &[CircuitHalfOpened],
            (Occurrence::HalfOpenedByHand, true) => &[StateChange, CircuitHalfOpened],
            (Occurrence::Reset, false) => &[CircuitReset],
            (Occurrence::Reset, true) => &[StateChange, CircuitReset],
            (Occurrence::Rejected, _) => &[CallRejected],
            (Occurrence::Probed, _) => &[Probe],
            (Occurrence::Noticed, _) => &[Notice],
        }
    }

    /// The types of [`Occurrence::events`], as a set.
    pub(crate) fn mask(self, moved: bool) -> EventMask {
        self.events(moved).iter().copied().collect()
    }

    pub(crate) fn is_removal(self) -> bool {
        matches!(self, Occurrence::Unregistered | Occurrence::CleanedUp)
    }
}

/// The fields of an event except its type, connection and number.
#[derive(Clone, Debug)]
pub(crate) struct Facts {
    /// Monotonic ms.
    pub(crate) time: u64,
    pub(crate) before: State,
    pub(crate) after: State,
    pub(crate) marks: Marks,
    /// The generation of the state `after`.
    pub(crate) generation: Generation,
    pub(crate) failures: u32,
    /// Of the opening, in ms; `u64::MAX` if it has none.
    pub(crate) expiry: u64,
    /// Why the circuit is open, if it is.
    pub(crate) opened_by: Option<Cause>,
    /// What counted for the rates when it opened.
    pub(crate) counts: Option<Counts>,
    pub(crate) reason: Text,
    pub(crate) metadata: Option<Arc<Metadata>>,
}

/// One thing that happened to one connection.
///
/// An event owns all that it shows: it may be kept, cloned and sent anywhere, and
/// outlives its connection and its manager. A clone is cheap: it shares name, reason and
/// metadata with the original.
///
/// ```
/// # use brama::State;
/// # let brama = brama::Brama::builder().background(false).build()?;
/// # let db = brama.register("db", None)?;
/// let changes = brama::EventFilter::new().types([brama::EventType::StateChange]);
/// let queue = brama.subscribe_queue(changes, 100)?;
/// db.open_circuit("upgrade", std::time::Duration::from_secs(60))?;
/// let event = queue.try_next().expect("the circuit opened");
/// assert_eq!((event.connection(), event.scope()), ("db", None));
/// assert_eq!(event.event_type(), brama::EventType::StateChange);
/// assert_eq!((event.previous_state(), event.new_state()), (State::Closed, State::Open));
/// assert_eq!((event.reason(), event.cause()), (Some("upgrade"), Some(brama::Cause::Manual)));
/// assert_eq!(event.expiry(), Some(std::time::Duration::from_secs(60)));
/// assert_eq!((event.failure_count(), event.window_calls()), (0, None));
/// assert!(!event.is_coalesced() && !event.is_truncated() && !event.is_shadow());
/// assert_eq!((event.mode(), event.is_deferred()), (brama::Mode::Normal, false));
/// println!("{} {} {}", event.registration(), event.sequence(), event.timestamp());
/// println!("{:?} {:?} {:?}", event.metadata(), event.window_failures(), event.window_slow());
/// # Ok::<(), brama::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Event {
    pub(crate) kind: EventType,
    /// Not in `happening`: an event that [stands for](Event::stand_for) an earlier one has the
    /// earlier one's `before`.
    pub(crate) before: State,
    pub(crate) late: bool,
    /// It is the last event of its connection that says anything new. Later ones say only that the
    /// connection is gone.
    pub(crate) is_last: bool,
    /// It comes after the event that [is last](Event::is_last): its reporter was stopped for long.
    pub(crate) is_straggler: bool,
    pub(crate) sequence: u64,
    pub(crate) happening: Arc<Happening>,
}

/// What the events of one happening have in common. The dispatcher makes it once, and all
/// events and all queues share it.
#[derive(Debug)]
pub(crate) struct Happening {
    pub(crate) name: Arc<KeyBuf>,
    /// Distinguishes connections that had the same name one after the other.
    pub(crate) id: u64,
    pub(crate) unix_ms: u64,
    /// Their `before` is that of the happening; each event has its own.
    pub(crate) facts: Facts,
}

impl Event {
    /// What it is about.
    pub fn event_type(&self) -> EventType {
        self.kind
    }

    /// When it happened, in Unix ms, to a few ms. Times of one connection never run backwards, in
    /// the order of [`Event::sequence`]: an event that comes late, because the system stopped the
    /// thread that reported it, has the time of the event before it. The time of a change of
    /// state is [`Status::last_state_change`](crate::Status::last_state_change), unless a later
    /// event came first. A wall clock that is set back sets them back, too.
    pub fn timestamp(&self) -> u64 {
        self.happening.unix_ms
    }

    /// Orders the events of one connection: of two, the one with the larger number has the later
    /// state. The manager numbers its events in the order in which it delivers them, so a
    /// subscriber never sees a number go back. Numbers do not grow by ones, and no order between
    /// connections is promised.
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// Numbers the registrations of a manager: a name that is registered again is
    /// another connection, with a larger number.
    pub fn registration(&self) -> u64 {
        self.happening.id
    }

    /// The connection's identifier.
    pub fn connection(&self) -> &str {
        &self.name().identifier
    }

    /// The connection's scope, if it has one.
    pub fn scope(&self) -> Option<&str> {
        self.name().scope.as_deref()
    }

    /// The state before; [`State::Unknown`] for a registration.
    pub fn previous_state(&self) -> State {
        self.before
    }

    /// The state after; [`State::Unknown`] for a removal.
    pub fn new_state(&self) -> State {
        self.facts().after
    }

    /// The reason that the reporter gave, at most 1 KiB of it. Of a notice: its text.
    pub fn reason(&self) -> Option<&str> {
        self.facts().reason.get()
    }

    /// Why the circuit opened, if it is open after the event: see [`Status::cause`]. Also `None` if
    /// the cause is not known yet.
    ///
    /// [`Status::cause`]: crate::Status::cause
    pub fn cause(&self) -> Option<Cause> {
        self.facts().opened_by
    }

    /// The [mode](crate::ConnectionOptions::mode) that was in effect. In [`Mode::Disabled`] an
    /// event has the states that count when the circuit leaves that mode, while a caller that asks
    /// for the state gets *closed*.
    pub fn mode(&self) -> Mode {
        self.facts().marks.mode()
    }

    /// Whether the mode is [`Mode::Shadow`]: the circuit rejects nothing. Then a `call_rejected`
    /// event is about a call that passed, and that [`Mode::Normal`] would have rejected.
    pub fn is_shadow(&self) -> bool {
        self.mode() == Mode::Shadow
    }

    /// Whether this was done by hand while the circuit was disabled. It takes effect when the
    /// circuit is enabled again. The [reason](Event::reason) says so, too.
    pub fn is_deferred(&self) -> bool {
        self.facts().marks.is_deferred()
    }

    /// Failures in a row, or inside the window, when it happened.
    pub fn failure_count(&self) -> u32 {
        self.facts().failures
    }

    /// What counted for the [rates](crate::Status::window_calls) when the circuit opened. `None` if
    /// the event is no opening or is [coalesced](Event::is_coalesced), without a rate, and after an
    /// opening by hand or by a failed probe.
    pub fn window_calls(&self) -> Option<u64> {
        self.facts().counts.map(|counts| counts.calls)
    }

    /// The failures of [`Event::window_calls`].
    pub fn window_failures(&self) -> Option<u64> {
        self.facts().counts.map(|counts| counts.failures)
    }

    /// The slow calls of [`Event::window_calls`], failed or not.
    pub fn window_slow(&self) -> Option<u64> {
        self.facts().counts.map(|counts| counts.slow)
    }

    /// How long the opening lasts. `None` if the circuit is not open, or stays open until it is
    /// closed by hand.
    pub fn expiry(&self) -> Option<Duration> {
        (self.facts().expiry != u64::MAX).then(|| Duration::from_millis(self.facts().expiry))
    }

    /// The metadata that came with the report, within the bounds of
    /// [`Report::metadata`].
    pub fn metadata(&self) -> Option<&Metadata> {
        self.facts().metadata.as_deref()
    }

    /// Whether it stands for one or more events of its type and connection that were not delivered,
    /// mostly for want of room. Such an event has the state that held when it was made, which may
    /// be later than the change that its type names. Its reason and metadata may be missing.
    pub fn is_coalesced(&self) -> bool {
        self.late
    }

    /// Whether the reason or the metadata is not as the reporter gave it: it was cut or
    /// left out to keep the [bounds](Report), or made valid text.
    pub fn is_truncated(&self) -> bool {
        self.facts().marks.is_altered()
    }

    pub(crate) fn name(&self) -> &KeyBuf {
        &self.happening.name
    }

    pub(crate) fn facts(&self) -> &Facts {
        &self.happening.facts
    }

    /// Takes over from an earlier event of the same type and connection that was
    /// not delivered.
    pub(crate) fn stand_for(&mut self, earlier: &Event) {
        self.late = true;
        if self.before != State::Unknown {
            self.before = earlier.before;
        }
    }
}

#[cfg(test)]
mod tests;
