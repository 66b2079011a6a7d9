"""What the engine sees of a Deployment and its ReplicaSets."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from tidegate.api.names import Reason
from tidegate.engine.handover.deployment.view import DeploymentView, Owner
from tidegate.engine.snapshot import PodTrouble
from tidegate.workloads.deployment.observe import unsupported, workload_view
from tidegate.workloads.objects import matches
from tidegate.workloads.templates import template_hash
from unit.workloads.objects import (
    BY_ANOTHER,
    BY_NAMESPACE,
    BY_NOBODY,
    BY_RELEASE,
    Json,
    deployment,
    pod,
    replica_set,
    template,
    workload,
)

V1, V2 = template("checkout:v1"), template("checkout:v2")
RESTARTED = template("checkout:v1", **{"kubectl.kubernetes.io/restartedAt": "2026-11-21T08:00:00Z"})


def test_deployment_at_rest():
    """Given one ReplicaSet with all pods, the Deployment is settled and its template is that ReplicaSet's."""
    view = workload_view(workload(deployment(V1), replica_set("old", V1, replicas=3, number="7")))

    assert view.settled
    assert view.observed
    assert view.labelled
    assert not view.paused
    assert (view.template.revision, view.template.version, view.template.exists) == ("old", "v1", True)
    assert view.own_revision == "old"
    [rs] = view.arms
    assert (rs.owner, rs.wanted, rs.current, rs.ready, rs.available, rs.number) == (Owner.DEPLOYMENT, 3, 3, 3, 3, 7)


def test_held_deployment_with_a_new_template():
    """Given a paused Deployment whose template no ReplicaSet has, the revision is the hash that a new one would get."""
    held = deployment(V2, paused=True, updatedReplicas=0)

    view = workload_view(workload(held, replica_set("old", V1, replicas=3)))

    assert (view.template.revision, view.template.version, view.template.exists) == (template_hash(V2), "v2", False)
    assert view.own_revision is None
    assert not view.settled


def test_paused_deployment_with_its_own_template_is_settled():
    """Being paused is no rollout: with the template of its ReplicaSet, everything is as it should be."""
    assert workload_view(workload(deployment(V1, paused=True), replica_set("old", V1, replicas=3))).settled


def test_status_of_an_older_generation_settles_nothing():
    """The numbers of a status that has not seen the template say nothing about it."""
    view = workload_view(workload(deployment(V1, observedGeneration=3), replica_set("old", V1, replicas=3)))

    assert not view.observed
    assert not view.settled


@pytest.mark.parametrize("status", [{"replicas": 4}, {"availableReplicas": 2}, {"updatedReplicas": 2}])
def test_rollout_of_its_own_is_not_settled(status: dict[str, int]):
    """Surplus pods, missing pods and pods of another template are a rollout that is on."""
    rolling = deployment(V1)
    rolling["status"] |= status

    assert not workload_view(workload(rolling, replica_set("old", V1, replicas=3))).settled


def test_status_from_before_an_adoption_does_not_settle():
    """Given the canary adopted a moment ago, the status still speaks of the old ReplicaSet: its pods are not gone yet."""
    old, new = replica_set("old", V1, replicas=3), replica_set("new", V2, replicas=3)

    assert not workload_view(workload(deployment(V2, paused=True), old, new)).settled


def test_own_template_controlled_by_the_release_does_not_settle():
    """Given no replicas at all, a template whose ReplicaSet is the Release's is still not rolled out."""
    new = replica_set("new", V2, owner=BY_RELEASE)

    assert not workload_view(workload(deployment(V2, paused=True, replicas=0), new)).settled


def test_images_of_the_release_make_the_wanted_template():
    """Given images on the Release, what is wanted is the template with them, and its version is the image's tag."""
    view = workload_view(
        workload(deployment(V1), replica_set("old", V1, replicas=3), images={"app": "checkout:v2"}),
    )

    assert view.template.revision == template_hash(V2)
    assert (view.template.version, view.template.overlaid, view.own_revision) == ("v2", True, "old")


def test_images_that_the_deployment_has_already_lay_over_nothing():
    """The same image is no overlay."""
    view = workload_view(workload(deployment(V2), replica_set("new", V2, replicas=3), images={"app": "checkout:v2"}))

    assert not view.template.overlaid
    assert view.template.exists


