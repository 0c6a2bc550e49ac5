"""The process-wide manager; its methods are the package's functions."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Final

from ._manager import Brama

_default = Brama._of_process()


def default() -> Brama:
    """The process-wide manager. This module's functions are its methods.

    Its first use starts its background thread.
    """
    return _default


register: Final = _default.register
get_or_register: Final = _default.get_or_register
connection: Final = _default.connection
unregister: Final = _default.unregister
configure: Final = _default.configure
available: Final = _default.available
state: Final = _default.state
success: Final = _default.success
failure: Final = _default.failure
acquire: Final = _default.acquire
if TYPE_CHECKING:
    guard: Final = _default.guard
else:
    # The fast path of `Brama.guard`. It needs neither `self` nor a bound method, which saves a
    # twentieth of the time.
    _guards, _guard = _default._guards, _default._guard

    @functools.wraps(_guard)
    def guard(identifier, scope=None, include=None, exclude=None, classify=None):
        if scope is None and include is None and classify is None and exclude is None:
            try:
                return _guards[identifier]
            except (KeyError, TypeError):
                pass
        if exclude is None:
            exclude = ()
        return _guard(
            identifier, scope=scope, include=include, exclude=exclude, classify=classify
        )


circuit: Final = _default.circuit
open_circuit: Final = _default.open_circuit
close_circuit: Final = _default.close_circuit
half_open_circuit: Final = _default.half_open_circuit
reset_circuit: Final = _default.reset_circuit
reset_all: Final = _default.reset_all
status: Final = _default.status
snapshot: Final = _default.snapshot
state_counts: Final = _default.state_counts
event_counts: Final = _default.event_counts
subscribe: Final = _default.subscribe
events: Final = _default.events
unsubscribe: Final = _default.unsubscribe
save: Final = _default.save
restore: Final = _default.restore
poll: Final = _default.poll
shutdown: Final = _default.shutdown
