"""Managers."""

from __future__ import annotations

import time
from typing import Any, Dict, List, Mapping, Optional, Union, overload

from . import _abi, _ffi, _settings, _values
from ._clock import ManualClock
from ._connection import Connection, expiry_of
from ._errors import InvalidArgument
from ._guarded_calls import GuardedCalls
from ._settings import ConnectionSettings, ManagerSettings, Never, Unpack
from ._status import State, StateCounts, Status, state_of, status_of
from ._subscription import is_inside_callback, serve_all
from ._values import Duration, Lasted, key


class Brama(GuardedCalls):
    """A manager: registers connections, decides which calls may pass, counts their outcomes.

    Any number of threads may share it. A manager without references is shut down.

    Args:
        clock: tells the time instead of the machine's clock.
        background: whether the manager has a thread for expiries, cleanup and the delivery
            of events. Without it, call `poll` now and then. States and admissions are right
            without either.
        event_capacity: how many events can wait to be delivered, 1 to 16 777 216.
        settings: see `ManagerSettings`. They apply to connections that do not set them.

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

    _instead = "make one there, or use its circuits by name"

    @classmethod
    def _of_process(cls) -> Brama:
        """The process-wide manager, which the library makes on first use."""
        manager = cls.__new__(cls)
        GuardedCalls.__init__(manager, _ffi.Manager(None), True)
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
            scope: the same, or None for no scope. A name without a scope differs from the
                same identifier in any scope.
            settings: see `ConnectionSettings`. A setting that is not given follows the
                manager's.

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
        """`register`, or the existing connection, whose settings stay as they are.

        If it has other settings than those given, a `UserWarning` says so, once for each
        name, and an event of type `notice`, once for each connection.
        """
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
        """False only while the circuit is open, and for an unknown name.

        A half-open circuit may still reject the call: while its probes are out, and in a ramp. So
        this is also True when `acquire` would raise. It takes no permit and changes nothing.
        In the modes `"disabled"` and `"shadow"` it is True. After a shutdown it is False.

        Raises:
            InvalidArgument: the identifier or the scope is not valid.
        """
        return self._native.available(key(identifier, scope))

    def state(self, identifier: str, *, scope: Optional[str] = None) -> State:
        """The state as of now; `State.UNKNOWN` for a name that is not registered.

        Raises:
            InvalidArgument: the identifier or the scope is not valid.
        """
        return state_of(self._native.state(key(identifier, scope)))

    def success(
        self,
        identifier: str,
        *,
        scope: Optional[str] = None,
        metadata: Optional[Mapping[str, str]] = None,
        duration: Optional[Lasted] = None,
    ) -> None:
        """Reports a success without a permit. While half-open it counts like a probe's.

        Args:
            metadata: strings for the events.
            duration: how long the call has lasted, in milliseconds, which may have a fraction, or
                as a timedelta; None: that is not known. Rounded down to a whole millisecond, and
                compared with `slow_call_duration`, where that is set.

        Raises:
            NotFound, InvalidArgument, ShutDown
        """
        name, lasted = key(identifier, scope), _values.lasted(duration)
        self._native.success(name, _values.details(metadata), lasted)

    def failure(
        self,
        identifier: str,
        *,
        scope: Optional[str] = None,
        reason: Optional[str] = None,
        metadata: Optional[Mapping[str, str]] = None,
        duration: Optional[Lasted] = None,
        retry_after: Optional[Duration] = None,
    ) -> int:
        """Reports a failure without a permit. While half-open it counts like a probe's.

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
            NotFound, InvalidArgument, ShutDown
        """
        name, lasted = key(identifier, scope), _values.lasted(duration)
        wait = _values.wait("retry_after", retry_after)
        text, pairs = _values.reason(reason), _values.details(metadata)
        return self._native.failure(name, text, pairs, wait, lasted)

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
            reason: why, for the events and the status.
            expiry: how long it stays open this time; `NEVER`: until a program closes or
                resets it; None: as its settings say.
            metadata: strings for the events.

        Raises:
            NotFound, InvalidArgument, ShutDown
        """
        name, until = key(identifier, scope), expiry_of(expiry)
        self._native.open(name, _values.reason(reason), _values.details(metadata), until)

    def close_circuit(self, identifier: str, *, scope: Optional[str] = None) -> None:
        """Closes a circuit. Its count of failures stays: one more failure may open it again.

        Raises:
            NotFound, InvalidArgument, ShutDown
        """
        self._native.control("close", key(identifier, scope))

    def half_open_circuit(self, identifier: str, *, scope: Optional[str] = None) -> None:
        """Lets probes through now. Does nothing if the circuit is half-open.

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
        """Resets every circuit. After a shutdown there is none."""
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
            InvalidArgument: the scope is not valid.
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

    # The state of all circuits, as bytes.

    def save(self) -> bytes:
        """The state of every circuit, for `restore`: in this process later, in the next one,
        or on another machine.

        Of each circuit: its name, its state, how long an opening has still to run, its trips,
        its failures in a row, why it opened last, the reason of its last failure, and its
        totals. Not saved are settings, metadata, windows, rates, the times of reports, and what
        waits for a registration. A circuit in the mode `"disabled"` is saved in the state that
        applies when the mode ends. Save before `shutdown`: afterwards there are no circuits.

        Raises:
            ShutDown
        """
        return self._native.save()

    def restore(self, data: Union[bytes, bytearray, memoryview]) -> int:
        """Restores circuits from what `save` returned.

        A restore is a transition by hand: permits that were given before are stale, and
        subscribers get its events. An opening goes on for the time that it had left, less the
        time since the save by the wall clock. A half-open circuit has no successes, windows and
        rates are empty, and the totals become the saved ones, unless they are higher already.

        A circuit that has changed its state since it was saved is left alone and not counted.
        A registration is not such a change, another restore is. In the mode `"disabled"` the
        restore takes effect when the mode ends, and its events are `deferred`.

        All of the data is checked before anything is changed.

        Args:
            data: what `save` returned, also a `bytearray` or a `memoryview` of it.

        Returns:
            How many circuits were restored, or wait because no connection of their name is
            registered. The first registration of the name restores those.

        Raises:
            InvalidArgument: the data is damaged, cut off, of another version, or no save;
                nothing was changed.
            TypeError: the data is not bytes.
            ShutDown
        """
        return self._native.restore(_values.data(data))

    # Polling and shutdown.

    def poll(self) -> None:
        """Handles expiries and cleanup that are due, and runs callbacks that have no thread.

        Inside a callback it does nothing. With a background thread it is harmless. A
        `KeyboardInterrupt` in a callback is raised here after all callbacks have run. After a
        shutdown it does nothing.
        """
        if self._is_inside_callback():
            return
        self._native.poll()
        serve_all(list(self._served))

    def shutdown(self, timeout: Optional[Duration] = None) -> int:
        """Shuts the manager down.

        It admits no call any more, and has no connections. Operations raise `ShutDown`, except
        these: `available` returns False, `state` returns `"unknown"`, `snapshot` is empty, and
        `state_counts` are zero. `event_counts` still counts. `poll`, `reset_all`, `unsubscribe` and
        `shutdown` do nothing.

        Waiting events are delivered to callbacks, subscriptions end, and threads are joined.

        When the time is over, waiting events are not delivered any more. A callback that is
        running goes on, and nothing waits for it. Events in an `EventStream` can still be
        taken out of it, and are not counted here.

        Inside a callback, of whatever manager, it does not wait, and the rest happens when
        the callback has returned. Further calls do nothing.

        Args:
            timeout: how long to wait at most, in milliseconds or as a timedelta; None: as long
                as the callbacks take. Without a background thread callbacks run here, and
                the time is checked between two of them.

        Returns:
            How many events were not delivered. A callback that is still running counts as
            one, and an event that two callbacks did not get counts twice.

        Raises:
            InvalidArgument: the time is negative, or 2**63 ms or more.
        """
        ms = None
        if timeout is not None:
            ms = _values.milliseconds("timeout", timeout, InvalidArgument, smallest=0)
        deadline = None if ms is None else time.monotonic() + ms / 1000
        left = self._native.shutdown(_abi.NEVER if ms is None else ms)
        if is_inside_callback():
            return left
        for served in list(self._served):
            left += served.finish(deadline)
            self._forget(served)
        return left

    def __repr__(self) -> str:
        counts = self.state_counts()
        closed, half_open = counts.closed, counts.half_open
        return f"<brama.Brama: {closed} closed, {counts.open} open, {half_open} half-open>"
