"""The presets of every source, on what a real Prometheus scrapes of that source: what is counted is what was produced."""

import asyncio
import json
import subprocess
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from api.test_prometheus_real import binary, free_port
from expositions.serving import NativePage, Page, Targets
from tidegate.api.gate import Gate
from tidegate.judge.reading import Counts, Reading, Tally
from tidegate.prometheus.answers import Result, Trouble
from tidegate.prometheus.batching import Batcher
from tidegate.prometheus.connections import Connection, ConnectionConfig, Value
from tidegate.prometheus.diagnosis import diagnose
from tidegate.prometheus.presets import Version
from tidegate.prometheus.queries import Names, pods_of
from tidegate.prometheus.reader import Reader

pytestmark = [pytest.mark.api, pytest.mark.timeout(120), pytest.mark.xdist_group("prometheus-expositions")]

PATIENCE = 60.0
"""Seconds to wait for Prometheus at most; it takes about three."""
PERCENT = {"versusStable": {"maxIncrease": {"percent": 10}}}
STABLE, CANARY, SECOND = "checkout-aaa-11111", "checkout-bbb-11111", "checkout-bbb-22222"


def names(**fields: object) -> Names:
    given: dict[str, object] = {
        "namespace": "shop",
        "release": "checkout",
        "service": "checkout",
        "stable_service": "checkout-stable",
        "canary_service": "checkout-canary",
        "stable_pods": pods_of(["checkout-aaa"]),
        "canary_pods": pods_of(["checkout-bbb"]),
        "service_port": 80,
        **fields,
    }
    return Names(**given)  # type: ignore[arg-type]


@dataclass(frozen=True)
class Case:
    """How one source says what happens.

    Attributes:
        source: name of the source.
        counter: its counter of requests; empty where the histogram's count is it.
        histogram: its histogram.
        unit: seconds in one unit of the histogram.
        code: label with the status.
        good, error, unanswered: statuses.
        pods: whether each pod has a page of its own; else a gateway has one for all.
        service: label with the version, of a gateway, and its values for the new version and for stable.
        labels: labels that say which of the requests are counted.
    """

    source: str
    counter: str
    histogram: str
    unit: float = 1.0
    code: str = "code"
    good: str = "200"
    error: str = "500"
    unanswered: str = "503"
    service: tuple[str, str, str] | None = None
    labels: dict[str, str] = field(default_factory=dict)
    observed: dict[str, str] = field(default_factory=dict)


TRAEFIK = "httproute-shop-checkout-gw-gateways-public-ep-web-0-bfb90576848d62548a79-svc-shop-checkout-{}@kubernetesgateway"
CASES = [
    Case(
        "Envoy",
        "envoy_cluster_upstream_rq",
        "envoy_cluster_upstream_rq_time",
        0.001,
        "envoy_response_code",
        service=("envoy_cluster_name", "shop_checkout-canary_80", "shop_checkout-stable_80"),
    ),
    Case(
        "Istio",
        "istio_requests_total",
        "istio_request_duration_milliseconds",
        0.001,
        "response_code",
        labels={"reporter": "destination"},
        observed={"response_code": "200"},
    ),
    Case(
        "Linkerd",
        "response_total",
        "response_latency_ms",
        0.001,
        "status_code",
        labels={"direction": "inbound"},
        observed={"status_code": "200"},
    ),
    Case(
        "NGINX",
        "nginx_ingress_controller_requests",
        "nginx_ingress_controller_response_duration_seconds",
        code="status",
        service=("service", "checkout-canary", "checkout-stable"),
    ),
    Case(
        "Traefik",
        "traefik_service_requests_total",
        "traefik_service_request_duration_seconds",
        service=("service", TRAEFIK.format("canary-2"), TRAEFIK.format("stable-1")),
        observed={"code": "200"},
    ),
    Case(
        "OpenTelemetry",
        "",
        "http_server_request_duration_seconds",
        code="http_response_status_code",
        observed={"http_response_status_code": "200"},
    ),
    Case(
        "GRPC",
        "grpc_server_handled_total",
        "grpc_server_handling_seconds",
        code="grpc_code",
        good="OK",
        error="Internal",
        unanswered="Unavailable",
        labels={"grpc_method": "Put"},
    ),
    Case("HTTP", "http_requests_total", "http_request_duration_seconds", unanswered="500"),
]
BY_SOURCE = {case.source: case for case in CASES}
EACH = pytest.mark.parametrize("case", CASES, ids=lambda case: case.source)


