"""Two Releases that move together: whoever dies when, none is a step ahead, and if one turns bad, both are taken back."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from e2e import manifests
from e2e.manifests import NAME, App, Json
from e2e.story import Given, When
from e2e.world import condition_of
from faults.place import Place
from faults.recorder import Instant, instants
from faults.standing import own_weights, ready_pods, revision_of, weighted
from tidegate.api.kept import opened
from tidegate.api.names import LABEL_RELEASE

MATE = "orders"
"""The other member. Nothing looks at its metrics, so that it is the one that follows."""
CALM = "calm"
"""Its policy: the same steps, without gates."""
VERSIONS = ("m1", "m2")
GROUP = {"name": "shop", "gather": "1m"}
CAUSES = {NAME: "GateBreached", MATE: "GroupRolledBack"}
"""Why each is taken back."""
Told = Iterator[tuple[str, str]]
"""What must not be: which invariant, and what was seen."""


def of_mate(manifest: Json) -> Json:
    """Return a manifest of the shop as that of the other member."""
    return dict(json.loads(json.dumps(manifest).replace(f'"{NAME}"', f'"{MATE}"')))


def deployment(version: str, replicas: int) -> Json:
    """Return its Deployment."""
    image = f"{manifests.REGISTRY}/{MATE}:{version}"
    return of_mate(manifests.deployment(App(image=image, replicas=replicas)))


def begins_together(replicas: int, *steps: Json, **policy: Any) -> Callable[[Place], Any]:
    """Two Releases of a group that are Ready, one under a policy with gates."""

    async def begin(place: Place) -> None:
        given = Given(place)
        await place.apply(of_mate(manifests.service()))
        await place.apply(of_mate(manifests.route(f"{MATE}.{place.host}")))
        await place.apply(deployment(VERSIONS[0], replicas))
        await place.apply(manifests.policy(*steps, **policy))
        await place.apply(manifests.policy(*steps, name=CALM, **(policy | {"gates": ()})))
        await given.an_app(replicas=replicas)
        await place.until("the other one's pods are ready", lambda: _available(place, replicas))
        theirs = of_mate(manifests.release(group=GROUP))
        theirs["spec"]["policyRef"] = {"name": CALM}
        await place.operator.ready()
        await place.apply(theirs)
        await given.a_release(group=GROUP)
        await place.until("the other one is Ready", lambda: _managed(place))

    return begin


def _available(place: Place, replicas: int) -> bool:
    found = place.history.get("Deployment", MATE) or {}
    return bool((found.get("status") or {}).get("availableReplicas") == replicas)


def _managed(place: Place) -> bool:
    release, held = place.history.get("Release", MATE) or {}, place.history.get("Deployment", MATE) or {"metadata": {}}
    return condition_of(release, "Ready").get("status") == "True" and LABEL_RELEASE in held["metadata"].get("labels", {})


async def both_at(place: Place, weight: int, replicas: int) -> None:
    """Both get a new version within moments, as of a tool that syncs, and come to a weight."""
    await place.apply(deployment(VERSIONS[1], replicas))
    await When(place).the_image_becomes("v2")
    await place.until(f"both have {weight}%", lambda: all(_carries(place, name) == weight for name in CAUSES))


async def mate_is_back(place: Place) -> None:
    """The other one's first version serves alone again."""

    def over() -> bool:
        status = opened((place.history.get("Release", MATE) or {}).get("status") or {})
        serves = (status.get("stable") or {}).get("version") == VERSIONS[0] and not status.get("candidate")
        return serves and status.get("phase") == "RolledBack" and len(_backends(place)) == 1

    await place.until(f"{MATE} is rolled back", over)


def _backends(place: Place) -> list[str]:
    route = place.history.get("HTTPRoute", MATE)
    return [one["name"] for rule in route["spec"]["rules"] for one in rule["backendRefs"]] if route else []


def _carries(place: Place, name: str) -> int:
    found = place.history.get("Release", name) or {}
    status = found.get("status") or {}
    return int(status.get("carried") or 0) if "since" in (status.get("step") or {}) else 0


def others_at_rest(place: Place) -> Json:
    """Return what is left of other Releases after a journey, and of their routes."""
    found = {}
    for release in place.history.all("Release"):
        name, status = release["metadata"]["name"], opened(release.get("status") or {})
        route = place.history.get("HTTPRoute", name)
        if name != NAME and route is not None:
            last = status.get("lastRollout") or {}
            found[name] = {
                "phase": status.get("phase"),
                "stable": (status.get("stable") or {}).get("version"),
                "last": [last.get(key) for key in ("version", "outcome", "cause")],
                "rejected": [(one["version"], one["cause"], one.get("member")) for one in status.get("rejected", ())],
                "route": route["spec"]["rules"],
            }
    return found


