"""The errors of this package.

`CircuitOpen` says that a call was not made: it is no failure of the call. Every other error says
that brama cannot do what the program asked for. Nothing was changed then, except that a late
report has counted in the totals (`Stale`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Callable, Optional, Tuple

if TYPE_CHECKING:
    from ._status import Cause

#: Cause and reason of an opening, and what its rule had counted.
Why = Tuple[Optional["Cause"], Optional[str], Optional[str]]
UNKNOWN: Why = (None, None, None)


class BramaError(Exception):
    """The base of all errors of this package. Raised itself if the system refuses something, such
    as a thread, and for a defect of the library."""


class NotFound(BramaError, LookupError):
    """No connection of this name is registered, or it was removed."""


class AlreadyRegistered(BramaError):
    """A connection of this name is registered already, and was left as it is."""


class InvalidArgument(BramaError, ValueError):
    """An argument is out of its range. The message names it, its value and what is allowed."""


class InvalidConfig(BramaError, ValueError):
    """A setting is out of its range. The message names it, its value and what is allowed."""


class Stale(BramaError):
    """The report comes too late.

    Either the state in which the permit was given is gone. Then the report was counted in the
    totals and changed nothing else. Or the permit or the block has been reported before, or has
    ended. Then nothing was reported.
    """


class ShutDown(BramaError):
    """The manager was shut down."""


class CircuitOpen(BramaError):
    """The circuit does not admit the call.

    It is open; or half-open with all probes under way; or in a ramp, which admits only a share of
    the calls.

    Attributes:
        retry_after: milliseconds. If the circuit is open, a promise: a caller that waits so long
            is admitted, unless other callers take the probes. If all probes are under way, or in
            a ramp, a hint of at most 1 000. None if the circuit is held open until it is closed
            by hand.
        identifier: the connection's identifier.
        scope: its scope, or None.
        probes_out: whether the circuit is half-open, and all its probes are under way.
        cause: why the circuit opened last; None if that is not known.
        reason: the text of the failure that opened the circuit, or of the `open_circuit` that
            did: at most 256 bytes of it; None if there is none.
        recovering: whether the circuit is in a ramp (the setting `ramp`), which did not admit
            this call.
        evidence: what the rule that opened the circuit had counted, in words: "5 failures in a
            row", "12 of 20 calls failed". None if no rule did, or if the numbers are not known.

    Most rejections are never looked at. So `cause`, `reason` and `evidence` are read from the
    circuit at the first use of one of them. `str`, a copy and a pickle of the error use them, too.
    From then on they stay as they are. Until then the error holds the connection, so no cleanup
    removes it. All are None if the connection is gone, or its manager was shut down.

    Tests may make one, without arguments or by keywords, for example as the `side_effect` of a
    mock: `brama.CircuitOpen(retry_after=5_000, identifier="db")`.
    """

    # The attributes are read from `args`. The package makes rejections by `rejection`, which does
    # not call `__init__`: that would make every rejection slower.
    def __init__(
        self,
        retry_after: Optional[int] = None,
        identifier: str = "",
        scope: Optional[str] = None,
        probes_out: bool = False,
        cause: Optional[Cause] = None,
        reason: Optional[str] = None,
        evidence: Optional[str] = None,
        recovering: bool = False,
    ) -> None:
        # Without the defaults at the end, as `rejection` makes them: a copy then has the same
        # `args`.
        if recovering:
            super().__init__(
                retry_after, identifier, scope, probes_out, cause, reason, evidence, recovering
            )
        elif (cause, reason, evidence) != UNKNOWN:
            super().__init__(retry_after, identifier, scope, probes_out, cause, reason, evidence)
        elif probes_out:
            super().__init__(retry_after, identifier, scope, probes_out)
        else:
            super().__init__(retry_after, identifier, scope)

    if TYPE_CHECKING:
        _circuit: Any
        #: What the handle has answered.
        _why: Any
    else:
        #: The handle, until it was asked why the circuit opened.
        _circuit = None
        _why = None

    @property
    def retry_after(self) -> Optional[int]:
        after: Optional[int] = self.args[0] if self.args else None
        return after

    @property
    def identifier(self) -> str:
        return str(self.args[1]) if len(self.args) > 1 else ""

    @property
    def scope(self) -> Optional[str]:
        scope: Optional[str] = self.args[2] if len(self.args) > 2 else None
        return scope

    @property
    def probes_out(self) -> bool:
        return len(self.args) > 3 and bool(self.args[3])

    @property
    def recovering(self) -> bool:
        return len(self.args) > 7 and bool(self.args[7])

    @property
    def cause(self) -> Optional[Cause]:
        return self._opening()[0]

    @property
    def reason(self) -> Optional[str]:
        return self._opening()[1]

    @property
    def evidence(self) -> Optional[str]:
        return self._opening()[2]

    def _opening(self) -> Why:
        # `_circuit` is read first: a thread sets `_why` before it clears `_circuit`.
        circuit, why = self._circuit, self._why
        if why is None:
            given = self.args[4:7]
            said = circuit.why() if circuit is not None else (*given, *UNKNOWN[len(given) :])
            # If several threads ask at once, the first to get here decides for all.
            why = vars(self).setdefault("_why", said)
            self._circuit = None
        cause, reason, evidence = why
        return cause, reason, evidence

    def __reduce__(self) -> Tuple[Any, ...]:
        why, args = self._opening(), self.args
        if why != UNKNOWN:
            args = (self.retry_after, self.identifier, self.scope, self.probes_out, *why, *args[7:])
        # Notes, and attributes that the program has added.
        added = dict(vars(self))
        added.pop("_circuit", None)
        added.pop("_why", None)
        return (type(self), args, added) if added else (type(self), args)

    def __str__(self) -> str:
        name = f" of {self.identifier!r}" if self.identifier else ""
        scope = "" if self.scope is None else f" in scope {self.scope!r}"
        after = self.retry_after
        when = "it is held open" if after is None else f"ask again in {after} ms"
        why = "all its probes are under way, " if self.probes_out else ""
        why = "it is recovering, " if self.recovering else why
        cause, reason, evidence = self._opening()
        opened = ""
        if cause is not None:
            counted = "" if evidence is None else f", {evidence}"
            text = "" if reason is None else f": {reason}"
            opened = f" ({cause}{counted}{text})"
        return f"the circuit{name}{scope} does not admit the call{opened}: {why}{when}"


#: `rejection(CircuitOpen, …)` makes one with these `args`, without a call of `__init__`.
rejection: Callable[..., CircuitOpen] = CircuitOpen.__new__
