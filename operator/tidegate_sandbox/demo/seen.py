"""What the demo sees of the cluster while it plays: routes, pods, the Release and its Events, as the API server tells them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tidegate_sandbox.demo import scenario
from tidegate_sandbox.demo.kube import Kube, Object

_GATEWAY_API = "/apis/gateway.networking.k8s.io/v1"
_TIDEGATE_API = "/apis/tidegate.dev/v1alpha1"

RELEASE = f"{_TIDEGATE_API}/namespaces/{scenario.NAMESPACE}/releases/{scenario.NAME}"
DEPLOYMENT = f"/apis/apps/v1/namespaces/{scenario.NAMESPACE}/deployments/{scenario.NAME}"
ROUTE = f"{_GATEWAY_API}/namespaces/{scenario.NAMESPACE}/httproutes/{scenario.NAME}"


@dataclass(frozen=True)
class RouteSeen:
    """The route at one time (``time.time``).

    Attributes:
        weight: the canary's share in percent; None while the user's own Service carries the traffic.
    """

    at: float
    weight: float | None


@dataclass(frozen=True)
class PhaseSeen:
    """The phase of the Release from one time (``time.time``) on."""

    at: float
    phase: str


@dataclass(frozen=True)
class LookSeen:
    """What a gate had said by one time (``time.time``) according to the Release's status.

    Attributes:
        looks: the last looks, oldest first: P within the limit, F beyond it, U undecided.
    """

    at: float
    gate: str
    looks: str
    message: str


@dataclass(frozen=True)
class PodSeen:
    """A pod of the service; times are of ``time.time``."""

    name: str
    version: str
    revision: str
    ready: bool
    restarts: int
    first_at: float
    gone_at: float | None = None


@dataclass(frozen=True)
class EventSeen:
    """An Event on the Release."""

    at: float
    kind: str
    reason: str
    message: str


@dataclass
class Seen:
    """All that was seen, as it grows.

    Attributes:
        release: the Release as it is.
        deployment: the Deployment as it is.
        route: the route as it is.
        routes: what the route was, one entry per change.
        phases: the phases of the Release, one entry per change.
        looks: what gates had said, one entry per change.
        pods: by uid.
        events: by uid, as they were last.
        changed: set whenever something was seen; whoever waits clears it.
    """

    release: Object = field(default_factory=dict)
    deployment: Object = field(default_factory=dict)
    route: Object = field(default_factory=dict)
    routes: list[RouteSeen] = field(default_factory=list)
    phases: list[PhaseSeen] = field(default_factory=list)
    looks: list[LookSeen] = field(default_factory=list)
    pods: dict[str, PodSeen] = field(default_factory=dict)
    events: dict[str, EventSeen] = field(default_factory=dict)
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def status(self) -> Mapping[str, Any]:
        """The Release's status."""
        return self.release.get("status") or {}

    def revision_of(self, version: str) -> str | None:
        """Return the pod-template-hash of a version's pods; None before there are any."""
        return next((pod.revision for pod in self.pods.values() if pod.version == version), None)

    async def follow(self, kube: Kube, on_release: Callable[[], None]) -> None:
        """Watch until cancelled; ``on_release`` is called after each change of the Release."""
        namespaced = f"namespaces/{scenario.NAMESPACE}"

        def release(_: str, found: Object) -> None:
            self.release = found
            phase = self.status.get("phase", "")
            if not self.phases or self.phases[-1].phase != phase:
                self.phases.append(PhaseSeen(time.time(), phase))
            self._looks()
            on_release()

        def deployment(_: str, found: Object) -> None:
            self.deployment = found

        async with asyncio.TaskGroup() as group:
            group.create_task(self._each(kube, f"{_TIDEGATE_API}/{namespaced}/releases", release))
            group.create_task(self._each(kube, f"/apis/apps/v1/{namespaced}/deployments", deployment))
            group.create_task(self._each(kube, f"{_GATEWAY_API}/{namespaced}/httproutes", self._route))
            group.create_task(self._each(kube, f"/api/v1/{namespaced}/pods", self._pod))
            group.create_task(self._each(kube, f"/api/v1/{namespaced}/events", self._event))

    async def _each(self, kube: Kube, path: str, take: Callable[[str, Object], None]) -> None:
        async for change, found in kube.follow(path):
            take(change, found)
            self.changed.set()

    def _looks(self) -> None:
        told = {look.gate: look.looks for look in self.looks}
        for gate in self.status.get("gates") or ():
            if told.get(gate["name"]) != gate.get("looks"):
                self.looks.append(LookSeen(time.time(), gate["name"], gate.get("looks", ""), gate.get("message", "")))

    def _route(self, _: str, found: Object) -> None:
        self.route = found
        weight = canary_weight(found)
        if not self.routes or self.routes[-1].weight != weight:
            self.routes.append(RouteSeen(time.time(), weight))

    def _pod(self, change: str, found: Object) -> None:
        if found["metadata"].get("labels", {}).get("app") != scenario.NAME:
            return
        uid, now = found["metadata"]["uid"], time.time()
        before = self.pods.get(uid)
        leaving = change == "DELETED" or "deletionTimestamp" in found["metadata"]
        self.pods[uid] = PodSeen(
            name=found["metadata"]["name"],
            version=found["spec"]["containers"][0]["image"].rpartition(":")[2],
            revision=found["metadata"]["labels"].get("pod-template-hash", ""),
            ready=not leaving and _ready(found),
            restarts=sum(status["restartCount"] for status in found["status"].get("containerStatuses") or ()),
            first_at=before.first_at if before else now,
            gone_at=(before.gone_at if before and before.gone_at else now) if leaving else None,
        )

    def _event(self, change: str, found: Object) -> None:
        if change != "DELETED" and found["involvedObject"]["kind"] == "Release":
            uid = found["metadata"]["uid"]
            at = self.events[uid].at if uid in self.events else time.time()
            self.events[uid] = EventSeen(at, found["type"], found["reason"], found["message"])


def canary_weight(route: Object) -> float | None:
    """Return the canary's share of a route's traffic in percent; None while the user's own Service carries it."""
    weights: dict[str, int] = {}
    for rule in route["spec"]["rules"]:
        for backend in rule["backendRefs"]:
            weights[backend["name"]] = weights.get(backend["name"], 0) + backend.get("weight", 1)
    stable, canary = weights.get(f"{scenario.NAME}-stable", 0), weights.get(f"{scenario.NAME}-canary", 0)
    if weights.get(scenario.NAME, 0) or not stable + canary:
        return None
    return 100 * canary / (stable + canary)


def _ready(pod: Object) -> bool:
    return any(entry["type"] == "Ready" and entry["status"] == "True" for entry in pod["status"].get("conditions") or ())
