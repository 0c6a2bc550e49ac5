"""Half-open by a rate of failures, the ramp, and calls that ride in a ramp."""

from __future__ import annotations

import asyncio
import copy
import pickle
from datetime import timedelta
from typing import Any, Callable

import pytest

import brama
from conftest import World

#: A share so small that no call is admitted.
NEARLY_NONE = 1e-12


def passes(x: brama.Connection) -> None:
    with x.guard():
        pass


def fails(x: brama.Connection, reason: str = "down") -> None:
    with pytest.raises(ConnectionError), x.guard():
        raise ConnectionError(reason)


def is_rejected(x: brama.Connection) -> brama.CircuitOpen:
    with pytest.raises(brama.CircuitOpen) as told:
        passes(x)
    return told.value


def ramping(world: World, ramp_start: float = 1.0, **settings: Any) -> brama.Connection:
    """A circuit at the beginning of a ramp of 10 s."""
    settings = {"max_attempts": brama.UNLIMITED, "expiry": 1_000, **settings}
    x = world.manager.register("x", ramp=timedelta(seconds=10), ramp_start=ramp_start, **settings)
    x.open_circuit(reason="maintenance", expiry=1_000)
    world.later(1_000)
    assert x.status().ramp_share is None
    passes(x)
    assert (x.state(), x.status().ramp_share) == ("half_open", ramp_start)
    return x


def test_a_sample_of_probes_decides_as_soon_as_it_is_certain(world: World) -> None:
    x = world.manager.register("x", half_open_max_calls=4, half_open_failure_rate=0.5)
    x.half_open_circuit()
    passes(x)
    fails(x)
    assert x.state() == "half_open"
    third, fourth = x.acquire(), x.acquire()
    rejection = is_rejected(x)
    assert rejection.probes_out and not rejection.recovering, "four in all, two have reported"
    fourth.ignore()
    fourth = x.acquire()
    is_rejected(x)
    third.failure()
    status = x.status()
    assert (status.state, status.cause, status.trips) == ("open", "probe", 1)
    with pytest.raises(brama.Stale):
        fourth.success()

    x.half_open_circuit()
    fails(x)
    for _ in range(3):
        assert x.state() == "half_open"
        passes(x)
    assert x.state() == "closed"


def test_a_slow_success_is_a_failure_of_the_sample(world: World) -> None:
    x = world.manager.register("x", half_open_max_calls=4, half_open_failure_rate=0.5)
    x.configure(slow_call_duration=100, slow_call_rate=0.9)
    x.half_open_circuit()
    for _ in range(2):
        assert x.state() == "half_open"
        with x.guard():
            world.clock.advance(100)
    assert (x.state(), x.status().cause) == ("open", "probe")


def test_a_ramp_admits_a_growing_share_and_closes_by_time(world: World) -> None:
    x = ramping(world, 0.25)
    events = world.manager.events(["state_change", "circuit_closed"])
    assert x.status().trips == 1
    for second in range(10):
        share = x.status().ramp_share
        assert share is not None and share == pytest.approx(max(0.25, second / 10))
        admitted = 0
        for _ in range(1_000):
            try:
                x.acquire().ignore()
                admitted += 1
            except brama.CircuitOpen:
                pass
        # Seven standard deviations of a random draw.
        assert abs(admitted - 1_000 * share) < 111
        world.later(1_000)
    status = x.status()
    assert (status.state, status.ramp_share, status.trips) == ("closed", None, 0)
    told = [(event.type, event.previous_state, event.new_state) for event in events.drain()]
    assert told == [
        ("state_change", "half_open", "closed"),
        ("circuit_closed", "half_open", "closed"),
    ]


