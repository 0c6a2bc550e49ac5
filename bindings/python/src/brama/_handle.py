"""Handles: connections of the library, found once by name.

A guarded call of a healthy circuit needs only `Handle.latest`. It is a tuple, so that a reader
gets its three parts in one step: the connection's pass word, which is a number in the library's
memory; the value that the pass word had; and the ticket of all calls that this value lets pass.
While the pass word has that value, the circuit is closed and in the same generation. So a late
report is stale.
"""

from __future__ import annotations

from ctypes import byref, c_char, c_uint32, c_uint64
from typing import Any, Dict, List, Optional, Tuple, Union

from . import _ffi
from ._abi import NEVER, NOT_FOUND, OK, OPEN_FROM, PASS_LIMIT, RAMP_FROM, REJECTED, STATES
from ._abi import TAKES_BACK, Fields, Key, Pairs
from ._call import COUNTED, Call, last_failure, ride
from ._errors import UNKNOWN, BramaError, CircuitOpen, Why, rejection as made
from ._owner import Owner, gone
from ._status import cause_of, evidence_of
from ._structs import make_status, metadata_of, options_of, report_of
from ._words import Ticket, Words

_acquire = _ffi.connection_acquire
_CLOSED = STATES.index("closed")
#: The longest wait in milliseconds that a half-open circuit asks for.
_LONGEST_HINT = 1_000


class _Target(c_char):
    """The library's object that a handle points to."""


class PassWord(c_uint32):
    """A connection's pass word, in the library's memory."""


class _Gone:
    """Stands for an address of a handle that was given back: every use of it raises."""

    @property
    def value(self) -> int:
        raise gone(self)

    @property
    def _as_parameter_(self) -> object:
        raise gone(self)


_Gone.__name__ = "Handle"  # For its errors.

#: See the head of this file.
Latest = Tuple[Any, int, Ticket]
#: A call that was admitted; or the rejection, which is returned, not raised, so that it
#: has fewer frames; or None if the connection is not registered any more.
Answer = Union[Call, CircuitOpen, None]


