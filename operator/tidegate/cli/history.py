"""Which part of the past a backtest looks at: what a Release's objects were called, and when its rollout was."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from tidegate.api.base import parse_duration, parse_time
from tidegate.api.names import LABEL_POD_TEMPLATE_HASH, LABEL_RELEASE
from tidegate.api.release import ReleaseSpec
from tidegate.api.status import ReleaseStatus
from tidegate.backtest.replay import Past
from tidegate.cli import access
from tidegate.cli.output import fail
from tidegate.cluster.errors import ApiError
from tidegate.engine.plan import Role, own_name
from tidegate.prometheus.promql import Names, pods_of

if TYPE_CHECKING:
    from tidegate.cluster.client import Cluster


@dataclass(frozen=True)
class Given:
    """What the command line says about the past; None or empty where it says nothing.

    Attributes:
        start: when the rollout began.
        end: when the data ends.
        service: the user's Service.
        canary_pods: RE2 expression for the names of the new version's pods.
        stable_pods: likewise for stable's.
        service_port: the Service's port; 0 where it is not given.
    """

    start: datetime | None = None
    end: datetime | None = None
    service: str = ""
    canary_pods: str = ""
    stable_pods: str = ""
    service_port: int = 0

    @property
    def enough(self) -> bool:
        """Whether the versions are told apart without asking a cluster."""
        return bool(self.service or self.canary_pods)


def moment(text: str | None, now: datetime) -> datetime | None:
    """Read a time: RFC 3339, `now`, or how long ago (`2h`).

    Raises:
        ValueError: the text is none of these.
    """
    if text is None:
        return None
    if text == "now":
        return now
    try:
        return now - parse_duration(text)
    except ValueError:
        pass
    try:
        return parse_time(text)
    except ValueError as error:
        msg = f"{text!r} is not a time: write 2026-11-21T12:00:00Z, or how long ago, such as 2h"
        raise ValueError(msg) from error


def from_flags(given: Given, *, namespace: str, release: str, now: datetime) -> Past:
    """Return the past as the command line alone has it; the command ends where that is too little."""
    if given.start is None:
        fail("give --from: the time of a rollout is only known from a Release in the cluster")
    names = _names(
        namespace=namespace,
        release=release,
        service=given.service,
        canary_pods=given.canary_pods,
        stable_pods=given.stable_pods,
        port=given.service_port,
    )
    return _sound(Past(names, "backtest", given.start, given.end or now))


async def from_cluster(cluster: Cluster, namespace: str, name: str, given: Given, now: datetime) -> Past:
    """Return the last rollout of a Release, or the one that is on; what the command line says goes before.

    Raises:
        ApiError: the API server does not answer.
    """
    found = await access.release(cluster, namespace, name)
    spec, status = access.spec_of(found), access.status_of(found)
    revision, start, end, version = _rollout(f"{namespace}/{name}", status, now)
    sets = _own_sets(await access.replica_sets(cluster, namespace), spec, name)
    canary = [one for one, hash_ in sets.items() if hash_ == revision] or [f"{spec.target_ref.name}-{revision}"]
    known = status.stable.revision if status.stable is not None and status.stable.revision != revision else None
    stable = [one for one, hash_ in sets.items() if hash_ == known or (known is None and hash_ != revision)]
    service = given.service or status.shifted_service or (spec.traffic.service if spec.traffic is not None else "")
    names = _names(
        namespace=namespace,
        release=name,
        service=service,
        canary_pods=given.canary_pods or pods_of(canary),
        stable_pods=given.stable_pods or pods_of(stable),
        port=given.service_port or await _port(cluster, namespace, spec, status, service),
    )
    fact = status.last_rollout if status.rollout is None and given.start is None and given.end is None else None
    return _sound(Past(names, revision, given.start or start, given.end or end, version, fact))


def _sound(past: Past) -> Past:
    if past.start >= past.end:
        fail(f"--from {past.start:%Y-%m-%dT%H:%M:%SZ} is not before --to {past.end:%Y-%m-%dT%H:%M:%SZ}")
    return past


def _names(*, namespace: str, release: str, service: str, canary_pods: str, stable_pods: str, port: int) -> Names:
    return Names(
        namespace=namespace,
        release=release,
        service=service,
        stable_service=own_name(service, Role.STABLE),
        canary_service=own_name(service, Role.CANARY),
        stable_pods=stable_pods,
        canary_pods=canary_pods,
        service_port=port,
    )


def _rollout(label: str, status: ReleaseStatus, now: datetime) -> tuple[str, datetime, datetime, str]:
    """Return revision, beginning, end and version of the rollout that is on, or of the last one."""
    if status.rollout is not None and status.candidate is not None:
        began = status.rollout.exposed_at or status.rollout.started_at
        return status.candidate.revision, began, now, status.candidate.version
    last = status.last_rollout
    if last is None:
        fail(f"no rollout of {label} is known: choose one with --from, --to and --service or --canary-pods")
    # What its gates have counted began with the first traffic, which may have been long after the rollout did.
    counted = [state.evidence.since for state in last.gates if state.evidence is not None]
    return last.revision, min(counted, default=last.started_at), last.finished_at, last.version


def _own_sets(found: Iterable[Mapping[str, Any]], spec: ReleaseSpec, release: str) -> dict[str, str]:
    """Return the ReplicaSets of the Deployment by name, with their revisions."""
    own = {}
    for one in found:
        metadata = one["metadata"]
        labels = metadata.get("labels") or {}
        owners = [(owner.get("kind"), owner.get("name")) for owner in metadata.get("ownerReferences") or ()]
        if labels.get(LABEL_RELEASE) == release or ("Deployment", spec.target_ref.name) in owners:
            own[str(metadata["name"])] = str(labels.get(LABEL_POD_TEMPLATE_HASH, ""))
    return own


async def _port(cluster: Cluster, namespace: str, spec: ReleaseSpec, status: ReleaseStatus, service: str) -> int:
    """Return the port that the route names; 0 where there is no route, or none that can be read."""
    from tidegate.traffic.notes import port_of
    from tidegate.traffic.routers import Routers

    if port := port_of(status.original_rules, service):
        return port
    routers = Routers.all()
    for ref in routers.named(spec.traffic):
        router = routers.shifts(ref)
        try:
            route = await cluster.get(router.resource.path(namespace, ref.name))
        except ApiError:
            continue  # A gate that needs the port says so.
        view = router.observe(route, name=ref.name, namespace=namespace, service=service)
        if port := port_of(view.originals, service):
            return port
    return 0


def utc_now() -> datetime:
    """Return the present time in UTC, to the second."""
    return datetime.now(UTC).replace(microsecond=0)
