"""Approvals keep a version from starting, and from more weight; they have no say in what takes traffic away."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from simulation.deciders import approve, decide, outcome
from simulation.policies import at_weight, carried, finish, gate, idle, policy, reach, step
from simulation.views import at
from simulation.world import World
from tidegate.api.decision import Action
from tidegate.api.names import Phase
from tidegate.governance.view import GovernanceView
from tidegate.governance.votes import Author

STEPS = (step(25, "5s"), step(50, "5s"), step(100))


def asks(point: str = "Start", **more) -> dict:
    """Return an entry of a policy."""
    return {"at": point, "roles": {"qa": 1}} | more


def waiting(*entries: dict, **more) -> World:
    """Return a world in which v2 is wanted under a policy with approvals, a few seconds later."""
    world = idle(policy(*STEPS, bake="3s", approvals=list(entries), **more))
    world.apply("v2")
    world.crank(5)
    return world


def kept_at(world: World) -> int:
    """Return the weight at which a world stands after a while."""
    world.crank(60)
    return world.status.weight


def test_version_waits_for_its_approval_before_it_starts():
    """Nothing of v2 is made; people read whose vote is missing and the command; then it starts, and takes over."""
    world = waiting(asks(roles={"qa": 2}))
    assert (Phase.WAITING, None) == (world.status.phase, world.status.rollout)
    assert ["v1"] == [rs.template.image for rs in world.cluster.replica_sets.values()]

    first = approve(world, "ann")
    world.crank(2)
    command = "kubectl tidegate approve checkout -n shop --role qa"
    words = f"for 1 more approval by role qa (1 of 2 given): {command}; approved by ann (qa)"
    assert f"v2 waits {words}; v1 serves meanwhile" == world.status.message
    (entry,) = world.status.waiting_for
    assert ("Approval", command) == (entry.barrier, entry.how)
    assert "1 more approval by role qa (1 of 2 given); approved by ann (qa)" == entry.what

    second = approve(world, "bob")
    finish(world)
    assert "v2" == world.status.stable.version
    assert ["Counted", "Counted"] == [outcome(world, one) for one in (first, second)]


@pytest.mark.parametrize(("point", "stands_at"), [("Start", 0), ("25%", 0), ("26%", 25), ("50%", 25), ("51%", 50), ("100%", 50)])
def test_each_point_keeps_the_weight_below(point: str, stands_at: int):
    """A weight that takes votes is not reached without them, and neither are pods asked for it; with them all goes on."""
    world = waiting(asks(point))

    assert stands_at == kept_at(world)
    assert (stands_at == 0) == (world.status.rollout is None)
    assert "1 more approval by role qa" in world.status.message

    approve(world)
    finish(world)
    assert "v2" == world.status.stable.version


def test_full_promotion_does_not_stand_for_a_vote():
    """A person who asks for full promotion skips steps and gates, and no approval of what lies ahead."""
    world = waiting(asks("100%"))
    decide(world, Action.PROMOTE)
    world.ask("promote/1")

    assert kept_at(world) in (25, 50)

    approve(world)
    finish(world)


@pytest.mark.parametrize("phase", ["waiting", "at 50%"])
def test_approval_of_one_version_lets_no_other_through(phase: str):
    """Whoever changes the template has to be approved again, whatever the revisions are called."""
    world = waiting(asks("Start" if phase == "waiting" else "100%"))
    if phase == "at 50%":
        reach(world, 50)
    approve(world)
    for place, one in enumerate(world.people.decisions):
        world.people.decisions[place] = replace(one, revision="own-v3")
    world.apply("v3")

    world.crank(90)

    assert "v1" == world.status.stable.version
    assert "1 more approval by role qa (0 of 1 given)" in world.status.message


def test_restart_of_an_approved_version_keeps_its_approval():
    """`kubectl rollout restart` makes another revision of the same content: nobody has to vote again."""
    world = waiting(asks("Start"), asks("100%"))
    approve(world)
    reach(world, 50)

    world.apply("v2", "restarted")
    finish(world)

    assert "own-v2restarted" == world.status.stable.revision


def test_vote_that_expires_while_others_are_missing():
    """At the moment at which a vote ends, without anything else happening, people read that it is missing again."""
    world = waiting(asks(roles={"qa": 2}, expires="60s"))
    approve(world)
    world.operate()
    assert "(1 of 2 given)" in world.status.message
    due = world.last.plan.due
    assert world.people.decisions[0].created + timedelta(seconds=60) == due

    world.cluster.now = (due - at(0)).total_seconds()
    world.operate()

    assert "(0 of 2 given)" in world.status.message


def test_what_has_its_weight_keeps_it():
    """A vote that ends after it has let a version through takes nothing away, and is needed again for what comes."""
    world = waiting(asks("50%", expires="20s"), asks("100%", expires="20s"))
    approve(world)
    reach(world, 50)
    world.cluster.now += 60

    assert 50 == kept_at(world)

    approve(world, "bob")
    finish(world)


def test_withdrawn_vote_is_missing_again():
    """A Reject of the same person in the same role rejects the version, and takes the vote back even where it is tried again."""
    world = waiting(asks("100%"))
    yes = approve(world)
    reach(world, 50)
    decide(world, Action.REJECT, created=at(int(world.now) + 1))
    world.crank(3)
    assert "Counted" == outcome(world, yes)
    finish(world, Phase.ROLLED_BACK)

    decide(world, Action.RETRY, created=at(int(world.now) + 2))
    world.crank(90)

    assert 50 == world.status.weight
    assert "withdrawn by ann (qa)" in world.status.message


def test_author_does_not_vote(monkeypatch: pytest.MonkeyPatch):
    """The vote of who has changed the template does not count, and says so."""
    world = waiting(asks())
    view = world._workload_view
    authors = (Author("ann"),)
    monkeypatch.setattr(
        world, "_workload_view", lambda: replace(found := view(), template=replace(found.template, authors=authors))
    )
    own = approve(world, "Ann")

    assert 0 == kept_at(world)
    assert "Ann has made the change: somebody else has to approve it" in world.status.message
    assert "Refused" == outcome(world, own)

    approve(world, "bob")
    finish(world)


@pytest.mark.parametrize(
    ("versions", "waits"), [(("v1.0.0", "v2.0.0"), True), (("v1.0.0", "v1.1.0"), False), (("latest", "v1.1.0"), True)]
)
def test_condition_on_the_type_of_the_release(versions: tuple[str, str], waits: bool):
    """An entry with a condition asks only where it is true; a name that is no version number counts as the most it could be."""
    world = idle(policy(*STEPS, approvals=[asks(when="release.type == 'major'")]))
    world.apply(versions[0])
    world.crank(200, until=lambda: world.status.stable.version == versions[0] and carried(world) is None)
    approve(world)
    finish(world)
    assert versions[0] == world.status.stable.version
    world.apply(versions[1])

    world.crank(5)

    assert waits == (world.status.phase is Phase.WAITING)


def test_condition_that_cannot_be_evaluated():
    """It lets nothing through, and says what is wrong with it; a vote does not help."""
    world = waiting(asks(when="labels.tier == 'gold'"))
    approve(world)
    world.crank(3)

    assert Phase.WAITING is world.status.phase
    assert "waits for a condition in its policy's approvals to be fixed: \"labels.tier == 'gold'\"" in world.status.message


def test_votes_that_cannot_be_read_are_missing():
    """What is not known lets nothing through; people read why, and it goes on once it is known."""
    world = waiting(asks())
    approve(world)
    world.governance = GovernanceView(decisions_unread="forbidden")

    assert 0 == kept_at(world)
    assert "v2 waits for ReleaseDecisions to be read: forbidden; v1 serves meanwhile" == world.status.message

    world.governance = GovernanceView()
    finish(world)


def test_who_may_not_vote_any_more():
    """When all votes are there it is asked whether those who cast them still may; who may not is told of, and is missing."""
    world = waiting(asks())
    world.people.dismissed = {"ann"}
    approve(world, "ann")

    assert 0 == kept_at(world)
    assert "ann may not approve as qa any more" in world.status.message

    approve(world, "bob")
    finish(world)


def test_rights_that_cannot_be_asked_for():
    """While the API server does not answer, nothing starts; nobody is asked for what nobody needs."""
    world = waiting(asks())
    world.readable = False
    approve(world)
    assert 0 == kept_at(world)
    assert "waits to ask the API server whether those who have approved it still have the right" in world.status.message

    world.readable = True
    finish(world)


def test_breach_does_not_wait_for_a_vote():
    """While a version waits for votes at a weight, a gate that fails rolls it back in the pass that sees it."""
    world = at_weight(25, policy(*STEPS, gates=(gate(),), approvals=[asks("50%")]))
    world.crank(20)
    assert "approval by role qa" in world.status.message

    world.look("errors", 0.5)
    world.operate()

    assert (0, Phase.ROLLING_BACK) == (world.status.weight, world.status.phase)


def test_votes_are_for_the_version_that_is_told():
    """Without any approvals in the policy a vote is told that it counts wherever it is asked for, and changes nothing."""
    world = at_weight(25, policy(*STEPS))
    made = approve(world, role="sre")
    finish(world)

    assert "Counted" == outcome(world, made)


def test_condition_is_asked_before_each_weight():
    """Given votes that a label asks for, when it is given to the Release during a rollout, then the next weight needs them."""
    world = waiting(asks("50%", when="'risk' in labels && labels['risk'] == 'high'"))
    reach(world, 25)

    world.labels = {"risk": "high"}
    assert 25 == kept_at(world)

    approve(world)
    reach(world, 50)
