"""The C ABI of the library, `include/brama.h`, as Python functions.

With `_abi.py` and `_structs.py`, which it is written on, this is all that knows `ctypes`:
the rest of the package works with Python's own values and the classes of this file, each
of which owns one thing of the library's and gives it back when it is collected.

Two ways into the library
    `ctypes.PyDLL` keeps the GIL during a call, `ctypes.CDLL` lets it go. What never waits
    and is short goes through the first: letting the GIL go and taking it again costs
    more than the call. What may wait, or walks all connections, goes through the second.

No callbacks
    The library is never given a Python function to call. A foreign thread that calls
    into an interpreter waits for the GIL, and one that does so while the interpreter
    ends takes the process down. Events are taken out of queues instead, and all
    connections out of a snapshot.

Calls that are hot have no `argtypes`. `ctypes` then takes an argument that was made by
`byref` as it is, and a small `int` as a C `int`, in half the time.
"""

from __future__ import annotations

import ctypes
import threading
from ctypes import byref, c_bool, c_char, c_char_p, c_int, c_size_t, c_uint32, c_uint64, c_void_p
from ctypes import sizeof
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
    PASS_LIMIT,
    SHUT_DOWN,
    STALE,
    EventWords,
    Fields,
    Key,
    Pairs,
    PermitWords,
    function,
    hot,
)
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

# Hot, on a handle's `argument`.
_connection_available = hot("brama_connection_available", c_bool)
_connection_success = hot("brama_connection_success", c_int)
_permit_success_at = hot("brama_permit_success_at", c_int)
#: Nothing needs to know what it answers: a stale report is what it should be, and who
#: is gone or shut down lets the next call know.
report_success = hot("brama_permit_success_at", None)
_connection_acquire = hot("brama_connection_acquire", c_int)
_connection_state = hot("brama_connection_state", c_int)
_pass_permit = hot("brama_connection_pass_permit", c_int)

_abi_message = function(HELD, "brama_last_error_message", _TEXT)
_version = function(HELD, "brama_version", _TEXT)
_available = function(HELD, "brama_available", c_bool, *_KEY)
_state = function(HELD, "brama_state", c_int, *_KEY)
_success_with = function(HELD, "brama_success_with", c_int, *_KEY, _PTR)
_failure_with = function(HELD, "brama_failure_with", c_int, *_KEY, _PTR)
_acquire = function(HELD, "brama_acquire", c_int, *_KEY, _PTR, _PTR)
_connection_success_with = function(HELD, "brama_connection_success_with", c_int, _PTR, _PTR)
_connection_failure_with = function(HELD, "brama_connection_failure_with", c_int, _PTR, _PTR)
_permit_success_with = function(HELD, "brama_permit_success_with", c_int, PermitWords, _PTR)
_permit_failure_with = function(HELD, "brama_permit_failure_with", c_int, PermitWords, _PTR)
_permit_ignore = function(HELD, "brama_permit_ignore", c_int, PermitWords)
_register = function(HELD, "brama_register", c_int, *_KEY, _PTR, _PTR)
_get_or_register = function(HELD, "brama_get_or_register", c_int, *_KEY, _PTR, _PTR)
_connection_get = function(HELD, "brama_connection_get", c_int, *_KEY, _PTR)
_connection_release = function(HELD, "brama_connection_release", None, _PTR)
_connection_pass_word = function(HELD, "brama_connection_pass_word", c_void_p, _PTR)
_unregister = function(HELD, "brama_unregister", c_int, *_KEY)
_open_circuit = function(HELD, "brama_open_circuit_with", c_int, *_KEY, _PTR, _U64)
_connection_open = function(HELD, "brama_connection_open_circuit_with", c_int, _PTR, _PTR, _U64)
_CONTROLS = {
    verb: (
        function(HELD, f"brama_{verb}_circuit", c_int, *_KEY),
        function(HELD, f"brama_connection_{verb}_circuit", c_int, _PTR),
    )
    for verb in ("close", "half_open", "reset")
}
_configure = function(HELD, "brama_configure", c_int, _PTR, _PTR)
_configure_connection = function(HELD, "brama_configure_connection", c_int, *_KEY, _PTR)
_connection_configure = function(HELD, "brama_connection_configure", c_int, _PTR, _PTR)
_status = function(HELD, "brama_status", c_int, *_KEY, _PTR)
_connection_status = function(HELD, "brama_connection_status", c_int, _PTR, _PTR)
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
_poll = function(FREE, "brama_poll", c_int, _PTR)
_shutdown = function(FREE, "brama_shutdown", c_int, _PTR)
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


