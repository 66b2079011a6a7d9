"""When rollouts may go on: windows that come back by a calendar, in the time of a place.

The form of an expression is judged at the API server as far as a form tells; what is left (a day that no month has, a zone that the
machine does not know) is found by `tidegate lint`, and keeps a window shut.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from tidegate.api.base import Duration, K8s, Model, Rule

MOST_ALLOWED = 10
MOST_DENIED = 20
CRON_LENGTH = 100
LONGEST_REASON = 80
ZONE_PATTERN = "^[A-Z][A-Za-z0-9_+-]*(/[A-Za-z0-9_+-]+){0,2}$"
_MONTHS = "JAN|FEB|MAR|APR|MAY|JUN|JUL|AUG|SEP|OCT|NOV|DEC"
_DAYS = "SUN|MON|TUE|WED|THU|FRI|SAT"


def _field(value: str, special: str = "") -> str:
    """Return the form of a field: a star, a value or a range, each with a step or not; several are parted by commas."""
    item = rf"(([*]|({value})(-({value}))?)(/[1-9][0-9]?)?{special})"
    return f"{item}(,{item})*"


CRON_PATTERN = "^{}$".format(
    " +".join(
        (
            _field("[0-5]?[0-9]"),
            _field("[01]?[0-9]|2[0-3]"),
            _field("0?[1-9]|[12][0-9]|3[01]", "|LW?"),
            _field(f"0?[1-9]|1[0-2]|{_MONTHS}"),
            _field(f"[0-7]|{_DAYS}", f"|([0-7]|{_DAYS})#[1-5]|[0-7]L"),
        )
    )
)
"""Five fields: minute, hour, day of the month, month, day of the week, in upper case."""


class During(StrEnum):
    """What windows bind."""

    START = "Start"
    ALWAYS = "Always"


class Recurrence(Model):
    """A window that comes back: when it begins, and for how long it lasts."""

    cron: Annotated[
        str,
        Field(
            max_length=CRON_LENGTH,
            description=(
                "When it begins: minute, hour, day of the month, month, day of the week (0 and 7: Sunday), on the clock of "
                "timeZone. If neither of the two days begins with a star, either of them suffices, as in cron. Also L (last), LW "
                "(last weekday), 1#2 (second Monday), 5L (last Friday)."
            ),
        ),
        K8s(
            rules=(
                Rule("!self.startsWith('@')", "names such as @daily are not read: write the five fields, e.g. 0 0 * * *"),
                Rule(
                    f"self.startsWith('@') || self.upperAscii().matches('{CRON_PATTERN}')",
                    "must be five fields: minute, hour, day of the month, month, day of the week, e.g. 0 9 * * 1-5",
                ),
            )
        ),
    ]
    duration: Annotated[
        Duration,
        Field(
            alias="for",
            description=(
                "How long it lasts on the clock of timeZone, at least 1m: from 22:00 for 8h ends at 06:00 on every night, also "
                "when the clocks change."
            ),
        ),
        K8s(rules=(Rule("duration(self) >= duration('1m')", "must be at least 1m"),)),
    ]


class Denial(Recurrence):
    """A window in which nothing goes on, with the reason."""

    reason: Annotated[
        str | None,
        Field(
            min_length=1,
            max_length=LONGEST_REASON,
            description="Why, for people who wait: holidays, end of the quarter. Default: none.",
        ),
    ] = None


class Windows(Model):
    """The times at which a rollout may start and its weight may rise. Nothing here delays a rollback."""

    time_zone: Annotated[
        str,
        Field(
            min_length=1,
            max_length=64,
            description=(
                "Zone of the IANA database on whose clock the windows are read, e.g. Europe/Berlin or UTC. If the operator does "
                "not know it, the windows are shut."
            ),
        ),
        K8s(
            rules=(
                Rule(
                    f"self.matches('{ZONE_PATTERN}')",
                    "must be the name of a zone of the IANA database, e.g. Europe/Berlin, America/New_York or UTC",
                ),
            )
        ),
    ]
    allow: Annotated[
        tuple[Recurrence, ...],
        Field(max_length=MOST_ALLOWED, description="Open only during these. Default: none; then open whenever deny is not."),
    ] = ()
    deny: Annotated[
        tuple[Denial, ...],
        Field(max_length=MOST_DENIED, description="Shut during these, also within allow. Default: none."),
    ] = ()
    during: Annotated[
        During,
        Field(
            description=(
                "What has to be within the windows. Always: the start of a rollout and each rise of its weight. Start: the start "
                "alone; once started, a rollout goes on. Default: Always."
            )
        ),
    ] = During.ALWAYS


WINDOWS_RULES = (
    Rule("has(self.allow) && size(self.allow) > 0 || has(self.deny) && size(self.deny) > 0", "give allow, deny or both"),
)
