"""Which checks a version has passed, by the attestations for exactly its content, and in which words they are asked for.

An attestation says what a check came to that somebody else has made: a pipeline, a scanner, a person. Of several for one check in
its role the latest counts: who has attested wrongly, or has checked again, makes another one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from tidegate.api.base import plain
from tidegate.api.checks import REVIEW, Check, OnFailure
from tidegate.api.decision import Action, Result
from tidegate.governance import commands
from tidegate.governance.decisions import OVER, DecisionView, called, person, stranger
from tidegate.governance.times import moment
from tidegate.governance.votes import Subject

LONGEST_URL = 200
"""Characters of a report's address that a message has."""


@dataclass(frozen=True)
class Lacking:
    """A check that a version has not passed.

    Attributes:
        check: as the policy has it.
        said: the attestation that counts; None where there is none.
        trouble: why it cannot be said whether the check is needed; empty where it can.
    """

    check: Check
    said: DecisionView | None = None
    trouble: str = ""


def attestations(decisions: Iterable[DecisionView], subject: Subject) -> dict[tuple[str, str], DecisionView]:
    """Return by check and role what was attested last for a content.

    Times have whole seconds: of several of one second none is known to be the last, and one that Failed is taken for it.

    Args:
        decisions: those of its Release.
        subject: the version.
    """
    about = [
        one
        for one in decisions
        if one.action is Action.ATTEST and one.check != REVIEW and one.outcome not in OVER and one.who
        if subject.digest and one.digest == subject.digest
        if not stranger(one, subject.release_uid, subject.release_created)
    ]
    return {(one.check, person(one.role)): one for one in sorted(about, key=_place)}


def ahead(checks: Iterable[Check], applies: Callable[[str], bool], *, above: int, upto: int) -> list[tuple[Check, str]]:
    """Return the checks that a weight takes, in the order of their points, each with why it cannot be said that it does not.

    Args:
        checks: as the policy has them.
        applies: whether a condition is true of the version; it raises ValueError where that cannot be said.
        above: the weight that the version has; -1 where it has not started.
        upto: the weight that it is to get.
    """
    found: list[tuple[Check, str]] = []
    for check in sorted((one for one in checks if above < one.weight <= upto), key=lambda one: one.weight):
        try:
            if check.when is None or applies(check.when):
                found.append((check, ""))
        except ValueError as error:
            found.append((check, str(error)))
    return found


def counted(check: Check, said: dict[tuple[str, str], DecisionView], now: datetime) -> DecisionView | None:
    """Return the attestation of a check that counts now; None where there is none.

    Args:
        check: as the policy has it.
        said: what was attested.
        now: the time.
    """
    one = said.get((check.name, person(role_of(check))))
    return None if one is None or _over(check, one, now) else one


def is_passed(check: Check, one: DecisionView | None) -> bool:
    """Whether a check is passed by an attestation that counts; one that only warns is by any."""
    return one is not None and (one.result is Result.PASSED or check.failure is OnFailure.WARN)


def role_of(check: Check) -> str:
    """Return the role that attests a check; empty where a Job makes it."""
    return check.attested.role if check.attested is not None else ""


def ends(check: Check, one: DecisionView) -> datetime | None:
    """Return from when on an attestation does not count any more; None where it has no end."""
    by_policy = None if check.expires is None else one.created + check.expires
    return min((end for end in (one.expires, by_policy) if end is not None), default=None)


def demand(lack: Lacking) -> str:
    """Return what is missing, to be put behind `waits`."""
    if lack.trouble:
        return f"for a condition in its policy's checks to be fixed: {lack.trouble}"
    return f"for check {lack.check.name} by role {role_of(lack.check)}"


def state(lack: Lacking) -> str:
    """Return what was attested, to be put behind what is missing; empty where nothing was."""
    one = lack.said
    if one is None or lack.trouble:
        return ""
    result = one.result.value if one.result is not None else "nothing"
    report = f", {plain(one.url, LONGEST_URL)}" if one.url else ""
    return f"; {called(one.by)} attested {result} at {moment(one.created)}{report}"


def command(lack: Lacking, release: str, namespace: str) -> str:
    """Return the command by which it is attested that the check has passed; empty where that does not help."""
    if lack.trouble:
        return ""
    name, role = lack.check.name, role_of(lack.check)
    return commands.on_release("attest", release, namespace, "--check", name, "--role", role, "--result", Result.PASSED.value)


def asks(checks: Sequence[Check], one: DecisionView) -> bool:
    """Whether a policy has a check that an attestation is about."""
    attested = (check for check in checks if check.attested is not None)
    return any(check.name == one.check and person(role_of(check)) == person(one.role) for check in attested)


def _over(check: Check, one: DecisionView, now: datetime) -> bool:
    end = ends(check, one)
    return end is not None and now >= end


def _place(one: DecisionView) -> tuple[datetime, bool, int, str]:
    return one.created, one.result is not Result.PASSED, one.version, one.uid
