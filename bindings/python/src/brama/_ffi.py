"""The C ABI of the library, `include/brama.h`, as Python functions.

Only five files use `ctypes`: `_abi.py` and `_structs.py`, which this file imports, this file,
and `_words.py` and `_handle.py`, which import it. The rest of the package works with Python's
own values and the classes of these files. Each object of these classes owns one object of the
library (`_owner.py`).

Two ways into the library
    `ctypes.PyDLL` keeps the GIL during a call, `ctypes.CDLL` releases it. Functions that are
    short and never wait go through `PyDLL`: to release the GIL and take it again costs more
    than the call. Functions that may wait, or that walk all connections, go through `CDLL`.

No callbacks
    The library is never given a Python function to call. A foreign thread that calls
    into an interpreter waits for the GIL, and one that does so while the interpreter
    ends takes the process down. Events are taken out of queues instead, and all
    connections out of a snapshot.

Hot functions have no `argtypes`. `ctypes` then passes on what `byref` made as it is, and a
small `int` as a C `int`. This takes half the time.
"""

from __future__ import annotations

import ctypes
import re
import threading
from ctypes import byref, c_bool, c_char_p, c_int, c_size_t, c_uint32, c_uint64, c_void_p, sizeof
from typing import Any, Callable, Dict, Iterator, List, Optional, Tuple, TypeVar

from . import _errors
from ._abi import (
    ALREADY_REGISTERED,
    FREE,
    HELD,
    INVALID_ARGUMENT,
    INVALID_CONFIG,
    NOT_FOUND,
    OK,
    SHUT_DOWN,
    STALE,
    EventWords,
    Fields,
    Key,
    Pairs,
    function,
    hot,
)
from ._owner import Owner
from ._structs import (
    config_of,
    make_event_counts,
    make_filter,
    make_report,
    make_state_counts,
    make_status,
    metadata_of,
    options_of,
    put_metadata,
    report_of,
    text as text,
)

_E = TypeVar("_E")

_PTR, _TEXT, _U64 = c_void_p, c_char_p, c_uint64
_KEY = (_PTR, _TEXT, _TEXT)

# Hot functions. Their arguments are made by `byref`.
connection_available = hot("brama_connection_available", c_bool)
connection_success = hot("brama_connection_success", c_int)
connection_acquire = hot("brama_connection_acquire", c_int)
connection_state = hot("brama_connection_state", c_int)
pass_permit = hot("brama_connection_pass_permit", c_int)
permit_success = hot("brama_permit_success_at", c_int)
#: For reports whose code the caller does not need. A late report has counted in the totals,
#: and the next call learns that the connection is gone or the manager shut down.
report_success = hot("brama_permit_success_at", None)
#: The second argument is `bytes` or None.
permit_failure = hot("brama_permit_failure_at", c_int)
report_failure = hot("brama_permit_failure_at", None)
permit_ignore = hot("brama_permit_ignore_at", c_int)
permit_cancelled = hot("brama_permit_cancelled_at", c_int)
permit_is_half_open = hot("brama_permit_is_half_open_at", c_bool)
permit_is_probe = hot("brama_permit_is_probe_at", c_bool)
permit_covers = hot("brama_permit_covers_at", c_bool)

