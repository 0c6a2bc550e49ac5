"""What a result or an exception says about the dependency.

These rules are tried in this order; the first one that applies to an exception decides:

1. A group of exceptions counts as its leaves do: as a failure if one of them is one.
2. `classify`. It is not asked about `KeyboardInterrupt`, `SystemExit`, `GeneratorExit`.
3. `exclude`: ignored.
4. `include`: a failure, whatever kind of exception it names.
5. A rejection by a circuit, of this name or another: ignored. It says that a call was not
   made. `include` counts it only if it names an exception class of this package.
6. Every other `Exception` is a failure, unless there is an `include`.
7. A cancellation: the library ignores it, unless the call has lasted for the setting
   `cancelled_after`. Cancellations are all exceptions that do not derive from `Exception`,
   except the three of rule 2: those of asyncio and trio, and gevent's time-outs.
8. All others are ignored.

Where the class of an exception alone decides, the decision is made once for each class.
"""

from __future__ import annotations

import inspect
import sys
from enum import Enum
from typing import Any, Callable, Dict, List, Optional, Sequence, Set, Tuple, Type, Union

from ._errors import BramaError, CircuitOpen
from ._settings import StrEnum
from ._values import text as text_of

_Class = Type[BaseException]
#: An exception class, or several.
Exceptions = Union[_Class, Tuple[_Class, ...], List[_Class]]

#: The largest number of exception classes whose decision is kept.
_CLASSES = 256
#: Exceptions that end a program or a coroutine. They say nothing about a dependency.
_ENDS = (KeyboardInterrupt, SystemExit, GeneratorExit)


class Outcome(StrEnum):
    """What became of a call."""

    SUCCESS = "success"
    """The dependency is fine."""
    FAILURE = "failure"
    """The dependency failed."""
    IGNORED = "ignored"
    """Neither: it says nothing about the dependency."""


#: A function of a result or an exception. It returns an outcome, or a pair of an outcome and the
#: reason of a failure. None leaves the decision to `include` and `exclude`.
Classifier = Callable[[Any], Union[Outcome, str, Tuple[Union[Outcome, str], Optional[str]], None]]

SUCCESS, FAILURE, IGNORED = Outcome.SUCCESS, Outcome.FAILURE, Outcome.IGNORED


class GivenUp(Enum):
    """The type of `CANCELLED`."""

    CANCELLED = "cancelled"


#: The caller has given the call up: the library decides, by how long the call has lasted.
CANCELLED = GivenUp.CANCELLED
Decision = Union[Outcome, GivenUp]

#: An outcome, and the reason that `classify` has given.
Classified = Tuple[Outcome, Optional[bytes]]
#: An exception that is a failure, and the reason that `classify` has given.
Failed = Tuple[BaseException, Optional[bytes]]
#: The decision, and the exceptions that make it a failure.
Verdict = Tuple[Decision, Sequence[Failed]]


