"""An Event that was not written is told by whoever takes over, whatever its clock says; one that was is told by nobody again."""

from __future__ import annotations

import pytest

from tidegate.api.names import LABEL_RELEASE
from unit.controller import objects
from unit.controller.objects import NAME
from unit.controller.stage import KEY, PATH, Stage, events


@pytest.mark.parametrize("ahead", [0.0, 3600.0, -3600.0, 20 * 3600.0])
async def test_event_that_was_lost_in_a_crash_is_told_by_the_next_life(stage: Stage, ahead: float) -> None:
    """Given an operator that dies after the status and before the Event, the next one writes it, hours off as its clock may be."""
    stage.adopted()
    stage.add(objects.deployment("checkout:v2", paused=True, labels={LABEL_RELEASE: NAME}))
    await stage.knows_what_is_around()
    await stage.reconciler.reconcile(KEY)
    lost = await events(stage, written=False)
    kept = [event["reason"] for event in stage.kept]

    again = stage.restarted()
    again.clock.step_wall(ahead)
    await again.passes()

    assert ([], ["RolloutStarted"], ["RolloutStarted"]) == (lost, kept, await events(again))
    await again.close()


async def test_event_that_waits_is_kept_while_the_clock_is_stepped(stage: Stage) -> None:
    """Given an Event that is not written yet, a clock that is stepped an hour ahead does not take it for told."""
    stage.adopted()
    stage.add(objects.deployment("checkout:v2", paused=True, labels={LABEL_RELEASE: NAME}))
    await stage.knows_what_is_around()
    await stage.reconciler.reconcile(KEY)

    stage.clock.step_wall(3600.0)
    await stage.passes()
    stage.add(objects.deployment("checkout:v1", paused=True, labels={LABEL_RELEASE: NAME}))
    await stage.reconciler.reconcile(KEY)

    assert "RolloutStarted" in [event["reason"] for event in stage.kept]


async def test_events_that_are_written_leave_the_status_with_the_next_write(stage: Stage) -> None:
    """Given an Event that is written, no write is made at once, and the next one that is made takes it out of the status."""
    stage.adopted()
    stage.add(objects.deployment("checkout:v2", paused=True, labels={LABEL_RELEASE: NAME}))
    await stage.knows_what_is_around()
    await stage.reconciler.reconcile(KEY)
    await events(stage)
    stage.api.requests.clear()
    await stage.passes()
    later = [path for _, path in stage.api.requests if path == f"{PATH}/status"]
    kept = stage.kept
    stage.add(objects.deployment("checkout:v1", paused=True, labels={LABEL_RELEASE: NAME}))
    await stage.reconciler.reconcile(KEY)
    told = [event["reason"] for event in stage.kept]

    assert ([], 1) == (later, len(kept))
    assert "RolloutStarted" not in told


async def test_events_that_were_told_long_ago_are_not_told_again(stage: Stage) -> None:
    """Given a Release at rest, one heartbeat notes that its Events are written; a start hours later writes none of them again."""
    stage.adopted()
    stage.add(objects.deployment("checkout:v2", paused=True, labels={LABEL_RELEASE: NAME}))
    await stage.passes()
    stage.add(objects.deployment("checkout:v1", paused=True, labels={LABEL_RELEASE: NAME}))
    await stage.passes()
    await events(stage)
    kept = [event["reason"] for event in stage.kept]
    stage.api.requests.clear()
    for _ in range(9):
        stage.clock.advance(10)
        await stage.passes()
    noted = [path for _, path in stage.api.requests if path == f"{PATH}/status"]

    again = stage.restarted()
    again.clock.step_wall(7200.0)
    await again.passes()

    assert kept
    assert ([f"{PATH}/status"], [], 0) == (noted, stage.kept, again.recorder.waiting())
    await again.close()


async def test_events_of_long_ago_are_no_news(stage: Stage) -> None:
    """Given a transition of more than a day ago, a start tells of it no more, whether it was told or not."""
    stage.adopted()
    stored = stage.api.objects[PATH]
    old = {"reason": "Promoted", "type": "Normal", "message": "v1 serves", "at": "2025-12-30T23:59:00Z"}
    box = {"last": 1, "transitions": [{"number": 1, "id": "ended", **old}], "sinks": [{"name": "events"}]}
    stage.add({**stored, "status": {**stored["status"], "outbox": box}})

    await stage.passes()

    assert 0 == stage.recorder.waiting()
