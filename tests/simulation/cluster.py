"""The cluster: a Deployment with the Deployment controller of 1.36, ReplicaSets, pods, EndpointSlices and a router.

Every controller does one step when `tick` calls it, so that anything can be put between any two steps. The Deployment
controller follows pkg/controller/deployment (sync.go, rolling.go, util/deployment_util.go): which ReplicaSet it takes for
its newest, what it scales while paused, when it takes the newest for saturated, and how it scales in proportion.
"""

from __future__ import annotations

import hashlib
import itertools
import math
import pickle
from dataclasses import dataclass, field
from typing import Literal, TypeVar

from tidegate.engine.handover.deployment.view import Owner

T = TypeVar("T")


def copied(objects: T) -> T:
    """Return objects of the cluster as a cache has them.

    Caches are filled before every pass; copy.deepcopy took a quarter of the time of all lives.
    """
    copies: T = pickle.loads(pickle.dumps(objects, pickle.HIGHEST_PROTOCOL))
    return copies


USER, STABLE, CANARY = "checkout", "checkout-stable", "checkout-canary"
APP, STRANGER = "checkout", "ledger"
"""The label of the Deployment's pods, and that of the pods of somebody else's, of whom one is ready at all times."""
OTHERS = frozenset({-1})
Backends = tuple[tuple[str, int], ...]
Controller = Literal["deployment", "replicasets", "slices", "router"]
CONTROLLERS: tuple[Controller, ...] = ("deployment", "replicasets", "slices", "router")
TERMINATION = 2.0
"""Seconds that a pod needs to stop."""


@dataclass(frozen=True)
class Template:
    """A pod template with one container, `app`."""

    image: str
    restarted: str = ""

    @property
    def native_hash(self) -> str:
        """What the Deployment controller calls a ReplicaSet of it."""
        return f"k8s-{self.image}{self.restarted}"

    @property
    def own_hash(self) -> str:
        """What Tidegate calls a ReplicaSet of it."""
        return f"own-{self.image}{self.restarted}"

    @property
    def digest(self) -> str:
        """By what it is approved: a restart does not count."""
        return f"sha256:{hashlib.sha256(self.image.encode()).hexdigest()}"


@dataclass
class Pod:
    """A pod: it becomes ready at a time or never, and can be made unready."""

    id: int
    ready_at: float | None
    down: bool = False
    port: str = "http"
    """What it calls its port."""
    number: str = "8080"
    """The number of its port."""

    def answers(self, target: str) -> bool:
        """Whether it answers requests that a Service with this targetPort sends it."""
        return target in {self.port, self.number}

    def ready(self, now: float) -> bool:
        """Whether it answers its readiness probe."""
        return not self.down and self.ready_at is not None and now >= self.ready_at

    def available(self, now: float, min_ready: float) -> bool:
        """Whether it has been ready for so long that it counts."""
        return self.ready(now) and self.ready_at is not None and now >= self.ready_at + min_ready


@dataclass
class ReplicaSet:
    """A ReplicaSet; `created` is its age and its identity; `desired` and `most` are the controller's annotations."""

    name: str
    template: Template
    revision: str
    owner: Owner
    wanted: int
    created: int
    number: int = 0
    desired: int | None = None
    most: int | None = None
    pods: list[Pod] = field(default_factory=list)

    min_ready: float = 0
    """minReadySeconds, as it was when it was made."""

    def ready(self, now: float) -> int:
        """status.readyReplicas."""
        return sum(pod.ready(now) for pod in self.pods)

    def available(self, now: float) -> int:
        """status.availableReplicas."""
        return sum(pod.available(now, self.min_ready) for pod in self.pods)


@dataclass
class Deployment:
    """The user's Deployment."""

    template: Template
    replicas: int
    paused: bool = False
    labelled: bool = False
    generation: int = 1
    observed: int = 0
    surge: int = 1
    unavailable: int = 0
    rolling: bool = True
    min_ready: float = 0
    note: str = ""
    """What the Release that has left it has noted on it."""


@dataclass
class Service:
    """A Service: the user's, or one of the operator's.

    `addresses` are its ready endpoints, of the pods of `app`, that have the port it names (`target`); `portless` are the others.
    """

    revision: str | None = None
    addresses: frozenset[int] = frozenset()
    app: str = APP
    target: str = "http"
    portless: frozenset[int] = frozenset()
    version: str = ""
    """The image whose pods alone it selects; empty where it selects all."""
    ending: int = 0
    """Endpoints that are being stopped and given out as ready all the same."""


