"""What other tools do with the same counts: limits on windows, and tests that assume a single look.

Every function takes counts for each look and returns the number of looks after which it stops the rollout, or None.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right, insort
from collections import Counter
from dataclasses import dataclass

LOOKS_A_MINUTE = 12
POINT = 0.01
ONE_SIDED_1_PERCENT = 2.3263478740408408
"""Standard normal quantile of 99%."""
LEAST_REQUESTS = 20
"""Requests of the new version that a comparison needs."""
LEAST_POINTS = 10
"""Points of each version that a rank test needs."""
TOLERANCE = 0.25
"""Kayenta's: the shift must exceed this share of its estimate."""


@dataclass(frozen=True)
class Looks:
    """Counts of both versions, a number for each look of 5 s."""

    canary: list[int]
    canary_bad: list[int]
    stable: list[int]
    stable_bad: list[int]

    def minutes(self) -> list[tuple[int, int, int, int]]:
        """Return the sums of each whole minute."""
        columns = (self.canary, self.canary_bad, self.stable, self.stable_bad)
        sums = [
            [sum(column[begin : begin + LOOKS_A_MINUTE]) for begin in range(0, len(column) - LOOKS_A_MINUTE + 1, LOOKS_A_MINUTE)]
            for column in columns
        ]
        return list(zip(*sums, strict=True))


def window_limit(looks: Looks, *, allowed: int) -> int | None:
    """One point more than stable in a 1-minute window, looked at every minute, with so many failures allowed.

    Argo Rollouts' `failureLimit` and Flagger's `threshold`: failures are counted over the whole analysis, and one more stops it.
    """
    failures = 0
    for minute, (n_c, e_c, n_b, e_b) in enumerate(looks.minutes(), 1):
        if n_c and n_b and e_c / n_c - e_b / n_b >= POINT:
            failures += 1
            if failures > allowed:
                return minute * LOOKS_A_MINUTE
    return None


def plain_limit(looks: Looks) -> int | None:
    """One point more than stable in a 1-minute window, looked at every 30 s from 20 requests on; the first failure stops."""
    half = LOOKS_A_MINUTE // 2
    for end in range(half, len(looks.canary) + 1, half):
        begin = max(0, end - LOOKS_A_MINUTE)
        n_c, n_b = sum(looks.canary[begin:end]), sum(looks.stable[begin:end])
        if n_c >= LEAST_REQUESTS and n_b:
            above = sum(looks.canary_bad[begin:end]) / n_c - sum(looks.stable_bad[begin:end]) / n_b
            if above >= POINT * (1 - 1e-9):
                return end
    return None


def peeked_z_test(looks: Looks) -> int | None:
    """A one-sided test of two proportions at 1% on all counts so far, repeated at every look."""
    n_c = e_c = n_b = e_b = 0
    columns = zip(looks.canary, looks.canary_bad, looks.stable, looks.stable_bad, strict=True)
    for look, (canary, canary_bad, stable, stable_bad) in enumerate(columns, 1):
        n_c, e_c, n_b, e_b = n_c + canary, e_c + canary_bad, n_b + stable, e_b + stable_bad
        if not canary_bad or n_c < LEAST_REQUESTS or not n_b:
            continue
        share = (e_c + e_b) / (n_c + n_b)
        spread = share * (1 - share) * (1 / n_c + 1 / n_b)
        if spread > 0 and e_c / n_c - e_b / n_b > ONE_SIDED_1_PERCENT * math.sqrt(spread):
            return look
        if share >= 1 and e_c >= LEAST_REQUESTS:
            return look
    return None


def mann_whitney(looks: Looks) -> int | None:
    """Kayenta's judge on 1-minute points of both versions, repeated every minute.

    The new version is worse where the 98% confidence interval of the shift between the two samples (Hodges and Lehmann's, from the
    test of Mann and Whitney in the normal approximation with correction for ties) lies above a quarter of its estimate.
    """
    ranks = _Ranks()
    for minute, (n_c, e_c, n_b, e_b) in enumerate(looks.minutes(), 1):
        if n_c:
            ranks.add_canary(e_c / n_c)
        if n_b:
            ranks.add_stable(e_b / n_b)
        if ranks.worse():
            return minute * LOOKS_A_MINUTE
    return None


class _Ranks:
    """Two samples, sorted, with Mann and Whitney's U and the sum over ties kept up to date."""

    def __init__(self) -> None:
        self._canary: list[float] = []
        self._stable: list[float] = []
        self._equal: Counter[float] = Counter()
        self._u = 0.0
        self._ties = 0

    def add_canary(self, value: float) -> None:
        self._u += (bisect_left(self._stable, value) + bisect_right(self._stable, value)) / 2
        insort(self._canary, value)
        self._count(value)

    def add_stable(self, value: float) -> None:
        self._u += len(self._canary) - (bisect_left(self._canary, value) + bisect_right(self._canary, value)) / 2
        insort(self._stable, value)
        self._count(value)

    def worse(self) -> bool:
        """Whether the new version's values are significantly greater, by more than the tolerance."""
        m, n = len(self._canary), len(self._stable)
        if m < LEAST_POINTS or n < LEAST_POINTS:
            return False
        total = m + n
        variance = m * n / 12 * (total + 1 - self._ties / (total * (total - 1)))
        if variance <= 0 or self._u - m * n / 2 - 0.5 <= ONE_SIDED_1_PERCENT * math.sqrt(variance):
            return False
        shifts = sorted([canary - stable for canary in self._canary for stable in self._stable])
        lowest = max(0, math.floor(m * n / 2 - ONE_SIDED_1_PERCENT * math.sqrt(variance)))
        return shifts[lowest] > TOLERANCE * abs(shifts[len(shifts) // 2])

    def _count(self, value: float) -> None:
        before = self._equal[value]
        self._equal[value] = before + 1
        self._ties += (before + 1) ** 3 - (before + 1) - (before**3 - before)


COMPARATORS = {
    "limit, 3 failures allowed": lambda looks: window_limit(looks, allowed=3),
    "limit, 5 failures allowed": lambda looks: window_limit(looks, allowed=5),
    "limit, first failure": plain_limit,
    "z-test at every look": peeked_z_test,
    "Mann-Whitney every minute": mann_whitney,
}
