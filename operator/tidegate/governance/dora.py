"""The four keys of software delivery, and what teams set themselves besides, from records alone: counted, never guessed.

Each number says from what it is: a lead time begins with the commit of a version where whoever deploys it has named that, and
else when the operator first saw it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from statistics import mean, median
from typing import Any

from tidegate.api.base import parse_time
from tidegate.api.release import ReleaseType
from tidegate.api.status import Outcome

WEEK = timedelta(days=7)


@dataclass(frozen=True)
class Rollout:
    """A rollout as its record has it.

    Attributes:
        outcome: how it ended.
        hotfix: whether it was one.
        seen: when the version was first seen.
        committed: when its commit was made, as far as that counts; None where it is not known.
        ignored: a commit was named that does not count.
        started: when the rollout started.
        exposed: whether the version had traffic.
        risen: when its weight last rose: until then its gates had passed. None where it never had traffic.
        undone: when it began to be rolled back.
        ended: when the rollout ended.
    """

    outcome: Outcome
    hotfix: bool
    seen: datetime
    committed: datetime | None
    ignored: bool
    started: datetime
    exposed: bool
    risen: datetime | None
    undone: datetime | None
    ended: datetime


@dataclass(frozen=True)
class Measures:
    """What the rollouts of one service in one environment come to.

    Attributes:
        rollouts: that promoted a version, or rolled one back; those that a newer version replaced are none.
        promoted: versions that were promoted.
        rolled_back: versions that were rolled back after they had traffic.
        stopped: versions that were rolled back before.
        hotfixes: versions that were promoted as a hotfix.
        failed: changes that failed: rolled back after they had traffic, or promoted and then replaced by a hotfix.
        per_week: promotions in a week.
        lead_times: of each promoted version, from its commit or else from when it was first seen, to its promotion.
        from_commits: how many of these are from commits.
        ignored: how many promoted versions have a commit that does not count.
        durations: from the start of each promotion's rollout to its end.
        restores: of each failed change, how long users may have met it.
    """

    rollouts: int
    promoted: int
    rolled_back: int
    stopped: int
    hotfixes: int
    failed: int
    per_week: float
    lead_times: tuple[timedelta, ...]
    from_commits: int
    ignored: int
    durations: tuple[timedelta, ...]
    restores: tuple[timedelta, ...]


@dataclass(frozen=True)
class Target:
    """What a measure should be.

    Attributes:
        name: of the measure.
        words: the target, for people.
        value: returns the measure: a share, or seconds; None where there is nothing to measure.
        met: whether a value is as it should be.
    """

    name: str
    words: str
    value: Callable[[Measures], float | None]
    met: Callable[[float], bool]


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def _seconds(spans: Sequence[timedelta], of: Callable[[list[float]], float]) -> float | None:
    return of([span.total_seconds() for span in spans]) if spans else None


TARGETS = (
    Target("successRate", "more than 95%", lambda it: _share(it.promoted, it.rollouts), lambda share: share > 0.95),
    Target("rollbackRate", "less than 5%", lambda it: _share(it.rolled_back + it.stopped, it.rollouts), lambda share: share < 0.05),
    Target("hotfixRate", "less than 10%", lambda it: _share(it.hotfixes, it.promoted), lambda share: share < 0.10),
    Target(
        "changeFailureRate", "less than 5%", lambda it: _share(it.failed, it.promoted + it.rolled_back), lambda share: share < 0.05
    ),
    Target("leadTimeSeconds", "less than 1 day", lambda it: _seconds(it.lead_times, median), lambda spent: spent < 86_400),
    Target("deploymentSeconds", "less than 30 min", lambda it: _seconds(it.durations, mean), lambda spent: spent < 1800),
    Target("timeToRestoreSeconds", "less than 5 min", lambda it: _seconds(it.restores, mean), lambda spent: spent < 300),
)
"""Measures with the targets of a release process; how often somebody deploys has none, for that is as needed."""


def rollout_of(spec: Mapping[str, Any]) -> Rollout:
    """Return what a record says.

    Raises:
        ValueError: it is none that the schema lets through.
    """
    rises = [parse_time(after["at"]) for before, after in _changes(spec.get("course") or ()) if after["weight"] > before]
    undone, committed = spec.get("undoAt"), spec.get("committedAt")
    ignored = bool(spec.get("commitIgnored"))
    return Rollout(
        outcome=Outcome(str(spec.get("outcome"))),
        hotfix=spec.get("type") == ReleaseType.HOTFIX.value,
        seen=parse_time(spec.get("seenAt") or spec.get("startedAt")),
        committed=parse_time(committed) if committed and not ignored else None,
        ignored=ignored,
        started=parse_time(spec.get("startedAt")),
        exposed=bool(spec.get("exposedAt")),
        risen=rises[-1] if rises else None,
        undone=parse_time(undone) if undone else None,
        ended=parse_time(spec.get("endedAt")),
    )


def measures(rollouts: Iterable[Rollout], span: timedelta) -> Measures:
    """Return what rollouts come to.

    Args:
        rollouts: of one service in one environment, that ended in some time.
        span: how long that was.
    """
    found = sorted(rollouts, key=lambda one: one.ended)
    promoted = [one for one in found if one.outcome is Outcome.PROMOTED]
    undone = [one for one in found if one.outcome is Outcome.ROLLED_BACK]
    rolled_back = [one for one in undone if one.exposed]
    mended = [(bad, fix) for bad, fix in pairwise(promoted) if fix.hotfix]
    restores = [one.undone - one.risen for one in rolled_back if one.undone is not None and one.risen is not None]
    return Measures(
        rollouts=len(promoted) + len(undone),
        promoted=len(promoted),
        rolled_back=len(rolled_back),
        stopped=len(undone) - len(rolled_back),
        hotfixes=sum(one.hotfix for one in promoted),
        failed=len(rolled_back) + len(mended),
        per_week=len(promoted) / (span / WEEK),
        lead_times=tuple(one.ended - _begun(one) for one in promoted),
        from_commits=sum(one.committed is not None for one in promoted),
        ignored=sum(one.ignored for one in promoted),
        durations=tuple(one.ended - one.started for one in promoted),
        restores=tuple(max(timedelta(0), span) for span in (*restores, *(fix.ended - bad.ended for bad, fix in mended))),
    )


def _changes(course: Sequence[Mapping[str, Any]]) -> Iterable[tuple[int, Mapping[str, Any]]]:
    before = 0
    for one in course:
        yield before, one
        before = int(one["weight"])


def _begun(one: Rollout) -> datetime:
    """Return from when on a lead time counts. Clocks differ: nothing is committed after it was seen."""
    return one.seen if one.committed is None else min(one.committed, one.seen)
