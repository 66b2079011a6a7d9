"""A status that contradicts itself, e.g. after a hand has edited it, is repaired before anything is decided on it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import TypeVar, Unpack

from tidegate.api.base import Model
from tidegate.api.checked import CheckResult, CheckStatus
from tidegate.api.edits import ReleaseEdit, edited
from tidegate.api.names import Phase
from tidegate.api.status import GateStatus, ReleaseStatus

LEAD = timedelta(seconds=5)
"""By so much the clocks of two hosts may differ without a moment in the status being taken for one that has not come yet."""

M = TypeVar("M", bound=Model)


def moved(status: ReleaseStatus, by: timedelta) -> ReleaseStatus:
    """Return a status whose moments of the rollout that is on are put off, as if it had begun so much later.

    For when the clock has been stepped: how long something has lasted is what counts, and that is told by the distances.
    """
    if status.rollout is None:
        return status
    rollout = _later(status.rollout, by, "started_at", "split_at", "warmed_at", "exposed_at", "undo_since")
    paused = _later(rollout.paused, by, "since") if rollout.paused is not None else None
    lost = _later(rollout.lost, by, "at") if rollout.lost is not None else None
    return edited(
        status,
        rollout=edited(rollout, paused=paused, lost=lost),
        step=_later(status.step, by, "entered", "since", "until", "missing") if status.step is not None else None,
        gates=tuple(_gate_moved(state, by) for state in status.gates),
    )


def _gate_moved(state: GateStatus, by: timedelta) -> GateStatus:
    evidence = _later(state.evidence, by, "since") if state.evidence is not None else None
    moments = ("at", "undecided_since", "quiet_since", "newest", "newest_stable")
    return edited(_later(state, by, *moments), evidence=evidence)


def _later(part: M, by: timedelta, *names: str) -> M:
    return part.model_copy(update={name: _put_off(moment, by) for name in names if (moment := getattr(part, name)) is not None})


def _put_off(moment: datetime, by: timedelta) -> datetime:
    try:
        return moment + by
    except OverflowError:
        # Somebody's hand has written of a year that is far away.
        return datetime.min.replace(tzinfo=UTC) if by < timedelta(0) else datetime.max.replace(tzinfo=UTC)


def _moments(status: ReleaseStatus) -> Iterator[datetime | None]:
    """Yield what has come to pass, as the status has it."""
    if status.rollout is not None:
        rollout = status.rollout
        yield from (rollout.started_at, rollout.warmed_at, rollout.exposed_at, rollout.undo_since)
        yield rollout.paused.since if rollout.paused else None
        yield rollout.lost.at if rollout.lost else None
    if status.step is not None:
        yield from (status.step.entered, status.step.since, status.step.missing)
    for state in status.gates:
        yield from (state.at, state.undecided_since, state.quiet_since)


def _wanted_by(one: CheckStatus, now: datetime) -> CheckStatus:
    return edited(one, since=now) if one.result is CheckResult.RUNNING and one.since > now + LEAD else one


def repaired(status: ReleaseStatus, now: datetime) -> ReleaseStatus:
    """Return a status that the rules can rely on.

    Nothing has come to pass in the future: where the status says so, the clock has been set back since, and all moments with it.
    How long ago a check was wanted then, nobody knows: it is since now.

    A rollout is on only with a stable version, another version to be rolled out, and the policy. Its step is one of the
    policy's, and the weight is at most that of the step. Where something is missing, traffic goes towards the stable version.
    """
    latest = max((moment for moment in _moments(status) if moment is not None), default=now)
    if latest > now + LEAD:
        status = moved(status, now - latest)
    status = _changed(status, checks=tuple(_wanted_by(one, now) for one in status.checks))
    stable, candidate, rollout, step = status.stable, status.candidate, status.rollout, status.step
    if stable is None or candidate is None or rollout is None or candidate.revision == stable.revision:
        idle = candidate is None and rollout is None and step is None and status.weight == 0
        return status if idle else _changed(status, candidate=None, rollout=None, step=None, gates=(), weight=0)
    if step is not None and step.index >= len(rollout.spec.steps):
        step = None
    weight = 0 if step is None or rollout.undo is not None else min(status.weight, step.weight)
    lowered = weight > 0 and rollout.lost is not None
    if step is not None and step.since is not None and step.weight != weight and rollout.undo is None and not lowered:
        # The hold of a weight that is not there has not begun, unless pods were lost that had it.
        step = edited(step, since=None, until=None)
    if weight > 0 and rollout.exposed_at is None:
        rollout = edited(rollout, exposed_at=now)
    lost = status.phase is Phase.PROMOTING and (step is None or weight < 100)
    phase = Phase.PROGRESSING if lost else status.phase
    return _changed(status, step=step, weight=weight, rollout=rollout, phase=phase)


def _changed(status: ReleaseStatus, **changes: Unpack[ReleaseEdit]) -> ReleaseStatus:
    same = all(getattr(status, name) == value for name, value in changes.items())
    return status if same else edited(status, **changes)
