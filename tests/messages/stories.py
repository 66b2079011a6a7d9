"""Stories in which an operator tells what there is to be told: what the waits do not come across already."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

from simulation import deciders
from simulation.cluster import USER, Template
from simulation.followed import FollowingWorld
from simulation.policies import at_weight, finish, gate, idle, policy, reach, step
from simulation.views import Said, at
from simulation.world import World
from tidegate.api.decision import Action, Result
from tidegate.api.names import Phase, Reason
from tidegate.api.outbox import KEPT
from tidegate.api.release import ReleaseType
from tidegate.api.status import ReleaseStatus
from tidegate.engine.decide import decide
from tidegate.engine.handover.deployment.actions import Adopt
from tidegate.engine.handover.deployment.happened import PauseUndone
from tidegate.engine.handover.deployment.view import Owner
from tidegate.engine.outbox import put
from tidegate.engine.plan import notice_of
from tidegate.engine.snapshot import AutoscalerView, Blocker, PodTrouble
from tidegate.engine.transitions import TransitionsDropped
from tidegate.engine.undelivered import NotificationDropped
from tidegate.governance.upstreams import AfterView, UpstreamView
from tidegate.governance.view import GovernanceView
from tidegate.judge.reading import Around, Counts, Reading, Tally

LONG = (step(10, "1h"), step(100))
COUNTED: dict[str, Any] = {
    "name": "errors",
    "metric": {"preset": {"source": "Envoy", "measure": "ErrorRate"}},
    "versusStable": {"maxIncrease": {"points": 1}},
    "interval": "2s",
}
STORIES: list[Callable[[], World | list[World]]] = []


def story(told: Callable[[], World | list[World]]) -> Callable[[], World | list[World]]:
    STORIES.append(told)
    return told


def breached(on_breach: str, seconds: float = 20, **more: Any) -> World:
    """v2 has 10% of the traffic, and its gate is beyond the limit from now on."""
    world = at_weight(10, policy(step(10, "5s"), step(100, "20s"), gates=(gate(onBreach=on_breach, **more),)))
    world.quality["errors"] = 0.5
    world.crank(seconds)
    return world


# Rollouts that end as they should, or not.


@story
def a_rollout_by_all_its_steps() -> World:
    world = idle(policy(step(0, "2s", replicas=1), step(10, "2s"), step(100), gates=(gate(),)))
    world.apply("v2")
    finish(world)
    return world


@story
def a_rollout_without_a_route() -> World:
    world = idle(policy(step(100), bake="3s"), routes=())
    world.apply("v2")
    finish(world)
    return world


@story
def a_breach_that_rolls_back() -> World:
    return breached("Rollback")


@story
def a_breach_that_pauses_and_a_person_who_resumes() -> World:
    world = breached("Pause", ask=["payments", "sre"])
    world.quality.clear()
    world.ask("resume/1")
    world.crank(2)
    return world


@story
def breaches_that_roll_nothing_back() -> list[World]:
    return [breached("Warn"), breached("Rollback", dryRun=True), breached("Hold")]


@story
def a_gate_without_data() -> World:
    world = at_weight(10, policy(step(10, "2s"), step(100), gates=(gate(onNoData={"then": "Fail", "after": "20s"}),)))
    world.quality["errors"] = None
    world.crank(40)
    return world


@story
def a_gate_whose_prometheus_is_away() -> World:
    world = at_weight(10, policy(step(10, "2s"), step(100), gates=(gate(onNoData={"then": "Hold"}),)))
    world.prometheus_trouble = "Prometheus connection default: no answer from http://prometheus:9090 within 5s"
    world.crank(140)
    return world


@story
def a_gate_whose_direct_readings_disagree_with_prometheus() -> World:
    world = at_weight(10, policy(*LONG, gates=(COUNTED,)))
    words = "direct readings and Prometheus disagree on the new version; direct readings have 20% bad requests, and Prometheus 0%"
    counts, revision = Counts(at(world.now), Tally(20, 0), Tally(200, 0)), world.status.candidate.revision
    world.readings.append(Reading("errors", revision, at(world.now + 1), counts=counts, disagrees=words))
    world.crank(5)
    return world


@story
def a_score_that_warns_and_one_that_fails() -> World:
    gates = (gate("errors", failureLimit=2, of=2, weight=3), gate("latency", failureLimit=2, of=2, weight=1))
    world = at_weight(10, policy(step(10, "4s"), step(100, "30s"), gates=gates, scoring={"pass": 90, "warn": 70}))
    world.quality["latency"] = 0.5
    world.crank(20)
    world.quality["errors"] = 0.5
    world.crank(20)
    return world


@story
def pods_that_never_start() -> World:
    world = idle(policy(*LONG))
    world.cluster.start_up["v2"] = None
    world.pods_say = Said(
        trouble='pod checkout-v2-1: container app keeps exiting (CrashLoopBackOff), last exit code 1: "no such file"'
    )
    world.apply("v2")
    finish(world, Phase.ROLLED_BACK)
    return world


@story
def a_deadline_that_only_warns() -> World:
    world = idle(policy(*LONG, onDeadline="Wait"))
    world.cluster.start_up["v2"] = None
    world.apply("v2")
    world.crank(90)
    return world


@story
def a_router_that_refuses() -> World:
    world = idle(policy(*LONG))
    world.apply("v2")
    assert world.crank(30, until=lambda: world.status.weight == 10)
    world.cluster.routes["web"].trouble = "Gateway edge: Accepted is False (NoMatchingParent): no listener takes it"
    world.crank(90)
    return world


@story
def pods_that_are_lost_twice() -> World:
    world = at_weight(100, policy(step(10), step(100), bake="1h"))
    world.crash("v2")
    world.crank(0.5)
    reach(world, 100)
    world.crash("v2", pods=2)
    world.crank(3)
    world.crash("v2")
    finish(world, Phase.ROLLED_BACK)
    return world


@story
def pods_that_are_evicted() -> World:
    world = at_weight(100, policy(step(10), step(100), bake="1h"))
    world.evict("v2")
    world.crank(5)
    return world


@story
def a_split_that_does_harm() -> World:
    world = idle(policy(step(10, "60s"), step(100), gates=(COUNTED,), bake="5s"))
    world.apply("v2")
    assert world.crank(60, until=lambda: world.status.weight == 10)
    before, since = (Tally(3000, 0), Tally(600, 0)), world.status.rollout.split_at
    around = Around(*before, Tally(100, 97), since=since, seconds=10, seconds_before=300)
    world.readings.append(Reading("errors/split", world.status.candidate.revision, at(world.now), around=around))
    world.crank(60)
    return world


# People and their tools.


@story
def requests_that_are_carried_out() -> World:
    world = at_weight(10, policy(*LONG))
    for request in ("pause/1", "resume/2", "rollback-and-hold/3"):
        world.ask(request)
        world.crank(2)
    finish(world, Phase.ROLLED_BACK)
    for request in ("resume/4", "retry/5"):
        world.ask(request)
        world.crank(2)
    reach(world, 10)
    world.ask("promote/6")
    finish(world)
    return world


@story
def decisions_that_are_carried_out_and_refused() -> World:
    """People command by ReleaseDecisions; one rejects what waits."""
    world = at_weight(10, policy(*LONG))
    for action in (Action.RESUME, Action.PAUSE, Action.ROLLBACK):
        deciders.decide(world, action, "ann", reason="payments fail")
        world.crank(2)
    deciders.decide(world, Action.ROLLBACK, "ann", to_version="v0")
    finish(world, Phase.ROLLED_BACK)
    world.ask("rollback-and-hold/1")
    world.readable = False
    deciders.decide(world, Action.RESUME, "ann")
    world.apply("v3")
    world.crank(2)
    deciders.decide(world, Action.REJECT, "bob", reason="totals are wrong")
    world.crank(2)
    return world


@story
def decisions_where_an_annotation_gives_no_traffic() -> World:
    """The operator's configuration has `requests: Decisions`: what to do is told as a command that counts there."""
    world = at_weight(10, policy(*LONG))
    world.governance = GovernanceView(by_decision=True)
    for request in ("pause/1", "resume/2", "rollback-and-hold/3"):
        world.ask(request)
        world.crank(5)
    finish(world, Phase.ROLLED_BACK)
    return world


