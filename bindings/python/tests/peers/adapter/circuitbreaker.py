"""The interface of the package `circuitbreaker`, on brama.

With it the test suite of `circuitbreaker` runs on brama: see `test_circuitbreaker.py`. It was
written from the suite and the documentation. It also shows how close the two packages are: all
but `_guarded` translates names and units.
"""

from __future__ import annotations

import functools
import inspect
import itertools
from datetime import datetime, timedelta, timezone
from math import ceil
from typing import Any, Callable, ClassVar, Iterable, Optional

import brama

STATE_CLOSED, STATE_OPEN, STATE_HALF_OPEN = "closed", "open", "half_open"

TICK = timedelta(milliseconds=20)
_numbers = itertools.count()


def _predicate(expected: Any) -> Callable[[type, Any], bool]:
    """Which exceptions are failures: a class, several, or a function of type and value."""
    if isinstance(expected, (str, bytes)):
        raise ValueError("expected_exception cannot be a string. Did you mean name?")
    if isinstance(expected, type) and issubclass(expected, Exception):
        return lambda kind, value: issubclass(kind, expected)
    if isinstance(expected, (tuple, list, set)):
        classes = tuple(expected)
        return lambda kind, value: issubclass(kind, classes)
    if not callable(expected) or isinstance(expected, type):
        raise ValueError("expected_exception does not look like a predicate")
    return expected


class CircuitBreaker:
    FAILURE_THRESHOLD = 5
    RECOVERY_TIMEOUT = 30
    EXPECTED_EXCEPTION: Any = Exception
    FALLBACK_FUNCTION: Any = None

    def __init__(
        self,
        failure_threshold: Optional[int] = None,
        recovery_timeout: Optional[float] = None,
        expected_exception: Any = None,
        name: Optional[str] = None,
        fallback_function: Optional[Callable[..., Any]] = None,
    ) -> None:
        # Read from the class: a function must not become a bound method.
        own = vars(type(self)).get("EXPECTED_EXCEPTION", CircuitBreaker.EXPECTED_EXCEPTION)
        self.is_failure = _predicate(expected_exception or own)
        self._failure_threshold = failure_threshold or self.FAILURE_THRESHOLD
        self._recovery_timeout = recovery_timeout or self.RECOVERY_TIMEOUT
        self._fallback_function = fallback_function or self.FALLBACK_FUNCTION
        self._name = name
        self._last_failure: Optional[BaseException] = None
        self._circuit = brama.register(
            f"circuitbreaker {next(_numbers)}",
            max_attempts=self._failure_threshold,
            # An opening never ends early here, and may end a tick of the clock late.
            expiry=timedelta(seconds=self._recovery_timeout) - TICK,
        )

    def _classify(self, error: BaseException) -> Optional[str]:
        if not isinstance(error, Exception):
            return None
        # In `circuitbreaker` an exception that is not expected is a success.
        return "failure" if self.is_failure(type(error), error) else "success"

    def _guarded(self) -> brama.Guard:
        return self._circuit.guard(classify=self._classify)

    def __enter__(self) -> None:
        self._block = self._guarded()
        try:
            self._block.__enter__()
        except brama.CircuitOpen:
            raise CircuitBreakerError(self) from None

    def __exit__(self, kind: Any, error: Optional[BaseException], trace: Any) -> bool:
        failed = isinstance(error, Exception) and self.is_failure(type(error), error)
        self._last_failure = error if failed else None
        self._block.__exit__(kind, error, trace)
        return False

    def __call__(self, function: Any) -> Any:
        return self.decorate(function)

    def decorate(self, function: Any) -> Any:
        self._name = self._name or function.__qualname__
        CircuitBreakerMonitor.register(self)
        instead = self._fallback_function
        wraps = functools.wraps(function)
        if inspect.isasyncgenfunction(function):

            @wraps
            async def guarded(*args: Any, **kwargs: Any) -> Any:
                work = instead if instead and not self._circuit.available() else None
                results = self.call_async_generator(function, *args, **kwargs)
                async for result in work(*args, **kwargs) if work else results:
                    yield result

        elif inspect.iscoroutinefunction(function):

            @wraps
            async def guarded(*args: Any, **kwargs: Any) -> Any:
                try:
                    return await self.call_async(function, *args, **kwargs)
                except CircuitBreakerError:
                    if not instead:
                        raise
                    return await instead(*args, **kwargs)

        elif inspect.isgeneratorfunction(function):

            @wraps
            def guarded(*args: Any, **kwargs: Any) -> Any:
                work = instead if instead and not self._circuit.available() else None
                yield from (work or functools.partial(self.call_generator, function))(
                    *args, **kwargs
                )

        else:

            @wraps
            def guarded(*args: Any, **kwargs: Any) -> Any:
                try:
                    return self.call(function, *args, **kwargs)
                except CircuitBreakerError:
                    if not instead:
                        raise
                    return instead(*args, **kwargs)

        return guarded

    def call(self, function: Any, *args: Any, **kwargs: Any) -> Any:
        with self:
            return function(*args, **kwargs)

    def call_generator(self, function: Any, *args: Any, **kwargs: Any) -> Any:
        with self:
            yield from function(*args, **kwargs)

    async def call_async(self, function: Any, *args: Any, **kwargs: Any) -> Any:
        with self:
            return await function(*args, **kwargs)

    async def call_async_generator(self, function: Any, *args: Any, **kwargs: Any) -> Any:
        with self:
            async for result in function(*args, **kwargs):
                yield result

    def reset(self) -> None:
        self._circuit.reset_circuit()
        self._last_failure = None

    @property
    def state(self) -> str:
        return str(self._circuit.state())

    @property
    def open_remaining(self) -> int:
        status = self._circuit.status()
        if status.state == "half_open":
            return -1
        return ceil((status.retry_after or status.expiry or 0) / 1000)

    @property
    def open_until(self) -> datetime:
        return datetime.now(timezone.utc) + timedelta(seconds=self.open_remaining)

    @property
    def failure_count(self) -> int:
        return self._circuit.status().failure_count

    @property
    def closed(self) -> bool:
        return self.state == STATE_CLOSED

    @property
    def opened(self) -> bool:
        return self.state == STATE_OPEN

    @property
    def name(self) -> Optional[str]:
        return self._name

    @property
    def last_failure(self) -> Optional[BaseException]:
        return self._last_failure

    @property
    def fallback_function(self) -> Any:
        return self._fallback_function

    def __str__(self) -> str:
        return self._name or "unnamed_CircuitBreaker"


