"""When the commit of a version was made, as whoever deploys it says; and whether lead times may count from there.

Nobody verifies it, so it is held against what is known: when the version was first seen, and the commit of the version before.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta

from tidegate.api.base import parse_time
from tidegate.api.recorded import CommitIgnored

LONGEST = 40
"""Characters of a time."""
OLDEST = timedelta(days=365)
"""How long before a version was first seen its commit may have been made: an earlier time tells of a clock, and of no delivery."""
AHEAD = timedelta(minutes=5)
"""By how much the clock of whoever commits may be ahead of the operator's."""
_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt][0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,9})?+(?:[Zz]|[+-][0-9]{2}:[0-9]{2})")


@dataclass(frozen=True)
class Commit:
    """When the commit of a version was made.

    Attributes:
        at: when; None where what was said is no time.
        ignored: why its lead time does not count from there; None where it does.
    """

    at: datetime | None
    ignored: CommitIgnored | None = None

    @property
    def known(self) -> datetime | None:
        """The time, for the version that comes after to be held against: one that is still to come would stop all of those."""
        return None if self.ignored is CommitIgnored.FUTURE else self.at


def commit_of(told: str, seen: datetime, before: datetime | None) -> Commit | None:
    """Return when the commit of a version was made; None where nobody says so.

    Args:
        told: what is said.
        seen: when the version was first seen.
        before: when the commit of the version in force was made; None where that is not known.
    """
    if not told:
        return None
    try:
        at = parse_time(told) if len(told) <= LONGEST and _TIME.fullmatch(told) else None
    except ValueError:
        at = None
    if at is None:
        return Commit(None, CommitIgnored.UNREADABLE)
    if at > seen + AHEAD:
        return Commit(at, CommitIgnored.FUTURE)
    if at < seen - OLDEST:
        return Commit(at, CommitIgnored.TOO_OLD)
    # What was left from the version before, or comes from an earlier one that is rolled out again, is no change that was delivered.
    return Commit(at, CommitIgnored.NOT_NEWER if before is not None and at <= before else None)
