"""Guarded blocks: `with brama.guard("payment_api") as call:`.

A guard may be used any number of times, by any number of threads and tasks at once, and
inside of itself. `brama.guard(name)` returns the same guard again and again while the circuit
is healthy: making one costs more than a block.

`__exit__` is called on the guard, which several open blocks may share. It has to find out
which of them ends. So:

- At most one block at a time goes the *short way*, if the circuit is healthy. `short` is its
  `GuardedCall`. The next block gets the same object, unless the block still refers to it at
  its end.
- Every other block has a `Call` of its own (`_call.py`), to which the context variable leads.
- A block that ends, and to whose call the context variable does not lead, is the one on the
  short way. For this to be true, no block takes the short way while others are open.

`with` looks up `__enter__` and `__exit__` on the class. There they are slots, so `with` calls
what the instance holds: closures without `self`. This saves two bound methods and a sixth of
the time of a block. `ExitStack` looks them up on the class, too, and calls them with the
instance. So the metaclass returns functions that take the instance.

A block reports when it ends: an exception as the policy says, otherwise a success. It may
report earlier, on the object that `with` gives it. Such a report raises nothing if it is late.

A program may keep a guard. While the circuit is half-open, the kept guard owns a probe's place
together with the block. An interrupt at the first instruction of `leave` then loses the place
until its lease ends. Guards that are made for one block have no such gap.

Rejected: an object for each block in place of the shared guard (a block by name then costs
40 % more); the states of the blocks in a list by thread (tasks take turns on one thread).
"""

from __future__ import annotations

import weakref
from sys import getrefcount
from typing import TYPE_CHECKING, Any, Callable, Dict, Mapping, Optional, TypeVar

from . import _ffi, _values
from ._call import Call, innermost, last_failure
from ._errors import CircuitOpen, NotFound, Stale
from ._handle import Handle
from ._names import TRIES
from ._owner import Unshared
from ._policy import FAILURE, IGNORED, SUCCESS, Policy
from ._values import Duration, Lasted

T = TypeVar("T")


class GuardedCall(Unshared):
    """One guarded block that is open, for reports by hand: what `with` gives it.

    A block that has not reported when it ends reports by itself. A report that comes too
    late, because the circuit has changed its state or the connection is gone, counts in
    the totals and raises nothing. Any thread may report.
    """

    __slots__ = ("_call", "_guard")

    _instead = "let the block report"

    #: Set if the block does not go the short way, or has left it.
    _call: Call
    _guard: weakref.ref[_Ways]

    def success(
        self,
        *,
        metadata: Optional[Mapping[str, str]] = None,
        duration: Optional[Lasted] = None,
    ) -> None:
        """Reports that the call succeeded.

        Args:
            metadata: strings for the events.
            duration: how long the call has lasted, in milliseconds, which may have a fraction, or
                as a timedelta; None: the time that was measured. Rounded down to a whole
                millisecond, and compared with `slow_call_duration`, where that is set.

        Raises:
            InvalidArgument: `duration` is negative or not finite; nothing was reported.
            Stale: the block has reported already, or has ended.
        """
        lasted = _values.lasted(duration)
        self._own().report_in_block(SUCCESS, None, _values.details(metadata), lasted=lasted)

    def failure(
        self,
        reason: Optional[str] = None,
        *,
        metadata: Optional[Mapping[str, str]] = None,
        duration: Optional[Lasted] = None,
        retry_after: Optional[Duration] = None,
    ) -> int:
        """Reports that the call failed.

        Args:
            reason: why, for the events and the status.
            metadata: strings for the events.
            duration: how long the call has lasted; see `success`.
            retry_after: how long the dependency wants to be left alone, in milliseconds or as a
                timedelta, as HTTP says it with `Retry-After`; None: it has not said. See
                `Connection.failure`.

        Returns:
            How many failures count now: in a row, or inside the window. 0 if the report
            was too late, or the call rides on another one of its circuit.

        Raises:
            InvalidArgument: `duration` or `retry_after` is negative, or `duration` is not finite;
                nothing was reported.
            Stale: the block has reported already, or has ended.
        """
        wait, lasted = _values.wait("retry_after", retry_after), _values.lasted(duration)
        text, pairs = _values.reason(reason), _values.details(metadata)
        return self._own().report_in_block(FAILURE, text, pairs, wait, lasted)

    def ignore(self) -> None:
        """Reports neither success nor failure.

        Raises:
            Stale: the block has reported already, or has ended.
        """
        self._own().report_in_block(IGNORED)

    def result(self, value: T) -> T:
        """Reports what the guard's `classify` says of a value: of a response, for example. Without
        a `classify`, or if it returns None, that is a success.

        The block has reported then. An exception that leaves it later is not counted.

        Returns:
            The value.

        Raises:
            Stale: the block has reported already, or has ended.
            What `classify` raises: nothing is reported then. The exception leaves the block as
                others do, and `classify` is asked about it.
        """
        call, guard = self._own(), self._guard()
        assert guard is not None  # Its block holds it.
        call.report_in_block(*guard.policy.of_result(value))
        return value

    @property
    def reported(self) -> bool:
        """Whether the block has reported, or has ended."""
        try:
            return self._call.ended
        except AttributeError:
            guard = self._guard()
            return guard is None or not guard.is_short(self)

    @property
    def is_probe(self) -> bool:
        """Whether the call tests a half-open circuit, so that a shorter time-out is wise. False
        in a ramp."""
        try:
            return self._call.is_probe
        except AttributeError:
            return False

    def _own(self) -> Call:
        try:
            call: Optional[Call] = self._call
        except AttributeError:
            guard = self._guard()
            call = None if guard is None else guard.taken(self)
        if call is None or call.ended:
            raise Stale("the block has reported already, or has ended")
        return call

    def __repr__(self) -> str:
        return f"<brama.GuardedCall, {'reported' if self.reported else 'not yet reported'}>"


