"""A `KeyboardInterrupt` at any instruction of a guarded call: no probe loses its place."""

from __future__ import annotations

import gc
import itertools
import sys
from pathlib import Path
from typing import Any, Callable, Optional

import pytest

import brama
from conftest import Program, World

PACKAGE = str(Path(brama.__file__).parent)


#: A number of events that is never reached. The first run only sets tracing: Python 3.12 traces the
#: opcodes of a frame only after tracing was set once.
WARM_UP = 1 << 60


class Interrupter:
    """A trace function that raises at the nth event of a kind, in a frame of the package."""

    def __init__(self, kind: str, at: int) -> None:
        self.kind, self.left = kind, at
        self.raised_in: Optional[str] = None

    def __call__(self, frame: Any, event: str, argument: object) -> Any:
        if not frame.f_code.co_filename.startswith(PACKAGE):
            return None
        frame.f_trace_opcodes = self.kind == "opcode"
        if event == self.kind:
            if self.left == 0:
                self.raised_in = f"{frame.f_code.co_name}:{frame.f_lineno}"
                self.left = -1
                raise KeyboardInterrupt
            self.left -= 1
        return self


def guarded(manager: brama.Brama, x: brama.Connection, work: Any) -> dict[str, Callable[[], Any]]:
    def block() -> None:
        with manager.guard("x"):
            work()

    def block_of_handle() -> None:
        with x.guard():
            work()

    def block_with_policy() -> None:
        with x.guard(exclude=KeyError) as call:
            call.result(work())

    def nested() -> None:
        with x.guard():
            with manager.guard("x"):
                work()

    def by_hand() -> None:
        permit = x.acquire()
        try:
            work()
        except OSError:
            permit.failure()
            raise
        permit.success()

    async def coroutine() -> None:
        work()

    def awaited() -> None:
        made = manager.circuit("x")(coroutine)()
        try:
            made.send(None)
        except StopIteration:
            pass
        finally:
            made.close()

    return {
        "decorator": manager.circuit("x")(work),
        "decorator that judges": manager.circuit("x", classify=lambda _: None)(work),
        "decorator with a fallback": manager.circuit("x", fallback=work, fallback_on="both")(work),
        "by argument": manager.circuit(lambda: "x")(work),
        "call": lambda: x.call(work),
        "block": block,
        "block of a handle": block_of_handle,
        "block with a policy": block_with_policy,
        "nested blocks": nested,
        "by hand": by_hand,
        "async def": awaited,
    }


def fail() -> None:
    raise OSError


def fine() -> None:
    pass


def kinds() -> list[str]:
    manager = brama.Brama(background=False)
    return list(guarded(manager, manager.register("x"), fine))


@pytest.mark.parametrize("event", ["line", "opcode", "call", "return"])
@pytest.mark.parametrize("fails", [False, True])
@pytest.mark.parametrize("kind", kinds())
def test_a_probe_that_is_interrupted_anywhere(
    world: World, kind: str, fails: bool, event: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Errors in finalisers go to this hook.
    monkeypatch.setattr(sys, "unraisablehook", lambda told: None)
    manager = world.manager
    x = manager.register("x")
    call = guarded(manager, x, fail if fails else fine)[kind]
    interrupted = 0
    for at in itertools.chain([WARM_UP], itertools.count()):
        x.reset_circuit()
        # These guards are kept for other blocks while the circuit is closed.
        manager.guard("x"), x.guard()
        x.half_open_circuit()
        interrupter = Interrupter(event, at)
        # The place must not be free only because garbage happened to be collected.
        gc.disable()
        sys.settrace(interrupter)
        try:
            # In a generator, which has its own stack of handled exceptions. An interrupt at the
            # end of a handler, where the interpreter delivers no signals, leaves an exception on
            # that stack.
            next(call() for _ in [0])
        except (KeyboardInterrupt, OSError):
            pass
        finally:
            sys.settrace(None)
            gc.enable()
        if x.state() == "half_open":
            # Nothing was reported, so the place must be free.
            try:
                x.acquire().ignore()
            except brama.CircuitOpen:
                raise AssertionError(f"lost, interrupted in {interrupter.raised_in}") from None
        if interrupter.raised_in is not None:
            interrupted += 1
        elif at != WARM_UP:
            break
    assert interrupted > 3 or event in ("call", "return")


def test_real_signals(program: Program) -> None:
    """A signal arrives every few microseconds, as from an impatient user."""
    out = program(
        """
    import signal, sys, time
    import brama
    sys.unraisablehook = lambda told: None  # Of finalisers that are interrupted.
    manager = brama.Brama(background=False, probe_timeout=3_600_000, expiry=3_600_000)
    x = manager.register("x")
    class Interrupt(BaseException):
        pass
    armed = False
    def interrupt(*_):
        global armed
        if armed:
            armed = False
            raise Interrupt
    signal.signal(signal.SIGALRM, interrupt)

    @manager.circuit("x")
    def decorated():
        for _ in range(20): pass
    @manager.circuit("x", classify=lambda _: None)
    def judged():
        for _ in range(20): pass
    def block():
        with manager.guard("x"):
            for _ in range(20): pass
    def nested():
        with x.guard():
            decorated()
    calls = [decorated, judged, block, nested, lambda: x.call(decorated)]
    end = time.monotonic() + 2
    interrupted = n = 0
    while time.monotonic() < end:
        n += 1
        x.half_open_circuit()
        try:
            armed = True
            signal.setitimer(signal.ITIMER_REAL, 1e-6 * (1 + n % 37))
            calls[n % len(calls)]()
            armed = False
        except Interrupt:
            interrupted += 1
        signal.setitimer(signal.ITIMER_REAL, 0)
        if x.state() == "half_open":
            x.acquire().ignore()
        x.reset_circuit()
    print(interrupted > 100)
    """
    )
    assert out == "True\n"
