"""Every wait there is: each has a deadline or a reason for none, each is met in a story, and no rule waits for anything else."""

from __future__ import annotations

import ast
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

import tidegate.engine
from messages.migrated import a_version_from_before_a_contract, migrates
from simulation.cluster import CANARY, STABLE, STRANGER, USER, Template
from simulation.deciders import approve, decide
from simulation.flagd import FLAGS, boolean
from simulation.grouped import gathering
from simulation.policies import at_weight, condition, events, finish, gate, idle, policy, reach, step
from simulation.views import at, warm_of
from simulation.world import World
from tidegate.api.decision import Action
from tidegate.api.names import Cause, Phase, Reason
from tidegate.engine.handover.deployment.actions import Adopt, Detach, Hold, Scale, SetImages
from tidegate.engine.handover.deployment.view import Owner
from tidegate.engine.plan import PinService
from tidegate.engine.snapshot import Blocker
from tidegate.engine.waits import Bound, Wait
from tidegate.governance.freezes import FreezeView
from tidegate.governance.upstreams import AfterView, UpstreamView
from tidegate.governance.view import GovernanceView

ENGINE = Path(tidegate.engine.__file__).parent
TREES = {path.name: ast.parse(path.read_text()) for path in sorted(ENGINE.rglob("*.py"))}
TROUBLESHOOTING = (Path(__file__).parents[3] / "docs/troubleshooting.md").read_text()
STEPS = (step(50, "5s"), step(100))
COUNTERS = {"counters": {side: {"bad": "failed", "total": "all"} for side in ("canary", "stable")}}
LONG = (step(50, "1h"), step(100))
MUTE = "Gateway internal"


STORIES: dict[Wait, Callable[[], World]] = {}


def of(*waits: Wait) -> Callable[[Callable[[], World]], Callable[[], World]]:
    """Tell which wait a story is of, or which it meets one after the other."""

    def noted(story: Callable[[], World]) -> Callable[[], World]:
        STORIES.update(dict.fromkeys(waits, story))
        return story

    return noted


def promoting(**more: object) -> World:
    """A world in which v2 is about to be adopted, and the Deployment is not."""
    world = at_weight(100, policy(step(100), bake="3s"), **more)
    world.refused = (Adopt,)
    assert world.crank(30, until=lambda: world.status.phase is Phase.PROMOTING), world.status.message
    return world


def kill(world: World, image: str) -> None:
    """Make all pods of an image unready."""
    for rs in world.cluster.replica_sets.values():
        for pod in rs.pods if rs.template.image == image else ():
            pod.down = True


# Before a rollout.


@of(Wait.FIRST_VERSION)
def a_first_version_that_does_not_start() -> World:
    world = World(policy())
    world.cluster.start_up["bad"] = None
    world.cluster.create_deployment(Template("bad"), 4)
    world.cluster.replica_sets.clear()
    world.crank(5)
    return world


@of(Wait.SELECTION)
def pods_that_cannot_be_listed() -> World:
    world = World(policy())
    world.readable = False
    world.crank(5)
    return world


@of(Wait.BINDING)
def policies_that_cannot_be_listed() -> World:
    world = idle(policy(*STEPS))
    world.readable = False
    world.apply("v2")
    world.crank(5)
    return world


@of(Wait.NATIVE_RESTART)
def a_restart() -> World:
    world = idle(policy(*STEPS))
    world.cluster.start_up["v1"] = 10
    world.apply("v1", "now")
    world.crank(5)
    return world


@of(Wait.RESUME)
def a_hold_by_a_person() -> World:
    world = idle(policy(*STEPS))
    world.ask("rollback-and-hold/1")
    world.apply("v2")
    world.crank(5)
    return world


@of(Wait.FROZEN)
def a_freeze() -> World:
    world = idle(policy(*STEPS))
    world.governance = GovernanceView(freezes=(FreezeView("incident", "payments are down", at(world.now)),))
    world.apply("v2")
    world.crank(5)
    return world


@of(Wait.RULE)
def a_rule_that_fails(**more: object) -> World:
    world = idle(policy(*STEPS, **(more or {"rules": [{"when": "labels.team == 'cart'", "set": {"bake": "1m"}}]})))
    world.apply("v2")
    world.crank(5)
    return world


