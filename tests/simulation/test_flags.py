"""Whole lives with flags: those of an undone version are what they were before it, and what is switched stays so."""

from __future__ import annotations

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import rule

from simulation.deciders import decide
from simulation.effort import TIMES
from simulation.flagd import FLAGS, boolean
from simulation.test_invariants import IMAGES, POLICY, Rollouts
from simulation.views import at
from simulation.world import World
from tidegate.api.decision import Action, DecisionOutcome
from tidegate.api.flags import Position
from tidegate.api.policy import RolloutPolicySpec
from tidegate.api.status import Outcome
from tidegate.governance.flags import Setting

FEATURE, PAYMENTS = "new-checkout", "payments"
SETTINGS = ([], [{"name": "feature", "percent": 10}], [{"name": "feature", "percent": 60}], [{"name": "feature", "variant": "on"}])
FLAGGED = POLICY | {"steps": [one | {"flags": flags} for one, flags in zip(POLICY["steps"], SETTINGS, strict=True)]}
KEPT = 70
"""Seconds after which nothing is left to be done about what was restored."""


class Flagged(Rollouts):
    """The lives of `Rollouts`, under a policy whose steps set a flag, with people who switch."""

    def new_world(self, **more: object) -> World:
        world = super().new_world(**more)
        world.policy = RolloutPolicySpec.model_validate(FLAGGED)
        world.flags.spec, world.flags.there = FLAGS, {FEATURE: boolean(), PAYMENTS: boolean("on")}
        self.before = Setting("off")
        self.refused = False
        return world

    def _pass(self, crash_after: int | None = None) -> None:
        ended = self.world.status.last_rollout
        super()._pass(crash_after=crash_after)
        last = self.world.status.last_rollout
        if last is not None and last != ended and last.outcome is Outcome.PROMOTED:
            found = self.world.flags.says(FEATURE)[0]
            assert found is not None
            self.before = found
        self._switched_stays()

    def _switched_stays(self) -> None:
        """What was carried out last of what people have decided is in the object, once a pass was not cut short."""
        world = self.world
        done = [one for one in world.people.decisions if one.outcome is DecisionOutcome.CARRIED_OUT and one.action is Action.SWITCH]
        if not done or world.flags.refused or world.gone or world.last is None or not world.last.complete:
            return
        last = max(done, key=lambda one: one.at).switch
        if last is not Position.BACK:
            assert ("on" if last is Position.ON else "off") == world.flags.says(PAYMENTS)[1], f"switched {last}, and is not"

    @rule(to=st.sampled_from(list(Position)), writes=st.sampled_from([None, None, 0, 1, 2]))
    def switch(self, to: Position, writes: int | None) -> None:
        """Somebody switches; the operator may die at any write of the pass that sees it."""
        decide(self.world, Action.SWITCH, flag="payments", switch=to, created=at(int(self.world.now)))
        self._pass(crash_after=writes)

    @rule()
    def apply_again(self) -> None:
        """A tool that knows nothing of a switch applies the definition as it was."""
        assert self.world.flags.there is not None
        self.world.flags.there[PAYMENTS] = boolean("on")
        self._settle()

    @rule(seconds=st.sampled_from([1, 10, 40]), image=st.sampled_from(IMAGES[1:]))
    def refuse_for_a_while(self, seconds: int, image: str) -> None:
        """Nothing can be written, while a version is rolled out."""
        self.refused, self.world.flags.refused = True, "may not be set"
        self._apply(image)
        self.spend(float(seconds))
        self.world.flags.refused = ""
        self._settle()

    def _settle(self) -> None:
        """The next look, which comes within some seconds."""
        self.world.operate()
        self._pass()

    def teardown(self) -> None:
        """Once all is at rest, the flag is what it was before whatever was undone, and by the last step of what was promoted."""
        if not hasattr(self, "world"):
            return
        super().teardown()
        for _ in range(KEPT):
            if self.world.gone:
                break
            self._tick(1.0)
            self._pass()
        if not (self.world.gone and self.refused):
            assert self.before == self.world.flags.says(FEATURE)[0]
        assert self.world.gone or not [one for one in self.world.status.flags if one.given]


TestFlagged = Flagged.TestCase
TestFlagged.pytestmark = [pytest.mark.timeout(900 * TIMES), pytest.mark.no_cover]
TestFlagged.settings = settings(max_examples=12 * TIMES, stateful_step_count=10, suppress_health_check=list(HealthCheck))
