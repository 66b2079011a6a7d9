"""A limit on a quantile of the new version's latency relative to stable's, tested on the buckets of histograms.

**Which quantile.** Buckets do not tell where in a bucket requests lie. What people see as "the P99", in Grafana and in
PromQL, is histogram_quantile: the quantile of the law that spreads the requests of each bucket evenly over it. That is what
the limit is taken to mean, q below: a number that the law of the latencies has, whatever their law is, and that is the true
quantile up to the width of a bucket. (About the true quantiles nothing could be said until they are two buckets apart: a
P99 that goes from 510 ms to 990 ms is invisible to buckets that end at 500 ms and 1 s. Versions that are alike have the
same q, so they are never failed.)

Null: q_c(p) <= kappa * q_b(p). With a = 1 - p, let v(x) of a request be 1 if its bucket lies beyond x, 0 if it lies below, and the
share of the bucket that lies beyond x if x is within it, so that its mean is a exactly where x = q. For alternatives p_j, whose
odds are multiples of the odds of a, and requests with values v_1, v_2, ...,

    up(x) = mean over j of prod over i of (1 + (v_i(x) - a) * (p_j - a) / (a (1 - a)))

is an e-process as long as the mean of v(x) is at most a, that is for q <= x, and down(x), with the odds divided, for q >= x. For v
of 0 and 1 these are the likelihood ratios of `threshold`; in between they are bets on a bounded mean (Waudby-Smith and Ramdas,
J. R. Stat. Soc. B 86 (2024), arXiv 2010.09686).

**One epoch.** Under the null, x* = kappa * q_b(p) has q_c <= x* and q_b = x* / kappa, so that

    C(x*) = (2 + up(x*)) / 3 from the new version   and   B(x*) = (1 + down(x* / kappa)) / 2 from stable

are e-processes; versions count independently given the past, so their product is one as well. x* is not known: the evidence
is the least of C * B over all x, which is at most its value at x*. C falls with x and B rises, so over x in (l, u] it is no
less than C(u) * B(l), and a ladder of a few x from 0 to infinity is enough (`_ladder`). The constants 1 keep C and B from
sinking to 0 far from their quantile, where the other one decides. (Howard and Ramdas, Bernoulli 28 (2022), arXiv
1906.09712, Theorem 5, in one direction. Theirs has both directions in B; the other one adds nothing, since it matters only
for x so low that C is greater still.)

**Proof** is the same with the versions exchanged and 1 / kappa: that stable's quantile exceeds the new version's / kappa.

**Epochs.** Totals dilute a fault that begins late. So there are up to EPOCHS pairs of totals with different beginnings,
each with a stake: E = unspent weight + sum over epochs s of stake_s * E_s. At x* each E_s is at most an e-process that
began with 1, and the weights sum to at most 1, so the sum is at most an e-process, too (`restarts`). An epoch that is ended
pays stake_s * E_s back, which the next one gets on top of its weight: self-financing, so at most an e-process again. Epochs
begin and end at times that depend on numbers of requests and on time alone.

**Latencies that change for both versions** over the day do no harm as long as both totals weigh the times alike; when the share
of the new version rises they would not, and its total would hold more of the slow evening than stable's. So each epoch keeps the
ratio n_c / n_b of its beginning (as it was when WORTH slow requests could be expected): where the ratio rises beyond ALIKE times
that, the new version's counts are multiplied with what brings it back, and where it falls, stable's (any factor of at most 1 is
valid, for the reason that makes dividing by bursts valid). When the ratio has changed much, a new epoch begins.

**All traffic on the new version**: what it counts from then on is held against what stable had counted before. The time of day is
another then, and the load may be, too. So DRIFT times as much is allowed: one of the constants 1 in C becomes up(DRIFT * x) of
these requests, an e-process while q_c <= DRIFT * kappa * q_b. A proof takes no notice of them.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence
from functools import lru_cache

from tidegate.judge.evidence import latency
from tidegate.judge.evidence.interval import Interval
from tidegate.judge.evidence.latency import KEPT, Bounds, Counted
from tidegate.judge.evidence.numbers import bounded, odds_times

FIRST = 0.5
"""Weight of the first epoch."""
SCALE = 1800.0
"""Seconds after which half of the other weight is spent. It never runs out, so that a fault of the third day is found, too."""
UNSETTLED = 0.2
"""Share of the weight due that is spent while bounds may still be chosen anew, which ends all epochs."""
EPOCHS = 4
"""Most epochs at a time."""
SPACING = 600.0
"""Seconds between the beginnings of two epochs, at least, while the share of the new version stays the same."""
WORTH = 3.0
"""Requests of the new version slower than the quantile, expected, that an epoch has before the next begins."""
ALIKE = 1.5
"""Factor up to which the ratio of requests may differ from that of an epoch's beginning."""
DRIFT = 1.5
"""How much longer a latency may be at another time, when there is no stable version any more to show it."""
SMOOTHING = 50.0
"""Requests of the new version over which the ratio is averaged."""

