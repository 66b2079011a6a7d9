"""Hotfixes: what does not count for them, by whose word, and the reviews that follow."""

from __future__ import annotations

from datetime import timedelta

import pytest

from simulation.deciders import decide, outcome, why
from simulation.policies import condition, events, finish, gate, idle, policy, reach, step
from simulation.views import at
from simulation.world import World
from tidegate.api.decision import Action, Result
from tidegate.api.names import Phase
from tidegate.api.release import ReleaseType
from tidegate.governance.freezes import FreezeView
from tidegate.governance.view import GovernanceView
from tidegate.governance.votes import Author

STEPS = (step(25, "10s"), step(100))
SHUT = {"timeZone": "UTC", "deny": [{"cron": "0 0 1 1 *", "for": "48h"}]}
HOTFIX = {"skip": ["Upstream", "Window"], "holds": "20%", "review": "1h"}


def waiting(kind: ReleaseType | None = ReleaseType.HOTFIX, authors: tuple[str, ...] = ("cleo",), **more: object) -> World:
    """Return a world in which v2, which somebody has changed, waits for its release window."""
    fields = {"windows": SHUT, "hotfix": HOTFIX} | more
    world = idle(policy(*STEPS, bake="30s", gates=(gate(),), **fields))
    world.type = kind
    world.authors = tuple(Author(name) for name in authors)
    world.apply("v2")
    world.crank(5)
    return world


def override(world: World, by: str = "ann", **more: object) -> object:
    about = world.status.wanted
    return decide(world, Action.OVERRIDE, by, revision=about.revision, digest=about.digest or "", reason="checkout is down", **more)


def review(world: World, by: str, **more: object) -> object:
    digest = world.status.reviews[0].digest
    fields = {"check": "review", "result": Result.PASSED, "role": "architect", "digest": digest} | more
    return decide(world, Action.ATTEST, by, **fields)


def test_a_hotfix_starts_past_what_it_skips_by_somebody_elses_word():
    """Given a hotfix that waits for its window, when somebody overrides, it starts with shorter holds, and the status says so."""
    world = waiting()
    assert ["Window"] == [entry.barrier for entry in world.status.waiting_for]

    made = override(world)
    reach(world, 25)

    hotfix, (due,) = world.status.rollout.hotfix, world.status.reviews
    assert ("ann", "checkout is down", ["Upstream", "Window"]) == (hotfix.by, hotfix.reason, list(hotfix.skipped))
    assert [timedelta(seconds=2), timedelta(seconds=6)] == [world.status.rollout.spec.steps[0].hold, world.status.rollout.spec.bake]
    assert ("v2", "ann", ("cleo",), due.since + timedelta(hours=1)) == (due.version, due.by, due.authors, due.due)
    by = f"{due.due:%a %Y-%m-%d %H:%M} UTC"
    told = f"v2 starts as a hotfix without Upstream and Window, overridden by ann: checkout is down; to be reviewed by {by}"
    assert [told] == events(world, "Overridden")
    finish(world, Phase.IDLE)
    assert ("v2", "Counted") == (world.status.stable.version, outcome(world, made))
    assert not condition(world, "ReviewOverdue")
    assert condition(world, "Ready")


@pytest.mark.parametrize(
    "case",
    ["not a hotfix", "by its author", "by an account", "of another content", "expired", "withdrawn", "not entitled", "no field"],
)
def test_what_does_not_open_a_window(case: str):
    """An Override counts for a hotfix alone, for its content, until it ends, and from those who may."""
    more = {"hotfix": None} if case == "no field" else {}
    world = waiting(None if case == "not a hotfix" else ReleaseType.HOTFIX, **more)
    by = {"by its author": "Cleo", "by an account": "system:serviceaccount:shop:ci"}.get(case, "ann")
    if case == "of another content":
        decide(world, Action.OVERRIDE, by, revision=world.status.wanted.revision, digest="sha256-other")
    else:
        override(world, by, **({"expires": at(world.now + 1)} if case == "expired" else {}))
    if case == "expired":
        world.cluster.now += 5
    if case == "withdrawn":
        decide(world, Action.REJECT, by, revision="other", digest=world.status.wanted.digest)
    if case == "not entitled":
        world.people.dismissed.add("ann")

    world.crank(20)

    assert (None, ()) == (world.status.rollout, world.status.reviews)


def test_an_override_opens_no_freeze():
    """An incident freeze stops hotfixes, too: who has made it can end it."""
    world = waiting()
    world.governance = GovernanceView(freezes=(FreezeView("incident", "payments are down", at(0)),))
    override(world)

    world.crank(20)

    assert (Phase.WAITING, None) == (world.status.phase, world.status.rollout)


def test_gates_judge_a_hotfix_as_any_version():
    """Given a hotfix whose gate fails, then it is rolled back, and its review stays due."""
    world = waiting()
    override(world)
    reach(world, 25)

    world.look("errors", 0.5)
    finish(world, Phase.ROLLED_BACK)

    assert ["v2"] == [one.version for one in world.status.reviews]


