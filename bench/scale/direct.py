"""How soon a breach is answered where the operator reads the pods itself: from the first bad request to the shut route."""

from __future__ import annotations

import asyncio
import random

from bench.scale.fleet import Fleet, error_rate
from bench.scale.pages import PORT, Pages, served
from bench.scale.place import Place
from bench.scale.progress import say
from bench.scale.spread import Found, percentile
from bench.scale.usage import Meter

INTERVAL = 15.0
"""Seconds between two looks, at which Prometheus is asked as well."""
READ_EVERY = 1.0


async def read_directly(here: Place, fleet: Fleet, *, rounds: int) -> Found:
    """Roll all services out, turn them bad one by one, and see how long each has served bad requests; again and again.

    Args:
        here: where.
        fleet: the services.
        rounds: how often.
    """
    found, waits, cores = Found(), list[float](), list[float]()
    async with served() as pages:
        say(f"building {fleet.number} services")
        gate = error_rate(INTERVAL) | {"direct": {"port": str(PORT), "interval": f"{READ_EVERY:g}s"}}
        await fleet.build(INTERVAL, [gate])
        stand_in = {"name": "stand-in", "address": here.telemetry.address, "direct": {}}
        await here.start(connections=[stand_in])
        await here.quiet()
        await fleet.adopt()
        await here.until("all to be adopted", here.all_are(fleet.names, "Idle"))
        for turn in range(rounds):
            say(f"round {turn + 1} of {rounds}: rolling out")
            pages.bad_since.clear()
            watching = asyncio.create_task(_watch(here, fleet, pages))
            await here.mid_canary(fleet, f"v{turn + 2}")
            await here.until("direct readings everywhere", lambda: _all_read(here, fleet))
            chance, meter, read = random.Random(turn), Meter(here.operator.pid), pages.read
            await asyncio.sleep(5 + chance.random())
            cores.append(meter.cores)
            found.note("cpu", f"{(pages.read - read) / meter.seconds:.0f} pages a second")
            waits += await _break(here, fleet, pages, chance)
            watching.cancel()
            await here.until("the end of all rollbacks", here.all_are(fleet.names, "RolledBack"))
            await here.quiet()
    found["breach p50"], found["breach p99"] = percentile(waits, 0.5), percentile(waits, 0.99)
    found.note("breach p99", f"{len(waits)} breaches, the worst {max(waits):.2f} s")
    found["cpu"] = sum(cores) / len(cores)
    return found


async def _watch(here: Place, fleet: Fleet, pages: Pages) -> None:
    """Have the addresses of new pods lead to their pages, as soon as they have any."""
    while True:
        await pages.look(here.cluster, fleet.names, here.telemetry.stable)
        await asyncio.sleep(0.5)


def _all_read(here: Place, fleet: Fleet) -> bool:
    """Whether every service's gate says that its pods are read, and has counted something."""
    statuses = (here.statuses.of.get(name) or {} for name in fleet.names)
    gates = [gate for status in statuses for gate in status.get("gates") or ()]
    return len(gates) == fleet.number and all(
        "read directly every" in str(gate.get("telemetry", "")) and gate.get("canary") is not None for gate in gates
    )


async def _break(here: Place, fleet: Fleet, pages: Pages, chance: random.Random) -> list[float]:
    """Turn all services bad, 20 to 200 ms apart; return for each the seconds from then to the shut route."""
    here.gateway.shut.clear()
    here.gateway.lag = 0.0
    names = list(fleet.names)
    chance.shuffle(names)
    began: dict[tuple[str, str], float] = {}
    for name in names:
        began[name] = pages.turn_bad(name)
        await asyncio.sleep(chance.uniform(0.02, 0.2))
    await here.until("all routes to be shut", lambda: all(name in here.gateway.shut for name in names), within=120)
    say(f"all shut; the bench's own loop was late by {here.gateway.lag * 1000:.0f} ms at most")
    return [here.gateway.shut[name] - began[name] for name in names]
