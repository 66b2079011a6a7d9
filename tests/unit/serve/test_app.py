"""The HTTP API as an application, before a server that knows some tokens: who is let in, how often, and what they are told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st
from structlog.processors import format_exc_info
from structlog.testing import capture_logs

from tidegate.cluster.callers import connect_for_callers
from tidegate.cluster.client import Cluster
from tidegate.runtime.clock import ManualClock
from tidegate.serve import actions
from tidegate.serve import app as module
from tidegate.serve.app import CALLER, LARGEST_BODY, STRANGER, Service
from tidegate.serve.bodies import Decide, Prepare, Promote
from tidegate.serve.turns import READ_LISTS_AT_ONCE
from unit.cluster.test_callers import kubeconfig
from unit.controller.api_server import settled
from unit.docs.pages import ROOT

DECIDE = "/api/releases/decide?namespace=shop"
NONE = {"apiVersion": "tidegate.dev/v1alpha1", "kind": "ReleaseList", "items": [], "metadata": {"resourceVersion": "1"}}
RECORD = yaml.safe_load((ROOT / "tests" / "corpus" / "valid" / "record-least.yaml").read_text(encoding="utf-8"))
ODD = {
    "releases": b'{"apiVersion": "v1", "kind": "ReleaseList", "metadata": {"resourceVersion": "1"}, "items": [{"metadata": 7}]}',
    "list": b"[]",
    "text": b'"odd"',
    "bare": b"{}",
    "spec": b'{"metadata": {"namespace": "odd", "name": "spec", "uid": "1"}, "spec": {"targetRef": {"kind": "s3cret"}}}',
    "status": b'{"metadata": {"namespace": "odd", "name": "a", "uid": "1"}, "spec": '
    b'{"targetRef": {"name": "a"}, "policyRef": {"name": "p"}}, "status": []}',
}
"""What no API server answers, and what stands in between may."""
_LAST = {"version": "v1", "revision": "r1", "outcome": "Superseded", "cause": "Superseded"}
TWICE = {
    "apiVersion": "tidegate.dev/v1alpha1",
    "kind": "Release",
    "metadata": {"namespace": "twice", "name": "checkout", "uid": "1"},
    "spec": {"targetRef": {"name": "a"}, "policyRef": {"name": "p"}},
    "status": {
        "rollout": {"policy": "p", "startedAt": "2026-01-01T00:09:40Z", "spec": {"steps": [{"weight": 100}]}},
        "candidate": {"revision": "r2", "version": "v2", "digest": f"sha256:{'0' * 64}"},
        "lastRollout": {**_LAST, "startedAt": "2026-01-01T00:09:05Z", "finishedAt": "2026-01-01T00:09:40Z"},
    },
}
"""A Release of which one version superseded another within a minute."""
NOT_FOUND = {"kind": "Status", "code": 404, "reason": "NotFound", "message": 'releases.tidegate.dev "none" not found'}


@dataclass
class Slow:
    """Lists that are not answered before a test says so."""

    under_way: int = 0
    most: int = 0
    enough: asyncio.Event = field(default_factory=asyncio.Event)
    answer: asyncio.Event = field(default_factory=asyncio.Event)

    async def wait(self) -> None:
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        if self.under_way == READ_LISTS_AT_ONCE:
            self.enough.set()
        await self.answer.wait()
        self.under_way -= 1


@dataclass
class There:
    """The application, and what the API server was asked."""

    address: str
    clock: ManualClock
    session: aiohttp.ClientSession
    asked: list[str] = field(default_factory=list)
    slow: Slow = field(default_factory=Slow)

    async def ask(
        self, verb: str, path: str, token: str | None = "ann", **more: Any
    ) -> tuple[int, dict[str, Any], Mapping[str, str]]:
        headers = {**more.pop("headers", {}), **({"Authorization": f"Bearer {token}"} if token else {})}
        async with self.session.request(verb, f"{self.address}{path}", headers=headers, **more) as response:
            return response.status, await response.json(), response.headers


@pytest.fixture
async def there(tmp_path: Path) -> AsyncIterator[There]:
    """The API server knows ann, bob and cay, and has no Releases."""
    asked: list[str] = []
    slow = Slow()

    async def answer(request: web.Request) -> web.Response:
        token = request.headers.get("Authorization", "").removeprefix("Bearer ")
        asked.append(f"{token} {request.method} {request.path}")
        if "/away/" in request.path:
            return web.json_response({"kind": "Status", "code": 503, "message": "no"}, status=503)
        if token not in {"ann", "bob", "cay"}:
            return web.json_response({"kind": "Status", "code": 401, "reason": "Unauthorized", "message": "no"}, status=401)
        if "/slow/" in request.path and request.path.endswith("/releases"):
            await slow.wait()
        if "/odd/" in request.path:
            return web.Response(body=ODD[request.path.rsplit("/", 1)[-1]], content_type="application/json")
        if request.path.endswith("/releaserecords") and "archive" in request.path:
            return web.json_response({**NONE, "kind": "ReleaseRecordList", "items": [RECORD]})
        if request.method == "POST" and "/twice/" in request.path:
            return web.json_response({**await request.json(), "metadata": {"name": "made"}}, status=201)
        if request.path.endswith("/twice/releases"):
            return web.json_response({**NONE, "items": [TWICE]})
        if request.path.endswith("/releases"):
            return web.json_response(NONE)
        return web.json_response(NOT_FOUND, status=404)

    server = web.Application()
    server.router.add_route("*", "/{rest:.*}", answer)
    runner = web.AppRunner(server)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    clock = ManualClock()
    async with Cluster(await connect_for_callers(kubeconfig(tmp_path, f"http://127.0.0.1:{runner.addresses[0][1]}"))) as cluster:
        ours = web.AppRunner(Service(cluster, clock).application())
        await ours.setup()
        await web.TCPSite(ours, "127.0.0.1", 0).start()
        async with aiohttp.ClientSession() as session:
            yield There(f"http://127.0.0.1:{ours.addresses[0][1]}", clock, session, asked, slow)
        await ours.cleanup()
    await runner.cleanup()


@pytest.mark.parametrize(
    ("verb", "path", "more", "status", "words"),
    [
        ("GET", "/api/releases", {}, 400, "give the namespace"),
        ("GET", "/api/releases?namespace=Shop", {}, 400, "it is not the name of one"),
        ("GET", "/api/releases?namespace=shop", {"headers": {"X-Tenant-Slug": "bank"}}, 400, "2 are given"),
        ("GET", "/api/releases/..%2f..%2fsecrets?namespace=shop", {}, 404, "neither the id of a rollout nor the name"),
        ("GET", "/api/releases/none?namespace=shop", {}, 404, "not found"),
        ("GET", "/api/releases/rel_20240115_1200?namespace=shop", {}, 404, "no rollout rel_20240115_1200 of namespace shop"),
        ("GET", "/api/nothing", {}, 404, "there is no GET /api/nothing here"),
        ("DELETE", "/api/releases", {}, 405, "DELETE is not for this path"),
        ("GET", "/api/releases/prepare?namespace=shop", {}, 405, "GET is not for this path"),
        ("GET", "/api/releases/prepare-1?namespace=shop", {}, 404, "not found"),
        ("POST", "/api/releases/promote?namespace=shop", {"data": b"{}"}, 415, "the body must be JSON"),
        ("POST", "/api/releases/promote?namespace=shop", {"json": {}}, 422, "release_id: is required"),
        ("POST", "/api/releases/promote?namespace=shop", {"json": {"release_id": "Q"}}, 422, "release_id: must match the pattern"),
        (
            "POST",
            "/api/releases/prepare?namespace=shop",
            {"json": {"from_env": "dev", "to_env": "prod", "bundle": 1}},
            422,
            "bundle: there is no such field",
        ),
        (
            "POST",
            "/api/releases/prepare?namespace=shop",
            {"json": {"from_env": "dev", "to_env": "prod"}},
            404,
            "namespace shop has no Release with spec.environment prod",
        ),
        ("GET", "/api/releases?namespace=shop&namespace=bank", {}, 400, "2 are given"),
        ("GET", "/health?namespace=Shop", {}, 400, "it is not the name of one"),
        ("POST", DECIDE, {"json": {"release_id": "a"}}, 422, "action: is required"),
        ("POST", DECIDE, {"json": {"release_id": "a", "action": "Blame"}}, 422, "action: must be one of Approve, Reject, "),
        ("POST", DECIDE, {"json": {"release_id": "a", "action": "Pause", "role": "qa"}}, 422, "role: there is no such field"),
        ("POST", DECIDE, {"json": {"release_id": "a", "action": "Rollback", "hold": "yes"}}, 422, "hold: must be true or false"),
        (
            "POST",
            DECIDE,
            {"json": {"release_id": "a", "action": "Approve", "role": "status"}},
            422,
            "role: no-such-role and status are reserved",
        ),
        (
            "POST",
            "/api/releases/decide?namespace=shop",
            {"json": {"release_id": "a", "action": "Approve"}},
            422,
            "role: is required",
        ),
    ],
)
async def test_refusals_name_field_and_cause(
    there: There, verb: str, path: str, more: dict[str, Any], status: int, words: str
) -> None:
    found, answer, headers = await there.ask(verb, path, **more)

    assert (status, False) == (found, answer["success"]), answer
    assert words in answer["error"]["message"]
    assert headers["X-Request-Id"] == answer["error"]["request_id"]
    assert "no-store" == headers["Cache-Control"]


async def test_large_bodies_are_refused(there: There) -> None:
    body = {"release_id": "checkout", "reason": "x" * LARGEST_BODY}
    status, answer, _ = await there.ask("POST", "/api/releases/rollback?namespace=shop", json=body)

    assert (413, "too_large") == (status, answer["error"]["code"])
    assert [] == there.asked


@pytest.mark.parametrize("token", [None, "two words", "x" * 20_000, "ann\t"])
async def test_what_is_no_token_goes_no_further(there: There, token: str | None) -> None:
    if token is not None and len(token) > 8190:
        pytest.skip("this server refuses such a header by itself")
    status, answer, headers = await there.ask("GET", "/api/releases?namespace=shop", token=token and token.strip())

    assert status == (200 if token == "ann\t" else 401)
    assert token == "ann\t" or 'Bearer realm="tidegate"' == headers["WWW-Authenticate"], answer


async def test_a_token_that_nobody_knows_is_said(there: There) -> None:
    status, answer, _ = await there.ask("GET", "/api/releases?namespace=shop", token="eve")

    assert (401, "unauthorized") == (status, answer["error"]["code"])
    assert "eve" not in str(answer)


async def test_each_has_their_own_bucket(there: There) -> None:
    """Ann asks as often as she may and is told when to come back; Bob is answered meanwhile."""
    path = "/api/releases?namespace=shop"
    await there.ask("GET", path, token="ann")
    found = [(await there.ask("GET", path, token="ann"))[0] for _ in range(int(CALLER.burst) + 2)]
    _, answer, headers = await there.ask("GET", path, token="ann")
    bob = await there.ask("GET", path, token="bob")
    there.clock.advance(1.0)
    again = await there.ask("GET", path, token="ann")

    assert {200: CALLER.burst, 429: 2} == {status: found.count(status) for status in set(found)}
    assert ("too_many_requests", "1") == (answer["error"]["code"], headers["Retry-After"])
    assert (200, 200) == (bob[0], again[0])


async def test_lists_take_turns_and_keep_nothing_else_waiting(there: There) -> None:
    """However many ask for all Releases of a namespace, few lists are in hand; who asks for one Release is answered meanwhile."""
    await there.ask("GET", "/api/releases?namespace=shop")
    tokens = [token for _ in range(6) for token in ("ann", "bob")]
    lists = [asyncio.create_task(there.ask("GET", "/api/releases?namespace=slow", token=token)) for token in tokens]
    await asyncio.wait_for(there.slow.enough.wait(), 5)
    one = await asyncio.wait_for(there.ask("GET", "/api/releases/none?namespace=slow"), 5)
    there.slow.answer.set()
    found = await asyncio.gather(*lists)

    assert 404 == one[0]
    assert {200} == {status for status, _, _ in found}
    assert READ_LISTS_AT_ONCE == there.slow.most


@pytest.mark.parametrize("who", ["ann", "bob"])
async def test_lists_that_hang_keep_no_rollback_waiting(there: There, who: str) -> None:
    """Given ten lists of one token that hang, then a rollback by id reaches the API server, hers as well, and another's list."""
    hanging = [asyncio.create_task(there.ask("GET", "/api/releases?namespace=slow", token="ann")) for _ in range(10)]
    await settled(lambda: there.slow.under_way > 0)
    body = {"release_id": "rel_20240115_1200"}
    back = await asyncio.wait_for(there.ask("POST", "/api/releases/rollback?namespace=shop", token=who, json=body), 5)
    listed = await asyncio.wait_for(there.ask("GET", "/api/releases?namespace=shop", token="bob"), 5)
    there.slow.answer.set()
    found = await asyncio.gather(*hanging)

    assert (404, True) == (back[0], "no rollout rel_20240115_1200" in back[1]["error"]["message"])
    assert (200, 1, {200}) == (listed[0], there.slow.most, {status for status, _, _ in found})


