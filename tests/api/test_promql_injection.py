"""Names and queries as a real Prometheus reads them: what is put in stays text, and what is joined stays apart."""

from __future__ import annotations

import json
import socket
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from api.test_prometheus_real import binary
from tidegate.api.gate import Gate
from tidegate.prometheus.batching import TAG, join
from tidegate.prometheus.counters import raw_counters
from tidegate.prometheus.promql import Names, fill, literally, self_contained
from tidegate.prometheus.queries import queries

pytestmark = [pytest.mark.api, pytest.mark.timeout(120), pytest.mark.xdist_group("promql-injection")]

HOSTILE = [
    'a"b',
    "a'b",
    "a`b",
    "a\\",
    "a\nb",
    'x"} or vector(1) #',
    "x'} or vector(1) #",
    "{{namespace}}",
    "\\x22",
    "\u2028\u202e",
    "a|.*",
    "#",
]
PLAIN = Names("shop", "checkout", "checkout", "checkout-stable", "checkout-canary", "a-[a-z0-9]{5}", "b-[a-z0-9]{5}", 80)
ADJECTIVE = {"threshold": {"max": 1}, "versusStable": {"maxIncrease": {"points": 1}}}


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Prometheus that has no data, and needs none to parse."""
    path = binary()
    if path is None:
        pytest.skip("no Prometheus: run `tidegate-sandbox build` once")
    folder: Path = tmp_path_factory.mktemp("prometheus")
    (folder / "prometheus.yml").write_text("{}")
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    options = [
        f"--config.file={folder}/prometheus.yml",
        f"--storage.tsdb.path={folder}/data",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    with subprocess.Popen([path, *options], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            _wait(f"http://127.0.0.1:{port}/-/ready")
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()


def _wait(url: str) -> None:
    deadline = time.monotonic() + 60
    while True:
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except OSError:
            assert time.monotonic() < deadline
            time.sleep(0.1)


def parsed(address: str, query: str) -> Any:
    """Return the tree that Prometheus makes of a query; None where it is none."""
    url = f"{address}/api/v1/parse_query"
    data = urllib.parse.urlencode({"query": query}).encode()
    try:
        with urllib.request.urlopen(urllib.request.Request(url, data), timeout=10) as answer:
            return json.load(answer)["data"]
    except urllib.error.HTTPError as refusal:
        said = json.load(refusal)["error"]
        refusal.close()
    assert "parse error" in said
    return None


def shape(tree: Any, texts: list[str]) -> Any:
    """Return a tree without the texts in it, which are noted."""
    if isinstance(tree, dict):
        return {
            key: texts.append(value) if key in {"value", "val"} and isinstance(value, str) else shape(value, texts)
            for key, value in sorted(tree.items())
        }
    return [shape(one, texts) for one in tree] if isinstance(tree, list) else tree


def named(value: str) -> Names:
    """Names in which everything is hostile."""
    return Names(value, value, value, value, value, literally(value), literally(value), 80)


def asked(names: Names) -> Iterator[str]:
    """Yield the queries of every preset, judged either way, and of a policy's own."""
    metrics: list[dict[str, Any]] = [
        {"preset": {"source": source, "measure": measure}}
        for source in ("Envoy", "Istio", "Linkerd", "NGINX", "Traefik", "OpenTelemetry", "GRPC", "HTTP")
        for measure in ("ErrorRate", "Latency")
    ]
    metrics.append({"promql": {"canary": "sum(x{a=\"{{service}}\", b='{{namespace}}'})", "stable": 'x{p=~"{{stablePods}}"}'}})
    for metric in metrics:
        gate = Gate.model_validate({"name": "g", "metric": metric, **ADJECTIVE})
        found = queries(gate, names)
        yield from (query for query in (found.canary, found.stable, found.canary_samples, found.stable_samples) if query)
        if "preset" in metric:
            raw = raw_counters(gate, names)
            for version in (raw.canary, raw.stable):
                assert version is not None
                yield from (query for query in (version.total, version.bad, *(text for _, text in version.buckets)) if query)


@pytest.mark.parametrize("value", HOSTILE)
def test_names_change_no_query(address: str, value: str) -> None:
    """Whatever the objects of a Release were called, Prometheus reads the same query, with these names as texts in it."""
    for plain, hostile in zip(asked(PLAIN), asked(named(value)), strict=True):
        texts: list[str] = []
        expected, found = parsed(address, plain), parsed(address, hostile)

        assert found is not None, hostile
        assert shape(expected, []) == shape(found, texts)
        assert any(value in text or literally(value) in text for text in texts), hostile


@pytest.mark.parametrize("value", HOSTILE)
@pytest.mark.parametrize("quote", ['"', "'"])
def test_value_within_quotes_is_read_back(address: str, value: str, quote: str) -> None:
    """Between the quotes of a policy's author, Prometheus reads the very name."""
    texts: list[str] = []
    shape(parsed(address, fill(f"x{{a={quote}{{{{service}}}}{quote}}}", {"service": value})), texts)

    assert value in texts


BROKEN = [
    'x{a="',
    "x) or vector(1",
    'x{a="}',
    "x or vector(1)) #",
    'vector(1), "tidegate_question", "other", "", "") or label_replace(vector(2)',
    "x # a comment",
    "x #\n",
    "x{a='\\'",
    'x{a="\\"}") or vector(1) # "',
    "x{a=`\\`}",
    "x[5m",
    "",
    " ",
    "#",
    "x\x00",
    'x{a="\n"}',
    "x{a='\"'}",
    'label_replace(x, "tidegate_question", "nonce-1", "", "")',
]


@pytest.mark.parametrize("query", BROKEN)
def test_query_that_is_joined_leaves_its_neighbour_alone(address: str, query: str) -> None:
    """A query that counts as self-contained either breaks the whole request, or leaves the other one in it as it was."""
    if not self_contained(query):
        return
    neighbour = 'sum(rate(http_requests_total{namespace="shop"}[1m]))'
    tree = parsed(address, join([query, neighbour], "nonce"))
    if tree is None:
        return

    both = tree["expr"]
    assert ("parenExpr", "or") == (tree["type"], both["op"])
    for call, number in ((both["lhs"], 0), (both["rhs"], 1)):
        assert "label_replace" == call["func"]["name"]
        assert [TAG, f"nonce-{number}"] == [one["val"] for one in call["args"][1:3]]
    assert parsed(address, neighbour) == both["rhs"]["args"][0]["expr"]
