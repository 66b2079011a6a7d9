"""The agent's client: kubeconfigs, errors, and watches that survive what servers do to them."""

import asyncio
import base64
import json
import pathlib
from collections.abc import AsyncIterator
from typing import Any

import pytest
import yaml
from aiohttp import test_utils, web

from tidegate_sandbox.node_agent import api

PODS = "/api/v1/pods"


def kubeconfig(path: pathlib.Path, cluster: dict[str, Any], user: dict[str, Any]) -> pathlib.Path:
    path.write_text(
        yaml.safe_dump(
            {
                "current-context": "here",
                "contexts": [{"name": "here", "context": {"cluster": "local", "user": "me"}}],
                "clusters": [{"name": "local", "cluster": cluster}],
                "users": [{"name": "me", "user": user}],
            }
        )
    )
    return path


def test_a_token_becomes_a_header(tmp_path: pathlib.Path):
    """The token of the current context's user authenticates every request."""
    access = api.load_kubeconfig(kubeconfig(tmp_path / "config", {"server": "http://127.0.0.1:1/"}, {"token": "t"}))

    assert access == api.Access("http://127.0.0.1:1", {"Authorization": "Bearer t"}, None)


def test_a_token_file_beside_the_kubeconfig(tmp_path: pathlib.Path):
    """A token may come from a file."""
    (tmp_path / "token").write_text("t\n")
    config = kubeconfig(tmp_path / "config", {"server": "http://127.0.0.1:1"}, {"tokenFile": str(tmp_path / "token")})

    assert api.load_kubeconfig(config).headers == {"Authorization": "Bearer t"}


def test_an_https_server_is_verified_unless_told_otherwise(tmp_path: pathlib.Path):
    """Certificates are verified by default and not at all with insecure-skip-tls-verify."""
    cluster = {"server": "https://127.0.0.1:1"}
    strict = api.load_kubeconfig(kubeconfig(tmp_path / "a", cluster, {}))
    lax = api.load_kubeconfig(kubeconfig(tmp_path / "b", {**cluster, "insecure-skip-tls-verify": True}, {}))

    assert strict.tls is not None
    assert lax.tls is not None
    assert (strict.tls.check_hostname, lax.tls.check_hostname) == (True, False)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("{}", "current-context"),
        ("[", "kubeconfig"),
        ("{current-context: here}", "no entry 'here' in contexts"),
    ],
)
def test_a_broken_kubeconfig_is_refused(tmp_path: pathlib.Path, text: str, complaint: str):
    """The message names the part that is missing."""
    (tmp_path / "config").write_text(text)

    with pytest.raises(api.KubeconfigError, match=complaint):
        api.load_kubeconfig(tmp_path / "config")


def test_a_missing_kubeconfig_is_refused(tmp_path: pathlib.Path):
    """The message names the file."""
    with pytest.raises(api.KubeconfigError, match=r"absent: .*No such file"):
        api.load_kubeconfig(tmp_path / "absent")


def test_a_certificate_that_is_no_certificate_is_refused(tmp_path: pathlib.Path):
    """A CA of the wrong form ends in a message, not in a trace."""
    data = base64.b64encode(b"no certificate").decode()
    config = kubeconfig(tmp_path / "config", {"server": "https://127.0.0.1:1", "certificate-authority-data": data}, {})

    with pytest.raises(api.KubeconfigError):
        api.load_kubeconfig(config)


class PodServer:
    """A loopback HTTP server that plays a written sequence of answers to lists and watches."""

    def __init__(self) -> None:
        self.lists: list[Any] = []
        self.watches: list[list[Any]] = []
        self.requests: list[str] = []

    async def answer(self, request: web.Request) -> web.StreamResponse:
        if "watch" not in request.query:
            self.requests.append("list")
            found = self.lists.pop(0)
            return found if isinstance(found, web.Response) else web.json_response(found)
        self.requests.append(f"watch from {request.query['resourceVersion']}")
        response = web.StreamResponse()
        await response.prepare(request)
        if not self.watches:
            await asyncio.sleep(30)
        for event in self.watches.pop(0):
            line = event if isinstance(event, bytes) else json.dumps(event).encode() + b"\n"
            await response.write(line)
        return response


