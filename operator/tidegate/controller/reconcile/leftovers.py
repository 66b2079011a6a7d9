"""What a Release leaves behind whose finalizer was taken off: it is collected, as far as nothing of it serves any more."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import structlog

from tidegate.api.names import ANNOTATION_RELEASE_UID, LABEL_RELEASE, LABEL_ROLE
from tidegate.cluster.client import Cluster
from tidegate.cluster.errors import ApiError, NotFound
from tidegate.cluster.resources import DEPLOYMENTS, REPLICA_SETS, SERVICES, Resource
from tidegate.controller.observe.references import ReleaseKey
from tidegate.controller.observe.relations import target_of
from tidegate.engine.handover.deployment.view import Owner
from tidegate.runtime.clock import Clock
from tidegate.runtime.sharding import WHOLE, Shard
from tidegate.runtime.shelf import BareError
from tidegate.runtime.store import Store
from tidegate.traffic.our_marks import marked
from tidegate.traffic.routers import Routers
from tidegate.workloads.deployment import bodies
from tidegate.workloads.deployment.observe import DeploymentObjects, workload_view
from tidegate.workloads.objects import controller_of, labels_of, matches, replicas_of

log = structlog.get_logger(__name__)
Json = dict[str, Any]

SWEEP_SECONDS = 20.0
"""Between looks for what nobody owns. It must be there at two of them: a Release may come right after what is labelled for it."""
LONGEST_REST = 600.0
"""Seconds at most between two looks at what bears a label and is nothing of a Release's: each reads a whole namespace."""
KINDS = frozenset({REPLICA_SETS.kind, SERVICES.kind, DEPLOYMENTS.kind})


@dataclass(frozen=True)
class Left:
    """What carries the label of a Release that is gone, as the API has it now.

    Attributes:
        name: of the Release.
        replica_sets: those that it had.
        services: the operator's Services that it had.
        deployments: those that the operator has labelled for it.
        all_sets: all ReplicaSets of the namespace.
        routes: all routes of the namespace, of whichever kind.
    """

    name: str
    replica_sets: Sequence[Json] = ()
    services: Sequence[Json] = ()
    deployments: Sequence[Json] = ()
    all_sets: Sequence[Json] = ()
    routes: Sequence[Json] = ()


@dataclass(frozen=True)
class Delete:
    """An object that is to go as it was seen."""

    path: str
    uid: str
    version: str


@dataclass(frozen=True)
class Change:
    """A JSON patch of a Deployment."""

    path: str
    patch: bodies.Patch


Step = Delete | Change


def steps(left: Left) -> list[Step]:
    """Return what is to be done about it, in an order that is safe; pure.

    What a route still names stays, and so do pods that the Deployment cannot do without. A Deployment loses its label once all else
    is gone; it is let go where that rolls nothing out, and else stays paused for its people to decide.
    """
    named = {service["metadata"]["name"] for service in left.services if _is_named(service, left.routes)}
    spare = [service for service in left.services if service["metadata"]["name"] not in named]
    going = [rs for rs in left.replica_sets if not _has_pods(rs) or (not named and _is_complete(left, rs))]
    found: list[Step] = [_deletion(SERVICES, service) for service in spare]
    found += [_deletion(REPLICA_SETS, rs) for rs in going]
    if not named and len(going) == len(left.replica_sets):
        found += [change for deployment in left.deployments for change in _hand_back(left, deployment)]
    return found


def _deletion(resource: Resource, obj: Json) -> Delete:
    metadata = obj["metadata"]
    return Delete(resource.path(metadata["namespace"], metadata["name"]), metadata["uid"], metadata["resourceVersion"])


def _is_named(service: Json, routes: Sequence[Json]) -> bool:
    """Whether a route names a Service, whatever for: with weight or without, as a backend or a mirror."""
    name = json.dumps(service["metadata"]["name"])
    return any(name in json.dumps(route.get("spec")) for route in routes)


def _has_pods(rs: Json) -> bool:
    return replicas_of(rs) > 0 or bool((rs.get("status") or {}).get("replicas"))


def _is_complete(left: Left, rs: Json) -> bool:
    """Whether the Deployment serves with all of its own pods, so that those of a ReplicaSet that nobody owns are too many."""
    labels = labels_of(rs["spec"].get("template") or {})
    own = next((one for one in left.deployments if matches(one["spec"]["selector"], labels)), None)
    return own is not None and 0 < replicas_of(own) <= ((own.get("status") or {}).get("availableReplicas") or 0)


def _hand_back(left: Left, deployment: Json) -> Iterator[Change]:
    workload = DeploymentObjects(release=left.name, release_uid="", images={}, deployment=deployment, replica_sets=left.all_sets)
    path = DEPLOYMENTS.path(workload.namespace, workload.name)
    if (patch := bodies.label_patch(workload, present=False)) is not None:
        yield Change(path, patch)
    if _rolls_nothing_out(workload) and (patch := bodies.hold_patch(workload, paused=False)) is not None:
        yield Change(path, patch)


def _rolls_nothing_out(workload: DeploymentObjects) -> bool:
    """Whether a Deployment that is let go stays as it is: its template is what serves, with all of its pods."""
    view = workload_view(workload)
    own = [rs for rs in view.arms if rs.owner is Owner.DEPLOYMENT]
    serving = next((rs for rs in own if rs.revision == view.own_revision), None)
    if serving is None or serving.wanted != view.replicas or serving.desired not in {None, view.replicas}:
        return False
    return not any(rs.wanted or rs.current for rs in own if rs is not serving)


