"""`shutdown(timeout=…)`: how long it may take, and what is left then."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import Any, Callable

import pytest

import brama
from conftest import Program, World, wait_until


class Slow:
    """A callback that waits until the test lets it go on."""

    def __init__(self) -> None:
        self.began = threading.Event()
        self.go = threading.Event()
        self.told: list[str] = []

    def __call__(self, event: brama.Event) -> None:
        self.told.append(event.connection)
        self.began.set()
        assert self.go.wait(20)


@pytest.mark.parametrize("timeout", [None, 20_000, timedelta(seconds=20), 1 << 62])
def test_a_shutdown_in_time_leaves_nothing(manager: brama.Brama, timeout: Any) -> None:
    told: list[str] = []
    manager.subscribe(lambda event: told.append(event.connection), events="registration")
    stream = manager.events("registration")
    for n in range(200):
        manager.register(str(n))
    assert manager.shutdown(timeout=timeout) == 0
    assert told == [str(n) for n in range(200)]
    assert manager.shutdown(timeout=timeout) == manager.shutdown() == 0
    # Events in a stream can still be taken.
    assert [event.connection for event in stream] == told


def test_a_shutdown_does_not_wait_longer_for_a_callback(manager: brama.Brama) -> None:
    slow = Slow()
    quick: list[str] = []
    subscription = manager.subscribe(slow, events="registration")
    manager.subscribe(lambda event: quick.append(event.connection), events="registration")
    for n in range(5):
        manager.register(str(n))
    assert slow.began.wait(20)
    wait_until(lambda: len(quick) == 5)
    # The callback that is running counts, and the four events that wait.
    assert manager.shutdown(timeout=50) == 5
    assert slow.told == ["0"]
    # Nothing waits for the running callback any more.
    subscription.unsubscribe()
    assert manager.shutdown() == manager.shutdown(timeout=0) == 0
    with pytest.raises(brama.ShutDown):
        manager.register("x")
    thread: Any = subscription._thread
    slow.go.set()
    thread.join(20)
    assert not thread.is_alive() and slow.told == ["0"]


def test_an_event_that_two_callbacks_have_not_got_counts_twice(manager: brama.Brama) -> None:
    slow = [Slow(), Slow()]
    for each in slow:
        manager.subscribe(each, events="registration")
    manager.register("x")
    assert all(each.began.wait(20) for each in slow)
    manager.register("y")
    manager.poll()  # Puts the event into both queues.
    assert manager.shutdown(timeout=0) == 4
    for each in slow:
        each.go.set()


def test_a_shutdown_without_a_thread_looks_at_the_time_between_callbacks(world: World) -> None:
    told: list[str] = []
    world.manager.subscribe(lambda event: told.append(event.connection), events="registration")
    for n in range(3):
        world.manager.register(str(n))
    assert world.manager.shutdown(timeout=0) == 3 and told == []

    other = brama.Brama(background=False)
    other.subscribe(lambda event: told.append(event.connection), events="registration")
    other.register("x")
    assert other.shutdown(timeout=20_000) == 0 and told == ["x"]


def test_a_shutdown_waits_for_the_thread_that_polls(world: World) -> None:
    slow = Slow()
    world.manager.subscribe(slow, events="registration")
    world.manager.register("x")
    poll = threading.Thread(target=world.manager.poll, daemon=True)
    poll.start()
    assert slow.began.wait(20)
    left: list[int] = []
    end = threading.Thread(target=lambda: left.append(world.manager.shutdown()), daemon=True)
    end.start()
    end.join(0.05)
    assert left == []
    slow.go.set()
    end.join(20)
    poll.join(20)
    assert left == [0]


def test_a_shutdown_in_time_inside_a_callback_waits_for_nothing(manager: brama.Brama) -> None:
    answers: list[int] = []
    done = threading.Event()

    def end(event: brama.Event) -> None:
        answers.append(manager.shutdown(timeout=20_000))
        done.set()

    manager.subscribe(end, events="registration")
    manager.register("x")
    assert done.wait(20) and len(answers) == 1


def test_times_that_are_none(world: World) -> None:
    shutdown: Callable[..., int] = world.manager.shutdown
    with pytest.raises(brama.InvalidArgument, match="timeout"):
        shutdown(timeout=-1)
    for bad in (0.5, "5", True):
        with pytest.raises(TypeError, match="timeout"):
            shutdown(timeout=bad)
    world.manager.register("still there")


def test_the_end_does_not_wait_for_what_was_left_behind(program: Program) -> None:
    out = program(
        """
    import atexit, threading, time, brama
    began, never = threading.Event(), threading.Event()
    def hang(event):
        began.set()
        never.wait()
    brama.subscribe(hang, events="registration")
    brama.register("x")
    began.wait(20)
    print(brama.shutdown(timeout=10))
    start = time.monotonic()
    # It ran before this one was registered, so it runs after it.
    from brama import _lifecycle
    real = _lifecycle._at_exit
    atexit.unregister(real)
    atexit.register(lambda: (real(), print(time.monotonic() - start < _lifecycle.PATIENCE / 2)))
    """
    )
    assert out.split() == ["1", "True"]


def test_what_happens_to_events_at_the_end(program: Program) -> None:
    """As `docs/in-production.md` says: callbacks get their events, streams do not. A process that
    ends without Python's normal end delivers nothing."""
    text = """
    import os, sys, signal, brama
    brama.subscribe(lambda event: print(event.connection, flush=True), events="registration")
    stream = brama.events("registration")
    brama.poll()
    for n in range(3):
        brama.register(str(n))
    """
    assert program(text).split() == ["0", "1", "2"]
    assert program(text + "sys.exit(3)", code=3).split() == ["0", "1", "2"]
    assert program(text + "raise OSError", code=1).split() == ["0", "1", "2"]
    left = text + "print('left', brama.shutdown(timeout=20_000), flush=True); os._exit(4)"
    assert program(left, code=4).split() == ["0", "1", "2", "left", "0"]


def test_a_shutdown_begins_no_callback_after_its_time(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The callbacks have no thread. The time is over when the first one has returned."""
    told: list[str] = []
    world.manager.subscribe(lambda event: told.append(event.connection), events="registration")
    for n in range(3):
        world.manager.register(str(n))
    is_over = lambda deadline: deadline is not None and bool(told)  # noqa: E731
    monkeypatch.setattr("brama._subscription._is_over", is_over)
    assert world.manager.shutdown(timeout=20_000) == 2 and told == ["0"]
