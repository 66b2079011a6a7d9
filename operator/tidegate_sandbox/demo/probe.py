"""Asks Prometheus and Envoy many times a second what a gate could know, and when traffic really went where."""

from __future__ import annotations

import asyncio
import json
import math
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import aiohttp

from tidegate_sandbox.demo import scenario
from tidegate_sandbox.demo.scenario import GateTerms

ERRORS_SECONDS = 0.2
"""Between two probes of the error rate: the precision of the moment at which a breach became visible."""
LATENCY_SECONDS = 0.25
ENVOY_SECONDS = 0.1


@dataclass(frozen=True)
class Probe:
    """What Prometheus said of a gate when it was evaluated at one time (``time.time``); None where it had no data."""

    at: float
    canary: float | None
    stable: float | None
    samples: float | None


@dataclass(frozen=True)
class Queries:
    """The PromQL of a gate, with ``{window}`` for its window in seconds."""

    canary: str
    stable: str
    samples: str


def error_rate(canary: str, stable: str) -> Queries:
    """Return the queries for the share of 5xx answers as Envoy counts them, for two Services by name."""

    def share(service: str) -> str:
        cluster = f'envoy_cluster_name="{scenario.NAMESPACE}_{service}_{scenario.SERVICE_PORT}"'
        errors = f'sum(rate(envoy_cluster_upstream_rq{{{cluster},envoy_response_code=~"5.."}}[{{window}}s]))'
        return f"({errors} or vector(0)) / sum(rate(envoy_cluster_upstream_rq{{{cluster}}}[{{window}}s]))"

    samples = f'envoy_cluster_name="{scenario.NAMESPACE}_{canary}_{scenario.SERVICE_PORT}"'
    return Queries(share(canary), share(stable), f"sum(increase(envoy_cluster_upstream_rq{{{samples}}}[{{window}}s]))")


def p99_latency(canary: str, stable: str) -> Queries:
    """Return the queries for the P99 in seconds from the pods' own histograms, for two revisions by hash."""

    def pods(revision: str) -> str:
        return f'namespace="{scenario.NAMESPACE}",pod_template_hash="{revision}"'

    def p99(revision: str) -> str:
        rates = f"rate(http_request_duration_seconds_bucket{{{pods(revision)}}}[{{window}}s])"
        return f"histogram_quantile(0.99, sum by (le) ({rates}))"

    samples = f"sum(increase(http_request_duration_seconds_count{{{pods(canary)}}}[{{window}}s]))"
    return Queries(p99(canary), p99(stable), samples)


def window_at(terms: GateTerms, since: float, now: float) -> int:
    """Return the seconds of a gate's window: not back beyond the second in which the version got traffic, at least 1.

    What its Service and the pods had counted before is other versions' doing. Rounded up, so that no evaluation of the
    operator's can see more than this one: its weight stands at 0 for longer than a second before it gets traffic.
    """
    return max(1, min(int(terms.window), math.ceil(now - since)))


class Prober:
    """Probes a sandbox's Prometheus and Envoy."""

    def __init__(self, session: aiohttp.ClientSession, prometheus_url: str, envoy_url: str) -> None:
        self._session = session
        self._query_url = f"{prometheus_url}/api/v1/query"
        self._envoy_url = f"{envoy_url}/stats"

    async def probe(self, queries: Queries, window: int) -> Probe:
        """Ask the queries of a gate, evaluated now."""
        at = time.time()
        texts = (queries.canary, queries.stable, queries.samples)
        values = await asyncio.gather(*(self._value(text.replace("{window}", str(window)), at) for text in texts))
        return Probe(at, *values)

    async def _value(self, query: str, at: float) -> float | None:
        try:
            async with self._session.get(self._query_url, params={"query": query, "time": f"{at:.3f}"}) as response:
                result = (await response.json())["data"]["result"]
        except (aiohttp.ClientError, TimeoutError, OSError, KeyError, ValueError):
            return None
        value = float(result[0]["value"][1]) if result else math.nan
        return None if math.isnan(value) else value

    async def sent_to(self, service: str) -> int | None:
        """Return how many requests Envoy has sent to a Service since it knows it; None while it does not know it."""
        name = f"cluster.{scenario.NAMESPACE}_{service}_{scenario.SERVICE_PORT}.upstream_rq_total"
        try:
            async with self._session.get(self._envoy_url, params={"filter": f"^{name}$", "format": "json"}) as response:
                stats = json.loads(await response.text())["stats"]
        except (aiohttp.ClientError, TimeoutError, OSError, KeyError, ValueError):
            return None
        return next((entry["value"] for entry in stats if entry.get("name") == name), None)


async def every(seconds: float, look: Callable[[], Awaitable[None]]) -> None:
    """Look again and again until cancelled, each time so many seconds after the last began."""
    while True:
        begun = time.monotonic()
        await look()
        await asyncio.sleep(max(0.0, begun + seconds - time.monotonic()))