class Policy:
    """Decides what counts."""

    __slots__ = ("_names_ours", "classify", "exclude", "failures", "include", "known")

    def __init__(
        self,
        include: Optional[Exceptions] = None,
        exclude: Exceptions = (),
        classify: Optional[Classifier] = None,
    ) -> None:
        self.include: Optional[Tuple[_Class, ...]]
        self.include = None if include is None else _classes("include", include)
        self.exclude: Tuple[_Class, ...] = _classes("exclude", exclude)
        if classify is not None:
            refuse_coroutines("classify", classify)
        self.classify: Optional[Classifier] = classify
        #: The decisions that were made for classes.
        self.known: Dict[type, Decision] = {}
        #: The classes in `known` that are failures, and their names.
        self.failures: Dict[type, bytes] = {}
        self._names_ours = any(issubclass(one, BramaError) for one in self.include or ())

    @property
    def asks_about_results(self) -> bool:
        return self.classify is not None

    def of_result(self, result: object) -> Classified:
        return self._classified(result) or (SUCCESS, None)

    def of_error(self, error: BaseException) -> Verdict:
        kind = type(error)
        outcome, reason = self.known.get(kind), None
        if outcome is None:
            leaves = leaves_of(error)
            if leaves is not None:
                return self._of_group(leaves)
            outcome, reason = self._of_one(error)
            if self.classify is None:
                if len(self.known) >= _CLASSES:
                    self.known.clear()
                    self.failures.clear()
                self.known[kind] = outcome
                if outcome is FAILURE:
                    self.failures[kind] = kind.__name__.encode("utf-8", "replace")
        return outcome, ((error, reason),) if outcome is FAILURE else ()

    def _of_group(self, leaves: Sequence[BaseException]) -> Verdict:
        outcomes: Set[Decision] = set()
        failures: List[Failed] = []
        for leaf in leaves:
            outcome, failed = self.of_error(leaf)
            outcomes.add(outcome)
            failures += failed
        if FAILURE in outcomes:
            return FAILURE, failures
        for outcome in (SUCCESS, CANCELLED):
            if outcome in outcomes:
                return outcome, ()
        return IGNORED, ()

    def _of_one(self, error: BaseException) -> Tuple[Decision, Optional[bytes]]:
        if not isinstance(error, _ENDS):
            known = self._classified(error)
            if known is not None:
                return known
        return self._of_kind(error), None

    def _of_kind(self, error: BaseException) -> Decision:
        if isinstance(error, self.exclude):
            return IGNORED
        rejection = isinstance(error, CircuitOpen)
        if self.include is not None:
            if isinstance(error, self.include) and (self._names_ours or not rejection):
                return FAILURE
        elif isinstance(error, Exception) and not rejection:
            return FAILURE
        return CANCELLED if _is_cancellation(error) else IGNORED

    def _classified(self, value: object) -> Optional[Classified]:
        if self.classify is None:
            return None
        answer: Any = self.classify(value)
        if answer is None:
            return None
        is_pair = isinstance(answer, tuple) and len(answer) == 2
        given, reason = answer if is_pair else (answer, None)
        outcome = _outcome_of(given)
        # Raised outside of `_outcome_of`'s `except`: the context of this error stays the exception
        # that is classified.
        if outcome is None or not isinstance(reason, (str, type(None))):
            raise TypeError(
                'classify must return a brama.Outcome ("success", "failure", "ignored"), a pair of '
                f"one and the reason (a str), or None, not {answer!r:.80}"
            )
        return outcome, text_of(reason) if reason else None


def _outcome_of(given: Any) -> Optional[Outcome]:
    try:
        return Outcome(given)
    except ValueError:
        return None


def _is_cancellation(error: BaseException) -> bool:
    return not isinstance(error, (Exception, *_ENDS))


def leaves_of(error: BaseException) -> Optional[Sequence[BaseException]]:
    """The exceptions of a group; None for one that is no group."""
    if sys.version_info >= (3, 11):
        group: Any = BaseExceptionGroup
    else:
        # trio and anyio raise these before Python 3.11.
        group = getattr(sys.modules.get("exceptiongroup"), "BaseExceptionGroup", ())
    if not isinstance(error, group):
        return None
    leaves: Sequence[BaseException] = error.exceptions  # type: ignore[attr-defined, unused-ignore]
    return leaves


def _classes(name: str, given: Exceptions) -> Tuple[_Class, ...]:
    classes = tuple(given) if isinstance(given, (tuple, list)) else (given,)
    for one in classes:
        if not (isinstance(one, type) and issubclass(one, BaseException)):
            raise TypeError(
                f"{name} must be an exception class, or a tuple or a list of them, not {one!r:.80}"
            )
    return classes


def is_coroutine_function(function: object) -> bool:
    """Whether a call of this returns a coroutine. True also for an object with an `async
    __call__`."""
    call = getattr(type(function), "__call__", None)
    return any(map(inspect.iscoroutinefunction, (function, call)))


def refuse_coroutines(name: str, function: object) -> None:
    """Raises TypeError if this is not callable, or is an `async def`."""
    if not callable(function):
        raise TypeError(f"{name} must be callable, not {type(function).__name__}")
    if is_coroutine_function(function) or inspect.isasyncgenfunction(function):
        raise TypeError(
            f"{name} must be a plain function: nothing would await what an `async def` returns"
        )


def reason_of(error: BaseException, kind: Optional[bytes] = None) -> bytes:
    """The reason that an event gives for an exception: its type and text.

    Args:
        kind: the name of its class, if it is known.
    """
    if kind is None:
        kind = type(error).__name__.encode("utf-8", "replace")
    try:
        text = str(error)
    except Exception:  # `__str__` is user-supplied code.
        return kind
    return b"%b: %b" % (kind, text_of(text)) if text else kind


#: Every `Exception` is a failure, except rejections.
DEFAULT = Policy()


def policy_of(
    include: Optional[Exceptions],
    exclude: Exceptions,
    classify: Optional[Classifier],
) -> Policy:
    if include is None and classify is None and exclude == ():
        return DEFAULT
    return Policy(include, exclude, classify)
