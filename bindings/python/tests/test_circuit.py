"""The decorator and the guards: what counts, what is rejected, what is late."""

from __future__ import annotations

import asyncio
import functools
import threading
from typing import Any, AsyncIterator, Iterator, NoReturn

import pytest

import brama
from conftest import World


def fail(*_: object, **__: object) -> NoReturn:
    raise ConnectionError("refused")


def failures(world: World, name: str = "x") -> int:
    return world.manager.status(name).failure_count


def test_a_decorated_function_stays_what_it_was(world: World) -> None:
    @world.manager.circuit("x")
    def add(a: int, b: int = 2, *rest: int, c: int = 0) -> int:
        """Adds."""
        return a + b + sum(rest) + c

    assert add(1) == 3
    assert add(1, 2, 3, c=4) == 10
    assert add.__name__ == "add" and add.__doc__ == "Adds."
    assert world.manager.status("x").total_successes == 2


def test_a_circuit_opens_rejects_and_recovers(world: World) -> None:
    healthy = False

    @world.manager.circuit("x", max_attempts=2, expiry=1_000)
    def call() -> str:
        if not healthy:
            fail()
        return "fine"

    for _ in range(2):
        with pytest.raises(ConnectionError):
            call()
    with pytest.raises(brama.CircuitOpen) as rejected:
        call()
    assert rejected.value.retry_after == 1_000
    assert (rejected.value.identifier, rejected.value.scope) == ("x", None)
    assert "'x'" in str(rejected.value) and "1000 ms" in str(rejected.value)
    world.clock.advance(999)
    assert world.manager.state("x") == "open"
    world.clock.advance(1)
    healthy = True
    assert call() == "fine"
    assert world.manager.state("x") is brama.State.CLOSED
    for _ in range(3):
        assert call() == "fine"
    status = world.manager.status("x")
    assert (status.total_successes, status.total_failures, status.total_rejections) == (4, 2, 1)


def test_a_circuit_held_open_has_no_time_to_ask_again(world: World) -> None:
    call = world.manager.circuit("x")(lambda: None)
    world.manager.open_circuit("x", expiry=brama.NEVER)
    with pytest.raises(brama.CircuitOpen, match="held open") as rejected:
        call()
    assert rejected.value.retry_after is None


def test_a_late_result_changes_nothing(world: World) -> None:
    """A call that was admitted before the circuit opened reports after that."""
    manager, late = world.manager, "success"

    @manager.circuit("x", max_attempts=1, expiry=1_000)
    def call() -> None:
        # Meanwhile the circuit opens, and recovers as far as half-open.
        manager.failure("x")
        world.clock.advance(1_000)
        assert manager.state("x") == "half_open"
        if late == "failure":
            fail()

    call()
    assert manager.state("x") == "half_open"
    manager.success("x")
    assert manager.state("x") == "closed"
    late = "failure"
    with pytest.raises(ConnectionError):
        call()
    assert manager.state("x") == "half_open"
    assert manager.status("x").trips == 1


def test_a_late_result_of_a_closed_circuit_that_recovered_is_late_too(world: World) -> None:
    manager = world.manager

    @manager.circuit("x", max_attempts=2, expiry=1_000)
    def call() -> None:
        manager.failure("x")
        manager.failure("x")
        world.clock.advance(1_000)
        manager.success("x")
        manager.failure("x")
        assert (manager.state("x"), failures(world)) == ("closed", 1)

    call()
    assert failures(world) == 1, "the late success has not cleared the count"


def test_only_one_probe_is_admitted(world: World) -> None:
    manager = world.manager
    started, go = threading.Event(), threading.Event()

    @manager.circuit("x", max_attempts=1, expiry=1_000)
    def call() -> None:
        started.set()
        go.wait(10)

    manager.failure("x")
    world.clock.advance(1_000)
    probe = threading.Thread(target=call, daemon=True)
    probe.start()
    assert started.wait(10)
    with pytest.raises(brama.CircuitOpen):
        call()
    go.set()
    probe.join()
    assert manager.state("x") == "closed"


