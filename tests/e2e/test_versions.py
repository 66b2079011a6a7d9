"""One version after another: newer ones, older ones, bad ones, and ones that never come up."""

from __future__ import annotations

from e2e import manifests
from e2e.manifests import App, Pods, exact_gate, step
from e2e.story import HELD, Given, Then, When, on_the_cluster
from e2e.world import World

pytestmark = on_the_cluster


async def test_newer_version_takes_the_place_of_a_rollout(given: Given, when: When, then: Then) -> None:
    """While v2 is on its way v3 is applied: v2 goes, v1 serves in full, and v3 starts at the first step."""
    await given.a_rollout_held_at(25)

    await when.the_image_becomes("v3")

    await then.event("Superseded", "v2", "v3")
    await then.pods_wanted("v3", 1)
    await then.the_route_carries(25)
    await then.pods_wanted("v2", 0)
    await then.pods_wanted("v1", 4)
    then.last_rollout_was("Superseded", "v2", "v3")
    then.weights_were(25, 0, 25)


async def test_return_to_the_stable_template(given: Given, when: When, then: Then, world: World) -> None:
    """While v2 is on its way the template of v1 is applied again: v2 has no weight at once, and v1 is not analysed anew."""
    await given.prometheus(canary=0.0)
    await given.a_rollout_held_at(25, gates=(exact_gate(),))

    await when.the_image_becomes("v1")

    await then.promoted_to("v1")
    await then.pods_wanted("v1", 4)
    await then.pods_wanted("v2", 0)
    then.weights_were(25, 0)
    then.last_rollout_was("Reverted", "v2", "the template was changed back to v1")
    assert 1 == len(world.history.events("RolloutStarted"))


async def test_good_version_after_two_bad_ones(given: Given, when: When, then: Then, world: World) -> None:
    """v2 and v3 are shut out while v1 is not touched; v4 is promoted without any help."""
    await given.prometheus(canary=0.2)
    await given.a_released_app(step(50, "1s"), step(100), gates=(exact_gate(),))
    pods = world.pods("v1")

    await when.the_image_becomes("v2")
    await then.rolled_back_to("v1")
    await when.the_image_becomes("v3")
    await then.event("RolledBack", "v3")
    await then.rolled_back_to("v1")
    then.never_scaled("v1", 4)
    then.pods_are_those_of(pods)

    await when.prometheus_shows(canary=0.001)
    await when.the_image_becomes("v4")
    await then.promoted_to("v4")
    then.weights_were(50, 0, 50, 0, 50, 100, 0)
    assert ["v2", "v3"] == [entry["version"] for entry in world.status["rejected"]]


async def test_first_version_that_never_becomes_ready(given: Given, when: When, then: Then, world: World) -> None:
    """A first version whose image cannot be pulled is no prison: the next one, which is good, serves without manual help."""
    await world.apply(manifests.service())
    await world.apply(manifests.route(world.host))
    await given.a_policy(step(50), step(100))
    await world.operator.ready()
    await world.apply(manifests.release())
    await world.apply_app(App(pods=Pods.REAL, version="v1", image="nowhere.example/checkout:v1", replicas=1))
    await then.the_status_says("waits for a first version")

    await when.the_image_becomes("v2")

    await then.promoted_to("v2")
    then.no_event("RolloutStarted")


async def test_crash_loop_is_rolled_back_with_its_reason(given: Given, when: When, then: Then) -> None:
    """Pods that keep crashing get no weight; at the deadline the version is rolled back with the pods' own reason."""
    await given.a_released_app(step(50, HELD), step(100), pods=Pods.REAL, app={"replicas": 2}, progressDeadline="10s")
    given.failing("v2")

    await when.the_image_becomes("v2", ERROR_RATE="nonsense")

    await then.rolled_back_to("v1")
    then.weights_were()
    then.last_rollout_was("RolledBack", "v2", "did not become ready within 10s", "container app", "exit code 2")
    await then.pods_wanted("v2", 0)


async def test_ready_pods_that_nobody_can_reach_get_no_weight(given: Given, when: When, then: Then) -> None:
    """Given users, when pods of v2 are ready and lack the port that the Service names, then none of the users is sent to them."""
    await given.a_released_app(step(50, "5s"), step(100), pods=Pods.REAL, app={"replicas": 2}, progressDeadline="15s")
    await given.load()

    await when.the_app_becomes(version="v2", port="web")

    await then.the_status_says("waits for pods of v2 that the route can reach: 1 ready pod has no port named http")
    await then.rolled_back_to("v1")
    then.weights_were()
    then.last_rollout_was("RolledBack", "v2", "its pods could not be reached within 15s")


async def test_image_that_cannot_be_pulled_is_rolled_back_with_its_reason(given: Given, when: When, then: Then) -> None:
    """An image that does not exist gets no weight; the message of the rollback says so in the kubelet's words."""
    await given.a_released_app(step(50, HELD), step(100), pods=Pods.REAL, app={"replicas": 2}, progressDeadline="8s")

    await when.the_app_becomes(image="nowhere.example/checkout:v2")

    await then.rolled_back_to("v1")
    then.weights_were()
    then.last_rollout_was("RolledBack", "v2", "did not become ready within 8s", "nowhere.example/checkout:v2")
