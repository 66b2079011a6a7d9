"""Who has voted for exactly this version: once per person, until it ends or is withdrawn, and never for one's own change."""

from __future__ import annotations

import itertools
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.api.decision import Action, DecisionOutcome
from tidegate.governance import decisions as decided
from tidegate.governance.decisions import DecisionView
from tidegate.governance.hotfix import overrides
from tidegate.governance.votes import Author, Ballot, Seats, Subject, Tally, ballot, tally

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
DIGEST, OTHER = "sha256:" + "a" * 64, "sha256:" + "b" * 64
SUBJECT = Subject(digest=DIGEST, revisions=frozenset({"r2"}), release_uid="release", release_created=EPOCH)
NOW = EPOCH + timedelta(hours=1)
numbers = itertools.count(1)


def at(minutes: float) -> datetime:
    """Return a moment so many minutes after the Release was made."""
    return EPOCH + timedelta(minutes=minutes)


def decision(by: str, role: str = "qa", minutes: float = 1, action: Action = Action.APPROVE, **more) -> DecisionView:
    """Return a decision on v2."""
    number = next(numbers)
    base = DecisionView(
        name=f"d{number}",
        uid=f"u{number:04}",
        created=at(minutes),
        version=number,
        action=action,
        by=by,
        role=role,
        revision="r2",
        digest=DIGEST,
        release_uid="release",
    )
    return replace(base, **more)


def rejects(by: str, role: str = "qa", minutes: float = 2, **more) -> DecisionView:
    """Return that somebody rejects v2."""
    return decision(by, role, minutes, Action.REJECT, **more)


def voters(found: Ballot) -> list[tuple[str, str]]:
    """Return who has voted, as what."""
    return [(vote.by, vote.role) for vote in found.votes]


def seats(minutes: float | None = None, **roles: int) -> dict[str, Seats]:
    """Return the seats of roles, where a vote counts for so long."""
    return {role: Seats(needed, None if minutes is None else timedelta(minutes=minutes)) for role, needed in roles.items()}


def counted(*decisions: DecisionView, subject: Subject = SUBJECT, now: datetime = NOW, **roles: int) -> Tally:
    """Return the seats that decisions fill."""
    return tally(ballot(decisions, subject, now).votes, seats(**(roles or {"qa": 1})), now)


def test_vote_for_this_content_counts():
    """A vote in a role fills a seat of it, and of no other."""
    found = counted(decision("ann"), qa=1, architect=1)

    assert [("ann",), ()] == [role.given for role in found.roles]
    assert [0, 1] == [role.missing for role in found.roles]
    assert not found.met


@pytest.mark.parametrize(
    "more",
    [
        {"digest": OTHER},
        {"digest": ""},
        {"release_uid": "another"},
        {"release_uid": "", "created": EPOCH},
        {"release_uid": "", "created": at(-5)},
        {"by": ""},
        {"by": " "},
        {"action": Action.ATTEST},
        {"action": Action.OVERRIDE},
        {"outcome": DecisionOutcome.REFUSED},
        {"expires": NOW},
    ],
)
def test_what_is_no_vote_for_it(more: dict):
    """Another content, another Release or one before it, nobody's name, another action, a refusal, an end: none counts."""
    assert () == ballot([replace(decision("ann"), **more)], SUBJECT, NOW).votes


@pytest.mark.parametrize("more", [{"revision": "another"}, {"revision": ""}, {"release_uid": "", "created": at(0.1)}])
def test_what_is_a_vote_all_the_same(more: dict):
    """A vote is for the content, whatever its revision is called; without a uid it must be younger than the Release."""
    assert [("ann", "qa")] == voters(ballot([replace(decision("ann"), **more)], SUBJECT, NOW))


def test_nothing_is_a_vote_for_what_is_not_known():
    """Where the content is not known, nobody has voted for it."""
    unknown = replace(SUBJECT, digest="")

    assert () == ballot([decision("ann"), decision("bob", digest="")], unknown, NOW).votes


@pytest.mark.parametrize(("one", "other"), [("ann", "Ann"), ("ann@example.com", "ANN@Example.com"), ("straße", "STRASSE")])
def test_one_person_in_two_spellings_is_one(one: str, other: str):
    """Names of people and of roles are compared without case."""
    found = counted(decision(one, "qa"), decision(other, "QA"), qa=2)

    assert [1] == [role.missing for role in found.roles]


def test_later_reject_of_the_same_person_and_role_withdraws():
    """A later Reject withdraws the vote of that person in that role; an Approve after it counts again."""
    yes, no, again = decision("ann", minutes=1), rejects("Ann", minutes=2), decision("ann", minutes=3)

    withdrawn = ballot([yes, no], SUBJECT, NOW)
    assert ((), (("ann", "qa"),)) == (withdrawn.votes, withdrawn.withdrawn)
    assert "it was withdrawn by a later Reject" == withdrawn.uncounted[yes.uid]
    revived = ballot([yes, no, again], SUBJECT, NOW)
    assert ([("ann", "qa")], ()) == (voters(revived), revived.withdrawn)


