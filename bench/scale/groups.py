"""The groups of cells. Each is measured in a cluster of its own, and gives its figures by name."""

from __future__ import annotations

import asyncio
import random
import signal
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from bench.scale import told
from bench.scale.direct import INTERVAL, read_directly
from bench.scale.fleet import Fleet, Name, seed_gates
from bench.scale.governed import compared
from bench.scale.names import SOAK_MINUTES
from bench.scale.place import Place, place
from bench.scale.progress import say
from bench.scale.shared import shared_out
from bench.scale.soak import soak
from bench.scale.spread import Found, percentile
from bench.scale.usage import Meter, Spent, resident
from bench.scale.votes import counted

QUICK = 0.1
"""Share of the services that a quick run has; its figures are no results."""


@dataclass(frozen=True)
class Run:
    """How a group is run.

    Attributes:
        quick: with a tenth of the services, to see that it works.
        profile: folder that takes profiles of the operator; None where none are wanted.
        services: how many to take, whatever the group wants; None for its own number.
        minutes: how long the soak lasts.
    """

    quick: bool = False
    profile: Path | None = None
    services: int | None = None
    minutes: float = SOAK_MINUTES

    def many(self, number: int) -> int:
        """Return how many services to take."""
        if self.services is not None:
            return self.services
        return max(5, round(number * QUICK)) if self.quick else number

    def profile_of(self, group: str) -> Path | None:
        """Return where the profiles of a group go."""
        return self.profile / group if self.profile is not None else None


async def breaches(run: Run, *, group: str, number: int, interval: float, rounds: int = 1, together: bool = False) -> Found:
    """Take services to 20%, turn them bad, and see how long it takes until their routes are shut.

    Args:
        run: how.
        group: its name.
        number: services.
        interval: seconds between looks.
        rounds: how often all of it is done.
        together: at one instant; else one by one, 20 to 200 ms apart.
    """
    number, found = run.many(number), Found()
    async with place(interval, profile=run.profile_of(group)) as here:
        fleet = Fleet(here.cluster, number, replicas=2)
        found["adoption"] = await _adopted(here, fleet, interval) / number
        rollouts, breach, reading = [], list[float](), list[float]()
        for turn in range(rounds):
            say(f"round {turn + 1} of {rounds}: rolling out")
            await here.mid_canary(fleet, f"v{turn + 2}")
            found["memory"] = resident(here.operator.pid)
            # Services that were rolled out together are looked at together at first, and each in its turn from the third look on.
            # Each round begins at another point between two looks.
            chance = random.Random(turn)
            await asyncio.sleep(interval * (3 + (turn + chance.random()) / rounds))
            taken = await _break(here, fleet.names, together=together, chance=chance)
            breach += [seconds for seconds, _ in taken]
            reading += [seconds for _, seconds in taken]
            await here.until("the end of all rollbacks", here.all_are(fleet.names, "RolledBack"))
            requests = await here.quiet()
            rollouts.append(requests.total / number)
            found.note("rollout", requests.words())
    found["rollout"] = sum(rollouts) / rounds
    for name, seconds in (("breach", breach), ("reading", reading)):
        found[f"{name} p50"], found[f"{name} p99"] = percentile(seconds, 0.5), percentile(seconds, 0.99)
        found.note(f"{name} p99", f"{len(seconds)} breaches, the worst {max(seconds):.2f} s")
    return found


async def direct(run: Run, *, group: str, number: int, rounds: int = 1) -> Found:
    """See how soon a breach is answered where pods are read directly."""
    async with place(INTERVAL, profile=run.profile_of(group)) as here:
        # Pages of one namespace's pods may take a tenth of a processor, which 30 Releases with pages of 2,000 series would use up.
        return await read_directly(here, Fleet(here.cluster, run.many(number), replicas=2, together=5), rounds=rounds)


async def governed(run: Run, *, group: str, number: int, interval: float, rounds: int = 1) -> Found:
    """See what approvals, windows and a freeze cost a breach: in turn without and with them."""
    number = run.many(number)
    async with place(interval, profile=run.profile_of(group)) as here:
        fleet = Fleet(here.cluster, number, replicas=2)
        await _adopted(here, fleet, interval)

        async def breach(chance: random.Random) -> list[tuple[float, float]]:
            return await _break(here, fleet.names, together=False, chance=chance)

        return await compared(here, fleet, breach, interval=interval, rounds=rounds)


