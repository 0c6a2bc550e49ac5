"""Bad input: an error that names it, nothing changed, no crash."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

import brama
from conftest import TABLE, World

BAD_NAMES = ["", "a\0b", "\0", "\ud800", "x" * 1025, "x" * (1 << 20), "ü" * 513]
NOT_STRINGS: list[Any] = [None, 3, b"x", ["x"], object()]


@pytest.mark.parametrize("bad", BAD_NAMES, ids=lambda bad: ascii(bad)[:12])
def test_bad_names(world: World, bad: str) -> None:
    manager = world.manager
    for operation in (
        manager.register,
        manager.get_or_register,
        manager.connection,
        manager.unregister,
        manager.success,
        manager.failure,
        manager.acquire,
        manager.status,
        manager.open_circuit,
        manager.close_circuit,
        manager.reset_circuit,
    ):
        with pytest.raises(brama.InvalidArgument, match="`identifier` = .*1 to 1024 bytes") as told:
            operation(bad)
        assert len(str(told.value)) < 3_000
        with pytest.raises(brama.InvalidArgument, match="`scope`"):
            operation("x", scope=bad)
    with pytest.raises(brama.InvalidArgument):
        manager.circuit(bad)(lambda: 1)
    with pytest.raises(brama.InvalidArgument, match="connection"):
        manager.subscribe(connection=bad)
    assert manager.snapshot() == []


def test_the_longest_names_are_fine(world: World) -> None:
    x = world.manager.register("x" * 1024, scope="ü" * 512)
    assert world.manager.state("x" * 1024, scope="ü" * 512) == "closed"
    assert world.manager.snapshot()[0].scope == x.scope


@pytest.mark.parametrize("bad", NOT_STRINGS, ids=repr)
def test_names_of_a_wrong_type(world: World, bad: Any) -> None:
    for operation in (world.manager.register, world.manager.success, world.manager.guard):
        with pytest.raises(TypeError, match="identifier must be a str, not"):
            operation(bad)
    if bad is not None:
        with pytest.raises(TypeError, match="scope must be a str, not"):
            world.manager.available("x", scope=bad)


#: For each kind of setting: values out of range, each with a part of the error's message.
OUT_OF_RANGE: dict[str, list[tuple[Any, str]]] = {
    "attempts": [
        (0, "at least 1"),
        (-1, "must be"),
        (1 << 32, "must be"),
        # Numbers with a special meaning for the library.
        ((1 << 32) - 1, "must be"),
        ((1 << 32) - 4, "must be"),
    ],
    "calls": [(0, "1 to 65535"), (65_536, "1 to 65535"), (-1, "must be"), ((1 << 32) - 1, "must")],
    "time": [
        (0, "at least 1 ms"),
        (-5, "must be"),
        (1 << 64, "must be"),
        ((1 << 64) - 1, "must be"),
        ((1 << 64) - 4, "must be"),
        (1 << 20_000, "must be"),
        (timedelta(milliseconds=-1), "must be"),
        (timedelta(0), "at least 1 ms"),
    ],
    "factor": [
        (0.5, "at least 1.0"),
        (float("nan"), "finite"),
        (float("inf"), "finite"),
        (10**400, "finite"),
        (-1.0e300, "at least 1.0"),
    ],
    "part": [
        (1.5, "0.0 to 1.0"),
        (-0.1, "0.0 to 1.0"),
        (float("nan"), "0.0 to 1.0"),
        (-2.0e300, "0.0 to 1.0"),
    ],
    "bounded_time": [
        (0, "1000 to 3600000 ms"),
        (999, "1000 to 3600000 ms"),
        (3_600_001, "1000 to 3600000 ms"),
        (-5, "1000 to 3600000 ms"),
        ((1 << 64) - 1, "1000 to 3600000 ms"),
        (1 << 64, "1000 to 3600000 ms"),
        (timedelta(milliseconds=-1), "1000 to 3600000 ms"),
        (timedelta(milliseconds=999), "1000 to 3600000 ms"),
        (timedelta(hours=1, microseconds=1), "1000 to 3600000 ms"),
    ],
    "count": [
        (0, "at least 1"),
        (-1, "1 to 4294967295"),
        (1 << 32, "1 to 4294967295"),
        (1 << 64, "1 to 4294967295"),
    ],
    "optional_calls": [
        (0, "10 to 100000"),
        (9, "10 to 100000"),
        (100_001, "10 to 100000"),
        (-1, "10 to 100000"),
        ((1 << 32) + 50, "10 to 100000"),
        ((1 << 64) - 4, "10 to 100000"),
        (1 << 20_000, "10 to 100000"),
    ],
    "optional_rate": [
        (0, "above 0.0 and at most 1.0"),
        (0.0, "above 0.0 and at most 1.0"),
        (-0.0, "above 0.0 and at most 1.0"),
        (-0.1, "above 0.0 and at most 1.0"),
        (1.1, "above 0.0 and at most 1.0"),
        (50, "above 0.0 and at most 1.0"),
        (float("nan"), "above 0.0 and at most 1.0"),
        (float("inf"), "above 0.0 and at most 1.0"),
        (float("-inf"), "above 0.0 and at most 1.0"),
        (10**400, "finite"),
        # Numbers with a special meaning for the library.
        (-1.0e300, "above 0.0 and at most 1.0"),
        (-2.0e300, "above 0.0 and at most 1.0"),
        (-3.0e300, "above 0.0 and at most 1.0"),
    ],
    "strategy": [("random", "progressive"), ("", "progressive")],
    "mode": [("off", "shadow"), ("", "shadow")],
    "flag": [],
}
OUT_OF_RANGE["optional_time"] = OUT_OF_RANGE["time"]
OUT_OF_RANGE["share"] = OUT_OF_RANGE["optional_rate"]
#: For each kind of setting: values of a wrong type.
WRONG_TYPE: dict[str, list[Any]] = {
    "attempts": ["3", 3.0, True],
    "calls": [None, "3", 3.0, True, brama.UNLIMITED],
    "time": [None, 1.5, "1s", True, brama.NEVER],
    "optional_time": [0.5, "1s", True, brama.NEVER],
    "factor": [None, "0.1", True],
    "part": [None, "0.1", True],
    "bounded_time": [None, 1_000.0, "1s", True, brama.NEVER],
    "count": [None, "3", 3.0, True, brama.UNLIMITED],
    "optional_calls": ["30", 30.0, True, False, brama.UNLIMITED, brama.NEVER],
    "optional_rate": ["0.1", True, False, brama.NEVER],
    "share": [None, "0.1", True, False, brama.NEVER],
    "strategy": [None, 1],
    "mode": [None, 1],
    "flag": [None, 0, 1, "on"],
}


@pytest.mark.parametrize(
    ("setting", "value", "allowed"),
    [(row.name, value, allowed) for row in TABLE for value, allowed in OUT_OF_RANGE[row.kind]],
    ids=lambda value: "" if isinstance(value, int) else str(value)[:20],
)
def test_settings_out_of_range(world: World, setting: str, value: Any, allowed: str) -> None:
    manager = world.manager
    x = manager.register("x")
    before = x.status().settings
    for operation in (
        lambda: manager.register("y", **{setting: value}),
        lambda: (
            manager.configure("x", max_attempts=3, **{setting: value})
            if setting != "max_attempts"
            else manager.configure("x", **{setting: value})
        ),
        lambda: manager.configure(**{setting: value}),
        lambda: x.configure(**{setting: value}),
        lambda: brama.Brama(**{setting: value}),
    ):
        with pytest.raises(brama.InvalidConfig, match=f"`{setting}` = .*{allowed}") as told:
            operation()
        assert len(str(told.value)) < 200
    assert x.status().settings == before
    assert manager.state("y") == "unknown"


@pytest.mark.parametrize("value", [-0.5, float("-inf"), -3.0e300, 4294967292, 4294967295.0, 2.0**64])
def test_a_refused_number_is_shown_as_it_was_given(world: World, value: float) -> None:
    """The message shows the number, not the C constant with the same value."""
    for row in TABLE:
        if row.kind in ("part", "optional_rate", "share"):
            with pytest.raises(brama.InvalidConfig) as told:
                world.manager.register("x", **{row.name: value})
            shown = str(told.value)
            assert shown.startswith(f"invalid setting `{row.name}` = {value!r}: must be "), shown
            assert "BRAMA" not in shown


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        *((row.name, value) for row in TABLE for value in WRONG_TYPE[row.kind]),
        ("metadata", 3),
        ("metadata", {1: "x"}),
        ("metadata", {"x": None}),
    ],
)
def test_settings_of_a_wrong_type(world: World, setting: str, value: Any) -> None:
    with pytest.raises(TypeError, match=setting):
        world.manager.register("x", **{setting: value})


def test_unknown_settings_are_named(world: World) -> None:
    manager = world.manager
    arguments: dict[str, Any] = {"max_atempts": 3}
    for operation in (
        lambda: manager.register("x", **arguments),
        lambda: manager.get_or_register("x", **arguments),
        lambda: manager.circuit("x", **arguments),
        lambda: manager.configure("x", **arguments),
        lambda: manager.configure(**arguments),
        lambda: brama.Brama(**arguments),
    ):
        with pytest.raises(TypeError, match="'max_atempts'.*max_attempts"):
            operation()
    with pytest.raises(TypeError, match="metadata"):
        manager.configure(metadata={})


def test_settings_of_managers(world: World) -> None:
    for name in ("cleanup_interval", "inactive_threshold"):
        with pytest.raises(brama.InvalidConfig, match=name):
            brama.Brama(**{name: 0})  # type: ignore[arg-type]
    for name in ("background", "auto_register"):
        with pytest.raises(TypeError, match=f"{name} must be a bool"):
            brama.Brama(**{name: 1})  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="ManualClock"):
        brama.Brama(clock=3)  # type: ignore[arg-type]
    for capacity in (0, -1, 1 << 70, 1 << 40):
        with pytest.raises(brama.InvalidConfig, match="capacity"):
            brama.Brama(event_capacity=capacity)
        with pytest.raises(brama.InvalidConfig, match="capacity"):
            world.manager.subscribe(capacity=capacity)
    for name, value in {"background": True, "event_capacity": 5, "clock": world.clock}.items():
        with pytest.raises(brama.InvalidConfig, match=f"{name}.*only be given to Brama"):
            world.manager.configure(**{name: value})
    with pytest.raises(brama.InvalidArgument, match="scope"):
        world.manager.configure(scope="s", max_attempts=3)


def test_reports(world: World) -> None:
    x = world.manager.register("x")
    with pytest.raises(TypeError, match="reason must be a str, not OSError"):
        x.failure(reason=OSError())  # type: ignore[arg-type]
    bad: Any
    for bad in (3, {1: "x"}, {"x": None}, {"x": b"y"}):
        with pytest.raises(TypeError, match="metadata"):
            x.failure(metadata=bad)
    for expiry in (0, -1, 1 << 64, timedelta(-1)):
        with pytest.raises(brama.InvalidArgument, match="expiry"):
            x.open_circuit(expiry=expiry)
    with pytest.raises(TypeError, match="expiry"):
        x.open_circuit(expiry=1.5)  # type: ignore[arg-type]
    permit = x.acquire()
    with pytest.raises(TypeError):
        permit.failure(5)  # type: ignore[arg-type]
    assert not permit.reported, "a report that was refused has not been made"
    assert x.status().total_failures == x.status().total_successes == 0


def test_the_longest_timedelta_is_a_length_as_others_are(world: World) -> None:
    x = world.manager.register("x", expiry=timedelta.max)
    assert x.status().settings.expiry == 999_999_999 * 86_400_000 + 86_400_000
    x.open_circuit(expiry=timedelta.max)
    assert x.state() == "open" and world.manager.shutdown(timedelta.max) == 0


def test_text_costs_no_report(world: World) -> None:
    """Bad text is made valid, and the event says so."""
    manager = world.manager
    x = manager.register("x", max_attempts=brama.UNLIMITED)
    stream = manager.events(["failure", "success", "circuit_opened"])
    texts = {
        "a\0b": "a\ufffdb",
        "\udcff": "\ufffd" * 3,
        "y" * (1 << 20): "y" * 1_024,
        "é" * 600: "é" * 512,
    }
    for n, (text, kept) in enumerate(texts.items()):
        details = {"k": text}
        assert x.failure(reason=text, metadata=details) == 1
        assert manager.failure("x", reason=text, metadata=details) == 2
        with x.guard() as call:
            assert call.failure(text, metadata=details) == 3
        assert x.acquire().failure(text, metadata=details) == 4
        x.success(metadata=details)
        x.open_circuit(reason=text, metadata=details)
        x.reset_circuit()
        events = stream.drain()
        assert [event.type for event in events] == [*["failure"] * 4, "success", "circuit_opened"]
        for event in events:
            assert event.reason == (None if event.type == "success" else kept)
            assert event.metadata == {"k": kept} and event.truncated
        assert x.status().total_failures == 4 * (n + 1)
        x.success(metadata={text: ""})
        (event,) = stream.drain()
        assert event.truncated and event.metadata in ({}, {kept: ""})
    x.failure(reason="z" * 1_024, metadata={"k": "z" * 1_024})
    assert not stream.drain()[0].truncated


def test_exceptions_whose_text_is_hostile_are_failures(world: World) -> None:
    class Hostile(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no text")

    stream = world.manager.events("failure")
    texts = ["a\0b", "\ud800", "z" * (1 << 20), ""]
    for error in [Hostile(), *map(ValueError, texts)]:
        with pytest.raises(type(error)):
            with world.manager.get_or_register("x", max_attempts=99).guard():
                raise error
    reasons = [event.reason or "" for event in stream.drain()]
    assert reasons[:3] == ["Hostile", "ValueError: a\ufffdb", "ValueError: " + "\ufffd" * 3]
    assert reasons[3] == "ValueError: ".ljust(1_024, "z")
    assert reasons[4] == "ValueError"


def test_subscribing(world: World) -> None:
    subscribe = world.manager.subscribe
    with pytest.raises(
        brama.InvalidArgument, match="`events` = 'opened': must be one of .*circuit_opened"
    ):
        subscribe(events="opened")
    with pytest.raises(brama.InvalidArgument, match="must name a type"):
        subscribe(events=[])
    for bad in (3, [3], [None]):
        with pytest.raises(TypeError, match="events must be"):
            subscribe(events=bad)  # type: ignore[call-overload]
    with pytest.raises(TypeError, match="callback must be callable"):
        subscribe(3)  # type: ignore[call-overload]
    with pytest.raises(TypeError, match="filter must be callable"):
        subscribe(filter=3)  # type: ignore[call-overload]
    with pytest.raises(TypeError, match="subscription must be"):
        world.manager.unsubscribe(3)  # type: ignore[arg-type]
    with pytest.raises(brama.InvalidArgument, match="scope"):
        world.manager.snapshot(scope="a\0b")
    with pytest.raises(brama.InvalidArgument, match="timeout"):
        subscribe().get(timeout=-1)


def test_clocks() -> None:
    for bad in (-1, 1 << 64):
        with pytest.raises(brama.InvalidArgument, match="unix_ms"):
            brama.ManualClock(bad)
        with pytest.raises(brama.InvalidArgument, match="by"):
            brama.ManualClock().advance(bad)
    # A clock does not start at a number with a special meaning, such as "no time".
    for bad in (1 << 63, (1 << 64) - 3):
        with pytest.raises(brama.InvalidArgument, match="unix_ms"):
            brama.ManualClock(bad)
    assert brama.ManualClock((1 << 63) - 1).unix_ms == (1 << 63) - 1
    with pytest.raises(TypeError, match="by must be"):
        brama.ManualClock().advance(0.5)  # type: ignore[arg-type]
    clock = brama.ManualClock()
    clock.advance((1 << 63) - 1)
    assert clock.unix_ms > 1_000_000_000_000


def test_a_wrong_library_is_reported_at_import(program: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    text = """
        try:
            import brama
        except ImportError as error:
            print(error)
    """
    monkeypatch.setenv("BRAMA_LIBRARY", "/nowhere/libbrama.so")
    assert "/nowhere/libbrama.so" in program(text)
    import ctypes.util

    other = ctypes.util.find_library("c")
    assert other
    monkeypatch.setenv("BRAMA_LIBRARY", other)
    assert "brama_abi_version" in program(text)
