"""Backtests on a real Prometheus that remembers a rollout which never was: its counters are scraped with timestamps of the past."""

from __future__ import annotations

import json
import random
import threading
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from subprocess import STDOUT, Popen
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from api.test_prometheus_real import binary, free_port
from tidegate.cli.main import app

pytestmark = [pytest.mark.api, pytest.mark.timeout(180), pytest.mark.xdist_group("cli-backtest")]

STEP = 10
"""Seconds between two samples."""
LENGTH = 1500
"""Seconds of the past."""
ONSET = 600
"""Seconds after which the new version begins to fail, in the past where it does."""
BOUNDS = ("0.05", "0.1", "0.2", "0.4", "+Inf")


@dataclass(frozen=True)
class Remembered:
    """What Prometheus remembers.

    Attributes:
        address: of Prometheus.
        start: when the rollouts began.
    """

    address: str
    start: datetime


def history(start: float) -> str:
    """A page of metrics: for each past a namespace, in it stable and new pods, and samples over the whole time."""
    lines: list[str] = []
    for namespace, fault in (("healthy", 1.0), ("faulty", 8.0)):
        rng = random.Random(namespace)
        for pod, rate in (("checkout-aaa-11111", 90.0), ("checkout-bbb-22222", 10.0)):
            times = fault if "bbb" in pod else 1.0
            lines += series(namespace, pod, rate, times, start, rng)
    return "\n".join([*lines, "# EOF", ""])


def series(namespace: str, pod: str, rate: float, times: float, start: float, rng: random.Random) -> list[str]:
    """Counters of one pod: 1% errors, and `times` as many after the onset; response times between 50 and 400 ms."""
    labels = f'namespace="{namespace}",pod="{pod}"'
    good, bad, buckets = 0, 0, [0] * len(BOUNDS)
    found: dict[str, list[str]] = {}
    for passed in range(0, LENGTH + 1, STEP):
        share = 0.01 * (times if passed > ONSET else 1.0)
        number = round(rate * STEP)
        failed = sum(rng.random() < share for _ in range(number))
        good, bad = good + number - failed, bad + failed
        for index, part in enumerate((0.1, 0.5, 0.9, 0.99, 1.0)):
            buckets[index] += round(number * part)
        at = f"{start + passed:.3f}"
        for name, value in (("200", good), ("500", bad)):
            found.setdefault(name, []).append(f'http_requests_total{{{labels},code="{name}"}} {value} {at}')
        for bound, value in zip(BOUNDS, buckets, strict=True):
            line = f'http_request_duration_seconds_bucket{{{labels},le="{bound}"}} {value} {at}'
            found.setdefault(f"le{bound}", []).append(line)
        found.setdefault("count", []).append(f"http_request_duration_seconds_count{{{labels}}} {good + bad} {at}")
    return [line for lines in found.values() for line in lines]


@pytest.fixture(scope="module")
def past(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Remembered]:
    """A Prometheus that has taken in the past in one scrape."""
    path = binary()
    if path is None:
        pytest.skip("there is no prometheus in PATH, TIDEGATE_PROMETHEUS names none, and the sandbox has not built it")
    folder = tmp_path_factory.mktemp("past")
    start = datetime.now(UTC).replace(microsecond=0) - timedelta(seconds=LENGTH + 60)
    page = history(start.timestamp()).encode()
    exporter = serve(page)
    port = free_port()
    target = f"127.0.0.1:{exporter.server_port}"
    job = {"job_name": "past", "honor_labels": True, "static_configs": [{"targets": [target]}]}
    config = {"global": {"scrape_interval": "2s", "scrape_timeout": "2s"}, "scrape_configs": [job]}
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
    arguments = [path, f"--config.file={folder / 'prometheus.yml'}", f"--storage.tsdb.path={folder / 'data'}"]
    with (folder / "log").open("wb") as log:
        process = Popen([*arguments, f"--web.listen-address=127.0.0.1:{port}"], stdout=log, stderr=STDOUT)
    address = f"http://127.0.0.1:{port}"
    try:
        remembers(address, start, process, folder / "log")
        yield Remembered(address, start)
    finally:
        process.kill()
        process.wait()
        exporter.shutdown()
        exporter.server_close()


def serve(page: bytes) -> ThreadingHTTPServer:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "application/openmetrics-text; version=1.0.0; charset=utf-8")
            self.send_header("Content-Length", str(len(page)))
            self.end_headers()
            self.wfile.write(page)

        def log_message(self, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    return server


def remembers(address: str, start: datetime, process: Popen[bytes], log: Path) -> None:
    """Wait until the last sample of the past is there."""
    last = start + timedelta(seconds=LENGTH)
    url = f"{address}/api/v1/query?query=count(http_requests_total)&time={last.timestamp():.0f}"
    deadline, answer = time.monotonic() + 60, ""
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=5) as response:
                answer = response.read().decode()
            if json.loads(answer)["data"]["result"]:
                return
        except OSError as error:
            answer = str(error)
        time.sleep(0.2)
    pytest.fail(f"{answer}; the log of Prometheus ends with {log.read_text()[-2000:]}")


