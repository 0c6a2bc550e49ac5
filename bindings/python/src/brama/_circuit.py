"""The decorator.

A call through a healthy circuit costs one read of memory and one call of the library.
The number that is read lets the call pass and says in which state it did. There is one
permit for all calls that it lets pass, and that is what they report on: what comes back
late is stale. A circuit that is not closed takes the long way.

A connection that was unregistered or cleaned up is registered anew by the next call.
"""

from __future__ import annotations

import functools
import inspect
from typing import TYPE_CHECKING, Any, Callable, Dict, Optional, TypeVar

from . import _abi, _ffi
from ._errors import CircuitOpen
from ._permit import settle
from ._policy import Outcome, Policy

if TYPE_CHECKING:
    from ._manager import Brama

F = TypeVar("F", bound=Callable[..., Any])

#: A name may be unregistered again and again while somebody tries to register it.
_TRIES = 16


class Circuit:
    """A connection as a decorated function sees it."""

    def __init__(
        self,
        manager: Brama,
        identifier: str,
        scope: Optional[str],
        settings: Dict[str, Any],
        policy: Policy,
        fallback: Optional[Callable[..., Any]],
        function: Any,
    ) -> None:
        wrapper = _asynchronous if _is_asynchronous(function) else _synchronous
        if fallback is not None and not callable(fallback):
            raise TypeError(f"fallback must be callable, not {type(fallback).__name__}")
        self._manager = manager
        self._identifier = identifier
        self._scope = scope
        self._settings = settings
        self._policy = policy
        self._fallback = fallback
        self._handle = self._resolve()
        self.decorated = wrapper(self, function)

    def _resolve(self) -> _ffi.Handle:
        """Registers the connection if it is not."""
        manager, name = self._manager, self._identifier
        return manager.get_or_register(name, scope=self._scope, **self._settings)._handle

    def acquire(self) -> Optional[_ffi.Ticket]:
        """Asks for admission.

        Returns:
            None if the circuit does not admit the call and there is a fallback.

        Raises:
            CircuitOpen: it does not, and there is none.
        """
        for _ in range(_TRIES):
            code, ticket, wait = self._handle.acquire()
            if code == _abi.OK:
                return ticket
            if code == _abi.REJECTED:
                if self._fallback is not None:
                    return None
                after = None if wait == _abi.NEVER else wait
                raise CircuitOpen(after, self._identifier, self._scope)
            if code != _abi.NOT_FOUND:
                break
            self._handle = self._resolve()
        raise _ffi.failed(code)

    @property
    def latest_pass(self) -> _ffi.Pass:
        return self._handle.latest_pass

    def raised(self, ticket: _ffi.Ticket, error: BaseException) -> None:
        outcome = Outcome.IGNORED  # If the classifier raises.
        try:
            outcome = self._policy.of_error(error)
        finally:
            settle(ticket, outcome, error)

    def returned(self, ticket: _ffi.Ticket, result: object) -> None:
        outcome = Outcome.IGNORED  # If the classifier raises.
        try:
            outcome = self._policy.of_result(result)
        finally:
            settle(ticket, outcome)


def _synchronous(circuit: Circuit, function: Any) -> Any:
    success = _ffi.report_success
    # Results that are to be classified take the long way.
    classified = circuit._policy.classify is not None
    latest_pass = (circuit.latest_pass[0], -1, None) if classified else circuit.latest_pass
    fallback = circuit._fallback

    @functools.wraps(function)
    def guarded(*args: Any, **kwargs: Any) -> Any:
        word, number, ticket = latest_pass
        if word.value != number:
            return otherwise(args, kwargs)
        try:
            result = function(*args, **kwargs)
        except BaseException as error:
            circuit.raised(ticket, error)
            raise
        success(ticket)
        return result

    def otherwise(args: Any, kwargs: Any) -> Any:
        nonlocal latest_pass
        ticket = circuit.acquire()
        if ticket is None and fallback is not None:
            return fallback(*args, **kwargs)
        if not classified:
            latest_pass = circuit.latest_pass
        try:
            result = function(*args, **kwargs)
        except BaseException as error:
            circuit.raised(ticket, error)
            raise
        circuit.returned(ticket, result)
        return result

    return guarded


def _asynchronous(circuit: Circuit, function: Any) -> Any:
    success = _ffi.report_success
    # Results that are to be classified take the long way.
    classified = circuit._policy.classify is not None
    latest_pass = (circuit.latest_pass[0], -1, None) if classified else circuit.latest_pass
    fallback = circuit._fallback

    @functools.wraps(function)
    async def guarded(*args: Any, **kwargs: Any) -> Any:
        word, number, ticket = latest_pass
        if word.value != number:
            return await otherwise(args, kwargs)
        try:
            result = await function(*args, **kwargs)
        except BaseException as error:
            circuit.raised(ticket, error)
            raise
        success(ticket)
        return result

    async def otherwise(args: Any, kwargs: Any) -> Any:
        nonlocal latest_pass
        ticket = circuit.acquire()
        if ticket is None and fallback is not None:
            instead = fallback(*args, **kwargs)
            return await instead if inspect.isawaitable(instead) else instead
        if not classified:
            latest_pass = circuit.latest_pass
        try:
            result = await function(*args, **kwargs)
        except BaseException as error:
            circuit.raised(ticket, error)
            raise
        circuit.returned(ticket, result)
        return result

    return guarded


def _is_asynchronous(function: object) -> bool:
    """Raises TypeError for what cannot be decorated."""
    if isinstance(function, (classmethod, staticmethod, property)):
        kind = type(function).__name__
        raise TypeError(f"put @circuit below @{kind}, not above it")
    if not callable(function):
        raise TypeError(f"a circuit decorates functions, not {type(function).__name__}")
    if inspect.isclass(function):
        raise TypeError(f"a circuit decorates functions, not the class {function.__name__}")
    call = getattr(type(function), "__call__", None)
    looked_at = (function, call)
    if any(map(inspect.isgeneratorfunction, looked_at)) or any(
        map(inspect.isasyncgenfunction, looked_at)
    ):
        raise TypeError(
            "a circuit cannot decorate a generator: its call returns before any work is done. "
            "Guard the work inside it: `with brama.guard(...):`"
        )
    return any(map(inspect.iscoroutinefunction, looked_at))
