"""Whole lives of gates: regimes that follow each other in any order, look after look, as readings for the judge Evidence."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import hypothesis.strategies as st

from tidegate.api.gate import Gate
from tidegate.judge.reading import Counts, Reading, Tally

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
LAYOUTS = (
    (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0),
    (0.1, 0.5, 1.0, 5.0),
    tuple(0.01 * 2 ** (k / 4) for k in range(45)),
    tuple(0.012 * 2 ** (k / 4) for k in range(45)),
    (),
)
"""Bounds of histograms: few, fewer, many, many others, and none."""


def gate(measure: str, **limits: Any) -> Gate:
    """Return a gate of the judge Evidence."""
    source = "Kubernetes" if measure == "Restarts" else "HTTP"
    return Gate.model_validate({"name": measure.lower(), "metric": {"preset": {"source": source, "measure": measure}}, **limits})


def counters(**limits: Any) -> Gate:
    """Return a gate on counters of one's own."""
    pair = {"bad": "bad_total", "total": "all_total"}
    metric = {"counters": {"canary": pair, "stable": pair} if "versusStable" in limits else {"canary": pair}}
    return Gate.model_validate({"name": "own", "metric": metric, **limits})


def increase(**change: float) -> dict[str, Any]:
    """Return a greatest increase against stable."""
    return {"versusStable": {"maxIncrease": change}}


def decrease(**change: float) -> dict[str, Any]:
    """Return a greatest decrease against stable."""
    return {"versusStable": {"maxDecrease": change}}


AGAINST_STABLE = (
    gate("ErrorRate", **increase(percent=0)),
    gate("ErrorRate", **increase(percent=50)),
    gate("ErrorRate", **increase(points=0)),
    gate("ErrorRate", **increase(points=1)),
    gate("Availability", **decrease(percent=1)),
    gate("Availability", **decrease(points=1)),
    gate("ErrorRate", **increase(percent=50), threshold={"max": 0.02}),
    counters(**increase(percent=10)),
)
"""Gates that a version of which all requests fail beside a sound stable one is beyond."""
FIXED = (
    gate("ErrorRate", threshold={"max": 0.02}),
    gate("ErrorRate", threshold={"max": 0}),
    gate("Availability", threshold={"min": 0.99}),
    counters(threshold={"max": 0.001}),
)
"""The same, without stable."""
LATENCIES = (
    gate("Tail", **increase(percent=10)),
    gate("Latency", **increase(percent=20)),
    gate("Latency", threshold={"max": 0.5}),
    gate("Latency", **increase(percent=0), threshold={"max": 2}),
)
OTHERS = (
    gate("ErrorRate", **increase(percent=1_000_000)),
    gate("ErrorRate", **increase(points=99.9999)),
    gate("ErrorRate", **decrease(percent=50)),
    gate("ErrorRate", **decrease(points=1)),
    gate("ErrorRate", **decrease(percent=99.99999)),
    gate("Availability", **increase(percent=50)),
    gate("Availability", **increase(points=1)),
    gate("Availability", **decrease(percent=1e-12)),
    gate("ErrorRate", threshold={"max": 5e-324}),
    gate("ErrorRate", threshold={"max": 1 - 1e-16}),
    gate("ErrorRate", threshold={"min": 0.001, "max": 0.5}),
    gate("Availability", threshold={"min": 1, "max": 1}),
    gate("Restarts", threshold={"max": 1}),
    gate("Restarts", threshold={"max": 0}),
    gate("Restarts", threshold={"min": 0.5, "max": 1e12}),
)
GATES = (*AGAINST_STABLE, *FIXED, *LATENCIES, *OTHERS)


@dataclass(frozen=True)
class Regime:
    """How it goes for some looks.

    Attributes:
        looks: how many.
        seconds: between two of them.
        requests: of both versions at each look.
        share: of the requests that go to the new version.
        stable: stable's share of bad events; where latencies are counted, how many times as slow as usual it is.
        canary: the new version's, likewise.
        bursts: how many looks' bad events come in one look.
        gone: the chance that a version has no series at a look, for each of them.
        alone: whether stable has no traffic.
        odd: the chance of a look with trouble, of one that was held, and of one with several spans.
        layout: which bounds histograms have.
    """

    looks: int = 20
    seconds: float = 5.0
    requests: float = 1000.0
    share: float = 0.1
    stable: float = 0.0
    canary: float = 0.0
    bursts: int = 1
    gone: float = 0.0
    alone: bool = False
    odd: float = 0.0
    layout: int = 0


