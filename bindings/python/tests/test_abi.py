"""The package's numbers and structs of the C ABI are those of the header."""

from __future__ import annotations

import ctypes
import re

import pytest

import brama
from brama import _abi, _values
from conftest import SOURCE, TABLE

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


def test_what_takes_a_setting_back() -> None:
    suffixes = {ctypes.c_int32: "I32", ctypes.c_uint32: "U32", ctypes.c_double: "F64"}
    real = re.search(r"BRAMA_INHERIT_F64 \((.*)\)$", HEADER, re.MULTILINE)
    assert real
    for name, kind in _abi.Config._fields_[1:-1]:
        suffix = suffixes.get(kind, "U64")
        expected = float(real[1]) if suffix == "F64" else constant(f"INHERIT_{suffix}")
        assert _abi.TAKES_BACK[name] == expected, name


def test_the_largest_numbers_are_below_all_that_have_a_meaning() -> None:
    assert _values.LARGEST_U64 + 1 == constant("NONE")
    assert _values.LONGEST < _values.LARGEST_U64
    assert _values.LARGEST_U32 + 1 == constant("NONE") % (1 << 32)


def test_a_rate_that_is_not_there() -> None:
    real = re.search(r"BRAMA_NONE_F64 \((.*)\)$", HEADER, re.MULTILINE)
    assert real and _abi.NONE_F64 == float(real[1])


def test_settings() -> None:
    """The settings of the package are those of the library's table."""
    assert len(TABLE) >= 12
    for row in TABLE:
        line = f'"{row.name}": "{row.kind}",'
        assert _abi.SETTINGS.get(row.name) == row.kind, f"_abi.SETTINGS needs the line {line}"
        assert _abi.field_of(row.name) == row.field
    assert list(_abi.SETTINGS) == [row.name for row in TABLE], "another order, or one too many"


def test_names() -> None:
    for number, name in enumerate(_abi.EVENT_TYPES, 1):
        assert constant(f"EVENT_{name.upper()}") == number
    assert f"#define BRAMA_EVENT_{_abi.EVENT_TYPES[-1].upper()} {len(_abi.EVENT_TYPES)}\n" in HEADER
    for number, name in enumerate(_abi.STATES):
        assert constant(f"STATE_{name.upper()}") == number
    for number, name in enumerate(_abi.STRATEGIES):
        assert constant(f"EXPIRY_{name.upper()}") == number
    causes = re.findall(r"^#define BRAMA_CAUSE_(\w+) (\d+)$", HEADER, re.MULTILINE)
    assert _abi.CAUSES == {int(number): name.lower() for name, number in causes if number != "0"}
    assert [cause.value for cause in brama.Cause] == list(_abi.CAUSES.values())


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
    """Compares each field with the layout that C compilers give the header's structs."""
    if ctypes.sizeof(ctypes.c_void_p) != 8:
        return  # The layouts are those of 64-bit machines.
    found = re.search(rf"^brama_{name}_t: size (\d+)\n((?:    .*\n)*)", LAYOUT, re.MULTILINE)
    assert found
    assert ctypes.sizeof(struct) == int(found[1])
    theirs = re.findall(r"^ +(\w+) +at +(\d+), size +(\d+)$", found[2], re.MULTILINE)
    ours = [
        (field[0], str(getattr(struct, field[0]).offset), str(getattr(struct, field[0]).size))
        for field in struct._fields_
    ]
    assert ours == theirs