@pytest.mark.parametrize(
    ("no", "counts"),
    [
        (rejects("bob"), True),
        (rejects("ann", "architect"), True),
        (rejects("ann", digest=OTHER), True),
        (rejects("ann", digest="", revision="r9"), True),
        (rejects("ann", minutes=0.5), True),
        (rejects("ann", release_uid="another"), True),
        (rejects("ann", ""), False),
        (rejects("ann", digest=""), False),
        (rejects("ann", minutes=1), False),
        (rejects("ann", expires=at(3)), False),
        (rejects("ann", outcome=DecisionOutcome.REFUSED), False),
    ],
)
def test_which_reject_withdraws(no: DecisionView, counts: bool):
    """Of the same person, in that role or in none, about this content or revision, not earlier, whatever became of it."""
    assert counts == bool(ballot([decision("ann", minutes=1), no], SUBJECT, NOW).votes)


def test_order_within_a_second_is_not_trusted():
    """Of an Approve and a Reject of one second the Reject wins, whichever was written last: an outcome is written, too."""
    yes, no = decision("ann"), rejects("ann", minutes=1)

    for first, second in ((1, 2), (2, 1)):
        assert () == ballot([replace(yes, version=first), replace(no, version=second)], SUBJECT, NOW).votes


@pytest.mark.parametrize(
    ("author", "why"),
    [
        (Author("ann"), "Ann has made the change: somebody else has to approve it"),
        (
            Author("ANN", claimed=True),
            "Ann is its author, by the annotation tidegate.dev/author: somebody else has to approve it",
        ),
    ],
)
def test_who_made_the_change_does_not_vote_for_it(author: Author, why: str):
    """Four eyes: the vote of the author does not count, and says why; that of another does."""
    own, other = decision("Ann"), decision("bob")
    found = ballot([own, other], replace(SUBJECT, authors=(Author("system:serviceaccount:cd:argo"), author)), NOW)

    assert [("bob", "qa")] == voters(found)
    assert {own.uid: why} == found.uncounted


def test_author_may_reject():
    """Who has made the change may take back a vote that was cast before it was theirs."""
    found = ballot([decision("ann"), rejects("ann")], replace(SUBJECT, authors=(Author("ann"),)), NOW)

    assert () == found.votes


@pytest.mark.parametrize(("minutes", "counts"), [(59.9, True), (60, False), (61, False)])
def test_vote_counts_until_the_policys_time_is_over(minutes: float, counts: bool):
    """To the moment: so long after it was cast as the policy says, a vote does not count any more."""
    cast = decision("ann", minutes=0)
    found = tally(ballot([cast], SUBJECT, at(minutes)).votes, seats(60, qa=1), at(minutes))

    assert counts == found.met
    assert (at(60) if counts else None) == found.until


def test_sooner_end_counts():
    """A vote ends by its own time or by the policy's, whichever comes first; the first end of a seat is when to look again."""
    votes = ballot([decision("ann", minutes=1, expires=at(90)), decision("bob", minutes=2)], SUBJECT, NOW).votes

    assert at(90) == tally(votes, seats(qa=2), NOW).until
    assert at(81) == tally(votes, seats(80, qa=2), NOW).until


def test_vote_that_is_given_again_counts_from_then():
    """Of two votes of one person the one that counts longer counts, by its own time and the policy's."""
    first, second = decision("ann", minutes=1), decision("ann", minutes=50, expires=at(70))
    votes = ballot([first, second], SUBJECT, NOW).votes

    assert None is tally(votes, seats(qa=1), NOW).until
    assert at(70) == tally(votes, seats(60, qa=1), NOW).until
    assert at(61) == tally(votes[:1], seats(60, qa=1), NOW).until


def test_person_fills_one_seat():
    """Who holds two roles fills a seat of one of them: two seats are two people."""
    both = decision("ann", "qa"), decision("ann", "architect", minutes=2)
    alone = counted(*both, qa=1, architect=1)

    assert [("ann",), ()] == [role.given for role in alone.roles]
    assert (("ann", "qa"),) == alone.spare
    assert not alone.met


def test_seats_are_given_so_that_most_are_filled():
    """Who has voted in two roles takes the seat that nobody else can fill, whoever was first."""
    found = counted(decision("ann", "qa"), decision("ann", "architect", 2), decision("bob", "qa", 3), qa=1, architect=1)

    assert found.met
    assert [("bob",), ("ann",)] == [role.given for role in found.roles]
    assert () == found.spare


people = st.sampled_from(["ann", "Ann", "bob", "cid", "dee"])
roles = st.sampled_from(["qa", "QA", "architect", "security"])
made = st.lists(
    st.builds(
        lambda by, role, minutes, action, digest, expires, uid: decision(
            by, role, minutes, action, digest=digest, expires=None if expires is None else at(expires), release_uid=uid
        ),
        people,
        roles,
        st.integers(1, 8),
        st.sampled_from([Action.APPROVE, Action.APPROVE, Action.APPROVE, Action.REJECT, Action.PROMOTE]),
        st.sampled_from([DIGEST, DIGEST, OTHER]),
        st.sampled_from([None, None, 5, 200]),
        st.sampled_from(["release", "release", "another"]),
    ),
    max_size=14,
)
policies = st.dictionaries(st.sampled_from(["qa", "architect", "security"]), st.integers(1, 3), min_size=1)


