"""Managers."""

from __future__ import annotations

import functools
import weakref
from typing import TYPE_CHECKING, Any, Callable, Dict, List, Mapping, Optional, Union
from typing import overload

from . import _ffi, _settings, _values
from ._circuit import F, Identifier, decorated
from ._clock import ManualClock
from ._connection import Connection, expiry_of
from ._errors import CircuitOpen, InvalidArgument, NotFound
from ._fallback import FallbackOn, check as check_fallback
from ._guard import Guard, guard_of
from ._handle import Handle
from ._names import TRIES, Names
from ._permit import Permit
from ._policy import DEFAULT, Classifier, Exceptions, machine_ms, policy_of
from ._publisher import Publisher
from ._settings import ConnectionSettings, ManagerSettings, Never, Unpack
from ._status import State, StateCounts, Status, state_of, status_of
from ._subscription import is_inside_callback, serve_all
from ._values import Duration, key


class Brama(Publisher):
    """A manager: registers connections, decides which calls may pass, keeps the books.

    Any number of threads may share it. One that nobody refers to any more is shut down.

    Args:
        clock: tells the time instead of the machine's clock.
        background: whether a thread of the manager's does what is due when nobody calls.
            Without it, call `poll` now and then; correctness does not depend on it.
        event_capacity: how many happenings can wait to be delivered, 1 to 16 777 216.
        settings: see `ManagerSettings`. They hold for connections that do not set them.

    Raises:
        InvalidConfig: a value is not allowed; the message names it.
        TypeError: an unknown setting, or a wrong type.
    """

    def __init__(
        self,
        *,
        clock: Optional[ManualClock] = None,
        background: bool = True,
        event_capacity: int = 1024,
        **settings: Unpack[ManagerSettings],
    ) -> None:
        given: Dict[str, Any] = {"background": background, "event_capacity": event_capacity}
        if clock is not None:
            given["clock"] = clock
        fields = _settings.of_new_manager({**given, **settings})
        super().__init__(_ffi.Manager(fields), background)
        self._begin(machine_ms if clock is None else clock._clock.unix_ms)

    _instead = "make one there, or use its circuits by name"

    @classmethod
    def _of_process(cls) -> Brama:
        """The process-wide one, which the library makes on first use."""
        manager = cls.__new__(cls)
        Publisher.__init__(manager, _ffi.Manager(None), True)
        manager._begin(machine_ms)
        return manager

    def _begin(self, now: Callable[[], int]) -> None:
        self._now = now
        self._names = Names(self._native)
        #: Guards of healthy circuits, by identifier, and by identifier and scope.
        self._guards: Dict[Any, Guard] = {}

    # Connections.

    def register(
        self,
        identifier: str,
        *,
        scope: Optional[str] = None,
        **settings: Unpack[ConnectionSettings],
    ) -> Connection:
        """Registers a connection, closed.

        Args:
            identifier: 1 to 1024 bytes of UTF-8 without NUL.
            scope: the same, or None, which is not the same as any scope.
            settings: see `ConnectionSettings`; what is not given follows the manager's.

        Raises:
            AlreadyRegistered: the existing connection is left as it is.
            InvalidArgument, InvalidConfig, ShutDown
            TypeError: an unknown setting, or a wrong type.
        """
        given = _settings.of_connection(settings)
        return Connection(self, self._names.register(identifier, scope, *given))

    def get_or_register(
        self,
        identifier: str,
        *,
        scope: Optional[str] = None,
        **settings: Unpack[ConnectionSettings],
    ) -> Connection:
        """`register`, or the existing connection, whose settings stay as they are."""
        given = _settings.of_connection(settings)
        return Connection(self, self._names.get_or_register(identifier, scope, *given))

    def connection(self, identifier: str, *, scope: Optional[str] = None) -> Connection:
        """A handle of a registered connection.

        Raises:
            NotFound, InvalidArgument, ShutDown
        """
        return Connection(self, self._names.connection(identifier, scope))

    def unregister(self, identifier: str, *, scope: Optional[str] = None) -> None:
        """Removes a connection. Its handles raise `NotFound` from now on.

        Raises:
            NotFound, InvalidArgument, ShutDown
        """
        self._native.unregister(key(identifier, scope))

    @overload
    def configure(
        self,
        identifier: str,
        *,
        scope: Optional[str] = None,
        **settings: Unpack[ConnectionSettings],
    ) -> None: ...

    @overload
    def configure(self, identifier: None = None, **settings: Unpack[ManagerSettings]) -> None: ...

    def configure(
        self,
        identifier: Optional[str] = None,
        *,
        scope: Optional[str] = None,
        **settings: Any,
    ) -> None:
        """Changes the settings that are named, all at once; the others stay.

        Counts, deadlines and permits survive.

        Args:
            identifier: the connection; None for the manager's own settings, which
                connections follow where they have none of their own.
            scope: the connection's.
            settings: see `ConnectionSettings`, or `ManagerSettings` without an identifier.

        Raises:
            InvalidConfig: a value is not allowed; nothing was changed.
            TypeError: an unknown setting, or a wrong type.
            NotFound, InvalidArgument, ShutDown
        """
        if identifier is not None:
            name = key(identifier, scope)
            self._native.configure_connection(name, *_settings.of_connection(settings))
        elif scope is not None:
            raise InvalidArgument(
                f"invalid argument `scope` = {scope!r:.60}: goes with an identifier"
            )
        else:
            self._native.configure(_settings.of_manager(settings))

    # Ask, call, report.

    def available(self, identifier: str, *, scope: Optional[str] = None) -> bool:
        """Whether a call would be admitted now: False also for an unknown name.

        A pure question: it takes no permit.

        Raises:
            InvalidArgument: this can be no name.
        """
        return self._native.available(key(identifier, scope))

    def state(self, identifier: str, *, scope: Optional[str] = None) -> State:
        """The state as of now; `State.UNKNOWN` for a name that is not registered.

        Raises:
            InvalidArgument: this can be no name.
        """
        return state_of(self._native.state(key(identifier, scope)))

    def success(
        self,
        identifier: str,
        *,
        scope: Optional[str] = None,
        metadata: Optional[Mapping[str, str]] = None,
    ) -> None:
        """Reports a success without a permit. While half-open it counts like a probe's.

        Args:
            metadata: strings for the events.

        Raises:
            NotFound, InvalidArgument, ShutDown
        """
        self._native.success(key(identifier, scope), _values.metadata(metadata))

    def failure(
        self,
        identifier: str,
        *,
        scope: Optional[str] = None,
        reason: Optional[str] = None,
        metadata: Optional[Mapping[str, str]] = None,
    ) -> int:
        """Reports a failure without a permit. While half-open it counts like a probe's.

        Args:
            reason: why, for the events.
            metadata: strings for the events.

        Returns:
            How many failures count now: in a row, or inside the window.

        Raises:
            NotFound, InvalidArgument, ShutDown
        """
        text, pairs = _values.reason(reason), _values.metadata(metadata)
        return self._native.failure(key(identifier, scope), text, pairs)

    # Guarded calls.

    def acquire(self, identifier: str, *, scope: Optional[str] = None) -> Permit:
        """Asks for admission.

        Returns:
            A permit, to be reported once.

        Raises:
            CircuitOpen: the circuit does not admit the call.
            NotFound, InvalidArgument, ShutDown
        """
        names = self._names
        for _ in range(TRIES):
            known = names.recent(identifier, scope)
            handle = known or names.keep(names.connection(identifier, scope))
            answer = handle.admit(handle.word.value, riding=False)
            if isinstance(answer, CircuitOpen):
                try:
                    raise answer
                finally:
                    del answer  # Else it would refer to itself, by its traceback.
            if answer is not None:
                return Permit(answer)
            names.forget(handle)
        raise NotFound(f"connection {identifier!r} is unregistered again and again")

    def guard(
        self,
        identifier: str,
        *,
        scope: Optional[str] = None,
        include: Optional[Exceptions] = None,
        exclude: Exceptions = (),
        classify: Optional[Classifier] = None,
        cancelled_after: Optional[Duration] = None,
    ) -> Guard:
        """A block whose outcome is reported: `with brama.guard("payment_api"):`.

        Also for `async with`. The name must be registered (or the manager's
        `auto_register` on). The guard may be used again, and by several threads and tasks
        at once. While the circuit is half-open, a block inside another guarded call of it
        rides on that one: it takes no place and reports nothing.

        Args:
            include: exceptions that count as failures, a class or several, of whatever
                kind; None: every `Exception` but rejections.
            exclude: exceptions that do not.
            classify: given the exception, or what the block gives to `result`, answers an
                `Outcome`, or None to leave it to `include` and `exclude`. It is asked about
                cancellations, too.
            cancelled_after: a cancellation counts as a failure if the block had lasted so
                long. None: cancellations are ignored.

        Raises, when entered:
            CircuitOpen: the circuit does not admit the call.
            NotFound, ShutDown
        """
        policy = policy_of(include, exclude, classify, cancelled_after, self._now)
        key(identifier, scope)  # What can be no name is told here.
        known = None
        name: Any = None
        if policy is DEFAULT:
            name = identifier if scope is None else (identifier, scope)
            guard = self._guards.get(name)
            if guard is not None:
                return guard
            known = self._names.recent(identifier, scope)
        me, names = weakref.ref(self), self._names

        def resolve() -> Handle:
            return names.keep(names.connection(identifier, scope))

        def forget() -> None:
            manager = me()
            if manager is not None and policy is DEFAULT:
                manager._guards.pop(name, None)

        guard = guard_of(known, policy, resolve, forget)
        if known is not None and known.passes() is not None:
            names.bound(self._guards)
            self._guards[name] = guard
        return guard

    if not TYPE_CHECKING:
        _guard = guard

        # The guard of a healthy circuit, by its name alone, in the shortest time.
        @functools.wraps(_guard)
        def guard(self, identifier, **options):
            if not options:
                try:
                    return self._guards[identifier]
                except (KeyError, TypeError):
                    pass
            return self._guard(identifier, **options)

    def circuit(
        self,
        identifier: Identifier,
        *,
        scope: Optional[str] = None,
        include: Optional[Exceptions] = None,
        exclude: Exceptions = (),
        classify: Optional[Classifier] = None,
        cancelled_after: Optional[Duration] = None,
        fallback: Optional[Callable[..., Any]] = None,
        fallback_on: FallbackOn = "rejection",
        **settings: Unpack[ConnectionSettings],
    ) -> Callable[[F], F]:
        """Decorates a function, `def` or `async def`, whose calls are then guarded.

        The connection is registered unless it is; then its settings stay as they are.
        What is raised passes through; an `Exception` is a failure unless it is told
        otherwise here. What is no `Exception` is ignored, `asyncio.CancelledError` for
        example; so is a rejection by another circuit.

        A plain function may return an awaitable; the outcome is then that of the awaitable.
        Generators and context managers made of them are refused.

        While the circuit is half-open, a call inside another guarded call of it rides on
        that one: it takes no place and reports nothing.

        Args:
            identifier: the connection's, or a function of the call's arguments that answers
                it: a circuit for each host, for example.
            include: exceptions that count as failures, a class or several, of whatever
                kind; None: every `Exception` but rejections. Others are ignored: neither
                success nor failure.
            exclude: exceptions that are ignored.
            classify: given the result or the exception, answers an `Outcome`, or None to
                leave it to `include` and `exclude`. It is asked about cancellations, too,
                and about each exception of a group.
            cancelled_after: a cancellation counts as a failure if the call had lasted so
                long. None: cancellations are ignored.
            fallback: called with the same arguments instead. For an `async def` it may be
                one too. If it has a keyword-only parameter `error`, it is given the
                exception, or None if `classify` has called a result a failure.
            fallback_on: when it is called: on a `"rejection"`, on a `"failure"`, or on
                `"both"`.
            settings: see `ConnectionSettings`.

        Raises, when the decorated function is called:
            CircuitOpen: the circuit does not admit the call, and there is no fallback.
            ShutDown

        Raises, when decorating:
            TypeError: not a function, or a generator, whose call does no work.
            InvalidArgument, InvalidConfig, ShutDown
        """
        policy = policy_of(include, exclude, classify, cancelled_after, self._now)
        # The connection is registered once the function is known to be one.
        fields, pairs = _settings.of_connection(settings)
        if not callable(identifier):
            key(identifier, scope)
        elif scope is not None:
            _values.name("scope", scope)
        check_fallback(fallback_on, fallback)

        def decorate(function: F) -> F:
            guarded: F = decorated(
                function,
                self._names,
                identifier,
                scope,
                fields,
                pairs,
                policy,
                fallback,
                fallback_on,
            )
            return guarded

        return decorate

    # Circuits by hand.

    def open_circuit(
        self,
        identifier: str,
        *,
        scope: Optional[str] = None,
        reason: Optional[str] = None,
        expiry: Union[Duration, Never, None] = None,
        metadata: Optional[Mapping[str, str]] = None,
    ) -> None:
        """Opens a circuit, or moves the deadline of an open one.

        Args:
            reason: why, for the events.
            expiry: how long it stays open this time; `NEVER`: until somebody closes or
                resets it; None: as its settings say.
            metadata: strings for the events.

        Raises:
            NotFound, InvalidArgument, ShutDown
        """
        name, until = key(identifier, scope), expiry_of(expiry)
        self._native.open(name, _values.reason(reason), _values.metadata(metadata), until)

    def close_circuit(self, identifier: str, *, scope: Optional[str] = None) -> None:
        """Closes a circuit. Its count of failures stays: one more may open it again.

        Raises:
            NotFound, InvalidArgument, ShutDown
        """
        self._native.control("close", key(identifier, scope))

    def half_open_circuit(self, identifier: str, *, scope: Optional[str] = None) -> None:
        """Lets probes through now.

        Raises:
            NotFound, InvalidArgument, ShutDown
        """
        self._native.control("half_open", key(identifier, scope))

    def reset_circuit(self, identifier: str, *, scope: Optional[str] = None) -> None:
        """Closes a circuit and forgets its count, its window and its openings.

        The totals stay.

        Raises:
            NotFound, InvalidArgument, ShutDown
        """
        self._native.control("reset", key(identifier, scope))

    def reset_all(self) -> None:
        """Resets every circuit.

        Raises:
            ShutDown
        """
        self._native.reset_all()

    # Monitoring.

    def status(self, identifier: str, *, scope: Optional[str] = None) -> Status:
        """The health of a connection, consistent with itself. Registers nothing.

        Raises:
            NotFound, InvalidArgument, ShutDown
        """
        words, metadata = self._native.status(key(identifier, scope))
        return status_of(words, metadata, identifier, scope)

    def snapshot(self, *, scope: Optional[str] = None) -> List[Status]:
        """The status of every connection, ordered by scope and identifier.

        Each is consistent with itself; together they are not one instant.

        Args:
            scope: only its connections; `NO_SCOPE`: only those without one; None: all.

        Raises:
            InvalidArgument: this can be no scope.
        """
        wanted = None if scope is None else _values.name("scope", scope)
        return [
            status_of(words, metadata, words.identifier.decode(), _ffi.text(words.scope))
            for words, metadata in self._native.snapshot(wanted)
        ]

    def state_counts(self) -> StateCounts:
        """How many connections are in each state."""
        counts = self._native.state_counts()
        return StateCounts(counts.closed, counts.open, counts.half_open)

    # Time passes, and ends.

    def poll(self) -> None:
        """Does what is due: expiries, cleanup, and callbacks that have no thread.

        Inside a callback it does nothing. With a background thread it is harmless. A
        `KeyboardInterrupt` in a callback comes out when all have been served.

        Raises:
            ShutDown
        """
        if self._is_inside_callback():
            return
        self._native.poll()
        serve_all(list(self._served))

    def shutdown(self) -> None:
        """Shuts the manager down: no call is admitted any more, every operation raises
        `ShutDown`, its threads are joined, what waits is delivered, subscriptions end.

        Inside a callback, of whatever manager, it does not wait, and the rest happens when
        the callback has returned. Further calls do nothing. May wait for a callback under
        way.
        """
        self._native.shutdown()
        if is_inside_callback():
            return
        for served in list(self._served):
            served.finish()
            self._forget(served)

    def __repr__(self) -> str:
        counts = self.state_counts()
        closed, half_open = counts.closed, counts.half_open
        return f"<brama.Brama: {closed} closed, {counts.open} open, {half_open} half-open>"
