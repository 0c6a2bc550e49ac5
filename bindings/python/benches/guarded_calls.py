"""A guarded call beside other breakers, in one run.

    pip install brama pybreaker circuitbreaker purgatory
    python guarded_calls.py            # a table
    python guarded_calls.py --json

The contestants take turns; what is shown is the median of many short turns, so that a
machine that is busy now and then is busy for all of them. With threads, all share one
circuit and each makes its part of the calls: the time is that of all calls together,
divided by their number.

Two floors are measured along: a decorator that only passes on, and foreign calls by
`ctypes`, which are what a guarded call through a shared library cannot do without.
"""

from __future__ import annotations

import argparse
import asyncio
import ctypes
import json
import logging
import platform
import statistics
import sys
import threading
import time
from ctypes import byref, c_char
from typing import Any, Callable

import circuitbreaker
import purgatory
import pybreaker

import brama

TURNS = 61
CALLS = 4_000
THREADS = 4


def nothing() -> None:
    pass


async def nothing_async() -> None:
    pass


def pass_on(function: Callable[..., Any]) -> Callable[..., Any]:
    def passed(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    return passed


def fails() -> None:
    raise ConnectionError


def opened(call: Callable[[], object]) -> Callable[[], object]:
    """A call whose circuit has been opened; what it raises is part of a rejection."""

    def rejected() -> None:
        try:
            call()
        except Exception:
            pass

    for _ in range(10):
        rejected()
    return rejected


def contestants() -> dict[str, dict[str, Callable[[], object]]]:
    manager = brama.Brama()
    held = manager.register("held")
    factory = purgatory.SyncCircuitBreakerFactory()
    logging.disable()

    def purgatory_context() -> None:
        with factory.get_breaker("context"):
            nothing()

    def brama_context() -> None:
        with held.guard():
            nothing()

    def brama_by_hand() -> None:
        if held.available():
            nothing()
            held.success()

    return {
        "a guarded call, decorator": {
            "brama": manager.circuit("payment_api")(nothing),
            "circuitbreaker": circuitbreaker.CircuitBreaker()(nothing),
            "purgatory": factory("payment_api")(nothing),
            "pybreaker": pybreaker.CircuitBreaker()(nothing),
            "floor: the function": nothing,
            "floor: a decorator that passes on": pass_on(nothing),
        },
        "a guarded call, `with`": {
            "brama": brama_context,
            "purgatory": purgatory_context,
        },
        "a rejected call, decorator": {
            "brama": opened(manager.circuit("down")(fails)),
            "circuitbreaker": opened(circuitbreaker.CircuitBreaker(name="down")(fails)),
            "purgatory": opened(factory("down")(fails)),
            "pybreaker": opened(pybreaker.CircuitBreaker(name="down")(fails)),
        },
        "ask, call, report by handle": {"brama": brama_by_hand},
    }


def floors() -> dict[str, Callable[[], object]]:
    library: Any = ctypes.PyDLL(brama._abi.LIBRARY)  # type: ignore[attr-defined]
    version, state = library.brama_abi_version, library.brama_connection_state
    connection = brama.Brama().register("floor")
    argument = connection._handle.argument
    word = connection._handle._word
    assert isinstance(argument, type(byref(c_char())))

    def with_argument() -> None:
        state(argument)

    def without() -> None:
        version()

    def read() -> None:
        word.value  # noqa: B018

    return {
        "a foreign call with a pointer": with_argument,
        "a foreign call without arguments": without,
        "a read of the state in memory": read,
        "nothing": nothing,
    }


def one_turn(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    for _ in range(CALLS):
        call()
    return (time.perf_counter() - start) / CALLS * 1e9


def one_turn_of_threads(call: Callable[[], object]) -> float:
    def part() -> None:
        for _ in range(CALLS):
            call()

    threads = [threading.Thread(target=part) for _ in range(THREADS)]
    start = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return (time.perf_counter() - start) / (CALLS * THREADS) * 1e9


def one_turn_async(call: Callable[[], Any]) -> float:
    async def main() -> float:
        start = time.perf_counter()
        for _ in range(CALLS):
            await call()
        return (time.perf_counter() - start) / CALLS * 1e9

    return asyncio.run(main())


def race(calls: dict[str, Any], turn: Callable[[Any], float], turns: int) -> dict[str, float]:
    times: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(turns):
        for name, call in calls.items():
            times[name].append(turn(call))
    return {name: round(statistics.median(all_)) for name, all_ in times.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--turns", type=int, default=TURNS)
    parser.add_argument("--only", default="", help="only groups with this in their title")
    options = parser.parse_args()
    groups = contestants()
    races: list[tuple[str, Any, Any]] = [(t, calls, one_turn) for t, calls in groups.items()]
    guarded = groups["a guarded call, decorator"]
    title = f"a guarded call, decorator, {THREADS} threads"
    races.append((title, guarded, one_turn_of_threads))
    awaited = {
        "brama": brama.Brama().circuit("payment_api")(nothing_async),
        "circuitbreaker": circuitbreaker.CircuitBreaker()(nothing_async),
        "purgatory": purgatory.AsyncCircuitBreakerFactory()("payment_api")(nothing_async),
        "floor: the function": nothing_async,
    }
    races.append(("a guarded call, `async def`", awaited, one_turn_async))
    title = "floors of `ctypes`, with the call of a Python function"
    races.append((title, floors(), one_turn))
    table = {
        title: race(calls, turn, options.turns)
        for title, calls, turn in races
        if options.only in title
    }
    if options.json:
        json.dump(table, sys.stdout, indent=2)
        return
    print(f"Python {platform.python_version()}, {platform.machine()}; ns, medians\n")
    for title, row in table.items():
        print(title)
        peers = [t for n, t in row.items() if n != "brama" and "floor" not in n]
        for name, ns in sorted(row.items(), key=lambda pair: pair[1]):
            ratio = ""
            if name == "brama" and peers:
                ratio = f"   {min(peers) / ns:.2f} times as fast as the fastest other"
            print(f"  {name:36} {ns:7.0f}{ratio}")
        print()


if __name__ == "__main__":
    main()
