"""The health of connections, as values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Callable, Dict, Mapping, Optional

from . import _abi, _errors, _structs
from ._settings import ExpiryStrategy, Mode, StrEnum


class State(StrEnum):
    """The state of a circuit. Each is a `str`: `State.OPEN == "open"`."""

    UNKNOWN = "unknown"
    """Not registered."""
    CLOSED = "closed"
    """Healthy: calls pass."""
    OPEN = "open"
    """Failing: calls are rejected."""
    HALF_OPEN = "half_open"
    """Probing: a limited number of calls test whether the dependency recovered. Then it may
    ramp up: a growing share of the calls passes."""


class Cause(StrEnum):
    """Why a circuit opened. Each is a `str`: `Cause.PROBE == "probe"`. More may come."""

    CONSECUTIVE = "consecutive"
    """As many failures in a row as `max_attempts`."""
    WINDOW = "window"
    """As many failures within the `window`."""
    FAILURE_RATE = "failure_rate"
    """As large a share of failures as `failure_rate`."""
    SLOW_CALL_RATE = "slow_call_rate"
    """As large a share of slow calls as `slow_call_rate`."""
    RETRY_AFTER = "retry_after"
    """The dependency asked to be left alone: `failure(retry_after=...)`."""
    PROBE = "probe"
    """A probe failed."""
    MANUAL = "manual"
    """By hand: `open_circuit`."""


#: An annotation in `_errors` names `Cause`. `_errors` cannot import this module, which imports it.
vars(_errors)["Cause"] = Cause

_STATES = tuple(State(name) for name in _abi.STATES)
_MODES = tuple(Mode(name) for name in _abi.MODES)
_CAUSES = {number: Cause(name) for number, name in _abi.CAUSES.items()}


def cause_of(number: int) -> Optional[Cause]:
    """The cause; None if there is none, or only a later version of this package knows it."""
    return _CAUSES.get(number)


def mode_of(number: int) -> Mode:
    """The mode; `Mode.NORMAL` for one that only a later version of this package knows."""
    return _MODES[number] if 0 <= number < len(_MODES) else Mode.NORMAL


def state_of(number: int) -> State:
    return _STATES[number] if 0 <= number < len(_STATES) else State.UNKNOWN


@dataclass(frozen=True)
class Settings:
    """The settings in effect for a connection. Lengths of time are milliseconds."""

    max_attempts: Optional[int]
    """None: no number of failures opens the circuit."""
    expiry_strategy: ExpiryStrategy
    expiry: int
    initial_expiry: int
    max_expiry: int
    backoff_factor: float
    jitter: float
    window: Optional[int]
    """None: failures in a row count."""
    probe_timeout: Optional[int]
    """None: the current expiry, at least 1 000."""
    half_open_max_calls: int
    half_open_successes: int
    cancelled_after: Optional[int] = None
    """None: calls that are cancelled are ignored."""
    success_clears_window: bool = True
    """False: a success does not clear the failures in `window`, unless the circuit is half-open."""
    mode: Mode = Mode.NORMAL
    failure_rate: Optional[float] = None
    """None: the share of failures does not count."""
    rate_window: int = 10_000
    """Without effect while there are `rate_calls`."""
    rate_calls: Optional[int] = None
    """None: the rates count the reports within `rate_window`."""
    minimum_calls: int = 20
    slow_call_duration: Optional[int] = None
    """None: no call is slow."""
    slow_call_rate: Optional[float] = None
    """None: the share of slow calls does not count."""
    half_open_failure_rate: Optional[float] = None
    """None: one failure opens a half-open circuit, `half_open_successes` close it."""
    ramp: Optional[int] = None
    """None: the circuit closes as soon as its probes have succeeded."""
    ramp_start: float = 0.1


@dataclass(frozen=True)
class Status:
    """The health of one connection at one moment.

    Times are Unix milliseconds, None if there was none yet; lengths of time are
    milliseconds.
    """

    identifier: str
    scope: Optional[str]
    state: State
    failure_count: int
    """Failures in a row, or inside the window if there is one."""
    total_successes: int
    total_failures: int
    total_rejections: int
    success_rate: Optional[float]
    """Successes / (successes + failures); None before the first report."""
    last_success_time: Optional[int]
    """May be early by a tick of the coarse clock (1 to 10 ms), or two while calls are frequent."""
    last_failure_time: Optional[int]
    """May be early as `last_success_time` may."""
    opened_at: Optional[int]
    """When the circuit opened last. `restore` is an opening of its own: of a circuit that it
    opened, this is the time of the restore."""
    last_state_change: Optional[int]
    time_in_state: int
    """Since the last change of state; since registration before the first."""
    expiry: Optional[int]
    """How long this opening lasts (None: until it is closed by hand). If the circuit is not
    open, how long an opening would last now."""
    retry_after: Optional[int]
    """How long until an open circuit admits probes. None if the circuit is not open, or is held
    open until it is closed by hand."""
    trips: int
    """Openings since the circuit was last healthy, at most 255."""
    settings: Settings
    metadata: Mapping[str, str]
    total_ignored: int = 0
    """Calls that were ignored: cancelled, excluded, or given back. Stops at 4 294 967 295."""
    window_calls: Optional[int] = None
    """Reports that count for the rates: within the window, and since the circuit last closed or
    was reset. While the circuit is not closed, those that counted when it opened. None if no rate
    is set, after an opening by hand or by a failed probe, while the mode is `"disabled"`, and if
    the number is not known."""
    window_failures: Optional[int] = None
    """The failures among `window_calls`."""
    window_slow: Optional[int] = None
    """The slow calls among `window_calls`, failed or not."""
    cause: Optional[Cause] = None
    """Why the circuit opened last, also after it has closed or was reset. None before the first
    opening, or if the cause is not known yet."""
    reason: Optional[str] = None
    """The reason of the failure that opened the circuit last, or of the `open_circuit` that did:
    at most 256 bytes of it, also after the circuit has closed. None if there was none."""
    last_failure_reason: Optional[str] = None
    """The reason of the last failure that had one: at most 256 bytes of it."""
    ramp_share: Optional[float] = None
    """The share of the calls that pass now, in a `ramp`; otherwise None. In the mode `"shadow"` all
    calls pass, and `"normal"` would let this share pass. None in the mode `"disabled"`."""
    mode: Mode = Mode.NORMAL
    """The mode in effect. While it is `"disabled"`, `state` is `"closed"`."""
    would_reject: int = 0
    """Calls that passed in the mode `"shadow"`, and that `"normal"` would have rejected."""
    probes_out: int = 0
    """How many probes are out now: admitted, not reported, and with a lease that has not ended.
    (`CircuitOpen.probes_out` is a bool: whether all of them are.)"""
    opened_calls: Optional[int] = None
    """The calls that had been counted when a rate opened the circuit last, also after the circuit
    has closed. None if no rate did, or if the number is not known."""
    opened_failures: Optional[int] = None
    """The failures that had been counted when a rule opened the circuit last, also after the
    circuit has closed: in a row, inside the window, or among `opened_calls`, as `cause` says. None
    after an opening by hand, by a probe or by `retry_after`, or if the number is not known."""
    opened_slow: Optional[int] = None
    """The slow calls among `opened_calls`, failed or not."""


@dataclass(frozen=True)
class StateCounts:
    """How many connections of a manager are in each state."""

    closed: int
    open: int
    half_open: int


@dataclass(frozen=True)
class EventCounts:
    """How many events of a manager were published, delivered, dropped and merged."""

    published: int
    """Events that a subscriber wanted when they happened."""
    delivered: int
    """Deliveries to a subscription: an event that three subscriptions got counts three times."""
    dropped: int
    """Events of droppable types that found the queue full, and events that a shutdown left."""
    coalesced: int
    """Events of the other types that were merged into a later one."""
    callback_errors: int
    """Callbacks and filters of this manager's subscriptions that raised."""
    background_running: bool = False
    """Whether the library's thread runs in this process. While it does not, events are delivered
    by `poll`, and by taking them from a stream."""