async def notified(run: Run, *, group: str, number: int, interval: float, rounds: int = 2) -> Found:
    """See what notifications cost a breach among many services: in turn without channels, and with receivers of which one hangs."""
    number = run.many(number)
    breached = number * 3 // 20
    async with place(interval, profile=run.profile_of(group)) as here:
        fleet = Fleet(here.cluster, number, replicas=2)
        await _adopted(here, fleet, interval)

        async def breach(names: Sequence[Name], chance: random.Random) -> list[tuple[float, float]]:
            return await _shut(here, names, await told.turned_bad(here, names, interval, chance))

        return await told.compared(here, fleet, breach, interval=interval, rounds=rounds, breached=breached)


async def votes(run: Run, *, group: str, number: int, interval: float, rounds: int = 1) -> Found:
    """See how long an approval takes to count, with every service mid-canary and waiting for one."""
    number = run.many(number)
    async with place(interval, profile=run.profile_of(group)) as here:
        fleet = Fleet(here.cluster, number, replicas=2)
        await _adopted(here, fleet, interval)
        return await counted(here, fleet, rounds=rounds)


async def _adopted(here: Place, fleet: Fleet, interval: float) -> int:
    """Build a fleet, have the operator adopt it, and return the API requests that this took."""
    say(f"building {fleet.number} services")
    await fleet.build(interval)
    await here.start()
    await here.quiet()
    await fleet.adopt()
    await here.until("all to be adopted", here.all_are(fleet.names, "Idle"))
    requests = await here.quiet()
    say(f"adopted: {requests.words()}")
    return requests.total


async def _break(here: Place, names: Sequence[Name], *, together: bool, chance: random.Random) -> list[tuple[float, float]]:
    """Turn these services bad; return for each the seconds from the breach and from the first bad reading to the shut route."""
    here.gateway.shut.clear()
    here.gateway.lag = 0.0
    await here.operator.begin_profile()
    names = list(names)
    chance.shuffle(names)
    visible: dict[Name, float] = {}
    for name in names:
        visible[name] = here.telemetry.turn_bad(name)
        if not together:
            await asyncio.sleep(chance.uniform(0.02, 0.2))
    return await _shut(here, names, visible)


async def _shut(here: Place, names: Sequence[Name], visible: Mapping[Name, float]) -> list[tuple[float, float]]:
    """Wait until all routes are shut; return for each the seconds from the breach and from the first bad reading to that."""
    await here.until("all routes to be shut", lambda: all(name in here.gateway.shut for name in names), within=120)
    say(f"all shut; the bench's own loop was late by {here.gateway.lag * 1000:.0f} ms at most")
    taken = []
    for name in names:
        shut, first = here.gateway.shut[name], here.telemetry.seen[name].first_bad
        assert first is not None, f"{name} was rolled back without a bad reading"
        taken.append((shut - visible[name], shut - first))
    return taken


async def canary(
    run: Run,
    *,
    group: str,
    number: int,
    interval: float,
    window: float,
    gates: Callable[[float], Sequence[dict[str, object]]] | None,
) -> Found:
    """Take many services to 20%, and see what it costs to watch them there; then kill the operator and start it again."""
    number, found = run.many(number), Found()
    async with place(interval, profile=run.profile_of(group)) as here:
        fleet = Fleet(here.cluster, number)
        say(f"building {number} services")
        await fleet.build(interval, gates(interval) if gates else None)
        await here.start()
        base = resident(here.operator.pid)
        await fleet.adopt()
        await here.until("all to be adopted", here.all_are(fleet.names, "Idle"))
        await here.mid_canary(fleet, "v2")
        await asyncio.sleep(2 * interval)
        here.audit.since()
        await here.operator.begin_profile()
        asked, meter = here.telemetry.requests, Meter(here.operator.pid)
        await asyncio.sleep(window / 4 if run.quick else window)
        found["cpu"], found["memory"] = meter.cores, resident(here.operator.pid)
        await here.operator.begin_profile()
        requests = here.audit.since()
        found["queries"], found["writes"] = (here.telemetry.requests - asked) / meter.seconds, requests.total / meter.seconds
        found.note("writes", requests.words())
        found["each"] = 1000 * (found["memory"] - base) / number
        found.note("each", f"{base:.0f} MB before any Release was adopted")
        say("killing the operator")
        await here.operator.end(signal.SIGKILL)
        here.telemetry.seen.clear()
        began = time.time()
        ready = await here.start()
        await here.until("all to be judged again", lambda: here.judged(fleet))
        answered = sorted(here.telemetry.seen[name].judged for name in fleet.names)
        found["restart"] = answered[-1] - began
        found.note("restart", f"ready after {ready:.1f} s, half of them judged after {percentile(answered, 0.5) - began:.1f} s")
        await asyncio.sleep(2 * interval)
        found["restart memory"] = resident(here.operator.pid)
    return found


