"""Direct readings go through the same ledger: what pods count is counted once or not at all, whatever becomes of them meanwhile."""

from __future__ import annotations

import asyncio
import math
from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.api.gate import Gate
from tidegate.api.names import Verdict
from tidegate.api.status import GateStatus
from tidegate.engine.gate_status import judged
from tidegate.judge.reading import Counts, Reading, Tally
from tidegate.prometheus.budgets import Holdings
from tidegate.prometheus.config import Budgets, ConnectionConfig
from tidegate.prometheus.connections import Connection
from tidegate.prometheus.direct.crosscheck import Crosscheck
from tidegate.prometheus.direct.followed import Followed, Round
from tidegate.prometheus.direct.page import Page
from tidegate.prometheus.direct.readings import MARK, DirectReadings
from tidegate.prometheus.direct.seen import Scraped
from tidegate.prometheus.direct.targets import Chosen, Missed
from tidegate.prometheus.evidence import Accounts
from tidegate.prometheus.reader import Reader
from tidegate.prometheus.theirs import InTheirTime
from tidegate.runtime.clock import ManualClock
from unit.prometheus.direct_pages import NAMES, START, gate, page, target, wanted

ALPHA = 0.01
ERRORS = gate()


class Shop:
    """Pods of both versions, read once a second."""

    def __init__(self, one: Gate = ERRORS) -> None:
        self.holdings = Holdings(Budgets())
        self.accounts = Accounts(self.holdings, mark=MARK)
        self.followed = Followed(one, wanted(), NAMES, "b", self.accounts)
        self.at = START

    def round(self, canary: dict[str, Page | None], stable: dict[str, Page | None], born: datetime | None = None) -> None:
        """Read the pods, of which those without a page do not answer."""
        self.at += timedelta(seconds=1)
        # Stable's pods are asked once those of the new version have answered.
        found = [
            [
                Scraped(target(name, born), self.at - timedelta(milliseconds=ago), one)
                for name, one in pods.items()
                if one is not None
            ]
            for pods, ago in ((canary, 20), (stable, 10))
        ]
        missed = [[Missed(name, "no connection") for name, one in pods.items() if one is None] for pods in (canary, stable)]
        chosen = [Chosen(tuple(map(target, pods)), pods=len(pods)) for pods in (canary, stable)]
        self.followed.take(Round(self.at, *found, *chosen, *missed), alone=False)

    def counted(self) -> tuple[tuple[float, float], tuple[float, float]]:
        """Return requests and bad ones of both versions, of all that a reading hands in now."""
        spans = self.followed.reading(self.at).spans
        both = [one.canary for one in spans], [one.stable or Tally(0.0) for one in spans]
        canary, stable = ((sum(one.total for one in tallies), sum(one.bad for one in tallies)) for tallies in both)
        return canary, stable


def test_what_is_read_is_counted_at_once() -> None:
    """What both versions have counted between two rounds is there after the second one, without waiting for a third."""
    shop = Shop()
    shop.round({"c": page(10, 5)}, {"s": page(1000, 3)})
    shop.round({"c": page(30, 20)}, {"s": page(1200, 4)})
    assert shop.counted() == ((20, 15), (200, 1))


def test_first_requests_of_a_pod_count() -> None:
    """A pod that is there, and has no series before its first request, has counted nothing until then."""
    shop = Shop()
    shop.round({"c": page(None)}, {"s": page(1000)})
    shop.round({"c": page(7, 7)}, {"s": page(1100)})
    assert shop.counted() == ((7, 7), (100, 0))


def test_restarted_container_counts_from_zero() -> None:
    """A container that was restarted has counted all that it says."""
    shop = Shop()
    shop.round({"c": page(100, 50)}, {"s": page(1000)})
    shop.round({"c": page(8, 4)}, {"s": page(1100)})
    assert shop.counted()[0] == (8, 4)


def test_restart_that_has_caught_up_is_told_by_its_start() -> None:
    """A process that has counted more than its predecessor already is told by the time at which it says that it began."""
    shop = Shop()
    shop.round({"c": page(5, 0, START.timestamp() - 100)}, {"s": page(1000)})
    shop.round({"c": page(8, 6, START.timestamp() + 1)}, {"s": page(1100)})
    assert shop.counted()[0] == (8, 6)


