"""How long calls last: durations that a reporter gives, and durations that are measured."""

from __future__ import annotations

import asyncio
from contextlib import AbstractContextManager
from datetime import timedelta
from typing import Any, Callable, List

import pytest

import brama
from conftest import World

DURATIONS: List[Any] = [0, 7, 7.5, 1e300, 1 << 64, 0xFFFF_FFFD, 0xFFFF_FFFE, 0x7FFF_FFFF_FFFF_FFFF]
DURATIONS += [timedelta(), timedelta(microseconds=1), timedelta.max]

#: A function that reports on "x" with these keywords.
Way = Callable[..., Any]


def ways(world: World, outcome: str) -> List[Way]:
    """Each way to report by hand."""
    x, manager = world.manager.connection("x"), world.manager

    def in_guard(**told: Any) -> Any:
        with x.guard() as call:
            return getattr(call, outcome)(**told)

    def on_guard(**told: Any) -> Any:
        guard = manager.guard("x")
        with guard:
            return getattr(guard, outcome)(**told)

    return [
        lambda **told: getattr(manager, outcome)("x", **told),
        lambda **told: getattr(x, outcome)(**told),
        lambda **told: getattr(x.acquire(), outcome)(**told),
        lambda **told: getattr(manager.acquire("x"), outcome)(**told),
        in_guard,
        on_guard,
    ]


def test_a_report_with_a_duration_is_one_without_it_besides(world: World) -> None:
    x = world.manager.register("x", max_attempts=brama.UNLIMITED)
    events = world.manager.events(["success", "failure"])
    told = {"metadata": {"a": "b"}}
    for n, duration in enumerate(DURATIONS, 1):
        for succeed, fail in zip(ways(world, "success"), ways(world, "failure")):
            assert fail(reason="HTTP 504", duration=duration, **told) == 1
            assert succeed(duration=duration, **told) is None
            assert x.status().failure_count == 0
            failed, succeeded = events.drain()
            assert (failed.type, failed.reason) == ("failure", "HTTP 504")
            assert failed.metadata == succeeded.metadata == {"a": "b"}
        assert x.status().total_successes == x.status().total_failures == 6 * n


def test_a_duration_may_come_with_a_wait(world: World) -> None:
    x = world.manager.register("x")
    for fail in ways(world, "failure"):
        assert fail(duration=30_000, retry_after=None) == 1
        assert fail(duration=30_000, retry_after=0) == 2
        assert x.state() == "closed"
        fail(duration=30_000, retry_after=1_500)
        assert (x.state(), x.status().expiry) == ("open", 1_500)
        x.reset_circuit()


def test_what_is_no_duration_is_refused_and_reports_nothing(world: World) -> None:
    x = world.manager.register("x", max_attempts=1)
    permit = x.acquire()
    bad: Any
    with x.guard() as call:
        reports: List[Way] = []
        for outcome in ("success", "failure"):
            reports += [getattr(on, outcome) for on in (permit, call, x.guard())]
            reports += ways(world, outcome)[:2]
        for report in reports:
            for bad in (-1, -0.5, float("nan"), float("inf"), -(1 << 64), timedelta(-1)):
                with pytest.raises(brama.InvalidArgument, match="`duration` = .*not negative"):
                    report(duration=bad)
            for bad in ("30", True, brama.NEVER, brama.INHERIT, [], object()):
                with pytest.raises(TypeError, match="duration must be a number"):
                    report(duration=bad)
        status = x.status()
        assert status.total_failures == status.total_successes == 0
        assert not permit.reported and not call.reported
        call.success(duration=3)
    permit.success(duration=3)
    assert x.status().total_successes == 2


def test_late_reports_say_so(world: World) -> None:
    x = world.manager.register("x")
    permits = [x.acquire(), x.acquire()]
    with x.guard() as call:
        x.open_circuit(expiry=1)
        with pytest.raises(brama.Stale):
            permits[0].success(duration=1)
        with pytest.raises(brama.Stale):
            permits[1].failure(duration=1)
        assert call.failure(duration=1) == 0
    world.manager.unregister("x")
    for outcome in ("success", "failure"):
        for on in (x, world.manager):
            with pytest.raises(brama.NotFound):
                getattr(on, outcome)(*([] if on is x else ["x"]), duration=1)


# A measured call that its caller gives up is a failure if it has lasted for `cancelled_after`, with
# the setting that is in effect at that time.


def given_up(block: AbstractContextManager[Any], wait: Callable[[], None]) -> None:
    with pytest.raises(asyncio.CancelledError), block:
        wait()
        raise asyncio.CancelledError


def decorated(world: World, wait: Callable[[], None]) -> None:
    @world.manager.circuit("x")
    def call() -> None:
        wait()
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        call()


def awaited(world: World, wait: Callable[[], None]) -> None:
    @world.manager.circuit("x")
    async def call() -> None:
        wait()
        await asyncio.sleep(3600)

    async def main() -> None:
        task = asyncio.ensure_future(call())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())


def in_async_block(world: World, wait: Callable[[], None]) -> None:
    async def main() -> None:
        with pytest.raises(asyncio.CancelledError):
            async with world.manager.guard("x"):
                wait()
                raise asyncio.CancelledError

    asyncio.run(main())


