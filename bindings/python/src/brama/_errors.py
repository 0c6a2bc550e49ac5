"""What can go wrong.

`CircuitOpen` is not a failure of the call: the call was not made. All others mean that
brama was asked for something that it cannot do; then nothing was changed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Optional, Tuple

if TYPE_CHECKING:
    from ._status import Cause

#: Cause and reason of an opening, and what its rule had counted.
Why = Tuple[Optional["Cause"], Optional[str], Optional[str]]
UNKNOWN: Why = (None, None, None)


class BramaError(Exception):
    """The base of all errors of this package. Raised itself for a defect of the library."""


class NotFound(BramaError, LookupError):
    """No connection of this name is registered, or not any more."""


class AlreadyRegistered(BramaError):
    """A connection of this name is registered already, and was left as it is."""


class InvalidArgument(BramaError, ValueError):
    """An argument is out of its range. The message names it, its value and what is allowed."""


class InvalidConfig(BramaError, ValueError):
    """A setting is out of its range. The message names it, its value and what is allowed."""


class Stale(BramaError):
    """The state that the permit was given in is gone, or it has reported before.

    The report was counted in the totals and changed nothing else.
    """


class ShutDown(BramaError):
    """The manager was shut down."""


class CircuitOpen(BramaError):
    """The circuit does not admit the call.

    It is open; or half-open with all probes under way; or in a ramp, which admits only a share of
    the calls.

    Attributes:
        retry_after: milliseconds. Of an open circuit a promise: a caller who waits so long is
            admitted, unless other callers take the probes. Of one whose probes are all under
            way, or which is in a ramp, a hint, at most 1 000. None if the circuit is held open
            until it is closed by hand.
        identifier: the connection's identifier.
        scope: its scope, or None.
        probes_out: whether the circuit is half-open, and all its probes are under way.
        cause: why the circuit opened last; None if that is not known.
        reason: the text of the failure that opened the circuit, or of the hand that did: at most
            256 bytes of it; None if there is none.
        recovering: whether the circuit is half-open, in a ramp (the setting `ramp`) that has not
            admitted this call.
        evidence: what the rule that opened the circuit had counted, in words: "5 failures in a row",
            "12 of 20 calls failed". None if no rule did, or if the numbers are not known.

    Rejections are many and few of them are read. So `cause`, `reason` and `evidence` are read from the
    circuit when a program asks for one of them the first time, also by `str` or to copy or pickle the
    error. From then on they stay as they are. Until then the error holds the connection, so no
    cleanup removes it. All are None if the connection is gone, or its manager was shut down.
    """

    # The attributes are the arguments, and there is no `__init__` of Python's:
    # rejections are many.
    if TYPE_CHECKING:

        def __init__(
            self,
            retry_after: Optional[int],
            identifier: str,
            scope: Optional[str] = None,
            probes_out: bool = False,
            cause: Optional[Cause] = None,
            reason: Optional[str] = None,
            evidence: Optional[str] = None,
            recovering: bool = False,
        ) -> None: ...

        #: What tells why the circuit opened, until it is asked; and what it said.
        _circuit: Any
        _why: Any
    else:
        _circuit = _why = None

    @property
    def retry_after(self) -> Optional[int]:
        after: Optional[int] = self.args[0]
        return after

    @property
    def identifier(self) -> str:
        return str(self.args[1])

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
        # The circuit first: a thread forgets it when it has said why.
        circuit, why = self._circuit, self._why
        if why is None:
            given = self.args[4:7]
            said = circuit.why() if circuit is not None else (*given, *UNKNOWN[len(given) :])
            # Of threads that ask at once, the first to get here decides for all.
            why = vars(self).setdefault("_why", said)
            self._circuit = None
        cause, reason, evidence = why
        return cause, reason, evidence

    def __reduce__(self) -> Tuple[Any, ...]:
        why, args = self._opening(), self.args
        if why != UNKNOWN:
            args = (self.retry_after, self.identifier, self.scope, self.probes_out, *why, *args[7:])
        # Notes, and what a program has added.
        added = dict(vars(self))
        added.pop("_circuit", None)
        added.pop("_why", None)
        return (type(self), args, added) if added else (type(self), args)

    def __str__(self) -> str:
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
        return (
            f"the circuit of {self.identifier!r}{scope} does not admit the call{opened}: {why}{when}"
        )
