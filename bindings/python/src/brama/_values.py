"""From Python's values to the library's: names, lengths of time, metadata.

A wrong type raises `TypeError`. A value that cannot be passed to the library raises the error
that the library has for it. The library validates all other values.
"""

from __future__ import annotations

import itertools
import math
from datetime import timedelta
from typing import Dict, Mapping, Optional, Tuple, Type, Union

from ._errors import BramaError, InvalidArgument, InvalidConfig

#: Milliseconds, or a `datetime.timedelta`.
Duration = Union[int, timedelta]
#: How long a call has lasted: milliseconds, which may have a fraction, or a timedelta.
Lasted = Union[float, timedelta]

#: For `scope` where connections are selected: those without a scope.
NO_SCOPE = ""

_NAME_RULE = "must be 1 to 1024 bytes of UTF-8 without NUL"
_TEXT_RULE = "must be UTF-8 without NUL"
#: The most bytes of a text that an event keeps.
_KEPT = 1_024
_MILLISECOND = timedelta(milliseconds=1)
#: The library cuts longer waits to this. They are cut here already, because some large numbers
#: have a special meaning for the library.
_LONGEST_WAIT = 86_400_000
#: Longer durations are cut to this, because larger numbers have a special meaning for the
#: library. So have the two of `_NO_CALLS`, which are 49 days.
_LONGEST_CALL = 0x7FFF_FFFF_FFFF_FFFF
_NO_CALLS = (0xFFFF_FFFD, 0xFFFF_FFFE)
#: The largest numbers without a special meaning for the library.
LARGEST_U32 = 0xFFFF_FFFB
LARGEST_U64 = 0xFFFF_FFFF_FFFF_FFFB
#: The longest time in milliseconds.
LONGEST = 0x7FFF_FFFF_FFFF_FFFF
#: Doubles with a special meaning for the library are not above this number.
_MEANINGS = -1.0e300


def wrong_type(name: str, value: object, allowed: str) -> TypeError:
    return TypeError(f"{name} must be {allowed}, not {type(value).__name__}")


def invalid(name: str, value: object, allowed: str) -> InvalidArgument:
    return InvalidArgument(f"invalid argument `{name}` = {_short(value)}: {allowed}")


def invalid_setting(name: str, value: object, allowed: str) -> InvalidConfig:
    return InvalidConfig(f"invalid setting `{name}` = {_short(value)}: {allowed}")


def _short(value: object) -> str:
    # A number may have a million digits.
    if isinstance(value, int) and value.bit_length() > 256:
        return "a number of more than 256 bits"
    text = ascii(value[:60] if isinstance(value, str) else value)
    return text if len(text) <= 80 else text[:77] + "..."


def name(argument: str, value: str, rule: str = _NAME_RULE) -> bytes:
    """A text for the library. Its length is validated there."""
    if not isinstance(value, str):
        raise wrong_type(argument, value, "a str")
    try:
        encoded = value.encode()
    except UnicodeEncodeError:
        raise invalid(argument, value, rule) from None
    if b"\0" in encoded:
        raise invalid(argument, value, rule)
    return encoded


def key(identifier: str, scope: Optional[str]) -> Tuple[bytes, Optional[bytes]]:
    return name("identifier", identifier), None if scope is None else name("scope", scope)


def text(value: str) -> bytes:
    """A text that goes with a report. A bad text must not make the report fail: the library makes
    it valid if it is no UTF-8, has a NUL or is too long, and the event says so."""
    if len(value) > _KEPT:
        value = value[: _KEPT + 1]
    try:
        encoded = value.encode()
    except UnicodeEncodeError:
        encoded = value.encode("utf-8", "surrogatepass")
    # In C a NUL would silently end the text. This byte is no UTF-8, so the library sees it.
    return encoded.replace(b"\0", b"\xff") if b"\0" in encoded else encoded


def reason(value: Optional[str]) -> Optional[bytes]:
    if value is None:
        return None
    if not isinstance(value, str):
        raise wrong_type("reason", value, "a str")
    return text(value)


