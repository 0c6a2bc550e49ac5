"""What the tests share: a manager whose time stands still, and programs of their own."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import Callable, Iterator

import pytest

import brama

SOURCE = Path(__file__).resolve().parents[1]


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
    """With a background thread."""
    manager = brama.Brama()
    yield manager
    manager.shutdown()


Program = Callable[..., str]


@pytest.fixture
def program(tmp_path: Path) -> Program:
    """Runs a program of its own; one that hangs or crashes fails the test."""

    def run(text: str, *arguments: str, code: int = 0, timeout: float = 30) -> str:
        file = tmp_path / "program.py"
        file.write_text(textwrap.dedent(text))
        command = [sys.executable, "-X", "faulthandler", str(file), *arguments]
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=timeout, cwd=tmp_path, env=os.environ
        )
        assert done.returncode == code, (done.returncode, done.stdout, done.stderr)
        if code == 0:
            assert "Traceback" not in done.stderr and "Fatal" not in done.stderr, done.stderr
        return done.stdout

    return run
