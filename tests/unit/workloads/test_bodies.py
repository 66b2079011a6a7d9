"""What is sent to change a workload, and what each request rests on."""

from __future__ import annotations

import copy
from dataclasses import replace

import jsonpatch
import pytest

from tidegate.workloads.deployment import bodies
from tidegate.workloads.templates import same_template
from unit.workloads.objects import (
    BY_DEPLOYMENT,
    BY_RELEASE,
    NAMESPACE_UID,
    RELEASE_UID,
    deployment,
    replica_set,
    template,
    workload,
)

V1, V2 = template("checkout:v1"), template("checkout:v2")


def patched(obj: dict, patch: list[dict] | None) -> dict:
    assert patch is not None
    return jsonpatch.apply_patch(obj, patch)


def test_hold_sets_paused_and_nothing_else():
    """Given a Deployment that runs, holding it sets spec.paused."""
    running = deployment(V1)

    held = patched(running, bodies.hold_patch(workload(running), paused=True))

    assert held == deployment(V1, paused=True)


def test_letting_go_removes_paused_altogether():
    """The user did not write the field, so nothing of it stays."""
    held = deployment(V1, paused=True)

    assert patched(held, bodies.hold_patch(workload(held), paused=False)) == deployment(V1)


def test_template_that_changed_meanwhile_is_never_let_go():
    """Given that the template has changed since it was seen, letting go fails."""
    seen, now = deployment(V1, paused=True), deployment(V2, paused=True)
    now["metadata"]["generation"] += 1

    with pytest.raises(jsonpatch.JsonPatchTestFailed):
        patched(now, bodies.hold_patch(workload(seen), paused=False))


@pytest.mark.parametrize("paused", [True, False])
def test_hold_that_is_so_already_writes_nothing(paused: bool):
    """A second pass writes nothing."""
    assert bodies.hold_patch(workload(deployment(V1, paused=paused)), paused=paused) is None


def test_label_comes_and_goes():
    """The label is put on a Deployment without labels and leaves it with none but those it had."""
    bare = deployment(V1)
    del bare["metadata"]["labels"]

    labelled = patched(bare, bodies.label_patch(workload(bare), present=True))
    freed = patched(labelled, bodies.label_patch(workload(labelled), present=False))

    assert labelled["metadata"]["labels"] == {"tidegate.dev/release": "checkout"}
    assert freed["metadata"]["labels"] == {}


def test_deployment_that_is_left_paused_says_so_until_a_release_takes_it_on():
    """The note is written in the request that takes the label away, and goes in the one that puts it on again."""
    ours = deployment(V1, paused=True)
    ours["metadata"]["labels"]["tidegate.dev/release"] = "checkout"

    left = patched(ours, bodies.label_patch(workload(ours), present=False, note="stays paused"))
    taken = patched(left, bodies.label_patch(workload(left), present=True))

    assert left["metadata"]["annotations"]["tidegate.dev/handed-back"] == "stays paused"
    assert "tidegate.dev/release" not in left["metadata"]["labels"]
    assert "tidegate.dev/handed-back" not in taken["metadata"]["annotations"]


def test_name_of_the_author_goes_with_the_label():
    """Given that the API server has written down who has changed it, it goes when the Deployment is handed back."""
    ours = deployment(V1)
    ours["metadata"]["labels"]["tidegate.dev/release"] = "checkout"
    ours["metadata"]["annotations"] = {"tidegate.dev/changed-by": "ann", "note": "mine"}

    left = patched(ours, bodies.label_patch(workload(ours), present=False, note="stays paused"))

    assert left["metadata"]["annotations"] == {"tidegate.dev/handed-back": "stays paused", "note": "mine"}


def test_label_of_another_release_stays():
    """What another Release has labelled is neither taken nor freed."""
    theirs = deployment(V1)
    theirs["metadata"]["labels"]["tidegate.dev/release"] = "shop"

    assert bodies.label_patch(workload(theirs), present=True) is None
    assert bodies.label_patch(workload(theirs), present=False) is None


def test_label_of_a_release_that_is_gone_is_taken_over():
    """A label that a Release left behind keeps nobody else out."""
    left = deployment(V1)
    left["metadata"]["labels"]["tidegate.dev/release"] = "gone"

    taken = patched(left, bodies.label_patch(replace(workload(left), label_is_stale=True), present=True))

    assert taken["metadata"]["labels"] == {"tidegate.dev/release": "checkout"}


