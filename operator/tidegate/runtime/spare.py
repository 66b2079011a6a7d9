"""How much is kept whole of objects that nobody needs: small ones, as long as there is room for them.

Who begins to need one of them need not ask for it then. Of all others only the names are kept, so that nobody fills the memory with
objects that are no concern of Tidegate's.
"""

from __future__ import annotations

from enum import Enum

SMALL = 16 * 1024
"""Bytes of an object's text up to which it is small: few Deployments have more than half of that."""
ROOM = 64 * 1024 * 1024
"""Bytes for all small objects that nobody needs."""
ROOM_OF_ONE = ROOM // 2
"""Bytes for those of one namespace."""


class Keeping(Enum):
    """How an object is kept, and why."""

    NEEDED = "needed"
    """Whole, since somebody needs it."""
    SPARE = "spare"
    """Whole, since there was room."""
    BARE = "bare"
    """By its names."""


class Spare:
    """Counts what is kept of objects that nobody needs.

    Args:
        small: bytes of an object at most.
        room: bytes of all of them at most.
        room_of_one: bytes at most of those of one namespace.
    """

    def __init__(self, *, small: int = SMALL, room: int = ROOM, room_of_one: int = ROOM_OF_ONE) -> None:
        self._small, self._room, self._room_of_one = small, room, room_of_one
        self._held: dict[str, int] = {}
        self._total = 0

    @classmethod
    def shared(cls, count: int) -> Spare:
        """Return the room of one of so many caches of one installation: what the others need is no concern of this one."""
        return cls(room=ROOM // count, room_of_one=ROOM_OF_ONE // count)

    def takes(self, namespace: str, size: int) -> bool:
        """Whether there is room for an object of so many bytes."""
        held = self._held.get(namespace, 0)
        return size <= self._small and self._total + size <= self._room and held + size <= self._room_of_one

    def hold(self, namespace: str, size: int) -> None:
        """Count an object, or with a negative size count it no more."""
        self._total += size
        held = self._held.get(namespace, 0) + size
        if held:
            self._held[namespace] = held
        else:
            self._held.pop(namespace, None)

    def of_a_list(self) -> Spare:
        """Return one that counts a list on its way in."""
        return Spare(small=self._small, room=self._room, room_of_one=self._room_of_one)
