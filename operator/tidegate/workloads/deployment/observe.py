"""From raw objects to what the engine sees of a Deployment.

The engine knows no Kubernetes: what owners, hashes and annotations mean for a rollout is read here, once for each object.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from tidegate.api.names import ANNOTATION_DESIRED_REPLICAS, ANNOTATION_REVISION, LABEL_POD_TEMPLATE_HASH, LABEL_RELEASE, Reason
from tidegate.cluster.resources import DEPLOYMENTS
from tidegate.engine.handover.deployment.view import DeploymentView, Owner, ReplicaSetView
from tidegate.engine.snapshot import Blocker, PodTrouble, TemplateView
from tidegate.governance.votes import Author
from tidegate.prometheus.promql import pods_of
from tidegate.workloads.objects import controller_of, labels_of, matches, replicas_of
from tidegate.workloads.pods import Trouble, last_endings, last_made, pod_trouble, replica_set_trouble
from tidegate.workloads.templates import (
    Json,
    containers_of,
    content_digest,
    digest_of,
    images_of,
    normalise,
    overlay,
    same_but_restarted,
    same_template,
    template_hash,
    unknown_containers,
    version_of,
)

_LONGEST_LABEL = 63
_LONGEST_NUMBER = 19


@dataclass(frozen=True, kw_only=True)
class DeploymentObjects:
    """The raw objects around the Deployment of one Release, as the caches have them at one instant.

    Attributes:
        release: name of the Release.
        release_uid: its uid.
        images: its images by container name.
        version: its own name for the wanted version; None where it gives none.
        authors: who has changed the wanted template; empty where nobody knows.
        committed: when the commit of the wanted version was made, as is said; empty where nobody says so.
        deployment: the Deployment.
        replica_sets: ReplicaSets of the namespace; those of other workloads may be among them.
        pods: pods of the namespace, for their reasons not to be ready; those of other workloads may be among them. None where they
            were not read.
        stable: revision of the version in force; None before there is one.
        stable_pods: its pods, for their reasons not to be ready; None where they were not read.
        follows: the images are those of a Release that this one follows, and none of them need have a container here.
        label_is_stale: the Release that the Deployment's label names is not there any more, or is about another Deployment, so the
            label may be taken over.
    """

    release: str
    release_uid: str
    images: Mapping[str, str]
    version: str | None = None
    authors: tuple[Author, ...] = ()
    committed: str = ""
    deployment: Json
    replica_sets: Sequence[Json] = ()
    pods: Sequence[Json] | None = None
    stable: str | None = None
    stable_pods: Sequence[Json] | None = None
    follows: bool = False
    label_is_stale: bool = False

    @property
    def namespace(self) -> str:
        """The namespace of all of them."""
        return str(self.deployment["metadata"]["namespace"])

    @property
    def name(self) -> str:
        """Name of the Deployment."""
        return str(self.deployment["metadata"]["name"])

    @property
    def label(self) -> str:
        """Kind and name for people."""
        return f"{DEPLOYMENTS.kind} {self.name}"

    @property
    def own(self) -> Json:
        """The Deployment."""
        return self.deployment

    @property
    def objects(self) -> Sequence[Json]:
        """The Deployment and the ReplicaSets."""
        return (self.deployment, *self.replica_sets)

    @property
    def version_label(self) -> str:
        """The label that the Deployment controller gives ReplicaSets and their pods."""
        return LABEL_POD_TEMPLATE_HASH

    @property
    def templates(self) -> dict[str, Json]:
        """The pod templates of its ReplicaSets, by revision."""
        return {revision_of(rs): rs["spec"].get("template") or {} for rs in self.siblings}

    @property
    def read(self) -> tuple[object, ...]:
        """Whether the label is stale, whose the change is, which version is in force, and which pods were read."""
        return self.label_is_stale, self.authors, self.stable, self.pods is None, self.stable_pods is None

    @property
    def read_pods(self) -> Sequence[Json]:
        """The pods of the new version and of stable, as far as they were read."""
        return (*(self.pods or ()), *(self.stable_pods or ()))

    @property
    def held_by_another(self) -> str | None:
        """The other Release that manages the Deployment, as its label says; None where none does."""
        holder = labels_of(self.deployment).get(LABEL_RELEASE)
        return holder if holder != self.release and not self.label_is_stale else None

    @property
    def own_template(self) -> Json:
        """The Deployment's own pod template."""
        template: Json = self.deployment["spec"]["template"]
        return template

    @property
    def template(self) -> Json:
        """The wanted pod template. Images of containers that there are not are left out: `unsupported` tells of them."""
        unknown = set(unknown_containers(self.own_template, self.images))
        return overlay(self.own_template, {name: image for name, image in self.images.items() if name not in unknown})

    @cached_property
    def siblings(self) -> tuple[Json, ...]:
        """The ReplicaSets whose pods match the Deployment's selector, oldest first."""
        selector = self.deployment["spec"]["selector"]
        mine = (rs for rs in self.replica_sets if matches(selector, labels_of(rs["spec"].get("template") or {})))
        return tuple(sorted(mine, key=_age))

    def find(self, template: Mapping[str, Any]) -> list[Json]:
        """Return the ReplicaSets that have exactly this pod template, the one that counts first.

        That is the Release's own; else the oldest, as the Deployment controller chooses. One that belongs to somebody else or
        is being deleted is no use.
        """
        wanted = normalise(template)
        usable = [
            rs
            for rs in self.siblings
            if self.owner_of(rs) is not Owner.OTHER
            and not rs["metadata"].get("deletionTimestamp")
            and normalise(rs["spec"]["template"]) == wanted
        ]
        return sorted(usable, key=lambda rs: self.owner_of(rs) is not Owner.RELEASE)

    def get(self, name: str) -> Json | None:
        """Return the ReplicaSet of that name, None where there is none."""
        return next((rs for rs in self.replica_sets if rs["metadata"]["name"] == name), None)

    def owner_of(self, replica_set: Mapping[str, Any]) -> Owner:
        """Return who controls a ReplicaSet.

        One that the Release has is controlled by the namespace (see `bodies.owners`), and its label says of which Release.
        """
        controller = controller_of(replica_set)
        if controller is None:
            return Owner.NOBODY
        if controller["uid"] == self.deployment["metadata"]["uid"]:
            return Owner.DEPLOYMENT
        held = controller["kind"] == "Namespace" and labels_of(replica_set).get(LABEL_RELEASE) == self.release
        return Owner.RELEASE if held else Owner.OTHER

    def view(self) -> DeploymentView:
        """Return what the engine sees of it."""
        return workload_view(self)

    def unsupported(self) -> Blocker | None:
        """Return what keeps it from being released, None where nothing does."""
        return unsupported(self)

    def names_of(self, images: Mapping[str, str]) -> frozenset[str]:
        """Return the revisions that a version with these images may be known by: a restart of it is no other version."""
        unknown = set(unknown_containers(self.own_template, images))
        wanted = overlay(self.own_template, {name: image for name, image in images.items() if name not in unknown})
        same = [*self.find(wanted), *(rs for rs in self.siblings if same_but_restarted(rs["spec"]["template"], wanted))]
        return frozenset({template_hash(wanted), *map(revision_of, same)})

    def pod_names(self, revision: str) -> str:
        """Return the expression for the names of a version's pods, which begin with that of their ReplicaSet."""
        found = next((rs for rs in reversed(self.siblings) if revision_of(rs) == revision), None)
        return pods_of([found["metadata"]["name"]] if found is not None else [])


