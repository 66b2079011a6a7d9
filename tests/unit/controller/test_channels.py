"""Channels as sinks of the outbox: whatever write the operator dies at, each living receiver hears of all, by one id each."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import pytest

from tidegate.api.names import ANNOTATION_REQUEST
from tidegate.cluster.errors import ApiError
from tidegate.controller.reconcile.sinks.registry import sinks
from tidegate.controller.reconcile.sinks.sink import Means, Sink
from tidegate.notifications.channel import Channel
from tidegate.notifications.config import ChannelConfig, NotificationsConfig
from unit.controller.api_server import settled
from unit.controller.stage import KEY, PATH, Stage, events
from unit.notifications.receiver import Receiver, hook, receiving
from unit.notifications.test_sending import answered

REQUESTS = ("pause/1", "resume/2", "pause/3")
WRITES = 6
"""Each request is one write, and another one notes that the channel has it: with two channels, too."""


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as one:
        yield one


def made(stage: Stage, *configs: ChannelConfig) -> list[Channel]:
    """Make the channels of a configuration, as the operator does; Events are the stage's own."""
    means = Means(
        stage.cluster,
        stage.clock,
        "test",
        lambda _: None,
        stage.queue.add,
        NotificationsConfig(channels=configs),
        stage.metrics.notified,
        lambda *_: None,
    )
    means.__dict__["recorder"] = stage.recorder
    channels = [sink for sink in sinks(means) if isinstance(sink, Channel)]
    assert len(configs) == len(channels)
    return channels


def operating(stage: Stage, *configs: ChannelConfig) -> tuple[Stage, list[Channel]]:
    """Start the next life of the operator, with channels."""
    again = stage.restarted()
    channels = made(again, *configs)
    found: list[Sink] = [*again.outbox._sinks.values(), *channels]
    again.outbox._sinks = {sink.name: sink for sink in found}
    for channel in channels:
        channel.start()
    return again, channels


async def ask(stage: Stage, request: str) -> None:
    release = stage.api.objects[PATH]
    stage.add({**release, "metadata": {**release["metadata"], "annotations": {ANNOTATION_REQUEST: request}}})
    await stage.reconciler.reconcile(KEY)


async def life(stage: Stage, channels: list[Channel], requests: tuple[str, ...], living: tuple[str, ...] = ("hook",)) -> None:
    """Let people ask for one thing after another, until all is done or the API server answers no more."""
    try:
        for request in requests:
            await ask(stage, request)
            await settled(lambda: not any(channel.waiting() for channel in channels if channel.name in living))
            for _ in range(3):
                stage.clock.advance(0.6)
                await stage.reconciler.reconcile(KEY)
    except ApiError:
        return
    finally:
        for channel in channels:
            await channel.stop(within=0)
        await stage.close()


async def on_stage(stage: Stage) -> None:
    """A version at 10%; what happened before there were channels is told by Events."""
    stage.at_ten_percent()
    await stage.passes()


