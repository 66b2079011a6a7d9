"""The measures of delivery, from records whose answers can be counted by hand."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tidegate.governance.dora import TARGETS, Measures, measures, rollout_of

Json = dict[str, Any]
BEGIN = datetime(2026, 1, 1, tzinfo=UTC)


def moment(minutes: float) -> str:
    return f"{BEGIN + timedelta(minutes=minutes):%Y-%m-%dT%H:%M:%SZ}"


def record(outcome: str = "Promoted", *, at: float, waited: float = 0, took: float = 10, kind: str = "minor", **more: Any) -> Json:
    """Return a record of a rollout that started at a minute, and had been seen some before."""
    course = [{"step": 1, "weight": 10, "at": moment(at + 1)}, {"step": 2, "weight": 50, "at": moment(at + 5)}]
    spec = {"outcome": outcome, "type": kind, "seenAt": moment(at - waited), "startedAt": moment(at), "endedAt": moment(at + took)}
    if outcome == "RolledBack":
        course.append({"step": 2, "weight": 0, "at": moment(at + 7)})
        spec["undoAt"] = moment(at + 7)
    return {**spec, "course": course, "exposedAt": moment(at + 1), **more}


def of(*records: Json, days: float = 7) -> Measures:
    return measures([rollout_of(one) for one in records], timedelta(days=days))


def value(found: Measures, name: str) -> float | None:
    return next(target.value(found) for target in TARGETS if target.name == name)


def test_four_promotions_and_a_rollback() -> None:
    """Counted by hand: 4 of 5 promoted; the median of the lead times; restored two minutes after the last rise of the weight."""
    found = of(
        record(at=0, waited=30),
        record(at=100, waited=50),
        record("RolledBack", at=200),
        record(at=300, waited=1000, took=20),
        record(at=400, waited=10),
    )

    assert (5, 4, 1, 1, 4.0) == (found.rollouts, found.promoted, found.rolled_back, found.failed, found.per_week)
    assert (0.8, 0.2, 0.0, 0.2) == tuple(
        value(found, name) for name in ("successRate", "rollbackRate", "hotfixRate", "changeFailureRate")
    )
    assert 50 * 60 == value(found, "leadTimeSeconds")
    assert (10 + 10 + 20 + 10) / 4 * 60 == value(found, "deploymentSeconds")
    assert 120 == value(found, "timeToRestoreSeconds")


def test_lead_times_begin_with_the_commit_where_it_counts() -> None:
    """Two from commits, one from first seen as its commit does not count, one that names none; a clock ahead makes none shorter."""
    found = of(
        record(at=0, waited=30, committedAt=moment(-500)),
        record(at=100, waited=50, committedAt=moment(-100_000), commitIgnored="NotNewer"),
        record(at=200, waited=10, committedAt=moment(192)),
        record("RolledBack", at=250, committedAt=moment(0), commitIgnored="TooOld"),
        record(at=300, waited=5),
    )

    assert (2, 1) == (found.from_commits, found.ignored)
    assert [timedelta(minutes=minutes) for minutes in (510, 60, 20, 15)] == [*found.lead_times]


def test_a_hotfix_is_the_end_of_a_failure() -> None:
    """Given a promotion that a hotfix replaces, that change failed, and was restored when the hotfix was promoted."""
    found = of(record(at=0), record(at=20, kind="hotfix"), record(at=100))

    assert (3, 1, 1) == (found.promoted, found.hotfixes, found.failed)
    assert (timedelta(minutes=20),) == found.restores


def test_what_never_had_traffic_failed_nobody() -> None:
    """A version that was stopped before its first request is a rollback, and no failed change; nor is a superseded one anything."""
    stopped = record("RolledBack", at=0, course=[], exposedAt=None)

    found = of(stopped, record("Superseded", at=50), record("Reverted", at=60), record(at=100))

    assert (2, 0, 1, 0) == (found.rollouts, found.rolled_back, found.stopped, found.failed)
    assert 0.5 == value(found, "rollbackRate")
    assert () == found.restores


def test_nothing_is_no_number() -> None:
    """Without rollouts no share is made up."""
    assert {None} == {target.value(of()) for target in TARGETS}


@pytest.mark.parametrize("field", ["outcome", "startedAt", "endedAt"])
def test_a_record_that_is_none_is_refused(field: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - its words are of no concern
        rollout_of({**record(at=0), field: "nonsense"})