_NEGLIGIBLE = -30.0
_ROUNDING = 1e-9
EFFICIENCY = 0.88
"""Share of the logarithm of the evidence that the ladder finds at least, where counts behave as for a normal law."""

_ABOVE = (1.25, 1.6, 2.5, 6.0, 25.0)
_BELOW = tuple(1 / multiple for multiple in (1.15, 1.4, 2.0, 5.0))
"""Alternatives to the share of slow requests, as multiples of its odds."""
_PARTS = 64
"""Parts of a bucket; a place within it is rounded to the side where the evidence is less."""
_RUNGS = 12
"""Most x that are looked at."""
_STEEPEST = 300.0
"""Greatest logarithm of C and of B that counts: their product is finite, and less evidence is still valid."""
_NEGLIGIBLE = -30.0
_ROUNDING = 1e-9
_LEAST = 1e-300
"""Stands for no stake at all, whose logarithm there is not."""

_SPENT = latency.LENGTH
_RETURNED = _SPENT + 1
_SMOOTH = _RETURNED + 2
_ALONE = _SMOOTH + 2
_EPOCHS = _ALONE + 1 + KEPT
_START, _STAKES, _RATIO, _CANARY = 0, 1, 3, 4
_STABLE = _CANARY + 1 + KEPT
_SIZE = _STABLE + 1 + KEPT
_LENGTH = _EPOCHS + EPOCHS * _SIZE


