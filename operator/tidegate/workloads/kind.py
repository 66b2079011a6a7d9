"""What an adapter asks of any kind of workload: which objects it is made of, what the engine sees of them, and how to write them.

Beside the engine's handover, which decides, this is the other half of a kind: it knows Kubernetes, and decides nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol

from tidegate.api.release import ReleaseSpec
from tidegate.api.status import ReleaseStatus
from tidegate.cluster.client import Cluster
from tidegate.cluster.resources import Resource
from tidegate.engine.plan import OfWorkload
from tidegate.engine.snapshot import Blocker, WorkloadView
from tidegate.runtime.store import Object, Store
from tidegate.workloads.templates import Json


class WorkloadObjects(Protocol):
    """The raw objects around the workload of one Release, as the caches have them at one instant."""

    @property
    def namespace(self) -> str:
        """The namespace of all of them."""

    @property
    def name(self) -> str:
        """Name of the workload."""

    @property
    def label(self) -> str:
        """Kind and name for people, e.g. `Deployment checkout`."""

    @property
    def held_by_another(self) -> str | None:
        """The other Release that manages it; None where none does."""

    @property
    def own(self) -> Json:
        """The workload itself."""

    @property
    def objects(self) -> Sequence[Json]:
        """The workload itself, and then all that may keep pods of it."""

    @property
    def own_template(self) -> Json:
        """Its own pod template, without the Release's images."""

    @property
    def version_label(self) -> str:
        """The label whose value is the revision of a pod."""

    @property
    def templates(self) -> Mapping[str, Mapping[str, Any]]:
        """The pod templates of its versions, by revision."""

    @property
    def read(self) -> tuple[object, ...]:
        """What of it was not taken from its objects alone: which pods were read, and for which version."""

    @property
    def read_pods(self) -> Iterable[Json]:
        """The pods that were read."""

    def view(self) -> WorkloadView:
        """Return what the engine sees of it."""

    def unsupported(self) -> Blocker | None:
        """Return what keeps it from being released, None where nothing does."""

    def names_of(self, images: Mapping[str, str]) -> frozenset[str]:
        """Return the revisions that a version with these images in place of the workload's own may be known by."""

    def pod_names(self, revision: str) -> str:
        """Return the RE2 expression that matches the names of a version's pods, for queries; of no pod where there is no such."""


class Kind(Protocol):
    """One kind of workload. One object for all workloads of the kind, without a state."""

    @property
    def resource(self) -> Resource:
        """The workload's own resource."""

    @property
    def keepers(self) -> tuple[Resource, ...]:
        """Resources of what keeps its pods, which are watched as well; none where the workload does so itself."""

    def around(
        self,
        store: Store,
        *,
        release: Object,
        spec: ReleaseSpec,
        status: ReleaseStatus,
        pods: Iterable[Object] | None,
        stable_pods: Iterable[Object] | None,
        manages: Callable[[str], bool],
    ) -> WorkloadObjects | None:
        """Return what the caches have of the workload of a Release; None where there is none.

        Args:
            store: the caches.
            release: the Release as stored.
            spec: what it asks for.
            status: what has been decided.
            pods: pods of the new version; None where they were not read.
            stable_pods: pods of the version in force; None where they were not read.
            manages: whether there is a Release of that name that manages the workload.
        """

    def orphans(self, store: Store, release: Object, workload: WorkloadObjects | None) -> tuple[Object, ...]:
        """Return what keeps pods and would be left behind by a Release that goes, beside what is around its workload."""

    def check(self, action: OfWorkload, decided: WorkloadObjects, now: WorkloadObjects) -> None:
        """Check that a write is still meant, although the workload may have changed since it was decided on.

        Raises:
            Retry: it is not.
        """

    async def perform(
        self, action: OfWorkload, *, workload: WorkloadObjects | None, orphans: Sequence[Object], cluster: Cluster
    ) -> bool:
        """Carry out a write.

        Args:
            action: what is wanted, an action of the kind's own or to scale it.
            workload: the raw objects that the decision was made on; None where there are none.
            orphans: what the Release would leave behind, as `orphans` returns it.
            cluster: the API.

        Returns:
            Whether anything was written. False: it was so already.

        Raises:
            ApiError: the API refused; a `Conflict` means that the objects are not as they were seen.
            Retry: the objects have moved on since the decision.
            Terminal: it can never be written so.
        """
