"""Puts the shared library into wheels and editable installs, and its source into sdists.

The library is the workspace's package `brama-capi`. `cargo` compiles it from the workspace
that contains this folder, or from the copy in the folder `rust/` of a source distribution.
That copy has only the members that the library needs, so its manifest names only those.
`$BRAMA_PREBUILT` names a library to use instead of compiling one. The wheel works with every
Python 3, so its tag names only the platform.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

LIBRARY = {"win32": "brama.dll", "darwin": "libbrama.dylib"}.get(sys.platform, "libbrama.so")

#: The workspace's members that a source distribution contains, in addition to the root.
MEMBERS = ["bindings/c"]


class BuildHook(BuildHookInterface):  # type: ignore[type-arg]
    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if self.target_name == "sdist":
            self.add_manifest(build_data)
        else:
            self.add_library(version, build_data)

    def add_manifest(self, build_data: dict[str, Any]) -> None:
        """Adds the workspace's manifest, reduced to the members that the sdist contains."""
        manifest = (Path(self.root).parents[1] / "Cargo.toml").read_text("utf-8")
        members = f"members = {json.dumps(MEMBERS)}"
        reduced, found = re.subn(r"^members = \[.*\]$", members, manifest, flags=re.MULTILINE)
        if found != 1:
            raise SystemExit("brama: the workspace's manifest has no line `members = [...]`")
        self.scratch = tempfile.TemporaryDirectory()
        path = Path(self.scratch.name, "Cargo.toml")
        path.write_text(reduced, "utf-8")
        build_data["force_include"][str(path)] = "rust/Cargo.toml"

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        if self.target_name == "sdist":
            self.scratch.cleanup()

    def add_library(self, version: str, build_data: dict[str, Any]) -> None:
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
        carried = Path(self.root, "rust")
        checkout = Path(self.root).parents[1]
        cargo = os.environ.get("CARGO", "cargo")
        command = [cargo, "build", "--release", "-p", "brama-capi", "--message-format=json"]
        if (carried / "Cargo.toml").is_file():
            # Not `--locked`: Cargo removes from the lock file what only the missing members need.
            workspace = carried
        elif (checkout / "Cargo.toml").is_file():
            workspace = checkout
            command.append("--locked")
        else:
            raise SystemExit(f"brama: the Rust sources are not where {self.root} is")
        try:
            built = subprocess.run(command, cwd=workspace, stdout=subprocess.PIPE, check=True)
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


def get_build_hook() -> type[BuildHook]:
    return BuildHook
