"""The C ABI, `include/brama.h`: its numbers, its structs, and the library itself.

The structs are those of the header, field by field. Their sizes are compared with
what the library's `_init` functions write, so that a library of another version is refused.
"""

from __future__ import annotations

import ctypes
import os
import sys
from ctypes import POINTER, Structure, c_char_p, c_double, c_int32, c_int64, c_size_t, c_uint32
from ctypes import c_uint64, c_void_p, sizeof
from typing import Any, Callable, Dict, List, Mapping, Optional, Tuple, Union

#: An identifier and a scope.
Key = Tuple[bytes, Optional[bytes]]
#: Fields of a struct.
Fields = Mapping[str, Union[int, float]]
Pairs = Optional[Mapping[bytes, bytes]]

ABI_VERSION = 1

OK = 0
INVALID_ARGUMENT = -1
NOT_FOUND = -2
ALREADY_REGISTERED = -3
REJECTED = -4
STALE = -5
INVALID_CONFIG = -6
SHUT_DOWN = -7

NEVER = 0xFFFF_FFFF_FFFF_FFFF
NONE = 0xFFFF_FFFF_FFFF_FFFC
NOT_GIVEN_U64 = 0xFFFF_FFFF_FFFF_FFFE
UNLIMITED = 0xFFFF_FFFF
NONE_F64 = -3.0e300
COALESCED = 1
TRUNCATED = 2
SHADOW = 4
DEFERRED = 8

#: A pass word of a connection that is below this number lets calls pass.
PASS_LIMIT = 0x2000_0000
#: From this number on the circuit is open. From `PASS_LIMIT` up to it, the circuit is half-open, or
#: closed with calls that are timed, or not registered. (The modes of `src/values/state.rs`.)
OPEN_FROM = 6 << 29
#: From this number up to `OPEN_FROM` the circuit is in a ramp.
RAMP_FROM = 5 << 29

STATES = ("unknown", "closed", "open", "half_open")
STRATEGIES = ("fixed", "progressive")
MODES = ("normal", "disabled", "shadow")
CAUSES = {1: "consecutive", 2: "window", 3: "failure_rate", 4: "slow_call_rate", 5: "retry_after", 6: "probe", 7: "manual"}
EVENT_TYPES = (
    "state_change",
    "registration",
    "failure",
    "success",
    "expiry",
    "cleanup",
    "circuit_opened",
    "circuit_closed",
    "circuit_reset",
    "connection_registered",
    "connection_unregistered",
    "circuit_half_opened",
    "connection_removed",
    "call_rejected",
    "probe",
    "notice",
)


class Pair(Structure):
    _fields_ = [("key", c_char_p), ("value", c_char_p)]


#: Every setting of a circuit and its kind, as `src/values/settings/table.rs` has them, in the
#: order of their fields.
SETTINGS: Dict[str, str] = {
    "max_attempts": "attempts",
    "expiry_strategy": "strategy",
    "expiry": "time",
    "initial_expiry": "time",
    "max_expiry": "time",
    "backoff_factor": "factor",
    "jitter": "part",
    "window": "optional_time",
    "probe_timeout": "optional_time",
    "half_open_max_calls": "calls",
    "half_open_successes": "calls",
    "cancelled_after": "optional_time",
    "success_clears_window": "flag",
    "mode": "mode",
    "failure_rate": "optional_rate",
    "rate_window": "bounded_time",
    "rate_calls": "optional_calls",
    "minimum_calls": "count",
    "slow_call_duration": "optional_time",
    "slow_call_rate": "optional_rate",
    "half_open_failure_rate": "optional_rate",
    "ramp": "optional_time",
    "ramp_start": "share",
}
_KINDS: Dict[str, Any] = {
    "attempts": c_uint32,
    "calls": c_uint32,
    "time": c_uint64,
    "optional_time": c_uint64,
    "bounded_time": c_uint64,
    "count": c_uint64,
    "optional_calls": c_uint64,
    "factor": c_double,
    "part": c_double,
    "optional_rate": c_double,
    "share": c_double,
    "strategy": c_int32,
    "flag": c_int32,
    "mode": c_int32,
}


def field_of(setting: str) -> str:
    """The name of a setting's field. That of a length of time ends in `_ms`."""
    return f"{setting}_ms" if SETTINGS[setting].endswith("time") else setting


_SETTINGS: List[Tuple[str, Any]] = [
    *((field_of(name), _KINDS[kind]) for name, kind in SETTINGS.items()),
]
_METADATA: List[Tuple[str, Any]] = [("metadata", POINTER(Pair)), ("metadata_count", c_size_t)]


class Options(Structure):
    _fields_ = [("size", c_size_t), *_SETTINGS, ("initial_state", c_int64), *_METADATA]


class Config(Structure):
    _fields_ = [
        ("size", c_size_t),
        *_SETTINGS,
        ("cleanup_interval_ms", c_uint64),
        ("inactive_threshold_ms", c_uint64),
        ("auto_register", c_int32),
        ("background", c_int32),
        ("event_capacity", c_uint64),
        ("clock", c_void_p),
    ]


_INHERIT: Dict[Any, Union[int, float]] = {
    c_uint32: 0xFFFF_FFFD,
    c_uint64: 0xFFFF_FFFF_FFFF_FFFD,
    c_int32: -3,
    c_double: -2.0e300,
}
#: The value that takes a setting back, by the name of its field.
TAKES_BACK: Dict[str, Union[int, float]] = {
    name: _INHERIT[kind] for name, kind, *_ in Config._fields_ if kind in _INHERIT
}


