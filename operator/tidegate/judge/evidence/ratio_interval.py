"""An interval for the ratio of two shares of bad events that holds at every look.

All ratios rho are kept that neither the test of p_c <= rho * p_b nor that of p_c >= rho * p_b rejects at alpha / 2
(inversion of tests; Howard, Ramdas, McAuliffe and Sekhon, Ann. Statist. 49 (2021), arXiv 1810.08240). Each is a mixture of
the factors of `ratio`, whose product over intervals needs only the bad events of both versions and A(g) = sum of (e_c +
e_b) log(g n_c + n_b):

    log L(rho -> r) = e_c log(r / rho) + A(rho) - A(r).

A is kept at NODES values of log g and interpolated by cubics between them, which is off by less than 3e-6 per bad event.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from tidegate.judge.evidence.numbers import log_mean

NODES = 41
_STEP = 0.3
_LEAST = -(NODES // 2) * _STEP
_GRID = tuple(math.exp(_LEAST + _STEP * node) for node in range(NODES))
_MULTIPLES = (0.05, 0.2, 0.6, 1.6)
"""Alternatives, as distances of log r from log rho."""
_PLENTY = math.log(len(_MULTIPLES)) + 1e-6
"""How much more than is needed one alternative's evidence is enough, whatever that of the others is."""
_EDGE = 5.0
"""Farthest log rho that is looked at; the grid goes on a little, so that there are alternatives to it."""
FLOATS = 2 + NODES


def begin() -> list[float]:
    """Return the state before the first interval."""
    return [0.0] * FLOATS


def add(state: list[float], canary_total: float, canary_bad: float, stable_total: float, stable_bad: float) -> None:
    """Take an interval into the state, in which both versions have requests."""
    bad = canary_bad + stable_bad
    if bad <= 0:
        return
    log = math.log
    state[0] += canary_bad
    state[1] += stable_bad
    state[2:] = [a + bad * log(g * canary_total + stable_total) for a, g in zip(state[2:], _GRID, strict=True)]


def interval(state: Sequence[float], alpha: float, bursts: float) -> tuple[float | None, float | None]:
    """Return both ends; None where the counts do not bound the ratio between 1/148 and 148.

    Args:
        state: what was counted.
        alpha: chance that the interval ever fails to hold the ratio.
        bursts: factor by which the evidence is divided.
    """
    if state[0] + state[1] <= 0:
        return None, None
    needed = math.log(2 / alpha)
    return _end(state, needed, bursts, 1.0), _end(state, needed, bursts, -1.0)


def _end(state: Sequence[float], needed: float, bursts: float, direction: float) -> float | None:
    """Return where the test of `ratio at most rho` (1), or of `at least rho` (-1), just does not reject."""
    inside, outside = _EDGE * direction, -_EDGE * direction
    if not _rejected(state, outside, needed, bursts, direction):
        return None
    if _rejected(state, inside, needed, bursts, direction):
        return math.exp(inside)
    for _ in range(11):
        middle = (inside + outside) / 2
        if _rejected(state, middle, needed, bursts, direction):
            outside = middle
        else:
            inside = middle
    return math.exp(outside)


def _rejected(state: Sequence[float], log_rho: float, needed: float, bursts: float, direction: float) -> bool:
    """Whether the evidence against a ratio is as much as needed."""
    base, bad, enough, logs = _interpolated(state, log_rho), state[0], needed + _PLENTY, list[float]()
    for distance in _MULTIPLES:
        other = log_rho + distance * direction
        if not _LEAST <= other <= -_LEAST:
            other = min(max(other, _LEAST), -_LEAST)
        step = other - log_rho
        log = (bad * step + base - _interpolated(state, log_rho + step)) / bursts
        if log >= enough:
            return True
        logs.append(log)
    # A mean is no more than the greatest.
    return max(logs) >= needed and log_mean(logs) >= needed


def _interpolated(state: Sequence[float], log_g: float) -> float:
    """Return A by Lagrange's cubic through the four nodes about log g: a hundred times for each interval, so nothing is called."""
    place = (log_g - _LEAST) / _STEP
    node = int(place)
    if not 1 <= node <= NODES - 3:
        node = 1 if node < 1 else NODES - 3
    t = place - node
    a, b, c, d = state[node + 1], state[node + 2], state[node + 3], state[node + 4]
    return b + t * ((c - b) - (1 - t) * ((2 - t) * (a - 2 * b + c) + (1 + t) * (b - 2 * c + d)) / 6)