class Scene:
    """A Prometheus that scrapes a page for every gateway and every pod."""

    def __init__(self, pages: dict[str, Page], address: str) -> None:
        self.pages = pages
        self.address = address

    def page(self, case: Case, version: str) -> Page:
        if case.service is not None:
            return self.pages[case.source]
        return self.pages[f"{case.source}/{CANARY if version == 'canary' else STABLE}"]

    def labels(self, case: Case, version: str) -> dict[str, str]:
        which = {} if case.service is None else {case.service[0]: case.service[1 if version == "canary" else 2]}
        return {**case.labels, **which}

    def answer(self, case: Case, version: str, count: int, code: str) -> None:
        """Let a version answer requests."""
        metric = case.counter or f"{case.histogram}_count"
        self.page(case, version).grow(metric, count, **{case.code: code}, **self.labels(case, version))

    def take(self, case: Case, version: str, count: int, seconds: float) -> None:
        """Let requests to a version take so long."""
        self.page(case, version).observe(case.histogram, seconds / case.unit, count, **self.labels(case, version), **case.observed)

    async def scraped(self, *pages: Page) -> datetime:
        """Wait until pages have been scraped as they are now, and return an instant at which Prometheus knows that.

        What the first page says is handed out once the others were asked after it, so the instant is one right after these were.
        It is never now: a scrape that is under way and fails, as on a busy machine, ends all series of its page at its beginning.
        """
        first = [path for path, page in self.pages.items() if page is pages[0]]
        last = [path for path, page in self.pages.items() if page in pages and page is not pages[0]]
        at = await self._since(time.time(), [*first, *last])
        later = await self._since(at.timestamp(), last) if last else at
        connection = Connection(ConnectionConfig(name="scene", address=self.address))
        try:
            found = await connection.query(f'min(timestamp(up{{instance=~"{"|".join(last or first)}"}}))', later)
        finally:
            connection.close()
        assert isinstance(found, Value)
        return datetime.fromtimestamp(found.value + 0.001, UTC)

    async def _since(self, since: float, paths: list[str]) -> datetime:
        expression, deadline = "|".join(paths), time.time() + PATIENCE
        fresh = f'count(timestamp(up{{instance=~"{expression}"}}) > {since!r} and up{{instance=~"{expression}"}} == 1)'
        connection = Connection(ConnectionConfig(name="scene", address=self.address))
        try:
            while time.time() < deadline:
                at = datetime.now(UTC)
                if await connection.query(fresh, at) == Value(len(paths)):
                    return at
                await asyncio.sleep(0.02)
        finally:
            connection.close()
        raise AssertionError(f"{expression} has not been scraped")


def everything() -> dict[str, Page]:
    """One page for each gateway and each pod, by path."""
    pages: dict[str, Page] = {}
    for case in CASES:
        if case.service is not None:
            pages[case.source] = Page.recorded(case.source.lower())
        else:
            pages |= {f"{case.source}/{pod}": Page.recorded(case.source.lower()) for pod in (STABLE, CANARY)}
    pages["Kubernetes"] = Page.recorded("kubernetes")
    for pod in (STABLE, CANARY):
        pages[f"native/{pod}"] = NativePage("http_request_duration_seconds")
        pages[f"custom/{pod}"] = Page.recorded("http")
        pages[f"pushed/{pod}"] = Page.recorded("opentelemetry")
    pages["aside"] = Page.recorded("traefik-3.7.5")
    pages["merged"] = Page.recorded("envoy-gateway-default")
    return pages