def pod(name: str, version: str) -> dict[str, Any]:
    return {"metadata": {"name": name, "resourceVersion": version}}


def listed(version: str, *names: str) -> dict[str, Any]:
    return {"metadata": {"resourceVersion": version}, "items": [pod(name, version) for name in names]}


def event(kind: str, name: str, version: str) -> dict[str, Any]:
    return {"type": kind, "object": pod(name, version)}


@pytest.fixture
async def server() -> AsyncIterator[PodServer]:
    return PodServer()


async def observe(server: PodServer, count: int) -> list[str]:
    """Run a reflector against the server until ``count`` things were told, and return them."""
    told: list[str] = []
    app = web.Application()
    app.router.add_get(PODS, server.answer)
    async with test_utils.TestServer(app, host="127.0.0.1") as running:
        access = api.Access(f"http://127.0.0.1:{running.port}", {}, None)
        async with api.ApiClient(access, "test") as client:
            reflector = api.Reflector(
                client,
                PODS,
                {"fieldSelector": "spec.nodeName=a"},
                lambda found: told.append("list " + ",".join(entry["metadata"]["name"] for entry in found)),
                lambda kind, obj: told.append(f"{kind} {obj['metadata']['name']}"),
            )
            task = asyncio.create_task(reflector.run())
            async with asyncio.timeout(10):
                while len(told) < count:  # noqa: ASYNC110 - the reflector tells by plain callbacks
                    await asyncio.sleep(0.005)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
    return told


async def test_changes_follow_the_list(server: PodServer):
    """Given a list, when pods change, then each change is told once; bookmarks only move the version on."""
    server.lists = [listed("5", "a")]
    server.watches = [[event("ADDED", "b", "6"), event("BOOKMARK", "", "9")], [event("DELETED", "a", "10")]]

    told = await observe(server, 3)

    assert told == ["list a", "ADDED b", "DELETED a"]
    assert server.requests[:3] == ["list", "watch from 5", "watch from 9"]


async def test_a_version_too_old_starts_over(server: PodServer):
    """Given a watch that expired, when the server says 410, then everything is listed again."""
    gone = {"type": "ERROR", "object": {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old"}}
    server.lists = [listed("5", "a"), listed("50", "a", "c")]
    server.watches = [[gone], [event("MODIFIED", "c", "51")]]

    told = await observe(server, 3)

    assert told == ["list a", "list a,c", "MODIFIED c"]


async def test_a_cut_off_stream_goes_on_from_the_last_event(server: PodServer):
    """Given a connection that broke in the middle of an event, then the watch resumes from the last whole one."""
    server.lists = [listed("5", "a")]
    server.watches = [[event("ADDED", "b", "6"), b'{"type": "MODI'], [event("MODIFIED", "b", "7")]]

    told = await observe(server, 3)

    assert told == ["list a", "ADDED b", "MODIFIED b"]
    assert server.requests[:3] == ["list", "watch from 5", "watch from 6"]


async def test_a_server_that_refuses_is_asked_again(server: PodServer):
    """Given an overloaded server, when the list fails, then it is tried again after a pause."""
    refusal = web.json_response({"kind": "Status", "reason": "TooManyRequests", "message": "slow down"}, status=429)
    server.lists = [refusal, web.Response(status=503, text="upstream down"), listed("5", "a")]

    told = await observe(server, 1)

    assert told == ["list a"]


async def test_a_refusal_names_reason_and_message():
    """A request that the server refuses raises with what the server said."""

    async def refuse(_: web.Request) -> web.Response:
        status = {"kind": "Status", "reason": "Forbidden", "message": 'nodes is forbidden: User "x" cannot create'}
        return web.json_response(status, status=403)

    app = web.Application()
    app.router.add_post("/api/v1/nodes", refuse)
    async with (
        test_utils.TestServer(app, host="127.0.0.1") as running,
        api.ApiClient(api.Access(f"http://127.0.0.1:{running.port}", {}, None), "test") as client,
    ):
        with pytest.raises(api.ApiError, match='403 Forbidden: nodes is forbidden: User "x" cannot create') as caught:
            await client.request("POST", "/api/v1/nodes", body={})

    assert (caught.value.status, caught.value.reason) == (403, "Forbidden")
