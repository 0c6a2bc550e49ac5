"""Subscriptions: events by callback, by iteration, by `async for`.

All three take events out of a queue of the library's, on a thread of Python's:

- A callback has a daemon thread of its own, which waits inside the library without the
  GIL. In a manager without a background thread it has none, and runs inside `poll`.
- An `EventStream` is drained by whoever iterates over it. Without a background thread
  somebody has to poll while it waits, and a blocking wait does so itself.
- With `async for` the event loop watches the queue's file descriptor.

The custom filter runs where the events are taken out, so that the library's own thread
never enters the interpreter.

What makes the promise of `unsubscribe`: whoever delivers to a callback holds `_serving`,
and looks at `_ended` under it before every call.
"""

from __future__ import annotations

import asyncio
import select
import threading
import time
import weakref
from collections import deque
from typing import TYPE_CHECKING, Any, Callable, Deque, Dict, List, Optional

from . import _abi, _ffi
from ._errors import InvalidArgument
from ._events import Event, event_of
from ._values import Duration, milliseconds

if TYPE_CHECKING:
    from typing_extensions import Self

    from ._publisher import Publisher

Predicate = Callable[[Event], object]

#: How long a wait lasts that nothing but time would end, before it looks around.
_SLICE_MS = 50
#: The longest that `poll` can be asked for; who waits longer asks again.
_LONGEST_POLL_MS = 0x7FFF_FFFF


class Errors:
    """Counts what callbacks and filters raise, and tells `sys.unraisablehook` of it."""

    def __init__(self) -> None:
        self.count = 0

    def tell(self, error: BaseException) -> None:
        self.count += 1
        _Unraisable(error)


class _Unraisable:
    """Raises where nobody can catch: the one way to `sys.unraisablehook` that every
    version of Python has."""

    def __init__(self, error: BaseException) -> None:
        self.error = error

    def __del__(self) -> None:
        raise self.error


class Subscription:
    """A subscription to events of a manager.

    It lasts until `unsubscribe`, or the manager's `shutdown`. One with a callback is kept
    by its manager, and need not be kept by its maker. As a context manager it ends with
    the block.
    """

    def __init__(
        self, manager: Publisher, queue: _ffi.Queue, predicate: Optional[Predicate], errors: Errors
    ) -> None:
        self._manager = weakref.ref(manager)
        self._background = manager._background
        self._queue = queue
        self._predicate = predicate
        self._errors = errors

    @property
    def active(self) -> bool:
        """Whether more events can come: False after `unsubscribe` and `shutdown`."""
        return not self._queue.is_closed()

    def unsubscribe(self) -> None:
        """Ends the subscription. Further calls do nothing.

        When it has returned (called from outside the callback), the callback is not
        running and never will again.
        """
        self._queue.close()
        self._settle()

    #: The thread that serves a callback.
    _thread: Optional[threading.Thread] = None

    def _settle(self) -> None:
        """Sees to it that nothing of a subscription that has ended is delivered any more."""

    def _drain(self) -> List[Event]:
        events = []
        for event in self._queue.drain(event_of):
            if event is not None and self._wants(event):
                events.append(event)
        return events

    def _wants(self, event: Event) -> bool:
        if self._predicate is None:
            return True
        try:
            return bool(self._predicate(event))
        except Exception as error:
            self._errors.tell(error)
            return False

    def _after_fork(self) -> None:
        """In the child: locks that other threads held stay locked, and those are gone."""
        self._queue.renew()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.unsubscribe()

    def __repr__(self) -> str:
        return f"<brama.{type(self).__name__}, {'active' if self.active else 'ended'}>"


