"""Whose pods a Service selects beside those of the Deployment."""

from __future__ import annotations

from typing import Any

import pytest

from tidegate.api.status import ReleaseStatus
from tidegate.controller.observe.gather import ReleaseObjects
from tidegate.controller.observe.questions import Answers
from tidegate.controller.observe.workloads import strangers_among
from tidegate.traffic.selection import selection_of, shared
from unit.controller import objects
from unit.controller.objects import NAME, NAMESPACE, Json
from unit.controller.stage import KEY, Stage


def pod(name: str, owner: Json | None = None, *, phase: str = "Running", **metadata: Any) -> Json:
    owners = [{"controller": True, **owner}] if owner else []
    return {"metadata": {"namespace": NAMESPACE, "name": name, "ownerReferences": owners, **metadata}, "status": {"phase": phase}}


def owner(kind: str, name: str, uid: str = "") -> Json:
    return {"kind": kind, "name": name, "uid": uid or f"uid-of-{name}"}


def around(stage: Stage) -> ReleaseObjects:
    found = stage.gatherer.collect(KEY, ReleaseStatus())
    assert found is not None
    return found


def strangers(stage: Stage, *pods: Json) -> tuple[str, ...]:
    workload = around(stage).workload
    assert workload is not None
    return strangers_among(stage.store, workload, pods)


async def test_own_pods_are_no_strangers(stage: Stage) -> None:
    """Pods of every ReplicaSet of the Deployment are its own: stable's, the new version's and those of before."""
    stage.at_ten_percent()
    workload = around(stage).workload
    assert workload is not None

    sets = [owner("ReplicaSet", rs["metadata"]["name"], rs["metadata"]["uid"]) for rs in workload.replica_sets]

    assert 2 == len(sets)
    assert () == strangers(stage, *(pod(f"pod-{number}", own) for number, own in enumerate(sets)))


async def test_pods_of_another_deployment_are_told_by_its_name(stage: Stage) -> None:
    """Pods belong to ReplicaSets; people know the Deployment."""
    stage.adopted()
    deployment = objects.deployment()
    deployment["metadata"]["name"] = "spot"
    body = objects.replica_set(stage.add(deployment))
    body["metadata"]["name"] = "spot-aaaa"
    replica_set = stage.add(body)
    of_it = owner("ReplicaSet", replica_set["metadata"]["name"], replica_set["metadata"]["uid"])

    assert ("Deployment spot",) == strangers(stage, pod("spot-1", of_it), pod("spot-2", of_it))


@pytest.mark.parametrize("kind", ["StatefulSet", "DaemonSet", "Job", "CloneSet"])
async def test_pods_of_other_kinds_of_workloads(stage: Stage, kind: str) -> None:
    """Whatever controls a pod is named, also a kind that nobody here knows."""
    stage.adopted()

    assert (f"{kind} other",) == strangers(stage, pod("other-0", owner(kind, "other")))


async def test_pods_that_are_made_by_hand(stage: Stage) -> None:
    """A pod without a controller is named itself."""
    stage.adopted()

    assert ("Pod debug",) == strangers(stage, pod("debug"))


async def test_pods_that_serve_nobody_do_not_count(stage: Stage) -> None:
    """A Job's pod that is over, and one that is about to go, get no requests that they could lose."""
    stage.adopted()
    over = pod("over", owner("Job", "migration"), phase="Succeeded")
    going = pod("going", deletionTimestamp="2026-01-01T00:00:00Z")

    assert () == strangers(stage, over, going)


async def test_pods_of_a_replica_set_that_is_not_known_yet(stage: Stage) -> None:
    """A pod may be read before the watch tells of its ReplicaSet, which may well be the Deployment's newest."""
    stage.adopted()

    assert () == strangers(stage, pod("newest", owner("ReplicaSet", "checkout-zzzz")))


def test_the_others_and_the_cure_are_named() -> None:
    """Who reads it knows which workload is meant and what to do."""
    found = shared(objects.service(), f"Deployment {NAME}", ["Deployment a", "Deployment b", "Pod c", "Pod d"])

    assert found.reason == "SharedService"
    assert found.message == (
        "spec.traffic.service: Service checkout also selects pods of Deployment a, pods of Deployment b, Pod c and 1 more, which "
        "would get no requests during a rollout: let it select pods of Deployment checkout alone, and give the others a Service of "
        "their own, which the route may name beside it with a weight"
    )


def test_pods_are_asked_for_by_what_the_service_selects_without_the_pin() -> None:
    """A pin would hide the others."""
    user = {"spec": {"selector": {"tier": "web", "app": NAME, "pod-template-hash": "aaaa"}}}

    assert "app=checkout,tier=web" == selection_of(user)


async def test_others_are_in_the_way(stage: Stage) -> None:
    """From the pods that were read to what the engine sees and to what stands in the way."""
    stage.at_ten_percent()
    found = around(stage)

    def seen(selected: list[Json] | None) -> tuple[bool | None, list[str]]:
        snapshot = stage.gatherer.snapshot(
            found,
            now=stage.clock.now(),
            status=ReleaseStatus(),
            readings=(),
            blockers=(),
            keep_held=False,
            answers=Answers(selected=selected),
        )
        assert snapshot.user_service is not None
        return snapshot.user_service.alone, [str(blocker.reason) for blocker in snapshot.blockers]

    assert (None, []) == seen(None)
    assert (True, []) == seen([])
    assert (False, ["SharedService"]) == seen([pod("debug")])