def data(value: Union[bytes, bytearray, memoryview]) -> bytes:
    if type(value) is bytes:
        return value
    if not isinstance(value, (bytes, bytearray, memoryview)):
        raise wrong_type("data", value, "bytes, a bytearray or a memoryview")
    # Not `bytes(value)`: a subclass may override its conversion and its length.
    return memoryview(value).tobytes()


def details(value: Optional[Mapping[str, str]]) -> Optional[Dict[bytes, bytes]]:
    """The metadata of a report."""
    if value is None:
        return None
    if not isinstance(value, Mapping):
        raise wrong_type("metadata", value, "a mapping of str to str")
    for part in itertools.chain.from_iterable(value.items()):
        if not isinstance(part, str):
            raise wrong_type("what metadata holds", part, "a str")
    return {text(k): text(v) for k, v in value.items()}


def metadata(value: Optional[Mapping[str, str]]) -> Optional[Dict[bytes, bytes]]:
    if value is None:
        return None
    if not isinstance(value, Mapping):
        raise wrong_type("metadata", value, "a mapping of str to str")
    return {
        name("metadata key", k, _TEXT_RULE): name("metadata value", v, _TEXT_RULE)
        for k, v in value.items()
    }


def whole(
    argument: str,
    value: int,
    largest: int,
    error: Type[BramaError] = InvalidConfig,
    unit: str = "",
    rule: Optional[str] = None,
    smallest: int = 1,
) -> int:
    """A whole number from 0 to `largest`. The library validates the rest.

    Args:
        smallest: the smallest number that the library accepts, for the message.
    """
    if isinstance(value, bool) or not isinstance(value, int):
        raise wrong_type(argument, value, "an int")
    if not 0 <= value <= largest:
        make = invalid_setting if error is InvalidConfig else invalid
        raise make(argument, value, rule or f"must be {smallest} to {largest}{unit}")
    return value


def milliseconds(
    argument: str,
    value: Duration,
    error: Type[BramaError] = InvalidConfig,
    rule: Optional[str] = None,
    smallest: int = 1,
) -> int:
    """A length of time in milliseconds, rounded up."""
    ms = _in_milliseconds(argument, value)
    return whole(argument, ms, LONGEST, error, " ms", rule, smallest)


def wait(argument: str, value: Optional[Duration]) -> int:
    """How long a dependency wants to be left alone; 0: it has not said."""
    if value is None:
        return 0
    if isinstance(value, timedelta) and value < _MILLISECOND:
        value //= _MILLISECOND  # Less than a millisecond is no wait.
    ms = _in_milliseconds(argument, value)
    if ms < 0:
        raise invalid(argument, ms, "must not be negative")
    return min(ms, _LONGEST_WAIT)


def lasted(value: Optional[Lasted]) -> Optional[int]:
    """How long a call has lasted, in whole milliseconds; None: that is not said.

    Rounded down, so that no call is taken for slower than it was.
    """
    if value is None:
        return None
    if isinstance(value, timedelta):
        value //= _MILLISECOND
    elif isinstance(value, bool) or not isinstance(value, (int, float)):
        raise wrong_type("duration", value, "a number (milliseconds) or a datetime.timedelta")
    if not 0 <= value < math.inf:
        raise invalid("duration", value, "must be finite, and not negative")
    ms = int(value)
    return _NO_CALLS[0] - 1 if ms in _NO_CALLS else min(ms, _LONGEST_CALL)


def _in_milliseconds(argument: str, value: Duration) -> int:
    if isinstance(value, timedelta):
        ms, rest = divmod(value, _MILLISECOND)
        return ms + bool(rest)
    if isinstance(value, bool) or not isinstance(value, int):
        allowed = "an int (milliseconds) or a datetime.timedelta"
        raise wrong_type(argument, value, allowed)
    return value


def real(argument: str, value: float, rule: str, largest: float = math.inf) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise wrong_type(argument, value, "a float")
    try:
        number = float(value)
    except OverflowError:
        raise invalid_setting(argument, value, "must be finite") from None
    # Some of these have a special meaning for the library.
    if number <= _MEANINGS or number > largest:
        raise invalid_setting(argument, value, rule)
    return number
