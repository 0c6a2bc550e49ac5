"""A manager's methods for events."""

from __future__ import annotations

import threading
from typing import Callable, Optional, Set, Tuple, overload

from . import _ffi, _lifecycle, _values
from ._events import Event, EventTypes, bits_of
from ._owner import Unshared
from ._policy import refuse_coroutines
from ._status import EventCounts
from ._stream import EventStream
from ._subscription import CallbackSubscription, Errors, Predicate, Subscription


class Publisher(Unshared):
    """The methods of a `Brama` for events."""

    def __init__(self, native: _ffi.Manager, background: bool) -> None:
        self._native = native
        self._background = background
        self._errors = Errors()
        #: The subscriptions with a callback. They last until they are ended, whether or not a
        #: program keeps them.
        self._served: Set[CallbackSubscription] = set()

    @overload
    def subscribe(
        self,
        callback: None = None,
        *,
        connection: Optional[str] = None,
        scope: Optional[str] = None,
        events: EventTypes = None,
        filter: Optional[Predicate] = None,
        capacity: int = 1024,
    ) -> EventStream: ...

    @overload
    def subscribe(
        self,
        callback: Callable[[Event], object],
        *,
        connection: Optional[str] = None,
        scope: Optional[str] = None,
        events: EventTypes = None,
        filter: Optional[Predicate] = None,
        capacity: int = 1024,
    ) -> Subscription: ...

    def subscribe(
        self,
        callback: Optional[Callable[[Event], object]] = None,
        *,
        connection: Optional[str] = None,
        scope: Optional[str] = None,
        events: EventTypes = None,
        filter: Optional[Predicate] = None,
        capacity: int = 1024,
    ) -> Subscription:
        """Subscribes to the events that match all arguments.

        A callback is called for every event, one at a time, on a thread of the subscription's
        own. In a manager without a background thread, the thread that calls `poll` calls it.
        It may call anything in this package. What it raises goes to `sys.unraisablehook`, is
        counted (`event_counts`), and stops nothing.

        Without a callback this returns an `EventStream`, to iterate over.

        Args:
            callback: called with one `Event`.
            connection: only events of connections with this identifier, in any scope
                unless one is given.
            scope: only events of its connections; `NO_SCOPE`: only of those without one.
            events: only these types: an `EventType` or its name, or several.
            filter: only events for which this function returns true. It runs on the thread that
                runs the callback, or that iterates over the stream.
            capacity: how many events can wait, 1 to 16 777 216. When it is full,
                `success`, `failure`, `probe` and `call_rejected` are dropped, and others
                of one type and connection are merged into the latest of them.

        Raises:
            InvalidArgument, InvalidConfig, ShutDown
            TypeError: the callback or the filter is an `async def`, or not callable.
            BramaError: the callback needs a thread, and none can be started.
        """
        for name, function in (("callback", callback), ("filter", filter)):
            if function is not None:
                refuse_coroutines(name, function)
        pattern = self._pattern(connection, scope, events)
        room = _values.whole(
            "capacity", capacity, _values.LARGEST_U64, rule="must be 1 to 16777216"
        )
        queue = self._native.queue(*pattern, room)
        if callback is None:
            stream = EventStream(self, queue, filter, self._errors)
            _lifecycle.watch(stream)
            return stream
        subscription = CallbackSubscription(self, queue, filter, self._errors, callback)
        self._served.add(subscription)
        _lifecycle.watch(subscription)
        return subscription

    def events(
        self,
        events: EventTypes = None,
        *,
        connection: Optional[str] = None,
        scope: Optional[str] = None,
        filter: Optional[Predicate] = None,
        capacity: int = 1024,
    ) -> EventStream:
        """`subscribe` without a callback: `async for event in brama.events("expiry"):`."""
        return self.subscribe(
            connection=connection, scope=scope, events=events, filter=filter, capacity=capacity
        )

    def unsubscribe(
        self,
        subscription: Optional[Subscription] = None,
        *,
        connection: Optional[str] = None,
        scope: Optional[str] = None,
        events: EventTypes = None,
    ) -> None:
        """Ends one subscription, or every subscription that matches a pattern, or all.

        The keywords are the pattern. A subscription matches it if it was made with the same
        connection and scope, where the pattern names them, and wants no type beyond those of
        the pattern. When this has returned (called from outside a callback), no callback of an
        ended subscription is running, and none will run again.

        Raises:
            InvalidArgument: the pattern is not valid.
        """
        if subscription is not None:
            if not isinstance(subscription, Subscription):
                raise _values.wrong_type("subscription", subscription, "a brama.Subscription")
            subscription.unsubscribe()
            return
        self._native.unsubscribe(*self._pattern(connection, scope, events))
        for served in list(self._served):
            if not served.active:
                served.unsubscribe()

    @staticmethod
    def _pattern(
        connection: Optional[str], scope: Optional[str], events: EventTypes
    ) -> Tuple[int, Optional[bytes], Optional[bytes]]:
        return (
            bits_of(events),
            None if connection is None else _values.name("connection", connection),
            None if scope is None else _values.name("scope", scope),
        )

    def event_counts(self) -> EventCounts:
        """How many events were published, delivered, dropped and merged. Exact while no event is
        being reported or delivered."""
        counts = self._native.event_counts()
        return EventCounts(
            counts.published,
            counts.delivered,
            counts.dropped,
            counts.coalesced,
            self._errors.count,
            bool(counts.background_running),
        )

    def _is_inside_callback(self) -> bool:
        here = threading.get_ident()
        return any(served._server == here for served in list(self._served))

    def _forget(self, subscription: CallbackSubscription) -> None:
        self._served.discard(subscription)
