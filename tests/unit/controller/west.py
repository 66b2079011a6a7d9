"""Another cluster's API server on loopback: it serves Releases over TLS, goes away, and comes back."""

from __future__ import annotations

import asyncio
import base64
import json
import subprocess
from pathlib import Path
from ssl import PROTOCOL_TLS_SERVER, SSLContext
from typing import Any

import yaml
from aiohttp import web

from tidegate.cluster.resources import RELEASES

Json = dict[str, Any]


def certificate(folder: Path) -> SSLContext:
    """Write ca.crt for 127.0.0.1, and return what a server that has it speaks."""
    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", "ca.key")
    subject = ("-subj", "/CN=west", "-addext", "subjectAltName=IP:127.0.0.1", "-days", "2")
    subprocess.run(["openssl", "req", "-x509", *key, "-out", "ca.crt", *subject], cwd=folder, check=True, capture_output=True)
    context = SSLContext(PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "ca.crt", folder / "ca.key")
    return context


class West:
    """The server.

    Args:
        context: what it speaks.
    """

    def __init__(self, context: SSLContext) -> None:
        self.releases: dict[tuple[str, str], Json] = {}
        self.asked: list[tuple[str, str]] = []
        self.refuses = 0
        self.watches: set[asyncio.Queue[Json | None]] = set()
        self._context, self._version, self._runner = context, 100, web.AppRunner(web.Application())
        self.port = 0

    async def start(self) -> None:
        """Answer, at the same address as before."""
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._answer)
        self._runner = web.AppRunner(app, shutdown_timeout=0.01, handler_cancellation=True)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self.port, ssl_context=self._context, reuse_address=True)
        await site.start()
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        """Be away: whoever watches is cut off, and nobody is answered."""
        for watch in self.watches:
            watch.put_nowait(None)
        await self._runner.cleanup()

    def kubeconfig(self, path: Path, authority: Path) -> Path:
        """Write a kubeconfig that leads here."""
        data = base64.b64encode((authority / "ca.crt").read_bytes()).decode()
        content = {
            "current-context": "west",
            "contexts": [{"name": "west", "context": {"cluster": "west", "user": "west"}}],
            "clusters": [
                {"name": "west", "cluster": {"server": f"https://127.0.0.1:{self.port}", "certificate-authority-data": data}}
            ],
            "users": [{"name": "west", "user": {"token": "t"}}],
        }
        path.write_text(yaml.safe_dump(content))
        return path

    def put(self, namespace: str, name: str, version: str | None, **more: Any) -> None:
        """Have a Release promote a version; None deletes it."""
        self._version += 1
        key = (namespace, name)
        uid = f"{namespace}-{name}-{self._version}" if key not in self.releases else self.releases[key]["metadata"]["uid"]
        metadata = {"namespace": namespace, "name": name, "uid": uid, "resourceVersion": str(self._version)}
        stable = {"revision": "a", "version": version, "replicas": 2, "ready": 2, "images": {"app": f"checkout:{version}"}}
        status = {"stable": {**stable, "promotedAt": "2026-01-01T00:00:00Z"}, "message": "what nobody elsewhere may read"}
        found = {"apiVersion": RELEASES.api_version, "kind": "Release", "metadata": metadata, "spec": {}, "status": status | more}
        before = key in self.releases
        verb = "DELETED" if version is None else "MODIFIED" if before else "ADDED"
        if version is None:
            del self.releases[key]
        else:
            self.releases[key] = found
        for watch in self.watches:
            watch.put_nowait({"type": verb, "object": found})

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        self.asked.append((request.method, request.path))
        if self.refuses:
            return web.json_response({"kind": "Status", "code": self.refuses, "message": "no"}, status=self.refuses)
        if "watch" not in request.query:
            listing = {"apiVersion": RELEASES.api_version, "kind": "ReleaseList"}
            metadata = {"resourceVersion": str(self._version)}
            return web.json_response({**listing, "metadata": metadata, "items": list(self.releases.values())})
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        queue: asyncio.Queue[Json | None] = asyncio.Queue()
        self.watches.add(queue)
        try:
            while (event := await queue.get()) is not None:
                await response.write(json.dumps(event).encode() + b"\n")
        finally:
            self.watches.discard(queue)
        return response
