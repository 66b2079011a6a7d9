"""What must hold in the end of a case besides its outcome; each answers with what is wrong, in words, or with nothing."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from e2e.manifests import NAME
from e2e.world import World, canary_share
from field import hands, pod_hands
from tidegate.api.base import parse_time

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


async def each_backend_was_warm(world: World) -> str:
    """Each of the three had one request in ten thousand before it got all the rest, and after it."""
    found = []
    for seen in world.history.versions("HTTPRoute", NAME):
        weights = {entry["name"]: entry["weight"] for entry in seen.object["spec"]["rules"][0]["backendRefs"]}
        if 9_999 in weights.values():
            form = tuple(name.removeprefix(NAME) or "-user" for weight in (9_999, 1) for name in weights if weights[name] == weight)
            found += [form] if found[-1:] != [form] else []
    wanted = [("-user", "-stable"), ("-stable", "-user"), ("-stable", "-canary"), ("-canary", "-stable"), ("-canary", "-user")]
    return "" if found == [*wanted, ("-user", "-canary")] else f"warm were {found}"


def _shares(world: World) -> list[float]:
    """Return the new version's shares in the route, one after another."""
    shares = [canary_share(seen.object) for seen in world.history.versions("HTTPRoute", NAME)]
    return [share for before, share in zip([-1.0, *shares], shares, strict=False) if share != before]


async def it_climbed_anew(world: World) -> str:
    """The new version had a share, then none, and then climbed from the first step."""
    shares = _shares(world)
    return "" if shares[:4] == [0, 50, 0, 50] else f"the new version had {shares}"


async def each_step_was_climbed(world: World) -> str:
    """The new version went up step by step."""
    shares = _shares(world)
    return "" if shares[:3] == [0, 50, 100] else f"the new version had {shares}"


async def the_weight_is_what_pods_carry(world: World) -> str:
    """The route gives the new version no more than its ready pods carry, and the status says so."""
    share, ready = canary_share(world.route), world.ready("v2")
    told = world.status.get("weight")
    right = share <= 100 * ready / 4 and told == share
    return "" if right else f"{ready} of 4 pods are ready, the route gives {share:g}% and the status says {told}%"


async def no_weight_before_pods_are_available(world: World) -> str:
    """The first share came when a pod had been ready for the Deployment's minReadySeconds."""
    deployment = world.history.get("Deployment", NAME)
    assert deployment is not None
    least = deployment["spec"]["minReadySeconds"]
    first = next(seen.at for seen in world.history.versions("HTTPRoute", NAME) if canary_share(seen.object) > 0)
    since = [
        parse_time(condition["lastTransitionTime"]).timestamp()
        for pod in world.pods("v2")
        for condition in pod["status"]["conditions"]
        if condition["type"] == "Ready" and condition["status"] == "True"
    ]
    waited = first - min(since)
    return "" if waited >= least else f"weight was given to a pod that had been ready for {waited:.1f} s of {least} s"


async def the_second_release_says_one_true_thing(world: World) -> str:
    """The Release that came second names the first, and nobody is told to delete or rename what serves."""
    second = world.history.get("Release", pod_hands.SECOND) or {}
    said = str((second.get("status") or {}).get("message", ""))
    right = f"Release {NAME}" in said and not any(word in said for word in ("rename", "delete Service", "; spec."))
    return "" if right else f"the second Release says: {said}"


async def the_route_is_as_it_was(world: World) -> str:
    """The route is what it was before the rollout, field by field."""
    seen = world.history.versions("HTTPRoute", NAME)
    return "" if seen[-1].object["spec"] == seen[0].object["spec"] else f"the route is {seen[-1].object['spec']}"


async def old_pods_are_gone(world: World) -> str:
    """No pod of the version before is left that is not being stopped."""
    left = [pod["metadata"]["name"] for pod in world.pods("v1")]
    return f"pods of v1 are left: {', '.join(left)}" if left else ""


CHECKS: dict[str, Callable[[World], Awaitable[str]]] = {
    one.__name__: one
    for one in (
        other_pods_keep_their_share,
        requests_are_counted_once,
        the_traffic_policy_follows,
        each_backend_was_warm,
        it_climbed_anew,
        each_step_was_climbed,
        the_weight_is_what_pods_carry,
        no_weight_before_pods_are_available,
        the_second_release_says_one_true_thing,
        the_route_is_as_it_was,
        old_pods_are_gone,
    )
}
