"""Forks, processes, and the end of the interpreter: nothing crashes, hangs or is lost."""

from __future__ import annotations

import time

import pytest

from conftest import Program

START = """
    import os, signal, sys, threading, time
    import brama

    def wait_until(condition):
        deadline = time.monotonic() + 20
        while not condition():
            assert time.monotonic() < deadline, "it did not happen"
            time.sleep(0.001)

    def in_child(work):
        sys.stdout.flush()
        child = os.fork()
        if child == 0:
            code = 1
            try:
                work()
                sys.stdout.flush()
                code = 0
            finally:
                os._exit(code)
        deadline = time.monotonic() + 20
        while True:
            done, status = os.waitpid(child, os.WNOHANG)
            if done:
                assert status == 0, status
                return
            if time.monotonic() > deadline:
                os.kill(child, signal.SIGABRT)  # `faulthandler` answers it.
                os.waitpid(child, 0)
                raise AssertionError("the child hangs")
            time.sleep(0.002)
"""


def test_the_end_delivers_what_waits(program: Program) -> None:
    out = program(
        START
        + """
    brama.subscribe(lambda event: print(event.type, event.connection), events="registration")
    for n in range(20):
        brama.register(f"c{n}")
    """
    )
    assert out.split()[1::2] == [f"c{n}" for n in range(20)]


@pytest.mark.parametrize("end", ["pass", "sys.exit()", "raise KeyboardInterrupt"])
def test_the_end_with_everything_alive(program: Program, end: str) -> None:
    code = {"raise KeyboardInterrupt": -2}.get(end, 0)
    for _ in range(5):
        program(
            START
            + f"""
    brama.subscribe(lambda event: None)
    other = brama.Brama(expiry=1)
    other.subscribe(lambda event: None)
    stream = brama.events()
    done = []
    def busy():
        call = other.circuit("busy", max_attempts=1)(lambda: 1 / 0)
        while True:
            try:
                call()
            except Exception:
                pass
            brama.snapshot()
            if len(done) < 100:
                done.append("a call")
    def iterate():
        for event in stream:
            done.append("an event")
    for work in (busy, iterate, busy):
        threading.Thread(target=work, daemon=True).start()
    permit = brama.register("x").acquire()
    wait_until(lambda: "an event" in done and done.count("a call") > 10)
    {end}
    """,
            code=code,
        )


def test_a_callback_that_never_returns_does_not_hold_up_the_end(program: Program) -> None:
    start = time.monotonic()
    program(
        START
        + """
    entered = threading.Event()
    brama.subscribe(lambda event: (entered.set(), time.sleep(3600)))
    brama.register("x")
    assert entered.wait(20)
    """
    )
    assert time.monotonic() - start < 15


def test_a_child_works_on_with_the_state_it_had(program: Program) -> None:
    out = program(
        START
        + """
    got = []
    brama.subscribe(got.append)
    x = brama.register("x", max_attempts=2, expiry=60_000)
    call = brama.circuit("x")(lambda: 1 / 0)
    x.failure()
    wait_until(lambda: len(got) == 3)

    def work():
        # Its own events, on a new thread; none of the parent's.
        del got[:]
        try:
            call()
        except ZeroDivisionError:
            pass
        try:
            call()
        except brama.CircuitOpen:
            print("rejected")
        wait_until(lambda: len(got) == 4)
        print(*[str(event.type) for event in got])
        brama.reset_all()
        stream = brama.events("registration")
        brama.register("y")
        print(next(stream).connection)
        brama.shutdown()

    in_child(work)
    assert x.state() == "closed" and x.status().failure_count == 1
    in_child(work)
    x.failure()
    wait_until(lambda: len(got) == 6)
    """
    )
    child = ["rejected", "failure state_change circuit_opened call_rejected", "y"]
    assert out.splitlines() == child * 2


def test_the_driver_restarts_in_the_child(program: Program) -> None:
    out = program(
        START
        + """
    x = brama.register("x", max_attempts=1, expiry=50)
    stream = brama.events("circuit_half_opened")

    def work():
        x.failure()
        print(stream.get(timeout=20_000).type)

    in_child(work)
    """
    )
    assert out.split() == ["circuit_half_opened"]


def test_forks_while_everything_is_busy(program: Program) -> None:
    """Many forks while other threads report, drain, poll and subscribe."""
    program(
        START
        + """
    from collections import deque
    manager = brama.Brama(expiry=1)
    # Bounded: each child has to free what it finds in there.
    delivered = deque(maxlen=1_000)
    manager.subscribe(delivered.append)
    stream = manager.events()
    stop = False
    def fails():
        raise OSError
    def report():
        call = manager.circuit("x", max_attempts=1)(fails)
        while not stop:
            try:
                call()
            except (OSError, brama.CircuitOpen):
                pass
    def drain():
        while not stop:
            stream.get(timeout=1)
    def subscribe():
        while not stop:
            manager.subscribe(lambda event: None).unsubscribe()
            manager.poll()
            manager.snapshot()
    threads = [threading.Thread(target=work, daemon=True) for work in (report, drain, subscribe)]
    for thread in threads:
        thread.start()

    def work():
        delivered.clear()
        stream.drain()
        manager.register("child")
        wait_until(lambda: any(event.connection == "child" for event in list(delivered)))
        coming = iter(lambda: stream.get(timeout=5_000), None)
        assert any(event.connection == "child" for event in coming)
        manager.shutdown()

    try:
        for _ in range(20):
            in_child(work)
    finally:
        stop = True
    for thread in threads:
        thread.join(20)
        assert not thread.is_alive()
    """,
        timeout=120,
    )


