"""Guarded calls: an admission, reported once."""

from __future__ import annotations

from typing import Callable, Mapping, Optional

from . import _abi, _ffi, _values
from ._errors import BramaError, Stale
from ._policy import DEFAULT, Outcome, Policy, reason_of

#: What a report may answer that its caller need not know: the books are right.
_LATE = (_abi.OK, _abi.STALE, _abi.NOT_FOUND, _abi.SHUT_DOWN)


def settle(ticket: _ffi.Ticket, outcome: Outcome, error: Optional[BaseException] = None) -> None:
    """Reports for somebody who has no use for `Stale`."""
    if outcome is Outcome.SUCCESS:
        code = _ffi.ticket_success(ticket)
    elif outcome is Outcome.FAILURE:
        code = _ffi.ticket_failure(ticket, None if error is None else reason_of(error))
    else:
        code = _ffi.ticket_ignore(ticket)
    if code not in _LATE:
        raise _ffi.failed(code)


class Permit:
    """An admission to make a call, to be reported once, on any thread.

    One that is never reported is ignored when it is collected. As a context manager it
    reports by itself: an `Exception` is a failure, anything else that is raised is
    ignored, and otherwise the call succeeded, unless it was reported inside the block.
    """

    # None once it was taken for a report; two threads that take it at once are told
    # apart by the library, if it is a probe's.
    __slots__ = ("_ticket",)

    def __init__(self, ticket: _ffi.Ticket) -> None:
        self._ticket: Optional[_ffi.Ticket] = ticket

    def success(self, *, metadata: Optional[Mapping[str, str]] = None) -> None:
        """Reports that the call succeeded.

        Args:
            metadata: strings for the events.

        Raises:
            Stale: the state that it was given in is gone, or it was reported before.
            NotFound: the connection is not registered any more.
            ShutDown: the manager was shut down.
        """
        pairs = _values.metadata(metadata)
        _ffi.check(_ffi.ticket_success(self._take(), pairs))

    def failure(
        self, reason: Optional[str] = None, *, metadata: Optional[Mapping[str, str]] = None
    ) -> int:
        """Reports that the call failed.

        Args:
            reason: why, for the events.
            metadata: strings for the events.

        Returns:
            How many failures count now: in a row, or inside the window.

        Raises:
            Stale, NotFound, ShutDown: as for `success`.
        """
        text, pairs = _values.reason(reason), _values.metadata(metadata)
        return _ffi.ticket_failure_counted(self._take(), text, pairs)

    def ignore(self) -> None:
        """Gives the permit back, neither success nor failure.

        Raises:
            Stale, NotFound, ShutDown: as for `success`.
        """
        _ffi.check(_ffi.ticket_ignore(self._take()))

    @property
    def reported(self) -> bool:
        """Whether it has reported."""
        return self._ticket is None

    def _take(self) -> _ffi.Ticket:
        ticket, self._ticket = self._ticket, None
        if ticket is None:
            raise Stale("the permit has been reported already")
        return ticket

    def _close(self, error: Optional[BaseException], policy: Policy = DEFAULT) -> None:
        """The end of a guarded block."""
        ticket, self._ticket = self._ticket, None
        if ticket is None:
            return  # Reported inside the block.
        if error is None:
            _ffi.report_success(ticket)
            return
        outcome = Outcome.IGNORED  # If the classifier raises.
        try:
            outcome = policy.of_error(error)
        finally:
            settle(ticket, outcome, error)

    def __enter__(self) -> Permit:
        return self

    def __exit__(self, kind: object, error: Optional[BaseException], trace: object) -> None:
        self._close(error)

    async def __aenter__(self) -> Permit:
        return self

    async def __aexit__(self, kind: object, error: Optional[BaseException], trace: object) -> None:
        self._close(error)

    def __del__(self, ignore: Callable[[_ffi.Ticket], int] = _ffi.ticket_ignore) -> None:
        if self._ticket is not None:
            ignore(self._ticket)

    def __repr__(self) -> str:
        return f"<brama.Permit, {'reported' if self.reported else 'not yet reported'}>"


class Guard(Permit):
    """A block whose outcome is reported: `with brama.guard("payment_api"):`.

    Inside the block it is the permit, on which the block may report by itself. It may be
    used again, but not while it is in use.
    """

    __slots__ = ("_admit", "_in_use", "_policy")

    def __init__(self, admit: Callable[[], _ffi.Ticket], policy: Policy) -> None:
        self._ticket = None
        self._admit = admit
        self._policy = policy
        self._in_use = False

    def __enter__(self) -> Permit:
        if self._in_use:
            raise BramaError("the guard is in use: make one for each block")
        self._ticket = self._admit()
        self._in_use = True
        return self

    def __exit__(self, kind: object, error: Optional[BaseException], trace: object) -> None:
        self._in_use = False
        self._close(error, self._policy)

    async def __aenter__(self) -> Permit:
        return self.__enter__()

    async def __aexit__(self, kind: object, error: Optional[BaseException], trace: object) -> None:
        self.__exit__(kind, error, trace)
