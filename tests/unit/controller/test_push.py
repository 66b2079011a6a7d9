"""The port for pushed samples: who may push, what is answered, and that nobody gets more of the operator than they are given."""

from __future__ import annotations

import asyncio
import ssl
import subprocess
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from prometheus_client import CollectorRegistry
from pydantic import ValidationError

from expositions.wire import varint
from tidegate.api.push import Push
from tidegate.controller.process.config import load
from tidegate.controller.process.push import PATH, PushPort
from tidegate.controller.process.push_metrics import PushMetrics
from tidegate.prometheus.config import PushedConfig
from tidegate.prometheus.direct.effort import CREDIT
from tidegate.prometheus.direct.text import Series as Wishes
from tidegate.prometheus.push.config import PushConfig
from tidegate.prometheus.push.rounds import Pushes
from tidegate.runtime.clock import SystemClock
from tidegate.runtime.errors import Terminal
from unit.controller.api_server import settled
from unit.prometheus.direct_pages import wanted
from unit.prometheus.pushed import Series, packed, series, v1, v2

TOKEN = "a-token-of-the-agent"
V2 = {
    "Content-Type": "application/x-protobuf;proto=io.prometheus.write.v2.Request",
    "Content-Encoding": "snappy",
    "Authorization": f"Bearer {TOKEN}",
}
POD = {"metadata": {"name": "c", "uid": "uid-c"}, "phase": "Running", "started": None}


class Port:
    """The port of an operator in which one rollout wants what is pushed."""

    def __init__(self, folder: Path, **more: Any) -> None:
        (folder / "token").write_text(f"{TOKEN}\n")
        (folder / "other").write_text("a-token-of-another\n")
        senders = [
            {"name": "agent", "namespaces": ["shop"], "tokenFile": str(folder / "token")},
            {"name": "other", "namespaces": ["bank"], "tokenFile": str(folder / "other")},
        ]
        config = {"host": "127.0.0.1", "port": 0, "plainHttp": True, "senders": senders, "timeout": "2s"} | more
        self.registry = CollectorRegistry()
        self.port = PushPort(
            PushConfig.model_validate(config), {"default": PushedConfig()}, PushMetrics(self.registry), SystemClock()
        )
        self.pushes: Pushes = self.port.source("shop", "default", Push())
        self.pushes.listed(Wishes((wanted(),)), [POD], [])

    async def send(self, body: Any, tls: Any = None, **headers: str) -> tuple[int, str, dict[str, str]]:
        """Send a request, and return status, words and headers of the answer."""
        address = f"{'http' if tls is None else 'https'}://127.0.0.1:{self.port.port}{PATH}"
        given = {
            name: value
            for name, value in (V2 | {name.replace("_", "-"): value for name, value in headers.items()}).items()
            if value
        }
        async with aiohttp.ClientSession() as session, session.post(address, data=body, headers=given, ssl=tls or True) as answer:
            return answer.status, await answer.text(), dict(answer.headers)

    def counted(self, name: str, **labels: str) -> float:
        return self.registry.get_sample_value(f"tidegate_push_{name}_total", labels) or 0.0


@pytest.fixture
async def opened(tmp_path: Path) -> AsyncIterator[Callable[..., Any]]:
    ports: list[Port] = []

    async def open_(**more: Any) -> Port:
        port = Port(tmp_path, **more)
        ports.append(port)
        await port.port.open()
        return port

    yield open_
    for port in ports:
        await port.port.close()


def samples(value: float = 7.0, **labels: str) -> Series:
    return series("http_requests_total", (int(time.time() * 1000), value), **({"pod": "c", "code": "200"} | labels))


def body(*some: Series) -> bytes:
    return packed(v2(*some))


async def test_what_is_pushed_is_taken_and_the_answer_says_how_much(opened: Callable[..., Any]) -> None:
    """Samples of wanted series reach the rollout, and the answer has the numbers that 2.0 asks for: others are done with, too."""
    port = await opened()

    status, words, headers = await port.send(body(samples(), series("up", (1, 1.0)), series("up", (1, 1.0), (2, 1.0))))

    written = [headers[f"X-Prometheus-Remote-Write-{kind}-Written"] for kind in ("Samples", "Histograms", "Exemplars")]
    assert (status, words, written) == (204, "", ["4", "0", "0"])
    assert port.counted("samples", sender="agent", outcome="taken") == 1
    assert port.counted("samples", sender="agent", outcome="unwanted") == 3
    assert port.counted("requests", sender="agent", code="204") == 1


