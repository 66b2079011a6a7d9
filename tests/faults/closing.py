"""A window that shuts during a rollout: nothing rises any more, and a bad version loses its traffic all the same."""

from __future__ import annotations

import asyncio
import math
import time
from datetime import UTC, datetime
from typing import Any

from e2e import manifests
from e2e.manifests import Json
from e2e.story import Then, When
from faults.approving import waits_for
from faults.place import Place

OPEN = 40.0
"""Seconds until the window shuts: a version is at half by then, whoever has died on the way."""
SHUT_FOR = 1.0
"""Seconds after which what was decided before it shut has been seen."""


def window(now: float) -> tuple[Json, float]:
    """Return windows of which one has begun, on the minute, and when it shuts; one that lasts for less than a minute is refused."""
    began = now - now % 60 - 60
    lasts, at = round(now - began + OPEN), datetime.fromtimestamp(began, UTC)
    cron = f"{at.minute} {at.hour} {at.day} {at.month} *"
    return {"timeZone": "UTC", "allow": [{"cron": cron, "for": f"{lasts}s"}]}, began + lasts


async def shuts_at_half(place: Place, bad: float, *steps: Json, **policy: Any) -> None:
    """A version is at half when its window shuts; a person asks for all traffic, and gets none of it; then it turns bad."""
    windows, shut = window(time.time())
    await place.apply(manifests.policy(*steps, windows=windows, **policy))
    place.frozen.append((shut + SHUT_FOR, math.inf))
    await When(place).the_image_becomes("v2")
    await place.until("v2 is at half", lambda: bool((place.status.get("step") or {}).get("since")))
    await asyncio.sleep(max(0.0, shut + SHUT_FOR - time.time()))
    await When(place).asked_to("promote")
    await place.until("v2 waits for its window", lambda: waits_for(place, "Window"))
    place.prometheus.numbers.canary = bad
    await Then(place).rolled_back_to("v1")