class CircuitBreakerError(Exception):
    def __init__(self, breaker: CircuitBreaker, *args: Any) -> None:
        super().__init__(*args)
        self._breaker = breaker

    def __str__(self) -> str:
        it = self._breaker
        return (
            f'Circuit "{it.name}" OPEN until {it.open_until} ({it.failure_count} failures, '
            f"{it.open_remaining} sec remaining) (last_failure: {it.last_failure!r})"
        )


class CircuitBreakerMonitor:
    circuit_breakers: ClassVar[dict[str, CircuitBreaker]] = {}

    @classmethod
    def register(cls, breaker: CircuitBreaker) -> None:
        assert breaker.name is not None
        cls.circuit_breakers[breaker.name] = breaker

    @classmethod
    def all_closed(cls) -> bool:
        return not list(cls.get_open())

    @classmethod
    def get_circuits(cls) -> Iterable[CircuitBreaker]:
        return cls.circuit_breakers.values()

    @classmethod
    def get(cls, name: str) -> Optional[CircuitBreaker]:
        return cls.circuit_breakers.get(name)

    @classmethod
    def get_open(cls) -> Iterable[CircuitBreaker]:
        return (breaker for breaker in cls.get_circuits() if breaker.opened)

    @classmethod
    def get_closed(cls) -> Iterable[CircuitBreaker]:
        return (breaker for breaker in cls.get_circuits() if breaker.closed)


def circuit(
    failure_threshold: Any = None,
    recovery_timeout: Optional[float] = None,
    expected_exception: Any = None,
    name: Optional[str] = None,
    fallback_function: Optional[Callable[..., Any]] = None,
    cls: type[CircuitBreaker] = CircuitBreaker,
) -> Any:
    if callable(failure_threshold):
        return cls().decorate(failure_threshold)
    return cls(failure_threshold, recovery_timeout, expected_exception, name, fallback_function)