async def test_requests_of_the_first_version_are_taken(opened: Callable[..., Any]) -> None:
    """Agents that speak 1.0 name no message."""
    port = await opened()
    status, *_ = await port.send(packed(v1(samples())), Content_Type="application/x-protobuf")
    assert (status, port.counted("samples", sender="agent", outcome="taken")) == (204, 1)


@pytest.mark.parametrize(
    "authorization",
    ["", "Bearer ", "Bearer a-token-of-nobody", "Bearer \udcff\udcfe", f"Basic {TOKEN}", f"Bearer {TOKEN}x", "x" * 3000],
)
async def test_nobody_unknown_is_let_in(opened: Callable[..., Any], authorization: str) -> None:
    """Without a sender's token nothing is read, whatever the request is."""
    port = await opened()
    status, words, headers = await port.send(b"nothing", Authorization=authorization)
    assert (status, words) == (401, "the token or client certificate is not that of a sender (push.senders)\n")
    assert headers["WWW-Authenticate"] == "Bearer"
    assert port.counted("requests", sender="(unknown)", code="401") == 1


async def test_sender_speaks_for_its_namespaces_alone(opened: Callable[..., Any]) -> None:
    """Series of other namespaces are dropped and counted; a request of nothing else is refused, never to be sent again."""
    port = await opened()
    other = {"Authorization": "Bearer a-token-of-another"}
    status, words, _ = await port.send(body(samples()), **other)
    assert (status, words) == (
        400,
        "no sample of the request is taken: 1 outside of the namespaces of this sender (push.senders)\n",
    )
    assert port.counted("samples", sender="other", outcome="namespace") == 1

    status, _, headers = await port.send(body(samples(), samples(namespace="bank")))
    assert (status, headers["X-Prometheus-Remote-Write-Samples-Written"]) == (204, "1")


async def test_tokens_are_read_again(opened: Callable[..., Any], tmp_path: Path) -> None:
    """A token that was replaced counts no more; one that is gone, or too short, lets nobody in."""
    port = await opened()
    (tmp_path / "token").write_text("another-token-of-the-agent")
    port.port.reload()
    assert (await port.send(body(samples())))[0] == 401
    assert (await port.send(body(samples()), Authorization="Bearer another-token-of-the-agent"))[0] == 204
    for text in ("", "short"):
        (tmp_path / "token").write_text(text)
        port.port.reload()
        assert (await port.send(body(samples()), Authorization=f"Bearer {text}"))[0] == 401


@pytest.mark.parametrize(
    "headers",
    [
        {"Content_Type": "application/json"},
        {"Content_Type": "application/x-protobuf;proto=io.prometheus.write.v3.Request"},
        {"Content_Encoding": "gzip"},
        {"Content_Encoding": ""},
    ],
)
async def test_what_is_no_remote_write_is_refused(opened: Callable[..., Any], headers: dict[str, str]) -> None:
    """Another message, or another compression, is a status by which a sender falls back to what is understood."""
    port = await opened()
    assert (await port.send(b"x", **headers))[0] == 415


@pytest.mark.parametrize(
    ("block", "words"),
    [
        (b"no snappy", "the body is not compressed with Snappy (block format)\n"),
        (packed(b"\xff\xff\xff"), "the request is no protobuf that Tidegate knows\n"),
        (packed(b"\x2a\x7f"), "the request is cut off\n"),
    ],
)
async def test_what_is_broken_is_refused_for_good(opened: Callable[..., Any], block: bytes, words: str) -> None:
    """What cannot be read is refused by a status that is not retried, with words that quote nothing of it."""
    port = await opened()
    assert (await port.send(block))[:2] == (400, words)


async def test_too_much_is_refused_before_it_is_unpacked(opened: Callable[..., Any]) -> None:
    """A body is held to its bounds by its header, as it comes, and by the length that the block itself names."""
    port = await opened(bytesPerRequest=65536, unpackedBytesPerRequest=65536)

    async def endless() -> AsyncIterator[bytes]:
        for _ in range(100):
            yield b"x" * 1000

    refused = [await port.send(one) for one in (b"x" * 65537, endless(), varint(65537) + b"\x00x")]

    assert [status for status, *_ in refused] == [413, 413, 413]
    assert {words for _, words, _ in refused} == {
        (
            "the request has more than 64 KiB, or 64 KiB unpacked (push.bytesPerRequest, push.unpackedBytesPerRequest): "
            "send fewer samples at once\n"
        )
    }


