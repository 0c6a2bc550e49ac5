"""Handles: a connection, resolved once, no look-up after."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Callable, Mapping, NoReturn, Optional, TypeVar, Union

from . import _abi, _ffi, _settings, _values
from ._circuit import F
from ._errors import CircuitOpen, InvalidArgument
from ._permit import Guard, Permit
from ._policy import DEFAULT, Classifier, Exceptions, Policy
from ._settings import ConnectionSettings, Never
from ._status import State, Status, state_of, status_of
from ._values import Duration

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from ._manager import Brama

T = TypeVar("T")


def expiry_of(expiry: Union[Duration, Never, None]) -> int:
    """The argument of `open_circuit`."""
    if expiry is None:
        return _abi.NOT_GIVEN_U64
    if isinstance(expiry, Never):
        return _abi.NEVER
    return _values.milliseconds("expiry", expiry, InvalidArgument)


def rejected(wait: int, identifier: str, scope: Optional[str]) -> CircuitOpen:
    return CircuitOpen(None if wait == _abi.NEVER else wait, identifier, scope)


class Connection:
    """A handle of a connection, for hot paths. Any number of threads may share it.

    Made by `Brama.register`, `get_or_register` and `connection`. It stays safe to use
    after the connection was unregistered or cleaned up: then everything but `available`
    and `state` raises `NotFound`; and `ShutDown` after the manager was shut down.
    """

    __slots__ = ("_handle", "_identifier", "_manager", "_scope")

    def __init__(
        self, manager: Brama, handle: _ffi.Handle, identifier: str, scope: Optional[str]
    ) -> None:
        self._manager = manager
        self._handle = handle
        self._identifier = identifier
        self._scope = scope

    @property
    def identifier(self) -> str:
        """The connection's identifier."""
        return self._identifier

    @property
    def scope(self) -> Optional[str]:
        """The connection's scope, or None."""
        return self._scope

    def available(self) -> bool:
        """Whether a call would be admitted now. A pure question: it takes no permit."""
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
        return status_of(words, metadata, self._identifier, self._scope)

    def success(self, *, metadata: Optional[Mapping[str, str]] = None) -> None:
        """Reports a success without a permit. While half-open it counts like a probe's.

        Args:
            metadata: strings for the events.

        Raises:
            NotFound, ShutDown
        """
        self._handle.success(_values.metadata(metadata))

    def failure(
        self, *, reason: Optional[str] = None, metadata: Optional[Mapping[str, str]] = None
    ) -> int:
        """Reports a failure without a permit. While half-open it counts like a probe's.

        Args:
            reason: why, for the events.
            metadata: strings for the events.

        Returns:
            How many failures count now: in a row, or inside the window.

        Raises:
            NotFound, ShutDown
        """
        return self._handle.failure(_values.reason(reason), _values.metadata(metadata))

    def acquire(self) -> Permit:
        """Asks for admission.

        Returns:
            A permit, to be reported once.

        Raises:
            CircuitOpen: the circuit does not admit the call.
            NotFound, ShutDown
        """
        return Permit(self._admit())

    def _admit(self) -> _ffi.Ticket:
        word, number, ticket = self._handle.latest_pass
        if word.value == number:
            return ticket
        code, ticket, wait = self._handle.acquire()
        if code == _abi.OK:
            return ticket
        if code == _abi.REJECTED:
            raise rejected(wait, self._identifier, self._scope)
        raise _ffi.failed(code)

    def guard(
        self,
        *,
        include: Optional[Exceptions] = None,
        exclude: Exceptions = (),
        classify: Optional[Classifier] = None,
    ) -> Guard:
        """A block whose outcome is reported; see `Brama.guard`."""
        if include is None and not exclude and classify is None:
            return Guard(self._admit, DEFAULT)
        return Guard(self._admit, Policy(include, exclude, classify))

    def circuit(
        self,
        *,
        include: Optional[Exceptions] = None,
        exclude: Exceptions = (),
        classify: Optional[Classifier] = None,
        fallback: Optional[Callable[..., Any]] = None,
    ) -> Callable[[F], F]:
        """A decorator; see `Brama.circuit`."""
        return self._manager.circuit(
            self._identifier,
            scope=self._scope,
            include=include,
            exclude=exclude,
            classify=classify,
            fallback=fallback,
        )

    def call(self, function: Callable[..., T], /, *args: Any, **kwargs: Any) -> T:
        """Calls a function, guarded: an `Exception` is a failure.

        Raises:
            CircuitOpen: the circuit does not admit the call.
            NotFound, ShutDown
        """
        with Guard(self._admit, DEFAULT):
            return function(*args, **kwargs)

    def open_circuit(
        self,
        *,
        reason: Optional[str] = None,
        expiry: Union[Duration, Never, None] = None,
        metadata: Optional[Mapping[str, str]] = None,
    ) -> None:
        """Opens the circuit, or moves the deadline of an open one; see `Brama.open_circuit`."""
        text, pairs = _values.reason(reason), _values.metadata(metadata)
        self._handle.open(text, pairs, expiry_of(expiry))

    def close_circuit(self) -> None:
        """Closes the circuit. Its count of failures stays: one more may open it again.

        Raises:
            NotFound, ShutDown
        """
        self._handle.control("close")

    def half_open_circuit(self) -> None:
        """Lets probes through now.

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
        scope = "" if self._scope is None else f" in scope {self._scope!r}"
        return f"<brama.Connection {self._identifier!r}{scope}, {self.state()}>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a brama.Connection belongs to its process and cannot be pickled")
