"""Guards that are used again, by several threads at once, or nested; reports by hand in blocks."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import threading
from typing import Any, Iterator

import pytest

import brama
from conftest import World


def totals(world: World, name: str = "x") -> tuple[int, int]:
    status = world.manager.status(name)
    return status.total_successes, status.total_failures


def in_thread(work: Any) -> None:
    raised: list[BaseException] = []

    def run() -> None:
        try:
            work()
        except BaseException as error:
            raised.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(20)
    assert not thread.is_alive()
    if raised:
        raise raised[0]


def test_a_guard_may_be_used_again_and_inside_of_itself(world: World) -> None:
    guard = world.manager.register("x").guard()
    for _ in range(3):
        with guard, guard as inner:
            with guard:
                pass
            inner.failure()
    assert totals(world) == (6, 3)
    with pytest.raises(brama.NotFound), world.manager.guard("unknown"):
        pass


def test_the_guard_of_a_name_is_the_same_while_the_circuit_is_healthy(world: World) -> None:
    manager = world.manager
    x = manager.register("x", scope="s", max_attempts=1, expiry=1_000)
    manager.register("x")
    with manager.guard("x"), manager.guard("x", scope="s"):
        pass
    one, other = manager.guard("x"), manager.guard("x", scope="s")
    assert one is manager.guard("x") and other is manager.guard("x", scope="s") is not one
    assert one is not manager.guard("x", exclude=KeyError)
    assert x.guard() is x.guard()
    x.open_circuit()
    with pytest.raises(brama.CircuitOpen), other:
        pass
    assert manager.guard("x", scope="s") is other
    x.half_open_circuit()
    with other as call:
        # The probe's place belongs to its block alone, so the guard is not kept for others.
        assert call.is_probe and manager.guard("x", scope="s") is not other
        call.ignore()
    assert manager.guard("x", scope="s") is not manager.guard("x", scope="s")
    assert manager.guard("x") is one
    x.reset_circuit()
    for guard in (other, manager.guard("x", scope="s")):
        with guard:
            pass
    assert x.status().total_successes == 3


def test_a_guard_that_many_threads_share_loses_no_report(manager: brama.Brama) -> None:
    x = manager.register("x", max_attempts=brama.UNLIMITED)
    guards = [x.guard(), manager.guard("x"), x.guard(exclude=KeyError)]
    threads, blocks = 4, 3_000

    def work() -> None:
        for n in range(blocks):
            try:
                with guards[n % 3] as call:
                    if n % 5 == 0:
                        raise OSError
                    if n % 7 == 0:
                        call.failure("by hand")
            except OSError:
                pass

    workers = [threading.Thread(target=work, daemon=True) for _ in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    failures = sum(n % 5 == 0 or n % 7 == 0 for n in range(blocks))
    status = x.status()
    assert status.total_failures == threads * failures
    assert status.total_successes == threads * (blocks - failures)


def test_a_guard_that_many_tasks_share_loses_no_report(world: World) -> None:
    x = world.manager.register("x", max_attempts=brama.UNLIMITED)
    guard = x.guard()

    async def one(n: int) -> None:
        async with guard as call:
            await asyncio.sleep(0)
            if n % 3 == 0:
                call.failure()
            await asyncio.sleep(0)
            if n % 3 == 1:
                call.ignore()

    async def main() -> None:
        await asyncio.gather(*map(one, range(30)))

    asyncio.run(main())
    assert totals(world) == (10, 10)


@pytest.mark.parametrize("first_to_end", ["inner", "outer"])
def test_each_block_of_a_shared_guard_reports_for_itself(world: World, first_to_end: str) -> None:
    """A block begins, then one on another thread. One of the two reports by hand."""
    x = world.manager.register("x", max_attempts=brama.UNLIMITED)
    guard = x.guard()
    entered, go = threading.Event(), threading.Event()

    def work() -> None:
        with contextlib.suppress(OSError), guard:
            entered.set()
            assert go.wait(20)
            if first_to_end == "inner":
                raise OSError

    with guard as call:
        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        assert entered.wait(20)
        call.failure("mine")
        if first_to_end == "inner":
            go.set()
            thread.join(20)
            assert totals(world) == (0, 2)
    if first_to_end == "outer":
        assert totals(world) == (0, 1), "what has reported reports no more"
        go.set()
        thread.join(20)
        assert totals(world) == (1, 1)
    with guard:
        pass
    assert call.reported


def test_a_block_may_be_entered_and_left_in_different_contexts(world: World) -> None:
    """Generators and fixtures do this. Here three blocks are open at once."""
    world.manager.register("x", max_attempts=brama.UNLIMITED)
    guard = world.manager.guard("x")

    def generator() -> Iterator[brama.GuardedCall]:
        with guard as call:
            yield call

    blocks = [generator() for _ in range(3)]
    contexts = [contextvars.Context() for _ in range(3)]
    for block, context in zip(blocks, contexts):
        context.run(next, block)
    for block in blocks:
        contextvars.Context().run(next, block, None)
    assert totals(world) == (3, 0)
    with guard:
        pass
    assert totals(world) == (4, 0)


def test_what_a_block_reports_is_not_its_neighbours(world: World) -> None:
    """A `GuardedCall` that outlives its block does not report for another block of the guard."""
    world.manager.register("x", max_attempts=brama.UNLIMITED)
    guard = world.manager.guard("x")
    with guard as first:
        pass
    with guard as second:
        assert first is not second
        with pytest.raises(brama.Stale, match="has ended"):
            first.failure()
        assert (first.reported, second.reported) == (True, False)
    assert totals(world) == (2, 0)


def test_reports_from_other_threads_and_tasks(world: World) -> None:
    world.manager.register("x", max_attempts=brama.UNLIMITED)
    with world.manager.guard("x") as call:
        in_thread(lambda: call.failure("in a thread"))
    assert totals(world) == (0, 1)

    async def fetch(call: brama.GuardedCall) -> None:
        call.failure("in a task")

    async def main() -> None:
        async with world.manager.guard("x") as call:
            await asyncio.create_task(fetch(call))

    asyncio.run(main())
    assert totals(world) == (0, 2)


def test_a_late_report_in_a_block_raises_nothing(world: World) -> None:
    x = world.manager.register("x", max_attempts=1, expiry=1_000)
    for make in (x.guard, lambda: world.manager.guard("x")):
        with make() as call:
            x.failure()
            assert call.failure("late") == 0
        assert x.state() == "open"
        x.reset_circuit()
        with make() as call:
            world.manager.open_circuit("x")
            call.success()
        x.reset_circuit()
    with x.guard() as call:
        world.manager.unregister("x")
        call.ignore()


def test_only_one_report_for_each_block(world: World) -> None:
    world.manager.register("x", max_attempts=brama.UNLIMITED)
    with world.manager.guard("x") as call:
        call.success(metadata={"a": "b"})
        for again in (call.success, call.failure, call.ignore, lambda: call.result(1)):
            with pytest.raises(brama.Stale, match="already"):
                again()
    with pytest.raises(KeyError), world.manager.guard("x") as call:
        call.failure("by hand")
        raise KeyError
    assert totals(world) == (1, 1)


def test_a_response_is_classified_in_a_block(world: World) -> None:
    world.manager.register("x", max_attempts=brama.UNLIMITED)

    def classify(result: object) -> Any:
        return "failure" if result == 503 else None

    guard = world.manager.guard("x", classify=classify)
    with guard as call:
        assert call.result(200) == 200
    with guard as call:
        assert call.result(503) == 503
    with guard:
        assert guard.result(503) == 503
    with guard:
        pass
    assert totals(world) == (2, 2)
    with pytest.raises(brama.Stale, match="not in use"):
        guard.result(1)
    with pytest.raises(ZeroDivisionError):
        with world.manager.guard("x", classify=lambda _: 1 / 0) as call:  # type: ignore[arg-type, return-value]
            call.result(1)
    assert totals(world) == (2, 2)


def test_twenty_bad_responses_at_once(world: World) -> None:
    """Five open the circuit. The other fifteen are reported too late, and raise nothing."""
    manager = world.manager
    manager.register("host", max_attempts=5)

    def classify(status: object) -> Any:
        return "failure" if status == 503 else None

    async def fetch() -> int:
        async with manager.guard("host", classify=classify) as call:
            await asyncio.sleep(0)
            return call.result(503)

    async def main() -> list[int]:
        return await asyncio.gather(*[fetch() for _ in range(20)])

    assert asyncio.run(main()) == [503] * 20
    assert manager.state("host") == "open"
    assert totals(world, "host") == (0, 20)


def test_the_methods_of_a_guard_report_on_the_block_that_is_open_here(world: World) -> None:
    world.manager.register("x", max_attempts=brama.UNLIMITED)
    guard = world.manager.guard("x")
    for report in (guard.success, guard.failure, guard.ignore):
        with guard:
            report()
        with pytest.raises(brama.Stale):
            report()
    with guard:
        with guard:
            guard.failure()
        guard.failure()
    assert totals(world) == (1, 3)


def test_what_a_call_knows_of_itself(world: World) -> None:
    x = world.manager.register("x")
    with x.guard() as call:
        assert not call.is_probe and not call.reported
        assert "not yet reported" in repr(call)
    assert "not yet" not in repr(call)
    x.half_open_circuit()
    with x.guard() as call, x.guard() as rider:
        assert call.is_probe and rider.is_probe
    x.half_open_circuit()
    permit = x.acquire()
    assert permit.is_probe
    permit.success()
    assert not x.acquire().is_probe


def test_an_unregistered_name_is_found_again(world: World) -> None:
    manager = world.manager
    manager.register("x")
    guard = manager.guard("x")
    with guard:
        pass
    manager.unregister("x")
    for _ in range(2):
        with pytest.raises(brama.NotFound), guard:
            pass
        with pytest.raises(brama.NotFound), manager.guard("x"):
            pass
        with pytest.raises(brama.NotFound):
            manager.acquire("x")
    manager.register("x")
    with guard, manager.guard("x"):
        pass
    manager.acquire("x").success()
    assert totals(world) == (3, 0)


def test_handles_are_kept_for_a_bounded_number_of_names(world: World) -> None:
    manager = world.manager
    names = manager._names
    for n in range(1_100):
        manager.register(str(n))
        for _ in range(2):
            with manager.guard(str(n)):
                pass
    assert len(names._kept) == len(manager._guards) == 1_024
    assert "0" not in manager._guards and "1099" in manager._guards


def test_a_context_that_was_copied_inside_of_a_block_outlives_it(world: World) -> None:
    world.manager.register("x", max_attempts=brama.UNLIMITED)
    guard = world.manager.guard("x")
    with guard:
        with guard as kept:
            context = contextvars.copy_context()

    def later() -> None:
        with pytest.raises(OSError), guard:
            raise OSError

    context.run(later)
    assert kept.reported and totals(world) == (2, 1)


def test_a_permit_by_name_after_the_name_was_registered_again(world: World) -> None:
    for n in range(3):
        world.manager.register("x")
        world.manager.acquire("x").success()
        assert totals(world) == (1, 0)
        world.manager.unregister("x")
        with pytest.raises(brama.NotFound):
            world.manager.acquire("x")


def test_an_exit_stack_enters_and_leaves_for_others(world: World) -> None:
    world.manager.register("x", max_attempts=brama.UNLIMITED)
    guard = world.manager.guard("x")
    with contextlib.ExitStack() as stack:
        for _ in range(3):
            stack.enter_context(guard).failure()
        stack.enter_context(guard)
    assert totals(world) == (1, 3)
