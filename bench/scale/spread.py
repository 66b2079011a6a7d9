"""Figures of one group, with what there is to say of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any


class Found(dict[str, float]):
    """Figures by name.

    Attributes:
        notes: what there is to say of some of them.
        samples: what was seen over the time of the run, in a form for JSON; None where nothing was.
    """

    def __init__(self) -> None:
        super().__init__()
        self.notes: dict[str, str] = {}
        self.samples: dict[str, Any] | None = None

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
