"""A guarded call beside other breakers, in one run.

    pip install brama pybreaker circuitbreaker purgatory
    python guarded_calls.py            # a table
    python guarded_calls.py --json
    python guarded_calls.py --readme   # writes the table into the README

The contestants take turns, and the median of many short turns is shown. So other load on the
machine affects all of them. Times are processor time of the process: nothing waits here, and
other processes do not count. With threads, all share one circuit and each makes its part of
the calls. The time is that of all calls together, divided by their number.

Like is compared with like. circuitbreaker's `with breaker:` counts the outcome of the block,
and never rejects it. So it is measured with the check that its own decorator makes before, and
without. Failing calls fail in circuits that do not open. A success is reported between two turns
of failing calls: real dependencies do not fail 131 072 times in a row, and beyond that number
brama counts failures on a slower path.

Two floors are measured, too: a decorator that only calls the function, and foreign calls by
`ctypes`, without which there is no guarded call through a shared library.
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
from pathlib import Path
from typing import Any, Callable

import circuitbreaker
import purgatory
import pybreaker

import brama

README = Path(__file__).resolve().parents[1] / "README.md"
BEGIN, END = "<!-- speeds, written by benches/guarded_calls.py -->", "<!-- end of speeds -->"
NEVER = 10**9
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


def caught(call: Callable[[], object]) -> Callable[[], object]:
    """A call whose exception is caught. Raising and catching it is part of the time."""

    def catches() -> None:
        try:
            call()
        except Exception:
            pass

    return catches


def opened(call: Callable[[], object]) -> Callable[[], object]:
    """A call whose circuit has been opened."""
    rejected = caught(call)
    for _ in range(10):
        rejected()
    return rejected


def blocks() -> dict[str, dict[str, Callable[[], object]]]:
    brama.register("block")
    held = brama.connection("block").guard()
    breaker = circuitbreaker.CircuitBreaker(name="block")
    breaker(nothing)
    named = circuitbreaker.CircuitBreakerMonitor.get
    factory = purgatory.SyncCircuitBreakerFactory()
    other = pybreaker.CircuitBreaker()

    def brama_by_name() -> None:
        with brama.guard("block"):
            nothing()

    def circuitbreaker_by_name() -> None:
        found = named("block")
        if found.opened:
            raise circuitbreaker.CircuitBreakerError(found)
        with found:
            nothing()

    def circuitbreaker_by_name_without_a_question() -> None:
        with named("block"):
            nothing()

    def purgatory_by_name() -> None:
        with factory.get_breaker("block"):
            nothing()

    def brama_held() -> None:
        with held:
            nothing()

    def circuitbreaker_held() -> None:
        if breaker.opened:
            raise circuitbreaker.CircuitBreakerError(breaker)
        with breaker:
            nothing()

    def circuitbreaker_held_without_a_question() -> None:
        with breaker:
            nothing()

    def pybreaker_held() -> None:
        with other.calling():
            nothing()

    return {
        "a guarded block, by name": {
            "brama": brama_by_name,
            "circuitbreaker": circuitbreaker_by_name,
            "purgatory": purgatory_by_name,
            "not a gate: circuitbreaker that does not ask": (
                circuitbreaker_by_name_without_a_question
            ),
            "floor: the function": nothing,
        },
        "a guarded block, the guard kept": {
            "brama": brama_held,
            "circuitbreaker": circuitbreaker_held,
            "pybreaker": pybreaker_held,
            "not a gate: circuitbreaker that does not ask": (
                circuitbreaker_held_without_a_question
            ),
            "floor: the function": nothing,
        },
    }


def contestants() -> dict[str, dict[str, Callable[[], object]]]:
    manager = brama.Brama()
    held = manager.register("held")
    factory = purgatory.SyncCircuitBreakerFactory()
    logging.disable()

    def brama_by_hand() -> None:
        if held.available():
            nothing()
            held.success()

    unlimited = brama.Brama(max_attempts=brama.UNLIMITED)
    failing = caught(unlimited.circuit("fails")(fails))
    failing.__dict__["before_turn"] = lambda: unlimited.success("fails")
    patient = purgatory.SyncCircuitBreakerFactory(default_threshold=NEVER)
    return {
        "a guarded call, decorator": {
            "brama": manager.circuit("payment_api")(nothing),
            "circuitbreaker": circuitbreaker.CircuitBreaker()(nothing),
            "purgatory": factory("payment_api")(nothing),
            "pybreaker": pybreaker.CircuitBreaker()(nothing),
            "floor: the function": nothing,
            "floor: a decorator that passes on": pass_on(nothing),
        },
        **blocks(),
        "a rejected call, decorator": {
            "brama": opened(manager.circuit("down")(fails)),
            "circuitbreaker": opened(circuitbreaker.CircuitBreaker(name="down")(fails)),
            "purgatory": opened(factory("down")(fails)),
            "pybreaker": opened(pybreaker.CircuitBreaker(name="down")(fails)),
            "floor: the function": caught(fails),
        },
        "a failing call, decorator": {
            "brama": failing,
            "circuitbreaker": caught(
                circuitbreaker.CircuitBreaker(failure_threshold=NEVER, name="fails")(fails)
            ),
            "purgatory": caught(patient("fails")(fails)),
            "pybreaker": caught(pybreaker.CircuitBreaker(fail_max=NEVER)(fails)),
            "floor: the function": caught(fails),
        },
        "a guarded call that is timed, `cancelled_after`": {
            "brama": manager.circuit("timed", cancelled_after=1_000)(nothing),
            "floor: the function": nothing,
        },
        "ask, call, report by handle": {"brama": brama_by_hand, "floor: the function": nothing},
    }


def floors() -> dict[str, Callable[[], object]]:
    library: Any = ctypes.PyDLL(brama._abi.LIBRARY)  # type: ignore[attr-defined]
    version, state = library.brama_abi_version, library.brama_connection_state
    connection = brama.Brama().register("floor")
    argument = connection._handle.argument
    word = connection._handle.word
    assert isinstance(argument, type(byref(c_char())))

    def with_argument() -> None:
        state(argument)

    # What the pointer points to lasts as long as the connection.
    with_argument.__dict__["keeps"] = connection

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
    start = time.process_time()
    for _ in range(CALLS):
        call()
    return (time.process_time() - start) / CALLS * 1e9


def one_turn_of_threads(call: Callable[[], object]) -> float:
    def part() -> None:
        for _ in range(CALLS):
            call()

    threads = [threading.Thread(target=part) for _ in range(THREADS)]
    start = time.process_time()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return (time.process_time() - start) / (CALLS * THREADS) * 1e9


def one_turn_async(call: Callable[[], Any]) -> float:
    async def main() -> float:
        start = time.process_time()
        for _ in range(CALLS):
            await call()
        return (time.process_time() - start) / CALLS * 1e9

    return asyncio.run(main())


def race(calls: dict[str, Any], turn: Callable[[Any], float], turns: int) -> dict[str, float]:
    times: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(turns):
        for name, call in calls.items():
            getattr(call, "before_turn", nothing)()
            times[name].append(turn(call))
    return {name: round(statistics.median(all_)) for name, all_ in times.items()}


def written(table: dict[str, dict[str, float]]) -> str:
    """The table for the README."""
    names = ["brama", "circuitbreaker", "purgatory", "pybreaker", "floor: the function"]
    lines = ["| | brama | circuitbreaker | purgatory | pybreaker | the bare function |"]
    lines.append("|---" * 6 + "|")
    for title, row in table.items():
        if "brama" not in row or "ask, call" in title:
            continue
        peers = [row[name] for name in names[1:-1] if name in row]
        best = min(peers, default=0)
        cells = []
        for name in names:
            cell = f"{row[name]:,.0f}".replace(",", " ") if name in row else ""
            cells.append(f"**{cell}**" if name == "brama" and row[name] <= best else cell)
        lines.append(f"| {title} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--readme", action="store_true")
    parser.add_argument("--turns", type=int, default=TURNS)
    parser.add_argument("--only", default="", help="only groups with this in their title")
    options = parser.parse_args()
    groups = contestants()
    races: list[tuple[str, Any, Any]] = [(t, calls, one_turn) for t, calls in groups.items()]
    guarded = groups["a guarded call, decorator"]
    title = f"a guarded call, decorator, {THREADS} threads"
    races.insert(1, (title, guarded, one_turn_of_threads))
    awaited = {
        "brama": brama.Brama().circuit("payment_api")(nothing_async),
        "circuitbreaker": circuitbreaker.CircuitBreaker()(nothing_async),
        "purgatory": purgatory.AsyncCircuitBreakerFactory()("payment_api")(nothing_async),
        "floor: the function": nothing_async,
    }
    races.insert(2, ("a guarded call, `async def`", awaited, one_turn_async))
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
    if options.readme:
        page = README.read_text()
        head, rest = page.split(BEGIN)
        _, tail = rest.split(END)
        README.write_text(f"{head}{BEGIN}\n{written(table)}\n{END}{tail}")
        return
    print(f"Python {platform.python_version()}, {platform.machine()}; ns, medians\n")
    for title, row in table.items():
        print(title)
        peers = [t for n, t in row.items() if n != "brama" and ":" not in n]
        for name, ns in sorted(row.items(), key=lambda pair: pair[1]):
            ratio = ""
            if name == "brama" and peers:
                ratio = f"   {min(peers) / ns:.2f} times as fast as the fastest other"
            print(f"  {name:46} {ns:7.0f}{ratio}")
        print()


if __name__ == "__main__":
    main()
