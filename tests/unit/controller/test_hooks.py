"""Hooks of checks are called with headers from files, in time, up to a size, and at no address but the one that is configured."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from pydantic import ValidationError

from tidegate.controller.observe.addresses import ClosedAddressError, OpenAddresses
from tidegate.controller.observe.hook_config import HookConfig
from tidegate.controller.observe.hooks import LARGEST_ANSWER, Hooks
from tidegate.controller.observe.runs import asked, seen
from tidegate.governance.runs import Call, RunState, RunView
from tidegate.runtime.addresses import is_closed

CALL = Call(
    id="checkout-contract-0a1b", hook="broker", method="POST", path="/verify", seconds=5, told={"version": "v2", "phase": "50%"}
)


@dataclass
class Broker:
    """Answers as it is told to, and keeps what it was asked."""

    status: int = 200
    body: bytes = b'{"summary": {"deployable": true, "results": [{"state": "ok", "score": 1.5}]}, "nothing": null}'
    headers: dict[str, str] = field(default_factory=dict)
    hangs: asyncio.Event = field(default_factory=asyncio.Event)
    asked: list[tuple[str, str, dict[str, str], Any]] = field(default_factory=list)

    async def answer(self, request: web.Request) -> web.Response:
        body = await request.json() if request.method == "POST" else dict(request.query)
        self.asked.append((request.method, request.path, dict(request.headers), body))
        await self.hangs.wait()
        return web.Response(status=self.status, body=self.body, headers=self.headers)


@pytest.fixture
def broker() -> Broker:
    made = Broker()
    made.hangs.set()
    return made


@pytest.fixture
async def address(broker: Broker) -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", broker.answer)
    server = TestServer(app, host="127.0.0.1")
    await server.start_server()
    yield f"http://localhost:{server.port}/api"
    broker.hangs.set()
    await server.close()


def config(address: str, **more: Any) -> HookConfig:
    return HookConfig.model_validate({"address": address, "namespaces": ["shop"]} | more)


async def call(address: str, wanted: Call = CALL, namespace: str = "shop", **more: Any) -> RunView:
    """Call a hook for a Release."""
    return seen(await Hooks({"broker": config(address, **more)}).read(namespace, asked([wanted])))[wanted.id]


async def test_hook_is_told_what_it_is_to_check(broker: Broker, address: str, tmp_path: Path) -> None:
    """By POST in its body, by GET in the query; with headers from files, and an id that is the same if it is asked once more."""
    token = tmp_path / "token"
    token.write_text("Bearer abc\n")
    headers = {"Authorization": {"fromFile": str(token)}}

    assert RunView(RunState.COMPLETE) == await call(address, headers=headers)
    assert RunView(RunState.COMPLETE) == await call(address, replace(CALL, method="GET"))

    (post, get) = broker.asked
    assert ("POST", "/api/verify", {"version": "v2", "phase": "50%"}) == (post[0], post[1], post[3])
    assert ("Bearer abc", CALL.id) == (post[2]["Authorization"], post[2]["Idempotency-Key"])
    assert ("GET", "/api/verify", {"version": "v2", "phase": "50%"}) == (get[0], get[1], get[3])


@pytest.mark.parametrize(
    ("status", "wanted", "words"),
    [
        (204, (), ""),
        (500, (), "answered HTTP 500"),
        (404, (200, 404), ""),
        (200, (202,), "answered HTTP 200, where 202 is expected"),
    ],
)
async def test_status_counts(broker: Broker, address: str, status: int, wanted: tuple[int, ...], words: str) -> None:
    """Any of success, or those that the check names."""
    broker.status = status

    view = await call(address, replace(CALL, statuses=wanted))
    assert (RunState.FAILED if words else RunState.COMPLETE, words) == (view.state, view.words)


@pytest.mark.parametrize(
    ("path", "equals", "words"),
    [
        ("summary.deployable", "true", ""),
        ("summary.results.0.state", "ok", ""),
        ("summary.results.0.score", "1.5", ""),
        ("nothing", "null", ""),
        ("summary.deployable", "True", "answered with another summary.deployable than True"),
        ("summary.results", "[]", "answered with another summary.results than []"),
        ("summary.results.1.state", "ok", "answered without summary.results.1.state"),
        ("summary.deployable.x", "true", "answered without summary.deployable.x"),
    ],
)
async def test_value_in_the_answer_counts(address: str, path: str, equals: str, words: str) -> None:
    """It is compared as text; what stands there instead is told to nobody."""
    view = await call(address, replace(CALL, json_path=path, json_equals=equals))
    assert (RunState.FAILED if words else RunState.COMPLETE, words) == (view.state, view.words)


@pytest.mark.parametrize("body", [b"", b"<html>", b"[" * 5000, b'{"a": ' * 5000])
async def test_answer_that_is_no_json(broker: Broker, address: str, body: bytes) -> None:
    """It has no value that could be right."""
    broker.body = body
    assert RunView(RunState.FAILED, words="answered with no JSON") == await call(
        address, replace(CALL, json_path="a", json_equals="1")
    )


async def test_large_answers_are_not_read(broker: Broker, address: str) -> None:
    """Nor is there memory for them; one that nobody has to read may be of any size."""
    broker.body = b'{"a": "' + b"x" * LARGEST_ANSWER + b'"}'

    view = await call(address, replace(CALL, json_path="a", json_equals="x"))
    assert RunView(RunState.FAILED, words="answered with more than 64 KiB") == view
    assert RunState.COMPLETE is (await call(address)).state


async def test_redirects_are_not_followed(broker: Broker, address: str) -> None:
    """They might lead anywhere, with the headers."""
    broker.status, broker.headers = 307, {"Location": "/api/other"}

    view = await call(address)
    assert (RunState.FAILED, True) == (view.state, view.words.startswith("redirects to another address (HTTP 307)"))
    assert ["/api/verify"] == [path for _, path, _, _ in broker.asked]


async def test_hook_that_hangs_is_given_up(broker: Broker, address: str) -> None:
    """In the time that the check gives."""
    broker.hangs.clear()
    assert RunView(RunState.FAILED, words="did not answer within 0.05 s") == await call(address, replace(CALL, seconds=0.05))


async def test_hook_that_is_away() -> None:
    """No address and no name of a host is told."""
    assert RunView(RunState.FAILED, words="could not be reached") == await call("http://127.0.0.1:1")


@pytest.mark.parametrize(("namespace", "hook"), [("other", "broker"), ("shop", "none")])
async def test_who_may_not_call_it_does_not_learn_of_it(broker: Broker, address: str, namespace: str, hook: str) -> None:
    """A hook that is not there and one for other namespaces sound the same."""
    view = await call(address, replace(CALL, hook=hook), namespace)
    words = f"the operator's configuration has no hook {hook} that namespace {namespace} may call"
    assert RunView(RunState.UNMADE, words=words) == view
    assert [] == broker.asked


@pytest.mark.parametrize("text", [None, "", "two\nlines", "na\u00efve"])
async def test_header_without_a_value(broker: Broker, address: str, tmp_path: Path, text: str | None) -> None:
    """Nothing is sent, and the path of the file is told to nobody."""
    file = tmp_path / "token"
    if text is not None:
        file.write_text(text)

    view = await call(address, headers={"X-Token": {"fromFile": str(file)}})
    assert (RunState.UNMADE, True, False) == (view.state, "its header X-Token" in view.words, str(file) in view.words)
    assert [] == broker.asked


@pytest.mark.parametrize(
    ("address", "closed"),
    [
        ("169.254.169.254", True),
        ("::ffff:169.254.169.254", True),
        ("fe80::1", True),
        ("fd00:ec2::254", True),
        ("100.100.100.200", True),
        ("168.63.129.16", True),
        ("::ffff:168.63.129.16", True),
        ("64:ff9b::a9fe:a9fe", True),
        ("2002:a9fe:a9fe::", True),
        ("2002:a83f:8110::1", True),
        ("::169.254.169.254", True),
        ("::", True),
        ("::1", False),
        ("64:ff9b::10.0.0.1", False),
        ("2002:a00:1::1", False),
        ("0.0.0.0", True),
        ("224.0.0.1", True),
        ("127.0.0.1", False),
        ("10.0.0.1", False),
        ("2001:db8::1", False),
    ],
)
def test_closed_addresses(address: str, closed: bool) -> None:
    """Link-local ones, those of metadata services, and what is no address of one machine."""
    assert closed is is_closed(ip_address(address))


@pytest.mark.parametrize("name", ["169.254.169.254", "0xA9FEA9FE", "2852039166", "64:ff9b::a9fe:a9fe", "168.63.129.16"])
async def test_names_of_closed_addresses_are_refused(name: str) -> None:
    """Whatever they are called: what is looked at is what is connected to."""
    with pytest.raises(ClosedAddressError):
        await OpenAddresses().resolve(name, 80)


async def test_hook_whose_name_leads_to_a_closed_address_is_not_called() -> None:
    """The sentence says so. That name is refused in a configuration; here it stands for one that a name server answers for."""
    hook = config("http://broker").model_copy(update={"address": "http://0xA9FEA9FE"})
    view = seen(await Hooks({"broker": hook}).read("shop", asked([CALL])))[CALL.id]
    words = "leads to a link-local address or to a metadata service, which is never called"
    assert RunView(RunState.FAILED, words=words) == view


@pytest.mark.parametrize(
    "more",
    [
        {"address": "http://169.254.169.254/latest"},
        {"address": "http://[fe80::1]/"},
        {"address": "http://0xA9FEA9FE/"},
        {"address": "http://2852039166"},
        {"address": "http://169.254.43518."},
        {"address": "ftp://broker"},
        {"address": "http://user:secret@broker"},
        {"namespaces": []},
        {"namespaces": ["*"]},
        {"flags": {"*": ["payments"]}},
        {"flags": {"shop": []}},
        {"flags": {"shop": ["pay*ments"]}},
        {"flags": {"shop": ["x"] * 65}},
        {"headers": {"Authorization": "Bearer abc"}},
        {"headers": {"Host": {"fromFile": "/x"}}},
        {"headers": {"a b": {"fromFile": "/x"}}},
        {"secret": "x"},
    ],
)
def test_configuration_that_is_refused(more: dict[str, Any]) -> None:
    """Closed addresses, passwords in them, values of headers in clear text, all namespaces."""
    with pytest.raises(ValidationError) as refused:
        HookConfig.model_validate({"address": "https://broker", "namespaces": ["shop"]} | more)
    assert "secret@" not in str(refused.value)
