"""A start and the first weight soon after it are one Event, whose message has both; neither is lost, whoever dies when."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import pytest

from tidegate.api.outbox import TransitionStatus
from tidegate.controller.reconcile.sinks.events import LATE, TOGETHER
from tidegate.engine.transitions import RollingBack, RolloutStarted, WeightRaised
from unit.controller.api_server import settled
from unit.controller.stage import PATH, Stage, events

STARTS, RAISED = "Rollout of v2 (stable: v1) starts", "Weight of v2 raised from 0% to 20% (step 1 of 2)"
BOTH = f"{STARTS}. {RAISED}"
REASONS = {RolloutStarted.id: "RolloutStarted", WeightRaised.id: "WeightChanged", RollingBack.id: "RollingBack"}
Story = Sequence[tuple[float, str, str]]
"""What happens when: seconds since the beginning, the kind, the message."""


def transition(stage: Stage, number: int, kind: str, message: str, *, version: str = "v2") -> TransitionStatus:
    """Return what happens now."""
    return TransitionStatus(number=number, id=kind, reason=REASONS[kind], message=message, version=version, at=stage.clock.now())


def play(stage: Stage, story: Story) -> list[TransitionStatus]:
    """Let things happen to the Release, and the sink hear of each at once."""
    stage.adopted()
    told, before = [], 0.0
    for number, (seconds, kind, message) in enumerate(story, 1):
        stage.clock.advance(seconds - before)
        before = seconds
        told.append(transition(stage, number, kind, message))
        stage.told.take(stage.api.objects[PATH], told[-1], again=False)
    return told


def tell_again(stage: Stage, told: Sequence[TransitionStatus]) -> None:
    """Let the next life of an operator begin with what the status keeps."""
    for one in told:
        stage.told.take(stage.api.objects[PATH], one, again=True)


async def written(stage: Stage) -> list[tuple[str, str]]:
    """Write out what waits, and return reason and message of all Events that there are."""
    await events(stage)
    return there(stage)


def there(stage: Stage) -> list[tuple[str, str]]:
    """Return reason and message of all Events that there are, oldest first."""
    return [(one["reason"], one["message"]) for one in stage.api.objects.values() if one["kind"] == "Event"]


@pytest.mark.parametrize("seconds", [0.0, 3.0, TOGETHER.total_seconds()])
async def test_start_and_its_first_weight_are_one_event(stage: Stage, seconds: float) -> None:
    """Given a first weight soon after the start, one Event has both sentences, and both count as told once it is written."""
    told = play(stage, [(0.0, RolloutStarted.id, STARTS), (seconds, WeightRaised.id, RAISED)])
    before = [stage.told.taken(stage.api.objects[PATH], one) for one in told]

    found = await written(stage)

    after = [stage.told.taken(stage.api.objects[PATH], one) for one in told]
    assert ([("RolloutStarted", BOTH)], [False, False], [True, True]) == (found, before, after)


@pytest.mark.parametrize(
    "story",
    [
        [(0.0, RolloutStarted.id, STARTS), (10.5, WeightRaised.id, RAISED)],
        [(0.0, RolloutStarted.id, STARTS), (1.0, RollingBack.id, "Rolling back v2"), (2.0, WeightRaised.id, RAISED)],
        [(0.0, WeightRaised.id, RAISED), (1.0, RolloutStarted.id, STARTS)],
        [(0.0, RolloutStarted.id, STARTS), (1.0, RolloutStarted.id, "Rollout of v3 (stable: v1) starts")],
        [(0.0, RolloutStarted.id, STARTS), (1.0, WeightRaised.id, RAISED + "x" * 970)],
        [(0.0, RolloutStarted.id, "\u00e9" * 480), (1.0, WeightRaised.id, "\u00e9" * 40)],
    ],
    ids=["later", "something else between", "the other way round", "another start", "too long", "too many bytes"],
)
async def test_all_else_has_an_event_of_its_own_in_its_order(stage: Stage, story: Story) -> None:
    """Given anything but a start, its first weight and few words, each has an Event with all of its message."""
    play(stage, story)

    assert [(REASONS[kind], message) for _, kind, message in story] == await written(stage)


async def test_weight_of_another_version_is_told_apart(stage: Stage) -> None:
    """Given a start of v2, the weight of v3 is no part of it."""
    play(stage, [(0.0, RolloutStarted.id, STARTS)])
    stage.told.take(stage.api.objects[PATH], transition(stage, 2, WeightRaised.id, RAISED, version="v3"), again=False)

    assert [("RolloutStarted", STARTS), ("WeightChanged", RAISED)] == await written(stage)


async def test_start_that_stays_alone_is_told_in_time(stage: Stage) -> None:
    """Given pods that take their time, the start is told by itself soon after ten seconds, and the weight when it comes."""
    stage.told.start()
    (start,) = play(stage, [(0.0, RolloutStarted.id, STARTS)])
    await settled(lambda: stage.clock.sleepers == 1)
    stage.clock.advance((TOGETHER + LATE).total_seconds() - 0.1)
    early = there(stage)

    stage.clock.advance(0.2)
    await settled(lambda: stage.told.taken(stage.api.objects[PATH], start))
    stage.told.take(stage.api.objects[PATH], transition(stage, 2, WeightRaised.id, RAISED), again=False)
    await stage.told.stop(within=5)

    assert ([], [("RolloutStarted", STARTS), ("WeightChanged", RAISED)]) == (early, there(stage))


async def test_start_that_is_held_back_is_told_as_the_process_ends(stage: Stage) -> None:
    """Given an operator that is told to end, it writes what it has held back: nobody need come after it."""
    stage.told.start()
    play(stage, [(0.0, RolloutStarted.id, STARTS)])
    await stage.told.stop(within=5)

    assert [("RolloutStarted", STARTS)] == there(stage)


@pytest.mark.parametrize("told_to_end", [True, False], ids=["it was told to end", "it was killed"])
async def test_no_life_adds_an_event_of_its_own(stage: Stage, told_to_end: bool) -> None:
    """Given an operator that ends right after a start, and one that does after the weight, there is one Event, in the end of both.

    Whoever is told to end tells the start alone, as nobody need come after; who does makes its Event that of both.
    """
    stage.told.start()
    told = play(stage, [(0.0, RolloutStarted.id, STARTS)])
    if told_to_end:
        await stage.told.stop(within=5)
    first = there(stage)
    second = stage.restarted()
    second.clock.advance(5.0)
    tell_again(second, told)
    second.told.tell_held(second.clock.monotonic())
    second.clock.advance(4.0)
    second.told.tell_held(second.clock.monotonic())
    told.append(transition(second, 2, WeightRaised.id, RAISED))
    second.told.take(second.api.objects[PATH], told[1], again=False)
    after_second = await written(second)
    third = second.restarted()
    third.clock.advance(20.0)
    tell_again(third, told)

    assert ([("RolloutStarted", STARTS)] if told_to_end else []) == first
    assert [("RolloutStarted", BOTH)] == after_second == await written(third)
    assert [1] == [one["count"] for one in stage.api.objects.values() if one["kind"] == "Event"]
    for life in (second, third):
        await life.close()


async def test_stepped_clock_holds_no_start_back_for_long(stage: Stage) -> None:
    """Given a clock that was set back by an hour, a start waits for its weight no longer than otherwise."""
    (start,) = play(stage, [(0.0, RolloutStarted.id, STARTS)])
    again = stage.restarted()
    again.clock.step_wall(-3600.0)
    tell_again(again, [start])
    again.told.tell_held(again.clock.monotonic() + (TOGETHER + LATE).total_seconds())

    assert not again.told._held
    await again.close()


@pytest.mark.parametrize("lived", [True, False], ids=["died after the Event", "died before it"])
async def test_next_life_finds_the_event_of_both(stage: Stage, lived: bool) -> None:
    """Given an operator that died before it was noted that both are told, there is one Event of both, whoever has written it."""
    told = play(stage, [(0.0, RolloutStarted.id, STARTS), (4.0, WeightRaised.id, RAISED)])
    if lived:
        await written(stage)
    again = stage.restarted()
    again.clock.advance(60.0)
    tell_again(again, told)

    found = await written(again)

    assert [("RolloutStarted", BOTH)] == found
    assert all(again.told.taken(again.api.objects[PATH], one) for one in told)
    await again.close()


async def test_start_without_a_weight_waits_for_nothing_in_a_later_life(stage: Stage) -> None:
    """Given a start that an earlier life has left untold, and nothing soon after it, it is told at once."""
    told = play(stage, [(0.0, RolloutStarted.id, STARTS)])
    again = stage.restarted()
    again.clock.advance((TOGETHER + LATE).total_seconds())
    again.told.start()
    tell_again(again, told)

    await settled(lambda: again.told.taken(again.api.objects[PATH], told[0]))

    assert [("RolloutStarted", STARTS)] == there(again)
    await again.told.stop(within=0)
    await again.close()


async def test_each_release_waits_for_its_own_weight(stage: Stage) -> None:
    """Given two Releases that start together, neither takes the weight of the other."""
    (start,) = play(stage, [(0.0, RolloutStarted.id, STARTS)])
    other = {**stage.api.objects[PATH], "metadata": {**stage.api.objects[PATH]["metadata"], "name": "cart", "uid": "other"}}
    stage.clock.advance(1.0)
    stage.told.take(other, transition(stage, 2, WeightRaised.id, RAISED), again=False)
    stage.told.take(stage.api.objects[PATH], transition(stage, 2, WeightRaised.id, RAISED), again=False)

    assert sorted([("WeightChanged", RAISED), ("RolloutStarted", BOTH)]) == sorted(await written(stage))
    assert start.at + timedelta(seconds=1) == stage.clock.now()
