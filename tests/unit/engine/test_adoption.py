"""A Release takes on what is there, and waits for what is not."""

from __future__ import annotations

import pytest

from simulation.cluster import Template
from simulation.policies import at_weight, condition, events, finish, gate, idle, policy, ready, reason, step
from simulation.world import World
from tidegate.api.names import Phase, Reason
from tidegate.engine.handover.deployment.view import Owner
from tidegate.engine.snapshot import Blocker


def test_what_serves_is_taken_on_without_a_step():
    """A Deployment that serves becomes stable as it is: no pod restarts, no route is written, no rollout starts."""
    world = World(policy())
    pods = {pod.id for rs in world.cluster.replica_sets.values() for pod in rs.pods}

    finish(world)

    assert world.status.stable is not None
    assert world.status.stable.version == "v1"
    assert world.status.message == "v1 serves"
    assert not pods & world.cluster.stopped
    assert world.cluster.routes["web"].generation == 1
    assert world.finalizer
    assert world.cluster.deployment.labelled
    assert not world.cluster.deployment.paused
    assert ready(world)
    assert condition(world, "Promoted")


def test_ready_is_not_said_before_all_is_written():
    """The very pass that takes a Deployment on still has writes to make: the Release is neither Ready nor Idle yet."""
    world = World(policy())

    world.operate()

    assert world.status.phase is Phase.PENDING
    assert world.status.message == "v1 serves; waits for changes of the Deployment to be held"
    assert reason(world) == Reason.PROGRESSING
    assert condition(world, "Reconciling")


def test_a_pause_by_a_person_is_answered():
    """Paused by kubectl while no rollout is on, the Deployment is resumed, and an Event says what does what was meant."""
    world = idle()
    world.cluster.set_paused(True)

    world.crank(5)

    (message,) = events(world, "PauseUndone")
    assert "kubectl rollout pause" in message
    assert "tidegate.dev/request=pause/<id>" in message
    assert not world.cluster.deployment.paused


def test_idle_costs_nothing():
    """An idle Release has no look, no due time and nothing to write."""
    world = idle()

    made = world.operate()

    assert made.writes == []
    assert made.plan.due is None
    assert made.plan.looks == ()


def test_without_admission_the_deployment_is_kept_held():
    """Where no policy holds a changed template, the Deployment stays paused between rollouts, also after a person resumes it."""
    world = idle(admission=False)
    assert world.cluster.deployment.paused

    world.resume()
    finish(world)

    assert world.cluster.deployment.paused
    assert events(world, "Held") == []


def test_first_version_that_never_becomes_ready_is_mended_by_the_next():
    """Where nothing serves yet there is nothing to protect: the next template rolls out by itself, without manual help."""
    world = World(policy())
    world.cluster.start_up["bad"] = None
    world.cluster.create_deployment(Template("bad"), 4)
    world.cluster.replica_sets.clear()
    world.pods_say.trouble = "ImagePullBackOff"
    world.crank(20)
    assert world.status.phase is Phase.PENDING
    assert "ImagePullBackOff" in world.status.message
    assert reason(world) == Reason.ADOPTING

    world.apply("good")
    finish(world)

    assert world.status.stable.version == "good"
    assert world.weights == [0]


def test_rollout_by_itself_is_waited_for():
    """A Deployment that rolls by itself when the Release comes is left alone until it is done, whatever spec.images says."""
    world = World(policy())
    world.apply("v2")
    world.cluster.tick()
    world.images = {"app": "v3"}
    world.crank(3)
    assert world.status.phase is Phase.PENDING
    assert world.cluster.deployment.template.image == "v2"

    world.images = {}
    finish(world)

    assert world.status.stable.version == "v2"


def test_nothing_serves_and_images_are_laid_over():
    """With no ready pod, the Release's images are written into the Deployment, held for that moment, and it rolls out by itself."""
    world = World(policy())
    world.cluster.start_up["bad"] = None
    world.cluster.create_deployment(Template("bad"), 4)
    world.cluster.replica_sets.clear()
    world.images = {"app": "good"}

    finish(world, seconds=60)

    assert world.status.stable.version == "good"
    assert world.cluster.deployment.template.image == "good"


