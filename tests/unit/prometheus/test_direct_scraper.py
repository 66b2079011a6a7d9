"""Pages over HTTP from real servers on loopback: whatever one does, it costs its own page, in bounded time and memory."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from tidegate.api.direct import Scheme
from tidegate.prometheus.answers import Asker
from tidegate.prometheus.config import DirectConfig
from tidegate.prometheus.direct.effort import PUT_OFF, Effort
from tidegate.prometheus.direct.page import Page
from tidegate.prometheus.direct.scraper import Scraper, Unscraped
from tidegate.prometheus.direct.targets import Target
from tidegate.prometheus.direct.text import Series
from tidegate.prometheus.events import Events
from tidegate.runtime.answering import MOST_ANSWERS
from tidegate.runtime.clock import SystemClock
from unit.prometheus.direct_pages import wanted

LINES = 'http_requests_total{code="200"} 8\nhttp_requests_total{code="500"} 2\n'
ASKER = Asker("shop")
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Pod:
    """A pod's server that does what a test says."""

    def __init__(self) -> None:
        self.requests: list[web.Request] = []
        self.handle: Handler = self._page

    async def start(self) -> TestServer:
        app = web.Application()
        app.router.add_route("*", "/{tail:.*}", self._handle)
        server = TestServer(app)
        await server.start_server()
        return server

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        self.requests.append(request)
        return await self.handle(request)

    async def _page(self, _: web.Request) -> web.Response:
        return web.Response(text=LINES, content_type="text/plain")


@pytest.fixture
async def pod() -> AsyncIterator[Pod]:
    found = Pod()
    server = await found.start()
    found.port = server.port  # type: ignore[attr-defined]
    yield found
    await server.close()


async def scrape(pod: Pod, seconds: float = 5.0, scheme: Scheme = Scheme.HTTP, **config: object) -> Page | Unscraped:
    """Read the pod's page once."""
    scraper = Scraper(DirectConfig.model_validate({"timeout": "5s"} | config), SystemClock())
    target = Target("uid", "checkout-b-aaaaa", "127.0.0.1", pod.port, "/metrics", scheme)  # type: ignore[attr-defined]
    try:
        return await scraper.scrape(target, Series((wanted(),)), ASKER, seconds)
    finally:
        await scraper.close()


async def test_page_is_read(pod: Pod) -> None:
    """A page of text is read, and was asked for uncompressed, in a form that Tidegate knows, and without credentials."""
    found = await scrape(pod)
    assert isinstance(found, Page)
    assert found.counted[wanted()].events == Events(10, 2)
    (request,) = pod.requests
    assert request.headers["Accept-Encoding"] == "identity"
    assert request.headers["Accept"].startswith("text/plain;version=0.0.4")
    assert "Authorization" not in request.headers
    assert "Cookie" not in request.headers


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (lambda: web.Response(status=302, headers={"Location": "http://127.0.0.1:1/"}), "it redirects (HTTP 302)"),
        (lambda: web.Response(status=404), "it answers HTTP 404"),
        (lambda: web.Response(status=401), "it refuses the credentials (HTTP 401)"),
        (lambda: web.json_response({}), "no format of metrics"),
        (lambda: web.Response(body=b"", content_type="application/vnd.google.protobuf"), "protobuf, which was not asked for"),
        (
            lambda: web.Response(body=gzip.compress(b"a 1\n"), headers={"Content-Encoding": "gzip", "Content-Type": "text/plain"}),
            "compressed",
        ),
        (lambda: web.Response(text="a 1\n" * 100_000, content_type="text/plain"), "more than 64 KiB (direct.bytesPerPod)"),
        (lambda: web.Response(text='http_requests_total{code="1"} 1\n' * 21, content_type="text/plain"), "more than 20 series"),
        (lambda: web.Response(text="a 1\n", content_type="application/openmetrics-text"), "cut off"),
    ],
)
async def test_what_is_not_taken(pod: Pod, answer: Callable[[], web.Response], words: str) -> None:
    """Redirects, refusals, other formats, and pages that are too much: each is told in words, and nothing else is asked."""

    async def handle(_: web.Request) -> web.Response:
        return answer()

    pod.handle = handle
    found = await scrape(pod, bytesPerPod="64Ki", seriesPerPod=20)
    assert isinstance(found, Unscraped)
    assert words in found.words
    assert len(pod.requests) == 1


