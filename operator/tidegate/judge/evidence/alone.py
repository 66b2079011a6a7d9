"""Evidence against a stable version that has no requests any more: the new version has all the traffic.

What can be compared is the new version's counts from then on with stable's counts before, which supposes that stable's
share of bad events p_b would have stayed what it was. Under the null p_c <= g(p_b), for the true p_b = q,

    B(q) * C(q),   B(q) = (1 + up(q) + down(q)) / 3 from stable's totals against p_b = q,
                   C(q) from the new version's counts since then against p_c <= g(q),

is an e-process, with up and down the Bernoulli mixtures of `threshold` in both directions. As q is not known, the evidence
is the least over all q. In a cell (l, u] of q the part up(u) holds for all p_b <= u, down(l) for all p_b >= l, and C(u) for
all p_c <= g(u), so that (1 + up(u) + down(l)) / 3 * C(u) is no more than what the true q gives; the cells are laid around
stable's rate when the traffic ends, and cover 0 to 1. The constant 1 in B keeps it from sinking where q is right (Howard
and Ramdas, Bernoulli 28 (2022), arXiv 1906.09712, Theorem 5, compare two samples in the same way).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from tidegate.judge.evidence.numbers import log_mean, odds_logs, odds_times
from tidegate.judge.evidence.ratio import FARTHER, SHARES
from tidegate.judge.evidence.restarts import Mixture

RESERVE = 0.02
"""Weight that is set aside for this part of the evidence, from the beginning on."""
_STEPS = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.5, 6.5)
"""Edges of the cells, in standard deviations of the logarithm of stable's rate."""
_MULTIPLES = (1.03, 1.1, 1.25, 1.6, 2.5, 6.0)
"""Alternatives to a supposed rate of stable, as multiples of its odds, up and down."""


class AloneMixture:
    """The last stretch of a test's state: when stable's traffic ended, B beyond the cells, then for each its edge, B and mixture.

    Args:
        offset: index in the state at which the stretch begins.
        limit: the limit of p_c as a rising function of p_b.
        up: whether p_c above the limit is the harm.
    """

    def __init__(self, offset: int, limit: Callable[[float], float], *, up: bool) -> None:
        self.offset = offset
        self.limit = limit
        self.up = up
        self.multiples = FARTHER if up else tuple(1 / multiple for multiple in FARTHER)
        self.parts = [Mixture(offset + 4 + i * (len(FARTHER) + 3), SHARES) for i in range(len(_STEPS))]
        self.end = self.parts[-1].end

    def begin(self) -> list[float]:
        """Return the stretch while stable has traffic: nothing but that there is no time yet. It grows when cells are laid."""
        return [-1.0]

    def grow(self, state: list[float], canary: tuple[float, float], stable: tuple[float, float], at: float, bursts: float) -> None:
        """Take an interval in which only the new version had traffic.

        Args:
            state: the test's state.
            canary: total and bad of the new version in the interval.
            stable: total and bad of stable while it had traffic.
            at: seconds from the first request to the beginning of the interval.
            bursts: factor by which the evidence is divided.
        """
        if stable[0] <= 0:
            return
        if state[self.offset] < 0:
            self._lay_cells(state, stable, at, bursts)
        since = at - state[self.offset]
        for part in self.parts:
            supposed = self.limit(state[part.offset - 2])
            if 0 < supposed < 1:
                part.grow(state, since, _factors(canary, supposed, self.multiples, bursts))

    def value(self, state: Sequence[float]) -> float:
        """Return the logarithm of the evidence; its least, log(1/3), while stable has traffic or never had any."""
        if state[self.offset] < 0:
            return -math.log(3)
        return min([state[self.offset + 1], *[state[part.offset - 1] + part.value(state) for part in self.parts]])

    def _lay_cells(self, state: list[float], stable: tuple[float, float], at: float, bursts: float) -> None:
        """Fix the cells and their B, and the B of all that lies beyond the last edge, where C is taken to be 1."""
        total, bad = stable
        rate = min((bad + 0.5) / (total + 1), 0.999)
        deviation = math.sqrt(bursts / (bad + 0.5)) * (1 if self.up else -1)
        edges = [min(odds_times(rate, math.exp(deviation * step)), 1.0) for step in _STEPS]
        cell = [0.0, 0.0, *self.parts[0].begin()]
        state[self.offset :] = [at, 0.0, *(cell * len(self.parts))]
        for i, part in enumerate(self.parts):
            state[part.offset - 2] = edges[i]
            state[part.offset - 1] = self._stable_part(stable, edges[i - 1] if i else None, edges[i], bursts)
        state[self.offset + 1] = self._stable_part(stable, edges[-1], None, bursts)

    def _stable_part(self, stable: tuple[float, float], near: float | None, far: float | None, bursts: float) -> float:
        """Return log B of the cell between two edges, None standing for the end of the range."""
        low, high = (near, far) if self.up else (far, near)
        parts = [0.0]
        if high is not None:
            parts.append(log_mean(_factors(stable, high, _MULTIPLES, bursts)))
        if low is not None:
            parts.append(log_mean(_factors(stable, low, tuple(1 / multiple for multiple in _MULTIPLES), bursts)))
        return log_mean(parts) + math.log(len(parts) / 3)


def _factors(counts: tuple[float, float], supposed: float, multiples: tuple[float, ...], bursts: float) -> list[float]:
    """Return the logarithms of Bernoulli likelihood ratios of multiples of the odds of a supposed share."""
    total, bad = counts
    logs = [odds_logs(supposed, multiple) for multiple in multiples]
    return [(bad * log_bad + (total - bad) * log_good) / bursts for log_bad, log_good in logs]