def test_a_review_that_is_overdue_is_a_condition_and_told_once():
    """Given a hotfix that nobody reviews in time, then a condition says so until somebody does who had no part in it."""
    world = waiting()
    override(world)
    finish(world, Phase.IDLE)
    due = world.status.reviews[0].due

    world.cluster.now = (due - at(0)).total_seconds()
    world.crank(5)

    assert condition(world, "ReviewOverdue")
    assert condition(world, "Ready"), "it is promoted all the same"
    (told,) = events(world, "ReviewOverdue")
    assert told.startswith(f"hotfix v2 (overridden by ann) is not reviewed; it was due by {due:%a %Y-%m-%d %H:%M} UTC: ")

    for by in ("ann", "cleo", "system:serviceaccount:shop:ci"):
        review(world, by)
    review(world, "dave", check="smoke")
    world.crank(5)
    assert condition(world, "ReviewOverdue"), "by none of those"

    made = review(world, "dave")
    world.crank(5)
    assert ((), ["Hotfix v2 was reviewed by dave: Passed"]) == (world.status.reviews, events(world, "Reviewed"))
    assert ("Counted", "the review of hotfix v2: Passed") == (outcome(world, made), why(world, made))
    assert "ReviewOverdue" not in {one.type for one in world.status.conditions}


def test_a_review_whose_time_is_over_when_it_is_seen_does_not_count():
    """As after an operator that was away: it is told that it has expired, and the hotfix waits for another one."""
    world = waiting()
    override(world)
    reach(world, 25)

    made = review(world, "dave", expires=at(int(world.now) - 1))
    world.crank(5)

    assert (1, "Expired", []) == (len(world.status.reviews), outcome(world, made), events(world, "Reviewed"))


def test_a_review_by_who_has_lost_the_right_does_not_count():
    """As an attestation may have been made long before the hotfix, the API server is asked when it is about to count."""
    world = waiting()
    override(world)
    reach(world, 25)
    world.people.dismissed, world.readable = {"dave"}, False
    lost, made = review(world, "dave"), review(world, "eve")
    world.crank(2)
    assert 1 == len(world.status.reviews), "nobody has answered"

    world.readable = True
    world.crank(5)

    assert ((), ["Hotfix v2 was reviewed by eve: Passed"]) == (world.status.reviews, events(world, "Reviewed"))
    assert ("Counted", None) == (outcome(world, made), outcome(world, lost))


def test_who_may_not_review_any_more_is_told():
    """Then the review is still to come."""
    world = waiting()
    override(world)
    reach(world, 25)
    world.people.dismissed = {"dave"}

    lost = review(world, "dave")
    world.crank(5)

    assert (1, "Refused") == (len(world.status.reviews), outcome(world, lost))
    assert "dave may not attest as architect any more" == why(world, lost)


@pytest.mark.parametrize("ago", [3600, -3600])
def test_a_review_counts_whatever_clock_the_start_is_of(ago: int):
    """Given a leader whose clock is an hour off the API server's, a review without the Release's UID counts all the same."""
    world = waiting()
    override(world)
    reach(world, 25)

    made = review(world, "dave", release_uid="", created=at(int(world.now) - ago))
    world.crank(5)

    assert ((), "Counted") == (world.status.reviews, outcome(world, made))


def test_a_review_is_written_down_once_though_the_hotfix_is_tried_again():
    """Given a hotfix that was reviewed and rolled back, its review counts for the same content again, and stands there once."""
    world = waiting()
    override(world)
    reach(world, 25)
    made = review(world, "dave")
    world.crank(1)
    world.look("errors", 0.5)
    finish(world, Phase.ROLLED_BACK)

    world.look("errors", 0.0)
    world.ask("retry/1")
    reach(world, 25)
    world.crank(2)

    assert ((), [made.uid]) == (world.status.reviews, [one.uid for one in world.status.carried_out])


def test_after_so_many_without_a_review_a_hotfix_is_none():
    """Who never reviews gets no more hotfixes past the windows, until somebody does."""
    world = waiting()
    override(world)
    finish(world, Phase.IDLE)
    (one,) = world.status.reviews
    many = tuple(one.model_copy(update={"digest": f"sha256-{number}"}) for number in range(8))
    world.status = world.status.model_copy(update={"reviews": many})
    world.apply("v3")
    world.crank(5)
    override(world)

    world.crank(20)

    assert (Phase.WAITING, None) == (world.status.phase, world.status.rollout)


@pytest.mark.parametrize(
    ("by", "words"),
    [
        ("ann", "ann has overridden it: somebody else has to review it"),
        ("Cleo", "Cleo has made the change: somebody else has to review it"),
        ("system:serviceaccount:shop:ci", "system:serviceaccount:shop:ci is no person: only people review"),
    ],
)
def test_a_review_that_cannot_count_is_told_why(by: str, words: str):
    """Who had a part in a hotfix reads in their attestation that it is no review; that one is due stays."""
    world = waiting()
    override(world)
    reach(world, 25)

    made = review(world, by)
    world.crank(1)

    assert ("Refused", words) == (outcome(world, made), why(world, made))
    assert 1 == len(world.status.reviews)


@pytest.mark.parametrize(
    ("by", "words"),
    [
        ("Cleo", "Cleo has made the change: somebody else has to override"),
        ("system:serviceaccount:shop:ci", "system:serviceaccount:shop:ci is no person: only people override"),
    ],
)
def test_an_override_that_cannot_count_is_told_why(by: str, words: str):
    """Who has made the change reads so in their Override, and not only that nothing happens."""
    world = waiting()

    made = override(world, by)
    world.crank(5)

    assert ("Refused", words) == (outcome(world, made), why(world, made))


def test_a_review_says_that_it_counts_whenever_the_operator_dies():
    """Given an operator that dies when what was due is over and nothing was told yet, the next one tells it in the decision."""
    world = waiting()
    override(world)
    reach(world, 25)
    made = review(world, "dave")

    world.operate(crash_after=1)
    assert ((), None) == (world.status.reviews, outcome(world, made))
    world.crank(1)

    assert ("Counted", "the review of hotfix v2: Passed") == (outcome(world, made), why(world, made))
