"""What Prometheus has of a preset's metrics at present, whosever it is: a policy does not say whose series are meant."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta

from tidegate.api.base import format_duration
from tidegate.api.gate import Gate
from tidegate.api.metric import Measure, Preset, Source
from tidegate.cli.manifests import Severity
from tidegate.judge import telemetry
from tidegate.prometheus.answers import Result, Trouble, Value
from tidegate.prometheus.connections import Connection
from tidegate.prometheus.copies import copies
from tidegate.prometheus.cures import of_clusters
from tidegate.prometheus.diagnosis import NO_METRIC, diagnose, metrics_of, there_instead
from tidegate.prometheus.presets import TELEMETRY, Version, clusters, places
from tidegate.prometheus.promql import like, selector
from tidegate.prometheus.queries import Names, newest_of, series_of

_MOST = 100


async def there(connection: Connection, gate: Gate, at: datetime) -> list[tuple[Severity, str]]:
    """Return how many series each metric of a preset has and how old the newest sample is; a warning where there are none."""
    preset = gate.metric.preset
    if preset is None:
        return []
    found = await asyncio.gather(*(_of_metrics(connection, preset, metrics, at) for metrics in metrics_of(preset)))
    return [one for one in found if one is not None]


async def of_releases(connection: Connection, gate: Gate, of: Sequence[Names], at: datetime) -> list[tuple[Severity, str]]:
    """Return for each Release how much there is of what serves now, and how fresh; a warning, with the reason, for nothing.

    Args:
        connection: to Prometheus.
        gate: whose metric; only those of presets say whose series they are.
        of: what the objects of Releases are called, the pods of all versions as those of stable.
        at: evaluation time.
    """
    preset = gate.metric.preset
    found = [] if preset is None else await asyncio.gather(*(_of_release(connection, gate, preset, one, at) for one in of))
    return [one for one in found if one is not None]


async def of_copies(connection: Connection, gate: Gate, of: Sequence[Names], at: datetime) -> list[tuple[Severity, str]]:
    """Return for each Release of which requests are kept more than once that they are; a warning where they may count so."""

    async def ask(query: str) -> Result | Trouble:
        return await connection.alone(query, at, _MOST)

    found = await asyncio.gather(*(copies(ask, gate, one, Version.STABLE) for one in of))
    told = zip(of, found, strict=True)
    return [
        (Severity.NOTE if copied.once else Severity.WARNING, f"Release {one.namespace}/{one.release}: {copied.words}")
        for one, copied in told
        if copied is not None and copied.words
    ]


async def _of_release(
    connection: Connection, gate: Gate, preset: Preset, names: Names, at: datetime
) -> tuple[Severity, str] | None:
    try:
        where = places(preset.source, names, Version.STABLE)
    except ValueError:
        # Which port of the Service the route names stands in no Release.
        return await _of_gateway(connection, preset.source, names, at)
    number, newest = await asyncio.gather(*(connection.query(one(preset, where), at) for one in (series_of, newest_of)))
    whose = f"Release {names.namespace}/{names.release}"
    if isinstance(number, Value) and number.value > 0:
        age = f", the newest sample is {_age(newest.value, at)} old" if isinstance(newest, Value) else ""
        return Severity.NOTE, f"{whose}: Prometheus has {telemetry.much(gate, round(number.value))} of it{age}"

    async def ask(query: str) -> Result | Trouble:
        return await connection.alone(query, at, _MOST)

    why = "" if isinstance(number, Trouble) else await diagnose(ask, gate, names, Version.STABLE)
    # A metric that nobody has is told of once, and not of each Release.
    return (Severity.WARNING, f"{whose}: {why}") if why and not why.startswith(NO_METRIC) else None


async def _of_gateway(connection: Connection, source: Source, names: Names, at: datetime) -> tuple[Severity, str] | None:
    """Return that a gateway counts both versions of a Release as one, if it does."""
    if source is not Source.ENVOY or not names.service:
        return None
    metric, apart = TELEMETRY[source].counter, like("envoy_cluster_name", "|".join(clusters(names.namespace, names.service)))
    (as_one,) = of_clusters(names.namespace)
    found = await asyncio.gather(*(connection.query(f"count({one})", at) for one in (selector(metric, (apart,)), as_one.series)))
    told_apart, together = (one.value if isinstance(one, Value) else 0 for one in found)
    if any(isinstance(one, Trouble) for one in found) or told_apart or not together:
        return None
    return Severity.ERROR, f"Release {names.namespace}/{names.release}: {as_one.words}"


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
    words = f"{NO_METRIC} {' or '.join(metrics)}"
    return Severity.WARNING, f"{words}; {cure}" if cure else f"{words}: until it has, every check is Undecided"


def unseen(gate: Gate) -> str:
    """Return in words which answers a gateway counts nowhere, for a gate that is about them; empty for others."""
    preset = gate.metric.preset
    if preset is None or preset.measure is not Measure.AVAILABILITY or preset.source not in (Source.TRAEFIK, Source.ENVOY):
        return ""
    who = "Traefik" if preset.source is Source.TRAEFIK else "Envoy Gateway (not Contour)"
    return (
        f"{who} does not count what it answers itself, such as 503 if a version has no ready pod: "
        "this is the availability of requests that reached a pod"
    )


def _age(newest: float, at: datetime) -> str:
    return format_duration(timedelta(seconds=max(0, round(at.timestamp() - newest))))
