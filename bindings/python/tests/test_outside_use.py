"""Defects that other programs met. Each test is named after what went wrong."""

from __future__ import annotations

import asyncio
import sys

import pytest

import brama
from conftest import Program, World


def test_a_healthy_dependency_slower_than_the_expiry_was_never_found_well(world: World) -> None:
    """Each probe succeeded after its lease had ended."""
    x = world.manager.register("x", max_attempts=1, expiry=100)
    for lasting in (150, 999, 5_000):
        x.failure()
        world.clock.advance(100)
        with x.guard() as call:
            assert call.is_probe
            world.clock.advance(lasting)
        assert x.state() == "closed", lasting


def test_a_probe_that_never_reports_kept_its_place(world: World) -> None:
    x = world.manager.register("x", max_attempts=1, expiry=100)
    x.failure()
    world.clock.advance(100)
    lost = x.acquire()
    world.clock.advance(999)
    with pytest.raises(brama.CircuitOpen, match="all its probes are under way") as rejected:
        x.acquire()
    assert rejected.value.probes_out and rejected.value.retry_after == 1
    world.clock.advance(1)
    with x.guard():
        pass
    with pytest.raises(brama.Stale):
        lost.success()
    assert x.state() == "closed"


def test_a_rejection_said_open_when_it_was_the_probes(world: World) -> None:
    x = world.manager.register("x", max_attempts=1, expiry=500)
    x.failure()
    with pytest.raises(brama.CircuitOpen) as rejected:
        x.acquire()
    assert not rejected.value.probes_out and "probes" not in str(rejected.value)
    assert rejected.value.retry_after == 500
    world.clock.advance(500)
    with x.guard(), pytest.raises(brama.CircuitOpen) as rejected:
        x.acquire()
    assert rejected.value.probes_out and rejected.value.retry_after == 1_000
    x.open_circuit(expiry=brama.NEVER)
    with pytest.raises(brama.CircuitOpen) as rejected:
        x.acquire()
    assert rejected.value.retry_after is None and not rejected.value.probes_out
    assert str(rejected.value).endswith("it is held open")


@pytest.mark.parametrize("expiry", [1, 7, 100, 60_000])
def test_a_caller_that_waits_until_retry_at_is_admitted(world: World, expiry: int) -> None:
    x = world.manager.register("x", max_attempts=1, expiry=expiry, jitter=1.0)
    for _ in range(20):
        x.failure()
        with pytest.raises(brama.CircuitOpen) as rejected:
            x.acquire()
        after = rejected.value.retry_after
        assert after is not None and after <= 2 * expiry + 1
        world.clock.advance(after)
        with x.guard():
            pass


def test_cleanup_forgot_an_opening_before_its_time() -> None:
    clock = brama.ManualClock()
    manager = brama.Brama(clock=clock, background=False, inactive_threshold=60_000)
    world = World(clock, manager)
    for name, expiry in (("timed", 120_000), ("held", brama.NEVER)):
        manager.register(name)
        manager.open_circuit(name, expiry=expiry)
    for _ in range(11):
        world.later(10_000)
        assert manager.state("timed") == manager.state("held") == "open"
    for _ in range(20):
        world.later(10_000)
    assert manager.state("timed") == "unknown" and manager.state("held") == "open"


def test_after_a_quiet_day_the_connection_of_a_handle_was_gone(world: World) -> None:
    manager = world.manager
    kept = manager.register("kept")
    manager.register("let go")
    decorated = manager.circuit("decorated")(lambda: 5)
    manager.register("guarded")
    with manager.guard("guarded"):
        pass
    for _ in range(3):
        world.later(86_400_000)
    assert kept.available() and decorated() == 5
    with manager.guard("guarded"):
        pass
    with pytest.raises(brama.NotFound):
        manager.success("let go")


def test_an_answer_that_is_excluded_left_the_circuit_half_open(world: World) -> None:
    """An excluded answer is ignored, and gives the probe's place back. `classify` can call it a
    success."""

    def no_such_record() -> None:
        raise KeyError

    circuit = world.manager.circuit
    excluding = circuit("x", max_attempts=1, expiry=100, exclude=KeyError)(no_such_record)

    def classify(answer: object) -> str | None:
        return "success" if isinstance(answer, KeyError) else None

    knowing = circuit("y", max_attempts=1, expiry=100, classify=classify)(no_such_record)
    for name in ("x", "y"):
        world.manager.failure(name)
    world.clock.advance(100)
    for _ in range(50):
        for call in (excluding, knowing):
            with pytest.raises(KeyError):
                call()
    x, y = world.manager.status("x"), world.manager.status("y")
    assert (x.state, x.total_ignored, x.total_rejections) == ("half_open", 50, 0)
    assert (y.state, y.total_ignored, y.total_successes) == ("closed", 0, 50)


