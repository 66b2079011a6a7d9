"""What notifications cost a rollback: services breached in turn without channels, and with receivers of which one hangs."""

from __future__ import annotations

import asyncio
import base64
import math
import random
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

from aiohttp import web
from bench.scale.fleet import Fleet, Name
from bench.scale.place import Place
from bench.scale.progress import say
from bench.scale.spread import Found, beside_plain

Breach = Callable[[Sequence[Name], random.Random], Awaitable[list[tuple[float, float]]]]


async def compared(here: Place, fleet: Fleet, breach: Breach, *, interval: float, rounds: int, breached: int) -> Found:
    """Take all services to 20%, and breach some at a time: without channels, and with one that takes all and one that hangs.

    Args:
        here: where.
        fleet: the services, adopted.
        breach: turns the named services bad; returns for each the seconds until its route is shut, from the breach and from the
            first bad reading.
        interval: seconds between looks.
        rounds: of each kind; even, for fewer services are left to watch in each: plain, told, told, plain.
        breached: services of each round.

    Returns:
        `plain` and `told` p50 and p99 from the breach, and `ratio p50`; the same from the first bad reading as `reading plain p50`
        and so on. An operator of its own for each round, so that both begin alike.
    """
    breaches = {"plain": list[float](), "told": list[float]()}
    readings = {"plain": list[float](), "told": list[float]()}
    await here.mid_canary(fleet, "v2")
    left = list(fleet.names)
    random.Random(0).shuffle(left)
    async with receiving() as (channels, counts):
        for turn in range(2 * rounds):
            kind = ("plain", "told", "told", "plain")[turn % 4]
            say(f"{kind}, round {turn + 1} of {2 * rounds}: {len(left)} services mid-canary")
            await here.operator.end(signal.SIGTERM)
            here.telemetry.seen.clear()
            await here.start(notifications={"channels": _written(here, channels) if kind == "told" else []})
            await here.until("looks everywhere", partial(here.all_judged, left, looks=3))
            chance = random.Random(turn // 2)
            await asyncio.sleep(interval * chance.random())
            names, left = left[:breached], left[breached:]
            taken = await breach(names, chance)
            breaches[kind] += [seconds for seconds, _ in taken]
            readings[kind] += [seconds for _, seconds in taken]
            await here.until("the end of these rollbacks", here.all_are(names, "RolledBack"))
            await here.quiet()
    assert counts["living"] >= rounds * breached, f"the living receiver has heard of {counts['living']} transitions"
    assert counts["hanging"], "the hanging receiver was never asked"
    found, more = beside_plain(breaches, "told"), beside_plain(readings, "told")
    found.update((f"reading {name}", value) for name, value in more.items())
    return found


async def turned_bad(here: Place, names: Sequence[Name], interval: float, chance: random.Random) -> dict[Name, float]:
    """Turn services bad one after the other, and return when that was.

    How long after a breach the next look is due is most of what passes, and has nothing to do with channels. So these times are
    spread evenly over the interval, alike in each round, and not drawn.
    """
    here.gateway.shut.clear()
    here.gateway.lag = 0.0
    await here.operator.begin_profile()
    order = list(names)
    chance.shuffle(order)
    now, due = time.time(), list[tuple[float, Name]]()
    for place, name in enumerate(order):
        ahead = interval * (place + 0.5) / len(order)
        earliest = now + chance.random() * interval
        last = here.telemetry.seen[name].times[-1]
        due.append((last - ahead + interval * math.ceil((earliest - last + ahead) / interval), name))
    visible = {}
    for at, name in sorted(due):
        await asyncio.sleep(max(0.0, at - time.time()))
        visible[name] = here.telemetry.turn_bad(name)
    return visible


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