def test_a_rejection_of_a_ramp_says_that_the_circuit_is_recovering(world: World) -> None:
    x = ramping(world, NEARLY_NONE)
    rejection = is_rejected(x)
    assert type(rejection) is brama.CircuitOpen
    assert rejection.recovering and not rejection.probes_out
    assert (rejection.retry_after, rejection.identifier, rejection.scope) == (1_000, "x", None)
    copies = [copy.copy(rejection), pickle.loads(pickle.dumps(rejection))]
    assert (rejection.cause, rejection.reason) == ("manual", "maintenance")
    copies.append(pickle.loads(pickle.dumps(rejection)))
    for error in (rejection, *copies):
        assert error.recovering and not error.probes_out and error.retry_after == 1_000
        assert str(error) == (
            "the circuit of 'x' does not admit the call (manual: maintenance): "
            "it is recovering, ask again in 1000 ms"
        )
    world.later(9_700)
    x.configure(ramp=200)  # The end of the ramp stays, so the share is still small.
    assert is_rejected(x).retry_after == 300
    with pytest.raises(brama.CircuitOpen) as told:
        x.acquire()
    assert told.value.recovering and told.value.retry_after == 300
    with pytest.raises(brama.CircuitOpen, match="it is recovering, ask again in 300 ms"):
        world.manager.acquire("x")
    world.later(300)
    passes(x)
    x.open_circuit()
    assert not is_rejected(x).recovering


def test_two_failures_in_a_row_end_a_ramp(world: World) -> None:
    x = ramping(world)
    for _ in range(3):
        fails(x)
        passes(x)
    assert x.state() == "half_open"
    fails(x)
    fails(x, "down again")
    status = x.status()
    assert (status.state, status.cause, status.trips) == ("open", "consecutive", 2)
    assert (status.ramp_share, status.reason) == (None, "ConnectionError: down again")


def test_calls_of_a_ramp_count_in_the_closed_circuit_after_it(world: World) -> None:
    x = ramping(world)
    with pytest.raises(ConnectionError), x.guard():
        world.later(10_000)
        assert x.state() == "closed"
        raise ConnectionError
    assert x.status().failure_count == 1
    permit = ramping_again(world, x)
    world.later(10_000)
    permit.success()
    permit = ramping_again(world, x)
    x.open_circuit()
    x.close_circuit()
    with pytest.raises(brama.Stale):
        permit.failure()


def ramping_again(world: World, x: brama.Connection) -> brama.Permit:
    """A permit of a new ramp."""
    x.half_open_circuit()
    passes(x)
    return x.acquire()


def test_half_open_by_hand_changes_nothing_in_a_ramp(world: World) -> None:
    x = ramping(world, 0.5)
    world.later(7_000)
    before = x.status()
    x.half_open_circuit()
    assert x.status() == before and before.ramp_share == pytest.approx(0.7)
    x.reset_circuit()
    assert (x.state(), x.status().ramp_share) == ("closed", None)


def test_a_call_in_a_ramp_is_no_probe(world: World) -> None:
    x = ramping(world)
    with x.guard() as call, x.guard() as rider:
        assert not call.is_probe and not rider.is_probe
    permit = x.acquire()
    assert not permit.is_probe
    permit.ignore()
    x.open_circuit()
    x.half_open_circuit()
    with x.guard() as call, x.guard() as rider:
        assert call.is_probe and rider.is_probe


#: Ways to guard a call, given a connection and a function.
WAYS: dict[str, Callable[[brama.Connection, Callable[[], Any]], Any]] = {
    "block": lambda x, function: in_block(x, function),
    "decorated": lambda x, function: decorated(x, function),
    "call": lambda x, function: x.call(function),
    "async": lambda x, function: asyncio.run(in_task(x, function)),
}


def in_block(x: brama.Connection, function: Callable[[], Any]) -> Any:
    with x.guard():
        return function()


def decorated(x: brama.Connection, function: Callable[[], Any]) -> Any:
    return x.circuit()(function)()


async def in_task(x: brama.Connection, function: Callable[[], Any]) -> Any:
    @x.circuit()
    async def guarded() -> Any:
        return await asyncio.create_task(plain())

    async def plain() -> Any:
        return function()

    return await guarded()


