"""What a result or an exception says about the dependency."""

from __future__ import annotations

from typing import Callable, Optional, Tuple, Type, Union

from ._settings import StrEnum

Exceptions = Union[Type[BaseException], Tuple[Type[BaseException], ...]]
#: Given a result or an exception; None leaves the decision to `include` and `exclude`.
Classifier = Callable[[object], Union["Outcome", str, None]]

#: More of an exception's text is not worth a reason.
_REASON_LENGTH = 200


class Outcome(StrEnum):
    """What became of a call."""

    SUCCESS = "success"
    """The dependency is fine."""
    FAILURE = "failure"
    """The dependency failed."""
    IGNORED = "ignored"
    """Neither: it says nothing about the dependency."""


class Policy:
    """Decides what counts. Exceptions that are not an `Exception` never do: a caller that
    was cancelled or interrupted is no failing dependency."""

    def __init__(
        self,
        include: Optional[Exceptions] = None,
        exclude: Exceptions = (),
        classify: Optional[Classifier] = None,
    ) -> None:
        self.include = None if include is None else _types("include", include)
        self.exclude = _types("exclude", exclude)
        if classify is not None and not callable(classify):
            raise TypeError(f"classify must be callable, not {type(classify).__name__}")
        self.classify = classify

    def of_result(self, result: object) -> Outcome:
        return self._classified(result) or Outcome.SUCCESS

    def of_error(self, error: BaseException) -> Outcome:
        if not isinstance(error, Exception):
            return Outcome.IGNORED
        known = self._classified(error)
        if known is not None:
            return known
        if isinstance(error, self.exclude):
            return Outcome.IGNORED
        if self.include is not None and not isinstance(error, self.include):
            return Outcome.IGNORED
        return Outcome.FAILURE

    def _classified(self, value: object) -> Optional[Outcome]:
        if self.classify is None:
            return None
        answer = self.classify(value)
        if answer is None:
            return None
        try:
            return Outcome(answer)
        except ValueError:
            raise TypeError(
                f"classify must return a brama.Outcome or None, not {answer!r:.80}"
            ) from None


def _types(name: str, given: Exceptions) -> Tuple[Type[BaseException], ...]:
    types = given if isinstance(given, tuple) else (given,)
    for one in types:
        if not (isinstance(one, type) and issubclass(one, BaseException)):
            raise TypeError(
                f"{name} must be an exception class or a tuple of them, not {one!r:.80}"
            )
    return types


def reason_of(error: BaseException) -> bytes:
    """What an event says of an exception: its type and text."""
    kind = type(error).__name__
    try:
        text = str(error)
    except Exception:  # Its text is the user's code.
        text = ""
    reason = f"{kind}: {text}" if text else kind
    return reason[:_REASON_LENGTH].replace("\0", " ").encode("utf-8", "replace")


#: Every `Exception` is a failure.
DEFAULT = Policy()
