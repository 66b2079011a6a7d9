"""The host's clock is stepped, between two passes or within one, and no rollout waits longer or less for it."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from tidegate.api.base import parse_time
from tidegate.controller.looks.looks import Looks
from unit.controller.api_server import settled
from unit.controller.objects import NAME
from unit.controller.stage import KEY, Stage


async def test_step_of_the_clock_ends_no_hold(stage: Stage) -> None:
    """Given a hold of a minute, a host's clock that is stepped an hour ahead ends it no earlier."""
    stage.at_ten_percent()
    await stage.passes()
    before = stage.status["step"]

    stage.clock.step_wall(3600)
    await stage.passes()

    assert before["index"] == stage.status["step"]["index"]
    assert 10 == stage.weights[f"{NAME}-canary"]


async def test_step_of_the_clock_back_stops_no_hold(stage: Stage) -> None:
    """Given a hold of a minute, a clock that is stepped an hour back makes it none longer."""
    stage.at_ten_percent()
    await stage.passes()

    stage.clock.step_wall(-3600)
    await stage.passes()

    until = parse_time(stage.status["step"]["until"])
    assert until - stage.clock.now() <= timedelta(minutes=1)


@pytest.mark.parametrize("step", [-3600, 3600])
async def test_step_amid_a_write_silences_neither_looks_nor_the_release(stage: Stage, step: float) -> None:
    """Given a clock that is stepped while a pass writes, whatever the pass arranged comes no later than without the step."""
    stage.at_ten_percent()
    hang = stage.api.fault("PATCH", "/status$", status=0, gate=asyncio.Event())

    a_pass = asyncio.create_task(stage.reconciler.reconcile(KEY))
    await settled(lambda: hang.hits > 0)
    stage.clock.step_wall(step)
    assert hang.gate is not None
    hang.gate.set()
    await a_pass

    assert _next(stage.looks) <= 3
    assert (stage.due.next_in() or 0) <= 60


async def test_step_amid_a_look_silences_no_look(stage: Stage) -> None:
    """Given a clock that is stepped back while Prometheus is asked, the look after that comes in an interval."""
    stage.at_ten_percent()
    await stage.passes()
    stage.clock.advance(2.5)
    stage.clock.step_wall(-3600)

    await stage.look()
    await stage.passes()

    assert _next(stage.looks) <= 3


def _next(looks: Looks) -> float:
    wait = looks._scheduler.next_in()
    assert wait is not None
    return wait
