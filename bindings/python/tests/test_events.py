"""Events: callbacks, iteration, asyncio; filters; what ends them."""

from __future__ import annotations

import asyncio
import gc
import select
import sys
import threading
import time
from typing import Any

import pytest

import brama
from brama import Event, EventType
from conftest import World, is_inside, until, wait_until


def types(events: list[Event]) -> list[str]:
    return [str(event.type) for event in events]


def test_what_an_event_carries(world: World) -> None:
    stream = world.manager.events()
    x = world.manager.register("x", scope="s", max_attempts=1, expiry=1_000)
    x.failure(reason="timeout", metadata={"code": "504"})
    world.later(1_000)
    x.success()
    world.manager.unregister("x", scope="s")
    events = stream.drain()
    assert types(events) == [
        "registration",
        "connection_registered",
        "failure",
        "state_change",
        "circuit_opened",
        "expiry",
        "state_change",
        "circuit_half_opened",
        "success",
        "state_change",
        "circuit_closed",
        "connection_unregistered",
        "connection_removed",
    ]
    opened = events[4]
    assert opened.type is EventType.CIRCUIT_OPENED
    assert (opened.connection, opened.scope, opened.reason) == ("x", "s", "timeout")
    assert (opened.previous_state, opened.new_state) == ("closed", "open")
    assert (opened.failure_count, opened.expiry, opened.coalesced) == (1, 1_000, False)
    assert opened.cause is brama.Cause.CONSECUTIVE and events[5].cause is None
    assert opened.timestamp == 1_000_000_000_000 and opened.metadata == {"code": "504"}
    assert events[0].previous_state is brama.State.UNKNOWN
    assert [e.sequence for e in events] == sorted({e.sequence for e in events})


def test_what_is_asked_for(world: World) -> None:
    manager = world.manager
    for scope in (None, "s"):
        for name in ("x", "y"):
            manager.register(name, scope=scope, max_attempts=1)
    streams = {
        "type": manager.events("failure"),
        "types": manager.events([EventType.FAILURE, "circuit_opened"]),
        "connection": manager.events(connection="x"),
        "scope": manager.subscribe(scope="s", events={"failure"}),
        "no scope": manager.subscribe(scope=brama.NO_SCOPE, events="failure"),
        "both": manager.subscribe(connection="x", scope="s"),
        "filter": manager.subscribe(filter=lambda event: event.reason == "yes"),
    }
    for scope in (None, "s"):
        for name in ("x", "y"):
            manager.failure(name, scope=scope, reason="yes" if scope else None)
    got = {name: stream.drain() for name, stream in streams.items()}
    assert {name: len(events) for name, events in got.items()} == {
        "type": 4,
        "types": 8,
        "connection": 6,
        "scope": 2,
        "no scope": 2,
        "both": 3,
        "filter": 6,
    }
    assert {e.connection for e in got["connection"]} == {"x"}


def test_callbacks_run_in_poll_without_a_background_thread(world: World) -> None:
    threads = []
    subscription = world.manager.subscribe(lambda _: threads.append(threading.get_ident()))
    world.manager.register("x")
    assert threads == []
    world.manager.poll()
    assert threads == [threading.get_ident()] * 2
    subscription.unsubscribe()
    world.manager.unregister("x")
    world.manager.poll()
    assert len(threads) == 2 and not subscription.active


def test_callbacks_run_on_a_thread_of_their_own(manager: brama.Brama) -> None:
    got: list[Event] = []
    threads = set()

    def callback(event: Event) -> None:
        got.append(event)
        threads.add(threading.current_thread().name)

    manager.subscribe(callback)
    manager.register("x", max_attempts=1, expiry=20)
    manager.failure("x")
    wait_until(lambda: "circuit_half_opened" in types(got))
    assert threads == {"brama-events"}


def test_a_callback_may_call_anything(manager: brama.Brama) -> None:
    done: list[str] = []

    def callback(event: Event) -> None:
        if event.type == "connection_registered":
            manager.failure(event.connection)
            manager.subscribe(lambda _: None).unsubscribe()
            manager.snapshot(), manager.poll()
            subscription.unsubscribe()
            done.append(event.connection)

    subscription = manager.subscribe(callback)
    manager.register("x")
    wait_until(lambda: done)
    manager.register("y")
    manager.shutdown()
    assert done == ["x"]


def test_callbacks_that_end_each_other_do_not_wait_for_each_other(manager: brama.Brama) -> None:
    both = threading.Barrier(2)
    ended = []
    subscriptions: list[brama.Subscription] = []

    def callback(me: int) -> Any:
        def end_the_other(event: Event) -> None:
            both.wait(20)
            subscriptions[1 - me].unsubscribe()
            ended.append(me)

        return end_the_other

    for me in (0, 1):
        subscriptions.append(manager.subscribe(callback(me), events="registration"))
    manager.register("x")
    wait_until(lambda: len(ended) == 2)


