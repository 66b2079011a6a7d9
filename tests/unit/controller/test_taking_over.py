"""The first turns after a start: rollouts that are held are looked at before any pass, and nothing else waits for that."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tidegate.controller.process.suspects import Suspects
from tidegate.controller.process.taking_over import LOOKED_SECONDS, TakingOver
from tidegate.runtime.queue import Lane
from unit.controller.api_server import settled
from unit.controller.objects import NAME
from unit.controller.stage import KEY, Stage


@pytest.fixture
async def again(stage: Stage) -> AsyncIterator[Stage]:
    """Give the next life of an operator whose rollout at 10% had been looked at."""
    again = await next_life(stage)
    yield again
    await again.close()


async def next_life(stage: Stage, **spec: Any) -> Stage:
    stage.at_ten_percent(**spec)
    stage.values["error-rate"] = 0.0
    await stage.passes()
    # What the first ones find is stored when three checks are over.
    for _ in range(4):
        stage.clock.advance(2.1)
        await stage.look()
        await stage.passes()
    again = stage.restarted()
    again.clock.advance((stage.clock.now() - again.clock.now()).total_seconds() + 1)
    return again


def take_over(stage: Stage) -> asyncio.Task[None]:
    suspects = Suspects(clock=stage.clock, metrics=stage.metrics, folder=None, add=stage.queue.add)
    taking_over = TakingOver(stage.store, stage.reconciler, stage.looks, suspects, stage.clock)
    return asyncio.create_task(taking_over.run([KEY]))


async def looked(stage: Stage, value: float) -> asyncio.Task[None]:
    """Begin to take over, and let the first look come in."""
    stage.values["error-rate"] = value
    turns = take_over(stage)
    await settled(lambda: KEY in stage.looks.patient)
    stage.clock.advance(2.1)
    await stage.look()
    return turns


async def test_a_held_rollout_is_looked_at_before_its_first_pass(again: Stage) -> None:
    """Given a rollout that is held, its gate is looked at first, and one pass decides on what was found."""
    turns = await looked(again, 0.0)
    before = again.queue.depth()
    again.clock.advance(0.2)
    await turns

    assert 0 == before
    assert Lane.NORMAL is again.queue.lane(KEY)
    assert 1 == len(again.looks.waiting(KEY))
    assert not again.looks.patient


async def test_a_breach_waits_for_nobody(again: Stage) -> None:
    """Given a version that turned bad while nobody looked, the first look makes its Release urgent, and the route is shut."""
    turns = await looked(again, 0.5)

    assert Lane.URGENT is again.queue.lane(KEY)
    await again.reconciler.reconcile(await again.queue.get())
    assert 0 == again.weights[f"{NAME}-canary"]
    turns.cancel()


async def test_passes_do_not_wait_for_a_prometheus_that_is_away(again: Stage) -> None:
    """Given looks that do not come in, passes begin some seconds later all the same."""
    turns = take_over(again)
    await settled(lambda: KEY in again.looks.patient)

    for _ in range(round(LOOKED_SECONDS / 0.1) + 2):
        again.clock.advance(0.1)
        await asyncio.sleep(0)
    await turns

    assert Lane.NORMAL is again.queue.lane(KEY)


@pytest.mark.parametrize(
    ("why", "spec"),
    [
        ("a step ends by proof", {"advanceOnProof": True}),
        ("a gate ends by itself", {"gates": [{"activeFor": "10m"}]}),
    ],
)
async def test_what_more_may_be_due_of_has_a_pass_at_once(stage: Stage, why: str, spec: dict[str, Any]) -> None:
    """Given a rollout of which more than a look may be due, its pass comes first, as ever."""
    if "gates" in spec:
        metric = {"promql": {"canary": "canary", "stable": "stable", "unit": "Ratio"}}
        base = {"name": "error-rate", "metric": metric, "threshold": {"max": 0.01}, "interval": "2s", "window": "10s"}
        spec = {"gates": [base | spec["gates"][0]]}
    again = await next_life(stage, **spec)

    await take_over(again)

    assert Lane.NORMAL is again.queue.lane(KEY), why
    await again.close()


async def test_without_a_rollout_passes_come_at_once(stage: Stage) -> None:
    """Given a Release at rest, it has its pass, after those that are rolled out."""
    stage.adopted()
    await stage.passes()
    again = stage.restarted()

    await take_over(again)

    assert Lane.LOW is again.queue.lane(KEY)
    await again.close()