@dataclass
class Member:
    """What is remembered of one of them.

    Attributes:
        share: its new version's share of the traffic, in percent.
        undone: since when its status says that it is taken back.
        shut: when its route gave the new version nothing after that.
        rejected: its revisions that were rejected.
    """

    share: float = 0.0
    undone: float | None = None
    shut: float | None = None
    rejected: set[str] = field(default_factory=set)


class Together:
    """Looks at each change with an account of its own.

    Args:
        weights: of the steps.
    """

    def __init__(self, weights: tuple[int, ...]) -> None:
        self._before = dict(zip(weights, (0, *weights), strict=False))
        self._members = {name: Member() for name in CAUSES}

    def look(self, now: Instant) -> Told:
        """Yield what must not be of what has just happened."""
        if now.seen.type == "DELETED":
            return
        match now.seen.kind:
            case "HTTPRoute" if now.seen.name in self._members:
                yield from self._route(now)
            case "Release" if now.seen.name in self._members:
                yield from self._release(now)
            case "ReplicaSet":
                yield from self._replica_set(now)

    def _route(self, now: Instant) -> Told:
        name = now.seen.name
        mine, other = self._members[name], self._members[MATE if name == NAME else NAME]
        before, mine.share = mine.share, 100 * weighted(now, name).get(f"{name}-canary", 0.0)
        if any(rule and not sum(rule.values()) for rule in own_weights(now, name)):
            yield "somebody-serves", f"no backend of {name} has weight"
        for service in weighted(now, name):
            found = now.get("Service", service)
            if found is None or not ready_pods(now, found["spec"]["selector"]):
                yield "ready-pods", f"the route gives weight to Service {service}, which has no ready pod"
        if mine.undone is not None and mine.share == 0 and mine.shut is None:
            mine.shut = now.seen.at
        if mine.share <= before:
            return
        if mine.undone is not None:
            yield "together", f"{name} rises to {mine.share:g}% after it was taken back"
        needed = self._before.get(round(mine.share), 0)
        if other.share < needed and other.undone is None:
            yield "together", f"{name} rises to {mine.share:g}% while the other has {other.share:g}%, and not the {needed}% before"

    def _release(self, now: Instant) -> Told:
        name = now.seen.name
        mine, status = self._members[name], opened(now.seen.object.get("status") or {})
        undo = (status.get("rollout") or {}).get("undo")
        if undo and undo != CAUSES[name]:
            yield "undone-for-a-reason", f"{name} is taken back because of {undo}"
        if undo and mine.undone is None:
            mine.undone = now.seen.at
        told = {entry["revision"] for entry in status.get("rejected", ())}
        told |= {status["candidate"]["revision"]} if undo and status.get("candidate") else set()
        if forgotten := mine.rejected - told:
            yield "rejected-stays-out", f"{name}: a rejection was forgotten: {sorted(forgotten)}"
        mine.rejected |= told

    def _replica_set(self, now: Instant) -> Told:
        before = now.before["spec"]["replicas"] if now.before else 0
        app = now.seen.object["metadata"].get("labels", {}).get("app")
        rejected = self._members[app].rejected if app in self._members else set()
        if revision_of(now.seen.object) in rejected and now.seen.object["spec"]["replicas"] > before:
            yield "rejected-stays-out", f"a rejected revision of {app} gets pods again"

    def in_time(self, within: float) -> Told:
        """Yield that the other kept its new version's traffic for too long after the first was taken back."""
        first, other = self._members[NAME], self._members[MATE]
        if first.undone is None:
            return
        lasted = (other.shut if other.shut is not None else math.inf) - first.undone
        if other.undone is not None and other.share == 0 and other.shut is None:
            return
        if lasted > within:
            yield "shut-in-time", f"{MATE} kept its traffic for {lasted:.1f} s after {NAME} was taken back"


def check(place: Place, *, since: int, weights: tuple[int, ...], within: float) -> Mapping[str, str]:
    """Look at every instant of a journey of two, and return what must not be, the first of each kind."""
    watch, found = Together(weights), dict[str, str]()
    for now in instants(place.recorder.changes):
        for invariant, words in watch.look(now):
            if now.seen.order > since:
                found.setdefault(invariant, f"{words} (version {now.seen.order}: {now.seen.kind} {now.seen.name})")
    for invariant, words in watch.in_time(within):
        found.setdefault(invariant, words)
    return found
