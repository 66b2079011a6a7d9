"""What governance costs a rollback: the same services breached in turn without any of it and with all of it, in one run."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from typing import Any

from bench.scale.fleet import POLICY, Fleet
from bench.scale.place import Place
from bench.scale.progress import say
from bench.scale.spread import Found, beside_plain

from tidegate.cluster.resources import CLUSTER_ROLLOUT_POLICIES, RELEASE_FREEZES

FREEZE = "bench"
HELD: list[dict[str, Any]] = [{"weight": 20, "hold": "2h"}, {"weight": 100}]
APPROVALS: list[dict[str, Any]] = [{"at": "100%", "roles": {role: 1}} for role in ("qa", "security", "architect")]
WINDOWS: dict[str, Any] = {
    "timeZone": "Europe/Berlin",
    "allow": [{"cron": "0 0 * * *", "for": "24h"}],
    "deny": [{"cron": "0 0 24 12 *", "for": "72h", "reason": "holidays"}],
}
STEPS: list[dict[str, Any]] = [{"weight": 20, "hold": "1s"}, {"weight": 100}]
"""The hold is over at once in these rounds, so that every pass comes to the barriers and finds them closed."""


async def compared(here: Place, fleet: Fleet, breach: Any, *, interval: float, rounds: int) -> Found:
    """Breach all services in rounds, in turn without governance and with three approvals, two windows and a freeze each.

    Args:
        here: where.
        fleet: the services, adopted.
        breach: turns all services bad; returns for each the seconds until its route is shut, from the breach and from the first bad
            reading.
        interval: seconds between looks.
        rounds: of each kind.
    """
    taken = {"plain": list[float](), "governed": list[float]()}
    for turn in range(2 * rounds):
        kind = ("plain", "governed")[turn % 2]
        governs = kind == "governed"
        say(f"{kind}, round {turn // 2 + 1} of {rounds}: rolling out")
        await _policy(here, steps=STEPS if governs else HELD, governs=governs)
        await here.mid_canary(fleet, f"v{turn + 2}")
        if governs:
            await _freeze(here)
            await here.until("all to wait for approvals", lambda: _wait(here, fleet))
        chance = random.Random(turn // 2)
        await asyncio.sleep(interval * (3 + chance.random()))
        taken[kind] += [seconds for _, seconds in await breach(chance)]
        await here.until("the end of all rollbacks", here.all_are(fleet.names, "RolledBack"))
        if governs:
            await here.cluster.delete(RELEASE_FREEZES.path(None, FREEZE))
        await here.quiet()
    return beside_plain(taken, "governed")


def _wait(here: Place, fleet: Fleet) -> bool:
    statuses: Sequence[dict[str, Any]] = [here.statuses.of.get(name) or {} for name in fleet.names]
    return all({"Approval", "Freeze"} <= {one["barrier"] for one in status.get("waitingFor") or ()} for status in statuses)


async def _policy(here: Place, *, steps: list[dict[str, Any]], governs: bool) -> None:
    body = {"spec": {"steps": steps, "approvals": APPROVALS if governs else None, "windows": WINDOWS if governs else None}}
    await here.cluster.merge_patch(CLUSTER_ROLLOUT_POLICIES.path(None, POLICY), body, manager="author")


async def _freeze(here: Place) -> None:
    body = {"apiVersion": RELEASE_FREEZES.api_version, "kind": RELEASE_FREEZES.kind, "metadata": {"name": FREEZE}}
    await here.cluster.create(RELEASE_FREEZES.path(), body | {"spec": {"reason": "a bench"}}, manager="author")
