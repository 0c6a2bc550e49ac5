"""The decorator.

A call through a healthy circuit costs one read of memory and one call of the library.
The number that is read lets the call pass and says in which state it did, and goes back
with the report: what comes back late is stale, as with a permit. Everything else (a
circuit that is not closed, an exception, a classifier) takes the long way.

A connection that was unregistered or cleaned up is registered anew by the next call.
"""

from __future__ import annotations

import functools
import inspect
from typing import TYPE_CHECKING, Any, Callable, Dict, Optional, Tuple, TypeVar

from . import _abi, _ffi
from ._errors import CircuitOpen
from ._permit import Permit, settle
from ._policy import Outcome, Policy

if TYPE_CHECKING:
    from ._manager import Brama

F = TypeVar("F", bound=Callable[..., Any])
#: What a call reads, and what it hands to the library.
Target = Tuple[_ffi.PassWord, Any]

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
        self._renewed: Callable[[Target], None] = lambda target: None
        self._target = self._resolve()
        self.decorated = wrapper(self, function)

    def _resolve(self) -> Target:
        """Registers the connection if it is not."""
        handle = self._manager.get_or_register(
            self._identifier, scope=self._scope, **self._settings
        )._handle
        return handle.pass_word, handle.argument

    def acquire(self) -> Permit:
        """Asks for admission.

        Raises:
            CircuitOpen: the circuit does not admit the call.
        """
        for _ in range(_TRIES):
            argument = self._target[1]
            code, words, wait = _ffi.acquire(argument)
            if code == _abi.OK:
                return Permit(words, argument)
            if code == _abi.REJECTED:
                after = None if wait == _abi.NEVER else wait
                raise CircuitOpen(after, self._identifier, self._scope)
            if code != _abi.NOT_FOUND:
                break
            self._target = self._resolve()
            self._renewed(self._target)
        raise _ffi.failed(code)

    def raised(self, argument: Any, passed: int, error: BaseException) -> None:
        """A call that was let pass by a number raised this."""
        outcome = self._policy.of_error(error)
        if outcome is not Outcome.IGNORED:
            settle(_ffi.permit_of_pass(argument, passed), outcome, error)

    def returned(self, argument: Any, passed: int, result: object) -> None:
        """A call that was let pass by a number returned this, which is to be classified."""
        outcome = self._policy.of_result(result)
        if outcome is not Outcome.IGNORED:
            settle(_ffi.permit_of_pass(argument, passed), outcome)

    def judge(self, permit: Permit, result: object) -> None:
        outcome = Outcome.IGNORED  # If the classifier raises.
        try:
            outcome = self._policy.of_result(result)
        finally:
            permit._settle(outcome)


def _synchronous(circuit: Circuit, function: Any) -> Any:
    limit, success = _abi.PASS_LIMIT, _ffi.pass_success
    target = circuit._target
    classified = circuit._policy.classify is not None
    fallback = circuit._fallback

    @functools.wraps(function)
    def guarded(*args: Any, **kwargs: Any) -> Any:
        word, argument = target
        passed = word.value
        if passed < limit:
            try:
                result = function(*args, **kwargs)
            except BaseException as error:
                circuit.raised(argument, passed, error)
                raise
            if classified:
                circuit.returned(argument, passed, result)
            else:
                success(argument, passed)
            return result
        return with_permit(args, kwargs)

    def with_permit(args: Any, kwargs: Any) -> Any:
        try:
            permit = circuit.acquire()
        except CircuitOpen:
            if fallback is None:
                raise
            return fallback(*args, **kwargs)
        try:
            result = function(*args, **kwargs)
        except BaseException as error:
            permit._close(error, circuit._policy)
            raise
        circuit.judge(permit, result)
        return result

    def renewed(new: Target) -> None:
        nonlocal target
        target = new

    circuit._renewed = renewed
    return guarded


def _asynchronous(circuit: Circuit, function: Any) -> Any:
    limit, success = _abi.PASS_LIMIT, _ffi.pass_success
    target = circuit._target
    classified = circuit._policy.classify is not None
    fallback = circuit._fallback

    @functools.wraps(function)
    async def guarded(*args: Any, **kwargs: Any) -> Any:
        word, argument = target
        passed = word.value
        if passed < limit:
            try:
                result = await function(*args, **kwargs)
            except BaseException as error:
                circuit.raised(argument, passed, error)
                raise
            if classified:
                circuit.returned(argument, passed, result)
            else:
                success(argument, passed)
            return result
        return await with_permit(args, kwargs)

    async def with_permit(args: Any, kwargs: Any) -> Any:
        try:
            permit = circuit.acquire()
        except CircuitOpen:
            if fallback is None:
                raise
            instead = fallback(*args, **kwargs)
            return await instead if inspect.isawaitable(instead) else instead
        try:
            result = await function(*args, **kwargs)
        except BaseException as error:
            permit._close(error, circuit._policy)
            raise
        circuit.judge(permit, result)
        return result

    def renewed(new: Target) -> None:
        nonlocal target
        target = new

    circuit._renewed = renewed
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
