"""Figures of one group, with what there is to say of them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
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


def beside_plain(taken: Mapping[str, Sequence[float]], other: str) -> Found:
    """Return p50 and p99 of breaches of each kind, and `ratio p50`: of another kind over `plain`.

    Args:
        taken: seconds from the first bad reading to stable, by kind.
        other: the kind that is compared.
    """
    found = Found()
    for kind, seconds in taken.items():
        found[f"{kind} p50"], found[f"{kind} p99"] = percentile(seconds, 0.5), percentile(seconds, 0.99)
        found.note(f"{kind} p99", f"{len(seconds)} breaches, the worst {max(seconds):.2f} s")
    found["ratio p50"] = found[f"{other} p50"] / found["plain p50"]
    return found
