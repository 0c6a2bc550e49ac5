"""gevent and eventlet: a wait for events lets other greenlets run, guarded calls of different
greenlets are independent, and gunicorn works with gevent's workers."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
import urllib.request
from pathlib import Path

import pytest

from conftest import Program

PATCHES = {
    "gevent": """
    from gevent import monkey; monkey.patch_all()
    import gevent
    from gevent import sleep, spawn, Timeout
    def wait(*greenlets): gevent.joinall(greenlets, raise_error=True)
    """,
    "eventlet": """
    import warnings; warnings.simplefilter("ignore", DeprecationWarning)
    import eventlet; eventlet.monkey_patch()
    from eventlet import sleep, spawn, Timeout
    def wait(*greenlets): [greenlet.wait() for greenlet in greenlets]
    """,
}
START = """
    import threading, time
    import brama
    ticks = []
    def tick():
        while True:
            ticks.append(time.monotonic()); sleep(0.005)
    def until(condition):
        end = time.monotonic() + 20
        while not condition():
            assert time.monotonic() < end, "it did not happen"
            sleep(0.005)
    def others_ran():
        before = len(ticks)
        until(lambda: len(ticks) > before + 3)
    spawn(tick)
    manager = brama.Brama(max_attempts=1)
    x = manager.register("x")
"""


@pytest.fixture(params=list(PATCHES))
def patched(request: pytest.FixtureRequest) -> str:
    return PATCHES[request.param] + START


@pytest.fixture(params=["before", "after"])
def either_order(request: pytest.FixtureRequest) -> str:
    """The package is imported before or after the standard library is patched."""
    return "import brama\n" if request.param == "before" else ""


@pytest.mark.parametrize("name", list(PATCHES))
def test_callbacks(program: Program, name: str, either_order: str) -> None:
    out = program(
        f"\n    {either_order}"
        + PATCHES[name]
        + START
        + """
    got = []
    subscription = manager.subscribe(lambda event: got.append(event.type), events="circuit_opened")
    others_ran()
    x.failure()
    until(lambda: got)
    others_ran()
    subscription.unsubscribe()
    x.reset_circuit(), x.failure()
    others_ran()
    manager.subscribe(lambda event: print(event.connection), events="registration")
    manager.register("y")
    manager.shutdown()
    print(*got)
    """
    )
    assert out.split() == ["y", "circuit_opened"]


def test_iteration_lets_others_run(program: Program, patched: str) -> None:
    out = program(
        patched
        + """
    stream = manager.events("circuit_opened")
    opened = []
    def read():
        for event in stream:
            opened.append(event.connection)
    reader = spawn(read)
    others_ran()
    x.failure()
    until(lambda: opened)
    got = []
    stream2 = manager.events("registration")
    work = lambda: got.append(stream2.get(20_000))
    thread2 = threading.Thread(target=work, daemon=True)
    thread2.start()
    others_ran()
    manager.register("y")
    thread2.join()
    before = len(ticks)
    assert stream2.get(50) is None and len(ticks) > before
    others_ran()
    stream.unsubscribe()
    wait(reader)
    print(opened, [event.connection for event in got])
    """
    )
    assert out.split("\n")[0] == "['x'] ['y']"


def test_several_greenlets_read_one_stream(program: Program, patched: str) -> None:
    out = program(
        patched
        + """
    stream = manager.events("registration")
    got = []
    def read():
        for event in stream:
            got.append(event.connection)
    readers = [spawn(read) for _ in range(3)]
    others_ran()
    for n in range(6):
        manager.register(str(n)); others_ran()
    until(lambda: len(got) == 6)
    stream.unsubscribe()
    wait(*readers)
    print(sorted(got))
    """
    )
    assert out == "['0', '1', '2', '3', '4', '5']\n"


def test_without_a_background_thread(program: Program, patched: str) -> None:
    out = program(
        patched
        + """
    quiet = brama.Brama(background=False, max_attempts=1, expiry=30)
    stream = quiet.events("expiry")
    quiet.register("x"); quiet.failure("x")
    reader = spawn(lambda: print(stream.get().connection))
    others_ran()
    wait(reader)
    """
    )
    assert out == "x\n"


def test_guarded_calls_of_greenlets_are_apart(program: Program, patched: str) -> None:
    """A nested call rides on a call of its own greenlet, never on that of another."""
    out = program(
        patched
        + """
    y = manager.register("y", max_attempts=brama.UNLIMITED)
    guard = y.guard()
    def block(n):
        with guard as call:
            sleep(0.001)
            if n % 2: call.failure()
            sleep(0.001)
    wait(*[spawn(block, n) for n in range(40)])
    print(y.status().total_successes, y.status().total_failures)

    x.half_open_circuit()
    def inner():
        with x.guard():
            sleep(0)
    entered, leave = threading.Event(), threading.Event()
    def outer():
        with x.guard():
            entered.set()
            leave.wait(20)
            inner()
    rejected = []
    def stranger():
        entered.wait(20)
        try: inner()
        except brama.CircuitOpen: rejected.append(1)
        leave.set()
    wait(spawn(outer), spawn(stranger))
    print(x.state(), len(rejected), x.status().total_successes)
    """
    )
    assert out.splitlines() == ["20 20", "closed 1 1"]


def test_a_greenlets_time_out_is_a_cancellation(program: Program, patched: str) -> None:
    out = program(
        patched
        + """
    def hang():
        try:
            with Timeout(0.05):
                with manager.guard("x"):
                    sleep(60)
        except Timeout:
            pass
    hang()
    print(x.state())
    x.configure(cancelled_after=10)
    hang()
    print(x.state())
    """
    )
    assert out.split() == ["closed", "open"]


@pytest.mark.parametrize("name", list(PATCHES))
def test_the_end_of_a_patched_process(program: Program, name: str) -> None:
    for end in ("", "import sys; sys.exit()", "x.failure()"):
        program(
            PATCHES[name]
            + START
            + f"""
    manager.subscribe(lambda event: None)
    brama.subscribe(lambda event: None)
    stream = manager.events()
    def read():
        for event in stream: pass
    spawn(read)
    others_ran()
    {end}
    """
        )


@pytest.mark.parametrize("preload", [True, False])
def test_gunicorn_with_gevents_workers(tmp_path: Path, preload: bool) -> None:
    """There are two workers. The application subscribes when it is loaded, before or after the
    fork. Each worker opens its own circuit and gets the event."""
    (tmp_path / "application.py").write_text(
        """
