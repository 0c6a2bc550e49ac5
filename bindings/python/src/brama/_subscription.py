"""Subscriptions: events by callback and by iteration. `async for` is in `_stream.py`.

Both take events out of a queue of the library, on a thread of Python:

- A callback has a daemon thread of its own. In a manager without a background thread, and
  where no thread can be started, it has none, and runs inside `poll`.
- An `EventStream` is drained by the thread that iterates over it.

All of them wait for the queue's file descriptor through the standard library's `select`.
So does gevent's and eventlet's patched one: a greenlet that waits lets the others run, and
a callback's thread is a greenlet.

A filter runs on the thread that takes the events out, so that the library's own thread
never enters the interpreter.

How `unsubscribe` keeps its promise: the thread that delivers to a callback holds the lock
`_serving`, and reads `_ended` under it before every call.
"""

from __future__ import annotations

import inspect
import sys
import threading
import time
import weakref
from collections import deque
from typing import TYPE_CHECKING, Callable, Deque, List, Optional, Set, TypeVar

import brama

from . import _ffi, _waiting
from ._errors import BramaError
from ._events import Event, event_of
from ._owner import Unshared

if sys.version_info >= (3, 11):
    from typing import Self
elif TYPE_CHECKING:
    from typing_extensions import Self
else:
    Self = TypeVar("Self")  # So that annotations can be evaluated.

Predicate = Callable[[Event], object]

#: The threads that run a callback of any manager.
_inside: Set[int] = set()


def is_inside_callback() -> bool:
    """Whether this thread runs a callback, of whatever manager. Then it must not wait for another
    callback, which may wait for this one."""
    return threading.get_ident() in _inside


class Errors:
    """Counts what callbacks and filters raise, and passes it to `sys.unraisablehook`."""

    def __init__(self) -> None:
        self.count: int = 0

    def tell(self, error: BaseException) -> None:
        self.count += 1
        _Unraisable(error)


class _Unraisable:
    """Raises an error in a finaliser: the only way to `sys.unraisablehook` that every version of
    Python has."""

    def __init__(self, error: BaseException) -> None:
        self.error: BaseException = error

    def __del__(self) -> None:
        raise self.error


class Subscription(Unshared):
    """A subscription to events of a manager.

    It lasts until `unsubscribe`, or the manager's `shutdown`. The manager keeps a
    subscription with a callback, so the program need not. As a context manager it ends with
    the block.
    """

    _instead = "subscribe there"

    def __init__(
        self,
        manager: brama._publisher.Publisher,
        queue: _ffi.Queue,
        predicate: Optional[Predicate],
        errors: Errors,
    ) -> None:
        self._manager = weakref.ref(manager)
        self._background = manager._background
        self._queue = queue
        self._predicate = predicate
        self._errors = errors
        #: Events that were drained and are not delivered yet. None is one of a type that this
        #: package does not know.
        self._pending: Deque[Optional[Event]] = deque()

    @property
    def active(self) -> bool:
        """Whether more events can come: False after `unsubscribe` and `shutdown`."""
        return not self._queue.is_closed()

    def unsubscribe(self) -> None:
        """Ends the subscription. Further calls do nothing.

        When it has returned (called from outside callbacks), the callback is not running,
        and will not run again.
        """
        self._queue.close()
        self._settle()

    #: How many events are taken out of the queue at a time. Events in `_pending` do not make the
    #: descriptor readable. So where several threads may wait for it, the number must be 1.
    _batch = 1
    #: The thread that serves a callback.
    _thread: Optional[threading.Thread] = None

    def _settle(self) -> None:
        """Makes sure that a subscription that has ended delivers nothing any more."""

    def _next(self) -> Optional[Event]:
        """The next event that the filter lets pass; None if none waits."""
        while True:
            if not self._pending:
                self._fetch()
            try:
                event = self._pending.popleft()
            except IndexError:  # There is none, or another thread took it.
                return None
            if event is not None and self._wants(event):
                return event

    def _fetch(self) -> bool:
        """Moves events from the queue to `_pending`. Returns whether there were any."""
        fetched = self._queue.drain(event_of, self._batch)
        self._pending.extend(fetched)
        return bool(fetched)

    def _wants(self, event: Event) -> bool:
        return self._predicate is None or bool(self._contained(self._predicate, event))

    def _contained(self, function: Callable[[Event], object], event: Event) -> object:
        """Calls a callback or a filter, and returns its result. What it raises is counted, and
        None is returned.

        A `KeyboardInterrupt` is counted and raised again: the user wants to end what this
        thread does. On a callback's own thread it is an error like any other.
        """
        try:
            answer = function(event)
            if inspect.iscoroutine(answer):
                answer.close()
                raise TypeError("a callback or filter has returned a coroutine: nothing awaits it")
            return answer
        except BaseException as error:
            here = threading.current_thread()
            if isinstance(error, KeyboardInterrupt) and here is not self._thread:
                self._errors.count += 1
                raise
            self._errors.tell(error)
            return None

    def _after_fork(self) -> None:
        """In the child of a fork: makes new locks, since threads that are gone may hold the old
        ones, and drops the parent's events."""
        self._queue.renew()
        self._pending.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.unsubscribe()

    def __repr__(self) -> str:
        return f"<brama.{type(self).__name__}, {'active' if self.active else 'ended'}>"


