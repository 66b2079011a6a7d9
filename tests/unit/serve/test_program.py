"""`tidegate serve` as a process: where it listens, and where it refuses to."""

from __future__ import annotations

import asyncio
from pathlib import Path

import aiohttp
import pytest

from operator_process import without_api_server
from tidegate.runtime.errors import Terminal
from tidegate.serve.program import Options, serve


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.7", "serve.example"])
async def test_tokens_do_not_cross_the_network_in_clear(host: str) -> None:
    with pytest.raises(Terminal, match=r"tokens of people would cross the network in clear.*--tls-cert"):
        await serve(Options(host, 0), asyncio.Event())


async def test_certificate_and_key_belong_together(tmp_path: Path) -> None:
    with pytest.raises(Terminal, match="--tls-cert and --tls-key belong together"):
        await serve(Options("0.0.0.0", 0, certificate=tmp_path / "tls.crt"), asyncio.Event())


async def test_a_certificate_that_is_none_is_said(tmp_path: Path) -> None:
    """By its file, and without a word of what is in it."""
    for name in ("tls.crt", "tls.key"):
        (tmp_path / name).write_text("s3cret")
    with pytest.raises(Terminal, match=r"tls\.crt: cannot be used: it is no certificate with its key") as raised:
        await serve(Options("0.0.0.0", 0, certificate=tmp_path / "tls.crt", key=tmp_path / "tls.key"), asyncio.Event())
    assert "s3cret" not in str(raised.value)


async def test_it_answers_until_it_is_told_to_end(tmp_path: Path) -> None:
    """Even while the API server is away, and then says so."""
    stop, port = asyncio.Event(), asyncio.get_running_loop().create_future()
    options = Options("127.0.0.1", 0, kubeconfig=str(without_api_server(tmp_path)))
    serving = asyncio.create_task(serve(options, stop, port))
    address = f"http://127.0.0.1:{await port}"
    async with aiohttp.ClientSession(headers={"Authorization": "Bearer ann"}) as session:
        async with session.get(f"{address}/openapi.json") as response:
            document = await response.json()
        async with session.get(f"{address}/api/releases?namespace=shop") as response:
            away, told = response.status, await response.json()
    stop.set()
    await serving

    assert "3.1.0" == document["openapi"]
    assert (503, False, "unavailable") == (away, told["success"], told["error"]["code"])
