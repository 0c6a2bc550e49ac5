"""What a program meets first: rejections in its own tests, messages, and what ends when."""

from __future__ import annotations

import copy
import inspect
import pickle
from typing import Any
from unittest import mock

import pytest

import brama
from conftest import World


def test_a_rejection_is_made_without_arguments() -> None:
    service = mock.Mock(side_effect=brama.CircuitOpen)
    with pytest.raises(brama.CircuitOpen) as rejected:
        service()
    error = rejected.value
    assert (error.retry_after, error.identifier, error.scope) == (None, "", None)
    assert (error.probes_out, error.recovering, error.cause) == (False, False, None)
    assert str(error) == "the circuit does not admit the call: it is held open"
    assert str(pickle.loads(pickle.dumps(error))) == str(error)


def test_a_rejection_is_made_by_keywords() -> None:
    error = brama.CircuitOpen(retry_after=5_000, identifier="db", scope="shop")
    assert str(error).startswith("the circuit of 'db' in scope 'shop' does not admit the call")
    assert str(error).endswith("ask again in 5000 ms")
    for more in (
        {"probes_out": True},
        {"recovering": True},
        {"cause": brama.Cause.PROBE},
        {"reason": "HTTP 503"},
        {"evidence": "5 failures in a row"},
    ):
        arguments: Any = more
        error = brama.CircuitOpen(5, "db", **arguments)
        for same in (error, copy.copy(error), pickle.loads(pickle.dumps(error))):
            ((name, value),) = more.items()
            assert getattr(same, name) == value and (same.retry_after, same.scope) == (5, None)
            assert same.args == error.args


def test_a_subclass_of_a_rejection_takes_its_own_arguments() -> None:
    class Closed(brama.CircuitOpen):
        def __init__(self, shop: str) -> None:
            super().__init__(retry_after=7, identifier=shop)

    assert (Closed("x").retry_after, Closed("x").identifier) == (7, "x")


def test_available_promises_no_admission(world: World) -> None:
    x = world.manager.register("x", max_attempts=1, expiry=1_000)
    x.failure()
    assert not x.available()
    world.clock.advance(1_000)
    with x.acquire():
        assert x.available() and world.manager.available("x")
        with pytest.raises(brama.CircuitOpen):
            x.acquire()
    for ask in (brama.Connection.available, brama.available):
        assert "still reject" in (inspect.getdoc(ask) or "")


def test_a_save_after_the_end_is_refused() -> None:
    """It would be empty, and would take the place of a good one."""
    for auto_register in (False, True):
        manager = brama.Brama(background=False, auto_register=auto_register)
        manager.register("_")
        manager.save()
        assert manager.state_counts().closed == 1
        manager.shutdown()
        with pytest.raises(brama.ShutDown):
            manager.save()


def test_what_still_answers_after_the_end(world: World) -> None:
    """As `shutdown` says."""
    manager = world.manager
    manager.register("x")
    manager.shutdown()
    assert (manager.available("x"), manager.state("x")) == (False, "unknown")
    assert manager.snapshot() == [] and manager.state_counts() == brama.StateCounts(0, 0, 0)
    assert manager.event_counts().dropped == 0
    manager.poll()
    manager.reset_all()
    manager.unsubscribe()
    assert manager.shutdown() == 0


@pytest.mark.parametrize("bad", [-1, 1 << 63, (1 << 64) - 5])
def test_a_message_names_the_smallest_and_the_largest_time(world: World, bad: int) -> None:
    x = world.manager.register("x")
    for zero_is_allowed in (
        lambda: world.manager.shutdown(timeout=bad),
        lambda: world.clock.advance(bad),
        lambda: brama.ManualClock(bad),
    ):
        with pytest.raises(brama.InvalidArgument, match="must be 0 to 9223372036854775807 ms$"):
            zero_is_allowed()
    with pytest.raises(brama.InvalidArgument, match="must be 1 to 9223372036854775807 ms$"):
        x.open_circuit(expiry=bad)
    with pytest.raises(brama.InvalidConfig, match="must be 1 to 9223372036854775807 ms$"):
        x.configure(expiry=bad)
    assert x.state() == "closed"


def test_a_capacity_out_of_range_names_the_range(world: World) -> None:
    for capacity in (-1, 1 << 70):
        with pytest.raises(brama.InvalidConfig, match="must be 1 to 16777216$"):
            brama.Brama(event_capacity=capacity)
        with pytest.raises(brama.InvalidConfig, match="must be 1 to 16777216$"):
            world.manager.events(capacity=capacity)


