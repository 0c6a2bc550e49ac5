"""Events, as values, and which of them a subscriber wants."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Dict, Iterable, Mapping, Optional, Union

from . import _abi, _ffi
from ._settings import Mode, StrEnum
from ._status import Cause, State, cause_of, mode_of, some, state_of
from ._values import invalid, wrong_type


class EventType(StrEnum):
    """What an event is about. Each is a `str`: `EventType.EXPIRY == "expiry"`."""

    STATE_CHANGE = "state_change"
    """The circuit's state changed."""
    REGISTRATION = "registration"
    """A connection was registered. `connection_registered` follows; one of the two is enough."""
    FAILURE = "failure"
    """A failure was reported. May be dropped under overload."""
    SUCCESS = "success"
    """A success was reported. May be dropped under overload."""
    EXPIRY = "expiry"
    """An opening reached its end."""
    CLEANUP = "cleanup"
    """A connection was removed because it was not used."""
    CIRCUIT_OPENED = "circuit_opened"
    """The circuit opened, or an open one was given another deadline. A `state_change` comes before
    it, if the state changed."""
    CIRCUIT_CLOSED = "circuit_closed"
    """The circuit closed."""
    CIRCUIT_RESET = "circuit_reset"
    """The circuit was reset."""
    CONNECTION_REGISTERED = "connection_registered"
    """The same as `registration`, which comes before it."""
    CONNECTION_UNREGISTERED = "connection_unregistered"
    """A connection was unregistered."""
    CIRCUIT_HALF_OPENED = "circuit_half_opened"
    """The circuit admits probes."""
    CONNECTION_REMOVED = "connection_removed"
    """A connection is gone, unregistered or cleaned up."""
    CALL_REJECTED = "call_rejected"
    """A call was not admitted. May be dropped under overload."""
    PROBE = "probe"
    """A probe was admitted. May be dropped under overload."""
    NOTICE = "notice"
    """Something that the connection's user should know and that is no change of state. The
    reason says what."""


_TYPES = {number: EventType(name) for number, name in enumerate(_abi.EVENT_TYPES, 1)}
_BITS = {name: 1 << number for number, name in _TYPES.items()}

#: One event type, or several; None for all.
EventTypes = Union[EventType, str, Iterable[Union[EventType, str]], None]


@dataclass(frozen=True)
class Event:
    """One thing that happened to one connection.

    Times are Unix milliseconds, lengths of time are milliseconds.
    """

    type: EventType
    timestamp: int
    sequence: int
    """Orders the events of one connection. Grows in the order of delivery; no order
    between connections is promised."""
    registration: int
    """Numbers the registrations of a manager. A name that is registered again has a larger
    number."""
    connection: str
    """The connection's identifier: `Status.identifier`."""
    scope: Optional[str]
    previous_state: State
    """`State.UNKNOWN` for a registration."""
    new_state: State
    """`State.UNKNOWN` for a removal."""
    reason: Optional[str]
    failure_count: int
    """Failures in a row, or inside the window, when it happened."""
    expiry: Optional[int]
    """How long the opening lasts; None if the circuit is not open, or is held open."""
    metadata: Mapping[str, str]
    """What came with the report."""
    coalesced: bool
    """The queue was full: this event also stands for others of its type and connection, and shows
    the state when it was made. The reason and the metadata may be missing."""
    truncated: bool = False
    """The reason or the metadata differs from what was given: it was cut or left out to keep its
    bounds, or made valid text."""
    cause: Optional[Cause] = None
    """Why the circuit opened, if it is open after the event. None otherwise, and while the cause is
    not known yet."""
    window_calls: Optional[int] = None
    """The reports that counted for the rates when the circuit opened, as in `Status`. None if the
    event reports no opening, if no rate was set, for an opening by hand or by a failed probe, and
    if the event is coalesced."""
    window_failures: Optional[int] = None
    """The failures among `window_calls`."""
    window_slow: Optional[int] = None
    """The slow calls among `window_calls`, failed or not."""
    mode: Mode = Mode.NORMAL
    """The mode that was in effect. While it is `"disabled"`, the states of events are those that
    apply when the mode ends, and `state` returns `"closed"`."""
    shadow: bool = False
    """The mode is `"shadow"`: the circuit rejects nothing. A `call_rejected` then reports a call
    that passed."""
    deferred: bool = False
    """This was done by hand while the circuit was disabled. It takes effect when the circuit is
    enabled again. `reason` says so, too."""


def event_of(words: Any, metadata: Dict[str, str]) -> Optional[Event]:
    """The event of a struct of the library; None for a type that only a later version of this
    package knows."""
    kind = _TYPES.get(words.event_type)
    if kind is None:
        return None
    return Event(
        type=kind,
        timestamp=words.timestamp_ms,
        sequence=words.sequence,
        registration=words.registration,
        connection=words.connection.decode(),
        scope=_ffi.text(words.scope),
        previous_state=state_of(words.previous_state),
        new_state=state_of(words.new_state),
        reason=_ffi.text(words.reason),
        failure_count=words.failure_count,
        expiry=some(words.expiry_ms),
        metadata=metadata,
        coalesced=bool(words.flags & _abi.COALESCED),
        truncated=bool(words.flags & _abi.TRUNCATED),
        cause=cause_of(words.cause),
        window_calls=some(words.window_calls),
        window_failures=some(words.window_failures),
        window_slow=some(words.window_slow),
        mode=mode_of(words.mode),
        shadow=bool(words.flags & _abi.SHADOW),
        deferred=bool(words.flags & _abi.DEFERRED),
    )


def bits_of(wanted: EventTypes) -> int:
    """The event types as the library's bit mask; 0 for all."""
    if wanted is None:
        return 0
    if isinstance(wanted, str):
        wanted = [wanted]
    try:
        names = list(wanted)
    except TypeError:
        raise wrong_type("events", wanted, "an EventType, a str or several of them") from None
    if not names:
        raise invalid("events", names, "must name a type; None stands for all")
    bits = 0
    for name in names:
        if not isinstance(name, str):
            raise wrong_type("events", name, "an EventType, a str or several of them")
        try:
            bits |= _BITS[EventType(name)]
        except ValueError:
            allowed = "must be one of " + ", ".join(_abi.EVENT_TYPES)
            raise invalid("events", name, allowed) from None
    return bits