def test_name_that_the_release_gives_is_the_wanted_version():
    """Given spec.version, the wanted template has that name; other ReplicaSets keep their tags."""
    view = workload_view(
        workload(deployment(V2), replica_set("old", V1), replica_set("new", V2, replicas=3), version="Black Friday")
    )

    assert view.template.version == "Black Friday"
    assert [rs.version for rs in view.arms] == ["Black Friday" if rs.revision == "new" else "v1" for rs in view.arms]


def test_own_replica_set_of_the_release_goes_before_an_older_one():
    """Given two ReplicaSets of the wanted template, the Release's own is the candidate's."""
    older = replica_set("older", V2, created="2026-11-20T08:00:00Z")
    canary = replica_set("canary", V2, owner=BY_RELEASE)

    assert workload_view(workload(deployment(V2), older, canary)).template.revision == "canary"


def test_second_replica_set_of_the_same_template_is_a_duplicate():
    """Given that a person let the Deployment go past the hold, it has made a ReplicaSet of its own beside the canary."""
    old, canary = replica_set("old", V1), replica_set("canary", V2, owner=BY_RELEASE)
    made = replica_set("made", V2, replicas=3)

    view = workload_view(workload(deployment(V2), old, canary, made))

    assert (view.template.revision, view.template.duplicates) == ("canary", ("made",))
    assert (view.own_revision, view.settled) == ("made", True)


def test_oldest_replica_set_is_taken_as_the_deployment_controller_does():
    """Given two ReplicaSets of the wanted template, neither the Release's, the oldest is taken."""
    younger = replica_set("younger", V2, created="2026-11-21T08:00:00Z")
    older = replica_set("older", V2, created="2026-11-20T08:00:00Z")

    assert workload_view(workload(deployment(V2), younger, older)).template.revision == "older"


def test_replica_set_of_somebody_else_is_not_taken():
    """A ReplicaSet that another controller has is of no use, though its template is the same."""
    view = workload_view(workload(deployment(V2), replica_set("theirs", V2, owner=BY_ANOTHER)))

    assert not view.template.exists
    assert [rs.owner for rs in view.arms] == [Owner.OTHER]


def test_replica_set_that_is_being_deleted_is_not_taken():
    """A ReplicaSet on its way out cannot become the candidate."""
    going = replica_set("going", V2)
    going["metadata"]["deletionTimestamp"] = "2026-11-21T08:00:00Z"

    assert not workload_view(workload(deployment(V2), going)).template.exists


def test_replica_sets_of_other_workloads_are_not_seen():
    """Only those count whose pods the Deployment's selector selects."""
    payment = {**V1, "metadata": {"labels": {"app": "payment"}}}

    assert workload_view(workload(deployment(V1), replica_set("other", payment))).arms == ()


def test_orphan_is_seen_as_nobodys():
    """Between being freed and being adopted, a ReplicaSet has no controller."""
    view = workload_view(workload(deployment(V2, paused=True), replica_set("new", V2, owner=BY_NOBODY)))

    assert [rs.owner for rs in view.arms] == [Owner.NOBODY]


def test_canary_of_a_deleted_release_is_known_by_its_label():
    """Given that the garbage collector has taken the Release from the owners, the canary is still the Release's."""
    canary = replica_set("new", V2, owner=BY_RELEASE)
    canary["metadata"]["ownerReferences"] = [BY_NAMESPACE]

    assert [rs.owner for rs in workload_view(workload(deployment(V2, paused=True), canary)).arms] == [Owner.RELEASE]


def test_canary_of_another_release_is_somebody_elses():
    """Two Releases in a namespace do not take each other's ReplicaSets for their own."""
    canary = replica_set("new", V2, owner=BY_RELEASE)
    canary["metadata"]["labels"]["tidegate.dev/release"] = "other"

    assert [rs.owner for rs in workload_view(workload(deployment(V2, paused=True), canary)).arms] == [Owner.OTHER]


def test_restart_is_known_by_all_that_it_restarts():
    """Given a restart of a restart, both are what it restarts: either may be the one that serves, or that was rejected."""
    again = template("checkout:v1", **{"kubectl.kubernetes.io/restartedAt": "2026-11-21T09:00:00Z"})
    first = replica_set("first", V1, created="2026-11-20T08:00:00Z", number="1")
    serving = replica_set("serving", RESTARTED, replicas=3, number="2")

    view = workload_view(workload(deployment(again, paused=True), first, serving))

    assert view.template.restart_of == ("first", "serving")
    assert not view.template.exists


def test_new_version_restarts_nothing():
    """Another image is no restart."""
    assert workload_view(workload(deployment(V2), replica_set("old", V1, replicas=3))).template.restart_of == ()