class CallbackSubscription(Subscription):
    """Calls a function for every event."""

    _batch = 64

    def __init__(
        self,
        manager: brama._publisher.Publisher,
        queue: _ffi.Queue,
        predicate: Optional[Predicate],
        errors: Errors,
        callback: Callable[[Event], object],
    ) -> None:
        super().__init__(manager, queue, predicate, errors)
        self._callback = callback
        self._ended = False
        #: Whether a shutdown whose time was over has left a running callback behind.
        self._left_behind = False
        self._serving = threading.Lock()
        self._server: Optional[int] = None
        if self._background:
            try:
                self._start()
            except RuntimeError as error:
                queue.close()
                raise BramaError(
                    f"a callback needs a thread: {error}. `events` needs none, nor does a "
                    "manager without a background thread"
                ) from None

    def _start(self) -> None:
        """Raises RuntimeError if no thread can be started."""
        thread = threading.Thread(target=self._serve_until_closed, name="brama-events", daemon=True)
        self._thread = thread
        try:
            thread.start()
        except BaseException:
            self._thread = None
            raise

    def _serve_until_closed(self) -> None:
        while not self._ended:
            # Read first: an event that came before the end is still served below.
            closed = self._queue.is_closed()
            self.serve()
            if closed:
                return
            _waiting.until_readable(self._queue.fileno, None)

    def serve(self, deadline: Optional[float] = None) -> None:
        """Delivers waiting events. Does nothing if another thread is delivering. Begins no
        callback after the deadline."""
        if not self._serving.acquire(blocking=False):
            return
        here = threading.get_ident()
        outermost = here not in _inside
        interrupt = None
        try:
            self._server = here
            _inside.add(here)
            # Read before each event: a callback may end its own subscription.
            while not self._ended and not _is_over(deadline):
                try:
                    event = self._next()
                    if event is None:
                        break
                    self._contained(self._callback, event)
                except KeyboardInterrupt as error:
                    interrupt = error
        finally:
            if outermost:
                _inside.discard(here)
            self._server = None
            self._serving.release()
        if interrupt is not None:
            raise interrupt

    @property
    def is_being_served_here(self) -> bool:
        return self._server == threading.get_ident()

    def _settle(self) -> None:
        self._ended = True
        if not is_inside_callback() and not self._left_behind:
            with self._serving:
                pass
        manager = self._manager()
        if manager is not None:
            manager._forget(self)

    def finish(self, deadline: Optional[float] = None) -> int:
        """Waits until the events of the closed queue are delivered, at most until the deadline.
        Returns how many were not delivered. They never will be."""
        if self._left_behind:
            return 0
        if self._thread is not None:
            self._thread.join(_waiting.seconds_to(deadline))
        else:
            self.serve(deadline)
            wait = _waiting.seconds_to(deadline)
            if self._serving.acquire(timeout=-1 if wait is None else wait):
                self._serving.release()
        return 0 if deadline is None else self._leave_behind()

    def _leave_behind(self) -> int:
        self._ended = True
        left = 0
        # Events that this thread takes out are not delivered by the other one.
        while self._pending or self._fetch():
            try:
                left += self._pending.popleft() is not None
            except IndexError:  # The other thread took it.
                pass
        self._left_behind = self._serving.locked()
        return left + self._left_behind

    def _after_fork(self) -> None:
        super()._after_fork()
        if self.is_being_served_here:
            return  # Forked inside the callback: this thread goes on serving.
        self._serving = threading.Lock()
        self._server = None
        self._thread = None
        if self._background and not self._queue.is_closed():
            try:
                self._start()
            except RuntimeError:
                pass  # `poll` and `shutdown` deliver instead.


def _is_over(deadline: Optional[float]) -> bool:
    return deadline is not None and time.monotonic() >= deadline


def serve_all(subscriptions: List[CallbackSubscription]) -> None:
    """Runs the callbacks that have no thread. Raises their `KeyboardInterrupt` at the end."""
    interrupt: Optional[KeyboardInterrupt] = None
    for subscription in subscriptions:
        if subscription._thread is None:
            try:
                subscription.serve()
            except KeyboardInterrupt as error:
                interrupt = error
    if interrupt is not None:
        raise interrupt
