"""A limit on the new version's share of bad events relative to stable's, as a test that is valid at every look.

Harm: the mixture over alternatives beyond the limit and over starting times (`restarts`) of the factors of each interval, for
each law of how bad events come (`bursts`). Which factor is used for independent events depends on earlier intervals only:
`ratio` where the limit is a multiple of stable's share, `difference` where it has an offset or where bad events are so frequent
that `ratio` gives away too much. For bursts it is `bursts.splits` or, with an offset, `bursts.factors`. Proof: the mixture over
alternatives within the limit, all starting at the first request, divided by what is known of bursts. A part of the weight of
harm is kept for the time when stable has no traffic (`alone`).

**Bursts that were never seen.** A limit in points allows more bad events than stable has. That a version is healthy and events
come in bursts is one thing; that it is as bad as the limit allows, and all of that comes in bursts, while stable hardly ever
failed, is two things at once. Where nobody has seen bursts yet, the second has RARE of the chance at the new version's first
request, and the less the longer it went without a bad one: at the limit it would have had some (Bayes' rule). So two bursts right
after one another, of a version that never failed for a minute, are enough, and one is not. As soon as stable has enough bad events
to tell, or the new version has, all the weight is on the limit, whatever is seen later.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence

from tidegate.judge.evidence import bursts, usual
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
_USUAL = 0.002
"""What stable's share is taken for at first."""
_HARM, _PROOF = 0, 1
_TOTALS = slice(0, 4)
_RECENT = slice(4, 6)
_PARTS, _EVENTS = 40.0, 40.0
"""Intervals, and bad events of stable, from which its share in the next one is foretold."""
_OVER = 0.5
"""Most of what is known that is kept where stable has far fewer bad events than were expected: what was usual is over. A flood of
requests that all failed would else be what is expected for a thousand intervals, and blind the test as long."""
_BURSTS = slice(6, 6 + len(bursts.GRID))
_TOLD = _BURSTS.stop
"""Place of whether it was ever known from bad events how they come,"""
_CLEAN = _TOLD + 1
"""and of the new version's requests before its first bad one."""
RARE = 0.4
"""Probability that a version whose bursts nobody has seen has them and is as bad as the limit allows, against having them alone,
at its first request."""
_NEVER = 0.01
"""Least that a clean beginning leaves of it: a version may have begun to fail as stable does only later."""
_FIRST = 0.1
"""Bursts of stable that are supposed before there are any."""


