"""Arithmetic on logarithms and shares that the sequential tests have in common.

Evidence is a product of thousands of factors, which no float holds; its logarithm is a sum.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence

MOST = 700.0
"""Greatest natural logarithm of evidence that is kept: its exponential is still a float."""

LEAST = 1e-300
"""Stands for nothing where a logarithm is taken."""
_TEN = math.log(10)
_LARGE, _SERIES = 1e7, 100.0
"""Argument from which on lgamma is rounded too much, and from which on Stirling's series is exact."""


def log_sum(values: Sequence[float]) -> float:
    """Return log(sum(exp(v))) without overflow; minus infinity for no values."""
    top = max(values) if values else -math.inf
    if top == -math.inf:
        return top
    exp = math.exp
    return top + math.log(sum([exp(value - top) for value in values]))


def log_add(one: float, other: float) -> float:
    """Return log(exp(one) + exp(other)) without overflow."""
    if one < other:
        one, other = other, one
    if other == -math.inf or one - other > 40:
        return one
    return one + math.log1p(math.exp(other - one))


def log_mean(values: Sequence[float]) -> float:
    """Return the logarithm of the mean of exp(values); minus infinity for no values."""
    if len(values) == 1:
        return values[0]
    return log_sum(values) - math.log(len(values)) if values else -math.inf


def odds_times(share: float, multiple: float) -> float:
    """Return the share whose odds are a multiple of a share's odds, for 0 <= share <= 1."""
    return multiple * share / (1 + (multiple - 1) * share)


def odds_logs(share: float, multiple: float) -> tuple[float, float]:
    """Return the log likelihood ratio of a bad event and of a good one, for a multiple of a share's odds against the share.

    Both are finite for every share from 0 to 1, also where the other share is 1 as far as a float can tell.
    """
    wider = math.log1p((multiple - 1) * share)
    return math.log(multiple) - wider, -wider


def gammas(count: float, null: float, alternative: float) -> float:
    """Return log(G(count + alternative) G(null) / (G(alternative) G(count + null))) for the gamma function G.

    Of counts of 1e12 the logarithms of G are 1e13, so that their difference is rounded to hundredths, or tenths, and look by look
    in the same direction. Stirling's series leaves out what they have in common.

    Args:
        count: bad events, at least 0.
        null: size under the null, at least 0; one that is hardly any is taken for LEAST.
        alternative: and under the alternative, likewise.
    """
    if count <= 0:
        return 0.0
    gamma, x, y = math.lgamma, max(null, LEAST), max(alternative, LEAST)
    if count + max(x, y) < _LARGE:
        return gamma(count + y) - gamma(y) - gamma(count + x) + gamma(x)
    if count + min(x, y) < _SERIES:
        # The count is small, so that nothing is to be left out; for hardly any the series has no terms.
        return _rise(count, y) - _rise(count, x)
    if min(x, y) < _SERIES:
        # Only those of great arguments are taken together: the others are exact as they are.
        more = (count + x - 0.5) * math.log1p((y - x) / (count + x)) + (y - x) * (math.log(count + y) - 1)
        return more + _rest(count + y) - _rest(count + x) - gamma(y) + gamma(x)
    terms = [
        (y - 0.5) * math.log1p(count / y),
        -(x - 0.5) * math.log1p(count / x),
        count * math.log1p((y - x) / (count + x)),
    ]
    return math.fsum(terms) + _rest(count + y) - _rest(y) - _rest(count + x) + _rest(x)


def _rise(count: float, size: float) -> float:
    """Return log(G(count + size) / G(size)) for a count that is less than _SERIES."""
    if size < _LARGE:
        return math.lgamma(count + size) - math.lgamma(size)
    return (size - 0.5) * math.log1p(count / size) + count * (math.log(count + size) - 1) + _rest(count + size) - _rest(size)


def gammas_each(count: float, null: float, alternatives: Sequence[float]) -> list[float]:
    """Return `gammas` for each of several alternatives, with what they have in common computed once."""
    if count <= 0:
        return [0.0] * len(alternatives)
    gamma, x = math.lgamma, max(null, LEAST)
    if count + max(x, *alternatives) >= _LARGE:
        return [gammas(count, null, alternative) for alternative in alternatives]
    at_null = gamma(count + x) - gamma(x)
    if min(alternatives) < LEAST:
        alternatives = [max(alternative, LEAST) for alternative in alternatives]
    return [gamma(count + y) - gamma(y) - at_null for y in alternatives]


def gammas_of(count: float, sizes: Sequence[tuple[float, float]]) -> list[float]:
    """Return `gammas` for each of several pairs of a size under the null and one under the alternative."""
    if count <= 0:
        return [0.0] * len(sizes)
    both = [size for pair in sizes for size in pair]
    if not both or min(both) < LEAST or count + max(both) >= _LARGE:
        return [gammas(count, null, alternative) for null, alternative in sizes]
    gamma = math.lgamma
    return [gamma(count + y) - gamma(y) - gamma(count + x) + gamma(x) for x, y in sizes]


def _rest(x: float) -> float:
    """Return the terms of Stirling's series that vanish as x grows."""
    return (1 / 12 - 1 / (360 * x * x)) / x


def divergence(one: float, other: float) -> float:
    """Return the Kullback-Leibler divergence KL(one || other) of two Bernoulli laws, in nats."""
    total = 0.0
    for p, q in ((one, other), (1 - one, 1 - other)):
        if p > 0:
            total += p * math.log(p / q) if q > 0 else math.inf
    return total


def countable(values: Sequence[float]) -> bool:
    """Whether all values are finite numbers of at least 0, and so is their sum."""
    return not values or (math.isfinite(sum(values)) and min(values) >= 0)


def rising(values: Sequence[float]) -> bool:
    """Whether all values are finite and each is greater than the one before it."""
    return math.isfinite(sum(values)) and all(map(operator.lt, values, values[1:]))


def bounded(value: float) -> float:
    """Return a logarithm of evidence within what exp() and JSON can hold; 0 for what is not a number."""
    if -MOST <= value <= MOST:
        return value
    return 0.0 if math.isnan(value) else math.copysign(MOST, value)


def powers_of_ten(value: float) -> float:
    """Return a natural logarithm as a power of ten."""
    return bounded(value) / _TEN


def never_rising(values: Sequence[float], most: float) -> Sequence[float]:
    """Return counts over rising bounds, each at most the one before it and `most`."""
    if not values or (values[0] <= most and all(map(operator.ge, values, values[1:]))):
        return values
    result = []
    for value in values:
        most = min(most, value)
        result.append(most)
    return result
