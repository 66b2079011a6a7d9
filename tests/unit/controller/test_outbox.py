"""A sink that is added hears of everything that happens, whatever write the operator dies at."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

import pytest

from tidegate.api.names import ANNOTATION_REQUEST
from tidegate.api.outbox import TransitionStatus
from tidegate.cluster.errors import ApiError
from tidegate.runtime.store import Object
from unit.controller.stage import KEY, PATH, Stage

REQUESTS = ("pause/1", "resume/2", "pause/3")
WRITES = 6
"""Each request is one write, and another one is that the sink has what came of it."""
Received = list[tuple[int, str]]


class Pager:
    """A sink as small as one can be; what it was sent is with the receiver, and outlives the operator.

    Args:
        receiver: what has been received, by number and kind.
        away: whether the receiver does not answer.
    """

    name = "pager"
    early = False

    def __init__(self, receiver: Received, *, away: bool = False) -> None:
        self.receiver, self.away = receiver, away
        self.delivered: set[int] = set()
        self.again: list[int] = []

    def wants(self, release: Object, event: str, type_: str) -> bool:
        return True

    def take(self, release: Object, transition: TransitionStatus, *, again: bool) -> None:
        if again:
            self.again.append(transition.number)
        if not self.away:
            self.receiver.append((transition.number, transition.id))
            self.delivered.add(transition.number)

    def taken(self, release: Object, transition: TransitionStatus) -> bool:
        return transition.number in self.delivered

    def start(self) -> None: ...

    async def stop(self, *, within: float) -> None: ...


async def on_stage(stage: Stage) -> None:
    """A version at 10%; what happened before there was a pager is told by Events."""
    stage.at_ten_percent()
    await stage.passes()
    assert [1] == [one["number"] for one in stage.kept]


async def ask(stage: Stage, request: str) -> None:
    """Let a person ask for something, and the operator see it."""
    release = stage.api.objects[PATH]
    stage.add({**release, "metadata": {**release["metadata"], "annotations": {ANNOTATION_REQUEST: request}}})
    await stage.reconciler.reconcile(KEY)


async def life(stage: Stage, requests: Sequence[str]) -> None:
    """Let people ask for one thing after another, until all is done or the API server answers no more."""
    try:
        for request in requests:
            await ask(stage, request)
            for _ in range(3):
                stage.clock.advance(0.6)
                await stage.reconciler.reconcile(KEY)
    except ApiError:
        return
    finally:
        await stage.close()


@pytest.mark.parametrize("late", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("write", range(1, WRITES + 1))
async def test_a_new_sink_loses_nothing_at_any_write(stage: Stage, write: int, late: bool) -> None:
    """Given an operator that dies before or after a write, the next one tells what is not told, under the same number."""
    await on_stage(stage)
    received: Received = []
    stage.api.last, stage.api.late = write, late
    await life(stage.restarted(sinks=[Pager(received)]), REQUESTS)
    died, stage.api.last = stage.api.last, None
    handled = stage.status.get("handledRequest")
    left = REQUESTS[REQUESTS.index(handled) :] if handled else REQUESTS

    await life(stage.restarted(sinks=[Pager(received)]), left)

    assert died is not None
    assert died <= 0, "it died at a write"
    assert {2: "paused", 3: "resumed", 4: "paused"} == dict(received)
    assert 3 <= len(received) <= 4, "twice at most what was under way"
    assert {"events"} >= {one["name"] for one in stage.status["outbox"].get("sinks", ())}


async def test_a_sink_that_is_away_is_told_when_it_is_back(stage: Stage) -> None:
    """Given a receiver that does not answer, the next life of the operator hands all of it on again, marked as such."""
    await on_stage(stage)
    received: Received = []
    await life(stage.restarted(sinks=[Pager(received, away=True)]), REQUESTS)
    kept = [one["id"] for one in stage.kept if one["number"] > 1]
    back = Pager(received)

    await life(stage.restarted(sinks=[back]), REQUESTS[-1:])

    assert ["paused", "resumed", "paused"] == kept
    assert ([2, 3, 4], [(2, "paused"), (3, "resumed"), (4, "paused")]) == (back.again, received)


async def test_a_decision_that_is_not_stored_reaches_no_sink_but_events(stage: Stage) -> None:
    """Given a status that cannot be stored, another life could give its number to something else: a sink waits for the write."""
    await on_stage(stage)
    received: Received = []
    operator = stage.restarted(sinks=[Pager(received)])
    fault = stage.api.fault("PATCH", "/releases/checkout/status$")
    with suppress(ApiError):
        await ask(operator, "pause/1")
    unstored, waiting = [*received], operator.recorder.waiting()
    stage.api.faults.remove(fault)

    await operator.reconciler.reconcile(KEY)
    await operator.close()

    assert ([], 2, [(2, "paused")]) == (unstored, waiting, received)


class Broken(Pager):
    """A sink with a mistake in it."""

    name = "broken"

    def wants(self, release: Object, event: str, type_: str) -> bool:
        raise ZeroDivisionError

    def take(self, release: Object, transition: TransitionStatus, *, again: bool) -> None:
        raise ZeroDivisionError

    def taken(self, release: Object, transition: TransitionStatus) -> bool:
        raise ZeroDivisionError

    async def stop(self, *, within: float) -> None:
        raise ZeroDivisionError


async def test_a_mistake_in_a_sink_is_in_no_way(stage: Stage) -> None:
    """Given a sink that fails at whatever it is asked, passes go on, the others hear of it all, and the process can end."""
    await on_stage(stage)
    received: Received = []
    operator = stage.restarted(sinks=[Broken([]), Pager(received)])

    await life(operator, REQUESTS)
    await operator.outbox.stop(within=0)

    assert [2, 3, 4] == [number for number, _ in received]
    assert {"name": "broken", "taken": 1, "dropped": 0} in stage.status["outbox"]["sinks"]
