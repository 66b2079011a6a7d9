"""The same is told once, and again after a time, with how often it was not."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from tidegate.notifications.message import STATES, message_of
from tidegate.notifications.repeats import Told, addition, is_repeat, unsaid
from unit.notifications.receiver import HOUR, happened, release

AT = datetime(2026, 1, 1, 14, 2, tzinfo=UTC)


def cause(event: str, text: str) -> tuple[str, str, str] | None:
    return message_of(release(), happened(1, event, AT, message=text), cluster=None).cause


def test_what_differs_in_numbers_alone_is_the_same() -> None:
    """Given two waits for the same with other numbers, then they are one cause; another gate, or news, is another."""
    one = cause("waits", "v2 waits for 1 more approval by role qa (1 of 2 given, 5.2%)")

    assert one == cause("waits", "v2 waits for 2 more approval by role qa (0 of 2 given, 11%)")
    assert one != cause("waits", "v2 waits for 1 more approval by role ops (1 of 2 given, 5.2%)")
    assert cause("breach-rolls-back", "Rolling back v2") is None, "each is news"
    assert not {"breach-rolls-back", "rolling-back", "ended", "breach-pauses", "stable-lacks-pods"} & STATES


def test_it_is_told_again_after_a_time() -> None:
    """Given a cause that was told, then it is a repeat for an hour, and not with a clock that went back by more."""
    told = Told(AT)

    assert not is_repeat(None, AT, HOUR)
    assert [True, True, False, False] == [
        is_repeat(told, AT + after, HOUR) for after in (timedelta(), timedelta(minutes=59), HOUR, -2 * HOUR)
    ]
    assert not is_repeat(told, AT, timedelta())


def test_it_says_how_often_it_was_not_told() -> None:
    """Given repeats, then the next time has their number and since when."""
    once = unsaid(Told(AT))

    assert ["", "", " (repeated once since 14:02 UTC)", " (repeated 2 times since 14:02 UTC)"] == [
        addition(told) for told in (None, Told(AT), once, unsaid(once))
    ]
