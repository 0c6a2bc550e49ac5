"""Permits by hand: an admission, reported once."""

from __future__ import annotations

from typing import Mapping, Optional

from . import _abi, _ffi, _values
from ._abi import Pairs
from ._call import Call
from ._errors import Stale
from ._owner import Unshared
from ._policy import DEFAULT, FAILURE, IGNORED, SUCCESS, Outcome
from ._values import Duration, Lasted


class Permit(Unshared):
    """An admission to make a call, to be reported once, on any thread.

    A permit that is never reported is ignored when it is collected. As a context manager it
    reports at the end of the block, unless it was reported inside: an `Exception` is a
    failure, anything else that is raised is ignored, and otherwise the call succeeded.
    """

    __slots__ = ("_call",)

    _instead = "report on it where it was given"

    def __init__(self, call: Call) -> None:
        self._call = call

    def success(
        self,
        *,
        metadata: Optional[Mapping[str, str]] = None,
        duration: Optional[Lasted] = None,
    ) -> None:
        """Reports that the call succeeded.

        Args:
            metadata: strings for the events.
            duration: how long the call has lasted, in milliseconds, which may have a fraction, or
                as a timedelta; None: the time that was measured. Rounded down to a whole
                millisecond, and compared with `slow_call_duration`, where that is set.

        Raises:
            InvalidArgument: `duration` is negative or not finite; the permit is still to be
                reported.
            Stale: the state in which the permit was given is gone, or it was reported before.
            NotFound: the connection is not registered any more.
            ShutDown: the manager was shut down.
        """
        lasted = _values.lasted(duration)
        self._report(SUCCESS, None, _values.details(metadata), lasted=lasted)

    def failure(
        self,
        reason: Optional[str] = None,
        *,
        metadata: Optional[Mapping[str, str]] = None,
        duration: Optional[Lasted] = None,
        retry_after: Optional[Duration] = None,
    ) -> int:
        """Reports that the call failed.

        Args:
            reason: why, for the events and the status.
            metadata: strings for the events.
            duration: how long the call has lasted; see `success`.
            retry_after: how long the dependency wants to be left alone, in milliseconds or as a
                timedelta, as HTTP says it with `Retry-After`; None: it has not said. See
                `Connection.failure`.

        Returns:
            How many failures count now: in a row, or inside the window.

        Raises:
            InvalidArgument: `duration` or `retry_after` is negative, or `duration` is not finite;
                the permit is still to be reported.
            Stale, NotFound, ShutDown: as for `success`.
        """
        wait, lasted = _values.wait("retry_after", retry_after), _values.lasted(duration)
        text, pairs = _values.reason(reason), _values.details(metadata)
        return self._report(FAILURE, text, pairs, wait, lasted)

    def ignore(self) -> None:
        """Gives the permit back, neither success nor failure.

        Raises:
            Stale, NotFound, ShutDown: as for `success`.
        """
        self._report(IGNORED)

    def _report(
        self,
        outcome: Outcome,
        reason: Optional[bytes] = None,
        metadata: Pairs = None,
        wait: int = 0,
        lasted: Optional[int] = None,
    ) -> int:
        if self._call.ended:
            raise Stale("the permit has been reported already")
        code, failures = self._call.report(outcome, reason, metadata, wait, lasted)
        if code == _abi.INVALID_ARGUMENT:
            raise Stale("the permit was collected as garbage, and so ignored")
        _ffi.check(code)
        return failures

    @property
    def reported(self) -> bool:
        """Whether the permit has been reported."""
        return self._call.ended

    @property
    def is_probe(self) -> bool:
        """Whether the call tests a half-open circuit, so that a shorter time-out is wise."""
        return self._call.is_probe

    def __enter__(self) -> Permit:
        return self

    def __exit__(self, kind: object, error: Optional[BaseException], trace: object) -> None:
        call = self._call
        if error is not None:
            try:
                call.raised(DEFAULT, error)
            finally:
                call.leave()
        elif not call.ended:
            call.settle(SUCCESS)

    async def __aenter__(self) -> Permit:
        return self

    async def __aexit__(self, kind: object, error: Optional[BaseException], trace: object) -> None:
        self.__exit__(kind, error, trace)

    def __del__(self) -> None:
        if not self._call.ended:
            self._call.settle(IGNORED)

    def __repr__(self) -> str:
        return f"<brama.Permit, {'reported' if self.reported else 'not yet reported'}>"
