"""What kubectl logs is given."""

import asyncio
import pathlib
import shutil
import socket

import aiohttp
import pytest

from tidegate_sandbox.node_agent import logs


@pytest.mark.parametrize(
    ("content", "lines", "rest"),
    [
        (b"a\nb\nc\n", 2, b"b\nc\n"),
        (b"a\nb\nc", 2, b"b\nc"),
        (b"a\nb\n", 9, b"a\nb\n"),
        (b"a\nb\n", 0, b""),
        (b"", 3, b""),
    ],
)
def test_the_last_lines_are_found(content: bytes, lines: int, rest: bytes):
    """A tail begins at a line, and an unfinished last line counts."""
    assert content[logs.tail_start(content, lines) :] == rest


async def test_logs_are_served_and_followed(tmp_path: pathlib.Path):
    """A log is sent as it is, its tail alone where asked for, and followed until the container ends."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    file = tmp_path / "0.log"
    file.write_text("one\ntwo\n")
    alive = True

    def find(namespace: str, pod: str, container: str, previous: bool) -> logs.LogFile | None:
        return logs.LogFile(file, lambda: alive) if (namespace, pod, container) == ("shop", "checkout", "app") else None

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = asyncio.create_task(logs.serve("127.0.0.1", find, tmp_path, port))
    url = f"https://127.0.0.1:{port}/containerLogs/shop/checkout"
    async with aiohttp.ClientSession() as session:

        async def get(path: str) -> tuple[int, str]:
            async with asyncio.timeout(10):
                while True:
                    try:
                        async with session.get(url + path, ssl=False) as answer:
                            return answer.status, await answer.text()
                    except aiohttp.ClientConnectorError:
                        await asyncio.sleep(0.02)

        whole, tail, absent = await get("/app"), await get("/app?tailLines=1"), await get("/sidecar")
        following = asyncio.create_task(get("/app?follow=true"))
        await asyncio.sleep(0.05)
        with file.open("a") as log:
            log.write("three\n")
        alive = False
        followed = await following
    server.cancel()
    await asyncio.gather(server, return_exceptions=True)

    assert (whole, tail) == ((200, "one\ntwo\n"), (200, "two\n"))
    assert absent == (404, 'container "sidecar" in pod "checkout" not found')
    assert followed == (200, "one\ntwo\nthree\n")