class _AskedForMethods(type):
    """The metaclass of `Guard`: returns methods where an instance has slots."""

    if not TYPE_CHECKING:

        @property
        def __enter__(cls):
            return lambda guard: guard.__enter__()

        @property
        def __exit__(cls):
            return lambda guard, *error: guard.__exit__(*error)


class Guard(Unshared, metaclass=_AskedForMethods):
    """A block whose outcome is reported: `with brama.guard("payment_api"):`.

    Also for `async with`. It may be used again, and by any number of threads and tasks at
    once. Inside the block the methods report on the block.
    """

    _instead = "make one where it is used"

    if not TYPE_CHECKING:
        __slots__ = ("__enter__", "__exit__", "_current")
    else:

        def __enter__(self) -> GuardedCall:
            """Asks for admission.

            Raises:
                CircuitOpen: the circuit does not admit the call.
                NotFound, ShutDown
            """
            raise NotImplementedError

        def __exit__(self, kind: object, error: Optional[BaseException], trace: object) -> None:
            """Reports what became of the block."""

    async def __aenter__(self) -> GuardedCall:
        return self.__enter__()

    async def __aexit__(self, kind: object, error: Optional[BaseException], trace: object) -> None:
        self.__exit__(kind, error, trace)

    _current: Callable[[], GuardedCall]

    def success(
        self,
        *,
        metadata: Optional[Mapping[str, str]] = None,
        duration: Optional[Lasted] = None,
    ) -> None:
        """See `GuardedCall.success`."""
        self._current().success(metadata=metadata, duration=duration)

    def failure(
        self,
        reason: Optional[str] = None,
        *,
        metadata: Optional[Mapping[str, str]] = None,
        duration: Optional[Lasted] = None,
        retry_after: Optional[Duration] = None,
    ) -> int:
        """See `GuardedCall.failure`."""
        return self._current().failure(
            reason, metadata=metadata, duration=duration, retry_after=retry_after
        )

    def ignore(self) -> None:
        """See `GuardedCall.ignore`."""
        self._current().ignore()

    def result(self, value: T) -> T:
        """See `GuardedCall.result`."""
        return self._current().result(value)


