"""Jobs that check versions or change databases, as the API server has them, and what the operator that is alive has seen."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from tidegate.governance.runs import Call, Run, RunState, RunView

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass
class Job:
    """A Job that was made."""

    run: Run
    uid: str
    state: RunState = RunState.RUNS
    left: int = 0
    """How often it is looked at before it ends by itself."""
    made: datetime = EPOCH
    output: str = ""
    progress: str = ""
    ending: bool = False
    """It is deleted, and its pods have not stopped yet."""


@dataclass
class Jobs:
    """All of them.

    Attributes:
        there: those that the API server has, by name.
        made: every one that ever was, in the order in which they were made.
        stopped: names of those that the operator has deleted.
        seen: what the operator that is alive has seen last.
        verdicts: how a Job of a check ends by itself; one that is not here runs until somebody ends it.
        lasts: how often such a Job is looked at before it ends.
        refused: why none can be made; empty where one can.
    """

    there: dict[str, Job] = field(default_factory=dict)
    made: list[Job] = field(default_factory=list)
    stopped: list[str] = field(default_factory=list)
    seen: dict[str, RunView] = field(default_factory=dict)
    verdicts: dict[str, RunState] = field(default_factory=dict)
    lasts: int = 2
    refused: str = ""
    _now: datetime = EPOCH

    def look(self, runs: Iterable[Run], now: datetime) -> None:
        """Make, look at and stop Jobs, as the operator does beside its passes."""
        self._now = now
        self.seen = {run.job: self._stop(run) if run.stop else self._view(run) for run in runs}

    def of(self, check: str) -> Job:
        """Return the last Job of a check."""
        return [one for one in self.made if one.run.check == check][-1]

    def end(self, check: str, state: RunState, output: str = "") -> None:
        """Have the last Job of a check or of a phase end, with a last line of output."""
        job = self.of(check)
        job.state, job.output = state, output

    @property
    def phases(self) -> list[str]:
        """What was made, by check or phase, in order."""
        return [one.run.check for one in self.made]

    def _stop(self, run: Run) -> RunView:
        job = self.there.get(run.job)
        if job is not None and run.migrates and (job.state is not RunState.RUNS or not job.ending):
            job.ending = job.state is RunState.RUNS
            return RunView(job.state, job.uid, output=job.output)
        if job is not None and job.state is RunState.RUNS:
            del self.there[run.job]
            self.stopped.append(run.job)
        return RunView(RunState.GONE)

    def _view(self, run: Run) -> RunView:
        job = self.there.get(run.job)
        if job is None and run.uid:
            return RunView(RunState.GONE, words="was deleted before it had ended")
        if job is None and self.refused:
            return RunView(RunState.UNMADE, words=self.refused)
        if job is None:
            assert all(other.run.job != run.job for other in self.made), f"Job {run.job} was made twice"
            job = Job(run, f"uid-of-{run.job}", left=self.lasts, made=self._now)
            self.there[run.job] = job
            self.made.append(job)
        if job.state is RunState.RUNS and (verdict := self.verdicts.get(run.check)) is not None:
            job.left -= 1
            job.state = verdict if job.left < 0 else RunState.RUNS
        words = "failed (BackoffLimitExceeded)" if job.state is RunState.FAILED else ""
        return RunView(job.state, job.uid, words, job.output if run.migrates else "", job.progress)


@dataclass
class Hooks:
    """What is called.

    Attributes:
        answers: what the next ones are answered with; without one nobody answers.
        verdicts: what a check is answered with by its name, whenever it is asked; of those that are not here `answers` tells.
        asked: every request.
        said: what each was answered with last, by its id.
        times: when each was made.
        seen: what the operator that is alive has heard last.
    """

    answers: list[RunState] = field(default_factory=list)
    verdicts: dict[str, RunState] = field(default_factory=dict)
    asked: list[Call] = field(default_factory=list)
    said: dict[str, RunState] = field(default_factory=dict)
    times: list[float] = field(default_factory=list)
    seen: dict[str, RunView] = field(default_factory=dict)

    def call(self, calls: Iterable[Call], now: float) -> None:
        """Make requests, as the operator does beside its passes; what it has heard it asks no more."""
        wanted = list(calls)
        heard = {call.id: view for call in wanted if (view := self.seen.get(call.id)) is not None and _is_told(view)}
        fresh = {call.id: view for call in wanted if call.id not in heard and (view := self._view(call, now)) is not None}
        self.seen = heard | fresh

    def _view(self, call: Call, now: float) -> RunView | None:
        if (state := self._answer(call)) is None:
            return None
        self.asked.append(call)
        self.times.append(now)
        self.said[call.id] = state
        return RunView(state, words="" if state is RunState.COMPLETE else "answered HTTP 500")

    def _answer(self, call: Call) -> RunState | None:
        if (verdict := self.verdicts.get(call.told.get("check", ""))) is not None:
            return verdict
        return self.answers.pop(0) if self.answers else None


def _is_told(view: RunView) -> bool:
    """Whether somebody has answered."""
    return view.state in (RunState.COMPLETE, RunState.FAILED)