async def test_who_has_no_turn_is_told_that_nothing_was_done(there: There, monkeypatch: pytest.MonkeyPatch) -> None:
    """Given lists of two tokens that hang, then the third's is not asked for, and that is said, with when to come back."""
    monkeypatch.setattr(module, "TURN_SECONDS", 0.05)
    hanging = [asyncio.create_task(there.ask("GET", "/api/releases?namespace=slow", token=who)) for who in ("ann", "bob")]
    await asyncio.wait_for(there.slow.enough.wait(), 5)
    status, answer, headers = await there.ask("GET", "/api/releases?namespace=shop", token="cay")
    there.slow.answer.set()
    found = await asyncio.gather(*hanging)

    assert (503, "busy", "1") == (status, answer["error"]["code"], headers["Retry-After"])
    assert "other requests have taken all turns" in answer["error"]["message"]
    assert "nothing was done: ask again in 1 s" in answer["error"]["message"]
    assert [] == [line for line in there.asked if line.startswith("cay")]
    assert {200} == {status for status, _, _ in found}


async def test_what_the_api_server_leaves_unanswered_may_be_done(there: There, monkeypatch: pytest.MonkeyPatch) -> None:
    """Given an answer that does not come, then that is said, and not that nothing was done."""
    monkeypatch.setattr(module, "SECONDS", 0.3)
    status, answer, _ = await there.ask("GET", "/api/releases?namespace=slow")
    there.slow.answer.set()

    assert (504, True) == (status, "what was asked may be done" in answer["error"]["message"])