class Handle(Owner):
    """A handle of a connection."""

    __slots__ = (
        "argument",
        "identifier",
        "latest",
        "manager",
        "mark",
        "number",
        "scope",
        "spare",
        "word",
    )
    _free = _ffi.connection_release

    latest: Latest

    def __init__(self, manager: _ffi.Manager, address: int, key: Key) -> None:
        super().__init__(address)
        #: A reference, since the library's handle does not keep its manager alive.
        self.manager: _ffi.Manager = manager
        self.identifier: str = key[0].decode()
        self.scope: Optional[str] = None if key[1] is None else key[1].decode()
        #: The address of the pass word. All handles of one registration have it, and no others.
        self.number: int = _ffi.connection_pass_word(address)
        #: The name of the attribute of exceptions that this circuit has counted: see `_call.py`.
        self.mark: str = f"{COUNTED}{self.number:x}"
        #: The handle's address in the form that `ctypes` passes on without a conversion.
        self.argument: Any = byref(_Target.from_address(address))
        self.word: Any = PassWord.from_address(self.number)
        self.spare: List[Tuple[Words, c_uint64, Ticket, Any]] = []
        self.latest = (self.word, -1, None)
        self.renew(self.word.value)

    def give_back(self) -> None:
        # Every attribute that leads to the library's memory.
        self.word = self.argument = nowhere = _Gone()
        self.latest = (nowhere, -1, None)
        super().give_back()

    def renew(self, number: int) -> bool:
        """Sets `latest` for a value of the pass word. Returns False if it lets no call pass."""
        if number >= PASS_LIMIT:
            return False
        words = Words()
        words.hold(self.address)
        ticket = byref(words)
        _ffi.check(_ffi.pass_permit(self.argument, number, ticket))
        self.latest = (self.word, number, ticket)
        return True

    def is_closed(self) -> bool:
        """Whether the circuit is closed, so that no call rides on another one."""
        return self.word.value < PASS_LIMIT or self.state() == _CLOSED

    def passes(self) -> Optional[Latest]:
        """`latest`, made current; None if the pass word lets no call pass."""
        latest = self.latest
        number = latest[0].value
        if number == latest[1]:
            return latest
        return self.latest if self.renew(number) else None

    def admit(self, read: int, riding: bool = True) -> Answer:
        """Asks for admission the long way.

        Args:
            read: the value of the pass word.
            riding: whether the call may ride on another one.

        Raises:
            ShutDown
        """
        if read < OPEN_FROM:
            if read < PASS_LIMIT:
                if read != self.latest[1]:
                    self.renew(read)
                return Call(self, self.latest[2], last_failure[0])
            if riding:
                rider = ride(self)
                if rider is not None:
                    return rider
        try:
            spare = self.spare.pop()
        except IndexError:
            spare = self._another()
        words, wait, ticket, wait_place = spare
        code = _acquire(self.argument, ticket, wait_place)
        if code == REJECTED:
            after = wait.value
            # No call has these words, so the next rejection uses them again.
            self.spare.append(spare)
            if after <= _LONGEST_HINT:
                refused = self._hinted(after, read, self.word.value)
            else:
                when = None if after == NEVER else after
                refused = made(CircuitOpen, when, self.identifier, self.scope)
            refused._circuit = self
            return refused
        if code == OK:
            call = Call(self, ticket, last_failure[0], words)
            if _ffi.permit_is_half_open(ticket):
                call.carries = True
                call.is_probe = bool(_ffi.permit_is_probe(ticket))
            return call
        self.spare.append(spare)
        if code == NOT_FOUND:
            return None
        raise _ffi.failed(code)

    def _hinted(self, after: int, before: int, now: int) -> CircuitOpen:
        """A rejection with a short wait: by a half-open circuit, or by an open one whose time is
        nearly over. The pass word's values before and after the rejection tell which."""
        if now >= OPEN_FROM:
            return made(CircuitOpen, after, self.identifier, self.scope)
        if now >= RAMP_FROM or RAMP_FROM <= before < OPEN_FROM:
            return made(CircuitOpen, after, self.identifier, self.scope, False, None, None, None, True)
        return made(CircuitOpen, after, self.identifier, self.scope, True)

    def _another(self) -> Tuple[Words, c_uint64, Ticket, Any]:
        words, wait = Words(), c_uint64()
        words.hold(self.address)
        # Set before the library fills in the words, so that an interrupt cannot lose a permit. To
        # give back words of zeroes does nothing.
        words.reported = False
        return words, wait, byref(words), byref(wait)

    # By hand.

    def available(self) -> bool:
        return self.word.value < PASS_LIMIT or bool(_ffi.connection_available(self.argument))

    def state(self) -> int:
        return int(_ffi.connection_state(self.argument))

    def success(self, metadata: Pairs, lasted: Optional[int]) -> None:
        if lasted is not None:
            report = report_of(None, metadata)
            _ffi.check(_ffi.connection_success_in(self.address, report, lasted))
        elif metadata:
            report = report_of(None, metadata)
            _ffi.check(_ffi.connection_success_with(self.address, report))
        else:
            _ffi.check(_ffi.connection_success(self.argument))

    def failure(
        self, reason: Optional[bytes], metadata: Pairs, wait: int, lasted: Optional[int]
    ) -> int:
        address = self.address
        failure, length = _ffi.connection_failure_for, wait
        if lasted is not None and not wait:
            failure, length = _ffi.connection_failure_in, lasted
        code, failures = _ffi.counting(
            lambda report: failure(address, report, length), reason, metadata
        )
        _ffi.check(code)
        return failures

    def open(self, reason: Optional[bytes], metadata: Pairs, expiry: int) -> None:
        _ffi.check(_ffi.connection_open(self.address, report_of(reason, metadata), expiry))

    def control(self, verb: str) -> None:
        _ffi.check(_ffi.CONTROLS[verb][1](self.address))

    def configure(self, fields: Fields, metadata: Pairs) -> None:
        _ffi.check(_ffi.connection_configure(self.address, options_of(fields, metadata)))

    def others_than(self, fields: Fields, metadata: Pairs) -> List[str]:
        """The names of those settings that are not in effect as they are given here."""
        words, has = self.status()
        effective = words.settings.contents
        others = [
            name[:-3] if name.endswith("_ms") else name
            for name, value in fields.items()
            # `initial_state` is not among the settings in effect.
            if value != TAKES_BACK.get(name, value) and getattr(effective, name) != value
        ]
        if metadata is not None and has != {k.decode(): v.decode() for k, v in metadata.items()}:
            others.append("metadata")
        return others

    def why(self) -> Why:
        """What is known of the last opening; `UNKNOWN` if the connection is gone."""
        try:
            words, _ = self.status()
        except BramaError:
            return UNKNOWN
        return cause_of(words.cause), _ffi.text(words.reason), evidence_of(words)

    def total_failures(self) -> int:
        status = make_status()
        code = _ffi.connection_status(self.address, byref(status))
        return status.total_failures if code == OK else 0

    def status(self) -> Tuple[Any, Dict[str, str]]:
        status = make_status()
        _ffi.check(_ffi.connection_status(self.address, byref(status)))
        return status, metadata_of(status)
