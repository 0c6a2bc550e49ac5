"""Puts the shared library beside the package, in wheels and editable installs.

It is compiled by `cargo`, from the crate that this folder lies in, or from the copy of it
that the source distribution carries in `rust/`. `$BRAMA_PREBUILT` names a library to take
instead. The wheel works with every Python 3, so that its tag names only the platform.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

LIBRARY = {"win32": "brama.dll", "darwin": "libbrama.dylib"}.get(sys.platform, "libbrama.so")


class SharedLibrary(BuildHookInterface):  # type: ignore[type-arg]
    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        prebuilt = os.environ.get("BRAMA_PREBUILT")
        library = Path(prebuilt).resolve() if prebuilt else self.compile()
        if not library.is_file():
            raise SystemExit(f"brama: there is no library {library}")
        if version == "editable":
            shutil.copy2(library, Path(self.root, "src", "brama", LIBRARY))
        else:
            build_data["force_include"][str(library)] = f"brama/{LIBRARY}"
        build_data["pure_python"] = False
        platform = sysconfig.get_platform().replace("-", "_").replace(".", "_")
        build_data["tag"] = f"py3-none-{platform}"

    def compile(self) -> Path:
        root = Path(self.root)
        crate = next(
            (c for c in (root / "rust", root.parents[1]) if (c / "Cargo.toml").is_file()), None
        )
        if crate is None:
            raise SystemExit(f"brama: the Rust sources are not where {root} is")
        cargo = os.environ.get("CARGO", "cargo")
        command = [cargo, "build", "--release", "--lib", "--locked", "--message-format=json"]
        try:
            built = subprocess.run(command, cwd=crate, stdout=subprocess.PIPE, check=True)
        except FileNotFoundError:
            raise SystemExit(
                "brama: building needs Rust, and there is no `cargo` (https://rustup.rs)"
            ) from None
        except subprocess.CalledProcessError as error:
            raise SystemExit(f"brama: {' '.join(command)} failed: {error}") from None
        for line in built.stdout.splitlines():
            message = json.loads(line)
            for file in message.get("filenames", []):
                if Path(file).name == LIBRARY:
                    return Path(file)
        raise SystemExit(f"brama: {' '.join(command)} has built no {LIBRARY}")


def get_build_hook() -> type[SharedLibrary]:
    return SharedLibrary
