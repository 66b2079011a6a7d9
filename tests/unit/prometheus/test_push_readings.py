"""Between pushed samples and Prometheus less is counted, and never more: samples are older than the moment in which they come."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from tidegate.api.gate import Gate
from tidegate.judge.reading import Counts, Reading, Tally
from tidegate.prometheus.budgets import Holdings
from tidegate.prometheus.config import Budgets, ConnectionConfig
from tidegate.prometheus.connections import Connection
from tidegate.prometheus.direct.followed import Followed, Round
from tidegate.prometheus.direct.readings import MARK, DirectReadings
from tidegate.prometheus.direct.seen import Scraped
from tidegate.prometheus.direct.targets import Chosen, Pod
from tidegate.prometheus.evidence import Accounts
from tidegate.prometheus.reader import Reader
from tidegate.prometheus.theirs import InTheirTime
from tidegate.runtime.clock import ManualClock
from unit.prometheus.direct_pages import NAMES, gate, text, wanted

START = datetime(2026, 1, 1, 12, tzinfo=UTC)
PODS = Chosen((Pod("uid-c", "c"),), pods=1), Chosen((Pod("uid-s", "s"),), pods=1)


def pushed(**push: str) -> Gate:
    plain = gate().model_dump(by_alias=True, exclude_unset=True, mode="json")
    return Gate.model_validate({name: value for name, value in plain.items() if name != "direct"} | {"push": push})


ERRORS = pushed()


def pages(name: str, at: float, total: float) -> list[Scraped]:
    """Return what the samples of a pod say, taken so many seconds after the start."""
    page = text(f'http_requests_total{{code="200"}} {total}\n', wanted())
    return [Scraped(Pod(f"uid-{name}", name), START + timedelta(seconds=at), page)]


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


class Shop:
    """A gate that is judged by what is pushed, from the start on."""

    def __init__(self) -> None:
        self.followed = Followed(ERRORS, wanted(), NAMES, "b", Accounts(Holdings(Budgets()), mark=MARK))
        self.followed.since = START

    def round(self, now: float, canary: Iterable[Scraped] = (), stable: Iterable[Scraped] = ()) -> None:
        self.followed.take(Round(at(now), list(canary), list(stable), *PODS), alone=False)

    def both(self, now: float, taken: float, total: float) -> None:
        """Take in samples of both versions that were taken at one time and come at another."""
        self.round(now, pages("c", taken, total), pages("s", taken, 10 * total))

    def counted(self, now: float) -> float:
        return sum(one.canary.total for one in self.followed.reading(at(now)).spans)


def prometheus_says(now: float, total: float) -> Reading:
    counts = Counts(at(now - 15), Tally(total, 0.0), Tally(10 * total, 0.0), until=at(now))
    return Reading(ERRORS.name, "b", at(now), counts=counts)


def test_samples_of_a_warm_up_count_for_nothing() -> None:
    """Samples that were taken before the gate is looked at are no baseline: what was counted until then would count."""
    shop = Shop()
    shop.both(5, -3, 0)
    shop.both(15, 12, 100)
    shop.both(30, 27, 130)
    assert shop.counted(30) == 30


def test_what_prometheus_was_judged_by_is_not_counted_again() -> None:
    """After an answer of Prometheus that was judged, only samples count that were taken later, from the first of them on."""
    shop = Shop()
    assert sum(one.canary.total for one in shop.followed.instead(prometheus_says(20, 50)).spans) == 50
    shop.both(25, 12, 100)
    shop.both(40, 27, 170)
    shop.both(55, 42, 190)
    assert shop.counted(55) == 20


def test_prometheus_is_not_judged_while_samples_begin_to_come() -> None:
    """From the first samples of both versions until they can be judged Prometheus is left out, or they never could be."""
    shop = Shop()
    assert not shop.followed.begins(at(10))
    shop.round(10, pages("c", -2, 5))
    assert not shop.followed.begins(at(10))
    shop.round(15, stable=pages("s", -1, 50))
    assert shop.followed.begins(at(15))
    assert not shop.followed.live(at(15))
    assert not shop.followed.begins(at(15 + 5 + 3 * 15))

    shop.both(30, 16, 10)
    shop.both(45, 31, 20)
    assert shop.followed.live(at(45))


def test_gate_goes_back_to_prometheus() -> None:
    """Where nothing is pushed for two intervals and five seconds Prometheus is judged again, and the reason is told."""
    shop = Shop()
    for now in (15, 30):
        shop.both(now, now - 3, now)
    assert shop.followed.live(at(64))
    assert not shop.followed.live(at(66))
    assert not shop.followed.begins(at(66))
    late = shop.followed.instead(prometheus_says(120, 7))
    assert sum(one.canary.total for one in late.spans) == 7
    assert late.direct == "no samples of the pods have been pushed lately; Prometheus is asked instead"


def test_words_are_of_what_is_pushed() -> None:
    """The status says that samples are pushed, and of how many pods."""
    shop = Shop()
    shop.both(15, 12, 0)
    shop.both(30, 27, 5)
    said = shop.followed.reading(at(30)).direct
    assert said == "samples are pushed every 15s: 1 of 1 pods of the new version, 1 of 1 pods of stable"


async def test_reader_waits_for_samples_that_have_begun_to_come() -> None:
    """A look finds nothing, and asks nobody, until the samples can be judged; a connection that does not allow them is told."""
    clock = ManualClock(START)
    configs = [
        ConnectionConfig.model_validate({"name": "default", "address": "http://127.0.0.1:1"} | more) for more in ({"push": {}}, {})
    ]
    words = []
    for config in configs:
        connections = {"default": Connection(config)}
        asks = Reader(connections)
        readings = DirectReadings(InTheirTime(asks, connections, clock), {"default": config}, asks.refusal, asks.holdings, clock)
        for followed in readings.follow([ERRORS], NAMES, "b", {}, alone=False):
            readings.take(followed, Round(clock.now(), pages("c", 0, 5), pages("s", 0, 50), *PODS), alpha=0.01, alone=False)
        reading = await asyncio.wait_for(readings.read(ERRORS, NAMES, "b", clock.now()), 5)
        assert reading.counts is None
        words.append(reading.direct)
        readings.close()
    assert words == [
        "pushed samples have begun to come, and are judged from now on",
        "pushed samples are not judged: the connection default does not allow it (push)",
    ]
