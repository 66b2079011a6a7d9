"""Pages of pods have a share of the processor, by namespace: whatever they cost, all else of the operator goes on."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.prometheus.direct.effort import CREDIT, OF_ALL, PUT_OFF, SHARE, Cost, Effort, PutOffError
from tidegate.runtime.clock import ManualClock


class Work:
    """Pieces of pages that cost what a test says, by an account of its own."""

    def __init__(self) -> None:
        self.clock, self.spent, self.done = ManualClock(), 0.0, 0
        self.effort = Effort(self.clock.monotonic, lambda: self.spent)

    def piece(self, seconds: float) -> None:
        self.spent += seconds
        self.done += 1

    async def page(self, namespace: str, pieces: int, seconds: float, by: str = "") -> bool:
        """Read a page of so many pieces, and return whether it came to its end."""
        cost = Cost(namespace, by=by)
        try:
            self.effort.begin(cost)
            for _ in range(pieces):
                await self.effort.work(cost, lambda: self.piece(seconds))
        except PutOffError:
            return False
        finally:
            self.effort.end(cost)
        return True


async def test_pages_beyond_the_share_are_put_off() -> None:
    """A namespace has its credit at once and a tenth of the processor from then on; another one does not notice."""
    work = Work()
    assert await work.page("shop", 6, 0.1)
    assert not await work.page("shop", 1, 0.1)
    assert await work.page("other", 1, 0.1)
    work.clock.advance(0.9)
    assert not await work.page("shop", 1, 0.1)
    work.clock.advance(0.2)
    assert await work.page("shop", 1, 0.1)


async def test_page_that_costs_ever_more_is_broken_off() -> None:
    """A page that was begun goes on to twice the credit, and no further."""
    work = Work()
    assert not await work.page("shop", 1000, 0.05)
    assert work.spent == pytest.approx(2 * CREDIT, abs=0.06)


async def test_pages_that_are_too_many_do_not_break_each_other_off() -> None:
    """Where all pods' pages together are too much, some are read whole in each round and the others put off."""
    work = Work()
    for _ in range(20):
        before = work.spent
        read = await asyncio.gather(*(work.page("shop", 3, 0.01) for _ in range(100)))
        work.clock.advance(5)
    assert 10 <= sum(read) <= 20
    # In the long run what is worked off in a round.
    assert work.spent - before == pytest.approx(5 * SHARE, rel=0.3)


@pytest.mark.parametrize("dear", [0.06, 0.1, 0.3])
@pytest.mark.parametrize("others", [0.02, 0.06, 0.1])
@pytest.mark.parametrize("phase", [0.0, 0.1, 0.5, 0.9])
async def test_whoever_asks_a_moment_later_has_its_turn(dear: float, others: float, phase: float) -> None:
    """Of two gateways in one namespace one always asks after the other: both are read again and again, and nothing is idle."""
    work, read, last = Work(), {"first": 0, "second": 0}, {"first": 0.0, "second": 0.0}
    longest = {"first": 0.0, "second": 0.0}
    for second in range(300):
        for name, seconds, pause in (("first", others, phase), ("second", dear, 1 - phase)):
            got = sum([await work.page("edge", 1, seconds, name) for _ in range(20)])
            if got:
                longest[name], last[name] = max(longest[name], second - last[name]), second
            read[name] += got
            work.clock.advance(pause)
    assert max(longest.values()) <= 15
    assert all(300 - one <= 15 for one in last.values())
    assert work.spent == pytest.approx(300 * SHARE, rel=0.15)


async def test_room_is_not_kept_for_whoever_is_gone() -> None:
    """A gateway that was put off and is not wanted any more keeps no room from the others for long."""
    work = Work()
    assert await work.page("edge", 6, 0.1, "here")
    assert not await work.page("edge", 1, 0.1, "gone")
    work.clock.advance(13)
    assert sum([await work.page("edge", 1, 0.1, "here") for _ in range(20)]) == 6
    assert len(work.effort._accounts["edge"].waiting) == 1


async def test_event_loop_has_its_turn_between_pieces() -> None:
    """However many pages come at once, one piece of them is looked at in a turn of the event loop."""
    work, most = Work(), 0
    reading = [asyncio.create_task(work.page(f"shop-{n % 9}", 5, 0.001)) for n in range(60)]
    while not all(task.done() for task in reading):
        before = work.done
        await asyncio.sleep(0)
        most = max(most, work.done - before)
    assert all(task.result() for task in reading)
    assert work.done == 300
    assert most == 1


@given(st.lists(st.tuples(st.integers(0, 7), st.floats(0, 0.2), st.floats(0, 1)), max_size=120))
def test_all_together_have_a_share(asked: list[tuple[int, float, float]]) -> None:
    """Whoever asks for whatever: beyond their credits all namespaces together have what is theirs of the time."""
    work, passed = Work(), 0.0

    async def run() -> None:
        nonlocal passed
        for namespace, seconds, pause in asked:
            await work.page(f"shop-{namespace}", 1, seconds)
            work.clock.advance(pause)
            passed += pause

    asyncio.run(run())
    namespaces = len({namespace for namespace, *_ in asked})
    assert work.spent <= OF_ALL * passed + namespaces * (CREDIT + 0.2) + 1e-9


async def test_namespaces_are_forgotten() -> None:
    """What is remembered is bounded by the namespaces that had readings in the last minute."""
    work = Work()
    for number in range(500):
        assert await work.page(f"shop-{number}", 1, 0.001)
        work.clock.advance(1)
    assert len(work.effort._accounts) <= 61


def test_reason_is_told() -> None:
    """Whoever is put off learns it, with the share."""
    assert (
        str(PutOffError())
        == PUT_OFF
        == "put off: pages of this namespace's pods take more than 10% of the operator's processor time"
    )