class CallbackSubscription(Subscription):
    """Calls a function for every event."""

    def __init__(
        self,
        manager: Publisher,
        queue: _ffi.Queue,
        predicate: Optional[Predicate],
        errors: Errors,
        callback: Callable[[Event], object],
    ) -> None:
        super().__init__(manager, queue, predicate, errors)
        self._callback = callback
        self._ended = False
        #: Drained, and not yet delivered.
        self._pending: Deque[Optional[Event]] = deque()
        self._serving = threading.Lock()
        self._server: Optional[int] = None
        self._start()

    def _start(self) -> None:
        if self._background:
            self._thread = threading.Thread(
                target=self._serve_until_closed, name="brama-events", daemon=True
            )
            self._thread.start()

    def _serve_until_closed(self) -> None:
        queue = self._queue
        while not self._ended and (queue.wait(_abi.NEVER) or not queue.is_closed()):
            self.serve()

    def serve(self) -> None:
        """Delivers what waits, unless somebody is at it."""
        if not self._serving.acquire(blocking=False):
            return
        try:
            self._server = threading.get_ident()
            # Looked at each time: a callback may end its own subscription.
            while not self._ended:
                if not self._pending:
                    self._pending.extend(self._queue.drain(event_of))
                    if not self._pending:
                        break
                event = self._pending.popleft()
                if event is not None and self._wants(event):
                    self._call(event)
        finally:
            self._server = None
            self._serving.release()

    def _call(self, event: Event) -> None:
        try:
            self._callback(event)
        except (Exception, SystemExit) as error:
            self._errors.tell(error)

    @property
    def is_being_served_here(self) -> bool:
        return self._server == threading.get_ident()

    def _settle(self) -> None:
        self._ended = True
        manager = self._manager()
        # Callbacks that end each other's subscriptions must not wait for each other.
        if manager is None or not manager._is_inside_callback():
            with self._serving:
                pass
        if manager is not None:
            manager._forget(self)

    def finish(self, timeout: Optional[float] = None) -> None:
        """After the queue was closed: waits until what was in it is delivered."""
        if self._thread is not None:
            self._thread.join(timeout)
        else:
            self.serve()

    def _after_fork(self) -> None:
        super()._after_fork()
        if self.is_being_served_here:
            return  # Forked inside the callback: this thread goes on serving.
        self._serving = threading.Lock()
        self._server = None
        self._pending.clear()
        if not self._queue.is_closed():
            self._start()


class EventStream(Subscription):
    """Events, to be iterated over: `for event in stream`, `async for event in stream`.

    Up to `capacity` events wait in order. The iteration ends when the subscription has
    ended and what waited has been taken.
    """

    def __init__(
        self, manager: Publisher, queue: _ffi.Queue, predicate: Optional[Predicate], errors: Errors
    ) -> None:
        super().__init__(manager, queue, predicate, errors)
        self._kept = manager  # Who iterates may hold nothing else of it.
        self._ready: Deque[Event] = deque()
        self._waiting: Dict[Any, Deque[asyncio.Future[None]]] = {}

    def drain(self) -> List[Event]:
        """Takes all events that wait, without waiting for more."""
        taken = []
        while self._ready:
            taken.append(self._ready.popleft())
        while True:
            more = self._drain()
            taken += more
            if not more and not self._queue.wait(0):
                return taken

    def get(self, timeout: Optional[Duration] = None) -> Optional[Event]:
        """Waits for the next event.

        Args:
            timeout: at most so long, in milliseconds or as a timedelta; None: for ever.

        Returns:
            None if the time is over or the subscription has ended.

        Raises:
            InvalidArgument: the time is negative.
        """
        deadline = None
        if timeout is not None:
            ms = milliseconds("timeout", timeout, InvalidArgument)
            deadline = time.monotonic() + ms / 1000
        while True:
            # Asked first: what came before the end is found after it.
            ended = not self.active
            event = self._take()
            if event is not None or ended:
                return event
            left = None if deadline is None else max(0.0, deadline - time.monotonic())
            if left == 0.0:
                return None
            self._wait(left)

    def _take(self) -> Optional[Event]:
        """An event that is here already."""
        while not self._ready:
            self._ready.extend(self._drain())
            if not self._ready and not self._queue.wait(0):
                return None
        try:
            return self._ready.popleft()
        except IndexError:  # Another thread was faster.
            return self._take()

    def _wait(self, seconds: Optional[float]) -> None:
        ms = _abi.NEVER if seconds is None else max(1, round(seconds * 1000))
        if threading.current_thread() is not threading.main_thread():
            self._queue.wait(ms)
        elif self._background and hasattr(select, "poll"):
            # Signals end this wait, so that Ctrl-C works.
            poller = select.poll()
            poller.register(self._queue.fileno(), select.POLLIN)
            poller.poll(None if seconds is None else min(ms, _LONGEST_POLL_MS))
        else:
            self._queue.wait(min(ms, _SLICE_MS))

    def fileno(self) -> int:
        """A file descriptor that is readable while events wait, and for ever once the
        subscription has ended: for `select`, `selectors` and event loops. It belongs to
        the subscription: do not read from it, do not close it, `drain` instead.

        Raises:
            BramaError: the system has none to give.
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
        waiting = self._waiting.get(loop)
        if waiting is None:
            waiting = self._waiting[loop] = deque()
            loop.add_reader(self.fileno(), self._wake, loop)
        wake = loop.create_future()
        waiting.append(wake)
        try:
            await wake
        finally:
            if wake in waiting:
                waiting.remove(wake)
            if not waiting and self._waiting.get(loop) is waiting:
                del self._waiting[loop]
                loop.remove_reader(self.fileno())

    def _wake(self, loop: Any) -> None:
        # All of them: who finds nothing waits again.
        for wake in self._waiting.get(loop, ()):
            if not wake.done():
                wake.set_result(None)

    def _after_fork(self) -> None:
        super()._after_fork()
        self._ready.clear()
        self._waiting = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.unsubscribe()