EVIDENCE = {
    "name": "error-rate",
    "metric": {"preset": {"source": "HTTP", "measure": "ErrorRate"}},
    "versusStable": {"maxIncrease": {"percent": 20}},
    "interval": "10s",
}
WINDOW = {
    "name": "error-rate",
    "judge": "Limit",
    "metric": {"preset": {"source": "HTTP", "measure": "ErrorRate"}},
    "versusStable": {"maxIncrease": {"points": 1}},
    "interval": "30s",
    "failureLimit": 3,
    "of": 3,
}
LATENCY = {
    "name": "latency",
    "metric": {"preset": {"source": "HTTP", "measure": "Latency", "quantile": 0.95}},
    "versusStable": {"maxIncrease": {"percent": 50}},
    "interval": "30s",
    "onBreach": "Pause",
}


def policies(folder: Path) -> Path:
    """Two policies in one file: one judged by evidence, one by a limit on a window."""
    file = folder / "policies.yaml"
    base = {"steps": [{"weight": 10, "hold": "15m"}, {"weight": 100}], "bake": "5m"}
    documents = [
        {
            "apiVersion": "tidegate.dev/v1alpha1",
            "kind": "RolloutPolicy",
            "metadata": {"name": name},
            "spec": {**base, "gates": gates},
        }
        for name, gates in (("evidence", [EVIDENCE, LATENCY]), ("window", [WINDOW]))
    ]
    file.write_text(yaml.safe_dump_all(documents, sort_keys=False))
    return file


def backtest(past: Remembered, folder: Path, namespace: str, pods: str = "checkout-bbb-.*") -> tuple[int, list[dict[str, Any]]]:
    end = past.start + timedelta(seconds=LENGTH)
    times = ("--from", past.start.isoformat(), "--to", end.isoformat())
    names = ("-n", namespace, "--canary-pods", pods, "--stable-pods", "checkout-aaa-.*")
    arguments = ("backtest", "-p", str(policies(folder)), "--prometheus", past.address, *times, *names, "-o", "json")
    done = CliRunner().invoke(app, arguments, env={"TIDEGATE_CONFIG": None})
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done.exit_code, json.loads(done.stdout)


def test_a_healthy_past_would_have_been_promoted(past: Remembered, tmp_path: Path) -> None:
    """Given a past without a fault, then both policies would have promoted it, and evidence counted all of its requests."""
    code, (evidence, window) = backtest(past, tmp_path, "healthy")

    assert (0, "Promoted", "Promoted") == (code, evidence["outcome"], window["outcome"])
    counted = evidence["gates"][0]["evidence"]
    assert (12_000, 108_000) == (counted["canaryRequests"], counted["stableRequests"])
    assert {} == evidence["undecidedLooks"]


def test_a_fault_is_found_when_it_would_have_been_found(past: Remembered, tmp_path: Path) -> None:
    """Given eight times the errors from minute 10 on, then evidence would have rolled back within a minute, the window later."""
    code, (evidence, window) = backtest(past, tmp_path, "faulty")

    assert (0, "RolledBack", "RolledBack", "error-rate") == (code, evidence["outcome"], window["outcome"], evidence["gate"])
    assert ONSET < evidence["afterSeconds"] <= ONSET + 60
    assert evidence["afterSeconds"] < window["afterSeconds"]


def test_what_matched_nothing_is_named_by_prometheus_own_data(past: Remembered, tmp_path: Path) -> None:
    """Given a wrong expression for the pods, then it ends with 2, and the words say which label has other values."""
    code, (evidence, _) = backtest(past, tmp_path, "healthy", pods="nobody-.*")

    assert 2 == code
    assert ("Unfinished", evidence["looks"]) == (evidence["outcome"], evidence["undecidedLooks"])
    assert (
        'no series http_requests_total has pod=~"nobody-.*": the metric exists with other values of pod'
        in evidence["gates"][0]["message"]
    )


def test_lint_has_prometheus_read_the_queries(past: Remembered, tmp_path: Path) -> None:
    """Given a query with a mistake, then lint ends with 1 and quotes the real Prometheus at the query's field."""
    file = tmp_path / "policy.yaml"
    gate = {"name": "a", "metric": {"promql": {"canary": "sum(rate(x_total[5m])"}}, "threshold": {"max": 1}}
    document = {
        "apiVersion": "tidegate.dev/v1alpha1",
        "kind": "RolloutPolicy",
        "metadata": {"name": "p"},
        "spec": {"steps": [{"weight": 100}], "gates": [gate]},
    }
    file.write_text(yaml.safe_dump(document))

    done = CliRunner().invoke(app, ("lint", str(file), "--prometheus", past.address), env={"TIDEGATE_CONFIG": None})

    assert 1 == done.exit_code
    assert "spec.gates[0].metric.promql.canary: Prometheus connection default: Prometheus reports: " in done.stdout
    assert "parse error: unclosed left parenthesis" in done.stdout
