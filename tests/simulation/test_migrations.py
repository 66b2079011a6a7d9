"""Whole lives in which databases change with versions: nothing is served that was not expanded for, and no rollback waits."""

from __future__ import annotations

from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import rule

from simulation.deciders import decide
from simulation.effort import TIMES
from simulation.migrators import Migrators
from simulation.test_invariants import IMAGES, POLICY, Rollouts
from simulation.views import at
from tidegate.api.decision import Action
from tidegate.api.migrated import MigrationResult
from tidegate.api.migrations import MigrationPhase
from tidegate.api.policy import RolloutPolicySpec
from tidegate.engine.migrations import UNSEEN
from tidegate.governance.runs import RunState

NAMES = ("dryRun", "expand", "migrate", "contract", "rollback")
CHOSEN = st.sets(st.sampled_from(NAMES), min_size=2).filter(lambda names: "rollback" not in names or names & {"expand", "migrate"})
ENDS = st.sampled_from([RunState.COMPLETE, RunState.COMPLETE, RunState.COMPLETE, RunState.FAILED, None])
VERDICTS = st.fixed_dictionaries(dict.fromkeys(MigrationPhase, ENDS))
WRITES = st.sampled_from([None, None, 0, 1, 2, 3])


def policy(names: set[str], *, backup: bool) -> RolloutPolicySpec:
    """Return a policy with these migrations."""
    more: dict[str, Any] = {"backup": {"cronJob": "checkout-backup"}} if backup else {}
    return RolloutPolicySpec.model_validate(
        POLICY | {"migrations": {name: {"cronJob": f"checkout-{name.lower()}"} for name in names}} | more
    )


class Migrations(Rollouts):
    """The lives of `Rollouts`, under policies with migrations."""

    willing = False
    """Whether somebody has run again whatever failed, and lets versions back."""

    def _pass(self, **more: Any) -> None:
        migrators = self.__dict__.setdefault("migrators", Migrators(self.world))
        super()._pass(**more)
        world, made = self.world, self.world.last
        if made is None or world.gone:
            return
        migrators.passed(made, at(world.now))
        held = world.status.contracted is not None and world.status.contracted.held
        failed = "MigrationFailed" in {one.type for one in world.status.conditions}
        if self.willing and held and failed:
            # What the bare request is for would not be clear.
            about = world.status.wanted
            if about is not None and all(one.outcome is not None for one in world.people.decisions):
                decide(world, Action.RETRY, revision=about.revision)
        elif self.willing and (held or failed):
            world.ask(f"retry/willing-{world.now}")

    @rule(
        names=CHOSEN,
        backup=st.booleans(),
        image=st.sampled_from(IMAGES[1:]),
        verdicts=VERDICTS,
        lasts=st.sampled_from([0, 2, 10]),
        refused=st.sampled_from(["", "", "", "CronJob was not found"]),
        seconds=st.sampled_from([1, 5, 25, 40, 60]),
        writes=WRITES,
    )
    def roll_out_migrated(
        self,
        names: set[str],
        backup: bool,
        image: str,
        verdicts: dict[str, RunState | None],
        lasts: int,
        refused: str,
        seconds: int,
        writes: int | None,
    ) -> None:
        """A version comes with its migrations; the operator may die at any write of the pass that sees it."""
        self.world.policy = policy(names, backup=backup)
        self.world.jobs.refused, self.world.jobs.lasts = refused, lasts
        self.world.jobs.verdicts = {phase: state for phase, state in verdicts.items() if state is not None}
        self._apply(image)
        self._pass(crash_after=writes)
        self.spend(float(seconds))

    @rule(deleted=st.booleans(), writes=WRITES)
    def meddle(self, deleted: bool, writes: int | None) -> None:
        """A Job that runs is deleted by somebody, or fails; the operator may die at any write of the pass that sees it."""
        for one in [one for one in self.world.jobs.there.values() if one.state is RunState.RUNS]:
            if deleted:
                del self.world.jobs.there[one.run.job]
            else:
                one.state = RunState.FAILED
        self._pass(crash_after=writes)
        self._pass()

    @rule(seconds=st.sampled_from([1, 12, 40]))
    def retry_what_failed(self, seconds: int) -> None:
        """A person asks for it."""
        self.world.ask(f"retry/{self.world.now}")
        self.spend(float(seconds))

    def teardown(self) -> None:
        """All Jobs succeed, and a person lets go what waits for one: then the engine comes to rest."""
        if hasattr(self, "world"):
            self.willing = True
            self.world.jobs.refused, self.world.jobs.lasts = "", 0
            self.world.jobs.verdicts = dict.fromkeys(MigrationPhase, RunState.COMPLETE)
        super().teardown()


TestMigrations = Migrations.TestCase
TestMigrations.pytestmark = [pytest.mark.timeout(900 * TIMES), pytest.mark.no_cover]
TestMigrations.settings = settings(max_examples=30 * TIMES, stateful_step_count=12, suppress_health_check=list(HealthCheck))


def test_job_that_was_refused_and_is_not_wanted_any_more():
    """Given v2 whose Job was refused, when v1 is wanted again, then all is done, and the operator looks once more for that Job."""
    machine = Migrations()
    machine.begin(routes=("web",), pin=False, admission=True, adopted=True)
    machine.roll_out_migrated(
        names={"dryRun", "expand"},
        backup=False,
        image="v2",
        verdicts={},
        lasts=0,
        refused="CronJob was not found",
        seconds=5,
        writes=None,
    )

    machine.roll_out("v1", 5)
    assert [MigrationResult.RUNNING] == [one.result for one in machine.world.status.migration.runs]
    assert machine.world.status.migration.over + UNSEEN == machine.world.last.plan.due

    machine.spend(12.0)
    assert [MigrationResult.STOPPED] == [one.result for one in machine.world.status.migration.runs]
    assert machine.world.last.plan.due is None
    machine.teardown()
