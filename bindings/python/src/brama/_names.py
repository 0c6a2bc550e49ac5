"""The handles that a manager keeps for names.

Calls by name (`guard`, `acquire`, a circuit by argument) go through a kept handle, so that
they cost no look-up in the library. A handle keeps its connection from being cleaned up. So
the number of kept handles is bounded: the oldest are dropped. Their connections can then be
cleaned up if they are idle.
"""

from __future__ import annotations

import sys
import warnings
from typing import Any, Callable, Dict, Optional, Tuple

from . import _ffi
from ._abi import Fields, Pairs
from ._errors import BramaError
from ._handle import Handle
from ._values import key

#: The number of names for which handles are kept.
LIMIT = 1_024
#: How often a call looks for a connection that is unregistered again and again meanwhile.
TRIES = 16


class Names:
    """The handles of one manager."""

    __slots__ = ("_kept", "_warned", "native")

    def __init__(self, native: _ffi.Manager) -> None:
        self.native = native
        self._kept: Dict[Tuple[str, Optional[str]], Handle] = {}
        #: Names for which a warning about other settings was given.
        self._warned: Dict[Tuple[str, Optional[str]], None] = {}

    def register(
        self, identifier: str, scope: Optional[str], fields: Fields, metadata: Pairs
    ) -> Handle:
        name = key(identifier, scope)
        return Handle(self.native, self.native.register(name, fields, metadata), name)

    def get_or_register(
        self, identifier: str, scope: Optional[str], fields: Fields, metadata: Pairs
    ) -> Handle:
        name = key(identifier, scope)
        address = self.native.get_or_register(name, fields, metadata)
        handle = Handle(self.native, address, name)
        if fields or metadata is not None:
            self._warn_of_other_settings(handle, fields, metadata)
        return handle

    def _warn_of_other_settings(self, handle: Handle, fields: Fields, metadata: Pairs) -> None:
        """Warns if the connection has other settings than those given, once for each name."""
        name = handle.identifier, handle.scope
        if name in self._warned:
            return
        try:
            others = handle.others_than(fields, metadata)
        except BramaError:  # It is gone again.
            return
        if not others:
            return
        self.bound(self._warned)
        self._warned[name] = None
        scope = "" if handle.scope is None else f" in scope {handle.scope!r}"
        warnings.warn(
            f"connection {handle.identifier!r}{scope} is registered with other settings than "
            f"were given, and keeps its own: {', '.join(others)}",
            stacklevel=_frames_of_the_package() + 1,
        )

    def connection(self, identifier: str, scope: Optional[str]) -> Handle:
        """A new handle. Raises: NotFound, InvalidArgument, ShutDown"""
        name = key(identifier, scope)
        return Handle(self.native, self.native.connection(name), name)

    def recent(self, identifier: str, scope: Optional[str]) -> Optional[Handle]:
        """The handle that is kept for a name, or None. Its connection may be gone."""
        try:
            return self._kept.get((identifier, scope))
        except TypeError:  # It cannot be hashed, so it is no name.
            return None

    def keep(self, handle: Handle) -> Handle:
        self.bound(self._kept)
        self._kept[handle.identifier, handle.scope] = handle
        return handle

    def forget(self, handle: Handle) -> None:
        name = handle.identifier, handle.scope
        if self._kept.get(name) is handle:
            self._kept.pop(name, None)

    @staticmethod
    def bound(kept: Dict[Any, Any]) -> None:
        """Drops the oldest entry of a full dict."""
        if len(kept) >= LIMIT:
            try:
                kept.pop(next(iter(kept)), None)
            except RuntimeError:  # Another thread has changed it meanwhile.
                pass


def _frames_of_the_package() -> int:
    """How many frames of this package there are, from the caller's up to the program's own."""
    frame, frames = sys._getframe(1), 0
    while frame is not None and frame.f_globals.get("__package__") == __package__:
        frame, frames = frame.f_back, frames + 1  # type: ignore[assignment]
    return frames


class Source:
    """Where a guarded function gets its handle."""

    __slots__ = ()

    def handle_for(self, args: Tuple[Any, ...], kwargs: Dict[str, Any]) -> Handle:
        """The handle for a call with these arguments."""
        raise NotImplementedError

    def again(self, handle: Handle) -> Handle:
        """Another handle, after the connection of this one was unregistered."""
        raise NotImplementedError


class Fixed(Source):
    """A handle that was given."""

    __slots__ = ("handle",)

    def __init__(self, handle: Handle) -> None:
        self.handle = handle

    def handle_for(self, args: Tuple[Any, ...], kwargs: Dict[str, Any]) -> Handle:
        return self.handle

    def again(self, handle: Handle) -> Handle:
        handle.status()  # Raises `NotFound`.
        return handle


class Registered(Source):
    """One connection. It is registered if it is not yet."""

    __slots__ = ("_names", "_scope", "_settings", "handle")

    def __init__(
        self, names: Names, identifier: str, scope: Optional[str], fields: Fields, metadata: Pairs
    ) -> None:
        self._names = names
        self._scope = scope
        self._settings = fields, metadata
        self.handle = names.get_or_register(identifier, scope, fields, metadata)

    def handle_for(self, args: Tuple[Any, ...], kwargs: Dict[str, Any]) -> Handle:
        return self.handle

    def again(self, handle: Handle) -> Handle:
        self.handle = self._names.get_or_register(handle.identifier, self._scope, *self._settings)
        return self.handle


class RegisteredByArgument(Source):
    """A connection for each name that a function makes of a call's arguments."""

    __slots__ = ("_name_of", "_names", "_scope", "_settings")

    def __init__(
        self,
        names: Names,
        name_of: Callable[..., str],
        scope: Optional[str],
        fields: Fields,
        metadata: Pairs,
    ) -> None:
        self._names = names
        self._name_of = name_of
        self._scope = scope
        self._settings = fields, metadata

    def handle_for(self, args: Tuple[Any, ...], kwargs: Dict[str, Any]) -> Handle:
        name = self._name_of(*args, **kwargs)
        return self._names.recent(name, self._scope) or self._register(name)

    def again(self, handle: Handle) -> Handle:
        return self._register(handle.identifier)

    def _register(self, name: str) -> Handle:
        handle = self._names.get_or_register(name, self._scope, *self._settings)
        return self._names.keep(handle)
