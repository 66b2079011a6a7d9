"""A limit on how many slow requests the new version has relative to stable, at every bound of a histogram at once.

Null: P_c(L > b) <= rho * P_b(L > b) for every bound b; for rho = 1: the new version is not stochastically slower. At each
bound the share of slow requests is one of bad events, so the factors of `ratio` hold; what is staked at the bounds is never
less than 0 and 1 at the beginning, so their sum is an e-process. It sees what a quantile in buckets cannot: a version 1.2
times slower whose P99 stays in the same bucket has more requests beyond every bound.

How the stake is spread over bounds and starting times may follow what stable did in earlier intervals. The first start is spread
evenly; each later one (`restarts`) goes to the bounds that at least FEWEST and at most the share SLOWEST of stable's requests
exceeded so far. At a bound that more exceed the factors are valid but weak; what was staked there is taken back and spread anew.

Proof: the least of the bounds' evidence for p_c < rho * p_b, over the bounds that at least LEAST_SHARE of stable's requests
exceed (or the lowest bound, if that is less). At a bound that one request in 10,000 exceeds nothing could be shown for days;
the limit there is watched for harm, and no proof of it is asked.

**Bursts.** Each interval's evidence is divided by what was known of bursts before it, which is next to nothing at first: a version
that is slow from its first request would go on until it is known how slow requests come. So LATER of the first stake is undivided
at first, and weighed at each look by what is known by then (`bursts.discounted_mean`). After SOON seconds, or once there are known
to be no bursts, what it is worth is staked where it was earned, and goes on as the rest. At most E(1), it is valid for independent
requests as the rest is: an e-process that is stopped, understated and staked anew is one.

Both versions are compared within each interval, so a latency that changes for both of them over the day is no evidence.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from tidegate.judge.evidence import bursts, latency
from tidegate.judge.evidence.interval import Interval
from tidegate.judge.evidence.latency import BEYOND, KEPT, WITHIN, Bounds, Counted, Slower
from tidegate.judge.evidence.numbers import bounded, log_mean, log_sum
from tidegate.judge.evidence.restarts import due

FEWEST = 3
"""Slow requests of stable so far, at least, that make a later start at a bound worth while."""
SLOWEST = 0.5
"""Share of stable's requests beyond a bound from which on no later start is made there."""
LEAST_SHARE = 0.01
"""Share of stable's requests beyond a bound from which on a proof needs that bound, too."""
QUANTILE = 0.99
"""The quantile of stable about which bounds are kept where a histogram has too many."""

LATER = 0.9
"""Part of the first stake that is weighed by what is known of bursts by then, and not by what was known before each interval."""
SOON, PLAIN = 120.0, 1.2
"""Seconds for which that is done at most, and factor of bursts below which there is nothing to be weighed."""

_LEAST = 1e-300
"""Stands for no stake at all, whose logarithm there is not."""

_SPENT = latency.LENGTH
_RETURNED = _SPENT + 1
_CARRIED = _RETURNED + 1
_STAKES = _CARRIED + 1
_PROOFS = _STAKES + KEPT * len(BEYOND)
_LATER = _PROOFS + KEPT * len(WITHIN)
_LOGS = _LATER + 1
_BURSTS = slice(_LOGS + KEPT * len(BEYOND), _LOGS + KEPT * len(BEYOND) + len(bursts.GRID))
_LENGTH = _BURSTS.stop


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

        After the common stretch: weight spent, stakes that came back when bounds changed, proof from before that, then for each
        bound the stake on every alternative, then for each bound the logarithms of proof; then the stake that is weighed later with
        its logarithms of harm in the order of the stakes, and what is known of bursts.
        """
        return [0.0] * _LENGTH

    def add(self, state: list[float], interval: Interval) -> None:
        """Take an interval into the state; one in which a version has no requests says nothing."""
        counted = None if interval.alone else self._bounds.take(state, interval)
        if counted is None or counted.n_c <= 0 or counted.n_b <= 0:
            return
        divided = max(1.0, interval.bursts)
        unclear = interval.start <= SOON and divided >= PLAIN
        if state[_LATER] > 0 and not unclear:
            _lay_out(state)
        state[_BURSTS] = bursts.weights_at(divided)
        undivided = _terms(self._harm, self.rho, counted)
        harm = [(a / divided, b / divided) for a, b in undivided]
        proof = [(a / divided, b / divided) for a, b in _terms(self._proof, self.rho, counted)]
        weights = _weights(state, counted, interval.start, later=LATER if unclear else 0.0)
        if state[_LATER] > 0:
            _grow(state, counted, undivided)
        at, proof_at = _STAKES, _PROOFS
        for x, y, weight in zip(counted.x_c, counted.x_b, weights, strict=True):
            both, end, proof_end = x + y, at + len(harm), proof_at + len(proof)
            if both > 0:
                if weight > 0 or any(state[at:end]):
                    state[at:end] = latency.grown(state[at:end], weight, [x * a + both * b for a, b in harm])
                state[proof_at:proof_end] = [
                    old + x * a + both * b for old, (a, b) in zip(state[proof_at:proof_end], proof, strict=True)
                ]
            elif weight > 0:
                state[at:end] = [old + weight for old in state[at:end]]
            at, proof_at = end, proof_end

    def harm(self, state: Sequence[float]) -> float:
        """Return the evidence that some bound is exceeded by more than rho times stable's share."""
        worth = 1 - state[_SPENT] + state[_RETURNED] + math.fsum(state[_STAKES:_PROOFS]) + _worth(state)
        return bounded(math.log(max(_LEAST, worth)))

    def proof(self, state: Sequence[float]) -> float:
        """Return the evidence that at each bound that counts, less than rho times stable's share of requests is slower."""
        return bounded(_proof(state))

    def weights(self, state: Sequence[float]) -> list[float]:
        """Return what is known of bursts: the probability of each phi in `bursts.GRID`."""
        return list(state[_BURSTS])

    def temper(self, state: list[float], weights: Sequence[float], *, told: bool = True) -> None:  # noqa: ARG002 - as others'
        """Weigh what was counted first by what is known of bursts now: the probability of each phi in `bursts.GRID`."""
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
        laid = [stake + more for stake, more in zip(state[_STAKES:_PROOFS], _shares(state), strict=True)]
        stakes = [math.fsum(laid[at : at + size]) for at in range(0, len(bounds) * size, size)]
        return latency.slower(state, stakes.index(max(stakes)))


