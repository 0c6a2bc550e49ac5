"""Copies, and garbage that is finalised in any order: at worst an exception is raised."""

from __future__ import annotations

import copy
import ctypes
import pickle
from typing import Any, Callable

import pytest

import brama
from conftest import Program, World


def owners(world: World) -> dict[str, Any]:
    """One object of each class that leads to an address of the library."""
    manager = world.manager
    x = manager.register("x")
    with x.guard() as call:
        pass
    stream = manager.events()
    return {
        "Brama": manager,
        "Connection": x,
        "Permit": x.acquire(),
        "Guard": x.guard(),
        "GuardedCall": call,
        "ManualClock": world.clock,
        "EventStream": stream,
        "CallbackSubscription": manager.subscribe(lambda event: None),
        "Manager": manager._native,
        "Handle": x._handle,
        "Queue": stream._queue,
        "Clock": world.clock._clock,
        "permit": x.acquire()._call.ticket._obj,
    }


KINDS = list(owners(World(clock := brama.ManualClock(), brama.Brama(clock=clock))))
COPIES: list[Callable[[Any], object]] = [copy.copy, copy.deepcopy, pickle.dumps]
COPIES += [lambda it, p=protocol: pickle.dumps(it, p) for protocol in range(6)]


@pytest.mark.parametrize("kind", KINDS)
def test_what_owns_an_address_is_not_copied(world: World, kind: str) -> None:
    thing = owners(world)[kind]
    assert kind in type(thing).__name__ or kind == "permit"
    for make in COPIES:
        for it in (thing, [thing], {"a": thing}):
            if make is copy.copy and it is not thing:
                continue
            with pytest.raises(TypeError, match="cannot be (copied|pickled)"):
                make(it)
    if kind in brama.__all__:
        with pytest.raises(TypeError, match=rf"a brama\.{kind} belongs to its process.*: \w+"):
            copy.deepcopy(thing)


def test_an_address_is_given_back_once_and_then_everything_raises() -> None:
    clock = brama.ManualClock()
    things = owners(World(clock, brama.Brama(clock=clock, background=False)))
    handle, permit = things["Handle"], things["permit"]
    word = handle.word
    for name in ("Handle", "Queue", "Manager", "Clock"):
        freed: list[int] = []
        owner = things[name]
        address = owner.address

        class Counting(type(owner)):  # type: ignore[misc]
            __slots__ = ()
            _free = freed.append

        owner.__class__ = Counting
        owner.give_back()
        owner.give_back()
        owner.__del__()
        assert freed == [address]
        with pytest.raises(brama.BramaError, match="was given back"):
            owner.address
        assert handle.word is not word or name != "Handle"
        type(owner).__base__._free(address)
    for use in (
        handle.available,
        handle.state,
        handle.status,
        handle.passes,
        lambda: handle.success(None, None),
        lambda: handle.success(None, 0),
        lambda: handle.failure(None, None, 0, None),
        lambda: handle.failure(None, None, 0, 0),
        lambda: handle.admit(handle.word.value),
        lambda: handle.control("reset"),
    ):
        with pytest.raises((brama.BramaError, ctypes.ArgumentError), match="was given back"):
            use()
    # A permit has its own reference to the handle.
    assert permit.opaque[0] != 0
    permit.__del__()
    assert permit.opaque[0] == 0
    permit.__del__()


def test_an_object_of_a_user_that_has_a_manager_is_not_copied(world: World) -> None:
    class Service:
        def __init__(self) -> None:
            self.circuits = world.manager

    service = Service()
    with pytest.raises(TypeError, match="brama.Brama"):
        copy.deepcopy(service)
    assert copy.copy(service).circuits is world.manager
    assert world.manager.register("x").available()


