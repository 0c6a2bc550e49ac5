"""Results of plain functions that are not final: awaitables and generators.

A plain function may return an awaitable: a wrapper made by another decorator does, a
method of an asynchronous client, a partial, a lambda. The outcome of the call is then that
of the awaitable. So an awaitable is classified when it is awaited, and a future when it is
done.

A generator and a context manager made of one have done no work when they are returned, and
what they do later cannot be classified. They are refused.

The class of a result decides which of these it is, once for each class.
"""

from __future__ import annotations

import asyncio
import collections.abc
import contextlib
import inspect
import types
from typing import Any, Callable, Coroutine, Generator, Optional, Set

from ._call import Call
from ._policy import Policy

#: Classes of final results.
plain: Set[type] = set()
#: The largest number of classes that are remembered.
_CLASSES = 512

_GENERATORS = (types.GeneratorType, types.AsyncGeneratorType)
_MANAGERS: Any = tuple(
    getattr(contextlib, name)
    for name in ("_GeneratorContextManager", "_AsyncGeneratorContextManager")
)

#: Wraps an awaitable: returns a coroutine that awaits it and reports on the call.
Judge = Callable[[Call, Any], Coroutine[Any, Any, Any]]


def pending(result: Any, call: Call, policy: Policy, judge: Judge, futures: bool) -> Optional[Any]:
    """What to return in place of a result that is not final; None for a final one.

    Args:
        call: the call, which is reported later if the result is not final.
        judge: wraps what has to be awaited.
        futures: whether a future is classified when it is done, or when it is awaited.

    Raises:
        TypeError: the result cannot be classified.
    """
    kind = type(result)
    if kind in plain:
        return None
    if futures and hasattr(kind, "add_done_callback"):
        result.add_done_callback(lambda future: _done(future, call, policy))
        return result
    if inspect.iscoroutine(result):
        return judge(call, result)
    if inspect.isawaitable(result):
        if isinstance(result, types.GeneratorType):
            return judge(call, result)
        return Awaited(result, call, judge)
    if issubclass(kind, _GENERATORS):
        if kind is types.GeneratorType:
            result.close()
        raise _refusal("a generator", "does its work later")
    if issubclass(kind, _MANAGERS):
        raise _refusal("a context manager made of a generator", "does its work in its block")
    if len(plain) >= _CLASSES:
        plain.clear()
    plain.add(kind)
    return None


def _refusal(what: str, why: str) -> TypeError:
    return TypeError(
        f"the guarded function returned {what}, which {why} and cannot be judged. Guard that "
        "work instead: `with brama.guard(...):`"
    )


def _done(future: Any, call: Call, policy: Policy) -> None:
    """Reports the outcome of a future that is done."""
    try:
        if future.cancelled():
            call.raised(policy, asyncio.CancelledError())
            return
        # `exception()` would mark the exception as retrieved.
        error = future._exception if hasattr(future, "_exception") else future.exception()
        if error is None:
            call.returned(policy, future.result())
        else:
            call.raised(policy, error)
    finally:
        call.leave()


class Awaited(collections.abc.Coroutine):  # type: ignore[type-arg]
    """A wrapper of an awaitable that is no coroutine. Awaiting it, or entering it by `async
    with`, classifies it. All other attributes are those of the awaitable."""

    def __init__(self, awaitable: Any, call: Call, judge: Judge) -> None:
        self._awaitable = awaitable
        self._call = call
        self._judge = judge
        self._running: Optional[Coroutine[Any, Any, Any]] = None

    def _coroutine(self, awaitable: Any) -> Coroutine[Any, Any, Any]:
        if self._running is None:
            self._running = self._judge(self._call, awaitable)
        return self._running

    def __await__(self) -> Generator[Any, Any, Any]:
        return self._coroutine(self._awaitable).__await__()

    def send(self, value: Any) -> Any:
        return self._coroutine(self._awaitable).send(value)

    def throw(self, *error: Any) -> Any:
        return self._coroutine(self._awaitable).throw(*error)

    def close(self) -> None:
        if self._running is not None:
            self._running.close()

    async def __aenter__(self) -> Any:
        enter = type(self._awaitable).__aenter__(self._awaitable)
        return await self._coroutine(enter)

    async def __aexit__(self, *error: Any) -> Any:
        return await type(self._awaitable).__aexit__(self._awaitable, *error)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._awaitable, name)