class QuantileRatio:
    """The sequential test of q_c(p) <= kappa * q_b(p).

    Args:
        quantile: p, between 0 and 1.
        kappa: the ratio at the limit, above 0; 1.1 for "less than 10% more".
    """

    def __init__(self, quantile: float, kappa: float) -> None:
        self.quantile = quantile
        self.kappa = kappa
        self.slow = 1 - quantile
        self._bounds = Bounds(quantile, near=None, changed=self._cash_in)
        self._up = _bets(self.slow, _ABOVE)
        self._down = _bets(self.slow, _BELOW)

    def begin(self) -> list[float]:
        """Return the state before the first interval.

        After the common stretch: weight spent, what ended epochs paid back (harm, proof), smoothed requests of both versions,
        requests and slow ones at each bound since all traffic is on the new version; then for each epoch its beginning, its stakes
        (harm, proof), its ratio, and for both versions requests and slow ones at each bound.
        """
        return [0.0] * _LENGTH

    def add(self, state: list[float], interval: Interval) -> None:
        """Take an interval into the state."""
        counted = self._bounds.take(state, interval)
        if counted is None or counted.n_c + counted.n_b <= 0:
            return
        bursts = max(1.0, interval.bursts)
        if interval.alone and counted.n_b <= 0:
            _accumulate(state, _ALONE, counted.n_c, counted.x_c, 1 / bursts)
            return
        ratio = _smooth(state, counted)
        if ratio <= 0:
            return
        self._begin_epoch(state, interval.start, ratio)
        for at in _epochs(state):
            of_canary, of_stable = ALIKE * state[at + _RATIO] / ratio, ALIKE * ratio / state[at + _RATIO]
            _accumulate(state, at + _CANARY, counted.n_c, counted.x_c, min(1.0, of_canary) / bursts)
            _accumulate(state, at + _STABLE, counted.n_b, counted.x_b, min(1.0, of_stable) / bursts)

    def harm(self, state: Sequence[float]) -> float:
        """Return the evidence that the new version's quantile is more than kappa times stable's."""
        return self._value(state, 0)

    def proof(self, state: Sequence[float]) -> float:
        """Return the evidence that the new version's quantile is less than kappa times stable's."""
        return self._value(state, 1)

    def _value(self, state: Sequence[float], direction: int) -> float:
        bounds = latency.kept(state)
        live = sum([state[at + _STAKES + direction] * self._evidence(state, at, bounds, direction) for at in _epochs(state)])
        return bounded(math.log(max(_LEAST, 1 - state[_SPENT] + state[_RETURNED + direction] + live)))

    def _begin_epoch(self, state: list[float], start: float, ratio: float) -> None:
        """Begin an epoch if one is due, ending another if all places are taken."""
        if state[_ALONE] > 0:
            # What was counted alone belongs to the epochs there were; one that begins now must not take it over.
            self._cash_in(state)
        live = sorted(_epochs(state), key=lambda at: state[at + _START])
        if live:
            newest = live[-1]
            if state[newest + _CANARY] * self.slow < WORTH:
                state[newest + _RATIO] = ratio
                return
            moved = not 1 / ALIKE <= ratio / state[newest + _RATIO] <= ALIKE
            if start - state[newest + _START] < (SPACING / 5 if moved else SPACING):
                return
        if len(live) == EPOCHS:
            self._end_epoch(state, _least_useful(state, live, start, ratio))
        at = next(at for at in range(_EPOCHS, _LENGTH, _SIZE) if state[at + _RATIO] == 0)
        weight = max(0.0, _due(start) - state[_SPENT])
        if not latency.settled(state):
            weight *= UNSETTLED
        state[_SPENT] += weight
        state[at : at + _CANARY] = [start, weight + state[_RETURNED], weight + state[_RETURNED + 1], ratio]
        state[_RETURNED] = state[_RETURNED + 1] = 0.0

    def _end_epoch(self, state: list[float], at: int) -> None:
        bounds = latency.kept(state)
        for direction in (0, 1):
            state[_RETURNED + direction] += state[at + _STAKES + direction] * self._evidence(state, at, bounds, direction)
        state[at : at + _SIZE] = [0.0] * _SIZE

    def _cash_in(self, state: list[float]) -> None:
        for at in _epochs(state):
            self._end_epoch(state, at)
        state[_ALONE:_EPOCHS] = [0.0] * (_EPOCHS - _ALONE)

    def _evidence(self, state: Sequence[float], at: int, bounds: Sequence[float], direction: int) -> float:
        """Return E of one epoch: the least C * B over all x, in direction 0 of harm, in direction 1 of proof."""
        size = len(bounds)
        first, second, kappa = (_CANARY, _STABLE, self.kappa) if direction == 0 else (_STABLE, _CANARY, 1 / self.kappa)
        n_c, n_b = state[at + first], state[at + second]
        n_a, x_a = (state[_ALONE], state[_ALONE + 1 : _ALONE + 1 + size]) if direction == 0 else (0.0, [])
        floor = 1 / 3 if n_a > 0 else 2 / 3
        if n_c <= 0 or n_b <= 0:
            return floor / 2
        x_c, x_b = state[at + first + 1 : at + first + 1 + size], state[at + second + 1 : at + second + 1 + size]
        low = kappa * latency.quantile(bounds, n_b, x_b, self.quantile)
        high = latency.quantile(bounds, n_c, x_c, self.quantile)
        if n_a > 0:
            high = max(high, latency.quantile(bounds, n_a, x_a, self.quantile) / DRIFT)
        if not 0 < low < high:
            return floor / 2
        least, rising = math.inf, 0.5
        for x in _ladder(low, high, n_b / (n_c + n_a)):
            falling = 1 + _mean(self._up.logs(bounds, n_c, x_c, x))
            falling += _mean(self._up.logs(bounds, n_a, x_a, DRIFT * x)) if n_a > 0 else 1
            least = min(least, rising * falling / 3)
            if least < 1:
                # No evidence; what there is to be seen farther up cannot make it more.
                break
            rising = (1 + _mean(self._down.logs(bounds, n_b, x_b, x / kappa))) / 2
        return min(least, rising * floor)


