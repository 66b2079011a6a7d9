"""Which Releases an object concerns: the way from a watch event to the keys that must be decided anew."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from tidegate.api.names import LABEL_POD_TEMPLATE_HASH, LABEL_RELEASE
from tidegate.engine.plan import Role, own_name
from tidegate.runtime.shelf import Key
from tidegate.runtime.store import Change, Object
from tidegate.workloads import autoscaling

SERVICE_OF_SLICE = "kubernetes.io/service-name"
_REVISION = "revision"
"""Stands for a kind where a Release names a version that it rolls out."""


class ReleaseKey(NamedTuple):
    """Names one Release."""

    namespace: str
    name: str

    def __str__(self) -> str:
        """Write it as kubectl does."""
        return f"{self.namespace}/{self.name}"


class References:
    """What Releases name, looked up from the other side."""

    def __init__(self) -> None:
        self._named: dict[ReleaseKey, frozenset[tuple[str, str, str]]] = {}
        self._by: dict[tuple[str, str, str], set[ReleaseKey]] = {}

    def learn(self, key: ReleaseKey, release: Object | None) -> list[Key]:
        """Take in what a Release names now; None forgets it.

        Returns:
            What no Release names any more.
        """
        names = frozenset(_names(key, release)) if release is not None else frozenset()
        let_go: list[Key] = []
        for gone in self._named.get(key, frozenset()) - names:
            self._by[gone].discard(key)
            if not self._by[gone]:
                del self._by[gone]
                let_go.append(Key(*gone))
        for name in names:
            self._by.setdefault(name, set()).add(key)
        if release is None:
            self._named.pop(key, None)
            let_go.append(Key("Release", *key))
        else:
            self._named[key] = names
        return let_go

    def need(self, key: Key, obj: Object) -> bool:
        """Whether some Release that there is has to do with an object."""
        if any(release in self._named for release in (*self._direct(*key), *self._through(key.kind, key.namespace, obj))):
            return True
        # Between a Release's letting go of a ReplicaSet and the Deployment's adoption nobody owns it.
        revision = (obj["metadata"].get("labels") or {}).get(LABEL_POD_TEMPLATE_HASH)
        return key.kind == "Release" or (_REVISION, key.namespace, revision) in self._by

    def of(self, change: Change) -> set[ReleaseKey]:
        """Return the Releases that a change of an object concerns."""
        found = set(self._direct(*change.key))
        for obj in (change.old, change.new):
            if obj is not None:
                found |= set(self._through(change.key.kind, change.key.namespace, obj))
        return found

    def rivals(self, key: ReleaseKey, change: Change) -> set[ReleaseKey]:
        """Return the Releases that may take over what a Release has let go by this change: its workload."""
        before = target_of(key, change.old) if change.old is not None else None
        after = target_of(key, change.new) if change.new is not None else None
        return set(self._by.get(before, ())) - {key} if before is not None and before != after else set()

    def _direct(self, kind: str, namespace: str, name: str) -> Iterable[ReleaseKey]:
        return self._by.get((kind, namespace, name), ())

    def _through(self, kind: str, namespace: str, obj: Mapping[str, Any]) -> Iterator[ReleaseKey]:
        labels = obj["metadata"].get("labels") or {}
        if kind == "EndpointSlice":
            yield from self._direct("Service", namespace, labels.get(SERVICE_OF_SLICE, ""))
        if kind == "ReplicaSet":
            for owner in obj["metadata"].get("ownerReferences") or ():
                if owner["kind"] == "Release":
                    yield ReleaseKey(namespace, owner["name"])
                else:
                    yield from self._direct(owner["kind"], namespace, owner["name"])
        if kind == "HorizontalPodAutoscaler" and (deployment := autoscaling.target_of(obj)) is not None:
            yield from self._direct("Deployment", namespace, deployment)
        if LABEL_RELEASE in labels:
            yield ReleaseKey(namespace, labels[LABEL_RELEASE])


def _names(key: ReleaseKey, release: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    # Before validation: whatever stands in a spec, a Release must not get lost here.
    spec = _map(release.get("spec"))
    yield target_of(key, release)
    policy = _map(spec.get("policyRef"))
    kind = str(policy.get("kind") or "RolloutPolicy")
    yield (kind, "" if kind == "ClusterRolloutPolicy" else key.namespace, str(policy.get("name")))
    traffic, status = _map(spec.get("traffic")), _map(release.get("status"))
    # What was named before counts until it is put back.
    for service in {
        str(name) for name in (traffic.get("service"), status.get("shiftedService"), status.get("pinnedService")) if name
    }:
        for name in (service, *(own_name(service, role) for role in Role)):
            yield ("Service", key.namespace, name)
    for route in _items(_map(traffic.get("gatewayAPI")).get("httpRoutes")):
        yield ("HTTPRoute", key.namespace, str(_map(route).get("name")))
    if revision := _map(status.get("candidate")).get("revision"):
        yield (_REVISION, key.namespace, str(revision))
    for rule in _items(status.get("originalRules")):
        yield ("HTTPRoute", key.namespace, str(_map(rule).get("route")))


def target_of(key: ReleaseKey, release: Mapping[str, Any]) -> tuple[str, str, str]:
    """Return kind, namespace and name of the workload that a Release names."""
    return ("Deployment", key.namespace, str(_map(_map(release.get("spec")).get("targetRef")).get("name")))


def _items(value: object) -> Sequence[object]:
    return value if isinstance(value, list | tuple) else ()


def _map(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
