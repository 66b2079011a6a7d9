"""Whether the buckets of a histogram are fine enough for a limit in percent, as Prometheus has them at present."""

from __future__ import annotations

import asyncio
from bisect import bisect_left
from datetime import datetime
from typing import Any

from tidegate.api.gate import Gate
from tidegate.api.metric import Measure, Unit
from tidegate.judge import limit, words
from tidegate.prometheus.answers import Result, Value
from tidegate.prometheus.connections import Connection
from tidegate.prometheus.presets import TELEMETRY, Telemetry

_MOST_BOUNDS = 1000
_OVER = "1h"
"""Time over which the quantile is looked at: a rough one is enough to find its bucket."""


def percent_of(gate: Gate) -> float | None:
    """Return by how many percent a quantile of latency may rise over stable's; None where a gate has no such limit."""
    preset, versus = gate.metric.preset, gate.versus_stable
    if preset is None or preset.measure is not Measure.LATENCY or versus is None or versus.max_increase is None:
        return None
    return versus.max_increase.percent


async def too_coarse(connection: Connection, gate: Gate, at: datetime) -> str:
    """Return in words that the bucket about the quantile is wider than the limit; empty where it is not, or nobody knows.

    All series of the metric are looked at together, since a policy does not say whose they are.
    """
    preset, percent = gate.metric.preset, percent_of(gate)
    known = TELEMETRY.get(preset.source) if preset is not None else None
    if preset is None or percent is None or known is None:
        return ""
    name = f"{known.histogram}_bucket"
    listed, quantile = await asyncio.gather(
        connection.alone(f"group by (le) ({name})", at, _MOST_BOUNDS),
        connection.query(f"histogram_quantile({preset.quantile!r}, sum by (le) (rate({name}[{_OVER}])))", at),
    )
    if not isinstance(listed, Result) or not isinstance(quantile, Value):
        return ""
    bounds, place = _bounds(listed.data), quantile.value
    index = bisect_left(bounds, place)
    if not 0 < index < len(bounds):
        return ""
    low, high = bounds[index - 1], bounds[index]
    if high / low <= 1 + percent / 100:
        return ""
    measure, wide = limit.measure_in_words(gate), words.number(high / low, 2)
    about, edges = _written(place, known), f"{_written(low, known)} to {_written(high, known)}"
    return (
        f"the {measure} over all of {known.histogram} is about {about}, in the bucket from {edges}, which is {wide} times wide; "
        f"within it {words.number(percent)}% more is an interpolation: finer bounds or the measure Tail tell more"
    )


def _bounds(series: Any) -> list[float]:
    found = set()
    for one in series if isinstance(series, list) else ():
        try:
            found.add(float(one["metric"]["le"]))
        except (LookupError, TypeError, ValueError):
            continue
    return sorted(bound for bound in found if 0 < bound < float("inf"))


def _written(value: float, known: Telemetry) -> str:
    return words.quantity(value * known.seconds, Unit.SECONDS)