@pytest.mark.parametrize("late", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("write", range(1, WRITES + 1))
async def test_nothing_is_lost_at_any_write(stage: Stage, receiver: Receiver, tmp_path: Path, write: int, late: bool) -> None:
    """Given an operator that dies before or after a write, and one receiver that hangs, then the other hears all by one id each."""
    await on_stage(stage)
    async with receiving() as hanging:
        hanging.hangs.clear()
        (tmp_path / "away").mkdir()
        configs = hook(tmp_path, receiver), hook(tmp_path / "away", hanging, "away", timeout="30s")
        stage.api.last, stage.api.late = write, late
        await life(*operating(stage, *configs), REQUESTS)
        died, stage.api.last = stage.api.last, None
        handled = stage.status.get("handledRequest")
        left = REQUESTS[REQUESTS.index(handled) :] if handled else REQUESTS

        await life(*operating(stage, *configs), left)

    assert died is not None
    assert died <= 0, "it died at a write"
    told = {headers["webhook-id"]: body["data"]["event"] for headers, body in receiver.got}
    uid = stage.api.objects[PATH]["metadata"]["uid"]
    assert {f"{uid}.2": "paused", f"{uid}.3": "resumed", f"{uid}.4": "paused"} == told
    assert 3 <= len(receiver.got) <= 4, "twice at most what was under way"
    places = {one["name"]: one["taken"] for one in stage.status["outbox"].get("sinks", ())}
    assert ({"away"}, 1) == ({*places} - {"events"}, places["away"]), "what hangs is told when it is back"


async def test_each_message_costs_one_write_at_most(stage: Stage, receiver: Receiver, tmp_path: Path) -> None:
    """Given two channels, then that both have a message is one write of the status together, and at rest there is none."""
    await on_stage(stage)
    (tmp_path / "two").mkdir()
    operator, channels = operating(stage, hook(tmp_path, receiver), hook(tmp_path / "two", receiver, "second"))
    before = len(stage.api.written("/releases/checkout/status"))

    await life(operator, channels, REQUESTS, living=("hook", "second"))

    assert 2 * len(REQUESTS) == len(stage.api.written("/releases/checkout/status")) - before
    assert 2 * len(REQUESTS) == len(receiver.got)


@pytest.mark.parametrize("severity", ["critical", "warning", "info"])
async def test_what_a_channel_does_not_take_costs_nothing(stage: Stage, receiver: Receiver, tmp_path: Path, severity: str) -> None:
    """Given a channel for other severities, then a pause is one write, and the status has no place for the channel."""
    await on_stage(stage)
    operator, channels = operating(stage, hook(tmp_path, receiver, severities=[severity]))
    before = len(stage.api.written("/releases/checkout/status"))

    await life(operator, channels, REQUESTS)

    assert (len(REQUESTS), 0) == (len(stage.api.written("/releases/checkout/status")) - before, receiver.asked)
    assert {"events"} >= {one["name"] for one in stage.status["outbox"].get("sinks", ())}


async def test_a_channel_hears_that_another_one_fell_behind(stage: Stage, receiver: Receiver, tmp_path: Path) -> None:
    """Given a receiver that hangs for more transitions than a status keeps, then who is told of warnings hears of that, once."""
    await on_stage(stage)
    async with receiving() as hanging:
        hanging.hangs.clear()
        (tmp_path / "away").mkdir()
        configs = hook(tmp_path, receiver, severities=["warning"]), hook(tmp_path / "away", hanging, "away", timeout="30s")
        operator, channels = operating(stage, *configs)
        operator.recorder.start()
        await life(operator, channels, tuple(f"{'pause' if turn % 2 else 'resume'}/{turn}" for turn in range(1, 13)))

    texts = [body["data"]["message"] for _, body in receiver.got if body["data"]["event"] == "transitions-dropped"]
    assert ["Sink away fell behind and may have missed transitions"] == [text.split(":")[0] for text in texts]
    assert len(receiver.got) == len(texts)


async def test_a_message_that_is_given_up_is_told_by_an_event(stage: Stage, receiver: Receiver, tmp_path: Path) -> None:
    """Given a receiver that refuses a message for good, then an Event on the Release says which channel was not told, and why."""
    await on_stage(stage)
    receiver.reply = answered(400)
    operator, channels = operating(stage, hook(tmp_path, receiver))
    operator.recorder.start()
    with suppress(ApiError):
        await ask(operator, "pause/1")
    await settled(lambda: not channels[0].waiting())
    reasons = await events(operator)
    await channels[0].stop(within=0)
    await operator.close()

    bodies = [body for body in stage.api.written("/events") if body.get("reason") == "NotificationDropped"]
    assert "NotificationDropped" in reasons
    assert ["Channel hook was not told of paused (transition 2): HTTP 400 Bad Request"] == [body["message"] for body in bodies]
    assert 1.0 == operator.metrics.registry.get_sample_value(
        "tidegate_notifications_total", {"channel": "hook", "outcome": "refused"}
    )


def test_without_channels_nothing_of_them_is_imported() -> None:
    """Given no channels, then their modules take no memory: the sinks are made without them."""
    code = (
        "import sys, json; from tidegate.controller.process import app; from tidegate.controller.reconcile.sinks import registry;"
        "print(json.dumps(sorted(name for name in sys.modules if name.startswith('tidegate.notifications'))))"
    )
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout

    assert ["tidegate.notifications", "tidegate.notifications.config"] == json.loads(loaded)
