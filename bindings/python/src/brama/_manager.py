"""Managers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Callable, Dict, List, Mapping, Optional, Union

from . import _abi, _ffi, _settings, _values
from ._circuit import Circuit, F
from ._clock import ManualClock
from ._connection import Connection, expiry_of, rejected
from ._errors import InvalidArgument
from ._permit import Guard, Permit
from ._policy import Classifier, Exceptions, Policy
from ._settings import ConnectionSettings, ManagerSettings, Never
from ._publisher import Publisher
from ._status import State, StateCounts, Status, state_of, status_of
from ._values import Duration, key

if TYPE_CHECKING:
    from typing_extensions import Unpack


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

    @classmethod
    def _of_process(cls) -> Brama:
        """The process-wide one, which the library makes on first use."""
        manager = cls.__new__(cls)
        Publisher.__init__(manager, _ffi.Manager(None), True)
        return manager

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
        name, given = key(identifier, scope), _settings.of_connection(settings)
        return Connection(self, self._native.register(name, *given), identifier, scope)

    def get_or_register(
        self,
        identifier: str,
        *,
        scope: Optional[str] = None,
        **settings: Unpack[ConnectionSettings],
    ) -> Connection:
        """`register`, or the existing connection, whose settings stay as they are.

        If it was given others, an event of type `notice` says so, once for each connection.
        """
        name, given = key(identifier, scope), _settings.of_connection(settings)
        return Connection(self, self._native.get_or_register(name, *given), identifier, scope)

    def connection(self, identifier: str, *, scope: Optional[str] = None) -> Connection:
        """A handle of a registered connection.

        Raises:
            NotFound, InvalidArgument, ShutDown
        """
        return Connection(self, self._native.connection(key(identifier, scope)), identifier, scope)

    def unregister(self, identifier: str, *, scope: Optional[str] = None) -> None:
        """Removes a connection. Its handles raise `NotFound` from now on.

        Raises:
            NotFound, InvalidArgument, ShutDown
        """
        self._native.unregister(key(identifier, scope))

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
        return Permit(self._admit(identifier, scope))

    def _admit(self, identifier: str, scope: Optional[str]) -> _ffi.Ticket:
        code, ticket, wait = self._native.acquire(key(identifier, scope))
        if code == _abi.OK:
            return ticket
        if code == _abi.REJECTED:
            raise rejected(wait, identifier, scope)
        raise _ffi.failed(code)

    def guard(
        self,
        identifier: str,
        *,
        scope: Optional[str] = None,
        include: Optional[Exceptions] = None,
        exclude: Exceptions = (),
        classify: Optional[Classifier] = None,
    ) -> Guard:
        """A block whose outcome is reported: `with brama.guard("payment_api"):`.

        Also for `async with`. The name must be registered (or the manager's
        `auto_register` on).

        Args:
            include: exceptions that count as failures; None: every `Exception`.
            exclude: exceptions that do not.
            classify: given the exception, answers an `Outcome`, or None to leave it to
                `include` and `exclude`.

        Raises, when entered:
            CircuitOpen: the circuit does not admit the call.
            NotFound, ShutDown
        """
        key(identifier, scope)  # What can be no name is told here.
        policy = Policy(include, exclude, classify)
        return Guard(lambda: self._admit(identifier, scope), policy)

    def circuit(
        self,
        identifier: str,
        *,
        scope: Optional[str] = None,
        include: Optional[Exceptions] = None,
        exclude: Exceptions = (),
        classify: Optional[Classifier] = None,
        fallback: Optional[Callable[..., Any]] = None,
        **settings: Unpack[ConnectionSettings],
    ) -> Callable[[F], F]:
        """Decorates a function, `def` or `async def`, whose calls are then guarded.

        The connection is registered unless it is; then its settings stay as they are.
        What is raised passes through; an `Exception` is a failure unless it is told
        otherwise here. `asyncio.CancelledError`, `KeyboardInterrupt`, `SystemExit` and
        `GeneratorExit` are always ignored.

        Args:
            include: exceptions that count as failures; None: every `Exception`. Others
                are ignored: neither success nor failure.
            exclude: exceptions that are ignored.
            classify: given the result or the exception, answers an `Outcome`, or None to
                leave it to `include` and `exclude`.
            fallback: called with the same arguments instead, when the circuit does not
                admit the call. For an `async def` it may be one too.
            settings: see `ConnectionSettings`.

        Raises, when the decorated function is called:
            CircuitOpen: the circuit does not admit the call, and there is no fallback.
            ShutDown

        Raises, when decorating:
            TypeError: not a function, or a generator, whose call does no work.
            InvalidArgument, InvalidConfig, ShutDown
        """
        if callable(identifier):
            raise TypeError('a circuit needs a name: @circuit("payment_api")')
        policy = Policy(include, exclude, classify)
        # The connection is registered once the function is known to be one.
        _settings.of_connection(settings)
        key(identifier, scope)

        def decorate(function: F) -> F:
            circuit = Circuit(self, identifier, scope, dict(settings), policy, fallback, function)
            decorated: F = circuit.decorated
            return decorated

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
        """Does what is due: expiries, cleanup, and without a background thread callbacks.

        Inside a callback it does nothing. With a background thread it is harmless.

        Raises:
            ShutDown
        """
        if self._is_inside_callback():
            return
        self._native.poll()
        if not self._background:
            for served in list(self._served):
                served.serve()

    def shutdown(self) -> None:
        """Shuts the manager down: no call is admitted any more, every operation raises
        `ShutDown`, its threads are joined, what waits is delivered, subscriptions end.

        Inside a callback it returns at once, and the rest happens when the callback has
        returned. Further calls do nothing. May wait for a callback under way.
        """
        self._native.shutdown()
        if self._is_inside_callback():
            return
        for served in list(self._served):
            served.finish()
            self._forget(served)

    def __repr__(self) -> str:
        counts = self.state_counts()
        closed, half_open = counts.closed, counts.half_open
        return f"<brama.Brama: {closed} closed, {counts.open} open, {half_open} half-open>"
