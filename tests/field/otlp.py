"""Pods that push what they have counted, as OpenTelemetry's SDKs do: OTLP over HTTP, each at a phase of its own."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import aiohttp

from field.shops import Shop

DEFAULT, DOTTED = "UnderscoreEscapingWithSuffixes", "NoUTF8EscapingWithSuffixes"
"""Strategies by which Prometheus names what comes by OTLP; the first is its default."""
NAME = "http.server.request.duration"
"""https://opentelemetry.io/docs/specs/semconv/http/http-metrics/"""
PRESET = {"preset": {"source": "OpenTelemetry", "measure": "ErrorRate"}}
_PODS = {"canary": "canaryPods", "stable": "stablePods"}
_CUMULATIVE = 2
_BOUND, _TAKEN = 0.1, 0.02
"""Seconds: of the one bound of the histograms, and that each request took."""


def accepting(strategy: str) -> dict[str, Any]:
    """Return the configuration of a Prometheus that names what comes by this strategy, and by pod."""
    return {"otlp": {"translation_strategy": strategy, "promote_resource_attributes": ["k8s.namespace.name", "k8s.pod.name"]}}


def counters() -> dict[str, Any]:
    """Return the metric of a gate that counts by the dotted names, as the cure of the preset says."""
    events = f'{{"{NAME}_seconds_count","k8s.namespace.name"="{{{{namespace}}}}","k8s.pod.name"=~"{{{{%s}}}}"%s}}'
    bad = ',"http.response.status_code"=~"5.."'
    pairs = {version: {"bad": events % (pods, bad), "total": events % (pods, "")} for version, pods in _PODS.items()}
    return {"counters": pairs}


WAYS: tuple[tuple[str, Mapping[str, Any], tuple[str, str], str], ...] = (
    (DEFAULT, PRESET, ("k8s_namespace_name", "k8s_pod_name"), "http_server_request_duration_seconds_count"),
    (DOTTED, counters(), ("k8s.namespace.name", "k8s.pod.name"), f"{NAME}_seconds_count"),
)
"""Each strategy with the metric of a gate, the labels of the namespace and the pod, and the name of what is counted."""


def written(namespace: str, pod: str, began: float, now: float, codes: Mapping[str, int]) -> dict[str, Any]:
    """Return an ExportMetricsServiceRequest: what a pod has counted since it began, by status; https://opentelemetry.io/docs/specs/otlp/.

    What never happened has no data point.
    """
    who = {
        "service.namespace": namespace,
        "service.name": "checkout",
        "service.instance.id": pod,
        "k8s.namespace.name": namespace,
        "k8s.pod.name": pod,
    }
    points = [
        {
            "attributes": [{"key": "http.response.status_code", "value": {"intValue": code}}],
            "startTimeUnixNano": str(int(began * 1e9)),
            "timeUnixNano": str(int(now * 1e9)),
            "count": str(count),
            "sum": count * _TAKEN,
            "bucketCounts": [str(count), "0"],
            "explicitBounds": [_BOUND],
        }
        for code, count in codes.items()
        if count
    ]
    metric = {"name": NAME, "unit": "s", "histogram": {"aggregationTemporality": _CUMULATIVE, "dataPoints": points}}
    attributes = [{"key": name, "value": {"stringValue": value}} for name, value in who.items()]
    return {
        "resourceMetrics": [{"resource": {"attributes": attributes}, "scopeMetrics": [{"metrics": [metric] if points else []}]}]
    }


async def push(session: aiohttp.ClientSession, address: str, request: Mapping[str, Any]) -> None:
    """Hand what a pod has counted to the receiver of a Prometheus."""
    async with session.post(f"{address}/api/v1/otlp/v1/metrics", json=request) as answer:
        assert answer.status == 200, await answer.text()


@asynccontextmanager
async def pushing(shops: Sequence[Shop], reader: str, address: str, seconds: float) -> AsyncIterator[None]:
    """Let each pod of all shops push so often, as long as it has a page."""
    phases = random.Random(reader)

    async def pod(session: aiohttp.ClientSession, shop: Shop, name: str) -> None:
        due = time.time() + phases.uniform(0, seconds)
        while True:
            await asyncio.sleep(max(0.0, due - time.time()))
            counted = shop.count(reader, name)
            if counted is not None:
                total, bad = counted
                now = time.time()
                await push(session, address, written(shop.namespace, name, shop.opened, now, {"200": total - bad, "500": bad}))
                await shop.note()
            due += seconds

    async with aiohttp.ClientSession() as session:
        tasks = [asyncio.create_task(pod(session, shop, name)) for shop in shops for name in shop.pods]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            for ended in await asyncio.gather(*tasks, return_exceptions=True):
                if isinstance(ended, AssertionError | aiohttp.ClientError):
                    raise ended
