"""Requests that are made with the token of whoever asks: with that one, and never with another's or the process' own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import yaml
from aiohttp import web

from tidegate.cluster.callers import as_caller, connect_for_callers
from tidegate.cluster.client import Cluster
from tidegate.runtime.errors import Terminal


@pytest.fixture
async def server() -> AsyncIterator[str]:
    """Answers with the token that it was shown, after letting all others go first."""

    async def answer(request: web.Request) -> web.Response:
        await asyncio.sleep(0)
        return web.json_response({"shown": request.headers.get("Authorization")})

    app = web.Application()
    app.router.add_get("/{rest:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


def kubeconfig(folder: Path, server: str, **user: str) -> str:
    file = folder / "kubeconfig"
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "here",
        "clusters": [{"name": "here", "cluster": {"server": server}}],
        "users": [{"name": "owner", "user": user}],
        "contexts": [{"name": "here", "context": {"cluster": "here", "user": "owner"}}],
    }
    file.write_text(yaml.safe_dump(document))
    return str(file)


async def test_each_is_asked_for_with_their_own(server: str, tmp_path: Path) -> None:
    """Forty at once over the same connections, each in a task of its own."""
    async with Cluster(await connect_for_callers(kubeconfig(tmp_path, server, token="the-owners"))) as cluster:

        async def ask(name: str) -> str:
            with as_caller(name):
                await asyncio.sleep(0)
                return str((await cluster.get("/version"))["shown"])

        names = [f"token-{number}" for number in range(40)]
        assert [f"Bearer {name}" for name in names] == await asyncio.gather(*map(ask, names))


async def test_without_a_caller_nothing_is_sent(server: str, tmp_path: Path) -> None:
    """Not even with the token of the kubeconfig."""
    async with Cluster(await connect_for_callers(kubeconfig(tmp_path, server, token="the-owners"))) as cluster:
        with pytest.raises(LookupError):
            await cluster.get("/version")
        with as_caller("ann"):
            assert {"shown": "Bearer ann"} == await cluster.get("/version")
        with pytest.raises(LookupError):
            await cluster.get("/version")


async def test_a_client_certificate_is_forgotten(server: str, tmp_path: Path) -> None:
    """With one, everybody would be its owner: it is not so much as read."""
    none = str(tmp_path / "no-such-certificate.pem")
    user = {"client-certificate": none, "client-key": none}
    found = kubeconfig(tmp_path, server, **user)

    async with Cluster(await connect_for_callers(found)) as cluster:
        with as_caller("ann"):
            assert {"shown": "Bearer ann"} == await cluster.get("/version")


async def test_a_kubeconfig_that_cannot_be_read_is_said(tmp_path: Path) -> None:
    with pytest.raises(Terminal, match="cannot read how to reach the Kubernetes API"):
        await connect_for_callers(str(tmp_path / "none"))