@pytest.mark.parametrize(
    "error", [KeyboardInterrupt, SystemExit, GeneratorExit, asyncio.CancelledError]
)
@pytest.mark.parametrize("half_open", [False, True])
def test_a_caller_that_gives_up_is_no_failing_dependency(
    world: World, error: type[BaseException], half_open: bool
) -> None:
    def stop() -> NoReturn:
        raise error

    call = world.manager.circuit("x", max_attempts=1)(stop)
    if half_open:
        world.manager.half_open_circuit("x")
    for _ in range(3):  # The probe's place is free again each time.
        with pytest.raises(error):
            call()
    status = world.manager.status("x")
    assert (status.total_failures, status.total_successes) == (0, 0)
    assert status.state == ("half_open" if half_open else "closed")


def test_which_exceptions_count(world: World) -> None:
    circuit = world.manager.circuit

    def raising(error: type[Exception]) -> Any:
        def call() -> NoReturn:
            raise error

        return call

    for name, arguments, error, counted in [
        ("a", {}, KeyError, 1),
        ("b", {"include": OSError}, ConnectionError, 1),
        ("c", {"include": (OSError, KeyError)}, ValueError, 0),
        ("d", {"exclude": KeyError}, KeyError, 0),
        ("e", {"exclude": (KeyError,)}, ValueError, 1),
        ("f", {"include": OSError, "exclude": ConnectionError}, ConnectionError, 0),
    ]:
        with pytest.raises(error):
            circuit(name, **arguments)(raising(error))()
        status = world.manager.status(name)
        assert (status.total_failures, status.total_successes) == (counted, 0), name


def test_a_classifier_decides_on_results_and_exceptions(world: World) -> None:
    seen = []

    def classify(outcome: object) -> Any:
        seen.append(outcome)
        if isinstance(outcome, KeyError):
            return brama.Outcome.SUCCESS
        return {500: "failure", 404: brama.Outcome.IGNORED}.get(outcome)  # type: ignore[call-overload]

    @world.manager.circuit("x", classify=classify)
    def call(answer: Any) -> Any:
        if isinstance(answer, Exception):
            raise answer
        return answer

    def counts() -> tuple[int, int]:
        status = world.manager.status("x")
        return status.total_successes, status.total_failures

    assert call(200) == 200 and counts() == (1, 0)
    assert call(500) == 500 and counts() == (1, 1)
    assert call(404) == 404 and counts() == (1, 1)
    with pytest.raises(KeyError):
        call(KeyError("known"))
    assert counts() == (2, 1)
    with pytest.raises(OSError):
        call(OSError())
    assert counts() == (2, 2)
    assert len(seen) == 5


def test_a_classifier_that_raises_or_answers_nonsense_is_the_callers_error(world: World) -> None:
    manager = world.manager
    manager.register("x")
    bad = manager.circuit("x", classify=lambda _: "perhaps")(lambda: 1)
    worse = manager.circuit("x", classify=lambda _: 1 / 0)(lambda: 1)
    for half_open in (False, True):
        if half_open:
            manager.half_open_circuit("x")
        with pytest.raises(TypeError, match="perhaps"):
            bad()
        with pytest.raises(ZeroDivisionError):
            worse()
    assert manager.status("x").success_rate is None
    assert manager.connection("x").acquire(), "the probe's place is free"


def test_a_place_is_free_while_the_error_is_kept(world: World) -> None:
    """The kept error has a traceback, which keeps the frames of the guarded call."""
    x = world.manager.register("x")
    x.half_open_circuit()
    call = world.manager.circuit("x", classify=lambda _: 1 / 0)(lambda: 1)  # type: ignore[arg-type, return-value]
    with pytest.raises(ZeroDivisionError) as kept:
        call()
    x.acquire().ignore()
    with pytest.raises(KeyboardInterrupt) as also_kept, x.guard():
        raise KeyboardInterrupt
    x.acquire().ignore()
    assert kept.value is not also_kept.value