async def test_a_body_that_does_not_come_has_done_nothing(there: There, monkeypatch: pytest.MonkeyPatch) -> None:
    """Given a body of which a part is missing, then that is the answer, and the API server is not asked."""
    monkeypatch.setattr(module, "SECONDS", 0.05)
    host, _, port = there.address.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    head = "POST /api/releases/rollback?namespace=shop HTTP/1.1", f"Host: {host}", "Authorization: Bearer ann"
    more = "Content-Type: application/json", "Content-Length: 30"
    writer.write("\r\n".join((*head, *more, "", "{")).encode())
    answer = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)
    writer.close()

    assert b"HTTP/1.1 408" in answer
    assert [] == there.asked


async def test_tokens_are_not_tried_here(there: There) -> None:
    """Whoever guesses is stopped after a burst, another token each time; who is known is let in all the same."""
    path = "/api/releases?namespace=shop"
    await there.ask("GET", path, token="ann")
    found = [(await there.ask("GET", path, token=f"guess-{number}"))[0] for number in range(30)]
    ann = await there.ask("GET", path, token="ann")

    assert STRANGER.burst - 1 == found.count(401), found
    assert 429 == found[-1]
    assert len([line for line in there.asked if line.startswith("guess-")]) == found.count(401)
    assert 200 == ann[0]


