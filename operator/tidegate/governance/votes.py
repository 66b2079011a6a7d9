"""Who has voted for exactly this version, and which seats that fills.

A vote is for the content of a pod template, whatever its revision is called. It counts once for a person, until it expires or the
same person rejects the version in the same role; and never for who has made the change (four eyes).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property

from tidegate.api.decision import Action
from tidegate.governance.decisions import OVER, DecisionView, called, person, stranger

WITHDRAWN = "it was withdrawn by a later Reject"


@dataclass(frozen=True)
class Author:
    """Who has changed what is wanted.

    Attributes:
        name: the account.
        claimed: nobody has verified it: a tool has made the change, and says for whom.
    """

    name: str
    claimed: bool = False


@dataclass(frozen=True, kw_only=True)
class Subject:
    """What is voted on.

    Attributes:
        digest: of its content; empty where that is not known, and then nothing is a vote for it.
        revisions: what its revision is called, and was: a Reject may name no digest.
        authors: who has changed it; empty where nobody knows.
        release_uid: uid of the Release.
        release_created: when that was made; None where that is of no concern.
    """

    digest: str
    revisions: frozenset[str] = frozenset()
    authors: tuple[Author, ...] = ()
    release_uid: str = ""
    release_created: datetime | None = None

    @cached_property
    def people(self) -> Mapping[str, Author]:
        """Its authors by what they are known by; of two that are one person the first."""
        return {person(one.name): one for one in reversed(self.authors)}

    def is_of(self, decision: DecisionView) -> bool:
        """Whether a decision is about this content; where it names none, about a revision of it."""
        if decision.digest:
            return decision.digest == self.digest
        return decision.revision in self.revisions


@dataclass(frozen=True)
class Vote:
    """A vote that counts.

    Attributes:
        by: who has cast it.
        role: as what.
        cast: when.
        until: from when on it does not count any more; None where it has no end of its own.
        uid: of the decision.
        who: by what the person is known who has cast it.
    """

    by: str
    role: str
    cast: datetime
    until: datetime | None
    uid: str
    who: str

    def ends(self, after: timedelta | None) -> datetime | None:
        """Return from when on it does not count where votes count for so long."""
        by_policy = None if after is None else self.cast + after
        return min((end for end in (self.until, by_policy) if end is not None), default=None)


@dataclass(frozen=True)
class Ballot:
    """All that was said about a version.

    Attributes:
        votes: those that count, in the order in which they were cast.
        uncounted: why others for the same content do not, by the uid of their decision.
        withdrawn: who has withdrawn a vote, and in which role.
        own: whose vote does not count since the change is theirs, in words.
    """

    votes: tuple[Vote, ...] = ()
    uncounted: Mapping[str, str] = field(default_factory=dict)
    withdrawn: tuple[tuple[str, str], ...] = ()
    own: tuple[str, ...] = ()


def ballot(decisions: Iterable[DecisionView], subject: Subject, now: datetime) -> Ballot:
    """Return who has voted for a version.

    Args:
        decisions: those of its Release.
        subject: the version.
        now: the time.
    """
    about = [one for one in decisions if _speaks(one) and subject.is_of(one)]
    about = [one for one in about if not stranger(one, subject.release_uid, subject.release_created)]
    rejects = rejected(one for one in about if one.action is Action.REJECT)
    votes, again = list[Vote](), set[tuple[str, str]]()
    uncounted, own, withdrawn = dict[str, str](), dict[tuple[str, str], str](), dict[tuple[str, str], tuple[str, str]]()
    for one in sorted((one for one in about if one.action is Action.APPROVE), key=lambda one: (one.created, one.uid)):
        seat = one.who, person(one.role)
        if is_withdrawn(seat, one.created, rejects):
            withdrawn.setdefault(seat, (one.by, one.role))
            uncounted[one.uid] = WITHDRAWN
        elif why := _four_eyes(one, seat[0], subject):
            uncounted[one.uid] = why
            own.setdefault(seat, why)
        elif one.expired(now):
            uncounted[one.uid] = "it has expired"
        elif one.digest and one.outcome not in OVER:
            votes.append(Vote(one.by, seat[1], one.created, one.expires, one.uid, one.who))
            again.add(seat)
    still = tuple(who for seat, who in withdrawn.items() if seat not in again)
    return Ballot(tuple(votes), uncounted, still, tuple(dict.fromkeys(own.values())))


def _speaks(decision: DecisionView) -> bool:
    return decision.action in (Action.APPROVE, Action.REJECT) and bool(decision.who)


def rejected(rejects: Iterable[DecisionView]) -> dict[tuple[str, str], datetime]:
    """Return until when people have rejected, by person and role; the role is empty where they have done so in all of theirs.

    There may be hundreds of votes and thousands of Rejects: each is read once.
    """
    found: dict[tuple[str, str], datetime] = {}
    for one in rejects:
        seat = one.who, person(one.role)
        found[seat] = max(one.created, found.get(seat, one.created))
    return found


def is_withdrawn(seat: tuple[str, str], cast: datetime, rejects: Mapping[tuple[str, str], datetime]) -> bool:
    """Whether a vote was withdrawn by a Reject of the same person and role, or of all their roles, that is not earlier.

    Of one second it is not known which was the later one, so the careful one is taken for it.
    """
    last = (rejects.get(seat), rejects.get((seat[0], "")))
    return any(time is not None and time >= cast for time in last)


def _four_eyes(vote: DecisionView, who: str, subject: Subject) -> str:
    if (author := subject.people.get(who)) is None:
        return ""
    how = "is its author, by the annotation tidegate.dev/author" if author.claimed else "has made the change"
    return f"{called(vote.by)} {how}: somebody else has to approve it"


@dataclass(frozen=True)
class RoleTally:
    """The seats of a role.

    Attributes:
        role: the role.
        needed: how many votes it takes.
        given: who fills one, by name.
    """

    role: str
    needed: int
    given: tuple[str, ...] = ()

    @property
    def missing(self) -> int:
        """How many votes are missing."""
        return self.needed - len(self.given)


@dataclass(frozen=True)
class Tally:
    """The seats of all roles at one point.

    Attributes:
        roles: in the order of the policy.
        until: when the first of the votes that fill a seat ends; None where none does.
        spare: who has voted and fills no seat of a role that lacks one, since they fill another role's, with that other role.
    """

    roles: tuple[RoleTally, ...]
    until: datetime | None = None
    spare: tuple[tuple[str, str], ...] = ()

    @property
    def met(self) -> bool:
        """Whether no vote is missing."""
        return all(role.missing <= 0 for role in self.roles)


@dataclass(frozen=True)
class Seats:
    """How many votes a role has to give.

    Attributes:
        needed: so many.
        expires: for how long a vote counts by the policy; None where it says nothing.
    """

    needed: int
    expires: timedelta | None = None


def tally(votes: Sequence[Vote], seats: Mapping[str, Seats], now: datetime) -> Tally:
    """Return which seats are filled. A person fills one seat at most, whichever roles they have voted in.

    Seats are given so that as many as possible are filled: who has voted in two roles takes the one that nobody else can fill.

    Args:
        votes: those that count for the version.
        seats: the seats by role.
        now: the time.
    """
    known = {person(role): role for role in seats}
    expires = {role: seats[name].expires for role, name in known.items()}
    voters: dict[str, dict[str, Vote]] = {}
    for vote in (one for one in votes if one.role in known):
        end = vote.ends(expires[vote.role])
        if end is None or now < end:
            mine = voters.setdefault(vote.who, {})
            mine[vote.role] = _longer(mine.get(vote.role), vote, expires[vote.role])
    filled = _filled(voters, {role: seats[name].needed for role, name in known.items()})
    found = tuple(
        RoleTally(name, seats[name].needed, tuple(voters[who][role].by for who in filled[role])) for role, name in known.items()
    )
    taken = [(voters[who][role], who) for role, some in filled.items() for who in some]
    ends = [vote.ends(expires[vote.role]) for vote, _ in taken]
    lacking = {person(one.role) for one in found if one.missing > 0}
    spare = tuple((vote.by, known[vote.role]) for vote, who in taken if (voters[who].keys() - {vote.role}) & lacking)
    return Tally(found, min((end for end in ends if end is not None), default=None), spare)


def _longer(one: Vote | None, other: Vote, expires: timedelta | None) -> Vote:
    """Return the one of two votes of a person in a role that counts longer."""
    if one is None or (last := one.ends(expires)) is None:
        return one or other
    end = other.ends(expires)
    return other if end is None or end > last else one


def _filled(voters: Mapping[str, Mapping[str, Vote]], seats: Mapping[str, int]) -> dict[str, list[str]]:
    """Return who fills a seat of which role: a greatest matching, by augmenting paths (Kuhn)."""
    filled: dict[str, list[str]] = {role: [] for role in seats}

    def seated(who: str, tried: set[str]) -> bool:
        for role in (one for one in seats if one in voters[who] and one not in tried):
            tried.add(role)
            if len(filled[role]) < seats[role]:
                filled[role].append(who)
                return True
            for place, other in enumerate(filled[role]):
                if seated(other, tried):
                    filled[role][place] = who
                    return True
        return False

    for who in voters:
        seated(who, set())
    return filled