@of(Wait.WINDOW)
def windows_that_are_shut() -> World:
    return a_rule_that_fails(windows={"timeZone": "UTC", "deny": [{"cron": "0 0 1 1 *", "for": "1h", "reason": "new year"}]})


@of(Wait.UPSTREAM)
def a_version_that_staging_has_not_proved() -> World:
    world = idle(policy(*STEPS))
    staging = UpstreamView(release="checkout", namespace="staging", version="v1", images={"app": "v1"}, promoted_at=at(0))
    world.governance = GovernanceView(upstreams=(AfterView(staging),))
    world.apply("v2")
    world.crank(5)
    return world


of(Wait.GROUP)(lambda: gathering(policy(*STEPS)))


@of(Wait.CHECK)
def a_check_that_nobody_has_attested() -> World:
    world = idle(policy(*STEPS, checks=[{"name": "security-scan", "at": "Start", "attested": {"role": "ci"}}]))
    world.apply("v2")
    world.crank(5)
    return world


of(Wait.MIGRATION)(lambda: migrates("expand"))
of(Wait.CONTRACTED)(a_version_from_before_a_contract)


@of(Wait.APPROVAL)
def a_vote_that_is_missing() -> World:
    world = idle(policy(*STEPS, approvals=[{"at": "Start", "roles": {"qa": 2}}]))
    world.apply("v2")
    world.crank(5)
    approve(world)
    world.crank(2)
    return world


@of(Wait.FLAG, Wait.FLAG_SET, Wait.FLAGS_BACK)
def a_flag_that_is_not_defined_then_set_and_cannot_be_restored() -> World:
    world = idle(policy(step(50, "1h") | {"flags": [{"name": "feature", "percent": 10}]}, step(100)))
    world.flags.spec = FLAGS
    world.apply("v2")
    world.crank(5)
    world.flags.there = {"new-checkout": boolean()}
    assert world.crank(60, until=lambda: world.flags.written > 0)
    world.flags.refused = "may not be set"
    world.delete()
    world.crank(40)
    return world


@of(Wait.RIGHTS)
def rights_that_nobody_can_ask_for() -> World:
    world = at_weight(50, policy(*LONG))
    world.readable = False
    decide(world, Action.PROMOTE)
    world.crank(5)
    return world


@of(Wait.TRAFFIC_LATER)
def traffic_that_is_taken_out_amid_a_rollout() -> World:
    world = at_weight(50, policy(*LONG))
    world.traffic_gone = True
    world.cluster.router_delay = 10
    world.ask("rollback/1")
    world.crank(15)
    world.apply("v3")
    world.crank(60)
    return world


@of(Wait.DEPLOYMENT_HELD)
def a_template_that_nothing_holds() -> World:
    world = idle(policy(*STEPS), admission=False)
    world.refused = (Hold,)
    world.cluster.set_paused(False)
    world.apply("v2")
    world.operate()
    return world


@of(Wait.SCALED_UP)
def nothing_that_serves() -> World:
    world = idle(policy(*STEPS))
    world.cluster.scale(0)
    world.crank(5)
    world.apply("v2")
    world.crank(5)
    return world


@of(Wait.BYPASSED_PODS)
def a_rollout_past_the_hold() -> World:
    world = idle(policy(*STEPS))
    world.refused = (Scale,)
    world.cluster.start_up["v2"] = None
    world.apply("v2")
    world.cluster.set_paused(False)
    world.cluster.tick()
    world.crank(5)
    world.apply("v3")
    world.crank(5)
    return world


# The way up.


@of(Wait.ROUTE_PREPARED)
def a_parent_that_never_speaks() -> World:
    world = idle(policy(*STEPS))
    world.cluster.routes["web"].mute = MUTE
    world.apply("v2")
    world.crank(20)
    return world


@of(Wait.OWN_SERVICES)
def services_without_endpoints() -> World:
    world = idle(policy(*STEPS))
    world.cluster.behind = {"checkout-stable", "checkout-canary"}
    world.apply("v2")
    world.crank(20)
    return world


