"""A rollout goes up its steps: pods, weight, hold, next."""

from __future__ import annotations

from datetime import timedelta

from simulation.policies import at_weight, carried, condition, events, finish, gate, idle, policy, reach, reason, step
from simulation.views import at, weight_of
from simulation.world import World
from tidegate.api.names import Cause, Phase, Reason
from tidegate.engine.handover.deployment.actions import CreateCanary
from tidegate.engine.handover.deployment.view import Owner
from tidegate.engine.plan import ShiftRoute
from tidegate.engine.snapshot import Blocker


def canary(world: World) -> tuple[int, int]:
    """Return the wanted pods of the stable and of the new version."""
    sets = {rs.revision: rs.wanted for rs in world.cluster.replica_sets.values()}
    return sets[world.status.stable.revision], sets.get(world.status.candidate.revision, 0)


def test_steps_are_seen_in_order_each_for_its_hold():
    """Weights 5, 25, 100 are seen on the route in this order, each for at least its hold, and the new version is promoted."""
    world = idle()
    world.apply("v2")
    seen: list[tuple[float, float]] = []

    def watch() -> bool:
        weight = weight_of(world.cluster.routes["web"].in_force)
        if weight and (not seen or seen[-1][0] != weight):
            seen.append((weight, world.now))
        return world.status.phase is Phase.IDLE and world.now > 20

    assert world.crank(120, until=watch)

    assert [weight for weight, _ in seen] == [5, 25, 100]
    assert seen[1][1] - seen[0][1] >= 10
    assert seen[2][1] - seen[1][1] >= 10
    assert world.weights == [0, 5, 25, 100, 0]
    assert world.status.stable.version == "v2"
    assert world.status.last_rollout.outcome == "Promoted"
    assert events(world, "WeightChanged")[0] == "Weight of v2 raised from 0% to 5% (step 1 of 3)"


def test_message_and_conditions_while_it_goes_on():
    """While it goes on, the Release is Reconciling, and the sentence says at which step, at which weight, and what it waits for."""
    world = at_weight(5)

    world.operate()

    assert (condition(world, "Ready"), condition(world, "Reconciling"), reason(world)) == (False, True, Reason.PROGRESSING)
    until = world.status.step.until
    assert world.status.message == (
        f"Rolling out v2 (stable: v1): step 1 of 3, weight 5%, held for at least 10s; "
        f"waits until {until:%H:%M:%S} UTC (hold of step 1)"
    )
    assert world.last.plan.due == until


def test_no_weight_before_pods():
    """No weight is given before the pods that the step needs are ready and have endpoints."""
    world = idle(policy(step(50), step(100)))
    world.cluster.start_up["v2"] = 20
    world.apply("v2")

    world.crank(15)

    assert world.weights == [0]
    assert "waits for pods of v2 to be ready (0 of 2 pods)" in world.status.message


def test_endpoints_lag_behind_pods():
    """Ready pods without endpoints get no weight yet."""
    world = idle(policy(step(50), step(100)))
    world.apply("v2")
    world.crank(5, until=lambda: world.status.step is not None)
    world.stale = {"services"}
    world.crank(10)

    assert world.weights == [0]
    assert "waits for endpoints of v2 to be ready (2 of 2 pods)" in world.status.message


def test_hold_counts_from_when_the_router_has_the_weight():
    """The hold begins when the router has accepted the weight, not when it was asked to."""
    world = idle()
    world.cluster.router_delay = 4
    world.apply("v2")
    world.crank(60, until=lambda: world.status.weight == 5)
    given = world.now

    reach(world, 5)

    assert world.now - given >= 4
    assert world.status.step.until - world.status.step.since == timedelta(seconds=10)


def test_preview_step_has_pods_and_no_weight():
    """A first step of weight 0 with all replicas is a preview: pods without traffic, then all traffic at once."""
    world = idle(policy(step(0, "5s", "100%"), step(100)))
    world.apply("v2")

    assert world.crank(30, until=lambda: carried(world) == 0)
    assert canary(world) == (4, 4)

    finish(world)
    assert world.weights == [0, 100, 0]