def seats_by_hand(decisions: list[DecisionView], authors: set[str], now: datetime) -> dict[str, set[str]]:
    """Return who may fill which seats, said once more and otherwise: person by person, role by role."""
    found: dict[str, set[str]] = {}
    for one in decisions:
        if one.action is not Action.APPROVE or one.digest != DIGEST or one.release_uid != "release":
            continue
        who, role = one.by.lower(), one.role.lower()
        taken_back = any(
            other.action is Action.REJECT
            and (other.by.lower(), other.role.lower()) == (who, role)
            and (other.digest, other.release_uid) == (DIGEST, "release")
            and other.created >= one.created
            for other in decisions
        )
        if not taken_back and who not in authors and (one.expires is None or one.expires > now):
            found.setdefault(who, set()).add(role)
    return found


def most_seats(able: dict[str, set[str]], needed: dict[str, int]) -> int:
    """Return how many seats can be filled, by trying all ways."""
    if not able:
        return 0
    (_, mine), *rest = able.items()
    ways = [most_seats(dict(rest), needed)]
    free = [role for role in mine if needed.get(role, 0) > 0]
    return max(*ways, *(1 + most_seats(dict(rest), {**needed, role: needed[role] - 1}) for role in free), 0)


@given(made, policies, st.sampled_from([(), ("ann",), ("bob", "DEE")]))
def test_seats_are_as_by_hand(decisions: list[DecisionView], needed: dict[str, int], authors: tuple[str, ...]):
    """Whatever was decided, as many seats are filled as people can fill, each by somebody else, each by a vote that counts."""
    subject = replace(SUBJECT, authors=tuple(Author(name) for name in authors))
    able = seats_by_hand(decisions, {name.lower() for name in authors}, NOW)

    found = tally(ballot(decisions, subject, NOW).votes, seats(**needed), NOW)

    given_to = [(name.lower(), role.role) for role in found.roles for name in role.given]
    assert most_seats(able, needed) == len(given_to)
    assert len({who for who, _ in given_to}) == len(given_to), "one person fills two seats"
    assert all(role in able.get(who, ()) for who, role in given_to)
    assert found.met == (len(given_to) == sum(needed.values()))


@given(made, policies, st.randoms())
def test_order_of_the_list_does_not_matter(decisions: list[DecisionView], needed: dict[str, int], random):
    """Decisions come by name, by watch, in any order: the seats are the same."""
    shuffled = list(decisions)
    random.shuffle(shuffled)

    found, again = (tally(ballot(some, SUBJECT, NOW).votes, seats(**needed), NOW) for some in (decisions, shuffled))

    assert found == again


@given(made, policies)
def test_reject_never_opens(decisions: list[DecisionView], needed: dict[str, int]):
    """Without any one Reject no fewer seats are filled, and with one more no more."""
    filled = sum(len(role.given) for role in counted(*decisions, **needed).roles)
    for one in decisions:
        if one.action is Action.REJECT:
            without = [other for other in decisions if other is not one]
            assert sum(len(role.given) for role in counted(*without, **needed).roles) >= filled


@given(made, policies)
def test_what_ends_is_known_before(decisions: list[DecisionView], needed: dict[str, int]):
    """Up to the time that is named, the seats stay as they are."""
    now = at(4)
    votes = ballot(decisions, SUBJECT, now).votes
    found = tally(votes, seats(30, **needed), now)
    if found.until is None:
        return

    assert found.until > now
    before = found.until - timedelta(microseconds=1)
    later = tally(ballot(decisions, SUBJECT, before).votes, seats(30, **needed), before)
    assert found.met == later.met or not found.met


def test_a_name_is_put_into_its_form_once_for_all_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    """A long one in a foreign script takes a millisecond: not once for each vote and each Reject of others, pass after pass."""
    read: list[str] = []
    monkeypatch.setattr(decided, "person", lambda name: read.append(name) or name)
    decisions = [
        *(decision(f"voter {number}") for number in range(100)),
        *(rejects(f"other {number}") for number in range(100)),
        *(decision(f"hotfixer {number}", role="", action=Action.OVERRIDE) for number in range(100)),
    ]

    for _ in range(3):
        found = ballot(decisions, replace(SUBJECT, authors=(Author("cid"),)), NOW)
        tally(found.votes, seats(qa=10, ops=10), NOW)
        overrides(decisions, SUBJECT)

    assert 100 == len(found.votes)
    assert sorted(one.by for one in decisions) == sorted(read)


def test_an_override_is_withdrawn_by_a_reject_in_any_role() -> None:
    """Of the same person, and not earlier."""
    words = [decision(by, role="", action=Action.OVERRIDE) for by in ("ann", "bob", "cid")]

    found = overrides([*words, rejects("ann"), rejects("ANN", minutes=0), rejects("bob", role="ops", minutes=0.5)], SUBJECT)

    assert ["bob", "cid"] == [one.by for one in found]
