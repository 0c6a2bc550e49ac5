"""Calls that were admitted the long way; which call rides on which; what is counted once.

The short way is that of healthy circuits: see `_handle.py`. Everything else is a `Call`: a
probe, a call in a ramp, a call of a circuit whose number has changed, a call whose result is
classified.

Nested calls
    While a circuit is half-open, a call inside of another one of the same circuit would
    find the probe's place taken, by the call around it. Both would fail, for ever. In a ramp
    it might be refused where the call around it was admitted. So it
    rides on the other: it takes no place and reports nothing. The call around it reports
    its own outcome; if that is *ignored* and a rider failed, a failure. If riders
    report waits (`retry_after`), the longest goes with any failure that the call around them
    reports without a wait of its own.

    A context variable leads to the calls that are open here. Only calls that can be ridden
    on set it, so healthy ones do not pay for it. Tasks inherit it, and the threads of
    `asyncio.to_thread`. A call that has reported is ridden on no more.

One exception is counted once
    It may leave several guarded calls of one circuit, one inside of the other. Each report
    of an exception has a serial number, which is written on the exception, under the mark of
    the circuit. A call that is left by an exception with a higher number than the one at its
    beginning knows that a call inside of it has counted that exception. So an exception object
    that is raised again and again, as mocks do, is counted each time.

    Rejected: a set of the exceptions that were counted, which keeps them and their frames
    alive; a list of the calls under way, which costs every healthy call.

Who owns a probe's place
    The words of its permit (`_words.py`). Only the `Call` holds them, and only the guarded
    call itself holds that, in its frame or in its `with` statement. The context variable
    refers to it weakly. So a call that an exception ends at any instruction, a
    `KeyboardInterrupt` for example, gives its place back.
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
#: The innermost call that is open here; `Call.below` leads on.
_open: ContextVar[_Link] = ContextVar("brama_open_calls", default=None)

#: The serial number of the last exception that was counted, of any circuit.
last_failure = [0]
_serials: Iterator[int]
_report_failure = _ffi.report_failure
permit_covers = _ffi.permit_covers
#: Attributes of an exception that begin so have the serial number that it was counted with, by
#: the circuit whose `mark` it is.
COUNTED = "_brama_counted_"
#: An exception has at most so many.
_MARKS = 8

#: What a report may answer that a guarded call has no use for: the books are right. The
#: last one is the answer if the permit was collected before the call, in one cycle.
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
        #: Of the permit, if it has one of its own.
        self.words: Optional[Words] = words
        #: `last_failure` when it began.
        self.since: int = since
        #: Whether a half-open circuit admitted it, as a probe or in a ramp. Only then it can be
        #: ridden on.
        self.carries: bool = False
        #: Whether it tests the dependency.
        self.is_probe: bool = False
        self.ended: bool = False
        #: Whether another call rides on it now.
        self.ridden: bool = False
        #: Why a rider failed, and how long its dependency wants to be left alone: of several,
        #: the one with the longest wait, the last of those.
        self.failed: Optional[Tuple[Optional[bytes], int]] = None
        self.below: _Link = None
        #: The guard whose block it is, while that is open.
        self.guard: object = None

    def report(
        self,
        outcome: Outcome,
        reason: Optional[bytes] = None,
        metadata: Pairs = None,
        wait: int = 0,
        lasted: Optional[int] = None,
    ) -> Tuple[int, int]:
        """The library's code, and how many failures count now, if it is a failure.

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
        """Reports by hand in a guarded block, which has no use for `Stale`. Answers how
        many failures count now."""
        code, failures = self.report(outcome, reason, metadata, wait, lasted)
        _check(code)
        return failures

    def _with_riders(
        self, outcome: Outcome, reason: Optional[bytes], wait: int
    ) -> Tuple[Outcome, Optional[bytes], int]:
        """What is to be reported, in view of what riders reported."""
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
        """Reports for a guarded call."""
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
        if self.ended:  # By hand, meanwhile.
            return outcome
        if outcome is CANCELLED:
            self._cancelled(error)
            return outcome
        if not failures:
            self.settle(outcome)
            return outcome
        # All of them: each counts as counted from now on.
        first = [is_first(failure, self.handle.mark, self.since) for failure, _ in failures]
        if any(first):
            self.settle(FAILURE, _reason(failures[first.index(True)]))
        else:
            self.settle(IGNORED)
        return outcome

    def _cancelled(self, error: BaseException) -> None:
        """Reports that it was given up: a failure, if the library has timed the call and it
        has lasted too long. Then the exception is marked as counted."""
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
        """From now on calls inside of it find it."""
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
        """The end of the call: what has not been reported is ignored."""
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
        # What is inside of this one rides on this one.
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
        # It is the call around this one that counts the exception.
        outcome, failures = policy.of_error(error)
        if not self.ended:
            self.settle(outcome, _reason(failures[0]) if failures else None)
        return outcome

    def __del__(self) -> None:
        # It may have been interrupted before it had any attribute.
        if not getattr(self, "ended", False) and hasattr(self, "outer"):
            self.outer.ridden = False


def _reason(failure: Failed) -> bytes:
    """What `classify` has given, or what the exception says."""
    error, given = failure
    return given or reason_of(error)


def _check(code: int) -> None:
    if code not in _LATE:
        raise _ffi.failed(code)


def ride(handle: brama._handle.Handle) -> Optional[Rider]:
    """A ride on the innermost call that is open here and can be ridden on."""
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
    """The innermost call of a guard's that is open here."""
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
    """Whether no call of the circuit has counted an exception since then. Then this one
    counts it."""
    if is_counted(error, mark, since):
        return False
    last_failure[0] = error.__dict__[mark] = next(_serials)
    return True


def is_counted(error: BaseException, mark: str, since: int) -> bool:
    """Whether a call of the circuit has counted an exception since then."""
    attributes = error.__dict__
    return bool(attributes) and _is_counted(attributes, mark, since)


def _is_counted(attributes: Dict[str, Any], mark: str, since: int) -> bool:
    serial: Optional[int] = attributes.get(mark)
    if serial is None:
        if len(attributes) > _MARKS:
            _forget_the_oldest(attributes)
        return False
    # Numbers of another process mean nothing here, and are out of this range.
    return since < serial <= last_failure[0]


def _forget_the_oldest(attributes: Dict[str, Any]) -> None:
    """So that an exception that is raised for years has few marks."""
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
    """The end of a call on the short way that an exception has left.

    `Call.raised`, in one frame, for exceptions that are failures by their class. False for
    all others, and for those that were counted: nothing is reported then.
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
    except Exception:  # Its text is the user's code.
        text = ""
    _report_failure(ticket, reason_of(error, kind) if text else kind)
    return True


def _in_child() -> None:
    """Exceptions travel from a child to its parent, pickled."""
    global _serials
    start = int.from_bytes(os.urandom(7), "little")
    last_failure[0] = start
    _serials = count(start + 1)


_in_child()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_child)