def test_reason_of_the_candidates_pods_is_told():
    """Given a pod of the candidate that cannot pull its image, its own words are passed on; pods of others are not asked."""
    waiting = {"waiting": {"reason": "ImagePullBackOff", "message": "not found"}}
    sick = pod("checkout-old-1", owner="old", containerStatuses=[{"name": "app", "state": {"waiting": {"reason": "Sick"}}}])
    stuck = pod("checkout-new-1", containerStatuses=[{"name": "app", "state": waiting}])

    view = workload_view(workload(deployment(V2, paused=True), replica_set("new", V2, owner=BY_RELEASE), pods=(sick, stuck)))

    assert view.trouble == "pod checkout-new-1: container app: ImagePullBackOff: not found"


def test_reason_of_a_replica_set_that_cannot_make_pods_is_told():
    """Given a quota that keeps every pod from being created, there is no pod to ask: the ReplicaSet says why."""
    refused = replica_set("new", V2, owner=BY_RELEASE)
    refused["status"]["conditions"] = [
        {"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": "exceeded quota: cpu"}
    ]

    assert workload_view(workload(deployment(V2), refused)).trouble == "ReplicaSet checkout-new: exceeded quota: cpu"


def test_reason_of_stables_own_pods_is_told_beside_that_of_the_candidate():
    """Pods of the version in force speak for it alone; while all are ready, none are read, which is not the same as no reason."""
    waiting = {"waiting": {"reason": "CreateContainerConfigError", "message": 'configmap "settings-1" not found'}}
    sick = pod("checkout-old-1", owner="old", containerStatuses=[{"name": "app", "state": waiting}])
    sick["metadata"]["creationTimestamp"] = "2026-11-21T08:00:00Z"
    namesake = pod("other-old-1", owner="other", containerStatuses=[{"name": "app", "state": {"waiting": {"reason": "Sick"}}}])
    sets = replica_set("old", V1), replica_set("new", V2, owner=BY_RELEASE)

    def seen(*pods: Json) -> DeploymentView:
        return workload_view(workload(deployment(V2, paused=True), *sets, stable="old", stable_pods=pods))

    words = 'pod checkout-old-1: container app: CreateContainerConfigError: configmap "settings-1" not found'
    assert seen(namesake, sick).stable_trouble == PodTrouble(words, datetime(2026, 11, 21, 8, tzinfo=UTC))
    assert seen(namesake, sick).trouble == ""
    assert seen(namesake).stable_trouble == PodTrouble()
    assert workload_view(workload(deployment(V2, paused=True), *sets, stable="old")).stable_trouble is None


def test_deployment_of_another_release_is_not_taken():
    """Two Releases cannot manage one Deployment: the label says whose it is."""
    theirs = deployment(V1)
    theirs["metadata"]["labels"]["tidegate.dev/release"] = "shop"

    blocker = unsupported(workload(theirs))

    assert blocker is not None
    assert blocker.reason is Reason.CONFLICT
    assert "Release shop" in blocker.message
    assert not workload_view(workload(theirs)).labelled


def test_misspelt_container_is_told_and_lays_over_nothing():
    """Given an image for a container that is not there, status says so, and no version is made of it meanwhile."""
    given = workload(deployment(V1), replica_set("old", V1, replicas=3), images={"ap": "checkout:v2"})

    blocker = unsupported(given)

    assert blocker is not None
    assert blocker.message == "spec.images: Deployment checkout has no container ap; there are app"
    assert workload_view(given).template.revision == "old"


def test_plain_deployment_is_supported():
    """A Deployment needs nothing special, whatever its strategy and whoever paused it."""
    recreate = deployment(V1, paused=True)
    recreate["spec"]["strategy"] = {"type": "Recreate"}
    del recreate["metadata"]["labels"]

    assert unsupported(workload(recreate)) is None


@pytest.mark.parametrize(
    ("expression", "selected"),
    [
        ({"key": "app", "operator": "In", "values": ["checkout"]}, True),
        ({"key": "app", "operator": "NotIn", "values": ["checkout"]}, False),
        ({"key": "tier", "operator": "NotIn", "values": ["front"]}, True),
        ({"key": "app", "operator": "Exists"}, True),
        ({"key": "tier", "operator": "DoesNotExist"}, True),
    ],
)
def test_selectors_by_expression(expression: dict, selected: bool):
    """Expressions select as the API documents them."""
    assert matches({"matchExpressions": [expression]}, {"app": "checkout"}) is selected
