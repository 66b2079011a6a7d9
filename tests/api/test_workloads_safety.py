"""What the writes on a workload rest on: an outdated view does no harm, and a second pass writes nothing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from api.cluster_access import needs_api
from api.shop import NAME, Shop, garbage_collector_knows_releases, shop_of
from tidegate.cluster.errors import Conflict
from tidegate.cluster.resources import DEPLOYMENTS, RELEASES, REPLICA_SETS
from tidegate.engine.handover.deployment.actions import (
    Adopt,
    CreateCanary,
    DeleteReplicaSet,
    Detach,
    Hold,
    LabelWorkload,
    Scale,
    SetImages,
)
from tidegate.engine.handover.deployment.view import Owner
from tidegate.runtime.errors import Retry, Terminal
from tidegate.workloads.objects import labels_of

pytestmark = needs_api


@pytest.fixture
async def shop() -> AsyncIterator[Shop]:
    async with shop_of("tidegate-safety") as shop:
        await shop.open(replicas=2)
        yield shop


async def held_with_canary(shop: Shop, *, replicas: int = 2) -> str:
    """Hold the Deployment with a new template, create its canary, and return the name of its ReplicaSet."""
    await shop.perform(Hold(paused=True))
    shop.set_image("checkout:v2")
    revision = (await shop.view()).template.revision
    await shop.perform(CreateCanary(revision, replicas))
    await shop.until(lambda view: (rs := view.arm(revision)) is not None and rs.available == replicas)
    return f"{NAME}-{revision}"


async def test_template_that_changed_meanwhile_is_not_let_go(shop: Shop) -> None:
    """Given a view from before the template changed, letting the Deployment go is refused and it stays held."""
    await shop.perform(Hold(paused=True))
    seen = await shop.workload()
    shop.set_image("checkout:v2")

    with pytest.raises(Conflict):
        await shop.perform(Hold(paused=False), on=seen)

    assert (await shop.view()).paused


async def test_news_in_the_status_do_not_stand_in_the_way(shop: Shop) -> None:
    """Given a view from before the status changed, letting the Deployment go works: its template is the one that was seen."""
    await shop.perform(Hold(paused=True))
    seen = await shop.workload()
    status = DEPLOYMENTS.path(shop.namespace, NAME, "status")
    await shop.cluster.merge_patch(status, {"status": {"collisionCount": 1}})
    assert (await shop.workload()).deployment["metadata"]["resourceVersion"] != seen.deployment["metadata"]["resourceVersion"]

    assert await shop.perform(Hold(paused=False), on=seen)


async def test_deployment_made_anew_is_not_touched(shop: Shop) -> None:
    """Given a view of a Deployment that was deleted and created again, nothing is written to its successor."""
    seen = await shop.workload()
    body = {key: seen.deployment[key] for key in ("apiVersion", "kind", "spec")} | {"metadata": {"name": NAME}}
    shop.kubectl("delete", "deployment", NAME)
    await shop.cluster.create(DEPLOYMENTS.path(shop.namespace), body)

    with pytest.raises(Conflict):
        await shop.perform(Hold(paused=True), on=seen)


async def test_images_are_not_written_into_a_deployment_that_runs(shop: Shop) -> None:
    """Given a Deployment that somebody resumed, the image would roll out at once: it is not written."""
    shop.images = {"app": "checkout:v2"}

    with pytest.raises(Conflict):
        await shop.perform(SetImages())


async def test_second_canary_is_the_first(shop: Shop) -> None:
    """Given caches that do not show the canary yet, creating it again does nothing."""
    name = await held_with_canary(shop)
    stale = replace(await shop.workload(), replica_sets=())

    assert await shop.perform(CreateCanary(name.removeprefix(f"{NAME}-"), 2), on=stale) is False


async def test_name_that_is_taken_by_another_template_is_told(shop: Shop) -> None:
    """Given a ReplicaSet of the needed name with another template, it is not overwritten, and the message names it."""
    name = await held_with_canary(shop)
    shop.set_image("checkout:v3")

    with pytest.raises(Terminal, match=f"ReplicaSet {name} exists with another pod template"):
        await shop.perform(CreateCanary(name.removeprefix(f"{NAME}-"), 2))


async def test_canary_that_is_too_small_is_not_adopted(shop: Shop) -> None:
    """Given fewer pods than the Deployment wants, adoption waits: the Deployment controller would scale both in proportion."""
    name = await held_with_canary(shop, replicas=1)

    with pytest.raises(Retry, match="1 available pods of 1, the Deployment wants 2"):
        await shop.perform(Adopt(name))


async def test_canary_is_not_adopted_by_another_template(shop: Shop) -> None:
    """Given a template that changed since the decision, the canary is not given away: it would count as an old version."""
    name = await held_with_canary(shop)
    seen = await shop.workload()
    shop.set_image("checkout:v3")

    with pytest.raises(Retry, match=f"is not that of ReplicaSet {name}"):
        await shop.perform(Adopt(name), on=seen)


async def test_canary_is_not_adopted_by_a_deployment_that_runs(shop: Shop) -> None:
    """Given a Deployment that was resumed since the decision, control does not move."""
    name = await held_with_canary(shop)
    seen = await shop.workload()
    shop.kubectl("rollout", "resume", f"deployment/{NAME}")

    with pytest.raises(Retry, match="is not held"):
        await shop.perform(Adopt(name), on=seen)


async def test_adopted_replica_set_is_not_scaled_by_an_outdated_view(shop: Shop) -> None:
    """Given a view from before the adoption, scaling the canary to nothing is refused: its pods serve by now."""
    name = await held_with_canary(shop)
    seen = await shop.workload()
    await shop.perform(Adopt(name))
    await shop.until(lambda view: all(rs.owner is Owner.DEPLOYMENT for rs in view.arms))

    with pytest.raises(Conflict):
        await shop.perform(Scale(name, 0), on=seen)


async def test_empty_canary_is_deleted_and_one_of_the_deployment_is_not(shop: Shop) -> None:
    """Only what the Release has may be deleted; a second deletion does nothing."""
    stable = (await shop.view()).arms[0].name
    name = await held_with_canary(shop)
    await shop.perform(Scale(name, 0))
    await shop.until(lambda view: all(rs.current == 0 for rs in view.arms if rs.owner is Owner.RELEASE))
    seen = await shop.workload()

    assert await shop.perform(DeleteReplicaSet(name))
    assert await shop.perform(DeleteReplicaSet(name), on=seen) is False
    with pytest.raises(Retry):
        await shop.perform(DeleteReplicaSet(stable))


async def test_deletion_that_comes_late_takes_no_pods(shop: Shop) -> None:
    """Given an empty canary whose template is wanted again since it was seen, deleting it is refused."""
    name = await held_with_canary(shop)
    await shop.perform(Scale(name, 0))
    await shop.until(lambda view: all(rs.current == 0 for rs in view.arms if rs.owner is Owner.RELEASE))
    seen = await shop.workload()
    await shop.perform(Scale(name, 2))

    for late in (DeleteReplicaSet(name), Scale(name, 1)):
        with pytest.raises(Conflict):
            await shop.perform(late, on=seen)


async def test_label_comes_and_goes(shop: Shop) -> None:
    """The label of the Release is taken away and put back without touching anything else."""
    before = (await shop.workload()).deployment["spec"]

    assert await shop.perform(LabelWorkload(present=False))
    assert labels_of((await shop.workload()).deployment) == {}
    assert await shop.perform(LabelWorkload(present=True))
    assert await shop.perform(LabelWorkload(present=True)) is False
    assert (await shop.workload()).deployment["spec"] == before


@pytest.mark.parametrize("propagation", ["Foreground", "Background"])
async def test_deleting_the_release_leaves_the_pods_to_the_operator(shop: Shop, propagation: str) -> None:
    """Given a Release with the operator's finalizer, deleting it stops no pod: the operator moves the traffic first."""
    garbage_collector_knows_releases(shop)
    path = RELEASES.path(shop.namespace, NAME)
    await shop.cluster.merge_patch(path, {"metadata": {"finalizers": ["tidegate.dev/handback"]}})
    name = await held_with_canary(shop)
    revision = name.removeprefix(f"{NAME}-")
    pods = await shop.pods(revision)

    await shop.cluster.delete(path, propagation=propagation)
    await asyncio.sleep(3)

    view = await shop.view()
    found = view.arm(revision)
    assert found is not None
    assert (found.owner, found.available) == (Owner.RELEASE, 2)
    assert await shop.pods(revision) == pods
    assert (await shop.cluster.get(path))["metadata"]["deletionTimestamp"]


async def test_only_what_the_deployment_controls_is_taken_over(shop: Shop) -> None:
    """Given a ReplicaSet that is gone, or that somebody else has, nothing is taken over; what the Release has it has already."""
    name = await held_with_canary(shop)

    assert await shop.perform(Detach(name)) is False
    with pytest.raises(Retry, match="ReplicaSet nothing is gone"):
        await shop.perform(Detach("nothing"))
    await shop.cluster.merge_patch(REPLICA_SETS.path(shop.namespace, name), {"metadata": {"labels": {"tidegate.dev/release": "x"}}})
    with pytest.raises(Retry, match="is not controlled by Deployment"):
        await shop.perform(Detach(name))
