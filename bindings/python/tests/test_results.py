"""What guarded functions return: results, and awaitables that have a result later."""

from __future__ import annotations

import asyncio
import threading
import warnings
from typing import Any
from unittest import mock

import pytest

import brama
from conftest import World, until


def totals(world: World, name: str = "x") -> tuple[int, int]:
    status = world.manager.status(name)
    return status.total_successes, status.total_failures


def async_totals(world: World, made: Any, **policy: Any) -> tuple[int, int, int]:
    """The totals before the call, and those after it was awaited."""

    async def main() -> tuple[int, int, int]:
        call = world.manager.circuit("x", **policy)(made)
        before = sum(totals(world))
        awaitable = call()
        assert sum(totals(world)) == before, "it is not classified before it is awaited"
        try:
            await awaitable
        except OSError:
            pass
        after = totals(world)
        return before, *after

    return asyncio.run(main())


async def fine(*_: object) -> int:
    await asyncio.sleep(0)
    return 1


async def failing(*_: object) -> int:
    await asyncio.sleep(0)
    raise OSError


class Awaitable:
    """An object as asynchronous clients return it, to be awaited or entered."""

    def __init__(self, coroutine: Any, name: str = "request") -> None:
        self.coroutine, self.name, self.left = coroutine, name, 0

    def __await__(self) -> Any:
        return self.coroutine.__await__()

    async def __aenter__(self) -> Any:
        return await self.coroutine

    async def __aexit__(self, *_: object) -> None:
        self.left += 1


def wrappers(made: Any) -> dict[str, Any]:
    import functools
    import types

    def decorator(function: Any) -> Any:
        @functools.wraps(function)
        def wrapper(*args: Any) -> Any:
            return function(*args)

        return wrapper

    def in_executor() -> Any:
        def work() -> None:
            coroutine = made()
            try:
                while True:
                    coroutine.send(None)
            except StopIteration:
                pass

        return asyncio.get_running_loop().run_in_executor(None, work)

    @types.coroutine
    def by_generator() -> Any:
        return (yield from made().__await__())

    class Client:
        def get(self) -> Any:
            return made()

    return {
        "another decorator": decorator(made),
        "a partial": functools.partial(made, 1),
        "a partial of a decorator": functools.partial(decorator(made), 1),
        "a lambda": lambda: made(),
        "a method": Client().get,
        "run_in_executor": in_executor,
        "a task": lambda: asyncio.ensure_future(made()),
        "an awaitable object": lambda: Awaitable(made()),
        "types.coroutine": by_generator,
    }


@pytest.mark.parametrize("kind", list(wrappers(fine)))
def test_an_awaitable_is_classified_when_it_is_awaited(world: World, kind: str) -> None:
    assert async_totals(world, wrappers(fine)[kind]) == (0, 1, 0)
    assert async_totals(world, wrappers(failing)[kind]) == (1, 1, 1)
    assert async_totals(world, wrappers(failing)[kind], exclude=OSError) == (2, 1, 1)
    assert async_totals(world, wrappers(fine)[kind], classify=lambda _: "failure") == (2, 1, 2)


def test_an_awaitable_that_is_cancelled_or_left_alone(world: World) -> None:
    x = world.manager.register("x")

    async def main() -> None:
        for make in (lambda: asyncio.ensure_future(fine()), lambda: fine()):
            x.half_open_circuit()
            call = world.manager.circuit("x")(make)
            task = asyncio.ensure_future(call())
            await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await asyncio.sleep(0)
            assert totals(world) == (0, 0)
            with x.guard() as permit:  # The place is free again.
                permit.ignore()
        left = call()
        with pytest.raises(brama.CircuitOpen):
            x.acquire()
        del left
        with x.guard() as permit:
            permit.ignore()

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # About the coroutine that is never awaited.
        asyncio.run(main())


def test_an_awaitable_that_is_entered(world: World) -> None:
    async def main() -> None:
        made = Awaitable(fine())
        call = world.manager.circuit("x")(lambda: made)
        request = call()
        assert request.name == "request" and totals(world) == (0, 0)
        async with request as answer:
            assert answer == 1 and totals(world) == (1, 0)
        assert made.left == 1
        with pytest.raises(OSError):
            async with world.manager.circuit("x")(lambda: Awaitable(failing()))():
                pass
        assert totals(world) == (1, 1)

    asyncio.run(main())


def test_a_future_of_a_thread_is_classified_when_it_is_done(world: World) -> None:
    from concurrent.futures import Future, ThreadPoolExecutor

    go = threading.Event()

    def work(fails: bool) -> None:
        assert go.wait(20)
        if fails:
            raise OSError

    with ThreadPoolExecutor(1) as pool:
        submit = world.manager.circuit("x")(lambda fails: pool.submit(work, fails))
        futures: list[Future[None]] = [submit(False), submit(True)]
        assert totals(world) == (0, 0)
        cancelled = submit(False)
        assert cancelled.cancel()
        go.set()
        with pytest.raises(OSError):
            futures[1].result(20)
    assert totals(world) == (1, 1)


def test_an_exception_that_is_never_retrieved_is_still_delivered(world: World) -> None:
    """To classify a future does not mark its exception as retrieved."""
    told: list[Any] = []

    async def main() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))
        world.manager.circuit("x")(lambda: asyncio.ensure_future(failing()))()
        await until(lambda: totals(world) == (0, 1))

    asyncio.run(main())
    import gc

    gc.collect()
    assert totals(world) == (0, 1)
    assert [context["message"] for context in told] == ["Task exception was never retrieved"]


def test_what_does_its_work_later_is_refused(world: World) -> None:
    import contextlib

    circuit = world.manager.circuit

    def generator() -> Any:
        yield 1

    async def async_generator() -> Any:
        yield 1

    @contextlib.contextmanager
    def manager() -> Any:
        yield 1

    @contextlib.asynccontextmanager
    async def async_manager() -> Any:
        yield 1

    for make in (generator, async_generator, manager, async_manager):
        with pytest.raises(TypeError, match="before any work is done"):
            circuit("x")(make)
    x = world.manager.register("x")
    for half_open in (False, True):
        if half_open:
            x.half_open_circuit()
        for make in (generator, async_generator, manager, async_manager):
            with pytest.raises(TypeError, match="cannot be judged"):
                circuit("x")(lambda make=make: make())()
            with pytest.raises(TypeError, match="cannot be judged"):
                x.call(make)
    assert totals(world) == (0, 0)
    assert x.acquire(), "the probe's place is free"


def test_results_that_are_results(world: World) -> None:
    """A response is a result, although it may be entered. So is a mock."""
    import io

    with io.StringIO() as file:
        for result in (file, [1], iter([1]), range(3), mock.Mock(), mock.MagicMock(), object()):
            assert world.manager.circuit("x")(lambda result=result: result)() is result
    assert totals(world) == (7, 0)
    from brama import _awaited

    for _ in range(2_000):
        world.manager.circuit("x")(lambda: mock.Mock())()
    assert len(_awaited.plain) <= 512


def test_call_judges_awaitables_too(world: World) -> None:
    x = world.manager.register("x")

    async def main() -> None:
        assert await x.call(fine) == 1
        with pytest.raises(OSError):
            await x.call(failing)

    asyncio.run(main())
    assert totals(world) == (1, 1)