def test_images_make_the_template_the_wanted_one():
    """Given images on the Release, the held Deployment gets exactly the candidate's template."""
    held = deployment(V1, paused=True)
    held["spec"]["template"]["spec"]["initContainers"] = [{"name": "migrate", "image": "migrate:v1"}]
    given = workload(held, images={"app": "checkout:v2", "migrate": "migrate:v2"})

    changed = patched(copy.deepcopy(held), bodies.images_patch(given))

    assert changed["spec"]["template"] == given.template


def test_images_are_never_written_into_a_deployment_that_runs():
    """A Deployment that is not held would roll the image out at once."""
    running = deployment(V1)

    with pytest.raises((jsonpatch.JsonPatchTestFailed, jsonpatch.JsonPointerException)):
        patched(running, bodies.images_patch(workload(running, images={"app": "checkout:v2"})))


def test_images_that_are_there_already_write_nothing():
    """A second pass writes nothing."""
    assert bodies.images_patch(workload(deployment(V2, paused=True), images={"app": "checkout:v2"})) is None


def test_canary_has_the_pods_that_the_deployment_would_have_made():
    """The ReplicaSet is the one that the Deployment controller would make, but for its controller and two labels of its own."""
    held = deployment(V2, paused=True, replicas=4)
    held["spec"]["minReadySeconds"] = 5

    body = bodies.canary_body(workload(held), revision="abc", replicas=1, namespace_uid=NAMESPACE_UID)

    assert body["metadata"] == {
        "name": "checkout-abc",
        "namespace": "shop",
        "labels": {
            "app": "checkout",
            "pod-template-hash": "abc",
            "tidegate.dev/release": "checkout",
            "tidegate.dev/role": "canary",
        },
        "annotations": {
            "deployment.kubernetes.io/desired-replicas": "4",
            "deployment.kubernetes.io/max-replicas": "5",
            "tidegate.dev/release-uid": RELEASE_UID,
        },
        "ownerReferences": BY_RELEASE,
    }
    spec = body["spec"]
    assert (spec["replicas"], spec["minReadySeconds"]) == (1, 5)
    assert spec["selector"] == {"matchLabels": {"app": "checkout", "pod-template-hash": "abc"}}
    assert spec["template"]["metadata"]["labels"] == {"app": "checkout", "pod-template-hash": "abc"}
    assert same_template(spec["template"], V2)


def test_canary_keeps_the_expressions_of_the_selector():
    """A Deployment may select by expressions alone."""
    held = deployment(V2, paused=True)
    expressions = [{"key": "app", "operator": "In", "values": ["checkout"]}]
    held["spec"]["selector"] = {"matchExpressions": expressions}

    selector = bodies.canary_body(workload(held), revision="abc", replicas=1, namespace_uid=NAMESPACE_UID)["spec"]["selector"]

    assert selector == {"matchExpressions": expressions, "matchLabels": {"pod-template-hash": "abc"}}
    assert held["spec"]["selector"] == {"matchExpressions": expressions}


def test_name_of_the_canary_is_cut_as_kubernetes_does():
    """The name of a ReplicaSet has at most 253 characters."""
    held = deployment(V2, paused=True)
    held["metadata"]["name"] = "c" * 253

    assert (
        bodies.canary_body(workload(held), revision="abc", replicas=1, namespace_uid=NAMESPACE_UID)["metadata"]["name"]
        == "c" * 249 + "-abc"
    )


def test_taking_over_moves_control_to_the_release():
    """Given an old ReplicaSet of the Deployment, the Release becomes its controller and marks it."""
    held, old = deployment(V2, paused=True), replica_set("new", V2)

    taken = patched(old, bodies.take_over_patch(workload(held, old), old, namespace_uid=NAMESPACE_UID))

    assert taken["metadata"]["ownerReferences"] == BY_RELEASE
    assert taken["metadata"]["labels"]["tidegate.dev/role"] == "canary"
    assert taken["metadata"]["annotations"]["tidegate.dev/release-uid"] == RELEASE_UID
    assert taken["spec"] == old["spec"]


def test_taking_over_keeps_owners_that_are_no_controllers():
    """Other ownerReferences are none of our business."""
    other = {"apiVersion": "v1", "kind": "ConfigMap", "name": "x", "uid": "x"}
    held, old = deployment(V2, paused=True), replica_set("new", V2)
    old["metadata"]["ownerReferences"] = [other, *BY_DEPLOYMENT]

    assert patched(old, bodies.take_over_patch(workload(held, old), old, namespace_uid=NAMESPACE_UID))["metadata"][
        "ownerReferences"
    ] == [other, *BY_RELEASE]