def test_values_are_copied(world: World) -> None:
    x = world.manager.register("x", max_attempts=1, metadata={"a": "b"})
    stream = world.manager.events()
    x.failure(reason="timeout", metadata={"c": "d"})
    values: list[Any] = [x.status(), *stream.drain(), world.manager.state_counts()]
    values += [world.manager.event_counts(), brama.NEVER, brama.UNLIMITED, x.state()]
    for value in values:
        for same in (copy.copy(value), copy.deepcopy(value), pickle.loads(pickle.dumps(value))):
            assert same == value and type(same) is type(value)
    for error in (brama.NotFound("x"), brama.Stale("late"), brama.CircuitOpen(5, "x", "s")):
        assert pickle.loads(pickle.dumps(error)).args == error.args


def test_an_exception_that_was_counted_is_copied_without_the_package(
    world: World, program: Program
) -> None:
    x = world.manager.register("x")
    with pytest.raises(OSError) as raised, x.guard():
        raise OSError("down")
    again = pickle.loads(pickle.dumps(raised.value))
    assert again.args == ("down",)
    dumped = pickle.dumps(raised.value).hex()
    code = f"import pickle, sys; print(pickle.loads(bytes.fromhex('{dumped}')), 'brama' in sys.modules)"
    assert program(code) == "down False\n"


def test_a_spawned_process_is_given_no_manager(program: Program) -> None:
    out = program(
        """
    import multiprocessing, brama
    def work(manager): pass
    if __name__ == "__main__":
        process = multiprocessing.get_context("spawn").Process(target=work, args=(brama.default(),))
        try:
            process.start()
        except TypeError as error:
            print(error)
    """
    )
    assert out.startswith("a brama.Brama belongs to its process")


GARBAGE = """
    import asyncio, collections, gc, sys, threading, warnings
    import brama
    # Coroutines that are thrown away are what this is about.
    warnings.simplefilter("ignore")
    sys.unraisablehook = lambda told: None
    answers = collections.Counter()

    def use(name, thing):
        # Whatever a program could do with it.
        for attribute in dir(thing):
            if attribute in ("__class__", "__del__", "shutdown", "get", "__next__", "__anext__"):
                continue
            if attribute.startswith("_") and attribute not in ("__repr__", "__enter__", "__exit__"):
                continue
            arguments = {
                "__exit__": (None, None, None), "advance": (1,), "result": (1,),
                "call": (lambda: 1,), "subscribe": (), "events": (),
            }.get(attribute, ())
            for more in (arguments, ("x",)):
                try:
                    method = getattr(thing, attribute)
                    if callable(method):
                        method(*more)
                    answers["done"] += 1
                except (brama.BramaError, TypeError, AttributeError) as error:
                    answers[type(error).__name__] += 1

    class User:
        def __init__(self, **things):
            self.things, self.me = things, self
        def __del__(self):
            for name, thing in self.things.items():
                use(name, thing)

    def things():
        clock = brama.ManualClock()
        manager = brama.Brama(background=False, clock=clock, max_attempts=2)
        x = manager.register("x")
        with manager.guard("x") as call:
            pass
        return {
            "manager": manager, "x": x, "clock": clock, "permit": x.acquire(), "call": call,
            "guard": manager.guard("x"), "own guard": x.guard(exclude=KeyError),
            "decorated": manager.circuit("x")(lambda *a: 1), "stream": manager.events(),
            "subscription": manager.subscribe(lambda event: None),
        }
"""


@pytest.mark.parametrize("order", ["older", "younger"])
def test_finalisers_of_a_cycle_in_any_order(program: Program, order: str) -> None:
    """A user-supplied finaliser uses all objects after some of them were finalised."""
    out = program(
        GARBAGE
        + f"""
    for n in range(300):
        if {order!r} == "older":
            User(**things())
        else:
            user = User()
            user.things = things()
            del user
        if n % 10 == 0:
            gc.collect()
    gc.collect()
    print(answers["done"] > 0, answers["BramaError"] > 0 or {order!r} == "younger")
    """,
        timeout=120,
    )
    assert out.split() == ["True", "True"]


