"""Barriers of governance: what they keep from rising, what people and tools read of them, and what they have no say in."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import tidegate.engine
from simulation.policies import at_weight, condition, events, finish, gate, idle, policy, reach, reason, step
from simulation.views import at
from simulation.world import World
from tidegate.api.names import Phase
from tidegate.governance.freezes import FreezeView, in_force
from tidegate.governance.view import UNGOVERNED, GovernanceView

STEPS = (step(25, "5s"), step(50, "5s"), step(100))
THAW = "kubectl tidegate thaw incident"


def freeze(world: World, *, after: float = 0.0, seconds: float | None = None, name: str = "incident") -> None:
    """Freeze releases from some time on, for some time or until somebody ends it."""
    begins = at(world.now + after)
    ends = None if seconds is None else at(world.now + after + seconds)
    world.governance = GovernanceView(freezes=(FreezeView(name, "payments are down", begins, ends),))


def test_a_freeze_keeps_a_version_from_starting():
    """Given a freeze, when v2 is applied, nothing of it is made, people read why and what ends it; once it has ended, v2 starts."""
    world = idle(policy(*STEPS, bake="3s"))
    freeze(world)
    world.apply("v2")

    world.crank(30)

    assert (Phase.WAITING, None, 0) == (world.status.phase, world.status.rollout, world.status.weight)
    assert ["v1"] == [rs.template.image for rs in world.cluster.replica_sets.values()]
    told = f"v2 waits for ReleaseFreeze incident: payments are down; until somebody ends it: {THAW}"
    assert f"{told}; v1 serves meanwhile" == world.status.message
    assert [told] == events(world, "Waiting"), "once, and not at each pass"
    assert (False, True, "Waiting") == (condition(world, "Ready"), condition(world, "Reconciling"), reason(world))

    world.governance = UNGOVERNED
    finish(world, Phase.IDLE)
    assert ("v2", ()) == (world.status.stable.version, world.status.waiting_for)


def test_tools_read_what_is_waited_for():
    """The barrier, what it is about, since when, until when and the command that opens it stand in the status, field by field."""
    world = idle(policy(*STEPS, bake="3s"))
    freeze(world, seconds=600)
    world.apply("v2")
    world.crank(1)
    since = at(world.now)
    world.crank(30)

    (entry,) = world.status.waiting_for

    assert ("Freeze", "ReleaseFreeze incident: payments are down", THAW) == (entry.barrier, entry.what, entry.how)
    assert since == entry.since + (since - entry.since) >= entry.since
    assert world.governance.freezes[0].ends == entry.until
    assert world.last.plan.due == entry.until, "the operator wakes when it opens"


@pytest.mark.parametrize("begun_at", [0, 25, 50])
def test_a_freeze_holds_a_rollout_where_it_is(begun_at: int):
    """Given a rollout at a step, when releases are frozen, its weight stays for as long as that lasts, and then it goes on."""
    world = idle(policy(*STEPS, bake="3s"))
    world.apply("v2")
    if begun_at:
        reach(world, begun_at)
    else:
        world.crank(1)
    freeze(world, seconds=60)

    world.crank(58)

    assert begun_at == world.status.weight
    assert Phase.PROGRESSING is world.status.phase
    assert f"waits for ReleaseFreeze incident: payments are down; until {at(world.now):%a %Y-%m-%d}" in world.status.message
    finish(world, Phase.IDLE, seconds=120)
    assert "v2" == world.status.stable.version


def test_a_request_for_full_promotion_does_not_pass_a_freeze():
    """What a person may skip are holds and gates, and no freeze."""
    world = at_weight(25, policy(*STEPS, bake="3s"))
    freeze(world)

    world.ask("promote/1")
    world.crank(30)

    assert 25 == world.status.weight


def test_a_bake_ends_during_a_freeze():
    """All of the traffic is with v2 already: nothing rises when its bake ends, and v1 is let go as it would be otherwise."""
    world = at_weight(100, policy(*STEPS, bake="20s"))
    freeze(world)

    finish(world, Phase.IDLE)

    assert "v2" == world.status.stable.version


@pytest.mark.parametrize("begun_at", [25, 50, 100])
def test_a_breach_during_a_freeze_rolls_back_at_once(begun_at: int):
    """Given a freeze at any step, when a gate is breached, the weight is gone in the pass in which it would be without one."""
    courses = []
    for frozen in (False, True):
        world = at_weight(begun_at, policy(step(25, "5s"), step(50, "5s"), step(100), gates=(gate(),), bake="60s"))
        if frozen:
            freeze(world)
        world.quality["errors"] = 0.5
        began = world.now
        assert world.crank(20, until=lambda world=world: world.status.weight == 0)
        courses.append((world.now - began, [repr(write) for write in world.last.plan.away]))

    assert courses[0] == courses[1]


def test_a_freeze_that_is_to_come_or_over_keeps_nothing():
    """From its first moment on it counts, and at its last no more."""
    world = idle(policy(step(25, "5s"), step(100), bake="3s"))
    freeze(world, after=1000.0)
    world.apply("v2")
    finish(world, Phase.IDLE)
    assert "v2" == world.status.stable.version

    one = FreezeView("one", "why", at(10), at(20))
    assert [False, True, True, False] == [one.counts(at(seconds)) for seconds in (9.9, 10, 19.9, 20)]


def test_what_cannot_be_read_is_closed():
    """Given an operator that may not list ReleaseFreezes, a version waits, and people read which right is missing."""
    world = idle(policy(*STEPS, bake="3s"))
    world.governance = GovernanceView(freezes_unread="list or watch releasefreezes.tidegate.dev: forbidden")
    world.apply("v2")
    world.crank(10)

    assert Phase.WAITING is world.status.phase
    assert "v2 waits for ReleaseFreezes to be read: list or watch releasefreezes.tidegate.dev: forbidden" in world.status.message


def test_of_several_freezes_people_are_told_the_one_that_lasts_longest():
    """One that somebody has to end comes before one that ends by itself, and a later end before an earlier one."""
    short, long = FreezeView("short", "", at(0), at(10)), FreezeView("long", "", at(0), at(20))
    endless = FreezeView("endless", "", at(0))

    assert [long, endless, None] == [in_force((short, long), at(5)), in_force((short, endless, long), at(5)), in_force((), at(5))]


def test_nothing_but_a_barrier_reads_governance():
    """What takes traffic away waits for nothing unknown: only barriers and what people and Jobs are asked for read the view."""
    engine = Path(tidegate.engine.__file__).parent
    read = {
        path.relative_to(engine).as_posix()
        for path in engine.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute) and node.attr == "governance"
    }

    assert {
        "approving.py",
        "checking.py",
        "decided.py",
        "flagging.py",
        "governed.py",
        "hotfix.py",
        "migrating.py",
        "outcomes.py",
        "recording.py",
        "rules/checks.py",
        "rules/flags.py",
        "rules/migrations.py",
        "rules/reviews.py",
        "running.py",
    } == read
