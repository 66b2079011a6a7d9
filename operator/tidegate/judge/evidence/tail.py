"""A limit on how many slow requests the new version has relative to stable, at every bound of a histogram at once.

Null: P_c(L > b) <= rho * P_b(L > b) for every bound b; for rho = 1: the new version is not stochastically slower. At each
bound the share of slow requests is one of bad events, so the factors of `ratio` hold; what is staked at the bounds is never
less than 0 and 1 at the beginning, so their sum is an e-process. It sees what a quantile in buckets cannot: a version 1.2
times slower whose P99 stays in the same bucket has more requests beyond every bound.

How the stake is spread over bounds and starting times may follow what stable did in earlier intervals. The first start is spread
evenly; each later one (`restarts`) goes to the bounds that at least FEWEST and at most the share SLOWEST of stable's requests
exceeded so far. At a bound that more exceed the factors are valid but weak; what was staked there is taken back and spread anew.

Bursts: later starts divide each interval's evidence by what was known of them before it. The first start keeps its logarithms
undivided, and they are weighed by what is known now (`bursts.discounted`): what was read before bursts could be told from chance
is not given away, which is most where a version is slow from the beginning.

Proof: the least of the bounds' evidence for p_c < rho * p_b, over the bounds that at least LEAST_SHARE of stable's requests
exceed (or the lowest bound, if that is less). At a bound that one request in 10,000 exceeds nothing could be shown for days;
the limit there is watched for harm, and no proof of it is asked.

Both versions are compared within each interval, so a latency that changes for both of them over the day is no evidence.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from tidegate.judge.evidence import bursts, latency
from tidegate.judge.evidence.interval import Interval
from tidegate.judge.evidence.latency import BEYOND, KEPT, WITHIN, Bounds, Counted, Slower
from tidegate.judge.evidence.numbers import bounded, log_mean
from tidegate.judge.evidence.restarts import due

FEWEST = 3
"""Slow requests of stable so far, at least, that make a later start at a bound worth while."""
SLOWEST = 0.5
"""Share of stable's requests beyond a bound from which on no later start is made there."""
LEAST_SHARE = 0.01
"""Share of stable's requests beyond a bound from which on a proof needs that bound, too."""
QUANTILE = 0.99
"""The quantile of stable about which bounds are kept where a histogram has too many."""

_LEAST = 1e-300
"""Stands for no stake at all, whose logarithm there is not."""

_SPENT = latency.LENGTH
_RETURNED = _SPENT + 1
_CARRIED = _RETURNED + 1
_BURSTS = slice(_CARRIED + 1, _CARRIED + 1 + len(bursts.GRID))
_FIRST = _BURSTS.stop
_LOGS = _FIRST + KEPT
_STAKES = _LOGS + KEPT * len(BEYOND)
_PROOFS = _STAKES + KEPT * len(BEYOND)
_LENGTH = _PROOFS + KEPT * len(WITHIN)
_STEEPEST = 340.0
"""Greatest logarithm that counts: less evidence is still valid."""


class Tail:
    """The sequential test of P_c(L > b) <= rho * P_b(L > b) at every bound b.

    Args:
        rho: the ratio at the limit, above 0; 1.1 for "less than 10% more".
    """

    def __init__(self, rho: float) -> None:
        self.rho = rho
        self._bounds = Bounds(QUANTILE, near=None, changed=_cash_in)
        self._harm = [(rho * multiple, math.log(multiple)) for multiple in BEYOND]
        self._proof = [(rho / divisor, -math.log(divisor)) for divisor in WITHIN]

    def begin(self) -> list[float]:
        """Return the state before the first interval.

        After the common stretch: weight spent, stakes that came back when bounds changed, proof from before that, what is known of
        bursts; for each bound what is staked on each alternative at the first start, and the logarithms that it has won, undivided;
        for each bound the stake on every alternative of all later starts, and the logarithms of proof.
        """
        return [0.0] * _LENGTH

    def add(self, state: list[float], interval: Interval) -> None:
        """Take an interval into the state; one in which a version has no requests says nothing."""
        counted = None if interval.alone else self._bounds.take(state, interval)
        if counted is None or counted.n_c <= 0 or counted.n_b <= 0:
            return
        state[_BURSTS] = bursts.weights_at(interval.bursts)
        divisor, size = max(1.0, interval.bursts), len(BEYOND)
        harm, proof = _terms(self._harm, self.rho, counted), _terms(self._proof, self.rho, counted)
        weights, at, proof_at = _weights(state, counted, interval.start), 0, _PROOFS
        for x, y, weight in zip(counted.x_c, counted.x_b, weights, strict=True):
            both, won, proofs = x + y, slice(_LOGS + at, _LOGS + at + size), slice(proof_at, proof_at + len(proof))
            stakes = slice(_STAKES + at, _STAKES + at + size)
            if both > 0:
                logs = [x * a + both * b for a, b in harm]
                state[won] = [old + log for old, log in zip(state[won], logs, strict=True)]
                if weight > 0 or any(state[stakes]):
                    state[stakes] = latency.grown(state[stakes], weight, [log / divisor for log in logs])
                state[proofs] = [old + (x * a + both * b) / divisor for old, (a, b) in zip(state[proofs], proof, strict=True)]
            elif weight > 0:
                state[stakes] = [old + weight for old in state[stakes]]
            at, proof_at = at + size, proofs.stop

    def harm(self, state: Sequence[float]) -> float:
        """Return the evidence that some bound is exceeded by more than rho times stable's share."""
        rest = 1 - state[_SPENT] + state[_RETURNED] + math.fsum(state[_STAKES:_PROOFS])
        return bounded(_discounted(state, rest, range(KEPT)))

    def proof(self, state: Sequence[float]) -> float:
        """Return the evidence that at each bound that counts, less than rho times stable's share of requests is slower."""
        return bounded(_proof(state))

    def weights(self, state: Sequence[float]) -> list[float]:
        """Return what is known of bursts: the probability of each phi in `bursts.GRID`."""
        return list(state[_BURSTS])

    def temper(self, state: list[float], weights: Sequence[float], *, told: bool = True) -> None:  # noqa: ARG002 - as others'
        """Weigh the evidence of the first start by what is known of bursts now: the probability of each phi in `bursts.GRID`."""
        state[_BURSTS] = weights

    def strongest(self, state: Sequence[float]) -> Slower | None:
        """Return what was counted at the bound with the greatest evidence of harm; None before anything was counted.

        As long as nothing speaks against the new version, it is the bound that about QUANTILE of stable's requests keep: of a bound
        that nobody exceeds there is nothing to tell.
        """
        bounds, size = latency.kept(state), len(BEYOND)
        if not bounds:
            return None
        usual = latency.watched(state)
        if self.harm(state) <= 0 and usual in bounds:
            return latency.slower(state, bounds.index(usual))
        later = [math.fsum(state[at : at + size]) for at in range(_STAKES, _STAKES + len(bounds) * size, size)]
        stakes = [one + math.exp(_discounted(state, 0.0, [place])) for place, one in enumerate(later)]
        return latency.slower(state, stakes.index(max(stakes)))


