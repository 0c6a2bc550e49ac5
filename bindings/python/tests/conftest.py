"""What the tests share: a manager with a clock moved by hand, and separate programs."""

from __future__ import annotations

import asyncio
import contextlib
import faulthandler
import os
import re
import signal
import subprocess
import sys
import textwrap
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Callable, Iterator

import pytest

import brama

SOURCE = Path(__file__).resolve().parents[1]
PACKAGE = Path(brama.__file__).parent


@dataclass(frozen=True)
class Row:
    """A setting of a circuit, as the library's table has it."""

    name: str
    field: str
    kind: str
    default: str


_TABLE = (SOURCE.parent / "c" / "tests" / "c" / "settings_table.h").read_text()
#: Every setting of a circuit.
TABLE = [Row(*row) for row in re.findall(r"^SETTING\((.*), (.*), (.*), (.*)\)$", _TABLE, re.M)]


#: The longest time of a test in seconds. After that the test hangs: the run prints the stacks of
#: all threads, and ends.
LIMIT = 600

_stderr = -1


def pytest_configure() -> None:
    global _stderr
    _stderr = os.dup(2)  # Before pytest captures it.


@pytest.fixture(autouse=True)
def _limit() -> Iterator[None]:
    faulthandler.dump_traceback_later(LIMIT, exit=True, file=_stderr)
    yield
    faulthandler.cancel_dump_traceback_later()


def wait_until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.001)


async def until(condition: Callable[[], object]) -> None:
    """Waits for a condition, and lets other tasks of the loop run meanwhile."""
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        await asyncio.sleep(0)


def is_inside(thread: threading.Thread) -> bool:
    """Whether a thread runs a function of the package, or waits in one."""
    frame = sys._current_frames().get(thread.ident or 0)
    return frame is not None and Path(frame.f_code.co_filename).parent == PACKAGE


@dataclass
class World:
    clock: brama.ManualClock
    manager: brama.Brama

    def later(self, ms: int) -> None:
        self.clock.advance(ms)
        self.manager.poll()


@pytest.fixture
def world() -> Iterator[World]:
    clock = brama.ManualClock()
    world = World(clock, brama.Brama(clock=clock, background=False))
    yield world
    world.manager.shutdown()


@pytest.fixture
def manager() -> Iterator[brama.Brama]:
    """A manager with a background thread."""
    manager = brama.Brama()
    yield manager
    manager.shutdown()


Program = Callable[..., str]


@pytest.fixture
def program(tmp_path: Path) -> Program:
    """Runs a separate program. The test fails if the program hangs or crashes. If it hangs, the
    message shows the stacks of its threads."""

    def run(text: str, *arguments: str, code: int = 0, timeout: float = 60) -> str:
        file = tmp_path / "program.py"
        file.write_text(textwrap.dedent(text))
        command = [sys.executable, "-X", "faulthandler", str(file), *arguments]
        # A session of its own, so that its children end with it.
        running = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=tmp_path,
            start_new_session=True,
        )
        hangs = ""
        try:
            out, err = running.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            hangs = f"it hangs; this is where, after {timeout} s:"
            running.send_signal(signal.SIGABRT)  # `faulthandler` prints the stacks.
            with contextlib.suppress(subprocess.TimeoutExpired):
                running.wait(10)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(running.pid, signal.SIGKILL)
            out, err = running.communicate()
        assert not hangs, f"{hangs}\n{err}\n{out}"
        assert running.returncode == code, (running.returncode, out, err)
        if code == 0:
            assert "Traceback" not in err and "Fatal" not in err, err
        return out

    return run