def configuration(port: int, pages: dict[str, Page]) -> str:
    """Scrape every page; pods get the labels that service discovery gives them."""
    jobs: dict[str, list[dict[str, object]]] = {"all": [], "custom": []}
    for path in pages:
        group, _, pod = path.partition("/")
        labels = {"__metrics_path__": f"/{path}", "instance": path}
        if pod and group == "pushed":
            labels |= {"k8s_namespace_name": "pushed", "k8s_pod_name": pod, "namespace": "observability", "pod": "collector-0"}
        elif pod:
            labels |= {"namespace": "shop" if group in BY_SOURCE else group, "pod": pod, "container": "app"}
        elif path == "aside":
            labels |= {"exported_service": "of-the-scrape"}
        jobs["custom" if group == "custom" else "all"].append({"targets": [f"127.0.0.1:{port}"], "labels": labels})
    aside = {"source_labels": ["service", "instance"], "regex": "(.+);aside", "target_label": "exported_service"}
    whose = {"source_labels": ["instance"], "regex": "aside", "target_label": "service", "replacement": "traefik-metrics"}
    other = {
        "source_labels": ["exported_service"],
        "regex": "shop-(.+)",
        "target_label": "exported_service",
        "replacement": "far-$1",
    }
    common = {"honor_labels": True, "metric_relabel_configs": [aside, whose, other], "scrape_native_histograms": True}
    return json.dumps(
        {
            "global": {"scrape_interval": "300ms", "scrape_timeout": "300ms"},
            "scrape_configs": [
                {"job_name": "all", "static_configs": jobs["all"], **common},
                {"job_name": "custom", "static_configs": jobs["custom"], "convert_classic_histograms_to_nhcb": True, **common},
            ],
        }
    )


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """A Prometheus of this module's own."""
    yield from serving(tmp_path_factory.mktemp("prometheus"), everything())


def serving(folder: Path, pages: dict[str, Page]) -> Iterator[Scene]:
    """Let a Prometheus scrape pages until the tests are over."""
    path = binary()
    if path is None:
        pytest.skip("there is no prometheus in PATH, TIDEGATE_PROMETHEUS names none, and the sandbox has not built it")
    targets = Targets(pages)
    port = free_port()
    (folder / "prometheus.yml").write_text(configuration(targets.port, pages))
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [
                path,
                f"--config.file={folder / 'prometheus.yml'}",
                f"--storage.tsdb.path={folder / 'data'}",
                f"--web.listen-address=127.0.0.1:{port}",
            ],
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    try:
        wait(pages, process, folder / "log")
        yield Scene(pages, f"http://127.0.0.1:{port}")
    finally:
        process.kill()
        process.wait()
        targets.close()


