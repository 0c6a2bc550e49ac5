"""Reasons that `classify` gives."""

from __future__ import annotations

import asyncio
import sys
from typing import Any, Optional

import pytest

import brama
from conftest import World


def test_classify_may_give_the_reason(world: World) -> None:
    x = world.manager.register("x", max_attempts=100)

    def said() -> Optional[str]:
        return x.status().last_failure_reason

    def classify(value: object) -> Any:
        if isinstance(value, KeyError):
            return "failure", None
        if isinstance(value, BaseException):
            return brama.Outcome.FAILURE, f"mine: {value}"
        return ("failure", value) if value else ("success", "not shown")

    guarded = world.manager.circuit("x", classify=classify)

    @guarded
    def call(value: Any) -> Any:
        if isinstance(value, BaseException):
            raise value
        return value

    assert (call("HTTP 503"), said()) == ("HTTP 503", "HTTP 503")
    assert (call(""), said()) == ("", "HTTP 503"), "a success has none"
    with pytest.raises(OSError):
        call(OSError("down"))
    assert said() == "mine: down"
    with pytest.raises(KeyError):
        call(KeyError("k"))
    assert said() == "KeyError: 'k'", "that of the exception"

    @guarded
    async def later(value: str) -> str:
        return value

    assert (asyncio.run(later("\ud800 odd")), said()) == ("\ud800 odd", "\ufffd" * 3 + " odd")

    with x.guard(classify=classify) as block:
        assert block.result("HTTP 500") == "HTTP 500"
    assert said() == "HTTP 500"
    with pytest.raises(ValueError), x.guard(classify=classify):
        raise ValueError("in a block")
    assert said() == "mine: in a block"

    x.half_open_circuit()
    with pytest.raises(ValueError), x.guard(exclude=ValueError):
        assert call("HTTP 502") == "HTTP 502", "it rides on the block"
        raise ValueError
    assert said() == "HTTP 502"
    assert x.status().reason == "HTTP 502"


@pytest.mark.skipif(sys.version_info < (3, 11), reason="there are no groups")
def test_classify_gives_the_reason_of_an_exception_of_a_group(world: World) -> None:
    x = world.manager.register("x")

    def classify(error: Any) -> Any:
        return None if isinstance(error, KeyError) else ("failure", f"mine: {error}")

    group: Any = eval("ExceptionGroup")
    with pytest.raises(group), x.guard(exclude=KeyError, classify=classify):
        raise group("several", [KeyError("k"), OSError("down")])
    assert x.status().last_failure_reason == "mine: down"


@pytest.mark.parametrize(
    "answer",
    [
        "odd",
        5,
        ("failure",),
        ("failure", "a", "b"),
        ("failure", 503),
        ("failure", b"bytes"),
        (None, "reason"),
        ({}, "reason"),
        ["failure", "reason"],
    ],
)
def test_what_classify_must_not_answer_is_refused(world: World, answer: Any) -> None:
    x = world.manager.register("x", max_attempts=1)
    allowed = "a brama.Outcome .*ignored.., a pair of one and the reason .a str., or None, not"

    @world.manager.circuit("x", classify=lambda _: answer)
    def call(error: Optional[BaseException]) -> None:
        if error is not None:
            raise error

    with pytest.raises(TypeError, match=allowed):
        call(None)
    down = OSError("down")
    with pytest.raises(TypeError, match=allowed) as caught:
        call(down)
    assert caught.value.__context__ is down and not caught.value.__suppress_context__
    status = x.status()
    assert (status.total_ignored, status.total_failures, status.state) == (2, 0, "closed")
