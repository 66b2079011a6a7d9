"""A split that does harm is taken back at once, and no version is blamed for it."""

from __future__ import annotations

from typing import Any

import pytest

from simulation.cluster import USER
from simulation.policies import condition, events, finish, idle, policy, step
from simulation.views import at, weight_of
from simulation.world import World
from tidegate.api.names import Cause, Phase
from tidegate.judge.reading import Around, Reading, Tally

ERRORS: dict[str, Any] = {
    "name": "errors",
    "metric": {"preset": {"source": "Envoy", "measure": "ErrorRate"}},
    "versusStable": {"maxIncrease": {"points": 1}},
    "onBreach": "Rollback",
    "interval": "2s",
}


def splitting() -> World:
    """Return a world whose route has just been split, for v2, which has no pods yet."""
    world = idle(policy(step(10, "60s"), step(100), gates=(ERRORS,), bake="5s"))
    world.apply("v2")
    assert world.crank(30, until=lambda: world.status.rollout is not None and world.status.rollout.split_at is not None)
    return world


def seen(world: World, failed: float, *, before: float = 0, lately: float = 0, total: float = 100, seconds: float = 10) -> None:
    """A look comes in: so many of 100 requests of stable have failed since the split, and of 3,000 before."""
    since, candidate = world.status.rollout.split_at, world.status.candidate
    after = Tally(total, failed)
    around = Around(Tally(3000, before), Tally(600, lately), after, since=since, seconds=seconds, seconds_before=300)
    world.readings.append(Reading(gate="errors/split", revision=candidate.revision, at=at(world.now), around=around))


def backends(world: World) -> dict[str, int]:
    (route,) = world.cluster.routes.values()
    return dict(route.backends)


def test_it_is_looked_at_before_the_new_version_has_traffic():
    """Given a route that was split, looks at what that has done are due at once, at weight 0."""
    world = splitting()
    world.operate()

    assert world.status.weight == 0
    assert [look.gate for look in world.last.plan.split_looks] == ["errors/split"]


def test_it_is_looked_at_with_the_gate_that_it_comes_from():
    """Once the gate is looked at, both looks are due at the same instant: they share requests, and are decided on together."""
    world = splitting()
    assert world.crank(60, until=lambda: world.status.weight == 10 and bool(world.status.gates))

    plan = world.last.plan

    assert [look.at for look in plan.looks] == [look.at for look in plan.split_looks]


@pytest.mark.parametrize("weight", [0, 10])
def test_requests_that_fail_since_the_split_take_it_back(weight: int):
    """When stable's requests fail since the split, the route is as it was within seconds, and v2 waits for retry."""
    world = splitting()
    assert world.crank(60, until=lambda: world.status.weight == weight)
    seen(world, 97)

    assert world.crank(10, until=lambda: backends(world) == {USER: 1}), backends(world)
    finish(world, Phase.ROLLED_BACK)
    world.crank(60)

    assert world.status.phase is Phase.ROLLED_BACK
    last = world.status.last_rollout
    assert last is not None
    assert last.cause is Cause.SPLIT
    for words in ("v2 is not to blame", "97% (97 of 100 requests) since", "0% (0 of 3,000)", "checkout-stable", "request retry"):
        assert words in world.status.message
    assert any("splitting the route made requests to v1 fail" in text for text in events(world, "RollingBack"))


def test_on_the_way_back_no_pod_of_the_new_version_gets_a_request():
    """While pods that were shut out are there, the user's Service selects stable's alone; after that it is untouched."""
    world = splitting()
    assert world.crank(60, until=lambda: world.status.weight == 10)
    seen(world, 97)
    stable = world.status.stable.revision

    for _ in range(60):
        world.crank(0.5)
        canary = [rs for rs in world.cluster.replica_sets.values() if rs.template.image == "v2" and rs.pods]
        if canary and backends(world).get(USER, 0) > 0:
            assert world.cluster.services[USER].revision == stable
    finish(world, Phase.ROLLED_BACK)

    assert world.cluster.services[USER].revision is None


def test_after_retry_it_is_tried_again():
    """Once the cause is mended and a person asks for retry, the rollout begins anew and is promoted."""
    world = splitting()
    seen(world, 97)
    finish(world, Phase.ROLLED_BACK)

    world.request = "retry/mended"
    assert world.crank(30, until=lambda: world.status.rollout is not None and world.status.rollout.split_at is not None)
    seen(world, 0)
    finish(world)

    assert world.status.stable.version == "v2"


@pytest.mark.parametrize(("failed", "before", "lately"), [(1, 0, 0), (40, 1200, 240), (100, 300, 300)])
def test_what_failed_before_goes_on(failed: float, before: float, lately: float):
    """Stray errors, a service that always fails so much, and an outage that began before the split do not end a rollout."""
    world = splitting()
    seen(world, failed, before=before, lately=lately)

    finish(world)

    assert world.status.stable.version == "v2"
    assert condition(world, "Ready")


def test_an_outage_of_both_versions_is_not_put_down_to_a_split_that_was_harmless():
    """Given 90 s of good requests through the split, when stable fails a minute later, its gates decide, and no split is blamed."""
    world = splitting()
    seen(world, 0, total=900, seconds=90)
    world.operate()

    assert world.status.rollout.split_harmless == ("errors/split",)
    assert world.last.plan.split_looks == ()
    seen(world, 600, total=1500, seconds=150)
    finish(world)

    assert world.status.stable.version == "v2"


def test_after_five_minutes_it_has_another_cause():
    """What begins to fail long after the split is not put down to it."""
    world = idle(policy(step(10, "400s"), step(100), gates=(ERRORS,), bake="5s"))
    world.apply("v2")
    assert world.crank(60, until=lambda: world.status.weight == 10)
    world.crank(310)
    seen(world, 100)
    world.operate()

    assert world.last.plan.split_looks == ()
    assert world.status.rollout.undo is None
    (route,) = world.cluster.routes.values()
    assert weight_of(route.backends) == 10
