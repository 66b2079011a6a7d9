"""What is wrong or surprising in the parts of a policy that say who, when and after what; the API server cannot tell."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from tidegate.api.approvals import Approval
from tidegate.api.base import format_duration
from tidegate.api.checks import NEVER, Check
from tidegate.api.policy import RolloutPolicySpec, Step
from tidegate.api.release import ReleaseType
from tidegate.api.windows import During, Windows
from tidegate.cli.manifests import Finding, Place, Severity
from tidegate.governance.expressions import ExpressionError, Subject, applies
from tidegate.governance.expressions import check as read
from tidegate.governance.windows import WindowError, check, clock, state, zone

_FAR = timedelta(days=366)
_TYPED = re.compile(r"release\.type\s*+[!=]=\s*+'([^']*+)'|release\.type\s*+[!=]=\s*+\"([^\"]*+)\"")
_EXAMPLES = tuple(
    Subject(type=kind, environment="production", labels={}, stable="1.0.0", candidate="1.1.0") for kind in ReleaseType
)


def of_governance(spec: RolloutPolicySpec) -> Iterator[Finding]:
    """Give what keeps windows shut for good or a rollout from starting, and what windows do to a rollout that is longer."""
    if spec.windows is not None:
        yield from _of_windows(spec.windows, ("spec", "windows"))
        if message := _too_short(spec):
            yield Finding(Severity.NOTE, ("spec", "windows", "allow"), message)
    for index, rule in enumerate(spec.rules):
        place: Place = ("spec", "rules", index)
        yield from _of_condition(rule.when, (*place, "when"))
        if rule.set.windows is not None:
            yield from _of_windows(rule.set.windows, (*place, "set", "windows"))
    yield from _of_points(spec)
    yield from _of_migrations(spec)


def _of_windows(windows: Windows, place: Place) -> Iterator[Finding]:
    wrong = list(_unreadable(windows, place))
    yield from wrong
    if not wrong and (message := _never_open(windows, datetime.now(UTC))):
        yield Finding(Severity.WARNING, place, message)


def _of_condition(condition: str, place: Place) -> Iterator[Finding]:
    """Give why a condition cannot be read, why it fails for a Release without labels, and what it asks for that there is not."""
    try:
        read(condition)
    except ExpressionError as error:
        yield Finding(Severity.ERROR, place, str(error))
        return
    types = ", ".join(ReleaseType)
    for found in _TYPED.finditer(condition):
        if (name := found[1] if found[1] is not None else found[2]) not in list(ReleaseType):
            yield Finding(Severity.WARNING, place, f"there is no release type {name!r}; there are {types}")
    try:
        for subject in _EXAMPLES:
            applies(condition, subject)
    except ExpressionError as error:
        message = f"{error}: without it no rollout starts; if a label may be missing, begin with: 'team' in labels && ..."
        yield Finding(Severity.WARNING, place, message)


def _of_points(spec: RolloutPolicySpec) -> Iterator[Finding]:
    """Give conditions that are none, and points that no step comes to before a later one does."""
    asked: list[tuple[Place, str, tuple[Step, ...], Approval | Check]] = [
        (("spec", "approvals", index), "votes are", spec.steps, entry) for index, entry in enumerate(spec.approvals)
    ]
    asked += [(("spec", "checks", index), "check is", spec.steps, entry) for index, entry in enumerate(spec.checks)]
    asked += [
        (("spec", "rules", number, "set", "approvals", index), "votes are", rule.set.steps or spec.steps, entry)
        for number, rule in enumerate(spec.rules)
        for index, entry in enumerate(rule.set.approvals or ())
    ]
    for place, what, steps, entry in asked:
        if entry.when is not None:
            yield from _of_condition(entry.when, (*place, "when"))
        reached = next((step.weight for step in steps if step.weight >= entry.weight), 100)
        if entry.weight not in (0, reached, NEVER):
            words = f"no step has weight {entry.at}: the {what} needed before the step with weight {reached}%"
            yield Finding(Severity.NOTE, (*place, "at"), words)


def _of_migrations(spec: RolloutPolicySpec) -> Iterator[Finding]:
    """Give what is left behind by a rollout that is undone, and what is expanded without a try."""
    migrations, place = spec.migrations, ("spec", "migrations")
    if migrations is None:
        return
    if migrations.rollback is None and (migrations.expand is not None or migrations.migrate is not None):
        words = "without rollback a version that is rolled back leaves behind what its expand and migrate did"
        yield Finding(Severity.NOTE, place, words)
    if migrations.contract is not None and spec.backup is None:
        words = "contract removes what no rollback brings back, and there is no backup: give one"
        yield Finding(Severity.WARNING, (*place, "contract"), words)


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
