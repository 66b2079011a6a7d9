"""What must hold of databases that change with versions: an account of Jobs that never asks the engine what is right."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from simulation.runs import Job
from simulation.world import Pass, World
from tidegate.api.migrated import MigrationResult
from tidegate.api.migrations import MigrationPhase
from tidegate.api.status import ReleaseStatus
from tidegate.engine.decide import decide
from tidegate.engine.migrations import declared
from tidegate.governance.runs import RunState

BEFORE = (MigrationPhase.BACKUP, MigrationPhase.DRY_RUN, MigrationPhase.EXPAND)


class Migrators:
    """Watches every pass of a world with migrations."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.seen = 0
        """How many Jobs were made until the pass before."""
        self.exempt: set[str] = set()
        """Revisions that were in force when a rollout of theirs began, or whose rollout began without migrations."""

    def passed(self, made: Pass, now: datetime) -> None:
        """Check a pass.

        Raises:
            AssertionError: something does not hold.
        """
        before, after = made.snapshot.status, made.plan.status
        self._starts_over_nothing(made)
        self._is_prepared(before, after)
        self._full_once_moved(before, after)
        self._jobs(made)
        self._rollback_waits_for_nothing(made, now)

    def _ran(self, status: ReleaseStatus, phase: MigrationPhase) -> bool:
        """Whether a Job of a phase is complete that was made for the version and the rollout that is on."""
        assert status.candidate is not None
        assert status.rollout is not None
        return any(
            one.state is RunState.COMPLETE
            and one.run.check == phase
            and one.run.env["TIDEGATE_REVISION"] == status.candidate.revision
            and one.made >= status.rollout.started_at
            for one in self.world.jobs.made
            if one.run.migrates
        )

    def _needs(self, status: ReleaseStatus) -> tuple[MigrationPhase, ...]:
        assert status.rollout is not None
        assert status.candidate is not None
        if status.candidate.revision in (status.served or ()):
            return ()
        return tuple(declared(status.rollout.spec))

    def _is_prepared(self, before: ReleaseStatus, after: ReleaseStatus) -> None:
        if after.rollout is None or after.step is None or after.candidate is None or after.rollout.undo is not None:
            return
        if before.step is not None and after.weight <= before.weight:
            return
        for phase in BEFORE:
            if phase in self._needs(after):
                assert self._ran(after, phase), f"{after.candidate.version} starts or gets {after.weight}% without {phase}"

    def _full_once_moved(self, before: ReleaseStatus, after: ReleaseStatus) -> None:
        if after.weight == 100 > before.weight and after.rollout is not None and MigrationPhase.MIGRATE in self._needs(after):
            assert self._ran(after, MigrationPhase.MIGRATE), "100% before migrate has succeeded"

    def _starts_over_nothing(self, made: Pass) -> None:
        before, after = made.snapshot.status, made.plan.status
        if before.rollout is not None or after.rollout is None:
            return
        known = self.world.jobs.made[: self.seen]
        assert not [one for one in self._running() if one in known], "a rollout starts while a Job changes its database"
        migration, policy = before.migration, made.snapshot.policy
        runs = {one.phase: one.result for one in migration.runs} if migration is not None else {}
        result = runs.get(MigrationPhase.ROLLBACK)
        if policy is not None and MigrationPhase.ROLLBACK in declared(policy.spec) and result is not None:
            assert result is MigrationResult.PASSED, f"a rollout starts over a reverse that is {result}"

    def _running(self) -> list[Job]:
        return [one for one in self.world.jobs.there.values() if one.run.migrates and one.state is RunState.RUNS]

    def _jobs(self, made: Pass) -> None:
        running = self._running()
        assert len(running) <= 1, f"two Jobs change a database at once: {[one.run.job for one in running]}"
        status = made.plan.status
        for one in self.world.jobs.made[self.seen :]:
            if one.run.migrates and one.run.check in (MigrationPhase.CONTRACT, MigrationPhase.ROLLBACK):
                assert status.rollout is None, f"{one.run.check} was made while a rollout is on"
                assert status.weight == 0, f"{one.run.check} was made before all traffic was on stable"
            if one.run.check == MigrationPhase.CONTRACT:
                assert status.stable is not None
                assert one.run.env["TIDEGATE_REVISION"] == status.stable.revision, "a contract of a version that is not in force"
        self.seen = len(self.world.jobs.made)

    def _rollback_waits_for_nothing(self, made: Pass, now: datetime) -> None:
        """The same pass with nothing known of Jobs undoes no more, and takes no more traffic away."""
        governance = replace(made.snapshot.governance, runs={})
        status = made.snapshot.status.model_copy(update={"migration": None, "contracted": None})
        without = decide(replace(made.snapshot, governance=governance, status=status), now, self.world.handover)
        if without.status.rollout is None or without.status.rollout.undo is None:
            return
        after = made.plan.status
        assert after.rollout is not None
        assert after.rollout.undo is not None, "a rollback waited for a migration"
        assert without.away == made.plan.away, "traffic on its way out was kept by a migration"