@story
def retry_where_an_annotation_gives_no_traffic() -> World:
    world = idle(policy(*LONG))
    world.governance = GovernanceView(by_decision=True)
    world.cluster.start_up["v2"] = None
    world.apply("v2")
    finish(world, Phase.ROLLED_BACK)
    world.resume()
    world.cluster.tick()
    world.crank(10)
    return world


@story
def promotion_without_gates() -> World:
    world = breached("Hold")
    world.ask("promote/1")
    world.crank(1)
    finish(world)
    return world


@story
def requests_that_are_refused() -> World:
    world = idle(policy(*LONG))
    for request in ("promote/1", "retry/2", "resume/3", "dance/4"):
        world.ask(request)
        world.crank(1)
    world.apply("v2")
    reach(world, 10)
    for request in ("resume/5", "retry/6", "pause/7", "pause/8", "rollback/9", "pause/10"):
        world.ask(request)
        world.crank(0.5)
    return world


@story
def another_version_comes() -> World:
    world = at_weight(10, policy(*LONG))
    world.apply("v3")
    world.crank(20)
    world.apply("v1")
    finish(world)
    return world


@story
def a_rejected_version_comes_again() -> World:
    world = at_weight(10, policy(*LONG))
    world.ask("rollback/1")
    finish(world, Phase.ROLLED_BACK)
    world.apply("v3")
    reach(world, 10)
    world.apply("v2")
    finish(world, Phase.ROLLED_BACK)
    return world


