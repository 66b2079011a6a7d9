"""One delivery to real receivers on loopback: whatever they do, it ends in time, and what is told of it has no secret in it."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest
from aiohttp import web

from tidegate.notifications.config import ChannelConfig
from tidegate.notifications.request import Request
from tidegate.notifications.secrets import SecretError
from tidegate.notifications.sending import LONGEST_AFTER, Answer, Sender
from unit.notifications.receiver import SECRET, Receiver, Reply, dripping, receiving

NOW = datetime(2026, 1, 1, tzinfo=UTC)
CONFIG = ChannelConfig.model_validate({"name": "one", "type": "slack", "urlFile": "/nowhere", "timeout": "500ms"})


@pytest.fixture
async def sender() -> AsyncIterator[Sender]:
    one = Sender(CONFIG)
    yield one
    await one.close()


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as one:
        yield one


def request(url: str) -> Request:
    return Request(url, b'{"text": "hello"}', {"Content-Type": "application/json"})


def answered(status: int, after: str | None = None, **more: str) -> Reply:
    """Return how a receiver answers."""
    headers = {**({"Retry-After": after} if after is not None else {}), **more}
    return lambda _: web.Response(status=status, headers=headers, text=f"you sent {SECRET}")


async def test_what_is_taken_is_delivered(sender: Sender, receiver: Receiver) -> None:
    """Given any answer of success, then it is delivered; who has sent it says so."""
    for status in (200, 201, 202, 204):
        receiver.reply = status
        assert Answer(delivered=True) == await sender.send(request(receiver.url), NOW)

    headers, body = receiver.got[-1]
    assert ({"text": "hello"}, True) == (body, headers["User-Agent"].startswith("tidegate/"))


@pytest.mark.parametrize(
    ("reply", "final", "words", "after"),
    [
        (answered(400), True, "HTTP 400 Bad Request", None),
        (answered(413), True, "HTTP 413 Request Entity Too Large", None),
        (answered(422), True, "HTTP 422 Unprocessable Entity", None),
        (answered(401), False, "HTTP 401 Unauthorized: check the token or key in its file", None),
        (answered(403), False, "HTTP 403 Forbidden: check the token or key in its file", None),
        (answered(404), False, "HTTP 404 Not Found: check its address", None),
        (answered(410), False, "HTTP 410 Gone: the hook was removed: make another one", None),
        (answered(429, "7"), False, "HTTP 429 Too Many Requests", 7.0),
        (answered(429, "Thu, 01 Jan 2026 00:01:00 GMT"), False, "HTTP 429 Too Many Requests", 60.0),
        (answered(429, "999999999999"), False, "HTTP 429 Too Many Requests", LONGEST_AFTER),
        (answered(429, "-5"), False, "HTTP 429 Too Many Requests", None),
        (answered(429, "soon"), False, "HTTP 429 Too Many Requests", None),
        (answered(429, "9" * 1000), False, "HTTP 429 Too Many Requests", None),
        (answered(500), False, "HTTP 500 Internal Server Error", None),
        (answered(503, "3"), False, "HTTP 503 Service Unavailable", 3.0),
        (answered(599), False, "HTTP 599", None),
    ],
)
async def test_what_is_refused_says_why(
    sender: Sender, receiver: Receiver, reply: Reply, final: bool, words: str, after: float | None
) -> None:
    """Given a refusal, then its status and a cure are told, and not what the receiver says; its wish to be left alone counts."""
    receiver.reply = reply

    answer = await sender.send(request(receiver.url), NOW)

    assert Answer(final=final, words=words.replace("Request Entity", _phrase()), after=after) == answer


def _phrase() -> str:
    """Python has called 413 by two names."""
    from http import HTTPStatus

    return HTTPStatus(413).phrase.removesuffix(" Too Large")


async def test_a_redirect_is_not_followed(sender: Sender, receiver: Receiver) -> None:
    """Given a redirect, then what is sent, and the key in it, goes to no address that nobody has configured."""
    async with receiving() as other:
        receiver.reply = answered(307, Location=other.url)

        answer = await sender.send(request(receiver.url), NOW)

    assert (False, "it redirects to another address (HTTP 307): give the final address", 0) == (
        answer.delivered,
        answer.words,
        other.asked,
    )


async def test_one_that_hangs_is_left_in_time(sender: Sender, receiver: Receiver) -> None:
    """Given a receiver that takes a message and does not answer, then the try ends."""
    receiver.hangs.clear()

    answer = await sender.send(request(receiver.url), NOW)

    assert Answer(words="no answer within 500ms") == answer


@pytest.mark.parametrize(
    ("first", "expected"),
    [
        (b"HTTP/1.1 200 O", Answer(words="no answer within 500ms")),
        (b"HTTP/1.1 200 OK\r\nX-", Answer(words="no answer within 500ms")),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n", Answer(delivered=True)),
        (b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n", Answer(delivered=True)),
        (b"HTTP/1.1 500 No\r\nContent-Length: 1000000000\r\n\r\n", Answer(words="HTTP 500 Internal Server Error")),
        (b"SSH-2.0-OpenSSH_9.2\r\n", Answer(words="its answer is not HTTP (ClientResponseError)")),
    ],
    ids=["status", "headers", "body", "packed", "refusal", "ssh"],
)
async def test_one_that_drips_is_left_in_time(sender: Sender, first: bytes, expected: Answer) -> None:
    """Given a receiver that sends byte by byte, then its status is enough, and without one the time is."""
    port: list[int] = []
    async with dripping(first, port=port):
        answer = await sender.send(request(f"http://127.0.0.1:{port[0]}/{SECRET}"), NOW)

    if "not HTTP" in expected.words:
        assert (False, False) == (answer.delivered, answer.final)
    else:
        assert expected == answer
    assert SECRET not in answer.words


async def test_one_that_is_gone_is_told_without_its_address(sender: Sender) -> None:
    """Given a port where nobody listens, then the system's word for it is told."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]

    answer = await sender.send(request(f"http://127.0.0.1:{port}/{SECRET}"), NOW)

    assert Answer(words="no connection (Connection refused)") == answer


