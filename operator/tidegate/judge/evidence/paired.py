"""A limit on the new version's share of bad events relative to stable's, as a test that is valid at every look.

Harm: the mixture over alternatives beyond the limit and over starting times (`restarts`) of the factors of each interval.
Which factor is used depends on earlier intervals only: `ratio` where the limit is a multiple of stable's share,
`difference` where it has an offset or where bad events are so frequent that `ratio` gives away too much. Proof: the mixture
over alternatives within the limit, all starting at the first request. A part of the weight of harm is kept for the time
when stable has no traffic (`alone`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from tidegate.judge.evidence import bursts
from tidegate.judge.evidence.alone import RESERVE, AloneMixture
from tidegate.judge.evidence.difference import SMALLEST, MarginFactors
from tidegate.judge.evidence.interval import Interval
from tidegate.judge.evidence.numbers import bounded, log_add
from tidegate.judge.evidence.ratio import FARTHER, SHARES, SLIGHT, RatioFactors
from tidegate.judge.evidence.restarts import Mixture

FREQUENT = 0.1
"""Share of bad events at the limit from which on the exact factors are used for ratios, too."""
_KNOWN = 50
"""Requests of stable that this is decided on, at least."""
_USUAL = 0.01
"""What stable's share is taken for at first."""
_HARM, _PROOF = 0, 1
_TOTALS = slice(0, 4)
_BURSTS = slice(4, 4 + len(bursts.GRID))


class PairedTest:
    """The sequential test of p_c <= slope * p_b + offset, or of p_c >= it.

    Args:
        slope: of the limit as a function of stable's share of bad events p_b, above 0.
        offset: the limit where p_b is 0.
        up: whether more bad events than the limit are the harm; else fewer are.
    """

    def __init__(self, slope: float, offset: float = 0.0, *, up: bool = True) -> None:
        self.slope = slope
        self.offset = offset
        self.up = up
        down_multiples = tuple(1 / multiple for multiple in (SLIGHT if up else FARTHER))
        up_multiples = FARTHER if up else SLIGHT
        multiples = (up_multiples, down_multiples) if up else (down_multiples, up_multiples)
        self._ratio = [RatioFactors(slope, several) for several in multiples]
        self._margin = [MarginFactors(slope, offset, several) for several in multiples]
        self._harm = Mixture(_BURSTS.stop, SHARES, bursts.GRID)
        self._proof = slice(self._harm.end, self._harm.end + len(multiples[1]))
        self._alone = AloneMixture(self._proof.stop, self.limit, up=up)

    def limit(self, stable_share: float) -> float:
        """Return the limit of the new version's share of bad events."""
        return self.slope * stable_share + self.offset

    def begin(self) -> list[float]:
        """Return the state before the first interval: totals and bad events of both versions, bursts, harm, proof, and alone."""
        return (
            [0.0] * 4
            + bursts.weights_at(1.0)
            + self._harm.begin()
            + [0.0] * (self._proof.stop - self._proof.start)
            + self._alone.begin()
        )

    def add(self, state: list[float], interval: Interval) -> None:
        """Take an interval into the state; one in which a version has no requests says nothing, unless stable is to have none."""
        canary, stable = interval.canary, interval.stable
        state[_BURSTS] = bursts.weights_at(interval.bursts)
        if interval.alone:
            if canary.total > 0:
                self._alone.grow(state, (canary.total, canary.bad), (state[2], state[3]), interval.start, interval.bursts)
            return
        if stable is None or canary.total <= 0 or stable.total <= 0:
            return
        counts = (canary.total, canary.bad, stable.total, stable.bad)
        if harm := self._factors(_HARM, state, counts):
            self._harm.grow(state, interval.start, harm)
            for place, factor in enumerate(self._factors(_PROOF, state, counts), self._proof.start):
                state[place] += factor
        state[_TOTALS] = [before + now for before, now in zip(state[_TOTALS], counts, strict=True)]

    def harm(self, state: Sequence[float]) -> float:
        """Return the evidence that the limit is exceeded."""

        def value(place: int) -> float:
            return self._harm.value(state, place)

        hopeless = self.up and bursts.hopeless(state[0], state[1])
        paired = bursts.discounted(value, state[_BURSTS], hopeless=hopeless) + math.log(1 - RESERVE)
        return bounded(log_add(paired, self._alone.value(state) + math.log(RESERVE)))

    def proof(self, state: Sequence[float]) -> float:
        """Return the evidence that the limit is kept."""
        return bounded(bursts.discounted_mean(state[self._proof], state[_BURSTS]))

    def weights(self, state: Sequence[float]) -> list[float]:
        """Return what is known of bursts: the probability of each factor in `bursts.GRID`."""
        return list(state[_BURSTS])

    def temper(self, state: list[float], weights: Sequence[float]) -> None:
        """Discount all evidence so far by what is known of bursts now: the probability of each factor in `bursts.GRID`."""
        state[_BURSTS] = weights

    def _factors(self, which: int, state: Sequence[float], counts: tuple[float, float, float, float]) -> list[float]:
        """Return the factors of an interval; none where all of them are 1."""
        total, bad = state[2], state[3]
        if self.offset == 0:
            frequent = total >= _KNOWN and max(1.0, self.slope) * bad >= FREQUENT * total
            if not frequent:
                return self._ratio[which].of(*counts) if counts[1] + counts[3] > 0 else []
        expected = (bad + _USUAL * _KNOWN / 10) / (total + _KNOWN / 10)
        factors = self._margin[which].of(*counts, expected=min(max(expected, SMALLEST), 1 - SMALLEST))
        if which == _PROOF and total < _KNOWN:
            # A bet on what is not known yet costs evidence that nothing brings back (harm has later starts): half is kept.
            return [log_add(factor, 0.0) - math.log(2) for factor in factors]
        return factors


class NeverExceeded:
    """The test of a limit that no share of bad events can exceed: its proof is complete at the first request."""

    def begin(self) -> list[float]:
        """Return the state before the first interval: the requests of the new version."""
        return [0.0]

    def add(self, state: list[float], interval: Interval) -> None:
        """Count the new version's requests."""
        state[0] += interval.canary.total

    def harm(self, state: Sequence[float]) -> float:  # noqa: ARG002 - the protocol's signature
        """Return no evidence."""
        return 0.0

    def proof(self, state: Sequence[float]) -> float:
        """Return certainty, once there are requests."""
        return bounded(math.inf) if state[0] > 0 else 0.0
