"""Callbacks and filters that raise, or are of a wrong kind."""

from __future__ import annotations

import asyncio
import functools
import sys
import threading
from typing import Any

import pytest

import brama
from brama import Event
from conftest import World, wait_until


class Rolled(BaseException):
    pass


BASE = [asyncio.CancelledError, GeneratorExit, SystemExit, KeyboardInterrupt, Rolled, ValueError]


@pytest.mark.parametrize("where", ["callback", "filter", "filter of a stream"])
@pytest.mark.parametrize("kind", BASE)
def test_whatever_is_raised_ends_there_and_is_counted(
    manager: brama.Brama,
    monkeypatch: pytest.MonkeyPatch,
    where: str,
    kind: type[BaseException],
) -> None:
    """The subscription goes on."""
    told: list[Any] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda hook: told.append(hook.exc_value))
    asked: list[str] = []

    def raises_once(event: Event) -> bool:
        asked.append(event.connection)
        if len(asked) == 1:
            raise kind
        return True

    if where == "callback":
        manager.subscribe(raises_once, events="registration")
    elif where == "filter":
        manager.subscribe(lambda _: None, events="registration", filter=raises_once)
    else:
        stream = manager.events("registration", filter=raises_once)
    for n in range(3):
        manager.register(str(n))
    if where == "filter of a stream":
        if kind is KeyboardInterrupt:
            # Raised again: the user wants to end what this thread does.
            with pytest.raises(KeyboardInterrupt):
                next(stream)
        assert [next(stream).connection for _ in range(2)] == ["1", "2"]
    wait_until(lambda: len(asked) == 3)
    assert asked == ["0", "1", "2"]
    assert manager.event_counts().callback_errors == 1
    expected = [] if where == "filter of a stream" and kind is KeyboardInterrupt else [kind]
    assert [type(error) for error in told] == expected


def test_coroutine_functions_are_refused(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    async def listener(event: Event) -> None: ...

    class Listener:
        async def __call__(self, event: Event) -> None: ...

    for function in (listener, Listener(), functools.partial(listener)):
        with pytest.raises(TypeError, match="callback must be a plain function"):
            world.manager.subscribe(function)
        with pytest.raises(TypeError, match="filter must be a plain function"):
            world.manager.events(filter=function)
    told: list[Any] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda hook: told.append(hook.exc_value))
    world.manager.subscribe(lambda event: listener(event))
    stream = world.manager.events(filter=lambda event: listener(event))
    world.manager.register("x")
    world.manager.poll()
    assert stream.drain() == []
    assert [type(error) for error in told] == [TypeError] * 4
    assert "has returned a coroutine" in str(told[0])
    assert world.manager.event_counts().callback_errors == 4


def test_callbacks_of_two_managers_that_end_each_other_do_not_wait(
    manager: brama.Brama,
) -> None:
    managers = [manager, brama.Brama()]
    both = threading.Barrier(2)
    ended: list[int] = []
    subscriptions: list[brama.Subscription] = []

    def callback(me: int) -> Any:
        def end_the_other(event: Event) -> None:
            both.wait(20)
            subscriptions[1 - me].unsubscribe()
            managers[1 - me].shutdown()
            ended.append(me)

        return end_the_other

    for me in (0, 1):
        subscriptions.append(managers[me].subscribe(callback(me), events="registration"))
    for each in managers:
        each.register("x")
    wait_until(lambda: len(ended) == 2)
