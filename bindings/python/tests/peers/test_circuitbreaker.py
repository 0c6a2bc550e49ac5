"""The test suite of the package `circuitbreaker`, on an adapter of ours.

`pip` downloads its source distribution, which contains the suite, into a cache folder. Tests
that differ on purpose are listed here with the reason. They fail, and no others do.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import xml.etree.ElementTree
from pathlib import Path

from conftest import SOURCE

VERSION = "2.1.3"
REPLACES_OPENED = (
    "The test replaces the property `opened` of the class, and expects that every circuit is "
    "open then. Here it is the library that admits a call; to look at the state and to ask "
    "for admission are different questions."
)
#: The reasons, by the name of the test without its parameters.
DIFFERENT = {
    "test_circuitbreaker_should_call_fallback_function_if_open": REPLACES_OPENED,
    "test_circuitbreaker_should_not_call_function_if_open": REPLACES_OPENED,
    "test_circuitbreaker_call_fallback_function_with_parameters": REPLACES_OPENED,
}


def suite() -> Path:
    """The folder of its tests."""
    target = os.environ.get("CARGO_TARGET_DIR") or SOURCE.parents[1] / "target"
    cache = Path(target, "peers")
    folder = cache / f"circuitbreaker-{VERSION}"
    if not (folder / "tests").is_dir():
        cache.mkdir(parents=True, exist_ok=True)
        download = ("pip", "download", "-q", "--no-deps", "--no-binary", "circuitbreaker")
        command = [sys.executable, "-m", *download, f"circuitbreaker=={VERSION}", "-d", str(cache)]
        subprocess.run(command, check=True, timeout=300)
        with tarfile.open(next(cache.glob(f"circuitbreaker-{VERSION}.tar.*"))) as archive:
            # The first versions of Python 3.9 have no filters, and need none.
            keep = getattr(tarfile, "data_filter", lambda member, path: member)
            archive.extraction_filter = keep  # type: ignore[attr-defined]
            archive.extractall(cache)
    return folder / "tests"


def test_the_suite_of_circuitbreaker(tmp_path: Path) -> None:
    tests, report = suite(), tmp_path / "report.xml"
    adapter = Path(__file__).parent / "adapter"
    path = [str(adapter), *filter(None, [os.environ.get("PYTHONPATH")])]
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"),
            *("-o", "asyncio_mode=auto", "--rootdir", str(tests), "-c", os.devnull),
            *(f"--junitxml={report}", str(tests)),
        ],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert report.is_file(), (done.stdout, done.stderr)
    cases = list(xml.etree.ElementTree.parse(report).iter("testcase"))
    assert len(cases) >= 60, done.stdout
    failed = {
        case.attrib["name"].split("[")[0]
        for case in cases
        if any(part.tag in ("failure", "error", "skipped") for part in case)
    }
    assert failed == set(DIFFERENT), done.stdout
