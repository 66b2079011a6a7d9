"""What real back ends say of good and bad versions: a sample, many times as fast as scrapes are. `make field` has them all."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import aiohttp
import pytest

from e2e.program import Program
from field import otlp
from field.backends import CONNECTION, SAMPLE, everything
from field.servers import prometheus, victoria_metrics
from tidegate.api.gate import Gate
from tidegate.judge.reading import Tally
from tidegate.prometheus.answers import MOST_SERIES, Result, Trouble
from tidegate.prometheus.connections import Connection, ConnectionConfig
from tidegate.prometheus.copies import Copied, copies
from tidegate.prometheus.diagnosis import diagnose
from tidegate.prometheus.presets import Version
from tidegate.prometheus.promql import Names, pods_of
from tidegate.prometheus.reader import Reader

pytestmark = [pytest.mark.api, pytest.mark.timeout(500)]

GATE = Gate.model_validate(
    {"name": "g", "metric": {"preset": {"source": "HTTP", "measure": "ErrorRate"}}, "threshold": {"max": 0.1}}
)
NAMES = {
    namespace: Names(namespace, "checkout", "", "", "", pods_of(["s"]), pods_of(["c"]), service_port=80)
    for namespace in ("copied", "merged", "restarted", "once")
}


async def test_versions_are_judged_rightly_on_every_back_end() -> None:
    """Errors are shut in time, what vanishes is held, what is well is promoted, and each request counts once."""
    told = await everything(SAMPLE)

    assert [] == [one.line() for one in told if one.wrong]


def written(now: float) -> str:
    """Four namespaces of two pods: kept twice by an unknown label, twice by a known one, with a life that is over, and once."""
    lines = []
    for namespace, label, phase, ended in (
        ("copied", "stored_by", 7, 0),
        ("merged", "prometheus_replica", 7, 0),
        ("restarted", "life", 7, 200),
        ("once", "", 0, 0),
    ):
        for number, who in enumerate(("a", "b") if label else ("",)):
            for ago in range(300, ended if number else 0, -15):
                at = now - ago + number * phase
                for pod, code in ((pod, code) for pod in ("c-aaaaa", "c-bbbbb") for code in ("200", "500")):
                    labels = f'namespace="{namespace}",pod="{pod}",instance="{pod}:80",code="{code}"'
                    mine = f',{label}="{who}"' if label else ""
                    lines.append(f"http_requests_total{{{labels}{mine}}} {1000 - ago} {round(at * 1000)}")
    return "\n".join(lines) + "\n"


async def filled(store: Program, connection: Connection) -> None:
    """Give a store what was written, and wait until it can be asked for."""
    path = f"{store.address}/api/v1/import/prometheus"
    async with aiohttp.ClientSession() as session, session.post(path, data=written(time.time())) as answer:
        assert answer.status == 204
    deadline = time.monotonic() + 60
    while True:
        found = await connection.alone("count(http_requests_total)", datetime.now(UTC), 1)
        if isinstance(found, Result) and found.data and float(found.data[0]["value"][1]) >= 24:
            return
        assert time.monotonic() < deadline, found
        await asyncio.sleep(0.5)


async def counted(store: Program, namespace: str, now: datetime) -> Tally:
    """Return what a gate counts in a minute of what was written."""
    reader = Reader({CONNECTION: Connection(ConnectionConfig(name=CONNECTION, address=store.address))}, collecting=0.0)
    at = now - timedelta(seconds=90)
    try:
        assert await reader.prime(GATE, NAMES[namespace], "c", at) == ""
        reading = await reader.read(GATE, NAMES[namespace], "c", at + timedelta(seconds=60))
    finally:
        reader.close()
    assert reading.counts is not None, reading
    return reading.counts.canary


async def test_what_a_real_store_keeps_twice_counts_once(tmp_path: Path) -> None:
    """By whatever label, and is told; what presets take once is not, nor a process that began anew, nor what one has read."""
    async with victoria_metrics(tmp_path / "store", {}) as store:
        connection = Connection(ConnectionConfig(name=CONNECTION, address=store.address))

        async def ask(query: str) -> Result | Trouble:
            return await connection.alone(query, datetime.now(UTC), MOST_SERIES)

        await filled(store, connection)
        now = datetime.now(UTC)
        said = {name: await copies(ask, GATE, names, Version.CANARY) for name, names in NAMES.items()}
        once, twice = [await counted(store, name, now) for name in ("once", "copied")]
        connection.close()

    assert once.total > 0
    assert twice == once

    words = "requests of the new version are kept twice, once for each stored_by; each counts once"
    assert said.pop("copied") == Copied(("stored_by",), words)
    assert said == dict.fromkeys(("merged", "restarted", "once"), Copied())


@pytest.mark.parametrize(("strategy", "name"), [(otlp.DOTTED, f"{otlp.NAME}_seconds"), ("NoTranslation", otlp.NAME)])
async def test_dotted_names_are_told_with_their_cure(tmp_path: Path, strategy: str, name: str) -> None:
    """What Prometheus' own receiver keeps under names that the preset does not know."""
    now, gate = time.time(), Gate.model_validate({"name": "g", "metric": otlp.PRESET, "threshold": {"max": 0.1}})
    async with prometheus(tmp_path / "store", otlp.accepting(strategy)) as store, aiohttp.ClientSession() as session:
        await otlp.push(session, store.address, otlp.written("once", "c-aaaaa", now - 60, now, {"200": 99, "500": 1}))
        connection = Connection(ConnectionConfig(name=CONNECTION, address=store.address))

        async def ask(query: str) -> Result | Trouble:
            return await connection.alone(query, datetime.now(UTC), MOST_SERIES)

        said = await diagnose(ask, gate, NAMES["once"], Version.CANARY)
        connection.close()

    cure = f"there is {name}: set otlp.translation_strategy: UnderscoreEscapingWithSuffixes in Prometheus' configuration"
    assert said.startswith("Prometheus has no metric http_server_request_duration_seconds_count or ")
    assert cure in said
