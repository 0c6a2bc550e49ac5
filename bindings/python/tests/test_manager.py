"""Managers and handles: names, settings, control by hand, status."""

from __future__ import annotations

import copy
import pickle
from dataclasses import replace
from datetime import timedelta
from typing import Any, List, Optional, Tuple

import pytest

import brama
from conftest import World


def test_names_and_scopes_are_different_connections(world: World) -> None:
    manager = world.manager
    for identifier, scope in [("a:b", None), ("b", "a"), ("b", None), ("ü", "✓")]:
        assert manager.state(identifier, scope=scope) == "unknown"
        connection = manager.register(identifier, scope=scope)
        assert (connection.identifier, connection.scope) == (identifier, scope)
    assert len(manager.snapshot()) == 4
    assert [s.identifier for s in manager.snapshot(scope="a")] == ["b"]
    assert [s.identifier for s in manager.snapshot(scope=brama.NO_SCOPE)] == ["a:b", "b"]
    manager.failure("b", scope="a")
    assert manager.status("b", scope="a").failure_count == 1
    assert manager.status("b").failure_count == 0


def test_registering(world: World) -> None:
    manager = world.manager
    first = manager.register("x", max_attempts=2, metadata={"team": "billing"})
    with pytest.raises(brama.AlreadyRegistered):
        manager.register("x", max_attempts=9)
    with pytest.warns(UserWarning, match="keeps its own: max_attempts$"):
        again = manager.get_or_register("x", max_attempts=9)
    assert again.status().settings.max_attempts == 2
    assert manager.connection("x").status().metadata == {"team": "billing"}
    manager.unregister("x")
    assert not first.available() and first.state() == "unknown"
    for operation in (
        first.success,
        first.failure,
        first.acquire,
        first.status,
        first.close_circuit,
    ):
        with pytest.raises(brama.NotFound, match="x"):
            operation()
    with pytest.raises(brama.NotFound):
        manager.connection("x")
    assert manager.get_or_register("x").available()


def test_unknown_names(world: World) -> None:
    manager = world.manager
    assert not manager.available("x") and manager.state("x") is brama.State.UNKNOWN
    for operation in (
        manager.success,
        manager.failure,
        manager.acquire,
        manager.status,
        manager.open_circuit,
        manager.close_circuit,
        manager.half_open_circuit,
        manager.reset_circuit,
        manager.unregister,
        manager.connection,
    ):
        with pytest.raises(brama.NotFound):
            operation("x")
    automatic = brama.Brama(auto_register=True, background=False)
    assert automatic.failure("x") == 1
    with automatic.guard("y"):
        pass
    assert automatic.status("y").total_successes == 1


def test_ask_call_report(world: World) -> None:
    manager = world.manager
    manager.register("x", max_attempts=3, expiry=timedelta(seconds=5))
    assert manager.available("x")
    assert [manager.failure("x", reason="timeout") for _ in range(3)] == [1, 2, 3]
    assert not manager.available("x")
    assert manager.failure("x", metadata={"code": "503"}) == 4
    world.clock.advance(timedelta(seconds=5))
    assert manager.available("x")
    manager.success("x", metadata={"code": "200"})
    assert manager.state("x") == "closed"


def test_a_window_counts_what_is_younger(world: World) -> None:
    x = world.manager.register("x", max_attempts=3, window=1_000)
    assert x.failure() == 1
    world.clock.advance(600)
    assert x.failure() == 2
    world.clock.advance(600)
    assert x.failure() == 2
    assert x.failure() == 3
    assert x.state() == "open"


def test_progressive_expiry(world: World) -> None:
    x = world.manager.register(
        "x", max_attempts=1, expiry_strategy="progressive", initial_expiry=1_000, max_expiry=3_000
    )
    for expiry in (1_000, 2_000, 3_000, 3_000):
        x.failure()
        status = x.status()
        assert (status.state, status.expiry, status.retry_after) == ("open", expiry, expiry)
        world.clock.advance(expiry)


def test_circuits_by_hand(world: World) -> None:
    manager = world.manager
    x = manager.register("x", max_attempts=2)
    manager.failure("x")
    manager.open_circuit(
        "x", reason="maintenance", expiry=timedelta(minutes=1), metadata={"a": "b"}
    )
    assert manager.status("x").retry_after == 60_000
    x.open_circuit(expiry=brama.NEVER)
    assert (x.status().retry_after, x.status().expiry) == (None, None)
    x.open_circuit(expiry=5)
    assert x.status().retry_after == 5
    x.open_circuit()
    assert x.status().retry_after == 60_000
    x.half_open_circuit()
    assert x.state() == "half_open"
    manager.half_open_circuit("x")
    x.close_circuit()
    assert (x.state(), x.status().failure_count) == ("closed", 1)
    x.reset_circuit()
    assert x.status().failure_count == 0
    manager.open_circuit("x")
    manager.close_circuit("x")
    manager.open_circuit("x")
    manager.reset_circuit("x")
    manager.open_circuit("x")
    assert manager.state_counts() == brama.StateCounts(closed=0, open=1, half_open=0)
    manager.reset_all()
    assert manager.state_counts() == brama.StateCounts(closed=1, open=0, half_open=0)


