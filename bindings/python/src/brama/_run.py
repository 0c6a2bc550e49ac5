"""How a guarded function is run: admission, the call, its outcome, the fallback."""

from __future__ import annotations

import functools
import inspect
from typing import Any, Dict, Optional, Tuple, Union

from ._awaited import pending, plain
from ._call import Call
from ._errors import CircuitOpen, NotFound
from ._fallback import Fallback
from ._handle import Handle
from ._names import TRIES, Source
from ._policy import FAILURE, Policy
from ._words import Ticket

Args = Tuple[Any, ...]
Kwargs = Dict[str, Any]


class Runner:
    """Runs functions through the circuits of a source."""

    __slots__ = ("answers_failures", "fallback", "policy", "source")

    def __init__(self, source: Source, policy: Policy, fallback: Optional[Fallback]) -> None:
        self.source = source
        self.policy = policy
        self.fallback = fallback
        self.answers_failures = fallback is not None and fallback.on_failure

    def admit(self, args: Args, kwargs: Kwargs) -> Union[Call, CircuitOpen]:
        """Asks for admission. A rejection is returned, not raised."""
        handle = self.source.handle_for(args, kwargs)
        for _ in range(TRIES):
            answer = handle.admit(handle.word.value)
            if answer is not None:
                return answer
            handle = self.source.again(handle)
        raise NotFound(f"connection {handle.identifier!r} is unregistered again and again")

    def rejected(self, rejection: CircuitOpen, args: Args, kwargs: Kwargs) -> Any:
        """What a rejected call returns: the fallback's result. Without a fallback for rejections,
        raises the rejection."""
        if self.fallback is None or not self.fallback.on_rejection:
            try:
                raise rejection
            finally:
                del rejection  # Else its traceback would refer to it: a cycle.
        return self.fallback(args, kwargs, rejection)

    def call(self, function: Any, args: Args, kwargs: Kwargs) -> Any:
        admitted = self.admit(args, kwargs)
        if isinstance(admitted, CircuitOpen):
            try:
                return self.rejected(admitted, args, kwargs)
            finally:
                del admitted  # Else its traceback would refer to it: a cycle.
        return self.run(admitted, function, args, kwargs)

    async def call_async(self, function: Any, args: Args, kwargs: Kwargs) -> Any:
        admitted = self.admit(args, kwargs)
        if isinstance(admitted, CircuitOpen):
            try:
                return await awaited(self.rejected(admitted, args, kwargs))
            finally:
                del admitted
        return await self.run_async(admitted, function, args, kwargs)

    def run(self, call: Call, function: Any, args: Args, kwargs: Kwargs) -> Any:
        """Makes a call that was admitted, and reports its outcome."""
        goes_on = False
        try:
            try:
                if call.carries:
                    call.enter()
                result = function(*args, **kwargs)
            except BaseException as error:
                if self._is_answered(call.raised(self.policy, error)):
                    return self._instead(args, kwargs, error)
                raise
            if result is not None and type(result) not in plain:
                judge = functools.partial(self._judge, args, kwargs)
                later = pending(result, call, self.policy, judge, not self.answers_failures)
                if later is not None:
                    goes_on = True
                    return later
            if self._is_answered(call.returned(self.policy, result)):
                return self._instead(args, kwargs, None)
            return result
        finally:
            if goes_on:
                call.step_out()
            else:
                call.leave()

    async def run_async(self, call: Call, function: Any, args: Args, kwargs: Kwargs) -> Any:
        """`run`, for a function whose result is awaited."""
        try:
            try:
                if call.carries:
                    call.enter()
                result = await function(*args, **kwargs)
            except BaseException as error:
                if self._is_answered(call.raised(self.policy, error)):
                    return await awaited(self._instead(args, kwargs, error))
                raise
            if self._is_answered(call.returned(self.policy, result)):
                return await awaited(self._instead(args, kwargs, None))
            return result
        finally:
            call.leave()

    def _judge(self, args: Args, kwargs: Kwargs, call: Call, awaitable: Any) -> Any:
        """A coroutine in place of an awaitable that the function has returned."""
        return self.run_async(call, lambda *_, **__: awaitable, args, kwargs)

    def _is_answered(self, outcome: object) -> bool:
        return self.answers_failures and outcome is FAILURE

    def _instead(self, args: Args, kwargs: Kwargs, error: Optional[BaseException]) -> Any:
        assert self.fallback is not None
        return self.fallback(args, kwargs, error)

    def raised(self, handle: Handle, ticket: Ticket, error: BaseException, since: int) -> None:
        """Reports a call on the short way that an exception has left, where `failed` has
        returned False."""
        call = Call(handle, ticket, since)
        try:
            call.raised(self.policy, error)
        finally:
            call.leave()


async def awaited(instead: Any) -> Any:
    return await instead if inspect.isawaitable(instead) else instead