async def test_a_host_without_address_is_told(sender: Sender) -> None:
    """Given a name that nobody knows, then it is said, without the name."""
    answer = await sender.send(request(f"http://nobody.invalid/{SECRET}"), NOW)

    assert Answer(words="the name of its host is not known: check its address, and the network's name server") == answer


async def test_a_name_server_that_hangs_holds_no_thread_of_the_loop(sender: Sender, monkeypatch: pytest.MonkeyPatch) -> None:
    """Given look-ups that do not end, then a try ends in time, the next one leaves no further thread, and others look names up."""
    import threading

    released, asked = threading.Event(), []

    def hang(*_: object, **__: object) -> None:
        asked.append(threading.current_thread().name)
        released.wait(30)
        raise socket.gaierror(-3, "Temporary failure in name resolution")

    with monkeypatch.context() as patched:
        patched.setattr(socket, "getaddrinfo", hang)
        answers = [await sender.send(request("http://hooks.example/x"), NOW) for _ in range(2)]
        released.set()
        await sender.close()

    assert [Answer(words="no answer within 500ms")] * 2 == answers
    assert ["name of hooks.example"] == asked


async def test_a_connection_that_is_closed_is_told(sender: Sender) -> None:
    """Given a receiver that closes the connection, then that is what is told."""

    async def close(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    server = await asyncio.start_server(close, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        answer = await sender.send(request(f"http://127.0.0.1:{port}/{SECRET}"), NOW)

    assert Answer(words="it closed the connection without an answer") == answer


async def test_plain_http_behind_https_is_told(sender: Sender, receiver: Receiver) -> None:
    """Given an address of https where http is spoken, then the cure is to look at it."""
    answer = await sender.send(request(receiver.url.replace("http:", "https:")), NOW)

    assert (False, "no TLS connection: check its address, and caFile") == (answer.final, answer.words)


async def test_a_bundle_that_is_none_is_named_by_its_field() -> None:
    """Given a caFile that is not there, then its field is named."""
    config = CONFIG.model_copy(update={"ca_file": "/nowhere/ca.crt"})

    with pytest.raises(SecretError, match="the file of caFile cannot be read"):
        await Sender(config).send(request("https://127.0.0.1:1/"), NOW)
