"""brama: a circuit breaker.

It keeps track of the health of a program's connections to what it depends on, and stops
calls to what is failing::

    import brama

    @brama.circuit("payment_api", max_attempts=3, expiry=10_000)
    def charge(amount):
        ...

    try:
        charge(100)
    except brama.CircuitOpen as rejected:
        print(f"try again in {rejected.retry_after} ms")

A connection is closed (healthy: calls pass) from its registration. After `max_attempts`
failures in a row, or within a `window`, it opens: calls are rejected. When its `expiry`
is over it is half-open: a limited number of calls, the probes, test the dependency.
Enough successes close it, one failure opens it again.

The functions of this module are the methods of one process-wide manager; `Brama` makes
others. A name is an identifier and optionally a scope.

Lengths of time are milliseconds as `int`, or a `datetime.timedelta`; returned lengths are
milliseconds. Times are Unix milliseconds. Every error is a `BramaError`, except that a wrong
type raises `TypeError`.
"""

from ._circuit import Identifier
from ._clock import ManualClock
from ._connection import Connection
from ._default import (
    acquire,
    available,
    circuit,
    close_circuit,
    configure,
    connection,
    default,
    event_counts,
    events,
    failure,
    get_or_register,
    guard,
    half_open_circuit,
    open_circuit,
    poll,
    register,
    reset_all,
    reset_circuit,
    restore,
    save,
    shutdown,
    snapshot,
    state,
    state_counts,
    status,
    subscribe,
    success,
    unregister,
    unsubscribe,
)
from ._errors import (
    AlreadyRegistered,
    BramaError,
    CircuitOpen,
    InvalidArgument,
    InvalidConfig,
    NotFound,
    ShutDown,
    Stale,
)
from ._events import Event, EventType, EventTypes
from ._fallback import FallbackOn
from ._ffi import version as _version
from ._guard import Guard, GuardedCall
from ._manager import Brama
from ._permit import Permit
from ._policy import Classifier, Exceptions, Outcome
from ._settings import (
    INHERIT,
    NEVER,
    UNLIMITED,
    ConnectionSettings,
    ExpiryStrategy,
    ManagerSettings,
    Mode,
)
from ._status import Cause, EventCounts, Settings, State, StateCounts, Status
from ._stream import EventStream
from ._subscription import Predicate, Subscription
from ._values import NO_SCOPE, Duration, Lasted

__version__ = _version()

__all__ = [
    "INHERIT",
    "NEVER",
    "NO_SCOPE",
    "UNLIMITED",
    "AlreadyRegistered",
    "Brama",
    "BramaError",
    "Cause",
    "CircuitOpen",
    "Classifier",
    "Connection",
    "ConnectionSettings",
    "Duration",
    "Event",
    "EventCounts",
    "EventStream",
    "EventType",
    "EventTypes",
    "Exceptions",
    "ExpiryStrategy",
    "FallbackOn",
    "Guard",
    "GuardedCall",
    "Identifier",
    "InvalidArgument",
    "InvalidConfig",
    "Lasted",
    "ManagerSettings",
    "ManualClock",
    "Mode",
    "NotFound",
    "Outcome",
    "Permit",
    "Predicate",
    "Settings",
    "ShutDown",
    "Stale",
    "State",
    "StateCounts",
    "Status",
    "Subscription",
    "acquire",
    "available",
    "circuit",
    "close_circuit",
    "configure",
    "connection",
    "default",
    "event_counts",
    "events",
    "failure",
    "get_or_register",
    "guard",
    "half_open_circuit",
    "open_circuit",
    "poll",
    "register",
    "reset_all",
    "reset_circuit",
    "restore",
    "save",
    "shutdown",
    "snapshot",
    "state",
    "state_counts",
    "status",
    "subscribe",
    "success",
    "unregister",
    "unsubscribe",
]

# Tracebacks show errors by the names that programs use. Other classes keep their module: tools
# look there for the source of the class.
for _name in __all__:
    _kind = globals()[_name]
    if isinstance(_kind, type) and issubclass(_kind, BaseException):
        _kind.__module__ = __name__
del _name, _kind