def test_held_deployment_is_taken_on_by_what_serves():
    """A Deployment found paused with another template serves its biggest ReplicaSet: that is stable, the template is a rollout."""
    world = World(policy(step(100)))
    world.cluster.set_paused(True)
    world.apply("v2")

    world.crank(1)

    assert world.status.stable.version == "v1"
    assert world.status.candidate.version == "v2"


def test_deployment_made_anew():
    """A Deployment that was deleted and created again is taken on again once it serves."""
    world = idle()
    world.cluster.deployment = None
    world.cluster.replica_sets.clear()
    world.crank(1)
    assert reason(world) == Reason.MISSING_WORKLOAD
    assert condition(world, "Stalled")
    assert events(world, "Blocked") == ["spec.targetRef: Deployment checkout was not found"]

    world.cluster.create_deployment(Template("v5"), 4)
    finish(world)

    assert world.status.stable.version == "v5"
    assert ready(world)


@pytest.mark.parametrize(
    ("what", "expected", "words"),
    [
        ("policy", Reason.MISSING_POLICY, "spec.policyRef: RolloutPolicy production was not found or is not valid"),
        ("service", Reason.MISSING_SERVICE, "spec.traffic.service: Service checkout was not found"),
        ("route", Reason.MISSING_ROUTE, "spec.traffic.gatewayAPI: HTTPRoute web was not found"),
        ("match", Reason.MISSING_ROUTE, "spec.traffic.gatewayAPI: no rule of HTTPRoute web names Service checkout"),
        ("trouble", Reason.ROUTE_NOT_ACCEPTED, "HTTPRoute web: no such listener"),
        ("blocker", Reason.NO_PERMISSION, "may not patch httproutes"),
    ],
)
def test_what_is_missing_stalls_and_recovers_alone(what: str, expected: Reason, words: str):
    """What is missing is named once in an Event and in the status, and nothing starts; once it is there, the rollout starts."""
    world = idle()
    kept = world.policy, dict(world.cluster.services), dict(world.cluster.routes)
    match what:
        case "policy":
            world.policy = None
        case "service":
            del world.cluster.services["checkout"]
        case "route":
            del world.cluster.routes["web"]
        case "match":
            world.cluster.routes["web"].put((("other", 1),), world.now)
        case "trouble":
            world.cluster.routes["web"].trouble = "no such listener"
        case _:
            world.blockers = (Blocker(Reason.NO_PERMISSION, "may not patch httproutes"),)
    world.apply("v2")
    world.crank(3)
    assert (reason(world), condition(world, "Stalled"), ready(world)) == (expected, True, False)
    assert world.status.message == f"{words}; until this is fixed, v2 waits and v1 serves"
    assert world.status.phase is Phase.WAITING
    assert events(world, "Blocked") == [f"{words}; until this is fixed, v2 waits and v1 serves"]
    assert world.status.candidate is None

    world.policy, world.cluster.services, world.cluster.routes, world.blockers = *kept, ()
    world.cluster.routes["web"].trouble = ""
    world.resync()
    world.crank(2)

    assert world.status.candidate.version == "v2"


def test_first_install_that_arrives_in_any_order_stalls_nothing():
    """What a new Release names and is not there yet is waited for: nobody is called, and no health check fails."""
    world = World(policy(step(100)))
    world.created, kept, world.policy = world.now, world.policy, None
    world.crank(3)
    assert (reason(world), condition(world, "Reconciling"), ready(world)) == (Reason.MISSING_POLICY, True, False)
    assert world.status.message == (
        "spec.policyRef: RolloutPolicy production was not found or is not valid; the Release is new, so this may still arrive"
    )

    world.policy = kept
    world.resync()
    finish(world)

    assert ready(world)
    assert events(world, "Blocked") == []


