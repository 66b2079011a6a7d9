"""A hotfix while the window is shut: it starts by somebody's word and not before, once, and is reviewed."""

from __future__ import annotations

from typing import Any

from api.deciders import GROUP
from api.people import rights
from e2e import manifests
from e2e.manifests import Json
from e2e.story import Then, When
from faults.approving import waits_for
from faults.deciding import decides, person
from faults.place import Place

SHUT = {"timeZone": "UTC", "deny": [{"cron": "* * * * *", "for": "1h", "reason": "payments are down"}]}
"""Windows that are always shut, by whatever clock."""
HOTFIX = {"skip": ["Window"], "review": "1h"}
OVERRIDE = rights(GROUP, "releases", "override")
REVIEW = rights(GROUP, "releases/reviewer", "attest")


async def goes_past_the_window(place: Place, *steps: Json, **policy: Any) -> None:
    """A hotfix waits for its window until somebody overrides, is promoted, and then reviewed by somebody else."""
    olga = await person(place, "olga", OVERRIDE)
    rita = await person(place, "rita", REVIEW)
    await place.apply(manifests.policy(*steps, windows=SHUT, hotfix=HOTFIX, **policy))
    await place.apply(manifests.release(type="hotfix"))
    await When(place).the_image_becomes("v2")
    await place.until("v2 waits for its window", lambda: waits_for(place, "Window"))
    await decides(place, olga, "Override", reason="checkout answers 500")
    await Then(place).promoted_to("v2")
    review = place.status["reviews"][0]
    about = {"revision": review["revision"], "digest": review["digest"], "role": "reviewer"}
    await decides(place, rita, "Attest", check="review", result="Passed", **about)
    await place.until("it is reviewed", lambda: not place.status.get("reviews"))
    await Then(place).the_route_is_as_written()