def test_preview_waits_for_its_pods_and_falls_at_the_deadline():
    """A preview whose pods never come up is undone at the deadline like any step."""
    world = idle(policy(step(0, "5s", 2), step(100), progressDeadline="20s"))
    world.cluster.start_up["v2"] = None
    world.apply("v2")
    world.crank(10)
    assert "waits for pods of v2 to be ready (0 of 2 pods)" in world.status.message

    finish(world, Phase.ROLLED_BACK)

    assert world.status.rejected[0].cause is Cause.DEADLINE


def test_step_without_pods():
    """A step of weight 0 with no replicas passes without any pod."""
    world = idle(policy(step(0, "2s", 0), step(100)))
    world.apply("v2")

    assert world.crank(20, until=lambda: carried(world) == 0)

    assert canary(world) == (4, 0)


def test_replicas_are_followed_while_paused():
    """Paused at 25% of 4 and scaled to 8, both versions follow; and back to 4, they follow again."""
    world = at_weight(25)
    world.ask("pause/1")
    world.crank(1)

    world.cluster.scale(8)
    world.crank(5)
    assert canary(world) == (8, 2)

    world.cluster.scale(4)
    world.crank(5)
    assert canary(world) == (4, 1)


def test_template_and_replicas_in_one_apply():
    """A template and replicas changed in one apply are both honoured."""
    world = idle()
    world.apply("v2")
    world.cluster.scale(8)

    finish(world)

    assert (world.status.stable.version, world.status.stable.ready) == ("v2", 8)


def test_deadline_rolls_back_with_the_pods_own_reason():
    """Pods that do not become ready in time roll the version back, with their own reason in the message."""
    world = idle(policy(progressDeadline="20s"))
    world.cluster.start_up["v2"], world.pods_say.trouble = None, "ImagePullBackOff: no such image"
    world.apply("v2")
    world.crank(10)
    assert world.status.message.endswith("waits for pods of v2 to be ready (0 of 1 pods) (ImagePullBackOff: no such image)")
    assert world.last.plan.due is not None

    finish(world, Phase.ROLLED_BACK)

    assert world.weights == [0]
    assert world.status.last_rollout.cause is Cause.DEADLINE
    assert world.status.message == (
        "v2 was rolled back, v1 serves: its pods did not become ready within 20s: ImagePullBackOff: no such image; "
        "the version itself was not judged; to try it again, annotate the Release with tidegate.dev/request=retry/<id>"
    )


def test_pods_have_the_whole_time_under_each_operator():
    """An operator that takes over, with a clock of its own, counts the deadline of pods that are missing from its own start."""
    world = idle(policy(progressDeadline="20s"))
    world.cluster.start_up["v2"] = None
    world.apply("v2")
    world.crank(10)
    world.die()
    world.cluster.now += 3600
    world.crank(15)
    assert world.status.phase is Phase.PROGRESSING

    world.crank(10)

    assert world.status.rejected[0].cause is Cause.DEADLINE


def test_what_had_no_pods_in_time_is_tried_again_by_request_or_after_another():
    """A missed deadline is no verdict: applied anew, nothing starts; by retry, or once another template was there, it does."""
    world = idle(policy(progressDeadline="20s"))
    world.cluster.start_up["v2"], world.pods_say.trouble = None, "exceeded quota"
    world.apply("v2")
    finish(world, Phase.ROLLED_BACK)
    world.apply("v1")
    finish(world)
    assert world.status.rejected == ()
    world.apply("v2")
    assert world.crank(10, until=lambda: world.status.rollout is not None)
    finish(world, Phase.ROLLED_BACK)
    world.crank(60)
    assert world.status.rollout is None
    world.cluster.start_up["v2"] = 3

    world.ask("retry/1")
    finish(world)

    assert world.status.stable.version == "v2"


def test_on_deadline_wait_keeps_the_weight_and_says_so_once():
    """With onDeadline Wait, pods that do not come are waited for without end, in words; then the rollout goes on."""
    world = at_weight(5, policy(step(5, "5s"), step(100), progressDeadline="20s", onDeadline="Wait"))
    world.cluster.start_up["v2"] = None
    world.pods_say.trouble = "Unschedulable: 0/3 nodes are available"
    world.crank(90)
    assert world.status.weight == 5
    assert len(events(world, "ProgressDeadlineExceeded")) == 1
    why = "its pods did not become ready within 20s: Unschedulable: 0/3 nodes are available"
    told = f"v2 keeps waiting at 5% (onDeadline: Wait): {why}"
    assert events(world, "ProgressDeadlineExceeded") == [told]
    words = "waits for pods of v2 to be ready (1 of 4 pods) (Unschedulable: 0/3 nodes are available); progressDeadline (20s) has"
    assert words in world.status.message

    for rs in world.cluster.replica_sets.values():
        for pod in rs.pods:
            pod.ready_at = pod.ready_at or world.now
    finish(world)

    assert world.status.stable.version == "v2"


