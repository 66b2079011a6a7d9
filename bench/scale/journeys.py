"""Takes services through the journeys of a soak, and sees to it that each ends as it should."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

from bench.scale.endurance import Ends
from bench.scale.fleet import Fleet, Name
from bench.scale.flow import Journey, Start
from bench.scale.place import Place
from bench.scale.progress import say

from tidegate.cluster.errors import ApiError
from tidegate.cluster.resources import RELEASES
from tidegate.cluster.sending import Json

INTERVAL = 10.0
"""Seconds between looks."""
HOLD, BAKE = "60s", "15s"
PATIENCE = 180.0
"""Seconds for each part of a journey; a healthy one takes the hold, the bake and a little more."""


class WrongEndError(Exception):
    """A journey did not end as it should have."""


class Flow:
    """Takes services through their journeys.

    Args:
        here: the cluster.
        fleet: the services.

    Attributes:
        ends: what has become of the journeys.
        on: how many are on.
    """

    def __init__(self, here: Place, fleet: Fleet) -> None:
        self._here, self._fleet = here, fleet
        self._began = time.time()
        self._versions = 0
        self._busy: dict[Name, asyncio.Lock] = {name: asyncio.Lock() for name in fleet.names}
        self.ends = Ends()
        self.on = 0

    async def run(self, starts: list[Start]) -> None:
        """Begin each journey when it is due, and wait until the last has ended."""
        self._began = time.time()
        async with asyncio.TaskGroup() as journeys:
            for start in starts:
                await asyncio.sleep(max(0.0, self._began + start.at - time.time()))
                journeys.create_task(self._go(start))

    async def _go(self, start: Start) -> None:
        name = self._fleet.names[start.service]
        ways: dict[Journey, Callable[[Name, float], Awaitable[None]]] = {
            Journey.PROMOTE: self._promote,
            Journey.BREACH: self._breach,
            Journey.SUPERSEDE: self._supersede,
            Journey.REQUEST: self._request,
            Journey.RECREATE: self._recreate,
        }
        async with self._busy[name]:
            self.on += 1
            try:
                self._here.telemetry.heal_one(name)
                self._here.telemetry.stable[name] = self._stable(name)
                await ways[start.journey](name, start.chance)
                self.ends.done[start.journey] += 1
            except (WrongEndError, ApiError) as error:
                self.ends.wrong.append(f"{name[1]}, to be {start.journey}: {error}")
                say(f"WRONG END: {self.ends.wrong[-1]}")
            finally:
                self.on -= 1

    async def _promote(self, name: Name, _chance: float) -> None:
        await self._ends(name, await self._roll_out(name), "Idle", "Promoted", "Promoted")

    async def _breach(self, name: Name, chance: float) -> None:
        version = await self._roll_out(name)
        await self._at_first_step(name, version)
        # At least one look has been taken by then; the breach falls anywhere between two.
        await asyncio.sleep(INTERVAL * (1 + chance))
        shut = self._here.gateway.shut
        shut.pop(name, None)
        self._here.telemetry.turn_bad(name)
        await self._until(name, "the route to be shut", lambda: name in shut)
        seen = self._here.telemetry.seen.get(name)
        if seen is None or seen.first_bad is None:
            raise WrongEndError("the route was shut without a bad reading")
        self.ends.latencies.append((shut[name] - self._began, shut[name] - seen.first_bad))
        await self._ends(name, version, "RolledBack", "RolledBack", "GateBreached")

    async def _supersede(self, name: Name, chance: float) -> None:
        first = await self._roll_out(name)
        await self._at_first_step(name, first)
        await asyncio.sleep(INTERVAL * 2 * chance)
        second = await self._roll_out(name)
        await self._at_first_step(name, second)
        self._expect(name, self._status(name).get("lastRollout"), first, "Superseded", "Superseded")
        await self._ends(name, second, "Idle", "Promoted", "Promoted")

    async def _request(self, name: Name, chance: float) -> None:
        version = await self._roll_out(name)
        await self._at_first_step(name, version)
        await asyncio.sleep(INTERVAL * chance)
        asked = {"metadata": {"annotations": {"tidegate.dev/request": f"rollback/{version}"}}}
        await self._here.cluster.merge_patch(RELEASES.path(*name), asked, manager="author")
        await self._ends(name, version, "RolledBack", "RolledBack", "Requested")

    async def _recreate(self, name: Name, _chance: float) -> None:
        stable = self._stable(name)
        statuses = self._here.statuses.of
        await self._here.cluster.delete(RELEASES.path(*name))
        await self._until(name, "the Release to be gone", lambda: name not in statuses)
        await self._fleet.adopt_one(name)
        await self._until(name, "its adoption", lambda: self._status(name).get("phase") == "Idle")
        found = self._stable(name)
        if found != stable:
            raise WrongEndError(f"{found} is stable after the adoption, and not {stable}")

    async def _roll_out(self, name: Name) -> str:
        self._versions += 1
        version = f"s{self._versions:06}"
        await self._fleet.roll_out_one(name, version)
        return version

    async def _at_first_step(self, name: Name, version: str) -> None:
        def there() -> bool:
            status = self._status(name)
            candidate, step = status.get("candidate") or {}, status.get("step") or {}
            return str(candidate.get("version", "")).startswith(version) and status.get("weight") == 20 and bool(step.get("since"))

        await self._until(name, f"the first step of {version}", there)

    async def _ends(self, name: Name, version: str, phase: str, outcome: str, cause: str) -> None:
        """Wait for the end of the rollout of a version, and see whether it is the right one."""
        stable = self._here.telemetry.stable[name]

        def over() -> bool:
            status = self._status(name)
            last = str((status.get("lastRollout") or {}).get("version", "")).startswith(version)
            return last and status.get("phase") in {"Idle", "RolledBack"}

        await self._until(name, f"the end of {version}", over)
        status = self._status(name)
        self._expect(name, status.get("lastRollout"), version, outcome, cause)
        if status["phase"] != phase:
            raise WrongEndError(f"it is {status['phase']}, and not {phase}: {status.get('message')}")
        if (self._stable(name) != stable) is not (phase == "Idle"):
            raise WrongEndError(f"{self._stable(name)} is stable; before it was {stable}")
        await self._until(name, "no weight for the new version", lambda: not self._here.gateway.canary.get(name))

    @staticmethod
    def _expect(name: Name, last: Json | None, version: str, outcome: str, cause: str) -> None:
        found = last or {}
        right = str(found.get("version", "")).startswith(version) and (found.get("outcome"), found.get("cause")) == (outcome, cause)
        if not right:
            seen = ", ".join(str(found.get(field)) for field in ("version", "outcome", "cause", "message"))
            raise WrongEndError(f"the last rollout of {name[1]} is to be {version}, {outcome}, {cause}; it is {seen}")

    async def _until(self, name: Name, what: str, holds: Callable[[], bool]) -> None:
        deadline = time.monotonic() + PATIENCE
        while not holds():
            if time.monotonic() > deadline:
                status = self._status(name)
                raise WrongEndError(f"not within {PATIENCE:g} s: {what}; it is {status.get('phase')}: {status.get('message')}")
            await asyncio.sleep(0.2)

    def _stable(self, name: Name) -> str:
        """Return the revision that serves.

        Raises:
            WrongEndError: there is no Release, or none that serves anything.
        """
        found = self._status(name).get("stable") or {}
        if "revision" not in found:
            raise WrongEndError("there is no stable version")
        return str(found["revision"])

    def _status(self, name: Name) -> Json:
        return self._here.statuses.of.get(name) or {}