def test_when_unsubscribe_has_returned_the_callback_is_not_running(manager: brama.Brama) -> None:
    manager.register("x", max_attempts=1_000_000)
    for _ in range(20):
        running = threading.Event()
        alive = [True]
        wrong = []

        def callback(_: Event) -> None:
            running.set()
            time.sleep(0.002)
            if not alive[0]:
                wrong.append(1)

        subscription = manager.subscribe(callback)
        for _ in range(5):
            manager.failure("x")
        assert running.wait(20)
        subscription.unsubscribe()
        alive[0] = False
        assert not wrong


def test_unsubscribing_by_pattern(manager: brama.Brama) -> None:
    got: dict[str, list[Event]] = {"x": [], "y": [], "all": []}
    x = manager.subscribe(got["x"].append, connection="x")
    y = manager.subscribe(got["y"].append, connection="y", events="failure")
    everything = manager.subscribe(got["all"].append)
    stream = manager.events(connection="x")
    manager.unsubscribe(connection="x")
    assert (x.active, y.active, everything.active, stream.active) == (False, True, True, False)
    manager.unsubscribe(events=["failure", "success"])
    assert (y.active, everything.active) == (False, True)
    manager.unsubscribe(everything)
    assert not everything.active
    manager.unsubscribe()
    manager.register("x")
    manager.shutdown()
    assert got == {"x": [], "y": [], "all": []}


def test_a_callback_that_raises_is_reported_and_stops_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[Any] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda hook: told.append(hook.exc_value))
    got: list[Event] = []

    def raises(_: Event) -> None:
        raise OSError("in the callback")

    def picky(_: Event) -> bool:
        raise KeyError("in the filter")

    world.manager.subscribe(raises)
    world.manager.subscribe(got.append)
    world.manager.subscribe(got.append, filter=picky)
    world.manager.register("x")
    world.manager.poll()
    assert types(got) == ["registration", "connection_registered"]
    assert sorted(type(error).__name__ for error in told) == ["KeyError"] * 2 + ["OSError"] * 2
    assert world.manager.event_counts().callback_errors == 4


def test_an_interrupted_poll_loses_no_event(world: World) -> None:
    got: list[Event] = []

    def callback(event: Event) -> None:
        got.append(event)
        if len(got) == 1:
            raise KeyboardInterrupt

    world.manager.subscribe(callback)
    others: list[Event] = []
    world.manager.subscribe(others.append)
    world.manager.register("x")
    with pytest.raises(KeyboardInterrupt):
        world.manager.poll()
    assert types(got) == types(others) == ["registration", "connection_registered"]
    assert world.manager.event_counts().callback_errors == 1


def test_event_counts(world: World) -> None:
    stream = world.manager.events()
    world.manager.register("x")
    assert len(stream.drain()) == 2
    counts = world.manager.event_counts()
    assert (counts.published, counts.delivered, counts.dropped) == (2, 2, 0)


def test_a_full_stream_drops_and_counts_and_delivers_the_latest(world: World) -> None:
    stream = world.manager.events(capacity=1)
    x = world.manager.register("x", max_attempts=1)
    for _ in range(50):
        x.success()
        x.failure()
        x.reset_circuit()
        world.manager.poll()
    events = []
    while True:
        more = stream.drain()
        world.manager.poll()
        if not more:
            break
        events += more
    told = {str(event.type) for event in events}
    assert {"circuit_opened", "circuit_reset", "state_change"} <= told
    assert world.manager.event_counts().dropped > 0
    assert any(event.coalesced for event in events)


def test_iteration(manager: brama.Brama) -> None:
    stream = manager.subscribe(events=["registration"])
    manager.register("x")
    assert next(stream).connection == "x"
    assert stream.get(timeout=1) is None

    reader = threading.current_thread()

    def later() -> None:
        wait_until(lambda: is_inside(reader))
        manager.register("y")
        manager.register("z")
        manager.shutdown()

    thread = threading.Thread(target=later, daemon=True)
    thread.start()
    assert [event.connection for event in stream] == ["y", "z"]
    thread.join()
    assert stream.get() is None and not stream.active


def test_iteration_on_another_thread_ends_with_the_subscription(manager: brama.Brama) -> None:
    got: list[str] = []
    stream = manager.events("registration")
    work = lambda: got.extend(e.connection for e in stream)  # noqa: E731
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    manager.register("x")
    wait_until(lambda: got)
    with stream:
        pass
    thread.join(20)
    assert not thread.is_alive() and got == ["x"]


def test_a_blocking_wait_drives_a_manager_without_a_background_thread() -> None:
    manager = brama.Brama(background=False)
    stream = manager.events("expiry")
    manager.register("x", max_attempts=1, expiry=20)
    manager.failure("x")
    event = stream.get(timeout=20_000)
    assert event is not None and event.connection == "x"


def test_streams_fit_select(manager: brama.Brama) -> None:
    stream = manager.events("registration")
    assert select.select([stream], [], [], 0)[0] == []
    manager.register("x")
    assert select.select([stream], [], [], 20)[0] == [stream]
    assert [event.connection for event in stream.drain()] == ["x"]
    assert select.select([stream], [], [], 0)[0] == []
    stream.unsubscribe()
    assert select.select([stream], [], [], 20)[0] == [stream]


