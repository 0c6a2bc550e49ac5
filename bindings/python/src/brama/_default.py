"""The process-wide manager; its methods are the package's functions."""

from __future__ import annotations

from ._manager import Brama


_default = Brama._of_process()


def default() -> Brama:
    """The process-wide manager, of which this module's functions are the methods.

    Its own background thread is started by its first use.
    """
    return _default


register = _default.register
get_or_register = _default.get_or_register
connection = _default.connection
unregister = _default.unregister
configure = _default.configure
available = _default.available
state = _default.state
success = _default.success
failure = _default.failure
acquire = _default.acquire
guard = _default.guard
circuit = _default.circuit
open_circuit = _default.open_circuit
close_circuit = _default.close_circuit
half_open_circuit = _default.half_open_circuit
reset_circuit = _default.reset_circuit
reset_all = _default.reset_all
status = _default.status
snapshot = _default.snapshot
state_counts = _default.state_counts
event_counts = _default.event_counts
subscribe = _default.subscribe
events = _default.events
unsubscribe = _default.unsubscribe
poll = _default.poll
shutdown = _default.shutdown