async def test_page_that_never_ends(pod: Pod) -> None:
    """A page that goes on for ever ends with the bytes that it may have."""

    async def handle(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/plain"})
        await response.prepare(request)
        while True:
            await response.write(b"a 1\n" * 10_000)

    pod.handle = handle
    found = await scrape(pod, bytesPerPod="256Ki")
    assert found == Unscraped("its page has more than 256 KiB (direct.bytesPerPod)")


async def test_page_byte_by_byte(pod: Pod) -> None:
    """A page that is sent in crumbs, each of which would wake the operator up, is given up."""

    async def handle(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/plain"})
        response.enable_chunked_encoding()
        await response.prepare(request)
        for _ in range(20_000):
            await response.write(b"a")
        return response

    pod.handle = handle
    assert await scrape(pod) == Unscraped("its page comes in too small pieces")


PAGE = f"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {len(LINES)}\r\n\r\n{LINES}".encode()


class Talker:
    """A pod that answers one request so many times."""

    def __init__(self, answers: int) -> None:
        self.answers, self.unheard = answers, asyncio.Event()

    async def start(self) -> asyncio.Server:
        return await asyncio.start_server(self._serve, "127.0.0.1", 0)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(PAGE * self.answers)
        with contextlib.suppress(ConnectionError):
            await reader.read()
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
        self.unheard.set()


@pytest.mark.parametrize(("answers", "heard"), [(1, True), (MOST_ANSWERS + 2, False)])
async def test_one_request_has_one_answer(answers: int, heard: bool) -> None:
    """A connection on which more comes is closed at once; one with one answer stays open for the next request."""
    talker = Talker(answers)
    server = await talker.start()
    scraper = Scraper(DirectConfig.model_validate({"timeout": "5s"}), SystemClock())
    target = Target("uid", "checkout-b-aaaaa", "127.0.0.1", server.sockets[0].getsockname()[1], "/metrics", Scheme.HTTP)
    one = await scraper.scrape(target, Series((wanted(),)), ASKER, 5.0)
    assert isinstance(one, Page) == heard
    if isinstance(one, Unscraped):
        assert one.words == "what it answers is no HTTP that Tidegate knows"
        await asyncio.wait_for(talker.unheard.wait(), 5)
    assert talker.unheard.is_set() != heard
    await scraper.close()
    await asyncio.wait_for(talker.unheard.wait(), 5)
    server.close()


async def test_pod_that_hangs(pod: Pod) -> None:
    """A pod that says nothing is given up in time."""
    hangs = asyncio.Event()

    async def handle(_: web.Request) -> web.StreamResponse:
        await hangs.wait()
        return web.Response()

    pod.handle = handle
    assert await scrape(pod, seconds=0.05) == Unscraped("its page did not come within 0.05s")
    hangs.set()


async def test_pod_that_breaks_off(pod: Pod) -> None:
    """A page that breaks off is none: half of the counters would look like a restart."""

    async def handle(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/plain", "Content-Length": "1000"})
        await response.prepare(request)
        await response.write(LINES.encode())
        assert request.transport is not None
        request.transport.close()
        return response

    pod.handle = handle
    assert await scrape(pod) == Unscraped("it ended the connection in the midst of its page")


async def test_nobody_there() -> None:
    """Where nothing listens, that is said."""
    pod = Pod()
    server = await pod.start()
    pod.port = server.port  # type: ignore[attr-defined]
    await server.close()
    found = await scrape(pod)
    assert isinstance(found, Unscraped)
    assert found.words.startswith("no connection")


async def test_token_goes_over_https_alone(pod: Pod, tmp_path: Path) -> None:
    """A bearer token is never sent in clear text, and a pod that would need it so is not asked at all."""
    token = tmp_path / "token"
    token.write_text("s3cret-token")
    found = await scrape(pod, bearerTokenFile=str(token))
    assert isinstance(found, Unscraped)
    assert "over https" in found.words
    assert "s3cret" not in found.words
    assert pod.requests == []


async def test_pod_that_hangs_takes_no_turn_of_others(pod: Pod) -> None:
    """Pods of one namespace that hang take half of the turns at most; those of another are read all the same."""
    hangs, hanging_two = asyncio.Event(), asyncio.Event()

    async def handle(request: web.Request) -> web.StreamResponse:
        if request.path == "/hangs":
            if len(pod.requests) == 3:
                hanging_two.set()
            await hangs.wait()
        return web.Response(text=LINES, content_type="text/plain")

    pod.handle = handle
    scraper = Scraper(DirectConfig.model_validate({"concurrency": 4, "timeout": "5s"}), SystemClock())
    slow, quick = (Target("uid", "p", "127.0.0.1", pod.port, path, Scheme.HTTP) for path in ("/hangs", "/metrics"))  # type: ignore[attr-defined]
    series = Series((wanted(),))
    assert isinstance(await scraper.scrape(quick, series, Asker("other"), 5.0), Page)
    hanging = [asyncio.create_task(scraper.scrape(slow, series, ASKER, 5.0)) for _ in range(10)]
    await hanging_two.wait()

    assert isinstance(await scraper.scrape(quick, series, Asker("other"), 5.0), Page)

    hangs.set()
    await asyncio.gather(*hanging)
    await scraper.close()


async def test_a_page_that_cannot_be_read_is_counted(pod: Pod) -> None:
    """For the metric of pages."""
    pod.handle = refuse
    told: list[str] = []
    scraper = Scraper(DirectConfig.model_validate({}), SystemClock(), None, told.append)
    target = Target("uid", "checkout-b-aaaaa", "127.0.0.1", pod.port, "/metrics", Scheme.HTTP)  # type: ignore[attr-defined]

    await scraper.scrape(target, Series((wanted(),)), ASKER, 5.0)

    await scraper.close()
    assert told == ["failed"]


async def refuse(_: web.Request) -> web.Response:
    return web.Response(status=404)


async def test_pages_that_cost_too_much_are_put_off(pod: Pod) -> None:
    """What a page costs of the processor stands in what was read, and beyond its namespace's share no pod is asked."""
    clock, steps = SystemClock(), iter(range(10**6))
    # Each look at it is a tenth of a second later: by this account every piece costs as much.
    effort = Effort(lambda: 0.0, lambda: next(steps) / 10)
    told: list[str] = []
    scraper = Scraper(DirectConfig.model_validate({"timeout": "5s"}), clock, effort, told.append)
    target = Target("uid", "checkout-b-aaaaa", "127.0.0.1", pod.port, "/metrics", Scheme.HTTP)  # type: ignore[attr-defined]
    found = [await scraper.scrape(target, Series((wanted(),)), ASKER, 5.0) for _ in range(5)]
    other = await scraper.scrape(target, Series((wanted(),)), Asker("other"), 5.0)
    await scraper.close()
    assert [type(one) for one in found] == [Page, Page, Page, Unscraped, Unscraped]
    assert found[0].seconds == pytest.approx(0.2, abs=0.01)
    assert found[3] == Unscraped(PUT_OFF, put_off=True)
    assert isinstance(other, Page)
    assert len(pod.requests) == 4
    assert told == ["read", "read", "read", "put-off", "put-off", "read"]
