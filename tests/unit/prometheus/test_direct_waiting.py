"""What is read directly waits for the next check of its gate, however far off that is, and is not lost meanwhile."""

from __future__ import annotations

from tidegate.prometheus.config import ConnectionConfig
from tidegate.prometheus.connections import Connection
from tidegate.prometheus.direct.followed import Round
from tidegate.prometheus.direct.readings import DirectReadings
from tidegate.prometheus.direct.seen import Scraped
from tidegate.prometheus.direct.targets import Chosen
from tidegate.prometheus.reader import Reader
from tidegate.prometheus.theirs import InTheirTime
from tidegate.runtime.clock import ManualClock
from unit.prometheus.direct_pages import NAMES
from unit.prometheus.test_direct_readings import ALPHA, ERRORS, START, page, target


def test_what_waits_is_handed_in_before_it_is_too_much() -> None:
    """Between two checks that are hours apart nothing that was read is lost, and a version that begins to fail is told of."""
    clock = ManualClock(START)
    config = ConnectionConfig.model_validate({"name": "default", "address": "http://127.0.0.1:1", "direct": {}})
    connections = {"default": Connection(config)}
    asks = Reader(connections)
    readings = DirectReadings(InTheirTime(asks, connections, clock), {"default": config}, asks.refusal, asks.holdings, clock)
    (followed,) = readings.follow([ERRORS], NAMES, "b", {}, alone=False)
    pods = Chosen((target("c"),), pods=1), Chosen((target("s"),), pods=1)
    handed, failing = [], 0
    for second in range(1001):
        clock.advance(1)
        scraped = [Scraped(target(name), clock.now(), page(20 * second, max(0, 20 * (second - 900)))) for name in ("c", "s")]
        scraped[1] = Scraped(target("s"), clock.now(), page(20 * second))
        found = readings.take(followed, Round(clock.now(), scraped[:1], scraped[1:], *pods), alpha=ALPHA, alone=False)
        handed += [] if found is None else [found]
        failing = failing or (second if followed.failing else 0)
    left = followed.reading(clock.now())
    assert 900 < failing < 930
    assert sum(span.canary.total for one in (*handed, left) for span in one.spans) == 20_000
    readings.close()
