"""Promotion by adoption: the pods that were judged are the pods that are promoted."""

from __future__ import annotations

import pytest

from simulation.policies import at_weight, condition, events, finish, gate, idle, policy, reach, step
from simulation.world import World
from tidegate.api.names import Cause, Phase
from tidegate.api.status import Outcome
from tidegate.engine.handover.deployment.view import Owner

QUICK = (step(50, "2s"), step(100))


def adopted(**more: object) -> World:
    """Return a world in which the ReplicaSet has just been freed, and the Deployment controller has not seen it yet."""
    world = at_weight(50, policy(*QUICK, bake="2s"), **more)
    assert world.crank(60, until=lambda: bool(world.cluster.owned(Owner.NOBODY)))
    return world


@pytest.mark.parametrize("admission", [True, False])
@pytest.mark.parametrize("pin", [True, False])
def test_judged_pods_are_promoted(admission: bool, pin: bool):
    """The ReplicaSet that was judged is the Deployment's newest; none of its pods restarts; the old one has none."""
    world = at_weight(50, policy(*QUICK), admission=admission, pin=pin)
    assert world.crank(60, until=lambda: world.status.phase is Phase.BAKING)
    world.crank(3)
    pods = {pod.id for pod in world.cluster.replica_sets["checkout-own-v2"].pods}

    finish(world)

    rs = world.cluster.replica_sets["checkout-own-v2"]
    assert {pod.id for pod in rs.pods} == pods
    assert (rs.owner, rs.number) == (Owner.DEPLOYMENT, 2)
    assert world.cluster.replica_sets["checkout-k8s-v1"].wanted == 0
    assert world.cluster.deployment.paused is not admission
    assert world.cluster.routes["web"].backends == (("checkout", 1),)
    assert world.cluster.services["checkout"].revision == ("own-v2" if pin else None)
    assert condition(world, "Promoted")


def test_pinned_service_follows_what_serves():
    """A pinned Service selects stable during the rollout, and the new version before the old one's pods stop."""
    world = at_weight(50, policy(*QUICK, bake="2s"), pin=True)
    assert world.cluster.services["checkout"].revision == "k8s-v1"
    seen: list[str | None] = []
    world.after_write = lambda what: seen.append(world.cluster.services["checkout"].revision) if "Adopt" in what else None

    finish(world)

    assert seen == ["own-v2"]


def test_pin_is_taken_away_when_it_is_not_wanted_any_more():
    """A Service that is no longer to be pinned selects every version again, once no rollout tells them apart."""
    world = at_weight(50, policy(*QUICK), pin=True)
    world.pin = False
    world.crank(1)
    assert world.cluster.services["checkout"].revision == "k8s-v1"

    finish(world)

    assert world.cluster.services["checkout"].revision is None


def test_pin_is_taken_away_when_the_release_names_the_service_no_more():
    """A pinned Service that the Release lets go of selects every version: the next one stops the pods that it was kept on."""
    world = idle(policy(*QUICK), pin=True)
    finish(world)
    world.route_names = ()
    world.crank(2)
    assert world.cluster.services["checkout"].revision is None
    assert world.status.pinned_service is None

    world.apply("v2")
    finish(world)

    assert world.status.stable is not None
    assert "own-v2" == world.status.stable.revision
    assert world.cluster.services["checkout"].revision is None


def test_service_is_noted_before_it_is_pinned():
    """An operator that dies behind the pin leaves word of it: whatever the Release names by then, it is taken away."""
    world = idle(policy(*QUICK))
    world.pin = True
    noted: list[str | None] = []
    world.after_write = lambda what: noted.append(world.status.pinned_service) if "PinService" in what else None

    finish(world)

    assert ["checkout"] == noted


