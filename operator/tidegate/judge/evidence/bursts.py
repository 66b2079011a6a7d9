"""How bad events come together, and how much less evidence counts for it.

The tests suppose that requests fail independently. Retries, one bad dependency, or a client that sends batches make failures
come in bursts, and a test that knows nothing of it rolls back half of the healthy releases. Dividing the logarithm of the
evidence by a factor phi sets that right: where events come in bursts of a fixed size phi, their number divided by phi is a count
of independent events again. It costs nothing of the guarantee for independent events, whatever phi is and whatever it was estimated
from, as long as no more is claimed than what the undivided evidence says: an e-process may always be understated. So phi is
estimated from everything that is known now, the latest interval included, and applied to all evidence since the first request;
what was read before bursts could be told from chance need not be given away. For bursts the guarantee is approximate, and
checked by simulation.

The estimate looks at the stable version alone, so that a fault of the new version is not taken for its bursts; where a gate does
not compare with stable, at the new version. Counts are gathered into blocks. Given the rate, a block is taken to be negative
binomial with variance phi times its mean: the law of events that come in bursts of logarithmic sizes (M. H. Quenouille,
Biometrics 5 (1949) 162-164), for which sums of blocks have the same phi. With the rate estimated from N earlier requests, a block
of n has the dispersion phi * (1 + n / N), exactly so for phi = 1 (the predictive law of a Poisson count under a gamma law of its
rate).

What is known of phi is a probability for each value of a grid. A third of all services is supposed to have bursts until isolated
failures argue it away: the chance of a false alarm is then met for a service with bursts, too, and not on average only.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence

from tidegate.judge.evidence.numbers import log_mean

GRID = (1.0, 2.0, 4.0, 8.0, 16.0)
"""Values of phi; the greatest is the most that evidence is divided by."""
PRIOR = (0.65, 0.01, 0.01, 0.17, 0.16)
"""Probability of each before anything is known: hardly any on 2, which takes long to be told from 1 and does little harm."""
_LOG_PRIOR = tuple(math.log(weight) for weight in PRIOR)
_NEGLIGIBLE = 1e-12
"""Probability of a phi below which it is left out: no test is worth less than a thousandth, as long as it is worth anything."""
EVENTS = 0.5
"""A block ends once it is long enough for so many bad events at the rate so far,"""
LONGEST = 60.0
"""or after so many seconds."""
MEMORY = 200.0
"""Blocks after which what they said counts a third only: rates and bursts change over days."""
_KEPT = 1 - 1 / MEMORY
_TELLING = 10.0
"""Bad events of stable from which on it alone tells whether they come in bursts."""
UNLIKELY = 0.05
"""Chance of great bursts below which they are thought of less and less, where nothing can be corrected later."""
_CERTAIN = 1 - 1e-9
"""Probability of independence from which on nothing else is thought of."""
_HOPELESS = 0.8
_HOPELESS_PLACE = 2
"""Where nearly all requests so far are bad, a greater phi than that at this place of the grid is not thought of."""
_LEAST = 1e-6
"""Requests that are none, and parts that are no part."""
FLOATS = 6 + len(GRID)
"""Length of the state: total and bad events of earlier blocks, of this one, its seconds, blocks so far, and log likelihoods."""


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
    if learned:
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


def weights(state: Sequence[float]) -> list[float]:
    """Return the probability of each value of phi."""
    logs = [prior + value for prior, value in zip(_LOG_PRIOR, state[6:FLOATS], strict=True)]
    top = max(logs)
    parts = [math.exp(value - top) for value in logs]
    total = sum(parts)
    return [part / total for part in parts]


def mean(weights: Sequence[float]) -> float:
    """Return the mean of phi under the probability of each value."""
    return max(1.0, sum([phi * weight for phi, weight in zip(GRID, weights, strict=True)]))


def careful(weights: Sequence[float]) -> float:
    """Return a factor that phi hardly exceeds, for tests that cannot divide what they counted before by what is known later.

    That is the greatest phi, less of it where the chance that phi is as great as that is less than UNLIKELY.
    """
    tails = list(itertools.accumulate(reversed(weights)))[::-1]
    return max(1.0, *[phi * min(1.0, tail / UNLIKELY) for phi, tail in zip(GRID, tails, strict=True)])


def weights_at(phi: float) -> list[float]:
    """Return weights for a factor that is known: all on it, or on its two neighbours in the grid."""
    result = [0.0] * len(GRID)
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


def discounted(value: Callable[[int], float], weights: Sequence[float], *, hopeless: bool = False) -> float:
    """Return the evidence when phi is uncertain: 1 / E = sum of weight(phi) / E(phi), and no more than E(1).

    As 1 / E is a chance of a false alarm, this is the chance over all phi.

    Args:
        value: returns log E(phi) for the place of phi in GRID.
        weights: the probability of each phi.
        hopeless: whether great bursts are not thought of, so that a version that answers nothing but errors is shut at the
            first look, when nothing is known of bursts.
    """
    undivided = value(0)
    if weights[0] >= _CERTAIN:
        return undivided
    if hopeless:
        return max(min(undivided, value(_HOPELESS_PLACE)), discounted(value, weights))
    terms = [(undivided, weights[0])]
    terms += [(value(place), weights[place]) for place in range(1, len(GRID)) if weights[place] > _NEGLIGIBLE]
    worst = min([log for log, weight in terms if weight > 0], default=undivided)
    total = sum([weight * math.exp(worst - log) for log, weight in terms])
    return min(undivided, worst - math.log(total)) if total > 0 else undivided


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
    """Add a block to the log likelihoods."""
    mean = (state[1] + 0.5) / state[0] * block
    wider, log, gamma = 1 + max(block / state[0], _LEAST), math.log, math.lgamma
    for i, phi in enumerate(GRID, 6):
        more = phi * wider - 1
        size = mean / more
        value = gamma(count + size) - gamma(size) - size * log(1 + more)
        if count > 0:
            value += count * log(more / (1 + more))
        state[i] = state[i] * _KEPT + value
    top = max(state[6:FLOATS])
    for i in range(6, FLOATS):
        state[i] -= top
