"""The decorator.

A call through a healthy circuit costs one read of memory and one call of the library (see
`_handle.py`). All other calls take the long way (`_run.py`): those of a circuit that is not
closed or that measures durations, and those of a function with `classify`, with a fallback for
failures, or with a circuit by argument.

A connection that was unregistered or cleaned up is registered again by the next call.
"""

from __future__ import annotations

import functools
import inspect
from typing import Any, Callable, Optional, TypeVar, Union

from . import _ffi
from ._abi import Fields, Pairs
from ._awaited import plain
from ._call import Call, failed, last_failure
from ._errors import CircuitOpen
from ._fallback import Fallback
from ._names import Names, Registered, RegisteredByArgument, Source
from ._policy import Policy, is_coroutine_function
from ._run import Runner, awaited
from ._words import Ticket

F = TypeVar("F", bound=Callable[..., Any])
#: A name, or a function of a call's arguments that returns it.
Identifier = Union[str, Callable[..., str]]


def decorated(
    function: Any,
    names: Names,
    identifier: Identifier,
    scope: Optional[str],
    fields: Fields,
    metadata: Pairs,
    policy: Policy,
    fallback: Optional[Callable[..., Any]],
    fallback_on: str,
) -> Any:
    """The guarded function. Registers the connection, unless the name depends on arguments."""
    asynchronous = _is_asynchronous(function)
    instead = None if fallback is None else Fallback(fallback, fallback_on, asynchronous)
    source: Source
    if isinstance(identifier, str):
        source = one = Registered(names, identifier, scope, fields, metadata)
        runner = Runner(source, policy, instead)
        if not (policy.asks_about_results or runner.answers_failures):
            return (_asynchronous if asynchronous else _synchronous)(function, runner, one)
    else:
        source = RegisteredByArgument(names, identifier, scope, fields, metadata)
        runner = Runner(source, policy, instead)
    return (_long_asynchronous if asynchronous else _long_synchronous)(function, runner)


def _synchronous(function: Any, runner: Runner, source: Registered) -> Any:
    handle = source.handle
    success, known, last = _ffi.report_success, plain, last_failure
    failures = runner.policy.failures

    @functools.wraps(function)
    def guarded(*args: Any, **kwargs: Any) -> Any:
        word, number, ticket = handle.latest
        read = word.value
        if read != number:
            admitted = handle.admit(read) or again()
            if type(admitted) is CircuitOpen:
                if runner.fallback is not None:
                    return runner.rejected(admitted, args, kwargs)
                try:
                    raise admitted
                finally:
                    del admitted  # Else its traceback would refer to it: a cycle.
            return runner.run(admitted, function, args, kwargs)  # type: ignore[arg-type]
        (since,) = last
        try:
            result = function(*args, **kwargs)
        except BaseException as error:
            if not failed(failures, handle.mark, ticket, error, since):
                runner.raised(handle, ticket, error, since)
            raise
        if result is not None and type(result) not in known:
            return otherwise(ticket, since, result, args, kwargs)
        success(ticket)
        return result

    def again() -> Union[Call, CircuitOpen]:
        """Asks for admission after the connection was unregistered: registers it again."""
        nonlocal handle
        admitted = runner.admit((), {})
        handle = source.handle
        return admitted

    def otherwise(ticket: Ticket, since: int, result: Any, args: Any, kwargs: Any) -> Any:
        return runner.run(Call(handle, ticket, since), lambda *_, **__: result, args, kwargs)

    return guarded


def _asynchronous(function: Any, runner: Runner, source: Registered) -> Any:
    handle = source.handle
    success, last = _ffi.report_success, last_failure
    failures = runner.policy.failures

    @functools.wraps(function)
    async def guarded(*args: Any, **kwargs: Any) -> Any:
        word, number, ticket = handle.latest
        read = word.value
        if read != number:
            admitted = handle.admit(read) or again()
            if type(admitted) is CircuitOpen:
                try:
                    return await awaited(runner.rejected(admitted, args, kwargs))
                finally:
                    del admitted
            return await runner.run_async(admitted, function, args, kwargs)  # type: ignore[arg-type]
        (since,) = last
        try:
            result = await function(*args, **kwargs)
        except BaseException as error:
            if not failed(failures, handle.mark, ticket, error, since):
                runner.raised(handle, ticket, error, since)
            raise
        success(ticket)
        return result

    def again() -> Union[Call, CircuitOpen]:
        nonlocal handle
        admitted = runner.admit((), {})
        handle = source.handle
        return admitted

    return guarded


def _long_synchronous(function: Any, runner: Runner) -> Any:
    @functools.wraps(function)
    def guarded(*args: Any, **kwargs: Any) -> Any:
        return runner.call(function, args, kwargs)

    return guarded


def _long_asynchronous(function: Any, runner: Runner) -> Any:
    @functools.wraps(function)
    async def guarded(*args: Any, **kwargs: Any) -> Any:
        return await runner.call_async(function, args, kwargs)

    return guarded


def _is_asynchronous(function: object) -> bool:
    """Whether this is an `async def`. Raises TypeError if it cannot be decorated."""
    if isinstance(function, (classmethod, staticmethod, property)):
        kind = type(function).__name__
        raise TypeError(f"put @circuit below @{kind}, not above it")
    if not callable(function):
        raise TypeError(
            f"a circuit decorates functions, not {type(function).__name__}, and needs a name: "
            '@circuit("payment_api")'
        )
    if inspect.isclass(function):
        raise TypeError(f"a circuit decorates functions, not the class {function.__name__}")
    if _is_generator_function(function) or _makes_context_managers(function):
        raise TypeError(
            "a circuit cannot decorate a generator, nor a context manager made of one: its "
            "call returns before any work is done. Guard the work inside it: `with "
            "brama.guard(...):`"
        )
    return is_coroutine_function(function)


def _is_generator_function(function: object) -> bool:
    for looked_at in (function, getattr(type(function), "__call__", None)):
        if inspect.isasyncgenfunction(looked_at):
            return True
        if inspect.isgeneratorfunction(looked_at):
            # `types.coroutine` makes a generator that is awaited.
            flags = getattr(looked_at, "__code__", _no_code.__code__).co_flags
            return not flags & inspect.CO_ITERABLE_COROUTINE
    return False


def _no_code() -> None:
    pass


def _makes_context_managers(function: Any) -> bool:
    """Whether `contextlib.contextmanager` or `asynccontextmanager` made this function."""
    made_in = getattr(function, "__globals__", {}).get("__name__")
    return made_in == "contextlib" and _is_generator_function(inspect.unwrap(function))