async def test_sender_that_takes_too_much_is_put_off(opened: Callable[..., Any]) -> None:
    """A sender that has used up its share of the processor is told when to come again; others are not put off."""
    port = await opened()
    effort = port.port._effort
    effort._account("agent").debt = CREDIT + 1.0

    status, words, headers = await port.send(body(samples()))

    assert (status, 10 <= int(headers["Retry-After"]) <= 12) == (429, True)
    assert words == "what this sender pushes takes more than 10% of the operator's processor time: send fewer series\n"
    assert (await port.send(body(samples(namespace="bank")), Authorization="Bearer a-token-of-another"))[0] == 204


async def test_slow_sender_keeps_nobody_else_waiting(opened: Callable[..., Any]) -> None:
    """Who sends slowly has its own places and its own time; beyond them it is told to come again."""
    port = await opened(concurrency=2, timeout="300ms")
    held = asyncio.Event()

    async def slow() -> AsyncIterator[bytes]:
        yield b"x"
        held.set()
        await asyncio.Event().wait()

    sending = asyncio.create_task(port.send(slow()))
    await held.wait()
    while not port.port._reading.total():  # noqa: ASYNC110 - its body is on its way
        await asyncio.sleep(0)
    status, words, headers = await port.send(body(samples()))
    assert (status, words, headers["Retry-After"]) == (503, "too many requests are being read (push.concurrency)\n", "2")
    assert (await port.send(body(samples(namespace="bank")), Authorization="Bearer a-token-of-another"))[0] == 204

    status, words, _ = await sending
    assert (status, words) == (503, "the request did not come, or was not read, in time (push.timeout)\n")
    assert port.port._reading.total() == 0
    assert (await port.send(body(samples())))[0] == 204


async def test_slow_senders_together_keep_nobody_else_waiting(opened: Callable[..., Any], tmp_path: Path) -> None:
    """Two senders send slowly, and as much as they may: there is still room for the first request of a third."""
    names = ("agent", "other", "third")
    for name in names:
        (tmp_path / f"{name}.token").write_text(f"a-token-of-{name}-alone\n")
    senders = [{"name": name, "namespaces": ["shop"], "tokenFile": str(tmp_path / f"{name}.token")} for name in names]
    port = await opened(concurrency=4, timeout="5s", senders=senders)
    refused: list[int] = []

    async def slow() -> AsyncIterator[bytes]:
        yield b"x"
        await asyncio.Event().wait()

    async def send(name: str) -> None:
        refused.append((await port.send(slow(), Authorization=f"Bearer a-token-of-{name}-alone"))[0])

    sending = [asyncio.create_task(send(name)) for name in ("agent", "other") for _ in range(3)]
    await settled(lambda: len(refused) + port.port._reading.total() == len(sending))
    assert (port.port._reading.total(), refused) == (3, [503] * 3)

    assert (await port.send(body(samples()), Authorization="Bearer a-token-of-third-alone"))[0] == 204
    for one in sending:
        one.cancel()
    await asyncio.gather(*sending, return_exceptions=True)


async def test_other_paths_and_methods_are_not_there(opened: Callable[..., Any]) -> None:
    """The port has nothing but the one path."""
    port = await opened()
    address = f"http://127.0.0.1:{port.port.port}"
    async with aiohttp.ClientSession() as session:
        for method, path, status in (("GET", PATH, 405), ("POST", "/", 404), ("GET", "/metrics", 404)):
            async with session.request(method, f"{address}{path}") as answer:
                assert answer.status == status


def openssl(folder: Path, *arguments: str) -> None:
    subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)


def authority(folder: Path, name: str) -> None:
    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", f"{name}.key")
    openssl(folder, "req", "-x509", *key, "-out", f"{name}.crt", "-subj", f"/CN={name}", "-days", "2")


def signed(folder: Path, by: str, name: str, alternative: str) -> None:
    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", f"{name}.key")
    openssl(
        folder, "req", *key, "-out", f"{name}.csr", "-subj", "/CN=shop-agent.example", "-addext", f"subjectAltName={alternative}"
    )
    signing = ("-CA", f"{by}.crt", "-CAkey", f"{by}.key", "-CAcreateserial", "-copy_extensions", "copy", "-days", "2")
    openssl(folder, "x509", "-req", "-in", f"{name}.csr", *signing, "-out", f"{name}.crt")


def client(folder: Path, name: str = "", trusted: str = "ca") -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=folder / f"{trusted}.crt")
    if name:
        context.load_cert_chain(folder / f"{name}.crt", folder / f"{name}.key")
    return context


