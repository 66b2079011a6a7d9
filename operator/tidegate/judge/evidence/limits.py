"""The limits of a gate as sequential tests.

Tests look at shares of bad events. Where the metric's value is a share of good ones (availability), a limit of the value
v_c is turned into one of the bad share p_c = 1 - v_c: "less than x below (1 - x) v_b" is p_c < x + (1 - x) p_b.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from tidegate.api.gate import Gate
from tidegate.api.metric import Measure
from tidegate.judge import limit
from tidegate.judge.evidence.interval import SequentialTest
from tidegate.judge.evidence.latency_limit import QuantileThreshold
from tidegate.judge.evidence.paired import NeverExceeded, PairedTest
from tidegate.judge.evidence.poisson import PoissonTest
from tidegate.judge.evidence.quantile import QuantileRatio
from tidegate.judge.evidence.tail import Tail
from tidegate.judge.evidence.threshold import NoneAllowed, ThresholdTest

COMPARING = (PairedTest, QuantileRatio, Tail)
"""Tests of limits that are relative to stable."""
TEMPERED = (PairedTest, QuantileRatio, Tail, ThresholdTest)
"""Tests that weigh all evidence so far by what is known of bursts now."""

_LATENCIES = frozenset({Measure.LATENCY, Measure.TAIL})


@dataclass(frozen=True)
class Limits:
    """A gate's limits, ready to be tested.

    Attributes:
        tests: one for each limit, in the order of `limit.limit_in_words`.
        measure: what the gate measures; counters of one's own are an ErrorRate.
        compares: whether a limit is relative to stable.
        quantile: the quantile of latencies that is shown.
        of_latency: whether requests are counted by how long they took.
        fingerprint: tells gates with other metrics or limits apart.
        lengths: length of each test's state.
        name: what is measured, in words.
        in_words: the limits, in words.
    """

    tests: tuple[SequentialTest, ...]
    measure: Measure
    compares: bool
    quantile: float
    fingerprint: int
    lengths: tuple[int, ...]
    name: str
    in_words: str
    of_latency: bool


def limits_of(gate: Gate) -> Limits:
    """Return the tests of a gate's limits; none for a metric or a limit that cannot be tested on counts."""
    known = _by_identity.get(id(gate))
    if known is not None and known[0] is gate:
        return known[1]
    if len(_by_identity) >= _KNOWN:
        _by_identity.clear()
    found = _limits(gate)
    _by_identity[id(gate)] = (gate, found)
    return found


_KNOWN = 1024
_by_identity: dict[int, tuple[Gate, Limits]] = {}
"""Hashing a gate takes longer than judging it ought to; the same object comes at every look."""


@lru_cache(maxsize=_KNOWN)
def _limits(gate: Gate) -> Limits:
    preset = gate.metric.preset
    measure = preset.measure if preset is not None else Measure.ERROR_RATE
    if measure in _LATENCIES:
        tests = tuple(_latency_tests(gate, measure))
    elif measure is Measure.RESTARTS:
        tests = tuple(_restart_tests(gate))
    else:
        tests = (*_relative_tests(gate, measure), *_fixed_tests(gate, measure))
    wire = gate.to_wire()
    told = json.dumps([wire.get(name) for name in ("metric", "versusStable", "threshold")], sort_keys=True)
    return Limits(
        tests=tests,
        measure=measure,
        compares=gate.versus_stable is not None,
        quantile=preset.quantile if preset is not None else 0.99,
        fingerprint=zlib.crc32(told.encode()),
        lengths=tuple(len(test.begin()) for test in tests),
        name=limit.measure_in_words(gate),
        in_words=limit.limit_in_words(gate),
        of_latency=measure in _LATENCIES,
    )


def _relative_tests(gate: Gate, measure: Measure) -> Iterator[SequentialTest]:
    versus = gate.versus_stable
    if versus is None:
        return
    for change, rises in ((versus.max_increase, True), (versus.max_decrease, False)):
        if change is None:
            continue
        good = measure is Measure.AVAILABILITY
        sign, up = (1 if rises else -1), rises is not good
        if change.points is not None:
            offset = change.points / 100 * (1 if up else -1)
            yield PairedTest(1.0, offset, up=up) if abs(offset) < 1 else NeverExceeded()
        elif change.percent is not None:
            slope = 1 + sign * change.percent / 100
            if slope <= 0:
                yield NeverExceeded()
            else:
                yield PairedTest(slope, 1 - slope if good else 0.0, up=up)


def _fixed_tests(gate: Gate, measure: Measure) -> Iterator[SequentialTest]:
    threshold = gate.threshold
    if threshold is None:
        return
    for number, least in ((threshold.min, True), (threshold.max, False)):
        if number is None:
            continue
        good = measure is Measure.AVAILABILITY
        share, up = (1 - number if good else number), least is good
        yield _fixed_test(share, up=up)


def _fixed_test(share: float, *, up: bool) -> SequentialTest:
    """Return the test of a greatest (or least) share; one that every share keeps, or none, has a test of its own."""
    if (share >= 1) if up else (share <= 0):
        return NeverExceeded()
    if up and share <= 0:
        return NoneAllowed()
    return ThresholdTest(min(share, 1 - 1e-9), up=up)


def _restart_tests(gate: Gate) -> Iterator[SequentialTest]:
    threshold = gate.threshold
    if threshold is None:
        return
    if threshold.min is not None:
        yield PoissonTest(threshold.min, up=False) if threshold.min > 0 else NeverExceeded()
    if threshold.max is not None:
        yield PoissonTest(threshold.max) if threshold.max > 0 else NoneAllowed()


def _latency_tests(gate: Gate, measure: Measure) -> Iterator[SequentialTest]:
    versus, preset, threshold = gate.versus_stable, gate.metric.preset, gate.threshold
    assert preset is not None
    if versus is not None and versus.max_increase is not None and versus.max_increase.percent is not None:
        ratio = 1 + versus.max_increase.percent / 100
        yield Tail(ratio) if measure is Measure.TAIL else QuantileRatio(preset.quantile, ratio)
    if threshold is not None and threshold.max is not None and measure is Measure.LATENCY:
        yield QuantileThreshold(preset.quantile, threshold.max)
