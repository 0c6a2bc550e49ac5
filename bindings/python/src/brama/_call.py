"""Calls that were admitted the long way, nested calls, and exceptions that count once.

Calls of healthy circuits go the short way: see `_handle.py`. Everything else is a `Call`: a
probe, a call in a ramp, a call of a circuit whose pass word has changed, a call whose result
is classified.

Nested calls
    While a circuit is half-open, an inner call of the same circuit would find the probe's
    place taken by the outer call. Both would fail, again and again. In a ramp the inner call
    might be rejected although the outer one was admitted. So the inner call rides on the
    outer one: it takes no place and reports nothing. The outer call reports its own outcome.
    If that is *ignored* and a rider failed, it reports a failure. If riders report waits
    (`retry_after`), the longest goes with any failure that the outer call reports without a
    wait of its own.

    A context variable leads to the open calls. Calls that can be ridden on set it, and guarded
    blocks on the long way. Calls on the short way do not, so healthy circuits do not pay for
    it. Tasks and the threads of `asyncio.to_thread` inherit it. No call rides on one that has
    reported.

One exception is counted once
    An exception may leave several nested guarded calls of one circuit. Each counted exception
    gets a serial number. It is stored on the exception, in an attribute for this circuit (its
    `mark`). A call notes the last serial number when it begins. If an exception with a higher
    number leaves it, an inner call has counted that exception already. An exception object
    that is raised again and again, as mocks do, is counted each time.

    Rejected: a set of the exceptions that were counted, which keeps them and their frames
    alive; a list of the calls under way, which costs every healthy call.

The owner of a probe's place
    The `Words` of its permit (`_words.py`) own it. Only the `Call` refers to them. Only the
    guarded call refers to the `Call`, in its frame or in its `with` statement; the context
    variable refers to it weakly. So the place is given back even if an exception, such as a
    `KeyboardInterrupt`, ends the call at any instruction.
"""

from __future__ import annotations

import os
import weakref
from contextvars import ContextVar
from itertools import count
from typing import Any, Dict, Iterator, Mapping, Optional, Tuple

import brama

from . import _abi, _ffi
from ._abi import Pairs
from ._policy import CANCELLED, FAILURE, IGNORED, SUCCESS, Decision, Failed, Outcome, Policy
from ._policy import reason_of
from ._words import Ticket, Words, report_cancelled, report_failure, report_failure_uncounted
from ._words import report_ignored, report_success

_Link = Optional["weakref.ref[Call]"]
#: The innermost open call of this context; `Call.below` leads to the next one.
_open: ContextVar[_Link] = ContextVar("brama_open_calls", default=None)

#: The serial number of the last exception that was counted, of any circuit.
last_failure = [0]
_serials: Iterator[int]
_report_failure = _ffi.report_failure
permit_covers = _ffi.permit_covers
#: The prefix of the attributes of exceptions that hold serial numbers. A circuit's `mark` is the
#: name of its attribute.
COUNTED = "_brama_counted_"
#: The largest number of marks that an exception keeps.
_MARKS = 8

#: The codes of a report that are no error in a guarded call: the counts are right. The last one
#: means that the permit was collected before the call, in the same cycle.
_LATE = (_abi.OK, _abi.STALE, _abi.NOT_FOUND, _abi.SHUT_DOWN, _abi.INVALID_ARGUMENT)


