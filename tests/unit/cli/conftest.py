"""What tests of the command line begin with: the commands in this process, and servers on loopback that they talk to."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import yaml
from typer.testing import CliRunner, Result

from tidegate.cli.main import app

Json = dict[str, Any]
Tidegate = Callable[..., Result]


@pytest.fixture
def tidegate(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Tidegate:
    """Run a command in this process, far from whatever cluster the developer's machine knows."""
    for name in ("KUBECONFIG", "KUBERNETES_SERVICE_HOST", "TIDEGATE_CONFIG", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    environment = {"HOME": str(tmp_path), "COLUMNS": "120", "TERM": "dumb"}
    return lambda *arguments, stdin=None: CliRunner().invoke(app, [str(one) for one in arguments], env=environment, input=stdin)


class Server:
    """An HTTP server on loopback; what it answers is a function of method, path, parameters and body."""

    def __init__(self, answer: Callable[[str, str, dict[str, str], str], tuple[int, Json]]) -> None:
        self.asked: list[tuple[str, str, dict[str, str]]] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                body = self.rfile.read(length).decode()
                parts = urlsplit(self.path)
                form = body if "form" in self.headers.get("Content-Type", "") else ""
                parameters = {name: values[0] for name, values in parse_qs(parts.query or form).items()}
                outer.asked.append((self.command, parts.path, parameters))
                status, document = answer(self.command, parts.path, parameters, body)
                payload = json.dumps(document).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(payload)))
                self.end_headers()
                self.wfile.write(payload)

            do_POST = do_GET  # noqa: N815 - the names are the base class's
            do_PATCH = do_GET  # noqa: N815 - as above

            def log_message(self, *args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.address = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def serve() -> Iterator[Callable[..., Server]]:
    """Start servers that end with the test."""
    started: list[Server] = []

    def start(answer: Callable[[str, str, dict[str, str], str], tuple[int, Json]]) -> Server:
        started.append(Server(answer))
        return started[-1]

    yield start
    for server in started:
        server.close()


@pytest.fixture
def cluster(serve: Callable[..., Server], tmp_path: Path) -> Callable[[Json], tuple[Server, Path]]:
    """Serve objects of a cluster by their paths, and return a kubeconfig for it, whose namespace is `shop`."""

    def start(objects: Json) -> tuple[Server, Path]:
        def answer(method: str, path: str, parameters: dict[str, str], body: str) -> tuple[int, Json]:
            if path in objects:
                found = objects[path]
                return found if isinstance(found, tuple) else (200, found)
            name = path.rpartition("/")[2]
            return 404, {"kind": "Status", "code": 404, "reason": "NotFound", "message": f"{name} was not found"}

        server = serve(answer)
        file = tmp_path / "kubeconfig"
        document = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "here",
            "contexts": [{"name": "here", "context": {"cluster": "here", "user": "me", "namespace": "shop"}}],
            "clusters": [{"name": "here", "cluster": {"server": server.address}}],
            "users": [{"name": "me", "user": {}}],
        }
        file.write_text(yaml.safe_dump(document))
        return server, file

    return start