def test_release_stays_until_a_service_that_it_named_is_let_go_of():
    """Deleted together with the removal of its traffic, a Release still unpins the Service before it goes."""
    world = idle(policy(*QUICK), pin=True)
    finish(world)
    world.route_names = ()
    world.delete()

    assert world.crank(60, until=lambda: world.gone), world.status.message

    assert world.cluster.services["checkout"].revision is None


def test_pinned_service_lets_a_restart_through():
    """While the Deployment restarts its pods by itself, a pinned Service selects both generations."""
    world = idle(pin=True)
    finish(world)
    assert world.cluster.services["checkout"].revision == "k8s-v1"

    world.apply("v1", restarted="now")
    world.crank(1)
    assert world.cluster.services["checkout"].revision is None

    finish(world)
    assert world.cluster.services["checkout"].revision == "k8s-v1now"


def test_adoption_waits_for_all_pods():
    """A Deployment that is scaled up before the promotion is followed first: no bake ends with pods missing."""
    world = at_weight(100, policy(step(100), bake="3s"))
    world.crank(2)
    world.cluster.start_up["v2"] = 10
    world.cluster.scale(8)
    world.crank(5)
    assert (world.status.phase, world.status.weight) == (Phase.BAKING, 100)
    assert "waits for pods of v2 to be ready (4 of 8 pods)" in world.status.message

    finish(world)

    assert world.status.stable.ready == 8


def test_adoption_waits_for_the_route():
    """A route that is written over at the moment of promotion is put right before the Deployment adopts."""
    world = at_weight(100, policy(step(100), bake="3s"))
    world.cluster.router_delay = 3
    world.crank(20, until=lambda: world.now >= (world.status.step.until - world.status.step.since).total_seconds())
    world.resync()

    finish(world)

    assert world.status.stable.version == "v2"


def test_pods_lost_while_promoting_before_adoption():
    """Pods that die after the last step and before the adoption give their weight back, and the last step is held again."""
    world = idle(policy(*QUICK, bake="2s"))
    world.images = {"app": "v2"}
    assert world.crank(90, until=lambda: world.status.phase is Phase.PROMOTING)
    rs = world.cluster.replica_sets["checkout-own-v2"]
    for pod in rs.pods:
        pod.down = True
    world.crank(0.5)
    assert (world.status.phase, world.status.weight) == (Phase.PROGRESSING, 0)

    for pod in rs.pods:
        pod.down = False
    finish(world)

    assert world.status.stable.version == "v2"


def test_breach_while_promoting_before_adoption():
    """A breach that is read after the last step and before the adoption still shuts the version out."""
    world = idle(policy(*QUICK, gates=(gate(),), bake="2s"))
    world.images = {"app": "v2"}
    assert world.crank(90, until=lambda: world.status.phase is Phase.PROMOTING)

    world.look("errors", 0.5)
    finish(world, Phase.ROLLED_BACK)

    assert world.status.stable.version == "v1"


@pytest.mark.parametrize("admission", [True, False])
def test_template_changes_right_after_adoption(admission: bool):
    """A newer template that comes between the adoption and its end: the judged version is stable first, then it starts."""
    world = adopted(admission=admission)
    world.apply("v3")

    assert world.crank(30, until=lambda: world.status.candidate is not None and world.status.candidate.version == "v3")

    assert world.status.stable.version == "v2"
    assert world.status.last_rollout.outcome is Outcome.PROMOTED
    finish(world)
    assert world.status.stable.version == "v3"


def test_template_goes_back_right_after_adoption():
    """Stable's template that comes back right after the adoption: traffic goes back before the controller stops the new pods."""
    world = adopted()
    world.apply("v1")
    world.operate()

    assert world.status.weight == 0
    assert world.status.rollout.undo is Cause.REVERTED
    finish(world)
    assert world.status.stable.version == "v1"
    assert [rs.template.image for rs in world.cluster.replica_sets.values() if rs.pods] == ["v1"]


