"""What may keep a weight from rising: a list of pure checks, asked at the start, before each weight and at the end of each step."""

from __future__ import annotations

import copy

import pytest

from simulation.policies import at_weight, finish, gate, idle, policy, reach, step
from simulation.views import at
from simulation.world import World
from tidegate.api.names import Phase
from tidegate.api.release import WorkloadKind
from tidegate.engine import barriers
from tidegate.engine.barriers import BARRIERS, Barrier, Rise, barrier
from tidegate.engine.draft import Draft
from tidegate.engine.handover.kinds import HANDOVERS
from tidegate.engine.ruled import policy_to_come
from tidegate.engine.waits import Wait, Waiting

STEPS = (step(25, "5s"), step(50, "5s"), step(100))
CLOSED = "for the window to open"


def closed_at(rise: Rise) -> Barrier:
    """Return a barrier that is closed at one rise, made as any other: a function that says what is waited for."""
    return Barrier(lambda _, asked: Waiting(Wait.REMOVAL, CLOSED) if asked is rise else None, frozenset(Rise), forced=False)


def with_barrier(monkeypatch: pytest.MonkeyPatch, rise: Rise) -> None:
    """Add one to the list: that is all that it takes."""
    monkeypatch.setattr(barriers, "BARRIERS", (*BARRIERS, closed_at(rise)))


@pytest.mark.parametrize(("rise", "stands_at"), [(Rise.START, None), (Rise.WEIGHT, 0), (Rise.STEP_END, 25)])
def test_barrier_that_is_added_is_asked_at_every_rise(monkeypatch: pytest.MonkeyPatch, rise: Rise, stands_at: int | None):
    """Given one more barrier in the list, no weight rises past it, people read what it waits for, and it goes on once open."""
    with_barrier(monkeypatch, rise)
    world = idle(policy(*STEPS, bake="3s"))
    world.apply("v2")

    world.crank(60)

    assert (stands_at or 0) == world.status.weight
    assert (stands_at is None) == (world.status.step is None)
    assert world.status.message.endswith(f"; waits {CLOSED}")

    monkeypatch.undo()
    finish(world, Phase.IDLE, seconds=120)
    assert world.status.stable.version == "v2"


def test_full_promotion_passes_what_may_be_passed(monkeypatch: pytest.MonkeyPatch):
    """Given a barrier that a person may pass, a request for full promotion does; what must be mended first holds all the same."""
    with_barrier(monkeypatch, Rise.STEP_END)
    world = at_weight(25, policy(*STEPS, bake="3s"))
    world.crank(30)
    assert CLOSED in world.status.message

    world.ask("promote/1")

    finish(world, Phase.IDLE, seconds=120)
    assert {"_gates", "_score"} == {one.check.__name__ for one in BARRIERS if not one.forced}


def worlds() -> list[World]:
    """Return rollouts in several places: about to start, at a weight with a gate that knows nothing, and paused."""
    start = idle(policy(*STEPS))
    start.apply("v2")
    start.crank(1)
    waiting = at_weight(25, policy(*STEPS, gates=[gate("errors")]))
    paused = at_weight(50, policy(*STEPS))
    paused.ask("pause/1")
    reach(paused, 50)
    return [start, waiting, paused]


@pytest.mark.parametrize("rise", list(Rise))
def test_barriers_change_nothing(rise: Rise):
    """Asked about any rise, wherever a rollout is, a barrier leaves no trace in the draft but what its policy comes to."""
    for world in worlds():
        draft = Draft(world.snapshot(), at(world.now), world.status, HANDOVERS[WorkloadKind.DEPLOYMENT])
        assert draft.active
        policy_to_come(draft)
        before = copy.deepcopy(vars(draft))

        first = barrier(draft, rise)

        assert before == vars(draft)
        assert first == barrier(draft, rise)
