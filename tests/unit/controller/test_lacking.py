"""A stable version that cannot get all its pods, as when a tool has pruned the ConfigMap that they need."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from tidegate.controller.observe.on_demand import STABLE_REASONS
from tidegate.engine.lacking import STARTING
from unit.controller import objects
from unit.controller.api_server import settled
from unit.controller.objects import NAMESPACE, Json
from unit.controller.stage import KEY, Stage

WORDS = 'pod checkout-aaaa-2: container app: CreateContainerConfigError: configmap "settings-1" not found'
CURE = "restore it, and do not prune it while a version needs it"
PRUNED = {"reason": "CreateContainerConfigError", "message": 'configmap "settings-1" not found'}
REPLICA_SET = f"/apis/apps/v1/namespaces/{NAMESPACE}/replicasets/checkout-aaaa"


def lacks(stage: Stage, waiting: Json, *, age: timedelta = timedelta(minutes=5), phase: str = "Pending") -> None:
    """One of stable's two pods is not ready, for a reason of its own."""
    replica_set = stage.api.objects[REPLICA_SET]
    stage.add({**replica_set, "status": {"replicas": 2, "readyReplicas": 1, "availableReplicas": 1}})
    for name, state, ready in (("checkout-aaaa-1", {"running": {}}, True), ("checkout-aaaa-2", {"waiting": waiting}, False)):
        container = {"name": "app", "ready": ready, "restartCount": 0, "state": state}
        made = (stage.clock.now() - age).strftime("%Y-%m-%dT%H:%M:%SZ")
        metadata = {
            "namespace": NAMESPACE,
            "name": name,
            "labels": {"app": "checkout", "pod-template-hash": "aaaa"},
            "creationTimestamp": made,
            "ownerReferences": [objects.owned_by(replica_set)],
        }
        status = {"phase": phase, "containerStatuses": [container]}
        stage.api.put({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {}, "status": status})


def whole(stage: Stage) -> None:
    """All of stable's pods are ready again."""
    stage.add({**stage.api.objects[REPLICA_SET], "status": {"replicas": 2, "readyReplicas": 2, "availableReplicas": 2}})


async def read(stage: Stage) -> None:
    """Let the pods be read that are lacking, and what they say be decided on."""
    await stage.passes()
    stage.clock.advance(STABLE_REASONS.longest)
    await stage.reconciler.reconcile(KEY)
    await settled(lambda: not [task for task in asyncio.all_tasks() if STABLE_REASONS.what in task.get_name()])
    await stage.passes()


def warnings(stage: Stage, reason: str = "StableLacksPods") -> list[str]:
    """Events of the kind that are in the status, as the next life of an operator would tell them again."""
    return [event["message"] for event in stage.kept if event["reason"] == reason]


async def test_a_config_map_that_stable_needs_and_is_gone_is_named(stage: Stage) -> None:
    """Given a Release at rest, the status and one Event name the ConfigMap, until the pods are there."""
    stage.adopted()
    lacks(stage, PRUNED)

    await read(stage)
    said, told = stage.status["message"], warnings(stage)
    await read(stage)
    again, early = warnings(stage), warnings(stage, "StableRecovered")
    whole(stage)
    await stage.passes()
    await stage.passes()

    assert said == f"v1 serves; 1 of 2 pods of v1 are ready, the others do not start: {WORDS}; {CURE}"
    assert told == again == [said.partition("; ")[2]]
    assert ([], ["2 of 2 pods of v1 are ready, and none fails to start any more"]) == (early, warnings(stage, "StableRecovered"))
    assert "trouble" not in stage.status["stable"]
    assert stage.status["message"] == "v1 serves"


async def test_another_pod_that_is_made_in_its_place_is_no_recovery(stage: Stage) -> None:
    """Given a pod that was replaced, then its successor gets its minute, and nobody is told that it is over, nor once more."""
    stage.adopted()
    lacks(stage, PRUNED)
    await read(stage)
    lacks(stage, {"reason": "ContainerCreating"}, age=timedelta(seconds=30 - STABLE_REASONS.longest))
    await read(stage)

    assert (1, []) == (len(warnings(stage)), warnings(stage, "StableRecovered"))
    assert WORDS in stage.status["message"]


async def test_it_is_told_amid_a_rollout(stage: Stage) -> None:
    """The sync that brings a new version is the one that prunes what the version before it needs."""
    stage.at_ten_percent()
    lacks(stage, PRUNED)

    await read(stage)

    assert stage.status["message"].startswith("Rolling out v2 (stable: v1): step 1 of 2, weight 10%")
    assert stage.status["message"].endswith(f"; 1 of 2 pods of v1 are ready, the others do not start: {WORDS}; {CURE}")
    assert 1 == len(warnings(stage))


async def test_the_next_operator_goes_on_from_what_was_told(stage: Stage) -> None:
    """Given an operator that starts anew, the status keeps what was read before, and nobody is called a second time."""
    stage.adopted()
    lacks(stage, PRUNED)
    await read(stage)
    event = stage.kept

    again = stage.restarted()
    again.clock.advance(stage.clock.monotonic() - again.clock.monotonic())
    await again.passes()
    before = again.status
    await read(again)
    await again.close()

    assert WORDS in before["message"]
    assert WORDS in again.status["message"]
    assert event == again.kept


async def test_pods_that_are_starting_are_no_trouble(stage: Stage) -> None:
    """Given stable scaled up, its new pods get a minute to be ready, and the Release comes back when that is over."""
    stage.adopted()
    age = STARTING - timedelta(seconds=STABLE_REASONS.longest + 30)
    lacks(stage, {"reason": "ContainerCreating"}, age=age)

    await read(stage)
    early, due = stage.status["message"], stage.due.due(KEY)
    stage.clock.advance(31)
    await stage.passes()

    assert early == "v1 serves"
    assert due is not None
    assert (
        "container app is being created (ContainerCreating); `kubectl describe pod` shows what it waits for"
        in stage.status["message"]
    )


async def test_a_pod_that_is_over_is_no_trouble(stage: Stage) -> None:
    """An evicted pod lies about for hours; another was made in its place."""
    stage.adopted()
    lacks(stage, PRUNED, phase="Failed")

    await read(stage)

    assert stage.status["message"] == "v1 serves"


async def test_a_stable_that_is_whole_is_never_asked(stage: Stage) -> None:
    """Nothing is read of a Release whose pods are all there: thousands of them are at rest."""
    stage.adopted()

    await read(stage)

    assert stage.questions.stable_pods(KEY, "aaaa") is None
