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

    C(x*) = HELD + (1 - HELD) up(x*) from the new version   and   B(x*) = HELD + (1 - HELD) down(x* / kappa) from stable

are e-processes; versions count independently given the past, so their product is one as well. x* is not known: the evidence
is the least of C * B over all x, which is at most its value at x*. C falls with x and B rises, so over x in (l, u] it is no
less than C(u) * B(l), and a few x from 0 to infinity are enough, each laid where the least is (`bets`). The constants keep C
and B from sinking to 0 far from their quantile, where the other one decides; little is held, since where buckets are wide all
hangs on what is between the quantiles. (Howard and Ramdas, Bernoulli 28 (2022), arXiv
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

**Bursts.** Where slow requests come in bursts of phi, the logarithms of C and B are divided by phi: then their number divided by
phi is a count of independent ones again. Totals are kept undivided, so that evidence from before phi was known is weighed by what
is known of it now, and not lost: 1 / E = sum of weight(phi) / E(phi), as `bursts` says.

**All traffic on the new version**: what it counts from then on is held against what stable had counted before. The time of day is
another then, and the load may be, too. So DRIFT times as much is allowed: C = (1 + up(x) + up(DRIFT * x) of these requests) / 3,
the last of which is an e-process while q_c <= DRIFT * kappa * q_b. A proof takes no notice of them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from operator import add
from typing import NamedTuple

from tidegate.judge.evidence import bursts, latency
from tidegate.judge.evidence.bets import PLENTY, Counts, bets, least_product
from tidegate.judge.evidence.interval import Interval
from tidegate.judge.evidence.latency import KEPT, Bounds, Counted
from tidegate.judge.evidence.numbers import bounded

FIRST = 0.65
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
HELD = 0.15
"""Part of C and of B that is not staked."""

_ABOVE = ((1.25, 0.1), (1.6, 0.3), (2.5, 0.35), (6.0, 0.2), (25.0, 0.05))
_BELOW = ((1 / 1.15, 0.05), (1 / 1.4, 0.45), (1 / 2.0, 0.4), (1 / 5.0, 0.1))
"""Alternatives to the share of slow requests, as multiples of its odds, and the weight of each."""
_LEAST = 1e-300
"""Stands for no stake at all, whose logarithm there is not."""

_SPENT = latency.LENGTH
_RETURNED = _SPENT + 1
_SMOOTH = _RETURNED + 2
_ALONE = _SMOOTH + 2
_BURSTS = slice(_ALONE + 1 + KEPT, _ALONE + 1 + KEPT + len(bursts.GRID))
_EPOCHS = _BURSTS.stop
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
        self._up = bets(self.slow, _ABOVE)
        self._down = bets(self.slow, _BELOW)

    def begin(self) -> list[float]:
        """Return the state before the first interval.

        After the common stretch: weight spent, what ended epochs paid back (harm, proof), smoothed requests of both versions,
        requests and slow ones at each bound since all traffic is on the new version, what is known of bursts; then for each epoch
        its beginning, its stakes (harm, proof), its ratio, and for both versions requests and slow ones at each bound.
        """
        return [0.0] * _LENGTH

    def add(self, state: list[float], interval: Interval) -> None:
        """Take an interval into the state."""
        counted = self._bounds.take(state, interval)
        if counted is None or counted.n_c + counted.n_b <= 0:
            return
        state[_BURSTS] = bursts.weights_at(interval.bursts)
        if interval.alone and counted.n_b <= 0:
            _accumulate(state, _ALONE, counted.n_c, counted.x_c, 1.0)
            return
        ratio = _smooth(state, counted)
        if ratio <= 0:
            return
        self._begin_epoch(state, interval.start, ratio)
        for at in _epochs(state):
            of_canary, of_stable = ALIKE * state[at + _RATIO] / ratio, ALIKE * ratio / state[at + _RATIO]
            _accumulate(state, at + _CANARY, counted.n_c, counted.x_c, min(1.0, of_canary))
            _accumulate(state, at + _STABLE, counted.n_b, counted.x_b, min(1.0, of_stable))

    def harm(self, state: Sequence[float]) -> float:
        """Return the evidence that the new version's quantile is more than kappa times stable's."""
        return self._value(state, 0)

    def proof(self, state: Sequence[float]) -> float:
        """Return the evidence that the new version's quantile is less than kappa times stable's."""
        return self._value(state, 1)

    def weights(self, state: Sequence[float]) -> list[float]:
        """Return what is known of bursts: the probability of each phi in `bursts.GRID`."""
        return list(state[_BURSTS])

    def temper(self, state: list[float], weights: Sequence[float], *, told: bool = True) -> None:  # noqa: ARG002 - as others'
        """Weigh all evidence so far by what is known of bursts now: the probability of each phi in `bursts.GRID`."""
        state[_BURSTS] = weights

    def _value(self, state: Sequence[float], direction: int) -> float:
        bounds = latency.kept(state)
        cash = 1 - state[_SPENT] + state[_RETURNED + direction]
        epochs = [(state[at + _STAKES + direction], self._compared(state, at, bounds, direction)) for at in _epochs(state)]

        def value(place: int) -> float:
            worth = cash
            for stake, seen in epochs:
                # Of more than enough nobody needs to know how much it is.
                if worth > PLENTY:
                    break
                worth += stake * self._evidence(seen, bursts.GRID[place])
            return math.log(max(_LEAST, worth))

        return bounded(bursts.discounted(value, state[_BURSTS], least=math.log(max(_LEAST, cash))))

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
            one = self._compared(state, at, bounds, direction)
            state[_RETURNED + direction] += state[at + _STAKES + direction] * self._worth(one, state[_BURSTS])
        state[at : at + _SIZE] = [0.0] * _SIZE

    def _cash_in(self, state: list[float]) -> None:
        for at in _epochs(state):
            self._end_epoch(state, at)
        state[_ALONE : _BURSTS.start] = [0.0] * (_BURSTS.start - _ALONE)

    def _compared(self, state: Sequence[float], at: int, bounds: Sequence[float], direction: int) -> _Compared:
        """Return the counts of one epoch that are compared, in direction 0 for harm, in direction 1 for proof."""
        size = len(bounds)
        canary, stable = _counts(state, at + _CANARY, size), _counts(state, at + _STABLE, size)
        if direction == 0:
            alone = _counts(state, _ALONE, size) if state[_ALONE] > 0 else _NONE
            return self._laid_out(bounds, canary, stable, alone, self.kappa)
        return self._laid_out(bounds, stable, canary, _NONE, 1 / self.kappa)

    def _laid_out(self, bounds: Sequence[float], canary: Counts, stable: Counts, alone: Counts, kappa: float) -> _Compared:
        """Return what is compared, with the quantiles between which the least is: they are the same whatever phi is."""
        low = high = 0.0
        if canary.n > 0 and stable.n > 0:
            low = kappa * latency.quantile(bounds, *stable, self.quantile)
            high = latency.quantile(bounds, *canary, self.quantile)
            if alone.n > 0:
                high = max(high, latency.quantile(bounds, *alone, self.quantile) / DRIFT)
        return _Compared(bounds, canary, stable, alone, kappa, low, high)

    def _worth(self, seen: _Compared, weights: Sequence[float]) -> float:
        """Return E of one epoch, weighed by what is known of bursts."""

        def value(place: int) -> float:
            return math.log(self._evidence(seen, bursts.GRID[place]))

        return math.exp(bursts.discounted(value, weights))

    def _evidence(self, seen: _Compared, phi: float) -> float:
        """Return E of one epoch: the least C * B over all x, where slow requests come in bursts of phi."""
        canary, stable, alone = seen.canary, seen.stable, seen.alone
        # What C is at least, however great x is.
        floor = 1 / 3 if alone.n > 0 else HELD
        if not 0 < seen.low < seen.high:
            return floor * HELD

        def falling(x: float) -> float:
            value = self._up.mean(seen.bounds, canary, x, phi)
            if alone.n > 0:
                return (1 + value + self._up.mean(seen.bounds, alone, DRIFT * x, phi)) / 3
            return HELD + (1 - HELD) * value

        def rising(x: float) -> float:
            return HELD + (1 - HELD) * self._down.mean(seen.bounds, stable, x / seen.kappa, phi)

        return least_product(falling, rising, seen.low, seen.high, floor=floor, held=HELD)


class _Compared(NamedTuple):
    """What one epoch compares.

    Attributes:
        bounds: in seconds.
        canary: the version that is to be slower.
        stable: the other.
        alone: what the first has counted since all traffic is on it.
        kappa: how many times as slow it may be.
        low: kappa times the other's quantile in seconds; 0 where one of them has no requests.
        high: the first one's quantile in seconds, likewise.
    """

    bounds: Sequence[float]
    canary: Counts
    stable: Counts
    alone: Counts
    kappa: float
    low: float
    high: float


def _due(seconds: float) -> float:
    """Return the weight of all epochs that begin until a time after the first request."""
    seconds = max(0.0, seconds)
    return FIRST + (1 - FIRST) * seconds / (seconds + SCALE)


def _counts(state: Sequence[float], at: int, size: int) -> Counts:
    return Counts(state[at], state[at + 1 : at + 1 + size])


_NONE = Counts(0.0, ())


def _accumulate(state: list[float], at: int, n: float, xs: Sequence[float], weight: float) -> None:
    state[at] += n * weight
    stretch = slice(at + 1, at + 1 + len(xs))
    state[stretch] = map(add, state[stretch], xs if weight == 1 else [x * weight for x in xs])


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
