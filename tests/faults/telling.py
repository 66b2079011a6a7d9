"""Receivers of notifications beside a journey, one that takes all and one that hangs, and what must hold of what they are told.

They live in the tests' process, so they outlive every operator that is killed. What they were told is held against what the API
server has stored: each transition that ever stood in the status, with its number.
"""

from __future__ import annotations

import asyncio
import base64
import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aiohttp import web

from e2e.manifests import NAME
from faults.recorder import Recorder

if TYPE_CHECKING:
    from faults.place import Place

KEY = base64.b64encode(b"t" * 32).decode()


@dataclass(frozen=True)
class Told:
    """Something that was received.

    Attributes:
        id: its id.
        number: number of the transition.
        event: its kind.
        text: what it said.
    """

    id: str
    number: int
    event: str
    text: str


@dataclass
class Receivers:
    """Two receivers: what the living one has taken, and how often the hanging one was asked."""

    told: list[Told] = field(default_factory=list)
    hung: int = 0
    _runner: web.AppRunner | None = None
    _ended: asyncio.Event = field(default_factory=asyncio.Event)

    async def start(self, folder: Path) -> dict[str, Any]:
        """Listen; return what an operator's configuration says of them, with secrets in files of a folder."""
        app = web.Application()
        app.router.add_post("/living", self._take)
        app.router.add_post("/hanging", self._hang)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        return self._configuration(folder, self._runner.addresses[0][1])

    async def stop(self) -> None:
        """Listen no more."""
        self._ended.set()
        if self._runner is not None:
            await self._runner.cleanup()

    def _configuration(self, folder: Path, port: int) -> dict[str, Any]:
        (folder / "key").write_text(f"whsec_{KEY}\n")
        channels = []
        for name in ("living", "hanging"):
            (folder / name).write_text(f"http://127.0.0.1:{port}/{name}\n")
            files = {"urlFile": str(folder / name), "secretFile": str(folder / "key")}
            channels.append({"name": name, "type": "webhook", "timeout": "30s", "repeatAfter": "0s", **files})
        return {"channels": channels, "audit": {"file": str(folder / "audit.jsonl")}}

    async def _take(self, request: web.Request) -> web.Response:
        data = json.loads(await request.read())["data"]
        self.told.append(Told(request.headers["webhook-id"], data["number"], data["event"], data["message"]))
        return web.Response(status=202)

    async def _hang(self, request: web.Request) -> web.Response:
        self.hung += 1
        await self._ended.wait()
        return web.Response(status=503)


def stored(recorder: Recorder) -> dict[int, tuple[str, str]]:
    """Return id and event of each transition that ever stood in the Release's status, by its number."""
    found: dict[int, tuple[str, str]] = {}
    for seen in recorder.versions("Release", NAME):
        uid = seen.object["metadata"]["uid"]
        for one in ((seen.object.get("status") or {}).get("outbox") or {}).get("transitions", ()):
            found[one["number"]] = f"{uid}.{one['number']}", one["id"]
    return found


def untold(place: Place) -> list[str]:
    """Return in words what the living receiver has not heard of."""
    if place.receivers is None:
        return []
    told = {one.id for one in place.receivers.told}
    return [f"nobody was told of {event} ({id_})" for id_, event in stored(place.recorder).values() if id_ not in told]


def check(place: Place) -> Iterator[tuple[str, str]]:
    """Yield what must not be: which invariant, and what was seen."""
    if place.receivers is None:
        return
    lives = sum(operator.starts for operator in place.operators)
    yield from wrong(place.receivers.told, stored(place.recorder), lives)
    if not place.receivers.hung:
        yield "attacked", "the receiver that hangs was never asked"


def wrong(told: list[Told], there: Mapping[int, tuple[str, str]], lives: int) -> Iterator[tuple[str, str]]:
    """Yield what must not be of what was told.

    Args:
        told: what was received, in its order.
        there: what was stored.
        lives: how many operators there were, one after another or side by side.
    """
    for id_, event in there.values():
        if id_ not in {one.id for one in told}:
            yield "told", f"nobody was told of {event} ({id_})"
    for one in told:
        if there.get(one.number) != (one.id, one.event):
            yield "told-as-stored", f"told was {one}, and stored {there.get(one.number)}"
    for id_, often in Counter(one.id for one in told).items():
        texts = {one.text for one in told if one.id == id_}
        if often > lives:
            yield "told-once", f"{id_} was told {often} times by {lives} operators"
        if len(texts) > 1:
            yield "one-id", f"{id_} was told with different words: {texts}"
    first = list(dict.fromkeys(one.number for one in told))
    if first != sorted(first):
        yield "in-order", f"transitions were told in the order {first}"