@of(Wait.ROUTE_CARRIES)
def a_parent_that_is_added_while_the_weight_is_on_its_way() -> World:
    world = idle(policy(*STEPS))
    world.apply("v2")
    assert world.crank(30, until=lambda: world.status.weight == 50)
    world.cluster.routes["web"].mute = MUTE
    world.crank(20)
    return world


@of(Wait.ROUTER_AWAY)
def a_router_that_goes_away() -> World:
    world = idle(policy(*STEPS))
    world.apply("v2")
    assert world.crank(30, until=lambda: world.status.weight == 50)
    world.cluster.router_works = False
    world.crank(20)
    return world


@of(Wait.PODS)
def pods_that_do_not_start() -> World:
    world = idle(policy(*STEPS))
    world.cluster.start_up["v2"] = None
    world.apply("v2")
    world.crank(20)
    return world


@of(Wait.WARMED)
def a_parent_that_never_speaks_again_while_a_backend_is_warm() -> World:
    world = idle(policy(*STEPS))
    world.cluster.warms = True
    world.apply("v2")
    assert world.crank(30, until=lambda: warm_of(world.cluster.routes["web"].backends) == (STABLE, CANARY))
    world.cluster.router_works = False
    world.crank(20)
    return world


@of(Wait.LOSS_EXPLAINED)
def pods_that_crash() -> World:
    world = at_weight(50, policy(*LONG))
    pod = next(rs for rs in world.cluster.replica_sets.values() if rs.template.image == "v2").pods[0]
    pod.down = True
    world.crank(1)
    pod.down = False
    world.crank(2)
    return world


@of(Wait.DATA_PLANE)
def a_data_plane_that_is_behind_the_word_of_its_controller() -> World:
    world = idle(policy(*LONG))
    world.cluster.delay = 3.0
    world.apply("v2")
    world.crank(30, until=lambda: world.status.weight == 50)
    world.crank(2)
    return world


@of(Wait.REMOVAL)
def a_permission_that_is_taken_away() -> World:
    world = at_weight(50, policy(*STEPS))
    world.blockers = (Blocker(Reason.NO_PERMISSION, "list pods: forbidden"),)
    world.crank(20)
    return world


@of(Wait.GATE)
def a_gate_that_is_beyond_its_limit_once() -> World:
    world = at_weight(50, policy(*STEPS, gates=(gate(failureLimit=20),)))
    world.quality["errors"] = 0.5
    world.crank(20)
    return world


@of(Wait.SCORE)
def gates_that_are_undecided_together() -> World:
    limit = {"versusStable": {"maxIncrease": {"points": 1}}}
    counted = {"name": "errors", "metric": COUNTERS, "interval": "2s", "minSamples": 10, "requireProof": True} | limit
    world = at_weight(50, policy(*STEPS, gates=(counted,), scoring={"pass": 90, "warn": 75}))
    world.look("errors", 0.01, stable=0.01, requests=50)
    world.crank(8)
    return world


@of(Wait.FIRST_LOOK)
def an_operator_that_starts_amid_a_rollout() -> World:
    world = at_weight(50, policy(step(50, "40s"), step(100), gates=(gate(interval="30s"),)))
    world.crank(39)
    world.die()
    for _ in range(6):
        world.cluster.now += 0.5
        world.operate()
    return world


# Promotion.


@of(Wait.OLD_PODS)
def a_promotion() -> World:
    world = at_weight(100, policy(step(100), bake="3s"))
    finish(world)
    return world


@of(Wait.ADOPTED)
def an_adoption() -> World:
    return a_promotion()


@of(Wait.HOLD_ENDS)
def a_hold() -> World:
    return at_weight(50, policy(*LONG))


@of(Wait.RELEASED)
def a_deployment_that_cannot_be_released() -> World:
    world = at_weight(100, policy(step(100), bake="3s"))
    world.refused = (Hold,)
    world.crank(60)
    return world


