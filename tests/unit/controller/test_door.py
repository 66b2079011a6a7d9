"""The listening socket: how many connections it lets in, and for how long."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from tidegate.controller.process.door import Bounds, Door

GET = b"GET /text HTTP/1.1\r\nHost: x\r\n\r\n"
PATIENCE = 60.0
LONG = 3_000.0
LARGE = 32 * 2**20
"""Bytes of an answer that no socket takes at once."""

Wire = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def text(_: web.Request) -> web.Response:
    return web.Response(text="here")


async def fails(_: web.Request) -> web.Response:
    raise RuntimeError("a mistake")


async def large(_: web.Request) -> web.Response:
    return web.Response(body=bytes(LARGE))


class Place:
    """A door, and those who call at it."""

    def __init__(self, door: Door) -> None:
        self.door, self.wires = door, list[Wire]()

    async def call(self, said: bytes = b"") -> Wire:
        wire = await asyncio.open_connection("127.0.0.1", self.door.port)
        self.wires.append(wire)
        wire[1].write(said)
        return wire


@asynccontextmanager
async def place_of(bounds: Bounds) -> AsyncIterator[Place]:
    app = web.Application()
    app.router.add_get("/text", text)
    app.router.add_get("/large", large)
    app.router.add_get("/fails", fails)
    place = Place(Door(app, bounds=bounds, stop_seconds=0.1))
    await place.door.listen("127.0.0.1", 0)
    try:
        async with asyncio.timeout(PATIENCE):
            yield place
    finally:
        for _, writer in place.wires:
            writer.transport.abort()
        await place.door.close()


async def answer(wire: Wire) -> str:
    """Return the body of one answer."""
    head = await wire[0].readuntil(b"\r\n\r\n")
    length = next(int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length"))
    return (await wire[0].readexactly(length)).decode()


async def is_over(wire: Wire) -> bool:
    """Wait until a connection has been closed from the other side."""
    try:
        while await wire[0].read(2**16):
            pass
    except ConnectionError:
        pass
    return True


@pytest.mark.parametrize("said", [b"", b"GET /text HTTP/1.1\r\nHost: x\r\n"])
async def test_request_that_does_not_end_is_given_up(said: bytes) -> None:
    """Whoever says nothing, or never ends the headers, is closed after the time for them."""
    async with place_of(Bounds(headers=0.05, keep_alive=LONG)) as place:
        assert await is_over(await place.call(said))
        assert 0 == place.door.open


async def test_second_request_that_does_not_end_is_given_up() -> None:
    """An answered request buys no more time for the next one."""
    async with place_of(Bounds(headers=0.05, keep_alive=LONG)) as place:
        wire = await place.call(GET)
        first = await answer(wire)
        wire[1].write(GET[:10])

        assert "here" == first
        assert await is_over(wire)


async def test_connection_is_kept_for_the_next_request_and_closed_when_idle() -> None:
    """Requests follow each other on one connection; without one for the time of keep-alive it is closed."""
    async with place_of(Bounds(headers=LONG, keep_alive=0.2)) as place:
        wire = await place.call(GET)
        first = await answer(wire)
        wire[1].write(GET)
        second = await answer(wire)

        assert ["here", "here"] == [first, second]
        assert await is_over(wire)
        assert 0 == place.door.open


async def test_answer_that_is_not_taken_is_given_up() -> None:
    """Whoever asks and does not read the answer is closed like an idle connection."""
    async with place_of(Bounds(headers=LONG, keep_alive=0.2)) as place:
        reader, writer = await place.call(b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n")
        # The reader takes 64 KiB and then no more from the socket.
        await reader.readexactly(1)
        while place.door.open:  # noqa: ASYNC110 - there is nothing of ours to wait on at the other side
            await asyncio.sleep(0)

        assert await is_over((reader, writer))


async def test_one_more_than_the_most_closes_the_oldest_idle() -> None:
    """Full of unfinished requests, it closes that which got on last of all, and answers who comes."""
    async with place_of(Bounds(connections=4, headers=LONG, keep_alive=LONG)) as place:
        wires = [await place.call(GET) for _ in range(4)]
        for wire in wires:
            await answer(wire)
        wires[0][1].write(GET)
        await answer(wires[0])

        late = await place.call(GET)

        assert "here" == await answer(late)
        assert await is_over(wires[1])
        assert 4 == place.door.open
        for wire in (wires[0], wires[2], wires[3]):
            wire[1].write(GET)
            assert "here" == await answer(wire)


async def test_flood_of_unfinished_requests_leaves_room() -> None:
    """However many begin a request and do not end it, the bound holds and whole requests are answered."""
    async with place_of(Bounds(connections=8, headers=LONG, keep_alive=LONG)) as place:
        most, said = 0, []
        for _ in range(50):
            await place.call(GET[:12])
            most = max(most, place.door.open)
            said.append(await answer(await place.call(GET)))

        assert ["here"] * 50 == said
        assert most <= 8


@pytest.mark.parametrize(
    "said",
    [
        b"GET /text HTTP/1.1\r\nHost: x\r\n" + b"".join(b"X-%d: y\r\n" % number for number in range(100)) + b"\r\n",
        b"GET /text HTTP/1.1\r\nHost: x\r\nX-A: " + b"y" * 5_000 + b"\r\n\r\n",
        b"GET /" + b"y" * 5_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"\x16\x03\x01 this is no HTTP\r\n\r\n",
    ],
)
async def test_headers_are_bounded(said: bytes, caplog: pytest.LogCaptureFixture) -> None:
    """Many headers, long ones, long paths and what is no request are refused and closed, and fill no log."""
    async with place_of(Bounds(headers=LONG, keep_alive=LONG)) as place:
        wire = await place.call(said)

        assert b" 400 " in await wire[0].readline()
        assert await is_over(wire)
        assert not [record for record in caplog.records if record.levelname in {"WARNING", "ERROR"}]


async def test_mistake_of_our_own_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """What fails in answering is our own affair, and stands in the log."""
    async with place_of(Bounds()) as place:
        wire = await place.call(b"GET /fails HTTP/1.1\r\nHost: x\r\n\r\n")

        assert b" 500 " in await wire[0].readline()

    assert ["a mistake"] == [str(record.exc_info[1]) for record in caplog.records if record.exc_info]


async def test_body_is_not_waited_for() -> None:
    """A request with a body that does not come is answered, and the connection closed."""
    async with place_of(Bounds(headers=LONG, keep_alive=LONG)) as place:
        wire = await place.call(b"POST /text HTTP/1.1\r\nHost: x\r\nContent-Length: 100000000\r\n\r\nabc")

        assert b" 405 " in await wire[0].readline()
        assert await is_over(wire)
        assert 0 == place.door.open


async def test_close_ends_what_is_open() -> None:
    """To close it does not wait for requests that do not end."""
    async with place_of(Bounds(headers=LONG, keep_alive=LONG)) as place:
        wires = [await place.call(GET[:9]), await place.call(GET)]
        await answer(wires[1])
        await place.door.close()

        assert [True, True] == [await is_over(wire) for wire in wires]
