"""Settings, and how their values become fields of the library's structs.

`_abi.SETTINGS` is the table of all settings of a circuit. The kind of a setting decides how its
value is converted. The two `TypedDict`s here and `_status.Settings` list all settings once more,
for type checkers. `bindings/c/tests/header.rs` says which lines a new setting needs.
"""

from __future__ import annotations

import difflib
import sys
from datetime import timedelta
from enum import Enum
from typing import TYPE_CHECKING, Any, Callable, Dict, List, Mapping, Optional, Tuple, TypedDict
from typing import Union

from . import _abi
from ._clock import ManualClock
from ._values import (
    LARGEST_U32,
    LARGEST_U64,
    Duration,
    invalid_setting,
    metadata,
    milliseconds,
    real,
    whole,
    wrong_type,
)

if sys.version_info >= (3, 10):
    from typing import ParamSpec as ParamSpec
elif TYPE_CHECKING:
    from typing_extensions import ParamSpec as ParamSpec
else:

    class ParamSpec(list):
        """`ParamSpec` where `typing` has none, so that annotations can be evaluated. A list, as
        `Callable` wants one."""

        args = kwargs = Any

        def __init__(self, name):
            super().__init__()


if sys.version_info >= (3, 11):
    from enum import StrEnum as StrEnum
    from typing import Unpack as Unpack
else:

    class StrEnum(str, Enum):
        def __str__(self) -> str:
            return str.__str__(self)

        def __format__(self, format_spec: str) -> str:
            return str.__format__(self, format_spec)

    if TYPE_CHECKING:
        from typing_extensions import Unpack as Unpack
    else:

        class Unpack:
            """`Unpack[T]` where `typing` has none, so that annotations can be evaluated."""

            def __class_getitem__(cls, item):
                return item


class Never(Enum):
    """The type of `NEVER`."""

    NEVER = "never"

    def __repr__(self) -> str:
        return "brama.NEVER"


class Unlimited(Enum):
    """The type of `UNLIMITED`."""

    UNLIMITED = "unlimited"

    def __repr__(self) -> str:
        return "brama.UNLIMITED"


class Inherit(Enum):
    """The type of `INHERIT`."""

    INHERIT = "inherit"

    def __repr__(self) -> str:
        return "brama.INHERIT"


#: For any setting: takes it back. A connection then follows its manager again, and a manager has
#: the default again.
INHERIT = Inherit.INHERIT
#: A time that never comes: for `open_circuit(expiry=…)` and `inactive_threshold`.
NEVER = Never.NEVER
#: For `max_attempts`: no number of failures opens the circuit. Without a rate it never opens by
#: itself.
UNLIMITED = Unlimited.UNLIMITED


class ExpiryStrategy(StrEnum):
    """How long a circuit stays open while its dependency stays down."""

    FIXED = "fixed"
    """Always `expiry`."""
    PROGRESSIVE = "progressive"
    """`initial_expiry`, and `backoff_factor` times as long with every opening in a row,
    at most `max_expiry`."""


class Mode(StrEnum):
    """What a circuit does. Each is a `str`: `Mode.SHADOW == "shadow"`."""

    NORMAL = "normal"
    """It opens, and rejects calls."""
    DISABLED = "disabled"
    """It does nothing. Every call passes. Reports change the totals only. Nothing opens, closes
    or expires, and the state is closed. Control by hand takes effect when the mode ends, and its
    event says so. The end of the mode resets the circuit, with two exceptions: an opening by hand
    stays, and so does a half-open state that was made by hand in this mode."""
    SHADOW = "shadow"
    """It opens and closes as normal, and rejects nothing. A call that it would reject passes, and
    counts in the totals only."""


