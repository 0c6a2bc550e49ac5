"""Circuits that are saved and restored."""

from __future__ import annotations

from typing import Any

import pytest

import brama
from conftest import Program, World


def another(advanced: int = 0) -> World:
    clock = brama.ManualClock()
    clock.advance(advanced)
    return World(clock, brama.Brama(clock=clock, background=False))


def opened(world: World) -> bytes:
    """The saved state of a circuit that has been open for 10 of 60 s."""
    world.manager.register("db", max_attempts=1).failure(reason="HTTP 503")
    world.clock.advance(10_000)
    return world.manager.save()


def test_an_opening_goes_on_in_another_manager(world: World) -> None:
    data = opened(world)
    assert type(data) is bytes
    young = another(30_000)
    db = young.manager.register("db")
    permit = db.acquire()
    events = young.manager.events("circuit_opened")
    assert young.manager.restore(data) == 1
    status = db.status()
    assert (status.state, status.trips, status.failure_count) == ("open", 1, 1)
    assert (status.retry_after, status.expiry) == (30_000, 60_000)
    assert (status.cause, status.reason) == ("consecutive", "HTTP 503")
    assert (status.total_failures, status.last_failure_reason) == (1, "HTTP 503")
    (event,) = events.drain()
    assert (event.cause, event.reason, event.expiry) == ("consecutive", "HTTP 503", 60_000)
    with pytest.raises(brama.Stale):
        permit.success()
    with pytest.raises(brama.CircuitOpen) as rejected:
        db.acquire()
    assert rejected.value.retry_after == 30_000
    young.later(30_000)
    assert db.state() == "half_open"
    assert young.manager.restore(data) == 0, "it has changed since"
    assert db.state() == "half_open"


def test_an_opening_that_is_over_is_due_at_once(world: World) -> None:
    data = opened(world)
    young = another(60_000)
    db = young.manager.register("db")
    assert young.manager.restore(data) == 1
    assert db.state() == "half_open"


def test_an_unknown_name_waits_for_its_registration(world: World) -> None:
    young = another(10_000)
    assert young.manager.restore(opened(world)) == 1
    assert young.manager.state("db") == "unknown"
    assert young.manager.snapshot() == []
    young.clock.advance(20_000)
    assert young.manager.get_or_register("db").status().retry_after == 30_000
    young.manager.unregister("db")
    assert young.manager.register("db").state() == "closed"


def test_a_decorated_function_finds_its_circuit_restored(world: World) -> None:
    young = another(10_000)
    young.manager.restore(opened(world))

    @young.manager.circuit("db")
    def query() -> str:
        return "rows"

    with pytest.raises(brama.CircuitOpen):
        query()


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_any_bytes_are_restored(world: World, kind: Any) -> None:
    assert another().manager.restore(kind(opened(world))) == 1


def test_a_length_that_is_not_true_is_not_believed(world: World) -> None:
    class Long(bytes):
        def __len__(self) -> int:
            return 1 << 40

        def __bytes__(self) -> bytes:
            return b"another text"

    assert another().manager.restore(Long(opened(world))) == 1


def test_damage_is_refused_whole(world: World) -> None:
    data = opened(world)
    young = another()
    db = young.manager.register("db")
    for at in range(len(data)):
        damaged = bytearray(data)
        damaged[at] ^= 0x40
        for bad in (damaged, data[:at]):
            with pytest.raises(brama.InvalidArgument, match=r"`data` = \d+ bytes.*at offset \d+"):
                young.manager.restore(bad)
    with pytest.raises(brama.InvalidArgument, match="offset 0"):
        young.manager.restore(b"{}")
    assert db.state() == "closed"


@pytest.mark.parametrize("bad", [None, "brama", 1, ["db"], object()])
def test_what_is_no_bytes_is_a_type_error(world: World, bad: Any) -> None:
    with pytest.raises(TypeError, match="data must be bytes"):
        world.manager.restore(bad)


def test_after_the_end(world: World) -> None:
    data = opened(world)
    world.manager.shutdown()
    with pytest.raises(brama.ShutDown):
        world.manager.restore(data)
    with pytest.raises(brama.ShutDown):
        world.manager.save()


def test_the_default_manager_in_the_next_process(program: Program) -> None:
    assert brama.save.__doc__ == brama.Brama.save.__doc__
    program(
        """
        import brama
        from pathlib import Path
        brama.register("db").open_circuit(reason="deploy", expiry=brama.NEVER)
        Path("circuits").write_bytes(brama.save())
        """
    )
    out = program(
        """
        import brama, os
        from pathlib import Path
        assert brama.restore(Path("circuits").read_bytes()) == 1
        child = os.fork()
        status = brama.register("db").status()
        assert (status.state, status.reason) == ("open", "deploy"), status
        if child:
            assert os.waitpid(child, 0)[1] == 0
            print("ok")
        """
    )
    assert out == "ok\n"
