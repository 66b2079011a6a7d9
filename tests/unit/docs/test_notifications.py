"""The page on notifications says what there is: kinds of channels, fields, severities and outcomes, with examples that load."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from pydantic import BaseModel

from tidegate.controller.process import config
from tidegate.engine.severity import SEVERITIES, severity_of
from tidegate.notifications.channel import Outcome
from tidegate.notifications.config import MOST_CHANNELS, PLACEHOLDERS, ChannelConfig, Kind, NotificationsConfig, SmtpConfig
from tidegate.notifications.lanes import MOST
from tidegate.notifications.message import STATES
from unit.docs.pages import text_of
from unit.engine.test_severity import kinds

PAGE = text_of("docs/notifications.md")
EXAMPLES = [
    yaml.safe_load(block) for block in re.findall(r"^```yaml\n(# Tidegate configuration\n.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
]


def section(name: str) -> str:
    return PAGE.split(f"\n## {name}\n")[1].split("\n## ")[0]


def test_each_kind_has_an_example_that_loads(tmp_path: Path) -> None:
    """Given the examples of the page, then the operator accepts each, and each kind of channel has one."""
    shown = set()
    for number, example in enumerate(EXAMPLES):
        path = tmp_path / f"{number}.yaml"
        path.write_text(yaml.safe_dump(example))
        shown |= {channel.type for channel in config.load(path).notifications.channels}

    assert {*Kind} == shown


@pytest.mark.parametrize("model", [NotificationsConfig, ChannelConfig, SmtpConfig], ids=lambda model: model.__name__)
def test_each_field_has_a_row(model: type[BaseModel]) -> None:
    """Given a field of the configuration, then the page has a row for it."""
    rows = re.findall(r"^\| (`[^|]+`) \|", section("Channels") + section("Mail"), re.MULTILINE)
    named = {name for row in rows for name in re.findall(r"`(\w+)`", row)}

    assert [] == [field.alias for field in model.model_fields.values() if field.alias not in named]


def test_each_transition_has_its_severity() -> None:
    """Given a kind of transition, then the page has its id, and the word that it counts by."""
    shown = {}
    for ids, words in re.findall(r"^\| (`[^|]+`) \| ([^|]+) \|", section("Who is told of what"), re.MULTILINE):
        shown |= dict.fromkeys(re.findall(r"`([\w-]+)`", ids), re.findall(r"info|notice|warning|critical", words))

    assert sorted({kind.id for kind in kinds()}) == sorted(shown)
    assert sorted(SEVERITIES) == sorted(shown)
    for event, words in shown.items():
        told = {severity_of(event, type_).value for type_ in ("Normal", "Warning")}
        assert SEVERITIES[event].value in words, event
        assert set(words) <= told, event


def test_what_is_told_once_for_each_cause_is_listed() -> None:
    """Given the kinds that say how it stands, then the page names them, and no other."""
    first = section("The same again").split("say how it\nstands")[0]

    assert STATES == set(re.findall(r"`([\w-]+)`", first))


def test_outcomes_placeholders_and_bounds_are_those_of_the_code() -> None:
    """Given an outcome, a placeholder or a bound, then the page says it."""
    named = set(re.findall(r"`(\w+)`", section("When a message does not come")))

    assert {outcome.value for outcome in Outcome} <= named
    assert all(f"`{{{name}}}`" in PAGE for name in PLACEHOLDERS)
    assert f"at most {MOST_CHANNELS}:" in PAGE
    assert f"over {MOST:,} messages" in PAGE