async def test_an_api_server_that_is_away_vouches_for_nobody(there: There) -> None:
    """Or an outage would be the time at which tokens are tried."""
    found = [(await there.ask("GET", "/api/releases?namespace=away", token="guess"))[0] for _ in range(30)]

    assert (STRANGER.burst, 429) == (found.count(503), found[-1])


@pytest.mark.parametrize(
    ("path", "status", "words"),
    [
        ("releases", 502, "what the API server has answered is not as it should be (Release: metadata)"),
        ("releases/list", 503, "the answer is no object: []"),
        ("releases/text", 503, 'the answer is no object: "odd"'),
        ("releases/bare", 502, "(Release: metadata)"),
        ("releases/spec", 502, "(Release: spec."),
        ("releases/status", 502, "(Release: status)"),
    ],
)
async def test_odd_answers_are_the_api_servers_fault(there: There, path: str, status: int, words: str) -> None:
    """It is said where they are odd, and not what stands there."""
    found, answer, _ = await there.ask("GET", f"/api/{path}?namespace=odd")

    assert (status, True) == (found, words in answer["error"]["message"]), answer
    assert "s3cret" not in str(answer)


@pytest.mark.parametrize("fault", [KeyError("s3cret"), TypeError("s3cret"), ValueError("s3cret"), RuntimeError("s3cret")])
async def test_its_own_faults_are_never_the_api_servers(there: There, fault: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever they are: 500, with the id by which the log has where it happened; the caller gets no more."""

    async def listed(*_: Any) -> None:
        raise fault

    monkeypatch.setattr(actions, "listed", listed)
    with capture_logs(processors=[format_exc_info]) as logged:
        status, answer, headers = await there.ask("GET", "/api/releases?namespace=shop")
    (line,) = (one for one in logged if one["log_level"] == "error")

    assert (500, "internal", headers["X-Request-Id"]) == (status, answer["error"]["code"], answer["error"]["request_id"])
    assert answer["error"]["request_id"] == line["request_id"]
    assert "Traceback" in line["exception"]
    assert "in listed" in line["exception"]
    assert "s3cret" not in str(answer)


async def test_health_tells_strangers_nothing_of_releases(there: There) -> None:
    status, answer, _ = await there.ask("GET", "/health", token=None)
    known = await there.ask("GET", "/health?namespace=shop")

    assert (200, {"status", "version"}) == (status, set(answer))
    assert {"configured": True, "ok": True} == known[1]["releases"]
    assert 1 == len(there.asked)


async def test_rollouts_that_are_over_are_found_by_their_records(there: There) -> None:
    """As they are written down, and no decision can be about them."""
    wanted = RECORD["spec"]["id"]
    status, answer, _ = await there.ask("GET", f"/api/releases/{wanted}?namespace=archive")
    other = await there.ask("GET", "/api/releases/rel_19990101_0000?namespace=archive")
    promoted = await there.ask("POST", "/api/releases/promote?namespace=archive", json={"release_id": wanted})

    assert (200, wanted, RECORD["spec"]["release"]) == (status, answer["data"]["release_id"], answer["data"]["release"])
    assert (404, 404) == (other[0], promoted[0])


async def test_an_id_that_two_rollouts_have_is_for_neither(there: There) -> None:
    """Given one that superseded another within a minute, then their id decides on neither: a version says which is meant."""
    asked = {"release_id": "rel_20260101_0009"}
    refused = [
        await there.ask("POST", f"/api/releases/{path}?namespace=twice", json=asked | more)
        for path, more in (("promote", {"skip": True}), ("rollback", {}), ("decide", {"action": "Approve", "role": "qa"}))
    ]
    made, _, _ = await there.ask("POST", "/api/releases/promote?namespace=twice", json=asked | {"skip": True, "version": "v2"})

    words = "two rollouts of Release checkout started in that minute (v1 and v2): give the name of the Release in its place"
    assert [(409, words)] * 3 == [(status, answer["error"]["message"].partition(": ")[2]) for status, answer, _ in refused]
    assert 201 == made


async def test_ids_of_requests_are_taken_over_where_they_are_ids(there: There) -> None:
    taken = await there.ask("GET", "/health", headers={"X-Request-Id": "build-17"})
    made = await there.ask("GET", "/health?namespace=shop", headers={"X-Request-Id": "a b"})

    assert "build-17" == taken[2]["X-Request-Id"]
    assert "a b" != made[2]["X-Request-Id"]


@given(
    st.sampled_from([Prepare, Promote, Decide]),
    st.recursive(st.none() | st.text() | st.integers(), lambda it: st.lists(it) | st.dictionaries(st.text(), it)),
)
def test_whatever_is_sent_is_a_model_or_an_error(kind: Any, document: Any) -> None:
    """And never another exception."""
    try:
        kind.model_validate(document)
    except ValueError:
        return
    assert isinstance(document, dict)
