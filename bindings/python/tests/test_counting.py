"""What counts: which exceptions, and each of them once."""

from __future__ import annotations

import asyncio
import sys
from typing import Any, NoReturn
from unittest import mock

import pytest

import brama
from conftest import World


class Cancelled(BaseException):
    """A cancellation like those of trio and gevent: no `Exception`."""


def totals(world: World, name: str = "x") -> tuple[int, int]:
    status = world.manager.status(name)
    return status.total_successes, status.total_failures


def raising(error: BaseException) -> Any:
    def call(*_: object, **__: object) -> NoReturn:
        raise error

    return call


def outcome(world: World, error: BaseException, **policy: Any) -> str:
    """What a guarded call that raises this error counts as, the same for three kinds of guards."""
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
        return  # Python has no groups.
    group = BaseExceptionGroup

    def judged(*errors: BaseException, **policy: Any) -> str:
        nested = group("outer", [group("inner", errors)])
        assert outcome(world, nested, **policy) == (
            found := outcome(world, group("", errors), **policy)
        )
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
    """Before Python 3.11 trio and anyio raise groups of the package `exceptiongroup`."""
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
    """20 callers of a dependency that hangs give up, by a time-out outside of the guard."""
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
        decorated = manager.circuit("x", cancelled_after=50, max_attempts=4)(hang)

        async def in_block(ms: int) -> None:
            async with manager.guard("x"):
                await hang(ms)

        async def by_permit(ms: int) -> None:
            async with manager.acquire("x"):
                await hang(ms)

        plain = manager.circuit("x")(lambda ms: hang(ms))
        calls = (decorated, in_block, by_permit, plain)
        for _ in range(20):
            for call in calls:
                await give_up(call, 49)
        assert totals(world) == (0, 0) and manager.status("x").total_ignored == 80
        for call in calls:
            await give_up(call, 50)
        assert manager.state("x") == "open" and totals(world) == (0, 4)
        with pytest.raises(brama.CircuitOpen):
            await decorated(1)

    asyncio.run(main())
    for bad in (0, -1, "5"):
        with pytest.raises((TypeError, brama.InvalidConfig), match="`?cancelled_after`?"):
            manager.register("y", cancelled_after=bad)  # type: ignore[arg-type]


def test_a_cancellation_counts_as_the_setting_says_now(world: World) -> None:
    manager, cancelled = world.manager, asyncio.CancelledError
    x = manager.register("x", max_attempts=brama.UNLIMITED)

    def give_up(ms: int) -> int:
        before = x.status().total_failures
        with pytest.raises(cancelled), x.guard():
            world.clock.advance(ms)
            raise cancelled
        return x.status().total_failures - before

    assert give_up(1_000) == 0
    manager.configure(cancelled_after=1_000)
    assert (give_up(999), give_up(1_000)) == (0, 1)
    x.configure(cancelled_after=10)
    assert (give_up(9), give_up(10)) == (0, 1)
    assert x.status().settings.cancelled_after == 10
    x.configure(cancelled_after=None)
    assert give_up(60_000) == 0 and x.status().settings.cancelled_after is None
    x.configure(cancelled_after=brama.INHERIT)
    assert (give_up(999), give_up(1_000)) == (0, 1)
    # The same holds for a probe.
    x.half_open_circuit()
    assert give_up(999) == 0 and x.state() == "half_open"
    assert give_up(1_000) == 1 and x.state() == "open"


def test_a_cancellation_that_leaves_two_calls_of_a_circuit_counts_once(world: World) -> None:
    x = world.manager.register("x", cancelled_after=100, max_attempts=brama.UNLIMITED)

    def give_up(outer: int, inner: int) -> int:
        before = x.status().total_failures
        with pytest.raises(asyncio.CancelledError), x.guard():
            world.clock.advance(outer)
            with x.guard():
                world.clock.advance(inner)
                raise asyncio.CancelledError
        return x.status().total_failures - before

    assert [give_up(0, 100), give_up(50, 50), give_up(0, 99)] == [1, 1, 0]
    kept = asyncio.CancelledError()
    for n in (1, 2):
        with pytest.raises(asyncio.CancelledError), x.guard():
            world.clock.advance(100)
            raise kept
        assert x.status().total_failures == 2 + n


def test_cancelled_after_goes_with_the_rest(world: World) -> None:
    def lasting(error: BaseException, **policy: Any) -> str:
        before = totals(world)
        with pytest.raises(type(error)), world.manager.guard("x", **policy):
            world.clock.advance(100)
            raise error
        return "failure" if totals(world)[1] > before[1] else "ignored"

    x = world.manager.register("x", max_attempts=brama.UNLIMITED)
    for kind in CANCELLED:
        x.configure(cancelled_after=101)
        assert lasting(kind()) == "ignored"
        x.configure(cancelled_after=100)
        assert lasting(kind()) == "failure"
        assert lasting(kind(), include=OSError) == "failure"
        assert lasting(kind(), exclude=kind) == "ignored"
        assert lasting(kind(), classify=lambda _: "ignored") == "ignored"
        assert lasting(kind(), classify=lambda _: None) == "failure"
        if sys.version_info >= (3, 11):
            assert lasting(BaseExceptionGroup("", [kind()])) == "failure"
            assert lasting(BaseExceptionGroup("", [kind()]), exclude=kind) == "ignored"
    for end in ENDS:
        assert lasting(end()) == "ignored"


# Exceptions that leave nested calls count once.


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
    """Mocks raise one object again and again: their `side_effect`."""
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


def test_an_exception_object_that_is_raised_for_years_keeps_few_marks(world: World) -> None:
    import pickle

    error = ConnectionError("down")
    calls = [
        world.manager.circuit(str(n), max_attempts=brama.UNLIMITED)(raising(error))
        for n in range(50)
    ]
    for n in range(5_000):
        with pytest.raises(ConnectionError):
            calls[n % 50]()
        with pytest.raises(ConnectionError), world.manager.guard(str(n % 2)):
            raise error
        error.__traceback__ = None
    assert 2 <= len(error.__dict__) <= 9
    assert pickle.loads(pickle.dumps(error)).args == error.args
    assert sum(status.total_failures for status in world.manager.snapshot()) == 10_000


def test_an_exception_that_comes_from_another_process_counts(manager: brama.Brama) -> None:
    """The other process had counted it, in a circuit with the same name and address."""
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
