"""What cannot be told good or bad, on a real Prometheus: every preset, both judges, and queries of one's own."""

import re
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from api.test_prometheus_expositions import CANARY, CASES, EACH, STABLE, Case, Scene, gate, names, serving
from expositions.serving import FOLDER, Page
from tidegate.api.gate import Gate
from tidegate.api.names import Verdict
from tidegate.api.status import GateStatus
from tidegate.engine.gate_status import judged
from tidegate.judge.reading import Reading, Tally
from tidegate.prometheus.connections import Connection, ConnectionConfig
from tidegate.prometheus.queries import Names
from tidegate.prometheus.reader import Reader

pytestmark = [pytest.mark.api, pytest.mark.timeout(120), pytest.mark.xdist_group("prometheus-untold")]

_TELLING = re.compile(r'(?<=[{,])((?:grpc_|envoy_response_|http_response_status_|response_|status_)?code|status|classification)="')
POINT = {"versusStable": {"maxIncrease": {"points": 1}}}
FEWER = {"versusStable": {"maxDecrease": {"points": 1}}}
HTTP = CASES[-1]
MEASURES = pytest.mark.parametrize("measure", ["ErrorRate", "Availability"])
JUDGES = pytest.mark.parametrize("judge", ["Evidence", "Limit"])

CALLS = "\n".join(
    f'istio_requests_total{{reporter="destination",request_protocol="{protocol}",response_code="200",'
    f'grpc_response_status="{status}",response_flags="-"}} 10'
    for protocol, status in (("http", ""), ("grpc", "0"), ("grpc", "5"), ("grpc", "13"), ("grpc", "14"), ("grpc", ""))
)
"""As Istio labels calls, of which all but the last say how they ended."""
ENVOY_CALLS = "\n".join(
    f'{metric}{{{code}envoy_cluster_name="calls_checkout-{version}_80"}} 10'
    for version in ("canary", "stable")
    for metric, code in (("envoy_cluster_upstream_rq", 'envoy_response_code="200",'), ("envoy_cluster_grpc_total", ""))
)
"""As Envoy counts them, with the filter grpc_stats."""


def text(case: Case) -> str:
    return (FOLDER / f"{case.source.lower()}.prom").read_text()


def renamed(case: Case) -> str:
    """A recorded exposition whose labels of codes have other names, in a namespace of its own."""
    return _TELLING.sub(r'my_\1="', text(case)).replace("shop", "renamed")


def without_comments(page: str) -> str:
    return "\n".join(line for line in page.splitlines() if not line.startswith("#"))


def everything() -> dict[str, Page]:
    pages: dict[str, Page] = {}
    of_pods = "\n".join(without_comments(renamed(case)) for case in CASES if case.service is None)
    for pod in (CANARY, STABLE):
        pages[f"renamed/{pod}"] = Page(of_pods)
        pages[f"grouped/{pod}"] = Page('http_requests_total{code="2xx"} 10\nhttp_requests_total{code="5xx"} 0\n')
        for group in ("Evidence", "Limit"):
            pages[f"{group}/{pod}"] = Page('http_requests_total{code="200"} 10\nhttp_requests_total{path="/old"} 10\n')
        pages[f"calls/{pod}"] = Page(CALLS)
    pages[f"turned/{STABLE}"] = Page('orders_total{result="ok"} 10\n')
    pages[f"turned/{CANARY}"] = Page('orders_total{outcome="ok"} 10\n')
    pages["calls-Envoy"] = Page(ENVOY_CALLS)
    pages |= {f"renamed-{case.source}": Page(renamed(case)) for case in CASES if case.service is not None}
    return pages


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """A Prometheus of this module's own."""
    folder: Path = tmp_path_factory.mktemp("prometheus")
    yield from serving(folder, everything())


@pytest.fixture
async def reader(scene: Scene) -> AsyncIterator[Reader]:
    made = Reader({"default": Connection(ConnectionConfig(name="default", address=scene.address))})
    yield made
    made.close()


def pages_of(scene: Scene, case: Case) -> tuple[Page, Page]:
    if case.service is not None:
        return (scene.pages[f"renamed-{case.source}"],) * 2
    return scene.pages[f"renamed/{CANARY}"], scene.pages[f"renamed/{STABLE}"]