class ConnectionSettings(TypedDict, total=False):
    """Settings of one connection. A setting that is not given, or that `INHERIT` takes back,
    follows the manager's.

    `help` shows the names and types only. The table of settings in the README says what each one
    means, and so does the reference that `pdoc brama` makes."""

    max_attempts: Union[int, Unlimited, Inherit, None]
    """Failures that open the circuit: in a row, or within `window`. None or `UNLIMITED`: no
    number of failures does. Default 5; with a `failure_rate` and no `window`, `UNLIMITED`."""
    expiry_strategy: Union[ExpiryStrategy, str, Inherit]
    """`"fixed"` (default) or `"progressive"`."""
    expiry: Union[Duration, Inherit]
    """How long an opening lasts. Default 60 000 ms."""
    initial_expiry: Union[Duration, Inherit]
    """The first expiry of the progressive strategy. Default: `expiry`."""
    max_expiry: Union[Duration, Inherit]
    """The longest expiry of the progressive strategy. Without effect in another strategy. Default:
    ten times `initial_expiry`."""
    backoff_factor: Union[float, Inherit]
    """The factor from each progressive expiry to the next, at least 1.0. Default 2.0."""
    jitter: Union[float, Inherit]
    """Prolongs every automatic expiry by up to this part of itself. 0.0 to 1.0. Default 0."""
    window: Union[Duration, Inherit, None]
    """Only failures younger than this count. None (default): failures in a row count."""
    probe_timeout: Union[Duration, Inherit, None]
    """How long a probe may take before another call may take its place. None (default): the
    current expiry, at least 1 000 ms. A result that comes later still counts."""
    half_open_max_calls: Union[int, Inherit]
    """Probes admitted at once while half-open. 1 to 65535. Default 1."""
    half_open_successes: Union[int, Inherit]
    """Successes that close a half-open circuit. 1 to 65535. Default 1."""
    cancelled_after: Union[Duration, Inherit, None]
    """A call that is cancelled counts as a failure if it has lasted at least so long. None
    (default): it is ignored. Calls then cost more: the library has to know when they began."""
    success_clears_window: Union[bool, Inherit]
    """Whether a success clears the failures in `window`. If not, they count until they are as old
    as the window, and only a recovery or a reset clears them. Then each success after the first
    failure costs some tens of ns more, until a recovery. Default True."""
    mode: Union[Mode, str, Inherit]
    """`"normal"` (default), `"disabled"` or `"shadow"`: see `Mode`."""
    failure_rate: Union[float, Inherit, None]
    """The share of failures among the reports that opens the circuit, once there are
    `minimum_calls`. Above 0.0, at most 1.0. None (default): the share does not count. With a
    `failure_rate` the circuit opens for failures in a row only if `max_attempts` or `window` is
    given, here or to the manager."""
    rate_window: Union[Duration, Inherit]
    """The time over which the rates count reports. 1 000 to 3 600 000 ms. It takes the place of
    `rate_calls` that were given before or are the manager's; one call cannot give both. Default
    10 000 ms."""
    rate_calls: Union[int, Inherit, None]
    """How many of the last reports the rates count, in place of those within `rate_window`. 10 to
    100000. It takes the place of a `rate_window` that was given before or is the manager's;
    one call cannot give both. None (default): the rates count in time, whatever the manager's
    setting says."""
    minimum_calls: Union[int, Inherit]
    """How many reports a rate needs in its window before it opens the circuit. At least 1, and at
    most the `rate_calls` that the same connection or manager gives. An inherited or default
    minimum above `rate_calls` is lowered to them. Default 20."""
    slow_call_duration: Union[Duration, Inherit, None]
    """A call that lasts at least so long is slow. None (default): no call is. Calls then cost
    more: the library has to know when they began."""
    slow_call_rate: Union[float, Inherit, None]
    """The share of slow calls among the reports that opens the circuit, once there are
    `minimum_calls`; a slow failure counts as slow, too. Above 0.0, at most 1.0. None (default):
    the share does not count. A connection's `slow_call_rate` needs a `slow_call_duration` in
    effect. A manager may give it alone, for connections that have a `slow_call_duration`."""
    half_open_failure_rate: Union[float, Inherit, None]
    """The share of failures among `half_open_max_calls` probes that opens a half-open circuit
    again; a smaller share closes it. `half_open_max_calls` probes are admitted in all. The circuit
    opens or closes as soon as the outstanding probes cannot change the result. A slow success
    counts as a failure where `slow_call_rate` is set. It takes the place of a
    `half_open_successes` that was given before or is the manager's; one call cannot give both.
    Above 0.0, at most 1.0. None (default): one failure opens the circuit,
    `half_open_successes` close it."""
    ramp: Union[Duration, Inherit, None]
    """For how long a circuit whose probes have succeeded stays half-open and admits a growing
    share of the calls, until it closes. Two failures in a row open it again, and so does a rate.
    At least 1 ms, rounded up to 2. None (default): the circuit closes at once."""
    ramp_start: Union[float, Inherit]
    """The share of the calls that a `ramp` admits at its start. Above 0.0, at most 1.0. Default
    0.1."""
    initial_state: Union[str, Duration]
    """The state in which the circuit begins: `"closed"` (default), `"open"` until it is closed or
    reset by hand, or a length of time for which it is open. Its cause is `"manual"` then. For a
    registration only: refused where an existing connection is configured, and without effect
    where one is found. Not for managers."""
    metadata: Optional[Mapping[str, str]]
    """The connection's metadata as a whole, replacing what was there. Not for managers."""