def version() -> str:
    return str(_version().decode())


def failed(code: int) -> Exception:
    """The exception for what this thread's last call answered."""
    message = _abi_message().decode("utf-8", "replace")
    return _EXCEPTIONS.get(code, _errors.BramaError)(message)


def check(code: int) -> None:
    if code != OK:
        raise failed(code)


def _counting(failure: Callable[[Any], int], reason: Optional[bytes], metadata: Pairs) -> int:
    """Reports a failure and answers how many count now."""
    count = c_uint32()
    report = make_report()
    report.reason = reason
    put_metadata(report, metadata)
    report.failure_count = ctypes.pointer(count)
    check(failure(byref(report)))
    return count.value


class _Owner:
    """One reference of a handle, given back at the end."""

    __slots__ = ("address",)

    def __init__(self, address: int) -> None:
        self.address = address

    def __del__(self, release: Callable[[int], None] = _connection_release) -> None:
        release(self.address)


class _Target(c_char):
    """What a handle points to; keeps it alive."""

    owner: _Owner


class PassWord(c_uint32):
    """The number that lets calls pass, where the library has it; keeps it alive."""

    owner: _Owner


#: A permit, as `byref` makes it of `PermitWords`, which keep what it refers to alive.
Ticket = Any
#: Where the number is that lets calls pass, the number that did, and the ticket of the
#: calls that it lets pass. They belong together, so they are replaced together.
Pass = Tuple[PassWord, int, Ticket]


def _ticket(words: PermitWords, owner: object) -> Ticket:
    words.owner = owner
    return byref(words)


class Handle:
    """A connection of the library's, resolved.

    `latest_pass` is what a guarded call needs: if the number at its first part is its
    second, then the circuit is closed, and its third part is the permit. It keeps the
    handle alive by itself.
    """

    __slots__ = ("_owner", "_spare", "_word", "argument", "latest_pass")

    def __init__(self, address: int) -> None:
        self._owner = owner = _Owner(address)
        target = _Target.from_address(address)
        target.owner = owner
        #: The handle in the form that `ctypes` passes on without converting it.
        self.argument: Any = byref(target)
        self._word = PassWord.from_address(_connection_pass_word(address))
        self._word.owner = owner
        self._spare: List[Tuple[PermitWords, c_uint64, Any, Any]] = []
        self.latest_pass: Pass = (self._word, -1, None)
        self.renew_pass()

    def renew_pass(self) -> Optional[Ticket]:
        """A ticket by reading, if the circuit is closed."""
        number = self._word.value
        if number >= PASS_LIMIT:
            return None
        words = PermitWords()
        check(_pass_permit(self.argument, number, byref(words)))
        ticket = _ticket(words, self._owner)
        self.latest_pass = (self._word, number, ticket)
        return ticket

    def acquire(self) -> Tuple[int, Ticket, int]:
        """Asks for admission: the code, the ticket, how long to wait in ms."""
        word, number, ticket = self.latest_pass
        read = word.value
        if read == number:
            return OK, ticket, 0
        if read < PASS_LIMIT:
            ticket = self.renew_pass()
            if ticket is not None:
                return OK, ticket, 0
        try:
            spare = self._spare.pop()
        except IndexError:
            permit, wait = PermitWords(), c_uint64()
            spare = permit, wait, byref(permit), byref(wait)
        permit, wait, permit_place, wait_place = spare
        code = _connection_acquire(self.argument, permit_place, wait_place)
        if code == OK:
            permit.owner = self._owner
        else:  # Nobody else has them: they serve the next rejection.
            self._spare.append(spare)
        return code, permit_place, wait.value

    def available(self) -> bool:
        return self._word.value < PASS_LIMIT or bool(_connection_available(self.argument))

    def state(self) -> int:
        return int(_connection_state(self.argument))

    def success(self, metadata: Pairs) -> None:
        if metadata:
            check(_connection_success_with(self._owner.address, report_of(None, metadata)))
        else:
            check(_connection_success(self.argument))

    def failure(self, reason: Optional[bytes], metadata: Pairs) -> int:
        address = self._owner.address
        return _counting(lambda r: _connection_failure_with(address, r), reason, metadata)

    def open(self, reason: Optional[bytes], metadata: Pairs, expiry: int) -> None:
        check(_connection_open(self._owner.address, report_of(reason, metadata), expiry))

    def control(self, verb: str) -> None:
        check(_CONTROLS[verb][1](self._owner.address))

    def configure(self, fields: Fields, metadata: Pairs) -> None:
        check(_connection_configure(self._owner.address, options_of(fields, metadata)))

    def status(self) -> Tuple[Any, Dict[str, str]]:
        status = make_status()
        check(_connection_status(self._owner.address, byref(status)))
        return status, metadata_of(status)


