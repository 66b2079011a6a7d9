"""A Prometheus that says what a test tells it to, on a loopback socket, and connections to it."""

import asyncio
import copy
import json
import re
import subprocess
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from ssl import PROTOCOL_TLS_SERVER, SSLContext
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from bench.stand_in import joined_of

from tidegate.prometheus.connections import Connection, ConnectionConfig

Respond = Callable[[BaseHTTPRequestHandler], None]

SCALAR = re.compile(r"vector\(\n(.*)\n\)", re.DOTALL)
"""How a scalar is joined with others."""
NOTHING: tuple[int, dict[str, Any]] = (200, {"status": "success", "data": {"result": []}})
TIMES = re.compile(r"timestamp\(|max by \([^)]*\) \((timestamp\(|process_start_time_seconds)")
"""Queries for the times of samples have no series unless a test says so."""


@pytest.fixture(autouse=True)
async def nothing_under_way() -> AsyncIterator[None]:
    """Once all have their answers there are turns of the loop left to those who gave them; they come before the loop's end."""
    yield
    others = asyncio.all_tasks() - {asyncio.current_task()}
    if others:
        await asyncio.wait(others, timeout=5)


class ScriptedPrometheus:
    """A server that gives every query the answer that it was told last, and notes what it was asked.

    Queries that were joined are answered as Prometheus answers them: with the series of all, each with the label of its query, and
    with an error where one of them has an error.
    """

    def __init__(self, context: SSLContext | None = None) -> None:
        self.methods: list[str] = []
        self.paths: list[str] = []
        self.parameters: list[dict[str, str]] = []
        self.headers: list[dict[str, str]] = []
        self.connections = 0
        self.body = ""
        self._respond: Respond = lambda _: None
        self._script: dict[str, Respond] = {}
        self.understands: Callable[[str], str] = lambda _: ""
        """Returns what is wrong with a request's query, whatever else is told; empty where nothing is."""
        self._answer: tuple[int, dict[str, Any]] | None = None
        self._answers: dict[str, tuple[int, dict[str, Any]] | None] = {}
        self.time: Callable[[], float] = time.time
        """What its clock shows, which is what a query without a time is evaluated for."""
        self.date: Callable[[], float | None] | None = None
        """What the date of its responses is, and None for none; by default what its clock shows."""
        self._over = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        if context is not None:
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True, do_handshake_on_connect=False)
        self.port = self._server.server_port
        scheme = "http" if context is None else "https"
        self.address = f"{scheme}://127.0.0.1:{self.port}"
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def gives(self, result: object, *, to: str | None = None, warnings: list[str] | None = None) -> None:
        """Answer with a result, to one query or to all."""
        document = {"status": "success", "data": {"resultType": "vector", "result": result}}
        if warnings:
            document["warnings"] = warnings
        self._replies(200, document, to)

    def gives_value(self, value: str, *, to: str | None = None) -> None:
        """Answer with a vector of one series, whatever time is asked for."""
        self.gives([{"metric": {}, "value": [0, value]}], to=to)

    def refuses(self, error: str, status: int = 400, *, to: str | None = None, kind: str = "bad_data") -> None:
        """Answer as Prometheus does to what it cannot do."""
        self._replies(status, {"status": "error", "errorType": kind, "error": error}, to)

    def _replies(self, status: int, document: dict[str, Any], to: str | None) -> None:
        body = json.dumps(document).encode()
        self._set(lambda handler: send(handler, status, body), to, (status, document))

    def says(self, status: int, body: str, **headers: str) -> None:
        """Answer with anything."""
        self._set(lambda handler: send(handler, status, body.encode(), **headers))

    def does(self, respond: Respond) -> None:
        """Answer by a function."""
        self._set(respond)

    def hangs(self) -> None:
        """Take requests and never answer."""
        self._set(self._hang)

    def wait_for_end(self, seconds: float | None = None) -> bool:
        """Wait until the test is over."""
        return self._over.wait(seconds)

    def close(self) -> None:
        """Stop."""
        self._over.set()
        self._server.shutdown()
        self._server.server_close()

    def _hang(self, handler: BaseHTTPRequestHandler) -> None:
        handler.close_connection = True
        self._over.wait()

    def tells_time(self) -> tuple[int, bytes]:
        """Return what a query for the time is answered with."""
        now = f"{self.time():.3f}"
        document = {"status": "success", "data": {"resultType": "scalar", "result": [float(now), now]}}
        return 200, json.dumps(document).encode()

    def _set(self, respond: Respond, to: str | None = None, answer: tuple[int, dict[str, Any]] | None = None) -> None:
        if to is None:
            self._respond, self._answer = respond, answer
        else:
            self._script[to], self._answers[to] = respond, answer

    def _respond_to(self, handler: BaseHTTPRequestHandler, parameters: dict[str, str]) -> None:
        query = parameters.get("query", "")
        if query.startswith("time() #"):
            self.parameters.append(parameters)
            send(handler, *self.tells_time())
            return
        if wrong := self.understands(query):
            send(handler, 400, json.dumps({"status": "error", "errorType": "400", "error": wrong}).encode())
            return
        joined = joined_of(query)
        wrapped = [SCALAR.fullmatch(expression) for expression, _ in joined]
        asked = [one[1] if one else expression for (expression, _), one in zip(joined, wrapped, strict=True)] or [query]
        self.parameters += [{**parameters, "query": expression} for expression in asked]
        answers = [self._answers.get(expression, NOTHING if TIMES.match(expression) else self._answer) for expression in asked]
        if not joined or any(answer is None for answer in answers):
            self._script.get(asked[0], self._respond)(handler)
            return
        series: list[dict[str, Any]] = []
        warnings: list[str] = []
        for answer, (_, labels), scalar in zip(answers, joined, wrapped, strict=True):
            status, document = answer or (500, {})
            result = copy.deepcopy(document.get("data", {}).get("result", []))
            if scalar and re.fullmatch(r"[-+.0-9eE]+|NaN|[-+]Inf", result[1]):
                result = [{"metric": {}, "value": result}]
            if any(not isinstance(one, dict) for one in result):
                status, document = 400, {"status": "error", "error": "expected type instant vector, got scalar"}
            if status != 200:
                send(handler, status, json.dumps(document).encode())
                return
            for one in result:
                one["metric"] |= labels
            series += result
            warnings += document.get("warnings", [])
        send(handler, 200, json.dumps({"status": "success", "data": {"result": series}, "warnings": warnings}).encode())

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def setup(self) -> None:
                outer.connections += 1
                super().setup()

            def send_header(self, keyword: str, value: str) -> None:
                date = (outer.date or outer.time)()
                if keyword != "Date" or date is not None:
                    super().send_header(keyword, value if date is None or keyword != "Date" else formatdate(date, usegmt=True))

            def do_GET(self) -> None:
                parts = urlsplit(self.path)
                body = outer.body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
                parameters = {name: values[0] for name, values in parse_qs(parts.query or body).items()}
                outer.methods.append(self.command)
                outer.paths.append(parts.path)
                outer.headers.append({name.lower(): value for name, value in self.headers.items()})
                try:
                    outer._respond_to(self, parameters)
                except ConnectionError:
                    self.close_connection = True

            def do_POST(self) -> None:
                self.do_GET()

            def handle(self) -> None:
                try:
                    super().handle()
                except OSError:  # a client that hangs up, or does not trust the certificate
                    self.close_connection = True

            def finish(self) -> None:
                try:
                    super().finish()
                except OSError:
                    self.close_connection = True

            def log_message(self, *args: Any) -> None:
                pass

        return Handler


