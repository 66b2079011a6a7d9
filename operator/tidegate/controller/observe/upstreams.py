"""What a Release may know of others that it comes after: how their statuses stand, and when that changes."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from datetime import timedelta
from typing import Any, TypeAlias

from pydantic import ValidationError

from tidegate.api.base import plain
from tidegate.api.names import Phase
from tidegate.api.release import After, Follow, ReleaseSpec
from tidegate.api.status import ReleaseStatus, RevisionStatus
from tidegate.cluster.resources import RELEASES
from tidegate.controller.observe.relations import mapping
from tidegate.governance.upstreams import AfterView, FollowingView, UpstreamView
from tidegate.runtime.store import Change, Object, Store
from tidegate.workloads.kind import WorkloadObjects
from tidegate.workloads.templates import images_of

LONGEST_VERSION = 128
"""Characters of a version's name that are told."""

Elsewhere: TypeAlias = Callable[[str, str, str, str], UpstreamView]
"""Returns how a Release of another cluster stands, by the namespace of who asks, and its own cluster, namespace and name."""


def unlooked(own: str, cluster: str, namespace: str, name: str) -> UpstreamView:
    """Return the view of a Release that nobody in a namespace may look at; whether its cluster is known is not told, either."""
    closed = f"the operator's configuration lets no Release of {own} read those of {namespace} there"
    cure = f"allow it in clusters.{cluster}.allow"
    return UpstreamView(release=name, namespace=namespace, cluster=cluster, unread=f"{closed}; {cure}")


class Upstreams:
    """Reads other Releases from the caches.

    Args:
        store: the caches.
        namespaces: namespaces that are served; empty for all.
        elsewhere: reads those of other clusters; by default nobody may look at any.
    """

    def __init__(self, store: Store, *, namespaces: Collection[str] = (), elsewhere: Elsewhere = unlooked) -> None:
        self._store, self._namespaces, self._elsewhere = store, frozenset(namespaces), elsewhere

    def views(self, namespace: str, after: Collection[After]) -> tuple[AfterView, ...]:
        """Return what a Release asks of those that it comes after, in its order, and how they stand.

        Args:
            namespace: its own.
            after: what it says of the others.
        """
        return tuple(AfterView(self._view(namespace, one), one.soak, one.match) for one in after)

    def followed(self, namespace: str, spec: ReleaseSpec, workload: WorkloadObjects, status: ReleaseStatus) -> FollowingView | None:
        """Return how the Release stands that another one follows; None where it follows none.

        Args:
            namespace: of the one that follows.
            spec: what that asks for.
            workload: its workload.
            status: what has been decided of it.
        """
        if spec.follow is None:
            return None
        upstream, there = self._view(namespace, spec.follow), images_of(workload.own_template)
        images = {name: image for name, image in upstream.images.items() if name in there}
        same = (one.soak for one in spec.after if _place(namespace, one) == _place(namespace, spec.follow))
        names = workload.names_of(images) if images and status.rejected else frozenset[str]()
        return FollowingView(upstream, images, names, max(same, default=timedelta(0)))

    def _view(self, own: str, named: After | Follow) -> UpstreamView:
        cluster, namespace, name = _place(own, named)
        if cluster:
            return self._elsewhere(own, cluster, namespace, name)
        if self._namespaces and namespace not in self._namespaces:
            return UpstreamView(release=name, namespace=namespace, unread=f"this operator does not serve namespace {namespace}")
        return view_of(self._store.get(RELEASES.kind, namespace, name), namespace, name)


def _place(own: str, named: After | Follow) -> tuple[str, str, str]:
    """Return cluster, namespace and name of a Release that one of a namespace names."""
    return named.cluster or "", named.namespace or own, named.release


def overlaid(spec: ReleaseSpec, status: ReleaseStatus) -> ReleaseSpec:
    """Return what a Release asks for, with the images that it has taken over from the one that it follows.

    Args:
        spec: as its user wrote it, which stays as it is.
        status: what has been decided.
    """
    if spec.follow is None or status.followed is None:
        return spec
    taken = status.followed
    # A time that stands here was that of one version; each that is taken over has its own.
    told = {"version": spec.version or taken.version, "committed_at": taken.committed_at}
    return spec.model_copy(update={"images": dict(taken.images), **told})


def view_of(release: Object | None, namespace: str, name: str, cluster: str = "") -> UpstreamView:
    """Return how a Release stands.

    Args:
        release: as stored; None where there is none.
        namespace: where it is.
        name: its name.
        cluster: the cluster where it is; empty for this one.
    """
    if release is None:
        return UpstreamView(release=name, namespace=namespace, cluster=cluster, exists=False)
    metadata, status = release["metadata"], mapping(release.get("status"))
    stable = _stable(status.get("stable"))
    return UpstreamView(
        release=name,
        namespace=namespace,
        cluster=cluster,
        uid=str(metadata["uid"]),
        deleting=bool(metadata.get("deletionTimestamp")),
        version=plain(stable.version or stable.revision, LONGEST_VERSION),
        revision=stable.revision,
        images=stable.images or {},
        committed_at=stable.committed_at,
        promoted_at=stable.promoted_at,
        rolled_back_at=stable.rolled_back_at,
        replicas=min(stable.replicas, 1),
        ready=stable.trouble is None,
        rolling_back=status.get("phase") == Phase.ROLLING_BACK,
    )


def shown_of(release: Mapping[str, Any]) -> dict[str, Any]:
    """Return as much of a Release as a view is made of: that is small, however large the Release is, and whoever has written it."""
    metadata, status = release["metadata"], mapping(release.get("status"))
    kept = {field: str(metadata[field])[:LONGEST_NAME] for field in _NAMES if metadata.get(field)}
    stable = _stable(status.get("stable"))
    if any(len(name) > LONGEST_CONTAINER for name in stable.images or ()):
        stable = _stable(None)
    shown = stable.model_dump(mode="json", by_alias=True, exclude_none=True, exclude={"digest", "ready"})
    if stable.trouble is not None:
        # Whether there is any counts, and its text is for nobody elsewhere.
        shown["trouble"] = ""
    phase = {"phase": str(Phase.ROLLING_BACK)} if status.get("phase") == Phase.ROLLING_BACK else {}
    return {
        "apiVersion": RELEASES.api_version,
        "kind": RELEASES.kind,
        "metadata": kept,
        "status": {"stable": shown, **phase},
    }


_NAMES = ("namespace", "name", "uid", "resourceVersion", "deletionTimestamp")
LONGEST_NAME = 253
"""Characters of a name: longer ones are none of objects that there are."""
LONGEST_CONTAINER = 63
"""Characters of a container's name, likewise: what has such a one was written by no API server, and proves nothing."""


def _stable(found: object) -> RevisionStatus:
    """Read the version in force; what cannot be read proves nothing."""
    try:
        return RevisionStatus.model_validate(found)
    except ValidationError:
        return RevisionStatus(revision="")


def told_apart(change: Change) -> bool:
    """Whether a change of a Release changes what others may know of it."""
    if _shown(change.old) == _shown(change.new):
        return False
    return view_of(change.old, "", "") != view_of(change.new, "", "")


def _shown(release: Mapping[str, Any] | None) -> tuple[object, ...]:
    """Return what a view is made of, as it was written: to compare that costs next to nothing, and most changes end here."""
    if release is None:
        return ()
    metadata, status = release["metadata"], mapping(release.get("status"))
    return metadata["uid"], metadata.get("deletionTimestamp"), status.get("stable"), status.get("phase")