def test_settings_follow_the_manager_unless_set(world: World) -> None:
    manager = world.manager
    x, y = manager.register("x", max_attempts=2), manager.register("y")
    manager.configure(max_attempts=9, expiry=7_000, inactive_threshold=brama.NEVER)
    assert x.status().settings.max_attempts == 2 and x.status().settings.expiry == 7_000
    assert y.status().settings.max_attempts == 9
    manager.configure("y", window=500, metadata={"a": "1"})
    y.configure(max_attempts=brama.UNLIMITED, jitter=0, backoff_factor=3)
    settings = y.status().settings
    assert (settings.max_attempts, settings.window, settings.backoff_factor) == (None, 500, 3.0)
    y.configure(window=None, metadata={})
    assert y.status().settings.window is None and y.status().metadata == {}
    assert x.status().settings == brama.Settings(
        max_attempts=2,
        expiry_strategy=brama.ExpiryStrategy.FIXED,
        expiry=7_000,
        initial_expiry=7_000,
        max_expiry=70_000,
        backoff_factor=2.0,
        jitter=0.0,
        window=None,
        probe_timeout=None,
        half_open_max_calls=1,
        half_open_successes=1,
    )


def test_status(world: World) -> None:
    start = world.clock.unix_ms
    x = world.manager.register("x", scope="s", max_attempts=2, metadata={"k": "v"})
    fresh = x.status()
    assert fresh == world.manager.status("x", scope="s") == world.manager.snapshot()[0]
    assert (fresh.identifier, fresh.scope, fresh.state) == ("x", "s", "closed")
    assert fresh.success_rate is fresh.last_success_time is fresh.opened_at is None
    world.clock.advance(10)
    x.success()
    world.clock.advance(10)
    x.failure()
    x.failure()
    status = x.status()
    assert status.success_rate == pytest.approx(1 / 3)
    assert (status.last_success_time, status.last_failure_time) == (start + 10, start + 20)
    assert (status.opened_at, status.last_state_change) == (start + 20, start + 20)
    assert (status.trips, status.time_in_state, status.failure_count) == (1, 0, 2)
    assert fresh.cause is None and status.cause == "consecutive"
    x.open_circuit(reason="by hand")
    assert x.status().cause is brama.Cause.MANUAL
    assert status.metadata == {"k": "v"}


def test_values_can_be_copied_and_pickled(world: World) -> None:
    x = world.manager.register("x")
    status = x.status()
    assert pickle.loads(pickle.dumps(status)) == status
    x.open_circuit(expiry=5)
    with pytest.raises(brama.CircuitOpen) as rejected:
        x.acquire()
    copied = pickle.loads(pickle.dumps(rejected.value))
    assert (copied.retry_after, copied.identifier, copied.scope) == (5, "x", None)
    assert str(copied) == str(rejected.value)
    with pytest.raises(TypeError, match="pickled"):
        pickle.dumps(x)


def test_a_rejection_says_why_the_circuit_opened(world: World) -> None:
    x = world.manager.register("x", scope="s", max_attempts=1)
    x.failure(reason="connection refused")
    status = x.status()
    assert (status.reason, status.last_failure_reason) == ("connection refused",) * 2
    with pytest.raises(brama.CircuitOpen) as caught:
        x.acquire()
    error = caught.value
    assert (error.cause, error.reason) == (brama.Cause.CONSECUTIVE, "connection refused")
    x.open_circuit(reason="by hand", expiry=5)
    assert error.reason == "connection refused", "read once"
    assert error.evidence == "1 failure in a row"
    assert "(consecutive, 1 failure in a row: connection refused)" in str(error)
    with pytest.raises(brama.CircuitOpen) as caught:
        x.acquire()
    copied = pickle.loads(pickle.dumps(caught.value))
    x.close_circuit()
    assert (copied.cause, copied.reason) == (brama.Cause.MANUAL, "by hand")
    assert copied.evidence is None
    assert pickle.loads(pickle.dumps(error)).evidence == "1 failure in a row"
    assert pickle.loads(pickle.dumps(copied)).reason == "by hand"
    x.open_circuit()
    with pytest.raises(brama.CircuitOpen) as caught:
        x.acquire()
    world.manager.unregister("x", scope="s")
    gone = caught.value
    assert (gone.cause, gone.reason, gone.evidence) == (None, None, None)
    assert brama.CircuitOpen(5, "x").cause is None
    assert brama.CircuitOpen(5, "x", None, False, brama.Cause.PROBE).cause is brama.Cause.PROBE


