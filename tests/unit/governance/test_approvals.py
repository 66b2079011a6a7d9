"""Which votes a policy needs of a version at which point, and what people read while some are missing."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.api.approvals import Approval
from tidegate.governance.approvals import command, demand, missing, points, state
from tidegate.governance.votes import Author, Ballot, Seats, ballot
from unit.governance.test_votes import NOW, SUBJECT, at, decision, rejects


def entry(at: str = "Start", **more) -> Approval:
    """Return an entry of a policy; by default one vote of qa at the start."""
    return Approval.model_validate({"at": at, "roles": {"qa": 1}} | more)


def never(condition: str) -> bool:
    """No condition is true."""
    return False


def asked(*entries: Approval, said: Ballot | None = None, subject=SUBJECT) -> str:
    """Return what people read behind `waits`; empty where nothing is missing."""
    said = said or Ballot()
    lack = missing(points(entries, never), said, NOW)
    return demand(lack) + state(lack, said) if lack is not None else ""


def test_points_are_in_the_order_of_a_rollout():
    """Whatever the order of the entries, the start comes first, then weight by weight."""
    some = [entry("100%"), entry("Start"), entry("5%")]

    assert [0, 5, 100] == [point.weight for point in points(some, never)]


def test_entry_whose_condition_is_false_asks_for_nothing():
    """A condition is asked of the version; the entry without one always counts."""
    some = [entry("100%", when="release.type == 'major'"), entry("50%", when="true")]

    assert [50] == [point.weight for point in points(some, lambda condition: condition == "true")]


def test_condition_that_cannot_be_evaluated_is_closed():
    """Nothing goes on past it, not even with all votes, and people read which one it is."""

    def breaks(condition: str) -> bool:
        raise ValueError(f"{condition!r} names colour")

    said = ballot([decision("ann")], SUBJECT, NOW)
    lack = missing(points([entry(when="colour == 'red'"), entry()], breaks), said, NOW)

    assert "for a condition in its policy's approvals to be fixed: \"colour == 'red'\" names colour" == demand(lack)
    assert "" == command(lack, "checkout", "shop")


def test_entries_about_one_point_are_one_question():
    """Of each role the greatest number counts and the shortest time, whichever entry has it."""
    some = [entry(roles={"qa": 2}, expires="2h"), entry(roles={"qa": 1, "security": 1}, expires="1h"), entry(roles={"qa": 1})]

    (point,) = points(some, never)

    assert {"qa": Seats(2, timedelta(hours=1)), "security": Seats(1, timedelta(hours=1))} == point.seats


def test_what_is_missing_is_said_with_its_cure():
    """How many votes of which role, how many there are, who gave them, and the command that gives another."""
    said = ballot([decision("ann")], SUBJECT, NOW)
    lack = missing(points([entry(roles={"qa": 2})], never), said, NOW)

    assert "for 1 more approval by role qa (1 of 2 given)" == demand(lack)
    assert "; approved by ann (qa)" == state(lack, said)
    assert "kubectl tidegate approve checkout -n shop --role qa" == command(lack, "checkout", "shop")


@pytest.mark.parametrize(
    ("entries", "words"),
    [
        ([entry()], "for 1 more approval by role qa (0 of 1 given)"),
        ([entry(roles={"qa": 3})], "for 3 more approvals by role qa (0 of 3 given)"),
        (
            [entry(roles={"qa": 1, "security": 2})],
            "for 1 more approval by role qa (0 of 1 given) and 2 more approvals by role security (0 of 2 given)",
        ),
        ([entry("50%"), entry("100%", roles={"architect": 1})], "for 1 more approval by role qa (0 of 1 given)"),
    ],
)
def test_first_point_that_lacks_a_vote_is_told(entries: list[Approval], words: str):
    """All roles of one point are told at once, and those of a later one later."""
    assert words == asked(*entries)


def test_who_fills_another_seat_is_told():
    """One person in two roles leaves one seat empty, and people read why."""
    said = ballot([decision("ann", "qa"), decision("ann", "security")], SUBJECT, NOW)

    assert (
        "for 1 more approval by role security (0 of 1 given); approved by ann (qa); "
        "ann counts for qa alone, as one person fills one seat" == asked(entry(roles={"qa": 1, "security": 1}), said=said)
    )


def test_votes_that_do_not_count_are_told():
    """Who has withdrawn, and whose own change it is; a name is cut, and one line."""
    subject = replace(SUBJECT, authors=(Author("dev\n" + "x" * 100),))
    said = ballot([decision("ann"), rejects("ann"), decision("dev\n" + "x" * 100)], subject, NOW)

    assert (
        "for 1 more approval by role qa (0 of 1 given); withdrawn by ann (qa); "
        f"dev {'x' * 59}\u2026 has made the change: somebody else has to approve it" == asked(entry(), said=said)
    )


def test_when_a_vote_expires_is_told():
    """While others are missing, the time at which one is lost again is of concern."""
    said = ballot([decision("ann", expires=at(90))], SUBJECT, NOW)

    assert asked(entry(roles={"qa": 2}), said=said).endswith("; the first of these votes expires at Thu 2026-01-01 01:30 UTC")


def test_nothing_is_missing():
    """With all votes, and where no vote is asked for, nothing is."""
    said = ballot([decision("ann")], SUBJECT, NOW)

    assert "" == asked(entry(), said=said)
    assert "" == asked(entry(when="release.type == 'major'"))
    assert "" == asked()


names = st.sampled_from(["ann", "bob", "cid", "dee"])
votes = st.lists(st.builds(decision, names, st.sampled_from(["qa", "security"]), st.integers(1, 20)), max_size=6)
entries = st.lists(
    st.builds(
        entry,
        st.sampled_from(["Start", "50%", "100%"]),
        roles=st.dictionaries(st.sampled_from(["qa", "security"]), st.integers(1, 3), min_size=1),
        expires=st.sampled_from([None, "45m", "2h"]),
    ),
    max_size=4,
)


@given(votes, entries)
def test_each_entry_is_satisfied_where_nothing_is_missing(decisions, some: list[Approval]):
    """Said once more and otherwise: where nothing is missing, each entry alone has its votes, and each point people enough."""
    said = ballot(decisions, SUBJECT, NOW)
    if missing(points(some, never), said, NOW) is not None:
        return

    for one in some:
        for role, needed in one.roles.items():
            fresh = {vote.by for vote in said.votes if vote.role == role and (one.expires is None or NOW < vote.cast + one.expires)}
            assert len(fresh) >= needed
    for weight in {one.weight for one in some}:
        here = [one for one in some if one.weight == weight]
        people = {vote.by for vote in said.votes}
        assert len(people) >= sum(max(one.roles.get(role, 0) for one in here) for role in ("qa", "security"))