def test_new_pods_die_right_after_adoption():
    """New pods that die while the old ones are still there give the traffic back to them."""
    world = adopted()
    for pod in world.cluster.replica_sets["checkout-own-v2"].pods:
        pod.down = True
    world.cluster.tick("deployment")
    world.operate()
    assert world.status.weight == 0

    for pod in world.cluster.replica_sets["checkout-own-v2"].pods:
        pod.down = False
    finish(world)
    assert world.status.stable.version == "v2"


def test_person_lets_go_right_after_adoption_with_another_template():
    """A Deployment that is let go with a newer template in the middle of the adoption is held again."""
    world = adopted()
    world.cluster.tick("deployment")
    world.apply("v3")
    world.resume()
    world.operate()
    assert world.cluster.deployment.paused

    finish(world)

    assert world.status.stable.version == "v3"


def test_scaled_in_the_moment_of_adoption():
    """Scaled right after the adoption, the controller sizes both in proportion; the old one goes all the same."""
    for admission in (True, False):
        world = adopted(admission=admission)
        world.cluster.scale(6)
        finish(world)
        assert (world.status.stable.version, world.status.stable.ready) == ("v2", 6)


def test_scaling_that_takes_the_pods_of_the_version_that_serves():
    """Scaled down while it is adopted, v2 is left with 1 pod of 2: the traffic goes back to v1's at once, and v2 begins anew."""
    world = adopted()
    cluster = world.cluster
    old, new = cluster.replica_sets["checkout-k8s-v1"], cluster.replica_sets["checkout-own-v2"]
    cluster.scale(2)
    cluster.scale_before_the_adoption()
    cluster.tick("deployment", "deployment", "replicasets")
    assert (old.wanted, new.wanted) == (2, 1)

    world.operate()

    assert world.status.weight == 0
    assert dict(cluster.routes["web"].backends)["checkout-stable"] == 100
    assert (
        world.status.rollout.undo_message
        == "the Deployment was scaled during the promotion, which left the new version 1 of 2 pods"
    )
    finish(world)
    assert (world.status.stable.version, world.status.stable.ready) == ("v2", 2)


def test_deployment_is_held_until_a_scaling_has_been_acted_upon():
    """Adopted and not yet looked at, a Deployment that was scaled stays held: let go, it would stop the old pods next."""
    world = adopted()
    cluster = world.cluster
    new = cluster.replica_sets["checkout-own-v2"]
    cluster.scale(2)
    cluster.scale_before_the_adoption()
    cluster.tick("deployment")
    assert new.owner is Owner.DEPLOYMENT

    world.operate()
    assert (cluster.deployment.paused, world.status.weight) == (True, 100)

    cluster.tick("deployment", "replicasets")
    world.operate()
    assert world.status.weight == 0
    finish(world)
    assert (world.status.stable.version, world.status.stable.ready) == ("v2", 2)


def test_few_old_pods_are_better_than_fewer_new_ones():
    """Scaled down while it is adopted, and one of the old pods unready: the traffic goes to the greater number all the same."""
    world = adopted(replicas=8)
    cluster = world.cluster
    old, new = cluster.replica_sets["checkout-k8s-v1"], cluster.replica_sets["checkout-own-v2"]
    cluster.scale(4)
    cluster.scale_before_the_adoption()
    cluster.tick("deployment", "deployment", "replicasets")
    old.pods[0].down = True
    assert (old.wanted, new.wanted) == (4, 2)

    world.operate()

    assert world.status.weight == 0


@pytest.mark.parametrize("replicas", [2, 6])
@pytest.mark.parametrize("scaled_before", [True, False])
def test_scaling_amid_an_adoption_of_a_deployment_that_recreates(replicas: int, scaled_before: bool):
    """With the strategy Recreate the controller scales neither of two versions: the old one is stopped for it."""
    world = adopted()
    cluster = world.cluster
    cluster.deployment.rolling, cluster.deployment.surge = False, 0
    cluster.scale(replicas)
    if scaled_before:
        cluster.scale_before_the_adoption()

    finish(world)

    assert (world.status.stable.version, world.status.stable.ready) == ("v2", replicas)