class ManagerSettings(TypedDict, total=False):
    """Settings of a manager: those of connections that have no setting of their own, and more.
    `INHERIT` stands for the default.

    `help` shows the names and types only. The table of settings in the README says what each one
    means, and so does the reference that `pdoc brama` makes."""

    max_attempts: Union[int, Unlimited, Inherit, None]
    expiry_strategy: Union[ExpiryStrategy, str, Inherit]
    expiry: Union[Duration, Inherit]
    initial_expiry: Union[Duration, Inherit]
    max_expiry: Union[Duration, Inherit]
    backoff_factor: Union[float, Inherit]
    jitter: Union[float, Inherit]
    window: Union[Duration, Inherit, None]
    probe_timeout: Union[Duration, Inherit, None]
    half_open_max_calls: Union[int, Inherit]
    half_open_successes: Union[int, Inherit]
    cancelled_after: Union[Duration, Inherit, None]
    success_clears_window: Union[bool, Inherit]
    mode: Union[Mode, str, Inherit]
    failure_rate: Union[float, Inherit, None]
    rate_window: Union[Duration, Inherit]
    rate_calls: Union[int, Inherit, None]
    minimum_calls: Union[int, Inherit]
    slow_call_duration: Union[Duration, Inherit, None]
    slow_call_rate: Union[float, Inherit, None]
    half_open_failure_rate: Union[float, Inherit, None]
    ramp: Union[Duration, Inherit, None]
    ramp_start: Union[float, Inherit]
    cleanup_interval: Union[Duration, Inherit]
    """How often the manager looks for unused connections. Default 10 000 ms."""
    inactive_threshold: Union[Duration, Never, Inherit, None]
    """A connection without activity for so long is removed. Exceptions: a connection of which the
    program holds a handle, and an open one before its time. Default 24 hours; None or `NEVER`:
    no connection is removed."""
    auto_register: Union[bool, Inherit]
    """Whether an unknown name is registered by its first use. Default False."""


#: The library's own rules, for numbers that do not fit its fields.
_RATE_CALLS = "must be 10 to 100000"
_RATE_WINDOW = "must be 1000 to 3600000 ms"
_RATE = "must be above 0.0 and at most 1.0"
_LARGEST_COUNT = 0xFFFF_FFFF
_LARGEST_I64 = 0x7FFF_FFFF_FFFF_FFFF

Fields = Dict[str, Union[int, float]]
Field = Tuple[str, Callable[[str, Any], Union[int, float]]]


def _attempts(name: str, value: Any) -> int:
    if value is None or value is UNLIMITED:
        return _abi.UNLIMITED
    return whole(name, value, LARGEST_U32)


def _count(name: str, value: Any) -> int:
    return whole(name, value, LARGEST_U32)


def _capacity(name: str, value: Any) -> int:
    return whole(name, value, LARGEST_U64, rule="must be 1 to 16777216")


def _reports(name: str, value: Any) -> int:
    return whole(name, value, _LARGEST_COUNT)


def _reports_or_none(name: str, value: Any) -> int:
    return _abi.NONE if value is None else whole(name, value, _LARGEST_COUNT, rule=_RATE_CALLS)


def _length(name: str, value: Any) -> int:
    return milliseconds(name, value)


def _bounded_length(name: str, value: Any) -> int:
    return milliseconds(name, value, rule=_RATE_WINDOW)


def _length_or_none(name: str, value: Any) -> int:
    return _abi.NONE if value is None else milliseconds(name, value)


def _length_or_never(name: str, value: Any) -> int:
    return _abi.NEVER if value is None or value is NEVER else milliseconds(name, value)


def _rate_or_none(name: str, value: Any) -> float:
    return _abi.NONE_F64 if value is None else _share(name, value)


def _share(name: str, value: Any) -> float:
    return real(name, value, _RATE, largest=1.0)


def _factor(name: str, value: Any) -> float:
    return real(name, value, "must be finite and at least 1.0")


def _part(name: str, value: Any) -> float:
    return real(name, value, "must be 0.0 to 1.0", largest=1.0)


def _strategy(name: str, value: Any) -> int:
    if not isinstance(value, str):
        raise wrong_type(name, value, 'a str: "fixed" or "progressive"')
    if value not in _abi.STRATEGIES:
        raise invalid_setting(name, value, 'must be "fixed" or "progressive"')
    return _abi.STRATEGIES.index(value)