def _terms(alternatives: Sequence[tuple[float, float]], rho: float, counted: Counted) -> list[tuple[float, float]]:
    """Return for each alternative what a slow request of the new version, and what any slow request adds to the log factor."""
    base = rho * counted.n_c + counted.n_b
    return [(log_r, math.log(base / (r * counted.n_c + counted.n_b))) for r, log_r in alternatives]


def _grow(state: list[float], counted: Counted, terms: Sequence[tuple[float, float]]) -> None:
    """Add an interval to the logarithms, not divided by bursts, of what is weighed later."""
    at = _LOGS
    for x, y in zip(counted.x_c, counted.x_b, strict=True):
        for a, b in terms:
            state[at] += x * a + (x + y) * b
            at += 1


def _worth(state: Sequence[float]) -> float:
    """Return what the stake that is weighed later is worth by what is known of bursts now."""
    if state[_LATER] <= 0:
        return 0.0
    evidence = bursts.discounted_mean(_logs(state), state[_BURSTS])
    return min(latency.MOST, state[_LATER] * math.exp(min(latency.STEEPEST, evidence)))


def _shares(state: Sequence[float]) -> list[float]:
    """Return that worth as it belongs to each alternative at each bound, in the order of the stakes."""
    shares = [0.0] * (_PROOFS - _STAKES)
    if (worth := _worth(state)) > 0:
        logs = _logs(state)
        total = log_sum(logs)
        shares[: len(logs)] = [worth * math.exp(log - total) for log in logs]
    return shares


def _lay_out(state: list[float]) -> None:
    """Stake that worth where it was earned: from here on each interval is divided by what was known of bursts before it."""
    state[_STAKES:_PROOFS] = [stake + more for stake, more in zip(state[_STAKES:_PROOFS], _shares(state), strict=True)]
    state[_LATER : _BURSTS.start] = [0.0] * (_BURSTS.start - _LATER)


def _logs(state: Sequence[float]) -> Sequence[float]:
    return state[_LOGS : _LOGS + len(BEYOND) * len(latency.kept(state))]


def _weights(state: list[float], counted: Counted, start: float, *, later: float) -> list[float]:
    """Spend what is due on the bounds that counts before this interval speak for, and return the stake per alternative of each.

    Of the first stake the part `later` is kept apart, on all bounds evenly, to be weighed later.
    """
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
    if state[_LATER] == 0 and later > 0:
        state[_LATER] = later * spend
        spend -= state[_LATER]
    each = spend / (sum(worthy) * len(BEYOND))
    return [each if worth else 0.0 for worth in worthy]


def _withdraw(state: list[float], lowest: int) -> None:
    """Take the stakes back from so many of the lowest bounds."""
    end = _STAKES + lowest * len(BEYOND)
    back = sum(state[_STAKES:end])
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
    state[_RETURNED] += math.fsum(state[_STAKES:_PROOFS]) + _worth(state)
    state[_STAKES : _BURSTS.start] = [0.0] * (_BURSTS.start - _STAKES)