_abi_message = function(HELD, "brama_last_error_message", _TEXT)
_abi_code = function(HELD, "brama_last_error_code", c_int)
_version = function(HELD, "brama_version", _TEXT)
_available = function(HELD, "brama_available", c_bool, *_KEY)
_state = function(HELD, "brama_state", c_int, *_KEY)
_success_with = function(HELD, "brama_success_with", c_int, *_KEY, _PTR)
_success_in = function(HELD, "brama_success_in", c_int, *_KEY, _PTR, _U64)
_failure_in = function(HELD, "brama_failure_in", c_int, *_KEY, _PTR, _U64)
_failure_for = function(HELD, "brama_failure_for", c_int, *_KEY, _PTR, _U64)
connection_success_with = function(HELD, "brama_connection_success_with", c_int, _PTR, _PTR)
connection_success_in = function(HELD, "brama_connection_success_in", c_int, _PTR, _PTR, _U64)
connection_failure_in = function(HELD, "brama_connection_failure_in", c_int, _PTR, _PTR, _U64)
connection_failure_for = function(HELD, "brama_connection_failure_for", c_int, _PTR, _PTR, _U64)
permit_success_with = function(HELD, "brama_permit_success_with_at", c_int, _PTR, _PTR)
permit_success_in = function(HELD, "brama_permit_success_in_at", c_int, _PTR, _PTR, _U64)
permit_failure_in = function(HELD, "brama_permit_failure_in_at", c_int, _PTR, _PTR, _U64)
permit_failure_for = function(HELD, "brama_permit_failure_for_at", c_int, _PTR, _PTR, _U64)
_register = function(HELD, "brama_register", c_int, *_KEY, _PTR, _PTR)
_get_or_register = function(HELD, "brama_get_or_register", c_int, *_KEY, _PTR, _PTR)
_connection_get = function(HELD, "brama_connection_get", c_int, *_KEY, _PTR)
connection_retain = function(HELD, "brama_connection_retain", _PTR, _PTR)
connection_release = function(HELD, "brama_connection_release", None, _PTR)
connection_pass_word = function(HELD, "brama_connection_pass_word", c_void_p, _PTR)
_unregister = function(HELD, "brama_unregister", c_int, *_KEY)
_open_circuit = function(HELD, "brama_open_circuit_with", c_int, *_KEY, _PTR, _U64)
connection_open = function(HELD, "brama_connection_open_circuit_with", c_int, _PTR, _PTR, _U64)
CONTROLS = {
    verb: (
        function(HELD, f"brama_{verb}_circuit", c_int, *_KEY),
        function(HELD, f"brama_connection_{verb}_circuit", c_int, _PTR),
    )
    for verb in ("close", "half_open", "reset")
}
_configure = function(HELD, "brama_configure", c_int, _PTR, _PTR)
_configure_connection = function(HELD, "brama_configure_connection", c_int, *_KEY, _PTR)
connection_configure = function(HELD, "brama_connection_configure", c_int, _PTR, _PTR)
_status = function(HELD, "brama_status", c_int, *_KEY, _PTR)
connection_status = function(HELD, "brama_connection_status", c_int, _PTR, _PTR)
_event_counts = function(HELD, "brama_event_counts", c_int, _PTR, _PTR)
_queue_new = function(HELD, "brama_queue_new", c_int, _PTR, _PTR, c_size_t, _PTR)
_queue_drain = function(HELD, "brama_queue_drain", c_int, _PTR, _PTR, c_size_t, c_size_t, _PTR)
_queue_fd = function(HELD, "brama_queue_fd", c_int, _PTR, _PTR)
_queue_is_closed = function(HELD, "brama_queue_is_closed", c_bool, _PTR)
_snapshot_next = function(HELD, "brama_snapshot_next", c_bool, _PTR, _PTR)
_new = function(HELD, "brama_new", c_void_p, _PTR)
_clock_new = function(HELD, "brama_clock_new", c_void_p, _U64)
_clock_free = function(HELD, "brama_clock_free", None, _PTR)
_clock_advance = function(HELD, "brama_clock_advance", c_int, _PTR, _U64)
_clock_unix_ms = function(HELD, "brama_clock_unix_ms", c_uint64, _PTR)

# These may wait for another thread, or walk all connections.
_state_counts = function(FREE, "brama_state_counts", c_int, _PTR, _PTR)
_snapshot_new = function(FREE, "brama_snapshot_new", c_int, _PTR, _TEXT, _PTR)
_snapshot_free = function(FREE, "brama_snapshot_free", None, _PTR)
_reset_all = function(FREE, "brama_reset_all", c_int, _PTR)
_save = function(FREE, "brama_save", c_int, _PTR, _PTR, _PTR)
_data_free = function(FREE, "brama_data_free", None, _PTR)
_restore = function(FREE, "brama_restore", c_int, _PTR, _TEXT, c_size_t, _PTR)
_poll = function(FREE, "brama_poll", c_int, _PTR)
_shutdown = function(FREE, "brama_shutdown_within", c_int, _PTR, _U64, _PTR)
_manager_free = function(FREE, "brama_free", None, _PTR)
_unsubscribe_matching = function(FREE, "brama_unsubscribe_matching", c_int, _PTR, _PTR)
_queue_wait = function(FREE, "brama_queue_wait", c_bool, _PTR, _U64)
_queue_close = function(FREE, "brama_queue_close", c_int, _PTR)
_queue_free = function(FREE, "brama_queue_free", None, _PTR)