def test_scaling_of_a_deployment_that_recreates_and_is_let_go():
    """With Recreate, a scaling that comes when the Deployment is let go and has not stopped the old pods: they are stopped."""
    world = adopted()
    cluster = world.cluster
    cluster.deployment.rolling, cluster.deployment.surge = False, 0
    cluster.tick("deployment")
    world.operate()
    assert not cluster.deployment.paused
    cluster.scale(6)

    finish(world)

    assert (world.status.stable.version, world.status.stable.ready) == ("v2", 6)


@pytest.mark.parametrize("recovers", [True, False])
def test_release_that_is_deleted_right_after_an_adoption_whose_pods_die(recovers: bool):
    """Deleted when v2 is adopted and dies at once: v1 serves again, and the Release goes."""
    world = adopted()
    world.cluster.tick("deployment")
    world.operate()
    for pod in world.cluster.replica_sets["checkout-own-v2"].pods:
        pod.down = True
    world.delete()
    for _ in range(3):
        world.operate()
    assert world.status.weight == 0
    for pod in world.cluster.replica_sets["checkout-own-v2"].pods:
        pod.down = not recovers

    assert world.crank(120, until=lambda: world.gone), world.status.message
    assert world.cluster.replica_sets["checkout-k8s-v1"].ready(world.now) == 4


def test_versions_that_share_a_service_are_not_turned_round():
    """Without a route both versions answer: a scaling that takes the new one's pods leaves it at that, and the rollout ends."""
    world = adopted(routes=())
    cluster = world.cluster
    cluster.scale(2)
    cluster.scale_before_the_adoption()
    finish(world)
    world.crank(5)

    assert (world.status.stable.version, world.status.stable.ready) == ("v2", 2)
    assert world.status.last_rollout.outcome is Outcome.PROMOTED
    assert not events(world, "RollingBack")


@pytest.mark.parametrize("replicas", [1, 2, 3, 6, 9])
def test_scaling_that_comes_just_after_an_adoption(replicas: int):
    """Scaled before the controller's first look, v2 keeps its pods or the traffic goes back: too few never have all of it."""
    world = adopted()
    world.cluster.scale(replicas)
    world.cluster.tick("deployment", "deployment", "replicasets")
    world.operate()

    if world.status.weight == 100:
        assert world.cluster.replica_sets["checkout-own-v2"].wanted >= min(4, replicas)
    finish(world)
    assert (world.status.stable.version, world.status.stable.ready) == ("v2", replicas)


def test_deployment_is_gone_while_promoting():
    """Without a Deployment the promotion waits, and says for what."""
    world = adopted()
    world.cluster.deployment = None

    world.crank(5)

    assert "was not found" in world.status.message
    assert world.status.phase is Phase.PROMOTING


def test_next_rollout_reuses_the_services():
    """The operator's Services of one rollout are turned to the versions of the next."""
    world = at_weight(50, policy(*QUICK))
    finish(world)
    world.apply("v3")

    reach(world, 50)

    assert world.cluster.services["checkout-stable"].revision == "own-v2"
    assert world.cluster.services["checkout-canary"].revision == "own-v3"


def test_deployment_moves_on_while_it_adopts_and_nobody_watches():
    """Let go with a newer template right after the adoption, with the operator dead: what serves then gets the traffic."""
    world = adopted()
    world.cluster.tick("deployment")
    world.apply("v2", restarted="now")
    world.resume()
    world.settle_controllers(30)

    world.crank(2)
    shares = dict(world.cluster.routes["web"].in_force)
    assert shares["checkout-stable"] == 100
    assert world.cluster.services["checkout-stable"].addresses

    finish(world)
    assert world.status.stable.revision == "k8s-v2now"
