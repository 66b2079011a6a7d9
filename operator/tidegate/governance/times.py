"""Times for people, in the one form that everything of governance writes them in: day, date and minute, in UTC."""

from __future__ import annotations

from datetime import UTC, datetime


def moment(at: datetime) -> str:
    """Write a time as people on call read it."""
    return f"{at.astimezone(UTC):%a %Y-%m-%d %H:%M} UTC"
