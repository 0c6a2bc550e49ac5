"""Copies, garbage in any order, event loops that are left behind, the end of the interpreter
in any state: an exception at worst."""

from __future__ import annotations

import copy
import ctypes
import pickle
from typing import Any, Callable

import pytest

import brama
from conftest import Program, World


def owners(world: World) -> dict[str, Any]:
    """One of each thing that leads to an address of the library's."""
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
        lambda: handle.success(None),
        lambda: handle.failure(None, None),
        lambda: handle.admit(handle.word.value),
        lambda: handle.control("reset"),
    ):
        with pytest.raises((brama.BramaError, ctypes.ArgumentError), match="was given back"):
            use()
    # A permit has a reference of its own.
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
    """A user's finaliser uses everything, after some of it was finalised."""
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
    """Generators and coroutines that are in a guarded call when they are collected, healthy
    or half-open, and whose `finally` uses what is collected with them."""
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


LOOPS = """
    import asyncio, threading
    import brama
    manager = brama.Brama()
    stream = manager.events("state_change")
    x = manager.register("x", max_attempts=1)

    async def watch():
        async for event in stream:
            print(event.new_state, flush=True)

    async def begin():
        task = asyncio.ensure_future(watch())
        await asyncio.sleep(0.01)
        return task
"""


@pytest.mark.parametrize("closed", [True, False])
@pytest.mark.parametrize("kept", [True, False])
def test_a_stream_outlives_its_loop(program: Program, closed: bool, kept: bool) -> None:
    """A task waits in a loop that is closed or left behind. Then another loop reads."""
    out = program(
        LOOPS
        + f"""
    loop = asyncio.new_event_loop()
    task = loop.run_until_complete(begin())
    if {closed}:
        loop.close()
    if not {kept}:
        del task, loop

    async def late():
        asyncio.get_running_loop().call_later(0.01, x.failure)
        event = await asyncio.wait_for(stream.__anext__(), 20)
        print("late:", event.new_state, flush=True)
        assert not [loop for loop in stream._waiting if loop.is_closed()]

    asyncio.run(late())
    print("end")
    """
    )
    assert out.splitlines() == ["late: open", "end"]


def test_a_loop_whose_tasks_were_cancelled_forgets_the_descriptor(manager: brama.Brama) -> None:
    import asyncio

    stream = manager.events("registration")

    async def main() -> None:
        for _ in range(3):
            task = asyncio.ensure_future(stream.__anext__())
            await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        manager.register("x")
        while stream._waiting:
            await asyncio.sleep(0)
        assert not asyncio.get_running_loop().remove_reader(stream.fileno())
        assert (await stream.__anext__()).connection == "x"

    asyncio.run(main())


ENDS = {
    "a task in a loop that is open": "loop.run_until_complete(begin())",
    "a task in a loop that was closed": "loop.run_until_complete(begin()); loop.close()",
    "a task that is kept": "task = loop.run_until_complete(begin()); loop.close()",
    "a running loop on a thread": """
def run():
    loop.run_until_complete(begin()); loop.run_forever()
threading.Thread(target=run, daemon=True).start(); time.sleep(0.05)""",
    "threads that wait": """
for wait in (lambda: stream.get(), lambda: next(stream), lambda: stream.get(3600_000)):
    threading.Thread(target=wait, daemon=True).start()
time.sleep(0.05)""",
    "threads in guarded calls": """
@manager.circuit("y", half_open_max_calls=2)
def call(): time.sleep(3600)
def block():
    with manager.guard("y"): time.sleep(3600)
manager.half_open_circuit("y")
for work in (call, block):
    threading.Thread(target=work, daemon=True).start()
time.sleep(0.05)""",
    "generators in guarded blocks": """
def block():
    with x.guard() as call: yield call
blocks = [block() for _ in range(3)]; [next(b) for b in blocks]; x.half_open_circuit()
probe = block(); next(probe)""",
    "a failing thread": """
def work(): 1 / 0
threading.excepthook = lambda told: None
thread = threading.Thread(target=work); thread.start()""",
    "a callback at the end": "manager.subscribe(lambda event: manager.failure('x')); x.success()",
    "use while exiting": """
import atexit
def last():
    x.failure(); print(manager.state("x"), stream.drain())
    try: manager.subscribe(print).unsubscribe()
    except brama.BramaError: pass  # Since Python 3.12 no thread starts here.
atexit.register(last)""",
    "finalisers while exiting": """
class User:
    def __del__(self):
        for use in (x.status, manager.snapshot, stream.drain, manager.guard("x").__enter__):
            try: use()
            except brama.BramaError: pass
user = User(); user.me = user; brama.user = User(); stream.user = User()""",
    "a signal": "import os, signal; os.kill(os.getpid(), signal.SIGTERM)",
}


@pytest.mark.parametrize("state", ENDS)
def test_the_interpreter_ends_in_any_state(program: Program, state: str) -> None:
    code = ENDS[state].replace("\n", "\n    ")
    for _ in range(3):
        program(
            LOOPS
            + f"""
    import time
    loop = asyncio.new_event_loop()
    {code}
    """,
            code=-15 if state == "a signal" else 0,
        )


def test_a_callback_that_starts_no_thread_at_the_end(program: Program) -> None:
    """`subscribe` says so where no thread can be started."""
    out = program(
        """
    import threading
    import brama
    manager = brama.Brama()
    def refuse(self): raise RuntimeError("can't start new thread")
    threading.Thread.start = refuse
    try:
        manager.subscribe(print)
    except brama.BramaError as error:
        print(error)
    stream = manager.events("registration")
    manager.register("x")
    print(next(stream).connection)
    """
    )
    first, second = out.splitlines()
    assert "needs a thread: can't start new thread" in first and second == "x"


def test_a_child_in_which_no_thread_starts_polls_and_ends(program: Program) -> None:
    out = program(
        """
    import os, threading
    import brama
    manager = brama.Brama()
    got = []
    manager.subscribe(lambda event: got.append(event.connection), events="registration")
    start = threading.Thread.start
    def refuse(self): raise RuntimeError("can't start new thread")
    threading.Thread.start = refuse
    child = os.fork()
    if child == 0:
        code = 1
        try:
            manager.register("a")
            stream = manager.events()
            manager.poll()
            assert got == ["a"], got
            manager.register("b")
            manager.shutdown()
            assert got == ["a", "b"], got
            code = 0
        finally:
            os._exit(code)
    print(os.waitpid(child, 0)[1])
    """
    )
    assert out == "0\n"


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