def test_a_fallback_answers_rejected_calls_only(world: World) -> None:
    @world.manager.circuit("x", max_attempts=1, fallback=lambda n: -n)
    def call(n: int) -> int:
        fail()

    with pytest.raises(ConnectionError):
        call(1)
    assert call(2) == -2
    assert world.manager.status("x").total_rejections == 1


def test_async_functions(world: World) -> None:
    @world.manager.circuit("x", max_attempts=2, expiry=1_000)
    async def call(answer: Any) -> Any:
        await asyncio.sleep(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def main() -> None:
        assert await call(1) == 1
        for _ in range(2):
            with pytest.raises(OSError):
                await call(OSError())
        with pytest.raises(brama.CircuitOpen):
            await call(2)
        world.clock.advance(1_000)
        assert await call(3) == 3

    assert asyncio.iscoroutinefunction(call)
    asyncio.run(main())
    assert world.manager.state("x") == "closed"


def test_async_fallbacks_classifiers_and_cancelled_probes(world: World) -> None:
    manager = world.manager

    async def instead(n: int) -> str:
        return f"instead of {n}"

    @manager.circuit(
        "x", max_attempts=1, fallback=instead, classify=lambda r: "failure" if r == 500 else None
    )
    async def call(n: int) -> int:
        if n == 0:
            await asyncio.sleep(60)
        return n

    @manager.circuit("x", fallback=lambda: "at once")
    async def other() -> str:
        return "not reached"

    async def main() -> None:
        assert await call(500) == 500
        assert await call(7) == "instead of 7"
        assert await other() == "at once"
        manager.half_open_circuit("x")
        task = asyncio.create_task(call(0))
        await asyncio.sleep(0)
        assert await call(7) == "instead of 7", "the probe's place is taken"
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert manager.state("x") == "half_open"
        assert await call(8) == 8
        assert manager.state("x") == "closed"

    asyncio.run(main())


def test_methods_partials_and_callable_objects(world: World) -> None:
    circuit = world.manager.circuit

    class Service:
        @circuit("x")
        def method(self, n: int) -> tuple[Service, int]:
            return self, n

        @classmethod
        @circuit("x")
        def of_class(cls) -> type[Service]:
            return cls

        @staticmethod
        @circuit("x")
        def static() -> int:
            return 3

    class AsyncCallable:
        async def __call__(self) -> int:
            return 4

    service = Service()
    assert service.method(2) == (service, 2)
    assert Service.of_class() is Service and Service.static() == 3
    assert circuit("x")(functools.partial(max, 1))(2) == 2
    assert asyncio.run(circuit("x")(AsyncCallable())()) == 4
    assert world.manager.status("x").total_successes == 5


def test_what_cannot_be_decorated_is_refused_when_decorating(world: World) -> None:
    circuit = world.manager.circuit

    def generator() -> Iterator[int]:
        yield 1

    async def async_generator() -> AsyncIterator[int]:
        yield 1

    for wrong in (generator, async_generator):
        with pytest.raises(TypeError, match="generator"):
            circuit("x")(wrong)
    with pytest.raises(TypeError, match="class World"):
        circuit("x")(World)
    with pytest.raises(TypeError, match="below @staticmethod"):
        circuit("x")(staticmethod(fail))  # type: ignore[type-var]
    with pytest.raises(TypeError, match="int"):
        circuit("x")(3)  # type: ignore[type-var]
    with pytest.raises(TypeError, match="needs a name"):
        circuit(fail)(3)  # type: ignore[type-var]
    with pytest.raises(TypeError, match="exclude"):
        circuit("x", exclude="OSError")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="classify"):
        circuit("x", classify=3)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="fallback"):
        circuit("x", fallback=3)(fail)  # type: ignore[arg-type]
    with pytest.raises(brama.InvalidConfig, match="max_attempts"):
        circuit("x", max_attempts=0)(fail)
    assert world.manager.state("x") == "unknown", "nothing was registered"


