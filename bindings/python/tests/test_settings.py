"""Settings that are taken back, and those that do not apply because others came first."""

from __future__ import annotations

import ast
import dataclasses
import typing
import warnings
from datetime import timedelta
from typing import Any, Callable

import pytest

import brama
from conftest import TABLE, Program, World

#: For each kind of setting: a value that is no setting's default.
OTHER_OF_KIND: dict[str, Any] = {
    "attempts": 7,
    "calls": 7,
    "time": 70_000,
    "optional_time": 70_000,
    "factor": 7.0,
    "part": 0.25,
    "bounded_time": 70_000,
    "count": 7,
    "optional_calls": 700,
    "optional_rate": 0.25,
    "share": 0.25,
    "strategy": "progressive",
    "mode": "shadow",
    "flag": False,
}
OTHERS = {row.name: OTHER_OF_KIND[row.kind] for row in TABLE}
#: Settings that another setting needs.
NEEDED: dict[str, dict[str, Any]] = {"slow_call_rate": {"slow_call_duration": 70_000}}
#: The settings that one call can give together. Without `rate_window`, which `rate_calls` excludes,
#: and `half_open_successes`, which `half_open_failure_rate` excludes.
TOGETHER = {
    name: value
    for name, value in OTHERS.items()
    if name not in ("rate_window", "half_open_successes")
}

def settings_of(world: World, name: str = "x") -> dict[str, Any]:
    return dataclasses.asdict(world.manager.status(name).settings)


def test_what_type_checkers_see_has_every_setting() -> None:
    """Each has the type that the header's test asks for."""
    names = [row.name for row in TABLE]
    assert [field.name for field in dataclasses.fields(brama.Settings)] == names
    of_connections = list(typing.get_type_hints(brama.ConnectionSettings))
    assert of_connections == [*names, "initial_state", "metadata"]
    assert list(typing.get_type_hints(brama.ManagerSettings))[: len(names)] == names


def test_defaults_are_those_of_the_table(world: World) -> None:
    world.manager.register("x")
    words: dict[str, Any] = {"BRAMA_NONE": None, "BRAMA_NONE_F64": None, "true": True}
    words |= {"BRAMA_EXPIRY_FIXED": "fixed", "BRAMA_MODE_NORMAL": "normal"}
    found = settings_of(world)
    for row in TABLE:
        default = words[row.default] if row.default in words else ast.literal_eval(row.default)
        assert found[row.name] == default, row


@pytest.mark.parametrize("name", list(OTHERS))
def test_a_setting_that_is_taken_back_follows_the_manager_again(world: World, name: str) -> None:
    manager, inherit = world.manager, brama.INHERIT
    x = manager.register("x")
    defaults = settings_of(world)
    needed = NEEDED.get(name, {})
    x.configure(**{name: OTHERS[name]}, **needed)
    assert settings_of(world)[name] == OTHERS[name] != defaults[name]
    back: dict[str, Any] = {name: inherit, **dict.fromkeys(needed, inherit)}
    x.configure(**back)
    assert settings_of(world) == defaults
    manager.configure(**{name: OTHERS[name]})
    assert settings_of(world)[name] == OTHERS[name]
    manager.configure(**{name: inherit})
    assert settings_of(world) == defaults
    # `INHERIT` does nothing where there is nothing to take back.
    y = manager.register("y", **{name: inherit})
    assert dataclasses.asdict(y.status().settings) == defaults
    assert brama.Brama(background=False, **{name: inherit}).register("x").status().settings == (
        y.status().settings
    )


def test_none_of_a_connection_is_a_setting_of_its_own(world: World) -> None:
    manager = world.manager
    x = manager.register("x", window=None, cancelled_after=None, probe_timeout=None)
    manager.configure(window=1_000, cancelled_after=2_000, probe_timeout=3_000)
    settings = x.status().settings
    assert settings.window is settings.cancelled_after is settings.probe_timeout is None
    x.configure(window=brama.INHERIT)
    assert x.status().settings.window == 1_000