def test_a_callback_may_fork(program: Program) -> None:
    out = program(
        START
        + """
    done = []
    def callback(event):
        if event.connection == "x":
            child = os.fork()
            if child == 0:
                brama.register("child")
                return  # The child goes on serving, on this thread.
            done.append(os.waitpid(child, 0)[1])
        else:
            print(event.connection, flush=True)
            os._exit(0)
    brama.subscribe(callback, events="registration")
    brama.register("x")
    wait_until(lambda: done)
    assert done == [0]
    """
    )
    assert out.split() == ["child"]


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_multiprocessing(program: Program, method: str) -> None:
    out = program(
        """
    import multiprocessing, sys
    import brama

    @brama.circuit("x", max_attempts=2)
    def call(n):
        if n < 0:
            raise ValueError(n)
        return n

    def work(n):
        got = []
        subscription = brama.subscribe(got.append)
        for _ in range(2):
            try:
                call(-1)
            except ValueError:
                pass
        try:
            call(n)
        except brama.CircuitOpen as rejected:
            state = brama.state("x")
            brama.shutdown()
            return n, str(state), len(got), rejected.identifier

    def rejects(n):
        brama.open_circuit("x", expiry=5_000)
        call(n)

    if __name__ == "__main__":
        context = multiprocessing.get_context(sys.argv[1])
        brama.subscribe(lambda event: None)
        with context.Pool(2, maxtasksperchild=1) as pool:
            for answer in pool.map(work, range(4), chunksize=1):
                print(answer)
            try:
                pool.map(rejects, [1], chunksize=1)
            except brama.CircuitOpen as rejected:
                print(rejected.identifier, rejected.retry_after > 0)
        print(call(5), brama.state("x"))
    """,
        method,
        timeout=60,
    )
    assert out.splitlines() == [
        *(f"({n}, 'open', 5, 'x')" for n in range(4)),
        "x True",
        "5 closed",
    ]


def test_a_pre_forking_server(program: Program) -> None:
    """As in gunicorn, the application is loaded, then workers are forked, and serve."""
    out = program(
        START
        + """
    import socket
    log = []
    brama.subscribe(log.append, events="circuit_opened")

    @brama.circuit("backend", max_attempts=2, expiry=60_000, fallback=lambda: b"cached")
    def backend():
        raise OSError

    def serve(listener):
        answers = 0
        while answers < 3:
            connection, _ = listener.accept()
            with connection:
                try:
                    connection.sendall(backend())
                except OSError:
                    connection.sendall(b"error")
            answers += 1
        wait_until(lambda: log)

    listener = socket.create_server(("127.0.0.1", 0))
    workers = []
    for _ in range(3):
        child = os.fork()
        if child == 0:
            try:
                serve(listener)
            finally:
                os._exit(0 if log else 1)
        workers.append(child)
    answers = []
    for _ in range(9):
        with socket.create_connection(listener.getsockname()) as connection:
            answers.append(connection.recv(100))
    for child in workers:
        assert os.waitpid(child, 0)[1] == 0
    print(answers.count(b"error"), answers.count(b"cached"), len(log))
    """
    )
    assert out.split() == ["6", "3", "0"]


def test_asyncio_in_a_child(program: Program) -> None:
    program(
        START
        + """
    import asyncio
    stream = brama.events("registration")

    async def main(name):
        task = asyncio.ensure_future(stream.__anext__())
        while asyncio.get_running_loop() not in stream._waiting:
            await asyncio.sleep(0)
        brama.register(name)
        assert (await asyncio.wait_for(task, 20)).connection == name

    asyncio.run(main("a"))
    in_child(lambda: asyncio.run(main("b")))
    asyncio.run(main("c"))
    """
    )


def test_sub_processes_need_nothing(program: Program) -> None:
    program(
        START
        + """
    import subprocess
    brama.subscribe(lambda event: None)
    brama.register("x")
    assert subprocess.run(["true"], preexec_fn=lambda: None).returncode == 0
    """
    )


def test_ctrl_c_ends_a_wait(program: Program) -> None:
    out = program(
        START
        + """
    import signal
    # A parent may have made its children ignore it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for background in (True, False):
        stream = brama.Brama(background=background).events()
        threading.Timer(0.1, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
        try:
            for event in stream:
                pass
        except KeyboardInterrupt:
            print("interrupted")
    """
    )
    assert out.split() == ["interrupted"] * 2
