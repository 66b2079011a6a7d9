"""Incidents: what is told to be wrong is told to be over, by the key with which it began, and to those who were told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tidegate.engine.severity import SEVERITIES, Severity
from tidegate.notifications.config import ChannelConfig
from tidegate.notifications.incidents import ENDS, OPENS, Incident
from tidegate.notifications.message import takes
from tidegate.runtime.clock import ManualClock
from unit.controller.api_server import settled
from unit.notifications.receiver import Receiver, Told, receiving, release
from unit.notifications.test_formats import channel, made, message


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as one:
        yield one


def pager(folder: Path, receiver: Receiver, **more: Any) -> ChannelConfig:
    (folder / "routing").write_text("r0uting\n")
    given = {"routingKeyFile": str(folder / "routing"), "url": receiver.url, **more}
    return ChannelConfig.model_validate({"name": "pager", "type": "pagerduty", **given})


def test_whatever_can_be_open_can_end() -> None:
    """Each incident has transitions that open it and some that end it, which are other ones, and all are known."""
    assert set(Incident) == set(OPENS.values()) == set(ENDS.values())
    assert not OPENS.keys() & ENDS.keys()
    assert OPENS.keys() | ENDS.keys() <= SEVERITIES.keys()


@pytest.mark.parametrize("event", ENDS)
def test_pager_duty_resolves_what_was_triggered(tmp_path: Path, event: str) -> None:
    """By the same key, which knows neither number nor version."""
    config = channel(tmp_path, "pagerduty", severities=["warning", "critical"])
    keys = {made(config, message(opens))[1]["dedup_key"] for opens, incident in OPENS.items() if incident is ENDS[event]}
    _, body = made(config, message(event, number=9, version="v3"))

    assert {"routing_key": "r0uting", "event_action": "resolve", "dedup_key": body["dedup_key"]} == body
    assert {body["dedup_key"]} == keys


@pytest.mark.parametrize("event", ENDS)
def test_alertmanager_is_told_the_end_of_all_that_may_fire(tmp_path: Path, event: str) -> None:
    """With the labels of each alert that the channel may have been told of this incident, and of no other."""
    config = channel(tmp_path, "alertmanager", severities=["notice", "warning", "critical"])
    wanted = [
        made(config, message(opens, severity=severity))[1][0]["labels"]
        for opens, incident in OPENS.items()
        if incident is ENDS[event]
        for severity in (SEVERITIES[opens], Severity.NOTICE)
    ]
    _, alerts = made(config, message(event, number=9))

    assert sorted(map(str, wanted)) == sorted(str(alert["labels"]) for alert in alerts)
    assert {("2026-01-02T03:04:12.000Z", False)} == {(alert["endsAt"], "startsAt" in alert) for alert in alerts}


@pytest.mark.parametrize(
    ("type_", "given", "event", "expected"),
    [
        ("pagerduty", {}, "ended", True),
        ("pagerduty", {}, "resumed", True),
        ("pagerduty", {}, "stable-recovered", True),
        ("pagerduty", {}, "reviewed", False),
        ("pagerduty", {"severities": ["warning"]}, "reviewed", True),
        ("pagerduty", {"events": ["stable-lacks-pods"]}, "ended", False),
        ("pagerduty", {"events": ["stable-lacks-pods"]}, "stable-recovered", True),
        ("pagerduty", {"events": ["breach-pauses"]}, "ended", True),
        ("pagerduty", {"resolve": False}, "ended", False),
        ("pagerduty", {"namespaces": ["bank"]}, "ended", False),
        ("alertmanager", {}, "ended", True),
        ("slack", {"severities": ["critical"]}, "ended", False),
    ],
)
def test_who_was_told_is_told_the_end(tmp_path: Path, type_: str, given: dict[str, Any], event: str, expected: bool) -> None:
    """Given what opens an incident for a channel, then its end is for it, too, and else it is not."""
    assert expected is takes(channel(tmp_path, type_, **given), release(), event, "Normal")


def test_without_it_an_end_is_told_as_it_was(tmp_path: Path) -> None:
    """Given resolve: false, then a failed rollout's end is an incident by itself for whoever takes warnings."""
    config = channel(tmp_path, "pagerduty", resolve=False, severities=["warning"])
    _, body = made(config, message("ended"))

    assert takes(config, release(), "ended", "Warning")
    assert ("trigger", "tidegate/uid-checkout.7") == (body["event_action"], body["dedup_key"])


async def test_a_pager_hears_of_a_rollback_and_of_its_end(tmp_path: Path, receiver: Receiver) -> None:
    """In order, each once, with one key; of what is between them it hears nothing."""
    told = Told(ManualClock(), pager(tmp_path, receiver))
    told.channel.start()
    receiver.reply = 500
    first = told.take(1, "breach-rolls-back", warns=True)
    told.take(2, "weight-raised")
    last = told.take(3, "ended", warns=True)
    await settled(lambda: told.outcomes == ["failed"])
    receiver.reply = 202
    told.clock.advance(1.5)
    await settled(lambda: told.channel.waiting() == 0)
    await told.channel.stop(within=0)

    bodies = [body for _, body in receiver.got]
    assert [("trigger", "tidegate/uid-checkout.rollout"), ("resolve", "tidegate/uid-checkout.rollout")] == [
        (body["event_action"], body["dedup_key"]) for body in bodies
    ]
    assert all(told.channel.taken(release(), one) for one in (first, last))


async def test_what_was_told_before_an_end_is_news_after_it(tmp_path: Path, receiver: Receiver) -> None:
    """Given the same warning in the next rollout, within the hour in which it is not repeated, then it is told again."""
    told = Told(ManualClock(), pager(tmp_path, receiver, severities=["warning"]))
    told.channel.start()
    for number, event in enumerate(("gate-undecided", "gate-undecided", "ended", "gate-undecided", "gate-undecided"), start=1):
        told.take(number, event, warns=True, message="gate errors is undecided")
        await settled(lambda: told.channel.waiting() == 0)
        told.clock.advance(1)
        await asyncio.sleep(0)
    await told.channel.stop(within=0)

    assert ["trigger", "resolve", "trigger"] == [body["event_action"] for _, body in receiver.got]
    assert ["delivered", "repeated", "delivered", "delivered", "repeated"] == told.outcomes