_Counts = tuple[float, float, float, float]
"""Requests and bad ones of the new version, requests and bad ones of stable."""


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
        self._multiples = multiples[_HARM]
        more = len(bursts.GRID) - 1 if self.allows_more else 0
        self._harm = Mixture(_CLEAN + 1, SHARES, len(bursts.GRID) + more)
        self._proof = slice(self._harm.end, self._harm.end + len(multiples[1]))
        self._alone = AloneMixture(self._proof.stop, self.limit, up=up)

    @property
    def allows_more(self) -> bool:
        """Whether the new version may have bad events where stable has none."""
        return self.up and self.offset > 0

    def limit(self, stable_share: float) -> float:
        """Return the limit of the new version's share of bad events."""
        return self.slope * stable_share + self.offset

    def begin(self) -> list[float]:
        """Return the state before the first interval.

        Totals and bad events of both versions, stable's lately, bursts, whether they are told, the new version's requests before
        its first bad one, harm, proof, and alone.
        """
        return (
            [0.0] * 6
            + bursts.weights_at(1.0)
            + [0.0, 0.0]
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
        self._harm.grow(state, interval.start, *self._laws(state, counts))
        for place, factor in enumerate(self._factors(_PROOF, state, counts), self._proof.start):
            state[place] += factor
        if state[1] + canary.bad <= 0:
            state[_CLEAN] += canary.total
        state[_TOTALS] = [before + now for before, now in zip(state[_TOTALS], counts, strict=True)]
        self.remember(state, stable.total, stable.bad)

    def harm(self, state: Sequence[float]) -> float:
        """Return the evidence that the limit is exceeded."""

        def value(place: int) -> float:
            at_limit = self._harm.value(state, place)
            if place == 0 or state[_TOLD] or not self.allows_more:
                return at_limit
            healthy, rare = self._harm.value(state, place + len(bursts.GRID) - 1), self._rare(state, bursts.GRID[place])
            return -log_add(math.log(rare) - at_limit, math.log(1 - rare) - healthy)

        hopeless = self.up and bursts.hopeless(state[0], state[1])
        paired = bursts.discounted(value, state[_BURSTS], hopeless=hopeless) + math.log(1 - RESERVE)
        return bounded(log_add(paired, self._alone.value(state) + math.log(RESERVE)))

    def proof(self, state: Sequence[float]) -> float:
        """Return the evidence that the limit is kept."""
        return bounded(bursts.discounted_mean(state[self._proof], state[_BURSTS]))

    def weights(self, state: Sequence[float]) -> list[float]:
        """Return what is known of bursts: the probability of each phi in `bursts.GRID`."""
        return list(state[_BURSTS])

    def temper(self, state: list[float], weights: Sequence[float], *, told: bool = True) -> None:
        """Weigh all evidence so far by what is known of bursts now.

        Args:
            state: changed in place.
            weights: the probability of each phi in `bursts.GRID`.
            told: whether that is known from bad events, and not only supposed.
        """
        state[_BURSTS] = weights
        state[_TOLD] = max(state[_TOLD], float(told))

    def _rare(self, state: Sequence[float], phi: float) -> float:
        """Return the probability that the new version is as bad as the limit allows, its bad events coming in bursts of phi.

        A negative binomial count of mean m and variance phi * m is 0 with probability exp(-m * log(phi) / (phi - 1)).
        """
        expected = state[_CLEAN] * self.limit(_expected(state))
        chance = RARE * max(_NEVER, math.exp(-expected * math.log(phi) / (phi - 1)))
        return chance / (chance + 1 - RARE)

    @staticmethod
    def remember(state: list[float], total: float, bad: float) -> None:
        """Learn what is usual for stable."""
        known, seen = state[_RECENT]
        expected = seen / known * total if known > 0 else bad
        usually = min(bad, usual.most(expected))
        keep = usual.kept(max(expected, usually), parts=_PARTS, events=_EVENTS)
        if total > 0 and bad < usual.least(expected, min(expected / total, 1.0)):
            keep = min(keep, _OVER)
        state[_RECENT] = [known * keep + total, seen * keep + usually]

    def _laws(self, state: Sequence[float], counts: _Counts) -> list[list[float]]:
        """Return the factors of harm of an interval for independent events, and for each law of events that come in bursts."""
        expected = _expected(state)
        if self.offset == 0:
            ratios = [self.slope * multiple for multiple in self._multiples]
            return [self._factors(_HARM, state, counts), *bursts.splits(counts, self.slope, ratios, expected)]
        total, bad, stable_total, stable_bad = counts
        pairs = self._margin[_HARM].pairs(total, stable_total, expected)
        canary = [(one.canary_null * total, one.canary * total) for one in pairs]
        stable = [(one.stable_null * stable_total, one.stable * stable_total) for one in pairs]
        nothing = [0.0] * len(SHARES)
        found = [self._margin[_HARM].given(pairs, *counts)]
        for phi in bursts.GRID[1:]:
            both = bursts.factors(bad, canary, phi), bursts.factors(stable_bad, stable, phi)
            found.append(list(map(operator.add, *both)) or nothing)
        if self.allows_more and not state[_TOLD]:
            for phi in bursts.GRID[1:]:
                usually = _healthy(state, phi) * total
                found.append(bursts.factors(bad, [(min(usually, null), more) for null, more in canary], phi) or nothing)
        return found

    def _factors(self, which: int, state: Sequence[float], counts: _Counts) -> list[float]:
        """Return the factors of an interval for events that are independent."""
        total, bad = state[_RECENT]
        if self.offset == 0:
            frequent = total >= _KNOWN and max(1.0, self.slope) * bad >= FREQUENT * total
            if not frequent:
                return self._ratio[which].of(*counts)
        factors = self._margin[which].of(*counts, expected=_expected(state))
        if which == _PROOF and total < _KNOWN:
            # A bet on what is not known yet costs evidence that nothing brings back (harm has later starts): half is kept.
            return [log_add(factor, 0.0) - math.log(2) for factor in factors]
        return factors


def _expected(state: Sequence[float]) -> float:
    """Return stable's share of bad events as it is to be expected in the next interval."""
    total, bad = state[_RECENT]
    return min(max((bad + _USUAL * _KNOWN / 10) / (total + _KNOWN / 10), SMALLEST), 1 - SMALLEST)


def _healthy(state: Sequence[float], phi: float) -> float:
    """Return the share of bad events of a version like stable, if they come in bursts of phi: with few of those it may be more."""
    total, bad = state[_RECENT]
    first = phi * _FIRST
    return min((bad + first) / (total + first / _USUAL), 1 - SMALLEST)


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