class Call:
    """One admitted call, reported once."""

    __slots__ = (
        "__weakref__",
        "below",
        "carries",
        "ended",
        "failed",
        "guard",
        "handle",
        "is_probe",
        "ridden",
        "since",
        "ticket",
        "words",
    )

    def __init__(
        self,
        handle: brama._handle.Handle,
        ticket: Ticket,
        since: int,
        words: Optional[Words] = None,
    ) -> None:
        self.handle: brama._handle.Handle = handle
        self.ticket: Ticket = ticket
        #: The words of its permit, if the call has a permit of its own.
        self.words: Optional[Words] = words
        #: `last_failure` when it began.
        self.since: int = since
        #: Whether a half-open circuit admitted it, as a probe or in a ramp. Only such a call can be
        #: ridden on.
        self.carries: bool = False
        #: Whether it is a probe, which tests the dependency.
        self.is_probe: bool = False
        self.ended: bool = False
        #: Whether another call rides on it now.
        self.ridden: bool = False
        #: The reason and the wait of the rider that failed. Of several riders, the one with the
        #: longest wait; of those, the last.
        self.failed: Optional[Tuple[Optional[bytes], int]] = None
        self.below: _Link = None
        #: The mark of the guard whose block it is, while the block is open.
        self.guard: object = None

    def report(
        self,
        outcome: Outcome,
        reason: Optional[bytes] = None,
        metadata: Pairs = None,
        wait: int = 0,
        lasted: Optional[int] = None,
    ) -> Tuple[int, int]:
        """Reports. Returns the library's code, and after a failure how many failures count now.

        Args:
            wait, lasted: as for `report_failure`.
        """
        outcome, reason, wait = self._with_riders(outcome, reason, wait)
        failures = 0
        if outcome is SUCCESS:
            code = report_success(self.ticket, metadata, lasted)
        elif outcome is FAILURE:
            code, failures = report_failure(self.ticket, reason, metadata, wait, lasted)
        else:
            code = report_ignored(self.ticket)
        self._end()
        return code, failures

    def report_in_block(
        self,
        outcome: Outcome,
        reason: Optional[bytes] = None,
        metadata: Pairs = None,
        wait: int = 0,
        lasted: Optional[int] = None,
    ) -> int:
        """Reports by hand in a guarded block, where a late report is no error. Returns how many
        failures count now."""
        code, failures = self.report(outcome, reason, metadata, wait, lasted)
        _check(code)
        return failures

    def _with_riders(
        self, outcome: Outcome, reason: Optional[bytes], wait: int
    ) -> Tuple[Outcome, Optional[bytes], int]:
        """What to report, given what riders have reported."""
        if self.failed is None or outcome is SUCCESS:
            return outcome, reason, wait
        if outcome is IGNORED:
            return (FAILURE, *self.failed)
        return outcome, reason, wait or self.failed[1]

    def rider_failed(self, reason: Optional[bytes], wait: int) -> None:
        """Keeps a rider's failure for its own report."""
        if self.failed is None or wait >= self.failed[1]:
            self.failed = (reason, wait)

    def settle(self, outcome: Decision, reason: Optional[bytes] = None) -> None:
        """Reports for a guarded call, where a late report is no error."""
        if self.failed is not None and outcome is not SUCCESS:
            self.report_in_block(IGNORED if outcome is CANCELLED else outcome, reason)
            return
        if outcome is SUCCESS:
            code = report_success(self.ticket)
        elif outcome is FAILURE:
            code = report_failure_uncounted(self.ticket, reason)
        elif outcome is CANCELLED:
            code = report_cancelled(self.ticket)
        else:
            code = report_ignored(self.ticket)
        self._end()
        _check(code)

    def _end(self) -> None:
        # After the report: if that is interrupted, the words give the place back.
        self.ended = True
        if self.words is not None:
            self.words.reported = True

    def raised(self, policy: Policy, error: BaseException) -> Decision:
        """Reports that an exception has left it. Raises what the policy's code raises."""
        outcome, failures = policy.of_error(error)
        if self.ended:  # The block has reported by hand.
            return outcome
        if outcome is CANCELLED:
            self._cancelled(error)
            return outcome
        if not failures:
            self.settle(outcome)
            return outcome
        # Asks about all of them, so that each is marked as counted.
        first = [is_first(failure, self.handle.mark, self.since) for failure, _ in failures]
        if any(first):
            self.settle(FAILURE, _reason(failures[first.index(True)]))
        else:
            self.settle(IGNORED)
        return outcome

    def _cancelled(self, error: BaseException) -> None:
        """Reports that the caller has given the call up. If the library counts that as a failure
        (`cancelled_after`), marks the exception as counted."""
        if self.words is None or is_counted(error, self.handle.mark, self.since):
            self.settle(IGNORED)
            return
        before = self.handle.total_failures()
        self.settle(CANCELLED)
        if self.handle.total_failures() != before:
            is_first(error, self.handle.mark, self.since)

    def returned(self, policy: Policy, result: object) -> Outcome:
        outcome, reason = policy.of_result(result)
        if not self.ended:
            self.settle(outcome, reason)
        return outcome

    def is_under_way(self) -> bool:
        """Whether its report is still to come."""
        return not self.ended

    def enter(self) -> None:
        """Lets inner calls find this one."""
        self.below = _open.get()
        _open.set(weakref.ref(self))

    def step_out(self) -> None:
        """Ends what `enter` began."""
        # In a context that was copied meanwhile the link stays.
        self.guard = None
        link = _open.get()
        if link is not None and link() is self:
            _open.set(self.below)

    def leave(self) -> None:
        """Ends the call. If it has not been reported, it is ignored."""
        try:
            self.step_out()
        finally:
            if not self.ended:
                self.settle(IGNORED)