def test_what_has_not_arrived_in_time_stalls():
    """What a new Release names and does not come stalls it after a quarter of a minute, without anything being seen to change."""
    world = World(policy(step(100)))
    world.created, world.policy = world.now, None

    world.crank(14)
    early = condition(world, "Stalled")
    world.crank(3)

    assert early is False
    assert condition(world, "Stalled")
    assert events(world, "Blocked") == ["spec.policyRef: RolloutPolicy production was not found or is not valid"]


def test_promoted_says_of_which_version_it_speaks():
    """Who reads the condition Promoted sees which version and revision is wanted, whether it serves or not."""
    world = idle()
    before = message(world, "Promoted")
    world.apply("v2")
    world.crank(1)
    during = message(world, "Promoted")

    assert before == f"v1 (revision {world.status.stable.revision}) is the wanted version, and is promoted"
    assert during.startswith(
        f"v2 (revision {world.status.candidate.revision}) is the wanted version; Rolling out v2 (stable: v1): "
    )


def message(world: World, kind: str) -> str:
    return next(c.message for c in world.status.conditions if c.type == kind)


def test_missing_policy_does_not_take_promoted_back():
    """A missing policy stalls the Release, but the wanted version is still the one that serves."""
    world = idle()
    world.policy = None

    world.crank(1)

    assert condition(world, "Stalled")
    assert condition(world, "Promoted")


@pytest.mark.parametrize("admission", [True, False])
@pytest.mark.parametrize("routes", [("web",), ()])
def test_a_version_that_comes_while_scaled_to_zero_is_judged_when_it_is_scaled_up(admission: bool, routes: tuple[str, ...]):
    """Given a release at night, while the Deployment is scaled to 0, then it is held, and takes its steps in the morning."""
    world = idle(policy(step(5, "5s"), step(100), gates=(gate(),)), admission=admission, routes=routes)
    world.cluster.scale(0)
    world.crank(5)
    assert world.status.message == "v1 is the stable version, but the Deployment is scaled to 0"
    world.apply("v2")
    world.crank(30)
    assert world.status.stable.version == "v1"
    assert world.status.message == (
        "v1 is the stable version, but the Deployment is scaled to 0; "
        "waits for the Deployment to be scaled up from 0; v2 is then rolled out step by step"
    )
    assert reason(world) == Reason.SCALED_TO_ZERO
    assert not any(rs.pods for rs in world.cluster.replica_sets.values())

    world.cluster.scale(4)
    world.quality = {"errors": 0.5}
    finish(world, Phase.ROLLED_BACK)

    assert world.weights == [0, 5, 0]
    assert world.status.stable.ready == 4
    world.cluster.scale(0)
    world.crank(10)
    world.quality = {}
    world.apply("v3")
    world.crank(5)
    world.cluster.scale(4)
    finish(world)
    assert (world.status.stable.version, world.status.stable.ready) == ("v3", 4)


def test_scaled_to_zero_does_not_let_a_rejected_version_in():
    """A rejected template stays held while the Deployment is scaled to 0 and back."""
    world = at_weight(5)
    world.ask("rollback/1")
    finish(world, Phase.ROLLED_BACK)

    world.cluster.scale(0)
    world.crank(10)
    world.cluster.scale(4)
    world.crank(10)

    assert world.status.phase is Phase.ROLLED_BACK
    assert world.cluster.deployment.paused
    assert [rs.template.image for rs in world.cluster.replica_sets.values() if rs.pods] == ["v1"]


def test_what_was_rolled_out_past_the_hold_is_accepted():
    """What came to serve while nobody watched is the stable version: to take it back would be an outage."""
    world = idle()
    world.cluster.deployment.labelled = False
    world.apply("v2")
    world.settle_controllers(30)

    finish(world)

    assert world.status.stable.version == "v2"
    assert events(world, "Bypassed")[-1] == "v2 was rolled out without Tidegate and serves on 4 pods; it is now the stable version"
    assert world.cluster.owned(Owner.RELEASE) == []
