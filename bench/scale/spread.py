"""Figures of one group, with what there is to say of them."""

from __future__ import annotations

import math
from collections.abc import Sequence


class Found(dict[str, float]):
    """Figures by name."""

    def __init__(self) -> None:
        super().__init__()
        self.notes: dict[str, str] = {}

    def note(self, name: str, words: str) -> None:
        """Say something of a figure."""
        self.notes[name] = words


def percentile(values: Sequence[float], share: float) -> float:
    """Return the smallest value that at least this share of all values does not exceed (the nearest-rank method).

    Args:
        values: at least one.
        share: above 0, at most 1.
    """
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]