@of(Wait.OLD_ENDPOINTS)
def old_pods_that_are_endpoints_still() -> World:
    world = World(policy(step(100), bake="3s"))
    user = world.cluster.services[USER]
    user.target = "8080"
    assert world.crank(10, until=lambda: condition(world, "Ready"))
    world.crank(70)
    world.cluster.numbers["v2"], user.target = "9090", "9090"
    world.apply("v2")
    assert world.crank(60, until=lambda: world.status.phase is Phase.PROMOTING)
    world.cluster.behind = {USER, "checkout-stable"}
    world.crank(10)
    return world


@of(Wait.REPLICA_SET)
def a_deployment_that_somebody_deletes() -> World:
    world = promoting()
    world.cluster.deployment = None
    world.operate()
    return world


@of(Wait.OTHERS_SERVICE)
def a_service_that_is_led_astray() -> World:
    world = promoting()
    world.cluster.services[USER].app = STRANGER
    world.crank(5)
    return world


@of(Wait.HELD_FOR_ADOPTION)
def a_deployment_that_is_let_go_before_the_adoption() -> World:
    world = promoting()
    world.refused = (Adopt, Hold)
    world.cluster.deployment.paused = False
    world.operate()
    return world


@of(Wait.OBSERVED)
def a_deployment_controller_that_is_away() -> World:
    world = promoting()
    world.cluster.deployment.generation += 1
    world.operate()
    return world


@of(Wait.TEMPLATE_WRITTEN)
def images_that_the_release_lays_over() -> World:
    world = idle(policy(step(100), bake="3s"))
    world.refused = (SetImages,)
    world.images = {"app": "v2"}
    world.crank(60)
    return world


@of(Wait.DUPLICATE)
def a_second_replica_set_of_the_same_template() -> World:
    world = promoting()
    world.refused = (Adopt, Detach)
    world.cluster.deployment.paused = False
    rs = next(rs for rs in world.cluster.replica_sets.values() if rs.template.image == "v2")
    duplicate = replace(rs, name="checkout-duplicate", revision="duplicate", owner=Owner.DEPLOYMENT, wanted=0, pods=[])
    world.cluster.replica_sets[duplicate.name] = duplicate
    world.cluster.deployment.paused = True
    world.operate()
    return world


@of(Wait.ALL_PODS)
def a_scaling_amid_the_promotion() -> World:
    world = promoting()
    world.cluster.start_up["v2"] = None
    world.cluster.scale(6)
    world.crank(5)
    return world


@of(Wait.FULL_ROUTE)
def a_router_that_goes_away_amid_the_promotion() -> World:
    world = promoting()
    world.cluster.router_works = False
    world.resync()
    world.crank(5)
    return world


@of(Wait.STABLE_DRAINED)
def requests_of_stable_that_was_warm() -> World:
    world = idle(policy(step(100), bake="3s"))
    world.cluster.warms = True
    world.apply("v2")
    finish(world)
    return world


@of(Wait.SERVICE_PINNED)
def a_pin_that_is_refused() -> World:
    world = idle(policy(step(100), bake="3s"), pin=True)
    world.crank(5)
    world.refused = (PinService,)
    world.apply("v2")
    world.crank(60)
    return world


# The way back.


@of(Wait.NEW_PODS)
def a_rollback() -> World:
    world = at_weight(50, policy(*LONG))
    world.ask("rollback/1")
    finish(world, Phase.ROLLED_BACK)
    return world


@of(Wait.RECORDED)
def a_release_that_is_deleted_amid_a_rollout() -> World:
    world = at_weight(50, policy(*LONG))
    world.delete()
    assert world.crank(60, until=lambda: bool(world.archive.records)), world.status.message
    return world


@of(Wait.ROLLBACK_FIRST)
def a_retry_amid_a_rollback() -> World:
    world = at_weight(50, policy(*LONG))
    world.ask("rollback/1")
    world.crank(1)
    world.ask("retry/2")
    world.operate()
    return world


@of(Wait.ROUTES_BACK)
def a_router_that_takes_its_time() -> World:
    world = at_weight(50, policy(*LONG))
    world.cluster.router_delay = 2
    world.ask("rollback/1")
    finish(world, Phase.ROLLED_BACK)
    return world


