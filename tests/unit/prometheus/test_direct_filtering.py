"""Pods are asked for the wanted metrics alone where they know how; where they do not, or not rightly, nothing is lost by it."""

from __future__ import annotations

import asyncio
import itertools
import threading
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, make_server

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector, make_wsgi_app
from prometheus_client.core import CounterMetricFamily

from tidegate.prometheus.answers import Asker
from tidegate.prometheus.config import DirectConfig
from tidegate.prometheus.direct.filtering import TRIES, WHOLE_AFTER, WORTH_IT, Filtering
from tidegate.prometheus.direct.page import Page
from tidegate.prometheus.direct.rounds import Rounds
from tidegate.prometheus.direct.scraper import Scraper
from tidegate.prometheus.direct.targets import Chosen, Scheme, Target
from tidegate.prometheus.direct.text import Series
from tidegate.runtime.clock import ManualClock
from unit.prometheus.direct_pages import text, wanted

ERRORS, TAIL = wanted(), wanted(measure="Tail")


class Client:
    """A program that counts its requests with the Python client, beside a thousand other series."""

    def __init__(self, *, describe: bool = True) -> None:
        self.registry = CollectorRegistry(auto_describe=describe)
        ProcessCollector(registry=self.registry)
        self.requests = Counter("http_requests", "Requests.", ["code"], registry=self.registry)
        self.latency = Histogram("http_request_duration_seconds", "Latency.", registry=self.registry)
        other = Counter("others", "What is counted elsewhere.", ["queue"], registry=self.registry)
        for number in range(1000):
            other.labels(f"queue-with-a-rather-long-name-{number}").inc()
        self.serve(90, 10)

    def serve(self, good: int, bad: int) -> None:
        self.requests.labels("200").inc(good)
        self.requests.labels("500").inc(bad)
        self.latency.observe(0.3)


