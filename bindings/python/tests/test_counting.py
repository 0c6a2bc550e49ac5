"""What counts: which exceptions, which results, once, and of calls inside of each other."""

from __future__ import annotations

import asyncio
import contextvars
import sys
import threading
import warnings
from typing import Any, NoReturn
from unittest import mock

import pytest

import brama
from conftest import World


class Cancelled(BaseException):
    """As trio's and gevent's are."""


def totals(world: World, name: str = "x") -> tuple[int, int]:
    status = world.manager.status(name)
    return status.total_successes, status.total_failures


def raising(error: BaseException) -> Any:
    def call(*_: object, **__: object) -> NoReturn:
        raise error

    return call


def outcome(world: World, error: BaseException, **policy: Any) -> str:
    """What a guarded call that raises this counts as: asked of all three kinds of guards."""
    answers = set()
    for kind in ("decorator", "async", "block"):
        world.manager.get_or_register("x", max_attempts=brama.UNLIMITED).reset_circuit()
        before = totals(world)
        with pytest.raises(type(error)):
            if kind == "decorator":
                world.manager.circuit("x", **policy)(raising(error))()
            elif kind == "async":

                async def call() -> None:
                    raise error

                task = world.manager.circuit("x", **policy)(call)()
                try:
                    task.send(None)
                finally:
                    task.close()
            else:
                with world.manager.guard("x", **policy):
                    raise error
        after = totals(world)
        answers.add(
            {(0, 1): "failure", (1, 0): "success", (0, 0): "ignored"}[
                after[0] - before[0], after[1] - before[1]
            ]
        )
    (answer,) = answers
    return answer


CANCELLED: list[type[BaseException]] = [asyncio.CancelledError, Cancelled]
ENDS: list[type[BaseException]] = [KeyboardInterrupt, SystemExit, GeneratorExit]


def test_exceptions_by_class(world: World) -> None:
    for kind in (OSError, KeyError, brama.NotFound):
        assert outcome(world, kind()) == "failure"
    for kind in (*CANCELLED, *ENDS):
        assert outcome(world, kind()) == "ignored"
    rejection = brama.CircuitOpen(5, "another")
    assert outcome(world, rejection) == "ignored"
    # A class, a tuple or a list.
    for given in (OSError, (OSError, KeyError), [OSError, KeyError]):
        assert outcome(world, ConnectionError(), include=given) == "failure"
        assert outcome(world, ValueError(), include=given) == "ignored"
        assert outcome(world, ConnectionError(), exclude=given) == "ignored"
        assert outcome(world, ValueError(), exclude=given) == "failure"
        assert outcome(world, asyncio.CancelledError(), exclude=given) == "ignored"
    for bad in (3, "OSError", [OSError, 3], ["OSError"]):
        with pytest.raises(TypeError, match="include must be an exception class"):
            world.manager.guard("x", include=bad)  # type: ignore[arg-type]


def test_include_means_what_it_says(world: World) -> None:
    for kind in (*CANCELLED, *ENDS):
        assert outcome(world, kind(), include=kind) == "failure"
        assert outcome(world, kind(), include=BaseException) == "failure"
        assert outcome(world, kind(), include=Exception) == "ignored"
    rejection = brama.CircuitOpen(5, "another")
    for general in (Exception, BaseException):
        assert outcome(world, rejection, include=general) == "ignored"
    for named in (brama.CircuitOpen, brama.BramaError, (OSError, brama.CircuitOpen)):
        assert outcome(world, rejection, include=named) == "failure"
    assert outcome(world, rejection, include=named, exclude=brama.CircuitOpen) == "ignored"


def test_a_classifier_is_asked_about_cancellations_and_rejections(world: World) -> None:
    def classify(error: object) -> Any:
        return {asyncio.CancelledError: "failure", brama.CircuitOpen: "success"}.get(type(error))

    assert outcome(world, asyncio.CancelledError(), classify=classify) == "failure"
    assert outcome(world, brama.CircuitOpen(5, "another"), classify=classify) == "success"
    assert outcome(world, Cancelled(), classify=classify) == "ignored"
    asked: list[object] = []
    for kind in ENDS:
        assert outcome(world, kind(), classify=asked.append) == "ignored"
    assert asked == []