@dataclass
class Route:
    """An HTTPRoute with one rule, and what the data plane has of it."""

    name: str
    backends: Backends
    written: Backends
    generation: int = 1
    changed_at: float = 0
    accepted: int = 0
    accepted_at: float = 0
    in_force: Backends = ()
    trouble: str = ""
    mute: str = ""
    """A parent that never says anything of the route."""
    applied: bool = False
    """Whether a tool that may apply it again at any time has left its mark on it."""
    lost: list[tuple[str, Backends]] = field(default_factory=list)
    """To which backends requests were lost, since the data plane knew nothing of them or forgot them at once; and in which form."""

    def take(self, leaves_out: bool) -> None:
        """The data plane takes what is written; one that leaves out weight 0 is told of backends and of routes in two messages."""
        before, after = dict(self.in_force), dict(self.backends)
        if leaves_out and self.in_force and before != after:
            # Whichever message comes first: what one form has and the other has not is lost for a moment.
            moved = [(one, shares) for shares, other in ((before, after), (after, before)) for one in shares if not other.get(one)]
            tiny = {id(shares): sum(shares.values()) // 5_000 for shares in (before, after)}
            self.lost += [(one, self.backends) for one, shares in moved if shares[one] > tiny[id(shares)]]
        self.in_force = self.backends

    def put(self, backends: Backends, now: float) -> None:
        """Write its backends."""
        if backends != self.backends:
            self.backends, self.changed_at = backends, now
            self.generation += 1


class Cluster:
    """All objects but the Release, and the controllers.

    Args:
        replicas: of the Deployment.
        routes: names of HTTPRoutes; none for a workload without traffic by route.
        admission: whether a policy holds a changed template of a labelled Deployment in the write that changes it.
    """

    def __init__(self, *, replicas: int = 4, routes: tuple[str, ...] = ("web",), admission: bool = True) -> None:
        self.now = 0.0
        self.admission = admission
        self.deployment: Deployment | None = None
        self.replica_sets: dict[str, ReplicaSet] = {}
        self.services: dict[str, Service] = {USER: Service()} if routes else {}
        self.routes = {name: Route(name, ((USER, 1),), ((USER, 1),)) for name in routes}
        self.start_up: dict[str, float | None] = {}
        """Seconds until pods of an image are ready; None for never. Default: 3."""
        self.ports: dict[str, str] = {}
        """What pods of an image call their port. Default: http."""
        self.numbers: dict[str, str] = {}
        """The number of the port of an image's pods. Default: 8080."""
        self.router_delay = 0.5
        self.delay = 0.0
        """Seconds by which the data plane may be behind the router's word."""
        self.warms = False
        """Whether the data plane leaves out backends of weight 0, and loses requests to one that it has to learn of at once."""
        self.router_works = True
        self.behind: set[str] = set()
        """Services whose slices the controller has not got to yet."""
        self.terminating: list[tuple[int, float]] = []
        self.stopped: set[int] = set()
        self._counter = 0
        self.create_deployment(Template("v1"), replicas)

    def next_id(self) -> int:
        """Return a number that was not used before."""
        self._counter += 1
        return self._counter

    # The Deployment, as its writers see it.

    def create_deployment(self, template: Template, replicas: int) -> None:
        """Create the Deployment anew."""
        self.deployment = Deployment(template, replicas, surge=math.ceil(replicas / 4), unavailable=replicas // 4)

    def change_template(self, template: Template) -> None:
        """Write another template, through admission."""
        deployment = self.deployment
        if deployment is None or template == deployment.template:
            return
        deployment.template = template
        deployment.generation += 1
        if self.admission and deployment.labelled:
            deployment.paused = True

    def set_paused(self, paused: bool) -> None:
        """Write spec.paused."""
        if self.deployment is not None and self.deployment.paused != paused:
            self.deployment.paused = paused
            self.deployment.generation += 1

    def scale(self, replicas: int) -> None:
        """Write spec.replicas, as an HPA or a person does."""
        if self.deployment is not None and self.deployment.replicas != replicas:
            self.deployment.replicas = replicas
            self.deployment.generation += 1

    def scale_before_the_adoption(self) -> None:
        """The controller has scaled what was its own just before a ReplicaSet was freed, which it sees only now."""
        active = [rs for rs in self.owned(Owner.DEPLOYMENT) if rs.wanted > 0]
        if self.deployment is not None and len(active) == 1:
            self._resize(self.deployment, active[0], self.deployment.replicas)

    def of_template(self, template: Template) -> list[ReplicaSet]:
        """Return the ReplicaSets of a template, oldest first."""
        return sorted((rs for rs in self.replica_sets.values() if rs.template == template), key=lambda rs: rs.created)

    def owned(self, owner: Owner) -> list[ReplicaSet]:
        """Return the ReplicaSets of an owner, oldest first."""
        return sorted((rs for rs in self.replica_sets.values() if rs.owner is owner), key=lambda rs: rs.created)

    # The controllers.

    def tick(self, *which: Controller) -> None:
        """Let controllers do one step each; all where none is named."""
        steps = {
            "deployment": self._sync_deployment,
            "replicasets": self._sync_pods,
            "slices": self._sync_slices,
            "router": self._sync_router,
        }
        for name in which or CONTROLLERS:
            steps[name]()

    def _sync_deployment(self) -> None:
        deployment = self.deployment
        if deployment is None:
            return
        if orphans := self.owned(Owner.NOBODY):
            for rs in orphans:
                rs.owner = Owner.DEPLOYMENT
            return  # It goes on at once, but others may see what it has written so far.
        owned = self.owned(Owner.DEPLOYMENT)
        fresh = next((rs for rs in owned if rs.template == deployment.template), None)
        scaling = any(rs.wanted > 0 and rs.desired is not None and rs.desired != deployment.replicas for rs in owned)
        rolls = not deployment.paused and not scaling
        if rolls and not deployment.rolling and self._recreates(deployment, [rs for rs in owned if rs is not fresh]):
            fresh, rolls = None, False
        elif rolls and fresh is None:
            fresh = self._create_newest(deployment)
        if fresh is not None:
            self._mark_newest(fresh)
        deployment.observed = deployment.generation
        owned = self.owned(Owner.DEPLOYMENT)
        if deployment.paused or scaling:
            self._scale_all(deployment, fresh, owned)
        elif rolls and fresh is not None:
            self._roll(deployment, fresh, owned)

    def _recreates(self, deployment: Deployment, old: list[ReplicaSet]) -> bool:
        """Whether old pods have to go first: recreate.go."""
        for rs in old:
            if rs.wanted > 0:
                self._resize(deployment, rs, 0)
        return any(rs.pods for rs in old)

    def _create_newest(self, deployment: Deployment) -> ReplicaSet:
        template = deployment.template
        total = sum(rs.wanted for rs in self.owned(Owner.DEPLOYMENT))
        size = max(0, min(deployment.replicas + deployment.surge - total, deployment.replicas))
        # A ReplicaSet of that name that is not the Deployment's own makes the controller count a collision and hash anew.
        names = (template.native_hash + (f"-{collisions}" if collisions else "") for collisions in itertools.count())
        revision = next(name for name in names if f"checkout-{name}" not in self.replica_sets)
        name = f"checkout-{revision}"
        rs = ReplicaSet(name, template, revision, Owner.DEPLOYMENT, size, self.next_id(), min_ready=deployment.min_ready)
        self._annotate(deployment, rs)
        self.replica_sets[name] = rs
        return rs

    def _mark_newest(self, fresh: ReplicaSet) -> None:
        highest = max((rs.number for rs in self.owned(Owner.DEPLOYMENT) if rs is not fresh), default=0)
        if fresh.number <= highest:
            fresh.number = highest + 1

    def _annotate(self, deployment: Deployment, rs: ReplicaSet) -> None:
        rs.desired, rs.most = deployment.replicas, deployment.replicas + deployment.surge

    def _resize(self, deployment: Deployment, rs: ReplicaSet, size: int) -> None:
        rs.wanted = max(0, size)
        self._annotate(deployment, rs)

    def _scale_all(self, deployment: Deployment, fresh: ReplicaSet | None, owned: list[ReplicaSet]) -> None:
        """`scale` of sync.go."""
        active = [rs for rs in owned if rs.wanted > 0]
        if len(active) <= 1:
            newest = fresh or (owned[-1] if owned else None)
            only = active[0] if active else newest
            if only is not None and only.wanted != deployment.replicas:
                self._resize(deployment, only, deployment.replicas)
            return
        if fresh is not None and self._saturated(deployment, fresh):
            for rs in active:
                if rs is not fresh:
                    self._resize(deployment, rs, 0)
            return
        if not deployment.rolling:
            return
        allowed = deployment.replicas + deployment.surge if deployment.replicas > 0 else 0
        self._scale_in_proportion(deployment, active, allowed - sum(rs.wanted for rs in active))

    def _saturated(self, deployment: Deployment, rs: ReplicaSet) -> bool:
        replicas = deployment.replicas
        return rs.wanted == replicas and rs.desired == replicas and rs.available(self.now) == replicas

    def _scale_in_proportion(self, deployment: Deployment, active: list[ReplicaSet], change: int) -> None:
        newer_first = -1 if change > 0 else 1
        order = sorted(active, key=lambda rs: (-rs.wanted, newer_first * rs.created))
        sizes, added = {rs.name: rs.wanted for rs in order}, 0
        for rs in order:
            if change == 0:
                break
            share = self._share(deployment, rs)
            left = change - added
            share = min(share, left) if change > 0 else max(share, left)
            sizes[rs.name] += share
            added += share
        if change != 0:
            sizes[order[0].name] += change - added
        for rs in order:
            self._resize(deployment, rs, sizes[rs.name])

    def _share(self, deployment: Deployment, rs: ReplicaSet) -> int:
        if deployment.replicas == 0:
            return -rs.wanted
        most = deployment.replicas + deployment.surge
        return math.floor(rs.wanted * most / (rs.most or most) + 0.5) - rs.wanted

    def _roll(self, deployment: Deployment, fresh: ReplicaSet, owned: list[ReplicaSet]) -> None:
        """One step of rolling.go."""
        total, replicas = sum(rs.wanted for rs in owned), deployment.replicas
        room = replicas + deployment.surge - total
        if fresh.wanted > replicas:
            self._resize(deployment, fresh, replicas)
        elif fresh.wanted < replicas and room > 0:
            self._resize(deployment, fresh, fresh.wanted + min(room, replicas - fresh.wanted))
        else:
            spare = total - (replicas - deployment.unavailable) - (fresh.wanted - fresh.available(self.now))
            for rs in owned:
                if rs is fresh or rs.wanted == 0 or spare <= 0:
                    continue
                fewer = min(spare, rs.wanted)
                self._resize(deployment, rs, rs.wanted - fewer)
                spare -= fewer

    def _sync_pods(self) -> None:
        self.terminating = [(pod, end) for pod, end in self.terminating if end > self.now]
        for rs in self.replica_sets.values():
            while len(rs.pods) < rs.wanted:
                delay = self.start_up.get(rs.template.image, 3.0)
                port = self.ports.get(rs.template.image, "http")
                number = self.numbers.get(rs.template.image, "8080")
                rs.pods.append(Pod(self.next_id(), None if delay is None else self.now + delay, port=port, number=number))
            rs.pods.sort(key=lambda pod: not pod.ready(self.now))
            while len(rs.pods) > rs.wanted:
                self._stop(rs.pods.pop())

    def _stop(self, pod: Pod) -> None:
        self.terminating.append((pod.id, self.now + TERMINATION))
        self.stopped.add(pod.id)

    def delete_replica_set(self, name: str) -> None:
        """Delete a ReplicaSet with its pods."""
        for pod in self.replica_sets.pop(name).pods:
            self._stop(pod)

    def _sync_slices(self) -> None:
        for service in (one for name, one in self.services.items() if name not in self.behind):
            if service.app != APP:
                service.addresses = OTHERS if service.revision is None else frozenset()
                service.portless = frozenset()
                continue
            sets = [rs for rs in self.replica_sets.values() if service.revision in (None, rs.revision)]
            sets = [rs for rs in sets if service.version in ("", rs.template.image)]
            ready = [pod for rs in sets for pod in rs.pods if pod.ready(self.now)]
            service.addresses = frozenset(pod.id for pod in ready if service.target.isdecimal() or pod.port == service.target)
            service.portless = frozenset(pod.id for pod in ready) - service.addresses

    def _sync_router(self) -> None:
        for route in self.routes.values():
            if route.accepted != route.generation and self.router_works and self.now >= route.changed_at + self.router_delay:
                route.accepted, route.accepted_at = route.generation, self.now
            if route.accepted == route.generation and self.now >= route.accepted_at + self.delay:
                route.take(self.warms)