class Leftovers:
    """Looks for what is labelled for Releases that are gone, and collects it.

    The caches tell where to look; what is done rests on what the API says at that moment.

    Args:
        cluster: the API.
        store: the caches.
        routers: whose routes may still name what was left behind.
        clock: the time.
        trusted: whether the caches have all Releases that there are.
        shard: the Releases that are of concern here.
    """

    def __init__(
        self,
        cluster: Cluster,
        store: Store,
        routers: Routers,
        *,
        clock: Clock,
        trusted: Callable[[], bool],
        shard: Shard = WHOLE,
    ) -> None:
        self._cluster, self._store, self._clock, self._trusted = cluster, store, clock, trusted
        self._routers, self._shard = routers, shard
        self._new: set[ReleaseKey] = set()
        self._seen: set[ReleaseKey] = set()
        self._told: set[ReleaseKey] = set()
        self._rests: dict[ReleaseKey, tuple[float, float]] = {}
        """Until when, on the monotonic clock, what only bears a label is not looked at, and for how long that is."""

    def came(self, key: ReleaseKey) -> None:
        """Take note of a Release that was not there before: another of its name may have left something behind."""
        if self._shard.has(*key):
            self._new.add(key)

    async def run(self) -> None:
        """Collect now and then, until cancelled."""
        while True:
            await self._clock.sleep(SWEEP_SECONDS)
            await self.sweep()

    async def sweep(self) -> None:
        """Look once; collect what was seen the time before as well."""
        if not self._trusted():
            return
        found = self._found()
        again, self._seen = sorted(found & self._seen), found
        self._told &= found
        self._rests = {key: rest for key, rest in self._rests.items() if key in found}
        for key in again:
            until, rest = self._rests.get(key, (0.0, SWEEP_SECONDS / 2))
            if (now := self._clock.monotonic()) < until:
                continue
            try:
                if not await self._collect(key):
                    rest = min(2 * rest, LONGEST_REST)
                    self._rests[key] = now + rest, rest
            except (ApiError, BareError) as error:
                log.warning("what a Release has left behind could not be collected", release=str(key), cause=str(error))

    def _found(self) -> set[ReleaseKey]:
        there = {ReleaseKey(namespace, name) for _, namespace, name in self._store.names("Release")}
        labelled = (
            ReleaseKey(namespace, name) for kind, namespace, name in self._store.labelled(LABEL_RELEASE) if kind in KINDS and name
        )
        self._new = {key for key in self._new if key in there and self._older(key)}
        return {key for key in labelled if key not in there and self._shard.has(*key)} | self._new

    def _older(self, key: ReleaseKey) -> bool:
        """Whether there are ReplicaSets of a Release that had the name before."""
        try:
            labelled = self._store.by_label(REPLICA_SETS.kind, key.namespace, LABEL_RELEASE, key.name)
            return any(self._is_of_another(key, rs) for rs in labelled)
        except BareError:
            # Nobody has read them yet: it is asked for when they are collected.
            return True

    def _is_of_another(self, key: ReleaseKey, rs: Mapping[str, Any]) -> bool:
        """Whether a ReplicaSet was an earlier Release's; what the one of today finds beside its Deployment is its own."""
        release = self._store.get("Release", *key)
        if release is None:
            return True
        noted = (rs["metadata"].get("annotations") or {}).get(ANNOTATION_RELEASE_UID)
        deployment = self._store.get(*target_of(key.namespace, release))
        own = deployment is not None and matches(deployment["spec"]["selector"], labels_of(rs["spec"].get("template") or {}))
        return noted not in {None, release["metadata"]["uid"]} and not own

    async def _collect(self, key: ReleaseKey) -> bool:
        """Collect what a Release has left behind; return whether there is anything."""
        left = await self._read(key)
        if self._store.get("Release", *key) is not None:
            left = replace(left, services=(), deployments=())
        todo = steps(left)
        for step in todo:
            match step:
                case Delete(path, uid, version):
                    await self._cluster.delete(path, uid=uid, resource_version=version, propagation="Background")
                case Change(path, patch):
                    await self._cluster.json_patch(path, patch)
        if todo:
            log.info("collected what a Release has left behind", release=key.name, namespace=key.namespace, writes=len(todo))
        elif (left.replica_sets or left.services) and key not in self._told:
            self._told.add(key)
            words = "restore your own backend in the routes that name its Services, and it is collected"
            log.warning("a Release has left behind what still serves", release=key.name, namespace=key.namespace, cure=words)
        return bool(left.replica_sets or left.services or left.deployments)

    async def _read(self, key: ReleaseKey) -> Left:
        mine = f"{LABEL_RELEASE}={key.name}"
        sets = (await self._cluster.list(REPLICA_SETS.path(key.namespace))).items
        services = (await self._cluster.list(SERVICES.path(key.namespace), label_selector=mine)).items
        deployments = (await self._cluster.list(DEPLOYMENTS.path(key.namespace), label_selector=mine)).items
        return Left(
            name=key.name,
            replica_sets=[rs for rs in sets if _had(key, rs) and self._is_of_another(key, rs)],
            services=[service for service in services if _is_labelled(key, service) and LABEL_ROLE in labels_of(service)],
            deployments=[deployment for deployment in deployments if _is_labelled(key, deployment) and marked(deployment)],
            all_sets=sets,
            routes=[route for router in self._routers for route in await self._routes(router.resource, key.namespace)],
        )

    async def _routes(self, resource: Resource, namespace: str) -> Sequence[Json]:
        try:
            return (await self._cluster.list(resource.path(namespace))).items
        except NotFound:
            return ()  # What the API server does not know there are none of.


def _is_labelled(key: ReleaseKey, obj: Json) -> bool:
    return labels_of(obj).get(LABEL_RELEASE) == key.name


def _had(key: ReleaseKey, rs: Json) -> bool:
    return _is_labelled(key, rs) and (controller_of(rs) or {}).get("kind") == "Namespace"
