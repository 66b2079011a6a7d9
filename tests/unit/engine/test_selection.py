"""A Service must select the Deployment's pods: nothing is pinned, made or shifted by one that does not."""

from __future__ import annotations

from dataclasses import replace

import pytest

from simulation.cluster import APP, CANARY, STABLE, STRANGER, USER
from simulation.policies import at_weight, condition, finish, idle, policy, reach, reason, step
from simulation.views import stage_of, weight_of
from simulation.world import World
from tidegate.api.names import Phase
from tidegate.api.status import Outcome
from tidegate.engine.snapshot import RouteStage

LONG = (step(25, "60s"), step(100))


def led_astray(world: World) -> World:
    """Let the user's Service select another workload's pods."""
    world.cluster.services[USER].app = STRANGER
    return world


def mended(world: World) -> World:
    """Let it select the Deployment's again."""
    world.cluster.services[USER].app = APP
    return world


def kill(world: World, image: str) -> None:
    """Make all pods of an image unready."""
    for rs in world.cluster.replica_sets.values():
        for pod in rs.pods if rs.template.image == image else ():
            pod.down = True


@pytest.mark.parametrize("pin", [True, False])
def test_service_of_another_workload_is_left_alone(pin: bool):
    """Given a Release that names another workload's Service, it is neither pinned nor shifted, and the status says why."""
    world = led_astray(World(policy(*LONG), pin=pin))
    world.crank(10)
    world.apply("v2")

    world.crank(60)

    assert (None, STRANGER) == (world.cluster.services[USER].revision, world.cluster.services[USER].app)
    assert {USER} == set(world.cluster.services)
    assert world.cluster.routes["web"].backends == world.cluster.routes["web"].written
    assert world.status.rollout is None
    assert condition(world, "Stalled")
    assert "InvalidSpec" == reason(world)
    assert world.status.message.startswith("spec.traffic.service: Service checkout selects app=ledger")


def test_rollout_starts_once_the_service_is_mended():
    """Given that the typing mistake is put right, all goes on by itself."""
    world = led_astray(World(policy(*LONG)))
    world.crank(10)
    world.apply("v2")
    world.crank(10)

    mended(world)
    finish(world)

    assert "v2" == world.status.stable.version


def test_unready_stable_pods_open_no_way_for_another_workloads_route():
    """Given a Service that is led astray before the route is shifted, stable's unready pods are no reason to go on."""
    world = idle(policy(*LONG))
    world.apply("v2")
    assert world.crank(20, until=lambda: stage_of(world.cluster.routes["web"].backends) is RouteStage.ENTERING)
    led_astray(world)
    kill(world, "v1")

    world.crank(60)

    assert stage_of(world.cluster.routes["web"].backends) is RouteStage.ENTERING
    assert 0 == world.status.weight


@pytest.mark.parametrize("pin", [True, False])
def test_service_that_is_led_astray_amid_a_rollout_holds_it(pin: bool):
    """The weight stays, the operator's Services go on selecting the Deployment's pods, and the pin is taken away."""
    world = led_astray(at_weight(25, policy(step(25, "5s"), step(100)), pin=pin))

    world.crank(60)

    assert 25 == world.status.weight == weight_of(world.cluster.routes["web"].backends)
    assert [APP, APP] == [world.cluster.services[name].app for name in (STABLE, CANARY)]
    assert None is world.cluster.services[USER].revision
    assert "spec.traffic.service: Service checkout selects app=ledger" in world.status.message

    mended(world)
    finish(world)
    assert "v2" == world.status.stable.version


def test_what_is_written_over_is_not_shifted_again_by_a_stray_service():
    """Given a route that a GitOps tool puts back to a Service of another workload's pods, it is left as its user wrote it."""
    world = led_astray(at_weight(25, policy(*LONG)))
    world.resync()

    world.crank(30)

    assert world.cluster.routes["web"].backends == world.cluster.routes["web"].written


def test_rollback_takes_the_weight_away_whatever_the_service_selects():
    """Traffic is taken from the new version, and the route goes back only to a Service that has the endpoints that serve."""
    world = led_astray(at_weight(25, policy(*LONG)))
    world.ask("rollback/1")
    world.crank(60)
    backends = world.cluster.routes["web"].backends
    assert (RouteStage.SPLIT, 0) == (stage_of(backends), weight_of(backends))

    mended(world)
    finish(world, Phase.ROLLED_BACK)

    assert Outcome.ROLLED_BACK is world.status.last_rollout.outcome


def test_nothing_is_adopted_while_the_service_is_led_astray():
    """At 100%, the old pods stay warm until the Service selects the new ones."""
    world = at_weight(100, policy(step(25, "2s"), step(100), bake="20s"))
    led_astray(world)

    world.crank(60)

    assert world.status.rollout is not None
    old = next(rs for rs in world.cluster.replica_sets.values() if rs.template.image == "v1")
    assert world.cluster.deployment.replicas == old.wanted


def test_release_is_handed_back_though_its_service_is_a_stranger():
    """Deleted, it leaves neither a pin nor a mark, and its finalizer goes."""
    world = led_astray(at_weight(25, policy(*LONG), pin=True))
    world.delete()

    world.crank(180)

    assert world.gone
    assert None is world.cluster.services[USER].revision
    assert world.cluster.routes["web"].backends == world.cluster.routes["web"].written


def test_pin_waits_until_it_would_find_pods():
    """Given a version that serves with no ready pod, its Service is not kept on it before one is."""
    world = idle(policy(*LONG))
    kill(world, "v1")
    world.pin = True
    world.crank(20)
    assert None is world.cluster.services[USER].revision

    for rs in world.cluster.replica_sets.values():
        for pod in rs.pods:
            pod.down = False
    world.crank(5)

    assert world.cluster.services[USER].revision == world.status.stable.revision


def test_pin_waits_for_pods_that_the_service_selects():
    """Given ready pods that the Service does not select, since an older template lacks the label, nothing is pinned to them."""
    world = idle(policy(*LONG))
    world.pin = True
    plain = world.snapshot

    def missing():
        snapshot = plain()
        revision = snapshot.status.stable.revision
        return replace(snapshot, user_service=replace(snapshot.user_service, misses=frozenset({revision})))

    world.snapshot = missing
    world.crank(20)
    assert None is world.cluster.services[USER].revision

    world.snapshot = plain
    world.crank(5)
    assert world.cluster.services[USER].revision == world.status.stable.revision


def test_pinned_rollout_follows_what_serves():
    """A Service of the Deployment's own is pinned as ever, up to the promotion."""
    world = idle(policy(*LONG), pin=True)
    before = world.cluster.services[USER].revision
    world.apply("v2")
    reach(world, 25)
    assert before == world.cluster.services[USER].revision

    finish(world)

    assert world.cluster.services[USER].revision == world.status.stable.revision != before