async def test_client_certificates_and_renewal(opened: Callable[..., Any], tmp_path: Path) -> None:
    """A sender is known by a name in a certificate of the configured authority; certificate and authority are renewed in place."""
    authority(tmp_path, "ca")
    authority(tmp_path, "clients")
    signed(tmp_path, "ca", "server", "IP:127.0.0.1")
    signed(tmp_path, "clients", "agent", "DNS:agent.example")
    signed(tmp_path, "clients", "stranger", "DNS:stranger.example")
    signed(tmp_path, "ca", "forged", "DNS:agent.example")
    for name in ("crt", "key"):
        (tmp_path / f"tls.{name}").write_bytes((tmp_path / f"server.{name}").read_bytes())
    (tmp_path / "trusted.crt").write_bytes((tmp_path / "clients.crt").read_bytes())
    port = await opened(
        plainHttp=False,
        tls={
            "certFile": str(tmp_path / "tls.crt"),
            "keyFile": str(tmp_path / "tls.key"),
            "clientCaFile": str(tmp_path / "trusted.crt"),
        },
        senders=[{"name": "agent", "namespaces": ["shop"], "certificate": "agent.example"}],
    )

    async def status(name: str = "", trusted: str = "ca") -> int:
        return (await port.send(body(samples()), client(tmp_path, name, trusted), Authorization=""))[0]

    assert [await status(name) for name in ("agent", "stranger", "")] == [204, 401, 401]
    with pytest.raises(aiohttp.ClientError):
        await status("forged")

    authority(tmp_path, "next")
    signed(tmp_path, "next", "server", "IP:127.0.0.1")
    signed(tmp_path, "next", "newer", "DNS:agent.example")
    for name in ("crt", "key"):
        (tmp_path / f"tls.{name}").write_bytes((tmp_path / f"server.{name}").read_bytes())
    (tmp_path / "trusted.crt").write_bytes((tmp_path / "next.crt").read_bytes())
    port.port.reload()

    assert await status("newer", "next") == 204
    with pytest.raises(aiohttp.ClientError):
        await status("agent", "next")
    (tmp_path / "tls.crt").write_text("broken")
    port.port.reload()
    assert await status("newer", "next") == 204


async def test_certificate_that_is_none_is_said(tmp_path: Path) -> None:
    """The operator does not start with a certificate that cannot be used."""
    (tmp_path / "tls.crt").write_text("none")
    tls = {"certFile": str(tmp_path / "tls.crt"), "keyFile": str(tmp_path / "tls.crt")}
    with pytest.raises(Terminal, match=r"push\.tls: cannot be used: it is no certificate with its key"):
        await Port(tmp_path, plainHttp=False, tls=tls).port.open()


SENDER: dict[str, Any] = {"name": "a", "namespaces": ["shop"], "tokenFile": "/t"}


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"senders": []}, "at least 1"),
        ({"senders": [{"name": "a", "namespaces": [], "tokenFile": "/t"}]}, "at least 1"),
        ({"senders": [{"name": "a", "namespaces": ["shop"]}]}, "exactly one of tokenFile and certificate"),
        ({"senders": [SENDER | {"certificate": "x"}]}, "exactly one of tokenFile and certificate"),
        ({"senders": [SENDER, SENDER]}, "the same name"),
        ({"senders": [SENDER], "plainHttp": False}, "give tls, or plainHttp: true"),
        ({"senders": [{"name": "a", "namespaces": ["shop"], "certificate": "x"}]}, "need tls.clientCaFile"),
    ],
)
def test_ports_that_are_not_safe_are_refused(config: dict[str, Any], words: str) -> None:
    """Each sender has namespaces and one way to be known, and nothing comes in clear unless the configuration says so."""
    with pytest.raises(ValidationError, match=words):
        PushConfig.model_validate({"plainHttp": True} | config)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("connections: [{name: default, address: 'http://p:9090', push: {}}]", "default has push, but no port is open"),
        ("push: {plainHttp: true, senders: [{name: a, namespaces: [shop], tokenFile: /t}]}\nshards: 2", "set shards to 1"),
    ],
)
def test_configurations_in_which_nothing_would_come_are_refused(tmp_path: Path, text: str, words: str) -> None:
    """A connection that allows pushed samples needs the port, and the port needs one operator that has all Releases."""
    (tmp_path / "config.yaml").write_text(text)
    with pytest.raises(Terminal, match=words):
        load(tmp_path / "config.yaml")
