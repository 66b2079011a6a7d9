"""Conditions: what they say, of which generation, and since when."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from tidegate.api.base import SENTENCE, clip
from tidegate.api.names import Condition, Reason
from tidegate.api.status import ReleaseStatus
from tidegate.engine.conditions import Told, conditions, refused
from tidegate.engine.snapshot import Blocker

NOW = datetime(2026, 1, 1, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)


def ready(value: bool | None, message: str = "") -> Told:
    return Told(Condition.READY, value, Reason.PROMOTED, message)


def test_a_condition_moves_in_time_only_with_its_status() -> None:
    """Given Ready since an hour, other words or another generation are no transition; another status is one."""
    first = ReleaseStatus(conditions=conditions(ReleaseStatus(), [ready(True)], generation=1, now=NOW))

    (same,) = conditions(first, [ready(True, "v2 serves")], generation=2, now=LATER)
    (other,) = conditions(first, [ready(None)], generation=2, now=LATER)

    assert (same.status, same.message, same.observed_generation, same.last_transition_time) == ("True", "v2 serves", 2, NOW)
    assert (other.status, other.last_transition_time) == ("Unknown", LATER)


def test_refusal_keeps_all_but_the_conditions() -> None:
    """A status that says why nothing is decided leaves what is on as it is, and its conditions change only when they do."""
    blockers = (Blocker(Reason.INVALID_SPEC, "spec.x: bad"), Blocker(Reason.CONFLICT, "y"))
    first = refused(ReleaseStatus(weight=10), blockers, generation=3, now=NOW)
    second = refused(first, blockers, generation=4, now=LATER)

    assert (first.weight, first.message, first.observed_generation) == (10, "spec.x: bad; y", 3)
    assert {condition.type: condition.status for condition in first.conditions} == {
        "Ready": "False",
        "Reconciling": "False",
        "Stalled": "True",
        "Promoted": "Unknown",
    }
    assert {condition.last_transition_time for condition in second.conditions} == {NOW}
    assert second.observed_generation == 4


def test_what_is_too_long_for_a_status_ends_with_the_sign_for_it() -> None:
    """Words of others are not bounded, fields of the status are: what was cut can be told from what was not."""
    whole, cut = refused(ReleaseStatus(), (Blocker(Reason.CONFLICT, "x" * SENTENCE),), generation=1, now=NOW), clip("x" * 5000)

    assert whole.message == "x" * SENTENCE
    assert cut == "x" * (SENTENCE - 1) + "…"