@contextmanager
def serving(registry: CollectorRegistry, queries: list[str], *, openmetrics: bool = True) -> Iterator[int]:
    """Serve a registry by the client's own program for that, and note the queries."""
    app = make_wsgi_app(registry)

    def noted(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        queries.append(environ["QUERY_STRING"])
        if not openmetrics:
            environ.pop("HTTP_ACCEPT", None)
        return app(environ, start)  # type: ignore[no-any-return]

    class Silent(WSGIRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    server = make_server("127.0.0.1", 0, noted, handler_class=Silent)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class Reader:
    """Rounds of one pod that is served on loopback."""

    def __init__(self, port: int, *, path: str = "/metrics", filters: bool = True) -> None:
        self.clock = clock = ManualClock()
        self.scraper = Scraper(DirectConfig.model_validate({"timeout": "5s"}), clock)
        self.rounds = Rounds(self.scraper, Asker("shop"), 5.0, clock, lambda: None, filters=filters)
        target = Target("uid", "c", "127.0.0.1", port, path, Scheme.HTTP)
        self.rounds.want(Series((ERRORS, TAIL)), Chosen((target,), pods=1), Chosen())

    async def page(self) -> Page:
        # A page that has taken long is read more rarely.
        self.clock.advance(60)
        found = await self.rounds.round()
        assert found.missed == ()
        (one,) = found.canary
        return one.page

    async def close(self) -> None:
        self.rounds.close()
        await self.scraper.close()


@pytest.mark.parametrize("openmetrics", [True, False])
async def test_python_client_is_asked_for_what_is_wanted_alone(openmetrics: bool) -> None:
    """The Python client filters its page: it says the same on a tenth of the bytes, from the second reading on."""
    client, queries = Client(), list[str]()
    with serving(client.registry, queries, openmetrics=openmetrics) as port:
        reader = Reader(port)
        whole = await reader.page()
        client.serve(9, 1)
        filtered = [await reader.page() for _ in range(3)]
        await reader.close()

    assert [bool(one) for one in queries] == [False, True, True, True]
    assert "name%5B%5D=http_requests_total" in queries[-1]
    assert all(one.bytes < whole.bytes / 10 for one in filtered)
    assert whole.counted[ERRORS].events.total == 100
    assert [one.counted[ERRORS].events for one in filtered] == [client_events()] * 3
    assert {one.born for one in (whole, *filtered)} == {whole.born}
    assert whole.born is not None
    histogram = filtered[-1].counted[TAIL].histogram
    assert histogram is not None
    assert histogram.total == 2


def client_events() -> Any:
    return text('http_requests_total{code="200"} 99\nhttp_requests_total{code="500"} 11\n', ERRORS).counted[ERRORS].events


async def test_collector_that_is_left_out_by_the_filter_is_seen() -> None:
    """A collector that does not name its metrics beforehand is not on a filtered page: the whole one is read from then on."""
    client, queries = Client(describe=False), list[str]()
    client.registry.unregister(client.requests)

    class Own:
        def collect(self) -> Iterator[CounterMetricFamily]:
            family = CounterMetricFamily("http_requests", "Requests.", labels=["code"])
            family.add_metric(["200"], 70)
            yield family

    client.registry.register(Own())  # type: ignore[arg-type]
    with serving(client.registry, queries) as port:
        reader = Reader(port)
        pages = [await reader.page() for _ in range(4)]
        await reader.close()

    assert [one.counted[ERRORS].events.total for one in pages] == [70] * 4
    assert [bool(one) for one in queries] == [False, True, False, False, False]


PAGE = (
    'http_requests_total{code="200"} 90\nhttp_request_duration_seconds_bucket{le="1"} 5\n'
    'http_request_duration_seconds_bucket{le="+Inf"} 5\nhttp_request_duration_seconds_count 5\n'
)
OTHERS = "".join(f'others_total{{queue="queue-with-a-rather-long-name-{number}"}} {number}\n' for number in range(1000))


@pytest.fixture
async def served() -> AsyncIterator[dict[str, Any]]:
    """A server whose answers to whole and to filtered requests a test sets, with the queries that it was asked."""
    found: dict[str, Any] = {"queries": [], "whole": (200, PAGE + OTHERS), "filtered": (200, PAGE + OTHERS)}

    async def handle(request: web.Request) -> web.Response:
        found["queries"].append(request.query_string)
        if found.get("closes") and "name[]" in request.query and request.transport is not None:
            request.transport.close()
        status, body = found["filtered" if "name[]" in request.query else "whole"]
        return web.Response(status=status, text=body, content_type="text/plain")

    app = web.Application()
    app.router.add_get("/{tail:.*}", handle)
    server = TestServer(app)
    await server.start_server()
    found["port"] = server.port
    yield found
    await server.close()


@pytest.mark.parametrize(
    ("filtered", "asked"),
    [
        ((200, PAGE + OTHERS), [False, True, False, False]),
        ((400, "unknown parameter"), [False, True, False, False, False]),
        ((200, ""), [False, True, False, False, False]),
        ((200, PAGE.replace("http_requests_total", "http_requests")), [False, True, False, False, False]),
        ((200, "<html>"), [False, True, False, False, False]),
    ],
    ids=["passes it over", "refuses it", "has nothing", "lacks one", "has no page"],
)
async def test_server_that_does_not_filter_is_asked_once(
    served: dict[str, Any], filtered: tuple[int, str], asked: list[bool]
) -> None:
    """A server that passes the filter over, refuses it or loses something by it is tried once, and no reading is lost."""
    served["filtered"] = filtered
    reader = Reader(served["port"])
    pages = [await reader.page() for _ in range(4)]
    await reader.close()
    assert [one.counted[ERRORS].events.total for one in pages] == [90] * 4
    assert ["name" in one for one in served["queries"]] == asked


async def test_server_that_does_not_answer_what_is_filtered(served: dict[str, Any]) -> None:
    """A server that ends the connection over the filter is tried a few times, with whole pages in between, and then no more."""
    served["closes"] = True
    reader = Reader(served["port"])
    read = 0
    for _ in range(10):
        reader.clock.advance(60)
        read += len((await reader.rounds.round()).canary)
        # A pod that has not answered is not waited for in the next round, and what it says then comes with the one after that.
        await asyncio.gather(*(one.task for one in reader.rounds._canary.pods.values() if one.task is not None))
    reader.clock.advance(60)
    read += len((await reader.rounds.round()).canary)
    await reader.close()
    # The library repeats a request at once whose connection ends without an answer.
    filtered = [one for one, _ in itertools.groupby("name" in one for one in served["queries"])]
    assert filtered == [False, True, False, True, False, True, False]
    assert read >= 7


async def test_query_of_the_path_stays(served: dict[str, Any]) -> None:
    """A path that has a query keeps it."""
    served["filtered"] = (200, PAGE)
    reader = Reader(served["port"], path="/metrics?format=prometheus")
    await reader.page()
    await reader.page()
    await reader.close()
    assert served["queries"][1].startswith("format=prometheus&name")


@pytest.mark.parametrize("page", [PAGE, PAGE.splitlines()[0] + "\n" + OTHERS], ids=["small", "not all there"])
async def test_page_for_which_it_is_not_worth_it(served: dict[str, Any], page: str) -> None:
    """Small pages are not filtered; nor is one on which something wanted is still to come, which the filter might keep out."""
    served["whole"] = (200, page)
    reader = Reader(served["port"])
    for _ in range(4):
        await reader.page()
    await reader.close()
    assert not any(served["queries"])


async def test_pods_are_not_asked_where_it_is_turned_off(served: dict[str, Any]) -> None:
    """Nothing is added to a path unless the configuration lets it."""
    reader = Reader(served["port"], filters=False)
    for _ in range(3):
        await reader.page()
    await reader.close()
    assert not any(served["queries"])


async def test_whole_page_is_read_again_after_a_while(served: dict[str, Any]) -> None:
    """What comes later and is not filtered is seen once the whole page is read again, and it is not filtered any more."""
    served["filtered"] = (200, PAGE)
    reader = Reader(served["port"])
    for _ in range(WHOLE_AFTER // 2):
        await reader.page()
    late = 'http_requests_total{code="500",from="elsewhere"} 7\n'
    served["whole"] = (200, PAGE + late + OTHERS)
    pages = [await reader.page() for _ in range(WHOLE_AFTER)]
    await reader.close()
    assert pages[-1].counted[ERRORS].events.total == 97
    assert sum("name" in one for one in served["queries"]) == WHOLE_AFTER + 1


moves = st.lists(
    st.tuples(st.integers(0, 9), st.sets(st.sampled_from((0, 1, 2))), st.sampled_from(["serves"] * 8 + ["restarts"])),
    min_size=2,
    max_size=WHOLE_AFTER + 20,
)


@given(moves, st.booleans())
def test_no_page_goes_back_unless_the_process_did(seconds: list[tuple[int, set[int], str]], births: bool) -> None:
    """Whatever a server leaves out of its filtered pages, no count is lower than the one before, but after a restart."""
    filtering, counters, born, tried = Filtering(), [5, 5, 5], 1000.0, 0
    before, restarted = 0.0, False

    def page(without: set[int]) -> Page:
        lines = [f'http_requests_total{{code="{200 + n}"}} {value}\n' for n, value in enumerate(counters) if n not in without]
        birth = f"process_start_time_seconds {born}\n" if births else ""
        return text("".join(lines) + birth + pad(WORTH_IT if not without else WORTH_IT // 2), ERRORS)

    for grown, without, what in seconds:
        counters = [0, 0, 0] if what == "restarts" else [one + grown for one in counters]
        born, restarted = (born + 1, True) if what == "restarts" else (born, restarted)
        if filtering.asks:
            found = page(without)
            if not filtering.believes(found):
                tried += 1
                found = page(set())
                filtering.whole(found)
        else:
            found = page(set())
            filtering.whole(found)
        total = found.counted[ERRORS].events.total
        assert total >= before or restarted
        if total == sum(counters):
            before, restarted = total, False
    assert tried <= TRIES + 1


def pad(size: int) -> str:
    return "".join(f"# {' ' * 1000}\n" for _ in range(size // 1000 + 1))
