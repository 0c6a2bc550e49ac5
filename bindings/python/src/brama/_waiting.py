"""Waiting for a queue's file descriptor.

These functions use the standard library's `select` and `time`, which are looked up at each
call: gevent and eventlet replace them, and a wait then lets other greenlets run. A signal
ends such a wait, so that Ctrl-C works.
"""

from __future__ import annotations

import math
import select
import time
from typing import Callable, Optional

from ._errors import BramaError

#: The length in seconds of one wait that no descriptor would end; then the caller polls.
SLICE = 0.05
#: The longest wait in seconds that `poll`, `select` and locks take on all platforms: 24 days. A
#: caller that has to wait longer waits again.
_LONGEST = 0x7FFF_FFFF // 1000


def seconds_to(deadline: Optional[float]) -> Optional[float]:
    """How long one wait may last until the deadline; None if there is no deadline."""
    if deadline is None:
        return None
    return min(max(0.0, deadline - time.monotonic()), _LONGEST)


def until_readable(fileno: Callable[[], int], seconds: Optional[float]) -> None:
    """Waits until a descriptor is readable, for at most `seconds`; None: without a limit.

    May return earlier.
    """
    try:
        descriptor = fileno()
    except BramaError:  # The system has none left.
        time.sleep(SLICE if seconds is None else min(seconds, SLICE))
        return
    # eventlet has no `poll`. Without it, `select` takes only small numbers.
    if hasattr(select, "poll"):
        poller = select.poll()
        poller.register(descriptor, select.POLLIN)
        poller.poll(None if seconds is None else math.ceil(seconds * 1000))
    else:
        select.select([descriptor], [], [], seconds)
