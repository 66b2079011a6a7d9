"""Three Releases of a group, and whatever may happen to each of them, in any order: they move together, and end together."""

from __future__ import annotations

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from simulation import grouped
from simulation.effort import TIMES
from simulation.grouped import Member, Together
from simulation.policies import gate, policy, ready, rests, step
from tidegate.api.names import Phase

NAMES = ("api", "orders", "workers")
IMAGES = ("v1", "v2", "v3")
POLICIES = (
    policy(step(10, "4s"), step(50, "2s"), step(100), gates=(gate(),), bake="4s", drain="2s", progressDeadline="20s"),
    policy(step(0, replicas=1), step(25), step(50), step(100), gates=(gate(),), bake="2s", drain="2s", progressDeadline="20s"),
    policy(step(100), gates=(gate(onNoData={"then": "Pass", "after": "10s"}),), bake="6s", drain="2s", progressDeadline="20s"),
)
ANY = st.sampled_from(NAMES)


class Groups(RuleBasedStateMachine):
    """People, gates, pods and crashes, for each member by itself."""

    @initialize(policies=st.permutations([0, 1, 2]), same=st.booleans(), routed=st.booleans())
    def begin(self, policies: list[int], same: bool, routed: bool) -> None:
        routes = ("web",) if routed else ()
        members = (
            Member(name, POLICIES[0 if same else number], routes=routes) for name, number in zip(NAMES, policies, strict=True)
        )
        self.group = Together(*members)
        assert self.group.crank(15, until=lambda: all(ready(one) for one in self.group))
        self.asked = 0

    def _seen(self, member: Member) -> None:
        assert member.last is not None
        grouped.check(member, member.last)

    @rule(seconds=st.sampled_from([0.5, 2, 6, 15, 30]))
    def time_goes_by(self, seconds: float) -> None:
        self.group.crank(seconds, seen=self._seen)

    @rule(
        image=st.sampled_from(IMAGES),
        names=st.sampled_from([NAMES, NAMES, NAMES, NAMES[:2], NAMES[1:]]),
        seconds=st.sampled_from([0, 8, 16]),
    )
    def release(self, image: str, names: tuple[str, ...], seconds: int) -> None:
        """A GitOps tool applies some or all of them, one after the other."""
        for name in names:
            self.group.apply(image, name)
            self.group.crank(0.5, seen=self._seen)
        self.group.crank(seconds, seen=self._seen)

    @rule(name=ANY, image=st.sampled_from(IMAGES))
    def change_one(self, name: str, image: str) -> None:
        self.group.apply(image, name)

    @rule(name=ANY, seconds=st.sampled_from([0, 1, 10]))
    def breach(self, name: str, seconds: int) -> None:
        if self.group[name].status.weight > 0:
            self.group[name].look("errors", 0.5)
            self.group.crank(seconds, seen=self._seen)

    @rule(name=ANY, verb=st.sampled_from(["promote", "rollback", "rollback-and-hold", "pause", "resume", "retry"]))
    def ask(self, name: str, verb: str) -> None:
        self.asked += 1
        self.group[name].ask(f"{verb}/{self.asked}")

    @rule(name=ANY, image=st.sampled_from(IMAGES[1:]))
    def crash_containers(self, name: str, image: str) -> None:
        self.group[name].crash(image)

    @rule(name=ANY, start_up=st.sampled_from([None, 12.0, 1.0]))
    def pods_are_slow(self, name: str, start_up: float | None) -> None:
        self.group[name].cluster.start_up = dict.fromkeys(IMAGES[1:], start_up)

    @rule(name=ANY, replicas=st.sampled_from([0, 2, 4]))
    def scale(self, name: str, replicas: int) -> None:
        self.group[name].cluster.scale(replicas)

    @rule(name=ANY, writes=st.integers(0, 3))
    def die(self, name: str, writes: int) -> None:
        """The operator is killed in a pass of one of them, and with it all that it knew of any."""
        self.group[name].operate(crash_after=writes)
        for one in self.group:
            one.die()

    @precondition(lambda self: self.asked > 1)
    @rule(name=ANY, delete=st.booleans())
    def leave(self, name: str, delete: bool) -> None:
        """A Release is deleted, or taken out of the group, or put into it again."""
        if delete and sum(one.deleting is None for one in self.group) > 1:
            self.group[name].delete()
        else:
            self.group[name].grouped = not self.group[name].grouped

    def teardown(self) -> None:
        """The world is kind again: nobody waits for anybody without an end, but for what a person has held or was rejected."""
        if not hasattr(self, "group"):
            return
        for one in self.group:
            one.cluster.start_up = {}
            if one.cluster.deployment is not None and one.cluster.deployment.replicas == 0:
                one.cluster.scale(4)
        for _ in range(240):
            self.group.crank(1, seen=self._seen)
            for one in self.group:
                if one.deleting is None and (one.status.phase is Phase.PAUSED or one.status.held is not None):
                    self.asked += 1
                    one.ask(f"resume/{self.asked}")
            if all(one.gone or rests(one) or self._waits_for_a_person(one) for one in self.group):
                return
        raise AssertionError([f"{one.name} {one.status.phase}: {one.status.message}" for one in self.group])

    def _waits_for_a_person(self, one: Member) -> bool:
        """Whether a member waits for another version of one that was rejected, and says so."""
        return one.status.phase is Phase.WAITING and "or a retry:" in one.status.message


TestGroups = Groups.TestCase
TestGroups.pytestmark = [pytest.mark.timeout(900 * TIMES), pytest.mark.no_cover]
TestGroups.settings = settings(max_examples=12 * TIMES, stateful_step_count=10, suppress_health_check=list(HealthCheck))