def answer(case: Case, page: Page, version: str, count: int, code: str) -> None:
    which = (
        {} if case.service is None else {case.service[0]: case.service[1 if version == "canary" else 2].replace("shop", "renamed")}
    )
    page.grow(case.counter or f"{case.histogram}_count", count, **{f"my_{case.code}": code}, **case.labels, **which)


async def look(scene: Scene, reader: Reader, a_gate: Gate, called: Names, *pages: Page) -> Reading:
    return await reader.read(a_gate, called, "bbb", await scene.scraped(*pages))


@EACH
@MEASURES
@JUDGES
async def test_no_series_has_the_label(scene, reader, case, measure, judge):
    """Given a version that fails 40%, when no label says so, then it is Undecided from the first look on, with what there is."""
    limit = POINT if measure == "ErrorRate" else FEWER
    a_gate = gate(case.source, measure, judge=judge, minSamples=20, **limit)
    called, (canary, stable) = names(namespace="renamed"), pages_of(scene, case)
    await reader.prime(a_gate, called, "bbb", await scene.scraped(canary, stable))
    state: GateStatus | None = None
    for _ in range(2):
        answer(case, canary, "canary", 60, case.good)
        answer(case, canary, "canary", 40, case.error)
        answer(case, stable, "stable", 100, case.good)

        reading = await look(scene, reader, a_gate, called, canary, stable)
        state = judged(a_gate, reading, state, alpha=0.01)

        assert reading.counts is None
        assert "bad answers of the new version cannot be told from good ones" in state.message
        assert "its series have no label" in state.message
        assert "but my_" in state.message
        assert (state.verdict, state.clear, state.undecided_since is None) == (Verdict.UNDECIDED, False, False)


async def test_an_error_budget_that_cannot_be_told(scene, reader):
    """No burn rate is none of 0."""
    windows = [{"long": "20s", "short": "10s", "factor": 2}]
    budget = {"source": "HTTP", "objective": 0.9, "windows": windows}
    a_gate = Gate.model_validate({"name": "g", "metric": {"errorBudget": budget}, "threshold": {"max": 1}})
    canary, stable = pages_of(scene, HTTP)
    await scene.scraped(canary, stable)
    answer(HTTP, canary, "canary", 50, "500")

    reading = await look(scene, reader, a_gate, names(namespace="renamed"), canary, stable)

    assert reading.canary is None
    assert reading.trouble.startswith("bad answers of the service cannot be told from good ones")


@JUDGES
async def test_groups_tell_errors_and_not_what_was_not_answered(scene, reader, judge):
    """5xx is an error, and may be 500 or 503."""
    canary, stable = (scene.pages[f"grouped/{pod}"] for pod in (CANARY, STABLE))
    called = names(namespace="grouped")
    limits = (("ErrorRate", POINT), ("Availability", FEWER))
    gates = [gate("HTTP", name, judge=judge, window="20s", **limit).model_copy(update={"name": name}) for name, limit in limits]
    for one in gates:
        await reader.prime(one, called, "bbb", await scene.scraped(canary, stable))
    for page in (canary, stable):
        page.grow("http_requests_total", 90, code="2xx")
    canary.grow("http_requests_total", 10, code="5xx")

    errors, availability = [await look(scene, reader, one, called, canary, stable) for one in gates]

    assert errors.trouble == ""
    assert errors.counts is None or errors.counts.canary == Tally(100.0, 10.0)
    assert "its values are 2xx, 5xx, which Tidegate does not know" in availability.trouble


@JUDGES
async def test_some_series_without_the_label(scene, reader, judge):
    """They are nobody's good answers; where they do not rise, they do not matter."""
    canary, stable = (scene.pages[f"{judge}/{pod}"] for pod in (CANARY, STABLE))
    called, a_gate = names(namespace=judge), gate("HTTP", "ErrorRate", judge=judge, window="20s", **POINT)
    await reader.prime(a_gate, called, "bbb", await scene.scraped(canary, stable))
    for page in (canary, stable):
        page.grow("http_requests_total", 90, code="200")
    quiet = await look(scene, reader, a_gate, called, canary, stable)
    stable.grow("http_requests_total", 10, path="/old")

    loud = await look(scene, reader, a_gate, called, canary, stable)

    assert quiet.trouble == ""
    assert "bad answers of stable cannot be told from good ones" in loud.trouble
    assert "its series have no label code" in loud.trouble


