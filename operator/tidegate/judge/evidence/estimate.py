"""The values of a gate so far, and whether they speak against the new version."""

from __future__ import annotations

import math
from dataclasses import dataclass

from tidegate.api.metric import Measure
from tidegate.judge.evidence import latency
from tidegate.judge.evidence.latency_limit import QuantileThreshold
from tidegate.judge.evidence.paired import PairedTest
from tidegate.judge.evidence.poisson import PoissonTest
from tidegate.judge.evidence.quantile import QuantileRatio
from tidegate.judge.evidence.tail import Tail
from tidegate.judge.evidence.threshold import NoneAllowed, ThresholdTest
from tidegate.judge.evidence.trial import Trial
from tidegate.judge.reading import Tally

SLACK = 1.0
"""Standard deviations by which a value may be beyond its limit and still not speak against the new version."""


@dataclass(frozen=True)
class Estimate:
    """Values so far, in the metric's unit.

    Attributes:
        canary: of the new version; None without requests.
        stable: of stable, likewise.
        ratio: how many times as many bad events the new version has, or how many times as long it takes; None if stable has none.
        within: whether the values are within all limits, or beyond one by no more than chance makes of a version at it.
    """

    canary: float | None
    stable: float | None
    ratio: float | None
    within: bool


def estimate(trial: Trial) -> Estimate:
    """Return the values so far."""
    limits, totals = trial.limits, trial.totals
    canary, stable = _share(totals.canary), _share(totals.stable)
    if limits.measure is Measure.LATENCY:
        return _quantiles(trial)
    ratio = canary / stable if canary is not None and stable else None
    within = canary is not None and all(_within(test, totals.canary, totals.stable) for test in limits.tests)
    if limits.measure is Measure.AVAILABILITY:
        canary, stable = (None if share is None else 1 - share for share in (canary, stable))
    return Estimate(canary, stable, ratio, within)


def _within(test: object, canary: Tally, stable: Tally) -> bool:
    """Whether a share of bad events is within one limit."""
    n, share = canary.total, canary.bad / canary.total
    match test:
        case PairedTest():
            if stable.total <= 0:
                return False
            supposed = stable.bad / stable.total
            limit = min(max(test.limit(supposed), 0.0), 1.0)
            variance = limit * (1 - limit) / n + test.slope**2 * supposed * (1 - supposed) / stable.total
            return _beyond(share, limit, variance, up=test.up)
        case ThresholdTest():
            return _beyond(share, test.limit, test.limit * (1 - test.limit) / n, up=test.up)
        case PoissonTest():
            return _beyond(share, test.limit, test.limit / n, up=test.up)
        case Tail():
            supposed = test.rho * stable.bad / max(stable.total, 1e-12)
            return _beyond(share, supposed, supposed / n + test.rho * supposed / max(stable.total, 1e-12), up=True)
        case NoneAllowed():
            return canary.bad == 0
        case _:
            return True


def _beyond(value: float, limit: float, variance: float, *, up: bool) -> bool:
    worse = value - limit if up else limit - value
    return worse <= SLACK * math.sqrt(max(variance, 0.0))


def _quantiles(trial: Trial) -> Estimate:
    """Return the estimated quantiles, and whether they keep the limits if the share of slower requests is a deviation off."""
    p, states = trial.limits.quantile, trial.states
    if not states:
        return Estimate(None, None, None, within=False)
    canary, stable = latency.quantiles(states[0], p)
    if not trial.limits.compares:
        stable = None
    ratio = canary / stable if canary is not None and stable else None
    if canary is None:
        return Estimate(None, stable, None, within=False)
    totals = trial.totals
    least = latency.canary_quantile(states[0], _moved(p, totals.canary.total, -SLACK)) or 0.0
    within = True
    for test in trial.limits.tests:
        if isinstance(test, QuantileThreshold):
            within = within and least <= test.limit
        elif isinstance(test, QuantileRatio):
            most = latency.stable_quantile(states[0], _moved(p, totals.stable.total, SLACK))
            within = within and most is not None and least <= test.kappa * most
    return Estimate(canary, stable, ratio, within)


def _moved(p: float, total: float, deviations: float) -> float:
    """Return the quantile's p moved by standard deviations of the share of so many requests."""
    moved = p + deviations * math.sqrt(p * (1 - p) / max(total, 1.0))
    return min(max(moved, 1e-6), 1 - 1e-6)


def _share(tally: Tally) -> float | None:
    return tally.bad / tally.total if tally.total > 0 else None