def test_pod_that_goes_away_has_counted() -> None:
    """A pod that goes away leaves what it has counted, and takes nothing from the others."""
    shop = Shop()
    shop.round({"c1": page(0), "c2": page(0)}, {"s": page(0)})
    shop.round({"c1": page(10, 9), "c2": page(10)}, {"s": page(100)})
    shop.round({"c2": page(20)}, {"s": page(200)})
    shop.round({"c2": page(30)}, {"s": page(300)})
    assert shop.counted() == ((40, 9), (300, 0))


def test_pod_that_was_missed_counts_once() -> None:
    """A pod that does not answer for a while is counted whole once it does, and nobody waits for it meanwhile."""
    shop = Shop()
    shop.round({"c": page(0)}, {"s1": page(0), "s2": page(0)})
    shop.round({"c": page(10, 2)}, {"s1": page(100), "s2": None})
    assert shop.counted() == ((10, 2), (100, 0))
    shop.round({"c": None}, {"s1": page(200), "s2": None})
    shop.round({"c": page(40, 4)}, {"s1": page(300), "s2": page(300)})
    assert shop.counted() == ((30, 2), (500, 0))


def test_pod_that_was_there_before_gives_a_baseline_only() -> None:
    """A pod that did not answer when counting began may have counted before: its first page counts nothing."""
    shop = Shop()
    shop.round({"c1": page(0), "c2": None}, {"s": page(0)})
    shop.round({"c1": page(5), "c2": page(1000, 900)}, {"s": page(10)}, born=START - timedelta(hours=1))
    shop.round({"c1": page(6), "c2": page(1003, 901)}, {"s": page(20)}, born=START - timedelta(hours=1))
    assert shop.counted()[0] == (9, 1)


def test_pod_that_began_later_counts_from_zero() -> None:
    """A pod that was made while counting was on has counted all that it says."""
    shop = Shop()
    shop.round({"c1": page(0)}, {"s": page(0)})
    shop.at += timedelta(seconds=10)
    shop.round({"c1": page(5), "c2": page(50, 40)}, {"s": page(10)}, born=START + timedelta(seconds=6))
    assert shop.counted()[0] == (55, 40)


def test_page_that_loses_its_series_says_nothing() -> None:
    """A page without the series that it had is no restart: what it counts later is what has come since."""
    shop = Shop()
    shop.round({"c": page(10)}, {"s": page(0)})
    shop.round({"c": page(None)}, {"s": page(10)})
    shop.round({"c": page(13, 1)}, {"s": page(20)})
    assert shop.counted()[0] == (3, 1)


def test_failing_version_fails_at_once_and_once() -> None:
    """A version that fails everything is told of in the round that shows it, and not again before a decision."""
    shop, told = Shop(), 0
    shop.round({"c": page(0)}, {"s": page(0)})
    for second in range(1, 6):
        shop.round({"c": page(20 * second, 20 * second)}, {"s": page(180 * second)})
        if shop.followed.fails(ALPHA):
            told += 1
            reading = shop.followed.reading(shop.at)
            assert judged(ERRORS, reading, None, alpha=ALPHA).verdict is Verdict.FAIL
    assert told == 1


def test_verdicts_go_on_from_the_status() -> None:
    """What was decided on is not counted a second time: a status goes on where the last reading has ended."""
    shop, state = Shop(), None
    shop.round({"c": page(0)}, {"s": page(0)})
    for second in range(1, 31):
        shop.round({"c": page(20 * second, second)}, {"s": page(180 * second, 9 * second)})
        if second % 5 == 0:
            state = judged(ERRORS, shop.followed.reading(shop.at), state, alpha=ALPHA)
            shop.followed.settle(state, alone=False)
    assert state is not None
    assert state.evidence is not None
    assert (state.evidence.canary_requests, state.evidence.canary_bad) == (600, 30)
    assert (state.evidence.stable_requests, state.evidence.stable_bad) == (5400, 270)