_EXCEPTIONS = {
    INVALID_ARGUMENT: _errors.InvalidArgument,
    NOT_FOUND: _errors.NotFound,
    ALREADY_REGISTERED: _errors.AlreadyRegistered,
    STALE: _errors.Stale,
    INVALID_CONFIG: _errors.InvalidConfig,
    SHUT_DOWN: _errors.ShutDown,
}


#: Words of the library's messages that are not Python's, and Python's.
_FOREIGN = [
    (re.compile(r"_ms`"), "`"),  # `expiry_ms` is `expiry` here.
    (re.compile(r"\binitial_expiry_ms\b"), "`initial_expiry`"),
    (re.compile(r"(?<=^invalid setting `initial_state` = )HeldOpen\b"), '"open"'),
    (re.compile(r"(?<=^invalid setting `initial_state` = )Closed\b"), '"closed"'),
    (re.compile(r"(?<=^invalid setting `initial_state` = )Open\((.*?)\)"), r"\1"),
]


def version() -> str:
    return str(_version().decode())


def failed(code: Optional[int] = None) -> Exception:
    """The exception for the error of this thread's last call.

    Args:
        code: what the call returned; None if that was a NULL pointer.
    """
    if code is None:
        code = int(_abi_code())
    message = _abi_message().decode("utf-8", "replace")
    if code == INVALID_CONFIG or code == INVALID_ARGUMENT:
        for foreign, ours in _FOREIGN:
            message = foreign.sub(ours, message)
    return _EXCEPTIONS.get(code, _errors.BramaError)(message)


def check(code: int) -> None:
    if code != OK:
        raise failed(code)


def counting(
    failure: Callable[[Any], int], reason: Optional[bytes], metadata: Pairs
) -> Tuple[int, int]:
    """Reports a failure. Returns the code, and how many failures count now."""
    count = c_uint32()
    report = make_report()
    report.reason = reason
    put_metadata(report, metadata)
    report.failure_count = ctypes.pointer(count)
    return failure(byref(report)), count.value


class Clock(Owner):
    """A clock of the library that is moved by hand."""

    __slots__ = ()
    _free = _clock_free

    def __init__(self, unix_ms: int) -> None:
        address = _clock_new(unix_ms)
        if address is None:
            raise failed()
        super().__init__(address)

    def advance(self, ms: int) -> None:
        check(_clock_advance(self.address, ms))

    def unix_ms(self) -> int:
        return int(_clock_unix_ms(self.address))


