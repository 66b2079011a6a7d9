"""Lanes: in order for each Release, what presses first, none lost and none twice, and bounded."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.notifications import lanes as module
from tidegate.notifications.lanes import BACKOFF_CAP, OF_ONE, Lane, Lanes, backoff
from tidegate.notifications.message import Message, message_of
from unit.notifications.receiver import happened, release

AT = datetime(2026, 1, 1, tzinfo=UTC)


def message(of: str, number: int, event: str = "rollout-started", namespace: str = "shop") -> Message:
    return message_of(release(of, namespace), happened(number, event, AT, warns=event == "rolling-back"), cluster=None)


def first(lane: Lane | None) -> tuple[str, int] | None:
    return (lane.messages[0][0].release, lane.messages[0][0].number) if lane is not None else None


def test_a_rollback_goes_before_what_waited_longer() -> None:
    """Given many Releases with news, then the one that rolls back is told first, after what came before it of the same."""
    lanes = Lanes()
    for name in ("a", "b", "c"):
        lanes.add(message(name, 1), 0)
    lanes.add(message("c", 2, "rolling-back"), 0)

    told = []
    while (lane := lanes.next(0)) is not None:
        told.append(first(lane))
        lanes.done(lane)

    assert [("c", 1), ("c", 2), ("a", 1), ("b", 1)] == told


def test_one_that_fails_is_tried_later_and_keeps_nobody_waiting() -> None:
    """Given a message that fails, then the others go on, the next one of its Release does not, and it comes back at its time."""
    lanes = Lanes()
    for one in (message("a", 1), message("a", 2), message("b", 1)):
        lanes.add(one, 0)

    failed = lanes.next(0)
    assert failed is not None
    lanes.again(failed, 10)
    other = lanes.next(0)
    assert other is not None
    assert (("b", 1), None, 10) == (first(other), lanes.next(9.9), lanes.due())
    back = lanes.next(10)
    assert (("a", 1), 1) == (first(back), failed.failures)


def test_what_presses_and_fails_goes_after_what_does_not_fail() -> None:
    """Given an urgent message of a namespace whose messages fail, then another namespace's usual one is told before it."""
    lanes = Lanes()
    lanes.add(message("odd", 1, "rolling-back", "others"), 0)
    lanes.add(message("a", 1), 0)

    found = [first(lanes.next(0, {"others": 0})) for _ in range(3)]

    assert [("a", 1), ("odd", 1), None] == found


def test_what_is_left_alone_is_not_next_before_its_time() -> None:
    """Given a namespace that is left alone, then only what others have is next, and its own at its time."""
    lanes = Lanes()
    lanes.add(message("odd", 1, "rolling-back", "others"), 0)
    early = lanes.next(9.9, {"others": 10})
    lanes.add(message("a", 1), 9.9)

    assert (None, ("a", 1)) == (early, first(lanes.next(9.9, {"others": 10})))
    assert (None, ("odd", 1)) == (lanes.next(9.9, {"others": 10}), first(lanes.next(10, {"others": 10})))


@pytest.mark.parametrize(("ailing", "most"), [({}, OF_ONE), ({"shop": 0.0}, 1)])
def test_one_namespace_has_not_all_that_is_under_way(ailing: dict[str, float], most: int) -> None:
    """Given more of one namespace than can be sent, some room is left for others; one that ails has one message at a time."""
    lanes = Lanes()
    for number in range(5):
        lanes.add(message(f"a{number}", 1), 0)

    under_way = [lane for _ in range(5) if (lane := lanes.next(0, ailing)) is not None]
    lanes.add(message("b", 1, namespace="other"), 0)
    other = lanes.next(0, ailing)

    assert (most, ("b", 1), None) == (len(under_way), first(other), lanes.next(0, ailing))
    lanes.done(under_way[0])
    assert (f"a{most}", 1) == first(lanes.next(0, ailing))


def test_waits_grow_to_a_bound() -> None:
    """Given failure after failure, then each wait is twice the one before, up to a minute."""
    assert [1, 2, 4] == [backoff(failures) for failures in (1, 2, 3)]
    assert BACKOFF_CAP == backoff(10_000)


def test_too_many_make_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """Given more than there is room for, then the longest lane loses its second, and who is next is told."""
    monkeypatch.setattr(module, "MOST", 4)
    lanes = Lanes()
    for number in range(1, 4):
        assert lanes.add(message("a", number), 0) is None
    assert lanes.add(message("b", 1), 0) is None

    over = lanes.add(message("b", 2), 0)

    assert ("uid-a.2", 4) == (over.id if over else None, len(lanes))


@given(st.data())
def test_whatever_fails_each_is_told_once_and_in_order(data: st.DataObject) -> None:
    """Given any order of messages, tries and failures, then each Release's messages come in their order, each until it is done."""
    lanes, told, now = Lanes(), list[tuple[str, int]](), 0.0
    numbers, flying = dict.fromkeys("abc", 0), list[Lane]()
    for _ in range(data.draw(st.integers(1, 40))):
        match data.draw(st.sampled_from(["add", "add", "take", "done", "fail", "wait", "back"])):
            case "add":
                of = data.draw(st.sampled_from("abc"))
                numbers[of] += 1
                lanes.add(message(of, numbers[of], data.draw(st.sampled_from(["rollout-started", "rolling-back"]))), now)
            case "take":
                lane = lanes.next(now)
                flying += [lane] if lane is not None else []
            case "wait":
                now += data.draw(st.sampled_from([0.5, 30.0]))
            case verb if flying:
                lane = flying.pop(data.draw(st.integers(0, len(flying) - 1)))
                if verb == "done":
                    told.append((lane.messages[0][0].release, lane.messages[0][0].number))
                    lanes.done(lane)
                elif verb == "fail":
                    lanes.again(lane, now + backoff(lane.failures + 1))
                else:
                    lanes.give_back(lane)
        assert len({lane.uid for lane in flying}) == len(flying), "two of one Release under way"
    for lane in flying:
        lanes.give_back(lane)
    while (lane := lanes.next(now)) is not None or lanes.due() is not None:
        if lane is None:
            now = lanes.due() or now
            continue
        told.append((lane.messages[0][0].release, lane.messages[0][0].number))
        lanes.done(lane)

    assert 0 == len(lanes)
    for of, last in numbers.items():
        assert [*range(1, last + 1)] == [number for name, number in told if name == of]