def wait(pages: dict[str, Page], process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + PATIENCE
    while not all(page.scrapes for page in pages.values()):
        ended = process.poll() is not None or time.monotonic() > deadline
        assert not ended, f"the log of Prometheus ends with {log.read_text()[-2000:]}"
        time.sleep(0.05)


@pytest.fixture
async def reader(scene: Scene) -> AsyncIterator[Reader]:
    made = Reader({"default": Connection(ConnectionConfig(name="default", address=scene.address))})
    yield made
    made.close()


def gate(source: str, measure: str, **fields: object) -> Gate:
    return Gate.model_validate({"name": "g", "metric": {"preset": {"source": source, "measure": measure}}, **(fields or PERCENT)})


async def counted(scene: Scene, reader: Reader, a_gate: Gate, called: Names, happens: object, *pages: Page) -> Reading:
    """Take the baseline, let something happen, and look until all that was scraped by then is handed out."""
    assert callable(happens)
    assert await reader.prime(a_gate, called, "bbb", await scene.scraped(*pages)) == ""
    happens()
    known = await scene.scraped(*pages)
    reading = await reader.read(a_gate, called, "bbb", known)
    parts = [reading.counts]
    deadline = time.monotonic() + PATIENCE
    while reading.counts is not None and reading.counts.until is not None and reading.counts.until < known:
        assert time.monotonic() < deadline, f"counts are held back at {reading.counts.until}, and it was looked at {known}"
        reading = await reader.read(a_gate, called, "bbb", await scene.scraped(*pages))
        parts.append(reading.counts)
    found = [part for part in parts if part is not None]
    return replace(reading, counts=added(found)) if len(found) == len(parts) else reading


def added(parts: Sequence[Counts]) -> Counts:
    """Return the counts of looks that follow each other."""
    bounds = next((part.bounds for part in parts if part.canary.total > 0), parts[0].bounds)

    def tally(tallies: Sequence[Tally]) -> Tally:
        over = [tally.over for tally in tallies if tally.total > 0]
        return Tally(
            sum(tally.total for tally in tallies),
            sum(tally.bad for tally in tallies),
            tuple(map(sum, zip(*over, strict=True))) if over else tallies[0].over,
        )

    others = [part.stable for part in parts if part.stable is not None]
    return Counts(
        parts[0].since, tally([part.canary for part in parts]), tally(others) if others else None, bounds, parts[-1].until
    )


def counts_of(reading: Reading) -> Counts:
    assert (reading.trouble, reading.hint) == ("", "")
    assert reading.counts is not None
    return reading.counts


@EACH
async def test_errors_are_counted_as_they_were_produced(scene, reader, case):
    """Of both versions, and of nothing else that the telemetry tells."""

    def happens():
        scene.answer(case, "canary", 50, case.good)
        scene.answer(case, "canary", 7, case.error)
        scene.answer(case, "stable", 400, case.good)
        scene.answer(case, "stable", 3, case.error)

    pages = (scene.page(case, "canary"), scene.page(case, "stable"))

    reading = await counted(scene, reader, gate(case.source, "ErrorRate"), names(), happens, *pages)

    counts = counts_of(reading)
    assert counts.canary == Tally(57.0, 7.0)
    assert counts.stable == Tally(403.0, 3.0)


@EACH
async def test_what_was_not_answered_is_counted(scene, reader, case):
    """An error of the application is an answer."""
    unanswered = 0 if case.unanswered == "500" else 4

    def happens():
        scene.answer(case, "canary", 50, case.good)
        scene.answer(case, "canary", 7, case.error)
        if unanswered:
            scene.answer(case, "canary" if case.service is None else "stable", unanswered, case.unanswered)

    a_gate = gate(case.source, "Availability")
    reading = await counted(scene, reader, a_gate, names(), happens, scene.page(case, "canary"), scene.page(case, "stable"))

    counts = counts_of(reading)
    other = Tally(float(unanswered), float(unanswered))
    assert counts.canary == (Tally(57.0, 0.0) if case.service is not None else Tally(57.0 + unanswered, float(unanswered)))
    assert counts.stable == (other if case.service is not None else Tally(0.0, 0.0))


@EACH
async def test_slow_requests_are_counted_at_every_bound(scene, reader, case):
    """In seconds, whatever the telemetry counts in."""

    def happens():
        scene.take(case, "canary", 90, 0.04)
        scene.take(case, "canary", 10, 2.0)
        scene.take(case, "stable", 99, 0.04)
        scene.take(case, "stable", 1, 2.0)

    a_gate = gate(case.source, "Latency")
    reading = await counted(scene, reader, a_gate, names(), happens, scene.page(case, "canary"), scene.page(case, "stable"))

    counts = counts_of(reading)
    assert counts.stable is not None
    assert (counts.canary.total, counts.stable.total) == (100.0, 100.0)
    assert len(counts.bounds) >= 4
    for bound, canary, stable in zip(counts.bounds, counts.canary.over, counts.stable.over, strict=True):
        expected = (100.0, 100.0) if bound < 0.04 else (10.0, 1.0) if bound < 2.0 else (0.0, 0.0)
        assert (canary, stable) == expected


@EACH
@pytest.mark.parametrize("measure", ["ErrorRate", "Availability", "Latency"])
async def test_the_same_presets_give_values_to_the_judge_of_limits(scene, reader, case, measure):
    """Everything of a source works with both judges."""
    pages = (scene.page(case, "canary"), scene.page(case, "stable"))
    for version in ("canary", "stable"):
        scene.answer(case, version, 98, case.good)
        scene.answer(case, version, 2, case.error)
        scene.take(case, version, 100, 0.04)
    at = await scene.scraped(*pages)

    reading = await reader.read(gate(case.source, measure, judge="Limit", **PERCENT), names(), "bbb", at)

    assert reading.trouble == ""
    assert reading.canary is not None
    assert reading.stable is not None
    assert 0 <= reading.canary <= (1 if measure != "Latency" else 5)
    assert reading.canary_samples is not None
    assert reading.canary_samples > 50


@pytest.mark.parametrize("shape", ["native", "custom"])
async def test_latencies_in_native_histograms_are_judged_by_limits_too(scene, reader, shape):
    """Native ones, and classic ones that Prometheus makes native: nothing of a classic one is left then."""
    canary, stable = (scene.pages[f"{shape}/{pod}"] for pod in (CANARY, STABLE))
    for _ in range(2):
        await scene.scraped(canary, stable)
        canary.observe("http_request_duration_seconds", 0.4, 100)
        stable.observe("http_request_duration_seconds", 0.04, 100)
    at = await scene.scraped(canary, stable)

    reading = await reader.read(gate("HTTP", "Latency", judge="Limit", **PERCENT), names(namespace=shape), "bbb", at)

    assert reading.trouble == ""
    assert reading.canary is not None
    assert reading.stable is not None
    assert reading.canary > reading.stable > 0
    assert reading.canary_samples is not None
    assert reading.canary_samples > 50


@EACH
async def test_the_error_budget_of_the_whole_service(scene, reader, case):
    """Of all its versions together."""
    for version in ("canary", "stable"):
        scene.answer(case, version, 98, case.good)
        scene.answer(case, version, 2, case.error)
    windows = [{"long": "20s", "short": "10s", "factor": 2}, {"long": "30s", "short": "15s", "factor": 4}]
    budget = {"source": case.source, "objective": 0.9, "windows": windows}
    a_gate = Gate.model_validate({"name": "g", "metric": {"errorBudget": budget}, "threshold": {"max": 1}})
    at = await scene.scraped(scene.page(case, "canary"), scene.page(case, "stable"))

    reading = await reader.read(a_gate, names(), "bbb", at)

    assert reading.trouble == ""
    assert reading.canary is not None
    assert 0 < reading.canary < 5
    assert reading.canary_samples is not None
    assert reading.canary_samples >= 100


@EACH
@pytest.mark.parametrize("measure", ["ErrorRate", "Latency"])
async def test_what_matches_nothing_is_named(scene, reader, case, measure):
    """At the second look, when that has been found out."""
    wrong = names(
        canary_service="checkout-other",
        canary_pods=pods_of(["checkout-zzz"]),
    )
    at = await scene.scraped(scene.page(case, "canary"), scene.page(case, "stable"))
    await reader.prime(gate(case.source, measure), wrong, "bbb", at)
    first = await reader.read(gate(case.source, measure), wrong, "bbb", at + timedelta(milliseconds=1))
    hint = await eventually(reader, gate(case.source, measure), wrong, at)

    assert (first.counts, first.trouble, first.hint) == (None, "", "")
    assert hint.startswith(f"no series {case.counter if case.counter and measure == 'ErrorRate' else case.histogram}")
    assert "the metric exists with other values of" in hint
    assert "checkout-other" in hint or "checkout-zzz" in hint
    # Traefik's names run into each other: `shop-` may be the beginning of another namespace's.
    assert ("(e.g. " in hint) is (case.source != "Traefik")


async def eventually(reader: Reader, a_gate: Gate, called: Names, at: datetime) -> str:
    deadline = time.monotonic() + PATIENCE
    moment = at
    while time.monotonic() < deadline:
        moment += timedelta(milliseconds=1)
        reading = await reader.read(a_gate, called, "bbb", moment)
        if reading.hint:
            return reading.hint
        await asyncio.sleep(0.02)
    return ""


async def test_a_metric_that_is_not_there_is_named(scene, reader):
    """Or rather that it is not there."""
    counters = {"canary": {"bad": 'no_such_total{pod=~"{{canaryPods}}"}', "total": 'no_such_total{pod=~"{{canaryPods}}"}'}}
    a_gate = Gate.model_validate({"name": "g", "metric": {"counters": counters}, "threshold": {"max": 0.01}})
    at = datetime.now(UTC)
    await reader.prime(a_gate, names(), "bbb", at)

    assert await eventually(reader, a_gate, names(), at) == "Prometheus has no metric no_such_total"


async def test_versions_that_a_gateway_counts_as_one(scene):
    """Envoy Gateway as it comes: why there is nothing to go by, and the way out."""
    called = names(service="cart", stable_service="cart-stable", canary_service="cart-canary")
    at, connection = await scene.scraped(scene.pages["merged"]), Connection(ConnectionConfig(name="scene", address=scene.address))
    try:
        said = await diagnose(lambda query: connection.alone(query, at, 100), gate("Envoy", "ErrorRate"), called, Version.CANARY)
    finally:
        connection.close()

    assert said.startswith("no series envoy_cluster_upstream_rq has envoy_cluster_name=~")
    assert "httproute/shop/checkout/rule/0" in said
    assert (
        "; Envoy Gateway counts both versions as one: use a source that comes from the pods, such as HTTP, or set EnvoyProxy.spec."
        in said
    )


async def test_counters_of_ones_own(scene, reader):
    """Series as they are, each for itself."""
    page = scene.pages[f"HTTP/{CANARY}"]
    mine = 'http_requests_total{namespace="shop",pod=~"{{canaryPods}}"'
    counters = {"canary": {"bad": f'{mine},code=~"5.."}}', "total": f"{mine}}}"}}
    a_gate = Gate.model_validate({"name": "g", "metric": {"counters": counters}, "threshold": {"max": 0.01}})

    def happens():
        page.grow("http_requests_total", 20, code="200")
        page.grow("http_requests_total", 2, code="500")

    reading = await counted(scene, reader, a_gate, names(), happens, page)

    assert counts_of(reading).canary == Tally(22.0, 2.0)
    assert counts_of(reading).stable is None


@pytest.mark.parametrize("shape", ["native", "custom"])
async def test_native_histograms(scene, reader, shape):
    """With exponential buckets, and with the bounds of a classic one."""
    canary, stable = (scene.pages[f"{shape}/{pod}"] for pod in (CANARY, STABLE))

    def happens():
        for page, slow in ((canary, 10), (stable, 1)):
            page.observe("http_request_duration_seconds", 0.04, 100 - slow)
            page.observe("http_request_duration_seconds", 2.0, slow)

    if shape == "native":
        happens()
    reading = await counted(scene, reader, gate("HTTP", "Latency"), names(namespace=shape), happens, canary, stable)

    counts = counts_of(reading)
    assert counts.stable is not None
    assert (counts.canary.total, counts.stable.total) == (100.0, 100.0)
    assert len(counts.bounds) > 10
    for bound, over, other in zip(counts.bounds, counts.canary.over, counts.stable.over, strict=True):
        expected = (100.0, 100.0) if bound < 0.04 else (10.0, 1.0) if bound < 2.0 else (0.0, 0.0)
        assert (over, other) == expected


async def test_pushed_telemetry_names_pods_in_its_own_way(scene, reader):
    """By the resource attributes of OpenTelemetry, while the target is the collector."""
    canary, stable = (scene.pages[f"pushed/{pod}"] for pod in (CANARY, STABLE))

    def happens():
        canary.grow("http_server_request_duration_seconds_count", 5, http_response_status_code="503")
        stable.grow("http_server_request_duration_seconds_count", 9, http_response_status_code="200")

    a_gate = gate("OpenTelemetry", "Availability")
    reading = await counted(scene, reader, a_gate, names(namespace="pushed"), happens, canary, stable)

    counts = counts_of(reading)
    assert (counts.canary, counts.stable) == (Tally(5.0, 5.0), Tally(9.0, 0.0))


async def test_labels_that_the_scrape_pushed_aside(scene, reader):
    """Without honor_labels the target's own service has the name, and that of the metric is exported_service."""
    page = scene.pages["aside"]

    def happens():
        service = "shop-checkout-canary-http-80@kubernetesgateway"
        page.grow("traefik_service_requests_total", 6, code="500", service=service)  # as Traefik says until 3.7.5

    called = names(namespace="far")
    reading = await counted(scene, reader, gate("Traefik", "ErrorRate"), called, happens, page)

    assert counts_of(reading).canary == Tally(6.0, 6.0)


async def test_a_process_that_starts_anew(scene, reader):
    """Its counters fall, and what they have is new."""
    page, stable = scene.pages[f"Linkerd/{CANARY}"], scene.pages[f"Linkerd/{STABLE}"]

    def happens():
        page.start_anew()
        page.grow("response_total", 11, direction="inbound", status_code="200")
        page.grow("response_total", 2, direction="inbound", status_code="500")

    reading = await counted(scene, reader, gate("Linkerd", "ErrorRate"), names(), happens, page, stable)

    assert counts_of(reading).canary == Tally(13.0, 2.0)


async def test_restarts_of_containers(scene, reader):
    """Per pod and hour."""
    page = scene.pages["Kubernetes"]
    a_gate = gate("Kubernetes", "Restarts", threshold={"max": 1})

    def happens():
        page.grow("kube_pod_container_status_restarts_total", 3, pod=SECOND, container="app")

    reading = await counted(scene, reader, a_gate, names(), happens, page)

    counts = counts_of(reading)
    hours = (reading.at - counts.since) / timedelta(hours=1)
    assert counts.canary.bad == 3.0
    assert counts.canary.total == pytest.approx(2 * hours)


async def test_saturation(scene, reader):
    """Of the container that is nearest to its own limit; what cAdvisor says of whole pods does not count."""
    page = scene.pages["Kubernetes"]
    at = await scene.scraped(page)

    memory = await reader.read(gate("Kubernetes", "Memory", threshold={"max": 0.9}), names(), "bbb", at)
    page.grow("container_cpu_usage_seconds_total", 1.0, pod=CANARY, container="proxy")
    at = await scene.scraped(page)
    cpu = await reader.read(gate("Kubernetes", "CPU", threshold={"max": 0.9}, window="20s"), names(), "bbb", at)

    assert memory.canary == pytest.approx(400 / 512)
    assert cpu.canary is not None
    assert cpu.canary > 0.1


EXPRESSIONS = [
    "http_requests_total",
    'sum by (pod) (http_requests_total{namespace="shop"}) # all {of} them (',
    "up == 7",
    "3",
    "time() > bool 0",
    '"a text"',
    "vector(1)",
    'vector(2) or label_replace(vector(1), "tidegate_question", "forged", "", "")',
    "http_requests_total[1m]",
    "sum(rate(http_requests_total[1m])",
    "no_such_function(up)",
    "x{a=`",
    "up) or (up",
    "up, up",
    "http_requests_total * on(pod) http_request_duration_seconds_count",
    "http_request_duration_seconds",
    "count(up) unless vector(1)",
    "topk(2, http_requests_total) by (pod)",
    "topk by (pod) (1, http_requests_total)",
    "count(http_requests_total offset 1ms) or vector(0)",
    "-http_requests_total",
    'label_replace(up, "instance", "same", "", "")',
]


async def test_together_or_alone_is_the_same(scene):
    """Whatever the others are: errors, scalars, texts that do not end, series without a name, or somebody who forges."""
    connection = Connection(ConnectionConfig(name="default", address=scene.address))
    requests = []
    batcher = Batcher(connection, requested=lambda _, queries: requests.append(queries))
    at = await scene.scraped(*scene.pages.values())
    try:
        alone = [await connection.alone(expression, at, 1000) for expression in EXPRESSIONS]
        together = await asyncio.gather(*(batcher.ask(expression, at, 1000) for expression in EXPRESSIONS))
        first, requests = list(requests), []
        again = await asyncio.gather(*(batcher.ask(expression, at, 1000) for expression in EXPRESSIONS))
    finally:
        connection.close()

    for expression, one, other, third in zip(EXPRESSIONS, alone, together, again, strict=True):
        assert comparable(one) == comparable(other), expression
        assert comparable(one) == comparable(third), expression
    bad = sum(isinstance(one, Trouble) for one in alone)
    assert bad >= 7
    assert max(first) > 10
    assert len(requests) < len(first)


def comparable(answer: Result | Trouble) -> object:
    if isinstance(answer, Trouble):
        return answer.message
    return sorted(json.dumps(series, sort_keys=True) for series in answer.data)
