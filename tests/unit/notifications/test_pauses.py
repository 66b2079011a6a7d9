"""Pauses: a namespace's own at first, the receiver's once many fail, and what the receiver asks for is kept."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tidegate.notifications.lanes import BACKOFF_CAP
from tidegate.notifications.pauses import FEW, Pauses


def test_what_the_receiver_asks_for_holds_for_all_whatever_is_delivered() -> None:
    """Given Retry-After, then nothing is tried before, also if a message that was under way is delivered meanwhile."""
    pauses = Pauses()
    pauses.failed("odd", 0.0, 120.0)
    pauses.delivered("shop")

    assert 120.0 == pauses.until


def test_a_delivery_ends_what_the_receiver_was_left_alone_for() -> None:
    """Given many that failed, then a delivery shows that the receiver is there: the rest may be tried, after what does not fail."""
    pauses = Pauses()
    news = [pauses.failed(f"shop-{number}", 0.0, None) for number in range(FEW + 2)]
    before = pauses.until
    pauses.delivered("shop-0")

    assert [*[True] * FEW, False, False] == news
    assert 1.0 == before
    assert 0.0 > pauses.until
    assert (FEW + 1, True) == (len(pauses.ailing), all(until <= 0.0 for until in pauses.ailing.values()))


def test_a_delivery_ends_that_pause_also_where_all_that_failed_is_given_up() -> None:
    """Given many that failed and were given up, then a delivery shows that the receiver is there: nobody waits for its pause."""
    pauses = Pauses()
    for number in range(FEW + 1):
        pauses.failed(f"shop-{number}", 0.0, None)
    for number in range(FEW + 1):
        pauses.over(f"shop-{number}")
    left_alone = pauses.until

    assert (1.0, True, False) == (left_alone, pauses.delivered("shop"), pauses.delivered("shop"))
    assert 0.0 > pauses.until


def test_a_message_that_is_given_up_ails_nobody_any_more() -> None:
    pauses = Pauses()
    pauses.failed("odd", 0.0, None)
    pauses.over("odd")

    assert ({}, None) == (pauses.ailing, pauses.due(0.0))


@given(st.lists(st.tuples(st.sampled_from("abcdefgh"), st.sampled_from(["fails", "fails", "delivered", "over"]), st.floats(0, 90))))
def test_few_that_fail_hold_nobody_else(steps: list[tuple[str, str, float]]) -> None:
    """Whatever happens: while few ail all others may be told at once, and no pause is longer than the bound."""
    pauses, now, most = Pauses(), 0.0, 0
    for namespace, what, seconds in steps:
        now += seconds
        if what == "fails":
            pauses.failed(namespace, now, None)
        elif what == "over":
            pauses.over(namespace)
        else:
            pauses.delivered(namespace)
            most = 0
        most = max(most, len(pauses.ailing)) if what == "fails" else most
        assert all(until <= now + BACKOFF_CAP for until in (pauses.until, *pauses.ailing.values()))
        assert most > FEW or pauses.until <= now
