"""What must hold whatever people decide: no weight without votes and checks, no command twice, and nothing taken away later."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from simulation.world import Pass, World
from tidegate.api.checked import CheckResult
from tidegate.api.checks import Check, OnFailure
from tidegate.api.decision import Action, DecisionOutcome, Result
from tidegate.api.policy import RolloutPolicySpec
from tidegate.engine.decide import decide
from tidegate.governance.decisions import OVER
from tidegate.governance.runs import RunState


def able(made: Pass, now: datetime) -> dict[str, set[str]]:
    """Return who may fill a seat of which roles for the wanted version, counted here once more: by content, person by person."""
    governance, workload = made.snapshot.governance, made.snapshot.workload
    assert workload is not None
    found: dict[str, set[str]] = {}
    about = [one for one in governance.decisions if one.digest == workload.template.digest]
    for one in about:
        taken_back = any(
            (other.action, other.by, other.role) == (Action.REJECT, one.by, one.role) and other.created >= one.created
            for other in about
        )
        ended = one.expires is not None and one.expires <= now
        may = (governance.entitled or {}).get(one.uid, False) and one.outcome is not DecisionOutcome.REFUSED
        if one.action is Action.APPROVE and may and not taken_back and not ended:
            found.setdefault(one.by, set()).add(one.role)
    return found


def filled(voters: dict[str, set[str]], needed: dict[str, int]) -> bool:
    """Whether all seats can be filled by somebody else each, by trying all ways."""
    if not any(needed.values()):
        return True
    return any(
        filled({who: has for who, has in voters.items() if who != one}, needed | {role: needed[role] - 1})
        for one, roles in voters.items()
        for role in roles
        if needed.get(role, 0) > 0
    )


def check(made: Pass, world: World, now: datetime) -> None:
    """Check a pass.

    Raises:
        AssertionError: a weight rose without its votes, or a version began without them.
    """
    before, after = made.snapshot.status, made.plan.status
    begins = before.rollout is None and after.rollout is not None
    if after.rollout is None or not (begins or after.weight > before.weight):
        return
    spec: RolloutPolicySpec = after.rollout.spec
    low = -1 if begins else before.weight
    for entry in spec.approvals:
        if low < entry.weight <= after.weight:
            assert filled(able(made, now), dict(entry.roles)), f"{low}% to {after.weight}% without the votes for {entry.at}"
    for wanted in spec.checks:
        if low < wanted.weight <= after.weight:
            assert passed(wanted, made, world, now), f"{low}% to {after.weight}% without check {wanted.name}, asked at {wanted.at}"


def ran(wanted: Check, made: Pass, world: World) -> bool:
    """Whether the last Job or request of a check of what is wanted has passed; if the check only warns, whether it is over."""
    assert made.snapshot.workload is not None
    digest = made.snapshot.workload.template.digest
    job = next((one.job for one in made.plan.status.checks if one.name == wanted.name and one.digest == digest), None)
    found = world.jobs.there.get(job or "")
    state = world.hooks.said.get(job or "") if wanted.http is not None else found.state if found is not None else None
    return state in {RunState.COMPLETE} | ({RunState.FAILED} if wanted.failure is OnFailure.WARN else set())


def passed(wanted: Check, made: Pass, world: World, now: datetime) -> bool:
    """Whether the last that was attested of a check, for what is wanted, is that it has passed, by one who may attest still."""
    if wanted.attested is None:
        return ran(wanted, made, world)
    workload, entitled = made.snapshot.workload, made.snapshot.governance.entitled or {}
    assert workload is not None
    said = [
        one
        for one in made.snapshot.governance.decisions
        if one.action is Action.ATTEST and (one.check, one.role) == (wanted.name, wanted.attested.role)
        if one.digest == workload.template.digest and one.outcome not in OVER
    ]
    last = max(said, key=lambda one: (one.created, one.result is Result.FAILED), default=None)
    failed = last is not None and last.result is Result.FAILED and wanted.failure is not OnFailure.WARN
    if last is None or failed or not entitled.get(last.uid):
        return False
    ends = [end for end in (last.expires, wanted.expires and last.created + wanted.expires) if end is not None]
    return all(now < end for end in ends)


def check_runs(world: World) -> None:
    """Check the Jobs that run.

    Raises:
        AssertionError: two of one check run at once.
    """
    running = [one.run.check for one in world.jobs.there.values() if one.state is RunState.RUNS]
    assert len(running) == len(set(running)), f"two Jobs of one check at once: {running}"


class Calls:
    """Which requests were made, by an account of its own."""

    def __init__(self) -> None:
        self._asked = 0
        self._passed: set[str] = set()

    def passed(self, world: World) -> None:
        """Look at the requests of a pass, and at the status that the API server has after it.

        Raises:
            AssertionError: one was made that does not stand in the status, or is known there to have passed.
        """
        stands = {one.job for one in world.status.checks}
        for call in world.hooks.asked[self._asked :]:
            assert call.id in stands, f"check {call.told['check']} was asked, and the status that was stored knows nothing of it"
            assert call.id not in self._passed, f"check {call.told['check']} has passed, and was asked once more"
        self._asked = len(world.hooks.asked)
        self._passed |= {one.job for one in world.status.checks if one.result is CheckResult.PASSED and one.job is not None}


def check_rollback(made: Pass, world: World, now: datetime) -> None:
    """Check that nothing that people have decided delays a rollback which there would be without it.

    Raises:
        AssertionError: something did.
    """
    governance = replace(made.snapshot.governance, decisions=(), entitled=None, runs={})
    without = decide(replace(made.snapshot, governance=governance), now, world.handover)
    undone = without.status.rollout.undo if without.status.rollout is not None else None
    if undone is None:
        return
    after = made.plan.status
    assert after.rollout is not None
    assert after.rollout.undo is not None, "a rollback waited for what people have decided"
    assert without.away == made.plan.away, "traffic on its way out was kept by what people have decided"


class Account:
    """Which commands have taken effect, by the statuses that were stored."""

    def __init__(self) -> None:
        self.known: set[str] = set()
        self.done: dict[str, int] = {}

    def stored(self, world: World) -> None:
        """Look at the status that the API server has now.

        Raises:
            AssertionError: a command came to stand there twice.
        """
        there = {one.uid for one in world.status.carried_out}
        for uid in there - self.known:
            self.done[uid] = self.done.get(uid, 0) + 1
            assert self.done[uid] == 1, f"{uid} was carried out twice"
        self.known = there
