"""The operator as a process whose configuration opens the port for pushed samples."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from api.cluster_access import needs_api
from api.operator_access import Scene, install, scene_in
from unit.prometheus.pushed import packed, series, v2

pytestmark = needs_api
TOKEN = "the-token-of-an-agent"
HEADERS = {
    "Content-Type": "application/x-protobuf;proto=io.prometheus.write.v2.Request",
    "Content-Encoding": "snappy",
    "Authorization": f"Bearer {TOKEN}",
}


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    await asyncio.to_thread(install)
    (tmp_path / "token").write_text(TOKEN)
    async with scene_in(tmp_path) as scene:
        yield scene


def push(scene: Scene, port: int = 0) -> dict[str, object]:
    sender = {"name": "agent", "namespaces": [scene.namespace], "tokenFile": str(scene.folder / "token")}
    return {"host": "127.0.0.1", "port": port, "plainHttp": True, "senders": [sender]}


async def test_samples_are_taken_once_it_works(scene: Scene) -> None:
    """Once it works it listens, answers whom it knows, counts what came in its metrics, and ends well."""
    operator = await scene.start(push=push(scene))
    port = (await operator.told("samples may be pushed"))["port"]
    body = packed(v2(series("http_requests_total", (int(time.time() * 1000), 1.0), pod="a")))

    async with aiohttp.ClientSession() as session:
        address = f"http://127.0.0.1:{port}/api/v1/write"
        answers = []
        for headers in (HEADERS, HEADERS | {"Authorization": "Bearer another-token-altogether"}):
            async with session.post(address, data=body, headers=headers) as answer:
                answers.append((answer.status, answer.headers.get("X-Prometheus-Remote-Write-Samples-Written")))
    _, metrics = await operator.ask("/metrics")
    status, _ = await operator.end()

    assert answers == [(204, "1"), (401, None)]
    assert 'tidegate_push_requests_total{code="204",sender="agent"} 1.0' in metrics
    assert 'tidegate_push_samples_total{outcome="unwanted",sender="agent"} 1.0' in metrics
    assert status == 0
    assert TOKEN not in operator.log.read_text()


async def test_port_that_is_taken_is_said(scene: Scene) -> None:
    """It does not work without the port that its configuration opens: it ends with status 2 and names it."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        operator = await scene.start(push=push(scene, port), ready=False)
        status = await operator.ended(30)

    assert status == 2
    assert f"cannot listen on 127.0.0.1:{port}" in operator.tail(1000)
