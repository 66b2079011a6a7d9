"""Votes and commands of people in the midst of a rollout: whoever dies at whichever write, each counts once, and none too early."""

from __future__ import annotations

from api import deciders
from api.people import rights
from e2e.story import Then, When
from e2e.world import canary_share
from faults.deciding import decides, person
from faults.place import Place

VOTES = {0: "qa", 100: "architect"}
"""Whose vote a version needs before it starts, and before it gets all of the traffic."""
APPROVALS = [{"at": "Start", "roles": {"qa": 1}}, {"at": "100%", "roles": {"architect": 1}}]
"""The same, as a policy says it."""
ARCHITECT = rights(deciders.GROUP, "releases/architect", "approve", "reject")


def waits_for(place: Place, barrier: str) -> bool:
    """Whether a barrier is among those that the status says are closed."""
    return barrier in {one["barrier"] for one in place.status.get("waitingFor") or ()}


async def decided_step_by_step(place: Place, bad: float) -> None:
    """A version starts by one vote, is paused and resumed at half, gets all traffic by another vote, and turns bad."""
    ann = await person(place, "ann", deciders.QA)
    carl = await person(place, "carl", ARCHITECT)
    rex = await person(place, "rex", deciders.COMMANDS)
    await When(place).the_image_becomes("v2")
    await place.until("v2 waits for a vote", lambda: waits_for(place, "Approval"))
    await decides(place, ann, "Approve", role="qa")
    await place.until("the route carries 50%", lambda: canary_share(place.route) == 50)
    await decides(place, rex, "Pause")
    await place.until("v2 is paused", lambda: bool((place.status.get("rollout") or {}).get("paused")))
    await decides(place, carl, "Approve", role="architect")
    await decides(place, rex, "Resume")
    await place.until("all traffic is on v2", lambda: canary_share(place.route) == 100)
    place.prometheus.numbers.canary = bad
    await Then(place).rolled_back_to("v1")
