"""How fast pods' pages are read: a page of 2,000 series of which a few are wanted, and a gateway's of many clusters.

`python -m bench.direct_pages` prints microseconds of processor time for each page, and what 50 rollouts of 2 + 10 pods cost; of an
Envoy's page of so many clusters, what it costs to find the two of one Release, or of many, by their marks and by parsing each line.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import replace

from tidegate.api.gate import Gate
from tidegate.prometheus.direct.page import Page
from tidegate.prometheus.direct.text import Series, TextPage
from tidegate.prometheus.direct.wanted import Wanted, wanted_at_gateway, wanted_of
from tidegate.prometheus.promql import Names

PIECE = 64 * 1024
"""Bytes that come at a time."""


def wish(measure: str) -> Wanted:
    """Return what a gate on a pod's own requests wants of its page."""
    limit = {"versusStable": {"maxIncrease": {"percent": 50}}}
    gate = Gate.model_validate({"name": "g", "metric": {"preset": {"source": "HTTP", "measure": measure}}} | limit)
    found = wanted_of(gate)
    assert found is not None
    return found


def page(series: int, routes: int = 5) -> bytes:
    """Return a page of this many series: requests by code and route with their buckets, and for the rest what others count."""
    lines = ["# HELP http_requests_total Requests.", "# TYPE http_requests_total counter"]
    lines += [
        f'http_requests_total{{code="{code}",route="/r{n}"}} {n * 1000 + code}' for n in range(routes) for code in (200, 404, 500)
    ]
    edges = ("0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1", "2.5", "5", "10", "+Inf")
    lines.append("# TYPE http_request_duration_seconds histogram")
    for n in range(routes):
        lines += [f'http_request_duration_seconds_bucket{{route="/r{n}",le="{edge}"}} {1000 + at}' for at, edge in enumerate(edges)]
        lines += [
            f'http_request_duration_seconds_sum{{route="/r{n}"}} 12.5',
            f'http_request_duration_seconds_count{{route="/r{n}"}} 1011',
        ]
    lines.append("process_start_time_seconds 1.7e+09")
    others = series - sum(not line.startswith("#") for line in lines)
    for n in range(others):
        if n % 25 == 0:
            lines += [f"# HELP app_other_{n}_total Something that is counted elsewhere.", f"# TYPE app_other_{n}_total counter"]
        lines.append(f'app_other_{n - n % 25}_total{{component="worker",queue="queue-{n}",shard="shard-{n % 16}"}} {n * 17}')
    return ("\n".join(lines) + "\n").encode()


def envoys(clusters: int) -> bytes:
    """Return a page of Envoy that has so many clusters, with about as many series for each as Envoy has."""
    edges = (0.5, 1, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10000, 30000, 60000, 300000, 600000, 1800000, 3600000, "+Inf")
    lines = []
    for n in range(clusters // 2):
        for version in ("stable", "canary"):
            label = f'envoy_cluster_name="shop-{n % 50}_web-{n}-{version}_80"'
            lines += [f'envoy_cluster_upstream_rq{{envoy_response_code="{code}",{label}}} {n}' for code in (200, 404, 500, 503)]
            lines += [f'envoy_cluster_upstream_rq_time_bucket{{{label},le="{edge}"}} {n}' for edge in edges]
            lines += [f"envoy_cluster_other_{other}{{{label}}} {n}" for other in range(100)]
    return ("\n".join(lines) + "\n").encode()


def of_release(number: int, measure: str, *, marked: bool = True) -> tuple[Wanted, Wanted]:
    """Return what a gate of one of these Services' Releases wants of Envoy's page."""
    limit = {"versusStable": {"maxIncrease": {"percent": 50}}}
    gate = Gate.model_validate({"name": "g", "metric": {"preset": {"source": "Envoy", "measure": measure}}} | limit)
    web = f"web-{number}"
    found = wanted_at_gateway(gate, Names(f"shop-{number % 50}", web, web, f"{web}-stable", f"{web}-canary", "s", "c", 80))
    assert found is not None
    canary, stable = found
    return found if marked else (replace(canary, marks=()), replace(stable, marks=()))


def read(text: bytes, series: Series, most: int = 1_000_000) -> Page:
    """Read a page as it comes in; without marks a gateway's has far more lines of others than a page may have."""
    one = TextPage(series, most)
    for at in range(0, len(text), PIECE):
        one.feed(text[at : at + PIECE])
    return one.end()


def seconds(work: Callable[[], object], times: int) -> float:
    """Return the processor time of one run, the quickest of some."""
    best = float("inf")
    for _ in range(5):
        began = time.thread_time()
        for _ in range(times):
            work()
        best = min(best, (time.thread_time() - began) / times)
    return best


def main() -> None:
    """Measure, and print."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--series", type=int, default=2000)
    options.add_argument("--clusters", type=int, default=200)
    given = options.parse_args()
    text = page(given.series)
    for name, wishes in {"errors": ["ErrorRate"], "errors and latency": ["ErrorRate", "Tail"]}.items():
        series = Series([wish(one) for one in wishes])
        cost = seconds(lambda series=series: read(text, series), 200)  # type: ignore[misc]
        speed = f"{len(text) / 1024:.0f} KiB ({len(text) / cost / 1e6:.0f} MB/s)"
        print(f"{name}: {cost * 1e6:.0f} us for {speed}; 600 pages: {600 * cost:.3f} s")
    text = envoys(given.clusters)
    for name, many, marked in (("one Release", 1, True), ("64 Releases", 64, True), ("one Release, line by line", 1, False)):
        both = [wish for n in range(many) for measure in ("ErrorRate", "Tail") for wish in of_release(n, measure, marked=marked)]
        series = Series(both)
        cost = seconds(lambda series=series: read(text, series), 3)  # type: ignore[misc]
        print(f"a gateway of {given.clusters} clusters, {len(text) / 1024:.0f} KiB, {name}: {cost * 1e3:.1f} ms")


if __name__ == "__main__":
    main()