def test_messages_have_the_names_of_python(world: World) -> None:
    x = world.manager.register("x")
    for state, shown in {"open": '"open"', "closed": '"closed"', 5: "5ms"}.items():
        with pytest.raises(brama.InvalidConfig) as refused:
            x.configure(initial_state=state)
        expected = f"invalid setting `initial_state` = {shown}: given at registration only"
        assert str(refused.value) == expected
    with pytest.raises(brama.InvalidConfig, match=r"at least `initial_expiry` \(50 ms\)"):
        x.configure(expiry_strategy="progressive", initial_expiry=50, max_expiry=10)
    with pytest.raises(brama.InvalidArgument, match="initial_expiry_ms"):
        world.manager.snapshot(scope="initial_expiry_ms" * 200)


@pytest.mark.parametrize(
    ("wrong", "meant"), [("max_atempts", "max_attempts"), ("expire", "expiry"), ("slow_rate", "")]
)
def test_a_misspelled_setting_is_recognised(world: World, wrong: str, meant: str) -> None:
    arguments: Any = {wrong: 3}
    with pytest.raises(TypeError) as refused:
        world.manager.register("x", **arguments)
    said = str(refused.value)
    assert f"unknown setting {wrong!r}" in said and "max_attempts, " in said
    assert (f"did you mean {meant!r}?" in said) or not meant


def test_a_setting_of_the_other_kind_says_so(world: World) -> None:
    manager: Any = world.manager
    for name in ("auto_register", "cleanup_interval", "background", "clock"):
        with pytest.raises(TypeError, match=f"{name}.*only managers have it"):
            manager.register("x", **{name: 3})
    for name in ("metadata", "initial_state"):
        with pytest.raises(TypeError, match=f"{name}.*only connections have it"):
            manager.configure(**{name: "open"})


def test_a_wrong_outcome_lists_the_right_ones(world: World) -> None:
    world.manager.register("x")
    with pytest.raises(TypeError, match='"success", "failure", "ignored".* not .failed.'):
        with world.manager.guard("x", classify=lambda value: "failed") as call:
            call.result(1)


def test_a_handle_takes_the_reason_as_permits_and_blocks_do(world: World) -> None:
    x = world.manager.register("x", max_attempts=1)
    assert x.failure("HTTP 503") == 1 and x.status().reason == "HTTP 503"
    x.open_circuit("deploy", expiry=brama.NEVER)
    assert x.status().reason == "deploy"
    for by_name in (world.manager.failure, world.manager.open_circuit):
        function: Any = by_name
        with pytest.raises(TypeError):
            function("x", "a reason, or a scope?")


def test_after_a_close_by_hand_one_failure_opens_again(world: World) -> None:
    x = world.manager.register("x", max_attempts=3)
    for _ in range(3):
        x.failure()
    x.close_circuit()
    assert (x.state(), x.failure()) == ("closed", 4) and x.state() == "open"
    x.reset_circuit()
    assert (x.state(), x.failure()) == ("closed", 1) and x.state() == "closed"


def test_what_leaves_a_block_after_its_result_is_not_counted(world: World) -> None:
    x = world.manager.register("x", max_attempts=1)
    with pytest.raises(OSError), x.guard() as call:
        call.result(200)
        raise OSError
    assert (x.status().total_successes, x.status().total_failures) == (1, 0)


def test_a_call_whose_classify_raises_is_ignored(world: World) -> None:
    x = world.manager.register("x", max_attempts=1)

    def defect(value: object) -> None:
        raise KeyError(value)

    @x.circuit(classify=defect)
    def returns() -> int:
        return 1

    @x.circuit(classify=defect)
    def raises() -> int:
        raise OSError

    for function in (returns, raises):
        with pytest.raises(KeyError):
            function()
    with pytest.raises(KeyError), x.guard(classify=defect) as call:
        call.result(1)
    status = x.status()
    assert (status.total_successes, status.total_failures, status.total_ignored) == (0, 0, 3)


def test_a_restored_opening_opened_when_it_was_restored(world: World) -> None:
    world.manager.register("x", expiry=1_000).open_circuit()
    data, saved_at = world.manager.save(), world.clock.unix_ms
    for later, state in ((300, "open"), (100_000, "half_open")):
        clock = brama.ManualClock(saved_at + later)
        young = brama.Brama(clock=clock, background=False)
        assert young.restore(data) == 1
        status = young.register("x").status()
        assert (status.state, status.opened_at) == (state, clock.unix_ms)


def test_an_error_may_be_a_rejection_and_a_system_error() -> None:
    class Both(brama.CircuitOpen, OSError):
        pass

    assert Both(retry_after=5).retry_after == 5