def test_what_was_ignored_was_nowhere_to_be_seen(world: World) -> None:
    x = world.manager.register("x")
    with pytest.raises(asyncio.CancelledError), x.guard():
        raise asyncio.CancelledError
    with pytest.raises(KeyError), x.guard(exclude=KeyError):
        raise KeyError
    with x.guard() as call:
        call.ignore()
    x.acquire().ignore()
    del call
    x.acquire()  # Collected without a report.
    with x.guard():
        pass
    status = x.status()
    assert (status.total_ignored, status.total_successes, status.total_failures) == (5, 1, 0)
    x.reset_circuit()
    assert x.status().total_ignored == 5


def test_forked_workers_drew_the_same_jitter(program: Program) -> None:
    out = program(
        """
    import os, brama
    m = brama.Brama(background=False, max_attempts=1, expiry=1_000_000, jitter=1.0)
    m.register("warm"), m.failure("warm")
    read, write = os.pipe()
    for _ in range(8):
        if os.fork() == 0:
            m.register("x"), m.failure("x")
            os.write(write, f"{m.status('x').expiry}\\n".encode())
            os._exit(0)
    for _ in range(8):
        os.wait()
    print(len(set(os.read(read, 1000).split())))
    """
    )
    assert int(out) >= 7  # Two of the eight may be equal: there are a million values.


def test_reasons_of_a_megabyte_piled_up(program: Program) -> None:
    out = program(
        """
    import brama
    def resident():
        return int(open("/proc/self/statm").read().split()[1]) * 4096
    m = brama.Brama(background=False, max_attempts=brama.UNLIMITED)
    x, page = m.register("x"), "<p>" * 333_333
    stream = m.events("failure")
    before = resident()
    for _ in range(3_000):
        x.failure(reason=page, metadata={"page": page})
    m.poll()
    print(resident() - before < 40_000_000, len(stream.drain()[0].reason))
    """
    )
    assert out.split() == ["True", "1024"]


def test_a_fork_of_a_program_that_only_imports_warned(program: Program) -> None:
    """Python 3.12 and later warn at a fork of a process with threads."""
    text = """
    import os, warnings
    warnings.simplefilter("always")
    told = []
    warnings.showwarning = lambda text, *_: told.append(text)
    import brama
    {use}
    print(len(os.listdir("/proc/self/task")))
    if os.fork() == 0:
        os._exit(0)
    os.wait()
    print("warned" if told else "silent")
    """
    assert program(text.format(use="")).split() == ["1", "silent"]
    unthreaded = "m = brama.Brama(background=False); m.register('x').success(); m.poll()"
    assert program(text.format(use=unthreaded)).split() == ["1", "silent"]
    used = program(text.format(use="brama.register('x')")).split()
    assert used == ["2", "warned" if sys.version_info >= (3, 12) else "silent"]


def test_a_ring_of_events_without_memory_ended_the_process(program: Program) -> None:
    """The error must not be `InvalidConfig` either: the setting is valid, memory is missing."""
    out = program(
        """
    import resource, brama
    used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + 200_000_000, -1))
    try:
        brama.Brama(event_capacity=16_777_216)
    except brama.BramaError as error:
        print(type(error).__name__, error)
    print(brama.Brama().register("x").state())
    """
    )
    error, state = out.splitlines()
    assert error.startswith("BramaError ") and "memory" in error and state == "closed"


def test_a_descriptor_that_the_system_has_not_is_an_error_and_waits_work(
    program: Program,
) -> None:
    out = program(
        """
    import os, resource, brama
    manager = brama.Brama()
    stream = manager.events("registration")
    resource.setrlimit(resource.RLIMIT_NOFILE, (len(os.listdir("/proc/self/fd")) - 1, 4096))
    try:
        stream.fileno()
    except brama.BramaError as error:
        print(type(error).__name__, error)
    manager.register("x")
    print(next(stream).connection)
    """
    )
    error, name = out.splitlines()
    assert error.startswith("BramaError ") and name == "x"