def send(handler: BaseHTTPRequestHandler, status: int, body: bytes, **headers: str) -> None:
    """Write a whole answer."""
    handler.send_response(status)
    for name, value in {"Content-Type": "application/json", "Content-Length": str(len(body)), **headers}.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.end_headers()
    handler.wfile.write(body)


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the environment of a developer's machine says about proxies is not part of a test."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.fixture
def servers() -> Iterator[Callable[..., ScriptedPrometheus]]:
    """Start servers that end with the test."""
    started: list[ScriptedPrometheus] = []

    def start(context: SSLContext | None = None) -> ScriptedPrometheus:
        started.append(ScriptedPrometheus(context))
        return started[-1]

    yield start
    for server in started:
        server.close()


@pytest.fixture
def prometheus(servers: Callable[..., ScriptedPrometheus]) -> ScriptedPrometheus:
    """One server."""
    return servers()


@pytest.fixture
def connect(servers: Callable[..., ScriptedPrometheus]) -> Iterator[Callable[..., Connection]]:
    """Make connections that end with the test."""
    made: list[Connection] = []

    def make(address: str, **fields: Any) -> Connection:
        wire = {"name": "default", "address": address, "timeout": "5s", **fields}
        made.append(Connection(ConnectionConfig.model_validate(wire)))
        return made[-1]

    yield make
    for connection in made:
        connection.close()


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a certificate authority and with a certificate for prometheus.test that it issued."""
    folder = tmp_path_factory.mktemp("authority")
    make_authority(folder)
    return folder


def make_authority(folder: Path) -> None:
    """Write ca.crt, server.crt and server.key."""

    def openssl(*arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)

    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    openssl("req", "-x509", *key, "-keyout", "ca.key", "-out", "ca.crt", "-days", "2", "-subj", "/CN=test authority")
    openssl("req", *key, "-keyout", "server.key", "-out", "server.csr", "-subj", "/CN=prometheus.test")
    (folder / "san").write_text("subjectAltName=DNS:prometheus.test\nauthorityKeyIdentifier=keyid\n")
    signed = ("-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2", "-extfile", "san")
    openssl("x509", "-req", "-in", "server.csr", *signed, "-out", "server.crt")


@pytest.fixture
def serving_tls(authority: Path) -> SSLContext:
    """What a server with that certificate speaks."""
    context = SSLContext(PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority / "server.crt", authority / "server.key")
    return context
