"""A small API server on loopback: it keeps objects and applies patches; what it answers otherwise is the test's choice."""

from __future__ import annotations

import asyncio
import copy
import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestServer
from kubernetes.aio.client import Configuration

from tidegate.cluster.connection import Connection
from tidegate.cluster.resources import path_of
from tidegate.runtime.store import Store

Json = dict[str, Any]


@dataclass
class Fault:
    """What becomes of the requests that match.

    Attributes:
        method: of the requests.
        path: regular expression for their paths.
        status: what they are answered with; 0 lets them through.
        times: how often; None for as long as the fault is there.
        reason: the API's reason.
        gate: where given, an answer waits for it.
    """

    method: str
    path: str
    status: int = 500
    times: int | None = None
    reason: str = ""
    gate: asyncio.Event | None = None
    hits: int = 0

    def meets(self, request: web.Request) -> bool:
        worn = self.times is not None and self.hits >= self.times
        return not worn and request.method == self.method and re.search(self.path, request.path) is not None


@dataclass
class ApiServer:
    """The server.

    Attributes:
        objects: by path.
        requests: method and path of all but reading requests, in order.
        faults: the first that matches counts.
        apis: the groups that it tells of.
        last: how many writes from now on the one has that it gets as the last, which is not answered, as nothing is after it; None
            for no end.
        late: that write is carried out.
    """

    objects: dict[str, Json] = field(default_factory=dict)
    requests: list[tuple[str, str]] = field(default_factory=list)
    bodies: list[Any] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    apis: list[Json] = field(default_factory=list)
    version: int = 100
    last: int | None = None
    late: bool = False

    def __post_init__(self) -> None:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._answer)
        self.server = TestServer(app, host="127.0.0.1")

    def put(self, obj: Json, store: Store | None = None) -> Json:
        """Store an object as its author would; with a store, let the watch see it at once."""
        path = path_of(obj)
        before = self.objects.get(path)
        self.version += 1
        metadata = {"uid": f"uid-{self.version}", "generation": 1, **obj["metadata"], "resourceVersion": str(self.version)}
        if before is not None and "uid" not in obj["metadata"]:
            metadata["uid"] = before["metadata"]["uid"]
        self.objects[path] = {**copy.deepcopy(obj), "metadata": metadata}
        if store is not None:
            store.upsert(obj["kind"], copy.deepcopy(self.objects[path]))
        return self.objects[path]

    def fault(self, method: str, path: str, **what: Any) -> Fault:
        """Let requests fail from now on."""
        fault = Fault(method, path, **what)
        self.faults.append(fault)
        return fault

    def written(self, path: str) -> list[Any]:
        """Return the bodies of the writes on paths that match."""
        return [body for (_, where), body in zip(self.requests, self.bodies, strict=True) if re.search(path, where)]

    def connection(self) -> Connection:
        """Return a connection to it."""
        url = str(self.server.make_url("/")).rstrip("/")

        async def load() -> Configuration:
            return Configuration(host=url)

        return Connection(load, Configuration(host=url), refresh=1e9)

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        payload = await request.read()
        body = json.loads(payload) if payload else None
        if request.method != "GET":
            self.requests.append((request.method, request.path))
            self.bodies.append(body)
        if self.last is not None:
            self.last -= request.method != "GET"
            if self.last <= 0:
                if self.last == 0 and self.late and request.method != "GET":
                    self._act(request, body)
                return _status(503, "ServiceUnavailable", request.path)
        fault = next((fault for fault in self.faults if fault.meets(request)), None)
        if fault is not None:
            fault.hits += 1
            if fault.gate is not None:
                await fault.gate.wait()
            if fault.status:
                return _status(fault.status, fault.reason, request.path)
        return self._act(request, body)

    def _act(self, request: web.Request, body: Any) -> web.Response:
        path = request.path.removesuffix("/status")
        match request.method:
            case "POST" if path_of(body | {"metadata": {**body["metadata"], "namespace": path.split("/")[-2]}}) in self.objects:
                return _status(409, "AlreadyExists", path)
            case "POST":
                created = self.put({**body, "metadata": {**body["metadata"], "namespace": path.split("/")[-2]}})
                return web.json_response(created, status=201)
            case "GET" if path == "/apis":
                return web.json_response({"kind": "APIGroupDiscoveryList", "items": self.apis})
            case "GET" if path not in self.objects and not _is_object(path):
                name = request.query.get("fieldSelector", "").removeprefix("metadata.name=")
                found = {where.rpartition("/"): obj for where, obj in self.objects.items()}
                items = [obj for (there, _, own), obj in found.items() if there == path and name in {"", own}]
                listing = {"kind": "List", "apiVersion": "v1", "metadata": {"resourceVersion": str(self.version)}, "items": items}
                return web.json_response(listing)
            case "PATCH" if request.content_type == "application/apply-patch+yaml":
                return web.json_response(self.put(body))
        if path not in self.objects:
            return _status(404, "NotFound", path)
        if request.method == "DELETE":
            return web.json_response(self.objects.pop(path))
        if request.method == "PATCH":
            return self._patch(path, body, of_status=request.path.endswith("/status"))
        return web.json_response(self.objects[path])

    def _patch(self, path: str, body: Any, *, of_status: bool) -> web.Response:
        before = self.objects[path]
        if isinstance(body, list):
            try:
                after = json_patch(before, body)
            except (KeyError, ValueError):
                return _status(422, "Invalid", path, "the server rejected our request due to an error in our request")
        else:
            for name in ("uid", "resourceVersion"):
                if body.get("metadata", {}).get(name, before["metadata"][name]) != before["metadata"][name]:
                    return _status(409, "Conflict", path)
            after = merge_patch(before, body)
        if of_status:
            after = {**before, "status": after.get("status", {})}
        if after == before:
            return web.json_response(before)
        self.version += 1
        generation = before["metadata"]["generation"] + (after.get("spec") != before.get("spec"))
        metadata = {**after["metadata"], "resourceVersion": str(self.version), "generation": generation}
        self.objects[path] = {**after, "metadata": metadata}
        return web.json_response(self.objects[path])