@story
def a_deployment_scaled_to_nothing_amid_a_rollout() -> World:
    world = at_weight(10, policy(*LONG))
    world.cluster.scale(0)
    world.crank(60)
    return world


@story
def a_deployment_that_goes_back_by_itself() -> World:
    world = at_weight(100, policy(step(100), bake="3s"))
    world.cluster.start_up["v2"] = None
    assert world.crank(60, until=lambda: bool(world.cluster.owned(Owner.NOBODY)))
    for rs in world.cluster.owned(Owner.NOBODY):
        for pod in rs.pods:
            pod.down = True
    world.cluster.scale(8)
    world.crank(60)
    return world


@story
def a_version_that_was_rolled_out_without_tidegate() -> World:
    world = idle(policy(*LONG))
    world.apply("v2")
    world.cluster.set_paused(False)
    for _ in range(20):
        world.cluster.now += 0.5
        world.cluster.tick()
    world.crank(10)
    return world


@story
def a_restart() -> World:
    world = idle(policy(*LONG))
    world.apply("v1", "now")
    finish(world)
    return world


@story
def a_pause_while_nothing_is_on() -> World:
    world = idle(policy(*LONG))
    world.cluster.set_paused(True)
    world.crank(5)
    return world


@story
def a_release_that_is_deleted_amid_a_rollout() -> World:
    world = at_weight(10, policy(*LONG))
    world.delete()
    world.crank(30, until=lambda: world.gone)
    return world


@story
def a_release_that_is_deleted_after_a_rollback() -> World:
    world = breached("Rollback", 60)
    world.delete()
    world.crank(30, until=lambda: world.gone)
    return world


@story
def an_autoscaler_that_does_not_see_the_load() -> World:
    world = at_weight(0, policy(step(0, "30s", replicas="100%"), step(100)))
    world.autoscaler = lambda _: AutoscalerView("checkout", 5.3, 20, 0.1)
    world.crank(5)
    return world


@story
def a_limit_on_pods_of_a_step() -> World:
    world = idle(policy(step(10, "5s", replicas="100%"), step(100)))
    world.step_replicas_limit = 2
    world.apply("v2")
    world.crank(20)
    return world


# What is in the way.


@story
def things_that_are_missing() -> World:
    world = idle(policy(*LONG))
    world.policy = None
    world.crank(2)
    world.policy = idle(policy(*LONG)).policy
    world.apply("v2")
    world.blockers = (Blocker(Reason.NO_PERMISSION, "list pods in namespace shop: pods is forbidden"),)
    world.crank(2)
    world.blockers = ()
    world.shared = True
    world.crank(2)
    world.shared, world.unfollowed = False, True
    world.crank(2)
    return world


@story
def a_new_release_before_its_objects() -> World:
    world = World(policy(*LONG))
    world.created, world.policy = world.now, None
    world.crank(30)
    return world


@story
def an_object_that_goes_amid_a_rollout() -> World:
    world = at_weight(10, policy(*LONG))
    del world.cluster.routes["web"]
    world.crank(5)
    return world


@story
def a_route_that_names_another_service() -> World:
    world = idle(policy(*LONG))
    world.cluster.routes["web"].put((("ledger", 1),), world.now)
    world.apply("v2")
    world.crank(5)
    return world


@story
def traffic_that_is_taken_out() -> World:
    world = at_weight(10, policy(*LONG))
    world.traffic_gone = True
    world.crank(5)
    return world


