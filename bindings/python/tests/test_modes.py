"""Circuits in the modes disabled and shadow, and the state in which a circuit begins."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest

import brama
from conftest import World

LATER = "takes effect when the circuit is enabled again"


def opened_then(world: World, mode: str) -> brama.Connection:
    """A circuit that has opened by itself, for a minute, and was then given this mode."""
    db = world.manager.register("db")
    for _ in range(5):
        db.failure(reason="down")
    db.configure(mode=mode)
    return db


def test_a_disabled_circuit_does_nothing(world: World) -> None:
    db = opened_then(world, "disabled")
    assert db.available() and db.state() == "closed"
    assert world.manager.state("db") == "closed" and world.manager.available("db")
    status = db.status()
    assert (status.state, status.mode, status.settings.mode) == ("closed", "disabled", "disabled")
    assert (status.retry_after, status.window_calls) == (None, None)
    permit = db.acquire()
    assert not permit.is_probe
    permit.failure(reason="late")
    db.acquire().success()
    db.acquire().ignore()
    with pytest.raises(ZeroDivisionError):
        with db.guard():
            raise ZeroDivisionError
    assert db.failure(retry_after=1_000) == 5, "none counts"
    world.clock.advance(120_000)
    world.manager.poll()
    status = db.status()
    assert (status.total_failures, status.total_successes, status.total_ignored) == (8, 1, 1)
    assert (status.failure_count, status.trips, status.total_rejections) == (5, 1, 0)
    db.configure(mode="normal")
    status = db.status()
    assert (status.state, status.failure_count, status.trips) == ("closed", 0, 0)


def test_a_shadow_rejects_nothing(world: World) -> None:
    db = opened_then(world, "shadow")
    assert db.available() and db.state() == "open"

    @world.manager.circuit("db")
    def call() -> str:
        return "done"

    @world.manager.circuit("db")
    async def later() -> None:
        raise ZeroDivisionError

    assert call() == "done"
    with pytest.raises(ZeroDivisionError):
        asyncio.run(later())
    with db.guard():
        pass
    world.manager.acquire("db").failure()
    status = db.status()
    assert (status.would_reject, status.total_rejections, status.mode) == (4, 0, "shadow")
    assert (status.total_successes, status.total_failures, status.failure_count) == (2, 7, 5)
    world.clock.advance(60_000)
    probe = db.acquire()
    assert probe.is_probe and db.status().probes_out == 1
    assert not db.acquire().is_probe
    probe.success()
    assert db.state() == "closed"
    db.configure(mode=brama.INHERIT)
    assert db.status().mode is brama.Mode.NORMAL


def test_a_manager_has_a_mode_too(world: World) -> None:
    manager = world.manager
    own = manager.register("own", mode="normal")
    db = opened_then(world, "shadow")
    own.open_circuit()
    manager.configure(mode=brama.Mode.DISABLED)
    db.configure(mode=brama.INHERIT)
    assert db.status().mode == "disabled"
    with pytest.raises(brama.CircuitOpen):
        own.acquire()
    own.configure(mode=brama.INHERIT)
    own.acquire().success()


def test_events_say_the_mode(world: World) -> None:
    db = world.manager.register("db")
    events = world.manager.events()
    db.configure(mode="disabled")
    db.open_circuit(reason="maintenance")
    db.half_open_circuit()
    db.configure(mode="shadow")
    told = events.drain()
    assert [event.type for event in told] == [
        "notice",
        "state_change",
        "circuit_opened",
        "state_change",
        "circuit_half_opened",
        "notice",
    ]
    assert [event.deferred for event in told] == [False, True, True, True, True, False]
    assert [event.mode for event in told] == ["disabled"] * 5 + ["shadow"]
    assert [event.shadow for event in told] == [False] * 5 + [True]
    assert told[2].reason == f"maintenance; {LATER}"
    assert told[4].reason == LATER
    assert db.state() == "half_open", "a hand made it so"


def test_what_a_hand_holds_open_stays(world: World) -> None:
    db = opened_then(world, "disabled")
    db.open_circuit(reason="maintenance", expiry=brama.NEVER)
    assert db.available()
    db.configure(mode="normal")
    with pytest.raises(brama.CircuitOpen) as rejected:
        db.acquire()
    assert (rejected.value.cause, rejected.value.reason) == ("manual", "maintenance")


@pytest.mark.parametrize("mode", ["off", "", "Normal"])
def test_an_unknown_mode_is_refused(world: World, mode: str) -> None:
    db = world.manager.register("db")
    for refused in (
        lambda: db.configure(mode=mode),
        lambda: world.manager.configure(mode=mode),
        lambda: world.manager.register("new", mode=mode),
    ):
        with pytest.raises(brama.InvalidConfig, match='mode.*"normal", "disabled" or "shadow"'):
            refused()
    wrong: Any = 1
    with pytest.raises(TypeError, match="mode"):
        db.configure(mode=wrong)


def test_a_circuit_may_begin_open(world: World) -> None:
    manager = world.manager
    events = manager.events(["state_change", "circuit_opened", "connection_registered"])
    held = manager.register("held", initial_state="open")
    timed = manager.register("timed", initial_state=timedelta(milliseconds=50))
    assert manager.register("closed", initial_state="closed").state() == "closed"
    told = [event.type for event in events.drain()]
    born = ["connection_registered", "state_change", "circuit_opened"]
    assert told == [*born, *born, "connection_registered"]
    status = held.status()
    assert (status.state, status.cause, status.trips) == ("open", "manual", 0)
    assert (status.expiry, status.retry_after) == (None, None)
    assert timed.status().retry_after == 50
    world.clock.advance(50)
    assert (timed.state(), held.state()) == ("half_open", "open")
    # `initial_state` is for registrations only.
    with pytest.raises(brama.InvalidConfig, match="initial_state.*given at registration only"):
        timed.configure(initial_state="open")
    with pytest.raises(brama.InvalidConfig, match="initial_state.*given at registration only"):
        manager.configure("timed", initial_state="closed")
    with pytest.raises(TypeError, match="initial_state"):
        manager.configure(**{"initial_state": "open"})
    assert manager.get_or_register("timed", initial_state="open").state() == "half_open"


@pytest.mark.parametrize("state", ["half_open", "", 0, -1, 1 << 63, 1 << 64, timedelta(0)])
def test_an_unknown_initial_state_is_refused(world: World, state: Any) -> None:
    rule = 'must be "closed", "open", or 1 to 9223372036854775807 ms'
    with pytest.raises(brama.InvalidConfig, match=f"`initial_state` = .*: {rule}"):
        world.manager.register("db", initial_state=state)
    assert world.manager.state("db") == "unknown"
    for wrong in (None, brama.INHERIT, True, 1.5, float("nan"), b"open"):
        given: Any = wrong
        with pytest.raises(TypeError, match='initial_state must be "closed", "open", an int'):
            world.manager.register("db", initial_state=given)
