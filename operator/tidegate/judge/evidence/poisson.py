"""A fixed limit on a rate per time, such as restarts per pod-hour, as a test that is valid at every look.

The mixture of Poisson likelihood ratios, E = mean over j of (l_j / l_0)^N exp(-(l_j - l_0) T), for N events in a time T at
risk, with l_j multiples of the limit l_0. A factor's expectation under a rate l is exp((l - l_0) (l_j - l_0) T / l_0), at
most 1 on the null's side of l_0. (A. Wald, "Sequential Tests of Statistical Hypotheses", Ann. Math. Statist. 16 (1945)
117-186, for one alternative.)

Evidence is not divided by bursts: the restarts of a container are each an event of its own, and a few of them is all there
ever is.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from tidegate.judge.evidence.interval import Interval
from tidegate.judge.evidence.numbers import bounded, log_mean
from tidegate.judge.evidence.ratio import FARTHER, SHARES, SLIGHT
from tidegate.judge.evidence.restarts import Mixture


class PoissonTest:
    """The sequential test of a rate of at most (or at least) a limit.

    Args:
        limit: events per unit of the interval's total, above 0.
        up: whether more events than the limit are the harm; else fewer are.
    """

    def __init__(self, limit: float, *, up: bool = True) -> None:
        up_multiples = FARTHER if up else SLIGHT
        down_multiples = tuple(1 / multiple for multiple in (SLIGHT if up else FARTHER))
        multiples = (up_multiples, down_multiples) if up else (down_multiples, up_multiples)
        self.limit, self.up = limit, up
        self._factors = [[(math.log(multiple), limit * (multiple - 1)) for multiple in several] for several in multiples]
        self._harm = Mixture(0, SHARES)
        self._proof = slice(self._harm.end, self._harm.end + len(multiples[1]))

    def begin(self) -> list[float]:
        """Return the state before the first interval."""
        return self._harm.begin() + [0.0] * (self._proof.stop - self._proof.start)

    def add(self, state: list[float], interval: Interval) -> None:
        """Take an interval into the state."""
        time, events = interval.canary.total, interval.canary.bad
        if time <= 0:
            return
        harm, proof = [[events * log_ratio - time * more for log_ratio, more in factors] for factors in self._factors]
        self._harm.grow(state, interval.start, harm)
        for place, factor in enumerate(proof, self._proof.start):
            state[place] += factor

    def harm(self, state: Sequence[float]) -> float:
        """Return the evidence that the limit is exceeded."""
        return bounded(self._harm.value(state))

    def proof(self, state: Sequence[float]) -> float:
        """Return the evidence that the limit is kept."""
        return bounded(log_mean(state[self._proof]))