def _terms(alternatives: Sequence[tuple[float, float]], rho: float, counted: Counted) -> list[tuple[float, float]]:
    """Return for each alternative what a slow request of the new version, and what any slow request adds to the log factor."""
    base = rho * counted.n_c + counted.n_b
    return [(log_r, math.log(base / (r * counted.n_c + counted.n_b))) for r, log_r in alternatives]


def _discounted(state: Sequence[float], rest: float, places: Sequence[int]) -> float:
    """Return the logarithm of a sum and of what the first start has won at some bounds, weighed by what is known of bursts."""
    size, exp = len(BEYOND), math.exp
    won = [(state[_FIRST + place], state[_LOGS + place * size : _LOGS + (place + 1) * size]) for place in places]
    staked = [(stake, logs) for stake, logs in won if stake > 0]

    def value(place: int) -> float:
        phi = bursts.GRID[place]
        total = sum([stake * sum([exp(min(_STEEPEST, log / phi)) for log in logs]) for stake, logs in staked])
        return math.log(max(_LEAST, rest + total))

    return bursts.discounted(value, state[_BURSTS], least=math.log(max(_LEAST, rest)))


def _weights(state: list[float], counted: Counted, start: float) -> list[float]:
    """Spend what is due on the bounds that counts before this interval speak for, and return the stake per alternative of each."""
    total, over = latency.stable_totals(state)
    before = total - counted.n_b
    if before <= 0:
        worthy = [True] * len(over)
    else:
        slow_before = [x - new for x, new in zip(over, counted.x_b, strict=True)]
        worthy = [FEWEST <= slow <= SLOWEST * before for slow in slow_before]
        _withdraw(state, sum(1 for slow in slow_before if slow > SLOWEST * before))
    spend = max(0.0, due(start) - state[_SPENT]) + state[_RETURNED]
    if spend <= 0 or not any(worthy):
        return [0.0] * len(worthy)
    state[_SPENT] = max(state[_SPENT], due(start))
    state[_RETURNED] = 0.0
    each = spend / (sum(worthy) * len(BEYOND))
    if before <= 0 and not any(state[_FIRST:_STAKES]):
        state[_FIRST : _FIRST + len(worthy)] = [each] * len(worthy)
        return [0.0] * len(worthy)
    return [each if worth else 0.0 for worth in worthy]


def _withdraw(state: list[float], lowest: int) -> None:
    """Take the stakes back from so many of the lowest bounds."""
    end = _STAKES + lowest * len(BEYOND)
    back = sum(state[_STAKES:end])
    if any(state[_FIRST : _FIRST + lowest]):
        back += math.exp(_discounted(state, 0.0, range(lowest)))
        state[_FIRST : _FIRST + lowest] = [0.0] * lowest
    if back > 0:
        state[_RETURNED] += back
        state[_STAKES:end] = [0.0] * (end - _STAKES)


def _proof(state: Sequence[float]) -> float:
    total, over = latency.stable_totals(state)
    if total <= 0:
        return state[_CARRIED]
    size, least = len(WITHIN), min(LEAST_SHARE * total, max(over))
    logs = [state[_PROOFS + i * size : _PROOFS + (i + 1) * size] for i, slow in enumerate(over) if slow >= least]
    # A mean lies between the greatest and its share of the greatest, so few bounds can be the least.
    most = min([max(values) for values in logs]) + math.log(size)
    return state[_CARRIED] + min([log_mean(values) for values in logs if max(values) <= most])


def _cash_in(state: list[float]) -> None:
    """Take all stakes back, and the proof so far, before other bounds are kept."""
    state[_CARRIED] = _proof(state)
    state[_RETURNED] += math.fsum(state[_STAKES:_PROOFS]) + math.exp(_discounted(state, 0.0, range(KEPT)))
    state[_FIRST:] = [0.0] * (_LENGTH - _FIRST)
