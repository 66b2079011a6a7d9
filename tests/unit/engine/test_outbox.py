"""What has happened stays in the status until each sink has taken it, in order, with a number that nothing else has."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from tidegate.api.outbox import KEPT, OutboxStatus, SinkStatus, TransitionStatus
from tidegate.api.status import ReleaseStatus
from tidegate.engine.outbox import put, settled, untaken
from tidegate.engine.plan import Notice, notice_of
from tidegate.engine.transitions import RequestRefused, Resumed

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SINKS = ("events", "pager")


def resumed(number: int) -> Notice:
    return notice_of(Resumed(f"v{number}", 10, f"resume/{number}"))


def filled(status: ReleaseStatus, count: int, sinks: tuple[str, ...] = SINKS) -> ReleaseStatus:
    """Return a status after so many decisions with one transition each."""
    for number in range(count):
        status, _ = put(status, (resumed(number),), NOW, sinks)
    return status


def box(status: ReleaseStatus) -> OutboxStatus:
    assert status.outbox is not None
    return status.outbox


def numbers(kept: tuple[TransitionStatus, ...]) -> list[int]:
    return [one.number for one in kept]


def missed(status: ReleaseStatus) -> dict[str, int]:
    """Return how many transitions each sink may have missed, as the status says."""
    found = {one.name: one.dropped for one in status.outbox.sinks} if status.outbox else {}
    return {sink: found.get(sink, 0) for sink in SINKS}


def among(known: dict[str, set[int]]) -> Callable[[str, TransitionStatus], bool]:
    """Return whether a sink is done with a transition, by the numbers that it knows to be delivered."""
    return lambda sink, one: one.number in known[sink]


def test_each_transition_gets_a_number_and_its_kind() -> None:
    """Given a decision with two transitions, the status has them in their order, and both sinks are behind."""
    status, fresh = put(ReleaseStatus(), (resumed(1), notice_of(RequestRefused("pause/2", "it is paused"))), NOW, SINKS)

    assert [(1, "resumed", "Resumed", "Normal"), (2, "request-refused", "RequestRefused", "Warning")] == [
        (one.number, one.id, one.reason, one.type) for one in fresh
    ]
    assert fresh == box(status).transitions
    assert (SinkStatus(name="events"), SinkStatus(name="pager")) == box(status).sinks


def test_a_transition_goes_when_the_last_sink_has_it() -> None:
    """Given a sink that is slower than another, what it lacks stays, and the other gets nothing twice."""
    status = filled(ReleaseStatus(), 3)

    partly = settled(status, lambda sink, one: sink == "events" or one.number == 1, SINKS)
    wholly = settled(partly, lambda *_: True, SINKS)

    assert ([], [2, 3]) == (numbers(untaken(partly, "events")), numbers(untaken(partly, "pager")))
    assert [2, 3] == numbers(box(partly).transitions)
    assert OutboxStatus(last=3) == wholly.outbox
    assert wholly is settled(wholly, lambda *_: False, SINKS)


def test_a_sink_takes_in_order() -> None:
    """Given a sink that has taken the second and not the first, its place stays before the first."""
    status = settled(filled(ReleaseStatus(), 2), lambda _, one: one.number == 2, SINKS)

    assert [1, 2] == numbers(untaken(status, "pager"))


def test_a_new_sink_begins_with_what_happens_next() -> None:
    """Given a sink that is configured later, it is not told the past; one that is gone holds nothing up."""
    status = settled(filled(ReleaseStatus(), 2, ("events",)), lambda *_: False, SINKS)
    status, _ = put(status, (resumed(3),), NOW, SINKS)
    without = settled(status, lambda *_: False, ("pager",))

    assert ([1, 2, 3], [3]) == (numbers(untaken(status, "events")), numbers(untaken(status, "pager")))
    assert [3] == numbers(box(without).transitions)


def test_what_had_to_be_dropped_is_told_once_until_the_sink_has_caught_up() -> None:
    """Given a sink that takes nothing, the oldest go, it has them counted, and one transition says so, which does not go."""
    status = settled(filled(ReleaseStatus(), KEPT), lambda sink, _: sink == "events", SINKS)
    status, fresh = put(status, (resumed(9),), NOW, SINKS)
    told = [one.message for one in fresh if one.id == "transitions-dropped"]
    later = filled(settled(status, lambda sink, _: sink == "events", SINKS), 2 * KEPT)
    words = [one.id for one in box(later).transitions].count("transitions-dropped")

    assert [f"Sink pager fell behind and may have missed transitions: the status keeps only the last {KEPT}"] == [
        one.partition(";")[0] for one in told
    ]
    assert {"pager": 2} == {one.name: one.dropped for one in box(status).sinks if one.dropped}
    assert (KEPT, 1 + 1) == (len(box(later).transitions), words), "one for the pager, and one for Events, which are behind now, too"
    assert settled(later, lambda *_: True, SINKS).outbox == OutboxStatus(last=box(later).last)


def test_all_of_a_decision_is_new_even_if_it_has_no_room() -> None:
    """Given more transitions at once than are kept, who is told at once is told all of them."""
    status, fresh = put(ReleaseStatus(), tuple(map(resumed, range(2 * KEPT))), NOW, ("events",))

    assert 2 * KEPT + 1 == len(fresh)
    assert KEPT == len(box(status).transitions)
    assert KEPT + 1 == box(status).sinks[0].dropped


def test_numbers_of_a_hand_are_gone_beyond() -> None:
    """Given a status whose last number somebody has lowered, the next one is still new."""
    one = TransitionStatus(number=7, id="resumed", reason="Resumed", at=NOW)
    status = ReleaseStatus(outbox=OutboxStatus(last=2, transitions=(one,), sinks=(SinkStatus(name="events", taken=99),)))

    _, (fresh,) = put(status, (resumed(1),), NOW, ("events",))

    assert 8 == fresh.number


@given(st.data())
def test_no_order_of_events_loses_one_unsaid_or_tells_it_twice(data: st.DataObject) -> None:
    """Given decisions, writes, deliveries and crashes in any order, each stored transition reaches each sink, or is counted.

    A sink has one twice only if the operator ended between the delivery and the write of that, and then with the same number.
    """
    stored = status = ReleaseStatus()
    happened: dict[int, str] = {}
    has: dict[str, list[int]] = {sink: [] for sink in SINKS}
    known: dict[str, set[int]] = {sink: set() for sink in SINKS}
    dropped, said, crashes = dict.fromkeys(SINKS, 0), dict.fromkeys(SINKS, 0), 0
    for number in range(data.draw(st.integers(1, 50), label="events")):
        match data.draw(st.sampled_from(["decide", "decide", "store", "deliver", "crash"]), label=f"event {number}"):
            case "decide":
                before = missed(status)
                notices = tuple(resumed(number * 10 + i) for i in range(data.draw(st.integers(1, 3))))
                status, _ = put(status, notices, NOW, SINKS)
                dropped = {sink: dropped[sink] + missed(status)[sink] - before[sink] for sink in SINKS}
            case "store":
                stored = status = settled(status, among(known), SINKS)
                said = dropped
                for one in box(stored).transitions if stored.outbox else ():
                    assert one.message == happened.setdefault(one.number, one.message), "a number stands for two things"
            case "deliver":
                sink = data.draw(st.sampled_from(SINKS))
                for one in untaken(stored, sink)[: data.draw(st.integers(0, 9))]:
                    if one.number not in known[sink]:
                        has[sink].append(one.number)
                        known[sink].add(one.number)
            case "crash":
                status, dropped, crashes = stored, said, crashes + 1
                known = {sink: set() for sink in SINKS}
    for sink in SINKS:
        left = numbers(untaken(stored, sink))
        lost = [one for one in happened if one not in has[sink] and one not in left]
        assert len(lost) <= said[sink]
        assert crashes or sorted(set(has[sink])) == has[sink]
