"""A clock for tests."""

from __future__ import annotations

from . import _ffi
from ._errors import InvalidArgument
from ._owner import Unshared
from ._values import LONGEST, Duration, milliseconds, whole


class ManualClock(Unshared):
    """A clock that moves only when advanced, for tests without sleeping.

    Give it to a manager, preferably one without a background thread::

        clock = brama.ManualClock()
        manager = brama.Brama(clock=clock, background=False)
        clock.advance(60_000)
        manager.poll()  # events of what became due

    Every operation sees the new time at once; `poll` is only needed for events.

    Args:
        unix_ms: the Unix time in milliseconds at which it starts.

    Raises:
        InvalidArgument: the time is negative, or 2**63 or more.
    """

    def __init__(self, unix_ms: int = 1_000_000_000_000) -> None:
        start = whole("unix_ms", unix_ms, LONGEST, InvalidArgument, " ms", smallest=0)
        self._clock = _ffi.Clock(start)

    def advance(self, by: Duration) -> None:
        """Moves the time on.

        Args:
            by: milliseconds, or a timedelta. The clock stops 34 years after its start.

        Raises:
            InvalidArgument: `by` is negative, or 2**63 ms or more.
        """
        self._clock.advance(milliseconds("by", by, InvalidArgument, smallest=0))

    @property
    def unix_ms(self) -> int:
        """The Unix time that it shows, in milliseconds."""
        return self._clock.unix_ms()

    def __repr__(self) -> str:
        return f"<brama.ManualClock at {self.unix_ms} ms>"
