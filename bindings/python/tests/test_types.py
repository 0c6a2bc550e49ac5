"""For tools: annotations can be evaluated, signatures are right, types are complete."""

from __future__ import annotations

import inspect
import os
import re
import shutil
import subprocess
import sys
import typing
from pathlib import Path
from typing import Any, Iterator

import pytest

import brama


def public() -> Iterator[tuple[str, Any]]:
    for name in brama.__all__:
        thing = getattr(brama, name)
        if not isinstance(thing, type) and not inspect.isroutine(thing):
            continue
        yield name, thing
        if isinstance(thing, type):
            for attribute, method in vars(thing).items():
                if attribute == "__init__" or not attribute.startswith("_"):
                    if isinstance(method, property):
                        yield f"{name}.{attribute}", method.fget
                    elif inspect.isroutine(method):
                        yield f"{name}.{attribute}", getattr(thing, attribute)


@pytest.mark.parametrize(("name", "thing"), list(public()))
def test_annotations_and_signatures(name: str, thing: Any) -> None:
    if name != "ConnectionSettings" and name != "ManagerSettings":
        assert all(not isinstance(hint, str) for hint in typing.get_type_hints(thing).values())
    else:
        hints = typing.get_type_hints(thing)
        assert int in typing.get_args(hints["half_open_max_calls"])
        assert float in typing.get_args(hints["jitter"])
    if inspect.isroutine(thing):
        if sys.version_info >= (3, 10):
            inspect.signature(thing, eval_str=True)
        assert inspect.signature(thing)


def test_the_signatures_of_shortcuts() -> None:
    """The fast path of `guard` has the parameters and the docstring of the full method."""
    for guard in (brama.guard, brama.Brama(background=False).guard):
        names = list(inspect.signature(guard).parameters)
        assert names == ["identifier", "scope", "include", "exclude", "classify"]
    assert "classify" in inspect.signature(brama.Connection.guard).parameters
    assert "Args:" in (inspect.getdoc(brama.guard) or "")


def test_settings_are_keywords_that_are_known() -> None:
    of_connections = set(typing.get_type_hints(brama.ConnectionSettings))
    of_managers = set(typing.get_type_hints(brama.ManagerSettings))
    assert of_connections - of_managers == {"metadata", "initial_state"}
    for name in ("register", "get_or_register", "circuit"):
        settings = inspect.signature(getattr(brama, name)).parameters["settings"]
        assert "ConnectionSettings" in str(settings.annotation)


def run(tool: str, *arguments: str, cwd: Path) -> str:
    command = [sys.executable, "-m", tool, *arguments]
    environment = {**os.environ, "PYTHONPATH": str(cwd)}
    done = subprocess.run(
        command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=300
    )
    return done.stdout + done.stderr


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """A folder with a copy of the package, for tools to run in."""
    shutil.copytree(Path(brama.__file__).parent, tmp_path / "brama")
    return tmp_path


def test_types_are_complete(installed: Path) -> None:
    report = run("pyright", "--verifytypes", "brama", "--ignoreexternal", cwd=installed)
    found = re.search(r"Type completeness score: ([0-9.]+)%", report)
    assert found, report
    assert float(found[1]) >= 95, report


USER = """
from datetime import timedelta
import brama
manager = brama.Brama(max_attempts=3)
manager.configure("x", max_attempts=5, expiry=10)
manager.configure(max_attempts=5, cleanup_interval=10)
manager.configure("x", cleanup_interval=10)  # wrong
manager.configure("x", max_atempts=5)  # wrong
manager.configure(max_attempts="five")  # wrong
manager.configure(scope="s", max_attempts=5)  # wrong
@brama.circuit("x", expiry=5, fallback_on="both", fallback=lambda a: "b")
def f(a: int) -> str: return str(a)
g: str = f(1)
f("a")  # wrong
@brama.circuit(lambda host: host, scope="http")
async def get(host: str) -> bytes: return b""
with brama.guard("x", include=[OSError], classify=lambda r: "failure") as call:
    n: int = call.result(5)
    call.failure("HTTP 503")
    call.failure(retry_after=timedelta(seconds=1))
    call.failure(retry_after="30")  # wrong
    call.failure(duration=timedelta(seconds=1), retry_after=5)
    call.success(duration=7.5)
    call.success(duration="30")  # wrong
brama.circuit("x", fallback_on="sometimes")  # wrong
handle = brama.connection("x")
def add(a: int, *, b: int = 0) -> int: return a + b
handle.call(add, 1, b=2).bit_length()
handle.call(add, "1")  # wrong
handle.call(add)  # wrong
handle.call(add, 1, c=2)  # wrong
handle.failure("HTTP 503")
handle.open_circuit("deploy", expiry=brama.NEVER)
brama.failure("x", "HTTP 503")  # wrong
def answer(value: object) -> brama.Outcome: return brama.Outcome.SUCCESS
classify: brama.Classifier = answer
failures: brama.Exceptions = [OSError]
brama.guard("x", include=failures, classify=classify)
brama.CircuitOpen()
brama.CircuitOpen(retry_after=5, identifier="x")
brama.CircuitOpen(after=5)  # wrong
@brama.circuit  # wrong
def bare(a: int) -> int: return a
status: brama.Status = brama.status("x")
"""


@pytest.mark.parametrize("tool", ["mypy", "pyright"])
def test_a_users_mistakes_are_found(installed: Path, tool: str) -> None:
    (installed / "user.py").write_text(USER)
    options = ["--strict", "--no-error-summary"] if tool == "mypy" else []
    report = run(tool, *options, "user.py", cwd=installed)
    wrong = {n for n, line in enumerate(USER.splitlines(), 1) if line.endswith("# wrong")}
    found = {int(n) for n in re.findall(r"user\.py:(\d+):.*error", report)}
    assert found == wrong, report
