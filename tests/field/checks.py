"""What must hold in the end of a case besides its outcome; each answers with what is wrong, in words, or with nothing."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from e2e.manifests import NAME
from e2e.world import World
from field import hands

DOUBT = "twice"
"""What the operator must say where it counts requests more than once and knows it."""
SLACK = 1.3
"""How many times as many requests as users have sent a gate may have counted, for requests of probes and those under way."""


async def other_pods_keep_their_share(world: World) -> str:
    """While the route is split, pods that are not the Release's are asked as well."""
    assert world.load is not None
    times = [seen.at for seen in world.history.versions("HTTPRoute", NAME) if hands.split_in(seen.object)]
    if not times:
        return ""
    answers = world.load.answers().between(times[0] + 1, times[-1])
    others = sum(answer.pod.startswith("spot") for answer in answers)
    return "" if others * 4 > len(answers) else f"{others} of {len(answers)} requests went to the other Deployment's pods"


async def requests_are_counted_once(world: World) -> str:
    """A gate has not counted more requests than users have sent, or says that it does."""
    assert world.load is not None
    sent = len([answer for answer in world.load.answers() if answer.version == "v2"])
    for gate in world.status.get("gates", ()):
        counted = (gate.get("evidence") or {}).get("canaryRequests") or gate.get("samples") or 0
        if counted > SLACK * sent and DOUBT not in gate.get("message", ""):
            return f"{counted:.0f} requests were counted, of {sent} that were sent: {gate.get('message')}"
    return ""


async def the_traffic_policy_follows(world: World) -> str:
    """While the route is split, a policy of the user's kind names the operator's Services, too."""
    if not any(hands.split_in(seen.object) for seen in world.history.versions("HTTPRoute", NAME)):
        return ""
    _, said = await world.kubectl("get", "events", "--output=jsonpath={.items[*].message}")
    return "" if "XBackendTrafficPolicy" in said else "the policy was lost on the operator's Services, and nobody said so"


CHECKS: dict[str, Callable[[World], Awaitable[str]]] = {
    one.__name__: one for one in (other_pods_keep_their_share, requests_are_counted_once, the_traffic_policy_follows)
}
