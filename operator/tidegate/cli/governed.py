"""What is wrong or surprising in the parts of a policy that say who, when and after what; the API server cannot tell."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from tidegate.api.base import format_duration
from tidegate.api.policy import RolloutPolicySpec
from tidegate.api.windows import During, Windows
from tidegate.cli.manifests import Finding, Place, Severity
from tidegate.governance.windows import WindowError, check, clock, state, zone

_FAR = timedelta(days=366)


def of_windows(spec: RolloutPolicySpec) -> Iterator[Finding]:
    """Give what keeps windows shut for good, and what they do to a rollout that is longer than they are."""
    if spec.windows is None:
        return
    place: Place = ("spec", "windows")
    wrong = list(_unreadable(spec.windows, place))
    yield from wrong
    if not wrong and (message := _never_open(spec.windows, datetime.now(UTC))):
        yield Finding(Severity.WARNING, place, message)
    if message := _too_short(spec):
        yield Finding(Severity.NOTE, (*place, "allow"), message)


def _unreadable(windows: Windows, place: Place) -> Iterator[Finding]:
    try:
        zone(windows.time_zone)
    except WindowError as error:
        yield Finding(Severity.ERROR, (*place, "timeZone"), str(error))
    for field, entries in (("allow", windows.allow), ("deny", windows.deny)):
        for index, each in enumerate(entries):
            try:
                check(each)
            except WindowError as error:
                yield Finding(Severity.ERROR, (*place, field, index, "cron"), str(error))


def _never_open(windows: Windows, now: datetime) -> str:
    """Say that windows are shut for a year and longer; empty where they open before."""
    found = state(windows, now)
    if found.open or (found.until is not None and found.until - now < _FAR):
        return ""
    until = f" before {clock(found.until, windows, now)}" if found.until is not None else ""
    return f"never open{until}: deny covers all that allow has, so no rollout starts"


def _too_short(spec: RolloutPolicySpec) -> str:
    assert spec.windows is not None
    longest = max((each.duration for each in spec.windows.allow), default=None)
    rises = sum((step.hold for step in spec.steps if step.weight < 100), timedelta())
    if longest is None or spec.windows.during is During.START or rises <= longest:
        return ""
    holds, window = format_duration(rises), format_duration(longest)
    return (
        f"the holds before weight 100 take {holds}, and no window lasts longer than {window}: each rollout waits at a step for a "
        "later window; during: Start binds the start alone"
    )
