"""A world whose Release follows another one."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

from simulation.world import World
from tidegate.api.release import Follow, ReleaseSpec
from tidegate.engine.snapshot import Snapshot
from tidegate.governance.upstreams import FollowingView, UpstreamView


class FollowingWorld(World):
    """A world in which somebody may have the Release follow that of staging.

    What has been taken over from there is laid over the Deployment's template in place of images of the spec, as adapters do it.
    """

    def __init__(self, *arguments: Any, **more: Any) -> None:
        self.followed: UpstreamView | None = None
        """The Release that this one follows."""
        self.soak = timedelta(0)
        """How long a version must have run there before it is taken over."""
        self.written: dict[str, str] = {}
        """Images that a person has written into the spec."""
        super().__init__(*arguments, **more)

    @property
    def images(self) -> dict[str, str]:
        """What is laid over the Deployment's own images."""
        taken = self.status.followed if self.followed is not None else None
        return taken.images if taken is not None else self.written

    @images.setter
    def images(self, images: dict[str, str]) -> None:
        self.written = images

    def spec(self) -> ReleaseSpec:
        """Return the Release's spec with what was taken over."""
        followed = self.followed
        follow = Follow(release=followed.release, namespace=followed.namespace) if followed is not None else None
        return super().spec().model_copy(update={"follow": follow})

    def snapshot(self) -> Snapshot:
        """Return what the operator sees."""
        return replace(super().snapshot(), following=self._following())

    def _following(self) -> FollowingView | None:
        """Return what is seen of the Release that this one follows; a version may be known here by the name of its ReplicaSet."""
        if self.followed is None or self.seen.deployment is None:
            return None
        images = dict(self.followed.images)
        wanted = replace(self.seen.deployment.template, image=images.get("app", ""))
        same = {rs.revision for rs in self.seen.replica_sets.values() if rs.template.image == wanted.image}
        return FollowingView(self.followed, images, frozenset({wanted.own_hash, *same}), self.soak)