@story
def a_service_that_leads_to_nobody() -> World:
    world = World(policy(*LONG))
    world.cluster.services[USER].version = "v1"
    world.crank(80)
    world.cluster.services[USER].version = "v2"
    world.crank(5)
    world.apply("v2")
    world.crank(2)
    reach(world, 10)
    world.crank(5)
    return world


@story
def stable_that_does_not_get_its_pods() -> World:
    world = idle(policy(*LONG))
    ((pod, *_),) = (rs.pods for rs in world.cluster.replica_sets.values())
    pod.down = True
    world.crank(1)
    seen, words = world.snapshot(), 'pod checkout-v1-1: container app: CreateContainerConfigError: configmap "settings" not found'
    plan = decide(replace(seen, workload=replace(seen.workload, stable_trouble=PodTrouble(words))), at(world.now))
    world.told[plan.status.message], pod.down = plan.status, False
    world.crank(1)
    world.notices += (*plan.notices, *decide(replace(world.snapshot(), status=plan.status), at(world.now)).notices)
    return world


@story
def events_that_cannot_be_written() -> World:
    world = idle(policy(*LONG))
    status, paused = ReleaseStatus(), notice_of(PauseUndone())
    for _ in range(KEPT + 1):
        status, fresh = put(status, (paused,), at(world.now), ("events",))
    dropped = TransitionsDropped("events")
    assert dropped.id == fresh[-1].id
    undelivered = NotificationDropped("releases", "ended", 7, "HTTP 422 Unprocessable Entity")
    world.notices += [notice_of(dropped), notice_of(undelivered)]
    return world


@story
def a_deployment_that_is_resumed_before_its_adoption() -> World:
    world = at_weight(10, policy(*LONG))
    world.refused = (Adopt,)
    world.resume()
    world.crank(3)
    return world


@story
def a_rejected_template_that_is_let_go() -> World:
    world = breached("Rollback", 60)
    world.cluster.set_paused(False)
    world.operate()
    return world


@story
def nothing_has_served_yet() -> World:
    world = World(policy(*LONG))
    world.cluster.start_up["bad"] = None
    world.cluster.create_deployment(Template("bad"), 4)
    world.cluster.replica_sets.clear()
    world.crank(5)
    world.delete()
    world.crank(5)
    return world


@story
def routes_that_the_release_does_not_name() -> World:
    world = idle(policy(*LONG))
    world.past = ("api", "legacy", "mobile", "partners")
    world.apply("v2")
    world.crank(10)
    return world


@story
def a_hotfix_that_is_reviewed_late() -> World:
    windows = {"timeZone": "UTC", "deny": [{"cron": "0 0 1 1 *", "for": "48h"}]}
    world = idle(policy(step(10, "2s"), step(100), bake="2s", windows=windows, hotfix={"skip": ["Window"], "review": "1m"}))
    world.type = ReleaseType.HOTFIX
    world.apply("v2")
    world.crank(5)
    wanted = world.status.wanted
    about = {"revision": wanted.revision, "digest": wanted.digest}
    deciders.decide(world, Action.OVERRIDE, "ann", reason="checkout is down", **about)
    world.crank(90)
    world.apply("v3")
    world.crank(5)
    deciders.decide(world, Action.ATTEST, "dave", role="architect", check="review", result=Result.PASSED, **about)
    world.crank(5)
    return world


@story
def a_cluster_that_is_away() -> World:
    world = idle(policy(*LONG))
    cure = "check that its API server runs, and that the operator can reach it (clusters.west.kubeconfig)"
    unread = f"nothing was heard from cluster west since Thu 2026-01-01 00:00 UTC; {cure}"
    west = UpstreamView(release="checkout", namespace="staging", cluster="west", unread=unread)
    world.governance = GovernanceView(upstreams=(AfterView(west, timedelta(hours=24)),))
    world.apply("v2")
    world.crank(5)
    return world


@story
def a_version_that_is_taken_over_and_back() -> World:
    world = FollowingWorld(policy(*LONG))
    finish(world)
    world.followed = UpstreamView(
        release="checkout", namespace="staging", version="v2", images={"app": "v2"}, promoted_at=at(world.now)
    )
    reach(world, 10)
    world.ask("rollback/1")
    finish(world, Phase.ROLLED_BACK)
    world.ask("resume/2")
    world.crank(5)
    return world