class _Bets:
    """The products of up(x) or down(x), from totals.

    Args:
        slow: the share a of slow requests.
        multiples: of its odds; all above 1 for up, all below 1 for down.
    """

    def __init__(self, slow: float, multiples: Sequence[float]) -> None:
        self._up = multiples[0] > 1
        others = [odds_times(slow, multiple) for multiple in multiples]
        bets = [(other - slow) / (slow * (1 - slow)) for other in others]
        ends = [(math.log((1 - other) / (1 - slow)), math.log(other / slow)) for other in others]
        self._logs = [
            [(fast, math.log1p((part / _PARTS - slow) * bet), late) for (fast, late), bet in zip(ends, bets, strict=True)]
            for part in range(_PARTS + 1)
        ]

    def logs(self, bounds: Sequence[float], n: float, over: Sequence[float], x: float) -> list[float]:
        """Return the logarithm for each alternative, for n requests of which so many were slower than each bound.

        Of those beyond the last bound only that is known: for up they are not beyond x if x is, for down they are.
        """
        place = bisect_left(bounds, x)
        above = over[place - 1] if place > 0 else n
        if place == len(bounds):
            below, share = (0.0, 0) if self._up else (above, 0)
        else:
            left = bounds[place - 1] if place > 0 else 0.0
            beyond = (bounds[place] - x) / (bounds[place] - left) * _PARTS
            below, share = over[place], int(beyond) if self._up else math.ceil(beyond * (1 - _ROUNDING))
        fast, within = n - above, above - below
        return [fast * a + within * b + below * c for a, b, c in self._logs[share]]


_bets = lru_cache(maxsize=64)(_Bets)
"""Tests are made anew for each look, and their quantiles are few."""


def _mean(logs: Sequence[float]) -> float:
    """Return the mean of exp(logs), as far as it matters."""
    top, exp = max(logs), math.exp
    if top < _NEGLIGIBLE:
        return 0.0
    if top > _STEEPEST:
        return exp(_STEEPEST) / len(logs)
    return sum([exp(log) for log in logs]) / len(logs)


def _ladder(low: float, high: float, ratio: float) -> list[float]:
    """Return the x at which C and B are looked at, rising.

    If log C falls from x = low to 0 at x = high as (1 - t)^2, and log B rises from 0 at low as ratio * t^2, the least of their
    sum is ratio / (1 + ratio). The rungs are as far apart as leaves EFFICIENCY of that between any two of them.
    """
    target = EFFICIENCY * ratio / (1 + ratio)
    rungs: list[float] = []
    t = 0.0
    while ratio * t * t < target and len(rungs) < _RUNGS:
        t = 1 - math.sqrt(max(0.0, target - ratio * t * t))
        rungs.append(low * (high / low) ** t)
    return rungs


def _due(seconds: float) -> float:
    """Return the weight of all epochs that begin until a time after the first request."""
    seconds = max(0.0, seconds)
    return FIRST + (1 - FIRST) * seconds / (seconds + SCALE)


def _accumulate(state: list[float], at: int, n: float, xs: Sequence[float], weight: float) -> None:
    state[at] += n * weight
    for place, x in enumerate(xs, at + 1):
        state[place] += x * weight


def _epochs(state: Sequence[float]) -> list[int]:
    return [at for at in range(_EPOCHS, _LENGTH, _SIZE) if state[at + _RATIO] > 0]


def _smooth(state: list[float], counted: Counted) -> float:
    """Return the ratio of both versions' requests over the last SMOOTHING of the new version."""
    keep = SMOOTHING / (SMOOTHING + counted.n_c)
    state[_SMOOTH] = state[_SMOOTH] * keep + counted.n_c
    state[_SMOOTH + 1] = state[_SMOOTH + 1] * keep + counted.n_b
    return state[_SMOOTH] / state[_SMOOTH + 1] if state[_SMOOTH + 1] > 0 else 0.0


def _least_useful(state: Sequence[float], live: Sequence[int], now: float, ratio: float) -> int:
    """Return the epoch to end: one that hardly grows any more, or the one that is nearest in age to the one before it."""
    still = [at for at in live if not 1 / (2 * ALIKE) <= ratio / state[at + _RATIO] <= 2 * ALIKE]
    if still:
        return still[0]
    ages = [now - state[at + _START] for at in live]
    return live[min(range(1, len(live)), key=lambda i: ages[i - 1] / max(ages[i], 1e-9))]
