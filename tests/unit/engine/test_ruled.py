"""The type of a release, and what the rules of a policy make of it: asked at the start, and kept."""

from __future__ import annotations

import pytest

from simulation.policies import events, finish, idle, policy, reach, step
from simulation.views import at
from simulation.world import World
from tidegate.api.edits import edited
from tidegate.api.names import Phase
from tidegate.api.policy import RolloutPolicySpec
from tidegate.api.release import ReleaseType
from tidegate.engine.draft import Draft
from tidegate.engine.handover.kinds import HANDOVERS
from tidegate.engine.ruled import policy_to_come

STEPS = (step(25, "5s"), step(100))
CAREFUL = {"when": "release.type == 'major'", "set": {"steps": [step(5, "5s"), *STEPS], "bake": "20s"}}
OF_THE_CART = {"when": "labels['team'] == 'cart'", "set": {"bake": "1s"}}


def ruled(*rules: dict, **more: object) -> World:
    return idle(policy(*STEPS, bake="3s", rules=list(rules), **more))


@pytest.mark.parametrize(
    ("version", "declared", "kind", "steps"),
    [
        pytest.param("v1.1", None, "minor", 2, id="a minor release"),
        pytest.param("v2", None, "major", 3, id="a major release"),
        pytest.param("v2", "hotfix", "hotfix", 2, id="declared to be a hotfix"),
        pytest.param("main-7c2f1e", None, "major", 3, id="no number: what it could be at most"),
    ],
)
def test_a_rollout_has_the_policy_of_its_type(version: str, declared: str | None, kind: str, steps: int):
    """Given a rule for major releases, then rollouts of that type have its steps, and the status shows both."""
    world = ruled(CAREFUL)
    world.type = ReleaseType(declared) if declared else None
    world.apply(version)

    world.crank(2)

    rollout = world.status.rollout
    assert (kind, steps, ()) == (rollout.type, len(rollout.spec.steps), rollout.spec.rules)
    assert ((1,) if steps == 3 else ()) == rollout.rules
    held = "rule 1 holds" if steps == 3 else "no rule holds"
    assert [f"Rollout of {version} (stable: v1) starts under RolloutPolicy/production ({kind} release, {held})"] == events(
        world, "RolloutStarted"
    )
    finish(world, Phase.IDLE)
    assert version == world.status.stable.version


def test_a_rollout_keeps_what_its_rules_made_of_it():
    """Type, labels and rules count as they are at the start: who changes them changes the next rollout."""
    world = ruled(CAREFUL)
    world.apply("v1.1")
    reach(world, 25)

    world.type = ReleaseType.MAJOR
    world.policy = RolloutPolicySpec.model_validate(policy(*STEPS, rules=[CAREFUL | {"when": "true"}]))
    world.crank(1)

    assert ("minor", 2) == (world.status.rollout.type, len(world.status.rollout.spec.steps))


def test_a_rule_that_fails_keeps_the_start_waiting_and_says_so():
    """Given a rule that asks for a label which the Release has not, nothing starts; once it has the label, v2 does."""
    world = ruled(CAREFUL, OF_THE_CART)
    world.apply("v2")

    world.crank(20)

    assert (Phase.WAITING, None) == (world.status.phase, world.status.rollout)
    trouble = """spec.rules[1].when: "labels['team'] == 'cart'" cannot be evaluated: there is no 'team'"""
    assert f"v2 waits for its policy to be known: {trouble}; fix the rule in RolloutPolicy/production" in world.status.message
    (entry,) = world.status.waiting_for
    assert ("Rules", trouble, None) == (entry.barrier, entry.what, entry.until)
    assert ReleaseType.MAJOR is world.status.wanted.type

    world.labels = {"team": "cart"}
    finish(world, Phase.IDLE)
    assert "v2" == world.status.stable.version


def test_a_rule_that_fails_later_leaves_the_rollout_alone():
    """A rollout that is on has its policy, whatever becomes of the labels."""
    world = ruled(OF_THE_CART)
    world.labels = {"team": "cart"}
    world.apply("v2")
    reach(world, 25)

    world.labels = {}

    finish(world, Phase.IDLE)
    assert "v2" == world.status.stable.version


def test_the_windows_of_a_rule_count_for_the_start():
    """Given windows for major releases alone, then a major one waits for them, and a minor one starts."""
    new_year = {"timeZone": "UTC", "deny": [{"cron": "0 0 1 1 *", "for": "1h"}]}
    world = ruled({"when": "release.type == 'major'", "set": {"windows": new_year}})
    world.apply("v2")
    world.crank(10)
    assert (Phase.WAITING, ["Window"]) == (world.status.phase, [entry.barrier for entry in world.status.waiting_for])

    world.apply("v1.1")
    finish(world, Phase.IDLE)
    assert "v1.1" == world.status.stable.version


def test_a_name_that_was_meant_for_the_version_to_come_is_not_that_of_the_one_in_force():
    """Given spec.version, which names the version to come before its template is there, its type is found by what v1 was called."""
    world = ruled(CAREFUL)
    world.version = "v1.0.1"
    world.crank(2)
    world.apply("v7")

    world.crank(2)

    assert ("patch", "v1.0.1", "v1") == (world.status.rollout.type, world.status.candidate.version, world.status.stable.version)


def test_the_policy_to_come_is_found_once_for_all_barriers():
    """Conditions are evaluated when the first barrier asks, and again only where they are about something else by then."""
    world = ruled(CAREFUL)
    world.apply("v2")
    world.refresh()
    snapshot = world.snapshot()
    draft = Draft(snapshot, at(world.now), world.status, HANDOVERS[snapshot.release.spec.target_ref.kind])

    first = policy_to_come(draft)
    assert (1,) == first.held
    assert policy_to_come(draft) is first

    draft.set(stable=edited(draft.stable, version="v2.1"))
    assert () == policy_to_come(draft).held