def test_rates_that_a_connection_does_without(world: World) -> None:
    manager = world.manager
    manager.configure(failure_rate=0.5, slow_call_rate=0.25, slow_call_duration=50, rate_calls=10)
    x = manager.register("x")
    settings = x.status().settings
    assert (settings.failure_rate, settings.slow_call_rate) == (0.5, 0.25)
    assert (settings.slow_call_duration, settings.rate_calls) == (50, 10)
    assert settings.minimum_calls == 10 and settings.max_attempts is None
    x.configure(failure_rate=None, slow_call_rate=None, slow_call_duration=None, rate_calls=None)
    settings = x.status().settings
    assert settings.failure_rate is settings.slow_call_rate is None
    assert settings.slow_call_duration is settings.rate_calls is None
    assert (settings.minimum_calls, settings.max_attempts) == (20, 5)
    assert settings.rate_window == 10_000


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (
            {"rate_window": 2_000, "rate_calls": 100},
            "`rate_calls` = 100: cannot be given together with `rate_window`",
        ),
        (
            {"minimum_calls": 31, "rate_calls": 30},
            "`minimum_calls` = 31: must be at most `rate_calls` (30)",
        ),
        (
            {"half_open_failure_rate": 0.25, "half_open_successes": 2},
            "`half_open_failure_rate` = 0.25: cannot be given together with `half_open_successes`",
        ),
        (
            {"slow_call_rate": 0.5},
            "`slow_call_rate` = 0.5: needs a `slow_call_duration` in effect",
        ),
    ],
)
def test_settings_that_contradict_each_other(
    world: World, given: dict[str, Any], says: str
) -> None:
    manager = world.manager
    x = manager.register("x")
    before = x.status().settings
    operations: list[Callable[[], object]] = [
        lambda: x.configure(jitter=0.5, **given),
        lambda: manager.configure("x", jitter=0.5, **given),
        lambda: manager.register("y", jitter=0.5, **given),
        lambda: manager.get_or_register("y", jitter=0.5, **given),
    ]
    if "slow_call_rate" not in given:  # A manager may give it without a duration.
        operations.append(lambda: manager.configure(jitter=0.5, **given))
        operations.append(lambda: brama.Brama(jitter=0.5, **given))
    for operation in operations:
        with pytest.raises(brama.InvalidConfig) as told:
            operation()
        assert str(told.value) == f"invalid setting {says}"
    assert x.status().settings == before and manager.state("y") == "unknown"


def test_the_nearest_window_of_rates_decides(world: World) -> None:
    manager = world.manager
    manager.configure(rate_calls=100)
    x = manager.register("x", rate_window=timedelta(seconds=2))
    assert x.status().settings.rate_calls is None
    assert x.status().settings.rate_window == 2_000
    x.configure(rate_window=brama.INHERIT)
    assert x.status().settings.rate_calls == 100
    manager.configure(rate_window=5_000)
    x.configure(rate_calls=50)
    assert x.status().settings.rate_calls == 50
    x.configure(rate_calls=brama.INHERIT)
    assert x.status().settings.rate_calls is None
    assert x.status().settings.rate_window == 5_000


def test_the_nearest_rule_of_probes_decides(world: World) -> None:
    manager = world.manager
    manager.configure(half_open_failure_rate=0.5)
    x = manager.register("x", half_open_successes=2)
    assert x.status().settings.half_open_failure_rate is None
    assert x.status().settings.half_open_successes == 2
    x.configure(half_open_successes=brama.INHERIT)
    assert x.status().settings.half_open_failure_rate == 0.5
    manager.configure(half_open_successes=4)
    x.configure(half_open_failure_rate=0.25)
    assert x.status().settings.half_open_failure_rate == 0.25
    x.configure(half_open_failure_rate=None, half_open_successes=3)
    assert x.status().settings.half_open_failure_rate is None
    assert x.status().settings.half_open_successes == 3


def test_what_a_manager_alone_has_is_taken_back(world: World) -> None:
    manager = world.manager
    manager.configure(auto_register=True, inactive_threshold=5, cleanup_interval=1)
    manager.success("x")
    world.later(10)
    assert manager.state("x") == "unknown"
    manager.configure(
        auto_register=brama.INHERIT,
        inactive_threshold=brama.INHERIT,
        cleanup_interval=brama.INHERIT,
    )
    with pytest.raises(brama.NotFound):
        manager.success("x")
    manager.register("x")
    world.later(60_000)
    assert manager.state("x") == "closed"


