"""When the commit of a recorded version was made, for people; and why its lead time does not count from there, if it does not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tidegate.api.recorded import CommitIgnored

_IGNORED = {
    CommitIgnored.UNREADABLE.value: "what was given is no time as in RFC 3339",
    CommitIgnored.FUTURE.value: "it is later than the version was first seen",
    CommitIgnored.TOO_OLD.value: "it is more than a year before the version was first seen",
    CommitIgnored.NOT_NEWER.value: "it is not later than the commit of the version before",
}


def commit(spec: Mapping[str, Any]) -> str:
    """Return when the commit of a version was made, and why that does not count if so; empty where no commit was named."""
    at, ignored = str(spec.get("committedAt") or ""), spec.get("commitIgnored")
    if not ignored:
        return at
    return f"{at or 'unreadable'}, not counted: {_IGNORED.get(str(ignored), str(ignored))}"