def test_freeing_leaves_nothing_of_the_release_behind():
    """Given a canary, freeing it removes control and marks and says the Deployment's size in its annotations."""
    held = deployment(V2, paused=True, replicas=3)
    canary = {
        "apiVersion": "apps/v1",
        **bodies.canary_body(workload(held), revision="new", replicas=3, namespace_uid=NAMESPACE_UID),
    }
    canary["metadata"] |= {"uid": "new-uid", "generation": 1}
    held["spec"]["replicas"] = 5

    freed = patched(canary, bodies.adopt_patch(workload(held, canary), canary))

    assert "ownerReferences" not in freed["metadata"]
    assert freed["metadata"]["labels"] == {"app": "checkout", "pod-template-hash": "new"}
    assert freed["metadata"]["annotations"] == {
        "deployment.kubernetes.io/desired-replicas": "5",
        "deployment.kubernetes.io/max-replicas": "7",
    }
    assert freed["spec"] == canary["spec"]


def test_control_moves_only_from_the_owner_that_was_seen():
    """Given that the ReplicaSet has been adopted meanwhile, neither freeing nor scaling it goes through."""
    held, seen = deployment(V2, paused=True), replica_set("new", V2, owner=BY_RELEASE, replicas=3)
    now = replica_set("new", V2, owner=BY_DEPLOYMENT, replicas=3)

    for patch in (bodies.adopt_patch(workload(held, seen), seen), bodies.scale_patch(workload(held, seen), seen, replicas=0)):
        with pytest.raises(jsonpatch.JsonPatchTestFailed):
            patched(now, patch)


def test_size_that_comes_late_is_refused():
    """Given a version that was scaled up, down and up again since it was seen, what was to scale it then does not fit any more."""
    seen = replica_set("new", V2, owner=BY_RELEASE, replicas=3)
    now = copy.deepcopy(seen)
    now["metadata"]["generation"] += 2

    with pytest.raises(jsonpatch.JsonPatchTestFailed):
        patched(now, bodies.scale_patch(workload(deployment(V2, paused=True), seen), seen, replicas=0))


def test_size_that_is_so_already_writes_nothing():
    """A second pass writes nothing."""
    seen = replica_set("new", V2, owner=BY_RELEASE, replicas=3)

    assert bodies.scale_patch(workload(deployment(V2, paused=True), seen), seen, replicas=3) is None


def test_replica_set_that_gets_the_size_of_its_deployment_says_so():
    """The Deployment controller would take another size in the annotation for a scaling, and would roll nothing out any more."""
    held, seen = deployment(V2, paused=True, replicas=4), replica_set("old", V1, replicas=0)
    seen["metadata"]["annotations"] = {"deployment.kubernetes.io/desired-replicas": "0", "other": "x"}

    scaled = patched(seen, bodies.scale_patch(workload(held, seen), seen, replicas=4))

    assert scaled["spec"]["replicas"] == 4
    assert scaled["metadata"]["annotations"] == {
        "deployment.kubernetes.io/desired-replicas": "4",
        "deployment.kubernetes.io/max-replicas": "5",
        "other": "x",
    }
    assert bodies.scale_patch(workload(held, scaled), scaled, replicas=4) is None
    wrong = copy.deepcopy(scaled)
    wrong["metadata"]["annotations"]["deployment.kubernetes.io/desired-replicas"] = "3"
    assert patched(wrong, bodies.scale_patch(workload(held, wrong), wrong, replicas=4)) == scaled


def test_replica_set_that_is_stopped_keeps_its_annotations():
    """One that gets another size than the Deployment is scaled, and nothing else."""
    held, seen = deployment(V2, paused=True, replicas=4), replica_set("old", V1, replicas=4)
    seen["metadata"]["annotations"] = {"deployment.kubernetes.io/desired-replicas": "4"}

    assert patched(seen, bodies.scale_patch(workload(held, seen), seen, replicas=0))["metadata"] == seen["metadata"]


@pytest.mark.parametrize(
    ("strategy", "surge"),
    [
        ({"type": "Recreate"}, 0),
        ({"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 2}}, 2),
        ({"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%"}}, 1),
        ({"type": "RollingUpdate"}, 0),
    ],
)
def test_greatest_size_is_as_the_deployment_controller_writes_it(strategy: dict, surge: int):
    """Percentages are rounded up; Recreate has no surplus."""
    held = deployment(V2, paused=True, replicas=3)
    held["spec"]["strategy"] = strategy

    annotations = bodies.canary_body(workload(held), revision="abc", replicas=3, namespace_uid=NAMESPACE_UID)["metadata"][
        "annotations"
    ]

    assert annotations["deployment.kubernetes.io/max-replicas"] == str(3 + surge)