def test_deadline_is_for_pods_and_not_for_routers():
    """A router that takes its time, and a pod that blinks in that time, are no missed deadline."""
    world = idle(policy(step(50, "5s"), step(100), progressDeadline="10s"))
    world.apply("v2")
    assert world.crank(30, until=lambda: world.status.weight == 50)
    world.cluster.router_works = False
    world.crank(15)

    pod = next(rs for rs in world.cluster.replica_sets.values() if rs.template.image == "v2").pods[0]
    pod.down = True
    world.crank(2)
    assert (world.status.phase, world.status.weight) == (Phase.PROGRESSING, 25)

    pod.down = False
    world.crank(12)
    assert (world.status.phase, world.status.weight) == (Phase.PROGRESSING, 50)
    assert "waits for the route to carry 50%" in world.status.message


def test_lost_pods_give_the_weight_back():
    """Without an available pod the new version has no weight in the same pass; it climbs anew when pods are back."""
    world = at_weight(25)
    rs = next(rs for rs in world.cluster.replica_sets.values() if rs.template.image == "v2")
    rs.pods[0].down = True
    world.pods_say.trouble = "CrashLoopBackOff"

    world.crank(0.5)
    assert world.status.weight == 0
    assert world.last.plan.away
    assert world.last.writes[0].startswith("ShiftRoute")
    assert (
        events(world, "WeightChanged")[-1]
        == "Weight of v2 lowered from 25% to 0%: none of its pods is available (CrashLoopBackOff)"
    )

    rs.pods[0].down = False
    lost = world.now
    reach(world, 25)
    assert world.status.step.since > at(lost)
    assert world.weights == [0, 5, 25, 0, 5, 25]


def test_deleted_canary_gives_the_weight_back_and_is_made_again():
    """A ReplicaSet that somebody deletes mid-rollout is made again, and has no weight until it is ready."""
    world = at_weight(25)
    world.cluster.delete_replica_set("checkout-own-v2")

    world.crank(0.5)
    assert world.status.weight == 0

    reach(world, 25)
    assert canary(world) == (4, 1)


def test_scaled_to_zero_mid_rollout_begins_the_steps_anew():
    """Scaled to 0, nothing can be judged: no weight, no pods, no deadline. Scaled up, the steps begin anew."""
    world = at_weight(25, policy(step(5, "2s"), step(25, "60s"), step(100), progressDeadline="20s"))
    world.cluster.scale(0)
    world.crank(40)
    assert canary(world) == (0, 0)
    assert world.status.weight == 0
    assert "waits for the Deployment to be scaled up from 0" in world.status.message
    assert events(world, "WeightChanged")[-1] == "Weight of v2 lowered from 25% to 0%: the Deployment is scaled to 0"

    world.cluster.scale(4)
    reach(world, 5)

    assert world.weights[-2:] == [0, 5]


def test_weight_does_not_rise_while_a_gate_is_blind():
    """The gates passed before the pods of the next step were asked for; if they have gone blind since, the weight waits."""
    world = at_weight(5, policy(step(5, "4s"), step(100), gates=(gate(),)))
    world.cluster.start_up["v2"] = 10
    assert world.crank(30, until=lambda: world.status.step.index == 1)
    world.prometheus_trouble = "connection refused"
    world.crank(20)
    assert world.status.weight == 5
    assert "connection refused" in world.status.message

    world.prometheus_trouble = ""
    reach(world, 100)


def test_several_routes_go_together():
    """With several routes, a step counts from when all of them carry the weight."""
    world = idle(policy(step(50), step(100)), routes=("web", "api"))
    world.apply("v2")

    finish(world)

    assert [route.backends for route in world.cluster.routes.values()] == [(("checkout", 1),)] * 2
    assert world.status.stable.version == "v2"


