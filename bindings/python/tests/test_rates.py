"""The rules that open a circuit: which one does, and what status and events say of it."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any, Callable, Optional, Tuple

import pytest

import brama
from brama import _ffi
from conftest import World

#: The calls, failures and slow calls that count for the rates.
Counts = Tuple[Optional[int], Optional[int], Optional[int]]


def counts(told: Any) -> Counts:
    """The counts of a status or of an event."""
    return told.window_calls, told.window_failures, told.window_slow


def succeed(x: brama.Connection, times: int) -> None:
    for _ in range(times):
        x.success()


def fail(x: brama.Connection, times: int) -> None:
    for _ in range(times):
        x.failure()


def opened_by(x: brama.Connection) -> Optional[brama.Cause]:
    """The cause of the opening; None while the circuit is closed."""
    status = x.status()
    return None if status.state == "closed" else status.cause


def test_counts_of_failures(world: World) -> None:
    x = world.manager.register("x", max_attempts=2)
    fail(x, 1)
    succeed(x, 1)
    fail(x, 1)
    assert opened_by(x) is None
    fail(x, 1)
    assert opened_by(x) is brama.Cause.CONSECUTIVE
    assert counts(x.status()) == (None, None, None), "without a rate"

    x.reset_circuit()
    x.configure(window=1_000)
    fail(x, 1)
    world.clock.advance(1_000)
    fail(x, 1)
    succeed(x, 1)
    fail(x, 1)
    assert opened_by(x) is None
    fail(x, 1)
    assert opened_by(x) is brama.Cause.WINDOW

    x.reset_circuit()
    x.configure(success_clears_window=False)
    fail(x, 1)
    succeed(x, 9)
    assert opened_by(x) is None
    fail(x, 1)
    assert opened_by(x) is brama.Cause.WINDOW


def test_a_share_of_failures(world: World) -> None:
    x = world.manager.register("x", failure_rate=0.5, minimum_calls=10)
    assert x.status().settings.max_attempts is None
    assert counts(x.status()) == (0, 0, 0)
    fail(x, 9)
    assert opened_by(x) is None, "fewer than the minimum"
    succeed(x, 10)
    assert opened_by(x) is None, "a success opens nothing"
    assert counts(x.status()) == (19, 9, 0)
    fail(x, 1)
    assert opened_by(x) is brama.Cause.FAILURE_RATE
    assert counts(x.status()) == (20, 10, 0)
    fail(x, 3)
    assert counts(x.status()) == (20, 10, 0), "while it is open: in the totals only"
    assert x.status().total_failures == 13

    world.clock.advance(60_000)
    with x.guard() as probe:
        assert probe.is_probe and counts(x.status()) == (20, 10, 0)
        probe.failure()
    assert (opened_by(x), counts(x.status())) == ("probe", (None, None, None))
    world.clock.advance(60_000)
    with x.guard():
        pass
    assert (x.state(), counts(x.status())) == ("closed", (0, 0, 0))
    fail(x, 9)
    x.reset_circuit()
    fail(x, 9)
    assert (opened_by(x), counts(x.status())) == (None, (9, 9, 0))
    world.clock.advance(10_000)
    assert counts(x.status()) == (0, 0, 0)
    fail(x, 9)
    assert opened_by(x) is None
    fail(x, 1)
    assert opened_by(x) is brama.Cause.FAILURE_RATE


def test_a_share_of_slow_calls(world: World) -> None:
    slow = timedelta(milliseconds=100)
    x = world.manager.register("x", slow_call_duration=slow, slow_call_rate=0.5, minimum_calls=4)
    x.success(duration=99)
    x.success()
    x.failure(duration=100)
    assert (opened_by(x), counts(x.status())) == (None, (3, 1, 1))
    x.success(duration=100)
    assert (opened_by(x), counts(x.status())) == ("slow_call_rate", (4, 1, 2))
    assert x.status().failure_count == 0, "it is a success for the count"


def test_a_share_of_the_last_calls(world: World) -> None:
    x = world.manager.register("x", failure_rate=0.5, rate_calls=10)
    fail(x, 4)
    succeed(x, 6)
    world.clock.advance(86_400_000)
    assert counts(x.status()) == (10, 4, 0), "however old they are"
    succeed(x, 1)
    assert counts(x.status()) == (10, 3, 0), "the eleventh is out"
    fail(x, 4)
    assert (opened_by(x), counts(x.status())) == (None, (10, 4, 0))
    fail(x, 1)
    assert (opened_by(x), counts(x.status())) == ("failure_rate", (10, 5, 0))


def test_several_rules_the_first_that_fires(world: World) -> None:
    for fails, cause in (((1, 1, 1), "consecutive"), ((1, 0, 1, 0, 1, 1), "failure_rate")):
        x = world.manager.register("x", max_attempts=3, failure_rate=0.5, minimum_calls=6)
        for failed in fails:
            assert opened_by(x) is None
            fail(x, 1) if failed else succeed(x, 1)
        assert opened_by(x) == cause
        assert counts(x.status()) == (len(fails), sum(fails), 0)
        world.manager.unregister("x")


def test_an_event_of_an_opening_says_what_counted(world: World) -> None:
    rule: Any = {"failure_rate": 0.25, "minimum_calls": 8, "slow_call_duration": 100}
    x = world.manager.register("x", **rule)
    events = world.manager.events()
    succeed(x, 5)
    x.success(duration=250)
    fail(x, 2)
    x.reset_circuit()
    told = events.drain()
    for event in told:
        is_open = event.new_state == "open"
        assert counts(event) == ((8, 2, 1) if is_open else (None, None, None)), event
    (opened,) = [event for event in told if event.type == "circuit_opened"]
    assert opened.cause is brama.Cause.FAILURE_RATE


# Rules that are given and taken back while calls go on: the next call follows them. A call reads
# the circuit's pass word, and asks the library only if the pass word says so.

#: A function that makes a guarded call of "x" and runs its argument during the call.
Guarded = Callable[[Callable[[], None]], None]


def decorated(world: World) -> Guarded:
    @world.manager.circuit("x")
    def call(during: Callable[[], None]) -> None:
        during()

    return call


def awaited(world: World) -> Guarded:
    @world.manager.circuit("x")
    async def call(during: Callable[[], None]) -> None:
        during()

    return lambda during: asyncio.run(call(during))


def in_block(world: World) -> Guarded:
    def call(during: Callable[[], None]) -> None:
        with world.manager.guard("x"):
            during()

    return call


def in_kept_block(world: World) -> Guarded:
    guard = world.manager.connection("x").guard()

    def call(during: Callable[[], None]) -> None:
        with guard:
            during()

    return call


def by_permit(world: World) -> Guarded:
    def call(during: Callable[[], None]) -> None:
        permit = world.manager.acquire("x")
        during()
        permit.success()

    return call


@pytest.mark.parametrize("way", [decorated, awaited, in_block, in_kept_block, by_permit])
@pytest.mark.parametrize("everyones", [False, True], ids=["its own", "the manager's"])
def test_the_next_call_follows_a_rule_that_is_new(
    world: World, way: Callable[[World], Guarded], everyones: bool
) -> None:
    manager, back = world.manager, brama.INHERIT
    x = manager.register("x")
    configure: Callable[..., None] = manager.configure if everyones else x.configure
    guarded = way(world)

    def calls(times: int, length: int) -> None:
        for _ in range(times):
            guarded(lambda: world.clock.advance(length))

    calls(3, 500)
    configure(slow_call_duration=100, slow_call_rate=1.0, minimum_calls=3)
    calls(2, 500)
    assert (opened_by(x), counts(x.status())) == (None, (2, 0, 2))
    calls(1, 500)
    assert (opened_by(x), counts(x.status())) == ("slow_call_rate", (3, 0, 3))
    with pytest.raises(brama.CircuitOpen):
        calls(1, 500)

    x.reset_circuit()
    configure(slow_call_duration=back, slow_call_rate=back)
    calls(10, 500)
    assert (opened_by(x), counts(x.status())) == (None, (None, None, None))

    configure(failure_rate=0.2, rate_calls=10, minimum_calls=10)
    calls(9, 0)
    fail(x, 1)
    assert (opened_by(x), counts(x.status())) == (None, (10, 1, 0))
    fail(x, 1)
    assert (opened_by(x), counts(x.status())) == ("failure_rate", (10, 2, 0))

    x.reset_circuit()
    configure(rate_calls=back, rate_window=5_000)
    calls(9, 0)
    fail(x, 2)
    assert (opened_by(x), counts(x.status())) == (None, (11, 2, 0))
    fail(x, 1)
    assert (opened_by(x), counts(x.status())) == ("failure_rate", (12, 3, 0))


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("failure_rate", 0.0),
        ("failure_rate", float("nan")),
        ("failure_rate", 1.000001),
        ("slow_call_rate", -0.5),
        ("slow_call_rate", float("inf")),
        ("rate_window", 999),
        ("rate_window", 3_600_001),
        ("rate_window", -1),
        ("rate_calls", 9),
        ("rate_calls", 100_001),
        ("minimum_calls", 0),
        ("slow_call_duration", 0),
        ("slow_call_duration", -1),
        ("slow_call_duration", timedelta(-1)),
    ],
)
def test_a_call_that_is_refused_leaves_what_counts(world: World, setting: str, value: Any) -> None:
    x = world.manager.register("x", failure_rate=0.5, minimum_calls=10)
    succeed(x, 4)
    fail(x, 5)
    before = x.status()
    given = {"jitter": 0.5, "window": 9, setting: value}
    for configure in (x.configure, world.manager.configure):
        with pytest.raises(brama.InvalidConfig, match=f"`{setting}` = .*: must"):
            configure(**given)
    with pytest.raises(brama.InvalidArgument, match="`duration` = "):
        x.failure(duration=-1)
    assert x.status() == before and counts(before) == (9, 5, 0)
    fail(x, 1)
    assert (opened_by(x), counts(x.status())) == ("failure_rate", (10, 6, 0))


def test_what_the_rule_had_counted_is_in_the_message_and_stays(world: World) -> None:
    slow = timedelta(milliseconds=100)
    x = world.manager.register(
        "x", max_attempts=3, failure_rate=0.5, slow_call_duration=slow, slow_call_rate=0.5
    )
    x.configure(minimum_calls=4)

    def evidence() -> Counts:
        status = x.status()
        return status.opened_calls, status.opened_failures, status.opened_slow

    def said() -> Optional[str]:
        with pytest.raises(brama.CircuitOpen) as caught:
            x.acquire()
        error = caught.value
        if error.evidence is not None:
            assert f"({error.cause}, {error.evidence})" in str(error)
        # The library's own message has the same words.
        assert not x._handle.available()
        assert (error.evidence or "") in _ffi._abi_message().decode()
        return error.evidence

    def recover() -> None:
        world.clock.advance(60_000)
        x.success()
        assert x.state() == "closed"

    assert evidence() == (None, None, None)
    fail(x, 3)
    assert (said(), evidence()) == ("3 failures in a row", (None, 3, None))
    recover()
    assert evidence() == (None, 3, None)
    for _ in range(2):
        succeed(x, 1)
        fail(x, 1)
    assert (said(), evidence()) == ("2 of 4 calls failed", (4, 2, 0))
    recover()
    for _ in range(2):
        succeed(x, 1)
        x.success(duration=slow)
    assert (said(), evidence()) == ("2 of 4 calls were slow", (4, 0, 2))
    recover()
    assert evidence() == (4, 0, 2)
    x.configure(max_attempts=1, window=1_000)
    fail(x, 1)
    assert (said(), evidence()) == ("1 failure within the window", (None, 1, None))
    x.open_circuit()
    assert (said(), evidence()) == (None, (None, None, None))