class Report(Structure):
    _fields_ = [
        ("size", c_size_t),
        ("reason", c_char_p),
        *_METADATA,
        ("failure_count", POINTER(c_uint32)),
        ("reason_length", c_size_t),
    ]


class PermitWords(Structure):
    _fields_ = [("opaque", c_uint64 * 6)]


class EffectiveSettings(Structure):
    _fields_ = [("size", c_size_t), *_SETTINGS]


class StatusWords(Structure):
    _fields_ = [
        ("size", c_size_t),
        ("identifier", c_char_p),
        ("scope", c_char_p),
        *_METADATA,
        ("settings", POINTER(EffectiveSettings)),
        ("state", c_int32),
        ("failure_count", c_uint32),
        ("trips", c_uint32),
        ("cause", c_int32),
        ("reason", c_char_p),
        ("last_failure_reason", c_char_p),
        ("total_successes", c_uint64),
        ("total_failures", c_uint64),
        ("total_rejections", c_uint64),
        ("total_ignored", c_uint64),
        ("success_rate", c_double),
        ("ramp_share", c_double),
        ("last_success_time_ms", c_uint64),
        ("last_failure_time_ms", c_uint64),
        ("opened_at_ms", c_uint64),
        ("last_state_change_ms", c_uint64),
        ("time_in_state_ms", c_uint64),
        ("expiry_ms", c_uint64),
        ("retry_after_ms", c_uint64),
        ("window_calls", c_uint64),
        ("window_failures", c_uint64),
        ("window_slow", c_uint64),
        ("would_reject", c_uint64),
        ("probes_out", c_uint32),
        ("mode", c_int32),
        ("opened_calls", c_uint64),
        ("opened_failures", c_uint64),
        ("opened_slow", c_uint64),
    ]


class StateCountWords(Structure):
    _fields_ = [
        ("size", c_size_t),
        ("closed", c_uint64),
        ("open", c_uint64),
        ("half_open", c_uint64),
    ]


class EventWords(Structure):
    _fields_ = [
        ("size", c_size_t),
        ("event_type", c_int32),
        ("previous_state", c_int32),
        ("new_state", c_int32),
        ("failure_count", c_uint32),
        ("flags", c_uint32),
        ("cause", c_int32),
        ("sequence", c_uint64),
        ("registration", c_uint64),
        ("timestamp_ms", c_uint64),
        ("expiry_ms", c_uint64),
        ("connection", c_char_p),
        ("scope", c_char_p),
        ("reason", c_char_p),
        *_METADATA,
        ("window_calls", c_uint64),
        ("window_failures", c_uint64),
        ("window_slow", c_uint64),
        ("mode", c_int32),
        ("reserved", c_uint32),
    ]


class Filter(Structure):
    _fields_ = [
        ("size", c_size_t),
        ("event_types", c_uint32),
        ("reserved", c_uint32),
        ("connection", c_char_p),
        ("scope", c_char_p),
        ("predicate", c_void_p),
        ("predicate_data", c_void_p),
        ("predicate_destroy", c_void_p),
    ]


class EventCountWords(Structure):
    _fields_ = [
        ("size", c_size_t),
        ("published", c_uint64),
        ("delivered", c_uint64),
        ("dropped", c_uint64),
        ("coalesced", c_uint64),
        ("panics", c_uint64),
        ("background_running", c_uint32),
        ("reserved", c_uint32),
    ]


def _library_path() -> str:
    given = os.environ.get("BRAMA_LIBRARY")
    if given:
        return given
    name = {"win32": "brama.dll", "darwin": "libbrama.dylib"}.get(sys.platform, "libbrama.so")
    return os.path.join(os.path.dirname(os.path.abspath(__file__)), name)


def _load() -> Tuple[ctypes.PyDLL, ctypes.CDLL, str]:
    path = _library_path()
    try:
        held, free = ctypes.PyDLL(path), ctypes.CDLL(path)
        found = int(held.brama_abi_version())
    except (OSError, AttributeError) as error:
        raise ImportError(
            f"brama's shared library cannot be loaded from {path!r}: {error}. It comes with the "
            "installed package; the environment variable BRAMA_LIBRARY names another one."
        ) from error
    if found != ABI_VERSION:
        raise ImportError(
            f"{path!r} has version {found} of the binary interface of brama, this package "
            f"needs version {ABI_VERSION}"
        )
    return held, free, path


HELD, FREE, LIBRARY = _load()


def function(library: Any, name: str, answer: Any, *arguments: Any) -> Callable[..., Any]:
    found = library[name]
    found.restype = answer
    found.argtypes = arguments
    typed: Callable[..., Any] = found
    return typed


def hot(name: str, answer: Any) -> Callable[..., Any]:
    """A function without `argtypes`. Its arguments must be made by `byref`, or be numbers that
    fit a C `int`."""
    found = HELD[name]
    found.restype = answer
    typed: Callable[..., Any] = found
    return typed


def maker(kind: Any, init: str) -> Callable[[], Any]:
    """A function that makes structs, initialised as the library's own function does it."""
    # Large enough for a longer struct of another version.
    written = ctypes.create_string_buffer(4096)
    function(HELD, init, None, c_void_p)(written)
    size = c_size_t.from_buffer(written).value
    if size != sizeof(kind):
        raise ImportError(
            f"{LIBRARY!r} has {size} bytes where this package has {sizeof(kind)} ({init}): "
            "it is not the library that belongs to it"
        )
    blank, make = written.raw[:size], kind.from_buffer_copy
    return lambda: make(blank)
