"""A policy over past data, as if it had been live: the operator's own reader asks, and the operator's own engine decides.

The world around the Release is a perfect one: pods are always ready, and routes carry at once whatever weight they are to carry.
What is left to decide on is what Prometheus remembers. Weights are therefore no more than labels: how much traffic the new version
really had then is in its counters.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from tidegate.api.gate import Gate
from tidegate.api.names import EventReason, Phase
from tidegate.api.policy import RolloutPolicySpec
from tidegate.api.release import PolicyRef, ReleaseSpec, TargetRef, Traffic
from tidegate.api.status import LastRollout, ReleaseStatus, RevisionStatus, RolloutStatus
from tidegate.engine.counted import weight_since
from tidegate.engine.decide import decide
from tidegate.engine.handover.deployment.view import DeploymentView, Owner, ReplicaSetView
from tidegate.engine.plan import EventType, Look, Plan
from tidegate.engine.route import RouteKind
from tidegate.engine.snapshot import (
    ReleaseView,
    RouteStage,
    RouteView,
    ServiceView,
    Snapshot,
    TemplateView,
)
from tidegate.judge import choice
from tidegate.judge.evidence.gate import interval_of
from tidegate.judge.reading import Reading
from tidegate.prometheus.gate_reader import GateReader
from tidegate.prometheus.promql import Names

VERDICT = "Verdict"
"""Reason of an entry in the timeline that is no Event: a gate's verdict has changed."""
_PODS = 10_000
"""More pods than any step can ask for: that they come up is not what is replayed."""
_STABLE, _NAME = "stable", "replay"
_ROUTE = RouteKind("route", "spec.traffic", "", "")
"""The past does not say which kind it was."""
_SETTLES = 8
"""Decisions at one instant: each step takes two, one that gives the weight and one that sees the route carry it."""
_MOST_TROUBLES = 3
"""Looks of one gate in a row that nobody answered, after which the backtest cannot tell what would have happened."""
_GATE = re.compile(r"gate ([a-z0-9-]++)[ :]")
"""How the message of a breach begins (`gate_status.breach_of`)."""


class ReplayError(Exception):
    """Prometheus did not answer, or cannot be asked what a gate asks; the message is for people."""


class Outcome(StrEnum):
    """What a policy would have made of the past."""

    PROMOTED = "Promoted"
    ROLLED_BACK = "RolledBack"
    PAUSED = "Paused"
    UNFINISHED = "Unfinished"


@dataclass(frozen=True)
class Past:
    """What is replayed.

    Attributes:
        names: what the Release's objects were called.
        revision: the new version, for the record.
        start: when the rollout began.
        end: when the data ends.
        version: name of the new version for people.
        fact: what has become of the version in fact; None where that is not known, or it has not ended.
    """

    names: Names
    revision: str
    start: datetime
    end: datetime
    version: str = "the new version"
    fact: LastRollout | None = None


@dataclass(frozen=True)
class Entry:
    """Something that would have been an Event, or a verdict that changed.

    Attributes:
        at: when.
        weight: the weight that the new version would have had then.
        reason: reason of the Event; `Verdict` where a gate's verdict changed.
        message: in words.
        warning: whether the Event would have been a Warning.
    """

    at: datetime
    weight: int
    reason: str
    message: str
    warning: bool = False


@dataclass(frozen=True)
class Result:
    """What a policy would have made of the past.

    Attributes:
        outcome: how it would have ended.
        at: when it would have been decided: rolled back, paused, promoted; the end of the data where it was not.
        gate: the gate that stopped it; empty where none did.
        message: why, in words.
        warnings: breaches that were told and not acted on, in words.
        timeline: what would have happened, in order.
        status: the Release's status at the end, for the gates' last states.
        looks: how many looks were taken.
        starved: how many of them, by gate, had too little data to be judged.
    """

    outcome: Outcome
    at: datetime
    gate: str
    message: str
    warnings: tuple[str, ...]
    timeline: tuple[Entry, ...]
    status: ReleaseStatus
    looks: dict[str, int]
    starved: dict[str, int]


