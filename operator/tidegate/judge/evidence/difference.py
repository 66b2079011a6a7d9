"""Factors of evidence on a linear margin between two shares of bad events, from the counts of one interval.

Null: p_c <= slope * p_b + offset (or >=). Against a point alternative (c*, b*) that was chosen from earlier intervals only,
the factor is the likelihood ratio to the reverse information projection (c°, b°) of the alternative on the null, which lies
on the line:

    M = (c*/c°)^e_c ((1-c*)/(1-c°))^(n_c-e_c) (b*/b°)^e_b ((1-b*)/(1-b°))^(n_b-e_b),

b° minimising n_c KL(c* || c) + n_b KL(b* || b) with c = slope b + offset. Turner, Ly and Grünwald, "Generic E-variables for
exact sequential k-sample tests", J. Statist. Plann. Inference 230 (2024) (arXiv 2106.02693); Turner and Grünwald, arXiv
2203.09785. Since log x <= x - 1, for a null point (c, b) on the line log E[M] <= D (b - b°), with the derivative D of that
sum (negated) at b°. D is 0 at the projection; what a finite number of Newton steps leaves of it is taken off at the worst
b, so that the factor is exact.

The alternatives keep stable's share b* as it was so far, and give the new version a multiple of the odds at the limit.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from tidegate.judge.evidence.numbers import odds_times

SMALLEST = 1e-9
"""Shares are kept this far from 0 and 1, where logarithms end."""
_STEPS = 12
_EXACT = 1e-6
"""Derivative that is as good as 0: it costs no more than that of the evidence."""


class Pair(NamedTuple):
    """An alternative and its projection on the null.

    Attributes:
        canary: share of bad events of the new version under the alternative,
        canary_null: and under the null.
        stable: share of stable under the alternative,
        stable_null: and under the null.
        inexact: what is taken off as the projection is not exact.
    """

    canary: float
    canary_null: float
    stable: float
    stable_null: float
    inexact: float


class MarginFactors:
    """The factors of evidence for several alternatives to one linear margin.

    Args:
        slope: of the limit of p_c as a function of p_b, above 0.
        offset: the limit where p_b is 0.
        multiples: the alternatives, as multiples of the odds at the limit; all above 1 (p_c beyond the limit), or all below 1.
    """

    def __init__(self, slope: float, offset: float, multiples: tuple[float, ...]) -> None:
        self.slope = slope
        self.offset = offset
        self.multiples = multiples
        self.least = max(0.0, -offset / slope)
        self.most = min(1.0, (1 - offset) / slope)

    def of(self, canary_total: float, canary_bad: float, stable_total: float, stable_bad: float, expected: float) -> list[float]:
        """Return the logarithm of the factor for each alternative; both totals must be above 0.

        For many laws of the same interval, ask for the `pairs` once and hand them to `given`.

        Args:
            canary_total: requests of the new version.
            canary_bad: bad ones among them.
            stable_total: requests of stable.
            stable_bad: bad ones among them.
            expected: stable's share of bad events, from earlier intervals only.
        """
        return self.given(self.pairs(canary_total, stable_total, expected), canary_total, canary_bad, stable_total, stable_bad)

    def given(
        self, pairs: Sequence[Pair], canary_total: float, canary_bad: float, stable_total: float, stable_bad: float
    ) -> list[float]:
        """Return the logarithm of the factor for each pair; 0 for every alternative where there is none."""
        good, stable_good, log = canary_total - canary_bad, stable_total - stable_bad, math.log
        factors = []
        for c1, c0, b1, b0, inexact in pairs:
            canary = canary_bad * log(c1 / c0) + good * log((1 - c1) / (1 - c0))
            stable = stable_bad * log(b1 / b0) + stable_good * log((1 - b1) / (1 - b0))
            factors.append(canary + stable - inexact)
        return factors or [0.0] * len(self.multiples)

    def pairs(self, canary_total: float, stable_total: float, expected: float) -> list[Pair]:
        """Return what each alternative says, and its projection; none where there is none. Arguments as for `of`."""
        share = min(max(expected, SMALLEST), 1 - SMALLEST)
        limit = self.slope * share + self.offset
        if not SMALLEST <= limit <= 1 - SMALLEST or self.most - self.least < 4 * SMALLEST:
            return []
        found = []
        for multiple in self.multiples:
            c1 = odds_times(limit, multiple)
            b0, left = self._projection(c1, share, canary_total, stable_total)
            found.append(Pair(c1, self.slope * b0 + self.offset, share, b0, max(left * (1 - b0), -left * b0)))
        return found

    def _projection(self, c1: float, b1: float, n_c: float, n_b: float) -> tuple[float, float]:
        """Return b° and the negated derivative there, by Newton's method kept within a bracket.

        The derivative rises with b, is of one sign at b1 and of the other where c = c1.
        """
        slope, offset = self.slope, self.offset
        other = (c1 - offset) / slope
        low, high = (b1, other) if b1 < other else (other, b1)
        low, high = max(low, self.least + SMALLEST / 2), min(high, self.most - SMALLEST / 2)
        v_c, v_b = c1 * (1 - c1) / (n_c * slope * slope), b1 * (1 - b1) / n_b
        b = min(max((other * v_b + b1 * v_c) / (v_b + v_c), low), high)
        rise = 0.0
        for _ in range(_STEPS):
            c = slope * b + offset
            vc, vb = c * (1 - c), b * (1 - b)
            dc, db = c - c1, b - b1
            rise = n_c * slope * dc / vc + n_b * db / vb
            if rise > 0:
                high = b
            else:
                low = b
            if abs(rise) <= _EXACT:
                break
            curve = n_c * slope * slope * (vc - dc * (1 - 2 * c)) / (vc * vc) + n_b * (vb - db * (1 - 2 * b)) / (vb * vb)
            step = rise / curve if curve > 0 else math.inf
            b = b - step if low < b - step < high else (low + high) / 2
        else:
            c = slope * b + offset
            rise = n_c * slope * (c - c1) / (c * (1 - c)) + n_b * (b - b1) / (b * (1 - b))
        return b, -rise
