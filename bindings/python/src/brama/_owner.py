"""Objects that hold an address of the library, and so belong to their process.

`Owner` keeps an address from being used after its object in the library is gone. It holds the
address in a slot. `give_back` empties the slot before it gives the address back. A read of the
empty slot raises. So the finalisers of one garbage cycle may run in any order: a method that
is called after its object's finaliser raises an exception.

A copy of an object that holds an address would give that address back a second time, and
in another process it would point nowhere. `Unshared` therefore refuses to be copied and to
be pickled, and says what to do instead.

Rejected: a test in each method (easily forgotten in one of them); an address that the
collector of cycles does not see, so that it outlives all finalisers of its cycle (no kind
of object is invisible to the collectors of all versions of Python).
"""

from __future__ import annotations

from typing import Any, Callable, NoReturn

from ._errors import BramaError


class Unshared:
    """Refuses to be copied and pickled."""

    __slots__ = ()

    #: What to do instead of copying it.
    _instead: str = "make one there"

    def _refuse(self) -> NoReturn:
        kind = type(self).__name__
        raise TypeError(
            f"a brama.{kind} belongs to its process and cannot be copied or pickled: "
            f"{self._instead}"
        )

    def __reduce_ex__(self, protocol: Any) -> NoReturn:
        self._refuse()

    def __reduce__(self) -> NoReturn:
        self._refuse()

    def __copy__(self) -> NoReturn:
        self._refuse()

    def __deepcopy__(self, memo: object) -> NoReturn:
        self._refuse()


class Owner(Unshared):
    """An address of the library, given back exactly once."""

    __slots__ = ("_address",)

    _address: Any

    #: The library's function that ends what the address points to.
    _free: Callable[[Any], object]

    def __init__(self, address: Any) -> None:
        self._address = address

    @property
    def address(self) -> Any:
        """The address. Raises BramaError after it was given back."""
        try:
            return self._address
        except AttributeError:
            raise gone(self) from None

    def give_back(self) -> None:
        """Gives the address back. Further calls do nothing."""
        try:
            address = self._address
            del self._address
        except AttributeError:  # Given back before, or never had.
            return
        self._free(address)

    def __del__(self) -> None:
        self.give_back()


def gone(what: object) -> BramaError:
    kind = type(what).__name__.lower()
    return BramaError(f"this {kind} was given back when its object was collected as garbage")