@pytest.mark.parametrize("outer", list(WAYS))
@pytest.mark.parametrize("inner", [way for way in WAYS if way != "async"])
def test_a_call_inside_of_a_call_in_a_ramp_rides_on_it(
    world: World, outer: str, inner: str
) -> None:
    x = ramping(world)
    before = x.status()

    def work() -> str:
        x.configure(ramp_start=NEARLY_NONE)  # From here on only a call that rides passes.
        with pytest.raises(brama.CircuitOpen):
            x.acquire()
        return str(WAYS[inner](x, lambda: "done"))

    assert WAYS[outer](x, work) == "done"
    after = x.status()
    assert after.total_successes == before.total_successes + 1, "the outer call reports"
    assert after.total_rejections == before.total_rejections + 1
    assert is_rejected(x).recovering


def test_an_outer_call_that_is_ignored_reports_what_failed_inside(world: World) -> None:
    x = ramping(world)
    with x.guard(exclude=KeyError), pytest.raises(ConnectionError):
        with x.guard():
            raise ConnectionError
    assert x.status().total_failures == 0, "the outer call succeeded"
    with pytest.raises(KeyError), x.guard(exclude=KeyError):
        with pytest.raises(ConnectionError), x.guard():
            raise ConnectionError
        raise KeyError
    assert (x.status().total_failures, x.state()) == (1, "half_open")


def test_a_ride_ends_with_the_ramp(world: World) -> None:
    x = ramping(world)
    with x.guard():
        world.later(10_000)
        passes(x)
    assert (x.state(), x.status().total_successes) == ("closed", 3)


def test_no_call_of_a_ramp_takes_the_way_of_a_healthy_circuit(world: World) -> None:
    """That way only reads the pass word, and does not ask the library."""
    x = world.manager.register("x", max_attempts=1, expiry=1_000, ramp_start=NEARLY_NONE)
    guard = x.guard()

    def block() -> int:
        with guard:
            return 1

    @x.circuit()
    def function() -> int:
        return 1

    ways: list[Callable[[], int]] = [block, function, lambda: x.call(lambda: 1)]
    for _ in range(3):
        assert [way() for way in ways] == [1, 1, 1]
    x.configure(ramp=10_000)  # Takes effect at the next recovery.
    for _ in range(2):
        assert [way() for way in ways] == [1, 1, 1]
        x.failure()
        world.later(1_000)
        assert block() == 1
        for _ in range(10):
            for way in ways:
                with pytest.raises(brama.CircuitOpen):
                    way()
            world.later(1)
        x.configure(ramp_start=1.0)  # Takes effect at the next call.
        assert [way() for way in ways] == [1, 1, 1]
        x.configure(ramp_start=NEARLY_NONE)
        with pytest.raises(brama.CircuitOpen):
            function()
        world.later(10_000)
    assert [way() for way in ways] == [1, 1, 1]
    # A `slow_call_duration` that is set in a ramp takes effect from the next call on.
    x.failure()
    world.later(1_000)
    assert block() == 1
    x.configure(ramp_start=1.0, slow_call_duration=100, slow_call_rate=1.0, minimum_calls=2)
    for _ in range(2):
        with guard:
            world.clock.advance(100)
    assert (x.state(), x.status().cause) == ("open", "slow_call_rate")


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"ramp_start": 0}, "`ramp_start` = 0: must be above 0.0 and at most 1.0"),
        ({"ramp_start": 1.5}, "`ramp_start` = 1.5: must be above 0.0 and at most 1.0"),
        ({"ramp_start": float("nan")}, "`ramp_start` = NaN: must be above 0.0 and at most 1.0"),
        ({"ramp": 0}, "`ramp` = 0: must be at least 1 ms"),
        ({"half_open_failure_rate": 1.5}, "`half_open_failure_rate` = 1.5: must be above 0.0"),
        ({"half_open_failure_rate": 0.0}, "`half_open_failure_rate` = 0: must be above 0.0"),
        (
            {"half_open_failure_rate": 0.5, "half_open_successes": 2},
            "`half_open_failure_rate` = 0.5: cannot be given together with `half_open_successes`",
        ),
    ],
)
def test_what_is_refused_changes_nothing(world: World, given: dict[str, Any], says: str) -> None:
    x = ramping(world, 0.5)
    before = x.status()
    for configure in (x.configure, world.manager.configure):
        with pytest.raises(brama.InvalidConfig) as told:
            configure(**{"jitter": 0.5, **given})
        assert says in str(told.value)
    assert x.status() == before