def test_a_group_is_what_its_leaves_are(world: World) -> None:
    if sys.version_info < (3, 11):
        return  # Python has none.
    group = BaseExceptionGroup

    def judged(*errors: BaseException, **policy: Any) -> str:
        nested = group("outer", [group("inner", errors)])
        assert outcome(world, nested, **policy) == (found := outcome(world, group("", errors), **policy))
        return found

    assert judged(OSError(), asyncio.CancelledError()) == "failure"
    assert judged(asyncio.CancelledError(), brama.CircuitOpen(5, "another")) == "ignored"
    assert judged(KeyError(), exclude=KeyError) == "ignored"
    assert judged(KeyError(), OSError(), exclude=KeyError) == "failure"
    assert judged(KeyError(), OSError(), include=OSError) == "failure"
    assert judged(KeyError(), include=OSError) == "ignored"

    def classify(error: object) -> Any:
        return "failure" if isinstance(error, TimeoutError) else "success"

    assert judged(TimeoutError(), KeyError(), classify=classify) == "failure"
    assert judged(KeyError(), classify=classify) == "success"


def test_groups_of_the_backport(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before 3.11 trio and anyio raise those of the package `exceptiongroup`."""
    if sys.version_info >= (3, 11):
        return

    class BaseExceptionGroup(BaseException):
        def __init__(self, *errors: BaseException) -> None:
            self.exceptions = errors

    module = mock.Mock(BaseExceptionGroup=BaseExceptionGroup)
    monkeypatch.setitem(sys.modules, "exceptiongroup", module)
    assert outcome(world, BaseExceptionGroup(OSError(), Cancelled())) == "failure"
    assert outcome(world, BaseExceptionGroup(Cancelled())) == "ignored"


def test_a_cancellation_counts_if_the_call_had_lasted(world: World) -> None:
    """20 callers give up on a dependency that hangs, by a time-out outside of the guard."""
    manager = world.manager

    async def hang(ms: int) -> None:
        world.clock.advance(ms)
        await asyncio.sleep(3600)

    async def give_up(call: Any, ms: int) -> None:
        task = asyncio.ensure_future(call(ms))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    async def main() -> None:
        decorated = manager.circuit("x", cancelled_after=50, max_attempts=3)(hang)

        async def in_block(ms: int) -> None:
            async with manager.guard("x", cancelled_after=50):
                await hang(ms)

        plain = manager.circuit("x", cancelled_after=50)(lambda ms: hang(ms))
        for _ in range(20):
            await give_up(decorated, 49)
            await give_up(in_block, 49)
        assert totals(world) == (0, 0)
        for call in (decorated, in_block, plain):
            await give_up(call, 50)
        assert manager.state("x") == "open" and totals(world) == (0, 3)
        with pytest.raises(brama.CircuitOpen):
            await decorated(1)

    asyncio.run(main())
    for bad in (-1, "5"):
        with pytest.raises((TypeError, brama.InvalidConfig), match="cancelled_after"):
            manager.guard("x", cancelled_after=bad)  # type: ignore[arg-type]
        with pytest.raises((TypeError, brama.InvalidConfig), match="cancelled_after"):
            manager.circuit("x", cancelled_after=bad)  # type: ignore[arg-type]


def test_cancelled_after_goes_with_the_rest(world: World) -> None:
    def lasting(error: BaseException, **policy: Any) -> str:
        world.manager.get_or_register("x", max_attempts=brama.UNLIMITED)
        before = totals(world)
        with pytest.raises(type(error)), world.manager.guard("x", **policy):
            world.clock.advance(100)
            raise error
        return "failure" if totals(world)[1] > before[1] else "ignored"

    for kind in CANCELLED:
        assert lasting(kind(), cancelled_after=100) == "failure"
        assert lasting(kind(), cancelled_after=101) == "ignored"
        assert lasting(kind(), cancelled_after=100, include=OSError) == "failure"
        assert lasting(kind(), cancelled_after=100, exclude=kind) == "ignored"
        assert lasting(kind(), cancelled_after=100, classify=lambda _: "ignored") == "ignored"
    for kind in ENDS:
        assert lasting(kind(), cancelled_after=1) == "ignored"


# Once.


def test_an_exception_that_leaves_two_calls_of_a_circuit_counts_once(world: World) -> None:
    circuit = world.manager.circuit

    @circuit("x")
    @circuit("x")
    def twice() -> None:
        raise OSError

    @circuit("x")
    def in_a_block() -> None:
        with world.manager.guard("x"), world.manager.guard("x"):
            raise OSError

    @circuit("y")
    def of_another() -> None:
        in_a_block()

    @circuit("x")
    def another_exception() -> None:
        try:
            twice()
        except OSError as error:
            raise ValueError from error

    for call, x in ((twice, 1), (in_a_block, 1), (of_another, 1), (another_exception, 2)):
        world.manager.reset_all()
        before = totals(world)[1]
        with pytest.raises((OSError, ValueError)):
            call()
        assert totals(world)[1] - before == x, call
    assert totals(world, "y")[1] == 1


def test_an_exception_counts_once_through_tasks_and_groups(world: World) -> None:
    circuit = world.manager.circuit

    @circuit("x")
    async def inner() -> None:
        await asyncio.sleep(0)
        raise OSError

    @circuit("x")
    async def outer() -> None:
        await asyncio.wait_for(inner(), 20)

    async def main() -> None:
        with pytest.raises(OSError):
            await outer()
        assert totals(world) == (0, 1)
        if sys.version_info >= (3, 11):

            @circuit("x")
            async def in_a_group() -> None:
                async with asyncio.TaskGroup() as group:
                    group.create_task(inner())

            with pytest.raises(ExceptionGroup):
                await in_a_group()
            assert totals(world) == (0, 2)

            @circuit("x")
            async def half_counted() -> None:
                try:
                    await inner()
                except OSError as error:
                    raise ExceptionGroup("both", [error, ValueError()]) from None

            with pytest.raises(ExceptionGroup):
                await half_counted()
            assert totals(world) == (0, 4)

    asyncio.run(main())


def test_an_exception_object_that_is_raised_again_and_again_counts_each_time(
    world: World,
) -> None:
    """As mocks do: `side_effect` is one object."""
    error = ConnectionError("down")
    client = mock.Mock(side_effect=error)
    first = world.manager.circuit("x", max_attempts=brama.UNLIMITED)(lambda: client())
    second = world.manager.circuit("x")(lambda: client())
    for n in range(1, 6):
        with pytest.raises(ConnectionError):
            (first if n % 2 else second)()
        assert totals(world) == (0, n)
    with pytest.raises(ConnectionError), world.manager.guard("x"):
        client()
    assert totals(world) == (0, 6)
    client.side_effect = OSError("another")
    for call in (first, second):
        with pytest.raises(OSError):
            world.manager.circuit("x")(call)()
    assert totals(world) == (0, 8)


def test_an_exception_that_comes_from_another_process_counts(manager: brama.Brama) -> None:
    """It was counted there, in a circuit of the same name and at the same address."""
    import multiprocessing

    if "fork" not in multiprocessing.get_all_start_methods():
        return
    x = manager.register("x", max_attempts=brama.UNLIMITED)
    call = manager.circuit("x")(raising(OSError("down")))
    for _ in range(3):
        with pytest.raises(OSError):
            call()
    _shared["call"] = call
    manager.register("y", max_attempts=brama.UNLIMITED)
    pool = multiprocessing.get_context("fork").Pool(1)

    @manager.circuit("x")
    def ask() -> None:
        answer = pool.apply_async(_in_worker, (3,))
        answer.wait(20)
        for _ in range(9):
            with pytest.raises(OSError), manager.guard("y"):
                raise OSError
        answer.get(20)

    with pytest.raises(OSError):
        ask()
    pool.close(), pool.join()
    assert x.status().total_failures == 4


_shared: dict[str, Any] = {}


def _in_worker(times: int) -> None:
    for _ in range(times - 1):
        try:
            _shared["call"]()
        except OSError:
            pass
    _shared["call"]()


def test_exceptions_that_refuse_attributes(world: World) -> None:
    import dataclasses

    @dataclasses.dataclass(frozen=True)
    class Frozen(Exception):
        code: int

    class Slotted(Exception):
        __slots__ = ("code",)

    for error in (Frozen(5), Slotted()):
        assert outcome(world, error) == "failure"


# Nested calls of one circuit.


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
            second()  # One after the other.

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
        call.ignore()  # It has reported, so nothing rides on it: this takes a place.
        with x.guard() as inner:
            assert inner.is_probe
            with pytest.raises(brama.CircuitOpen):
                x.acquire()
            inner.ignore()
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
        thread = threading.Thread(target=ask, args=(x,))
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
    """The call around it reports its own outcome; if that is ignored, the rider's failure."""
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
                except type(inner) if inner else () as error:
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


# What a plain function returns.


def async_totals(world: World, made: Any, **policy: Any) -> tuple[int, int, int]:
    """Before it is awaited, and after."""

    async def main() -> tuple[int, int, int]:
        call = world.manager.circuit("x", **policy)(made)
        before = sum(totals(world))
        awaitable = call()
        assert sum(totals(world)) == before, "it is not judged before it is awaited"
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
    """As asynchronous clients return, to be awaited or entered."""

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
def test_an_awaitable_is_judged_when_it_is_awaited(world: World, kind: str) -> None:
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
        warnings.simplefilter("ignore")  # Of the coroutine that is left alone.
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


def test_a_future_of_a_thread_is_judged_when_it_is_done(world: World) -> None:
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


def test_an_exception_that_nobody_retrieves_is_still_told_of(world: World) -> None:
    """To judge a future is not to look at it."""
    told: list[Any] = []

    async def main() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))
        world.manager.circuit("x")(lambda: asyncio.ensure_future(failing()))()
        await asyncio.sleep(0.01)

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
    """A response has a block of its own, and is a result nevertheless. So is a mock."""
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