def test_a_copy_of_a_rejection_has_what_programs_have_added(world: World) -> None:
    x = world.manager.register("x")
    x.open_circuit(reason="by hand")
    with pytest.raises(brama.CircuitOpen) as caught:
        x.acquire()
    added: Any = caught.value
    added.request = 7
    for make in (copy.copy, copy.deepcopy, lambda it: pickle.loads(pickle.dumps(it))):
        made: Any = make(added)
        assert (made.request, made.reason, str(made)) == (7, "by hand", str(added))


@pytest.mark.parametrize("when", ["before it is asked", "while it is asked"])
def test_threads_that_ask_a_rejection_at_once_hear_the_same(when: str) -> None:
    """The test reads the error where a second thread would read it while the first is stopped."""

    class Circuit:
        """A circuit that gives another reason each time."""

        said = 0

        def why(self) -> Tuple[brama.Cause, str, None]:
            self.said += 1
            said = str(self.said)
            if when == "while it is asked" and self.said == 1:
                heard.append(error.reason)
            return brama.Cause.MANUAL, said, None

    class Stopped(brama.CircuitOpen):
        def __getattribute__(self, name: str) -> Any:
            value = super().__getattribute__(name)
            if when == "before it is asked" and name in ("_why", "_circuit") and name not in stops:
                stops.append(name)
                heard.append(error.reason)
            return value

    heard: List[Optional[str]] = []
    stops: List[str] = []
    error = Stopped(5, "x")
    error._circuit = Circuit()
    heard.append(error.reason)
    heard.append(error.reason)
    assert len(heard) > 2 and len(set(heard)) == 1 and None not in heard, heard


def test_states_are_strings() -> None:
    assert brama.State.HALF_OPEN == "half_open"
    assert str(brama.State.OPEN) == f"{brama.State.OPEN}" == "open"
    assert str(brama.EventType.CIRCUIT_OPENED) == "circuit_opened"


def test_unused_connections_are_cleaned_up() -> None:
    clock = brama.ManualClock()
    manager = brama.Brama(
        clock=clock, background=False, inactive_threshold=1_000, cleanup_interval=100
    )
    call = manager.circuit("held")(lambda: 1)
    call()
    manager.register("named")
    clock.advance(2_000)
    manager.poll()
    assert manager.state("named") == "unknown"
    assert manager.state("held") == "closed", "a decorated function holds its connection"


def test_the_clock() -> None:
    clock = brama.ManualClock(5_000)
    clock.advance(timedelta(milliseconds=1, microseconds=1))
    assert clock.unix_ms == 5_002, "what is left of a millisecond counts as one"
    assert "5002" in repr(clock)


def test_after_shutdown(world: World) -> None:
    manager = world.manager
    x = manager.register("x")
    call = manager.circuit("x")(lambda: 1)
    permit = x.acquire()
    guard = x.guard()
    stream = manager.events()
    manager.shutdown()
    manager.shutdown()
    assert not x.available() and not manager.available("x")
    for operation in (
        call,
        x.success,
        x.failure,
        x.acquire,
        x.status,
        x.reset_circuit,
        permit.success,
        guard.__enter__,
        manager.subscribe,
        lambda: manager.success("x"),
        lambda: manager.register("y"),
        lambda: manager.circuit("y")(lambda: 1),
        lambda: manager.configure(max_attempts=1),
        lambda: manager.status("x"),
        lambda: x.configure(max_attempts=1),
    ):
        with pytest.raises(brama.ShutDown):
            operation()
    assert list(stream) is not None and not stream.active
    repr(manager), repr(x), repr(permit)


def timeless(status: brama.Status) -> brama.Status:
    """A status without times: the default manager's clock goes on between two reads."""
    return replace(status, last_failure_time=None, time_in_state=0)


def test_the_default_manager_has_the_same_functions() -> None:
    assert brama.default() is brama.default()
    x = brama.register("test_the_default_manager", max_attempts=2)
    assert brama.available("test_the_default_manager")
    assert brama.failure("test_the_default_manager") == 1
    by_name = brama.status("test_the_default_manager")
    assert timeless(by_name) == timeless(x.status())
    assert timeless(by_name) in [timeless(status) for status in brama.snapshot()]
    brama.unregister("test_the_default_manager")
    methods = {name for name in dir(brama.Brama) if not name.startswith("_")}
    assert methods <= set(brama.__all__)


def test_an_unreferenced_manager_ends_and_its_handles_keep_it() -> None:
    x = brama.Brama().register("x")
    x.success()
    assert x.status().total_successes == 1
