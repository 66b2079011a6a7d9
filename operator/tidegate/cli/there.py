"""What Prometheus has of a preset's metrics at present, whosever it is: a policy does not say whose series are meant."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta

from tidegate.api.base import format_duration
from tidegate.api.gate import Gate
from tidegate.api.metric import Measure, Preset, Source
from tidegate.cli.manifests import Severity
from tidegate.prometheus.answers import Result, Trouble, Value
from tidegate.prometheus.connections import Connection
from tidegate.prometheus.diagnosis import metrics_of, there_instead


async def there(connection: Connection, gate: Gate, at: datetime) -> list[tuple[Severity, str]]:
    """Return how many series each metric of a preset has and how old the newest sample is; a warning where there are none."""
    preset = gate.metric.preset
    if preset is None:
        return []
    found = await asyncio.gather(*(_of_metrics(connection, preset, metrics, at) for metrics in metrics_of(preset)))
    return [one for one in found if one is not None]


async def _of_metrics(
    connection: Connection, preset: Preset, metrics: tuple[str, ...], at: datetime
) -> tuple[Severity, str] | None:
    counts = await asyncio.gather(*(connection.query(f"count({metric})", at) for metric in metrics))
    if any(isinstance(count, Trouble) for count in counts):
        return None
    for metric, count in zip(metrics, counts, strict=True):
        if isinstance(count, Value) and count.value > 0:
            newest = await connection.query(f"max(timestamp({metric}))", at)
            age = f", the newest sample is {_age(newest.value, at)} old" if isinstance(newest, Value) else ""
            return Severity.NOTE, f"Prometheus has {count.value:,.0f} series {metric}{age}"

    async def ask(query: str) -> Result | Trouble:
        return await connection.alone(query, at, 1)

    cure = await there_instead(ask, preset.source, metrics)
    words = f"Prometheus has no metric {' or '.join(metrics)}"
    return Severity.WARNING, f"{words}; {cure}" if cure else f"{words}: until it has, every look is Undecided"


def unseen(gate: Gate) -> str:
    """Return in words which answers a gateway counts nowhere, for a gate that is about them; empty for others."""
    preset = gate.metric.preset
    if preset is None or preset.measure is not Measure.AVAILABILITY or preset.source not in (Source.TRAEFIK, Source.ENVOY):
        return ""
    who = "Traefik" if preset.source is Source.TRAEFIK else "Envoy Gateway (not Contour)"
    return (
        f"{who} counts nowhere what it answers itself, as 503 where a version has no pod that is ready: "
        "this is the availability of what reached a pod"
    )


def _age(newest: float, at: datetime) -> str:
    return format_duration(timedelta(seconds=max(0, round(at.timestamp() - newest))))