def _is_object(path: str) -> bool:
    """Whether a path is that of an object: it has a name behind its plural."""
    parts = path.strip("/").split("/")
    rest = parts[2:] if parts[0] == "api" else parts[3:]
    return len(rest) % 2 == 0


def _status(code: int, reason: str, path: str, message: str = "") -> web.Response:
    details = {"name": path.removesuffix("/status").rpartition("/")[2]}
    body = {"kind": "Status", "code": code, "reason": reason, "message": message or reason or f"HTTP {code}", "details": details}
    return web.json_response(body, status=code)


def merge_patch(before: Any, patch: Any) -> Any:
    """RFC 7386, as its text has it."""
    if not isinstance(patch, dict):
        return patch
    after = dict(before) if isinstance(before, dict) else {}
    for name, value in patch.items():
        if value is None:
            after.pop(name, None)
        else:
            after[name] = merge_patch(after.get(name), value)
    return after


def json_patch(before: Json, operations: list[Json]) -> Json:
    """RFC 6902, as far as it is used."""
    after = copy.deepcopy(before)
    for operation in operations:
        *parents, last = [part.replace("~1", "/").replace("~0", "~") for part in operation["path"].split("/")[1:]]
        place: Any = after
        for part in parents:
            place = place[int(part) if isinstance(place, list) else part]
        key: Any = int(last) if isinstance(place, list) else last
        match operation["op"]:
            case "test":
                if (place.get(key) if isinstance(place, dict) else place[key]) != operation["value"]:
                    raise ValueError(operation["path"])
            case "remove":
                del place[key]
            case _:
                place[key] = operation["value"]
    return after


async def settled(holds: Callable[[], bool]) -> None:
    """Let the loop run until the condition holds: for what happens behind a socket, where nothing can be awaited."""
    async with asyncio.timeout(10):
        while not holds():  # noqa: ASYNC110 - the condition is a property of the code under test
            await asyncio.sleep(0.001)
