"""Why pods do not become ready, in their own words."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from tidegate.workloads.masking import masked
from tidegate.workloads.pods import LAST_WORDS, MESSAGE_LIMIT, Trouble, last_endings, last_made, pod_trouble, replica_set_trouble
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
            "pod p: container app keeps exiting (CrashLoopBackOff), last exit code 137 (OOMKilled)",
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
        (
            container({"running": {}}, restartCount=1, lastState={"terminated": {"exitCode": 3, "message": "no table"}}),
            'pod p: container app runs, but its readiness probe does not pass, restarted 1 times, last exit code 3: "no table"',
        ),
        (container({"running": {}}, started=False), "pod p: container app runs, but its startup probe does not pass"),
        ({"phase": "Failed", "reason": "Evicted", "message": "low on memory"}, "pod p: Evicted: low on memory"),
        (container({"waiting": {"reason": "ContainerCreating"}}), "pod p: container app is being created (ContainerCreating)"),
    ],
)
def test_reason_is_passed_on_in_words(status: dict, words: str):
    """Each way to fail is told with the reason that Kubernetes gives."""
    assert pod_trouble([pod("p", **status)]).words == words


def test_ready_pods_have_no_trouble():
    """Finished init containers and ready containers are fine."""
    done = {"name": "migrate", "state": {"terminated": {"exitCode": 0}}}

    assert pod_trouble([pod("p", initContainerStatuses=[done], containerStatuses=[READY])]).words == ""


def test_most_telling_reason_goes_first():
    """A crash says more about a version than a pod that waits for room or has just started."""
    unschedulable = {"conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable"}]}
    pods = [
        pod("a", **container({"running": {}})),
        pod("b", **unschedulable),
        pod("c", **container({"waiting": {"reason": "CrashLoopBackOff"}})),
    ]

    assert pod_trouble(pods).words == "pod c: container app keeps exiting (CrashLoopBackOff)"


def test_pods_that_are_being_deleted_are_not_asked():
    """A pod that stops is not ready by intent."""
    assert pod_trouble([pod("p", deleting=True, **container({"terminated": {"exitCode": 143}}))]).words == ""


def test_long_messages_are_cut():
    """A scheduler's message can name every node of the cluster."""
    status = {"conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "node " * 500}]}

    assert len(pod_trouble([pod("p", **status)]).words) <= MESSAGE_LIMIT + len("pod p: ")


BEING_MADE = {"name": "app", "ready": False, "state": {"waiting": {"reason": "PodInitializing"}}}
SIDECAR = {"initContainers": [{"name": "proxy", "restartPolicy": "Always"}, {"name": "migrate"}]}


def sidecar(started: bool) -> dict:
    return {"name": "proxy", "ready": False, "started": started, "state": {"running": {}}}


@pytest.mark.parametrize(
    ("init", "app", "words"),
    [
        (
            [{"name": "migrate", "ready": False, "state": {"running": {}}}],
            BEING_MADE,
            "init container migrate is still running, and the other containers wait for it",
        ),
        ([sidecar(started=False)], BEING_MADE, "sidecar proxy runs, but its startup probe does not pass"),
        ([sidecar(started=True)], READY, "sidecar proxy runs, but its readiness probe does not pass"),
        (
            [{"name": "proxy", "state": {"waiting": {"reason": "CrashLoopBackOff"}}}],
            READY,
            "sidecar proxy keeps exiting (CrashLoopBackOff)",
        ),
        ([{"name": "proxy", "state": {"terminated": {"exitCode": 0}}}], READY, "sidecar proxy ended, last exit code 0"),
        (
            [{"name": "migrate", "state": {"waiting": {"reason": "ErrImagePull"}}}],
            BEING_MADE,
            "init container migrate: ErrImagePull",
        ),
    ],
)
def test_the_container_that_the_others_wait_for_is_named(init: list, app: dict, words: str):
    """An init container that does not end, and a sidecar whose probe fails, are told apart from what waits for them."""
    one = pod("p", initContainerStatuses=init, containerStatuses=[app]) | {"spec": SIDECAR}

    assert pod_trouble([one]).words == f"pod p: {words}"


def conditions(reason: str = "", message: str = "", containers: str = "True") -> list:
    ready = {"type": "Ready", "status": "False", "reason": reason, "message": message}
    return [{"type": "PodScheduled", "status": "True"}, {"type": "ContainersReady", "status": containers}, ready]


def test_a_readiness_gate_is_named():
    """All containers are ready, and the pod is not: its Ready condition says which gate keeps it."""
    message = 'corresponding condition of pod readiness gate "target-health/web" does not exist.'
    status = {"conditions": conditions("ReadinessGatesNotReady", message), "containerStatuses": [READY]}

    assert pod_trouble([pod("p", **status)]) == Trouble(f"pod p: it is not ready: {message}", outside=False, pod="p")


def test_a_pod_of_a_lost_node_is_no_fault_of_the_version():
    """All containers are ready, there is no gate, and the pod is not ready: its node does not report."""
    status = {"conditions": conditions(), "containerStatuses": [READY]}

    assert pod_trouble([pod("p", **status)]) == Trouble("pod p: it is not ready: its node does not report", outside=True, pod="p")


@pytest.mark.parametrize(
    ("message", "outside"),
    [
        ('Back-off pulling image "a/b:v2": ErrImagePull: dial tcp 10.0.0.1:443: i/o timeout', True),
        ("failed to do request: Head: dial tcp: lookup registry: no such host", True),
        ("unexpected status: 503 Service Unavailable", True),
        ("toomanyrequests: You have reached your pull rate limit", True),
        ("a/b:v2: not found", False),
        ("pull access denied, repository does not exist or may require authorization", False),
        ('Back-off pulling image "a/b:v2"', False),
    ],
)
def test_a_registry_that_is_away_is_no_fault_of_the_version(message: str, outside: bool):
    """An image that cannot be fetched is told from one that there is not."""
    status = container({"waiting": {"reason": "ImagePullBackOff", "message": message}})

    assert pod_trouble([pod("p", **status)]).outside is outside


@pytest.mark.parametrize(
    ("message", "outside"),
    [
        ('pods "p" is forbidden: exceeded quota: compute, requested: cpu=2, used: cpu=8, limited: cpu=8', True),
        ('pods "p" is forbidden: violates PodSecurity "restricted:latest": privileged', False),
    ],
)
def test_a_quota_is_no_fault_of_the_version(message: str, outside: bool):
    """What keeps a ReplicaSet from making pods may be the quota of the namespace, or what the template asks for."""
    failure = {"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": message}
    one = {"metadata": {"name": "checkout-v2"}, "status": {"conditions": [failure]}}

    assert replica_set_trouble(one) == Trouble(f"ReplicaSet checkout-v2: {message}", outside=outside)


def test_a_container_that_runs_again_still_says_how_it_ended():
    """The kubelet starts a container at once: the pod may be ready again before anybody asks, and its last ending is still told."""
    again = {"name": "app", "ready": True, "state": {"running": {}}, "restartCount": 1}
    ends = [{"exitCode": 137, "reason": "OOMKilled", "finishedAt": f"2026-01-01T10:00:0{second}Z"} for second in (1, 3)]
    pods = [pod(name, containerStatuses=[again | {"lastState": {"terminated": end}}]) for name, end in zip("ab", ends, strict=True)]

    first, last = last_endings(pods)

    assert last.words == "pod b: container app ended, last exit code 137 (OOMKilled)"
    assert (first.at.second, last.at.second) == (1, 3)
    assert last_endings([pod("a", containerStatuses=[READY])]) == ()


def test_last_words_are_bounded_and_their_end_is_kept():
    """What a program says last stands at the end of its message."""
    end = {"exitCode": 1, "message": "trace\n" * 1000 + "no such table: orders"}
    words = pod_trouble([pod("p", **container({"terminated": end}))]).words

    assert words.endswith('no such table: orders"')
    assert len(words) < LAST_WORDS + 80


@pytest.mark.parametrize(
    "secret",
    ["hunter2", "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9", "AKIA0123456789ABCDEFGHIJ"],
)
@pytest.mark.parametrize(
    "said",
    [
        "cannot reach postgres://shop:{}@db:5432/shop",
        "login failed: password={}",
        'config {{"apiKey": "{}"}}',
        "DB_PASSWORD: {}",
        "request with Authorization: Bearer {} was refused",
        "Authorization: Basic {}",
        "secret={}, retrying",
    ],
)
def test_last_words_hold_no_secrets(said: str, secret: str):
    """A program's own message may have a password in it, and the status is read by many."""
    assert secret not in masked(said.format(secret))


def test_long_keys_are_hidden_and_paths_are_not():
    """What looks like a key is one, whatever it is called; a path or a class name is not."""
    words = "panic in /usr/lib/python3.11/site-packages/shop/checkout/orders_repository.py: NullPointerExceptionHandlerFactory"

    assert masked("the key is AKIA0123456789ABCDEFGHIJ now") == "the key is *** now"
    assert masked(words) == words


def test_when_the_last_pod_was_made():
    """The youngest counts, also of those that are being deleted; of no pods nothing is known."""
    pods = [{"metadata": {"name": f"p{second}", "creationTimestamp": f"2026-01-01T00:00:0{second}Z"}} for second in (1, 3, 2)]

    assert last_made(pods) == datetime(2026, 1, 1, 0, 0, 3, tzinfo=UTC)
    assert last_made([]) is None
