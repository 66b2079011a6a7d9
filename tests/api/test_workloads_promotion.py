"""Hold, canary and adoption with the Deployment controller itself: the pods that were judged are the pods that stay."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from api.cluster_access import ROOT, eventually, needs_api
from api.shop import NAME, Shop, controller_kind, shop_of
from api.test_admission import in_force
from tidegate.engine.handover.deployment.actions import Adopt, CreateCanary, Detach, Hold, Scale, SetImages
from tidegate.engine.handover.deployment.view import DeploymentView, Owner

pytestmark = [*needs_api, pytest.mark.undeployed]

ROLLING = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": "25%"}}
RECREATE = {"type": "Recreate"}


@pytest.fixture
async def shop() -> AsyncIterator[Shop]:
    async with shop_of("tidegate-promotion") as shop:
        yield shop


async def canary_is_ready(shop: Shop, *, replicas: int) -> DeploymentView:
    """Create the canary of the wanted template, and wait for its pods."""
    template = (await shop.view()).template
    await shop.perform(CreateCanary(template.revision, replicas))
    return await shop.until(lambda view: is_available(view, template.revision, replicas))


def is_available(view: DeploymentView, revision: str, replicas: int) -> bool:
    found = view.arm(revision)
    return found is not None and found.available == replicas


async def adopt(shop: Shop, revision: str, *, old: str) -> DeploymentView:
    """Let the Deployment adopt a ReplicaSet, wait until the old one has no pods, and let the Deployment go."""
    name = (await shop.replica_set(revision))["metadata"]["name"]
    await shop.perform(Adopt(name))
    await shop.until(lambda view: is_adopted(view, revision, old=old))
    await shop.perform(Hold(paused=False))
    return await shop.until(lambda view: view.settled and not view.paused)


def is_adopted(view: DeploymentView, revision: str, *, old: str) -> bool:
    new, before = view.arm(revision), view.arm(old)
    return new is not None and new.owner is Owner.DEPLOYMENT and before is not None and before.current == 0


@pytest.mark.parametrize("strategy", [ROLLING, RECREATE], ids=["RollingUpdate", "Recreate"])
async def test_promotion_restarts_no_pod(shop: Shop, strategy: dict) -> None:
    """Given a canary of full size, its adoption stops the old pods and leaves the canary's as they are."""
    await shop.open(strategy=strategy)
    stable = (await shop.view()).template.revision
    await shop.perform(Hold(paused=True))
    shop.set_image("checkout:v2")
    canary = (await canary_is_ready(shop, replicas=3)).template.revision
    judged = await shop.pods(canary)

    promoted = await adopt(shop, canary, old=stable)

    assert await shop.pods(canary) == judged
    assert {rs.revision for rs in promoted.arms} == {stable, canary}
    assert promoted.own_revision == canary
    assert "successfully rolled out" in shop.kubectl("rollout", "status", f"deployment/{NAME}", "--timeout=30s")
    history = shop.kubectl("rollout", "history", f"deployment/{NAME}")
    assert [line.split()[0] for line in history.splitlines() if line[:1].isdigit()] == ["1", "2"]
    promoted_set = await shop.replica_set(canary)
    assert not [label for label in promoted_set["metadata"]["labels"] if label.startswith("tidegate.dev/")]
    assert controller_kind(promoted_set) == "Deployment"


async def test_canary_is_left_alone_and_stable_scales(shop: Shop) -> None:
    """While the Deployment is held, scaling it scales the stable version; the canary keeps the size that it was given."""
    await shop.open()
    stable = (await shop.view()).template.revision
    await shop.perform(Hold(paused=True))
    shop.set_image("checkout:v2")
    canary = (await canary_is_ready(shop, replicas=1)).template.revision

    shop.kubectl("scale", f"deployment/{NAME}", "--replicas=5")
    await shop.until(lambda view: is_available(view, stable, 5))
    shop.kubectl("scale", f"deployment/{NAME}", "--replicas=2")
    view = await shop.until(lambda view: is_available(view, stable, 2))

    found = view.arm(canary)
    assert found is not None
    assert (found.owner, found.wanted, found.available) == (Owner.RELEASE, 1, 1)
    assert view.observed
    assert not view.settled


