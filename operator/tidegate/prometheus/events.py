"""What a counter of events says: how many there were, and how many of them were bad.

A tuple, since there is one for each series of each look.
"""

from __future__ import annotations

from typing import NamedTuple


class Events(NamedTuple):
    """Counters of one process, or one counter.

    Attributes:
        total: all events.
        bad: the bad ones among them; None where there is no such counter (yet), which is the same as 0.
    """

    total: float = 0.0
    bad: float | None = None
