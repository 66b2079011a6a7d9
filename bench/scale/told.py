"""What notifications cost a rollback: the same services breached in turn without channels and with receivers of which one hangs."""

from __future__ import annotations

import asyncio
import base64
import random
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web
from bench.scale.fleet import Fleet
from bench.scale.place import Place, say
from bench.scale.spread import Found, beside_plain


async def compared(here: Place, fleet: Fleet, breach: Any, *, interval: float, rounds: int) -> Found:
    """Breach all services in rounds, in turn without channels and with one that takes all and one that hangs.

    Args:
        here: where.
        fleet: the services, adopted.
        breach: turns all services bad; returns for each the seconds until its route is shut, from the breach and from the first bad
            reading.
        interval: seconds between looks.
        rounds: of each kind.

    Returns:
        `plain` and `told` p50 and p99, and `ratio p50`; an operator of its own for each round, so that both begin alike.
    """
    taken = {"plain": list[float](), "told": list[float]()}
    async with receiving() as (channels, counts):
        for turn in range(2 * rounds):
            kind = ("plain", "told")[turn % 2]
            say(f"{kind}, round {turn // 2 + 1} of {rounds}: rolling out")
            await here.operator.end(signal.SIGTERM)
            await here.start(notifications={"channels": _written(here, channels) if kind == "told" else []})
            await here.mid_canary(fleet, f"v{turn + 2}")
            chance = random.Random(turn // 2)
            await asyncio.sleep(interval * (3 + chance.random()))
            taken[kind] += [seconds for _, seconds in await breach(chance)]
            await here.until("the end of all rollbacks", here.all_are(fleet, "RolledBack"))
            await here.quiet()
    assert counts["living"] > rounds * fleet.number, f"the living receiver has heard of {counts['living']} transitions"
    assert counts["hanging"], "the hanging receiver was never asked"
    return beside_plain(taken, "told")


@asynccontextmanager
async def receiving() -> AsyncIterator[tuple[dict[str, str], dict[str, int]]]:
    """Run both receivers; yield their addresses, and how often each was asked."""
    counts, ended = {"living": 0, "hanging": 0}, asyncio.Event()

    async def take(request: web.Request) -> web.Response:
        await request.read()
        name = request.path.strip("/")
        counts[name] += 1
        if name == "hanging":
            await ended.wait()
        return web.Response(status=202)

    app = web.Application()
    app.router.add_post("/living", take)
    app.router.add_post("/hanging", take)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    port = runner.addresses[0][1]
    try:
        yield {name: f"http://127.0.0.1:{port}/{name}" for name in counts}, counts
    finally:
        ended.set()
        await runner.cleanup()


def _written(here: Place, addresses: dict[str, str]) -> list[dict[str, Any]]:
    """Return the channels, with their secrets in files."""
    key = here.folder / "key"
    key.write_text(f"whsec_{base64.b64encode(b'b' * 32).decode()}\n")
    channels = []
    for name, address in addresses.items():
        (here.folder / name).write_text(address)
        channels.append({"name": name, "type": "webhook", "urlFile": str(here.folder / name), "secretFile": str(key)})
    return channels