_SHARES = st.sampled_from([0.0, 0.0, 1e-6, 0.001, 0.01, 0.3, 1.0])
_REQUESTS = st.sampled_from([0.0, 1e-12, 0.01, 1.0, 3.0, 40.0, 1000.0, 1e5, 1e7, 1e12])

regimes = st.builds(
    Regime,
    looks=st.sampled_from([1, 2, 5, 20, 60]),
    seconds=st.sampled_from([0.1, 1.0, 5.0, 30.0, 3600.0, 172_800.0]),
    requests=_REQUESTS,
    share=st.sampled_from([0.0, 1e-9, 0.01, 0.1, 0.5, 0.9, 1.0]),
    stable=_SHARES,
    canary=_SHARES,
    bursts=st.sampled_from([1, 1, 1, 4, 16]),
    gone=st.sampled_from([0.0, 0.0, 0.3]),
    alone=st.booleans(),
    odd=st.sampled_from([0.0, 0.0, 0.2]),
    layout=st.integers(0, len(LAYOUTS) - 1),
)
alike = st.builds(
    lambda regime, layout: replace(regime, canary=regime.stable, layout=layout),
    st.builds(
        Regime,
        looks=st.sampled_from([1, 5, 30, 100]),
        requests=st.sampled_from([40.0, 1000.0, 1e5, 1e7, 1e12]),
        share=st.sampled_from([0.01, 0.1, 0.5]),
        stable=st.sampled_from([0.0, 0.0, 0.001, 0.01, 0.3, 1.0]),
        gone=st.sampled_from([0.0, 0.3]),
    ),
    st.integers(0, 2),
)
"""Regimes in which both versions are alike: calm, outages of both, floods."""


def readings(past: list[Regime], of: Gate, seed: int, begin: datetime = BEGIN) -> Iterator[tuple[Reading, bool]]:
    """Yield the readings of a life, each with whether the new version has all traffic.

    Args:
        past: regimes, in order.
        of: whose readings they are.
        seed: of chance.
        begin: when the first interval begins.
    """
    rng, at = random.Random(seed), begin
    for regime in past:
        for look in range(regime.looks):
            after = at + timedelta(seconds=regime.seconds)
            counts = _counts(rng, regime, of, at, after, look)
            odd = rng.random()
            if odd < regime.odd / 3:
                yield Reading(of.name, "r", after, trouble="the connection was refused"), regime.alone
            elif odd < regime.odd / 1.5:
                yield Reading(of.name, "r", after, counts=replace(counts, until=counts.since)), regime.alone
                continue
            elif odd < regime.odd:
                yield Reading(of.name, "r", after, counts=_halved(counts, after), earlier=_earlier(counts, after)), regime.alone
            else:
                yield Reading(of.name, "r", after, counts=counts), regime.alone
            at = after


def _earlier(counts: Counts, after: datetime) -> tuple[Counts, ...]:
    return (replace(_half(counts), until=counts.since + (after - counts.since) / 2),)


def _halved(counts: Counts, after: datetime) -> Counts:
    return replace(_half(counts), since=counts.since + (after - counts.since) / 2)


def _half(counts: Counts) -> Counts:
    def half(tally: Tally) -> Tally:
        return Tally(tally.total / 2, tally.bad / 2, tuple(value / 2 for value in tally.over))

    return replace(counts, canary=half(counts.canary), stable=half(counts.stable) if counts.stable is not None else None)


def _counts(rng: random.Random, regime: Regime, of: Gate, at: datetime, after: datetime, look: int) -> Counts:
    layout = LAYOUTS[regime.layout] if _of_latency(of) else ()
    canary = _tally(rng, regime, layout, look, regime.requests * regime.share, regime.canary)
    stable = _tally(rng, regime, layout, look, 0.0 if regime.alone else regime.requests * (1 - regime.share), regime.stable)
    return Counts(at, canary, stable if of.versus_stable is not None else None, layout)


def _tally(rng: random.Random, regime: Regime, layout: tuple[float, ...], look: int, total: float, share: float) -> Tally:
    if rng.random() < regime.gone:
        total = 0.0
    if layout:
        scale = 0.05 * (1 + 100 * share)
        return Tally(total, 0.0, tuple(total / (1 + (bound / scale) ** 4) for bound in layout))
    if regime.bursts > 1:
        share = min(1.0, share * regime.bursts) if look % regime.bursts == 0 else 0.0
    mean = total * share
    bad = mean + rng.gauss(0, 1) * math.sqrt(mean * (1 - share)) if 0 < share < 1 else mean
    return Tally(total, min(total, max(0.0, float(round(bad)) if total >= 1 else bad)))


def _of_latency(of: Gate) -> bool:
    return of.metric.preset is not None and of.metric.preset.measure.value in ("Latency", "Tail")
