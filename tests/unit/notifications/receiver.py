"""A receiver on loopback, which takes messages, refuses them, hangs or drips; and what channels are tested with."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from aiohttp import web

from tidegate.api.outbox import TransitionStatus
from tidegate.notifications.channel import Channel
from tidegate.notifications.config import ChannelConfig, NotificationsConfig
from tidegate.notifications.message import Message
from tidegate.runtime.clock import ManualClock

SECRET = "T0P/SeCrEt-h00k"
KEY = base64.b64encode(b"k" * 32).decode()
Reply = Callable[[web.Request], web.Response] | int
Json = dict[str, Any]


class Receiver:
    """Keeps what it was sent, and answers as it is told to."""

    def __init__(self) -> None:
        self.got: list[tuple[Mapping[str, str], Json]] = []
        self.asked = 0
        self.reply: Reply = 200
        self.hangs = asyncio.Event()
        self.hangs.set()
        self.hangs_over: Callable[[web.Request], bool] = lambda _: True
        self.port = 0

    @property
    def url(self) -> str:
        """An address with a secret in it."""
        return f"http://127.0.0.1:{self.port}/services/{SECRET}"

    @property
    def numbers(self) -> list[tuple[str, int]]:
        """Release and number of what was taken from a web hook, in its order."""
        return [(body["data"]["release"], body["data"]["number"]) for _, body in self.got]

    async def serve(self, request: web.Request) -> web.StreamResponse:
        body = json.loads(await request.read())
        self.asked += 1
        if self.hangs_over(request):
            await self.hangs.wait()
        reply = self.reply(request) if callable(self.reply) else web.Response(status=self.reply)
        if reply.status < 300:
            self.got.append((dict(request.headers), body))
        return reply


@asynccontextmanager
async def receiving() -> AsyncIterator[Receiver]:
    """Run a receiver."""
    receiver = Receiver()
    app = web.Application()
    app.router.add_post("/{path:.*}", receiver.serve)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    receiver.port = runner.addresses[0][1]
    try:
        yield receiver
    finally:
        receiver.hangs.set()
        await runner.cleanup()


@asynccontextmanager
async def dripping(first: bytes, *, port: list[int]) -> AsyncIterator[None]:
    """Run a server that answers some bytes, and then one more each hundredth of a second."""
    open_ones = list[tuple[asyncio.Task[None] | None, asyncio.StreamWriter]]()

    async def drip(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        open_ones.append((asyncio.current_task(), writer))
        try:
            writer.write(first)
            while not writer.is_closing():
                writer.write(b"x")
                await writer.drain()
                await asyncio.sleep(0.01)
        except ConnectionError:
            return

    server = await asyncio.start_server(drip, "127.0.0.1", 0)
    port.append(server.sockets[0].getsockname()[1])
    try:
        yield
    finally:
        server.close()
        await ended(open_ones)


async def ended(ones: list[tuple[asyncio.Task[None] | None, asyncio.StreamWriter]]) -> None:
    """End what a server of the tests still does, each connection with its task."""
    for _, writer in ones:
        writer.transport.abort()
    await asyncio.gather(*(task for task, _ in ones if task is not None), return_exceptions=True)


def release(name: str = "checkout", namespace: str = "shop", **labels: str) -> Json:
    """A Release as it is stored."""
    metadata = {"namespace": namespace, "name": name, "uid": f"uid-{name}", "labels": labels}
    return {"apiVersion": "tidegate.dev/v1alpha1", "kind": "Release", "metadata": metadata, "spec": {"environment": "production"}}


def happened(number: int, event: str, at: datetime, *, warns: bool = False, message: str = "v2 was seen") -> TransitionStatus:
    """A transition of a Release."""
    type_ = "Warning" if warns else "Normal"
    reason = "".join(part.capitalize() for part in event.split("-"))
    return TransitionStatus(number=number, id=event, reason=reason, type=type_, message=message, version="v2", at=at)


class Told:
    """A channel with all that it tells its operator."""

    def __init__(self, clock: ManualClock, config: ChannelConfig, **settings: Any) -> None:
        self.outcomes: list[str] = []
        self.moved: list[tuple[str, str]] = []
        self.dropped: list[tuple[Message, str]] = []
        self.clock = clock
        self.channel = Channel(
            config,
            NotificationsConfig(**settings),
            clock=clock,
            count=lambda _, outcome: self.outcomes.append(outcome),
            moved=lambda namespace, name: self.moved.append((namespace, name)),
            dropped=lambda message, why: self.dropped.append((message, why)),
        )

    def take(self, number: int, event: str = "rollout-started", *, of: str = "checkout", **more: Any) -> TransitionStatus:
        """Hand it a transition that happens now."""
        one = happened(number, event, self.clock.now(), **more)
        self.channel.take(release(of), one, again=False)
        return one


def hook(folder: Path, receiver: Receiver, name: str = "hook", **more: Any) -> ChannelConfig:
    """A signed web hook, with its secrets in files."""
    (folder / "url").write_text(f"{receiver.url}\n")
    (folder / "key").write_text(f"whsec_{KEY}\n")
    fields = {"name": name, "type": "webhook", "urlFile": str(folder / "url"), "secretFile": str(folder / "key"), "timeout": "2s"}
    return ChannelConfig.model_validate({**fields, **more})


HOUR = timedelta(hours=1)
