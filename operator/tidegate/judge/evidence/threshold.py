"""A fixed limit on the new version's share of bad events, as a test that is valid at every look.

The mixture of Bernoulli likelihood ratios, E = mean over j of (p_j / p_0)^x ((1 - p_j) / (1 - p_0))^(n - x), with the odds of p_j
multiples of the odds of p_0 (H. Robbins, Ann. Math. Statist. 41 (1970) 1397-1409; with one alternative it is Wald's sequential
probability ratio test). A factor's expectation is 1 + (p - p_0) (p_j - p_0) / (p_0 (1 - p_0)), at most 1 for every p on the null's
side of p_0, so that p may change from request to request. That is for independent events; harm is kept also for events that
come in bursts (`bursts.factors`), and proof is divided by what is known of them.
"""

from __future__ import annotations

from collections.abc import Sequence

from tidegate.judge.evidence import bursts
from tidegate.judge.evidence.interval import Interval
from tidegate.judge.evidence.numbers import MOST, bounded, odds_logs, odds_times
from tidegate.judge.evidence.ratio import FARTHER, SHARES, SLIGHT
from tidegate.judge.evidence.restarts import Mixture

_TOTALS = slice(0, 2)
_BURSTS = slice(2, 2 + len(bursts.GRID))


class ThresholdTest:
    """The sequential test of p_c <= limit, or of p_c >= it.

    Args:
        limit: the greatest share of bad events (or the least), above 0 and below 1.
        up: whether more bad events than the limit are the harm; else fewer are.
    """

    def __init__(self, limit: float, *, up: bool = True) -> None:
        up_multiples = FARTHER if up else SLIGHT
        down_multiples = tuple(1 / multiple for multiple in (SLIGHT if up else FARTHER))
        multiples = (up_multiples, down_multiples) if up else (down_multiples, up_multiples)
        self.limit, self.up = limit, up
        self._factors = [[odds_logs(limit, multiple) for multiple in several] for several in multiples]
        self._alternatives = [odds_times(limit, multiple) for multiple in multiples[0]]
        self._harm = Mixture(_BURSTS.stop, SHARES, len(bursts.GRID))
        self._proof = slice(self._harm.end, self._harm.end + len(multiples[1]))

    def begin(self) -> list[float]:
        """Return the state before the first interval: total and bad ones, bursts, harm and proof."""
        return [0.0, 0.0, *bursts.weights_at(1.0), *self._harm.begin(), *([0.0] * (self._proof.stop - self._proof.start))]

    def add(self, state: list[float], interval: Interval) -> None:
        """Take an interval into the state."""
        state[_BURSTS] = bursts.weights_at(interval.bursts)
        bad, good = interval.canary.bad, interval.canary.total - interval.canary.bad
        if interval.canary.total <= 0:
            return
        state[_TOTALS] = [state[0] + interval.canary.total, state[1] + bad]
        harm, proof = [[bad * log_bad + good * log_good for log_bad, log_good in factors] for factors in self._factors]
        total = interval.canary.total
        means = [(self.limit * total, share * total) for share in self._alternatives]
        in_bursts = [bursts.factors(bad, means, phi) for phi in bursts.GRID[1:]]
        self._harm.grow(state, interval.start, harm, *in_bursts)
        for place, factor in enumerate(proof, self._proof.start):
            state[place] += factor

    def harm(self, state: Sequence[float]) -> float:
        """Return the evidence that the limit is exceeded."""

        def value(place: int) -> float:
            return self._harm.value(state, place)

        hopeless = self.up and bursts.hopeless(state[0], state[1])
        return bounded(bursts.discounted(value, state[_BURSTS], hopeless=hopeless))

    def proof(self, state: Sequence[float]) -> float:
        """Return the evidence that the limit is kept."""
        return bounded(bursts.discounted_mean(state[self._proof], state[_BURSTS]))

    def weights(self, state: Sequence[float]) -> list[float]:
        """Return what is known of bursts: the probability of each phi in `bursts.GRID`."""
        return list(state[_BURSTS])

    def temper(self, state: list[float], weights: Sequence[float], *, told: bool = True) -> None:  # noqa: ARG002 - as others'
        """Weigh all evidence so far by what is known of bursts now: the probability of each phi in `bursts.GRID`."""
        state[_BURSTS] = weights


class NoneAllowed:
    """The test of a limit of no bad events at all: one of them is beyond doubt, and nothing can show that there will be none."""

    def begin(self) -> list[float]:
        """Return the state before the first interval: the new version's bad events."""
        return [0.0]

    def add(self, state: list[float], interval: Interval) -> None:
        """Count the new version's bad events."""
        state[0] += interval.canary.bad

    def harm(self, state: Sequence[float]) -> float:
        """Return certainty from the first bad event on."""
        return MOST if state[0] > 0 else 0.0

    def proof(self, state: Sequence[float]) -> float:  # noqa: ARG002 - the protocol's signature
        """Return no evidence."""
        return 0.0
