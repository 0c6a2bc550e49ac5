"""Events to iterate over: `for event in stream`, `async for event in stream`.

With `async for` the event loop watches the queue's file descriptor. A loop may be closed,
or left behind, while a task waits in it. So each loop has its own queue of waiting tasks.
A loop is touched only on its own thread, while it runs: its reader removes itself when the
descriptor is readable and no task waits.
"""

from __future__ import annotations

import asyncio
import sys
import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Any, Deque, Dict, List, Optional, TypeVar

import brama

from . import _ffi, _waiting
from ._errors import InvalidArgument
from ._events import Event
from ._subscription import Errors, Predicate, Subscription
from ._values import Duration, milliseconds

if sys.version_info >= (3, 11):
    from typing import Self
elif TYPE_CHECKING:
    from typing_extensions import Self
else:
    Self = TypeVar("Self")  # So that annotations can be evaluated.

_Waiters = Deque["asyncio.Future[None]"]


class EventStream(Subscription):
    """Events, to iterate over: `for event in stream`, `async for event in stream`.

    Up to `capacity` events wait in order. The iteration ends when the subscription has
    ended and what waited has been taken.
    """

    def __init__(
        self,
        manager: brama._publisher.Publisher,
        queue: _ffi.Queue,
        predicate: Optional[Predicate],
        errors: Errors,
    ) -> None:
        super().__init__(manager, queue, predicate, errors)
        self._kept = manager  # A program that iterates may hold no other reference to it.
        self._waiting: Dict[Any, _Waiters] = {}
        self._turn = threading.Lock()

    def drain(self) -> List[Event]:
        """Takes all events that wait, without waiting for more."""
        taken: List[Event] = []
        while True:
            event = self._take()
            if event is None:
                return taken
            taken.append(event)

    def get(self, timeout: Optional[Duration] = None) -> Optional[Event]:
        """Waits for the next event.

        Args:
            timeout: how long to wait at most, in milliseconds or as a timedelta; None: without
                a limit.

        Returns:
            None if the time is over or the subscription has ended.

        Raises:
            InvalidArgument: the time is negative, or above 2**63 - 1 ms.
        """
        deadline = None
        if timeout is not None:
            ms = milliseconds("timeout", timeout, InvalidArgument, smallest=0)
            deadline = time.monotonic() + ms / 1000
        while True:
            # Read first: an event that came before the end is still taken below.
            ended = not self.active
            event = self._take()
            if event is not None or ended:
                return event
            left = _waiting.seconds_to(deadline)
            if left == 0:
                return None
            if not self._background:
                # Without a background thread this one polls the manager.
                left = _waiting.SLICE if left is None else min(left, _waiting.SLICE)
            self._wait(left)

    def _wait(self, seconds: Optional[float]) -> None:
        # One thread waits for the descriptor, the others for the lock: eventlet allows one
        # waiter for each descriptor. A thread that is woken looks for events again.
        if self._turn.acquire(blocking=False):
            try:
                _waiting.until_readable(self.fileno, seconds)
            finally:
                self._turn.release()
        elif self._turn.acquire(timeout=-1 if seconds is None else seconds):
            self._turn.release()

    def _take(self) -> Optional[Event]:
        """The next event, without waiting; None if there is none."""
        while True:
            event = self._next()
            if event is not None or not self._queue.has_events():
                return event

    def fileno(self) -> int:
        """A file descriptor that is readable while events wait, and always once the
        subscription has ended: for `select`, `selectors` and event loops.

        It belongs to the subscription: do not read from it and do not close it. Call `drain`
        to take the events.

        Raises:
            BramaError: the system has no descriptor left.
        """
        return self._queue.fileno()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Event:
        event = self.get()
        if event is None:
            raise StopIteration
        return event

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event:
        while True:
            ended = not self.active
            event = self._take()
            if event is not None:
                return event
            if ended:
                raise StopAsyncIteration
            await self._readable()

    async def _readable(self) -> None:
        """Waits until the event loop finds the descriptor readable."""
        loop = asyncio.get_running_loop()
        for other in [loop for loop in list(self._waiting) if loop.is_closed()]:
            self._waiting.pop(other, None)
        waiting = self._waiting.get(loop)
        if waiting is None:
            descriptor = self.fileno()
            loop.add_reader(descriptor, self._wake, loop, descriptor)
            waiting = self._waiting[loop] = deque()
        wake = loop.create_future()
        waiting.append(wake)
        try:
            await wake
        finally:
            # This may run in a loop that is closed, or in no loop, or on another thread:
            # a task that was left behind is closed by the collector.
            if wake in waiting:
                waiting.remove(wake)

    def _wake(self, loop: Any, descriptor: int) -> None:
        waiting = self._waiting.get(loop)
        if not waiting:
            self._waiting.pop(loop, None)
            loop.remove_reader(descriptor)
            return
        # Wakes all of them: a task that finds no event waits again.
        for wake in waiting:
            if not wake.done():
                wake.set_result(None)

    def _after_fork(self) -> None:
        super()._after_fork()
        self._waiting = {}
        self._turn = threading.Lock()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.unsubscribe()
