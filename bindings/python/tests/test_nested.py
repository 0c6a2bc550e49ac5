"""Nested calls of one circuit: while it is half-open, the inner call rides on the outer one."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from typing import Any

import pytest

import brama
from conftest import World


class Cancelled(BaseException):
    """A cancellation like those of trio and gevent: no `Exception`."""


def totals(world: World, name: str = "x") -> tuple[int, int]:
    status = world.manager.status(name)
    return status.total_successes, status.total_failures


def nested(world: World, **settings: Any) -> tuple[Any, Any]:
    """Two methods of a client: one needs the other."""
    circuit = world.manager.circuit
    up = [False]

    @circuit("x", max_attempts=1, expiry=1_000, **settings)
    def token() -> str:
        if not up[0]:
            raise ConnectionError
        return "t"

    @circuit("x")
    def orders() -> list[str]:
        return [token()]

    return up, orders


def test_nested_calls_of_a_circuit_recover(world: World) -> None:
    up, orders = nested(world)
    with pytest.raises(ConnectionError):
        orders()
    assert world.manager.state("x") == "open"
    world.later(1_000)
    with pytest.raises(ConnectionError):
        orders()
    status = world.manager.status("x")
    assert (status.state, status.trips, status.total_failures) == ("open", 2, 2)
    world.later(1_000)
    up[0] = True
    assert orders() == ["t"]
    assert world.manager.state("x") == "closed"
    assert totals(world) == (1, 2), "the call inside has reported nothing"


def test_three_calls_inside_of_each_other_recover(world: World) -> None:
    x = world.manager.register("x")
    x.half_open_circuit()
    calls = [world.manager.circuit("x"), world.manager.circuit("x", classify=lambda _: None)]

    @calls[0]
    def first() -> None:
        with x.guard():
            second()
            second()  # The outer call may be ridden on again.

    @calls[1]
    def second() -> int:
        return x.call(int)

    first()
    assert x.state() == "closed" and totals(world) == (1, 0)


@pytest.mark.parametrize("how", ["await", "wait_for", "gather", "to_thread", "async with"])
def test_nested_asynchronous_calls_recover(world: World, how: str) -> None:
    x = world.manager.register("x")

    @world.manager.circuit("x")
    async def inner() -> int:
        await asyncio.sleep(0)
        return 1

    def blocking() -> int:
        with x.guard():
            return 1

    @world.manager.circuit("x")
    async def outer() -> int:
        if how == "wait_for":
            return await asyncio.wait_for(inner(), 20)
        if how == "gather":
            return (await asyncio.gather(inner()))[0]
        if how == "to_thread":
            context = contextvars.copy_context()
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(None, context.run, blocking)
        if how == "async with":
            async with x.guard():
                return 1
        return await inner()

    async def main() -> None:
        for _ in range(3):
            x.half_open_circuit()
            assert await outer() == 1
            assert x.state() == "closed"
        assert totals(world) == (3, 0)

    asyncio.run(main())


def test_only_one_call_rides_at_a_time(world: World) -> None:
    x = world.manager.register("x")

    @world.manager.circuit("x")
    async def inner() -> None:
        await asyncio.sleep(0)

    async def main() -> list[Any]:
        async with x.guard():
            return await asyncio.gather(*[inner() for _ in range(3)], return_exceptions=True)

    x.half_open_circuit()
    answers = asyncio.run(main())
    assert [type(answer) for answer in answers] == [type(None), *[brama.CircuitOpen] * 2]
    assert x.state() == "closed"


def test_a_call_does_not_ride_on_what_has_ended_or_changed(world: World) -> None:
    x = world.manager.register("x", half_open_max_calls=1)
    probes: list[bool] = []
    x.half_open_circuit()

    async def left_behind(go: asyncio.Event) -> None:
        await go.wait()
        with pytest.raises(brama.CircuitOpen), x.guard():
            pass
        probes.append(True)

    async def main() -> None:
        go = asyncio.Event()
        with x.guard() as call:
            task = asyncio.ensure_future(left_behind(go))
            await asyncio.sleep(0)
            call.ignore()
        other = x.acquire()
        go.set()
        await task
        other.ignore()

    asyncio.run(main())
    with x.guard() as call:
        call.ignore()  # The outer call has reported, so the inner one takes a place.
        with x.guard() as inner:
            assert inner.is_probe
            with pytest.raises(brama.CircuitOpen):
                x.acquire()
            inner.ignore()
    with x.guard() as call, x.guard():
        call.ignore()  # So no call rides on its rider either.
        with x.guard() as inner:
            with pytest.raises(brama.CircuitOpen):
                x.acquire()
            inner.ignore()
        x.acquire().ignore()
    with x.guard():
        x.half_open_circuit()
        x.open_circuit()
        x.half_open_circuit()  # Another generation: the call takes a place of its own.
        with x.guard():
            pass
        assert x.state() == "closed"
    assert probes == [True]


def test_permits_threads_and_other_circuits_do_not_share(world: World) -> None:
    manager = world.manager
    x, y = manager.register("x"), manager.register("y")
    raised: list[type[BaseException]] = []

    def ask(circuit: brama.Connection) -> None:
        try:
            with circuit.guard():
                pass
        except brama.CircuitOpen as error:
            raised.append(type(error))

    x.half_open_circuit(), y.half_open_circuit()
    taken = y.acquire()
    with x.guard():
        ask(y)
        thread = threading.Thread(target=ask, args=(x,), daemon=True)
        thread.start()
        thread.join(20)
        with pytest.raises(brama.CircuitOpen):
            x.acquire()
    assert len(raised) == 2
    taken.ignore()
    permit = y.acquire()
    ask(y)
    with permit:
        ask(y)
    assert len(raised) == 4


def test_what_a_rider_says(world: World) -> None:
    """The outer call reports its own outcome. If it is ignored, it reports the rider's failure."""
    x = world.manager.register("x")

    def run(inner: BaseException | None, outer: BaseException | None, **policy: Any) -> str:
        x.reset_circuit()
        x.half_open_circuit()
        before = totals(world)
        try:
            with x.guard(**policy):
                try:
                    with x.guard():
                        if inner is not None:
                            raise inner
                except type(inner) if inner else ():
                    pass
                if outer is not None:
                    raise outer
        except BaseException:
            pass
        now = totals(world)
        return {(0, 0): "ignored", (1, 0): "success", (0, 1): "failure"}[
            now[0] - before[0], now[1] - before[1]
        ]

    assert run(None, None) == "success"
    assert run(OSError(), None) == "success"
    assert run(None, KeyError(), exclude=KeyError) == "ignored"
    assert run(OSError(), KeyError(), exclude=KeyError) == "failure"
    assert run(OSError(), Cancelled()) == "failure"
    assert run(Cancelled(), Cancelled()) == "ignored"
    assert run(None, OSError()) == "failure"
    error = OSError()
    assert run(error, error) == "failure"


def test_a_rider_reports_by_hand_without_an_effect_of_its_own(world: World) -> None:
    x = world.manager.register("x", max_attempts=1)
    x.half_open_circuit()
    with pytest.raises(Cancelled), x.guard():
        with x.guard() as rider:
            assert rider.failure("bad") == 0
            assert x.state() == "half_open"
        raise Cancelled
    assert x.state() == "open"


def test_a_rejection_by_an_inner_circuit_is_no_failure(world: World) -> None:
    circuit = world.manager.circuit
    world.manager.register("inner").open_circuit()

    @circuit("outer", max_attempts=1)
    def outer() -> None:
        with world.manager.guard("inner"):
            raise AssertionError("not entered")

    for _ in range(3):
        with pytest.raises(brama.CircuitOpen):
            outer()
    assert world.manager.state("outer") == "closed" and totals(world, "outer") == (0, 0)
    judged = circuit("outer", classify=lambda _: "failure")(outer)
    with pytest.raises(brama.CircuitOpen):
        judged()
    assert world.manager.state("outer") == "open"
