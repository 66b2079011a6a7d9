"""What becomes of decisions that count for a version, and how each comes to an end some day."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from simulation.deciders import approve, decide, outcome, why
from simulation.policies import idle, policy, step
from simulation.views import at
from simulation.world import World
from tidegate.api.decision import Action
from tidegate.api.names import Phase
from tidegate.engine.decide import decide as decided
from tidegate.engine.outcomes import LAPSES

DAY = 86_400.0


def waiting(votes: int = 2) -> World:
    """Return a world in which v2 waits for so many votes."""
    world = idle(policy(step(25, "5s"), step(100), bake="3s", approvals=[{"at": "Start", "roles": {"qa": votes}}]))
    world.apply("v2")
    world.crank(2)
    return world


def passes(world: World, days: float) -> None:
    """Some days go by."""
    world.cluster.now += days * DAY
    world.crank(2)


def test_a_vote_for_what_nobody_wants_ends() -> None:
    """Given a vote for v2 and then v3, it counts for v2, should that come back, for 30 days, and then says that it is over."""
    world = waiting()
    vote = approve(world)
    world.crank(2)
    world.apply("v3")

    passes(world, 29)
    before = outcome(world, vote)
    due = world.last.plan.due
    passes(world, 1)

    assert ("Counted", "Expired") == (before, outcome(world, vote))
    assert "its version is neither wanted nor rolled out, and it was made more than 30 days ago" in why(world, vote)
    assert due is not None
    assert due <= vote.created + LAPSES, "it is woken for that"
    world.apply("v2")
    passes(world, 0)
    assert "(0 of 2 given)" in world.status.message


def test_a_vote_that_was_not_for_anything_yet_ends_likewise() -> None:
    """Given a vote for content that nobody ever rolled out, then it does not stay for ever."""
    world = waiting()
    vote = approve(world, digest="sha256:other", revision="other")

    passes(world, 1)
    before = outcome(world, vote)
    passes(world, 30)

    assert (None, "Expired") == (before, outcome(world, vote))


def test_a_vote_for_what_is_wanted_stays() -> None:
    """However long a version waits for the second vote, the first one counts."""
    world = waiting()
    vote = approve(world)

    passes(world, 100)
    approve(world, "bob")
    world.crank(5)

    assert "Counted" == outcome(world, vote)
    assert Phase.PROGRESSING is world.status.phase


def test_a_vote_that_counted_says_when_its_time_is_over() -> None:
    """Given a vote with an end of its own, `Counted` is not left to stand."""
    world = waiting()
    vote = approve(world, expires=at(world.now + 60))
    world.crank(2)
    before = outcome(world, vote)

    passes(world, 1)

    assert ("Counted", "Expired", "its time (spec.expires) is over") == (before, outcome(world, vote), why(world, vote))


@pytest.mark.parametrize("role", ["", "qa"])
def test_a_reject_is_let_go_after_what_it_withdraws(role: str) -> None:
    """Given a Reject of v2, it is kept as long as a vote for v2 is, and not beyond."""
    world = waiting()
    vote = approve(world)
    world.crank(2)
    reject = decide(world, Action.REJECT, "ann", role=role)
    world.crank(5)
    world.apply("v3")
    early = approve(world, "zoe", created=at(world.now + 10 * DAY), revision=reject.revision, digest=reject.digest)

    passes(world, 31)
    first = [outcome(world, one) for one in (vote, reject, early)]
    passes(world, 10)
    second = [outcome(world, one) for one in (vote, reject, early)]

    assert ["Expired", "CarriedOut", None] == first
    assert ["Expired", "Superseded", "Expired"] == second


def test_without_a_workload_nothing_lapses() -> None:
    """Given a Deployment that is not there, nobody knows what is wanted, and votes stay as they are."""
    world = waiting()
    vote = approve(world)
    world.crank(2)
    world.refresh()

    plan = decided(replace(world.snapshot(), workload=None), at(world.now) + timedelta(days=90))

    assert "Counted" == outcome(world, vote)
    assert () == plan.outcomes