async def replay(
    spec: RolloutPolicySpec,
    past: Past,
    reader: GateReader,
    *,
    label: str = "RolloutPolicy/backtest",
    progress: Callable[[datetime], None] | None = None,
) -> Result:
    """Run a policy over the past.

    It ends with the first rollback, with the promotion, or with the data. After a pause it goes on looking, as the operator does
    while it waits for a person: a gate that rolls back still would.

    Args:
        spec: the policy.
        past: what is replayed.
        reader: one of its own for each policy: what it has counted so far is part of its state.
        label: kind and name of the policy, for messages.
        progress: told the instant that has been reached.

    Raises:
        ReplayError: Prometheus does not answer what a gate asks, several times in a row.
    """
    run = _Run(spec, past, reader, label)
    at: datetime | None = past.start
    while at is not None and at <= past.end:
        await run.reach(at)
        if progress is not None:
            progress(min(at, past.end))
        at = run.next()
    reader.forget(past.names.namespace, past.names.release)
    return run.result()


@dataclass
class _Run:
    """One policy on its way through the past."""

    spec: RolloutPolicySpec
    past: Past
    reader: GateReader
    label: str
    now: datetime = field(init=False)
    status: ReleaseStatus = field(init=False)
    plan: Plan | None = None
    timeline: list[Entry] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    looks: dict[str, int] = field(default_factory=dict)
    starved: dict[str, int] = field(default_factory=dict)
    troubles: dict[str, int] = field(default_factory=dict)
    asked: dict[str, datetime] = field(default_factory=dict)
    ended: Outcome | None = None

    def __post_init__(self) -> None:
        self.now = self.past.start
        # What gates would have said is asked, and not whether people were at work then.
        spec = self.spec.model_copy(update={"windows": None, "rules": (), "approvals": (), "checks": (), "hotfix": None})
        rollout = RolloutStatus(policy=self.label, spec=spec, started_at=self.past.start)
        self.status = ReleaseStatus(
            phase=Phase.PROGRESSING,
            stable=RevisionStatus(revision=_STABLE, version=_STABLE),
            candidate=RevisionStatus(revision=self.past.revision, version=self.past.version),
            rollout=rollout,
        )

    async def reach(self, at: datetime) -> None:
        """Take the looks that are due at an instant, and decide on them, until nothing more comes of it."""
        self.now = at
        for _ in range(_SETTLES):
            due = [gate for gate in self.spec.gates if self._is_due(gate)]
            read = await asyncio.gather(*(self._read(gate) for gate in due))
            old = self.status
            self._decide(tuple(reading for reading in read if reading is not None))
            if self.ended is not None or (not due and self.status == old):
                break

    def next(self) -> datetime | None:
        """Return the next instant at which something may happen; None where nothing may any more."""
        if self.ended is not None or self.plan is None:
            return None
        dues = [due for gate in self.spec.gates if (due := self._due(gate)) is not None]
        if self.plan.due is not None:
            dues.append(self.plan.due)
        later = [due for due in dues if due > self.now]
        return min(later, default=None)

    def result(self) -> Result:
        """Return what has come of it."""
        rollout = self.status.rollout
        paused = rollout.paused if rollout is not None else None
        stopped = self.ended or (Outcome.PAUSED if paused is not None else Outcome.UNFINISHED)
        gate, message, at = "", self.status.message, self.now
        if stopped is Outcome.ROLLED_BACK and rollout is not None:
            message = rollout.undo_message
            named = _GATE.match(message)
            gate = named[1] if named else ""
        elif stopped is Outcome.PAUSED and paused is not None:
            gate, message, at = paused.gate or "", paused.message, paused.since
        elif stopped is Outcome.UNFINISHED:
            at = self.past.end
        return Result(
            outcome=stopped,
            at=at,
            gate=gate,
            message=message,
            warnings=tuple(self.warnings),
            timeline=tuple(self.timeline),
            status=self.status,
            looks=dict(self.looks),
            starved=dict(self.starved),
        )

    def _due(self, gate: Gate) -> datetime | None:
        """Return when a gate is to be looked at next; counters are first read as soon as they count."""
        look = next((look for look in self._planned() if look.gate == gate.name), None)
        if look is None:
            return None
        exposed = self.status.rollout.exposed_at if self.status.rollout is not None else None
        if gate.name in self.asked:
            state = next((state for state in self.status.gates if state.name == gate.name), None)
            return max(look.at, self.asked[gate.name] + interval_of(gate, state))
        if exposed is None or not choice.by_evidence(gate):
            return look.at
        return min(look.at, max(self.now, exposed + gate.initial_delay))

    def _planned(self) -> tuple[Look, ...]:
        return self.plan.looks if self.plan is not None else ()

    def _is_due(self, gate: Gate) -> bool:
        due = self._due(gate)
        return due is not None and due <= self.now and self.asked.get(gate.name) != self.now

    async def _read(self, gate: Gate) -> Reading | None:
        rollout = self.status.rollout
        new = not self.reader.primed(gate, self.past.names, self.past.revision)
        since = rollout.exposed_at if rollout is not None else None
        begun, past = weight_since(self.status), self.past
        reading = await self.reader.read(gate, past.names, past.revision, self.now, since, weight_since=begun)
        self._count_trouble(gate, reading)
        self.asked[gate.name] = self.now
        if new and reading.counts is None and not reading.trouble and choice.by_evidence(gate):
            return None  # From here on the counters count: nothing to be judged yet.
        self.looks[gate.name] = self.looks.get(gate.name, 0) + 1
        return reading

    def _count_trouble(self, gate: Gate, reading: Reading) -> None:
        """An operator waits for Prometheus to come back; the past does not get better by waiting."""
        self.troubles[gate.name] = self.troubles.get(gate.name, 0) + 1 if reading.trouble else 0
        if self.troubles[gate.name] >= _MOST_TROUBLES:
            raise ReplayError(f"gate {gate.name}: {reading.trouble}")

    def _decide(self, readings: tuple[Reading, ...]) -> None:
        before = self.status
        self.plan = decide(self._snapshot(readings), self.now)
        self.status = self.plan.status
        self._note_verdicts(before)
        self._note(before)
        rollout = self.status.rollout
        if rollout is None or rollout.undo is not None:
            self.ended = Outcome.ROLLED_BACK
        elif self.status.phase is Phase.PROMOTING:
            self.ended = Outcome.PROMOTED

    def _note(self, before: ReleaseStatus) -> None:
        assert self.plan is not None
        stopped = self.status.phase in (Phase.ROLLING_BACK, Phase.PAUSED) and self.status.phase is not before.phase
        for notice in self.plan.notices:
            warning = notice.type is EventType.WARNING
            self.timeline.append(Entry(self.now, self.status.weight, notice.reason.value, notice.message, warning))
            if notice.reason in {EventReason.GATE_BREACHED, EventReason.SCORE_WARNING} and not stopped:
                self.warnings.append(notice.message)

    def _note_verdicts(self, before: ReleaseStatus) -> None:
        known = {state.name: state for state in before.gates}
        for state in self.status.gates:
            last = known.get(state.name)
            if last is not None and last.at == state.at:
                continue
            if state.undecided_since is not None:
                self.starved[state.name] = self.starved.get(state.name, 0) + 1
            if last is None or last.verdict is not state.verdict:
                words = f"{state.name}: {state.verdict.value}. {state.message}"
                self.timeline.append(Entry(self.now, before.weight, VERDICT, words))

    def _snapshot(self, readings: tuple[Reading, ...]) -> Snapshot:
        names, weight = self.past.names, self.status.weight
        routed = bool(names.service)
        route = RouteView(_ROUTE, _NAME, stage=RouteStage.SPLIT, weight=weight, since=self.past.start - timedelta(days=1))
        return Snapshot(
            release=ReleaseView(names.namespace, names.release, uid=_NAME, generation=1, spec=_release_spec(names.service)),
            status=self.status,
            workload=_workload(self.past),
            user_service=ServiceView(names.service, None) if routed else None,
            stable_service=ServiceView(names.stable_service, _STABLE, endpoints=_PODS) if routed else None,
            canary_service=ServiceView(names.canary_service, self.past.revision, endpoints=_PODS) if routed else None,
            routes=(route,) if routed else (),
            readings=readings,
        )


def _release_spec(service: str) -> ReleaseSpec:
    traffic = Traffic(service=service) if service else None
    return ReleaseSpec(target_ref=TargetRef(name=_NAME), policy_ref=PolicyRef(name=_NAME), traffic=traffic)


def _workload(past: Past) -> DeploymentView:
    return DeploymentView(
        uid=_NAME,
        replicas=_PODS,
        paused=True,
        labelled=True,
        settled=True,
        observed=True,
        template=TemplateView(past.revision, past.version, exists=True),
        own_revision=past.revision,
        arms=tuple(_replica_sets(past)),
    )


def _replica_sets(past: Past) -> Iterator[ReplicaSetView]:
    for revision, owner, number in ((_STABLE, Owner.DEPLOYMENT, 1), (past.revision, Owner.RELEASE, 2)):
        yield ReplicaSetView(
            name=f"{_NAME}-{revision}",
            revision=revision,
            owner=owner,
            wanted=_PODS,
            current=_PODS,
            ready=_PODS,
            available=_PODS,
            version=revision,
            number=number,
        )