def _mode(name: str, value: Any) -> int:
    if not isinstance(value, str):
        raise wrong_type(name, value, 'a str: "normal", "disabled" or "shadow"')
    if value not in _abi.MODES:
        raise invalid_setting(name, value, 'must be "normal", "disabled" or "shadow"')
    return _abi.MODES.index(value)


def _initial_state(name: str, value: Any) -> int:
    if value == "closed":
        return 0
    if value == "open":
        return -1
    rule = f'"closed", "open", or 1 to {_LARGEST_I64} ms'
    if isinstance(value, str):
        raise invalid_setting(name, value, f"must be {rule}")
    if isinstance(value, bool) or not isinstance(value, (int, timedelta)):
        kinds = '"closed", "open", an int (milliseconds) or a datetime.timedelta'
        raise wrong_type(name, value, kinds)
    length = milliseconds(name, value, rule=f"must be {rule}")
    if not 0 < length <= _LARGEST_I64:
        raise invalid_setting(name, value, f"must be {rule}")
    return length


def _flag(name: str, value: Any) -> int:
    if not isinstance(value, bool):
        raise wrong_type(name, value, "a bool")
    return int(value)


def _clock(name: str, value: Any) -> int:
    if not isinstance(value, ManualClock):
        raise wrong_type(name, value, "a brama.ManualClock")
    return int(value._clock.address)


_OF_KIND: Dict[str, Callable[[str, Any], Union[int, float]]] = {
    "attempts": _attempts,
    "calls": _count,
    "time": _length,
    "optional_time": _length_or_none,
    "bounded_time": _bounded_length,
    "count": _reports,
    "optional_calls": _reports_or_none,
    "factor": _factor,
    "part": _part,
    "optional_rate": _rate_or_none,
    "share": _share,
    "strategy": _strategy,
    "flag": _flag,
    "mode": _mode,
}
_OF_BOTH: Dict[str, Field] = {
    name: (_abi.field_of(name), _OF_KIND[kind]) for name, kind in _abi.SETTINGS.items()
}
_OF_CONNECTION: Dict[str, Field] = {
    **_OF_BOTH,
    "initial_state": ("initial_state", _initial_state),
}
_OF_MANAGER: Dict[str, Field] = {
    **_OF_BOTH,
    "cleanup_interval": ("cleanup_interval_ms", _length),
    "inactive_threshold": ("inactive_threshold_ms", _length_or_never),
    "auto_register": ("auto_register", _flag),
}
_OF_NEW_MANAGER: Dict[str, Field] = {
    **_OF_MANAGER,
    "background": ("background", _flag),
    "event_capacity": ("event_capacity", _capacity),
    "clock": ("clock", _clock),
}


def _unknown(name: str, known: List[str]) -> TypeError:
    """The error for a setting that is not among those of a connection, or of a manager."""
    if name in _OF_NEW_MANAGER:
        return TypeError(f"unknown setting {name!r}: only managers have it, not connections")
    if name in _OF_CONNECTION or name == "metadata":
        return TypeError(f"unknown setting {name!r}: only connections have it, not managers")
    near = difflib.get_close_matches(name, known, n=1)
    meant = f": did you mean {near[0]!r}?" if near else "."
    return TypeError(f"unknown setting {name!r}{meant} Known are {', '.join(known)}")


def _fields(known: Mapping[str, Field], given: Mapping[str, Any], more: List[str]) -> Fields:
    fields: Fields = {}
    for name, value in given.items():
        if name not in known:
            raise _unknown(name, [*known, *more])
        field, convert = known[name]
        if value is INHERIT and name in _OF_MANAGER:
            fields[field] = _abi.TAKES_BACK[field]
        else:
            fields[field] = convert(name, value)
    return fields


def of_connection(given: Mapping[str, Any]) -> Tuple[Fields, _abi.Pairs]:
    """The fields, and the metadata. Raises TypeError for an unknown name or a wrong type,
    InvalidConfig for a value out of range."""
    rest = dict(given)
    pairs = metadata(rest.pop("metadata", None))
    return _fields(_OF_CONNECTION, rest, ["metadata"]), pairs


def of_manager(given: Mapping[str, Any]) -> Fields:
    for name in given:
        if name in _OF_NEW_MANAGER and name not in _OF_MANAGER:
            raise invalid_setting(name, given[name], "can only be given to Brama()")
    return _fields(_OF_MANAGER, given, [])


def of_new_manager(given: Mapping[str, Any]) -> Fields:
    return _fields(_OF_NEW_MANAGER, given, [])
