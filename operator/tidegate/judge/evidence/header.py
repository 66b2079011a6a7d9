"""What a trial counts besides its tests: totals, the present rate, and what is only computed now and then.

It is kept in the status as a stretch of floats, like the states of the tests, so its fields have an order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Self


@dataclass(slots=True)
class Header:
    """The numbers of one gate; each look changes them.

    Attributes:
        origin: when counting began, in seconds since 1970; what follows is reckoned from there.
        end: seconds until the end of the last interval.
        canary_requests: of the new version, in all.
        canary_bad: the bad ones among them.
        stable_requests: likewise of stable.
        stable_bad: likewise.
        recent: requests of the new version, older ones faded.
        seconds: time that they took, faded likewise.
        shown: when what is only shown was computed last, in seconds; -1 before it ever was.
        low: lower end of the ratio's interval; -1 where there is none.
        high: upper end, likewise.
        target: requests of the new version at which there is likely to be a verdict; -1 where none is in sight.
        drift: 1 where the counts move towards Fail, -1 towards Pass, 0 towards neither.
    """

    origin: float
    end: float = 0.0
    canary_requests: float = 0.0
    canary_bad: float = 0.0
    stable_requests: float = 0.0
    stable_bad: float = 0.0
    recent: float = 0.0
    seconds: float = 0.0
    shown: float = -1.0
    low: float = -1.0
    high: float = -1.0
    target: float = -1.0
    drift: float = 0.0

    @classmethod
    def of_floats(cls, found: Sequence[float]) -> Self:
        """Read it as it is stored, `FLOATS` of them."""
        return cls(*found)

    def to_floats(self) -> list[float]:
        """Return it as it is stored."""
        return [getattr(self, name) for name in _NAMES]


_NAMES = tuple(field.name for field in fields(Header))
FLOATS = len(_NAMES)