def ticket_success(ticket: Ticket, metadata: Pairs = None) -> int:
    if metadata:
        return int(_permit_success_with(ticket._obj, report_of(None, metadata)))
    return int(_permit_success_at(ticket))


def ticket_failure(ticket: Ticket, reason: Optional[bytes]) -> int:
    return int(_permit_failure_with(ticket._obj, report_of(reason, None)))


def ticket_failure_counted(ticket: Ticket, reason: Optional[bytes], metadata: Pairs) -> int:
    return _counting(lambda report: _permit_failure_with(ticket._obj, report), reason, metadata)


def ticket_ignore(ticket: Ticket, ignore: Callable[..., Any] = _permit_ignore) -> int:
    return int(ignore(ticket._obj))


class Clock:
    """A clock of the library's that is moved by hand."""

    __slots__ = ("_address",)

    def __init__(self, unix_ms: int) -> None:
        self._address = 0
        address = _clock_new(unix_ms)
        if address is None:
            raise failed(INVALID_ARGUMENT)
        self._address = address

    @property
    def address(self) -> int:
        return self._address

    def advance(self, ms: int) -> None:
        check(_clock_advance(self._address, ms))

    def unix_ms(self) -> int:
        return int(_clock_unix_ms(self._address))

    def __del__(self, free: Callable[[int], None] = _clock_free) -> None:
        if self._address:
            free(self._address)