import os, brama
log = []
brama.subscribe(lambda event: log.append(str(event.type)), events="circuit_opened")
@brama.circuit("backend", max_attempts=2, expiry=60_000, fallback=lambda: b"cached")
def backend():
    import gevent
    gevent.sleep(0.005)
    raise OSError
def application(environ, start):
    try:
        body = backend()
    except OSError:
        body = b"error"
    start("200 OK", [("Content-Type", "text/plain")])
    return [b"%d %s %d" % (os.getpid(), body, len(log))]
"""
    )
    server = subprocess.Popen(
        [
            *(sys.executable, "-m", "gunicorn", "-k", "gevent", "-w", "2", "-b", "127.0.0.1:0"),
            *("--graceful-timeout", "5", *(["--preload"] if preload else []), "application"),
        ],
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    # Kills a server that does not start or does not end.
    limit = threading.Timer(60, server.kill)
    limit.start()
    try:
        assert server.stderr is not None
        port = None
        said = []
        for line in server.stderr:
            said.append(line)
            if "Listening at" in line:
                port = int(line.split("http://127.0.0.1:")[1].split()[0])
            if "Booting worker" in line and sum("Booting" in line for line in said) == 2:
                break
        assert port is not None, said
        answers: dict[str, list[list[str]]] = {}
        end = time.monotonic() + 20
        # Until both workers have shown the event of their circuit.
        while sum(any(body[1] == "1" for body in worker) for worker in answers.values()) < 2:
            assert time.monotonic() < end, answers
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=10) as response:
                process, *rest = response.read().decode().split()
                answers.setdefault(process, []).append(rest)
        for worker in answers.values():
            bodies = [body for body, _ in worker]
            assert bodies[:2] == ["error"] * 2 and set(bodies[2:]) == {"cached"}
        server.terminate()
        assert server.wait(20) == 0
    finally:
        limit.cancel()
        server.kill()
        server.wait()
        assert server.stderr is not None
        server.stderr.close()
