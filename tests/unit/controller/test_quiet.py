"""Looks that need no pass: what nothing but numbers is new in is taken in beside them, and nothing else is."""

from __future__ import annotations

from typing import Any

import pytest

from tidegate.api.gate import BreachAction
from tidegate.controller.reconcile.status_patch import NUMBERS
from tidegate.engine import quiet
from tidegate.runtime.queue import Lane
from unit.controller.objects import NAME, policy
from unit.controller.stage import KEY, Stage

INTERVAL = 2.1
"""Seconds; a little more than that of the gate."""


@pytest.fixture
async def watched(stage: Stage) -> Stage:
    """Give a rollout that is held at 10%, whose gate this process has looked at."""
    return await watching(stage)


async def watching(stage: Stage, **spec: Any) -> Stage:
    stage.at_ten_percent(**spec)
    stage.values["error-rate"] = 0.0
    await stage.passes()
    # What the first ones find is stored when three checks are over.
    for _ in range(4):
        await look(stage)
        await passes_that_are_due(stage)
    return stage


async def look(stage: Stage, value: float = 0.0) -> None:
    """Let the gate's next look come in."""
    stage.values["error-rate"] = value
    stage.clock.advance(INTERVAL)
    await stage.look()


async def passes_that_are_due(stage: Stage) -> int:
    """Make the passes that somebody asks for, and return how many."""
    made = 0
    for key in stage.due.pop_due():
        stage.queue.add(key)
    while stage.queue.depth():
        key = await stage.queue.get()
        await stage.reconciler.reconcile(key)
        stage.queue.done(key)
        made += 1
    return made


async def test_looks_that_find_nothing_new_take_no_pass(watched: Stage) -> None:
    """Given a held step whose gate passes, its looks go on without a pass and without a request, and the metrics have each."""
    before = len(watched.api.requests)
    passes = 0

    for number in range(1, 6):
        await look(watched, number / 10_000)
        passes += await passes_that_are_due(watched)

    labels = {"namespace": KEY.namespace, "release": KEY.name, "gate": "error-rate", "arm": "canary"}
    assert 0 == passes
    assert before == len(watched.api.requests)
    assert 0.0005 == watched.metrics.registry.get_sample_value("tidegate_gate_value", labels)


async def test_gates_that_are_looked_at_together_take_no_pass_either(stage: Stage) -> None:
    """Given two gates whose looks are under way at once, what the first finds does not make the second one's look a decision."""
    (gate,) = policy()["spec"]["gates"]
    stage.values["slow"] = 0.0
    await watching(stage, gates=[gate, {**gate, "name": "slow"}])
    before, passes = len(stage.api.requests), 0

    for number in range(1, 6):
        stage.values["slow"] = number / 10_000
        await look(stage, number / 10_000)
        passes += await passes_that_are_due(stage)

    assert (0, before) == (passes, len(stage.api.requests))


async def test_what_was_taken_in_is_written_with_the_heartbeat(watched: Stage) -> None:
    """Given such looks, one pass comes when the heartbeat is over, and writes the numbers of the last of them."""
    before, passes = len(watched.api.requests), 0

    for number in range(1, 16):
        await look(watched, number / 10_000)
        passes += await passes_that_are_due(watched)

    assert 1 == passes == len(watched.api.requests) - before
    assert 0.0 < watched.status["gates"][0]["canary"] <= 0.0015


async def test_what_was_taken_in_is_judged_on(watched: Stage) -> None:
    """Given looks that were taken in, the next pass decides on what they have found, and not on what was before them."""
    await look(watched, 0.0007)

    await watched.reconciler.reconcile(KEY)

    subject = watched.looks._subjects[KEY]
    assert 0.0007 == subject.states["error-rate"].canary


async def test_breach_is_urgent_after_quiet_looks(watched: Stage) -> None:
    """Given looks that were taken in, one beyond the limit is next before all others, and shuts the route."""
    await look(watched)

    await look(watched, 0.5)

    assert Lane.URGENT is watched.queue.lane(KEY)
    assert 1 == await passes_that_are_due(watched)
    assert 0 == watched.weights[f"{NAME}-canary"]


@pytest.mark.parametrize("action", [BreachAction.PAUSE, BreachAction.WARN, BreachAction.HOLD])
async def test_failing_look_is_decided_on_whatever_comes_of_it(stage: Stage, action: BreachAction) -> None:
    """Given a gate that does not roll back, a look that fails it is decided on all the same."""
    await watching(stage, gates=[gate(onBreach=action.value)])

    await look(stage, 0.5)

    assert 1 <= await passes_that_are_due(stage)
    assert "Fail" == stage.status["gates"][0]["verdict"]


def gate(**more: Any) -> dict[str, Any]:
    metric = {"promql": {"canary": "canary", "stable": "stable", "unit": "Ratio"}}
    return {"name": "error-rate", "metric": metric, "threshold": {"max": 0.01}, "interval": "2s", "window": "10s", **more}


async def test_look_without_data_is_decided_on(watched: Stage) -> None:
    """Given a gate that passed, a look that finds no data is decided on: from then on its patience is counted."""
    watched.values["error-rate"] = None
    watched.clock.advance(INTERVAL)
    await watched.look()

    assert 1 == watched.queue.depth()


async def test_looks_after_the_hold_are_decided_on(watched: Stage) -> None:
    """Given a hold that is over, each look is decided on: the next step may begin with it."""
    watched.clock.advance(60)

    await look(watched)

    assert 1 == watched.queue.depth()


async def test_first_look_of_a_process_is_decided_on(watched: Stage) -> None:
    """Given an operator that has just started, the first look of a gate is decided on: weights may wait for it."""
    again = watched.restarted()
    again.clock.advance((watched.clock.now() - again.clock.now()).total_seconds() + 1)
    await again.reconciler.reconcile(KEY)

    await look(again)

    assert 1 == again.queue.depth()
    await again.close()


async def test_look_amid_a_pass_is_decided_on(watched: Stage) -> None:
    """Given a pass that is under way, a look that comes in is left to the next: what the pass decides comes first."""
    watched.reconciler._busy.add(KEY)

    await look(watched)

    assert 1 == watched.queue.depth()


async def test_look_after_a_step_of_the_clock_is_decided_on(watched: Stage) -> None:
    """Given a clock that was stepped, the next look is decided on: the pass moves what the status says along."""
    watched.clock.step_wall(3600)

    await look(watched)

    assert 1 == watched.queue.depth()


def test_no_more_than_numbers_is_taken_in() -> None:
    """What a look may change without a decision is no more than what is written with the heartbeat alone."""
    aliases = {
        "".join([first, *(part.capitalize() for part in rest)]) for first, *rest in (name.split("_") for name in quiet.NUMBERS)
    }

    assert aliases < NUMBERS