def some(number: int) -> Optional[int]:
    return None if number in (_abi.NONE, _abi.NEVER) else int(number)


def share(number: float) -> Optional[float]:
    return None if number < 0 else number


#: What a rule had counted, in the words of the library's messages.
_EVIDENCE: Dict[Optional[Cause], Callable[[Any], str]] = {
    Cause.CONSECUTIVE: lambda words: f"{_of(words.opened_failures, 'failure')} in a row",
    Cause.WINDOW: lambda words: f"{_of(words.opened_failures, 'failure')} within the window",
    Cause.FAILURE_RATE: lambda words: (
        f"{words.opened_failures} of {_of(words.opened_calls, 'call')} failed"
    ),
    Cause.SLOW_CALL_RATE: lambda words: (
        f"{words.opened_slow} of {_of(words.opened_calls, 'call')} "
        f"{'was' if words.opened_calls == 1 else 'were'} slow"
    ),
}


def _of(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def evidence_of(words: Any) -> Optional[str]:
    """What the rule that opened the circuit last had counted."""
    say = _EVIDENCE.get(cause_of(words.cause))
    return None if say is None or some(words.opened_failures) is None else say(words)


#: How a setting of each kind is shown.
_SHOWN: Dict[str, Callable[[Any], Any]] = {
    "attempts": lambda number: None if number == _abi.UNLIMITED else number,
    "calls": int,
    "time": int,
    "optional_time": some,
    "bounded_time": int,
    "count": int,
    "optional_calls": some,
    "factor": float,
    "part": float,
    "optional_rate": share,
    "share": float,
    "strategy": lambda number: ExpiryStrategy(_abi.STRATEGIES[number]),
    "flag": bool,
    "mode": mode_of,
}
_EFFECTIVE = [(name, _abi.field_of(name), _SHOWN[kind]) for name, kind in _abi.SETTINGS.items()]


def _settings_of(effective: Any) -> Settings:
    return Settings(**{name: show(getattr(effective, field)) for name, field, show in _EFFECTIVE})


def status_of(
    words: Any, metadata: Dict[str, str], identifier: str, scope: Optional[str]
) -> Status:
    return Status(
        identifier=identifier,
        scope=scope,
        state=state_of(words.state),
        failure_count=words.failure_count,
        window_calls=some(words.window_calls),
        window_failures=some(words.window_failures),
        window_slow=some(words.window_slow),
        total_successes=words.total_successes,
        total_failures=words.total_failures,
        total_rejections=words.total_rejections,
        success_rate=share(words.success_rate),
        ramp_share=share(words.ramp_share),
        last_success_time=some(words.last_success_time_ms),
        last_failure_time=some(words.last_failure_time_ms),
        opened_at=some(words.opened_at_ms),
        last_state_change=some(words.last_state_change_ms),
        time_in_state=words.time_in_state_ms,
        expiry=some(words.expiry_ms),
        retry_after=some(words.retry_after_ms),
        trips=words.trips,
        settings=_settings_of(words.settings.contents),
        metadata=metadata,
        total_ignored=words.total_ignored,
        cause=cause_of(words.cause),
        reason=_structs.text(words.reason),
        last_failure_reason=_structs.text(words.last_failure_reason),
        mode=mode_of(words.mode),
        would_reject=words.would_reject,
        probes_out=words.probes_out,
        opened_calls=some(words.opened_calls),
        opened_failures=some(words.opened_failures),
        opened_slow=some(words.opened_slow),
    )
