"""The words of permits, and what is reported on them."""

from __future__ import annotations

from ctypes import byref
from typing import Any, Callable, NoReturn, Optional, Tuple

from . import _ffi
from ._abi import Pairs, PermitWords
from ._structs import report_of


class Words(PermitWords):
    """The memory of a permit, with a reference of its own to the handle that admitted the call.

    So the permit can be reported even when all other objects are gone. It owns a probe's place
    until it is reported. If it is collected before, it gives the place back.
    """

    #: Whether there is nothing to give back.
    reported: bool = True
    _handle: int = 0

    def hold(self, handle: int) -> None:
        self._handle = _ffi.connection_retain(handle)

    def __del__(
        self,
        byref: Callable[[Any], object] = byref,
        ignore: Callable[[Any], object] = _ffi.permit_ignore,
        release: Callable[[int], object] = _ffi.connection_release,
    ) -> None:
        handle, self._handle = self._handle, 0
        if handle:
            if not self.reported:
                ignore(byref(self))
            self.opaque[0] = 0  # From now on the library refuses the permit.
            release(handle)

    def __reduce_ex__(self, protocol: Any) -> NoReturn:
        raise TypeError("a permit cannot be copied")


#: A permit as an argument for the library: what `byref` makes of its `Words`.
Ticket = Any


def report_success(ticket: Ticket, metadata: Pairs = None, lasted: Optional[int] = None) -> int:
    """Reports a success. Returns the library's code, as the other reports do.

    Args:
        lasted: how long the call has lasted; None: the time that was measured.
    """
    if lasted is not None:
        return int(_ffi.permit_success_in(ticket, report_of(None, metadata), lasted))
    if metadata:
        return int(_ffi.permit_success_with(ticket, report_of(None, metadata)))
    return int(_ffi.permit_success(ticket))


def report_failure(
    ticket: Ticket,
    reason: Optional[bytes],
    metadata: Pairs = None,
    wait: int = 0,
    lasted: Optional[int] = None,
) -> Tuple[int, int]:
    """Reports a failure. Returns the code, and how many failures count now.

    Args:
        wait: for how long the dependency wants to be left alone; 0: it has not said. A failure
            with a wait opens the circuit at once, however long it has lasted.
        lasted: as for `report_success`.
    """
    if lasted is not None and not wait:
        ms = lasted
        return _ffi.counting(lambda r: _ffi.permit_failure_in(ticket, r, ms), reason, metadata)
    return _ffi.counting(lambda r: _ffi.permit_failure_for(ticket, r, wait), reason, metadata)


def report_failure_uncounted(ticket: Ticket, reason: Optional[bytes]) -> int:
    """`report_failure` without metadata, a wait or a count: in a fifth of the time."""
    return int(_ffi.permit_failure(ticket, reason))


def report_ignored(ticket: Ticket) -> int:
    return int(_ffi.permit_ignore(ticket))


def report_cancelled(ticket: Ticket) -> int:
    """Reports that the caller has given the call up: a failure if it has lasted for the setting
    `cancelled_after`, otherwise ignored."""
    return int(_ffi.permit_cancelled(ticket))