def test_status_says_what_was_read_and_what_was_not() -> None:
    """How many pods of each version were read stands in the reading, and pods that were not, with the reason."""
    shop = Shop()
    shop.round({"c": page(0)}, {"s1": page(0), "s2": None})
    shop.round({"c": page(1)}, {"s1": page(1), "s2": None})
    said = shop.followed.reading(shop.at).direct
    assert said == (
        "read directly every 1s: 1 of 1 pods of the new version, 1 of 2 pods of stable; not read: pod s2: no connection"
    )


def prometheus_says(at: datetime, since: datetime, total: float) -> Reading:
    return Reading(ERRORS.name, "b", at, counts=Counts(since, Tally(total, 0.0), Tally(10 * total, 0.0), until=at))


def test_prometheus_instead_counts_nothing_twice() -> None:
    """Where pods are not read any more Prometheus is asked, and what it says of the time before is left out."""
    shop = Shop()
    shop.round({"c": page(0)}, {"s": page(0)})
    shop.round({"c": page(10)}, {"s": page(100)})
    until = shop.at
    assert shop.followed.live(shop.at)
    shop.counted()
    later = until + timedelta(seconds=30)
    assert not shop.followed.live(later)

    early = shop.followed.instead(prometheus_says(later, until - timedelta(seconds=5), 50))
    late = shop.followed.instead(prometheus_says(until + timedelta(seconds=90), until + timedelta(seconds=61), 7))

    assert sum(one.canary.total for one in early.spans) == 0
    assert sum(one.canary.total for one in late.spans) == 7
    assert "Prometheus is asked instead" in late.direct
    # What is read directly from then on begins anew: Prometheus has counted until now.
    shop.round({"c": page(500)}, {"s": page(5000)})
    shop.round({"c": page(501)}, {"s": page(5001)})
    assert shop.counted() == ((1, 0), (1, 0))


async def test_reader_prefers_direct_readings_and_waits_for_nobody() -> None:
    """A look is judged by what was read directly, at once, though Prometheus does not answer."""
    clock = ManualClock(START)
    silent = await asyncio.start_server(lambda *_: asyncio.sleep(0), "127.0.0.1", 0)
    port = silent.sockets[0].getsockname()[1]
    config = ConnectionConfig.model_validate(
        {"name": "default", "address": f"http://127.0.0.1:{port}", "timeout": "1s", "direct": {}}
    )
    connections = {"default": Connection(config)}
    asks = Reader(connections)
    readings = DirectReadings(InTheirTime(asks, connections, clock), {"default": config}, asks.refusal, asks.holdings, clock)
    (followed,) = readings.follow([ERRORS], NAMES, "b", {}, alone=False)
    pods = Chosen((target("c"),), pods=1), Chosen((target("s"),), pods=1)
    for total in (0, 10, 30):
        clock.advance(1)
        at = clock.now()
        scraped = [Scraped(target(name), at, page(total)) for name in ("c", "s")]
        readings.take(followed, Round(at, scraped[:1], scraped[1:], *pods), alpha=ALPHA, alone=False)

    reading = await asyncio.wait_for(readings.read(ERRORS, NAMES, "b", clock.now()), 0.5)

    assert sum(one.canary.total for one in reading.spans) == 30
    assert asks.holdings.total.series == 2
    readings.forget("shop", "checkout")
    assert asks.holdings.total.series == 0
    readings.close()
    silent.close()


def test_connection_that_does_not_allow_it_says_so() -> None:
    """Without `direct` on the connection no pod is read, and the gate's telemetry says what is missing."""
    clock = ManualClock(START)
    config = ConnectionConfig.model_validate({"name": "default", "address": "http://127.0.0.1:1", "timeout": "1s"})
    connections = {"default": Connection(config)}
    asks = Reader(connections)
    readings = DirectReadings(InTheirTime(asks, connections, clock), {"default": config}, asks.refusal, asks.holdings, clock)
    assert readings.follow([ERRORS], NAMES, "b", {}, alone=False) == ()
    reading = asyncio.run(readings.read(ERRORS, NAMES, "b", START))
    assert "the connection default does not allow it (direct)" in reading.direct


