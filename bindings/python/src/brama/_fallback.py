"""Fallbacks: functions that are called when a call was rejected or has failed."""

from __future__ import annotations

import inspect
import sys
from typing import Any, Callable, Dict, Optional, Tuple

from ._policy import is_coroutine_function
from ._values import invalid, wrong_type

if sys.version_info >= (3, 8):
    from typing import Literal

#: When a fallback is called.
FallbackOn = Literal["rejection", "failure", "both"]
_ON = ("rejection", "failure", "both")


class Fallback:
    """A fallback of a decorated function."""

    __slots__ = ("function", "on_failure", "on_rejection", "takes_error")

    def __init__(self, function: Callable[..., Any], on: str, asynchronous: bool) -> None:
        if not callable(function):
            raise TypeError(f"fallback must be callable, not {type(function).__name__}")
        if not asynchronous and is_coroutine_function(function):
            raise TypeError(
                "fallback must be a plain function, as the decorated one is: nothing would "
                "await what an `async def` returns"
            )
        self.function = function
        self.on_rejection = on != "failure"
        self.on_failure = on != "rejection"
        self.takes_error = _takes_error(function)

    def __call__(
        self, args: Tuple[Any, ...], kwargs: Dict[str, Any], error: Optional[BaseException]
    ) -> Any:
        if self.takes_error:
            return self.function(*args, error=error, **kwargs)
        return self.function(*args, **kwargs)


def check(on: object, fallback: object) -> None:
    """Raises if `fallback_on` is not valid."""
    if not isinstance(on, str):
        raise wrong_type("fallback_on", on, "a str")
    if on not in _ON:
        raise invalid("fallback_on", on, "must be " + ", ".join(map(repr, _ON)))
    if on != "rejection" and fallback is None:
        raise invalid("fallback_on", on, "needs a fallback")


def _takes_error(function: Callable[..., Any]) -> bool:
    """Whether it has a parameter `error` that can only be given by name."""
    try:
        parameters = inspect.signature(function).parameters
    except (TypeError, ValueError):  # Some built-in functions have no signature.
        return False
    error = parameters.get("error")
    return error is not None and error.kind is inspect.Parameter.KEYWORD_ONLY
