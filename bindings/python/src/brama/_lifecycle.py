"""What a fork and the end of the interpreter mean for subscriptions.

Fork: the threads that serve callbacks are gone in the child, and the locks that they
held stay locked. The child gets new threads and locks at once. Its threads deliver only
events of the child, so they wait until one happens. (To restart them at the next use
instead would cost every guarded call a test.)

End: a thread that returns from the library after the interpreter has begun to end is
ended by it. That is safe, since no frame of the library is on its stack, but waiting
events would be lost. So before that all events are delivered, and the threads are joined.
A callback that does not return in time is left behind: it must not stop the program from
ending.
"""

from __future__ import annotations

import atexit
import os
import time
import weakref
from typing import TYPE_CHECKING, List

from ._errors import BramaError
from ._subscription import CallbackSubscription, Subscription

if TYPE_CHECKING:
    from ._publisher import Publisher

#: How long the end of the interpreter waits for all callbacks together, in seconds.
PATIENCE = 2.0

_subscriptions: weakref.WeakSet[Subscription] = weakref.WeakSet()


def watch(subscription: Subscription) -> None:
    _subscriptions.add(subscription)


def _in_child() -> None:
    for subscription in list(_subscriptions):
        subscription._after_fork()


def _at_exit() -> None:
    served = [s for s in list(_subscriptions) if isinstance(s, CallbackSubscription) and s._thread]
    managers: List[Publisher] = []
    for subscription in served:
        manager = subscription._manager()
        if manager is not None and manager not in managers:
            managers.append(manager)
    for manager in managers:
        try:
            manager._native.poll()
        except BramaError:
            pass  # The manager was shut down, and has delivered everything.
    for subscription in served:
        subscription._queue.close()
    deadline = time.monotonic() + PATIENCE
    for subscription in served:
        if not subscription.is_being_served_here:
            subscription.finish(deadline)


atexit.register(_at_exit)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_child)
