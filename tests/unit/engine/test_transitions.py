"""What happens is a fact: each kind has an id of its own, a reason that means one thing, and a sentence."""

from __future__ import annotations

import dataclasses

import pytest

from simulation.policies import at_weight, finish, policy, step
from tidegate.api.names import Cause, EventReason, Phase
from tidegate.api.status import Outcome
from tidegate.engine import (
    checked,
    commanded,
    disagreeing,
    flagged,
    lacking,
    migrated,
    reviews,
    taken_over,
    transitions,
    undelivered,
)
from tidegate.engine.handover.deployment import happened
from tidegate.engine.transitions import Alert, Ended, RollingBack, Transition
from tidegate.engine.words import words

KINDS = [
    kind
    for module in (
        transitions,
        happened,
        checked,
        commanded,
        flagged,
        lacking,
        taken_over,
        reviews,
        undelivered,
        disagreeing,
        migrated,
    )
    for kind in vars(module).values()
    if isinstance(kind, type) and issubclass(kind, Transition) and kind not in {Transition, Alert}
]
OF_SEVERAL = {
    EventReason.WEIGHT_CHANGED: "a weight has changed, up or down",
    EventReason.MIGRATION_FAILED: "a Job of a migration has failed, whatever follows of it",
    EventReason.GATE_BREACHED: "a gate or the score is breached, whatever follows of it",
}
"""Reasons that several kinds have, with the one thing that they mean."""


def told(kind: type[Transition]) -> list[EventReason]:
    """Return the reasons that Events of a kind may have."""
    return [EventReason(outcome.value) for outcome in Outcome] if kind is Ended else [kind.reason]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_each_has_words_of_its_own(kind: type[Transition]):
    """Nobody notes a thing for which nobody has found words."""
    assert words.dispatch(kind) is not words.dispatch(Transition)
    assert dataclasses.is_dataclass(kind)


def test_ids_are_of_one_kind_each():
    """A machine that knows an id knows what has happened."""
    ids = [kind.id for kind in KINDS]

    assert sorted(set(ids)) == sorted(ids)


def test_a_reason_means_one_thing():
    """But for three, each reason is that of one kind; and each reason that there is has one."""
    kinds: dict[EventReason, list[str]] = {}
    for kind in KINDS:
        for reason in told(kind):
            kinds.setdefault(reason, []).append(kind.__name__)

    assert {reason for reason, names in kinds.items() if len(names) > 1} == set(OF_SEVERAL)
    assert set(kinds) == set(EventReason)


def test_a_plan_says_what_has_happened_without_words():
    """Given a rollback by request, the notices carry the facts: version, cause and how it ended."""
    world = at_weight(50, policy(step(50, "1h"), step(100)))
    world.ask("rollback/1")
    finish(world, Phase.ROLLED_BACK)

    happened = [notice.transition for notice in world.notices]
    began = next(one for one in happened if isinstance(one, RollingBack))
    ended = next(one for one in happened if isinstance(one, Ended))
    assert ("v2", Cause.REQUEST, True) == (began.version, began.cause, began.warns)
    assert ("v2", "v1", Outcome.ROLLED_BACK) == (ended.version, ended.stable, ended.outcome)