async def idle(run: Run, *, group: str, number: int, window: float) -> Found:
    """Have many services adopted, and see what it costs that nothing happens."""
    number, found = run.many(number), Found()
    async with place(10.0, profile=run.profile_of(group)) as here:
        await here.start()
        await here.quiet()
        found["base"] = resident(here.operator.pid)
        await here.operator.end(signal.SIGTERM)
        fleet = Fleet(here.cluster, number)
        found["adoption"] = await _settle(here, fleet)
        found.note("memory", f"{resident(here.operator.pid):.0f} MB in the process that has adopted them")
        await here.operator.end(signal.SIGTERM)
        found["start"] = await here.start()
        await here.quiet()
        await asyncio.sleep(30)
        here.audit.since()
        await here.operator.begin_profile()
        meter = Meter(here.operator.pid)
        await asyncio.sleep(window / 10 if run.quick else window)
        await here.operator.begin_profile()
        requests, hours = here.audit.since(), meter.seconds / 3600
        found["cpu"], found["memory"] = meter.cores, resident(here.operator.pid)
        whole = requests.by_kind.total()
        found["requests"], found["upkeep"] = (whole - requests.upkeep) / hours, requests.upkeep / hours
        minutes = f"counted for {meter.seconds / 60:.0f} min"
        found.note("requests", f"{minutes}; the operator's own upkeep, which no Release is the reason of, is not among them")
        found.note("upkeep", f"{minutes}: {requests.words() or 'none'}")
        found["each"] = 1000 * (found["memory"] - found["base"]) / number
        found.note("each", f"{found['base']:.0f} MB without any Release; each has one pod")
    return found


async def _settle(here: Place, fleet: Fleet) -> float:
    """Build a fleet and have it adopted; return the seconds from the first Release to the end of all adoptions."""
    say(f"building {fleet.number} services")
    spent = Spent()
    await fleet.build(10.0)
    say(f"built in {spent.words()}")
    await here.start()
    spent, began = Spent(), time.monotonic()
    await fleet.adopt()
    say(f"Releases created in {spent.words()}")
    await here.until("all to be adopted", here.all_are(fleet.names, "Idle"), within=1800)
    seconds = time.monotonic() - began
    say(f"adopted in {spent.words()}")
    await here.quiet()
    say(f"{resident(here.operator.pid):.0f} MB; starting it anew")
    return seconds


async def soaked(run: Run, *, number: int) -> Found:
    """Let rollouts flow over many services for as long as the run says."""
    return await soak(number=run.many(number), minutes=run.minutes, profile=run.profile_of("soak"))


async def shards(run: Run, *, group: str, number: int, interval: float, window: float) -> Found:
    """Share many services out over three replicas."""
    number = run.many(number)
    async with place(interval, profile=run.profile_of(group)) as here:
        fleet = Fleet(here.cluster, number)
        say(f"building {number} services")
        await fleet.build(interval)
        return await shared_out(here, fleet, interval=interval, window=window / 4 if run.quick else window)


Group = Callable[[Run], Coroutine[Any, Any, Found]]

GROUPS: dict[str, Group] = {
    "services-30": partial(breaches, group="services-30", number=30, interval=5.0, rounds=4),
    "direct-30": partial(direct, group="direct-30", number=30, rounds=4),
    "services-200": partial(breaches, group="services-200", number=200, interval=2.0),
    "services-300": partial(breaches, group="services-300", number=300, interval=5.0, together=True),
    "services-500": partial(breaches, group="services-500", number=500, interval=5.0, together=True),
    "governed-200": partial(governed, group="governed-200", number=200, interval=2.0),
    "told-1000": partial(notified, group="told-1000", number=1000, interval=10.0),
    "votes-200": partial(votes, group="votes-200", number=200, interval=2.0),
    "canary-1000": partial(canary, group="canary-1000", number=1000, interval=10.0, window=120.0, gates=None),
    "seed-1000": partial(canary, group="seed-1000", number=1000, interval=10.0, window=120.0, gates=seed_gates),
    "idle-5000": partial(idle, group="idle-5000", number=5000, window=600.0),
    "soak": partial(soaked, number=1000),
    "shards-12000": partial(shards, group="shards-12000", number=12_000, interval=10.0, window=120.0),
}
