"""The pods that were judged are the pods that are promoted, under real traffic."""

from __future__ import annotations

from e2e.manifests import Pods, exact_gate, step
from e2e.story import HELD, Given, Then, When, on_the_cluster
from e2e.world import World

pytestmark = on_the_cluster


async def test_breach_while_baking_is_one_write_back(given: Given, when: When, then: Then) -> None:
    """At 100% the old version stays warm: a breach while baking brings it back with one write, and no request fails."""
    await given.an_app(pods=Pods.REAL, replicas=2)
    await given.a_policy(step(50), step(100), bake=HELD, gates=(exact_gate(),))
    await given.prometheus(canary=0.001)
    await given.a_release()
    await given.load()
    await when.the_image_becomes("v2")
    await then.the_phase_is("Baking")
    await then.served_by("v2")

    await when.prometheus_shows(canary=0.05)

    await then.rolled_back_to("v1")
    await then.served_by("v1")
    then.weights_were(50, 100, 0)
    then.never_scaled("v1", 2)
    then.last_rollout_was("RolledBack", "v2", "5%", "limit at most 1%")


async def test_promotion_keeps_the_pods_that_were_judged(given: Given, when: When, then: Then, world: World) -> None:
    """The Deployment adopts the new pods: none restarts, no request fails, and kubectl's roll-out commands go on working."""
    await given.an_app(pods=Pods.REAL, replicas=2)
    await given.a_policy(step(50, "1s"), step(100), bake="2s")
    await given.a_release()
    await given.load()
    await when.the_image_becomes("v2")
    await then.the_phase_is("Baking")
    judged = world.pods("v2")

    await then.promoted_to("v2")

    await then.served_by("v2")
    then.pods_are_those_of(judged)
    assert len(judged) == 2
    assert (0, 'deployment "checkout" successfully rolled out\n') == await world.kubectl("rollout", "status", "deployment/checkout")
    status, history = await world.kubectl("rollout", "history", "deployment/checkout")
    assert status == 0
    assert ["1", "2"] == [line.split()[0] for line in history.splitlines() if line[:1].isdigit()]
