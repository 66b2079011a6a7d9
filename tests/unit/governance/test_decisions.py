"""A ReleaseDecision as the engine sees it: what it says, its place among others, and for which Release it is."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta

import pytest

from tidegate.api.decision import Action, DecisionOutcome
from tidegate.governance.decisions import CAREFUL, COMMANDS, DecisionView, in_order, person, stranger, view_of

MADE = datetime(2026, 1, 1, 9, 0, 5, tzinfo=UTC)


def obj(spec: dict, version: str = "77", **more) -> dict:
    """Return an object as the API server has it."""
    metadata = {"name": "checkout-1", "uid": "u1", "creationTimestamp": "2026-01-01T09:00:05Z", "resourceVersion": version}
    return {"metadata": metadata, "spec": {"release": "checkout", "by": "ann", **spec}, **more}


def command(action: Action, seconds: int = 0, version: int = 0, uid: str = "u") -> DecisionView:
    """Return a command of some second."""
    created = MADE + timedelta(seconds=seconds)
    return DecisionView(name=uid, uid=uid, created=created, version=version, action=action, by="ann")


def test_all_that_a_decision_says():
    """Each field of an object is in its view, and what it does not have is empty."""
    said = {"action": "Approve", "revision": "r2", "digest": "sha256:ab", "role": "qa", "reason": "tested", "releaseUID": "x"}
    found = view_of(obj({**said, "expires": "2h", "groups": ["dev"]}, status={"outcome": "Counted"}))

    assert found == DecisionView(
        name="checkout-1",
        uid="u1",
        created=MADE,
        version=77,
        action=Action.APPROVE,
        by="ann",
        groups=("dev",),
        revision="r2",
        digest="sha256:ab",
        release_uid="x",
        role="qa",
        reason="tested",
        expires=MADE + timedelta(hours=2),
        outcome=DecisionOutcome.COUNTED,
    )


def test_what_people_write_is_one_line_without_commands_for_a_terminal():
    """It stands in statuses and Events, which others read."""
    found = view_of(obj({"action": "Rollback", "toVersion": "v1\x1b[2J", "reason": "a\n  b\x1b]0;x\x07\u202e"}))

    assert ("v1\ufffd[2J", "a b\ufffd]0;x\ufffd\ufffd") == (found.to_version, found.reason)


def test_rollback_with_all_that_it_can_say():
    """A rollback may name a version, and keep the next one waiting."""
    found = view_of(obj({"action": "Rollback", "toVersion": "v1", "hold": True}))

    assert (Action.ROLLBACK, "v1", True, None, None) == (found.action, found.to_version, found.hold, found.expires, found.outcome)


@pytest.mark.parametrize("version", ["", "abc", "-1", "1.5", "\u0661", "9" * 21])
def test_odd_resource_version_is_none(version: str):
    """What is no number, or a longer one than there can be, gives no order."""
    assert 0 == view_of(obj({"action": "Pause"}, version)).version


@pytest.mark.parametrize("spec", [{}, {"action": "Dance"}, {"action": "Approve", "expires": "soon"}])
def test_what_the_schema_refuses_is_none(spec: dict):
    """An object that no API server lets through is no decision."""
    with pytest.raises(ValueError, match="validation error"):
        view_of(obj(spec))


def test_outcome_of_a_later_operator_is_none():
    """A word that is not known says nothing."""
    assert None is view_of(obj({"action": "Pause"}, status={"outcome": "Postponed"})).outcome


def test_commands_are_in_the_order_in_which_they_were_made():
    """First by second, then by what was written first; facts are no commands."""
    late, first, second = command(Action.RESUME, 1, 1, "c"), command(Action.PAUSE, 0, 8, "b"), command(Action.PROMOTE, 0, 9, "a")

    for some in itertools.permutations([late, first, second, command(Action.APPROVE, -1)]):
        assert [first, second, late] == in_order(some)


def test_careful_one_has_the_last_word_where_no_order_is_known():
    """Of one second, without any other sign, what takes traffic away comes after what gives some, so that it holds."""
    some = [command(action, uid=action.value) for action in COMMANDS]

    found = [one.action for one in in_order(some)]

    assert {*found[3:]} == CAREFUL
    assert [Action.PAUSE, Action.ROLLBACK, Action.REJECT] == found[3:]


@pytest.mark.parametrize(
    ("decision", "words"),
    [
        ({"release_uid": "mine"}, ""),
        ({"release_uid": "mine", "created": MADE - timedelta(days=1)}, ""),
        ({"created": MADE + timedelta(seconds=1)}, ""),
        ({}, "it names no releaseUID and is not younger than the Release: decide again"),
        ({"created": MADE - timedelta(seconds=1)}, "it names no releaseUID and is not younger than the Release: decide again"),
        ({"release_uid": "another"}, "it is for a Release of this name that was deleted since: decide again"),
    ],
)
def test_decision_for_another_release_of_the_name(decision: dict, words: str):
    """A Release that was deleted and made again is another one; who names no uid must have decided after it was made."""
    base = {"name": "d", "uid": "d", "created": MADE, "action": Action.APPROVE, "by": "ann"}

    assert words == stranger(DecisionView(**base | decision), "mine", MADE)


@pytest.mark.parametrize(("name", "same"), [("Ann", "ann"), ("ﬁn", "FIN"), ("Å", "a\u030a"), (" ann ", "ann")])
def test_spellings_of_one_name(name: str, same: str):
    """Case, and ways to write the same letter, make no other person."""
    assert person(name) == person(same)
