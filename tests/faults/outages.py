"""What happens to the whole cluster at once: all journeys are told side by side, and something that all of them need goes away."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from faults import runner, scenes
from faults.injections import Armed
from faults.journeys import JOURNEYS
from faults.oracle import Violation
from faults.place import Grounds
from faults.plan import Learned
from faults.runner import LIMIT, QUIET, Heard, Result
from tidegate_sandbox.cluster import ClusterInfo

LONGEST = 40.0
"""Seconds that an outage takes as a rule, with the journeys and what follows."""
PATIENCE = 80.0
"""Seconds for a journey: an API server needs some to come back."""
Strike = Callable[[ClusterInfo], None]


@dataclass(frozen=True)
class Outage:
    """One outage.

    Attributes:
        kind: in one word.
        after: seconds from the beginning of the journeys.
        strike: what happens; returns once it is over.
    """

    kind: str
    after: float
    strike: Strike

    def name(self, journey: str) -> str:
        """Return its name in a journey."""
        return f"{journey}/cluster-after-{self.after:g}s/{self.kind}"


def restarted(program: str) -> Strike:
    """A program is killed and started again."""

    def strike(info: ClusterInfo) -> None:
        info.stop(program)
        info.start(program)

    return strike


def frozen(program: str, seconds: float) -> Strike:
    """A program hangs for some time."""

    def strike(info: ClusterInfo) -> None:
        info.freeze(program)
        try:
            time.sleep(seconds)
        finally:
            info.thaw(program)

    return strike


STRIKES: dict[str, Strike] = {
    "api-server-killed": restarted("kube-apiserver"),
    "api-server-hangs": frozen("kube-apiserver", 3.0),
    "etcd-killed": restarted("etcd"),
    "etcd-hangs": frozen("etcd", 2.0),
    "controllers-hang": frozen("kube-controller-manager", 3.0),
}
MOMENTS = (1.5, 2.6, 0.3, 3.8)
OUTAGES = tuple(Outage(kind, after, strike) for after in MOMENTS for kind, strike in STRIKES.items())
"""Each kind once before any of them comes again."""
PLANNED = 2 * len(STRIKES)
"""How many of them the full run consists of: two moments."""


async def run(
    grounds: Grounds,
    learned: Mapping[str, Learned],
    outages: Sequence[Outage],
    *,
    until: float = math.inf,
    by: float = math.inf,
    heard: Heard | None = None,
) -> list[Result]:
    """Run outages, one after another.

    Args:
        grounds: what all share.
        learned: the journeys that are told, and what was learned of them.
        outages: which.
        until: when to begin none that would last longer, on the monotonic clock.
        by: when all have to have ended: what is under way then is given up, and is not in the result.
        heard: is told of each journey that has ended.
    """
    results: list[Result] = []
    for outage in outages:
        if time.monotonic() + LONGEST > until:
            break
        try:
            async with asyncio.timeout(None if by == math.inf else by - time.monotonic()):
                met = await meet(grounds, learned, outage)
        except TimeoutError:
            break
        results += met
        for result in met if heard is not None else ():
            heard(result)
    return results


async def alone(grounds: Grounds, learned: Learned, outage: Outage, journey: str) -> Result:
    """Tell one journey with an outage in its middle, and with no other journey beside it."""
    return (await meet(grounds, {journey: learned}, outage))[0]


async def meet(grounds: Grounds, learned: Mapping[str, Learned], outage: Outage) -> list[Result]:
    """Tell journeys side by side, with one outage in the middle of all of them."""
    begun, struck = asyncio.Barrier(len(learned) + 1), asyncio.Event()
    tasks = [asyncio.create_task(_through(grounds, outage, name, known, begun, struck)) for name, known in learned.items()]
    try:
        async with asyncio.timeout(LIMIT):
            await begun.wait()
        await asyncio.sleep(outage.after)
        await asyncio.to_thread(outage.strike, grounds.info)
    except (TimeoutError, asyncio.BrokenBarrierError):
        # One of them could not begin: it says why, and the others say that they have waited for it.
        await begun.abort()
    finally:
        struck.set()
    return list(await asyncio.gather(*tasks))


async def _through(
    grounds: Grounds, outage: Outage, name: str, learned: Learned, begun: asyncio.Barrier, struck: asyncio.Event
) -> Result:
    result, began = Result(outage.name(name)), time.monotonic()
    journey = JOURNEYS[name]
    try:
        async with asyncio.timeout(2 * LIMIT), grounds.place(**journey.settings) as place:
            await scenes.begin(place, journey)
            await place.rest(QUIET)
            place.wire.listen()
            since = runner.newest(place)
            place.patience = PATIENCE
            await begun.wait()
            await runner.travel(place, journey, Armed(place), result)
            await struck.wait()
            result.hits = 1
            await runner.conclude(place, journey, learned, since, result)
    except TimeoutError:
        await begun.abort()
        result.violations.append(Violation("ends", "it did not end in time"))
    except Exception as error:  # noqa: BLE001 - as in the runner
        await begun.abort()
        result.violations.append(Violation("harness", repr(error)[:2000]))
    result.seconds = time.monotonic() - began
    return result