def workload_view(workload: DeploymentObjects) -> DeploymentView:
    """Return what the engine sees of a Deployment."""
    deployment, wanted = workload.deployment, workload.template
    spec, status = deployment["spec"], deployment.get("status") or {}
    same, own = workload.find(wanted), workload.find(workload.own_template)
    chosen = same[0] if same else None
    # The Deployment's rollout is about the ReplicaSets that it controls, even if the Release has one of the same template.
    rolled_out = next((rs for rs in own if workload.owner_of(rs) is Owner.DEPLOYMENT), None)
    restarted = [rs for rs in workload.siblings if same_but_restarted(rs["spec"]["template"], wanted)]
    new_revision = template_hash(wanted)
    template = TemplateView(
        revision=revision_of(chosen) if chosen else new_revision,
        version=version_of(wanted, workload.images, workload.version),
        exists=chosen is not None,
        restart_of=tuple(revision_of(rs) for rs in restarted),
        overlaid=not same_template(wanted, workload.own_template),
        duplicates=tuple(revision_of(rs) for rs in same[1:]),
        images=images_of(wanted),
        new_revision=new_revision,
        digest=content_digest(wanted),
        authors=workload.authors,
        committed=workload.committed,
    )
    pods = tuple(_pods_of(workload.pods, chosen))
    trouble, endings = _trouble(pods, chosen), last_endings(pods)
    observed = int(status.get("observedGeneration") or 0) >= int(deployment["metadata"].get("generation") or 0)
    return DeploymentView(
        uid=deployment["metadata"]["uid"],
        replicas=replicas_of(deployment),
        paused=bool(spec.get("paused")),
        labelled=labels_of(deployment).get(LABEL_RELEASE) == workload.release,
        settled=observed and rolled_out is not None and _complete(workload, rolled_out),
        observed=observed,
        template=template,
        own_revision=next((revision_of(rs) for rs in (rolled_out, *own) if rs), None),
        arms=tuple(_replica_set_view(workload, rs, chosen) for rs in workload.siblings),
        trouble=trouble.words,
        trouble_outside=trouble.outside,
        ending=max(endings, key=lambda ending: ending.at).words if endings else "",
        endings=None if workload.pods is None else tuple(ending.at for ending in endings),
        youngest=last_made(pods),
        stable_trouble=_stable_trouble(workload),
        rolling=(spec.get("strategy") or {}).get("type", "RollingUpdate") == "RollingUpdate",
    )