# Fallbacks, and circuits by argument.


def test_fallbacks_that_answer_failures(world: World) -> None:
    seen: list[Any] = []

    def instead(n: int, *, error: BaseException | None) -> str:
        seen.append(error)
        return f"instead of {n}"

    def call(n: int) -> int:
        if n < 0:
            raise OSError
        if n == 0:
            raise KeyError
        return n

    def judge(result: object) -> Any:
        return "failure" if result == 503 else "ignored" if isinstance(result, KeyError) else None

    for asynchronous in (False, True):

        async def acall(n: int) -> int:
            await asyncio.sleep(0)
            return call(n)

        def run(guarded: Any, n: int) -> Any:
            return asyncio.run(guarded(n)) if asynchronous else guarded(n)

        for on in ("rejection", "failure", "both"):
            del seen[:]
            name = f"{on} {asynchronous}"
            guarded = world.manager.circuit(
                name, max_attempts=9, classify=judge, fallback=instead, fallback_on=on
            )(acall if asynchronous else call)
            assert run(guarded, 1) == 1
            with pytest.raises(KeyError):
                run(guarded, 0)
            if on == "rejection":
                with pytest.raises(OSError):
                    run(guarded, -1)
                assert run(guarded, 503) == 503
            else:
                assert run(guarded, -1) == "instead of -1"
                assert run(guarded, 503) == "instead of 503"
            world.manager.open_circuit(name)
            if on == "failure":
                with pytest.raises(brama.CircuitOpen):
                    run(guarded, 1)
            else:
                assert run(guarded, 1) == "instead of 1"
            kinds = [type(error) for error in seen]
            expected = {"failure": [OSError, type(None)], "rejection": [brama.CircuitOpen]}
            expected["both"] = expected["failure"] + expected["rejection"]
            assert kinds == expected[on]
            assert totals(world, name) == (1, 2)


