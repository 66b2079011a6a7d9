"""How bad events come together, and what is evidence if they do.

The tests suppose that requests fail independently. Retries, one bad dependency, or a client that sends batches make failures
come in bursts, and a test that knows nothing of it rolls back half of the healthy releases. So the evidence of harm is kept for
several laws: independent events (phi = 1), and events whose number varies phi times as much. For phi > 1 it is

- where a limit is fixed or in points, the likelihood ratio of negative binomial laws (`factors`), the law of events that come in
  bursts of logarithmic sizes (M. H. Quenouille, Biometrics 5 (1949) 162-164), for which sums of blocks have the same phi;
- where it is in percent, that of how all bad events are split between the versions (`splits`), which needs no rate of its own.

Together they are 1 / E = sum of weight(phi) / E(phi), and no more than E(1) (`discounted`): an e-process may always be understated,
so that the guarantee for independent events holds whatever phi is and whatever it was estimated from. For bursts it is approximate,
and checked by simulation. So phi is estimated from everything that is known now, the latest interval included, and applied to all
evidence since the first request; what was read before bursts could be told from chance need not be given away.

Proof, latency and what is counted while stable has no requests have no such laws. There the logarithm of the evidence is divided by
phi: where events come in bursts of a fixed size phi, their number divided by phi is a count of independent events again.

The estimate looks at the stable version alone as soon as that can tell, so that a fault of the new version is not taken for its
bursts; else at the new version, too (`joined`). Counts are gathered into blocks. Given the rate, a block is taken to be negative
binomial with variance phi times its mean. With the rate estimated from N requests of the last few blocks, a block of n has the
dispersion phi * (1 + n / N), exactly so for phi = 1 (the predictive law of a Poisson count under a gamma law of its rate). A rate
that jumps is another rate and no burst: such a block tells nothing, and those after it are held against the new rate. So neither an
outage of both versions nor a fault is taken for bursts.

What is known of phi is a probability for each value of a grid. One service in ten is supposed to have bursts until isolated
failures argue it away.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Sequence

from tidegate.judge.evidence import usual
from tidegate.judge.evidence.numbers import gammas_each, gammas_of, log_mean, log_sum

GRID = (1.0, 2.0, 4.0, 8.0, 16.0)
"""Values of phi: 1 for independent events."""
PRIOR = (0.90, 0.01, 0.01, 0.05, 0.03)
"""Probability of each before anything is known: hardly any on 2, which takes long to be told from 1 and does little harm."""
_LOG_PRIOR = tuple(math.log(weight) for weight in PRIOR)
_NEGLIGIBLE = 1e-12
"""Probability of a phi below which it is left out: no test is worth less than a thousandth, as long as it is worth anything."""
_LITTLE, _FARTHEST = 1e-3, -700.0
"""Part of the evidence that does not matter, and the least logarithm that has a number."""
EVENTS = 0.5
"""A block ends once it is long enough for so many bad events at the rate so far,"""
LONGEST = 60.0
"""or after so many seconds."""
MEMORY = 200.0
"""Blocks after which what they said counts a third only: rates and bursts change over days."""
_KEPT = 1 - 1 / MEMORY
_TELLING = 10.0
"""Bad events of stable from which on it alone tells whether they come in bursts."""
UNLIKELY = 0.02
"""Chance of great bursts below which they are thought of less and less, where nothing can be corrected later."""
_CERTAIN = 1 - 1e-9
"""Probability of independence from which on nothing else is thought of."""
_HOPELESS = 0.8
_HOPELESS_FACTOR = 4.0
"""Where nearly all requests so far are bad, evidence is divided by no more than this."""
_LEAST = 1e-6
"""Requests that are none, and parts that are no part."""
_LOGS = slice(6, 6 + len(GRID))
_LOCAL = _LOGS.stop
FLOATS = _LOCAL + 2
"""Length of the state: total and bad events of earlier blocks, of this one, its seconds, blocks so far, log likelihoods, and total
and bad events of the last blocks."""
_PARTS, _EVENTS = 4.0, 8.0
"""Blocks, and bad events, from which the rate of the next block is foretold: one that changes for good must not look like
bursts."""
_TELLS_MOST = 3.0
"""Greatest logarithm of what one block tells of one factor against another: an outage is one event, however much fails in it."""


def begin() -> list[float]:
    """Return the state before the first interval."""
    return [0.0] * FLOATS


def add(state: list[float], total: float, bad: float, seconds: float) -> bool:
    """Take an interval into the state, and return whether the weights have changed.

    Args:
        state: changed in place.
        total: requests in the interval.
        bad: bad ones among them.
        seconds: its length.
    """
    if total < _LEAST:
        return False
    state[2] += total
    state[3] += bad
    state[4] += seconds
    block, count = state[2], state[3]
    if (state[1] + count) * block < EVENTS * (state[0] + block) and state[4] < LONGEST:
        return False
    learned = state[0] > 0 and state[1] + count > 0
    _learn(state, block, count)
    state[0] = state[0] * _KEPT + block
    state[1] = state[1] * _KEPT + count
    state[2] = state[3] = state[4] = 0.0
    state[5] += 1
    return learned


def telling(state: Sequence[float]) -> bool:
    """Whether there were enough bad events to tell how they come."""
    return state[1] + state[3] >= _TELLING


def joined(state: list[float], own: Sequence[float]) -> list[float]:
    """Return what is known of bursts where stable hardly ever fails: what the new version's own bad events say as well.

    Stable alone is asked as soon as it can tell, so that a fault that comes in bursts is not taken for how the service always is.
    While it cannot, evidence would count so little that a version that fails one request in twenty served for minutes beside a
    stable one that never fails; whether the new version's failures are independent is told by themselves after a dozen.

    Args:
        state: of stable.
        own: of the new version.
    """
    if telling(state):
        return state
    return [one + other for one, other in zip(state, own, strict=True)]


def calmer(state: list[float], own: Sequence[float]) -> list[float]:
    """Return what is known of bursts where the new version's own bad events may argue them away, and never for them.

    Of latencies a version's slow requests are many as soon as it is slow, so that they tell soon whether they come one by one. What
    comes in bursts in the new version alone is a fault, and not how the service always is.

    Args:
        state: of stable.
        own: of the new version.
    """
    found, alone = joined(state, own), own[_LOGS.start]
    if telling(state):
        found = [one + other for one, other in zip(state, own, strict=True)]
        found[_LOGS] = [one + min(0.0, other - alone) for one, other in zip(state[_LOGS], own[_LOGS], strict=True)]
    return found


def weights(state: Sequence[float]) -> list[float]:
    """Return the probability of each value of phi."""
    logs = [prior + value for prior, value in zip(_LOG_PRIOR, state[_LOGS], strict=True)]
    top = max(logs)
    parts = [math.exp(value - top) for value in logs]
    total = sum(parts)
    return [part / total for part in parts]


def mean(weights: Sequence[float]) -> float:
    """Return the mean of phi under the probability of each value."""
    return max(1.0, sum([phi * weight for phi, weight in zip(GRID, weights, strict=True)]))


def careful(weights: Sequence[float]) -> float:
    """Return a factor that phi hardly exceeds, for tests that divide each interval's evidence by what was known before it.

    That is the greatest phi, less of it where the chance that phi is as great as that is less than UNLIKELY.
    """
    found, tail = 1.0, 0.0
    for phi, weight in zip(reversed(GRID), reversed(weights), strict=True):
        tail += weight
        found = max(found, phi * min(1.0, tail / UNLIKELY))
    return found


def weights_at(phi: float) -> list[float]:
    """Return weights for a factor that is known: all on it, or on its two neighbours in the grid."""
    result = [0.0] * len(GRID)
    if phi <= 1:
        result[0] = 1.0
        return result
    place = 0
    while place < len(GRID) - 2 and GRID[place + 1] <= phi:
        place += 1
    left, right = 1 / GRID[place], 1 / GRID[place + 1]
    share = min(1.0, max(0.0, (left - 1 / phi) / (left - right)))
    result[place], result[place + 1] = 1 - share, share
    return result


def hopeless(total: float, bad: float) -> bool:
    """Whether so many of all requests so far are bad that no burst explains it: hardly any succeeds."""
    return bad >= _HOPELESS * total > 0


def factors(count: float, means: Sequence[tuple[float, float]], phi: float) -> list[float]:
    """Return logarithms of likelihood ratios for events in bursts: negative binomial counts of variance phi times the mean.

    Args:
        count: bad events in an interval.
        means: how many are expected under the null and under the alternative, above 0, of each ratio.
        phi: above 1.
    """
    more, log = phi - 1, math.log(phi)
    sizes = [(null / more, alternative / more) for null, alternative in means]
    gained = gammas_of(count, sizes)
    return [(first - second) * log + gain for (first, second), gain in zip(sizes, gained, strict=True)]


def splits(counts: tuple[float, float, float, float], rho: float, ratios: Sequence[float], expected: float) -> list[list[float]]:
    """Return likelihood ratios for how bursts are split between the versions, for each phi above 1 and each alternative.

    Given how many bad events both versions have together, the number in each is beta-binomial where both are negative binomial of
    the same phi (Dirichlet compound multinomial; J. E. Mosimann, Biometrika 49 (1962) 65-82), with sizes in the ratio of what is
    expected. The fewer bursts are expected, the more unequal splits are thought of; of the expectation and what there is, the less
    is taken.

    Args:
        counts: requests and bad ones of the new version, requests and bad ones of stable.
        rho: ratio of the shares of bad events under the null.
        ratios: and under each alternative.
        expected: stable's share of bad events.
    """
    n_c, e_c, n_b, e_b = counts
    if e_c + e_b <= 0:
        return [[0.0] * len(ratios)] * (len(GRID) - 1)
    base = rho * n_c + n_b
    events = min(expected * base, e_c + e_b)
    null, *shares = [(r * n_c / (r * n_c + n_b), n_b / (r * n_c + n_b)) for r in (rho, *ratios)]
    found = []
    for phi in GRID[1:]:
        size = events / (phi - 1)
        canary = gammas_each(e_c, size * null[0], [size * of_canary for of_canary, _ in shares])
        stable = gammas_each(e_b, size * null[1], [size * of_stable for _, of_stable in shares])
        found.append(list(map(operator.add, canary, stable)))
    return found


def discounted(
    value: Callable[[int], float], weights: Sequence[float], *, hopeless: bool = False, least: float = -math.inf
) -> float:
    """Return the evidence when phi is uncertain: 1 / E = sum of weight(phi) / E(phi), and no more than E(1).

    As 1 / E is a chance of a false alarm, this is the chance over all phi.

    Args:
        value: returns log E(phi) for the place of phi in GRID.
        weights: the probability of each phi.
        hopeless: whether great bursts are not thought of, so that a version that answers nothing but errors is shut at the
            first look, when nothing is known of bursts.
        least: what log E(phi) is at least, whatever phi is: a phi that makes less than a thousandth of a difference is left out.
    """
    undivided = value(0)
    if undivided <= 0 or weights[0] >= _CERTAIN:
        return undivided
    if hopeless:
        return max(min(undivided, undivided / _HOPELESS_FACTOR), discounted(value, weights, least=least))
    terms, matters = [(undivided, weights[0])], max(_NEGLIGIBLE, _LITTLE * math.exp(max(least - undivided, _FARTHEST)))
    terms += [(value(place), weights[place]) for place in range(1, len(GRID)) if weights[place] > matters]
    # A factor whose weight has underflowed to 0 argues for nothing, however far its evidence lies below the rest.
    worth = [math.log(weight) - log for log, weight in terms if weight > 0]
    return min(undivided, -log_sum(worth)) if worth else undivided


def discounted_mean(logs: Sequence[float], weights: Sequence[float]) -> float:
    """Return the evidence of a mixture over alternatives whose logarithms are to be divided by an uncertain phi."""

    def value(place: int) -> float:
        phi = GRID[place]
        return log_mean([log / phi for log in logs])

    return discounted(value, weights)


def known(state: Sequence[float]) -> bool:
    """Whether enough bad events were seen to speak of bursts, rather than of how little is known."""
    return state[5] >= 10 and state[1] >= 10


def _learn(state: list[float], block: float, count: float) -> None:
    """Add a block to the log likelihoods, and to what is known of the rate."""
    total, bad = state[_LOCAL], state[_LOCAL + 1]
    mean = (bad + 0.5) / total * block if total > 0 else count
    most = usual.most(mean)
    if total > 0 and bad + count > 0 and count <= most:
        values = _likelihoods(mean, 1 + max(block / total, _LEAST), count)
        least = max(values) - _TELLS_MOST
        logs = [old * _KEPT + max(value, least) for old, value in zip(state[_LOGS], values, strict=True)]
        top = max(logs)
        state[_LOGS] = [log - top for log in logs]
    # A rate that has jumped is another rate from now on, and what it does next tells whether it was a burst.
    keep = 0.0 if count > most else usual.kept(max(mean, count), parts=_PARTS, events=_EVENTS)
    state[_LOCAL] = total * keep + block
    state[_LOCAL + 1] = bad * keep + count


def _likelihoods(mean: float, wider: float, count: float) -> list[float]:
    """Return the logarithm of the chance of so many bad events for each phi, less what is the same for all of them.

    Args:
        mean: how many are expected.
        wider: factor of the variance, as the mean is not known for certain.
        count: how many there were.
    """
    log, gamma, values = math.log, math.lgamma, []
    for phi in GRID:
        more = phi * wider - 1
        size = mean / more
        value = gamma(count + size) - gamma(size) - size * log(1 + more)
        values.append(value + count * log(more / (1 + more)) if count > 0 else value)
    return values
