"""A manager's methods for guarded calls."""

from __future__ import annotations

import functools
import weakref
from typing import TYPE_CHECKING, Any, Callable, Dict, Optional

from . import _ffi, _settings, _values
from ._circuit import F, Identifier, decorated
from ._errors import CircuitOpen, NotFound
from ._fallback import FallbackOn, check as check_fallback
from ._guard import Guard, guard_of
from ._handle import Handle
from ._names import TRIES, Names
from ._permit import Permit
from ._policy import DEFAULT, Classifier, Exceptions, policy_of
from ._publisher import Publisher
from ._settings import ConnectionSettings, Unpack
from ._values import key


class GuardedCalls(Publisher):
    """The methods of a `Brama` for guarded calls."""

    def __init__(self, native: _ffi.Manager, background: bool) -> None:
        super().__init__(native, background)
        self._names = Names(native)
        #: Guards of healthy circuits, by identifier, and by identifier and scope.
        self._guards: Dict[Any, Guard] = {}

    def acquire(self, identifier: str, *, scope: Optional[str] = None) -> Permit:
        """Asks for admission.

        Returns:
            A permit, to be reported once.

        Raises:
            CircuitOpen: the circuit does not admit the call.
            NotFound, InvalidArgument, ShutDown
        """
        names = self._names
        for _ in range(TRIES):
            known = names.recent(identifier, scope)
            handle = known or names.keep(names.connection(identifier, scope))
            answer = handle.admit(handle.word.value, riding=False)
            if isinstance(answer, CircuitOpen):
                try:
                    raise answer
                finally:
                    del answer  # Else its traceback would refer to it: a cycle.
            if answer is not None:
                return Permit(answer)
            names.forget(handle)
        raise NotFound(f"connection {identifier!r} is unregistered again and again")

    def guard(
        self,
        identifier: str,
        *,
        scope: Optional[str] = None,
        include: Optional[Exceptions] = None,
        exclude: Exceptions = (),
        classify: Optional[Classifier] = None,
    ) -> Guard:
        """A block whose outcome is reported: `with brama.guard("payment_api"):`.

        Also for `async with`. The name must be registered (or the manager's
        `auto_register` on). The guard may be used again, and by several threads and tasks
        at once. While the circuit is half-open, a block inside another guarded call of the
        same circuit rides on that call: it takes no probe's place and reports nothing.

        Args:
            include: exceptions that count as failures, a class or several, of whatever
                kind; None: every `Exception` except rejections.
            exclude: exceptions that are ignored.
            classify: given the exception, or what the block gives to `result`, returns an
                `Outcome`, or None to leave it to `include` and `exclude`. A pair of an
                `Outcome` and a str gives the reason of a failure, too. It is asked about
                cancellations, too. If it raises, the call is ignored, and the exception passes
                on: so a defect in it never opens the circuit.

        Raises, when entered:
            CircuitOpen: the circuit does not admit the call.
            NotFound, ShutDown
        """
        policy = policy_of(include, exclude, classify)
        key(identifier, scope)  # Raises if this cannot be a name.
        known = None
        name: Any = None
        if policy is DEFAULT:
            name = identifier if scope is None else (identifier, scope)
            guard = self._guards.get(name)
            if guard is not None:
                return guard
            known = self._names.recent(identifier, scope)
        me, names = weakref.ref(self), self._names

        def resolve() -> Handle:
            return names.keep(names.connection(identifier, scope))

        def forget() -> None:
            manager = me()
            if manager is not None and policy is DEFAULT:
                manager._guards.pop(name, None)

        guard = guard_of(known, policy, resolve, forget)
        if known is not None and known.is_closed():
            names.bound(self._guards)
            self._guards[name] = guard
        return guard

    if not TYPE_CHECKING:
        _guard = guard

        # The fast path: the guard of a healthy circuit that an earlier call has made, by its name
        # alone. CPython calls functions without keyword-only parameters faster.
        @functools.wraps(_guard)
        def guard(self, identifier, scope=None, include=None, exclude=None, classify=None):
            if scope is None and include is None and classify is None and exclude is None:
                try:
                    return self._guards[identifier]
                except (KeyError, TypeError):
                    pass
            if exclude is None:
                exclude = ()
            return self._guard(
                identifier, scope=scope, include=include, exclude=exclude, classify=classify
            )

    def circuit(
        self,
        identifier: Identifier,
        *,
        scope: Optional[str] = None,
        include: Optional[Exceptions] = None,
        exclude: Exceptions = (),
        classify: Optional[Classifier] = None,
        fallback: Optional[Callable[..., Any]] = None,
        fallback_on: FallbackOn = "rejection",
        **settings: Unpack[ConnectionSettings],
    ) -> Callable[[F], F]:
        """Decorates a function, `def` or `async def`, whose calls are then guarded.

        This registers the connection, or finds it, with its settings as they are. Exceptions
        pass through. An `Exception` counts as a failure, unless the arguments say otherwise.
        Rejections (`CircuitOpen`) are ignored. So are exceptions that do not derive from
        `Exception`, such as `asyncio.CancelledError`, unless the setting `cancelled_after`
        says otherwise.

        A plain function may return an awaitable; the outcome is then that of the awaitable.
        Generators and context managers made of them are refused.

        While the circuit is half-open, a call inside another guarded call of the same circuit
        rides on that call: it takes no probe's place and reports nothing.

        Args:
            identifier: the connection's, or a function of the call's arguments that returns
                it: a circuit for each host, for example.
            include: exceptions that count as failures, a class or several, of whatever
                kind; None: every `Exception` except rejections. Others are ignored: neither
                success nor failure.
            exclude: exceptions that are ignored.
            classify: given the result or the exception, returns an `Outcome`, or None to
                leave it to `include` and `exclude`. A pair of an `Outcome` and a str gives
                the reason of a failure, too. It is asked about cancellations, too, and
                about each exception of a group. If it raises, the call is ignored, and the
                exception passes on: so a defect in it never opens the circuit.
            fallback: called with the same arguments; its result takes the place of the
                call's. It may be an `async def` if the decorated function is one. If it has
                a keyword-only parameter `error`, it is given the exception, or None if
                `classify` has called a result a failure.
            fallback_on: when it is called: on a `"rejection"`, on a `"failure"`, or on
                `"both"`.
            settings: see `ConnectionSettings`.

        Raises, when the decorated function is called:
            CircuitOpen: the circuit does not admit the call, and there is no fallback.
            ShutDown

        Raises, when decorating:
            TypeError: this is no function, or a generator, whose call does no work.
            InvalidArgument, InvalidConfig, ShutDown
        """
        policy = policy_of(include, exclude, classify)
        # `decorated` registers the connection, after it has checked the function.
        fields, pairs = _settings.of_connection(settings)
        if not callable(identifier):
            key(identifier, scope)
        elif scope is not None:
            _values.name("scope", scope)
        check_fallback(fallback_on, fallback)

        def decorate(function: F) -> F:
            guarded: F = decorated(
                function,
                self._names,
                identifier,
                scope,
                fields,
                pairs,
                policy,
                fallback,
                fallback_on,
            )
            return guarded

        return decorate