@MEASURES
async def test_calls_that_istio_tells(scene, reader, measure):
    """By the status of gRPC, while every answer is 200."""
    canary, stable = (scene.pages[f"calls/{pod}"] for pod in (CANARY, STABLE))
    called, a_gate = names(namespace="calls"), gate("Istio", measure, **(POINT if measure == "ErrorRate" else FEWER))
    await reader.prime(a_gate, called, "bbb", await scene.scraped(canary, stable))
    for status, count in (("0", 90), ("5", 5), ("13", 3), ("14", 2)):
        canary.grow("istio_requests_total", count, grpc_response_status=status)
    told = await look(scene, reader, a_gate, called, canary, stable)
    canary.grow("istio_requests_total", 10, request_protocol="grpc", grpc_response_status="")

    untold = await look(scene, reader, a_gate, called, canary, stable)

    assert told.trouble == ""
    assert told.counts is not None
    assert told.counts.canary == Tally(100.0, 5.0 if measure == "ErrorRate" else 2.0)
    assert "gRPC calls, whose failures no HTTP status shows" in untold.trouble


@JUDGES
async def test_calls_that_envoy_does_not_tell(scene, reader, judge):
    """It says only that there were some."""
    page = scene.pages["calls-Envoy"]
    called, a_gate = names(namespace="calls"), gate("Envoy", "ErrorRate", judge=judge, **POINT)
    await reader.prime(a_gate, called, "bbb", await scene.scraped(page))
    for metric in ("envoy_cluster_upstream_rq", "envoy_cluster_grpc_total"):
        page.grow(metric, 100, envoy_cluster_name="calls_checkout-canary_80")

    reading = await look(scene, reader, a_gate, called, page)

    assert "they are gRPC calls, whose failures no HTTP status shows: use the preset source GRPC" in reading.trouble


@pytest.mark.parametrize("form", ["counters", "promql"])
async def test_a_label_of_ones_own_that_the_new_version_has_not(scene, reader, form):
    """All of stable's series have it."""

    def pair(pods: str) -> tuple[str, str]:
        total = f'orders_total{{namespace="turned",pod=~"{{{{{pods}}}}}"'
        return f'{total},result="failed"}}', f"{total}}}"

    def quotient(pods: str) -> str:
        bad, total = pair(pods)
        return f"(sum(rate({bad}[{{{{window}}}}])) or vector(0)) / sum(rate({total}[{{{{window}}}}]))"

    arms = {"canary": "canaryPods", "stable": "stablePods"}
    metric = {arm: dict(zip(("bad", "total"), pair(pods), strict=True)) for arm, pods in arms.items()}
    if form == "promql":
        metric = {arm: quotient(pods) for arm, pods in arms.items()} | {"unit": "Ratio"}
    a_gate = Gate.model_validate({"name": "orders", "metric": {form: metric}, **POINT})
    pages = [scene.pages[f"turned/{pod}"] for pod in (CANARY, STABLE)]
    called = names(namespace="turned")
    await reader.prime(a_gate, called, "bbb", await scene.scraped(*pages))
    for page in pages:
        page.grow("orders_total", 50)

    reading = await look(scene, reader, a_gate, called, *pages)

    assert (reading.canary, reading.counts) == (None, None)
    assert (
        reading.trouble == "bad events cannot be told from good ones: no series orders_total has a label result (there are outcome)"
    )


async def test_before_all_data_nothing_is_said(scene, reader):
    """No series are no data, as before."""
    a_gate = gate("HTTP", "ErrorRate", **POINT)
    at = datetime(2020, 1, 1, tzinfo=UTC)
    await reader.prime(a_gate, names(namespace="renamed"), "bbb", at)

    reading = await reader.read(a_gate, names(namespace="renamed"), "bbb", at.replace(minute=1))

    assert (reading.trouble, reading.counts) == ("", None)