def test_async_iteration(manager: brama.Brama) -> None:
    async def main() -> list[str]:
        got: list[str] = []
        stream = manager.events("registration")

        async def read() -> None:
            async for event in stream:
                got.append(event.connection)

        reading = asyncio.ensure_future(read())
        await until(lambda: stream._waiting)
        for name in "xyz":
            manager.register(name)
        await until(lambda: len(got) == 3)
        stream.unsubscribe()
        await asyncio.wait_for(reading, 20)
        return got

    assert asyncio.run(main()) == ["x", "y", "z"]


def test_async_waiting_starts_no_thread_and_does_not_poll(manager: brama.Brama) -> None:
    async def main() -> None:
        async with manager.events("registration") as stream:
            loop = asyncio.get_running_loop()
            waiting = asyncio.ensure_future(stream.__anext__())
            await asyncio.sleep(0)
            threads = threading.active_count()
            assert not getattr(loop, "_scheduled", []), "nothing is timed"
            loop.call_soon(manager.register, "x")
            assert (await asyncio.wait_for(waiting, 20)).connection == "x"
            assert threading.active_count() == threads

    asyncio.run(main())


def test_a_cancelled_wait_loses_nothing(manager: brama.Brama) -> None:
    async def main() -> None:
        stream = manager.events("registration")
        for _ in range(3):
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(stream.__anext__(), 0.01)
        manager.register("x")
        assert (await asyncio.wait_for(stream.__anext__(), 20)).connection == "x"
        tasks = [asyncio.ensure_future(stream.__anext__()) for _ in range(3)]
        await until(lambda: sum(map(len, stream._waiting.values())) == 3)
        tasks.pop().cancel()
        manager.register("y"), manager.register("z")
        got = await asyncio.wait_for(asyncio.gather(*tasks), 20)
        assert sorted(event.connection for event in got) == ["y", "z"]
        stream.unsubscribe()
        with pytest.raises(StopAsyncIteration):
            await stream.__anext__()

    asyncio.run(main())


def test_an_unreferenced_stream_ends(manager: brama.Brama) -> None:
    for _ in range(50):
        manager.events()
    gc.collect()
    manager.register("x")
    manager.poll()
    assert manager.event_counts().published == 0


def test_shutdown_delivers_what_waits(manager: brama.Brama) -> None:
    got: list[Event] = []
    manager.subscribe(lambda event: (time.sleep(0.001), got.append(event)))
    for n in range(50):
        manager.register(str(n))
    manager.shutdown()
    assert types(got).count("registration") == 50
    assert not [t for t in threading.enumerate() if t.name == "brama-events"]


def test_shutdown_inside_a_callback(manager: brama.Brama) -> None:
    got: list[Event] = []

    def callback(event: Event) -> None:
        got.append(event)
        manager.shutdown()

    manager.subscribe(callback, events="registration")
    manager.register("x")
    wait_until(lambda: got and not manager.available("x"))
    with pytest.raises(brama.ShutDown):
        manager.register("y")


def test_an_unreferenced_manager_with_callbacks_ends() -> None:
    got: list[Event] = []
    manager = brama.Brama()
    manager.subscribe(got.append)
    manager.register("x")
    before = [t for t in threading.enumerate() if t.name == "brama-events"]
    assert before
    del manager
    gc.collect()
    wait_until(lambda: not any(thread.is_alive() for thread in before))
    assert types(got) == ["registration", "connection_registered"]


def test_a_wait_may_be_longer_than_the_system_can_wait_at_once(manager: brama.Brama) -> None:
    """One thread waits for the descriptor, the other for the lock."""
    stream = manager.events("registration")
    got: list[object] = []

    def wait() -> None:
        try:
            got.append(stream.get(timeout=1 << 62))
        except BaseException as error:
            got.append(error)

    threads = [threading.Thread(target=wait, daemon=True) for _ in range(2)]
    for thread in threads:
        thread.start()
    wait_until(lambda: stream._turn.locked() or bool(got))
    for name in ("x", "y"):
        manager.register(name)
    for thread in threads:
        thread.join(20)
    assert sorted(event.connection for event in got) == ["x", "y"]  # type: ignore[attr-defined]


def test_a_waiter_slept_beside_an_event_that_another_had_taken_along(
    manager: brama.Brama,
) -> None:
    """Events that were taken out of the queue do not make the descriptor readable."""
    stream = manager.events("registration")
    for name in ("x", "y", "z"):
        manager.register(name)
    for name in ("x", "y"):
        event = stream.get(timeout=20_000)
        assert event is not None and event.connection == name
        assert select.select([stream], [], [], 20)[0] == [stream]
    assert [event.connection for event in stream.drain()] == ["z"]
    assert select.select([stream], [], [], 0)[0] == []
