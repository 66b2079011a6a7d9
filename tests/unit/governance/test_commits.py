"""When the commit of a version was made: what counts, and why the rest does not."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.api.recorded import CommitIgnored
from tidegate.governance.commits import AHEAD, OLDEST, Commit, commit_of

SEEN = datetime(2026, 11, 30, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("told", "at"),
    [
        ("2026-11-30T09:00:00Z", SEEN - timedelta(hours=3)),
        ("2026-11-30t09:00:00z", SEEN - timedelta(hours=3)),
        ("2026-11-30T09:00:00+02:00", SEEN - timedelta(hours=5)),
        ("2026-11-29T23:30:00.123456789-05:30", SEEN - timedelta(hours=6, minutes=59, seconds=59, microseconds=876544)),
        ("2026-11-30T12:04:59Z", SEEN + timedelta(minutes=4, seconds=59)),
    ],
)
def test_times_as_git_and_others_write_them(told: str, at: datetime) -> None:
    """`git log -1 --format=%cI` and every other form of RFC 3339; a clock may be some minutes ahead."""
    assert Commit(at) == commit_of(told, SEEN, None)


@pytest.mark.parametrize(
    "told",
    [
        "yesterday",
        "2026-11-30",
        "2026-11-30 09:00:00Z",
        "2026-11-30T09:00:00",
        "2026-11-30T09:00:61Z",
        "2026-13-30T09:00:00Z",
        "20261130T090000Z",
        "2026-11-30T09:00:00+0200",
        "1764493200",
        "0001-01-01T00:00:00+14:00",
        "2026-11-30T09:00:00Z" + " " * 1_000_000,
        "\u0662026-11-30T09:00:00Z",
    ],
)
def test_what_is_no_time_is_told_and_not_counted(told: str) -> None:
    assert Commit(None, CommitIgnored.UNREADABLE) == commit_of(told, SEEN, None)


def test_nothing_said_is_nothing() -> None:
    assert None is commit_of("", SEEN, SEEN)


@given(
    before_seen=st.timedeltas(timedelta(days=-400), timedelta(days=800)),
    offset=st.integers(-12 * 60, 14 * 60),
    older=st.none() | st.timedeltas(timedelta(days=-400), timedelta(days=400)),
)
def test_what_counts_lies_within_a_year_and_after_the_version_before(
    before_seen: timedelta, offset: int, older: timedelta | None
) -> None:
    """Whatever is said: counted is what is neither in the future, nor older than a year, nor as old as the version before."""
    at = (SEEN - before_seen).replace(microsecond=0)
    before = at - older if older is not None else None
    told = at.astimezone(timezone(timedelta(minutes=offset))).isoformat()

    found = commit_of(told, SEEN, before)

    assert found is not None
    assert at == found.at
    counts = SEEN - OLDEST <= at <= SEEN + AHEAD and (before is None or at > before)
    assert counts == (found.ignored is None)
    assert (found.ignored is CommitIgnored.FUTURE) == (at > SEEN + AHEAD) == (found.known is None)
