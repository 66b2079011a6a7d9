"""What GitOps tools do all day long, and what a Release leaves behind."""

from __future__ import annotations

import pytest

from e2e import manifests
from e2e.invariants import routes
from e2e.manifests import NAME, Pods, exact_gate, step
from e2e.story import HELD, Given, Then, When, on_the_cluster
from e2e.world import World, canary_share

pytestmark = on_the_cluster

CORRECTED_WITHIN = 5.0
"""Seconds. It takes some milliseconds; a machine that is busy with other tests may be slow to start on anything."""


async def test_rejected_version_stays_out(given: Given, when: When, then: Then, world: World) -> None:
    """After a rollback, ten syncs of the same manifests start nothing, nor does an edit of the policy; another template does."""
    await given.prometheus(canary=0.2)
    steps, gates = (step(50), step(100)), (exact_gate(),)
    await given.a_released_app(*steps, gates=gates)
    await when.the_image_becomes("v2")
    await then.rolled_back_to("v1")

    await when.everything_is_applied_again(*steps, gates=gates, times=10)
    await world.apply(manifests.policy(step(1), step(5), step(100), gates=gates))

    await world.stays("v2 stays out", lambda: world.status["phase"] == "RolledBack", seconds=3)
    then.weights_were(50, 0)
    assert 1 == len(world.history.events("RolloutStarted"))
    await then.the_status_says("v2 was rolled back", "waits for a new template or a request to retry")

    await when.prometheus_shows(canary=0.0)
    await when.the_image_becomes("v3")
    await then.promoted_to("v3")
    then.weights_were(50, 0, 1, 5, 100, 0)


async def test_route_that_is_written_over_is_set_right(
    given: Given, when: When, then: Then, world: World, record_property: pytest.RecordProperty
) -> None:
    """A sync puts the user's weights back in the middle of a rollout: they are set right at once, and an Event names the field."""
    await given.a_rollout_held_at(25)
    synced = len(routes(world))

    await when.the_route_is_applied_again()

    message = await then.event("RouteCorrected", "HTTPRoute checkout", "spec.rules[].backendRefs", "GitOps tool")
    await then.the_route_carries(25)
    theirs, *after = [seen for seen in routes(world) if seen.order > routes(world)[synced - 1].order]
    corrected = next(seen for seen in after if canary_share(seen.object) == 25)
    assert canary_share(theirs.object) == 0
    record_property("seconds_until_corrected", corrected.at - theirs.at)
    assert corrected.at - theirs.at < CORRECTED_WITHIN, message


async def test_deleting_a_release_hands_the_app_back(given: Given, when: When, then: Then, world: World) -> None:
    """A Release that is deleted in the middle of a rollout leaves v1 serving, route and Services as the user wrote them."""
    await given.an_app(pods=Pods.REAL, replicas=2)
    await given.a_policy(step(50, HELD), step(100))
    await given.a_release()
    await given.load()
    pods = world.pods("v1")
    await when.the_image_becomes("v2")
    await then.the_route_carries(50)

    await when.the_release_is_deleted()

    await world.until("the Release is gone", lambda: not world.release)
    await then.the_route_is_as_written()
    await then.served_by("v1")
    await world.until("the operator's own Services are gone", lambda: len(world.history.all("Service")) == 1)
    await world.until("the pods of v2 are gone", lambda: not world.pods("v2"))
    then.pods_are_those_of(pods)
    deployment = world.history.get("Deployment", NAME)
    assert deployment is not None
    assert "tidegate.dev/release" not in deployment["metadata"].get("labels", {})
    assert deployment["spec"]["paused"] is True
    await then.event("HandedBack", "stays paused", "v1")


async def test_deleting_the_deployment_and_its_release_leaves_nothing(given: Given, when: When, then: Then, world: World) -> None:
    """Given a rollout that is on, an app that is deleted as a whole leaves neither pods nor a ReplicaSet nor Services."""
    await given.a_rollout_held_at(50)

    await when.the_app_is_deleted_with_its_release()

    await world.until("the Release is gone", lambda: not world.release)
    await world.until("no ReplicaSet is left", lambda: not world.history.all("ReplicaSet"))
    await world.until("the pods are gone", lambda: not world.pods("v1") and not world.pods("v2"))
    await world.until("the operator's own Services are gone", lambda: len(world.history.all("Service")) == 1)


async def test_deleting_a_release_at_rest_lets_the_deployment_go(given: Given, when: When, then: Then, world: World) -> None:
    """Without a rollout, deleting a Release leaves a Deployment that rolls out by itself, as if it had never been managed."""
    await given.a_released_app(step(100))

    await when.the_release_is_deleted()
    await world.until("the Release is gone", lambda: not world.release)
    await when.the_image_becomes("v2")

    await world.until("the Deployment has rolled out by itself", lambda: world.ready("v2") == 4 and world.replicas("v1") == 0)
    then.weights_were()


async def test_policy_that_goes_away_does_not_stop_a_rollout(given: Given, when: When, then: Then, world: World) -> None:
    """The policy is deleted in the middle of a rollout: what it said when the rollout started goes on to hold."""
    await given.a_released_app(step(20, "3s"), step(100))
    await when.the_image_becomes("v2")
    await then.the_route_carries(20)

    assert (await world.kubectl("delete", "rolloutpolicy", "production"))[0] == 0

    await world.until("v2 serves", lambda: world.status.get("stable", {}).get("version") == "v2")
    then.weights_were(20, 100, 0)
    await then.stalled("MissingPolicy", "RolloutPolicy production was not found")