class Manager(Owner):
    """A manager of the library. The address of the default manager is None.

    Names are given as `(identifier, scope)`, in bytes, without NUL.
    """

    __slots__ = ()

    def __init__(self, fields: Optional[Fields]) -> None:
        address = None if fields is None else _new(config_of(fields))
        if address is None and fields is not None:
            raise failed()
        super().__init__(address)

    # The default manager is NULL for the library, and freeing NULL does nothing.
    _free = _manager_free

    def available(self, key: Key) -> bool:
        return bool(_available(self.address, *key))

    def state(self, key: Key) -> int:
        return int(_state(self.address, *key))

    def success(self, key: Key, metadata: Pairs, lasted: Optional[int]) -> None:
        report = report_of(None, metadata)
        if lasted is None:
            check(_success_with(self.address, *key, report))
        else:
            check(_success_in(self.address, *key, report, lasted))

    def failure(
        self,
        key: Key,
        reason: Optional[bytes],
        metadata: Pairs,
        wait: int,
        lasted: Optional[int],
    ) -> int:
        address = self.address
        failure, length = _failure_for, wait
        if lasted is not None and not wait:
            failure, length = _failure_in, lasted
        code, count = counting(lambda r: failure(address, *key, r, length), reason, metadata)
        check(code)
        return count

    def register(self, key: Key, fields: Fields, metadata: Pairs) -> int:
        return self._handle(_register, key, options_of(fields, metadata))

    def get_or_register(self, key: Key, fields: Fields, metadata: Pairs) -> int:
        return self._handle(_get_or_register, key, options_of(fields, metadata))

    def connection(self, key: Key) -> int:
        return self._handle(_connection_get, key)

    def _handle(self, entry: Callable[..., int], key: Key, *options: Any) -> int:
        """The address of a handle. The caller owns its one reference."""
        place = c_void_p()
        check(entry(self.address, *key, *options, byref(place)))
        assert place.value is not None
        return place.value

    def unregister(self, key: Key) -> None:
        check(_unregister(self.address, *key))

    def open(self, key: Key, reason: Optional[bytes], metadata: Pairs, expiry: int) -> None:
        check(_open_circuit(self.address, *key, report_of(reason, metadata), expiry))

    def control(self, verb: str, key: Key) -> None:
        check(CONTROLS[verb][0](self.address, *key))

    def configure(self, fields: Fields) -> None:
        check(_configure(self.address, config_of(fields)))

    def configure_connection(self, key: Key, fields: Fields, metadata: Pairs) -> None:
        check(_configure_connection(self.address, *key, options_of(fields, metadata)))

    def status(self, key: Key) -> Tuple[Any, Dict[str, str]]:
        status = make_status()
        check(_status(self.address, *key, byref(status)))
        return status, metadata_of(status)

    def snapshot(self, scope: Optional[bytes]) -> Iterator[Tuple[Any, Dict[str, str]]]:
        place = c_void_p()
        try:
            check(_snapshot_new(self.address, scope, byref(place)))
            status = make_status()
            while _snapshot_next(place, byref(status)):
                yield status, metadata_of(status)
        finally:
            _snapshot_free(place)

    def state_counts(self) -> Any:
        counts = make_state_counts()
        check(_state_counts(self.address, byref(counts)))
        return counts

    def event_counts(self) -> Any:
        counts = make_event_counts()
        check(_event_counts(self.address, byref(counts)))
        return counts

    def reset_all(self) -> None:
        check(_reset_all(self.address))

    def save(self) -> bytes:
        place, length = c_void_p(), c_size_t()
        try:
            check(_save(self.address, byref(place), byref(length)))
            assert place.value is not None
            # The library's save of a manager that was shut down is empty. Checked after the save,
            # so that no shutdown falls in between.
            if _status(self.address, b"_", None, byref(make_status())) == SHUT_DOWN:
                raise failed(SHUT_DOWN)
            return ctypes.string_at(place.value, length.value)
        finally:
            _data_free(place)

    def restore(self, data: bytes) -> int:
        """Returns how many circuits were restored, or wait for their registration."""
        count = c_size_t()
        check(_restore(self.address, data, len(data), byref(count)))
        return count.value

    def poll(self) -> None:
        check(_poll(self.address))

    def shutdown(self, timeout_ms: int) -> int:
        """Returns how many events were not handed to all queues."""
        left = c_uint64()
        check(_shutdown(self.address, timeout_ms, byref(left)))
        return left.value

    def unsubscribe(self, types: int, connection: Optional[bytes], scope: Optional[bytes]) -> None:
        pattern = make_filter()
        pattern.event_types, pattern.connection, pattern.scope = types, connection, scope
        check(_unsubscribe_matching(self.address, byref(pattern)))

    def queue(
        self, types: int, connection: Optional[bytes], scope: Optional[bytes], capacity: int
    ) -> Queue:
        wanted, place = make_filter(), c_void_p()
        wanted.event_types, wanted.connection, wanted.scope = types, connection, scope
        check(_queue_new(self.address, byref(wanted), capacity, byref(place)))
        assert place.value is not None
        return Queue(place.value)


class Queue(Owner):
    """A queue of events."""

    __slots__ = ("_lock",)
    _free = _queue_free

    def __init__(self, address: int) -> None:
        super().__init__(address)
        self.renew()

    def renew(self) -> None:
        """Makes the lock again, in the child of a fork: there a lock that another thread held stays
        locked."""
        self._lock = threading.Lock()

    def drain(self, make: Callable[[Any, Dict[str, str]], _E], most: int) -> List[_E]:
        """Takes out at most `most` events, and makes something of each."""
        events, count = (EventWords * most)(), c_size_t()
        # What the events point to is valid until the next drain.
        with self._lock:
            check(_queue_drain(self.address, events, sizeof(EventWords), most, byref(count)))
            return [make(event, metadata_of(event)) for event in events[: count.value]]

    def has_events(self) -> bool:
        """Whether events wait. In a manager without a background thread this also polls."""
        return bool(_queue_wait(self.address, 0))

    def fileno(self) -> int:
        fd = c_int()
        check(_queue_fd(self.address, byref(fd)))
        return fd.value

    def close(self) -> None:
        """Ends the subscription. What waits can still be drained."""
        check(_queue_close(self.address))

    def is_closed(self) -> bool:
        return bool(_queue_is_closed(self.address))
