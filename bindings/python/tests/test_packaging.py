"""The package as it is built and installed, from the source tree and from an sdist."""

from __future__ import annotations

import os
import platform
import re
import subprocess
import sys
import tarfile
import venv
import zipfile
from pathlib import Path
from typing import Any

import pytest

import brama
from conftest import SOURCE

#: The library of the installed package. The builds here use it instead of compiling one.
PREBUILT = brama._abi.LIBRARY  # type: ignore[attr-defined]


def run(*command: object, cwd: Path, **environment: str) -> str:
    done = subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        env={**os.environ, "BRAMA_PREBUILT": PREBUILT, **environment},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, (command, done.stdout, done.stderr)
    return done.stdout


def build(kind: str, source: Path, folder: Path) -> Path:
    """Runs the build backend, as `pip` and `build` do."""
    code = f"from hatchling.build import build_{kind} as b; print(b({str(folder)!r}))"
    return folder / run(sys.executable, "-c", code, cwd=source).split()[-1]


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The unpacked source distribution."""
    folder = tmp_path_factory.mktemp("sdist")
    with tarfile.open(build("sdist", SOURCE, folder)) as archive:
        # The first versions of Python 3.9 have no filters, and need none.
        keep = getattr(tarfile, "data_filter", lambda member, path: member)
        archive.extraction_filter = keep  # type: ignore[attr-defined]
        archive.extractall(folder)
    return next(path for path in folder.iterdir() if path.is_dir())


def relative(folder: Path, pattern: str) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob(pattern) if path.is_file()}


def test_a_wheel_fits_every_python_3_of_its_platform(tmp_path: Path) -> None:
    wheel = build("wheel", SOURCE, tmp_path)
    assert wheel.name.startswith(f"brama-{brama.__version__}-py3-none-"), wheel.name
    assert not wheel.name.endswith("-any.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        metadata = archive.read(f"brama-{brama.__version__}.dist-info/METADATA").decode()
    assert {"brama/py.typed", f"brama/{Path(PREBUILT).name}"} <= names
    assert {f"brama/{path.name}" for path in (SOURCE / "src/brama").glob("*.py")} <= names
    assert sum("/licenses/LICENSE" in name for name in names) == 3
    assert "Requires-Dist" not in metadata and "License-Expression: MIT OR Apache-2.0" in metadata
    assert "Author: The brama maintainers" in metadata and "Requires-Python: >=3.9" in metadata
    assert "http" not in metadata.split("\n\n")[0], "no address is invented"


def test_what_is_published(tmp_path: Path) -> None:
    """A wheel with a manylinux tag, which `pip` installs, and a source distribution."""
    run(sys.executable, SOURCE / "build_wheels.py", tmp_path / "dist", cwd=tmp_path)
    version = re.escape(brama.__version__)
    names = sorted(path.name for path in (tmp_path / "dist").iterdir())
    machine = re.escape(platform.machine())
    wheel = rf"brama-{version}-py3-none-manylinux_2_\d+_{machine}\.whl"
    if sys.platform == "linux":
        assert re.fullmatch(wheel, names[0]), names
    assert names[1:] == [f"brama-{brama.__version__}.tar.gz"]
    options = ("--no-deps", "--no-index", "--target", tmp_path / "site")
    run(
        sys.executable,
        "-m",
        "pip",
        "install",
        "-q",
        *options,
        tmp_path / "dist" / names[0],
        cwd=tmp_path,
    )
    code = "import brama; brama.register('x'); print(brama.__file__, brama.available('x'))"
    out = run(
        sys.executable,
        "-c",
        code,
        cwd=tmp_path,
        PYTHONPATH=str(tmp_path / "site"),
        BRAMA_LIBRARY="",
    )
    assert out.split() == [str(tmp_path / "site" / "brama" / "__init__.py"), "True"]


def test_an_sdist_has_what_the_library_is_built_of(sdist: Path, tmp_path: Path) -> None:
    workspace = SOURCE.parents[1]
    for folder in ("src", "bindings/c/src"):
        assert relative(sdist / "rust" / folder, "*.rs") == relative(workspace / folder, "*.rs")
    for file in ("Cargo.lock", "build.rs", "bindings/c/Cargo.toml", "bindings/c/build.rs"):
        assert (sdist / "rust" / file).read_bytes() == (workspace / file).read_bytes()
    assert not list(sdist.rglob("*.so"))
    assert build("wheel", sdist, tmp_path).is_file()


def test_cargo_finds_the_library_in_an_sdist(sdist: Path) -> None:
    """All members and targets that the manifests name are there."""
    cargo = os.environ.get("CARGO", "cargo")
    check = (cargo, "check", "-p", "brama-capi", "--offline", "--target-dir", sdist / "target")
    run(*check, cwd=sdist / "rust")


def test_an_editable_install(sdist: Path, tmp_path: Path) -> None:
    """Installs the unpacked sdist, which puts the library into the source tree."""
    venv.create(tmp_path / "venv", with_pip=False)
    (python,) = tmp_path.glob("venv/*/python")
    options = ("install", "-q", "--no-build-isolation", "--no-deps", "--no-index", "-e")
    site = run(
        python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=tmp_path
    ).strip()
    run(sys.executable, "-m", "pip", *options, sdist, "--target", site, cwd=tmp_path)
    code = "import brama; print(brama.__file__)"
    found = run(python, "-c", code, cwd=tmp_path).strip()
    assert Path(found) == sdist / "src/brama/__init__.py"


def test_the_library_is_beside_the_package_or_where_the_environment_says(
    program: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "another.so"
    elsewhere.write_bytes(Path(PREBUILT).read_bytes())
    monkeypatch.setenv("BRAMA_LIBRARY", str(elsewhere))
    code = "import brama; print(brama._abi.LIBRARY, brama.available('x'))"
    assert program(code).split() == [str(elsewhere), "False"]