def test_a_fallback_takes_the_error_only_if_it_asks_for_it(world: World) -> None:
    circuit = world.manager.circuit
    world.manager.register("x").open_circuit()

    def takes_all(*args: Any, **kwargs: Any) -> Any:
        return args, kwargs

    def positional(n: int, error: int = 5) -> Any:
        return n, error

    assert circuit("x", fallback=takes_all)(lambda *_, **__: 1)(1, a=2) == ((1,), {"a": 2})
    assert circuit("x", fallback=positional)(lambda n: n)(7) == (7, 5)
    assert circuit("x", fallback=max)(lambda *n: n)(7, 8) == 8


def test_fallbacks_that_cannot_be(world: World) -> None:
    circuit = world.manager.circuit

    async def instead() -> None: ...

    with pytest.raises(TypeError, match="nothing would await"):
        circuit("x", fallback=instead)(lambda: 1)
    with pytest.raises(brama.InvalidArgument, match="fallback_on.*'rejection', 'failure', 'both'"):
        circuit("x", fallback=print, fallback_on="always")  # type: ignore[arg-type]
    with pytest.raises(brama.InvalidArgument, match="needs a fallback"):
        circuit("x", fallback_on="failure")
    with pytest.raises(TypeError, match="fallback_on must be a str"):
        circuit("x", fallback=print, fallback_on=True)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="classify must be a plain function"):
        circuit("x", classify=instead)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="classify must be a plain function"):
        world.manager.guard("x", classify=instead)  # type: ignore[arg-type]


