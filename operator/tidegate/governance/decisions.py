"""ReleaseDecisions as the engine sees them: what each says, in which order they count, and for which Release.

Some are facts, which count for one version until they expire or are withdrawn; the others are commands, which are carried out once.
A Reject is both: it withdraws votes for as long as it is there, and rejects the version once.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any

from tidegate.api.base import SENTENCE, parse_time, plain
from tidegate.api.decision import Action, DecisionOutcome, ReleaseDecisionSpec, Result
from tidegate.api.flags import Position

CAREFUL = frozenset({Action.REJECT, Action.ROLLBACK, Action.PAUSE})
"""Commands that give the new version no more than it has. They are carried out however late they are seen."""
COMMANDS = frozenset({Action.REJECT, Action.PROMOTE, Action.ROLLBACK, Action.PAUSE, Action.RESUME, Action.RETRY})
"""What is carried out once."""
OVER = frozenset({DecisionOutcome.REFUSED, DecisionOutcome.EXPIRED, DecisionOutcome.SUPERSEDED})
"""What was told of a vote that never counts again."""
LONGEST_NAME = 64
"""Characters of a person's name that a message has."""
LONGEST_VERSION = 128
"""Characters of a version's name that it has."""
_LAST_WORD = (Action.RETRY, Action.PROMOTE, Action.RESUME, Action.PAUSE, Action.ROLLBACK, Action.REJECT)
"""Of commands between which no order is known the most careful one has the last word."""


@dataclass(frozen=True, kw_only=True)
class DecisionView:
    """A ReleaseDecision.

    Attributes:
        name: object name.
        uid: object uid, by which a command is known to have been carried out.
        created: when it was made, by the API server's clock, in whole seconds.
        version: its resourceVersion as a number: of two that nobody has written to since, the one that was made later has the
            greater one. 0 where it is no number.
        action: what is decided.
        by: who decides, as the API server knows them; empty where nobody is named.
        groups: their groups.
        revision: of the version that it is about; empty for whatever is rolled out.
        digest: of the content that it is about; empty where it is about no content.
        release_uid: uid of the Release that it is for; empty where it names none.
        role: as what they decide; empty where it takes no role.
        check: name of the check that is attested.
        result: what that came to.
        url: where its report is.
        to_version: of a rollback, the version that is to be in force; empty for whichever is.
        hold: of a rollback, whether the next version is kept waiting as well.
        flag: that is switched, by its name in the Release.
        switch: what is done with it; None where nothing is switched.
        reason: why, in their words.
        expires: from when on it does not count any more.
        outcome: what became of it, as far as that was written; None where nothing was.
    """

    name: str
    uid: str
    created: datetime
    version: int = 0
    action: Action
    by: str
    groups: tuple[str, ...] = ()
    revision: str = ""
    digest: str = ""
    release_uid: str = ""
    role: str = ""
    check: str = ""
    result: Result | None = None
    url: str = ""
    to_version: str = ""
    hold: bool = False
    flag: str = ""
    switch: Position | None = None
    reason: str = ""
    expires: datetime | None = None
    outcome: DecisionOutcome | None = None

    @property
    def at(self) -> tuple[datetime, int, int, str]:
        """Its place among the commands: when it was made, what was written first, the careful one last, and then by uid."""
        rank = _LAST_WORD.index(self.action) if self.action in _LAST_WORD else 0
        return self.created, self.version, rank, self.uid

    @cached_property
    def who(self) -> str:
        """By what the person is known who decides; found once for all passes, as some names take a millisecond."""
        return person(self.by)

    def expired(self, now: datetime) -> bool:
        """Whether it does not count any more."""
        return self.expires is not None and now >= self.expires


def view_of(obj: Mapping[str, Any]) -> DecisionView:
    """Return what a ReleaseDecision says.

    Args:
        obj: the object as the API server has it.

    Raises:
        ValueError: it is none that the schema lets through.
        KeyError: it lacks what every object has.
    """
    metadata, spec = obj["metadata"], ReleaseDecisionSpec.model_validate(obj["spec"])
    created, written = parse_time(metadata["creationTimestamp"]), str(metadata.get("resourceVersion") or "")
    found = str((obj.get("status") or {}).get("outcome"))
    return DecisionView(
        name=metadata["name"],
        uid=metadata["uid"],
        created=created,
        version=int(written) if written.isascii() and written.isdecimal() and len(written) <= 20 else 0,
        action=spec.action,
        by=spec.by or "",
        groups=spec.groups,
        revision=spec.revision or "",
        digest=spec.digest or "",
        release_uid=spec.release_uid or "",
        role=spec.role or "",
        check=spec.check or "",
        result=spec.result,
        url=spec.url or "",
        to_version=plain(spec.to_version or "", LONGEST_VERSION),
        hold=spec.hold,
        flag=spec.flag or "",
        switch=spec.switch,
        # It is for messages, which are one line, and a terminal obeys what is in it.
        reason=plain(spec.reason or "", SENTENCE),
        expires=None if spec.expires is None else created + spec.expires,
        outcome=DecisionOutcome(found) if found in {*DecisionOutcome} else None,
    )


def called(name: str) -> str:
    """Return the name of a person as messages have it: one line of bounded length."""
    return plain(name, LONGEST_NAME)


def person(name: str) -> str:
    """Return what a person is known by: names are compared without case, and in one form of each letter."""
    if name.isascii():
        return name.casefold().strip()
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold()).strip()


def stranger(decision: DecisionView, release_uid: str, release_created: datetime | None) -> str:
    """Return why a decision is not for the Release that has its name now, in words; empty where it is.

    Times have whole seconds: without a uid, one of the second in which the Release was made may be of the one before.
    """
    if decision.release_uid:
        if decision.release_uid == release_uid:
            return ""
        return "it is for a Release of this name that was deleted since: decide again"
    if release_created is None or decision.created > release_created:
        return ""
    return "it names no releaseUID and is not younger than the Release: decide again"


def in_order(decisions: Iterable[DecisionView]) -> list[DecisionView]:
    """Return the commands among decisions in the order in which they are carried out."""
    return sorted((one for one in decisions if one.action in COMMANDS), key=lambda one: one.at)