def _complete(workload: DeploymentObjects, own: Mapping[str, Any]) -> bool:
    """Whether the Deployment's own rollout is complete.

    The numbers of the Deployment's status are of the ReplicaSets that it controls; its status may be older than a change of
    control, which leaves its generation as it is. So the ReplicaSets themselves are asked, too.
    """
    status, replicas = workload.deployment.get("status") or {}, replicas_of(workload.deployment)
    counts = [int(status.get(name) or 0) for name in ("replicas", "updatedReplicas", "availableReplicas")]
    others = [
        rs
        for rs in workload.siblings
        if workload.owner_of(rs) is Owner.DEPLOYMENT and rs["metadata"]["uid"] != own["metadata"]["uid"]
    ]
    return counts == [replicas] * len(counts) and not any(
        replicas_of(rs) or (rs.get("status") or {}).get("replicas") for rs in others
    )


def _replica_set_view(workload: DeploymentObjects, replica_set: Json, chosen: Json | None) -> ReplicaSetView:
    status = replica_set.get("status") or {}
    return ReplicaSetView(
        name=replica_set["metadata"]["name"],
        revision=revision_of(replica_set),
        owner=workload.owner_of(replica_set),
        wanted=replicas_of(replica_set),
        current=int(status.get("replicas") or 0),
        ready=int(status.get("readyReplicas") or 0),
        available=int(status.get("availableReplicas") or 0),
        version=version_of(replica_set["spec"]["template"], workload.images, workload.version if replica_set is chosen else None),
        number=_whole(replica_set, ANNOTATION_REVISION) or 0,
        desired=_whole(replica_set, ANNOTATION_DESIRED_REPLICAS),
        images=images_of(replica_set["spec"]["template"]),
    )


def _pods_of(pods: Iterable[Json] | None, replica_set: Json | None) -> list[Json]:
    uid = replica_set["metadata"]["uid"] if replica_set is not None else None
    return [pod for pod in pods or () if uid is not None and (controller_of(pod) or {}).get("uid") == uid]


def _trouble(pods: Iterable[Json], chosen: Json | None) -> Trouble:
    """Return why the wanted version's pods are not ready, in the words of its pods or of its ReplicaSet."""
    own = pod_trouble(pods)
    return own if own.words or chosen is None else replica_set_trouble(chosen)


def _stable_trouble(workload: DeploymentObjects) -> PodTrouble | None:
    """Return why pods of the version in force are not ready, in the words of its pods or of its ReplicaSet."""
    replica_set = next((rs for rs in workload.siblings if revision_of(rs) == workload.stable), None)
    if workload.stable_pods is None or replica_set is None:
        return None
    # A pod that is over has been replaced already.
    pods = [pod for pod in _pods_of(workload.stable_pods, replica_set) if (pod.get("status") or {}).get("phase") != "Failed"]
    found = pod_trouble(pods)
    if not found.words:
        return PodTrouble(replica_set_trouble(replica_set).words)
    return PodTrouble(found.words, last_made(pod for pod in pods if pod["metadata"]["name"] == found.pod))


def unsupported(workload: DeploymentObjects) -> Blocker | None:
    """Return what keeps a Deployment from being released, None where nothing does.

    The strategy does not matter: a held Deployment never runs its own, and at promotion there is nothing left for it to do.
    """
    deployment = workload.deployment
    if deployment["metadata"].get("deletionTimestamp"):
        return Blocker(Reason.MISSING_WORKLOAD, f"spec.targetRef: Deployment {workload.name} is being deleted")
    if workload.held_by_another:
        words = f"spec.targetRef: Deployment {workload.name} is managed by Release {workload.held_by_another} already"
        return Blocker(Reason.CONFLICT, words)
    unknown = [] if workload.follows else unknown_containers(workload.own_template, workload.images)
    if unknown:
        there = ", ".join(container["name"] for container in containers_of(workload.own_template))
        words = f"spec.images: Deployment {workload.name} has no container {', '.join(unknown)}; there are {there}"
        return Blocker(Reason.INVALID_SPEC, words)
    return None


def revision_of(replica_set: Mapping[str, Any]) -> str:
    """Return the pod-template-hash of a ReplicaSet; its name where it has none (it was not made by a Deployment).

    A name that is longer than a label's value may be is shortened to a digest of it.
    """
    name = str(replica_set["metadata"]["name"])
    return labels_of(replica_set).get(LABEL_POD_TEMPLATE_HASH) or (name if len(name) <= _LONGEST_LABEL else digest_of(name))


def _whole(replica_set: Mapping[str, Any], annotation: str) -> int | None:
    """Return a whole number that the Deployment controller has written into an annotation; None where there is none."""
    number = str((replica_set["metadata"].get("annotations") or {}).get(annotation) or "")
    # Anybody may write an annotation; the controller counts up to 64 bits.
    return int(number) if number.isdecimal() and len(number) <= _LONGEST_NUMBER else None


def _age(replica_set: Mapping[str, Any]) -> tuple[str, str]:
    return str(replica_set["metadata"].get("creationTimestamp") or ""), str(replica_set["metadata"]["name"])
