"""Whatever happens in whatever order, the invariants hold, and once the world is kind again the engine comes to rest."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from simulation.cluster import APP, CANARY, CONTROLLERS, STRANGER, USER, Controller
from simulation.effort import TIMES
from simulation.followed import FollowingWorld
from simulation.governors import denied
from simulation.oracle import Oracle
from simulation.views import at
from simulation.world import KINDS, World
from tidegate.api.names import Condition, Phase
from tidegate.api.policy import RolloutPolicySpec
from tidegate.api.windows import During
from tidegate.engine.handover.deployment.view import Owner
from tidegate.governance.freezes import FreezeView
from tidegate.governance.upstreams import AfterView, UpstreamView
from tidegate.governance.view import UNGOVERNED

IMAGES = ("v1", "v2", "v3", "v4")
POLICY = {
    "steps": [{"weight": 0, "replicas": 1}, {"weight": 10, "hold": "6s"}, {"weight": 50, "hold": "4s"}, {"weight": 100}],
    "gates": [
        {"name": name, "metric": {"promql": {"canary": "x", "unit": "Ratio"}}, "threshold": {"max": 0.01}, "onBreach": action}
        | {"interval": "2s", "minSamples": 0, "onNoData": no_data}
        for name, action, no_data in (
            ("errors", "Rollback", {"then": "Fail", "after": "20s"}),
            ("latency", "Pause", {"then": "Hold"}),
            ("noise", "Warn", {"then": "Hold"}),
        )
    ],
    "bake": "5s",
    "drain": "3s",
    "progressDeadline": "30s",
}
SPEC = RolloutPolicySpec.model_validate(POLICY)
GATES = ("errors", "latency", "noise")
GOALS: dict[str, Callable[[World], bool]] = {
    "a preview": lambda world: world.status.step is not None,
    "a little weight": lambda world: world.status.weight == 10,
    "half the weight": lambda world: world.status.weight == 50,
    "all the weight": lambda world: world.status.weight == 100,
    "promotion": lambda world: world.status.phase is Phase.PROMOTING,
    "adoption": lambda world: bool(world.cluster.owned(Owner.NOBODY)),
}
REST = {Condition.READY, Condition.STALLED}


class Rollouts(RuleBasedStateMachine):
    """People, controllers, routers, Prometheus and crashes in any order."""

    goals = GOALS

    @initialize(
        routes=st.sampled_from([("web",), ("web",), ("web", "api"), ()]),
        pin=st.booleans(),
        admission=st.sampled_from([True, True, False]),
        adopted=st.sampled_from([True, True, True, False]),
        delay=st.sampled_from([0.0, 0.0, 0.0, 2.5]),
        warms=st.sampled_from([False, False, True]),
        applied=st.booleans(),
    )
    def begin(
        self,
        routes: tuple[str, ...],
        pin: bool,
        admission: bool,
        adopted: bool,
        delay: float = 0.0,
        warms: bool = False,
        applied: bool = False,
    ) -> None:
        self.world = self.new_world(routes=routes, pin=pin, admission=admission)
        self.world.cluster.delay, self.world.cluster.warms = delay, warms
        for route in self.world.cluster.routes.values():
            route.applied = applied
        self.oracle = self.oracle_of(self.world)
        self.asked = 0
        if adopted:
            self.spend(4.0)

    def new_world(self, *, routes: tuple[str, ...], pin: bool, admission: bool) -> World:
        return FollowingWorld(POLICY, routes=routes, pin=pin, admission=admission)

    def oracle_of(self, world: World) -> Oracle:
        return Oracle(world)

    def _pass(self, crash_after: int | None = None) -> None:
        self.oracle.passed(self.world.operate(crash_after=crash_after))

    # The operator and the controllers.

    @rule(image=st.sampled_from(IMAGES), seconds=st.sampled_from([0, 6, 12, 18, 25, 40]))
    def roll_out(self, image: str, seconds: int) -> None:
        self._apply(image)
        self.spend(float(seconds))

    def _apply(self, image: str) -> None:
        if self.world.cluster.deployment and self.world.cluster.deployment.template.image != image:
            self.oracle.judged = set()  # What the controller does to the pods of a template that is gone is its own affair.
            self.oracle.raced = self.oracle.raced or bool(self.world.cluster.owned(Owner.NOBODY))
        self.world.apply(image)

    @rule(image=st.sampled_from(IMAGES), seconds=st.sampled_from([0, 6, 18, 40]))
    def upgrade_the_chart(self, image: str, seconds: int) -> None:
        """Service and Deployment come together, and the Service selects the pods of that version alone."""
        if USER in self.world.cluster.services:
            self.world.cluster.services[USER].version = image
        self.roll_out(image, seconds)

    @rule(image=st.sampled_from(IMAGES), goal=st.sampled_from(sorted(GOALS)))
    def reach(self, image: str, goal: str) -> None:
        """A version is rolled out undisturbed to a point, so that what follows happens there."""
        self._apply(image)
        for _ in range(140):
            if self.goals[goal](self.world):
                return
            self._tick(0.5)
            self._pass()

    @rule(before=st.sampled_from(IMAGES), after=st.sampled_from(IMAGES), seconds=st.sampled_from([0, 1, 5]))
    def change_right_after_adoption(self, before: str, after: str, seconds: int) -> None:
        """A version is adopted, and another template comes in that very moment, with the operator at work or dead."""
        self.reach(image=before, goal="adoption")
        self._apply(after)
        self.be_dead(seconds)
        self._pass()

    @rule(
        image=st.sampled_from(IMAGES),
        replicas=st.sampled_from([8, 3, 2]),
        seconds=st.sampled_from([0, 1, 5]),
        looked=st.booleans(),
    )
    def scale_amid_adoption(self, image: str, replicas: int, seconds: int, looked: bool) -> None:
        """A version is adopted, and an autoscaler scales in that very moment; the controller may have looked just before that."""
        self.reach(image=image, goal="adoption")
        self.scale(replicas)
        if looked:
            self.world.cluster.scale_before_the_adoption()
        self.be_dead(seconds)
        self._pass()

    @rule(image=st.sampled_from(IMAGES), seconds=st.sampled_from([1, 5, 20]))
    def let_go(self, image: str, seconds: int) -> None:
        """A version is held in the middle of its rollout, and a person resumes the Deployment while the operator is dead."""
        self.reach(image=image, goal="a little weight")
        self.people("resume")
        self.be_dead(seconds)
        self._pass()

    @rule(seconds=st.sampled_from([0.5, 2.0, 5.0, 12.0, 30.0]))
    def spend(self, seconds: float) -> None:
        """The operator is at work."""
        every = 0.5 if seconds < 20 else 1.0
        for _ in range(round(seconds / every)):
            self._tick(every)
            self._pass()

    @rule(seconds=st.sampled_from([1, 5, 20]))
    def be_dead(self, seconds: int) -> None:
        """The operator is dead, and the rest of the world goes on."""
        self.world.die()
        for _ in range(seconds):
            self._tick(1.0, looks=False)

    def _tick(self, seconds: float, *, looks: bool = True) -> None:
        world = self.world
        world.cluster.now = round(world.cluster.now + seconds, 3)
        world.cluster.tick()
        self.oracle.instant()
        for due in world.last.plan.looks if world.last and looks else ():
            world.look(due.gate, world.quality.get(due.gate, 0.0), trouble=world.prometheus_trouble)

    @rule(controllers=st.lists(st.sampled_from(CONTROLLERS), min_size=1, max_size=3))
    def interleave(self, controllers: list[Controller]) -> None:
        """Some controllers are faster than the operator, others slower."""
        self.world.cluster.tick(*controllers)
        self._pass()

    @rule(writes=st.integers(0, 5))
    def crash(self, writes: int) -> None:
        """The operator is killed after so many writes of a pass."""
        self._pass(crash_after=writes)

    @precondition(lambda self: not self.world.stale)
    @rule()
    def soon_has_nothing_to_write(self) -> None:
        """Without news, the operator writes nothing after a few passes."""
        for _ in range(12):
            self._pass()
            if not self.world.last.writes or self.world.gone:
                return
        raise AssertionError(f"writes again and again: {self.world.last.writes}")

    # Gates.

    @precondition(lambda self: self.world.status.weight > 0)
    @rule(gate=st.sampled_from(GATES), value=st.sampled_from([0.5, 0.5, None]), seconds=st.sampled_from([0, 3, 25]))
    def breach(self, gate: str, value: float | None, seconds: int) -> None:
        """Prometheus says for a while that something is wrong, or nothing."""
        self.world.quality[gate] = value
        self.world.look(gate, value)
        self.spend(float(seconds))
        self.world.quality = {}

    @precondition(lambda self: self.world.status.weight > 0)
    @rule(trouble=st.sampled_from(["", "connection refused"]))
    def prometheus_is_away(self, trouble: str) -> None:
        self.world.prometheus_trouble = trouble

    # People and GitOps tools.

    @rule(
        verb=st.sampled_from(
            ["promote", "promote", "rollback", "rollback-and-hold", "pause", "resume", "resume", "retry", "retry", "dance"]
        )
    )
    def ask(self, verb: str) -> None:
        self.asked += 1
        self.world.ask(f"{verb}/{self.asked}")
        self._pass()

    @rule(seconds=st.sampled_from([2, 10, 40]), begins=st.sampled_from([-5, 0, 8]), unread=st.sampled_from(["", "", "forbidden"]))
    def freeze(self, seconds: int, begins: int, unread: str) -> None:
        """A person freezes releases for a while, or nobody can tell whether somebody did."""
        now = self.world.now
        freeze = FreezeView("incident", "payments are down", at(now + begins), at(now + max(begins, 0) + seconds))
        self.world.governance = replace(self.world.governance, freezes=(freeze,), freezes_unread=unread)
        self._pass()

    @rule(
        image=st.sampled_from(IMAGES),
        soak=st.sampled_from([0, 10, 60]),
        ago=st.sampled_from([-5, 0, 30]),
        rolled_back=st.sampled_from([None, None, 0, 20]),
        more=st.sampled_from([{}, {}, {}, {"exists": False}, {"unread": "away"}, {"rolling_back": True}, {"promoted_at": None}]),
    )
    def upstream(self, image: str, soak: int, ago: int, rolled_back: int | None, more: dict[str, Any]) -> None:
        """Staging promotes a version that has to soak there, or has had one rolled back, or nothing is known of it."""
        now = self.world.now
        moments = {"promoted_at": at(now - ago), "rolled_back_at": None if rolled_back is None else at(now - rolled_back)}
        known = {"release": "checkout", "namespace": "staging", "version": image, "images": {"app": image}, **moments, **more}
        after = AfterView(UpstreamView(**known), timedelta(seconds=soak))
        self.world.governance = replace(self.world.governance, upstreams=(after,))
        self._pass()

    @rule(minute=st.sampled_from([0, 0, 1]), minutes=st.sampled_from([1, 2]), during=st.sampled_from(During))
    def windows(self, minute: int, minutes: int, during: During) -> None:
        """The policy gets windows, which are shut from this minute on, or from the next one."""
        windows = denied(at(self.world.now + 60 * minute), timedelta(minutes=minutes), during)
        self.world.policy = RolloutPolicySpec.model_validate(POLICY | {"windows": windows})
        self._pass()

    @rule()
    def next_minute(self) -> None:
        """Time goes on to where windows open or shut."""
        self._tick(60.0 - self.world.now % 60.0)
        self._pass()

    @precondition(lambda self: self.world.traffic_gone or self.world.status.original_rules)
    @rule()
    def take_the_traffic_out(self) -> None:
        """Somebody takes the traffic out of the Release while its routes are shifted, or puts it back in when nothing is on."""
        if not self.world.traffic_gone or self.world.status.original_rules or self.world.status.rollout is None:
            self.world.traffic_gone = not self.world.traffic_gone

    @rule(replicas=st.sampled_from([4, 8, 2, 0]))
    def scale(self, replicas: int) -> None:
        self.world.cluster.scale(replicas)
        self.oracle.judged = set()

    @precondition(lambda self: isinstance(self.world, FollowingWorld) and not self.world.written)
    @rule(
        image=st.sampled_from(IMAGES),
        soak=st.sampled_from([0, 0, 10]),
        more=st.sampled_from([None, {}, {}, {}, {"exists": False}, {"rolling_back": True}]),
    )
    def follow(self, image: str, soak: int, more: dict[str, Any] | None) -> None:
        """The Release follows that of staging, which promotes a version now; or follows it no more."""
        known = {"release": "checkout", "namespace": "staging", "version": image, "images": {"app": image}}
        found = None if more is None else UpstreamView(promoted_at=at(self.world.now), **known, **more)
        self.world.followed, self.world.soak = found, timedelta(seconds=soak)
        self._pass()

    @precondition(lambda self: getattr(self.world, "followed", None) is None)
    @rule(image=st.sampled_from(IMAGES))
    def overlay(self, image: str) -> None:
        self.world.images = {"app": image} if self.world.images.get("app") != image else {}

    @rule(what=st.sampled_from(["restart", "resume", "undo", "resync", "resync"]))
    def people(self, what: str) -> None:
        world, deployment = self.world, self.world.cluster.deployment
        self.oracle.judged = set()
        match what:
            case "restart" if deployment is not None:
                world.apply(deployment.template.image, "" if deployment.template.restarted else "r")
            case "resume":
                self.oracle.bypassed = True
                world.resume()
            case "undo":
                world.undo()
            case "resync" if world.route_names:
                world.resync("web")

    @precondition(lambda self: self.asked > 1)
    @rule()
    def delete(self) -> None:
        self.world.delete()

    # Nuisances.

    @rule(image=st.sampled_from(IMAGES), down=st.booleans())
    def probes(self, image: str, down: bool) -> None:
        """All pods of an image fail their readiness probe, or pass it again."""
        for rs in self.world.cluster.replica_sets.values():
            if rs.template.image == image:
                for pod in rs.pods:
                    pod.down = down

    @rule(image=st.sampled_from(IMAGES), pods=st.sampled_from([1, 2, 100, 100]), back=st.sampled_from([0.5, 2.0, 15.0]))
    def crash_containers(self, image: str, pods: int, back: float) -> None:
        """Containers of an image end and are started again, at once or after a back-off."""
        self.world.crash(image, pods=pods, back=back)

    @rule(
        image=st.sampled_from(IMAGES),
        goal=st.sampled_from(["half the weight", "all the weight", *sorted(GOALS)]),
        pods=st.sampled_from([1, 3, 100]),
        seconds=st.sampled_from([1, 4]),
    )
    def crash_twice(self, image: str, goal: str, pods: int, seconds: int) -> None:
        """A version loses pods wherever it is on its way, they come back, and it loses them again."""
        for _ in range(2):
            self.reach(image=image, goal=goal)
            self.world.crash(image, pods=pods)
            self.spend(float(seconds))

    @rule(
        image=st.sampled_from(IMAGES),
        goal=st.sampled_from(["a little weight", "half the weight", "all the weight"]),
        writes=st.sampled_from([1, 1, 2]),
        dead=st.sampled_from([0.5, 1.0, 6.0]),
    )
    def crash_unnoted(self, image: str, goal: str, writes: int, dead: float) -> None:
        """A version loses its pods, and the operator is killed once it has shut the route, over and over."""
        for _ in range(2):
            self.reach(image=image, goal=goal)
            self._tick(1.0)
            self.world.crash(image, back=0.5)
            self.world.cluster.tick("slices")
            self._pass(crash_after=writes)
            self._tick(dead, looks=False)
            self.spend(1.0)

    @precondition(lambda self: "web" in self.world.cluster.routes)
    @rule()
    def a_parent_never_speaks(self) -> None:
        """The route has another parent, by a controller that says nothing."""
        self.world.cluster.routes["web"].mute = "Gateway internal"

    @rule(
        what=st.sampled_from(
            [
                "router",
                "policy",
                "slow",
                "never",
                "lag",
                "lag",
                "service",
                "slices",
                "lists",
                "stranger",
                "shared",
                "bound",
                "port",
                "all is well",
            ]
        ),
        kind=st.sampled_from(KINDS),
    )
    def nuisance(self, what: str, kind: str) -> None:
        world = self.world
        match what:
            case "router":
                world.cluster.router_works = False
            case "policy":
                world.policy = None
            case "slow":
                world.cluster.start_up = dict.fromkeys(IMAGES[1:], 12.0)
            case "never":
                world.cluster.start_up = dict.fromkeys(IMAGES[1:3])
            case "lag":
                world.stale = {kind}
            case "service":
                world.cluster.services.pop(CANARY, None)
            case "slices":
                world.cluster.behind = {USER}
            case "lists":
                world.readable = False
            case "shared" | "bound":
                world.shared, world.unfollowed = world.shared or what == "shared", world.unfollowed or what == "bound"
            case "port":
                # Pods that are made from now on call their port otherwise than the Service does.
                world.cluster.ports = dict.fromkeys(IMAGES[1:3], "web")
            case "stranger" if USER in world.cluster.services:
                world.cluster.services[USER].app = STRANGER
            case _:
                self._be_kind()

    def _be_kind(self) -> None:
        world = self.world
        world.stale, world.quality, world.prometheus_trouble = set(), {}, ""
        world.cluster.router_works, world.cluster.start_up, world.cluster.behind = True, {}, set()
        world.policy, world.readable, world.cluster.ports = SPEC, True, {}
        world.shared, world.unfollowed, world.governance = False, False, UNGOVERNED
        if isinstance(world, FollowingWorld):
            world.followed = None
        for route in world.cluster.routes.values():
            route.mute = ""
        for pod in (pod for rs in world.cluster.replica_sets.values() for pod in rs.pods):
            pod.port = "http"
        if USER in world.cluster.services:
            world.cluster.services[USER].app, world.cluster.services[USER].version = APP, ""

    @invariant()
    def data_plane(self) -> None:
        if hasattr(self, "oracle"):
            self.oracle.instant()

    def teardown(self) -> None:
        """The world is kind again: the engine comes to rest in bounded time, and everything is as it should be."""
        if not hasattr(self, "world"):
            return
        world = self.world
        self._be_kind()
        for rs in world.cluster.replica_sets.values():
            for pod in rs.pods:
                pod.down, pod.ready_at = False, world.now
        if world.cluster.deployment is not None and world.cluster.deployment.replicas == 0:
            world.cluster.scale(4)
        for _ in range(300):
            self._tick(1.0)
            self._pass()
            if world.status.phase is Phase.PAUSED and world.deleting is None:
                self.ask("resume")
            at_rest = not world.last.writes and any(c.type in REST and c.status == "True" for c in world.status.conditions)
            if world.gone or at_rest:
                break
        else:
            raise AssertionError(f"does not come to rest: {world.status.phase} {world.status.message}")
        self.oracle.at_rest()


TestRollouts = Rollouts.TestCase

# Whole lives take minutes beside other workers; to measure coverage would double them.
TestRollouts.pytestmark = [pytest.mark.timeout(900 * TIMES), pytest.mark.no_cover]
TestRollouts.settings = settings(
    max_examples=125 * TIMES,
    stateful_step_count=12,
    suppress_health_check=list(HealthCheck),
)


def test_a_version_that_falls_ill_after_its_adoption():
    """Given v2 that takes over while another template comes, when its pods fall ill, then nothing is written to and fro."""
    machine = Rollouts()
    machine.begin(routes=("web",), pin=False, admission=True, adopted=True)
    machine.change_right_after_adoption(before="v2", after="v3", seconds=1)

    machine.probes(image="v2", down=True)

    machine.soon_has_nothing_to_write()
    assert 100 == machine.world.status.weight
    machine.teardown()


def test_losses_of_which_none_could_be_noted():
    """Given v2 that loses its pods twice, when the operator dies each time with the route shut, then v2 stays out for good."""
    machine = Rollouts()
    machine.begin(routes=("web",), pin=False, admission=True, adopted=True)

    machine.crash_unnoted(image="v2", goal="half the weight", writes=1, dead=1.0)

    assert {"v2": 1} == machine.oracle.crashes, "of the first, the next operator knows by the pods' own words"
    machine.teardown()
    assert "v2" in {entry.version for entry in machine.world.status.rejected}
