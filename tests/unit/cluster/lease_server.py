"""An API server that keeps one Lease as the real one does."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestServer

Json = dict[str, Any]


class LeaseServer:
    """One Lease with versions, a watch of it, and refusals on demand."""

    def __init__(self) -> None:
        self.lease: Json | None = None
        self.version = 100
        self.asked: list[str] = []
        self.refuse: dict[str, int] = {}
        self.lose_answers = False
        self._watches: list[web.StreamResponse] = []
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._answer)
        self.server = TestServer(app, host="127.0.0.1")

    @property
    def watched(self) -> bool:
        return bool(self._watches)

    def holder(self) -> str:
        return str(self.lease["spec"]["holderIdentity"]) if self.lease else "none"

    async def put(self, lease: Json | None) -> None:
        """Store a state of the Lease, and tell the watches."""
        self.version += 1
        kind = "DELETED" if lease is None else "MODIFIED" if self.lease else "ADDED"
        shown = lease or self.lease or {}
        shown["metadata"] = {**shown["metadata"], "resourceVersion": str(self.version)}
        self.lease = lease
        for watch in self._watches:
            await self._tell(watch, kind, shown)

    async def held_by(self, holder: str, **fields: Any) -> None:
        """Let somebody else write the Lease."""
        metadata = {"name": "tidegate", "namespace": "system"}
        spec = {"holderIdentity": holder, "leaseDurationSeconds": 15, "leaseTransitions": 4, **fields}
        await self.put({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata, "spec": spec})

    async def _tell(self, watch: web.StreamResponse, kind: str, lease: Json) -> None:
        await watch.write(json.dumps({"type": kind, "object": lease}).encode() + b"\n")

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        verb = "watch" if request.query.get("watch") else request.method.lower()
        self.asked.append(verb)
        body = await request.json() if request.can_read_body else None
        if (status := self.refuse.get(verb)) is not None:
            return self._status(status)
        if verb == "watch":
            return await self._watch(request)
        if verb == "get":
            return web.json_response(self.lease) if self.lease else self._status(404)
        if verb == "patch":
            return await self._patch(body)
        stored = self.lease["metadata"]["resourceVersion"] if self.lease else None
        if body["metadata"].get("resourceVersion") != stored:
            return self._status(409)
        await self.put(body)
        if self.lose_answers and request.transport is not None:
            request.transport.abort()
        return web.json_response(self.lease)

    async def _patch(self, ops: list[Json]) -> web.Response:
        """Apply a JSON patch, as far as it is one of a roster's."""
        lease = json.loads(json.dumps(self.lease))
        for op in ops:
            *way, last = [part.replace("~1", "/").replace("~0", "~") for part in op["path"].split("/")[1:]]
            at = lease
            for part in way:
                at = at[part]
            if (op["op"] == "test" and at.get(last) != op["value"]) or (op["op"] == "remove" and last not in at):
                return self._status(409)
            if op["op"] == "add":
                at[last] = op["value"]
            if op["op"] == "remove":
                del at[last]
        await self.put(lease)
        return web.json_response(self.lease)

    async def _watch(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        self._watches.append(response)
        try:
            if self.lease:
                await self._tell(response, "ADDED", self.lease)
            await asyncio.Event().wait()
        finally:
            self._watches.remove(response)
        return response

    def _status(self, code: int) -> web.Response:
        return web.json_response({"kind": "Status", "code": code, "message": f"refused with {code}"}, status=code)