class Manager:
    """A manager of the library's; `None` as address is the default one.

    Names are given as `(identifier, scope)`, in bytes, without NUL.
    """

    __slots__ = ("_address",)

    def __init__(self, fields: Optional[Fields]) -> None:
        self._address: Optional[int] = None
        if fields is not None:
            self._address = _new(config_of(fields))
            if self._address is None:
                raise failed(INVALID_CONFIG)

    def __del__(self, free: Callable[[int], None] = _manager_free) -> None:
        if self._address is not None:
            free(self._address)

    def available(self, key: Key) -> bool:
        return bool(_available(self._address, *key))

    def state(self, key: Key) -> int:
        return int(_state(self._address, *key))

    def success(self, key: Key, metadata: Pairs) -> None:
        check(_success_with(self._address, *key, report_of(None, metadata)))

    def failure(self, key: Key, reason: Optional[bytes], metadata: Pairs) -> int:
        return _counting(lambda r: _failure_with(self._address, *key, r), reason, metadata)

    def acquire(self, key: Key) -> Tuple[int, Ticket, int]:
        permit, wait = PermitWords(), c_uint64()
        code = _acquire(self._address, *key, byref(permit), byref(wait))
        return code, _ticket(permit, self), wait.value

    def register(self, key: Key, fields: Fields, metadata: Pairs) -> Handle:
        return self._handle(_register, key, options_of(fields, metadata))

    def get_or_register(self, key: Key, fields: Fields, metadata: Pairs) -> Handle:
        return self._handle(_get_or_register, key, options_of(fields, metadata))

    def connection(self, key: Key) -> Handle:
        return self._handle(_connection_get, key)

    def _handle(self, entry: Callable[..., int], key: Key, *options: Any) -> Handle:
        place = c_void_p()
        check(entry(self._address, *key, *options, byref(place)))
        assert place.value is not None
        return Handle(place.value)

    def unregister(self, key: Key) -> None:
        check(_unregister(self._address, *key))

    def open(self, key: Key, reason: Optional[bytes], metadata: Pairs, expiry: int) -> None:
        check(_open_circuit(self._address, *key, report_of(reason, metadata), expiry))

    def control(self, verb: str, key: Key) -> None:
        check(_CONTROLS[verb][0](self._address, *key))

    def configure(self, fields: Fields) -> None:
        check(_configure(self._address, config_of(fields)))

    def configure_connection(self, key: Key, fields: Fields, metadata: Pairs) -> None:
        check(_configure_connection(self._address, *key, options_of(fields, metadata)))

    def status(self, key: Key) -> Tuple[Any, Dict[str, str]]:
        status = make_status()
        check(_status(self._address, *key, byref(status)))
        return status, metadata_of(status)

    def snapshot(self, scope: Optional[bytes]) -> Iterator[Tuple[Any, Dict[str, str]]]:
        place = c_void_p()
        check(_snapshot_new(self._address, scope, byref(place)))
        try:
            status = make_status()
            while _snapshot_next(place, byref(status)):
                yield status, metadata_of(status)
        finally:
            _snapshot_free(place)

    def state_counts(self) -> Any:
        counts = make_state_counts()
        check(_state_counts(self._address, byref(counts)))
        return counts

    def event_counts(self) -> Any:
        counts = make_event_counts()
        check(_event_counts(self._address, byref(counts)))
        return counts

    def reset_all(self) -> None:
        check(_reset_all(self._address))

    def poll(self) -> None:
        check(_poll(self._address))

    def shutdown(self) -> None:
        check(_shutdown(self._address))

    def unsubscribe(self, types: int, connection: Optional[bytes], scope: Optional[bytes]) -> None:
        pattern = make_filter()
        pattern.event_types, pattern.connection, pattern.scope = types, connection, scope
        check(_unsubscribe_matching(self._address, byref(pattern)))

    def queue(
        self, types: int, connection: Optional[bytes], scope: Optional[bytes], capacity: int
    ) -> Queue:
        wanted, place = make_filter(), c_void_p()
        wanted.event_types, wanted.connection, wanted.scope = types, connection, scope
        check(_queue_new(self._address, byref(wanted), capacity, byref(place)))
        assert place.value is not None
        return Queue(place.value)


class Queue:
    """A queue of events."""

    __slots__ = ("_address", "_lock")

    #: How many events are taken at a time.
    BATCH = 64

    def __init__(self, address: int) -> None:
        self._address = address
        self.renew()

    def renew(self) -> None:
        """For the child of a fork, where another thread's lock stays locked."""
        self._lock = threading.Lock()

    def drain(self, make: Callable[[Any, Dict[str, str]], _E]) -> List[_E]:
        """Takes events out; what they point to is valid until the next time."""
        events, count = (EventWords * self.BATCH)(), c_size_t()
        with self._lock:
            check(_queue_drain(self._address, events, sizeof(EventWords), self.BATCH, byref(count)))
            return [make(event, metadata_of(event)) for event in events[: count.value]]

    def wait(self, timeout_ms: int) -> bool:
        """Without the GIL; signal handlers do not run meanwhile."""
        return bool(_queue_wait(self._address, timeout_ms))

    def fileno(self) -> int:
        fd = c_int()
        check(_queue_fd(self._address, byref(fd)))
        return fd.value

    def close(self) -> None:
        check(_queue_close(self._address))

    def is_closed(self) -> bool:
        return bool(_queue_is_closed(self._address))

    def __del__(self, free: Callable[[int], None] = _queue_free) -> None:
        free(self._address)
