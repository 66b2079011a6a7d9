"""Checks keep a version from starting, and from more weight, until it is attested that they have passed; they undo nothing."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from simulation.deciders import decide, outcome, why
from simulation.policies import at_weight, finish, gate, idle, policy, reach, step
from simulation.world import World
from tidegate.api.decision import Action, Result
from tidegate.api.names import Phase
from tidegate.governance.decisions import DecisionView
from tidegate.governance.view import GovernanceView

STEPS = (step(25, "5s"), step(50, "5s"), step(100))
COMMAND = "kubectl tidegate attest checkout -n shop --check scan --role ci --result Passed"


def asks(point: str = "Start", **more) -> dict:
    """Return an entry of a policy."""
    return {"name": "scan", "at": point, "attested": {"role": "ci"}} | more


def waiting(*entries: dict, **more) -> World:
    """Return a world in which v2 is wanted under a policy with checks, a few seconds later."""
    world = idle(policy(*STEPS, bake="3s", checks=list(entries), **more))
    world.apply("v2")
    world.crank(5)
    return world


def attest(world: World, result: Result = Result.PASSED, by: str = "pipeline", check: str = "scan", **more) -> DecisionView:
    """A pipeline says what its check of the version that waits, or is rolled out, came to."""
    return decide(world, Action.ATTEST, by, **({"role": "ci", "check": check, "result": result} | more))


def kept_at(world: World) -> int:
    """Return the weight at which a world stands after a while."""
    world.crank(60)
    return world.status.weight


def test_version_waits_for_its_check_before_it_starts():
    """Nothing of v2 is made; people read which check is missing and the command; then it starts, and takes over."""
    world = waiting(asks())
    assert (Phase.WAITING, None) == (world.status.phase, world.status.rollout)
    assert ["v1"] == [rs.template.image for rs in world.cluster.replica_sets.values()]
    words = f"for check scan by role ci: {COMMAND}"
    assert f"v2 waits {words}; v1 serves meanwhile" == world.status.message
    (entry,) = world.status.waiting_for
    assert ("Check", COMMAND) == (entry.barrier, entry.how)
    assert "check scan by role ci" == entry.what

    said = attest(world)
    finish(world)

    assert "v2" == world.status.stable.version
    assert ("Counted", "check scan of v2: Passed") == (outcome(world, said), why(world, said))


@pytest.mark.parametrize(("point", "stands_at"), [("Start", 0), ("25%", 0), ("26%", 25), ("50%", 25), ("51%", 50), ("100%", 50)])
def test_each_point_keeps_the_weight_below(point: str, stands_at: int):
    """A weight that takes a check is not reached without it; with it all goes on."""
    world = waiting(asks(point))

    assert stands_at == kept_at(world)
    assert (stands_at == 0) == (world.status.rollout is None)
    assert "waits for check scan by role ci" in world.status.message

    attest(world)
    finish(world)
    assert "v2" == world.status.stable.version


def test_a_check_that_failed_keeps_the_version_where_it_is_until_one_has_passed():
    """Who has attested it and where the report is stand in the status; the later attestation counts, and the first says so."""
    world = waiting(asks("50%"))
    reach(world, 25)
    failed = attest(world, Result.FAILED, url="https://ci.example/7")

    assert 25 == kept_at(world)
    assert "; pipeline attested Failed at " in world.status.message
    assert ", https://ci.example/7" in world.status.message

    passed = attest(world)
    finish(world)
    assert ["Superseded", "Counted"] == [outcome(world, one) for one in (failed, passed)]


def test_of_one_second_the_one_that_failed_counts():
    """Which of both was the last nobody knows."""
    world = waiting(asks())
    first = attest(world, Result.FAILED)
    attest(world, created=first.created)

    assert 0 == kept_at(world)

    attest(world)
    finish(world)


@pytest.mark.parametrize(
    "other",
    [
        {"check": "lint"},
        {"role": "security"},
        {"digest": "of-another-content"},
        {"release_uid": "of-another-life"},
        {"by": ""},
    ],
)
def test_what_is_no_attestation_of_this_check(other: dict):
    """Another check, another role, another content, a Release of that name that is gone, nobody."""
    world = waiting(asks())
    attest(world, **other)

    assert 0 == kept_at(world)


def test_attestations_that_nothing_waits_for_are_refused_in_words():
    """Whoever has misspelt the check reads which ones there are."""
    world = waiting(asks())
    said = attest(world, check="scann")
    world.crank(2)

    words = "nothing waits for check scann by role ci; checks of the policy: scan by role ci"
    assert ("Refused", words) == (outcome(world, said), why(world, said))


def test_attestation_of_one_version_lets_no_other_through():
    """The next one has to be checked itself, and a restart of the same content has not."""
    world = waiting(asks("100%"))
    attest(world)
    reach(world, 50)

    world.apply("v3")
    assert 50 == kept_at(world)
    attest(world)
    world.apply("v3", "restarted")
    finish(world)

    assert "own-v3restarted" == world.status.stable.revision


def test_who_may_not_attest_any_more_is_not_believed():
    """The right is asked for again when the word is about to count."""
    world = waiting(asks())
    world.people.dismissed = {"pipeline"}
    attest(world)

    assert 0 == kept_at(world)
    assert "; pipeline has attested it, and may not as ci any more" in world.status.message

    attest(world, by="another pipeline")
    finish(world)


@pytest.mark.parametrize("of", ["policy", "attestation"])
def test_attestations_expire(of: str):
    """By the policy, or by their own words: then the check has to be made again."""
    world = waiting(asks("100%", **({"expires": "20s"} if of == "policy" else {})))
    reach(world, 50)
    said = attest(world)
    if of == "attestation":
        world.people.decisions[-1] = replace(said, expires=said.created + timedelta(seconds=20))
    world.cluster.now += 30

    assert 50 == kept_at(world)

    attest(world)
    finish(world)


def test_what_has_its_weight_keeps_it():
    """An attestation that ends, or another that has failed, after one has let a version through takes nothing away."""
    world = waiting(asks("50%"))
    attest(world)
    reach(world, 50)
    attest(world, Result.FAILED)

    finish(world)
    assert "v2" == world.status.stable.version


def test_a_condition_says_for_which_releases():
    """Where it is not true, nothing is waited for; where it cannot be said, nothing goes on."""
    finish(waiting(asks(when="release.type == 'hotfix'")))

    world = waiting(asks(when="labels['team'] == 'shop'"))
    assert 0 == kept_at(world)
    assert "waits for a condition in its policy's checks to be fixed: " in world.status.message


def test_unread_decisions_let_nothing_through():
    """What could not be read may be what is missing."""
    world = waiting(asks())
    attest(world)
    world.governance = GovernanceView(decisions_unread="no permission to list releasedecisions")

    assert 0 == kept_at(world)
    assert "for ReleaseDecisions to be read: no permission" in world.status.message


def test_check_and_approval_are_told_together():
    """The check is told first: people vote when it has passed."""
    world = waiting(asks(), approvals=[{"at": "Start", "roles": {"qa": 1}}])

    assert ["Check", "Approval"] == [entry.barrier for entry in world.status.waiting_for]
    assert world.status.message.startswith("v2 waits for check scan by role ci")


def test_breach_does_not_wait_for_a_check():
    """While a version waits for a check at a weight, a gate that fails rolls it back in the pass that sees it."""
    world = at_weight(25, policy(*STEPS, gates=(gate(),), checks=[asks("50%")]))
    world.crank(20)
    assert "check scan by role ci" in world.status.message

    world.look("errors", 0.5)
    world.operate()

    assert (0, Phase.ROLLING_BACK) == (world.status.weight, world.status.phase)


def test_full_promotion_does_not_stand_for_a_check():
    """A person who asks for full promotion skips steps and gates, and no check of what lies ahead."""
    world = waiting(asks("100%"))
    world.ask("promote/1")

    assert kept_at(world) in (25, 50)
    attest(world)
    finish(world)
