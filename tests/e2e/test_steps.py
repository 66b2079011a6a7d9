"""Steps and weights as users see them on a real cluster."""

from __future__ import annotations

from e2e.invariants import routes
from e2e.manifests import NAME, Json, Pods, exact_gate, service, step
from e2e.story import HELD, Given, Then, When, on_the_cluster
from e2e.world import World, image_of, weights

pytestmark = on_the_cluster


async def test_taking_an_app_on_changes_nothing(given: Given, then: Then, world: World) -> None:
    """A Release over a Deployment that serves is Idle without a step: no request fails, no pod is replaced, no field is changed."""
    await given.an_app(pods=Pods.REAL, replicas=2)
    await given.load()
    pods = world.pods("v1")

    await given.a_policy(step(10), step(100))
    await given.a_release()

    await then.event("Adopted", "v1 serves")
    await then.served_by("v1")
    then.weights_were()
    then.ready_only_once_held()
    then.no_event("RolloutStarted")
    then.pods_are_those_of(pods)


async def test_weights_rise_step_by_step(given: Given, when: When, then: Then) -> None:
    """The route carries the weights of the steps in their order, each for at least its hold, and then the version is in force."""
    await given.a_released_app(step(5, "2s"), step(25, "2s"), step(100, "2s"))

    await when.the_image_becomes("v2")

    await then.promoted_to("v2")
    then.weights_were(5, 25, 100, 0)
    then.each_step_was_held(seconds=2)
    then.last_rollout_was("Promoted", "v2")


async def test_rollback_and_retry_by_request(given: Given, when: When, then: Then) -> None:
    """Paused at a step, a request to roll back gives stable everything; a request to retry starts anew at the first step."""
    await given.a_rollout_held_at(25)
    await when.asked_to("pause")
    await then.the_phase_is("Paused")

    request = await when.asked_to("rollback")
    await then.rolled_back_to("v1")
    await then.pods_wanted("v2", 0)
    await then.pods_wanted("v1", 4)
    then.last_rollout_was("RolledBack", "v2", request)

    await when.asked_to("retry")
    await then.the_route_carries(25)
    then.weights_were(25, 0, 25)


async def test_paused_rollout_waits_for_a_person(given: Given, when: When, then: Then, world: World) -> None:
    """A paused rollout whose hold is over stays where it is and says whom it waits for; when resumed, it goes on at once."""
    await given.a_released_app(step(20, "3s"), step(100))
    await when.the_image_becomes("v2")
    await then.the_route_carries(20)
    request = await when.asked_to("pause")
    await then.the_phase_is("Paused")
    await then.event("Paused", "v2", "20%", request)

    await world.stays("the route carries 20%", lambda: weights(world.route)[0][f"{NAME}-canary"] == 20, seconds=4)
    await then.the_status_says("paused at 20%", request, "waits for a request to resume, promote or roll back")

    await when.asked_to("resume")
    await then.promoted_to("v2")
    then.weights_were(20, 100, 0)


async def test_both_versions_follow_the_scale(given: Given, when: When, then: Then) -> None:
    """Paused at a quarter of 4 pods, both versions follow when the Deployment is scaled to 8, and back to 4."""
    await given.a_rollout_held_at(25)
    await when.asked_to("pause")
    await then.the_phase_is("Paused")
    await then.pods_wanted("v2", 1)

    await when.scaled_to(8)
    await then.pods_wanted("v1", 8)
    await then.pods_wanted("v2", 2)

    await when.scaled_to(4)
    await then.pods_wanted("v1", 4)
    await then.pods_wanted("v2", 1)
    await then.the_phase_is("Paused")


async def test_template_and_replicas_in_one_apply(given: Given, when: When, then: Then) -> None:
    """One apply that changes the image and the number of replicas is honoured in both."""
    await given.a_released_app(step(50, "2s"), step(100, "1s"))

    await when.the_app_becomes(version="v2", replicas=6)

    await then.the_route_carries(50)
    await then.pods_wanted("v1", 6)
    await then.pods_wanted("v2", 3)
    await then.promoted_to("v2")
    await then.pods_wanted("v2", 6)


async def test_full_promotion_by_request_keeps_its_gates(given: Given, when: When, then: Then, world: World) -> None:
    """A request to promote skips the holds, and the record says so; gates are still watched, and a breach still rolls back."""
    await given.prometheus(canary=0.001)
    await given.a_rollout_held_at(10, gates=(exact_gate(),), bake=HELD)

    request = await when.asked_to("promote")

    await then.the_phase_is("Baking")
    await then.event("PromotionRequested", "Full promotion of v2 was requested", request)
    then.weights_were(10, 100)

    await when.prometheus_shows(canary=0.2)
    await then.rolled_back_to("v1")
    then.weights_were(10, 100, 0)
    then.last_rollout_was("RolledBack", "v2", "20%")


async def test_nothing_else_in_the_route_is_touched(given: Given, when: When, then: Then, world: World) -> None:
    """Other rules, filters, matches and backends keep their bytes all the time, and a third backend its share of the rule."""
    header = {"type": "RequestHeaderModifier", "requestHeaderModifier": {"set": [{"name": "X-Shop", "value": "yes"}]}}
    ours: Json = {
        "name": "main",
        "matches": [{"path": {"type": "PathPrefix", "value": "/"}}],
        "filters": [header],
        "timeouts": {"request": "20s"},
        "backendRefs": [
            {"name": NAME, "port": 80, "weight": 9, "filters": [header]},
            {"name": "legacy", "port": 80, "weight": 1},
        ],
    }
    other: Json = {
        "matches": [{"path": {"type": "Exact", "value": "/old"}, "headers": [{"name": "X-Old", "value": "1"}]}],
        "backendRefs": [{"name": "legacy", "port": 80}],
    }
    await world.apply(service("legacy"))
    await given.an_app(rules=(ours, other))
    await given.a_policy(step(30, "1s"), step(100, "1s"))
    await given.a_release()

    await when.the_image_becomes("v2")

    await then.promoted_to("v2")
    then.weights_were(30, 100, 0)
    wrote = world.written["HTTPRoute"]
    for seen in routes(world):
        spec = seen.object["spec"]
        backends = spec["rules"][0]["backendRefs"]
        assert wrote["rules"][1] == spec["rules"][1]
        assert without(wrote["rules"][0], "backendRefs") == without(spec["rules"][0], "backendRefs")
        assert without(wrote, "rules") == without(spec, "rules")
        assert [[header]] * (len(backends) - 1) == [entry["filters"] for entry in backends if entry["name"] != "legacy"]
        shares = weights(seen.object)[0]
        assert sum(shares.values()) == 10 * shares["legacy"]
    assert wrote == world.route["spec"]
    assert image_of(world.history.get("Deployment", NAME) or {}).endswith(":v2")


def without(obj: Json, key: str) -> Json:
    return {name: value for name, value in obj.items() if name != key}