def test_suspended_calls_in_a_cycle(program: Program) -> None:
    """Generators and coroutines are collected during a guarded call of a healthy or half-open
    circuit. Their `finally` uses objects that are collected with them."""
    program(
        GARBAGE
        + """
    class Box:
        pass

    def block(box):
        try:
            with box.guard:
                with box.guard:
                    yield
        finally:
            use("all", box.x), use("all", box.guard)

    def decorate(box):
        @box.manager.circuit("x")
        async def call():
            try:
                await asyncio.sleep(3600)
            finally:
                use("all", box.x)
        return call

    async def read(stream):
        async for event in stream:
            pass

    def one(n):
        box = Box()
        box.me = box
        box.manager = brama.Brama(background=False, max_attempts=1)
        box.x = box.manager.register("x", half_open_max_calls=9)
        if n % 2:
            box.x.half_open_circuit()
        box.guard = box.x.guard() if n % 3 else box.manager.guard("x")
        box.blocks = [block(box) for _ in range(3)]
        for generator in box.blocks:
            next(generator)
        if n % 5 == 0:
            box.call = decorate(box)
            box.loop = asyncio.new_event_loop()
            async def main():
                box.tasks = [asyncio.ensure_future(box.call()) for _ in range(2)]
                box.tasks.append(asyncio.ensure_future(read(box.manager.events())))
                await asyncio.sleep(0)
            box.loop.run_until_complete(main())
            if n % 2:
                box.loop.close()

    for n in range(300):
        one(n)
        if n % 10 == 0:
            gc.collect()
    gc.collect()
    """,
        timeout=120,
    )


def test_nothing_is_left_to_the_collector(program: Program) -> None:
    """Neither a rejection, nor a failure, nor a guard, nor a manager is part of a cycle."""
    out = program(
        """
    import asyncio, gc
    import brama
    from brama import _ffi
    gc.collect(); gc.disable()
    def managers():
        return sum(isinstance(thing, _ffi.Manager) for thing in gc.get_objects())
    before = managers()

    def fail():
        raise OSError

    def awaited(made):
        # A loop's own cycles are not what this is about.
        try: made.send(None)
        except StopIteration: pass

    def use():
        manager = brama.Brama(max_attempts=2)
        x = manager.register("x")
        manager.register("y")
        call = manager.circuit("x")(fail)
        async def afail():
            fail()
        acall = manager.circuit("x")(afail)
        judged = manager.circuit("x", classify=lambda _: None)(fail)
        def block():
            with manager.guard("x") as guarded: fail()
        def nested():
            with x.guard(), manager.guard("x", exclude=KeyError), x.guard(): fail()
        def by_hand():
            manager.acquire("x").failure(); fail()
        for state in ("closed", "half_open", "open"):
            for one in (call, lambda: awaited(acall()), judged, block, nested, by_hand,
                        lambda: x.call(fail), lambda: x.acquire().ignore()):
                x.reset_circuit()
                if state == "half_open": x.half_open_circuit()
                if state == "open": x.open_circuit()
                for _ in range(3):
                    try: one()
                    except (OSError, brama.CircuitOpen): pass
            for _ in range(3):
                with manager.guard("y") as guarded: pass
                with manager.guard("y"): guarded = None

    use()
    print(managers() - before)
    """
    )
    assert out == "0\n"


def test_a_rejection_is_no_garbage(program: Program) -> None:
    out = program(
        """
    import gc
    import brama
    x = brama.register("x")
    x.open_circuit()
    call = brama.circuit("x")(lambda: 1)
    judged = brama.circuit("x", classify=lambda _: None)(lambda: 1)
    def block():
        with brama.guard("x"): pass
    coroutines = []
    for policy in ({}, {"classify": lambda _: None}):
        @brama.circuit("x", **policy)
        async def coroutine(): pass
        coroutines.append(coroutine)
    def awaited(made):
        try: made.send(None)
        except StopIteration: pass
    gc.collect(); gc.disable(); gc.set_debug(gc.DEBUG_SAVEALL)
    for one in (call, judged, block, x.acquire, lambda: brama.acquire("x"), lambda: x.call(int),
                lambda: awaited(coroutines[0]()), lambda: awaited(coroutines[1]())):
        for _ in range(3):
            try: one()
            except brama.CircuitOpen: pass
    gc.collect()
    print(*[type(thing).__name__ for thing in gc.garbage])
    """
    )
    assert out == "\n"
