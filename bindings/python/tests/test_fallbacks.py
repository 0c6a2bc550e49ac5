"""Fallbacks, and circuits by argument."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import brama
from conftest import World


async def failing() -> int:
    await asyncio.sleep(0)
    raise OSError


def totals(world: World, name: str = "x") -> tuple[int, int]:
    status = world.manager.status(name)
    return status.total_successes, status.total_failures


def test_fallbacks_that_answer_failures(world: World) -> None:
    seen: list[Any] = []

    def instead(n: int, *, error: BaseException | None) -> str:
        seen.append(error)
        return f"instead of {n}"

    def call(n: int) -> int:
        if n < 0:
            raise OSError
        if n == 0:
            raise KeyError
        return n

    def judge(result: object) -> Any:
        return "failure" if result == 503 else "ignored" if isinstance(result, KeyError) else None

    for asynchronous in (False, True):

        async def acall(n: int) -> int:
            await asyncio.sleep(0)
            return call(n)

        def run(guarded: Any, n: int) -> Any:
            return asyncio.run(guarded(n)) if asynchronous else guarded(n)

        for on in ("rejection", "failure", "both"):
            del seen[:]
            name = f"{on} {asynchronous}"
            guarded = world.manager.circuit(
                name, max_attempts=9, classify=judge, fallback=instead, fallback_on=on
            )(acall if asynchronous else call)
            assert run(guarded, 1) == 1
            with pytest.raises(KeyError):
                run(guarded, 0)
            if on == "rejection":
                with pytest.raises(OSError):
                    run(guarded, -1)
                assert run(guarded, 503) == 503
            else:
                assert run(guarded, -1) == "instead of -1"
                assert run(guarded, 503) == "instead of 503"
            world.manager.open_circuit(name)
            if on == "failure":
                with pytest.raises(brama.CircuitOpen):
                    run(guarded, 1)
            else:
                assert run(guarded, 1) == "instead of 1"
            kinds = [type(error) for error in seen]
            expected = {"failure": [OSError, type(None)], "rejection": [brama.CircuitOpen]}
            expected["both"] = expected["failure"] + expected["rejection"]
            assert kinds == expected[on]
            assert totals(world, name) == (1, 2)


def test_a_fallback_takes_the_error_only_if_it_asks_for_it(world: World) -> None:
    circuit = world.manager.circuit
    world.manager.register("x").open_circuit()

    def takes_all(*args: Any, **kwargs: Any) -> Any:
        return args, kwargs

    def positional(n: int, error: int = 5) -> Any:
        return n, error

    assert circuit("x", fallback=takes_all)(lambda *_, **__: 1)(1, a=2) == ((1,), {"a": 2})
    assert circuit("x", fallback=positional)(lambda n: n)(7) == (7, 5)
    assert circuit("x", fallback=max)(lambda *n: n)(7, 8) == 8


def test_fallbacks_that_cannot_be(world: World) -> None:
    circuit = world.manager.circuit

    async def instead() -> None: ...

    with pytest.raises(TypeError, match="nothing would await"):
        circuit("x", fallback=instead)(lambda: 1)
    with pytest.raises(brama.InvalidArgument, match="fallback_on.*'rejection', 'failure', 'both'"):
        circuit("x", fallback=print, fallback_on="always")  # type: ignore[arg-type]
    with pytest.raises(brama.InvalidArgument, match="needs a fallback"):
        circuit("x", fallback_on="failure")
    with pytest.raises(TypeError, match="fallback_on must be a str"):
        circuit("x", fallback=print, fallback_on=True)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="classify must be a plain function"):
        circuit("x", classify=instead)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="classify must be a plain function"):
        world.manager.guard("x", classify=instead)  # type: ignore[arg-type]


def test_a_fallback_of_what_is_awaited(world: World) -> None:
    @world.manager.circuit("x", fallback=lambda: "instead", fallback_on="both", max_attempts=1)
    def call() -> Any:
        return failing()

    async def main() -> None:
        assert await call() == "instead"
        assert world.manager.state("x") == "open"
        assert call() == "instead"

    asyncio.run(main())


@pytest.mark.parametrize("asynchronous", [False, True])
def test_a_circuit_for_each_argument(world: World, asynchronous: bool) -> None:
    manager = world.manager

    def get(host: str, *, fails: bool = False) -> str:
        if fails:
            raise OSError
        return host

    async def aget(host: str, *, fails: bool = False) -> str:
        return get(host, fails=fails)

    by_host = manager.circuit(lambda host, **_: host, scope="http", max_attempts=1)
    guarded: Any = by_host(aget if asynchronous else get)

    def run(*args: Any, **kwargs: Any) -> Any:
        return asyncio.run(guarded(*args, **kwargs)) if asynchronous else guarded(*args, **kwargs)

    assert manager.snapshot() == []
    assert run("a") == "a" and run(host="b") == "b"
    with pytest.raises(OSError):
        run("a", fails=True)
    with pytest.raises(brama.CircuitOpen) as rejected:
        run("a")
    assert (rejected.value.identifier, rejected.value.scope) == ("a", "http")
    assert run("b") == "b"
    states = {status.identifier: str(status.state) for status in manager.snapshot(scope="http")}
    assert states == {"a": "open", "b": "closed"}
    assert manager.status("a", scope="http").settings.max_attempts == 1
    manager.unregister("a", scope="http")
    assert run("a") == "a" and manager.state("a", scope="http") == "closed"


def test_names_made_of_arguments_that_are_none(world: World) -> None:
    circuit = world.manager.circuit
    for bad, error in (
        (3, TypeError),
        (None, TypeError),
        ("", brama.InvalidArgument),
        ([], TypeError),
    ):
        with pytest.raises(error, match="identifier"):
            circuit(lambda bad=bad: bad)(lambda: 1)()
    with pytest.raises(ZeroDivisionError):
        circuit(lambda: 1 / 0)(lambda: 1)()  # type: ignore[arg-type, return-value]
    with pytest.raises(brama.InvalidArgument, match="scope"):
        circuit(lambda: "x", scope="a\0b")
    assert world.manager.snapshot() == []


def test_many_hosts_keep_a_bounded_number_of_handles(world: World) -> None:
    call = world.manager.circuit(lambda n: str(n))(lambda n: n)
    for n in range(1_500):
        call(n)
    assert len(world.manager._names._kept) == 1_024
    assert call(0) == 0 and totals(world, "0") == (2, 0)
