"""The client whose writes the next pass sees, however late the watch is."""

from __future__ import annotations

import asyncio

import pytest

from tidegate.cluster.errors import NotFound
from tidegate.cluster.resources import EVENTS, path_of
from unit.controller import objects
from unit.controller.api_server import settled
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


async def test_what_turns_out_to_be_gone_is_let_go(stage: Stage) -> None:
    """Given an object that was deleted and no watch has told, a write that does not find it, or its deletion, tells."""
    deployment = stage.add(objects.deployment())
    gone = stage.add(objects.replica_set(deployment, hashed="cccc"))
    for path in (DEPLOYMENT_PATH, path_of(gone)):
        del stage.api.objects[path]

    with pytest.raises(NotFound):
        await stage.cluster.json_patch(DEPLOYMENT_PATH, [{"op": "add", "path": "/spec/paused", "value": True}])
    with pytest.raises(NotFound):
        await stage.cluster.delete(path_of(gone), uid=gone["metadata"]["uid"])

    assert stage.store.get("Deployment", NAMESPACE, NAME) is None
    assert stage.store.get("ReplicaSet", NAMESPACE, f"{NAME}-cccc") is None


async def test_what_has_come_anew_meanwhile_stays(stage: Stage) -> None:
    """Given a Service that is found gone just when the watch tells of a new one of its name, the new one is known."""
    old = stage.add(objects.service())
    del stage.api.objects[path_of(old)]
    fault = stage.api.fault("DELETE", "/services/", status=404, reason="NotFound", gate=asyncio.Event())
    deleting = asyncio.create_task(stage.cluster.delete(path_of(old), uid=old["metadata"]["uid"]))
    await settled(lambda: fault.hits > 0)
    stage.add(objects.service())
    assert fault.gate is not None
    fault.gate.set()

    with pytest.raises(NotFound):
        await deleting

    assert stage.store.get("Service", NAMESPACE, NAME) is not None


async def test_events_are_not_kept(stage: Stage) -> None:
    """Nothing is decided on Events, so none is in the way."""
    body = {"apiVersion": "v1", "kind": "Event", "metadata": {"name": "x"}}

    await stage.cluster.create(EVENTS.path(NAMESPACE), body)

    assert 0 == stage.store.count("Event")


async def test_namespace_is_read_once_while_its_witness_is_there(stage: Stage) -> None:
    """The uid is remembered for as long as the Release is there that it was read for: its namespace may be made anew after that."""
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE, "namespace": "", "uid": "first"}}
    where = f"/api/v1/namespaces/{NAMESPACE}"
    stage.api.objects[where] = namespace
    stage.add(objects.release())

    first = await stage.cluster.namespace_uid(NAMESPACE, release=NAME)
    stage.api.objects[where] = {**namespace, "metadata": {**namespace["metadata"], "uid": "second"}}
    again = await stage.cluster.namespace_uid(NAMESPACE, release=NAME)
    stage.store.remove("Release", stage.store.get("Release", NAMESPACE, NAME) or {})
    stage.add(objects.release("another"))
    after = await stage.cluster.namespace_uid(NAMESPACE, release="another")

    assert ("first", "first", "second") == (first, again, after)
