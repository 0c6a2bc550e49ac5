"""What the package knows of the C ABI is what its header says."""

from __future__ import annotations

import ctypes
import re

import pytest

from brama import _abi
from conftest import SOURCE

HEADER = (SOURCE.parents[1] / "include" / "brama.h").read_text()
LAYOUT = (SOURCE.parent / "c" / "tests" / "c" / "layout.txt").read_text()


def constant(name: str) -> int:
    found = re.search(
        rf"^#define BRAMA_{name} \(?(?:UINT\d+_C\()?(-?\w+)\)*$", HEADER, re.MULTILINE
    )
    assert found, name
    return int(found[1], 0)


def test_numbers() -> None:
    for name in ("OK", "NEVER", "NONE", "NOT_GIVEN_U64", "UNLIMITED", "ABI_VERSION", "PASS_LIMIT"):
        assert getattr(_abi, name) == constant(name), name
    for name in ("INVALID_ARGUMENT", "NOT_FOUND", "ALREADY_REGISTERED", "REJECTED", "STALE"):
        assert getattr(_abi, name) == constant(f"ERR_{name}"), name
    for name in ("INVALID_CONFIG", "SHUT_DOWN"):
        assert getattr(_abi, name) == constant(f"ERR_{name}"), name
    assert _abi.COALESCED == constant("EVENT_COALESCED")


def test_names() -> None:
    for number, name in enumerate(_abi.EVENT_TYPES, 1):
        assert constant(f"EVENT_{name.upper()}") == number
    assert f"#define BRAMA_EVENT_{_abi.EVENT_TYPES[-1].upper()} {len(_abi.EVENT_TYPES)}\n" in HEADER
    for number, name in enumerate(_abi.STATES):
        assert constant(f"STATE_{name.upper()}") == number
    for number, name in enumerate(_abi.STRATEGIES):
        assert constant(f"EXPIRY_{name.upper()}") == number


@pytest.mark.parametrize(
    ("name", "struct"),
    [
        ("pair", _abi.Pair),
        ("options", _abi.Options),
        ("config", _abi.Config),
        ("report", _abi.Report),
        ("permit", _abi.PermitWords),
        ("settings", _abi.EffectiveSettings),
        ("status", _abi.StatusWords),
        ("state_counts", _abi.StateCountWords),
        ("event", _abi.EventWords),
        ("filter", _abi.Filter),
        ("event_counts", _abi.EventCountWords),
    ],
)
def test_structs(name: str, struct: type[ctypes.Structure]) -> None:
    """Field by field, with what C compilers say of the header."""
    if ctypes.sizeof(ctypes.c_void_p) != 8:
        return  # They were asked on 64-bit machines.
    found = re.search(rf"^brama_{name}_t: size (\d+)\n((?:    .*\n)*)", LAYOUT, re.MULTILINE)
    assert found
    assert ctypes.sizeof(struct) == int(found[1])
    theirs = re.findall(r"^ +(\w+) +at +(\d+), size +(\d+)$", found[2], re.MULTILINE)
    ours = [
        (field[0], str(getattr(struct, field[0]).offset), str(getattr(struct, field[0]).size))
        for field in struct._fields_
    ]
    assert ours == theirs