@pytest.mark.parametrize(
    ("share", "share_there", "rate_there", "words"),
    [
        (0.01, 0.01, 1.0, ""),
        (0.2, 0.0, 1.0, "direct readings have 20% bad requests, and Prometheus 0%"),
        (0.0, 0.0, 0.1, "disagree"),
    ],
)
def test_two_accounts_that_differ_for_long(share: float, share_there: float, rate_there: float, words: str) -> None:
    """Only after minutes, and only by much, both accounts are said to disagree."""
    check, at = Crosscheck(), START
    for minute in range(8):
        for _ in range(6):
            since, at = at, at + timedelta(seconds=10)
            check.direct(Counts(since, Tally(200, 200 * share), Tally(0), until=at), whole=True)
            total = 200 * rate_there
            check.theirs((Counts(since, Tally(total, total * share_there), Tally(0), until=at),))
        if minute < 4:
            assert check.words == ""
    assert words in check.words
    assert bool(words) == bool(check.words)


def compared(check: Crosscheck, minutes: int, *, whole: bool, total: float, at: datetime = START) -> datetime:
    """Have Prometheus say 200 requests every 10 seconds, and what was read so many; return the time after that."""
    for _ in range(6 * minutes):
        since, at = at, at + timedelta(seconds=10)
        check.direct(Counts(since, Tally(total), Tally(0), until=at), whole=whole)
        check.theirs((Counts(since, Tally(200), Tally(0), until=at),))
    return at


def test_sample_has_fewer_requests() -> None:
    """Where not all pods are read, fewer requests are no difference, as long as that was so in the time that is compared."""
    check = Crosscheck()
    at = compared(check, 8, whole=False, total=50)
    assert check.words == ""
    compared(check, 11, whole=True, total=50, at=at)
    assert "direct readings have 3,000 requests in the last minutes, and Prometheus 12,000" in check.words


def test_gateways_that_miss_most_requests_are_always_told() -> None:
    """All pods of gateways are to be read: where one with most of the requests is not, the status has both numbers."""
    check = Crosscheck(parts=False)
    compared(check, 8, whole=False, total=50)
    assert "and Prometheus disagree on the new version" in check.words


moves = st.lists(
    st.tuples(st.integers(0, 20), st.integers(0, 100), st.sampled_from(["serves"] * 6 + ["restarts", "hangs"])),
    min_size=1,
    max_size=30,
)


@given(moves)
def test_never_more_than_was_served(seconds: list[tuple[int, int, str]]) -> None:
    """However pods restart and hang, no request is counted that was not served, and while they do not, each is."""
    shop = Shop()
    shop.round({"c": page(0)}, {"s": page(0)})
    served = bad = since = 0
    total, failed = 0, 0
    quiet = True
    for requests, percent, what in seconds:
        errors = requests * percent // 100
        if what == "restarts":
            total = failed = 0
            quiet = False
        total, failed = total + requests, failed + errors
        served, bad, since = served + requests, bad + errors, since + 100
        quiet = quiet and what != "hangs"
        shop.round({"c": None if what == "hangs" else page(total, failed)}, {"s": page(since)})
    shop.round({"c": page(total, failed)}, {"s": page(since + 1)})
    (counted, counted_bad), _ = shop.counted()
    assert counted <= served
    assert counted_bad <= bad
    if quiet:
        assert (counted, counted_bad) == (served, bad)


def test_settling_keeps_what_was_not_decided() -> None:
    """A status that knows nothing of the last readings leaves them to be judged."""
    shop = Shop()
    shop.round({"c": page(0)}, {"s": page(0)})
    shop.round({"c": page(20, 20)}, {"s": page(180)})
    early = shop.followed.reading(shop.at)
    shop.followed.settle(GateStatus(name=ERRORS.name, verdict=Verdict.UNDECIDED, at=early.at - timedelta(seconds=1)), alone=False)
    shop.round({"c": page(40, 40)}, {"s": page(360)})
    assert math.isclose(sum(one.canary.total for one in shop.followed.reading(shop.at).spans), 20)
    assert shop.followed.fails(ALPHA) is False