def test_what_cannot_be_taken_back(world: World) -> None:
    inherit: Any = brama.INHERIT
    for given in ("background", "event_capacity"):
        with pytest.raises((TypeError, brama.InvalidConfig)):
            brama.Brama(**{given: inherit})
    with pytest.raises(TypeError, match="metadata"):
        world.manager.register("x", metadata=inherit)
    assert repr(inherit) == "brama.INHERIT"


def test_settings_that_do_not_apply_warn_once_for_each_name(world: World) -> None:
    manager = world.manager
    notices = manager.events("notice")
    for scope in (None, "s"):
        manager.register("x", scope=scope, max_attempts=2, expiry=9, metadata={"a": "b"})
        with pytest.warns(UserWarning) as told:
            manager.get_or_register(
                "x", scope=scope, max_attempts=3, expiry=9, jitter=0.5, metadata={}
            )
            manager.get_or_register("x", scope=scope, max_attempts=4)
            manager.circuit("x", scope=scope, expiry=10)(len)
        (warning,) = told
        text = str(warning.message)
        assert text.endswith("keeps its own: max_attempts, jitter, metadata"), text
        assert ("in scope 's'" in text) == (scope is not None)
        assert warning.filename == __file__
    assert [event.scope for event in notices.drain()] == [None, "s"]


def test_a_decorator_whose_settings_do_not_apply_warns_where_it_stands(world: World) -> None:
    manager = world.manager
    manager.register("x")
    with pytest.warns(UserWarning, match="max_attempts") as told:

        @manager.circuit("x", max_attempts=3)
        def guarded() -> int:
            return 1

    assert told[0].filename == __file__ and guarded() == 1
    manager.register("y")

    by_argument = manager.circuit(lambda name: name, max_attempts=3)(lambda name: name)
    with pytest.warns(UserWarning, match="'y'") as told:
        assert by_argument("y") == "y"
    assert told[0].filename == __file__


def test_settings_that_apply_do_not_warn(world: World) -> None:
    """In this test run all warnings are errors."""
    manager = world.manager
    for name, value in OTHERS.items():
        for _ in range(2):
            manager.get_or_register(name, **{name: value}, **NEEDED.get(name, {}))
        manager.get_or_register("all", **TOGETHER, metadata={"k": "v"})
        if name in TOGETHER:
            manager.get_or_register("all", **{name: value})
        manager.get_or_register(name, **{name: brama.INHERIT})
        manager.get_or_register(name)
        manager.get_or_register(name, metadata={})
    for text in ("fixed", brama.ExpiryStrategy.FIXED):
        manager.get_or_register("fixed", expiry_strategy=text)
    for none in (None, brama.UNLIMITED):
        manager.get_or_register("unlimited", max_attempts=none)
    manager.configure("all", max_attempts=1)
    with pytest.warns(UserWarning):
        manager.get_or_register("all", max_attempts=7)


def test_a_warning_that_is_raised_leaves_nothing_behind(world: World) -> None:
    manager = world.manager
    manager.register("x")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(UserWarning):
            manager.get_or_register("x", max_attempts=1)
    assert manager.get_or_register("x", max_attempts=1).status().settings.max_attempts == 5


def test_a_warning_names_the_line_of_the_program(program: Program) -> None:
    out = program(
        """
    import warnings, brama
    told = []
    warnings.showwarning = lambda text, kind, file, line, *_: told.append((kind.__name__, line))
    brama.register("x")
    @brama.circuit("x", max_attempts=3)
    def f(): pass
    brama.get_or_register("x", max_attempts=4)
    brama.register("y")
    brama.get_or_register("y", max_attempts=4)
    print(told)
    """
    )
    assert out.strip() in (
        "[('UserWarning', 6), ('UserWarning', 10)]",
        "[('UserWarning', 7), ('UserWarning', 10)]",
    )
