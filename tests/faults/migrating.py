"""Jobs that change a database: whoever dies at whichever write, each runs once, and nothing starts or rises before its own.

Some never end by themselves: their pods fit on no node.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from e2e.manifests import NAME
from faults.checking import cron_job
from faults.place import Place

PHASES = ("backup", "dryRun", "expand", "migrate", "contract", "rollback")
LONG = "3h"
"""Longer than the clock of any fault is wrong."""
PATIENT = 3
"""How many times as long as others such a journey may take."""
NEEDED = {0: "Expand", 100: "Migrate"}
"""What has to be complete before a weight."""


def migrations(**timeouts: str) -> dict[str, Any]:
    """Return the fields of a policy with a backup and all migrations.

    Args:
        timeouts: of single ones, by name.
    """
    jobs = {phase: {"cronJob": f"{NAME}-{phase.lower()}", "timeout": timeouts.get(phase, LONG)} for phase in PHASES}
    return {"backup": jobs.pop("backup"), "migrations": jobs}


def migrated(begin: Callable[[Place], Awaitable[None]], *hanging: str) -> Callable[[Place], Awaitable[None]]:
    """Have a CronJob there for each, whose pods run on fake nodes, where they end well by themselves.

    Args:
        begin: what is there besides.
        hanging: those whose pods fit on no node.
    """

    async def begins(place: Place) -> None:
        for phase in PHASES:
            made = cron_job(place.namespace)
            made["metadata"]["name"] = f"{NAME}-{phase.lower()}"
            if phase in hanging:
                made["spec"]["jobTemplate"]["spec"]["template"]["spec"]["nodeSelector"] = {"type": "nowhere"}
            await place.apply(made)
        # Six Jobs come one after the other, and each is looked at more and more rarely.
        place.patience *= PATIENT
        await begin(place)

    return begins


async def came_to(place: Place, phase: str, result: str = "Passed") -> None:
    """Wait until a phase has come to something."""

    def has() -> bool:
        runs = (place.status.get("migration") or {}).get("runs") or ()
        return any((one["phase"], one["result"]) == (phase, result) for one in runs)

    await place.until(f"{phase} has {result.lower()}", has)