def guard_of(
    handle: Optional[Handle],
    policy: Policy,
    resolve: Callable[[], Handle],
    forget: Callable[[], object],
) -> Guard:
    """A guard.

    Args:
        handle: the connection; None if it is still to be found.
        resolve: finds the connection, and finds it again after it was unregistered. Raises
            `NotFound`.
        forget: called when the circuit is not closed. From then on the guard must not be kept
            for other blocks: a probe's place must belong to its block alone.
    """
    success, references, last = _ffi.report_success, getrefcount, last_failure
    #: The block on the short way.
    short: Optional[GuardedCall] = None
    #: `last_failure` when that block began.
    since = 0
    #: The object that the next block on the short way gets.
    spare: GuardedCall
    #: The call of the block that has left the short way.
    first: Optional[Call] = None
    #: The calls of all other open blocks.
    others: Dict[Call, None] = {}
    #: What the context variable knows this guard by.
    mark = object()
    #: The pass word's value that lets blocks go the short way (-1: none may); and their ticket.
    number, ticket = -1, None
    here: Any = handle if handle is not None else _Nowhere

    def enter() -> GuardedCall:
        nonlocal short, since
        if short is None and here.word.value == number:
            short = call = spare
            (since,) = last
            return call
        return enter_the_long_way()

    def leave(kind: object, error: Optional[BaseException], trace: object) -> None:
        nonlocal short, spare
        if kind is None and short is not None:
            if references(short) != _ALONE:
                # The block still refers to its object. So the next block gets a new one.
                spare = call = GuardedCall()
                call._guard = ways.weak
            passed = ticket
            short = None
            success(passed)
        else:
            leave_the_long_way(error)

    def enter_the_long_way() -> GuardedCall:
        nonlocal short, spare, number, ticket, since
        call = admit()
        if call.is_probe:  # The state may have changed after it was read.
            forget()
        guarded = new()
        passes = here.passes()
        if passes is not None and call.ticket is passes[2]:
            if short is None and first is None and not others:
                _, number, ticket = passes
                (since,) = last
                short = spare = guarded
                return guarded
        call.guard = mark
        guarded._call = call
        try:
            call.enter()
            others[call] = None
            push_aside()
        except BaseException:
            others.pop(call, None)
            call.leave()
            raise
        return guarded

    def admit() -> Call:
        nonlocal here
        for _ in range(TRIES):
            if here is _Nowhere:
                here = resolve()
            answer = here.admit(here.word.value)
            if type(answer) is CircuitOpen:
                try:
                    raise answer
                finally:
                    del answer  # Else its traceback would refer to it: a cycle.
            if answer is not None:
                return answer  # type: ignore[no-any-return]
            here = _Nowhere
        raise NotFound("the connection is unregistered again and again")

    def push_aside() -> None:
        """Moves the block on the short way off it, and closes the short way for others."""
        nonlocal short, spare, first, number
        number = -1
        if short is not None:
            guarded, passed, short = short, ticket, None
            first = guarded._call = Call(here, passed, since)
            spare = new()

    def leave_the_long_way(error: Optional[BaseException]) -> None:
        nonlocal first
        call = innermost(mark)
        if call is None:
            push_aside()
            if first is not None:
                call, first = first, None
            elif others:  # It was entered in another context.
                call = list(others)[-1]
            else:  # Two threads took the short way in the same instant.
                call = Call(here, ticket, last[0])
        try:
            others.pop(call, None)
            if error is not None:
                call.raised(policy, error)
            elif not call.ended:
                call.settle(SUCCESS)
        finally:
            call.leave()

    def is_short(guarded: GuardedCall) -> bool:
        return short is guarded

    def taken(guarded: GuardedCall) -> Optional[Call]:
        if short is guarded:
            push_aside()
        return getattr(guarded, "_call", None)

    def current() -> GuardedCall:
        call = innermost(mark) or first
        if call is None and short is not None:
            return short
        if call is None:
            raise Stale("the guard is not in use here")
        guarded = new()
        guarded._call = call
        return guarded

    def new() -> GuardedCall:
        guarded = GuardedCall()
        guarded._guard = weak
        return guarded

    ways = _Ways(policy, is_short, taken)
    weak = ways.weak
    spare = new()
    guard = Guard()
    guard.__enter__ = enter  # type: ignore[method-assign]
    guard.__exit__ = leave  # type: ignore[method-assign]
    guard._current = current
    return guard


class _Ways:
    """What a `GuardedCall` needs to know of its guard.

    `leave` refers to it, and so does the open block, by `leave`. A `GuardedCall` refers to it
    weakly: a cycle would leave it to the garbage collector when a manager ends.
    """

    __slots__ = ("__weakref__", "is_short", "policy", "taken", "weak")

    def __init__(
        self,
        policy: Policy,
        is_short: Callable[[GuardedCall], bool],
        taken: Callable[[GuardedCall], Optional[Call]],
    ) -> None:
        self.policy = policy
        #: Whether a block is on the short way.
        self.is_short = is_short
        #: Takes a block off the short way, and returns its call.
        self.taken = taken
        self.weak = weakref.ref(self)


class _Nowhere:
    """Stands for a handle that is still to be found."""

    class word:
        value = -2


def _references() -> int:
    """How many references to a `GuardedCall` `leave` finds if the block keeps none."""
    short = spare = object()

    def leave() -> int:
        return getrefcount(short) + (spare is None)

    return leave()


_ALONE = _references()
