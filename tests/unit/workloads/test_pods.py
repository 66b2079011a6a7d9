"""Why pods do not become ready, in their own words."""

from __future__ import annotations

import pytest

from tidegate.workloads.pods import MESSAGE_LIMIT, pod_trouble
from unit.workloads.objects import pod

READY = {"name": "app", "ready": True, "state": {"running": {}}}


def container(state: dict, **more: object) -> dict:
    return {"containerStatuses": [{"name": "app", "ready": False, "state": state, **more}]}


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (
            container({"waiting": {"reason": "ImagePullBackOff", "message": 'Back-off pulling image "checkout:v2"'}}),
            'pod p: container app: ImagePullBackOff: Back-off pulling image "checkout:v2"',
        ),
        (container({"waiting": {"reason": "ErrImagePull"}}), "pod p: container app: ErrImagePull"),
        (
            container({"waiting": {"reason": "CreateContainerConfigError", "message": 'secret "db" not found'}}),
            'pod p: container app: CreateContainerConfigError: secret "db" not found',
        ),
        (
            container(
                {"waiting": {"reason": "CrashLoopBackOff"}}, lastState={"terminated": {"exitCode": 137, "reason": "OOMKilled"}}
            ),
            "pod p: container app keeps ending (CrashLoopBackOff), last exit code 137 (OOMKilled)",
        ),
        (
            container({"terminated": {"exitCode": 1, "reason": "Error"}}),
            "pod p: container app ended, last exit code 1 (Error)",
        ),
        (
            {"initContainerStatuses": [{"name": "migrate", "state": {"terminated": {"exitCode": 2}}}]},
            "pod p: init container migrate ended, last exit code 2",
        ),
        (
            {
                "conditions": [
                    {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/3 nodes are available"}
                ]
            },
            "pod p: Unschedulable: 0/3 nodes are available",
        ),
        (container({"running": {}}), "pod p: container app runs, but its readiness probe does not pass"),
        (
            container({"running": {}}, restartCount=3),
            "pod p: container app runs, but its readiness probe does not pass, restarted 3 times",
        ),
        ({"phase": "Failed", "reason": "Evicted", "message": "low on memory"}, "pod p: Evicted: low on memory"),
        (container({"waiting": {"reason": "ContainerCreating"}}), "pod p: container app is being made (ContainerCreating)"),
    ],
)
def test_reason_is_passed_on_in_words(status: dict, words: str):
    """Each way to fail is told with the reason that Kubernetes gives."""
    assert pod_trouble([pod("p", **status)]) == words


def test_ready_pods_have_no_trouble():
    """Finished init containers and ready containers are fine."""
    done = {"name": "migrate", "state": {"terminated": {"exitCode": 0}}}

    assert pod_trouble([pod("p", initContainerStatuses=[done], containerStatuses=[READY])]) == ""


def test_most_telling_reason_goes_first():
    """A crash says more about a version than a pod that waits for room or has just started."""
    unschedulable = {"conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable"}]}
    pods = [
        pod("a", **container({"running": {}})),
        pod("b", **unschedulable),
        pod("c", **container({"waiting": {"reason": "CrashLoopBackOff"}})),
    ]

    assert pod_trouble(pods) == "pod c: container app keeps ending (CrashLoopBackOff)"


def test_pods_that_are_being_deleted_are_not_asked():
    """A pod that stops is not ready by intent."""
    assert pod_trouble([pod("p", deleting=True, **container({"terminated": {"exitCode": 143}}))]) == ""


def test_long_messages_are_cut():
    """A scheduler's message can name every node of the cluster."""
    status = {"conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "node " * 500}]}

    assert len(pod_trouble([pod("p", **status)])) <= MESSAGE_LIMIT + len("pod p: ")
