"""Failures with which the dependency says how long it wants to be left alone."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Callable

import pytest

import brama
from conftest import World

DAY = 86_400_000

#: A function that reports a failure of "x" with these keywords. It returns how many count.
Way = Callable[..., int]


def in_guard(world: World, **told: Any) -> int:
    with world.manager.guard("x") as call:
        return call.failure(**told)


WAYS: dict[str, Callable[..., int]] = {
    "by name": lambda world, **told: world.manager.failure("x", **told),
    "by handle": lambda world, **told: world.manager.connection("x").failure(**told),
    "on a permit": lambda world, **told: world.manager.acquire("x").failure(**told),
    "in a guard": in_guard,
}


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest, world: World) -> Way:
    return lambda **told: WAYS[request.param](world, **told)


def test_a_wait_opens_the_circuit_at_once_and_for_so_long(world: World, way: Way) -> None:
    manager = world.manager
    manager.register("x", max_attempts=brama.UNLIMITED)
    events = manager.events("circuit_opened")
    assert way(reason="HTTP 429", metadata={"a": "b"}, retry_after=1_500) == 1
    status = manager.status("x")
    assert (status.state, status.trips) == ("open", 1)
    assert (status.expiry, status.retry_after) == (1_500, 1_500)
    (event,) = events.drain()
    assert (event.reason, event.metadata, event.expiry) == ("HTTP 429", {"a": "b"}, 1_500)
    world.clock.advance(1_499)
    with pytest.raises(brama.CircuitOpen) as rejected:
        manager.acquire("x")
    assert rejected.value.retry_after == 1
    world.clock.advance(1)
    # A half-open circuit opens, too. A timedelta is rounded up to a millisecond.
    assert way(retry_after=timedelta(milliseconds=6, microseconds=1)) == 2
    assert (manager.status("x").expiry, manager.status("x").trips) == (7, 2)


def test_a_guard_passes_it_on_as_does_what_it_gives(world: World) -> None:
    guard = world.manager.register("x").guard()
    with guard:
        assert guard.failure("HTTP 429", retry_after=timedelta(seconds=30)) == 1
    assert world.manager.status("x").retry_after == 30_000


def test_while_open_or_late_it_is_in_the_totals_only(world: World) -> None:
    manager = world.manager
    x = manager.register("x")
    permit = x.acquire()
    with x.guard() as call:
        x.failure(retry_after=100)
        world.clock.advance(40)
        assert x.failure(retry_after=60_000) == 1
        assert manager.failure("x", retry_after=60_000) == 1
        with pytest.raises(brama.Stale):
            permit.failure(retry_after=60_000)
        assert call.failure(retry_after=60_000) == 0
        with pytest.raises(brama.Stale):
            call.failure(retry_after=60_000)
    with pytest.raises(brama.Stale):
        permit.failure(retry_after=60_000)
    status = x.status()
    assert (status.retry_after, status.trips) == (60, 1)
    assert (status.failure_count, status.total_failures) == (1, 5)
    manager.unregister("x")
    for report in (x.failure, lambda **told: manager.failure("x", **told)):
        with pytest.raises(brama.NotFound):
            report(retry_after=1)


def test_no_wait_is_an_ordinary_failure_and_a_long_one_is_a_day(world: World, way: Way) -> None:
    x = world.manager.register("x")
    nothing: list[Any] = [None, 0, timedelta(), timedelta(microseconds=999)]
    for n, wait in enumerate(nothing, 1):
        assert way(retry_after=wait) == n
        assert x.state() == "closed"
    # Two of these have a special meaning for the library.
    for wait in (DAY + 1, 0xFFFF_FFFE, 0xFFFF_FFFD, 1 << 64, 10**30, timedelta.max):
        x.reset_circuit()
        way(retry_after=wait)
        assert x.status().expiry == DAY


def test_what_is_no_wait_is_refused_and_reports_nothing(world: World) -> None:
    x = world.manager.register("x", max_attempts=1)
    permit = x.acquire()
    bad: Any
    with x.guard() as call:
        reports: list[Way] = [x.failure, permit.failure, call.failure, x.guard().failure]
        reports.append(lambda **told: world.manager.failure("x", **told))
        for report in reports:
            for bad in (-1, timedelta(-1), timedelta(microseconds=-1), -(1 << 64)):
                with pytest.raises(brama.InvalidArgument, match="`retry_after` = .*negative"):
                    report(retry_after=bad)
            for bad in (1.5, "30", True, brama.NEVER, brama.INHERIT):
                with pytest.raises(TypeError, match="retry_after must be an int"):
                    report(retry_after=bad)
        assert x.status().total_failures == 0
        assert not permit.reported and not call.reported
        call.failure(retry_after=3)
    assert x.status().expiry == 3


def test_a_riders_wait_is_that_of_the_call_around_it(world: World) -> None:
    x = world.manager.register("x")
    for by_hand in (False, True):
        x.half_open_circuit()
        with pytest.raises(KeyboardInterrupt), x.guard() as outer:
            with x.guard() as middle:
                with x.guard() as rider:
                    assert rider.failure("HTTP 429", retry_after=45_000) == 0
                middle.ignore()
            assert x.state() == "half_open"
            if by_hand:
                outer.ignore()
            raise KeyboardInterrupt
        assert (x.state(), x.status().retry_after) == ("open", 45_000)


@pytest.mark.parametrize("half_open", [True, False], ids=["a probe", "circuit closed"])
@pytest.mark.parametrize("outer", ["raises", "fails by hand", "ignored", "returns", "own wait"])
@pytest.mark.parametrize("riders", [(60_000,), (60_000, None), (None, 60_000), (60_000, 5)])
def test_the_longest_wait_of_the_riders_comes_with_any_failure(
    world: World, riders: tuple[Any, ...], outer: str, half_open: bool
) -> None:
    x = world.manager.register("x", max_attempts=5, expiry=100)
    events = world.manager.events("circuit_opened")
    if half_open:
        x.half_open_circuit()

    def calls() -> None:
        with x.guard() as call:
            for wait in riders:
                try:
                    with x.guard() as rider:
                        rider.failure(f"HTTP {wait}", retry_after=wait)
                except brama.CircuitOpen:
                    assert not half_open, "no call rides while the circuit is closed"
            if outer == "raises":
                raise ConnectionError("all in vain")
            if outer == "fails by hand":
                call.failure("all in vain")
            if outer == "own wait":
                call.failure("all in vain", retry_after=7_000)
            if outer == "ignored":
                call.ignore()

    if outer == "raises":
        with pytest.raises(ConnectionError):
            calls()
    else:
        calls()
    if half_open and outer == "returns":
        assert x.state() == "closed", "the call around them knows better"
        return
    assert x.state() == "open"
    own = half_open and outer == "own wait"
    assert x.status().retry_after == (7_000 if own else 60_000)
    (event,) = events.drain()
    ignored = outer == "ignored" or not half_open
    reason = "HTTP 60000" if ignored else "all in vain"
    assert event.reason is not None and event.reason.endswith(reason)


def test_a_riders_wait_goes_through_a_rider_that_fails(world: World) -> None:
    x = world.manager.register("x", expiry=100)
    x.half_open_circuit()
    with pytest.raises(ConnectionError), x.guard(), x.guard():
        with x.guard() as rider:
            rider.failure("HTTP 429", retry_after=60_000)
        raise ConnectionError
    assert x.status().retry_after == 60_000