CALLS: dict[str, Callable[[World, Callable[[], None]], None]] = {
    "a guard": lambda world, wait: given_up(world.manager.guard("x"), wait),
    "a handle's guard": lambda world, wait: given_up(world.manager.connection("x").guard(), wait),
    "a permit": lambda world, wait: given_up(world.manager.connection("x").acquire(), wait),
    "a permit by name": lambda world, wait: given_up(world.manager.acquire("x"), wait),
    "a decorated function": decorated,
    "a coroutine": awaited,
    "an async block": in_async_block,
}


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("half_open", [False, True], ids=["circuit closed", "a probe"])
@pytest.mark.parametrize("setting", ["slow_call_duration", "cancelled_after"])
@pytest.mark.parametrize("everyones", [False, True], ids=["its own", "the manager's"])
def test_the_next_call_is_measured_once_a_setting_asks_for_it(
    world: World, call: str, half_open: bool, setting: str, everyones: bool
) -> None:
    manager = world.manager
    x = manager.register("x", max_attempts=brama.UNLIMITED)
    configure: Callable[..., None] = manager.configure if everyones else x.configure

    def failures() -> int:
        if half_open:
            x.half_open_circuit()
        before = x.status().total_failures

        def wait() -> None:
            world.clock.advance(500)
            configure(cancelled_after=500)

        CALLS[call](world, wait)
        configure(cancelled_after=brama.INHERIT, slow_call_duration=brama.INHERIT)
        return x.status().total_failures - before

    # After the first call the handle has the ticket of healthy calls.
    assert failures() == 0, "it began before"
    for limit in (50, 60_000):
        configure(**{setting: limit})
        assert failures() == 1
        assert failures() == 0, "the setting is gone"


# These settings open the circuit after one call of 50 ms.

FRAGILE: dict[str, Any] = {
    "max_attempts": brama.UNLIMITED,
    "slow_call_duration": 50,
    "slow_call_rate": 1.0,
    "minimum_calls": 1,
}


def test_a_given_duration_goes_before_the_measured_one(world: World) -> None:
    x = world.manager.register("x", **FRAGILE)
    slow: List[Any] = [50, 50.0, timedelta(milliseconds=50), 1e300, 1 << 64, 0xFFFF_FFFE]
    for outcome in ("success", "failure"):
        for report in ways(world, outcome):
            for fast in (0, 49, 49.999, timedelta(microseconds=49_999)):
                report(duration=fast)
                assert x.state() == "closed"
                x.reset_circuit()
            for duration in slow:
                report(duration=duration)
                assert (x.state(), x.status().cause) == ("open", "slow_call_rate")
                x.reset_circuit()

    def permit(duration: int) -> None:
        given = x.acquire()
        world.clock.advance(99 - duration)
        given.success(duration=duration)

    def block(duration: int) -> None:
        with x.guard() as call:
            world.clock.advance(99 - duration)
            call.failure(duration=duration)

    for measured in (permit, block):
        measured(49)
        assert x.state() == "closed"
        x.reset_circuit()
        measured(50)
        assert x.state() == "open"
        x.reset_circuit()


def in_guard(world: World, work: Callable[[], None]) -> None:
    with world.manager.guard("x"):
        work()


def in_handles_guard(world: World, work: Callable[[], None]) -> None:
    with world.manager.connection("x").guard():
        work()


def by_hand(world: World, work: Callable[[], None]) -> None:
    with world.manager.connection("x").guard() as call:
        try:
            work()
            call.success()
        except OSError:
            call.failure("down")
            raise


def with_permit(world: World, work: Callable[[], None]) -> None:
    with world.manager.acquire("x"):
        work()


def by_permit(world: World, work: Callable[[], None]) -> None:
    permit = world.manager.connection("x").acquire()
    try:
        work()
        permit.success()
    except OSError:
        permit.failure("down")
        raise


def in_function(world: World, work: Callable[[], None]) -> None:
    world.manager.circuit("x")(work)()


def in_coroutine(world: World, work: Callable[[], None]) -> None:
    @world.manager.circuit("x")
    async def call() -> None:
        work()

    asyncio.run(call())


def in_async_guard(world: World, work: Callable[[], None]) -> None:
    async def main() -> None:
        async with world.manager.guard("x"):
            work()

    asyncio.run(main())


BLOCKS = [
    in_guard,
    in_handles_guard,
    by_hand,
    with_permit,
    by_permit,
    in_function,
    in_coroutine,
    in_async_guard,
]


@pytest.mark.parametrize("block", BLOCKS)
@pytest.mark.parametrize("fails", [False, True], ids=["success", "failure"])
@pytest.mark.parametrize("everyones", [False, True], ids=["its own", "the manager's"])
def test_every_call_is_measured(
    world: World, block: Callable[[World, Callable[[], None]], None], fails: bool, everyones: bool
) -> None:
    x = world.manager.register("x", max_attempts=brama.UNLIMITED)

    def call(ms: int) -> str:
        def work() -> None:
            world.clock.advance(ms)
            if fails:
                raise OSError("down")

        if fails:
            with pytest.raises(OSError):
                block(world, work)
        else:
            block(world, work)
        return x.state()

    assert call(60_000) == "closed"
    # The settings take effect from the next call on.
    configure: Callable[..., None] = world.manager.configure if everyones else x.configure
    configure(**FRAGILE)
    assert call(49) == "closed"
    x.reset_circuit()
    assert call(50) == "open"
    assert x.status().cause == "slow_call_rate"
