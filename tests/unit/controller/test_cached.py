"""The client whose writes the next pass sees, however late the watch is."""

from __future__ import annotations

from tidegate.cluster.resources import EVENTS
from unit.controller import objects
from unit.controller.objects import NAME, NAMESPACE
from unit.controller.stage import DEPLOYMENT_PATH, PATH, Stage


async def test_answers_to_writes_are_in_the_store(stage: Stage) -> None:
    """Patched, applied or created: what the API server answered is what the next pass sees."""
    stage.add(objects.deployment())
    await stage.cluster.json_patch(DEPLOYMENT_PATH, [{"op": "add", "path": "/spec/paused", "value": True}])
    await stage.cluster.apply(objects.service("checkout-stable"))
    stage.add(objects.release())
    await stage.cluster.merge_patch(f"{PATH}/status", {"status": {"weight": 10}})
    owner = stage.store.get("Deployment", NAMESPACE, NAME)
    assert owner is not None
    await stage.cluster.create("/apis/apps/v1/namespaces/shop/replicasets", objects.replica_set(dict(owner), hashed="cccc"))

    release = stage.store.get("Release", NAMESPACE, NAME)
    assert owner["spec"]["paused"]
    assert stage.store.get("Service", NAMESPACE, "checkout-stable") is not None
    assert stage.store.get("ReplicaSet", NAMESPACE, "checkout-cccc") is not None
    assert 10 == (release or {})["status"]["weight"]


async def test_release_without_its_last_finalizer_is_gone(stage: Stage) -> None:
    """The API server removes a Release in the very write that takes its last finalizer: no later event may be waited for."""
    deleting = {"finalizers": ["tidegate.dev/handback"], "deletionTimestamp": "2026-01-01T00:00:00Z"}
    stage.add(objects.release(metadata=deleting))

    await stage.cluster.merge_patch(PATH, {"metadata": {"finalizers": ["another/one"]}})
    with_another = stage.store.get("Release", NAMESPACE, NAME)
    await stage.cluster.merge_patch(PATH, {"metadata": {"finalizers": []}})

    assert with_another is not None
    assert stage.store.get("Release", NAMESPACE, NAME) is None


async def test_events_are_not_kept(stage: Stage) -> None:
    """Nothing is decided on Events, so none is in the way."""
    body = {"apiVersion": "v1", "kind": "Event", "metadata": {"name": "x"}}

    await stage.cluster.create(EVENTS.path(NAMESPACE), body)

    assert 0 == stage.store.count("Event")
