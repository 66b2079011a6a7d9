"""Bytes that are changed at some places, wherever a message has them or not."""

from __future__ import annotations

from collections.abc import Iterable

import hypothesis.strategies as st

DAMAGE = st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), max_size=4)
"""Places, and what stands there then."""


def damaged(data: bytes, damage: Iterable[tuple[int, int]]) -> bytes:
    """Return bytes with other ones at these places."""
    found = bytearray(data)
    for place, value in damage:
        if place < len(found):
            found[place] = value
    return bytes(found)
