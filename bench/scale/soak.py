"""A soak: rollouts flow for half an hour over a thousand Releases, and nothing may grow, slow down or end wrongly."""

from __future__ import annotations

import asyncio
import re
import signal
import time
from pathlib import Path

from bench.scale.endurance import SAMPLE, Sample, figures
from bench.scale.fleet import Fleet
from bench.scale.flow import plan
from bench.scale.journeys import BAKE, HOLD, INTERVAL, Flow
from bench.scale.place import Place, place
from bench.scale.progress import say
from bench.scale.spread import Found
from bench.scale.usage import Meter, Spent, handles, resident, threads

from tidegate.cluster.resources import REPLICA_SETS
from tidegate.cluster.sending import Json

EVERY = 1.0
"""Seconds between two journeys that begin."""
FIRST = "v2"
"""Version that every service has been rolled out to before."""
_GAUGE = re.compile(r"^(tidegate_queue_depth|tidegate_queue_oldest_seconds) (\S+)$", re.MULTILINE)


class Sampler:
    """Looks at the operator in even steps.

    Attributes:
        samples: what was seen.
    """

    def __init__(self, here: Place, flow: Flow) -> None:
        self._here, self._flow = here, flow
        self.samples: list[Sample] = []

    async def run(self, seconds: float) -> None:
        """Sample for so long.

        Raises:
            AssertionError: the operator has ended.
        """
        began = time.monotonic()
        pid = self._here.operator.pid
        self._here.audit.since()
        meter = Meter(pid)
        for number in range(1, int(seconds / SAMPLE) + 1):
            await asyncio.sleep(max(0.0, began + number * SAMPLE - time.monotonic()))
            self._here.operator.check()
            took, cores, meter = meter.seconds, meter.cores, Meter(pid)
            requests = self._here.audit.since()
            statuses = sum(count for kind, count in requests.by_kind.items() if kind.startswith("patch releases/status"))
            seen = (resident(pid), handles(pid), threads(pid), cores, statuses / took, requests.total / took)
            # Asked like any Prometheus asks; after the rest, since it is a request to the operator, too.
            gauges = {found[1]: float(found[2]) for found in _GAUGE.finditer((await self._here.operator.ask("/metrics"))[1])}
            queue = (gauges.get("tidegate_queue_depth", 0.0), gauges.get("tidegate_queue_oldest_seconds", 0.0))
            self.samples.append(Sample(number * SAMPLE, *seen, *queue, self._flow.on, await self._replica_sets()))
            if number % 6 == 0:
                say(self._words())

    async def _replica_sets(self) -> int:
        page = await self._here.cluster.get(f"{REPLICA_SETS.path()}?limit=1")
        return len(page["items"]) + int(page["metadata"].get("remainingItemCount", 0))

    def _words(self) -> str:
        last, ends = self.samples[-1], self._flow.ends
        operator = f"{last.memory:.0f} MB, {last.handles} handles, {last.threads} threads, {last.cores:.2f} cores"
        flow = f"{last.journeys} journeys, {len(ends.latencies)} breaches, {len(ends.wrong)} wrong"
        return f"minute {last.at / 60:.0f}: {operator}, {last.statuses:.0f} statuses/s, queue {last.queue:.0f}; {flow}"


async def soak(*, number: int, minutes: float, profile: Path | None = None) -> Found:
    """Let rollouts flow, and see what grows.

    Args:
        number: services.
        minutes: for how long.
        profile: where profiles go, of each third of the time; None where none are wanted.
    """
    whole = 60 * minutes
    async with place(INTERVAL, profile=profile) as here:
        fleet = Fleet(here.cluster, number, history=1)
        say(f"building {number} services")
        spent = Spent()
        await fleet.build(INTERVAL, steps=[{"weight": 20, "hold": HOLD}, {"weight": 100}], bake=BAKE)
        await here.start()
        await fleet.adopt()
        await here.until("all to be adopted", here.all_are(fleet.names, "Idle"))
        say(f"built and adopted in {spent.words()}")
        await _first_rollouts(here, fleet)
        flow = Flow(here, fleet)
        sampler = Sampler(here, flow)
        spent = Spent()
        async with asyncio.TaskGroup() as parts:
            parts.create_task(sampler.run(whole))
            parts.create_task(flow.run(plan(number, whole, EVERY)))
            for _ in range(3):
                await here.operator.begin_profile()
                await asyncio.sleep(whole / 3)
            await here.operator.begin_profile()
        say(f"the last journey has ended after {spent.words()}")
    return figures(flow.ends, sampler.samples, whole)


async def _first_rollouts(here: Place, fleet: Fleet) -> None:
    """Promote a version everywhere, and start the operator anew.

    A Release that has had a rollout keeps more than one that has had none: how it ended, and an old ReplicaSet. To fill that up is
    no growth. The new process has none of the memory that a thousand rollouts at once took.
    """
    spent = Spent()
    here.telemetry.heal()
    here.telemetry.stable = await fleet.stable_revisions()
    await fleet.roll_out(FIRST)

    def promoted() -> bool:
        statuses = (here.statuses.of.get(name) or {} for name in fleet.names)
        return all(one.get("phase") == "Idle" and _last(one).startswith(FIRST) for one in statuses)

    await here.until("the first promotion everywhere", promoted)
    say(f"promoted once in {spent.words()}; {resident(here.operator.pid):.0f} MB; starting it anew")
    await here.quiet()
    await here.operator.end(signal.SIGTERM)
    await here.start()
    await here.quiet()


def _last(status: Json) -> str:
    """Return the version of the rollout that has ended last."""
    return str((status.get("lastRollout") or {}).get("version", ""))