def test_a_fallback_of_what_is_awaited(world: World) -> None:
    @world.manager.circuit("x", fallback=lambda: "instead", fallback_on="both", max_attempts=1)
    def call() -> Any:
        return failing()

    async def main() -> None:
        assert await call() == "instead"
        assert world.manager.state("x") == "open"
        assert call() == "instead"

    asyncio.run(main())


@pytest.mark.parametrize("asynchronous", [False, True])
def test_a_circuit_for_each_argument(world: World, asynchronous: bool) -> None:
    manager = world.manager

    def get(host: str, *, fails: bool = False) -> str:
        if fails:
            raise OSError
        return host

    async def aget(host: str, *, fails: bool = False) -> str:
        return get(host, fails=fails)

    by_host = manager.circuit(lambda host, **_: host, scope="http", max_attempts=1)
    guarded: Any = by_host(aget if asynchronous else get)

    def run(*args: Any, **kwargs: Any) -> Any:
        return asyncio.run(guarded(*args, **kwargs)) if asynchronous else guarded(*args, **kwargs)

    assert manager.snapshot() == []
    assert run("a") == "a" and run(host="b") == "b"
    with pytest.raises(OSError):
        run("a", fails=True)
    with pytest.raises(brama.CircuitOpen) as rejected:
        run("a")
    assert (rejected.value.identifier, rejected.value.scope) == ("a", "http")
    assert run("b") == "b"
    states = {status.identifier: str(status.state) for status in manager.snapshot(scope="http")}
    assert states == {"a": "open", "b": "closed"}
    assert manager.status("a", scope="http").settings.max_attempts == 1
    manager.unregister("a", scope="http")
    assert run("a") == "a" and manager.state("a", scope="http") == "closed"


def test_names_made_of_arguments_that_are_none(world: World) -> None:
    circuit = world.manager.circuit
    for bad, error in ((3, TypeError), (None, TypeError), ("", brama.InvalidArgument), ([], TypeError)):
        with pytest.raises(error, match="identifier"):
            circuit(lambda bad=bad: bad)(lambda: 1)()
    with pytest.raises(ZeroDivisionError):
        circuit(lambda: 1 / 0)(lambda: 1)()  # type: ignore[arg-type, return-value]
    with pytest.raises(brama.InvalidArgument, match="scope"):
        circuit(lambda: "x", scope="a\0b")
    assert world.manager.snapshot() == []


def test_many_hosts_keep_a_bounded_number_of_handles(world: World) -> None:
    call = world.manager.circuit(lambda n: str(n))(lambda n: n)
    for n in range(1_500):
        call(n)
    assert len(world.manager._names._kept) == 1_024
    assert call(0) == 0 and totals(world, "0") == (2, 0)


