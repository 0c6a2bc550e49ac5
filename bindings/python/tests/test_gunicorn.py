"""The `gunicorn.conf.py` of `docs/in-production.md`, in a server that is stopped and started."""

from __future__ import annotations

import re
import subprocess
import sys
import threading
import urllib.request
from pathlib import Path

from conftest import SOURCE

PAGE = (SOURCE / "docs" / "in-production.md").read_text()
APPLICATION = """
import brama
@brama.circuit("backend", max_attempts=2, expiry=60_000, fallback=lambda: b"cached")
def backend():
    raise OSError
def application(environ, start):
    try:
        body = backend()
    except OSError:
        body = b"error"
    start("200 OK", [("Content-Type", "text/plain")])
    return [b"%s %d" % (body, brama.status("backend").total_failures)]
"""


def answers(folder: Path, number: int) -> list[str]:
    """What a server answers from its start on, until it is stopped."""
    command = [sys.executable, "-m", "gunicorn", "-b", "127.0.0.1:0", "application"]
    server = subprocess.Popen(command, cwd=folder, stderr=subprocess.PIPE, text=True)
    # Kills a server that does not start or does not end.
    limit = threading.Timer(60, server.kill)
    limit.start()
    try:
        assert server.stderr is not None
        said, port, found = [], "", []
        for line in server.stderr:
            said.append(line)
            if "Listening at" in line:
                port = line.split("http://127.0.0.1:")[1].split()[0]
            if "Booting worker" in line:
                break
        assert port, said
        for _ in range(number):
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=20) as response:
                found.append(response.read().decode())
        server.terminate()
        rest = server.stderr.read()
        assert server.wait(20) == 0 and "Traceback" not in rest, rest
        return found
    finally:
        limit.cancel()
        server.kill()
        server.wait()
        assert server.stderr is not None
        server.stderr.close()


def test_circuits_outlive_a_server(tmp_path: Path) -> None:
    (found,) = re.findall(r"^```python gunicorn.conf.py\n(.*?)^```$", PAGE, re.M | re.S)
    (tmp_path / "gunicorn.conf.py").write_text(found)
    (tmp_path / "application.py").write_text(APPLICATION)
    assert answers(tmp_path, 3) == ["error 1", "error 2", "cached 2"]
    assert [path.name for path in tmp_path.glob("circuits*")] == ["circuits.brama"]
    assert answers(tmp_path, 1) == ["cached 2"]
    (tmp_path / "circuits.brama").write_bytes(b"damaged")
    assert answers(tmp_path, 1) == ["error 1"]
