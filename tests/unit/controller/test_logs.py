"""The form of log lines."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
import structlog

from tidegate.controller.process import logs
from tidegate.controller.process.config import LogLevel

NEVER = datetime.min.replace(tzinfo=UTC)


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    """Logging is one for the whole process: put it back."""
    root, own = logging.getLogger(), logging.getLogger("tidegate")
    handlers, levels = root.handlers[:], (root.level, own.level)
    yield
    root.handlers = handlers
    root.setLevel(levels[0])
    own.setLevel(levels[1])
    structlog.reset_defaults()


def said(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    """Return what was written to standard error, line by line; nothing goes to standard output."""
    written = capsys.readouterr()
    assert "" == written.out
    return [json.loads(line) for line in written.err.splitlines()]


def test_line_is_one_json_object(capsys: pytest.CaptureFixture[str]) -> None:
    """A line carries event, level, logger, time in UTC and what was said beside; whatever that is, it can be written."""
    logs.configure(LogLevel.INFO)

    structlog.get_logger("tidegate.controller.process.app").info(
        "two\nlines", release="shop/checkout", odd={1, 2}, when=datetime.min.replace(tzinfo=UTC)
    )

    (line,) = said(capsys)
    assert ("two\nlines", "info", "tidegate.controller.process.app") == (line["event"], line["level"], line["logger"])
    assert "shop/checkout" == line["release"]
    assert datetime.fromisoformat(line["timestamp"]).tzinfo is not None


def test_libraries_speak_in_the_same_form_and_only_of_what_is_wrong(capsys: pytest.CaptureFixture[str]) -> None:
    """Lines of libraries look the same; what they say below a warning, kopf's bodies above all, is not logged at any level."""
    logs.configure(LogLevel.DEBUG)

    logging.getLogger("kopf.objects").debug("a whole body")
    logging.getLogger("urllib3.connectionpool").info("GET /")
    logging.getLogger("kopf").error("Request attempt #1 failed")
    structlog.get_logger("tidegate.anything").debug("ours")

    assert [("Request attempt #1 failed", "error"), ("ours", "debug")] == [(line["event"], line["level"]) for line in said(capsys)]


@pytest.mark.parametrize("level", list(LogLevel))
def test_level_is_kept(capsys: pytest.CaptureFixture[str], level: LogLevel) -> None:
    """What is below the chosen level is not logged."""
    logs.configure(level)
    log = structlog.get_logger("tidegate.x")

    for name in LogLevel:
        getattr(log, name.value)(name.value)

    assert list(LogLevel)[list(LogLevel).index(level) :] == [LogLevel(line["event"]) for line in said(capsys)]


def test_traceback_is_part_of_the_line(capsys: pytest.CaptureFixture[str]) -> None:
    """An exception stands in its line, and does not break it into many."""
    logs.configure(LogLevel.INFO)
    try:
        int("deep inside")
    except ValueError:
        structlog.get_logger("tidegate.x").exception("failed")

    (line,) = said(capsys)
    assert "ValueError: invalid literal" in line["exception"]
