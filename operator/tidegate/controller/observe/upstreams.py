"""What a Release may know of others that it comes after: how their statuses stand, and when that changes."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from pydantic import ValidationError

from tidegate.api.base import plain
from tidegate.api.names import Phase
from tidegate.api.release import After
from tidegate.api.status import RevisionStatus
from tidegate.cluster.resources import RELEASES
from tidegate.controller.observe.relations import mapping
from tidegate.governance.upstreams import AfterView, UpstreamView
from tidegate.runtime.store import Change, Object, Store

LONGEST_VERSION = 128
"""Characters of a version's name that are told."""


class Upstreams:
    """Reads other Releases from the caches.

    Args:
        store: the caches.
        namespaces: namespaces that are served; empty for all.
    """

    def __init__(self, store: Store, *, namespaces: Collection[str] = ()) -> None:
        self._store, self._namespaces = store, frozenset(namespaces)

    def views(self, namespace: str, after: Collection[After]) -> tuple[AfterView, ...]:
        """Return what a Release asks of those that it comes after, in its order, and how they stand.

        Args:
            namespace: its own.
            after: what it says of the others.
        """
        return tuple(AfterView(self._view(one.namespace or namespace, one.release), one.soak, one.match) for one in after)

    def _view(self, namespace: str, name: str) -> UpstreamView:
        if self._namespaces and namespace not in self._namespaces:
            return UpstreamView(release=name, namespace=namespace, unread=f"this operator does not serve namespace {namespace}")
        return view_of(self._store.get(RELEASES.kind, namespace, name), namespace, name)


def view_of(release: Object | None, namespace: str, name: str) -> UpstreamView:
    """Return how a Release stands.

    Args:
        release: as stored; None where there is none.
        namespace: where it is.
        name: its name.
    """
    if release is None:
        return UpstreamView(release=name, namespace=namespace, exists=False)
    metadata, status = release["metadata"], mapping(release.get("status"))
    stable = _stable(status.get("stable"))
    return UpstreamView(
        release=name,
        namespace=namespace,
        uid=str(metadata["uid"]),
        deleting=bool(metadata.get("deletionTimestamp")),
        version=plain(stable.version or stable.revision, LONGEST_VERSION),
        revision=stable.revision,
        images=stable.images or {},
        promoted_at=stable.promoted_at,
        rolled_back_at=stable.rolled_back_at,
        replicas=min(stable.replicas, 1),
        ready=stable.trouble is None,
        rolling_back=status.get("phase") == Phase.ROLLING_BACK,
    )


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
