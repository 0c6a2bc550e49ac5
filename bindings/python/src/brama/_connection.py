"""Handles of connections: the name is looked up once, when the handle is made."""

from __future__ import annotations

import functools
import weakref
from typing import TYPE_CHECKING, Any, Callable, Mapping, Optional, TypeVar, Union

import brama

from . import _abi, _settings, _values
from ._circuit import F
from ._errors import CircuitOpen, InvalidArgument, NotFound
from ._fallback import FallbackOn
from ._guard import Guard, guard_of
from ._handle import Handle
from ._names import Fixed
from ._owner import Unshared
from ._permit import Permit
from ._policy import DEFAULT, Classifier, Exceptions, policy_of
from ._run import Runner
from ._settings import ConnectionSettings, Never, ParamSpec, Unpack
from ._status import State, Status, state_of, status_of
from ._values import Duration, Lasted

P = ParamSpec("P")
T = TypeVar("T")


def expiry_of(expiry: Union[Duration, Never, None]) -> int:
    """The argument of `open_circuit`."""
    if expiry is None:
        return _abi.NOT_GIVEN_U64
    if isinstance(expiry, Never):
        return _abi.NEVER
    return _values.milliseconds("expiry", expiry, InvalidArgument)


class Connection(Unshared):
    """A handle of a connection, for hot paths. Any number of threads may share it.

    Made by `Brama.register`, `get_or_register` and `connection`. It stays safe to use after
    the connection was unregistered or cleaned up. Then operations on the connection raise
    `NotFound`, except `available`, `state`, and `circuit`, which registers the name again.
    After the manager was shut down they raise `ShutDown`, except `available` and `state`.
    """

    __slots__ = ("__weakref__", "_guard", "_handle", "_manager", "_runner")

    _instead = "call `get_or_register` with its identifier and scope there"

    def __init__(self, manager: brama.Brama, handle: Handle) -> None:
        self._manager = manager
        self._handle = handle
        self._guard: Optional[Guard] = None
        self._runner: Optional[Runner] = None

    @property
    def identifier(self) -> str:
        """The connection's identifier."""
        return self._handle.identifier

    @property
    def scope(self) -> Optional[str]:
        """The connection's scope, or None."""
        return self._handle.scope

    def available(self) -> bool:
        """False only while the circuit is open, and for a connection that is gone.

        A half-open circuit may still reject the call: while its probes are out, and in a ramp. So
        this is also True when `acquire` would raise. It takes no permit and changes nothing.
        In the modes `"disabled"` and `"shadow"` it is True. After a shutdown it is False.
        """
        return self._handle.available()

    def state(self) -> State:
        """The state as of now; `State.UNKNOWN` if the connection is not registered any more."""
        return state_of(self._handle.state())

    def status(self) -> Status:
        """The health of the connection, consistent with itself.

        Raises:
            NotFound, ShutDown
        """
        words, metadata = self._handle.status()
        return status_of(words, metadata, self.identifier, self.scope)

    def success(
        self,
        *,
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
            InvalidArgument: `duration` is negative or not finite; nothing was reported.
            NotFound, ShutDown
        """
        lasted = _values.lasted(duration)
        self._handle.success(_values.details(metadata), lasted)

    def failure(
        self,
        reason: Optional[str] = None,
        *,
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
                timedelta, as HTTP says it with `Retry-After`; None: it has not said.
                A closed or half-open circuit opens at once for this time, prolonged by `jitter`,
                whatever its rules say. While the circuit is open already, the wait changes
                nothing: the failure is in the totals, is the last failure, and has its event,
                but `failure_count` is not raised. A wait above 24 h is cut to 24 h, before
                `jitter`. A wait below a millisecond is no wait.

        Returns:
            How many failures count now: in a row, or inside the window.

        Raises:
            InvalidArgument: `duration` or `retry_after` is negative, or `duration` is not finite;
                nothing was reported.
            NotFound, ShutDown
        """
        wait, lasted = _values.wait("retry_after", retry_after), _values.lasted(duration)
        text, pairs = _values.reason(reason), _values.details(metadata)
        return self._handle.failure(text, pairs, wait, lasted)

    def acquire(self) -> Permit:
        """Asks for admission.

        Returns:
            A permit, to be reported once.

        Raises:
            CircuitOpen: the circuit does not admit the call.
            NotFound, ShutDown
        """
        answer = self._handle.admit(self._handle.word.value, riding=False)
        if isinstance(answer, CircuitOpen):
            try:
                raise answer
            finally:
                del answer  # Else its traceback would refer to it: a cycle.
        if answer is None:
            raise self._gone()
        return Permit(answer)

    def _gone(self) -> Exception:
        """Raises or returns the error of a connection that is not registered any more."""
        self._handle.status()
        return NotFound(f"connection {self.identifier!r} is not registered any more")

    def guard(
        self,
        *,
        include: Optional[Exceptions] = None,
        exclude: Exceptions = (),
        classify: Optional[Classifier] = None,
    ) -> Guard:
        """A block whose outcome is reported; see `Brama.guard`."""
        policy = policy_of(include, exclude, classify)
        if policy is DEFAULT and self._guard is not None:
            return self._guard
        handle, me = self._handle, weakref.ref(self)

        def resolve() -> Handle:
            handle.status()  # Raises `NotFound`.
            return handle

        def forget() -> None:
            connection = me()
            if connection is not None:
                connection._guard = None

        guard = guard_of(handle, policy, resolve, forget)
        if policy is DEFAULT and handle.is_closed():
            self._guard = guard
        return guard

    if not TYPE_CHECKING:
        _make_guard = guard

        # The fast path: the guard of a healthy circuit that an earlier call has made.
        @functools.wraps(_make_guard)
        def guard(self, **options):
            return self._guard if not options and self._guard else self._make_guard(**options)

    def circuit(
        self,
        *,
        include: Optional[Exceptions] = None,
        exclude: Exceptions = (),
        classify: Optional[Classifier] = None,
        fallback: Optional[Callable[..., Any]] = None,
        fallback_on: FallbackOn = "rejection",
    ) -> Callable[[F], F]:
        """A decorator; see `Brama.circuit`."""
        return self._manager.circuit(
            self.identifier,
            scope=self.scope,
            include=include,
            exclude=exclude,
            classify=classify,
            fallback=fallback,
            fallback_on=fallback_on,
        )

    def call(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Calls a function, guarded: an `Exception` is a failure.

        If the function returns an awaitable, so does this method, and the awaitable's outcome
        counts.

        Raises:
            CircuitOpen: the circuit does not admit the call.
            NotFound, ShutDown
        """
        runner = self._runner
        if runner is None:
            runner = self._runner = Runner(Fixed(self._handle), DEFAULT, None)
        result: T = runner.call(function, args, kwargs)
        return result

    def open_circuit(
        self,
        reason: Optional[str] = None,
        *,
        expiry: Union[Duration, Never, None] = None,
        metadata: Optional[Mapping[str, str]] = None,
    ) -> None:
        """Opens the circuit, or moves the deadline of an open one; see `Brama.open_circuit`."""
        text, pairs = _values.reason(reason), _values.details(metadata)
        self._handle.open(text, pairs, expiry_of(expiry))

    def close_circuit(self) -> None:
        """Closes the circuit. Its count of failures stays: one more failure may open it again.

        Raises:
            NotFound, ShutDown
        """
        self._handle.control("close")

    def half_open_circuit(self) -> None:
        """Lets probes through now. Does nothing if the circuit is half-open.

        Raises:
            NotFound, ShutDown
        """
        self._handle.control("half_open")

    def reset_circuit(self) -> None:
        """Closes the circuit and forgets its count, its window and its openings.

        Raises:
            NotFound, ShutDown
        """
        self._handle.control("reset")

    def configure(self, **settings: Unpack[ConnectionSettings]) -> None:
        """Changes the settings that are named, all at once; the others stay.

        Raises:
            InvalidConfig: a value is not allowed; nothing was changed.
            TypeError: an unknown setting, or a wrong type.
            NotFound, ShutDown
        """
        self._handle.configure(*_settings.of_connection(settings))

    def __repr__(self) -> str:
        scope = "" if self.scope is None else f" in scope {self.scope!r}"
        return f"<brama.Connection {self.identifier!r}{scope}, {self.state()}>"