def test_rollout_starts_though_no_stable_pod_is_ready():
    """The fix of a version that broke at run time is not kept out by its being broken, and a person can promote it at once."""
    world = idle()
    for pod in next(iter(world.cluster.replica_sets.values())).pods:
        pod.down = True
    world.crank(1)
    world.apply("fix")
    reach(world, 5)
    world.operate()
    assert "no pod of v1 is ready" in world.status.message

    world.ask("promote/1")
    finish(world)

    assert world.status.stable.version == "fix"


def test_policy_that_goes_away_mid_rollout():
    """The policy that a rollout started with goes on to hold when the policy is deleted; afterwards its absence is told."""
    world = at_weight(5)
    world.policy = None

    finish(world)

    assert world.status.stable.version == "v2"
    assert reason(world) == Reason.MISSING_POLICY


def test_trouble_of_a_route_is_told_mid_rollout():
    """What stands in the way mid-rollout is told before what is going on, and is not Stalled: the router may change its mind."""
    world = at_weight(5)
    world.cluster.routes["web"].trouble = "listener is gone"
    world.crank(20)

    assert world.status.message.startswith("HTTPRoute web: listener is gone; Rolling out v2 (stable: v1): step 1 of ")
    assert (condition(world, "Stalled"), condition(world, "Reconciling")) == (False, True)
    assert world.status.weight == 5


def test_canary_that_belongs_to_somebody_else_is_left_alone():
    """A ReplicaSet of another owner is not touched; the deadline tells."""
    world = at_weight(5, policy(step(5, "60s"), step(100)))
    rs = next(rs for rs in world.cluster.replica_sets.values() if rs.template.image == "v2")
    rs.owner = Owner.OTHER

    world.crank(3)
    world.ask("rollback/1")
    finish(world, Phase.ROLLED_BACK)

    assert rs.wanted == 1


def test_pods_that_could_not_be_asked_for_are_no_missed_deadline():
    """As long as the API server refuses the ReplicaSet, the deadline says nothing about the version."""
    world = idle(policy(progressDeadline="10s"))
    world.refused = (CreateCanary,)
    world.apply("v2")
    world.crank(30)
    assert world.status.phase is Phase.PROGRESSING

    world.refused = ()
    reach(world, 5)


def test_weight_does_not_rise_past_what_must_be_mended():
    """Given a permission that was lost on the way, the weight stays until it is back, and the message names it."""
    world = at_weight(5)
    world.blockers = (Blocker(Reason.NO_PERMISSION, "may not list httproutes"),)

    world.crank(60)

    assert carried(world) == 5
    assert world.status.message.startswith("may not list httproutes; Rolling out v2 (stable: v1): ")
    assert (condition(world, "Stalled"), condition(world, "Reconciling")) == (True, False)
    assert len(events(world, "Blocked")) == 1

    world.blockers = ()
    reach(world, 25)


def test_what_the_route_carries_is_shown():
    """While nobody may write the route, it goes on to give the new version its share, and that is what is shown."""
    world = at_weight(25)
    world.refused = (ShiftRoute,)
    world.ask("rollback/1")
    world.crank(5)

    assert (world.status.weight, world.status.carried, world.status.progress) == (0, 25, "2 of 3")

    world.refused = ()
    finish(world, Phase.ROLLED_BACK)
    assert (world.status.carried, world.status.progress) == (0, "")


def test_weight_waits_for_what_stands_in_the_way():
    """No weight is given while something that it may take to go back is missing, e.g. a permission."""
    world = idle()
    world.apply("v2")
    assert world.crank(10, until=lambda: world.status.step is not None)
    world.blockers = (Blocker(Reason.NO_PERMISSION, "may not patch httproutes"),)
    world.crank(10)
    assert world.status.weight == 0

    world.blockers = ()
    reach(world, 5)


def test_a_hold_is_counted_from_when_the_data_plane_has_the_weight():
    """Given a controller that speaks 3 s before its data plane has a route, hold and drain begin 3 s after its word."""
    world = idle(policy(step(50, "10s"), step(100), drain="4s", bake="5s"))
    world.cluster.delay = 3.0
    world.apply("v2")
    assert world.crank(60, until=lambda: world.status.step is not None and world.status.step.since is not None)
    accepted = world.cluster.routes["web"].accepted_at

    assert world.status.step.since >= at(accepted + 3)
    assert world.status.rollout.split_at >= at(3)
    world.ask("rollback/1")
    assert world.crank(60, until=lambda: canary(world)[1] == 0)
    assert world.now >= world.cluster.routes["web"].accepted_at + 3 + 4
