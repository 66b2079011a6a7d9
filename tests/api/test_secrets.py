"""Credentials for Prometheus come out nowhere, although the server tells everything that it was sent."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from api.cluster_access import needs_api
from api.operator_access import NAME, Json, Scene, install, scene_in
from tidegate.cluster.resources import EVENTS, RELEASES

pytestmark = needs_api

TOKEN, PASSWORD, KEY = "tok-3f9a7c21d4", "pass-81b2e6f0aa", "key-5d0c94e7bb"
BASIC = base64.b64encode(f"tidegate:{PASSWORD}".encode()).decode()
STEPS = [{"weight": 50, "hold": "10m"}, {"weight": 100}]


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    await asyncio.to_thread(install)
    async with scene_in(tmp_path) as scene:
        yield scene


class Echo:
    """A server, or a proxy before one, that answers with all that it was sent: as Prometheus says an error, as text, as a label."""

    def __init__(self) -> None:
        self.heard: set[str] = set()
        app = web.Application()
        app.router.add_route("*", "/{way}/api/v1/query", self._answer)
        self.server = TestServer(app, host="127.0.0.1")

    async def _answer(self, request: web.Request) -> web.Response:
        self.heard |= {str(value) for value in request.headers.values()}
        said = " ".join(f"{name}={value}" for name, value in request.headers.items())
        match request.match_info["way"]:
            case "error":
                # The secret lies across the place at which long messages are cut.
                document = {"status": "error", "errorType": "bad_data", "error": "x" * 480 + said}
                return web.json_response(document, status=400)
            case "text":
                return web.Response(status=502, text=said, reason=f"Bad {said[:60]}")
            case _:
                series = [{"metric": {"said": said, "n": str(number)}, "value": [0, "1"]} for number in range(3)]
                return web.json_response(
                    {"status": "success", "warnings": [said], "data": {"resultType": "vector", "result": series}}
                )


@asynccontextmanager
async def echo() -> AsyncIterator[Echo]:
    server = Echo()
    await server.server.start_server()
    try:
        yield server
    finally:
        await server.server.close()


def connections(server: Echo, folder: Path) -> Iterator[Json]:
    """Yield connections of every kind of credential to every way of echoing, and one whose file is missing."""
    for name, content in (("token", TOKEN), ("password", PASSWORD), ("key", KEY)):
        (folder / name).write_text(content)
    ways: dict[str, Json] = {
        "token": {"bearerTokenFile": str(folder / "token")},
        "basic": {"basicAuth": {"username": "tidegate", "passwordFile": str(folder / "password")}},
        "header": {"headers": {"X-Api-Key": {"fromFile": str(folder / "key")}}},
    }
    for how in ("error", "text", "label"):
        address = str(server.server.make_url(f"/{how}")).rstrip("/")
        yield from ({"name": f"{way}-{how}", "address": address, **given} for way, given in ways.items())
    yield {"name": "missing", "address": address, "bearerTokenFile": str(folder / "none")}
    tls = {"certFile": str(folder / "crt"), "keyFile": str(folder / "private-key"), "caFile": str(folder / "ca")}
    yield {"name": "tls", "address": "https://127.0.0.1:1", "tls": tls}


def gates(names: list[str]) -> list[Json]:
    metric = {"promql": {"canary": "up"}}
    base = {"metric": metric, "threshold": {"max": 1}, "interval": "1s", "judge": "Limit", "onBreach": "Warn"}
    return [{"name": f"gate-{name}", "connection": name, **base} for name in names]


async def test_secrets_come_out_nowhere(scene: Scene, tmp_path: Path) -> None:
    """No secret, no encoded form of one and no path of its file stands in a status, an Event, the log, a metric or a probe.

    Given an operator that logs all it can, and a server that echoes headers in errors, texts, warnings and labels.
    """
    folder = tmp_path / "mounted-secrets"
    folder.mkdir()
    async with echo() as server:
        known = list(connections(server, folder))
        await scene.start(connections=known, logLevel="debug")
        await scene.policy(steps=STEPS, gates=gates([one["name"] for one in known]))
        await scene.deployment()
        await scene.release()
        await scene.idle()
        await scene.set_image("checkout:v2")
        status = await scene.until(lambda status: len(status.get("gates") or ()) == len(known) and _all_told(status))
        for path in ("/metrics", "/readyz", "/healthz"):
            (tmp_path / path.strip("/")).write_text((await scene.operator.ask(path))[1])
        await scene.events("RolloutStarted")
        events = [event["message"] for event in (await scene.admin.list(EVENTS.path(scene.namespace))).items]
        release = await scene.admin.get(RELEASES.path(scene.namespace, NAME))
        await scene.operator.end()

    out = {"status": json.dumps(release), "Events": json.dumps(events), "log": scene.operator.log.read_text()}
    out |= {name: (tmp_path / name).read_text() for name in ("metrics", "readyz", "healthz")}
    secrets = [TOKEN, PASSWORD, KEY, BASIC, str(folder), TOKEN[:8], PASSWORD[:8], KEY[:8]]
    found = [(place, secret) for place, text in out.items() for secret in secrets if secret in text]
    assert {f"Bearer {TOKEN}", f"Basic {BASIC}", KEY} <= server.heard
    assert [] == found
    told = {gate["name"]: gate["message"] for gate in status["gates"]}
    assert "***" in told["gate-token-error"] or told["gate-token-error"].endswith("(HTTP 400)")
    assert "cannot read bearerTokenFile: No such file or directory" in told["gate-missing"]
    assert "tls." in told["gate-tls"]


def _all_told(status: Json) -> bool:
    return all("Prometheus connection" in gate["message"] or "series" in gate["message"] for gate in status["gates"])