def test_a_removed_connection_is_registered_again(world: World) -> None:
    call = world.manager.circuit("x", max_attempts=7)(lambda: 1)
    call()
    world.manager.unregister("x")
    assert call() == 1 and call() == 1
    status = world.manager.status("x")
    assert (status.total_successes, status.settings.max_attempts) == (2, 7)


def test_a_removed_connection_receives_no_late_result_of_its_predecessor(world: World) -> None:
    manager = world.manager

    @manager.circuit("x")
    def call() -> None:
        manager.unregister("x")
        manager.register("x")
        manager.failure("x")

    call()
    assert (failures(world), manager.status("x").total_successes) == (1, 0)


def test_guards(world: World) -> None:
    manager = world.manager
    x = manager.register("x", max_attempts=1)
    for make in (lambda **more: manager.guard("x", **more), x.guard):
        x.reset_circuit()
        with make() as permit:
            assert not permit.reported
        with pytest.raises(KeyError), make(exclude=KeyError):
            raise KeyError
        with make() as permit:
            permit.ignore()
        assert x.state() == "closed"
        with pytest.raises(OSError), make():
            raise OSError
        with pytest.raises(brama.CircuitOpen), make():
            raise AssertionError("not entered")
        x.reset_circuit()
        with make() as permit:
            assert permit.failure("a bad body") == 1
        assert x.state() == "open"
    assert x.status().total_successes == 2


def test_async_guards(world: World) -> None:
    x = world.manager.register("x", max_attempts=1)

    async def main() -> None:
        async with world.manager.guard("x"):
            pass
        x.half_open_circuit()
        with pytest.raises(asyncio.CancelledError):
            async with x.guard():
                raise asyncio.CancelledError
        assert x.state() == "half_open"
        with pytest.raises(OSError):
            async with x.guard():
                raise OSError

    asyncio.run(main())
    assert x.state() == "open"


def test_permits(world: World) -> None:
    x = world.manager.register("x", max_attempts=2, expiry=1_000)
    permit = x.acquire()
    permit.success(metadata={"a": "b"})
    assert permit.reported
    with pytest.raises(brama.Stale, match="already"):
        permit.failure()
    with pytest.raises(brama.Stale):
        permit.ignore()
    late = world.manager.acquire("x")
    assert x.failure() == 1
    assert x.acquire().failure("timeout", metadata={"a": "b"}) == 2
    with pytest.raises(brama.Stale):
        late.success()
    world.clock.advance(1_000)
    dropped = x.acquire()
    with pytest.raises(brama.CircuitOpen):
        x.acquire()
    del dropped
    with world.manager.acquire("x"):
        pass
    assert x.state() == "closed"
    orphan = x.acquire()
    world.manager.unregister("x")
    with pytest.raises(brama.NotFound):
        orphan.success()


def test_a_permit_by_name_outlives_the_last_reference_to_its_manager() -> None:
    manager = brama.Brama(background=False)
    manager.register("x")
    permit = manager.acquire("x")
    del manager
    permit.success()


def test_call(world: World) -> None:
    x = world.manager.register("x", max_attempts=1)
    assert x.call(max, 1, 2) == 2
    with pytest.raises(ConnectionError):
        x.call(fail, function=1)
    with pytest.raises(brama.CircuitOpen):
        x.call(max, 1, 2)


def test_threads_share_a_decorated_function(manager: brama.Brama) -> None:
    calls, threads = 2_000, 4

    @manager.circuit("x", max_attempts=1_000_000)
    def call(n: int) -> None:
        if n % 10 == 0:
            fail()

    def work() -> None:
        for n in range(calls):
            try:
                call(n)
            except ConnectionError:
                pass

    workers = [threading.Thread(target=work, daemon=True) for _ in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    status = manager.status("x")
    assert status.total_successes + status.total_failures == calls * threads
    assert status.total_failures == calls * threads // 10