class Rider(Call):
    """A call that rides on another."""

    __slots__ = ("outer",)

    def __init__(self, outer: Call) -> None:
        self.outer: Call = outer
        super().__init__(outer.handle, outer.ticket, outer.since)
        # Calls inside of this one ride on it.
        self.carries = True
        self.is_probe = outer.is_probe

    def report(
        self,
        outcome: Outcome,
        reason: Optional[bytes] = None,
        metadata: Pairs = None,
        wait: int = 0,
        lasted: Optional[int] = None,
    ) -> Tuple[int, int]:
        outcome, reason, wait = self._with_riders(outcome, reason, wait)
        if outcome is FAILURE:
            self.outer.rider_failed(reason, wait)
        self.ended = True
        self.outer.ridden = False
        return _abi.OK, 0

    def settle(self, outcome: Decision, reason: Optional[bytes] = None) -> None:
        self.report(IGNORED if outcome is CANCELLED else outcome, reason)

    def is_under_way(self) -> bool:
        return not self.ended and self.outer.is_under_way()

    def raised(self, policy: Policy, error: BaseException) -> Decision:
        # The outer call counts the exception.
        outcome, failures = policy.of_error(error)
        if not self.ended:
            self.settle(outcome, _reason(failures[0]) if failures else None)
        return outcome

    def __del__(self) -> None:
        # It may have been interrupted before it had any attribute.
        if not getattr(self, "ended", False) and hasattr(self, "outer"):
            self.outer.ridden = False


def _reason(failure: Failed) -> bytes:
    """The reason that `classify` has given, or the exception's type and text."""
    error, given = failure
    return given or reason_of(error)


def _check(code: int) -> None:
    if code not in _LATE:
        raise _ffi.failed(code)


def ride(handle: brama._handle.Handle) -> Optional[Rider]:
    """A ride on the innermost open call that can be ridden on; None if there is none."""
    link = _open.get()
    while link is not None:
        call = link()
        if call is None:
            return None
        if (
            call.carries
            and call.handle.number == handle.number
            and not call.ridden
            and call.is_under_way()
            and permit_covers(call.ticket, handle.argument)
        ):
            call.ridden = True
            return Rider(call)
        link = call.below
    return None


def innermost(guard: object) -> Optional[Call]:
    """The innermost open call of a guard; None if there is none."""
    link = _open.get()
    while link is not None:
        call = link()
        if call is None:
            return None
        if call.guard is guard:
            return call
        link = call.below
    return None


def is_first(error: BaseException, mark: str, since: int) -> bool:
    """Whether no call of the circuit has counted the exception since then. If so, marks it as
    counted."""
    if is_counted(error, mark, since):
        return False
    last_failure[0] = error.__dict__[mark] = next(_serials)
    return True


def is_counted(error: BaseException, mark: str, since: int) -> bool:
    """Whether a call of the circuit has counted the exception since then."""
    attributes = error.__dict__
    return bool(attributes) and _is_counted(attributes, mark, since)


def _is_counted(attributes: Dict[str, Any], mark: str, since: int) -> bool:
    serial: Optional[int] = attributes.get(mark)
    if serial is None:
        if len(attributes) > _MARKS:
            _forget_the_oldest(attributes)
        return False
    # Serial numbers of another process are out of this range: see `_in_child`.
    return since < serial <= last_failure[0]


def _forget_the_oldest(attributes: Dict[str, Any]) -> None:
    """Removes the oldest marks: an exception object may be raised for years."""
    marks = sorted(
        (serial, mark) for mark, serial in attributes.items() if mark.startswith(COUNTED)
    )
    for _, mark in marks[: -_MARKS + 1]:
        attributes.pop(mark, None)


def failed(
    failures: Mapping[type, bytes],
    mark: str,
    ticket: Ticket,
    error: BaseException,
    since: int,
) -> bool:
    """Reports a call on the short way that an exception has left: `Call.raised`, in one frame.

    Returns False if the class of the exception alone does not make it a failure, or if it was
    counted already. Nothing is reported then.
    """
    try:
        kind = failures[type(error)]
    except KeyError:
        return False
    attributes = error.__dict__
    if attributes and _is_counted(attributes, mark, since):
        return False
    last_failure[0] = attributes[mark] = next(_serials)
    try:
        text = str(error)
    except Exception:  # `__str__` is user-supplied code.
        text = ""
    _report_failure(ticket, reason_of(error, kind) if text else kind)
    return True


def _in_child() -> None:
    """Begins serial numbers at random: pickled exceptions carry those of another process."""
    global _serials
    start = int.from_bytes(os.urandom(7), "little")
    last_failure[0] = start
    _serials = count(start + 1)


_in_child()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_child)