@of(Wait.ROUTER_SILENT)
def a_rollback_that_no_router_takes_in() -> World:
    world = at_weight(50, policy(*LONG))
    world.cluster.router_works = False
    world.cluster.routes["web"].mute = MUTE
    world.ask("rollback/1")
    world.crank(20)
    return world


@of(Wait.SERVICE_ASTRAY)
def a_service_that_was_changed_for_the_version_that_goes() -> World:
    world = World(policy(*LONG))
    user = world.cluster.services[USER]
    user.version = "v1"
    assert world.crank(10, until=lambda: condition(world, "Ready"))
    world.crank(70)
    user.version = "v2"
    world.apply("v2")
    reach(world, 50)
    world.ask("rollback/1")
    world.crank(60)
    return world


@of(Wait.SERVICE_GONE)
def a_service_that_is_gone() -> World:
    world = at_weight(50, policy(*LONG))
    world.ask("rollback/1")
    del world.cluster.services[USER]
    world.crank(30)
    return world


@of(Wait.PINNABLE)
def a_pinned_version_without_ready_pods() -> World:
    world = at_weight(50, policy(*LONG), pin=True)
    world.refused = (PinService,)
    world.ask("rollback/1")
    world.cluster.services[USER].revision = "gone"
    kill(world, "v1")
    world.crank(20)
    return world


@of(Wait.SERVICE_ENDPOINTS)
def a_service_whose_endpoints_lag() -> World:
    world = at_weight(50, policy(*LONG))
    world.cluster.behind = {USER}
    world.cluster.services[USER].addresses = frozenset()
    world.ask("rollback/1")
    world.crank(30)
    return world


@pytest.mark.parametrize("wait", list(Wait), ids=lambda wait: wait.name)
def test_every_wait_is_met_and_told_by_its_own_name(wait: Wait):
    """There is a story in which it is what people are told; and where it needs a person, the Release is Stalled then."""
    world = STORIES[wait]()

    assert wait in world.words, world.status.message
    if wait.terms.person:
        assert condition(world, "Stalled"), world.status.message


@pytest.mark.parametrize("wait", list(Wait), ids=lambda wait: wait.name)
def test_every_wait_has_its_line_in_the_docs(wait: Wait):
    """What people are told that is waited for is found in docs/troubleshooting.md by how it begins."""
    told = STORIES[wait]().words[wait]
    for ours, theirs in (
        ("v1", "v1.4.2"),
        ("v2", "v1.5.0"),
        ("web", "checkout"),
        ("50%", "10%"),
        ("01:00:18", "10:00:33"),
        ("errors: errors", "errors: ..."),
    ):
        told = told.replace(ours, theirs)

    assert f"waits {' '.join(told.split()[:4])}" in TROUBLESHOOTING


@pytest.mark.parametrize("wait", list(Wait), ids=lambda wait: wait.name)
def test_every_wait_has_a_deadline_or_a_reason_for_none(wait: Wait):
    """One of both, and not both."""
    assert (wait.terms.bound is Bound.NONE) == bool(wait.terms.why)
    assert wait.terms.ends


@pytest.mark.parametrize(
    "wait", [wait for wait in Wait if wait.terms.bound in {Bound.PODS, Bound.ROUTE}], ids=lambda wait: wait.name
)
def test_progress_deadline_ends_what_it_bounds(wait: Wait):
    """After the policy's minute the rollout is taken back, with what it has waited for, and without a verdict on the version."""
    world = STORIES[wait]()

    world.crank(70)

    ended = world.status.rollout.undo if world.status.rollout else world.status.last_rollout.cause
    assert ended is Cause.DEADLINE
    assert "within 1m" in events(world, "RollingBack")[0]


def test_no_rule_waits_for_anything_else():
    """All of the table is used, by name, and rules return what they wait for: `decide` alone notes it."""
    found = {
        node.attr
        for name, tree in TREES.items()
        if name != "waits.py"
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "Wait"
    }
    assert {wait.name for wait in Wait} == found
    notes = {name for name, tree in TREES.items() for node in ast.walk(tree) if is_call_of(node, "wait_for")}
    assert {"decide.py"} == notes


def is_call_of(node: ast.AST, method: str) -> bool:
    """Tell whether a node calls a method of that name."""
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == method