async def test_promotion_after_a_scaling(shop: Shop) -> None:
    """Given a Deployment that grew during the rollout, the canary grows with it and is adopted without losing a pod."""
    await shop.open()
    stable = (await shop.view()).template.revision
    await shop.perform(Hold(paused=True))
    shop.set_image("checkout:v2")
    canary = (await canary_is_ready(shop, replicas=3)).template.revision
    judged = await shop.pods(canary)
    shop.kubectl("scale", f"deployment/{NAME}", "--replicas=5")
    await shop.perform(Scale((await shop.replica_set(canary))["metadata"]["name"], 5))
    await shop.until(lambda view: is_available(view, canary, 5) and is_available(view, stable, 5))

    await adopt(shop, canary, old=stable)

    assert judged < await shop.pods(canary)
    assert len(await shop.pods(canary)) == 5


async def test_undo_gives_an_old_replica_set_which_is_promoted_again(shop: Shop) -> None:
    """Given `kubectl rollout undo` under the hold policy, the old ReplicaSet is taken over, scaled and adopted again."""
    await shop.open()
    first = (await shop.view()).template.revision
    await shop.perform(Hold(paused=True))
    shop.set_image("checkout:v2")
    second = (await canary_is_ready(shop, replicas=3)).template.revision
    await adopt(shop, second, old=first)

    with in_force(ROOT / "deploy" / "components" / "hold-admission" / "hold.yaml", shop.namespace):
        eventually(lambda: holds_a_restart(shop), wanted=lambda held: held)
        shop.kubectl("rollout", "undo", f"deployment/{NAME}")
    undone = await shop.until(lambda view: view.template.exists and view.observed)
    name = (await shop.replica_set(first))["metadata"]["name"]
    assert undone.paused
    assert (undone.template.revision, is_available(undone, second, 3)) == (first, True)
    await shop.perform(Detach(name))
    await shop.perform(Scale(name, 3))
    await shop.until(lambda view: is_available(view, first, 3) and is_available(view, second, 3))
    judged = await shop.pods(first)
    await adopt(shop, first, old=second)

    assert await shop.pods(first) == judged
    assert "successfully rolled out" in shop.kubectl("rollout", "status", f"deployment/{NAME}", "--timeout=30s")


def holds_a_restart(shop: Shop) -> bool:
    """Whether the hold policy is in force by now; nothing is written."""
    patch = '{"spec":{"template":{"metadata":{"annotations":{"probe":"1"}}}}}'
    answer = shop.kubectl("patch", f"deployment/{NAME}", "--dry-run=server", "-p", patch, "-o", "jsonpath={.spec.paused}")
    return answer == "true"


async def test_images_of_the_release_are_promoted(shop: Shop) -> None:
    """Given images on the Release, the canary has them; at promotion they are written into the Deployment, and it adopts."""
    await shop.open()
    stable = (await shop.view()).template.revision
    shop.images = {"app": "checkout:v2"}
    await shop.perform(Hold(paused=True))
    wanted = await canary_is_ready(shop, replicas=3)
    canary = wanted.template.revision
    assert (wanted.template.overlaid, wanted.own_revision) == (True, stable)
    judged = await shop.pods(canary)

    await shop.perform(SetImages())
    promoted = await adopt(shop, canary, old=stable)

    assert await shop.pods(canary) == judged
    assert (promoted.template.overlaid, promoted.own_revision) == (False, canary)


async def test_size_that_was_annotated_wrongly_keeps_no_rollout_back(shop: Shop) -> None:
    """Given a ReplicaSet of the right size that is annotated with another, which blocks every rollout: scaling it mends that."""
    await shop.open()
    before = (await shop.view()).template.revision
    await shop.perform(Hold(paused=True))
    name = (await shop.replica_set(before))["metadata"]["name"]
    shop.kubectl("annotate", "--overwrite", f"replicaset/{name}", "deployment.kubernetes.io/desired-replicas=0")
    seen = (await shop.view()).arm(before)
    assert seen is not None
    assert (seen.wanted, seen.desired) == (3, 0)

    assert await shop.perform(Scale(name, 3))
    await shop.perform(Hold(paused=False))
    shop.kubectl("rollout", "restart", f"deployment/{NAME}")

    view = await shop.until(lambda view: view.settled and view.template.revision != before)
    assert view.observed


async def test_restart_is_seen_as_one(shop: Shop) -> None:
    """Given `kubectl rollout restart` of a Deployment that is not held, it is told from a version, and settles by itself."""
    await shop.open()
    before = (await shop.view()).template.revision
    shop.kubectl("rollout", "restart", f"deployment/{NAME}")

    view = await shop.until(lambda view: view.settled and view.template.revision != before)

    assert view.template.restart_of == (before,)
    assert view.template.exists
