"""What is under way, in a file that outlives the process: whoever reads it afterwards knows over what it died.

The file is mapped into memory. To write a few bytes there takes less than a microsecond and no call to the kernel, so it is done at
each turn of the event loop; what is written stays in the file however the process ends.
"""

from __future__ import annotations

import fcntl
import json
import mmap
import os
from pathlib import Path

from tidegate.runtime.turns import Work

_PLACES = 255
"""Pieces of work that are written down at once; those beyond are not."""
_SIZE = 512
"""Bytes for one: names have 63, 253 and 63 characters at most."""
_LENGTH = 2


class MarkFile:
    """The file of one process.

    The first bytes hold whose turn it is, 0 for nobody's; then there is a place for each piece of work, with its length before it.

    Args:
        path: the file; made if it is not there, for this user alone.

    Raises:
        OSError: it cannot be used, or another process that is alive uses it.
    """

    def __init__(self, path: Path) -> None:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            # The lock lasts for as long as the map, which has the descriptor a second time; a process that has died holds none.
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.ftruncate(descriptor, _SIZE * (_PLACES + 1))
            self._map = mmap.mmap(descriptor, _SIZE * (_PLACES + 1))
        finally:
            os.close(descriptor)
        self.certain = self._map[0] != 0
        """Whether the process before died in somebody's turn."""
        self.left = self._read()
        """What the process before was at when it died: that whose turn it was, or else all that was under way; nothing where it
        has ended in order."""
        self._map[:] = bytes(len(self._map))
        self._free = list(range(_PLACES, 0, -1))

    def begin(self, work: Work) -> int:
        """Note that a piece of work has begun, and return its place; 0 where there is none left."""
        text = json.dumps([work.namespace, work.release, work.gate]).encode()
        if not self._free or len(text) > _SIZE - _LENGTH:
            return 0
        place = self._free.pop()
        at = place * _SIZE
        self._map[at + _LENGTH : at + _LENGTH + len(text)] = text
        self._map[at : at + _LENGTH] = len(text).to_bytes(_LENGTH, "big")
        return place

    def end(self, place: int) -> None:
        """Note that it has come to its end."""
        if place:
            self._map[place * _SIZE : place * _SIZE + _LENGTH] = bytes(_LENGTH)
            self._free.append(place)

    def turn(self, place: int) -> None:
        """Note whose turn it is; 0 for nobody's."""
        self._map[0] = place

    def close(self) -> None:
        """End in order: nothing is under way any more."""
        self._map[:] = bytes(len(self._map))
        self._map.close()

    def _read(self) -> tuple[Work, ...]:
        turn = self._map[0]
        found = (self._at(place) for place in ([turn] if turn else range(1, _PLACES + 1)))
        return tuple(work for work in found if work is not None)

    def _at(self, place: int) -> Work | None:
        at = place * _SIZE
        length = int.from_bytes(self._map[at : at + _LENGTH], "big")
        try:
            namespace, release, gate = json.loads(self._map[at + _LENGTH : at + _LENGTH + min(length, _SIZE - _LENGTH)])
        except (ValueError, TypeError):
            return None
        return Work(namespace, release, gate) if all(isinstance(one, str) for one in (namespace, release, gate)) else None
