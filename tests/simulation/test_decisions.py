"""Whole lives in which people approve, attest, reject and command.

No weight without its votes and checks, no command twice, no later rollback.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import rule

from simulation import voters
from simulation.deciders import approve, decide
from simulation.effort import TIMES
from simulation.test_invariants import IMAGES, POLICY, Rollouts
from simulation.views import at
from tidegate.api.checked import CheckResult
from tidegate.api.checks import AFTER
from tidegate.api.decision import Action, Result
from tidegate.api.policy import RolloutPolicySpec
from tidegate.governance.runs import RunState

PEOPLE = ("ann", "bob", "cid")
ROLES = ("qa", "sre")
POINTS = ({"at": "Start", "roles": {"qa": 1}}, {"at": "50%", "roles": {"qa": 1, "sre": 1}}, {"at": "100%", "roles": {"sre": 1}})
ENTRIES = st.lists(st.sampled_from(POINTS), min_size=1, max_size=3, unique_by=str)
CHECKS = st.lists(
    st.sampled_from(
        [{"name": name, "at": point, "attested": {"role": "ci"}} for name in ("scan", "load") for point in ("Start", "50%")]
    ),
    min_size=1,
    max_size=2,
    unique_by=lambda entry: entry["name"],
)
FAILURES = st.sampled_from(["Reject", "Pause", "Warn"])


def checks(names: Sequence[str], how: Callable[[str], dict[str, Any]]) -> st.SearchStrategy[list[dict[str, Any]]]:
    """Return checks of these names, each made as `how` says, at any point."""
    one = st.builds(
        lambda name, point, retries, action: {
            "name": name,
            "at": point,
            **how(name),
            "retries": retries,
            **({} if point in AFTER else {"onFailure": action}),
        },
        st.sampled_from(names),
        st.sampled_from(["Start", "50%", "100%", *AFTER]),
        st.sampled_from([0, 0, 2]),
        FAILURES,
    )
    return st.lists(one, min_size=1, max_size=2, unique_by=lambda entry: entry["name"])


JOBS = checks(["smoke", "load"], lambda name: {"cronJob": f"checkout-{name}"})
HOOKS = checks(["contract", "budget"], lambda name: {"http": {"hook": "broker", "path": f"/{name}"}})
ANSWERS = st.sampled_from([RunState.COMPLETE, RunState.COMPLETE, RunState.FAILED, RunState.UNMADE, None])
VERDICTS = st.sampled_from([RunState.COMPLETE, RunState.COMPLETE, RunState.FAILED, None])
VOTES = (("qa",), ("sre",), ("qa", "sre"), ("qa", "qa"))


class Decisions(Rollouts):
    """The lives of `Rollouts`, under policies with approvals, with people who decide."""

    willing = False
    """Whether somebody votes wherever a vote is missing."""

    def _pass(self, **more) -> None:
        account = self.__dict__.setdefault("account", voters.Account())
        super()._pass(**more)
        world, made = self.world, self.world.last
        account.stored(world)
        self.__dict__.setdefault("calls", voters.Calls()).passed(world)
        if made is None or world.gone:
            return
        voters.check(made, world, at(world.now))
        voters.check_runs(world)
        voters.check_rollback(made, world, at(world.now))
        if self.willing and any(one.barrier == "Approval" for one in world.status.waiting_for):
            for number, role in enumerate((*ROLES, *ROLES)):
                approve(world, f"willing-{number}", role, created=at(int(world.now)))
        if self.willing and any(one.barrier == "Check" for one in world.status.waiting_for):
            for name in ("scan", "load"):
                self._attest(name, Result.PASSED, "willing", created=at(int(world.now)))
            if any(one.result is CheckResult.FAILED and one.at not in AFTER for one in world.status.checks):
                world.ask(f"retry/willing-{world.now}")

    @rule(entries=ENTRIES, expires=st.sampled_from([None, "20s"]))
    def approvals(self, entries: list[dict], expires: str | None) -> None:
        """The policy asks for votes from now on."""
        ends = {} if expires is None else {"expires": expires}
        self.world.policy = RolloutPolicySpec.model_validate(POLICY | {"approvals": [entry | ends for entry in entries]})
        self._pass()

    @rule(entries=CHECKS, expires=st.sampled_from([None, "20s"]))
    def checks(self, entries: list[dict], expires: str | None) -> None:
        """The policy asks for checks from now on."""
        ends = {} if expires is None else {"expires": expires}
        self.world.policy = RolloutPolicySpec.model_validate(POLICY | {"checks": [entry | ends for entry in entries]})
        self._pass()

    @rule(
        check=st.sampled_from(["scan", "load"]),
        result=st.sampled_from(list(Result)),
        by=st.sampled_from(PEOPLE),
        late=st.booleans(),
    )
    def attest(self, check: str, result: Result, by: str, late: bool) -> None:
        """Somebody attests what a check of what is wanted came to."""
        self._attest(check, result, by, created=at(int(self.world.now) - late))
        self._pass()

    def _attest(self, check: str, result: Result, by: str, **more) -> None:
        decide(self.world, Action.ATTEST, by, role="ci", check=check, result=result, **more)

    @rule(
        entries=CHECKS,
        image=st.sampled_from(IMAGES[1:]),
        result=st.sampled_from(list(Result)),
        seconds=st.sampled_from([1, 25, 40]),
    )
    def roll_out_checked(self, entries: list[dict], image: str, result: Result, seconds: int) -> None:
        """A version comes under a policy with checks, a pipeline attests them, and time goes by."""
        self.world.policy = RolloutPolicySpec.model_validate(POLICY | {"checks": entries})
        self._apply(image)
        self._pass()
        for name in ("scan", "load"):
            self._attest(name, result, "pipeline")
        self.spend(float(seconds))

    @rule(
        entries=JOBS,
        image=st.sampled_from(IMAGES[1:]),
        verdict=VERDICTS,
        refused=st.sampled_from(["", "", "CronJob was not found"]),
        seconds=st.sampled_from([1, 5, 25, 40]),
        writes=st.sampled_from([None, None, 0, 1, 2]),
    )
    def roll_out_with_jobs(
        self, entries: list[dict], image: str, verdict: RunState | None, refused: str, seconds: int, writes: int | None
    ) -> None:
        """A version comes under a policy with checks by Jobs; the operator may die at any write of the pass that sees it."""
        self.world.policy = RolloutPolicySpec.model_validate(POLICY | {"checks": entries})
        self.world.jobs.refused = refused
        self.world.jobs.verdicts = {} if verdict is None else {"smoke": verdict, "load": verdict}
        self._apply(image)
        self._pass(crash_after=writes)
        self.spend(float(seconds))

    @rule(
        entries=HOOKS,
        image=st.sampled_from(IMAGES[1:]),
        answer=ANSWERS,
        seconds=st.sampled_from([1, 5, 25, 40]),
        writes=st.sampled_from([None, None, 0, 1, 2]),
    )
    def roll_out_with_requests(
        self, entries: list[dict], image: str, answer: RunState | None, seconds: int, writes: int | None
    ) -> None:
        """A version comes under a policy with checks by requests; the operator may die at any write of the pass that sees it."""
        self.world.policy = RolloutPolicySpec.model_validate(POLICY | {"checks": entries})
        self._answers(answer)
        self._apply(image)
        self._pass(crash_after=writes)
        self.spend(float(seconds))

    @rule(answer=ANSWERS, writes=st.sampled_from([None, 0, 1, 2]))
    def answers_change(self, answer: RunState | None, writes: int | None) -> None:
        """Who is asked answers otherwise from now on, or not at all; the operator may die as it hears that."""
        self._answers(answer)
        self._pass()
        self._pass(crash_after=writes)

    def _answers(self, answer: RunState | None) -> None:
        self.world.hooks.verdicts = {} if answer is None else dict.fromkeys(("contract", "budget"), answer)

    @rule(check=st.sampled_from(["smoke", "load"]), deleted=st.booleans())
    def meddle(self, check: str, deleted: bool) -> None:
        """A Job that runs is deleted by somebody, or fails."""
        found = [one for one in self.world.jobs.there.values() if one.run.check == check and one.state is RunState.RUNS]
        for one in found:
            if deleted:
                del self.world.jobs.there[one.run.job]
            else:
                one.state = RunState.FAILED
        self._pass()

    @rule(by=st.sampled_from(PEOPLE), role=st.sampled_from(ROLES), lasts=st.sampled_from([None, None, 15]), late=st.booleans())
    def vote(self, by: str, role: str, lasts: int | None, late: bool) -> None:
        """Somebody approves what is wanted, for good or for a while; the API server's clock may be a second behind."""
        expires = None if lasts is None else at(self.world.now + lasts)
        approve(self.world, by, role, expires=expires, created=at(int(self.world.now) - late))
        self._pass()

    def _roll_out_under(self, entries: list[dict], image: str, roles: tuple[str, ...], seconds: int) -> None:
        """A version comes under a policy with approvals, some vote for it, and time goes by."""
        self.world.policy = RolloutPolicySpec.model_validate(POLICY | {"approvals": entries})
        self._apply(image)
        self._pass()
        for by, role in zip(PEOPLE, roles, strict=False):
            approve(self.world, by, role)
        self.spend(float(seconds))

    @rule(entries=ENTRIES, image=st.sampled_from(IMAGES[1:]), roles=st.sampled_from(VOTES), seconds=st.sampled_from([1, 25, 40]))
    def roll_out_with_votes(self, entries: list[dict], image: str, roles: tuple[str, ...], seconds: int) -> None:
        self._roll_out_under(entries, image, roles, seconds)

    @rule(entries=ENTRIES, image=st.sampled_from(IMAGES[1:]), seconds=st.sampled_from([25, 40, 60]))
    def roll_out_without_votes(self, entries: list[dict], image: str, seconds: int) -> None:
        self._roll_out_under(entries, image, (), seconds)

    @rule(image=st.sampled_from(IMAGES[1:]), more=st.sampled_from([1, 30]))
    def roll_out_with_all_votes(self, image: str, more: int) -> None:
        self._roll_out_under(list(POINTS), image, ("qa", "sre"), 30)
        self.spend(float(more))

    @rule(
        action=st.sampled_from([Action.PROMOTE, Action.ROLLBACK, Action.PAUSE, Action.RESUME, Action.RETRY, Action.REJECT]),
        by=st.sampled_from(PEOPLE),
        late=st.sampled_from([0, 0, 2]),
        hold=st.booleans(),
        writes=st.sampled_from([None, None, 0, 1, 2, 3]),
    )
    def command(self, action: Action, by: str, late: int, hold: bool, writes: int | None) -> None:
        """Somebody commands something, which may be seen late; the operator may die at any write of the pass that sees it."""
        more = {"hold": True} if action is Action.ROLLBACK and hold else {}
        decide(self.world, action, by, created=at(int(self.world.now) - late), **more)
        self._pass(crash_after=writes)

    @rule(by=st.sampled_from(PEOPLE), back=st.booleans())
    def rights(self, by: str, back: bool) -> None:
        """Somebody loses the right to decide, or has it again."""
        self.world.people.dismissed = self.world.people.dismissed - {by} if back else self.world.people.dismissed | {by}

    @rule()
    def outcomes_are_lost(self) -> None:
        """What decisions say of themselves is gone, as after a restore of some objects from a backup."""
        if self.world.people.decisions:
            one = self.world.people.decisions[-1]
            self.world.people.decisions[-1] = replace(one, outcome=None)
        self._pass()

    def teardown(self) -> None:
        """All who are asked vote, and who pauses resumes: then the engine comes to rest."""
        if hasattr(self, "world"):
            self.willing, self.world.people.dismissed = True, set()
            self._answers(RunState.COMPLETE)
            self.world.jobs.refused, self.world.jobs.verdicts = "", dict.fromkeys(("smoke", "load"), RunState.COMPLETE)
        super().teardown()


TestDecisions = Decisions.TestCase
TestDecisions.pytestmark = [pytest.mark.timeout(900 * TIMES), pytest.mark.no_cover]
TestDecisions.settings = settings(max_examples=40 * TIMES, stateful_step_count=12, suppress_health_check=list(HealthCheck))
