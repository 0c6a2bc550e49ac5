"""Event loops that are left behind, and the end of the interpreter in any state."""

from __future__ import annotations

import asyncio

import pytest

import brama
from conftest import Program

LOOPS = """
    import asyncio, sys, threading, time
    import brama
    manager = brama.Brama()
    stream = manager.events("state_change")
    x = manager.register("x", max_attempts=1)

    async def watch():
        async for event in stream:
            print(event.new_state, flush=True)

    async def begin():
        task = asyncio.ensure_future(watch())
        while not stream._waiting:
            await asyncio.sleep(0)
        return task

    def wait_until(condition):
        deadline = time.monotonic() + 20
        while not condition():
            assert time.monotonic() < deadline, "it did not happen"
            time.sleep(0.001)

    def is_inside(thread):
        frame = sys._current_frames().get(thread.ident)
        return frame is not None and "brama" in frame.f_globals["__name__"]
"""


@pytest.mark.parametrize("closed", [True, False])
@pytest.mark.parametrize("kept", [True, False])
def test_a_stream_outlives_its_loop(program: Program, closed: bool, kept: bool) -> None:
    """A task waits in a loop that is closed or left behind. Then another loop reads."""
    out = program(
        LOOPS
        + f"""
    loop = asyncio.new_event_loop()
    task = loop.run_until_complete(begin())
    if {closed}:
        loop.close()
    if not {kept}:
        del task, loop

    async def late():
        asyncio.get_running_loop().call_later(0.01, x.failure)
        event = await asyncio.wait_for(stream.__anext__(), 20)
        print("late:", event.new_state, flush=True)
        assert not [loop for loop in stream._waiting if loop.is_closed()]

    asyncio.run(late())
    print("end")
    """
    )
    assert out.splitlines() == ["late: open", "end"]


def test_a_loop_whose_tasks_were_cancelled_forgets_the_descriptor(manager: brama.Brama) -> None:
    stream = manager.events("registration")

    async def main() -> None:
        for _ in range(3):
            task = asyncio.ensure_future(stream.__anext__())
            await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        manager.register("x")
        while stream._waiting:
            await asyncio.sleep(0)
        assert not asyncio.get_running_loop().remove_reader(stream.fileno())
        assert (await stream.__anext__()).connection == "x"

    asyncio.run(main())


ENDS = {
    "a task in a loop that is open": "loop.run_until_complete(begin())",
    "a task in a loop that was closed": "loop.run_until_complete(begin()); loop.close()",
    "a task that is kept": "task = loop.run_until_complete(begin()); loop.close()",
    "a running loop on a thread": """
def run():
    loop.run_until_complete(begin()); loop.call_soon(runs.set); loop.run_forever()
runs = threading.Event()
threading.Thread(target=run, daemon=True).start(); assert runs.wait(20)""",
    "threads that wait": """
for wait in (lambda: stream.get(), lambda: next(stream), lambda: stream.get(3600_000)):
    thread = threading.Thread(target=wait, daemon=True)
    thread.start(); wait_until(lambda: is_inside(thread))""",
    "threads in guarded calls": """
@manager.circuit("y", half_open_max_calls=2)
def call(): inside.wait(); time.sleep(3600)
def block():
    with manager.guard("y"): inside.wait(); time.sleep(3600)
inside = threading.Barrier(3)
manager.half_open_circuit("y")
for work in (call, block):
    threading.Thread(target=work, daemon=True).start()
inside.wait(20)""",
    "generators in guarded blocks": """
def block():
    with x.guard() as call: yield call
blocks = [block() for _ in range(3)]; [next(b) for b in blocks]; x.half_open_circuit()
probe = block(); next(probe)""",
    "a failing thread": """
def work(): 1 / 0
threading.excepthook = lambda told: None
thread = threading.Thread(target=work); thread.start()""",
    "a callback at the end": "manager.subscribe(lambda event: manager.failure('x')); x.success()",
    "use while exiting": """
import atexit
def last():
    x.failure(); print(manager.state("x"), stream.drain())
    try: manager.subscribe(print).unsubscribe()
    except brama.BramaError: pass  # Since Python 3.12 no thread starts here.
atexit.register(last)""",
    "finalisers while exiting": """
class User:
    def __del__(self):
        for use in (x.status, manager.snapshot, stream.drain, manager.guard("x").__enter__):
            try: use()
            except brama.BramaError: pass
user = User(); user.me = user; brama.user = User(); stream.user = User()""",
    "a signal": "import os, signal; os.kill(os.getpid(), signal.SIGTERM)",
}


@pytest.mark.parametrize("state", ENDS)
def test_the_interpreter_ends_in_any_state(program: Program, state: str) -> None:
    code = ENDS[state].replace("\n", "\n    ")
    for _ in range(3):
        program(
            LOOPS
            + f"""
    loop = asyncio.new_event_loop()
    {code}
    """,
            code=-15 if state == "a signal" else 0,
        )


def test_a_callback_that_starts_no_thread_at_the_end(program: Program) -> None:
    """`subscribe` raises where no thread can be started."""
    out = program(
        """
    import threading
    import brama
    manager = brama.Brama()
    def refuse(self): raise RuntimeError("can't start new thread")
    threading.Thread.start = refuse
    try:
        manager.subscribe(print)
    except brama.BramaError as error:
        print(error)
    stream = manager.events("registration")
    manager.register("x")
    print(next(stream).connection)
    """
    )
    first, second = out.splitlines()
    assert "needs a thread: can't start new thread" in first and second == "x"


def test_a_child_in_which_no_thread_starts_polls_and_ends(program: Program) -> None:
    out = program(
        """
    import os, threading
    import brama
    manager = brama.Brama()
    got = []
    manager.subscribe(lambda event: got.append(event.connection), events="registration")
    start = threading.Thread.start
    def refuse(self): raise RuntimeError("can't start new thread")
    threading.Thread.start = refuse
    child = os.fork()
    if child == 0:
        code = 1
        try:
            manager.register("a")
            stream = manager.events()
            manager.poll()
            assert got == ["a"], got
            manager.register("b")
            manager.shutdown()
            assert got == ["a", "b"], got
            code = 0
        finally:
            os._exit(code)
    print(os.waitpid(child, 0)[1])
    """
    )
    assert out == "0\n"
